"""The figure: what `draw` returns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from viz import checks, dot, labels, mermaid, svg, tikz
from viz.legend import explained
from viz.letters import escape
from viz.render import render
from viz.scene import Scene
from viz.themes import THEMES, Theme

SUFFIXES = ("svg", "png", "pdf", "gv", "html", "tex", "mmd")
MAGNIFIED = 2  # how large a page of its own shows the picture, where there is room


@dataclass(frozen=True, repr=False)
class Figure:
    """A picture of a graph. It shows itself in a notebook.

    scene: the shapes, links and texts with their positions, and the nodes of the tape behind each
        shape and link.
    theme: the colours of the classes.
    """

    scene: Scene
    theme: Theme = THEMES["textbook"]

    @cached_property
    def source(self) -> str:
        """The picture as DOT text. The same graph gives the same bytes.

        Raises ImportError where the graphviz package is missing.
        """
        return dot.write(self.scene, self.theme)

    def svg(self, outlines: bool = False) -> str:
        """The picture as SVG text.

        outlines: whether Graphviz turns letters into outlines. The picture then looks the same
            wherever it is printed. Otherwise text stays text, which can be selected, searched and
            read aloud.
        Raises RuntimeError where outlines are asked for and Graphviz is missing.
        """
        if outlines:
            return render(self.source, "svg", 96).decode()
        return svg.write(self.scene, self.theme)

    def save(self, path: str | Path, dpi: int = 300, outlines: bool = False) -> Path:
        """Write the picture to a file. The suffix chooses the format: .svg, .png, .pdf, .gv (DOT),
        .html, .tex (TikZ) or .mmd (Mermaid).

        dpi: the dots per inch of a .png. outlines: as in `svg`, for an .svg.
        Returns the path. Raises ValueError for another suffix, RuntimeError where Graphviz is
        missing for a .png or .pdf.

        >>> import tempfile, os, numpy as np, tinygrad_rnn as tg, viz
        >>> w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     viz.draw(np.sum(w * w)).save(os.path.join(folder, "square.svg")).name
        'square.svg'
        """
        kind, path = checks.suffix(path, *SUFFIXES), Path(path)
        if type(dpi) is not int or dpi < 1:
            raise ValueError(f"dpi must be a whole number of at least 1, not {dpi!r}")
        if kind == "svg":
            data = self.svg(outlines).encode()
        elif kind == "gv":
            data = self.source.encode()
        elif kind == "tex":
            data = tikz.write(self.scene, self.theme).encode()
        elif kind == "mmd":
            data = mermaid.write(self.scene, self.theme).encode()
        elif kind == "html":
            data = self._page().encode()
        else:
            data = render(self.source, kind, dpi)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        (left, low), (right, high) = self.scene.bounds()
        shapes = sum(box.shape is not None for box in self.scene.boxes)
        links = sum(path.link is not None for path in self.scene.paths)
        what = f"{shapes} shapes, {links} links, " if shapes else ""
        return f"<Figure {self.scene.title!r}: {what}{right - left:.0f}×{high - low:.0f} pt>"

    def _page(self) -> str:
        """A self-contained HTML page with the picture and a caption, light or dark like the
        picture."""
        (left, _), (right, _) = self.scene.bounds()
        tables = [table for table in (self.theme.light, self.theme.dark) if table is not None]
        body, *dark = (
            f"body {{ background: {t['paper'].fill}; color: {t['text'].text} }}" for t in tables
        )
        rules = [
            body,
            *(f"@media (prefers-color-scheme: dark) {{ {rule} }}" for rule in dark),
            f"body {{ margin: 2rem; text-align: center; font: 1rem {labels.FONT} }}",
            "figure { margin: 0 } figcaption { margin: 1.5rem auto; max-width: 40em }",
            "svg { max-width: 100%; height: auto; "
            f"width: {svg.number(MAGNIFIED * (right - left))}pt }}",
        ]
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta name="viewport" content="width=device-width">\n'
            f"<title>{escape(self.scene.title)}</title>\n<style>{' '.join(rules)}</style>\n"
            f"</head>\n<body>\n<figure>\n{self.svg()}"
            f"<figcaption>{escape(explained(self.scene))}</figcaption>\n"
            f"</figure>\n</body>\n</html>\n"
        )
