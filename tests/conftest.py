"""Fixtures for all tests: a project folder for each, and databases of both kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.servers import PostgresServer, S3Server, running

# How long an example takes says more about the machine than about our code; `tests/bench` measures.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the session (for each process of pytest-xdist)."""
    with running(PostgresServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres_server.new_database()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nbflow.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the session (for each process of pytest-xdist)."""
    with running(S3Server) as server:
        yield server


@pytest.fixture
def s3_url(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty artifact store on S3; the environment leads to its server."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    return f"s3://{s3_server.new_bucket()}/artifacts"


@pytest.fixture(autouse=True)
def _own_project(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test works in a folder and a home of its own, with default settings."""
    from nbflow import settings
    from nbflow.engine import stores

    defaults = dict.fromkeys(field.name for field in dataclasses.fields(settings.Settings))

    project = tmp_path_factory.mktemp("project")
    (project / ".nbflow").mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("NBFLOW_HOME", str(project / "home"))
    yield
    settings.configure(**defaults)
    stores.close_all()
