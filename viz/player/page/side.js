// The side of the figure, in the same rows: which loss reaches which step, and each step's contribution.

const narrow = innerWidth < 600;
const LEFT = 20, CELL = 17; // the space before the first column; the height of a row's bars
const columns = chooseColumns();
const matrixWidth = chain && T > 1 ? Math.max(66, Math.min(T * 11, narrow ? 80 : 108)) : 0;
const barWidth = Math.max(54, Math.min(112, (narrow ? 190 : 300) / columns.length));
const GAP = narrow ? 14 : 22;
const sideWidth = T > 1 ? LEFT + (matrixWidth ? matrixWidth + GAP : 0) + columns.length * (barWidth + GAP) : 190;
const HEAD = 26, FOOT = 44;

/** The parameters that have a column: all of them, or those with the largest gradients if there are many. */
function chooseColumns() {
  const most = T > 1 ? 6 : 10;
  if (D.tied.length <= most) return D.tied;
  const largest = [...D.tied].sort((a, b) => b.norm - a.norm).slice(0, most);
  return D.tied.filter((p) => largest.includes(p));
}

const barAt = (n) => LEFT + (matrixWidth ? matrixWidth + GAP : 0) + n * (barWidth + GAP);
const sideHeight = T > 1 ? HEIGHT : 16 + columns.length * 22;
const side = el("svg", { viewBox: `0 0 ${sideWidth} ${sideHeight}`, role: "img", "aria-label": "what each step adds to the gradients" });
const head = el("svg", { class: "side-head", viewBox: `0 0 ${sideWidth} ${HEAD}`, "aria-hidden": true });
const foot = el("svg", { class: "side-foot", viewBox: `0 0 ${sideWidth} ${FOOT}`, role: "img", "aria-label": "the sums of the bars" });
const rowEls = new Map();

/** The range of a column's bars under all strategies. */
for (const p of columns) {
  let low = 0, high = p.norm, sum = 0, left = 0, right = 1e-30;
  for (const cell of [...p.rows].reverse()) {
    const parts = partsOf(cell, inFull);
    cell.full = sumOf(parts);
    sum += cell.full;
    [low, high] = [Math.min(low, sum), Math.max(high, sum)];
    left = Math.min(left, sumOf(parts.map((x) => Math.min(x, 0))));
    right = Math.max(right, sumOf(parts.map((x) => Math.max(x, 0))));
  }
  // With many steps each contribution is small. It is drawn enlarged; a text above says so.
  p.zoom = T > 1 ? [50, 20, 10, 5].find((zoom) => zoom * (right - left) < high - low) ?? 1 : 1;
  low = Math.min(low, left * p.zoom);
  high = Math.max(high, right * p.zoom);
  p.scale = barWidth / (1.08 * (high - low) || 1);
  p.zero = -low * p.scale;
}

// The size of a loss's contribution to the cell's weights in a row, for the shading of the matrix.
// The cell's weights are those that most losses reach in most rows.
const reach = (p) => p.rows.reduce((n, cell) => n + cell.along.length, 0);
const cellParameter = D.tied.reduce((a, b) => (reach(b) > reach(a) ? b : a), D.tied[0]);
const cellNorms = Array.from({ length: T }, () => []);
for (const p of D.tied.filter((q) => T > 1 && q.box === cellParameter.box))
  for (const { row, first, norms } of p.rows)
    norms.forEach((v, n) => row >= 0 && (cellNorms[row][first + n] = Math.hypot(v, cellNorms[row][first + n] ?? 0)));
const largestCell = Math.max(1e-30, ...cellNorms.flat());

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
        el("tspan", { dy: 1.6, "font-size": 4.8 }, text).textContent = stepOf(row);
      });
    legend(foot, LEFT, 12);
  }
  columns.forEach((p, n) => {
    const x = barAt(n);
    nameSVG([[["∂", 0], ["L", ITALIC], ["/∂", 0], ...D.names[p.n]]], x + barWidth / 2, 10, 9, head);
    if (p.zoom > 1) label(head, `${barWidth < 80 ? "steps" : "each step drawn"} ${p.zoom} ×`, x + barWidth / 2, 22);
    el("line", { class: "axis", x1: x + p.zero, x2: x + p.zero, y1: 0, y2: bottomY }, side);
    el("line", { class: "axis", x1: x + p.zero, x2: x + p.zero, y1: 0, y2: 28 }, foot);
    rect("ghost", x + p.zero, 7, p.norm * p.scale, CELL, foot);
    p.sumEl = rect("sum", x + p.zero, 7, 0, CELL, foot);
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
    p.length = (80 * p.norm) / largest;
    rect("ghost", x, y, p.length, CELL, side);
    p.sumEl = rect("sum", x, y, 0, CELL, side);
    p.noteEl = label(side, "", x + p.length + 5, y + 11, "start");
  });
}

function drawNorms() {
  for (const p of columns) {
    p.sumEl.setAttribute("width", p.has(0) ? p.length : 0);
    p.noteEl.textContent = p.has(0) ? short(p.norm) : "";
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
  const g = el("g", {}, side), y = rowY[s] - CELL / 2;
  if (matrixWidth) drawCells(g, s, y);
  columns.forEach((p, n) => {
    const cell = p.at[s], zero = barAt(n) + p.zero, scale = p.scale * p.zoom;
    if (!cell) return;
    const { full } = cell;
    rect("ghost", zero + Math.min(0, full) * scale, y, Math.abs(full) * scale, CELL, g);
    if (!p.has(s)) return;
    let right = 0, left = 0, pending = 0;
    partsOf(cell).forEach((x, i, parts) => {
      pending += x;
      const width = Math.abs(pending) * scale;
      if (width < 0.5 && i < parts.length - 1) return; // too thin to be visible alone
      const from = pending > 0 ? right : left + pending;
      pending > 0 ? (right += pending) : (left += pending);
      rect(width > 2 ? "part" : "", (zero + from * scale).toFixed(2), y, width.toFixed(2), CELL, g, { fill: colourOf(cell.first + i) });
      pending = 0;
    });
  });
  return g;
}

function drawCells(g, s, y) {
  const done = cellParameter.has(s);
  rect("blank", cellX(s), y, (T - s) * cellWidth(), CELL, g);
  const every = Math.ceil(1.6 / cellWidth()); // with very many losses, some represent their neighbours
  D.sources.forEach(({ row: t }, source) => {
    if (t < s || source % every) return;
    const weight = weightOf(source, s), v = (cellNorms[s][source] ?? 0) * weight;
    if (!done || !weight) {
      if (T <= 24 && t > s) el("line", { class: "blank", x1: cellX(t), x2: cellX(t), y1: y, y2: y + CELL }, g);
      return;
    }
    const strength = v ? Math.max(0.08, 1 + Math.log10(v / largestCell) / 4) : 0;
    rect(T <= 24 ? "part" : "", cellX(t), y, Math.min(every, T - t) * cellWidth(), CELL, g, { fill: colourOf(source), "fill-opacity": strength.toFixed(2) });
  });
}

/** Draw the rows in view, again whenever their parameters have received more. */
function drawSide() {
  if (T < 2) return;
  rowY.forEach((y, s) => {
    const near = inView([y, y]), got = near && columns.map((p) => p.has(s)).join();
    keep(rowEls, s, near && rowEls.get(s)?.got === got, drawRow);
    if (near) keep(rowEls, s, true, drawRow).got = got;
  });
}

function drawSums() {
  if (T < 2) return drawNorms();
  columns.forEach((p, n) => {
    const sum = soFar(p), zero = barAt(n) + p.zero;
    p.sumEl.setAttribute("x", zero + Math.min(0, sum) * p.scale);
    p.sumEl.setAttribute("width", Math.min(Math.abs(sum) * p.scale, barWidth + GAP - 4));
    const share = `${p.norm ? ((100 * sum) / p.norm).toFixed(0) : 0} %`, off = state.move === LAST && state.kind !== "full" && angle(p);
    let note = barWidth < 80 ? share : `${share} of the gradient`;
    if (off > 0.05) note = `${share}, ${off.toFixed(0)}° off`;
    if (!isBackward(state.move)) note = "";
    p.noteEl.textContent = note;
  });
}
