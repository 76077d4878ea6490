"""Statements about runs: who executes them, how they ended, which there are."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select, update

from nbflow.model.errors import RunActiveError, RunNotFoundError, StorageError
from nbflow.model.records import FlowVersionRecord, RunRecord, RunUpdate
from nbflow.model.states import FINISHED, State
from nbflow.storage import raw, versions
from nbflow.storage.database import Database
from nbflow.storage.schema import attempts, runs, tasks
from nbflow.storage.upserts import storable

_NEW = (
    f"INSERT INTO runs ({', '.join(RunRecord._fields)}) VALUES ({raw.marks(len(RunRecord._fields))}) "
    "ON CONFLICT DO NOTHING RETURNING id"
)
_ENDED = ", ".join(f"{name} = ?" for name in RunUpdate._fields if name != "id")
_UNFINISHED = tuple(state.value for state in State if state not in FINISHED)
_AT_ONCE = 500  # values in one statement
_SLACK = 60.0  # seconds past its lease for which the word of a living process holds
_LOST = {
    "state": State.FAILED.value,
    "exit": "lost",
    "error_type": "nbflow.model.errors.WorkerLostError",
    "error_message": "The process of the run ended while this attempt was running.",
}


def create(connection: Connection, record: RunRecord, version: FlowVersionRecord | None = None) -> None:
    """Store a new run, and the version of its flow unless that is there. May be repeated: the owner tells its own run.

    Raises StorageError if there is another run of this id.
    """
    if version is not None:
        versions.add(connection, version)
    if not raw.one(connection, _NEW, [storable(value) for value in record]):
        there = get(connection, record.id)
        if (there.owner, there.created_at) != (record.owner, record.created_at):
            raise StorageError(
                f"There is a run {record.id} already, of another process. Start again: it gets a new id."
            )


def get(connection: Connection, run: str) -> RunRecord:
    """The run of this id. Raises RunNotFoundError."""
    found = look_up(connection, run)
    if found is None:
        raise RunNotFoundError(f"There is no run {run!r}.{_known(connection)}")
    return found


def look_up(connection: Connection, run: str) -> RunRecord | None:
    """The run of this id; None if there is none."""
    row = raw.one(connection, "SELECT * FROM runs WHERE id = ?", (run,)).first()
    return RunRecord(*row) if row is not None else None


def find(connection: Connection, text: str) -> RunRecord:
    """The run of this id, of a unique beginning of one, or "last". Raises RunNotFoundError."""
    if text == "last":
        found = latest(connection, limit=1)
        if not found:
            raise RunNotFoundError("There are no runs yet.")
        return found[0]
    rows = connection.execute(select(runs).where(runs.c.id.like(_prefix(text), escape="\\")).limit(3)).all()
    exact = [row for row in rows if row.id == text]
    if exact or len(rows) == 1:
        return RunRecord(*(exact or rows)[0])
    if rows:
        ids = ", ".join(row.id for row in rows)
        raise RunNotFoundError(f"{text!r} is the beginning of several runs: {ids} ... Give more of the id.")
    raise RunNotFoundError(f"There is no run {text!r}.{_known(connection)}")


def latest(
    connection: Connection, *, limit: int | None = None, flow: str | None = None, state: str | None = None
) -> list[RunRecord]:
    """Runs, newest first."""
    statement: Select[Any] = select(runs).order_by(runs.c.created_at.desc(), runs.c.id.desc())
    if flow is not None:
        statement = statement.where(runs.c.flow == flow)
    if state is not None:
        statement = statement.where(runs.c.state == state)
    return [RunRecord(*row) for row in connection.execute(statement.limit(limit))]


def count(connection: Connection) -> int:
    """How many runs there are."""
    return connection.execute(select(func.count()).select_from(runs)).scalar_one()


def oldest_live(connection: Connection, now: float) -> float:
    """When the oldest run began that some process executes; infinity if none does."""
    held = and_(runs.c.state.in_(_UNFINISHED), runs.c.owner.is_not(None), runs.c.lease_until > now - _SLACK)
    return connection.execute(select(func.min(runs.c.created_at)).where(held)).scalar() or math.inf


def claim(
    database: Database,
    run: str,
    owner: str,
    *,
    pid: int,
    process_started: float,
    lease: float,
    now: float,
    gone: str | None = None,
) -> RunRecord:
    """Make `owner` the one who executes a run, unless a living process does. Raises RunActiveError if one does.

    `lease`: seconds for which the claim holds without being renewed. `gone`: an owner who is known to have given up.
    """
    values = {
        "owner": owner,
        "owner_pid": pid,
        "owner_started": process_started,
        "host": socket.gethostname(),
        "lease_until": now + lease,
        "state": State.RUNNING.value,
        "started_at": func.coalesce(runs.c.started_at, now),
        "finished_at": None,
        "told": None,
        "error_type": None,
        "error_message": None,
        "error": None,
    }

    def take(connection: Connection) -> RunRecord:
        # PostgreSQL would let two claims read the same free row; SQLite has one writer anyway and ignores the clause.
        connection.execute(select(runs.c.id).where(runs.c.id == run).with_for_update())
        found = get(connection, run)
        if found.owner == owner:
            return found  # by this very call, whose connection was lost before it could learn of it
        check_free(found, now, gone=gone)
        connection.execute(update(runs).where(runs.c.id == run).values(values))
        connection.execute(
            update(attempts).where(and_(attempts.c.run == run, attempts.c.state == State.RUNNING.value)).values(_LOST)
        )
        return get(connection, run)

    return database.retrying(take)


def check_free(record: RunRecord, now: float, *, gone: str | None = None) -> None:
    """Raise RunActiveError if a living process executes a run, unless as the owner `gone`."""
    if record.owner != gone and alive(record, now):
        raise RunActiveError(
            f"Run {record.id} is executed by process {record.owner_pid} on {record.host} right now. "
            "Wait for it, or cancel it first.",
        )


def alive(record: RunRecord, now: float) -> bool:
    """Whether the process that executes a run still does."""
    if record.owner is None:
        return False
    until = record.lease_until or 0.0
    if record.host == socket.gethostname() and record.owner_pid is not None:
        # A process that lives but has long ceased to renew its claim could not say that it gave up.
        return until + _SLACK > now and _process_lives(record.owner_pid, record.owner_started)
    return until > now


def _process_lives(pid: int, started: float | None) -> bool:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started is None or abs(process.create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False


def renew(connection: Connection, run: str, owner: str, until: float) -> bool:
    """Extend the claim of `owner`; False if it is not theirs any more."""
    statement = "UPDATE runs SET lease_until = ? WHERE id = ? AND owner = ? RETURNING id"
    return bool(raw.one(connection, statement, (until, run, owner)))


def ended_so(connection: Connection, record: RunUpdate) -> bool:
    """Whether a run is stored as ended just like this."""
    ended = and_(runs.c.id == record.id, runs.c.state == record.state, runs.c.finished_at == record.finished_at)
    return connection.execute(select(runs.c.id).where(and_(ended, runs.c.owner.is_(None)))).first() is not None


def release(connection: Connection, run: str, owner: str) -> None:
    """Store that nobody executes a run just now, which is not over."""
    statement = update(runs).where(and_(runs.c.id == run, runs.c.owner == owner))
    connection.execute(statement.values(owner=None, lease_until=None))


def finish(connection: Connection, record: RunUpdate) -> None:
    """Store how a run ended; nobody executes it any more."""
    values = {name: storable(value) for name, value in record._asdict().items()}
    run = values.pop("id")
    statement = f"UPDATE runs SET {_ENDED}, owner = NULL, lease_until = NULL WHERE id = ?"
    raw.one(connection, statement, (*values.values(), run))


def cancel(database: Database, run: str, now: float) -> None:
    """End a run of any process: its own one notices when it writes next."""

    def end(connection: Connection) -> None:
        get(connection, run)
        ended = {"state": State.CANCELLED.value, "finished_at": now, "owner": None}
        connection.execute(update(runs).where(and_(runs.c.id == run, runs.c.state.in_(_UNFINISHED))).values(ended))
        end_tasks(connection, run, now)

    database.retrying(end)


def end_tasks(connection: Connection, run: str, now: float, *, under: str = "") -> list[int]:
    """Store unfinished tasks of a run, or below the sub-flow with the key `under`, as cancelled; returns their seqs."""
    ended = {"state": State.CANCELLED.value, "finished_at": now}
    meant = and_(tasks.c.run == run, tasks.c.state.in_(_UNFINISHED))
    if under:
        meant = and_(meant, tasks.c.key.like(_prefix(f"{under}/"), escape="\\"))
    seqs = list(connection.execute(select(tasks.c.seq).where(meant)).scalars())
    connection.execute(update(tasks).where(meant).values(ended))
    tries = and_(attempts.c.run == run, attempts.c.state.in_(_UNFINISHED))
    for part in [seqs[start : start + _AT_ONCE] for start in range(0, len(seqs), _AT_ONCE)] if under else [None]:
        wanted = tries if part is None else and_(tries, attempts.c.seq.in_(part))
        connection.execute(update(attempts).where(wanted).values(ended))
    return seqs


def over(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of some runs that have ended; the others do not end before the transaction does."""
    lock = " FOR SHARE" if connection.dialect.name == "postgresql" else ""
    statement = f"SELECT id, state FROM runs WHERE id IN ({raw.marks(len(ids))}){lock}"
    return {row[0] for row in raw.one(connection, statement, tuple(ids)) if State(row[1]).finished}


def _prefix(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _known(connection: Connection) -> str:
    ids = [record.id for record in latest(connection, limit=3)]
    return f" The latest are: {', '.join(ids)}." if ids else " There are no runs yet."
