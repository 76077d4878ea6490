"""Every shape, its history cut off at random instants, goes on elsewhere to the same end."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from nbflow import configure
from nbflow.client.run import Run
from tests.conformance.cut import cut
from tests.conformance.shapes import Shape, errors
from tests.conformance.test_flows import EXECUTORS, SHAPES

ROUNDS = 3
# What these give depends on how often something was tried, which a resume adds to.
COUNTING = {"context of an attempt", "idempotency key"}
RESUMABLE = [shape for shape in SHAPES if shape.name not in COUNTING and "timeout" not in shape.name]


@pytest.mark.parametrize("shape", RESUMABLE, ids=lambda shape: shape.name)
def test_a_run_that_was_killed_anywhere_goes_on_to_the_same_end(shape: Shape) -> None:
    _resume_after_cuts(shape, random.Random(shape.name))


@pytest.mark.postgres
@pytest.mark.parametrize("shape", RESUMABLE[::5], ids=lambda shape: shape.name)
def test_a_run_that_was_killed_anywhere_goes_on_in_postgresql(shape: Shape, shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    _resume_after_cuts(shape, random.Random(shape.name))


def _resume_after_cuts(shape: Shape, chance: random.Random) -> None:
    for _ in range(ROUNDS):
        run = shape.flow.run(*shape.args, executor=chance.choice(EXECUTORS), workers=2)
        _forget_calls()
        kept = cut(run.id, chance)
        before = _finish_times(run.id, kept)
        resumed = Run(run.id).resume(spec=shape.flow.spec, executor=chance.choice(EXECUTORS))
        _check(shape, resumed)
        assert _finish_times(run.id, kept) == before, "what was finished ran again"
        _forget_calls()


def _check(shape: Shape, run: Run) -> None:
    if shape.error is None:
        assert run.error is None, run.explanation()
        assert shape.same(run.result(), shape.value)
    else:
        with pytest.raises(shape.error, match=shape.match):
            run.result()
    states = {task.key: str(task.state) for task in run.tasks()}
    assert {key: states.get(key) for key in shape.states} == shape.states
    assert not {"pending", "ready", "running"} & set(states.values())


def _finish_times(run: str, keys: set[str]) -> dict[str, float | None]:
    return {task.key: task.record.finished_at for task in Run(run).tasks() if task.key in keys}


def _forget_calls() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(errors.PATH)


@pytest.fixture(autouse=True)
def _quiet(caplog: Any) -> Iterator[None]:
    caplog.set_level("ERROR", logger="nbflow")
    yield
    _forget_calls()
