"""Reading notebooks: what is refused, how steps are named, which options they take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nbflow.analysis.cells import from_content, read_notebook
from nbflow.analysis.options import parse_step_line
from nbflow.analysis.plan import make_plan
from nbflow.analysis.statements import analyse
from nbflow.model.errors import CellSyntaxError, ConfigError, DefinitionError, NotANotebookError


def content(*sources: str, **more: Any) -> dict[str, Any]:
    cells = [
        {"cell_type": "markdown", "source": source, "metadata": {}}
        if source.startswith("# ")
        else {"cell_type": "code", "source": source, "metadata": {}}
        for source in sources
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more}


def names(*sources: str) -> list[str]:
    cells = from_content(content(*sources), "book.ipynb").cells
    return [planned.step.name for planned in make_plan(cells, analyse(cells)).steps]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "not JSON"),
        ("{}", "no notebook format"),
        (json.dumps(content(nbformat=3)), "format 3"),
        (json.dumps(content(metadata={"language_info": {"name": "R"}})), "language is R"),
    ],
)
def test_what_is_no_notebook_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "book.ipynb"
    path.write_text(text)
    with pytest.raises(NotANotebookError, match=reason):
        read_notebook(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotANotebookError, match="no such file"):
        read_notebook(tmp_path / "none.ipynb")


def test_a_syntax_error_names_cell_and_line() -> None:
    with pytest.raises(CellSyntaxError) as caught:
        from_content(content("x = 1", "y = 2\nz = = 3"), "book.ipynb")
    assert (caught.value.cell, caught.value.line) == (2, 2)


def test_steps_are_named_by_magic_heading_and_first_definition() -> None:
    assert names("# Load it", "x = 1", "x = 2", "%%step train\ny = 1") == ["load-it-x", "load-it-x-2", "train"]


def test_consecutive_cells_of_one_name_are_one_step() -> None:
    assert names("%%step a\nx = 1", "%%step a\ny = x", "z = y") == ["a", "z"]


def test_options_of_a_step_are_parsed() -> None:
    options = parse_step_line("train retries=2 timeout=1.5 cache outs=a,b", "cell 1")
    assert (options.retries, options.timeout, options.outs) == (2, 1.5, ("a", "b"))


def test_limits_in_time_are_options_of_cells_too() -> None:
    options = parse_step_line("train timeout=5 expires=60 deadline=90.5 heartbeat_timeout=2", "cell 1")
    assert options.times == {"timeout": 5.0, "expires": 60.0, "deadline": 90.5, "heartbeat_timeout": 2.0}


@pytest.mark.parametrize("line", ["timeout=9 deadline=5", "timeout=5 heartbeat_timeout=9", "expires=9 deadline=5"])
def test_limits_of_a_cell_that_contradict_each_other_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"cell 3: .* has to be longer than"):
        parse_step_line(f"train {line}", "cell 3")


@pytest.mark.parametrize("line", ["train retries=x", "train speed=3", "two names", "train timeout=-1", "'open"])
def test_wrong_options_are_refused_with_the_cell(line: str) -> None:
    with pytest.raises(DefinitionError, match="cell 4"):
        parse_step_line(line, "cell 4")
