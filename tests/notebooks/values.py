"""The final values of a notebook in words. A kernel imports this too, so it imports little."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from typing import Any

from nbflow.authoring.cells.shell import INTERNAL
from nbflow.model.errors import NotebookError
from tests.cases.linear import is_data, is_opaque, shape

# Addresses, ids, times and temporary folders differ from run to run, and so does the file that a warning comes from.
_VARIES = re.compile(
    r"0x[0-9a-f]+|\b1[34]\d{13}\b|sk-[a-z-]*id-\d+|\d+(\.\d+)?(e\+\d+)? (µs|μs|ms|us|ns|s)\b"
    r"|\S*ipykernel\S+?\.py|<ipython-input\S+?>"
    rf"|{re.escape(tempfile.gettempdir())}((/[\w.-]+)*?/work\b|/[\w-]+)",
)


def without_chance(text: str) -> str:
    """`text` without what differs between two runs of the same notebook."""
    return _VARIES.sub("~", text)


def in_words(values: Mapping[str, Any]) -> dict[str, str]:
    """Final values; those that cannot be told from others of their kind, or not kept, left out."""
    found = {}
    for name in values:
        try:
            value = values[name]
        except NotebookError:
            continue
        if is_data(name, value) and name not in INTERNAL and not is_opaque(shape(value)):
            found[name] = without_chance(repr(shape(value)))
    return found
