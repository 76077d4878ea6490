"""What runs on a Dask worker: the task that is a slot, and the link to the executor that it belongs to."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

from nbflow.executors.dask import messages
from nbflow.executors.dask.borrowed import BorrowedStore
from nbflow.executors.dask.messages import Bye, End, Hello, Offer, Run, Sent, Word
from nbflow.executors.dask.slot import Function, Slot
from nbflow.model.errors import NbflowError
from nbflow.model.specs import StepSpec
from nbflow.running import surroundings, wire
from nbflow.running.marks import Mark
from nbflow.values.store import ValueStore

_ATTACH = 10.0  # seconds that a slot waits for its executor to answer

MARKS: list[Mark] = []  # the page that this process shares with the one that has started it for nbflow, if one has
_LINKS: dict[str, Link] = {}  # by name: the executors that have had slots in this process
_LOCK = threading.Lock()
_IMPORTED = surroundings.Imported()


def serve(offer: Offer) -> None:
    """Be a slot until its executor has no use for it: what Dask runs as a task."""
    from distributed import get_worker

    worker = get_worker()
    refused = messages.refusal(messages.versions(), (offer["nbflow"], offer["python"]))
    here = worker.address.startswith("inproc")  # a cluster inside of the user's process, who reloads modules there
    changed = "" if here else _IMPORTED.changed(doubtful=offer["own"]) or ""
    word = Word(
        link=offer["link"],
        slot=offer["slot"],
        worker=worker.address,
        pid=os.getpid(),
        refused=refused,
        changed=changed,
    )
    if refused or changed:
        worker.log_event(offer["topic"], word)
        return
    worker.handlers.setdefault(messages.TELL, _tell)
    worker.handlers.setdefault(messages.LISTEN, _listen)
    began = time.time()
    _IMPORTED.begin()
    with _LOCK:
        link = _link(offer["link"], worker)
        slot = link.slots[offer["slot"]] = Slot(offer["slot"], worker, link.post, link.note)
    try:
        worker.log_event(offer["topic"], word)
        hello = link.open()
        if hello is not None and link.values is not None:
            key = worker.get_current_task()
            slot.serve(hello.place, link.values, lambda: link.silent or _cancelled(worker, key))
    finally:
        with _LOCK:
            link.slots.pop(offer["slot"], None)
        _IMPORTED.end(began, but_in=worker.local_directory)  # where Dask puts files that it was given, and watches them


def _cancelled(worker: Any, key: str) -> bool:
    """Whether Dask has forgotten a slot, as it does when the client is closed or its process dies."""
    return getattr(worker.state.tasks.get(key), "state", "cancelled") == "cancelled"


def _link(name: str, worker: Any) -> Link:
    for old in [link for link in _LINKS.values() if link.silent and not link.slots]:
        _LINKS.pop(old.name).close()
    if name not in _LINKS:
        _LINKS[name] = Link(name, worker)
    return _LINKS[name]


async def _tell(link: str, data: bytes) -> bool:
    found = _LINKS.get(link)
    if found is None:
        return False
    for message in messages.decode(data):
        found.take(message)
    return True


async def _listen(link: str) -> Any:
    found = _LINKS.get(link)
    return messages.wrapped(messages.encode(await found.listen())) if found is not None else None


class Link:
    """An executor, seen from a worker. What it says is taken on the event loop; any thread may tell it something."""

    def __init__(self, name: str, worker: Any) -> None:
        self.name = name
        self.slots: dict[int, Slot] = {}
        self.values: ValueStore | None = None  # once it is open
        self._address = worker.address
        self._folder = Path(worker.local_directory) / f"nbflow-{name}"
        self._borrowed: BorrowedStore | None = None
        self._specs: dict[int, StepSpec] = {}
        self._hello: Hello | None = None
        self._greeted = threading.Event()
        self._opening = threading.Lock()
        self._heard = time.monotonic()
        self._loop: asyncio.AbstractEventLoop = worker.loop.asyncio_loop
        self._arrived = asyncio.Event()
        self._lock = threading.RLock()  # reentrant, since the garbage collector may run a __del__ that prints
        self._outbox: list[Any] = []
        self._listening = False  # whether somebody waits for the outbox to be filled

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of the executor for so long that it must be dead."""
        return time.monotonic() - self._heard > messages.PATIENCE

    def post(self, message: Any) -> None:
        """Tell the executor something."""
        with self._lock:
            self._outbox.append(message)
            wake, self._listening = self._listening, False
        if wake:
            self._loop.call_soon_threadsafe(self._arrived.set)

    def note(self, ticket: int) -> None:
        """Put on record, for the case that this process dies, that an attempt begins."""
        for page in MARKS:
            page.write(messages.mark(self.name, ticket))

    async def listen(self) -> list[Any]:
        """What there is to tell, as soon as there is something, or nothing after a while."""
        self._heard = time.monotonic()
        with self._lock:
            wait = self._listening = not self._outbox
            self._arrived.clear()
        if wait:
            timer = self._loop.call_later(messages.LISTEN_FOR, self._arrived.set)
            await self._arrived.wait()
            timer.cancel()
        self._heard = time.monotonic()
        with self._lock:
            self._listening = False
            told, self._outbox = self._outbox, []
        return told

    def take(self, message: Any) -> None:
        """Do what the executor says."""
        self._heard = time.monotonic()
        if isinstance(message, Run):
            slot = self.slots.get(message.slot)
            if slot is None or not slot.add(message.task, self._specs[message.task.spec]):
                self.post(wire.GivenBack([message.task.ticket]))
        elif isinstance(message, wire.Spec):
            function = Function(message.name, message.function, self._address)
            self._specs[message.number] = StepSpec(message.name, function, is_async=message.is_async)
        elif isinstance(message, wire.Cancel):
            any(slot.cancel(message.ticket) for slot in list(self.slots.values()))
        elif isinstance(message, wire.Withdraw):
            any(slot.withdraw(message.ticket) for slot in list(self.slots.values()))
        elif isinstance(message, End):
            slot = self.slots.get(message.slot)
            if slot is not None:
                slot.end()
        elif isinstance(message, Sent):
            if self._borrowed is not None:
                self._borrowed.sent(message)
        elif isinstance(message, Hello):
            self._hello = message
            self._greeted.set()
        elif isinstance(message, Bye):
            _LINKS.pop(self.name, None)
            self.close()

    def open(self) -> Hello | None:
        """What the executor said first, once its values can be read; None if it says nothing. Waits."""
        if not self._greeted.wait(_ATTACH):
            return None
        with self._opening:
            hello = self._hello
            if self.values is None and hello is not None:
                values = ValueStore.from_config(hello.values)
                if not _readable(values, hello):
                    self._borrowed = BorrowedStore(values.artifacts.url, self._folder, self.post)
                    values.artifacts = self._borrowed
                self.values = values
        return hello

    def close(self) -> None:
        """Let go of everything."""
        for slot in list(self.slots.values()):
            slot.abandon()
        self._greeted.set()  # whoever waits for it need not
        self._loop.call_soon_threadsafe(self._arrived.set)  # nor whoever listens
        if self._borrowed is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _readable(values: ValueStore, hello: Hello) -> bool:
    """Whether this worker has the executor's artifact store before it."""
    try:
        values.get(hello.probe)
    except (NbflowError, OSError, ImportError):  # a folder of another machine, a library that is not installed here
        return False
    return True
