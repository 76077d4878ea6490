"""Graphs of steps and tasks, laid out here and drawn as SVG or text.

The layout is the layered one of Sugiyama, Tagawa and Toda (1981): layers by longest path, long edges through invisible
nodes, crossings reduced by barycentres. A sub-flow is a box that is laid out by itself; edges never cross its border.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from nbflow.views.palette import FILL, MARK

_CHARACTER = 7.2  # pixels of a character at 12 px
_HEIGHT = 40.0  # of a node
_GAP_X, _GAP_Y = 26.0, 44.0
_PADDING = 16.0  # inside a box and around the picture
_TITLE = 22.0  # height of a box's title
_SWEEPS = 6
_LONGEST_LABEL = 30  # characters


@dataclass(frozen=True, slots=True)
class Node:
    """A step, a task, or a sub-flow with what is in it."""

    id: str
    label: str
    state: str = "planned"  # a state of model.states, or "planned" before any run
    detail: str = ""  # second line: duration, error, number of tries
    hint: str = ""  # shown when pointed at
    upstream: tuple[str, ...] = ()  # ids of nodes of the same level
    inside: tuple[Node, ...] = ()  # what a sub-flow is made of


@dataclass(slots=True)
class _Placed:
    """A node with its place, relative to the level that it belongs to."""

    node: Node | None  # None: a bend of a long edge
    width: float
    height: float
    x: float = 0.0  # of its middle
    y: float = 0.0  # of its top
    level: _Level | None = None


@dataclass(slots=True)
class _Level:
    """The nodes of one flow, placed."""

    placed: list[_Placed] = field(default_factory=list)
    edges: list[list[_Placed]] = field(default_factory=list)  # each with its bends
    width: float = 0.0
    height: float = 0.0


class Picture:
    """A graph that shows itself: as SVG where that can be shown, as text elsewhere."""

    def __init__(self, nodes: Sequence[Node], title: str = "") -> None:
        self.nodes = tuple(nodes)
        self.title = title

    def svg(self) -> str:
        """The graph as SVG, without scripts, for light and dark ground."""
        level = _lay_out(self.nodes)
        width, height = level.width + 2 * _PADDING, level.height + 2 * _PADDING
        body: list[str] = []
        _draw(level, _PADDING, _PADDING, body)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" aria-label="{escape(self.title or "graph of steps")}">'
            f"{_STYLE}{_ARROW}{''.join(body)}</svg>"
        )

    def text(self) -> str:
        """The graph for a terminal: every node with what it needs, indented by sub-flow."""
        lines = [self.title] if self.title else []
        _write(self.nodes, "", lines)
        return "\n".join(lines)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"image/svg+xml": self.svg(), "text/plain": self.text()}

    def __repr__(self) -> str:
        return self.text()


_STYLE = (
    "<style>"
    ".nb-t{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1c1c1c}.nb-d{font-size:10px;fill:#555}"
    ".nb-n{fill:#fff;stroke-width:2}.nb-b{fill:none;stroke-width:1.5;stroke-dasharray:none}"
    ".nb-e{fill:none;stroke:#999;stroke-width:1.3}.nb-o{stroke-dasharray:3 3}.nb-a{fill:#999}"
    "@media(prefers-color-scheme:dark){.nb-t{fill:#eee}.nb-d{fill:#aaa}.nb-n{fill:#222}}"
    "</style>"
)
_ARROW = (
    '<defs><marker id="nb-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="nb-a" d="M0 0L8 4L0 8z"/></marker></defs>'
)


def _lay_out(nodes: Sequence[Node]) -> _Level:
    layers, edges = _layers([_place(node) for node in nodes])
    _reduce_crossings(layers, edges)
    _set_columns(layers, edges)
    level = _Level([placed for layer in layers for placed in layer], edges)
    y = 0.0
    for layer in layers:
        tallest = max((placed.height for placed in layer), default=0.0)
        for placed in layer:
            if placed.node is None:
                placed.height = tallest  # an edge goes straight through, past the tallest node
            placed.y = y + (tallest - placed.height) / 2
        y += tallest + _GAP_Y
    level.height = max(0.0, y - _GAP_Y)
    level.width = max((placed.x + placed.width / 2 for placed in level.placed), default=0.0)
    return level


def _place(node: Node) -> _Placed:
    label = max(len(_short(node.label)) + 2, int(len(_short(node.detail)) * 0.85))
    width, height = max(84.0, label * _CHARACTER + 20), _HEIGHT
    if not node.inside:
        return _Placed(node, width, height)
    level = _lay_out(node.inside)
    return _Placed(node, max(width, level.width + 2 * _PADDING), level.height + 2 * _PADDING + _TITLE, level=level)


def _layers(nodes: list[_Placed]) -> tuple[list[list[_Placed]], list[list[_Placed]]]:
    """Layers from top to bottom, with a bend in each layer that an edge passes through."""
    by_id = {placed.node.id: placed for placed in nodes if placed.node is not None}
    depth: dict[str, int] = {}
    for placed in nodes:  # nodes come after what they need: tasks in the order of their calls
        assert placed.node is not None  # bends come later
        known = [depth[up] for up in placed.node.upstream if up in depth]
        depth[placed.node.id] = max(known) + 1 if known else 0
    layers: list[list[_Placed]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    edges: list[list[_Placed]] = []
    for placed in nodes:
        assert placed.node is not None
        layers[depth[placed.node.id]].append(placed)
    for placed in nodes:
        assert placed.node is not None
        for up in dict.fromkeys(placed.node.upstream):
            if up not in by_id:
                continue
            bends = [_Placed(None, 8.0, 0.0) for _ in range(depth[up] + 1, depth[placed.node.id])]
            for number, bend in enumerate(bends, depth[up] + 1):
                layers[number].append(bend)
            edges.append([by_id[up], *bends, placed])
    return layers, edges


def _neighbours(edges: Iterable[list[_Placed]]) -> tuple[dict[int, list[_Placed]], dict[int, list[_Placed]]]:
    above: dict[int, list[_Placed]] = {}
    below: dict[int, list[_Placed]] = {}
    for edge in edges:
        for upper, lower in pairwise(edge):
            above.setdefault(id(lower), []).append(upper)
            below.setdefault(id(upper), []).append(lower)
    return above, below


def _reduce_crossings(layers: list[list[_Placed]], edges: list[list[_Placed]]) -> None:
    above, below = _neighbours(edges)
    place = {id(placed): float(n) for layer in layers for n, placed in enumerate(layer)}
    for sweep in range(_SWEEPS):
        around, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            middle = {
                id(placed): sum(place[id(other)] for other in around[id(placed)]) / len(around[id(placed)])
                if id(placed) in around
                else place[id(placed)]
                for placed in layer
            }
            layer.sort(key=lambda placed: middle[id(placed)])
            place.update({id(placed): float(n) for n, placed in enumerate(layer)})


def _set_columns(layers: list[list[_Placed]], edges: list[list[_Placed]]) -> None:
    """Give nodes their x: near the middle of what they are joined to, and never over one another."""
    above, below = _neighbours(edges)
    for layer in layers:
        _spread(layer, [0.0] * len(layer))
    for sweep in range(_SWEEPS):
        around, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            wanted = [
                sum(other.x for other in around[id(placed)]) / len(around[id(placed)])
                if id(placed) in around
                else placed.x
                for placed in layer
            ]
            _spread(layer, wanted)
    left = min((placed.x - placed.width / 2 for layer in layers for placed in layer), default=0.0)
    for layer in layers:
        for placed in layer:
            placed.x -= left


def _spread(layer: list[_Placed], wanted: list[float]) -> None:
    """Put a layer's nodes as near to where they want to be as their order and widths allow."""
    forward: list[float] = []
    for placed, x in zip(layer, wanted, strict=True):
        least = forward[-1] + _apart(layer[len(forward) - 1], placed) if forward else x
        forward.append(max(x, least))
    backward: list[float] = []
    for position in range(len(layer) - 1, -1, -1):
        x = wanted[position]
        most = backward[-1] - _apart(layer[position], layer[position + 1]) if backward else x
        backward.append(min(x, most))
    for placed, one, other in zip(layer, forward, reversed(backward), strict=True):
        placed.x = (one + other) / 2  # both keep the distances, and so does what lies between them


def _apart(left: _Placed, right: _Placed) -> float:
    return (left.width + right.width) / 2 + _GAP_X


def _draw(level: _Level, x: float, y: float, out: list[str]) -> None:
    out += [_edge(edge, x, y) for edge in level.edges]
    for placed in level.placed:
        if placed.node is not None:
            _draw_node(placed, placed.node, x, y, out)


def _edge(edge: list[_Placed], x: float, y: float) -> str:
    x0, y0 = edge[0].x + x, edge[0].y + edge[0].height + y
    path = f"M{x0:.1f} {y0:.1f}"
    for placed in edge[1:]:
        x1, y1 = placed.x + x, placed.y + y - (placed.node is not None)
        middle = (y0 + y1) / 2
        path += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
        x0, y0 = x1, y1
        if placed.node is None:
            y0 += placed.height
            path += f"V{y0:.1f}"
    return f'<path class="nb-e" d="{path}" marker-end="url(#nb-arrow)"/>'


def _draw_node(placed: _Placed, node: Node, x: float, y: float, out: list[str]) -> None:
    left, top = placed.x - placed.width / 2 + x, placed.y + y
    colour = FILL[node.state]
    still_open = " nb-o" if node.state in ("pending", "ready", "running", "planned") else ""
    hint = f"<title>{escape(_clean(node.hint))}</title>" if node.hint else ""
    mark = MARK.get(node.state, "")
    label = escape(f"{mark} {_short(node.label)}".strip())
    middle = placed.x + x
    if placed.level is not None:
        out.append(
            f'<g>{hint}<rect class="nb-b{still_open}" stroke="{colour}" x="{left:.1f}" y="{top:.1f}" rx="6" '
            f'width="{placed.width:.1f}" height="{placed.height:.1f}"/>'
            f'<text class="nb-t" x="{left + 10:.1f}" y="{top + 16:.1f}">{label}'
            f'<tspan class="nb-d" dx="6">{escape(_short(node.detail))}</tspan></text></g>'
        )
        inner = left + (placed.width - placed.level.width) / 2
        _draw(placed.level, inner, top + _TITLE + _PADDING, out)
        return
    line = placed.y + y + (17 if node.detail else 24)
    out.append(
        f'<g>{hint}<rect class="nb-n{still_open}" stroke="{colour}" x="{left:.1f}" y="{top:.1f}" rx="20" '
        f'width="{placed.width:.1f}" height="{placed.height:.1f}"/>'
        f'<text class="nb-t" x="{middle:.1f}" y="{line:.1f}" text-anchor="middle">{label}</text>'
    )
    if node.detail:
        out.append(
            f'<text class="nb-t nb-d" x="{middle:.1f}" y="{line + 14:.1f}" text-anchor="middle">'
            f"{escape(_short(node.detail))}</text>"
        )
    out.append("</g>")


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
