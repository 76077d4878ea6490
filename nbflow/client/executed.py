"""The executed notebook: a notebook's cells with the outputs that its steps left in their logs."""

from __future__ import annotations

import copy
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbflow.model.records import LogRecord

_STREAMS = {"stdout", "stderr"}


def executed_notebook(content: Mapping[str, Any], logs_by_step: Mapping[str, Sequence[LogRecord]]) -> Any:
    """The notebook with every output in place, as a NotebookNode. `content` is its JSON; logs are by task."""
    import nbformat

    result = copy.deepcopy(dict(content))
    runs = _runs_of_cells(logs_by_step.values())
    number = 0
    for cell in result["cells"]:
        if cell.get("cell_type") != "code":
            continue
        cell["outputs"], cell["execution_count"] = [], None
        if not cell["source"].strip() or "skip" in cell.get("metadata", {}).get("tags", ()):
            continue
        number += 1
        if number in runs:
            _fill(cell, number, runs[number])
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


def _fill(cell: dict[str, Any], number: int, records: Sequence[LogRecord]) -> None:
    outputs = _Outputs(number)
    started, finished = json.loads(records[0].text).get("started"), None
    for record in records[1:]:
        if record.stream == "cell_end":
            finished = json.loads(record.text)["finished"]
        else:
            outputs.add(record.stream, record.text)
    cell["execution_count"] = number
    cell["outputs"] = outputs.finished()
    failed = any(output["output_type"] == "error" for output in cell["outputs"])
    timing = {"started": started, "finished": finished, "status": "failed" if failed else "succeeded"}
    cell.setdefault("metadata", {})["nbflow"] = {**cell.get("metadata", {}).get("nbflow", {}), **timing}


class _Outputs:
    """The outputs of one cell, as a notebook's front end would collect them."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._list: list[dict[str, Any]] = []
        self._clear_at_next = False
        self._by_display: dict[str, list[dict[str, Any]]] = {}

    def add(self, stream: str, text: str) -> None:
        """Take one message."""
        if stream == "clear":
            if json.loads(text)["wait"]:
                self._clear_at_next = True
            else:
                self._list.clear()
            return
        if self._clear_at_next:
            self._list.clear()
            self._clear_at_next = False
        if stream in _STREAMS:
            self._stream(stream, text)
        elif stream == "display":
            self._display(json.loads(text))
        elif stream == "result":
            message = json.loads(text)
            self._list.append({"output_type": "execute_result", "execution_count": self._number, **message})
        elif stream == "error":
            self._list.append({"output_type": "error", **json.loads(text)})

    def finished(self) -> list[dict[str, Any]]:
        """The outputs, with lines that were written over gone."""
        for output in self._list:
            if output["output_type"] == "stream":
                output["text"] = _written_over(output["text"])
        return self._list

    def _stream(self, name: str, text: str) -> None:
        if not text:
            return
        last = self._list[-1] if self._list else None
        if last is not None and last["output_type"] == "stream" and last["name"] == name:
            last["text"] += text
        else:
            self._list.append({"output_type": "stream", "name": name, "text": text})

    def _display(self, message: dict[str, Any]) -> None:
        content = {"data": message["data"], "metadata": message["metadata"]}
        identity = message.get("transient", {}).get("display_id")
        if message.get("update"):
            for shown in self._by_display.get(identity, ()):
                shown.update(content)
            return
        output = {"output_type": "display_data", **content}
        self._list.append(output)
        if identity is not None:
            self._by_display.setdefault(identity, []).append(output)


def _written_over(text: str) -> str:
    """What remains of lines in which a carriage return went back to the start."""
    if "\r" not in text.replace("\r\n", ""):
        return text
    return "\n".join(_one_line(line) for line in text.split("\n"))


def _one_line(line: str) -> str:
    end = "\r" if line.endswith("\r") else ""  # the end of a line, as a terminal writes it
    shown = ""
    for part in line.removesuffix("\r").split("\r"):
        shown = part + shown[len(part) :]
    return shown + end


def _with_ids(content: dict[str, Any]) -> dict[str, Any]:
    if content.get("nbformat_minor", 0) >= 5:
        for position, cell in enumerate(content["cells"]):
            cell.setdefault("id", f"cell-{position}")
    return content
