"""Realistic notebooks, run linearly by nbclient and as flows: outputs must be equal, cell by cell."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from nbflow.authoring.cells.shell import INTERNAL
from nbflow.authoring.notebook import from_notebook
from nbflow.model.errors import NotebookError
from nbflow.views.outputs import written_over
from tests.cases.linear import is_data, is_opaque, shape

pytestmark = pytest.mark.filterwarnings("default")  # as in a fresh kernel
ROOT = Path(__file__).parents[2]
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
        content["text"] = _VARIES.sub("~", written_over(content["text"]))
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


def outputs(notebook: Any) -> list[tuple[Any, list[Any]]]:
    return [
        (cell.execution_count, [plain(output) for output in merged(cell.outputs)])
        for cell in notebook.cells
        if cell.cell_type == "code" and "skip" not in cell.metadata.get("tags", [])
    ]


@cache
def linear(path: Path) -> tuple[list[tuple[Any, list[Any]]], dict[str, str]]:
    """What nbclient makes of a notebook: the outputs, and the final values in words."""
    notebook = nbformat.read(path, 4)
    notebook.cells = [cell for cell in notebook.cells if "skip" not in cell.metadata.get("tags", [])]
    notebook.cells.append(nbformat.v4.new_code_cell(_TELL_VALUES.format(root=str(ROOT))))
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    told = "".join(output.text for output in notebook.cells.pop().outputs if output.output_type == "stream")
    return outputs(notebook), json.loads(told)


def in_words(values: Mapping[str, Any]) -> dict[str, str]:
    """Final values; those that cannot be told from others of their kind, or not kept, left out."""
    found = {}
    for name in values:
        try:
            value = values[name]
        except NotebookError:
            continue
        if is_data(name, value) and name not in INTERNAL and not is_opaque(shape(value)):
            found[name] = _VARIES.sub("~", repr(shape(value)))
    return found


_TELL_VALUES = """
import sys as _sys
_sys.path.insert(0, {root!r})
import json as _json
from tests.notebooks.test_equal import in_words as _in_words
print(_json.dumps(_in_words(dict(globals()))))
"""


def check(path: Path, executor: str, folder: Path) -> None:
    book = from_notebook(path)
    with contextlib.chdir(path.parent):  # as a kernel does it
        run = book.run(executor=executor, workers=2, db=f"sqlite:///{folder}/runs.db")
        book.save(run.logs(), folder / "executed.ipynb")
        kept = in_words(run.values)
    shown, values = linear(path)
    for got, wanted in zip(outputs(nbformat.read(folder / "executed.ipynb", 4)), shown, strict=True):
        assert got == wanted
    assert kept == {name: value for name, value in values.items() if name in kept}
    unkept = values.keys() - kept.keys()
    for name in unkept:  # known to be there, and said why it is not kept
        with pytest.raises(NotebookError, match=name):
            run.values[name]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_flow_shows_and_leaves_what_the_notebook_does(path: Path, executor: str, tmp_path: Path) -> None:
    check(path, executor, tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_order_of_ready_steps_does_not_matter(path: Path, shuffled: str, tmp_path: Path) -> None:
    check(path, shuffled, tmp_path)
