from __future__ import annotations

import json

import pytest

from tests.acceptance.conftest import Project

FLOWS = """
from nbflow import flow, step

FACTOR = 2

def note(name):
    with open("calls.txt", "a") as file:
        file.write(name + "\\n")

def helper(x):
    return x * FACTOR

@step
def load(x):
    note("load")
    return [x, x + 1]

@step
def scale(values):
    note("scale")
    return [helper(value) for value in values]

@step
def other(values):
    note("other")
    return len(values)

@step
def report(values, count):
    note("report")
    raise ValueError("not written yet")

@flow
def analysis(x: int = 1):
    values = load(x)
    return report(scale(values), other(values))
"""


@pytest.fixture
def failed(project: Project) -> Project:
    """A project whose last run failed in its last step."""
    project.write("flows.py", FLOWS)
    assert project.run("run", "flows:analysis").returncode == 1
    assert project.calls() == ["load", "other", "report", "scale"]
    return project


def _mend(project: Project) -> None:
    project.edit("flows.py", 'raise ValueError("not written yet")', "return sum(values) + count")


def test_only_what_failed_runs_again(failed: Project) -> None:
    _mend(failed)
    done = failed.json("resume", "last")
    assert (done["state"], failed.calls()) == ("succeeded", ["report"])


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ('note("scale")', 'note("scale"); values = values[:1]', ["report", "scale"]),
        ("FACTOR = 2", "FACTOR = 3", ["report", "scale"]),
        ("return x * FACTOR", "return x * FACTOR + 0", ["report", "scale"]),
        ("return [x, x + 1]", "return [x, x + 2]", ["load", "other", "report", "scale"]),
        ("return [x, x + 1]", "return list((x, x + 1))", ["load", "report"]),
        ("    return len(values)", "    # a comment\n    return len(values)", ["report"]),
        ("def other(values):\n", 'def other(values):\n    """A docstring."""\n\n', ["report"]),
        ("    return len(values)", "    return (len(values))", ["report"]),
        ("@step\ndef other", "@step(retries=3, tags=['x'])\ndef other", ["report"]),
        ("@step\ndef other", "@step(version='2')\ndef other", ["other", "report"]),
    ],
    ids=[
        "step",
        "constant",
        "helper",
        "value of an input",
        "same value",
        "comment",
        "docstring",
        "brackets",
        "options",
        "version",
    ],
)
def test_what_has_changed_runs_again_and_what_depends_on_it(
    failed: Project, old: str, new: str, again: list[str]
) -> None:
    _mend(failed)
    failed.edit("flows.py", old, new)
    assert failed.json("resume", "last")["state"] == "succeeded"
    assert failed.calls() == again


def test_another_path_is_an_error_that_names_the_call(failed: Project) -> None:
    failed.edit("flows.py", "    values = load(x)\n", "    values = other([x])\n")
    done = failed.run("resume", "last")
    assert done.returncode == 1
    assert "took another path" in done.stdout
    assert "'load#1'" in done.stdout
    assert "'other#1'" in done.stdout


def test_a_run_that_does_not_exist(project: Project) -> None:
    assert project.run("resume", "nothing").returncode == 4  # there is no database at all
    project.write("flows.py", FLOWS)
    project.run("run", "flows:analysis")
    done = project.run("resume", "nothing")
    assert done.returncode == 3
    assert "There is no run 'nothing'" in done.stderr


def test_a_succeeded_run_is_left_alone(failed: Project) -> None:
    _mend(failed)
    failed.run("resume", "last")
    failed.calls()
    assert failed.run("resume", "last").returncode == 0
    assert failed.calls() == []


def test_lost_code_is_told_with_the_way_out(failed: Project) -> None:
    (failed.folder / "flows.py").unlink()
    done = failed.run("resume", "last")
    assert done.returncode == 2
    assert "--flow" in done.stderr


def test_a_changed_row_is_not_trusted(failed: Project) -> None:
    import sqlite3

    with sqlite3.connect(failed.folder / ".nbflow" / "nbflow.db") as connection:
        connection.execute(
            "UPDATE payloads SET result = CAST(x'00' || substr(result, 2) AS BLOB) WHERE result IS NOT NULL"
        )
    connection.close()
    done = failed.run("resume", "last")
    assert done.returncode == 4
    assert "signature" in done.stdout + done.stderr


def test_attempts_are_counted_over_resumes(failed: Project) -> None:
    failed.run("resume", "last")
    shown = failed.json("show", "last")
    assert {task["key"]: task["attempts"] for task in shown["tasks"]}["report#1"] == 2


BIG = """
import numpy as np
from nbflow import flow, step

@step
def make():
    with open("calls.txt", "a") as file: file.write("make\\n")
    return np.ones(100_000)

@step
def use(array):
    raise ValueError("later")

@flow
def big():
    return use(make())
"""


def _artifacts(project: Project) -> list[object]:
    return [path for path in (project.folder / ".nbflow" / "artifacts").rglob("*") if path.is_file()]


def test_a_missing_artifact_is_made_again(project: Project) -> None:
    project.write("flows.py", BIG)
    project.run("run", "flows:big")
    for path in _artifacts(project):
        path.unlink()  # type: ignore[attr-defined]
    project.calls()
    project.edit("flows.py", 'raise ValueError("later")', "return float(array.sum())")
    assert project.json("resume", "last")["state"] == "succeeded"
    assert project.calls() == ["make"]
    assert any("gone from the store" in json.dumps(event) for event in project.json("show", "last")["events"])


def test_a_changed_artifact_is_refused(project: Project) -> None:
    project.write("flows.py", BIG)
    project.run("run", "flows:big")
    for path in _artifacts(project):
        content = bytearray(path.read_bytes())  # type: ignore[attr-defined]
        content[-1] ^= 1
        path.write_bytes(content)  # type: ignore[attr-defined]
    project.edit("flows.py", 'raise ValueError("later")', "return float(array.sum())")
    done = project.run("resume", "last")
    assert done.returncode == 4
    assert "not what was stored" in done.stdout
