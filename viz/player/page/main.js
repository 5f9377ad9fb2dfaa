// The page: its layout, and its update after every move and every choice.

/** The scrolled element: figure and side together or, if they are stacked, the figure alone. It is
 *  measured only when the page is laid out or scrolled, because measuring costs a layout. */
const scroll = { frame: $("stage"), scale: 1, beside: 1, at: [0, 0], seen: [0, 0], most: [0, 0] };

/** Fit figure and side to the window: side by side or, where that is too small to read, stacked. */
function arrange() {
  const room = $("stage").parentElement.clientWidth - 14;
  const together = WIDTH + sideWidth + 12;
  const stacked = room / together < 1.08;
  $("stage").classList.toggle("stacked", stacked);
  $("stage").classList.toggle("tall", tall);
  const least = stacked ? 0.9 : 0.8;
  const fitting = Math.max(tall ? 1.3 : 1.1, (0.62 * innerHeight) / (HEIGHT + HEAD)); // the whole figure in view, if it stays readable
  const scale = Math.max(least, Math.min(1.75, fitting, room / (stacked ? WIDTH : together)));
  size(svg, WIDTH, HEIGHT, scale);
  const beside = stacked ? Math.max(0.9, Math.min(1.5, room / sideWidth)) : scale;
  size(head, sideWidth, HEAD, beside);
  size(side, sideWidth, sideHeight, beside);
  size(foot, sideWidth, T > 1 ? FOOT : 0, beside);
  $("side").style.marginLeft = stacked ? 0 : `${12 * scale}px`;
  // The sums stand beside the parameters, in the last row.
  $("figure").style.paddingTop = stacked ? 0 : `${HEAD * beside}px`;
  foot.style.marginTop = T > 1 ? `${-(HEIGHT - bottomY + 16) * beside}px` : 0;
  const frame = $(stacked ? "figure" : "stage");
  const seen = [frame.clientWidth, frame.clientHeight], at = [frame.scrollLeft, frame.scrollTop];
  Object.assign(scroll, { frame, scale, beside, seen, at, bars: $("side").clientHeight, most: [frame.scrollWidth - seen[0], frame.scrollHeight - seen[1]] });
}

function size(picture, width, height, scale) {
  picture.style.width = `${width * scale}px`;
  picture.style.height = `${height * scale}px`;
}

/** Scroll to the circle of the move. */
function follow(animated) {
  const { frame, scale, seen, most, at } = scroll, circle = circleAt(state.move);
  const middle = circle === undefined ? [0, state.move ? rowY[T - 1] : bottomY] : shapes[circle].at;
  const [left, top] = at.map((from, n) => {
    const wanted = scale * middle[n], share = (wanted - from) / seen[n];
    return share > 0.25 && share < 0.7 ? from : Math.max(0, Math.min(most[n], wanted - seen[n] / 2));
  });
  if (left === at[0] && top === at[1]) return;
  const smooth = animated && !state.playing;
  frame.scrollTo({ left, top, behavior: smooth ? "smooth" : "instant" });
  if (!smooth) lookAt([left, top]);
}

/** The visible part of the figure, and a little more. */
function lookAt(at) {
  scroll.at = at;
  if (!tall) return;
  const { frame, scale, beside, seen } = scroll, top = at[1], from = top / scale - HEAD;
  view = [from - 60, from + seen[1] / scale + 60];
  // The row in the middle of the figure stands in the middle of the bars, too.
  const middle = (top + seen[1] / 2) / scale;
  if (frame === $("figure")) $("side").scrollTop = middle * beside - (scroll.bars - (HEAD + FOOT) * beside) / 2;
}

function show(animated) {
  follow(animated);
  drawFigure(animated);
  drawSide();
  drawSums();
  tell();
  inspect();
  $("scrub").value = state.move;
  const circle = circleAt(state.move);
  const where = circle === undefined ? (state.move ? "done" : "before") : isBackward(state.move) ? `backward ${state.move - N} of ${N}` : `forward ${state.move} of ${N}`;
  $("where").textContent = where;
  $("scrub").setAttribute("aria-valuetext", where);
  clearTimeout(show.later);
  show.later = setTimeout(writeAddress, 120);
}

/** After a change of strategy: update everything that depends on M. */
function renew() {
  renewStrategy();
  [strandEls, markEls, rowEls].forEach(forget);
  shapes.forEach((shape, n) => (shape.reached = reachedAt(n)));
  for (const p of D.tied) for (const cell of p.rows) cell.sum = sumOf(partsOf(cell));
  if (T > 1) {
    $("says").textContent = inWords();
    showSetting();
  }
  show(false);
}

$("figure").append(svg);
$("side").append(head, side, foot);
paint(readAddress(location.href) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
buildChoices();
buildSide();
arrange();
lookAt(scroll.at);
choose(state.kind);

let waiting = false;
for (const frame of [$("stage"), $("figure"), window])
  on(frame, "scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      lookAt([scroll.frame.scrollLeft, scroll.frame.scrollTop]);
      drawFigure();
      drawSide();
    });
  }, { passive: true });
on(window, "resize", () => { arrange(); lookAt(scroll.at); show(false); });
on(window, "hashchange", (event) => { readAddress(event.newURL); choose(state.kind); });

/** An interface for other programs, such as the tests. */
window.player = { D, state, strategy, choose, cut, savedSVG, parameterGradient, soFar, last: LAST, go: (move) => step(move, false) };
document.body.dataset.ready = LAST;
