"""From tensors to a figure, step by step: snapshot, diagram, layout, lines, source."""

from __future__ import annotations

from collections.abc import Mapping

import tinygrad_rnn as tg
from viz.captions import captions
from viz.diagram import group
from viz.figure import Figure
from viz.fold import fold as folded
from viz.gradients import Flows, add_bars, add_legend, add_reach, add_strands
from viz.layout import arrange
from viz.player.recording import record
from viz.routing import route
from viz.scene import compose
from viz.snapshot import snapshot
from viz.strokes import strokes
from viz.themes import theme_of

DETAILS = ("named", "ops")


def draw(
    *outputs: tg.Tensor,
    detail: str = "named",
    fold: int | None = 8,
    theme: str | Mapping[str, str | tuple[str, ...]] = "textbook",
    title: str = "",
    gradients: bool = False,
    copies: bool = False,
) -> Figure:
    """Draw the graph that the outputs were computed by.

    outputs: Tensors, usually the loss.
    detail: "named": boxes are the values you named, a circle is whatever was computed between
        them; "ops": every operation has its circle.
    fold: how many rows of time steps are drawn before the middle ones are folded into dots;
        None draws them all.
    theme: "textbook" (which turns dark on dark pages), "dark", "print", or your own table from
        classes to colours, laid over the textbook's: `{"parameters": "gold"}`.
    gradients: what flows back: every link as wide as the norm of what comes back along it
        (logarithmic), one strand per loss, with a bar where it is cut; and beside the picture,
        for every tied parameter, what each loss adds at each step, ⟨∂L_t/∂W_s, ĝ⟩, ĝ being the
        direction of the full gradient: these add up to its norm.
    copies: draw the copies of a step that windows make each by itself, instead of one chain with
        the reach of each loss on its links.
    title: what the figure is called; read aloud, and shown where one points at it.
    Returns a `Figure`: it shows itself in a notebook, and `save` writes svg, png, pdf, gv,
    html, tex and mmd.
    Raises TypeError for what is not a Tensor, ValueError for an unknown detail or
    theme, or a fold below 3.

    Names are set as in print: `"W_hh"` is a bold W with an italic subscript, `"h_3^(2)"` is h_3 of
    layer 2; scalars are italic, integers plain. Rows are the steps marked by `tg.step` or
    `tg.unroll`; a grey link with a gap is cut, an orange one carries its ξ.

    >>> import numpy as np, tinygrad_rnn as tg, viz
    >>> x, W = tg.Tensor(np.ones(2), name="x"), tg.Tensor(np.ones(2), requires_grad=True, name="W")
    >>> figure = viz.draw(np.tanh(x @ W))
    >>> figure.source.count(" -> ")
    3
    """
    if detail not in DETAILS:
        raise ValueError(f"detail is {' or '.join(map(repr, DETAILS))}, not {detail!r}")
    if fold is not None and fold < 3:
        raise ValueError(f"fold is at least 3, a first row, dots and a last row, not {fold}")
    if not outputs:
        raise TypeError("draw needs a Tensor to draw, usually the loss: viz.draw(loss)")
    for output in outputs:
        if not isinstance(output, tg.Tensor):
            raise TypeError(f"draw needs Tensors, not a {type(output).__name__}")
    colours = theme_of(theme)
    diagram = folded(group(snapshot(outputs), detail, copies), fold)
    layout = arrange(diagram)
    lines = strokes(diagram, route(diagram, layout))
    scene = compose(diagram, layout, lines, title or "computational graph")
    scene.boxes += captions(lines, layout.places)
    losses = 0
    if gradients:
        recording = record(outputs)
        flows = Flows(diagram, recording)
        add_strands(scene, layout, lines, flows)
        add_bars(scene, layout, flows)
        losses = len(recording.sources) if recording.no_chain is None else 0
    elif reaching := [t for link in diagram.links for t in (*link.passing, *link.cutting)]:
        losses = max(reaching) + 1
        add_reach(scene, layout, lines, losses)
    if losses or gradients:
        add_legend(scene, losses, gradients)
    return Figure(scene, colours)
