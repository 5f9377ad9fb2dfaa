"""Tracing: one step of a cell as two straight-line sequences of NumPy calls, forward and backward.

The cell runs once on Tensors with traced arrays inside. Then its tape is swept with traced
adjoints. The rules of the table are plain NumPy, so the calls of the sweep are recorded like those
of the cell.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.local_names import LocalNames
from tinygrad_rnn.compiler.frontend.places import in_place
from tinygrad_rnn.compiler.frontend.randomness import random_states, restore
from tinygrad_rnn.compiler.frontend.refusals import BOUNDARIES, TraceError
from tinygrad_rnn.compiler.frontend.stand_ins import STANDS_FOR
from tinygrad_rnn.compiler.frontend.tracer import Traced, handle_of
from tinygrad_rnn.compiler.frontend.values import Value, mapped, sample_of
from tinygrad_rnn.compiler.frontend.witness import Witness, witness_of
from tinygrad_rnn.compiler.passes.rewrite import ordered
from tinygrad_rnn.derivatives.several import Several
from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.gradients import between
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.recording import Mark, marked
from tinygrad_rnn.engine.substitution import substituted
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, flatten_like
from tinygrad_rnn.recurrent.arguments import check_dtypes, misshapen
from tinygrad_rnn.recurrent.state import OUTPUT, as_returned, form_of, has_outputs, map_state


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


def trace(step: Step) -> Trace:
    """Trace the cell: run it twice on sample numbers and record its calls.

    Raises TraceError, with the place in the cell, where one straight-line sequence cannot represent
    it, for example where the two runs differ.
    """
    before = random_states(step.captured)
    result = trace_once(step)
    drawn = [s for *_, s in before] != [s for *_, s in random_states(step.captured)]
    change = result.witness.difference(trace_once(step).witness)
    if drawn or change is not None:
        restore(before)
        raise not_a_function(drawn, change)
    return result


def not_a_function(drawn: bool, change: str | None) -> TraceError:
    """The error for a cell that behaves differently at each call."""
    if drawn:
        seen = "" if change is None else f"; in two runs on the same numbers {change}"
        return TraceError(
            f"the cell draws random numbers, which a program would draw once for all steps{seen}",
            "draw them before and pass them in xs",
        )
    return TraceError(
        f"the cell is not a pure function: in two runs on the same numbers {change}",
        "pass random numbers in xs and keep counts in the state",
    )


def trace_once(step: Step) -> Trace:
    """Run the cell once on sample numbers and record its calls."""
    result = Trace()
    cell, x, state, captured, x_needs, x_names, state_names = step
    samples = map(sample_of, parts(x))
    result.inputs = [Value(p, name) for p, name in zip(samples, x_names, strict=True)]
    form = form_of(state)
    places = list(zip(parts(form), state_names, strict=True))
    states = [Value(sample_of(part), name) for part, name in places if part is not OUTPUT]
    x_tensors = [Tensor(handle_of(v, True), n) for v, n in zip(result.inputs, x_needs, strict=True)]
    h_tensors = [Tensor(handle_of(v, True), v.dtype.kind == "f") for v in states]
    result.parameters = [
        Value(sample_of(a._data if type(a) is Tensor else a), name)
        for a, name in zip(captured.arrays, captured.names, strict=True)
    ]
    pairs = list(zip(captured.arrays, result.parameters, strict=True))
    tensors = [(a, v) for a, v in pairs if type(a) is Tensor]
    containers = CellKey(cell, watching=True).containers
    plain = instead_of_plain(pairs, containers)
    frames = LocalNames(result.inputs + states + result.parameters)
    inside = [
        Tensor(handle_of(value, True), tensor.requires_grad, tensor.name)
        for tensor, value in tensors
    ]
    with (
        in_place(containers, plain) as instead,
        substituted([tensor for tensor, _ in tensors], inside),
        marked(Mark()),
        tracing,
    ):
        x_nested, h_nested = rebuilt(x, x_tensors), rebuilt(state, h_tensors)
        with frames:
            new = instead(cell)(x_nested, h_nested)
        state = as_returned(form, new) if has_outputs(form) else state
        result.states = with_outputs(states, parts(state), places)
        h_tensors = tensors_of(result.states, h_tensors, places)
        _backward(result, new, state, h_tensors, x_tensors, tensors, frames)
    _describe(ordered(result.results))
    outputs = result.outputs()
    known_outputs = [v for v in outputs if v is not None]
    by_array = {id(array): value for array, value in pairs if type(array) is not Tensor}
    _replace_constants(known_outputs, by_array)
    values = ordered([*result.inputs, *result.states, *result.parameters, *known_outputs])
    result.witness = witness_of(values, outputs, result.parameters)
    return result


BOUNDARIES.add(trace_once.__code__)


def with_outputs(
    states: list[Value], returned: Sequence[Any], places: Sequence[tuple[Any, str]]
) -> list[Value]:
    """The states, with a value like the cell's own result for each output."""
    known = iter(states)
    return [
        Value(zeros_like(part), name) if form is OUTPUT else next(known)
        for part, (form, name) in zip(returned, places, strict=True)
    ]


def tensors_of(
    states: list[Value], tensors: list[Tensor], places: Sequence[tuple[Any, str]]
) -> list[Tensor]:
    """The Tensors of the states, with a new Tensor for each output, which no step has read."""
    known = iter(tensors)
    return [
        Tensor(Traced(value), value.dtype.kind == "f") if form is OUTPUT else next(known)
        for value, (form, _) in zip(states, places, strict=True)
    ]


def zeros_like(returned: Any) -> Any:
    """Zeros like what a cell returned."""
    sample = returned._data if isinstance(returned, Tensor) else np.asarray(returned)
    return np.zeros(sample.shape, sample.dtype)


def instead_of_plain(pairs: list[tuple[Any, Value]], containers: list[Any]) -> dict[int, Any]:
    """The replacements for the plain arrays of a cell while it is traced, by their ids.

    Where the cell computes with a plain array, the program does, too. Two kinds of arrays are
    pinned instead: subclasses with operators of their own, and arrays held where nothing can be
    replaced. The program is then valid for their current numbers only.
    """
    plain: dict[int, Any] = dict(STANDS_FOR)
    views = [list(c.values()) for c in containers if type(c) is types.MappingProxyType]
    for array, value in pairs:
        value.pinned = type(array) is not Tensor and any(array is held for held in parts(views))
    for array, value in pairs:
        if type(array) is Tensor:
            continue
        if type(array) in (np.ndarray, np.memmap) and array.dtype.kind in "biuf":
            value.fixed = frozenset((value,))
            plain[id(array)] = handle_of(value, True)
        elif not array.dtype.hasobject:  # else its elements are part of the cell's structure
            value.pinned = True
    return plain


def _backward(
    result: Trace,
    new: Any,
    state: Any,
    h_tensors: list[Tensor],
    x_tensors: list[Tensor],
    tensors: list[tuple[Tensor, Value]],
    frames: LocalNames,
) -> None:
    given = map_state(np.shape, state)
    if given != map_state(np.shape, new):
        raise misshapen("", given, new)
    check_dtypes(state, new)
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
    flowing = [(h, v) for h, v in zip(outputs, result.adjoints, strict=True) if v is not None]
    wanted = [
        *(t for t in h_tensors if t.requires_grad),
        *(t for t in x_tensors if t.requires_grad),
        *(t for t, _ in tensors if t.requires_grad),
    ]
    nodes, others = between([t.node for t in wanted], [h.node for h, _ in flowing])
    if others:
        raise TraceError(
            "the cell uses a Tensor that needs a gradient but cannot be found from the cell",
            "hold it as an attribute of the cell or as a variable that the function uses by name",
        )
    found: dict[Node, Traced] = {}
    seeds = [Traced(v) for _, v in flowing]
    for node, gradient in reverse_pass(
        [h.node for h, _ in flowing], seeds, nodes, pull=pull_on_arrays
    ):
        found[node] = gradient
        if isinstance(gradient, Several):
            continue
        value = gradient.value
        if not value.name and node in frames.nodes:
            value.name = f"d{frames.nodes[node]}"

    def gradient_of(tensor: Tensor) -> Value | None:
        if not tensor.requires_grad or tensor.node not in found:
            return None
        gradient = fit(found[tensor.node], tensor.shape)
        value = gradient.value if isinstance(gradient, Traced) else Value(gradient)
        return value

    result.state_gradients = [gradient_of(t) for t in h_tensors]
    result.input_gradients = [gradient_of(t) for t in x_tensors]
    by_value = {id(v): gradient_of(t) for t, v in tensors}
    result.parameter_gradients = [by_value.get(id(v)) for v in result.parameters]


def _describe(values: list[Value]) -> None:
    """Give names to values that no variable held: sigmoid_f, tanh_c."""
    for value in values:
        made = value.origin
        if made is None and value.function is np.tanh:
            made = "tanh", value.args[0]
        if made is not None and not value.name and made[1].name:
            value.name = f"{made[0]}_{made[1].name}"


def rebuilt(tree: Any, leaves: Sequence[Any]) -> Any:
    """The nesting of `tree` with other leaves, in order."""
    following = iter(leaves)
    return map_state(lambda _: next(following), tree)


def _replace_constants(outputs: list[Value], by_array: dict[int, Value]) -> None:
    """Replace the arrays that the cell carries, in the arguments of calls, by the parameters."""

    def of(leaf: Any) -> Any:
        return by_array.get(id(leaf), leaf) if type(leaf) is np.ndarray else leaf

    for value in ordered(outputs):
        value.args, value.kwargs = mapped((value.args, value.kwargs), of)
