"""Flows for the tests of workers. Their steps, and their functions, note in a side log what they do."""

from __future__ import annotations

import os
from typing import Any

import nbflow
from nbflow import flow, step
from nbflow.model.errors import SoftTimeoutError, StepTimeoutError
from nbflow.storage import opened, schema
from tests.acceptance.worker_jobs import note, stay, until


@step
def tell(log: str, name: str, value: Any = None) -> Any:
    """Note that it ran."""
    note(log, name)
    return value


@step
def hold(log: str, name: str, go: str) -> str:
    """Run until the file `go` is there."""
    return until(log, name, go)


@step(queue="far")
def far(number: int) -> int:
    """Run on a queue of its own."""
    return number + 1


@flow
def there_and_back(number: int) -> int:
    """A step on another queue, and one on this."""
    return double(far(number))


@step
def double(number: int) -> int:
    """Twice the number."""
    return 2 * number


@flow
def quadruple(number: int) -> int:
    """Two steps in a row."""
    return double(double(number))


@flow
def branch(log: str, name: str, go: str) -> int:
    """A sub-flow with a barrier before and after what takes long."""
    before = tell(log, f"{name}.before", 1) + 0
    held = hold(log, f"{name}.held", go)
    return before + tell(log, f"{name}.after", len(wait_for(held)))


def wait_for(value: Any) -> Any:
    """A plain value."""
    return nbflow.wait(value)


@flow
def journey(log: str, go: str, width: int) -> int:
    """Short steps, steps and sub-flows that take long, short steps again; barriers between them."""
    total: int = sum(tell(log, f"first{number}", number) for number in range(width))
    held = [hold(log, f"held{number}", go) for number in range(width)]
    total += sum([branch(log, f"branch{number}", go) for number in range(2)])
    total += sum(len(name) for name in held)
    for number in range(width):
        total = tell(log, f"last{number}", total) + 1
    return total


@flow
def robbed(flag: str) -> str:
    """Its run is taken over by a process that dies at once, but not again."""
    attempt = nbflow.current()
    if not os.path.exists(flag):
        note(flag, "robbed")
        with opened.database().write() as connection:
            mine = schema.runs.c.id == attempt.run
            connection.execute(schema.runs.update().where(mine).values(owner="another", lease_until=0.0))
    return tell(f"{flag}.log", "end", "kept")


# --- decisions -------------------------------------------------------------------------------------------------------


@flow
def pair(log: str, name: str) -> int:
    """Two steps that end at about the same time."""
    left, right = tell(log, f"{name}.left", 1), tell(log, f"{name}.right", 2)
    return left + right


@flow
def race(log: str, bodies: str, rounds: int, width: int) -> int:
    """Many short steps side by side. How often, and when, its function is executed is noted in `bodies`."""
    note(bodies, "begin", os.getpid())
    try:
        total = 0
        for number in range(rounds):
            total += sum([tell(log, f"{number}.{place}", 1) for place in range(width)])
            total += pair(log, f"pair{number}")
        return total
    finally:
        note(bodies, "end", os.getpid())


# --- time and signals ------------------------------------------------------------------------------------------------


@flow
def nap(log: str, seconds: float) -> int:
    """Sleep between two steps."""
    first = tell(log, "before", 1) + 0
    nbflow.sleep(seconds)
    return first + tell(log, "after", 1)


@flow
def listen(names: list[str], timeout: float | None = None) -> list[Any]:
    """Take signals of these names, one after the other."""
    return [_heard(name, timeout) for name in names]


def _heard(name: str, timeout: float | None) -> Any:
    try:
        return nbflow.receive(name, timeout)
    except StepTimeoutError:
        return "nobody"


@flow
def listener(log: str, number: int) -> Any:
    """A sub-flow that takes two signals, and notes the first."""
    first = nbflow.receive("word")
    return [wait_for(tell(log, f"{number}.{first}", first)), nbflow.receive("word")]


@flow
def listeners(log: str, count: int) -> list[Any]:
    """Sub-flows side by side that take signals of one name."""
    return [listener(log, number) for number in range(count)]


# --- ends ------------------------------------------------------------------------------------------------------------


@flow
def outer(log: str, go: str) -> str:
    """Steps, and sub-flows in a sub-flow, that take long; and one that waits for them."""
    held = hold(log, "outer", go)
    return tell(log, "never", held + inner(log, go, 2))


@flow
def inner(log: str, go: str, depth: int) -> str:
    """Flows in flows."""
    held = hold(log, f"inner{depth}", go)
    return held + inner(log, go, depth - 1) if depth else held


@step(timeout=0.3)
def too_slow(log: str) -> None:
    stay(log, "too slow", 600)


@step(timeout=600, soft_timeout=8)  # counted from the import of its module on
def cleans_up(log: str) -> str:
    try:
        return stay(log, "cleaned", 600)
    except SoftTimeoutError:
        return "partly"


@step(timeout=600, soft_timeout=0.3)
def lets_it_through(log: str) -> str:
    return stay(log, "let through", 600)


@step(retries=3, delay=(0.0, 0.05, 0.1))
def third_time(log: str) -> str:
    note(log, "try")
    if nbflow.current().attempt < 3:  # type: ignore[union-attr]
        raise OSError("not yet")
    return "at last"


@step(retries=2, delay=0.05, retry_on=OSError, never_retry_on=FileNotFoundError)
def never_again(log: str) -> None:
    note(log, "never again")
    raise FileNotFoundError("gone")


@step(retries=1, timeout=0.3)
def slow_twice(log: str) -> None:
    stay(log, "slow twice", 600)


@step(retries=5, delay=(0.0, 0.0, 3.0))
def tries(log: str, go: str) -> str:
    note(log, "try")
    if not os.path.exists(go):
        raise OSError("not yet")
    return f"tried {nbflow.current().attempt} times"  # type: ignore[union-attr]


@flow
def stubborn(log: str, go: str) -> str:
    return tries(log, go)


@flow
def troubles(log: str) -> list[str]:
    """What became of steps that fail, time out and are tried again."""
    results = [f(log) for f in (too_slow, cleans_up, lets_it_through, third_time, never_again, slow_twice)]
    return [_outcome(result) for result in results]


def _outcome(result: Any) -> str:
    try:
        return str(nbflow.wait(result))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# --- one place -------------------------------------------------------------------------------------------------------


@step
def starts_a_flow(log: str, name: str) -> int:
    """A flow run from inside of a job, which waits for it."""
    return pair.run(log, name, executor="queue").result()  # type: ignore[no-any-return]


@step
def submits_a_flow(log: str, name: str) -> int:
    """The same, but the flow function is a job of its own."""
    return pair.submit(log, name, executor="queue").result()  # type: ignore[no-any-return]


@flow
def crowded(log: str) -> int:
    """Flows in flows and in steps."""
    sums = [pair(log, f"sub{number}") for number in range(3)]
    sums.append(starts_a_flow(log, "run"))
    sums.append(submits_a_flow(log, "submitted"))
    return sum(sums)


# --- anywhere --------------------------------------------------------------------------------------------------------


@step
def square(number: int) -> int:
    return number * number


@step
def fails(number: int) -> int:
    raise ValueError(number)


@flow
def squares(numbers: list[int]) -> dict[str, Any]:
    """Fan-out, a barrier, a branch that depends on it, an error that is caught, a sub-flow."""
    found = [square(number) for number in numbers]
    if sum(found) > 10:
        found.append(square(found[-1]))
    try:
        wait_for(fails(numbers[0]))
    except ValueError as error:
        caught = str(error)
    return {"squares": found, "caught": caught, "when": nbflow.now() is not None, "sub": sub(numbers)}


@flow
def sub(numbers: list[int]) -> int:
    return sum(square(number) for number in numbers)
