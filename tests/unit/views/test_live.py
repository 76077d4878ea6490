"""The outputs of a running flow's cells, as a notebook's front end gets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from nbflow.model.events import OUTPUT, RUN_FINISHED, RUN_STARTED, Event
from nbflow.views.live import LiveOutputs
from tests.servers import wait_until


class FrontEnd:
    """Takes displays as a front end does."""

    def __init__(self, publisher: Any) -> None:
        self._publisher = publisher

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self._publisher.outputs)

    def places(self) -> list[dict[str, Any]]:
        """What stands on the page now, place by place."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages:
            identity = message["transient"]["display_id"]
            assert message["update"] is (identity in found), "shown once, and from then on updated"
            found[identity] = message["data"]
        return list(found.values())

    def texts(self) -> list[str]:
        return [place["text/plain"] for place in self.places()]


@pytest.fixture
def page() -> Iterator[FrontEnd]:
    InteractiveShell.clear_instance()
    shell: Any = InteractiveShell.instance(display_pub_class=CapturingDisplayPublisher)
    yield FrontEnd(shell.display_pub)
    InteractiveShell.clear_instance()


def told(stream: str, text: str, *, seq: int = 1, kind: str = "cells") -> Event:
    return Event(OUTPUT, "run", 1.0, seq, {"kind": kind, "name": f"step-{seq}", "stream": stream, "text": text})


def cell(number: int, *outputs: tuple[str, str], seq: int = 1) -> list[Event]:
    start, end = json.dumps({"number": number, "started": 1.0}), json.dumps({"number": number, "finished": 2.0})
    return [told("cell", start, seq=seq), *[told(*each, seq=seq) for each in outputs], told("cell_end", end, seq=seq)]


def shown(*events: Event) -> None:
    """Have a run tell these events, and end."""
    live = LiveOutputs()
    live([Event(RUN_STARTED, "run", 0.0, None, {}), *events])
    live([Event(RUN_FINISHED, "run", 9.0, None, {})])


def rich(**data: str) -> tuple[str, str]:
    return "display", json.dumps({"data": data, "metadata": {}, "transient": {}, "update": False})


def test_each_cell_has_a_place_of_its_own_under_its_number_and_step(page: FrontEnd) -> None:
    shown(*cell(2, ("stdout", "two\n"), seq=2), *cell(1, ("stdout", "one\n")))
    assert page.texts() == ["[1] step-1\none", "[2] step-2\ntwo"]


def test_a_cell_that_shows_nothing_has_no_place(page: FrontEnd) -> None:
    shown(*cell(1), *cell(2, ("stdout", "two")))
    assert page.texts() == ["[2] step-1\ntwo"]


def test_outputs_of_cells_that_run_side_by_side_do_not_mix(page: FrontEnd) -> None:
    first, second = cell(1, ("stdout", "a1 "), ("stdout", "a2")), cell(2, ("stdout", "b1 "), ("stdout", "b2"), seq=2)
    shown(*[event for pair in zip(first, second, strict=True) for event in pair])
    assert page.texts() == ["[1] step-1\na1 a2", "[2] step-2\nb1 b2"]


def test_what_a_cell_prints_appears_while_it_runs_and_grows_in_place(page: FrontEnd) -> None:
    live = LiveOutputs()
    live(cell(1, ("stdout", "one"))[:2])
    wait_until(lambda: page.texts() == ["[1] step-1\none"])
    live([told("stdout", " two")])
    wait_until(lambda: page.texts() == ["[1] step-1\none two"])
    live([Event(RUN_FINISHED, "run", 9.0, None, {})])


def test_a_cell_that_runs_once_more_shows_only_the_last_time(page: FrontEnd) -> None:
    live = LiveOutputs()
    live(cell(1, ("stdout", "before")))
    wait_until(lambda: page.texts() == ["[1] step-1\nbefore"])
    live([*cell(1, ("stdout", "after"), seq=7), Event(RUN_FINISHED, "run", 9.0, None, {})])
    assert page.texts() == ["[1] step-7\nafter"]


def test_steps_that_are_functions_show_nothing_here(page: FrontEnd) -> None:
    shown(told("stdout", "of a function", kind="step"), told("stdout", "of no cell"))
    assert page.places() == []


def test_progress_bars_that_write_over_themselves_leave_the_last_picture(page: FrontEnd) -> None:
    shown(*cell(1, ("stderr", " 10%\r"), ("stderr", " 99%\r"), ("stderr", "100%\n")))
    assert page.texts() == ["[1] step-1\n100%"]


def test_output_that_is_cleared_is_gone(page: FrontEnd) -> None:
    shown(*cell(1, ("stdout", "old"), ("clear", '{"wait": true}'), ("stdout", "new")))
    assert page.texts() == ["[1] step-1\nnew"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"text/html": "<b>bold</b>", "text/plain": "bold"}, "<div><b>bold</b></div>"),
        ({"image/svg+xml": "<svg></svg>", "text/plain": "figure"}, "<div><svg></svg></div>"),
        ({"image/png": "QUJD\n", "text/plain": "figure"}, 'src="data:image/png;base64,QUJD"'),
        ({"text/plain": "<Thing at 1>"}, "&lt;Thing at 1&gt;"),
    ],
    ids=["html", "svg", "png", "text"],
)
def test_rich_output_is_shown_in_its_best_form(page: FrontEnd, data: dict[str, str], expected: str) -> None:
    shown(*cell(1, rich(**data)))
    assert expected in page.places()[0]["text/html"]
    assert page.texts() == [f"[1] step-1\n{data.get('text/plain', '')}"]


def test_what_is_printed_is_never_taken_for_html(page: FrontEnd) -> None:
    shown(*cell(1, ("stdout", "<script>alert(1)</script>")))
    assert "&lt;script&gt;" in page.places()[0]["text/html"]


def test_an_error_is_shown_with_its_traceback_and_without_colour_codes(page: FrontEnd) -> None:
    error = {
        "ename": "ValueError",
        "evalue": "bad",
        "traceback": ["\x1b[31mCell In[1], line 2\x1b[0m", "ValueError: bad"],
    }
    shown(*cell(1, ("error", json.dumps(error))))
    assert page.texts() == ["[1] step-1\nCell In[1], line 2\nValueError: bad"]
    assert "Cell In[1], line 2\nValueError: bad</pre>" in page.places()[0]["text/html"]


@pytest.mark.parametrize("form", ["text/plain", "text/html"])
def test_of_a_very_long_output_the_beginning_and_the_newest_lines_are_shown(page: FrontEnd, form: str) -> None:
    lines = "".join(f"line {number}\n" for number in range(100_000))
    shown(*cell(1, ("stdout", lines)))
    found = page.places()[0][form]
    assert len(found) < 25_000
    assert "line 0\n" in found
    assert "line 99999" in found
    assert f"{len(lines) - 20_000:,} characters are left out" in found
