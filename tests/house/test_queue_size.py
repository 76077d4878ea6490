"""The queue is small: what a job goes through, from being enqueued to its result, can be read in an afternoon."""

from __future__ import annotations

from tests.house.files import PACKAGE, sources
from tests.house.measure import lines

# All that a job meets on its way. Schedules, patterns, webhooks and the like stand beside it.
CORE = ("broker", "calls", "consequences", "enqueueing", "ledger", "presence", "turns", "worker")
CORE_LINES = 1_600
ALL_LINES = 4_800


def code_lines(path):
    return len(lines(path).code)


def test_the_way_of_a_job_stays_short():
    assert sum(code_lines(PACKAGE / "queue" / f"{name}.py") for name in CORE) <= CORE_LINES


def test_the_queue_as_a_whole_stays_small():
    assert sum(code_lines(path) for path in sources(PACKAGE / "queue")) <= ALL_LINES
