"""Colours and marks of states."""

from __future__ import annotations

import pytest

from nbflow.model.states import State
from nbflow.views import palette

STATES = {state.value for state in State}


@pytest.mark.parametrize("table", [palette.MARK, palette.TERMINAL, palette.FILL])
def test_every_state_has_its_entry(table):
    assert STATES <= set(table)


def test_marks_are_different_and_one_character():
    assert len({palette.MARK[state] for state in STATES}) == len(STATES)
    assert {len(mark) for mark in palette.MARK.values()} == {1}


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#ffffff", "#262626"])
@pytest.mark.parametrize("state", ["succeeded", "failed", "running"])
def test_what_matters_most_can_be_seen_on_light_and_dark_ground(state, ground):
    light, dark = sorted((luminance(palette.FILL[state]), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 2.5
