"""Chains, fans, containers, control flow, sub-flows, patterns."""

from __future__ import annotations

import functools
import math
import operator
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

from nbflow import finish_order, first, flow, now, parallel_reduce, random, step, uuid, wait
from nbflow.authoring.flow import inject
from tests.conformance.shapes import Shape

Point = namedtuple("Point", "x y")


@dataclass
class Box:
    content: Any
    label: str = ""


@step
def same(x):
    return x


@step
def inc(x):
    return x + 1


@step
def add(a, b):
    return a + b


@step
def total(values):
    return sum(values)


@step
def count_up(n):
    return list(range(n))


@step
def unpack_box(box):
    return box.content + len(box.label)


@step
def items_of(mapping):
    return sorted(mapping.items())


@step
def describe(*args, sep="-", **kwargs):
    return sep.join([*map(str, args), *(f"{key}{value}" for key, value in sorted(kwargs.items()))])


@step
def identical(a, b):
    return a is b


@step
def halve(x):
    return x / 2


@step
def apply(function, x):
    return function(x)


@step
def two_values():
    return 3, 4


class Model:
    def __init__(self, scale):
        self.scale = scale

    @step
    def predict(self, x):
        return self.scale * x


@flow
def constant():
    return 42


@flow
def one_step():
    return inc(1)


@flow
def chain(n):
    x = 0
    for _ in range(n):
        x = inc(x)
    return x


@flow
def diamond():
    top = inc(1)
    return add(inc(top), inc(top))


@flow
def fan_out_and_in(n):
    return total([inc(i) for i in range(n)])


@flow
def deep_containers():
    a, b = inc(1), inc(2)
    return same({"list": [a, (b, {"inner": [a]})], "set": {1, 2}, "pair": (a, b)})


@flow
def placeholder_as_key():
    return items_of({same("2"): "two", same("k"): inc(2)})


@flow
def placeholder_in_dataclass():
    return unpack_box(Box(inc(1), same("abc")))


@flow
def placeholder_in_namedtuple():
    return same(Point(inc(1), y=inc(2)))


@flow
def result_in_dataclass():
    return Box(inc(1), same("x"))


@flow
def result_in_namedtuple():
    return [Point(inc(1), inc(2))]


@flow
def nested_result():
    a = inc(1)
    return {"a": a, "b": [a, (inc(5), None)], 3: {inc(6)}}


@flow
def keyword_arguments():
    return describe(inc(1), inc(2), sep=same("+"), z=inc(3))


@flow
def twice_the_same():
    x = same([1])
    return identical(x, x)


@flow
def dynamic_fan_out(n):
    return [inc(i) for i in count_up(n)]


@flow
def branch_on_result(x):
    return same("small") if inc(x) < 10 else same("large")


@flow
def loop_until(limit):
    x = same(1)
    while x < limit:
        x = add(x, x)
    return x


@flow
def operators():
    x = inc(4)
    return [x + 1, 1 + x, -x, x * 2 > 9, x**2, f"{x:03d}", int(x), x in (5, 6), x == 5, math.sqrt(add(x, 4))]


@flow
def attributes_and_items():
    p = same(Point(1, [2, 3]))
    return p.x, p.y[1], p._replace(x=inc(9)).x, list(p.y)


@flow
def unpacked():
    a, b = two_values()
    return add(a, b)


@flow
def not_waited_for():
    inc(1)
    return "done"


@flow
def waits():
    x = wait(inc(1))
    return x, wait([inc(2), {"k": inc(3)}]), wait("plain"), wait(same(None)) is None


@flow
def mapped_list():
    return inc.map([1, 2, 3])


@flow
def mapped_placeholder(n):
    return total(inc.map(count_up(n)))


@flow
def mapped_several():
    return add.map([1, 2], count_up(2)), describe.map([1, 2], sep="/", k=inc(0))


@flow
def mapped_empty():
    return inc.map([]), total(inc.map(count_up(0)))


@flow
def inner(x):
    y = inc(x)
    return add(y, y)


@flow
def sub_flow():
    return inc(inner(inc(1)))


@flow
def waiting_inner(n):
    out = 0
    for value in count_up(n):
        out += inc(value) * 1
    return out


@flow
def sub_flows_that_wait_side_by_side():
    return total([waiting_inner(n) for n in range(5)])


@flow
def nested(depth):
    if depth == 0:
        return inc(0)
    x = nested(depth - 1)
    return add(x, 0 if x < 0 else 1)


@flow
def fibonacci(n):
    return same(n) if n < 2 else add(fibonacci(n - 1), fibonacci(n - 2))


@flow
def reduced(n):
    return parallel_reduce(add, [inc(i) for i in range(n)])


@flow
def reduced_one():
    return parallel_reduce(add, [inc(1)])


@flow
def reduced_nothing():
    return parallel_reduce(add, [])


@flow
def first_of_finished():
    a = inc(1)
    wait(a)
    return first(a)


@flow
def finished_in_order():
    values = [inc(n) for n in range(3)]
    wait(values)
    return sorted(wait(finish_order(values)))


@flow
def recorded_helpers():
    moment, name, number = now(), uuid(), random()
    return moment.tzinfo is not None, name.version, 0 <= number < 1


@flow
def odd_values():
    return [same(value) for value in (None, True, 1, 1.0, -0.0, 2**200, "\ud800", b"\0\xff", 1j, ..., (), [], {})]


@flow
def not_a_number():
    return same(float("nan"))


@flow
def functions_as_values():
    scale = 3
    return apply(lambda x: x * scale, 2), apply(functools.partial(operator.mul, 5), 2), same(max)([1, 7])


@flow
def closures_as_steps():
    offset = 10

    @step
    def shift(x):
        return x + offset

    return shift(1), step(lambda x: x * 2)(4)


@flow
def methods_as_steps():
    model = Model(3)
    return model.predict(2), [model.predict(n) for n in range(3)]


@flow
def default_arguments(a, b=2, *rest, c=3, **more):
    return describe(a, b, *rest, c=c, **more)


@flow
def with_options():
    return inc.with_options(name="other", tags=["x"])(1)


def _factory(first_step, second_step):
    def made(x):
        return second_step(first_step(x), 1)

    return made


class Factory:
    def __init__(self, work):
        self.work = work

    def __call__(self, n):
        return [self.work(i) for i in range(n)]


@flow
def many_from_a_generator(n):
    return total(inc(i) for i in range(n)) if n < 0 else total([*(inc(i) for i in range(n))])


@flow
def one_argument_of_many(n):
    results = [inc(i) for i in range(n)]
    return total(results), len(same(results))


@flow
def step_executors():
    return inc.with_options(executor="serial")(inc.with_options(executor="threads")(1))


def _boxes(one, other):
    return vars(one) == vars(other)


SHAPES = [
    Shape("constant", constant, value=42),
    Shape("one step", one_step, value=2, states={"inc#1": "succeeded"}, attempts={"inc#1": 1}),
    Shape("chain", chain, (50,), 50, states={"inc#50": "succeeded"}),
    Shape("diamond", diamond, value=6),
    Shape("fan-out and fan-in", fan_out_and_in, (100,), 5050),
    Shape("placeholders deep in containers", deep_containers,
          value={"list": [2, (3, {"inner": [2]})], "set": {1, 2}, "pair": (2, 3)}),
    Shape("placeholder as dict key", placeholder_as_key, value=[("2", "two"), ("k", 3)]),
    Shape("placeholder in a dataclass", placeholder_in_dataclass, value=5),
    Shape("placeholder in a named tuple", placeholder_in_namedtuple, value=Point(2, 3)),
    Shape("placeholder in a returned dataclass", result_in_dataclass, value=Box(2, "x"), same=_boxes),
    Shape("placeholder in a returned named tuple", result_in_namedtuple, value=[Point(2, 3)]),
    Shape("nested result", nested_result, value={"a": 2, "b": [2, (6, None)], 3: {7}}),
    Shape("keyword arguments", keyword_arguments, value="2+3+z4"),
    Shape("a result passed twice is one object", twice_the_same, value=True),
    Shape("dynamic fan-out", dynamic_fan_out, (4,), [1, 2, 3, 4]),
    Shape("branch, small", branch_on_result, (1,), "small"),
    Shape("branch, large", branch_on_result, (10,), "large"),
    Shape("loop until", loop_until, (100,), 128),
    Shape("operators", operators, value=[6, 6, -5, True, 25, "005", 5, True, True, 3.0]),
    Shape("attributes and items", attributes_and_items, value=(1, 3, 10, [2, 3])),
    Shape("unpacking", unpacked, value=7),
    Shape("a step nobody waits for", not_waited_for, value="done", states={"inc#1": "succeeded"}),
    Shape("wait", waits, value=(2, [3, {"k": 4}], "plain", True)),
    Shape("map over a list", mapped_list, value=[2, 3, 4]),
    Shape("map over a placeholder", mapped_placeholder, (10,), 55, states={"inc.map#1": "succeeded"}),
    Shape("map over several", mapped_several, value=([1, 3], ["1/k1", "2/k1"])),
    Shape("map over nothing", mapped_empty, value=([], 0)),
    Shape("sub-flow", sub_flow, value=7, states={"inner#1": "succeeded", "inner#1/add#1": "succeeded"}),
    Shape("sub-flows that wait, side by side", sub_flows_that_wait_side_by_side, value=20),
    Shape("depth 5", nested, (5,), 6, states={"nested#1/nested#1/nested#1/nested#1/nested#1/inc#1": "succeeded"}),
    Shape("recursion", fibonacci, (6,), 8),
    Shape("parallel_reduce", reduced, (9,), 45, states={"add#8": "succeeded"}),
    Shape("parallel_reduce of one", reduced_one, value=2),
    Shape("parallel_reduce of nothing", reduced_nothing, error=ValueError, match="no values"),
    Shape("first", first_of_finished, value=2),
    Shape("finish_order", finished_in_order, value=[1, 2, 3]),
    Shape("recorded helpers", recorded_helpers, value=(True, 4, True)),
    Shape("odd values", odd_values,
          value=[None, True, 1, 1.0, -0.0, 2**200, "\ud800", b"\0\xff", 1j, ..., (), [], {}]),
    Shape("not a number", not_a_number, value=math.nan, same=lambda one, other: math.isnan(one)),
    Shape("functions as values", functions_as_values, value=(6, 10, 7)),
    Shape("closures and lambdas as steps", closures_as_steps, value=(11, 8)),
    Shape("methods as steps", methods_as_steps, value=(6, [0, 3, 6])),
    Shape("default arguments", default_arguments, (1,), "1-2-c3"),
    Shape("with_options", with_options, value=2, states={"other#1": "succeeded"}),
    Shape("factory, a closure", inject(_factory, name="made", first_step=inc, second_step=add), (1,), 3),
    Shape("factory, a class", inject(Factory, name="made_by_class", work=inc), (3,), [1, 2, 3]),
    Shape("many tasks from a generator", many_from_a_generator, (1000,), 500500),
    Shape("one argument with many results", one_argument_of_many, (200,), (20100, 200)),
    Shape("executors of single steps", step_executors, value=3),
]  # fmt: skip
