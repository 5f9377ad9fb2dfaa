"""A random cell in PyTorch: the same source, with PyTorch's functions in the place of NumPy's."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinygrad_rnn as tg
from tests.fuzz.ordered import ordered
from tinygrad_rnn.engine.trees import flatten, unflatten

F: Any = torch.nn.functional
SAME = "tanh", "sin", "exp", "sqrt", "square", "abs", "einsum", "where", "maximum", "moveaxis"


def reducing(function: Any) -> Any:
    def reduced(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
        return function(a) if axis is None else function(a, dim=axis, keepdim=keepdims)

    return reduced


def stands_for_numpy(dtype: torch.dtype) -> Any:
    return types.SimpleNamespace(
        **{name: getattr(torch, name) for name in SAME},
        **{name: reducing(getattr(torch, name)) for name in ("sum", "mean", "prod")},
        max=reducing(torch.amax),
        var=reducing(lambda a, **over: torch.var(a, correction=0, **over)),
        broadcast_to=torch.broadcast_to,
        reshape=torch.reshape,
        concatenate=lambda parts, axis=0: torch.cat(parts, dim=axis),
        stack=lambda parts, axis=0: torch.stack(parts, dim=axis),
        roll=lambda a, shift, axis: torch.roll(a, shift, dims=axis),
        cumsum=lambda a, axis: torch.cumsum(a, dim=axis),
        sort=lambda a, axis: torch.sort(a, dim=axis, stable=True).values,
        argmax=lambda a, axis: torch.argmax(a, dim=axis),
        clip=torch.clamp,
        pad=lambda a, widths: F.pad(a, [n for pair in reversed(widths) for n in pair]),
        take=lambda a, places, axis: a[places],
        eye=lambda n, **_: torch.eye(n, dtype=dtype),
        linalg=types.SimpleNamespace(norm=reducing(torch.linalg.norm)),
    )


def stands_for_us(dtype: torch.dtype) -> Any:
    return types.SimpleNamespace(
        sigmoid=torch.sigmoid,
        softmax=lambda a: torch.softmax(a, -1),
        log_softmax=lambda a: torch.log_softmax(a, -1),
        relu=torch.relu,
        detach=lambda a: a.detach(),
        scale_gradient=scaled,
        one_hot=lambda labels, classes, _: F.one_hot(labels, classes).to(dtype),
    )


def scaled(h: Any, factor: Any) -> Any:
    """The same value; its gradient is multiplied by the factor."""
    return h.detach() + float(factor) * (h - h.detach())


def states_and_gradients(
    source: str, given: dict[str, Any], leaves: list[tg.Tensor], weigh: Callable[..., Any]
) -> list[Any]:
    """The parts of the states of all steps, and the gradients by the leaves, in a PyTorch run.

    They are the definition, Σ M[t, s] ∂L_t/∂W_s: each step computes with copies of the leaves.
    given: what the source made in NumPy. weigh: the loss's weights for parts of these shapes.
    """
    T, code = given["T"], source[source.index("class Layer") : source.index("\nxs = ")]
    code = compile(code.replace("[:, ::-1]", ".flip(1)"), "<torch>", "exec")
    arrays = [np.array(leaf.data) for leaf in leaves]
    copies = [[torch.tensor(a, requires_grad=True) for a in arrays] for _ in range(T)]
    states: list[Any] = []
    for t, own in enumerate(copies):
        known = {id(leaf): copy for leaf, copy in zip(leaves, own, strict=True)}
        names = module(code, given, known)
        xs = nested(names["of"], given["xs"])
        x = {key: part[t] for key, part in xs.items()} if isinstance(xs, dict) else xs[t]
        state = states[-1] if t else nested(names["of"], given["state"])
        if given["reset"] is not None:
            state = nested(lambda h, rows=given["reset"][t]: without(h, rows), state)
        states.append(names["cell"](x, state))
    parts = [torch.stack(part) for part in zip(*map(ordered, states), strict=True)]
    weights = weigh([part.shape for part in parts])
    weighed = [p * torch.tensor(w, dtype=p.dtype) for p, w in zip(parts, weights, strict=True)]
    losses = [sum(torch.sum(part[t]) for part in weighed) for t in range(T)]
    losses[-1] = losses[-1] + sum(torch.sum(torch.sin(h)) for h in ordered(states[-1]))
    found = [torch.zeros_like(leaf) for leaf in copies[0]]
    for loss, row in zip(losses, given["truncation"].fixed(T).weights(T), strict=True):
        for own, weight in zip(copies, row, strict=True):
            if loss.requires_grad and weight:
                each = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True)
                found = [
                    sums if g is None else sums + float(weight) * g
                    for sums, g in zip(found, each, strict=True)
                ]
    return [part.detach().numpy() for part in (*parts, *found)]


def module(code: Any, given: dict[str, Any], known: dict[int, Any]) -> dict[str, Any]:
    """The names of the source, run by PyTorch; "of": the PyTorch tensor for an array or Tensor.

    known: the tensors for those that are given a gradient.
    """

    def of(thing: Any) -> Any:
        if isinstance(thing, tg.Tensor):
            return known[id(thing)] if id(thing) in known else torch.tensor(np.array(thing.data))
        return torch.tensor(np.array(thing)) if isinstance(thing, np.ndarray) else thing

    dtype = torch.float64 if given["dtype"] is np.float64 else torch.float32
    names = {name: of(thing) for name, thing in given.items()}
    names |= {"np": stands_for_numpy(dtype), "tg": stands_for_us(dtype), "dtype": float, "of": of}
    names |= {"tied": names["W"].T * 0.5, "settings": types.SimpleNamespace(scale=0.5)}
    names["settings"].mask = of(given["settings"].mask)
    exec(code, names)
    return names


def nested(function: Callable[[Any], Any], tree: Any) -> Any:
    return unflatten(tree, map(function, flatten(tree)))


def without(h: Any, rows: Any) -> Any:
    """Zeros for the sequences that begin anew; a number belongs to none of them."""
    if np.ndim(rows) == 0:
        return torch.zeros_like(h) if rows else h
    if h.ndim == 0:
        return h
    return torch.where(torch.tensor(rows).reshape(-1, *[1] * (h.ndim - 1)), 0, h)
