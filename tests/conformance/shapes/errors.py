"""Errors, retries, timeouts, and what steps may not return."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import nbflow
from nbflow import errors, flow, heartbeat, step, wait
from tests.conformance.shapes import Shape
from tests.conformance.shapes.basics import add, inc, same, total


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Locked(Exception):
    def __init__(self):
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def _count(path):
    """How often this was called with the path, over all processes."""
    with open(path, "a") as file:
        file.write("x")
    return os.path.getsize(path)


@step
def fail(text="broken"):
    raise ValueError(text)


@step
def fail_late(text):
    time.sleep(0.05)
    raise ValueError(text)


@step
def refuse(code):
    raise Refused(code, "no")


@step
def locked():
    raise Locked


@step
def chained():
    try:
        {}["missing"]
    except KeyError as error:
        raise RuntimeError("could not look it up") from error


@step
def leave(code):
    sys.exit(code)


@step(retries=3)
def third_time(path):
    if _count(path) < 3:
        raise ConnectionError("not yet")
    return "there"


@step(retries=(0.01, 0.02))
def always_failing(path):
    raise OSError(f"try {_count(path)}")


@step(retries=5, retry_on=(OSError,), never_retry_on=(FileNotFoundError,))
def picky(path, kind):
    _count(path)
    raise kind("no")


@step(retries=2, delay=0.01, backoff=2, cap=0.03, jitter=0.5)
def backing_off(path):
    if _count(path) < 3:
        raise OSError("later")
    return "ok"


@step(timeout=0.15)
def too_slow():
    time.sleep(30)


@step(timeout=0.15)
def too_slow_in_python():
    while True:
        pass


@step(timeout=0.15)
def swallows_its_timeout():
    try:
        while True:
            time.sleep(0.01)
    except Exception:
        return "I was not late"


@step(timeout=0.3, retries=1)
def slow_once(path):
    if _count(path) < 2:
        time.sleep(30)
    return "in time"


@step(timeout=20)
def quick():
    return "quick"


@step
def generate():
    yield 1


@step
def generate_lazily():
    return (n for n in range(3))


@step
def unpicklable():
    return {"locks": [1, threading.Lock()]}


@step
def takes(value):
    return 1


@step
async def later(x):
    await asyncio.sleep(0.01)
    return x * 2


@step
async def many_inside(n):
    return sum(await asyncio.gather(*(_twice(i) for i in range(n))))


async def _twice(x):
    await asyncio.sleep(0.001)
    return 2 * x


@step
async def later_failing():
    await asyncio.sleep(0.01)
    raise KeyError("async")


@step(timeout=0.2)
async def later_too_slow():
    await asyncio.sleep(30)


@step
def beating(n):
    return [heartbeat(i / n, f"item {i}") for i in range(n)]


@step
def who_am_i():
    context = nbflow.current()
    return context.key, context.attempt, context.idempotency_key.endswith("/who_am_i#1")


@step(retries=2)
def key_over_retries(path):
    context = nbflow.current()
    with open(path, "a") as file:
        file.write(context.idempotency_key + "\n")
    if context.attempt < 3:
        raise OSError("again")
    with open(path) as file:
        return len(set(file.read().split())), context.attempt


@flow
def error_at_use():
    x = fail("late")
    try:
        return x + 1
    except ValueError as error:
        return f"caught {error}"


@flow
def error_not_at_the_call():
    fail("ignored")
    return inc(1)


@flow
def error_travels():
    return add(inc(fail("first")), inc(1))


@flow
def error_in_a_container():
    return total([inc(1), fail("inside"), inc(2)])


@flow
def error_is_returned():
    return {"fine": inc(1), "broken": fail("returned")}


@flow
def earliest_error_wins():
    quick, slow = fail("quick"), fail_late("slow")
    return add(slow, quick)


@flow
def replaced_by_a_default():
    out = []
    for x in [same(1), fail("x"), same(3)]:
        try:
            out.append(wait(x))
        except ValueError:
            out.append(0)
    return out


@flow
def error_of_a_sub_flow():
    try:
        return wait(error_travels())
    except ValueError as error:
        return str(error)


@flow
def error_of_the_flow_itself():
    inc(1)
    raise LookupError("the flow gives up")


@flow
def own_attributes():
    try:
        wait(refuse(7))
    except Refused as error:
        return error.code


@flow
def raised_again():
    x = fail("again")
    seen = []
    for _ in range(2):
        try:
            wait(x)
        except ValueError as error:
            seen.append(str(error))
    return seen


@flow
def error_without_pickle():
    wait(locked())


@flow
def cause_is_kept():
    try:
        wait(chained())
    except RuntimeError as error:
        return type(error.__cause__).__name__


@flow
def exits():
    return wait(leave(3))


@flow
def independent_work_goes_on():
    good = [inc(n) for n in range(3)]
    wait(fail("middle"))
    return good


@flow
def retried(path):
    return third_time(path)


@flow
def retries_used_up(path):
    return always_failing(path)


@flow
def not_retried(path, kind):
    return picky(path, kind)


@flow
def backed_off(path):
    return backing_off(path)


@flow
def timed_out():
    return too_slow()


@flow
def timed_out_in_python():
    return too_slow_in_python()


@flow
def timeout_swallowed():
    return swallows_its_timeout()


@flow
def timeout_is_caught_as_a_task_error():
    kinds = []
    try:
        wait(too_slow())
    except errors.TaskError as error:
        kinds = [isinstance(error, TimeoutError), isinstance(error, errors.StepTimeoutError)]
    return kinds, inc(1)


@flow
def timeout_retried(path):
    return slow_once(path)


@flow
def in_time():
    return [quick() for _ in range(20)]


@flow
def returns_a_generator():
    return generate()


@flow
def returns_a_generator_expression():
    return generate_lazily()


@flow
def result_cannot_be_stored():
    return unpicklable()


@flow
def argument_cannot_be_stored():
    return takes({"lock": threading.Lock()})


@flow
def argument_contains_itself():
    loop = [1]
    loop.append(loop)
    return takes(loop)


@flow
def wrong_arguments():
    return add(1)


@flow
def asynchronous():
    return [later(n) for n in range(4)], many_inside(20)


@flow
def asynchronous_error():
    return later_failing()


@flow
def asynchronous_timeout():
    return later_too_slow()


@flow
def heartbeats():
    return beating(4)


@flow
def context():
    return who_am_i()


@flow
def idempotency(path):
    return key_over_retries(path)


@flow
def ping(n):
    return pong(inc(n))


@flow
def pong(n):
    return ping(inc(n))


PATH = "calls.txt"  # in the folder of the test

SHAPES = [
    Shape("error at use", error_at_use, value="caught late", plain=False, states={"fail#1": "failed"}),
    Shape("error that nobody looks at", error_not_at_the_call, value=2, plain=False, states={"fail#1": "failed"}),
    Shape("error that travels", error_travels, error=ValueError, match="first",
          states={"fail#1": "failed", "inc#1": "skipped", "inc#2": "succeeded", "add#1": "skipped"}),
    Shape("error in a container", error_in_a_container, error=ValueError, match="inside",
          states={"total#1": "skipped", "inc#2": "succeeded"}),
    Shape("error that is returned", error_is_returned, error=ValueError, match="returned"),
    Shape("earliest error wins", earliest_error_wins, error=ValueError, match="quick", plain=False),
    Shape("error replaced by a default", replaced_by_a_default, value=[1, 0, 3], plain=False),
    Shape("error of a sub-flow", error_of_a_sub_flow, value="first",
          states={"error_travels#1": "failed", "error_travels#1/fail#1": "failed"}),
    Shape("error of the flow itself", error_of_the_flow_itself, error=LookupError, match="gives up",
          states={"inc#1": "succeeded"}),
    Shape("attributes of an error", own_attributes, value=7),
    Shape("error raised at each use", raised_again, value=["again", "again"], plain=False),
    Shape("error that cannot be pickled", error_without_pickle, error=Exception, match="holds a lock"),
    Shape("cause of an error", cause_is_kept, value="KeyError"),
    Shape("sys.exit in a step", exits, error=SystemExit, match="3", states={"leave#1": "failed"}),
    Shape("independent work goes on", independent_work_goes_on, error=ValueError, match="middle",
          states={"inc#1": "succeeded", "inc#3": "succeeded"}),
    Shape("retried", retried, (PATH,), "there", plain=False, attempts={"third_time#1": 3}),
    Shape("retries used up", retries_used_up, (PATH,), error=OSError, match="try 3", plain=False,
          states={"always_failing#1": "failed"}, attempts={"always_failing#1": 3}),
    Shape("retry filter, retried", not_retried, (PATH, OSError), error=OSError, attempts={"picky#1": 6}, plain=False),
    Shape("retry filter, excluded", not_retried, (PATH, FileNotFoundError), error=FileNotFoundError,
          attempts={"picky#1": 1}),
    Shape("retry filter, other", not_retried, (PATH, KeyError), error=KeyError, attempts={"picky#1": 1}),
    Shape("backoff", backed_off, (PATH,), "ok", plain=False, attempts={"backing_off#1": 3}),
    Shape("timeout", timed_out, error=errors.StepTimeoutError, match="0.15", plain=False,
          states={"too_slow#1": "timed_out"}),
    Shape("timeout in a Python loop", timed_out_in_python, error=TimeoutError, plain=False,
          states={"too_slow_in_python#1": "timed_out"}),
    Shape("timeout that is swallowed", timeout_swallowed, error=TimeoutError, plain=False,
          states={"swallows_its_timeout#1": "timed_out"}),
    Shape("timeout is a TaskError", timeout_is_caught_as_a_task_error, value=([True, True], 2), plain=False),
    Shape("timeout, then retried", timeout_retried, (PATH,), "in time", plain=False, attempts={"slow_once#1": 2}),
    Shape("in time", in_time, value=["quick"] * 20),
    Shape("a generator", returns_a_generator, error=errors.StepResultError, match="generat", plain=False),
    Shape("a generator expression", returns_a_generator_expression, error=errors.StepResultError, match="list",
          plain=False),
    Shape("a result that cannot be stored", result_cannot_be_stored, error=errors.UnpicklableError,
          match=r"unpicklable.*locks.*1", plain=False, states={"unpicklable#1": "failed"}),
    Shape("an argument that cannot be stored", argument_cannot_be_stored, error=errors.UnpicklableError,
          match=r"argument 1 of step .takes.*lock", plain=False),
    Shape("an argument that contains itself", argument_contains_itself, error=errors.DefinitionError,
          match="contains itself", plain=False),
    Shape("wrong arguments", wrong_arguments, error=TypeError, match="'b'", states={"add#1": "failed"}),
    Shape("flows that call one another without end", ping, (1,), error=errors.CycleError,
          match="ping -> pong|pong -> ping", plain=False),
    Shape("async steps", asynchronous, value=([0, 2, 4, 6], 380), plain=False),
    Shape("error of an async step", asynchronous_error, error=KeyError, match="async", plain=False),
    Shape("timeout of an async step", asynchronous_timeout, error=TimeoutError, plain=False,
          states={"later_too_slow#1": "timed_out"}),
    Shape("heartbeats", heartbeats, value=[True] * 4),
    Shape("context of an attempt", context, value=("who_am_i#1", 1, True), plain=False),
    Shape("idempotency key", idempotency, (PATH,), (1, 3), plain=False),
]  # fmt: skip
