from __future__ import annotations

from pathlib import Path

import pytest

from nbflow import settings
from nbflow.model.errors import ConfigError


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / ".nbflow").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(settings, "_changes", {})
    monkeypatch.delenv("NBFLOW_HOME", raising=False)
    return tmp_path


def test_defaults_lie_in_the_projects_folder(project, monkeypatch):
    (project / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(project / "deep" / "er")
    current = settings.current()
    assert current.db == str(project / ".nbflow" / "nbflow.db")
    assert current.artifacts_of() == str(project / ".nbflow" / "artifacts")
    assert (current.executor, current.inline_limit) == ("threads", 8192)
    assert current.workers >= 1
    assert current.home.name == "nbflow"


def test_large_values_lie_beside_their_database_wherever_one_stands(project, monkeypatch):
    current = settings.current()
    assert current.artifacts_of("sqlite:////data/.nbflow/nbflow.db") == "/data/.nbflow/artifacts"
    assert current.artifacts_of("/data/my.db") == "/data/my.db.artifacts"
    assert current.artifacts_of("sqlite:////data/my.db") == "/data/my.db.artifacts"
    monkeypatch.setenv("NBFLOW_HOME", str(project / "home"))
    on_a_server = settings.current().artifacts_of("postgresql://me:secret@host/flows")
    assert Path(on_a_server).parent == project / "home" / "artifacts"
    assert on_a_server == settings.current().artifacts_of(
        "postgresql+psycopg://you:***@host:5432/flows?sslmode=require"
    )
    assert on_a_server != settings.current().artifacts_of("postgresql://me@host/others")


def test_large_values_lie_where_they_are_told_to():
    settings.configure(artifacts="s3://bucket/x")
    assert settings.current().artifacts_of("/data/my.db") == "s3://bucket/x"


def test_later_sources_win(project, monkeypatch):
    (project / "pyproject.toml").write_text("[tool.nbflow]\nworkers = 1\nexecutor = 'serial'\nlock_timeout = 5\n")
    monkeypatch.setenv("NBFLOW_WORKERS", "2")
    monkeypatch.setenv("NBFLOW_EXECUTOR", "threads")
    settings.configure(workers=3)
    current = settings.current()
    assert (current.workers, current.executor, current.lock_timeout) == (3, "threads", 5.0)


def test_none_brings_the_default_back():
    settings.configure(executor="serial")
    settings.configure(executor=None)
    assert settings.current().executor == "threads"


def test_paths_in_pyproject_are_meant_from_there(project, monkeypatch):
    (project / "pyproject.toml").write_text("[tool.nbflow]\ndb = 'state/my.db'\nartifacts = 's3://bucket/x'\n")
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")
    assert settings.current().db == str(project / "state" / "my.db")
    assert settings.current().artifacts == "s3://bucket/x"


@pytest.mark.parametrize(("text", "size"), [("100", 100), ("2K", 2048), ("512 MB", 512 * 2**20), ("1.5GiB", 3 * 2**29)])
def test_sizes_may_have_units(monkeypatch, text, size):
    monkeypatch.setenv("NBFLOW_MAX_VALUE_SIZE", text)
    assert settings.current().max_value_size == size


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("False", False), ("off", False)])
def test_truth_has_several_words(monkeypatch, text, value):
    monkeypatch.setenv("NBFLOW_ECHO", text)
    assert settings.current().echo is value


@pytest.mark.parametrize(
    "change",
    [{"workers": 0}, {"workers": "4"}, {"workers": True}, {"workers": 1.5}, {"echo": 1}, {"db": ""}, {"db": 3},
     {"lock_timeout": -1}, {"inline_limit": "many"}, {"max_value_size": 0}],
    ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused_and_change_nothing(change):
    name = next(iter(change))
    with pytest.raises(ConfigError, match=rf"configure\(\) sets {name} to .*; it has to be"):
        settings.configure(executor="serial", **change)
    assert settings.current().executor == "threads"


@pytest.mark.parametrize(
    ("variable", "text"), [("WORKERS", "many"), ("ECHO", "perhaps"), ("LOCK_TIMEOUT", "x"), ("INLINE_LIMIT", "1 mile")]
)
def test_bad_variables_are_named(monkeypatch, variable, text):
    monkeypatch.setenv(f"NBFLOW_{variable}", text)
    with pytest.raises(ConfigError, match=f"environment variable NBFLOW_{variable}"):
        settings.current()


@pytest.mark.parametrize("text", ["[tool.nbflow]\nworkers = 'x'\n", "[tool.nbflow\n", "[tool]\nnbflow = 3\n"])
def test_bad_files_are_named(project, text):
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        settings.current()


def test_unknown_settings_are_refused_with_the_known_ones(monkeypatch):
    with pytest.raises(ConfigError, match=r"Did you mean 'workers'\?.*lock_timeout"):
        settings.configure(wrokers=3)
    monkeypatch.setenv("NBFLOW_WORKRES", "3")
    with pytest.raises(ConfigError, match="NBFLOW_WORKRES"):
        settings.current()


def test_the_signing_key_is_no_setting(monkeypatch):
    monkeypatch.setenv("NBFLOW_SIGNING_KEY", "00")
    assert settings.current().executor == "threads"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("my.db", "sqlite:///{cwd}/my.db"),
        ("/data/my.db", "sqlite:////data/my.db"),
        ("sqlite:///my.db", "sqlite:///{cwd}/my.db"),
        ("sqlite:////data/my.db", "sqlite:////data/my.db"),
        ("postgresql://me@host/name", "postgresql+psycopg://me@host/name"),
        ("postgresql+psycopg://host/name", "postgresql+psycopg://host/name"),
    ],
)
def test_databases_are_paths_or_urls(given, url):
    assert settings.resolve_db(given) == url.format(cwd=Path.cwd())


@pytest.mark.parametrize("given", [":memory:", "sqlite://", "mysql://host/name"])
def test_other_databases_are_refused(given):
    with pytest.raises(ConfigError):
        settings.resolve_db(given)
