"""What a worker tells its log of the jobs that ended."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nbflow.model.states import State

if TYPE_CHECKING:
    from nbflow.model.ports import Finished
    from nbflow.queue.ledger import InHand

_log = logging.getLogger("nbflow")
_LONGEST = 300  # characters of an error


def ended(pairs: Iterable[tuple[InHand, Finished]]) -> None:
    """Tell of jobs whose try is over: what went wrong as warnings, the rest for those who want to know all."""
    every = _log.isEnabledFor(logging.DEBUG)
    for each, end in pairs:
        if end.error is not None and end.state is not State.CANCELLED:
            error = f"{end.error.type}: {end.error.message}"
            error = error.encode("utf-8", "backslashreplace").decode()
            told = error if len(error) <= _LONGEST else error[: _LONGEST - 1] + "…"
            _log.warning("%s: try %d failed: %s", _name(each), each.job.attempt, told.replace("\n", " "))
        elif every:
            state = "goes on later" if end.again is not None else end.state
            _log.debug("%s: %s after %.3g s", _name(each), state, end.finished_at - end.started_at)


def _name(each: InHand) -> str:
    return f"job {each.job.id} ({each.job.name})"
