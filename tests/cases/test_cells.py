"""Every case of the specification of cells, on every executor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.analysis.cells import from_content
from nbflow.analysis.plan import make_plan
from nbflow.analysis.statements import analyse
from nbflow.authoring.notebook import from_notebook
from tests.cases.cells import CASES, Case

pytestmark = pytest.mark.filterwarnings("default")  # as in a fresh kernel
BY_NAME = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def notebook_of(case: Case) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in case.cells])


def printed(logs: list[Any], number: int) -> str:
    text, inside = "", False
    for record in sorted(
        logs, key=lambda record: (record.seq, record.attempt, record.number)
    ):  # cells run side by side
        if record.stream == "cell":
            inside = json.loads(record.text)["number"] == number
            text = "" if inside else text
        elif inside and record.stream == "stdout":
            text += record.text
    return text


@BY_NAME
def test_a_step_takes_each_name_from_the_step_that_left_it(case: Case) -> None:
    book = from_content(json.loads(nbformat.writes(notebook_of(case))), "case.ipynb")
    plan = make_plan(book.cells, analyse(book.cells))
    edges = {
        (plan.steps[edge.source].step.cells[-1].number, planned.step.cells[0].number, edge.name)
        for planned in plan.steps
        for edge in planned.takes
    }
    assert set(case.edges) <= edges


@pytest.mark.parametrize("executor", ["serial", "threads", "processes", "dask"])
@BY_NAME
def test_a_flow_prints_what_the_notebook_prints(case: Case, executor: str, tmp_path: Path) -> None:
    path = tmp_path / "case.ipynb"
    nbformat.write(notebook_of(case), path)
    run = from_notebook(path).run(executor=executor, workers=2, db=f"sqlite:///{tmp_path}/runs.db")
    assert printed(run.logs(), len(case.cells)) == case.shown
