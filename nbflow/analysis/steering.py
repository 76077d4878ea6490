"""Which cells of a notebook run as part of its flow, and which ones only steer it from the kernel."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

# `%flow run`, `%%flow scratch`, `run = %flow run`
_STEERS = re.compile(r"^[ \t]*(?:(?P<names>[\w, \t]+?)[ \t]*=[ \t]*)?%{1,2}flow\b", re.MULTILINE)
_NOT_PYTHON = re.compile(r"^\s*[%!?].*$|=\s*[%!].*$", re.MULTILINE)


def cells_that_run(cells: Sequence[Mapping[str, Any]]) -> list[int]:
    """Positions of the cells that run, among all cells of a notebook's JSON.

    Left out are empty cells, those tagged `skip`, those with a line of `%flow`, which tells the kernel what to do with
    the flow, and those that use what such a line returned.
    """
    found = [position for position, cell in enumerate(cells) if _is_code(cell)]
    steering = [position for position in found if _STEERS.search(source_of(cells[position]))]
    if not steering:
        return found
    returned: set[str] = set()
    for position in steering:
        for match in _STEERS.finditer(source_of(cells[position])):
            returned.update(re.findall(r"\w+", match["names"] or ""))
    names = {position: _names(source_of(cells[position])) for position in found if position not in steering}
    for _, stored in names.values():
        returned -= stored
    return [position for position, (loaded, _) in names.items() if not loaded & returned]


def source_of(cell: Mapping[str, Any]) -> str:
    """The source of a cell, which Jupyter may store as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def _is_code(cell: Mapping[str, Any]) -> bool:
    tags = cell.get("metadata", {}).get("tags", ())
    return cell.get("cell_type") == "code" and bool(source_of(cell).strip()) and "skip" not in tags


def _names(source: str) -> tuple[set[str], set[str]]:
    """Names that a cell's Python loads, and that it stores."""
    try:
        tree = ast.parse(_NOT_PYTHON.sub("pass", source))
    except SyntaxError:
        return set(), set()
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return loaded, {node.id for node in names if isinstance(node.ctx, ast.Store)}
