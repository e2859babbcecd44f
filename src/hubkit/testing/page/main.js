// main.js: hands: pointer, wheel, fingers, keys and buttons; and the beginning.
//
// Law: every way to do something has a key, and every key has a button or is named under "?".

const scroller = $("scroller");

function resize() {
  const ratio = devicePixelRatio || 1;
  view.width = scroller.clientWidth;
  view.height = scroller.clientHeight;
  chart.width = Math.round(view.width * ratio);
  chart.height = Math.round(view.height * ratio);
  chart.style.width = `${view.width}px`;
  chart.style.height = `${view.height}px`;
  overview.width = Math.round(overview.clientWidth * ratio);
  overview.height = Math.round(overview.clientHeight * ratio);
  pen.font = `600 12px ${theme.sans}`;
  const longest = Math.max(0, ...lanes.map((lane) => pen.measureText(lane.name).width));
  view.gutter = Math.round(Math.min(view.width * 0.25, 170, Math.max(98, longest + 34)));
  const count = flags.length + spans.length;
  const room = Math.max(1, Math.floor(view.height / 120));
  view.flagRows = Math.min(view.height > 520 ? 4 : 3, Math.ceil(count / 3) + (count > 1 ? 1 : 0), room);
  view.doubleRow = doubles.length ? 20 : 0;
  view.head = AXIS + view.flagRows * FLAG + view.doubleRow + 2;
  readTheme();
  relayout();
  drawList();
}

function relayout() {
  layout();
  $("tall").style.height = `${Math.max(view.height, view.head + view.total + 6)}px`;
  view.scroll = scroller.scrollTop;
}

// -- pointing

function thingAt(x, y) {
  for (let i = hits.length - 1; i >= 0; i--) {
    const { x0, y0, x1, y1, thing } = hits[i];
    if (x < x0 - 1 || x > x1 + 1 || y < y0 || y > y1) continue;
    if (thing.kind === "counts" || thing.kind === "run") return nearMessage(x, y, 3) ?? thing;
    if (thing.kind !== "span" || y < view.head) return thing;
    const isAt = (hit) => hit.thing.kind !== "span" && x >= hit.x0 && x <= hit.x1 && y >= hit.y0 && y <= hit.y1;
    return nearMessage(x, y, 4) ?? hits.findLast(isAt)?.thing ?? thing;
  }
  return y > view.head ? nearMessage(x, y, 5) : null;
}

function nearMessage(x, y, near) {
  let best = null, least = near;
  for (const [i, x0, y0, x1, y1] of drawn) {
    if (x < Math.min(x0, x1) - near || x > Math.max(x0, x1) + near || y < Math.min(y0, y1) - near || y > Math.max(y0, y1) + near) continue;
    const dx = x1 - x0, dy = y1 - y0;
    const part = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
    const distance = Math.hypot(x - x0 - part * dx, y - y0 - part * dy);
    if (distance < least) [best, least] = [i, distance];
  }
  return best === null ? null : { kind: "message", message: best };
}

const pointers = new Map();
let grip = null; // where a drag began: {x, y, from, to, scroll, isFar, isChoice}

chart.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  chart.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  grip = {
    x: event.offsetX, y: event.offsetY, from: view.from, to: view.to, scroll: scroller.scrollTop,
    isFar: pointers.size > 1, isChoice: event.shiftKey, spread: spread(),
  };
  cancelAnimationFrame(motion);
  scroller.focus({ preventScroll: true });
});

function spread() {
  if (pointers.size < 2) return null;
  const [[x0], [x1]] = pointers.values();
  return { width: Math.max(20, Math.abs(x1 - x0)), middle: timeAt((x0 + x1) / 2), from: view.from, to: view.to };
}

chart.addEventListener("pointermove", (event) => {
  const { offsetX: x, offsetY: y } = event;
  if (!pointers.has(event.pointerId)) return hover(x, y, event);
  pointers.set(event.pointerId, [x, y]);
  if (pointers.size > 1 && grip?.spread) {
    const { width, middle, from, to } = grip.spread;
    const [[x0], [x1]] = pointers.values();
    const factor = width / Math.max(20, Math.abs(x1 - x0));
    const length = (to - from) * factor, part = ((x0 + x1) / 2 - view.gutter) / plotWidth();
    return show(middle - length * part, middle + length * (1 - part));
  }
  if (!grip) return;
  if (Math.hypot(x - grip.x, y - grip.y) > 4) grip.isFar = true;
  if (!grip.isFar) return;
  showTip(null);
  if (grip.isChoice) {
    view.choice = [grip.x, x];
    chart.className = "choosing";
    return redraw();
  }
  chart.className = "moving";
  const time = ((grip.x - x) / plotWidth()) * (grip.to - grip.from);
  scroller.scrollTop = grip.scroll + grip.y - y;
  view.hover = null;
  show(grip.from + time, grip.to + time);
});

function letGo(event) {
  if (!pointers.delete(event.pointerId)) return;
  chart.className = "";
  if (pointers.size) return void (grip = null);
  const { offsetX: x, offsetY: y } = event;
  if (grip?.isChoice && grip.isFar) {
    view.choice = null;
    const [from, to] = [timeAt(Math.min(grip.x, x)), timeAt(Math.max(grip.x, x))];
    show(from, to, { smooth: true });
  } else if (grip && !grip.isFar && event.type === "pointerup") {
    click(x, y);
  }
  grip = null;
}
chart.addEventListener("pointerup", letGo);
chart.addEventListener("pointercancel", letGo);
chart.addEventListener("pointerleave", () => {
  view.hover = null;
  showTip(null);
  redraw();
});

function hover(x, y, event) {
  view.hover = x >= view.gutter ? timeAt(x) : null;
  const thing = thingAt(x, y);
  chart.className = thing ? "pointing" : "";
  showTip(thing, event.clientX, event.clientY, timeAt(x));
  redraw();
}

function click(x, y) {
  const thing = thingAt(x, y);
  if (thing?.kind === "lane") {
    thing.lane.isOpen = !thing.lane.isOpen;
    return relayout();
  }
  if (thing?.kind === "doubles") {
    const around = (thing.until - thing.since) * 0.3;
    return show(thing.since - around, thing.until + around, { smooth: true });
  }
  const time = x < view.gutter ? null : timeAt(x);
  if (thing?.kind === "double" && list.tab === "steps" && doubles.length) selectTab("doubles");
  else if (thing && (thing.kind === "step" || thing.kind === "message")) selectTab("steps");
  choose(thing, thing && ["step", "message", "double"].includes(thing.kind) ? words(thing, time).time : time, { move: false });
}

chart.addEventListener("dblclick", (event) => zoom(event.shiftKey ? 3 : 1 / 3, timeAt(event.offsetX), { smooth: true }));

chart.addEventListener("wheel", (event) => {
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? view.height : 1;
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    pan((((event.deltaX || event.deltaY) * unit) / plotWidth()) * (view.to - view.from));
  } else if (event.offsetX < view.gutter || event.altKey) {
    scroller.scrollTop += event.deltaY * unit;
  } else {
    zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY * unit)) * (event.ctrlKey ? 0.01 : 0.0022)), timeAt(event.offsetX));
  }
}, { passive: false });

scroller.addEventListener("scroll", () => {
  view.scroll = scroller.scrollTop;
  redraw();
});

let isSweeping = false;
function sweep(event) {
  const length = view.to - view.from, middle = overviewTime(event.offsetX);
  show(middle - length / 2, middle + length / 2);
}
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  isSweeping = true;
  sweep(event);
});
overview.addEventListener("pointermove", (event) => isSweeping && sweep(event));
for (const name of ["pointerup", "pointercancel"]) overview.addEventListener(name, () => (isSweeping = false));
overview.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY)) * 0.0022));
}, { passive: false });

// -- doing

function toggle(name) {
  view.shown[name] = !view.shown[name];
  showToggles();
  fillList();
  redraw();
}

function showToggles() {
  for (const button of document.querySelectorAll(".toggle")) button.setAttribute("aria-pressed", String(view.shown[button.dataset.toggle]));
}

function selectTab(tab) {
  list.tab = tab;
  fillList();
}

function nextFault(by) {
  const now = view.moment ?? (by > 0 ? begins - 1 : ends + 1);
  const times = faults.map((i) => steps.time[i]);
  const place = by > 0 ? times.findIndex((time) => time > now + 1e-9) : times.findLastIndex((time) => time < now - 1e-9);
  if (place >= 0) choose({ kind: "step", step: faults[place] }, times[place]);
}

function nextDouble() {
  const now = view.moment ?? begins - 1;
  const sought = doubles.filter((double) => !view.children || view.children.has(double.child));
  const double = sought.find((double) => double.since > now + 1e-9) ?? sought[0];
  if (!double) return;
  selectTab("doubles");
  choose({ kind: "double", double }, double.since);
}

function forget() {
  view.chosen = view.moment = null;
  showDetail();
  search("");
}

const deeds = {
  in: () => zoom(1 / 1.6, view.hover ?? view.moment ?? undefined, { smooth: true }),
  out: () => zoom(1.6, view.hover ?? view.moment ?? undefined, { smooth: true }),
  whole: () => whole({ smooth: true }),
  last: () => show(...lastStretch(), { smooth: true }),
  taller: () => { taller(true); relayout(); },
  flatter: () => { taller(false); relayout(); },
  help: () => $("help").showModal(),
};

const keys = {
  ArrowLeft: () => pan((view.from - view.to) * 0.12), ArrowRight: () => pan((view.to - view.from) * 0.12),
  ArrowUp: () => (scroller.scrollTop -= 60), ArrowDown: () => (scroller.scrollTop += 60),
  PageUp: () => (scroller.scrollTop -= view.height * 0.8), PageDown: () => (scroller.scrollTop += view.height * 0.8),
  "+": deeds.in, "=": deeds.in, "-": deeds.out, "0": deeds.whole, Home: deeds.whole, End: deeds.last,
  "[": deeds.flatter, "]": deeds.taller, "?": deeds.help,
  n: () => nextFault(1), p: () => nextFault(-1), d: nextDouble,
  j: () => chooseRow(list.chosen + 1), k: () => chooseRow(list.chosen < 0 ? list.items.length - 1 : list.chosen - 1),
  m: () => toggle("messages"), h: () => toggle("routine"), e: () => toggle("events"), l: () => toggle("links"),
  "/": () => $("query").focus(), Escape: forget,
};

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const isTyping = event.target === $("query");
  if (isTyping) {
    if (event.key === "Enter") {
      const at = $("hints").children[hints.at];
      search(at ? at.firstChild.textContent : $("query").value, true);
      $("query").blur();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") moveHint(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Escape") {
      search("");
      $("query").blur();
    } else return;
    return event.preventDefault();
  }
  if (event.target.closest("summary, button") && (event.key === "Enter" || event.key === " ")) return;
  const deed = keys[event.key];
  if (!deed) return;
  event.preventDefault();
  deed();
});

let typing = 0;
$("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => search($("query").value), 90);
});
$("query").addEventListener("blur", () => showHints(""));
for (const button of document.querySelectorAll("[data-toggle]")) button.onclick = () => toggle(button.dataset.toggle);
for (const button of document.querySelectorAll("[data-do]")) button.onclick = () => deeds[button.dataset.do]();
for (const button of $("tabs").children) button.onclick = () => selectTab(button.dataset.tab);
$("copy").onclick = copyCommand;
$("list").addEventListener("scroll", drawList);
$("rows").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (row) chooseRow(Number(row.dataset.place));
});

// -- the beginning

writeHead();
showToggles();
readTheme();
select();
resize();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); redraw(); });
new ResizeObserver(resize).observe(scroller);
fillList();
if (about.error) show(...lastStretch());
else whole();
