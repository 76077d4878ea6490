"""What changed between two versions."""

from __future__ import annotations

import pytest

from nbflow.deploying.promoting import promote

PROMOTED = {"check": False}


def changes(desk, *versions, **options):
    for cells in versions:
        made = promote(desk.notebook(*cells), **PROMOTED, **options)
    return {(change.what, change.how): change.lines for change in made.diff(1, 2).changes}


def test_a_changed_cell_is_told_with_its_lines(desk):
    found = changes(desk, ("a = 1\nb = 2", "print(a)"), ("a = 1\nb = 3", "print(a)"))
    assert found == {("cell 1", "changed"): (" a = 1", "-b = 2", "+b = 3")}


def test_cells_are_known_by_their_ids(desk):
    found = changes(desk, ("a = 1", "print(a)"), ("x = 5", "print(a)"))
    assert ("cell 1", "changed") in found


def test_a_new_cell_and_what_flows_to_it_are_told(desk):
    found = changes(desk, ("a = 1",), ("a = 1", "print(a)"))
    assert found[("cell 2", "added")] == ("+ print(a)",)
    assert [what for what, how in found if what.startswith("edge") and how == "added"]


def test_a_cell_that_is_gone_is_told(desk):
    found = changes(desk, ("a = 1", "print(a)"), ("a = 1",))
    assert found[("cell 2", "removed")] == ("- print(a)",)


def test_files_parameters_and_options_are_told(desk):
    desk.module("helpers", "x = 1\n")
    path = desk.notebook("import helpers", parameters="rate = 1")
    promote(path, parameters={"rate": 2}, **PROMOTED)
    desk.module("helpers", "x = 2\n")
    made = promote(path, parameters={"rate": 3}, executor="threads", **PROMOTED)
    found = {change.what: (change.how, *change.lines) for change in made.diff(1).changes}
    assert found == {
        "helpers.py": ("changed", "-x = 1", "+x = 2"),
        "parameter rate": ("changed", "- 2", "+ 3"),
        "option executor": ("changed", "- None", "+ 'threads'"),
    }


@pytest.mark.parametrize("number", [1, 2])
def test_a_version_differs_from_itself_in_nothing(desk, number):
    for text in ("a = 1", "a = 2"):
        made = promote(desk.notebook(text), **PROMOTED)
    assert not made.diff(number, number)
    assert "are the same" in made.diff(number, number).text()
