"""What every artifact store has to do: named blobs, whole or not there.

`CHECKS` maps a sentence to a function that takes a `Shelf` and raises AssertionError. With pytest:

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
    def test_store(check, tmp_path):
        check(Shelf(lambda: MyStore(tmp_path)))

The function that is handed in opens the same store each time, as another process would.
"""

from __future__ import annotations

import array
import hashlib
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from nbflow.model.errors import ArtifactMissingError
from nbflow.model.ports import ArtifactStore

Check = Callable[["Shelf"], None]
CHECKS: dict[str, Check] = {}

_CLOCKS = 120.0  # seconds by which the clock of a store may differ from ours
_LARGE = 40 * 2**20 + 1234  # bytes; more than stores handle in one piece, and not a round number
_WRITERS = 6


class Shelf:
    """A store under test, empty at first."""

    def __init__(self, open_again: Callable[[], ArtifactStore]) -> None:
        """`open_again` opens the store that is tested; each result is used like that of a process of its own."""
        self.open = open_again
        self.store = open_again()

    def content(self, name: str) -> bytes:
        """The content of a blob, read as another process would."""
        return bytes(self.open().read(name))

    def listed(self) -> dict[str, tuple[int, float]]:
        """Size and time of every blob, by name."""
        return {name: (size, modified) for name, size, modified in self.open().names()}


def name_of(label: str) -> str:
    """A name as nbflow gives them to blobs."""
    text = hashlib.sha1(label.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:2]}/{text[2:]}"


def _check(function: Check) -> Check:
    CHECKS[function.__name__.removeprefix("_").replace("_", " ")] = function
    return function


@_check
def _what_is_written_is_read_back_in_one_piece(shelf: Shelf) -> None:
    parts = [b"head", bytearray(b"-body-"), memoryview(b"tail"), array.array("i", [1, 2])]
    assert shelf.store.write(name_of("a"), parts) is True
    assert shelf.content(name_of("a")) == b"head-body-tail" + array.array("i", [1, 2]).tobytes()


@_check
def _an_empty_blob_is_a_blob(shelf: Shelf) -> None:
    shelf.store.write(name_of("empty"), [])
    assert shelf.store.exists(name_of("empty"))
    assert shelf.content(name_of("empty")) == b""


@_check
def _a_large_blob_comes_back_whole(shelf: Shelf) -> None:
    block = bytes(range(256)) * 4096
    parts = [b"start", *[block] * (_LARGE // len(block)), block[: _LARGE % len(block)]]
    shelf.store.write(name_of("large"), parts)
    content = shelf.open().read(name_of("large"))
    assert len(content) == _LARGE + 5
    assert content == b"".join(parts)


@_check
def _the_buffer_that_is_read_is_the_readers_own(shelf: Shelf) -> None:
    shelf.store.write(name_of("a"), [b"content"])
    first = memoryview(shelf.store.read(name_of("a")))
    first[:7] = b"changed"
    assert shelf.content(name_of("a")) == b"content"


@_check
def _writing_again_changes_nothing_and_says_so(shelf: Shelf) -> None:
    assert shelf.store.write(name_of("a"), [b"content"]) is True
    assert shelf.store.write(name_of("a"), [b"con", b"tent"]) is False
    assert shelf.open().write(name_of("a"), [b"content"]) is False
    assert shelf.content(name_of("a")) == b"content"


@_check
def _a_blob_that_is_not_there_is_an_error_with_its_name(shelf: Shelf) -> None:
    shelf.store.write(name_of("other"), [b"x"])
    for name in (name_of("none"), name_of("other")[:2] + "/" + "0" * 38):
        try:
            shelf.store.read(name)
        except ArtifactMissingError as error:
            assert error.name == name  # noqa: PT017 - the suite needs no pytest
            assert name in str(error)  # noqa: PT017
        else:
            raise AssertionError(f"{name} was read")


@_check
def _what_exists_is_told_anew_each_time(shelf: Shelf) -> None:
    name, other = name_of("a"), shelf.open()
    assert not shelf.store.exists(name)
    other.write(name, [b"x"])
    assert shelf.store.exists(name)
    assert [found for found, _, _ in shelf.store.names()] == [name]
    other.delete(name)
    assert not shelf.store.exists(name)
    assert shelf.store.names() == []


@_check
def _a_part_of_a_name_is_no_blob(shelf: Shelf) -> None:
    shelf.store.write(name_of("a"), [b"x"])
    assert not shelf.store.exists(name_of("a")[:2])
    assert not shelf.store.exists(name_of("a")[:-1])


@_check
def _an_empty_store_lists_nothing(shelf: Shelf) -> None:
    assert shelf.store.names() == []


@_check
def _every_blob_is_listed_with_size_and_time(shelf: Shelf) -> None:
    for number in range(25):
        shelf.store.write(name_of(str(number)), [b"x" * number])
    listed = shelf.listed()
    assert {name: size for name, (size, _) in listed.items()} == {name_of(str(number)): number for number in range(25)}
    assert all(modified > time.time() - _CLOCKS for _, modified in listed.values())


@_check
def _deleting_removes_one_blob_and_may_be_repeated(shelf: Shelf) -> None:
    for label in "ab":
        shelf.store.write(name_of(label), [b"x"])
    shelf.store.delete(name_of("a"))
    shelf.store.delete(name_of("a"))
    assert list(shelf.listed()) == [name_of("b")]
    assert shelf.store.write(name_of("a"), [b"anew"]) is True
    assert shelf.content(name_of("a")) == b"anew"


@_check
def _only_a_blob_that_is_old_enough_is_deleted_where_that_is_asked(shelf: Shelf) -> None:
    shelf.store.write(name_of("a"), [b"x"])
    shelf.store.delete(name_of("a"), time.time() - _CLOCKS)
    assert shelf.store.exists(name_of("a"))
    if shelf.listed()[name_of("a")][1] < float("inf"):  # else the store does not know when it was written
        shelf.store.delete(name_of("a"), time.time() + _CLOCKS)
        assert not shelf.store.exists(name_of("a"))


@_check
def _a_stamp_stays_while_the_blob_does(shelf: Shelf) -> None:
    assert shelf.store.stamp(name_of("a")) is None
    shelf.store.write(name_of("a"), [b"x"])
    stamp = shelf.store.stamp(name_of("a"))
    shelf.store.write(name_of("a"), [b"x"])
    assert shelf.store.stamp(name_of("a")) == stamp


@_check
def _a_write_that_fails_leaves_nothing(shelf: Shelf) -> None:
    released = memoryview(b"x")
    released.release()
    try:
        shelf.store.write(name_of("a"), [b"x" * 100_000, released])
    except ValueError:
        pass
    else:
        raise AssertionError("a released buffer was written")
    assert not shelf.store.exists(name_of("a"))
    assert shelf.listed() == {}


@_check
def _writers_of_one_name_do_not_disturb_each_other_nor_readers(shelf: Shelf) -> None:
    name, content = name_of("shared"), bytes(range(256)) * 4096 * 3
    problems: list[object] = []
    written: list[bool] = []
    start = threading.Barrier(_WRITERS + 1)
    done = threading.Event()

    def write() -> None:
        store = shelf.open()
        start.wait()
        written.append(store.write(name, [content[:1000], content[1000:]]))

    def read() -> None:
        store = shelf.open()
        start.wait()
        while not done.is_set():
            try:
                if store.read(name) != content:
                    problems.append("half a blob was read")
            except ArtifactMissingError:
                continue  # nobody has written it yet

    writers = [threading.Thread(target=_noting(write, problems)) for _ in range(_WRITERS)]
    reader = threading.Thread(target=_noting(read, problems))
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert problems == []
    assert any(written)
    assert shelf.content(name) == content
    assert list(shelf.listed()) == [name]


@_check
def _many_names_are_written_read_and_removed_at_once(shelf: Shelf) -> None:
    problems: list[object] = []

    def work(number: int) -> None:
        for each in range(10):
            name = name_of(f"{number} {each}")
            shelf.store.write(name, [f"{number} {each}".encode() * 1000])
            if bytes(shelf.store.read(name)) != f"{number} {each}".encode() * 1000:
                problems.append(name)
            if each % 2:
                shelf.store.delete(name)

    threads = [threading.Thread(target=_noting(partial(work, number), problems)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert set(shelf.listed()) == {name_of(f"{number} {each}") for number in range(8) for each in range(0, 10, 2)}


@_check
def _the_url_opens_the_same_store(shelf: Shelf) -> None:
    from nbflow.values.artifacts import open_store

    shelf.store.write(name_of("a"), [b"x"])
    assert bytes(open_store(shelf.store.url).read(name_of("a"))) == b"x"
    assert shelf.store.shown


@_check
def _a_store_that_works_passes_its_own_check_and_stays_empty(shelf: Shelf) -> None:
    shelf.store.check()
    assert shelf.store.names() == []


def _noting(action: Callable[[], Any], problems: list[object]) -> Callable[[], None]:
    """`action`, with its error put where the test sees it."""

    def run() -> None:
        try:
            action()
        except Exception as error:  # whatever a store may raise
            problems.append(error)

    return run
