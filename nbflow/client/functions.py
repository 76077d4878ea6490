"""The flow function of a run, as it was stored with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.client.run import Run


def flow_function(run: Run) -> Any:
    """The flow function that a run began with; None if it could not be stored."""
    version = run._version()
    if version is None or version.code is None:
        return None
    return run._values.get(run._values.unseal_stored(version.code)).function
