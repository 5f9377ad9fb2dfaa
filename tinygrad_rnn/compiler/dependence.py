"""Dependence analysis: what each value of a step graph depends on, and so its possible phase.

A value that depends on no state can be computed for all steps before the loop. A value that feeds
no state's gradient can wait until after the loop. All other values are computed in the loop.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.batching import batched
from tinygrad_rnn.compiler.ir import Depends, StepGraph, Value
from tinygrad_rnn.compiler.operations import assembled
from tinygrad_rnn.compiler.passes.rewrite import ordered, recurring, unread, uses_of
from tinygrad_rnn.compiler.views import is_part, is_view

SMALL = 4096
"""Up to this many numbers a step, the operands of the backward loop are computed for all steps
before the loop. Beyond it they are computed in the loop, where they stay in the cache."""

STATE, GRADIENT, OUTPUT = Depends.STATE, Depends.GRADIENT, Depends.OUTPUT_GRADIENT


class Dependence:
    """The values of a step graph in order, with the causes of each value's change from step to
    step.

    depends: the flags of each value.
    unread: the parts of the state that no step reads.
    ahead: the values of the forward pass.
    recurring: those of them that the next state needs.
    looping: the values that feed the gradient of a state, and the others that have to be in the
        backward loop with them.
    late: the values without a call for all steps, those too large for one, and the values that
        depend on these. They are computed in the loop.
    """

    def __init__(self, graph: StepGraph) -> None:
        self.graph, self.windows = graph, graph.windows
        self.order = ordered(graph.outputs())
        self.rank = {v: n for n, v in enumerate(self.order)}
        self.unread = unread(graph)
        self.ahead = self._with_parts(ordered(graph.results))
        self.recurring = self._with_parts(recurring(graph))
        fed = [*graph.state_gradients, *(fused.row for fused in graph.fused_adjoints.values())]
        self.looping = set(ordered([v for v in fed if v is not None]))
        self.depends = self._dependences()
        self.uses = uses_of(graph)
        self.late = self._late()
        # A value without a call for all steps is computed in the loop, with all its operands.
        inside = ordered([v for v in self.late if v in self.ahead and STATE in self.depends[v]])
        self.recurring = self._with_parts([*self.recurring, *inside])

    def _with_parts(self, values: list[Value]) -> set[Value]:
        """The values, and the other results of calls that have several."""
        found = set(values)
        return found | {v for v in self.order if is_part(v) and v.args[0] in found}

    def _dependences(self) -> dict[Value, Depends]:
        graph, depends = self.graph, dict[Value, Depends]()
        for flag, group in (
            (Depends.INPUT, graph.inputs),
            (STATE, graph.states),
            (GRADIENT, graph.adjoints),
            (Depends.NOTHING, graph.parameters),
        ):
            depends.update(dict.fromkeys([v for v in group if v is not None], flag))
        for state, adjoint in zip(graph.states, graph.adjoints, strict=True):
            # Under windows each lane has a gradient of its own, and the loop goes through the
            # lanes.
            if state in self.unread and adjoint is not None and not self.windows:
                depends[adjoint] = OUTPUT
        for value in self.order:
            if value not in depends:
                depends[value] = Depends.NOTHING
                for operand in value.operands:
                    depends[value] |= depends[operand]
        return depends

    def varies(self, value: Value) -> bool:
        """Whether a value differs from step to step."""
        return bool(self.depends[value])

    def has_call_at_once(self, value: Value) -> bool:
        """Whether one call for all steps can replace the call of the value."""
        if is_part(value):
            return self.has_call_at_once(value.args[0])
        known = value.function is assembled or batched(value, self.varies) is not None
        return known or is_view(value)

    def _late(self) -> set[Value]:
        late: set[Value] = set()
        for value in self.order:
            depends = self.depends[value]
            if value.function is None or not depends or GRADIENT in depends:
                continue
            ahead = value in self.ahead
            waits = ahead and STATE in depends and value not in self.recurring
            hangs = not waits and any(  # what comes after the loop finds all that the loop has made
                v in late and (v in self.ahead) is ahead for v in value.operands
            )
            early = ahead or is_view(value) or STATE not in depends or OUTPUT in depends
            at_once = self.has_call_at_once(value)
            if hangs or not at_once or not (early or value.size <= SMALL):
                late.add(value)
        return late

    def at_once(self, value: Value) -> bool:
        """Whether a value can be computed for all steps at once, outside of the loop."""
        depends = self.depends[value]
        if value.function is None or (value in self.late and not is_view(value)):
            return False
        if value in self.ahead:
            return STATE not in depends or is_view(value) or value not in self.recurring
        if GRADIENT in depends:
            # Under windows the array of all steps has the sum over the lanes, not the value of one
            # lane.
            whole = is_view(value) and not self.windows
            return value not in self.looping or whole
        return True

    def comes_after(self, value: Value) -> bool:
        """Whether a value that is computed for all steps at once has to wait for its loop."""
        return (STATE if value in self.ahead else GRADIENT) in self.depends[value]
