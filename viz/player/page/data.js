// The data of the file, and the reader of its numbers.
// Numbers are stored in blocks of 16-bit integers. A block has the exponent of its unit, in 64ths of
// an octave, and then its numbers in that unit.

const $ = (id) => document.getElementById(id);
const on = (target, event, act, options) => target.addEventListener(event, act, options);
const root = document.documentElement;
const D = JSON.parse($("data").textContent);
const T = D.T;
const chain = !D.why;
const stepOf = (row) => D.steps?.[row] ?? row + 1; // the number of a row's step

const letters = atob(D.pack);
const bytes = new Uint8Array(letters.length);
for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
const packed = new Int16Array(bytes.buffer); // little-endian, as every machine with a browser is

/** The numbers of one block. */
function block(place, count) {
  const unit = 2 ** (packed[place] / 64);
  const numbers = new Float64Array(count);
  for (let i = 0; i < count; i++) numbers[i] = unit * packed[place + 1 + i];
  return numbers;
}

const product = (numbers) => numbers.reduce((a, b) => a * b, 1);

/** The weight of a source at a row: M[t, s]. It is 1 for values that belong to no row. */
function weightOf(source, row) {
  if (source < 0) return 1;
  if (!chain) return source === strategy.source ? 1 : 0;
  return row == null || row < 0 ? 1 : strategy.M[D.sources[source].row][row];
}

// The contributions of a parameter's uses in each row: numbers by source, from the first source on.
for (const p of D.tied) {
  let { along, norms, uses } = p;
  p.size = product(p.s);
  p.rows = p.cells.map(([row, first, count]) => {
    const cell = { row, first, along: block(along, count), norms: block(norms, count), uses };
    along += 1 + count;
    norms += 1 + count;
    uses += count * (1 + p.size);
    return cell;
  });
  p.at = Object.fromEntries(p.rows.map((cell) => [cell.row, cell]));
}

// A shape: its kind k, its place at, its row r (or the first and the last of several), its name n, its
// shape s, its value v, its gradient g and, for a circle, its operations and its label.
const shapes = D.shapes.map(([k, x, y, size, r, n, s, v, g, ops, label]) => ({
  k, at: [x, y, ...(size || (k === "c" ? [24.5, 24.5] : [22.5, 22.5]))],
  r: r === -1 ? undefined : r, n: n === -1 ? undefined : n, s, v, g, ops, label,
}));

// A link: its ends e, its path w and, where a gradient flows, its norms by source, the row r that it
// reaches, the row u that it comes from, and the step t of a link between two steps.
const links = D.links.map(([from, to, path, x, y, first, count, place, r, u, t]) => ({
  e: [from, to], w: [path, x, y], r, u, t, flow: count && { first, norms: block(place, count) },
}));

const outOf = shapes.map(() => []);
const into = shapes.map(() => []);
links.forEach((link, i) => {
  outOf[link.e[0]].push(i);
  into[link.e[1]].push(i);
});
const largestFlow = Math.max(1e-30, ...links.flatMap((l) => (l.flow ? [Math.max(...l.flow.norms)] : [])));
