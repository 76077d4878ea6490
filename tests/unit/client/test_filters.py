"""What people write to say which rows they want."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from nbflow.client.filters import moment, near, query
from nbflow.model.errors import ConfigError
from nbflow.model.states import State

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None),
        (datetime(2026, 5, 1, 12, tzinfo=UTC), 1_777_636_800.0),
        (datetime(2026, 5, 1, 14, tzinfo=timezone(timedelta(hours=2))), 1_777_636_800.0),
        ("2026-05-01T12:00:00+00:00", 1_777_636_800.0),
        ("2026-05-01 12:00:00.5Z", 1_777_636_800.5),
        (timedelta(minutes=2), NOW - 120),
        ("90s", NOW - 90),
        ("2h", NOW - 7200),
        (" 1.5 min ", NOW - 90),
        ("30 minutes", NOW - 1800),
        ("7d", NOW - 7 * 86_400),
        ("1 week", NOW - 7 * 86_400),
    ],
    ids=str,
)
def test_times_are_written_in_many_ways(given, seconds):
    assert moment(given, "since", NOW) == seconds


def test_what_names_no_zone_is_meant_in_the_local_one():
    local = datetime(2026, 5, 1).astimezone().timestamp()
    for given in (date(2026, 5, 1), datetime(2026, 5, 1), "2026-05-01", "2026-05-01 00:00"):
        assert moment(given, "since", NOW) == local


@pytest.mark.parametrize("given", ["yesterday", "2026-13-01", "2 parsecs", 12, b"now", ""], ids=str)
def test_what_is_no_time_is_refused(given):
    with pytest.raises(ConfigError, match=r"since=.* is no time"):
        moment(given, "since", NOW)


def test_a_range_the_wrong_way_round_is_refused_and_turned_round_in_words():
    with pytest.raises(ConfigError, match=r"since \(2026.*\) is later than until \(2025.*other way round"):
        query("tasks", since="2026-01-01", until="2025-01-01")


@pytest.mark.parametrize(
    "given", ["failed", State.FAILED, ["failed"], {State.FAILED}], ids=["name", "state", "list", "set"]
)
def test_a_state_is_a_name_or_a_state_or_several(given):
    assert query("tasks", state=given).states == ("failed",)


def test_unknown_states_and_columns_are_refused_with_near_matches():
    with pytest.raises(ConfigError, match=r"no state 'runing'\. Did you mean 'running'"):
        query("tasks", state="runing")
    with pytest.raises(ConfigError, match=r"no column of tasks 'durration'\. Did you mean 'duration'"):
        query("tasks", columns=["task", "durration"])


def test_names_are_texts_or_objects_that_have_one():
    class Named:
        name, id = "gpu", "run7"

    assert query("tasks", queue=Named(), run=Named()).queue == "gpu"
    assert query("tasks", run=Named()).run == "run7"
    with pytest.raises(ConfigError, match="queue=3 is no queue"):
        query("tasks", queue=3)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "10", True])
def test_a_limit_is_a_number_of_rows(limit):
    with pytest.raises(ConfigError, match="is no number of rows"):
        query("tasks", limit=limit)


def test_names_that_are_near_are_offered_else_those_that_there_are():
    assert near("trian", ["train", "fetch"]) == " Did you mean 'train'?"
    assert near("zzz", ["train", "fetch"]) == " There are fetch, train."
    assert near("zzz", []) == " There are none yet."
    assert near("zzz", [f"name{n}" for n in range(50)]).endswith(", ...")
