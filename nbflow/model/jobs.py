"""What is stored of queues: jobs, limits, workers, schedules. As in `nbflow.model.records`, row by row.

Times are seconds since 1970 in UTC; None means that it has not happened, or does not apply.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple


class Mark(IntFlag):
    """What has to be looked at when a job ends; most jobs have none, and cost nothing beyond their own row."""

    NEEDED = 1  # other jobs wait for it
    GATED = 2  # it holds places of gates
    UNIQUE = 4  # it holds a unique key
    WAKES = 8  # `waker` is woken
    CALLBACK = 16  # its policy names jobs to enqueue when it ends


class JobRecord(NamedTuple):
    """One call on a queue."""

    id: str
    queue: str
    priority: int  # within its queue; the lower number is served first
    place: int  # order among jobs of one priority; the lower is served first
    state: str
    name: str  # of the function
    kind: str  # "job", "task" (of a flow), "flow" or "broadcast"
    payload: bytes | None  # signed call: function and arguments
    policy: str | None  # JSON: retries and what else the worker has to know, without unpickling anything
    timeout: float | None  # seconds until an attempt is ended, by force if need be
    soft_timeout: float | None  # seconds until SoftTimeoutError is raised inside an attempt
    due_at: float | None  # not before
    expires_at: float | None  # not started after
    waiting: int  # how many jobs that it needs have not finished
    marks: int  # see Mark
    gates: str | None  # JSON list of the gates that it has to pass
    unique_key: str | None
    waker: str | None  # id of a suspended job that wakes when this one ends
    run: str | None  # the run whose task this is
    seq: int | None
    worker: str | None  # who has it, while it runs; who had it last
    token: int  # counts the claims: who ends a job has to show the token of its own claim
    attempt: int  # tries begun so far
    claims: int  # times that a worker took it
    losses: int  # tries that were lost with their process
    wakes: int  # times that it was woken
    abort: int  # 1: it is to be ended though it runs; 2: and without learning of it
    enqueued_at: float
    ready_at: float | None
    started_at: float | None  # of the latest try
    finished_at: float | None
    progress: float | None  # 0 to 1
    message: str | None  # what it said with its progress
    meta: str | None  # JSON object, written by the job or by whoever holds it
    tags: str  # JSON list; "" if none
    batch: str | None  # jobs enqueued together, as a group
    schedule: str | None  # name of the schedule that enqueued it
    logical_time: float | None  # the time that the schedule meant
    success_ttl: float | None  # seconds that it is kept after a success; None: until it is removed
    failure_ttl: float | None  # and after any other end
    keep_until: float | None
    result_digest: str | None
    result_size: int | None
    result_type: str | None
    result: bytes | None  # signed, when small
    result_uri: str | None
    error_type: str | None
    error_message: str | None
    error: bytes | None  # signed payload of an ErrorRecord


class NeedRecord(NamedTuple):
    """One job that another one waits for."""

    job: str
    position: int  # of its result among the values of the call; from 0
    needs: str  # id


class GateRecord(NamedTuple):
    """A limit on how many jobs of a kind may be let through."""

    name: str  # "queue:NAME", "key:KEY" or "lock:NAME"; "rate:queue:NAME" or "rate:key:KEY" if it counts starts
    capacity: int
    period: float | None  # seconds: so many starts in any such span; None: so many at a time
    held: int  # places taken
    wake_at: float | None  # when the next place of a rate becomes free


class GateLineRecord(NamedTuple):
    """A line of jobs of one queue that have to pass the same gates. It stands at one that is full."""

    line: str  # digest of queue and gates
    queue: str
    gates: str  # JSON list
    gate: str  # where it stands; "" while its queue is paused
    priority: int  # of its first job, as is the place
    place: int


class GateWaitRecord(NamedTuple):
    """A job in a line, in the order in which it is let through."""

    line: str
    priority: int
    place: int
    job: str


class GateStartRecord(NamedTuple):
    """A start that a rate gate still counts."""

    gate: str
    job: str  # id, and the token of the claim
    time: float


class KeyRecord(NamedTuple):
    """Which job holds a unique key."""

    key: str
    job: str
    until: float | None  # end of the window; None: as long as the job waits, or runs, by its policy


class RevocationRecord(NamedTuple):
    """Jobs that are not to begin, whether they exist yet or not."""

    target: str  # "id:ID" or "name:FUNCTION"
    until: float | None
    once: int  # 1: the next one only
    created_at: float


class QueueRecord(NamedTuple):
    """A named queue."""

    name: str
    priority: int | None  # the lower number is served first; None: after all that have one
    paused: int  # 1: hands out nothing
    draining: int  # 1: takes nothing
    ageing: float | None  # seconds of waiting that count as much as one step of priority
    max_running: int | None  # jobs at a time, everywhere together
    max_per_worker: int | None  # and for each worker
    rate_count: int | None  # starts in any `rate_period`
    rate_period: float | None  # seconds
    options: str  # JSON: defaults for its jobs
    created_at: float


class WorkerRecord(NamedTuple):
    """A worker: one supervising process with its children."""

    id: str
    host: str
    boot: str  # names this start of the machine: after another one no process of it is left
    pid: int
    process_started: float  # since pids are used again
    state: str  # "running", "draining", "stopped" or "lost"
    queues: str  # JSON list; [] for all
    excluded: str  # JSON list
    concurrency: int
    children: str  # JSON list of [pid, start time]
    busy: int  # jobs that it has
    done: int  # jobs that it ended
    version: str  # of nbflow
    started_at: float
    seen_at: float
    lease_until: float


class ScheduleRecord(NamedTuple):
    """Something that is enqueued again and again."""

    name: str
    kind: str  # "cron", "interval" or "calendar"
    expression: str
    zone: str  # IANA name
    queue: str
    target: str  # name of the function or flow, for people
    payload: bytes | None  # signed call
    options: str  # JSON: columns of its jobs, and what they are bound to
    start_at: float | None  # not before; what intervals are counted from
    end_at: float | None  # not after
    catchup: str  # which of several times that are due are enqueued: "none" that is late, the "latest" or "all"
    overlap: str  # "allow", "skip" or "wait" while an earlier job of it has not finished
    misfire_grace: float | None  # seconds after which a time is not enqueued any more; None: however late it is
    jitter: float  # most seconds by which a job is delayed at random
    paused: int
    error: str | None  # why the scheduler paused it
    revision: int  # counts its changes: what was planned by an older one is planned anew
    next_at: float | None  # None: never again
    last_at: float | None  # latest logical time that was dealt with
    created_at: float


class FiringRecord(NamedTuple):
    """What became of one logical time of a schedule. There is one at most."""

    schedule: str
    logical_time: float
    outcome: str  # "enqueued", "skipped" (overlap, or a unique key), "missed" or "refused" (by a queue being drained)
    job: str | None  # of a skipped one: the other job, if it was for a unique key
    since: float | None  # the first of the times that were missed, if there is more than this one
    fired_at: float


class SignalRecord(NamedTuple):
    """Something sent to a run from outside."""

    run: str
    number: int  # order of arrival, from 1
    name: str
    payload: bytes | None  # signed value
    sent_at: float
    key: str | None  # sent once for each key


class ClaimedJob(NamedTuple):
    """What a worker is told of a job that it claimed: some columns of its JobRecord, as they are then."""

    id: str
    queue: str
    priority: int
    place: int
    name: str
    kind: str
    payload: bytes | None
    policy: str | None
    timeout: float | None
    soft_timeout: float | None
    expires_at: float | None
    marks: int
    gates: str | None
    unique_key: str | None
    waker: str | None
    run: str | None
    seq: int | None
    token: int
    attempt: int
    claims: int
    losses: int
    wakes: int
    enqueued_at: float
    ready_at: float | None
    schedule: str | None
    logical_time: float | None
    success_ttl: float | None
    failure_ttl: float | None


class HeldJob(NamedTuple):
    """What may change of a job while it runs: some columns of its JobRecord, as they are when it ends."""

    token: int
    marks: int  # others may have come to need it
    gates: str | None
    abort: int


class WaitingJob(NamedTuple):
    """What decides on when a job begins: some columns of its JobRecord."""

    id: str
    state: str
    priority: int
    place: int
    gates: str | None


class JobEnd(NamedTuple):
    """How a job ended: the columns of its JobRecord that change then, but for its id."""

    state: str
    started_at: float | None
    finished_at: float
    keep_until: float | None
    result_digest: str | None
    result_size: int | None
    result_type: str | None
    result: bytes | None
    result_uri: str | None
    error_type: str | None
    error_message: str | None
    error: bytes | None
