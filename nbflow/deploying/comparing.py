"""What a notebook showed when it was saved, beside what it shows in a clean process: cell by cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.analysis.steering import cells_that_run, source_of
from nbflow.authoring.replay.shown import of_cell

SAME, DIFFERENT, FAILED, UNRECORDED, IGNORED = "same", "different", "failed", "unrecorded", "ignored"
BLOCKING = (DIFFERENT, FAILED)

_RTOL = 1e-6
_LONGEST = 300  # characters of an output in a report
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
# nbval's marks, so that one mark serves both.
_TAGS = frozenset({"nbval-ignore-output", "nbval-skip", "raises-exception"})
_COMMENT = re.compile(r"^\s*#\s*NBVAL_(IGNORE_OUTPUT|SKIP)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of one cell, or of one step of a flow."""

    name: str  # of the step: "cell 3", "train#1"
    state: str  # same, different, failed, unrecorded (nothing to compare with) or ignored (as it is marked)
    expected: str = ""  # what was recorded, shortened
    found: str = ""  # what it is now

    def text(self) -> str:
        """What is wrong, in lines; "" if nothing is."""
        if self.state == FAILED:
            return f"{self.name} fails: {self.found}"
        if self.state != DIFFERENT:
            return ""
        return f"{self.name} shows something else:\n  recorded: {self.expected}\n  now:      {self.found}"


def compare_notebooks(recorded: Mapping[str, Any], executed: Mapping[str, Any]) -> list[Compared]:
    """Compare the outputs of two executions of the same cells; the first is what is expected.

    Texts are compared, with numbers to six digits and addresses left out; pictures by whether there is one. What goes
    to standard error is not compared: it is progress and warnings. A cell that nbval is told to ignore is not, either.
    """
    positions = cells_that_run(recorded["cells"])
    names = {position: f"cell {number}" for number, position in enumerate(positions, start=1)}
    ever = any(recorded["cells"][position].get("execution_count") is not None for position in positions)
    return [
        _compare_cell(names[position], recorded["cells"][position], executed["cells"][position], ever=ever)
        for position in positions
    ]


def _compare_cell(name: str, recorded: Mapping[str, Any], executed: Mapping[str, Any], *, ever: bool) -> Compared:
    failure = next((each for each in executed.get("outputs", ()) if each["output_type"] == "error"), None)
    may_fail = "raises-exception" in recorded.get("metadata", {}).get("tags", ())
    if failure is not None and not may_fail:
        return Compared(name, FAILED, found=f"{failure['ename']}: {failure['evalue']}"[:_LONGEST])
    if not ever:
        return Compared(name, UNRECORDED)
    if _is_ignored(recorded):
        return Compared(name, IGNORED)
    before, now = _shown(recorded), _shown(executed)
    if len(before) == len(now) and all(_same(*pair) for pair in zip(before, now, strict=True)):
        return Compared(name, SAME)
    return Compared(name, DIFFERENT, _short(before), _short(now))


def _is_ignored(cell: Mapping[str, Any]) -> bool:
    tags = frozenset(cell.get("metadata", {}).get("tags", ()))
    return bool(tags & _TAGS) or _COMMENT.search(source_of(dict(cell))) is not None


def _shown(cell: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, text) of each output, neighbouring ones of a stream as one."""
    found: list[tuple[str, str]] = []
    for output in of_cell(cell.get("outputs", ())):
        for kind, text in output.items():
            if kind == "stderr":
                continue
            if found and found[-1][0] == kind == "stdout":
                text = found.pop()[1] + text
            found.append((kind, text))
    return [(kind, text.strip()) for kind, text in found]


def _same(before: tuple[str, str], now: tuple[str, str]) -> bool:
    if before == now:
        return True
    if before[0] != now[0] or _NUMBER.sub("#", before[1]).split() != _NUMBER.sub("#", now[1]).split():
        return False
    pairs = zip(_NUMBER.findall(before[1]), _NUMBER.findall(now[1]), strict=True)
    return all(_same_number(one, other) for one, other in pairs)


def _same_number(one: str, other: str) -> bool:
    if one == other:
        return True
    if one.lstrip("+-").isdigit() and other.lstrip("+-").isdigit():
        return False  # counts are exact
    return math.isclose(float(one), float(other), rel_tol=_RTOL, abs_tol=1e-9)


def _short(shown: Sequence[tuple[str, str]]) -> str:
    text = " | ".join(text for _, text in shown) or "nothing"
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
