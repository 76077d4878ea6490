from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from nbflow.client.run import Run, runs
from nbflow.engine import stores
from nbflow.model.errors import DatabaseMissingError
from tests.commands import CommandProcess, run_command
from tests.faults import kill_flow
from tests.servers import wait_until

RESUME = ["resume", "last", "--json"]
WORKING = 200


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize(("executor", "kills", "seed"), [("threads", 20, 1), ("serial", 15, 2), ("processes", 15, 3)])
def test_a_killed_run_is_resumed_wherever_it_was(executor: str, kills: int, seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    expected = kill_flow.big.plain(kill_flow.PARTS, kill_flow.SIZE)
    for number in range(kills):
        project = tmp_path / f"{number}"
        (project / ".nbflow").mkdir(parents=True)
        os.chdir(project)
        finished = _kill_in_the_middle(project, executor, goal=chance.randrange(WORKING), pause=chance.random() * 0.01)
        if chance.random() < 0.3:
            finished |= _kill_again(project, goal=chance.randrange(WORKING), pause=chance.random() * 0.01)
        ran_before = _log(project)
        done = run_command(RESUME, project, _environment())
        assert done.returncode == 0, (number, done.stderr)
        _check(project, expected, finished, ran_before)
        stores.close_all()


def _check(project: Path, expected: object, finished: set[str], ran_before: Counter[str]) -> None:
    run = runs()[0]
    assert run.state == "succeeded"
    assert run.result() == expected
    tasks = {task.key: task for task in run.tasks()}
    working = [task for task in tasks.values() if task.record.kind == "step"]
    assert len(working) == WORKING
    assert {str(task.state) for task in tasks.values()} == {"succeeded"}
    for task in working:
        args, _ = task.inputs()
        right = args[0] * 2 if task.name == "leaf" else args[0] + args[1]
        assert task.result() == right
        again = _log(project)[_line(task.name, args)] - ran_before[_line(task.name, args)]
        assert again == (0 if task.key in finished else 1), task.key  # what was on record did not run again


def _line(name: str, args: tuple[object, ...]) -> str:
    return f"leaf {args[0]}" if name == "leaf" else f"combine {args[2]}"


def _log(project: Path) -> Counter[str]:
    log = project / kill_flow.LOG
    return Counter(log.read_text().splitlines() if log.exists() else [])


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": str(root), "NBFLOW_ECHO": "false"}


def _kill_in_the_middle(project: Path, executor: str, *, goal: int, pause: float) -> set[str]:
    child = CommandProcess([executor], project, _environment(), module="tests.faults.kill_flow")
    return _kill(project, child, goal, pause)


def _kill_again(project: Path, *, goal: int, pause: float) -> set[str]:
    return _kill(project, CommandProcess(RESUME, project, _environment()), goal, pause)


def _kill(project: Path, child: CommandProcess, goal: int, pause: float) -> set[str]:
    """Kill a process `pause` seconds after `goal` tasks have run; returns the keys that are on record as succeeded."""
    wait_until(lambda: child.poll() is not None or (sum(_log(project).values()) >= goal and _has_run()))
    time.sleep(pause)  # any instant, not only the one after a task
    child.kill()
    child.wait()
    return {task.key for task in _run().tasks() if task.state == "succeeded"}


def _has_run() -> bool:
    try:
        return bool(runs())
    except DatabaseMissingError:
        return False
    finally:
        stores.close_all()


def _run() -> Run:
    try:
        return runs()[0]
    finally:
        stores.close_all()
