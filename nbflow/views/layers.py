"""Where the boxes of a graph go: layers from top to bottom, edges around what lies between.

The layered layout of Sugiyama, Tagawa and Toda (1981): layers by longest path and of limited width, as Coffman and
Graham's; long edges through invisible bends; crossings reduced by barycentres; columns by least squares. Only
rectangles here: what they stand for and how they are drawn is the business of `graph`.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

GAP_X, GAP_Y = 22.0, 40.0
_WIDEST = 10  # boxes in a layer; more begin another one
_ORDERINGS = 8  # sweeps at most
_BEND = 10.0  # width kept free for an edge that passes a layer
# How strongly an edge pulls its ends into one column: a long edge should be straight before all else.
_PULL = {0: 1.0, 1: 2.0, 2: 8.0}  # by the number of its ends that are bends
_IMPLIED_PULL = 0.1  # of an edge that says nothing new


@dataclass(slots=True, eq=False)
class Box:
    """A rectangle to be placed."""

    width: float
    height: float
    x: float = 0.0  # of its middle
    y: float = 0.0  # of its top
    bottom: float = 0.0  # of its layer, which may be lower than its own
    bend: bool = False  # not a box, but a place where an edge passes
    place: float = 0.0  # in its layer, from the left
    wish: float = 0.0
    above: list[tuple[Box, float]] = field(default_factory=list)  # neighbours and how strongly they pull
    below: list[tuple[Box, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Route:
    """An edge: where it begins, bends and ends."""

    boxes: list[Box]
    implied: bool  # a longer way says the same


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Boxes in their places."""

    routes: list[Route]
    width: float
    height: float


def arrange(boxes: Sequence[Box], upstream: Sequence[Sequence[int]]) -> Arrangement:
    """Place boxes; `upstream` holds for each the positions of those it needs, which come before it."""
    depths = _depths(upstream)
    layers: list[list[Box]] = [[] for _ in range(max(depths, default=-1) + 1)]
    for box, depth in zip(boxes, depths, strict=True):
        layers[depth].append(box)
    routes = _routes(boxes, upstream, depths, layers)
    _order(layers)
    _set_columns(layers)
    return Arrangement(routes, _width(layers), _set_rows(layers))


def _depths(upstream: Sequence[Sequence[int]]) -> list[int]:
    depths: list[int] = []
    taken: list[int] = []  # boxes by layer
    for needs in upstream:
        depth = max((depths[need] for need in needs), default=-1) + 1
        while depth < len(taken) and taken[depth] >= _WIDEST:
            depth += 1
        taken.extend([0] * (depth + 1 - len(taken)))
        taken[depth] += 1
        depths.append(depth)
    return depths


def _routes(
    boxes: Sequence[Box], upstream: Sequence[Sequence[int]], depths: Sequence[int], layers: list[list[Box]]
) -> list[Route]:
    ancestors: list[int] = []  # sets of positions as bits
    routes = []
    for number, needs in enumerate(upstream):
        further = 0
        for need in needs:
            further |= ancestors[need]
        ancestors.append(further | sum(1 << need for need in needs))
        for need in needs:
            bends = [Box(_BEND, 0.0, bend=True) for _ in range(depths[need] + 1, depths[number])]
            for depth, bend in enumerate(bends, depths[need] + 1):
                layers[depth].append(bend)
            route = Route([boxes[need], *bends, boxes[number]], bool(further >> need & 1))
            _join(route)
            routes.append(route)
    return routes


def _join(route: Route) -> None:
    for upper, lower in zip(route.boxes, route.boxes[1:], strict=False):
        pull = _IMPLIED_PULL if route.implied else _PULL[upper.bend + lower.bend]
        upper.below.append((lower, pull))
        lower.above.append((upper, pull))


# --- order in a layer --------------------------------------------------------------------------------------------


def _order(layers: list[list[Box]]) -> None:
    """Sort each layer so that few edges cross; the best order that was met stays."""
    _number(layers)
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_ORDERINGS):
        if not fewest:
            return
        side, ordered = (_above, layers) if sweep % 2 == 0 else (_below, layers[::-1])
        for layer in ordered:
            for box in layer:
                around = side(box)
                box.wish = sum([other.place for other, _ in around]) / len(around) if around else box.place
            layer.sort(key=_wish)
            for place, box in enumerate(layer):
                box.place = place
        found = _crossings(layers)
        if found < fewest:
            best, fewest = [list(layer) for layer in layers], found
    layers[:] = best
    _number(layers)


def _number(layers: list[list[Box]]) -> None:
    for layer in layers:
        for place, box in enumerate(layer):
            box.place = place


def _crossings(layers: list[list[Box]]) -> int:
    count = 0
    for layer in layers:
        ends: list[float] = []  # of edges met so far, from the left
        for box in layer:
            mine = [other.place for other, _ in box.below]
            for end in mine:
                count += len(ends) - bisect_right(ends, end)
            for end in mine:
                insort(ends, end)
    return count


def _above(box: Box) -> list[tuple[Box, float]]:
    return box.above


def _below(box: Box) -> list[tuple[Box, float]]:
    return box.below


def _around(box: Box) -> list[tuple[Box, float]]:
    return box.above + box.below


def _wish(box: Box) -> float:
    return box.wish


# --- columns and rows --------------------------------------------------------------------------------------------


def _set_columns(layers: list[list[Box]]) -> None:
    """Give boxes their x: near the middle of what they are joined to, and never over one another."""
    for layer in layers:
        _spread(layer, lambda box: [])
    for side, ordered in (
        (_above, layers), (_below, layers[::-1]), (_above, layers), (_below, layers[::-1]),
        (_around, layers), (_around, layers[::-1]), (_around, layers),
    ):  # fmt: skip
        for layer in ordered:
            _spread(layer, side)
    left = min((box.x - box.width / 2 for layer in layers for box in layer), default=0.0)
    for layer in layers:
        for box in layer:
            box.x -= left


def _spread(layer: list[Box], side: Callable[[Box], list[tuple[Box, float]]]) -> None:
    """Put a layer's boxes as near to their neighbours as order and widths allow.

    Least squares: with the least distances taken off, positions may only grow from left to right, and the best such
    positions are found by merging neighbours that are in the wrong order (pool adjacent violators).
    """
    offsets: list[float] = []
    blocks: list[tuple[float, float, int]] = []  # weight, weight times position, boxes
    offset = 0.0
    for number, box in enumerate(layer):
        if number:
            offset += (layer[number - 1].width + box.width) / 2 + GAP_X
        offsets.append(offset)
        around = side(box)
        weight = sum([pull for _, pull in around]) or 0.01
        wanted = sum([other.x * pull for other, pull in around]) / weight if around else box.x
        block = (weight, weight * (wanted - offset), 1)
        while blocks and blocks[-1][1] * block[0] > block[1] * blocks[-1][0]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    positions = [moment / weight for weight, moment, count in blocks for _ in range(count)]
    for box, position, least in zip(layer, positions, offsets, strict=True):
        box.x = position + least


def _width(layers: list[list[Box]]) -> float:
    return max((box.x + box.width / 2 for layer in layers for box in layer), default=0.0)


def _set_rows(layers: list[list[Box]]) -> float:
    y = 0.0
    for layer in layers:
        tallest = max([box.height for box in layer])
        for box in layer:
            box.y, box.bottom = y, y + tallest
            if box.bend:
                box.height = tallest  # the edge goes straight down beside the tallest box
        y += tallest + GAP_Y
    return max(0.0, y - GAP_Y)
