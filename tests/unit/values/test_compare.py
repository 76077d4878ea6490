"""Comparison: a copy is the same, and a planted change is found and named by its path."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import functools
import math
import pickle
import random
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbflow.testing import compare

atoms = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
keys = st.integers() | st.text()
values = st.recursive(
    atoms | st.dates() | st.decimals() | st.frozensets(keys, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.tuples(inner, inner)
        | inner.map(lambda value: Node("node", [value]))
    ),
    max_leaves=12,
)


@dataclass
class Node:
    name: str
    children: list = field(default_factory=list)


class Slotted:
    __slots__ = ("__hidden", "shown")

    def __init__(self, hidden, shown):
        self.__hidden, self.shown = hidden, shown


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Tagged(list):
    def __init__(self, items, tag):
        super().__init__(items)
        self.tag = tag


class Estimator:
    def __init__(self, rate, coef):
        self.rate, self.coef_ = rate, np.array(coef)


def texts(left, right, **options):
    return [str(difference) for difference in compare(left, right, **options)]


@given(values)
def test_a_value_equals_its_round_trip(value):
    assert compare(value, pickle.loads(pickle.dumps(value))) == []


@given(st.lists(values, min_size=1, max_size=5), st.data())
def test_a_planted_change_is_found_and_named(items, data):
    position = data.draw(st.integers(0, len(items) - 1))
    changed = copy.deepcopy(items)
    changed[position] = ("planted", object)
    found = compare({"key": Node("n", items)}, {"key": Node("n", changed)}, name="found")
    assert found
    assert all(each.path.startswith(f"found['key'].children[{position}]") for each in found)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.data())
def test_an_array_is_the_same_within_its_tolerance_only(numbers, data):
    array, position = np.array(numbers), data.draw(st.integers(0, len(numbers) - 1))
    assume(abs(numbers[position]) > 1e-3)
    for factor, differs in ((1 + 1e-8, False), (1 + 1e-4, True)):
        other = array.copy()
        other[position] *= factor
        assert [each.path for each in compare(array, other, name="a")] == [f"a[{position}]"] * differs


def test_the_message_tells_both_values_and_how_far_they_are_apart():
    left, right = Estimator(1, [1, 2, 3, 0.5123]), Estimator(1, [1, 2, 3, 0.512])
    assert texts(left, right, name="model") == ["model.coef_[3]: 0.5123 ≠ 0.512 (rel. 5.9e-04 > 1e-06)"]


def test_tolerances_are_the_callers():
    assert compare(1.0, 1.01, rtol=0.1) == []
    assert compare(0.0, 1e-4, atol=1e-3) == []
    assert compare(0.0, 1e-4)


SAME = {
    "nan": (math.nan, float("nan")),
    "nan in arrays": (np.array([np.nan, 1]), np.array([np.nan, 1])),
    "not a time": (pd.NaT, pd.NaT),
    "infinity": (math.inf, math.inf),
    "float of numpy": (1.0, np.float64(1)),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "sets of floats": ({1.0, 2.0}, {1.0 + 1e-12, 2.0}),
    "order in memory": (np.eye(3), np.asfortranarray(np.eye(3))),
    "generator": (np.random.default_rng(1), np.random.default_rng(1)),
    "function": (lambda x: x + 1, lambda x: x + 1),
    "missing integers": (pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="Int64")),
    "partial": (functools.partial(int, base=2), functools.partial(int, base=2)),
    "module": (np, np),
    "class of a package": (pd.DataFrame, pd.DataFrame),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_same(case):
    left, right = SAME[case]
    assert texts(left, right) == []


FRAME = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}, index=["r", "s"])
DIFFERENT = {
    "type": (1, 1.0, "v: int 1 ≠ float 1.0"),
    "truth": (True, False, "v: True ≠ False"),
    "infinity": (math.inf, 1.0, "v: inf ≠ 1.0"),
    "length": ([1], [1, 2], "v: 1 elements ≠ 2 elements"),
    "key gone": ({"a": 1}, {}, "v['a']: is gone"),
    "key new": ({}, {"a": 1}, "v['a']: is new"),
    "set": ({1}, {2}, "v: 1 is gone"),
    "shape": (np.zeros(3), np.zeros((3, 1)), "v.shape: (3,) ≠ (3, 1)"),
    "data type": (np.zeros(1), np.zeros(1, int), "v.dtype: float64 ≠ int64"),
    "matrix": (np.zeros((2, 2)), np.eye(2), "v[0, 0]: 0.0 ≠ 1.0"),
    "many": (np.zeros(9), np.ones(9), "v[2]: 0.0 ≠ 1.0 (and 6 more elements)"),
    "date": (
        datetime.date(2020, 1, 1),
        datetime.date(2020, 1, 2),
        "v: datetime.date(2020, 1, 1) ≠ datetime.date(2020, 1, 2)",
    ),
    "decimal": (decimal.Decimal(1), decimal.Decimal(2), "v: Decimal('1') ≠ Decimal('2')"),
    "cell of a frame": (FRAME, FRAME.assign(a=[1.0, 2.5]), "v['a']['s']: 2.0 ≠ 2.5 (rel. 2.5e-01 > 1e-06)"),
    "order of columns": (FRAME, FRAME[["b", "a"]], "v.columns: the order differs: ['a', 'b'] ≠ ['b', 'a']"),
    "column gone": (FRAME, FRAME[["a"]], "v['b']: column is gone"),
    "type of a column": (FRAME, FRAME.astype({"a": "float32"}), "v['a'].dtype: float64 ≠ float32"),
    "index": (FRAME, FRAME.rename(index={"r": "q"}), "v.index[0]: 'r' ≠ 'q'"),
    "rows": (FRAME, FRAME.iloc[:1], "v.index: 2 rows ≠ 1 rows"),
    "name of a series": (FRAME["a"], FRAME["a"].rename("c"), "v.name: 'a' ≠ 'c'"),
    "generator": (np.random.default_rng(1), np.random.default_rng(2), "v: the state of the random generator differs"),
    "random": (random.Random(1), random.Random(2), "v: the state of the random generator differs"),
    "function": (lambda x: x + 1, lambda x: x + 2, "v: the code of function <lambda> differs"),
    "partial": (functools.partial(int, base=2), functools.partial(int, base=8), "v.keywords['base']: 2 ≠ 8"),
    "slot": (Slotted(1, 2), Slotted(1, 3), "v.shown: 2 ≠ 3"),
    "hidden slot": (Slotted(1, 2), Slotted(9, 2), "v.__hidden: 1 ≠ 9"),
    "enum": (Colour.RED, Colour.BLUE, "v._value_: 1 ≠ 2"),
    "attribute of a list": (Tagged([1], "a"), Tagged([1], "b"), "v.tag: 'a' ≠ 'b'"),
    "counter": (collections.Counter("aab"), collections.Counter("abb"), "v['a']: 2 ≠ 1"),
    "error": (ValueError("a"), ValueError("b"), "v.args[0]: 'a' ≠ 'b'"),
    "long text": ("a" * 100 + "b", "a" * 100 + "c", "v: 'aaaaaaaaaab' ≠ 'aaaaaaaaaac' (from character 90)"),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_different(case):
    left, right, told = DIFFERENT[case]
    assert told in texts(left, right, name="v")


def with_default(rate):
    def function(x, by=rate):
        return x * by + rate

    return function


def test_functions_differ_by_their_defaults_and_closures():
    assert texts(with_default(1), with_default(2), name="f") == ["f.__defaults__[0]: 1 ≠ 2", "f.rate: 1 ≠ 2"]


def test_classes_of_a_notebook_are_compared_by_their_members():
    def kind(number):
        return type("Model", (), {"__module__": "__main__", "rate": number})

    assert texts(kind(1), kind(1)) == []
    assert texts(kind(1), kind(2), name="Model") == ["Model.rate: 1 ≠ 2"]
    assert texts(kind(1)(), kind(1)()) == []


def test_a_value_that_contains_itself_is_compared_once():
    left, right = [1], [1]
    left.append(left)
    right.append(right)
    assert compare(left, right) == []


def test_what_cannot_be_looked_at_is_told():
    class Odd:
        @property
        def __dict__(self):
            raise OSError("no")

    assert "cannot be compared: OSError: no" in texts(Odd(), Odd())[0]


def test_estimators_are_compared_by_what_they_learned():
    linear = pytest.importorskip("sklearn.linear_model")
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    left, right = linear.Ridge(1.0).fit(x, y), linear.Ridge(1.0).fit(x, y * 1.001)
    assert compare(left, pickle.loads(pickle.dumps(left))) == []
    assert {each.path for each in compare(left, right, name="m")} == {"m.coef_[0]", "m.coef_[1]", "m.intercept_"}


def test_figures_of_matplotlib_are_compared_by_what_is_drawn():
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1, 2, 3], label="line")
    axes.bar([1, 2], [3, 4])
    other = pickle.loads(pickle.dumps(figure))
    assert compare(figure, other) == []
    other.axes[0].set_title("new")
    other.axes[0].lines[0].set_ydata([1, 2, 4])
    other.axes[0].patches[1].set_height(5)
    assert [each.path for each in compare(figure, other, name="f")] == [
        "f.axes[0].title", "f.axes[0].lines[0].ydata[2]", "f.axes[0].patches[1].height"
    ]  # fmt: skip


def test_figures_of_plotly_are_compared_by_their_data():
    express = pytest.importorskip("plotly.express")
    left, right = express.line(x=[1, 2], y=[3, 4]), express.line(x=[1, 2], y=[3, 5])
    assert compare(left, express.line(x=[1, 2], y=[3, 4])) == []
    assert [each.path for each in compare(left, right, name="f")] == ["f['data'][0]['y'][1]"]
