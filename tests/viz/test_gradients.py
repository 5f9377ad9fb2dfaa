"""What flows back, in the picture: strands, bars, and one chain for windows."""

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import value
from viz.backward.recording import record
from viz.diagram import Diagram
from viz.geometry import sample
from viz.gradients import Flows
from viz.labels import plain
from viz.models import recurrent_loss
from viz.scene import Box, Path


def diagram_of(figure: viz.Figure) -> Diagram:
    assert figure.scene.diagram is not None
    return figure.scene.diagram


def bars(figure: viz.Figure) -> list[Box]:
    return [box for box in figure.scene.boxes if " at step " in box.title]


def strands(figure: viz.Figure) -> list[Path]:
    """Those of the picture: the legend's have no place in it."""
    low = min(b.y - b.half_height for b in figure.scene.boxes if b.shape is not None)
    return [p for p in figure.scene.paths if p.kind == "strand" and p.curves[0][0][0][1] > low]


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_bars_add_up_to_the_norm_of_the_gradient(cell: str) -> None:
    loss = recurrent_loss(4, cell=cell)
    figure = viz.draw(loss, gradients=True)
    weights = [n for n in tg.tape(loss) if n.name and n.name.startswith("W")]
    loss.backward()
    norms = {n.name: float(np.linalg.norm(n.grad)) for n in weights}  # type: ignore[attr-defined]
    whole = [b for b in figure.scene.boxes if b.title.startswith("the norm of the full gradient")]
    assert [float(b.title.split()[-1]) for b in whole] == pytest.approx(
        [norms["W_xh"], norms["W_hh"], norms["W_hq"]], rel=5e-3
    )
    for outline in whole:
        left = outline.x - outline.half_width
        own = [b for b in bars(figure) if abs(b.x - left) < 90 and b.x > left - 40]
        total = sum(
            np.sign(float(b.title.split()[0])) * 2 * b.half_width
            for b in own
            if left - 40 < b.x < left + 56
        )
        assert total == pytest.approx(2 * outline.half_width, rel=0.01)


def test_every_loss_has_its_strand() -> None:
    figure = viz.draw(recurrent_loss(3), gradients=True)
    diagram = diagram_of(figure)
    faint = {path.link for path in figure.scene.paths if path.kind == "faint"} - {None}
    still = [diagram.shapes[diagram.links[p.link].source].title
             for p in figure.scene.paths if p.kind == "link" and p.link is not None]  # fmt: skip
    assert sorted(still) == ["h_0", "x_1", "x_2", "x_3", "y_1", "y_2", "y_3"]
    assert len(faint) + len(still) == len(diagram.links)
    # h_1 sends three losses on to its circle, h_2 two, h_3 one; and so on.
    assert len(strands(figure)) == 3 * (1 + 1 + 1) + (3 + 2 + 1) + (2 + 1) + 6 + 1
    assert max(path.width for path in strands(figure)) == pytest.approx(2.6)


def test_a_parameters_link_is_as_wide_as_what_all_losses_send_together() -> None:
    """With their signs: losses that pull in opposite directions make a thin line."""
    w, v = tg.Tensor([1.0, 2.0], requires_grad=True, name="w"), value("v", 2)
    with tg.step(0):
        a = (w * v).named("h_1")
    with tg.step(1):
        b = (a * v).named("h_2")
    losses = [np.sum(a), np.sum(b) * -0.99, np.sum(w * w) * 0.0]
    figure = viz.draw(*losses, gradients=True)
    diagram = diagram_of(figure)
    recording = record(losses)
    flows = Flows(diagram, recording)
    (link,) = [k for k in diagram.links if diagram.shapes[k.source].title == "w"
               and diagram.shapes[k.target].row == 0 and flows.strands(k)]  # fmt: skip
    assert flows.strands(link)[0].size == pytest.approx(np.hypot(0.01, 0.01))
    twice = tg.Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = np.sum((twice * twice).named("y"))
    diagram, recording = diagram_of(viz.draw(loss)), record([loss])
    (link,) = [k for k in diagram.links if diagram.shapes[k.source].title == "x"]
    assert Flows(diagram, recording).strands(link)[0].size == pytest.approx(2 * np.sqrt(5))


def test_a_cut_strand_ends_in_a_bar_at_the_cut() -> None:
    figure = viz.draw(recurrent_loss(4, truncation=tg.Subsequence(2)), gradients=True)
    cut = [path for path in strands(figure) if len(path.curves) == 2]
    assert len(cut) == 2  # the losses 3 and 4, between h_2 and step 3
    boxes = {box.title: box for box in figure.scene.boxes}
    for path in cut:
        (x, y), _, _, _ = path.curves[0][0]
        assert boxes["h_2"].y < y < boxes["h_3"].y and x < boxes["h_2"].x


def test_windows_are_one_chain_with_the_reach_of_each_loss() -> None:
    loss = recurrent_loss(6, truncation=tg.Window(2))
    figure = viz.draw(loss)
    diagram = diagram_of(figure)
    names = [shape.title for shape in diagram.shapes if shape.kind == "box"]
    assert len(names) == len(set(names)) and len(diagram.shapes) == 41
    M = tg.Window(2).weights(6)
    for link in diagram.links:
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        if re.fullmatch(r"h_[1-5]", source.title) and source.rows != target.rows:
            s = int(source.title[2:])  # from step s-1 to step s, counted from 0
            assert link.passing == tuple(t for t in range(6) if M[t, s] and M[t, s - 1])
            assert link.cutting == tuple(t for t in range(6) if M[t, s] and not M[t, s - 1])
    ended = [path for path in figure.scene.paths if path.kind == "strand" and len(path.curves) == 2]
    assert len(ended) == 3
    held = {reference() for shape in diagram.shapes for reference in shape.nodes}
    assert held >= {node for node in tg.tape(loss) if node.edges}


def with_memory(x: Any, state: Any) -> Any:
    """Where a window begins, no node records the multiple of the memory: it is a constant there."""
    memory = 0.9 * state["m"] + 0.1 * np.tanh(x @ V + state["h"] @ U)
    return {"h": np.tanh(x @ V) + memory, "m": memory}


U, V = (tg.Tensor(np.eye(3), requires_grad=True, name=name) for name in "UV")


@pytest.mark.parametrize(
    ("cell", "state"),
    [
        (lambda x, h: 0.9 * h + 0.1 * np.tanh(x @ V + h @ U), np.zeros((2, 3))),
        (lambda x, h: np.exp(-x) * h + np.tanh(x @ V + h @ U), np.zeros((2, 3))),
        (with_memory, {"h": np.zeros((2, 3)), "m": np.zeros((2, 3))}),
    ],
)
@pytest.mark.parametrize("detail", ["named", "ops"])
def test_a_window_is_the_chain_that_it_is_a_part_of(cell: Any, state: Any, detail: str) -> None:
    def drawn(truncation: tg.Truncation) -> tuple[Any, Any]:
        states, _ = tg.unroll(cell, np.ones((5, 2, 3)), state, truncation=truncation)
        loss = sum(np.sum(h["h"] if isinstance(h, dict) else h) for h in states)
        diagram = diagram_of(viz.draw(loss, detail=detail))
        shapes = [(shape.kind, shape.title, shape.rows) for shape in diagram.shapes]
        links = [(shapes[link.source], shapes[link.target]) for link in diagram.links]
        cutting = [link.cutting for link in diagram.links if link.cutting]
        return (sorted(shapes, key=str), sorted(links, key=str)), cutting

    (whole, none), (windows, cut) = drawn(tg.Full()), drawn(tg.Window(2))
    assert windows == whole
    reads = 2 if detail == "ops" or isinstance(state, dict) else 1  # of a state, in the next step
    assert not none and sorted(cut) == sorted([(3,), (4,)] * reads)


def test_windows_as_copies() -> None:
    figure = viz.draw(recurrent_loss(6, truncation=tg.Window(2)), copies=True)
    names = [shape.title for shape in diagram_of(figure).shapes if shape.kind == "box"]
    assert len(names) > len(set(names))
    copies = [plain(s.label) for s in diagram_of(figure).shapes if s.title == "h_3"]
    assert copies == [f"h3 for loss {t}" for t in (3, 4, 5)]
    first = [plain(s.label) for s in diagram_of(figure).shapes if s.title == "h_1"]
    assert first == ["h1 for losses 1, 2, 3"]
    said = [s.note for s in diagram_of(figure).shapes if s.kind == "circle" and s.row == 5]
    assert said == ["2×5, for loss 6", "2×4"]


def test_many_strands_stay_between_the_shapes() -> None:
    figure = viz.draw(recurrent_loss(12, cell="lstm"), gradients=True)
    circles = [box for box in figure.scene.boxes if box.round and box.shape is not None]
    level = [
        (path, cubic)
        for path in strands(figure)
        for cubic in path.curves[0]
        if len(path.curves[0]) > 2 and abs(cubic[3][0] - cubic[0][0]) > 30
    ]
    assert len(level) > 40
    for path, cubic in level:  # a strand through a channel touches no circle
        points = sample([cubic])
        for circle in circles:
            off = np.hypot(*(points - (circle.x, circle.y)).T) - circle.half_width
            assert off.min() > path.width / 2
