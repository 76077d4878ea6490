"""The states of runs, tasks and attempts, and the legal moves between them."""

from __future__ import annotations

from enum import StrEnum

from nbflow.model.errors import NbflowError


class State(StrEnum):
    """What became of a run, task or attempt so far."""

    PENDING = "pending"  # waits for its inputs
    READY = "ready"  # could run now, or at the time of its next retry
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # raised an error
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # not run, because an input failed or its branch was not taken
    EXPIRED = "expired"  # not started in time

    @property
    def finished(self) -> bool:
        """Whether nothing more happens without someone asking for it."""
        return self in FINISHED


FINISHED = frozenset(
    {State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.SKIPPED, State.EXPIRED},
)

_UNSUCCESSFUL = FINISHED - {State.SUCCEEDED}

# A finished state leads back to pending or ready only through resume or retry.
MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.READY, State.SUCCEEDED, State.SKIPPED, State.CANCELLED, State.EXPIRED}),
    State.READY: frozenset({State.RUNNING, State.SUCCEEDED, State.SKIPPED, State.CANCELLED, State.EXPIRED}),
    State.RUNNING: frozenset({State.READY, State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED}),
    State.SUCCEEDED: frozenset({State.PENDING, State.READY}),
    **{state: frozenset({State.PENDING, State.READY, State.RUNNING}) for state in _UNSUCCESSFUL},
}


class IllegalMoveError(NbflowError):
    """Something tried to bring a task or run into a state that cannot follow its present one."""


def check_move(old: State, new: State, what: str) -> None:
    """Raise `IllegalMoveError` unless `new` may follow `old`; `what` names the task or run."""
    if new not in MOVES[old]:
        raise IllegalMoveError(f"{what} cannot go from {old} to {new}.", old=old, new=new)
