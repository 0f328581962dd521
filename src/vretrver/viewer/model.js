// What a trace record says, read with care: a file opened by hand may hold anything, so every value is checked.

const array = (value) => (Array.isArray(value) ? value : []);
const object = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const string = (value) => (typeof value === "string" ? value : "");
const finite = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const own = (map, key) => (Object.hasOwn(map, key) ? map[key] : undefined);

const number = (value) => value.toLocaleString("en");
const count = (n, noun) => `${number(n)} ${n === 1 ? noun : noun === "query" ? "queries" : noun + "s"}`;

function ordinal(n) {
  const tail = n % 100 > 10 && n % 100 < 14 ? "th" : ["th", "st", "nd", "rd"][n % 10] || "th";
  return number(n) + tail;
}

function seconds(value) {
  return value < 0.095 ? `${Math.round(value * 1000)} ms` : value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}

// A sum of money, three digits wherever they begin: one answer may cost a hundredth of a cent.
function money(value) {
  return value >= 1 || value <= 0 ? value.toFixed(2) : value.toFixed(Math.min(12, 2 - Math.floor(Math.log10(value))));
}

// What a record says of tokens, by name; nothing of those that nobody told.
function tokenFacts(tokens) {
  return [["tokens read", "prompt"], ["of them cached", "cached"], ["of pictures", "image"], ["tokens written", "completion"]]
    .map(([name, key]) => [name, finite(tokens[key])]).filter(([, value]) => value !== null);
}

// One record, read once: what the drawing code asks for is ready here.
function readRanking(record) {
  const query = object(record.query);
  const results = array(record.results).map(object).map((result, position) => ({
    rank: finite(result.rank) ?? position + 1,
    id: string(result.id) || `#${position + 1}`,
    text: string(result.text),
    score: finite(result.score),
    confidence: finite(result.confidence),
    coarse: finite(result.coarse_rank),
    coarseScore: finite(result.coarse_score),
    image: result.image ? labelOf(result.image) : null,
    ref: result.image || null,
    printed: string(result.printed),
    signals: object(result.signals),
    metadata: object(result.metadata),
    evidence: array(result.evidence).map(object),
  }));
  const ranking = {
    text: string(query.text),
    instruction: string(query.instruction),
    images: array(query.images),
    results,
    traces: array(record.traces).map(object),
    noMatch: record.no_match === true,
    skipped: string(record.skipped),
    agreement: finite(record.agreement),
    usage: object(record.usage),
    pictures: object(record.pictures),
    byId: new Map(results.map((result) => [result.id, result])),
    byImage: new Map(results.filter((result) => result.image).map((result) => [result.image, result])),
  };
  ranking.repairs = ranking.traces.flatMap((trace) => array(trace.repairs).map(string));
  ranking.queryLabels = new Set(ranking.images.map(labelOf));
  return ranking;
}

function labelOf(ref) {
  const image = object(ref);
  return string(image.path) || string(image.bytes) || (image.data ? "data" : null);
}

const baseName = (path) => path.split(/[\\/]/).filter(Boolean).pop() || path;

// A caption's first words, or else the file's name: what people would call it.
function nameOf(result) {
  const words = result.text.split(/(?<=[.!?])\s|\n/)[0].trim().replace(/\.$/, "");
  if (words) return words.length > 72 ? words.slice(0, 70).trimEnd() + "…" : words;
  return baseName(result.id);
}

function titleOf(ranking) {
  if (ranking.text) return ranking.text;
  const names = ranking.images.map((ref) => { const label = labelOf(ref) || ""; return label.startsWith("bytes:") || label === "data" ? "a picture" : baseName(label); });
  return names.length ? `Like ${names.join(", ")}` : "An empty query";
}

const moveOf = (result) => (result.coarse === null ? 0 : result.coarse - result.rank);

// One sentence on what reranking did. It claims no more than the record holds.
function verdictOf(ranking) {
  const { results, traces } = ranking;
  if (!results.length) return { kind: "none", text: "Nothing was found." };
  const looked = (finite(ranking.usage.tool_calls) || 0) > 0;
  const agent = looked ? "Looking" : "Reranking";
  const top = results[0];
  const moved = results.filter((result) => moveOf(result) !== 0).length;
  let verdict;
  if (ranking.skipped) verdict = { kind: "coarse", text: `Nobody looked: ${ranking.skipped.slice(0, 300)}.` };
  else if (!traces.length) verdict = { kind: "coarse", text: "The coarse order, as it was found; no agent ran." };
  else if (top.coarse !== null && top.coarse > 1) verdict = { kind: "changed", text: `${agent} moved “${nameOf(top)}” from ${ordinal(top.coarse)} to first.` };
  else if (moved) verdict = { kind: "below", text: `The first result stayed; ${agent.toLowerCase()} moved ${number(moved)} of ${number(results.length)} below it.` };
  else verdict = { kind: "same", text: `${agent} changed nothing in the order.` };
  if (ranking.noMatch) verdict = { kind: "none", text: "No match: nothing found is likely to answer this. The closest are below." };
  return verdict;
}

// The parts of a model's text, in order: think, tool_call, answer, and whatever stands between.
function segmentsOf(text) {
  const parts = [];
  const tags = /<(think|tool_call|answer)>([\s\S]*?)(?:<\/\1>|$)/g;
  let last = 0;
  for (const match of text.matchAll(tags)) {
    parts.push({ kind: "text", text: text.slice(last, match.index) }, { kind: match[1], text: match[2] });
    last = match.index + match[0].length;
  }
  parts.push({ kind: "text", text: text.slice(last) });
  return parts.map((part) => ({ kind: part.kind, text: part.text.trim() })).filter((part) => part.text);
}

const STOPS = {
  answered: "It gave its answer.",
  no_answer: "It stopped without an answer; the incoming order stands where it said nothing.",
  out_of_turns: "It ran out of turns; the incoming order stands where it said nothing.",
  policy_error: "The model failed; the incoming order stands.",
  budget: "What the query may cost was spent; the incoming order stands.",
};
