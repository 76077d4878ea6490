"""What a worker has in hand: jobs become work, reports become news, news are told once."""

from __future__ import annotations

import json
import math

import pytest

from nbflow.model.jobs import ClaimedJob
from nbflow.model.ports import Finished, Output, Progress, Started
from nbflow.model.states import State
from nbflow.queue.ledger import InHand, Ledger, may_be_lost_again, parsed, retry_after_timeout

NOW = 1_000_000.0


def claimed(job="a" * 12, **values):
    empty = ClaimedJob(**dict.fromkeys(ClaimedJob._fields))
    known = {"id": job, "queue": "default", "name": "add", "payload": b"signed", "attempt": 1, "losses": 0, "token": 1}
    return empty._replace(**{**known, **values})


def started(work, at=NOW):
    return Started(work.ticket, at, "process-1", 1)


def finished(work, state=State.SUCCEEDED):
    return Finished(work.ticket, state, NOW, NOW + 1, "process-1", 1)


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def work(ledger):
    return ledger.take(claimed(), ())


def test_a_job_becomes_work_that_carries_its_payload_and_times(ledger):
    work = ledger.take(claimed(timeout=5.0, soft_timeout=3.0, attempt=4, losses=1), ())
    assert (work.timeout, work.soft_timeout, work.attempt) == (5.0, 3.0, 4)
    assert work.inputs.args[:3] == (b"signed", "a" * 12, 3), "a try that was lost with its process does not count"
    assert (work.run, work.seq, work.key) == ("a" * 12, 0, "job " + "a" * 12)


def test_a_task_of_a_flow_is_told_under_its_run(ledger):
    work = ledger.take(claimed(run="r" * 12, seq=7, policy=json.dumps({"key": "train#2", "async": True})), ())
    assert (work.run, work.seq, work.key, work.spec.is_async) == ("r" * 12, 7, "train#2", True)


def test_jobs_are_in_hand_until_they_end(ledger, work):
    assert (len(ledger), ledger.knows("a" * 12), ledger.per_queue()) == (1, True, {"default": 1})
    ledger.learn(finished(work))
    assert (len(ledger), ledger.knows("a" * 12), len(ledger.news(NOW).ends)) == (0, True, 1)
    ledger.told(ledger.news(NOW))
    assert not ledger.knows("a" * 12)


def test_news_stay_until_they_are_told(ledger, work):
    ledger.learn(Output(work.ticket, NOW, "stdout", "one"))
    assert ledger.news(NOW) is ledger.news(NOW + 1)
    ledger.told(ledger.news(NOW))
    assert not ledger.news(NOW + 2)


def test_output_is_numbered_in_its_try(ledger, work):
    for text in ("one", "two"):
        ledger.learn(Output(work.ticket, NOW, "stdout", text))
        ledger.told(ledger.news(NOW))
    ledger.learn(Output(work.ticket, NOW, "stderr", "three"))
    (log,) = ledger.news(NOW).logs
    assert (log.number, log.attempt, log.stream, log.text) == (3, 1, "stderr", "three")


def test_notes_are_put_together(ledger, work):
    for values in ({"rows": 1, "file": "x"}, {"rows": 2}):
        ledger.learn(Output(work.ticket, NOW, "meta", json.dumps(values)))
    assert ledger.news(NOW).meta == {"a" * 12: {"rows": 2, "file": "x"}}


def test_the_latest_progress_is_told_and_what_was_not_said_again_stays(ledger, work):
    for value, message in ((0.2, "read"), (None, "sorted"), (0.4, "")):
        ledger.learn(Progress(work.ticket, NOW, value, message))
    assert ledger.news(NOW).progress == {"a" * 12: (0.4, "sorted")}


@pytest.mark.parametrize("value", [math.nan, math.inf, "half", [1], 10**400], ids=lambda value: str(value)[:5])
def test_progress_that_is_no_number_is_left_out(ledger, work, value):
    ledger.learn(Progress(work.ticket, NOW, 0.5, "read"))
    ledger.learn(Progress(work.ticket, NOW, value, "sorted"))
    assert ledger.news(NOW).progress == {"a" * 12: (0.5, "sorted")}


def test_a_message_that_is_no_text_is_made_one(ledger, work):
    ledger.learn(Progress(work.ticket, NOW, True, 3))
    assert ledger.news(NOW).progress == {"a" * 12: (1.0, "3")}


def test_only_the_beginning_of_what_lasts_is_told(ledger, work):
    ledger.learn(started(work))
    assert ledger.news(NOW + 0.01).starts == []
    news = ledger.news(NOW + 1)
    assert news.starts == [("a" * 12, NOW)]
    ledger.told(news)
    assert ledger.news(NOW + 2).starts == []
    assert not ledger.starts_untold()


def test_reports_of_what_is_not_in_hand_are_nobodys(ledger, work):
    ledger.learn(finished(work))
    ledger.told(ledger.news(NOW))
    for report in (started(work), Output(work.ticket, NOW, "stdout", "late"), finished(work)):
        ledger.learn(report)
    assert not ledger.news(NOW)


def test_a_job_is_asked_to_end_once(ledger, work):
    assert ledger.abort("a" * 12) == work.ticket
    assert ledger.abort("a" * 12) is None
    assert ledger.abort("unknown") is None


# --- policies --------------------------------------------------------------------------------------------------------

TIMEOUTS = {"timeouts": True, "retries": 2, "delays": [[10.0, 60.0], 1.0, None, 0.0]}


@pytest.mark.parametrize(
    ("policy", "attempt", "losses", "at"),
    [
        (TIMEOUTS, 1, 0, NOW + 10),
        (TIMEOUTS, 2, 0, NOW + 60),
        (TIMEOUTS, 3, 0, None),
        (TIMEOUTS, 3, 1, NOW + 60),
        ({**TIMEOUTS, "timeouts": False}, 1, 0, None),
        ({}, 1, 0, None),
    ],
)
def test_a_try_that_timed_out_is_followed_by_as_many_as_the_policy_has(policy, attempt, losses, at):
    again = retry_after_timeout(InHand(claimed(policy=json.dumps(policy), attempt=attempt, losses=losses)), NOW)
    assert (again.at if again is not None else None) == at
    assert again is None or again.end, "behind what waits"


@pytest.mark.parametrize(
    ("policy", "losses", "again"),
    [({}, 3, True), ({}, 4, False), ({"losses": 0}, 1, False), ({"losses": 1}, 1, True), ({"losses": 1}, 2, False)],
)
def test_a_job_may_lose_its_process_so_often(policy, losses, again):
    assert may_be_lost_again(policy, losses) is again


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, {}), ("", {}), ('{"retries": 1}', {"retries": 1}), ("{broken", {"unreadable": True}),
     ("[1]", {"unreadable": True}), ("3", {"unreadable": True})],
)  # fmt: skip
def test_a_policy_is_json_or_unreadable(text, expected):
    assert parsed(text) == expected
