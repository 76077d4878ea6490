"""Still pictures that come to life in a notebook.

A live view has no output of its own. The notebook's output holds a still picture, which is saved with it and needs no
kernel; a widget without a view finds it in the page by its key, and draws the live view in its place. An output that
held both, the picture and a widget, would show an error instead of either once the kernel is gone.

JupyterLab and Notebook 7 make widgets as soon as the kernel opens them. Where they are made only for an output of
their own (VS Code, Colab), `bundle` adds that.
"""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

_MOST = 30  # live views of a kernel; older ones become still pictures
_VIEW = "application/vnd.jupyter.widget-view+json"
_SCRIPTS = Path(__file__).parent / "js"

State = Callable[[], dict[str, Any]]
Handler = Callable[[dict[str, Any]], None]


def present() -> bool:
    """Whether this process is the kernel of a notebook that is open in a browser.

    Not if a program executes the notebook: nobody would look, and some of these programs store what widgets hold.
    """
    found = kernel()
    # Programs that execute notebooks (nbclient, papermill) say that they cannot answer questions.
    if found is None or not getattr(found, "_allow_stdin", True):
        return False
    return "JPY_SESSION_NAME" in os.environ or _needs_view()


def kernel() -> Any:
    """The kernel that this process is; None if it is none."""
    ipython = sys.modules.get("IPython") if "ipykernel" in sys.modules else None  # not imported for this question
    return getattr(ipython.get_ipython(), "kernel", None) if ipython is not None else None


def _needs_view() -> bool:
    """Whether the front end makes widgets only where one is displayed."""
    return "VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ or "google.colab" in sys.modules


class Life:
    """The live view of one still picture. Messages may be sent from any thread; threads need not take turns.

    `scripts`: names of the files in `js` that make up the view, in order. `state`: gives what the view is made from, as
    JSON can hold it. `take`: gets each message from the page, in a thread of the kernel's choice, beside a busy cell
    where the kernel and the front end can do that.
    """

    def __init__(self, scripts: Sequence[str], state: State, take: Handler | None = None) -> None:
        self.key = new_key()
        self._state = state
        self._take = take
        self._lock = threading.Lock()
        self.closed = False
        self._widget = _widget_class(tuple(scripts))(self)
        comm = getattr(self._widget, "comm", None)
        if comm is not None and hasattr(comm, "_reply_subshell_for"):
            # ipykernel from 7.4 on sends a click to the shell that spoke last, which is the one of the busy cell,
            # though the front end asked for a subshell.
            comm._reply_subshell_for = None
        self._widget.on_msg(self._on_message)
        _keep(self)

    @property
    def widget(self) -> Any:
        """What speaks to the page, as a widget that can stand among others."""
        return self._widget

    def state(self) -> dict[str, Any]:
        """What the view is made from now."""
        return {**self._state(), "key": self.key}

    def send(self, message: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Tell the page something; nothing once it is closed."""
        with self._lock:  # a message has several parts, which must not mix
            if not self.closed:
                self._widget.send(dict(message), list(buffers) or None)

    def bundle(self, still: dict[str, Any]) -> dict[str, Any]:
        """The still picture's mime bundle, with what this front end needs to bring it to life."""
        if not _needs_view():
            return still
        view = {"version_major": 2, "version_minor": 1, "model_id": self._widget.model_id}
        return {**still, _VIEW: view}

    def close(self) -> None:
        """Leave the still picture alone."""
        with self._lock:
            if self.closed:
                return
            self.closed = True
        self._widget.close()

    def _on_message(self, _widget: Any, message: Any, _buffers: Any) -> None:
        if self._take is not None and isinstance(message, dict):
            self._take(message)


def new_key() -> str:
    """A key by which a page finds a still picture."""
    return f"nbflow-{uuid.uuid4().hex[:16]}"


_ALIVE: deque[Life] = deque()


def _keep(life: Life) -> None:
    """Hold the latest few: a widget lives until it is closed, and a kernel may draw for weeks."""
    _ALIVE.append(life)
    while len(_ALIVE) > _MOST:
        _ALIVE.popleft().close()


@cache
def script(name: str) -> str:
    """The text of a file in `js`."""
    return (_SCRIPTS / name).read_text(encoding="utf-8")


@cache
def _widget_class(scripts: tuple[str, ...]) -> Any:
    import anywidget

    class Enlivened(anywidget.AnyWidget):
        """A widget whose state is asked for when a page needs it, and never stored in between."""

        _esm = "\n".join(script(name) for name in scripts)

        def __init__(self, life: Life) -> None:
            self._life = life
            super().__init__()

        def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
            found: dict[str, Any] = super().get_state(key, drop_defaults)
            if key is None:
                found["data"] = self._life.state()
            return found

    return Enlivened
