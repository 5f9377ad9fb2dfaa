// The figure: shapes and links are drawn once. The gradients above them are drawn where in view.

const WIDEST = 12; // the width of all strands of a link together, in points
const MOST = 9; // the most strands of a link drawn one by one; older losses share a band

const [WIDTH, HEIGHT] = D.size;
const svg = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": "computational graph" });
const layers = Object.fromEntries(["ways", "strands", "shapes", "marks", "hits"].map((name) => [name, el("g", {}, svg)]));

/** The middle of every row, and of the shapes below the rows. */
const rowY = Array.from({ length: T }, (_, row) => {
  const found = D.order.find((c) => shapes[c].r === row) ?? shapes.findIndex((s) => s.r === row);
  return shapes[found]?.at[1] ?? HEIGHT / 2;
});
const bottomY = Math.max(...shapes.map((s) => s.at[1]));

/** A path without its arrow's head, which begins at the second m. */
const wayOf = (path) => D.paths[path].slice(0, D.paths[path].indexOf("m", 1));

// Of a tall figure only the part in view is drawn, and a little more.

const tall = HEIGHT > 700;
let view = [-Infinity, Infinity]; // from and to, in points
const inView = ([top, end]) => end > view[0] && top < view[1];

/** Elements by number, made when they are needed, and removed when they are not. */
function keep(elements, n, wanted, make) {
  if (wanted) {
    if (!elements.has(n)) elements.set(n, make(n));
  } else if (elements.get(n) !== document.activeElement) {
    elements.get(n)?.remove();
    elements.delete(n);
  }
  return elements.get(n);
}

function forget(elements) {
  for (const element of elements.values()) element.remove();
  elements.clear();
}

// Paths -----------------------------------------------------------------------------------------

// Lines that share a trunk, from a parameter or into a loss, are one bundle. The paper-coloured rim
// of a bundle lies below all of its lines, so it separates the bundle from other lines only.
const isWide = (n) => Array.isArray(shapes[n].r);
const bundleOf = ({ e: [from, to] }) => (shapes[from].k === "p" ? `p${from}` : isWide(to) ? `l${to}` : "");
const bundles = {};
for (const name of [...new Set(links.map(bundleOf))].sort()) bundles[name] = { rims: el("g", {}, layers.ways), lines: el("g", {}, layers.ways), stops: new Set() };

const middleOf = (n) => shapes[n].at[1];
for (const link of links) for (const n of link.e) bundles[bundleOf(link)].stops.add(middleOf(n));
for (const bundle of Object.values(bundles)) bundle.stops = [...bundle.stops].sort((a, b) => a - b);

/** The range in which a line is drawn. Lines of a bundle coincide from where the next one joins,
 *  so one of them is enough there. */
function extentOf(link) {
  const name = bundleOf(link), [from, to] = link.e.map(middleOf);
  if (!name) return [Math.min(from, to) - 20, Math.max(from, to) + 20];
  const [end, trunk] = name[0] === "p" ? [to, from] : [from, to];
  const { stops } = bundles[name], next = stops[stops.indexOf(end) + Math.sign(trunk - end)];
  return [Math.min(end, next), Math.max(end, next)];
}
for (const link of links) link.extent = extentOf(link);

const [rimEls, wayEls] = [new Map(), new Map()];
const drawRim = (i) => drawPath(i, "casing", bundles[bundleOf(links[i])].rims);
const drawWay = (i) => drawPath(i, "way", bundles[bundleOf(links[i])].lines, D.paths[links[i].w[0]]);
function drawPath(i, name, parent, d = wayOf(links[i].w[0]), more = {}) {
  const [, x, y] = links[i].w;
  return el("path", { class: name, d, transform: `translate(${x} ${y})`, ...more }, parent);
}

// From five uses on, a parameter's lines share a trunk, its rail. The gradients are drawn by loss where
// they join the rail. The rail itself is drawn once.
const RAIL = 5, TAP = 13;
const rails = new Map();
links.forEach((link, i) => {
  const [from] = link.e;
  if (shapes[from].k !== "p" || outOf[from].length < RAIL || !link.flow) return;
  link.rail = true;
  const first = rails.get(from);
  if (first === undefined || backwardAt[circleOf(link)] < backwardAt[circleOf(links[first])]) rails.set(from, i);
});
for (const i of rails.values()) links[i].extent = [-Infinity, Infinity];

/** The points of a relative path. */
const pointsOf = D.paths.map(() => null);
function points(n) {
  if (pointsOf[n]) return pointsOf[n];
  const found = [[0, 0]];
  for (const [, kind, numbers] of wayOf(n).slice(4).matchAll(/([lc])([^lc]*)/g)) {
    const v = numbers.trim().split(" ").map(Number), [x, y] = found.at(-1);
    if (kind === "l") found.push([x + v[0], y + v[1]]);
    else
      for (let k = 1; k <= 8; k++) {
        const t = k / 8, a = 3 * t * (1 - t) ** 2, b = 3 * t * t * (1 - t), c = t ** 3;
        found.push([x + a * v[0] + b * v[2] + c * v[4], y + a * v[1] + b * v[3] + c * v[5]]);
      }
  }
  return (pointsOf[n] = found);
}

/** A link's path, moved aside and reversed, in the direction of the gradient. */
function aside(link, by, from = 0) {
  const [path, x0, y0] = link.w;
  let way = points(path);
  if (link.rail) from = Math.max(0, 1 - TAP / lengthOf(way));
  if (from) way = lastPart(way, from);
  const moved = way.map(([x, y], i) => {
    const [ax, ay] = way[Math.max(0, i - 1)], [bx, by_] = way[Math.min(way.length - 1, i + 1)];
    const long = Math.hypot(bx - ax, by_ - ay) || 1;
    return `${(x0 + x - (by * (by_ - ay)) / long).toFixed(1)} ${(y0 + y + (by * (bx - ax)) / long).toFixed(1)}`;
  });
  return `M${moved.reverse().join("L")}`;
}

const lengths = (way) => way.slice(1).map(([x, y], i) => Math.hypot(x - way[i][0], y - way[i][1]));
const lengthOf = (way) => lengths(way).reduce((a, b) => a + b, 0);

/** The part of a path behind a fraction of its length. */
function lastPart(way, share) {
  const long = lengths(way);
  let left = share * lengthOf(way), i = 0;
  while (i < long.length - 1 && left > long[i]) left -= long[i++];
  const part = long[i] ? left / long[i] : 0;
  const [ax, ay] = way[i], [bx, by] = way[i + 1] ?? way[i];
  return [[ax + part * (bx - ax), ay + part * (by - ay)], ...way.slice(i + 1)];
}

// Shapes ----------------------------------------------------------------------------------------

const shapeEls = new Map();
function drawShape(n) {
  const shape = shapes[n], [x, y, w, h] = shape.at;
  const g = el("g", { tabindex: -1, role: "button", "aria-label": described(shape), "data-shape": n }, layers.shapes);
  if (shape.k === "c") el("circle", { class: "face", cx: x, cy: y, r: w / 2 }, g);
  else if (shape.k !== "d") rect("face", x - w / 2, y - h / 2, w, h, g);
  if (shape.k === "p") nameSVG(listed(shape.n), x, y, 9, g);
  else if (shape.k === "b") nameSVG([D.names[shape.n]], x, y, 9, g);
  else if (shape.label) nameSVG([[[shape.label, 0]]], x, y, Math.min(9, 24 / shape.label.length), g);
  return g;
}

/** The names of parameters that share a box, four to a line. */
function listed(names) {
  const lines = [];
  names.forEach((n, i) => {
    if (i % 4 === 0) lines.push([]);
    else lines.at(-1).push([" , ", BOLD]);
    lines.at(-1).push(...D.names[n]);
  });
  return lines;
}

const linkOf = ({ t }) => `the link from step ${stepOf(t - 1)} to step ${stepOf(t)}`;

function described(shape) {
  const size = shape.s?.length ? `, ${shape.s.join("×")}` : "";
  if (shape.k === "p") return `parameter ${shape.n.map((n) => nameText(D.names[n])).join(", ")}`;
  if (shape.k === "c") return `computation${shape.r == null || T < 2 ? "" : ` in ${[shape.r].flat().map((row) => `step ${stepOf(row)}`).join(" to ")}`}: ${D.operations[shape.ops]}`;
  return `${nameText(D.names[shape.n])}${size}`;
}

// Links between two steps can be cut --------------------------------------------------------------

const hitEls = new Map();
function drawHit(i) {
  return drawPath(i, "hit", layers.hits, undefined, { tabindex: -1, role: "button", "data-link": i });
}

// What flows back ---------------------------------------------------------------------------------

const level = (v) => Math.max(0, 1 + Math.log10(v / largestFlow) / 4);
const strandEls = new Map();

/** The strands of a link, [source, weight, width], and the strands that end here. */
function strandsOf(link) {
  const found = [], { first, norms } = link.flow;
  let older = 0, ended = 0;
  for (let n = 0; n < norms.length; n++) {
    const source = first + n, through = weightOf(source, link.r), before = weightOf(source, link.u);
    const v = norms[n] * (through || before);
    if (!v) continue;
    if (n >= MOST) through ? (older = Math.hypot(older, v)) : (ended = Math.hypot(ended, v));
    else found.push({ source, ends: !through, width: 0.6 + 2.2 * level(v) });
  }
  if (older) found.push({ source: first + norms.length - 1, width: 0.6 + 3 * level(older) });
  else if (ended) found.push({ source: first + norms.length - 1, ends: true, width: 0.6 + 3 * level(ended) });
  const sum = found.reduce((total, s) => total + s.width, 0);
  const room = link.rail ? WIDEST / 2 : WIDEST;
  if (sum > room) for (const s of found) s.width *= room / sum;
  return found;
}

function drawStrands(i, fresh) {
  const link = links[i], g = el("g", {}, layers.strands);
  if (fresh) g.setAttribute("class", shapes[link.e[1]].k === "c" ? "fresh late" : "fresh");
  if (rails.get(link.e[0]) === i) drawPath(i, "strand rail", g, undefined, { pathLength: 1 });
  const strands = strandsOf(link);
  let at = -strands.reduce((total, s) => total + s.width, 0) / 2;
  let stopped = null;
  for (const { source, ends, width } of strands) {
    const d = aside(link, at + width / 2, ends ? 0.6 : 0);
    el("path", { class: "strand", d, stroke: colourOf(source), "stroke-width": width.toFixed(2), pathLength: 1 }, g);
    if (ends) stopped = [Math.min(stopped?.[0] ?? at, at), at + width];
    at += width;
  }
  if (stopped) barAcross(link, stopped, g);
  return g;
}

/** A bar where strands end: across the link, at six tenths of its length. */
function barAcross(link, [from, to], parent) {
  const [path, x0, y0] = link.w;
  const way = lastPart(points(path), 0.6), [[ax, ay], [bx, by]] = way;
  const long = Math.hypot(bx - ax, by - ay) || 1, nx = -(by - ay) / long, ny = (bx - ax) / long;
  const end = (v) => ({ x: (x0 + ax + v * nx).toFixed(1), y: (y0 + ay + v * ny).toFixed(1) });
  const a = end(from - 1.6), b = end(to + 1.6);
  el("line", { class: "bar", x1: a.x, y1: a.y, x2: b.x, y2: b.y }, parent);
}

/** ξ on a scaled link, two bars on a cut link. */
const markEls = new Map();
function drawMark(i) {
  const link = links[i], xi = strategy.links[link.t], g = el("g", {}, layers.marks);
  const [path, x0, y0] = link.w, [[ax, ay], [bx, by]] = lastPart(points(path), 0.45);
  if (xi === 0) {
    const turn = (Math.atan2(by - ay, bx - ax) * 180) / Math.PI;
    g.setAttribute("transform", `translate(${x0 + ax} ${y0 + ay}) rotate(${turn.toFixed(0)})`);
    for (const v of [-1.8, 1.8]) el("line", { class: "bar", x1: v, x2: v, y1: -4.5, y2: 4.5 }, g);
  } else {
    g.setAttribute("transform", `translate(${x0 + ax} ${y0 + ay})`);
    rect("pill", -12, -4.7, 24, 9.4, g, { rx: 4.7 });
    nameSVG([[["ξ", ITALIC], [`=${short(xi)}`, 0]]], 0, 0, 6.6, g);
  }
  return g;
}

// After every move --------------------------------------------------------------------------------

/** Update only the attributes that differ. */
function setClass(element, ...names) {
  const value = names.filter(Boolean).join(" ");
  if (element.kind !== value) element.setAttribute("class", (element.kind = value));
}

/** Draw the part in view in its state after the move. */
function drawFigure(animated = false) {
  const { move } = state, circle = circleAt(move), back = isBackward(move);
  shapes.forEach((shape, n) => {
    const y = middleOf(n), element = keep(shapeEls, n, inView([y - 20, y + 20]), drawShape);
    if (!element) return;
    const made = !back && circle !== undefined && boxOf(circle) === n;
    setClass(element, "shape", shape.k, !isMade(n, move) && "later", back && shape.k !== "c" && shape.reached <= move && "reached",
      (n === circle || made) && (back ? "now" : "now on"), state.picked === n && "picked");
  });
  links.forEach((link, i) => {
    const near = inView(link.extent), xi = link.t && T > 1 ? strategy.links[link.t] : undefined;
    const at = backwardAt[circleOf(link)], cut = xi === 0;
    keep(rimEls, i, near, drawRim);
    const way = keep(wayEls, i, near, drawWay), hit = keep(hitEls, i, near && xi !== undefined, drawHit);
    keep(markEls, i, near && xi !== undefined && xi !== 1, drawMark);
    keep(strandEls, i, near && link.flow && at <= move, () => drawStrands(i, animated && at === move));
    if (way) setClass(way, "way", move < forwardAt[circleOf(link)] && "later", back && link.flow && "flown", cut && "cut");
    hit?.setAttribute("aria-label", `${cut ? "mend" : "cut"} ${linkOf(link)}`);
  });
  if (!svg.querySelector('[tabindex="0"]')) svg.querySelector("[tabindex]")?.setAttribute("tabindex", 0);
}
