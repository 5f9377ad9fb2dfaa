// Beside the figure, in the same rows: which loss reaches which step, and what each step adds.

const narrow = innerWidth < 600;
const LEFT = 20, CELL = 17; // the space before the first column; the height of a row's bars
const columns = chooseColumns();
const matrixWidth = chain && T > 1 ? Math.max(66, Math.min(T * 11, narrow ? 80 : 108)) : 0;
const barWidth = Math.max(54, Math.min(112, (narrow ? 190 : 300) / columns.length));
const GAP = narrow ? 14 : 22;
const sideWidth = T > 1 ? LEFT + (matrixWidth ? matrixWidth + GAP : 0) + columns.length * (barWidth + GAP) : 190;
const HEAD = 26, FOOT = 44;

/** The parameters that have a column: all, or of many those with the largest gradients. */
function chooseColumns() {
  const most = T > 1 ? 6 : 10;
  if (D.tied.length <= most) return D.tied;
  const largest = [...D.tied].sort((a, b) => b.norm - a.norm).slice(0, most);
  return D.tied.filter((p) => largest.includes(p));
}

const barAt = (n) => LEFT + (matrixWidth ? matrixWidth + GAP : 0) + n * (barWidth + GAP);
const sideHeight = T > 1 ? HEIGHT : Math.max(HEIGHT, 16 + columns.length * 22);
const side = el("svg", { viewBox: `0 0 ${sideWidth} ${sideHeight}`, role: "img", "aria-label": "what each step adds to the gradients" });
const head = el("svg", { class: "side-head", viewBox: `0 0 ${sideWidth} ${HEAD}`, "aria-hidden": true });
const foot = el("svg", { class: "side-foot", viewBox: `0 0 ${sideWidth} ${FOOT}`, role: "img", "aria-label": "the sums of the bars" });
const rowEls = new Map();

/** The least and the greatest that a column's bars can come to, with every strategy's in mind. */
for (const p of columns) {
  let low = 0, high = p.norm, sum = 0;
  for (const cell of [...p.rows].reverse()) {
    const parts = partsOf(cell, true).map(([, x]) => x);
    low = Math.min(low, parts.reduce((a, x) => a + Math.min(x, 0), 0));
    high = Math.max(high, parts.reduce((a, x) => a + Math.max(x, 0), 0));
    sum += parts.reduce((a, x) => a + x, 0);
    low = Math.min(low, sum);
    high = Math.max(high, sum);
  }
  p.scale = barWidth / (1.08 * (high - low) || 1);
  p.zero = -low * p.scale;
}

// The size of what a loss sends to the cell's weights in a row, for the shading of the matrix. The
// cell's are those that most losses reach in most rows.
const reach = (p) => p.rows.reduce((n, cell) => n + cell.along.length, 0);
const cellParameter = D.tied.reduce((a, b) => (reach(b) > reach(a) ? b : a), D.tied[0]);
const cellNorms = new Map();
if (T > 1 && cellParameter)
  for (const p of D.tied.filter((q) => q.box === cellParameter.box))
    for (const { row, first, norms } of p.rows)
      norms.forEach((v, n) => {
        const key = `${first + n},${row}`;
        cellNorms.set(key, Math.hypot(v, cellNorms.get(key) ?? 0));
      });
const largestCell = Math.max(1e-30, ...cellNorms.values());

function buildSide() {
  const more = D.tied.length - columns.length;
  if (more) label(head, `and ${more} smaller`, sideWidth, 24, "end");
  if (T < 2) return buildNorms();
  if (matrixWidth) {
    label(head, "which loss reaches which step", LEFT + matrixWidth / 2, 8);
    if (T <= 10)
      D.sources.forEach(({ row }) => {
        const text = el("text", { x: cellX(row) + cellWidth() / 2, y: 20, "font-size": 6.5 }, head);
        el("tspan", { "font-style": "italic" }, text).textContent = "l";
        el("tspan", { dy: 1.6, "font-size": 4.8 }, text).textContent = row + 1;
      });
    legend(foot, LEFT, 12);
  }
  columns.forEach((p, n) => {
    const x = barAt(n);
    nameSVG([[["∂", 0], ["L", ITALIC], ["/∂", 0], ...D.names[p.n]]], x + barWidth / 2, 12, 9, head);
    el("line", { class: "axis", x1: x + p.zero, x2: x + p.zero, y1: 0, y2: bottomY }, side);
    el("line", { class: "axis", x1: x + p.zero, x2: x + p.zero, y1: 0, y2: 28 }, foot);
    el("rect", { class: "ghost", x: x + p.zero, y: 7, width: p.norm * p.scale, height: CELL }, foot);
    p.sumEl = el("rect", { class: "sum", x: x + p.zero, y: 7, width: 0, height: CELL }, foot);
    p.noteEl = label(foot, "", x, 36, "start");
    const sigma = label(foot, "Σ", x + p.zero - 4, 19, "end");
    sigma.setAttribute("font-size", 9);
  });
}

/** Without time: one bar for each parameter, the size of its gradient. */
function buildNorms() {
  const largest = Math.max(1e-30, ...columns.map((p) => p.norm));
  label(head, "size of the gradient", LEFT + 40, 12, "start");
  columns.forEach((p, n) => {
    const y = 4 + n * 22, x = LEFT + 40;
    nameSVG([D.names[p.n]], LEFT + 16, y + CELL / 2, 9, side);
    el("rect", { class: "ghost", x, y, width: (80 * p.norm) / largest, height: CELL }, side);
    p.sumEl = el("rect", { class: "sum", x, y, width: 0, height: CELL }, side);
    p.noteEl = label(side, "", x + (80 * p.norm) / largest + 5, y + 11, "start");
    p.length = (80 * p.norm) / largest;
  });
}

function drawNorms() {
  for (const p of columns) {
    const has = arrival[D.tied.indexOf(p)](0) <= state.move;
    p.sumEl.setAttribute("width", has ? p.length : 0);
    p.noteEl.textContent = has ? short(p.norm) : "";
  }
}

function label(parent, text, x, y, anchor = "middle") {
  const made = el("text", { class: "sans", x, y, "font-size": 7, style: `text-anchor:${anchor}` }, parent);
  made.textContent = text;
  return made;
}

function legend(parent, x, y) {
  label(parent, "width: size of ∂l/∂·", x, y, "start");
  [0, -1, -2, -3].forEach((power, n) => {
    el("line", { class: "tick", x1: x + n * 19, x2: x + n * 19 + 13, y1: y + 8, y2: y + 8, "stroke-width": 0.6 + 2.2 * level(largestFlow * 10 ** power) }, parent);
    label(parent, power ? `10${"⁻"}${"⁰¹²³"[-power]}` : "1", x + n * 19 + 6.5, y + 20);
  });
}

const cellWidth = () => matrixWidth / T;
const cellX = (t) => LEFT + t * cellWidth();

/** The bars and the cells of one row. */
function drawRow(s) {
  rowEls.get(s)?.remove();
  const g = el("g", {}, side), y = rowY[s] - CELL / 2;
  rowEls.set(s, g);
  if (matrixWidth) drawCells(g, s, y);
  columns.forEach((p, n) => {
    const cell = p.rows.find((r) => r.row === s), zero = barAt(n) + p.zero;
    if (!cell) return;
    const full = partsOf(cell, true).reduce((sum, [, x]) => sum + x, 0);
    el("rect", { class: "ghost", x: zero + Math.min(0, full) * p.scale, y, width: Math.abs(full) * p.scale, height: CELL }, g);
    if (arrival[D.tied.indexOf(p)](s) > state.move) return;
    let right = 0, left = 0, pending = 0;
    const parts = partsOf(cell);
    parts.forEach(([source, x], i) => {
      pending += x;
      const width = Math.abs(pending) * p.scale;
      if (width < 0.5 && i < parts.length - 1) return; // too thin to be seen alone
      const from = pending > 0 ? right : left + pending;
      pending > 0 ? (right += pending) : (left += pending);
      el("rect", { class: width > 2 ? "part" : "", x: (zero + from * p.scale).toFixed(2), y, width: width.toFixed(2), height: CELL, fill: colourOf(source) }, g);
      pending = 0;
    });
  });
}

function drawCells(g, s, y) {
  const done = arrival[D.tied.indexOf(cellParameter)]?.(s) <= state.move;
  el("rect", { class: "blank", x: cellX(s), y, width: (T - s) * cellWidth(), height: CELL }, g);
  D.sources.forEach(({ row: t }, source) => {
    if (t < s) return;
    const weight = weightOf(source, s), v = (cellNorms.get(`${source},${s}`) ?? 0) * weight;
    if (!done || !weight) {
      if (T <= 24 && t > s) el("line", { class: "blank", x1: cellX(t), x2: cellX(t), y1: y, y2: y + CELL }, g);
      return;
    }
    const strength = v ? Math.max(0.08, 1 + Math.log10(v / largestCell) / 4) : 0;
    el("rect", { class: T <= 24 ? "part" : "", x: cellX(t), y, width: cellWidth(), height: CELL, fill: colourOf(source), "fill-opacity": strength.toFixed(2) }, g);
  });
}

/** The rows in view, and the sums below them. */
let drawnFor = "";
function drawSide() {
  if (T < 2) return;
  const [from, to] = view;
  const key = `${called()}${[...state.cuts]}${state.seed}`;
  for (let s = 0; s < T; s++) {
    const near = rowY[s] > from && rowY[s] < to;
    const there = `${key}|${columns.map((p) => +(arrival[D.tied.indexOf(p)](s) <= state.move))}`;
    if (!near) {
      rowEls.get(s)?.remove();
      rowEls.delete(s);
    } else if (rowEls.get(s)?.dataset.state !== there) {
      drawRow(s);
      rowEls.get(s).dataset.state = there;
    }
  }
}

/** What a parameter has so far, along the full gradient. */
function soFar(p) {
  const at = arrival[D.tied.indexOf(p)];
  let sum = 0;
  for (const cell of p.rows) if (at(cell.row) <= state.move) for (const [, x] of partsOf(cell)) sum += x;
  return sum;
}

function drawSums() {
  if (T < 2) return drawNorms();
  columns.forEach((p, n) => {
    const sum = soFar(p), zero = barAt(n) + p.zero;
    p.sumEl.setAttribute("x", zero + Math.min(0, sum) * p.scale);
    p.sumEl.setAttribute("width", Math.min(Math.abs(sum) * p.scale, barWidth + GAP - 4));
    let note = isBackward(state.move) ? `${p.norm ? ((100 * sum) / p.norm).toFixed(0) : 0} % of the gradient` : "";
    if (state.move === LAST && state.kind !== "full") {
      const off = angle(p);
      if (off > 0.05) note = `${((100 * sum) / p.norm).toFixed(0)} %, ${off.toFixed(0)}° off`;
    }
    p.noteEl.textContent = note;
  });
}
