// Σ M[t, s] · what loss t sends through step s: all that a strategy changes.

/** The gradient of a shape's value under the strategy; null where there is none. */
function gradientOf(shape) {
  if (!shape.g) return null;
  const [first, count, rows, columns, place, row] = shape.g;
  const size = rows * columns;
  const total = new Float64Array(size);
  for (let n = 0; n < count; n++) {
    const weight = weightOf(first + n, row);
    if (!weight) continue;
    const numbers = block(place + n * (1 + size), size);
    for (let i = 0; i < size; i++) total[i] += weight * numbers[i];
  }
  return { rows, columns, numbers: total };
}

/** The gradient of a parameter, of the rows that `has` says; null where its arrays are not in the file. */
function parameterGradient(p, has = () => true, full = false) {
  if (p.uses == null) return null;
  const total = new Float64Array(p.size);
  for (const cell of p.rows) {
    if (!has(cell.row)) continue;
    for (let n = 0; n < cell.along.length; n++) {
      const weight = full ? +(chain || cell.first + n <= 0) : weightOf(cell.first + n, cell.row);
      if (!weight) continue;
      const numbers = block(cell.uses + n * (1 + p.size), p.size);
      for (let i = 0; i < p.size; i++) total[i] += weight * numbers[i];
    }
  }
  return total;
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));

/** Between the gradient under the strategy and the full one, in degrees; null where not known. */
function angle(p) {
  p.whole ??= parameterGradient(p, undefined, true);
  const mine = p.whole && parameterGradient(p);
  if (!mine) return null;
  const lengths = norm(mine) * norm(p.whole);
  return lengths ? (Math.acos(Math.max(-1, Math.min(1, dot(mine, p.whole) / lengths))) * 180) / Math.PI : null;
}

/** What one row adds to a parameter, along the full gradient, by source. */
function partsOf(cell, full = false) {
  return Array.from(cell.along, (x, n) => [cell.first + n, x * (full ? +(chain || cell.first + n <= 0) : weightOf(cell.first + n, cell.row))]);
}
