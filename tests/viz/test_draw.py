"""What is drawn: which values become boxes, circles and parameters."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import labels, outputs, parameter, value
from tests.viz.reading import named, read


def texts(*tensors: tg.Tensor, detail: str = "named") -> list[str]:
    return sorted(box.text for box in read(viz.draw(*tensors, detail=detail).source)[0].values())


def links(*tensors: tg.Tensor, detail: str = "named") -> set[tuple[str, str]]:
    boxes, lines = read(viz.draw(*tensors, detail=detail).source)
    return {(boxes[line.source].text, boxes[line.target].text) for line in lines}


def test_a_circle_is_all_that_is_computed_between_named_values() -> None:
    w, x = parameter("w", 3), value("x", 3)
    y = np.sum(np.tanh(np.exp(w * x) + 1) * 2).named("y")
    assert texts(y) == ["", "w", "x", "y"]
    assert links(y) == {("w", ""), ("x", ""), ("", "y")}


def test_ops_opens_the_circles() -> None:
    w, x = parameter("w", 3), value("x", 3)
    y = np.sum(np.tanh(w * x)).named("y")
    assert links(y, detail="ops") == {
        ("w", "×"),
        ("x", "×"),
        ("×", "tanh"),
        ("tanh", "Σ"),
        ("Σ", "y"),
    }


def test_what_several_circles_use_is_a_circle_of_its_own() -> None:
    w = parameter("w", 3)
    shared = np.exp(w)
    boxes, lines = read(viz.draw(np.sin(shared).named("a"), np.cos(shared).named("b")).source)
    assert sum(box.circle for box in boxes.values()) == 3
    from_w = [line for line in lines if boxes[line.source].text == "w"]
    assert len(from_w) == 1


def test_parameters_with_the_same_circles_share_a_box() -> None:
    W, b, V = parameter("W", 3, 3), parameter("b", 3), parameter("V", 3)
    h = (value("x", 3) @ W + b).named("h")
    assert texts((h @ V).named("y")) == ["", "", "V", "W\u2009, b", "h", "x", "y"]


def test_the_graph_has_no_cycle_where_a_circle_feeds_two_values() -> None:
    boxes, lines = read(viz.draw(*outputs("lstm_by_hand")).source)
    after: dict[str, set[str]] = {}
    for line in lines:
        after.setdefault(line.source, set()).add(line.target)
    order: list[str] = []
    waiting = set(boxes)
    while ready := [n for n in waiting if all(n not in after.get(m, ()) for m in waiting)]:
        order += ready
        waiting -= set(ready)
    assert not waiting and len(order) == len(boxes)


def test_names_are_set_as_in_print() -> None:
    h, W = value("h_3^(2)", 2), parameter("W_hh", 2)
    source = viz.draw(tg.mse(h * W, 0.0), (labels("y_1") * W).named("z")).source
    small = '<FONT POINT-SIZE="8.1">'
    assert f"<B>h</B>{small}<SUB>3</SUB></FONT>{small}<SUP>(2)</SUP></FONT>" in source
    assert f"<B>W</B>{small}<SUB><I>hh</I></SUB></FONT>" in source
    assert f"<y{small}<SUB>1</SUB></FONT>>" in source  # labels, plain
    assert 'serif Italic">L</FONT>>' in source  # a scalar
    assert 'serif Bold">z</FONT>>' in source


def test_a_name_may_hold_anything() -> None:
    w = tg.Tensor([1.0], requires_grad=True, name='<b>"&\\n_π')
    assert viz.draw((w * 2).named("a_b_c^d")).svg().startswith("<svg")


def test_outputs_and_inputs_without_a_name() -> None:
    w = tg.Tensor(np.ones((2, 3)), requires_grad=True)
    assert texts(np.sum(w)) == ["", "(2×3)", "L"]
    assert texts(np.sum(w), np.sum(w * 2)) == ["", "", "(2×3)", "L1", "L2"]
    assert texts(np.exp(w)) == ["", "(2×3)", "y"]
    assert texts(w) == ["(2×3)"]


def test_a_detached_value_with_a_name_is_a_box_behind_a_cut() -> None:
    h = np.exp(parameter("w", 2)).named("h")
    loss = np.sum(h.detach().named("constant") * h)
    boxes, lines = read(viz.draw(loss).source)
    (cut,) = [line for line in lines if line.color]
    assert (boxes[cut.source].text, boxes[cut.target].text) == ("h", "constant")


def test_a_value_used_both_cut_and_uncut_has_two_lines() -> None:
    h = np.exp(parameter("w", 2)).named("h")
    boxes, lines = read(viz.draw(np.sum(h.detach() * h)).source)
    first, second = [line for line in lines if boxes[line.source].text == "h"]
    assert [line.color for line in (first, second)] == ["#8C8C8C", None]
    assert np.all(np.abs(first.points()[:, 1].mean() - second.points()[:, 1].mean()) > 4)


def test_a_constant_from_an_earlier_chunk_is_drawn_without_its_history() -> None:
    w = parameter("w", 2)
    before = np.exp(w * 3).named("h_7")
    boxes, lines = read(viz.draw(np.sum(before.detach() * w)).source)
    assert sorted(box.text for box in boxes.values()) == ["", "L", "h7", "w"]
    assert [boxes[line.source].text for line in lines if line.color] == ["h7"]


def test_a_chain_of_any_length_is_drawn() -> None:
    x = parameter("w", 1)
    for _ in range(20_000):
        x = x * 1.0
    assert links(x) == {("w", ""), ("", "y")}


def test_source_is_the_same_in_every_process() -> None:
    code = (
        "import viz; from tests.viz.models import outputs;"
        "print(viz.draw(*outputs('lstm_by_hand')).source)"
        "; print(viz.draw(*outputs('own_cell'), detail='ops').source)"
    )
    root = Path(__file__).parents[2]
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            cwd=root,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1 and printed.pop().count(b"digraph") == 2


def test_ids_count_from_zero() -> None:
    for _ in range(2):
        boxes, _ = read(viz.draw(*outputs("rnn")).source)
        assert set(boxes) == {f"n{i}" for i in range(len(boxes))}


def test_mistakes_are_one_sentence() -> None:
    w = parameter("w", 1)
    with pytest.raises(ValueError, match="detail must be 'named' or 'ops', not 'all'"):
        viz.draw(w, detail="all")
    with pytest.raises(TypeError, match="draw takes Tensors, usually the loss, not ndarray"):
        viz.draw(np.ones(2))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"viz.draw\(loss\)"):
        viz.draw()
    with pytest.raises(ValueError, match="fold must be at least 3"):
        viz.draw(w, fold=2)


def test_the_initial_state_stands_under_the_states() -> None:
    boxes, _ = read(viz.draw(*outputs("own_cell")).source)
    assert named(boxes, "s0").x == named(boxes, "s1").x
    assert named(boxes, "s0").y < named(boxes, "s1").y


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_a_constant_stands_below_the_rows_that_use_it(steps: int) -> None:
    w, k = parameter("w", 2), value("k", 2)
    h: Any = value("h_0", 2)
    losses = []
    for t in range(steps):
        with tg.step(t):
            target = value(f"y_{t + 1}", 2)
            h = np.tanh(h * w + k).named(f"h_{t + 1}")
            losses.append(np.sum((h - target) * 0.5).named(f"l_{t + 1}"))
            h = h * target  # teacher forcing: an input is no constant
    diagram = viz.draw(*losses).scene.diagram
    assert diagram is not None
    rows = {shape.title: shape.rows for shape in diagram.shapes}
    assert rows["k"] is None and rows["h_0"] is None
    assert [rows[f"y_{t + 1}"] for t in range(steps)] == [(t, t) for t in range(steps)]


def test_a_reset_is_drawn_on_its_link() -> None:
    reset = np.array([[False, False], [True, False], [False, False]])
    states, _ = tg.unroll(tg.RNNCell(2, 3, rng=0), np.ones((3, 2, 2)), reset=reset)
    figure = viz.draw(np.sum(states[-1]))
    assert "reset" not in {box.title for box in figure.scene.boxes if box.shape is not None}
    (pill,) = [box for box in figure.scene.boxes if box.kind == "pill"]
    assert pill.label[0][0].text == "reset"
    boxes = {box.title: box for box in figure.scene.boxes}
    assert boxes["h_1"].y < pill.y < boxes["h_2"].y
    diagram = figure.scene.diagram
    assert diagram is not None
    (link,) = [link for link in diagram.links if link.says]
    assert diagram.shapes[link.source].title == "h_1"


def test_operations_say_their_constants_their_indices_and_the_gates() -> None:
    w = parameter("w", 4)
    y = np.sum((1 - w) * 2.5 + w[1:3].sum() / 3)
    assert {"c −", "× 2.5", "[1:3]", "÷ 3"} <= set(texts(y, detail="ops"))
    rows = parameter("R", 3, 4)[np.array([0, 2]), 1:3]
    assert texts(np.sum(rows), detail="ops")
    _, (h, _) = tg.unroll(tg.LSTMCell(2, 3, rng=0), np.ones((1, 2, 2)))
    assert {"i", "f", "g", "o"} <= set(texts(h, detail="ops"))
    _, h = tg.unroll(tg.GRUCell(2, 3, rng=0), np.ones((1, 2, 2)))
    assert {"r", "z"} <= set(texts(h, detail="ops"))


def test_constants_that_the_tape_does_not_keep_follow_from_its_values() -> None:
    _, h = tg.unroll(tg.GRUCell(4, 3, rng=0), np.ones((1, 2, 4)))
    assert "1 −" in texts(h, detail="ops")  # of (1 − z) ⊙ n
    w = parameter("w", 3)
    assert "+ 0.5" in texts(np.sum((w + 0.5) ** 2), detail="ops")
    assert "+ c" in texts(np.sum((w + np.arange(3.0)) ** 2), detail="ops")
