// Filters: conditions on metadata fields that the index has, each a chip; at most four, as the server takes them.

import { at, clipped, count, h, icon, number } from "./dom.js";

const MOST = 4;
const WORDS = { "=": "is", contains: "contains", ">=": "at least", "<=": "at most" };

// Args: `fields` as /v1/collection tells them; `changed` is called with every new set of conditions.
export function filterBar({ fields, changed }) {
  let where = {};
  let open = null;

  function draw() {
    const chips = Object.entries(where).map(([name, condition]) =>
      h("button", { type: "button", class: "chip-button", title: "Remove this filter", on: { click: () => { delete where[name]; draw(); changed(); } } },
        h("span", null, h("span", { class: "soft" }, `${name} `), said(condition)), icon("close")));
    const add = fields().length && Object.keys(where).length < MOST
      ? h("button", { type: "button", class: "button", id: "filter", "aria-haspopup": "dialog", "aria-expanded": "false", on: { click: () => (open ? shut() : pick()) } }, icon("plus"), "Filter") : null;
    at("filters").replaceChildren(...chips, ...(add ? [h("span", { class: "anchor" }, add)] : []));
  }

  function shut() {
    if (!open) return;
    open.remove();
    open = null;
    const button = at("filter");
    if (button) { button.setAttribute("aria-expanded", "false"); button.focus(); }
  }

  function set(name, condition) {
    where[name] = condition;
    open = null;
    draw();
    changed();
  }

  function pick() {
    open = h("div", { class: "menu", role: "dialog", "aria-label": "Filter by" });
    open.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); shut(); } });
    at("filter").setAttribute("aria-expanded", "true");
    at("filter").after(open);
    list();
  }

  function list() {
    const left = fields().filter((field) => !(field.name in where));
    open.replaceChildren(h("p", { class: "label" }, "Filter by"), h("ul", { class: "choices" }, left.map((field) =>
      h("li", null, h("button", { type: "button", on: { click: () => values(field) } }, h("span", null, clipped(field.name, 60)), h("span", { class: "soft" }, count(field.documents, "document")))))));
    open.querySelector("button")?.focus();
  }

  function values(field) {
    const input = h("input", { type: field.kind === "number" ? "number" : "text", step: "any", maxlength: "200", "aria-label": `Value of ${field.name}`, placeholder: field.kind === "number" ? `${number(field.least)} to ${number(field.most)}` : "some of its text" });
    const how = h("select", { "aria-label": "How to compare" }, (field.kind === "number" ? [">=", "<=", "="] : ["contains", "="]).map((name) => h("option", { value: name }, WORDS[name])));
    const form = h("form", { class: "typed", on: { submit: (event) => {
      event.preventDefault();
      const value = field.kind === "number" ? input.valueAsNumber : input.value.trim();
      if (value === "" || Number.isNaN(value)) return;
      set(field.name, how.value === "=" ? value : { [how.value]: value });
    } } }, how, input, h("button", { type: "submit", class: "button" }, "Apply"));
    open.replaceChildren(
      h("button", { type: "button", class: "back", on: { click: list } }, icon("left"), clipped(field.name, 60)),
      ...(field.kind !== "choice" && (field.more || field.kind === "number") ? [form] : []),
      h("ul", { class: "choices" }, field.values.map(({ value, documents }) =>
        h("li", null, h("button", { type: "button", on: { click: () => set(field.name, value) } }, h("span", null, clipped(shown(value), 80)), h("span", { class: "soft" }, number(documents)))))));
    (form.isConnected ? input : open.querySelector(".choices button"))?.focus();
  }

  document.addEventListener("pointerdown", (event) => { if (open && !event.target.closest(".anchor")) shut(); });
  draw();
  return {
    get where() { return { ...where }; },
    set where(given) { where = { ...given }; draw(); },
    draw,
  };
}

const shown = (value) => (value === true ? "yes" : value === false ? "no" : String(value));

function said(condition) {
  if (condition === null || typeof condition !== "object") return clipped(shown(condition), 40);
  if (Array.isArray(condition)) return clipped(condition.map(shown).join(" or "), 40);
  return Object.entries(condition).map(([how, value]) => `${WORDS[how] || how} ${clipped(shown(value), 40)}`).join(", ");
}
