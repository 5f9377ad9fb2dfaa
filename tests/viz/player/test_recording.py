"""The gradients of every loss by themselves, and what they add up to."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import MODELS, outputs, parameter, value
from tinygrad_rnn.engine.backward import reverse_pass
from viz.backward.recording import EVERY_ROW, record
from viz.models import recurrent_loss
from viz.player.data import page_data
from viz.values import values_of


@pytest.mark.parametrize("name", [n for n in MODELS if n != "rnn_hundred_steps"])
def test_uses_add_up_to_the_gradient(name: str) -> None:
    losses = outputs(name)
    recording = record(losses)
    assert recording.no_chain is None
    parameters = {n for n in recording.tape if getattr(n, "requires_grad", False)}
    assert set(recording.tied) >= parameters - _unreached(losses)
    for node, tied in recording.tied.items():
        np.testing.assert_allclose(sum(tied.uses.values()), tied.full, atol=1e-12)
        assert sum(tied.along.values()) == pytest.approx(np.linalg.norm(tied.full), abs=1e-12)
        expected = sum(_gradient(loss, node) for loss in losses)
        np.testing.assert_allclose(tied.full, expected, atol=1e-12)


def _gradient(loss: tg.Tensor, node: Any) -> Any:
    found = dict(reverse_pass([loss.node], [np.ones(loss.shape)]))
    return found.get(node, np.zeros(node.shape))


def _unreached(losses: tuple[tg.Tensor, ...]) -> set[Any]:
    return {n for n in tg.tape(*losses) if not np.any(sum(_gradient(loss, n) for loss in losses))}


@pytest.mark.parametrize(
    "strategy",
    [
        tg.Full(),
        tg.Subsequence(2),
        tg.Window(1),
        tg.TBPTT(2, 3),
        tg.Randomized.from_links([2, 0, 3, 1]),
    ],
)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_weighed_by_m_they_are_the_truncated_gradient(cell: str, strategy: Any) -> None:
    recording = record([recurrent_loss(steps=5, cell=cell)])
    M = strategy.weights(5)
    truncated = record([recurrent_loss(steps=5, cell=cell, truncation=strategy)])
    for tied, expected in zip(recording.tied.values(), truncated.tied.values(), strict=True):
        weighed = sum(M[t, s] * use for (t, s), use in tied.uses.items())
        np.testing.assert_allclose(weighed, expected.full, atol=1e-12)


def by_steps(losses: Callable[[list[Any]], Any]) -> tuple[tg.Tensor, ...]:
    W, u = parameter("W", 3, 3), parameter("u", 3)
    states, _ = tg.unroll(lambda x, h: np.tanh(x + h @ W), np.ones((4, 2, 3)), value("h_0", 2, 3))
    made = losses([np.sum(h @ u) for h in states])
    return made if isinstance(made, tuple) else (made,)


def running(losses: list[Any]) -> Any:
    total: Any = 0.0
    for t, loss in enumerate(losses):
        with tg.step(t):
            total = total + loss
    return total


@pytest.mark.parametrize(
    "losses",
    [tuple, sum, lambda ls: sum(ls) / 4, lambda ls: np.mean(np.stack(ls)), running],
    ids=["each", "sum", "mean", "stack", "running sum under steps"],
)
def test_losses_are_told_apart(losses: Any) -> None:
    recording = record(by_steps(losses))
    assert [source.loss for source in recording.sources] == [0, 1, 2, 3]
    (W, *_) = recording.tied.values()
    assert set(W.uses) == {(t, s) for t in range(4) for s in range(t + 1)}


def test_a_loss_at_the_end_alone() -> None:
    recording = record(by_steps(lambda losses: losses[-1]))
    assert [source.label for source in recording.sources] == ["l_4"]


def test_weights_that_were_computed_count_by_the_step_that_uses_them() -> None:
    V = parameter("V", 3, 3)
    W = (V * V).named("W")
    h: Any = value("h_0", 2, 3)
    losses = []
    for t in range(3):
        with tg.step(t):
            h = np.tanh(value(f"x_{t + 1}", 2, 3) + h @ W).named(f"h_{t + 1}")
            losses.append(np.sum(h))
    recording = record(losses)
    by_name = {node.name: tied for node, tied in recording.tied.items()}
    assert set(by_name) == {"V", "W"}
    for tied in by_name.values():
        assert set(tied.uses) == {(t, s) for t in range(3) for s in range(t + 1)}
    for cell, use in by_name["W"].uses.items():
        np.testing.assert_allclose(by_name["V"].uses[cell], 2 * V.data * use)


def test_weights_that_the_steps_use_as_they_are_and_computed() -> None:
    V = parameter("V", 3, 3)
    W = V * V  # without a name, so only V has a gradient that is shown
    h: Any = value("h_0", 2, 3)
    with tg.step(0):
        h = np.tanh(h @ W + h @ V).named("h_1")
    with tg.step(1):
        loss = np.sum(np.tanh(h @ W + h @ V).named("h_2"))
    recording = record([loss])
    ((node, tied),) = recording.tied.items()
    assert node is V.node
    np.testing.assert_allclose(tied.full, _gradient(loss, V.node), atol=1e-12)
    np.testing.assert_allclose(sum(tied.uses.values()), tied.full, atol=1e-12)


def test_a_step_that_reads_a_value_of_several_steps_is_no_chain() -> None:
    W, h, states = parameter("W", 3, 3), value("h_0", 2, 3), []
    for t in range(2):
        with tg.step(t):
            h = np.tanh(h @ W).named(f"h_{t + 1}")
            states.append(h)
    both = states[0] + states[1]
    with tg.step(2):
        loss = np.sum(np.tanh(h @ W + both).named("h_3"))
    says = "step 3 uses a value that was computed from several steps"
    assert record([loss]).no_chain == says


def test_logits_of_all_steps_at_once() -> None:
    recording = record(outputs("stacked_states"))
    by_name = {node.name: tied for node, tied in recording.tied.items()}
    assert set(by_name["W_hq"].uses) == {(EVERY_ROW, EVERY_ROW)}
    assert len(recording.sources) == 4


def attention(steps: int = 4, truncation: Any = None) -> tg.Tensor:
    """A cell that looks at all states that it has kept."""
    W, u = parameter("W", 3, 3), parameter("u", 3)
    kept: list[Any] = []

    def cell(x: Any, h: Any) -> Any:
        context = np.mean(np.stack([*kept, x]), axis=0)
        h = np.tanh(x + h @ W + context)
        kept.append(h)
        return h

    rng = np.random.default_rng(0)
    states, _ = tg.unroll(cell, rng.normal(size=(steps, 2, 3)), value("h_0", 2, 3), truncation)
    loss: Any = sum(np.sum(np.tanh(h @ u)) for h in states)
    return loss


def test_attention_over_kept_states_is_no_chain() -> None:
    recording = record([attention()])
    assert recording.no_chain == "step 3 also uses step 1, past the links between them"
    labels = [source.label for source in recording.sources]
    assert labels[:4] == ["Full()", "Subsequence(1)", "Subsequence(2)", "Subsequence(3)"]
    W = next(iter(recording.tied.values()))
    for k in (1, 2, 3):
        expected = next(
            iter(record([attention(truncation=tg.Subsequence(k))], most=0).tied.values())
        )
        mine = sum(use for (source, _), use in W.uses.items() if source == k)
        np.testing.assert_allclose(mine, expected.full, atol=1e-12)


def test_values_are_those_of_the_computation() -> None:
    loss = recurrent_loss(steps=3, cell="lstm", bias=True)
    values = values_of(tg.tape(loss), [loss])
    named = {node.name: array for node, array in values.items() if node.name}
    assert {"h_1", "c_2", "o_3", "x_1", "y_2", "W_hh", "W_xh", "b_h", "L"} <= set(named)
    np.testing.assert_array_equal(named["L"], loss.data)
    np.testing.assert_allclose(named["h_3"] @ named["W_hq"], named["o_3"])


def test_a_parameters_value_is_the_one_that_was_used() -> None:
    W, x = parameter("W", 3, 3), value("x", 2, 3)
    before = np.sum(x @ W)  # its derivative needs x alone

    def known(loss: Any) -> Any:
        return values_of(tg.tape(loss)).get(W.node)

    np.testing.assert_array_equal(known(before), W.data)
    W.data = W.data + 1
    after = np.sum(x @ W)
    assert known(before) is None
    np.testing.assert_array_equal(known(after), W.data)
    assert known(before + after) is None  # it has had two values


def test_the_steps_of_a_decoder_come_after_the_encoders() -> None:
    V, W = parameter("V", 3, 3), parameter("W", 3, 3)
    with tg.scope("encoder"):
        _, code = tg.unroll(lambda x, h: np.tanh(x + h @ V), np.ones((3, 2, 3)), value("c_0", 2, 3))
    with tg.scope("decoder"):
        states, _ = tg.unroll(lambda x, h: np.tanh(x + h @ W), np.ones((2, 2, 3)), code)
    recording = record([sum(np.sum(h) for h in states)])
    assert (recording.rows.count, recording.no_chain) == (5, None)
    assert [source.loss for source in recording.sources] == [3, 4]
    of_V, of_W = recording.tied.values()
    assert {s for _, s in of_V.uses} == {0, 1, 2} and {s for _, s in of_W.uses} == {3, 4}
    M = tg.Subsequence(3).weights(5)  # a cut between the two
    assert not any(M[recording.sources[n].loss, s] for n, s in of_V.uses)
    assert all(M[recording.sources[n].loss, s] for n, s in of_W.uses)


def bidirectional(cut: int | None = None) -> tg.Tensor:
    """Two chains over the same inputs; a cut between two steps cuts both."""
    V, W = parameter("V", 3, 3), parameter("W", 3, 3)
    xs = [value(f"x_{t + 1}", 2, 3) for t in range(4)]

    def chain(name: str, weight: tg.Tensor, order: list[int]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        h: Any = value(f"{name}_0", 2, 3)
        with tg.scope(name):
            for n, t in enumerate(order):
                with tg.step(n):
                    is_cut = cut is not None and n > 0 and {t, order[n - 1]} == {cut, cut - 1}
                    entering = h.detach() if is_cut else h
                    h = found[t] = np.tanh(xs[t] + entering @ weight).named(f"{name}_{t + 1}")
        return found

    ahead, back = chain("f", V, [0, 1, 2, 3]), chain("b", W, [3, 2, 1, 0])
    losses = []
    for t in range(4):
        with tg.step(t):
            losses.append(np.sum((t + 1) * ahead[t] * back[t]).named(f"l_{t + 1}"))
    return sum(losses[1:], losses[0])


def test_a_cut_between_two_steps_cuts_both_directions() -> None:
    recording = record([bidirectional()])
    assert recording.no_chain is not None and recording.rows.numbers is None
    for cut in (1, 2, 3):
        number = [source.label for source in recording.sources].index(f"cut {cut}")
        expected = record([bidirectional(cut)])
        for tied, whole in zip(recording.tied.values(), expected.tied.values(), strict=True):
            mine = sum(use for (source, _), use in tied.uses.items() if source == number)
            np.testing.assert_allclose(mine, whole.full, atol=1e-12)


@pytest.mark.parametrize("decompose", [np.linalg.svd, np.linalg.eigh])
def test_the_arrays_of_a_decomposition_are_no_array(decompose: Any) -> None:
    W = tg.Tensor(np.diag([1.0, 2.0]), requires_grad=True, name="W")
    part = decompose(W)[1]
    loss = np.sum(part)
    assert all(isinstance(array, np.ndarray) and array.dtype == float
               for array in values_of(tg.tape(loss), [loss]).values())  # fmt: skip
    (node,) = part.node.parents  # all arrays of the decomposition
    (gradient,) = record([loss]).gradients[node].values()
    assert gradient == pytest.approx(np.sqrt(part.size))  # the norm of all parts
    assert page_data([loss], "ops")["T"] == 1 and viz.draw(loss, detail="ops", gradients=True)


def test_a_large_page_has_smaller_corners_and_whole_gradients_alone() -> None:
    def page(steps: int, size: int) -> dict[str, Any]:
        W, h = tg.Tensor(np.eye(size) / 2, requires_grad=True, name="W"), value("h_0", 1, size)
        losses: Any = 0.0
        for t in range(steps):
            with tg.step(t):
                h = np.tanh(h @ W).named(f"h_{t + 1}")
                losses = losses + np.sum(h)
        return page_data([losses])

    small, large, long = page(3, 4), page(3, 500), page(300, 8)
    assert "uses" in small["tied"][0] and "full" not in small["tied"][0]
    assert "full" in large["tied"][0] and "uses" not in large["tied"][0]

    def corner(data: dict[str, Any]) -> int:
        """The most numbers of a gradient that the page has."""
        boxes = [shape[8] for shape in data["shapes"] if shape[0] == "b" and len(shape) > 8]
        return max(gradient[2] * gradient[3] for gradient in boxes if gradient)

    assert (corner(small), corner(large), corner(long)) == (4, 8, 4)


@pytest.mark.parametrize("detail", ["named", "ops"])
def test_a_scaled_link_is_called_by_what_it_passes_on(detail: str) -> None:
    data = page_data(outputs("own_cell"), detail)
    names = ["".join(run[0] for run in name) for name in data["names"]]
    assert len(names) == len(set(names)) and not any("scale" in name for name in names)
