"""The seams: what an implementer has to provide, each as narrow as it can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from nbflow.model.records import ErrorRecord, StoredValue
from nbflow.model.specs import StepSpec
from nbflow.model.states import State


class Ref(NamedTuple):
    """Stands in a task's arguments for the result of an upstream task."""

    number: int  # position in Inputs.values


@dataclass(slots=True)
class Inputs:
    """The arguments of one task.

    Either `args` and `kwargs` are given as they are (immutable values, and `Ref` at the top level only), or
    `packed` is the encoded pair of both, with references inside it at any depth.
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] | None = None
    packed: StoredValue | None = None
    values: tuple[StoredValue, ...] = ()  # results of upstream tasks, by Ref.number


class Due(NamedTuple):
    """A time by which something has to have happened."""

    at: float  # seconds since 1970
    seconds: float | None = None  # how long that is after the task became ready, for people; None: not known


@dataclass(slots=True)
class Work:
    """One attempt of a ready task, as handed to an executor."""

    ticket: int  # names this attempt in reports; used once per engine
    spec: StepSpec
    inputs: Inputs
    run: str
    seq: int
    key: str
    attempt: int  # from 1
    timeout: float | None = None  # seconds
    soft_timeout: float | None = None  # seconds until SoftTimeoutError is raised in the function, once
    expires: Due | None = None  # not begun then or later: EXPIRED
    deadline: Due | None = None  # neither begun nor going on then: TIMED_OUT
    heartbeat_timeout: float | None = None  # seconds without a sign of life after which it is ended: TIMED_OUT


class Started(NamedTuple):
    """An attempt began."""

    ticket: int
    time: float
    worker: str
    pid: int


class Output(NamedTuple):
    """An attempt wrote something."""

    ticket: int
    time: float
    stream: str  # as in LogRecord.stream
    text: str


class Progress(NamedTuple):
    """An attempt told how far it is."""

    ticket: int
    time: float
    value: float | None  # 0 to 1
    message: str


class Waits(NamedTuple):
    """An attempt begins or ceases to wait for other work, which may use its place meanwhile."""

    ticket: int
    time: float
    waits: bool


class Again(NamedTuple):
    """An attempt asks to be made again, instead of ending its job."""

    at: float | None  # seconds since 1970; None: when it is woken
    wakes: int | None  # how often it knew to have been woken; None: it does not wait to be
    end: bool = False  # whether it goes behind those that came meanwhile
    ends: tuple[tuple[float, str], ...] = ()  # of a flow: when the time of its flow functions is up, with their keys


class Finished(NamedTuple):
    """An attempt ended. The last report of its ticket; later ones are refused."""

    ticket: int
    state: State  # SUCCEEDED, FAILED, TIMED_OUT, CANCELLED or EXPIRED; of a job that asks to be run again also PENDING
    started_at: float
    finished_at: float
    worker: str
    pid: int
    value: StoredValue | None = None
    error: ErrorRecord | None = None
    exception: BaseException | None = None  # the live one, where the attempt ran in this process
    cpu_seconds: float | None = None
    peak_memory: int | None = None  # bytes
    exit: str | None = None
    again: Again | None = None


Report = Started | Output | Progress | Waits | Finished


class Executor(Protocol):
    """A place where ready tasks run. It knows nothing of flows: work goes in, reports come out.

    Reports may come from any thread, and during `submit`. Each submitted ticket gets exactly one `Finished`.
    """

    name: str
    workers: int
    inline: bool  # whether work runs in the calling thread, inside `submit` and `help`

    # Optional, and False where they are missing:
    #   keeps: bool - work outlives this process; submitting the same run, task and attempt again meets it
    #   records: bool - tries and output are put on record by whoever runs them
    #   needs_database: bool - of the class: it takes the run's database as the argument `database`
    # And a method, instead of which `cancel` is called where it is missing:
    #   withdraw(ticket) - drop an attempt that has not begun, which is reported as CANCELLED; one that has goes on

    def start(self, report: Callable[[Report], None]) -> None:
        """Begin; every report goes to `report`."""

    def submit(self, work: Work) -> None:
        """Take one attempt. Never blocks for longer than starting the attempt takes."""

    def cancel(self, ticket: int) -> None:
        """End an attempt, waiting or running, as soon as this executor can; it is reported as CANCELLED."""

    def help(self, done: Callable[[], bool]) -> bool:
        """Let the calling thread, which waits for `done`, run some of the work; False if that is no use here."""

    def close(self, *, wait: bool = True) -> None:
        """End: with `wait` after all submitted work, else at once and cancelling it."""


class Clock(Protocol):
    """Time, handed in so that tests need not sleep."""

    def time(self) -> float:
        """Seconds since 1970."""

    def call_at(self, time: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run `action` on another thread at `time` (seconds since 1970) or soon after; the return value cancels."""


class ArtifactStore(Protocol):
    """Where large values lie: named blobs, written once."""

    url: str  # opens the same store in another process; may hold a password
    shown: str  # the same without one

    def write(self, name: str, parts: list[Any]) -> bool:
        """Store the concatenated buffers under `name`, atomically, unless it is there already; whether it did."""

    def read(self, name: str) -> Any:
        """A writable private buffer with the content; raises ArtifactMissingError."""

    def stamp(self, name: str) -> object | None:
        """What changes whenever the blob does, so that it need not be checked twice; None: cannot be told."""

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""

    def delete(self, name: str, before: float = ...) -> None:
        """Remove a blob, if it is there and was last written before a time (seconds since 1970; default: any)."""

    def names(self) -> list[tuple[str, int, float]]:
        """(name, bytes, modified) of every blob; names are two hexadecimal digits, a slash and 38 more."""

    def check(self) -> None:
        """Raise StorageError if the store cannot be used as it should."""
