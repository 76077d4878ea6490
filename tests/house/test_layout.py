"""What lies where, and what never enters the project or its wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest

from tests.house.files import PACKAGE, ROOT, project_files, short, sources

TOP_LEVEL = {"pyproject.toml", "nbflow", "notebooks", "tests", "binder", "README.md"}

# Folders of somebody's machine: homes, work trees, virtual environments.
MACHINE_PATH = re.compile(r"(?<![\w.\-/})*])/(?:root|home|Users|work|tmp/nb)/[\w.]")


def test_the_top_level_holds_what_everyone_expects_and_nothing_else():
    found = {path.relative_to(ROOT).parts[0] for path in project_files()}
    assert {name for name in found if not name.startswith(".")} - TOP_LEVEL == set()


def test_every_folder_of_the_house_is_a_package():
    folders = {path.parent for path in sources(PACKAGE) if "versions" not in path.parts}
    assert [short(folder) for folder in folders if not (folder / "__init__.py").exists()] == [], "imports unseen"


def test_no_file_names_a_machine():
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{short(path)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    listed = {short(path) for path in project_files() if short(path).startswith("nbflow/")}
    assert packed == listed


@pytest.mark.parametrize(
    "ending", ["nbflow/py.typed", ".dist-info/licenses/nbflow/LICENSE", ".dist-info/entry_points.txt"]
)
def test_the_wheel_carries_types_licence_and_entry_points(wheel, ending):
    assert any(name.endswith(ending) for name in wheel.namelist())
