"""`%flow promote FLOW` in a real kernel: a flow of a notebook becomes a deployment that a worker runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Project
from tests.acceptance.kernel_session import Session

FLOW = """
from nbflow import flow, step

@step
def double(x: int) -> int:
    return 2 * x

@flow
def doubling(start: int = 3) -> int:
    return double(start) + 0
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    found = Session(tmp_path_factory.mktemp("kernel"))
    found.cells_of("%load_ext nbflow", FLOW)
    yield found
    found.close()


def test_a_flow_of_the_notebook_is_promoted_and_a_worker_runs_it_without_the_kernel(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NBFLOW_HOME", str(session.folder / "home"))
    project = Project(session.folder)
    told = session.cell("%flow promote doubling --every 1h start=20", page=False)
    assert not told.error, told.error
    assert "doubling is version 1" in told.text
    assert "<deployment 'doubling'>" in told.text
    run = project.json("trigger", "doubling", "-p", "start=21")["run"]
    project.run("worker", "-c", "1", "--burst")
    shown = project.json("show", run)
    assert (shown["state"], shown["deployment"], shown["parameters"]) == ("succeeded", "doubling", {"start": "21"})
    assert session.cell(f"import nbflow; nbflow.Run({run!r}).result()", page=False).text == "42"


def test_without_a_schedule_there_is_a_form_for_the_flow(session: Session) -> None:
    told = session.cell("form = %flow promote doubling --name other\nprint(repr(form))", page=False)
    assert not told.error, told.error
    assert "promote other:" in told.text


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("promote tripling", "tripling is not defined here, and no flow. Flows here: doubling."),
        ("promote double", "double is a Step, and no flow."),
        ("promote doubling other", "takes one flow, not doubling and other"),
        ("promote doubling --every 1h stat=1", "has no parameter 'stat'. Did you mean 'start'?"),
        ("promote doubling --every 1h start=x", "parameter 'start' is an int, and 'x' is not"),
    ],
)
def test_what_cannot_be_promoted_is_told(session: Session, line: str, problem: str) -> None:
    assert problem in session.cell(f"%flow {line}", page=False).trace
