"""A program: its buffers, its instructions, and the two functions that they make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir.arrays import OWN, Buffer, Ref, Storage
from tinygrad_rnn.compiler.ir.graph import leaves_of, mapped
from tinygrad_rnn.compiler.ir.schedule import Phases
from tinygrad_rnn.compiler.operations import copy


@dataclass(frozen=True)
class Instr:
    """One call: out ← function(*args, **kwargs).

    args, kwargs: each argument is a `Ref`; a constant, that is a number, a dtype, a string, None,
        an index, or something `Known` later; or a tuple, list, dict or slice of these. A `Ref`
        without axes is an array, too.
    out: the place of the result; for a call of several results a tuple, one `Ref` each. A `RESULT`
        buffer is bound to the function's return value (see `binds`). Any other buffer is written
        to: with the argument `out` for functions that have one (see `operations.takes_out`),
        otherwise by `np.copyto(out, result)`. `operations.copy` only writes. For
        elementwise functions the output may be an operand as well, with the same views.
    comment: the call in the notation of the textbook.

    The choice of the function matters to the last bit: `np.dot` and `np.matmul` may sum in
    different orders.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    out: Ref | tuple[Ref, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    comment: str = ""

    def reads(self) -> list[Ref]:
        return leaves_of((self.args, self.kwargs), Ref)

    def writes(self) -> tuple[Ref, ...]:
        return self.out if isinstance(self.out, tuple) else (self.out,)

    def binds(self) -> bool:
        """Whether the output is bound to the function's return value, so that no array is written
        to."""
        return all(out.buffer.storage is Storage.RESULT for out in self.writes())

    def is_needless(self) -> bool:
        """Whether the call copies an array to its own place."""
        if self.function is not copy or not isinstance(self.args[0], Ref):
            return False
        (given,), (out,) = self.args, self.writes()
        return given.buffer.root is out.buffer.root and bool(given.at == out.at)


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
class Program:
    """A compiled cell: buffers, and the two functions that work on them.

    title: one line for a reader. buffers: all buffers, each after the one whose memory it shares.
    setup: the instructions that run once, when the buffers have been made.
    forward: takes `initial` (h_0 of each part), `inputs` and `parameters`; returns the states of
        all steps (`ALL`, offset 1).
    backward: takes `ends`, `seeds`, `inputs` and `parameters`, and returns the gradients of the
        states that enter the first step, of the inputs, and of the parameters. It may be called any
        number of times after one `forward`, and must find what `forward` has left. A last argument,
        `CONTINUED`, is true for a block of a longer sequence that is not its first one. Then the
        gradients of the states become the `ends` of the block before.
    ends: the gradient that enters behind the last step, an array or the number 0. seeds: ∂L/∂h_t of
        all steps from the caller, (T, *shape), or None where `output_grads` or `loss_alone` say
        that none is needed.
    links: the buffers that carry ∂L/∂h from a step to the one before; None for a part without one.
        Under windows each lane has its own.
    windows: whether `backward` runs by lanes. It then takes, instead of `ends`, the live lanes of
        each step, the last step first: (number, start, seeded, cut). At each step and for each
        lane: where `start`, the lane's links are set to zero; the loop's instructions are run,
        `seeded` references being 0 where the lane is not `seeded`; and where `cut`, (batch,), is
        not None, each link that has axes is multiplied by it, row by row. The instruction
        `operations.over_lanes` is the sum of a link over the lanes that are live at the first step.
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
    links: tuple[Buffer | None, ...]
    windows: bool = False
    outputs: frozenset[int] = frozenset()
    output_grads: frozenset[int] = frozenset()
    differentiated: tuple[bool, ...] = ()

    @property
    def states(self) -> tuple[Ref, ...]:
        """The states of all steps, h_t of each part. A state may be a part of joined rows
        [h_{t−1}, x_t, 1]: then its buffer has the rows."""
        return tuple(ref for ref in self.forward.result if ref is not None)

    def rewritten(
        self,
        buffers: tuple[Buffer, ...],
        of_ref: Callable[[Ref], Ref],
        of_instr: Callable[[Instr], Instr] = lambda instr: instr,
    ) -> Program:
        """The program on other buffers, without the copies of arrays to their own places."""

        def of_leaf(leaf: Any) -> Any:
            return of_ref(leaf) if isinstance(leaf, Ref) else leaf

        def of_instrs(instrs: tuple[Instr, ...]) -> tuple[Instr, ...]:
            found = []
            for instr in instrs:
                args, kwargs, out = mapped((instr.args, dict(instr.kwargs), instr.out), of_leaf)
                made = of_instr(replace(instr, args=args, kwargs=kwargs, out=out))
                if not made.is_needless():
                    found.append(made)
            return tuple(found)

        def of_sections(sections: Sections) -> Sections:
            constants, before, loop, after = map(of_instrs, sections)
            result = mapped(sections.result, of_leaf)
            return Sections(constants, before, loop, after, result)

        return replace(
            self,
            buffers=buffers,
            setup=of_instrs(self.setup),
            forward=of_sections(self.forward),
            backward=of_sections(self.backward),
            links=tuple(None if link is None else of_ref(Ref(link)).buffer for link in self.links),
        )

    def step_bytes(self) -> int:
        """The bytes of all buffers for one more step, including their views."""
        timed = [b for b in self.buffers if b.time is not None and b.storage in OWN]
        arrays = sum(int(np.prod(b.shape)) * b.dtype.itemsize for b in timed if b.root is b)
        return arrays + 150 * len(timed)
