"""What cells showed, in a form in which two executions can be compared: texts, without counts and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbflow.client.executed import executed_notebook
from nbflow.model.records import LogRecord

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}")
# Without pictures, whose pixels differ with each version of a library; figures that a name holds are compared anyway.
_TEXTS = ("text/plain", "text/markdown", "text/latex", "text/html")


def shown(content: Mapping[str, Any], task: str, logs: Sequence[LogRecord]) -> list[list[dict[str, str]]]:
    """For each cell of a step its outputs; `content` is the notebook that ran, `task` the key of the step's task."""
    executed = executed_notebook(content, {task: logs})
    return [
        of_cell(cell["outputs"])
        for cell in executed["cells"]
        if cell["cell_type"] == "code" and cell["execution_count"] is not None
    ]


def of_cell(outputs: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The outputs of a cell, in nbformat's form: each as {kind: text}."""
    return [_output(output) for output in outputs]


def _output(output: Mapping[str, Any]) -> dict[str, str]:
    if output["output_type"] == "stream":
        return {output["name"]: _plain(output["text"])}
    data = output.get("data", {})
    kind = next((kind for kind in _TEXTS if kind in data), None)
    return {output["output_type"]: _plain(data[kind]) if kind is not None else ", ".join(sorted(data))}


def _plain(text: Any) -> str:
    return _ADDRESS.sub("0x…", text if isinstance(text, str) else "".join(text))
