"""The rows of an SQLite table as columns of numpy, read from the pages that they lie in.

Python's `sqlite3` makes an object of every value, which takes three seconds for a million rows of nine columns. SQLite
itself copies the same rows into a small database in memory in a fifth of that, and this module reads the bytes of that
database without making objects. Their format is documented and fixed (sqlite.org/fileformat2.html); what is not as it
is expected here is refused with `UnreadableError`, and the rows are fetched one by one then.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from nbflow.model.errors import NbflowError

PAGE_SIZE = 65536  # bytes, the largest that there is: few rows are too long for one
_ROOT = 2  # number of the page where the one table begins; the first one holds the schema
_LEAF, _INTERIOR = 0x0D, 0x05  # first bytes of a table's pages: of rows, and of other pages
_PAGE_HEADER = 8  # bytes, before the places of its cells
_OVERFLOWS = PAGE_SIZE - 35  # bytes of a row, beyond which it goes on elsewhere
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)  # bytes of values by serial type; from 12 on it tells the length
_REAL, _ZERO, _TEXT = 7, 8, 13  # serial types; texts are the odd ones from 13 on
_LONGEST = 128  # bytes of a text that is compared in words; longer ones become objects first
_PAD = 2 * _LONGEST  # bytes behind the last page, so that whole words can be read there
_SEPARATOR = 0x1F  # between texts that become objects together
_ODD = 0x9E3779B97F4A7C15  # multiplying by it loses no bit


class UnreadableError(NbflowError):
    """The pages hold something that is not read here, such as blobs or rows of many kilobytes."""


class Texts(NamedTuple):
    """A column of texts: the different ones, and which of them each row has."""

    codes: Any  # int32; -1 where it is missing
    names: list[str]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Texts:
        """Texts that were fetched one by one."""
        import numpy as np
        import pandas as pd

        codes, names = pd.factorize(np.array(values, dtype=object))
        return cls(codes.astype(np.int32), list(names))

    @classmethod
    def joined(cls, columns: Sequence[Texts]) -> Texts:
        """Columns one behind the other, each text once."""
        import numpy as np

        numbers: dict[str, int] = {}
        codes = [_translated(column.codes, column.names, numbers) for column in columns]
        return cls(np.concatenate(codes), list(numbers))

    def mapped(self, change: Callable[[str], str | None]) -> Texts:
        """Each text changed; what becomes None is missing."""
        numbers: dict[str, int] = {}
        return Texts(_translated(self.codes, [change(name) for name in self.names], numbers), list(numbers))


def _translated(codes: Any, names: Sequence[str | None], numbers: dict[str, int]) -> Any:
    """Codes of other names, which are numbered as they come."""
    import numpy as np

    own = [numbers.setdefault(name, len(numbers)) if name is not None else -1 for name in names]
    return np.array([*own, -1], dtype=np.int32)[codes]  # what is missing has the code of the last


class Table:
    """The rows of the one table of a serialised database, its columns read one after the other."""

    def __init__(self, image: bytes, rows: int, columns: int) -> None:
        """`rows` and `columns`: how many there are. Raises UnreadableError if the pages hold anything else."""
        import numpy as np

        self.length = rows
        self._image = image + bytes(_PAD)
        self._bytes = np.frombuffer(self._image, dtype=np.uint8)
        record = self._records(_cells(self._bytes))
        header, self._type_at = self._varints(record)
        self._value_at = record + header
        self._head: Any = None  # serial types of all columns, one byte for each, if that is how they are stored
        if rows and (header == columns + 1).all():
            self._head = self._gathered(record + 1, columns)
        self._head_at = record + 1
        self._column = 0

    def numbers(self) -> Any:
        """The next column, of numbers: float64, NaN where it is missing."""
        import numpy as np

        types, at, sizes = self._next()
        if not self.length:
            return np.zeros(0)
        if types.max() >= _TEXT - 1:
            raise UnreadableError("A column of numbers holds something else.")
        first, alike = int(types[0]), bool((types == types[0]).all())
        if alike and first in (0, _ZERO, _ZERO + 1):  # the types of nothing, 0 and 1 say all; there is no value
            return np.full(self.length, float(first - _ZERO) if first else np.nan)
        word = self._gathered(at + sizes - 8, 8).view(">u8")[:, 0].astype("<u8")  # it ends with the value's last byte
        if alike and first == _REAL:
            return word.view(np.float64)
        shift = (64 - 8 * np.asarray(sizes, dtype=np.int64)) & 63
        whole = ((word.view(np.int64) << shift) >> shift).astype(np.float64)
        if alike:
            return whole
        real, small = types == _REAL, types >= _ZERO
        whole[real] = word.view(np.float64)[real]
        whole[small] = types[small] - _ZERO
        whole[types == 0] = np.nan
        return whole

    def texts(self, count: int = 1) -> list[Texts]:
        """The next `count` columns, of texts. Fast if they repeat, or are missing.

        Columns that lie side by side are compared as one, so that what they cost is hardly more than one costs.
        """
        import numpy as np

        lengths = self._lengths(count) if self._head is not None and count > 1 else None
        if lengths is None or int(lengths.max()) > _LONGEST:
            return [self._one_text() for _ in range(count)]
        at, heads = self._value_at, self._head_at + self._column
        words = [*self._words(at, lengths, int(lengths.max())).T, *self._words(heads, np.int64(count), count).T]
        codes, first = _alike(words, lengths)
        few = self._rows(first)
        self._value_at, self._column = at + lengths, self._column + count
        return [column._replace(codes=column.codes.take(codes)) for column in (few._one_text() for _ in range(count))]

    def _one_text(self) -> Texts:
        import numpy as np

        there, at, sizes = self._texts()
        if not len(at):
            return Texts(np.full(self.length, -1, dtype=np.int32), [])
        found, names = self._different(at, np.broadcast_to(sizes, at.shape))
        if there is None:
            return Texts(found, names)
        codes = np.full(self.length, -1, dtype=np.int32)
        codes[there] = found
        return Texts(codes, names)

    def _lengths(self, count: int) -> Any:
        """Bytes of the next `count` columns together."""
        import numpy as np

        sizes = np.array([_size_of(serial_type) for serial_type in range(128)], dtype=np.int64)
        heads = self._head[:, self._column : self._column + count]
        return sum((sizes.take(heads[:, number]) for number in range(1, count)), sizes.take(heads[:, 0]))

    def _rows(self, rows: Any) -> Table:
        """A table of some of the rows, at the same column."""
        found = copy.copy(self)
        found.length = len(rows)
        found._value_at, found._head, found._head_at = self._value_at[rows], self._head[rows], self._head_at[rows]
        return found

    def objects(self) -> Any:
        """The next column, of texts, most of which are different: an array of str, None where it is missing."""
        import numpy as np

        there, at, sizes = self._texts()
        found = np.full(self.length, None, dtype=object)
        found[slice(None) if there is None else there] = self._strings(at, np.broadcast_to(sizes, at.shape))
        return found

    def _records(self, cells: Any) -> Any:
        """Where the records of the rows begin, behind their lengths and numbers."""
        import numpy as np

        if len(cells) != self.length:
            raise UnreadableError(f"{len(cells)} rows were found where {self.length} were written.")
        sizes, at = self._varints(cells)
        if self.length and sizes.max() > _OVERFLOWS:
            raise UnreadableError("A row is too long for one page.")
        length = np.full(self.length, 3, dtype=np.int64)  # bytes of the row's number, which counts up from 1
        length[:16383], length[:127], length[2**21 - 1 :] = 2, 1, 4
        return at + length

    def _different(self, at: Any, sizes: Any) -> tuple[Any, list[str]]:
        """Which of the different texts each one is, and those texts."""
        import numpy as np
        import pandas as pd

        longest = int(sizes.max())
        if longest > _LONGEST:
            found, names = pd.factorize(np.array(self._strings(at, sizes), dtype=object))
            return found.astype(np.int32), list(names)
        codes, first = _alike([*self._words(at, sizes, longest).T], sizes)
        return codes, self._strings(at[first], sizes[first])

    def _words(self, at: Any, sizes: Any, longest: int) -> Any:
        """Texts of so many bytes at most as words of eight bytes each, zeros behind their ends."""
        import numpy as np

        masks = np.array([2 ** (8 * n) - 1 for n in range(9)], dtype=np.uint64)
        words = self._gathered(at, max(longest + 7, 8) & ~7).view("<u8")
        for number in range(words.shape[1]):
            words[:, number] &= masks[np.clip(sizes - 8 * number, 0, 8)]
        return words

    def _strings(self, at: Any, sizes: Any) -> list[str]:
        """Texts as objects: put together with separators, and split at them, which is faster than one by one."""
        import numpy as np

        ends = np.cumsum(sizes + 1)
        places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(at - ends + sizes + 1, sizes + 1)
        together = self._bytes[places]
        together[ends - 1] = _SEPARATOR
        found: list[str] = together.tobytes().decode().split(chr(_SEPARATOR))[:-1]
        if len(found) == len(at):
            return found
        pairs = zip(at.tolist(), sizes.tolist(), strict=True)
        return [self._image[start : start + size].decode() for start, size in pairs]

    def _texts(self) -> tuple[Any, Any, Any]:
        """Which rows have a text in the next column (None: all), where it is, and of how many bytes."""
        import numpy as np

        types, at, sizes = self._next()
        texts = (types >= _TEXT) & (types & 1 == 1)
        if texts.all():
            return None, at, sizes
        if (types[~texts] != 0).any():
            raise UnreadableError("A column of texts holds something else.")
        there = np.flatnonzero(texts)
        return there, at[there], np.broadcast_to(sizes, at.shape)[there]

    def _next(self) -> tuple[Any, Any, Any]:
        """The serial types of the next column, where its values are, and of how many bytes: one number if all are."""
        import numpy as np

        if self._head is not None:
            types = self._head[:, self._column]
            self._column += 1
        else:
            types, self._type_at = self._varints(self._type_at)
        at = self._value_at
        if not self.length:
            return types, at, 0
        if (types == types[0]).all():
            sizes = _size_of(int(types[0]))
        else:
            wide = types.astype(np.int64)
            small = np.array(_SIZES, dtype=np.int64).take(wide, mode="clip")
            sizes = np.where(wide < len(_SIZES), small, (wide - len(_SIZES)) >> 1)
        self._value_at = at + sizes
        return types, at, sizes

    def _varints(self, at: Any) -> tuple[Any, Any]:
        """Numbers of seven bits a byte, the highest first; and where the bytes behind them are."""
        import numpy as np

        byte = self._bytes[at]
        value, more, at = (byte & 127).astype(np.int64), byte > 127, at + 1
        while more.any():
            byte = self._bytes[at]
            value = np.where(more, (value << 7) | (byte & 127), value)
            at = at + more
            more = more & (byte > 127)
        return value, at

    def _gathered(self, at: Any, count: int) -> Any:
        """`count` bytes from each of some places on, as rows of bytes."""
        import numpy as np

        shape = (len(self._bytes) - count + 1,)
        windows: Any = np.ndarray(shape, dtype=f"V{count}", buffer=self._image, strides=(1,))
        return windows[at].view(np.uint8).reshape(len(at), count)


def _alike(words: Sequence[Any], sizes: Any) -> tuple[Any, Any]:
    """For each text its number among the different ones, and the first row of each of those.

    `words`: columns of eight bytes each; `sizes`: bytes of the texts.
    """
    import numpy as np
    import pandas as pd

    columns = [*words, sizes]
    if all((column == column[0]).all() for column in columns):
        return np.zeros(len(sizes), dtype=np.int32), np.zeros(1, dtype=np.int64)
    mixed = np.zeros(len(sizes), dtype=np.uint64)
    for column in columns:
        mixed = _mixed(mixed, column.astype(np.uint64, copy=False))
    codes, values = pd.factorize(mixed)
    first = np.empty(len(values), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)  # what is written last stays: the first row of each
    if any((column[first].take(codes) != column).any() for column in columns):
        raise UnreadableError("Two texts cannot be told apart by their sums.")
    return codes.astype(np.int32), first


def _mixed(sums: Any, words: Any) -> Any:
    """Sums with one more word of each text. Of one sum, different words make different ones."""
    import numpy as np

    found = (sums ^ words) * np.uint64(_ODD)
    return found ^ (found >> np.uint64(29))  # else the high bits of a word would never reach the low ones of a sum


def _size_of(serial_type: int) -> int:
    return _SIZES[serial_type] if serial_type < len(_SIZES) else (serial_type - len(_SIZES)) >> 1


def _cells(image: Any) -> Any:
    """Where the rows begin, in order."""
    import numpy as np

    found = [_places(image, page) for page in _leaves(image, _ROOT)]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _leaves(image: Any, number: int) -> Iterator[int]:
    """Where the pages are that hold rows, in the order of the rows, from the page of this number down."""
    at = (number - 1) * PAGE_SIZE
    if image[at] == _LEAF:
        yield at
        return
    if image[at] != _INTERIOR:
        raise UnreadableError(f"Page {number} belongs to no table.")
    right = at + _PAGE_HEADER  # the last child stands in the header, each other one at the beginning of a cell
    for place in [*_places(image, at, _PAGE_HEADER + 4).tolist(), right]:
        yield from _leaves(image, int.from_bytes(image[place : place + 4].tobytes(), "big"))


def _places(image: Any, at: int, header: int = _PAGE_HEADER) -> Any:
    """Where the cells of a page begin, in order."""
    import numpy as np

    count = int(image[at + 3]) << 8 | int(image[at + 4])
    return image[at + header : at + header + 2 * count].view(">u2").astype(np.int64) + at
