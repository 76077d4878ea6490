"""Flows on real workers: killed and started anew, raced, with little room. Nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
from collections import Counter

import psutil
import pytest

from nbflow.storage import jobs, opened
from tests.acceptance import worker_flows
from tests.acceptance.workers import words
from tests.servers import wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("suspended_soon")]
LONG = 250.0  # seconds until a test gives up: on a busy machine processes take long to start


def counted(log):
    """How often each line is there, the times in them left out."""
    return Counter(" ".join(line[:2]) for line in words(log))


def is_begin(line):
    return line.startswith("begin")


def kill_all(workers):
    """SIGKILL for workers and their children, at once."""
    found = [psutil.Process(worker.process.pid) for worker in workers if worker.process.poll() is None]
    everybody = [process for parent in found for process in (parent, *parent.children(recursive=True))]
    for process in everybody:
        process.kill()
    psutil.wait_procs(everybody)
    workers.clear()


def on_record(run):
    """Keys of the tasks whose ends are on record."""
    with opened.database().read() as connection:
        found = jobs.of_run(connection, run.id, ["succeeded"])
    return {json.loads(record.policy)["key"] for record in found if record.kind == "task"}


def holders(run):
    """The workers that run its tasks."""
    with opened.database().read() as connection:
        found = jobs.of_run(connection, run.id, ["running"])
    return {record.worker for record in found if record.name == "hold"}


def line_of(task):
    """What a task writes, but for the time."""
    (_, name, *_), _ = task.inputs()
    return name if task.name == "tell" else f"end {name}"


# --- killed and added ------------------------------------------------------------------------------------------------


def test_only_what_was_in_flight_runs_again_after_all_workers_were_killed(start_worker, log, go):
    run = worker_flows.journey.submit(str(log), str(go), 4, executor="queue")
    workers = [start_worker("-c", "2") for _ in range(2)]
    wait_until(lambda: len(on_record(run)) >= 4 and sum(map(is_begin, counted(log))) >= 4, LONG)
    kill_all(workers)
    kept, in_flight = on_record(run), {line for line in counted(log) if is_begin(line)}
    go.touch()
    for _ in range(2):
        start_worker("-c", "2")
    assert run.result(LONG) == worker_flows.journey.plain(f"{log}.plain", str(go), 4)
    assert {counted(log)[line_of(run[key])] for key in kept} == {1}
    assert {counted(log)[line] for line in in_flight} == {2}
    assert {task.record.attempts for task in run.tasks()} == {1}


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_on_record_never_runs_again_whenever_workers_are_killed(start_worker, log, go, seed):
    chance = random.Random(seed)
    go.touch()
    run = worker_flows.race.submit(str(log), f"{log}.bodies", 6, 5, executor="queue")
    kept = {}
    workers = []
    for goal in sorted(chance.sample(range(1, 40), 3)):
        workers += [start_worker("-c", "2") for _ in range(2)]
        wait_until(lambda goal=goal: sum(counted(log).values()) >= goal or run.state.finished, LONG)
        kill_all(workers)
        kept = {key: counted(log) for key in on_record(run)} | kept
    for _ in range(2):
        start_worker("-c", "2")
    assert run.result(LONG) == 6 * (5 + 3)
    for key, before in kept.items():
        assert counted(log)[line_of(run[key])] == before[line_of(run[key])], key
    assert len(kept) >= 3
    assert Counter(attempt.state for attempt in run.attempts()) == {"succeeded": 6 * 7}


def test_workers_that_are_added_take_part_in_a_run_that_goes_on(start_worker, log, go):
    run = worker_flows.journey.submit(str(log), str(go), 4, executor="queue")
    workers = []
    for _ in range(3):
        workers.append(start_worker("-c", "1").ready().ids[0])
        wait_until(lambda: workers[-1] in holders(run), LONG)
    go.touch()
    run.result(LONG)
    assert {attempt.worker for attempt in run.attempts()} == set(workers)


# --- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", ["0.001", "0.02"])
def test_completions_at_once_make_no_decision_twice(start_worker, log, tmp_path, monkeypatch, patience):
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", patience)
    bodies = tmp_path / "bodies.log"
    rounds, width = 8, 10
    for _ in range(3):
        start_worker("-c", "2").ready()
    run = worker_flows.race.submit(str(log), str(bodies), rounds, width, executor="queue")
    assert run.result(LONG) == rounds * (width + 3)
    assert set(counted(log).values()) == {1}
    assert Counter(task.name for task in run.tasks()) == {"tell": rounds * (width + 2), "pair": rounds}
    assert {(attempt.number, attempt.state) for attempt in run.attempts()} == {(1, "succeeded")}
    assert len(run.attempts()) == rounds * (width + 2)
    _assert_one_at_a_time(words(bodies))


def _assert_one_at_a_time(lines):
    """No process began to decide before the one before had left."""
    assert len(lines) > 2, "it was never suspended"
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin[0], end[0], begin[1]) == ("begin", "end", end[1])


def test_runs_that_are_decided_on_at_once_do_not_disturb_one_another(start_worker, log):
    for _ in range(3):
        start_worker("-c", "2")
    runs = [
        worker_flows.race.submit(f"{log}{number}", os.devnull, 3, 3, executor="queue", tags=[f"run{number}"])
        for number in range(6)
    ]
    assert [run.result(LONG) for run in runs] == [3 * (3 + 3)] * 6
    for number in range(6):
        assert set(counted(log.with_name(f"{log.name}{number}")).values()) == {1}


# --- one place -------------------------------------------------------------------------------------------------------


def test_one_place_is_enough_for_flows_in_flows_and_in_jobs(start_worker, log):
    run = worker_flows.crowded.submit(str(log), executor="queue")
    start_worker("-c", "1")
    assert run.result(LONG) == 5 * 3
    assert set(counted(log).values()) == {1}
