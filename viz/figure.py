"""The figure: what `draw` returns."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from viz.render import render

SUFFIXES = ("svg", "png", "pdf", "gv", "html")
MAGNIFIED = 2  # how large a page of its own shows the picture, where there is room


@dataclass(frozen=True)
class Figure:
    """A picture, held as DOT; it shows itself in a notebook.

    source: the DOT text, the same byte by byte for the same graph.
    """

    source: str
    title: str = "computational graph"

    def save(self, path: str | Path, dpi: int = 300) -> Path:
        """Write the picture; the suffix says how: .svg, .png, .pdf, .gv (DOT) or .html.

        dpi: dots per inch of a .png.
        Returns the path. Raises ValueError for another suffix, RuntimeError where Graphviz is
        missing; a .gv file needs none.

        >>> import tempfile, os, numpy as np, tinygrad_rnn as tg, viz
        >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     viz.draw(np.sum(w * w)).save(os.path.join(folder, "square.gv")).name
        'square.gv'
        """
        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in SUFFIXES:
            raise ValueError(
                f"{path.name!r} does not say what to write; its name must end in one of "
                f"{', '.join('.' + s for s in SUFFIXES)}"
            )
        if kind == "gv":
            data = self.source.encode()
        elif kind == "html":
            data = self._page().encode()
        else:
            data = render(self.source, kind, dpi)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    @property
    def svg(self) -> str:
        """The picture as SVG text."""
        return render(self.source, "svg", 96).decode()

    def _repr_svg_(self) -> str:
        return self.svg

    def _page(self) -> str:
        """A page of its own, with nothing outside it."""
        title = html.escape(self.title)
        svg = self.svg
        svg = svg[svg.index("<svg") :]
        width = MAGNIFIED * float(svg.split('width="')[1].split("pt")[0])
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f"<title>{title}</title>\n<style>body {{ margin: 2rem; text-align: center }} "
            f"svg {{ max-width: 100%; height: auto; width: {width:g}pt }}</style>\n</head>\n"
            f'<body>\n<figure role="img" aria-label="{title}">\n{svg}\n</figure>\n'
            f"</body>\n</html>\n"
        )
