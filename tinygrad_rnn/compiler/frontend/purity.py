"""A cell must be a pure function: it is traced twice, and must not draw random numbers."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.trace import Step, Trace, trace_once


def trace(step: Step) -> Trace:
    """Trace the cell: run it twice on sample numbers and record its calls.

    Raises TraceError, with the place in the cell, where one straight-line sequence cannot represent
    it, for example where the two runs differ.
    """
    before = random_states(step.captured)
    result = trace_once(step)
    drawn = [s for *_, s in before] != [s for *_, s in random_states(step.captured)]
    change = result.witness.difference(trace_once(step).witness)
    if not drawn and change is None:
        return result
    restore(before)
    differ = "" if change is None else f"in two runs on the same numbers {change}"
    if drawn:
        raise TraceError(
            f"the cell draws random numbers, which a program would draw once for all steps"
            f"{differ and '; '}{differ}",
            "draw them before and pass them in xs",
        )
    raise TraceError(
        f"the cell is not a pure function: {differ}",
        "pass random numbers in xs and keep counts in the state",
    )


ACCESS: tuple[tuple[type, Callable[[Any], Any], Callable[[Any, Any], None]], ...] = (
    (random.Random, random.Random.getstate, random.Random.setstate),
    (
        np.random.RandomState,
        partial(np.random.RandomState.get_state, legacy=False),
        np.random.RandomState.set_state,
    ),
    (
        np.random.Generator,
        lambda generator: generator.bit_generator.state,
        lambda generator, state: setattr(generator.bit_generator, "state", state),
    ),
)
"""How the state of each kind of generator is read and set."""


def random_states(captured: CellKey) -> list[tuple[Callable[[Any], None], Any, bytes]]:
    """The states of the random number generators that the cell may use, each with the function that
    sets it."""
    generators: list[Any] = list(captured.generators)
    if "random" in captured.names_read or generators:
        generators += [np.random.mtrand._rand, random._inst]
    found: list[tuple[Callable[[Any], None], Any, bytes]] = []
    for generator in generators:
        get, put = next((get, put) for kind, get, put in ACCESS if isinstance(generator, kind))
        state = get(generator)
        found.append((partial(put, generator), state, pickle.dumps(state)))
    return found


def restore(states: list[tuple[Callable[[Any], None], Any, bytes]]) -> None:
    """Restore the generators, as if nothing had been drawn."""
    for put, state, _ in states:
        put(state)
