"""Runs as pictures: what is folded, and what is not."""

from __future__ import annotations

import json
from typing import Any

from nbflow.client.pictures import run_picture
from nbflow.model.records import TaskRecord

TIMES = "\N{MULTIPLICATION SIGN}"


def task(seq: int, name: str, number: int, upstream: Any = (), **more: Any) -> TaskRecord:
    """A finished task; each is called after those before it."""
    values: dict[str, Any] = dict.fromkeys(TaskRecord._fields)
    values.update(
        run="r1", seq=seq, key=f"{name}#{number}", name=name, kind="step", state="succeeded", position=seq,
        upstream=json.dumps(list(upstream)), code_digest="", tags="", created_at=0.0, started_at=1.0, finished_at=2.5,
        attempts=1,
    )  # fmt: skip
    return TaskRecord(**{**values, **more})


def lines(records: list[TaskRecord]) -> list[str]:
    return run_picture("flow", records).text().splitlines()[1:]


def fan_out(count: int) -> list[TaskRecord]:
    """load, then `count` times train and score, then best; the third train failed."""
    trains = [task(2 + n, "train", n + 1, [1], state="failed" if n == 2 else "succeeded") for n in range(count)]
    scores = [task(2 + count + n, "score", n + 1, [2 + n]) for n in range(count)]
    best = task(2 + 2 * count, "best", 1, [score.seq for score in scores])
    return [task(1, "load", 1), *trains, *scores, best]


def test_many_equal_tasks_are_one_node_with_its_states_counted() -> None:
    assert lines(fan_out(1000)) == [
        "✓ load  1.5 s",
        f"✗ train {TIMES}1000  999 ✓  1 ✗  ← load",
        f"✓ score {TIMES}1000  1000 ✓  ← train {TIMES}1000",
        f"✓ best  1.5 s  ← score {TIMES}1000",
    ]


def test_few_tasks_stand_by_themselves() -> None:
    assert "✓ score#2  1.5 s  ← train#2" in lines(fan_out(3))


def test_a_loop_over_thousands_is_one_node() -> None:
    chain = [task(n + 1, "iterate", n + 1, [n] if n else []) for n in range(10_000)]
    assert lines(chain) == [f"✓ iterate {TIMES}10000  10000 ✓"]


def test_sub_flows_are_boxes_and_very_many_of_them_are_one() -> None:
    def calls(count: int) -> list[TaskRecord]:
        subs = [task(2 * n + 1, "sub", n + 1, kind="flow") for n in range(count)]
        return [*subs, *(task(2 * n + 2, "a", 1, parent=2 * n + 1, key=f"sub#{n + 1}/a#1") for n in range(count))]

    assert lines(calls(1)) == ["✓ sub  1.5 s", "    ✓ a  1.5 s"]
    assert lines(calls(100)) == [f"✓ sub {TIMES}100  100 ✓"]


def test_what_a_flow_noted_for_replay_is_no_task() -> None:
    assert lines([task(1, "@now", 1, kind="record")]) == []
