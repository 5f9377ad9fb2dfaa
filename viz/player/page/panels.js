// The panels below the figure: the current move, and the numbers of the selected shape.

const [now, numbers, live] = ["now", "numbers", "live"].map($);

const whereIs = ({ r }) => (typeof r === "number" && T > 1 ? `step ${stepOf(r)}` : r?.length ? "the losses together" : "");
const nameOf = (n) => nameHTML(D.names[n]);

const soft = (text) => `<span class="soft">${text}</span>`;
const heading = (name, size) => `<h2><span class="name">${nameOf(name)}</span> ${soft(size.join("×") || "one number")}</h2>`;
const figure = (caption, inside, size) => `<figure><figcaption>${caption}${size == null ? "" : `, norm ${short(size)}`}</figcaption>${inside}</figure>`;
const lossOf = (source) => (chain ? `loss ${stepOf(D.sources[source]?.row)}` : called());

const line = (left, sign, right, much = "", gone = false) => `<span>${left}</span><span>${sign}</span><span${gone ? ' class="gone"' : ""}>${right}</span><span class="much">${much}</span>`;
const lined = (title, lines, after = "") => (now.innerHTML = `<h2>${title}</h2><div class="lines" tabindex="0" role="group" aria-label="Formulas">${lines.join("")}</div>${after}`);

function tell() {
  const circle = circleAt(state.move);
  if (circle === undefined) return state.move === 0 ? tellStart() : tellEnd();
  const back = isBackward(state.move), at = whereIs(shapes[circle]);
  const title = (back ? "Backward" : "Forward") + (at ? `, ${at}` : "");
  const [template, names] = D.circles[D.order.indexOf(circle)], [forward, backward, more] = D.formulas[template];
  const set = (text) => formulaHTML(text, names);
  const lines = back
    ? backward.map(([to, sign, text]) => line(set(to), sign, set(text), ...howMuch(circle, to, names)))
    : forward.map(([to, text], n) => line((n ? soft("where ") : "") + set(to), "=", set(text)));
  if (back && more) lines.push(line("", "", soft(`and ${more} more of the kind`)));
  lined(title, lines);
  const words = (text) => text.replace(/§(\d+)/g, (_, n) => nameText(D.names[names[n]])).replace(/[«»]/g, "");
  const told = back
    ? `the gradient goes to ${[...new Set(backward.map(([to]) => words(to).replace("∂", "")))].join(", ")}${more ? ` and ${more} more` : ""}`
    : `${words(forward[0][0])} is computed`;
  live.textContent = `${title}: ${told}.`;
}

/** The remark beside a line: the contribution to a parameter's gradient, or the strategy's effect on the link. */
function howMuch(circle, to, names) {
  const [, n] = to.match(/§(\d+)/) ?? [];
  if (n === undefined) return [];
  const name = names[n], row = shapes[circle].r;
  const p = D.tied.find((q) => q.n === name);
  if (p && T > 1) {
    const cell = p.at[typeof row === "number" ? row : -1];
    if (!cell || !p.norm) return [];
    const share = (100 * cell.sum) / p.norm;
    return [`${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(Math.abs(share) < 10 ? 1 : 0)} %`];
  }
  const link = into[circle].map((i) => links[i]).find((l) => l.t && shapes[l.e[0]].n === name && l.flow);
  if (!link) return [];
  const { first, norms } = link.flow;
  const all = Array.from(norms, (v, k) => [first + k, v]).filter(([source, v]) => v && weightOf(source, link.u));
  const ends = all.filter(([source]) => !weightOf(source, link.r));
  if (!isFlowing(link)) return ["cut", true];
  if (ends.length) return [`${ends.length === 1 ? `${lossOf(ends[0][0])} ends` : `${ends.length} losses end`} here`];
  const xi = strategy.links[link.t];
  return xi === 1 ? [] : [`times ξ = ${short(xi)}`];
}

function tellStart() {
  now.innerHTML = `<h2>Press play</h2><p>Forward, each circle computes a value from what leads to it, in the order of the tape; then back against the arrows.</p><p>${soft(T > 1 ? "A strand is one loss, as wide as its gradient is large. A bar is what a step adds to a parameter; the bars add up to the gradient." : "A strand is as wide as the gradient that it sends back.")}</p>`;
  live.textContent = "Before the first move.";
}

function tellEnd() {
  const lines = D.tied.slice(0, 6).map((p) => {
    const g = parameterGradient(p), full = state.kind === "full", mine = g ? short(norm(g)) : full ? short(p.norm) : soft("not in the file");
    return line(`‖${fraction(nameOf(p.n))}‖`, "=", `${mine} ${full ? "" : soft(`in full ${short(p.norm)}`)}`);
  });
  const title = `${T > 1 ? `${called()}: the` : "The"} gradients are complete`;
  lined(title, lines, T > 1 ? `<p>${soft("A bar is what a step adds along the full gradient: ⟨·, ĝ⟩. So bars add up; the dashed outlines are the full gradient's.")}</p>` : "");
  live.textContent = `${title}.`;
}

// Numbers -----------------------------------------------------------------------------------------

/** The shape of the panel: the one pointed at, the selected one, or the result of the move. */
function subject() {
  const circle = circleAt(state.move);
  return state.pointed ?? state.picked ?? (circle === undefined ? null : boxOf(circle) ?? circle);
}

function valueHTML(v) {
  if (!v) return figure("value", soft("not kept: no derivative needs it"));
  const [place, rows, columns, size] = v;
  return figure("value", heatHTML(block(place, rows * columns), rows, columns), rows * columns > 1 ? size : null);
}

function inspect() {
  const n = subject(), back = isBackward(state.move);
  if (state.link != null) return inspectLink(links[state.link]);
  if (n == null) return (numbers.innerHTML = `<h2>Numbers</h2>${soft("Point at a box, a circle or a parameter; a click keeps it here.")}`);
  const shape = shapes[n];
  if (shape.k === "p") return (numbers.innerHTML = D.tied.filter((p) => p.box === n).map(parameterHTML).join("") || `<h2>${shape.n.map(nameOf).join(", ")}</h2>${soft("no gradient comes here")}`);
  if (shape.k === "c" && shape.n === undefined) return (numbers.innerHTML = `<h2>A computation</h2><p>${escaped(D.operations[shape.ops])}.</p>`);
  let maps = isMade(n, state.move) ? valueHTML(shape.v) : soft("not computed yet");
  if (back) {
    const g = shape.reached <= state.move ? gradientOf(shape) : null;
    const said = !shape.g ? "none is asked for" : shape.reached < Infinity ? "not complete yet" : "nothing comes back here";
    const size = g?.numbers.length, whole = size > 1 && size === product(shape.s);
    maps += figure("gradient", g ? heatHTML(g.numbers, g.rows, g.columns) : soft(said), whole ? norm(g.numbers) : null);
  }
  numbers.innerHTML = `${heading(shape.n, shape.s)}<div class="maps">${maps}</div>`;
}

function parameterHTML(p) {
  const columns = p.s.at(-1) ?? 1, g = isBackward(state.move) && parameterGradient(p, p.has);
  let maps = valueHTML(p.v);
  if (g) maps += figure("gradient so far", heatHTML(g, p.size / columns, columns), norm(g));
  else if (g === null) maps += soft(`its gradient is too large for this file; in full its norm is ${short(p.norm)}`);
  return `${heading(p.n, p.s)}<div class="maps">${maps}</div>`;
}

function inspectLink(link) {
  const { first, norms } = link.flow, rows = [];
  norms.forEach((v, n) => {
    const weight = weightOf(first + n, link.r);
    if (rows.length < 8 && v) rows.push(`<tr><th scope="row">${lossOf(first + n)}</th><td>${short(v)}</td><td class="soft">${weight === 1 ? "" : weight ? `times ${short(weight)}` : "does not reach it"}</td></tr>`);
  });
  numbers.innerHTML = `<h2>${linkOf(link).replace("t", "T")}</h2><p>How much of each loss comes back here, as a norm:</p><table class="flows">${rows.join("")}</table>${norms.length > 8 ? soft(`and ${norms.length - 8} later losses`) : ""}`;
}
