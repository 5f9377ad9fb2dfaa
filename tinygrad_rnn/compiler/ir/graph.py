"""One step of a cell as a graph of NumPy calls, forward and backward."""

from __future__ import annotations

import enum
import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np

Type = tuple[tuple[int, ...], np.dtype[Any]]
"""The shape and the dtype of an array."""


class Depends(enum.Flag):
    """The causes of a value's change from step to step. A value of parameters alone has none."""

    NOTHING = 0
    INPUT = enum.auto()
    STATE = enum.auto()
    OUTPUT_GRADIENT = enum.auto()  # of a part of the state that no step reads: known beforehand
    GRADIENT = enum.auto()


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
    operands: tuple[Value, ...] = field(init=False)

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
    is_complete: whether the rest and the caller's gradient are zero. Then that state has no link,
        `appended` is of `output_grads`, and the block before a block receives δ of its first step.
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
    loss_alone: whether the caller gives a gradient for the last part of the state only.
    windows: whether windows truncate the gradient. Each loss then has a lane of adjoints.
    output_grads: by the place of a state, the contribution of the step's own outputs to ∂L/∂h_t.
        The adjoint of that state is then the sum of this and the caller's gradient. See
        `passes/split_outputs`.
    fused_adjoints: by the place of a state, its `FusedAdjoint`. state_gradients has the rest.
    """

    inputs: tuple[Value, ...]
    states: tuple[Value, ...]
    parameters: tuple[Value, ...]
    results: tuple[Value, ...]
    adjoints: tuple[Value | None, ...]
    state_gradients: tuple[Value | None, ...]
    input_gradients: tuple[Value | None, ...]
    parameter_gradients: tuple[Value | None, ...]
    loss_alone: bool
    windows: bool
    output_grads: Mapping[int, Value] = field(default_factory=dict)
    fused_adjoints: Mapping[int, FusedAdjoint] = field(default_factory=dict)

    def outputs(self) -> list[Value]:
        """All outputs: results, gradients, fused adjoints and output gradients."""
        return leaves_of([getattr(self, name) for name in OUTPUTS], Value)

    @functools.cached_property
    def order(self) -> list[Value]:
        """All values that the outputs depend on, each after its operands."""
        return ordered(self.outputs())

    @functools.cached_property
    def uses(self) -> Counter[Value]:
        """How often each value is an operand or an output."""
        return Counter([v for value in self.order for v in value.operands] + self.outputs())

    @functools.cached_property
    def unread(self) -> frozenset[Value]:
        """The parts of the state that no step reads, the outputs."""
        return frozenset(self.states).difference(self.order)

    @functools.cached_property
    def recurring(self) -> list[Value]:
        """The values from which the next state is computed."""
        pairs = zip(self.states, self.results, strict=True)
        return ordered([result for state, result in pairs if state not in self.unread])

    @functools.cached_property
    def depends(self) -> Mapping[Value, Depends]:
        """The causes of each value's change from step to step."""
        found = dict.fromkeys(self.parameters, Depends.NOTHING)
        found |= dict.fromkeys(self.inputs, Depends.INPUT)
        found |= dict.fromkeys(self.states, Depends.STATE)
        for state, adjoint in zip(self.states, self.adjoints, strict=True):
            if adjoint is not None:
                # Under windows each lane has a gradient of its own, and the loop goes through them.
                known = state in self.unread and not self.windows
                found[adjoint] = Depends.OUTPUT_GRADIENT if known else Depends.GRADIENT
        for value in self.order:
            if value not in found:
                flags = [found[operand] for operand in value.operands]
                found[value] = functools.reduce(operator.or_, flags, Depends.NOTHING)
        return found


OUTPUTS = (
    *("results", "state_gradients", "input_gradients", "parameter_gradients"),
    *("fused_adjoints", "output_grads"),
)
"""The fields of a step graph that have its outputs."""


V = TypeVar("V", bound=Any)
"""A value of a step graph, or of a trace. It has operands."""


def ordered(outputs: Iterable[V]) -> list[V]:
    """All values that the outputs depend on, in topological order. Iterative."""
    done: dict[V, None] = {}
    waiting: list[tuple[V, bool]] = [(v, False) for v in reversed(list(outputs))]
    while waiting:
        value, ready = waiting.pop()
        if value in done:
            continue
        if ready:
            done[value] = None
        else:
            waiting.append((value, True))
            waiting += [(v, False) for v in reversed(value.operands) if v not in done]
    return list(done)


def leaves_of(tree: Any, kind: type) -> list[Any]:
    """All objects of one type in a nesting of lists, tuples, dicts and slices."""
    if isinstance(tree, kind):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif isinstance(tree, slice):
        tree = tree.start, tree.stop, tree.step
    elif not isinstance(tree, SEQUENCES):
        return []
    return [leaf for branch in tree for leaf in leaves_of(branch, kind)]


def mapped(tree: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same nesting with `leaf` applied to everything but lists, tuples, dicts and slices."""
    if isinstance(tree, SEQUENCES):
        made = getattr(tree, "_make", type(tree))
        return made([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, dict):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, leaf) for part in (tree.start, tree.stop, tree.step)))
    return leaf(tree)


SEQUENCES = (tuple, list)
