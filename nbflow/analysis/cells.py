"""A notebook file as a list of cells that can be analysed."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbflow.analysis.options import StepOptions, options_of_cell
from nbflow.analysis.secrets import TAGS, overridden, secrets_of
from nbflow.analysis.steering import cells_that_run, source_of
from nbflow.model.errors import CellSyntaxError, NotANotebookError

_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One code cell that runs."""

    number: int  # its execution count in a fresh kernel, from 1
    index: int  # its position among all cells of the notebook, from 0
    source: str  # as Python runs it: without the %%step line
    code: str  # the same, with magics and `!` lines turned into calls
    tree: ast.Module = field(compare=False)
    options: StepOptions
    heading: str | None  # the nearest heading above
    parameters: bool = False  # tagged `parameters`
    may_fail: bool = False  # tagged `raises-exception`: an error in it ends nothing
    secrets: tuple[tuple[str, tuple[str, ...]], ...] = ()  # parameters that it sets to secrets, and names of these


@dataclass(frozen=True, slots=True)
class Notebook:
    """A notebook as read from its file."""

    path: str
    content: dict[str, Any]  # the JSON, in format 4
    cells: tuple[Cell, ...]


def read_notebook(path: str | Path) -> Notebook:
    """Read a notebook; raises `NotANotebookError` or `CellSyntaxError`."""
    return from_content(_load(Path(path)), str(path))


def from_content(content: dict[str, Any], path: str) -> Notebook:
    """A notebook from its JSON, as `Notebook.content` holds it."""
    cells: list[Cell] = []
    heading: str | None = None
    running = set(cells_that_run(content["cells"]))
    for index, raw in enumerate(content["cells"]):
        source = source_of(raw)
        if raw.get("cell_type") == "markdown":
            found = _HEADING.findall(source)
            heading = found[-1] if found else heading
        if index not in running:
            continue
        tags = tuple(raw.get("metadata", {}).get("tags", ()))
        options, source = options_of_cell(source, raw.get("metadata", {}), len(cells) + 1)
        code, tree = transform(source, len(cells) + 1)
        number = len(cells) + 1
        may_fail = "raises-exception" in tags
        if "injected-parameters" in tags:
            cells = [replace(cell, secrets=overridden(cell.secrets, tree)) if cell.secrets else cell for cell in cells]
        secrets = secrets_of(tree) if not TAGS.isdisjoint(tags) else ()
        parameters = "parameters" in tags
        cells.append(Cell(number, index, source, code, tree, options, heading, parameters, may_fail, secrets))
    return Notebook(path, content, tuple(cells))


def with_injected(content: dict[str, Any], source: str) -> dict[str, Any]:
    """The notebook's JSON with a cell after its `parameters` cell, as papermill puts it there."""
    cells = []
    for cell in content["cells"]:
        tags = cell.get("metadata", {}).get("tags", ())
        if "injected-parameters" in tags:
            continue
        cells.append(cell)
        if cell.get("cell_type") == "code" and "parameters" in tags:
            metadata = {"tags": ["injected-parameters"]}
            cells.append(
                {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": None}
            )
    return {**content, "cells": cells}


def transform(source: str, number: int) -> tuple[str, ast.Module]:
    """Turn IPython's syntax into Python's, and parse it."""
    from IPython.core.inputtransformer2 import TransformerManager

    code = source
    try:
        code = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
        tree = ast.parse(code)
        for statement in tree.body:  # one by one, as IPython compiles them
            module = ast.Module(body=[statement], type_ignores=[])
            compile(module, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return code, tree
    except SyntaxError as error:
        lines = code.splitlines()
        line = error.lineno or 1
        shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        raise CellSyntaxError(
            f"cell {number}, line {line} is not valid Python: {error.msg}\n    {shown}\n"
            "Correct the cell and run again.",
            cell=number,
            line=line,
        ) from error


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = "there is no such file" if not path.exists() else (error.strerror or str(error))
        raise NotANotebookError(f"{path} cannot be read: {reason}. Check the path.", path=str(path)) from error
    except ValueError as error:
        raise NotANotebookError(
            f"{path} is not a Jupyter notebook: its content is not JSON. Save it from Jupyter as .ipynb.",
            path=str(path),
        ) from error
    _check(content, path)
    return _plain(content)


def _check(content: Any, path: Path) -> None:
    version = content.get("nbformat") if isinstance(content, dict) else None
    if not isinstance(version, int):
        problem = "the JSON has no notebook format in it. Save it from Jupyter as .ipynb."
    elif version < 4:
        problem = f"it is in format {version}. Convert it: jupyter nbconvert --to notebook --nbformat 4 {path}"
    elif version > 4:
        problem = f"it is in format {version}, which is newer than this nbflow knows. Upgrade nbflow."
    elif not isinstance(content.get("cells"), list):
        problem = "it has no list of cells. Save it again from Jupyter."
    else:
        language = _language(content)
        if language.lower() in {"python", "ipython", "python3"}:
            return
        problem = f"its language is {language}; nbflow runs Python only. Choose a Python kernel and save it."
    raise NotANotebookError(f"{path} cannot be run as a flow: {problem}", path=str(path))


def _language(content: Mapping[str, Any]) -> str:
    metadata = content.get("metadata", {})
    language = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    return str(language or "python")


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    # Jupyter stores a source as a list of lines; one text is easier on everyone above.
    for cell in content["cells"]:
        cell["source"] = source_of(cell)
    return content
