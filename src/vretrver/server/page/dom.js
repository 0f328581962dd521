// Building elements and words. Text goes in as text nodes only: whatever an index holds, it is never read as markup.

const SVG = "http://www.w3.org/2000/svg";

export const at = (id) => document.getElementById(id);

export function h(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, heard] of Object.entries(value)) element.addEventListener(event, heard);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const GLYPHS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 14 14",
  picture: "M2 3.5h12v9H2ZM2 11l3.5-3.5 3 3L10.5 8.5 14 12M10.7 6.3h.01",
  up: "M8 13V3.5M4 7l4-4 4 4",
  down: "M8 3v9.5M4 9l4 4 4-4",
  left: "M10 3 5 8l5 5",
  right: "M6 3l5 5-5 5",
  eye: "M1.5 8S4 3.6 8 3.6 14.5 8 14.5 8 12 12.4 8 12.4 1.5 8 1.5 8ZM8 6.1a1.9 1.9 0 1 1 0 3.8 1.9 1.9 0 0 1 0-3.8",
  theme: "M8 1.8a6.2 6.2 0 1 0 0 12.4ZM8 1.8a6.2 6.2 0 0 1 0 12.4",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  stack: "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5Z",
};

export function icon(name) {
  return svg("svg", { viewBox: "0 0 16 16", class: "glyph", "aria-hidden": "true" }, svg("path", { d: GLYPHS[name] }));
}

const NUMBERS = new Intl.NumberFormat("en");
export const number = (value) => NUMBERS.format(value);
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;
export const percent = (share) => (share > 0 && share < 0.01 ? "<1%" : `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`);
export const seconds = (s) => (s < 0.095 ? `${Math.max(1, Math.round(1000 * s))} ms` : s < 10 ? `${s.toFixed(1)} s` : `${number(Math.round(s))} s`);
export const clipped = (text, limit) => (text.length > limit ? `${text.slice(0, limit - 1).trimEnd()}…` : text);

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// A dialog that closes by Esc, by its button and by a click beside it, and gives focus back where it was.
export function dialog(className, label, ...children) {
  const before = document.activeElement;
  const box = h("dialog", { class: className, "aria-label": label }, children);
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
  box.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); box.close(); } });
  box.addEventListener("close", () => { box.remove(); if (before && before.isConnected) before.focus({ preventScroll: true }); });
  document.body.append(box);
  box.showModal();
  return box;
}

export function closer(box) {
  return h("button", { type: "button", class: "button icon close", "aria-label": "Close", on: { click: () => box().close() } }, icon("close"));
}
