"""Which work waits for which slots: bookkeeping only, under the lock of its owner."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from nbflow.executors.dask.link import Link
from nbflow.model.ports import Started, Work

_LINGER = 0.5  # seconds that a slot without work is kept
_TURN = 2.0  # seconds after which a slot is given back, so that others who use the cluster have their turn


class Held:
    """A slot, seen from its executor."""

    def __init__(self, number: int, lane: Lane, future: Any) -> None:
        self.number = number
        self.lane = lane
        self.future = future  # of the Dask task; kept, since Dask forgets tasks whose future is gone
        self.link: Link | None = None  # to its worker; None: it has not begun
        self.tasks: dict[int, Work] = {}  # by ticket, in the order that they will run in
        self.running: Started | None = None
        self.ending = False  # whether it gets no more tasks
        self.begun = 0.0
        self.idle_since = 0.0

    @property
    def open(self) -> bool:
        """Whether it takes tasks."""
        return self.link is not None and not self.ending


class Lane:
    """Work that needs the same resources, and its slots."""

    def __init__(self, resources: dict[str, float]) -> None:
        self.resources = resources
        self.waiting: OrderedDict[int, Work] = OrderedDict()  # by ticket
        self.slots: dict[int, Held] = {}  # by number; those that were asked for and have not ended

    def free(self, ahead: int) -> Held | None:
        """The slot to be given the next task, if there is one; `ahead`: how many it may have beyond that it runs."""
        best = min((slot for slot in self.slots.values() if slot.open), key=lambda slot: len(slot.tasks), default=None)
        return best if best is not None and (not best.tasks or len(best.tasks) <= ahead) else None

    def lacking(self, most: int) -> int:
        """How many more slots to ask for, if there may be `most`."""
        live = [slot for slot in self.slots.values() if not slot.ending]
        busy = sum(bool(slot.tasks) for slot in live)
        return max(0, min(len(self.waiting) + busy, most) - len(live))

    def to_end(self, now: float, wanted_elsewhere: bool) -> list[Held]:
        """Slots that have nothing to do, or had their turn."""
        linger = 0.0 if wanted_elsewhere else _LINGER
        opened = [slot for slot in self.slots.values() if slot.open]
        found = [slot for slot in opened if not slot.tasks and now - slot.idle_since > linger]
        if self.waiting:
            found += [slot for slot in opened if slot.tasks and now - slot.begun > _TURN]
        return found

    def not_needed(self) -> list[Held]:
        """Slots that have not begun, and for which there is no work."""
        return [] if self.waiting else [slot for slot in self.slots.values() if slot.link is None]
