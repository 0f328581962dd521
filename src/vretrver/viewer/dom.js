// Building elements. Text goes in as text nodes only: whatever a trace holds, it is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

// Half a surrogate pair (a file name that is not UTF-8) becomes U+FFFD, as it would on its way to the screen.
const wellFormed = (text) => (text.toWellFormed ? text.toWellFormed() : text);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else element.setAttribute(name, value === true ? "" : wellFormed(String(value)));
  }
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(wellFormed(String(child))));
  }
  return element;
}

function icon(path, label) {
  return svg("svg", { viewBox: "0 0 16 16", class: "glyph", "aria-hidden": label ? null : "true", role: label ? "img" : null, "aria-label": label },
    svg("path", { d: path }));
}

const GLYPHS = {
  up: "M8 13V3.5M4 7l4-4 4 4",
  down: "M8 3v9.5M4 9l4 4 4-4",
  eye: "M1.5 8S4 3.6 8 3.6 14.5 8 14.5 8 12 12.4 8 12.4 1.5 8 1.5 8ZM8 6.1a1.9 1.9 0 1 1 0 3.8 1.9 1.9 0 0 1 0-3.8",
  theme: "M8 1.8a6.2 6.2 0 1 0 0 12.4ZM8 1.8a6.2 6.2 0 0 1 0 12.4",
};

// A long list in pieces: the first now, the rest on demand, so that thousands of rows never freeze the page.
function inPieces(items, size, draw, list, noun) {
  let shown = 0;
  const more = h("button", { type: "button", class: "button more", on: { click: () => next(true) } });
  function next(byHand) {
    const first = items.slice(shown, shown + size).map((item, offset) => draw(item, shown + offset));
    list.append(...first);
    shown += first.length;
    const left = items.length - shown;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(size, left)} more of ${count(left, noun)}`;
    const target = byHand && first[0] && (first[0].matches("[tabindex]") ? first[0] : first[0].querySelector("a, button, [tabindex]"));
    if (target) target.focus({ preventScroll: true });
  }
  next(false);
  return { more, upTo(position) { while (shown <= position && shown < items.length) next(false); } };
}

// Content built when a <details> is opened first, not before.
function folded(summary, attributes, build) {
  const details = h("details", attributes, h("summary", null, summary));
  details.addEventListener("toggle", () => { if (details.open && !details.dataset.built) { details.dataset.built = "1"; details.append(build()); } });
  return details;
}

// Long text with its rest folded away; a rest too short to be worth a click is not.
function clipped(text, limit) {
  if (text.length <= limit * 1.25) return [text];
  return [text.slice(0, limit), "… ", folded(`${number(text.length - limit)} more characters`, { class: "rest" }, () => h("span", null, text.slice(limit)))];
}
