"""The gallery: every picture is sound, and the parts of networks stand as textbooks have them."""

import pytest

import viz
from examples.gallery import (
    PICTURES,
    Picture,
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
