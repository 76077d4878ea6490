"""nbflow in a live notebook: magics, and a record of what cells did. Jupyter is a host, and nothing of it is patched.

Running flows belongs to `authoring` and `engine`; pictures belong to `views`.
"""

from __future__ import annotations

from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """What `%load_ext nbflow` calls."""
    if hasattr(ipython, "emit"):  # the shell that runs a flow's cells: a flow does not steer itself
        return
    from nbflow.jupyter.magics import register

    register(ipython)


load_extension = load_ipython_extension
