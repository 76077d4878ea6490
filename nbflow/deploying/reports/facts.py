"""What a report tells, as values: nothing here knows where it comes from or how it is written."""

from __future__ import annotations

from dataclasses import dataclass, field

from nbflow.deploying.reports.period import Period

BAD = ("failed", "timed_out", "expired")


@dataclass(frozen=True, slots=True)
class Spread:
    """How some spans of time are spread, in seconds; all None if there are none."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    longest: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the runs of a flow, the tasks of a step, or the jobs of a function."""

    name: str
    states: dict[str, int]  # of what ended in the period, by state, the most frequent first
    open: int  # what had begun or waited, and had not ended when the period did
    durations: Spread  # of what began and ended
    waits: Spread  # from when it could begin until it did
    retries: int = 0  # tries beyond the first
    cached: int = 0  # results that were known

    @property
    def ended(self) -> int:
        """How many ended."""
        return sum(self.states.values())

    @property
    def succeeded(self) -> int:
        """How many succeeded."""
        return self.states.get("succeeded", 0)

    @property
    def failed(self) -> int:
        """How many failed, timed out or expired."""
        return sum(self.states.get(state, 0) for state in BAD)


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """A flow: its runs, and their steps."""

    runs: Tally
    steps: tuple[Tally, ...]  # the one that took longest in all first

    @property
    def name(self) -> str:
        """Name of the flow."""
        return self.runs.name


@dataclass(frozen=True, slots=True)
class Failure:
    """A step, flow or function that failed, with the first of its errors."""

    flow: str | None  # None: a job that belongs to no flow
    step: str | None  # None: the flow function itself
    count: int
    at: float  # when the first failed
    run: str  # or job
    error: str  # "ValueError: no such column"


@dataclass(frozen=True, slots=True)
class Slow:
    """A step by its longest execution."""

    flow: str | None
    step: str
    longest: float  # seconds
    p95: float
    run: str  # or job, that took longest
    at: float  # when that ended


@dataclass(frozen=True, slots=True)
class CellFigures:
    """A cell of a notebook."""

    number: int  # in a fresh kernel, from 1
    line: str  # its first line
    durations: Spread


@dataclass(frozen=True, slots=True)
class CodeFigures:
    """The code of a notebook or flow function, as it ran last in the period."""

    flow: str
    kind: str  # "notebook" or "function"
    cells: int | None  # code cells; None: it has none
    lines: int  # lines of code that are not empty
    added: int | None  # lines since the version that ran last before the period; None: there was none
    removed: int | None
    versions: int  # that ran in the period
    executions: int  # of cells, or of steps
    seconds: float  # that these took
    slowest: tuple[CellFigures, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """All of a period."""

    period: Period
    made_at: float
    flows: tuple[FlowFigures, ...] = ()
    functions: tuple[Tally, ...] = ()  # jobs that belong to no flow
    failures: tuple[Failure, ...] = ()  # the most frequent first
    queues: tuple[Tally, ...] = ()
    slowest: tuple[Slow, ...] = ()
    code: tuple[CodeFigures, ...] = ()
    notes: tuple[str, ...] = field(default=())  # what the reader has to know

    @property
    def empty(self) -> bool:
        """Whether nothing happened."""
        return not (self.flows or self.functions)
