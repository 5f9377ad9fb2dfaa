"""A run of a compiled program: one node of the graph, and what its backward pass needs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.request import Sequence
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.compiler.runtime.plan import Plan
from tinygrad_rnn.compiler.runtime.program import Program
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.derivatives.several import PART, Several, part
from tinygrad_rnn.engine.gradients import gradients
from tinygrad_rnn.engine.graph import Array, Edge, Leaf, Node
from tinygrad_rnn.engine.recording import Mark, current_mark
from tinygrad_rnn.engine.rules import Pullback
from tinygrad_rnn.engine.substitution import substituted
from tinygrad_rnn.engine.tensor import Tensor, recorded, tracked, untracked
from tinygrad_rnn.engine.trees import flatten_like, unflatten
from tinygrad_rnn.recurrent.state import map_state
from tinygrad_rnn.recurrent.truncation import Windows
from tinygrad_rnn.recurrent.unroll import unroll


class ScanRun:
    """One forward pass over one sequence, with what its backward pass needs.

    A run owns its workspace as long as it lives. The thread that makes a run holds `contents_lock`,
    because the constructor reads the cell's Tensors.
    """

    __slots__ = (
        "__weakref__",
        "arrays",
        "known",
        "mark",
        "nodes",
        "plan",
        "program",
        "sequence",
        "space",
        "tensors",
        "wanted",
    )

    def __init__(self, sequence: Sequence, captured: CellKey, program: Program, plan: Plan) -> None:
        self.space: Workspace | None = None
        self.sequence, self.program, self.plan = sequence, program, plan
        tensors = [*sequence.state_parts, *sequence.input_parts, *captured.arrays]
        self.tensors = tensors
        self.arrays = [t._data if type(t) is Tensor else t for t in tensors]
        self.wanted = program.wanted
        self.known: tuple[Callable[[], Any], dict[int, Any]] | None = None
        self.mark = mark = current_mark() if self.wanted else None
        self.nodes = (
            []
            if mark is None
            else [
                tensors[i].node if name is None else leaf(tensors[i], name)
                for i, _, name in program.arguments
            ]
        )
        self.space = program.claimed(plan)

    def outputs(self, function: Callable[..., Any]) -> tuple[Any, Any]:
        """Run the steps. Return the stacked states and the last state, as Tensors in the graph.

        function: the function whose result they are, for readers of the graph.
        """
        assert self.space is not None
        stacked = self.space.forward(self.arrays, len(self.sequence.input_parts))
        mark = self.mark
        tensors = (
            list(map(Tensor, stacked)) if mark is None else self._recorded(stacked, mark, function)
        )
        if not self.plan.all_states:
            return None, self._nested(tensors)
        return self._nested(tensors), self._nested([states[-1] for states in tensors])

    def _recorded(
        self, stacked: tuple[Array, ...], mark: Mark, function: Callable[..., Any]
    ) -> list[Tensor]:
        """The stacked states as Tensors. One node has the edges of the scan. If the state has
        several parts, each is a node with an edge to that one."""
        edges: tuple[Edge, ...] = tuple(
            [
                (node, ("inputs", i), GRADIENT, (i, self))
                if needs
                else (node, ("inputs", i), None, ())
                for node, (i, needs, _) in zip(self.nodes, self.program.arguments, strict=True)
            ]
        )
        if len(stacked) == 1:
            edges_of = [edges]
        else:
            whole = recorded(Several({}), function, edges, mark).node
            function = part
            edges_of = [((whole, "scan", PART, (n,)),) for n in range(len(stacked))]
        tensors = [
            recorded(states, function, edges, mark) if needs else Tensor(states)
            for states, edges, needs in zip(stacked, edges_of, self.program.needs, strict=True)
        ]
        for tensor, name in zip(tensors, self.program.names, strict=True):
            tensor.named(name)
        return tensors

    def _nested(self, tensors: list[Any]) -> Any:
        if self.sequence.flat:
            return tensors[0]
        return unflatten(self.sequence.form, iter(tensors))

    def gradient(self, g: Any, i: int) -> Any:
        """∂L/∂(input i). The first request computes the gradients of all inputs together. The
        others are kept until they are requested or g is freed: the sweep holds g while it visits
        this node."""
        known = self.known
        if known is None or known[0]() is not g or i not in known[1]:
            adjoints = adjoints_of(g)
            if current_mark() is None:
                adjoints = {n: a._data if type(a) is Tensor else a for n, a in adjoints.items()}
            is_recorded = any(isinstance(a, Tensor) for a in adjoints.values())
            found = self.recorded(adjoints) if is_recorded else self._computed(adjoints)
            wanted = {i: found[i] for i in self.wanted}
            # A scalar cannot be weakly referenced, and it keeps nothing alive.
            number = isinstance(g, np.generic)
            ref = (lambda: g) if number else weakref.ref(g, partial(forget, weakref.ref(self)))
            self.known = known = ref, wanted
        return known[1].pop(i)

    def _computed(self, adjoints: dict[int, Array]) -> tuple[Array, ...]:
        assert self.space is not None
        ends: list[Any] = [0] * len(self.space.arrays)
        if not self.plan.all_states:
            ends = [adjoints.get(n, 0) for n in range(len(ends))]
            adjoints = {}
        seeds = [
            adjoints[n] if n in adjoints else self.program.no_gradient(n, self.plan.steps)
            for n in range(len(ends))
        ]
        truncation = self.sequence.truncation
        windows = (
            schedule(truncation, self.sequence.steps) if isinstance(truncation, Windows) else ()
        )
        inputs = len(self.sequence.input_parts)
        return self.space.backward(seeds, ends, self.arrays, inputs, windows)

    def recorded(self, adjoints: dict[int, Any], create_graph: bool = True) -> list[Any]:
        """The gradients by `unroll`, with one node per operation. They are Tensors for derivatives
        of a higher order, or arrays for a look at each step."""
        # One input may have been computed from another. The gradient of one input must not flow on
        # through another input here, so the steps run on copies. The copies hold the arrays that
        # the scan ran on, because parameters may have been given other arrays since.
        sequence, tensors = self.sequence, self.tensors
        nodes = {
            i: node for node, (i, _, _) in zip(self.nodes, self.program.arguments, strict=True)
        }
        copies = {i: +tracked(self.arrays[i], nodes[i]) for i in self.wanted}
        for i, copy in copies.items():
            copy.name = tensors[i].name
        given = [
            copies[i] if i in copies else untracked(array) if type(tensor) is Tensor else tensor
            for i, (tensor, array) in enumerate(zip(tensors, self.arrays, strict=True))
        ]
        count = len(sequence.state_parts)
        following, xs = iter(given[:count]), sequence.steps_of(iter(given[count:]))
        first = count + len(sequence.input_parts)
        carried = [i for i in range(first, len(tensors)) if type(tensors[i]) is Tensor]
        with substituted([tensors[i] for i in carried], [given[i] for i in carried]):
            states, last = unroll(
                sequence.cell,
                xs,
                map_state(lambda _: next(following), sequence.form),
                sequence.repeatable,
                sequence.reset,
            )
        if not self.plan.all_states:
            states = [last]
        flat, seeds = [], []
        in_order = [flatten_like(sequence.form, state) for state in states]
        for n, steps in enumerate(zip(*in_order, strict=True)):
            if n in adjoints:
                flat.append(np.reshape(np.stack(steps), -1))
                seeds.append(np.reshape(adjoints[n], -1))
        output, seed = np.concatenate(flat), np.concatenate(seeds)
        found = gradients(output, list(copies.values()), seed, create_graph)  # type: ignore[arg-type]
        result: list[Any] = [None] * len(tensors)
        for i, gradient in zip(self.wanted, found, strict=True):
            result[i] = gradient
        return result

    def __del__(self) -> None:
        space = getattr(self, "space", None)  # none, if making it was interrupted
        if space is not None:
            space.busy = False


def rerun(sequence: Sequence) -> None:
    """Run the steps of a scan one by one, so that each step can be observed."""
    xs = sequence.steps_of(iter(sequence.input_parts))
    unroll(sequence.cell, xs, sequence.state, sequence.truncation, sequence.reset)


def forget(owner: weakref.ref[ScanRun], adjoint: weakref.ref[Any]) -> None:
    """Let a run drop the gradients that it computed from an adjoint, once the adjoint is freed. As
    Tensors these gradients refer to the node, which refers to the run: the run would keep itself
    alive. Only the run itself holds the reference that calls this."""
    run = owner()
    assert run is not None
    run.known = None


def adjoints_of(g: Any) -> dict[int, Any]:
    """The gradients of the parts of a scan's state that have one, by their places."""
    return g.parts if isinstance(g, Several) else {0: g}


GRADIENT = Pullback(lambda g, i, run: run.gradient(g, i), "inputs", ["inputs", "run"])


def run_of(node: Node) -> ScanRun | None:
    """The run that made a value, if the value is the states of a scan or one part of them."""
    if node.function is part:
        node = node.edges[0][0]
    return next((kept[1] for _, _, pullback, kept in node.edges if pullback is GRADIENT), None)


def leaf(array: Array, name: str) -> Leaf:
    """A node for an input that is a plain array."""
    return Leaf(array.shape, array.dtype, False, name)
