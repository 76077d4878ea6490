"""What is shown of a task when its node is clicked on: times, source, output, traceback."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nbflow.client.functions import flow_function
from nbflow.engine import loader
from nbflow.model.errors import NbflowError
from nbflow.model.records import AttemptRecord, LogRecord, TaskRecord
from nbflow.model.states import State
from nbflow.running.failure import of_cells
from nbflow.values.identity import code_digest, describe_code
from nbflow.views.graph import Details, Section
from nbflow.views.outputs import written_over
from nbflow.views.words import bytes_text, plain, seconds_text

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.client.task import Task

_FEW = 8  # tasks that are named
_LATEST = 2_000  # pieces of output that are looked at, from the end


def task_details(task: Task) -> Details:
    """Everything about one task that a reader may ask for first."""
    from nbflow.storage import attempts

    record = task.record
    tries = task.run._read(lambda connection: attempts.of_tasks(connection, record.run, [record.seq]))
    tries.sort(key=lambda each: each.number)
    return Details(record.key, record.state, tuple(_facts(record, tries)), tuple(_sections(task)))


def group_details(name: str, records: Sequence[TaskRecord]) -> Details:
    """The same about several tasks of one step that are drawn as one node."""
    states = Counter(record.state for record in records)
    took = sorted(
        record.finished_at - record.started_at for record in records if record.started_at and record.finished_at
    )
    facts = [("tasks", f"{len(records):,}"), *((state.replace("_", " "), f"{n:,}") for state, n in states.items())]
    if took:
        facts += [
            ("median", seconds_text(took[len(took) // 2])),
            ("longest", seconds_text(took[-1])),
            ("together", seconds_text(sum(took))),
        ]
    failed = [record for record in records if record.error_type is not None]
    lines = [f"{record.key}: {record.error_type}: {record.error_message}" for record in failed[:_FEW]]
    if len(failed) > _FEW:
        lines.append(f"… and {len(failed) - _FEW:,} more")
    state = max(states, key=lambda each: states[each])
    sections = (Section("errors", plain("\n".join(lines)), "error"),) if lines else ()
    return Details(f"{name} \N{MULTIPLICATION SIGN}{len(records)}", state, tuple(facts), sections)


def _facts(record: TaskRecord, attempts: Sequence[AttemptRecord]) -> Iterator[tuple[str, str]]:
    if record.error_type is not None:
        yield "error", plain(f"{record.error_type}: {record.error_message}")
    elif record.error_message is not None:
        yield "why", plain(record.error_message)
    if record.started_at is not None:
        yield "started", _clock(record.started_at)
        if record.finished_at is not None:
            yield "took", seconds_text(record.finished_at - record.started_at)
        if record.ready_at is not None:
            yield "waited", seconds_text(max(0.0, record.started_at - record.ready_at))
    if record.progress is not None and record.state == State.RUNNING:
        yield "progress", f"{record.progress:.0%}"
    if record.cached_from is not None:
        yield "cached", f"result of task {record.cached_from.replace('/', ', number ')}"
    if record.attempts > 1:
        yield "tries", str(record.attempts)
    if attempts:
        yield from _of_attempt(attempts[-1])
    if record.result_type is not None:
        yield "result", f"{record.result_type}, {bytes_text(record.result_size or 0)}"


def _of_attempt(attempt: AttemptRecord) -> Iterator[tuple[str, str]]:
    if attempt.worker is not None:
        yield "worker", plain(attempt.worker)
    if attempt.cpu_seconds is not None:
        yield "CPU", seconds_text(attempt.cpu_seconds)
    if attempt.peak_memory is not None:
        yield "peak memory", bytes_text(attempt.peak_memory)
    if attempt.exit is not None:
        yield "process ended", plain(attempt.exit)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _sections(task: Task) -> Iterator[Section]:
    if task.record.error_type is not None and task.record.cause is None:
        trace = _told(lambda: of_cells(task.traceback))
        if trace:
            yield Section("traceback", plain(trace), "error")
    output = output_text(task.logs()[-_LATEST:])
    if output:
        yield Section("output", output)
    doc, source, note = _told_code(task)
    if doc:
        yield Section("", doc, "doc")
    if source:
        yield Section(f"source{note}", source, "code")


def output_text(records: Sequence[LogRecord]) -> str:
    """What was printed and displayed, as text."""
    parts = []
    for record in records:
        if record.stream in ("stdout", "stderr"):
            parts.append(record.text)
        elif record.stream in ("display", "result"):
            parts.append(str(json.loads(record.text).get("data", {}).get("text/plain", "")) + "\n")
    return plain(written_over("".join(parts)).replace("\r", "")).strip("\n")


def _told(ask: Any) -> str:
    """What somebody's stored bytes say, or why they cannot be read."""
    try:
        return str(ask())
    except NbflowError as error:
        return str(error)


# --- code --------------------------------------------------------------------------------------------------------


def _told_code(task: Task) -> tuple[str, str, str]:
    """Docstring and source of a task's step, and what to know of it: where its code is found no more, nothing."""
    try:
        if task.record.kind == "cells":
            return "", _cells(task), ""
        declared = getattr(flow_function(task.run), "described", None)  # of a flow that is no function of Python
        if declared is not None:
            found: tuple[str, str, str] = declared(task.record.key)
            return found
        function = _function(task.run, task.record.name)
    except Exception:  # the user's modules are imported for it, and may raise anything
        return "", "", ""
    if function is None:
        return "", "", ""
    edited = code_digest(function) != task.record.code_digest
    return inspect.getdoc(function) or "", describe_code(function), ", as it is now: edited since" if edited else ""


def _cells(task: Task) -> str:
    payload, values = task._payload(), task.run._values
    if payload is None or payload.inputs is None:
        return ""
    args, _ = values.unpack(values.unseal_stored(payload.inputs), [None] * 1_000)
    return "\n\n".join(f"# cell {cell.number}\n{cell.source}" for cell in args[0].cells)


def _function(run: Run, name: str) -> Any:
    """The function of a step that a run called; None if its flow does not know it."""
    version = run._version()
    if version is None:
        return None
    seen: set[int] = set()
    open_ = [loader.find(version, run._values).function]
    while open_:
        function = open_.pop()
        for found in _reads(function).values():
            spec = getattr(found, "spec", None)
            if spec is None or id(spec) in seen or not callable(getattr(spec, "function", None)):
                continue
            seen.add(id(spec))
            if spec.name == name:
                return spec.function
            open_.append(spec.function)
    return None


def _reads(function: Any) -> dict[str, Any]:
    names = dict(getattr(function, "__globals__", {}))
    if inspect.isfunction(function):
        names |= inspect.getclosurevars(function).nonlocals
    return names
