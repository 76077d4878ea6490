"""What a chart shows now, on its way to the browser: all of it at first, then what changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from nbflow.views.alive import Life, new_key
from nbflow.views.gantt import packing, text
from nbflow.views.gantt.critical import Links, critical_path
from nbflow.views.gantt.lanes import missing, segments
from nbflow.views.gantt.look import Look, as_json
from nbflow.views.gantt.rows import Rows
from nbflow.views.gantt.still import Still
from nbflow.views.words import one_line, plain, seconds_text

if TYPE_CHECKING:
    import pandas as pd

_SCRIPTS = ("page.js", *packing.PROGRAM, "gantt/main.js")
_TITLES = {"worker": "Worker", "queue": "Queue", "step": "Step", "flow": "Flow", "run": "Run", "task": "Task"}


class Live:
    """Rows and how they look, with what shows them in a page if somebody looks. Safe to use from several threads."""

    def __init__(self, rows: Rows, look: Look, now: float, links: Links | None) -> None:
        self.rows = rows
        self.look = look
        self.now = now
        self.links = links
        self.live = False  # whether somebody tells what changes
        self._key = new_key()
        self.lock = threading.RLock()
        self.selected: Any = None
        self.handle: Callable[[dict[str, Any]], Any] | None = None
        self.callbacks: list[Callable[[Any], Any]] = []
        self._life: Life | None = None
        self._version = 0

    @property
    def name(self) -> str:
        """What pages find the chart by."""
        return self._life.key if self._life is not None else self._key

    def life(self) -> Life:
        """What shows it live, made when it is first asked for."""
        with self.lock:
            if self._life is None or self._life.closed:
                self._life = Life(_SCRIPTS, self._state, self._take)
            return self._life

    # --- what the page asks --------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        block = self.block()
        return {"head": json.dumps(block.head, allow_nan=False), "bytes": block.bytes}

    def _take(self, message: dict[str, Any]) -> None:
        asked = message.get("ask")
        if asked == "whole":
            with self.lock:
                self._send_rows(self.block())
        elif asked == "click":
            self.clicked(int(message["row"]))
        elif asked == "detail":
            row = int(message["row"])
            self.life().send({"detail": self.details(row), "row": row})

    def _send_rows(self, block: packing.Block) -> None:
        if self._life is not None:
            self._life.send({"rows": block.head}, [block.bytes])

    def block(self) -> packing.Block:
        """All rows and how they shall look."""
        with self.lock:
            return self._headed(packing.whole(self.rows))

    def page(self) -> str:
        """A page that stands alone with all rows."""
        with self.lock:
            block = self._headed(packing.whole(self.rows, texts=True))
            block.head["look"]["asks"] = block.head["live"] = False
            return packing.page(block, self.look.title)

    def clicked(self, row: int) -> None:
        """Note what was clicked, and tell those who wait for it."""
        with self.lock:
            values = self.rows.row(row) if 0 <= row < self.rows.count else None
        self.selected = self.handle(values) if values is not None and self.handle is not None else values
        for callback in tuple(self.callbacks):
            callback(self.selected)

    def details(self, row: int) -> dict[str, str]:
        """What the hover tells of a row beyond its columns."""
        with self.lock:
            return packing.details(self.rows, row) if 0 <= row < self.rows.count else {}

    # --- what changes --------------------------------------------------------------------------------------------

    def update(self, frame: pd.DataFrame, now: float, links: Links | None) -> None:
        """Take new and changed rows and send them."""
        with self.lock:
            known = {kind: len(names.texts) for kind, names in self.rows.lanes.items()}
            numbers = self.rows.put(frame)
            self.look = self.look.of(self.rows)
            self.links = links or self.links
            self.now, self.live = now, True
            if self._life is not None:
                self._version += 1
                self._send_rows(self._headed(packing.changes(self.rows, numbers, known)))

    def heard(self, now: float, *, live: bool) -> None:
        """Tell that nothing has changed by now, or that nothing will change any more."""
        with self.lock:
            self.now, self.live = now, live
            if self._life is not None:
                self._life.send({"heard": {"now": now, "live": live}})

    def still(self, width: int = 900, most: int | None = None) -> Still:
        """The chart at this moment, for a picture."""
        path = frozenset(self.path()[0])
        return Still(self.rows, self.look, self.now, width, most, path)

    def path(self) -> tuple[list[int], str]:
        """The rows on the critical path in the order of time, and what is said about them."""
        if self.links is None or not self.rows.count:
            return [], ""
        keys = self.rows.identities()
        found = segments(self.rows, self.now)
        ends: dict[Hashable, float] = {}
        for row, key in enumerate(keys):
            end = float(found["run_end"][row])
            if end == end:
                ends[key] = max(end, ends.get(key, end))
        tasks = {task: place for place, task in enumerate(critical_path(ends, self.links))}
        rows = sorted((row for row, key in enumerate(keys) if key in tasks), key=lambda row: (tasks[keys[row]], row))
        ran = sum(
            max(0.0, float(found["run_end"][row] - found["run_start"][row])) for row in rows if ends.get(keys[row])
        )
        return rows, f"critical path {seconds_text(ran)}" if rows else ""

    def _headed(self, block: packing.Block) -> packing.Block:
        rows, look = self.rows, self.look
        path, said = self.path()
        block.head.update(version=self._version, now=self.now, live=self.live)
        block.head["look"] = {
            "title": one_line(look.title, 200),
            "lanes": look.lanes,
            "kinds": [[kind, _TITLES.get(kind, plain(kind))] for kind in rows.lanes],
            "missing": {kind: missing(kind) for kind in ("", *rows.lanes)},
            "states": as_json(look),
            "notes": text.notes(rows, look),
            "scale": rows.scale,
            "zone": look.zone_name,
            "path": path,
            "pathText": said,
            "word": "attempt" if look.kind == "attempts" else "row",
            "height": look.height,
            "empty": text.summary(rows, look, 0.0) if not rows.count else "",
            "asks": rows.count > packing.MOST_TEXTS,
        }
        return block
