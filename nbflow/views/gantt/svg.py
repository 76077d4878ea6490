"""The chart as SVG that stands still: no scripts, no fonts, for light and dark ground. Every text in it is escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from nbflow.views.gantt.look import Look, legend, on_colour
from nbflow.views.gantt.still import AXIS, BAR, CHARACTER, LANE, LINE, PAD, Still, coarser, stretches
from nbflow.views.palette import MARK
from nbflow.views.words import one_line

_FIXED = (
    ".nbg-t{font:11px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}"
    ".nbg-h{font-weight:600;font-size:13px}.nbg-f{opacity:.68}.nbg-m{text-anchor:middle}.nbg-n{font-size:10px}"
    f".nbg-b{{fill:none;stroke-width:{BAR}}}.nbg-w{{fill:none;stroke-width:{LINE};stroke:#979ba1}}"
    ".nbg-w.nbg-o{stroke:#56b4e9}"
    ".nbg-l{stroke-opacity:.14;fill:none}.nbg-x{stroke-width:1.2}"
)


def draw(still: Still, *, theme: str = "auto", pixel: int = 1) -> str:
    """The whole picture.

    `theme`: "light", "dark", or "auto" as the reader prefers. `pixel`: how fine merged bars are.
    """
    look, below = still.look, still.bottom + 22
    height = below + 8 + 15 * len(still.notes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {still.width} {height}" width="{still.width}" '
        f'height="{height}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{escaped(look.title or "Gantt chart")}: {escaped(still.summary)}">',
        _style(still, theme),
        f'<rect class="nbg-g" width="{still.width}" height="{height}" rx="6"/>',
        _text(12, 18, one_line(look.title, 110), "nbg-h") if look.title else "",
        _text(12, still.top - 8, still.summary, "nbg-f"),
    ]
    if still.rows.count:
        parts += [*_grid(still), *_lanes(still), *_bars(still, pixel), *_marks(still), *_legend(still, below)]
    parts += [_text(12, below + 18 + 15 * number, f"⚠ {note}", "nbg-f") for number, note in enumerate(still.notes)]
    return "".join(parts) + "</svg>"


def darkened(still: Still, light: str) -> str:
    """A picture that was drawn on light ground, on dark ground."""
    return light.replace(_style(still, "light"), _style(still, "dark"), 1)


def _style(still: Still, theme: str) -> str:
    """Names that nobody else has: inlined into a page, an SVG's style holds for the whole page."""
    on_light, on_dark = (_colours(still, dark=dark) for dark in (False, True))
    if theme == "auto":
        return f"<style>{_FIXED}{on_light}@media(prefers-color-scheme:dark){{{on_dark}}}</style>"
    return f"<style>{_FIXED}{on_dark if theme == 'dark' else on_light}</style>"


def _colours(still: Still, *, dark: bool) -> str:
    ink, ground = ("#ebebeb", "#161616") if dark else ("#1c1c1c", "#fff")
    found = f".nbg-t{{fill:{ink}}}.nbg-l,.nbg-x{{stroke:{ink}}}.nbg-g{{fill:{ground}}}"
    for name, fill in {_class(still.look, s): still.look.colour(s, dark=dark) for s, _ in _counts(still)}.items():
        found += f".{name}{{fill:{fill}}}.nbg-b.{name}{{stroke:{fill};fill:none}}"
        found += f".{name}+.nbg-n{{fill:{on_colour(fill)}}}"
    return found


def _counts(still: Still) -> list[tuple[str, int]]:
    return still.look.counts(still.rows)


def _class(look: Look, state: str) -> str:
    return f"nbg-{look.colour(state)[1:]}"


def _grid(still: Still) -> Iterator[str]:
    middle, path = still.top + 15, ""
    yield _text(12, middle, one_line(still.beginning, int(still.gutter / 5.6)), "nbg-f")
    for at, text in still.ticks:
        x = still.gutter + still.scale.x(at)
        path += f"M{x:.1f} {still.top + AXIS}V{still.bottom}"
        half = len(text) * CHARACTER / 2
        if x - half > still.gutter - 4 and x + half < still.width:
            yield _text(x, middle, text, "nbg-m")
    yield f'<path class="nbg-l" d="{path}"/>'


def _lanes(still: Still) -> Iterator[str]:
    path = ""
    for lane, y in still.places():
        path += f"M0 {y}H{still.width}"
        name = one_line(lane.name, int((still.gutter - 14) / CHARACTER)) or "(empty)"
        title = f"<title>{escaped(lane.name)}</title>" if name != lane.name else ""
        yield f'<text class="nbg-t" x="12" y="{y + PAD + 13}">{escaped(name)}{title}</text>'
    yield f'<path class="nbg-l" d="{path}M0 {still.bottom}H{still.width}"/>'


def _bars(still: Still, pixel: int) -> Iterator[str]:
    states, done, waiting = coarser((still.states, *still.waits), pixel)
    yield from _path("nbg-w", still, done, LANE - LINE / 2 - 1)
    yield from _path("nbg-w nbg-o", still, waiting, LANE - LINE / 2 - 1)
    if still.single:
        yield from _single(still)
        return
    for state, _ in _counts(still):
        chosen = states == still.look.order.index(state)
        yield from _path(f"nbg-b {_class(still.look, state)}", still, chosen, 1 + BAR / 2)


def _path(kind: str, still: Still, chosen: Any, below: float) -> Iterator[str]:
    """Stretches of pixels as one path of thick lines: the shortest form that SVG has for many bars."""
    steps = []
    for number, top in enumerate(still.tracks):
        place: int | None = None
        for begin, end in stretches(chosen[number]):
            start = f"M{still.gutter + begin} {top + below:g}" if place is None else f"m{begin - place} 0"
            steps.append(f"{start}h{end - begin}")
            place = end
    if steps:
        yield f'<path class="{kind}" d="{"".join(steps)}"/>'


def _single(still: Still) -> Iterator[str]:
    """Each bar with its name, if there is room for it."""
    for bar in still.bars():
        kind = _class(still.look, bar.state) + (" nbg-x" if bar.framed else "")
        yield (
            f'<rect class="{kind}" x="{bar.x:.1f}" y="{bar.y + 1}" width="{bar.width:.1f}" height="{BAR}" '
            f'rx="{min(2.5, bar.width / 4):.1f}"/>'
        )
        if text := bar_text(bar.state, bar.label, bar.width):
            yield _text(bar.x + 4, bar.y + 10.5, text, "nbg-n")


def bar_text(state: str, label: str, width: float) -> str:
    """What there is room for in a bar: the mark of its state, unless it succeeded, and its name."""
    mark = "" if state == "succeeded" else MARK.get(state, "")
    room = int((width - 7) / (CHARACTER * 0.93))
    return one_line(f"{mark} {label}".strip(), room) if room >= 2 or (room == 1 and mark) else ""


def _marks(still: Still) -> Iterator[str]:
    for mark in still.marks():
        yield f'<path class="{_class(still.look, mark.state)} nbg-x" d="M{mark.x:.1f} {mark.y + 1}l6 6-6 6-6-6z"/>'


def _legend(still: Still, y: int) -> Iterator[str]:
    x = 12.0
    for state, count in _counts(still):
        if state:
            text = f"{legend(state)} {count:,}"
            yield f'<rect class="{_class(still.look, state)}" x="{x:.0f}" y="{y - 9}" width="10" height="10" rx="2"/>'
            yield _text(x + 15, y, text)
            x += 32 + len(text) * CHARACTER
    if (still.rows["wait"] > 0).any():
        yield f'<path class="nbg-w" d="M{x:.0f} {y - 4}h10"/>' + _text(x + 15, y, "waiting")


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text class="{f"nbg-t {kind}".strip()}" x="{x:.1f}" y="{y:g}">{escaped(text)}</text>'


def escaped(text: str) -> str:
    """A text that cannot be anything else, in one line."""
    return escape(one_line(text))
