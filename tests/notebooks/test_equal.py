"""Realistic notebooks, run linearly by nbclient and as flows: outputs must be equal, cell by cell."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from nbflow.authoring.notebook import from_notebook
from nbflow.model.errors import NotebookError
from nbflow.views.outputs import written_over
from tests.notebooks.values import in_words, without_chance

pytestmark = pytest.mark.filterwarnings(  # as in a fresh kernel; the last one that fits counts
    "default",
    "ignore::DeprecationWarning",
    "ignore::PendingDeprecationWarning",
    "ignore::ImportWarning",
    "ignore::ResourceWarning",
    "default::DeprecationWarning:__main__",
)
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
Cells = list[list[Any]]  # for each cell: its number, and its outputs


def plain(output: Any) -> Any:
    content = json.loads(json.dumps(output))
    content.pop("metadata", None)
    content.pop("traceback", None)
    for kind, value in content.get("data", {}).items():
        content["data"][kind] = "png" if kind == "image/png" else without_chance(str(value))
    if "text" in content:
        content["text"] = without_chance(written_over(content["text"]))
    return content


def merged(found: list[Any]) -> list[Any]:
    """Pieces of one stream as one: where a kernel's messages are cut, and which stream comes first, is chance."""
    whole: list[Any] = []
    for output in _streams_apart(found):
        if (
            whole
            and output["output_type"] == "stream" == whole[-1]["output_type"]
            and output["name"] == whole[-1]["name"]
        ):
            whole[-1] = {**whole[-1], "text": whole[-1]["text"] + output["text"]}
        else:
            whole.append(output)
    return whole


def _streams_apart(found: list[Any]) -> list[Any]:
    ordered: list[Any] = []
    for output in found:
        place = len(ordered)
        while output["output_type"] == "stream" and place and ordered[place - 1]["output_type"] == "stream":
            if ordered[place - 1]["name"] <= output["name"]:
                break
            place -= 1
        ordered.insert(place, output)
    return ordered


def outputs(notebook: Any) -> Cells:
    return [
        [cell.execution_count, [plain(output) for output in merged(cell.outputs)]]
        for cell in notebook.cells
        if cell.cell_type == "code" and "skip" not in cell.metadata.get("tags", [])
    ]


@pytest.fixture(autouse=True)
def printed_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warnings go to standard error, as in a kernel; pytest would collect them."""

    def show(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
        print(warnings.formatwarning(message, category, filename, lineno, line), end="", file=file or sys.stderr)

    monkeypatch.setattr(warnings, "showwarning", show)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run of the tests see."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


def linear(path: Path, shared: Path) -> tuple[Cells, dict[str, str]]:
    """What nbclient makes of a notebook, once for all workers: the outputs, and the final values in words."""
    kept = shared / f"{path.stem}.linear"
    if not kept.exists():
        mine = shared / f"{path.stem}.{os.getpid()}"
        (mine / "work").mkdir(parents=True)
        told = _linear(path, mine / "work")
        (mine / "told").write_text(json.dumps(told))
        (mine / "told").replace(kept)
    shown, values = json.loads(kept.read_text())
    return shown, values


def _linear(path: Path, folder: Path) -> tuple[Cells, dict[str, str]]:
    notebook = nbformat.read(path, 4)
    notebook.cells = [cell for cell in notebook.cells if "skip" not in cell.metadata.get("tags", [])]
    notebook.cells.append(nbformat.v4.new_code_cell(_TELL_VALUES.format(root=str(ROOT))))
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    told = "".join(output.text for output in notebook.cells.pop().outputs if output.output_type == "stream")
    return outputs(notebook), json.loads(told)


_TELL_VALUES = """
import sys as _sys
_sys.path.insert(0, {root!r})
import json as _json
from tests.notebooks.values import in_words as _in_words
print(_json.dumps(_in_words(dict(globals()))))
"""


def check(path: Path, executor: str, folder: Path, shared: Path, db: str | None = None) -> None:
    book = from_notebook(path)
    work = folder / "work"  # of its own, since other notebooks write files there beside it
    work.mkdir()
    with contextlib.chdir(work):
        run = book.run(executor=executor, workers=2, db=db or f"sqlite:///{folder}/runs.db")
        book.save(run.logs(), folder / "executed.ipynb")
        kept = in_words(run.values)
    shown, values = linear(path, shared)
    for got, wanted in zip(outputs(nbformat.read(folder / "executed.ipynb", 4)), shown, strict=True):
        assert got == wanted
    assert kept == {name: value for name, value in values.items() if name in kept}
    with contextlib.chdir(work):
        for name in values.keys() - kept.keys():  # known to be there, and said why it is not kept
            with pytest.raises(NotebookError, match=name):
                run.values[name]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_flow_shows_and_leaves_what_the_notebook_does(
    path: Path, executor: str, tmp_path: Path, shared: Path
) -> None:
    check(path, executor, tmp_path, shared)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_order_of_ready_steps_does_not_matter(path: Path, shuffled: str, tmp_path: Path, shared: Path) -> None:
    check(path, shuffled, tmp_path, shared)
