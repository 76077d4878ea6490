"""Trying again: what is repeated, for how long, and what is not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from nbflow.model import errors
from nbflow.storage.database import open_database
from nbflow.storage.retrying import retry


class Failing:
    """Fails some times with an error, then gives 7."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times, self.calls = error, times, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return 7


_LOST = errors.DatabaseUnreachableError("no connection", repeat=True)


def test_what_was_lost_is_run_again_until_it_holds():
    waited: list[float] = []
    action = Failing(_LOST, 4)
    assert retry(action, wait=waited.append) == 7
    assert action.calls == 5
    assert len(waited) == 4
    assert all(0 < pause <= 2 for pause in waited)


def test_the_pauses_grow_to_two_seconds():
    waited: list[float] = []
    retry(Failing(_LOST, 12), wait=waited.append)
    assert waited[0] <= 0.05
    assert waited[-1] >= 1.0


def test_without_patience_the_first_error_is_raised():
    action = Failing(_LOST, 1)
    with pytest.raises(errors.DatabaseUnreachableError):
        retry(action, patience=0.0)
    assert action.calls == 1


def test_an_event_ends_the_trying():
    stop = threading.Event()
    stop.set()
    action = Failing(_LOST, 3)
    with pytest.raises(errors.DatabaseUnreachableError):
        retry(action, wait=stop.wait)
    assert action.calls == 1


@pytest.mark.parametrize("error", [errors.DatabaseLockedError("locked"), errors.StorageError("refused"), KeyError("x")])
def test_other_errors_are_raised_at_once(error: Exception):
    action = Failing(error, 1)
    with pytest.raises(type(error)):
        retry(action)
    assert action.calls == 1


def _cut(connection: Connection) -> None:
    """End the server's session of a connection from another one."""
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with connection.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})


@pytest.mark.postgres
@pytest.mark.parametrize("write", [True, False])
def test_a_transaction_whose_session_was_ended_is_run_again(postgres_url: str, write: bool):
    calls = []

    def action(connection: Connection) -> int:
        calls.append(connection)
        if len(calls) == 1:
            _cut(connection)
        return int(connection.exec_driver_sql("SELECT 7").scalar_one())

    with open_database(postgres_url) as database:
        assert database.retrying(action, write=write) == 7
    assert len(calls) == 2


@pytest.mark.postgres
def test_what_was_written_before_the_loss_is_not_there_twice(postgres_url: str):
    calls = []

    def action(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO numbers VALUES (1)")
        calls.append(connection)
        if len(calls) == 1:
            _cut(connection)

    with open_database(postgres_url) as database:
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE numbers (n int)")
        database.retrying(action)
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM numbers").scalar_one() == 1


@pytest.mark.postgres
def test_of_two_transactions_that_wait_for_each_other_one_is_run_again(postgres_url: str):
    met = threading.Barrier(2, timeout=20)

    def change(first: int, second: int) -> None:
        tries = []

        def action(connection: Connection) -> None:
            tries.append(first)
            connection.exec_driver_sql(f"UPDATE numbers SET n = n + 1 WHERE id = {first}")
            if len(tries) == 1:
                met.wait()
            connection.exec_driver_sql(f"UPDATE numbers SET n = n + 1 WHERE id = {second}")

        database.retrying(action)

    with open_database(postgres_url) as database:
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE numbers (id int, n int)")
            connection.exec_driver_sql("INSERT INTO numbers VALUES (1, 0), (2, 0)")
        threads = [threading.Thread(target=change, args=pair) for pair in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT n FROM numbers").scalars().all() == [2, 2]


def test_an_error_of_the_action_is_not_repeated(tmp_path: Path):
    with open_database(f"sqlite:///{tmp_path}/x.db") as database:
        with pytest.raises(errors.StorageError, match="nothing"):
            database.retrying(lambda connection: connection.exec_driver_sql("SELECT * FROM nothing"))
