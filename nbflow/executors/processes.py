"""Runs tasks in child processes."""

from __future__ import annotations

from nbflow.running.pool import ProcessPool


class ProcessesExecutor(ProcessPool):
    """Several tasks at once, in child processes: for steps that keep the interpreter busy, or may crash it."""
