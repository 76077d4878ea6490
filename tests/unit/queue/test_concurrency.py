"""How many jobs run at a time: numbers, and formulas with `cores` in which nothing else can be said."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.model.errors import ConfigError
from nbflow.queue.concurrency import evaluate, usable_cores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (3, 3),
        ("3", 3),
        ("cores", 8),
        (" cores * 2 ", 16),
        ("cores+1", 9),
        ("cores-1", 7),
        ("cores/2", 4),
        ("cores//3", 2),
        ("cores*0.75", 6),
        ("cores*1.9/2", 7),
        ("max(1, cores-100)", 1),
        ("min(4, cores)", 4),
        ("round(cores*0.7)", 6),
        ("int(cores/3)", 2),
        ("-(1-cores)", 7),
        ("max(1, min(cores, 4) * 2)", 8),
    ],
)
def test_formulas_mean_what_they_say(text, expected):
    assert evaluate(text, cores=8) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "0",
        "-1",
        "0.5",
        "cores-8",
        "cores-9",
        "10001",
        "cores/0",
        "nan",
        "inf",
        "1e999",
        "float('nan')",
        "9**9**9",
        "1 << 40",
        "cores.real",
        "cores[0]",
        "[cores]",
        "cores if cores else 1",
        "cores == 8",
        "lambda: 1",
        "(cores := 3)",
        "__import__('os').system('true')",
        "exec('1')",
        "max(1, key=print)",
        "max",
        "max(*[1, 2])",
        "int('3')",
        "True",
        "'3'",
        "b'3'",
        "3j",
        "cores; 3",
        "1\n2",
        "f'{cores}'",
        "\0",
        "(" * 60 + "1" + ")" * 60,
        "1+" * 100 + "1",
        "min()",
        True,
        None,
        [3],
    ],
)
def test_all_else_is_refused(text):
    with pytest.raises(ConfigError, match="is no concurrency"):
        evaluate(text, cores=8)


_NUMBERS = st.integers(0, 1000).map(str) | st.floats(0, 100, allow_nan=False).map(repr) | st.just("cores")
_FORMULAS = st.recursive(
    _NUMBERS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//"]), inner)
        | st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner)
        | st.builds("{}({})".format, st.sampled_from(["int", "round"]), inner)
    ),
    max_leaves=6,
)


@given(_FORMULAS, st.integers(1, 256))
def test_a_formula_gives_what_python_gives_or_is_refused(text, cores):
    try:
        expected = eval(text, {"cores": cores})
    except (ZeroDivisionError, OverflowError):
        expected = None
    try:
        found = evaluate(text, cores)
    except ConfigError:
        assert expected is None or len(text) > 100 or not 1 <= expected < 10_001
    else:
        assert found == int(expected)


@given(st.text(string.printable + "é∞", max_size=120) | st.text(max_size=30))
def test_whatever_is_typed_is_a_number_or_a_clear_error(text):
    with suppress(ConfigError):
        assert 1 <= evaluate(text, cores=4) <= 10_000


def test_cores_are_those_that_this_process_may_use():
    assert evaluate("cores") == usable_cores() >= 1
