"""Reports of attempts whose process did not report itself."""

from __future__ import annotations

import os
import signal

from nbflow.model.errors import WorkerLostError
from nbflow.model.ports import Finished, Started, Work
from nbflow.model.states import State
from nbflow.running.failure import error_record


def end(
    work: Work,
    state: State,
    error: BaseException,
    now: float,
    *,
    started: Started | None = None,
    exit: str | None = None,
) -> Finished:
    """The last report of an attempt that ended with `error`, with its process or without ever having had one."""
    worker, pid, begun = ("processes", os.getpid(), now)
    if started is not None:
        worker, pid, begun = started.worker, started.pid, started.time
    return Finished(work.ticket, state, begun, now, worker, pid, None, error_record(error), error, exit=exit)


def lost(work: Work, started: Started, exit: str, now: float) -> Finished:
    """The report of an attempt whose process died."""
    error = WorkerLostError(
        f"the process that ran step {work.spec.name!r} ({work.key}) died: {_in_words(exit)}",
        exit=exit,
        step=work.spec.name,
    )
    return end(work, State.FAILED, error, now, started=started, exit=exit)


def no_start(exit: str) -> WorkerLostError:
    """The error for all that waits where child processes do not even start."""
    return WorkerLostError(
        f"child processes cannot be started here: several in a row died before they began ({exit}). Their error "
        "messages went to standard error. Use executor 'threads' until this is solved.",
        exit=exit,
    )


def _in_words(exit: str) -> str:
    kind, _, number = exit.partition(" ")
    if kind != "signal":
        return f"{exit}. Something in it ended the process (os._exit(), a C library); let it raise an error instead."
    try:
        name = signal.Signals(int(number)).name
    except ValueError:
        name = "unknown"
    if name == "SIGKILL":
        return (
            f"{exit} ({name}). It was killed from outside, often by the system for lack of memory: use fewer workers."
        )
    return (
        f"{exit} ({name}). Look for a crash in the C code that it uses; `import faulthandler; faulthandler.enable()`."
    )
