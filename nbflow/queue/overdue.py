"""Jobs of flows whose time is up while they are suspended: what they called is ended, whoever has room for the flow.

Its tasks may hold every place there is; a flow that could be told only in a place of its own would wait for them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbflow.model.errors import TaskCancelledError
from nbflow.model.jobs import JobRecord
from nbflow.model.states import State
from nbflow.running.failure import error_record
from nbflow.storage import jobs
from nbflow.storage.connection import Connection

if TYPE_CHECKING:
    from nbflow.queue.consequences import Consequences, Ended

Ends = Sequence[tuple[float, str]]  # when the time of flow functions is up, and their keys; "" is the run's own
_OPEN = [State.PENDING.value, State.READY.value, State.RUNNING.value]


def note(connection: Connection, job: str, policy: str | None, ends: Ends) -> None:
    """Store with the job of a suspended flow when the time of its flow functions is up."""
    told = {name: value for name, value in json.loads(policy or "{}").items() if name != "ends"}
    if ends:
        told["ends"] = list(ends)
    jobs.change(connection, job, policy=json.dumps(told), expires_at=min((at for at, _ in ends), default=None))


def end_tasks(connection: Connection, follow: Consequences, flow: JobRecord, now: float) -> list[Ended]:
    """End the tasks of flow functions whose time is up; returns the jobs that ended by it. The flow itself goes on."""
    ends = [(float(at), str(key)) for at, key in json.loads(flow.policy or "{}").get("ends", ())]
    late = [key for at, key in ends if at <= now]
    note(connection, flow.id, flow.policy, [(at, key) for at, key in ends if at > now])
    meant = [job for job in jobs.of_run(connection, flow.run or "", _OPEN) if job.kind == "task" and _is_of(job, late)]
    ended = []
    for record in jobs.get(connection, [job.id for job in meant], lock=True).values():
        if record.state == State.RUNNING:
            jobs.change(connection, record.id, abort=1)
        elif record.state in _OPEN:
            text = f"{record.name!r} was cancelled: its flow took too long ({record.id})."
            ended.append(follow.stop(record, State.CANCELLED, error_record(TaskCancelledError(text))))
    return ended


def _is_of(job: JobRecord, flows: Sequence[str]) -> bool:
    key = str(json.loads(job.policy or "{}").get("key", ""))
    return any(not flow or key.startswith(f"{flow}/") for flow in flows)
