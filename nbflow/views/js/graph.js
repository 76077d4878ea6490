// The live graph: the same drawing as the still one, recoloured node by node as Python says so. A click on a node
// shows what is known of it, a click on the title of a group folds it.

const GRAPH_STYLE = `
.graph{position:relative;overflow:auto;max-height:640px;scrollbar-width:thin}
.graph svg{display:block;max-width:none}
.nb-t{font:12px ui-sans-serif,system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.nb-d{font-size:10px;fill:var(--soft)}
.nb-n{fill:var(--ground);stroke-width:2}.nb-b{fill:var(--raised);stroke-width:1.5}.nb-o{stroke-dasharray:3 3}
.nb-e{fill:none;stroke:var(--faint);stroke-width:1.3}.nb-i{opacity:.3}.nb-a{fill:var(--faint)}
g[data-id]{cursor:pointer;outline:none}
g[data-id]:hover>.nb-n,g[data-id]:focus-visible>.nb-n{stroke-width:3}
g[data-id]:hover>.nb-b,g[data-id]:focus-visible>.nb-b{stroke-width:2.5}
:host([dark]) g[data-state=skipped]>rect,:host([dark]) g[data-state=expired]>rect{stroke:#6e6e6e}
.nb-f:hover>text{fill:var(--accent)}
g.chosen>.nb-n,g.chosen>.nb-b{stroke-width:3.5}
g[data-state=running]>.nb-o{animation:march 1s linear infinite}
g.changed>.nb-n{animation:flash .7s ease-out}
@keyframes march{to{stroke-dashoffset:-12}}
@keyframes flash{0%{stroke-width:7}}
@media(prefers-reduced-motion:reduce){g[data-id]>*{animation:none!important}}
.panel{border:1px solid var(--line);border-radius:8px;background:var(--ground);margin:6px 0 2px;max-width:900px;
overflow:hidden}
.panel header{display:flex;gap:8px;align-items:baseline;padding:7px 12px;background:var(--raised);
border-bottom:1px solid var(--line)}
.panel header b{font-size:14px;overflow-wrap:anywhere}.panel header .state{color:var(--soft)}
.panel header button{margin-left:auto;border:0;padding:0 6px;font-size:16px;line-height:1}
.panel dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:9px 12px}
.panel dt{color:var(--soft)}.panel dd{margin:0;overflow-wrap:anywhere}
.panel details{border-top:1px solid var(--line);padding:6px 12px}
.panel summary{cursor:pointer;color:var(--soft)}
.panel details pre{margin-top:6px;padding:8px 10px;border-radius:6px;background:var(--code);max-height:260px;overflow:auto}
.panel .error pre{border-left:3px solid var(--bad)}
.panel .doc pre{font:13px/1.45 ui-sans-serif,system-ui,sans-serif;background:none;padding:0}
.note{color:var(--soft);padding:8px 12px}
`;

// Draw into `root`; `ask(question)` promises the kernel's answer. Returns what takes news and what ends it.
function graphView(root, ask) {
  const frame = element("div", { class: "graph" });
  const panel = element("div", { class: "panel", hidden: true, "aria-live": "polite" });
  root.append(frame, panel);
  let chosen = null;
  let nodes = new Map();

  const index = () => {
    nodes = new Map([...frame.querySelectorAll("g[data-id]")].map((node) => [node.dataset.id, node]));
    nodes.forEach(prepare);
  };
  const prepare = (node) => {
    node.setAttribute("tabindex", "0");
    node.setAttribute("role", "button");
    node.classList.toggle("chosen", node.dataset.id === chosen);
  };
  const draw = (svg) => {
    const { scrollLeft, scrollTop } = frame;
    frame.replaceChildren(drawing(svg));
    frame.scrollTo(scrollLeft, scrollTop);
    index();
  };
  const recolour = (changes) => {
    for (const [id, markup] of Object.entries(changes)) {
      const old = nodes.get(id);
      if (old === undefined) continue;
      const fresh = drawing(`<svg xmlns="http://www.w3.org/2000/svg">${markup}</svg>`).firstChild;
      if (old.dataset.state !== fresh.dataset.state) {
        fresh.classList.add("changed");
        fresh.addEventListener("animationend", () => fresh.classList.remove("changed"));
      }
      const hadFocus = root.activeElement === old;
      old.replaceWith(fresh);
      nodes.set(id, fresh);
      prepare(fresh);
      if (hadFocus) fresh.focus();
    }
    if (chosen !== null && chosen in changes) show(chosen, true);
  };
  const close = () => {
    nodes.get(chosen)?.classList.remove("chosen");
    chosen = null;
    panel.hidden = true;
  };
  const show = async (id, again = false) => {
    nodes.get(chosen)?.classList.remove("chosen");
    chosen = id;
    nodes.get(id)?.classList.add("chosen");
    if (!again) {
      const hint = nodes.get(id)?.querySelector("title")?.textContent ?? "";
      fillPanel(panel, { title: "…", facts: [], sections: hint ? [["", hint, "doc"]] : [] }, close);
      panel.hidden = false;
    }
    const answer = await ask({ ask: "details", id });
    if (chosen === id && answer.details) fillPanel(panel, answer.details, close);
  };
  const act = (event) => {
    const node = event.target.closest?.("g[data-id]");
    if (!node || (event.type === "keydown" && !["Enter", " "].includes(event.key))) return;
    event.preventDefault();
    const { id } = node.dataset;
    if (event.target.closest(".nb-f") || (event.type === "keydown" && event.key === " " && node.dataset.fold)) {
      ask({ ask: "fold", id });
    } else if (chosen === id) close();
    else show(id);
  };
  frame.addEventListener("click", act);
  frame.addEventListener("keydown", act);
  return { draw, recolour, close };
}

function fillPanel(panel, details, close) {
  const opened = new Map([...panel.querySelectorAll("details")].map((part) => [part.dataset.name, part.open]));
  const header = element(
    "header",
    {},
    element("span", { text: details.mark ?? "", style: { color: details.colour ?? "inherit" } }),
    element("b", { text: details.title }),
    element("span", { class: "state", text: details.state ?? "" }),
    element("button", { text: "×", title: "close", "aria-label": "close", on: { click: close } }),
  );
  const facts = element("dl");
  for (const [label, text] of details.facts) facts.append(element("dt", { text: label }), element("dd", { text }));
  const parts = details.sections.map(([heading, text, kind]) => {
    if (!heading) return element("div", { class: `note ${kind}` }, element("pre", { text }));
    const open = opened.get(heading) ?? kind !== "code";
    return element(
      "details",
      { class: kind, "data-name": heading, open },
      element("summary", { text: heading }),
      element("pre", { text }),
    );
  });
  panel.replaceChildren(header, ...(details.facts.length ? [facts] : []), ...parts);
}
