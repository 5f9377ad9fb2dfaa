"""Formulas, as they are read from the tape and the table."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.viz.models import outputs, parameter, value
from viz.backward.flows import nodes_of
from viz.diagram import group
from viz.player.formulas import Formulas, formulas
from viz.snapshot import snapshot
from viz.values import values_of


def of_circles(losses: Iterable[tg.Tensor]) -> dict[str, Formulas]:
    """The formulas of every circle, by the name of its result."""
    losses = list(losses)
    diagram = group(snapshot(losses), "named")
    values = values_of(tg.tape(*losses), losses)
    results = {loss.node for loss in losses}
    found = {}
    for shape, nodes in zip(diagram.shapes, nodes_of(diagram), strict=True):
        if shape.kind == "circle":
            made = formulas(nodes, values, output=nodes[-1] in results)
            found[nodes[-1].name or "?"] = made
    return found


def read(text: str, terms: tuple[Any, ...]) -> str:
    for n, node in reversed(list(enumerate(terms))):
        text = text.replace(f"§{n}", node.name or "?")
    return text


def test_the_chapters_network() -> None:
    found = of_circles(outputs("rnn"))
    h = found["h_2"]
    assert read(h.forward[0][1], h.terms) == "tanh(x_2 W_xh + h_1 W_hh)"
    backward = {read(to, h.terms): read(text, h.terms) for to, _, text in h.backward}
    assert backward == {
        "∂h_1": "(∂h_2 ⊙ (1 − h_2²)) W_hhᵀ",
        "∂W_hh": "h_1ᵀ (∂h_2 ⊙ (1 − h_2²))",
        "∂W_xh": "x_2ᵀ (∂h_2 ⊙ (1 − h_2²))",
    }
    L = found["L"]
    assert read(L.forward[0][1], L.terms) == "(CE(o_1, y_1) + CE(o_2, y_2) + CE(o_3, y_3)) / 3"
    assert read(L.backward[-1][2], L.terms) == "1/6 (softmax(o_1) − onehot(y_1))"


def test_gates_have_their_names() -> None:
    c = of_circles(outputs("lstm"))["c_2"]
    assert read(c.forward[0][1], c.terms) == "«f» ⊙ c_1 + «i» ⊙ «g»"
    assert {left: read(right, c.terms).split("?") for left, right in c.forward[1:]} == {
        "«i»": ["σ(", "[0:5])"],
        "«f»": ["σ(", "[5:10])"],
        "«g»": ["tanh(", "[10:15])"],
    }
    lines = [" ".join(read(part, c.terms) for part in line) for line in c.backward]
    assert "∂«f» = ∂c_2 ⊙ c_1" in lines
    assert "∂?[5:10] += ∂«f» ⊙ («f» − «f»²)" in lines
    h = of_circles(outputs("gru_two_layers"))["h_2^(1)"]
    assert read(h.forward[0][1], h.terms) == "(1 − «z») ⊙ «n» + «z» ⊙ h_1^(1)"
    letters = [left for left, _ in h.forward[1:]]
    assert {"«r»", "«z»", "«n»"} < set(letters)
    assert len(letters) == len(set(letters))


def test_slices_of_ones_own_keep_their_numbers() -> None:
    c = of_circles(outputs("lstm_by_hand"))["c_2"]
    assert "«i»" not in str(c.forward) and "[:, 5:10]" in str(c.forward)


x, w, b = value("x", 2, 3), parameter("w", 2, 3), parameter("b", 3)


@pytest.mark.parametrize(
    ("result", "forward", "backward"),
    [
        (lambda: w * x + b, "w ⊙ x + b", {"∂w": "∂y ⊙ x", "∂b": "∂y"}),
        (lambda: 1 - w, "c − w", {"∂w": "−∂y"}),  # the tape has neither w nor the 1
        (lambda: (1 - w) * w, "(1 − w) ⊙ w", None),
        (lambda: 2 * w, "2 w", {"∂w": "2 ∂y"}),
        (lambda: w / x, "w / x", {"∂w": "∂y / x"}),
        (lambda: w**2, "w²", {"∂w": "2 ∂y ⊙ w"}),
        (lambda: np.square(w), "w²", {"∂w": "2 ∂y ⊙ w"}),
        (lambda: np.exp(w), "exp(w)", {"∂w": "∂y ⊙ y"}),
        (lambda: tg.sigmoid(w), "σ(w)", {"∂w": "∂y ⊙ (y − y²)"}),
        (lambda: tg.relu(w), "relu(w)", {"∂w": "∂y ⊙ [y > 0]"}),
        (lambda: w[:, 1:], "w[:, 1:]", {"∂w[:, 1:]": "∂y"}),
        (lambda: np.sum(w, axis=0), "Σ w", {"∂w": "∂y"}),
        (lambda: np.sin(w), "sin(w)", {"∂w": "∂y ⊙ cos(w)"}),
        (lambda: np.sqrt(np.sum(w**2)), "√(Σ w²)", {"∂w": "(∂y / y) w"}),
        (lambda: np.linalg.norm(w), "√(Σ w²)", {"∂w": "(∂y / y) w"}),
        (lambda: (w + b).T, "(w + b)ᵀ", {"∂w": "∂yᵀ", "∂b": "∂yᵀ"}),
        (lambda: np.einsum("ij,kj->ik", w, x), "einsum(w, x)", {"∂w": "∂y · ∂einsum"}),
        (lambda: np.where(w * x, b, x), "where(w ⊙ x, b, x)", {"∂b": "where(w ⊙ x, ∂y)"}),
    ],
)
def test_one_operation_at_a_time(
    result: Any, forward: str, backward: dict[str, str] | None
) -> None:
    y = result().named("y")
    found = of_circles([np.sum(y * x[:1, :1].data)])["y"]
    assert read(found.forward[0][1], found.terms) == forward
    lines = {read(to, found.terms): read(text, found.terms) for to, _, text in found.backward}
    assert backward is None or lines == backward


def test_long_sums_show_their_ends() -> None:
    L = of_circles(outputs("rnn_hundred_steps"))["L"]
    text = read(L.forward[0][1], L.terms)
    assert text == "(CE(o_1, y_1) + CE(o_2, y_2) + … + CE(o_100, y_100)) / 100"


def test_a_rule_of_ones_own() -> None:
    cube = tg.derivative(_cube, lambda g, x: 3 * g * x * x)
    found = of_circles([np.sum(cube(w).named("y"))])["y"]
    assert read(found.backward[0][2], found.terms) in ("3 ∂y ⊙ w ⊙ w", "3 ∂y ⊙ w²")


def _cube(x: Any) -> Any:
    return x * x * x
