"""Graphs in a page: what a widget sends when nodes change, and what it answers when a reader clicks."""

from __future__ import annotations

import threading
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from nbflow.views import alive
from nbflow.views.graph import Details, Node, Now, Picture, Section
from nbflow.views.graph_live import LiveGraph
from tests.servers import wait_until
from tests.unit.views.page import Page

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'
NODES = (
    Node("1", "load", "running"),
    Node("2", "sub", "pending", upstream=("1",), inside=(Node("3", "train", "pending"),)),
)


@pytest.fixture
def page(monkeypatch):
    made = Page(monkeypatch)
    yield made
    made.close()


class Following:
    """A picture of a run that is told how it stands."""

    def __init__(self, nodes=NODES):
        self.nodes, self.over = nodes, False
        self.picture = Picture(nodes, "run", refresh=lambda: Now(self.nodes, self.over))
        LiveGraph(self.picture).show()

    def becomes(self, identity, **changes):
        self.nodes = tuple(replace(node, **changes) if node.id == identity else node for node in self.nodes)


@pytest.fixture
def following(page):
    run = Following()
    yield run
    run.over = True
    wait_until(lambda: not any(thread.name == "nbflow-graph" for thread in threading.enumerate()))


def test_a_node_that_changes_is_sent_alone(page, following):
    following.becomes("1", state="succeeded", detail="1.2 s")
    wait_until(lambda: page.news)
    assert list(page.news[0]["nodes"]) == ["1"]
    assert 'data-state="succeeded"' in page.news[0]["nodes"]["1"]


def test_nodes_that_need_more_room_bring_a_new_picture(page, following):
    following.nodes += (Node("4", "more"),)
    wait_until(lambda: page.news)
    assert 'data-id="4"' in page.news[0]["svg"]


def test_a_widget_that_a_page_asks_for_later_shows_the_nodes_as_they_are_now(page, following):
    following.becomes("1", state="failed")
    wait_until(lambda: page.news)
    page.comms[-1].handle_msg({"content": {"data": {"method": "request_state"}}, "buffers": []})
    state = next(data for _, data in reversed(page.messages) if data.get("method") == "update")["state"]
    assert 'data-state="failed"' in state["data"]["svg"]


def test_the_notebook_keeps_the_last_picture(page, following, capsys):
    following.becomes("1", state="succeeded")
    following.over = True
    told = []
    wait_until(lambda: "✓ load" in "".join(told.append(capsys.readouterr().out) or told))


def test_a_group_folds_and_unfolds(page):
    LiveGraph(Picture(NODES))
    folded = page.say({"ask": "fold", "id": "2", "number": "a"})
    assert folded["answer"] == "a"
    assert 'data-fold="closed"' in folded["svg"]
    assert 'data-id="3"' not in folded["svg"]
    assert 'data-id="3"' in page.say({"ask": "fold", "id": "2", "number": "b"})["svg"]


def test_a_click_brings_what_is_known_of_a_node(page):
    details = Details("load#1", "failed", (("took", "2 s"),), (Section("traceback", HOSTILE, "error"),))
    LiveGraph(Picture(NODES, details=lambda identity: details if identity == "1" else Details(identity)))
    answer = page.say({"ask": "details", "id": "1", "number": "7"})
    assert answer["details"]["title"] == "load#1"
    assert answer["details"]["sections"] == [["traceback", HOSTILE, "error"]]  # put in as text by the page


def test_long_texts_are_cut_at_their_beginning_and_say_so(page):
    section = Section("output", "x" * 50_000 + "end")
    LiveGraph(Picture(NODES, details=lambda identity: Details(identity, sections=(section,))))
    text = page.say({"ask": "details", "id": "1", "number": "1"})["details"]["sections"][0][1]
    assert len(text) < 21_000
    assert text.startswith("… 30,003 characters before this …")
    assert text.endswith("end")


def test_names_from_elsewhere_cannot_break_the_live_picture(page):
    LiveGraph(Picture([Node(HOSTILE, HOSTILE, "running", HOSTILE, HOSTILE, inside=(Node("1", HOSTILE),))], HOSTILE))
    root = ElementTree.fromstring(page.opened[-1]["data"]["svg"])
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "g", "rect", "text", "tspan", "title"}


def test_the_latest_few_stay_alive(page):
    for _ in range(alive._MOST + 3):
        LiveGraph(Picture(NODES))
    assert sum(kind == "comm_close" for kind, _ in page.messages) == 3


def test_a_picture_outside_of_a_notebook_is_still():
    with pytest.raises(NotImplementedError):
        Picture(NODES)._ipython_display_()


def test_a_picture_can_be_folded_and_written_to_a_file(tmp_path):
    text = Picture(NODES).fold("sub").save(tmp_path / "graph.svg").read_text()
    assert "1 inside" in text
    assert "train" not in text
