"""What is wrong with a declared flow: every mistake at once, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbflow.model.errors import DefinitionError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where something stands in a file."""

    line: int  # from 1
    column: int  # from 1


@dataclass(frozen=True)
class Problem:
    """One mistake."""

    message: str  # says the way out too
    path: Path = ()  # keys that lead to it: ("steps", "clean", "depends_on")
    place: Place | None = None  # None: it was not read from a file
    kind: str = "definition"  # "syntax", "definition" or "cycle"

    def told(self, file: str) -> str:
        """The mistake in one line, led by file:line:column where that is known, else by the path."""
        if self.place is not None:
            return f"{file}:{self.place.line}:{self.place.column}: {self.message}"
        where = ".".join(map(str, self.path))
        return f"{file}: {where}: {self.message}" if where else f"{file}: {self.message}"

    def as_dict(self, file: str) -> dict[str, Any]:
        """For scripts."""
        line, column = (self.place.line, self.place.column) if self.place is not None else (None, None)
        path = ".".join(map(str, self.path))
        return {"file": file, "line": line, "column": column, "path": path, "message": self.message}


class PipelineError(DefinitionError):
    """A declared flow has mistakes; `problems` lists them all, in the order of the file."""

    def __init__(self, message: str, problems: Sequence[Problem] = (), file: str = "") -> None:
        super().__init__(message, problems=tuple(problems), file=file)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.details["problems"], self.details["file"])


class Problems:
    """Mistakes as they are found."""

    def __init__(self, file: str, place: Callable[[Path], Place | None] = lambda path: None) -> None:
        """`file`: what the flow is called in messages. `place`: where a path of keys stands in it."""
        self.file = file
        self.found: list[Problem] = []
        self.spoilt: set[Path] = set()  # where something could not be read, so that nothing more is said of it
        self._place = place

    def add(self, path: Path, message: str, kind: str = "definition") -> None:
        """Note a mistake, once."""
        if path in self.spoilt and kind != "syntax":
            return
        problem = Problem(message, path, self._place(path), kind)
        if problem not in self.found:
            self.found.append(problem)

    def located(self, place: Callable[[Path], Place | None]) -> None:
        """From now on mistakes have the places that this gives."""
        self._place = place

    def check(self) -> None:
        """Raise PipelineError if there is any mistake."""
        if self.found:
            raise self.error()

    def error(self) -> PipelineError:
        """All of them as one error."""
        self.found.sort(key=_order)
        lines = [problem.told(self.file) for problem in self.found]
        if len(lines) == 1:
            return PipelineError(lines[0], self.found, self.file)
        return PipelineError(f"{len(lines)} mistakes:\n" + "\n".join(lines), self.found, self.file)


def _order(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place is not None else (0, 0)


def hint(name: str, known: Iterable[str], what: str = "It has") -> str:
    """A sentence that leads from a misspelt name to what there is."""
    names = [str(each) for each in known]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"{what}: {', '.join(names)}." if names else ""
