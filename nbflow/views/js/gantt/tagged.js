// One element of the page with its class and its text, which is never read as HTML.
function tagged(tag, kind = "", text = "") {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}
