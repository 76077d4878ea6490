"""Notebooks and functions as flows: the public face, and nothing but names whose homes are further down.

Each name is imported when it is first used, so that `import nbflow` stays light. Nothing inside nbflow imports this
module: whatever two packages share belongs to a floor below both.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.authoring.declarative import operators
    from nbflow.authoring.declarative.pipeline import Pipeline, from_dict
    from nbflow.authoring.declarative.registry import register_task_pipeline
    from nbflow.authoring.declarative.yaml_files import from_yaml
    from nbflow.authoring.flow import Flow, flow
    from nbflow.authoring.notebook import from_notebook
    from nbflow.authoring.patterns import finish_order, first, now, parallel_reduce, random, receive, sleep, uuid, wait
    from nbflow.authoring.step import Step, step
    from nbflow.client.queue_client import QueueClient
    from nbflow.client.run import Run, runs
    from nbflow.deploying.deployments import Deployment, deployments
    from nbflow.deploying.promoting import promote
    from nbflow.model import errors
    from nbflow.model.errors import (
        NbflowError,
        RetryLater,
        RunFailedError,
        StepTimeoutError,
        TaskCancelledError,
        TaskError,
    )
    from nbflow.queue.job import Job
    from nbflow.queue.options import Limit, Unique
    from nbflow.queue.queue import Queue
    from nbflow.running.context import current, heartbeat
    from nbflow.settings import configure
    from nbflow.values.secrets.references import secret

    __version__: str

__all__ = [
    "Deployment",
    "Flow",
    "Job",
    "Limit",
    "NbflowError",
    "Pipeline",
    "Queue",
    "QueueClient",
    "RetryLater",
    "Run",
    "RunFailedError",
    "Step",
    "StepTimeoutError",
    "TaskCancelledError",
    "TaskError",
    "Unique",
    "configure",
    "current",
    "deployments",
    "errors",
    "finish_order",
    "first",
    "flow",
    "from_dict",
    "from_notebook",
    "from_yaml",
    "heartbeat",
    "now",
    "operators",
    "parallel_reduce",
    "promote",
    "random",
    "receive",
    "register_task_pipeline",
    "runs",
    "secret",
    "sleep",
    "step",
    "uuid",
    "wait",
]

_HOMES = {
    "nbflow.authoring.declarative.pipeline": ("Pipeline", "from_dict"),
    "nbflow.authoring.declarative.registry": ("register_task_pipeline",),
    "nbflow.authoring.declarative.yaml_files": ("from_yaml",),
    "nbflow.authoring.flow": ("Flow", "flow"),
    "nbflow.authoring.notebook": ("from_notebook",),
    "nbflow.authoring.patterns": (
        "finish_order",
        "first",
        "now",
        "parallel_reduce",
        "random",
        "receive",
        "sleep",
        "uuid",
        "wait",
    ),
    "nbflow.authoring.step": ("Step", "step"),
    "nbflow.client.queue_client": ("QueueClient",),
    "nbflow.client.run": ("Run", "runs"),
    "nbflow.deploying.deployments": ("Deployment", "deployments"),
    "nbflow.deploying.promoting": ("promote",),
    "nbflow.queue.job": ("Job",),
    "nbflow.queue.options": ("Limit", "Unique"),
    "nbflow.queue.queue": ("Queue",),
    "nbflow.running.context": ("current", "heartbeat"),
    "nbflow.model.errors": (
        "NbflowError",
        "RetryLater",
        "RunFailedError",
        "StepTimeoutError",
        "TaskCancelledError",
        "TaskError",
    ),
    "nbflow.settings": ("configure",),
    "nbflow.values.secrets.references": ("secret",),
}
_MODULES = {"errors": "nbflow.model.errors", "operators": "nbflow.authoring.declarative.operators"}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("nbflow")
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'nbflow' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def load_ipython_extension(ipython: Any) -> None:
    """Register the magics: what `%load_ext nbflow` calls."""
    import_module("nbflow.jupyter").load_ipython_extension(ipython)
