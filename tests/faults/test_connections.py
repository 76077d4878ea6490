"""Connections to PostgreSQL that are lost under a flow: it ends well, and nothing is lost or doubled."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from nbflow import Run, configure, errors, flow, step
from nbflow.engine import stores
from nbflow.model.records import RunUpdate
from nbflow.storage import runs
from nbflow.storage.database import Database, open_database
from nbflow.storage.writer import Writer
from tests.faults.kill_flow import LOG, note
from tests.proxy import CuttingProxy
from tests.servers import PostgresServer, running, wait_until
from tests.unit.storage import records

pytestmark = pytest.mark.postgres

ROUNDS, WIDTH = 4, 25
COMMIT = b"COMMIT\0"  # as psycopg sends it; a transaction also begins with "... READ COMMITTED"
AWAY = 2.0  # seconds for which a server does not answer


class Place:
    """A database whose connections can be hurt."""

    def __init__(self, server: PostgresServer, proxy: CuttingProxy, url: str) -> None:
        self.server = server
        self.proxy = proxy
        self.url = url.replace(f":{server.port}/", f":{proxy.port}/")
        self._timers: list[threading.Timer] = []

    def end_sessions(self) -> None:
        wait_until(lambda: self.server.end_sessions() > 0)  # some may be about to connect again

    def restart(self) -> None:
        self.server.crash()
        self.server.revive()

    def stay_away(self) -> None:
        if not self._timers:  # once in a flow
            self.server.crash()
            self._later(self.server.revive)

    def cut(self) -> None:
        self.proxy.cut()

    def refuse(self) -> None:
        if not self._timers:
            self.proxy.refuse()
            self._later(self.proxy.accept)

    def lose_the_answer_to_a_commit(self) -> None:
        self.proxy.lose_answer_to(COMMIT)

    def settle(self) -> None:
        """Wait until all is well again."""
        for timer in self._timers:
            timer.join()
        self._timers.clear()

    def _later(self, action: Callable[[], None]) -> None:
        """Do it after a while. The flow goes on meanwhile, as far as it can."""
        timer = threading.Timer(AWAY, action)
        timer.start()
        self._timers.append(timer)


HARMS: dict[str, Callable[[Place], None]] = {
    "all sessions are ended": Place.end_sessions,
    "the server is killed and started": Place.restart,
    "the server is away for a while": Place.stay_away,
    "connections are cut": Place.cut,
    "connections are cut and refused for a while": Place.refuse,
    "the answer to a commit is lost": Place.lose_the_answer_to_a_commit,
}


def harm() -> None:
    """What happens in the midst of the flow: nothing, unless a test puts something in its place."""


@step
def leaf(number: int) -> int:
    note(f"leaf {number}")
    return 2 * number


@flow
def hurt() -> int:
    total = 0
    for start in range(0, ROUNDS * WIDTH, WIDTH):
        numbers = [leaf(number) for number in range(start, start + WIDTH)]
        harm()
        total += sum(numbers)
    return total


@pytest.fixture(scope="module")
def durable_server() -> Iterator[PostgresServer]:
    """A server that may be killed: the one of the session loses what it has just committed."""
    with running(partial(PostgresServer, durable=True)) as server:
        yield server


@pytest.fixture
def place(durable_server: PostgresServer) -> Iterator[Place]:
    url = durable_server.new_database()
    with CuttingProxy(durable_server.port) as proxy:
        place = Place(durable_server, proxy, url)
        yield place
        place.settle()
        stores.close_all()


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with open_database(place.url) as database:
        yield database


def _check(run: Run) -> None:
    """The tables and what the steps noted tell the same: each ran once, and each is on record once."""
    assert run.result() == sum(2 * number for number in range(ROUNDS * WIDTH))
    assert str(run.state) == "succeeded"
    noted = Counter(Path(LOG).read_text().splitlines())
    assert noted == {f"leaf {number}": 1 for number in range(ROUNDS * WIDTH)}
    tasks = run.tasks()
    assert Counter(str(task.state) for task in tasks) == {"succeeded": ROUNDS * WIDTH}
    assert sorted(task.result() for task in tasks) == [2 * number for number in range(ROUNDS * WIDTH)]
    attempts = Counter((attempt.seq, attempt.number, attempt.state) for attempt in run.attempts())
    assert attempts == {(task.record.seq, 1, "succeeded"): 1 for task in tasks}


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("hurting", HARMS.values(), ids=HARMS.keys())
def test_a_flow_ends_well_although(
    hurting: Callable[[Place], None], executor: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(db=place.url)
    monkeypatch.setitem(globals(), "harm", lambda: hurting(place))
    run = hurt.run(executor=executor, workers=2)
    place.settle()
    _check(run)


@pytest.mark.parametrize("hurting", HARMS.values(), ids=HARMS.keys())
def test_a_run_is_begun_resumed_and_read_although(
    hurting: Callable[[Place], None], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(db=place.url)
    hurt.run()
    Path(LOG).unlink()
    hurting(place)
    run = hurt.run()
    hurting(place)
    _check(run)
    place.settle()
    hurting(place)
    resumed = run.resume()
    place.settle()
    _check(resumed)


def test_reading_goes_on_when_sessions_are_ended_at_the_same_moment(place: Place) -> None:
    configure(db=place.url)
    run = hurt.run()
    for _ in range(20):
        thread = threading.Thread(target=place.server.end_sessions)
        thread.start()
        assert len(run.tasks()) == ROUNDS * WIDTH
        thread.join()


def test_a_server_that_stays_away_ends_the_flow_with_a_clear_error(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(db=place.url)
    monkeypatch.setitem(globals(), "harm", place.proxy.refuse)
    stores.database().patience = 0.5
    with pytest.raises(errors.DatabaseUnreachableError, match="Is the server up"):
        hurt()
    place.proxy.accept()
    (stopped,) = [run for run in _all_runs() if str(run.state) == "running"]
    monkeypatch.setitem(globals(), "harm", lambda: None)
    resumed = stopped.resume()
    assert resumed.result() == sum(2 * number for number in range(ROUNDS * WIDTH))


def _all_runs() -> list[Run]:
    import nbflow

    return nbflow.runs()


# --- what the lost answer to a commit must not double, or have taken for somebody else's work ------------------------


def _stored(database: Database, run: str) -> runs.RunRecord:
    return database.retrying(lambda connection: runs.get(connection, run), write=False)


def test_a_run_whose_creation_was_committed_unnoticed_is_there_once(place: Place, database: Database) -> None:
    _stored_nothing(database)
    place.proxy.lose_answer_to(COMMIT)
    database.retrying(lambda connection: runs.create(connection, records.run("a", owner="me")))
    place.proxy.wait_for_cut()
    assert _stored(database, "a").owner == "me"


def test_a_claim_that_was_committed_unnoticed_holds(place: Place, database: Database) -> None:
    database.retrying(lambda connection: runs.create(connection, records.run("a", owner=None)))
    place.proxy.lose_answer_to(COMMIT)
    now = time.time()
    record = runs.claim(database, "a", "me", pid=1, process_started=0.0, lease=30.0, now=now)
    place.proxy.wait_for_cut()
    assert record.owner == "me"


def test_an_end_that_was_committed_unnoticed_is_not_taken_for_a_takeover(place: Place, database: Database) -> None:
    database.retrying(lambda connection: runs.create(connection, records.run("a", owner="me")))
    problems: list[Exception] = []
    writer = Writer(database, on_error=problems.append, fence=("a", "me"))
    place.proxy.lose_answer_to(COMMIT)
    nothing = dict.fromkeys(RunUpdate._fields)
    writer.put(RunUpdate(**{**nothing, "id": "a", "state": "succeeded", "finished_at": 7.5}))
    writer.close()
    place.proxy.wait_for_cut()
    assert problems == []
    assert _stored(database, "a").state == "succeeded"


def test_an_end_after_somebody_else_took_over_is_refused_all_the_same(place: Place, database: Database) -> None:
    database.retrying(lambda connection: runs.create(connection, records.run("a", owner="another")))
    writer = Writer(database, on_error=lambda problem: None, fence=("a", "me"))
    nothing = dict.fromkeys(RunUpdate._fields)
    writer.put(RunUpdate(**{**nothing, "id": "a", "state": "succeeded", "finished_at": 7.5}))
    with pytest.raises(errors.RunActiveError):
        writer.close()


def test_a_cancellation_that_was_committed_unnoticed_is_one(place: Place, database: Database) -> None:
    database.retrying(lambda connection: runs.create(connection, records.run("a", owner="me")))
    place.proxy.lose_answer_to(COMMIT)
    runs.cancel(database, "a", 9.0)
    place.proxy.wait_for_cut()
    assert _stored(database, "a").state == "cancelled"


def _stored_nothing(database: Database) -> None:
    """Have a connection that is ready, so that the next commit is the one of the test."""
    assert database.retrying(runs.count) == 0
