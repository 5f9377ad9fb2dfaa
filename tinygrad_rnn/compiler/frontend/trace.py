"""One step of a cell as two straight lines of NumPy calls: forward, and backward.

The cell is run once on Tensors with traced arrays inside; then its tape is swept with traced
adjoints. The rules of the table are plain NumPy, so the sweep's calls are written down as the
cell's own were.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import Captures
from tinygrad_rnn.compiler.frontend.tracer import PACKAGE, Traced, TraceError, Value
from tinygrad_rnn.compiler.passes.rewrite import ordered
from tinygrad_rnn.engine.backward import pull_on_arrays, reverse_pass
from tinygrad_rnn.engine.fit import fit
from tinygrad_rnn.engine.gradients import between
from tinygrad_rnn.engine.graph import Node
from tinygrad_rnn.engine.recording import Mark, marked
from tinygrad_rnn.engine.substitution import substituted
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as parts, flatten_like
from tinygrad_rnn.recurrent.state import OUTPUT, as_returned, form_of, has_outputs, map_state


class Trace:
    """The values of one step.

    inputs: x_t, one value per part. states: h_{t−1}, likewise. parameters: what the cell carries,
    Tensors and arrays. results: h_t. adjoints: ∂L/∂h_t. And the gradients, None where there is
    none: for states ∂L/∂h_{t−1}, for inputs, for parameters.
    """

    inputs: list[Value]
    states: list[Value]
    parameters: list[Value]
    results: list[Value]
    adjoints: list[Value | None]
    state_gradients: list[Value | None]
    input_gradients: list[Value | None]
    parameter_gradients: list[Value | None]


def trace(
    cell: Callable[..., Any],
    x: Any,
    state: Any,
    captured: Captures,
    x_needs: Sequence[bool],
    names: tuple[Sequence[str], Sequence[str]],
) -> Trace:
    """Run the cell once on sample numbers and write it down.

    x, state: samples of one step, nested as the cell wants them. x_needs: which parts of x need a
    gradient. names: of the parts of x and of the state.
    Raises TraceError, with the place in the cell, where one straight line cannot stand for it.
    """
    given = (cell, x, state, captured, x_needs, names)
    result = _trace(*given)
    numbers = list(_numbers(result))
    if captured.random or any(isinstance(number, np.ndarray) for number in numbers):
        again = _numbers(_trace(*given))
        if not all(same(a, b) for a, b in zip(numbers, again, strict=True)):
            raise TraceError(
                "the cell draws random numbers, and a program would draw them once for all steps: "
                "draw them before and give them to the cell in xs, or use tg.unroll"
            )
    return result


def same(a: Any, b: Any) -> bool:
    """Whether two constants are equal, NaN being equal to itself."""
    return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


def _trace(
    cell: Callable[..., Any],
    x: Any,
    state: Any,
    captured: Captures,
    x_needs: Sequence[bool],
    names: tuple[Sequence[str], Sequence[str]],
) -> Trace:
    result = Trace()
    x_names, state_names = names
    result.inputs = [Value(p, name) for p, name in zip(parts(x), x_names, strict=True)]
    form = form_of(state)
    places = list(zip(parts(form), state_names, strict=True))
    states = [Value(part, name) for part, name in places if part is not OUTPUT]
    x_tensors = [Tensor(Traced(v), n) for v, n in zip(result.inputs, x_needs, strict=True)]
    h_tensors = [Tensor(Traced(v), v.dtype.kind == "f") for v in states]
    result.parameters = [
        Value(a._data if type(a) is Tensor else a, name)
        for a, name in zip(captured.arrays, captured.names, strict=True)
    ]
    tensors = [
        (a, v) for a, v in zip(captured.arrays, result.parameters, strict=True) if type(a) is Tensor
    ]
    frames = LocalNames(result.inputs + states + result.parameters)
    inside = [Tensor(Traced(value), tensor.requires_grad, tensor.name) for tensor, value in tensors]
    with substituted([tensor for tensor, _ in tensors], inside), marked(Mark()):
        x_nested, h_nested = rebuilt(x, x_tensors), rebuilt(state, h_tensors)
        with frames:
            new = cell(x_nested, h_nested)
        state = as_returned(form, new) if has_outputs(form) else state
        known = iter(states)  # an output is like what the cell returns there, and read by nobody
        result.states = [
            Value(sample_of(returned), name) if part is OUTPUT else next(known)
            for returned, (part, name) in zip(parts(state), places, strict=True)
        ]
        fresh = iter(h_tensors)
        h_tensors = [
            Tensor(Traced(value), value.dtype.kind == "f") if part is OUTPUT else next(fresh)
            for value, (part, _) in zip(result.states, places, strict=True)
        ]
        _backward(result, new, state, h_tensors, x_tensors, tensors, frames)
    _describe(ordered([v for v in result.results if v is not None]))
    by_array = {
        id(array): value
        for array, value in zip(captured.arrays, result.parameters, strict=True)
        if type(array) is np.ndarray
    }
    _replace_constants(result, by_array)
    return result


def sample_of(returned: Any) -> Any:
    """Zeros like what a cell returned."""
    sample = returned._data if isinstance(returned, Tensor) else returned
    return np.zeros(np.shape(sample), sample.dtype)


def _backward(
    result: Trace,
    new: Any,
    state: Any,
    h_tensors: list[Tensor],
    x_tensors: list[Tensor],
    tensors: list[tuple[Tensor, Value]],
    frames: LocalNames,
) -> None:
    given, returned = map_state(np.shape, state), map_state(np.shape, new)
    if given != returned:
        raise ValueError(
            f"the cell was given a state of shape {given} and returned one of shape {returned}; "
            f"they must be equal, so the initial state must have the shape {returned}, or the "
            f"cell is wrong"
        )
    returned_parts = flatten_like(state, new)  # the keys of a dict may come in another order
    for before, after in zip(parts(state), returned_parts, strict=True):
        if before.dtype != after.dtype:
            raise TraceError(
                f"the cell was given a state of {before.dtype} and returned one of {after.dtype}: "
                f"let inputs, parameters and state have one dtype, for example by xs.astype(...)"
            )
    outputs = [h if isinstance(h, Tensor) else Tensor(h) for h in returned_parts]
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
            "the cell uses a Tensor that needs a gradient and cannot be found from the cell: hold "
            "it as an attribute of the cell, or as a variable that the function closes over"
        )
    found: dict[Node, Traced] = {}
    seeds = [Traced(v) for _, v in flowing]
    for node, gradient in reverse_pass(
        [h.node for h, _ in flowing], seeds, nodes, pull=pull_on_arrays
    ):
        found[node] = gradient
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


def _numbers(result: Trace) -> Iterator[Any]:
    """All numbers and arrays that stand in the calls of the way forward as they are."""
    for value in ordered(result.results):
        yield from _numbers_in(value.args)


def _numbers_in(leaf: Any) -> Iterator[Any]:
    if isinstance(leaf, float | np.ndarray | np.generic):
        yield leaf
    elif isinstance(leaf, tuple | list):
        for part in leaf:
            yield from _numbers_in(part)


def _describe(values: list[Value]) -> None:
    """Names for values that no variable held: sigmoid_f, tanh_c."""
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


def _replace_constants(result: Trace, by_array: dict[int, Value]) -> None:
    """Where a call was made on an array that the cell carries, let it be that input."""
    seen: set[int] = set()
    waiting = [
        v
        for group in (
            result.results,
            result.state_gradients,
            result.input_gradients,
            result.parameter_gradients,
        )
        for v in group
        if v is not None
    ]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        value.args = _replaced(value.args, by_array)
        value.kwargs = {key: _replaced(leaf, by_array) for key, leaf in value.kwargs.items()}
        waiting += value.operands


def _replaced(leaf: Any, by_array: dict[int, Value]) -> Any:
    if isinstance(leaf, np.ndarray):
        return by_array.get(id(leaf), leaf)
    if isinstance(leaf, tuple | list):
        return type(leaf)([_replaced(part, by_array) for part in leaf])
    return leaf


class LocalNames:
    """Calls values by the names of the variables that hold them when the cell's code returns."""

    def __init__(self, known: list[Value]) -> None:
        self.taken = {v.name for v in known}
        self.nodes: dict[Node, str] = {}

    def __enter__(self) -> None:
        self.before = sys.getprofile()
        sys.setprofile(self.look)

    def __exit__(self, *problem: Any) -> None:
        sys.setprofile(self.before)

    def look(self, frame: Any, event: str, argument: Any) -> None:
        if event != "return" or not is_cells_own(frame.f_code.co_filename):
            return
        for name, thing in frame.f_locals.items():
            if type(thing) is not Tensor or not isinstance(thing._data, Traced):
                continue
            value = thing._data.value
            if not value.name and value.function is not None:
                value.name = name if name not in self.taken else ""
                self.taken.add(name)
            if value.name and thing._node is not None:
                self.nodes.setdefault(thing._node, value.name)


def is_cells_own(filename: str) -> bool:
    """Whether the code is a cell's, and not the engine's or NumPy's."""
    if filename.startswith(PACKAGE):
        return os.path.basename(filename) in ("cells.py", "stacked.py")
    return filename != "<string>" and not filename.startswith(OTHERS)


OTHERS = (os.path.dirname(np.__file__) + os.sep, os.path.dirname(os.__file__) + os.sep)
"""NumPy and Python's own library."""
