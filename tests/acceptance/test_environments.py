"""Environments of versions: two that conflict side by side, and what keeps one from being made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbflow.deploying.environments import installers, keeping, making
from nbflow.deploying.environments.making import READY, Environment
from nbflow.model.errors import EnvironmentFailedError
from tests.servers import wait_until
from tests.wheels import make_wheel, only_from

pytestmark = pytest.mark.timeout(180)  # an environment takes three seconds, and on a busy machine many more
_TELL = """
import json, sys
import clash, user_of_clash, nbflow
found = {"clash": clash.VERSION, "user": user_of_clash.VERSION, "nbflow": nbflow.__version__, "errors": []}
for name in ("pytest", "hypothesis", "tests"):
    try:
        __import__(name)
    except ImportError:
        found["errors"].append(name)
import nbflow.cli.main, nbflow.storage.database, pandas
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two packages that cannot live together: each version of one needs another version of the other."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1", "2"):
        make_wheel(folder, "clash", version, {"clash.py": f"VERSION = {version}\n"})
        source = "import clash\nVERSION = clash.VERSION\n"
        make_wheel(folder, "user_of_clash", version, {"user_of_clash.py": source}, f"clash=={version}")
    return folder


@pytest.fixture(scope="module", params=["uv", "pip"])
def installer(request: pytest.FixtureRequest) -> Iterator[str]:
    """The one that makes the environments, each in turn."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pip":
            patch.setattr(installers, "_uv", lambda: None)
        yield request.param


@pytest.fixture(scope="module")
def home(installer: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose environments are made once for these tests and each installer."""
    return tmp_path_factory.mktemp(f"home-{installer}")


@pytest.fixture(autouse=True)
def _offline(wheels: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_from(wheels, monkeypatch)
    monkeypatch.setenv("NBFLOW_HOME", str(home))


@pytest.fixture
def environments(home: Path, wheels: Path) -> list[Environment]:
    """Two that conflict."""
    return [making.make([f"user_of_clash=={version}"]) for version in ("1", "2")]


def test_the_installer_is_the_one_that_is_meant(installer):
    assert Path(installers._installer("python")[0]).name == ("uv" if installer == "uv" else Path(sys.executable).name)


def test_two_environments_that_conflict_are_used_side_by_side(environments, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    started = [each.start("-c", _TELL, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for each in environments]
    told = [json.loads(process.communicate(timeout=50)[0]) for process in started]
    assert [(each["clash"], each["user"]) for each in told] == [(1, 1), (2, 2)]
    assert [each["errors"] for each in told] == [["pytest", "hypothesis", "tests"]] * 2
    import nbflow

    assert {each["nbflow"] for each in told} == {nbflow.__version__}


def test_an_environment_is_made_once(environments):
    assert environments[0].digest != environments[1].digest
    stamp = (environments[0].path / "pyvenv.cfg").stat().st_mtime_ns
    assert making.make(["user_of_clash==1", "user_of_clash==1"]) == environments[0]
    assert (environments[0].path / "pyvenv.cfg").stat().st_mtime_ns == stamp


def test_what_was_half_made_is_made_anew_and_once_however_many_want_it(environments, monkeypatch):
    (environments[1].path / READY).unlink()
    (environments[1].path / "left.behind").touch()
    calls, install = [], installers.install
    monkeypatch.setattr(installers, "install", lambda *given: (calls.append(given), install(*given)))
    made: list[Environment] = []
    threads = [threading.Thread(target=lambda: made.append(making.make(["user_of_clash==2"]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, len(calls)) == ([environments[1]] * 3, 1)
    assert not (environments[1].path / "left.behind").exists()


def test_a_package_that_cannot_be_had_is_told_in_few_lines_and_asked_for_again_later(monkeypatch, tmp_path):
    monkeypatch.setenv("NBFLOW_HOME", str(tmp_path))
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    only_from(shelf, monkeypatch)
    with pytest.raises(EnvironmentFailedError, match=r"(?s)cannot be made.*late-comer") as caught:
        making.make(["late-comer==7"], now=1000.0)
    assert str(caught.value).count("\n") < 7
    assert list((tmp_path / "environments").glob("*/")) == []
    make_wheel(shelf, "late_comer", "7", {"late_comer.py": ""})
    with pytest.raises(EnvironmentFailedError, match="That was 60 seconds ago; it is tried again after 300"):
        making.make(["late-comer==7"], now=1060.0)
    assert making.make(["late-comer==7"], now=1301.0).python.exists()
    assert list((tmp_path / "environments").glob("*.failed")) == []


def test_contradicting_requirements_say_so():
    with pytest.raises(EnvironmentFailedError, match=r"(?s)clash"):
        making.make(["user_of_clash==1", "clash==2"])


@pytest.mark.parametrize("requirement", ["no such thing", "==1.0", "name=1", ""])
def test_a_text_that_is_no_requirement_is_refused_before_anything_is_made(requirement, home):
    before = sorted((home / "environments").glob("*"))
    with pytest.raises(EnvironmentFailedError, match="is no requirement"):
        making.make([requirement])
    assert sorted((home / "environments").glob("*")) == before


def test_a_python_that_is_not_there_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(installers, "_uv", lambda: None)
    with pytest.raises(EnvironmentFailedError, match=r"Python 3\.99 is not on this machine.*install uv"):
        making.make(["clash==1"], "3.99")
    with pytest.raises(EnvironmentFailedError, match="'three' is no version of Python"):
        making.make(["clash==1"], "three")


def test_programs_in_an_environment_see_no_other_one(environments, monkeypatch):
    for variable in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "VIRTUAL_ENV_PROMPT"):
        monkeypatch.setenv(variable, "/elsewhere")
    monkeypatch.setenv("PATH", f"/elsewhere/bin{os.pathsep}/usr/bin")
    variables = environments[0].variables()
    assert variables["VIRTUAL_ENV"] == str(environments[0].path)
    assert variables["PATH"] == f"{environments[0].path / 'bin'}{os.pathsep}/usr/bin"
    assert "/elsewhere" not in variables.values()
    assert variables["NBFLOW_HOME"] == os.environ["NBFLOW_HOME"]


def test_environments_are_swept_by_age_and_size_but_not_while_something_runs_in_them(environments, project):
    first, second = environments
    busy = first.start("-c", "input()", stdin=subprocess.PIPE, env=dict(os.environ))
    try:
        assert {kept.path: kept.busy for kept in keeping.listed()}[first.path]
        removed = keeping.prune(most=0)
        assert second.path in [kept.path for kept in removed]
        assert [kept.path for kept in keeping.listed()] == [first.path]
    finally:
        busy.communicate(b"\n")
    with pytest.raises(EnvironmentFailedError, match="swept meanwhile"):
        second.start("-c", "")
    os.utime(first.path / READY, (0, 0))
    wait_until(lambda: not keeping.listed()[0].busy)
    assert project.json("env", "list")[0]["requirements"] == ["user_of_clash==1"]
    assert project.run("env", "prune", "--older-than", "30d", "--dry-run").stdout.startswith("Would remove 1 env")
    assert project.run("env", "prune", "--older-than", "30d").stdout.startswith("Removed 1 environment")
    assert project.run("env", "list").stdout == "No environments.\n"
    assert project.run("env", "prune", "--keep", "much").returncode == 2


def test_an_installers_words_are_cut_to_what_tells_and_hold_no_password():
    text = "Looking in https://me:pass@index/simple\nnoise\nERROR: no https://me:pass@index/x\nnoise\nERROR: two\n"
    assert installers.few_lines(text) == "ERROR: no https://***@index/x\nERROR: two"
    assert installers.few_lines("last words") == "last words"
    assert "does not say" in installers.few_lines("")
