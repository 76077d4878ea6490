"""Rows read from SQLite's pages are those that SQLite itself hands out, whatever is in them."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.storage import pages
from nbflow.storage.pages import PAGE_SIZE, Table, Texts, UnreadableError

NUMBERS = st.none() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.sampled_from([0, 1, -1, 127, 128])
TEXTS = st.none() | st.sampled_from(["", "a", "succeeded", "x" * 63, "x" * 64, "y" * 65]) | st.text(max_size=80)
ROWS = st.lists(st.tuples(NUMBERS, TEXTS, NUMBERS, TEXTS), max_size=40)


def table_of(rows, columns=None):
    """The rows as SQLite stores them."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    count = columns or len(rows[0])
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute(f"CREATE TABLE t ({', '.join(f'c{n}' for n in range(count))})")
    connection.execute("BEGIN")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * count)})", rows)
    connection.execute("COMMIT")
    return Table(connection.serialize(), len(rows), count)


def numbers_of(column):
    """What numbers are to be read as."""
    return [np.nan if value is None else float(value) for value in column]


def texts_of(found):
    """Texts one by one."""
    return [found.names[code] if code >= 0 else None for code in found.codes]


@given(ROWS)
def test_columns_are_read_as_they_were_written(rows):
    table = table_of(rows, 4)
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    np.testing.assert_array_equal(table.numbers(), numbers_of(columns[0]))
    assert texts_of(table.texts()[0]) == list(columns[1])
    np.testing.assert_array_equal(table.numbers(), numbers_of(columns[2]))
    assert table.objects().tolist() == list(columns[3])


@pytest.mark.parametrize("count", [1, 126, 127, 128, 16_382, 16_383, 16_384, 40_000])
def test_tables_of_any_size_are_read_whole_and_in_order(count):
    rows = [(n, f"key#{n}", "state" if n % 3 else None, n / 7) for n in range(count)]
    table = table_of(rows)
    np.testing.assert_array_equal(table.numbers(), [row[0] for row in rows])
    assert table.objects().tolist() == [row[1] for row in rows]
    assert texts_of(table.texts()[0]) == [row[2] for row in rows]
    np.testing.assert_array_equal(table.numbers(), [row[3] for row in rows])


TYPES = st.sampled_from(["int", "builtins.str", "", None, "é", "x" * 57, "x" * 58, "y" * 100])


@given(st.lists(st.tuples(TYPES, TYPES, TYPES, st.integers(0, 3)), min_size=1, max_size=40))
def test_columns_of_texts_side_by_side_are_read_together(rows):
    table = table_of(rows)
    assert [texts_of(column) for column in table.texts(3)] == [list(column) for column in zip(*rows, strict=True)][:3]
    np.testing.assert_array_equal(table.numbers(), [row[3] for row in rows])


def test_texts_of_one_column_are_not_taken_for_those_of_the_next():
    rows = [("ab", "c", 1.0), ("a", "bc", 2.0), (None, "abc", 3.0), ("abc", None, 4.0), ("abc", "", 5.0)]
    table = table_of(rows)
    first, second = table.texts(2)
    assert texts_of(first) == [row[0] for row in rows]
    assert texts_of(second) == [row[1] for row in rows]


def test_pages_are_followed_wherever_the_database_puts_them():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("CREATE TABLE t (number, text)")
    for first in (0, 50_000, 100_000):  # into the places of those that were removed
        connection.execute("DELETE FROM t")
        connection.execute("BEGIN")
        rows = [(n, f"text {n}") for n in range(first, first + 30_000 - first // 10)]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.execute("COMMIT")
        table = Table(connection.serialize(), len(rows), 2)
        np.testing.assert_array_equal(table.numbers(), [row[0] for row in rows])
        assert table.objects().tolist() == [row[1] for row in rows]


def test_texts_with_the_separator_in_them_are_told_apart():
    texts = ["a\x1fb", "\x1f", "", "c"]
    assert table_of([(text,) for text in texts]).objects().tolist() == texts


def test_a_row_that_is_longer_than_a_page_is_refused():
    with pytest.raises(UnreadableError, match="too long"):
        table_of([("x" * PAGE_SIZE,)])


@pytest.mark.parametrize("read", ["numbers", "texts", "objects"])
def test_what_is_neither_a_number_nor_a_text_is_refused(read):
    with pytest.raises(UnreadableError):
        getattr(table_of([(b"blob",), (b"other",)]), read)()


def test_a_column_of_another_kind_is_refused():
    with pytest.raises(UnreadableError, match="numbers"):
        table_of([(1,), ("one",)]).numbers()
    with pytest.raises(UnreadableError, match="texts"):
        table_of([("one",), (1,)]).texts()


def test_rows_that_are_not_all_there_are_refused():
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("CREATE TABLE t (number)")
    with pytest.raises(UnreadableError, match="0 rows were found where 1"):
        Table(connection.serialize(), 1, 1)


def test_two_texts_of_one_sum_are_refused_and_not_mixed_up():
    begins = np.array([int.from_bytes(b"%08d" % n, "little") for n in range(20_000)], dtype=np.uint64)
    sums = pages._mixed(np.zeros(len(begins), dtype=np.uint64), begins)
    ends = sums ^ sums[0] ^ begins[0]  # what has to follow each beginning, so that all have the sum of the first
    other = next(n for n in range(1, len(ends)) if max(int(ends[n]).to_bytes(8, "little")) < 128)
    one, two = (b"".join(int(word[n]).to_bytes(8, "little") for word in (begins, ends)).decode() for n in (0, other))
    assert one != two
    with pytest.raises(UnreadableError, match="cannot be told apart"):
        table_of([(one,), (two,)]).texts()


def test_many_texts_that_differ_in_few_digits_have_sums_of_their_own():
    rows = [(f"6fc4{n % 97:08x}", f"step#{n * 7919 % 5003}", f"threads-{n % 13}") for n in range(20_000)]
    table = table_of(rows)
    assert [texts_of(column) for column in table.texts(3)] == [list(column) for column in zip(*rows, strict=True)]


def test_columns_are_joined_and_translated_text_by_text():
    joined = Texts.joined([Texts.of(["a", None, "b"]), Texts.of([]), Texts.of(["b", "c"])])
    assert texts_of(joined) == ["a", None, "b", "b", "c"]
    assert texts_of(joined.mapped({"a": "x", "b": "x"}.get)) == ["x", None, "x", "x", None]
