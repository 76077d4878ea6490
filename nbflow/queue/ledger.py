"""What a worker has in hand: the jobs it claimed, what they reported, and what of it the database has yet to learn."""

from __future__ import annotations

import functools
import json
import math
import random
from collections import Counter
from typing import Any, NamedTuple

from nbflow.model.jobs import ClaimedJob
from nbflow.model.policies import Retry
from nbflow.model.ports import Again, Due, Finished, Inputs, Output, Progress, Report, Started, Work
from nbflow.model.records import AttemptRecord, LogRecord
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.queue import times
from nbflow.queue.calls import Needed, run_call, run_call_async
from nbflow.queue.options import MOST_LOSSES

_MOST_SPECS = 1_000
_SHORT = 0.05  # seconds that a try has to last before its beginning is worth a write of its own


class InHand:
    """One claimed job."""

    __slots__ = ("abort", "job", "lines", "policy", "started", "told_start")

    def __init__(self, job: ClaimedJob) -> None:
        self.job = job
        self.policy: dict[str, Any] = parsed(job.policy)
        self.started: Started | None = None
        self.told_start = False  # whether the database has it
        self.abort = False  # it was asked to end
        self.lines = 0  # pieces of output so far

    @property
    def deadline(self) -> Due | None:
        """When all of its tries have to be over."""
        return times.deadline(self.job, self.policy)

    def is_late_for(self, again: Again, now: float) -> bool:
        """Whether there is no time left for another try."""
        deadline = self.deadline
        return deadline is not None and again.wakes is None and (again.at or now) >= deadline.at

    @property
    def run(self) -> tuple[str, int]:
        """Under what its tries and its output are stored."""
        return self.job.run or self.job.id, self.job.seq or 0


class News(NamedTuple):
    """What the database has yet to learn."""

    ends: list[tuple[InHand, Finished]]
    logs: list[LogRecord]
    progress: dict[str, tuple[float | None, str]]
    meta: dict[str, dict[str, Any]]
    starts: list[tuple[str, float]]

    def __bool__(self) -> bool:
        return bool(self.ends or self.logs or self.progress or self.meta or self.starts)


class Ledger:
    """All claimed jobs of a worker. For one thread."""

    def __init__(self) -> None:
        self._in_hand: dict[int, InHand] = {}  # by ticket
        self._tickets: dict[str, int] = {}  # by job
        self._specs: dict[tuple[str, bool], StepSpec] = {}
        self._last = 0  # ticket
        self._last_before = 0  # the same when it was asked last what has to wait
        self._news = _no_news()
        self._looked = 0.0  # when it was looked last whose beginnings are to be told

    def __len__(self) -> int:
        return len(self._in_hand)

    def knows(self, job: str) -> bool:
        """Whether a job is in hand, or ended without the database having learned it."""
        return job in self._tickets or any(each.job.id == job for each, _ in self._news.ends)

    def per_queue(self) -> Counter[str]:
        """How many jobs of each queue are in hand."""
        return Counter(each.job.queue for each in self._in_hand.values())

    def take(self, job: ClaimedJob, needed: tuple[Needed, ...]) -> Work:
        """Note a claimed job; returns the work that it is."""
        self._last = ticket = self._last + 1
        each = self._in_hand[ticket] = InHand(job)
        self._tickets[job.id] = ticket
        policy = each.policy
        run, seq = each.run
        tolerant = policy.get("when", "success") != "success"
        named: dict[str, Any] = {"tolerant": tolerant}
        if job.logical_time is not None:
            named["logical"] = (job.logical_time, policy.get("zone"))
        inputs = Inputs((job.payload or b"", job.id, job.attempt - job.losses, needed), named)
        spec = self._spec(job.name, bool(policy.get("async")))
        key = policy.get("key") or f"job {job.id}"
        return Work(
            ticket, spec, inputs, run, seq, key, job.attempt, job.timeout, job.soft_timeout,
            times.expires(job, policy), each.deadline, policy.get("heartbeat"),
        )  # fmt: skip

    def ticket(self, job: str) -> int | None:
        """The ticket of a job in hand."""
        return self._tickets.get(job)

    def abort(self, job: str) -> int | None:
        """Note that a job in hand is to end; its ticket, or None if that is known or it is not in hand."""
        ticket = self._tickets.get(job)
        if ticket is None or self._in_hand[ticket].abort:
            return None
        self._in_hand[ticket].abort = True
        return ticket

    def unstarted(self) -> list[int]:
        """Tickets of what has not begun, the latest first."""
        return [ticket for ticket, each in reversed(self._in_hand.items()) if each.started is None]

    def keeps_waiting(self, places: int) -> bool:
        """Whether something that was claimed ahead, as short, has not begun since this was asked last."""
        before, self._last_before = self._last_before, self._last
        unstarted = self.unstarted()
        return len(self) > places and bool(unstarted) and unstarted[-1] <= before

    def tickets(self) -> list[int]:
        """Tickets of all that is in hand."""
        return list(self._in_hand)

    def learn(self, report: Report) -> None:
        """Take a report."""
        each = self._in_hand.get(report.ticket)
        if each is None:
            return
        news = self._news
        if type(report) is Started:
            each.started = report
        elif type(report) is Output:
            if report.stream == "meta":
                news.meta.setdefault(each.job.id, {}).update(json.loads(report.text))
            else:
                each.lines += 1
                run, seq = each.run
                news.logs.append(
                    LogRecord(run, seq, each.job.attempt, each.lines, report.time, report.stream, report.text)
                )
        elif type(report) is Progress:
            old = news.progress.get(each.job.id, (None, ""))
            value = _number(report.value)
            news.progress[each.job.id] = (old[0] if value is None else value, str(report.message or old[1]))
        elif type(report) is Finished:
            del self._in_hand[report.ticket]
            del self._tickets[each.job.id]
            news.ends.append((each, report))

    def news(self, now: float) -> News:
        """What has gathered; it stays until `told`."""
        if now - self._looked > _SHORT:
            self._looked = now
            self._news.starts[:] = [
                (each.job.id, each.started.time)
                for each in self._in_hand.values()
                if each.started is not None and not each.told_start and now - each.started.time > _SHORT
            ]
        return self._news

    def starts_untold(self) -> bool:
        """Whether something runs whose beginning the database does not know."""
        return any(each.started is not None and not each.told_start for each in self._in_hand.values())

    def told(self, news: News) -> None:
        """The database has learned it."""
        for job, _ in news.starts:
            ticket = self._tickets.get(job)
            if ticket is not None:
                self._in_hand[ticket].told_start = True
        self._news = _no_news()

    def _spec(self, name: str, is_async: bool) -> StepSpec:
        found = self._specs.get((name, is_async))
        if found is None:
            if len(self._specs) >= _MOST_SPECS:
                self._specs.clear()
            function: Any = run_call_async if is_async else run_call
            found = self._specs[name, is_async] = StepSpec(name, function, is_async=is_async)
        return found


def _no_news() -> News:
    return News([], [], {}, {}, [])


@functools.lru_cache(maxsize=1_000)
def parsed(policy: str | None) -> dict[str, Any]:
    """The policy of a job. Not to be changed. It is {"unreadable": True} of one that somebody spoilt."""
    try:
        found: Any = json.loads(policy) if policy else {}
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": True}


def _number(value: object) -> float | None:
    """What a job told of itself, if that is a number, and not whatever came to its mind."""
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def attempt_record(each: InHand, end: Finished, worker: str) -> AttemptRecord:
    """A try as it is stored."""
    run, seq = each.run
    job, error = each.job, end.error
    state = end.state
    if end.again is not None:
        state = State.FAILED if error is not None else State.CANCELLED
        if error is not None and error.type.endswith("TimeoutError"):
            state = State.TIMED_OUT
    queued = job.ready_at if job.ready_at is not None else job.enqueued_at
    return AttemptRecord(
        run, seq, job.attempt, state.value, queued, end.started_at, end.finished_at, worker, end.pid,
        end.cpu_seconds, end.peak_memory, end.exit,
        error.type if error is not None else None, error.message if error is not None else None,
    )  # fmt: skip


def retry_after_timeout(each: InHand, now: float) -> Again | None:
    """Whether a try that was ended by force is followed by another, by the job's policy."""
    policy, tries = each.policy, each.job.attempt - each.job.losses
    if not policy.get("timeouts") or tries > policy.get("retries", 0):
        return None
    delays, backoff, cap, jitter = policy["delays"]
    retry = Retry(policy["retries"], tuple(delays), backoff, cap, jitter)
    again = Again(now + retry.delay(tries, random.SystemRandom().random), None, end=True)
    return again if not each.is_late_for(again, now) else None


def is_numbered(kind: str) -> bool:
    """Whether the tries of a job are counted by whoever enqueued it, who makes a job of each."""
    return kind in ("task", "flow")


def may_be_lost_again(each_policy: dict[str, Any], losses: int) -> bool:
    """Whether a job may be begun once more after its process died under it so often."""
    most: int = each_policy.get("losses", MOST_LOSSES)
    return losses <= most
