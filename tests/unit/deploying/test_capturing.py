from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from nbflow.deploying.environments import capturing
from nbflow.deploying.environments.capturing import Captured, Package, capture
from nbflow.deploying.environments.drift import Difference, drift, told
from tests.wheels import make_wheel


@pytest.fixture
def captured(tmp_path: Path) -> Captured:
    return capture(["import pandas as pd\nimport os, sys"], tmp_path)


def test_packages_are_those_that_the_code_imports_and_what_they_need(captured):
    direct = [package.name for package in captured.packages if package.direct]
    assert direct == ["pandas"]
    assert {"numpy", "python-dateutil"} <= {package.name for package in captured.packages}
    assert f"pandas=={version('pandas')}" in captured.requirements()
    assert captured.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_it_is_the_same_after_it_was_stored(captured):
    assert Captured.from_json(captured.to_json()) == captured


def test_modules_of_the_project_are_followed_and_are_no_packages(tmp_path):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text("from .deep import x\n")
    (tmp_path / "helpers" / "deep.py").write_text("import sqlalchemy\nimport helpers\n")
    found = capture(["import helpers.deep"], tmp_path)
    assert [package.name for package in found.packages if package.direct] == ["sqlalchemy"]
    assert found.unknown == ()


def test_imports_that_are_nowhere_are_told_and_code_that_is_no_python_counts_for_nothing(tmp_path):
    found = capture(["import no_such_thing_at_all", "this is not python", "%matplotlib inline"], tmp_path)
    assert (found.packages, found.unknown) == ((), ("no_such_thing_at_all",))


def test_modules_that_were_loaded_without_an_import_statement_count_too(tmp_path):
    found = capture([], tmp_path, loaded=["xxhash", "json"])
    assert [package.name for package in found.packages] == ["xxhash"]


def test_a_namespace_of_several_packages_leads_to_the_one_that_holds_the_module(tmp_path, monkeypatch):
    for name in ("shared_one", "shared_two"):
        _install(tmp_path / "site", name, {f"shared_space/{name}/__init__.py": ""})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = capture(["from shared_space.shared_two import x"], tmp_path / "project")
    assert [package.name for package in found.packages] == ["shared-two"]


def _install(site: Path, name: str, modules: dict[str, str], **more: str) -> None:
    import zipfile

    site.mkdir(exist_ok=True)
    with zipfile.ZipFile(make_wheel(site, name, "1.0", modules)) as archive:
        archive.extractall(site)
    for file, content in more.items():
        (site / f"{name}-1.0.dist-info" / f"{file}.json").write_text(content)


@pytest.mark.parametrize(
    ("url", "kind", "requirement"),
    [
        ('{"url": "file:///src/mine", "dir_info": {"editable": true}}', "editable", "-e /src/mine"),
        ('{"url": "file:///src/mine", "dir_info": {}}', "local", "own-package @ file:///src/mine"),
        ('{"url": "https://me:pass@x/y", "vcs_info": {"vcs": "git", "commit_id": "abc"}}', "url",
         "own-package @ git+https://x/y@abc"),
    ],
)  # fmt: skip
def test_packages_that_are_not_of_an_index_say_where_they_come_from(tmp_path, monkeypatch, url, kind, requirement):
    _install(tmp_path / "site", "own_package", {"own_package.py": ""}, direct_url=url)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    (package,) = capture(["import own_package"], tmp_path / "project").packages
    assert (package.kind, package.requirement) == (kind, requirement)


def test_files_that_pin_packages_are_noted_with_their_digests(tmp_path):
    (tmp_path / "uv.lock").write_text("one")
    (tmp_path / "requirements-dev.txt").write_text("two")
    before = capturing.locks_in(tmp_path)
    assert [name for name, _ in before] == ["uv.lock", "requirements-dev.txt"]
    (tmp_path / "uv.lock").write_text("other")
    assert capturing.locks_in(tmp_path)[0] != before[0]


def test_nothing_differs_where_nothing_was_changed(captured):
    assert drift(captured) == []
    assert told([]) == ""


def test_differences_are_told_in_words_and_those_of_the_code_itself_come_first():
    here = Captured("3.12.1", "cpython", "linux-x86_64", (Package("b", "2.0"), Package("c", "1"), Package("d", "1")))
    then = Captured(
        "3.11.7", "cpython", "linux-x86_64",
        (Package("a", "1.0", direct=False), Package("b", "1.0"), Package("c", "1"),
         Package("d", "1", "editable", "file:///d")),
    )  # fmt: skip
    found = drift(then, here)
    assert list(map(str, found)) == [
        "Python is 3.12.1 here, and was 3.11.7",
        "b is 2.0 here, and was 1.0",
        "d is 1 here, and was 1 from file:///d",
        "a 1.0 is not installed here (which other packages need)",
    ]
    assert told(found, most=1) == "Python is 3.12.1 here, and was 3.11.7; and 3 more."


def test_a_patch_release_of_python_is_no_difference_and_another_platform_is():
    then = Captured("3.11.2", "cpython", "macosx-14-arm64", ())
    here = Captured("3.11.7", "cpython", "linux-x86_64", ())
    assert drift(then, here) == [Difference("platform", "macosx-14-arm64", "linux-x86_64")]


def test_a_package_that_is_gone_is_missing_in_this_process():
    then = Captured("3.11", "cpython", "", (Package("gone-x", "1"),))
    (found,) = [each for each in drift(then) if each.what == "gone-x"]
    assert str(found) == "gone-x 1 is not installed here"
