"""Backpropagation through time in one call: the forward and the reverse pass of a sequence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple
from weakref import WeakSet

import numpy as np

from tinygrad_rnn.compiler import backends
from tinygrad_rnn.compiler.frontend.between_steps import for_all
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.inputs import is_elsewhere, stacked as joined
from tinygrad_rnn.compiler.frontend.recognition import captured_by
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.request import FULL, Sequence, prepared
from tinygrad_rnn.compiler.runtime.cache import (
    ON_CLEAR,
    goes_on,
    program_for,
    program_named,
    still_serves,
)
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.compiler.runtime.program import LENGTHS, Program
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.engine.backward import add_gradients, reverse_pass
from tinygrad_rnn.engine.graph import Leaf
from tinygrad_rnn.engine.recording import current_mark, step
from tinygrad_rnn.engine.substitution import contents_lock
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import unflatten
from tinygrad_rnn.recurrent.arguments import at_step, check_parts, checked, length
from tinygrad_rnn.recurrent.cells import Cell, LSTMCell
from tinygrad_rnn.recurrent.lengths import (
    Padded,
    batch_of,
    beside,
    last_valid,
    taken,
    valid_steps,
)
from tinygrad_rnn.recurrent.names import by_place, name
from tinygrad_rnn.recurrent.order import rows_of
from tinygrad_rnn.recurrent.parameters import parameters
from tinygrad_rnn.recurrent.state import as_entered, map_state, tensor
from tinygrad_rnn.recurrent.truncation import Full, Truncation, Windows
from tinygrad_rnn.recurrent.unroll import Unroller
from tinygrad_rnn.support.interrupts import all_of, setter
from tinygrad_rnn.training.cell_with_loss import CellWithLoss


class BPTT:
    """Backpropagation through time: loss and gradient over a sequence in one call.

        L = 1/T Σ_t l_t,   l_t = loss(output_t, target_t),   output_t = cell.output(h_t)

    cell: any cell, as for `unroll`.
    loss: a function of the cell's output and the target at one step. It returns one number, or one
        per sequence, (batch,). In this case L is the mean over the sequences as well. The output is
        h_t for the built-in cells, and the whole state for a cell without a method `output`.
    truncation: how far the gradient of each loss goes back; None is `Full()`.
    backend: how the program is run: None or "numpy"; or "native", machine code by llvmlite.
    threads: the number of parts of the batch that are computed in parallel; see `scan`.
    block: the number of steps that are computed as one block, as for `scan`.

    Called as `loss, state = bptt(xs, targets, state)`. It adds the gradient of L to the `.grad` of
    every leaf that needs one, as `backward` does. Inside `no_grad` it computes no gradient.

    xs, targets: of all T steps, each an array (T, batch, ...), a list of T, or a dict of these.
    state: the initial state, nested as the cell's own; None calls `cell.initial_state(batch)`.
    reset: as for `unroll`.
    lengths: the number of steps of each sequence, (batch,); or mask: booleans (T, batch), the valid
        steps. The inputs and targets of the other steps change neither state nor loss nor gradient.
        L is the mean over the losses of the valid steps. The loss must be one number per sequence,
        as `cross_entropy(..., reduction="none")` is.
    Returns L and the last state, which is the initial state of the next part of the sequence. Its
    parts are arrays, and None for outputs.

    Inputs, initial state and captured Tensors may be computed from other Tensors. The gradient
    then flows on through their graph.

    The results are those of `record(xs, targets, state).backward()`. A program compiled for cell
    and loss together computes them, and no node is recorded. Each call checks that the model is
    unchanged. A `BPTT` keeps its buffers for the next call, so two threads need two of them.

    Raises TypeError for a loss that is neither one number nor one per sequence; ValueError for
    a sequence of no steps, or targets of another length.

    Chapter "Backpropagation Through Time", section "Analysis of Gradients in RNNs".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> W_hq = tg.Tensor(np.ones((4, 2)), requires_grad=True)
    >>> bptt = tg.BPTT(cell, lambda h, y: tg.cross_entropy(h @ W_hq, y))
    >>> loss, state = bptt(np.ones((5, 2, 3)), np.zeros((5, 2), int))
    >>> cell.W_hh.grad.shape, W_hq.grad.shape, state.shape
    ((4, 4), (4, 2), (2, 4))
    """

    reached: ClassVar = ("model",)
    """The attributes that `parameters` searches in a `BPTT`."""

    def __init__(
        self,
        cell: Callable[[Any, Any], Any],
        loss: Callable[[Any, Any], Any],
        truncation: Truncation | None = None,
        backend: str | None = None,
        *,
        block: int | None = None,
        threads: int = 1,
    ) -> None:
        self.backend = backends.checked(backend, threads)
        self.model = CellWithLoss(cell, loss)
        self.block = block
        is_full = truncation is None or type(truncation) is Full
        self._truncation = None if is_full else checked(truncation)
        self.captured = captured_by(self.model)
        self.ready: dict[Any, PreparedRun] = {}
        self.usual: dict[Any, Usual] = {}
        ALL.add(self)

    def __call__(
        self,
        xs: Any,
        targets: Any,
        state: Any = None,
        reset: Any = None,
        lengths: Any = None,
        mask: Any = None,
    ) -> tuple[Any, Any]:
        given, reset, valid = given_of(xs, targets, reset, lengths, mask)
        mark = current_mark()
        watched = mark is not None and mark.watch is not None and mark.watch.is_open
        run = propagated_in_a_graph if watched else propagated
        return run(self, given, state, reset, valid)

    def __reduce__(self) -> Any:
        """Pickle and copy the arguments only: a copy has its own programs and buffers."""
        make = partial(type(self), block=self.block, threads=self.backend.threads)
        return make, (self.cell, self.loss, self._truncation, self.backend.name)

    def __repr__(self) -> str:
        name = getattr(self.loss, "__name__", type(self.loss).__name__)
        return f"BPTT({self.cell!r}, {name}, {self.truncation!r})"

    @property
    def cell(self) -> Any:
        """The cell."""
        return self.model.cell

    @property
    def loss(self) -> Any:
        """The loss at one step."""
        return self.model.loss

    @property
    def truncation(self) -> Truncation:
        """How far the gradient of each loss goes back."""
        return self._truncation or Full()

    def parameters(self) -> dict[str, Tensor]:
        """Every trainable Tensor that cell and loss reach, by name: see `parameters`."""
        return parameters({"cell": self.cell, "loss": self.loss})

    def record(
        self,
        xs: Any,
        targets: Any,
        state: Any = None,
        reset: Any = None,
        lengths: Any = None,
        mask: Any = None,
    ) -> Tensor:
        """The same L as a recorded Tensor, with one node per operation.

        Use it for pictures, contributions and higher derivatives.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> cell = tg.RNNCell(3, 4, rng=0)
        >>> bptt = tg.BPTT(cell, tg.mse, tg.Window(1))
        >>> L = bptt.record(np.ones((3, 2, 3)), np.zeros((3, 2, 4)))
        >>> [use.step for use in tg.contributions(L, cell.W_hh)]
        [0, 1, 1, 2]
        """
        given, reset, valid = given_of(xs, targets, reset, lengths, mask)
        return recorded(self, given, state, reset, valid)[0]

    def source(
        self,
        xs: Any,
        targets: Any,
        state: Any = None,
        backend: str | None = None,
        llvm_ir: bool = False,
    ) -> str:
        """The program that runs for these arguments, as Python source.

        backend: a backend in place of that of this object.
        llvm_ir: return the LLVM IR of the native program. See `scan_source`.
        """
        name = "native" if llvm_ir else backend
        chosen = self.backend if name is None else backends.checked(name)
        with contents_lock:
            sequence = self.sequence({"x": xs, "y": targets}, state, None)
            try:
                program = program_named(sequence, CellKey(self.model), chosen)
            except TraceError as problem:
                problem.instead = RECORDED
                raise
        return program.llvm_ir() if llvm_ir else program.source

    def sequence(self, given: dict[str, Any], state: Any, reset: Any) -> Sequence:
        """The arguments in the form that a scan of cell and loss takes."""
        state = None if state is None else (state, None)
        try:
            return prepared(self.model, given, state, self._truncation, reset, loss_alone=True)
        except (TypeError, ValueError):
            check_steps(given["x"], given["y"])
            if state is not None:
                check_parts(self.cell, state[0])
            raise

    def look(self) -> CellKey:
        """The values that cell and loss read now. If their structure changes, all programs go."""
        before, self.captured = self.captured.key, captured_by(self.model)
        if self.captured.key is not before and self.captured.key != before:
            self.forget()
        return self.captured

    def ready_for(self, sequence: Sequence) -> PreparedRun:
        """The program and buffers for sequences of this form, made for the first of them."""
        self.look()
        key = sequence.key, sequence.steps
        ready = self.ready.get(key)
        try:
            if ready is None or not still_serves(ready.program, sequence, self.captured):
                if len(self.ready) >= LENGTHS:
                    del self.ready[next(iter(self.ready))]
                self.usual.clear()
                ready = self.ready[key] = self._made_ready(sequence)
            else:
                ready.program.complete(sequence)
        except TraceError as problem:
            problem.instead = RECORDED
            raise
        return ready

    def arguments(
        self, given: dict[str, Any], state: Any, reset: Any, valid: Any
    ) -> tuple[PreparedRun, list[Any], int, tuple[Any, ...]]:
        """What a call needs: the prepared run, the Tensors and arrays that its program takes, the
        number of inputs among them, and the lanes."""
        xs, targets, form = given["x"], given["y"], None
        if reset is None and valid is None and type(xs) is type(targets) is np.ndarray:
            form = xs.shape, xs.dtype, targets.shape, targets.dtype
            usual = self.usual.get(form)
            if usual is not None:
                start = usual.start if state is None else state
                if start is None:
                    start = state = self.model.initial_state(xs.shape[1])[0]
                captured = self.look()
                if self.usual and usual.serves(start):  # the look has dropped none
                    states = start if type(start) is tuple else (start,)
                    tensors = [*states, usual.loss, xs, targets, *captured.arrays]
                    return usual.ready, tensors, 2, ()
        sequence = self.sequence(given, state, reset)
        ready = self.ready_for(sequence)
        if form is not None and xs.ndim > 1 and sequence.truncation is FULL:
            entering = form_of_arrays(sequence.state[0])
            if entering is not None:
                start = self.cell.initial_state(xs.shape[1]) if begins_alike(self.cell) else None
                self.usual[form] = Usual(ready, entering, ready.program.nothing[-1], start)
        tensors = [*sequence.state_parts, *sequence.input_parts, *self.captured.arrays]
        windows, truncation = ready.windows, sequence.truncation
        if windows and truncation is not self._truncation:  # a user's strategy: asked anew
            windows = schedule(truncation, sequence.steps)  # type: ignore[arg-type]
        return ready, tensors, len(sequence.input_parts), windows

    def forget(self) -> None:
        """Drop all programs."""
        self.ready.clear()
        self.usual.clear()

    def _made_ready(self, sequence: Sequence) -> PreparedRun:
        T, truncation = sequence.steps, sequence.truncation
        refuse_no_steps(T)
        program = program_for(sequence, self.captured, self.backend)
        shape, dtype = program.states[-1]
        check_loss(shape)
        plan = program.plan(sequence, None, 0, self.block, "all")
        weights = mean_weights(shape, dtype, np.ones((T, *shape), bool))
        states = len(sequence.state_parts) - 1
        seeds = [program.no_gradient(n, T) for n in range(states)]
        return PreparedRun(
            program,
            Workspace(program.make, program.places, plan),
            weights,
            [*seeds, weights],
            schedule(truncation, T) if isinstance(truncation, Windows) else (),
            nesting(sequence.form[0]),
        )


RECORDED = "bptt.record(...).backward()"
"""The call that computes the same without a program."""


class PreparedRun(NamedTuple):
    """The program and buffers that run all sequences of one form.

    weights: ∂L/∂l_t. seeds: the gradients of all parts of the state; only the last part, the loss,
    has one. windows: the lanes. nested: the function that brings the parts of a state into its
    form.
    """

    program: Program
    space: Workspace
    weights: Any
    seeds: list[Any]
    windows: tuple[Any, ...]
    nested: Callable[[list[Any]], Any]


class Usual(NamedTuple):
    """A shortcut for plain arrays whose shapes and dtypes an earlier call had: no further checks.

    entering: the form of the state. loss: the placeholder of the loss before the first step.
    start: the initial state, if it is always the same.
    """

    ready: PreparedRun
    entering: list[Any]
    loss: Tensor
    start: Any

    def serves(self, state: Any) -> bool:
        """Whether the shortcut is valid for this state, with a model of the same structure."""
        alike = state is self.start or form_of_arrays(state) == self.entering
        return alike and goes_on(self.ready.program)


ALL: WeakSet[BPTT] = WeakSet()


def forget() -> None:
    """Drop the programs of every `BPTT`."""
    for bptt in ALL:
        bptt.forget()


ON_CLEAR.append(forget)


def given_of(
    xs: Any, targets: Any, reset: Any, lengths: Any, mask: Any
) -> tuple[dict[str, Any], Any, Any]:
    """The inputs and targets in the form of `CellWithLoss`, the resets, and the valid steps.

    The valid steps are None if all steps are valid. Each invalid step gets the input and target of
    the last valid step before it, so its own are never read.
    """
    if lengths is None and mask is None:
        return {"x": xs, "y": targets}, reset, None
    check_steps(xs, targets)
    valid = valid_steps(lengths, mask, length(xs), batch_of(xs))
    if valid is None:
        return {"x": xs, "y": targets}, reset, None
    index = last_valid(valid)
    if reset is not None:
        reset = rows_of(reset, valid.shape) & valid
    given = {"x": taken(xs, index), "y": taken(targets, index)}
    return {**given, "valid": beside(for_all(valid), xs)}, reset, valid


def propagated(
    bptt: BPTT, given: dict[str, Any], state: Any, reset: Any, valid: Any
) -> tuple[Any, Any]:
    """Loss and last state by the compiled program; the gradients are added to the leaves."""
    with contents_lock:
        ready, tensors, inputs, windows = bptt.arguments(given, state, reset, valid)
        program, space, weights, seeds, _, nested = ready
        arrays = [t._data if type(t) is Tensor else t for t in tensors]
        nodes = [tensors[i]._node for i in program.wanted]
    if valid is not None:
        weights = mean_weights(*program.states[-1], valid)
        seeds = [*seeds[:-1], weights]
    *states, losses = space.forward(arrays, inputs)
    loss = weights.dot(losses) if losses.ndim == 1 else np.vdot(weights, losses)
    last = nested([part[-1].copy() for part in states])
    if current_mark() is not None:
        found = space.backward(seeds, [0] * len(seeds), arrays, inputs, windows)
        hand_on(nodes, found, program.wanted)
    return loss, last


def begins_alike(cell: Any) -> bool:
    """Whether a cell's initial state depends only on its attributes, which are watched."""
    function = getattr(getattr(cell, "initial_state", None), "__func__", None)
    return isinstance(cell, Cell) and function in BEGINNINGS


BEGINNINGS = (Cell.initial_state, LSTMCell.initial_state)


def form_of_arrays(state: Any) -> list[Any] | None:
    """The properties of a state that the program depends on, for an array or a tuple of arrays.

    For any other state the result is None."""
    parts = state if type(state) is tuple else (state,)
    form: list[Any] = [type(state) is tuple]
    for part in parts:
        if type(part) is Tensor:
            form += (part._data.shape, part._data.dtype, part._requires_grad)
        elif type(part) is np.ndarray:
            form += (part.shape, part.dtype, False)
        else:
            return None
    return form


def hand_on(nodes: list[Any], found: tuple[Any, ...], wanted: list[int]) -> None:
    """Add gradients to the leaves. Those of computed values flow on through their graph.

    After an exception no leaf is changed."""
    sums = []
    for node, i in zip(nodes, wanted):  # noqa: B905 (hot)
        gradient = found[i]
        if type(node) is not Leaf or type(gradient) is not np.ndarray:
            break
        sums.append(gradient if node.grad is None else node.grad + gradient)
    else:
        all_of(map(set_grad, nodes, sums))
        return
    own = [np.asarray(found[i]) for i in wanted]
    totals: dict[Leaf, Any] = {}
    for node, total in reverse_pass(nodes, own):
        if isinstance(node, Leaf):  # not a computed value that was cut off
            totals[node] = total
    add_gradients(list(totals), list(totals.values()))


set_grad = setter(Leaf, "grad")


def recorded(
    bptt: BPTT, given: dict[str, Any], state: Any, reset: Any, valid: Any
) -> tuple[Tensor, Any]:
    """L and the last state by `unroll`, in a graph."""
    xs, targets = given["x"], given["y"]
    check_steps(xs, targets)
    refuse_no_steps(length(xs))
    cell = bptt.cell
    if valid is not None:
        cell, xs = Padded(cell), {"x": xs, "valid": given["valid"]}
    run = Unroller(cell, xs, state, reset)
    states, last = run.unrolled(bptt.truncation)
    targets, losses = targets if is_elsewhere(targets) else joined(targets), []
    for t, h in enumerate(states):
        with step(t):
            target = map_state(tensor, at_step(targets, t))
            name(target, by_place(target, "y"), t + 1)
            loss = tensor(bptt.loss(bptt.model.output(h), target))
            name(loss, [("l_", "")], t + 1)
        losses.append(loss)
    stacked: Any = np.stack(losses)
    check_loss(stacked.shape[1:])
    valid = np.ones(stacked.shape, bool) if valid is None else valid
    weights = mean_weights(stacked.shape[1:], stacked.dtype, valid)
    if is_elsewhere(stacked):
        weights = np.asarray(weights, like=stacked._data)
    L = np.sum(stacked * weights)
    return L.named("L"), map_state(lambda h: h._data.copy(), run.entered(last))


def propagated_in_a_graph(
    bptt: BPTT, given: dict[str, Any], state: Any, reset: Any, valid: Any
) -> tuple[Any, Any]:
    """The same as `propagated`, in a graph, where `anomaly` checks every value and gradient."""
    loss, last = recorded(bptt, given, state, reset, valid)
    if loss.requires_grad:
        loss.backward()
    return loss._data, last


def mean_weights(shape: tuple[int, ...], dtype: Any, valid: Any) -> Any:
    """∂L/∂l_t for all steps, and for all sequences if each has a loss.

    shape: the shape of the loss at a step. valid: which losses count. Raises TypeError if one loss
    for all sequences would count for some of them only.
    """
    if valid.ndim > 1 and not shape:
        if valid.ndim == for_all(valid).ndim:
            raise TypeError(
                "with lengths or a mask, the loss at a step must be one number for each sequence, "
                '(batch,), as of tg.cross_entropy(..., reduction="none"), but it is one number'
                " for all sequences"
            )
        valid = for_all(valid)
    if not valid.any():
        raise ValueError("no sequence has a step that counts, so there is no mean loss")
    return (valid / np.sum(valid)).astype(dtype)


def nesting(form: Any) -> Callable[[list[Any]], Any]:
    """The function that brings the parts of a state into its form, with None for outputs."""
    if type(form) is Tensor:
        return lambda parts: parts[0]
    if type(form) is tuple and all(type(part) is Tensor for part in form):
        return tuple
    return lambda parts: as_entered(form, unflatten(form, iter(parts)))


def check_loss(shape: tuple[int, ...]) -> None:
    """TypeError if a loss is neither one number nor one per sequence."""
    if len(shape) > 1:
        raise TypeError(
            f"the loss at a step must be one number, or one for each sequence, (batch,), but it "
            f"has the shape {shape}: take the mean over the other axes"
        )


def check_steps(xs: Any, targets: Any) -> None:
    """ValueError if inputs and targets differ in their number of steps."""
    steps, given = length(xs), length(targets, "targets", "(T, batch, ...)")
    if steps != given:
        raise ValueError(
            f"xs and targets must have the same number of steps, but xs has {steps} and targets "
            f"has {given}"
        )


def refuse_no_steps(T: int) -> None:
    if T == 0:
        raise ValueError("xs has no steps, so there is no mean loss")
