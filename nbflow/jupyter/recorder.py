"""Keeps on record what the `%%step` cells of a live kernel did: one run per kernel, one task per execution."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
import threading
import time
import warnings
from typing import Any

import xxhash

from nbflow.engine.stores import database
from nbflow.model import names
from nbflow.model.records import AttemptRecord, LogRecord, RunRecord, RunUpdate, TaskRecord
from nbflow.model.states import State
from nbflow.storage import runs
from nbflow.storage.writer import Writer


class Recorder:
    """Writes in the background; what goes wrong is told once, and never reaches the user's cell."""

    def __init__(self) -> None:
        self._writer: Writer | None = None
        self._run = ""
        self._seq = 0
        self._calls: dict[str, int] = {}
        self._broken = False
        self._lock = threading.Lock()

    def record(self, name: str, source: str, started: float, error: BaseException | None) -> None:
        """Put one execution of a step's cell on record."""
        if self._broken:
            return
        try:
            with self._lock:
                self._put(name, source, started, error)
        except Exception as problem:
            self._failed(problem)

    def flush(self) -> None:
        """Return when everything is on disk."""
        if self._writer is not None and not self._broken:
            self._writer.flush()

    def _put(self, name: str, source: str, started: float, error: BaseException | None) -> None:
        now = time.time()
        writer = self._open(now)
        self._seq += 1
        number = self._calls[name] = self._calls.get(name, 0) + 1
        state = State.FAILED if error is not None else State.SUCCEEDED
        kind, message = (type(error).__name__, str(error)) if error is not None else (None, None)
        digest = xxhash.xxh3_128_hexdigest(source.encode("utf-8", "surrogatepass"))
        values: dict[str, Any] = dict.fromkeys(TaskRecord._fields)
        values.update(
            run=self._run, seq=self._seq, key=names.task_key("", name, number), name=name, kind="cells",
            state=state.value, position=self._seq, upstream="[]", code_digest=digest, tags="", created_at=started,
            ready_at=started, started_at=started, finished_at=now, attempts=1, error_type=kind, error_message=message,
        )  # fmt: skip
        task = TaskRecord(**values)
        attempt = AttemptRecord(
            self._run, self._seq, 1, state.value, started, started, now, "kernel", os.getpid(), None, None, None,
            kind, message,
        )  # fmt: skip
        writer.put(task)
        writer.put(attempt)
        self._ended(now)
        if error is not None:
            text = json.dumps({"ename": kind, "evalue": message, "traceback": []})
            writer.put(LogRecord(self._run, self._seq, 1, 1, now, "error", text))

    def _open(self, now: float) -> Writer:
        if self._writer is None:
            self._run = names.run_id(now, random.SystemRandom().getrandbits(30))
            opened = database()
            record = _interactive_run(self._run, now)
            opened.retrying(lambda connection: runs.create(connection, record))
            self._writer = Writer(opened, on_error=self._failed, fence=None)
        return self._writer

    def _ended(self, now: float) -> None:
        """The run of a kernel has ended with its latest cell; it has no end that anybody could wait for."""
        assert self._writer is not None  # something was put
        nothing: dict[str, Any] = dict.fromkeys(RunUpdate._fields)
        self._writer.put(RunUpdate(**{**nothing, "id": self._run, "state": State.SUCCEEDED.value, "finished_at": now}))

    def _failed(self, problem: BaseException) -> None:
        self._broken = True
        warnings.warn(f"nbflow does not record this kernel's steps any more: {problem}", stacklevel=2)


def _interactive_run(run: str, now: float) -> RunRecord:
    values: dict[str, Any] = dict.fromkeys(RunRecord._fields)
    values.update(
        id=run, flow="interactive", state=State.SUCCEEDED.value, executor="kernel", parameters="{}",
        tags='["interactive"]', cwd=os.getcwd(), host=socket.gethostname(), created_at=now, started_at=now,
        owner_pid=os.getpid(), finished_at=now, workers=1, version=None,
    )  # fmt: skip
    values["parameters"] = json.dumps({"python": sys.version.split()[0]})
    return RunRecord(**values)
