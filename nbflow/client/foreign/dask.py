"""What a Dask cluster does: its tasks as jobs.

A scheduler knows the tasks whose results somebody still wants, a log of the latest moves of tasks, and from the first
time that anybody asks for it (its dashboard, or this client) the "task stream": what each try did, when and where.
Which tasks run at the moment, and since when, only their workers know; they are asked through the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nbflow.client.foreign.reading import ForeignSource, Row, error_of_repr, finished, number
from nbflow.model.errors import ConfigError, DatabaseUnreachableError
from nbflow.model.states import State

STATES = {
    "released": State.PENDING,
    "waiting": State.PENDING,
    "no-worker": State.PENDING,
    "queued": State.READY,
    "processing": State.READY,  # a worker has it; whether it runs is asked for
    "memory": State.SUCCEEDED,
    "erred": State.FAILED,
    "forgotten": State.SUCCEEDED,
}
_BEGUN = ("executing", "long-running")  # states of a task on its worker
_SCHEMES = ("tcp", "tls", "ucx", "ws", "wss", "inproc")
_PATIENCE = 5  # seconds for a scheduler to answer

_STREAM = (
    "from the task stream, which the scheduler keeps from the first time that its dashboard or a client like this asks "
    "for it (the latest 100,000 tries, unless set otherwise)"
)
MISSING = {
    "runs": "Dask knows no flows; its tasks are in jobs() and their tries in attempts().",
    "tasks": "Dask knows no flows; its tasks are in jobs() and their tries in attempts().",
    "queues": "Dask has no queues: tasks go to workers as these have room.",
    "schedules": "Dask schedules nothing for later times.",
    "events": "What Dask calls events is not read.",
    "artifacts": "Dask keeps results in the memory of workers.",
    "jobs": "Dask forgets a task when nobody wants its result any more; those are known " + _STREAM + ".",
    "jobs.queue": "Dask has no queues.",
    "jobs.priority": "Dask orders tasks by several numbers.",
    "jobs.enqueued_at": "Known of tasks of which the scheduler still has the first move in its log of the latest "
    "(distributed.admin.low-level-log-length, 1000 moves unless set).",
    "jobs.started_at": "Of tasks that have ended known " + _STREAM + ".",
    "jobs.finished_at": "Known from the task stream, else from the scheduler's log: the time at which it heard of it.",
    "jobs.error": "Known " + _STREAM + ".",
    "jobs.losses": "Dask counts them, and tells nobody.",
    "jobs.progress": "Dask has none.",
    "jobs.tags": "Dask has none.",
    "attempts": "Known "
    + _STREAM
    + ", and of what runs now. A try that failed and was repeated (retries=...) is not recorded.",
    "attempts.pid": "Dask names the worker only.",
    "attempts.cpu": "Dask does not measure it for each task.",
    "attempts.peak_memory": "Dask does not measure it for each task.",
    "attempts.exit": "Dask does not record it.",
    "workers.queues": "Dask has no queues.",
    "workers.pid": "The scheduler does not know it.",
    "workers.started_at": "The scheduler does not tell it.",
    "workers.done": "What the task stream has of it.",
}


class DaskSource(ForeignSource):
    """A Dask cluster, through a client of it."""

    kind = "dask"

    def __init__(self, client: Any, *, owned: bool, record: bool = True) -> None:
        """`owned`: the client is closed with this. `record`: the scheduler may be asked for its task stream."""
        super().__init__(MISSING)
        self._client = client
        self._owned = owned
        self._record = record
        with self._translated():
            self._stream()  # what happens from now on is kept

    def close(self) -> None:
        """Close the client, if it was made for this."""
        if self._owned:
            self._client.close(timeout=1)

    def jobs(self) -> list[Row]:
        """The tasks that the scheduler has, and those that the task stream remembers."""
        with self._translated():
            states, moves, stream, running = self._states(), self._moves(), self._stream(), self._running()
        rows = {key: _job(key, state, moves.get(key, []), running.get(key)) for key, state in states.items()}
        for key, tries in stream.items():
            known = rows.setdefault(key, _job(key, "forgotten", [], None))
            last = tries[-1]
            known["attempts"] = len(tries) + (known["state"] == State.RUNNING)
            if known["state"] == State.RUNNING or not finished(known["state"]):
                continue
            if key not in states:
                known["state"] = last["state"]
            known |= {name: last[name] for name in ("worker", "started_at", "finished_at", "error_type", "error")}
        return list(rows.values())

    def attempts(self) -> list[Row]:
        """The tries that the task stream remembers, and what runs."""
        with self._translated():
            moves, stream, running = self._moves(), self._stream(), self._running()
        rows = []
        for key in stream.keys() | running.keys():
            tries = [*stream.get(key, [])]
            if key in running:
                worker, started = running[key]
                tries.append({"state": State.RUNNING.value, "worker": worker, "started_at": started})
            tries[-1] = {**tries[-1], "queued_at": _ready(moves.get(key, []))}
            shared = {"task": str(key), "step": _step(key), "seq": 0}
            rows += [{**shared, "attempt": count, **each} for count, each in enumerate(tries, 1)]
        return rows

    def workers(self) -> list[Row]:
        """The workers that the scheduler knows."""
        with self._translated():
            found = self._client.scheduler_info(n_workers=-1)["workers"]
            tries = [each for part in self._stream().values() for each in part]
        rows = []
        for address, facts in found.items():
            status = facts.get("status")
            rows.append(
                {
                    "worker": address,
                    "state": {"running": "running", "closed": "stopped"}.get(status, "draining"),
                    "alive": status != "closed",
                    "host": facts.get("host"),
                    "concurrency": number(facts.get("nthreads")),
                    "busy": number((facts.get("metrics") or {}).get("executing")) or 0,
                    "done": sum(each["worker"] == address for each in tries),
                    "seen_at": facts.get("last_seen"),
                }
            )
        return rows

    # ------------------------------------------------------------ what the scheduler is asked

    def _states(self) -> dict[Any, str]:
        keys = list(self._client.sync(self._client.scheduler.who_has))
        found: dict[Any, str] = self._client.sync(self._client.scheduler.get_task_status, keys=keys)
        return {key: state for key, state in found.items() if state}

    def _moves(self) -> dict[Any, list[Any]]:
        """By key what the log says of the tasks that there are: lists of (key, from, to, ..., time)."""
        keys = list(self._client.sync(self._client.scheduler.who_has))
        found: dict[Any, list[Any]] = {}
        for move in self._client.sync(self._client.scheduler.get_story, keys_or_stimuli=keys):
            found.setdefault(move[0], []).append(move)
        return found

    def _stream(self) -> dict[Any, list[Row]]:
        """By key the tries that are remembered, the oldest first."""
        found: dict[Any, list[Row]] = {}
        for message in self._client.get_task_stream() if self._record else ():
            found.setdefault(message["key"], []).append(_try(message))
        return found

    def _running(self) -> dict[Any, tuple[str, float | None]]:
        """By key of what runs: on which worker, and since when if that worker still knows."""
        scheduler = self._client.scheduler
        stacks = self._client.sync(scheduler.call_stack, keys=None)
        running = {key: worker for worker, found in stacks.items() for key in found}
        if not running:
            return {}
        message = {"op": "get_story", "keys_or_stimuli": list(running)}
        stories = self._client.sync(
            scheduler.broadcast, msg=message, workers=sorted(set(running.values())), on_error="ignore"
        )
        return {key: (worker, _began(key, stories.get(worker, []))) for key, worker in running.items()}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Within it, errors of the connection are nbflow's."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            raise DatabaseUnreachableError(
                f"The Dask scheduler at {_address(self._client)} does not answer: {error}. Is it still there?"
            ) from error


def _job(key: Any, state: str, moves: list[Any], running: tuple[str, float | None] | None) -> Row:
    now = State.RUNNING if running else STATES.get(state, State.PENDING)
    done = [move for move in moves if move[2] in ("memory", "erred")] if finished(now) else []
    return {
        "job": str(key),
        "step": _step(key),
        "kind": "job",
        "state": now.value,
        "worker": running[0] if running else None,
        "enqueued_at": moves[0][-1] if moves and moves[0][1] == "released" else None,
        "ready_at": _ready(moves),
        "started_at": running[1] if running else None,
        "finished_at": done[-1][-1] if done else None,
        "attempts": 1 if running or finished(now) else 0,
        "message": "no worker fits what it asks for" if state == "no-worker" else None,
    }


def _ready(moves: list[Any]) -> float | None:
    """When a task was ready the last time: all that it needs was there."""
    found = [move[-1] for move in moves if move[1] in ("waiting", "released") and move[2] in ("queued", "processing")]
    return found[-1] if found else None


def _began(key: Any, story: list[Any]) -> float | None:
    """When a task began, in the story that its worker tells: of each move (key, from, wanted, to, ..., time)."""
    moves = [each for each in story if len(each) >= 6 and each[0] == key]
    begun = [each[-1] for each in moves if each[3] in _BEGUN and each[1] not in _BEGUN]
    return float(begun[-1]) if begun else None


def _try(message: dict[str, Any]) -> Row:
    """One try out of the task stream."""
    spans = [each for each in message.get("startstops") or () if each["action"] == "compute"]
    failed = "exception" in message
    error_type, error = error_of_repr(message.get("exception_text")) if failed else (None, None)
    return {
        "state": (State.FAILED if failed else State.SUCCEEDED).value,
        "worker": message.get("worker"),
        "started_at": spans[0]["start"] if spans else None,
        "finished_at": spans[-1]["stop"] if spans else None,
        "error_type": error_type,
        "error": error,
    }


def _step(key: Any) -> str:
    from distributed.utils import key_split

    return str(key_split(key))


def _address(client: Any) -> str:
    scheduler = client.scheduler
    return str(scheduler.address) if scheduler is not None else "its address"


def open_dask(url: Any, *, record: bool = True, **options: Any) -> DaskSource:
    """A Dask cluster by the address of its scheduler (tcp://HOST:8786), or by a client of it.

    Nothing is computed, fetched or changed. But the scheduler is asked for its task stream, and keeps it from then on,
    as it does for its dashboard; with `record=False` it is left alone, and little is known of what has ended. `options`
    are those of `distributed.Client`, such as `security`.
    Raises ConfigError for what is no address, DatabaseUnreachableError if no scheduler answers.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ConfigError(f"Reading Dask needs the package {error.name}: pip install 'nbflow[dask]'.") from error
    if isinstance(url, Client):
        if not url.asynchronous:
            return DaskSource(url, owned=False, record=record)
        options = {"security": url.security} | options  # its loop is the caller's, who is about to wait
        url = url.scheduler.address
    scheme = url.partition("://")[0] if isinstance(url, str) and "://" in url else ""
    if not isinstance(url, str) or not url or scheme not in ("", *_SCHEMES):
        found = f"an address that begins with {scheme}://" if scheme else f"a {type(url).__name__}"
        raise ConfigError(f"A Dask cluster is named by the address of its scheduler, tcp://HOST:PORT, not by {found}.")
    try:
        client = Client(url, **({"timeout": _PATIENCE, "set_as_default": False, "name": "nbflow-reader"} | options))
    except (OSError, ValueError) as error:
        raise DatabaseUnreachableError(
            f"No Dask scheduler answers at {url}: {error}. Start it, or correct the address."
        ) from error
    try:
        return DaskSource(client, owned=True, record=record)
    except BaseException:
        client.close(timeout=1)
        raise
