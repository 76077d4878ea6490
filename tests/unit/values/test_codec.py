from __future__ import annotations

import threading
from collections import Counter, OrderedDict, namedtuple
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
import wrapt
from hypothesis import given
from hypothesis import strategies as st

from nbflow.model.errors import CodecError, UnpicklableError
from nbflow.values.codec import decode, encode

Point = namedtuple("Point", "x y")


@dataclass
class Model:
    weights: object
    lock: object = None


class Lazy(wrapt.BaseObjectProxy):
    """A proxy that must not be woken up."""

    @property
    def __class__(self):
        raise AssertionError("somebody asked for the class")


def lazy():
    return Lazy.__new__(Lazy)


def roundtrip(value):
    payload = encode(value)
    return decode(payload.stream, payload.buffers)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(plain)
def test_builtins_come_back_equal_and_of_the_same_types(value):
    assert repr(roundtrip(value)) == repr(value)


@pytest.mark.parametrize(
    "value",
    [{1, 2}, frozenset("ab"), 3 + 4j, bytearray(b"x"), range(3), Point(1, 2), Counter("aab"), OrderedDict(a=1),
     PurePosixPath("a/b"), Model([1]), len, Model],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_objects_come_back_equal(value):
    assert roundtrip(value) == value


def test_arrays_travel_outside_the_stream():
    array = np.arange(1000.0)
    payload = encode({"a": array})
    assert len(payload.stream) < 300
    assert payload.buffers[0].nbytes == 8000
    np.testing.assert_array_equal(decode(payload.stream, payload.buffers)["a"], array)


def test_frames_come_back_equal():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.to_datetime(["2024-01-01", None])})
    pd.testing.assert_frame_equal(roundtrip(frame), frame)


def test_what_is_one_object_stays_one_object():
    inner = [1]
    first, second = roundtrip([inner, inner])
    assert first is second


def test_a_list_that_contains_itself_comes_back():
    value = []
    value.append(value)
    result = roundtrip(value)
    assert result[0] is result


def test_functions_and_local_classes_go_by_value():
    factor = 3

    class Local:
        def times(self, x):
            return x * factor

    payload = encode([lambda x: x + factor, Local()])
    function, instance = decode(payload.stream, payload.buffers)
    assert payload.has_code
    assert (function(1), instance.times(2)) == (4, 6)


def test_importable_functions_go_by_name():
    assert not encode(roundtrip).has_code


def test_references_stand_for_objects_at_any_depth():
    first, second = lazy(), lazy()
    numbers = {id(first): 0, id(second): 1}
    value = ([1, first], {"a": (second, Model(first))})
    payload = encode(value, substitute=lambda found: numbers.get(id(found)))
    assert payload.references == 2
    args, kwargs = decode(payload.stream, payload.buffers, references=["one", "two"])
    assert args == [1, "one"]
    assert kwargs == {"a": ("two", Model("one"))}


def test_a_reference_beside_code_is_found_too():
    placeholder = lazy()
    payload = encode([lambda: 1, placeholder], substitute=lambda found: 0 if found is placeholder else None)
    assert decode(payload.stream, payload.buffers, ["value"])[1] == "value"


def test_references_have_to_be_given_back():
    placeholder = lazy()
    payload = encode([placeholder], substitute=lambda found: 0 if found is placeholder else None)
    with pytest.raises(CodecError, match="result of another task"):
        decode(payload.stream, payload.buffers)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"conn": Model(1, LOCK)}, "['conn'].lock"),
        ([0, 1, (2, {"a": LOCK})], "[2][1]['a']"),
        (LOCK, ""),
        (lambda: LOCK, ""),
    ],
    ids=["attribute", "containers", "itself", "global of a lambda"],
)
def test_the_path_to_what_cannot_be_stored_is_named(value, path):
    with pytest.raises(UnpicklableError) as caught:
        encode(value, what="the result of step 'train'")
    assert str(caught.value).startswith("the result of step 'train' cannot be stored")
    assert caught.value.path.startswith(path)
    assert caught.value.type == "_thread.lock"


@pytest.mark.parametrize(
    ("value", "advice"), [((i for i in "ab"), "list of its items"), (LOCK, "__getstate__")], ids=["generator", "lock"]
)
def test_the_error_says_the_way_out(value, advice):
    with pytest.raises(UnpicklableError, match=advice):
        encode([value])


def test_an_object_whose_pickling_raises_is_named():
    class Odd:
        def __reduce__(self):
            raise RuntimeError("no way")

    with pytest.raises(UnpicklableError, match="RuntimeError: no way") as caught:
        encode({"odd": Odd()})
    assert caught.value.path == "['odd']"


def test_a_stream_that_cannot_be_restored_is_a_clear_error():
    with pytest.raises(CodecError, match="importable"):
        decode(b"cnowhere\nthing\n.")
