"""When a step runs that comes after others: what each of its dependencies came to, and the rule that joins them.

Every rule is applied when all the dependencies have ended, so that what runs does not hang on who was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

FAILED_OUTCOME = "failed"  # the outcome of a step that failed, which no step declares


class Edge(Enum):
    """What became of one dependency."""

    TAKEN = "taken"  # the step succeeded, with the outcome that is waited for
    LEFT = "left"  # it had another outcome, or was skipped
    FAILED = "failed"  # it failed, or could not run since something before it had failed


class Verdict(Enum):
    """What follows for the step."""

    RUN = "run"
    SKIP = "skip"  # its branch is not taken
    BLOCK = "block"  # it cannot run because of a failure, which it passes on


Rule = Callable[[Sequence[Edge]], Verdict]


def _all(edges: Sequence[Edge]) -> Verdict:
    if Edge.FAILED in edges:
        return Verdict.BLOCK
    return Verdict.SKIP if Edge.LEFT in edges else Verdict.RUN


def _any(edges: Sequence[Edge]) -> Verdict:
    if Edge.TAKEN in edges or not edges:
        return Verdict.RUN
    return Verdict.BLOCK if Edge.FAILED in edges else Verdict.SKIP


def _none_failed(edges: Sequence[Edge]) -> Verdict:
    return Verdict.BLOCK if Edge.FAILED in edges else Verdict.RUN


def _any_none_failed(edges: Sequence[Edge]) -> Verdict:
    return Verdict.BLOCK if Edge.FAILED in edges else _any(edges)


def _none_skipped(edges: Sequence[Edge]) -> Verdict:
    return Verdict.SKIP if Edge.LEFT in edges else Verdict.RUN


def _all_done(edges: Sequence[Edge]) -> Verdict:
    return Verdict.RUN


def _one_failed(edges: Sequence[Edge]) -> Verdict:
    return Verdict.RUN if Edge.FAILED in edges else Verdict.SKIP


def _all_failed(edges: Sequence[Edge]) -> Verdict:
    return Verdict.RUN if all(edge is Edge.FAILED for edge in edges) else Verdict.SKIP


# Beside each rule: the trigger rule of Apache Airflow with that meaning.
RULES: dict[str, Rule] = {
    "all": _all,  # all_success
    "any": _any,  # one_success, but when all have ended
    "none_failed": _none_failed,  # none_failed: skipped ones are no hindrance
    "any_none_failed": _any_none_failed,  # none_failed_min_one_success
    "none_skipped": _none_skipped,  # none_skipped
    "all_done": _all_done,  # all_done
    "one_failed": _one_failed,  # one_failed, but when all have ended
    "all_failed": _all_failed,  # all_failed
}
DEFAULT = "all"


def edge(*, succeeded: bool, failed: bool, outcome: str | None, wanted: Sequence[str]) -> Edge:
    """What a dependency came to. `wanted`: the outcomes that are waited for; empty: any.

    A step that neither succeeded nor failed was skipped.
    """
    if failed:
        return Edge.TAKEN if FAILED_OUTCOME in wanted else Edge.FAILED
    if not succeeded:
        return Edge.LEFT
    return Edge.TAKEN if not wanted or outcome in wanted else Edge.LEFT
