// The entry of a page that stands alone: the data is in the page.

async function unpacked(text) {
  const packed = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return new Uint8Array(await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

async function open() {
  const read = (id) => document.getElementById(id).textContent;
  const data = new Data();
  data.put(JSON.parse(read("gantt-head")), await unpacked(read("gantt-bytes")));
  const host = document.getElementById("gantt");
  const chart = new Chart(host.attachShadow({ mode: "open" }), data);
  host.gantt = chart;
  data.charts.add(new WeakRef(chart));
}

open();
