"""The jobs of a schedule, as one stored template: the same call again and again, each with a time of its own."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from nbflow.model.errors import ScheduleError
from nbflow.model.jobs import JobRecord, ScheduleRecord
from nbflow.model.names import run_job
from nbflow.queue.broker import FRONT, STAMPS, NewJob
from nbflow.queue.options import Limit, Unique
from nbflow.storage import jobs
from nbflow.values.store import ValueStore

_OWN = (  # columns that differ from job to job, or are filled in when it is stored
    "id", "queue", "place", "state", "payload", "due_at", "expires_at", "gates", "unique_key", "enqueued_at",
    "ready_at", "schedule", "logical_time",
)  # fmt: skip
_KEPT = tuple(name for name in jobs.NEW if name not in _OWN)
_NO_JOB: dict[str, Any] = dict.fromkeys(JobRecord._fields) | dict.fromkeys(
    ("waiting", "marks", "token", "attempt", "claims", "losses", "wakes", "abort"), 0
)


class Shot(NamedTuple):
    """One logical time of a schedule, with the jobs that it is to enqueue."""

    schedule: str
    logical_time: float
    overlap: str
    job: NewJob
    followers: tuple[NewJob, ...]  # enqueued with it, to run when it has ended


def options_of(
    new: NewJob, followers: Sequence[NewJob], *, expires: float | None, front: bool, values: ValueStore
) -> str:
    """The column `options` of a schedule whose jobs are like this one. `expires`: seconds from the enqueueing."""
    return json.dumps(
        {
            **_stored(new),
            "key": _key(values),
            "expires": expires,
            "front": front,
            "unique": dataclasses.asdict(new.unique) if new.unique is not None else None,
            "followers": [
                _stored(follower) | {"payload": _text(follower.record.payload), "queue": follower.record.queue}
                for follower in followers
            ],
        }
    )


def is_of_other_key(schedule: ScheduleRecord, values: ValueStore) -> bool:
    """Whether a schedule was defined with another signing key, so that nothing can be said of it here."""
    try:
        return bool(_parsed(schedule.options)["key"] != _key(values))
    except (ValueError, TypeError, KeyError):
        return False


def _key(values: ValueStore) -> str:
    """Tells signing keys apart, but tells nothing of them."""
    return values.signer.mac(b"nbflow schedules")[:4].hex()


def _stored(new: NewJob) -> dict[str, Any]:
    values = {name: getattr(new.record, name) for name in _KEPT}
    return {
        "job": {name: value for name, value in values.items() if value is not None},
        "limits": [dataclasses.asdict(limit) for limit in new.limits],
    }


def _text(payload: bytes | None) -> str:
    return base64.b64encode(payload or b"").decode()


def shots(schedule: ScheduleRecord, times: Sequence[float], now: float, overlap: str | None = None) -> list[Shot]:
    """What a schedule is to enqueue for some of its times. `overlap`: instead of its own.

    Raises ScheduleError if what is stored of it is not the template of a job.
    """
    if not times:
        return []
    try:
        template = _parsed(schedule.options)
        found = [_shot(schedule, template, time, now, overlap or schedule.overlap) for time in times]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ScheduleError(
            f"What is stored of the jobs of schedule {schedule.name!r} cannot be used ({type(error).__name__}: "
            f"{error}). Define it again, or remove it."
        ) from error
    return found


@lru_cache(maxsize=1024)
def _parsed(options: str) -> dict[str, Any]:
    """Not to be changed."""
    found: dict[str, Any] = json.loads(options)
    return found


def _shot(schedule: ScheduleRecord, template: dict[str, Any], time: float, now: float, overlap: str) -> Shot:
    due = time + schedule.jitter * _fraction(schedule.name, time) if schedule.jitter else None
    waits = due is not None and due > now
    expires = template["expires"]
    own = {
        "payload": schedule.payload,
        "state": "pending" if waits else "ready",
        "due_at": due if waits else None,
        "ready_at": None if waits else now,
        "expires_at": now + expires if expires is not None else None,
        "schedule": schedule.name,
        "logical_time": time,
    }
    job = _job(template, schedule.queue, now, own)
    if template.get("starts_run"):
        job = as_run(job)
    policy = json.loads(job.record.policy or "{}") | {"zone": schedule.zone}
    if overlap == "wait":
        policy["when"] = "any"  # however the job before it ends
    record = job.record._replace(policy=json.dumps(policy))
    if template["front"]:
        record = record._replace(place=record.place - FRONT)
    unique = Unique(**(template["unique"] | {"clash": "existing"})) if template["unique"] is not None else None
    job = job._replace(record=record, unique=unique)
    followers = tuple([_follower(each, schedule.queue, now, record.id) for each in template["followers"]])
    return Shot(schedule.name, time, overlap, job, followers)


def as_run(job: NewJob) -> NewJob:
    """A job that executes a run of its own: it is named after the run, as `nbflow.engine.detached` wants it."""
    id_ = job.record.id
    return job._replace(record=job.record._replace(id=run_job(id_), kind="flow", run=id_, seq=0))


def _follower(template: dict[str, Any], queue: str, now: float, needs: str) -> NewJob:
    own = {"payload": base64.b64decode(template["payload"]), "state": "ready", "ready_at": now}
    return _job(template, template.get("queue", queue), now, own)._replace(needs=(needs,))


def _job(template: dict[str, Any], queue: str, now: float, own: dict[str, Any]) -> NewJob:
    place = STAMPS.next()[0]
    values = _NO_JOB | template["job"] | own
    values |= {"id": STAMPS.id(place), "place": place, "queue": queue, "enqueued_at": now}
    return NewJob(JobRecord(**values), limits=tuple([Limit(**limit) for limit in template["limits"]]))


def _fraction(name: str, time: float) -> float:
    """From 0 to 1, as if by chance, but always the same for one time of a schedule."""
    digest = hashlib.blake2b(f"{name} {time:.6f}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
