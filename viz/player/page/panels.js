// The panels below: what happens in this move, and the numbers of what is pointed at.

const [now, numbers, live] = ["now", "numbers", "live"].map($);

const stepOf = (circle) => (typeof shapes[circle].r === "number" && T > 1 ? `step ${shapes[circle].r + 1}` : shapes[circle].r?.length ? "the losses together" : "");
const nameOf = (n) => nameHTML(D.names[n]);

function line(left, sign, right, much = "", gone = false) {
  return `<span>${left}</span><span>${sign}</span><span${gone ? ' class="gone"' : ""}>${right}</span><span class="much">${much}</span>`;
}

function tell() {
  const circle = circleAt(state.move);
  if (circle === undefined) return state.move === 0 ? tellStart() : tellEnd();
  const back = isBackward(state.move), at = stepOf(circle);
  const title = (back ? "Backward" : "Forward") + (at ? `, ${at}` : "");
  const [template, names] = D.circles[D.order.indexOf(circle)], [forward, backward, more] = D.formulas[template];
  const set = (text) => formulaHTML(text, names);
  const lines = back
    ? backward.map(([to, sign, text]) => line(set(to), sign, set(text), ...howMuch(circle, to, names)))
    : forward.map(([to, text], n) => line((n ? '<span class="soft">where </span>' : "") + set(to), "=", set(text)));
  if (back && more) lines.push(line("", "", `<span class="soft">and ${more} more of the kind</span>`));
  now.innerHTML = `<h2>${title}</h2><div class="lines" tabindex="0" role="group" aria-label="Formulas">${lines.join("")}</div>`;
  const words = (text) => text.replace(/§(\d+)/g, (_, n) => nameText(D.names[names[n]])).replace(/[«»]/g, "");
  const told = back
    ? `the gradient goes to ${[...new Set(backward.map(([to]) => words(to).replace("∂", "")))].join(", ")}${more ? ` and ${more} more` : ""}`
    : `${words(forward[0][0])} is computed`;
  live.textContent = `${title}: ${told}.`;
}

/** Beside a line: the share of a parameter's gradient, or what the strategy does to the link. */
function howMuch(circle, to, names) {
  const [, n] = to.match(/§(\d+)/) ?? [];
  if (n === undefined) return [];
  const name = names[n], row = shapes[circle].r;
  const p = D.tied.find((q) => q.n === name);
  if (p && T > 1) {
    const cell = p.rows.find((r) => r.row === (typeof row === "number" ? row : -1));
    if (!cell || !p.norm) return [];
    const share = (100 * partsOf(cell).reduce((sum, [, x]) => sum + x, 0)) / p.norm;
    return [`${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(Math.abs(share) < 10 ? 1 : 0)} %`];
  }
  const link = into[circle].map((i) => links[i]).find((l) => l.t && shapes[l.e[0]].n === name && l.flow);
  if (!link) return [];
  const { first, norms } = link.flow;
  const all = Array.from(norms, (v, k) => [first + k, v]).filter(([source, v]) => v && weightOf(source, link.u));
  const ends = all.filter(([source]) => !weightOf(source, link.r));
  if (!isFlowing(link)) return ["cut", true];
  if (ends.length) return [`${ends.length === 1 ? `loss ${D.sources[ends[0][0]].row + 1} ends` : `${ends.length} losses end`} here`];
  const xi = strategy.links[link.t];
  return xi === 1 ? [] : [`times ξ = ${short(xi)}`];
}

function tellStart() {
  now.innerHTML = `<h2>Press play</h2><p>Forward, each circle computes a value from what leads to it, in the order of the tape; then back against the arrows.</p><p class="soft">${T > 1 ? "A strand is one loss, as wide as its gradient is large. A bar is what a step adds to a parameter; the bars add up to the gradient." : "A strand is as wide as the gradient that it sends back."}</p>`;
  live.textContent = "Before the first move.";
}

function tellEnd() {
  const lines = D.tied.slice(0, 6).map((p) => {
    const g = parameterGradient(p), value = g ? norm(g) : null;
    const mine = value == null ? (state.kind === "full" ? p.norm : null) : value;
    const size = `‖${fraction(nameOf(p.n))}‖`;
    const whole = state.kind === "full" ? "" : `<span class="soft">in full ${short(p.norm)}</span>`;
    return line(size, "=", `${mine == null ? "<span class='soft'>not in the file</span>" : short(mine)} ${whole}`);
  });
  const why = T > 1 ? `<p class="soft">A bar is what a step adds along the full gradient: ⟨·, ĝ⟩. So bars add up; the dashed outlines are the full gradient's.</p>` : "";
  now.innerHTML = `<h2>${T > 1 ? `${called()}: the gradients are complete` : "The gradients are complete"}</h2><div class="lines" tabindex="0" role="group" aria-label="Norms">${lines.join("")}</div>${why}`;
  live.textContent = `The gradients are complete: ${called()}.`;
}

// Numbers -----------------------------------------------------------------------------------------

/** The shape that the panel is about: pointed at, picked, or what the move makes. */
function subject() {
  const circle = circleAt(state.move);
  return state.pointed ?? state.picked ?? (circle === undefined ? null : boxOf(circle) ?? circle);
}

function valueHTML(v, caption = "value") {
  const inside = v ? heatHTML(block(v[0], v[1] * v[2]), v[1], v[2]) : `<p class="soft">not kept: no derivative needs it</p>`;
  return `<figure><figcaption>${caption}${v && v[1] * v[2] > 1 ? `, norm ${short(v[3])}` : ""}</figcaption>${inside}</figure>`;
}

function inspect() {
  const n = subject(), back = isBackward(state.move);
  if (state.link != null) return inspectLink(links[state.link]);
  if (n == null) return (numbers.innerHTML = `<h2>Numbers</h2><p class="soft">Point at a box, a circle or a parameter; a click keeps it here.</p>`);
  const shape = shapes[n];
  if (shape.k === "p") return (numbers.innerHTML = D.tied.filter((p) => p.box === n).map(parameterHTML).join("") || `<h2>${shape.n.map(nameOf).join(", ")}</h2><p class="soft">no gradient comes here</p>`);
  if (shape.k === "c" && shape.n === undefined) return (numbers.innerHTML = `<h2>A computation</h2><p>${escaped(D.operations[shape.ops])}.</p>`);
  const size = shape.s.length ? shape.s.join("×") : "one number";
  let maps = isMade(n, state.move) ? valueHTML(shape.v) : `<p class="soft">not computed yet</p>`;
  if (back) {
    const g = isReached(n, state.move) ? gradientOf(shape) : null;
    const said = shape.g ? (outOf[n].some((i) => links[i].flow && isFlowing(links[i])) || !outOf[n].length ? "not complete yet" : "nothing comes back here") : "none is asked for";
    const whole = g && g.rows * g.columns === shape.s.reduce((a, b) => a * b, 1);
    const scalar = whole && g.numbers.length === 1;
    maps += `<figure><figcaption>gradient${whole && !scalar ? `, norm ${short(norm(g.numbers))}` : ""}</figcaption>${g ? heatHTML(g.numbers, g.rows, g.columns) : `<p class="soft">${said}</p>`}</figure>`;
  }
  numbers.innerHTML = `<h2><span class="name">${nameOf(shape.n)}</span> <span class="soft">${size}</span></h2><div class="maps">${maps}</div>`;
}

function parameterHTML(p) {
  const at = arrival[D.tied.indexOf(p)], back = isBackward(state.move);
  const columns = p.s.at(-1) ?? 1, rows = p.size / columns;
  let maps = p.v ? valueHTML(p.v) : "";
  if (back) {
    const g = parameterGradient(p, (row) => at(row) <= state.move);
    if (g) maps += `<figure><figcaption>gradient so far, norm ${short(norm(g))}</figcaption>${heatHTML(g, rows, columns)}</figure>`;
    else maps += `<p class="soft">its gradient is too large for this file; in full its norm is ${short(p.norm)}</p>`;
  }
  return `<h2><span class="name">${nameOf(p.n)}</span> <span class="soft">${p.s.join("×") || "one number"}</span></h2><div class="maps">${maps || `<p class="soft">the tape does not keep its value: no derivative needs it</p>`}</div>`;
}

function inspectLink(link) {
  const { first, norms } = link.flow, rows = [];
  norms.forEach((v, n) => {
    const weight = weightOf(first + n, link.r);
    if (rows.length < 8 && v) rows.push(`<tr><th scope="row">${chain ? `loss ${D.sources[first + n]?.row + 1}` : called()}</th><td>${short(v)}</td><td class="soft">${weight === 1 ? "" : weight ? `times ${short(weight)}` : "does not reach it"}</td></tr>`);
  });
  numbers.innerHTML = `<h2>The link from step ${link.t} to step ${link.t + 1}</h2><p>How much of each loss comes back here, as a norm:</p><table class="flows">${rows.join("")}</table>${norms.length > 8 ? `<p class="soft">and ${norms.length - 8} later losses</p>` : ""}`;
}
