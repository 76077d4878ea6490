"""Which job is served first: queues by their number, jobs by theirs, and otherwise in the order of enqueueing."""

from __future__ import annotations

import random

import pytest

from nbflow import flow
from nbflow.model.errors import ConfigError, DefinitionError, UnknownQueueError
from nbflow.model.names import run_job
from nbflow.queue.queue import Queue, queue_of
from nbflow.storage import opened, queues
from tests.servers import wait_until
from tests.unit.queue.jobs import until, write
from tests.unit.queue.tables import Table


def order():
    """Queues as they are served."""
    with opened.database().read() as connection:
        return [queue.name for queue in queues.everything(connection)]


def test_jobs_end_in_the_order_of_their_queues_numbers_and_then_of_enqueueing(queue, workers, log):
    made = Queue.define([("second", 2), (10, "third"), ("first", -1)])
    number = {"first": -1, "second": 2, "third": 10}
    chosen = random.Random(7)
    calls = [(chosen.choice(made), f"job{index}") for index in range(40)]
    for each, name in calls:
        each.enqueue(write, log.path, name)
    assert workers.burst() == 40
    expected = sorted(calls, key=lambda call: number[call[0].name])
    assert log.names() == [name for _, name in expected]


def test_a_more_urgent_job_that_comes_later_is_taken_next(queue, workers, log, tmp_path):
    slow, fast = Queue.define(["slow", (1, "fast")])
    slow.enqueue(until, log.path, "running", str(tmp_path / "go"))
    slow.enqueue(write, log.path, "waits")
    workers.start()
    wait_until(log.names)
    fast.enqueue(write, log.path, "urgent")
    (tmp_path / "go").touch()
    wait_until(lambda: len(log.names()) == 3)
    assert log.names() == ["running", "urgent", "waits"]


def test_queues_without_a_number_come_after_the_others_and_the_default_one_last(queue):
    queue.create()
    Queue.define(["plain", ("numbered", 1_000), "other"])
    assert order() == ["numbered", "plain", "other", "default"]


def test_jobs_for_no_named_queue_are_served_last(queue, workers, log):
    queue.enqueue(write, log.path, "default")
    Queue("named").create().enqueue(write, log.path, "named")
    workers.burst()
    assert log.names() == ["named", "default"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("a", ("a", None)), (("a", 2), ("a", 2)), ((2, "a"), ("a", 2)), (["a", -1], ("a", -1)), (Queue("a"), ("a", None))],
    ids=["name", "name first", "number first", "list", "object"],
)
def test_a_queue_is_given_as_a_name_a_pair_in_either_order_or_an_object(given, meant):
    assert queue_of(given) == meant


@pytest.mark.parametrize("given", [3, ("a", "b"), (1, 2), ("a", 1, 2), ("a", True), None], ids=repr)
def test_what_is_no_queue_is_refused(given):
    with pytest.raises(ConfigError, match=r"a queue is a name, \(name, priority\) or a Queue"):
        queue_of(given)


@pytest.mark.parametrize("name", ["", "1st", "a/b", "@me"])
def test_a_queue_has_a_name_like_all_else(name):
    with pytest.raises(DefinitionError, match="cannot be the name of a queue"):
        Queue(name)


def test_defining_queues_again_gives_them_other_numbers_and_leaves_the_rest(queue):
    Queue("a").create(priority=1, max_running=3)
    Queue("b").create(priority=2)
    Queue.define([("a", 5), Queue("b"), Queue("c")])
    with opened.database().read() as connection:
        found = {each.name: (each.priority, each.max_running) for each in queues.everything(connection)}
    assert found == {"a": (5, 3), "b": (2, None), "c": (None, None)}


def test_a_queue_that_is_defined_twice_is_refused(queue):
    with pytest.raises(ConfigError, match="'a' is named twice"):
        Queue.define(["a", ("a", 2)])
    assert order() == []


@pytest.mark.parametrize("call", ["enqueue", "enqueue_many", "with_options"])
def test_an_unknown_queue_is_an_error_where_it_is_enqueued(queue, call):
    Queue("reports").create()
    enqueue = {
        "enqueue": lambda: Queue("report").enqueue(write),
        "enqueue_many": lambda: Queue("report").enqueue_many(write, [()]),
        "with_options": lambda: queue.with_options(queue="report", lock="it").enqueue(write),
    }[call]
    with pytest.raises(UnknownQueueError, match=r"no queue 'report'\. Did you mean 'reports'.* make it"):
        enqueue()


def test_the_lower_priority_of_a_job_is_served_first(queue, workers, log):
    for name, priority in [("plain", 0), ("low", 5), ("urgent", -3), ("second", 0)]:
        queue.with_options(priority=priority).enqueue(write, log.path, name)
    assert [record.priority for record in queue.peek()] == [-3, 0, 0, 5]
    workers.burst()
    assert log.names() == ["urgent", "plain", "second", "low"]


def test_the_queue_counts_before_the_priority_of_its_jobs(queue, workers, log):
    low, high = Queue.define([(2, "low"), (1, "high")])
    low.with_options(priority=-100).enqueue(write, log.path, "urgent of low")
    high.with_options(priority=100).enqueue(write, log.path, "patient")
    workers.burst()
    assert log.names() == ["patient", "urgent"]


def test_front_goes_before_all_others_of_the_same_priority(queue, workers, log):
    queue.enqueue(write, log.path, "first")
    queue.with_options(front=True).enqueue(write, log.path, "front")
    queue.with_options(priority=-1).enqueue(write, log.path, "urgent")
    workers.burst()
    assert log.names() == ["urgent", "front", "first"]


def test_where_waiting_counts_a_patient_job_is_served_before_urgent_ones_that_come_much_later(queue):
    ageing = Queue("fair").create(ageing=0.000001)  # a microsecond of waiting is worth one step
    old = ageing.with_options(priority=1).enqueue(write)
    urgent = ageing.with_options(priority=-1_000_000_000).enqueue(write)
    later = [ageing.with_options(priority=0).enqueue(write) for _ in range(3)]
    assert [record.id for record in ageing.peek()] == [urgent.id, old.id, *(job.id for job in later)]


@pytest.mark.parametrize("priority", [1.5, "1", True])
def test_a_priority_is_a_whole_number(queue, priority):
    with pytest.raises(ConfigError, match="priority"):
        queue.with_options(priority=priority)
    with pytest.raises(ConfigError, match="priority"):
        queue.create(priority=priority)


@flow
def nothing() -> None:
    """What a run does that is claimed and does not begin."""


def test_flow_functions_are_not_claimed_ahead(queue):
    table = Table(queue)
    ids = []
    for _ in range(3):
        ids += [run_job(nothing.submit(executor="queue").id), table.enqueue()]
    assert table.claim(1, ahead=5) == [ids[0], ids[1], ids[3], ids[5]]
    assert table.claim(5) == [ids[2], ids[4]]
