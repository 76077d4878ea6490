"""A frame that shows that it is not all: rows were left out because somebody asked for the newest few."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def told(frame: pd.DataFrame, what: str, total: int, **attributes: Any) -> pd.DataFrame:
    """The frame with its `attrs` filled in; one that is cut says so wherever it is shown.

    `total`: rows that there would be without a limit.
    """
    if total > len(frame):
        frame = __getattr__("CutFrame")(frame)
    frame.attrs.update({"what": what, "total": total, **attributes})
    return frame


def note(frame: pd.DataFrame) -> str:
    """What is told below a frame that is cut."""
    return f"{len(frame):,} of {frame.attrs['total']:,} {frame.attrs['what']}: the newest; limit=None shows all"


def __getattr__(name: str) -> Any:
    # A class of pandas, which is imported here when the first frame is cut; by a name, so that frames can be pickled.
    if name == "CutFrame":
        return _made()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _made() -> Any:
    import pandas as pd

    class CutFrame(pd.DataFrame):
        """A DataFrame that is not all."""

        @property
        def _constructor(self) -> Any:  # what is made of it is a frame like any other
            return pd.DataFrame

        def __repr__(self) -> str:
            return f"{super().__repr__()}\n{note(self)}"

        def _repr_html_(self) -> str | None:
            found: str | None = super()._repr_html_()  # type: ignore[misc]  # the stubs leave it out
            return f"{found}<p>{note(self)}</p>" if found is not None else None

        def __reduce__(self) -> Any:
            return _again, (pd.DataFrame(self), dict(self.attrs))

    CutFrame.__module__, CutFrame.__qualname__ = __name__, "CutFrame"
    return CutFrame


def _again(frame: pd.DataFrame, attributes: dict[str, Any]) -> pd.DataFrame:
    return told(frame, **attributes)
