"""What a version is made of."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from nbflow import flow, from_notebook, step
from nbflow.deploying import snapshot
from nbflow.deploying.versions import _is_pure
from nbflow.values.imports import project_files


def names(files):
    return [file.name for file in files]


def test_modules_are_found_with_all_that_they_import(desk):
    desk.module("first", "import second\nfrom pack.inner import thing\nimport json, numpy\n")
    desk.module("second", "def f():\n    import third\n")
    desk.module("third", "")
    desk.module("unused", "")
    desk.module("pack.__init__", "from . import beside\n")
    desk.module("pack.beside", "")
    desk.module("pack.inner", "from .beside import x\nthing = 1\n")
    assert names(project_files(["first"])) == [
        "first", "pack", "pack.beside", "pack.inner", "second", "third",
    ]  # fmt: skip


def test_modules_that_import_each_other_are_found_once(desk):
    desk.module("one", "import two")
    desk.module("two", "import one")
    assert names(project_files(["one", "two", "missing.part"])) == ["one", "two"]


def test_a_module_that_cannot_be_parsed_is_taken_as_it_is(desk):
    desk.module("broken", "def (:")
    assert names(project_files(["broken"])) == ["broken"]


def test_a_notebook_comes_with_its_modules_and_without_its_outputs(desk):
    desk.module("helpers", "x = 1\n")
    path = desk.notebook(("import helpers\nprint(helpers.x)", "1\n"))
    files = snapshot.take(from_notebook(path))
    assert list(files) == ["analysis.ipynb", "helpers.py"]
    assert b'"outputs": []' in files["analysis.ipynb"]
    assert snapshot.modules_of(files, from_notebook(path)) == ["helpers.py"]


def test_outputs_make_no_other_snapshot(desk):
    files = [snapshot.take(from_notebook(desk.notebook(("print(1)", text)))) for text in ("1\n", "2\n")]
    assert files[0] == files[1]


def test_a_function_comes_with_its_module(desk):
    desk.module("own_flows", "from nbflow import flow\nimport own_helpers\n\n@flow\ndef small():\n    return 1\n")
    desk.module("own_helpers", "ONE = 1\n")
    found = importlib.import_module("own_flows").small
    files = snapshot.take(found)
    assert sorted(files) == ["own_flows.py", "own_helpers.py"]
    assert snapshot.modules_of(files, found) == ["own_helpers.py"]


def test_modules_that_do_nothing_are_no_reason_for_a_process_of_its_own(desk):
    desk.module("own_pack/__init__", '"""What it is about."""\n# and a comment\n')
    desk.module("own_pack/flows", "from nbflow import flow\n\n@flow\ndef small():\n    return 1\n")
    found = importlib.import_module("own_pack.flows").small
    files = snapshot.take(found)
    assert sorted(files) == ["own_pack/__init__.py", "own_pack/flows.py"]
    assert snapshot.modules_of(files, found) == []


def test_files_are_laid_out_once_whoever_asks(tmp_path):
    files = {"a.py": b"a = 1", "pack/b.py": b"b = 2"}
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: snapshot.unpacked(files, tmp_path), range(16)))
    assert len(folders) == 1
    folder = folders.pop()
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.py")} == files
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


PURE = """
import json
from nbflow import flow, step
LIMIT = 3
NAMES = ("a", "b")

@step
def load(n):
    return json.dumps(list(range(n)))

@flow
def light(n=LIMIT):
    return load(n), NAMES
"""
STATEFUL = """
from nbflow import flow, step
table = {"a": 1}

@step
def load():
    return table

@flow
def heavy():
    return load()
"""


@pytest.mark.parametrize(("text", "name", "pure"), [(PURE, "light", True), (STATEFUL, "heavy", False)])
def test_only_code_and_constants_go_by_value(desk, text, name, pure):
    desk.module("valued", text)
    assert _is_pure(getattr(importlib.import_module("valued"), name)) is pure


def test_sources_of_a_flow_in_a_notebook_are_those_of_its_steps_too():
    @step
    def load():
        return 1

    namespace = {"load": load}
    source = "def main():\n    return load()\n"
    exec(source, namespace)
    assert "def load" in snapshot._texts(flow(namespace["main"]))
