// Everything that can be pressed, moved, pointed at or typed.

const still = matchMedia("(prefers-reduced-motion: reduce)");
const PACE = { forward: 380, backward: 1050 }; // from move to move while playing, in ms

// Moves -------------------------------------------------------------------------------------------

function go(move, animated = true) {
  state.move = Math.max(0, Math.min(LAST, move));
  show(animated && !still.matches);
}

function pause() {
  if (!state.playing) return;
  state.playing = false;
  clearTimeout(pause.timer);
  $("play").textContent = "▶ Play";
}

function play() {
  if (state.move === LAST) go(0, false);
  state.playing = true;
  $("play").textContent = "❚❚ Pause";
  const tick = () => {
    if (!state.playing) return;
    go(state.move + 1);
    if (state.move === LAST) return pause();
    const quick = T > 20 ? 0.3 : 1;
    pause.timer = setTimeout(tick, quick * PACE[isBackward(state.move) ? "backward" : "forward"]);
  };
  tick();
}

const step = (move, animated) => { pause(); go(move, animated); };
$("play").onclick = () => (state.playing ? pause() : play());
$("first").onclick = () => step(0, false);
$("back").onclick = () => step(state.move - 1, false);
$("next").onclick = () => step(state.move + 1);
$("last").onclick = () => step(LAST, false);
$("scrub").max = LAST;
$("scrub").addEventListener("input", (event) => step(+event.target.value, false));

// Strategies --------------------------------------------------------------------------------------

function buildChoices() {
  if (T < 2) return $("strategy").remove();
  KINDS.forEach((kind) => {
    const label = document.createElement("label");
    label.innerHTML = `<input type="radio" name="kind" value="${kind}"${chain || BY_LINKS.includes(kind) ? "" : " disabled"}><span>${LABELS[kind]}</span>`;
    label.firstChild.addEventListener("change", () => choose(kind));
    $("choices").append(label);
  });
  $("strategy").addEventListener("submit", (event) => event.preventDefault());
}

function choose(kind) {
  if (T < 2) kind = "full";
  state.kind = kind;
  state.k = Math.max(state.k, kind === "window" ? 0 : 1);
  const chosen = document.querySelector(`input[value="${kind}"]`);
  if (chosen) chosen.checked = true;
  buildSetting();
  renew();
}

function slider(id, name, low, high, value, step_, set) {
  const label = document.createElement("label");
  label.innerHTML = `<span>${name} = <output>${value}</output></span><input id="${id}" type="range" min="${low}" max="${high}" step="${step_}" value="${value}">`;
  label.querySelector("input").addEventListener("input", (event) => {
    set(+event.target.value);
    label.querySelector("output").textContent = event.target.value;
    renew();
  });
  $("setting").append(label);
}

function buildSetting() {
  if (T < 2) return;
  $("setting").replaceChildren();
  const { kind } = state;
  const most = chain ? T : T - 1;
  if (kind === "subsequence") slider("k", "<i>k</i>", 1, most, state.k, 1, (v) => (state.k = v));
  if (kind === "window") slider("k", "<i>k</i>", 0, T - 1, state.k, 1, (v) => (state.k = v));
  if (kind === "tbptt") {
    slider("k", "<i>k</i><sub>1</sub>", 1, T, state.k, 1, (v) => (state.k = v));
    slider("k2", "<i>k</i><sub>2</sub>", 1, T, Math.max(state.k, state.k2), 1, (v) => (state.k2 = v));
  }
  if (kind === "randomized") {
    if (chain) slider("keep", "π", 0.05, 1, state.keep, 0.05, (v) => (state.keep = v));
    const button = document.createElement("button");
    button.type = "button";
    button.id = "again";
    button.textContent = "Draw again";
    button.onclick = () => { state.seed++; renew(); };
    $("setting").append(button);
  }
}

/** Cut a link, or mend it; what was cut already stays cut. */
function cut(t) {
  if (state.kind !== "hand") state.cuts = new Set(BY_LINKS.includes(state.kind) ? strategy.links.flatMap((xi, s) => (xi === 0 ? [s] : [])) : []);
  if (state.cuts.has(t)) state.cuts.delete(t);
  else if (chain) state.cuts.add(t);
  else state.cuts = new Set([t]);
  choose("hand");
}

// Pointing and walking in the figure ----------------------------------------------------------------

const targets = [...shapeEls, ...hitEls.values()];
svg.addEventListener("pointerover", (event) => {
  const shape = event.target.closest("[data-shape]"), link = event.target.closest("[data-link]");
  state.pointed = shape ? +shape.dataset.shape : null;
  state.link = link ? +link.dataset.link : null;
  inspect();
});
svg.addEventListener("pointerleave", () => { state.pointed = state.link = null; inspect(); });
svg.addEventListener("click", (event) => press(event.target));
svg.addEventListener("focusin", (event) => {
  const { shape, link } = event.target.dataset;
  state.pointed = shape === undefined ? null : +shape;
  state.link = link === undefined ? null : +link;
  for (const target of targets) target.setAttribute("tabindex", target === event.target ? 0 : -1);
  inspect();
});
svg.addEventListener("focusout", () => { state.pointed = state.link = null; inspect(); });

function press(target) {
  const shape = target.closest("[data-shape]"), link = target.closest("[data-link]");
  if (link) return cut(links[link.dataset.link].t);
  if (!shape) return;
  const n = +shape.dataset.shape;
  state.picked = state.picked === n ? null : n;
  show(false);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** From one shape or link of the figure to the next one in a direction. */
function walk(from, [dx, dy]) {
  const middle = (element) => { const b = element.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; };
  const [x, y] = middle(from);
  let best = null, least = Infinity;
  for (const target of targets) {
    const [tx, ty] = middle(target), along = (tx - x) * dx + (ty - y) * dy, off = Math.abs((tx - x) * dy + (ty - y) * dx);
    const cost = along + 3 * off;
    if (target !== from && along > 1 && cost < least && tx) [best, least] = [target, cost];
  }
  best?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const at = event.target, key = event.key, inFigure = svg.contains(at);
  if (inFigure && ARROWS[key]) { event.preventDefault(); return walk(at, ARROWS[key]); }
  if (inFigure && key === "Enter") { event.preventDefault(); return press(at); }
  if (at.type === "range" || at.type === "radio") { if (key !== " ") return typed(key); }
  if (key === " ") { if (at.tagName === "BUTTON") return; event.preventDefault(); return state.playing ? pause() : play(); }
  if (key === "ArrowRight") return step(state.move + 1);
  if (key === "ArrowLeft") return step(state.move - 1, false);
  if (key === "Home") return step(0, false);
  if (key === "End") return step(LAST, false);
  typed(key);
});

function typed(key) {
  const kind = KINDS[key - 1];
  if (kind && T > 1 && (chain || BY_LINKS.includes(kind))) choose(kind);
  if ((key === "[" || key === "]") && ["subsequence", "window", "tbptt"].includes(state.kind)) {
    state.k = Math.max(state.kind === "window" ? 0 : 1, Math.min(T - (state.kind === "window"), state.k + (key === "]" ? 1 : -1)));
    choose(state.kind);
  }
}

$("theme").onclick = () => paint(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
