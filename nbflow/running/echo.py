"""Shows what attempts in other processes write and display, as it comes."""

from __future__ import annotations

import json
import sys
from typing import Any

from nbflow.model.ports import Output


def echo(report: Output) -> None:
    """Show output of an attempt as if this process had made it: text on the same stream, displays as displays."""
    if report.stream == "display":
        _display(json.loads(report.text))
    elif report.stream in ("stdout", "stderr"):
        _write(report.stream, report.text)


def _display(content: dict[str, Any]) -> None:
    """In a notebook under the cell that runs; where there is no notebook, as text."""
    shell = _shell()
    if shell is None:
        _write("stdout", content["data"].get("text/plain", "") + "\n")
        return
    options = {name: content[name] for name in ("transient", "update") if name in content}
    shell.display_pub.publish(content["data"], content["metadata"], **options)


def _shell() -> Any:
    """IPython's shell of this process, if there is one."""
    module: Any = sys.modules.get("IPython.core.interactiveshell")
    kind = getattr(module, "InteractiveShell", None)
    return kind.instance() if kind is not None and kind.initialized() else None


def _write(name: str, text: str) -> None:
    stream = getattr(sys, name)
    if stream is None:
        return
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            stream.write(text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError):
        pass  # nobody reads it any more, or it was closed; the output is on record all the same
