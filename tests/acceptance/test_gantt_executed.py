"""A notebook with a Gantt chart that a program executes: nobody looks, so that only the picture is kept."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELL = """
import pandas as pd
from nbflow.views.gantt import gantt
start = pd.to_datetime(["2026-05-01 10:00:00", "2026-05-01 10:00:05"])
chart = gantt(pd.DataFrame({"task": ["a", "b"], "start": start, "end": start + pd.Timedelta(seconds=4)}))
chart
"""


def test_an_executed_notebook_keeps_the_picture_and_no_state_of_widgets(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert "widgets" not in notebook.metadata
    assert set(output["data"]) >= {"text/html", "image/svg+xml", "text/plain"}
    assert set(output["data"]) <= {"text/html", "image/svg+xml", "text/plain", "image/png"}
    assert "2 rows · 9.0 s" in output["data"]["text/plain"]
