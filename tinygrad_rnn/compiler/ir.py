"""The compiler's intermediate representation: the records that its stages hand on.

    trace → StepGraph → passes → Schedule → allocate → Program → back end

A `StepGraph` is one step of a cell as a graph of NumPy calls, forward and backward. A `Schedule`
gives each call its phase: once before the loop over the steps, in the loop, or once after it. A
`Program` has buffers and instructions. A back end prints or runs it, and decides nothing.

All records are frozen. A pass makes new records.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from tinygrad_rnn.compiler.operations import copy, filled

Type = tuple[tuple[int, ...], np.dtype[Any]]
"""The shape and the dtype of an array."""

P = TypeVar("P")


# One step ---------------------------------------------------------------------------------------


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
        """The bytes of the array, or of all results if there are several."""
        types = self.results or ((self.shape, self.dtype),)
        return sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in types)

    def __repr__(self) -> str:
        made = "given" if self.function is None else getattr(self.function, "__name__", "?")
        return f"<{self.name or 'value'} {self.shape} {self.dtype}: {made}>"


@dataclass(frozen=True)
class FusedAdjoint:
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
        """All outputs: results, gradients, output gradients and fused adjoints."""
        groups = (
            self.results,
            self.state_gradients,
            self.input_gradients,
            self.parameter_gradients,
        )
        wanted = [v for group in groups for v in group if v is not None]
        for fused in self.fused_adjoints.values():
            wanted += [fused.row, fused.matrix]
        return [*wanted, *self.output_grads.values()]


# When each call is made -------------------------------------------------------------------------


class Depends(enum.Flag):
    """The causes of a value's change from step to step. A value of parameters alone has none."""

    NOTHING = 0
    INPUT = enum.auto()
    STATE = enum.auto()
    OUTPUT_GRADIENT = enum.auto()  # of a part of the state that no step reads: known beforehand
    GRADIENT = enum.auto()


class Phase(enum.Enum):
    """When a value is computed: once in each call of the function, for all steps at once before the
    loop, in the loop, or for all steps at once after it."""

    CONSTANT = "constants"
    BEFORE = "before"
    LOOP = "loop"
    AFTER = "after"


@dataclass(frozen=True)
class Operand:
    """A value, or the sum of a value over the steps, as an operand of a call for all steps.

    views: the views of its array. spread: the shape to which a value that is the same in all steps
        is copied beforehand; it may have `T` as its first entry.
    """

    value: Value | AtOnce
    views: tuple[View, ...] = ()
    spread: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class AtOnce:
    """One call for all steps: of a value, or of the sum of a value over the steps.

    function: None for a sum that only the loop can accumulate. args, kwargs: constants, and an
        `Operand` for each array. out_views: the views of the array that it writes to.
    """

    value: Value
    function: Callable[..., Any] | None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    out_views: tuple[View, ...] = ()

    def reads(self) -> Iterator[Value]:
        """All values that the call reads, and the calls of its operands. Constant arrays are made
        beforehand."""
        for operand in leaves_of((self.args, self.kwargs), Operand):
            if isinstance(operand.value, AtOnce):
                yield from operand.value.reads()
            elif operand.value.function is not filled:
                yield operand.value


@dataclass(frozen=True)
class Phases(Generic[P]):
    """What one of the two functions does in each phase, in order."""

    constants: P
    before: P
    loop: P
    after: P

    def __iter__(self) -> Iterator[P]:
        return iter((self.constants, self.before, self.loop, self.after))

    def of(self, phase: Phase) -> P:
        return getattr(self, phase.value)  # type: ignore[no-any-return]

    def phase_of(self) -> dict[Any, Phase]:
        """The phase of each member."""
        return {member: phase for phase in Phase for member in self.of(phase)}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Schedule:
    """When each value of a step graph is computed.

    order: all values, each after its operands. depends: the causes of each value's change.
    forward, backward: the calls of the two functions. A constant may be in both, any other value is
        in one. Views and given values are in neither, because they need no computation.
    saved: the values of a loop that are kept for all steps, because they are read outside of the
        loop.
    rows: the concatenations in the forward loop whose parts are written in their place.
    unread: the parts of the state that no step reads, the outputs.
    sums: for each parameter the sum of its gradient over the steps; None where there is none.
    """

    graph: StepGraph
    order: tuple[Value, ...]
    depends: Mapping[Value, Depends]
    forward: Phases[tuple[Value, ...]]
    backward: Phases[tuple[Value, ...]]
    saved: frozenset[Value]
    rows: tuple[Value, ...]
    unread: frozenset[Value]
    sums: tuple[AtOnce | None, ...]


# Arrays and instructions ------------------------------------------------------------------------


class Storage(enum.Enum):
    """The owner of an array, and the lifetime of its numbers.

    GIVEN: an array of the caller. It is never written to. It has any strides, and may be read-only.
    STATE: the states of all steps. The caller may give the array, and reads it.
    KEPT: made once for a block of steps. `backward` reads what `forward` leaves there; or the array
        has a `fill` or a set-up that has to stay.
    SCRATCH: made once, and dead after the call that wrote it. So all blocks of steps can use the
        same array.
    RETURNED: made anew in each call of the function, because the caller keeps it.
    RESULT: no array to write to, but a name for the return value of an instruction, such as the
        gradient of a parameter or the result of a function without `out`.
    LANE: one array for each lane of adjoints, under windows.
    """

    GIVEN = enum.auto()
    STATE = enum.auto()
    KEPT = enum.auto()
    SCRATCH = enum.auto()
    RETURNED = enum.auto()
    RESULT = enum.auto()
    LANE = enum.auto()


OWN = (Storage.STATE, Storage.KEPT, Storage.SCRATCH)
"""The arrays that a program makes once, before its functions are called."""


@dataclass(frozen=True, eq=False)
class Buffer:
    """An array of the program. It is contiguous in C order, unless the caller gives it.

    shape: the shape of one step. time: None for an array without an axis of time. Otherwise the
        first axis has length T + time, where T is the number of steps, known when the buffers are
        made. So an array with `time=0` has the entries 0..T−1. An array with `time=1`, such as that
        of the states, has one more: entry t enters step t, and entry t+1 leaves it.
    fill: the initial contents, a number or an array of the shape (of one step); None if there are
        none. This part of the array is never overwritten.
    shares: another buffer of the same shape, dtype and time, whose memory this buffer uses.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    storage: Storage
    time: int | None = None
    fill: Any = None
    shares: Buffer | None = None

    @property
    def root(self) -> Buffer:
        """The buffer that owns the memory."""
        return self if self.shares is None else self.shares.root

    def __repr__(self) -> str:
        steps = {None: "", 0: "T, ", 1: "T+1, "}[self.time]
        shape = f"({steps}{', '.join(map(str, self.shape))})"
        return f"{self.name}: {self.dtype} {shape} {self.storage.name.lower()}"


class Steps:
    """The number of steps, T, as an argument of an instruction."""

    def __repr__(self) -> str:
        return "T"


T = Steps()


class Step:
    """The current step of the loop, t, as an argument of an instruction."""


STEP = Step()


@dataclass(frozen=True)
class View:
    """A view of an array: its numbers are not copied.

    kind: "index", with a basic index (integers, slices of constants, None, Ellipsis); "transpose",
        with the order of all axes; "reshape" and "broadcast", with a shape that may have `T` as its
        first entry, and for "reshape" may be (−1, n): rows.

    A view of a `GIVEN` array may be a copy, where the strides allow no view. Any other view is one
    of a contiguous array, or of a view of a contiguous array.

    before: the shape of one step before broadcasting.
    """

    kind: str
    argument: tuple[Any, ...]
    before: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.argument)))  # before Python 3.12 a slice has none

    def of(self, array: Any, steps: int = 0) -> Any:
        """The view of an array. steps: the number of steps, in the place of `T`."""
        if self.kind == "index":
            return array[self.argument]
        if self.kind == "transpose":
            return array.transpose(self.argument)
        shape = tuple([steps if n is T else n for n in self.argument])
        return array.reshape(shape) if self.kind == "reshape" else np.broadcast_to(array, shape)


class When(enum.Enum):
    """The entries along the axis of time that a reference selects.

    ALWAYS: the buffer has no axis of time. ALL: all T steps as one array, with that axis. STEP: the
    entry of the current step of the loop. FIRST: the entry of step 0. LAST: that of step T−1.
    """

    ALWAYS = enum.auto()
    ALL = enum.auto()
    STEP = enum.auto()
    FIRST = enum.auto()
    LAST = enum.auto()


@dataclass(frozen=True)
class Ref:
    """A place that an instruction reads or writes: a buffer, one of its entries, and views of it.

    offset: added to the step. 0 or, for buffers of T+1 entries, 1: h_{t−1} is (h, offset 0) and h_t
        is (h, offset 1). With `ALL` it is entries offset..offset+T−1; with `FIRST` the entry
        `offset`; with `LAST` the entry offset+T−1.
    views: applied one after the other; with `ALL` to the array with the axis of time, otherwise to
        the array of one step.
    seeded: whether the reference depends on the lane, under windows. In the loop of a lane to which
        the loss at this step does not belong, it means the number 0.
    name: a name for readers of the program.
    """

    buffer: Buffer
    when: When = When.ALWAYS
    offset: int = 0
    views: tuple[View, ...] = ()
    seeded: bool = False
    name: str = field(default="", compare=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.buffer.dtype

    def strided(self, steps: int = 1) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Shape, strides and offset of the place, counted in numbers and not in bytes, from the
        beginning of the entry (of the whole buffer for `ALL`). Not for `GIVEN` buffers, whose
        strides only the caller knows."""
        buffer = self.buffer
        entries = () if self.when is not When.ALL else (steps + (buffer.time or 0),)
        array = np.empty((*entries, *buffer.shape), np.int8)
        seen = array if self.when is not When.ALL else array[self.offset : self.offset + steps]
        for view in self.views:
            seen = view.of(seen, steps)
        begin = seen.__array_interface__["data"][0] - array.__array_interface__["data"][0]
        return seen.shape, seen.strides, begin


@dataclass(frozen=True)
class Instr:
    """One call: out ← function(*args, **kwargs).

    args, kwargs: each argument is a `Ref`; a constant, that is a number, a dtype, a string, None,
        an index, `T` or `STEP`; or a tuple, list, dict or slice of these. A `Ref` without axes is
        an array, too.
    out: the place of the result; for a call of several results a tuple, one `Ref` each. A `RESULT`
        buffer is bound to the function's return value (see `binds`). Any other buffer is written
        to: with the argument `out` for functions that have one (see `operations.takes_out`),
        otherwise by `np.copyto(out, result)`. `operations.copy` only writes. For
        elementwise functions the output may be an operand as well, with the same views.
    guard: an argument of the caller. The call is made only if it is an array, not None or the
        number 0.
    comment: the call in the notation of the textbook.

    The choice of the function matters to the last bit: `np.dot` and `np.matmul` may sum in
    different orders.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    out: Ref | tuple[Ref, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    guard: Ref | None = None
    comment: str = ""

    def reads(self) -> Iterator[Ref]:
        yield from leaves_of((self.args, self.kwargs), Ref)
        if self.guard is not None:
            yield self.guard

    def writes(self) -> tuple[Ref, ...]:
        return self.out if isinstance(self.out, tuple) else (self.out,)

    def binds(self) -> bool:
        """Whether the output is bound to the function's return value, so that no array is written
        to. This holds for a `RESULT` buffer as a whole, unless it is an operand, too."""
        outs, read = self.writes(), {ref.buffer for ref in self.reads()}
        return self.function is not copy and all(
            out.buffer.storage is Storage.RESULT and not out.views and out.buffer not in read
            for out in outs
        )


@dataclass(frozen=True)
class Sections(Phases[tuple[Instr, ...]]):
    """The instructions of one function.

    The constants are computed once in each call. The loop runs for each step, t = 0..T−1 in
    `forward` and t = T−1..0 in `backward`; under windows, at each step once for each live lane
    (see `Program.windows`).

    result: the places of the return values, None where there is none.
    """

    constants: tuple[Instr, ...] = ()
    before: tuple[Instr, ...] = ()
    loop: tuple[Instr, ...] = ()
    after: tuple[Instr, ...] = ()
    result: tuple[Ref | None, ...] = ()

    def all(self) -> Iterator[Instr]:
        return itertools.chain(*self)


@dataclass(frozen=True)
class Layout:
    """The place of a state in the array that the caller may give for it.

    The array of a buffer of storage STATE has T+1 entries of `shape`; columns start..stop of the
    last axis are the state (None: all of it). Where a state is a part of a joined row
    [h_{t−1}, x_t, 1], the array has the rows.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int | None
    stop: int | None


@dataclass(frozen=True)
class Program:
    """A compiled cell: buffers, and the two functions that work on them.

    title: one line for a reader. buffers: all buffers, each after the one whose memory it shares.
    setup: the instructions that run once, when the buffers have been made.
    forward: takes `initial` (h_0 of each part), `inputs` and `parameters`; returns the states of
        all steps (`ALL`, offset 1).
    backward: takes `ends`, `seeds`, `inputs` and `parameters`, and returns the gradients of the
        states that enter the first step, of the inputs, and of the parameters. It may be called any
        number of times after one `forward`, and must find what `forward` has left.
    states: the buffer of each part of the state. layouts: the layout of the array that the caller
        may give for each.
    ends: the gradient that enters behind the last step, an array or the number 0. seeds: ∂L/∂h_t of
        all steps from the caller, (T, *shape), or None where `output_grads` or `loss_alone` say
        that none is needed.
    links: the buffers that carry ∂L/∂h from a step to the one before; None for a part without one.
        Under windows each lane has its own.
    entry: the instructions that compute the gradients of the initial state. They run after
        everything else, and only if these gradients are requested. block_entry: the same for a
        block of a longer sequence, whose gradients become the `ends` of the block before.
    windows: whether `backward` runs by lanes. It then takes, instead of `ends`, the live lanes of
        each step, the last step first: (number, start, seeded, cut). At each step and for each
        lane: where `start`, the lane's links are set to zero; the loop's instructions are run,
        `seeded` references being 0 where the lane is not `seeded`; and where `cut`, (batch,), is
        not None, each link that has axes is multiplied by it, row by row. The instruction
        `operations.over_lanes` in `entry` is the sum of a link over the lanes that are live at the
        first step.
    outputs: the places of the parts of the state that no step reads. output_grads: the places of
        the parts whose gradient comes from the outputs, so that the caller may give None.
        differentiated: for each part of the state, whether it has a gradient.
    """

    title: str
    buffers: tuple[Buffer, ...]
    setup: tuple[Instr, ...]
    forward: Sections
    backward: Sections
    initial: tuple[Buffer, ...]
    inputs: tuple[Buffer, ...]
    parameters: tuple[Buffer, ...]
    ends: tuple[Buffer, ...]
    seeds: tuple[Buffer, ...]
    states: tuple[Buffer, ...]
    layouts: tuple[Layout, ...]
    links: tuple[Buffer | None, ...]
    entry: tuple[Instr, ...] = ()
    block_entry: tuple[Instr, ...] = ()
    windows: bool = False
    outputs: frozenset[int] = frozenset()
    output_grads: frozenset[int] = frozenset()
    differentiated: tuple[bool, ...] = ()

    def step_bytes(self) -> int:
        """The bytes of all buffers for one more step, including their views."""
        timed = [b for b in self.buffers if b.time is not None and b.storage in OWN]
        arrays = sum(int(np.prod(b.shape)) * b.dtype.itemsize for b in timed if b.root is b)
        return arrays + 150 * len(timed)


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
        return type(tree)([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, Mapping):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, leaf) for part in (tree.start, tree.stop, tree.step)))
    return leaf(tree)
