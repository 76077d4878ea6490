"""A real kernel: interrupting it cancels the run that it executes, and the kernel goes on."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.servers import wait_until

SETUP = """
import time
from nbflow import flow, runs, step

@step
def endless(name):
    open(name, "w").close()
    while True:
        time.sleep(0.01)

@step
def inc(x):
    return x + 1

@flow
def long():
    return inc(endless("started"))

@flow
def short(x):
    return inc(inc(x))
"""


class Kernel:
    """A running kernel in a project of its own."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(cwd=str(folder), env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    def begin(self, code: str) -> str:
        """Start a cell."""
        message: str = self.client.execute(code)
        return message

    def end(self, message: str) -> dict[str, Any]:
        """Wait for a started cell; returns what it printed and its error's name."""
        printed, error = "", None
        while True:
            try:
                told = self.client.get_iopub_msg(timeout=30)
            except queue.Empty as problem:
                raise TimeoutError("the cell does not end") from problem
            if told["parent_header"].get("msg_id") != message:
                continue
            content = told["content"]
            if told["msg_type"] == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif told["msg_type"] == "error":
                error = content["ename"]
            elif told["msg_type"] == "status" and content["execution_state"] == "idle":
                return {"printed": printed.strip(), "error": error}

    def run(self, code: str) -> dict[str, Any]:
        """Execute a cell."""
        return self.end(self.begin(code))


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    (tmp_path / ".nbflow").mkdir()
    running = Kernel(tmp_path)
    yield running
    running.client.stop_channels()
    running.manager.shutdown_kernel(now=True)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_interrupting_the_kernel_cancels_the_run_and_the_next_run_works(
    executor: str, kernel: Kernel, tmp_path: Path
) -> None:
    assert kernel.run(SETUP)["error"] is None
    cell = kernel.begin(f"long.run(executor={executor!r}, workers=2)")
    wait_until((tmp_path / "started").exists)
    kernel.manager.interrupt_kernel()
    assert kernel.end(cell)["error"] == "KeyboardInterrupt"
    told = kernel.run("print(runs()[0].state, *sorted({str(task.state) for task in runs()[0].tasks()}))")
    assert told["printed"] in ("cancelled cancelled", "cancelled cancelled skipped")
    assert kernel.run(f"print(short.run(1, executor={executor!r}).result())")["printed"] == "3"


def test_a_cell_that_defines_a_step_again_changes_what_the_next_run_does(kernel: Kernel) -> None:
    kernel.run(SETUP)
    assert kernel.run("print(short.run(1, executor='processes').result())")["printed"] == "3"
    kernel.run("@step\ndef inc(x):\n    return x + 10")
    assert kernel.run("print(short.run(1, executor='processes').result())")["printed"] == "21"


def test_a_flow_is_awaited_by_nothing_in_the_kernels_own_event_loop(kernel: Kernel) -> None:
    kernel.run(SETUP)
    cell = """
import asyncio
@step
async def later(x):
    await asyncio.sleep(0)
    return x + 1
@flow
def waits():
    return later(later(1))
print(waits(), await asyncio.sleep(0, "loop goes on"))
"""
    assert kernel.run(cell)["printed"] == "3 loop goes on"
