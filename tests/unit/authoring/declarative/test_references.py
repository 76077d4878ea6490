"""References: what stands for results and parameters in texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from nbflow.authoring.declarative.references import Reference, fill, follow, found_in, parse, write
from nbflow.model.errors import DefinitionError


def filled(value: Any, **known: Any) -> Any:
    return fill(value, lambda reference: follow(known[reference.name], reference))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${{ a }}", [1, 2]),
        ("${{a.1}}", 2),
        ("${{ b.deep.x }}", 7),
        ("got ${{ a.0 }} of ${{ b.deep.x }}", "got 1 of 7"),
        ("$${{ a }}", "${{ a }}"),
        ("$HOME ${HOME} {{ a }}", "$HOME ${HOME} {{ a }}"),
        ({"k": ["${{ a.0 }}", 3]}, {"k": [1, 3]}),
        ("${{ a.0 }}${{ a.1 }}", "12"),
        ("", ""),
    ],
)
def test_references_are_replaced(text: Any, expected: Any) -> None:
    assert filled(text, a=[1, 2], b={"deep": {"x": 7}}) == expected


def test_a_whole_reference_is_the_value_itself() -> None:
    value = object()
    assert filled("${{ a }}", a=value) is value


def test_a_part_of_nothing_is_nothing() -> None:
    assert filled("${{ a.b.c }}", a=None) is None


def test_attributes_are_followed_but_not_hidden_ones() -> None:
    @dataclass
    class Score:
        off: float

    assert filled("${{ a.off }}", a=Score(0.5)) == 0.5
    with pytest.raises(LookupError, match="a has no '__class__'"):
        filled("${{ a.__class__ }}", a=Score(0.5))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.rows", r"a has no 'rows'; it is a dict with frame"),
        ("a.frame.7", r"a\.frame has no '7'; it is a list of 2"),
    ],
)
def test_a_part_that_is_missing_is_told_with_what_is_there(path: str, message: str) -> None:
    with pytest.raises(LookupError, match=message):
        filled(f"${{{{ {path} }}}}", a={"frame": [1, 2]})


@pytest.mark.parametrize("text", ["a + b", "a()", "1a", "", "a..b", "a b", "a[0]"])
def test_there_is_no_language_of_expressions(text: str) -> None:
    with pytest.raises(DefinitionError, match="is no reference"):
        parse(text)


def test_what_is_written_is_read() -> None:
    assert list(found_in([write("a", "b"), {"k": write("c-d")}])) == [Reference("a", ("b",)), Reference("c-d")]
