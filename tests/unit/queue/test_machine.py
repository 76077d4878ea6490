"""A state machine over the real database: jobs are enqueued, claimed, ended, cancelled and waited for in any order.

After each step the limits hold, no place of a gate is lost or taken twice, lines stand at gates that are full, and in
the end nothing is left that could go on.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import nbflow
from nbflow.model.errors import ConfigError
from nbflow.queue.options import Limit, Unique
from nbflow.queue.queue import Queue
from nbflow.storage import opened, raw
from tests.unit.queue.tables import Table

FINISHED = {"succeeded", "failed", "timed_out", "cancelled", "skipped", "expired"}
QUEUES = ("default", "narrow", "slow")  # without limits; with places for two; with three starts in 10 seconds
LIMITS = (Limit("one", 1), Limit("two", 2), Limit("rate", 2, per=8.0), Limit("one", 3, per=20.0))
RATES = (("rate:key:rate", 2, 8), ("rate:key:one", 3, 20), ("rate:queue:slow", 3, 10))
LOCKS = (None, None, "a", "b")


class Machine(RuleBasedStateMachine):
    """Jobs, and two workers that do with them what the rules say."""

    make_url = None  # set by the tests

    @initialize()
    def open(self):
        nbflow.configure(db=type(self).make_url())
        self.table = Table(Queue())
        self.other = Table(Queue(), self.table.clock, worker="other")
        Queue("narrow").create(max_running=2)
        Queue("slow").create(rate=(3, 10))
        self.jobs = {}  # id: the options that it was enqueued with
        self.begun = []  # (time, gates) of every claim

    # --- rules ---------------------------------------------------------------------------------------------------

    @rule(
        queue=st.sampled_from(QUEUES),
        limits=st.lists(st.sampled_from(LIMITS), max_size=2, unique=True),
        lock=st.sampled_from(LOCKS),
        priority=st.integers(-1, 1),
        eta=st.sampled_from([None, None, None, 3.0, 12.0]),
        expires=st.sampled_from([None, None, None, 5.0]),
        key=st.sampled_from([None, None, "k"]),
        how=st.sampled_from([{}, {"scope": "waiting"}, {"debounce": True}]),
        needs=st.lists(st.integers(0, 30), max_size=3),
        when=st.sampled_from(["success", "any", "failure", "stopped"]),
        retries=st.sampled_from([0, 2]),
    )
    def enqueue(self, queue, limits, lock, priority, eta, expires, key, how, needs, when, retries):
        known = list(self.jobs)
        after = sorted({known[number % len(known)] for number in needs}) if known else []
        options = {
            "limits": tuple(limits), "lock": lock, "priority": priority, "eta": eta, "expires": expires,
            "unique": Unique(key, **how) if key else None, "after": after, "when": when, "retries": retries,
        }  # fmt: skip
        try:
            id_ = self.table.enqueue(queue=queue, **options)
        except ConfigError as error:
            if not how.get("debounce") or "would wait for itself" not in str(error):
                raise
        else:
            self.jobs[id_] = {**options, "queue": queue}

    @rule(most=st.integers(1, 4), who=st.sampled_from(["table", "other"]))
    def claim(self, most, who):
        table = getattr(self, who)
        for id_ in table.claim(most):
            record = table.job(id_).record
            self.begun.append((table.clock.time(), json.loads(record.gates or "[]")))

    @rule(number=st.integers(0, 10), how=st.sampled_from(["end", "fail", "again", "later", "lose", "back", "suspend"]))
    def finish(self, number, how):
        table, id_ = self._running(number)
        {
            "end": lambda: table.end(id_),
            "fail": lambda: table.fail(id_),
            "again": lambda: table.put_off(id_, 0),
            "later": lambda: table.put_off(id_, 4),
            "lose": lambda: table.end(id_, exit="signal 9"),
            "back": lambda: table.end(id_, state="cancelled"),
            "suspend": lambda: table.suspend(id_, 5),
        }[how]()

    @rule(number=st.integers(0, 10))
    def begin(self, number):
        table, id_ = self._running(number)
        assume(not table.hand[id_].told_start)  # a start is told once
        table.begin(id_)

    @rule(number=st.integers(0, 40))
    @precondition(lambda self: self.jobs)
    def cancel(self, number):
        self.table.job(self._any(number)).cancel()

    @rule(number=st.integers(0, 40))
    @precondition(lambda self: self.jobs)
    def requeue(self, number):
        self.table.broker.requeue([self._any(number)])

    @rule(number=st.integers(0, 40), once=st.booleans())
    @precondition(lambda self: self.jobs)
    def revoke(self, number, once):
        self.table.broker.revoke(f"id:{self._any(number)}", once=once, until=self.table.clock.time() + 6)

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 11.0]))
    def wait(self, seconds):
        self.table.clock.advance(seconds)
        self.table.tick()

    @rule(queue=st.sampled_from(QUEUES), paused=st.booleans())
    def pause(self, queue, paused):
        Queue(queue).create(**self._limits(queue))  # "default" need not have been made
        (Queue(queue).pause if paused else Queue(queue).resume)()

    @rule(most=st.sampled_from([1, 2, 3]))
    def widen(self, most):
        Queue("narrow").create(max_running=most)

    # --- what always holds ---------------------------------------------------------------------------------------

    @invariant()
    def places_are_those_of_the_jobs_that_passed(self):
        if not hasattr(self, "table"):
            return
        rows, gates, starts = self._rows(), self._all("SELECT * FROM gates"), self._all("SELECT * FROM gate_starts")
        inside = Counter()
        counted = {(gate, job) for gate, job, _ in starts}
        for row in rows:
            if row["state"] in ("ready", "running"):
                key = f"{row['id']}:{row['token']}"
                began_ = counted if row["state"] == "running" else ()  # else it is an earlier start of the job
                inside.update(name for name in json.loads(row["gates"] or "[]") if (name, key) not in began_)
        began = Counter(gate for gate, _, _ in starts)
        for name, capacity, _, held, _ in gates:
            over = self._forgotten(rows, name, counted)
            assert held == inside[name] + began[name] - over, name
            assert held <= max(capacity, self._before(name)), name

    @invariant()
    def jobs_in_line_are_those_that_could_go_on_but_for_a_gate(self):
        if not hasattr(self, "table"):
            return
        rows = {row["id"]: row for row in self._rows()}
        lines = {line[0]: line for line in self._all("SELECT * FROM gate_lines")}
        waits = self._all("SELECT * FROM gate_waits")
        gates = {gate[0]: gate for gate in self._all("SELECT * FROM gates")}
        for line, priority, place, job in waits:
            row = rows[job]
            assert (row["state"], row["priority"], row["place"], row["due_at"], row["waiting"]) == (
                "pending", priority, place, None, 0,
            ), job  # fmt: skip
            assert line in lines
        assert len({wait[3] for wait in waits}) == len(waits), "a job stands in one line"
        heads = {}
        for line, priority, place, _ in waits:
            heads[line] = min(heads.get(line, (priority, place)), (priority, place))
        assert {line: found[4:] for line, found in lines.items()} == heads
        paused = {name for name, flag in self._all("SELECT name, paused FROM queues") if flag}
        for _, queue, names, gate, _, _ in lines.values():
            if queue in paused:
                assert gate == ""
            else:
                assert gate in json.loads(names)
                assert gates[gate][3] >= gates[gate][1], "it stands at a gate that is full"

    @invariant()
    def starts_and_runs_keep_to_the_limits(self):
        if not hasattr(self, "table"):
            return
        running = Counter()
        for row in self._rows():
            if row["state"] == "running":
                running.update(json.loads(row["gates"] or "[]"))
        assert running["lock:a"] <= 1
        assert running["lock:b"] <= 1
        assert running["key:one"] <= 1
        assert running["key:two"] <= 2
        for gate, count, per in RATES:
            times = [time for time, names in self.begun if gate in names]
            for start in times:
                assert sum(start <= time < start + per for time in times) <= count, gate

    @invariant()
    def no_job_is_in_two_states(self):
        if not hasattr(self, "table"):
            return
        in_hand = set(self.table.hand) | set(self.other.hand)
        assert not set(self.table.hand) & set(self.other.hand)
        for row in self._rows():
            assert (row["state"] == "running") == (row["id"] in in_hand), row["id"]
            assert (row["finished_at"] is not None) == (row["state"] in FINISHED)
            if row["state"] in FINISHED:
                assert row["due_at"] is None
            if row["state"] == "pending" and row["waiting"]:
                open_ = [need for need in self._needs(row["id"]) if self._state(need) not in FINISHED]
                assert row["waiting"] == len(open_)

    def teardown(self):
        """Nothing is stuck: workers that are let do all end all."""
        if not hasattr(self, "table"):
            return
        for queue in QUEUES:
            Queue(queue).create(**self._limits(queue))
            Queue(queue).resume()
        for _ in range(400):
            for table in (self.table, self.other):
                table.claim()
                for id_ in list(table.hand):
                    table.end(id_)
            if all(row["state"] in FINISHED for row in self._rows()):
                break
            self.table.clock.advance(3)
        assert [row for row in self._rows() if row["state"] not in FINISHED] == []
        self.table.clock.advance(100)
        self.table.tick()
        assert [gate[3] for gate in self._all("SELECT * FROM gates")] == [0] * len(self._all("SELECT * FROM gates"))
        assert self._all("SELECT * FROM gate_waits") == self._all("SELECT * FROM gate_lines") == []
        assert self._all("SELECT * FROM job_keys") == []
        file = self.table.database.file
        opened.close_all()
        if file is not None:
            shutil.rmtree(file.parent)

    # --- inside --------------------------------------------------------------------------------------------------

    def _limits(self, queue):
        return {"narrow": {"max_running": 2}, "slow": {"rate": (3, 10)}, "default": {}}[queue]

    def _running(self, number):
        found = [(table, id_) for table in (self.table, self.other) for id_ in table.hand]
        assume(found)
        return found[number % len(found)]

    def _any(self, number):
        return list(self.jobs)[number % len(self.jobs)]

    def _forgotten(self, rows, name, counted):
        """Running jobs whose start a rate has forgotten since its period is over."""
        told = [*self.table.hand.values(), *self.other.hand.values()]
        told = [each.job for each in told if each.told_start and name in (each.job.gates or "")]
        keys = [f"{job.id}:{job.token}" for job in told]
        return sum(name.startswith("rate:") and (name, key) not in counted for key in keys)

    def _before(self, name):
        """How many places of a gate may be taken that has become narrower: those that were before."""
        return 3 if name == "queue:narrow" else 0

    def _rows(self):
        columns = ("id", "state", "priority", "place", "waiting", "due_at", "finished_at", "gates", "token")
        return [dict(zip(columns, row, strict=True)) for row in self._all(f"SELECT {', '.join(columns)} FROM jobs")]

    def _needs(self, job):
        return [need for owner, need in self._all("SELECT job, needs FROM job_needs") if owner == job]

    def _state(self, job):
        return dict(self._all("SELECT id, state FROM jobs"))[job]

    def _all(self, statement):
        with self.table.database.read() as connection:
            return [tuple(row) for row in raw.one(connection, statement)]


SETTINGS = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make a failure short takes minutes
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.timeout(600)
def test_limits_hold_and_nothing_is_stuck_on_sqlite(tmp_path):
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path  # commits are many

    def make_url():
        return str(Path(tempfile.mkdtemp(dir=folder)) / "nbflow.db")

    Machine.make_url = staticmethod(make_url)
    run_state_machine_as_test(Machine, settings=settings(SETTINGS, max_examples=40))


@pytest.mark.timeout(600)
@pytest.mark.postgres
def test_limits_hold_and_nothing_is_stuck_on_postgresql(postgres_server):
    Machine.make_url = staticmethod(postgres_server.new_database)
    run_state_machine_as_test(Machine, settings=settings(SETTINGS, max_examples=8))
