"""Two thousand generated notebooks: each gives as a flow what it gives from top to bottom.

The long form: python -m tests.cases.generated --cases 100000 --seed 1
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cases.chunk import NOTEBOOKS
from tests.cases.linear import linear_outcome
from tests.cases.minimise import minimised
from tests.commands import run_command

CHUNKS = 2000 // NOTEBOOKS


@pytest.mark.timeout(300)  # it is done in seconds, unless there is something to minimise
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_generated_notebook_gives_as_a_flow_what_it_gives_from_top_to_bottom(chunk: int, tmp_path: Path) -> None:
    done = run_command([str(chunk), str(tmp_path)], tmp_path, os.environ, module="tests.cases.chunk")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linear_run_keeps_what_was_shown() -> None:
    assert linear_outcome(["[1]", "_.append(2)\nprint(_, Out[1])"]).printed == ("", "[1, 2] [1, 2]\n")


def test_the_linear_run_ends_with_the_cell_that_raises() -> None:
    outcome = linear_outcome(["print(1)", "print(2)\n1/0", "print(3)"])
    assert outcome.printed == ("1\n", "2\n")
    assert outcome.failed == (2, "ZeroDivisionError")


def test_a_failing_notebook_is_minimised_to_the_cells_that_matter() -> None:
    cells = ["x = 1\ny = 2", "z = 3", "print(x, y)"]
    assert minimised(cells, lambda some: "y = 2" in "\n".join(some)) == ["y = 2"]
