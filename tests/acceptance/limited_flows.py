"""Flows whose time is limited, and flows that start others, for the tests of workers."""

from __future__ import annotations

from pathlib import Path

import nbflow
from nbflow import errors, flow, step
from tests.acceptance.worker_flows import hold, tell, wait_for
from tests.acceptance.worker_jobs import note, until
from tests.servers import wait_until

HOUR = 3_600.0
LONG = 200.0

# --- limited ---------------------------------------------------------------------------------------------------------


@flow(timeout=HOUR)
def restful(log: str, go: str) -> str:
    """Sleeps for longer than it may, while a step of it takes long too."""
    held = hold(log, "held", go)
    nbflow.sleep(10 * HOUR)
    return tell(log, "never", held)


@flow(timeout=HOUR)
def nook(log: str, go: str) -> str:
    """A sub-flow that takes long, with another one in it that does."""
    return hold(log, "nook", go) + corner(log, go)


@flow
def corner(log: str, go: str) -> str:
    return hold(log, "corner", go)


@flow
def outing(log: str, go: str) -> str:
    """Goes on though a sub-flow took too long."""
    try:
        return wait_for(nook(log, go))
    except errors.StepTimeoutError:
        return wait_for(tell(log, "outside", "went on")) + wait_for(tell(log, "home", " home"))


@flow(timeout=HOUR)
def broken() -> None:
    raise ValueError("broken")


@flow
def after_broken() -> list[str]:
    """Is replayed long after a sub-flow failed."""
    try:
        wait_for(broken())
    except Exception as error:
        return [type(error).__name__, nbflow.receive("word")]
    return []


@flow(decision_timeout=5)
def musing(log: str) -> int:
    """Never comes to a decision after the first one."""
    count = tell(log, "first", 1) + 0
    while True:
        count += 1


# --- one starts another ----------------------------------------------------------------------------------------------


@step
def hold_tidily(log: str, go: str) -> str:
    """Runs until the file `go` is there, and says so if it is asked to end before."""
    try:
        return until(log, "child", go)
    except errors.TaskCancelledError:
        note(log, "tidied", "up")
        raise


@flow
def child(log: str, go: str) -> str:
    return hold_tidily(log, go)


@step
def spawn(log: str, go: str, policy: str) -> str:
    """Starts a run that goes on when this step ends."""
    started = child.submit(log, go, executor="queue", on_parent_end=policy)
    wait_until(lambda: Path(log).exists() and "begin child" in Path(log).read_text(), LONG)
    return started.id


@flow
def parent(log: str, go: str, policy: str) -> str:
    return spawn(log, go, policy)


@flow
def waiting_parent(log: str, go: str, policy: str) -> list[str]:
    return [wait_for(spawn(log, go, policy)), hold(log, "parent", go)]


@flow
def starter(log: str) -> list[str]:
    """Starts a run itself, and is replayed afterwards."""
    started = quick.submit(log, executor="queue")
    return [started.id, nbflow.receive("word"), nbflow.receive("word")]


@flow
def quick(log: str) -> str:
    return tell(log, "quick", "done")


# --- remembered ------------------------------------------------------------------------------------------------------


@step(cache=True)
def remembered(log: str, number: int) -> int:
    note(log, "computed", number)
    return number * number


@flow
def squares(log: str, numbers: list[int]) -> list[int]:
    return [remembered(log, number) for number in numbers]
