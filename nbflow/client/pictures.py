"""Tasks as nodes of a graph."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbflow.model.records import TaskRecord
from nbflow.views.palette import MARK
from nbflow.views.words import one_line, seconds_text

if TYPE_CHECKING:
    from nbflow.client.run import Run
    from nbflow.views.graph import Details, Node, Now, Picture

_MOST_ALIKE = 6  # tasks of one step with the same inputs that are drawn one by one; more become one node
_MOST_NODES = 300  # of one flow; beyond that all tasks of a step become one node, as in a loop over thousands
_WORST_FIRST = ("running", "failed", "timed_out", "cancelled", "skipped", "expired", "ready", "pending")
_HINT = 300  # characters of an error that pointing at a node shows


def run_graph(run: Run) -> Picture:
    """The tasks of a run as a picture that follows it to its end, and tells about each task."""
    from nbflow.views.graph import Now, Picture

    groups: dict[str, list[TaskRecord]] = {}

    def look() -> Now:
        over = run.state.finished or run.interrupted  # before its tasks: what is over then has its last tasks
        drawing = _Drawing([task.record for task in run.tasks()])
        groups.clear()
        groups.update(drawing.groups)
        return Now(drawing.nodes, over)

    def tell(identity: str) -> Details:
        return _details(run, identity, groups)

    now = look()
    title = f"{run.flow}, run {run.id}"
    return Picture(now.nodes, title, details=tell, refresh=None if now.over else look)


def _details(run: Run, identity: str, groups: dict[str, list[TaskRecord]]) -> Details:
    from nbflow.client.node_details import group_details, task_details
    from nbflow.views.graph import Details, Section

    group = groups.get(identity, [])
    if len(group) > 1:
        return group_details(group[0].name, group)
    found = next((task for task in run.tasks() if str(task.record.seq) == identity), None)
    if found is None:
        return Details(identity, sections=(Section("", "The run has no such task any more.", "doc"),))
    return task_details(found)


def run_picture(flow: str, records: Sequence[TaskRecord]) -> Picture:
    """Tasks of a run, as they were when they were read, as a picture."""
    from nbflow.views.graph import Picture

    return Picture(_Drawing(records).nodes, flow)


class _Drawing:
    """The nodes that stand for tasks, and which tasks each of them stands for."""

    def __init__(self, records: Sequence[TaskRecord]) -> None:
        self.groups: dict[str, list[TaskRecord]] = {}  # by id of their node
        self._by_parent: dict[int | None, list[TaskRecord]] = {}
        for record in sorted(records, key=lambda record: record.position):
            if record.kind != "record":
                self._by_parent.setdefault(record.parent, []).append(record)
        self.nodes = self._level(None)

    def _level(self, parent: int | None) -> tuple[Node, ...]:
        records = self._by_parent.get(parent, [])
        groups, most = _groups(records, same_inputs=True), _MOST_ALIKE
        if sum(len(group) if len(group) <= most else 1 for group in groups) > _MOST_NODES:
            groups, most = _groups(records, same_inputs=False), 1
        shown_by = {
            record.seq: group[0].seq if len(group) > most else record.seq for group in groups for record in group
        }
        nodes: list[Node] = []
        for group in groups:
            if len(group) > most:
                self.groups[str(group[0].seq)] = group
                nodes.append(_many(group, shown_by))
            else:
                nodes += [self._one(record, shown_by) for record in group]
        return tuple(nodes)

    def _one(self, record: TaskRecord, shown_by: dict[int, int]) -> Node:
        from nbflow.views.graph import Node

        self.groups[str(record.seq)] = [record]
        call = record.key.rpartition("/")[2]
        return Node(
            id=str(record.seq),
            label=record.name if call.endswith("#1") else call,
            state=record.state,
            detail=_detail(record),
            hint=_hint(record),
            upstream=_upstream([record], shown_by),
            inside=self._level(record.seq) if record.kind == "flow" else (),
            progress=record.progress,
        )


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


def _many(group: list[TaskRecord], shown_by: dict[int, int]) -> Node:
    from nbflow.views.graph import Node

    states = Counter(record.state for record in group)
    done = sum(count for state, count in states.items() if state not in ("running", "ready", "pending"))
    return Node(
        id=str(group[0].seq),
        label=f"{group[0].name} \N{MULTIPLICATION SIGN}{len(group)}",
        state=next((state for state in _WORST_FIRST if states[state]), "succeeded"),
        detail="  ".join(f"{count} {MARK[state]}" for state, count in states.most_common()),
        hint=f"{len(group)} tasks of step {group[0].name}",
        upstream=_upstream(group, shown_by),
        progress=done / len(group) if done else None,
    )


def _upstream(group: Sequence[TaskRecord], shown_by: dict[int, int]) -> tuple[str, ...]:
    """Ids of the nodes that show what these tasks need."""
    found = dict.fromkeys(shown_by.get(seq, seq) for record in group for seq in _needs(record))
    found.pop(shown_by[group[0].seq], None)  # a loop in which a step needs the task before it
    return tuple(str(seq) for seq in found)


def _hint(record: TaskRecord) -> str:
    lines = [record.key, record.state.replace("_", " ")]
    if record.started_at is not None and record.finished_at is not None:
        lines[1] += f" after {seconds_text(max(0.0, record.finished_at - record.started_at))}"
    if record.error_type is not None:
        lines.append(one_line(f"{record.error_type}: {record.error_message}", _HINT))
    elif record.error_message is not None:  # why its branch was not taken
        lines.append(one_line(record.error_message, _HINT))
    return "\n".join(lines)


def _detail(record: TaskRecord) -> str:
    if record.error_type is not None and record.cause is None:
        return record.error_type.rpartition(".")[2]
    if record.cached_from is not None:
        return "cached"
    tries = f", {record.attempts} tries" if record.attempts > 1 else ""
    if record.state == "running" and record.progress is not None:
        return f"{record.progress:.0%}{tries}"
    if record.started_at is None or record.finished_at is None:
        return tries.lstrip(", ")
    return seconds_text(max(0.0, record.finished_at - record.started_at)) + tries
