"""The outputs of a cell, collected from the messages that its step left, as a notebook's front end would do it."""

from __future__ import annotations

import json
from typing import Any

_STREAMS = {"stdout", "stderr"}


class CellOutputs:
    """The outputs of one cell, as a notebook's front end would collect them."""

    def __init__(self, number: int, displays: dict[str, list[dict[str, Any]]] | None = None) -> None:
        """`displays`: the outputs of other cells by display id, which this one may update."""
        self._number = number
        self._list: list[dict[str, Any]] = []
        self._clear_at_next = False
        self._by_display = displays if displays is not None else {}

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
                output["text"] = written_over(output["text"])
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


def written_over(text: str) -> str:
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
