"""Values and uses that are easily got wrong."""

from __future__ import annotations

import copy

import numpy as np

from nbflow import flow, step
from tests.conformance.shapes import Shape
from tests.conformance.shapes.basics import inc, same


@step
def prints_half_a_character():
    print("\ud800 and \0")
    return "\ud800"


@step
def fails_with_half_a_character():
    raise ValueError("\ud800 \0")


@flow
def odd_output():
    return prints_half_a_character()


@flow
def odd_error():
    return fails_with_half_a_character()


@flow
def in_place():
    x, y, z = inc(1), same([1]), same({1})
    x += 5
    y += [2]
    z |= {3}
    x *= 2
    return x, y, z, type(x).__name__


@flow
def huge_number():
    return same(10**5000) == 10**5000


@flow
def copies():
    x = same([[1]])
    shallow, deep = copy.copy(x), copy.deepcopy(x)
    deep[0].append(2)
    return x, shallow, deep


@flow
def arrays_of_results():
    made = np.array([inc(1), inc(2)])
    return str(made.dtype), int(np.sum(same([1, 2]))), float(np.sqrt(inc(3)))


SHAPES = [
    Shape("output that is no text", odd_output, value="\ud800"),
    Shape("error message that is no text", odd_error, error=ValueError),
    Shape("in-place operators", in_place, value=(14, [1, 2], {1, 3}, "int")),
    Shape("huge number", huge_number, value=True),
    Shape("copies", copies, value=([[1]], [[1]], [[1, 2]])),
    Shape("arrays of results", arrays_of_results, value=("int64", 3, 2.0)),
]
