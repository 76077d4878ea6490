"""Flows that tests of the endpoint have started."""

from __future__ import annotations

from nbflow import flow, step
from nbflow.deploying.causes import started_by


@step
def join(day: str, size: int) -> str:
    return f"{day} x {size}"


@flow
def reporting(day: str = "today", size: int = 1) -> str:
    return str(join(day, size))


@step
def why() -> str:
    return str(started_by().key)


@flow
def asking() -> list[str]:
    """Why it was started, as a step knows it and as the flow function does."""
    return [str(why()), str(started_by().key)]
