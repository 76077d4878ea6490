"""How arrays, frames and random generators of numpy, pandas and torch are compared; none is imported here first.

As `pandas.testing` does: the order of columns, data types and the index count. See `compare` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.values.compare import Walk

_MOST = 3  # elements of one array that are told


def _arrays(walk: Walk, left: Any, right: Any, path: str) -> None:
    if left.shape != right.shape:
        walk.tell(f"{path}.shape", f"{left.shape} ≠ {right.shape}")
        return
    if left.dtype != right.dtype:
        walk.tell(f"{path}.dtype", f"{left.dtype} ≠ {right.dtype}")
    if left.dtype.names and left.dtype.names == right.dtype.names:
        for name in left.dtype.names:
            walk.compare(left[name], right[name], f"{path}[{name!r}]")
        return

    def place(position: int) -> str:
        import numpy as np

        return ", ".join(str(int(index)) for index in np.unravel_index(position, left.shape))

    _elements(walk, left.reshape(-1), right.reshape(-1), path, place)


def _elements(walk: Walk, left: Any, right: Any, path: str, place: Callable[[int], str]) -> None:
    """Compare two flat arrays of equal length."""
    import numpy as np

    if "O" in (left.dtype.kind, right.dtype.kind) or left.dtype.kind == "V":
        for position, (one, other) in enumerate(zip(left, right, strict=True)):
            if not (_is_missing(one) and _is_missing(other)):
                walk.compare(one, other, f"{path}[{place(position)}]")
        return
    numeric = left.dtype.kind in "fc" and right.dtype.kind in "fciub"
    if numeric:
        equal = np.isclose(right, left, rtol=walk.rtol, atol=walk.atol, equal_nan=True)
    else:
        equal = (left == right) | (_not_a_time(left) & _not_a_time(right))
    wrong = np.flatnonzero(~equal)
    for count, position in enumerate(wrong[:_MOST], 1):
        one, other = left[position], right[position]
        text = walk.number_text(one, other) if numeric else f"{one} ≠ {other}"
        more = len(wrong) - _MOST if count == _MOST else 0
        walk.tell(f"{path}[{place(int(position))}]", text, more)


def _not_a_time(values: Any) -> Any:
    import numpy as np

    return np.isnat(values) if values.dtype.kind in "mM" else np.zeros(values.shape, bool)


def _is_missing(value: Any) -> bool:
    """Whether a value stands for a missing one: None, NaN, NaT, pandas.NA; the same kind is asked for elsewhere."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _frames(walk: Walk, left: Any, right: Any, path: str) -> None:
    walk_columns = list(left.columns) == list(right.columns)
    if not walk_columns:
        _columns(walk, left, right, path)
    _indexes(walk, left.index, right.index, f"{path}.index")
    if len(left) != len(right):
        return
    if walk_columns:
        pairs = [(position, position) for position in range(left.shape[1])]
    else:
        names = list(right.columns)
        pairs = [(position, names.index(name)) for position, name in enumerate(left.columns) if name in names]
    for mine, other in pairs:
        column = f"{path}[{left.columns[mine]!r}]"
        _values(walk, left.iloc[:, mine], right.iloc[:, other], column)


def _columns(walk: Walk, left: Any, right: Any, path: str) -> None:
    names, others = list(left.columns), list(right.columns)
    gone, new = [name for name in names if name not in others], [name for name in others if name not in names]
    for words, found in (("is gone", gone), ("is new", new)):
        for name in found:
            walk.tell(f"{path}[{name!r}]", f"column {words}")
    if not gone and not new:
        walk.tell(f"{path}.columns", f"the order differs: {names} ≠ {others}")


def _series(walk: Walk, left: Any, right: Any, path: str) -> None:
    walk.compare(left.name, right.name, f"{path}.name")
    _indexes(walk, left.index, right.index, f"{path}.index")
    if len(left) == len(right):
        _values(walk, left, right, path)


def _values(walk: Walk, left: Any, right: Any, path: str) -> None:
    """Compare two Series of equal length, whatever their indexes say."""
    if left.dtype != right.dtype:
        walk.tell(f"{path}.dtype", f"{left.dtype} ≠ {right.dtype}")
        return
    if left.array.equals(right.array) if hasattr(left.array, "equals") else False:
        return
    labels = left.index

    def place(position: int) -> str:
        return repr(_plain(labels[position]))

    _elements(walk, _flat(left), _flat(right), path, place)


def _flat(series: Any) -> Any:
    """The values as one array of numpy; missing ones of extension types stay recognisable as objects."""
    import numpy as np

    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.astype(object).to_numpy()


def _plain(label: Any) -> Any:
    return label.item() if type(label).__module__ == "numpy" else label


def _indexes(walk: Walk, left: Any, right: Any, path: str) -> None:
    if len(left) != len(right):
        walk.tell(path, f"{len(left)} rows ≠ {len(right)} rows")
        return
    walk.compare(list(left.names), list(right.names), f"{path}.names")
    if left.dtype != right.dtype:
        walk.tell(f"{path}.dtype", f"{left.dtype} ≠ {right.dtype}")
    elif not left.equals(right):
        _elements(walk, _flat(left.to_series()), _flat(right.to_series()), path, str)


def _generators(walk: Walk, left: Any, right: Any, path: str) -> None:
    one, other = (
        (rng.bit_generator.state if hasattr(rng, "bit_generator") else rng.get_state()) for rng in (left, right)
    )
    if not walk.same(one, other):
        walk.tell(path, "the state of the random generator differs")


def _bit_generators(walk: Walk, left: Any, right: Any, path: str) -> None:
    if not walk.same(left.state, right.state):
        walk.tell(path, "the state of the random generator differs")


def _scalars(walk: Walk, left: Any, right: Any, path: str) -> None:
    """A dtype, a text, date or truth value of numpy."""
    if left != right and not (left != left and right != right):
        walk.tell(path, f"{left!r} ≠ {right!r}")


def _tensors(walk: Walk, left: Any, right: Any, path: str) -> None:
    walk.compare(left.detach().cpu().numpy(), right.detach().cpu().numpy(), path)


def _extension(walk: Walk, left: Any, right: Any, path: str) -> None:
    import pandas as pd

    _series(walk, pd.Series(left), pd.Series(right), path)


Way = Callable[["Walk", Any, Any, str], None]
WAYS: dict[str, Way] = {
    "numpy.ndarray": _arrays,
    "numpy.generic": _scalars,
    "numpy.dtype": _scalars,
    "numpy.random._generator.Generator": _generators,
    "numpy.random.mtrand.RandomState": _generators,
    "numpy.random.bit_generator.BitGenerator": _bit_generators,
    "pandas.core.frame.DataFrame": _frames,
    "pandas.core.series.Series": _series,
    "pandas.core.indexes.base.Index": _indexes,
    "pandas.core.arrays.base.ExtensionArray": _extension,
    "torch.Tensor": _tensors,
}
# Later versions of pandas tell their public names.
WAYS |= {"pandas.DataFrame": _frames, "pandas.Series": _series, "pandas.Index": _indexes,
         "pandas._libs.tslibs.nattype.NaTType": _scalars, "pandas.api.extensions.ExtensionArray": _extension,
         "pandas._libs.tslibs.timestamps.Timestamp": _scalars, "pandas.Timestamp": _scalars}  # fmt: skip
