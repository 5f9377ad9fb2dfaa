"""The one reverse pass: from an output back through its history, node by node.

Everything that flows backwards in this project is a reader of `sweep`: `backward`, `gradients`,
`contributions`, and the derivatives of functions in `transforms.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.engine import fast_sums
from tinygrad_rnn.engine.graph import (
    Array,
    CollectorAtRest,
    Edge,
    Leaf,
    Node,
    history,
    marked,
    position,
    recording,
)
from tinygrad_rnn.engine.substitution import looking
from tinygrad_rnn.engine.tensor import Tensor, tracked

LARGE = 2**16
"""From so many numbers on, what broadcasting repeated is summed at once, and not only when all
contributions are there: an array waits for nobody."""

Use = Callable[[Node, Edge, Array], None]


def sweep(
    outputs: Sequence[Node],
    seeds: Sequence[Array],
    create_graph: bool = False,
    each_use: Use | None = None,
    nodes: Sequence[Node] | None = None,
    leaves_only: bool = False,
) -> Iterator[tuple[Node, Array]]:
    """Yield every node that the seeds reach, latest first, with its complete gradient.

    outputs, seeds: where the pass begins, and the gradients it begins with.
    create_graph: run the pull-backs on Tensors, so that they are recorded themselves.
    each_use: called as `each_use(node, edge, contribution)` for every edge along which a gradient
        flows, so with one entry per use of a value; they add up to the gradient of the value.
    nodes: the only nodes that the gradient may flow through, in recorded order; all, if None.
    leaves_only: yield only what was given and not computed.

    A node comes after all nodes computed from it, for its position on the tape is lower: by then
    its gradient has been summed over all of its uses, which is the multivariate chain rule.
    """
    pending: dict[Node, Array] = {}  # the gradient of a node, as far as it has come
    own: set[Node] = set()  # those whose pending array is ours to add into, and as precise
    tied: dict[Node, dict[Any, list[Any]]] = {}  # uses whose contributions are summed at once
    sum_at_once = not create_graph and each_use is None and Tensor not in map(type, seeds)
    within = None
    if nodes is None:
        nodes = history(*outputs, differentiable=True)
    else:
        within = frozenset(nodes)

    def add(node: Node, contribution: Array) -> None:
        gradient = pending.get(node)
        if gradient is None:
            pending[node] = contribution
            return
        if gradient.shape != contribution.shape:
            gradient, contribution = fit(gradient, node.shape), fit(contribution, node.shape)
            own.discard(node)
        if node in own:
            gradient += contribution
            pending[node] = gradient
        else:
            gradient = pending[node] = gradient + contribution
            if not create_graph and gradient.dtype is node.dtype:
                own.add(node)

    for node, seed in zip(outputs, seeds, strict=True):
        if create_graph and not isinstance(seed, Tensor):
            seed = Tensor(seed)
        elif type(seed) is np.ndarray:
            seed = seed.view()  # what flows in a pass lives no longer than the pass
        add(node, seed)
    for node in reversed(nodes):
        if node in tied:
            for pullback, uses in tied.pop(node).items():
                one = len(uses) == 1
                found = [pullback.function(*uses[0])] if one else pullback.together(uses)
                for contribution in found:
                    add(node, contribution)
        gradient = pending.pop(node, None)
        if gradient is None:
            continue
        if gradient.shape != node.shape or (
            gradient.dtype is not node.dtype and gradient.dtype != node.dtype
        ):
            with marked(node.mark if create_graph else recording.mark):
                gradient = fit(gradient, node.shape)
                if gradient.dtype != node.dtype:
                    gradient = gradient.astype(node.dtype)
        if not (leaves_only and node.edges):
            yield node, gradient
        size = gradient.size
        for parent, argument, pullback, kept in node.edges:
            if pullback is None or (within is not None and parent not in within):
                continue
            if sum_at_once and size < pullback.together_below:
                groups = tied.get(parent)
                if groups is None:
                    groups = tied[parent] = {}
                if pullback in groups:
                    groups[pullback].append((gradient, *kept))
                else:
                    groups[pullback] = [(gradient, *kept)]
                continue
            if create_graph:  # what is recorded here belongs to the step of the node it is for
                with marked(node.mark):
                    contribution = pullback.function(gradient, *remembered(node, pullback, kept))
                    add(parent, contribution)
            else:
                contribution = pullback.function(gradient, *kept)
                if size >= LARGE and len(contribution.shape) > len(parent.shape):
                    contribution = fit(contribution, parent.shape)  # not to wait with its memory
                held = pending.get(parent)  # `add`, written out: this runs for every edge
                if held is None:
                    pending[parent] = contribution
                elif held.shape != contribution.shape:
                    add(parent, contribution)
                elif parent in own:
                    held += contribution
                    pending[parent] = held  # a NumPy scalar is not added to in place
                else:
                    held = pending[parent] = held + contribution
                    if held.dtype is parent.dtype:
                        own.add(parent)
            if each_use is not None:
                each_use(node, (parent, argument, pullback, kept), contribution)


def fit(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Undo broadcasting, in either direction: sum what was repeated, repeat what was summed."""
    have = gradient.shape
    extra = len(have) - len(shape)
    if extra > 0:
        rows = gradient.reshape(math.prod(have[:extra]), math.prod(have[extra:]))
        gradient = fast_sums.over_rows(rows).reshape(have[extra:])
        have = gradient.shape
    if have == shape:
        return gradient
    want = shape[len(shape) - len(have) :]
    stretched = tuple(n for n in range(len(have)) if want[n] == 1 and have[n] != 1)
    if stretched:
        gradient = np.sum(gradient, axis=stretched, keepdims=True)
    return gradient if gradient.shape == shape else np.broadcast_to(gradient, shape)


def remembered(node: Node, pullback: Any, kept: tuple[Any, ...]) -> tuple[Any, ...]:
    """What an edge keeps, as Tensors wherever it depends on something that needs a gradient."""
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


def backward(output: Tensor, gradient: Any = None) -> None:
    """Add the gradient of `output` to the `.grad` of every leaf that needs one."""
    if not output.requires_grad:
        raise TypeError(
            f"there is nothing to differentiate: {output!r} was not computed from a Tensor with "
            f"requires_grad=True, or not while recording"
        )
    with CollectorAtRest():
        for node, total in sweep([output.node], [_seed(output, gradient)], leaves_only=True):
            if isinstance(node, Leaf):  # and not a computed value that was cut off
                total = total.data if isinstance(total, Tensor) else total
                total = np.array(total) if isinstance(total, np.generic) else total
                node.grad = total.copy() if node.grad is None else node.grad + total


def _seed(output: Tensor, gradient: Any) -> Array:
    """The gradient to begin with: 1 for a scalar, otherwise what was given, if its shape fits."""
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"the output has the shape {output.shape}, and only a scalar has a gradient: "
                f"reduce it, for example with np.sum, or give the gradient from above"
            )
        data = output.data
        return type(data)(1) if isinstance(data, np.floating) else np.ones_like(data)
    if not hasattr(gradient, "__array_function__"):
        gradient = np.asarray(gradient, output.dtype)
    if gradient.shape != output.shape:
        raise ValueError(
            f"the gradient from above must have the output's shape {output.shape}, "
            f"not {gradient.shape}"
        )
    return gradient


def gradients(
    output: Tensor,
    inputs: Sequence[Tensor],
    seed: Any = None,
    create_graph: bool = False,
) -> list[Any]:
    """The gradient of `output` with respect to each of `inputs`, which may be any Tensors.

    seed: the gradient from above, of the output's shape; may be left out for a scalar.
    create_graph: return Tensors that can be differentiated again, instead of arrays.
    Returns one gradient per input; zeros, where the output does not depend on the input.
    Raises TypeError for an input that needs no gradient.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True)
    >>> h = w * w
    >>> print(*tg.gradients(h * h, [h, w]))
    18.0 108.0
    """
    with looking:
        places = [tensor.node for tensor in inputs]
    wanted = set(places)
    nodes, _ = between(places, [output.node])
    found = {
        node: gradient
        for node, gradient in sweep([output.node], [_seed(output, seed)], create_graph, nodes=nodes)
        if node in wanted
    }

    def own(tensor: Tensor, node: Node) -> Any:
        gradient = found.get(node)
        if gradient is None:
            refuse_untracked(tensor)
            with looking:
                gradient = np.zeros_like(tensor.data)
        elif not isinstance(gradient, Tensor):
            gradient = gradient.copy()  # pull-backs hand the same array to several nodes
        return Tensor(gradient) if create_graph and type(gradient) is not Tensor else gradient

    return [own(tensor, node) for tensor, node in zip(inputs, places, strict=True)]


def refuse_untracked(tensor: Tensor) -> None:
    """TypeError for a Tensor whose uses were not recorded."""
    if not tensor.requires_grad:
        raise TypeError(
            f"{tensor.name or 'a Tensor'} of shape {tensor.shape} needs no gradient, so nothing "
            f"was recorded for it; make it with requires_grad=True"
        )


def between(inputs: Sequence[Node], outputs: Sequence[Node]) -> tuple[list[Node], bool]:
    """The nodes on the way from the inputs to the outputs, in recorded order; and whether the
    outputs depend, besides, on something older that needs a gradient.

    Only what was recorded since the oldest input is looked at: nothing older depends on them.
    """
    oldest = min((node.position for node in inputs), default=0)
    reached = set(inputs)
    found = {node for node in outputs if node.position >= oldest}
    others = len(found) < len(set(outputs))
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        for parent, _, pullback, _ in node.edges:
            if pullback is None or parent in found:
                continue
            if parent.position < oldest:
                others = True
            else:
                found.add(parent)
                waiting.append(parent)
    between_them = []
    for node in sorted(found, key=position):
        if node in reached or any(
            pullback is not None and parent in reached for parent, _, pullback, _ in node.edges
        ):
            reached.add(node)
            between_them.append(node)
    return between_them, others


class Contribution(NamedTuple):
    """What one use of a tensor adds to its gradient, and where that use stands."""

    step: int | None
    scope: tuple[str, ...]
    gradient: Array


def contributions(output: Tensor, tensor: Tensor, seed: Any = None) -> list[Contribution]:
    """One entry per use of `tensor` in the history of `output`; they sum to the gradient.

    The terms of dL/dW_hh = Σ_t δ_t h_{t−1}ᵀ (chapter "Backpropagation Through Time"), one by one,
    in recorded order. A whole `scan` is one use; `unroll` shows its steps.
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
    refuse_untracked(tensor)
    with looking:
        place, shape, dtype = tensor.node, tensor.shape, tensor.dtype
    uses: list[Contribution] = []

    def note(node: Node, edge: Edge, contribution: Array) -> None:
        if edge[0] is place:
            gradient = fit(contribution, shape).astype(dtype)  # a copy of its own
            uses.append(Contribution(node.step, node.scope, gradient))

    for _ in sweep([output.node], [_seed(output, seed)], each_use=note):
        pass
    return uses[::-1]


def tape(*outputs: Tensor) -> list[Node]:
    """The nodes that the outputs depend on, in the order in which they were recorded.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor(3.0, requires_grad=True, name="w")
    >>> [node.name or node.function.__name__ for node in tg.tape(np.tanh(w * w))]
    ['w', 'multiply', 'tanh']
    """
    return history(*(output.node for output in outputs))
