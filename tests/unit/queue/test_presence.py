"""Who counts as dead: by the process where it can be seen, else by the lease."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil
import pytest

from nbflow.model.jobs import WorkerRecord
from nbflow.queue import presence
from tests.acceptance.workers import alive
from tests.servers import wait_until

NOW = 2_000_000_000.0
_START, _, _PIDS = presence.boot().partition("/")


@pytest.fixture
def process():
    """A process that leads a group of its own, and a member of that group."""
    script = "import subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
    command = [sys.executable, "-c", script]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None
    started.member = int(started.stdout.readline())
    yield started
    if alive(started.member):
        os.kill(started.member, 9)
    started.kill()
    started.wait()
    started.stdout.close()


def worker(process=None, **values):
    pid = process.pid if process is not None else os.getpid()
    record = WorkerRecord(
        "w" * 12, presence.host(), presence.boot(), pid, psutil.Process(pid).create_time(), "running", "[]", "[]", 2,
        "[]", 0, 0, "1.0", NOW, NOW, NOW + 15,
    )  # fmt: skip
    return record._replace(**values)


def test_a_worker_whose_process_runs_is_alive():
    assert not presence.is_dead(worker(), NOW)


def test_a_worker_whose_process_is_gone_is_dead_at_once(process):
    record = worker(process)
    process.kill()
    wait_until(lambda: presence.is_dead(record, NOW))
    process.wait()
    assert presence.is_dead(record, NOW)


def test_a_process_of_the_same_number_is_another_one():
    assert presence.is_dead(worker(process_started=psutil.Process().create_time() - 100), NOW)


def test_a_worker_that_is_silent_past_its_lease_is_dead_though_its_process_is_there():
    assert not presence.is_dead(worker(), NOW + 15 + presence.MARGIN)
    assert presence.is_dead(worker(), NOW + 15 + presence.MARGIN + 0.1)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": "another"},
        {"boot": "another-start/" + _PIDS, "seen_at": NOW},  # a machine of the same name
        {"boot": _START + "/pid:[1]"},  # a container of the same name
        {"boot": _START + "/pid:[1]", "seen_at": 0.0},
    ],
    ids=["machine", "namesake", "container", "container seen long ago"],
)
def test_processes_elsewhere_are_judged_by_their_lease_alone(elsewhere):
    record = worker(pid=2**22 + 1, **elsewhere)
    assert not presence.is_dead(record, NOW)
    assert presence.is_dead(record, NOW + 60)


def test_a_worker_from_before_the_machine_started_is_dead():
    assert presence.is_dead(worker(boot="an-earlier-start/" + _PIDS, seen_at=psutil.boot_time() - 10), NOW)


def test_children_are_noted_with_the_time_of_their_start(process):
    assert json.loads(presence.children_of([process.pid, 2**22 + 1])) == [
        [process.pid, psutil.Process(process.pid).create_time()]
    ]


@pytest.mark.parametrize("leader_is_dead", [False, True])
def test_what_a_dead_worker_left_here_is_killed_with_all_that_it_started(process, leader_is_dead):
    record = worker(children=presence.children_of([process.pid]))
    if leader_is_dead:
        process.kill()
        process.wait()
    assert alive(process.member)
    presence.end_children(record)
    wait_until(lambda: not alive(process.member) and process.poll() is not None)


@pytest.mark.parametrize("elsewhere", [{"host": "another"}, {"boot": "another/pid:[1]"}])
def test_what_runs_elsewhere_under_the_same_number_is_let_be(process, elsewhere):
    presence.end_children(worker(children=presence.children_of([process.pid]), **elsewhere))
    assert alive(process.member)


def test_a_process_that_has_the_number_now_is_let_be(process):
    started = psutil.Process(process.pid).create_time()
    presence.end_children(worker(children=json.dumps([[process.pid, started - 100]])))
    assert alive(process.member)
