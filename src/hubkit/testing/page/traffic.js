// traffic.js: messages, as lines between the lanes.
//
// Law: where there are too many they are thinned, by a fixed choice, so that the same ones stay while one moves; and they fade,
// those of routine first. What was lost or late is chosen by itself, and is never thinned away for the sake of the rest.

const BUDGET = 2600; // lines in one look

function drawMessages() {
  const { sent, at, from, to, order } = messages;
  if (!view.shown.messages || !messages.count) return;
  const low = lowerBound(sent, view.from - messages.usual), high = lowerBound(sent, view.to);
  let step = 1;
  while ((high - low) / step > BUDGET) step *= 2;
  const usual = [], routine = [];
  for (let i = low; i < high; i++) {
    if (messages.isSpecial(i) || (view.nodes && !isSought(from[i]) && !isSought(to[i]))) continue;
    if (messages.isRoutine(i)) {
      if (view.shown.routine && (order[i] & (step * 4 - 1 && (step > 1 ? step * 4 - 1 : 0))) === 0) routine.push(i);
    } else if ((order[i] & (step - 1)) === 0) usual.push(i);
  }
  // Where many come together they fade, those of routine first.
  const crowd = (high - low) / Math.max(300, plotWidth()) / Math.max(1, lanes.length / 4);
  const fading = Math.min(0.8, 0.06 / Math.max(0.01, crowd));
  if (fading > 0.03) strokeMessages(routine, theme.routine, fading, 0.8);
  strokeMessages(usual, theme.message, Math.max(0.16, Math.min(0.85, 0.16 / Math.max(0.01, crowd))), 1);
  const late = [], lost = [], wandering = [];
  for (const i of messages.special) {
    if (at[i] < view.from || sent[i] > view.to || (view.nodes && !isSought(from[i]) && !isSought(to[i]))) continue;
    if (messages.isRoutine(i) && !view.shown.routine) continue;
    (messages.state(i) === LOST ? lost : messages.state(i) === UNDER_WAY ? wandering : late).push(i);
  }
  strokeMessages(thinned(wandering, 400), theme.faint, 0.7, 1, [2, 3]);
  strokeMessages(thinned(late, 900), theme.amber, late.length > 300 ? 0.45 : 0.8, late.length > 300 ? 1 : 1.3);
  strokeMessages(thinned(lost, 240), theme.message, lost.length > 120 ? 0.3 : 0.7, 1, [4, 3]);
}

function thinned(list, most) {
  let step = 1;
  while (list.length / step > most) step *= 2;
  return step === 1 ? list : list.filter((i) => (messages.order[i] & (step - 1)) === 0);
}

function strokeMessages(list, color, alpha, width, dash = []) {
  const path = new Path2D(), heads = new Path2D(), ends = [];
  for (const i of list) {
    const source = lanes[messages.from[i]], target = lanes[messages.to[i]];
    if (!source || !target || source.isHidden || target.isHidden) continue;
    const x0 = xOf(messages.sent[i]), y0 = lifeY(source);
    let x1 = xOf(messages.at[i]), y1 = lifeY(target);
    const state = messages.state(i);
    if (state === LOST) { // it got half of the way; drawn short, for it may have been given up much later
      y1 = y0 + (y1 - y0) * 0.5;
      x1 = Math.min(x1, x0 + 26);
      ends.push([x1, y1]);
    } else if (state === UNDER_WAY) {
      y1 = y0 + (y1 - y0) * 0.5;
      x1 = Math.min(x1, x0 + 40);
    }
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
    drawn.push([i, x0, y0, x1, y1]);
    if (state === DELIVERED && list.length < 500) {
      const turn = Math.atan2(y1 - y0, x1 - x0);
      heads.moveTo(x1, y1);
      heads.lineTo(x1 - 7 * Math.cos(turn - 0.35), y1 - 7 * Math.sin(turn - 0.35));
      heads.lineTo(x1 - 7 * Math.cos(turn + 0.35), y1 - 7 * Math.sin(turn + 0.35));
      heads.closePath();
    }
  }
  pen.globalAlpha = alpha;
  pen.strokeStyle = pen.fillStyle = color;
  pen.lineWidth = width;
  pen.setLineDash(dash);
  pen.stroke(path);
  pen.setLineDash([]);
  pen.fill(heads);
  pen.globalAlpha = 1;
  for (const [x, y] of ends) cross(x, y, ends.length > 120 ? 2 : 3, theme.red, 1.3);
}
