"""When memory is short: who is replaced, how often, and what waits. Children are real, the memory used is made up."""

from __future__ import annotations

import psutil
import pytest

import nbflow
from nbflow.model.errors import ConfigError
from nbflow.queue.memory import MemoryWatch
from nbflow.running.pool import ProcessPool
from nbflow.testing.executor_suite import Bench
from tests.acceptance.worker_jobs import leak, pid, until
from tests.acceptance.workers import words
from tests.servers import wait_until


class Machine:
    """A machine of which so much memory is used."""

    def __init__(self, pool, percent=80):
        self.used = 10.0
        self.watch = MemoryWatch(pool, percent, lambda: self.used)


@pytest.fixture
def bench(tmp_path):
    with Bench(ProcessPool, tmp_path) as bench:
        yield bench


@pytest.fixture
def machine(bench):
    return Machine(bench.executor)


@pytest.fixture
def occupied(bench, tmp_path):
    """Two children that each run something until a file is there."""
    log, go = tmp_path / "log", tmp_path / "go"
    tickets = [bench.submit(until, str(log), name, str(go)) for name in ("one", "two")]
    wait_until(lambda: len(words(log)) == 2)
    yield tickets
    go.touch()


def pids(bench):
    return set(bench.executor.pids())


def test_nothing_happens_while_there_is_memory(bench, machine, occupied):
    before = pids(bench)
    machine.watch.look(0.0)
    assert pids(bench) == before


def test_the_child_that_uses_most_is_replaced_when_its_job_has_ended(bench, machine, tmp_path):
    other = bench.submit(until, str(tmp_path / "log"), "other", str(tmp_path / "go"))
    wait_until(lambda: words(tmp_path / "log"))
    leaky = bench.value(bench.submit(leak, 50))
    kept = pids(bench) - {leaky}
    machine.used = 80.0
    machine.watch.look(0.0)
    wait_until(lambda: not psutil.pid_exists(leaky))
    machine.used = 10.0
    machine.watch.look(1.0)
    assert bench.value(bench.submit(pid)) not in {leaky, *kept}
    (tmp_path / "go").touch()
    assert bench.value(other) == "other"


def test_a_child_that_is_replaced_ends_its_job_first(bench, machine, occupied, tmp_path):
    machine.used = 99.0
    machine.watch.look(0.0)
    before = pids(bench)
    assert len(before) == 2, "both run on"
    (tmp_path / "go").touch()
    assert [bench.value(ticket) for ticket in occupied] == ["one", "two"]
    wait_until(lambda: len(before & pids(bench)) == 1)


@pytest.mark.parametrize(
    ("settings", "window"), [({}, 120.0), ({"job_soft_timeout": 30}, 30.0), ({"job_timeout": 50}, 50.0)]
)
def test_one_child_is_replaced_in_the_time_that_a_job_may_take(bench, machine, occupied, tmp_path, settings, window):
    nbflow.configure(**settings)
    machine.used = 99.0
    for now in (0.0, window / 2, window - 0.1):
        machine.watch.look(now)
    (tmp_path / "go").touch()
    for ticket in occupied:
        bench.value(ticket)
    wait_until(lambda: len(pids(bench)) == 1)
    machine.watch.look(window + 0.1)
    wait_until(lambda: pids(bench) == set())


def test_no_further_child_is_started_while_memory_is_short(bench, machine, tmp_path):
    machine.used = 99.0
    machine.watch.look(0.0)
    log, go = tmp_path / "log", tmp_path / "go"
    tickets = [bench.submit(until, str(log), name, str(go)) for name in ("one", "two")]
    wait_until(lambda: words(log))
    assert len(pids(bench)) == 1, "one there is always"
    machine.used = 10.0
    machine.watch.look(1.0)
    wait_until(lambda: len(words(log)) == 2)
    go.touch()
    assert [bench.value(ticket) for ticket in tickets] == ["one", "two"]


@pytest.mark.parametrize("percent", [0, 0.5, 99.5, 100, -5])
def test_the_limit_is_a_share_of_the_memory(bench, percent):
    with pytest.raises(ConfigError, match="between 1 and 99"):
        MemoryWatch(bench.executor, percent)


def test_without_a_limit_nobody_looks(bench):
    def probe():
        raise AssertionError

    MemoryWatch(bench.executor, None, probe).look(0.0)


def test_the_machine_is_asked_if_nobody_else_is_named(bench):
    MemoryWatch(bench.executor, 99).look(0.0)
    assert bench.executor.pids() == []
