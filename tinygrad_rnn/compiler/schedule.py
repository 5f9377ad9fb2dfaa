"""Scheduling: each call gets its phase, before, in or after the loop, forward and backward.

The schedule is found from the end. Each output demands its operands, for all steps or in the loop.
Dead values are never demanded, so they are not computed. Some values are demanded for all steps and
have no call for all steps. Such a value is computed in the loop, with all its operands, and saved.
"""

from __future__ import annotations

from tinygrad_rnn.compiler.dependence import GRADIENT, STATE, Dependence
from tinygrad_rnn.compiler.ir import AtOnce, Phase, Phases, Schedule, StepGraph, Value
from tinygrad_rnn.compiler.passes.assemble import row_of_parts
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

    phases: the phases of the computed values, in the forward and in the backward function. saved:
        the values of a loop that are kept for all steps. waiting: the demands still to be visited;
        a list, because a graph may be deep. A demand is a value, the function that demands it (0
        forward, 1 backward), and whether it is demanded for all steps. seen: the demands visited.
    """

    def __init__(self, known: Dependence) -> None:
        self.known, self.graph = known, known.graph
        self.phases: tuple[dict[Value, Phase], dict[Value, Phase]] = {}, {}
        self.saved: set[Value] = set()
        self.rows = tuple(
            value
            for value in known.order
            if value in known.ahead
            and not known.at_once(value)
            and known.varies(value)
            and value not in self.graph.results
            and row_of_parts(value) is not None
        )
        self.sums: list[AtOnce | None] = []
        self.seen: set[tuple[Value, int, bool]] = set()
        self.waiting: list[tuple[Value, int, bool]] = []

    def all(self) -> None:
        """Demand all outputs."""
        graph, known = self.graph, self.known
        for row in self.rows:
            self.for_all_steps(row, 0)
        for state, result in zip(graph.states, graph.results, strict=True):
            at_once = known.at_once(result) or not known.varies(result)
            self.demand(result, 0, state in known.unread and at_once)
        for fused in graph.fused_adjoints.values():
            self.for_all_steps(fused.row, 1)
            self.in_loop(fused.matrix, 1)
        for value in (*graph.output_grads.values(), *filter(None, graph.input_gradients)):
            self.for_all_steps(value, 1)
        for gradient in filter(None, graph.state_gradients):
            self.in_loop(gradient, 1)
        joint = joint_products(self.rows, known.order)
        for summed in graph.parameter_gradients:
            found = None if summed is None else time_sum(summed, known, joint)
            self.sums.append(found)
            if found is not None and found.function is None:
                self.pull_into_loop(found.value)
                self.in_loop(found.value, 1)
            elif found is not None:
                for value in found.reads():
                    self.for_all_steps(value, 1)
        while self.waiting:
            demand = self.waiting.pop()
            if demand not in self.seen:
                self.seen.add(demand)
                self.visit(*demand)

    def demand(self, value: Value, way: int, whole: bool) -> None:
        self.waiting.append((value, way, whole))

    def for_all_steps(self, value: Value, way: int) -> None:
        """Demand the array of a value for all steps."""
        self.demand(value, way, True)

    def in_loop(self, value: Value, way: int) -> None:
        """Demand a value in a loop, for one step."""
        self.demand(value, way, False)

    def visit(self, value: Value, way: int, whole: bool) -> None:
        """Give a demanded value its phase, and demand its operands."""
        known, depends, made = self.known, self.known.depends[value], self.way(value)
        if not depends:  # on parameters alone: the same in all steps
            if value.function is not None:
                self.phases[way][value] = Phase.CONSTANT
            for operand in value.operands:
                self.demand(operand, way, whole)
        elif value.function is None:
            if GRADIENT in depends and whole:
                self.store(value)
            elif GRADIENT in depends:
                self.phases[1][value] = Phase.LOOP
        elif is_view(value):
            self.demand(value.args[0], way, whole)
        elif is_part(value):
            at_once = self.is_at_once(value.args[0])
            if at_once or (not whole and made == way):
                self.demand(value.args[0], way, at_once)
            else:
                self.phases[made][value] = Phase.LOOP
                self.store(value)
        elif not whole and (made != way or known.at_once(value)):
            self.for_all_steps(value, way)
        elif not whole:
            self.phases[way][value] = Phase.LOOP
            parts = row_of_parts(value) if value in self.rows else None
            for operand in parts or value.operands:
                early = parts and STATE not in known.depends[operand] and operand not in known.late
                self.demand(operand, way, bool(early))
        elif self.is_at_once(value):
            self.phases[made][value] = Phase.AFTER if known.comes_after(value) else Phase.BEFORE
            for operand in value.operands:
                self.for_all_steps(operand, made)
        else:
            self.store(value)

    def way(self, value: Value) -> int:
        """0 for a value of the forward pass, 1 for one of the backward pass."""
        return 0 if value in self.known.ahead else 1

    def is_at_once(self, value: Value) -> bool:
        return self.known.at_once(value) and self.known.has_call_at_once(value)

    def store(self, value: Value) -> None:
        """Compute a value in the loop, and keep it for every step."""
        self.pull_into_loop(value)
        self.saved.add(value)
        self.in_loop(value.args[0] if is_part(value) else value, self.way(value))

    def pull_into_loop(self, value: Value) -> None:
        """Move everything that a value needs into the loop, out of the phase after it."""
        if value not in self.known.ahead:
            self.known.looping.update(ordered([value]))

    def schedule(self) -> Schedule:
        known = self.known

        def sorted_way(phases: dict[Value, Phase]) -> Phases[tuple[Value, ...]]:
            # The gradients that enter a step come first, because the loop writes to the links.
            order = sorted(phases, key=lambda v: (v.function is not None, known.rank[v]))
            found = {phase: tuple(v for v in order if phases[v] is phase) for phase in Phase}
            return Phases(*(found[phase] for phase in Phase))

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
