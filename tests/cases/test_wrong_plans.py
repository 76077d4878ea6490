"""Plans that are wrong: what a step takes, changes or shares is planted falsely, and the values are right all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from nbflow.analysis import calls, statements
from nbflow.analysis.facts import CellFacts
from nbflow.authoring import notebook as authoring
from nbflow.authoring.notebook import from_notebook
from nbflow.client.run import Run

pytestmark = pytest.mark.filterwarnings("default")  # as in a fresh kernel
# For each: cells, a name, and its final value. The plan knows of none of the changes, links or effects.
NOTEBOOKS = {
    "a change": (["a = [1]", "a.append(2)", "b = len(a)"], "b", 2),
    "a change through an alias": (["a = [1]\nb = a", "b.append(2)", "c = len(a)"], "c", 2),
    "a change through a container": (["a = [1]\nd = {'k': [a]}", "d['k'][0].append(2)", "c = len(a)"], "c", 2),
    "an alias made in the next cell": (["a = [1]", "b = [a]", "b[0].append(2)", "c = len(a)"], "c", 2),
    "a change in a function": (["a = [1]\ndef f(x): x.append(2)", "f(a)", "c = len(a)"], "c", 2),
    "an object's own change": (["class A:\n    n = 0\n    def up(self): self.n += 1\na = A()", "a.up()", "c = a.n"], "c", 1),
    "a global set in a function": (["def f():\n    global g\n    g = 5", "f()", "c = g"], "c", 5),
    "a class attribute": (["class A:\n    n = 0\ndef f(): A.n += 1", "f()", "c = A.n"], "c", 1),
    "a view": (["import numpy as np\na = np.zeros(3)\nv = a[:2]", "v[0] = 7", "c = int(a[0])"], "c", 7),
    "a closure": (
        ["def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n    return up\nf = make()", "f()", "c = f()"],
        "c",
        2,
    ),
    "random numbers": (["import random\nrandom.seed(1)", "a = random.random()", "c = random.random() != a"], "c", True),
    "the environment": (["import os", "os.environ['NBX_PLANTED'] = '1'", "c = os.environ.get('NBX_PLANTED')"], "c", "1"),
}  # fmt: skip


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the analysis tell only which names a cell reads and binds by its own text, as if it knew nothing else."""
    analyse = statements.analyse

    def poor(cells: Any) -> list[CellFacts]:
        found = analyse(cells)
        for cell, facts in zip(cells, found, strict=True):
            shown = {node.id for node in calls.ast.walk(cell.tree) if hasattr(node, "id")}
            facts.events = [event for event in facts.events if event.kind == "bind"]
            facts.changes.clear()
            facts.effects.clear()
            for names in (facts.reads, facts.defines):
                for name in [name for name in names if name not in shown]:
                    del names[name]
            facts.certain &= set(facts.defines)
        return found

    monkeypatch.setattr(authoring, "analyse", poor)


def run_of(cells: list[str], folder: Path, executor: str) -> Run:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(book, folder / "planted.ipynb")
    return from_notebook(folder / "planted.ipynb").run(executor=executor, workers=2, db=f"sqlite:///{folder}/runs.db")


@pytest.mark.usefixtures("blind")
@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_wrong_plan_costs_time_and_gives_the_right_values(name: str, executor: str, tmp_path: Path) -> None:
    cells, wanted, value = NOTEBOOKS[name]
    run = run_of(cells, tmp_path, executor)
    assert run.values[wanted] == value
    assert len(run.tasks()) > len(cells), "no step ran again: nothing was planted"


@pytest.fixture
def outside(blind: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what cells do beside binding names only this is seen: the third one writes a file."""
    poor = authoring.analyse

    def but_outside(cells: Any) -> list[CellFacts]:
        found = poor(cells)
        found[2].effects["outside"] = statements.Mark(1, "writes a file")
        return found

    monkeypatch.setattr(authoring, "analyse", but_outside)


@pytest.mark.usefixtures("outside")
def test_what_cannot_be_undone_waits_until_all_before_it_is_right(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    cells = ["a = [1]", "a.append(2)", f"with open({str(log)!r}, 'a') as f: f.write(str(len(a)))"]
    assert run_of(cells, tmp_path, "processes").state == "succeeded"
    assert log.read_text() == "2"


@pytest.mark.usefixtures("outside")
def test_what_cannot_travel_joins_its_steps_before_anything_between_them_has_run(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    cells = [
        "def count():\n    yield 1",
        "it = count()",
        f"with open({str(log)!r}, 'a') as f: f.write('x')",
        "a = next(it)",
    ]
    assert run_of(cells, tmp_path, "processes").values["a"] == 1
    assert log.read_text() == "x"


@pytest.mark.usefixtures("outside")
def test_a_wrong_plan_that_a_repetition_cannot_mend_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    cells = [
        "def count():\n    yield 1\ndef use():\n    return next(it)",
        "it = count()",
        f"with open({str(log)!r}, 'a') as f: f.write('x')",
        "a = use()",
    ]
    run = run_of(cells, tmp_path, "processes")
    assert run.state == "failed"
    assert "cell 3 would have to run again" in str(run.error)
    assert "%%step" in str(run.error)
    assert log.read_text() == "x"


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_the_error_of_a_step_that_had_a_wrong_value_is_nobodys(executor: str, tmp_path: Path) -> None:
    borg = "class Borg:\n    state = {}\n    def __init__(self): self.__dict__ = self.state\na = Borg()"
    run = run_of([borg, "b = Borg(); b.x = 5", "found = a.x"], tmp_path, executor)
    assert "failed" in {str(task.state) for task in run.tasks()}, "no step had a wrong value: nothing is shown"
    assert (run.state, run.values["found"]) == ("succeeded", 5)
