"""What a Gantt chart can be saved as."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
import xml.etree.ElementTree as ET

import pytest

from nbflow.views.gantt import GanttError, gantt
from nbflow.views.gantt.critical import Links
from nbflow.views.palette import FILL
from tests.unit.views.histories import BEGIN, attempt, frame_of, many

NOW = BEGIN + 100
SVG = "{http://www.w3.org/2000/svg}"
ROWS = [
    attempt(1, state="failed", error_type="ValueError", error="no such file"),
    attempt(1, attempt=2, queued_at=2, started_at=3, finished_at=5),
    attempt(2, worker="worker-2", step="plot", task="plot#1", state="running", finished_at=None),
    attempt(3, worker=None, state="ready", started_at=None, finished_at=None),
]


@pytest.fixture
def chart():
    return gantt(frame_of(ROWS), now=NOW, title="training")


def test_the_svg_has_a_rectangle_for_each_run_and_no_scripts(chart):
    root = ET.fromstring(chart.to_svg())
    runs = [each for each in root.iter(f"{SVG}rect") if each.get("height") == "12"]
    assert len(runs) == 3
    assert {each.tag for each in root.iter()} <= {
        SVG + name for name in ("svg", "style", "rect", "path", "text", "title")
    }


def test_rectangles_of_the_svg_are_as_long_as_their_bars(chart):
    root = ET.fromstring(chart.to_svg())
    widths = sorted(float(each.get("width")) for each in root.iter(f"{SVG}rect") if each.get("height") == "12")
    lengths = sorted(
        bar.total_seconds() for bar in (chart.bars["finish"] - chart.bars["start"])[chart.bars["kind"] == "running"]
    )
    scale = widths[-1] / lengths[-1]
    assert widths == pytest.approx([length * scale for length in lengths], abs=1.5)


def test_many_bars_are_merged_by_pixel_and_the_worst_state_wins():
    svg = gantt(many(4000), now=NOW).to_svg()
    failed = re.search(rf'<path class="nbg-b nbg-{FILL["failed"][1:]}" d="([^"]+)"', svg)
    assert failed is not None
    assert len(failed[1].split("h")) - 1 == pytest.approx(40, abs=10)  # one in a hundred, each seen in spite of merging
    assert len(svg) < 60_000


def test_the_path_that_decided_is_framed():
    chart = gantt(frame_of(ROWS), now=NOW, links=Links({2: [1]}))
    assert chart.to_svg().count("nbg-x") == chart.to_svg().count(".nbg-x") + 3


def test_the_page_stands_alone_and_holds_all_rows(chart):
    page = chart.to_html()
    head = json.loads(re.search(r'id="gantt-head">([^<]+)<', page)[1])
    rows = gzip.decompress(base64.b64decode(re.search(r'id="gantt-bytes">([^<]+)<', page)[1]))
    at = next(column for column in head["columns"] if column[0] == "at")
    assert struct.unpack_from("<4d", rows, at[2]) == (BEGIN + 1, BEGIN + 2, BEGIN + 2.5, BEGIN + 3)
    assert head["texts"]["error"] == ["ValueError: no such file", "", "", ""]
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_the_trace_has_an_event_for_each_run_and_a_pair_for_each_wait(chart):
    events = json.loads(chart.to_trace())["traceEvents"]
    runs = [event for event in events if event["ph"] == "X"]
    assert [(event["name"], event["dur"]) for event in runs] == [
        ("train#1", 1_000_000),
        ("train#1", 2_000_000),
        ("plot#1", 98_000_000),
    ]
    assert runs[0]["args"]["error"] == "ValueError: no such file"
    assert runs[0]["ts"] == (BEGIN + 1) * 1e6
    assert [event["ph"] for event in events if event["pid"] == 2 and event["ph"] != "M"] == ["b", "e"] * 4


def test_bars_of_a_thread_of_the_trace_do_not_overlap():
    rows = [attempt(n, queued_at=0, started_at=n, finished_at=n + 1.5) for n in range(1, 9)]
    events = json.loads(gantt(frame_of(rows), now=NOW).to_trace())["traceEvents"]
    by_thread = {}
    for event in sorted((event for event in events if event["ph"] == "X"), key=lambda event: event["ts"]):
        assert by_thread.get(event["tid"], 0) <= event["ts"]
        by_thread[event["tid"]] = event["ts"] + event["dur"]
    assert len(by_thread) == 2


def test_the_figure_of_plotly_has_the_same_bars(chart):
    drawn = chart.figure()
    assert {trace.name: len(trace.x) for trace in drawn.data} == {
        "waiting": 4,
        "✗ failed": 1,
        "● running": 1,
        "✓ succeeded": 1,
    }
    assert drawn.data[1].x[0] == pytest.approx(1000)
    assert drawn.layout.title.text == "training"
    json.loads(drawn.to_json())


def test_a_figure_of_too_many_rows_is_refused_with_a_way_out():
    with pytest.raises(GanttError, match=r"20,001 rows would not move.*head\(20_000\)"):
        gantt(many(20_001), now=NOW).figure()


def test_the_text_has_a_line_for_each_lane(chart):
    lines = chart.to_text().splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["training", "worker-1", "worker-2", "no"]
    assert "✗" in lines[1]
    assert "▒" in lines[2]
    assert lines[-1] == "4 attempts · 1 failed · 1 running · 1 ready · 1 succeeded · 1 min 40 s"


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("a.html", b"<!DOCTYPE html>"),
        ("a.svg", b"<svg "),
        ("a.PNG", b"\x89PNG"),
        ("a.json", b'{"display'),
        ("a.json.gz", b"\x1f\x8b"),
    ],
)
def test_a_file_is_what_its_suffix_says(chart, tmp_path, name, begins):
    assert chart.save(tmp_path / name).read_bytes().startswith(begins)


def test_other_suffixes_are_refused(chart, tmp_path):
    with pytest.raises(GanttError, match=r"'a\.gif'.*\.html, \.svg, \.png"):
        chart.save(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 300, 3000, 20_000])
@pytest.mark.parametrize("lanes", ["worker", "task"])
def test_what_a_notebook_keeps_stays_small_whatever_is_drawn(count, lanes):
    bundle = gantt(many(count, workers=60), now=NOW, lanes=lanes)._repr_mimebundle_()
    assert set(bundle) >= {"text/html", "image/svg+xml", "text/plain"}
    assert sum(map(len, bundle.values())) < 100_000
    assert "<script" not in bundle["text/html"]


def test_lanes_that_a_notebook_does_not_keep_are_told():
    bundle = gantt(many(3000, workers=60), now=NOW)._repr_mimebundle_()
    assert re.search(r"\d+ of 60 lanes are shown here", bundle["image/svg+xml"])


def test_elapsed_times_are_drawn_as_seconds_since_the_start():
    frame = frame_of([attempt(1), attempt(2)])
    for name in ("queued_at", "started_at", "finished_at"):
        frame[name] = frame[name].astype("int64") / 1e6 - BEGIN
    chart = gantt(frame)
    assert "time since start" in chart.to_svg()
    assert chart.figure().layout.xaxis.type == "linear"
    assert "1.5 s" not in chart.to_text().splitlines()[-1]
