"""The rows of a chart as growing columns, into which new and changed ones are put."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nbflow.views.gantt.columns import Columns, GanttError, joined
from nbflow.views.gantt.parts import Part, read
from nbflow.views.palette import FILL

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_MOST_FRAMES = 64  # pieces that are kept before they become one


class Names:
    """Texts by number. Numbers stay as they are when more texts come."""

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.texts = list(texts)
        self._numbers: dict[str, int] = {}

    def numbers(self, codes: NDArray[np.int32], texts: Sequence[str]) -> NDArray[np.int32]:
        """Codes into other texts as codes into these; -1 stays."""
        import numpy as np

        if not self.texts:
            self.texts = list(texts)
            return codes
        if len(self._numbers) != len(self.texts):
            self._numbers = {text: number for number, text in enumerate(self.texts)}
        used = np.unique(codes[codes >= 0])
        known = np.full(len(texts) + 1, -1, np.int32)  # the last is where -1 leads
        for code in used:
            known[code] = self._numbers.setdefault(texts[code], len(self._numbers))
        self.texts += list(self._numbers)[len(self.texts) :]
        return known[codes]


class Rows:
    """What is drawn: rows in the order in which they came, those of the first frame by time."""

    def __init__(self, frame: pd.DataFrame, columns: Columns) -> None:
        """Read the first frame. Raises GanttError if its times cannot be read as times."""
        self.columns = columns
        self.states = Names([*FILL, ""])
        self.lanes: dict[str, Names] = {kind: Names() for kind in columns.lanes}
        self.count = 0
        self._arrays: dict[str, NDArray[Any]] = {}
        self._frames: list[pd.DataFrame] = []
        self._numbers: _Keys | None = None
        part = read(frame, columns)
        self.scale = part.scale
        self.timeless = part.timeless
        self._append(self._columns_of(part), frame)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column: at, wait, run, state, attempt, endless, or "lane:" and a kind of lanes. See `parts`."""
        return self._arrays[name][: self.count]

    def put(self, frame: pd.DataFrame) -> NDArray[np.intp]:
        """Take new and changed rows; which ones they are here. Rows that are as before are no changes.

        Raises GanttError if columns are missing that the first frame had, or if times cannot be read.
        """
        import numpy as np

        self.columns.check(frame)
        part = read(frame, self.columns)
        if len(part.at) and self.count and part.scale != self.scale:
            raise GanttError(f"The chart's times are of the kind {self.scale!r}, those of this frame {part.scale!r}.")
        if not self.count:
            self.scale = part.scale
        if self._numbers is None:
            self._numbers = _Keys(self.frame(), self.columns)
        ids = self._numbers.of(frame.take(part.positions))
        _, last = np.unique(ids[::-1], return_index=True)  # of several rows with one key the last counts
        keep = np.sort(len(ids) - 1 - last)
        is_new = ids[keep] >= self.count
        fresh, known = keep[is_new], keep[~is_new]
        fresh = fresh[np.argsort(ids[fresh])]
        values = self._columns_of(part)
        known = known[self._differ(values, known, ids[known])]
        self._overwrite(values, known, ids[known], len(self._frames))
        self._append({name: array[fresh] for name, array in values.items()}, frame)
        self._compact()
        return np.concatenate([ids[known], ids[fresh]])

    def _differ(self, values: dict[str, NDArray[Any]], chosen: NDArray[np.intp], numbers: NDArray[np.intp]) -> Any:
        import numpy as np

        found = np.zeros(len(chosen), bool)
        for name, array in values.items():
            if name != "position":
                old, new = self._arrays[name][numbers], array[chosen]
                found |= (old != new) & ~((old != old) & (new != new))
        return found

    def frame(self, numbers: Any = slice(None), columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Rows as a frame with the columns that came in, or with these, in the order in which they are asked for."""
        import numpy as np
        import pandas as pd

        pieces, positions = self["piece"][numbers], self["position"][numbers]
        used, places = np.unique(pieces, return_inverse=True)
        if not len(used):
            return self._of(0, columns).head(0)
        if len(used) == 1:
            return self._of(int(used[0]), columns).take(positions)
        chosen = [positions[places == place] for place in range(len(used))]
        whole = pd.concat([self._of(int(piece), columns).take(rows) for piece, rows in zip(used, chosen, strict=True)])
        order = np.empty(len(positions), np.intp)
        order[np.argsort(places, kind="stable")] = np.arange(len(positions))
        return whole.take(order)

    def _of(self, piece: int, columns: Sequence[str] | None) -> pd.DataFrame:
        frame = self._frames[piece]
        return frame if columns is None else frame[list(columns)]

    def row(self, number: int) -> dict[str, Any]:
        """One row as it came in."""
        frame = self._frames[self["piece"][number]]
        row = frame.iloc[int(self["position"][number])]
        return {str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}

    def errors(self, numbers: Any = slice(None)) -> list[str]:
        """The errors of these rows, "" for those without."""
        found = self.frame(numbers, self.columns.error)
        texts = [_texts(found[name]) for name in self.columns.error]
        return [joined(each) for each in zip(*texts, strict=True)] if texts else [""] * len(found)

    def tasks(self, numbers: Any = slice(None)) -> list[str]:
        """What the tasks of these rows are called, "" for those without a name."""
        name = self.columns.task
        return _texts(self.frame(numbers, [name])[name]) if name else [""] * len(self["at"][numbers])

    def identities(self) -> list[Any]:
        """What tells the task of each row from others in the links of a critical path: its `seq`, else its key."""
        name = next((name for name in ("seq", "task") if name in self.columns.key), None) or self.columns.task
        return list(range(self.count)) if name is None else self.frame(columns=[name])[name].tolist()

    def contradictions(self) -> int:
        """How many rows finished before they started, or started before they were queued."""
        import numpy as np

        return int(np.count_nonzero((self["run"] < 0) | ((self["wait"] < 0) & ~np.isnan(self["run"]))))

    def _append(self, values: dict[str, NDArray[Any]], frame: pd.DataFrame) -> None:
        import numpy as np

        added = len(values["at"])
        values["piece"] = np.full(added, len(self._frames), np.int32)
        self._frames.append(frame.copy(deep=False))  # what its owner does to it later is not seen here
        for name, array in values.items():
            self._arrays[name] = _grown(self._arrays.get(name), self.count, array)
        self.count += added

    def _overwrite(self, values: dict[str, NDArray[Any]], chosen: Any, numbers: Any, piece: int) -> None:
        for name, array in values.items():
            self._arrays[name][numbers] = array[chosen]
        self._arrays["piece"][numbers] = piece

    def _columns_of(self, part: Part) -> dict[str, NDArray[Any]]:
        lanes = {f"lane:{kind}": self.lanes[kind].numbers(*coded) for kind, coded in part.lanes.items()}
        own = {name: getattr(part, name) for name in ("at", "wait", "run", "attempt", "endless")}
        return own | {"state": self.states.numbers(*part.state), "position": part.positions} | lanes

    def _compact(self) -> None:
        """Keep one frame instead of many small ones, most of whose rows have been replaced."""
        import numpy as np

        if len(self._frames) <= _MOST_FRAMES:
            return
        later = np.flatnonzero(self["piece"] > 0)
        if len(later) * 2 > self.count:
            self._frames, later = [self.frame()], np.arange(self.count)
        else:  # the first one is large, and stays
            self._frames = [self._frames[0], self.frame(later)]
        self._arrays["piece"][later] = len(self._frames) - 1
        self._arrays["position"][later] = np.arange(len(later))


class _Keys:
    """Numbers of rows by what tells them apart. Made when rows first come again, since a million of them cost."""

    def __init__(self, frame: pd.DataFrame, columns: Columns) -> None:
        import numpy as np
        import pandas as pd

        self._columns = columns
        unique, self._numbers = np.unique(self._hashed(frame), return_index=True)
        self._first = pd.Index(unique)
        self._later: dict[int, int] = {}
        self._next = len(frame)

    def of(self, frame: pd.DataFrame) -> NDArray[np.intp]:
        """Numbers of these rows; those that are new get the next ones."""
        import numpy as np
        import pandas as pd

        hashed = self._hashed(frame)
        found = self._first.get_indexer(pd.Index(hashed))
        numbers = np.where(found < 0, -1, self._numbers[found]) if len(self._numbers) else found
        for place in np.flatnonzero(numbers < 0):
            key = int(hashed[place])
            if key not in self._later:
                self._later[key] = self._next
                self._next += 1
            numbers[place] = self._later[key]
        return numbers.astype(np.intp)

    def _hashed(self, frame: pd.DataFrame) -> NDArray[np.uint64]:
        import numpy as np

        key = self._columns.key
        mixed = np.zeros(len(frame), np.uint64)
        for name in key or ("",):
            column = frame[name] if name else frame.index.to_series()
            if name in ("task", "job") and "seq" in key:  # the number tells it, but for plain jobs, which have none
                nameless = (frame["seq"].fillna(0) == 0).to_numpy(dtype=bool)
                own = np.zeros(len(frame), np.uint64)
                own[nameless] = _hashes(column[nameless])
            else:
                own = _hashes(column)
            mixed = mixed * np.uint64(1_000_003) ^ own
        return mixed


def _hashes(column: pd.Series[Any]) -> NDArray[np.uint64]:
    """A number for each value: the same for a text alone and as a category, for 1 as an integer and as a float."""
    import numpy as np
    import pandas as pd
    from pandas.api import types

    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = np.array([*column.cat.categories, None], dtype=object)
        return pd.util.hash_array(texts, categorize=False)[column.cat.codes.to_numpy()]
    if types.is_numeric_dtype(column.dtype):
        return pd.util.hash_array(column.to_numpy(dtype="float64", na_value=np.nan), categorize=False)
    return pd.util.hash_array(column.astype(object).where(column.notna(), None).to_numpy())


def _texts(column: pd.Series[Any]) -> list[str]:
    return ["" if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]


def _grown(array: NDArray[Any] | None, used: int, more: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if array is None:
        return more
    if used + len(more) > len(array):
        larger = np.empty(max(2 * len(array), used + len(more)), array.dtype)
        larger[:used] = array[:used]
        array = larger
    array[used : used + len(more)] = more
    return array
