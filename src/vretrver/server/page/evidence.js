// One result's evidence: the whole picture with every box on it, the crops that were seen, reasons, ranks, costs.

import { clipped, closer, count, dialog, h, icon, number, percent, seconds, svg } from "./dom.js";
import { meter, nameOf } from "./results.js";

const WHOLE = 1280; // longest side of the picture that is shown
const CROP = 640;

// The agent's words name candidates by their number in its window; here the candidate is the one in view.
const said = (note) => {
  const words = note.replace(/^\s*\(\d{1,3}\):\s*/, "").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
};

// Args: `list` of results; `answer` as the server gave it, null on the way; `like` is called with a result to search for.
export function openEvidence({ id, list, answer, like }) {
  let box = null;

  function draw(next) {
    id = next;
    const result = list().get(id), ids = list().ids, place = ids.indexOf(id);
    const step = (by, glyph, label) => h("button", { type: "button", class: "button icon", "aria-label": label, disabled: !ids[place + by], on: { click: () => draw(ids[place + by]) } }, icon(glyph));
    const content = [
      h("header", { class: "sheet-head" }, h("p", { class: "rank" }, String(place + 1)), h("h2", null, clipped(nameOf(result), 300)),
        h("span", { class: "tools" }, step(-1, "left", "The result before"), step(1, "right", "The next result"), closer(() => box))),
      h("div", { class: "sheet-body" }, pictureOf(result), h("div", { class: "column" }, standing(result, place + 1), looks(result, answer()), facts(result), actions(result), cost(answer()))),
    ];
    if (!box) {
      box = dialog("sheet", "Evidence", content);
      box.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        const to = by && list().ids[list().ids.indexOf(id) + by];
        if (to && !event.altKey && !event.ctrlKey && !event.metaKey) { event.preventDefault(); draw(to); }
      });
      box.addEventListener("close", () => list().focus(id));
    } else {
      box.replaceChildren(...content);
      box.scrollTop = 0;
    }
    box.querySelector(".close").focus({ preventScroll: true });
  }

  function actions(result) {
    const trace = answer()?.trace;
    return h("p", { class: "actions" },
      result.image ? h("button", { type: "button", class: "button", on: { click: () => { box.close(); like(result); } } }, icon("search"), "More like this") : null,
      result.image ? h("a", { class: "button", href: result.image, target: "_blank", rel: "noopener" }, "The whole picture") : null,
      trace ? h("a", { class: "button", href: trace.replace(/^\/v1/, ""), target: "_blank", rel: "noopener" }, icon("eye"), "Every look, turn by turn") : null);
  }

  draw(id);
  // Shown again with what has come to be known since, as long as it is open and still among the results.
  return { refresh() { if (box.open && list().get(id)) draw(id); } };
}

const boxesOf = (result) => result.evidence.map((look) => look.box).filter(Boolean);

function pictureOf(result) {
  if (!result.image) return h("div", { class: "picture words" }, clipped(result.text || result.id, 4000));
  const image = h("img", { src: `${result.image}?side=${WHOLE}`, alt: nameOf(result), decoding: "async" });
  const frame = h("div", { class: "frame" }, image);
  const figure = h("div", { class: "picture" }, frame);
  image.addEventListener("error", () => figure.replaceChildren(h("p", { class: "soft" }, "The picture cannot be read any more. Index its folder again to bring the index up to date.")));
  if (!result.size) return figure;
  const [width, height] = result.size;
  image.setAttribute("width", width);
  image.setAttribute("height", height);
  frame.style.setProperty("--ratio", `${width} / ${height}`);
  const marks = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  boxesOf(result).forEach(([x0, y0, x1, y1], at) => {
    const shape = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    marks.append(svg("g", { class: "mark", "data-look": at }, svg("rect", { class: "halo", ...shape }), svg("rect", { class: "box", ...shape })));
  });
  frame.append(marks);
  return figure;
}

function standing(result, rank) {
  const moved = result.coarse_rank - rank;
  const where = moved === 0 ? `Found at place ${rank}, and it stayed there` : h("span", null, `Found at place ${result.coarse_rank}, now `, h("strong", null, `place ${rank}`));
  return h("div", { class: "standing-sheet" },
    h("p", { class: `moved ${moved > 0 ? "up" : moved < 0 ? "down" : ""}` }, moved ? icon(moved > 0 ? "up" : "down") : null, where),
    h("p", { class: "sure" }, meter(result.confidence), h("span", null, `${percent(result.confidence)} sure that it answers`)));
}

function looks(result, answer) {
  if (!result.evidence.length) {
    const why = !answer ? "The agent may still come to it." : answer.trace ? "The agent ranked it without a closer look." : "Nobody looked: this is the order by similarity alone.";
    return h("p", { class: "soft" }, why);
  }
  let boxed = -1, before = "";
  return h("ol", { class: "looks" }, result.evidence.map((look) => {
    const note = said(look.note), again = note === before;
    before = note;
    const at = look.box ? (boxed += 1) : null;
    const lit = (on) => () => document.querySelector(`.mark[data-look="${at}"]`)?.classList.toggle("on", on);
    const picture = look.box
      ? h("img", { class: "crop", src: `${result.image}?side=${CROP}&box=${look.box.join(",")}`, alt: "The part that was looked at", loading: "lazy" })
      : h("img", { class: "crop whole", src: result.thumbnail || result.image, alt: "The whole picture", loading: "lazy" });
    picture.addEventListener("error", () => picture.remove());
    return h("li", { class: "look", on: look.box ? { pointerenter: lit(true), pointerleave: lit(false) } : {} }, picture,
      h("div", null, h("p", { class: "label" }, look.box ? `Looked closer, ${number(look.box[2] - look.box[0])} × ${number(look.box[3] - look.box[1])} px` : "Looked at all of it"),
        note && !again ? h("p", { class: "note" }, clipped(note, 1200)) : null));
  }));
}

function facts(result) {
  const entries = Object.entries(result.metadata).filter(([, value]) => value !== null && value !== "").slice(0, 24);
  if (result.path) entries.unshift(["file", result.path]);
  return h("details", { class: "about" }, h("summary", null, "About it"), h("dl", null,
    [["id", result.id], ...entries].map(([name, value]) => h("div", null, h("dt", null, clipped(name, 60)), h("dd", null, clipped(typeof value === "object" ? JSON.stringify(value) : String(value), 400))))));
}

export function costOf(usage) {
  return [seconds(usage.seconds), usage.policy_calls ? count(usage.policy_calls, "model call") : null, usage.images ? count(usage.images, "picture") + " shown" : null,
    usage.tokens ? count(usage.tokens.prompt + usage.tokens.completion, "token") : null, usage.money === null || usage.money === undefined ? null : `$${usage.money.toPrecision(2)}`].filter(Boolean).join(" · ");
}

function cost(answer) {
  return answer ? h("p", { class: "soft cost" }, `This search took ${costOf(answer.usage)}`) : null;
}
