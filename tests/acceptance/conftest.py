"""A project folder with a flow file that tests edit between commands."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nbflow import Queue, configure
from tests.acceptance.kernel_session import Session
from tests.acceptance.workers import WorkerProcess
from tests.commands import run_command


class Project:
    """A folder, and the nbflow command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.write_text(text)
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a part of a file."""
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `nbflow` with these arguments."""
        environment = {**os.environ, "NBFLOW_ECHO": "false", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        return run_command(arguments, self.folder, environment)

    def json(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        done = self.run(*arguments, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def calls(self) -> list[str]:
        """What the steps noted in calls.txt, and forget it."""
        path = self.folder / "calls.txt"
        lines = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(lines)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    folder = tmp_path / "work"
    (folder / ".nbflow").mkdir(parents=True)
    return Project(folder)


@pytest.fixture
def queue(db_url: str) -> Queue:
    """The default queue of an empty database, of each kind in turn."""
    return Queue(db=db_url)


@pytest.fixture
def suspended_soon(db_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows that wait on workers of this database leave their place after a tenth of a second."""
    configure(db=db_url)
    monkeypatch.setenv("NBFLOW_SUSPEND_AFTER", "0.1")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A file in which jobs write down what they do."""
    return tmp_path / "side.log"


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A file for which jobs wait; it is not there yet."""
    return tmp_path / "go"


@pytest.fixture
def start_worker(db_url: str) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers with some options, and ends them after the test."""
    started: list[WorkerProcess] = []

    def start(*options: str) -> WorkerProcess:
        started.append(WorkerProcess(db_url, *options))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A kernel with nbflow loaded, and the empty notebook that is open in it."""
    opened = Session(tmp_path_factory.mktemp("kernel"))
    opened.cell("%load_ext nbflow", page=False)
    yield opened
    opened.close()


@pytest.fixture
def session(kernel: Session) -> Session:
    """The module's kernel, as if nothing had been typed yet."""
    kernel.clear()
    return kernel
