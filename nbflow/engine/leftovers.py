"""What a run leaves behind when it ends: jobs of tasks whose results nobody will take, and runs that it started."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from nbflow import settings as settings_module
from nbflow.engine import stores
from nbflow.model.errors import RunNotFoundError
from nbflow.model.events import CHILD_RUN
from nbflow.model.names import run_job
from nbflow.model.records import EventRecord
from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.model.records import RunRecord
    from nbflow.storage.database import Database
    from nbflow.values.store import ValueStore

ABANDON, CANCEL, TERMINATE = "abandon", "cancel", "terminate"  # what becomes of a run when the one above it ends
POLICIES = (ABANDON, CANCEL, TERMINATE)
_KEEP = 3_600.0  # seconds that the jobs are kept, for people
_OPEN = [state.value for state in State if not state.finished]


def drop(database: Database, values: ValueStore, run: str, reason: str, *, under: str = "") -> None:
    """End the unfinished tasks of a run, those below the sub-flow with the key `under` if given, and their jobs."""
    from nbflow.queue.broker import Broker
    from nbflow.storage import jobs, runs

    now = time.time()
    seqs = set(database.retrying(lambda connection: runs.end_tasks(connection, run, now, under=under)))
    with database.read() as connection:
        found = jobs.of_run(connection, run, _OPEN)
    ids = [job.id for job in found if job.kind == "task" and (not under or job.seq in seqs)]
    if ids:
        Broker(database, values).cancel(ids, reason)
        database.retrying(lambda connection: jobs.taken(connection, ids, now + _KEEP))


def child_record(record: RunRecord, policy: str) -> EventRecord | None:
    """What is stored so that a new run is dealt with when the one that started it ends; None: it is left alone."""
    if policy == ABANDON or record.parent_run is None:
        return None
    data = json.dumps({"run": record.id, "on_parent_end": policy})
    return EventRecord(f"child-{record.id}", record.parent_run, record.created_at, CHILD_RUN, record.parent_seq, data)


def settle_children(database: Database, run: str, here: Callable[[str, str], bool] = lambda *_: False) -> None:
    """Do with the runs that a run started, and that go on though it ends, what was asked for when they began.

    `here(run, reason)` cancels one that this process executes, and says whether it does.
    """
    from nbflow.storage import events, runs

    with database.read() as connection:
        told = {each["run"]: each for each in map(_data, events.of_kind(connection, run, CHILD_RUN))}
        over = runs.over(connection, list(told)) if told else set()
    reason = f"run {run}, which started it, has ended"
    for child, each in told.items():
        at_once = each["on_parent_end"] == TERMINATE
        if child in over or (not at_once and here(child, reason)):
            continue
        with suppress(RunNotFoundError):
            cancel(database, child, reason, at_once=at_once)
        here(child, reason)  # its steps in this process cannot be killed, but need not wait until it notices


def _data(event: EventRecord) -> dict[str, str]:
    found: dict[str, str] = json.loads(event.data)
    return found


def cancel(database: Database, run: str, reason: str, *, at_once: bool = False) -> None:
    """End a run of any process with all its jobs; `at_once`: what they run is killed and does not learn of it."""
    from nbflow.queue.broker import Broker
    from nbflow.storage import jobs, runs

    runs.cancel(database, run, time.time())
    with database.read() as connection:
        ids = [job.id for job in jobs.of_run(connection, run, _OPEN)]
    broker = Broker(database, stores.value_store(settings_module.current(), database.url))
    broker.cancel([run_job(run), *ids], reason, at_once=at_once)
    settle_children(database, run)
