"""What the cells of a running flow show, live in the notebook that started it: one display for each cell."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nbflow.model.events import OUTPUT, RUN_FINISHED, Event
from nbflow.views.outputs import CellOutputs

_TICK = 0.3  # seconds between redraws
_LONGEST = 20_000  # characters of one text that are shown
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ERROR_STYLE = "border-left:3px solid #d55e00;padding-left:6px"
_STDERR_STYLE = "border-left:3px solid #e69f00;padding-left:6px"


class LiveOutputs:
    """Shows the outputs of cells. Pass it as a listener of a run."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._open: dict[int, _Block] = {}  # by task: the cell that it runs now
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, events: Sequence[Event]) -> None:
        """Take events of the run."""
        with self._lock:
            for event in events:
                if event.kind == OUTPUT and event.data.get("kind") == "cells":
                    self._take(event)
        if self._thread is None:
            self._thread = threading.Thread(target=self._redraw, name="nbflow-outputs", daemon=True)
            self._thread.start()
        if any(event.kind == RUN_FINISHED for event in events):
            self._ended.set()
            self._thread.join()

    def _take(self, event: Event) -> None:
        seq, stream, text = event.seq or 0, event.data["stream"], event.data["text"]
        if stream == "cell":
            number = json.loads(text)["number"]
            block = self._blocks.setdefault(number, _Block(number))
            block.begin(event.data["name"])
            self._open[seq] = block
        elif stream != "cell_end" and seq in self._open:
            self._open[seq].add(stream, text)

    def _redraw(self) -> None:
        while True:
            ended = self._ended.wait(_TICK)
            with self._lock:
                changed = [block for _, block in sorted(self._blocks.items()) if block.changed]
                pictures = [(block, block.bundle()) for block in changed if block.outputs.finished()]
            for block, bundle in pictures:
                block.show(bundle)
            if ended:
                return


class _Block:
    """One cell's outputs in one display."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.changed = False
        self.outputs = CellOutputs(number)
        self._step = ""
        self._identity = uuid.uuid4().hex
        self._shown = False

    def begin(self, step: str) -> None:
        """The cell runs, perhaps once more: what it showed before counts no longer."""
        self._step = step
        self.outputs = CellOutputs(self.number)
        self.changed = self._shown

    def add(self, stream: str, text: str) -> None:
        """It shows something."""
        self.outputs.add(stream, text)
        self.changed = True

    def bundle(self) -> dict[str, str]:
        """Its outputs as one piece of HTML, and as text."""
        self.changed = False
        found = self.outputs.finished()
        head = f'<div style="opacity:.6;font-size:85%;margin-top:.4em">[{self.number}] {escape(self._step)}</div>'
        return {
            "text/html": head + "".join(_html(output) for output in found),
            "text/plain": f"[{self.number}] {self._step}\n" + "\n".join(_text(output) for output in found),
        }

    def show(self, bundle: dict[str, str]) -> None:
        """Display it, the second time in the same place."""
        from IPython.display import display

        display(bundle, raw=True, display_id=self._identity, update=self._shown)  # type: ignore[no-untyped-call]
        self._shown = True


def _html(output: Mapping[str, Any]) -> str:
    kind = output["output_type"]
    if kind == "stream":
        return _pre(output["text"], _STDERR_STYLE if output["name"] == "stderr" else "")
    if kind == "error":
        return _pre("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}", _ERROR_STYLE)
    data = output["data"]
    if "text/html" in data:
        return f"<div>{data['text/html']}</div>"
    if "image/svg+xml" in data:
        return f"<div>{data['image/svg+xml']}</div>"
    for mime in ("image/png", "image/jpeg", "image/gif"):
        if mime in data:
            return f'<img style="max-width:100%" src="data:{mime};base64,{escape(data[mime].strip())}">'
    return _pre(str(data.get("text/plain", "")), "")


def _pre(text: str, style: str) -> str:
    return f'<pre style="margin:0;white-space:pre-wrap;{style}">{escape(_cut(text))}</pre>'


def _text(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _cut(output["text"]).rstrip("\n")
    if output["output_type"] == "error":
        return _cut("\n".join(output["traceback"])) or f"{output['ename']}: {output['evalue']}"
    return _cut(str(output["data"].get("text/plain", "")))


def _cut(text: str) -> str:
    """A text without colours; of a long one the beginning, and the end, which is what is new."""
    left_out = len(text) - _LONGEST
    if left_out <= 0:
        return _ANSI.sub("", text)
    half = _LONGEST // 2
    note = f"\n… {left_out:,} characters are left out here; the executed notebook has them …\n"
    return _ANSI.sub("", text[:half]) + note + _ANSI.sub("", text[-half:])
