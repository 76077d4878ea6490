// Rows as columns, as they come from Python in one block of bytes. What at, wait and run mean is said in parts.py.

const TYPES = { f8: Float64Array, f4: Float32Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
const SPARE = 1.25; // room for rows that come later, so that not each of them copies everything

class Rows {
  constructor() {
    this.count = 0;
    this.columns = {};
    this.names = {}; // kind of lanes → texts; a code of 0 is none, 1 the first text
    this.texts = {}; // what only the hover shows, by row; rows without it are asked for
    this.tick = 0; // seconds that times may be wrong by
    this.stateCounts = new Uint32Array(256);
    this.openCount = 0;
    this.begin = Infinity; // the first time of all
    this.end = -Infinity; // the last one that is over
    this.waits = false; // whether anything waited
  }

  /** Take rows: new ones, or those that `ids` in the block names. Returns the numbers of the rows, null for all. */
  put(head, bytes) {
    const buffer = aligned(bytes), found = {};
    for (const [name, type, offset, length] of head.columns) found[name] = new TYPES[type](buffer, offset, length);
    for (const [name, value] of Object.entries(head.same)) found[name] = new (narrowest(value))(head.count).fill(value);
    if (head.tick) found.at = this.fromTicks(found.at, head);
    for (const [kind, { from, texts }] of Object.entries(head.names)) {
      const known = (this.names[kind] ??= []);
      known.length = from;
      for (const text of texts) known.push(text);
    }
    const ids = found.ids ?? null;
    delete found.ids;
    if (ids) for (const id of ids) if (id < this.count) this.tally(id, -1);
    const size = ids ? ids.reduce((most, id) => Math.max(most, id + 1), this.count) : head.count;
    for (const [name, values] of Object.entries(found)) this.store(name, values, ids, size);
    for (const [name, values] of Object.entries(head.texts ?? {})) {
      const texts = (this.texts[name] ??= []);
      values.forEach((value, place) => { texts[ids ? ids[place] : place] = value; });
    }
    this.count = size;
    if (ids) for (const id of ids) this.tally(id, 1);
    else this.tallyAll();
    return ids;
  }

  /** Times that were told as whole numbers of ticks. */
  fromTicks(ticks, { zero, tick }) {
    const found = new Float64Array(ticks.length);
    for (let row = 0; row < found.length; row++) found[row] = zero + ticks[row] * tick;
    this.tick = Math.max(this.tick, tick);
    return found;
  }

  /** Count a row, or with -1 cease to count it. */
  tally(row, by) {
    const { state, at, run, wait } = this.columns, length = run[row], waited = wait[row], ran = length === length;
    this.stateCounts[state[row]] += by;
    if (length === Infinity || (!ran && waited === Infinity)) this.openCount += by;
    if (by < 0) return;
    const lasted = ran ? length : waited;
    if (waited > 0) this.waits = true;
    this.begin = Math.min(this.begin, ran && waited > 0 ? at[row] - waited : at[row]);
    this.end = Math.max(this.end, lasted > 0 && lasted < Infinity ? at[row] + lasted : at[row]);
  }

  /** The same for all rows, in one loop: a million of them shall not be felt. */
  tallyAll() {
    const { columns: { state, at, run, wait }, stateCounts, count } = this;
    let begin = Infinity, end = -Infinity, waits = false, open = 0;
    for (let row = 0; row < count; row++) {
      const from = at[row], length = run[row], waited = wait[row], ran = length === length, lasted = ran ? length : waited;
      stateCounts[state[row]]++;
      if (lasted === Infinity) open++;
      if (waited > 0) waits = true;
      const first = ran && waited > 0 ? from - waited : from, last = lasted > 0 && lasted < Infinity ? from + lasted : from;
      if (first < begin) begin = first;
      if (last > end) end = last;
    }
    Object.assign(this, { begin, end, waits, openCount: open });
  }

  store(name, values, ids, size) {
    let array = this.columns[name];
    if (!array && !ids) { // room for more is made when more comes
      this.columns[name] = values;
      return;
    }
    const wider = array && array.BYTES_PER_ELEMENT < values.BYTES_PER_ELEMENT;
    if (!array || wider || array.length < size) {
      const Type = !array || wider ? values.constructor : array.constructor;
      const larger = new Type(Math.ceil(size * SPARE));
      if (array) larger.set(array.subarray(0, this.count));
      array = this.columns[name] = larger;
    }
    if (!ids) array.set(values);
    else for (let place = 0; place < ids.length; place++) array[ids[place]] = values[place];
  }

  /** When a row began to wait and to run and when it ceased to, in seconds; NaN for what it did not do. */
  times(row, now) {
    const at = this.columns.at[row], wait = this.columns.wait[row], run = this.columns.run[row];
    const ran = run === run, open = Math.max(now, at);
    return {
      waitStart: wait === wait ? (ran ? at - Math.max(wait, 0) : at) : NaN,
      waitEnd: wait === Infinity ? open : wait === wait ? (ran ? at : at + Math.max(wait, 0)) : NaN,
      runStart: ran ? at : NaN,
      runEnd: run === Infinity ? open : at + Math.max(run, 0),
    };
  }

  /** The text of a row in a column of names; "" if it has none. */
  text(kind, row) {
    const code = this.columns[`lane:${kind}`]?.[row];
    return code ? this.names[kind][code - 1] : "";
  }

  isMark(row) {
    const { run, wait, endless } = this.columns;
    return run[row] < 0 || (wait[row] < 0 && run[row] === run[row]) || endless[row] === 1;
  }

  isOpen(row) {
    const { run, wait } = this.columns;
    return run[row] === Infinity || (run[row] !== run[row] && wait[row] === Infinity);
  }
}

/** The bytes where typed arrays can look at them. */
function aligned(bytes) {
  const view = ArrayBuffer.isView(bytes) ? bytes : new Uint8Array(bytes);
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

function narrowest(value) {
  return value < 2 ** 8 ? Uint8Array : value < 2 ** 16 ? Uint16Array : Uint32Array;
}
