"""Notebook flows: parameters, failures and the executed notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.authoring.notebook import NotebookFlow, from_notebook
from nbflow.model.errors import NotebookError, ParameterError


def book(tmp_path: Path, *sources: str, parameters: str | None = None) -> NotebookFlow:
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    if parameters is not None:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    path = tmp_path / "book.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return from_notebook(path)


def execute(flow: NotebookFlow, tmp_path: Path, **parameters: Any) -> tuple[Any, Any]:
    run = flow.run(executor="serial", db=f"sqlite:///{tmp_path}/runs.db", **parameters)
    flow.save(run.logs(), tmp_path / "executed.ipynb", parameters)
    return run, nbformat.read(tmp_path / "executed.ipynb", 4)


def values_of(run: Any) -> Any:
    return run.result().bind(lambda key: run[key].result())


def test_parameters_are_injected_after_their_cell(tmp_path: Path) -> None:
    run, executed = execute(book(tmp_path, "y = rate * 2", parameters="rate = 1.0"), tmp_path, rate=4)
    assert values_of(run)["y"] == 8.0
    assert executed.cells[1].metadata.tags == ["injected-parameters"]


def test_a_wrong_parameter_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        book(tmp_path, parameters="rate = 1.0").run(rates=1)


def test_a_failed_cell_shows_its_error_and_later_cells_are_left_alone(tmp_path: Path) -> None:
    run, executed = execute(book(tmp_path, "x = 1", "x / 0", "x + 1", "print(x)"), tmp_path)
    assert run.state == "failed"
    assert executed.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert executed.cells[1].metadata.nbflow.status == "failed"


def test_the_time_of_a_cell_is_limited_as_that_of_a_step_is(tmp_path: Path) -> None:
    sources = ("%%step late expires=0.000001\nx = 1", "%%step silent heartbeat_timeout=0.3\nwhile True:\n    y = 1")
    run, _ = execute(book(tmp_path, *sources), tmp_path)
    assert {task.name: str(task.state) for task in run.tasks()} == {"late": "expired", "silent": "timed_out"}


def test_final_values_can_be_read(tmp_path: Path) -> None:
    run, _ = execute(book(tmp_path, "x = [1]", "x.append(2)", "y = x"), tmp_path)
    assert dict(values_of(run)) == {"x": [1, 2], "y": [1, 2]}


def test_a_final_value_that_cannot_be_kept_says_why(tmp_path: Path) -> None:
    run, _ = execute(book(tmp_path, "g = (n for n in range(3))"), tmp_path)
    with pytest.raises(NotebookError, match="generator"):
        values_of(run)["g"]


def test_the_models_of_the_quickstart_are_trained_side_by_side():
    notebook = Path(__file__).parents[3] / "notebooks" / "quickstart.ipynb"
    nodes = {node.label: node for node in from_notebook(notebook).graph().nodes}
    before = {nodes["parameters"].id, nodes["prepare"].id}
    for model in ("logistic", "forest", "boosting", "neighbours"):
        assert set(nodes[model].upstream) == before
