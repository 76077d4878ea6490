// Mouse, touch and keys: hover, click, drag, wheel.

const CLICK = 4; // pixels that a pointer may move and still have clicked
const KEYS = {
  "+": (chart) => chart.zoom(1 / 1.6), "=": (chart) => chart.zoom(1 / 1.6), w: (chart) => chart.zoom(1 / 1.6),
  "-": (chart) => chart.zoom(1.6), s: (chart) => chart.zoom(1.6),
  ArrowLeft: (chart) => chart.pan(-0.15), a: (chart) => chart.pan(-0.15),
  ArrowRight: (chart) => chart.pan(0.15), d: (chart) => chart.pan(0.15),
  0: (chart) => chart.fit(), Home: (chart) => chart.fit(), f: (chart) => chart.foldAll(),
  c: (chart) => chart.togglePath(), Escape: (chart) => chart.select(-1),
};

class Pointer {
  constructor(chart) {
    this.chart = chart;
    this.tip = new Tip(chart.box);
    const { canvas, scroller } = chart;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.tip.hide());
    canvas.addEventListener("dblclick", (event) => this.double(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    scroller.addEventListener("keydown", (event) => this.key(event));
  }

  /** What is at a place of the canvas: {part, lane, found}. */
  at(x, y) {
    const { chart } = this, { area } = chart.picture, { layout, tops, pad, trackHeight } = chart;
    if (y < AXIS) return { part: x < area.left ? "" : "axis" };
    const deep = y - AXIS + chart.scrolled, [first, last] = chart.picture.seen();
    for (let number = first; number <= last; number++) {
      if (deep < tops[number] || deep >= tops[number + 1]) continue;
      const lane = layout.shown[number];
      if (!lane) break;
      if (x < area.left) return { part: "label", lane };
      const inside = deep - tops[number] - pad, place = Math.floor(inside / trackHeight), folded = chart.folded.has(lane.name);
      const tracks = folded ? lane.tracks : [lane.tracks[Math.min(Math.max(place, 0), lane.tracks.length - 1)]];
      const inStrip = !folded && inside - place * trackHeight > trackHeight - 6;
      return { part: "track", lane, found: this.hit(x, tracks, inStrip) };
    }
    return { part: "" };
  }

  hit(x, tracks, inStrip) {
    const { chart } = this, time = this.time(x), reach = this.time(x + 1.5) - time;
    const { layout, now, states, hidden } = chart;
    return hit(layout, tracks, { from: time - reach, to: time + reach, now, states, hidden, inStrip });
  }

  time(x) {
    const { begin, end } = this.chart.window(), { left, right } = this.chart.picture.area;
    return begin + ((x - left) / (right - left)) * (end - begin);
  }

  place(event) {
    const box = this.chart.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  down(event) {
    if (event.button !== 0) return;
    const [x, y] = this.place(event), { part, lane } = this.at(x, y);
    this.start = { x, y, part, lane, view: this.chart.window(), top: this.chart.scroller.scrollTop, moved: false };
    if (part === "axis" || event.shiftKey) this.start.range = true;
    this.chart.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const [x, y] = this.place(event), { chart, start } = this;
    if (!start) return this.hover(x, y);
    if (!start.moved && Math.hypot(x - start.x, y - start.y) < CLICK) return;
    start.moved = true;
    this.tip.hide();
    if (start.range) {
      chart.range = [start.x, x].map((edge) => Math.max(edge, chart.picture.area.left));
      chart.invalidate();
    } else if (start.part !== "label" && event.pointerType !== "touch") {
      chart.canvas.className = "pan";
      const by = ((start.x - x) / (chart.picture.area.right - chart.picture.area.left)) * (start.view.end - start.view.begin);
      if (chart.view || Math.abs(x - start.x) > 12) chart.show(start.view.begin + by, start.view.end + by);
      chart.scroller.scrollTop = start.top + start.y - y;
    }
  }

  hover(x, y) {
    const { chart } = this, { part, found, lane } = this.at(x, y);
    chart.canvas.className = { axis: "range", label: lane?.tracks.length ? "label" : "" }[part] ?? (found ? "bar" : "");
    this.hovered = found ?? null;
    this.last = [x, y];
    if (!found) return this.tip.hide();
    this.say(found, x, y);
  }

  say(found, x, y) {
    const { chart } = this, parts = found.count > 1 ? describeMany(chart, found) : describe(chart, found);
    const box = chart.canvas.getBoundingClientRect();
    this.tip.show(parts, x + box.left, y + box.top);
  }

  /** What was asked for has come. */
  told(row) {
    if (this.hovered?.row === row && this.hovered.count === 1) this.say(this.hovered, ...this.last);
  }

  up(event) {
    const { chart, start } = this;
    this.start = null;
    chart.canvas.className = "";
    if (!start) return;
    if (chart.range) {
      const [from, to] = chart.range.map((x) => this.time(x)).sort((a, b) => a - b);
      chart.range = null;
      chart.show(from, to);
    } else if (!start.moved) this.click(...this.place(event));
  }

  click(x, y) {
    const { part, lane, found } = this.at(x, y);
    if (part === "label") this.chart.toggleFold(lane);
    else if (part === "track") this.chart.select(found?.count === 1 ? found.row : -1);
    this.chart.scroller.focus({ preventScroll: true });
  }

  cancel() {
    this.start = this.chart.range = null;
    this.chart.invalidate();
  }

  double(event) {
    const { found } = this.at(...this.place(event)), { chart } = this;
    if (found?.count !== 1) return chart.fit();
    const times = chart.rows.times(found.row, chart.now);
    const begin = Number.isNaN(times.waitStart) ? times.runStart : times.waitStart;
    const end = Number.isNaN(times.runEnd) ? times.waitEnd : times.runEnd, margin = Math.max((end - begin) * 0.25, 1e-5);
    chart.show(begin - margin, end + margin);
  }

  wheel(event) {
    const { chart } = this, { left, right } = chart.picture.area, [x] = this.place(event);
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const pixels = (delta) => delta * [1, 16, 400][event.deltaMode];
    if (event.ctrlKey || event.metaKey) {
      const share = Math.min(1, Math.max(0, (x - left) / (right - left)));
      chart.zoom(Math.exp(Math.min(400, Math.max(-400, pixels(event.deltaY))) * (event.deltaMode || Math.abs(event.deltaY) > 40 ? 0.002 : 0.01)), share);
    } else if (sideways && chart.view) chart.pan(pixels(event.deltaX || event.deltaY) / (right - left));
    else return; // the page scrolls, or the lanes do
    event.preventDefault();
    this.tip.hide();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    KEYS[event.key](this.chart);
    event.preventDefault();
    event.stopPropagation();
  }
}
