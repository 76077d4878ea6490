"""Who is there: a worker's own row and lease, and workers that are not there any more.

A lease belongs to a worker, not to each of its jobs. Whoever finds a dead worker takes its jobs over: on the same
machine as soon as its process is gone, else when its lease has run out. Before that it kills what is left of it here,
so that no job ever runs twice at a time.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from nbflow.model.errors import TaskCancelledError, WorkerLostError
from nbflow.model.jobs import JobRecord, WorkerRecord
from nbflow.model.states import State
from nbflow.queue import gates
from nbflow.queue.broker import FRONT, before_all
from nbflow.queue.consequences import Consequences, Ended, left_by, of
from nbflow.queue.ledger import is_numbered, may_be_lost_again, parsed
from nbflow.running.failure import error_record
from nbflow.storage import bells, jobs, queues
from nbflow.storage.connection import Connection
from nbflow.storage.database import Database
from nbflow.values.store import ValueStore

LEASE = 15.0  # seconds
RENEW = 4.0  # seconds between renewals
_SAME = 1.0  # seconds by which two looks at the start of one process may differ
MARGIN = 2.0  # seconds before the end of its lease when a worker ends its jobs, and after it when others take them
# Claims of a job beyond its tries, all lost before it was seen to begin, after which it counts as failed.
_UNSTARTED = 25


@cache
def boot() -> str:
    """Names this start of the machine, and the set of process ids that is seen from here: containers have their own."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{start}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{psutil.boot_time():.0f}"


def host() -> str:
    """This machine."""
    return socket.gethostname()


def is_here(worker: WorkerRecord) -> bool:
    """Whether the processes of a worker can be seen from here, if they are there."""
    return worker.host == host() and worker.boot == boot()


def is_dead(worker: WorkerRecord, now: float) -> bool:
    """Whether nobody works for a worker any more."""
    if worker.lease_until + MARGIN < now:
        return True
    if is_here(worker):
        return not lives(worker.pid, worker.process_started)
    return worker.host == host() and _before_this_start(worker)


def _before_this_start(worker: WorkerRecord) -> bool:
    """Whether a worker on a machine of this name was heard last before this machine started.

    The name alone says little: machines of a cloud are often called the same, and so are containers.
    """
    return worker.boot.partition("/")[0] != boot().partition("/")[0] and worker.seen_at < psutil.boot_time()


def lives(pid: int, started: float) -> bool:
    """Whether a process is there, the same that started then."""
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < _SAME) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def children_of(pids: list[int]) -> str:
    """Children as a worker's row has them."""
    found = []
    for pid in pids:
        with suppress(psutil.Error):
            found.append([pid, psutil.Process(pid).create_time()])
    return json.dumps(found)


def bury(database: Database, values: ValueStore, now: float, *, me: str = "") -> int:
    """Take over the jobs of dead workers; returns how many workers there were."""
    there = database.retrying(queues.listed, write=False)
    dead = [each.id for each in there if each.id != me and is_dead(each, now)]
    for worker in dead:

        def act(connection: Connection, worker: str = worker) -> None:
            locked = queues.lock_worker(connection, worker)
            if locked is not None and is_dead(locked, now):
                end_children(locked)
                _take_over(connection, locked, values, now)

        bells.changing(database, act, bells.JOBS, bells.NEWS)
    return len(dead)


def end_children(worker: WorkerRecord) -> None:
    """Kill what a worker on this machine left behind: its parent may be stopped, and not dead."""
    if not is_here(worker):
        return
    left = [(pid, started) for pid, started in json.loads(worker.children) if not _taken_again(pid, started)]
    for pid, _ in left:  # of the same group: what its jobs started, though the child itself may be dead
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _taken_again(pid: int, started: float) -> bool:
    """Whether the number of a process belongs to another one now. As long as its group lasts it is given to nobody."""
    try:
        return bool(abs(psutil.Process(pid).create_time() - started) >= _SAME)
    except psutil.Error:
        return False


def _take_over(connection: Connection, worker: WorkerRecord, values: ValueStore, now: float) -> None:
    follow = Consequences(connection, values, now)
    ended: list[Ended] = []
    for record in jobs.running_of(connection, [worker.id]):
        end = _judge(record)
        if end is None:
            give_back(connection, record, now, lost=record.started_at is not None)
        else:
            state, error = end
            jobs.end(connection, [(record.id, follow.end(record, state, record.started_at, error_record(error)))])
            ended.append(of(record, now))
    personal = f"@{worker.id}"
    for record in [*jobs.waiting(connection, personal), *jobs.delayed(connection, personal)]:
        text = f"The worker that {record.name!r} was meant for is gone."
        ended.append(follow.stop(record, State.CANCELLED, error_record(TaskCancelledError(text))))
    follow.finish(ended)
    queues.leave(connection, worker.id, "lost", now)


def _judge(record: JobRecord) -> tuple[State, Exception] | None:
    """How a job ends whose worker died; None if it is to begin once more."""
    if record.abort:
        return State.CANCELLED, TaskCancelledError(f"{record.name!r} was cancelled ({record.id}).")
    lost = record.started_at is not None
    policy = {**parsed(record.policy)}
    if record.kind == "task":
        policy.pop("losses", None)  # flows ask for no second try when the task kills its process, but this was not it
    if (lost and not may_be_lost_again(policy, record.losses + 1)) or _never_began(record):
        text = f"The worker died {record.losses + 1} times while it ran {record.name!r} ({record.id})."
        return State.FAILED, WorkerLostError(text)
    return None


def _never_began(record: JobRecord) -> bool:
    """Whether a job was claimed so often without being seen to begin that it may be what kills its workers."""
    return record.kind != "flow" and record.claims - record.attempt > _UNSTARTED  # flows are claimed at each wake-up


def give_back(connection: Connection, record: JobRecord, now: float, *, lost: bool) -> None:
    """Put a running job back, before all others of its priority."""
    uncounted = not lost or is_numbered(record.kind)
    jobs.put_back(connection, [record.id], place_shift=FRONT, uncounted=uncounted, lost=lost)
    if record.gates:
        jobs.postpone(connection, record.id, None)
        arrival = gates.Arrival.of(record._replace(place=before_all(record.place)))
        gates.again(connection, arrival, left_by(record, now), now)
