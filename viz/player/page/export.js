// "Save as SVG": the visible parts of the page, with their current colours, as one figure.

function savedSVG() {
  const below = $("stage").classList.contains("stacked");
  const [top, end] = tall ? [view[0] + 60, Math.min(HEIGHT, view[1] - 60)] : [0, HEIGHT];
  const x = below ? 0 : WIDTH + 12, y = below ? HEIGHT + HEAD : 0;
  const foothold = tall ? end - FOOT : y + bottomY - 16;
  const parts = [[svg, 0, 0], [side, x, y], [head, x, y + top - HEAD, HEAD], [foot, x, foothold, T > 1 ? FOOT : 0]];
  const width = below ? Math.max(WIDTH, sideWidth) : x + sideWidth;
  const low = top - HEAD, height = (below && !tall ? y + sideHeight + FOOT : Math.max(end, tall ? 0 : sideHeight)) + 8 - low;
  const saved = el("svg", { xmlns: SVG, viewBox: `0 ${low} ${width} ${height}`, width: `${width}pt`, height: `${height}pt` });
  el("title", {}, saved).textContent = `${document.title}, ${called()}`;
  el("style", {}, saved).textContent = $("figure-style").textContent.replace(/@media.*/, "");
  const paper = { fill: "var(--paper)" };
  rect("", 0, low, width, height, saved, paper);
  for (const [part, x, y, over] of below && tall ? parts.slice(0, 1) : parts) {
    const copy = el("g", { transform: `translate(${x} ${y})` }, saved);
    if (over) rect("", 0, 0, sideWidth, over, copy, paper);
    copy.append(...part.cloneNode(true).children);
    for (const hit of copy.querySelectorAll(".hit")) hit.remove();
    for (const name of ["tabindex", "role", "data-shape", "aria-label", "pathLength"])
      for (const shape of copy.querySelectorAll(`[${name}]`)) shape.removeAttribute(name);
  }
  return resolved(new XMLSerializer().serializeToString(saved).replaceAll("fresh", ""));
}

/** CSS variables replaced by their colours, because other programs do not support variables. */
function resolved(text) {
  const style = getComputedStyle(root);
  return text.replace(/var\((--[\w-]+)\)/g, (_, name) => style.getPropertyValue(name).trim().replaceAll('"', "'"));
}

$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([savedSVG()], { type: "image/svg+xml" }));
  link.download = `${document.title.replace(/[^\w-]+/g, "-").toLowerCase()}-${state.move}.svg`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
