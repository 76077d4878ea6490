"""Names, errors and titles from elsewhere are text in every form of a Gantt chart, never anything else."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from nbflow.views.gantt import gantt
from tests.unit.views.histories import BEGIN, TEXTS, attempt, frame_of

EVIL = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</title><img src=x onerror=alert(3)>",
    '"onmouseover="alert(4)',
    "'-alert(5)-'",
    "]]><svg onload=alert(6)>",
    "<!--<script>",
    "javascript:alert(7)",
    "\x00\x1b[31m\u202e\ufffe",
    "\u2028alert(8)",
    "a\nb & c < d",
]
# The start tags of HTML that run or load something, and attributes that do.
ACTIVE = {"script", "img", "iframe", "object", "embed", "link", "base", "meta", "form", "svg"}


@pytest.fixture(params=EVIL, ids=range(len(EVIL)))
def evil(request):
    return request.param


def chart_of(evil: str) -> Any:
    names = dict.fromkeys(TEXTS, evil)
    rows = [attempt(1, **names), attempt(2, **names | {"state": "failed"}), attempt(3, **names | {"state": "running"})]
    rows.append(attempt(4, finished_at=0, **names))
    return gantt(frame_of(rows), title=evil, now=BEGIN + 10, lanes="step")


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes, read as browsers do; what is in scripts is text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(sorted(name for name, _ in attributes))))


def tags(page: str) -> list[tuple[str, tuple[str, ...]]]:
    reader = Tags()
    reader.feed(page)
    return reader.found


def test_a_page_has_the_same_tags_whatever_names_say(evil):
    assert tags(chart_of(evil).to_html()) == tags(chart_of("harmless").to_html())


def test_the_svg_has_only_tags_that_show(evil):
    root = ET.fromstring(chart_of(evil).to_svg())
    assert {each.tag.partition("}")[2] for each in root.iter()} <= {"svg", "style", "rect", "path", "text", "title"}
    assert {name for each in root.iter() for name in each.keys() if name.startswith("on") or "href" in name} == set()
    style = root.find("{http://www.w3.org/2000/svg}style")
    assert style is not None
    assert evil not in (style.text or "")


def test_what_a_notebook_keeps_has_the_same_tags_whatever_names_say(evil):
    bundle = chart_of(evil)._repr_mimebundle_()
    assert tags(bundle["text/html"]) == tags(chart_of("harmless")._repr_mimebundle_()["text/html"])
    for encoded in re.findall(r"base64,([\w+/=]+)", bundle["text/html"]):
        ET.fromstring(base64.b64decode(encoded))
    assert not set(bundle["text/plain"]) & set("\x00\x1b\u202e")


def test_plotly_gets_no_markup_but_its_own(evil):
    drawn = chart_of(evil).figure()
    shown = [text for trace in drawn.data for text in trace.hovertext]
    shown += [drawn.layout.title.text, *drawn.layout.yaxis.ticktext, *(trace.name for trace in drawn.data)]
    assert {tag for text in shown for tag in tags(text or "")} <= {("b", ()), ("br", ()), ("sub", ())}


def test_the_trace_is_sound_json(evil):
    events = json.loads(chart_of(evil).to_trace())["traceEvents"]
    assert evil in {event["name"] for event in events}


def test_what_the_browser_gets_as_text_has_nothing_that_steers_a_terminal(evil):
    head = chart_of(evil)._live.block().head
    text = json.dumps(head, ensure_ascii=False)
    assert not set(text) & set("\x00\x1b\u202e")
