"""The messages of `anomaly` for a value or a gradient that is not finite, in one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.tracer import Traced
from tinygrad_rnn.compiler.runtime.scan import scan
from tinygrad_rnn.derivatives.several import Several
from tinygrad_rnn.engine.apply import unwrap
from tinygrad_rnn.engine.errors import name_of
from tinygrad_rnn.engine.graph import Array, Edge, Leaf, Node
from tinygrad_rnn.engine.recording import Mark
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.transforms import alias
from tinygrad_rnn.engine.trees import flatten


class Call(NamedTuple):
    """A call of a function by the engine, with its mark and its line in the user's code."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    mark: Mark
    line: str

    @property
    def arguments(self) -> list[Any]:
        """The arrays and numbers among the arguments."""
        given = flatten([list(self.args), dict(self.kwargs)])
        numbers = (float, int) if isinstance(self.function, np.ufunc) else float
        return [x for x in given if isinstance(x, numbers) or hasattr(x, "dtype")]

    def __str__(self) -> str:
        return f"{name_of(self.function)}{_place(self.mark, self.line)}"


def of_value(value: Tensor, call: Call) -> str:
    """Message: a function made the value from finite values."""
    arrays = unwrap(list(call.args)), unwrap(dict(call.kwargs))
    why = _why(lambda: call.function(*arrays[0], **arrays[1]), value.dtype, OF_VALUES)
    given = " and ".join(map(_measured, call.arguments))
    return (
        f"{call} made {_wrong_entries(value)} in a value of shape {_shape(value)} from {given}: "
        f"{why}"
    )


def of_argument(argument: Any, call: Call) -> str:
    """Message: an argument was not finite before the call."""
    node = argument.node if isinstance(argument, Tensor) else None
    if isinstance(node, Leaf) and node.requires_grad:
        why = "the parameter was so before, from its last update or from the beginning"
    elif node is None or isinstance(node, Leaf):
        why = "it came in so, with the data or from what is computed without a gradient"
    elif node.function is scan:
        why = "a scan is one value here, and tg.unroll shows its steps"
    else:
        why = "it was made outside of the block, so open the block before that"
    if np.isinf(np.concatenate([np.ravel(a) for a in numbers_in(argument)])).any():
        why += "; if its infinities are meant, tg.anomaly(infinite=False) looks for NaN alone"
    return f"{_named(argument)} has {_wrong_entries(argument)} before {call} uses it: {why}"


def of_contribution(
    node: Node, edge: Edge, gradient: Array, contribution: Array, forward: bool, line: str | None
) -> str:
    """Message: a pull-back made the contribution from a finite gradient.

    forward: whether the values that the pull-back keeps were not finite."""
    parent, argument, pullback, kept = edge
    name = name_of(node.function)
    name_of_argument = f"{argument[0]}[{argument[1]}]" if type(argument) is tuple else argument
    if forward:
        why = (
            f"a value that {name} keeps from the forward pass was not finite already, so record "
            f"inside tg.anomaly() too"
        )
    else:
        plain = unwrap(gradient)
        why = _why(lambda: pullback.function(plain, *kept), node.dtype, OF_GRADIENTS)
    return (
        f"the gradient that {name}{_place(node.mark, line)} passes back to its argument "
        f"{name_of_argument}, {_named(parent)}, has {_wrong_entries(contribution)}, though the "
        f"gradient that came to {node.name or name}, {_range(gradient)}, is finite: {why}"
    )


def of_sum(node: Node, gradient: Array, line: str | None) -> str:
    """Message: the contributions are finite, but their sum is not."""
    return (
        f"the gradient of {_named(node)}{_place(node.mark, line)} has {_wrong_entries(gradient)}, "
        f"though what each of its uses contributes is finite: {OF_GRADIENTS['overflow']}"
    )


def of_seed(output: Node, seed: Array) -> str:
    """Message: the gradient from above was not finite."""
    return f"the gradient from above, for {_named(output)}, has {_wrong_entries(seed)}"


# The causes, in the terms of IEEE 754 -----------------------------------------------------

OF_VALUES = {
    "overflow": "it overflowed, so keep inputs and weights smaller, for example by a smaller "
    "learning rate",
    "divide by zero": "it has a pole there (a division by zero), so keep the argument away from "
    "it, for example by adding a small constant",
    "invalid value": "it is not defined there, so keep the arguments where it is, for example "
    "with np.maximum or np.clip",
}

OF_GRADIENTS = {
    "overflow": "it overflowed, for a gradient grows with every step that it goes back; smaller "
    "recurrent weights or a shorter truncation, such as tg.Subsequence, keep it smaller",
    "divide by zero": "it divided by zero, so keep the argument away from there, for example by "
    "adding a small constant",
    "invalid value": "the derivative is not defined there, so keep the argument away from there, "
    "for example by adding a small constant",
}


def _why(compute: Callable[[], Any], dtype: Any, causes: dict[str, str]) -> str:
    """The cause: compute again, and read the floating-point errors that NumPy reports."""
    raised: list[str] = []
    with np.errstate(all="call", call=lambda kind, flag: raised.append(kind)):
        compute()
    cause = next((kind for kind in causes if kind in raised), None)
    if cause is None:  # computed elsewhere: threads, lazy arrays, other devices
        return "what went in is too large for it, or it is not defined there"
    wider = cause == "overflow" and np.dtype(dtype).itemsize < 8
    return causes[cause] + (", and float64 reaches further" if wider else "")


# The words --------------------------------------------------------------------------------


BOOL = np.dtype(bool)


def numbers_in(value: Any) -> list[Array]:
    """The arrays of floats in one value or one gradient."""
    value = unwrap(value)
    parts: Any = [value]
    if isinstance(value, Several):
        parts = value.parts.values()
    arrays = [np.asarray(p) if isinstance(p, float) else unwrap(p) for p in parts]
    return [
        a for a in arrays if not isinstance(a, Traced) and getattr(a, "dtype", BOOL).kind == "f"
    ]


def _wrong_entries(value: Any) -> str:
    arrays = numbers_in(value)
    size = sum(a.size for a in arrays)
    counts = {
        "NaN": sum(int(np.isnan(a).sum()) for a in arrays),
        "infinite": sum(int(np.isinf(a).sum()) for a in arrays),
    }
    found = " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{found} {'entry' if sum(counts.values()) == 1 else 'entries'} of {size}"


def _named(value: Any) -> str:
    """The name of a value, or else its origin, with its shape."""
    node = value.node if isinstance(value, Tensor) else value
    if not isinstance(node, Node):
        return f"an array of shape {_shape(value)}" if np.ndim(value) else f"{value:g}"
    while node.function is alias:  # the variable of a function that is being differentiated
        node = node.edges[0][0]
    if node.name is None and node.function is not None:
        name = f"what {name_of(node.function)}{_place(node.mark)} made,"
    else:
        name = node.name or "a value without a name"
    return f"{name} of shape {_shape(value)}"


def _measured(value: Any) -> str:
    is_number = not isinstance(value, Tensor) and np.ndim(value) == 0
    return _named(value) + ("" if is_number else f" {_range(value)}")


def _range(value: Any) -> str:
    arrays = [a for a in numbers_in(value) if a.size]
    if not arrays:
        return "without entries"
    low, high = min(float(np.min(a)) for a in arrays), max(float(np.max(a)) for a in arrays)
    return f"with entries of {low:.3g}" + ("" if low == high else f" to {high:.3g}")


def _shape(value: Any) -> Any:
    value = unwrap(value)
    if isinstance(value, Several):
        return tuple(part.shape for part in value.parts.values())
    return value.shape


def _place(mark: Mark, line: str | None = None) -> str:
    step = "" if mark.step is None else f" at step {mark.step}"
    scope = f" in {'/'.join(mark.scope)}" if mark.scope else ""
    return f"{step}{scope}{f' ({line})' if line else ''}"
