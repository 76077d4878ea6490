"""What a command is given to run: a notebook, module:flow or file.py:flow, and its parameters as texts."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbflow.model.errors import FlowNotFoundError, ParameterError

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def find(target: str) -> Any:
    """The flow that TARGET names. Raises FlowNotFoundError or NotebookError."""
    if target.endswith(".ipynb"):
        from nbflow.authoring.notebook import from_notebook

        return from_notebook(target)
    place, _, name = target.rpartition(":")
    if not place:
        raise FlowNotFoundError(
            f"{target!r} is not something to run: name a notebook (analysis.ipynb), module:flow or file.py:flow."
        )
    module = _load_file(Path(place)) if place.endswith(".py") else _import(place)
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    from nbflow.authoring.flow import Flow

    if not isinstance(found, Flow):
        flows = sorted(key for key, value in vars(module).items() if isinstance(value, Flow))
        known = f" It has: {', '.join(flows)}." if flows else " It has no flows: decorate a function with @flow."
        raise FlowNotFoundError(f"{place} has no flow {name!r}.{known}")
    return found


def _import(name: str) -> Any:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FlowNotFoundError(f"module {name!r} cannot be imported: {error}.") from error


def _load_file(path: Path) -> Any:
    """Import a file under its own name, so that its functions can be imported by other processes too."""
    if not path.exists():
        raise FlowNotFoundError(f"There is no file {path}.")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return _import(path.stem)


def parameters(flow: Any, given: Sequence[str]) -> dict[str, Any]:
    """The values of `-p NAME=VALUE` texts, in the types that the flow declares. Raises ParameterError."""
    texts: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"-p takes NAME=VALUE, not {text!r}.")
        texts[name.strip()] = value
    if hasattr(flow, "parameters_from_texts"):
        return dict(flow.parameters_from_texts(texts))
    known = {parameter.name: parameter for parameter in flow.spec.parameters}
    for name in texts:
        if name not in known:
            raise ParameterError(
                f"flow {flow.spec.name!r} has no parameter {name!r}. It has: {', '.join(known) or 'none'}."
            )
    missing = [name for name, parameter in known.items() if parameter.required and name not in texts]
    if missing:
        raise ParameterError(f"flow {flow.spec.name!r} needs {', '.join(missing)}: give -p {missing[0]}=VALUE.")
    hints = _hints(flow.spec.function)
    return {name: _convert(name, text, hints.get(name), known[name].default) for name, text in texts.items()}


def _hints(function: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # annotations may name what is only imported for type checkers
        return {}


def _convert(name: str, text: str, hint: Any, default: Any) -> Any:
    kind = _plain_type(hint) or (type(default) if default is not None else None)
    try:
        if kind is bool:
            return _truth(text)
        if kind in (int, float, str):
            return kind(text)
        if kind in (list, dict, tuple, set):
            value = _literal(text)
            if not isinstance(value, (list, dict, tuple, set)):
                raise ValueError(f"not a {kind.__name__}")
            return kind(value)
    except ValueError as error:
        wanted = getattr(kind, "__name__", "value")
        raise ParameterError(f"parameter {name!r} takes a {wanted}, which {text!r} is not: {error}.") from error
    return _literal(text)


def _plain_type(hint: Any) -> Any:
    origin = typing.get_origin(hint) or hint
    if isinstance(origin, type):
        return origin
    inner = [part for part in typing.get_args(hint) if part is not type(None)]
    return _plain_type(inner[0]) if len(inner) == 1 else None


def _truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("write true or false")


def _literal(text: str) -> Any:
    """JSON or a Python literal; a text that is neither is itself."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    return text
