"""A graph that is alive in a notebook: recoloured while its run goes on, folded and asked about by clicks."""

from __future__ import annotations

import threading
import time
from typing import Any

from nbflow.model.errors import NbflowError
from nbflow.views.alive import Life
from nbflow.views.graph import Details, Now, Picture
from nbflow.views.graph_svg import drawn
from nbflow.views.palette import FILL, MARK

_TICK = 0.3  # seconds between looks at a run
_SHARE = 0.05  # of the time may be spent on looking
_FAILURES = 5  # looks in a row, each a second later than the one before
_SCRIPTS = ("page.js", "graph.js", "graph_main.js")
_LONGEST = 20_000  # characters of one text that a page gets


class LiveGraph:
    """One picture in a page."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._lock = threading.RLock()  # of the drawing: clicks and news come by different threads
        self._drawing = picture.drawing()
        self._life = Life(_SCRIPTS, self._state, self._take)

    def show(self) -> None:
        """Display the still picture, bring it to life, and follow the run to its end."""
        from IPython.display import display

        bundle = self._life.bundle(self._picture.still(self._life.key))
        follows = self._picture.refresh is not None
        options = {"display_id": self._life.key} if follows else {}
        display(bundle, raw=True, **options)  # type: ignore[no-untyped-call]
        if follows:
            threading.Thread(target=self._follow, name="nbflow-graph", daemon=True).start()

    # -- what the page asks ---------------------------------------------------------------------------------------

    def _state(self) -> dict[str, Any]:
        with self._lock:
            return {"svg": self._drawing.svg(self._picture.title, live=True)}

    def _take(self, message: dict[str, Any]) -> None:
        identity, answer = str(message.get("id")), {"answer": message.get("number")}
        if message.get("ask") == "details":
            self._life.send({**answer, "details": as_json(self._picture.details(identity))})
        elif message.get("ask") == "fold":
            with self._lock:
                self._picture.folded ^= {identity}
                self._drawing = self._picture.drawing()
                self._life.send({**answer, **self._state()})

    # -- what the run does ----------------------------------------------------------------------------------------

    def _follow(self) -> None:
        picture = self._picture
        assert picture.refresh is not None
        over, failures = False, 0
        while not over and failures < _FAILURES and not self._life.closed:
            began = time.monotonic()
            try:
                over = self._look(picture.refresh())
                failures = 0
            except NbflowError:  # the database is away, or the run was removed from it
                failures += 1
            if not over:
                threading.Event().wait(max(_TICK, (time.monotonic() - began) / _SHARE, failures))
        self._settle()

    def _look(self, now: Now) -> bool:
        """Show how the run stands; whether it is over."""
        if tuple(now.nodes) != self._picture.nodes:
            with self._lock:
                self._picture.nodes = tuple(now.nodes)
                self._life.send(self._change())
        return now.over

    def _change(self) -> dict[str, Any]:
        """What the page needs to show the nodes as they are now: only those that changed, if all keep their places."""
        before, self._drawing = self._drawing, self._picture.drawing()
        if before.outline() != self._drawing.outline():
            return self._state()
        changed = {
            new.node.id: drawn(new, live=True)
            for old, new in zip(before.places, self._drawing.places, strict=True)
            if old != new
        }
        return {"nodes": changed}

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
