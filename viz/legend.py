"""The legend: a row under the picture that explains its colours, lines and widths."""

from __future__ import annotations

from viz import strands
from viz.geometry import line
from viz.labels import Run
from viz.scene import Box, Path, Scene, Text
from viz.themes import loss_colour

SMALL = 7.6
MOST_SWATCHES = 12
ALL = "#C05000"  # the colour of all losses together
CLASSES = {
    "box": "a value with a name",
    "circle": "what is computed between them",
    "backward": "the way back",
    "parameters": "parameters",
}
LINKS = {"cut": "no gradient passes", "scaled": "the gradient is multiplied by ξ"}


SENTENCES = {
    "box": "A box is a value with a name",
    "circle": "a circle is what is computed between them",
    "backward": "an orange circle is the way back",
    "parameters": "a shaded box is a parameter",
    "dots": "dots stand for steps that are left out",
    "cut": "no gradient passes a grey link with a gap",
    "scaled": "the gradient is multiplied by ξ on an orange link",
    "strand": "a coloured line is the gradient of one loss",
}


def explained(scene: Scene) -> str:
    """The kinds of shapes and links that occur in the picture, in words."""
    kinds = {box.kind for box in scene.boxes} | {path.kind for path in scene.paths}
    said = "; ".join(words for kind, words in SENTENCES.items() if kind in kinds)
    said = said or scene.description
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def add_classes(scene: Scene) -> None:
    """Add the kinds of shapes and links that occur in the picture."""
    (left, low), _ = scene.bounds()
    x, y = left + 5, low - 8
    kinds = {box.kind for box in scene.boxes}
    for kind, meaning in CLASSES.items():
        if kind in kinds:
            scene.boxes.append(
                Box(kind, x + 4, y, 4, 4, round=kind in ("circle", "backward"), title=meaning)
            )
            x = _said(scene, x + 11, y, meaning)
    lines = {path.kind for path in scene.paths}
    for kind, meaning in LINKS.items():
        if kind in lines:
            scene.paths.append(Path(kind, ([line((x, y), (x + 14, y))],)))
            x = _said(scene, x + 17, y, meaning)


def _said(scene: Scene, x: float, y: float, text: str) -> float:
    scene.texts.append(Text("muted", x, y, (Run(text),), SMALL, "start"))
    return x + 2 * scene.texts[-1].half_width + 10


def add_losses(scene: Scene, count: int, widths: bool) -> None:
    """Add the colours of the losses, and the meaning of the widths."""
    (left, low), _ = scene.bounds()
    x, y = left + 4, low - 8
    if count > 1:
        shown = range(count) if count <= MOST_SWATCHES else (0, count // 2, count - 1)
        for t in shown:
            colour = loss_colour(t, count)
            scene.boxes.append(Box("bar", x + 4, y, 4, 3, colour=colour, title=f"loss {t + 1}"))
            name = (Run("l", italic=True), Run(str(t + 1), level=-1))
            scene.texts.append(Text("muted", x + 10.5, y, name, 7.5, "start"))
            x += 22
        x += 10
    if widths:
        said = (Run("width: ‖∂"), Run("l", italic=True), Run("/∂·‖, of the largest:"))
        scene.texts.append(Text("muted", x, y, said, SMALL, "start"))
        x += 2 * scene.texts[-1].half_width + 4
        for n, size in enumerate(("1", "10⁻¹", "10⁻²", "10⁻³")):
            thick = strands.width_of(10.0**-n)
            scene.paths.append(
                Path("strand", ([line((x, y), (x + 14, y))],), width=thick, colour=ALL)
            )
            scene.texts.append(Text("muted", x + 17, y, (Run(size),), SMALL, "start"))
            x += 34
