"""Realistic notebooks, run linearly by nbclient and as flows: outputs must be equal, cell by cell."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from nbflow.authoring.notebook import from_notebook

pytestmark = pytest.mark.filterwarnings("default")  # as in a fresh kernel
NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
# Addresses, ids and times differ from run to run, and so does the name of the file that a warning comes from.
_VARIES = re.compile(
    r"0x[0-9a-f]+|sk-[a-z-]*id-\d+|\d+(\.\d+)?(e\+\d+)? (µs|μs|ms|us|ns|s)\b|\S*ipykernel\S+?\.py|<ipython-input\S+?>",
)


def plain(output: Any) -> Any:
    content = json.loads(json.dumps(output))
    content.pop("metadata", None)
    content.pop("traceback", None)
    for kind, value in content.get("data", {}).items():
        content["data"][kind] = "png" if kind == "image/png" else _VARIES.sub("~", str(value))
    if "text" in content:
        content["text"] = _VARIES.sub("~", content["text"])
    return content


def merged(found: list[Any]) -> list[Any]:
    """Pieces of one stream as one: where a kernel's messages are cut depends on the moment."""
    whole: list[Any] = []
    for output in found:
        if (
            whole
            and output["output_type"] == "stream" == whole[-1]["output_type"]
            and output["name"] == whole[-1]["name"]
        ):
            whole[-1] = {**whole[-1], "text": whole[-1]["text"] + output["text"]}
        else:
            whole.append(output)
    return whole


def outputs(notebook: Any) -> list[tuple[Any, list[Any]]]:
    return [
        (cell.execution_count, [plain(output) for output in merged(cell.outputs)])
        for cell in notebook.cells
        if cell.cell_type == "code" and "skip" not in cell.metadata.get("tags", [])
    ]


@cache
def linear(path: Path) -> list[tuple[Any, list[Any]]]:
    notebook = nbformat.read(path, 4)
    notebook.cells = [cell for cell in notebook.cells if "skip" not in cell.metadata.get("tags", [])]
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    return outputs(notebook)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_flow_shows_what_the_notebook_shows(path: Path, executor: str, tmp_path: Path) -> None:
    book = from_notebook(path)
    run = book.run(executor=executor, workers=2, db=f"sqlite:///{tmp_path}/runs.db")
    book.save(run.logs(), tmp_path / "executed.ipynb")
    for got, wanted in zip(outputs(nbformat.read(tmp_path / "executed.ipynb", 4)), linear(path), strict=True):
        assert got == wanted
