"""Deployments that follow the runs of others."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from nbflow import settings
from nbflow.deploying.following import Following
from nbflow.deploying.starts import Starts
from nbflow.deploying.triggers import Triggers
from nbflow.queue.broker import Broker
from nbflow.storage import jobs, runs
from nbflow.storage.database import open_database
from nbflow.testing.clock import VirtualClock
from nbflow.values.project import value_store
from tests.unit.deploying.triggers.deployed import NOW, deploy, job_count, parameter, started
from tests.unit.deploying.triggers.test_triggers import begin
from tests.unit.storage.records import run


@pytest.fixture
def following(starts):
    return Following(starts)


@pytest.fixture
def after(database):
    deploy(database, "after", parameter("run"))
    return "after"


def end(database, clock, name, state="succeeded", **changes):
    """Have a run end."""
    clock.advance(1)
    filled = {"flow": "training", "finished_at": clock.time(), "owner": None, **changes}
    with database.write() as connection:
        runs.create(connection, run(name, state=state, **filled))


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("success", ["good"]),
        ("failure", ["bad", "late"]),
        ("any", ["bad", "gone", "good", "late"]),
    ],
)
def test_each_end_that_is_waited_for_starts_one_run(database, triggers, following, clock, after, on, expected):
    end(database, clock, "before")
    clock.advance(1)
    triggers.add("flow", after, flow="training", on=on, run_as="run")
    for name, state in (("good", "succeeded"), ("bad", "failed"), ("late", "timed_out"), ("gone", "cancelled")):
        end(database, clock, name, state)
    end(database, clock, "other", flow="cleaning")
    end(database, clock, "unfinished", "running", finished_at=None)
    for _ in range(3):
        following.scan()
    assert sorted(parameters["run"] for _, parameters in started(database)) == expected


def test_a_deployment_is_followed_by_its_name_and_hands_its_logical_time_on(
    database, triggers, following, clock, after
):
    triggers.add("flow", after, flow="nightly")
    end(database, clock, "r", deployment="nightly", logical_time=86_400.0)
    following.scan()
    (firing,) = triggers.history("after")
    with database.read() as connection:
        assert jobs.get(connection, [firing.job])[firing.job].logical_time == 86_400.0


def test_a_run_that_is_resumed_after_a_failure_is_told_again_when_it_succeeds(
    database, triggers, following, clock, after
):
    triggers.add("flow", after, flow="training", on="any")
    end(database, clock, "r", "failed")
    following.scan()
    runs.claim(database, "r", "me", pid=1, process_started=1.0, lease=30.0, now=clock.time())
    following.scan()
    clock.advance(1)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE runs SET state = 'succeeded', finished_at = {clock.time()} WHERE id = 'r'")
    following.scan()
    assert sorted(each.key for each in triggers.history("after")) == ["flow/r/failed", "flow/r/succeeded"]


def test_an_end_that_was_recorded_late_is_not_missed(database, triggers, following, clock, after):
    triggers.add("flow", after, flow="training", run_as="run")
    clock.advance(1000)
    end(database, clock, "second")
    following.scan()
    end(database, clock, "first", finished_at=clock.time() - 900)
    following.scan()
    assert [parameters["run"] for _, parameters in started(database)] == ["second", "first"]


def test_a_follower_that_takes_no_more_is_told_later_and_keeps_no_other_waiting(
    database, triggers, following, clock, after
):
    deploy(database, "roomy", parameter("run"))
    triggers.add("flow", after, flow="training", most_waiting=2, run_as="run")
    for number in range(150):
        end(database, clock, f"r{number:03}")
    triggers.add("flow", "roomy", flow="cleaning", run_as="run")
    end(database, clock, "clean", flow="cleaning")
    following.scan()
    assert [name for name, _ in started(database)].count("roomy") == 1
    assert [name for name, _ in started(database)].count("after") == 2
    for _ in range(3):
        begin(database, *[each.job for each in triggers.history("after", limit=1000)])
        following.scan()
    told = [parameters["run"] for name, parameters in started(database) if name == "after"]
    assert sorted(told) == [f"r{number:03}" for number in range(8)]


def test_a_parameter_that_is_gone_is_told_and_keeps_nobody_waiting(database, triggers, following, clock, after):
    triggers.add("flow", after, flow="training", run_as="run")
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE flow_versions SET parameters = '[]'")
    end(database, clock, "r")
    assert following.scan() == 1
    assert "no parameters" in triggers.listed()[0].error
    assert started(database) == []


def test_scanners_that_race_tell_of_each_end_once(database, starts, triggers, clock, after):
    triggers.add("flow", after, flow="training", run_as="run", most_waiting=1000)
    for number in range(20):
        end(database, clock, f"r{number}")
    threads = [threading.Thread(target=Following(starts).scan) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Following(starts).scan()
    assert job_count(database) == 20


def test_nothing_is_looked_through_where_nobody_follows(database, following, clock):
    end(database, clock, "r")
    assert following.scan() == 0


class Mortal(VirtualClock):
    """A clock at which a scanner dies, in the midst of its transaction."""

    broken = False

    def time(self):
        if self.broken:
            raise MemoryError("it dies here")
        return super().time()


class Ends(RuleBasedStateMachine):
    """Runs end, go on and end again; scanners come and die. Each end that is still one is told once."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = open_database(f"sqlite:///{Path(self.folder.name) / 'nbflow.db'}")
        self.clock = Mortal(NOW)
        broker = Broker(self.database, value_store(settings.current()), self.clock)
        self.starts = Starts(broker)
        self.scanners = [Following(self.starts) for _ in range(2)]
        deploy(self.database, "after", parameter("run"))
        Triggers(broker, self.starts).add(
            "flow", "after", flow="training", on="any", run_as="run", most_waiting=1_000_000
        )
        self.waiting = {}  # run: state in which it ended, untold
        self.told = set()
        self.count = 0

    @rule(state=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def ends(self, state):
        self.count += 1
        end(self.database, self.clock, f"r{self.count}", state)
        self.waiting[f"r{self.count}"] = state

    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed"]))
    def goes_on_and_ends_again(self, data, state):
        if not self.count:
            return
        name = f"r{data.draw(st.integers(1, self.count))}"
        runs.claim(self.database, name, "me", pid=1, process_started=1.0, lease=0.0, now=self.clock.time())
        self.clock.advance(1)
        at = self.clock.time()
        with self.database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE runs SET state = '{state}', finished_at = {at}, owner = NULL WHERE id = '{name}'"
            )
        self.waiting[name] = state

    @rule(which=st.integers(0, 1))
    def scans(self, which):
        self.scanners[which].scan()
        self.told |= set(self.waiting.items())
        self.waiting.clear()

    @rule(which=st.integers(0, 1))
    def dies_while_it_scans(self, which):
        self.clock.broken = True
        try:
            self.scanners[which].scan()
        except MemoryError:
            pass
        else:
            self.told |= set(self.waiting.items())
            self.waiting.clear()
        self.clock.broken = False
        self.scanners[which] = Following(self.starts)

    @invariant()
    def each_end_was_told_once(self):
        with self.database.read() as connection:
            keys = [row[0] for row in connection.exec_driver_sql("SELECT key FROM trigger_firings")]
        assert sorted(keys) == sorted(f"flow/{name}/{state}" for name, state in self.told)
        assert job_count(self.database) == len(self.told)

    def teardown(self):
        self.database.close()
        self.folder.cleanup()


Ends.TestCase.settings = hypothesis_settings(max_examples=15, stateful_step_count=15, deadline=None)


TestEnds = Ends.TestCase
