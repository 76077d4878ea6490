"""Chains, groups, chords, maps and chunks: what is passed on, in which order, and what happens if one fails.

Results are those of a worker's children; who is skipped, and when, is decided in the database and told in virtual time.
"""

from __future__ import annotations

import operator

import pytest

from nbflow import step
from nbflow.model.errors import ConfigError, JobUnfinishedError, TaskCancelledError, UnknownQueueError
from nbflow.queue.patterns import call, chain, chord, chunks, group, starmap
from nbflow.queue.queue import Queue
from nbflow.storage import jobs as stored_jobs
from nbflow.storage import opened
from tests.unit.queue.jobs import add, add_async, die_once, echo, fail, listed, write
from tests.unit.queue.tables import Table


@pytest.fixture
def table(queue):
    return Table(queue)


@step
def doubled(x):
    return 2 * x


def shown(value):
    """A result in which errors can be compared."""
    if isinstance(value, list):
        return [shown(each) for each in value]
    return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else value


# --- what is passed on -----------------------------------------------------------------------------------------------

one_two = group(call(add, 1), call(add, 2))
RESULTS = {
    "a chain passes each result on": (chain(call(add, 1), call(add, 10), call(add, 100)), 111),
    "a chain of one": (chain(call(add, 1)), 1),
    "functions alone": (chain(call(echo, 3), doubled, doubled), 12),
    "what is passed on comes before the other arguments": (chain(call(echo, 1), call(listed, 2, 3)), [1, 2, 3]),
    "a None is passed on": (chain(call(echo, None), listed), [None]),
    "a tuple is one argument": (chain(call(echo, (1, 2)), listed), [(1, 2)]),
    "a tuple that is spread": (chain(call(echo, (1, 2)), call(add).spread()), 3),
    "a dict that is spread": (chain(call(echo, {"x": 1, "y": 2}), call(add).spread()), 3),
    "an async function with a dict that is spread": (chain(call(echo, {"x": 1, "y": 2}), call(add_async).spread()), 3),
    "one that takes nothing": (chain(call(echo, 1), call(listed, 2).alone(), call(listed, 3)), [[2], 3]),
    "a group in its order": (group(call(add, 3), call(add, 1), call(add, 2)), [3, 1, 2]),
    "a group of an iterable": (group(call(add, x) for x in range(3)), [0, 1, 2]),
    "an empty group": (group(), []),
    "a chord": (chord([call(add, 1), call(add, 2)], sum), 3),
    "a chord with more arguments": (chord([call(add, 1)], call(listed, "more")), [[1], "more"]),
    "a chord of equal calls": (chord([call(add, 1)] * 3, sum), 3),
    "an empty chord fires with []": (chord([], listed), [[]]),
    "an empty chord in a chain": (chain(call(add, 1), group(), listed), [[]]),
    "starmap": (starmap(add, [(1, 2), (3, 4)]), [3, 7]),
    "chunks": (chunks(operator.mul, [(1, 1), (2, 2), (3, 3)], 2), [[1, 4], [9]]),
    "chunks of an async function": (chunks(add_async, [(1, 2), (3, 4)], 5), [[3, 7]]),
    "chunks of a step": (chunks(doubled, [(1,), (2,)], 1), [[2], [4]]),
    "each of a group has what was before it": (chain(call(add, 1), group(call(add, 10), call(add, 20))), [11, 21]),
    "group after group": (chain(one_two, group(sum, max)), [3, 2]),
    "a chain of chains": (chain(chain(call(add, 1), call(add, 2)), chain(call(add, 3), call(add, 4))), 10),
    "chains in a group": (group(chain(call(add, 1), call(add, 2)), call(add, 9)), [3, 9]),
    "groups in a group": (group(one_two, group(call(add, 3)), group()), [[1, 2], [3], []]),
    "a chord of chains": (chord([chain(call(add, 1), call(add, 2)), call(add, 4)], sum), 7),
    "a chord in a chain": (chain(call(add, 1), chord([call(add, 10), call(add, 20)], sum), call(add, 1000)), 1032),
    "a chord of chords": (chord([chord([call(add, 1), call(add, 2)], sum), chord([call(add, 4)], sum)], sum), 7),
    "a chord whose body is a chord": (chord([call(add, 1), call(add, 2)], chord([sum, len], listed)), [[3, 2]]),
    "a chord whose body is a chain": (chord([call(add, 1), call(add, 2)], chain(sum, call(add, 5))), 8),
    "a chain behind a group of groups": (chain(group(one_two, one_two), listed), [[[1, 2], [1, 2]]]),
}


def test_patterns_give_what_their_calls_give(queue, workers):
    found = {name: queue.enqueue(pattern) for name, (pattern, _) in RESULTS.items()}
    workers.burst()
    assert {name: made.result() for name, made in found.items()} == {
        name: value for name, (_, value) in RESULTS.items()
    }


def test_a_pattern_behind_jobs_that_are_there_takes_their_results(queue, workers):
    before = queue.enqueue(add, 1)
    made = queue.enqueue(chain(call(add, before), group(call(add, before), call(listed, [before]))))
    late = queue.enqueue(listed, made, {"first": made[0]})
    workers.burst()
    assert late.result() == [[2, [1, [1]]], {"first": 1}]


def test_map_keeps_the_order_and_takes_several_iterables(queue, workers):
    found = queue.map(add, range(25), [10] * 25)
    lists = queue.map(add, range(5), chunk=2)
    awaited = queue.map(add_async, iter([1, 2]), chunk=10)
    none = queue.map(add, [])
    workers.burst()
    assert found.result() == list(range(10, 35))
    assert (lists.result(), len(lists)) == ([[0, 1], [2, 3], [4]], 3)
    assert (awaited.result(), none.result(), len(none)) == ([[1, 2]], [], 0)


def test_members_of_one_pattern_belong_to_one_batch(queue):
    made = queue.enqueue(chord([call(add, 1), call(add, 2)], sum))
    with opened.database().read() as connection:
        assert [record.id for record in stored_jobs.of_batch(connection, made.id)] == [job.id for job in made]


# --- when the body of a chord runs -----------------------------------------------------------------------------------


def test_the_body_fires_once_and_after_all_members(table):
    *members, body = table.pattern(chord([call(add, number) for number in range(4)], sum))
    taken = table.claim()
    assert sorted(taken) == sorted(members)
    for member in reversed(members[1:]):
        table.end(member)
        assert (table.claim(), table.state(body)) == ([], "pending")
    table.end(members[0])
    assert table.claim() == [body]
    table.end(body)
    assert table.claim() == []


def test_the_body_fires_once_if_two_workers_end_the_last_members_at_once(table, queue):
    other = Table(queue, table.clock, worker="other")
    for _ in range(5):
        first, second, body = table.pattern(chord([call(add, 1), call(add, 2)], sum))
        assert (table.claim(1), other.claim(1)) == ([first], [second])
        other.end(second)
        table.end(first)
        assert (table.claim(), other.claim()) == ([body], [])
        table.end(body)


def test_a_member_that_is_tried_again_ends_once(queue, workers, log):
    retried = call(write_and_fail_once, log.path).with_options(retries=1)
    made = queue.enqueue(chord([retried, call(die_once, log.path + ".other")], listed))
    workers.burst()
    assert made.result() == [["second", 2]]
    assert len(made[2].attempts()) == 1


def write_and_fail_once(path):
    write(path, "try")
    with open(path) as lines:
        if len(lines.readlines()) == 1:
            raise ValueError("first")
    return "second"


def test_no_part_begins_before_what_comes_before_it_has_ended(table):
    order = table.pattern(chain(call(add, 1), group(call(add, 2), chain(call(add, 3), call(add, 4))), sum))
    assert table.claim() == order[:1]
    table.end(order[0])
    assert table.claim() == order[1:3]
    table.end(order[2])
    assert table.claim() == order[3:4]
    table.end(order[1])
    assert table.claim() == []
    table.end(order[3])
    assert table.claim() == order[4:]


# --- errors ----------------------------------------------------------------------------------------------------------


def test_the_error_of_one_is_that_of_all_that_would_have_used_it(queue, workers):
    made = queue.enqueue(chain(call(add, 1), call(fail).alone(), call(add, 2), chord([echo, listed], sum)))
    workers.burst()
    assert [str(state) for state in made.states()] == ["succeeded", "failed", *["skipped"] * 4]
    assert {str(job.error) for job in made.jobs[1:]} == {"no"}
    with pytest.raises(ValueError, match="no"):
        made.result()


def test_a_body_is_skipped_as_soon_as_all_members_have_ended_and_the_others_run(table):
    first, second, third, body = table.pattern(chord([call(add, number) for number in range(3)], sum))
    table.claim()
    table.fail(first)
    assert table.states([first, second, third, body]) == ["failed", "running", "running", "pending"]
    table.end(second, third)
    assert table.states([second, third, body]) == ["succeeded", "succeeded", "skipped"]
    assert table.claim() == []


def test_the_result_of_a_group_raises_the_error_of_the_first_in_order(queue, workers):
    made = queue.enqueue(group(call(add, 1), call(fail, "second"), call(fail, "third")))
    workers.burst()
    with pytest.raises(ValueError, match="second"):
        made.result()
    assert (made[0].result(), str(made[2].error)) == (1, "third")


ON_ANY, ON_FAILURE, ON_STOPPED = (call(listed).with_options(when=when) for when in ("any", "failure", "stopped"))
SKIPPED = "was skipped: it runs on the"
BODIES = {
    "any, one failed": (chord([call(add, 1), call(fail)], ON_ANY), [[1, "ValueError: no"]]),
    "any, none failed": (chord([call(add, 1)], ON_ANY), [[1]]),
    "any, one skipped": (chain(call(fail), call(add, 1), ON_ANY), ["ValueError: no"]),
    "any, none at all": (chord([], ON_ANY), [[]]),
    "failure, one failed": (chord([call(add, 1), call(fail)], ON_FAILURE), [[1, "ValueError: no"]]),
    "failure, none failed": (chord([call(add, 1)], ON_FAILURE), SKIPPED),
    "failure, none at all": (chord([], ON_FAILURE), SKIPPED),
    "stopped, one failed": (chord([call(add, 1), call(fail)], ON_STOPPED), SKIPPED),
    "stopped, none at all": (chord([], ON_STOPPED), SKIPPED),
}


def test_a_call_says_on_which_end_of_the_others_it_runs(queue, workers):
    bodies = {name: queue.enqueue(pattern)[-1] for name, (pattern, _) in BODIES.items()}
    workers.burst()
    found = {}
    for name, body in bodies.items():
        skipped = str(body.state) == "skipped"
        found[name] = SKIPPED if skipped and SKIPPED in str(body.error) else shown(body.result())
    assert found == {name: expected for name, (_, expected) in BODIES.items()}


@pytest.mark.parametrize(
    ("end", "state", "error"),
    [
        (lambda table, job: table.job(job).cancel(), "cancelled", "TaskCancelledError"),
        (lambda table, job: table.job(job).revoke() or table.claim(), "cancelled", "TaskCancelledError"),
        (lambda table, _: table.clock.advance(11) or table.tick(), "expired", "JobExpiredError"),
    ],
    ids=["cancelled", "revoked", "expired"],
)
def test_what_needs_a_job_that_never_ran_is_skipped(table, end, state, error):
    first, second, third = table.pattern(chain(call(add, 1).with_options(expires=10), call(add, 2), doubled))
    end(table, first)
    assert table.states([first, second, third]) == [state, "skipped", "skipped"]
    assert table.job(third).record.error_type.endswith(error)
    assert table.claim() == []


def test_cancelling_a_pattern_ends_all_that_has_not_ended(queue, workers):
    made = queue.enqueue(chain(call(add, 1), group(call(add, 2), call(add, 3)), sum))
    made.cancel("enough")
    assert {str(state) for state in made.states()} <= {"cancelled", "skipped"}
    assert (made.finished, workers.burst()) == (True, 0)
    with pytest.raises(TaskCancelledError, match="enough"):
        made.result()


def test_a_chain_goes_on_when_its_failed_part_is_requeued_with_those_that_were_skipped(table):
    order = table.pattern(chain(call(add, 1), call(add, 2), doubled))
    table.claim()
    table.fail(order[0])
    assert table.states(order) == ["failed", "skipped", "skipped"]
    assert set(table.broker.requeue(order)) == set(order)
    assert table.drain() == order


# --- waiting for it --------------------------------------------------------------------------------------------------


def test_a_result_that_is_not_there_yet_says_so(queue, workers):
    made = queue.enqueue(group(call(add, 1), call(add, 2)))
    assert not made.finished
    with pytest.raises(JobUnfinishedError):
        made.result()
    workers.start()
    assert made.wait(30).finished
    assert made.result(30) == [1, 2]


# --- how it is enqueued ----------------------------------------------------------------------------------------------


def test_a_pattern_is_enqueued_whole_or_not_at_all(queue):
    with pytest.raises(UnknownQueueError):
        queue.enqueue(chain(call(add, 1), call(add, 2).with_options(queue="nowhere")))
    assert len(queue) == 0


def test_options_of_the_handle_are_those_of_all_parts_and_each_may_have_its_own(queue):
    Queue.define(["a", "b"])
    own = call(add, 2).with_options(priority=5, queue="b", tags=["own"])
    made = Queue("a").with_options(priority=3, tags=["all"]).enqueue(group(call(add, 1), own))
    found = [(job.record.queue, job.record.priority, job.record.tags) for job in made]
    assert found == [("a", 3, '["all"]'), ("b", 5, '["own"]')]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda queue: queue.enqueue(chain(add), 1), "has its arguments in itself"),
        (lambda queue: queue.with_options(id="x").enqueue(chain(add)), "id is for one job"),
        (lambda queue: queue.with_options(unique="x").enqueue(chain(add)), "unique is for one job"),
        (lambda _: chain(), "a chain has one part at least"),
        (lambda _: chain(call(add), 3), "a part of a pattern is a function"),
        (lambda _: chunks(add, [], 0), "a chunk has 1 call or more"),
        (lambda queue: queue.map(add, [1], chunk=0), "a chunk has 1 item or more"),
        (lambda _: call(add).with_options(priorty=3), "no option 'priorty'. Did you mean 'priority'"),
        (lambda _: call(add).with_options(when="never"), "when is one of success, failure, stopped, any"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(queue, make, told):
    with pytest.raises(ConfigError, match=told):
        make(queue)
    assert len(queue) == 0
