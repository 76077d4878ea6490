"""The executed notebook: a notebook's cells with the outputs that its steps left in their logs."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbflow.analysis.steering import cells_that_run
from nbflow.model.records import LogRecord
from nbflow.views.outputs import CellOutputs

LONGEST = 1_000_000  # characters that a cell's stream may have in an executed notebook
LARGEST = 50_000_000  # and a picture or another rich output


def executed_notebook(content: Mapping[str, Any], logs_by_step: Mapping[str, Sequence[LogRecord]]) -> Any:
    """The notebook with every output in place, as a NotebookNode. `content` is its JSON; logs are by task."""
    import nbformat

    result = copy.deepcopy(dict(content))
    runs = _runs_of_cells(logs_by_step.values())
    for cell in result["cells"]:
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    displays: dict[str, list[dict[str, Any]]] = {}
    for number, position in enumerate(cells_that_run(result["cells"]), start=1):
        if number in runs:
            _fill(result["cells"][position], number, runs[number], displays)
    return nbformat.from_dict(_with_ids(result))  # type: ignore[no-untyped-call]


def write_notebook(node: Any, path: str | Path) -> None:
    """Write a notebook at once: readers never see half of it."""
    import nbformat

    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        nbformat.write(node, file)  # type: ignore[no-untyped-call]
    os.chmod(name, 0o644)
    os.replace(name, target)


def _runs_of_cells(tasks: Iterable[Sequence[LogRecord]]) -> dict[int, list[LogRecord]]:
    """For each cell, what its latest execution left."""
    found: dict[int, list[LogRecord]] = {}
    for records in tasks:
        current: list[LogRecord] | None = None
        for record in sorted(records, key=lambda item: (item.attempt, item.number)):
            if record.stream == "cell":
                number = json.loads(record.text)["number"]
                earlier = found.get(number)
                current = [record]
                if earlier is None or earlier[0].time <= record.time:
                    found[number] = current
            elif current is not None:
                current.append(record)
    return found


def _fill(
    cell: dict[str, Any], number: int, records: Sequence[LogRecord], displays: dict[str, list[dict[str, Any]]]
) -> None:
    outputs = CellOutputs(number, displays)
    started, finished = json.loads(records[0].text).get("started"), None
    for record in records[1:]:
        if record.stream == "cell_end":
            finished = json.loads(record.text)["finished"]
        else:
            outputs.add(record.stream, record.text)
    cell["execution_count"] = number
    cell["outputs"] = [_shortened(output, records[0].run) for output in outputs.finished()]
    failed = any(output["output_type"] == "error" for output in cell["outputs"])
    timing = {"started": started, "finished": finished, "status": "failed" if failed else "succeeded"}
    cell.setdefault("metadata", {})["nbflow"] = {**cell.get("metadata", {}).get("nbflow", {}), **timing}


def _shortened(output: dict[str, Any], run: str) -> dict[str, Any]:
    """An output as it goes into a file that people open: what is huge is cut, and stays whole in the store."""
    if output["output_type"] == "stream" and len(output["text"]) > LONGEST:
        text, kept = output["text"], LONGEST // 2
        left_out = len(text) - 2 * kept
        note = f"\n[... {left_out:,} characters are left out here; the whole: nbflow logs {run} ...]\n"
        return {**output, "text": text[:kept] + note + text[-kept:]}
    data = output.get("data", {})
    large = {kind: len(part) for kind, part in data.items() if isinstance(part, str) and len(part) > LARGEST}
    if large:
        note = (
            f"[{', '.join(large)} of {sum(large.values()):,} characters left out; the whole: nbflow logs {run} --json]"
        )
        return {**output, "data": {**{kind: data[kind] for kind in data if kind not in large}, "text/plain": note}}
    return output


def _with_ids(content: dict[str, Any]) -> dict[str, Any]:
    if content.get("nbformat_minor", 0) >= 5:
        taken = {cell.get("id") for cell in content["cells"]}
        for position, cell in enumerate(content["cells"]):
            if "id" not in cell:
                names = (f"cell-{position}{suffix}" for suffix in ("", *map("-{}".format, range(1, len(taken) + 2))))
                cell["id"] = next(name for name in names if name not in taken)
                taken.add(cell["id"])
    return content
