"""Ordinary Python in flow functions, which has to mean what it always means."""

from __future__ import annotations

import collections
import enum
import functools
import operator
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from nbflow import flow, parallel_reduce, step, wait
from tests.conformance.shapes import Shape
from tests.conformance.shapes.basics import Box, add, apply, inc, same, total
from tests.conformance.shapes.errors import fail


class Colour(enum.Enum):
    RED = 1


class MyList(list):
    pass


class MyText(str):
    __slots__ = ()


class Slots:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


class Counted:
    @staticmethod
    @step
    def free(x):
        return x + 1


class Alarm(BaseException):
    pass


@step
def make():
    return {"a": [1, 2], "b": {"c": 3}}


@step
def kinds(*values):
    return [type(value).__name__ for value in values]


@step
def names(**given):
    return sorted(given)


@step
def strict(a, /, *, b):
    return a + b


@step
def one_object(a, b):
    return a is b[0]


@step
def divide(a, b):
    return a / b


@step
def alarms():
    raise Alarm("ring")


@step
def stops():
    raise StopIteration(3)


@step
def fails_twice_over():
    raise ExceptionGroup("both", [ValueError(1), KeyError(2)])


@step
def lacks_an_attribute():
    raise AttributeError("nothing there")


@flow
def types_survive():
    return kinds(
        True, 1, 1.0, np.float64(1), np.int32(1), Decimal(1), Colour.RED, MyList(), MyText("x"), {}, b"x", bytearray(),
        collections.OrderedDict(), collections.Counter("a"), frozenset(), range(3), slice(1), Path("x"), None, ...,
    )  # fmt: skip


@flow
def placeholders_in_subclasses():
    given = total(MyList([inc(1), inc(2)])), same(collections.OrderedDict(a=inc(1))), same(collections.deque([inc(1)]))
    return *given, MyList([inc(3)]), collections.OrderedDict(b=inc(4)), collections.defaultdict(list, c=[inc(5)])


@flow
def placeholders_in_objects():
    held = same(Slots([inc(1)])).a, same(types.SimpleNamespace(x=inc(2))).x
    return *held, same(functools.partial(operator.add, inc(1)))(2), Box(Box(inc(3)))


@flow
def placeholders_in_closures():
    x = inc(1)
    return apply(lambda n: x + n, 1)


@flow
def placeholders_two_hundred_lists_deep():
    deep: Any = inc(1)
    for _ in range(230):
        deep = [deep]
    given, depth = same(deep), 0
    while isinstance(given, list):
        given, depth = given[0], depth + 1
    return given, depth


@flow
def parts_are_changed():
    made = make()
    made["a"].append(3)
    inner = made["b"]
    inner["d"] = inc(3)
    del made["b"]["c"]
    return same(made), same(inner), made


@flow
def one_object_in_two_arguments():
    mine = [1]
    return one_object(mine, [mine]), one_object(make(), [make()])


@flow
def containers():
    made, items = make(), same([3, 1, 2])
    longer = operator.add(items, [1]), operator.add([1], items)
    return [
        *longer,
        "a" in made, len(made), {**made}["a"], made | {"x": 1}, [*items], items * 2,
        sorted(items), items[1:], max(items), list(reversed(items)), items < [4], sum(items), set(items),
    ]  # fmt: skip


@flow
def numbers():
    x = inc(4)
    return [
        divmod(x, 2), round(x), list(range(x)), "abcdef"[x], x.bit_length(), abs(-x), x & 1, x << 2, ~x, 7 % x, 2**x,
        str(x), f"{x!r:>3}", max(x, 3), sorted([inc(3), inc(1)]), {5: "five"}[x], x in [5], not inc(-1),
        inc(1) and "yes", inc(-1) or "no", sorted([2, 1], key=lambda n: inc(-n)),
    ]  # fmt: skip


@flow
def texts():
    text = same("abc")
    return [
        text.upper(), "x" + text, text * 2, text[1], "b" in text, text == "abc",
        str(Path("folder") / text), text.join(["1", "2"]), int(same("12")), f"{text}", hash(text) == hash("abc"),
    ]  # fmt: skip


@flow
def stars():
    return add(*same((1, 2))), names(**same({"x": 1})), names(self=1, function=2, args=3, kwargs=4), strict(1, b=inc(1))


@flow
def static_methods():
    return Counted.free(1), Counted().free(2)


@flow
def maps():
    return same.map("ab"), same.map({"a": 1}), inc.map(range(2)), add.map(make()["a"], [10, 20]), inc.map((1,))


@flow
def maps_of_unequal_length():
    return add.map(same([1, 2, 3]), [1])


@flow
def an_error_among_many():
    out = []
    for value in divide.map([1, 0, 4], b=2), [divide(1, 0), divide(1, 1)]:
        for part in value:
            try:
                out.append(wait(part))
            except ZeroDivisionError:
                out.append(None)
    return out


@flow
def an_error_in_a_reduction():
    return parallel_reduce(add, [inc(1), fail("in the middle"), inc(2)])


def _caught(kind: type[BaseException]) -> Callable[[Callable[[], Any]], Any]:
    def of(call: Callable[[], Any]) -> Any:
        try:
            wait(call())
        except kind as error:
            return type(error).__name__, error.args
        return "nothing was raised"

    return of


@flow
def exceptions_of_all_kinds():
    caught = [_caught(Alarm)(alarms), _caught(StopIteration)(stops), _caught(AttributeError)(lacks_an_attribute)]
    try:
        wait(fails_twice_over())
    except* ValueError as group:
        caught.append(("ValueError", group.exceptions[0].args))
    except* KeyError as group:
        caught.append(("KeyError", group.exceptions[0].args))
    return caught


def _alike(one: Any, other: Any) -> bool:
    return [type(each) for each in one] == [type(each) for each in other] and list(one) == list(other)


KINDS = (
    "bool int float float64 int32 Decimal Colour MyList MyText dict bytes bytearray OrderedDict Counter frozenset "
    "range slice PosixPath NoneType ellipsis"
)
MADE = {"a": [1, 2, 3], "b": {"d": 4}}

SHAPES = [
    Shape("types survive", types_survive, value=KINDS.split()),
    Shape("placeholders in subclasses of containers", placeholders_in_subclasses, same=_alike,
          value=(5, collections.OrderedDict(a=2), collections.deque([2]), MyList([4]), collections.OrderedDict(b=5),
                 collections.defaultdict(list, c=[6]))),
    Shape("placeholders in objects", placeholders_in_objects, value=([2], 3, 4, Box(Box(4)))),
    Shape("placeholders in closures", placeholders_in_closures, value=3),
    Shape("placeholders deep down", placeholders_two_hundred_lists_deep, value=(2, 230)),
    Shape("changes of parts", parts_are_changed, value=(MADE, {"d": 4}, MADE)),
    Shape("one object in two arguments", one_object_in_two_arguments, value=(True, False)),
    Shape("containers", containers,
          value=[[3, 1, 2, 1], [1, 3, 1, 2], True, 2, [1, 2], {"a": [1, 2], "b": {"c": 3}, "x": 1}, [3, 1, 2],
                 [3, 1, 2, 3, 1, 2], [1, 2, 3], [1, 2], 3, [2, 1, 3], True, 6, {1, 2, 3}]),
    Shape("numbers", numbers,
          value=[(2, 1), 5, [0, 1, 2, 3, 4], "f", 3, 5, 1, 20, -6, 2, 32, "5", "  5", 5, [2, 4], "five", True,
                 True, "yes", "no", [2, 1]]),
    Shape("texts", texts,
          value=["ABC", "xabc", "abcabc", "b", True, True, "folder/abc", "1abc2", 12, "abc", True]),
    Shape("starred arguments", stars, value=(3, ["x"], ["args", "function", "kwargs", "self"], 3)),
    Shape("static methods", static_methods, value=(2, 3)),
    Shape("map over anything", maps, value=(["a", "b"], ["a"], [1, 2], [11, 22], [2])),
    Shape("map over unequal lengths", maps_of_unequal_length, error=ValueError, match="shorter"),
    Shape("an error among many", an_error_among_many, value=[0.5, 0.0, 2.0, None, 1.0], plain=False),
    Shape("an error in a reduction", an_error_in_a_reduction, error=ValueError, match="in the middle"),
    Shape("exceptions of all kinds", exceptions_of_all_kinds,
          value=[("Alarm", ("ring",)), ("StopIteration", (3,)), ("AttributeError", ("nothing there",)),
                 ("ValueError", (1,)), ("KeyError", (2,))]),
]  # fmt: skip
