"""Sends what an attempt shows through IPython's `display` to its context.

Nothing happens here unless IPython is in use already: nbflow does not import it for this.
"""

from __future__ import annotations

import base64
import builtins
import json
import sys
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from nbflow.executors.context import CURRENT

_UNDO: list[Callable[[], None]] = []


def install() -> None:
    """Hook into IPython's ways to publish, if it is imported and not hooked into yet."""
    publishers = sys.modules.get("IPython.core.displaypub")
    if _UNDO or publishers is None:
        return
    for kind in _publisher_classes(publishers.DisplayPublisher):
        _replace(kind, "publish", _publishing(kind.__dict__["publish"]))
    functions = sys.modules.get("IPython.core.display_functions")
    if functions is not None:
        # Without a shell, `display` falls back on `print`: a name that it looks up in its module first.
        _replace(functions, "print", _show)
    _replace(sys, "displayhook", _result_hook(sys.displayhook))


def remove() -> None:
    """Take the hooks out."""
    while _UNDO:
        _UNDO.pop()()


def _publisher_classes(base: type) -> list[type]:
    found = [base]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if "publish" in kind.__dict__]


def _replace(owner: Any, name: str, new: Any) -> None:
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

    _UNDO.append(undo)


def _publishing(original: Callable[..., Any]) -> Callable[..., Any]:
    def publish(self: Any, data: Any, metadata: Any = None, **more: Any) -> Any:
        context = CURRENT.get()
        if context is None or context.closed:
            return original(self, data, metadata, **more)
        context.emit("display", _content(data, metadata, more))
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
            builtins.print(value)  # noqa: T201 - what IPython does without nbflow


def _result_hook(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def hook(value: Any) -> Any:
        context = CURRENT.get()
        if context is None or context.closed:
            return original(value)
        if value is not None:
            data, metadata = _bundle(value)
            context.emit("result", _content(data, metadata, {}))
        return original(value) if context.echo else None

    return hook


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
