"""Results that are used again: for how long, for which inputs, and which never."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbflow import configure, errors, flow, step
from nbflow.testing.clock import VirtualClock

NOTES = Path("calls.txt")  # in the project of the test; processes append to it too


def note() -> None:
    with NOTES.open("a") as file:
        file.write("called\n")


def calls() -> int:
    count = len(NOTES.read_text().splitlines()) if NOTES.exists() else 0
    NOTES.unlink(missing_ok=True)
    return count


@step(cache=True)
def remembered(x: Any) -> Any:
    note()
    return x


@step(cache=timedelta(hours=1))
def for_an_hour(x: int) -> int:
    note()
    return x


@step(cache=True)
async def remembered_async(x: int) -> int:
    await asyncio.sleep(0)
    note()
    return x


@step(cache=True)
def fails(x: int) -> int:
    note()
    raise ValueError(x)


@step(cache=True)
def keys_in_order(mapping: dict[str, int]) -> list[str]:
    note()
    return list(mapping)


@flow
def one(made: Any, x: Any) -> Any:
    return made(x)


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("made", [remembered, for_an_hour, remembered_async], ids=str)
def test_a_second_run_takes_the_result_of_the_first(made: Any, executor: str) -> None:
    assert [one.run(made, 3, executor=executor).result() for _ in range(3)] == [3, 3, 3]
    assert calls() == 1


def test_a_result_is_forgotten_when_its_time_is_over() -> None:
    clock = VirtualClock()
    one.run(for_an_hour, 1, clock=clock)
    clock.advance(3599)
    one.run(for_an_hour, 1, clock=clock)
    assert calls() == 1
    clock.advance(2)
    one.run(for_an_hour, 1, clock=clock)
    assert calls() == 1


NAN = float("nan")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (NAN, float("nan"), True),
        ([NAN, 1], [float("nan"), 1], True),
        (np.array([1.0, NAN]), np.array([1.0, NAN]), True),
        ({1, 2, 3}, {3, 2, 1}, True),
        ([[1], [1]], [[1]] * 2, True),
        (1, True, False),
        (1, 1.0, False),
        (0.0, -0.0, False),
        ([0.0], [-0.0], False),
        ("1", 1, False),
        ((1, 2), [1, 2], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        (np.arange(4), np.arange(4.0), False),
        (np.arange(4).reshape(2, 2), np.arange(4), False),
        (np.float64(1), 1.0, False),
        (b"ab", bytearray(b"ab"), False),
        (frozenset({1}), {1}, False),
        (math.inf, -math.inf, False),
    ],
    ids=repr,
)
def test_inputs_are_the_same_if_no_step_could_tell_them_apart(first: Any, second: Any, same: bool) -> None:
    one.run(remembered, first)
    one.run(remembered, second)
    assert calls() == (1 if same else 2)


def test_the_order_of_a_dict_counts_since_a_step_sees_it() -> None:
    assert one(keys_in_order, {"a": 1, "b": 2}) == ["a", "b"]
    assert one(keys_in_order, {"b": 2, "a": 1}) == ["b", "a"]


def test_a_failure_is_not_remembered() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            one(fails, 1)
    assert calls() == 2


def test_results_of_other_steps_are_inputs_like_others() -> None:
    @flow
    def two(x: int) -> Any:
        return remembered(remembered([x]))

    assert [two(1), two(1)] == [[1], [1]]
    assert calls() == 2  # those of the first run


def test_a_cached_array_is_still_nobodys_but_the_readers() -> None:
    @step
    def overwrite(array: Any) -> float:
        array[:] = 0
        return float(array.sum())

    @flow
    def uses() -> Any:
        array = remembered(np.ones(100_000))
        return overwrite(array), float(array.sum())

    assert uses() == (0.0, 100_000.0)
    assert uses() == (0.0, 100_000.0)
    assert calls() == 1


def test_a_result_whose_artifact_is_gone_is_made_again() -> None:
    one(remembered, np.ones(100_000))
    for path in Path(".nbflow/artifacts").rglob("*"):
        if path.is_file():
            path.unlink()
    calls()
    assert one(remembered, np.ones(100_000)).sum() == 100_000
    assert calls() == 1


def test_a_result_with_a_foreign_signature_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one(remembered, 1)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "another home"))
    configure()
    with pytest.raises(errors.SignatureError):
        one(remembered, 1)
