"""Pages that hold a Gantt chart by themselves: what the browser draws equals the frame, at once and after changes."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nbflow.views.gantt import Gantt, gantt, packing
from nbflow.views.gantt.lanes import lay_out, segments
from tests.unit.views.histories import BEGIN, OVER, STATES, attempt, frame_of, many

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    # Playwright's greenlets leave a loop behind when the process ends.
    pytest.mark.filterwarnings("default"),
]
NOW = BEGIN + 400
KINDS = ("worker", "queue", "step", "task")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
LANES = "chart.layout.shown.map((lane) => [lane.name, lane.count, lane.tracks.length])"
TIMES = """[...Array(chart.rows.count).keys()].map((row) => {
    const { waitStart, waitEnd, runStart, runEnd } = chart.rows.times(row, chart.now);
    return [waitStart, waitEnd, runStart, runEnd].map((time) => (Number.isNaN(time) ? null : time));
})"""
# Every row is in one track of the lane that it belongs to, those of a track are in order and do not overlap.
SOUND = """(() => {
    const { rows, layout } = chart, { at, run } = rows.columns, seen = new Map();
    for (const track of layout.tracks) {
        let end = -Infinity, before = -Infinity;
        for (let place = 0; place < track.count; place++) {
            if (track.keys[place] < before) return `track ${track.number} is not in order`;
            before = track.keys[place];
            if (!layout.holds(track, place)) continue;
            const row = track.rows[place];
            seen.set(row, (seen.get(row) ?? 0) + 1);
            if (layout.name(layout.codes()?.[row] ?? 0) !== track.lane.name) return `row ${row} is in a wrong lane`;
            if (run[row] !== run[row]) continue;
            if (at[row] < end - 1e-3) return `row ${row} overlaps another one`;
            end = Math.max(end, at[row] + Math.max(run[row], 0));
        }
    }
    const twice = [...Array(rows.count).keys()].filter((row) => seen.get(row) !== 1);
    if (twice.length) return `rows ${twice} are not drawn once`;
    const counted = layout.shown.reduce((sum, lane) => sum + lane.count, 0);
    return counted === rows.count ? "sound" : `lanes count ${counted} of ${rows.count} rows`;
})()"""


def random_frame(seed: int, count: int = 120) -> pd.DataFrame:
    """Attempts with any times, present or not."""
    draw = random.Random(seed)

    def moment() -> float | None:
        return None if draw.random() < 0.2 else round(draw.uniform(0, 300), 3)

    rows = [
        attempt(
            number, state=draw.choice(STATES), worker=draw.choice([None, *(f"worker-{n}" for n in range(12))]),
            queue=draw.choice(["default", "gpu"]), step=draw.choice(["fetch", "train", "plot"]),
            queued_at=moment(), started_at=moment(), finished_at=moment(), attempt=draw.randint(1, 3),
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    return frame_of(rows)


def show(page: Any, chart: Gantt, folder: Path) -> None:
    page.goto(chart.save(folder / "chart.html").as_uri())
    page.wait_for_function("() => document.getElementById('gantt').gantt?.painted")


def tell(page: Any, what: str) -> Any:
    return page.evaluate(f"() => {{ const chart = document.getElementById('gantt').gantt; return {what}; }}")


@pytest.mark.parametrize("seed", range(4))
def test_the_browser_has_the_bars_and_the_lanes_that_python_has(live_page: Any, tmp_path: Path, seed: int) -> None:
    chart = gantt(random_frame(seed), now=NOW)
    show(live_page, chart, tmp_path)
    rows = chart._live.rows
    found = segments(rows, NOW)
    wanted = zip(*(found[name].tolist() for name in ("wait_start", "wait_end", "run_start", "run_end")), strict=True)
    for mine, python in zip(tell(live_page, TIMES), wanted, strict=True):
        assert [float("nan") if time is None else time for time in mine] == pytest.approx(
            list(python), abs=1e-3, nan_ok=True
        )
    for kind in KINDS:
        tell(live_page, f"chart.setLanes({json.dumps(kind)})")
        assert tell(live_page, LANES) == [[lane.name, len(lane.rows), lane.height] for lane in lay_out(rows, kind)]
        assert tell(live_page, SOUND) == "sound"


@pytest.mark.parametrize("seed", range(4))
def test_changes_in_any_order_leave_every_row_in_its_place(live_page: Any, tmp_path: Path, seed: int) -> None:
    whole, draw = random_frame(seed), random.Random(seed)
    chart = gantt(whole.head(20), now=NOW)
    show(live_page, chart, tmp_path)
    tell(live_page, "chart.setLanes('step')")
    for _ in range(12):
        part = whole.sample(25, random_state=draw.randrange(10_000)).assign(worker=f"worker-{draw.randrange(12)}")
        forget = draw.random() < 0.5
        if forget:
            part[["started_at", "finished_at"]] = pd.NaT
        put(live_page, chart, part)
        assert tell(live_page, SOUND) == "sound"
    assert tell(live_page, "chart.rows.count") == len(chart.frame)


def put(page: Any, chart: Gantt, part: pd.DataFrame) -> None:
    """Send changes as the kernel would."""
    live = chart._live
    known = {kind: len(names.texts) for kind, names in live.rows.lanes.items()}
    numbers = live.rows.put(part)
    live._version += 1
    block = live._headed(packing.changes(live.rows, numbers, known))
    page.evaluate(
        """([head, bytes]) => document.getElementById('gantt').gantt.data.put(head,
              Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0)))""",
        [block.head, base64.b64encode(block.bytes).decode()],
    )


def test_a_page_works_without_a_network_and_runs_nothing_that_names_say(live_page: Any, tmp_path: Path) -> None:
    names = dict.fromkeys(("task", "step", "worker", "queue", "error", "error_type"), HOSTILE)
    rows = [attempt(n, state=state, **names) for n, state in enumerate((*OVER, "running", HOSTILE), 1)]
    asked: list[str] = []
    live_page.on("request", lambda request: asked.append(request.url))
    show(live_page, gantt(frame_of(rows), title=HOSTILE, now=NOW), tmp_path)
    box = live_page.locator("#gantt canvas").bounding_box()
    for x in range(100, 1100, 50):
        live_page.mouse.move(box["x"] + x, box["y"] + 45)
    live_page.locator("#gantt select").select_option("step")
    assert [url for url in asked if not url.startswith("file:")] == []
    assert HOSTILE in live_page.locator("#gantt .title").inner_text()


def test_an_empty_chart_says_so(live_page: Any, tmp_path: Path) -> None:
    show(live_page, gantt(frame_of([])), tmp_path)
    assert tell(live_page, "chart.data.head.empty").startswith("Nothing to draw")


def test_a_missed_change_is_noticed_and_all_rows_set_it_right(live_page: Any, tmp_path: Path) -> None:
    chart = gantt(many(10), now=NOW)
    show(live_page, chart, tmp_path)
    live = chart._live
    live._version += 2
    head = live._headed(packing.changes(live.rows, live.rows.put(many(12)), dict.fromkeys(live.rows.lanes, 0))).head
    assert (
        live_page.evaluate("head => document.getElementById('gantt').gantt.data.put(head, new Uint8Array())", head)
        is False
    )
    block = live.block()
    live_page.evaluate(
        """([head, bytes]) => document.getElementById('gantt').gantt.data.put(head,
              Uint8Array.from(atob(bytes), (char) => char.charCodeAt(0)))""",
        [block.head, base64.b64encode(block.bytes).decode()],
    )
    assert tell(live_page, "chart.rows.count") == 12
    assert tell(live_page, SOUND) == "sound"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
def test_the_axis_reads_the_same_in_the_browser_and_in_the_svg(live_page: Any, tmp_path: Path, zone: str) -> None:
    chart = gantt(many(100), now=NOW, tz=zone)
    show(live_page, chart, tmp_path)
    ticks = chart._live.still().ticks
    begin, end = chart._live.still().scale.begin, chart._live.still().scale.end
    count = chart._live.still().scale.width // 95
    assert tell(live_page, f"chart.clock.ticks({begin}, {end}, {count}).map(({{ text }}) => text)") == [
        tick.text for tick in ticks
    ]


# The columns of a track in which failures are seen, and those in which anything is.
SEEN = """(() => {
    const { painter } = chart.picture, found = [];
    for (const lane of chart.layout.shown) {
        const top = Math.round((26 + chart.tops[chart.layout.shown.indexOf(lane)] + chart.pad + 6) * painter.ratio);
        const { data } = painter.context.getImageData(painter.left, top, painter.columns, 1);
        const columns = [...Array(painter.columns).keys()];
        found.push([columns.filter((x) => data[4 * x] > 180), columns.filter((x) => data[4 * x + 3] > 200)]);
    }
    return found;
})()"""


def test_blocks_of_rows_seen_from_afar_show_what_their_rows_would(live_page: Any, tmp_path: Path) -> None:
    frame = many(40_000, workers=2)
    later = frame.tail(1).assign(seq=99_999, started_at=frame["started_at"].max() + pd.Timedelta(hours=1))
    show(live_page, gantt(pd.concat([frame, later.assign(finished_at=pd.NaT, state="running")]), now=BEGIN), tmp_path)
    tell(live_page, "chart.draw()")
    assert tell(live_page, "chart.layout.tracks[0].blocks.count") > 100
    by_blocks = tell(live_page, SEEN)
    tell(live_page, "chart.layout.tracks[0].blocks.constructor.prototype.has = () => false")
    tell(live_page, "chart.draw()")
    by_rows = tell(live_page, SEEN)
    for mine, plain in zip(by_blocks, by_rows, strict=True):
        for columns, others in ((mine[0], plain[0]), (plain[0], mine[0]), (mine[1], plain[1]), (plain[1], mine[1])):
            near = {other + by for other in others for by in (-1, 0, 1)}
            assert set(columns) <= near
    assert any(plain[0] for plain in by_rows)
