"""Where boxes go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.views.layers import GAP_X, Arrangement, Box, arrange


def boxes(count):
    return [Box(80.0 + 10 * (number % 5), 40.0) for number in range(count)]


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 25))
    return [
        draw(st.lists(st.integers(0, number - 1), unique=True, max_size=4)) if number else [] for number in range(count)
    ]


def passed(arrangement: Arrangement):
    """Every box and bend that an edge touches."""
    return [box for route in arrangement.routes for box in route.boxes]


@given(graphs())
def test_no_box_or_bend_covers_another(upstream):
    placed = boxes(len(upstream))
    arrangement = arrange(placed, upstream)
    everything = list({id(box): box for box in [*placed, *passed(arrangement)]}.values())
    for one in everything:
        for other in everything:
            if one is not other and one.y == other.y:
                assert abs(one.x - other.x) >= (one.width + other.width) / 2 + GAP_X - 1e-6


@given(graphs())
def test_edges_lead_downwards_and_stay_inside_the_picture(upstream):
    arrangement = arrange(boxes(len(upstream)), upstream)
    for route in arrangement.routes:
        rows = [box.y for box in route.boxes]
        assert rows == sorted(set(rows))
    for box in passed(arrangement):
        assert -1e-6 <= box.x - box.width / 2 <= box.x + box.width / 2 <= arrangement.width + 1e-6
        assert box.bottom <= arrangement.height


def test_each_need_has_its_edge():
    arrangement = arrange(boxes(4), [[], [0], [0], [1, 2]])
    assert len(arrangement.routes) == 4


def test_a_chain_is_one_straight_column():
    chain = boxes(5)
    arrange(chain, [[], [0], [1], [2], [3]])
    assert max(box.x for box in chain) - min(box.x for box in chain) < 0.01


def test_crossings_that_can_be_avoided_are_avoided():
    placed = boxes(4)
    arrange(placed, [[], [], [1], [0]])
    assert (placed[0].x < placed[1].x) == (placed[3].x < placed[2].x)


@pytest.mark.parametrize(("upstream", "implied"), [([[], [0], [0, 1]], 1), ([[], [], [0, 1]], 0)])
def test_an_edge_that_a_longer_way_implies_is_marked(upstream, implied):
    assert sum(route.implied for route in arrange(boxes(3), upstream).routes) == implied


def test_a_layer_of_very_many_boxes_is_broken_into_rows():
    placed = boxes(35)
    assert arrange(placed, [[] for _ in placed]).width < 1500
    assert len({box.y for box in placed}) == 4


def test_nothing_takes_no_space():
    assert arrange([], []) == Arrangement([], 0.0, 0.0)
