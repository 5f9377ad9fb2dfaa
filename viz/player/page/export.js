// "Save as SVG": what is seen, with the colours that it has now, as one figure.

function savedSVG() {
  const below = $("stage").classList.contains("stacked");
  const x = below ? 0 : WIDTH + 12, y = below ? HEIGHT + HEAD : 0;
  const parts = [
    [svg, 0, 0, WIDTH, HEIGHT], [head, x, y - HEAD, sideWidth, HEAD],
    [side, x, y, sideWidth, sideHeight], [foot, x, y + bottomY - 16, sideWidth, T > 1 ? FOOT : 0],
  ];
  const width = Math.max(...parts.map(([, x, , w]) => x + w)), top = below ? 0 : -HEAD;
  const height = Math.max(...parts.map(([, , y, , h]) => y + h)) - top;
  const root = el("svg", { xmlns: SVG, viewBox: `0 ${top} ${width} ${height}`, width: `${width}pt`, height: `${height}pt` });
  el("title", {}, root).textContent = `${document.title}, ${called()}`;
  el("style", {}, root).textContent = resolved($("figure-style").textContent.replace(/@media[^{]*\{[^}]*\}\s*\}|transition:[^;}]*;?|animation[^;}]*;?|cursor:[^;}]*;?/g, ""));
  el("rect", { x: 0, y: top, width, height, fill: "var(--paper)" }, root);
  for (const [part, x, y, w, h] of parts) {
    const copy = el("g", { transform: `translate(${x} ${y})` }, root);
    for (const child of part.cloneNode(true).children) copy.append(child.cloneNode(true));
    copy.querySelectorAll("[style*=none]").forEach((hidden) => hidden.removeAttribute("style"));
    copy.querySelectorAll(".hit").forEach((hit) => hit.remove());
    copy.querySelectorAll("[tabindex]").forEach((e) => ["tabindex", "role", "data-shape", "aria-label"].forEach((name) => e.removeAttribute(name)));
  }
  root.querySelectorAll("[pathLength]").forEach((e) => e.removeAttribute("pathLength"));
  return resolved(new XMLSerializer().serializeToString(root));
}

/** Variables as the colours that they stand for, since other programs know none. */
function resolved(text) {
  const style = getComputedStyle(document.documentElement);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim().replaceAll('"', "'"));
}

$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([savedSVG()], { type: "image/svg+xml" }));
  link.download = `${document.title.replace(/[^\w-]+/g, "-").toLowerCase()}-${state.move}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
