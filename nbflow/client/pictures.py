"""Tasks as nodes of a graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbflow.model.records import TaskRecord
from nbflow.views.palette import MARK

if TYPE_CHECKING:
    from nbflow.views.graph import Node, Picture

_MOST_ALIKE = 6  # tasks of one step with the same inputs that are drawn one by one; more become one node
_MOST_NODES = 300  # of one flow; beyond that all tasks of a step become one node, as in a loop over thousands
_WORST_FIRST = ("running", "failed", "timed_out", "cancelled", "skipped", "expired", "ready", "pending")


def run_picture(flow: str, records: Sequence[TaskRecord]) -> Picture:
    """The tasks of a run as a picture."""
    from nbflow.views.graph import Picture

    by_parent: dict[int | None, list[TaskRecord]] = {}
    for record in sorted(records, key=lambda record: record.position):
        if record.kind != "record":
            by_parent.setdefault(record.parent, []).append(record)
    return Picture(_level(None, by_parent), flow)


def _level(parent: int | None, by_parent: dict[int | None, list[TaskRecord]]) -> tuple[Node, ...]:
    records = by_parent.get(parent, [])
    groups, most = _groups(records, same_inputs=True), _MOST_ALIKE
    if sum(len(group) if len(group) <= most else 1 for group in groups) > _MOST_NODES:
        groups, most = _groups(records, same_inputs=False), 1
    shown_by = {record.seq: group[0].seq if len(group) > most else record.seq for group in groups for record in group}
    nodes: list[Node] = []
    for group in groups:
        if len(group) > most:
            nodes.append(_many(group, shown_by))
        else:
            nodes += [_one(record, shown_by, by_parent) for record in group]
    return tuple(nodes)


def _groups(records: Sequence[TaskRecord], *, same_inputs: bool) -> list[list[TaskRecord]]:
    """Tasks of one step together, if asked only those that need the same groups. Groups after those that they need."""
    groups: dict[tuple[str, frozenset[int]], list[TaskRecord]] = {}
    belongs: dict[int, int] = {}  # seq → seq of the first of its group
    for record in records:
        needs = frozenset(belongs.get(seq, seq) for seq in _needs(record)) if same_inputs else frozenset()
        group = groups.setdefault((record.name, needs), [])
        group.append(record)
        belongs[record.seq] = group[0].seq
    return list(groups.values())


def _needs(record: TaskRecord) -> list[int]:
    return json.loads(record.upstream)  # type: ignore[no-any-return]


def _one(record: TaskRecord, shown_by: dict[int, int], by_parent: dict[int | None, list[TaskRecord]]) -> Node:
    from nbflow.views.graph import Node

    call = record.key.rpartition("/")[2]
    return Node(
        id=str(record.seq),
        label=record.name if call.endswith("#1") else call,
        state=record.state,
        detail=_detail(record),
        hint=f"{record.key}\n{record.error_type}: {record.error_message}" if record.error_type else record.key,
        upstream=_upstream([record], shown_by),
        inside=_level(record.seq, by_parent) if record.kind == "flow" else (),
    )


def _many(group: list[TaskRecord], shown_by: dict[int, int]) -> Node:
    from nbflow.views.graph import Node

    states = Counter(record.state for record in group)
    return Node(
        id=str(group[0].seq),
        label=f"{group[0].name} \N{MULTIPLICATION SIGN}{len(group)}",
        state=next((state for state in _WORST_FIRST if states[state]), "succeeded"),
        detail="  ".join(f"{count} {MARK[state]}" for state, count in states.most_common()),
        hint=f"{len(group)} tasks of step {group[0].name}",
        upstream=_upstream(group, shown_by),
    )


def _upstream(group: Sequence[TaskRecord], shown_by: dict[int, int]) -> tuple[str, ...]:
    """Ids of the nodes that show what these tasks need."""
    found = dict.fromkeys(shown_by.get(seq, seq) for record in group for seq in _needs(record))
    found.pop(shown_by[group[0].seq], None)  # a loop in which a step needs the task before it
    return tuple(str(seq) for seq in found)


def _detail(record: TaskRecord) -> str:
    if record.error_type is not None and record.cause is None:
        return record.error_type.rpartition(".")[2]
    if record.cached_from is not None:
        return "cached"
    tries = f", {record.attempts} tries" if record.attempts > 1 else ""
    if record.started_at is None or record.finished_at is None:
        return tries.lstrip(", ")
    seconds = record.finished_at - record.started_at
    return (f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms") + tries
