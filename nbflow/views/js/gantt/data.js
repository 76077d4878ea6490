// What Python sends: rows, and the head that says how they shall look. Several charts may show the same data.

const GROWING = 6; // seconds after the last word from Python for which open bars grow

class Data {
  constructor() {
    this.rows = new Rows();
    this.head = {};
    this.charts = new Set(); // of weak references
    this.version = -1;
  }

  *living() {
    for (const reference of this.charts) {
      const chart = reference.deref();
      if (!chart || chart.gone) this.charts.delete(reference);
      else yield chart;
    }
  }

  /** Take a block of rows. False if one before it was missed, so that all of them are needed. */
  put(head, bytes) {
    const began = performance.now();
    if (!head.whole && head.version !== this.version + 1) return head.version <= this.version;
    this.version = head.version;
    if (head.whole) this.rows = new Rows();
    const ids = this.rows.put(head, bytes);
    Object.assign(this.head, head.look);
    this.told = { now: head.now, heard: performance.now(), live: head.live };
    for (const chart of this.living()) chart.update(head.whole ? null : ids);
    this.took = [...(this.took ?? []), performance.now() - began].slice(-50);
    return true;
  }

  /** Python is still there and nothing has changed, or nothing will change any more. */
  heard(now, live) {
    this.told = { now, heard: performance.now(), live };
    for (const chart of this.living()) chart.changed();
  }

  /** What was asked for about a row. */
  detail(row, texts) {
    for (const [name, text] of Object.entries(texts)) (this.rows.texts[name] ??= {})[row] = text;
    for (const chart of this.living()) chart.pointer.told(row);
  }

  live() {
    return this.told.live && performance.now() - this.told.heard < GROWING * 1000;
  }

  /** Now by the clock of Python, whose times these are; when it is silent, soon after the last time that it told. */
  now() {
    return this.told.now + (this.told.live ? Math.min(GROWING, (performance.now() - this.told.heard) / 1000) : 0);
  }

  /** The first and the last time of all. */
  extent() {
    const now = this.now(), { count, begin, openCount } = this.rows;
    if (!count) return { begin: now - 1, end: now };
    const end = openCount ? Math.max(this.rows.end, now) : this.rows.end;
    return { begin, end: end > begin ? end : begin + 1e-3 };
  }
}
