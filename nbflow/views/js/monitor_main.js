// The run that the reader has chosen: its graph and its Gantt chart.
function chosenPart(context) {
  const title = element("span", { class: "title" });
  const graphBox = element("div");
  const ganttBox = element("div", { hidden: true });
  const waiting = element("div", { class: "empty", text: "…" });
  const graph = graphView(graphBox, (question) => context.ask(question));
  const tab = (label, box) =>
    element("button", {
      text: label,
      role: "tab",
      "aria-selected": String(box === graphBox),
      on: {
        click: (event) => {
          graphBox.hidden = box !== graphBox;
          ganttBox.hidden = box !== ganttBox;
          for (const other of event.target.parentNode.querySelectorAll("[role=tab]")) {
            other.setAttribute("aria-selected", String(other === event.target));
          }
        },
      },
    });
  const tabs = element("div", { class: "tabs" }, title, tab("Graph", graphBox), tab("Gantt", ganttBox));
  const node = element("section", { hidden: true }, tabs, waiting, graphBox, ganttBox);
  const begin = (run) => {
    node.hidden = run === null;
    set(title, run ?? "");
    waiting.hidden = false;
    graphBox.querySelector(".graph").replaceChildren();
    graph.close();
    ganttBox.replaceChildren();
  };
  const take = (message) => {
    if (message.chosen !== undefined && message.chosen !== context.chosen()) return;
    if (message.svg !== undefined) graph.draw(message.svg);
    if (message.nodes !== undefined) graph.recolour(message.nodes);
    if (message.gantt !== undefined) showGantt(ganttBox, message.gantt);
    waiting.hidden = true;
  };
  return { node, begin, take };
}

// The Gantt chart is a widget of its own, which may be a moment later than its name.
function showGantt(box, name, patience = 50) {
  const mountGantt = globalThis[Symbol.for("nbflow.gantt")]?.names.get(name);
  if (mountGantt) {
    const host = element("div");
    box.replaceChildren(host);
    mountGantt(host);
  } else if (patience) setTimeout(() => showGantt(box, name, patience - 1), 100);
}

// One page may show the monitor while another widget, its twin, takes the questions.
const asksOf = () => (globalThis.nbflowControls ??= new Map());

function mount(root, model) {
  const data = model.get("data");
  root.append(element("style", { text: COMMON_STYLE + GRAPH_STYLE + MONITOR_STYLE }));
  let sample = data.sample;
  let heard = Date.now() / 1000;
  let stopped = data.stopped;
  let chosen = null;
  const said = element("div", { class: "say", hidden: true, role: "status" });
  const say = (text, wrong = false, ...more) => {
    const close = element("button", { text: "×", "aria-label": "close", on: { click: () => (said.hidden = true) } });
    said.replaceChildren(element("span", { text }), ...more, close);
    said.classList.toggle("wrong", Boolean(wrong));
    said.hidden = false;
    if (!more.length) excused = null;
  };
  let excused = null; // the question for which the page says that it has to wait
  const late = (question) => {
    if (question.ask === "log") return;
    excused = question;
    const command = question.ask === "act" ? data.commands[question.action] : "";
    const text = "The kernel is busy and answers when its cell ends.";
    if (!command) say(text, true, "");
    else {
      const target = /^[\w.:@-]+$/.test(question.target) ? question.target : `'${question.target.replaceAll("'", `'\\''`)}'`;
      say(`${text} At once, in a terminal:`, true, element("code", { text: command.replace("{}", target) }));
    }
  };
  const ask = async (question) => {
    const answer = await asksOf().get(data.controls)(question, () => late(question));
    if (excused === question) said.hidden = true;
    return answer;
  };
  const context = {
    ask, say, marks: data.marks, colours: data.colours,
    now: () => sample.now + Date.now() / 1000 - heard,
    chosen: () => chosen,
    choose: (run) => {
      chosen = chosen === run ? null : run;
      picked.begin(chosen);
      runs.tick();
      ask({ ask: "show", run: chosen }).then((answer) => answer.text && say(answer.text, answer.wrong));
    },
  };
  const top = topPart(data);
  const picked = chosenPart(context);
  const runs = runsPart(context);
  const running = runningPart(context);
  const parts = [cardsPart(), queuesPart(context), workersPart(), running, runs];
  const [cards, queues, workers] = parts;
  root.append(
    element("div", { class: "monitor" }, top.node, said, cards.node,
      element("div", { class: "two" }, queues.node, workers.node), running.node, runs.node, picked.node),
  );
  const draw = () => parts.forEach((part) => part.update(sample));
  const tick = () => {
    top.tick(Date.now() / 1000 - heard, stopped);
    if (stopped) return;
    runs.tick();
    running.tick();
  };
  const take = (message) => {
    if (message.sample !== undefined) {
      sample = { ...sample, ...message.sample };
      heard = Date.now() / 1000;
      draw();
      top.tick(0, stopped);
    }
    if (message.log !== undefined) running.tell(message.log);
    if (message.chosen !== undefined) picked.take(message);
    if (message.stopped !== undefined) {
      stopped = message.stopped;
      tick();
    }
  };
  draw();
  tick();
  model.on("msg:custom", take);
  const clock = setInterval(tick, 1000);
  return () => {
    clearInterval(clock);
    model.off("msg:custom", take);
  };
}

function remember(model) {
  model.on("msg:custom", (message) => {
    const data = model.get("data");
    if (message.sample !== undefined) data.sample = { ...data.sample, ...message.sample };
    if (message.stopped !== undefined) data.stopped = message.stopped;
  });
}

export default {
  initialize: ({ model }) => {
    remember(model);
    return attach(model, mount);
  },
  render: ({ model, el }) => {
    const view = make(model, mount);
    el.append(view.host);
    return view.end;
  },
};
