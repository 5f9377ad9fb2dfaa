"""The reference evaluator of a step graph. It makes one call after the other.

It has no schedule and no buffers. Every pass of the compiler preserves its numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.ir import StepGraph, Value, mapped, ordered


class Numbers(NamedTuple):
    """The results for a whole sequence.

    states: h_1 to h_T of each part, stacked. of_states, of_inputs, of_parameters: the gradients of
    the initial state, of the inputs of all steps, and of the parameters; None where there is none.
    """

    states: list[Any]
    of_states: list[Any]
    of_inputs: list[Any]
    of_parameters: list[Any]


def evaluated(wanted: Iterable[Value], known: dict[Value, Any]) -> dict[Value, Any]:
    """The numbers of the values and of everything that they depend on. known: the numbers of the
    given values; the function adds the numbers that it computes."""
    for value in ordered(wanted):
        if value not in known:
            args, kwargs = mapped(
                (value.args, dict(value.kwargs)),
                lambda leaf: known[leaf] if isinstance(leaf, Value) else leaf,
            )
            assert value.function is not None, f"{value} is given, but no number is"
            known[value] = value.function(*args, **kwargs)
    return known


def unrolled(
    graph: StepGraph,
    states: Sequence[Any],
    inputs: Sequence[Any],
    parameters: Sequence[Any],
    seeds: Sequence[Any],
) -> Numbers:
    """Evaluate a sequence forward and backward, step by step, without truncation.

    states: h_0 of each part. inputs: of all steps, (T, ...). seeds: ∂L/∂h_t of all steps of each
    part, or None.
    """
    steps = len(inputs[0])
    given = dict(zip(graph.parameters, parameters, strict=True))
    each: list[dict[Value, Any]] = []
    current = list(states)
    stacked: list[list[Any]] = [[] for _ in states]
    for t in range(steps):
        known = dict(given)
        known.update(zip(graph.inputs, (x[t] for x in inputs), strict=True))
        known.update(zip(graph.states, current, strict=True))
        evaluated(graph.results, known)
        current = [np.asarray(known[result]) for result in graph.results]
        for part, h in zip(stacked, current, strict=True):
            part.append(h)
        each.append(known)
    links: list[Any] = [0] * len(states)
    of_inputs: list[list[Any]] = [[] for _ in inputs]
    totals: list[Any] = [None] * len(parameters)
    for t in reversed(range(steps)):
        known = each[t]
        links = step_back(graph, known, [None if s is None else s[t] for s in seeds], links)
        for found, gradient in zip(of_inputs, graph.input_gradients, strict=True):
            found.append(None if gradient is None else known[gradient])
        for n, gradient in enumerate(graph.parameter_gradients):
            if gradient is not None:
                here = known[gradient]
                totals[n] = here if totals[n] is None else totals[n] + here
    return Numbers(
        [np.stack(part) for part in stacked],
        links,
        [None if part[0] is None else np.stack(part[::-1]) for part in of_inputs],
        totals,
    )


def step_back(
    graph: StepGraph, known: dict[Value, Any], seeds: list[Any], links: list[Any]
) -> list[Any]:
    """One step of the backward pass. Returns ∂L/∂h_{t−1} of each part, 0 where there is none.

    seeds: the gradients that the loss at this step adds. links: those that come from later steps.
    """
    for n, adjoint in enumerate(graph.adjoints):
        if adjoint is not None:
            seed = 0 if seeds[n] is None else seeds[n]
            known[adjoint] = np.zeros(adjoint.shape, adjoint.dtype) + seed + links[n]
    for n, value in graph.output_grads.items():  # of outputs alone, which are known
        fused, adjoint = graph.fused_adjoints.get(n), graph.adjoints[n]
        assert adjoint is not None
        added = evaluated([value], known)[value]
        if fused is not None and fused.is_complete:
            matrix = evaluated([fused.matrix], known)[fused.matrix]
            added = added @ matrix[fused.row.shape[-1] :]
        known[adjoint] = known[adjoint] + added
    evaluated(graph.outputs(), known)
    found: list[Any] = [0 if g is None else known[g] for g in graph.state_gradients]
    for n, fused in graph.fused_adjoints.items():
        matrix = known[fused.matrix][: fused.row.shape[-1]]
        found[n] = found[n] + known[fused.row] @ matrix
    return found
