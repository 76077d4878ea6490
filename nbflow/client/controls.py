"""What can be done by a press of a button: each action by its name, with the command that does the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from nbflow import settings as settings_module
from nbflow.client.run import Run
from nbflow.engine import detached, loader, stores
from nbflow.engine import session as session_module
from nbflow.engine.session import RunOptions
from nbflow.model.errors import FlowNotFoundError, NbflowError, RunActiveError
from nbflow.queue.broker import Broker
from nbflow.queue.queue import Queue
from nbflow.storage import job_lists

# What does the same on a command line, where no busy kernel stands in the way.
COMMANDS = {
    "cancel_run": "nbflow cancel {}",
    "retry_run": "nbflow resume {}",
    "run_again": "",
    "cancel_job": "nbflow cancel {}",
    "retry_jobs": "nbflow retry --failed --queue {}",
    "pause_queue": "nbflow queue pause {}",
    "resume_queue": "nbflow queue resume {}",
}
_DEAD_LETTERS = ("failed", "timed_out")
_AT_ONCE = 500  # jobs that one transaction requeues


class Controls:
    """Changes runs, jobs and queues of one database."""

    def __init__(self, db: str | None) -> None:
        self._db = db

    def act(self, action: str, target: str) -> str:
        """Do one of `COMMANDS` to a run, job or queue; returns what was done, in words. Raises NbflowError."""
        if action not in COMMANDS:
            raise NbflowError(f"There is no action {action!r}.")
        does: Callable[[str], str] = getattr(self, action)
        return does(target)

    def cancel_run(self, run: str) -> str:
        """End a run of any process."""
        handle = Run(run, db=self._db)
        if handle.state.finished:
            return f"Run {run} had ended before: {handle.state}."
        handle.cancel("cancelled in a monitor")
        return f"Run {run} is cancelled."

    def retry_run(self, run: str) -> str:
        """Go on with a run that ended early, in a thread of this process; what succeeded is kept."""
        handle = Run(run, db=self._db)
        if handle.state.finished and handle.state == "succeeded":
            return f"Run {run} has succeeded; there is nothing to go on with."
        if not handle.state.finished and not handle.interrupted:
            raise RunActiveError(f"Run {run} goes on already.")
        options = RunOptions(db=self._db, echo=False)
        live, args, kwargs = session_module.resume(run, options)
        _in_background(live, args, kwargs)
        return f"Run {run} goes on where it stopped."

    def run_again(self, run: str) -> str:
        """Start a new run of the same flow with the same arguments: on the queue if it was there, else here."""
        from nbflow.storage import versions

        handle = Run(run, db=self._db)
        record = handle.record
        version = handle._read(lambda connection: versions.get(connection, record.version or ""))
        if version is None or record.inputs is None:
            raise FlowNotFoundError(f"The code or the arguments of run {run} were not stored. Call its flow anew.")
        values = handle._values
        spec = loader.find(version, values)
        args, kwargs = values.get(values.unseal_stored(record.inputs))
        options = RunOptions(db=self._db, executor=record.executor, workers=record.workers, echo=False)
        if record.executor == "queue":
            return f"Run {detached.submit(spec, args, kwargs, options)} is on the queue."
        live = session_module.begin(spec, args, kwargs, options)
        _in_background(live, args, kwargs)
        return f"Run {live.id} has begun, with the parameters of {run}."

    def cancel_job(self, job: str) -> str:
        """End a job: at once if it waits, as soon as its worker can if it runs."""
        was = Queue(db=self._db).job(job).cancel("cancelled in a monitor")
        if was.finished:
            return f"Job {job} had ended before: {was}."
        return f"Job {job} is {'being ended' if was == 'running' else 'cancelled'}."

    def retry_jobs(self, queue: str) -> str:
        """Put all failed jobs of a queue on it again."""
        broker = Broker(
            stores.database(self._db, create=False), stores.value_store(settings_module.current(), self._db)
        )
        with broker.database.read() as connection:
            ids = job_lists.ids(connection, queue=queue, states=_DEAD_LETTERS, kind="job")
        done = [id_ for start in range(0, len(ids), _AT_ONCE) for id_ in broker.requeue(ids[start : start + _AT_ONCE])]
        return f"{len(done)} failed jobs of queue {queue} wait again."

    def pause_queue(self, queue: str) -> str:
        """Hand out no more jobs of a queue."""
        Queue(queue, db=self._db).pause()
        return f"Queue {queue} is paused; what runs goes on."

    def resume_queue(self, queue: str) -> str:
        """Hand out jobs of a queue again."""
        Queue(queue, db=self._db).resume()
        return f"Queue {queue} is open."


def _in_background(live: session_module.Session, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    thread = threading.Thread(target=live.execute, args=(args, kwargs), name=f"nbflow-run-{live.id}", daemon=True)
    thread.start()
