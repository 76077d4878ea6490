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


def run_picture(flow: str, records: Sequence[TaskRecord]) -> Picture:
    """The tasks of a run as a picture."""
    from nbflow.views.graph import Picture

    by_parent: dict[int | None, list[TaskRecord]] = {}
    for record in records:
        if record.kind != "record":
            by_parent.setdefault(record.parent, []).append(record)
    return Picture(_level(None, by_parent), flow)


def _level(parent: int | None, by_parent: dict[int | None, list[TaskRecord]]) -> tuple[Node, ...]:
    groups: dict[tuple[str, str, bool], list[TaskRecord]] = {}
    belongs: dict[int, str] = {}  # seq → id of the node that shows it
    for record in sorted(by_parent.get(parent, ()), key=lambda record: record.position):
        # Tasks of one step that depend on the same nodes look alike; sub-flows are shown by themselves.
        upstream = ",".join(sorted({belongs.get(seq, str(seq)) for seq in json.loads(record.upstream)}))
        shape = (record.name, upstream, True) if record.kind != "flow" else (record.key, upstream, False)
        groups.setdefault(shape, []).append(record)
        belongs[record.seq] = str(groups[shape][0].seq)
    nodes: list[Node] = []
    for group in groups.values():
        if len(group) > _MOST_ALIKE:
            nodes.append(_many(group, belongs))
        else:
            nodes += [_one(record, belongs, groups, by_parent) for record in group]
    return tuple(_in_order(nodes))


def _one(
    record: TaskRecord,
    belongs: dict[int, str],
    groups: dict[tuple[str, str, bool], list[TaskRecord]],
    by_parent: dict[int | None, list[TaskRecord]],
) -> Node:
    from nbflow.views.graph import Node

    folded = {str(group[0].seq) for group in groups.values() if len(group) > _MOST_ALIKE}
    upstream = [belongs[seq] if belongs.get(seq) in folded else str(seq) for seq in json.loads(record.upstream)]
    return Node(
        id=str(record.seq),
        label=record.key.rpartition("/")[2] if "#1" not in record.key[-2:] else record.name,
        state=record.state,
        detail=_detail(record),
        hint=f"{record.key}\n{record.error_type}: {record.error_message}" if record.error_type else record.key,
        upstream=tuple(upstream),
        inside=_level(record.seq, by_parent) if record.kind == "flow" else (),
    )


def _many(group: list[TaskRecord], belongs: dict[int, str]) -> Node:
    from nbflow.views.graph import Node

    states = Counter(record.state for record in group)
    worst = next((state for state in ("running", "failed", "timed_out", "cancelled", "skipped", "ready", "pending")
                  if states[state]), "succeeded")  # fmt: skip
    upstream = dict.fromkeys(belongs.get(seq, str(seq)) for record in group for seq in json.loads(record.upstream))
    return Node(
        id=str(group[0].seq),
        label=f"{group[0].name} x{len(group)}",
        state=worst,
        detail="  ".join(f"{count} {MARK[state]}" for state, count in sorted(states.items())),
        hint=f"{len(group)} tasks of step {group[0].name}",
        upstream=tuple(upstream),
    )


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


def _in_order(nodes: list[Node]) -> list[Node]:
    """Nodes after those that they need: folding may have brought one forward."""
    done: dict[str, Node] = {}
    waiting = {node.id: node for node in nodes}
    while waiting:
        ready = [node for node in waiting.values() if not any(up in waiting for up in node.upstream if up != node.id)]
        for node in ready or list(waiting.values())[:1]:
            done[node.id] = waiting.pop(node.id)
    return list(done.values())
