// Results as cards that move into place: the coarse order at once, then every order the agent comes to.

import { at, clipped, count, h, icon, percent, still } from "./dom.js";

const FIRST = 24;
const MOVE = { duration: 520, easing: "cubic-bezier(.2,.75,.2,1)" };

export const nameOf = (result) => result.text || (result.path || result.id).split("/").at(-1);

// Args: `open` is called with the id of the result whose evidence somebody wants to see.
export function resultList({ open }) {
  const list = at("results"), more = at("more");
  let byId = new Map(), order = [], like = {}, unfolded = new Set(), shown = FIRST, settled = false;
  const cards = new Map(), gliding = new Map();

  // Folded ones stand right behind the one they look like, when they are shown at all.
  function visible() {
    const behind = new Map();
    for (const id of order) if (like[id]) behind.set(like[id], [...(behind.get(like[id]) || []), id]);
    const heads = order.filter((id) => !like[id]);
    const ids = heads.slice(0, shown).flatMap((id) => [id, ...(unfolded.has(id) ? behind.get(id) || [] : [])]);
    return { ids, behind, left: heads.length - shown };
  }

  function draw() {
    const { ids, behind, left } = visible();
    const before = new Map([...cards].map(([id, card]) => [id, card.getBoundingClientRect()]));
    const focused = document.activeElement, folding = focused?.matches(".fold") ? focused.closest(".card") : null;
    for (const [id, card] of cards) if (!ids.includes(id)) { card.remove(); cards.delete(id); }
    ids.forEach((id, place) => {
      const card = cards.get(id) || cardOf(id);
      const fresh = !cards.has(id);
      cards.set(id, card);
      fill(card, id, behind.get(id) || []);
      if (list.children[place] !== card) list.insertBefore(card, list.children[place] || null);
      if (fresh && before.size && !still()) card.animate([{ opacity: 0 }, { opacity: 1 }], MOVE);
    });
    // What was moved or drawn again has lost the keyboard's place.
    const held = folding ? folding.querySelector(".fold") : focused;
    if (held && held !== document.activeElement && list.contains(held)) held.focus({ preventScroll: true });
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(FIRST, left)} more`;
    if (!still()) glide(before);
  }

  // FLIP: each card stands where it belongs and is moved back to where it was, from where it glides.
  function glide(before) {
    const height = innerHeight;
    for (const one of gliding.values()) one.cancel(); // each glides on from where it is seen now
    gliding.clear();
    const after = new Map([...cards].map(([id, card]) => [id, card.getBoundingClientRect()]));
    for (const [id, was] of before) {
      const card = cards.get(id), now = after.get(id);
      if (!card) continue;
      const x = was.left - now.left, y = was.top - now.top;
      const seen = Math.min(was.top, now.top) < 1.5 * height && Math.max(was.bottom, now.bottom) > -0.5 * height;
      if ((x || y) && seen) gliding.set(id, card.animate([{ transform: `translate(${x}px, ${y}px)` }, { transform: "none" }], MOVE));
    }
  }

  function cardOf(id) {
    const result = byId.get(id);
    const tile = h("button", { type: "button", class: "tile", on: { click: () => open(id) } });
    const words = () => h("span", { class: "words" }, clipped(nameOf(result), 220));
    if (result.thumbnail) {
      const image = h("img", { src: result.thumbnail, alt: "", loading: "lazy", decoding: "async", draggable: "false" });
      image.addEventListener("error", () => { tile.classList.add("gone"); image.replaceWith(words()); });
      tile.append(image);
    } else tile.append(words());
    tile.append(h("span", { class: "looked", hidden: true, title: "The agent looked at it" }, icon("eye")));
    return h("li", { class: "card", "data-id": id }, tile, h("div", { class: "facts" }));
  }

  function fill(card, id, behind) {
    const result = byId.get(id), rank = order.indexOf(id) + 1, moved = result.coarse_rank - rank;
    const [tile, facts] = card.children;
    tile.setAttribute("aria-label", `${rank}. ${clipped(nameOf(result), 160)}. Open its evidence`);
    tile.querySelector(".looked").hidden = !result.evidence.length;
    card.classList.toggle("best", settled && rank === 1);
    card.classList.toggle("twin", Boolean(like[id]));
    facts.replaceChildren(
      h("p", { class: "name" }, h("span", { class: "rank" }, String(rank)), h("span", { class: "title" }, clipped(nameOf(result), 160))),
      h("p", { class: "standing" },
        moved ? h("span", { class: `move ${moved > 0 ? "up" : "down"}`, title: `Found at place ${result.coarse_rank}` }, icon(moved > 0 ? "up" : "down"), String(Math.abs(moved)), h("span", { class: "status" }, moved > 0 ? " places up" : " places down")) : null,
        h("span", { class: "sure", title: "How sure the answer is" }, meter(result.confidence), percent(result.confidence)),
        behind.length ? h("button", { type: "button", class: "fold", "aria-expanded": String(unfolded.has(id)), on: { click: () => { unfolded.has(id) ? unfolded.delete(id) : unfolded.add(id); draw(); } } }, icon("stack"), unfolded.has(id) ? "fold" : `${behind.length} alike`) : null,
        like[id] ? h("span", { class: "soft" }, `like ${order.indexOf(like[id]) + 1}`) : null));
  }

  more.addEventListener("click", () => {
    const next = visible().ids.length;
    shown += FIRST;
    draw();
    list.children[next]?.querySelector(".tile").focus();
  });

  return {
    clear() { byId = new Map(); order = []; like = {}; unfolded = new Set(); cards.clear(); gliding.clear(); list.replaceChildren(); shown = FIRST; more.hidden = true; },
    // An answer's results; `done` when nobody looks any more.
    show(results, done) {
      settled = done;
      byId = new Map(results.map((result) => [result.id, result]));
      order = results.map((result) => result.id);
      if (done) like = Object.fromEntries(results.filter((result) => result.alike).map((result) => [result.id, result.alike]));
      draw();
    },
    // An order on the way, of ids; ids that nobody has told about are passed over.
    move(ids) {
      const known = ids.filter((id) => byId.has(id));
      order = [...known, ...order.filter((id) => !known.includes(id))];
      draw();
    },
    fold(alike) {
      // An order that came since may have put one before the one it looks like: the better one stands for both.
      like = {};
      for (const [id, better] of Object.entries(alike)) {
        const [first, second] = order.indexOf(id) < order.indexOf(better) ? [id, better] : [better, id];
        if (!like[second] && !like[first]) like[second] = first;
      }
      draw();
    },
    looking(ids) {
      const seen = new Set(ids);
      for (const [id, card] of cards) card.classList.toggle("looking", seen.has(id));
      const places = order.map((id, place) => (seen.has(id) ? place + 1 : 0)).filter(Boolean);
      return places.length ? `places ${Math.min(...places)} to ${Math.max(...places)}` : count(ids.length, "candidate");
    },
    get ids() { return order; },
    get size() { return order.length; },
    get folded() { return Object.keys(like).length; },
    get: (id) => byId.get(id),
    focus(id) { cards.get(id)?.querySelector(".tile").focus(); },
    // Arrow keys: to the neighbour of the focused card, by where cards stand on the screen.
    step(key) {
      const here = document.activeElement?.closest?.(".card");
      const all = [...list.children];
      if (!here) { all[0]?.querySelector(".tile").focus(); return all.length > 0; }
      const index = all.indexOf(here);
      const below = all.findIndex((card) => card.offsetTop > all[0].offsetTop);
      const columns = below > 0 ? below : all.length;
      const next = index + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
      if (next < 0 && key === "ArrowUp") return "top";
      all[Math.max(0, Math.min(all.length - 1, next))].querySelector(".tile").focus();
      return true;
    },
  };
}

export function meter(share) {
  const bar = h("span", { class: "meter", "aria-hidden": "true" }, h("span", { class: "fill" }));
  bar.firstChild.style.setProperty("width", `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`);
  return bar;
}
