// The style of a chart: it stands in a shadow root, so that it and the page do not meet.

const GANTT_STYLE = `
:host { all: initial; display: block; }
.gantt { color: var(--ink); font: 12px/1.4 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  position: relative; max-width: 100%; margin: 2px 0 6px; }
.top { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 12px; margin: 0 0 5px; }
.title { font-weight: 600; font-size: 13px; overflow-wrap: anywhere; }
.summary { color: var(--faint); flex: 1 1 12em; }
.tools { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.tools label { color: var(--faint); }
select, button { font: inherit; color: inherit; background: var(--control); border: 1px solid var(--edge); border-radius: 4px;
  padding: 1px 7px; min-height: 24px; cursor: pointer; }
select { padding-right: 3px; }
option { background: var(--ground); color: var(--ink); }
select:hover, button:hover { border-color: var(--faint); }
:focus-visible { outline: 2px solid var(--focus); outline-offset: 1px; }
button[aria-pressed="true"] { background: var(--focus); border-color: var(--focus); color: #fff; }
.scroller { overflow-x: hidden; overflow-y: auto; border: 1px solid var(--edge); border-radius: 5px; outline-offset: -2px;
  overscroll-behavior-y: auto; scrollbar-width: thin; }
canvas { position: sticky; top: 0; display: block; touch-action: pan-y; cursor: grab; }
canvas.bar, canvas.label { cursor: pointer; }
canvas.pan { cursor: grabbing; }
canvas.range { cursor: col-resize; }
.bottom { display: flex; flex-wrap: wrap; gap: 3px 4px; margin: 5px 0 0; align-items: center; }
.chip { display: inline-flex; gap: 5px; align-items: center; padding: 0 7px; min-height: 22px; border-color: transparent;
  background: none; }
.chip i { width: 10px; height: 10px; border-radius: 2px; display: inline-block; }
.chip i.line { height: 3px; border-radius: 0; }
.chip[aria-pressed="false"] { text-decoration: line-through; opacity: 0.5; }
.chip[aria-pressed="true"] { background: none; border-color: transparent; color: inherit; }
.chip b { font-weight: 600; font-variant-numeric: tabular-nums; }
.notes { color: var(--faint); margin: 3px 0 0; padding: 0; list-style: none; }
.notes li::before { content: "⚠ "; }
.tip { position: fixed; inset: auto; margin: 0; pointer-events: none; max-width: 400px; padding: 7px 10px; border-radius: 6px;
  background: var(--ground); color: var(--ink); border: 1px solid var(--edge); box-shadow: 0 3px 14px rgba(0, 0, 0, 0.28); }
.tip h4 { margin: 0 0 3px; font-size: 12.5px; overflow-wrap: anywhere; }
.tip h4 i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
.tip dl { display: grid; grid-template-columns: auto 1fr; gap: 0 10px; margin: 0; }
.tip dt { color: var(--faint); }
.tip dd { margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; font-variant-numeric: tabular-nums; }
.tip .error { color: var(--bad); }
.tip p { margin: 3px 0 0; color: var(--faint); }
`;
