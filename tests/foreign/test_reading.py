"""What all foreign queues have in common: errors out of tracebacks, and which rows a query wants."""

from __future__ import annotations

import traceback

import pandas as pd
import pytest

from nbflow.client.columns import COLUMNS
from nbflow.client.foreign.reading import ForeignSource, error_of, error_of_repr, escaped, seconds
from nbflow.client.sources import Query


def _traceback(error):
    try:
        raise error
    except type(error):
        return traceback.format_exc()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no"), ("ValueError", "no")),
        (ValueError("two\nlines: of it"), ("ValueError", "two\nlines: of it")),
        (KeyError("key"), ("KeyError", "'key'")),
        (KeyboardInterrupt(), ("KeyboardInterrupt", None)),
        (pd.errors.EmptyDataError("none"), ("pandas.errors.EmptyDataError", "none")),
    ],
)
def test_the_error_is_what_a_traceback_ends_with(error, told):
    assert error_of(_traceback(error)) == told


def test_a_text_that_is_no_traceback_is_the_message():
    assert error_of("Work-horse terminated unexpectedly") == (None, "Work-horse terminated unexpectedly")
    assert error_of("") == (None, None)


@pytest.mark.parametrize("error", [ValueError("no\n'good'"), KeyError(3), RuntimeError()], ids=str)
def test_errors_are_understood_as_python_writes_them(error):
    told = type(error).__name__, str(error) or None
    assert error_of_repr(repr(error)) == told


def test_what_is_no_call_is_the_message():
    assert error_of_repr("it went wrong") == (None, "it went wrong")


def test_an_error_in_a_chain_is_the_last_one():
    try:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise RuntimeError("second") from first
    except RuntimeError:
        assert error_of(traceback.format_exc()) == ("RuntimeError", "second")


def test_times_without_an_offset_are_utc():
    assert seconds("2026-01-01T00:00:00") == seconds(b"2026-01-01T01:00:00+01:00") == 1767225600.0
    assert seconds("yesterday") is None


def test_a_pattern_of_redis_means_only_the_name():
    assert escaped("a*b[c]") == r"a\*b\[c\]"


class Some(ForeignSource):
    """Three jobs: one that ended, one that runs, one of which little is known."""

    def jobs(self):
        return [
            {"job": "c", "state": "succeeded"},
            {"job": "b", "state": "running", "queue": "q", "step": "pkg.f", "enqueued_at": 20.0},
            {"job": "a", "state": "failed", "queue": "q", "step": "pkg.g", "enqueued_at": 10.0, "finished_at": 15.0},
        ]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, ["c", "a", "b"]),
        ({"states": ("failed", "running")}, ["a", "b"]),
        ({"queue": "q"}, ["a", "b"]),
        ({"step": "f"}, ["b"]),
        ({"step": "pkg.g"}, ["a"]),
        ({"since": 16.0}, ["c", "b"]),
        ({"until": 20.0}, ["c", "a"]),
        ({"tags": ("any",)}, []),
        ({"run": "any"}, []),
    ],
    ids=str,
)
def test_a_query_wants_rows_that_every_field_agrees_to(query, wanted):
    frame, count = Some({}).frame("jobs", Query(**query))
    assert (list(frame["job"]), count) == (wanted, len(wanted))


def test_a_limit_leaves_the_newest_and_tells_how_many_there_are():
    frame, count = Some({}).frame("jobs", Query(limit=2))
    assert (list(frame["job"]), count) == (["a", "b"], 3)
    assert len(Some({}).frame("jobs", Query(limit=0))[0]) == 0


@pytest.mark.parametrize("what", COLUMNS)
def test_every_kind_of_frame_has_all_of_its_columns(what):
    assert list(Some({}).frame(what, Query())[0].columns) == list(COLUMNS[what])


def test_an_unknown_kind_of_frame_is_refused():
    with pytest.raises(ValueError, match="no frame of 'things'"):
        Some({}).frame("things", Query())
