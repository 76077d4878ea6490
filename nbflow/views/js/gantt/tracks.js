// Lanes and tracks: which row is drawn where. A lane has as many tracks as things ran in it at once; what only waited
// takes no track of its own. The same as lanes.py does for what stands still, with changes in place.

const TOLERANCE = 1e-6; // seconds that times are rounded to
const ROUNDING = 1 - 2e-7; // durations have seven digits here
const BY_NAME = new Set(["worker", "queue"]);
const natural = new Intl.Collator("en", { numeric: true });

class Track {
  constructor(lane, number, size) {
    this.lane = lane;
    this.number = number;
    this.rows = new Uint32Array(size); // ordered by `at`
    this.keys = new Float64Array(size); // the `at` of each when it was put here; a row that has moved on stays behind
    this.count = 0;
    this.moved = 0; // rows that may have moved on
    this.open = new Map(); // rows that end now → whether they run
    this.running = 0;
    this.finite = -Infinity; // when the last one ended
    this.longest = 0; // seconds that a row that has ended reaches beyond its `at`
    this.waited = 0; // and how far before it
    this.blocks = null; // see there; made when the track is first drawn
  }

  /** When it is free. */
  get end() {
    return this.running ? Infinity : this.finite;
  }

  put(row, at) {
    if (this.count === this.rows.length) {
      const rows = new Uint32Array(Math.max(16, this.count * 2)), keys = new Float64Array(rows.length);
      rows.set(this.rows);
      keys.set(this.keys);
      this.rows = rows;
      this.keys = keys;
    }
    let place = this.count;
    if (place && this.keys[place - 1] > at) place = lowerBound(this.keys, this.count, at);
    if (place < this.count) {
      this.rows.copyWithin(place + 1, place, this.count);
      this.keys.copyWithin(place + 1, place, this.count);
    }
    this.rows[place] = row;
    this.keys[place] = at;
    this.count++;
    if (place < this.count - 1) this.blocks?.touch(place, true);
  }

  /** The place of a row that was put here for a time; -1 if it was not. */
  find(row, at) {
    for (let place = lowerBound(this.keys, this.count, at); place < this.count && this.keys[place] === at; place++) {
      if (this.rows[place] === row) return place;
    }
    return -1;
  }

  /** Note how far a row reaches, so that drawing a stretch of time knows where to begin to look. */
  measure(row, { at, wait, run }) {
    const length = run[row], waited = wait[row];
    if (length === length) {
      if (waited > this.waited) this.waited = waited;
      if (length === Infinity) this.setOpen(row, true);
      else {
        if (length > this.longest) this.longest = length;
        this.finite = Math.max(this.finite, at[row] + Math.max(length, 0) * ROUNDING);
      }
    } else if (waited === Infinity) this.setOpen(row, false);
    else if (waited > this.longest) this.longest = waited;
  }

  setOpen(row, runs) {
    this.open.set(row, runs);
    if (runs) this.running++;
  }

  close(row) {
    if (this.open.get(row)) this.running--;
    this.open.delete(row);
  }
}

class Layout {
  constructor(rows, kind, missing) {
    this.rows = rows;
    this.kind = kind;
    this.missing = missing;
    this.build();
  }

  /** Seconds that bars may overlap and still share a track. */
  get tolerance() {
    return TOLERANCE + 2 * this.rows.tick;
  }

  codes() {
    return this.kind ? this.rows.columns[`lane:${this.kind}`] : null;
  }

  name(code) {
    return code ? this.rows.names[this.kind][code - 1] : this.missing;
  }

  /** Everything from the beginning; costs some 100 ns a row. */
  build() {
    const { rows } = this, { count } = rows, codes = this.codes();
    this.lanes = [];
    this.byCode = new Map();
    this.tracks = [];
    this.ragged = false;
    this.trackOf = new Int32Array(Math.ceil(count * 1.1)).fill(-1);
    const order = ordered(rows.columns.at, count);
    const names = this.kind ? rows.names[this.kind].length : 0;
    const first = new Uint32Array(names + 2);
    if (codes) for (let row = 0; row < count; row++) first[codes[row] + 1]++;
    else first[1] = count;
    for (let code = 0; code <= names; code++) first[code + 1] += first[code];
    const next = first.slice(), sorted = new Uint32Array(count);
    for (let place = 0; place < count; place++) {
      const row = order ? order[place] : place;
      sorted[next[codes ? codes[row] : 0]++] = row;
    }
    for (let code = 0; code <= names; code++) {
      if (first[code + 1] > first[code]) this.pack(code, sorted.subarray(first[code], first[code + 1]));
    }
    this.arrange();
  }

  lane(code) {
    let lane = this.byCode.get(code);
    if (!lane) {
      lane = { code, name: this.name(code), tracks: [], count: 0, first: Infinity };
      this.byCode.set(code, lane);
      this.lanes.push(lane);
    }
    return lane;
  }

  pack(code, sorted) {
    const lane = this.lane(code), { at, run, wait } = this.rows.columns, free = new FreeTracks(), tolerance = this.tolerance;
    const mine = new Uint32Array(sorted.length), counts = [0];
    for (let place = 0; place < sorted.length; place++) {
      const row = sorted[place];
      if (run[row] !== run[row]) { counts[0]++; continue; }
      const track = free.take(at[row] + tolerance, at[row] + Math.max(run[row], 0) * ROUNDING);
      mine[place] = track;
      counts[track] = (counts[track] ?? 0) + 1;
    }
    const tracks = counts.map((count) => this.newTrack(lane, count));
    for (let place = 0; place < sorted.length; place++) {
      const track = tracks[mine[place]], row = sorted[place], from = at[row], length = run[row], waited = wait[row];
      track.rows[track.count] = row;
      track.keys[track.count++] = from;
      this.trackOf[row] = track.number;
      // As track.measure does; in place, since there may be a million rows.
      if (length === length) {
        if (waited > track.waited) track.waited = waited;
        if (length === Infinity) track.setOpen(row, true);
        else {
          if (length > track.longest) track.longest = length;
          const end = length > 0 ? from + length * ROUNDING : from;
          if (end > track.finite) track.finite = end;
        }
      } else if (waited === Infinity) track.setOpen(row, false);
      else if (waited > track.longest) track.longest = waited;
    }
    lane.count = sorted.length;
    lane.first = at[sorted[0]];
  }

  /** Put new and changed rows in their places. */
  place(ids) {
    const { rows } = this, codes = this.codes(), { at, run } = rows.columns;
    if (this.trackOf.length < rows.count) {
      const larger = new Int32Array(rows.count * 2).fill(-1);
      larger.set(this.trackOf);
      this.trackOf = larger;
    }
    for (const row of ids) {
      const lane = this.lane(codes ? codes[row] : 0), old = this.tracks[this.trackOf[row]];
      old?.close(row);
      const before = old?.lane === lane ? old.find(row, at[row]) : -1;
      if (before >= 0) {
        old.measure(row, rows.columns);
        old.blocks?.touch(before, false);
        continue;
      }
      if (old) {
        old.moved++;
        old.lane.count--;
        old.blocks = null; // where it was is not known any more
      }
      const track = run[row] === run[row] ? this.freeTrack(lane, at[row]) : lane.tracks[0] ?? this.newTrack(lane, 16);
      const again = track.moved ? track.find(row, at[row]) : -1; // it may come back to where it was
      if (again < 0) track.put(row, at[row]);
      else track.blocks?.touch(again, false);
      track.measure(row, rows.columns);
      this.trackOf[row] = track.number;
      lane.count++;
      lane.first = Math.min(lane.first, at[row]);
    }
    this.arrange();
  }

  freeTrack(lane, from) {
    const found = lane.tracks.find((track) => track.end <= from + this.tolerance);
    if (found) return found;
    // What comes late may fit before what is there already; that is found when everything is laid out anew.
    if (lane.tracks.some((track) => track.end < Infinity)) this.ragged = true;
    return this.newTrack(lane, 16);
  }

  newTrack(lane, size) {
    const track = new Track(lane, this.tracks.length, size);
    lane.tracks.push(track);
    this.tracks.push(track);
    return track;
  }

  /** Whether a row is still where a track has it. */
  holds(track, place) {
    const row = track.rows[place];
    return this.trackOf[row] === track.number && this.rows.columns.at[row] === track.keys[place];
  }

  /** Lanes from the top: workers and queues by name, others by when they began; what has no lane last. */
  arrange() {
    const byName = BY_NAME.has(this.kind);
    this.lanes.sort((a, b) => !a.code - !b.code || (byName ? natural.compare(a.name, b.name) : a.first - b.first));
    this.shown = this.lanes.filter((lane) => lane.count > 0);
  }
}

/** Tracks that are free from a time on: the lowest is found in as many steps as their number has digits. */
class FreeTracks {
  constructor() {
    this.size = 1;
    this.tree = new Float64Array(2).fill(-Infinity); // the least end of each branch; leaves are tracks
  }

  take(from, until) {
    if (this.tree[1] > from) this.grow();
    let node = 1;
    while (node < this.size) node = this.tree[2 * node] <= from ? 2 * node : 2 * node + 1;
    this.tree[node] = until;
    const track = node - this.size;
    for (node >>= 1; node; node >>= 1) this.tree[node] = Math.min(this.tree[2 * node], this.tree[2 * node + 1]);
    return track;
  }

  grow() {
    const old = this.tree, { size } = this;
    this.size *= 2;
    this.tree = new Float64Array(2 * this.size).fill(-Infinity);
    this.tree.set(old.subarray(size, 2 * size), this.size);
    for (let node = this.size - 1; node; node--) this.tree[node] = Math.min(this.tree[2 * node], this.tree[2 * node + 1]);
  }
}

/** Rows by time; null if they are in this order already. */
function ordered(at, count) {
  for (let row = 1; row < count; row++) {
    if (at[row] < at[row - 1]) return Uint32Array.from({ length: count }, (_, place) => place).sort((a, b) => at[a] - at[b]);
  }
  return null;
}

/** The first place whose key is not below a time. */
function lowerBound(keys, count, time) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
