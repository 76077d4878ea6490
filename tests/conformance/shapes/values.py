"""Values that may be changed: a step that changes its argument changes nobody else's."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from nbflow import flow, step, wait
from tests.conformance.shapes import Shape
from tests.conformance.shapes.basics import Box, inc, same


@step
def make_list():
    return [3, 1, 2]


@step
def make_array(n):
    return np.arange(n, dtype="float64")


@step
def make_frame():
    return pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})


@step
def make_nested():
    return {"rows": [Box([1, 2]), {"deep": [0]}]}


@step
def sort_in_place(values):
    values.sort()
    return values


@step
def overwrite(array):
    array[:] = -1.0
    return float(array.sum())


@step
def overwrite_view(array):
    view = array[2:4]
    view[:] = 100
    return float(array.sum())


@step
def add_column(frame):
    frame["c"] = frame["a"] * 2
    frame.loc[0, "a"] = 99
    return list(frame.columns)


@step
def change_deeply(value):
    value["rows"][0].content.append(3)
    value["rows"][1]["deep"][0] = 5
    return value["rows"][0].content


@step
def summed(values):
    return float(np.sum(values))


@step
def columns(frame):
    return list(frame.columns), int(frame["a"].sum())


@step
def appended(values, x):
    values.append(x)
    return values


@step
def with_default(x, seen=[]):  # noqa: B006 - that is what is tested
    seen.append(x)
    return len(seen)


@step
def changes_environment(name):
    return os.environ.get(name, "unset")


@flow
def list_is_not_shared():
    values = make_list()
    a = sort_in_place(values)
    return a, values, sort_in_place(values)


@flow
def array_is_not_shared():
    array = make_array(5)
    return overwrite(array), summed(array), overwrite(array)


@flow
def view_is_not_shared():
    array = make_array(5)
    return overwrite_view(array), summed(array)


@flow
def large_array_is_not_shared(n):
    array = make_array(n)
    changed = overwrite(array)
    return changed, summed(array)


@flow
def frame_is_not_shared():
    frame = make_frame()
    return add_column(frame), columns(frame)


@flow
def nested_is_not_shared():
    value = make_nested()
    return change_deeply(value), change_deeply(value)


@flow
def flows_own_list_is_not_shared():
    mine = [1]
    grown = appended(mine, 2)
    wait(grown)
    return grown, mine


@flow
def later_changes_by_the_flow_are_not_seen():
    mine = [1]
    early = same(mine)
    mine.append(2)
    return early, same(mine)


@flow
def changes_after_a_barrier_are_passed_on():
    frame = make_frame()
    before = columns(frame)
    frame["d"] = 0
    frame.loc[0, "a"] = 10
    return before, columns(frame)


@flow
def unchanged_after_a_barrier():
    values = make_list()
    longest = len(values)
    return longest, sort_in_place(values), values


@flow
def large_values_between_steps(n):
    arrays = [make_array(n) for _ in range(3)]
    return [summed(array) for array in arrays], summed(same(arrays[0]))


@flow
def large_argument(n):
    mine = np.ones(n)
    first = summed(mine)
    mine[0] = 0
    return first, summed(mine)


@flow
def default_is_the_functions_own():
    return [inc(n) for n in range(2)], with_default.with_options(executor="serial")(1) >= 1


SHAPES = [
    Shape("list", list_is_not_shared, value=([1, 2, 3], [3, 1, 2], [1, 2, 3]), plain=False),
    Shape("array", array_is_not_shared, value=(-5.0, 10.0, -5.0), plain=False),
    Shape("view of an array", view_is_not_shared, value=(205.0, 10.0), plain=False),
    Shape("large array", large_array_is_not_shared, (1_300_000,), (-1_300_000.0, 844999350000.0), plain=False),
    Shape("frame", frame_is_not_shared, value=(["a", "b", "c"], (["a", "b"], 6)), plain=False),
    Shape("nested objects", nested_is_not_shared, value=([1, 2, 3], [1, 2, 3]), plain=False),
    Shape("the flow's own list", flows_own_list_is_not_shared, value=([1, 2], [1]), plain=False),
    Shape("changes by the flow after the call", later_changes_by_the_flow_are_not_seen, value=([1], [1, 2]),
          plain=False),
    Shape("changes by the flow after a barrier", changes_after_a_barrier_are_passed_on,
          value=((["a", "b"], 6), (["a", "b", "d"], 15))),
    Shape("no changes after a barrier", unchanged_after_a_barrier, value=(3, [1, 2, 3], [3, 1, 2]), plain=False),
    Shape("large values between steps", large_values_between_steps, (200_000,),
          ([19999900000.0] * 3, 19999900000.0)),
    Shape("large argument", large_argument, (300_000,), (300_000.0, 299_999.0)),
    Shape("mutable default", default_is_the_functions_own, value=([1, 2], True)),
]  # fmt: skip
