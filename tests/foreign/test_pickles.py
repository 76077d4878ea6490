"""Pickles are looked into, and nothing that they ask for is ever done."""

from __future__ import annotations

import os
import pickle
from collections import namedtuple
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.client.foreign.pickles import Made, Name, first_text, moment, outline

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
Point = namedtuple("Point", ("x", "y"))

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


class Trap:
    """Unpickling it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@given(plain, st.sampled_from([3, 4, 5]))
def test_plain_data_is_what_it_was(value, protocol):
    assert outline(pickle.dumps(value, protocol)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pickle_or_none(data):
    try:
        outline(data)
    except ValueError:
        pass
    first_text(data)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_imported_or_called(protocol, tmp_path):
    found = outline(pickle.dumps({"trap": Trap(tmp_path / "sprung")}, protocol))
    assert found["trap"].what.name == "mkdir"
    assert found["trap"].args == (str(tmp_path / "sprung"),)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_task_named_first_is_found_however_long_what_follows_is(protocol):
    data = pickle.dumps(("module.function", None, (["x"] * 100_000,), {}), protocol)
    assert first_text(data[:100]) == "module.function"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_record_is_read_as_far_as_it_goes(protocol):
    data = pickle.dumps(Point("begin", list(range(50_000))), protocol)
    assert outline(data).args[0] == "begin"
    assert outline(data).what == Name(__name__, "Point")


def test_objects_are_outlined_with_their_arguments():
    found = outline(pickle.dumps(Fraction(1, 2)))
    assert isinstance(found, Made)
    assert (found.what, found.args) == (Name("fractions", "Fraction"), (1, 2))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("zone", [None, UTC, timezone(timedelta(hours=-3)), ZoneInfo("Europe/Berlin")], ids=str)
def test_times_are_told_with_their_zone(protocol, zone):
    time = datetime(2026, 7, 8, 9, 10, 11, 123_456, tzinfo=zone)
    told = moment(outline(pickle.dumps(time, protocol)))
    assert told == (time if zone else time.replace(tzinfo=UTC)).timestamp()


def test_a_pickle_made_to_be_large_takes_no_time():
    depth = b"\x80\x04" + b")" + b"\x85" * 1_000_000 + b"."  # a tuple in a tuple in a tuple
    assert outline(depth)
