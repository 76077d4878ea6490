"""`-p NAME=VALUE` becomes values of the declared types."""

from __future__ import annotations

import enum
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from nbflow import flow
from nbflow.cli.parameters import parameters
from nbflow.model.errors import ParameterError


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


@flow
def typed(
    i: int = 1,
    f: float = 0.5,
    b: bool = False,
    s: str = "",
    p: Path = Path(),
    o: int | None = None,
    u: int | str = 0,
    n: list[float] = [],  # noqa: B006
    t: tuple[int, ...] = (),
    d: dict[str, Any] = {},  # noqa: B006
    m: Mode = Mode.FAST,
    c: Literal["a", 2] = "a",
    w: date = date(2020, 1, 1),
    e: Decimal = Decimal(0),
    a: Annotated[int, "documented"] = 0,
    bare=3,
    anything=None,
):
    """Takes everything."""


CASES = [
    ("i=3", 3),
    ("i=-1_000", -1000),
    ("f=1", 1.0),
    ("f=1e-3", 0.001),
    ("b=yes", True),
    ("b=FALSE", False),
    ("s=1", "1"),
    ("s=a=b", "a=b"),
    ("s=", ""),
    ("p=data/x.csv", Path("data/x.csv")),
    ("o=none", None),
    ("o=4", 4),
    ("u=7", 7),
    ("u=x", "x"),
    ("n=[0.1, 1]", [0.1, 1]),
    ("t=[1, 2]", (1, 2)),
    ('d={"a": true}', {"a": True}),
    ("m=slow", Mode.SLOW),
    ("m=SLOW", Mode.SLOW),
    ("c=2", 2),
    ("w=2026-01-31", date(2026, 1, 31)),
    ("e=0.10", Decimal("0.10")),
    ("a=5", 5),
    ("bare=9", 9),
    ("anything=[1]", [1]),
    ("anything=text", "text"),
]


@pytest.mark.parametrize(("given", "value"), CASES, ids=[given for given, _ in CASES])
def test_a_text_becomes_a_value_of_the_declared_type(given, value):
    (found,) = parameters(typed, [given]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("i=1.5", "'i' takes an int"),
        ("b=perhaps", "takes true or false"),
        ("o=x", "takes an int or none"),
        ("n=3", "takes a list as JSON"),
        ("d=[1]", "takes a dict as JSON"),
        ("m=quick", "takes one of FAST, SLOW"),
        ("c=3", "takes 'a' or 2"),
        ("w=tomorrow", "takes a date"),
        ("e=x", "takes a Decimal"),
        ("bare=x", "takes an int"),
        ("nope=1", "has no parameter 'nope'. Its parameters are: i: int = 1, f: float = 0.5"),
        ("i", "-p takes NAME=VALUE"),
    ],
)
def test_what_does_not_fit_is_refused_in_words_that_help(given, says):
    with pytest.raises(ParameterError, match=re.escape(says)):
        parameters(typed, [given])


@flow
def needing(url: str, rate: float, *more, verbose: bool = False, **extra):
    """Needs two values."""


def test_all_that_is_missing_is_named_at_once():
    with pytest.raises(ParameterError, match="needs a value for url, rate: add -p url=VALUE -p rate=VALUE"):
        parameters(needing, [])


def test_a_flow_that_takes_any_name_gets_it():
    assert parameters(needing, ["url=x", "rate=1", "depth=3"]) == {"url": "x", "rate": 1.0, "depth": 3}
