"""Flows in a script: steps and classes of `__main__`, on every executor, run with plain Python."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.acceptance.conftest import Project

EXECUTORS = ["serial", "threads", "processes"]

SCRIPT = """
import enum, functools, sys
from dataclasses import dataclass
from nbflow import flow, heartbeat, step

FACTOR = 3

class Colour(enum.Enum):
    RED = 1

@dataclass
class Point:
    x: int
    def moved(self, by):
        return Point(self.x + by * FACTOR)

class Odd(Exception):
    def __init__(self, number, *, why):
        super().__init__(f"{number} is odd: {why}")
        self.number = number

def helper(point):
    return point.moved(1)

def twice(function):
    @functools.wraps(function)
    def both(*args):
        return [function(*args), function(*args)]
    return both

@step
def move(point):
    return helper(point)

@step
@twice
def doubled(point):
    return point.x

@step
def colour():
    return Colour.RED

@step
def check(number):
    if number % 2:
        raise Odd(number, why="it is")
    return number

@step
async def later(point):
    import asyncio
    await asyncio.sleep(0)
    return point.x

@step
def apply(function, value):
    return function(value)

@flow
def main():
    start = move(Point(1))
    try:
        checked = check(7) + 0
    except Odd as error:
        checked = error.number
    shift = FACTOR
    return [start, doubled(start), colour(), checked, later(start), apply(lambda x: x + shift, 1),
            apply(functools.partial(pow, 2), 3), move.map([Point(n) for n in range(2)])]

if __name__ == "__main__":
    value = main.run(executor=sys.argv[1], workers=2).result()
    assert value[0] == Point(4) and type(value[0]) is Point, value
    assert value[2] is Colour.RED
    print(value[1], value[3:7], [point.x for point in value[7]])
    plain = main.plain()
    plain[4].close()  # the coroutine of an async step
    assert [*plain[:4], value[4], *plain[5:]] == value
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_everything_may_be_defined_in_the_script(project: Project, executor: str) -> None:
    project.write("script.py", SCRIPT)
    done = _python(project, "script.py", executor)
    assert done.stderr == ""
    assert done.stdout == "[4, 4] [7, 4, 4, 8] [3, 4]\n"


KILLED = """
import os, sys
from nbflow import flow, step

class Model:
    def __init__(self, size): self.size = size

@step
def fit(size):
    open("calls.txt", "a").write("fit\\n")
    return Model(size)

@step
def use(model):
    open("calls.txt", "a").write("use\\n")
    if not os.path.exists("mended"):
        os._exit(9) if sys.argv[1:] == ["processes"] else os.kill(os.getpid(), 9)
    return model.size

@flow
def main():
    model = fit(5)
    assert model.size == 5
    return use(model)

if __name__ == "__main__":
    print(main.run(executor=sys.argv[1]).result())
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_script_that_was_killed_is_resumed_from_what_was_stored(project: Project, executor: str) -> None:
    project.write("script.py", KILLED)
    assert _python(project, "script.py", executor).returncode != 0
    assert project.calls() == ["fit", "use"]
    project.write("mended", "")
    assert project.json("resume", "last")["state"] == "succeeded"
    assert project.calls() == ["use"]


TALKS = """
import sys
from nbflow import flow, step

@step
def talk(number):
    for line in range(500):
        print("line", number, line, flush=True)
    return number

@flow
def main():
    return [talk(number) for number in range(8)]

if __name__ == "__main__":
    run = main.run(executor=sys.argv[1], workers=2)
    print(run.state, len({record.seq for record in run.logs()}), file=sys.stderr)
"""


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_reader_who_closes_the_pipe_does_not_stop_the_run(project: Project, executor: str) -> None:
    """As `python script.py | head -1` does."""
    project.write("script.py", TALKS)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "script.py", executor]
    done = subprocess.run(command, cwd=project.folder, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert done.stderr.splitlines()[-1] in (b"succeeded 8", b"failed 8")  # print() in a step may fail, as in Python


def _python(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=project.folder, capture_output=True, text=True, timeout=30, check=False
    )
