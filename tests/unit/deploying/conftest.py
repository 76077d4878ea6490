"""A project folder that notebooks and modules are written into."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest


class Desk:
    """The folder that a test works in."""

    def __init__(self, folder):
        self.folder = folder

    def module(self, name, text):
        """Write a module; it is imported anew."""
        path = self.folder / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for known in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
            del sys.modules[known]
        return path

    def notebook(self, *cells, name="analysis.ipynb", parameters=None):
        """Write a notebook. A cell is its source, or a pair of source and the text that it showed when it was saved."""
        node = nbformat.v4.new_notebook()
        if parameters is not None:
            node.cells.append(nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
        for number, cell in enumerate(cells, start=1):
            source, shown = cell if isinstance(cell, tuple) else (cell, None)
            made = nbformat.v4.new_code_cell(source, id=f"c{number}")
            if shown is not None:
                made.execution_count = number
                made.outputs = [nbformat.v4.new_output("stream", name="stdout", text=shown)] if shown else []
            node.cells.append(made)
        path = self.folder / name
        nbformat.write(node, path)
        return str(path)


@pytest.fixture
def desk(monkeypatch):
    """The test's own project folder, from which modules are imported."""
    monkeypatch.syspath_prepend("")
    return Desk(Path.cwd())
