"""The slots of one executor: asked for, given work, ended."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nbflow.executors.dask import messages
from nbflow.executors.dask.lanes import Held, Lane
from nbflow.executors.dask.link import Link
from nbflow.executors.dask.messages import Bye, End, Hello, Word
from nbflow.executors.dask.steps import Steps
from nbflow.model.errors import ConfigError
from nbflow.model.ports import Finished, Started, Work
from nbflow.running import wire

if TYPE_CHECKING:
    from nbflow.executors.dask.cluster import Cluster

_HOPELESS = 3  # slots in a row that did not begin
_LONELY = 10.0  # seconds without any worker after which people are told
_LOOK = 2.0  # seconds between two looks at the cluster while work waits
_MOST_AHEAD = 8  # tasks that a slot is given while it runs one, if they are short
_SHORT, _LONG = 0.002, 0.02  # seconds
_log = logging.getLogger("nbflow")


class Events(Protocol):
    """Where to tell what happens; any thread calls these, and they have to be quick."""

    def announced(self, word: Word) -> None:
        """A slot has begun."""

    def received(self, link: Link, data: bytes) -> None:
        """A worker has told something."""

    def lost(self, link: Link, why: str) -> None:
        """A worker cannot be reached any more."""

    def due(self, work: Work) -> None:
        """Nothing stands between an attempt and its slot any more. Called under the lock."""


class Lost(NamedTuple):
    """An attempt that was given to a worker that is lost."""

    work: Work
    started: Started | None  # None: it is not known whether it began
    worker: str  # address
    exit: str | None


class Hopeless(NamedTuple):
    """Work that will never begin."""

    works: list[Work]
    error: Exception


class Slots:
    """Work goes in, and to slots as they come. Under the executor's lock, on threads that may wait for Dask."""

    def __init__(self, cluster: Cluster, name: str, hello: Hello, most: int | None, events: Events) -> None:
        """`most`: how many slots there may be at a time; None: as many as the cluster has places."""
        self._cluster = cluster
        self._name = name
        self._hello = hello
        self._most = most
        self._events = events
        self._numbers = itertools.count(1)
        self._steps = Steps(cluster)
        self._lanes = self._steps.lanes
        self._slots: dict[int, Held] = {}  # by number
        self._holders: dict[int, Held] = {}  # by ticket: the slot that was given it
        self._links: dict[str, Link] = {}  # by address
        self._pids: dict[Link, tuple[str, int]] = {}  # address and process
        self._ahead = 0  # tasks that a slot is given beyond the one it runs
        self._failures = 0  # slots in a row that did not begin
        self._lookout = _Lookout(cluster)

    # --- work ------------------------------------------------------------------------------------------------------

    def put(self, work: Work) -> None:
        """Take work; raises `NbflowError` if it can never run here."""
        self._steps.lane(work).waiting[work.ticket] = work

    def withdraw(self, ticket: int) -> bool:
        """Drop work that waits here; False if it does not."""
        return any(lane.waiting.pop(ticket, None) is not None for lane in self._lanes.values())

    def holder(self, ticket: int) -> Held | None:
        """The slot that was given an attempt."""
        return self._holders.get(ticket)

    def feed(self) -> None:
        """Give waiting work to slots, and ask for more of them."""
        told: dict[Link, list[Any]] = {}
        for lane in self._lanes.values():
            while lane.waiting:
                slot = lane.free(self._ahead)
                if slot is None or slot.link is None:
                    break
                _, work = lane.waiting.popitem(last=False)
                if not slot.tasks:
                    self._events.due(work)
                slot.tasks[work.ticket] = work
                self._holders[work.ticket] = slot
                told.setdefault(slot.link, []).extend(self._steps.messages(slot, slot.link, work))
            self._ask(lane)
        for link, what in told.items():
            link.send(what)

    def started(self, report: Started) -> None:
        """Note that an attempt runs."""
        slot = self._holders.get(report.ticket)
        if slot is not None:
            slot.running = report
            self._failures = 0

    def finished(self, report: Finished) -> None:
        """Note that an attempt has ended."""
        self.drop(report.ticket)
        seconds = report.finished_at - report.started_at
        if seconds < _SHORT:
            self._ahead = min(_MOST_AHEAD, self._ahead * 2 + 1)
        elif seconds > _LONG:
            self._ahead = 0

    def drop(self, ticket: int) -> Work | None:
        """Forget an attempt that a slot has."""
        slot = self._holders.pop(ticket, None)
        if slot is None:
            return None
        work = slot.tasks.pop(ticket)
        slot.running = None
        if slot.tasks:
            self._events.due(next(iter(slot.tasks.values())))
        else:
            slot.idle_since = time.monotonic()
            if slot.ending:
                self._forget(slot)
        return work

    def given_back(self, tickets: Iterable[int]) -> list[Work]:
        """Take back what a slot has not begun; returns it."""
        back = [work for work in map(self.drop, tickets) if work is not None]
        self._put_back(back)
        self._ahead = 0  # it waited behind something long
        return back

    def _put_back(self, works: list[Work]) -> None:
        for work in reversed(works):
            waiting = self._steps.lane(work).waiting
            waiting[work.ticket] = work
            waiting.move_to_end(work.ticket, last=False)

    # --- slots -----------------------------------------------------------------------------------------------------

    def announced(self, word: Word) -> Hopeless | None:
        """A slot has begun, on a worker that may be unfit."""
        if word["refused"] or word["changed"]:
            return self._refused(word)
        slot = self._slots.get(word["slot"])
        link = self._link(word["worker"], word["pid"])
        if slot is None or slot.ending:
            link.send([End(word["slot"])])
            return None
        slot.link = link
        slot.begun = slot.idle_since = time.monotonic()
        self._lookout.all_well()
        return None

    def ended(self, number: int) -> None:
        """A slot takes no more tasks."""
        slot = self._slots.get(number)
        if slot is not None:
            slot.ending = True
            if not slot.tasks:
                self._forget(slot)

    def give_up(self, slot: Held) -> None:
        """Use a slot no more whose worker does not answer: some C code keeps Python from running."""
        slot.ending = True
        if slot.link is not None:
            slot.link.send([End(slot.number)])
            self._cluster.replace(self._pids[slot.link][1])

    def lost(self, link: Link) -> list[Lost]:
        """A worker is gone; returns what may have begun there. The rest waits again."""
        address, pid = self._pids.pop(link)
        self._links.pop(address, None)
        exit = self._cluster.exit_of(pid)
        mark = self._cluster.mark_of(pid)
        found: list[Lost] = []
        for slot in [slot for slot in self._slots.values() if slot.link is link]:
            begun = messages.begun(mark, self._name, list(slot.tasks))
            works = list(slot.tasks.values())
            for work in works:
                del self._holders[work.ticket]
            self._put_back(works[begun:])
            for work in works[:begun]:
                started = slot.running if slot.running is not None and slot.running.ticket == work.ticket else None
                found.append(Lost(work, started, address, exit))
            slot.tasks.clear()
            slot.link = slot.running = None  # Dask begins it again, on another worker
            if slot.ending:
                self._forget(slot)
        return found

    def tend(self) -> Hopeless | None:
        """What has to be done from time to time."""
        now = time.monotonic()
        hopeless = self._over()
        if hopeless is not None:
            return hopeless
        starved = [lane for lane in self._lanes.values() if lane.waiting and not any(map(_open, lane.slots.values()))]
        for lane in self._lanes.values():
            for slot in lane.to_end(now, any(other is not lane for other in starved)):
                slot.ending = True
                assert slot.link is not None  # it is open
                slot.link.send([End(slot.number)])
            for slot in lane.not_needed():
                self._forget(slot)
        if not starved:
            self._lookout.all_well()
            return None
        self._lookout.look()
        trouble = self._cluster.trouble()
        return self._hopeless(trouble) if trouble is not None else None

    def close(self) -> None:
        """End all slots."""
        for link in self._links.values():
            link.close([Bye()])
        for slot in list(self._slots.values()):
            self._forget(slot)

    def _over(self) -> Hopeless | None:
        """Look which slots' Dask tasks have ended."""
        for slot in list(self._slots.values()):
            status = slot.future.status
            if status == "pending":
                continue
            if slot.link is not None:  # what it has is given back, or reported, over the link
                slot.ending = True
                if not slot.tasks:
                    self._forget(slot)
                continue
            problem = slot.future.exception() if status == "error" else None
            self._forget(slot)
            if status == "cancelled" and self._cluster.trouble() is None:
                continue  # by client.restart(), perhaps; another one is asked for
            self._failures += 1
            if self._failures >= _HOPELESS:
                why = f"{type(problem).__name__}: {problem}" if problem is not None else status
                return self._hopeless(ConfigError(f"Nothing can be run on the Dask cluster: {why}."))
        return None

    def _ask(self, lane: Lane) -> None:
        count = lane.lacking(self._most or self._cluster.most_slots)
        if not count or not lane.waiting or self._cluster.trouble() is not None:
            return
        numbers = list(itertools.islice(self._numbers, count))
        try:
            futures = self._cluster.ask(self._name, numbers, lane.resources)
        except Exception:  # the connection is being closed: what that means for the work is found out by tend()
            _log.debug("Dask cannot be asked for slots.", exc_info=True)
            return
        for number, future in zip(numbers, futures, strict=True):
            self._slots[number] = lane.slots[number] = Held(number, lane, future)

    def _forget(self, slot: Held) -> None:
        self._slots.pop(slot.number, None)
        slot.lane.slots.pop(slot.number, None)
        slot.future.release()  # if it has not begun, it never will

    def _refused(self, word: Word) -> Hopeless | None:
        slot = self._slots.get(word["slot"])
        if slot is not None:
            self._forget(slot)
        if word["changed"] and self._cluster.replace(word["pid"]):
            return None
        self._cluster.refuse(word["worker"], word["refused"] or f"has imported {word['changed']} as it was earlier")
        return None if self._cluster.usable() else self._hopeless(self._cluster.unusable())

    def _link(self, address: str, pid: int) -> Link:
        link = self._links.get(address)
        if link is None:
            call, loop = self._cluster.call(address), self._cluster.loop
            link = Link(self._name, call, loop, received=self._events.received, lost=self._events.lost)
            self._links[address] = link
            self._pids[link] = address, pid
            self._cluster.joined(pid)
            link.send([self._hello])
            link.start()
        return link

    def _hopeless(self, error: Exception) -> Hopeless:
        self._failures = 0
        works = [work for lane in self._lanes.values() for work in lane.waiting.values()]
        for lane in self._lanes.values():
            lane.waiting.clear()
        return Hopeless(works, error)


class _Lookout:
    """Looks at the cluster while work waits, and tells people once if nobody is there to do it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.all_well()

    def all_well(self) -> None:
        self._looked = self._had_worker = time.monotonic()

    def look(self) -> None:
        now = time.monotonic()
        if now - self._looked <= _LOOK:
            return
        self._looked = now
        self._cluster.look()
        if self._cluster.threads:
            self._had_worker = now
        elif now - self._had_worker > _LONELY:
            self._had_worker = float("inf")  # once
            _log.warning("No worker has joined the Dask scheduler at %s yet; tasks wait.", self._cluster.address)


def _open(slot: Held) -> bool:
    return slot.open


def place() -> wire.Lease:
    """The surroundings of this process."""
    try:
        cwd: str | None = os.getcwd()
    except OSError:  # the folder is gone
        cwd = None
    return wire.Lease(list(sys.path), cwd, dict(os.environ), None)
