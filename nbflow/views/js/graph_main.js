function mount(root, model) {
  root.append(element("style", { text: COMMON_STYLE + GRAPH_STYLE }));
  const busy = element("div", { class: "note", hidden: true, text: "The kernel is busy; it answers when it can." });
  const ask = asker(model);
  const view = graphView(root, async (question) => {
    const answer = await ask(question, () => (busy.hidden = false));
    busy.hidden = true;
    return answer;
  });
  root.append(busy);
  const take = (message) => {
    if (message.svg !== undefined) view.draw(message.svg);
    if (message.nodes !== undefined) view.recolour(message.nodes);
  };
  const { svg, nodes } = model.get("data");
  view.draw(svg);
  view.recolour(nodes ?? {});
  model.on("msg:custom", take);
  return () => model.off("msg:custom", take);
}

// What came since the widget was made, for views that are made later.
function remember(model) {
  model.on("msg:custom", ({ svg, nodes }) => {
    const data = model.get("data");
    if (svg !== undefined) Object.assign(data, { svg, nodes: {} });
    if (nodes !== undefined) data.nodes = { ...data.nodes, ...nodes };
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
