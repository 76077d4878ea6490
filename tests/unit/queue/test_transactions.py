"""Enqueueing inside of the caller's own transaction: the jobs are there after its commit, never after a rollback."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from nbflow.model.errors import JobNotFoundError, UnknownQueueError
from nbflow.queue.options import Limit, Unique
from nbflow.queue.patterns import call, chain, chord, group
from nbflow.queue.queue import Queue
from nbflow.storage import opened
from tests.servers import wait_until
from tests.unit.queue.jobs import add, echo, note_outcome, until
from tests.unit.queue.tables import Table


@pytest.fixture
def engine(queue, db_url):
    """The caller's own engine on the same database, with a table of the caller's."""
    len(queue)  # opens the database
    url = db_url.replace("postgresql://", "postgresql+psycopg://")
    made = create_engine(url)
    with made.begin() as connection:
        connection.execute(text("CREATE TABLE orders (id INTEGER)"))
    yield made
    made.dispose()


@pytest.fixture
def table(queue):
    return Table(queue)


def orders(engine):
    with engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM orders")).scalar_one()


def order(connection):
    connection.execute(text("INSERT INTO orders VALUES (1)"))


WAYS = {
    "a plain job": lambda queue, connection: queue.enqueue_in(connection, add, 1),
    "a delayed job": lambda queue, connection: queue.with_options(eta=0.01).enqueue_in(connection, add, 1),
    "a unique job": lambda queue, connection: queue.with_options(unique="k").enqueue_in(connection, add, 1),
    "a locked job": lambda queue, connection: queue.with_options(lock="l").enqueue_in(connection, add, 1),
    "a limited job": lambda queue, connection: queue.with_options(limits=Limit("k", 1)).enqueue_in(connection, add, 1),
    "a job with a callback": lambda queue, connection: queue.with_options(on_success=echo).enqueue_in(
        connection, add, 1
    ),
    "a large job": lambda queue, connection: queue.enqueue_in(connection, echo, "x" * 300_000),
    "a chain": lambda queue, connection: queue.enqueue_in(connection, chain(call(add, 1), call(add, 2))),
    "a chord": lambda queue, connection: queue.enqueue_in(connection, chord([call(add, 1), call(add, 2)], sum)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_rollback_takes_the_jobs_back_with_all_else(queue, engine, workers, way):
    with engine.connect() as connection:
        order(connection)
        made = WAYS[way](queue, connection)
        connection.rollback()
    ids = [job.id for job in made] if hasattr(made, "jobs") else [made.id]
    for id_ in ids:
        with pytest.raises(JobNotFoundError):
            queue.job(id_).state  # noqa: B018 - the look is what raises
    assert (len(queue), workers.burst(), orders(engine)) == (0, 0, 0)
    assert queue.with_options(unique="k", lock="l").enqueue(add, 1).id not in ids, "nothing is held"
    assert workers.burst() == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_commit_makes_them_seen_and_run(queue, engine, workers, way):
    workers.start()
    with engine.begin() as connection:
        order(connection)
        made = WAYS[way](queue, connection)
        assert len(queue) == 0, "nobody else sees them yet"
    assert made.wait(30).finished
    assert (made.result() is not None, orders(engine)) == (True, 1)


def test_an_error_of_the_caller_is_a_rollback(queue, engine):
    def place_order():
        with engine.begin() as connection:
            queue.enqueue_in(connection, add, 1)
            order(connection / 0)

    with pytest.raises(TypeError, match="unsupported operand"):
        place_order()
    assert len(queue) == 0


def test_a_savepoint_takes_back_its_own_jobs_alone(queue, engine, workers):
    with engine.begin() as connection:
        kept = queue.enqueue_in(connection, add, 1)
        savepoint = connection.begin_nested()
        queue.enqueue_in(connection, add, 2)
        savepoint.rollback()
    assert [record.id for record in queue.peek()] == [kept.id]
    workers.burst()
    assert kept.result() == 1


def test_jobs_of_one_transaction_may_need_each_other_and_those_that_were_there(queue, engine, workers, log):
    before = queue.enqueue(add, 1)
    with engine.begin() as connection:
        first = queue.enqueue_in(connection, add, before, 10)
        second = queue.with_options(after=first).enqueue_in(connection, add, first, 100)
        told = queue.with_options(on_success=call(note_outcome, log.path)).enqueue_in(connection, group(call(add, 5)))
    workers.burst()
    assert (second.result(), told.result(), log.lines()) == (111, [5], [["told", "[5]"]])


def test_a_need_that_ends_before_the_commit_is_seen_after_it(queue, engine, workers):
    need = queue.enqueue(add, 1)
    bad = queue.enqueue(echo)
    if engine.dialect.name == "sqlite":
        workers.burst()  # it has one writer at a time
    with engine.begin() as connection:
        late = queue.enqueue_in(connection, add, need, 1)
        skipped = queue.enqueue_in(connection, add, bad, 1)
        if engine.dialect.name == "postgresql":
            workers.burst()
    workers.burst()
    assert (late.result(), str(skipped.state)) == (2, "skipped")


@pytest.mark.parametrize("db_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_long_transaction_keeps_no_others_from_a_lock_or_a_limit(table, queue, engine):
    handle = queue.with_options(lock="l", limits=Limit("k", 1))
    with engine.begin() as connection:
        mine = handle.enqueue_in(connection, add, 1).id
        others = [table.enqueue(lock="l", limits=Limit("k", 1)) for _ in range(2)]
        for other in others:
            assert table.claim() == [other]
            table.end(other)
    table.clock.advance(queue.job(mine).record.due_at - table.clock.time())  # it was enqueued by the real clock
    assert table.claim() == [mine]


def test_a_key_that_is_taken_gives_the_job_that_has_it(queue, engine):
    first = queue.with_options(unique="k").enqueue(add, 1)
    with engine.begin() as connection:
        assert queue.with_options(unique="k").enqueue_in(connection, add, 2).id == first.id
        mine = queue.with_options(unique=Unique("other")).enqueue_in(connection, add, 3)
        assert queue.with_options(unique="other").enqueue_in(connection, add, 4).id == mine.id
    assert len(queue) == 2


def test_an_unknown_queue_is_an_error_at_once(queue, engine):
    with engine.connect() as connection:
        with pytest.raises(UnknownQueueError):
            Queue("nowhere").enqueue_in(connection, add, 1)
        order(connection)
        connection.commit()
    assert orders(engine) == 1, "the caller's transaction goes on"


def test_an_idle_worker_takes_them_at_once_after_the_commit(queue, engine, workers, log, tmp_path):
    workers.start()
    for _ in range(3):
        with engine.begin() as connection:
            job = queue.enqueue_in(connection, until, log.path, "begun", str(tmp_path / "go"))
        (tmp_path / "go").touch()
        assert job.result(30) == "begun"


def test_the_transactions_of_nbflow_itself_will_do(queue, workers):
    with opened.database().write() as connection:
        job = queue.enqueue_in(connection, add, 1)
    wait_until(lambda: workers.burst() or job.finished)
    assert job.result() == 1
