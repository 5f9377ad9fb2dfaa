"""Gradients with respect to any Tensors, and the contribution of each use of a Tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass, seed_of
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.graph import Array, Edge, Node, history
from tinygrad_rnn.engine.substitution import contents_lock
from tinygrad_rnn.engine.tensor import Tensor


def gradients(
    output: Tensor,
    inputs: Sequence[Tensor],
    seed: Any = None,
    create_graph: bool = False,
) -> list[Any]:
    """The gradient of `output` with respect to each of `inputs`, which may be any Tensors.

    seed: the gradient from above, of the output's shape; may be left out for a scalar.
    create_graph: return Tensors that can be differentiated again, instead of arrays.
    Returns one gradient per input; zeros if the output does not depend on the input.
    Raises TypeError for an input that needs no gradient.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True)
    >>> h = w * w
    >>> print(*tg.gradients(h * h, [h, w]))
    18.0 108.0
    """
    tensors = _tensors(inputs)
    _check_tensor("the output", output)
    with contents_lock:
        places = [tensor.node for tensor in tensors]
    nodes, _ = between(places, [output.node])
    passed = reverse_pass([output.node], [seed_of(output, seed)], nodes, create_graph=create_graph)
    found = of_nodes(set(places), passed)

    results = []
    for tensor, node in zip(tensors, places, strict=True):
        if node not in found:
            _check_recorded(tensor)
        gradient = own(found.get(node), tensor)
        is_plain = create_graph and not isinstance(gradient, Tensor)
        results.append(Tensor(gradient) if is_plain else gradient)
    return results


def own(gradient: Any, tensor: Tensor) -> Any:
    """A gradient for the caller: a copy, because pull-backs may return the same array to several
    nodes; zeros in place of None."""
    if gradient is None:
        with contents_lock:
            return np.zeros_like(tensor.data)
    return gradient if isinstance(gradient, Tensor) else gradient.copy()


def _tensors(inputs: Any) -> list[Tensor]:
    """The inputs as a list, also those of an iterator, which can be read once."""
    kinds = ""
    if isinstance(inputs, Iterable) and not isinstance(inputs, Tensor):
        found = list(inputs)
        if all(isinstance(tensor, Tensor) for tensor in found):
            return found
        kinds = f" of {' and '.join(sorted({type(x).__name__ for x in found}))}"
    raise TypeError(
        f"inputs must be a list of Tensors, such as [w], but its type is "
        f"{type(inputs).__name__}{kinds}"
    )


def _check_tensor(what: str, value: Any) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} must be a Tensor, but its type is {type(value).__name__}")


def of_nodes(wanted: set[Node], passed: Iterable[tuple[Node, Any]]) -> dict[Node, Any]:
    """The gradients of these nodes among those that a reverse pass yields."""
    return {node: gradient for node, gradient in passed if node in wanted}


def _check_recorded(tensor: Tensor) -> None:
    """TypeError for a Tensor whose uses were not recorded."""
    if not tensor.requires_grad:
        raise TypeError(
            f"{tensor.name or 'a Tensor'} of shape {tensor.shape} needs no gradient, so nothing "
            f"was recorded for it; make it with requires_grad=True"
        )


def between(inputs: Sequence[Node], outputs: Sequence[Node]) -> tuple[list[Node], bool]:
    """The nodes on the paths from the inputs to the outputs, in recorded order.

    The second result says whether the outputs also depend on an older value that needs a
    gradient. Nodes older than the oldest input are skipped: they cannot depend on the inputs.
    """
    oldest = min((node.position for node in inputs), default=0)
    nodes = history(*outputs, differentiable=True, since=oldest)
    reached = set(inputs)
    for node in nodes:
        if not reached.isdisjoint(node.sources):
            reached.add(node)
    ends = (*outputs, *(source for node in nodes for source in node.sources))
    return [node for node in nodes if node in reached], any(n.position < oldest for n in ends)


class Contribution(NamedTuple):
    """The contribution of one use of a tensor to its gradient, and the place of this use."""

    step: int | None
    scope: tuple[str, ...]
    gradient: Array


def contributions(output: Tensor, tensor: Tensor, seed: Any = None) -> list[Contribution]:
    """One entry per use of `tensor` in the history of `output`; they sum to the gradient.

    For W_hh these are the terms of dL/dW_hh = Σ_t δ_t h_{t−1}ᵀ (chapter "Backpropagation Through
    Time"), in recorded order. A whole `scan` is one use; with `unroll` each step is one.
    Raises TypeError for a Tensor that needs no gradient.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.step(0):
    ...     h = w * 2
    >>> with tg.step(1):
    ...     h = w * h
    >>> for use in tg.contributions(h, w):
    ...     print(use.step, use.gradient)
    0 6.0
    1 6.0
    """
    _check_tensor("the output", output)
    _check_tensor("tensor", tensor)
    _check_recorded(tensor)
    with contents_lock:
        place, shape, dtype = tensor.node, tensor.shape, tensor.dtype
    uses: list[Contribution] = []

    def note(node: Node, edge: Edge, gradient: Array) -> Array:
        contribution = pull_on_arrays(node, edge, gradient)
        if edge[0] is place:
            part = fit(contribution, shape).astype(dtype)  # a copy of its own
            uses.append(Contribution(node.step, node.scope, part))
        return contribution

    for _ in reverse_pass([output.node], [seed_of(output, seed)], pull=note):
        pass
    return uses[::-1]


def tape(*outputs: Tensor) -> list[Node]:
    """The nodes that the outputs depend on, in the order in which they were recorded.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True, name="w")
    >>> [node.name or node.function.__name__ for node in tg.tape(np.tanh(w * w))]
    ['w', 'multiply', 'tanh']
    """
    for output in outputs:
        if not isinstance(output, Tensor):
            raise TypeError(f"tape takes Tensors one by one, not {type(output).__name__}")
    return history(*(output.node for output in outputs))
