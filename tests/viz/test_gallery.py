"""The gallery: every picture is sound, and the parts of networks stand as textbooks have them."""

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from examples.gallery import (
    PICTURES,
    Picture,
    attention,
    bidirectional,
    encoder_decoder,
    pendulum,
    second_derivative,
)
from tests.viz.soundness import check
from viz.diagram import Diagram
from viz.labels import plain


def diagram_of(figure: viz.Figure) -> Diagram:
    assert figure.scene.diagram is not None
    return figure.scene.diagram


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_every_picture_is_sound(picture: Picture) -> None:
    assert picture.title and picture.caption.endswith(".")
    if picture.name != "compared":  # three pictures in one
        check(picture.make())


def test_a_decoder_stands_above_its_encoder_in_bands_with_titles() -> None:
    figure = encoder_decoder()
    bands = {box.title: box for box in figure.scene.boxes if box.kind == "band"}
    above, below = bands["the part decoder"], bands["the part encoder"]
    assert above.y - above.half_height > below.y + below.half_height
    assert diagram_of(figure).rows == 6
    assert {"encoder", "decoder"} <= {t.line[0].text for t in figure.scene.texts}


def test_a_bidirectional_network_is_two_chains_over_one_column_of_inputs() -> None:
    figure = bidirectional()
    shapes = diagram_of(figure).shapes
    inputs = [s for s in shapes if s.title.startswith("x_")]
    assert sorted(s.title for s in inputs) == ["x_1", "x_2", "x_3", "x_4"]
    row_of = {(s.part, s.title): s.row for s in shapes}
    for t in range(1, 5):
        assert row_of["", f"x_{t}"] == t - 1
        assert row_of["forwards", f"h_{t}"] == row_of["backwards", f"h_{t}"] == t - 1
    below, above = [s for s in shapes if s.title == "h_0"]
    assert (below.rows, above.rows) == (None, (3, 3))  # where each chain begins
    columns: dict[str, set[int]] = {"forwards": set(), "backwards": set()}
    for box in figure.scene.boxes:
        if box.shape is not None and box.title in ("h_1", "h_2"):
            columns[shapes[box.shape].part].add(round(box.x))
    assert all(len(found) == 1 for found in columns.values())
    assert columns["forwards"] != columns["backwards"]


def test_a_decoder_with_attention_stands_above_its_encoder_not_beside_it() -> None:
    figure = attention()
    x = {box.title: box.x for box in figure.scene.boxes if box.shape is not None}
    assert x["a_1"] == x["h_1"] and x["s_1"] == x["keys"]
    diagram = diagram_of(figure)
    keys = next(i for i, shape in enumerate(diagram.shapes) if shape.title == "keys")
    (top,) = (b.y + b.half_height for b in figure.scene.boxes if b.title == "the part encoder")
    for path in figure.scene.paths:  # the rails of the keys pass between the parts
        if path.link is not None and diagram.links[path.link].source == keys:
            corners = [cubic for curve in path.curves for cubic in curve]
            level = [a[1] for a, *_, b in corners if a[1] == b[1] and abs(a[0] - b[0]) > 30]
            assert level and min(level) > top


def test_the_gates_of_a_cell_have_names_beside_their_circles() -> None:
    for cell, names in ((tg.GRUCell, "rzn"), (tg.LSTMCell, "ifgo")):
        _, state = tg.unroll(cell(4, 3, rng=0), np.ones((2, 1, 4)))
        figure = viz.draw(*(state if isinstance(state, tuple) else (state,)), detail="ops")
        said = [text for text in figure.scene.texts if text.line[0].text in names]
        assert sorted(t.line[0].text for t in said) == sorted(2 * names)
        for text in said:
            near = min(
                (b for b in figure.scene.boxes if b.round),
                key=lambda b: np.hypot(b.x - text.x, b.y - text.y),
            )
            assert near.label[0][0].text in ("σ", "tanh")


def test_the_halves_of_a_second_derivative_are_paired_and_told_apart() -> None:
    figure = second_derivative()
    shapes = diagram_of(figure).shapes
    back = [s for s in shapes if s.back_of == "h^"]
    assert [s.row for s in back] == [2, 1, 0] and {plain(s.label) for s in back} == {"∂"}
    forward = {s.row: i for i, s in enumerate(shapes) if s.role == "circle of h^"}
    look = {box.shape: box for box in figure.scene.boxes}
    for i, shape in enumerate(shapes):
        if shape in back:
            pair = look[forward[shape.row]]
            assert (look[i].kind, pair.kind) == ("backward", "circle")
            assert look[i].y == pair.y and look[i].x > pair.x
    assert [s.title.split(":")[0] for s in back] == [f"back through h_{t}" for t in (3, 2, 1)]
    links = {(shapes[k.source].row, shapes[k.target].row) for k in diagram_of(figure).links
             if shapes[k.source] in back and shapes[k.target] in back}  # fmt: skip
    assert links == {(2, 1), (1, 0)}  # back through time
    for s in shapes:
        nodes = [node for reference in s.nodes if (node := reference()) is not None]
        assert len({node.mark.back is None for node in nodes}) <= 1


def test_greek_names_are_set_as_letters() -> None:
    texts = "".join(run.text for b in pendulum().scene.boxes for line in b.label for run in line)
    assert "θ" in texts and "ω" in texts and "ℓ" in texts and "\\" not in texts
