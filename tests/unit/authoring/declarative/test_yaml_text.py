"""YAML: what is read, what is refused, and that what is written is read again."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nbflow.authoring.declarative.problems import Place, Problems
from nbflow.authoring.declarative.yaml_text import parse, write


def read(text: str) -> Any:
    problems = Problems("test")
    found = parse(text, problems)
    problems.check()
    return found.data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-17", -17), ("0", 0), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("text", "text"), ("2026-03-01", "2026-03-01"), ('"08:00"', "08:00"),
        ("'NO'", "NO"), ("1.2.3", "1.2.3"), ("12 34", "12 34"), ("yes sir", "yes sir"), ("=", "="), ("1-2", "1-2"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_the_core_schema_says(text: str, value: Any) -> None:
    found = read(f"key: {text}")["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    "text", ["NO", "no", "y", "N", "On", "off", "YES", "08:00", "8:00", "1:30:00", "1:30.5", "010", "0o17", "0x1F",
             "-01", "1_000", ".inf", "-.Inf", ".NaN"],
)  # fmt: skip
def test_a_scalar_that_readers_disagree_on_is_refused(text: str) -> None:
    problems = Problems("test")
    parse(f"list:\n  - fine\n  - {text}", problems)
    assert [(each.place, text in each.message) for each in problems.found] == [(Place(3, 5), True)]


def test_merge_keys_bring_what_is_not_said() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: {<<: *base, b: 3}\nboth: {<<: [{c: 4}, *base]}"
    assert read(text) == {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}, "both": {"c": 4, "a": 1, "b": 2}}


def test_keys_are_texts_whatever_they_look_like() -> None:
    assert read("on: 1\n3: x\nNO: z") == {"on": 1, "3": "x", "NO": "z"}


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12) | st.sampled_from(
    [
        "NO",
        "on",
        "08:00",
        "010",
        "1e3",
        "null",
        "~",
        "",
        "a: b",
        "# c",
        "1_0",
        "two\nlines\n",
        "- x",
        "${{ a }}",
        "\ttab",
    ]
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(lambda key: key != "<<"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abc"), DATA, min_size=1))
def test_what_is_written_is_read_again_by_us_and_by_others(data: dict[str, Any]) -> None:
    text = write(data)
    assert read(text) == data
    assert yaml.safe_load(text) == data
