// panel.js: everything that is words: the head of the page, the list of steps, the tool tip, the search.
//
// Law: texts of the run enter the page through `textContent`, and in no other way. The list makes only those rows that can
// be seen, however long it is.

const $ = (id) => document.getElementById(id);

function element(tag, words = "", name = "") {
  const made = document.createElement(tag);
  made.textContent = words;
  if (name) made.className = name;
  return made;
}

// -- the head of the page

function writeHead() {
  $("verdict").textContent = about.error ? "failed" : "passed";
  $("verdict").classList.toggle("failed", Boolean(about.error));
  const facts = [
    ["seed", about.seed, "mono"], ["virtual time", lasting(seconds(about.elapsed))], ["steps", about.steps.toLocaleString("en")],
    ["nodes", String(raw.lanes)], ["children", raw.children.length.toLocaleString("en")],
    ["worst overlap", about.overlap > 0 ? lasting(about.overlap) : "none", about.overlap > 0 ? "bad" : ""],
    ["network", about.network], ["trace", about.hash, "mono"],
  ];
  for (const [name, value, look] of facts) {
    const fact = element("div");
    fact.append(element("dt", name), element("dd", value, look));
    $("facts").append(fact);
  }
  if (about.error) {
    const [first, ...rest] = about.error.trimEnd().split("\n");
    $("failure").hidden = false;
    $("error-line").textContent = first;
    $("error-rest").textContent = rest.join("\n");
    $("error-rest").hidden = !rest.length;
    $("command").textContent = about.again;
  }
  if (raw.leftOut.length) {
    $("left-out").hidden = false;
    const [summary, list] = $("left-out").children;
    summary.textContent = raw.leftOut.length === 1 ? raw.leftOut[0] : `Not all is shown: ${raw.leftOut.length} remarks`;
    if (raw.leftOut.length > 1) list.append(...raw.leftOut.map((words) => element("li", words)));
  }
}

async function copyCommand() {
  try {
    await navigator.clipboard.writeText(about.again);
    $("copy").textContent = "Copied";
  } catch { // not allowed here: chosen instead, so that it can be copied by hand
    getSelection().selectAllChildren($("command"));
    $("copy").textContent = "Chosen";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
}

// -- what a thing is, in words: {title, isBad, lines, time, child, entry}

const nodeName = (node) => (node < 0 ? "" : raw.nodes[node]);

const tell = {
  run: ({ run }) => ({
    title: `${raw.children[run.child]} on ${nodeName(run.node)}`,
    lines: [
      `term ${run.term}, serial ${run.serial}`,
      `owns from ${clock(run.begin)} s ${run.isOpen && run.ending === ends ? "on" : `to ${clock(run.ending)} s`}`,
      `for ${lasting(run.ending - run.begin)}`,
      ...(run.end > run.ending ? [`then took ${lasting(run.end - run.ending)} to end`] : []),
      ...run.doubles.map((double) => `not alone from ${clock(double.since)} to ${clock(double.until)} s`),
    ],
    isBad: run.doubles.length > 0, time: run.begin, child: run.child,
  }),
  double: ({ double }) => ({
    title: `${raw.children[double.child]} has two owners`, isBad: true,
    lines: [`${double.runs.map((run) => `${nodeName(run.node)} (term ${run.term})`).join(", ")}`,
      `from ${clock(double.since)} to ${clock(double.until)} s: ${lasting(double.until - double.since)}`],
    time: double.since, child: double.child,
  }),
  doubles: ({ children, since, until }) => ({
    title: `${children.size === 1 ? `${raw.children[[...children][0]]} has` : `${children.size} children have`} two owners`,
    isBad: true,
    lines: [
      `between ${clock(since)} and ${clock(until)} s`,
      ...[...children].slice(0, 6).map((child) => raw.children[child]),
      ...(children.size > 6 ? ["…"] : []),
    ],
    time: since,
  }),
  counts: ({ lane }, time) => {
    const place = lowerBound(lane.changes.times, time + 1e-9) - 1;
    const count = place < 0 ? 0 : lane.changes.counts[place], twice = place < 0 ? 0 : lane.changes.doubled[place];
    return { title: `${lane.name}: ${plural(count, "child", "children")}`, isBad: twice > 0,
      lines: [...(twice ? [`${twice} of them run elsewhere, too`] : []), "Click on the name to unfold the lane"], time };
  },
  life: ({ lane, life }) => ({
    title: `${lane.name}: ${life.state}`,
    lines: [`from ${clock(life.since)} to ${clock(life.until)} s (${lasting(life.until - life.since)})`],
    time: life.since,
  }),
  span: ({ span }) => ({
    title: spanTitle(span),
    lines: [`from ${clock(span.since)} s ${span.isOpen ? "on" : `to ${clock(span.until)} s`} (${lasting(span.until - span.since)})`],
    time: span.since,
  }),
  lane: ({ lane }) => ({
    title: lane.name,
    lines: [
      `${plural(new Set(lane.all.map((run) => run.child)).size, "child", "children")} ran here, ${plural(lane.all.length, "incarnation")}`,
      lane.isOpen ? "Click to fold" : "Click to unfold",
    ],
    time: null,
  }),
  step: ({ step: i }) => ({
    title: `${raw.texts[steps.kind[i]]} ${[nodeName(steps.node[i]), nodeName(steps.peer[i])].filter(Boolean).join(" → ")}`.trim(),
    lines: [raw.texts[steps.text[i]], `step ${steps.number[i]} at ${clock(steps.time[i], 1e-6)} s`].filter(Boolean), time: steps.time[i],
  }),
  message: ({ message: i }) => {
    const state = messages.state(i), took = messages.at[i] - messages.sent[i];
    return {
      title: `${nodeName(messages.from[i])} → ${nodeName(messages.to[i])}`, isBad: state === LOST,
      lines: [messages.inWords(i),
        state === LOST ? "lost" : state === UNDER_WAY ? "did not arrive before the trace ended"
          : `took ${lasting(took)}${messages.isLate(i) ? ": late" : ""}${messages.isRoutine(i) ? " (routine)" : ""}`,
        `sent at ${clock(messages.sent[i], 1e-6)} s, step ${messages.number[i]}`],
      time: messages.sent[i],
    };
  },
};

const spanTitle = (span) => (span.kind === "partition" ? span.text : `${span.text} ${span.groups.map(namesOf).join(", ")}`);

const words = (thing, time = null) => tell[thing.kind](thing, time);

function showTip(thing, x, y, time) {
  const tip = $("tip");
  if (!thing) return void (tip.hidden = true);
  const { title, isBad, lines } = words(thing, time);
  tip.replaceChildren(element("b", title, isBad ? "bad" : ""), ...lines.map((words) => element("span", words)));
  tip.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = tip;
  tip.style.left = `${Math.max(4, x + 16 + width > innerWidth ? x - width - 12 : x + 16)}px`;
  tip.style.top = `${Math.max(4, y + 18 + height > innerHeight ? y - height - 10 : y + 18)}px`;
}

function showDetail() {
  const detail = $("detail");
  detail.replaceChildren();
  if (!view.chosen) return;
  const { title, lines, time, child } = words(view.chosen, view.moment);
  detail.append(element("h2", title), ...lines.map((words) => element("p", words)));
  const offer = (label, act) => {
    const button = element("button", label);
    button.type = "button";
    button.onclick = act;
    detail.append(button);
  };
  if (time !== null) offer("Go there", () => reveal(time));
  if (child !== undefined) offer("Only this child", () => search(raw.children[child], true));
}

// -- the list

const ROW = 24;
const list = { tab: "steps", items: [], rowOf: null, chosen: -1 };

function entryMatches(entry) {
  const i = Math.floor(entry / 3);
  const isNear = (node, peer) => !view.nodes || view.nodes.has(node) || view.nodes.has(peer);
  if (entry % 3) {
    const isShown = view.shown.messages && (view.shown.routine || !messages.isRoutine(i));
    return isShown && !view.children && isNear(messages.from[i], messages.to[i]);
  }
  // Of one child: what happened to it, and what was done to the run.
  if (view.children) return view.children.has(ofChild(i)) || raw.texts[steps.kind[i]] === "fault";
  return isNear(steps.node[i], steps.peer[i]);
}

function fillList() {
  const isAll = !view.children && !view.nodes && view.shown.messages && view.shown.routine;
  if (list.tab === "steps") list.items = isAll ? entries : entries.filter(entryMatches);
  else if (list.tab === "faults") list.items = faults.map((i) => 3 * i);
  else list.items = doubles.filter((double) => !view.children || view.children.has(double.child));
  $("rows").style.height = `${list.items.length * ROW}px`;
  for (const tab of $("tabs").children) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === list.tab));
  }
  const [, ofFaults, ofDoubles] = $("tabs").children;
  ofFaults.textContent = `Faults ${faults.length || ""}`;
  ofDoubles.textContent = `Two owners ${doubles.length || ""}`;
  goToMoment();
}

function itemTime(item) {
  return list.tab === "doubles" ? item.since : timeOf(item);
}

function goToMoment() {
  const moment = view.moment ?? ends;
  let low = 0, high = list.items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (itemTime(list.items[middle]) < moment - 1e-9) low = middle + 1;
    else high = middle;
  }
  list.chosen = view.moment === null ? -1 : Math.min(low, list.items.length - 1);
  const exact = view.chosen && list.items.findIndex((item) => isItem(item, view.chosen));
  if (view.chosen && exact >= 0) list.chosen = exact;
  const place = list.chosen < 0 ? low : list.chosen;
  $("list").scrollTop = list.tab === "steps" || view.moment !== null ? place * ROW - $("list").clientHeight / 2 + ROW : 0;
  drawList();
}

function isItem(item, thing) {
  if (list.tab === "doubles") return thing.kind === "double" && thing.double === item;
  const i = Math.floor(item / 3);
  if (item % 3 === 0) return thing.kind === "step" && thing.step === i;
  return thing.kind === "message" && thing.message === i && (thing.arrived ?? false) === (item % 3 === 2);
}

function thingOf(item) {
  if (list.tab === "doubles") return { kind: "double", double: item };
  const i = Math.floor(item / 3);
  return item % 3 === 0 ? { kind: "step", step: i } : { kind: "message", message: i, arrived: item % 3 === 2 };
}

function drawList() {
  const rows = $("rows"), box = $("list");
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const last = Math.min(list.items.length, first + Math.ceil(box.clientHeight / ROW) + 8);
  const made = [];
  for (let place = first; place < last; place++) made.push(rowFor(place));
  if (!list.items.length) {
    const nothing = { faults: "Nothing was done to this run.", doubles: "No child ever had two owners." };
    made.push(element("p", nothing[list.tab] ?? (entries.length ? "No step is about this." : "The trace is empty.")));
  }
  rows.replaceChildren(...made);
}

function rowFor(place) {
  const item = list.items[place], time = itemTime(item);
  const row = element("div", "", "row");
  row.style.top = `${place * ROW}px`;
  row.dataset.place = place;
  row.classList.toggle("chosen", place === list.chosen);
  const when = element("time", clock(time, 0.0001));
  if (list.tab === "doubles") {
    const rest = element("span", raw.children[item.child]);
    rest.append(element("em", `  ${item.runs.map((run) => nodeName(run.node)).join(", ")}`));
    row.append(when, element("b", lasting(item.until - item.since), "bad"), rest);
    return row;
  }
  const i = Math.floor(item / 3);
  const rest = element("span");
  if (item % 3 === 0) {
    const kind = raw.texts[steps.kind[i]];
    const who = [nodeName(steps.node[i]), nodeName(steps.peer[i])].filter(Boolean).join(" → ");
    rest.append(who, who ? "  " : "", who ? element("em", raw.texts[steps.text[i]]) : raw.texts[steps.text[i]]);
    row.append(when, element("b", kind, kind), rest);
  } else {
    const arrived = item % 3 === 2, from = nodeName(messages.from[i]), to = nodeName(messages.to[i]);
    rest.append(arrived ? `${to} ← ${from}  ` : `${from} → ${to}  `, element("em", messages.inWords(i)));
    row.classList.add("later");
    const isLost = !arrived && messages.state(i) === LOST;
    row.append(when, element("b", isLost ? "lost" : arrived ? "deliver" : "send", isLost ? "bad" : ""), rest);
  }
  row.title = row.querySelector("span").textContent;
  return row;
}

function chooseRow(place) {
  if (place < 0 || place >= list.items.length) return;
  choose(thingOf(list.items[place]), itemTime(list.items[place]));
}

// Choose a thing and its moment, and show both.
function choose(thing, time, { move = true } = {}) {
  view.chosen = thing;
  view.moment = time;
  showDetail();
  goToMoment();
  if (move && time !== null) reveal(time);
  else redraw();
}

// -- the search

const lowered = { children: raw.children.map((id) => id.toLowerCase()), nodes: lanes.map((lane) => lane.name.toLowerCase()) };

function matches(query) {
  const sought = query.trim().toLowerCase();
  if (!sought) return { children: null, nodes: null };
  const exact = lowered.nodes.indexOf(sought);
  if (exact >= 0) return { children: null, nodes: new Set([exact]) };
  const all = [...lowered.children.keys()];
  const same = all.filter((child) => lowered.children[child] === sought || lowered.children[child].endsWith(`/${sought}`));
  const children = same.length ? same : all.filter((child) => lowered.children[child].includes(sought));
  if (children.length) return { children: new Set(children), nodes: null };
  return { children: null, nodes: new Set([...lowered.nodes.keys()].filter((node) => lowered.nodes[node].includes(sought))) };
}

function search(query, isDone = false) {
  view.query = query;
  if ($("query").value !== query) $("query").value = query;
  Object.assign(view, matches(query));
  const sought = view.children ?? view.nodes;
  const count = new Set(view.children ? runs.filter((run) => view.children.has(run.child)).map((run) => run.node) : []).size;
  $("found").textContent = !sought ? "" : !sought.size ? "nothing"
    : view.children ? `${plural(sought.size, "child", "children")} on ${count}` : plural(sought.size, "node");
  if (view.nodes && !view.nodes.size) view.nodes = null;
  select();
  relayout();
  fillList();
  showHints(isDone ? "" : query);
  if (isDone) showSought();
}

// All of the life of what is sought.
function showSought() {
  if (!view.children) return;
  const sought = runs.filter((run) => view.children.has(run.child));
  if (!sought.length) return;
  const from = Math.min(...sought.map((run) => run.begin)), to = Math.max(...sought.map((run) => run.end));
  show(from - (to - from) * 0.05, to + (to - from) * 0.05, { smooth: true });
}

const hints = { at: -1 };

function showHints(query) {
  const box = $("hints"), sought = query.trim().toLowerCase();
  const found = [];
  for (let node = 0; sought && node < lanes.length && found.length < 4; node++) {
    if (lowered.nodes[node].includes(sought)) found.push([lanes[node].name, "node"]);
  }
  for (let child = 0; sought && child < lowered.children.length && found.length < 9; child++) {
    if (lowered.children[child].includes(sought)) found.push([raw.children[child], "child"]);
  }
  hints.at = -1;
  box.hidden = !found.length || (found.length === 1 && found[0][0].toLowerCase() === sought);
  box.replaceChildren(...found.map(([name, what]) => {
    const item = element("li");
    item.append(element("span", name), element("span", what));
    item.onpointerdown = (event) => { event.preventDefault(); search(name, true); };
    return item;
  }));
}

function moveHint(by) {
  const items = [...$("hints").children];
  if ($("hints").hidden || !items.length) return;
  hints.at = (hints.at + by + items.length + (hints.at < 0 && by < 0 ? 1 : 0)) % items.length;
  items.forEach((item, place) => item.classList.toggle("at", place === hints.at));
}
