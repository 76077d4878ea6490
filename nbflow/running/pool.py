"""Runs tasks in child processes, a few at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbflow.model.ports import Finished, Output, Progress, Report, Started, Waits, Work
from nbflow.model.states import State
from nbflow.running import functions, losses, surroundings, wire
from nbflow.running.attempt import never_begun
from nbflow.running.children import Child, children
from nbflow.running.echo import echo
from nbflow.running.guard import Guard
from nbflow.running.interrupt import GRACE
from nbflow.running.leased import Leased
from nbflow.running.limits import is_limited

if TYPE_CHECKING:
    from nbflow.model.ports import Clock
    from nbflow.model.specs import StepSpec
    from nbflow.values.store import ValueStore

_MOST_AHEAD = 16  # tasks that a child is given while it runs one, if they are short
_SHORT, _LONG = 0.002, 0.02  # seconds
_log = logging.getLogger("nbflow")
_NO_CHANGES: Mapping[str, str] = {}
_REST = 5.0  # seconds without a task after which a child that is one too many ends
_HOPELESS = 3  # children in a row that died before they began anything


class ProcessPool:
    """Several tasks at once, in child processes: for steps that keep the interpreter busy, or may crash it."""

    name = "processes"
    inline = False

    def __init__(
        self,
        *,
        workers: int,
        values: ValueStore,
        clock: Clock,
        echo: bool = False,
        most_tasks: int | None = None,
        gather: bool = False,
        watch: bool = False,
        most_waiting: int | None = None,
        environment: Mapping[str, str] = _NO_CHANGES,
    ) -> None:
        """`most_tasks`: a child that has run so many is replaced.

        `environment`: variables that the children have beyond those of this process. `gather`: reports of short tasks
        are sent together, so that a crash may take the ends of some with it. `watch`: a child is replaced once files
        that it has imported were edited. `most_waiting`: if more children than these have tasks that wait for others,
        some are told to leave them soon; and so many children more than `workers` stay when there is nothing to do.
        """
        self._gather = gather
        self._watch = watch
        self._most_waiting = most_waiting
        self._environment = environment
        self._giving_back = False  # whether what has not begun is reported as such, and nothing more begins
        self.workers = workers
        self._most_tasks = most_tasks
        self._held = False  # whether no children are started
        self._until: float | None = None  # when children end by themselves
        self._values = values
        self._clock = clock  # for reports about what never ran; children have the time of the machine
        self._echo = echo
        self._report: Callable[[Report], None] | None = None
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._queue: deque[Work] = deque()
        self._open: set[int] = set()  # tickets whose last report has not been made
        self._claimed: set[int] = set()  # of them, those about to be reported
        self._cancelled: set[int] = set()  # of them, those that a child was told to end
        self._withdrawn: set[int] = set()  # of them, those that a child was told not to begin
        self._leased: dict[Child, Leased] = {}
        self._guard = Guard(self._lock, self._leased, clock, self._finish)
        self._specs: dict[int, tuple[int, StepSpec, Any]] = {}  # by id: number, spec (kept for its id), packed function
        self._ahead = 0  # tasks that a child is given beyond the one it runs
        self._hopeless = 0
        self._waited = 0.0  # when a task last began to wait for others
        self._delivering = threading.local()  # .now: whether this thread hands on reports, and feeds the children after

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`."""
        self._report = report

    def submit(self, work: Work) -> None:
        """Queue `work`, and hand it to a child if one is free."""
        self.submit_many([work])

    def submit_many(self, works: Sequence[Work]) -> None:
        """Submit several at once, with fewer messages to the children."""
        refused: list[Finished] = []
        with self._lock:
            for work in works:
                self._open.add(work.ticket)
                if self._giving_back:
                    refused.append(never_begun(work, self._clock.time(), self.name))
                    continue
                try:
                    self._pack(work.spec)
                except Exception as error:  # the function cannot go to another process
                    refused.append(losses.end(work, State.FAILED, error, self._clock.time()))
                else:
                    self._queue.append(work)
            if not getattr(self._delivering, "now", False):
                self._feed()
        for end in refused:
            self._finish(end)

    def cancel(self, ticket: int, *, at_once: bool = False) -> None:
        """End an attempt: without a trace if it has not begun, else softly, and after `GRACE` by killing its process.

        `at_once`: its process is killed now, and the step does not learn of it.
        """
        with self._lock:
            leased = self._find(ticket)
            if leased is not None and ticket not in self._cancelled:
                self._cancelled.add(ticket)
                self._guard.cancelled(leased, ticket, 0.0 if at_once else GRACE)
        self._drop(ticket, wire.Withdraw(ticket) if at_once else wire.Cancel(ticket))

    def withdraw(self, ticket: int) -> None:
        """Drop an attempt that has not begun; one that has goes on."""
        with self._lock:
            if self._find(ticket) is not None:
                self._withdrawn.add(ticket)
        self._drop(ticket, wire.Withdraw(ticket))

    def _find(self, ticket: int) -> Leased | None:
        """The child that has a task. Under the lock."""
        return next((each for each in self._leased.values() if ticket in each.tasks), None)

    def _drop(self, ticket: int, order: wire.Cancel | wire.Withdraw) -> None:
        """Take a task out of the queue, or have the child do what it is to do, which knows whether it has begun."""
        with self._lock:
            leased = self._find(ticket)
            if leased is not None:
                children().send(leased.child, [order])
                return
            work = next((work for work in self._queue if work.ticket == ticket), None)
            if work is None:
                return
            self._queue.remove(work)
        self._finish(never_begun(work, self._clock.time(), self.name))

    def help(self, done: Callable[[], bool]) -> bool:
        """Say that another thread is of no use here."""
        return False

    def retire(self, pid: int) -> None:
        """Give a child no more tasks, and end it when it has done those that it has."""
        with self._lock:
            for leased in self._leased.values():
                if leased.child.pid == pid:
                    leased.retiring = True
                    self._dismiss(leased)
                    return

    def give_back(self) -> None:
        """Report all that has not begun as never begun, and begin nothing more."""
        with self._lock:
            self._giving_back = True
            waiting = list(self._queue)
            self._queue.clear()
            for leased in self._leased.values():
                if len(leased.tasks) > (leased.running is not None):
                    children().send(leased.child, [wire.GiveBack(len(leased.tasks))])
        for work in waiting:
            self._finish(never_begun(work, self._clock.time(), self.name))

    def return_waiting(self) -> None:
        """Report what waits behind tasks that take long as never begun: others may have room for it."""
        with self._lock:
            self._ahead = 0
            waiting = list(self._queue)
            self._queue.clear()
            for leased in self._leased.values():
                leased.ask_back(len(leased.tasks) - 1, for_good=True)
        for work in waiting:
            self._finish(never_begun(work, self._clock.time(), self.name))

    def shrink(self, now: float) -> None:
        """End children that took the places of those that waited, and have had nothing to do for a while."""
        with self._lock:
            surplus = len(self._leased) - self.workers - (self._most_waiting or 0)
            for leased in list(self._leased.values())[::-1]:
                if surplus > 0 and not leased.tasks and now - leased.rests_since > _REST:
                    surplus -= 1
                    leased.retiring = True
                    self._dismiss(leased)

    def hold(self, held: bool) -> None:
        """Whether to start no further children for now; one there is always."""
        with self._lock:
            self._held = held
            if not held and self._report is not None:
                self._feed()

    def kill(self) -> None:
        """End all children at once. What they run is reported as cancelled: nothing was wrong with it."""
        with self._lock:
            for leased in self._leased.values():
                leased.ended_for_us = True
                leased.child.kill()

    def keep_until(self, time_: float) -> None:
        """Let the children end by themselves at a time (seconds since 1970), unless they are told of a later one."""
        with self._lock:
            self._until = time_
            for leased in self._leased.values():
                children().send(leased.child, [wire.KeepUntil(time_)])

    def pids(self) -> list[int]:
        """The processes of all children that are here now."""
        with self._lock:
            return [leased.child.pid for leased in self._leased.values() if leased.child.pid]

    def places(self) -> int:
        """How many tasks can run now, those that wait for others not counted."""
        with self._lock:
            return self.workers + sum(leased.waits for leased in self._leased.values())

    @property
    def waits(self) -> bool:
        """Whether some task has waited for others lately."""
        return self._clock.time() - self._waited < _REST

    @property
    def ahead(self) -> int:
        """How many tasks a child is given beyond the one that it runs; 0 unless they are short."""
        return self._ahead

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""
        if not wait:
            for ticket in sorted(self._open, reverse=True):  # those that wait first, lest they take a freed place
                self.cancel(ticket)
        with self._lock:
            self._ended.wait_for(lambda: not self._open)
            leased = list(self._leased.values())
            self._leased.clear()
        for each in leased:
            if each.tasks or each.child.killed:
                each.child.tenant = None
                each.child.kill()
            else:
                children().release(each.child)

    # --- handing out work, under the lock ------------------------------------------------------------------------

    def _pack(self, spec: StepSpec) -> tuple[int, Any]:
        known = self._specs.get(id(spec))
        if known is None:
            packed = functions.pack(spec.function, f"the function of step {spec.name!r}")
            known = self._specs[id(spec)] = (len(self._specs), spec, packed)
        return known[0], known[2]

    def _feed(self) -> None:
        batches: dict[Child, list[Any]] = {}
        while self._queue:
            leased = self._free()
            if leased is None:
                break
            work = self._queue.popleft()
            batches.setdefault(leased.child, []).extend(leased.give(work, *self._pack(work.spec)))
        for child, messages in batches.items():
            children().send(child, messages)
        if not self._queue:
            self._even_out()

    def _free(self) -> Leased | None:
        """The child to be given the next task, if there is one."""
        here = [leased for leased in self._leased.values() if not leased.waits]
        open_ = [leased for leased in here if not leased.retiring and not self._has_its_share(leased)]
        best = min(open_, key=lambda leased: len(leased.tasks), default=None)
        if best is not None and not best.tasks:
            return best
        if len(here) < self.workers:
            if not self._held or not open_:
                return self._lease()
        return best if best is not None and len(best.tasks) <= self._ahead else None

    def _has_its_share(self, leased: Leased) -> bool:
        return self._most_tasks is not None and leased.done + len(leased.tasks) >= self._most_tasks

    def _lease(self) -> Leased:
        child = children().lease(self)
        leased = self._leased[child] = Leased(child)
        config = self._values.config()
        lease = surroundings.lease(config, self._environment, gather=self._gather, watch=self._watch)
        children().send(child, [lease])
        if self._until is not None:
            children().send(child, [wire.KeepUntil(self._until)])
        return leased

    def _even_out(self) -> None:
        """If a child has nothing to do, ask the one with the most tasks ahead for some of them back."""
        if all(leased.tasks or leased.retiring for leased in self._leased.values()):
            return
        most = max(self._leased.values(), key=lambda leased: len(leased.tasks))
        most.ask_back(len(most.tasks) // 2)

    # --- what children say, on the listening thread --------------------------------------------------------------

    def received(self, child: Child, messages: list[Any]) -> None:
        """Take reports and tasks that come back."""
        reports: list[Report] = []
        with self._lock:
            leased = self._leased.get(child)
            if leased is None:
                return
            for message in messages:
                if isinstance(message, wire.GivenBack):
                    back = [leased.tasks.pop(ticket) for ticket in message.tickets if ticket in leased.tasks]
                    reports += self._come_back(back, for_good=leased.answered())
                    if leased.waits:  # it may have been asked for less before it waited
                        leased.ask_back(len(leased.tasks) - 1)
                    self._dismiss(leased)
                elif isinstance(message, wire.Outdated):
                    leased.retiring = True
                elif self._take(leased, message):
                    reports.append(message)
        self._hand_on(reports)

    def died(self, child: Child, exit: str) -> None:
        """Report the task that was lost with a child; those that waited in it go to others."""
        with self._lock:
            leased = self._leased.pop(child, None)
            if leased is None:
                return
            leased.find_running(self._clock.time())
            running = leased.tasks.pop(leased.running.ticket, None) if leased.running is not None else None
            waiting = [work for work in leased.tasks.values() if work.ticket in self._open]
            self._hopeless = 0 if leased.running is not None or child.killed else self._hopeless + 1
            ends: list[Report] = []
            now = self._clock.time()
            if running is not None and leased.ended_for_us:
                ends.append(never_begun(running, now, self.name))
            elif running is not None and leased.running is not None:
                ends.append(losses.lost(running, leased.running, exit, now))
            if self._hopeless >= _HOPELESS:
                ends += [losses.end(work, State.FAILED, losses.no_start(exit), now) for work in waiting]
            else:
                ends += self._come_back(waiting)
        self._hand_on(ends)

    def _come_back(self, works: list[Work], *, for_good: bool = False) -> list[Report]:
        """Queue what did not begin in a child for another one, or report that it never began if nobody wants it."""
        ends: list[Report] = []
        for work in reversed(works):
            if self._giving_back or for_good or work.ticket in self._cancelled | self._withdrawn:
                ends.append(never_begun(work, self._clock.time(), self.name))
            elif work.ticket in self._open:
                self._queue.appendleft(work)
        return ends

    def _take(self, leased: Leased, report: Report) -> bool:
        """Note what a report means for the child; returns whether it is to be handed on."""
        if type(report) is Started:
            leased.running = report
            self._hopeless = 0
            if is_limited(leased.tasks[report.ticket]):
                self._guard.begun(leased)
        elif type(report) is Progress:
            self._guard.heard(leased)
        elif type(report) is Finished:
            if leased.running is not None and report.state in (State.CANCELLED, State.TIMED_OUT):
                leased.retiring = True  # what was interrupted may have been an import, which is half done ever after
            leased.running = None
            self._hopeless = 0
            leased.tasks.pop(report.ticket, None)
            self._ended_one(leased)
            leased.set_timer(None)
            seconds = report.finished_at - report.started_at
            if seconds < _SHORT:
                self._ahead = min(_MOST_AHEAD, self._ahead * 2 + 1)
            elif seconds < _LONG:  # as long as it takes to be given the next one
                self._ahead = max(self._ahead, 1)
            else:
                self._ahead = 0
        elif type(report) is Waits:
            leased.waits = report.waits
            self._guard.heard(leased, waits=report.waits)
            if report.waits:
                self._ahead, self._waited = 0, self._clock.time()  # nothing that waits is short
                leased.ask_back(len(leased.tasks) - 1)
                self._relieve()
        return report.ticket in self._open

    def _ended_one(self, leased: Leased) -> None:
        leased.waits = False
        leased.done += 1
        if self._most_tasks is not None and leased.done >= self._most_tasks:
            leased.retiring = True
        leased.rests_since = self._clock.time()
        self._dismiss(leased)

    def _relieve(self) -> None:
        """If more tasks wait for others than should, have the oldest of them left soon."""
        waiting = [leased for leased in self._leased.values() if leased.waits]
        if self._most_waiting is not None and len(waiting) > self._most_waiting:
            waiting.sort(key=lambda leased: leased.running.time if leased.running is not None else 0.0)
            for leased in waiting[: -self._most_waiting]:
                children().send(leased.child, [wire.Leave()])

    def _dismiss(self, leased: Leased) -> None:
        """End a child that is to go, if it has nothing to do; have tasks that wait in it back."""
        if not leased.retiring or leased.running is not None:
            return
        if leased.tasks:
            leased.ask_back(len(leased.tasks))
            return
        if self._leased.pop(leased.child, None) is not None:  # else it was while an answer was on its way
            children().dismiss(leased.child)

    def _hand_on(self, reports: list[Report]) -> None:
        self._delivering.now = True
        try:
            for report in reports:
                try:
                    self._hand_on_one(report)
                except Exception:  # one report's trouble must not keep the others of its batch back
                    _log.exception("The receiver of an executor's reports failed.")
        finally:
            self._delivering.now = False
            with self._lock:
                self._feed()

    def _hand_on_one(self, report: Report) -> None:
        if type(report) is Finished:
            self._finish(report)
        elif self._report is not None:
            if type(report) is Output and self._echo:
                echo(report)
            self._report(report)

    def _finish(self, end: Finished) -> None:
        """Make the last report of a ticket, unless it was made."""
        with self._lock:
            if end.ticket not in self._open or end.ticket in self._claimed:
                return
            self._claimed.add(end.ticket)
        try:
            if self._report is not None:
                self._report(end)
        finally:
            with self._lock:
                self._claimed.discard(end.ticket)
                self._open.discard(end.ticket)
                self._cancelled.discard(end.ticket)
                self._withdrawn.discard(end.ticket)
                if not self._open:
                    self._ended.notify_all()
