"""What is stored, row by row. Each record is a tuple in the order of its table's columns.

Named tuples, because they are created by the ten thousand and go to the database as they are.
Times are seconds since 1970 in UTC; None means that it has not happened.
"""

from __future__ import annotations

from typing import NamedTuple


class StoredValue(NamedTuple):
    """A value at rest. Exactly one of `data` and `uri` is set."""

    digest: str  # identity of the value: 32 hexadecimal digits
    size: int  # bytes of its stored form
    type: str  # qualified name of its type, for people
    data: bytes | None  # the stored form itself, when small
    uri: str | None  # name of the artifact that holds it, when large


class FlowVersionRecord(NamedTuple):
    """One version of a flow's code."""

    id: str  # digest of everything below but created_at
    flow: str
    kind: str  # "function", "notebook" or "pipeline"
    reference: str | None  # "module:qualname", or the path of a file
    source: str | None
    code_digest: str
    parameters: str  # JSON: list of {name, annotation, default, required, comment}
    code: bytes | None  # signed payload from which the flow can be rebuilt without its file
    created_at: float


class RunRecord(NamedTuple):
    """One execution of a flow."""

    id: str
    flow: str
    version: str | None  # FlowVersionRecord.id
    state: str
    executor: str
    workers: int | None
    parameters: str  # JSON, for people: {name: short text}
    inputs: bytes | None  # signed payload of (args, kwargs), from which the run is resumed
    tags: str  # JSON list
    parent_run: str | None  # the run whose task started this one
    parent_seq: int | None
    cwd: str
    host: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    owner: str | None  # token of the process that executes it now
    owner_pid: int | None
    owner_started: float | None  # start time of that process, since pids are used again
    lease_until: float | None
    result_digest: str | None
    result_size: int | None
    result_type: str | None
    result: bytes | None
    result_uri: str | None
    error_type: str | None
    error_message: str | None
    error: bytes | None  # signed payload of an ErrorRecord
    deployment: str | None = None  # what started it, if it was started by a deployment
    deployment_version: int | None = None
    logical_time: float | None = None  # the time of its schedule that it stands for
    told: float | None = None  # when those who follow it were told of its end; None again once it goes on


class RunUpdate(NamedTuple):
    """How a run ended: the columns of its RunRecord that change then."""

    id: str
    state: str
    finished_at: float
    result_digest: str | None
    result_size: int | None
    result_type: str | None
    result: bytes | None
    result_uri: str | None
    error_type: str | None
    error_message: str | None
    error: bytes | None


class TaskRecord(NamedTuple):
    """One execution of a step in a run."""

    run: str
    seq: int  # number of the task in its run, from 1
    key: str  # see names.task_key
    name: str
    kind: str
    state: str
    parent: int | None  # seq of the sub-flow that made the call
    position: int  # of the call among those of its flow function, from 1; 0: not made when the run was last resumed
    upstream: str  # JSON list of seqs whose results are inputs
    code_digest: str
    input_digest: str | None  # None until its inputs are known
    tags: str  # JSON list; "" if none
    created_at: float
    ready_at: float | None
    started_at: float | None  # of the latest attempt
    finished_at: float | None
    attempts: int
    progress: float | None  # 0 to 1
    result_digest: str | None
    result_size: int | None
    result_type: str | None
    result_uri: str | None
    error_type: str | None
    error_message: str | None
    cause: int | None  # seq of the task whose error this one passes on
    cached_from: str | None  # "RUN/SEQ" where a cached result came from
    attempts_before: int | None = None  # of its attempts, those before somebody last resumed the run


class PayloadRecord(NamedTuple):
    """The bytes that belong to a task, apart from it so that scanning tasks stays cheap."""

    run: str
    seq: int
    inputs: bytes | None  # signed payload of its arguments, with references to upstream tasks
    result: bytes | None  # signed payload, when small
    error: bytes | None  # signed payload of an ErrorRecord


class AttemptRecord(NamedTuple):
    """One try of a task."""

    run: str
    seq: int
    number: int  # from 1
    state: str
    queued_at: float
    started_at: float | None
    finished_at: float | None
    worker: str | None  # for example "threads-2" or "process-71423"
    pid: int | None
    cpu_seconds: float | None
    peak_memory: int | None  # bytes, of the process that ran it
    exit: str | None  # "signal 9", "exit 3" when a process died
    error_type: str | None
    error_message: str | None


class LogRecord(NamedTuple):
    """One piece of captured output."""

    run: str
    seq: int  # 0: the flow function itself
    attempt: int
    number: int  # order within the attempt, from 1
    time: float
    stream: str  # "stdout", "stderr", "display", "result" or "error"
    text: str  # the text, or JSON of a display message's content


class EventRecord(NamedTuple):
    """Something worth telling later that no other table tells."""

    id: str
    run: str
    time: float
    kind: str
    seq: int | None
    data: str  # JSON


class ArtifactRecord(NamedTuple):
    """A stored file."""

    uri: str
    digest: str
    size: int
    created_at: float


class CacheRecord(NamedTuple):
    """A result that later runs may use."""

    key: str
    run: str
    seq: int
    created_at: float
    expires_at: float | None
    result_digest: str
    result_size: int
    result_type: str
    result: bytes | None
    result_uri: str | None


class ErrorRecord(NamedTuple):
    """An exception as it is kept: enough to raise it again, and to show it where it cannot be raised."""

    type: str  # qualified name
    message: str
    traceback: str  # formatted, trimmed to the user's code
    exception: bytes | None  # encoded exception; None if it cannot be encoded
