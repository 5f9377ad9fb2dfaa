// Put together: the page is laid out, and drawn anew after every move and every choice.

/** What scrolls: both parts together, or, one above the other, the figure alone. */
const scroller = () => ($("stage").classList.contains("stacked") ? $("figure") : $("stage"));

/** As large as there is room for: beside one another, or, where that is too small to read, stacked. */
function arrange() {
  const room = $("stage").parentElement.clientWidth - 14;
  const together = WIDTH + sideWidth + 12;
  const stacked = room / together < 1.08;
  $("stage").classList.toggle("stacked", stacked);
  $("stage").classList.toggle("tall", tall);
  const least = stacked ? 0.9 : 0.8;
  const fitting = Math.max(1.3, (0.62 * innerHeight) / HEIGHT); // all of it in view, if that can be read
  const scale = Math.max(least, Math.min(1.75, fitting, room / (stacked ? WIDTH : together)));
  size(svg, WIDTH, HEIGHT, scale);
  $("figure").scale = $("stage").scale = scale;
  const beside = stacked ? Math.max(0.9, Math.min(1.5, room / sideWidth)) : scale;
  size(head, sideWidth, HEAD, beside);
  size(side, sideWidth, sideHeight, beside);
  size(foot, sideWidth, T > 1 ? FOOT : 0, beside);
  $("side").style.marginLeft = stacked ? 0 : `${12 * scale}px`;
  // The sums stand beside the parameters, in the last row.
  $("figure").style.paddingTop = stacked ? 0 : `${HEAD * beside}px`;
  foot.style.marginTop = T > 1 ? `${-(HEIGHT - bottomY + 16) * beside}px` : 0;
}

function size(picture, width, height, scale) {
  picture.style.width = `${width * scale}px`;
  picture.style.height = `${height * scale}px`;
}

/** Bring the circle of the move into view. */
function follow(animated) {
  const circle = circleAt(state.move), frame = scroller();
  if (frame.scrollHeight <= frame.clientHeight + 2) return;
  const y = circle === undefined ? (state.move === 0 ? bottomY : rowY[T - 1]) : shapes[circle].at[1];
  const at = y * frame.scale, high = frame.clientHeight;
  if (at > frame.scrollTop + 0.25 * high && at < frame.scrollTop + 0.7 * high) return;
  frame.scrollTo({ top: at - 0.5 * high, behavior: animated && !state.playing ? "smooth" : "instant" });
}

/** One above the other, the bars show the rows that the figure shows. */
function keepAbreast() {
  if (scroller() === $("figure")) $("side").scrollTop = ($("figure").scrollTop * side.clientHeight) / svg.clientHeight;
}

function show(animated) {
  follow(animated);
  lookAt();
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

/** After another strategy: everything that M weighs. */
function renew() {
  renewStrategy();
  forgetStrands();
  drawMarks();
  if (T > 1) $("says").textContent = inWords();
  show(false);
}

$("figure").append(svg);
$("side").append(head, side, foot);
paint(readAddress(location.href) ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
buildChoices();
buildSide();
arrange();
targets[0]?.setAttribute("tabindex", 0);
choose(state.kind);

let waiting = false;
for (const frame of [$("stage"), $("figure"), window])
  frame.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      lookAt();
      if (tall) keepAbreast();
      drawInView();
      drawSide();
    });
  }, { passive: true });
addEventListener("resize", () => { arrange(); show(false); });
addEventListener("hashchange", (event) => { readAddress(event.newURL); choose(state.kind); });

/** For whoever looks in from outside, such as the tests. */
window.player = { D, state, strategy, choose, cut, savedSVG, parameterGradient, soFar, last: LAST, go: (move) => step(move, false) };
document.body.dataset.ready = LAST;
