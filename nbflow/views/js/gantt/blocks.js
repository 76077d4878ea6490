// Rows of a track in blocks. Seen from afar a block is narrower than a pixel, and is drawn as one bar: a million rows are
// drawn in a few milliseconds, and what is in each pixel is the same.

const BLOCK = 16; // rows in one
const RANKS = 24; // states that are told apart here; where there are more, rows are drawn one by one

class Blocks {
  constructor(layout, track) {
    Object.assign(this, { layout, track, count: 0, dirty: new Set() });
    this.room(Math.ceil(track.count / BLOCK) + 1);
  }

  room(size) {
    const grown = (old, Type, each = 1) => {
      const array = new Type(size * each);
      if (old) array.set(old.subarray(0, this.count * each));
      return array;
    };
    this.until = grown(this.until, Float64Array); // when the last bar ends
    this.waitFrom = grown(this.waitFrom, Float64Array); // when the first of those that ran began to wait
    this.stillFrom = grown(this.stillFrom, Float64Array); // and the first of those that still wait
    this.ranks = grown(this.ranks, Uint32Array); // a bit for each state that ran
    this.busy = grown(this.busy, Float32Array, RANKS); // seconds that each state ran
    this.special = grown(this.special, Uint8Array); // whether its rows have to be drawn one by one
  }

  /** Whether a block that begins at this place of the track can be drawn as one. */
  has(place, states) {
    if (place % BLOCK || place + BLOCK > this.track.count || states.length > RANKS) return false;
    const number = place / BLOCK;
    if (number >= this.count) {
      if (number >= this.until.length) this.room(2 * number + 1);
      while (this.count <= number) this.measure(this.count++, states);
    } else if (this.dirty.delete(number)) this.measure(number, states);
    return !this.special[number];
  }

  /** A row at a place has changed, or others have been put before those from there on. */
  touch(place, onwards) {
    const number = Math.floor(place / BLOCK);
    if (onwards) this.count = Math.min(this.count, number);
    else if (number < this.count) this.dirty.add(number);
  }

  measure(number, states) {
    const { rows, count } = this.track, { at, wait, run, state, endless } = this.layout.rows.columns, first = number * BLOCK;
    let until = -Infinity, waitFrom = Infinity, stillFrom = Infinity, ranks = 0, special = 0;
    this.busy.fill(0, number * RANKS, (number + 1) * RANKS);
    for (let place = first; place < first + BLOCK && place < count; place++) {
      const row = rows[place], from = at[row], length = run[row], waited = wait[row];
      if (this.track.moved && !this.layout.holds(this.track, place)) continue;
      if (length !== length && waited === Infinity) stillFrom = Math.min(stillFrom, from);
      else if (!(length >= 0 && length < Infinity) || endless[row] || waited < 0) special = 1;
      else {
        const { rank } = states[state[row]];
        ranks |= 1 << rank;
        this.busy[number * RANKS + rank] += length;
        if (from + length > until) until = from + length;
        if (waited > 0 && from - waited < waitFrom) waitFrom = from - waited;
      }
    }
    this.until[number] = until;
    this.waitFrom[number] = waitFrom;
    this.stillFrom[number] = stillFrom;
    this.ranks[number] = ranks;
    this.special[number] = special;
  }
}
