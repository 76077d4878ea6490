"""Random flow programs: every executor gives what plain Python gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow import flow, parallel_reduce, step, wait

# A program is a list of instructions; each appends a value to a list of variables that later ones refer to by number.
VARIABLE = st.integers(0, 30)
INSTRUCTION = st.one_of(
    st.tuples(st.just("constant"), st.integers(-5, 5)),
    st.tuples(st.just("add"), VARIABLE, VARIABLE),
    st.tuples(st.just("pack"), st.lists(VARIABLE, max_size=4), st.sampled_from(["list", "tuple", "dict"])),
    st.tuples(st.just("flatten"), VARIABLE),
    st.tuples(st.just("divide"), VARIABLE, VARIABLE),
    st.tuples(st.just("map"), st.lists(VARIABLE, max_size=4)),
    st.tuples(st.just("map result"), VARIABLE),
    st.tuples(st.just("sub-flow"), VARIABLE, VARIABLE),
    st.tuples(st.just("wait"), VARIABLE),
    st.tuples(st.just("branch"), VARIABLE, VARIABLE, VARIABLE),
    st.tuples(st.just("catch"), VARIABLE),
    st.tuples(st.just("reduce"), st.lists(VARIABLE, min_size=1, max_size=4)),
)
PROGRAM = st.lists(INSTRUCTION, min_size=1, max_size=14)


def number(value: Any) -> int:
    """Any value as a number, so that every instruction can take every variable."""
    if isinstance(value, dict):
        return sum(number(part) for item in value.items() for part in item)
    if isinstance(value, (list, tuple)):
        return len(value) + sum(number(part) for part in value)
    if isinstance(value, str):
        return len(value)
    return int(value)


@step
def add(a, b):
    return number(a) + number(b)


@step
def divide(a, b):
    return number(a) // (number(b) % 3)  # fails every third time


@step
def flatten(value):
    return [number(value), number(value) + 1]


@flow
def inner(a, b):
    both = add(a, b)
    if both > 10:
        return [divide(both, a), both]
    return {"small": add(both, 1)}


@flow
def program(instructions):
    variables: list[Any] = [1, 2]
    for kind, *arguments in instructions:
        variables.append(_do(kind, arguments, variables))
    return variables


def _do(kind, arguments, variables):
    def get(position):
        return variables[position % len(variables)]

    if kind == "constant":
        return arguments[0]
    if kind in ("add", "divide", "sub-flow"):
        return {"add": add, "divide": divide, "sub-flow": inner}[kind](get(arguments[0]), get(arguments[1]))
    if kind == "pack":
        parts = [get(position) for position in arguments[0]]
        return {"list": list, "tuple": tuple, "dict": lambda found: dict(enumerate(found))}[arguments[1]](parts)
    if kind == "flatten":
        return flatten(get(arguments[0]))
    if kind == "map":
        return flatten.map([get(position) for position in arguments[0]])
    if kind == "map result":
        return add.map(flatten(get(arguments[0])), flatten(get(arguments[0])))
    if kind == "wait":
        return wait(get(arguments[0]))
    if kind == "branch":
        condition, yes, no = (get(position) for position in arguments)
        return add(yes, 1) if number(wait(condition)) % 2 else no
    if kind == "catch":
        try:
            return wait(divide(get(arguments[0]), 0 if number(wait(get(arguments[0]))) % 2 else 1))
        except ZeroDivisionError:
            return -1
    return parallel_reduce(add, [number(wait(get(position))) for position in arguments[0]])


def outcome(call):
    try:
        return "value", call()
    except ZeroDivisionError:
        return "error", None


@pytest.mark.timeout(240)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes", "dask"])
@given(instructions=PROGRAM)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_random_program_gives_what_plain_python_gives(executor, instructions):
    run = program.run(instructions, executor=executor, workers=2)
    expected = outcome(lambda: program.plain(instructions))
    # What is returned holds every variable, so that no error can be overlooked.
    assert outcome(run.result) == expected
    assert {str(task.state) for task in run.tasks()} <= {"succeeded", "failed", "skipped"}
