"""`nbflow test`: freezing a notebook and replaying its steps, as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat import v4

from nbflow.testing import freeze, replay
from tests.acceptance.conftest import Project

CELLS = (
    "# parameters\nrate = 0.5",
    "import numpy as np\nfrom dataclasses import dataclass",
    "@dataclass\nclass Line:\n    rate: float\n    coef_: object",
    "data = np.arange(5.0)\nprint('five')",
    "model = Line(rate, data * rate)",
    "np.random.seed(1)\ndrawn = np.random.rand(2)",
    "again = np.random.rand(2)",
    "class Closed:\n    def __setstate__(self, state):\n        raise ValueError('it opens nowhere else')",
    "closed = Closed()\nclosed.key = 1",
)


def notebook(project, cells=CELLS, name="book.ipynb"):
    written = [v4.new_code_cell(source) for source in cells]
    written[0].metadata["tags"] = ["parameters"]
    nbformat.write(v4.new_notebook(cells=written), project.folder / name)


@pytest.fixture(scope="module")
def frozen_once(tmp_path_factory):
    first = Project(tmp_path_factory.mktemp("first"))
    (first.folder / ".nbflow").mkdir()
    notebook(first)
    done = first.run("test", "book.ipynb", "--freeze")
    assert done.returncode == 0, done.stderr
    return first.folder


@pytest.fixture
def frozen(project, frozen_once):
    """A colleague's copy: the notebook and its frozen steps, with neither the database nor the key of who froze it."""
    shutil.copy(frozen_once / "book.ipynb", project.folder)
    shutil.copytree(frozen_once / "book.frozen", project.folder / "book.frozen")
    return project


def states(project, *options):
    return {report["step"]: report for report in project.json("test", "book.ipynb", *options)}


def test_what_is_frozen_passes(frozen):
    done = frozen.run("test", "book.ipynb", "--outputs")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing differs." in done.stdout
    assert {report["state"] for report in states(frozen).values()} == {"same"}


def test_a_change_is_told_by_step_and_path_until_it_is_frozen_again(frozen):
    frozen.edit("book.ipynb", "data * rate", "data * rate * (1 + 1e-4)")
    done = frozen.run("test", "book.ipynb")
    assert done.returncode == 1
    assert "\nmodel\n" in done.stdout
    assert "model.coef_[1]: 0.5 ≠ 0.50005 (rel. 1.0e-04 > 1e-06)" in done.stdout
    assert "freeze again: nbflow test book.ipynb --freeze --step model" in done.stdout
    assert frozen.run("test", "book.ipynb", "--rtol", "1e-3").returncode == 0
    assert frozen.run("test", "book.ipynb", "--freeze", "--step", "model").returncode == 0
    assert frozen.run("test", "book.ipynb").returncode == 0


def test_a_step_that_fails_is_told_with_its_traceback(frozen):
    frozen.edit("book.ipynb", "data * rate", "data / [][0]")
    report = states(frozen)["model"]
    assert report["state"] == "failed"
    assert "IndexError: list index out of range" in report["message"]


def test_other_versions_are_told_where_something_differs(frozen):
    frozen.edit("book.frozen/manifest.json", '"numpy": "', '"numpy": "0.')
    frozen.edit("book.ipynb", "data * rate", "data + rate")
    found = states(frozen)
    assert any(note.startswith("frozen with numpy 0.") for note in found["model"]["notes"])
    assert found["data"]["notes"] == []


def test_steps_that_go_and_come_are_told(frozen):
    notebook(frozen, [*CELLS[:3], "numbers = np.arange(5.0)", *CELLS[5:]])
    found = states(frozen)
    assert {name: found[name]["state"] for name in ("numbers", "data", "model")} == {
        "numbers": "new", "data": "gone", "model": "gone"
    }  # fmt: skip
    assert found["data"]["notes"] == ["if that is meant, freeze again: nbflow test book.ipynb --freeze"]


def test_a_step_that_takes_more_than_before_is_told(frozen):
    frozen.edit("book.ipynb", "again = np.random.rand(2)", "again = np.random.rand(2) * rate")
    report = states(frozen)["again"]
    assert report["differences"] == ["rate: is an input now, and was none when it was frozen"]


def test_random_numbers_go_on_from_the_frozen_state(frozen):
    frozen.edit("book.ipynb", "again = np.random.rand(2)", "np.random.rand()\\nagain = np.random.rand(2)")
    paths = [text.partition(":")[0] for text in states(frozen)["again"]["differences"]]
    assert paths == ["again[0]", "again[1]", "random numbers"]


def test_printed_text_counts_on_demand_only(frozen):
    frozen.edit("book.ipynb", "print('five')", "print('six')")
    assert states(frozen)["data"]["state"] == "same"
    assert states(frozen, "--outputs")["data"]["differences"] == [
        "outputs[0][0]['stdout']: 'five\\n' ≠ 'six\\n'"
    ]  # fmt: skip


def test_what_cannot_be_frozen_is_told_with_why(frozen):
    told = frozen.json("test", "book.ipynb", "--freeze")
    assert told["left_out"] == {}
    assert list(told["not_kept"]) == ["closed-2"]
    assert "it opens nowhere else" in told["not_kept"]["closed-2"]["closed"]


def test_parameters_and_a_finished_run(project):
    notebook(project)
    project.run("run", "book.ipynb", "-p", "rate=0.25")
    assert project.run("test", "book.ipynb", "--freeze", "--run", "last").returncode == 0
    manifest = json.loads((project.folder / "book.frozen" / "manifest.json").read_text())
    assert (manifest["version"], manifest["injected"]) == (1, "# Parameters\nrate = 0.25\n")
    assert project.run("test", "book.ipynb").returncode == 0


def test_a_run_that_fails_is_not_frozen(project):
    notebook(project, ["x = 1 / 0"])
    done = project.run("test", "book.ipynb", "--freeze")
    assert (done.returncode, "nbflow resume" in done.stderr) == (1, True)
    assert "ZeroDivisionError" in done.stderr
    assert not (project.folder / "book.frozen").exists()


def test_a_run_of_another_notebook_is_refused(project):
    notebook(project, ["x = 1"])
    notebook(project, ["x = 1"], "other.ipynb")
    project.run("run", "other.ipynb")
    done = project.run("test", "book.ipynb", "--freeze", "--run", "last")
    assert (done.returncode, "other.ipynb" in done.stderr) == (2, True)


def test_the_same_in_python(project):
    notebook(project, ["rate = 0.5", "twice = rate * 2"])
    path = project.folder / "book.ipynb"
    assert [step.name for step in freeze(path).steps] == ["parameters", "twice"]
    project.edit("book.ipynb", "rate * 2", "rate * 3")
    reports = replay(path)
    assert [(report.name, report.state) for report in reports] == [("parameters", "same"), ("twice", "different")]
    assert str(reports[1].differences[0]) == "twice: 1.0 ≠ 1.5 (rel. 5.0e-01 > 1e-06)"


def test_only_what_the_notebook_sets_of_the_environment_is_kept(project, monkeypatch):
    monkeypatch.setenv("BOOK_SECRET", "never-in-a-file")
    setting = "import os\nos.environ['BOOK_LEVEL'] = 'high'"
    notebook(project, ["x = 1", setting, "level = os.environ['BOOK_LEVEL'], 'BOOK_SECRET' in os.environ"])
    assert project.run("test", "book.ipynb", "--freeze").returncode == 0
    for path in (project.folder / "book.frozen").iterdir():
        assert b"never-in-a-file" not in path.read_bytes()
    assert project.run("test", "book.ipynb").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["book.ipynb"], 2, "Nothing is frozen of book.ipynb"),
        (["book.ipynb", "-p", "rate=1"], 2, "-p and --run are for --freeze"),
        (["book.ipynb", "--freeze", "--run", "nope"], 4, "database"),
        (["other.ipynb"], 2, "Nothing is frozen"),
    ],
)
def test_wrong_use_is_told(project, arguments, code, told):
    notebook(project)
    done = project.run("test", *arguments)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr


def test_a_damaged_file_is_not_loaded(frozen):
    path = next((frozen.folder / "book.frozen").glob("model-*.step"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    report = states(frozen)["model"]
    assert report["state"] == "failed"
    assert "was changed since the step was frozen" in report["message"]


def test_a_folder_of_another_format_is_refused(frozen):
    frozen.edit("book.frozen/manifest.json", '"version": 1', '"version": 9')
    done = frozen.run("test", "book.ipynb")
    assert done.returncode == 2
    assert "format 9" in done.stderr


def run_pytest(project, *arguments):
    # By module, whether or not the entry point is installed; with warnings as errors, as strict projects have it.
    plugins = ("no:nbflow", "nbflow.testing.plugin", "no:cacheprovider", "no:randomly")
    options = [text for name in plugins for text in ("-p", name)]
    command = [sys.executable, "-m", "pytest", *options, "-W", "error", *arguments]
    return subprocess.run(command, cwd=project.folder, env=os.environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["book.frozen"], [], ["-k", "model or data"]])
def test_pytest_runs_one_test_for_each_step(frozen, arguments):
    done = run_pytest(frozen, "-v", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "book.frozen/manifest.json::model PASSED" in done.stdout


def test_pytest_tells_the_differences(frozen):
    frozen.edit("book.ipynb", "data * rate", "data * rate * 2")
    done = run_pytest(frozen, "book.frozen")
    assert done.returncode == 1
    assert "model.coef_[1]: 0.5 ≠ 1.0 (rel. 1.0e+00 > 1e-06)" in done.stdout
    assert "1 failed" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_costs_nothing_at_start():
    script = (
        "import sys, pytest; known = set(sys.modules); import nbflow.testing.plugin; print(set(sys.modules) - known)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name for name in eval(done.stdout) if name.partition(".")[0] not in sys.stdlib_module_names}
    assert loaded == {"nbflow", "nbflow.testing", "nbflow.testing.plugin"}
