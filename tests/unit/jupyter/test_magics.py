"""The magics in a shell: cells run as ever, and are recorded."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nbflow.jupyter.magics import register


class Notes:
    def __init__(self) -> None:
        self.taken: list[tuple[str, str, bool]] = []

    def record(self, name: str, source: str, started: float, error: BaseException | None) -> None:
        self.taken.append((name, source, error is None))


@pytest.fixture
def shell() -> Any:
    found = InteractiveShell()
    register(found).recorder = Notes()  # type: ignore[assignment]
    return found


def test_a_step_cell_runs_in_the_user_namespace(shell: Any) -> None:
    assert shell.run_cell("%%step train cache=true\nx = 5\nx + 1").result == 6
    assert shell.user_ns["x"] == 5


def test_a_step_cell_is_recorded_with_its_outcome(shell: Any) -> None:
    shell.run_cell("%%step train\n1/0")
    assert shell._nbflow_magics.recorder.taken == [("train", "1/0", False)]


def test_a_wrong_option_stops_the_cell(shell: Any) -> None:
    assert not shell.run_cell("%%step train speed=1\nx = 7").success
    assert "x" not in shell.user_ns


def test_other_cells_are_left_alone(shell: Any) -> None:
    shell.run_cell("y = 1")
    assert shell._nbflow_magics.recorder.taken == []


def test_a_step_cell_with_a_cell_magic_is_recorded_once_and_as_a_whole(shell: Any) -> None:
    shell.run_cell("%%step load\n%%capture out\nz = 1")
    assert shell._nbflow_magics.recorder.taken == [("load", "%%capture out\nz = 1", True)]
    assert [(one.source, one.changes.defined) for one in shell._nbflow_magics.history.executed] == [
        ("%%step load\n%%capture out\nz = 1", ("out", "z"))
    ]


def test_registering_twice_changes_nothing(shell: Any) -> None:
    assert register(shell) is shell._nbflow_magics
    shell.run_cell("%%step once\n1")
    assert len(shell._nbflow_magics.recorder.taken) == 1
