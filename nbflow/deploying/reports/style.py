"""How mails look: few colours, and little of it at each element.

What a mail cannot do without is written at the elements, as some programs drop style sheets. Lines between rows, and
the colours on dark ground, come from a style sheet: Gmail cuts mails off at 102 kB. Programs that turn colours round by
themselves (Gmail, Outlook) find none that would become unreadable.
"""

from __future__ import annotations

from collections.abc import Sequence

from nbflow.deploying.reports.markup import Markup, join, tag
from nbflow.views.palette import FILL, MARK

WIDTH = 680  # pixels
INNER = WIDTH - 2 * 28
FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
INK, FAINT, LINE, CARD, GROUND, TILE = "#1c1e21", "#666c75", "#e4e6ea", "#ffffff", "#f2f4f7", "#f7f8fa"
BAD, GOOD = "#b34700", "#00754f"  # the palette's orange and green, dark enough for text
_SHEET = f"""
:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
.rows td, .rows th {{ padding: 7px 0 7px 12px; border-bottom: 1px solid {LINE}; vertical-align: top; width: 74px; }}
.rows td:first-child, .rows th:first-child {{ padding-left: 0; width: auto; }}
.rows th {{ padding-top: 4px; padding-bottom: 4px; }}
.rows code {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; word-break: break-word; }}
@media (prefers-color-scheme: dark) {{
  .ground {{ background: #121417 !important; }}
  .card {{ background: #1c1f24 !important; border-color: #2f343b !important; }}
  .tile {{ background: #252a31 !important; }}
  .ink {{ color: #e9ebee !important; }}
  .faint, .rows th {{ color: #a2a9b3 !important; }}
  .rows td, .rows th {{ border-color: #333942 !important; }}
  .bad {{ color: #ff9a57 !important; }}
  .good {{ color: #4cd0a4 !important; }}
}}
@media (max-width: 520px) {{
  .pad {{ padding-left: 14px !important; padding-right: 14px !important; }}
  .wide {{ display: none !important; }}
  .rows td, .rows th {{ width: auto; }}
}}
"""


def page(title: str, preview: str, body: Markup, foot: Markup) -> Markup:
    """A mail: `body` on a card, `foot` below it. `preview` is what lists of mails show beside the subject."""
    hidden = tag("div", preview, css="display:none;max-height:0;overflow:hidden;opacity:0")
    card = tag(
        "table",
        tag("tr", tag("td", body, cls="pad", css="padding:26px 28px 30px")),
        cls="card", role="presentation", cellpadding=0, cellspacing=0, width="100%",
        css=f"max-width:{WIDTH}px;background:{CARD};border:1px solid {LINE};border-radius:10px",
    )  # fmt: skip
    under = tag("div", foot, cls="faint", css=f"max-width:{INNER}px;padding:16px 8px;font-size:12px;color:{FAINT};"
                "line-height:1.5;text-align:left")  # fmt: skip
    outer = tag(
        "table",
        tag("tr", tag("td", card, under, align="center", cls="ground", css=f"padding:24px 10px;background:{GROUND}")),
        role="presentation", cellpadding=0, cellspacing=0, width="100%",
    )  # fmt: skip
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width,initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(_SHEET)),
    )
    css = f"margin:0;padding:0;background:{GROUND};font-family:{FONT};color:{INK};-webkit-text-size-adjust:100%"
    return join(
        Markup("<!DOCTYPE html>"), tag("html", head, tag("body", hidden, outer, cls="ground", css=css), lang="en")
    )


def heading(text: object, about: object = "") -> Markup:
    """The heading of a section, with a few words beside it."""
    beside = tag("span", " ", about, cls="faint", css=f"font-size:12px;font-weight:400;color:{FAINT}") if about else ""
    return tag("h2", text, beside, cls="ink", css=f"margin:30px 0 8px;font-size:16px;line-height:1.3;color:{INK}")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, wide: Sequence[int] = ()) -> Markup:
    """A table of texts: the first column to the left, the others to the right.

    Where a row has fewer, its first is as wide as what is missing. `wide`: columns that narrow screens leave out.
    """

    def line(kind: str, row: Sequence[object]) -> list[Markup]:
        missing = len(headings) - len(row)
        cells = [tag(kind, row[0], align="left", colspan=missing + 1 if missing else None)]
        for column, content in enumerate(row[1:], start=missing + 1):
            cls = "wide" if column in wide else ""
            cells.append(tag(kind, content, align="right", nowrap="nowrap", cls=cls))
        return cells

    head = tag("tr", *line("th", headings), css=f"font-size:11px;color:{FAINT}")
    body = [tag("tr", *line("td", row), valign="top") for row in rows]
    css = f"border-collapse:collapse;font-size:13px;line-height:1.45;color:{INK};font-variant-numeric:tabular-nums"
    return tag("table", head, *body, cellpadding=6, cellspacing=0, width="100%", css=css, cls="rows ink")


def tiles(found: Sequence[tuple[str, object, str]]) -> Markup:
    """Figures in large: (what it is, the figure, class of its colour)."""
    share = f"{100 // len(found)}%"
    cells = []
    for number, (label, figure, cls) in enumerate(found):
        colour = {"bad": BAD, "good": GOOD}.get(cls, INK)
        large = tag(
            "div", figure, cls=cls or "ink", css=f"font-size:22px;font-weight:650;line-height:1.2;color:{colour}"
        )
        small = tag("div", label, cls="faint", css=f"font-size:12px;color:{FAINT};padding-top:2px")
        inner = tag("div", large, small, cls="tile", css=f"background:{TILE};border-radius:8px;padding:12px 14px")
        gap = "0 0 0 8px" if number else "0"
        cells.append(tag("td", inner, width=share, css=f"padding:{gap};vertical-align:top"))
    return tag("table", tag("tr", *cells), role="presentation", cellpadding=0, cellspacing=0, width="100%")


def faint(*parts: object) -> Markup:
    """Words of less weight, on a line of their own."""
    return tag("div", *parts, cls="faint", css=f"font-size:12px;color:{FAINT}")


def bad(text: object) -> Markup:
    """What went wrong."""
    return tag("b", text, cls="bad", css=f"color:{BAD}")


def code(text: object) -> Markup:
    """Something to type, or to read as it is."""
    return tag("code", text, css="font-size:12px")


def shares(states: dict[str, int], open_: int) -> Markup:
    """A bar that is divided as states are."""
    parts = [*states.items(), *([("pending", open_)] if open_ else [])]
    whole = sum(count for _, count in parts)
    widths = [f"{max(1, round(100 * count / whole))}%" for _, count in parts]
    cells = [
        tag("th", bgcolor=FILL.get(state, FILL["pending"]), height=5, css=f"padding:0;border:0;width:{width}")
        for (state, _), width in zip(parts, widths, strict=True)
    ]
    css = "max-width:260px;margin:5px 0 4px;font-size:1px;line-height:5px"
    return tag("table", tag("tr", *cells), role="presentation", cellpadding=0, cellspacing=0, width="100%", css=css)


def state_words(states: dict[str, int], open_: int) -> str:
    """Counts by state: "38 ✓ succeeded · 2 ✗ failed · 1 open"."""
    told = [f"{count:,} {MARK.get(state, '')} {state.replace('_', ' ')}" for state, count in states.items()]
    return " · ".join([*told, *([f"{open_:,} open"] if open_ else [])])
