"""A hundred notebooks that hypothesis generates: `python -m tests.cases.chunk NUMBER FOLDER`.

In a process of its own, since each cell is compared with the state of all modules: those of pytest would double its time.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.cases.generated import Builder, Comparison
from tests.cases.minimise import shown

NOTEBOOKS = 100  # in each chunk
REFUSED = 0.1  # the share that may be refused before anything goes wrong


@st.composite
def notebooks(draw: Callable[[Any], Any]) -> list[str]:
    """The cells of a notebook."""

    def choose(options: Any) -> Any:
        return options[draw(st.integers(0, len(options) - 1))]

    return Builder(choose).notebook()


def check(chunk: int, folder: Path) -> None:
    """Run the notebooks of a chunk both ways. Raises AssertionError with the smallest one that differs."""
    comparison = Comparison(folder)
    executor = "threads" if chunk % 5 == 4 else "serial"

    @seed(chunk)
    @settings(max_examples=NOTEBOOKS, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(notebooks())
    def compare(cells: list[str]) -> None:
        difference = comparison.difference(cells, executor)
        assert difference is None, f"{difference}\n{shown(cells)}"

    compare()
    assert comparison.counts.total() >= NOTEBOOKS
    assert comparison.counts["refused"] <= REFUSED * comparison.counts.total()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # generated cells do what gives warnings
    check(int(sys.argv[1]), Path(sys.argv[2]))
