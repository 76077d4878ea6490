// The parts of the monitor. Each is given the whole of the news and shows its share of it.

function topPart(data) {
  const dot = element("span", { class: "dot" });
  const news = element("span");
  const node = element(
    "div",
    { class: "top" },
    element("b", { text: "nbflow" }),
    element("span", { class: "where", text: data.where, title: data.where }),
    element("span", { class: "news" }, dot, news),
  );
  const tick = (age, stopped) => {
    dot.className = stopped ? "dot off" : age > 5 ? "dot old" : "dot";
    set(news, stopped ? "stopped" : age > 5 ? `no news for ${duration(Math.round(age))}` : "live");
  };
  return { node, tick };
}

function cardsPart() {
  const cards = {};
  const card = (name, label, kind = "") => {
    const [n, l, m] = ["n", "l", "m"].map((part) => element("div", { class: part }));
    l.textContent = label;
    const node = element("div", { class: `card ${kind}` }, n, l, m);
    cards[name] = { node, n, l, m };
    return node;
  };
  const node = element(
    "div",
    { class: "cards" },
    card("running", "running"),
    card("ready", "waiting"),
    card("later", "later"),
    card("rate", "started a second", "wide"),
    card("day", "runs today"),
    card("failed", "failed"),
    card("workers", "workers"),
  );
  const update = ({ totals, rates, workers }) => {
    set(cards.running.n, number(totals.running));
    set(cards.ready.n, number(totals.ready));
    set(cards.later.n, number(totals.later));
    cards.later.node.title = "Jobs that wait for a time, a limit, or other jobs";
    const last = rates.slice(-5);
    const rate = last.length ? last.reduce((sum, value) => sum + value, 0) / last.length : 0;
    set(cards.rate.n, rate >= 100 ? number(Math.round(rate)) : rate.toFixed(1));
    cards.rate.node.querySelector("svg")?.remove();
    if (rates.length > 1) cards.rate.node.append(sparkline(rates, "var(--accent)"));
    const day = Object.values(totals.day).reduce((sum, count) => sum + count, 0);
    set(cards.day.n, number(day));
    set(cards.day.m, totals.day.succeeded ? `${number(totals.day.succeeded)} succeeded` : "");
    const failed = (totals.day.failed ?? 0) + (totals.day.timed_out ?? 0);
    set(cards.failed.n, number(failed + totals.failed_jobs));
    const parts = [failed ? plural(failed, "run") : "", totals.failed_jobs ? plural(totals.failed_jobs, "job") : ""];
    set(cards.failed.m, parts.filter(Boolean).join(", "));
    cards.failed.node.classList.toggle("bad", failed + totals.failed_jobs > 0);
    set(cards.workers.n, number(workers.length));
    set(cards.workers.l, workers.length === 1 ? "worker" : "workers");
    set(cards.workers.m, workers.length ? `${totals.busy} of ${totals.places} busy` : "");
  };
  return { node, update };
}

function queuesPart(context) {
  const { table: node, body } = table([
    ["queue"], ["", ""], ["waiting", "num"], ["running", "num"], ["later", "num"], ["failed", "num"], [""],
  ]);
  const rows = keyedRows(body, (queue) => {
    const cells = ["", "", "num", "num", "num", "num", "act"].map((kind) => element("td", { class: kind }));
    const pill = element("span", { class: "pill" });
    const pause = actButton(context, "pause", () => ({ action: "pause_queue", target: queue.name }));
    const resume = actButton(context, "resume", () => ({ action: "resume_queue", target: queue.name }));
    const retry = actButton(context, "retry failed", () => ({ action: "retry_jobs", target: queue.name }), true);
    cells[0].textContent = queue.name;
    cells[0].title = queue.name;
    cells[1].append(pill);
    cells[6].append(retry, pause, resume);
    const update = (now) => {
      pill.textContent = now.state;
      pill.className = `pill ${now.state}`;
      pill.hidden = now.state === "open";
      set(cells[2], number(now.ready));
      cells[2].title = now.age ? `counted ${now.age} s ago` : "";
      set(cells[3], number(now.running));
      set(cells[4], number(now.later + now.held));
      cells[4].title = `${number(now.later)} have a time, ${number(now.held)} wait for limits or others`;
      set(cells[5], now.failed ? number(now.failed) : "");
      cells[5].style.color = "var(--bad)";
      pause.hidden = now.state !== "open";
      resume.hidden = now.state === "open";
      retry.hidden = !now.failed;
    };
    return { row: element("tr", {}, ...cells), update };
  });
  const section = element("section", {}, element("h4", { text: "Queues" }), node);
  return { node: section, update: ({ queues }) => rows(queues, (queue) => queue.name) };
}

function workersPart() {
  const { table: node, body } = table([["worker"], ["state"], ["places"], ["done", "num"], ["heard", "num"]]);
  const empty = element("div", { class: "empty", text: "None. Start some: nbflow worker" });
  const rows = keyedRows(body, (worker) => {
    const cells = ["", "", "", "num", "num soft"].map((kind) => element("td", { class: kind }));
    cells[0].textContent = `${worker.host}:${worker.pid}`;
    cells[0].title = `${worker.id}, serves ${worker.queues.join(", ") || "all queues"}`;
    const slots = element("span", { class: "slots" });
    cells[2].append(slots);
    const update = (now) => {
      set(cells[1], now.state);
      cells[2].title = `${now.busy} of ${now.concurrency} busy`;
      const shown = Math.min(now.concurrency, 16);
      const busy = Math.round((now.busy / now.concurrency) * shown);
      slots.replaceChildren(
        ...Array.from({ length: shown }, (_, n) => element("i", { class: n < busy ? "busy" : "" })),
      );
      set(cells[3], number(now.done));
      set(cells[4], now.seen < 8 ? "now" : `${now.seen} s ago`);
    };
    return { row: element("tr", {}, ...cells), update };
  });
  const section = element("section", {}, element("h4", { text: "Workers" }), node, empty);
  const update = ({ workers }) => {
    rows(workers, (worker) => worker.id);
    node.hidden = !workers.length;
    empty.hidden = workers.length > 0;
  };
  return { node: section, update };
}

function runningPart(context) {
  const { table: node, body, head } = table([
    ["task"], ["of"], ["worker"], ["for", "num"], ["progress"], [""],
  ]);
  head.className = "pad";
  const more = element("span", { class: "more" });
  const empty = element("div", { class: "empty", text: "Nothing runs now." });
  const tail = element("pre", { class: "tail" });
  const of = element("span");
  const close = element("button", { text: "×", "aria-label": "close", on: { click: () => choose(null) } });
  const log = element("div", { hidden: true }, element("div", { class: "tailhead" }, of, close), tail);
  let chosen = null;
  let items = [];
  const choose = (id, name = "") => {
    chosen = chosen === id ? null : id;
    log.hidden = chosen === null;
    of.textContent = name;
    tail.textContent = "";
    context.ask({ ask: "log", id: chosen });
    draw();
  };
  const rows = keyedRows(body, (task) => {
    const cells = ["", "soft", "soft", "num", "", "act"].map((kind) => element("td", { class: kind }));
    cells[0].textContent = task.name;
    cells[0].title = task.name + (task.attempt > 1 ? `, try ${task.attempt}` : "");
    cells[1].textContent = task.where;
    cells[2].textContent = task.worker.slice(0, 12);
    cells[2].title = task.worker;
    const fill = element("i", { style: { background: "var(--accent)" } });
    const bar = element("span", { class: "bar" }, fill);
    const said = element("span", { class: "faint" });
    cells[4].append(bar, said);
    const target = task.run ? { action: "cancel_run", target: task.run } : { action: "cancel_job", target: task.job };
    cells[5].append(actButton(context, task.run ? "cancel run" : "cancel", () => target, true));
    const row = element("tr", { class: "pick", tabindex: 0, title: "show what it writes" }, ...cells);
    row.addEventListener("click", (event) => event.target.closest("button") || choose(task.id, task.name));
    row.addEventListener("keydown", (event) => event.key === "Enter" && event.target === row && choose(task.id, task.name));
    const update = (now) => {
      row.classList.toggle("chosen", chosen === now.id);
      set(cells[3], now.started === null ? "" : duration(Math.floor(context.now() - now.started)).replace(".0 s", " s"));
      bar.hidden = now.progress === null;
      fill.style.width = `${100 * (now.progress ?? 0)}%`;
      set(said, now.message || (now.progress === null ? "" : `${Math.round(100 * now.progress)} %`));
    };
    return { row, update };
  });
  const draw = () => rows(items, (task) => task.id);
  const section = element("section", {}, element("h4", {}, "Running", more), element("div", { class: "rows" }, node), empty, log);
  const update = ({ running, totals }) => {
    items = running;
    set(more, totals.running > running.length ? `${running.length} of ${number(totals.running)}, the oldest first` : "");
    node.hidden = !running.length;
    empty.hidden = running.length > 0;
    if (chosen !== null && !running.some((task) => task.id === chosen) && !of.textContent.endsWith("has ended")) {
      of.textContent += " has ended";
    }
    draw();
  };
  const tell = ({ id, text }) => {
    if (id !== chosen || !text) return;
    const atEnd = tail.scrollHeight - tail.scrollTop - tail.clientHeight < 30;
    tail.textContent = (tail.textContent + text).slice(-100000);
    if (atEnd) tail.scrollTop = tail.scrollHeight;
  };
  return { node: section, update, tell, tick: draw };
}

const OPEN_STATES = ["pending", "ready", "running"];

function runsPart(context) {
  const { table: node, body, head } = table([
    [""], ["flow"], ["run"], ["tasks"], ["", "num"], ["started", "num"], ["took", "num"], [""],
  ]);
  head.className = "pad";
  const empty = element("div", { class: "empty", text: "No runs yet." });
  let items = [];
  const rows = keyedRows(body, (run) => {
    const cells = ["", "", "mono soft", "", "num soft", "num soft", "num", "act"].map((kind) => element("td", { class: kind }));
    cells[1].textContent = run.flow;
    const parameters = Object.entries(run.parameters).map(([name, value]) => `${name}=${value}`).join("\n");
    cells[1].title = parameters || run.flow;
    cells[2].textContent = run.id;
    const bar = element("span", { class: "bar" });
    cells[3].append(bar);
    const cancel = actButton(context, "cancel", () => ({ action: "cancel_run", target: run.id }), true);
    const retry = actButton(context, "retry", () => ({ action: "retry_run", target: run.id }));
    const again = actButton(context, "run again", () => ({ action: "run_again", target: run.id }));
    cells[7].append(cancel, retry, again);
    const row = element("tr", { class: "pick", tabindex: 0 }, ...cells);
    row.addEventListener("click", (event) => event.target.closest("button") || context.choose(run.id));
    row.addEventListener("keydown", (event) => event.key === "Enter" && event.target === row && context.choose(run.id));
    const update = (now) => {
      row.classList.toggle("chosen", context.chosen() === now.id);
      set(cells[0], context.marks[now.state]);
      cells[0].style.color = context.colours[now.state];
      cells[0].title = now.state.replace("_", " ");
      const total = Object.values(now.states).reduce((sum, count) => sum + count, 0);
      const open = OPEN_STATES.reduce((sum, state) => sum + (now.states[state] ?? 0), 0);
      bar.replaceChildren(
        ...["succeeded", "failed", "timed_out", "cancelled", "skipped", "expired", "running"]
          .filter((state) => now.states[state])
          .map((state) =>
            element("i", {
              title: `${number(now.states[state])} ${state.replace("_", " ")}`,
              style: { width: `${(100 * now.states[state]) / total}%`, background: context.colours[state] },
            }),
          ),
      );
      set(cells[4], total ? (open ? `${number(total - open)} of ${number(total)}` : number(total)) : "");
      set(cells[5], now.started === null ? "" : ago(context.now() - now.started));
      const end = now.finished ?? context.now();
      const over = !OPEN_STATES.includes(now.state);
      const took = now.started === null ? null : end - now.started;
      set(cells[6], over ? duration(took) : took === null ? "" : duration(Math.floor(took)).replace(".0 s", " s"));
      row.title = now.error;
      cancel.hidden = over;
      retry.hidden = !over || now.state === "succeeded";
      again.hidden = !over;
    };
    return { row, update };
  });
  const draw = () => rows(items, (run) => run.id);
  const section = element("section", {}, element("h4", { text: "Latest runs" }), node, empty);
  const update = ({ runs }) => {
    items = runs;
    node.hidden = !runs.length;
    empty.hidden = runs.length > 0;
    draw();
  };
  return { node: section, update, tick: draw };
}

// A button that asks the kernel to do something; what cannot be undone is asked for twice.
function actButton(context, label, order, twice = false) {
  const button = element("button", { text: label, type: "button" });
  let calm = null;
  const reset = () => {
    clearTimeout(calm);
    calm = null;
    button.textContent = label;
    button.classList.remove("sure");
  };
  button.addEventListener("click", async () => {
    if (twice && calm === null) {
      button.textContent = "sure?";
      button.classList.add("sure");
      calm = setTimeout(reset, 3000);
      return;
    }
    reset();
    button.disabled = true;
    const answer = await context.ask({ ask: "act", ...order() });
    button.disabled = false;
    context.say(answer.text, answer.wrong);
  });
  return button;
}
