// What somebody drops: files, and the files in folders, with their paths.

const MOST = 100_000;

const entriesOf = (transfer) => [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.()).filter(Boolean);

export const holdsFolder = (transfer) => entriesOf(transfer).some((entry) => entry.isDirectory);

// All files of a drop, with the name that each goes by: its path from what was dropped. Must be called while the drop
// is being handled; the browser forgets it afterwards. `more` is told how many there are so far.
export function filesOf(transfer, more = () => {}) {
  const entries = entriesOf(transfer), plain = [...transfer.files];
  return entries.length ? walked(entries, more) : Promise.resolve(plain.map((file) => ({ file, name: file.name })));
}

async function walked(entries, more) {
  const found = [], waiting = entries.reverse();
  while (waiting.length && found.length < MOST) {
    const entry = waiting.pop();
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory) waiting.push(...(await listed(entry)).reverse());
    else found.push({ file: await new Promise((take, fail) => entry.file(take, fail)), name: entry.fullPath.replace(/^\//, "") });
    if (found.length && found.length % 100 === 0) more(found.length);
  }
  return found;
}

// A folder's entries in the order of their names; the browser hands them out a hundred at a time.
async function listed(folder) {
  const reader = folder.createReader(), all = [];
  for (;;) {
    const some = await new Promise((take, fail) => reader.readEntries(take, fail));
    if (!some.length) return all.sort((a, b) => (a.name < b.name ? -1 : 1));
    all.push(...some);
  }
}
