// The search box: words, and pictures that are chosen, pasted, dropped, or taken from a result.

import { at, clipped, h, icon } from "./dom.js";
import { holdsFolder } from "./folders.js";

const MOST = 8;

// Args: `changed` is called when there is something new to search for; `refuse` with words for what cannot be taken;
// `dropped` with what was dropped where that is a folder.
export function queryBox({ changed, refuse, limits, dropped }) {
  let pictures = [];
  const text = at("text");

  function draw() {
    at("pictures").replaceChildren(...pictures.map(({ file, url }) =>
      h("span", { class: "chip" }, h("img", { src: url, alt: file.name || "your picture", on: { error: (event) => event.target.replaceWith(h("span", { class: "unseen", title: file.name }, icon("picture"))) } }),
        h("button", { type: "button", "aria-label": `Remove ${file.name || "the picture"}`, on: { click: () => { remove(url); changed(); } } }, icon("close")))));
    text.placeholder = pictures.length ? "Say more about it, or search with the picture alone" : "Search with words, a picture, or both";
  }

  function remove(url) {
    pictures = pictures.filter((one) => one.url !== url);
    URL.revokeObjectURL(url);
    draw();
  }

  function take(files) {
    const found = [...files].filter((file) => file.type.startsWith("image/"));
    if (!found.length) return files.length ? refuse("That is no picture. JPEG, PNG, WebP, GIF, TIFF and BMP can be searched with.") : false;
    const large = found.find((file) => file.size > limits().image_bytes);
    if (large) return refuse(`${clipped(large.name, 60)} has ${Math.ceil(large.size / 2 ** 20)} MB; at most ${Math.floor(limits().image_bytes / 2 ** 20)} MB are allowed.`);
    if (pictures.length + found.length > MOST) return refuse(`A search takes up to ${MOST} pictures.`);
    pictures = pictures.concat(found.map((file) => ({ file, url: URL.createObjectURL(file) })));
    draw();
    changed();
    return true;
  }

  at("pick").append(icon("picture"));
  at("go").append(icon("search"));
  at("choose").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
  at("ask").addEventListener("submit", (event) => { event.preventDefault(); changed(); });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Backspace" && !text.value && pictures.length) remove(pictures.at(-1).url);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData ? event.clipboardData.files : [])];
    // Office programs copy a picture of a text beside the text; then the text is meant.
    if (files.length && !event.clipboardData.types.includes("text/plain") && !document.querySelector("dialog[open]")) { event.preventDefault(); take(files); }
  });
  let depth = 0;
  const carries = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files") && !document.querySelector("dialog[open]");
  const over = (shown) => { at("drop").hidden = !shown; if (!shown) depth = 0; };
  addEventListener("dragenter", (event) => { if (carries(event)) { depth += 1; over(true); } });
  addEventListener("dragleave", (event) => { if (carries(event) && (depth -= 1) <= 0) over(false); });
  addEventListener("dragover", (event) => { if (event.dataTransfer) event.preventDefault(); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    if (!carries(event)) return;
    over(false);
    if (holdsFolder(event.dataTransfer)) dropped(event.dataTransfer);
    else take(event.dataTransfer.files);
  });
  draw();

  return {
    get text() { return text.value.trim(); },
    set text(value) { text.value = value; },
    get files() { return pictures.map((one) => one.file); },
    get isEmpty() { return !text.value.trim() && !pictures.length; },
    only(files) { for (const { url } of pictures) URL.revokeObjectURL(url); pictures = []; text.value = ""; draw(); if (files.length) take(files); },
    focus() { text.focus(); text.select(); },
  };
}
