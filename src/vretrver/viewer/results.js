// The results, best first: each with its picture, what the agent saw on it, and how sure it is.

function drawResults(ranking) {
  const section = h("section", { class: "results", "aria-labelledby": "results-title" }, h("h2", { id: "results-title" }, "Results", h("span", { class: "aside" }, number(ranking.results.length))));
  const list = h("ol", { class: "cards" });
  const pieces = inPieces(ranking.results, 24, (result) => card(ranking, result), list, "result");
  section.append(list, pieces.more);
  const jump = (result) => {
    pieces.upTo(ranking.results.indexOf(result));
    const target = list.children[ranking.results.indexOf(result)];
    target.scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    target.focus({ preventScroll: true });
  };
  return { section, jump };
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

function card(ranking, result) {
  const looks = result.evidence.filter((item) => item.image === result.image);
  const picture = result.ref ? boxed(ranking, result.ref, looks.map((item) => item.box), nameOf(result)) : h("p", { class: "boxed words" }, clipped(result.text, 240));
  return h("li", { class: `card ${result.rank === 1 ? "best" : ""}`, tabindex: "-1" },
    h("div", { class: "plate" }, picture),
    h("div", { class: "facts" },
      h("p", { class: "standing" }, h("span", { class: "rank" }, number(result.rank)), journey(result)),
      h("h3", { title: result.id }, result.text ? h("span", { class: "caption" }, clipped(result.text, 400)) : baseName(result.id)),
      result.text || result.id !== baseName(result.id) ? h("p", { class: "id" }, result.id) : null,
      sure(result),
      result.evidence.length ? h("ul", { class: "evidence" }, result.evidence.slice(0, 12).map((item) => drawEvidence(ranking, result, item))) : null,
      more(result)));
}

function journey(result) {
  if (result.coarse === null) return null;
  const move = moveOf(result);
  if (!move) return h("span", { class: "aside" }, "unmoved");
  return h("span", { class: `move ${way(result)}` }, icon(move > 0 ? GLYPHS.up : GLYPHS.down), `from ${ordinal(result.coarse)}`);
}

function sure(result) {
  if (result.confidence === null) return null;
  const share = Math.max(0, Math.min(1, result.confidence));
  const fill = h("span", { class: "fill" });
  fill.style.width = `${share * 100}%`;
  return h("div", { class: "sure" },
    h("span", { class: "meter", role: "meter", "aria-valuemin": "0", "aria-valuemax": "1", "aria-valuenow": share.toFixed(2), "aria-label": "Confidence" }, fill),
    h("span", { class: "share" }, `${Math.round(share * 100)} %`), h("span", { class: "aside" }, "sure"));
}

function drawEvidence(ranking, result, item) {
  const box = boxOf(item.box);
  const own_ = item.image === result.image;
  return h("li", null,
    own_ && box ? cropped(ranking, result.ref, box, "The part it looked at", "crop small") : null,
    h("span", { class: "note" }, clipped(string(item.note) || "Looked, and said nothing of it.", 240)));
}

function more(result) {
  const rows = [];
  if (result.score !== null) rows.push(["score", result.score.toPrecision(4)]);
  if (result.coarseScore !== null) rows.push(["coarse score", result.coarseScore.toPrecision(4)]);
  for (const [name, value] of Object.entries(result.signals).slice(0, 20)) if (finite(value) !== null) rows.push([name, value.toPrecision(3)]);
  if (result.printed) rows.push(["printed", result.printed]);
  for (const [name, value] of Object.entries(result.metadata).slice(0, 20)) rows.push([name, typeof value === "string" ? value : JSON.stringify(value)]);
  if (!rows.length) return null;
  return folded("Details", { class: "details" }, () => h("dl", null, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, clipped(value, 400))))));
}
