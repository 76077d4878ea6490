"""Durations, sizes and texts for people."""

from __future__ import annotations

import pytest

from nbflow.views.words import bytes_text, one_line, plain, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.0123, "12 ms"), (1.25, "1.2 s"), (59.96, "1 min 00 s"), (75, "1 min 15 s"), (7322, "2 h 02 min")],
)
def test_durations(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (3e12, "3000.0 GB")])
def test_sizes(count, text):
    assert bytes_text(count) == text


def test_what_would_steer_a_terminal_is_replaced():
    assert plain("a\x1b[31mb\n\tc\x07") == "a�[31mb\n\tc�"


def test_one_line_is_one_line():
    assert one_line("a\n  b\tc", 4) == "a b…"
