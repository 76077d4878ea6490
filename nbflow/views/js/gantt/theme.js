// Light or dark is read off the page, so that it is right in every theme of every front end.

const watchers = new Set();
let observer = null;

/** The colours of text, lines and grounds on the page that a host stands on. */
function themeOf(host) {
  const ground = groundOf(host), dark = luminance(ground) < 0.4;
  const ink = dark ? "235,235,235" : "28,28,28";
  const theme = {
    name: dark ? "dark" : "light",
    text: `rgb(${ink})`,
    faint: `rgba(${ink},0.66)`,
    grid: `rgba(${ink},0.13)`,
    range: `rgba(${ink},0.13)`,
    focus: dark ? "#58a6ff" : "#1a6fd4",
    waited: dark ? "#85898f" : "#a3a7ad",
    waiting: "#56b4e9",
  };
  const css = {
    ink: theme.text, faint: theme.faint, edge: `rgba(${ink},0.22)`, focus: theme.focus, ground: `rgb(${ground.join()})`,
    control: `rgba(${ink},0.05)`, bad: dark ? "#ff9e64" : "#b04a00",
  };
  for (const [name, value] of Object.entries(css)) host.style.setProperty(`--${name}`, value);
  host.style.colorScheme = theme.name;
  return theme;
}

function groundOf(host) {
  for (let node = host; node; node = node.parentElement ?? node.getRootNode()?.host) {
    const [red, green, blue, alpha = 1] = (getComputedStyle(node).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
    if (blue !== undefined && alpha > 0.5) return [red, green, blue];
  }
  return matchMedia("(prefers-color-scheme: dark)").matches && document.documentElement.style.colorScheme !== "light"
    && getComputedStyle(document.documentElement).colorScheme.includes("dark") ? [17, 17, 17] : [255, 255, 255];
}

const luminance = ([red, green, blue]) => (0.299 * red + 0.587 * green + 0.114 * blue) / 255;

/** Tell a chart when the page may look different. It is held weakly. */
function watchTheme(chart) {
  watchers.add(new WeakRef(chart));
  if (observer) return;
  const tell = () => setTimeout(() => { // the style sheet comes later
    for (const watcher of watchers) {
      const found = watcher.deref();
      if (!found || found.gone) watchers.delete(watcher);
      else if (found.root.host.isConnected) found.restyled();
    }
  }, 60);
  observer = new MutationObserver(tell);
  const filter = { attributes: true, attributeFilter: ["class", "data-jp-theme-name", "data-theme", "data-vscode-theme-kind"] };
  observer.observe(document.documentElement, filter);
  observer.observe(document.body, filter);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
}
