"""From tensors to a figure, step by step: snapshot, diagram, layout, lines, scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import tinygrad_rnn as tg
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.recurrent.truncation import Truncation
from tinygrad_rnn.support.collector import without_collection
from viz import checks, comparing
from viz.backward.recording import Recording, record
from viz.backward.rows import truncated
from viz.bands import add_bands
from viz.bars import add_bars
from viz.captions import captions, gates
from viz.diagram import Diagram, group
from viz.figure import Figure
from viz.fold import DOTS, Fold, fold as folded
from viz.gradients import Flows, add_reach, add_strands
from viz.hiding import hidden
from viz.labels import LONGEST_TITLE, Run, shortened
from viz.layout import Layout, arrange
from viz.legend import add_classes, add_losses
from viz.margin import Margin
from viz.numbers import add_numbers
from viz.routing import route
from viz.scene import Scene, Text, compose
from viz.snapshot import snapshot
from viz.strokes import Stroke, strokes
from viz.themes import theme_of
from viz.turning import turn
from viz.values import values_of

UNTITLED = "computational graph"
MOST_COMPUTED = 5000  # the nodes of a tape whose values are computed again for constants


def draw(
    *outputs: tg.Tensor,
    detail: str = "named",
    fold: int | Callable[[int], bool] | None = 8,
    gradients: bool = False,
    values: bool = False,
    compare: Sequence[Truncation] = (),
    copies: bool = False,
    hide: str | Sequence[str] = (),
    direction: str = "up",
    title: str = "",
    legend: bool | None = None,
    theme: str | Mapping[str, str | tuple[str, ...]] = "textbook",
) -> Figure:
    """Draw the computational graph of the outputs.

    outputs: the Tensors whose graph is drawn, usually the loss.
    detail: "named" draws a box for each named value and a circle for the computation between boxes.
        "ops" draws a circle for every operation. The value of a cell's gate has its name beside
        its circle, such as r and z of a `GRUCell`.
    fold: the most rows of time steps that are drawn; the middle ones are folded into dots. Or a
        function from the number of a step, counted from 1, to whether it is drawn. None draws all
        steps.
    gradients: whether to draw the backward pass. Each link then has one strand per loss. The width
        of a strand is the norm of the gradient along it, on a logarithmic scale. A bar marks a cut.
        Beside the picture, bars for every tied parameter show what each loss adds at each step,
        ⟨∂L_t/∂W_s, ĝ⟩. Here ĝ is the direction of the full gradient, so the bars add up to its
        norm.
    values: whether to write the shape of every named value, and its numbers where there are few. A
        value that the tape does not keep is marked "not kept".
    compare: truncations such as `[tg.Full(), tg.Window(2)]`. The network is drawn under each of
        them, side by side, with the gradients and the matrix of losses and steps.
    copies: whether to draw every copy of a step that windows make. Otherwise one chain is drawn,
        with the reach of each loss on its links.
    hide: names of values to leave out, such as "y" or "b_*". One that matches nothing is warned of.
    direction: the direction of time, "up", "right" or "down".
    title: the title above the figure.
    legend: whether a legend under the picture explains the classes and colours. None explains only
        the colours of losses and the widths of links.
    theme: "textbook" (which turns dark on dark pages), "dark", "print", or your own table from
        classes to colours, laid over the textbook's: `{"parameters": "gold"}`.
    Returns a `Figure`. It shows itself in a notebook, and its method `save` writes svg, png, pdf,
    gv, html, tex and mmd.
    Raises TypeError for what is not a Tensor and for options of another type, ValueError for an
    unknown detail, direction or theme, for a fold below 3, and where the tape is truncated already
    and is to be compared.

    Names are typeset: `"W_hh"` is a bold W with an italic subscript, and `"h_3^(2)"` is h_3 of
    layer 2. Scalars are italic, integers plain. Each row is a step marked by `tg.step` or
    `tg.unroll`. A grey link with a gap is cut. An orange link carries its factor ξ.

    >>> import numpy as np, tinygrad_rnn as tg, viz
    >>> x, W = tg.Tensor(np.ones(2), name="x"), tg.Tensor(np.ones(2), requires_grad=True, name="W")
    >>> figure = viz.draw(np.tanh(x @ W))
    >>> figure.source.count(" -> ")
    3
    """
    checks.tensors("draw", outputs)
    checks.one_of("detail", detail, checks.DETAILS)
    checks.one_of("direction", direction, checks.DIRECTIONS)
    checks.fold(fold)
    checks.text("title", title)
    hide = checks.names("hide", hide)
    compare = checks.truncations("compare", compare)
    colours = theme_of(theme)
    diagram = without_collection(_diagram, outputs, hide, detail, copies, fold)
    if values:
        add_numbers(diagram, values_of(tg.tape(*outputs), outputs))
    layout = arrange(diagram, sideways=direction == "right")
    lines = strokes(diagram, route(diagram, layout))
    turn(layout, lines, direction)
    drawing = _Drawing(diagram, layout, lines, direction, title or UNTITLED)
    if compare:
        scene = _compared(drawing, outputs, compare, gradients, legend)
    elif gradients:
        scene = drawing.with_gradients(record(outputs), None, bars=True, explained=legend)
    else:
        scene = drawing.scene()
        reaching = [t for link in diagram.links for t in (*link.passing, *link.cutting)]
        if reaching:
            add_reach(scene, layout, lines, max(reaching) + 1)
            if legend is not False:
                add_losses(scene, max(reaching) + 1, widths=False)
    if legend:
        add_classes(scene)
    if title:
        (left, _), (right, top) = scene.bounds()
        scene.texts.append(
            Text("text", (left + right) / 2, top + 9, (Run(shortened(title, LONGEST_TITLE)),), 11.0)
        )
    return Figure(scene, colours)


def _diagram(
    outputs: Sequence[tg.Tensor], hide: Sequence[str], detail: str, copies: bool, fold: Fold
) -> Diagram:
    tape = tg.tape(*outputs)
    known = detail == "ops" and len(tape) <= MOST_COMPUTED
    arrays = values_of(tape, outputs) if known else None
    return folded(group(hidden(snapshot(outputs), hide), detail, copies, arrays), fold)


@dataclass
class _Drawing:
    """A diagram with its layout and lines, from which scenes are made."""

    diagram: Diagram
    layout: Layout
    lines: list[Stroke]
    direction: str
    title: str

    def scene(self) -> Scene:
        scene = compose(self.diagram, self.layout, self.lines, self.title)
        scene.boxes += captions(self.lines, self.layout.places)
        scene.texts += gates(self.diagram, self.lines, self.layout.places)
        add_bands(scene)
        (left, low), _ = scene.bounds()
        for row, count in self.diagram.folds.items():
            said, at = (Run(f"{DOTS} × {count}"),), self.margin.row(row)
            if self.direction == "right":
                scene.texts.append(Text("muted", at, low - 5, said, 8.0))
            else:
                scene.texts.append(Text("muted", left - 3, at, said, 8.0, "end"))
        return scene

    @property
    def margin(self) -> Margin:
        return Margin(self.diagram, self.layout, self.direction)

    def with_gradients(
        self, recording: Recording, weights: Array | None, bars: bool, explained: bool | None
    ) -> Scene:
        scene = self.scene()
        flows = Flows(self.diagram, recording, weights)
        add_strands(scene, self.layout, self.lines, flows)
        if weights is not None and not self.diagram.folds:
            self.margin.add(scene, partial(comparing.add_matrix, weights=weights))
        if bars:
            self.margin.add(scene, partial(add_bars, flows=flows))
        if explained is not False:
            count = len(recording.sources) if recording.no_chain is None else 0
            add_losses(scene, count, widths=True)
        return scene


def _compared(
    drawing: _Drawing,
    outputs: Sequence[tg.Tensor],
    strategies: Sequence[Truncation],
    bars: bool,
    explained: bool | None,
) -> Scene:
    if why := truncated(outputs):
        raise ValueError(f"{why}: to compare strategies, record the network without a truncation")
    recording = record(outputs)
    if recording.no_chain:
        raise ValueError(
            f"{recording.no_chain}, so the matrix alone does not define a truncation here, and "
            f"strategies cannot be compared"
        )
    scenes = []
    for strategy in strategies:
        weights = checks.weights_of(strategy, recording.rows.count)
        scenes.append(drawing.with_gradients(recording, weights, bars, explained=False))
    made = comparing.beside(scenes, [repr(s) for s in strategies], drawing.title)
    if explained is not False:
        add_losses(made, len(recording.sources), widths=True)
    return made
