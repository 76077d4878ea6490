import os
import subprocess
import sys
import threading

import pytest

from nbflow.model.ports import Finished
from nbflow.model.states import State
from nbflow.testing import steps as suite_steps

DEBUGGED = """
import tempfile
from pathlib import Path
from nbflow.executors.serial import SerialExecutor
from nbflow.testing.executor_suite import Bench

def wrong(x):
    breakpoint()
    return x

with Bench(SerialExecutor, Path(tempfile.mkdtemp())) as bench:
    result = bench.value(bench.submit(wrong, 1))
print("result", result)
"""


def test_steps_run_in_the_thread_that_submits_them(serial):
    assert serial.finished(serial.submit(lambda: None)).state is State.SUCCEEDED
    seen = []
    serial.submit(lambda: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()]


def test_a_keyboard_interrupt_is_reported_and_raised(serial):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        serial.submit(interrupt)
    assert serial.finished(1).state is State.CANCELLED


def test_work_of_a_report_runs_after_it_and_not_inside(serial):
    depth = []

    def go_on(report):
        if type(report) is Finished:
            depth.append("in")
            if report.ticket < 3:
                serial.submit(suite_steps.add, 1, 1)
            depth.append("out")

    serial.on_report = go_on
    serial.submit(suite_steps.add, 1, 1)
    assert depth == ["in", "out"] * 3


def test_whoever_waits_can_help(serial):
    inside = []

    def wait_for_another(report):
        if type(report) is Finished and report.ticket == 1:
            serial.submit(suite_steps.add, 1, 1)
            inside.append(serial.executor.help(lambda: len(serial.reports) >= 4))

    serial.on_report = wait_for_another
    serial.submit(suite_steps.add, 1, 1)
    assert inside == [True]
    assert serial.executor.help(lambda: False) is False


def test_a_debugger_works_in_a_step(tmp_path):
    script = tmp_path / "debugged.py"
    script.write_text(DEBUGGED)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, str(script)],
        input="x = 41\np x\nc\n",
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
    )
    assert "(Pdb)" in done.stdout
    assert "41" in done.stdout
    assert "result 41" in done.stdout
