"""`Job`: the handle of one call on a queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from nbflow.model.errors import JobNotFoundError, JobUnfinishedError, TaskCancelledError
from nbflow.model.jobs import JobRecord
from nbflow.model.records import AttemptRecord, ErrorRecord, LogRecord, StoredValue
from nbflow.model.states import State
from nbflow.queue.broker import Broker
from nbflow.queue.options import moment
from nbflow.queue.zones import in_zone
from nbflow.running import context
from nbflow.running.failure import restore_error
from nbflow.storage import attempts, bells, jobs, logs
from nbflow.values.store import ValueStore

_LOOK = 0.5  # seconds after which a waiting process looks without being told


class Job:
    """One job: what became of it, and what can be done with it."""

    settled = False  # whether it is known to have finished, without a look

    def __init__(self, id: str, broker: Broker) -> None:
        self.id = id
        self._broker = broker

    @property
    def record(self) -> JobRecord:
        """Its row. Raises JobNotFoundError."""
        with self._broker.database.read() as connection:
            found = jobs.get(connection, [self.id]).get(self.id)
        if found is None:
            raise missing(self)
        return found

    @property
    def state(self) -> State:
        """Its state now."""
        return State(self.record.state)

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state.finished

    @property
    def progress(self) -> float | None:
        """How far it said to be, from 0 to 1."""
        return self.record.progress

    @property
    def meta(self) -> dict[str, Any]:
        """Values that were noted beside it; see `note`."""
        found: dict[str, Any] = json.loads(self.record.meta or "{}")
        return found

    @property
    def logical_time(self) -> datetime | None:
        """The time that its schedule meant, in the schedule's zone."""
        record = self.record
        if record.logical_time is None:
            return None
        return in_zone(record.logical_time, json.loads(record.policy or "{}").get("zone"))

    def note(self, **values: Any) -> None:
        """Put values that JSON can hold on record beside it."""
        with self._broker.database.write() as connection:
            found = jobs.get(connection, [self.id], lock=True).get(self.id)
            if found is None:
                raise missing(self)
            jobs.change(connection, self.id, meta=json.dumps({**json.loads(found.meta or "{}"), **values}))

    def wait(self, timeout: float | None = None) -> Job:
        """Return when it has finished. Raises JobUnfinishedError after `timeout` seconds."""
        wait_for([self], timeout)
        return self

    def result(self, timeout: float | None = 0.0) -> Any:
        """The value that its function returned; waits for it up to `timeout` seconds, None for ever.

        Raises what the function raised; JobUnfinishedError if it has not finished in time.
        """
        if timeout != 0.0:
            self.wait(timeout)
        return outcome(self.record, self._broker.values)

    get = result

    @property
    def error(self) -> BaseException | None:
        """What it failed with."""
        return error_of(self.record, self._broker.values)

    @property
    def traceback(self) -> str | None:
        """Where it failed, as text."""
        record = self.record
        if record.error is None:
            return None
        values = self._broker.values
        return ErrorRecord(*values.get(values.unseal_stored(record.error))).traceback

    def attempts(self) -> list[AttemptRecord]:
        """Its tries, the ended ones."""
        with self._broker.database.read() as connection:
            return attempts.of_run(connection, self.id)

    def logs(self) -> list[LogRecord]:
        """What its tries printed and displayed, in order."""
        with self._broker.database.read() as connection:
            return logs.read(connection, self.id)

    def output(self) -> str:
        """What it printed, of all tries, as text."""
        return "".join([record.text for record in self.logs() if record.stream in ("stdout", "stderr")])

    def cancel(self, reason: str = "asked to") -> State:
        """End it: at once if it waits, as soon as its worker can if it runs. Returns the state that it had."""
        found = self._broker.cancel([self.id], reason)
        if self.id not in found:
            return self.state  # raises that there is none
        return State(found[self.id])

    @staticmethod
    def cancel_all(handles: Sequence[Job], reason: str = "asked to") -> None:
        """The same for several jobs of one database at once."""
        open_ = [job for job in handles if not job.settled]
        if open_:
            open_[0]._broker.cancel([job.id for job in open_], reason)

    def revoke(self, *, until: Any = None, once: bool = False) -> None:
        """Keep it from beginning, even if it has not been enqueued yet: its worker cancels it instead.

        until: a datetime, timedelta or seconds from now, after which it may begin. once: it may when it is requeued.
        """
        self._broker.revoke(f"id:{self.id}", until=moment(until, self._broker.clock.time(), "until"), once=once)

    def restore(self) -> bool:
        """Let it begin in spite of an earlier `revoke`; whether there was one."""
        return self._broker.restore(f"id:{self.id}")

    def requeue(self, *, front: bool = False) -> Job:
        """Let a finished job begin anew, its tries not counted."""
        if not self._broker.requeue([self.id], front=front):
            raise JobUnfinishedError(f"Job {self.id} is {self.state}; only what has finished can be requeued.")
        return self

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def __reduce__(self) -> Any:
        raise TypeError("a job cannot be pickled; pass job.id, or the job itself as an argument of enqueue().")


def missing(job: Job) -> JobNotFoundError:
    """The error for a job that there is not."""
    return JobNotFoundError(
        f"There is no job {job.id!r} in {job._broker.database.url}. Finished jobs are kept for a while only: "
        "success_ttl and failure_ttl.",
        job=job.id,
    )


def outcome(record: JobRecord, values: ValueStore) -> Any:
    """The value of a job. Raises what its function raised; JobUnfinishedError."""
    if not State(record.state).finished:
        raise JobUnfinishedError(
            f"Job {record.id} ({record.name}) has not finished: it is {record.state}. Wait for it: "
            "job.result(timeout=60).",
            job=record.id,
        )
    if record.state != State.SUCCEEDED:
        error = error_of(record, values)
        raise error or TaskCancelledError(f"Job {record.id} ({record.name}) has no result: {record.state}.")
    return result_of(record, values)


def outcomes(handles: Sequence[Job]) -> list[Any]:
    """The values of jobs of one database, in order. Raises as `outcome`, and JobNotFoundError."""
    open_ = [job for job in handles if not job.settled]
    found: dict[str, JobRecord] = {}
    if open_:
        with open_[0]._broker.database.read() as connection:
            found = jobs.get(connection, sorted({job.id for job in open_}))
    values = []
    for job in handles:
        if not job.settled and job.id not in found:
            raise missing(job)
        values.append(job.result() if job.settled else outcome(found[job.id], job._broker.values))
    return values


def error_of(record: JobRecord, values: ValueStore) -> BaseException | None:
    """What a job failed with."""
    if record.error is None:
        return None
    return restore_error(ErrorRecord(*values.get(values.unseal_stored(record.error))))


def result_of(record: JobRecord, values: ValueStore) -> Any:
    """The value of a succeeded job."""
    data = values.unseal(record.result) if record.result is not None else None
    return values.get(
        StoredValue(
            record.result_digest or "", record.result_size or 0, record.result_type or "", data, record.result_uri
        )
    )


def wait_for(handles: Sequence[Job], timeout: float | None = None, *, all_: bool = True) -> list[Job]:
    """Return when all (or any) of some jobs of one database have finished: those that have.

    Raises JobUnfinishedError after `timeout` seconds. Inside of a job, its place is lent to others meanwhile.
    """
    settled = [handle for handle in handles if handle.settled]
    if len(settled) == len(handles) or (settled and not all_):
        return settled
    broker = next(handle for handle in handles if not handle.settled)._broker
    attempt = context.current()

    def done() -> list[Job]:
        with broker.database.read() as connection:
            states = jobs.states(connection, [handle.id for handle in handles])
        return [
            handle
            for handle in handles
            if handle.settled or handle.id not in states or State(states[handle.id]).finished
        ]

    def enough(found: Iterable[Job]) -> bool:
        count = len(list(found))
        return count == len(handles) or (not all_ and count > 0)

    found = done()
    if enough(found):
        return found
    with attempt.waiting() if attempt is not None and attempt.job is not None else nullcontext():
        return _until(done, enough, handles, broker, timeout)


def _until(
    done: Callable[[], list[Job]],
    enough: Callable[[list[Job]], bool],
    handles: Sequence[Job],
    broker: Broker,
    timeout: float | None,
) -> list[Job]:
    deadline = time.monotonic() + timeout if timeout is not None else None
    bell = bells.listen(broker.database, bells.NEWS)
    try:
        while not enough(found := done()):
            left = deadline - time.monotonic() if deadline is not None else _LOOK
            if left <= 0:
                waiting = [handle.id for handle in handles if handle not in found]
                raise JobUnfinishedError(
                    f"{len(waiting)} of {len(handles)} jobs have not finished in {timeout:g} seconds: "
                    f"{', '.join(waiting[:3])}. Is a worker running? nbflow info tells.",
                    jobs=waiting,
                )
            bells.wait(bell, min(left, _LOOK))
    finally:
        bell.close()
    return found
