"""How figures of matplotlib and plotly are compared: by what is drawn, and never by pixels. See also `compare`."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbflow.values.compare import Walk


def _figures(walk: Walk, left: Any, right: Any, path: str) -> None:
    walk.compare(_suptitle(left), _suptitle(right), f"{path}.suptitle")
    if len(left.axes) != len(right.axes):
        walk.tell(f"{path}.axes", f"{len(left.axes)} axes ≠ {len(right.axes)} axes")
    for number, (one, other) in enumerate(zip(left.axes, right.axes, strict=False)):
        _axes(walk, one, other, f"{path}.axes[{number}]")


def _suptitle(figure: Any) -> str:
    found = getattr(figure, "_suptitle", None)
    return found.get_text() if found is not None else ""


def _axes(walk: Walk, left: Any, right: Any, path: str) -> None:
    for name in ("title", "xlabel", "ylabel", "zlabel", "xscale", "yscale"):
        if hasattr(left, f"get_{name}"):
            walk.compare(getattr(left, f"get_{name}")(), getattr(right, f"get_{name}")(), f"{path}.{name}")
    walk.compare(_legend(left), _legend(right), f"{path}.legend")
    for kind in ("lines", "patches", "images", "collections", "texts"):
        mine, others = list(getattr(left, kind)), list(getattr(right, kind))
        if len(mine) != len(others):
            walk.tell(f"{path}.{kind}", f"{len(mine)} {kind} ≠ {len(others)} {kind}")
        for number, (one, other) in enumerate(zip(mine, others, strict=False)):
            _artists(walk, one, other, f"{path}.{kind}[{number}]")


def _legend(axes: Any) -> list[str]:
    legend = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend is not None else []


def _artists(walk: Walk, left: Any, right: Any, path: str) -> None:
    """What a line, bar, image or text shows; an artist also knows its figure, which is looked at from above only."""
    one, other = _drawn(left), _drawn(right)
    if one.keys() != other.keys():
        walk.tell(path, f"{type(left).__name__} ≠ {type(right).__name__}")
    for name in [name for name in one if name in other]:
        walk.compare(one[name], other[name], f"{path}.{name}")


_TOLD = ("xdata", "ydata", "x", "y", "width", "height", "array", "offsets", "text", "xy")
_WEDGE = ("center", "r", "theta1", "theta2")  # of pies, which have no getters for them


def _drawn(artist: Any) -> dict[str, Any]:
    found = {}
    for name in _TOLD:
        getter = getattr(artist, f"get_{name}", None)
        if getter is not None:
            found[name] = getter(orig=False) if name in ("xdata", "ydata") else getter()
    found.update({name: getattr(artist, name) for name in _WEDGE if hasattr(artist, name)})
    label = artist.get_label()
    if not str(label).startswith("_"):  # named by matplotlib: a count
        found["label"] = label
    return found


def _plotly(walk: Walk, left: Any, right: Any, path: str) -> None:
    one, other = left.to_dict(), right.to_dict()
    for figure in (one, other):  # the colours of the default template: the version of plotly, not the figure
        figure.get("layout", {}).pop("template", None)
    walk.compare(_decoded(one), _decoded(other), path)


def _decoded(part: Any) -> Any:
    """With the arrays that plotly writes as base64."""
    if isinstance(part, dict):
        if "bdata" in part and "dtype" in part:
            import numpy as np

            return np.frombuffer(base64.b64decode(part["bdata"]), part["dtype"])
        return {key: _decoded(value) for key, value in part.items()}
    return [_decoded(item) for item in part] if isinstance(part, list | tuple) else part


Way = Callable[["Walk", Any, Any, str], None]
WAYS: dict[str, Way] = {
    "matplotlib.figure.Figure": _figures,
    "matplotlib.figure.SubFigure": _figures,
    "matplotlib.axes._base._AxesBase": _axes,
    "matplotlib.artist.Artist": _artists,
    "plotly.basedatatypes.BaseFigure": _plotly,
}
