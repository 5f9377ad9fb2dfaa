"""Cells against their equations, written out in plain NumPy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.engine.trees import flatten

B, D, H = 2, 3, 4
PHI = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0), "identity": lambda x: x}


@pytest.fixture
def given():
    rng = np.random.default_rng(5)
    return rng.normal(size=(B, D)), rng.normal(size=(B, H))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", PHI)
def test_the_rnn_cell_is_its_equation(given, nonlinearity, bias):
    x, h = given
    cell = tg.RNNCell(D, H, nonlinearity, bias, rng=0)
    b_h = cell.b_h.data if bias else 0
    expected = PHI[nonlinearity](x @ cell.W_xh.data + h @ cell.W_hh.data + b_h)
    np.testing.assert_allclose(cell(x, h).data, expected, rtol=0, atol=1e-14)
    assert list(cell.parameters()) == ["W_xh", "W_hh", "b_h"][: 2 + bias]
    assert all(p.requires_grad and p.name == name for name, p in cell.parameters().items())


def test_the_same_seed_gives_the_same_weights():
    one, two = tg.RNNCell(D, H, rng=7), tg.RNNCell(D, H, rng=np.random.default_rng(7))
    for a, b in zip(one.parameters().values(), two.parameters().values(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_initial_weights_are_uniform_within_one_over_root_hidden():
    cell = tg.RNNCell(50, 400, rng=0)
    for parameter in cell.parameters().values():
        assert np.max(np.abs(parameter.data)) <= 1 / 20
        assert np.max(np.abs(parameter.data)) > 0.99 / 20
        assert abs(np.mean(parameter.data)) < 0.005


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    cell = tg.RNNCell(D, H, rng=0, dtype=dtype)
    states, last = tg.unroll(cell, np.ones((3, B, D), dtype))
    assert last.dtype == dtype and cell.initial_state(B).dtype == dtype
    assert cell.initial_state(B).shape == (B, H)
    np.sum(states[0] + states[1]).backward()
    assert {p.grad.dtype for p in cell.parameters().values()} == {np.dtype(dtype)}


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="'tanh', 'relu', 'identity'"):
        tg.RNNCell(D, H, nonlinearity="step")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("bias", [True, False])
def test_the_lstm_cell_is_its_equations(given, bias):
    x, h = given
    c = np.random.default_rng(6).normal(size=h.shape)
    cell = tg.LSTMCell(D, H, bias, rng=0)
    i, f, g, o = np.split(
        x @ cell.W_xh.data + h @ cell.W_hh.data + (cell.b_h.data if bias else 0), 4, axis=1
    )
    new_c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    found_h, found_c = cell(x, (h, c))
    np.testing.assert_allclose(found_c.data, new_c, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found_h.data, sigmoid(o) * np.tanh(new_c), rtol=0, atol=1e-14)
    assert list(cell.parameters()) == ["W_xh", "W_hh", "b_h"][: 2 + bias]


@pytest.mark.parametrize("bias", [True, False])
def test_the_gru_cell_is_its_equations(given, bias):
    x, h = given
    cell = tg.GRUCell(D, H, bias, rng=0)
    b_h, b_hn = (cell.b_h.data, cell.b_hn.data) if bias else (0, 0)
    r, z, n = np.split(x @ cell.W_xh.data + b_h, 3, axis=1)
    r_h, z_h, n_h = np.split(h @ cell.W_hh.data, 3, axis=1)
    r, z = sigmoid(r + r_h), sigmoid(z + z_h)
    expected = (1 - z) * np.tanh(n + r * (n_h + b_hn)) + z * h
    np.testing.assert_allclose(cell(x, h).data, expected, rtol=0, atol=1e-14)
    assert list(cell.parameters()) == (
        ["W_xh", "W_hh", "b_h", "b_hn"] if bias else ["W_xh", "W_hh"]
    )


def test_a_residual_cell_adds_what_was_there(given):
    x, h = given
    plain, residual = tg.RNNCell(D, H, rng=0), tg.RNNCell(D, H, rng=0, residual=True)
    np.testing.assert_allclose(residual(x, h).data, h + plain(x, h).data, rtol=0, atol=1e-15)


@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_recurrent_weights_on_request(make):
    cell = make(D, H, rng=0, recurrent_weights="orthogonal")
    for gate in np.split(cell.W_hh.data, cell.gates, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(H), rtol=0, atol=1e-14)
    cell = make(D, H, rng=0, recurrent_weights="identity")
    np.testing.assert_array_equal(cell.W_hh.data, np.tile(np.eye(H), cell.gates))
    with pytest.raises(ValueError, match="'uniform', 'orthogonal' or 'identity'"):
        make(D, H, recurrent_weights="zeros")


@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_derivatives_of_a_step_to_second_order(make):
    cell = make(2, 2, rng=0)
    rng = np.random.default_rng(1)
    x, state = rng.normal(size=(2, 2)), tuple(rng.normal(size=(2, 2)) for _ in range(2))

    def step(x, state, *weights):
        other = make(2, 2, rng=0)
        for name, weight in zip(cell.parameters(), weights, strict=True):
            setattr(other, name, weight)
        return other(x, state if make is tg.LSTMCell else state[0])

    tg.check_gradients(step, x, state, *(p.data for p in cell.parameters().values()))


def test_layers_are_fed_by_the_layer_below():
    cells = [tg.RNNCell(D, H, rng=0), tg.LSTMCell(H, 5, rng=1), tg.GRUCell(5, 2, rng=2)]
    stack = tg.Stacked(cells)
    xs = np.random.default_rng(0).normal(size=(4, B, D))
    _, last = tg.unroll(stack, xs)
    first, _ = tg.unroll(cells[0], xs)
    second, _ = tg.unroll(cells[1], [h.data for h in first])
    _, top = tg.unroll(cells[2], [h.data for h, _ in second])
    np.testing.assert_array_equal(stack.output(last).data, top.data)
    np.testing.assert_array_equal(last[1][1].data, second[-1][1].data)
    assert [part.name for part in (last[0], *last[1], last[2])] == [
        "h_4^(1)", "h_4^(2)", "c_4^(2)", "h_4^(3)",
    ]  # fmt: skip
    assert [part.name for part in (stack.initial_state(1)[1])] == ["h_0^(2)", "c_0^(2)"]
    assert list(stack.parameters())[:4] == ["W_xh^(1)", "W_hh^(1)", "b_h^(1)", "W_xh^(2)"]
    assert all(p.name == name for name, p in stack.parameters().items())
    np.sum(stack.output(last)).backward()
    assert all(np.any(p.grad != 0) for p in stack.parameters().values())


def test_a_function_can_be_a_layer():
    stack = tg.Stacked([lambda x, h: np.tanh(x + h), tg.RNNCell(D, H, rng=0)])
    xs = np.random.default_rng(0).normal(size=(4, B, D))
    start = (np.zeros((B, D)), np.zeros((B, H)))
    _, last = tg.unroll(stack, xs, start)
    assert last[1].shape == (B, H) and last[1].name == "h_4^(2)"


class Layer:
    """A cell of one's own that begins with a plain array."""

    def __call__(self, x, h):
        return np.tanh(x + h)

    def initial_state(self, batch_size):
        return np.zeros((batch_size, D))


class NamedLayer(Layer):
    state_names = "v_{t}"


def test_names_in_layers_of_ones_own():
    xs = np.ones((2, B, D))
    for layers, names in {
        (Layer(), Layer()): ["h_2^(1)", "h_2^(2)"],
        (Layer(), tg.LSTMCell(D, H, rng=0)): ["h_2^(1)", "h_2^(2)", "c_2^(2)"],
        (NamedLayer(), Layer()): ["v_2^(1)", "h_2^(2)"],
    }.items():
        stack = tg.Stacked(layers)
        begun = [part.name for part in flatten(stack.initial_state(B))]
        assert begun == [name.replace("2", "0", 1) for name in names]
        for last in (tg.unroll(stack, xs)[1], list(tg.stream(stack, xs))[-1]):
            assert [part.name for part in flatten(last)] == names


def test_names_of_what_is_not_one_state_for_each_layer():
    assert tg.Stacked([tg.RNNCell(D, D, rng=0)]).state_names(None) == ("h_{t}^(1)",)
    assert tg.Stacked([tg.RNNCell(D, D, rng=0), Layer()]).state_names(None) is None


def test_layers_that_do_not_fit():
    with pytest.raises(ValueError, match="layer 1 gives outputs of width 4, but layer 2 takes"):
        tg.Stacked([tg.RNNCell(D, H), tg.RNNCell(D, H)])
    with pytest.raises(ValueError, match="at least one"):
        tg.Stacked([])


def test_messages_for_states_that_do_not_fit(given):
    x, h = given
    with pytest.raises(ValueError, match=r"LSTMCell\(3, 4\) takes x of shape .*\(2, 5\)"):
        tg.LSTMCell(D, H)(x, (np.zeros((B, 5)), np.zeros((B, 5))))
    with pytest.raises(ValueError, match=r"GRUCell\(3, 4\) takes"):
        tg.GRUCell(D, H)(x[:, :2], h)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_the_product_with_the_inputs_may_stand_before_the_loop(make, run, bias):
    cell = make(3, 4, bias=bias, rng=0)
    data = np.random.default_rng(1).standard_normal((6, 2, 3))

    def gradients(apart):
        xs = tg.Tensor(data, requires_grad=True)
        inputs = cell.project(xs) if apart else xs
        states, _ = run(cell.advance if apart else cell, inputs)
        parts = [s[0] if make is tg.LSTMCell else s for s in states] if run is tg.unroll else states
        h = parts if run is tg.unroll else parts[0] if make is tg.LSTMCell else parts
        loss = np.sum(np.stack(h) ** 2 if run is tg.unroll else h**2)
        return tg.gradients(loss, [xs, *cell.parameters().values()])

    for one, other in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_the_recurrence_has_the_names_and_the_state_of_its_cell():
    cell = tg.LSTMCell(3, 4, rng=0)
    states, last = tg.unroll(cell.advance, cell.project(np.ones((2, 1, 3))))
    assert [part.name for part in last] == ["h_2", "c_2"]
    assert len(states) == 2 and cell.advance.output(last) is last[0]
    assert repr(cell.advance) == f"{cell!r}.advance"


@pytest.mark.parametrize(
    "cell",
    [
        tg.RNNCell(2, 3, rng=0),
        tg.RNNCell(2, 3, "relu", rng=0),
        tg.LSTMCell(2, 3, rng=0),
        tg.GRUCell(2, 3, rng=0),
    ],
    ids=repr,
)
def test_a_cell_can_be_pickled(cell):
    again = pickle.loads(pickle.dumps(cell))
    x, state = np.ones((1, 2)), cell.initial_state(1)
    for mine, theirs in zip(flatten(again(x, state)), flatten(cell(x, state)), strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)


@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
@pytest.mark.parametrize("make", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
def test_inputs_that_nobody_projected_are_refused(make, run):
    cell = make(1, 4, rng=0)  # a width of 1 would be repeated silently
    width = cell.gates * 4
    with pytest.raises(ValueError, match=rf"\(T, batch, {width}\).*\(\d, 2, 1\)|{width}.*\(2, 1\)"):
        run(cell.advance, np.ones((5, 2, 1)))
    with pytest.raises(ValueError, match=r"takes inputs of shape \(..., 1\).*\(5, 2, 3\)"):
        cell.project(np.ones((5, 2, 3)))
    with pytest.raises(ValueError, match=rf"advance takes x of shape \(batch, {width}\)"):
        cell.advance(
            np.ones((2, width)),
            tg.Tensor(np.ones((2, 5)))
            if width != 16
            else (tg.Tensor(np.ones((2, 5))), tg.Tensor(np.ones((2, 4)))),
        )


@pytest.mark.parametrize(
    "text",
    [
        "RNNCell(3, 4)",
        "RNNCell(3, 4, nonlinearity='relu', bias=False, residual=True)",
        "LSTMCell(3, 4, dtype='float32')",
        "GRUCell(3, 4, bias=False, recurrent_weights='orthogonal')",
        "RNNCell(3, 4, nonlinearity='relu', recurrent_weights='identity')",
        "Stacked([LSTMCell(3, 4), RNNCell(4, 2, nonlinearity='identity')])",
    ],
)
def test_a_cell_looks_as_one_would_type_it(text):
    assert repr(eval(text, vars(tg))) == text


def test_a_cell_has_an_input_and_a_unit():
    for sizes in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="whole number of at least 1"):
            tg.GRUCell(*sizes)


def test_an_error_of_anothers_equations_is_its_own():
    class Wrong(tg.RNNCell):
        def step(self, a, state):
            raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        Wrong(2, 3, rng=0)(np.ones((1, 2)), np.ones((1, 3)))
