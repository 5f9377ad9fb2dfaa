// Typesetting of names, formulas and numbers, in HTML and in SVG.

const SVG = "http://www.w3.org/2000/svg";
function el(name, attributes = {}, parent = null) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  parent?.append(made);
  return made;
}
const rect = (name, x, y, width, height, parent, more) => el("rect", { class: name, x, y, width, height, ...more }, parent);
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const BOLD = 1, ITALIC = 2, SUBSCRIPT = 4, SUPERSCRIPT = 8;

/** A name as HTML. */
function nameHTML(runs) {
  return runs.map(([text, style]) => {
    let html = escaped(text);
    if (style & BOLD) html = `<b>${html}</b>`;
    if (style & ITALIC) html = `<i>${html}</i>`;
    return style & SUBSCRIPT ? `<sub>${html}</sub>` : style & SUPERSCRIPT ? `<sup>${html}</sup>` : html;
  }).join("");
}
const nameText = (runs) => runs.map(([text]) => text).join("");

/** Names in SVG, centred at (x, y). */
function nameSVG(lines, x, y, size, parent, attributes = {}) {
  lines.forEach((runs, n) => {
    const middle = y + (n - (lines.length - 1) / 2) * size * 1.45;
    const text = el("text", { x, y: (middle + 0.33 * size).toFixed(1), "font-size": size, ...attributes }, parent);
    let level = 0;
    for (const [letters, style] of runs) {
      const span = el("tspan", {}, text);
      const wanted = style & SUBSCRIPT ? 0.26 : style & SUPERSCRIPT ? -0.38 : 0;
      if (wanted !== level) span.setAttribute("dy", ((wanted - level) * size).toFixed(2));
      if (wanted) span.setAttribute("font-size", (0.72 * size).toFixed(2));
      if (style & BOLD) span.setAttribute("font-weight", 700);
      if (style & ITALIC) span.setAttribute("font-style", "italic");
      span.textContent = letters;
      level = wanted;
    }
  });
}

const fraction = (name) => `<span class="fraction"><span>∂<i>L</i></span><span>∂${name}</span></span>`;

/** A formula of the data as HTML: §n is a name of the circle, «u» a letter of its own, ∂ before either a gradient. */
function formulaHTML(text, names) {
  return escaped(text)
    .replace(/(∂?)(?:§(\d+)|«([^»]+)»)(\[[^\]]*\])?(²?)/g, (_, d, n, letter, index = "", squared) => {
      const runs = n === undefined ? [[letter, BOLD]] : D.names[names[n]], name = nameHTML(runs) + index;
      if (d) return fraction(name) + squared;
      return squared && runs.some(([, style]) => style & SUPERSCRIPT) ? `(${name})²` : name + squared;
    })
    .replace(/ᵀ/g, "<sup>⊤</sup>")
    .replace(/²/g, "<sup>2</sup>")
    .replace(/\^\{([^}]*)\}/g, "<sup>$1</sup>");
}

/** A number with few digits. */
function short(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e4 || size < 1e-3) {
    const [digits, power] = v.toExponential(1).split("e");
    const raised = [...String(+power)].map((c) => "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"["0123456789-".indexOf(c)]).join("");
    return `${digits}·10${raised}`.replace("-", "−");
  }
  return String(+v.toPrecision(size >= 100 ? 3 : 2)).replace("-", "−");
}

/** An array as a table coloured by its numbers: orange above zero, blue below. */
function heatHTML(numbers, rows, columns, largest = Math.max(1e-30, ...numbers.map(Math.abs))) {
  const cell = (v) => {
    const share = Math.min(1, Math.abs(v) / largest);
    const colour = v >= 0 ? "#d55e00" : "#0072b2";
    return `<td style="background:color-mix(in oklab,${colour} ${(72 * share).toFixed(0)}%,#fff)">${short(v)}</td>`;
  };
  const line = (r) => `<tr>${Array.from(numbers.slice(r * columns, Math.min((r + 1) * columns, r * columns + 8)), cell).join("")}</tr>`;
  const note = rows > 6 || columns > 8 ? `<span class="soft">the first of ${rows}×${columns}</span>` : "";
  return `<table class="heat" role="presentation">${Array.from({ length: Math.min(rows, 6) }, (_, r) => line(r)).join("")}</table>${note}`;
}

/** The colour of a source: early losses dark, late ones bright. */
const colourOf = (source) => (source < 0 || !chain || D.sources.length < 2 ? "var(--back)" : `var(--loss-${source})`);
const SCALE = { light: "4c1d95 8b2689 c0396e de624a f09628", dark: "8c64e6 be5ac8 eb5f96 ff8c64 ffc35a" };
function paint(theme) {
  root.dataset.theme = theme;
  const stops = SCALE[theme].split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16))), last = Math.max(1, D.sources.length - 1);
  D.sources.forEach((_, n) => {
    const at = (n / last) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
    const mix = stops[i].map((c, k) => Math.round(c + (at - i) * (stops[i + 1][k] - c)));
    root.style.setProperty(`--loss-${n}`, `rgb(${mix})`);
  });
}
