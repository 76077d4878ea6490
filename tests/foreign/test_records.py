"""Forms of what is stored that the versions which are installed here do not write, or only if they are told to."""

from __future__ import annotations

import base64
import json
import pickle
import zlib

import msgpack
import pytest

from nbflow.client.foreign import celery_records, rq_records
from nbflow.client.foreign.celery_events import Told

DONE = "2026-01-01T00:00:00"
STORED = {"status": "SUCCESS", "result": 3, "traceback": None, "children": [], "date_done": DONE, "task_id": "a"}
FAILED = STORED | {"status": "FAILURE", "result": {"exc_type": "Odd", "exc_message": ["a", 1], "exc_module": "pkg.mod"}}


class Odd(Exception):
    """An error of somebody's own."""


class _AsTblib:
    """An exception that is pickled as tblib does it, where that is installed into pickle."""

    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        return (_unpickle, (type(self.error), {"__dict__": {}, "args": self.error.args}, None, None))


def _unpickle(*_):
    raise AssertionError("nothing is loaded")


@pytest.mark.parametrize("dumps", [lambda value: json.dumps(value).encode(), pickle.dumps, msgpack.packb])
def test_celery_results_are_read_in_every_plain_form(dumps):
    row = celery_records.result("a", dumps(STORED))
    assert (row["state"], row["finished_at"], row["attempts"]) == ("succeeded", 1767225600.0, 1)
    row = celery_records.result("a", dumps(FAILED))
    assert (row["state"], row["error_type"], row["error"]) == ("failed", "pkg.mod.Odd", "a, 1")


@pytest.mark.parametrize("how", [lambda error: error, _AsTblib], ids=["plainly", "as tblib does"])
def test_an_exception_in_a_pickled_result_is_told(how):
    row = celery_records.result("a", pickle.dumps(STORED | {"status": "FAILURE", "result": how(Odd("no"))}))
    assert (row["error_type"], row["error"]) == ("Odd", "no")


def test_of_a_result_that_was_cut_the_ends_are_read():
    data = json.dumps(STORED | {"result": "x" * 100_000}).encode()
    row = celery_records.result("a", data[:4096] + data[-4096:])
    assert (row["state"], row["finished_at"]) == ("succeeded", 1767225600.0)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[1]", b"{}", b"\x80\x04."])
def test_a_result_in_an_unknown_form_has_no_state(data):
    assert celery_records.result("a", data)["state"] is None


@pytest.mark.parametrize(
    ("status", "error", "state"),
    [
        ("FAILURE", {"exc_type": "TimeLimitExceeded", "exc_message": [3]}, "timed_out"),
        ("FAILURE", {"exc_type": "WorkerLostError", "exc_message": "lost"}, "failed"),
        ("REVOKED", {"exc_type": "TaskRevokedError", "exc_message": ["expired"]}, "expired"),
        ("REVOKED", {"exc_type": "TaskRevokedError", "exc_message": ["terminated"]}, "cancelled"),
    ],
)
def test_errors_of_celery_say_more_than_its_states(status, error, state):
    row = celery_records.result("a", json.dumps(STORED | {"status": status, "result": error}).encode())
    assert row["state"] == state
    assert row.get("losses") == (1 if error["exc_type"] == "WorkerLostError" else None)


@pytest.mark.parametrize("dumps", [lambda value: json.dumps(value).encode(), msgpack.packb])
def test_messages_of_the_first_protocol_have_their_facts_in_the_body(dumps):
    body = {"task": "pkg.add", "id": "a", "retries": 2, "eta": DONE}
    envelope = {
        "body": base64.b64encode(dumps(body)).decode(),
        "properties": {"body_encoding": "base64"},
        "headers": {},
    }
    row = celery_records.message(json.dumps(envelope))
    assert (row["job"], row["step"], row["attempts"], row["due_at"]) == ("a", "pkg.add", 2, 1767225600.0)


def _told(*events):
    told = Told(None, "")
    for kind, moment, facts in events:
        told._task(kind, {"uuid": "a", "timestamp": moment, "hostname": "w"} | facts)
    return told.tasks["a"]["tries"]


def test_the_next_try_may_be_received_before_the_end_of_the_last_is_told():
    first, second = _told(
        ("task-received", 1.0, {}), ("task-started", 2.0, {}), ("task-received", 3.0, {"retries": 1}),
        ("task-retried", 4.0, {"exception": "KeyError('no')"}), ("task-started", 5.0, {}), ("task-succeeded", 6.0, {}),
    )  # fmt: skip
    assert (first["attempt"], first["started_at"], first["finished_at"], first["state"]) == (1, 2.0, 4.0, "failed")
    assert (second["attempt"], second["started_at"], second["finished_at"], second["state"]) == (
        2,
        5.0,
        6.0,
        "succeeded",
    )


def test_the_next_try_may_end_before_the_end_of_the_last_is_told():
    first, second = _told(
        ("task-received", 1.0, {}), ("task-started", 2.0, {}), ("task-received", 3.0, {"retries": 1}),
        ("task-started", 4.0, {}), ("task-succeeded", 5.0, {}), ("task-retried", 6.0, {"exception": "KeyError('no')"}),
    )  # fmt: skip
    assert [first["state"], first["started_at"], first["finished_at"]] == ["failed", 2.0, 6.0]
    assert [second["state"], second["started_at"], second["finished_at"]] == ["succeeded", 4.0, 5.0]


def test_a_try_whose_beginning_was_missed_began_its_runtime_before_its_end():
    (only,) = _told(("task-succeeded", 6.0, {"runtime": 1.5}), ("task-failed", 7.0, {}))
    assert (only["started_at"], only["finished_at"], only["state"]) == (4.5, 6.0, "succeeded")


def _rq(status, data=b"", **facts):
    named = dict.fromkeys(rq_records.FIELDS) | {"status": status, "origin": b"q", "created_at": DONE.encode()} | facts
    return rq_records.job("a", named, data, None)


@pytest.mark.parametrize(
    ("data", "description", "step"),
    [
        (zlib.compress(pickle.dumps(("pkg.add", None, (1,), {}))), b"other", "pkg.add"),
        (pickle.dumps(("pkg.add", None, (1,), {}), 2), b"other", "pkg.add"),
        (zlib.compress(b'["pkg.\\u00e4dd", null, [], {}]'), b"other", "pkg.ädd"),
        (b"", b"pkg.add(1, b='x')", "pkg.add"),
        (b"", b"a text of its own", None),
        (b"\x00\x01", None, None),
    ],
)
def test_the_function_of_an_rq_job_is_found_without_loading_anything(data, description, step):
    assert _rq(b"queued", data, description=description)["step"] == step


def test_jobs_of_older_rq_have_their_error_and_their_only_try_in_the_hash():
    trace = b'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: no\n'
    job = _rq(
        b"failed", exc_info=zlib.compress(trace), started_at=b"2026-01-01T00:00:01Z", ended_at=b"2026-01-01T00:00:03Z"
    )
    (attempt,) = rq_records.attempts(job, [])
    assert (attempt["error_type"], attempt["error"]) == ("ValueError", "no")
    assert (attempt["started_at"], attempt["finished_at"]) == (1767225601.0, 1767225603.0)


def test_results_of_older_rq_end_when_they_were_written():
    job = _rq(b"started", started_at=b"2026-01-01T00:00:09Z", worker_name=b"ann")
    first, second = rq_records.attempts(job, [(b"1767225605000-0", [b"type", b"4", b"worker_name", b"bob"])])
    assert (first["state"], first["worker"], first["finished_at"]) == ("failed", "bob", 1767225605.0)
    assert (second["state"], second["worker"], second["started_at"]) == ("running", "ann", 1767225609.0)
