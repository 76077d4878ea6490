from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow.model import errors
from nbflow.model.records import LogRecord
from nbflow.storage import attempts, logs, runs, tasks
from nbflow.storage.database import Database, open_database
from nbflow.storage.writer import Writer
from tests.unit.storage import records


@pytest.fixture
def database(db_url: str) -> Iterator[Database]:
    with open_database(db_url) as opened:
        yield opened


def _no_error(error: Exception) -> None:
    raise AssertionError(error)


def _writer(database: Database, on_error: Callable[[Any], None] = _no_error, **options: Any) -> Writer:
    return Writer(database, on_error=on_error, **options)


def test_what_was_put_before_a_flush_is_there_after_it(database: Database) -> None:
    writer = _writer(database)
    for seq in range(1, 1001):
        writer.put(records.task(seq))
        writer.put(records.payload(seq))
        writer.put(records.attempt(seq))
    writer.flush()
    with database.read() as connection:
        assert tasks.of_run(connection, "0run") == [records.task(seq) for seq in range(1, 1001)]
        assert tasks.payload(connection, "0run", 1000) == records.payload(1000)
        assert len(attempts.of_run(connection, "0run")) == 1000
    writer.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(puts=st.lists(st.tuples(st.integers(1, 8), st.sampled_from(["ready", "running", "failed"]), st.booleans())))
def test_the_last_put_of_a_row_wins(database: Database, puts: list[tuple[int, str, bool]]) -> None:
    writer = _writer(database)
    run = uuid.uuid4().hex  # the database is the same for all examples
    model = {}
    for seq, state, flush in puts:
        model[seq] = records.task(seq, run, state=state)
        writer.put(model[seq])
        if flush:
            writer.flush()
    writer.close()
    with database.read() as connection:
        assert tasks.of_run(connection, run) == [model[seq] for seq in sorted(model)]


def test_texts_that_no_database_takes_are_stored_escaped(database: Database) -> None:
    writer = _writer(database)
    for number, text in enumerate(["a\0b", "a\ud800b", "100 % %s $1 ?"], 1):
        writer.put(LogRecord("0run", 1, 1, number, float(number), "stdout", text))
    writer.close()
    with database.read() as connection:
        found = [log.text.replace("\0", "\\x00") for log in logs.read(connection, "0run")]  # SQLite takes NUL
    assert found == ["a\\x00b", "a\\ud800b", "100 % %s $1 ?"]


def test_what_is_put_after_the_end_is_refused(database: Database) -> None:
    writer = _writer(database)
    writer.close()
    with pytest.raises(errors.StorageError, match="closed"):
        writer.put(records.task(1))


def test_a_lost_connection_is_made_again(postgres_url: str) -> None:
    import psycopg

    with open_database(postgres_url) as database:
        writer = _writer(database)
        writer.put(records.task(1))
        writer.flush()
        with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as other:
            mine = "datname = current_database() AND pid <> pg_backend_pid()"
            other.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}")
        writer.put(records.task(2))
        writer.close()
        with database.read() as connection:
            assert len(tasks.of_run(connection, "0run")) == 2


def test_threads_may_put_at_once(database: Database) -> None:
    writer = _writer(database)

    def put(start: int) -> None:
        for seq in range(start, start + 500):
            writer.put(records.task(seq))

    threads = [threading.Thread(target=put, args=(start,)) for start in (1, 501, 1001, 1501)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    with database.read() as connection:
        assert len(tasks.of_run(connection, "0run")) == 2000


def test_output_is_read_in_order_and_from_a_point_on(database: Database) -> None:
    writer = _writer(database)
    for number in range(1, 4):
        writer.put(LogRecord("0run", 1, 1, number, float(number), "stdout", f"line {number}\n"))
    writer.close()
    with database.read() as connection:
        assert [log.text for log in logs.read(connection, "0run", after=1.0)] == ["line 2\n", "line 3\n"]


def test_a_full_disk_stops_the_writer_with_a_clear_error_and_nothing_half(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/x.db")
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 60")
    told: list[Exception] = []
    writer = _writer(database, told.append)
    with suppress(errors.DiskFullError):  # the writer may tell of it before all are put
        for seq in range(1, 3000):
            writer.put(records.payload(seq, result=b"x" * 1000))
    with pytest.raises(errors.DiskFullError, match="No space"):
        writer.flush()
    with pytest.raises(errors.DiskFullError):
        writer.put(records.task(1))
    assert [type(error) for error in told] == [errors.DiskFullError]
    with database.read() as connection:
        assert tasks.payload(connection, "0run", 1) is None
    database.close()


def test_a_run_that_was_taken_over_stops_its_writer(database: Database) -> None:
    with database.write() as connection:
        runs.create(connection, records.run())
    told: list[Exception] = []
    writer = _writer(database, told.append, fence=("0run", "me"))
    writer.put(records.task(1))
    writer.flush()
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE runs SET owner = 'somebody else'")
    writer.put(records.task(2))
    with pytest.raises(errors.RunActiveError, match="taken over"):
        writer.flush()
    assert len(told) == 1
    with database.read() as connection:
        assert len(tasks.of_run(connection, "0run")) == 1
