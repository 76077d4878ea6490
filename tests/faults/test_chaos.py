"""A short round of `python -m tests.faults`: all kinds of attacks on what runs jobs, flows and schedules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_nothing_is_lost_or_done_twice_whatever_is_killed(request, database):
    if database == "postgresql":
        request.getfixturevalue("postgres_server")  # skips where there is none; the round starts one of its own
    command = [sys.executable, "-m", "tests.faults", "--jobs", "400", "--flows", "8", "--attacks", "15"]
    done = subprocess.run(
        [*command, "--db", database], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "400 jobs" in done.stdout
    assert "8 flows" in done.stdout
    assert ": 0 faults" in done.stdout
