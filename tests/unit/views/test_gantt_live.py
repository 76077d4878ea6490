"""A Gantt chart in a page: what is sent when, and what the page asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from nbflow.views.gantt import gantt
from tests.unit.views.histories import BEGIN, attempt, frame_of, many
from tests.unit.views.page import Page

NOW = BEGIN + 100


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    made = Page(monkeypatch)
    yield made
    made.close()


def heads(page: Page) -> list[dict[str, Any]]:
    return [news["rows"] for news in page.news if "rows" in news]


def opened(page: Page) -> dict[str, Any]:
    """The head that the page began with."""
    found: dict[str, Any] = json.loads(page.opened[-1]["data"]["head"])
    return found


def test_the_page_gets_all_rows_at_first_and_then_what_changes(page):
    chart = gantt(many(20), now=NOW)
    assert chart.widget is not None
    assert opened(page)["count"] == 20
    chart.update(
        frame_of([attempt(1, state="failed", worker="worker-1", step="step 0"), attempt(99, worker="new")]), now=NOW
    )
    (head,) = heads(page)
    assert head["count"] == 2
    assert head["names"]["worker"] == {"from": 8, "texts": ["new"]}
    assert head["version"] == opened(page)["version"] + 1


def test_rows_that_come_before_anybody_looks_are_in_what_the_page_gets_at_first(page):
    chart = gantt(many(5), now=NOW)
    chart.update(many(9), now=NOW)
    assert page.messages == []
    assert chart.widget is not None
    assert opened(page)["count"] == 9


def test_a_page_that_missed_something_gets_all_of_it(page):
    chart = gantt(many(5), now=NOW)
    assert chart.widget is not None
    assert page.say({"ask": "whole"})["rows"]["whole"]


def test_a_click_gives_the_row_and_calls_back(page):
    clicked: list[Any] = []
    chart = gantt(many(5), now=NOW).on_click(clicked.append)
    assert chart.widget is not None
    assert chart.selected is None
    page.say({"ask": "click", "row": 3}) if page.news else page.comms[-1].handle_msg(message("click", 3))
    assert chart.selected["task"] == chart.frame["task"].iloc[3]
    assert clicked == [chart.selected]


def test_a_click_gives_what_the_handle_makes_of_the_row(page):
    chart = gantt(many(5), now=NOW, handle=lambda row: ("task", row["seq"]))
    assert chart.widget is not None
    page.comms[-1].handle_msg(message("click", 4))
    assert chart.selected == ("task", 5)
    page.comms[-1].handle_msg(message("click", -1))
    assert chart.selected is None


def test_what_only_the_hover_tells_is_asked_for_when_there_are_many_rows(page):
    chart = gantt(many(20_001), now=NOW)
    assert chart.widget is not None
    assert opened(page)["texts"] == {}
    assert opened(page)["look"]["asks"]
    page.comms[-1].handle_msg(message("detail", 7))
    assert page.news[-1] == {"detail": {"task": "train#8"}, "row": 7}


def message(ask: str, row: int) -> dict[str, Any]:
    return {"content": {"data": {"method": "custom", "content": {"ask": ask, "row": row}}}, "buffers": []}


def test_ticks_and_the_end_are_told(page):
    chart = gantt(many(5))
    assert chart.widget is not None
    assert opened(page)["live"] is False
    chart.tick()
    chart.finish()
    assert [news["heard"]["live"] for news in page.news] == [True, False]


def test_whoever_feeds_the_chart_is_called_once_when_it_is_first_shown_live(page):
    fed, called = threading.Event(), []

    def feed(chart: Any) -> None:
        called.append(chart)
        fed.set()

    chart = gantt(many(5), feed=feed)
    assert called == []
    assert chart.widget is chart.widget
    assert fed.wait(10)
    assert called == [chart]


def test_several_threads_may_feed_one_chart(page):
    chart = gantt(many(1), now=NOW)
    assert chart.widget is not None
    parts = [frame_of([attempt(100 * thread + n) for n in range(20)]) for thread in range(1, 5)]
    threads = [
        threading.Thread(target=lambda part=part: [chart.update(part.iloc[[n]]) for n in range(20)]) for part in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(chart.frame) == 81
    assert [head["version"] for head in heads(page)] == list(range(1, 81))
