// What is under the pointer, and what is said about it. All text is set as text, never as HTML.

/** The rows of some tracks whose bars are within a pixel of a time: {row, waiting} if there is one, else their counts. */
function hit(layout, tracks, { from, to, now, states, hidden, inStrip }) {
  const { rows } = layout, ran = [], waits = [], { state } = rows.columns;
  let running = 0, waiting = 0;
  for (const track of tracks) {
    visible(layout, track, from, to, (row) => {
      if (hidden.has(state[row])) return;
      const times = rows.times(row, now);
      if (times.runStart <= to && Math.max(times.runEnd, times.runStart) >= from) {
        running++;
        if (ran.length < 5000) ran.push(row);
      } else if (times.waitStart <= to && times.waitEnd >= from && times.waitEnd > times.waitStart) {
        waiting++;
        if (waits.length < 5000) waits.push(row);
      }
    });
  }
  const useWaits = (inStrip && waiting > 0) || running === 0, found = useWaits ? waits : ran, count = useWaits ? waiting : running;
  if (!count) return null;
  const worst = found.reduce((one, other) => (states[state[other]].rank < states[state[one]].rank ? other : one));
  const longest = found.reduce((one, other) => (length(rows, other, now) > length(rows, one, now) ? other : one));
  // A bar that is wider than the pointer is what is meant, even if it touches its neighbour.
  const alone = count === 1 || (!useWaits && tracks.length === 1 && length(rows, longest, now) > 3 * (to - from));
  const row = count === 1 ? found[0] : longest;
  return alone ? { row, waiting: useWaits, count: 1 } : { row: worst, waiting: useWaits, count, counts: tally(rows, found, states) };
}

function length(rows, row, now) {
  const times = rows.times(row, now);
  return times.runStart === times.runStart ? times.runEnd - times.runStart : 0;
}

function tally(rows, found, states) {
  const counts = new Map();
  for (const row of found) counts.set(rows.columns.state[row], (counts.get(rows.columns.state[row]) ?? 0) + 1);
  return [...counts].sort(([one], [other]) => states[one].rank - states[other].rank);
}

/** The box beside the pointer. It lies above everything, so that no cell cuts it off. */
class Tip {
  constructor(root) {
    this.box = tagged("div", "tip");
    this.box.setAttribute("role", "status");
    this.box.popover = "manual";
    root.append(this.box);
  }

  hide() {
    if (this.box.matches(":popover-open")) this.box.hidePopover();
  }

  /** Show it beside a place of the window. */
  show(parts, x, y) {
    const { box } = this;
    box.replaceChildren(...parts);
    if (!box.matches(":popover-open")) box.showPopover();
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${x + 14 + width < innerWidth ? x + 14 : Math.max(4, x - width - 14)}px`;
    box.style.top = `${y + 16 + height < innerHeight ? y + 16 : Math.max(4, y - height - 12)}px`;
  }
}

/** What is said about one row. `detail` is what was asked for, if it has come. */
function describe(chart, { row, waiting }) {
  const { rows, clock, states, now } = chart, { attempt, run, wait, state } = rows.columns, times = rows.times(row, now);
  const own = states[state[row]], task = chart.detail(row, "task"), step = rows.text("step", row);
  const head = tagged("h4"), chip = tagged("i");
  chip.style.background = own[chart.theme.name];
  head.append(chip, document.createTextNode(task || step || rows.text(chart.layout.kind, row) || `row ${row + 1}`));
  const list = tagged("dl"), add = (term, text, kind) => {
    if (!text) return;
    list.append(tagged("dt", "", term), tagged("dd", kind, text));
  };
  const zero = chart.full.begin, since = (at) => (clock.elapsed ? clock.exact(at) : `${clock.exact(at)}  (+${secondsText(at - zero)})`);
  add("State", `${own.mark} ${own.name}`.trim());
  if (task && step && !task.startsWith(step)) add("Step", step);
  if (attempt[row]) add("Attempt", String(attempt[row]));
  if (times.waitStart === times.waitStart && wait[row] >= 0) add("Waited", `${secondsText(times.waitEnd - times.waitStart)}${wait[row] === Infinity ? " so far" : ""}`);
  if (times.runStart === times.runStart && run[row] >= 0) add("Ran", `${secondsText(times.runEnd - times.runStart)}${run[row] === Infinity ? " so far" : ""}`);
  if (times.waitStart === times.waitStart) add("Queued", since(wait[row] < 0 && run[row] === run[row] ? times.runStart - wait[row] : times.waitStart));
  if (times.runStart === times.runStart) add("Started", since(times.runStart));
  if (Number.isFinite(run[row]) && !rows.columns.endless[row]) add("Finished", since(times.runStart + run[row]));
  for (const [kind, title] of chart.kinds) if (!["task", "step"].includes(kind)) add(title, rows.text(kind, row));
  add("Error", chart.detail(row, "error"), "error");
  const parts = [head, list];
  if (rows.columns.endless[row]) parts.push(tagged("p", "", "It ended, nobody knows when."));
  else if (rows.isMark(row)) parts.push(tagged("p", "", "Its times contradict each other: the clocks of the machines differ."));
  if (waiting && times.runStart === times.runStart) parts.push(tagged("p", "", "Here it waited."));
  return parts;
}

/** What is said about a place that many share. */
function describeMany(chart, { count, counts, waiting }) {
  const head = tagged("h4", "", `${count.toLocaleString("en")} ${waiting ? "wait" : "bars"} here`);
  const list = tagged("dl");
  for (const [state, each] of counts) {
    list.append(tagged("dt", "", each.toLocaleString("en")), tagged("dd", "", `${chart.states[state].mark} ${chart.states[state].name}`.trim()));
  }
  return [head, list, tagged("p", "", "Zoom in to tell them apart: Ctrl + wheel, or drag along the time axis.")];
}
