"""What the tests of workers enqueue. Jobs that must not overlap note in a log of their own when they run."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nbflow.model.errors import SoftTimeoutError
from nbflow.queue.hooks import WorkerHooks
from nbflow.running.context import current, heartbeat

_LEAKED: list[bytearray] = []


def note(log: str, *words: object) -> None:
    """Append a line, in one piece whoever else writes."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    os.close(descriptor)


def add(left: Any, right: Any) -> Any:
    return left + right


def mark(log: str, word: object) -> None:
    note(log, word)


def pid() -> int:
    return os.getpid()


def fail(word: str) -> None:
    raise ValueError(word)


def until(log: str, name: str, go: str) -> str:
    """Run until the file `go` is there."""
    note(log, "begin", name, time.time())
    try:
        while not os.path.exists(go):
            time.sleep(0.01)
    finally:
        note(log, "end", name, time.time())
    return name


def stay(log: str, name: str, seconds: float) -> str:
    """Run for some seconds."""
    note(log, "begin", name, time.time())
    time.sleep(seconds)
    note(log, "end", name, time.time())
    return name


def beat(log: str, name: str, go: str) -> None:
    """Write a line every 20 ms until the file `go` is there: it shows how long this ran, even if it is killed."""
    note(log, name, os.getpid(), time.time())
    while not os.path.exists(go):
        time.sleep(0.02)
        note(log, name, os.getpid(), time.time())


def start_another(log: str, go: str) -> None:
    """Start a process that outlives this one, unless somebody ends it."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(log, os.getpid(), other.pid)
    until(log, "parent", go)


def loop_in_c() -> None:
    """Block all signals, and stay in C code with the interpreter's lock."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    sum(range(10**15))


def segfault_unless(path: str) -> str:
    if not os.path.exists(path):
        ctypes.string_at(0)
    return "alive"


def clean_up(log: str, seconds: float) -> str:
    try:
        time.sleep(seconds)
    except SoftTimeoutError:
        note(log, "cleaned")
        return "partly"
    return "all"


def time_out(log: str, seconds: float) -> None:
    note(log, "try")
    time.sleep(seconds)


def wrap_the_timeout(log: str, seconds: float) -> None:
    try:
        time_out(log, seconds)
    except SoftTimeoutError as error:
        raise RuntimeError("not in time") from error


async def time_out_later(log: str, seconds: float) -> None:
    note(log, "try")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note(log, "cleaned")
        raise


def leak(megabytes: int) -> int:
    _LEAKED.append(bytearray(os.urandom(1024) * 1024 * megabytes))
    return os.getpid()


def tell(go: str) -> str:
    """Print, tell how far it is, and note something; then run until the file `go` is there."""
    context = current()
    assert context is not None
    print("half way")
    heartbeat(0.5, "half")
    context.meta({"rows": 3})
    while not os.path.exists(go):
        time.sleep(0.01)
    return "done"


def tell_without_end() -> None:
    """Tell how far it is, as often as it can."""
    while True:
        heartbeat(0.5, "still here")


def hostile() -> None:
    """Tell and print what databases do not take."""
    context = current()
    assert context is not None
    print("nul \0 and half a pair \ud800")
    heartbeat(float("nan"), "nul \0 and half a pair \ud800")
    heartbeat("a lot", "no number")  # type: ignore[arg-type]
    context.meta({"key \0": "\ud800"})
    raise ValueError("nul \0 and half a pair \ud800")


def give(size: int) -> bytes:
    return bytes(size)


def give_what_cannot_travel() -> Any:
    return (number for number in range(3)), open(os.devnull)


def name_of(path: str) -> str:
    return Path(path).name


class Hooks(WorkerHooks):
    """Notes in hooks.log of the current folder."""

    def worker_started(self) -> None:
        note("hooks.log", "started", os.getpid())

    def before_job(self, job: Any) -> None:
        note("hooks.log", "before", job.name)

    def after_job(self, job: Any, error: BaseException | None) -> None:
        note("hooks.log", "after", job.name, type(error).__name__)

    def around_job(self, job: Any, call: Any) -> Any:
        return call()
