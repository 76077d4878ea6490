"""What a cell does with files, as it is heard while the cell runs."""

from __future__ import annotations

from nbflow.authoring.cells import files
from nbflow.storage import opened
from nbflow.values.artifacts import open_store


def test_what_nbflow_stores_meanwhile_is_nothing_that_a_cell_does(tmp_path):
    """Its threads write values and rows while cells run, into folders that lie wherever the user wants."""
    store = open_store(str(tmp_path / "runs.db.artifacts"))
    database = opened.database(f"sqlite:///{tmp_path / 'runs.db'}")
    database.engine.dispose()  # it connects anew
    with files.watching() as watch:
        with database.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        store.write("ab/cdef", [b"x" * 100])
        (tmp_path / "mine.txt").write_text("by the cell")
        (tmp_path / "runs.db.txt").write_text("by the cell")
    found = watch.found()
    assert set(found.written) == {str(tmp_path), *(str(tmp_path / name) for name in ("mine.txt", "runs.db.txt"))}
    assert not [path for path in found.read if "artifacts" in path]
