"""Where the boxes of a graph go: layers from top to bottom, edges around what lies between.

The layered layout of Sugiyama, Tagawa and Toda (1981): layers by longest path and of limited width, as Coffman and
Graham's; long edges through invisible bends; crossings reduced by barycentres; columns by least squares. Only
rectangles here: what they stand for and how they are drawn is the business of `graph`.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

GAP_X, GAP_Y = 22.0, 40.0
_WIDEST = 10  # boxes in a layer; more begin another one
_ORDERINGS = 8  # sweeps at most
_IN_VAIN = 3  # sweeps in a row that find nothing better
_BEND = 10.0  # width kept free for an edge that passes a layer
# How strongly an edge pulls its ends into one column: a long edge should be straight before all else.
_PULL = {0: 1.0, 1: 2.0, 2: 8.0}  # by the number of its ends that are bends
_STILL = 0.5  # pixels; where nothing moves further, another round changes nothing that can be seen
_IMPLIED_PULL = 0.1  # of an edge that says nothing new
_BRANCH_PULL = 0.001  # between a trunk and its branches, which together would bend it


@dataclass(slots=True, eq=False)
class Box:
    """A rectangle to be placed."""

    width: float
    height: float
    x: float = 0.0  # of its middle
    y: float = 0.0  # of its top
    bottom: float = 0.0  # of its layer, which may be lower than its own
    bend: bool = False  # not a box, but a place where an edge passes
    shared: bool = False  # by several edges
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
    joined: dict[tuple[int, int], bool] = {}  # neighbouring boxes → whether only edges that say nothing new join them
    trunks = _Trunks(upstream, depths, layers)
    routes = []
    for number, needs in enumerate(upstream):
        further = 0
        for need in needs:
            further |= ancestors[need]
        ancestors.append(further | sum(1 << need for need in needs))
        for need in needs:
            route = Route([boxes[need], *trunks.bends(need, number), boxes[number]], bool(further >> need & 1))
            _join(route, joined)
            routes.append(route)
    return routes


class _Trunks:
    """The bends of long edges. Those that leave one box, or end at one, share their bends, as branches do a trunk."""

    def __init__(self, upstream: Sequence[Sequence[int]], depths: Sequence[int], layers: list[list[Box]]) -> None:
        self._depths = depths
        self._layers = layers
        self._leaving: Counter[int] = Counter()  # long edges by the box where they begin
        self._ending: Counter[int] = Counter()
        self._bends: dict[tuple[bool, int, int], Box] = {}  # by whether it leaves, the box, and the layer
        for number, needs in enumerate(upstream):
            for need in needs:
                if depths[number] - depths[need] > 1:
                    self._leaving[need] += 1
                    self._ending[number] += 1

    def bends(self, need: int, number: int) -> list[Box]:
        """Where the edge between two boxes passes the layers between them."""
        between = range(self._depths[need] + 1, self._depths[number])
        leaves = self._leaving[need] > 1
        shared = leaves or self._ending[number] > 1
        return [self._at((leaves, need if leaves else number, depth), shared=shared) for depth in between]

    def _at(self, place: tuple[bool, int, int], *, shared: bool) -> Box:
        found = self._bends.get(place)
        if found is None:
            found = self._bends[place] = Box(_BEND, 0.0, bend=True, shared=shared)
            self._layers[place[2]].append(found)
        return found


def _join(route: Route, joined: dict[tuple[int, int], bool]) -> None:
    """Have neighbours pull each other, once, however many edges share the way."""
    for upper, lower in zip(route.boxes, route.boxes[1:], strict=False):
        pair = id(upper), id(lower)
        known = joined.get(pair)
        if known is None or (known and not route.implied):
            joined[pair] = route.implied
            pull = _IMPLIED_PULL if route.implied else _PULL[upper.bend + lower.bend]
            if upper.bend != lower.bend and (upper.shared or lower.shared):
                pull = _BRANCH_PULL
            if known is not None:
                upper.below = [each for each in upper.below if each[0] is not lower]
                lower.above = [each for each in lower.above if each[0] is not upper]
            upper.below.append((lower, pull))
            lower.above.append((upper, pull))


# --- order in a layer --------------------------------------------------------------------------------------------


def _order(layers: list[list[Box]]) -> None:
    """Sort each layer so that few edges cross; the best order that was met stays."""
    _number(layers)
    best, fewest, in_vain = [list(layer) for layer in layers], _crossings(layers), 0
    for sweep in range(_ORDERINGS):
        if not fewest or in_vain == _IN_VAIN:
            break
        side, ordered = (_above, layers) if sweep % 2 == 0 else (_below, layers[::-1])
        for layer in ordered:
            for box in layer:
                around = side(box)
                box.wish = sum([other.place for other, _ in around]) / len(around) if around else box.place
            layer.sort(key=_wish)
            for place, box in enumerate(layer):
                box.place = place
        found = _crossings(layers)
        in_vain += 1
        if found < fewest:
            best, fewest, in_vain = [list(layer) for layer in layers], found, 0
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


def _nothing(box: Box) -> list[tuple[Box, float]]:
    return []


def _wish(box: Box) -> float:
    return box.wish


# --- columns and rows --------------------------------------------------------------------------------------------


def _set_columns(layers: list[list[Box]]) -> None:
    """Give boxes their x: near the middle of what they are joined to, and never over one another."""
    for layer in layers:
        _spread(layer, _nothing)
    for sides in ((_above, _below), (_above, _below), (_around, _around), (_around,)):
        moved = 0.0
        for side, ordered in zip(sides, (layers, layers[::-1]), strict=False):
            for layer in ordered:
                moved = max(moved, _spread(layer, side))
        if moved < _STILL and sides[0] is _around:
            break
    left = min((box.x - box.width / 2 for layer in layers for box in layer), default=0.0)
    for layer in layers:
        for box in layer:
            box.x -= left


def _spread(layer: list[Box], side: Callable[[Box], list[tuple[Box, float]]]) -> float:
    """Put a layer's boxes as near to their neighbours as order and widths allow; how far one of them moved.

    Least squares: with the least distances taken off, positions may only grow from left to right, and the best such
    positions are found by merging neighbours that are in the wrong order (pool adjacent violators).
    """
    offsets: list[float] = []
    blocks: list[tuple[float, float, int]] = []  # weight, weight times position, boxes
    offset = half = 0.0
    for box in layer:
        if offsets:
            offset += half + box.width / 2 + GAP_X
        half = box.width / 2
        offsets.append(offset)
        weight = moment = 0.0
        for other, pull in side(box):
            weight += pull
            moment += other.x * pull
        if not weight:
            weight, moment = 0.01, box.x * 0.01
        block = (weight, moment - weight * offset, 1)
        while blocks and blocks[-1][1] * block[0] > block[1] * blocks[-1][0]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    positions = [moment / weight for weight, moment, count in blocks for _ in range(count)]
    moved = 0.0
    for box, position, least in zip(layer, positions, offsets, strict=True):
        x = position + least
        if abs(x - box.x) > moved:
            moved = abs(x - box.x)
        box.x = x
    return moved


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
