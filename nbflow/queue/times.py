"""The limits in time of a job beyond its columns: how its policy tells them to workers.

`deadline` and `heartbeat` are seconds, and so is `expires`, which people are told. Of a task the run says what its
deadline is (`deadline_at`); that of any other job is counted from when it was ready first, and stands in the column
`expires_at` once it was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbflow.model.errors import TaskError
from nbflow.model.jobs import ClaimedJob, JobRecord
from nbflow.model.ports import Due, Work
from nbflow.model.states import State
from nbflow.running import limits


def in_policy(work: Work) -> dict[str, Any]:
    """The limits of a task, for the policy of its job."""
    found: dict[str, Any] = {}
    if work.deadline is not None:
        found |= {"deadline": work.deadline.seconds, "deadline_at": work.deadline.at}
    if work.expires is not None:
        found["expires"] = work.expires.seconds
    if work.heartbeat_timeout is not None:
        found["heartbeat"] = work.heartbeat_timeout
    return found


def deadline(job: ClaimedJob, policy: Mapping[str, Any]) -> Due | None:
    """When all tries of a claimed job have to be over."""
    if policy.get("deadline") is None:
        return None
    seconds = float(policy["deadline"])
    at = policy.get("deadline_at")
    if at is None and job.attempt - job.losses > 1:
        at = job.expires_at
    if at is None:
        at = (job.ready_at if job.ready_at is not None else job.enqueued_at) + seconds
    return Due(float(at), seconds)


def expires(job: ClaimedJob, policy: Mapping[str, Any]) -> Due | None:
    """From when on a claimed job is not begun."""
    if job.expires_at is None or job.kind == "flow":  # of a flow it is for its tasks, see overdue.py
        return None
    return Due(job.expires_at, policy.get("expires"))


def lapsed(job: JobRecord, policy: Mapping[str, Any]) -> tuple[State, TaskError]:
    """What becomes of a job whose column `expires_at` is over, and which has not begun, or waits for its next try."""
    key = policy.get("key") or f"job {job.id}"
    seconds, at = policy.get("deadline"), policy.get("deadline_at")
    reached = job.attempt > 0 if at is None else job.expires_at is not None and at <= job.expires_at
    if seconds is not None and reached:
        return State.TIMED_OUT, limits.deadline_error(job.name, key, Due(job.expires_at or 0.0, seconds))
    return State.EXPIRED, limits.expired_error(job.name, key, policy.get("expires"))
