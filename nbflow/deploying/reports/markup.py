"""HTML put together from parts, in which every text is escaped unless it is markup itself."""

from __future__ import annotations

from html import escape

_VOID = frozenset({"img", "meta", "br"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(kind: str, /, *children: object, css: str = "", cls: str = "", **attributes: object) -> Markup:
    """An element. `css` is its style, which mail programs that drop style sheets keep; `cls` its classes."""
    given = {"class": cls, "style": css, **{key.rstrip("_"): value for key, value in attributes.items()}}
    written = "".join(f' {key}="{escape(str(value))}"' for key, value in given.items() if value not in ("", None))
    if kind in _VOID:
        return Markup(f"<{kind}{written}>")
    return Markup(f"<{kind}{written}>{join(*children)}</{kind}>")


def join(*parts: object) -> Markup:
    """Parts one after the other; None is nothing."""
    return Markup(
        "".join(part if isinstance(part, Markup) else escape(str(part)) for part in parts if part is not None)
    )
