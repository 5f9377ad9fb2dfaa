"""Chapter "Backpropagation Through Time", equation by equation, against the engine's gradients.

The chapter's side of each comparison is plain NumPy, written out as the chapter writes it: column
vectors, steps counted from 1 (so that `h[t]` is h_t, and `h[0]` the initial state). The engine's
side knows nothing of it: it unrolls a cell and differentiates.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

LENGTHS = [1, 2, 3, 20, 1100]
d, n, q = 3, 4, 5  # the widths of x_t, h_t and o_t


def agree(found: Any, expected: Any) -> None:
    """Equal to 1e-12, relative to the largest entry."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == np.float64
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)


@dataclass
class Linear:
    """The chapter's network: φ(x) = x, no bias, one sequence; L = 1/T Σ l(o_t, y_t)."""

    T: int
    x: Any
    y: Any
    h: Any  # h[0] .. h[T], arrays
    o: Any  # o[1] .. o[T]; o[0] is not used
    W_hx: Any
    W_hh: Any
    W_qh: Any
    states: list[Any]  # the engine's h_0 .. h_T
    outputs: list[Any]  # the engine's o_1 .. o_T, from place 1
    losses: list[Any]  # the engine's l(o_t, y_t), from place 1
    loss: Any
    parameters: dict[str, Any]

    def gradient(self, *tensors: Any) -> list[Any]:
        return tg.gradients(self.loss, tensors)

    def dL_do(self) -> Any:
        """eq_bptt_partial_L_ot: ∂L/∂o_t = ∂l(o_t, y_t) / (T · ∂o_t), where
        ∂l/∂o = softmax(o) − e_y for the cross-entropy. Row 0 is empty."""
        e = np.exp(self.o - self.o.max(axis=1, keepdims=True))
        gradient = e / e.sum(axis=1, keepdims=True)
        gradient[np.arange(self.T + 1), self.y] -= 1
        gradient[0] = 0
        return gradient / self.T

    def dL_dh(self) -> Any:
        """The recurrence: ∂L/∂h_t = W_hhᵀ ∂L/∂h_{t+1} + W_qhᵀ ∂L/∂o_t, from ∂L/∂h_T back."""
        do = self.dL_do()
        dh = np.zeros((self.T + 1, n))
        dh[self.T] = self.W_qh.T @ do[self.T]
        for t in range(self.T - 1, -1, -1):
            dh[t] = self.W_hh.T @ dh[t + 1] + self.W_qh.T @ do[t]
        return dh


@cache
def linear(T: int, truncation: Any = None) -> Linear:
    rng = np.random.default_rng(T)
    W_hx = rng.normal(size=(n, d))
    # Orthogonal, times 0.999: over a thousand steps nothing vanishes and nothing explodes, so
    # that no power of W_hh can be left out unnoticed.
    W_hh = 0.999 * np.linalg.qr(rng.normal(size=(n, n)))[0]
    W_qh = rng.normal(size=(q, n)) * 0.2
    x, y = rng.normal(size=(T + 1, d)) * 0.1, rng.integers(q, size=T + 1)
    h, o = np.zeros((T + 1, n)), np.zeros((T + 1, q))
    h[0] = rng.normal(size=n)
    for t in range(1, T + 1):
        h[t] = W_hx @ x[t] + W_hh @ h[t - 1]
        o[t] = W_qh @ h[t]

    parameters = {
        name: tg.Tensor(W, requires_grad=True, name=name)
        for name, W in {"W_hx": W_hx, "W_hh": W_hh, "W_qh": W_qh}.items()
    }
    hx, hh, qh = parameters.values()
    h_0 = tg.Tensor(h[0], requires_grad=True)
    states, _ = tg.unroll(lambda x_t, h_t: hx @ x_t + hh @ h_t, x[1:], h_0, truncation)
    outputs = [qh @ h_t for h_t in states]
    losses = [tg.cross_entropy(o_t, y_t) for o_t, y_t in zip(outputs, y[1:], strict=True)]
    loss = sum(losses[1:], losses[0]) / T
    return Linear(
        T, x, y, h, o, W_hx, W_hh, W_qh,
        [h_0, *states], [None, *outputs], [None, *losses], loss, parameters,
    )  # fmt: skip


# Backpropagation through time in detail ---------------------------------------------------


@pytest.mark.parametrize("T", LENGTHS)
def test_the_forward_pass(T):
    net = linear(T)
    agree([h.data for h in net.states], net.h)
    agree([o.data for o in net.outputs[1:]], net.o[1:])
    log_softmax = net.o[1:] - np.log(np.exp(net.o[1:]).sum(axis=1, keepdims=True))
    agree(net.loss.data, -np.mean(log_softmax[np.arange(T), net.y[1:]]))


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_do(T):
    net = linear(T)
    agree(net.gradient(*net.outputs[1:]), net.dL_do()[1:])


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dW_qh_is_the_sum_over_t(T):
    net = linear(T)
    do = net.dL_do()
    terms = [np.outer(do[t], net.h[t]) for t in range(1, T + 1)]
    agree(net.gradient(net.parameters["W_qh"])[0], sum(terms))
    uses = tg.contributions(net.loss, net.parameters["W_qh"])
    agree([use.gradient for use in uses], terms)


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dh_T(T):
    net = linear(T)
    agree(net.gradient(net.states[T])[0], net.W_qh.T @ net.dL_do()[T])


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dh_by_the_recurrence(T):
    net = linear(T)
    agree(net.gradient(*net.states), net.dL_dh())


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dh_expanded_into_powers_of_W_hh_transposed(T):
    """∂L/∂h_t = Σ_{i=t}^T (W_hhᵀ)^{T−i} W_qhᵀ ∂L/∂o_{T+t−i}."""
    net = linear(T)
    power = [np.eye(n)]
    for _ in range(T):
        power.append(power[-1] @ net.W_hh.T)
    power, from_output = np.array(power), net.dL_do() @ net.W_qh
    expanded = []
    for t in range(1, T + 1):
        i = np.arange(t, T + 1)
        expanded.append(np.einsum("iab,ib->a", power[T - i], from_output[T + t - i]))
    agree(net.gradient(*net.states[1:]), expanded)


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dW_hx_and_dL_dW_hh_are_sums_over_t(T):
    net = linear(T)
    dh = net.dL_dh()
    for name, entering in ("W_hx", net.x[1:]), ("W_hh", net.h[:-1]):
        terms = [np.outer(dh[t], entering[t - 1]) for t in range(1, T + 1)]
        agree(net.gradient(net.parameters[name])[0], sum(terms))
        uses = tg.contributions(net.loss, net.parameters[name])
        assert [use.step for use in uses] == list(range(T))
        agree([use.gradient for use in uses], terms)


@pytest.mark.parametrize("T", [3, 1100])
@pytest.mark.parametrize("bias", [True, False])
def test_the_built_in_cell_is_the_same_network_in_row_vectors(T, bias):
    net = linear(T)
    cell = tg.RNNCell(d, n, nonlinearity="identity", bias=bias)
    cell.W_xh.data, cell.W_hh.data = net.W_hx.T.copy(), net.W_hh.T.copy()
    if cell.b_h is not None:
        cell.b_h.data = np.zeros(n)
    states, last = tg.unroll(cell, net.x[1:, None, :], net.h[:1])
    logits = np.stack(states) @ net.W_qh.T
    loss = tg.cross_entropy(logits, net.y[1:, None])
    dh = net.dL_dh()
    agree(last.data, net.h[T:])
    gradients = tg.gradients(loss, [*cell.parameters().values(), *states])
    agree(gradients[0], (dh[1:].T @ net.x[1:]).T)
    agree(gradients[1], (dh[1:].T @ net.h[:-1]).T)
    if bias:
        agree(gradients[2], dh[1:].sum(axis=0))
    agree(np.concatenate(gradients[2 + bias :]), dh[1:])


# Analysis of gradients --------------------------------------------------------------------


@dataclass
class Scalar:
    """h_t = f(x_t, h_{t−1}, w_h) = φ(w_h (x_t + h_{t−1})), o_t = g(h_t, w_o) = w_o h_t."""

    x: Any
    y: Any
    h: Any
    b: Any  # b_t = ∂f(x_t, h_{t−1}, w_h)/∂w_h
    c: Any  # c_t = ∂f(x_t, h_{t−1}, w_h)/∂h_{t−1}
    w_h: Any
    w_o: Any

    def unrolled(self, truncation: Any = None) -> list[Any]:
        w_h = self.w_h
        cell = lambda x, h: np.tanh(w_h * (x + h))  # noqa: E731
        return [None, *tg.unroll(cell, self.x[1:], self.h[0], truncation)[0]]


@cache
def scalar(T: int) -> Scalar:
    rng = np.random.default_rng(T)
    w_h = tg.Tensor(1.04, requires_grad=True, name="w_h")
    w_o = tg.Tensor(0.7, requires_grad=True, name="w_o")
    x, y = rng.normal(size=T + 1) * 0.3, rng.normal(size=T + 1)
    h = np.zeros(T + 1)
    for t in range(1, T + 1):
        h[t] = np.tanh(w_h.data * (x[t] + h[t - 1]))
    before = np.concatenate([[0.0], h[:-1]])
    return Scalar(x, y, h, (1 - h * h) * (x + before), (1 - h * h) * w_h.data, w_h, w_o)


def forward(b: Any, c: Any) -> Any:
    """a_0 = 0, a_t = b_t + c_t a_{t−1}: eq_bptt_partial_ht_wh_recur."""
    a = np.zeros(len(b))
    for t in range(1, len(b)):
        a[t] = b[t] + c[t] * a[t - 1]
    return a


def closed(b: Any, c: Any, t: int, earliest: int = 1) -> float:
    """eq_bptt_at: a_t = b_t + Σ_{i=1}^{t−1} (∏_{j=i+1}^t c_j) b_i, or from `earliest`."""
    products = np.cumprod(c[t:earliest:-1])[::-1]  # at i − earliest: ∏_{j=i+1}^t c_j
    return float(b[t] + np.dot(products, b[earliest:t]))


@pytest.mark.parametrize("T", LENGTHS)
def test_the_identity_of_sequences(T):
    """For any b_t and c_t: the recursion and its closed form are the same."""
    rng = np.random.default_rng(T)
    b, c = rng.normal(size=T + 1), rng.uniform(-1.01, 1.01, size=T + 1)
    a = forward(b, c)
    agree([closed(b, c, t) for t in range(1, T + 1)], a[1:])


@pytest.mark.parametrize("T", LENGTHS)
def test_dh_dw_by_the_recursion_and_by_its_closed_form(T):
    """eq_bptt_partial_ht_wh_recur and eq_bptt_partial_ht_wh_gen against the reverse pass."""
    net = scalar(T)
    states = net.unrolled()
    agree([h.data for h in states[1:]], net.h[1:])
    some = sorted({1, 2, T // 3 + 1, T} & set(range(1, T + 1)))
    found = [tg.gradients(states[t], [net.w_h])[0] for t in some]
    agree(found, forward(net.b, net.c)[some])
    agree(found, [closed(net.b, net.c, t) for t in some])


@pytest.mark.parametrize("T", LENGTHS)
def test_dL_dw_h_through_the_third_factor(T):
    """eq_bptt_partial_L_wh: 1/T Σ_t ∂l(y_t, o_t)/∂o_t · ∂g(h_t, w_o)/∂h_t · ∂h_t/∂w_h."""
    net = scalar(T)
    losses = [(net.w_o * h - y) ** 2 for h, y in zip(net.unrolled()[1:], net.y[1:], strict=True)]
    dl_do = 2 * (net.w_o.data * net.h - net.y)
    terms = dl_do[1:] * net.w_o.data * forward(net.b, net.c)[1:]
    agree(tg.gradients(sum(losses[1:], losses[0]) / T, [net.w_h])[0], terms.sum() / T)


@pytest.mark.parametrize("T", [3, 20, 1100])
@pytest.mark.parametrize("tau", [0, 1, 7])
def test_truncating_time_steps_ends_the_sum_after_tau(T, tau):
    net = scalar(T)
    states = net.unrolled(tg.Window(tau))
    for t in {1, 2, T // 2 + 1, T}:
        found = tg.gradients(states[t], [net.w_h])[0]
        agree(found, closed(net.b, net.c, t, earliest=max(1, t - tau)))


@pytest.mark.parametrize("T", [3, 20, 1100])
def test_randomized_truncation_replaces_dh_dw_by_z(T):
    """z_t = ∂f/∂w_h + ξ_t ∂f/∂h_{t−1} · z_{t−1}, with the ξ that were drawn."""
    net = scalar(T)
    xi = tg.Randomized(0.8, rng=T).links(T)
    states = net.unrolled(tg.Randomized(0.8, rng=T))
    z = forward(net.b, np.concatenate([[1.0], xi]) * net.c)
    some = sorted({2, 3, T // 2 + 1, T})
    agree([tg.gradients(states[t], [net.w_h])[0] for t in some], z[some])


# The lecture ------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [3, 20, 1100])
def test_dh_dh_is_a_product_of_jacobians(T):
    """∂h_t/∂h_{t−k} = ∏_{u=0}^{k−1} ∂h_{t−u}/∂h_{t−u−1}, here with tanh."""
    cell = tg.RNNCell(d, n, rng=T)
    cell.W_hh.data = 1.3 * np.linalg.qr(np.random.default_rng(T).normal(size=(n, n)))[0]
    xs = np.random.default_rng(T).normal(size=(T, 1, d)) * 0.1
    states, _ = tg.unroll(cell, xs)
    for k in (1, 2, T - 1):
        product = np.eye(n)
        for u in range(k):
            h = states[T - 1 - u].data[0]
            product = product @ ((1 - h * h)[:, None] * cell.W_hh.data.T)
        rows = [tg.gradients(states[-1][0, i], [states[-1 - k]])[0][0] for i in range(n)]
        agree(rows, product)


def test_the_loss_gradient_and_the_local_gradients_of_one_layer():
    """y_(l) = a(f(y_(l−1), W_(l))): L'_(l−1) = L'_(l) · ∂y_(l)/∂y_(l−1), and
    ∂L/∂W_(l) = L'_(l) · ∂y_(l)/∂W_(l)."""
    rng = np.random.default_rng(0)
    y_before = tg.Tensor(rng.normal(size=d), requires_grad=True)
    W = tg.Tensor(rng.normal(size=(n, d)), requires_grad=True)
    y = np.tanh(W @ y_before)
    loss = np.sum(y**3)

    slope = 1 - np.tanh(W.data @ y_before.data) ** 2
    dy_dy = slope[:, None] * W.data  # (n, d)
    dy_dW = np.einsum("a,ab,c->abc", slope, np.eye(n), y_before.data)  # (n, n, d)
    loss_gradient = 3 * y.data**2

    found = tg.gradients(loss, [y, y_before, W])
    agree(found[0], loss_gradient)
    agree(found[1], loss_gradient @ dy_dy)
    agree(found[2], np.einsum("a,abc->bc", loss_gradient, dy_dW))
    for i in range(n):  # the local gradients themselves
        local = tg.gradients(y[i], [y_before, W])
        agree(local[0], dy_dy[i])
        agree(local[1], dy_dW[i])


@pytest.mark.parametrize("T", LENGTHS)
def test_the_gradient_of_one_loss_goes_through_all_steps_before_it(T):
    """∂L_(t)/∂W_hh = L'_(t) ∂y_(t)/∂h_(t) Σ_k ∂h_(t)/∂h_(t−k) ∂h_(t−k)/∂W_hh, the k-th term
    being what the use of W_hh at step t−k adds."""
    net = linear(T)
    from_output = net.W_qh.T @ net.dL_do()[T] * T
    terms = []
    for k in range(T):
        terms.append(np.outer(from_output, net.h[T - k - 1]))
        from_output = net.W_hh.T @ from_output
    uses = tg.contributions(net.losses[T], net.parameters["W_hh"])
    agree([use.gradient for use in uses], terms[::-1])


# Truncation -------------------------------------------------------------------------------


def definition(net: Linear, M: Any) -> Any:
    """Σ M[t, s] ∂L_t/∂W_s: W_s is the copy of W_hh at step s, so ∂L_t/∂W_s is
    ((W_hhᵀ)^{t−s} W_qhᵀ ∂L/∂o_t) h_{s−1}ᵀ, and M counts steps from 0."""
    total = np.zeros((n, n))
    do = net.dL_do()
    for t in range(1, net.T + 1):
        back = net.W_qh.T @ do[t]
        for s in range(t, 0, -1):
            total += M[t - 1, s - 1] * np.outer(back, net.h[s - 1])
            back = net.W_hh.T @ back
    return total


@pytest.mark.parametrize(("T", "k"), [(1, 1), (3, 1), (3, 2), (20, 6), (20, 20), (1100, 35)])
def test_subsequence_by_detaching_is_the_definition(T, k):
    net = linear(T, tg.Subsequence(k))
    t, s = np.mgrid[:T, :T]
    M = ((k * (t // k) <= s) & (s <= t)).astype(float)
    agree(tg.Subsequence(k).weights(T), M)
    agree(net.gradient(net.parameters["W_hh"])[0], definition(net, M))


def test_the_full_sum_is_the_definition_with_ones():
    net = linear(20)
    agree(net.gradient(net.parameters["W_hh"])[0], definition(net, np.tril(np.ones((20, 20)))))


def test_detaching_by_hand_is_subsequence():
    T, k = 20, 6
    net = linear(T)
    hx, hh, qh = net.parameters.values()
    h, losses = tg.Tensor(net.h[0]), []
    for t in range(1, T + 1):
        if (t - 1) % k == 0:
            h = h.detach()
        h = hx @ net.x[t] + hh @ h
        losses.append(tg.cross_entropy(qh @ h, net.y[t]))
    by_hand = tg.gradients(sum(losses[1:], losses[0]) / T, [hh])[0]
    chunked = linear(T, tg.Subsequence(k))
    agree(by_hand, chunked.gradient(chunked.parameters["W_hh"])[0])
