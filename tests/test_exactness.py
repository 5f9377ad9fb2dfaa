"""Truncated gradients against three other ways to compute them, and against their expectation.

The definition is Σ M[t, s] ∂L_t/∂W_s with one copy of the weights per step. The second way is to
run each loss's window again in a plain loop. The third is forward mode (real-time recurrent
learning) in plain NumPy, with the Jacobians of a step by complex differences, which are exact to
rounding and owe the engine nothing.
"""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.own_strategies import for_all, for_each

T, B, D, H = 30, 1, 1, 2
KINDS = {"rnn": tg.RNNCell, "lstm": tg.LSTMCell, "gru": tg.GRUCell}


def agree(found, expected):
    scale = max(1.0, np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * scale)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(x, h, W_xh, W_hh, b_h):
    return np.tanh(x @ W_xh + h @ W_hh + b_h)


def lstm(x, state, W_xh, W_hh, b_h):
    h, c = state[:H], state[H:]
    i, f, g, o = np.split(x @ W_xh + h @ W_hh + b_h, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


def gru(x, h, W_xh, W_hh, b_h, b_hn):
    r, z, n = np.split(x @ W_xh + b_h, 3)
    r_h, z_h, n_h = np.split(h @ W_hh, 3)
    r, z = sigmoid(r + r_h), sigmoid(z + z_h)
    return (1 - z) * np.tanh(n + r * (n_h + b_hn)) + z * h


EQUATIONS = {"rnn": rnn, "lstm": lstm, "gru": gru}


class Problem:
    """A cell, a sequence, and a loss at every step: L_t = v_t · h_t."""

    def __init__(self, kind):
        self.kind = kind
        rng = np.random.default_rng(7)
        self.cell = KINDS[kind](D, H, rng=rng)
        for parameter in self.cell.parameters().values():
            parameter.data = rng.normal(size=parameter.shape) * 1.2
        self.xs = rng.normal(size=(T, B, D))
        self.v = rng.normal(size=(T, B, H))
        self.start = tg.Tensor(rng.normal(size=(B, H)) * 0.5)

    def initial(self):
        return (self.start, self.start) if self.kind == "lstm" else self.start

    def parameters(self):
        return list(self.cell.parameters().values())

    def flat(self, gradients):
        return np.concatenate([np.ravel(g) for g in gradients])

    def loss(self, states):
        return sum(np.sum(v * self.cell.output(h)) for v, h in zip(self.v, states, strict=False))

    def truncated(self, truncation, steps=T):
        states, _ = tg.unroll(self.cell, self.xs[:steps], self.initial(), truncation)
        return self.flat(tg.gradients(self.loss(states), self.parameters()))


@cache
def problem(kind):
    return Problem(kind)


@cache
def by_copies(kind):
    """∂L_t/∂W_s for all t and s: (T, T, parameters), one copy of the weights at every step."""
    p = problem(kind)
    copies, state, losses = [], p.initial(), []
    for t in range(T):
        copy = KINDS[kind](D, H, rng=0)
        for name, parameter in p.cell.parameters().items():
            setattr(copy, name, tg.Tensor(parameter.data, requires_grad=True))
        copies.append(copy)
        state = copy(p.xs[t], state)
        losses.append(np.sum(p.v[t] * copy.output(state)))
    result = np.zeros((T, T, len(p.flat([w.data for w in p.parameters()]))))
    for t, loss in enumerate(losses):
        for s in range(t + 1):
            gradients = tg.gradients(loss, list(copies[s].parameters().values()))
            result[t, s] = p.flat(gradients)
    return result


@cache
def by_complex_steps(kind):
    """Along the sequence: ∂h_t/∂h_{t−1} and ∂h_t/∂W of every single step."""
    p = problem(kind)
    shapes = [w.shape for w in p.parameters()]
    ends = np.cumsum([math.prod(shape) for shape in shapes])

    def step(x, packed, width):
        state, weights = packed[:width], np.split(packed[width:], ends[:-1])
        return EQUATIONS[kind](
            x, state, *(w.reshape(shape) for w, shape in zip(weights, shapes, strict=True))
        )

    weights = p.flat([w.data for w in p.parameters()])
    state = np.tile(p.start.data[0], 2 if kind == "lstm" else 1)
    width, jacobians = len(state), []
    for t in range(T):
        packed = np.concatenate([state, weights]).astype(complex)
        columns = []
        for i in range(len(packed)):
            moved = packed.copy()
            moved[i] += 1e-30j
            columns.append(step(p.xs[t, 0], moved, width).imag / 1e-30)
        columns = np.array(columns).T
        jacobians.append((columns[:, :width], columns[:, width:]))
        state = step(p.xs[t, 0], packed, width).real
    return jacobians


def forward_mode(kind, xi_of):
    """For every loss ∂L_t/∂h_t P_t, where P_s = ξ_s ∂h_s/∂h_{s−1} P_{s−1} + ∂h_s/∂W runs forward.
    The ξ may be others for each loss, as they are for windows."""
    p, jacobians = problem(kind), by_complex_steps(kind)
    losses = []
    for t in range(T):
        P = np.zeros_like(jacobians[0][1])
        for s in range(t + 1):
            by_state, by_weights = jacobians[s]
            P = xi_of(t, s) * (by_state @ P) + by_weights
        losses.append(p.v[t, 0] @ P[:H])  # the first part of the state is h
    return np.array(losses)


@cache
def constants(kind):
    """The states, as values that no gradient goes through, the initial one first."""
    p = problem(kind)
    states = [p.initial()]
    with tg.no_grad():
        for x in p.xs:
            states.append(p.cell(x, states[-1]))
    return states


@cache
def by_hand(kind, f, t):
    """The loss at t by running its window f..t again in a plain loop."""
    p, state = problem(kind), constants(kind)[f]
    for s in range(f, t + 1):
        state = p.cell(p.xs[s], state)
    return p.flat(tg.gradients(np.sum(p.v[t] * p.cell.output(state)), p.parameters()))


SOME = [*range(1, 13), T - 1, T]
"""Every small length and every small k, and the largest."""

EVERY = {
    "Subsequence": lambda k: tg.Subsequence(k),
    "Window": lambda k: tg.Window(k - 1),
    "TBPTT": lambda k: tg.TBPTT(max(1, k // 3), k),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY)
def test_every_length_and_every_k_in_three_ways(name, kind):
    copies = by_copies(kind)
    for k in SOME:
        strategy = EVERY[name](k)
        f = [strategy.earliest(t) for t in range(T)]
        # A cut before step s forgets what P had brought along, and with it all earlier steps.
        references = [
            [copies[t, f[t] : t + 1].sum(axis=0) for t in range(T)],
            [by_hand(kind, f[t], t) for t in range(T)],
            forward_mode(kind, lambda t, s, f=f: float(s > f[t])),
        ]
        sums = [np.cumsum(losses, axis=0) for losses in references]
        for steps in SOME[SOME.index(k) :]:
            found = problem(kind).truncated(strategy, steps)
            for expected in sums:
                agree(found, expected[steps - 1])


LINKS = [
    tg.Full(),
    tg.Randomized.from_links(np.random.default_rng(3).normal(size=T - 1)),
    tg.Randomized.from_links(np.where(np.arange(T - 1) % 4 == 0, 0.0, 1.5)),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", LINKS, ids=lambda s: type(s).__name__)
def test_links_against_the_definition(strategy, kind):
    expected = np.einsum("ts,tsp->p", strategy.weights(T), by_copies(kind))
    agree(problem(kind).truncated(strategy), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", LINKS, ids=lambda s: type(s).__name__)
def test_links_against_forward_mode(strategy, kind):
    xi = strategy.links(T)
    agree(problem(kind).truncated(strategy), forward_mode(kind, lambda t, s: xi[s]).sum(axis=0))


@pytest.mark.parametrize("make", [tg.Subsequence, tg.Window, lambda k: tg.TBPTT(2, k)])
def test_a_k_for_each_sequence_is_each_sequence_by_itself(make):
    rng = np.random.default_rng(0)
    cell, k = tg.LSTMCell(D, H, rng=0), [2, 3, 9]
    xs, v = rng.normal(size=(14, 3, D)), rng.normal(size=(14, 3, H))

    def gradients(rows, truncation):
        states, _ = tg.unroll(cell, xs[:, rows], truncation=truncation)
        loss = sum(np.sum(w * h) for w, (h, _) in zip(v[:, rows], states, strict=True))
        return tg.gradients(loss, list(cell.parameters().values()))

    alone = [gradients([row], make(k[row])) for row in range(3)]
    for found, *parts in zip(gradients([0, 1, 2], make(k)), *alone, strict=True):
        agree(found, sum(parts))


def test_links_for_each_sequence_are_each_sequence_by_itself():
    rng = np.random.default_rng(0)
    cell, xi = tg.GRUCell(D, H, rng=0), rng.normal(size=(9, 3)) * [1, 1, 0]
    xs = rng.normal(size=(10, 3, D))

    def gradient(rows, links):
        states, _ = tg.unroll(cell, xs[:, rows], truncation=tg.Randomized.from_links(links))
        return tg.gradients(sum(np.sum(h**2) for h in states), [cell.W_hh])[0]

    agree(gradient([0, 1, 2], xi), sum(gradient([row], xi[:, row]) for row in range(3)))


# Checking by differences -------------------------------------------------------------------------


CHECKED = [
    tg.Full(),
    tg.Subsequence(4),
    tg.Subsequence([2, 3]),
    tg.Window(2),
    tg.Window([0, 3]),
    tg.TBPTT(2, 5),
    tg.Randomized(0.5, 1),
    tg.Randomized.scheduled(2, 3, 1, batch=2),
    *for_all(9),
    *for_each(9, 2),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", CHECKED, ids=repr)
def test_truncated_gradients_pass_a_gradient_check(strategy, kind):
    cell = KINDS[kind](D, H, rng=0)
    xs = np.random.default_rng(0).normal(size=(9, 2, D))
    loss = lambda states: sum(np.sum(cell.output(h) ** 2) for h in states)  # noqa: E731
    tg.check_truncated_gradients(loss, cell, xs, truncation=strategy)


def test_the_check_finds_a_wrong_truncated_gradient():
    cell, xs = tg.RNNCell(D, H, rng=0), np.ones((6, 1, D))

    class Wrong(tg.Subsequence):
        """Cuts one step later than it says, when it is asked a second time."""

        asked = 0

        def factors(self):
            Wrong.asked += 1
            return tg.Subsequence(2 if Wrong.asked == 1 else 3).factors()

        def fixed(self, T):
            return self

    with pytest.raises(AssertionError, match=r"the gradient by W_\w+, entry .* by differences"):
        tg.check_truncated_gradients(
            lambda states: sum(np.sum(h) for h in states), cell, xs, truncation=Wrong(2)
        )


def test_plain_differences_do_not_agree_with_a_truncated_gradient():
    """Why the check is needed: the ordinary one differs, and should."""
    p = problem("rnn")
    full, truncated = p.truncated(tg.Full()), p.truncated(tg.Window(1))
    assert np.max(np.abs(full - truncated)) > 0.01


def test_the_check_refuses_float32():
    cell = tg.RNNCell(D, H, rng=0, dtype=np.float32)
    with pytest.raises(TypeError, match="W_xh is float32"):
        tg.check_truncated_gradients(lambda s: np.sum(s[-1]), cell, np.ones((3, 1, D), np.float32))


# Randomized: exactly unbiased ---------------------------------------------------------------------


def expectation(keep, weight):
    """Mean and variance of the gradient over all 2^9 patterns of cuts in ten steps, summed without
    rounding; `weight` is what a surviving link is multiplied by."""
    w = tg.Tensor(0.9, requires_grad=True)
    xs = np.random.default_rng(0).normal(size=(10, 1, 1))
    probabilities, gradients = [], []
    for pattern in itertools.product([0.0, 1.0], repeat=9):
        survives = np.array(pattern)
        probabilities.append(np.prod(np.where(survives == 1, keep, 1 - keep)))
        strategy = tg.Randomized.from_links(survives * weight)
        states, _ = tg.unroll(lambda x, h: np.tanh(w * h + x), xs, np.zeros((1, 1)), strategy)
        gradients.append(float(tg.gradients(sum(np.sum(h) for h in states), [w])[0]))
    states, _ = tg.unroll(lambda x, h: np.tanh(w * h + x), xs, np.zeros((1, 1)))
    full = float(tg.gradients(sum(np.sum(h) for h in states), [w])[0])
    assert math.fsum(probabilities) == pytest.approx(1, abs=1e-15)
    mean = math.fsum(p * g for p, g in zip(probabilities, gradients, strict=True))
    square = math.fsum(p * (g - mean) ** 2 for p, g in zip(probabilities, gradients, strict=True))
    return mean - full, square, full


@pytest.mark.parametrize("keep", [0.5, 0.75, np.linspace(0.3, 0.95, 9)], ids=str)
def test_randomized_truncation_is_unbiased(keep):
    bias, variance, full = expectation(keep, 1 / np.asarray(keep))
    assert abs(bias) < 1e-14 * max(1, abs(full))
    assert variance > 0.01  # what it costs


def test_a_surviving_link_without_its_weight_is_biased():
    bias, variance, full = expectation(0.5, 1.0)
    assert abs(bias) > 0.1 * abs(full)
    assert variance < expectation(0.5, 2.0)[1]  # less variance, and wrong


def test_the_schedule_is_unbiased():
    """Its π depends on the cuts before: the probability of a pattern is the product on its way."""
    schedule = tg.Randomized.scheduled(2.5, 3)
    mean, total = 0.0, 0.0
    for pattern in itertools.product([False, True], repeat=9):
        since, probability, xi = 0, 1.0, []
        for survives in pattern:
            since += 1
            c = schedule.cut_probability(since)
            probability *= 1 - c if survives else c
            xi.append(1 / (1 - c) if survives else 0.0)
            since = since if survives else 0
        total += probability
        mean = mean + probability * tg.Randomized.from_links(xi).weights(10)
    assert total == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(mean, np.tril(np.ones((10, 10))), rtol=0, atol=1e-14)


# Every k1 steps, back k2 steps -------------------------------------------------------------------


def test_every_k1_steps_back_k2_steps():
    """An example on which a much-used recipe fails (discuss.pytorch.org, topic 15500): h_t = w
    h_{t−1}, w = 0.2, h_0 = 0.9; ∂h_3/∂w = 3 w² h_0 = 0.108."""
    w = tg.Tensor(0.2, requires_grad=True)
    cell = lambda x, h: w * h  # noqa: E731
    xs, h_0 = np.zeros(3), np.array(0.9)
    for strategy in (tg.TBPTT(1, 3), tg.Window(2), tg.Full(), tg.Subsequence(3), tg.TBPTT(3, 3)):
        states, _ = tg.unroll(cell, xs, h_0, strategy)
        agree(tg.gradients(states[2], [w])[0], 0.108)
        *_, last = tg.stream(cell, xs, h_0, strategy)
        agree(tg.gradients(last, [w])[0], 0.108)


def test_the_recipe_that_gives_0_288():
    """It chains leaves by hand and reuses their `.grad`, which still holds what the loss before
    left there: at h_1, the 0.2 of the second loss is added to the 0.04 of the third."""
    w = tg.Tensor(0.2, requires_grad=True)
    kept, gradients = [], []
    h = tg.Tensor(0.9)
    for _ in range(3):
        entered = tg.Tensor(h.data, requires_grad=True)
        h = w * entered
        kept.append((entered, h))
        w.grad = None
        h.backward()
        for (_, earlier), (later, _) in zip(kept[-2::-1], kept[:0:-1], strict=True):
            earlier.backward(later.grad)
        gradients.append(float(w.grad))
    agree(gradients, [0.9, 0.36, 0.288])
