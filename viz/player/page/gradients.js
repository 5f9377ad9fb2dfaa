// Σ M[t, s] · the contribution of loss t at step s. A strategy changes only these sums.

/** A weighted sum of consecutive blocks. */
function weighed(size, place, count, weight, total = new Float64Array(size)) {
  for (let n = 0; n < count; n++) {
    const w = weight(n);
    if (w) block(place + n * (1 + size), size).forEach((x, i) => (total[i] += w * x));
  }
  return total;
}

/** The gradient of a shape's value under the strategy; null where there is none. */
function gradientOf(shape) {
  if (!shape.g) return null;
  const [first, count, rows, columns, place, row] = shape.g;
  return { rows, columns, numbers: weighed(rows * columns, place, count, (n) => weightOf(first + n, row)) };
}

/** The weight of a source without a strategy. */
const inFull = (source) => +(chain || source <= 0);

/** The gradient of a parameter, from the rows that it `has`; null where its arrays are not in the file. */
function parameterGradient(p, has = () => true, weigh = weightOf) {
  if (p.uses == null) return null;
  const total = new Float64Array(p.size);
  for (const { row, first, along, uses } of p.rows)
    if (has(row)) weighed(p.size, uses, along.length, (n) => weigh(first + n, row), total);
  return total;
}

const sumOf = (numbers) => numbers.reduce((sum, x) => sum + x, 0);
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));

/** The angle between the strategy's gradient and the full one, in degrees; null where not known. */
function angle(p) {
  p.whole ??= parameterGradient(p, undefined, inFull);
  const mine = p.whole && parameterGradient(p);
  if (!mine) return null;
  const lengths = norm(mine) * norm(p.whole);
  return lengths ? (Math.acos(Math.max(-1, Math.min(1, dot(mine, p.whole) / lengths))) * 180) / Math.PI : null;
}

/** The contribution of one row to a parameter, along the full gradient, by source. */
const partsOf = ({ row, first, along }, weigh = weightOf) => along.map((x, n) => x * weigh(first + n, row));

/** The sum of a parameter's contributions so far, along the full gradient. */
const soFar = (p) => sumOf(p.rows.map(({ row, sum }) => (p.has(row) ? sum : 0)));
