"""The picture of a monitor: still as a table that a saved notebook keeps, and alive in a page.

What is shown is a sample: a dict that JSON can hold, as `client.sampling` makes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from nbflow.views.alive import Handler, Life
from nbflow.views.palette import FILL, MARK
from nbflow.views.words import one_line, seconds_text

_PAGE = ("page.js", "graph.js", "monitor.js", "monitor_parts.js", "monitor_main.js")
_CONTROLS = ("page.js", "controls_main.js")
_CELL = "padding:1px 12px 1px 0;text-align:left"
_RIGHT = "padding:1px 12px 1px 0;text-align:right"
_OPEN = ("pending", "ready", "running")
_RUNS = 12
_LONGEST = 60  # characters of a name

Sample = dict[str, Any]


class MonitorView:
    """A monitor in a page: one widget for what the kernel tells, and one for what the reader asks."""

    def __init__(self, where: str, sample: Sample, commands: Mapping[str, str], take: Handler) -> None:
        """`where`: what is watched. `commands`: for each action what does the same on a command line."""
        self._where = where
        self._commands = dict(commands)
        self._sent: dict[str, str] = {}  # the parts of the sample that the page has, as JSON
        self.sample = sample
        self.stopped = False
        self.controls = Life(_CONTROLS, dict, take)
        self.life = Life(_PAGE, self._state)

    def show(self) -> None:
        """Display the still picture, and bring it to life."""
        from IPython.display import display

        bundle = self.life.bundle(still(self.sample, self._where, self.life.key))
        display(bundle, raw=True, display_id=self.life.key)  # type: ignore[no-untyped-call]

    def tell(self, sample: Sample) -> None:
        """Show how it stands now; only what changed is sent."""
        self.sample = sample
        parts = {name: json.dumps(value) for name, value in sample.items()}
        changed = {name: sample[name] for name, text in parts.items() if self._sent.get(name) != text}
        self._sent = parts
        self.life.send({"sample": changed})

    def stop(self) -> None:
        """Leave the last picture in the notebook, and say that it is the last."""
        from IPython.display import display

        self.stopped = True
        self.life.send({"stopped": True})
        bundle = self.life.bundle(still(self.sample, self._where, self.life.key))
        display(bundle, raw=True, display_id=self.life.key, update=True)  # type: ignore[no-untyped-call]

    @property
    def closed(self) -> bool:
        """Whether the page has nothing of it any more but the still picture."""
        return self.life.closed or self.controls.closed

    def _state(self) -> dict[str, Any]:
        return {
            "where": self._where,
            "sample": self.sample,
            "stopped": self.stopped,
            "controls": self.controls.key,
            "commands": self._commands,
            "colours": FILL,
            "marks": MARK,
        }


# --- the still picture -------------------------------------------------------------------------------------------


def still(sample: Sample, where: str, key: str | None = None) -> dict[str, str]:
    """The mime bundle that needs no kernel: no scripts, no styles but its own."""
    return {"text/html": html(sample, where, key), "text/plain": text(sample, where)}


def html(sample: Sample, where: str, key: str | None = None) -> str:
    """A sample as tables. All texts are escaped."""
    at = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(sample["now"]))
    mark = f' data-nbflow="{escape(key)}"' if key is not None else ""
    parts = "".join(
        _table(title, heads, rows) for title, heads, rows in (_queues(sample), _running(sample), _runs(sample)) if rows
    )
    return (
        f'<div{mark} style="font-size:13px"><div><b>nbflow</b> <span style="opacity:.65">{escape(where)}, '
        f"{escape(at)}</span></div><div>{escape(headline(sample))}</div>{parts}</div>"
    )


def text(sample: Sample, where: str) -> str:
    """A sample for a terminal."""
    lines = [f"nbflow {where}", headline(sample)]
    for title, heads, rows in (_queues(sample), _running(sample), _runs(sample)):
        if rows:
            cells = [[one_line(cell) for cell in row] for row in (heads, *rows)]
            widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
            lines += ["", title]
            lines += [
                "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
            ]
    return "\n".join(lines)


def headline(sample: Sample) -> str:
    """All of it in one line."""
    totals, workers = sample["totals"], sample["workers"]
    parts = [f"{totals['running']:,} running", f"{totals['ready']:,} waiting"]
    if totals["later"]:
        parts.append(f"{totals['later']:,} later")
    day = ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in sorted(totals["day"].items()))
    parts.append(f"runs of the last day: {day or 'none'}")
    places = f", {totals['busy']} of {totals['places']} places busy" if workers else ""
    parts.append(f"{len(workers)} worker{'s' if len(workers) != 1 else ''}{places}")
    return " · ".join(parts)


_Rows = list[tuple[str, ...]]


def _queues(sample: Sample) -> tuple[str, tuple[str, ...], _Rows]:
    heads = ("queue", "state", "waiting", "running", "later", "failed")
    rows: _Rows = [
        (
            queue["name"],
            queue["state"],
            *(f"{count:,}" for count in (queue["ready"], queue["running"], queue["later"] + queue["held"])),
            f"{queue['failed']:,}",
        )
        for queue in sample["queues"]
    ]
    return "Queues", heads, rows


def _running(sample: Sample) -> tuple[str, tuple[str, ...], _Rows]:
    rows: _Rows = []
    for task in sample["running"]:
        progress = f"{task['progress']:.0%} " if task["progress"] is not None else ""
        took = seconds_text(max(0.0, sample["now"] - task["started"])) if task["started"] is not None else ""
        rows.append((task["name"], task["where"], task["worker"], took, f"{progress}{task['message']}"))
    title = "Running"
    if sample["totals"]["running"] > len(rows):
        title = f"Running: {len(rows)} of {sample['totals']['running']:,}"
    return title, ("task", "of", "worker", "for", "progress"), rows


def _runs(sample: Sample) -> tuple[str, tuple[str, ...], _Rows]:
    rows: _Rows = []
    for run in sample["runs"][:_RUNS]:
        total = sum(run["states"].values())
        done = total - sum(run["states"].get(state, 0) for state in _OPEN)
        tasks = f"{done:,} of {total:,}" if done < total else f"{total:,}"
        end = run["finished"] if run["finished"] is not None else sample["now"]
        took = seconds_text(max(0.0, end - run["started"])) if run["started"] is not None else ""
        state = f"{MARK[run['state']]} {run['state'].replace('_', ' ')}"
        rows.append((state, run["flow"], run["id"], tasks, took, run["error"]))
    return "Latest runs", ("state", "flow", "run", "tasks", "took", "error"), rows


def _table(title: str, heads: Sequence[str], rows: _Rows) -> str:
    body = "".join(f"<tr>{''.join(_cells(row, heads))}</tr>" for row in rows)
    head = "".join(f'<th style="{_style(name)};font-weight:normal;opacity:.65">{escape(name)}</th>' for name in heads)
    return (
        f'<div style="margin-top:8px"><b>{escape(title)}</b></div><table style="margin-left:0">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cells(row: Sequence[str], heads: Sequence[str]) -> Iterator[str]:
    for cell, name in zip(row, heads, strict=True):
        yield f'<td style="{_style(name)}">{escape(one_line(cell, _LONGEST))}</td>'


def _style(name: str) -> str:
    return _RIGHT if name in ("waiting", "running", "later", "failed", "took", "for") else _CELL
