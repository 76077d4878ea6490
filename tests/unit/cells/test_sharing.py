"""Which names share objects is seen in what pickling and unpickling visit."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.authoring.cells import sharing, travel


def groups(**names: Any) -> list[tuple[str, ...]]:
    space = travel.Namespace("test", dict(names))
    found = sharing.components({name: travel.look(space, name).reach for name in names})
    return [group for group in found if len(group) > 1]


shared = [1]
array = np.zeros(5)
frame = pd.DataFrame({"a": [1, 2]})


class Holder:
    def __init__(self, held: Any) -> None:
        self.held = held


def test_names_that_reach_one_list_are_together_however_deep_it_lies() -> None:
    deep = {"x": [(shared,)]}
    assert groups(a=shared, b=deep, c=Holder(deep), d=[1]) == [("a", "b", "c")]


def test_views_of_one_array_are_together() -> None:
    assert groups(a=array, b=array[1:3], c=[array.reshape(5, 1)], d=array.copy()) == [("a", "b", "c")]


@pytest.mark.parametrize("value", ["text", 5, (1, 2), frozenset({1}), None, np.float64(1), pd.Timestamp("2020"), len])
def test_what_cannot_change_is_shared_by_nobody(value: Any) -> None:
    assert groups(a=value, b=[value]) == []


def test_two_names_of_one_frame_are_together_and_copies_on_write_are_not() -> None:
    assert groups(a=frame, b=frame) == [("a", "b")]
    assert groups(a=frame, b=frame[["a"]]) == []


def test_an_array_of_a_frame_is_known_to_be_its_memory() -> None:
    space = travel.Namespace("test", {"f": frame, "v": frame["a"].to_numpy(), "w": np.array([1, 2])})
    reached = {name: travel.look(space, name).reach for name in ("f", "v", "w")}
    assert sharing.memory_shared(reached) == [("v", "f")]


def test_lists_in_a_column_of_objects_are_seen() -> None:
    assert groups(a=shared, b=pd.Series([shared])) == [("a", "b")]


@given(st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=2, max_size=5))
def test_groups_are_the_connected_parts(held: list[list[int]]) -> None:
    pool = [[number] for number in range(5)]
    names = {f"n{position}": [pool[number] for number in numbers] for position, numbers in enumerate(held)}
    parent: dict[Any, Any] = {}

    def root(item: Any) -> Any:
        while parent.setdefault(item, item) != item:
            item = parent[item]
        return item

    for name, numbers in zip(names, held, strict=True):
        for number in numbers:
            parent[root(name)] = root(number)
    wanted = collections.defaultdict(set)
    for name in names:
        wanted[root(name)].add(name)
    assert {tuple(sorted(group)) for group in wanted.values() if len(group) > 1} == set(groups(**names))


def test_what_arrives_is_known_by_the_same_objects() -> None:
    space = travel.Namespace("from", {"a": shared, "b": [shared]})
    there = travel.Namespace("to")
    reached = travel.load(there, travel.dump(space, ["a", "b"]), ["a", "b"])
    assert there.globals["b"][0] is there.globals["a"]
    assert not travel.look(there, "a").reach.keys.isdisjoint(reached.keys)
