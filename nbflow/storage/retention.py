"""Which runs of deployments are not kept any longer, by what is said for each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import ColumnElement, Connection, func, select

from nbflow.model.states import State
from nbflow.storage import sweeper
from nbflow.storage.schema import deployments, runs

_DAY = 86_400.0  # seconds
_YOUNG = 600.0  # seconds after its end for which a run stays: who follows it, or is to tell of it, has seen it then


def remove_old_runs(connection: Connection, now: float, most: int) -> int:
    """Remove runs that their deployment does not keep, at most so many; returns how many.

    A run goes when it ended before more days than its deployment keeps, or is none of so many that ended last. The last
    one that succeeded always stays.
    """
    found: list[str] = []
    keeping = select(deployments.c.name, deployments.c.keep).where(deployments.c.keep.is_not(None))
    for name, keep in connection.execute(keeping).all():
        found += _old(connection, name, json.loads(keep), now, most - len(found))
        if len(found) >= most:
            break
    sweeper.delete_runs(connection, found)
    return len(found)


def _old(connection: Connection, name: str, keep: dict[str, float], now: float, most: int) -> list[str]:
    of_it = (runs.c.deployment == name) & runs.c.finished_at.is_not(None)
    good = select(runs.c.id).where(of_it, runs.c.state == State.SUCCEEDED.value).order_by(runs.c.finished_at.desc())
    last = connection.execute(good.limit(1)).scalar()
    return list(dict.fromkeys(run for run in _beyond(connection, of_it, keep, now, most) if run != last))[:most]


def _beyond(
    connection: Connection, of_it: ColumnElement[bool], keep: dict[str, float], now: float, most: int
) -> Iterator[str]:
    ended = select(runs.c.id).where(of_it, runs.c.finished_at < now - _YOUNG)
    oldest = ended.order_by(runs.c.finished_at, runs.c.id).limit(most + 1)
    if "days" in keep:
        yield from connection.execute(oldest.where(runs.c.finished_at < now - keep["days"] * _DAY)).scalars()
    if "runs" in keep:
        count = connection.execute(select(func.count()).select_from(runs).where(of_it)).scalar_one()
        yield from connection.execute(oldest.limit(max(0, min(most, count - int(keep["runs"]))))).scalars()
