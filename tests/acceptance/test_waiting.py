"""Whoever waits for a run on workers sees what its steps show, while they run."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from nbflow import configure, flow, step
from nbflow.model.errors import RunFailedError
from tests.acceptance.kernel_session import Session
from tests.acceptance.workers import WorkerProcess
from tests.servers import wait_until
from tests.workers import running_worker

NOTEBOOK = """
from pathlib import Path
from IPython.display import HTML, display
from nbflow import flow, step

@step
def shows():
    print("from a worker")
    display(HTML("<b>as a display</b>"))
    return 1

@flow
def remote():
    return shows()
"""


@step
def speaks(heard: str) -> int:
    print("one")
    print("to the other stream", file=sys.stderr)
    wait_until(Path(heard).exists, 30)  # ends only when what it wrote was seen
    print("two")
    return 1


@flow
def talk(heard: str) -> int:
    return speaks(heard)


class Ear(io.StringIO):
    """A stream that leaves a file when it is written to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def write(self, text: str) -> int:
        """Write, and tell of it."""
        if "one" in text:
            self.path.touch()
        return super().write(text)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def _database(request):
    if request.param == "postgresql":
        configure(db=request.getfixturevalue("postgres_server").new_database())


@pytest.mark.usefixtures("_database")
def test_what_steps_on_workers_print_is_seen_while_they_run(tmp_path, monkeypatch, capsys):
    heard = tmp_path / "heard"
    ear = Ear(heard)
    monkeypatch.setattr(sys, "stdout", ear)
    with running_worker():
        assert talk.submit(str(heard), executor="queue").result(timeout=60) == 1
    assert ear.getvalue() == "one\ntwo\n"
    assert "to the other stream" in capsys.readouterr().err


def test_nothing_is_shown_if_the_setting_is_off(tmp_path, capsys):
    configure(echo=False)
    (tmp_path / "heard").touch()
    with running_worker():
        run = talk.submit(str(tmp_path / "heard"), executor="queue").wait(60)
    assert capsys.readouterr().out == ""
    assert "one" in "".join(piece.text for piece in run.logs())


def test_a_run_that_is_over_shows_nothing_again(tmp_path, capsys):
    (tmp_path / "heard").touch()
    with running_worker():
        run = talk.submit(str(tmp_path / "heard"), executor="queue").wait(60)
        assert capsys.readouterr().out == "one\ntwo\n"
    assert run.result() == 1
    assert capsys.readouterr().out == ""


def test_waiting_ends_with_its_timeout(tmp_path):
    with pytest.raises(TimeoutError, match=r"still ready after 0\.1 seconds"):
        talk.submit(str(tmp_path), executor="queue").wait(0.1)


@pytest.mark.timeout(120)
def test_displays_of_workers_are_shown_under_the_cell_that_waits(tmp_path, monkeypatch):
    session = Session(tmp_path)
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path / "home"))  # as the session has it: the same signing key
    session.cell(NOTEBOOK)
    worker = WorkerProcess(f"sqlite:///{tmp_path}/.nbflow/nbflow.db", "--concurrency", "2")
    try:
        answer = session.cell('remote.submit(executor="queue").result(60)')
        assert not answer.error, answer.trace
        assert "from a worker" in answer.text
        assert "as a display" in answer.plain_html
    finally:
        worker.kill()
        session.close()


def test_a_run_that_no_worker_can_go_on_with_says_why(monkeypatch):
    run = talk.submit("nowhere", executor="queue")
    monkeypatch.setenv("NBFLOW_SIGNING_KEY", "ab" * 32)
    with running_worker(), pytest.raises(RunFailedError, match="signature"):
        run.wait(60)
