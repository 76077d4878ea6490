"""An executor of another package, found by its entry point, gives what the built-in ones give."""

from __future__ import annotations

import pytest

from tests.conformance.shapes import Shape, basics, errors, timers
from tests.conformance.test_flows import _check

SHAPES = [*basics.SHAPES, *errors.SHAPES, *timers.SHAPES]


@pytest.fixture(autouse=True)
def _installed(tmp_path, monkeypatch):
    info = tmp_path / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[nbflow.executors]\nelsewhere = tests.conformance.elsewhere:ElsewhereExecutor\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_a_shape_means_the_same_on_an_executor_of_another_package(shape: Shape) -> None:
    _check(shape, shape.flow.run(*shape.args, executor="elsewhere", workers=2))
