"""What nbflow needs is linked into an environment, but for what the packages in it contradict."""

from __future__ import annotations

import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from nbflow.deploying.environments import own
from tests.wheels import make_wheel


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A folder that looks like an environment."""
    (tmp_path / "environment" / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    return tmp_path / "environment"


def install(environment: Path, name: str, version: str) -> Path:
    """Put a package into it."""
    site = next(environment.glob("lib/*/site-packages"))
    with zipfile.ZipFile(make_wheel(environment, name, version, {f"{name}.py": ""})) as archive:
        archive.extractall(site)
    return site


def linked(environment: Path) -> set[str]:
    """The names in the folder of links."""
    return {path.name for path in (environment / "nbflow-links").iterdir()}


def test_an_empty_environment_gets_links_to_all_that_nbflow_needs_and_to_nothing_else(environment):
    assert own.missing(environment, same_python=True) == []
    own.link(environment, same_python=True)
    names = linked(environment)
    assert {"nbflow", "sqlalchemy", "pandas", "numpy", "IPython", f"xxhash-{version('xxhash')}.dist-info"} <= names
    assert names.isdisjoint({"pytest", "_pytest", "hypothesis", "mypy", "__pycache__", "bin"})
    site = next(environment.glob("lib/*/site-packages"))
    path = (site / "nbflow-links.pth").read_text().strip()
    assert (site / path).resolve() == (environment / "nbflow-links").resolve()


def test_what_the_environment_has_itself_is_not_linked(environment):
    install(environment, "xxhash", "99.0")
    assert own.missing(environment, same_python=True) == []
    own.link(environment, same_python=True)
    assert "xxhash" not in linked(environment)


def test_a_version_that_nbflow_cannot_use_is_left_to_the_installer_to_judge(environment):
    install(environment, "xxhash", "0.1")
    (wanted,) = own.missing(environment, same_python=True)
    assert wanted.startswith("xxhash>=")


def test_a_package_that_needs_another_version_of_what_is_there_comes_by_the_installer(environment):
    install(environment, "mako", "0.0.1")
    assert own.missing(environment, same_python=True) == [], "alembic takes any"
    install(environment, "six", "1.0")
    assert own.missing(environment, same_python=True) == ["python-dateutil"]


def test_another_python_gets_all_by_the_installer_and_nbflow_by_a_link(environment):
    wanted = own.missing(environment, same_python=False)
    assert any(need.startswith("sqlalchemy>=") for need in wanted)
    assert not any(";" in need or "extra" in need for need in wanted)
    own.link(environment, same_python=False)
    assert {name for name in linked(environment) if ".dist-info" not in name} == {"nbflow"}


def test_the_identity_is_that_of_this_nbflow_and_its_packages(monkeypatch):
    before = own.identity()
    assert own.identity() == before
    monkeypatch.setattr(own, "_PACKAGE", Path("/another"))
    assert own.identity() != before
