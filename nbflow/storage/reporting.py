"""Statements about which code ran when: what reports tell of notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import Connection

from nbflow.storage import raw

_AT_ONCE = 500  # values in one statement
_LATEST = "coalesce(r.finished_at, r.created_at)"  # when a run was last heard of


class VersionUse(NamedTuple):
    """When the runs of a version of a flow began."""

    flow: str
    version: str
    kind: str
    first: float | None  # of those that ended after a time, or began after it; None: there are none
    last: float | None
    before: float | None  # the last one of the others


class CellMark(NamedTuple):
    """That a cell began, or ended."""

    run: str
    seq: int
    attempt: int
    stream: str  # "cell" or "cell_end"
    text: str  # JSON


def versions_used(connection: Connection, since: float, until: float) -> list[VersionUse]:
    """The versions of flows that have runs before `until`, told apart by whether they ended before `since`."""
    inside, earlier = (f"CASE WHEN {_LATEST} {sign} ? THEN r.created_at END" for sign in (">=", "<"))
    statement = (
        f"SELECT r.flow, r.version, v.kind, min({inside}), max({inside}), max({earlier}) FROM runs AS r "
        "JOIN flow_versions AS v ON v.id = r.version WHERE r.created_at < ? GROUP BY r.flow, r.version, v.kind "
        "ORDER BY r.flow, r.version"
    )
    return [VersionUse._make(row) for row in raw.one(connection, statement, (since, since, since, until))]


def runs_of_notebooks(connection: Connection, since: float, until: float) -> dict[str, tuple[str, str]]:
    """{run: (version, parameters as JSON)} of the runs of notebooks that were there in a stretch of time."""
    statement = (
        "SELECT r.id, r.version, r.parameters FROM runs AS r JOIN flow_versions AS v ON v.id = r.version "
        "WHERE v.kind = 'notebook' AND r.created_at < ? AND (r.finished_at IS NULL OR r.finished_at >= ?)"
    )
    return {row[0]: (row[1], row[2]) for row in raw.one(connection, statement, (until, since))}


def cell_marks(connection: Connection, runs: Iterable[str]) -> Iterator[CellMark]:
    """When cells of some runs began and ended: in order for each attempt of a task."""
    wanted = sorted(runs)
    for start in range(0, len(wanted), _AT_ONCE):
        part = tuple(wanted[start : start + _AT_ONCE])
        statement = (
            f"SELECT run, seq, attempt, stream, text FROM logs WHERE run IN ({raw.marks(len(part))}) "
            "AND stream IN ('cell', 'cell_end') ORDER BY run, seq, attempt, number"
        )
        yield from (CellMark._make(row) for row in raw.one(connection, statement, part))
