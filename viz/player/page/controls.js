// Controls: buttons, sliders, pointer and keyboard.

const still = matchMedia("(prefers-reduced-motion: reduce)");
const PACE = { forward: 380, backward: 1050 }; // time between moves while playing, in ms

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
on($("scrub"), "input", (event) => step(+event.target.value, false));

// Strategies --------------------------------------------------------------------------------------

function buildChoices() {
  if (T < 2) return ["strategy", "timed"].forEach((id) => $(id).remove());
  $("choices").innerHTML = KINDS.map((kind) => `<label><input type="radio" name="kind" value="${kind}"${offered(kind) ? "" : " disabled"}><span>${LABELS[kind]}</span></label>`).join("");
  on($("choices"), "change", (event) => choose(event.target.value));
}

function choose(kind) {
  state.kind = offered(kind) ? kind : "full";
  state.k = Math.max(least(kind), Math.min(most(kind), state.k));
  const chosen = document.querySelector(`input[value="${state.kind}"]`);
  if (chosen) chosen.checked = true;
  buildSetting();
  renew();
}

const slider = (key, name, low, high, step = 1) => `<label><span>${name} = <output></output></span><input id="${key}" type="range" min="${low}" max="${high}" step="${step}"></label>`;

function buildSetting() {
  if (T < 2) return;
  const { kind } = state, k = (key, index) => slider(key, `<i>k</i>${index}`, least(kind), most(kind));
  let inside = BY_LENGTH.includes(kind) ? k("k", kind === "tbptt" ? "<sub>1</sub>" : "") : "";
  if (kind === "tbptt") inside += k("k2", "<sub>2</sub>");
  if (kind === "randomized") inside = `${chain ? slider("keep", "π", 0.05, 1, 0.05) : ""}<button id="again">Draw again</button>`;
  $("setting").innerHTML = inside;
}
on($("setting"), "input", ({ target }) => { state[target.id] = +target.value; renew(); });
on($("setting"), "click", ({ target }) => { if (target.id === "again") { state.seed++; renew(); } });

function showSetting() {
  for (const input of $("setting").querySelectorAll("input")) input.value = input.parentElement.querySelector("output").textContent = state[input.id];
}

/** Cut a link, or restore it. In a chain, other cut links stay cut. */
function cut(t) {
  if (state.kind !== "hand") state.cuts = new Set(BY_LINKS.includes(state.kind) ? strategy.links.flatMap((xi, s) => (xi === 0 ? [s] : [])) : []);
  if (state.cuts.has(t)) state.cuts.delete(t);
  else if (chain) state.cuts.add(t);
  else state.cuts = new Set([t]);
  choose("hand");
}

// Pointing and walking in the figure ----------------------------------------------------------------

on(svg, "pointerover", (event) => {
  const shape = event.target.closest("[data-shape]"), link = event.target.closest("[data-link]");
  state.pointed = shape ? +shape.dataset.shape : null;
  state.link = link ? +link.dataset.link : null;
  inspect();
});
on(svg, "pointerleave", () => { state.pointed = state.link = null; inspect(); });
on(svg, "click", (event) => press(event.target));
on(svg, "focusin", (event) => {
  const { shape, link } = event.target.dataset;
  state.pointed = shape === undefined ? null : +shape;
  state.link = link === undefined ? null : +link;
  svg.querySelector('[tabindex="0"]')?.setAttribute("tabindex", -1);
  event.target.setAttribute("tabindex", 0);
  inspect();
});
on(svg, "focusout", () => { state.pointed = state.link = null; inspect(); });

function press(target) {
  const shape = target.closest("[data-shape]"), link = target.closest("[data-link]");
  if (link) return cut(links[link.dataset.link].t);
  if (!shape) return;
  const n = +shape.dataset.shape;
  state.picked = state.picked === n ? null : n;
  show(false);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Go from one shape or link of the figure to the next one in a direction. */
function walk(from, [dx, dy]) {
  const middle = (element) => { const b = element.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; };
  const [x, y] = middle(from);
  let best = null, least = Infinity;
  for (const target of [...shapeEls.values(), ...hitEls.values()]) {
    const [tx, ty] = middle(target), along = (tx - x) * dx + (ty - y) * dy, off = Math.abs((tx - x) * dy + (ty - y) * dx);
    const cost = along + 3 * off;
    if (target !== from && along > 1 && cost < least && tx) [best, least] = [target, cost];
  }
  best?.focus();
}

on(document, "keydown", (event) => {
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
  if (offered(KINDS[key - 1])) choose(KINDS[key - 1]);
  if ("[]".includes(key) && BY_LENGTH.includes(state.kind)) {
    state.k += key === "]" ? 1 : -1;
    choose(state.kind);
  }
}

$("theme").onclick = () => paint(root.dataset.theme === "dark" ? "light" : "dark");
