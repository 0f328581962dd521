// The order before and after, as two columns and the paths between them.

const ORDER_ROWS = 16;
const ORDER_MOST = 200;

function drawOrder(ranking, jump) {
  const known = ranking.results.filter((result) => result.coarse !== null);
  if (!known.length) return null;
  const section = h("section", { class: "order", "aria-labelledby": "order-title" }, h("h2", { id: "order-title" }, "Before and after"));
  const holder = h("div");
  const rows = (limit) => holder.replaceChildren(slopes(ranking, known.slice(0, limit), jump));
  rows(ORDER_ROWS);
  section.append(holder);
  if (known.length > ORDER_ROWS) {
    const most = Math.min(known.length, ORDER_MOST);
    const more = h("button", { type: "button", class: "button more", on: { click: () => { rows(most); more.remove(); } } },
      most < known.length ? `Show the first ${number(most)} of ${count(known.length, "result")}` : `Show all ${count(most, "result")}`);
    section.append(more);
  }
  return section;
}

function slopes(ranking, after, jump) {
  const before = [...after].sort((a, b) => a.coarse - b.coarse);
  const place = new Map(before.map((result, row) => [result, row]));
  const moves = after.some((result) => moveOf(result) !== 0);
  const grid = h("div", { class: "slopes" });
  grid.style.setProperty("--rows", String(after.length));
  const paths = svg("svg", { class: "paths", viewBox: `0 0 100 ${after.length}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const drawn = new Map();
  // Still lines first, risers last: what moved lies on top.
  const layers = [...after].sort((a, b) => (moveOf(a) > 0) - (moveOf(b) > 0) || (moveOf(a) !== 0) - (moveOf(b) !== 0) || b.rank - a.rank);
  for (const result of layers) {
    const from = place.get(result) + 0.5;
    const to = after.indexOf(result) + 0.5;
    const path = svg("path", { class: `path ${way(result)} ${result.rank === 1 && moveOf(result) > 0 ? "first" : ""}`, d: `M0 ${from}C46 ${from} 54 ${to} 100 ${to}` });
    drawn.set(result, [path]);
    paths.append(path);
  }
  const column = (title, list, draw) => h("ol", { class: `column ${title.toLowerCase()}`, "aria-label": `${title} looking` }, list.map(draw));
  const light = (result, on) => { grid.classList.toggle("lit", on); for (const part of drawn.get(result)) part.classList.toggle("on", on); };
  const row = (result, content, side) => {
    const button = h("button", { type: "button", class: `row ${way(result)}`, "aria-label": spoken(result, side), on: { click: () => jump(result) } }, content);
    for (const [event, on] of [["pointerenter", true], ["pointerleave", false], ["focus", true], ["blur", false]]) button.addEventListener(event, () => light(result, on));
    drawn.get(result).push(button);
    return h("li", null, button);
  };
  grid.append(
    h("p", { class: "head before", "aria-hidden": "true" }, "Found"),
    h("p", { class: "head after", "aria-hidden": "true" }, moves ? "After looking" : "Unchanged"),
    column("Before", before, (result) => row(result, [h("span", { class: "place" }, number(result.coarse)), thumb(ranking, result.ref, "", "mini"), h("span", { class: "name" }, nameOf(result))], "before")),
    paths,
    column("After", after, (result) => row(result, [h("span", { class: "place" }, number(result.rank)), thumb(ranking, result.ref, "", "mini"), h("span", { class: "name" }, nameOf(result)), badge(result)], "after")),
  );
  return grid;
}

const way = (result) => (moveOf(result) > 0 ? "up" : moveOf(result) < 0 ? "down" : "same");

function spoken(result, side) {
  const move = moveOf(result);
  const went = move > 0 ? `up ${move}` : move < 0 ? `down ${-move}` : "unmoved";
  return side === "before" ? `Found at ${result.coarse}: ${nameOf(result)}` : `Now ${result.rank}, ${went}: ${nameOf(result)}`;
}

function badge(result) {
  const move = moveOf(result);
  const looked = result.evidence.length ? h("span", { class: "looked", title: count(result.evidence.length, "look") }, icon(GLYPHS.eye)) : null;
  if (!move) return h("span", { class: "badges" }, looked);
  return h("span", { class: "badges" }, looked, h("span", { class: `move ${way(result)}`, "aria-hidden": "true" }, icon(move > 0 ? GLYPHS.up : GLYPHS.down), number(Math.abs(move))));
}
