"""Where progress is shown: redrawn in place on a terminal and in a notebook, a few plain lines elsewhere."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nbflow.views.alive import kernel
from nbflow.views.palette import FILL, MARK, TERMINAL
from nbflow.views.words import one_line, plain, seconds_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_MOST_ROWS = 20  # steps shown while it runs; of more, those that are not finished come first
_TICK = 0.5  # seconds between pictures in a notebook
_QUIET = 10.0  # seconds between plain lines at first; each wait is twice the one before, up to
_QUIETEST = 300.0


class Row(NamedTuple):
    """How the tasks of one step stand."""

    name: str
    state: str  # one for all of them
    done: int
    total: int
    kept: int  # done without running now
    bad: str  # how many failed, were skipped and so on, in marks
    share: float  # done, 0 to 1
    seconds: float | None  # since the first began; None: none has

    def counted(self) -> str:
        """How many of how many, in words."""
        parts = [f"{self.done}/{self.total}"] if self.total > 1 else []
        parts += [f"{self.kept} kept"] if self.kept and self.total > 1 else ["kept"] if self.kept else []
        parts += [self.bad] if self.bad and self.total > 1 else []
        return ", ".join(parts)


class Status(NamedTuple):
    """How a run stands."""

    title: str
    run: str
    state: str
    seconds: float
    rows: Sequence[Row]

    def line(self) -> str:
        """All of it in one line."""
        done, total = sum(row.done for row in self.rows), sum(row.total for row in self.rows)
        tasks = f"{done}/{total} tasks" if done < total else f"{total} task{'s' if total != 1 else ''}"
        return f"{self.title}: {tasks}, {seconds_text(self.seconds)}, run {self.run}"


class Screen(Protocol):
    """A place where progress is shown."""

    def open(self) -> None:
        """Begin."""

    def update(self) -> None:
        """Something has changed."""

    def close(self) -> None:
        """Show the end, and leave it."""


def screen_for(console: Console | None, status: Callable[[], Status], context: Context | None = None) -> Screen:
    """The screen that fits where the program runs; `console`: rich's, where there is a choice.

    `context`: that of the cell which started the run, if there is one; what is shown belongs below that cell.
    """
    from rich.console import Console

    if console is None and kernel() is not None:
        return NotebookScreen(status, context or copy_context())
    console = console or Console(highlight=False)
    return TerminalScreen(console, status) if console.is_terminal else PlainScreen(console, status)


class TerminalScreen:
    """Lines that are redrawn in place. What steps print meanwhile scrolls by above them."""

    def __init__(self, console: Console, status: Callable[[], Status]) -> None:
        from rich.live import Live

        self._live = Live(console=console, refresh_per_second=8, get_renderable=lambda: table(status()))

    def open(self) -> None:
        """Begin."""
        self._live.start(refresh=True)

    def update(self) -> None:
        """Nothing to do: it is redrawn several times a second."""

    def close(self) -> None:
        """Leave the last picture."""
        self._live.stop()


class PlainScreen:
    """For files and pipes: the beginning, now and then how it stands, and each step at the end."""

    def __init__(self, console: Console, status: Callable[[], Status]) -> None:
        self._console = console
        self._status = status
        self._wait = _QUIET
        self._next = time.monotonic() + _QUIET

    def open(self) -> None:
        """Begin."""
        status = self._status()
        self._print(f"{status.title}, run {status.run}")

    def update(self) -> None:
        """Print how it stands, if that was not done lately."""
        if time.monotonic() >= self._next:
            self._wait = min(2 * self._wait, _QUIETEST)
            self._next = time.monotonic() + self._wait
            self._print(self._status().line())

    def close(self) -> None:
        """Print each step."""
        for row in self._status().rows:
            parts = (f"{MARK[row.state]} {row.name}", row.counted(), seconds_text(row.seconds))
            self._print("  ".join(part for part in parts if part), indent="  ")

    def _print(self, text: str, indent: str = "") -> None:
        self._console.print(indent + plain(text).replace("\n", " "), markup=False, soft_wrap=True)


class NotebookScreen:
    """One display of its own in the cell's output, redrawn in place; folded up when all went well.

    A run that is over within half a second shows nothing: there was nothing to wait for.
    """

    def __init__(self, status: Callable[[], Status], context: Context) -> None:
        self._status = status
        self._context = context
        self._identity = uuid.uuid4().hex
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=context.copy().run, args=(self._redraw,), name="nbflow-progress", daemon=True
        )
        self._shown = False

    def open(self) -> None:
        """Begin to show it, soon."""
        self._thread.start()

    def update(self) -> None:
        """Nothing to do: it is redrawn twice a second."""

    def close(self) -> None:
        """Draw it for the last time."""
        self._ended.set()
        self._thread.join()
        if self._shown:
            self._context.copy().run(self._draw)

    def _redraw(self) -> None:
        while not self._ended.wait(_TICK):
            self._draw()

    def _draw(self) -> None:
        from IPython.display import display, update_display

        if not self._shown:
            self._shown = True
            display(self, display_id=self._identity)  # type: ignore[no-untyped-call]
            return
        update_display(self, display_id=self._identity)  # type: ignore[no-untyped-call]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        status = self._status()
        return {"text/html": html(status), "text/plain": status.line()}


def table(status: Status) -> RenderableType:
    """The lines for a terminal."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    lines = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(4):
        lines.add_column(no_wrap=True)
    lines.columns[3].justify = "right"
    rows, left_out = _most_interesting(status)
    for row in rows:
        lines.add_row(
            Text(f"{MARK[row.state]} {one_line(row.name, 40)}", style=TERMINAL[row.state]),
            ProgressBar(total=1.0, completed=row.share, width=24, complete_style="cyan", finished_style="green"),
            row.counted(),
            seconds_text(row.seconds),
        )
    if left_out:
        lines.add_row(Text(f"… {left_out} more steps", style="dim"))
    whole = Table.grid()
    whole.add_row(Text(one_line(status.line()), style="bold", no_wrap=True, overflow="ellipsis"))
    whole.add_row(lines)
    return whole


def html(status: Status) -> str:
    """The lines for a notebook, without scripts."""
    rows, left_out = _most_interesting(status)
    cells = "".join(_html_row(row) for row in rows)
    if left_out:
        cells += f'<tr><td style="text-align:left">… {left_out} more steps</td></tr>'
    shown = "" if status.state == "succeeded" else " open"
    return (
        f'<details{shown}><summary><span style="color:{FILL[status.state]}">{MARK[status.state]}</span> '
        f"{escape(one_line(status.line()))}</summary><table>{cells}</table></details>"
    )


def _html_row(row: Row) -> str:
    colour = FILL[row.state]
    return (
        f'<tr><td style="text-align:left"><span style="color:{colour}">{MARK[row.state]}</span> '
        f"{escape(one_line(row.name, 60))}</td>"
        f'<td><div style="width:120px;height:6px;border-radius:3px;background:#8883">'
        f'<div style="width:{100 * row.share:.0f}%;height:6px;border-radius:3px;background:{colour}"></div></div></td>'
        f'<td style="text-align:left">{escape(row.counted())}</td><td>{seconds_text(row.seconds)}</td></tr>'
    )


def _most_interesting(status: Status) -> tuple[Sequence[Row], int]:
    """The rows to show, and how many are left out."""
    if len(status.rows) <= _MOST_ROWS:
        return status.rows, 0
    order = {"running": 0, "failed": 1, "timed_out": 1, "ready": 2, "pending": 3}
    ranked = sorted(range(len(status.rows)), key=lambda number: (order.get(status.rows[number].state, 4), number))
    return [status.rows[number] for number in sorted(ranked[:_MOST_ROWS])], len(status.rows) - _MOST_ROWS
