// The picture of a chart: grid, lanes, axis, critical path. What is shown and where is the chart's; this draws it.

const AXIS = 26; // CSS pixels of the time axis
const FOLDED = 26; // of a folded lane

class Picture {
  constructor(chart) {
    this.chart = chart;
    this.painter = new Painter(chart.canvas);
  }

  draw(width) {
    const { chart, painter } = this;
    this.area = { left: this.gutter(width), right: width };
    painter.begin(width, chart.height, this.area, chart.window(), chart.theme);
    this.grid();
    this.places = new Map(); // row that is framed or selected → where its bar is
    this.lanes();
    if (chart.showPath) this.drawPath();
    this.axis();
    this.overlay();
  }

  /** Pixels that the names of the lanes take. */
  gutter(width) {
    const { layout } = this.chart, { context } = this.painter;
    if (this.measured !== layout.shown) {
      context.font = "11px system-ui, sans-serif";
      const names = layout.shown.slice(0, 400).map((lane) => context.measureText(lane.name.slice(0, 60)).width);
      this.longest = Math.max(98, ...names); // the day and the zone need as much
      this.measured = layout.shown;
    }
    return Math.round(Math.min(this.longest + 34, Math.max(90, width * 0.24), 240));
  }

  /** Numbers of the first and the last lane that can be seen. */
  seen() {
    const { chart } = this, { scrolled, tops } = chart, bottom = scrolled + chart.height - AXIS;
    let low = 0, high = tops.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= scrolled) low = middle + 1;
      else high = middle;
    }
    let last = low;
    while (last < tops.length - 2 && tops[last + 1] < bottom) last++;
    return [low, last];
  }

  lanes() {
    const { chart, painter } = this, { layout } = chart, { ratio } = painter, { context } = painter;
    if (!layout.shown.length) {
      painter.text(chart.data.head.empty, painter.wide / 2, (AXIS + 15) * ratio, { align: "center", fill: chart.theme.faint });
      return;
    }
    context.save();
    context.beginPath();
    context.rect(0, AXIS * ratio, painter.wide, painter.high);
    context.clip();
    const [first, last] = this.seen();
    for (let number = first; number <= last; number++) this.lane(layout.shown[number], AXIS + chart.tops[number] - chart.scrolled, number);
    context.restore();
  }

  lane(lane, top, number) {
    const { chart, painter } = this, { layout } = chart, { ratio, context } = painter, folded = chart.folded.has(lane.name);
    const tall = chart.tops[number + 1] - chart.tops[number];
    if (number > 0) {
      context.fillStyle = chart.theme.grid;
      context.fillRect(0, Math.round(top * ratio), painter.wide, Math.max(1, Math.round(ratio / 2)));
    }
    const many = lane.tracks.length > 1 || folded, middle = top + chart.pad + (folded ? FOLDED : Math.min(chart.trackHeight, tall)) / 2;
    if (many) this.triangle(9 * ratio, middle * ratio, folded);
    painter.text(lane.name || "(empty)", 18 * ratio, middle * ratio, { most: this.area.left - 26, fill: lane.code ? chart.theme.text : chart.theme.faint });
    context.save();
    context.beginPath();
    context.rect(painter.left, top * ratio, painter.columns, tall * ratio);
    context.clip();
    const shared = { now: chart.now, states: chart.states, hidden: chart.hidden, label: (row) => this.barText(row) };
    if (folded) painter.folded(layout, lane, { ...shared, top: Math.round((top + chart.pad) * ratio), high: Math.round(FOLDED * ratio) });
    else lane.tracks.forEach((track, place) => this.track(track, top + chart.pad + place * chart.trackHeight, shared));
    context.restore();
  }

  track(track, top, shared) {
    const { chart } = this, { ratio } = this.painter;
    if (top + chart.trackHeight < AXIS || top > chart.height) return;
    const line = Math.max(1, Math.round((chart.trackHeight >= 18 ? 3 : 2) * ratio)), gap = Math.round(ratio);
    const from = Math.round((top + 1) * ratio), high = Math.round((chart.trackHeight - 2) * ratio) - line - 2 * gap;
    this.painter.track(chart.layout, track, { ...shared, top: from, high, line });
    if (!chart.showPath && chart.selected < 0) return;
    for (const row of [...chart.path, chart.selected]) {
      if (chart.layout.trackOf[row] === track.number) this.places.set(row, { top: from, high });
    }
  }

  /** What a bar says: the step, or if the lane says that already, the task. */
  barText(row) {
    const { chart } = this, { kind } = chart.layout, step = chart.rows.text("step", row), task = chart.rows.texts.task?.[row] ?? "";
    if (kind === "task") return chart.rows.columns.attempt[row] > 1 ? `attempt ${chart.rows.columns.attempt[row]}` : "";
    return kind === "step" ? task : step || task;
  }

  triangle(x, y, folded) {
    const { context, ratio } = this.painter, size = 3.5 * ratio;
    context.fillStyle = this.chart.theme.faint;
    context.beginPath();
    if (folded) [[-size, -size], [size, 0], [-size, size]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
    else [[-size, -size / 1.5], [size, -size / 1.5], [0, size]].forEach(([dx, dy]) => context.lineTo(x + dx, y + dy));
    context.fill();
  }

  grid() {
    const { chart, painter } = this, { context, ratio } = painter, { begin, end } = chart.window();
    this.ticks = chart.clock.ticks(begin, end, Math.max(2, (this.area.right - this.area.left) / 95));
    context.fillStyle = chart.theme.grid;
    for (const { at } of this.ticks) {
      context.fillRect(painter.left + Math.round(painter.x(at)), AXIS * ratio, Math.max(1, Math.round(ratio / 2)), painter.high);
    }
  }

  axis() {
    const { chart, painter } = this, { context, ratio } = painter, { begin } = chart.window();
    context.fillStyle = chart.theme.grid;
    context.fillRect(0, AXIS * ratio - 1, painter.wide, Math.max(1, Math.round(ratio)));
    const middle = (AXIS / 2) * ratio, clock = chart.clock;
    const said = clock.elapsed ? "time since start" : [clock.dateText(begin), clock.zoneText(begin)].filter(Boolean).join(" · ");
    painter.text(said, 6 * ratio, middle, { most: this.area.left - 10, fill: chart.theme.faint, size: 10.5 });
    for (const { at, text } of this.ticks) {
      const x = painter.left + painter.x(at), half = painter.measure(text) / 2;
      if (x - half > painter.left - 4 && x + half < painter.wide) painter.text(text, x, middle, { align: "center", size: 10.5 });
    }
  }

  /** The critical path: its bars are framed, and lines lead from one to the next. */
  drawPath() {
    const { chart, painter } = this, { context, ratio } = painter;
    context.save();
    context.beginPath();
    context.rect(painter.left, AXIS * ratio, painter.columns, painter.high);
    context.clip();
    context.strokeStyle = chart.theme.text;
    context.lineWidth = 1.6 * ratio;
    let before = null;
    for (const row of chart.path) {
      const place = this.places.get(row), times = chart.rows.times(row, chart.now);
      if (!place || times.runStart !== times.runStart) { before = null; continue; }
      const from = painter.left + painter.x(times.runStart), to = painter.left + painter.x(times.runEnd);
      context.strokeRect(from, place.top, Math.max(ratio, to - from), place.high);
      if (before) {
        context.beginPath();
        context.moveTo(before.x, before.y);
        context.lineTo(from, place.top + place.high / 2);
        context.stroke();
      }
      before = { x: to, y: place.top + place.high / 2 };
    }
    context.restore();
  }

  /** What is selected, and the stretch that is being marked. */
  overlay() {
    const { chart, painter } = this, { context, ratio } = painter, place = this.places.get(chart.selected);
    if (place) {
      const times = chart.rows.times(chart.selected, chart.now), from = painter.left + painter.x(times.runStart || times.waitStart);
      const to = painter.left + painter.x(times.runEnd || times.waitEnd);
      context.strokeStyle = chart.theme.focus;
      context.lineWidth = 2 * ratio;
      context.strokeRect(from - ratio, place.top - ratio, Math.max(2 * ratio, to - from) + 2 * ratio, place.high + 2 * ratio);
    }
    if (chart.range) {
      const [from, to] = [...chart.range].sort((a, b) => a - b);
      context.fillStyle = chart.theme.range;
      context.fillRect(from * ratio, 0, (to - from) * ratio, painter.high);
    }
  }
}
