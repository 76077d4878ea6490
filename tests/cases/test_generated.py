"""Two thousand generated notebooks: each gives as a flow what it gives from top to bottom.

The long form: python -m tests.cases.generated --cases 100000 --seed 1
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.cases.generated import Builder, Comparison
from tests.cases.linear import linear_outcome
from tests.cases.minimise import minimised, shown

pytestmark = pytest.mark.filterwarnings("ignore")  # generated cells do what gives warnings

CHUNKS = 20
NOTEBOOKS = 100  # in each chunk
REFUSED = 0.1  # the share that may be refused before anything goes wrong


@st.composite
def notebooks(draw: Callable[[Any], Any]) -> list[str]:
    """The cells of a notebook."""

    def choose(options: Any) -> Any:
        return options[draw(st.integers(0, len(options) - 1))]

    return Builder(choose).notebook()


@pytest.mark.timeout(300)  # it is done in seconds, unless there is something to minimise
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_generated_notebook_gives_as_a_flow_what_it_gives_from_top_to_bottom(chunk: int, tmp_path: Path) -> None:
    comparison = Comparison(tmp_path)
    executor = "threads" if chunk % 5 == 4 else "serial"

    @seed(chunk)
    @settings(max_examples=NOTEBOOKS, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(notebooks())
    def check(cells: list[str]) -> None:
        difference = comparison.difference(cells, executor)
        assert difference is None, f"{difference}\n{shown(cells)}"

    check()
    assert comparison.counts["refused"] <= REFUSED * comparison.counts.total()


def test_the_linear_run_keeps_what_was_shown() -> None:
    assert linear_outcome(["[1]", "_.append(2)\nprint(_, Out[1])"]).printed == ("", "[1, 2] [1, 2]\n")


def test_the_linear_run_ends_with_the_cell_that_raises() -> None:
    outcome = linear_outcome(["print(1)", "print(2)\n1/0", "print(3)"])
    assert outcome.printed == ("1\n", "2\n")
    assert outcome.failed == (2, "ZeroDivisionError")


def test_a_failing_notebook_is_minimised_to_the_cells_that_matter() -> None:
    cells = ["x = 1\ny = 2", "z = 3", "print(x, y)"]
    assert minimised(cells, lambda some: "y = 2" in "\n".join(some)) == ["y = 2"]
