"""Runs jobs, flows and schedules while their workers, children, schedulers and server are attacked at random."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from nbflow import Limit, Queue, configure
from nbflow.client.run import Run
from nbflow.storage import jobs as stored
from nbflow.storage import opened
from tests.faults import victims
from tests.faults.verdict import Verdict, judge
from tests.servers import PostgresServer

ROOT = Path(__file__).parents[2]
WORKERS, SCHEDULERS, CHILDREN = 3, 2, 2
LEASE = 5.0  # seconds
LOCKS, GATES, ROOM = 5, 3, 4  # different locks, different limits, and how many jobs each limit lets through
SCHEDULES = 3
_PATIENCE = 1_200.0  # seconds for all of it


@dataclass(frozen=True)
class Plan:
    """How much of it."""

    jobs: int
    flows: int
    seed: int
    attacks: int | None = None  # None: until all is done


@dataclass
class Chaos:
    """One round on one database."""

    folder: Path
    db: str
    plan: Plan
    server: PostgresServer | None = None
    done: dict[str, int] = field(default_factory=dict)  # attacks by kind
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _stopped: list[tuple[float, int]] = field(default_factory=list)  # (when to continue, pid)
    _full: list[tuple[float, int]] = field(default_factory=list)  # (when there is room again, pid)

    def run(self) -> Verdict:
        """Do it all, and say what came of it."""
        log = self.folder / "side.log"
        home = str(self.folder / "home")
        os.environ.update({victims.LOG: str(log), "NBFLOW_HOME": home, "NBFLOW_SUSPEND_AFTER": "0.5"})
        configure(db=self.db)
        chance = random.Random(self.plan.seed)
        began = time.time()
        jobs, runs = self._enqueue(chance)
        schedules = self._schedule()
        try:
            self._start_missing()
            self._attack(chance, jobs, runs)
            self._calm_down(jobs, runs)
            verdict = judge(self.db, log, jobs, runs, schedules)
        finally:
            for process in self._processes.values():
                self._end(process)
        verdict.attacks = dict(self.done)
        verdict.seconds = time.time() - began
        return verdict

    def _enqueue(self, chance: random.Random) -> tuple[list[str], list[str]]:
        queue = Queue()
        ids: list[str] = []
        groups: dict[str, list[tuple[Any, ...]]] = {}
        for number in range(self.plan.jobs):
            kind = number % 10
            guard = "-"
            if kind == 0:
                guard = f"lock{chance.randrange(LOCKS)}"
            elif kind == 1:
                guard = f"gate{chance.randrange(GATES)}"
            groups.setdefault(guard, []).append((f"job{number}", guard, chance.choice((0, 0, 5, 20))))
        for guard, calls in groups.items():
            options: dict[str, Any] = {"most_losses": 1000}
            if guard.startswith("lock"):
                options["lock"] = guard
            elif guard.startswith("gate"):
                options["limits"] = [Limit(guard, ROOM)]
            ids += [job.id for job in queue.with_options(**options).enqueue_many(victims.job, calls)]
        runs = [victims.story.submit(f"flow{n}", 3, executor="queue").id for n in range(self.plan.flows)]
        return ids, runs

    def _schedule(self) -> list[str]:
        names = [f"every second {number}" for number in range(SCHEDULES)]
        for name in names:
            Queue().every(1.0, victims.fired, name, name=name, catchup="all")
        return names

    # --- attacking -----------------------------------------------------------------------------------------------

    def _attack(self, chance: random.Random, jobs: list[str], runs: list[str]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and not self._all_done(jobs, runs):
            time.sleep(chance.uniform(0.2, 1.4))
            self._continue_stopped()
            self._make_room()
            self._start_missing()
            hurt = self._hurt_server if self.server is not None else self._fill_disk
            attack = chance.choices(
                (self._kill_child, self._kill_worker, self._kill_scheduler, self._stop_worker, hurt), (5, 3, 2, 1, 1)
            )[0]
            attack(chance)
            if self.plan.attacks is not None and sum(self.done.values()) >= self.plan.attacks:
                return

    def _kill_child(self, chance: random.Random) -> None:
        children = [child for name in self._named("worker") for child in self._children(name)]
        if children:
            self._kill(chance.choice(children), "children killed")

    def _kill_worker(self, chance: random.Random) -> None:
        if names := self._named("worker"):
            self._kill(self._processes[chance.choice(names)].pid, "workers killed")

    def _kill_scheduler(self, chance: random.Random) -> None:
        if names := self._named("scheduler"):
            self._kill(self._processes[chance.choice(names)].pid, "schedulers killed")

    def _stop_worker(self, chance: random.Random) -> None:
        """Stop a worker, but not its children, for longer than its lease lasts."""
        names = self._named("worker")
        if len(names) < WORKERS or self._stopped:
            return  # somebody has to go on working
        pid = self._processes[chance.choice(names)].pid
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._stopped.append((time.monotonic() + LEASE + chance.uniform(3, 6), pid))
            self._count("workers stopped past their lease")

    def _hurt_server(self, chance: random.Random) -> None:
        assert self.server is not None
        if chance.random() < 0.3:
            self.server.crash()
            self.server.revive()
            self._count("servers restarted")
        else:
            self.server.end_sessions()
            self._count("times that all connections were cut")

    def _fill_disk(self, chance: random.Random) -> None:
        """Let a process write no file longer than the journal is now: what it wants to store does not fit."""
        journal = Path(f"{opened.database(self.db).file}-wal")
        pid = self._processes[chance.choice(self._named("worker") + self._named("scheduler"))].pid
        with suppress(OSError):  # it died, or nothing was written yet
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (journal.stat().st_size, resource.RLIM_INFINITY))
            self._full.append((time.monotonic() + chance.uniform(0.5, 3), pid))
            self._count("times that the disk was full")

    def _make_room(self, *, all_: bool = False) -> None:
        for due, pid in list(self._full):
            if all_ or time.monotonic() >= due:
                self._full.remove((due, pid))
                with suppress(psutil.Error, ProcessLookupError):
                    for each in (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))):
                        resource.prlimit(each, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    def _kill(self, pid: int, what: str) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._count(what)

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    # --- processes -----------------------------------------------------------------------------------------------

    def _start_missing(self) -> None:
        wanted = [f"worker{n}" for n in range(WORKERS)] + [f"scheduler{n}" for n in range(SCHEDULERS)]
        for name in wanted:
            process = self._processes.get(name)
            if process is None or process.poll() is not None:
                self._processes[name] = self._start(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        worker = ["worker", "--concurrency", str(CHILDREN), "--lease", str(LEASE)]
        command = [sys.executable, "-m", "nbflow", *(worker if name.startswith("worker") else ["scheduler"])]
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NBFLOW_DB": self.db,
        }
        output = (self.folder / f"{name}.log").open("ab")
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=output, stderr=output)

    def _named(self, kind: str) -> list[str]:
        return [n for n, process in self._processes.items() if n.startswith(kind) and process.poll() is None]

    def _children(self, name: str) -> list[int]:
        with suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self._processes[name].pid).children()]
        return []

    def _continue_stopped(self, *, all_: bool = False) -> None:
        for due, pid in list(self._stopped):
            if all_ or time.monotonic() >= due:
                self._stopped.remove((due, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _calm_down(self, jobs: list[str], runs: list[str]) -> None:
        """Let everything run undisturbed to its end, and end the schedules."""
        self._continue_stopped(all_=True)
        self._make_room(all_=True)
        deadline = time.monotonic() + _PATIENCE
        while not self._all_done(jobs, runs) and time.monotonic() < deadline:
            self._start_missing()
            time.sleep(0.2)
        for name in self._named("scheduler"):
            self._processes[name].terminate()
        for name in self._named("scheduler"):
            self._processes[name].wait(30)
        while time.monotonic() < deadline and any(len(Queue(name)) for name in ("default",)):
            time.sleep(0.2)

    def _all_done(self, jobs: list[str], runs: list[str]) -> bool:
        database = opened.database(self.db)
        states = database.retrying(lambda connection: stored.states(connection, jobs), write=False)
        if any(state in ("pending", "ready", "running") for state in states.values()):
            return False
        return all(run.state.finished or run.interrupted for run in map(Run, runs))

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
