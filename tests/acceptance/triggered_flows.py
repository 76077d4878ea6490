"""Flows that tests of the endpoint have started."""

from __future__ import annotations

from nbflow import flow, step


@step
def join(day: str, size: int) -> str:
    return f"{day} x {size}"


@flow
def reporting(day: str = "today", size: int = 1) -> str:
    return str(join(day, size))
