"""`nbflow logs`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nbflow.cli.output import Db, Json, RunId
from nbflow.views.words import one_line, plain

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.model.records import LogRecord

_POLL = 0.2  # seconds between looks
_OVERLAP = 2.0  # seconds for which pieces may come late: attempts on other processes have clocks of their own


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("logs")(logs)


def logs(
    run_id: RunId,
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help='A step\'s name, or the key of one task: "train#2".')
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is finished.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Print what the tasks of a run wrote, in the order in which they wrote it.

    With --json, one object per line: task, attempt, time, stream and text.
    """
    from nbflow.client.run import find

    run = find(run_id, db=db)
    names = _Names(run)
    if task is not None and not follow and not any(names.matches(task, seq) for seq in names.keys):
        run[task]  # raises, and names those that there are
    printer = _Printer(names, prefix=task is None)
    for record in _pieces(run, db, follow=follow):
        if task is None or names.matches(task, record.seq):
            if as_json:
                _print_json(names.of(record.seq), record)
            else:
                printer.take(record)
    printer.close()


class _Names:
    """The keys of a run's tasks, asked for again when one is new."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.keys: dict[int, str] = {}
        self._read()

    def _read(self) -> None:
        self.keys = {task.record.seq: task.key for task in self._run.tasks()}

    def of(self, seq: int) -> str:
        if seq and seq not in self.keys:
            self._read()
        return self.keys.get(seq, "")

    def matches(self, task: str, seq: int) -> bool:
        key = self.of(seq)
        return task in (key, key.rpartition("/")[2].rpartition("#")[0])


def _pieces(run: Run, db: str | None, *, follow: bool) -> Iterator[LogRecord]:
    from nbflow.engine import stores
    from nbflow.storage import logs as stored

    seen: set[tuple[int, int, int]] = set()
    after: float | None = None
    while True:
        ended = run.state.finished or run.interrupted  # before reading: what comes until then is read
        read = partial(stored.read, run=run.id, after=after)
        found = stores.database(db, create=False).retrying(read, write=False)
        for record in found:
            identity = (record.seq, record.attempt, record.number)
            if identity not in seen:
                seen.add(identity)
                yield record
        if not follow or ended:
            return
        if found:
            after = found[-1].time - _OVERLAP
        time.sleep(_POLL)


class _Printer:
    """Puts pieces together to lines, with the task in front where there are several."""

    def __init__(self, names: _Names, *, prefix: bool) -> None:
        self._names = names
        self._prefix = prefix
        self._open: dict[tuple[int, int, str], str] = {}  # lines that have no end yet

    def take(self, record: LogRecord) -> None:
        """Print what is complete."""
        if record.stream in ("stdout", "stderr"):
            slot = (record.seq, record.attempt, record.stream)
            *lines, rest = (self._open.pop(slot, "") + record.text).split("\n")
            if rest:
                self._open[slot] = rest
            for line in lines:
                self._print(record.seq, line)
        elif record.stream in ("display", "result", "error"):
            for line in _shown(record).splitlines():
                self._print(record.seq, line)

    def close(self) -> None:
        """Print what is left."""
        for (seq, _, _), line in self._open.items():
            self._print(seq, line)

    def _print(self, seq: int, line: str) -> None:
        text = plain(line.removesuffix("\r").rpartition("\r")[2])  # progress bars write over their lines
        typer.echo(f"{one_line(self._names.of(seq))} | {text}" if self._prefix else text)


def _shown(record: LogRecord) -> str:
    message: dict[str, Any] = json.loads(record.text)
    if record.stream == "error":
        return f"{message.get('ename')}: {message.get('evalue')}"
    text = message.get("data", {}).get("text/plain", "")
    return text if isinstance(text, str) else "".join(text)


def _print_json(key: str, record: LogRecord) -> None:
    fields = {"task": key, "attempt": record.attempt, "time": record.time, "stream": record.stream, "text": record.text}
    typer.echo(json.dumps(fields))
