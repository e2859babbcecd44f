// data.js: the run as the page is given it, unpacked.
//
// Law: nothing is judged here. Who owned what and what was lost was decided before the page was made; this part turns
// columns of differences into numbers, microseconds into seconds, and lays an index where drawing would search for long.

const raw = JSON.parse(document.getElementById("data").textContent);

const seconds = (micro) => micro / 1e6;

function sums(column) {
  const out = new Float64Array(column.length);
  let sum = 0;
  for (let i = 0; i < column.length; i++) out[i] = sum += column[i];
  return out;
}

function lowerBound(sorted, value) {
  let low = 0, high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const about = raw.about;
const begins = seconds(about.begins);
const ends = Math.max(seconds(about.elapsed), begins) || 1; // a run in which no time passed is given room all the same

const runs = raw.runs.map(([node, child, term, serial, begin, ending, end], number) => ({
  number, node, child, term, serial,
  begin: seconds(begin),
  ending: ending < 0 ? (end < 0 ? ends : seconds(end)) : seconds(ending),
  end: end < 0 ? ends : seconds(end),
  isOpen: end < 0,
  doubles: [],
  row: 0,
}));

const doubles = raw.doubles.map(([child, since, until, places], number) => {
  const double = { number, child, since: seconds(since), until: seconds(until), runs: places.map((place) => runs[place]) };
  for (const run of double.runs) run.doubles.push(double);
  return double;
});

const lives = Array.from({ length: raw.lanes }, () => []);
for (const [node, state, since, until] of raw.lives) {
  lives[node].push({ state: raw.texts[state], since: seconds(since), until: seconds(until) });
}

const spans = raw.spans.map(([kind, since, until, text, groups, isOpen]) => ({
  kind, since: seconds(since), until: seconds(until), text: raw.texts[text], groups, isOpen,
  side: new Map(groups.flatMap((group, number) => group.map((node) => [node, number]))),
}));

const DELIVERED = 0, LOST = 1, UNDER_WAY = 2;

const messages = (() => {
  const columns = raw.messages;
  const count = columns.number.length;
  const number = sums(columns.number);
  const sent = sums(columns.sent).map(seconds);
  const at = sent.map((time, i) => time + seconds(columns.took[i]));
  const special = [], order = new Uint32Array(count);
  let usual = 0;
  for (let i = 0; i < count; i++) {
    order[i] = Math.imul(i + 1, 2654435761) >>> 9; // as good as chance, and the same on every look
    if (columns.flags[i] & 3 || columns.flags[i] & 8) special.push(i);
    else usual = Math.max(usual, at[i] - sent[i]);
  }
  const told = (_, link, size, digest) => `link ${link}, ${Number(size).toLocaleString("en")} bytes, ${digest}`;
  const inWords = (i) => raw.texts[columns.text[i]].replace(/^(\d+) (\d+) (\w+)$/, told);
  return {
    count, number, sent, at, special, order, usual, inWords,
    arrival: columns.arrival, from: columns.from, to: columns.to,
    state: (i) => columns.flags[i] & 3,
    isRoutine: (i) => (columns.flags[i] & 4) !== 0,
    isLate: (i) => (columns.flags[i] & 8) !== 0,
    isSpecial: (i) => (columns.flags[i] & 11) !== 0,
  };
})();

const steps = (() => {
  const columns = raw.steps;
  return { ...columns, count: columns.number.length, number: sums(columns.number), time: sums(columns.time).map(seconds) };
})();

// What stands as a dot on a lane, and what stands as a flag above all of them: but for faults that have begun or ended a span,
// which shows that by itself.
const MARKS = new Set(["event", "note", "link", "break", "dial"]);
const ENDINGS = /^(heal|release|resume)\b/;
const spanEdges = new Set(spans.flatMap((span) => [`${span.since} ${span.text}`, span.isOpen ? "" : `${span.until}`]));
const isEdge = (i) => {
  const words = raw.texts[steps.text[i]];
  return ENDINGS.test(words) ? spanEdges.has(`${steps.time[i]}`) : spanEdges.has(`${steps.time[i]} ${words}`);
};
const marks = [], flags = [], faults = [];
for (let i = 0; i < steps.count; i++) {
  const kind = raw.texts[steps.kind[i]];
  if (kind === "fault") faults.push(i);
  if (kind === "fault" ? !isEdge(i) : kind === "note" && steps.node[i] < 0) flags.push(i);
  else if (MARKS.has(kind) && steps.node[i] >= 0 && steps.node[i] < raw.lanes) marks.push(i);
}

// The child that a step is about, or -1; found when it is first asked for.
const ofChild = (() => {
  let found = null;
  const find = () => {
    const ids = new Map(raw.children.map((id, child) => [id, child]));
    return Int32Array.from(steps.text, (text) => {
      const run = /^(\S+) (.*) term=\d+ serial=\d+$/s.exec(raw.texts[text]);
      const event = run ?? /hub='([^']*)', child='([^']*)'/.exec(raw.texts[text]);
      return event ? ids.get(`${event[1]}/${event[2]}`) ?? -1 : -1;
    });
  };
  return (i) => (found ??= find())[i];
})();

// All that the list shows, in the order in which it happened: a step i as 3i, a message sent as 3i + 1, arrived as 3i + 2.
const entries = (() => {
  const all = [];
  for (let i = 0; i < steps.count; i++) all.push([steps.number[i], 3 * i]);
  for (let i = 0; i < messages.count; i++) {
    all.push([messages.number[i], 3 * i + 1]);
    if (messages.arrival[i] >= 0) all.push([messages.number[i] + messages.arrival[i], 3 * i + 2]);
  }
  all.sort((one, other) => one[0] - other[0]);
  return Uint32Array.from(all, (entry) => entry[1]);
})();

function timeOf(entry) {
  const i = Math.floor(entry / 3);
  return entry % 3 === 0 ? steps.time[i] : entry % 3 === 1 ? messages.sent[i] : messages.at[i];
}

function clock(time, step = 0.001) {
  const digits = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  const [whole, rest] = Math.abs(time).toFixed(digits).split(".");
  return (time < -1e-9 ? "−" : "") + whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") + (rest ? "." + rest : "");
}

function lasting(time) {
  if (time >= 100) return `${clock(time, 1)} s`;
  if (time >= 1) return `${time.toFixed(time >= 10 ? 1 : 2)} s`;
  if (time >= 0.001) return `${Number((time * 1000).toPrecision(3))} ms`;
  return `${Number((time * 1e6).toPrecision(3))} µs`;
}

// A child's name: with its hub, if there are several.
const isOneHub = new Set(raw.children.map((id) => id.slice(0, id.indexOf("/")))).size < 2;
const childName = (child) => (isOneHub ? raw.children[child].slice(raw.children[child].indexOf("/") + 1) : raw.children[child]);

const plural = (count, one, many) => `${count.toLocaleString("en")} ${count === 1 ? one : many ?? one + "s"}`;
