"""Limits in time: until when a step may begin, has to be over, may be silent; how long a flow may take."""

from __future__ import annotations

import os
import time

import nbflow
from nbflow import errors, flow, heartbeat, step, wait
from tests.conformance.shapes import Shape
from tests.conformance.shapes.basics import inc
from tests.conformance.shapes.errors import PATH

LONG = 600.0  # seconds that nothing here takes, however slow the machine is


@step(expires=1e-6, retries=3)
def too_late():
    return "begun"


@step(expires=LONG, deadline=2 * LONG, timeout=LONG, heartbeat_timeout=LONG, retries=1)
def early():
    return "in time"


@step(deadline=0.6, retries=1_000_000, delay=0.05)
def never_done():
    raise ValueError("not yet")


@step(deadline=0.4)
def sleeps_past_it():
    time.sleep(30)


@step(heartbeat_timeout=0.4)
def silent():
    time.sleep(30)


@step(heartbeat_timeout=1.0, retries=1)
def silent_once(path):
    with open(path, "a") as file:
        file.write("x")
    if os.path.getsize(path) == 1:
        time.sleep(30)
    return "spoke"


@step(heartbeat_timeout=LONG)
def beats():
    return [heartbeat(number / 20) for number in range(20)]


@step
def rest():
    time.sleep(30)


def told(result, word):
    """Whether a step ended in time-out, and its error has a word."""
    try:
        wait(result)
    except errors.StepTimeoutError as error:
        return word in str(error)
    return False


@flow
def expiring():
    late = too_late()
    after = inc(late)
    try:
        wait(after)
    except errors.JobExpiredError as error:
        return "'too_late' was not begun in time" in str(error), wait(early())
    return None


@flow
def past_deadlines():
    failing, sleeping = never_done(), sleeps_past_it()
    return told(failing, "deadline of 0.6 seconds"), told(sleeping, "deadline of 0.4 seconds"), wait(early())


@flow
def silences(path):
    once, always, beating = silent_once(path), silent(), beats()
    return told(always, "heartbeat_timeout of 0.4 seconds"), wait(once), all(beating)


@flow(timeout=0.6)
def endless():
    nbflow.sleep(3_600)
    return inc(1)


@flow(timeout=0.6)
def branch():
    return rest()


@flow(timeout=LONG)
def cut_off():
    return told(branch(), "flow 'branch' took longer than its timeout of 0.6 seconds"), inc(1)


@flow(timeout=0.6)
def takes_it_for_an_error():
    try:
        wait(rest())
    except Exception:
        return "carried on"
    return "done"


SHAPES = [
    Shape("expired", expiring, value=(True, "in time"), plain=False, attempts={"too_late#1": 1},
          states={"too_late#1": "expired", "inc#1": "skipped", "early#1": "succeeded"}),
    Shape("deadline, a timeout over all tries", past_deadlines, value=(True, True, "in time"), plain=False,
          states={"never_done#1": "timed_out", "sleeps_past_it#1": "timed_out", "early#1": "succeeded"}),
    Shape("heartbeat timeout", silences, (PATH,), (True, "spoke", True), plain=False, attempts={"silent_once#1": 2},
          states={"silent#1": "timed_out", "silent_once#1": "succeeded", "beats#1": "succeeded"}),
    Shape("timeout of a flow", endless, error=TimeoutError, match="flow 'endless' took longer than its timeout of 0.6",
          plain=False, ends="timed_out"),
    Shape("timeout of a sub-flow", cut_off, value=(True, 2), plain=False, states={"branch#1": "timed_out"}),
    Shape("timeout of a flow that catches it", takes_it_for_an_error, error=errors.StepTimeoutError, match="timeout",
          plain=False, ends="timed_out"),
]  # fmt: skip
