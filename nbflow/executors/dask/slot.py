"""One place of a Dask worker that runs attempts, one after the other."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from queue import Empty, SimpleQueue
from typing import Any

from nbflow.executors.dask.messages import Ended
from nbflow.model.errors import ConfigError
from nbflow.model.ports import Work
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.running import capture, functions, surroundings, wire
from nbflow.running.attempt import Site, given_up, perform
from nbflow.running.clock import SystemClock
from nbflow.running.interrupt import Interruptible
from nbflow.values.store import ValueStore

_WATCH = 1.0  # seconds between two looks at whether the executor is still there
_AHEAD = 0.05  # seconds that a task may wait behind others here before it is given back

_SLOT: ContextVar[Slot | None] = ContextVar("nbflow_slot", default=None)  # that the calling step runs in
_LOCK = threading.Lock()
_PLACES: set[int] = set()  # numbers of the slots of this process, for people


class Slot:
    """One place to run attempts.

    They run in a thread of the slot's own, while the thread of the Dask task waits. So an attempt that does not end
    can be left behind: the Dask task ends, and the worker has its place back.
    """

    def __init__(self, number: int, worker: Any, post: Callable[[Any], None], note: Callable[[int], None]) -> None:
        """`post` tells the executor something, `note` puts the ticket of an attempt that begins on record."""
        self._number = number
        self._worker = worker
        self._post = post
        self._note = note
        self._context = copy_context()  # in which distributed.get_worker() knows the worker
        self._context.run(_SLOT.set, self)
        self._clock = SystemClock()
        self._inbox: deque[tuple[float, Work]] = deque()  # with the time of arrival
        self._changed = threading.Condition()
        self._running: Interruptible | None = None
        self._ending = False
        self._timer = False  # whether there is one that looks for tasks that wait too long
        self._orders: SimpleQueue[str] = SimpleQueue()  # to the thread of the Dask task
        self._site: Site | None = None

    # --- the thread of the Dask task -------------------------------------------------------------------------------

    def serve(self, place: wire.Lease | None, values: ValueStore, orphaned: Callable[[], bool]) -> None:
        """Run attempts until the slot ends; `orphaned` tells whether the executor is gone."""
        self._note(0)
        if place is not None:
            surroundings.take_over(place)
        with _numbered() as number, _captured():
            self._site = Site(values, self._post, self._clock, f"{self._worker.address}/{number}")
            threading.Thread(target=self._work, args=(self._site,), name="nbflow-slot", daemon=True).start()
            self._wait(orphaned)

    def _wait(self, orphaned: Callable[[], bool]) -> None:
        from distributed import secede

        while True:
            try:
                order = self._orders.get(timeout=_WATCH)
            except Empty:
                if orphaned():
                    self.abandon()
                continue
            if order == "over":
                return
            secede()

    # --- any thread ------------------------------------------------------------------------------------------------

    def add(self, task: wire.Task, spec: StepSpec) -> bool:
        """Take a task; False if the slot takes none any more."""
        work = task.work(spec)
        with self._changed:
            if self._ending:
                return False
            waits = self._running is not None or self._inbox
            self._inbox.append((time.monotonic(), work))
            self._changed.notify()
            if waits and not self._timer:
                self._look_later()
        return True

    def cancel(self, ticket: int) -> bool:
        """Drop a task, or end it if it runs; False if it is not here."""
        with self._changed:
            running = self._running
            if running is None or running.work.ticket != ticket:
                return self.withdraw(ticket)
        running.interrupt(State.CANCELLED)
        return True

    def withdraw(self, ticket: int) -> bool:
        """Drop a task that has not begun; False if there is none."""
        with self._changed:
            return self._give_back(lambda _, work: work.ticket == ticket)

    def end(self, why: str = "") -> None:
        """End after what runs, and give the rest back."""
        with self._changed:
            if self._ending:
                return
            self._ending = True
            self._give_back(lambda *_: True)
            self._post(Ended(self._number, why))
            self._changed.notify()

    def lend(self) -> None:
        """Leave the place to others for the rest of the task that runs, which is about to wait for them."""
        self.end("its task waits for others")
        self._orders.put("secede")

    def abandon(self) -> None:
        """End now: nobody waits for what runs."""
        self.end("the executor is gone")
        running = self._running
        if running is not None:
            running.interrupt(State.CANCELLED)

    def _give_back(self, which: Callable[[float, Work], bool]) -> bool:
        back = [entry for entry in self._inbox if which(*entry)]
        for entry in back:
            self._inbox.remove(entry)
        if back:
            self._post(wire.GivenBack([work.ticket for _, work in back]))
        return bool(back)

    def _look_later(self) -> None:
        self._timer = True
        self._clock.call_at(self._clock.time() + _AHEAD, self._look)

    def _look(self) -> None:
        """Give back what waits behind a task that takes long: another slot may have nothing to do."""
        with self._changed:
            self._timer = False
            latest = time.monotonic() - _AHEAD
            self._give_back(lambda arrived, _: arrived <= latest)
            if self._inbox:
                self._look_later()

    # --- the thread that runs attempts -----------------------------------------------------------------------------

    def _work(self, site: Site) -> None:
        while True:
            attempt = self._next()
            if attempt is None:
                self._orders.put("over")
                return
            finished = self._context.copy().run(perform, attempt, site)
            with self._changed:
                self._running = None
            if not attempt.claim():
                return  # given up, and the slot with it
            # The exception itself stays here: what the other side raises is made of its record.
            self._post(finished._replace(exception=None))

    def _next(self) -> Interruptible | None:
        with self._changed:
            while not self._inbox and not self._ending:
                self._changed.wait()
            if self._worker.status.name != "running":  # short of memory, or about to leave the cluster
                self.end(f"the Dask worker is {self._worker.status.name}")
            if self._ending:
                return None
            _, work = self._inbox.popleft()
            self._running = Interruptible(work, self._clock, self._give_up)
            self._note(work.ticket)
            return self._running

    def _give_up(self, attempt: Interruptible) -> None:
        # A function that has ended in time may take long to have its result stored.
        if not attempt.ended and attempt.claim() and self._site is not None:
            self._post(given_up(attempt, self._site)._replace(exception=None))
            self.end("a task does not end though it was interrupted")
            self._orders.put("over")


def lend_place() -> None:
    """If the calling step runs in a slot, leave its place to what it is about to wait for."""
    slot = _SLOT.get()
    if slot is not None:
        slot.lend()


class Function:
    """A step's function, made at its first call: that its module is not there is then the step's failure."""

    def __init__(self, step: str, packed: Any, address: str) -> None:
        self._step = step
        self._packed = packed
        self._address = address
        self._function: Any = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        if self._function is None:
            self._function = self._unpacked()
        return self._function(*args, **kwargs)

    def _unpacked(self) -> Any:
        try:
            return functions.unpack(self._packed)
        except Exception as error:
            missing: BaseException | None = error
            while missing is not None and not isinstance(missing, ImportError):
                missing = missing.__cause__
            if missing is None:
                raise
            raise ConfigError(
                f"step {self._step!r} cannot be brought to the Dask worker {self._address}: {missing}. What it is made "
                "of has to be importable there: send your modules with client.upload_file('module.py'), install the "
                "package on the workers, start them in the project's folder, or define the function in the notebook.",
                step=self._step,
                module=missing.name,
            ) from error


@contextmanager
def _numbered() -> Iterator[int]:
    """The lowest number that no other slot of this process has."""
    with _LOCK:
        number = next(number for number in itertools.count(1) if number not in _PLACES)
        _PLACES.add(number)
    try:
        yield number
    finally:
        with _LOCK:
            _PLACES.discard(number)


@contextmanager
def _captured() -> Iterator[None]:
    capture.install()
    try:
        yield
    finally:
        capture.remove()
