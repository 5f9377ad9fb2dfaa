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
    source: str, given: dict[str, Any], leaves: list[tg.Tensor], loss: Callable[..., Any]
) -> list[Any]:
    """The parts of the states of all steps, and the gradients by the leaves, in a PyTorch run.

    given: what the source made in NumPy. loss: of the last state and these parts.
    """
    known = {id(leaf): torch.tensor(np.array(leaf.data), requires_grad=True) for leaf in leaves}

    def of(thing: Any) -> Any:
        if isinstance(thing, tg.Tensor):
            return known[id(thing)] if id(thing) in known else torch.tensor(np.array(thing.data))
        return torch.tensor(np.array(thing)) if isinstance(thing, np.ndarray) else thing

    def nested(function: Callable[[Any], Any], tree: Any) -> Any:
        return unflatten(tree, map(function, flatten(tree)))

    dtype = torch.float64 if given["dtype"] is np.float64 else torch.float32
    names = {name: of(thing) for name, thing in given.items()}
    names |= {"np": stands_for_numpy(dtype), "tg": stands_for_us(dtype), "dtype": float}
    names |= {"tied": names["W"].T * 0.5, "settings": types.SimpleNamespace(scale=0.5)}
    names["settings"].mask = of(given["settings"].mask)
    code = source[source.index("class Layer") : source.index("\nxs = ")]
    exec(compile(code.replace("[:, ::-1]", ".flip(1)"), "<torch>", "exec"), names)
    state, xs, reset = nested(of, given["state"]), nested(of, given["xs"]), given["reset"]
    links = given["truncation"].fixed(given["T"]).links(given["T"])
    states = []
    for t in range(given["T"]):
        if t and links[t] != 1:
            state = nested(lambda h, factor=links[t]: scaled(h, factor), state)
        if reset is not None:
            state = nested(lambda h, rows=reset[t]: without(h, rows), state)
        x = {key: part[t] for key, part in xs.items()} if isinstance(xs, dict) else xs[t]
        state = names["cell"](x, state)
        states.append(state)
    parts = [torch.stack(part) for part in zip(*map(ordered, states), strict=True)]
    value = loss(ordered(states[-1]), parts, torch)
    if not value.requires_grad:
        value = value + 0 * sum(torch.sum(t) for t in known.values())
    gradients = torch.autograd.grad(value, list(known.values()), allow_unused=True)
    found = [
        torch.zeros_like(t) if g is None else g
        for g, t in zip(gradients, known.values(), strict=True)
    ]
    return [part.detach().numpy() for part in (*parts, *found)]


def without(h: Any, rows: Any) -> Any:
    """Zeros for the sequences that begin anew; a number belongs to none of them."""
    if np.ndim(rows) == 0:
        return torch.zeros_like(h) if rows else h
    if h.ndim == 0:
        return h
    return torch.where(torch.tensor(rows).reshape(-1, *[1] * (h.ndim - 1)), 0, h)
