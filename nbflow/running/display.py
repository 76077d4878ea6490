"""Sends what an attempt shows through IPython's `display` to its context.

Nothing happens here unless IPython is in use: nbflow does not import it for this.
"""

from __future__ import annotations

import base64
import builtins
import json
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any

from nbflow.running.context import CURRENT
from nbflow.values.secrets import traces

_UNDO: dict[tuple[int, str], Callable[[], None]] = {}  # by owner and name of what was replaced


def install() -> None:
    """Hook into IPython's ways to publish, now or when it is imported."""
    if _WATCH not in sys.meta_path:
        sys.meta_path.insert(0, _WATCH)
    for name, hook in _HOOKS.items():
        if name in sys.modules:
            hook(sys.modules[name])


def remove() -> None:
    """Take the hooks out."""
    if _WATCH in sys.meta_path:
        sys.meta_path.remove(_WATCH)
    while _UNDO:
        _UNDO.popitem()[1]()


class _Watch:
    """An importer that hooks into those modules of IPython that are imported only now, often by the step itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module as Python would, and see to it that it is hooked into."""
        if name not in _HOOKS:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_hook(module: ModuleType) -> None:
            execute(module)
            if self in sys.meta_path:
                _HOOKS[name](module)

        spec.loader.exec_module = execute_and_hook  # type: ignore[method-assign]  # of this one loader
        return spec


_WATCH = _Watch()


def _hook_publishers(module: Any) -> None:
    for kind in _publisher_classes(module.DisplayPublisher):
        _replace(kind, "publish", _publishing(kind.__dict__["publish"]))
    _replace(sys, "displayhook", _result_hook(sys.displayhook))


def _hook_functions(module: Any) -> None:
    # Without a shell, `display` falls back on `print`: a name that it looks up in its module first.
    _replace(module, "print", _show)


_HOOKS = {"IPython.core.displaypub": _hook_publishers, "IPython.core.display_functions": _hook_functions}


def _publisher_classes(base: type) -> list[type]:
    found = [base]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if "publish" in kind.__dict__]


def _replace(owner: Any, name: str, new: Any) -> None:
    if (id(owner), name) in _UNDO:
        return
    missing = name not in vars(owner)
    old = None if missing else vars(owner)[name]
    setattr(owner, name, new)

    def undo() -> None:
        if vars(owner).get(name) is not new:
            return  # somebody else put theirs in its place
        if missing:
            delattr(owner, name)
        else:
            setattr(owner, name, old)

    _UNDO[id(owner), name] = undo


def _publishing(original: Callable[..., Any]) -> Callable[..., Any]:
    def publish(self: Any, data: Any, metadata: Any = None, **more: Any) -> Any:
        context = CURRENT.get()
        if context is None or context.closed:
            return original(self, data, metadata, **more)
        message = context.emit("display", _content(data, metadata, more))
        if context.echo and traces.known():
            cleaned = json.loads(message)
            data, metadata = cleaned["data"], cleaned["metadata"]
        return original(self, data, metadata, **more) if context.echo else None

    return publish


def _show(*values: Any, **options: Any) -> None:
    context = CURRENT.get()
    if context is None or context.closed:
        builtins.print(*values, **options)  # noqa: T201 - what IPython does without nbflow
        return
    for value in values:
        data, metadata = _bundle(value)
        context.emit("display", _content(data, metadata, {}))
        if context.echo:
            shown = traces.clean(str(value)) if traces.known() else value
            builtins.print(shown)  # noqa: T201 - what IPython does without nbflow


def _result_hook(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def hook(value: Any) -> Any:
        context = CURRENT.get()
        if context is None or context.closed:
            return original(value)
        if value is not None:
            data, metadata = _bundle(value)
            context.emit("result", _content(data, metadata, {}))
        if context.echo and traces.known():
            value = _Shown(traces.clean(repr(value))) if value is not None else None
        return original(value) if context.echo else None

    return hook


class _Shown:
    """What is shown as a text that is made already."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _content(data: Any, metadata: Any, more: dict[str, Any]) -> str:
    """A display message's content as JSON."""
    content = {"data": data, "metadata": metadata or {}}
    content.update({name: more[name] for name in ("transient", "update") if more.get(name)})
    return json.dumps(content, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def _bundle(value: Any) -> tuple[Any, Any]:
    """The forms of a value by mime type, and their metadata."""
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.interactiveshell import InteractiveShell

    formatter: Any = None
    if InteractiveShell.initialized():
        formatter = InteractiveShell.instance().display_formatter
    if formatter is None:
        formatter = DisplayFormatter()
        if "matplotlib" in sys.modules:
            pylabtools: Any = import_module("IPython.core.pylabtools")
            pylabtools.select_figure_formats(SimpleNamespace(display_formatter=formatter), {"png"})
    data, metadata = formatter.format(value)
    return data, metadata
