// The page: which query is shown, files that are opened, keys, light and dark.

const at = (id) => document.getElementById(id);
const VERSION = 2;
const MAX_FILE = 512 * 2 ** 20;
let rankings = [];
let current = 0;

function show(position, keepFocus) {
  current = Math.max(0, Math.min(rankings.length - 1, position));
  const ranking = rankings[current];
  const { section, jump } = drawResults(ranking);
  at("main").replaceChildren(...[drawHead(ranking), drawOrder(ranking, jump), drawLooks(ranking), section, drawKeys()].filter(Boolean));
  for (const item of at("queries").querySelectorAll("button[data-position]")) {
    const here = Number(item.dataset.position) === current;
    item.setAttribute("aria-current", here ? "true" : "false");
    if (here) item.scrollIntoView({ block: "nearest", inline: "center" });
  }
  at("status").textContent = rankings.length > 1 ? `Query ${current + 1} of ${rankings.length}` : "";
  scrollTo(0, 0);
  if (!keepFocus) at("main").focus({ preventScroll: true });
}

function drawHead(ranking) {
  const verdict = verdictOf(ranking);
  const kicker = [rankings.length > 1 ? `Query ${current + 1} of ${rankings.length}` : "Query", ranking.images.length ? (ranking.text ? "picture and words" : "picture") : null].filter(Boolean).join(" · ");
  const title = titleOf(ranking);
  const head = h("header", { class: "head-of-query" },
    h("div", { class: "asked" }, h("p", { class: "label" }, kicker), h("h1", { class: title.length > 90 ? "long" : "" }, clipped(title, 1200)),
      ranking.instruction ? h("p", { class: "instruction" }, clipped(ranking.instruction, 400)) : null,
      h("p", { class: `verdict ${verdict.kind}` }, verdict.text)),
    ranking.images.length ? h("div", { class: "query-images" }, ranking.images.slice(0, 6).map((ref, index) => boxed(ranking, ref, [], `Query picture ${index + 1}`))) : null);
  return h("div", null, head, drawCost(ranking));
}

function drawCost(ranking) {
  const { usage } = ranking;
  const rounds = finite(usage.rounds), windows = finite(usage.windows), price = finite(usage.money);
  const facts = [["time", finite(usage.seconds) === null ? null : seconds(usage.seconds)], ["looks", finite(usage.tool_calls)], ["pictures shown", finite(usage.images)],
    ["model calls", finite(usage.policy_calls)], ["from a cache", finite(usage.cache_hits) || null], ["windows", windows > 1 && rounds ? `${number(windows)} in ${count(rounds, "round")}` : null],
    ...tokenFacts(object(usage.tokens)), ["money", price === null ? null : money(price)], ["repairs", ranking.repairs.length], ["both looks agree on", ranking.agreement === null ? null : `${Math.round(ranking.agreement * 100)} % of pairs`]];
  return h("dl", { class: "costs" }, facts.filter(([, value]) => value !== null).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, typeof value === "number" ? number(value) : value))));
}

function drawKeys() {
  const key = (...names) => names.map((name) => h("kbd", null, name));
  return h("footer", { class: "keys" }, rankings.length > 1 ? h("span", null, key("←", "→"), " queries") : null, h("span", null, key("j", "k"), " turns"), h("span", null, key("t"), " light or dark"));
}

function drawList() {
  const nav = at("queries");
  nav.hidden = rankings.length < 2;
  document.body.classList.toggle("many", rankings.length > 1);
  const list = h("ol");
  const draw = (ranking, position) => h("li", null, h("button", { type: "button", "data-position": position, on: { click: () => show(position, true) } },
    h("span", { class: `dot ${verdictOf(ranking).kind}`, "aria-hidden": "true" }), h("span", { class: "words" }, titleOf(ranking).slice(0, 120)), ranking.images.length ? thumb(ranking, ranking.images[0], "", "mini") : null));
  const pieces = inPieces(rankings, 200, draw, list, "query");
  nav.replaceChildren(h("p", { class: "label" }, count(rankings.length, "query")), list, pieces.more);
}

function open(records, title) {
  rankings = records.map((record) => readRanking(object(record)));
  at("file").textContent = wellFormed(title);
  document.title = wellFormed(title);
  if (!rankings.length) return welcome("This trace file holds no rankings.");
  drawList();
  const asked = Number(/^#(\d{1,6})$/.exec(location.hash)?.[1] || 1);
  show(asked - 1, true);
}

function welcome(problem) {
  rankings = [];
  at("queries").hidden = true;
  document.body.classList.remove("many");
  at("main").replaceChildren(h("div", { class: "empty" }, h("h1", null, "Open a trace"),
    h("p", null, "Drop a trace file here, or choose one. It is read on this machine and goes nowhere else."),
    h("p", null, h("button", { type: "button", class: "button strong", on: { click: () => at("open").click() } }, "Choose a file")),
    problem ? h("p", { class: "refusal", role: "alert" }, problem) : null,
    h("p", { class: "aside" }, h("code", null, "vretrver search photos.vr \"a query\" --trace run.jsonl"))));
}

async function openFiles(files) {
  const records = [];
  try {
    for (const file of files) {
      if (file.size > MAX_FILE) throw new Error(`${file.name} is larger than ${MAX_FILE / 2 ** 20} MB; split it by lines`);
      (await file.text()).split("\n").forEach((line, index) => {
        if (line.trim()) records.push(readLine(line, `${file.name}, line ${index + 1}`));
      });
    }
    open(records, files.length === 1 ? files[0].name : `${files.length} files`);
  } catch (fault) {
    welcome(String(fault.message).slice(0, 300));
  }
}

function readLine(line, where) {
  let record;
  try { record = JSON.parse(line); } catch { throw new Error(`${where}, is not JSON`); }
  if (object(record).version !== VERSION) throw new Error(`${where}, is not a trace of version ${VERSION}`);
  return record;
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function stepTurn(direction) {
  const turns = [...document.querySelectorAll("[data-turn]")];
  const here = turns.indexOf(document.activeElement.closest("[data-turn]"));
  const next = turns[Math.max(0, Math.min(turns.length - 1, here + direction))];
  if (next) { next.focus({ preventScroll: true }); next.scrollIntoView({ block: "start", behavior: calm() ? "auto" : "smooth" }); }
}

function heard(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
  const inTurns = event.target.closest && event.target.closest("[data-turn]");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step && rankings.length > 1) { event.preventDefault(); show(current + step, false); }
  else if (event.key === "j" || (inTurns && event.key === "ArrowDown")) { event.preventDefault(); stepTurn(1); }
  else if (event.key === "k" || (inTurns && event.key === "ArrowUp")) { event.preventDefault(); stepTurn(-1); }
  else if (event.key === "t") toggleTheme();
}

function start() {
  at("theme").append(icon(GLYPHS.theme));
  at("theme").addEventListener("click", toggleTheme);
  at("open").addEventListener("change", (event) => { if (event.target.files.length) openFiles([...event.target.files]); });
  addEventListener("keydown", heard);
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
  addEventListener("drop", (event) => { event.preventDefault(); document.body.classList.remove("dropping"); if (event.dataTransfer.files.length) openFiles([...event.dataTransfer.files]); });
  const embedded = JSON.parse(at("traces").textContent);
  document.body.classList.toggle("embedded", embedded.records !== null);
  if (embedded.records === null) welcome("");
  else open(embedded.records, embedded.title);
}

start();
