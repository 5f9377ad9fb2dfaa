"""The records that the stages of the compiler hand on.

    trace → StepGraph → passes → Schedule → allocate → Program → back end

A `StepGraph` is one step of a cell as a graph of NumPy calls, forward and backward. A `Schedule`
says of each call whether it is made once before the loop over the steps, in it, or once after it. A
`Program` has buffers and instructions; a back end prints or runs it, and decides nothing.

All records are frozen. A pass makes new ones.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.operations import OUT_ONLY

Type = tuple[tuple[int, ...], np.dtype[Any]]
"""The shape and the dtype of an array."""


# One step ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Value:
    """One array of one step, and the call that makes it.

    shape, dtype: of the array, without any axis of time.
    name: what the user's code calls it, or "".
    function, args, kwargs: the call. Among the arguments, also inside lists, tuples, dicts and
        slices, stand other values, and anything else is a constant. The function is None for what
        is given: an input, a state, a parameter, or the gradient of a state.
    results: the types of all results, for a call that has several; its parts are then values whose
        function is `operator.getitem` of it and a number. None for one result.

    Values are compared by identity. The call on equal arguments is the same value only after the
    pass `cse`.
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
        """The bytes of the array; of all results, if there are several."""
        types = self.results or ((self.shape, self.dtype),)
        return sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in types)

    def __repr__(self) -> str:
        made = "given" if self.function is None else getattr(self.function, "__name__", "?")
        return f"<{self.name or 'value'} {self.shape} {self.dtype}: {made}>"


@dataclass(frozen=True)
class FusedAdjoint:
    """A part of ∂L/∂h_{t−1} that is a row times a matrix, left to the step before.

    row: δ_t, (1, n) or (n,). matrix: with `appended` below one another, so that
        ∂L/∂h_{t−1} = [δ_t, appended_{t−1}] @ matrix + the rest.
    appended: what stands beside the row, of the step before: what the loss adds to ∂L/∂h, with the
        identity as its matrix; or, where that is a product itself, the row of that.
    is_complete: whether nothing is left besides: there is then no link of that state, and δ of the
        first step of a block is what goes on to the block before it.
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
    adjoints: ∂L/∂h_t of each part, with what all later steps add; None for a part without one.
    state_gradients: ∂L/∂h_{t−1}; input_gradients: ∂L/∂x_t; parameter_gradients: what this step adds
        to ∂L/∂W. None where there is none, or where none is asked for.
    output_grads: by the place of a state, what the step's own outputs add to ∂L/∂h_t. The adjoint
        of that state then is what the caller gives and that together. See `passes/split_outputs`.
    fused_adjoints: by the place of a state, see `FusedAdjoint`. state_gradients has the rest.
    loss_alone: whether the caller gives a gradient of the last part of the state only.
    windows: whether the truncation is one by windows: each loss then has a lane of adjoints.
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
        """The outputs: results, gradients, and what is set apart."""
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
    """What a value differs with from step to step; nothing for what parameters alone determine."""

    NOTHING = 0
    INPUT = enum.auto()
    STATE = enum.auto()
    OUTPUT_GRADIENT = enum.auto()  # of a part of the state that no step reads: known beforehand
    GRADIENT = enum.auto()


class Phase(enum.Enum):
    """When a value is computed: once in a call of the function, or for all steps at once before the
    loop, or in the loop, or for all steps at once after it."""

    CONSTANT = "constants"
    BEFORE = "before"
    LOOP = "loop"
    AFTER = "after"


@dataclass(frozen=True)
class TimeSum:
    """Σ_t of a value: how the gradient of a parameter is summed over the steps.

    kind: which of the ways of `time_sums.py`; "loop" means that it is added up in the loop.
    value: the value whose sum it is. terms: sums that it is made of. values: those that are read
    for all steps.
    """

    kind: str
    value: Value
    terms: tuple[TimeSum, ...] = ()
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Way:
    """The calls of one of the two functions, each phase in order."""

    constants: tuple[Value, ...]
    before: tuple[Value, ...]
    loop: tuple[Value, ...]
    after: tuple[Value, ...]

    def of(self, phase: Phase) -> tuple[Value, ...]:
        return getattr(self, phase.value)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Schedule:
    """When each value of a step graph is computed.

    order: all values, each after its operands. depends: what each of them differs with.
    forward, backward: the calls of the two functions. A constant may be in both, any other value is
        in one; views and given values are in none, for nothing is computed.
    saved: values of a loop that are kept for all steps, because they are read outside of it.
    rows: concatenations in the forward loop whose parts are written in their place.
    unread: the parts of the state that no step reads: outputs.
    sums: for each parameter how its gradient is summed; None where there is none.
    """

    graph: StepGraph
    order: tuple[Value, ...]
    depends: Mapping[Value, Depends]
    forward: Way
    backward: Way
    saved: frozenset[Value]
    rows: tuple[Value, ...]
    unread: frozenset[Value]
    sums: tuple[TimeSum | None, ...]


# Arrays and instructions ------------------------------------------------------------------------


class Storage(enum.Enum):
    """Who makes an array, and how long its numbers have to stay.

    GIVEN: the caller's: never written to; of any strides, maybe read-only.
    STATE: the states of all steps. The caller may give an array for it, and looks into it.
    KEPT: made once for a block of steps; what `forward` leaves there, `backward` reads; or it has
        a `fill` or a set-up that has to stay.
    SCRATCH: made once; dead after the call that wrote it, so that all blocks of steps
        can use the same one.
    RETURNED: made anew in each call of the function, for the caller keeps it.
    RESULT: no array to write to: the name of what an instruction returns, such as the gradient of
        a parameter or the result of a function without `out`.
    LANE: one for each lane of adjoints, under windows.
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
    """An array of the program. Contiguous in C order, unless it is given by the caller.

    shape: of one step. time: None for an array without an axis of time; otherwise the array has a
        first axis of length T + time, T being the number of steps, known when the buffers are made.
        So `time=0` has the entries 0..T−1, and `time=1`, such as the array of the states, has one
        more: entry t is what enters step t and entry t+1 what leaves it.
    fill: what stands in it when it is made: a number, or an array of its shape (of one step); None
        if nothing. That part of it is never overwritten.
    shares: another buffer of the same shape, dtype and time whose memory this is a name for.
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
        """The buffer that has the memory."""
        return self if self.shares is None else self.shares.root

    def __repr__(self) -> str:
        steps = {None: "", 0: "T, ", 1: "T+1, "}[self.time]
        shape = f"({steps}{', '.join(map(str, self.shape))})"
        return f"{self.name}: {self.dtype} {shape} {self.storage.name.lower()}"


class Steps:
    """The number of steps, T, where it stands among the arguments of an instruction."""

    def __repr__(self) -> str:
        return "T"


T = Steps()


class Step:
    """The step at which the loop is, t, where it stands among the arguments of an instruction."""

    def __repr__(self) -> str:
        return "t"


STEP = Step()


@dataclass(frozen=True)
class View:
    """Another way to look at an array, without copying a number.

    kind: "index", with a basic index (integers, slices of constants, None, Ellipsis); "transpose",
        with the order of all axes; "reshape" and "broadcast", with a shape that may have `T` as its
        first entry, and for "reshape" may be (−1, n): rows.

    A view of a `GIVEN` array may be a copy, where its strides allow no other way. For all others it
    is a view of a contiguous array, or of a view of one.

    before: the shape that is broadcast, of one step.
    """

    kind: str
    argument: tuple[Any, ...]
    before: tuple[int, ...] = ()

    def __hash__(self) -> int:
        return hash((self.kind, repr(self.argument)))  # before Python 3.12 a slice has none

    def of(self, array: Any, steps: int = 0) -> Any:
        """The view of an array. steps: the number of steps, for `T`."""
        if self.kind == "index":
            return array[self.argument]
        if self.kind == "transpose":
            return array.transpose(self.argument)
        shape = tuple([steps if n is T else n for n in self.argument])
        return array.reshape(shape) if self.kind == "reshape" else np.broadcast_to(array, shape)


class When(enum.Enum):
    """Which entries along the axis of time a reference means.

    ALWAYS: the buffer has no axis of time. ALL: all T steps as one array, with that axis. STEP: the
    entry of the step at which the loop is. FIRST: the entry of step 0. LAST: that of step T−1.
    """

    ALWAYS = enum.auto()
    ALL = enum.auto()
    STEP = enum.auto()
    FIRST = enum.auto()
    LAST = enum.auto()


@dataclass(frozen=True)
class Ref:
    """A place that an instruction reads or writes: a buffer, an entry of it, and how to look at it.

    offset: added to the step. 0 or, for buffers of T+1 entries, 1: h_{t−1} is (h, offset 0) and h_t
        is (h, offset 1). With `ALL` it is entries offset..offset+T−1; with `FIRST` the entry
        `offset`; with `LAST` the entry offset+T−1.
    views: applied one after the other; with `ALL` to the array with the axis of time, otherwise to
        the array of one step.
    seeded: under windows: in the loop of a lane to which the loss at this step does not belong, the
        number 0 is meant instead.
    name: what to call it, for a reader.
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
        """Shape, strides and offset of what is meant, in numbers and not in bytes, from the begin
        of the entry (of the whole buffer for `ALL`). Not for `GIVEN` buffers, whose strides only
        the caller knows."""
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

    args, kwargs: what stands there is a `Ref`, or a constant: a number, a dtype, a string, None, an
        index, `T`, `STEP`; or a tuple, list, dict or slice of such. A `Ref` without axes is an
        array, too.
    out: where the result goes; for a call of several results a tuple, one `Ref` each.
        A `RESULT` buffer is what the function returns (see `binds`). Any other one is written to:
        with the argument `out` for functions that have one (see `operations.takes_out`), otherwise
        by `np.copyto(out, result)`. `operations.copy` and `add_at` only write.
        The output may be an operand as well: only for elementwise functions, with the same views.
    guard: the call is only made if the caller gives this array, and not None or the number 0.
    comment: what it is in the notation of the textbook.

    Which function it is matters to the last bit: `np.dot` and `np.matmul` may add up in another
    order.
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
        """Whether the result is what the function returns, and no array is written to: for a
        `RESULT` buffer as a whole, unless it is an operand, too."""
        outs, read = self.writes(), {ref.buffer for ref in self.reads()}
        return self.function not in OUT_ONLY and all(
            out.buffer.storage is Storage.RESULT and not out.views and out.buffer not in read
            for out in outs
        )


@dataclass(frozen=True)
class Sections:
    """The instructions of one function, in the order in which they are run.

    constants: once in each call: what parameters alone determine. before: for all steps at once.
    loop: for each step: of `forward` t = 0..T−1, of `backward` t = T−1..0. after: for all steps at
    once. result: what the function returns, one place for each, None where there is nothing.

    Under windows the loop of `backward` is run, at each step, once for each lane that is alive; see
    `Program.windows` for what else happens there.
    """

    constants: tuple[Instr, ...] = ()
    before: tuple[Instr, ...] = ()
    loop: tuple[Instr, ...] = ()
    after: tuple[Instr, ...] = ()
    result: tuple[Ref | None, ...] = ()

    def all(self) -> Iterator[Instr]:
        for section in (self.constants, self.before, self.loop, self.after):
            yield from section


@dataclass(frozen=True)
class Layout:
    """Where the caller finds a state in the array that he may give for it.

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

    title: one line for a reader. buffers: all of them, each after the one that it shares.
    setup: instructions that are run once, when the buffers have been made.
    forward: takes `initial` (h_0 of each part), `inputs` and `parameters`; returns the states of
        all steps (`ALL`, offset 1).
    backward: takes `ends`, `seeds`, `inputs` and `parameters`, and returns the gradients of the
        states that enter the first step, of the inputs, and of the parameters. It may be called any
        number of times after one `forward`, and must then find what that has left.
    states: the buffer of each part of the state, and layouts: how it is given.
    ends: the gradient that comes from behind the last step (an array, or the number 0);
        seeds: ∂L/∂h_t of all steps, as the caller gives it: (T, *shape), or None where
        `output_grads` or `loss_alone` say that none is needed.
    links: the buffers along which ∂L/∂h goes from a step to the one before; None for a part that
        has none. Under windows each lane has its own.
    entry: instructions that compute the gradients of the initial state, after everything else, only
        if they are asked for; block_entry: the same where the steps are a block of a longer
        sequence, and the gradients go on as the `ends` of the block before.
    windows: whether `backward` goes by lanes. It then takes, instead of `ends`, the lanes alive at
        each step, the last step first: (number, start, seeded, cut). At each step and for each
        lane: where `start`, the lane's links are set to zero; the loop's instructions are run,
        `seeded` references being 0 where the lane is not `seeded`; and where `cut`, (batch,), is
        not None, each link that has axes is multiplied by it, row by row. The instruction
        `operations.over_lanes` in `entry` is the sum of a link over the lanes that are alive at
        the first step.
    outputs: the places of the parts of the state that no step reads. output_grads: the places of
        those whose gradient the outputs give, so that the caller may give None. differentiated: for
        each part of the state whether it has a gradient.
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
        """The bytes of all buffers for one more step, views of it counted in."""
        timed = [b for b in self.buffers if b.time is not None and b.storage in OWN]
        arrays = sum(int(np.prod(b.shape)) * b.dtype.itemsize for b in timed if b.root is b)
        return arrays + 150 * len(timed)


def leaves_of(tree: Any, kind: type) -> Iterator[Any]:
    """All things of one kind in a nesting of lists, tuples, dicts and slices."""
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
    """The same nesting with `leaf` applied to all that is no list, tuple, dict or slice."""
    if isinstance(tree, tuple | list):
        return type(tree)([mapped(branch, leaf) for branch in tree])
    if isinstance(tree, Mapping):
        return {key: mapped(branch, leaf) for key, branch in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(part, leaf) for part in (tree.start, tree.stop, tree.step)))
    return leaf(tree)
