"""A graph as SVG: nodes in their places, each drawn on its own so that one can be drawn anew where it stands.

The SVG has no scripts and no fonts of its own, follows the reader's light or dark theme, and all text in it stands on a
ground that it brings along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

from nbflow.views.layers import Arrangement, Box, Route, arrange
from nbflow.views.palette import FILL, MARK

if TYPE_CHECKING:
    from nbflow.views.graph import Node

_CHARACTER = 7.2  # pixels of a character at 12 px
_SMALL = 6.2  # and at 10 px
_HEIGHT = 40.0  # of a node
_NARROWEST = 96.0  # a node, so that most details fit into it that come later
_PADDING = 16.0  # inside a box and around the picture
_TITLE = 22.0  # height of a box's title
_LONGEST_LABEL = 30  # characters
_OPEN = ("pending", "ready", "running", "planned")
_TINTED = ("running", "failed", "timed_out")  # states that the eye should find first

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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands in a picture."""

    node: Node
    left: float
    top: float
    width: float
    height: float
    folded: bool  # a sub-flow of which only the name is shown

    @property
    def is_box(self) -> bool:
        """Whether it is drawn around others."""
        return bool(self.node.inside) and not self.folded


@dataclass(frozen=True, slots=True)
class Drawing:
    """A graph in its places."""

    places: tuple[Place, ...]  # boxes before what is in them
    edges: tuple[str, ...]  # drawn; beneath the nodes of their box, and above the box
    order: tuple[int, ...]  # how many of the edges come before each place
    width: float
    height: float

    def svg(self, title: str = "", *, key: str | None = None, live: bool = False) -> str:
        """The whole picture. `key`: its id in a page. `live`: styled by the page, with handles to fold groups by."""
        body: list[str] = []
        done = 0
        for place, before in zip(self.places, self.order, strict=True):
            body += self.edges[done:before]
            done = before
            body.append(drawn(place, live=live))
        identity = f' id="{escape(key)}"' if key is not None else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg"{identity} viewBox="0 0 {self.width:.0f} {self.height:.0f}" '
            f'width="{self.width:.0f}" height="{self.height:.0f}" role="img" '
            f'aria-label="{escape(clean(title) or "graph of steps")}">'
            f"{'' if live else _STYLE}{''.join(body)}{''.join(self.edges[done:])}</svg>"
        )

    def outline(self) -> list[tuple[object, ...]]:
        """What has to be the same for nodes to be drawn anew in their places."""
        shapes = [(place.node.id, place.left, place.top, place.width, place.height) for place in self.places]
        return [*shapes, self.edges]


def lay_out(nodes: Sequence[Node], folded: frozenset[str] = frozenset()) -> Drawing:
    """Find a place for each node; `folded`: ids of sub-flows of which only the name is shown."""
    level = _lay_out(nodes, folded)
    places: list[Place] = []
    edges: list[str] = []
    order: list[int] = []
    _collect(level, _PADDING, _PADDING, (places, edges, order))
    width, height = level.arrangement.width + 2 * _PADDING, level.arrangement.height + 2 * _PADDING
    return Drawing(tuple(places), tuple(edges), tuple(order), width, height)


@dataclass(frozen=True, slots=True)
class _Level:
    """The nodes of one flow in their places."""

    nodes: tuple[tuple[Node, Box, _Level | None], ...]
    arrangement: Arrangement


def _lay_out(nodes: Sequence[Node], folded: frozenset[str]) -> _Level:
    position = {node.id: number for number, node in enumerate(nodes)}
    upstream = [
        [position[up] for up in dict.fromkeys(node.upstream) if position.get(up, number) < number]
        for number, node in enumerate(nodes)
    ]
    placed = tuple((node, *_box(node, folded)) for node in nodes)
    return _Level(placed, arrange([box for _, box, _ in placed], upstream))


def _box(node: Node, folded: frozenset[str]) -> tuple[Box, _Level | None]:
    if not node.inside or node.id in folded:
        extra = _CHARACTER * 2 if node.inside else 0.0  # the handle
        detail = _columns(short(_detail(node, folded=node.id in folded))) * _SMALL + 20
        return Box(max(_NARROWEST, (_columns(short(node.label)) + 2) * _CHARACTER + 20 + extra, detail), _HEIGHT), None
    level = _lay_out(node.inside, folded)
    title = (_columns(short(node.label)) + _columns(short(node.detail)) + 4) * _CHARACTER
    return Box(
        max(title + 20, level.arrangement.width + 2 * _PADDING), level.arrangement.height + 2 * _PADDING + _TITLE
    ), level


def _collect(level: _Level, x: float, y: float, into: tuple[list[Place], list[str], list[int]]) -> None:
    places, edges, order = into
    edges += _edges(level.arrangement.routes, x, y)
    for node, box, inside in level.nodes:
        folded = inside is None and bool(node.inside)
        places.append(Place(node, box.x - box.width / 2 + x, box.y + y, box.width, box.height, folded))
        order.append(len(edges))
        if inside is not None:
            left = box.x - inside.arrangement.width / 2 + x
            _collect(inside, left, box.y + y + _TITLE + _PADDING, into)


def _edges(routes: Iterable[Route], x: float, y: float) -> Iterator[str]:
    """Lines with a tip at their end; what several edges share is drawn once, the faint ones beneath."""
    for faint in (True, False):
        drawn: set[tuple[int, int]] = set()
        for route in routes:
            if route.implied is not faint:
                continue
            pairs = [(id(upper), id(lower)) for upper, lower in pairwise(route.boxes)]
            fresh = [number for number, pair in enumerate(pairs) if pair not in drawn]
            drawn.update(pairs)
            if fresh:
                yield _edge(route.boxes[fresh[0] : fresh[-1] + 2], x, y, faint=faint)


def _edge(boxes: Sequence[Box], x: float, y: float, *, faint: bool) -> str:
    """Curves between the layers, straight lines beside the boxes of a layer, and a tip where it reaches a box."""
    start = boxes[0]
    x0, y0 = start.x + x, start.bottom + y
    path = f"M{x0:.1f} {start.y + start.height + y:.1f}V{y0:.1f}"
    for box in boxes[1:]:
        x1, y1 = box.x + x, box.y + y
        end = y1 if box.bend else y1 - 6
        middle = (y0 + end) / 2
        path += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {end:.1f}"
        if box.bend:
            path += f"V{box.bottom + y:.1f}"
        x0, y0 = x1, box.bottom + y
    last = boxes[-1]
    kind = " nb-i" if faint else ""
    line = f'<path class="nb-e{kind}" d="{path}"/>'
    if last.bend:
        return line
    return f'{line}<path class="nb-a{kind}" d="M{last.x + x:.1f} {last.y + y - 1:.1f}l-3.5 -7h7z"/>'


# --- one node ----------------------------------------------------------------------------------------------------


def drawn(place: Place, *, live: bool = False) -> str:
    """One node, or the frame and title of a box, as a group that carries its id and its state."""
    node = place.node
    fold = f' data-fold="{"closed" if place.folded else "open"}"' if live and node.inside else ""
    parts = "".join(_box_parts(place, live=live) if place.is_box else _node_parts(place, live=live))
    return f'<g data-id="{escape(clean(node.id))}" data-state="{node.state}"{fold}>{_hint(node)}{parts}</g>'


def _node_parts(place: Place, *, live: bool) -> Iterator[str]:
    node, left, top = place.node, place.left, place.top
    detail = short(_detail(node, folded=place.folded))
    middle, line = left + place.width / 2, top + (17 if detail else 24)
    if place.folded:  # the edge of another one behind it
        yield _rectangle(place, "nb-b", shift=4.0)
    yield _rectangle(place, "nb-n")
    yield f'<text class="nb-t" x="{middle:.1f}" y="{line:.1f}" text-anchor="middle">{_label(node)}</text>'
    if detail:
        small = f'class="nb-t nb-d" x="{middle:.1f}" y="{line + 14:.1f}" text-anchor="middle"'
        yield f"<text {small}>{escape(detail)}</text>"
    if node.progress is not None and node.state == "running":
        done = max(0.0, min(1.0, node.progress)) * (place.width - 16)
        bar = f'x="{left + 8:.1f}" y="{top + 34:.1f}" width="{done:.1f}" height="3" rx="1.5"'
        yield f'<rect {bar} fill="{FILL["running"]}"/>'
    if live and node.inside:
        yield _handle("▸", left + 6, top + 16)


def _box_parts(place: Place, *, live: bool) -> Iterator[str]:
    node, left, top = place.node, place.left, place.top
    yield _rectangle(place, "nb-b")
    start = left + (24 if live else 12)
    yield f'<text class="nb-t" x="{start:.1f}" y="{top + 17:.1f}">{_label(node)}'
    yield f'<tspan class="nb-d" dx="6">{escape(short(node.detail))}</tspan></text>'
    if live:
        yield _handle("▾", left + 8, top + 17)


def _handle(sign: str, x: float, y: float) -> str:
    """What folds and unfolds a group."""
    ground = f'<rect x="{x - 6:.1f}" y="{y - 15:.1f}" width="22" height="22" fill="transparent"/>'
    return f'<g class="nb-f">{ground}<text class="nb-t" x="{x:.1f}" y="{y:.1f}">{sign}</text></g>'


def _rectangle(place: Place, kind: str, shift: float = 0.0) -> str:
    state, colour = place.node.state, FILL[place.node.state]
    at = f'x="{place.left + shift:.1f}" y="{place.top + shift:.1f}"'
    where = f'{at} width="{place.width:.1f}" height="{place.height:.1f}" rx="8"'
    still_open = " nb-o" if state in _OPEN else ""
    tint = f'<rect {where} fill="{colour}" fill-opacity=".16"/>' if state in _TINTED and kind == "nb-n" else ""
    return f'<rect class="{kind}{still_open}" stroke="{colour}" {where}/>{tint}'


def _detail(node: Node, *, folded: bool) -> str:
    if not folded:
        return node.detail
    inside = f"{_count(node.inside)} inside"
    return f"{node.detail}, {inside}" if node.detail else inside


def _count(nodes: Iterable[Node]) -> int:
    return sum(1 + _count(node.inside) for node in nodes)


def _hint(node: Node) -> str:
    lines = [clean(line) for line in node.hint.splitlines()]
    return f"<title>{escape(chr(10).join(lines))}</title>" if node.hint else ""


def _label(node: Node) -> str:
    label = escape(short(node.label))
    mark = MARK.get(node.state)
    return label if mark is None else f'<tspan fill="{FILL[node.state]}">{mark}</tspan> {label}'


def short(text: str) -> str:
    """Text for a node: printable, and cut with an ellipsis where it would make the picture wide."""
    whole = clean(text)
    return whole if len(whole) <= _LONGEST_LABEL else whole[: _LONGEST_LABEL - 1] + "…"


def clean(text: str) -> str:
    """Text in one line, without what would steer a terminal or break an SVG."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def _columns(text: str) -> int:
    """How wide a text is, in characters of the usual width."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(char) in "WF" else 1 for char in text)
