"""The public names: few, documented, and the same for people, type checkers and the lazy import."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import entry_points, version

import pytest

import nbflow
from tests.house.files import PACKAGE, sources, tree


def test_the_face_has_few_names():
    assert len(nbflow.__all__) <= 40


@pytest.mark.parametrize("name", nbflow.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(nbflow, name)
    assert inspect.getdoc(value)
    assert getattr(value, "__doc__", None), "the docstring is its own, not inherited"


def test_type_checkers_see_the_names_that_are_imported_lazily():
    block = next(node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    modules = {name: home.rpartition(".")[0] for name, home in nbflow._MODULES.items()}
    assert seen == {**nbflow._HOME_OF, **modules}
    assert sorted(seen) == sorted(nbflow.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'stpe'"):
        nbflow.stpe  # noqa: B018  (the access is the test)


def test_public_names_are_offered_for_completion():
    assert set(nbflow.__all__) <= set(dir(nbflow))


def test_the_version_is_the_installed_one():
    assert nbflow.__version__ == version("nbflow")


@pytest.mark.parametrize("name", ["serial", "threads", "processes", "dask"])
def test_executors_are_found_by_entry_point(name):
    (found,) = entry_points(group="nbflow.executors", name=name)
    assert inspect.isclass(found.load())


@pytest.mark.parametrize(
    "package", [path for path in sources(PACKAGE) if path.name == "__init__.py"], ids=lambda path: path.parent.name
)
def test_every_package_says_its_job_and_what_does_not_belong(package):
    docstring = ast.get_docstring(tree(package)) or ""
    assert len([sentence for sentence in docstring.split(".") if sentence.strip()]) >= 2
