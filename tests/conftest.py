"""Fixtures for all tests: a project folder for each, and databases of both kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import PostgresServer, S3Server, running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the session (for each process of pytest-xdist)."""
    with running(PostgresServer) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def postgres_tables(postgres_server: PostgresServer) -> str:
    """The URL of a PostgreSQL database with nbflow's tables, to be copied."""
    from nbflow.storage.database import open_database

    url = postgres_server.new_database()
    open_database(url).close()
    return url


BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH)
def empty_db_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that nobody has opened yet, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nbflow.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=BOTH)
def db_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with nothing in it, of each kind in turn. That of PostgreSQL has its tables already."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'nbflow.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database(like=request.getfixturevalue("postgres_tables"))


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
