"""Functions of the tests that the children of workers have to import."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

from nbflow.model.errors import RetryLater
from nbflow.running.context import current, heartbeat

_NEVER = threading.Event()


class Span(NamedTuple):
    """When a job ran."""

    name: str
    begin: float
    end: float


class SideLog:
    """Lines that jobs write at once, and that no transaction takes back."""

    def __init__(self, path):
        self.path = str(path)

    def write(self, *words):
        """Add a line."""
        line = " ".join(str(word) for word in words) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def lines(self):
        """What was written, as lists of words."""
        path = Path(self.path)
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def names(self):
        """The first word of each line."""
        return [words[0] for words in self.lines()]

    def spans(self):
        """What `spend` wrote, in the order of the beginnings."""
        begins, found = {}, []
        for name, what, moment in self.lines():
            if what == "begin":
                begins[name] = float(moment)
            else:
                found.append(Span(name, begins.pop(name), float(moment)))
        assert not begins
        return sorted(found, key=lambda span: span.begin)


def most_at_once(spans):
    """How many of some spans overlapped at most."""
    moments = sorted([(span.begin, 1) for span in spans] + [(span.end, -1) for span in spans])
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def add(x, y=0):
    return x + y


async def add_async(x, y=0):
    await asyncio.sleep(0)
    return x + y


def echo(value):
    return value


def listed(*values):
    return list(values)


def fail(message="no"):
    raise ValueError(message)


def fail_with(kind, message):
    raise kind(message)


def write(log, *words):
    SideLog(log).write(*words)
    return words[0] if words else None


async def write_async(log, *words):
    await asyncio.sleep(0)
    return write(log, *words)


def spend(log, name, seconds):
    """Take some time, and write down when."""
    SideLog(log).write(name, "begin", time.time())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _NEVER.wait(max(0.0, min(0.01, end - time.monotonic())))
    SideLog(log).write(name, "end", time.time())
    return name


def until(log, name, path):
    """Say that it began, and go on until a file is there."""
    SideLog(log).write(name)
    while not os.path.exists(path):
        _NEVER.wait(0.005)
    return name


def beat_until_told(log, name):
    """Go on until heartbeat says that nobody waits any more."""
    SideLog(log).write(name)
    while heartbeat():
        _NEVER.wait(0.005)
    return name


def stubborn(log, name):
    """Take no notice of being asked to end."""
    SideLog(log).write(name)
    while True:
        try:
            _NEVER.wait(100)
        except BaseException:
            SideLog(log).write("interrupted")


def count_and_fail(log, enough, kind=ValueError):
    """Fail until it was tried often enough."""
    SideLog(log).write("try", time.time())
    tries = len(SideLog(log).lines())
    if tries < enough:
        raise kind(f"try {tries}")
    return tries


def later(log, times, seconds=0.0):
    """Ask to be run again some times."""
    SideLog(log).write("try", time.time())
    tries = len(SideLog(log).lines())
    if tries <= times:
        raise RetryLater(seconds)
    return tries


def unpicklable():
    return (item for item in [open])


def locked_value():
    return threading.Lock()


def die_once(log):
    """Kill the own process, the first time."""
    SideLog(log).write("try")
    if len(SideLog(log).lines()) == 1:
        os.kill(os.getpid(), 9)
    return len(SideLog(log).lines())


def who_am_i():
    return current().job


def note_outcome(outcome, log, name="told"):
    """What a callback does."""
    value = f"{type(outcome).__name__}:{outcome}" if isinstance(outcome, BaseException) else repr(outcome)
    SideLog(log).write(name, value.replace(" ", "_"))
    return value
