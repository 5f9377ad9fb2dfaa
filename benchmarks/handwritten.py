"""The yardstick: the training step as a person who knows NumPy well would write it by hand.

A tanh RNN with a softmax output at every step, forward and back, all gradients, no framework:

    h_t = tanh(x_t W_xh + h_{t−1} W_hh + b_h),   o_t = h_t W_hq + b_q,   L = mean −log softmax(o_t)

and backwards, with δ_t = ∂L/∂a_t for the argument a_t of tanh,

    δ_t = (δ_{t+1} W_hhᵀ + ∂L/∂o_t W_hqᵀ) (1 − h_t²),
    ∂L/∂W_xh = Σ x_tᵀ δ_t,   ∂L/∂W_hh = Σ h_{t−1}ᵀ δ_t,   ∂L/∂b_h = Σ δ_t.

What makes it fast: whatever does not depend on the state is one product over all steps; buffers
and the views of each step are made once; `array.dot(W, out)` is the cheapest call of a product;
a sum along an axis is a product with ones; the exponentials take one shift for all places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.workloads import Problem

Step = Callable[[], tuple[float, list[Any]]]


def rnn(problem: Problem) -> Step:
    """The program for one problem: each call is one training step, (loss, gradients)."""
    return one_sequence(problem) if problem.xs.shape[1] == 1 else batch(problem)


def batch(problem: Problem) -> Step:
    """Many sequences at once: time goes into the products, and into memory if one is careless."""
    xs, labels, W_xh, W_hh, b_h, W_hq, b_q = problem
    T, B, D = xs.shape
    H, Q = W_hq.shape
    f = xs.dtype
    x = xs.reshape(T * B, D)
    h = np.zeros((T + 1, B, H), f)
    h_out, h_in = h[1:].reshape(T * B, H), h[:-1].reshape(T * B, H)
    a = np.empty((T, B, H), f)  # x W_xh, and on the way back ∂L/∂h and δ in its place
    a_rows = a.reshape(T * B, H)
    o, output = output_layer(labels, Q, f)
    ones_N = np.ones(T * B, f)
    product, derivative = np.empty((B, H), f), np.empty((B, H), f)
    forward = list(zip([row.dot for row in h[:-1]], a, h[1:], strict=True))
    back = list(zip([row.dot for row in a[:0:-1]], a[-2::-1], h[-2:0:-1], strict=True))

    def step() -> tuple[float, list[Any]]:
        np.dot(x, W_xh, a_rows)
        np.add(a_rows, b_h, a_rows)
        for h_dot, a_t, h_t in forward:
            h_dot(W_hh, product)
            np.add(product, a_t, product)
            np.tanh(product, h_t)

        loss = output(h_out, W_hq, b_q)

        W_qh = np.ascontiguousarray(W_hq.T)
        W_hh_T = np.ascontiguousarray(W_hh.T)
        np.dot(o, W_qh, a_rows)
        np.multiply(h[-1], h[-1], derivative)
        np.subtract(1, derivative, derivative)
        np.multiply(a[-1], derivative, a[-1])
        for next_dot, a_t, h_t in back:
            next_dot(W_hh_T, product)
            np.add(a_t, product, a_t)
            np.multiply(h_t, h_t, derivative)
            np.subtract(1, derivative, derivative)
            np.multiply(a_t, derivative, a_t)
        return loss, [
            x.T @ a_rows,
            h_in.T @ a_rows,
            ones_N @ a_rows,
            h_out.T @ o,
            ones_N @ o,
        ]

    return step


def output_layer(labels: Any, Q: int, dtype: Any) -> tuple[Any, Callable[..., float]]:
    """The logits of all steps and their cross-entropy; ∂L/∂o is left in the array returned."""
    N = labels.size
    o, norm, ones = np.empty((N, Q), dtype), np.empty(N, dtype), np.ones(Q, dtype)
    chosen = np.arange(N) * Q + labels.reshape(-1)
    scale = dtype.type(1 / N)

    def output(h: Any, W_hq: Any, b_q: Any) -> float:
        np.dot(h, W_hq, o)
        np.add(o, b_q, o)
        np.subtract(o, o.max(), o)
        picked = o.ravel().take(chosen)
        np.exp(o, o)
        np.dot(o, ones, norm)
        loss = (np.log(norm).sum() - picked.sum()) * scale
        np.divide(scale, norm, norm)
        np.multiply(o, norm[:, None], o)
        o.ravel()[chosen] -= scale
        return float(loss)

    return o, output


def one_sequence(problem: Problem) -> Step:
    """A single sequence: time goes into the calls, so as few of them per step as possible.

    [h_{t−1}, x_t, 1] times the stacked weights is the whole argument of tanh, and
    [δ_{t+1}, ∂L/∂o_t] times the stacked transposes the whole ∂L/∂h_t: two calls per step and way.
    """
    xs, labels, W_xh, W_hh, b_h, W_hq, b_q = problem
    T, _, D = xs.shape
    H, Q = W_hq.shape
    f = xs.dtype
    x = xs.reshape(T, D)
    h = np.zeros((T + 1, H + D + 1), f)  # rows [h_{t−1}, x_t, 1]
    h[:, -1] = 1
    delta = np.zeros((T + 1, H + Q), f)  # rows [δ_{t+1}, ∂L/∂o_t]
    W, W_T = np.empty((H + D + 1, H), f), np.empty((H + Q, H), f)
    product = np.empty(H, f)
    derivative = np.empty((T, H), f)
    o = delta[1:, H:]
    norm, ones_Q, ones_T = np.empty((T, 1), f), np.ones((Q, 1), f), np.ones(T, f)
    forward = list(zip([row.dot for row in h[:-1]], h[1:, :H], strict=True))
    back = list(
        zip([row.dot for row in delta[:0:-1]], derivative[::-1], delta[-2::-1, :H], strict=True)
    )
    steps, chosen = np.arange(T), labels.reshape(-1)
    scale = f.type(1 / T)

    def step() -> tuple[float, list[Any]]:
        W[:H], W[H:-1], W[-1] = W_hh, W_xh, b_h
        W_T[:H], W_T[H:] = W_hh.T, W_hq.T
        h[:-1, H:-1] = x
        tanh, multiply = np.tanh, np.multiply
        for h_dot, h_t in forward:
            h_dot(W, product)
            tanh(product, h_t)

        h_out = h[1:, :H]
        logits = h_out @ W_hq
        logits += b_q
        logits -= logits.max()
        picked = logits[steps, chosen]
        np.exp(logits, logits)
        np.dot(logits, ones_Q, norm)
        loss = (np.log(norm).sum() - picked.sum()) * scale
        np.multiply(logits, scale / norm, o)
        o[steps, chosen] -= scale

        multiply(h_out, h_out, derivative)
        np.subtract(1, derivative, derivative)
        for next_dot, derivative_t, delta_t in back:
            next_dot(W_T, product)
            multiply(product, derivative_t, delta_t)
        weights = h[:-1].T @ delta[:-1, :H]
        return loss, [weights[H:-1], weights[:H], weights[-1], h_out.T @ o, ones_T @ o]

    return step


def calls_alone(problem: Problem) -> Step:
    """What a tape does not add: the calls of the recorded loop, one by one, and nothing around.

    Every operation makes a new array, as it must where each result is a value of its own.
    """
    xs, labels, W_xh, W_hh, b_h, W_hq, b_q = problem
    T, B, _ = xs.shape
    H, Q = W_hq.shape
    start = np.zeros((B, H), xs.dtype)
    o, output = output_layer(labels, Q, xs.dtype)
    ones = np.ones(T * B, xs.dtype)

    def step() -> tuple[float, list[Any]]:
        h = start
        states = [h]
        for x in xs:
            a = x.dot(W_xh) + h.dot(W_hh)
            a = a + b_h
            h = np.tanh(a)
            states.append(h)
        h_out = np.concatenate(states[1:])
        loss = output(h_out, W_hq, b_q)
        above = o.dot(W_hq.T).reshape(T, B, H)
        db_h = np.zeros((B, H), xs.dtype)
        deltas: list[Any] = [None] * T
        delta = above[-1] * (1 - h * h)
        for t in range(T - 1, 0, -1):
            deltas[t] = delta
            db_h += delta
            h = states[t]
            delta = (above[t - 1] + delta.dot(W_hh.T)) * (1 - h * h)
        deltas[0] = delta
        db_h += delta
        d = np.concatenate(deltas)
        h_in = np.concatenate(states[:-1])
        x_in = np.concatenate(list(xs))
        return loss, [x_in.T @ d, h_in.T @ d, db_h.sum(axis=0), h_out.T @ o, ones @ o]

    return step


def minimal(problem: Problem) -> Step:
    """A user's own cell, a gated unit with one gate:

    f = σ(x W_xf + h W_hf + b_f),  n = tanh(x W_xn + (f h) W_hn + b_n),  h' = (1 − f) h + f n.
    """
    xs, labels, W_x, W_h, b, W_hq, b_q = problem
    T, B, D = xs.shape
    H, Q = W_hq.shape
    f32 = xs.dtype
    x = xs.reshape(T * B, D)
    h, gate, new, kept = (np.empty((T + n, B, H), f32) for n in (1, 0, 0, 0))
    h[0] = 0
    h_out, h_in = h[1:].reshape(T * B, H), h[:-1].reshape(T * B, H)
    af, an = np.empty((T, B, H), f32), np.empty((T, B, H), f32)
    af_rows, an_rows, dh = af.reshape(-1, H), an.reshape(-1, H), np.empty((T * B, H), f32)
    o, output = output_layer(labels, Q, f32)
    ones_N = np.ones(T * B, f32)
    one, two, three, link = (np.empty((B, H), f32) for _ in range(4))
    forward = list(zip(h[:-1], af, an, gate, new, kept, h[1:], strict=True))
    per_step = (h[:-1], af, an, gate, new, dh.reshape(T, B, H))
    back = list(zip(*(a[::-1] for a in per_step), strict=True))

    def step() -> tuple[float, list[Any]]:
        W_xf, W_xn, W_hf, W_hn = (
            np.ascontiguousarray(w[:, i : i + H]) for w in (W_x, W_h) for i in (0, H)
        )
        np.dot(x, W_xf, af_rows)
        np.add(af_rows, b[:H], af_rows)
        np.dot(x, W_xn, an_rows)
        np.add(an_rows, b[H:], an_rows)
        for before, a_f, a_n, f, n, fh, after in forward:
            before.dot(W_hf, one)
            np.add(one, a_f, one)
            np.multiply(one, 0.5, one)
            np.tanh(one, one)
            np.multiply(one, 0.5, one)
            np.add(one, 0.5, f)
            np.multiply(f, before, fh)
            fh.dot(W_hn, one)
            np.add(one, a_n, one)
            np.tanh(one, n)
            np.subtract(n, before, one)
            np.multiply(one, f, one)
            np.add(before, one, after)

        loss = output(h_out, W_hq, b_q)

        W_hfT, W_hnT = np.ascontiguousarray(W_hf.T), np.ascontiguousarray(W_hn.T)
        np.dot(o, np.ascontiguousarray(W_hq.T), dh)
        link[...] = 0
        for before, d_f, d_n, f, n, dh_t in back:
            np.add(dh_t, link, dh_t)
            np.multiply(n, n, one)
            np.subtract(1, one, one)
            np.multiply(one, f, one)
            np.multiply(dh_t, one, d_n)
            d_n.dot(W_hnT, two)
            np.subtract(n, before, one)
            np.multiply(one, dh_t, one)
            np.multiply(two, before, three)
            np.add(one, three, one)
            np.subtract(1, f, three)
            np.multiply(three, f, link)
            np.multiply(one, link, d_f)
            np.multiply(dh_t, three, one)
            np.multiply(two, f, two)
            np.add(one, two, one)
            d_f.dot(W_hfT, link)
            np.add(link, one, link)
        fh = kept.reshape(-1, H)
        return loss, [
            np.concatenate([x.T @ af_rows, x.T @ an_rows], axis=1),
            np.concatenate([h_in.T @ af_rows, fh.T @ an_rows], axis=1),
            np.concatenate([ones_N @ af_rows, ones_N @ an_rows]),
            h_out.T @ o,
            ones_N @ o,
        ]

    return step
