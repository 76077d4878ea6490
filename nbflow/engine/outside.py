"""What a flow function waits for that is no task: a time, or a signal from outside. Both survive a suspension."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from nbflow.engine.signals import record_name
from nbflow.model.errors import StepTimeoutError
from nbflow.model.jobs import SignalRecord
from nbflow.model.names import check_name

if TYPE_CHECKING:
    from nbflow.engine.frames import Frame
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

_PAUSE = 0.2  # seconds between looks for a signal


def moment(when: float | timedelta | datetime, now: float) -> float:
    """A time as seconds since 1970: of a datetime, or from `now` on."""
    if isinstance(when, datetime):
        return when.timestamp()
    return now + (when.total_seconds() if isinstance(when, timedelta) else float(when))


def sleep(frame: Frame, when: float | timedelta | datetime) -> None:
    """Wait for a time; how long is on record, so that a replay does not begin anew."""
    engine = frame.engine
    until = frame.record("sleep", lambda: moment(when, engine.clock.time()))
    if until > engine.clock.time():
        engine.flush()
        engine.waiting.for_time(until, engine.clock, engine.executors(None), lambda: _is_over(frame))
        engine.check(frame)


def _is_over(frame: Frame) -> bool:
    """Whether a flow function is to end instead of waiting."""
    return frame.engine.ending.of(frame) is not None


def receive(frame: Frame, name: str, timeout: float | timedelta | datetime | None) -> Any:
    """The value of the next signal of a name. Raises StepTimeoutError if none comes in time."""
    engine = frame.engine
    check_name(name, "signal")
    until: float | None = None
    if timeout is not None:
        until = frame.record(f"receive {name} until", lambda: moment(timeout, engine.clock.time()))

    def produce() -> tuple[int, Any]:
        engine.flush()

        def is_over() -> bool:
            late = until is not None and engine.clock.time() >= until
            return bool(engine.signals.waiting(name)) or late or _is_over(frame)

        with engine.waiting.deadline(until):
            while (taken := engine.signals.take(name)) is None and (until is None or engine.clock.time() < until):
                engine.waiting.for_condition(is_over, _PAUSE, engine.executors(None))
                engine.check(frame)
        if taken is None:
            return 0, None
        payload = taken.payload
        return taken.number, engine.values.get(engine.values.unseal_stored(payload)) if payload else None

    number, value = frame.record(record_name(name), produce)
    if not number:
        raise StepTimeoutError(f"No signal {name!r} came in time; send it with run.send({name!r}).")
    return value


def send(database: Database, values: ValueStore, run: str, name: str, *, value: Any, key: str | None) -> bool:
    """Send a signal to a run, and wake it; False if `key` was sent before."""
    from nbflow.engine.detached import job_of
    from nbflow.storage import bells, jobs, signals

    payload = values.seal_stored(values.put(value, f"the value of signal {name!r}"))
    record = SignalRecord(run, 0, check_name(name, "signal"), payload, time.time(), key)
    with bells.ringing(database, bells.JOBS, bells.NEWS) as connection:
        sent = signals.send(connection, record)
        if sent:
            jobs.wake(connection, [job_of(run)], time.time())
    return sent
