"""A child process as a pool has it: what it was given, and what it said of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nbflow.model.ports import Started, Work
from nbflow.running import wire
from nbflow.running.children import Child, children


class Leased:
    """A child with what it was given. To be used under the lock of its pool."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.tasks: dict[int, Work] = {}  # by ticket, in the order that they will run in
        self.running: Started | None = None
        self.began = 0.0  # when that was heard, in seconds since 1970
        self.beat = 0.0  # when its task gave a sign of life last; infinity: it may be silent for now
        self.waits = False  # whether its task waits for others, which may have its place
        self.done = 0  # tasks that it has run
        self.rests_since = math.inf  # when the last one of them ended, in seconds since 1970
        self.retiring = False  # whether it gets no more tasks
        self.asked_back = False  # whether it was asked to give tasks back and has not answered
        self._for_good = False  # whether those that it was asked for are not for its pool's other children
        self.ended_for_us = False  # whether it is ended though nothing is wrong with its task
        self._specs: set[int] = set()  # numbers of the specs that it knows
        self._unset: Callable[[], None] | None = None  # takes back the order to kill it when time is up

    def give(self, work: Work, number: int, packed: Any) -> list[Any]:
        """Note a task as given; returns the messages that tell it. `number` and `packed` are of its spec."""
        self.tasks[work.ticket] = work
        messages: list[Any] = [wire.Task.of(work, number)]
        if number not in self._specs:
            self._specs.add(number)
            messages.insert(0, wire.Spec(number, work.spec.name, work.spec.is_async, packed))
        return messages

    def ask_back(self, most: int, *, for_good: bool = False) -> None:
        """Ask for up to so many tasks that have not begun, unless it was asked already."""
        if most > 0 and not self.asked_back:
            self.asked_back = True
            self._for_good = for_good
            children().send(self.child, [wire.GiveBack(most)])

    def answered(self) -> bool:
        """Note that it gave tasks back; whether they leave the pool."""
        for_good, self._for_good, self.asked_back = self._for_good, False, False
        return for_good

    def find_running(self, now: float) -> None:
        """Learn from its mark what it runs, if that report, and that of the end of another task, was held back."""
        ticket = self.child.mark.read()
        if ticket in self.tasks and (self.running is None or self.running.ticket != ticket):
            self.running = Started(ticket, now, f"process-{self.child.pid}", self.child.pid)

    def set_timer(self, unset: Callable[[], None] | None) -> None:
        """Replace the order to kill it; `unset` takes the new one back, None: there is none."""
        if self._unset is not None:
            self._unset()
        self._unset = unset
