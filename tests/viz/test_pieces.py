"""Small pieces of the pictures at their limits: what no model of the gallery shows."""

from __future__ import annotations

import gc
import math
import re
import runpy
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from viz import colours, strands, strokes, svg
from viz.bands import add_bands
from viz.diagram import Diagram, Link, Shape, group
from viz.geometry import distance, is_straight, line
from viz.indices import gate_of, index_text
from viz.labels import plain
from viz.layout import BETWEEN_BOXES, arrange
from viz.models import recurrent_loss
from viz.numbers import add_numbers
from viz.player import compact, symbols
from viz.player.formulas import _short
from viz.player.packing import Pack
from viz.player.symbols import Symbol
from viz.render import _fonts, render
from viz.routing import route
from viz.scene import Box, Scene
from viz.snapshot import snapshot
from viz.strands import Strand
from viz.themes import theme_of


def network() -> tg.Tensor:
    w = tg.Tensor(np.array([[0.5, 0.1], [0.2, 0.3]]), requires_grad=True, name="w")
    return np.sum(np.tanh(np.ones((1, 2)) @ w)).named(r"\tilde W_1")


def test_an_index_of_everything() -> None:
    assert index_text(...) == index_text((...,)) == "…"


def test_a_slice_that_is_no_gate() -> None:
    cell = tg.LSTMCell(3, 4, rng=0)
    gates = cell.project(np.ones((2, 3)))
    assert gate_of(gates[:, 4:8].node) == "f"
    assert gate_of(gates[:, 2:].node) is gate_of(gates[:, 2:5].node) is None


@pytest.mark.parametrize(
    "given", ["goldd", "12px", "#12", "rgb(0, 0, 256)", ("#FFF", "url(x)"), ("#FFF", None)]
)
def test_what_is_no_colour(given: Any) -> None:
    wrong = re.escape(repr(given if isinstance(given, str) else given[1]))
    with pytest.raises(ValueError, match=rf"colour of parameters .*#RRGGBB, .* not {wrong}$"):
        theme_of({"parameters": given})


def test_the_names_are_those_of_css() -> None:
    known = pytest.importorskip("matplotlib.colors").CSS4_COLORS
    assert {name: digits.lower() for name, digits in known.items()} == colours.NAMES
    assert len(colours.NAMES) == 148


def test_a_colour_is_that_of_what_a_class_has() -> None:
    table: Mapping[str, Any] = {"parameters": ("Gold", "#abc", "rgb(0, 8,255)"), "muted": "teal"}
    theme = theme_of(table)
    assert tuple(theme["parameters"]) == ("#ffd700", "#aabbcc", "#0008ff")
    assert (
        theme["muted"].text == "#008080" and theme["muted"].fill == theme["muted"].stroke == "none"
    )


def test_a_page_without_paper_and_colours_by_name(tmp_path: Path) -> None:
    figure = viz.draw(network(), theme={"paper": "none", "parameters": "gold"}, values=True)
    text = figure.svg()
    assert 'class="paper"' not in text and "#ffd700" in text
    figure.save(tmp_path / "figure.tex")
    written = (tmp_path / "figure.tex").read_text()
    assert (
        r"\definecolor{parameters-fill}{HTML}{FFD700}" in written
        and r"$\tilde{\mathrm{W}}$" in written
        and r"\fontsize{6.5}" in written
    )


def test_a_line_without_text_is_not_written() -> None:
    assert svg._typeset((), 0.0, 0.0, 8.0, "") == ""


def test_numbers_that_are_not_finite_are_packed_as_the_largest() -> None:
    pack = Pack()
    assert pack.add(np.array([1.0, np.inf, -np.inf, np.nan])) == 0 and pack.length == 5
    assert pack.text


def test_symbols_are_numbers_where_a_rule_asks() -> None:
    a, zero = Symbol("a", np.ones((3, 2))), Symbol("0", 0.0)
    assert len(a) == 3 and float(Symbol("b", 2.0)) == 2.0 and not zero and bool(Symbol("b", 1))
    assert (a + zero).text == (zero + a).text == "a"
    assert np.negative(np.negative(a)).text == np.transpose(np.transpose(a)).text == "a"
    assert np.stack([a, a]).shape == (2, 3, 2)
    assert symbols._residual(a, "y", 1.0).text == "softmax(a) − onehot(c)"


def test_a_long_text_that_is_no_sum() -> None:
    assert _short("x" * 1000) == "…"


def test_templates_of_scripts_keep_their_escapes() -> None:
    assert compact._template(r"`a\`b ${ c + d } e`", 0)[0] == r"`a\`b ${c+d} e`"


def test_strands_without_a_width_and_too_many() -> None:
    assert strands.width_of(0.0) == strands.THINNEST
    many = [Strand(n, 1.0, "#000", cut=n > 0) for n in range(20)]
    few = strands.bundle(many)
    assert len(few) == strands.MOST and few[1:] == many[-strands.MOST + 1 :]
    assert few[0].size == pytest.approx(math.sqrt(20 - strands.MOST + 1)) and not few[0].cut


def test_curves_whose_ends_have_no_direction() -> None:
    a, b, d = (0.0, 0.0), (1.0, 0.0), (3.0, 0.0)
    assert strands.offset((a, b, d, d), 0.5) == ((0, 0.5), (1, 0.5), (3, 0.5), (3, 0.5))
    assert strands.offset((a, a, b, d), 0.5)[0] == (0, 0.5)
    (_, tip), *_ = [(stroke[0], stroke[-1]) for stroke in strokes.arrow_head([(a, b, d, d)])]
    assert distance(tip, d) == 0


def test_what_graphviz_cannot_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygraphviz")
    with pytest.raises(RuntimeError, match=r"Graphviz .*draw"):
        render("no graph", "svg", 72)
    monkeypatch.setenv("FONTCONFIG_FILE", "mine.conf")
    assert _fonts(Path("nowhere")) == {}


def test_the_module_is_a_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "figure.gv"
    monkeypatch.setattr(sys, "argv", ["viz", "rnn", "--steps", "2", "-o", str(path)])
    monkeypatch.delitem(sys.modules, "viz.__main__", raising=False)
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("viz", run_name="__main__")
    assert path.stat().st_size > 1000


def test_folds_are_told_beside_the_row_also_to_the_right() -> None:
    cell = tg.RNNCell(2, 2, rng=0)
    states, _ = tg.unroll(cell, np.ones((12, 1, 2)))
    figure = viz.draw(np.sum(states[-1]), direction="right", gradients=True, legend=False)
    assert "⋮ × " in figure.svg()


def test_parts_that_lie_within_one_another_have_no_frame() -> None:
    parts = ("a", 0.0), ("b", 50.0), ("a", 100.0), ("c", 200.0)
    shapes = [Shape("circle", (), (0, 0), part, part=part) for part, _ in parts]
    boxes = [Box("circle", x, 0.0, 7.0, 7.0, shape=i) for i, (_, x) in enumerate(parts)]
    scene = Scene("", "", boxes, diagram=Diagram(shapes))
    add_bands(scene)
    assert [box.title for box in scene.boxes if box.kind == "band"] == ["the part b", "the part c"]


def test_a_snapshot_is_drawn_after_its_graph_is_gone() -> None:
    for detail, truncation in (("named", None), ("ops", None), ("named", tg.Window(1))):
        loss = recurrent_loss(3, truncation=truncation)
        values = snapshot([loss])
        before = group(values, detail)
        held = [plain(shape.label) for shape in before.shapes]
        del loss
        gc.collect()
        assert not any(reference() for shape in before.shapes for reference in shape.nodes)
        after = group(values, detail)
        for shape, label in zip(after.shapes, held, strict=True):
            assert plain(shape.label) in (label, *label.split())  # ÷ instead of ÷ 3
        assert after.links == before.links
        add_numbers(after, {})
        lines = {shape.title: plain(shape.label) for shape in after.shapes if shape.kind == "box"}
        assert lines["h_2"] == "h2 2×5"


def test_a_curve_that_goes_on_where_the_last_one_ended() -> None:
    a, b, c, d = (0.0, 0.0), (1.0, 0.0), (1.0, 2.0), (5.0, 5.0)
    written = svg._Writer(Scene("", ""), theme_of("textbook"), lambda item: "")._curves
    assert "m" not in written([[line(a, b)], [line(b, c)]])
    assert "m" in written([[line(a, b)], [line(d, c)]])


def test_a_line_that_is_crossed_at_its_arrow_has_no_rim_there() -> None:
    shapes = [Shape("box", (), (row, row), str(row)) for row in range(5)]
    diagram = Diagram(shapes, [Link(0, 1), Link(2, 3)], rows=5)
    for length, rims in ((0.2, 0), (20.0, 1)):
        crossed = [line((25.0, -20.0), (25.0, length))]
        over, under = strokes.strokes(diagram, [crossed, [line((0.0, 0.0), (50.0, 0.0))]])
        assert len(over.rims) == rims and len(over.pieces) == 1 and len(under.pieces) == 2


@pytest.mark.parametrize("make", [network, lambda: recurrent_loss(6)])
def test_where_no_way_is_free_a_link_is_a_straight_line(make: Any) -> None:
    diagram = group(snapshot([make()]), "named")
    layout = arrange(diagram)
    blocked = [replace(place, half_width=400.0, half_height=400.0) for place in layout.places]
    curves = route(diagram, replace(layout, places=blocked))
    assert [[is_straight(cubic) for cubic in curve] for curve in curves] == [[True]] * len(curves)


def test_boxes_below_the_rows_stay_apart_however_many_they_are() -> None:
    h: Any = tg.Tensor(np.zeros((2, 3)), name="h_0")
    for t in range(40):
        with tg.step(t):
            weight = tg.Tensor(np.eye(3), requires_grad=True, name=f"W^({t})")
            h = np.tanh(h @ weight).named(f"h_{t + 1}")
    diagram = group(snapshot([np.sum(h)]), "named")
    placed = zip(diagram.shapes, arrange(diagram).places, strict=True)
    below = sorted((place.x, place.half_width) for shape, place in placed if shape.rows is None)
    assert len(below) == 41
    for (x, half), (after, more) in pairwise(below):
        assert after - x >= half + more + BETWEEN_BOXES - 1e-9


def test_what_graphviz_says_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess([], 0, b"<svg/>", b"Fontconfig: no\nwarning: a cycle\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: said)
    pytest.importorskip("pygraphviz")
    with pytest.warns(RuntimeWarning, match="^Graphviz says: warning: a cycle$"):
        assert render("", "svg", 72) == b"<svg/>"


def test_a_choice_is_written_with_its_condition() -> None:
    a, two = Symbol("a", np.ones(3)), Symbol("2", 2.0)
    half = np.true_divide(Symbol("1", 1.0), Symbol("n", 2.0))
    assert np.multiply(half, a).text == "a / n"
    assert np.where(a > two, a, two).text == "where([a > 2], a, 2)"
