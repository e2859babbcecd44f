// head.js: what frames the lanes: the axis with its flags above, the names at the left, the chosen moment, the overview below.
//
// Law: what stands here is always in view, however far one has scrolled; words that find no room are left out, not squeezed in.

// -- the head: axis, flags, the row of two owners

function drawHead({ step, ticks }) {
  pen.fillStyle = theme.sheet;
  pen.fillRect(0, 0, view.width, view.head);
  pen.save();
  pen.beginPath();
  pen.rect(view.gutter, 0, plotWidth(), view.head);
  pen.clip();
  for (const tick of ticks) {
    const x = Math.round(xOf(tick)) + 0.5;
    line(x, AXIS - 6, x, view.head, theme.rule);
    text(clock(tick, step), x, 10, theme.soft, { align: "center", size: 11 });
  }
  drawFlags();
  if (view.doubleRow) drawDoubleRow();
  pen.restore();
  const middle = view.head - view.doubleRow / 2;
  if (view.doubleRow) text("two owners", view.gutter - 10, middle, theme.red, { align: "right", size: 11, weight: 600 });
  text("seconds", view.gutter - 10, 10, theme.faint, { align: "right", size: 11 });
  line(0, view.head - 0.5, view.width, view.head - 0.5, theme.rule);
}

// Faults that last as blocks, others as flags; each in the first row with room for its words.
function drawFlags() {
  const things = [];
  for (const span of spans) {
    if (!inView(span.since, span.until)) continue;
    things.push({ since: span.since, until: span.until, words: wordsOf(span), thing: { kind: "span", span } });
  }
  for (const i of flags) {
    if (!inView(steps.time[i], steps.time[i])) continue;
    const isNote = raw.texts[steps.kind[i]] === "note";
    things.push({ since: steps.time[i], words: stepWords(i), thing: { kind: "step", step: i }, isNote });
  }
  things.sort((one, other) => one.since - other.since);
  const free = Array(view.flagRows).fill(-Infinity);
  pen.font = `500 11px ${theme.sans}`;
  for (const { since, until, words, thing, isNote } of things) {
    const x0 = Math.max(left(since), view.gutter + 1), x1 = until === undefined ? x0 : Math.max(right(until), x0 + 3);
    const label = Math.min(widthOf(words), 260);
    let wanted = Math.max(x1, x0 + label + 16), row = free.findIndex((end) => end <= x0 - 3), most = label + 2;
    if (row < 0) { // no room for the words: only the flag itself
      row = free.indexOf(Math.min(...free));
      wanted = Math.max(x1, x0 + 8);
      most = x1 - x0 - 12;
    }
    free[row] = Math.max(free[row], wanted);
    const y = AXIS + row * FLAG, color = isNote ? theme.violet : theme.amber;
    if (until === undefined) {
      line(x0, y + 2, x0, y + FLAG - 2, color, 2);
      pen.fillStyle = color;
      pen.beginPath();
      pen.moveTo(x0, y + 2);
      pen.lineTo(x0 + 7, y + 5.5);
      pen.lineTo(x0, y + 9);
      pen.fill();
      if (most > 14) text(words, x0 + 10, y + FLAG / 2, color, { size: 11, weight: 500, most });
    } else {
      box(x0, y + 2, x1 - x0, FLAG - 4, 4, theme["amber-soft"]);
      pen.globalAlpha = 0.35;
      box(x0, y + 2, x1 - x0, FLAG - 4, 4, theme.hatch.amber);
      pen.globalAlpha = 1;
      line(x0, y + 3, x0, y + FLAG - 3, color, 2);
      const inside = label + 14 <= x1 - x0;
      if (inside) box(x0 + 4, y + 3, label + 6, FLAG - 6, 3, theme["amber-soft"]);
      const room = inside ? most : Math.min(most, wanted - x1 + label);
      if (most > 14) text(words, inside || most < label ? x0 + 7 : x1 + 4, y + FLAG / 2, color, { size: 11, weight: 500, most: room });
      if (!inside) free[row] = Math.max(free[row], x1 + label + 10);
    }
    hit(x0, y, Math.max(x1, most > 14 ? x0 + Math.min(label, most) + 12 : x0 + 9), y + FLAG, thing);
  }
}

function wordsOf(span) {
  if (span.kind === "pause") return `${namesOf(span.groups[0] ?? [])} paused`;
  const verb = span.kind === "hold" ? "held" : span.text.startsWith("one-way") ? "one-way cut" : "cut";
  return `${verb} ${span.groups.map(namesOf).join(span.kind === "partition" ? " | " : ", ")}`;
}

function stepWords(i) {
  const who = [steps.node[i], steps.peer[i]].filter((node) => node >= 0).map((node) => raw.nodes[node]);
  const words = raw.texts[steps.text[i]];
  return who.some((name) => words.split(/[\s,{}|]+/).includes(name)) ? words : [...who, words].join(" ");
}

function drawDoubleRow() {
  const y = view.head - view.doubleRow + 3, height = view.doubleRow - 7;
  pen.fillStyle = theme["red-soft"];
  pen.fillRect(view.gutter, y, plotWidth(), height);
  const seen = doubles.filter((double) => inView(double.since, double.until) && (!view.children || view.children.has(double.child)));
  const counts = new Float64Array(Math.ceil(plotWidth()) + 4); // how many children at each pixel
  const blocks = [];
  for (const double of seen) {
    const x0 = Math.max(view.gutter, left(double.since)), x1 = Math.max(right(double.until), x0 + 3);
    for (let x = Math.floor(x0 - view.gutter); x < Math.min(counts.length, x1 - view.gutter); x++) counts[x]++;
    const block = blocks.at(-1);
    if (!block || x0 > block.x1) blocks.push({ x0, x1, children: new Set([double.child]), since: double.since, until: double.until });
    else {
      block.x1 = Math.max(block.x1, x1);
      block.until = Math.max(block.until, double.until);
      block.children.add(double.child);
    }
  }
  const most = Math.max(...counts);
  pen.fillStyle = theme.red;
  counts.forEach((count, x) => {
    if (!count) return;
    pen.globalAlpha = 0.6 + 0.4 * (count / most) ** 0.7;
    pen.fillRect(view.gutter + x, y, 1.05, height);
  });
  pen.globalAlpha = 1;
  for (const block of blocks) {
    const words = block.children.size === 1 ? childName([...block.children][0]) : plural(block.children.size, "child", "children");
    const x = Math.max(block.x0, view.gutter) + 5;
    if (block.x1 - x > 29) text(words, x, y + height / 2 + 0.5, "#fff", { size: 10.5, weight: 600, most: block.x1 - x - 4 });
    hit(block.x0, y, block.x1, y + height, { kind: "doubles", ...block });
  }
}

// -- names at the left, and the chosen moment

function drawNames(seen) {
  pen.fillStyle = theme.sheet;
  pen.fillRect(0, view.head, view.gutter, view.height - view.head);
  pen.save();
  pen.beginPath();
  pen.rect(0, view.head, view.gutter, view.height - view.head);
  pen.clip();
  const moment = Math.min(view.hover ?? view.moment ?? ends, ends - 1e-6);
  for (const lane of seen) {
    const y = screenY(lane.top), isSmall = lane.height < LANE;
    const middle = isSmall ? y + lane.height / 2 : Math.max(y, Math.min(view.head, y + lane.height - 30)) + LIFE + 1;
    if (lane.isOdd) {
      pen.fillStyle = theme.shade;
      pen.fillRect(0, y, view.gutter, lane.height);
    }
    const life = lives[lane.node].findLast((life) => life.since <= moment);
    const color = !life ? theme.gone : isDown(life) ? theme.red : life.state === "paused" ? theme.amber : theme.green;
    pen.beginPath();
    pen.arc(11, middle, 3.5, 0, 7);
    pen.fillStyle = color;
    pen.fill();
    text(lane.name, 20, middle, lane.isDim ? theme.faint : theme.ink, { size: isSmall ? 11 : 12, weight: 600, most: view.gutter - 28 });
    if (lane.height > 36 && lane.most) {
      const { times, counts, doubled } = lane.changes;
      const place = lowerBound(times, moment + 1e-9) - 1;
      const count = place < 0 ? 0 : counts[place], twice = place < 0 ? 0 : doubled[place];
      const words = !twice ? plural(count, "child", "children") : twice === count ? `${count} twice` : `${count}, ${twice} twice`;
      text(words, 20, middle + 15, twice ? theme.red : theme.soft, { size: 10.5, most: view.gutter - 24 });
    }
    line(0, Math.round(y + lane.height) - 0.5, view.gutter, Math.round(y + lane.height) - 0.5, theme.rule);
    hit(0, y, view.gutter, y + lane.height, { kind: "lane", lane });
  }
  pen.restore();
  line(view.gutter - 0.5, 0, view.gutter - 0.5, view.height, theme.rule);
}

function drawMoments() {
  const tag = (time, color, ground) => {
    const x = xOf(time);
    if (x < view.gutter || x > view.width) return;
    line(x, 18, x, view.height, color, 1);
    const words = clock(time, (view.to - view.from) / 2000);
    pen.font = `600 11px ${theme.sans}`;
    const width = widthOf(words) + 12, start = Math.min(Math.max(x - width / 2, view.gutter), view.width - width);
    pen.fillStyle = theme.sheet;
    pen.fillRect(start - 22, 2, width + 44, 17);
    box(start, 2, width, 17, 4, color);
    text(words, start + width / 2, 10.5, ground, { align: "center", size: 11, weight: 600 });
  };
  if (about.error) line(xOf(ends), view.head, xOf(ends), view.height, theme.red, 2);
  if (view.moment !== null) tag(view.moment, theme.accent, theme.sheet);
  if (view.hover !== null) tag(view.hover, theme.soft, theme.sheet);
  if (view.choice) {
    pen.globalAlpha = 0.15;
    pen.fillStyle = theme.accent;
    pen.fillRect(Math.min(...view.choice), view.head, Math.abs(view.choice[1] - view.choice[0]), view.height);
    pen.globalAlpha = 1;
  }
}

// -- the overview: the whole run in one strip

const overviewX = (time) => ((time - begins + margin()) / (ends - begins + 2 * margin())) * overview.clientWidth;
const overviewTime = (x) => begins - margin() + (x / overview.clientWidth) * (ends - begins + 2 * margin());

function drawOverview() {
  const width = overview.clientWidth, height = overview.clientHeight, ratio = devicePixelRatio || 1;
  if (!width) return;
  small.setTransform(ratio, 0, 0, ratio, 0, 0);
  small.clearRect(0, 0, width, height);
  small.fillStyle = theme.message;
  small.globalAlpha = 0.4;
  const bins = traffic(width), most = Math.max(1, ...bins);
  bins.forEach((count, x) => {
    const tall = (count / most) ** 0.5 * (height - 20);
    if (count) small.fillRect(x, height - 6 - tall, 1, tall);
  });
  small.globalAlpha = 1;
  const mark = (since, until, y, tall, color) => {
    small.fillStyle = color;
    small.fillRect(overviewX(since), y, Math.max(2, overviewX(until) - overviewX(since)), tall);
  };
  for (const i of faults) mark(steps.time[i], steps.time[i], 4, 7, theme.amber);
  small.globalAlpha = 0.5;
  for (const span of spans) mark(span.since, span.until, 4, 4, theme.amber);
  small.globalAlpha = 1;
  for (const double of doubles) mark(double.since, double.until, height - 5, 5, theme.red);
  if (about.error) mark(ends, ends, 0, height, theme.red);
  const x0 = Math.max(0, overviewX(view.from)), x1 = Math.min(width, overviewX(view.to));
  small.fillStyle = theme.ink;
  small.globalAlpha = 0.07;
  small.fillRect(0, 0, x0, height);
  small.fillRect(x1, 0, width - x1, height);
  small.globalAlpha = 1;
  small.strokeStyle = theme.accent;
  small.lineWidth = 1.5;
  small.strokeRect(x0 + 0.75, 0.75, Math.max(3, x1 - x0 - 1.5), height - 1.5);
}

let trafficBins = [];

function traffic(width) {
  if (trafficBins.length !== Math.ceil(width)) {
    trafficBins = Array(Math.ceil(width)).fill(0);
    for (const entry of entries) trafficBins[Math.min(trafficBins.length - 1, Math.max(0, Math.floor(overviewX(timeOf(entry)))))]++;
  }
  return trafficBins;
}
