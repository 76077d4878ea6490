// What stands around the bars: title, choice of lanes, buttons, legend, notes.

/** Build them once; `chart` answers what they do. */
class Controls {
  constructor(chart, root) {
    this.chart = chart;
    this.top = tagged("div", "top");
    this.title = tagged("div", "title");
    this.summary = tagged("div", "summary");
    const tools = tagged("div", "tools");
    this.lanes = tagged("select");
    this.lanes.setAttribute("aria-label", "Lanes by");
    this.lanes.addEventListener("change", () => chart.setLanes(this.lanes.value));
    this.lanesLabel = tagged("label", "", "Lanes by");
    this.fold = this.button("Fold", "Fold or unfold all lanes (f)", () => chart.foldAll());
    this.path = this.button("Critical path", "The chain of tasks that decided when the run ended (c)", () => chart.togglePath());
    tools.append(this.lanesLabel, this.lanes, this.fold, this.path,
      this.button("−", "Zoom out (-)", () => chart.zoom(1.6)),
      this.button("+", "Zoom in (+), or Ctrl + wheel", () => chart.zoom(1 / 1.6)),
      this.button("All", "Show all (0)", () => chart.fit()));
    this.top.append(this.title, this.summary, tools);
    this.bottom = tagged("div", "bottom");
    this.notes = tagged("ul", "notes");
    this.chips = new Map();
    root.append(this.top);
  }

  button(text, title, action) {
    const made = tagged("button", "", text);
    made.type = "button";
    made.title = title;
    made.addEventListener("click", action);
    return made;
  }

  /** Show what is so now. */
  refresh() {
    const { chart } = this;
    this.title.textContent = chart.title;
    this.title.hidden = !chart.title;
    this.summary.textContent = chart.summary();
    this.lanesLabel.hidden = this.lanes.hidden = chart.kinds.length < 2;
    if (this.lanes.options.length !== chart.kinds.length) {
      this.lanes.replaceChildren(...chart.kinds.map(([kind, title]) => new Option(title.toLowerCase(), kind)));
    }
    this.lanes.value = chart.layout.kind;
    const folded = chart.layout.shown.length > 0 && chart.layout.shown.every((lane) => chart.folded.has(lane.name));
    this.fold.textContent = folded ? "Unfold" : "Fold";
    this.path.hidden = chart.path.length === 0;
    this.path.setAttribute("aria-pressed", String(chart.showPath));
    this.legend();
    if (this.noted !== chart.notes.join()) {
      this.noted = chart.notes.join();
      this.notes.replaceChildren(...chart.notes.map((note) => tagged("li", "", note)));
    }
  }

  legend() {
    const { chart } = this, counts = chart.counts();
    for (const each of this.chips.values()) each.made.hidden = true;
    for (const [number, count] of counts) {
      if (!this.chips.has(number)) this.chips.set(number, this.chip(number));
      const { made, counted, box } = this.chips.get(number);
      box.style.background = chart.states[number][chart.theme.name];
      counted.textContent = count.toLocaleString("en");
      made.setAttribute("aria-pressed", String(!chart.hidden.has(number)));
      made.hidden = false;
    }
    if (!this.waiting) {
      this.waiting = tagged("span", "chip");
      const line = tagged("i", "line");
      this.waiting.append(line, document.createTextNode("waiting"));
    }
    this.waiting.firstChild.style.background = chart.theme.waited;
    const order = counts.map(([number]) => number).join();
    if (this.order !== order) {
      this.order = order;
      this.bottom.replaceChildren(...counts.map(([number]) => this.chips.get(number).made), this.waiting);
    }
    this.waiting.hidden = !chart.anyWaits;
  }

  chip(number) {
    const state = this.chart.states[number], counted = tagged("b"), box = tagged("i");
    const made = this.button("", "Show or hide these", () => this.chart.toggleState(number));
    made.className = "chip";
    made.append(box, document.createTextNode(`${state.mark} ${state.name || "bars"}`.trim()), counted);
    return { made, counted, box };
  }
}
