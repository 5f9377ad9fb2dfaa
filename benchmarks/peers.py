"""The same training step in every framework, each as its users would write it for speed.

A peer is a function from the `Problem` to a step: each call of the step computes the loss and the
gradients of all five parameters anew. Every import is inside, for each runs in a process of its
own; one that is not installed is left out of the table.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import handwritten, peak
from benchmarks.workloads import BLOCKS, Problem

Step = Callable[[], tuple[Any, list[Any]]]


def by_hand(problem: Problem) -> Step:
    return (
        handwritten.minimal(problem) if cell_of(problem) == "minimal" else handwritten.rnn(problem)
    )


def by_hand_any_batch(problem: Problem) -> Step:
    """The program for batches also where there is one sequence: h_t and x_t apart, as one writes
    them down, and not the stacked weights that batch size 1 allows."""
    return handwritten.batch(problem)


def calls_alone(problem: Problem) -> Step:
    """NumPy's part of the recorded loop: its calls without a tape."""
    return handwritten.calls_alone(problem)


def recorded(problem: Problem, hoisted: bool = False) -> Step:
    """This project, define by run: one node per operation.

    hoisted: what the cell makes of its inputs is one product for all steps, before the loop.
    """
    import numpy as np

    import tinygrad_rnn as tg

    cell, state, parameters, gradients = own(problem)
    *_, W_hq, b_q = parameters

    def step() -> tuple[Any, list[Any]]:
        if hoisted:
            states, _ = tg.unroll(cell.advance, cell.project(problem.xs))
        else:
            states, _ = tg.unroll(cell, problem.xs, state)
        outputs = [s[0] for s in states] if isinstance(states[0], tuple) else states
        loss = tg.cross_entropy(np.stack(outputs) @ W_hq + b_q, problem.labels)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        return loss.item(), gradients()

    return step


def recorded_hoisted(problem: Problem) -> Step:
    """This project, define by run, the product with the inputs taken out of the loop by hand."""
    return recorded(problem, hoisted=True)


def scan(problem: Problem, **options: Any) -> Step:
    """This project, compiled: `scan`, and the output layer as one product over all steps.

    options: of `scan`, such as another back end.
    """
    import tinygrad_rnn as tg

    cell, state, parameters, gradients = own(problem)
    *_, W_hq, b_q = parameters

    def step() -> tuple[Any, list[Any]]:
        states, _ = tg.scan(cell, problem.xs, state, **options)
        outputs = states[0] if isinstance(states, tuple) else states
        loss = tg.cross_entropy(outputs @ W_hq + b_q, problem.labels)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        return loss.item(), gradients()

    return step


def scan_native(problem: Problem) -> Step:
    """`scan` as machine code."""
    return scan(problem, backend="native", threads=threads())


def threads() -> int:
    """So many as all peers are given."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def bptt(problem: Problem, **options: Any) -> Step:
    """This project, compiled and without a graph: output layer and loss are in the program, too.

    options: of `BPTT`, such as another back end.
    """
    train, gradients = training(problem, **options)
    return lambda: (train().item(), gradients())


def training(problem: Problem, **options: Any) -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
    """A step of a `BPTT`, which gives the loss, and a function that collects its gradients."""
    import tinygrad_rnn as tg

    cell, state, parameters, gradients = own(problem)
    *_, W_hq, b_q = parameters

    def loss(h: Any, y: Any) -> Any:
        return tg.cross_entropy(h @ W_hq + b_q, y)

    bptt = tg.BPTT(cell, loss, **options)

    def train() -> Any:
        for parameter in parameters:
            parameter.grad = None
        return bptt(problem.xs, problem.labels, state)[0]

    return train, gradients


def bptt_native(problem: Problem) -> Step:
    """`BPTT` as machine code."""
    return bptt(problem, backend="native", threads=threads())


def own(problem: Problem) -> tuple[Any, Any, list[Any], Callable[[], list[Any]]]:
    """A cell with the problem's weights, its initial state (None: zeros), all parameters, and a
    function that collects their gradients."""
    import numpy as np

    import tinygrad_rnn as tg

    kind, (D, width), H = cell_of(problem), problem.W_xh.shape, len(problem.W_hh)
    W_hq, b_q = (tg.Tensor(w, requires_grad=True) for w in (problem.W_hq, problem.b_q))
    if kind == "minimal":

        def tensor(array: Any) -> Any:
            return tg.Tensor(np.ascontiguousarray(array), requires_grad=True)

        parts = [tensor(w[..., n : n + H]) for w in problem[2:5] for n in range(0, width, H)]
        W_xf, W_xn, W_hf, W_hn, b_f, b_n = parts

        def cell(x: Any, h: Any) -> Any:
            f = tg.sigmoid(x @ W_xf + h @ W_hf + b_f)
            n = np.tanh(x @ W_xn + (f * h) @ W_hn + b_n)
            return (1 - f) * h + f * n

        def joined() -> list[Any]:
            grads = [p.grad for p in (*parts, W_hq, b_q)]
            pairs = zip(grads[:6:2], grads[1:6:2], strict=True)
            return [*(np.concatenate(pair, axis=-1) for pair in pairs), *grads[6:]]

        state = np.zeros((problem.xs.shape[1], H), problem.xs.dtype)
        return cell, state, [*parts, W_hq, b_q], joined
    cells: dict[str, Any] = {"rnn": tg.RNNCell, "gru": tg.GRUCell, "lstm": tg.LSTMCell}
    made = cells[kind](D, H, dtype=problem.xs.dtype)
    for name, parameter in made.parameters().items():
        parameter.data = getattr(problem, name, parameter.data * 0)
    compared = [made.W_xh, made.W_hh, made.b_h, W_hq, b_q]
    parameters = [*made.parameters().values(), W_hq, b_q]
    return made, None, parameters, lambda: [p.grad for p in compared]


def torch_eager(problem: Problem, hoisted: bool = False) -> Step:
    """PyTorch with a Python loop over the steps."""
    import torch

    xs, labels, *weights = map(torch.tensor, problem)
    W_xh, W_hh, b_h, W_hq, b_q = (w.requires_grad_() for w in weights)

    def step() -> tuple[Any, list[Any]]:
        h = torch.zeros(xs.shape[1], len(W_hh))
        states = []
        if hoisted:
            for a in xs @ W_xh + b_h:
                h = torch.tanh(a + h @ W_hh)
                states.append(h)
        else:
            for x in xs:
                h = torch.tanh(x @ W_xh + h @ W_hh + b_h)
                states.append(h)
        logits = torch.stack(states) @ W_hq + b_q
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        for w in weights:
            w.grad = None
        loss.backward()
        return loss.item(), [w.grad.numpy() for w in weights]

    return step


def torch_eager_hoisted(problem: Problem) -> Step:
    """PyTorch with a Python loop, the product with the inputs taken out of it by hand."""
    return torch_eager(problem, hoisted=True)


def torch_fused(problem: Problem) -> Step:
    """PyTorch's fused layers."""
    import torch

    xs, labels, W_xh, W_hh, b_h, W_hq, b_q = map(torch.tensor, problem)
    kinds = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
    rnn = kinds[cell_of(problem)](len(W_xh), len(W_hh))
    for name, value in {
        "weight_ih_l0": W_xh.T,
        "weight_hh_l0": W_hh.T,
        "bias_ih_l0": b_h,
        "bias_hh_l0": b_h * 0,
    }.items():
        getattr(rnn, name).data.copy_(value)
    output = [W_hq.requires_grad_(), b_q.requires_grad_()]
    parameters = [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, rnn.bias_hh_l0, *output]

    def step() -> tuple[Any, list[Any]]:
        states, _ = rnn(xs)
        logits = states @ W_hq + b_q
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        for p in parameters:
            p.grad = None
        loss.backward()
        W_ih, W_hh, b_ih, _, *rest = [p.grad.numpy() for p in parameters]
        return loss.item(), [W_ih.T, W_hh.T, b_ih, *rest]

    return step


def jax_scan(problem: Problem, hoisted: bool = False) -> Step:
    """JAX, jit of `lax.scan`, the product with the inputs inside the loop."""
    import jax
    import jax.numpy as jnp

    xs, labels, *weights = map(jnp.asarray, problem)

    def loss_of(weights: Any) -> Any:
        W_xh, W_hh, b_h, W_hq, b_q = weights
        inputs = xs @ W_xh + b_h if hoisted else xs

        def cell(h: Any, x: Any) -> Any:
            h = jnp.tanh((x if hoisted else x @ W_xh + b_h) + h @ W_hh)
            return h, h

        _, states = jax.lax.scan(cell, jnp.zeros((xs.shape[1], len(W_hh)), xs.dtype), inputs)
        scores = jax.nn.log_softmax(states @ W_hq + b_q)
        return -jnp.mean(jnp.take_along_axis(scores, labels[..., None], -1))

    compiled = jax.jit(jax.value_and_grad(loss_of))

    def step() -> tuple[Any, list[Any]]:
        loss, gradients = jax.block_until_ready(compiled(weights))
        return loss, gradients

    return step


def jax_scan_hoisted(problem: Problem) -> Step:
    """JAX, jit of `lax.scan`, the product with the inputs taken out of the loop by hand."""
    return jax_scan(problem, hoisted=True)


def autograd(problem: Problem) -> Step:
    """HIPS autograd."""
    import autograd.numpy as np  # type: ignore[import-untyped]
    from autograd import value_and_grad

    xs, labels, *weights = problem
    places, chosen = np.arange(labels.size), labels.reshape(-1)

    def loss_of(weights: Any) -> Any:
        W_xh, W_hh, b_h, W_hq, b_q = weights
        h = np.zeros((xs.shape[1], len(W_hh)), xs.dtype)
        states = []
        for x in xs:
            h = np.tanh(np.dot(x, W_xh) + np.dot(h, W_hh) + b_h)
            states.append(h)
        logits = np.dot(np.concatenate(states), W_hq) + b_q
        normalizers = np.log(np.sum(np.exp(logits), axis=1))
        return np.mean(normalizers - logits[places, chosen])

    compiled = value_and_grad(loss_of)
    return lambda: compiled(weights)


def mygrad(problem: Problem) -> Step:
    """MyGrad, its checks of memory turned off."""
    import mygrad as mg

    mg.turn_memory_guarding_off()
    sys.setrecursionlimit(1_000_000)  # it walks the graph by recursion
    xs, labels, *weights = problem
    weights = [mg.tensor(w) for w in weights]
    W_xh, W_hh, b_h, W_hq, b_q = weights

    def step() -> tuple[Any, list[Any]]:
        h = mg.zeros((xs.shape[1], len(W_hh)), dtype=xs.dtype, constant=True)
        states = []
        for x in xs:
            h = mg.tanh(x @ W_xh + h @ W_hh + b_h)
            states.append(h)
        logits = mg.concatenate(states) @ W_hq + b_q
        loss = mg.nnet.losses.softmax_crossentropy(logits, labels.reshape(-1))
        loss.backward()
        return loss.item(), [w.grad for w in weights]

    return step


def dezero(problem: Problem) -> Step:
    """DeZero; the last release asks NumPy for an alias that is gone since 1.24."""
    import numpy as np

    vars(np).setdefault("int", int)
    import dezero.functions as F
    from dezero import Variable

    xs, labels, *weights = problem
    weights = [Variable(w) for w in weights]
    W_xh, W_hh, b_h, W_hq, b_q = weights
    start = np.zeros((xs.shape[1], len(problem.W_hh)), xs.dtype)

    def step() -> tuple[Any, list[Any]]:
        h = Variable(start)
        total = 0
        for x, label in zip(xs, labels, strict=True):
            h = F.tanh(F.matmul(x, W_xh) + F.matmul(h, W_hh) + b_h)
            total = total + F.softmax_cross_entropy(F.matmul(h, W_hq) + b_q, label)
        loss = total / len(xs)
        for w in weights:
            w.cleargrad()
        loss.backward()
        return float(loss.data), [w.grad.data for w in weights]

    return step


def cell_of(problem: Problem) -> str:
    """Which cell the weights are for, by their width."""
    blocks = problem.W_xh.shape[1] // len(problem.W_hh)
    return next(cell for cell, count in BLOCKS.items() if count == blocks)


class Peer(NamedTuple):
    """A way to compute the training step, the package it is in, and the cells it is written for."""

    prepare: Callable[[Problem], Step]
    package: str
    cells: tuple[str, ...] = ("rnn",)


PEERS: dict[str, Peer] = {
    "by hand": Peer(by_hand, "numpy", ("rnn", "minimal")),
    "by hand, any batch": Peer(by_hand_any_batch, "numpy", ("rnn",)),
    "scan": Peer(scan, "numpy", tuple(BLOCKS)),
    "BPTT": Peer(bptt, "numpy", tuple(BLOCKS)),
    "scan, native": Peer(scan_native, "llvmlite", tuple(BLOCKS)),
    "BPTT, native": Peer(bptt_native, "llvmlite", tuple(BLOCKS)),
    "recorded": Peer(recorded, "numpy", tuple(BLOCKS)),
    "its calls alone": Peer(calls_alone, "numpy"),
    "recorded, hoisted": Peer(recorded_hoisted, "numpy", ("rnn", "gru", "lstm")),
    "torch.nn": Peer(torch_fused, "torch", ("rnn", "gru", "lstm")),
    "torch eager": Peer(torch_eager, "torch"),
    "torch eager, hoisted": Peer(torch_eager_hoisted, "torch"),
    "jax scan": Peer(jax_scan, "jax"),
    "jax scan, hoisted": Peer(jax_scan_hoisted, "jax"),
    "autograd": Peer(autograd, "autograd"),
    "mygrad": Peer(mygrad, "mygrad"),
    "dezero": Peer(dezero, "dezero"),
    "products at peak": Peer(peak.products_at_peak, "llvmlite", tuple(BLOCKS)),
}
