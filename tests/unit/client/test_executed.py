"""Executed notebooks, written from what steps left."""

from __future__ import annotations

import nbformat

from nbflow import from_notebook


def test_a_cell_that_is_injected_gets_an_id_of_its_own(tmp_path):
    node = nbformat.v4.new_notebook()
    node.cells = [
        nbformat.v4.new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(["a = 1", "b = a"])
    ]
    node.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(node, tmp_path / "book.ipynb")
    run = from_notebook(tmp_path / "book.ipynb").run(a=2, executor="serial")
    executed = nbformat.read(run.save_notebook(tmp_path / "executed.ipynb"), as_version=4)
    nbformat.validate(executed)
    assert [cell.id for cell in executed.cells] == ["cell-0", "cell-1-1", "cell-1"]
