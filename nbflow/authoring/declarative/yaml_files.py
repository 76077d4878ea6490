"""Flows in YAML files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from nbflow.authoring.declarative import yaml_text
from nbflow.authoring.declarative.model import Definition
from nbflow.authoring.declarative.pipeline import Pipeline
from nbflow.authoring.declarative.problems import Problems
from nbflow.authoring.declarative.reading import read
from nbflow.model.errors import CycleError, FlowNotFoundError

_REFERENCE = "nbflow.authoring.declarative.yaml_files:from_yaml@"
_READING: ContextVar[tuple[Path, ...]] = ContextVar("nbflow_yaml_files", default=())  # the files around this one


def from_yaml(path: str | Path) -> Pipeline:
    """Make a flow of a YAML file.

    Modules beside the file can be imported; the path of a sub-flow's file begins at its folder. Raises
    FlowNotFoundError if there is no such file, PipelineError, which lists every mistake with line and column, and
    CycleError.
    """
    file = _found(path)
    text = _text(file, str(path))
    definition = definition_of(text, str(path), file)
    return Pipeline.of(definition, reference=f"{_REFERENCE}{file}", source=text)


def check(path: str | Path, *, imports: bool = True) -> None:
    """Look for mistakes in a YAML file as `from_yaml` does. `imports`: whether functions are looked up.

    Raises what `from_yaml` raises.
    """
    file = _found(path)
    definition = definition_of(_text(file, str(path)), str(path), file, imports=imports)
    if imports:
        Pipeline.of(definition)  # options of steps that make no sense together


def definition_of(text: str, name: str, file: Path | None = None, *, imports: bool = True) -> Definition:
    """What a YAML text says; `name` is what messages call it, `file` where it lies."""
    problems = Problems(name)
    document = yaml_text.parse(text, problems)
    if document.data is None:
        problems.check()
    with _around(file):
        return read(document.data, name, document.place, known=problems, imports=imports)


def _found(path: str | Path) -> Path:
    around = _READING.get()
    file = Path(path)
    if around and not file.is_absolute():
        file = around[-1].parent / file
    file = file.resolve()
    if file in around:
        names = [each.name for each in (*around[around.index(file) :], file)]
        raise CycleError(f"flows contain one another: {' -> '.join(names)}.", cycle=names[:-1])
    if not file.is_file():
        raise FlowNotFoundError(f"There is no file {path}.")
    return file


def _text(file: Path, name: str) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems = Problems(name)
        problems.add((), f"byte {error.start} is no UTF-8: {error.reason}. Save the file as UTF-8.", "syntax")
        raise problems.error() from error
    except OSError as error:
        raise FlowNotFoundError(f"{name} cannot be read: {error.strerror}.") from error


@contextmanager
def _around(file: Path | None) -> Iterator[None]:
    """While a file is read, its folder is where modules and other files are looked for."""
    if file is None:
        yield
        return
    sys.path[:0] = [folder for folder in ("", str(file.parent)) if folder not in sys.path]
    token = _READING.set((*_READING.get(), file))
    try:
        yield
    finally:
        _READING.reset(token)
