// Pictures: thumbnails out of the trace, and boxes drawn on them at the original's scale.

function boxOf(value) {
  const box = array(value).map(finite);
  return box.length === 4 && box.every((side) => side !== null) && box[0] < box[2] && box[1] < box[3] ? box : null;
}

const isData = (url) => typeof url === "string" && url.startsWith("data:image/");

// {src, width, height} of a whole picture, sizes in the original's pixels; null when the trace carries none.
function wholeOf(ranking, ref) {
  const entry = own(ranking.pictures, labelOf(ref) || "");
  if (entry && isData(entry.whole) && finite(entry.width) > 0 && finite(entry.height) > 0) return { src: entry.whole, width: entry.width, height: entry.height, crops: object(entry.crops) };
  return null;
}

function thumb(ranking, ref, alt, className) {
  const whole = ref && wholeOf(ranking, ref);
  if (!whole) return h("span", { class: `${className} missing`, role: "img", "aria-label": `${alt} (no thumbnail)` });
  return h("img", { class: className, src: whole.src, alt, width: whole.width, height: whole.height, loading: "lazy", decoding: "async" });
}

// The whole picture with boxes on it. `dim` darkens what lies outside the one box, so the eye goes where the agent's went.
function boxed(ranking, ref, boxes, alt, { dim = false } = {}) {
  const whole = wholeOf(ranking, ref);
  if (!whole) return h("span", { class: "boxed missing", role: "img", "aria-label": `${alt} (no thumbnail)` }, "No thumbnail in this trace");
  const { width, height } = whole;
  const frame = h("span", { class: "boxed" }, h("img", { src: whole.src, alt, width, height, loading: "lazy", decoding: "async" }));
  frame.style.setProperty("--ratio", `${width} / ${height}`);
  frame.style.setProperty("--wide", String(width / height));
  const inside = boxes.map(boxOf).filter(Boolean);
  if (!inside.length) return frame;
  const overlay = svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  if (dim) {
    const [x0, y0, x1, y1] = inside[0];
    overlay.append(svg("path", { class: "dim", "fill-rule": "evenodd", d: `M0 0H${width}V${height}H0ZM${x0} ${y0}H${x1}V${y1}H${x0}Z` }));
  }
  for (const [x0, y0, x1, y1] of inside)
    for (const layer of ["halo", "box"]) overlay.append(svg("rect", { class: layer, x: x0, y: y0, width: x1 - x0, height: y1 - y0 }));
  frame.append(overlay);
  return frame;
}

// A crop as it was shown; cut from the thumbnail when the trace carries no crop of its own.
function cropped(ranking, ref, box, alt, className = "crop") {
  const whole = wholeOf(ranking, ref);
  if (!whole) return h("span", { class: `${className} missing`, role: "img", "aria-label": `${alt} (no thumbnail)` }, "No thumbnail in this trace");
  const [x0, y0, x1, y1] = box;
  const width = x1 - x0, height = y1 - y0;
  const src = own(whole.crops, box.join(","));
  const picture = isData(src)
    ? h("img", { class: className, src, alt, width, height, loading: "lazy", decoding: "async" })
    : svg("svg", { class: className, viewBox: `${x0} ${y0} ${width} ${height}`, role: "img", "aria-label": alt },
        svg("image", { href: whole.src, width: whole.width, height: whole.height, preserveAspectRatio: "none" }));
  // Small crops are enlarged to be seen, tall ones kept from filling the screen.
  picture.style.setProperty("--width", `${Math.round(Math.min(Math.max(width, 280), (380 * width) / height))}px`);
  return picture;
}

const area = (box) => `${number(box[2] - box[0])} × ${number(box[3] - box[1])} px`;
