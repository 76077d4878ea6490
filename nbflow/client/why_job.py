"""What keeps a job from being done.

Kinds of reasons: ended, running, cancelling, lost; due, retry, needs, limit, lock, rate, paused, revoked, expires;
no worker, busy, position, suspended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from nbflow.client.frames import serves
from nbflow.client.reasons import Reason, at, error, listed
from nbflow.model.jobs import GateLineRecord, JobRecord, QueueRecord, WorkerRecord
from nbflow.model.states import State
from nbflow.queue import presence
from nbflow.storage import gates, job_links, jobs, queues
from nbflow.storage import reasons as stored
from nbflow.storage.connection import Connection
from nbflow.views.words import seconds_text

_HOLDERS = 4  # jobs that hold a limit, of which three are named
_RATE = "rate:"


def reasons(connection: Connection, job: JobRecord, now: float) -> list[Reason]:
    """Why a job has not finished, what matters most first; how it ended, if it has."""
    state = State(job.state)
    if state.finished:
        return [_ended(job)]
    if state is State.RUNNING:
        return list(_running(connection, job, now))
    found = [*_revoked(connection, job, now), *_paused(connection, job)]
    if state is State.PENDING:
        found += [*_pending(connection, job, now)]
    found += _workers(connection, job, now, ready=state is State.READY)
    if job.expires_at is not None:
        text = f"If it has not begun by {at(job.expires_at)} (in {seconds_text(job.expires_at - now)}), it expires."
        found.append(Reason("expires", text, {"expires_at": job.expires_at}))
    return found


def _ended(job: JobRecord) -> Reason:
    when = f" at {at(job.finished_at)}" if job.finished_at is not None else ""
    return Reason("ended", f"It ended{when}{error(job.error_type, job.error_message)}. It waits for nothing.")


def _running(connection: Connection, job: JobRecord, now: float) -> Iterator[Reason]:
    worker = next((each for each in queues.listed(connection) if each.id == job.worker), None)
    where = f"worker {job.worker}" + (f" (process {worker.pid} on {worker.host})" if worker is not None else "")
    if job.started_at is None:
        text = f"It was taken by {where} and begins as soon as one of its processes is free."
    else:
        text = f"It has been running for {seconds_text(now - job.started_at)} on {where}, try {job.attempt}."
    if job.progress is not None:
        text += f" It is {job.progress:.0%} done" + (f": {job.message}" if job.message else "") + "."
    yield Reason("running", text, {"worker": job.worker, "attempt": job.attempt})
    if job.abort:
        yield Reason("cancelling", "Somebody asked to end it; its worker does so as soon as it can.")
    if worker is None or presence.is_dead(worker, now):
        yield Reason("lost", f"Worker {job.worker} is gone. The next worker that looks puts the job back on the queue.")


def _revoked(connection: Connection, job: JobRecord, now: float) -> Iterator[Reason]:
    found = stored.revocation(connection, job, now)
    if found is not None:
        until = f" until {at(found.until)}" if found.until is not None else ""
        yield Reason("revoked", f"It was revoked{until}: the worker that takes it cancels it. restore() lets it begin.")


def _paused(connection: Connection, job: JobRecord) -> Iterator[Reason]:
    if queues.is_paused(connection, job.queue):
        text = f"Queue {job.queue!r} is paused. Resume it: nbflow queue resume {job.queue}"
        yield Reason("paused", text, {"queue": job.queue})


def _pending(connection: Connection, job: JobRecord, now: float) -> Iterator[Reason]:
    yield from _needs(connection, job)
    if job.due_at is not None:
        yield _due(connection, job, now)
    elif job.kind == "flow" and not job.waiting:
        text = "The flow waits for its tasks, and has left its place to others; the end of a task wakes it."
        yield Reason("suspended", text)
    standing = stored.line_of(connection, job.id)
    if standing is not None and standing[0].gate:
        yield _gate(connection, job, *standing, now)


def _needs(connection: Connection, job: JobRecord) -> Iterator[Reason]:
    if not job.waiting:
        return
    needed = {need.job: need.state for need in job_links.needed_results(connection, job.id)}
    open_ = [id_ for id_, state in needed.items() if state is not None and not State(state).finished]
    records = jobs.get(connection, open_[:_HOLDERS])
    names = [f"{id_} ({records[id_].name}, {records[id_].state})" for id_ in open_ if id_ in records]
    jobs_ = "a job" if len(open_) == 1 else f"{len(open_):,} jobs"
    verb = "has" if len(open_) == 1 else "have"
    text = f"It needs {jobs_} that {verb} not finished: {listed(names, len(open_))}."
    yield Reason("needs", text, {"jobs": open_})


def _due(connection: Connection, job: JobRecord, now: float) -> Reason:
    due = job.due_at or now
    when = f"at {at(due)}, in {seconds_text(due - now)}" if due > now else f"since {at(due)}"
    data = {"due_at": due}
    last = stored.latest_attempt(connection, job.id, 0) if job.attempt and job.kind == "job" else None
    if last is None:
        return Reason("due", f"It is not due before a time: {when}.", data)
    retries = json.loads(job.policy or "{}").get("retries")
    of = f" of {retries + 1}" if isinstance(retries, int) else ""
    failed = f"Try {last.number}{of} {last.state.replace('_', ' ')}{error(last.error_type, last.error_message)}"
    return Reason("retry", f"{failed}; the next one is due {when}.", {**data, "attempt": last.number})


def _gate(connection: Connection, job: JobRecord, line: GateLineRecord, place: stored.Place, now: float) -> Reason:
    gate = gates.get(connection, [line.gate]).get(line.gate)
    kind, _, name = line.gate.removeprefix(_RATE).partition(":")
    ahead = f"{place.ahead:,} wait{'s' if place.ahead == 1 else ''} before it" if place.ahead else "it is the next"
    data = {"gate": line.gate, "ahead": place.ahead}
    if gate is None:
        return Reason("limit", f"It waits for limit {name!r}; {ahead}.", data)
    what = f"queue {name!r}" if kind == "queue" else f"limit {name!r}"
    if gate.period is not None:
        begins = f"; the next place is free in {seconds_text(gate.wake_at - now)}" if gate.wake_at is not None else ""
        each = f"{gate.capacity:,} start{'s' if gate.capacity > 1 else ''} in {seconds_text(gate.period)}"
        return Reason("rate", f"The rate of {what} is used up ({each}){begins}; {ahead}.", data)
    held = stored.holders(connection, line.gate, _HOLDERS)
    by = listed([_holder(each, now) for each in held], max(gate.held, len(held)))
    data["holders"] = [each.id for each in held]
    if kind == "lock":
        return Reason("lock", f"Lock {name!r} is held by {by or 'another job'}; {ahead}.", data)
    places = "The one place" if gate.capacity == 1 else f"All {gate.capacity:,} places"
    verb = "is" if gate.capacity == 1 else "are"
    return Reason("limit", f"{places} of {what} {verb} taken by {by or 'others'}; {ahead}.", data)


def _holder(each: stored.Holder, now: float) -> str:
    if each.started_at is None:
        return f"{each.id} ({each.name}, {each.state})"
    return f"{each.id} ({each.name}, for {seconds_text(now - each.started_at)} on {each.worker})"


def _workers(connection: Connection, job: JobRecord, now: float, *, ready: bool) -> Iterator[Reason]:
    """Whether anybody serves the queue; of a ready job also how many are served before it."""
    alive = [worker for worker in queues.listed(connection) if not presence.is_dead(worker, now)]
    serving = [worker for worker in alive if worker.state == "running" and serves(worker, job.queue)]
    if not serving:
        yield _nobody(job, alive)
    if not ready:
        return
    place = stored.place_in_queue(connection, job)
    queue = queues.get(connection, job.queue)
    yield Reason("position", _position(job, place, serving, now), {"ahead": place.ahead, "total": place.total})
    busy = [worker for worker in serving if worker.busy >= worker.concurrency]
    if serving and len(busy) == len(serving):
        count = sum(worker.concurrency for worker in serving)
        places = "The one place" if count == 1 else f"All {count:,} places"
        workers = "worker that serves" if len(serving) == 1 else f"{len(serving):,} workers that serve"
        yield Reason("busy", f"{places} of the {workers} it {'is' if count == 1 else 'are'} taken.")
    if queue is not None and queue.max_per_worker is not None:
        yield _per_worker(queue)


def _nobody(job: JobRecord, alive: list[WorkerRecord]) -> Reason:
    if job.queue.startswith("@"):
        return Reason("no worker", f"It is for worker {job.queue[1:]} alone, which is not there.")
    others = f" {len(alive):,} other{'s are' if len(alive) > 1 else ' is'} alive." if alive else " None is alive."
    text = f"No worker serves queue {job.queue!r}.{others} Start one: nbflow worker --queues {job.queue}"
    return Reason("no worker", text, {"queue": job.queue})


def _position(job: JobRecord, place: stored.Place, serving: list[WorkerRecord], now: float) -> str:
    text = f"It is number {place.ahead + 1:,} of {place.total:,} ready jobs of queue {job.queue!r}."
    # What its workers have done since they began: the only measure that costs nothing.
    rate = sum(worker.done / max(now - worker.started_at, 1.0) for worker in serving)
    if rate > 0:
        text += f" At the rate of its workers so far, those before it take about {seconds_text(place.ahead / rate)}."
    return text


def _per_worker(queue: QueueRecord) -> Reason:
    each = "one job" if queue.max_per_worker == 1 else f"{queue.max_per_worker:,} jobs"
    return Reason("limit", f"Each worker runs at most {each} of queue {queue.name!r} at a time.")
