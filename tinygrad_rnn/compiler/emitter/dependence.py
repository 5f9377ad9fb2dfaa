"""What each value depends on, and so where it can be computed.

A value that depends on no state can be computed for all steps before the loop; one that feeds no
state's gradient can wait until after it; the rest is the loop.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from tinygrad_rnn.compiler.emitter.batch import batched, is_part, is_view
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.tracer import Value
from tinygrad_rnn.compiler.passes.assembly import assembled
from tinygrad_rnn.compiler.passes.rewrite import GROUPS, ordered, recurring, unread

AT_ONCE = 4096
"""Up to so many numbers a step, what the way back needs is computed for all steps before it; from
there on in the loop, where it stays in the cache."""


class Dependence:
    """The values of a trace in order, and for each the kinds of input on which it depends.

    depends: letters: "x" for the input, "h" for the state, "g" for the gradient of the state, "o"
    for that of an output, which is known before the loop. outputs: the parts of the state that no
    step reads. ahead: what is computed on the way forward; recurring: what the next state needs of
    it. looping: what feeds the gradient of a state.
    late: what is no call for all steps, or too much at once, and what hangs on that: it is made in
    the loop. piecewise: parts of assemblies; they are written in their place, so they are no views.
    reshaped: values whose numbers must lie one after another, for another shape to be a view.
    """

    def __init__(self, trace: Trace, windows: bool) -> None:
        self.trace, self.windows = trace, windows
        outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]
        carried = [carried.row for carried in trace.carried.values()]
        outputs += [v for row, matrix, *_ in trace.carried.values() for v in (row, matrix)]
        outputs += trace.added.values()
        self.order = ordered(outputs)
        self.rank = {v: n for n, v in enumerate(self.order)}
        self.outputs = unread(trace)
        self.ahead = self._with_parts(ordered(trace.results))
        self.recurring = self._with_parts(recurring(trace))
        fed = [*trace.state_gradients, *carried]
        self.looping = set(ordered([v for v in fed if v is not None]))
        self.depends = self._dependences()
        self.uses = Counter(v for value in self.order for v in value.operands)
        self.uses.update(outputs)
        self.needed_back = {v for w in self.order if w not in self.ahead for v in w.operands}
        for value in reversed(self.order):  # and what they look into
            if value in self.needed_back and is_view(value):
                self.needed_back.add(value.args[0])
        self.piecewise = {p for v in self.order if v.function is assembled for p in v.args[3]}
        self.late = self._late()
        # What has no form for all steps is made in the loop, with all that it is made of.
        inside = ordered([v for v in self.late if v in self.ahead and "h" in self.depends[v]])
        self.recurring = self._with_parts([*self.recurring, *inside])
        self.reshaped: set[Value] = set()
        for value in reversed(self.order):
            if is_view(value) and (value.function is np.reshape or value in self.reshaped):
                self.reshaped.add(value.args[0])

    def _with_parts(self, values: list[Value]) -> set[Value]:
        """Also the other results of calls that have several."""
        found = set(values)
        return found | {v for v in self.order if is_part(v) and v.args[0] in found}

    def _dependences(self) -> dict[Value, frozenset[str]]:
        depends: dict[Value, frozenset[str]] = {}
        for letter, group in (
            ("x", self.trace.inputs),
            ("h", self.trace.states),
            ("g", self.trace.adjoints),
            ("", self.trace.parameters),
        ):
            for value in group:
                if value is not None:
                    depends[value] = frozenset(letter)
        for state, adjoint in zip(self.trace.states, self.trace.adjoints, strict=True):
            # Under windows each lane has a gradient of its own, and the loop goes through them.
            if state in self.outputs and adjoint is not None and not self.windows:
                depends[adjoint] = frozenset("o")
        for value in self.order:
            if value not in depends:
                depends[value] = frozenset().union(*(depends[v] for v in value.operands))
        return depends

    def _late(self) -> set[Value]:
        late: set[Value] = set()
        for value in self.order:
            if value.function is None or not self.stacked(value) or "g" in self.depends[value]:
                continue
            ahead = value in self.ahead
            waits = ahead and "h" in self.depends[value] and value not in self.recurring
            hangs = not waits and any(  # what comes after the loop finds all that the loop has made
                v in late and (v in self.ahead) is ahead for v in value.operands
            )
            early = ahead or is_view(value) or self.depends[value] & {"h", "o"} != {"h"}
            at_once = value.function is assembled or batched(value, self.stacked, lambda v: "")
            if hangs or not at_once or not (early or np.size(value.sample) <= AT_ONCE):
                late.add(value)
        return late

    def known_before(self, value: Value) -> bool:
        """Whether the way forward has a value of all steps before its loop."""
        return "h" not in self.depends[value] and value not in self.late

    def stacked(self, value: Value) -> bool:
        return bool(self.depends[value])

    def outside(self, value: Value) -> bool:
        """Whether a value can be computed for all steps at once, outside of the loop."""
        if value.function is None or (value in self.late and not is_view(value)):
            return False
        if value.function is assembled:
            early = "g" not in self.depends[value]
            return value not in self.ahead and (early or value not in self.looping)
        if value in self.ahead:
            early = "h" not in self.depends[value]
            return early or is_view(value) or value not in self.recurring
        if "g" in self.depends[value]:
            # Under windows the array of all steps has the sum over the lanes, and not one of them.
            whole = is_view(value) and value not in self.piecewise and not self.windows
            return value not in self.looping or whole
        return True

    def comes_after(self, value: Value) -> bool:
        """Whether what is computed for all steps at once has to wait for its loop."""
        return ("h" if value in self.ahead else "g") in self.depends[value]

    def to_loop(self, value: Value) -> list[Value]:
        """Have all that a value needs on the way back in the loop; returns it."""
        inner = [] if value in self.ahead else ordered([value])
        self.looping.update(inner)
        return inner
