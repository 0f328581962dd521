// The page: what is asked, how an answer arrives, keys, addresses, light and dark.

import { ask, enter, Fault, search } from "./api.js";
import { openAdding } from "./adding.js";
import { at, clipped, closer, count, dialog, h, icon, number, seconds, still } from "./dom.js";
import { costOf, openEvidence } from "./evidence.js";
import { filterBar } from "./filters.js";
import { queryBox } from "./query.js";
import { resultList } from "./results.js";

let about = { documents: null, policy: null, top_k: 50, writable: false, folders: [], images: 8, image_bytes: 20 * 2 ** 20, body_bytes: 64 * 2 ** 20, fields: [] };
let answer = null; // the last whole answer, null on the way
let running = null; // aborts the search on the way

let opened = null; // the evidence that is in view

const list = resultList({ open: (id) => { opened = openEvidence({ id, list: () => list, answer: () => answer, like: moreLike }); } });
const box = queryBox({ changed: run, refuse: (words) => complain(new Fault(words)), limits: () => about, dropped });
const filters = filterBar({ fields: () => about.fields, changed: run });

async function learn() {
  about = await ask("/v1/collection");
  at("holds").textContent = about.documents ? `${count(about.documents, "document")}, by words, by a picture, or by both.` : "Nothing is indexed yet.";
  at("add").hidden = !about.writable;
  at("drop").firstElementChild.textContent = about.writable ? "Drop a picture to search with it, or a folder to add it" : "Drop a picture to search with it";
  at("looking").hidden = !about.policy;
  at("options").hidden = false;
  filters.draw();
}

// -- searching ---------------------------------------------------------------------------------------------------

async function run() {
  if (box.isEmpty) return;
  running?.abort();
  const mine = (running = new AbortController());
  const looks = Boolean(about.policy) && at("looks").checked;
  const asked = { k: Math.min(200, Math.max(48, looks ? about.top_k : 0)), fold: true, ...(box.text ? { text: box.text } : {}), ...(about.policy && !looks ? { policy: false } : {}) };
  if (Object.keys(filters.where).length) asked.where = filters.where;
  remember();
  begin();
  const started = performance.now();
  try {
    for await (const { event, data } of search(asked, box.files, mine.signal)) {
      if (mine !== running) return;
      if (event === "coarse") coarse(data, looks, started);
      else if (event === "alike") list.fold(data.alike);
      else if (event === "progress") progress(data);
      else if (event === "ranking") finish(data, looks);
    }
    if (!answer) throw new Fault("The answer ended before it was whole.", { code: "unreachable" });
  } catch (fault) {
    if (fault.name === "AbortError" || mine !== running) return;
    complain(fault.name === "TypeError" ? new Fault("The connection was lost on the way.", { code: "unreachable" }) : fault, run);
    if (list.size) summarise("stopped", ["Nobody finished looking: this is the order so far."]);
  } finally {
    if (mine === running) { running = null; document.body.classList.remove("busy"); list.looking([]); }
  }
}

function begin() {
  answer = null;
  quiet();
  list.clear();
  document.body.classList.remove("blank");
  document.body.classList.add("busy");
  at("welcome").hidden = true;
  at("answer").hidden = false;
  at("answer").classList.remove("none");
  summarise("busy", ["Searching …"]);
}

function coarse(data, looks, started) {
  list.show(data.results, false);
  const found = data.results.length ? `${count(data.results.length, "candidate")} of ${number(about.documents)} in ${seconds((performance.now() - started) / 1000)}` : "Nothing is there to be found";
  summarise("busy", [found, looks && data.results.length ? "Looking …" : ""], looks && data.results.length > 0);
}

function progress({ order, looking }) {
  const ids = looking.flat();
  list.move(order);
  const places = list.looking(ids);
  if (ids.length) summarise("busy", [count(list.size, "candidate"), `Looking at ${places} …`], true);
}

function finish(data, looks) {
  answer = data;
  list.looking([]);
  list.show(data.results, true);
  const moved = data.results.filter((result) => result.coarse_rank !== result.rank).length;
  const none = data.no_match || !data.results.length;
  at("answer").classList.toggle("none", none);
  const said = [];
  if (!data.results.length) said.push(Object.keys(filters.where).length ? "Nothing passes these filters." : "There is nothing to find here yet.");
  else if (none) said.push("Nothing here seems to match.");
  else if (data.skipped) said.push("Certain enough without a closer look.");
  else if (looks && data.trace) said.push(moved ? `Looked, and moved ${count(moved, "result")}.` : "Looked, and left the order as it was.");
  else said.push(`${count(data.results.length, "result")} by similarity.`);
  if (none && data.results.length) said.push("These come nearest, and are not likely to be what you asked for.");
  if (data.partial) said.push("Time was up before every window was ranked: this is the best order so far.");
  if (list.folded) said.push(`${count(list.folded, "near-duplicate")} folded.`);
  summarise(none ? "none" : "done", said, false, data);
  opened?.refresh();
  at("status").textContent = `${said[0]} ${count(data.results.length, "result")}.`;
}

function summarise(kind, [first, ...rest], working = false, data = null) {
  const trace = data?.trace;
  at("summary").className = `summary ${kind}`;
  at("summary").replaceChildren(
    h("p", { class: "verdict" }, first),
    h("p", { class: "soft" }, rest.filter(Boolean).join(" "), data ? ` ${costOf(data.usage)}.` : "",
      trace ? h("a", { href: trace.replace(/^\/v1/, ""), target: "_blank", rel: "noopener" }, "Every look") : null,
      working ? h("button", { type: "button", class: "link", on: { click: stop } }, "Enough") : null),
    h("span", { class: "line", hidden: !working }));
}

function stop() {
  if (!running) return;
  running.abort();
  running = null;
  document.body.classList.remove("busy");
  list.looking([]);
  summarise("stopped", ["Stopped.", "This is the order so far."]);
}

const add = (carried) => openAdding({ about, done: () => learn().catch(complain), dropped: carried });

// A folder was dropped on the page: nothing to search with, but something to add.
function dropped(transfer) {
  if (about.writable) add(transfer);
  else complain(new Fault("That is a folder. This server takes no pictures in; drop one picture to search with it."));
}

async function moreLike(result) {
  try {
    const response = await fetch(`${result.image}?side=1600`, { credentials: "same-origin" });
    if (!response.ok) throw new Fault("That picture cannot be read any more.");
    box.only([new File([await response.blob()], (result.path || result.id).split("/").at(-1), { type: "image/jpeg" })]);
    scrollTo({ top: 0, behavior: still() ? "auto" : "smooth" });
  } catch (fault) {
    complain(fault);
  }
}

// -- when something is wrong ---------------------------------------------------------------------------------------

const HEADINGS = { unreachable: "No connection", busy: "Too many are asking right now", timeout: "That took too long", bad_image: "That picture cannot be read", too_large: "That is too large" };

const AGAIN = new Set([0, 429, 500, 502, 503, 504]); // what may go better the next time

function complain(fault, again) {
  if (fault.status === 401) return letIn(again);
  document.body.classList.remove("busy");
  if (!list.size) at("answer").hidden = true;
  const retry = again && AGAIN.has(fault.status);
  at("fault").replaceChildren(h("h2", null, HEADINGS[fault.code] || "That did not work"), h("p", null, clipped(inWords(fault), 600)),
    h("p", { class: "actions" }, retry ? h("button", { type: "button", class: "button", on: { click: again } }, "Try again") : null, h("button", { type: "button", class: "button", on: { click: dismiss } }, "Close")));
  at("fault").hidden = false;
}

// The server names parts of the request; here they are what somebody chose.
function inWords(fault) {
  const at = /^images\.(\d+)/.exec(fault.param || "");
  const words = fault.message.replace(/^images\.\d+: /, "").replace(/cannot read image \S+: /, "");
  return at && box.files[at[1]] ? `${box.files[at[1]].name || "The picture"}: ${words}` : words;
}

function dismiss() {
  quiet();
  if (!list.size) rest();
  box.focus();
}

// Nothing is asked: the page as it opens.
function rest() {
  running?.abort();
  running = null;
  list.clear();
  document.body.classList.remove("busy");
  document.body.classList.add("blank");
  at("welcome").hidden = false;
  at("answer").hidden = true;
}

function quiet() {
  at("fault").hidden = true;
  at("fault").replaceChildren();
}

// The server asks for a token; it is sent once and then forgotten here, the browser keeps a cookie.
function letIn(again) {
  if (document.querySelector("dialog.token")) return;
  const input = h("input", { type: "password", autocomplete: "current-password", "aria-label": "Token", required: true });
  const says = h("p", { class: "says", role: "alert" });
  const form = h("form", { class: "typed", on: { submit: async (event) => {
    event.preventDefault();
    try {
      await enter(input.value.trim());
      await learn();
      sheet.close(); // only now: what somebody asks behind it is not to be taken for the first address again
      again?.();
    } catch (fault) {
      says.textContent = fault.status === 401 ? "That is not the token." : fault.message;
    }
  } } }, input, h("button", { type: "submit", class: "button strong" }, "Enter"));
  const sheet = dialog("panel token", "Token", h("header", { class: "sheet-head" }, h("h2", null, "This server asks for a token"), h("span", { class: "tools" }, closer(() => sheet))),
    h("p", { class: "soft" }, "Whoever started it set VRETRVER_TOKEN. This browser is let in until the token changes."), form, says);
  input.focus();
}

// -- addresses, keys, light and dark -------------------------------------------------------------------------------

function remember() {
  const told = new URLSearchParams();
  if (box.text) told.set("q", box.text.slice(0, 1000));
  if (Object.keys(filters.where).length) told.set("where", JSON.stringify(filters.where));
  const address = `/${told.size ? `?${told}` : ""}`;
  if (address !== location.pathname + location.search) history.pushState(null, "", address);
  document.title = box.text ? `${clipped(box.text, 60)} · vretrver` : "vretrver";
}

function recall() {
  const told = new URLSearchParams(location.search);
  try {
    const where = JSON.parse(told.get("where") || "{}");
    filters.where = where && typeof where === "object" && !Array.isArray(where) ? where : {};
  } catch {
    filters.where = {};
  }
  box.only([]);
  box.text = told.get("q") || "";
  if (box.isEmpty) rest();
  else run();
}

// What the address asks for, once it is known what can be asked.
function start() {
  if (about.documents !== null) return recall();
  return learn().then(recall).catch((fault) => complain(fault, start));
}

addEventListener("popstate", recall);
addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input:not([type=checkbox], [type=file]), select, textarea");
  if (event.key === "/" && !typing) { event.preventDefault(); box.focus(); }
  else if (event.key === "Escape") { if (running) stop(); else if (typing) event.target.blur(); }
  else if (event.key === "ArrowDown" && event.target.id === "text") { if (list.step("ArrowDown")) event.preventDefault(); }
  else if (event.key.startsWith("Arrow") && !typing && !event.target.closest(".menu") && list.size) {
    event.preventDefault();
    if (list.step(event.key) === "top") box.focus();
  }
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const wear = (theme) => (theme ? document.documentElement.setAttribute("data-theme", theme) : document.documentElement.removeAttribute("data-theme"));
wear(localStorage.getItem("vretrver-theme"));
at("theme").append(icon("theme"));
at("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  localStorage.setItem("vretrver-theme", next);
  wear(next);
});
at("add").prepend(icon("plus"));
at("add").addEventListener("click", () => add());
at("looks").addEventListener("change", run);

start();
