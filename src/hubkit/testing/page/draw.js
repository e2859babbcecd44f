// draw.js: the lanes: processes, children, events, who had two owners, and what was done to them.
//
// Law: each look draws only what can be seen of what is in view, however much there is: flat lanes show numbers instead of bars,
// and what is smaller than a pixel is drawn once. What was drawn can be pointed at: `hits`.

const chart = document.getElementById("chart"), overview = document.getElementById("overview");
const pen = chart.getContext("2d"), small = overview.getContext("2d");
const theme = {};
let hits = [];         // {x0, y0, x1, y1, thing}, those drawn last on top
let drawn = [];        // messages: [i, x0, y0, x1, y1]
let waiting = false;

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["sheet", "shade", "ink", "soft", "faint", "rule", "grid", "accent", "accent-soft", "red", "red-soft", "amber",
    "amber-soft", "green", "violet", "message", "routine", "gone", "bar-light", "bar-rich", "bar-ink", "sans"]) {
    theme[name] = style.getPropertyValue(`--${name}`).trim();
  }
  theme.bars = raw.children.map((_, child) => {
    const hue = 45 + 270 * ((child * 0.618034) % 1); // the circle without its reds
    return `hsl(${hue.toFixed(0)} ${theme["bar-rich"]} ${theme["bar-light"]})`;
  });
  theme.sides = ["accent", "amber", "violet", "green"].map((name) => theme[name]);
  theme.hatch = { amber: hatch(theme.amber, 0.5), gone: hatch(theme.faint, 0.3), red: hatch(theme.red, 0.55) };
}

function hatch(color, alpha) {
  const tile = document.createElement("canvas");
  const ratio = devicePixelRatio || 1;
  tile.width = tile.height = Math.round(7 * ratio);
  const ink = tile.getContext("2d");
  ink.strokeStyle = color;
  ink.globalAlpha = alpha;
  ink.lineWidth = 1.2 * ratio;
  const n = tile.width;
  for (const shift of [-n, 0, n]) {
    ink.beginPath();
    ink.moveTo(shift, n);
    ink.lineTo(shift + n, 0);
    ink.stroke();
  }
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
    drawOverview();
  });
}

function draw() {
  const ratio = devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, view.width, view.height);
  hits = [];
  drawn = [];
  pen.save();
  pen.beginPath();
  pen.rect(view.gutter, view.head, plotWidth(), view.height - view.head);
  pen.clip();
  const seen = lanes.filter((lane) => !lane.isHidden && screenY(lane.top + lane.height) > view.head && screenY(lane.top) < view.height);
  const ticks = ticksOf();
  drawGround(seen, ticks);
  for (const span of spans) drawSpan(span);
  for (const lane of seen) if (lane.isBars) drawBars(lane); else if (lane.most) drawCounts(lane);
  for (const lane of seen) drawLife(lane);
  drawMessages();
  drawRivals();
  for (const lane of seen) drawMarks(lane);
  pen.restore();
  if (!lanes.length) {
    text("There is no node in this trace.", view.gutter + plotWidth() / 2, view.height / 2, theme.faint, { align: "center", size: 13 });
  }
  drawHead(ticks);
  drawNames(seen);
  drawMoments();
}

// -- small tools

function text(words, x, y, color, { align = "left", size = 11.5, weight = 400, most = Infinity } = {}) {
  pen.font = `${weight} ${size}px ${theme.sans}`;
  pen.fillStyle = color;
  pen.textAlign = align;
  pen.textBaseline = "middle";
  pen.fillText(most === Infinity ? words : fitted(words, most), x, y);
}

const widths = new Map();

function widthOf(words) {
  const key = pen.font + words;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 5000) widths.clear();
    widths.set(key, (width = pen.measureText(words).width));
  }
  return width;
}

function fitted(words, most) {
  if (widthOf(words) <= most) return words;
  let low = 0, high = words.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pen.measureText(words.slice(0, middle) + "…").width <= most) low = middle;
    else high = middle - 1;
  }
  return low ? words.slice(0, low).replace(/[\ud800-\udbff]$/, "") + "…" : "";
}

function line(x0, y0, x1, y1, color, width = 1, dash = []) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
  pen.setLineDash([]);
}

function box(x, y, width, height, radius, color) {
  pen.fillStyle = color;
  pen.beginPath();
  pen.roundRect(x, y, width, height, Math.min(radius, width / 2, height / 2));
  pen.fill();
}

const hit = (x0, y0, x1, y1, thing) => hits.push({ x0, y0, x1, y1, thing });
const inView = (since, until) => until >= view.from && since <= view.to;
const left = (time) => Math.max(view.gutter - 4, xOf(time));
const right = (time) => Math.min(view.width + 4, xOf(time));
const isSought = (node) => !view.nodes || view.nodes.has(node);

// -- the ground: lanes, grid, what was cut and held

function ticksOf() {
  const least = ((view.to - view.from) / plotWidth()) * 84;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least);
  const ticks = [];
  for (let n = Math.ceil(view.from / step); n * step <= view.to; n++) ticks.push(n * step);
  return { step, ticks };
}

function drawGround(seen, { ticks }) {
  for (const lane of seen) {
    if (lane.isOdd) {
      pen.fillStyle = theme.shade;
      pen.fillRect(view.gutter, screenY(lane.top), plotWidth(), lane.height);
    }
  }
  for (const tick of ticks) line(Math.round(xOf(tick)) + 0.5, view.head, Math.round(xOf(tick)) + 0.5, view.height, theme.grid);
  for (const lane of seen) {
    const y = Math.round(screenY(lane.top + lane.height)) - 0.5;
    line(view.gutter, y, view.width, y, theme.rule);
  }
  const last = lanes.at(-1);
  if (!last) return;
  pen.fillStyle = theme.hatch.gone; // before the trace begins, and after it
  const bottom = screenY(last.top + last.height) - view.head;
  if (view.to > ends) pen.fillRect(xOf(ends), view.head, view.width, bottom);
  if (view.from < begins) pen.fillRect(view.gutter, view.head, xOf(begins) - view.gutter, bottom);
}

const namesOf = (group) => group.map((node) => raw.nodes[node]).join(", ");

function drawSpan(span) {
  if (!inView(span.since, span.until) || span.kind === "pause") return;
  const x0 = left(span.since), x1 = Math.max(right(span.until), x0 + 1);
  if (span.kind === "partition") {
    for (const [node, side] of span.side) {
      if (!lanes[node]?.height) continue;
      pen.globalAlpha = 0.09;
      pen.fillStyle = theme.sides[side % theme.sides.length];
      pen.fillRect(x0, screenY(lanes[node].top), x1 - x0, lanes[node].height);
      pen.globalAlpha = 1;
    }
    const visible = lanes.filter((lane) => !lane.isHidden);
    for (let i = 1; i < visible.length; i++) {
      const above = span.side.get(visible[i - 1].node), below = span.side.get(visible[i].node);
      if (above !== undefined && below !== undefined && above !== below) {
        drawBand(span, x0, x1, screenY(visible[i].top) - 4.5, 9, `${namesOf(span.groups[above])}  |  ${namesOf(span.groups[below])}`);
      }
    }
    return;
  }
  const two = span.groups.map((group) => lanes[group[0]]).filter((lane) => lane && !lane.isHidden);
  two.sort((one, other) => one.top - other.top);
  if (!two.length) return;
  const y0 = lifeY(two[0]) - 5, y1 = lifeY(two.at(-1)) + 5;
  pen.globalAlpha = 0.55;
  drawBand(span, x0, x1, y0, y1 - y0, "");
  pen.globalAlpha = 1;
}

function drawBand(span, x0, x1, y, height, label) {
  pen.fillStyle = theme["amber-soft"];
  pen.fillRect(x0, y, x1 - x0, height);
  pen.fillStyle = theme.hatch.amber;
  pen.fillRect(x0, y, x1 - x0, height);
  line(x0, y, x0, y + height, theme.amber);
  line(x1, y, x1, y + height, theme.amber);
  hit(x0, y, x1, y + height, { kind: "span", span });
  if (!label || x1 - x0 < 60) return;
  pen.font = `600 10.5px ${theme.sans}`;
  const words = fitted(label, Math.min(320, x1 - x0 - 20));
  const x = Math.max(x0, view.gutter) + 8, width = widthOf(words) + 10;
  box(x, y - 3, width, height + 6, 5, theme["amber-soft"]);
  text(words, x + 5, y + height / 2 + 0.5, theme.amber, { size: 10.5, weight: 600 });
}

// -- lanes: the life of a process, its children, its events

const isDown = (life) => ["crashed", "failed", "left"].includes(life.state);

function drawLife(lane) {
  const y = lifeY(lane);
  for (const life of lives[lane.node]) {
    if (!inView(life.since, life.until)) continue;
    const x0 = left(life.since), x1 = Math.max(right(life.until), x0 + 1);
    const down = isDown(life);
    if (down || life.state === "paused") {
      pen.globalAlpha = down ? 1 : 0.35;
      pen.fillStyle = down ? theme.hatch.gone : theme.hatch.amber;
      pen.fillRect(x0, screenY(lane.top), x1 - x0, lane.height - 1);
      pen.globalAlpha = 1;
    }
    const [color, dash] = down ? [theme.gone, []] : life.state === "paused" ? [theme.amber, [6, 2]]
      : life.state === "open" ? [theme.green, []] : [theme.green, [3, 3]];
    line(x0, y, x1, y, color, down || lane.height < LANE ? 2 : 3.5, dash);
    hit(x0, y - 5, x1, y + 5, { kind: "life", lane, life });
    if (life.state === "crashed" || life.state === "failed") cross(xOf(life.since), y, 5, theme.red, 2);
    else if (life.state === "left") line(xOf(life.since), y - 5, xOf(life.since), y + 5, theme.soft, 2);
  }
}

function cross(x, y, size, color, width) {
  line(x - size, y - size, x + size, y + size, color, width);
  line(x - size, y + size, x + size, y - size, color, width);
}

function drawBars(lane) {
  const height = lane.row, gap = height >= 12 ? 2 : height >= 5 ? 1 : 0;
  const top = lane.top + ROWS;
  const lastX = []; // of each row: what is smaller than a pixel is drawn once
  for (const run of lane.runs) {
    if (run.begin > view.to) break;
    if (run.end < view.from) continue;
    const x0 = left(run.begin), x1 = Math.max(right(run.end), x0 + 1.5);
    if (x1 <= lastX[run.row]) continue;
    lastX[run.row] = x1 - x0 < 2 ? x1 : 0;
    const y = screenY(top + run.row * height);
    if (y > view.height || y + height < view.head) continue;
    const middle = Math.min(Math.max(xOf(run.ending), x0), x1);
    pen.fillStyle = theme.bars[run.child];
    if (height >= 8 && x1 - x0 > 5) {
      pen.beginPath();
      pen.roundRect(x0, y, middle - x0, height - gap, 2.5);
      pen.fill();
    } else {
      pen.fillRect(x0, y, middle - x0, height - gap);
    }
    if (x1 - middle > 0.5) {
      pen.globalAlpha = 0.45;
      pen.fillRect(middle, y, x1 - middle, height - gap);
      pen.globalAlpha = 1;
    }
    hit(x0, y, x1, y + height - gap, { kind: "run", run });
    if (height >= 11 && x1 - x0 > 26) {
      const x = Math.max(x0, view.gutter) + 4;
      text(childName(run.child), x, y + (height - gap) / 2 + 0.5, theme["bar-ink"],
        { size: Math.min(11, height - 2), most: x1 - x - 4 });
    }
    if (view.chosen?.kind === "run" && view.chosen.run === run) {
      pen.strokeStyle = theme.accent;
      pen.lineWidth = 2;
      pen.strokeRect(x0 - 0.5, y - 0.5, x1 - x0 + 1, height - gap + 1);
    }
  }
}

// A flat lane: how many run, and in red how many of them have a rival.
function drawCounts(lane) {
  const { times, counts, doubled, most } = lane.changes;
  const isFlat = lane.height < ROWS + 12; // the numbers stand behind the line of the process
  const bottom = screenY(lane.top + lane.height - (isFlat ? 1 : 4)), tall = lane.height - (isFlat ? 3 : ROWS + 5);
  const first = lowerBound(times, view.from);
  const ofCounts = new Path2D(), ofDoubled = new Path2D();
  let i = first, count = first ? counts[first - 1] : 0, twice = first ? doubled[first - 1] : 0;
  let anyTwice = false;
  ofCounts.moveTo(view.gutter, bottom);
  for (let x = view.gutter; x < view.width; x++) {
    const until = timeAt(x + 1);
    let highest = count, worst = twice;
    while (i < times.length && times[i] < until) {
      count = counts[i];
      twice = doubled[i];
      if (i + 1 === times.length || times[i + 1] > times[i]) {
        highest = Math.max(highest, count);
        worst = Math.max(worst, twice);
      }
      i++;
    }
    const y = bottom - (highest / most) * tall;
    ofCounts.lineTo(x, y);
    ofCounts.lineTo(x + 1, y);
    if (worst > 0) {
      anyTwice = true;
      const height = Math.max(3, (worst / most) * tall);
      ofDoubled.rect(x, bottom - height, 1.2, height);
    }
  }
  ofCounts.lineTo(view.width, bottom);
  pen.fillStyle = theme.accent;
  pen.globalAlpha = lane.isDim ? 0.1 : 0.24;
  pen.fill(ofCounts);
  pen.globalAlpha = 1;
  if (anyTwice) {
    pen.fillStyle = theme.red;
    pen.globalAlpha = 0.85;
    pen.fill(ofDoubled);
    pen.globalAlpha = 1;
  }
  hit(view.gutter, screenY(lane.top), view.width, bottom, { kind: "counts", lane });
}

function drawMarks(lane) {
  if (!view.shown.events && !view.shown.links) return;
  const y = lifeY(lane);
  let lastX = -Infinity, lastKind = "", lastSmall = -Infinity;
  for (const i of laneMarks[lane.node]) {
    const time = steps.time[i];
    if (time < view.from) continue;
    if (time > view.to) break;
    const kind = raw.texts[steps.kind[i]], isLink = kind === "link" || kind === "break" || kind === "dial";
    if (isLink ? !view.shown.links : !view.shown.events) continue;
    const x = xOf(time);
    if (smallMarks.has(i)) { // of a single child: a fine dot, and none where there are many
      if (x - lastSmall < 5) continue;
      lastSmall = x;
      pen.fillStyle = theme.violet;
      pen.fillRect(x - 1, y - 1.75, 2, 3.5);
      hit(x - 3, y - 4, x + 3, y + 4, { kind: "step", step: i });
      continue;
    }
    if (x - lastX < 2 && kind === lastKind) continue;
    [lastX, lastKind] = [x, kind];
    if (kind === "break") cross(x, y, 3, theme.amber, 1.5);
    else {
      pen.beginPath();
      pen.arc(x, y, isLink || lane.height < LANE ? 2.5 : 3.6, 0, 7);
      pen.fillStyle = isLink ? theme.soft : theme.violet;
      pen.fill();
      pen.strokeStyle = theme.sheet;
      pen.lineWidth = 1;
      pen.stroke();
    }
    hit(x - 5, y - 5, x + 5, y + 5, { kind: "step", step: i });
  }
}

const smallMarks = new Set(marks.filter((i) => raw.texts[steps.text[i]].startsWith("Child")));
const laneMarks = lanes.map(() => []);
for (const i of marks) laneMarks[steps.node[i]].push(i);

// -- two owners at once

function drawRivals() {
  const seen = doubles.filter((double) => inView(double.since, double.until) && (!view.children || view.children.has(double.child)));
  const labels = [];
  for (const double of seen) {
    const places = double.runs.filter((run) => lanes[run.node].isBars);
    for (const run of places) {
      const lane = lanes[run.node], gap = lane.row >= 12 ? 2 : lane.row >= 5 ? 1 : 0;
      const x0 = left(Math.max(run.begin, double.since));
      const x1 = Math.max(right(Math.min(run.ending, double.until)), x0 + 3);
      const y = screenY(lane.top + ROWS + run.row * lane.row);
      if (x1 < view.gutter || x0 > view.width) continue;
      pen.globalAlpha = 0.8;
      pen.fillStyle = theme.red;
      pen.fillRect(x0, y, x1 - x0, lane.row - gap);
      pen.globalAlpha = 1;
      if (lane.row >= 11 && x1 - x0 > 30) {
        text(childName(run.child), Math.max(x0, view.gutter) + 4, y + (lane.row - gap) / 2 + 0.5, "#fff",
          { size: Math.min(11, lane.row - 2), weight: 600, most: x1 - Math.max(x0, view.gutter) - 8 });
      }
      hit(x0, y, x1, y + lane.row - gap, { kind: "double", double, run });
    }
    if (places.length > 1 && seen.length <= 60 && double.since >= view.from) {
      const ys = places.map((run) => screenY(lanes[run.node].top + ROWS + (run.row + 0.5) * lanes[run.node].row - 1));
      const x = xOf(double.since);
      line(x, Math.min(...ys), x, Math.max(...ys), theme.red, 1.5);
      for (const y of ys) {
        pen.beginPath();
        pen.arc(x, y, 2.5, 0, 7);
        pen.fillStyle = theme.red;
        pen.fill();
      }
      labels.push(double);
    }
  }
}
