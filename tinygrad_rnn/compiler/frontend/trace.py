"""Tracing: one step of a cell as two straight-line sequences of NumPy calls, forward and backward.

The cell runs once on Tensors with traced arrays inside. Then its tape is swept with traced
adjoints. The rules of the table are plain NumPy, so the calls of the sweep are recorded like those
of the cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.local_names import LocalNames, name_by_origin
from tinygrad_rnn.compiler.frontend.refusals import BOUNDARIES, TraceError
from tinygrad_rnn.compiler.frontend.replacements import in_place, instead_of_plain
from tinygrad_rnn.compiler.frontend.tracer import Traced, handle_of
from tinygrad_rnn.compiler.frontend.values import Value, mapped, sample_of
from tinygrad_rnn.compiler.frontend.witness import Witness, witness_of
from tinygrad_rnn.compiler.ir import ordered
from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.gradients import between
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.recording import Mark, marked
from tinygrad_rnn.engine.substitution import substituted
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, flatten_like, unflatten
from tinygrad_rnn.recurrent.arguments import check_first_step
from tinygrad_rnn.recurrent.state import OUTPUT, as_returned, form_of


class Step(NamedTuple):
    """One step of a cell, to be traced.

    x, state: samples of the arguments, nested as the cell expects. captured: the Tensors, arrays
        and settings that the cell reads besides. x_needs: which parts of x need a gradient.
        x_names, state_names: the names of the parts.
    """

    cell: Callable[..., Any]
    x: Any
    state: Any
    captured: CellKey
    x_needs: Sequence[bool]
    x_names: Sequence[str]
    state_names: Sequence[str]


class Trace:
    """The values of one step.

    inputs: x_t, one value per part. states: h_{t−1}, likewise. parameters: the Tensors and arrays
        that the cell carries. results: h_t. adjoints: ∂L/∂h_t. state_gradients, input_gradients,
        parameter_gradients: ∂L/∂h_{t−1}, and those of inputs and parameters; None where there is
        none. witness: all calls, for comparison with another trace.
    """

    inputs: list[Value]
    states: list[Value]
    parameters: list[Value]
    results: list[Value]
    adjoints: list[Value | None]
    state_gradients: list[Value | None]
    input_gradients: list[Value | None]
    parameter_gradients: list[Value | None]
    witness: Witness

    def outputs(self) -> list[Value | None]:
        """The outputs of the step: its results and the gradients."""
        return [
            *(*self.results, *self.state_gradients),
            *(*self.input_gradients, *self.parameter_gradients),
        ]


class Tracing:
    """Whether a cell is being traced, by the thread that holds `contents_lock`."""

    depth = 0

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *problem: object) -> None:
        self.depth -= 1


tracing = Tracing()


def is_tracing() -> bool:
    """Whether a cell is being traced. The calling thread must hold `contents_lock`."""
    return tracing.depth > 0


def trace_once(step: Step) -> Trace:
    """Run the cell once on sample numbers and record its calls."""
    result = Trace()
    cell, x, state, captured, x_needs, x_names, state_names = step
    arrays, form = captured.arrays, form_of(state)
    named = list(zip(parts(form), state_names, strict=True))
    x_tensors = [argument(*part) for part in zip(parts(x), x_names, x_needs, strict=True)]
    entering = [argument(*part) for part in named if part[0] is not OUTPUT]
    result.parameters = [
        Value(sample_of(a._data if type(a) is Tensor else a), name)
        for a, name in zip(arrays, captured.names, strict=True)
    ]
    carried = list(zip(arrays, result.parameters, strict=True))
    tensors = [a for a in arrays if type(a) is Tensor]
    inside = [
        Tensor(handle_of(value, True), tensor.requires_grad, tensor.name)
        for tensor, value in carried
        if type(tensor) is Tensor
    ]
    containers = CellKey(cell).containers
    plain = instead_of_plain(carried, containers)
    result.inputs = values_of(x_tensors)
    frames = LocalNames([*result.inputs, *values_of(entering), *result.parameters])
    with (
        in_place(containers, plain) as instead,
        substituted(tensors, inside),
        marked(Mark()),
        tracing,
    ):
        given = unflatten(x, iter(x_tensors)), unflatten(state, iter(entering))
        with frames:
            new = instead(cell)(*given)
        check_first_step(state, new)
        state = as_returned(form, new)
        known = iter(entering)
        h_tensors = [
            argument(zeros_like(part), name) if entered is OUTPUT else next(known)
            for part, (entered, name) in zip(parts(state), named, strict=True)
        ]
        result.states = values_of(h_tensors)
        differentiate(result, new, state, (h_tensors, x_tensors, arrays), frames)
    name_by_origin(ordered(result.results))
    outputs = result.outputs()
    known_outputs = [v for v in outputs if v is not None]
    replace_constants(known_outputs, carried)
    values = ordered([*result.inputs, *result.states, *result.parameters, *known_outputs])
    result.witness = witness_of(values, outputs, result.parameters)
    return result


BOUNDARIES.add(trace_once.__code__)


def argument(sample: Any, name: str, needs_gradient: bool | None = None) -> Tensor:
    """A Tensor with a traced array inside. A state of floats needs a gradient."""
    value = Value(sample_of(sample), name)
    needs = value.dtype.kind == "f" if needs_gradient is None else needs_gradient
    return Tensor(handle_of(value, True), needs)


def values_of(tensors: list[Tensor]) -> list[Value]:
    return [tensor._data.value for tensor in tensors]


def zeros_like(returned: Any) -> Any:
    """Zeros like what a cell returned."""
    sample = returned._data if isinstance(returned, Tensor) else np.asarray(returned)
    return np.zeros(sample.shape, sample.dtype)


def differentiate(
    result: Trace,
    new: Any,
    state: Any,
    arguments: tuple[list[Tensor], list[Tensor], list[Any]],
    frames: LocalNames,
) -> None:
    """Sweep the tape of the cell, with an adjoint for each part of the state that needs one.

    new: what the cell returned. state: the state in which it was nested. arguments: the Tensors and
        arrays whose gradients are wanted: states, inputs and parameters.
    """
    pairs = zip(parts(state), flatten_like(state, new), strict=True)  # keys may be in any order
    outputs = [
        h if isinstance(h, Tensor) else Tensor(h if hasattr(h, "dtype") else before.dtype.type(h))
        for before, h in pairs
    ]
    result.results = [
        h._data.value if isinstance(h._data, Traced) else Value(h._data, "", np.array, (h._data,))
        for h in outputs
    ]
    result.adjoints = [
        Value(np.ones_like(v.sample), f"d{s.name}") if h.requires_grad else None
        for h, v, s in zip(outputs, result.results, result.states, strict=True)
    ]
    flowing = [(h.node, v) for h, v in zip(outputs, result.adjoints, strict=True) if v is not None]
    ends = [node for node, _ in flowing]
    wanted = [t.node for group in arguments for t in group if needs_gradient(t)]
    nodes, others = between(wanted, ends)
    if others:
        raise TraceError(
            "the cell uses a Tensor that needs a gradient but cannot be found from the cell",
            "hold it as an attribute of the cell or as a variable that the function uses by name",
        )
    found: dict[Node, Any] = {}
    seeds = [Traced(v) for _, v in flowing]
    for node, gradient in reverse_pass(ends, seeds, nodes, pull=pull_on_arrays):
        found[node] = gradient
        if isinstance(gradient, Traced) and node in frames.nodes and not gradient.value.name:
            gradient.value.name = f"d{frames.nodes[node]}"

    def gradient_of(tensor: Any) -> Value | None:
        if not needs_gradient(tensor) or tensor.node not in found:
            return None
        gradient = fit(found[tensor.node], tensor.shape)
        return gradient.value if isinstance(gradient, Traced) else Value(gradient)

    result.state_gradients, result.input_gradients, result.parameter_gradients = (
        [gradient_of(t) for t in group] for group in arguments
    )


def needs_gradient(thing: Any) -> bool:
    return type(thing) is Tensor and thing.requires_grad


def replace_constants(outputs: list[Value], carried: list[tuple[Any, Value]]) -> None:
    """Replace the arrays that the cell carries, in the arguments of calls, by the parameters."""
    by_array = {id(array): value for array, value in carried if type(array) is not Tensor}

    def of(leaf: Any) -> Any:
        return by_array.get(id(leaf), leaf) if type(leaf) is np.ndarray else leaf

    for value in ordered(outputs):
        value.args, value.kwargs = mapped((value.args, value.kwargs), of)
