"""What becomes of variables, found by looking at them: the same, changed, bound anew, or not to be said."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbflow.jupyter.fingerprints import Changes, Fingerprints

SMALL_CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "list": (lambda: [1, 2], lambda value: value.append(3)),
    "nested": (lambda: {"a": [1, {"b": 2}]}, lambda value: value["a"][1].update(b=3)),
    "order of a list": (lambda: [1, 2], lambda value: value.reverse()),
    "set": (lambda: {1, 2}, lambda value: value.add(3)),
    "bytearray": (lambda: bytearray(b"ab"), lambda value: value.extend(b"c")),
    "array": (lambda: np.zeros(10), lambda value: value.__setitem__(3, 1e-300)),
    "type of an element": (lambda: [1], lambda value: value.__setitem__(0, True)),
    "frame, one value": (lambda: pd.DataFrame({"a": [1.0, 2.0]}), lambda value: value.__setitem__("a", [1.0, 2.5])),
    "frame, a column": (lambda: pd.DataFrame({"a": [1.0]}), lambda value: value.__setitem__("b", 1)),
    "frame, its index": (lambda: pd.DataFrame({"a": [1.0]}), lambda value: setattr(value, "index", [7])),
    "series": (lambda: pd.Series(["a", "b"]), lambda value: value.__setitem__(0, "c")),
    "generator of random numbers": (lambda: np.random.default_rng(0), lambda value: value.random()),
}


class Kernel:
    """A namespace whose variables are looked at after each change."""

    def __init__(self, **variables: Any) -> None:
        self.space: dict[str, Any] = {"__name__": "__main__", **variables}
        self.fingerprints = Fingerprints()
        self.look()

    def look(self, seconds: float = 5.0) -> Changes:
        """What has changed since the last look."""
        names = {name: value for name, value in self.space.items() if not name.startswith("__")}
        return self.fingerprints.update(names, self.space, (), seconds)

    def run(self, source: str) -> Changes:
        """Run a cell and look."""
        exec(source, self.space)
        return self.look()


def large_frame() -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(500_000.0), "b": np.ones(500_000)})


@pytest.mark.parametrize(("make", "change"), SMALL_CHANGES.values(), ids=SMALL_CHANGES)
def test_a_change_in_place_is_seen(make: Callable[[], Any], change: Callable[[Any], Any]) -> None:
    kernel = Kernel(value=make())
    change(kernel.space["value"])
    assert kernel.look() == Changes(changed=("value",))


@pytest.mark.parametrize(("make", "_change"), SMALL_CHANGES.values(), ids=SMALL_CHANGES)
def test_what_nobody_touched_is_the_same(make: Callable[[], Any], _change: Any) -> None:
    kernel = Kernel(value=make())
    assert [kernel.look(), kernel.look()] == [Changes(), Changes()]


def test_a_value_that_is_changed_and_changed_back_is_the_same() -> None:
    kernel = Kernel(value=[1, 2, 3])
    assert kernel.run("value.append(4); value.pop()") == Changes()


def test_a_new_object_is_bound_anew_though_it_equals_the_old_one() -> None:
    kernel = Kernel(value=[1])
    assert kernel.run("value = [1]") == Changes(defined=("value",))
    assert kernel.run("value = None") == Changes(defined=("value",))
    assert kernel.run("value = None") == Changes()


def test_functions_and_classes_stay_the_same_whatever_is_defined_beside_them() -> None:
    kernel = Kernel()
    kernel.run("def f(x):\n    return x\nclass K:\n    size = 1\nk = K()")
    assert kernel.run("def g(x):\n    return f(x)\nclass J(K):\n    pass") == Changes(defined=("J", "g"))
    assert kernel.run("import math\nlast = g(1)") == Changes(defined=("last", "math"))
    assert "K" in kernel.run("K.size = 2").changed


def test_deleted_names_and_shared_objects_are_told() -> None:
    kernel = Kernel(a=[1])
    assert kernel.run("b = a; c = {'inner': a}").shares == (("a", "b", "c"),)
    told = kernel.run("del c\nb = [2]")
    assert (told.deleted, told.shares, told.defined) == (("c",), (), ("b",))


def test_a_view_shares_with_its_array() -> None:
    kernel = Kernel(whole=np.zeros(10))
    assert kernel.run("part = whole[:3]").shares == (("part", "whole"),)
    assert kernel.run("part[0] = 5").changed == ("part", "whole")


def test_of_a_large_frame_it_is_said_that_it_may_have_changed_and_not_that_it_is_the_same() -> None:
    kernel = Kernel(frame=large_frame())
    kernel.space["frame"].iloc[123_457, 1] = 7.0  # one value among a million
    told = kernel.look()
    assert told.changed + told.unknown == ("frame",)
    assert kernel.look().unknown == ("frame",)


@pytest.mark.parametrize("size", [2**20, 10**6, 2**20 - 8])
def test_a_change_all_over_a_large_array_is_seen(size: int) -> None:
    kernel = Kernel(array=np.ones(size))
    assert kernel.run("array[:-100] *= 2").changed == ("array",)
    assert kernel.run("array[-1] = 0").changed == ("array",)


def test_a_column_more_in_a_large_frame_is_seen() -> None:
    kernel = Kernel(frame=large_frame())
    assert kernel.run("frame['c'] = 0").changed == ("frame",)


def test_what_cannot_be_looked_at_may_have_changed() -> None:
    kernel = Kernel(lines=(line for line in "ab"), many=list(range(2_000_000)))
    assert kernel.run("next(lines)").unknown == ("lines", "many")


def test_looking_ends_when_its_time_is_over() -> None:
    kernel = Kernel(**{f"frame{number}": large_frame() for number in range(30)}, last=[1])
    assert "last" in kernel.look(seconds=0.0).unknown


def test_names_that_the_cell_mentions_are_looked_at_first() -> None:
    kernel = Kernel(**{f"other{number}": large_frame() for number in range(5)}, mine=[1])
    kernel.space["mine"].append(2)
    names = {name: value for name, value in kernel.space.items() if not name.startswith("__")}
    assert kernel.fingerprints.update(names, kernel.space, ["mine"], 1e-4).changed == ("mine",)


def test_an_object_whose_pickle_is_never_the_same_is_not_said_to_change() -> None:
    kernel = Kernel()
    kernel.run("import uuid\nclass Odd:\n    def __getstate__(self):\n        return {'id': uuid.uuid4()}\nodd = Odd()")
    told = kernel.look()
    assert "odd" in told.unknown
    assert "odd" not in told.changed


def test_a_class_that_raises_when_it_is_pickled_harms_nobody() -> None:
    kernel = Kernel(fine=[1])
    kernel.run("class Bad:\n    def __reduce__(self):\n        raise RuntimeError('no')\nbad = Bad()")
    assert kernel.run("fine.append(2)")[:2] == ((), ("fine",))


def test_large_values_are_freed_when_the_user_lets_go_of_them() -> None:
    kernel = Kernel(frame=large_frame(), array=np.ones(10))
    kept = [weakref.ref(kernel.space[name]) for name in ("frame", "array")]
    del kernel.space["frame"], kernel.space["array"]
    gc.collect()
    assert [each() for each in kept] == [None, None]
