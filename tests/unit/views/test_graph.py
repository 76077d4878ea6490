"""Graphs as SVG and as text."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from nbflow.model.states import State
from nbflow.views.graph import Node, Picture

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture):
    return ElementTree.fromstring(picture.svg())


def texts(picture):
    return ["".join(node.itertext()) for node in parsed(picture).iter(f"{SVG}text")]


FLOW = Picture(
    [
        Node("1", "load", "succeeded", "1.2 s"),
        Node(
            "2",
            "sub",
            "failed",
            upstream=("1",),
            inside=(Node("3", "train", "failed"), Node("4", "best", upstream=("3",))),
        ),
        Node("5", "plot", "skipped", upstream=("1", "2")),
    ],
    "training",
)


def test_the_text_names_what_each_step_needs_and_indents_sub_flows():
    assert FLOW.text().splitlines() == [
        "training",
        "✓ load  1.2 s",
        "✗ sub  ← load",
        "    ✗ train",
        "    · best  ← train",
        "» plot  ← load, sub",
    ]


def test_the_svg_shows_every_node_once():
    shown = {element.get("data-id") for element in parsed(FLOW).iter(f"{SVG}g")}
    assert shown == {"1", "2", "3", "4", "5"}
    assert "✓ load" in texts(FLOW)


def test_an_edge_that_others_imply_is_faint():
    faint = [path for path in parsed(FLOW).iter(f"{SVG}path") if path.get("class") == "nb-e nb-i"]
    assert len(faint) == 1


def test_the_svg_has_no_scripts_and_nothing_from_elsewhere():
    svg = FLOW.svg()
    assert "prefers-color-scheme:dark" in svg
    assert not any(word in svg for word in ("<script", "href", "url(", "@import", "onload"))


@pytest.mark.parametrize("hostile", ['<script>alert("x")</script>', "a & b < c", "\x1b[31mred", "]]>", "\x00", "名前"])
def test_names_from_elsewhere_cannot_break_the_picture(hostile):
    picture = Picture([Node(hostile, hostile, "running", hostile, hostile)], hostile)
    assert parsed(picture).find(f".//{SVG}script") is None
    assert "\x1b" not in picture.text() + picture.svg()


def test_long_names_are_cut_in_the_picture_and_whole_in_the_text():
    name = "a-very-long-name-of-a-step-that-would-make-the-picture-wide"
    picture = Picture([Node("1", name)])
    assert name in picture.text()
    assert texts(picture) == [name[:29] + "…"]


@pytest.mark.parametrize("state", [*(state.value for state in State), "planned"])
def test_every_state_can_be_drawn(state):
    assert len(texts(Picture([Node("1", "step", state)]))) == 1


def test_needs_that_are_not_in_the_picture_are_left_out():
    picture = Picture([Node("1", "one", upstream=("7", "2")), Node("2", "two", upstream=("1",))])
    assert len([path for path in parsed(picture).iter(f"{SVG}path") if path.get("class") == "nb-e"]) == 1


def test_an_empty_graph_is_a_picture_too():
    assert parsed(Picture([])).get("width") == "32"


def test_notebooks_get_a_picture_and_text():
    assert set(FLOW._repr_mimebundle_()) == {"image/svg+xml", "text/plain"}


def test_a_running_node_shows_how_far_it_is():
    half = parsed(Picture([Node("1", "train", "running", progress=0.5)]))
    bars = [float(bar.get("width")) for bar in half.iter(f"{SVG}rect") if bar.get("height") == "3"]
    assert bars == [40.0]


def test_edges_that_leave_one_node_share_their_way():
    fan = [Node("0", "load"), *(Node(str(n), "step", upstream=("0",)) for n in range(1, 60))]
    lengths = [len(path.get("d")) for path in parsed(Picture(fan)).iter(f"{SVG}path") if path.get("class") == "nb-e"]
    assert len(lengths) == 59
    assert max(lengths) < 200
