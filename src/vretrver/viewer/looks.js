// Every turn of every window: what the agent thought, what it asked to see, what it was shown, what it answered.

function drawLooks(ranking) {
  if (!ranking.traces.length) return null;
  const section = h("section", { class: "looks", "aria-labelledby": "looks-title" }, h("h2", { id: "looks-title" }, "What it looked at"));
  const list = h("div");
  const pieces = inPieces(ranking.traces, 20, (trace, position) => drawWindow(ranking, trace, position), list, "window");
  section.append(list, pieces.more);
  return section;
}

const LOOKS = { reverse: ", shown in reverse", shuffle: ", shown shuffled" };

function drawWindow(ranking, trace, position) {
  const ids = array(trace.candidates).map(string);
  const start = finite(trace.start) || 0;
  const views = viewsByIndex(trace);
  const turns = array(trace.turns).map(object);
  const box = h("article", { class: "window" });
  if (ranking.traces.length > 1) box.append(h("h3", null, trace.look ? "A second look" : `Window ${position + 1}`, h("span", { class: "aside" }, `places ${start + 1} to ${start + ids.length}${own(LOOKS, string(trace.look)) || ""}`)));
  const shown = array(trace.prompt).length ? folded(`What it was given: ${count(ids.length, "candidate")}`, { class: "given" }, () => drawPrompt(ranking, trace)) : null;
  const list = h("ol", { class: "turns" });
  turns.forEach((turn, index) => list.append(drawTurn(ranking, trace, views, turn, index)));
  box.append(...[shown, list, drawEnd(ranking, trace)].filter(Boolean));
  return box;
}

// The picture behind each number on the wire: from the prompt, then from whatever was shown later.
function viewsByIndex(trace) {
  const views = new Map();
  const parts = array(trace.prompt).concat(array(trace.turns).flatMap((turn) => array(object(object(turn).observation).parts)));
  for (const part of parts.map(object)) if (part.image && finite(part.index) !== null && !views.has(part.index)) views.set(part.index, part.image);
  return views;
}

// Where a thought goes from candidate to candidate, "(3): ...", each gets a paragraph of its own.
function passagesOf(text) {
  const passages = text.split(/(?=\(\d{1,3}\): )/).map((passage) => passage.trim()).filter(Boolean);
  return passages.length > 2 && passages.length < 60 ? passages : [text];
}

function drawTurn(ranking, trace, views, turn, index) {
  const body = h("div", { class: "turn-body" });
  for (const part of segmentsOf(string(turn.text))) {
    if (part.kind === "tool_call") continue; // drawn from the parsed call, or as refused text below
    if (part.kind === "answer") body.append(drawAnswer(ranking, trace, part.text));
    else for (const passage of passagesOf(part.text)) body.append(h("p", { class: part.kind === "think" ? "think" : "loose" }, clipped(passage, 4000)));
  }
  if (turn.call) body.append(drawCall(ranking, views, object(turn.call)));
  else for (const part of segmentsOf(string(turn.text))) if (part.kind === "tool_call") body.append(h("pre", { class: "raw" }, clipped(part.text, 2000)));
  if (turn.observation) body.append(drawObservation(ranking, object(turn.observation)));
  const cost = [turn.reused === true ? "from a cache" : null, finite(turn.seconds) === null ? null : seconds(turn.seconds),
    tokenFacts(object(turn.tokens)).map(([name, value]) => `${number(value)} ${name}`).join(", ")].filter(Boolean).join(" · ");
  return h("li", { class: `turn ${turn.call || turn.observation ? "looking" : "answering"}`, tabindex: "-1", "data-turn": true },
    h("header", { class: "turn-head" }, h("span", { class: "turn-number" }, `Turn ${index + 1}`), h("span", { class: "cost" }, cost)), body,
    folded("Exact text", { class: "exact" }, () => h("div", null, h("pre", { class: "raw" }, clipped(string(turn.text), 20000)), turn.observation ? h("pre", { class: "raw" }, clipped(heardText(turn.observation), 8000)) : null)));
}

// What the observation said, pictures standing as <image>.
function heardText(observation) {
  return array(object(observation).parts).map(object).map((part) => (part.image ? "<image>" : string(part.text))).join("");
}

function drawCall(ranking, views, call) {
  const args = object(call.arguments);
  const targets = array(args.target_images ?? (args.target_image === undefined ? [] : [args.target_image]));
  const line = h("p", { class: "call" }, h("code", { class: "tool" }, string(call.name)));
  const names = targets.slice(0, 8).map((index) => (views.has(index) ? whose(ranking, views.get(index)) : `image ${JSON.stringify(index)}`));
  if (names.length) line.append(h("span", { class: "target" }, names.join(", ")));
  const rest = Object.entries(args).filter(([name]) => name !== "target_image" && name !== "target_images");
  for (const [name, value] of rest.slice(0, 8)) line.append(h("span", { class: "argument" }, h("span", { class: "key" }, name), clipped(JSON.stringify(value), 160)));
  return line;
}

// Whose picture it is, in words.
function whose(ranking, ref) {
  const label = labelOf(ref);
  if (ranking.queryLabels.has(label)) return "the query’s picture";
  const result = ranking.byImage.get(label);
  return result ? nameOf(result) : baseName(label || "a picture");
}

function drawObservation(ranking, seen) {
  const parts = array(seen.parts).map(object);
  const said = parts.filter((part) => typeof part.text === "string").map((part) => part.text).join(" ").trim();
  const shown = parts.filter((part) => part.image);
  const box = h("div", { class: `observation ${seen.valid === false ? "refused" : ""}` });
  if (seen.valid === false) box.append(h("p", { class: "refusal" }, clipped(said, 600)));
  const crops = shown.filter((part) => boxOf(part.box));
  const wholes = shown.filter((part) => !boxOf(part.box));
  for (const part of crops) box.append(drawCrop(ranking, part));
  if (wholes.length) box.append(h("div", { class: "selected" }, wholes.map((part) => figure(boxed(ranking, part.image, [], whose(ranking, part.image)), whose(ranking, part.image), sizes(part)))));
  if (seen.valid !== false && said && !shown.length) box.append(h("p", { class: "note" }, clipped(said, 600)));
  return box;
}

function drawCrop(ranking, part) {
  const box = boxOf(part.box);
  const name = whose(ranking, part.image);
  const where = `${name}, the part from ${box[0]}, ${box[1]} to ${box[2]}, ${box[3]}`;
  return h("div", { class: "zoom" },
    figure(boxed(ranking, part.image, [box], `${name}, with the part that was looked at`, { dim: true }), name, sizes(part)),
    figure(cropped(ranking, part.image, box, where), `${area(box)} at ${number(box[0])}, ${number(box[1])}`, finite(part.width) && finite(part.height) ? `shown at ${part.width} × ${part.height}` : ""));
}

const sizes = (part) => (finite(part.index) === null ? "" : part.index === 0 ? "query image" : `image ${part.index}`);

function figure(picture, caption, aside) {
  return h("figure", null, picture, h("figcaption", null, h("span", null, caption), aside ? h("span", { class: "aside" }, aside) : null));
}

function drawAnswer(ranking, trace, text) {
  const ids = array(trace.candidates).map(string);
  const order = /^\s*\[[\d\s,]*\]\s*$/.test(text) ? text.match(/\d+/g) || [] : null;
  if (!order) return h("p", { class: "loose" }, clipped(text, 2000));
  const chip = (word, index) => {
    const result = ranking.byId.get(ids[Number(word) - 1]);
    return h("li", { title: result ? nameOf(result) : null }, result && result.ref ? thumb(ranking, result.ref, nameOf(result), "mini") : null, h("span", null, word));
  };
  return h("div", { class: "answer" }, h("p", { class: "label" }, "Answer, best first"), h("ol", null, order.slice(0, 40).map(chip)), order.length > 40 ? h("p", { class: "aside" }, `and ${number(order.length - 40)} more`) : null);
}

function drawEnd(ranking, trace) {
  const repairs = array(trace.repairs).map(string);
  const end = h("footer", { class: `end ${trace.stop === "answered" && !repairs.length ? "" : "attention"}` },
    h("p", null, own(STOPS, string(trace.stop)) || `It stopped: ${string(trace.stop)}.`, trace.error ? h("span", { class: "refusal" }, " ", clipped(string(trace.error), 600)) : null));
  if (repairs.length) end.append(h("p", { class: "label" }, `${count(repairs.length, "repair")} made its answer a full order`), h("ul", null, repairs.slice(0, 50).map((repair) => h("li", null, clipped(repair, 300)))));
  const about = [string(trace.policy), trace.prompt_hash ? `prompt ${string(trace.prompt_hash).slice(0, 12)}` : ""].filter(Boolean).join(" · ");
  if (about) end.append(h("p", { class: "aside" }, about));
  return end;
}

function drawPrompt(ranking, trace) {
  return h("div", { class: "prompt" }, array(trace.prompt).slice(0, 400).map(object).map((part) =>
    part.image ? figure(thumb(ranking, part.image, whose(ranking, part.image), "shown"), sizes(part), "") : h("p", null, clipped(string(part.text), 2000))));
}
