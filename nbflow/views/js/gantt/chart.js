// The chart: the picture, its lanes, zoom, and what follows when rows come or change.

const TALLEST = 440; // of the lanes before they scroll
const LARGEST_PAGE = 8e6; // pixels a browser can scroll over

class Chart {
  /** Put a chart into a shadow root. `hooks`: click(row), ask(row). */
  constructor(root, data, hooks = {}) {
    Object.assign(this, { root, data, hooks });
    this.clock = new Clock(data.head.scale, data.head.zone);
    this.view = null; // the times at the edges; null: all of it
    this.folded = new Set(); // names of lanes
    this.hidden = new Set(); // numbers of states
    this.showPath = data.head.path.length > 0 && data.rows.count <= 100;
    this.selected = -1;
    this.theme = themeOf(root.host);
    this.lay(data.head.lanes);
    this.build();
  }

  build() {
    this.box = tagged("div", "gantt");
    const style = tagged("style", "", GANTT_STYLE);
    this.root.replaceChildren(style, this.box);
    this.controls = new Controls(this, this.box);
    this.scroller = tagged("div", "scroller");
    this.scroller.tabIndex = 0;
    this.scroller.setAttribute("role", "img");
    this.inner = tagged("div");
    this.canvas = tagged("canvas");
    this.inner.append(this.canvas);
    this.scroller.append(this.inner);
    this.box.append(this.scroller, this.controls.bottom, this.controls.notes);
    this.box.setAttribute("data-lm-suppress-shortcuts", "true"); // keys pressed here are not meant for the notebook
    this.picture = new Picture(this);
    this.pointer = new Pointer(this);
    this.scroller.addEventListener("scroll", () => this.draw());
    this.resize = new ResizeObserver(() => this.resized());
    this.resize.observe(this.scroller);
    watchTheme(this);
    this.changed();
  }

  destroy() {
    this.resize.disconnect();
    clearTimeout(this.growing);
    clearTimeout(this.repacking);
    cancelAnimationFrame(this.frame);
    this.gone = true;
  }

  get rows() { return this.data.rows; }
  get states() { return this.data.head.states; }
  get kinds() { return this.data.head.kinds; }
  get title() { return this.data.head.title; }
  get notes() { return this.data.head.notes; }
  get path() { return this.data.head.path; }
  get now() { return this.data.now(); }
  get anyWaits() { return this.rows.waits; }

  /** Rows have come or changed; null: everything. */
  update(ids) {
    if (!this.root.host.isConnected) {
      this.stale = true; // an output that is scrolled away or gone; seen again it is laid out anew
      return;
    }
    const began = performance.now();
    if (ids) this.layout.place(ids);
    else this.lay(this.layout.kind);
    this.changed();
    this.updated = performance.now() - began;
    if (this.layout.ragged && !this.repacking && this.rows.count < 200_000) {
      this.repacking = setTimeout(() => {
        this.repacking = 0;
        this.layout.build();
        this.changed();
      }, 1500);
    }
  }

  lay(kind) {
    this.stale = false;
    this.layout = new Layout(this.rows, kind, this.data.head.missing[kind]);
  }

  resized() {
    if (this.stale) this.lay(this.layout.kind);
    this.restyled();
  }

  /** The page may have another theme, or the chart another page. */
  restyled() {
    this.theme = themeOf(this.root.host);
    this.changed();
  }

  changed() {
    this.full = this.data.extent();
    this.arrange();
    this.invalidate();
  }

  invalidate() {
    if (!this.frame && !this.gone) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
  }

  /** Heights of tracks and tops of lanes. */
  arrange() {
    const lanes = this.layout.shown, tracks = lanes.reduce((sum, lane) => sum + (this.folded.has(lane.name) ? 1 : lane.tracks.length), 0);
    this.trackHeight = tracks <= 16 ? 23 : tracks <= 40 ? 18 : 14;
    this.pad = tracks <= 40 ? 4 : 2;
    this.tops = new Float64Array(lanes.length + 1);
    lanes.forEach((lane, number) => {
      const own = this.folded.has(lane.name) ? FOLDED : lane.tracks.length * this.trackHeight;
      this.tops[number + 1] = this.tops[number] + own + 2 * this.pad;
    });
    this.tall = Math.max(this.tops[lanes.length], 30);
    const most = this.data.head.height ? Math.max(80, this.data.head.height - AXIS) : TALLEST;
    this.height = AXIS + Math.min(this.tall, most);
    this.scroller.style.height = `${this.height}px`;
    this.page = Math.min(AXIS + this.tall, LARGEST_PAGE);
    this.inner.style.height = `${this.page}px`;
    this.controls.refresh();
    this.scroller.setAttribute("aria-label", `${this.title || "Gantt chart"}: ${this.summary()}`);
  }

  /** Pixels of the lanes that are above what is shown. */
  get scrolled() {
    const room = this.page - this.height;
    return room > 0 ? (this.scroller.scrollTop / room) * (AXIS + this.tall - this.height) : 0;
  }

  /** The times at the edges. */
  window() {
    if (this.view) return this.view;
    const { begin } = this.full, end = this.data.live() ? Math.max(this.full.end, this.now) : this.full.end;
    const margin = (end - begin) * 0.01;
    return { begin: begin - margin, end: end + margin * 1.5 };
  }

  draw() {
    const began = performance.now(), width = this.scroller.clientWidth;
    if (!width || this.gone) return;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${this.height}px`;
    this.picture.draw(width);
    this.drawn = performance.now() - began;
    this.painted = (this.painted ?? 0) + 1;
    if (this.painted === 1) { // seen with the next frame
      requestAnimationFrame(() => { this.firstSeen = (performance.timeOrigin + performance.now()) / 1000; });
    }
    this.grow();
  }

  /** Draw again soon while open bars grow. */
  grow() {
    clearTimeout(this.growing);
    if (!this.data.live() || !this.layout.tracks.some((track) => track.open.size)) return;
    const { begin, end } = this.window();
    this.growing = setTimeout(() => { this.changedNow(); }, Math.min(1000, Math.max(100, ((end - begin) / 1500) * 1000)));
  }

  changedNow() {
    this.full = this.data.extent();
    this.controls.summary.textContent = this.summary();
    this.invalidate();
  }

  // --- what people do ---------------------------------------------------------------------------------------------

  setLanes(kind) {
    this.lay(kind);
    this.folded.clear();
    this.scroller.scrollTop = 0;
    this.changed();
  }

  toggleFold(lane) {
    if (!this.folded.delete(lane.name)) this.folded.add(lane.name);
    this.changed();
  }

  foldAll() {
    const lanes = this.layout.shown, all = lanes.every((lane) => this.folded.has(lane.name));
    this.folded = new Set(all ? [] : lanes.map((lane) => lane.name));
    this.changed();
  }

  togglePath() {
    this.showPath = !this.showPath;
    this.changed();
  }

  toggleState(number) {
    if (!this.hidden.delete(number)) this.hidden.add(number);
    this.changed();
  }

  fit() {
    this.view = null;
    this.invalidate();
  }

  /** Show so many times as much time as now, with the time at a share of the width staying where it is. */
  zoom(factor, share = 0.5) {
    const { begin, end } = this.window(), at = begin + (end - begin) * share;
    this.show(at - (at - begin) * factor, at + (end - at) * factor);
  }

  pan(share) {
    const { begin, end } = this.window(), by = (end - begin) * share;
    this.show(begin + by, end + by);
  }

  /** Show a stretch of time, as far as there is something. */
  show(begin, end) {
    const { full } = this, whole = (full.end - full.begin) * 1.05, least = Math.max(2e-6, Math.abs(begin) * 1e-15);
    const span = Math.max(end - begin, least), middle = (begin + end) / 2;
    if (span >= whole) return this.fit();
    const low = full.begin - span * 0.1, high = full.end + span * 0.1;
    const from = Math.min(Math.max(middle - span / 2, low), Math.max(low, high - span));
    this.view = { begin: from, end: from + span };
    this.invalidate();
  }

  select(row) {
    this.selected = row;
    this.invalidate();
    if (row >= 0) this.hooks.click?.(row);
  }

  // --- what is asked ----------------------------------------------------------------------------------------------

  /** A text that only the hover shows; asked for if it is not here. */
  detail(row, name) {
    const texts = this.rows.texts[name];
    if (texts && row in texts) return texts[row];
    if (this.data.head.asks) this.hooks.ask?.(row);
    return "";
  }

  /** Numbers of states that occur and how often, the worst first. */
  counts() {
    const ranked = this.states.map((_, number) => number).sort((a, b) => this.states[a].rank - this.states[b].rank);
    const { stateCounts } = this.rows;
    return ranked.filter((number) => stateCounts[number]).map((number) => [number, stateCounts[number]]);
  }

  summary() {
    const { count } = this.rows, { word } = this.data.head;
    if (!count) return "";
    const path = this.showPath && this.path.length ? ` · ${this.data.head.pathText}` : "";
    const zoomed = `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"} · ${secondsText(this.full.end - this.full.begin)}`;
    return zoomed + path;
  }
}
