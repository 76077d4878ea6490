"""Graphs of steps and tasks, drawn as SVG or written as text. Where things go is found in `layers`.

A sub-flow is a box that is laid out by itself; edges never cross its border. The SVG has no scripts and no fonts of
its own, follows the reader's light or dark theme, and all text in it stands on a ground that it brings along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

from nbflow.views.layers import Arrangement, Box, Route, arrange
from nbflow.views.palette import FILL, MARK

_CHARACTER = 7.2  # pixels of a character at 12 px
_HEIGHT = 40.0  # of a node
_PADDING = 16.0  # inside a box and around the picture
_TITLE = 22.0  # height of a box's title
_LONGEST_LABEL = 30  # characters
_OPEN = ("pending", "ready", "running", "planned")
_TINTED = ("running", "failed", "timed_out")  # states that the eye should find first


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a task, or a sub-flow with what is in it. It comes after the nodes that it needs."""

    id: str
    label: str
    state: str = "planned"  # a state of model.states, or "planned" before any run
    detail: str = ""  # second line: duration, error, number of tries
    hint: str = ""  # shown when pointed at
    upstream: tuple[str, ...] = ()  # ids of nodes of the same level; others are left out of the picture
    inside: tuple[Node, ...] = ()  # what a sub-flow is made of


@dataclass(frozen=True, slots=True)
class _Level:
    """The nodes of one flow in their places."""

    nodes: tuple[tuple[Node, Box, _Level | None], ...]
    arrangement: Arrangement


class Picture:
    """A graph that shows itself: as SVG where that can be shown, as text elsewhere."""

    def __init__(self, nodes: Sequence[Node], title: str = "") -> None:
        self.nodes = tuple(nodes)
        self.title = title

    def svg(self) -> str:
        """The graph as SVG, without scripts, for light and dark ground. Edges that others imply are faint."""
        level = _lay_out(self.nodes)
        width, height = level.arrangement.width + 2 * _PADDING, level.arrangement.height + 2 * _PADDING
        body: list[str] = []
        _draw(level, _PADDING, _PADDING, body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" aria-label="{escape(_clean(self.title) or "graph of steps")}">'
            f"{_STYLE}{''.join(body)}</svg>"
        )

    def text(self) -> str:
        """The graph for a terminal: every node with what it needs, indented by sub-flow."""
        lines = [_clean(self.title)] if self.title else []
        _write(self.nodes, "", lines)
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": self.text()}

    def __repr__(self) -> str:
        return self.text()


# Inlined into a page, an SVG's style holds for the whole page: hence names that nobody else has.
_STYLE = (
    "<style>"
    ".nb-t{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1c1c1c}.nb-d{font-size:10px;fill:#555}"
    ".nb-n{fill:#fff;stroke-width:2}.nb-b{fill:#f7f7f7;stroke-width:1.5}.nb-o{stroke-dasharray:3 3}"
    ".nb-e{fill:none;stroke:#8a8a8a;stroke-width:1.3}.nb-i{opacity:.3}.nb-a{fill:#8a8a8a}"
    "@media(prefers-color-scheme:dark)"
    "{.nb-t{fill:#eee}.nb-d{fill:#b5b5b5}.nb-n{fill:#262626}.nb-b{fill:#1a1a1a}}"
    "</style>"
)


def _lay_out(nodes: Sequence[Node]) -> _Level:
    position = {node.id: number for number, node in enumerate(nodes)}
    upstream = [
        [position[up] for up in dict.fromkeys(node.upstream) if position.get(up, number) < number]
        for number, node in enumerate(nodes)
    ]
    placed = tuple((node, *_box(node)) for node in nodes)
    return _Level(placed, arrange([box for _, box, _ in placed], upstream))


def _box(node: Node) -> tuple[Box, _Level | None]:
    width = max(84.0, (_columns(_short(node.label)) + 2) * _CHARACTER + 20, _columns(_short(node.detail)) * 6.2 + 20)
    if not node.inside:
        return Box(width, _HEIGHT), None
    level = _lay_out(node.inside)
    title = (_columns(_short(node.label)) + _columns(_short(node.detail)) + 2) * _CHARACTER
    return Box(
        max(title + 20, level.arrangement.width + 2 * _PADDING), level.arrangement.height + 2 * _PADDING + _TITLE
    ), level


def _draw(level: _Level, x: float, y: float, out: list[str]) -> None:
    routes = sorted(level.arrangement.routes, key=lambda route: not route.implied)  # the faint ones beneath
    out += [_edge(route, x, y) for route in routes]
    for node, box, inside in level.nodes:
        if inside is None:
            _draw_node(node, box, x, y, out)
        else:
            _draw_box(node, box, x, y, out)
            left = box.x - inside.arrangement.width / 2 + x
            _draw(inside, left, box.y + y + _TITLE + _PADDING, out)


def _edge(route: Route, x: float, y: float) -> str:
    """Curves between the layers, straight lines beside the boxes of a layer, and a tip."""
    start = route.boxes[0]
    x0, y0 = start.x + x, start.bottom + y
    path = f"M{x0:.1f} {start.y + start.height + y:.1f}V{y0:.1f}"
    for box in route.boxes[1:]:
        x1, y1 = box.x + x, box.y + y
        end = y1 if box.bend else y1 - 6
        middle = (y0 + end) / 2
        path += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {end:.1f}"
        if box.bend:
            path += f"V{box.bottom + y:.1f}"
        x0, y0 = x1, box.bottom + y
    last = route.boxes[-1]
    x1, y1 = last.x + x, last.y + y - 1
    faint = " nb-i" if route.implied else ""
    tip = f'<path class="nb-a{faint}" d="M{x1:.1f} {y1:.1f}l-3.5 -7h7z"/>'
    return f'<path class="nb-e{faint}" d="{path}"/>{tip}'


def _draw_node(node: Node, box: Box, x: float, y: float, out: list[str]) -> None:
    left, top, middle = box.x - box.width / 2 + x, box.y + y, box.x + x
    line = top + (17 if node.detail else 24)
    out.append(
        f'<g data-id="{escape(_clean(node.id))}">{_hint(node)}{_rectangle(node, "nb-n", left, top, box)}'
        f'<text class="nb-t" x="{middle:.1f}" y="{line:.1f}" text-anchor="middle">{_label(node)}</text>'
    )
    if node.detail:
        out.append(
            f'<text class="nb-t nb-d" x="{middle:.1f}" y="{line + 14:.1f}" text-anchor="middle">'
            f"{escape(_short(node.detail))}</text>"
        )
    out.append("</g>")


def _draw_box(node: Node, box: Box, x: float, y: float, out: list[str]) -> None:
    left, top = box.x - box.width / 2 + x, box.y + y
    out.append(
        f'<g data-id="{escape(_clean(node.id))}">{_hint(node)}{_rectangle(node, "nb-b", left, top, box)}'
        f'<text class="nb-t" x="{left + 12:.1f}" y="{top + 17:.1f}">{_label(node)}'
        f'<tspan class="nb-d" dx="6">{escape(_short(node.detail))}</tspan></text></g>'
    )


def _rectangle(node: Node, kind: str, left: float, top: float, box: Box) -> str:
    colour = FILL[node.state]
    place = f'x="{left:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="8"'
    still_open = " nb-o" if node.state in _OPEN else ""
    tint = f'<rect {place} fill="{colour}" fill-opacity=".16"/>' if node.state in _TINTED and kind == "nb-n" else ""
    return f'<rect class="{kind}{still_open}" stroke="{colour}" {place}/>{tint}'


def _hint(node: Node) -> str:
    lines = [_clean(line) for line in node.hint.splitlines()]
    return f"<title>{escape(chr(10).join(lines))}</title>" if node.hint else ""


def _label(node: Node) -> str:
    return escape(f"{MARK.get(node.state, '')} {_short(node.label)}".strip())


def _write(nodes: Iterable[Node], indent: str, lines: list[str]) -> None:
    labels = {node.id: _clean(node.label) for node in nodes}
    for node in nodes:
        mark = MARK.get(node.state, "·")
        needs = ", ".join(labels[up] for up in dict.fromkeys(node.upstream) if up in labels)
        detail = f"  {_clean(node.detail)}" if node.detail else ""
        lines.append(f"{indent}{mark} {labels[node.id]}{detail}" + (f"  ← {needs}" if needs else ""))
        _write(node.inside, indent + "    ", lines)


def _short(text: str) -> str:
    clean = _clean(text)
    return clean if len(clean) <= _LONGEST_LABEL else clean[: _LONGEST_LABEL - 1] + "…"


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _columns(text: str) -> int:
    """How wide a text is, in characters of the usual width."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
