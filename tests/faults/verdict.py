"""What came of the jobs: the database and the side log, held against each other."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from nbflow.client.run import Run
from nbflow.storage import jobs as stored
from nbflow.storage import opened

ROOM = 4
_LONGEST = 20  # faults that are shown


@dataclass
class Verdict:
    """Counts, and everything that is wrong."""

    jobs: int
    flows: int
    executions: int  # of jobs, begun
    fired: int
    wrong: list[str]
    attacks: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def text(self) -> str:
        """All of it in words."""
        attacks = ", ".join(f"{count} {what}" for what, count in sorted(self.attacks.items()))
        found = f"{len(self.wrong)} faults" + "".join(f"\n  {fault}" for fault in self.wrong[:_LONGEST])
        return (
            f"{self.jobs} jobs (begun {self.executions} times), {self.flows} flows, {self.fired} firings of schedules "
            f"in {self.seconds:.0f} s; {attacks or 'no attacks'}: {found}"
        )


class Line(NamedTuple):
    """One line of the side log."""

    time: float
    pid: int
    what: str
    name: str
    guard: str


def judge(db: str, log: Path, jobs: list[str], runs: list[str], schedules: list[str]) -> Verdict:
    """Compare the database with what the jobs wrote themselves."""
    lines = [_line(line) for line in log.read_text().splitlines()]
    database = opened.database(db)
    with database.read() as connection:
        records = stored.get(connection, jobs)
        tries = Counter(
            row[0] for row in connection.execute(text("SELECT run FROM attempts WHERE state = 'succeeded' AND seq = 0"))
        )
        firings = list(connection.execute(text("SELECT schedule, logical_time, outcome, job FROM firings")))
    wrong = [f"job {id_} is lost" for id_ in jobs if id_ not in records]
    wrong += [f"job {r.id} is {r.state}: {r.error_message}" for r in records.values() if r.state != "succeeded"]
    wrong += [f"job {id_} has {tries[id_]} recorded successes" for id_ in records if tries[id_] != 1]
    ended = {line.name for line in lines if line.what == "end"}
    wrong += [f"job{n} never ended by its own account" for n in range(len(jobs)) if f"job{n}" not in ended]
    wrong += _overlaps(lines)
    wrong += _flows(runs)
    wrong += _schedules([(row[0], row[1], row[2]) for row in firings], schedules)
    begun = sum(line.what == "begin" for line in lines)
    return Verdict(len(jobs), len(runs), begun, len(firings), wrong)


def _line(text_: str) -> Line:
    time, pid, what, rest = text_.split(" ", 3)
    name, guard = rest.rsplit(" ", 1)
    return Line(float(time), int(pid), what, name, guard)


def _overlaps(lines: Iterable[Line]) -> list[str]:
    """Limits that were exceeded: how many jobs of a guard gave signs of life at the same time."""
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    open_: dict[tuple[int, str], tuple[float, float, str]] = {}
    for line in lines:
        if line.guard == "-":
            continue
        key = (line.pid, line.name)
        if line.what == "begin":
            if key in open_:
                spans[line.guard].append(open_.pop(key))
            open_[key] = (line.time, line.time, line.guard)
        elif key in open_:
            open_[key] = (open_[key][0], line.time, line.guard)
            if line.what == "end":
                spans[line.guard].append(open_.pop(key))
    for span in open_.values():
        spans[span[2]].append(span)
    wrong = []
    for guard, found in spans.items():
        room = 1 if guard.startswith("lock") else ROOM
        edges = sorted([(begin, 1) for begin, _, _ in found] + [(end, -1) for _, end, _ in found])
        held = most = 0
        for _, change in edges:
            held += change
            most = max(most, held)
        if most > room:
            wrong.append(f"{guard} let {most} jobs through at a time, {room} are allowed")
    return wrong


def _flows(runs: list[str]) -> list[str]:
    wrong = []
    for id_ in runs:
        run = Run(id_)
        if run.state != "succeeded":
            wrong.append(f"run {id_} is {run.state}: {run.error!r}")
        elif run.result() != 9:
            wrong.append(f"run {id_} gave {run.result()!r}")
    return wrong


def _schedules(firings: list[tuple[str, float, str]], names: list[str]) -> list[str]:
    wrong = []
    for name in names:
        times = sorted(time for schedule, time, _ in firings if schedule == name)
        if not times:
            wrong.append(f"schedule {name!r} never fired")
        missing = [round(a) for a, b in itertools.pairwise(times) if abs(b - a - 1.0) > 0.01]
        if missing:
            wrong.append(f"schedule {name!r} left out times after {missing[:5]}")
        if len(times) != len(set(times)):
            wrong.append(f"schedule {name!r} fired twice for one time")
    return wrong
