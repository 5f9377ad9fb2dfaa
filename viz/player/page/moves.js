// Moves: forward in the order of the tape, then backward. Move 0 is the initial state, the last move the final one.

const N = D.order.length;
const LAST = 2 * N + 1;
const forwardAt = {}, backwardAt = {};
D.order.forEach((circle, n) => {
  forwardAt[circle] = n + 1;
  backwardAt[circle] = 2 * N - n;
});

/** The circle of the current move; undefined at either end. */
function circleAt(move) {
  return move <= N ? D.order[move - 1] : D.order[2 * N - move];
}
const isBackward = (move) => move > N;

/** The circle of a link: the one that it leads into, or else the one that it comes from. */
const circleOf = (link) => (shapes[link.e[1]].k === "c" ? link.e[1] : link.e[0]);

/** The box of a circle's result, if it has one. */
const boxOf = (circle) => outOf[circle].map((i) => links[i].e[1]).find((n) => shapes[n].k === "b");
const madeBy = {};
for (const circle of D.order) {
  const box = boxOf(circle);
  if (box !== undefined) madeBy[box] = circle;
}

/** Whether a shape's value is known after the move. */
const isMade = (n, move) => move >= (forwardAt[n] ?? forwardAt[madeBy[n]] ?? 0);

/** Whether a gradient passes a link under the strategy. */
const isFlowing = ({ flow, r }) => flow?.norms.some((v, n) => v && weightOf(flow.first + n, r));

/** The moves after which a shape has received the gradients of its uses under the strategy. */
const arrivalsAt = (n) => outOf[n].filter((i) => isFlowing(links[i])).map((i) => backwardAt[circleOf(links[i])]);

/** The move after which the gradient of a shape's value is complete. A parameter's begins then. */
function reachedAt(n) {
  if (shapes[n].k === "p") return Math.min(...arrivalsAt(n));
  if (shapes[n].g && !outOf[n].length) return N + 1;
  const arrivals = arrivalsAt(n);
  return shapes[n].g && arrivals.length ? Math.max(...arrivals) : Infinity;
}

// The move after which a parameter has the contributions of its uses in a row.
for (const p of D.tied) {
  const at = {};
  for (const i of outOf[p.box] ?? []) {
    const row = links[i].u ?? -1;
    at[row] = Math.max(at[row] ?? 0, backwardAt[circleOf(links[i])]);
  }
  p.has = (row) => (at[row] ?? at[-1] ?? LAST) <= state.move;
}
