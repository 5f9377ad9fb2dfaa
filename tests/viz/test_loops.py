"""Networks without a name or a mark: loops, their steps and their states are found on the tape."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.soundness import check
from viz.backward.recording import record
from viz.diagram import Diagram
from viz.geometry import sample
from viz.player.data import page_data
from viz.snapshot import snapshot
from viz.unmarked import with_steps

rng = np.random.default_rng(0)


def weight(*shape: int) -> tg.Tensor:
    return tg.Tensor(rng.normal(size=shape), requires_grad=True)


def array(*shape: int) -> Any:
    return rng.normal(size=shape)


def lstm(steps: int = 3) -> Any:
    W, U, V = weight(4, 12), weight(3, 12), weight(3)
    h, c = array(2, 3), array(2, 3)
    for _ in range(steps):
        gates = array(2, 4) @ W + h @ U
        i, f, o = (tg.sigmoid(gates[:, 3 * k : 3 * k + 3]) for k in range(3))
        c = f * c + i * np.tanh(gates[:, 9:])
        h = o * np.tanh(c)
    return np.sum(h @ V)


def run(xs: Any, order: Any, W: Any, U: Any) -> dict[int, Any]:
    """The states of a chain that goes over the inputs in this order."""
    h: Any = np.zeros((2, 3))
    states = {}
    for t in order:
        h = states[t] = np.tanh(xs[t] @ W + h @ U)
    return states


def bidirectional(steps: int = 4) -> Any:
    xs = array(steps, 2, 4)
    forwards, backwards, V = (
        (weight(4, 3), weight(3, 3)),
        (weight(4, 3), weight(3, 3)),
        weight(6, 3),
    )
    ahead = run(xs, range(steps), *forwards)
    back = run(xs, reversed(range(steps)), *backwards)
    loss: Any = 0.0
    for t in range(steps):
        o = np.concatenate([ahead[t], back[t]], axis=1) @ V
        loss = loss + tg.cross_entropy(o, np.array([0, 1]))
    return loss


def encoder_decoder(steps: int = 3, attention: bool = False) -> Any:
    W, U, V = weight(4, 3), weight(3, 3), weight(3, 5)
    W_d, U_d = weight(6 if attention else 4, 3), weight(3, 3)
    h: Any = np.zeros((2, 3))
    states = []
    for _ in range(steps):
        h = np.tanh(array(2, 4) @ W + h @ U)
        states.append(h)
    keys = np.stack(states)
    loss: Any = 0.0
    for _ in range(steps):
        if attention:
            a = tg.softmax(np.einsum("tbh,bh->bt", keys, h))
            h = np.tanh(np.concatenate([h, np.einsum("bt,tbh->bh", a, keys)], axis=1) @ W_d)
        else:
            h = np.tanh(array(2, 4) @ W_d + h @ U_d)
        loss = loss + tg.cross_entropy(h @ V, np.array([0, 1]))
    return loss


def pendulum(steps: int = 4) -> Any:
    length, theta, omega = (tg.Tensor(x, requires_grad=True) for x in (1.0, 0.5, 0.0))
    for _ in range(steps):
        omega = omega - 0.981 / length * np.sin(theta)
        theta = theta + 0.1 * omega
    return theta * theta


NETWORKS: dict[str, tuple[Callable[[], Any], int, set[str]]] = {
    "lstm": (lstm, 3, {"s_1", "s_2", "s_3", "r_1", "r_2", "r_3"}),
    "bidirectional": (bidirectional, 4, {f"{s}_{t}" for s in "sr" for t in range(1, 5)}),
    "encoder_decoder": (encoder_decoder, 6, {f"s_{t}" for t in range(1, 7)}),
    "attention": (
        lambda: encoder_decoder(attention=True), 6, {"s_1", "s_2", "s_3", "r_4", "r_5", "r_6"},
    ),
    "pendulum": (pendulum, 4, {f"{s}_{t}" for s in "sr" for t in range(5)}),
}  # fmt: skip


def diagram_of(figure: viz.Figure) -> Diagram:
    assert figure.scene.diagram is not None
    return figure.scene.diagram


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_and_states_are_found(name: str) -> None:
    make, rows, states = NETWORKS[name]
    for direction in ("up", "right"):
        figure = viz.draw(make(), direction=direction)
        check(figure)
        diagram = diagram_of(figure)
        assert diagram.rows == rows
        boxes = {s.title: s for s in diagram.shapes if s.kind == "box" or s.beside}
        assert {title for title in boxes if "_" in title} == states
        for title, shape in boxes.items():
            step = title.partition("_")[2]
            if step and step != "0":
                assert shape.row == int(step) - 1
    check(viz.draw(make(), detail="ops"))


def test_two_chains_are_paired_by_what_joins_them() -> None:
    shapes = diagram_of(viz.draw(bidirectional())).shapes
    at = {shape.title: shape.row for shape in shapes if shape.kind == "box"}
    links = {(shapes[k.source].title, shapes[k.target].row)
             for k in diagram_of(viz.draw(bidirectional())).links
             if shapes[k.target].kind == "circle" and shapes[k.target].row is not None}  # fmt: skip
    for t in (1, 2, 3):
        assert (f"s_{t}", at[f"s_{t + 1}"]) in links  # upwards
        assert (f"r_{t + 1}", at[f"r_{t}"]) in links  # downwards


def test_links_of_two_chains_into_one_circle_share_a_comb() -> None:
    figure = viz.draw(bidirectional())
    diagram = diagram_of(figure)
    boxes = {box.shape: box for box in figure.scene.boxes}
    fan = []
    for path in figure.scene.paths:
        link = diagram.links[path.link or 0]
        source, target = diagram.shapes[link.source], diagram.shapes[link.target]
        if target.kind == "circle" and target.row is None and source.row is not None:
            fan.append((link, path))
    assert len(fan) == 8
    for link, path in fan:
        source, circle = boxes[link.source], boxes[link.target]
        points = np.concatenate([sample(curve) for curve in path.curves])
        assert np.all(points[:, 0] < circle.x)  # it does not go around the circle
        low, high = sorted((source.y, circle.y))
        assert np.all((points[:, 1] > low - 19) & (points[:, 1] < high + 19))


def test_rows_of_a_recording_are_those_of_the_picture() -> None:
    recording = record([encoder_decoder()])
    assert recording.rows.count == 6 and [s.loss for s in recording.sources] == [3, 4, 5]


def test_what_only_repeats_itself_is_no_time() -> None:
    """Examples of a batch, one by one: the same weights, but nothing goes from one to the next."""
    W, v = weight(4, 3), weight(3)
    loss = sum(np.sum(np.tanh(array(4) @ W) * v) for _ in range(5))
    assert all(value.step is None for value in with_steps(snapshot([loss])))
    x = weight(4)
    for _ in range(6):  # layers of their own
        x = np.tanh(x @ weight(4, 4))
    assert diagram_of(viz.draw(np.sum(x))).rows == 1


def test_a_long_tape_is_searched_in_no_time() -> None:
    x: Any = weight(2)
    w = weight(2)
    for k in range(20_000):
        x = np.tanh(x) if k % 7 else x * w
    steps = {value.step for value in with_steps(snapshot([x]))}
    assert len(steps - {None}) > 2000


def test_the_player_calls_states_as_the_picture_does() -> None:
    names = {"".join(letters for letters, _ in name) for name in page_data([lstm()])["names"]}
    assert {"s1", "s2", "s3", "r1", "r2", "r3"} <= names


def test_two_chains_that_are_not_joined_at_every_step_keep_their_order() -> None:
    xs, V = array(4, 2, 4), weight(6, 3)
    ahead = run(xs, range(4), weight(4, 3), weight(3, 3))
    back = run(xs, reversed(range(4)), weight(4, 3), weight(3, 3))
    loss: Any = 0.0
    for t in (0, 1):
        o = np.concatenate([ahead[t], back[t]], axis=1) @ V
        loss = loss + tg.cross_entropy(o, np.array([0, 1]))
    values = with_steps(snapshot([loss]))
    steps = [v.step for v in values if v.function == "tanh"]
    assert steps == [0, 1, 0, 1, 2, 3]
