"""Steps and flows as records: what the decorators write down and everything else reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nbflow.model.policies import NO_CACHE, NO_RETRY, Cache, Resources, Retry


@dataclass(frozen=True, slots=True, eq=False)
class StepSpec:
    """One step: a function and how it is to be run."""

    name: str
    function: Callable[..., Any]
    retry: Retry = NO_RETRY
    timeout: float | None = None  # seconds per attempt, or for a sub-flow in all; None: no limit
    soft_timeout: float | None = None  # seconds until SoftTimeoutError is raised in an attempt
    expires: float | None = None  # seconds after it became ready from which on it is not begun
    deadline: float | None = None  # seconds after it became ready in which all of its attempts have to be over
    heartbeat_timeout: float | None = None  # seconds that an attempt may go on without a sign of life
    queue: str | None = None  # where its jobs go, on a queue; None: as the run says
    cache: Cache = NO_CACHE
    version: str | None = None  # part of the step's identity; given by the user
    executor: str | None = None  # name of an executor; None: the run's
    resources: Resources = field(default_factory=Resources)
    tags: tuple[str, ...] = ()
    is_async: bool = False
    identity: str | None = None  # digest of the code where the author knows it better than the function's source
    kind: str = "step"  # or "flow" for a sub-flow, "cells" for a step of a notebook


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a flow."""

    name: str
    annotation: str = ""  # as written; "" if none
    default: Any = None
    required: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class FlowSpec:
    """One flow: its function and what is known of it before it runs."""

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    version: str | None = None
    executor: str | None = None
    workers: int | None = None
    tags: tuple[str, ...] = ()
    doc: str = ""
    kind: str = "function"  # or "notebook", or "pipeline" for what is declared
    reference: str | None = None  # how another process finds it: "module:qualname", or a file's path
    timeout: float | None = None  # seconds that a run may take from its beginning; None: no limit
    decision_timeout: float | None = None  # seconds that its function may compute between two waits, on a worker
