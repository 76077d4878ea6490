"""Every shape on every executor and both databases: the same value, the same states, and those of plain Python."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest

from nbflow import configure
from nbflow.client.run import Run
from tests.conformance.shapes import Shape, adversarial, basics, errors, python, timers, values

EXECUTORS = ("serial", "threads", "processes", "dask")
SHAPES = [*basics.SHAPES, *errors.SHAPES, *values.SHAPES, *adversarial.SHAPES, *python.SHAPES, *timers.SHAPES]
IDS = [shape.name for shape in SHAPES]


def test_there_are_enough_shapes() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) >= 60


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_shape_means_the_same_on_every_executor(shape: Shape, executor: str) -> None:
    _check(shape, shape.flow.run(*shape.args, executor=executor, workers=2))


@pytest.mark.postgres
@pytest.mark.parametrize("shape", SHAPES[::5], ids=IDS[::5])
def test_a_shape_means_the_same_on_dask_and_postgresql(shape: Shape, shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    _check(shape, shape.flow.run(*shape.args, executor="dask", workers=2))


@pytest.mark.postgres
@pytest.mark.parametrize("executor", [executor for executor in EXECUTORS if executor != "dask"])
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_shape_means_the_same_on_postgresql(shape: Shape, executor: str, shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    _check(shape, shape.flow.run(*shape.args, executor=executor, workers=2))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.plain], ids=lambda shape: shape.name)
def test_plain_python_gives_the_same(shape: Shape) -> None:
    if shape.error is None:
        assert shape.same(shape.flow.plain(*shape.args), shape.value)
    else:
        with pytest.raises(shape.error, match=shape.match):
            shape.flow.plain(*shape.args)


@pytest.mark.parametrize("executor", ["serial", "threads"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if "depth 5" in shape.name or "sub-flow" in shape.name],
                         ids=lambda shape: shape.name)  # fmt: skip
def test_sub_flows_need_one_worker_only(shape: Shape, executor: str) -> None:
    _check(shape, shape.flow.run(*shape.args, executor=executor, workers=1))


def _check(shape: Shape, run: Run) -> None:
    if shape.error is None:
        assert run.error is None, run.explanation()
        assert shape.same(run.result(), shape.value)
        assert run.state == "succeeded"
        assert shape.same(Run(run.id).result(), shape.value)  # as the database has it
    else:
        assert run.state == shape.ends
        with pytest.raises(shape.error, match=shape.match):
            run.result()
    states = {task.key: str(task.state) for task in run.tasks()}
    assert {key: states.get(key) for key in shape.states} == shape.states
    assert {key: run[key].record.attempts for key in shape.attempts} == shape.attempts
    assert not {"pending", "ready", "running"} & set(states.values())
    _forget_calls()


def _forget_calls() -> None:
    with contextlib.suppress(FileNotFoundError):
        os.remove(errors.PATH)


@pytest.fixture(autouse=True)
def _quiet(caplog: Any) -> None:
    caplog.set_level("ERROR", logger="nbflow")  # shapes that ignore errors warn about it; test_ignored looks at that
