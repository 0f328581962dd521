// Adding pictures: files and folders of this device in batches, or folders that the operator allowed on the server.

import { ask, Fault, send } from "./api.js";
import { clipped, closer, count, dialog, h, number } from "./dom.js";
import { filesOf } from "./folders.js";

const BATCH = 32;
const LOOK_EVERY = 700; // milliseconds between two looks at how far a folder is
const TRIES = 5;

// Args: `about` as /v1/collection tells; `done` is called when the index has changed; `dropped` is what somebody dropped
// before this was open.
export function openAdding({ about, done, dropped = null }) {
  let box = null, stopped = false;
  const says = h("p", { class: "says", role: "status" }), bar = h("progress", { max: "1", value: "0", hidden: true }), trouble = h("ul", { class: "trouble" });
  const input = (label, extra) => h("label", { class: "button" }, h("input", { type: "file", multiple: true, accept: "image/*", ...extra, on: { change: (event) => add([...event.target.files].map((file) => ({ file, name: file.webkitRelativePath || file.name }))) } }), label);

  function tell(words, share) {
    says.textContent = words;
    bar.hidden = share === null;
    if (share === undefined) bar.removeAttribute("value");
    else if (share !== null) bar.value = share;
  }

  const complain = (words) => trouble.children.length < 100 && trouble.append(h("li", null, clipped(words, 300)));

  async function drop(transfer) {
    const coming = filesOf(transfer, (n) => tell(`${count(n, "file")} so far …`, undefined)); // at once: the browser forgets what was dropped
    busy(true);
    tell("Looking for pictures …", undefined);
    try {
      await add(await coming);
    } catch (fault) {
      tell(`That folder cannot be read (${fault.message}).`, null);
      busy(false);
    }
  }

  // Args: {file, name} of each, the name with its path.
  async function add(named) {
    if (!named.length) return tell("There was nothing in it.", null), busy(false);
    trouble.replaceChildren();
    busy(true);
    let others = 0; // in a folder there may be anything; what was chosen by itself is named
    const fit = named.filter(({ file, name }) => {
      if (name.split("/").some((part) => part.startsWith("."))) return false;
      const picture = file.type.startsWith("image/"), why = !picture ? "no picture" : file.size > about.image_bytes ? `over ${Math.floor(about.image_bytes / 2 ** 20)} MB` : null;
      if (!picture && name.includes("/")) others += 1;
      else if (why) complain(`${name}: ${why}`);
      return !why;
    });
    if (others) complain(`${count(others, "file")} that ${others === 1 ? "is no picture" : "are no pictures"}`);
    let added = 0, passed = 0;
    try {
      for (const batch of batches(fit)) {
        if (stopped) break;
        tell(`${number(passed)} of ${count(fit.length, "picture")}`, passed / fit.length);
        added += await deliver(batch);
        passed += batch.length;
      }
      tell(fit.length ? `${count(added, "picture")} added, and found by the next search.` : "There was no picture among them.", null);
    } catch (fault) {
      tell(`${count(added, "picture")} added, then: ${fault.message}`, null);
    }
    busy(false);
    if (added) { done(); follow(added); }
  }

  // Until the words printed on what was added are read.
  async function follow(added) {
    const said = says.textContent;
    const still = () => !stopped && !box.classList.contains("busy");
    for (let { unread } = await ask("/v1/collection"); still(); { unread } = await ask("/v1/collection")) {
      if (unread === null) return tell(`${said} Words printed on pictures are not read by this server.`, null);
      if (!unread) return tell(`${said} Printed words are read.`, null), done();
      tell(`${said} Reading printed words: ${number(unread)} to go.`, added > unread ? 1 - unread / added : undefined);
      await new Promise((go) => setTimeout(go, LOOK_EVERY));
    }
  }

  function* batches(files) {
    const most = Math.min(BATCH, about.images), room = 0.9 * about.body_bytes;
    let batch = [], bytes = 0;
    for (const one of files) {
      if (batch.length === most || (batch.length && bytes + one.file.size > room)) { yield batch; batch = []; bytes = 0; }
      batch.push(one);
      bytes += one.file.size;
    }
    if (batch.length) yield batch;
  }

  // One request; a picture that is refused is named and left out, the others go again. How many were added.
  async function deliver(batch) {
    for (let tries = 0; batch.length;) {
      const body = new FormData();
      for (const { file, name } of batch) body.append("images", file, name);
      try {
        const answer = await ask("/v1/documents", { method: "POST", body });
        for (const { document, reason } of answer.skipped) complain(`${document}: ${reason}`);
        return answer.ids.length - answer.skipped.length;
      } catch (fault) {
        const at = /^(?:images|documents)\.(\d+)/.exec(fault.param || "");
        if (at && batch[at[1]]) {
          complain(`${batch[at[1]].name}: ${fault.message.replace(/^[\w.]+: /, "")}`);
          batch = batch.filter((_one, place) => place !== Number(at[1]));
        } else if (fault.wait && (tries += 1) < TRIES) await new Promise((go) => setTimeout(go, 1000 * fault.wait));
        else throw fault;
      }
    }
    return 0;
  }

  async function index(folder) {
    trouble.replaceChildren();
    busy(true);
    try {
      await watch(await send("/v1/updates", { folder }));
    } catch (fault) {
      tell(fault.message, null);
    }
    busy(false);
  }

  async function watch(update) {
    for (; update.state === "running"; update = await ask(`/v1/updates/${update.id}`)) {
      const doing = { listing: "Looking for pictures", embedding: "Looking at pictures", "reading words": "Reading printed words" }[update.doing] || update.doing;
      tell(update.total ? `${doing}: ${number(update.done)} of ${number(update.total)}` : `${doing} …`, update.total ? update.done / update.total : undefined);
      await new Promise((go) => setTimeout(go, LOOK_EVERY));
      if (stopped) return;
    }
    if (update.state === "failed") throw new Fault(update.error);
    const parts = [[update.added, "added"], [update.updated, "updated"], [update.unchanged, "unchanged"], [update.deleted, "gone"], [update.skipped, "skipped"]];
    tell(`${update.folder}: ${parts.filter(([n]) => n).map(([n, what]) => `${number(n)} ${what}`).join(", ")}.`, null);
    update.reasons.forEach(complain);
    done();
  }

  function busy(is) {
    for (const control of box.querySelectorAll("input, .folder")) control.disabled = is;
    box.classList.toggle("busy", is);
  }

  const zone = h("div", { class: "zone" }, h("p", null, "Drop pictures or a folder here"), h("p", { class: "choose" }, input("Choose pictures", {}), input("Choose a folder", { webkitdirectory: true })));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    zone.classList.remove("over");
    if (!box.classList.contains("busy")) drop(event.dataTransfer);
  });
  const folders = about.folders.length ? [h("h3", null, "Folders on the server"), h("ul", { class: "folders" }, about.folders.map((name) =>
    h("li", null, h("span", null, name), h("button", { type: "button", class: "button folder", on: { click: () => index(name) } }, "Index"))))] : [];
  box = dialog("panel", "Add pictures", h("header", { class: "sheet-head" }, h("h2", null, "Add pictures"), h("span", { class: "tools" }, closer(() => box))), zone, ...folders, bar, says, trouble);
  box.addEventListener("close", () => { stopped = true; });
  ask("/v1/updates").then(({ updates }) => {
    const running = updates.find((update) => update.state === "running");
    if (running && !dropped) { busy(true); watch(running).catch((fault) => tell(fault.message, null)).finally(() => busy(false)); }
  }).catch(() => {});
  if (dropped) drop(dropped);
}
