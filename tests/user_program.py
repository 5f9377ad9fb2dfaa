"""What a user of the library may write, for type checkers: `assert_type` is judged, not run."""

from typing import Any, assert_type, cast

import numpy as np
from numpy.typing import NDArray

import tinygrad_rnn as tg

W = tg.Tensor(np.ones((2, 3)), requires_grad=True, name="W")
V = tg.Tensor(np.ones((3, 2)))

assert_type(W @ V, tg.Tensor)
assert_type(2 * W - W / 3, tg.Tensor)
assert_type(W.T[0].sum(), tg.Tensor)
assert_type(W.data, NDArray[Any])
assert_type(W.grad, NDArray[Any] | None)
assert_type(W.shape, tuple[int, ...])

loss = np.sum(np.tanh(W @ V) * 2)
loss.backward()
tg.gradients(np.sum(W * W), [W])
assert_type((W * W).mean(), tg.Tensor)
cast(tg.Tensor, np.sum(np.exp(W), axis=0)).backward(np.ones(3))

cell = tg.RNNCell(3, 4, rng=0)
states, last = tg.unroll(cell, np.ones((5, 2, 3)))
assert_type(states, list[tg.Tensor])
assert_type(last, tg.Tensor)
stacked, end = tg.scan(cell, np.ones((5, 2, 3)))
assert_type(stacked, tg.Tensor)

pair, (h, c) = tg.unroll(tg.LSTMCell(3, 4), np.ones((5, 2, 3)))
assert_type(h, tg.Tensor)


def leaky(x: tg.Tensor, state: tg.Tensor) -> tg.Tensor:
    return state * 0.9 + x @ V.T


leaks, _ = tg.unroll(leaky, np.ones((5, 2, 2)), tg.Tensor(np.zeros((2, 3))))
assert_type(leaks, list[tg.Tensor])
