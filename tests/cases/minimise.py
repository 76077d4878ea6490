"""A smaller notebook that fails in the same way, ready to be pasted into a test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence


def minimised(cells: Sequence[str], fails: Callable[[list[str]], bool]) -> list[str]:
    """Fewer cells and lines that still fail."""
    best = list(cells)
    shrunk = True
    while shrunk:
        shrunk = False
        for smaller in _smaller(best):
            if fails(smaller):
                best, shrunk = smaller, True
                break
    return best


def kind_of(difference: str) -> str:
    """What a difference is about, without names and values, so that minimising stays with one defect."""
    found = re.findall(r"failed: |prints|ends as|leaves|(?<=, ')\w+(?='\))|None as", difference)
    return " ".join(found)


def _smaller(cells: list[str]) -> Iterable[list[str]]:
    for number in range(len(cells)):
        yield cells[:number] + cells[number + 1 :]
    for number in range(len(cells) - 1):
        yield [*cells[:number], f"{cells[number]}\n{cells[number + 1]}", *cells[number + 2 :]]
    for number, cell in enumerate(cells):
        lines = cell.split("\n")
        for line in range(len(lines)) if len(lines) > 1 else ():
            if lines[line].strip() == "break":  # it may be all that ends a loop
                continue
            shorter = "\n".join(lines[:line] + lines[line + 1 :])
            if _is_python(shorter):
                yield [*cells[:number], shorter, *cells[number + 1 :]]
        for item in re.findall(r"(?<=[(,]) ?[^(),]+,|,[^(),]+(?=\))", cell) if "print(" in cell else ():
            shorter = cell.replace(item, "", 1)
            if _is_python(shorter):
                yield [*cells[:number], shorter, *cells[number + 1 :]]


def _is_python(source: str) -> bool:
    try:
        compile(source, "<cell>", "exec")
    except SyntaxError:
        return False
    return bool(source.strip())


def shown(cells: Sequence[str]) -> str:
    """Cells as text to paste into a test."""
    return "[\n" + "".join(f"    {cell!r},\n" for cell in cells) + "]"
