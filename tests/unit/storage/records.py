"""Records for tests, with what does not matter filled in."""

from __future__ import annotations

import os
import socket
from typing import Any

from nbflow.model.records import AttemptRecord, PayloadRecord, RunRecord, TaskRecord


def run(identity: str = "0run", **changes: Any) -> RunRecord:
    """A run that this process executes."""
    filled: dict[str, Any] = dict.fromkeys(RunRecord._fields)
    filled.update(
        id=identity, flow="training", state="running", executor="threads", parameters="{}", tags="[]", cwd=".",
        host=socket.gethostname(), created_at=1.0, owner="me", owner_pid=os.getpid(), lease_until=1e12,
    )  # fmt: skip
    return RunRecord(**{**filled, **changes})


def task(seq: int, run: str = "0run", **changes: Any) -> TaskRecord:
    """A task."""
    filled: dict[str, Any] = dict.fromkeys(TaskRecord._fields)
    filled.update(
        run=run, seq=seq, key=f"train#{seq}", name="train", kind="step", state="ready", position=seq, upstream="[]",
        code_digest="c", tags="", created_at=1.0, attempts=0,
    )  # fmt: skip
    return TaskRecord(**{**filled, **changes})


def payload(seq: int, run: str = "0run", result: bytes = b"result") -> PayloadRecord:
    """A task's payloads."""
    return PayloadRecord(run, seq, b"inputs", result, None)


def attempt(seq: int, number: int = 1, run: str = "0run", state: str = "succeeded") -> AttemptRecord:
    """An attempt."""
    return AttemptRecord(run, seq, number, state, 1.0, 2.0, 3.0, "threads-1", 1, 0.5, 1000, None, None, None)
