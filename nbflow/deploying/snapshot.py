"""What a version is made of: the notebook or function, and the user's modules that it imports."""

from __future__ import annotations

import ast
import inspect
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import xxhash

from nbflow.authoring.declarative.pipeline import Pipeline
from nbflow.authoring.notebook import NotebookFlow
from nbflow.values import imports
from nbflow.values.origin import is_installed, spec_of
from nbflow.values.source import names_of

if TYPE_CHECKING:
    from nbflow.authoring.flow import Flow

_FOLDER = "versions"  # in nbflow's home
_MAIN = "__main__"


def take(flow: Flow[..., Any]) -> dict[str, bytes]:
    """The files of a flow: {path: content}, modules by the path that they are imported by, its own source first."""
    if isinstance(flow, NotebookFlow):
        own = {Path(flow.notebook.path).name: notebook_text(flow.notebook.content).encode()}
        names = set().union(*(imports.imported(cell.tree) for cell in flow.notebook.cells))
    elif isinstance(flow, Pipeline):
        own = {f"{flow.spec.name}.yaml": (flow.source or flow.to_yaml()).encode()}
        names = _targets(flow) | (_loaded() if _MAIN in _targets(flow) else set())
    elif flow.spec.function.__module__ == _MAIN:
        own = {f"{flow.spec.name}.py": _texts(flow).encode()}
        names = _loaded()
    else:
        own, names = {}, {flow.spec.function.__module__}
    return own | {file.place: Path(file.path).read_bytes() for file in imports.project_files(names)}


def notebook_text(content: Mapping[str, Any]) -> str:
    """A notebook as it is kept: without outputs and counts, which say nothing of what it does."""
    cells = []
    for cell in content["cells"]:
        kept = {
            name: value for name, value in cell.items() if name not in ("outputs", "execution_count", "attachments")
        }
        if cell.get("cell_type") == "code":
            kept |= {"outputs": [], "execution_count": None}
        kept["metadata"] = {name: value for name, value in cell.get("metadata", {}).items() if name != "nbflow"}
        cells.append(kept)
    metadata = {name: value for name, value in content.get("metadata", {}).items() if name != "widgets"}
    return json.dumps({**content, "metadata": metadata, "cells": cells}, indent=1, sort_keys=True, ensure_ascii=False)


def modules_of(files: Mapping[str, bytes], flow: Flow[..., Any]) -> list[str]:
    """Those of a snapshot's files that are modules with code beside the flow's own."""
    if isinstance(flow, (NotebookFlow, Pipeline)) or _is_of_main(flow):
        others = list(files)[1:]
    else:
        own = flow.spec.function.__module__.replace(".", "/")
        others = [place for place in files if place not in (f"{own}.py", f"{own}/__init__.py")]
    return [place for place in others if not _is_empty(files[place])]


def _is_empty(content: bytes) -> bool:
    """Whether a module does nothing, as `__init__.py` often does: it has comments and a docstring at most."""
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError):
        return False
    return all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in body)


def code(flow: Flow[..., Any], files: Mapping[str, bytes]) -> tuple[list[str], Path, set[str]]:
    """The Python of a flow, as sources; the folder of its project; and packages that it uses though it imports none."""
    sources = [content.decode() for place, content in files.items() if place.endswith(".py")]
    if isinstance(flow, NotebookFlow):
        sources += [cell.code for cell in flow.notebook.cells]
    return sources, Path.cwd(), _used_of_main(flow) if _is_of_main(flow) else set()


def _targets(flow: Pipeline) -> set[str]:
    """The modules of the functions and flows that a declared flow calls."""
    found = (getattr(step.operator, "target", None) for step in flow.definition.steps.values())
    functions = (getattr(getattr(each, "spec", None), "function", each) for each in found if each is not None)
    return {str(module) for each in functions if (module := getattr(each, "__module__", None)) is not None}


def _is_of_main(flow: Flow[..., Any]) -> bool:
    return getattr(flow.spec.function, "__module__", None) == _MAIN


def _used_of_main(flow: Flow[..., Any]) -> set[str]:
    """The packages of what a notebook's functions read: their modules were imported by other cells."""
    found: set[str] = set()
    for function in _functions(flow):
        namespace = getattr(function, "__globals__", {})
        for name in names_of(function.__code__).globals if hasattr(function, "__code__") else ():
            value = namespace.get(name)
            module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(module, str) and module != _MAIN:
                found.add(module.partition(".")[0])
    return found - sys.stdlib_module_names


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """{path: digest} of a snapshot's files."""
    return {place: xxhash.xxh3_128_hexdigest(content) for place, content in sorted(files.items())}


def unpacked(files: Mapping[str, bytes], home: Path) -> Path:
    """A folder with these files; made once, whoever else makes it at the same time."""
    name = xxhash.xxh3_128_hexdigest(json.dumps(digests(files)).encode())
    folder = home / _FOLDER / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
    for place, content in files.items():
        path = made / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    try:
        os.rename(made, folder)
    except OSError:  # another process was faster
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _loaded() -> set[str]:
    """The user's modules that this process has imported: code of a notebook may use any of them."""
    return {name for name in list(sys.modules) if name != _MAIN and not is_installed(name)}


def _texts(flow: Flow[..., Any]) -> str:
    """The sources of a flow function of a notebook, and of the steps that it calls."""
    return "\n\n".join(map(_text, _functions(flow)))


def _text(function: Any) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"# the source of {getattr(function, '__qualname__', function)!s} is not known\n"


def _functions(flow: Flow[..., Any]) -> list[Any]:
    """A flow function, and the steps and flows that it calls, each once."""
    found: list[Any] = []
    waiting = [flow.spec.function]
    while waiting:
        function = waiting.pop(0)
        if any(function is known for known in found):
            continue
        found.append(function)
        code, namespace = getattr(function, "__code__", None), getattr(function, "__globals__", {})
        for used in sorted(names_of(code).globals) if code is not None else ():
            spec = spec_of(namespace.get(used))
            if spec is not None:
                waiting.append(spec.function)
    return found
