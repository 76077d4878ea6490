from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nbflow.model import errors
from nbflow.storage import runs, schema
from nbflow.storage.database import open_database
from nbflow.storage.errors import translated_os
from tests.unit.storage import records


def test_a_new_database_gets_its_tables_and_opens_again(empty_db_url: str) -> None:
    with open_database(empty_db_url) as database, database.write() as connection:
        runs.create(connection, records.run())
    with open_database(empty_db_url, create=False) as database, database.read() as connection:
        assert runs.get(connection, "0run") == records.run()


def test_a_missing_database_is_not_created_for_reading(tmp_path: Path) -> None:
    with pytest.raises(errors.DatabaseMissingError, match="no database"):
        open_database(f"sqlite:///{tmp_path}/none.db", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_newer_database_is_refused(empty_db_url: str) -> None:
    with open_database(empty_db_url) as database, database.write() as connection:
        connection.execute(schema.version_table.update().values(version_num="9999"))
    with pytest.raises(errors.DatabaseNewerError, match="Update nbflow"):
        open_database(empty_db_url)


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes, which are longer than a header")
    with pytest.raises(errors.DatabaseCorruptError, match="not an SQLite database"):
        open_database(f"sqlite:///{file}")
    assert file.read_text().startswith("my notes")


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    open_database(f"sqlite:///{file}").close()
    content = bytearray(file.read_bytes())
    content[100:5000] = b"\xff" * 4900
    file.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    with pytest.raises(errors.StorageError):
        open_database(f"sqlite:///{file}")


def test_a_database_opened_for_reading_refuses_to_be_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    open_database(url).close()
    with (
        pytest.raises(errors.DatabaseReadOnlyError, match="cannot be written"),
        open_database(url, read_only=True) as database,
        database.write() as connection,
    ):
        runs.create(connection, records.run())


def test_a_locked_database_is_told_after_the_timeout(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    open_database(url).close()
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(errors.DatabaseLockedError, match="Another process"),
        open_database(url, timeout=0.05) as database,
        database.write() as connection,
    ):
        runs.create(connection, records.run())
    holder.close()


def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(errors.DatabaseUnreachableError, match="No connection"):
        open_database("postgresql+psycopg://nobody@127.0.0.1:1/nothing", timeout=1)


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(errors.DatabaseUnreachableError) as caught:
        open_database("postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing", timeout=1)
    assert "secret" not in str(caught.value)


def test_many_processes_may_open_a_new_database_at_once(empty_db_url: str) -> None:
    code = f"from nbflow.storage.database import open_database; open_database({empty_db_url!r}).close()"
    children = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(4)]
    assert [child.communicate()[1].decode() for child in children] == [""] * 4


def test_the_project_folder_is_kept_out_of_git(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/.nbflow/nbflow.db").close()
    assert (tmp_path / ".nbflow" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("folder", ["a?b", "a#b", "a%20b", "a b", "ü"])
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "x.db"
    with open_database(f"sqlite:///{file}") as database, database.write() as connection:
        runs.create(connection, records.run())
    assert [found.name for found in tmp_path.iterdir()] == [folder]
    with open_database(f"sqlite:///{file}", read_only=True) as database, database.read() as connection:
        assert runs.count(connection) == 1


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(errors.DatabaseCorruptError, match="is a folder"):
        open_database(f"sqlite:///{tmp_path}")


def test_a_place_where_no_folder_can_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(errors.StorageError, match="Name another with --db"):
        open_database(f"sqlite:///{tmp_path}/file/x.db")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.DiskFullError),
        (errno.EROFS, errors.DatabaseReadOnlyError),
        (errno.EACCES, errors.DatabaseReadOnlyError),
        (errno.EIO, errors.StorageError),
    ],
)
def test_what_the_file_system_refuses_is_told(number: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"x\.db"), translated_os("sqlite:///x.db"):
        raise OSError(number, "refused")


def test_a_database_that_was_removed_while_open_is_told_and_opens_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    database = open_database(url)
    (tmp_path / "x.db").unlink()
    with pytest.raises(errors.DatabaseMissingError, match="removed or replaced"), database.write():
        pass
    assert database.closed
    with open_database(url) as anew, anew.read() as connection:
        assert runs.count(connection) == 0


def test_opening_waits_for_a_process_that_is_making_the_database(tmp_path: Path) -> None:
    maker = sqlite3.connect(tmp_path / "x.db", isolation_level=None, check_same_thread=False)
    maker.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, maker.rollback)
    release.start()
    open_database(f"sqlite:///{tmp_path}/x.db").close()
    release.join()
    maker.close()


def test_a_read_sees_one_state(empty_db_url: str) -> None:
    with open_database(empty_db_url) as database, database.read() as connection:
        assert runs.count(connection) == 0
        with database.write() as other:
            runs.create(other, records.run())
        assert runs.count(connection) == 0


def test_a_lock_on_a_server_is_told_after_the_timeout(postgres_url: str) -> None:
    with open_database(postgres_url) as holder, holder.write() as connection:
        runs.create(connection, records.run())
    with (
        open_database(postgres_url) as holder,
        holder.write() as holding,
        open_database(postgres_url, timeout=0.05) as database,
    ):
        runs.renew(holding, "0run", "me", 5.0)
        with pytest.raises(errors.DatabaseLockedError, match="lock"), database.write() as connection:
            runs.renew(connection, "0run", "me", 5.0)


def test_a_server_opened_for_reading_refuses_to_be_written(postgres_url: str) -> None:
    open_database(postgres_url).close()
    with (
        pytest.raises(errors.DatabaseReadOnlyError),
        open_database(postgres_url, read_only=True) as database,
        database.write() as connection,
    ):
        runs.create(connection, records.run())


def test_a_missing_driver_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.ConfigError, match=r"nbflow\[postgres\]"):
        open_database("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
