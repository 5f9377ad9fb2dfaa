"""Scheduling: each call gets its phase, before, in or after the loop, forward and backward.

One loop carries the state forward, another one carries its gradient back. A value that does not
depend on what its loop carries is computed for all steps before the loop. A value that the next
turn of the loop does not need is computed for all steps after it. All others are computed in the
loop, and so is a call that cannot be made for all steps at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from tinygrad_rnn.compiler.batching import batched
from tinygrad_rnn.compiler.ir import (
    Depends,
    Phase,
    Phases,
    Schedule,
    StepGraph,
    Value,
    ordered,
)
from tinygrad_rnn.compiler.passes.assemble import row_of_parts
from tinygrad_rnn.compiler.time_sums import joint_products, time_sum
from tinygrad_rnn.compiler.views import is_part, is_view, source

SMALL = 4096
"""Up to this many numbers a step, the operands of the backward loop are computed for all steps
before the loop. Beyond it they are computed in the loop, where they stay in the cache."""

CARRIED = Depends.STATE, Depends.GRADIENT
"""What each of the two loops carries."""


def schedule(graph: StepGraph) -> Schedule:
    """The schedule of a step graph. Dead values have no phase."""
    return Scheduler(graph).schedule()


class Scheduler:
    """What the values of a step graph are needed for. A way is 0 for the forward and 1 for the
    backward function.

    ahead: the values of the forward pass. needed: for each way, the values from which the next turn
    of the loop is computed.
    """

    def __init__(self, graph: StepGraph) -> None:
        self.graph, self.depends = graph, graph.depends
        self.ahead = set(ordered(graph.results))
        links = [*graph.state_gradients, *(fused.row for fused in graph.fused_adjoints.values())]
        self.needed = graph.recurring, ordered([v for v in links if v is not None])
        self.rows = tuple(
            value
            for value in graph.recurring
            if Depends.STATE in self.depends[value]
            and value not in graph.results
            and row_of_parts(value) is not None
        )
        joint = joint_products(self.rows, graph.order)
        self.sums = tuple(
            None if value is None else time_sum(value, self.varies, joint)
            for value in graph.parameter_gradients
        )

    def varies(self, value: Value) -> bool:
        """Whether a value differs from step to step."""
        return bool(self.depends[value])

    def call_of(self, value: Value) -> Value:
        """The call that makes a value, which may be a view or one of several results."""
        while self.depends[value] and (is_view(value) or is_part(value)):
            value = value.args[0]
        return value

    def way_of(self, call: Value) -> int:
        return 0 if call in self.ahead else 1

    def outputs(self) -> Iterator[tuple[Value, int, Phase]]:
        """The outputs of the two functions, each with its way and the phase in which it is read. In
        the loop it is read step by step, otherwise as the array of all steps."""
        graph = self.graph
        for state, result in zip(graph.states, graph.results, strict=True):
            yield result, 0, Phase.AFTER if state in graph.unread else Phase.LOOP
        for fused in graph.fused_adjoints.values():
            yield fused.row, 1, Phase.AFTER
            yield fused.matrix, 1, Phase.CONSTANT
        for value in filter(None, graph.state_gradients):
            yield value, 1, Phase.LOOP
        for value in (*graph.output_grads.values(), *filter(None, graph.input_gradients)):
            yield value, 1, Phase.AFTER
        for summed in filter(None, self.sums):
            yield from ((value, 1, phase) for value, phase in summed.reads())

    def calls(self) -> tuple[set[Value], set[Value]]:
        """The calls that the outputs need, by their way. A value that is the same in all steps is
        computed by each function that reads it, even where it is a view."""
        found: tuple[set[Value], set[Value]] = set(), set()
        waiting = [(value, way) for value, way, _ in self.outputs()]
        while waiting:
            value, way = waiting.pop()
            call = self.call_of(value)
            way = self.way_of(call) if self.varies(call) else way
            if call not in found[way]:
                found[way].add(call)
                waiting += [(operand, way) for operand in call.operands]
        return found

    def phases(self, way: int, calls: set[Value]) -> dict[Value, Phase]:
        """The phase of each call. The gradients that enter a step are calls of the loop."""
        here = [
            value
            for value in self.graph.order
            if value in calls
            and (value.function is not None or Depends.GRADIENT in self.depends[value])
        ]
        inside = {value for value in here if self.varies(value) and self.is_inside(value, way)}
        needed = set(ordered([*self.needed[way], *inside]))
        late: set[Value] = set()  # what a turn of the loop changes
        for value in self.graph.order:
            carried = CARRIED[way] in self.depends[value] or value in inside
            if carried or not late.isdisjoint(value.operands):
                late.add(value)

        def phase_of(value: Value) -> Phase:
            if not self.varies(value):
                return Phase.CONSTANT
            if value not in late:
                return Phase.BEFORE
            return Phase.LOOP if value in needed else Phase.AFTER

        return {value: phase_of(value) for value in here}

    def is_inside(self, value: Value, way: int) -> bool:
        """Whether a call has to be in the loop, whatever it depends on."""
        large = way == 1 and value.size > SMALL and value in self.needed[1]
        factor = self.depends[value] & ~Depends.INPUT == Depends.STATE
        return (large and factor) or batched(value, self.varies) is None

    def schedule(self) -> Schedule:
        phases = tuple(self.phases(way, calls) for way, calls in enumerate(self.calls()))
        saved = set(self.rows)
        read = [
            (operand, way, phase)
            for way in (0, 1)
            for value, phase in phases[way].items()
            for operand in value.operands
        ]
        for value, way, phase in (*read, *self.outputs()):
            base = source(value)
            call = self.call_of(base)
            made = self.way_of(call)
            if phases[made].get(call) is Phase.LOOP and (made, Phase.LOOP) != (way, phase):
                saved.add(base)
                phases[made][base] = Phase.LOOP  # one of several results has a place of its own
        rank = {value: n for n, value in enumerate(self.graph.order)}

        def in_order(way: int) -> Phases[tuple[Value, ...]]:
            # The gradients that enter a step come first, because the loop writes to the links.
            order = sorted(phases[way], key=lambda v: (v.function is not None, rank[v]))
            return Phases(*(tuple(v for v in order if phases[way][v] is p) for p in Phase))

        return Schedule(
            graph=self.graph,
            forward=in_order(0),
            backward=in_order(1),
            saved=frozenset(saved),
            rows=self.rows,
            sums=self.sums,
        )
