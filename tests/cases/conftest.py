"""Tells, after the cases have run, how many of the specification's rows came out right."""

from __future__ import annotations

from typing import Any

ROWS = 42


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count rows of the table of cells: right ones are those whose tests all passed."""
    outcome: dict[int, bool] = {}
    for kind in ("passed", "failed"):
        for report in terminalreporter.stats.get(kind, ()):
            path, _, parameters = report.nodeid.partition("[")
            number = parameters.split(" ")[0]
            if "test_cells.py" in path and number.isdigit() and report.when == "call":
                outcome[int(number)] = outcome.get(int(number), True) and kind == "passed"
    if outcome:
        right = sum(outcome.values())
        terminalreporter.write_line(f"cells: {right} of {ROWS} cases right, none refused" if len(outcome) == ROWS
                                    else f"cells: {right} of {len(outcome)} cases right")  # fmt: skip
