"""A notebook that is open in JupyterLab: cells are run by hand, its theme is changed, it is saved and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from tests.browser import lab

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


class OpenNotebook:
    """One notebook in one page."""

    def __init__(self, page: Any, url: str, path: Path, cells: Sequence[str]) -> None:
        """Write the notebook, and open it."""
        self.page = page
        self.path = path
        self._url = url
        self._next = 0
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        made.metadata["kernelspec"] = _KERNEL
        nbformat.write(made, path)
        self.open()
        page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=60_000,
        )
        self._command("application:toggle-left-area")

    def open(self) -> None:
        """Open the file anew."""
        self.page.goto(f"{self._url}/lab/tree/{self.path.name}?token={lab.TOKEN}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)

    def run_next(self) -> None:
        """Begin to run the first cell that was not begun yet. What a click made active does not matter."""
        script = "number => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = number }"
        self.page.evaluate(script, self._next)
        self._command("notebook:run-cell")
        self._next += 1

    def wait_for_runs(self, count: int) -> None:
        """Return when so many cells have run to their end."""
        self.page.wait_for_function(
            """count => {
                const cells = window.jupyterapp.shell.currentWidget.content.widgets;
                const counts = cells.filter(cell => cell.model.type === 'code').map(cell => cell.model.executionCount);
                return counts.filter(number => number !== null).length >= count;
            }""",
            arg=count,
            timeout=60_000,
        )

    @property
    def busy(self) -> bool:
        """Whether a cell runs. The kernel's status would be that of the subshell which spoke last."""
        return bool(self.page.locator(".jp-InputPrompt", has_text="[*]").count())

    def theme(self, *, dark: bool) -> None:
        """Change the theme of JupyterLab."""
        name = f"JupyterLab {'Dark' if dark else 'Light'}"
        self.page.evaluate("name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})", name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)

    def save(self) -> Any:
        """Save it; returns what the file holds."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
        return nbformat.read(self.path, as_version=4)

    def picture(self, folder: Path, name: str, of: str = ".nbflow-live") -> None:
        """Take pictures of what is shown, in the light and in the dark theme."""
        for dark in (False, True):
            self.theme(dark=dark)
            self.page.locator(of).first.scroll_into_view_if_needed()
            self.page.screenshot(path=str(folder / f"{name}-{'dark' if dark else 'light'}.png"))

    def _command(self, name: str) -> None:
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute('{name}') }}")
