// Talking with the server: JSON, events, and faults in words. A token, where one is asked for, is traded for a cookie.

export class Fault extends Error {
  constructor(message, { status = 0, code = "", param = null, wait = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, param, wait });
  }
}

async function answered(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (fault) {
    if (fault.name === "AbortError") throw fault;
    throw new Fault("The server cannot be reached. Is it still running?", { code: "unreachable" });
  }
  if (response.ok) return response;
  let error = {};
  try {
    error = (await response.json()).error || {};
  } catch {
    error = { message: `The server answered with ${response.status}.` };
  }
  throw new Fault(error.message, { status: response.status, code: error.code, param: error.param, wait: Number(response.headers.get("retry-after")) || 0 });
}

export async function ask(path, options) {
  const response = await answered(path, options);
  return response.status === 204 ? null : response.json();
}

export const send = (path, body) => ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const enter = (token) => ask("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });

// A search's events as they come: {event, data}. Pictures go as files, everything else as JSON would have it.
export async function* search(asked, pictures, signal) {
  const options = { method: "POST", signal };
  if (pictures.length) {
    options.body = new FormData();
    for (const [name, value] of Object.entries(asked)) options.body.append(name, typeof value === "string" ? value : JSON.stringify(value));
    for (const picture of pictures) options.body.append("images", picture, picture.name || "picture");
  } else {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(asked);
  }
  const response = await answered("/v1/search/stream", options);
  yield* events(response.body);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").filter((line) => line && !line.startsWith(":")).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (!fields.event) continue;
      const data = JSON.parse(fields.data);
      if (fields.event === "error") throw new Fault(data.error.message, data.error);
      yield { event: fields.event, data };
    }
  }
}
