"""An executor that runs one task at a time, and of those that are ready any: it shows what depends on luck."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from nbflow.executors.serial import SerialExecutor
from nbflow.model.ports import Report, Work


class ShuffledExecutor:
    """Holds what it is given, and runs it in random order when somebody waits."""

    name = "shuffled"
    inline = True

    def __init__(self, **options: Any) -> None:
        self.workers = 1
        self._inner = SerialExecutor(**options)
        self._held: list[Work] = []
        self._random = random.Random(4)

    def start(self, report: Callable[[Report], None]) -> None:
        self._inner.start(report)

    def submit(self, work: Work) -> None:
        self._held.append(work)

    def cancel(self, ticket: int) -> None:
        held = [work for work in self._held if work.ticket == ticket]
        for work in held:
            self._held.remove(work)
            self._inner.submit(work)
        self._inner.cancel(ticket)

    def help(self, done: Callable[[], bool]) -> bool:
        helped = False
        while self._held and not done():
            helped = True
            self._inner.submit(self._held.pop(self._random.randrange(len(self._held))))
        return helped

    def close(self, *, wait: bool = True) -> None:
        if wait:
            self.help(lambda: False)
        self._inner.close(wait=wait)
