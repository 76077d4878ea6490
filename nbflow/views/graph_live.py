"""A graph that is alive in a notebook: recoloured while its run goes on, folded and asked about by clicks."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from nbflow.model.errors import NbflowError
from nbflow.views.alive import Life
from nbflow.views.graph import Details, Node, Picture
from nbflow.views.graph_svg import drawn
from nbflow.views.palette import FILL, MARK

_TICK = 0.3  # seconds between looks at a run
_SHARE = 0.05  # of the time may be spent on looking
_FAILURES = 5  # looks in a row, each a second later than the one before
_SCRIPTS = ("page.js", "graph.js", "graph_main.js")
_LONGEST = 20_000  # characters of one text that a page gets


class GraphFeed:
    """What a page is told of one picture, at first and when nodes change. May be used by several threads."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self._lock = threading.RLock()  # clicks and news come by different threads
        self._drawing = picture.drawing()

    def state(self) -> dict[str, Any]:
        """The whole picture."""
        with self._lock:
            return {"svg": self._drawing.svg(self.picture.title, live=True)}

    def answer(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """What to answer to a click; None if it asks for something else."""
        identity = str(message.get("id"))
        if message.get("ask") == "details":
            return {"details": as_json(self.picture.details(identity))}
        if message.get("ask") == "fold":
            with self._lock:
                self.picture.folded ^= {identity}
                self._drawing = self.picture.drawing()
                return self.state()
        return None

    def change(self, nodes: Sequence[Node]) -> dict[str, Any] | None:
        """What the page needs to show the nodes as they are now: only those that changed, if all keep their places.

        None if nothing changed.
        """
        if tuple(nodes) == self.picture.nodes:
            return None
        with self._lock:
            self.picture.nodes = tuple(nodes)
            before, self._drawing = self._drawing, self.picture.drawing()
            if before.outline() != self._drawing.outline():
                return self.state()
            changed = {
                new.node.id: drawn(new, live=True)
                for old, new in zip(before.places, self._drawing.places, strict=True)
                if old != new
            }
            return {"nodes": changed}


class LiveGraph:
    """One picture in a page."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._feed = GraphFeed(picture)
        self._life = Life(_SCRIPTS, self._feed.state, self._take)

    def show(self) -> None:
        """Display the still picture, bring it to life, and follow the run to its end."""
        from IPython.display import display

        bundle = self._life.bundle(self._picture.still(self._life.key))
        follows = self._picture.refresh is not None
        options = {"display_id": self._life.key} if follows else {}
        display(bundle, raw=True, **options)  # type: ignore[no-untyped-call]
        if follows:
            threading.Thread(target=self._follow, name="nbflow-graph", daemon=True).start()

    def _take(self, message: dict[str, Any]) -> None:
        answer = self._feed.answer(message)
        if answer is not None:
            self._life.send({"answer": message.get("number"), **answer})

    def _follow(self) -> None:
        picture = self._picture
        assert picture.refresh is not None
        over, failures = False, 0
        while not over and failures < _FAILURES and not self._life.closed:
            began = time.monotonic()
            try:
                now = picture.refresh()
                news = self._feed.change(now.nodes)
                if news is not None:
                    self._life.send(news)
                over, failures = now.over, 0
            except NbflowError:  # the database is away, or the run was removed from it
                failures += 1
            if not over:
                threading.Event().wait(max(_TICK, (time.monotonic() - began) / _SHARE, failures))
        self._settle()

    def _settle(self) -> None:
        """Let the notebook keep the last picture instead of the first."""
        from IPython.display import display

        bundle = self._life.bundle(self._picture.still(self._life.key))
        display(bundle, raw=True, display_id=self._life.key, update=True)  # type: ignore[no-untyped-call]


def as_json(details: Details) -> dict[str, Any]:
    """Details for a page, which puts them in as text and never as HTML."""
    return {
        "title": details.title,
        "state": details.state.replace("_", " ") if details.state != "planned" else "",
        "mark": MARK.get(details.state, ""),
        "colour": FILL[details.state],
        "facts": [list(fact) for fact in details.facts],
        "sections": [[section.heading, _cut(section.text), section.kind] for section in details.sections],
    }


def _cut(text: str) -> str:
    """Of a long text the end, which is what is new."""
    left_out = len(text) - _LONGEST
    return text if left_out <= 0 else f"… {left_out:,} characters before this …\n{text[-_LONGEST:]}"
