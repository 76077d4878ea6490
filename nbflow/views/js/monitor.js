// The monitor's page. News come by one widget, which nothing but the kernel's clock speaks through; what the reader asks
// for goes through another, so that a kernel that is busy holds up answers and nothing else.

const MONITOR_STYLE = `
.monitor{border:1px solid var(--line);border-radius:10px;background:var(--ground);overflow:hidden;margin:4px 0;
max-width:1240px;container-type:inline-size}
.top{display:flex;align-items:center;gap:10px;padding:9px 14px;background:var(--raised);
border-bottom:1px solid var(--line)}
.top b{font-size:14px}.top .where{color:var(--soft);overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.top .news{margin-left:auto;color:var(--soft);white-space:nowrap}
.dot{display:inline-block;width:8px;height:8px;border-radius:50%;background:var(--good);margin-right:6px}
.dot.old{background:var(--bad)}.dot.off{background:var(--faint)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(118px,1fr));border-bottom:1px solid var(--line)}
.card{padding:10px 14px 11px;border-left:1px solid var(--line);margin-left:-1px;position:relative;min-height:68px}
.card .n{font-size:23px;font-weight:600;line-height:1.2;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
.card .l{color:var(--soft)}.card.bad .n{color:var(--bad)}.card .m{color:var(--faint);font-size:11.5px;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.card.wide{grid-column:span 2}
.card svg{position:absolute;right:10px;top:8px;width:46%;height:52px;overflow:visible}
.two{display:grid;grid-template-columns:1fr 1fr}
.two>section+section{border-left:1px solid var(--line)}
@container(max-width:760px){.two{grid-template-columns:1fr}.two>section+section{border-left:0}}
section{padding:9px 14px 11px;border-bottom:1px solid var(--line);min-width:0}
section:last-child{border-bottom:0}.two>section{border-bottom:1px solid var(--line)!important}
h4{margin:0 0 5px;font-size:12px;font-weight:600;color:var(--soft);display:flex;gap:8px;align-items:baseline}
h4 .more{font-weight:400;color:var(--faint)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:400;color:var(--faint);text-align:left;padding:1px 10px 3px 0;font-size:11.5px;white-space:nowrap}
td{padding:3px 10px 3px 0;vertical-align:middle;white-space:nowrap;overflow:hidden;text-overflow:ellipsis;
max-width:260px;border:0;background:none;text-align:left}
tr{background:none!important}
td.num,th.num{text-align:right}td.act{text-align:right;padding-right:0}
tbody tr.pick{cursor:pointer}tbody tr.pick:hover td{background:var(--raised)}
tbody tr.chosen td{background:var(--raised)}tbody tr.chosen td:first-child{box-shadow:inset 3px 0 var(--accent)}
tbody tr.pick td:first-child{padding-left:7px}thead .pad th:first-child{padding-left:7px}
.soft{color:var(--soft)}.faint{color:var(--faint)}
.mono{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.bar{display:flex;height:7px;border-radius:4px;overflow:hidden;background:var(--line);min-width:90px;width:100%}
.bar i{display:block;height:100%;transition:width .4s}
.pill{display:inline-block;border-radius:9px;padding:0 8px;font-size:11.5px;background:var(--raised);
border:1px solid var(--line)}
.pill.paused{color:var(--bad);border-color:currentColor}
.slots{display:inline-flex;gap:2px;vertical-align:middle}
.slots i{width:9px;height:9px;border-radius:2px;background:var(--line)}.slots i.busy{background:var(--accent)}
td button{padding:0 8px;font-size:12px}td button+button{margin-left:5px}
button.sure{color:var(--bad);border-color:var(--bad)}
.empty{color:var(--faint);padding:1px 0}
.rows{max-height:340px;overflow:auto;scrollbar-width:thin}
.tailhead{display:flex;gap:8px;align-items:baseline;margin-top:8px;color:var(--soft)}
.tailhead button{margin-left:auto;border:0;padding:0 6px;font-size:15px;line-height:1}
.tail{margin:3px 0 2px;padding:8px 10px;background:var(--code);border-radius:6px;max-height:220px;overflow:auto}
.tail:empty::before{content:"nothing written yet";color:var(--faint)}
.tabs{display:flex;gap:4px;align-items:baseline;margin-bottom:6px}
.tabs button{border-color:transparent}.tabs button[aria-selected=true]{border-color:var(--line);background:var(--raised)}
.tabs .title{margin-right:8px;font-weight:600}
.say{display:flex;gap:10px;align-items:center;padding:8px 14px;background:var(--raised);border-bottom:1px solid var(--line)}
.say.wrong{color:var(--bad)}.say code{padding:1px 6px;border-radius:4px;background:var(--code);color:var(--ink);
font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;user-select:all}
.say button{margin-left:auto}
`;

const number = (value) => (value ?? 0).toLocaleString("en-US");

const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const s = Math.max(0, seconds);
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(s % 60)).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} days`;
}

const ago = (seconds) => (seconds < 1.5 ? "now" : `${duration(Math.round(seconds)).replace(/\.0 s$/, " s")} ago`);

// Rows that stay the same elements while their items change, so that a press of a button or a selection survives.
function keyedRows(body, make) {
  const known = new Map();
  return (items, keyOf) => {
    const wanted = new Set(items.map(keyOf));
    for (const [key, entry] of known) {
      if (!wanted.has(key)) {
        entry.row.remove();
        known.delete(key);
      }
    }
    items.forEach((item, place) => {
      const key = keyOf(item);
      let entry = known.get(key);
      if (entry === undefined) {
        entry = make(item);
        known.set(key, entry);
      }
      if (body.children[place] !== entry.row) body.insertBefore(entry.row, body.children[place] ?? null);
      entry.update(item);
    });
  };
}

const set = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

function table(heads) {
  const head = element("tr", {}, ...heads.map(([text, kind]) => element("th", { text, class: kind ?? "" })));
  const body = element("tbody");
  return { table: element("table", {}, element("thead", {}, head), body), body, head };
}

function sparkline(values, colour) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const steps = Math.max(29, values.length - 1);
  svg.setAttribute("viewBox", `0 0 ${steps} 40`);
  svg.setAttribute("preserveAspectRatio", "none");
  const most = Math.max(...values, 1e-9);
  const points = values.map((value, n) => `${steps - (values.length - 1 - n)} ${(39 - (37 * value) / most).toFixed(1)}`);
  for (const [d, fill, opacity] of [
    [`M${points[0]?.split(" ")[0]} 40L${points.join("L")}L${steps} 40Z`, colour, 0.15],
    [`M${points.join("L")}`, "none", 1],
  ]) {
    const path = document.createElementNS(space, "path");
    for (const [name, value] of Object.entries({ d, fill, "fill-opacity": opacity })) path.setAttribute(name, value);
    if (fill === "none") {
      path.setAttribute("stroke", colour);
      path.setAttribute("stroke-width", 1.5);
      path.setAttribute("vector-effect", "non-scaling-stroke");
    }
    if (values.length > 1) svg.append(path);
  }
  return svg;
}
