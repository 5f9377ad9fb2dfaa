"""An LSTM with an output layer, trained by Adam: by this library, and by PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinygrad_rnn as tg

BETAS = (0.9, 0.999)
"""Adam's own, as Kingma & Ba give them."""


class Ours:
    """The network and a step of training, by this library. A subclass says what the loss is.

    seed: of the first weights.
    """

    def __init__(
        self, symbols: int, units: int, seed: int, rate: float, betas: tuple[float, float] = BETAS
    ) -> None:
        rng = np.random.default_rng(seed)
        self.cell = tg.LSTMCell(symbols, units, rng=rng)
        bound = 1 / np.sqrt(units)
        self.W_hq = tg.Tensor(rng.uniform(-bound, bound, (units, symbols)), True, "W_hq")
        self.b_q = tg.Tensor(np.zeros(symbols), True, "b_q")
        self.bptt = tg.BPTT(self.cell, self.loss)
        self.optimizer = tg.Adam(self.bptt, rate, betas=betas)

    def loss(self, h: Any, y: Any) -> Any:
        """The loss at one step, one number for each sequence."""
        raise NotImplementedError

    def update(self, xs: Any, targets: Any, lengths: Any) -> float:
        """One step of Adam. Returns the loss."""
        self.optimizer.zero_grad()
        loss, _ = self.bptt(xs, targets, lengths=lengths)
        tg.clip_grad_norm(self.optimizer, 1.0)
        self.optimizer.step()
        return float(loss)

    def scores(self, xs: Any) -> Any:
        """o_t of every step."""
        with tg.no_grad():
            (states, _), _ = tg.scan(self.cell, xs)
        return states.data @ self.W_hq.data + self.b_q.data


class Theirs:
    """The same network by PyTorch, `nn.LSTM` and `nn.Linear`, from the first weights of ours."""

    def __init__(self, ours: Ours, rate: float, betas: tuple[float, float] = BETAS) -> None:
        import torch

        self.torch = torch
        units, symbols = ours.W_hq.shape
        self.layer = tg.to_torch(ours.cell, torch.nn.LSTM(symbols, units).double())
        self.linear = torch.nn.Linear(units, symbols).double()
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(ours.W_hq.data.T.copy()))
            self.linear.bias.zero_()
        self.weights = [*self.layer.parameters(), *self.linear.parameters()]
        self.optimizer = torch.optim.Adam(self.weights, rate, betas)

    def outputs(self, xs: Any) -> Any:
        """o_t of every step, as a part of PyTorch's graph."""
        states, _ = self.layer(xs)
        return self.linear(states)

    def descend(self, loss: Any) -> float:
        """One step of Adam. Returns the loss."""
        self.optimizer.zero_grad()
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def scores(self, xs: Any) -> Any:
        """o_t of every step."""
        with self.torch.no_grad():
            return self.outputs(self.torch.from_numpy(xs)).numpy()
