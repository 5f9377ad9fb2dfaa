"""Scheduling: each call gets its phase, before, in or after the loop, forward and backward.

The schedule is found from the end. Each output demands its operands, for all steps or in the loop.
Dead values are never demanded, so they are not computed. Some values are demanded for all steps and
have no call for all steps. Such a value is computed in the loop, with all its operands, and saved.
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_rnn.compiler.dependence import GRADIENT, OUTPUT, STATE, Dependence
from tinygrad_rnn.compiler.ir import Phase, Schedule, StepGraph, TimeSum, Value, Way
from tinygrad_rnn.compiler.operations import filled
from tinygrad_rnn.compiler.passes.fuse_products import row_of_parts
from tinygrad_rnn.compiler.passes.rewrite import ordered
from tinygrad_rnn.compiler.time_sums import joint_products, time_sum
from tinygrad_rnn.compiler.views import is_part, is_view


def schedule(graph: StepGraph) -> Schedule:
    """The schedule of a step graph."""
    known = Dependence(graph)
    while True:
        demand = Demand(known)
        before = len(known.looping)
        demand.all()
        if len(known.looping) == before:  # else some calls planned for after the loop are now in it
            return demand.schedule()


class Demand:
    """The values that are demanded, and their phases.

    phases: the phases of the computed values, in the forward and in the backward function. whole,
        inside: the values demanded already, for all steps or in the loop. waiting: the values still
        to be visited; a list, because a graph may be deep.
    """

    def __init__(self, known: Dependence) -> None:
        self.known, self.graph = known, known.graph
        self.phases: tuple[dict[Value, Phase], dict[Value, Phase]] = {}, {}
        self.saved: set[Value] = set()
        self.whole: set[Value] = set()
        self.inside: set[Value] = set()
        self.rows = tuple(
            value
            for value in known.order
            if value in known.ahead
            and not known.at_once(value)
            and known.varies(value)
            and value not in self.graph.results
            and row_of_parts(value) is not None
        )
        self.joint = joint_products(self.rows, known.order)
        self.sums: list[TimeSum | None] = []
        self.waiting: list[tuple[Callable[[Value, int], None], Value, int]] = []

    def all(self) -> None:
        """Demand all outputs."""
        graph, known = self.graph, self.known
        for row in self.rows:
            self.for_all_steps(row, 0)
        for state, result in zip(graph.states, graph.results, strict=True):
            if self.is_given_out_at_once(state, result):
                self.for_all_steps(result, 0)
            else:
                self.in_loop(result, 0)
        for fused in graph.fused_adjoints.values():
            self.for_all_steps(fused.row, 1)
            self.constant(fused.matrix, 1)
        for value in graph.output_grads.values():
            self.for_all_steps(value, 1)
        for gradient in graph.state_gradients:
            if gradient is not None:
                self.in_loop(gradient, 1)
        for gradient in graph.input_gradients:
            if gradient is not None:
                self.for_all_steps(gradient, 1)
        for gradient in graph.parameter_gradients:
            found = None if gradient is None else time_sum(gradient, known, self.joint)
            self.sums.append(found)
            if found is not None:
                self.for_sum(found)
        while self.waiting:
            look, value, way = self.waiting.pop()
            look(value, way)

    def for_all_steps(self, value: Value, way: int) -> None:
        """Demand the array of a value for all steps. A call for all steps makes it, if there is
        one."""
        self.waiting.append((self._for_all_steps, value, way))

    def in_loop(self, value: Value, way: int) -> None:
        """Demand a value in a loop, for one step."""
        self.waiting.append((self._in_loop, value, way))

    def constant(self, value: Value, way: int) -> None:
        """Demand a value that depends on parameters alone, in one of the functions."""
        self.waiting.append((self._constant, value, way))

    def is_given_out_at_once(self, state: Value, result: Value) -> bool:
        return state in self.known.unread and (
            self.known.at_once(result) or not self.known.varies(result)
        )

    def for_sum(self, found: TimeSum) -> None:
        for value in found.values:
            self.for_all_steps(value, 1)
        for term in found.terms:
            self.for_sum(term)
        if found.kind == "times":
            self.constant(found.value, 1)
        if found.kind == "scatter":
            for operand in found.value.operands:
                if not self.known.varies(operand) and operand.function is not filled:
                    self.constant(operand, 1)
        if found.kind == "loop":
            self.pull_into_loop(found.value)
            self.in_loop(found.value, 1)

    def way(self, value: Value) -> int:
        """0 for a value of the forward pass, 1 for one of the backward pass."""
        return 0 if value in self.known.ahead else 1

    def _constant(self, value: Value, way: int) -> None:
        if value.function is not None and value not in self.phases[way]:
            for operand in value.operands:
                self.constant(operand, way)
            self.phases[way][value] = Phase.CONSTANT

    def _for_all_steps(self, value: Value, way: int) -> None:
        if not self.known.varies(value):
            self.constant(value, way)
            return
        if value in self.whole:
            return
        self.whole.add(value)
        if value.function is None:
            if GRADIENT in self.known.depends[value]:
                self.store(value)
        elif is_view(value) or (is_part(value) and self.is_at_once(value.args[0])):
            self.for_all_steps(value.args[0], way)
        elif is_part(value):
            self.saved.add(value)
            self.pull_into_loop(value)
            self.phases[self.way(value)][value] = Phase.LOOP
            self.in_loop(value.args[0], self.way(value))
        elif self.is_at_once(value):
            after = self.known.comes_after(value)
            self.phases[self.way(value)][value] = Phase.AFTER if after else Phase.BEFORE
            for operand in value.operands:
                self.for_all_steps(operand, self.way(value))
        else:
            self.store(value)

    def is_at_once(self, value: Value) -> bool:
        known = self.known
        return known.at_once(value) and known.has_call_at_once(value)

    def store(self, value: Value) -> None:
        """Compute the value in the loop, and keep it for every step."""
        self.pull_into_loop(value)
        self.saved.add(value)
        self.in_loop(value, self.way(value))

    def pull_into_loop(self, value: Value) -> None:
        """Demand everything that a value needs in the loop, including values planned for after
        it."""
        if value not in self.known.ahead:
            self.known.looping.update(ordered([value]))

    def _in_loop(self, value: Value, way: int) -> None:
        if not self.known.varies(value):
            self.constant(value, way)
            return
        if value.function is None:
            if GRADIENT in self.known.depends[value]:
                self.phases[1][value] = Phase.LOOP
            elif OUTPUT in self.known.depends[value]:
                self.for_all_steps(value, way)
            return
        if is_view(value):
            self.in_loop(value.args[0], way)
            return
        if is_part(value):
            call = value.args[0]
            if self.way(value) == way and not self.is_at_once(call):
                self.in_loop(call, way)
            else:
                self.for_all_steps(value, way)
            return
        if self.way(value) != way or self.known.at_once(value):
            self.for_all_steps(value, way)
            return
        if value in self.inside:
            return
        self.inside.add(value)
        self.phases[way][value] = Phase.LOOP
        if value in self.rows:
            self.parts_of_row(value)
            return
        for operand in value.operands:
            self.in_loop(operand, way)

    def parts_of_row(self, row: Value) -> None:
        """Demand the parts of a row, which are written into it: before the loop, if they are known
        there."""
        for part in row_of_parts(row) or ():
            if not self.known.varies(part):
                self.constant(part, 0)
            elif STATE not in self.known.depends[part] and part not in self.known.late:
                self.for_all_steps(part, 0)
            else:
                self.in_loop(part, 0)

    def schedule(self) -> Schedule:
        known = self.known

        def sorted_way(phases: dict[Value, Phase]) -> Way:
            # The gradients that enter a step come first, because the loop writes to the links.
            order = sorted(phases, key=lambda v: (v.function is not None, known.rank[v]))
            found = {phase: tuple(v for v in order if phases[v] is phase) for phase in Phase}
            return Way(*(found[phase] for phase in Phase))

        return Schedule(
            graph=self.graph,
            order=tuple(known.order),
            depends=known.depends,
            forward=sorted_way(self.phases[0]),
            backward=sorted_way(self.phases[1]),
            saved=frozenset(self.saved),
            rows=self.rows,
            unread=frozenset(known.unread),
            sums=tuple(self.sums),
        )
