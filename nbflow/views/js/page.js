// What all live views share. A live view has no output of its own: the notebook holds a still picture, which is there
// without a kernel too, and this puts the live view in its place for as long as the kernel speaks.

// Put what `mount(root, model)` draws in the place of every still picture that carries `key`; returns what ends it.
function attach(model, mount) {
  const key = model.get("data").key;
  const shown = new Map(); // still picture → live view in its place
  const passed = new WeakSet(); // images that are something else

  const isStill = (image) => {
    if (passed.has(image)) return false;
    const found = image.src.startsWith("data:image/svg+xml") && image.src.slice(0, 500).includes(key);
    if (!found) passed.add(image);
    return found;
  };
  const stills = () => [
    ...document.querySelectorAll(`[data-nbflow="${key}"], svg[id="${key}"]`),
    ...[...document.images].filter(isStill),
  ];
  const scan = () => {
    for (const still of stills()) {
      if (shown.has(still)) continue;
      // A cell that was drawn anew has another still picture; what the reader opened and scrolled to goes on in it.
      const old = [...shown].find(([gone, view]) => !gone.isConnected && !view.host.isConnected);
      const view = old ? old[1] : make(model, mount);
      if (old) shown.delete(old[0]);
      still.style.display = "none";
      still.after(view.host);
      shown.set(still, view);
    }
  };
  const watch = new MutationObserver((changes) => {
    if (changes.some((change) => change.addedNodes.length)) scan();
  });
  watch.observe(document.body, { childList: true, subtree: true });
  scan();
  return () => {
    watch.disconnect();
    for (const [still, view] of shown) {
      view.end();
      view.host.remove();
      still.style.display = "";
    }
    shown.clear();
  };
}

// A live view in an element of its own: the page's styles do not reach into it, nor its styles into the page.
function make(model, mount) {
  const host = document.createElement("div");
  host.className = "nbflow-live";
  const root = host.attachShadow({ mode: "open" });
  const stopTheme = followTheme(host);
  const end = mount(root, model);
  return {
    host,
    end: () => {
      stopTheme();
      end?.();
    },
  };
}

// Light or dark as the notebook is, whatever the system prefers.
function isDark() {
  const body = document.body;
  if (body.dataset.jpThemeLight !== undefined) return body.dataset.jpThemeLight === "false";
  if (body.dataset.vscodeThemeKind !== undefined) return body.dataset.vscodeThemeKind.includes("dark");
  const told = document.documentElement.getAttribute("theme"); // Colab
  return told ? told === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function followTheme(host) {
  const apply = () => host.toggleAttribute("dark", isDark());
  const watch = new MutationObserver(apply);
  watch.observe(document.body, { attributes: true });
  watch.observe(document.documentElement, { attributes: true, attributeFilter: ["theme"] });
  apply();
  return () => watch.disconnect();
}

// An element with text, attributes and children. Text is never read as HTML.
function element(tag, options = {}, ...children) {
  const { text, on, style, ...attributes } = options;
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  for (const [name, value] of Object.entries(style ?? {})) made.style.setProperty(name, value);
  for (const [name, act] of Object.entries(on ?? {})) made.addEventListener(name, act);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// An SVG that Python drew, as an element. Read as XML, in which nothing runs.
function drawing(text) {
  const found = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return document.importNode(found, true);
}

// Questions to the kernel: each gets the answer that carries its number. A kernel that is busy may answer late.
function asker(model) {
  let last = 0;
  const open = new Map();
  model.on("msg:custom", (message) => {
    const entry = open.get(message.answer);
    if (entry === undefined) return;
    open.delete(message.answer);
    clearTimeout(entry.timer);
    entry.take(message);
  });
  return (question, late) =>
    new Promise((take) => {
      last += 1;
      const number = `${Date.now().toString(36)}-${last}`; // two pages may ask at once
      const timer = setTimeout(() => late?.(question), 2000);
      open.set(number, { take, timer });
      model.send({ ...question, number });
    });
}

const COMMON_STYLE = `
:host{display:block;color-scheme:light;--ink:#1c1c1c;--soft:#5c6066;--faint:#8a8f98;--ground:#ffffff;--raised:#f6f7f9;
--line:#dfe2e7;--accent:#0072b2;--bad:#c44e00;--good:#009e73;--code:#f3f4f6;color:var(--ink);
font:13px/1.45 ui-sans-serif,system-ui,-apple-system,"Segoe UI",sans-serif}
:host([dark]){color-scheme:dark;--ink:#eceef1;--soft:#b0b6bf;--faint:#858c97;--ground:#1b1d21;--raised:#24272c;
--line:#3a3f47;--accent:#56b4e9;--bad:#ff8a4c;--good:#1cae85;--code:#16181b}
*{box-sizing:border-box}
button{font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:6px;
padding:2px 9px;cursor:pointer}
button:hover{border-color:var(--accent);color:var(--accent)}
button:focus-visible,[tabindex]:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
[hidden]{display:none!important}
button[disabled]{opacity:.5;cursor:default;border-color:var(--line);color:inherit}
pre{margin:0;font:12px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;
overflow-wrap:anywhere}
`;
