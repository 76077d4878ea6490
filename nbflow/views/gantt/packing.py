"""Rows as bytes for the browser, with a head in JSON that says what they are; and pages that stand alone."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from nbflow.views.alive import script
from nbflow.views.gantt.rows import Rows
from nbflow.views.words import plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The program, in the order in which its parts need each other; and what begins it in a page that stands alone.
PROGRAM = tuple(
    f"gantt/{name}.js"
    for name in (
        "style", "tagged", "time", "rows", "tracks", "blocks", "paint", "hover", "theme", "picture", "pointer",
        "controls", "data", "chart",
    )
)  # fmt: skip
_ALONE = "gantt/alone.js"
MOST_TEXTS = 20_000  # rows up to which all that the hover tells is sent along
_MANY = 100_000  # rows beyond which each byte counts
_COARSEST = 1e-5  # seconds
_LONGEST = 400  # characters of an error


@dataclass(frozen=True, slots=True)
class Block:
    """Rows on their way to the browser."""

    head: dict[str, Any]
    bytes: bytes


def whole(rows: Rows, *, texts: bool = False) -> Block:
    """All rows. `texts`: with what the hover tells of each, however many there are."""
    wanted = texts or rows.count <= MOST_TEXTS
    names = {kind: {"from": 0, "texts": _clean(found.texts)} for kind, found in rows.lanes.items()}
    found = _texts(rows, slice(None)) if wanted else {}
    return _block(rows, None, {"whole": True, "names": names, "texts": found})


def changes(rows: Rows, numbers: NDArray[np.intp], known: Mapping[str, int]) -> Block:
    """Some rows. `known`: how many names of each kind of lanes the browser has."""
    names = {
        kind: {"from": known[kind], "texts": _clean(found.texts[known[kind] :])} for kind, found in rows.lanes.items()
    }
    return _block(rows, numbers, {"names": names, "texts": _texts(rows, numbers) if len(numbers) <= MOST_TEXTS else {}})


def details(rows: Rows, number: int) -> dict[str, str]:
    """What the hover tells of one row and is not sent along for many."""
    return {name: texts[0] for name, texts in _texts(rows, [number]).items()}


def page(block: Block, title: str) -> str:
    """A page that stands alone: program, style and data are in it."""
    packed = base64.b64encode(gzip.compress(block.bytes, 6, mtime=0)).decode("ascii")
    head = json.dumps(block.head, allow_nan=False).replace("<", "\\u003c")
    program = "\n".join(map(script, (*PROGRAM, _ALONE)))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(plain(title)) or 'Gantt chart'}</title>"
        "<style>:root{color-scheme:light dark}body{margin:16px;background:Canvas}</style></head><body>"
        '<div id="gantt"></div><noscript>This chart is drawn by JavaScript, which is turned off here.</noscript>'
        f'<script type="application/json" id="gantt-head">{head}</script>'
        f'<script type="text/plain" id="gantt-bytes">{packed}</script>'
        f'<script type="module">{program}</script></body></html>\n'
    )


def _block(rows: Rows, numbers: NDArray[np.intp] | None, head: dict[str, Any]) -> Block:
    columns: list[tuple[str, str, int, int]] = []
    pieces: list[bytes] = []
    offset = 0
    same: dict[str, int] = {}
    zero, tick = _ticks(rows, numbers)
    for name, kind, values in _columns(rows, numbers):
        if name == "at" and tick:
            kind, values = "u4", ((values - zero) / tick).round()
        elif len(values) and kind[0] == "u" and name != "ids" and bool((values == values[0]).all()):
            same[name] = int(values[0])
            continue
        data = values.astype(f"<{kind}", copy=False).tobytes()
        columns.append((name, kind, offset, len(values)))
        pieces += [data, b"\0" * (-len(data) % 8)]
        offset += len(data) + -len(data) % 8
    count = rows.count if numbers is None else len(numbers)
    told = {"whole": False, "count": count, "columns": columns, "same": same, "zero": zero, "tick": tick}
    return Block(told | head, b"".join(pieces))


def _ticks(rows: Rows, numbers: NDArray[np.intp] | None) -> tuple[float, float]:
    """From when and in which steps times are told as whole numbers, which are half as long; 0 if that is too coarse."""
    if numbers is not None or rows.count < _MANY:
        return 0.0, 0.0
    first, last = float(rows["at"].min()), float(rows["at"].max())
    tick = max(last - first, 1e-3) / (2**32 - 1)
    return (first, tick) if tick <= _COARSEST else (0.0, 0.0)


def _columns(rows: Rows, numbers: NDArray[np.intp] | None) -> Iterator[tuple[str, str, NDArray[Any]]]:
    def of(name: str) -> NDArray[Any]:
        return rows[name] if numbers is None else rows[name][numbers]

    if numbers is not None:
        yield "ids", "u4", numbers
    yield "at", "f8", of("at")
    yield "wait", "f4", of("wait")
    yield "run", "f4", of("run")
    yield "state", "u1", of("state")
    yield "endless", "u1", of("endless")
    attempts = of("attempt").clip(0, None)
    yield "attempt", _width(int(attempts.max(initial=0))), attempts
    for kind, names in rows.lanes.items():
        yield f"lane:{kind}", _width(len(names.texts) + 1), of(f"lane:{kind}") + 1


def _width(largest: int) -> str:
    return "u1" if largest < 2**8 else "u2" if largest < 2**16 else "u4"


def _texts(rows: Rows, numbers: Any) -> dict[str, list[str]]:
    """Keys of tasks and errors of some rows; only those that there are."""
    errors, tasks = rows.errors(numbers), rows.tasks(numbers)
    found = {"error": [plain(error[:_LONGEST]) for error in errors]} if any(errors) else {}
    return found | ({"task": _clean(tasks)} if any(tasks) else {})


def _clean(texts: Sequence[str]) -> list[str]:
    return [plain(text) if not text.isprintable() else text for text in texts]
