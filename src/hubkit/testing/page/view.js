// view.js: where things are: the stretch of time in view, the lanes and their rows, and what is sought.
//
// Law: this part knows no pen. Time is in virtual seconds, lengths in CSS pixels; y counts from the first lane's top, and
// `screenY` turns it into a place on the canvas.

const LIFE = 9;          // from a lane's top to the line of its process, and
const ROWS = 18;         // to its first row of bars
const LANE = 25;         // a lane without bars
const FLAT = 16;         // the least, where there are many
const LEAST_ROW = 3;     // flatter rows would be no rows: then a lane shows how many there are
const HEIGHTS = [3, 5, 8, 12, 16, 22];
const AXIS = 26, FLAG = 20;

const view = {
  from: 0, to: 1,
  width: 0, height: 0, gutter: 60,
  head: AXIS, flagRows: 0, doubleRow: 0,
  scroll: 0, total: 0,
  row: 0,                        // the height of rows that was asked for; 0: whatever fits
  fits: 0,                       // the height of rows that there is
  moment: null, hover: null,     // chosen, and under the pointer
  chosen: null,                  // what was clicked: {kind, ...}
  shown: { messages: true, routine: true, events: true, links: false },
  query: "", children: null, nodes: null, // what is sought; null: everything
};

const lanes = Array.from({ length: raw.lanes }, (_, node) => ({
  node, name: raw.nodes[node], top: 0, height: LANE, runs: [], most: 0, changes: null, isOpen: false, isPacked: false, isBars: false,
}));
for (const run of runs) lanes[run.node].runs.push(run);
for (const lane of lanes) {
  lane.all = lane.runs.sort((one, other) => one.begin - other.begin || one.number - other.number);
}

const plotWidth = () => Math.max(1, view.width - view.gutter);
const xOf = (time) => view.gutter + ((time - view.from) / (view.to - view.from)) * plotWidth();
const timeAt = (x) => view.from + ((x - view.gutter) / plotWidth()) * (view.to - view.from);
const screenY = (y) => view.head + y - view.scroll;
const lifeY = (lane) => screenY(lane.top + (lane.height < LANE ? 5 : LIFE));

// -- time

const margin = () => Math.max((ends - begins) * 0.015, 1e-5);

function bound(from, to) {
  const least = begins - margin(), most = ends + margin();
  let length = Math.min(Math.max(to - from, 2e-5), most - least);
  let start = from + (to - from - length) / 2;
  start = Math.min(Math.max(start, least), most - length);
  return [start, start + length];
}

let motion = 0;

function show(from, to, { smooth = false } = {}) {
  const [start, end] = bound(from, to);
  cancelAnimationFrame(motion);
  if (!smooth || matchMedia("(prefers-reduced-motion: reduce)").matches) {
    [view.from, view.to] = [start, end];
    return redraw();
  }
  const [first, last] = [view.from, view.to];
  const began = performance.now();
  const move = (now) => {
    const done = Math.min(1, (now - began) / 220);
    const part = 1 - (1 - done) ** 3;
    [view.from, view.to] = [first + (start - first) * part, last + (end - last) * part];
    redraw();
    if (done < 1) motion = requestAnimationFrame(move);
  };
  motion = requestAnimationFrame(move);
}

function zoom(factor, around = (view.from + view.to) / 2, options = {}) {
  show(around - (around - view.from) * factor, around + (view.to - around) * factor, options);
}

const pan = (time) => show(view.from + time, view.to + time);
const whole = (options) => show(begins - margin(), ends + margin(), options);

// The last stretch that matters: the last disasters and the last double owners before the end, with what was still going on
// when they began; all of the run, if that is most of it.
function lastStretch() {
  const least = Math.min(ends - begins, Math.max(8, (ends - begins) * 0.06));
  const recent = faults.map((i) => steps.time[i]).filter((time) => time < ends - 1e-9).slice(-3);
  if (doubles.length) recent.push(doubles.reduce((last, double) => (double.until >= last.until ? double : last)).since);
  let from = Math.min(ends - least, ...recent);
  for (const span of [...spans].reverse()) if (span.since < from && span.until > from) from = span.since;
  if (ends - from > (ends - begins) * 0.6) from = begins;
  return [from - (ends - from) * 0.05, ends + (ends - from) * 0.02];
}

function reveal(time, options = { smooth: true }) {
  const length = view.to - view.from;
  if (time < view.from + length * 0.06 || time > view.to - length * 0.06) show(time - length / 2, time + length / 2, options);
  else redraw();
}

// -- lanes and rows

// How many run at a time, and how many of them have a rival, as steps over time.
function changesOf(lane) {
  const points = [];
  for (const run of lane.runs) {
    points.push([run.begin, 1, 0], [run.end, -1, 0]);
    for (const double of run.doubles) {
      points.push([Math.max(run.begin, double.since), 0, 1], [Math.min(run.ending, double.until), 0, -1]);
    }
  }
  points.sort((one, other) => one[0] - other[0]);
  const times = new Float64Array(points.length), counts = new Int32Array(points.length), doubled = new Int32Array(points.length);
  let count = 0, twice = 0, most = 0;
  points.forEach(([time, change, rival], i) => {
    times[i] = time;
    counts[i] = count += change;
    doubled[i] = twice += rival;
    if (i + 1 === points.length || points[i + 1][0] > time) most = Math.max(most, count);
  });
  return { times, counts, doubled, most };
}

// Each run gets the first free row; a child that comes back gets its old one, if that is free.
function pack(lane) {
  const free = [], old = new Map();
  for (const run of lane.runs) {
    let row = old.get(run.child) ?? -1;
    if (row < 0 || free[row] > run.begin) row = free.findIndex((end) => end <= run.begin);
    if (row < 0) row = free.length;
    free[row] = Math.max(run.end, run.begin + 1e-9);
    old.set(run.child, row);
    run.row = row;
  }
  lane.rows = free.length;
  lane.isPacked = true;
}

function select() {
  for (const lane of lanes) {
    lane.runs = view.children ? lane.all.filter((run) => view.children.has(run.child)) : lane.all;
    lane.changes = changesOf(lane);
    lane.most = lane.changes.most;
    lane.isPacked = false;
  }
  layout();
}

function layout() {
  // Where a node is sought, the others are flat; where a child is, nodes that never had it are not shown.
  const isWanted = (lane) => !view.nodes || view.nodes.has(lane.node);
  for (const lane of lanes) lane.isHidden = Boolean(view.children) && !lane.runs.length;
  const count = Math.max(1, lanes.filter((lane) => !lane.isHidden).length);
  const room = view.height - view.head - 6;
  const rows = lanes.reduce((sum, lane) => sum + (isWanted(lane) ? lane.most : 0), 0);
  const spare = room - count * LANE;
  if (view.nodes) for (const lane of lanes) if (!isWanted(lane)) lane.isOpen = false;
  view.fits = Math.min(18, spare / Math.max(1, rows));
  const height = view.row || (view.children && rows < 600 ? Math.max(view.fits, 13) : view.fits);
  const flat = Math.min(140, Math.max(FLAT, room / count));
  let top = 0, place = 0;
  for (const lane of lanes) {
    lane.top = top;
    lane.isDim = !isWanted(lane);
    if (lane.isHidden) {
      lane.height = 0;
      lane.isBars = false;
      continue;
    }
    lane.isOdd = place++ % 2 > 0;
    lane.isBars = lane.most > 0 && (lane.isOpen || (height >= LEAST_ROW && !lane.isDim));
    if (lane.isBars && !lane.isPacked) pack(lane);
    lane.row = lane.isOpen ? Math.max(13, height) : height;
    lane.height = lane.isBars ? LANE + lane.rows * lane.row : lane.most && !lane.isDim ? flat : Math.min(flat, LANE);
    top += lane.height;
  }
  view.total = top;
  redraw();
}

function taller(up) {
  const now = view.row || Math.max(view.fits, 0);
  view.row = up ? HEIGHTS.find((height) => height > now + 0.5) ?? HEIGHTS.at(-1) : HEIGHTS.findLast((height) => height < now - 0.5) ?? 0;
  layout();
}

function laneAt(screen) {
  const y = screen - view.head + view.scroll;
  if (screen < view.head) return null;
  return lanes.find((lane) => y >= lane.top && y < lane.top + lane.height) ?? null;
}
