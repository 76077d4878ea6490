// The entry of the widget: a chart in the place of each still picture of its name, or in an element of another view.

let data = null; // of this module's only model

function mount(root, model) {
  const asked = new Set();
  const hooks = {
    click: (row) => model.send({ ask: "click", row }),
    ask: (row) => {
      if (!asked.has(row)) model.send({ ask: "detail", row });
      asked.add(row);
    },
  };
  const chart = new Chart(root, data, hooks);
  root.host.gantt = chart;
  data.charts.add(new WeakRef(chart)); // an output that is gone for good takes its chart along
  return () => chart.destroy();
}

/** Take the rows, and what changes. */
function feed(model) {
  const { head, bytes, key } = model.get("data");
  data = new Data();
  data.put(JSON.parse(head), bytes);
  model.set("data", { key }); // the rows are copied; do not keep both
  model.on("msg:custom", (message, buffers) => {
    if (message.rows && !data.put(message.rows, buffers[0])) model.send({ ask: "whole" });
    if (message.heard) data.heard(message.heard.now, message.heard.live);
    if (message.detail) data.detail(message.row, message.detail);
  });
  return key;
}

export default {
  initialize: ({ model }) => {
    const key = feed(model), end = attach(model, mount);
    // Other views, as the monitor, show a chart among their own parts: they find it here by its name.
    const { names } = (globalThis[Symbol.for("nbflow.gantt")] ??= { names: new Map() });
    names.set(key, (host) => mount(host.attachShadow({ mode: "open" }), model));
    return () => {
      names.delete(key);
      end();
    };
  },
  render: ({ model, el }) => {
    const view = make(model, mount);
    el.append(view.host);
    return view.end;
  },
};
