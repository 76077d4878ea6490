"""Notebooks that cannot be run: each refusal names the cell and the line, what is wrong, and the way out."""

from __future__ import annotations

import json

import nbformat
import pytest

REFUSED = {
    "a syntax error": (["x = 1", "def f(:\n    pass"], 2, ["cell 2, line 1", "def f(:", "Correct the cell"]),
    "a name that nobody sets": (
        ["a = 1", "c = 2\nb = a + missing"], 1, ["Cell 2, line 2", "b = a + missing", "NameError"],
    ),
    "an unknown cell magic": (["x = 1", "%%sparkle\nhello"], 1, ["Cell 2", "`%%sparkle` not found"]),
    "an unknown line magic": (["%sparkle 3"], 1, ["Cell 1", "`%sparkle` not found"]),
    "a cell that asks": (["x = 1", "who = input('Who? ')"], 1, ["Cell 2", "Who? ", "parameters", "-p name=VALUE"]),
    "a cell that ends its process": (["x = 1", "import os\nos._exit(3)"], 1, ["died: exit 3", "let it raise an error"]),
    "a cell that is killed": (
        ["import os, signal", "os.kill(os.getpid(), signal.SIGKILL)"], 1, ["signal 9 (SIGKILL)", "fewer workers"],
    ),
    "a cell that quits": (["x = 1", "quit(2)"], 1, ["Cell 2", "SystemExit: 2"]),
    "a helper that fails": (
        ["def half(x):\n    return x / 0", "half(2)"], 1, ["Cell 1, line 2", "Cell 2, line 1", "x / 0"],
    ),
}  # fmt: skip


def write(project, cells, **metadata):
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    content.metadata.update(metadata)
    nbformat.write(content, project.folder / "book.ipynb")


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_tells_where_and_what_to_do(project, name):
    cells, code, told = REFUSED[name]
    write(project, cells)
    done = project.run("run", "book.ipynb")
    assert done.returncode == code
    shown = done.stdout + done.stderr
    assert [part for part in told if part not in shown] == []
    assert "nbflow/engine" not in shown
    assert "IPython/core" not in shown


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "its content is not JSON"),
        ("[]", "no notebook format"),
        (json.dumps({"nbformat": 3, "worksheets": []}), "jupyter nbconvert --to notebook --nbformat 4"),
        (json.dumps({"nbformat": 9, "cells": []}), "newer than this nbflow knows"),
        (
            json.dumps({"nbformat": 4, "cells": [], "metadata": {"kernelspec": {"language": "R", "name": "ir"}}}),
            "its language is R",
        ),
    ],
)
def test_a_file_that_is_no_notebook_for_us_is_refused(project, content, told):
    (project.folder / "book.ipynb").write_text(content)
    done = project.run("run", "book.ipynb")
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("cells", [[], ["# only a comment"]])
def test_a_notebook_with_nothing_to_do_succeeds(project, cells):
    write(project, cells)
    assert project.run("run", "book.ipynb").returncode == 0


def test_what_cannot_travel_stays_in_one_step(project):
    cells = [
        "import threading\nlock = threading.Lock()\nfile = open('f.txt', 'w')",
        "x = 1",
        "file.write('abc')\nlock.acquire()",
    ]
    write(project, [*cells, "file.close()\nprint(open('f.txt').read())"])
    assert project.run("run", "book.ipynb").returncode == 0
    executed = nbformat.read(project.folder / "book.executed.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "abc\n"


def test_a_huge_output_is_cut_in_the_notebook_and_kept_whole_in_the_store(project):
    write(project, ["for k in range(30_000): print(k, 'x' * 100)"])
    assert project.run("run", "book.ipynb").returncode == 0
    text = nbformat.read(project.folder / "book.executed.ipynb", 4).cells[0].outputs[0].text
    assert len(text) < 1_100_000
    assert text.startswith("0 xxx")
    assert text.endswith(f"29999 {'x' * 100}\n")
    assert "characters are left out here; the whole: nbflow logs" in text
    whole = project.run("logs", "last").stdout
    assert sum(line.endswith("x" * 100) for line in whole.splitlines()) == 30_000
