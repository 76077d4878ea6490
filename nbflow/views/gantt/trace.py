"""The chart as a trace in Chrome's JSON format, which ui.perfetto.dev and chrome://tracing open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from nbflow.views.gantt.lanes import lay_out, segments
from nbflow.views.gantt.look import Look
from nbflow.views.gantt.rows import Rows

_RUNNING, _WAITING = 1, 2  # numbers of the two groups


def trace(rows: Rows, look: Look, now: float) -> str:
    """JSON with an event for each bar: running in one group with a thread for each track, waiting in another."""
    events = ",\n".join(json.dumps(event) for event in _events(rows, look, now))
    other = {"title": look.title, "made by": "nbflow"}
    return f'{{"displayTimeUnit":"ms","otherData":{json.dumps(other)},"traceEvents":[\n{events}\n]}}\n'


def _events(rows: Rows, look: Look, now: float) -> Iterator[dict[str, Any]]:
    yield _named("process_name", _RUNNING, 0, look.title or "running")
    yield _named("process_name", _WAITING, 0, "waiting")
    found = {name: values.tolist() for name, values in segments(rows, now).items()}
    zero = 0.0 if rows.scale != "elapsed" else min([0.0, *rows["at"].tolist()])
    names, told = _names(rows), _told(rows)
    thread = 0
    for lane in lay_out(rows, look.lanes) if rows.count else ():
        for track in range(lane.height):
            title = f"{lane.name} ({track + 1})" if lane.height > 1 else lane.name
            yield _named("thread_name", _RUNNING, thread + track + 1, title)
        for row, track in zip(lane.rows.tolist(), lane.tracks.tolist(), strict=True):
            shared = {"name": names[row], "cat": rows.states.texts[rows["state"][row]] or "none"}
            start, end = found["run_start"][row], found["run_end"][row]
            if start == start:
                times = {"ts": _micros(start - zero), "dur": max(0, _micros(end - zero) - _micros(start - zero))}
                yield shared | times | {"ph": "X", "pid": _RUNNING, "tid": thread + track + 1, "args": told[row]}
            start, end = found["wait_start"][row], found["wait_end"][row]
            if end > start:
                spot = {"pid": _WAITING, "tid": 1, "id": row, "cat": "waiting", "name": f"{names[row]} waits"}
                yield spot | {"ph": "b", "ts": _micros(start - zero), "args": told[row]}
                yield spot | {"ph": "e", "ts": _micros(end - zero)}
        thread += lane.height


def _named(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": process, "tid": thread, "args": {"name": name}}


def _names(rows: Rows) -> list[str]:
    tasks = rows.tasks()
    steps = rows.lanes["step"].texts if "step" in rows.lanes else []
    codes = rows["lane:step"].tolist() if steps else [-1] * rows.count
    return [
        task or (steps[code] if code >= 0 else "") or f"row {row}"
        for row, (task, code) in enumerate(zip(tasks, codes, strict=True))
    ]


def _told(rows: Rows) -> list[dict[str, Any]]:
    """What Perfetto shows of each bar when it is clicked."""
    states = rows["state"].tolist()
    attempts = rows["attempt"].tolist()
    lanes = [(kind, names.texts, rows[f"lane:{kind}"].tolist()) for kind, names in rows.lanes.items()]
    found: list[dict[str, Any]] = []
    for row, error in enumerate(rows.errors()):
        told: dict[str, Any] = {kind: texts[codes[row]] for kind, texts, codes in lanes if codes[row] >= 0}
        told |= {"state": rows.states.texts[states[row]]} if rows.states.texts[states[row]] else {}
        told |= {"attempt": attempts[row]} if attempts[row] else {}
        found.append(told | ({"error": error} if error else {}))
    return found


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
