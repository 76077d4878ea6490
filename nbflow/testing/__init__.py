"""What implementers and users need for their tests: clocks, conformance suites of the ports, tests of notebooks.

Nothing in nbflow uses it, and nbflow's tests of its own parts belong to `tests/`. Tests of a notebook are three names:
`freeze`, `replay` and `compare`, imported when they are first used, since pytest imports this package at every start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.authoring.replay.freezing import freeze
    from nbflow.authoring.replay.replaying import StepReport, replay
    from nbflow.values.compare import Difference, compare

__all__ = ["Difference", "StepReport", "compare", "freeze", "replay"]

_HOMES = {
    "Difference": "nbflow.values.compare",
    "StepReport": "nbflow.authoring.replay.replaying",
    "compare": "nbflow.values.compare",
    "freeze": "nbflow.authoring.replay.freezing",
    "replay": "nbflow.authoring.replay.replaying",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nbflow.testing' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
