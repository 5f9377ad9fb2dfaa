// The figure: shapes and links once, and above them what flows back, as far as it is in view.

const WIDEST = 12; // of all strands of a link together, in points
const MOST = 9; // strands of a link that are drawn one by one; older losses share a band

const [WIDTH, HEIGHT] = D.size;
const svg = el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": "computational graph" });
const layers = Object.fromEntries(["ways", "strands", "shapes", "marks", "hits"].map((name) => [name, el("g", {}, svg)]));

/** The middle of every row, and of what stands below the rows. */
const rowY = Array.from({ length: T }, (_, row) => {
  const found = D.order.find((c) => shapes[c].r === row) ?? shapes.findIndex((s) => s.r === row);
  return shapes[found]?.at[1] ?? HEIGHT / 2;
});
const bottomY = Math.max(...shapes.map((s) => s.at[1]));

/** A path without its arrow's head, which begins at the second m. */
const wayOf = (path) => D.paths[path].slice(0, D.paths[path].indexOf("m", 1));

/** Where what belongs to a row is put: a group of its own, which is hidden while it is out of view. */
const tall = HEIGHT > 700;
const bands = Array.from({ length: tall ? T : 0 }, () => ({}));
const bandOf = (layer, row) => (tall && typeof row === "number" ? (bands[row][layer] ??= el("g", {}, layers[layer])) : layers[layer]);

// Ways ------------------------------------------------------------------------------------------

// Lines that share a trunk, from a parameter or into a loss, are one bundle. The paper-coloured rim
// of a bundle lies below all of its lines, so that it parts what it crosses and not itself.
const isWide = (n) => Array.isArray(shapes[n].r);
const bundleOf = ({ e: [from, to] }) => (shapes[from].k === "p" ? `p${from}` : isWide(to) ? `l${to}` : "");
const bundles = {};
for (const name of [...new Set(links.map(bundleOf))].sort()) bundles[name] = ["rims", "lines"].map((part) => ((layers[name + part] = el("g", {}, layers.ways)), name + part));

const wayEls = links.map((link) => {
  const [path, x, y] = link.w, transform = `translate(${x} ${y})`, row = shapes[circleOf(link)].r;
  const [rims, lines] = bundles[bundleOf(link)];
  el("path", { class: "casing", d: wayOf(path), transform }, bandOf(rims, row));
  return el("path", { class: "way", d: D.paths[path], transform }, bandOf(lines, row));
});

// From five uses on a parameter's ways share a trunk, its rail. What comes back is drawn by loss where
// it joins the rail; the rail itself is drawn once.
const RAIL = 5, TAP = 13;
const rails = new Map();
links.forEach((link, i) => {
  const [from] = link.e;
  if (shapes[from].k !== "p" || outOf[from].length < RAIL || !link.flow) return;
  link.rail = true;
  const first = rails.get(from);
  if (first === undefined || backwardAt[circleOf(link)] < backwardAt[circleOf(links[first])]) rails.set(from, i);
});

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

/** A link's way, moved aside and backwards: from where the gradient comes to where it goes. */
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

/** The part of a way behind a share of its length. */
function lastPart(way, share) {
  const long = lengths(way);
  let left = share * lengthOf(way), i = 0;
  while (i < long.length - 1 && left > long[i]) left -= long[i++];
  const part = long[i] ? left / long[i] : 0;
  const [ax, ay] = way[i], [bx, by] = way[i + 1] ?? way[i];
  return [[ax + part * (bx - ax), ay + part * (by - ay)], ...way.slice(i + 1)];
}

// Shapes ----------------------------------------------------------------------------------------

const shapeEls = shapes.map((shape, n) => {
  const [x, y, w, h] = shape.at;
  const g = el("g", { class: `shape ${shape.k}`, tabindex: -1, role: "button", "aria-label": described(shape), "data-shape": n }, bandOf("shapes", shape.r));
  if (shape.k === "c") el("circle", { class: "face", cx: x, cy: y, r: w / 2 }, g);
  else if (shape.k !== "d") el("rect", { class: "face", x: x - w / 2, y: y - h / 2, width: w, height: h }, g);
  if (shape.k === "p") nameSVG(listed(shape.n), x, y, 9, g);
  else if (shape.k === "b") nameSVG([D.names[shape.n]], x, y, 9, g);
  else if (shape.label) nameSVG([[[shape.label, 0]]], x, y, Math.min(9, 24 / shape.label.length), g);
  return g;
});

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

function described(shape) {
  const size = shape.s?.length ? `, ${shape.s.join("×")}` : "";
  if (shape.k === "p") return `parameter ${shape.n.map((n) => nameText(D.names[n])).join(", ")}`;
  if (shape.k === "c") return `computation${shape.r == null || T < 2 ? "" : ` in step ${[shape.r].flat()[0] + 1}`}: ${D.operations[shape.ops]}`;
  return `${nameText(D.names[shape.n])}${size}`;
}

// Links between two steps can be cut --------------------------------------------------------------

const hitEls = new Map();
links.forEach((link, i) => {
  if (!link.t || T < 2) return;
  const [path, x, y] = link.w;
  const hit = el("path", { class: "hit", d: wayOf(path), transform: `translate(${x} ${y})`, tabindex: -1, role: "button", "data-link": i }, layers.hits);
  hitEls.set(i, hit);
});

// What flows back ---------------------------------------------------------------------------------

const level = (v) => Math.max(0, 1 + Math.log10(v / largestFlow) / 4);
const strandEls = new Map();

/** The strands of a link: [source, weight, width], and those that end here. */
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
  if (rails.get(link.e[0]) === i) {
    const [path, x, y] = link.w;
    el("path", { class: "strand rail", d: wayOf(path), transform: `translate(${x} ${y})`, pathLength: 1 }, g);
  }
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
  strandEls.set(i, g);
}

/** A bar where strands end: across the link, at six tenths of its way. */
function barAcross(link, [from, to], parent) {
  const [path, x0, y0] = link.w;
  const way = lastPart(points(path), 0.6), [[ax, ay], [bx, by]] = way;
  const long = Math.hypot(bx - ax, by - ay) || 1, nx = -(by - ay) / long, ny = (bx - ax) / long;
  const end = (v) => ({ x: (x0 + ax + v * nx).toFixed(1), y: (y0 + ay + v * ny).toFixed(1) });
  const a = end(from - 1.6), b = end(to + 1.6);
  el("line", { class: "bar", x1: a.x, y1: a.y, x2: b.x, y2: b.y }, parent);
}

/** ξ on the links that are scaled, two bars on those that are cut. */
function drawMarks() {
  layers.marks.replaceChildren();
  for (const i of hitEls.keys()) {
    const link = links[i], xi = strategy.links[link.t];
    if (xi === 1 || (EARLIEST[state.kind] && chain)) continue;
    const [path, x0, y0] = link.w, way = points(path), [[ax, ay], [bx, by]] = lastPart(way, 0.45);
    const x = x0 + ax, y = y0 + ay;
    if (xi === 0) {
      const turn = (Math.atan2(by - ay, bx - ax) * 180) / Math.PI;
      const g = el("g", { class: "scissors", transform: `translate(${x} ${y}) rotate(${turn.toFixed(0)})` }, layers.marks);
      for (const v of [-1.8, 1.8]) el("line", { class: "bar", x1: v, x2: v, y1: -4.5, y2: 4.5 }, g);
    } else {
      el("rect", { class: "pill", x: x - 12, y: y - 4.7, width: 24, height: 9.4, rx: 4.7 }, layers.marks);
      const text = el("text", { x, y: y + 2.2, "font-size": 6.6 }, layers.marks);
      el("tspan", { "font-style": "italic" }, text).textContent = "ξ";
      el("tspan", {}, text).textContent = `=${short(xi)}`;
    }
  }
}

// After every move --------------------------------------------------------------------------------

const shown = { shapes: [], ways: [] };

function setClass(element, kind, n, value) {
  if (shown[kind][n] === value) return;
  shown[kind][n] = value;
  element.setAttribute("class", value);
}

function drawFigure(animated) {
  const move = state.move, circle = circleAt(move), back = isBackward(move);
  shapeEls.forEach((element, n) => {
    const shape = shapes[n];
    let classes = `shape ${shape.k}`;
    if (!isMade(n, move)) classes += " later";
    if (back && shape.k !== "c" && isReached(n, move)) classes += " reached";
    if (n === circle || (!back && circle !== undefined && boxOf(circle) === n)) classes += back ? " now" : " now on";
    if (state.picked === n) classes += " picked";
    setClass(element, "shapes", n, classes);
  });
  wayEls.forEach((element, i) => {
    const link = links[i];
    let classes = "way";
    if (move < forwardAt[circleOf(link)]) classes += " later";
    if (back && link.flow) classes += " flown";
    if (link.t && strategy.links[link.t] === 0) classes += " cut";
    setClass(element, "ways", i, classes);
  });
  for (const [i, hit] of hitEls) {
    const { t } = links[i], cut = strategy.links[t] === 0;
    hit.setAttribute("aria-label", `${cut ? "mend" : "cut"} the link from step ${t} to step ${t + 1}`);
  }
  drawInView(animated);
}

/** The part of the figure that can be seen, and a little more, in points: from and to. It is
 *  measured once a frame, before anything changes, for measuring lays the page out. */
let view = [-Infinity, Infinity];
function lookAt() {
  if (!tall) return;
  const frame = scroller(), from = frame.scrollTop / frame.scale - HEAD;
  view = [from - 60, from + frame.clientHeight / frame.scale + 60];
  bands.forEach((band, row) => {
    const hidden = rowY[row] < view[0] || rowY[row] > view[1];
    if (band.hidden === hidden) return;
    band.hidden = hidden;
    for (const layer in band) if (band[layer].style) band[layer].style.display = hidden ? "none" : "";
  });
}

/** Draw the strands of those links that the gradient has come through and that are in view. */
function drawInView(animated = false) {
  const [from, to] = view;
  links.forEach((link, i) => {
    const at = backwardAt[circleOf(link)];
    const [, y1] = shapes[link.e[0]].at, [, y2] = shapes[link.e[1]].at;
    // What a parameter gets passes by all rows below: it is drawn where it comes from.
    const near = rails.get(link.e[0]) === i || (link.rail ? y2 > from && y2 < to : Math.max(y1, y2) > from && Math.min(y1, y2) < to);
    const wanted = link.flow && at <= state.move && near;
    if (!wanted) {
      strandEls.get(i)?.remove();
      strandEls.delete(i);
    } else if (!strandEls.has(i)) drawStrands(i, animated && at === state.move);
  });
}

function forgetStrands() {
  for (const g of strandEls.values()) g.remove();
  strandEls.clear();
}
