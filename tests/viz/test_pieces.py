"""Small pieces of the pictures at their limits: what no model of the gallery shows."""

from __future__ import annotations

import math
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from viz import strands, strokes, svg
from viz.geometry import distance
from viz.indices import gate_of, index_text
from viz.player import compact, symbols
from viz.player.formulas import _short
from viz.player.packing import Pack
from viz.player.symbols import Symbol
from viz.render import _fonts, render
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


@pytest.mark.parametrize("colours", ["12px", ("#FFF", "url(x)")])
def test_what_is_no_colour(colours: Any) -> None:
    with pytest.raises(ValueError, match=r"parameters .*#RGB, #RRGGBB or rgb"):
        theme_of({"parameters": colours})


def test_a_colour_is_that_of_what_a_class_has() -> None:
    table: Mapping[str, Any] = {"parameters": ("gold", "navy", "black"), "muted": "teal"}
    theme = theme_of(table)
    assert tuple(theme["parameters"]) == ("gold", "navy", "black")
    assert theme["muted"].text == "teal" and theme["muted"].fill == theme["muted"].stroke == "none"


def test_a_page_without_paper_and_colours_by_name(tmp_path: Path) -> None:
    figure = viz.draw(network(), theme={"paper": "none", "parameters": "gold"}, values=True)
    text = figure.svg()
    assert 'class="paper"' not in text and "gold" in text
    figure.save(tmp_path / "figure.tex")
    written = (tmp_path / "figure.tex").read_text()
    assert (
        r"\colorlet{" in written
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
