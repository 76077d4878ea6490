"""A notebook that is open in a real kernel, for tests that type cells and look at what they show."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[2]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_TAG = re.compile(r"<[^>]+>")


class Answer(NamedTuple):
    """What a cell showed."""

    text: str  # streams, results and displays, as text
    html: str  # and as HTML
    error: str  # the traceback, as shown
    kinds: tuple[str, ...]  # media types of what was displayed
    next_input: str  # what the next cell is filled with
    pages: str  # what a pager shows
    messages: tuple[dict[str, Any], ...]

    @property
    def trace(self) -> str:
        """The traceback without colours."""
        return _COLOUR.sub("", self.error)

    @property
    def plain_html(self) -> str:
        """The HTML without its tags."""
        return _TAG.sub("", self.html)


class Session:
    """A notebook that is open in a kernel: what is typed lands on the page, and is run."""

    def __init__(self, folder: Path, *, page: bool = True, title: str = "session") -> None:
        """`page`: whether the kernel is told of the notebook's file."""
        (folder / ".nbflow").mkdir(exist_ok=True)
        self.folder = folder
        self.path = folder / f"{title}.ipynb"
        self.cells: list[Any] = []
        self._save()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "NBFLOW_HOME": str(folder / "home")}
        environment.pop("JPY_SESSION_NAME", None)
        if page:
            environment["JPY_SESSION_NAME"] = str(self.path)
        self.manager, self.client = start_new_kernel(kernel_name="python3", cwd=str(folder), env=environment)

    def cell(self, source: str, *, page: bool = True, tags: Sequence[str] = ()) -> Answer:
        """Type a cell and run it; with `page=False` it is run and not kept."""
        if not page:
            return self._run(source, None)
        made: Any = nbformat.v4.new_code_cell(source, id=f"cell-{len(self.cells)}")
        made["metadata"]["tags"] = list(tags)
        self.cells.append(made)
        self._save()
        return self._run(source, made["id"])

    def cells_of(self, *sources: str) -> None:
        """Type cells and run them; none may fail."""
        for source in sources:
            answer = self.cell(source)
            assert not answer.error, answer.trace

    def type(self, *sources: str) -> None:
        """Type cells without running them."""
        for source in sources:
            self.cells.append(nbformat.v4.new_code_cell(source, id=f"cell-{len(self.cells)}"))
        self._save()

    def flow(self, line: str, *, into: str = "") -> Answer:
        """Give `%flow` a line, in a cell that is not kept."""
        return self.cell(f"{into} = %flow {line}" if into else f"%flow {line}", page=False)

    def again(self, position: int) -> Answer:
        """Run a cell of the page once more, as it stands there."""
        return self._run(self.cells[position]["source"], self.cells[position]["id"])

    def edit(self, position: int, source: str) -> None:
        """Change a cell on the page without running it."""
        self.cells[position]["source"] = source
        self._save()

    def delete(self, position: int) -> None:
        """Take a cell off the page."""
        del self.cells[position]
        self._save()

    def clear(self) -> None:
        """Begin anew in the same kernel, where nbflow is loaded: an empty page, no variables, history or scratch."""
        self.cells.clear()
        self._save()
        self._run("%reset -f", None)
        self._run("%load_ext nbflow\nget_ipython()._nbflow_magics.history.executed.clear()", None)
        self._run("get_ipython()._nbflow_magics.flow._scratch = None", None)

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, as JSON tells it; leaves no variable there."""
        answer = self._run(f"print(__import__('json').dumps({expression}))", None)
        assert not answer.error, answer.error
        return json.loads(answer.text)

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _run(self, source: str, cell_id: str | None) -> Answer:
        asked = self._send(source, cell_id)
        told = self.messages_until(asked, _idle)
        reply = self._reply(asked)
        text, html, error, kinds = "", "", "", []
        for message in told:
            content = message["content"]
            data = content.get("data", {})
            text += content.get("text", "") + "".join(data.get("text/plain", ""))
            html += "".join(data.get("text/html", ""))
            kinds += data
            error += "\n".join(content.get("traceback", []))
        payload = reply["content"].get("payload", ())
        filled = "".join(part["text"] for part in payload if part["source"] == "set_next_input")
        pages = "".join(part["data"]["text/plain"] for part in payload if part["source"] == "page")
        return Answer(text, html, error, tuple(kinds), filled, pages, tuple(told))

    def begin(self, source: str) -> str:
        """Send a cell that is not kept, and do not wait for it; returns the id of the request."""
        return self._send(source, None)

    def messages_until(self, asked: str, condition: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """What a request shows until a message meets a condition."""
        told: list[dict[str, Any]] = []
        while not told or not condition(told[-1]):
            found = self.client.get_iopub_msg(timeout=60)
            if found["parent_header"].get("msg_id") == asked:
                told.append(found)
        return told

    def end(self, asked: str) -> str:
        """Wait for a request; returns the traceback that it showed."""
        told = self.messages_until(asked, _idle)
        self._reply(asked)
        return "".join("\n".join(message["content"].get("traceback", ())) for message in told)

    def _send(self, source: str, cell_id: str | None) -> str:
        """As JupyterLab does, with the id of the cell, for which the client has no argument."""
        client: Any = self.client
        content = {
            "code": source, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False,
            "stop_on_error": True,
        }  # fmt: skip
        message = client.session.msg("execute_request", content, metadata={"cellId": cell_id} if cell_id else {})
        client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def _reply(self, asked: str) -> Any:
        while True:
            reply: Any = self.client.get_shell_msg(timeout=60)
            if reply["parent_header"].get("msg_id") == asked:
                return reply

    def _save(self) -> None:
        nbformat.write(nbformat.v4.new_notebook(cells=self.cells), self.path)


def _idle(message: dict[str, Any]) -> bool:
    return bool(message["msg_type"] == "status" and message["content"]["execution_state"] == "idle")
