from __future__ import annotations

import base64
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.values.codec import encode
from nbflow.values.digest import digest, digest_payload, find_cycle
from nbflow.values.frame import buffer_digest

hashable = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=8,
)
plain = st.recursive(
    hashable,
    lambda inner: st.lists(inner) | st.dictionaries(hashable, inner, max_size=4) | st.sets(hashable, max_size=4),
    max_leaves=15,
)

OTHER_PROCESS = """
import base64, pickle, sys
from nbflow.values.digest import digest
for value in pickle.loads(base64.b64decode(sys.stdin.read())):
    print(digest(value))
"""


@dataclass
class Point:
    x: object


@settings(max_examples=10)
@given(st.lists(plain, max_size=8))
def test_another_process_with_another_hash_seed_finds_the_same_digests(values):
    seed = {"PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS],
        env={**os.environ, **seed},
        input=base64.b64encode(pickle.dumps(values)).decode(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.split() == [digest(value) for value in values]


@given(plain)
def test_a_copy_has_the_same_digest(value):
    assert digest(pickle.loads(pickle.dumps(value))) == digest(value)


@pytest.mark.parametrize("make", [tuple, list], ids=["tuple", "list"])
def test_it_makes_no_difference_whether_equal_parts_are_one_object(make):
    text = "".join(["a", "b c"])
    assert digest(make([text, text])) == digest(make(["a" + "b c", "".join("ab c")]))
    assert digest(make([[1], [1]])) == digest(make([shared := [1], shared]))


def test_types_that_compare_equal_differ():
    values = [1, 1.0, True, (1,), [1], (1.0,), {1}, frozenset({1}), "1", b"1", Point(1), {1: 1}, {1: True}]
    assert len({digest(value) for value in values}) == len(values)


def test_the_order_of_a_dict_counts_and_that_of_a_set_does_not():
    assert digest({"a": 1, "b": 2}) != digest({"b": 2, "a": 1})
    assert digest({8, 0, 16}) == digest({16, 8, 0})
    assert digest([{"b", ("a", 1)}]) == digest([{("a", 1), "b"}])


def test_arrays_and_frames_count_by_content():
    array = np.arange(10_000.0)
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert digest(array) == digest(array.copy()) != digest(array + 1)
    assert digest(frame) == digest(pickle.loads(pickle.dumps(frame))) != digest(frame.rename(columns={"a": "c"}))
    assert digest(array) != digest(array.reshape(100, 100))


def test_functions_count_by_what_they_say():
    first = eval("lambda x: x + 1")
    second = eval("\n\n(lambda x:\n   x + 1)")
    assert digest([first]) == digest([second]) != digest([lambda x: x + 2])


def test_values_that_contain_themselves_have_a_digest():
    def circle(size):
        value = [0] * size
        value.append({"self": value})
        return value

    assert digest(circle(2)) == digest(circle(2)) != digest(circle(3))


def test_a_value_that_shares_its_parts_over_and_over_takes_no_time():
    value = []
    for _ in range(100):
        value = [value, value]
    assert len(digest(value)) == 32


def test_the_digest_of_a_payload_is_the_digest_of_its_value():
    for value in (1, "a", (1, "b"), [np.arange(9), {2, 1}], lambda x: x):
        payload = encode(value)
        digests = [buffer_digest(buffer) for buffer in payload.buffers]
        assert digest_payload(payload, value, digests) == digest(value)


def test_a_reference_counts_by_its_number():
    one, two = Point(1), Point(2)
    assert digest([one], substitute=lambda found: 0 if found is one else None) == digest(
        [two], substitute=lambda found: 0 if found is two else None
    )


def test_cycles_are_described():
    inner: list[object] = [1]
    inner.append({"a": (inner,)})
    assert find_cycle(([inner], {})) == "list → dict → tuple → list"
    assert find_cycle(([1, [2]], {"a": {"b": ()}})) is None
    shared = [1, [2]]
    assert find_cycle([shared, shared]) is None
