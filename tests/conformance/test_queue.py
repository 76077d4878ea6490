"""The shapes on the queue, with the flow function here and with it on a worker, suspended wherever it waits."""

from __future__ import annotations

import pytest

from nbflow import configure
from tests.conformance.shapes import Shape
from tests.conformance.test_flows import IDS, SHAPES, _check
from tests.workers import running_worker

_HURRY = "0.1"  # seconds without news after which a run is suspended; else it would hardly ever happen here


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_shape_means_the_same_on_the_queue(shape: Shape) -> None:
    with running_worker():
        _check(shape, shape.flow.run(*shape.args, executor="queue"))


@pytest.mark.postgres
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_shape_means_the_same_on_a_queue_in_postgresql(shape: Shape, shared_postgres_url: str) -> None:
    configure(db=shared_postgres_url)
    with running_worker():
        _check(shape, shape.flow.run(*shape.args, executor="queue"))


@pytest.mark.timeout(150)
@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_shape_means_the_same_where_nobody_waits(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", _HURRY)
    with running_worker(concurrency=1 + SHAPES.index(shape) % 2):  # with one place, whatever waits has to lend it
        _check(shape, shape.flow.submit(*shape.args, executor="queue").wait(120))
