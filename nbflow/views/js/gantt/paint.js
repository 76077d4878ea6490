// Bars on a canvas. What is narrower than a few pixels is merged: each pixel shows the worst state of what is there.

const NARROW = 3; // device pixels below which bars are merged
const NONE = 255;
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif";

/** What all tracks of one picture share: the canvas, the scale, the colours. */
class Painter {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.widths = new Map();
  }

  /** Begin a picture of a size in CSS pixels; `area` is where bars go. Drawing is in device pixels. */
  begin(width, height, area, view, theme) {
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const wide = Math.round(width * ratio), high = Math.round(height * ratio);
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
    }
    Object.assign(this, { ratio, wide, high, theme });
    this.left = Math.round(area.left * ratio);
    this.right = Math.round(area.right * ratio);
    this.columns = Math.max(1, this.right - this.left);
    this.begins = view.begin;
    this.scale = this.columns / (view.end - view.begin);
    this.merged = new Uint8Array(this.columns);
    this.waits = new Int32Array(this.columns + 1);
    this.stillWaits = new Int32Array(this.columns + 1);
    this.context.clearRect(0, 0, wide, high);
  }

  /** Device pixels from the left edge of the area. */
  x(time) {
    return (time - this.begins) * this.scale;
  }

  text(text, x, y, { size = 11, weight = "", align = "left", fill = this.theme.text, most = Infinity } = {}) {
    const { context, ratio } = this;
    context.font = `${weight} ${size * ratio}px ${FONT}`;
    context.fillStyle = fill;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.fillText(most === Infinity ? text : this.cut(text, most * ratio), x, y);
  }

  measure(text) {
    const key = `${this.context.font}|${text}`;
    if (!this.widths.has(key)) {
      if (this.widths.size > 5000) this.widths.clear();
      this.widths.set(key, this.context.measureText(text).width);
    }
    return this.widths.get(key);
  }

  /** As much of a text as there is room for, in the font that is set. */
  cut(text, room) {
    if (text.length > 200) text = text.slice(0, 200);
    if (this.measure(text) <= room) return text;
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.context.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle;
      else high = middle - 1;
    }
    return low ? `${text.slice(0, low)}…` : "";
  }

  /** One track: bars `high` from `top`, waiting as a line of `line` beneath; `label` gives the text of a row. */
  track(layout, track, { top, high, line, now, states, hidden, label }) {
    this.merged.fill(NONE);
    this.waits.fill(0);
    this.stillWaits.fill(0);
    const wide = [], marks = [], { rows } = layout, { at, wait, run, state, endless } = rows.columns;
    const one = (row) => {
      const own = state[row], from = at[row], length = run[row], waited = wait[row], ran = length === length;
      if (hidden.size && hidden.has(own)) return;
      if (waited > 0) {
        if (ran) this.cover(this.waits, from - waited, from);
        else if (waited < Infinity) this.cover(this.waits, from, from + waited);
        else this.cover(this.stillWaits, from, Math.max(now, from));
      }
      if (length < 0 || endless[row] || (waited < 0 && ran)) {
        marks.push(row);
        if (!(length > 0)) return;
      }
      if (ran) this.bar(from, length < Infinity ? from + length : Math.max(now, from), row, states[own].rank, wide);
    };
    const block = (blocks, number, first, x) => {
      const rank = worstOf(blocks.ranks[number], states, hidden);
      if (rank >= 0 && x >= 0 && x < this.columns) this.merge(x, Math.max(x + 0.5, this.x(blocks.until[number])), rank);
      if (blocks.waitFrom[number] < Infinity && rank >= 0) this.cover(this.waits, blocks.waitFrom[number], first);
      if (blocks.stillFrom[number] < Infinity) this.cover(this.stillWaits, blocks.stillFrom[number], Math.max(now, blocks.stillFrom[number]));
    };
    this.visit(layout, track, states, one, block);
    const lineTop = top + high + Math.max(1, Math.round(this.ratio));
    this.strip(this.waits, lineTop, line, this.theme.waited);
    this.strip(this.stillWaits, lineTop, line, this.theme.waiting);
    for (const [row, from, to] of wide) this.wideBar(row, from, to, top, high, states[state[row]], label, rows);
    this.flush(top, high, states);
    for (const row of marks) this.mark(rows.columns.at[row], top, high, states[state[row]]);
  }

  /** Merge a narrow bar, keep a wide one for later. */
  bar(start, end, row, rank, wide) {
    const from = this.x(start), to = this.x(end);
    if (to < 0 || from > this.columns) return;
    if (to - from >= NARROW) {
      wide.push([row, from, to]);
      return;
    }
    this.merge(from, to, rank);
  }

  /** Have the worst state win in each pixel of a stretch. */
  merge(from, to, rank) {
    const first = Math.max(0, Math.floor(from)), last = Math.min(this.columns - 1, Math.max(first, Math.ceil(to) - 1));
    for (let place = first; place <= last; place++) if (rank < this.merged[place]) this.merged[place] = rank;
  }

  /** Call `one` for each row that may be seen, and `block` in its place for blocks that are narrower than a pixel. */
  visit(layout, track, states, one, block) {
    const { keys, rows, count } = track, blocks = (track.blocks ??= new Blocks(layout, track));
    const begin = this.begins, end = begin + this.columns / this.scale, until = end + track.waited;
    const from = lowerBound(keys, count, begin - track.longest);
    for (let place = from; place < count && keys[place] <= until;) {
      if (place % BLOCK === 0 && place + BLOCK <= count) {
        const x = this.x(keys[place]), number = place / BLOCK;
        if (this.x(keys[place + BLOCK - 1]) - x < 1 && blocks.has(place, states) && this.x(blocks.until[number]) - x < 1) {
          block(blocks, number, keys[place + BLOCK - 1], x);
          place += BLOCK;
          continue;
        }
      }
      if (!track.moved || layout.holds(track, place)) one(rows[place]);
      place++;
    }
    if (from > 0) for (const row of track.open.keys()) if (layout.rows.columns.at[row] < begin - track.longest) one(row);
  }

  /** Add a stretch to counts by pixel, as its beginning and its end. */
  cover(counts, start, end) {
    const from = this.x(start), to = this.x(end);
    if (to < 0 || from > this.columns) return;
    counts[Math.max(0, Math.floor(from))]++;
    counts[Math.min(this.columns, Math.max(Math.floor(from) + 1, Math.ceil(to)))]--;
  }

  strip(counts, top, high, fill) {
    const { context } = this;
    context.fillStyle = fill;
    for (let place = 0, count = 0, from = -1; place <= this.columns; place++) {
      count += counts[place];
      if (count > 0 && place < this.columns) {
        if (from < 0) from = place;
      } else if (from >= 0) {
        context.fillRect(this.left + from, top, place - from, high);
        from = -1;
      }
    }
  }

  flush(top, high, states) {
    const { context, merged } = this, byRank = new Map(states.map((state) => [state.rank, state]));
    for (let place = 0; place < this.columns;) {
      const rank = merged[place];
      let end = place + 1;
      while (end < this.columns && merged[end] === rank) end++;
      if (rank !== NONE) {
        context.fillStyle = byRank.get(rank)[this.theme.name];
        context.fillRect(this.left + place, top, end - place, high);
      }
      place = end;
    }
  }

  wideBar(row, from, to, top, high, state, label, rows) {
    const { context, ratio } = this, left = Math.max(from, -20 * ratio), right = Math.min(to, this.columns + 20 * ratio);
    const width = Math.max(1, right - left - Math.min(ratio, (right - left) / 8)), x = this.left + left;
    const colour = state[this.theme.name];
    context.fillStyle = colour;
    context.beginPath();
    context.roundRect(x, top, width, high, Math.min(2.5 * ratio, width / 4));
    context.fill();
    if (rows.isOpen(row)) {
      context.fillStyle = this.stripes();
      context.fill();
    }
    const shown = Math.min(this.left + this.columns, x + width) - Math.max(this.left, x);
    if (shown < 14 * ratio || high < 9 * ratio) return;
    const size = Math.min(11, (high / ratio) * 0.82), words = [state.mark === "✓" ? "" : state.mark, label(row)].filter(Boolean).join(" ");
    context.font = `${size * ratio}px ${FONT}`;
    const text = this.cut(words, shown - 7 * ratio);
    if (text) this.text(text, Math.max(this.left, x) + 4 * ratio, top + high / 2 + 0.5 * ratio, { size, fill: onColour(colour) });
  }

  /** Stripes for what is not over, so that it is not told by its colour alone. */
  stripes() {
    if (this.striped?.ratio !== this.ratio) {
      const size = Math.round(8 * this.ratio), tile = new OffscreenCanvas(size, size), pen = tile.getContext("2d");
      pen.strokeStyle = "rgba(255,255,255,0.28)";
      pen.lineWidth = size / 3.2;
      pen.beginPath();
      for (const shift of [-size, 0, size]) {
        pen.moveTo(shift - 2, size + 2);
        pen.lineTo(shift + size + 2, -2);
      }
      pen.stroke();
      this.striped = { ratio: this.ratio, fill: this.context.createPattern(tile, "repeat") };
    }
    return this.striped.fill;
  }

  /** A diamond: here the times contradict each other, or the end is not known. */
  mark(time, top, high, state) {
    const { context } = this, x = this.left + this.x(time), size = Math.min(high / 2, 6 * this.ratio), y = top + high / 2;
    if (x < this.left - size || x > this.right + size) return;
    context.beginPath();
    context.moveTo(x, y - size);
    context.lineTo(x + size, y);
    context.lineTo(x, y + size);
    context.lineTo(x - size, y);
    context.closePath();
    context.fillStyle = state[this.theme.name];
    context.fill();
    context.strokeStyle = this.theme.text;
    context.lineWidth = this.ratio;
    context.stroke();
  }

  /** A folded lane: how much of it was busy, one state on the other, the worst on top. */
  folded(layout, lane, { top, high, now, states, hidden }) {
    const busy = new Map(), { at, wait, run, state } = layout.rows.columns, many = Math.max(1, lane.tracks.length);
    this.waits.fill(0);
    const part = (rank) => {
      if (!busy.has(rank)) busy.set(rank, [new Float32Array(this.columns + 2), new Float32Array(this.columns + 2)]);
      return busy.get(rank);
    };
    const one = (row) => {
      if (hidden.has(state[row])) return;
      const from = at[row], length = run[row], waited = wait[row], ran = length === length, { rank } = states[state[row]];
      if (waited > 0) this.cover(this.waits, ran ? from - waited : from, ran ? from : Math.max(from, Math.min(now, from + waited)));
      if (!ran) return;
      const [parts, steps] = part(rank), end = length < Infinity ? from + Math.max(length, 0) : Math.max(now, from);
      spread(parts, steps, this.x(from), this.x(end), this.columns);
    };
    const block = (blocks, number, first, x) => {
      const rank = worstOf(blocks.ranks[number], states, hidden);
      if (blocks.waitFrom[number] < Infinity && rank >= 0) this.cover(this.waits, blocks.waitFrom[number], first);
      if (blocks.stillFrom[number] < Infinity) this.cover(this.waits, blocks.stillFrom[number], Math.max(now, blocks.stillFrom[number]));
      if (x < 0 || x >= this.columns) return;
      for (let ranks = seenOf(blocks.ranks[number], states, hidden); ranks; ranks &= ranks - 1) {
        const each = 31 - Math.clz32(ranks & -ranks);
        part(each)[0][Math.floor(x)] += blocks.busy[number * RANKS + each] * this.scale;
      }
    };
    for (const track of lane.tracks) this.visit(layout, track, states, one, block);
    const line = Math.max(1, Math.round(2 * this.ratio));
    this.strip(this.waits, top + high - line, line, this.theme.waited);
    this.stack(busy, many, top, high - line - Math.round(this.ratio), states);
  }

  stack(busy, many, top, high, states) {
    const { context } = this, ranks = [...busy.keys()].sort((a, b) => b - a), base = new Float32Array(this.columns);
    const byRank = new Map(states.map((state) => [state.rank, state]));
    for (const rank of ranks) {
      const [part, steps] = busy.get(rank);
      context.fillStyle = byRank.get(rank)[this.theme.name];
      for (let place = 0, whole = 0; place < this.columns; place++) {
        whole += steps[place];
        const share = whole + part[place];
        if (share <= 1e-9) continue;
        const tall = Math.max(this.ratio, (share / many) * high);
        const y = Math.max(top, top + high - base[place] - tall);
        context.fillRect(this.left + place, y, 1, tall);
        base[place] = Math.min(high, base[place] + tall);
      }
    }
  }
}

/** Call `visit` for each row of a track that may reach into a stretch of time. */
function visible(layout, track, begin, end, visit) {
  const { keys, rows, count, moved } = track, from = lowerBound(keys, count, begin - track.longest);
  const until = end + track.waited;
  for (let place = from; place < count && keys[place] <= until; place++) {
    if (!moved || layout.holds(track, place)) visit(rows[place]);
  }
  if (from > 0) for (const row of track.open.keys()) if (layout.rows.columns.at[row] < begin - track.longest) visit(row);
}

/** Add a stretch to shares of pixels: `part` for pixels covered in part, `steps` for where whole ones begin and end. */
function spread(part, steps, from, to, columns) {
  if (to <= 0 || from >= columns) return;
  const first = Math.max(0, Math.floor(from)), last = Math.min(columns, Math.floor(to));
  if (last <= first) {
    part[first] += Math.max(to - Math.max(from, 0), 0.02);
    return;
  }
  part[first] += first + 1 - Math.max(from, 0);
  steps[first + 1]++;
  steps[last]--;
  if (last < columns) part[last] += to - last;
}

/** Black or white, whichever can be read on a colour. */
function onColour(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return red * 0.2126 + green * 0.7152 + blue * 0.0722 > 0.28 ? "#111" : "#fff";
}

/** Of ranks that are set as bits those whose states are not hidden. */
function seenOf(ranks, states, hidden) {
  for (const number of hidden) ranks &= ~(1 << states[number].rank);
  return ranks;
}

/** The worst of them; -1 if there is none. */
function worstOf(ranks, states, hidden) {
  const seen = seenOf(ranks, states, hidden);
  return seen ? 31 - Math.clz32(seen & -seen) : -1;
}
