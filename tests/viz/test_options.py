"""What `draw` can be asked for: numbers, comparisons, folding, hiding, directions, legends."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import outputs, parameter, value
from viz.backward.recording import record
from viz.diagram import Diagram, group
from viz.gradients import Flows
from viz.labels import plain
from viz.models import recurrent_loss
from viz.scene import Box
from viz.snapshot import snapshot


def diagram_of(figure: viz.Figure) -> Diagram:
    assert figure.scene.diagram is not None
    return figure.scene.diagram


def box(figure: viz.Figure, title: str) -> Box:
    (found,) = [b for b in figure.scene.boxes if b.title == title and b.shape is not None]
    return found


def texts(figure: viz.Figure) -> list[str]:
    return [plain((text.line,)) for text in figure.scene.texts]


def test_values_are_the_tapes_own_and_what_is_not_kept_says_so() -> None:
    w, x = parameter("w", 2), tg.Tensor(np.array([2.0, -1.0]), name="x")
    p = (w * x).named("p")
    q = np.arctan2(p, 3.0).named("q")
    figure = viz.draw(np.sum(q).named("L"), values=True)
    assert plain(box(figure, "x").label) == "x 2 2, −1"
    assert '<FONT POINT-SIZE="6.5">2, −1</FONT>' in figure.source
    assert plain(box(figure, "p").label) == "p 2 0.2, −0.1"
    assert plain(box(figure, "w").label) == "w 2 0.1, 0.1"
    assert plain(box(figure, "L").label).startswith("L ")
    del x, p, q
    y = (parameter("v", 2) + value("z", 2)).named("y")
    figure = viz.draw(np.sum(y), values=True)
    assert (
        plain(box(figure, "z").label)
        == "z 2 not kept"
        == plain(box(figure, "y").label).replace("y", "z")
    )


def test_parameters_show_their_numbers_also_where_no_derivative_needs_them() -> None:
    figure = viz.draw(recurrent_loss(2), values=True)
    label = plain(box(figure, "W_xh, W_hh").label)
    assert label.startswith("Wxh\u2009, Whh 4×5, 5×5 ‖·‖ = ") and "not kept" not in label


def test_boxes_with_numbers_keep_apart() -> None:
    boxes = viz.draw(recurrent_loss(4), values=True).scene.boxes
    for n, a in enumerate(boxes):
        for b in boxes[:n]:
            apart_x = abs(a.x - b.x) - a.half_width - b.half_width
            assert max(apart_x, abs(a.y - b.y) - a.half_height - b.half_height) > 2


def test_strategies_side_by_side() -> None:
    strategies = [tg.Full(), tg.Window(1), tg.Randomized.from_links([1, 0.5, 2, 0])]
    figure = viz.draw(recurrent_loss(4), compare=strategies, gradients=True)
    assert {"Full()", "Window(k=1)"} <= set(texts(figure))
    cells = [b for b in figure.scene.boxes if " times at step " in b.title]
    assert len(cells) == 3 * 10
    assert sum(bool(cell.colour) for cell in cells) == 10 + (4 + 3) + (6 + 1)
    shares = [text for text in texts(figure) if "% of" in text]
    assert len(shares) == 9 and sum(text.startswith("100%") for text in shares) >= 3 + 2
    assert any("° off" in text for text in shares)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fold": "8"}, "fold must be a number of rows"),
        ({"fold": 3.5}, "fold must be a number of rows"),
        ({"title": 3}, "title must be a str, not 3"),
        ({"hide": 3}, "hide must be a name or a list of names"),
        ({"hide": ["y", 3]}, "hide must be a name or a list of names"),
        ({"compare": tg.Full()}, "compare must be a list such as"),
        ({"compare": ["Full"]}, "but it contains 'Full'"),
        ({"theme": 3}, "theme must be a name or a table"),
        (
            {"theme": {"box": 3}},
            "the colour of box must be a str or a tuple (fill, stroke, text), not 3",
        ),
        ({"theme": {"box": ("red",) * 4}}, "the colour of box must be a str or a tuple"),
    ],
)
def test_options_of_another_type(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        viz.draw(recurrent_loss(), **options)


def test_files_of_another_kind(tmp_path: Path) -> None:
    loss = recurrent_loss()
    for save in (viz.play(loss).save, viz.animate(loss).save, viz.draw(loss).save):
        with pytest.raises(ValueError, match=r"the name 'x.txt' must end in"):
            save(tmp_path / "x.txt")
        with pytest.raises(TypeError, match="path must be a str or a Path, not 3"):
            save(3)  # type: ignore[arg-type]
    for dpi in (0, "a"):
        with pytest.raises(ValueError, match="dpi must be a whole number"):
            viz.draw(loss).save(tmp_path / "x.png", dpi=dpi)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="play takes Tensors, usually the loss, not NoneType"):
        viz.play(None)  # type: ignore[arg-type]
    for strategies in (tg.Full(), "Full"):
        with pytest.raises(TypeError, match="strategies must be a list"):
            viz.draw_truncations("abc", strategies)  # type: ignore[arg-type]


def test_what_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="without a truncation"):
        viz.draw(recurrent_loss(4, truncation=tg.Subsequence(2)), compare=[tg.Full()])
    with pytest.raises(TypeError, match=r"such as tg.Window\(2\), but it contains 3"):
        viz.draw(recurrent_loss(3), compare=[3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="compare strategies of one sequence"):
        viz.draw(recurrent_loss(3), compare=[tg.Window((1, 2))])


def test_folding_says_how_much() -> None:
    assert "⋮ × 93" in texts(viz.draw(recurrent_loss(100)))
    figure = viz.draw(recurrent_loss(30), fold=lambda t: t in (1, 2, 15, 30))
    assert {"⋮ × 12", "⋮ × 14"} <= set(texts(figure))
    shown = {s.title for s in diagram_of(figure).shapes if s.title.startswith("h_")}
    assert shown == {"h_0", "h_1", "h_2", "h_15", "h_30"}


def test_what_is_deep_folds_without_steps() -> None:
    x = value("x", 1, 2)
    for k in range(200):
        x = np.tanh(x @ parameter(f"W_{k}", 2, 2)).named(f"z_{k + 1}")
    figure = viz.draw(np.sum(x))
    assert 20 < len(diagram_of(figure).shapes) < 50
    (dots,) = [b for b in figure.scene.boxes if b.kind == "dots"]
    assert plain(dots.label) == "⋯ × 189"
    assert len(diagram_of(viz.draw(np.sum(x), fold=None)).shapes) > 600


def test_hiding() -> None:
    figure = viz.draw(recurrent_loss(3), hide=["o", "y_*"])
    titles = {shape.title for shape in diagram_of(figure).shapes}
    assert not titles & {"o_1", "o_2", "o_3", "y_1", "y_2", "y_3"} and {"h_3", "x_1"} <= titles
    assert viz.draw(recurrent_loss(3), hide="L").source == viz.draw(recurrent_loss(3)).source


def test_hiding_what_is_not_there() -> None:
    with pytest.warns(UserWarning, match="matches no name") as warned:
        figure = viz.draw(recurrent_loss(3), hide=["y", "q_*", "o_7"])
    assert [str(w.message).split()[0] for w in warned] == ["hide='q_*'", "hide='o_7'"]
    assert {w.filename for w in warned} == {__file__}
    assert figure.source == viz.draw(recurrent_loss(3), hide="y").source


def test_directions() -> None:
    up, down, right = (viz.draw(*outputs("rnn"), direction=d) for d in ("up", "down", "right"))
    for t in (1, 2):
        this, following = f"h_{t}", f"h_{t + 1}"
        assert box(up, this).y < box(up, following).y and box(up, this).x == box(up, following).x
        assert box(down, this).y > box(down, following).y
        assert box(right, this).x < box(right, following).x
    assert box(right, "W_xh, W_hh").half_width > box(right, "W_xh, W_hh").half_height
    for figure in (down, right):
        places = {b.shape: b for b in figure.scene.boxes}
        for path in figure.scene.paths:
            link = diagram_of(figure).links[path.link or 0]
            for end, point in (
                (places[link.source], path.curves[0][0][0]),
                (places[link.target], path.curves[-1][-1][3]),
            ):
                off = (
                    abs(point[0] - end.x) - end.half_width,
                    abs(point[1] - end.y) - end.half_height,
                )
                assert max(off) < 2.5


@pytest.mark.parametrize("direction", ["up", "down", "right"])
def test_bars_and_matrices_stand_at_the_rows_in_every_direction(direction: str) -> None:
    figure = viz.draw(
        recurrent_loss(4), compare=[tg.Window(1)], gradients=True, direction=direction
    )

    def at(b: Box) -> tuple[float, float]:
        return (b.x, b.y) if direction == "right" else (b.y, b.x)

    shapes = [b for b in figure.scene.boxes if b.shape is not None]
    for t in range(4):
        state, _ = at(box(figure, f"h_{t + 1}"))
        bars = [b for b in figure.scene.boxes if b.title.endswith(f" at step {t + 1}")]
        assert len(bars) >= 4 - t + 3  # cells of the matrix, and a bar for each parameter
        for bar in bars:
            along, aside = at(bar)
            assert along == pytest.approx(state)
            ends = [at(b)[1] for b in shapes]
            assert aside < min(ends) if direction == "right" else aside > max(ends)
    (low, _), (high, _) = figure.scene.bounds()
    assert all(low <= text.x <= high for text in figure.scene.texts)
    shares = [text for text in texts(figure) if "% of" in text]
    assert len(shares) == 3


def test_legends_and_titles() -> None:
    figure = viz.draw(*outputs("own_cell"), legend=True, title="A random truncation")
    assert {"parameters", "no gradient passes", "A random truncation"} <= set(texts(figure))
    assert not viz.draw(recurrent_loss(4, truncation=tg.Window(1)), legend=False).scene.texts


def test_mistakes_in_options() -> None:
    with pytest.raises(
        ValueError, match="direction must be one of 'up', 'right', 'down', not 'left'"
    ):
        viz.draw(*outputs("network"), direction="left")


def test_what_is_compared_fits_into_the_width_of_a_page() -> None:
    strategies = [tg.Full(), tg.Window(1), tg.Subsequence(2)]
    figure = viz.draw(recurrent_loss(4), compare=strategies, gradients=True)
    (left, low), (right, top) = figure.scene.bounds()
    assert right - left < 1520 and top - low > 350
    said = [t for t in figure.scene.texts if t.line[0].text in map(repr, strategies)]
    places = [(t.x, t.y) for t in said]
    assert places[0][1] == places[1][1] > places[2][1] and places[2][0] == places[0][0]
    legends = [t for t in figure.scene.texts if t.line[0].text.startswith("width")]
    assert len(legends) == 1


def attending(steps: int = 3) -> Any:
    """Each step reads the states of all steps before: no matrix says how losses reach them."""
    W, kept, h = parameter("W", 3, 3), [], value("h_0", 2, 3)
    for t in range(steps):
        with tg.step(t):
            h = np.tanh(h @ W + np.mean(np.stack([h, *kept]), axis=0)).named(f"h_{t + 1}")
            kept.append(h)
    return sum(np.sum(h) for h in kept)


def test_what_is_no_chain_has_the_whole_gradient_and_is_not_compared() -> None:
    loss = attending()
    figure = viz.draw(loss, gradients=True)
    (W,) = record([loss]).tied.values()
    assert f"Σ = {np.linalg.norm(W.full):.3g}" in texts(figure)
    bars = [b for b in figure.scene.boxes if " at step " in b.title]
    assert [b.title.partition(", ")[2] for b in bars] == [f"loss 1 at step {t}" for t in (1, 2, 3)]
    assert not {"l1", "l2"} & set(texts(figure))  # a legend of losses would be wrong
    says = "step 3 also uses step 1, past the links between them, so the matrix alone does not"
    with pytest.raises(ValueError, match=says):
        viz.draw(loss, compare=[tg.Full()])


def test_comparisons_without_bars_and_without_a_legend() -> None:
    plain_, full = (
        viz.draw(recurrent_loss(3), compare=[tg.Full()], gradients=gradients, legend=False)
        for gradients in (False, True)
    )
    assert not [text for text in texts(plain_) if "% of" in text]
    assert len([text for text in texts(full) if "% of" in text]) == 3
    assert not any(text.startswith("width") for text in (*texts(plain_), *texts(full)))


def test_many_losses_have_no_names_above_the_matrix() -> None:
    for steps, named in ((12, True), (13, False)):
        figure = viz.draw(recurrent_loss(steps), fold=None, compare=[tg.Full()], legend=False)
        cells = [b for b in figure.scene.boxes if " times at step " in b.title]
        assert len(cells) == steps * (steps + 1) // 2
        assert ("l1" in texts(figure)) is named


def test_angles_need_the_contributions_and_a_gradient() -> None:
    def shares(loss: Any, *strategies: tg.Truncation) -> list[str]:
        figure = viz.draw(loss, compare=strategies, gradients=True)
        return [text for text in texts(figure) if "% of" in text]

    assert shares(recurrent_loss(3) * 0.0, tg.Full()) == ["0% of 1"] * 3

    def wide(size: int) -> Any:
        W, h = tg.Tensor(np.eye(size) / 2, requires_grad=True, name="W"), value("h_0", 1, size)
        for t in range(3):
            with tg.step(t):
                x = tg.Tensor(np.linspace(0, t + 1.0, size)[None], name=f"x_{t + 1}")
                h = np.tanh(x + h @ W).named(f"h_{t + 1}")
        return np.sum(h)

    (known,), (norms,) = shares(wide(4), tg.Window(0)), shares(wide(500), tg.Window(0))
    assert known.endswith("° off") and not norms.endswith("° off")


def test_a_gradient_of_one_loss_without_time_needs_no_colours_of_losses() -> None:
    figure = viz.draw(*outputs("network"), gradients=True)
    assert not [b for b in figure.scene.boxes if b.kind == "bar"]
    assert any(text.startswith("width") for text in texts(figure))
    alone = viz.draw(parameter("W", 2, 2), gradients=True)
    assert [b.title for b in alone.scene.boxes if b.shape is not None] == ["W"]


def test_a_factor_of_zero_cuts_each_loss_once() -> None:
    w, u, x = parameter("w", 2, 2), parameter("u", 2, 2), value("x", 2, 2)
    h = np.tanh(w * x).named("h")
    loss = np.sum(tg.scale_gradient(h, 0.0) * u)
    diagram = group(snapshot([loss]), "named")
    flows = Flows(diagram, record([loss]))
    of_h = [flows.strands(k) for k in diagram.links if diagram.shapes[k.source].title == "h"]
    assert [[(s.loss, s.cut) for s in strands] for strands in of_h] == [[(0, True)]]
