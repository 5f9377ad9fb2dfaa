"""A schedule: when each call is made, and how often."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tinygrad_rnn.compiler.ir.arrays import View
from tinygrad_rnn.compiler.ir.graph import StepGraph, Value, leaves_of
from tinygrad_rnn.compiler.operations import filled

P = TypeVar("P")


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

    views: the views of its array. spread: for a constant array that is made for all steps, such as
        ones, its shape, with `T` as the first entry.
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

    def reads(self) -> Iterator[tuple[Value, Phase]]:
        """All values that the call and the calls of its operands read, each with the phase.
        Constant arrays are made beforehand."""
        if self.function is None:
            yield self.value, Phase.LOOP
        for operand in leaves_of((self.args, self.kwargs), Operand):
            if isinstance(operand.value, AtOnce):
                yield from operand.value.reads()
            elif operand.value.function is not filled:
                yield operand.value, Phase.AFTER


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

    forward, backward: the calls of the two functions. A constant may be in both, any other value is
        in one. Views and given values are in neither, because they need no computation.
    saved: the values of a loop that are kept for all steps, because they are read outside of the
        loop.
    rows: the concatenations in the forward loop whose parts are written in their place.
    sums: for each parameter the sum of its gradient over the steps; None where there is none.
    """

    graph: StepGraph
    forward: Phases[tuple[Value, ...]]
    backward: Phases[tuple[Value, ...]]
    saved: frozenset[Value]
    rows: tuple[Value, ...]
    sums: tuple[AtOnce | None, ...]
