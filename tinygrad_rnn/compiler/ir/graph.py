"""One step of a cell as a graph of NumPy calls, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Type = tuple[tuple[int, ...], np.dtype[Any]]
"""The shape and the dtype of an array."""


@dataclass(frozen=True, eq=False)
class Value:
    """One array of one step, and the call that makes it.

    shape, dtype: of the array, without any axis of time.
    name: the name that the user's code gives it, or "".
    function, args, kwargs: the call. An argument is another value, a constant, or a list, tuple,
        dict or slice of these. The function is None for a given value: an input, a state, a
        parameter, or the gradient of a state.
    results: the types of all results, for a call that has several. Each result is then a value of
        its own: its function is `operator.getitem` of the call and a number. None for one result.

    Values are compared by identity. Only after the pass `cse` are equal calls on equal arguments
    the same value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str = ""
    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[Type, ...] | None = None
    operands: tuple[Value, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "operands", tuple(leaves_of((self.args, self.kwargs), Value)))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __repr__(self) -> str:
        made = "given" if self.function is None else getattr(self.function, "__name__", "?")
        return f"<{self.name or 'value'} {self.shape} {self.dtype}: {made}>"


class FusedAdjoint(NamedTuple):
    """A part of ∂L/∂h_{t−1} that is a row times a matrix. The step before computes the product.

    row: δ_t, (1, n) or (n,). matrix: the matrices of the row and of `appended`, stacked, so that
        ∂L/∂h_{t−1} = [δ_t, appended_{t−1}] @ matrix + the rest.
    appended: the value beside the row, from the step before. It is the loss's own term of ∂L/∂h,
        with the identity as its matrix; or, where this term is a product itself, the row of that
        product.
    is_complete: whether the rest is zero. Then that state has no link, and the block before a block
        receives δ of its first step.
    """

    row: Value
    matrix: Value
    appended: Value
    is_complete: bool


@dataclass(frozen=True)
class StepGraph:
    """One step of a cell, and its derivative.

    inputs: x_t, one value per part. states: h_{t−1}, likewise. parameters: the Tensors and plain
        arrays that the cell carries; the same in all steps.
    results: h_t, in the order of the states.
    adjoints: ∂L/∂h_t of each part, including the contributions of all later steps; None for a part
        without one.
    state_gradients: ∂L/∂h_{t−1}; input_gradients: ∂L/∂x_t; parameter_gradients: the contribution of
        this step to ∂L/∂W. None where there is no gradient, or none is requested.
    output_grads: by the place of a state, the contribution of the step's own outputs to ∂L/∂h_t.
        The adjoint of that state is then the sum of this and the caller's gradient. See
        `passes/split_outputs`.
    fused_adjoints: by the place of a state, its `FusedAdjoint`. state_gradients has the rest.
    loss_alone: whether the caller gives a gradient for the last part of the state only.
    windows: whether windows truncate the gradient. Each loss then has a lane of adjoints.
    """

    inputs: tuple[Value, ...]
    states: tuple[Value, ...]
    parameters: tuple[Value, ...]
    results: tuple[Value, ...]
    adjoints: tuple[Value | None, ...]
    state_gradients: tuple[Value | None, ...]
    input_gradients: tuple[Value | None, ...]
    parameter_gradients: tuple[Value | None, ...]
    output_grads: Mapping[int, Value] = field(default_factory=dict)
    fused_adjoints: Mapping[int, FusedAdjoint] = field(default_factory=dict)
    loss_alone: bool = False
    windows: bool = False

    def outputs(self) -> list[Value]:
        """All outputs: results, gradients, fused adjoints and output gradients."""
        return list(leaves_of([getattr(self, name) for name in OUTPUTS], Value))


OUTPUTS = (
    *("results", "state_gradients", "input_gradients", "parameter_gradients"),
    *("fused_adjoints", "output_grads"),
)
"""The fields of a step graph that have its outputs."""


def leaves_of(tree: Any, kind: type) -> Iterator[Any]:
    """All objects of one type in a nesting of lists, tuples, dicts and slices."""
    if isinstance(tree, kind):
        yield tree
    elif isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves_of(branch, kind)
    elif isinstance(tree, Mapping):
        for branch in tree.values():
            yield from leaves_of(branch, kind)
    elif isinstance(tree, slice):
        for branch in (tree.start, tree.stop, tree.step):
            yield from leaves_of(branch, kind)


def mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nesting with `leaf` applied to everything but lists, tuples, dicts and slices."""
    if isinstance(tree, tuple | list):
        made = getattr(tree, "_make", type(tree))
        return made([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, Mapping):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, leaf) for part in (tree.start, tree.stop, tree.step)))
    return leaf(tree)
