"""The reverse pass: from an output back through its history, node by node.

The pass goes down the tape, so a node is visited after all nodes computed from it. Its gradient
has then been summed over all of its uses: the multivariate chain rule.
All derivatives are computed with `reverse_pass`: `backward` here, `gradients` and `contributions`
in `gradients.py`, the derivatives of functions in `transforms.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.engine.fast_backward import fast_pass
from tinygrad_rnn.engine.fit import added, fit_to
from tinygrad_rnn.engine.graph import Array, Edge, Leaf, Node, history
from tinygrad_rnn.engine.recording import current_mark, marked
from tinygrad_rnn.engine.substitution import contents_lock
from tinygrad_rnn.engine.tensor import Tensor, tracked
from tinygrad_rnn.support.collector import without_collection
from tinygrad_rnn.support.interrupts import all_of, setter

Pull: TypeAlias = Callable[[Node, Edge, Array], Array]
"""A function from a node, one of its edges and its gradient to the contribution to the parent."""


def reverse_pass(
    outputs: Sequence[Node],
    seeds: Sequence[Array],
    nodes: Sequence[Node] | None = None,
    *,
    create_graph: bool = False,
    pull: Pull | None = None,
    leaves_only: bool = False,
) -> Iterator[tuple[Node, Array]]:
    """Yield every node that the seeds reach, latest first, with its complete gradient.

    outputs, seeds: the nodes where the pass begins, and their gradients.
    nodes: the only nodes that the gradient may flow through, in recorded order; None allows all.
    create_graph: compute on Tensors, so that the pass itself is recorded.
    pull: the function that computes each use's contribution; None uses the rules of the table.
    leaves_only: the leaves are enough; other nodes are left out if that saves time.
    """
    reach = None if nodes is None else frozenset(nodes)
    if nodes is None:
        nodes = history(*outputs, differentiable=True)
    pending: dict[Node, Array] = {}
    for node, seed in zip(outputs, seeds, strict=True):
        if create_graph and not isinstance(seed, Tensor):
            seed = Tensor(seed)
        elif type(seed) is np.ndarray:
            seed = seed.view()  # ends with the pass: a scan keeps results while it lives
        pending[node] = pending[node] + seed if node in pending else seed

    # A pass that records nothing is watched as its output was.
    mark = current_mark() or (outputs[0].mark if outputs else None)
    watch = None if mark is None else mark.watch
    if watch is not None and watch.is_open:
        return watch.passing(nodes, pending, reach, create_graph, pull)  # type: ignore[no-any-return]
    if create_graph:
        return plain_pass(nodes, pending, reach, pull or pull_on_tensors, under_mark_of)
    if pull is not None or Tensor in map(type, seeds):
        return plain_pass(nodes, pending, reach, pull or pull_on_arrays)
    return fast_pass(nodes, pending, reach, leaves_only)


def plain_pass(
    nodes: Sequence[Node],
    pending: dict[Node, Array],
    reach: Collection[Node] | None,
    pull: Pull,
    during: Callable[[Node], AbstractContextManager[Any]] = lambda node: nullcontext(),
) -> Iterator[tuple[Node, Array]]:
    """The reverse pass itself.

    pending: the gradient of each node, summed so far; at first, that of the outputs.
    reach: the nodes that the gradient may flow through; None for all.
    during: the context manager around the computations at a node.
    """

    for node in reversed(nodes):
        gradient = pending.pop(node, None)
        if gradient is None:
            continue
        with during(node):
            gradient = fit_to(node, gradient)
        yield node, gradient
        for edge in node.edges:
            parent, _, pullback, _ = edge
            if pullback is None or (reach is not None and parent not in reach):
                continue
            with during(node):
                contribution = pull(node, edge, gradient)
            if parent in pending:
                with during(parent):
                    contribution = added(pending[parent], contribution, parent.shape)
            pending[parent] = contribution


def pull_on_arrays(node: Node, edge: Edge, gradient: Array) -> Array:
    """The contribution by the rule of the table."""
    _, _, pullback, kept = edge
    return pullback.function(gradient, *kept)


def pull_on_tensors(node: Node, edge: Edge, gradient: Array) -> Array:
    """The contribution by the rule of the table, on Tensors.

    The kept values are part of the graph if they depend on a value that needs a gradient."""
    _, _, pullback, kept = edge
    return pullback.function(gradient, *kept_as_tensors(node, pullback, kept))


def under_mark_of(node: Node) -> AbstractContextManager[None]:
    """Record the computations at a node under the mark of this node, with its time step."""
    return marked(node.mark.replace(back=weakref.ref(node)))


def kept_as_tensors(node: Node, pullback: Any, kept: tuple[Any, ...]) -> tuple[Any, ...]:
    """The kept values of an edge, as Tensors if they depend on a value that needs a gradient.

    The Tensors hold the arrays that were kept. So a derivative of any order is taken at the values
    that the function was computed with, even if a parameter has been changed since.
    """
    origin = {argument: parent for parent, argument, needed, _ in node.edges if needed is not None}
    if pullback.output_is_y:
        origin["y"] = node

    def restore(need: str, value: Any) -> Any:
        if need in origin:
            return tracked(value, origin[need])
        if type(value) in (list, tuple):
            return type(value)(
                tracked(v, origin[need, i]) if (need, i) in origin else v
                for i, v in enumerate(value)
            )
        return value

    return tuple(map(restore, pullback.needs, kept))


# Into .grad -------------------------------------------------------------------------------


def backward(output: Tensor, gradient: Any = None) -> None:
    """Add the gradient of this value to the `.grad` of every leaf that needs one.

    gradient: the gradient from above, of this value's shape; may be left out for a scalar.
    Raises TypeError if nothing was recorded, ValueError if the shapes do not fit. After an error
    or Ctrl-C, every `.grad` is unchanged.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True)
    >>> (w * w).backward()
    >>> (w * w).backward()
    >>> print(w.grad)
    12.0
    """
    if not output.requires_grad:
        raise TypeError(
            f"there is nothing to differentiate: {output!r} was not computed from a Tensor with "
            f"requires_grad=True, or not while recording"
        )
    without_collection(_backward, output, seed_of(output, gradient))


Tensor.backward = backward  # type: ignore[method-assign,assignment]


def _backward(output: Tensor, seed: Array) -> None:
    leaves, totals = [], []
    for node, total in reverse_pass([output.node], [seed], leaves_only=True):
        if isinstance(node, Leaf):  # not a computed value that was cut off
            leaves.append(node)
            totals.append(total)
    add_gradients(leaves, totals)


_set_grad = setter(Leaf, "grad")


def add_gradients(leaves: Sequence[Leaf], totals: Sequence[Array]) -> None:
    """Add to the `.grad` of all leaves. After an exception no leaf is changed."""
    with contents_lock:
        sums = []
        for leaf, total in zip(leaves, totals, strict=True):
            if isinstance(total, Tensor):
                total = total._data
            total = total.copy() if leaf.grad is None else leaf.grad + total
            sums.append(np.array(total) if isinstance(total, np.generic) else total)
        all_of(map(_set_grad, leaves, sums))


def seed_of(output: Tensor, gradient: Any) -> Array:
    """The first gradient of the pass: the given one, or 1 for a scalar. Its shape is checked."""
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"the output has the shape {output.shape}, and only a scalar has a gradient: "
                f"reduce it, for example with np.sum, or pass the gradient of the output"
            )
        data = output._data
        return type(data)(1) if isinstance(data, np.floating) else np.ones_like(data)
    if not hasattr(gradient, "__array_function__"):
        gradient = np.asarray(gradient, output.dtype)
    if gradient.shape != output.shape:
        raise ValueError(
            f"the gradient of the output must have its shape {output.shape}, not {gradient.shape}"
        )
    return gradient
