"""A child process: takes tasks from its parent and runs them, one at a time, in its main thread."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from contextvars import Context
from typing import Any

from nbflow.model.ports import Finished, Report, Started, Work
from nbflow.model.specs import StepSpec
from nbflow.model.states import State
from nbflow.running import capture, surroundings, wire
from nbflow.running.attempt import Site, perform
from nbflow.running.clock import SystemClock
from nbflow.running.context import AttemptContext
from nbflow.running.descriptors import Descriptors
from nbflow.running.functions import unpack
from nbflow.running.interrupt import SHIELD, Interruptible, in_main, signals
from nbflow.running.limits import is_limited
from nbflow.running.marks import NOBODY, Mark
from nbflow.values.store import ValueStore

_GATHER = 0.004  # seconds that reports of short tasks are held back at most, if that is allowed
_MANY = 64  # reports that are sent at once
_LOOK = 0.2  # seconds between looks at the files that were imported, while there is no pause
_FAREWELL = 2.0  # seconds that exit handlers may take


def main(descriptor: int, page: int, parent: int) -> None:
    """Serve the parent, process `parent`, at the other end of the socket `descriptor`; `page`: see marks.py."""
    os.set_inheritable(descriptor, False)  # programs that a step starts must not keep the connection open
    mark = Mark(page)
    os.close(page)
    # Not SIG_IGN, which programs that a step starts would inherit. Ctrl-C is the parent's to decide on.
    signal.signal(signal.SIGINT, lambda *_: None)
    child = _Child(wire.BlockingWire(socket.socket(fileno=descriptor)), parent, mark)
    capture.install()
    capture.attribute_rest_to(child.context)
    with signals():
        child.serve()


class _Child:
    """The state of this process."""

    def __init__(self, connection: wire.BlockingWire, parent: int, mark: Mark) -> None:
        self._mark = mark
        self._gather = False
        self._sending = threading.Lock()  # guards what is unsent
        self._wire = connection
        self._parent = parent
        self._inbox: deque[Any] = deque()
        self._changed = threading.Condition()
        self._attempt: Interruptible | None = None  # the one that runs
        self._unsent: list[Any] = []
        self._specs: dict[int, wire.Spec | StepSpec] = {}
        self._clock = SystemClock()
        self._site: Site | None = None
        self._leased_at = 0.0
        self._until: float | None = None  # when this process has to end
        self._known_modules = set(sys.modules)
        self._imported = surroundings.Imported()
        self._imported.begin()
        self._watches = self._outdated = False
        self._looked = 0.0
        self._descriptors = Descriptors(self.context)

    def context(self) -> AttemptContext | None:
        """The attempt that runs."""
        return self._attempt.context if self._attempt is not None else None

    def serve(self) -> None:
        """Do what the parent says until it goes."""
        threading.Thread(target=self._receive, name="nbflow-parent", daemon=True).start()
        while True:
            message = self._next()
            if message is None:
                return
            if isinstance(message, wire.Task):
                self._run(message)
            elif isinstance(message, wire.Spec):
                self._specs[message.number] = message
            elif isinstance(message, wire.Lease):
                self._lease(message)
            else:
                self._release()

    # --- the thread that listens ---------------------------------------------------------------------------------

    def _receive(self) -> None:
        surroundings.die_with(self._parent)
        while True:
            try:
                while self._holds_back() and not self._wire.ready(_GATHER):
                    self._send()
                messages = self._wire.receive()
            except OSError:
                messages = None
            if messages is None:
                self._leave()
                return
            with self._changed:
                for message in messages:
                    if isinstance(message, wire.Cancel):
                        self._cancel(message.ticket)
                    elif isinstance(message, wire.Withdraw):
                        self._withdraw(message.ticket)
                    elif isinstance(message, wire.GiveBack):
                        self._give_back(message.most)
                    elif isinstance(message, wire.KeepUntil):
                        self._keep_until(message.time)
                    elif isinstance(message, wire.Leave):
                        if (context := self.context()) is not None:
                            context.crowded = True
                    else:
                        self._inbox.append(message)
                self._changed.notify()

    def _holds_back(self) -> bool:
        """Whether there are reports that have to be sent soon, or may be."""
        return self._gather and bool(self._inbox or self._unsent)

    def _cancel(self, ticket: int) -> None:
        if self._attempt is not None and self._attempt.work.ticket == ticket:
            self._attempt.interrupt(State.CANCELLED)
        self._withdraw(ticket)

    def _withdraw(self, ticket: int) -> None:
        for message in self._inbox:
            if isinstance(message, wire.Task) and message.ticket == ticket:
                self._inbox.remove(message)
                self._wire.send([wire.GivenBack([ticket])])
                break

    def _give_back(self, most: int) -> None:
        tickets: list[int] = []
        others: list[Any] = []  # steps stay known, since they are told once
        while len(tickets) < most and self._inbox:
            message = self._inbox.pop()
            if isinstance(message, wire.Task):
                tickets.append(message.ticket)
            else:
                others.append(message)
        self._inbox.extend(reversed(others))
        self._wire.send([wire.GivenBack(tickets[::-1])])

    def _keep_until(self, time_: float) -> None:
        self._until = time_
        self._clock.call_at(time_, self._end_if_over)

    def _end_if_over(self) -> None:
        if self._until is not None and self._clock.time() >= self._until:
            os.killpg(os.getpid(), signal.SIGKILL)

    def _leave(self) -> None:
        """The parent closed the connection or is dead."""
        with self._changed:
            busy = self._attempt is not None
            self._inbox.clear()
            self._inbox.append(None)
            self._changed.notify()
        if not busy:
            time.sleep(_FAREWELL)
        os.killpg(os.getpid(), signal.SIGKILL)  # with everything that steps started

    # --- the main thread -----------------------------------------------------------------------------------------

    def _next(self) -> Any:
        with self._changed:
            while True:
                if not self._inbox:
                    self._looked = 0.0
                    self._send()
                    while not self._inbox:
                        self._changed.wait()
                message = self._inbox.popleft()
                if not isinstance(message, wire.Task):
                    return message
                if not self._is_outdated():
                    self._attempt = Interruptible(self._work(message), self._clock)
                    return message
                self._wire.send([wire.GivenBack([message.ticket])])

    def _is_outdated(self) -> bool:
        """Whether a file was edited that earlier tasks have imported. Looks after each pause, and now and then."""
        if self._outdated or not self._watches:
            return self._outdated
        now = time.monotonic()
        if now - self._looked > _LOOK:
            self._looked = now
            file = self._imported.changed(doubtful=True)
            if file is not None:
                self._outdated = True
                self._wire.send([wire.Outdated(file)])
        return self._outdated

    def _work(self, task: wire.Task) -> Work:
        spec = self._specs[task.spec]
        if isinstance(spec, wire.Spec):
            spec = StepSpec(spec.name, _Later(spec), is_async=spec.is_async)
            self._specs[task.spec] = spec
        return task.work(spec)

    def _run(self, task: wire.Task) -> None:
        attempt, site = self._attempt, self._site
        assert attempt is not None
        assert site is not None
        self._mark.write(task.ticket)
        since, modules = time.time(), len(sys.modules)
        with in_main(attempt):
            finished = Context().run(perform, attempt, site)
        if len(sys.modules) != modules:
            self._imported.end(since)
        with self._changed:
            self._attempt = None
        self._mark.write(NOBODY)
        # The exception itself stays here: what the parent raises is made of its record.
        with self._sending:
            self._unsent.append(finished._replace(exception=None))

    def _report(self, report: Report) -> None:
        """Send a report; that of a start with the end before it, so that a series of tasks costs one message each."""
        with SHIELD:  # else an interruption could take reports along, or leave half a message on the wire
            with self._sending:
                self._unsent.append(report)
            # With others waiting here, the other thread sends it within `_GATHER`. That of a start is not told at all
            # then if the end follows at once. One that is to end in time is told: C code may hold up that thread.
            held = self._gather and self._inbox and type(report) is Started and len(self._unsent) < _MANY
            if not held or (self._attempt is not None and is_limited(self._attempt.work)):
                self._send()

    def _send(self) -> None:
        if self._unsent:
            with self._sending:
                messages, self._unsent = self._unsent, []
                if self._gather and len(messages) > 1:
                    messages = _without_starts(messages)
                with suppress(OSError):  # the parent is dead; the other thread knows what to do
                    self._wire.send(messages)

    def _lease(self, lease: wire.Lease) -> None:
        surroundings.take_over(lease)
        self._leased_at = time.time()
        self._watches = lease.watch
        self._gather = lease.gather
        self._site = Site(
            ValueStore.from_config(lease.values),
            self._report,
            self._clock,
            f"process-{os.getpid()}",
            cpu_clock=time.process_time,
            drain=self._descriptors.drain,
        )

    def _release(self) -> None:
        self._until = None
        self._specs.clear()
        self._site = None
        files: dict[str, tuple[int, int]] = {}
        for name in sys.modules.keys() - self._known_modules:
            path = getattr(sys.modules[name], "__file__", None)
            if path is not None and not surroundings.installed(path):
                with suppress(OSError):
                    status = os.stat(path)
                    files[path] = status.st_mtime_ns, status.st_size
        current = all(changed < self._leased_at * 1e9 for changed, _ in files.values())
        self._unsent.append(wire.Released(files, current))


def _without_starts(messages: list[Any]) -> list[Any]:
    """Reports without those of starts whose end is among them."""
    ended = {message.ticket for message in messages if type(message) is Finished}
    return [message for message in messages if type(message) is not Started or message.ticket not in ended]


class _Later:
    """A step's function, made at its first call: importing its module may fail, which is then the step's failure."""

    def __init__(self, spec: wire.Spec) -> None:
        self._packed = spec.function
        self._function: Any = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._function is None:
            with SHIELD:  # libraries catch all errors around imports, and a soft timeout comes only once
                self._function = unpack(self._packed)
        return self._function(*args, **kwargs)
