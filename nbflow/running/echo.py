"""Shows what attempts in other processes write, as it comes."""

from __future__ import annotations

import sys

from nbflow.model.ports import Output


def echo(report: Output) -> None:
    """Write output of an attempt to the same stream of this process."""
    stream = {"stdout": sys.stdout, "stderr": sys.stderr}.get(report.stream)
    if stream is None:
        return
    try:
        try:
            stream.write(report.text)
        except UnicodeEncodeError:
            stream.write(report.text.encode("ascii", "backslashreplace").decode())
        stream.flush()
    except (OSError, ValueError):
        pass  # nobody reads it any more, or it was closed; the output is on record all the same
