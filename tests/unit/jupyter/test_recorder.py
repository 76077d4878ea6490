"""What the kernel's recorder leaves in the database."""

from __future__ import annotations

from nbflow.client.run import runs
from nbflow.jupyter.recorder import Recorder


def test_executions_of_step_cells_are_found_as_tasks() -> None:
    recorder = Recorder()
    recorder.record("train", "x = 1", 100.0, None)
    recorder.record("train", "x = 2", 200.0, None)
    recorder.record("plot", "1 / 0", 300.0, ZeroDivisionError("division by zero"))
    recorder.flush()
    run = runs()[0]
    assert (run.flow, str(run.state)) == ("interactive", "succeeded")
    assert [(task.key, str(task.state)) for task in run] == [
        ("train#1", "succeeded"),
        ("train#2", "succeeded"),
        ("plot#1", "failed"),
    ]
    assert run["plot"].record.error_message == "division by zero"
