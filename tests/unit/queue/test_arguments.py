"""What goes into a job comes out of it: functions of all kinds, and their arguments."""

from __future__ import annotations

import functools
import sys
import types
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbflow import settings as settings_module
from nbflow import step
from nbflow.model.errors import ConfigError, DefinitionError, UnpicklableError
from nbflow.model.ports import Inputs, Work
from nbflow.model.specs import StepSpec
from nbflow.queue.calls import Packer, run_call
from nbflow.queue.queue import Queue
from nbflow.running.clock import SystemClock
from nbflow.running.context import CURRENT, AttemptContext
from nbflow.values.project import value_store
from tests.unit.queue.jobs import add, add_async, echo, who_am_i

ATOMS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.decimals(
        allow_nan=False
    )
    | st.datetimes() | st.datetimes(timezones=st.just(UTC)) | st.dates() | st.timedeltas() | st.uuids()
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
HASHABLE = st.integers() | st.text() | st.binary() | st.dates() | st.decimals(allow_nan=False)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner) | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
    ),
    max_leaves=10,
)  # fmt: skip


def through_a_payload(values, *args, **kwargs):
    """What a call of `listed` gets that was packed and is run as a worker's child does."""
    payload = Packer(values, lambda value: False).of(collect).pack(args, kwargs).payload
    work = Work(1, StepSpec("collect", collect), Inputs(), "run", 0, "key", 1)
    token = CURRENT.set(AttemptContext(work, lambda report: None, SystemClock(), echo=False, values=values))
    try:
        return run_call(payload, "job", 1, (), tolerant=False)
    finally:
        CURRENT.reset(token)


def collect(*args, **kwargs):
    return args, kwargs


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(args=st.lists(VALUES, max_size=3), kwargs=st.dictionaries(st.from_regex(r"[a-z]{1,5}\Z"), VALUES, max_size=3))
def test_arguments_arrive_as_they_were(args, kwargs):
    got_args, got_kwargs = through_a_payload(value_store(settings_module.current()), *args, **kwargs)
    assert (list(got_args), got_kwargs) == (args, kwargs)
    assert [type(value) for value in got_args] == [type(value) for value in args]


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.10"), datetime(2024, 2, 29, 1, 2, 3, 4), datetime(2024, 1, 1, tzinfo=UTC), date(2024, 2, 29),
        timedelta(days=-1, microseconds=1), b"\x00\xff", {1, 2}, frozenset({"a"}), float("inf"), (1, [2, {3: None}]),
        "\ud800", "a\x00b", 2**100, "x" * 100_000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_of_the_standard_library_come_back_from_a_worker(queue, workers, value):
    job = queue.enqueue(echo, value)
    workers.burst()
    assert job.result() == value
    assert type(job.result()) is type(value)


def test_nan_comes_back_as_nan(queue, workers):
    job = queue.enqueue(echo, float("nan"))
    workers.burst()
    assert job.result() != job.result()


BAD = {"file": sys.stdout, "generator": (item for item in ()), "deep": [1, {2: (item for item in ())}]}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_what_cannot_travel_is_refused_where_it_is_enqueued(queue, bad):
    with pytest.raises(UnpicklableError, match="echo"):
        queue.enqueue(echo, bad)
    assert len(queue) == 0


def test_a_change_after_enqueueing_is_not_seen(queue, workers):
    values = [1]
    job = queue.enqueue(echo, values)
    values.append(2)
    workers.burst()
    assert job.result() == [1]


# --- functions -------------------------------------------------------------------------------------------------------


def test_plain_and_async_functions_are_jobs(queue, workers):
    jobs = [queue.enqueue(add, 1, y=2), queue.enqueue(add_async, 1, y=2)]
    workers.burst()
    assert [job.result() for job in jobs] == [3, 3]
    assert [job.record.name for job in jobs] == ["add", "add_async"]


def test_code_without_a_name_travels_by_value(queue, workers):
    factor = 3

    async def later(x):
        return x * factor

    jobs = [
        queue.enqueue(lambda x: x * factor, 2),
        queue.enqueue(later, 5),
        queue.enqueue(functools.partial(add, 1), 1),
    ]
    workers.burst()
    assert [job.result() for job in jobs] == [6, 15, 2]
    assert [job.record.name for job in jobs] == ["lambda", "later", "partial"]


def test_functions_of_one_name_are_told_apart(queue, workers):
    def add(x, y):
        return x - y

    jobs = [queue.enqueue(add, 5, 3), queue.enqueue(listed_add(), 5, 3)]
    workers.burst()
    assert [job.result() for job in jobs] == [2, 8]


def listed_add():
    from tests.unit.queue.jobs import add

    return add


def test_code_of_an_interactive_module_travels(queue, workers):
    module = types.ModuleType("__main__")
    exec("import math\nBASE = 10\ndef scaled(x):\n    return math.sqrt(x) * BASE\n", module.__dict__)
    job = queue.enqueue(module.scaled, 4)
    workers.burst()
    assert job.result() == 20


@pytest.mark.parametrize("bad", [3, "add", None])
def test_a_job_calls_a_function(queue, bad):
    with pytest.raises(DefinitionError, match="a job calls a function"):
        queue.enqueue(bad)


def test_a_missing_argument_is_the_error_of_the_job(queue, workers):
    job = queue.enqueue(echo)
    workers.burst()
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        job.result()


def test_a_job_knows_its_id(queue, workers):
    job = queue.enqueue(who_am_i)
    workers.burst()
    assert job.result() == job.id


# --- steps -----------------------------------------------------------------------------------------------------------


@step(queue="reports", timeout=20, soft_timeout=10, retries=[0.5])
def report(x):
    return x


@step
def plain(x):
    return x + 1


def test_a_step_is_enqueued_on_its_own_queue_with_its_own_options(queue, workers):
    Queue("reports").create()
    job = report.enqueue(4)
    record = job.record
    assert (record.queue, record.timeout, record.soft_timeout, record.name) == ("reports", 20, 10, "report")
    assert '"retries": 1' in record.policy
    workers.burst()
    assert job.result() == 4


def test_a_call_overrides_queue_and_options_of_its_step(queue):
    Queue.define(["reports", "other"])
    job = Queue("other").with_options(timeout=15, retries=0, eta=60).enqueue(report, 4)
    record = job.record
    assert (record.queue, record.timeout, record.soft_timeout, record.state) == ("other", 15, 10, "pending")
    assert record.policy is None
    moved = queue.with_options(queue=Queue("other")).enqueue(report, 4)
    assert (moved.record.queue, Queue().enqueue(report, 1).record.queue) == ("other", "reports")


def test_a_step_without_a_queue_goes_to_the_default_one(queue, workers):
    job = plain.enqueue(x=1)
    workers.burst()
    assert (job.record.queue, job.result()) == ("default", 2)


def test_steps_and_functions_of_a_notebook_are_jobs(queue, workers):
    notebook = types.ModuleType("__main__")
    cells = """
from nbflow import step
FACTOR = 3
def helper(x):
    return x * FACTOR
@step(soft_timeout=5, timeout=10, tags=["cell"])
def scaled(x):
    return helper(x)
async def later(x):
    return helper(x)
class Point:
    def __init__(self, x):
        self.x = helper(x)
@step
def moved(point):
    return Point(point.x)
"""
    exec(cells, notebook.__dict__)
    first = notebook.scaled.enqueue(x=2)
    jobs = [first, queue.enqueue(notebook.later, 4), notebook.moved.enqueue(notebook.Point(1))]
    chained = notebook.scaled.enqueue(first)
    workers.burst()
    assert [jobs[0].result(), jobs[1].result(), jobs[2].result().x, chained.result()] == [6, 12, 9, 18]
    assert (first.record.soft_timeout, first.record.timeout, first.record.tags) == (5, 10, '["cell"]')


def test_the_queue_of_a_step_is_a_name_or_a_queue():
    assert step(queue=Queue("a"))(add).spec.queue == "a"
    assert plain.with_options(queue="b").spec.queue == "b"
    with pytest.raises(DefinitionError, match="name of a queue"):
        step(queue=3)(add)


@pytest.mark.parametrize(("timeout", "soft"), [(5, 5), (5, 6), (timedelta(seconds=1), 2)])
def test_the_hard_timeout_of_a_step_is_longer_than_the_soft_one(timeout, soft):
    with pytest.raises(ConfigError, match=r"step 'add': timeout .* has to be longer than soft_timeout"):
        step(timeout=timeout, soft_timeout=soft)(add)
    with pytest.raises(ConfigError, match="has to be longer"):
        step(soft_timeout=soft)(add).with_options(timeout=timeout)


@pytest.mark.parametrize(
    ("of_call", "of_queue"), [({"timeout": 1, "soft_timeout": 2}, {}), ({"timeout": 1}, {"soft_timeout": 2})]
)
def test_timeouts_that_contradict_each_other_are_refused_before_anything_is_stored(queue, of_call, of_queue):
    queue.create(**of_queue)
    with pytest.raises(ConfigError, match="job 'add': timeout"):
        queue.with_options(**of_call).enqueue(add, 1)
    assert len(queue) == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"etta": 1}, "no option 'etta'. Did you mean 'eta'"),
        ({"timeout": 0}, "timeout is a positive number"),
        ({"success_ttl": -1}, "success_ttl is a positive number"),
        ({"when": "always"}, "when is one of success, failure, stopped, any"),
        ({"meta": {"a": object()}}, "meta has to be what JSON can hold"),
        ({"limits": "k"}, "limits are one Limit"),
        ({"unique": 3}, "unique is a key"),
        ({"lock": ""}, "a lock is a text of 1 to 200 characters"),
        ({"delay": 3}, "add retries=3"),
        ({"id": "a b"}, "an id has 1 to 64 letters"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_make_no_sense_are_refused(queue, options, told):
    with pytest.raises(ConfigError, match=told):
        queue.with_options(**options).enqueue(add, 1)
