"""Steps that touch the same files out of page order are found; others are left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbflow.authoring.cells.conflicts import conflicts
from nbflow.authoring.cells.files import PROGRAMS, watching
from nbflow.authoring.cells.records import Files


def test_files_of_a_cell_are_heard_of(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("x")
    with watching() as watch:
        source.read_text()
        (tmp_path / "out.txt").write_text("y")
        list(tmp_path.iterdir())
    found = watch.found()
    assert str(source) in found.read
    assert str(tmp_path) in found.read
    assert str(tmp_path / "out.txt") in found.written
    (tmp_path / "later.txt").write_text("z")
    assert str(tmp_path / "later.txt") not in watch.found().written


def test_programs_are_heard_of() -> None:
    with watching() as watch:
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert PROGRAMS in watch.found().written


def test_programs_that_only_tell_of_the_machine_are_not() -> None:
    with watching() as watch:
        subprocess.run(["uname", "-m"], check=True, capture_output=True)
    assert PROGRAMS not in watch.found().written


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        (Files(0, 1, written=("/f",)), Files(2, 3, read=("/f",)), []),  # in order
        (Files(2, 3, written=("/f",)), Files(0, 1, read=("/f",)), [(0, 1, "/f")]),
        (Files(0, 2, written=("/f",)), Files(1, 3, read=("/f",)), [(0, 1, "/f")]),
        (Files(0, 2, read=("/f",)), Files(1, 3, written=("/f",)), [(0, 1, "/f")]),
        (Files(0, 2, read=("/f",)), Files(1, 3, read=("/f",)), []),
        (Files(0, 2, written=("/f",)), Files(1, 3, written=("/g",)), []),
        (Files(0, 2, written=(PROGRAMS,)), Files(1, 3, read=("/g",)), [(0, 1, PROGRAMS)]),
    ],
)
def test_conflicts_are_those_that_ran_in_another_order_than_the_page(
    first: Files, second: Files, found: list[tuple[int, int, str]]
) -> None:
    assert list(conflicts([first, second])) == found
