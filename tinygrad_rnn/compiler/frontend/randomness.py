"""The random number generators that a cell may use: have numbers been drawn?"""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey


def random_states(captured: CellKey) -> list[tuple[Any, Any, bytes]]:
    """The random number generators that the cell may use, each with its state."""
    generators: list[Any] = list(captured.generators)
    if "random" in captured.names_read or generators:
        generators += [np.random.mtrand._rand, random._inst]
    found = []
    for generator in generators:
        if isinstance(generator, random.Random):
            state: Any = generator.getstate()
        elif isinstance(generator, np.random.RandomState):
            state = generator.get_state(legacy=False)
        else:
            state = generator.bit_generator.state
        found.append((generator, state, pickle.dumps(state)))
    return found


def restore(states: list[tuple[Any, Any, bytes]]) -> None:
    """Restore the generators, as if nothing had been drawn."""
    for generator, state, _ in states:
        if isinstance(generator, random.Random):
            generator.setstate(state)
        elif isinstance(generator, np.random.RandomState):
            generator.set_state(state)
        else:
            generator.bit_generator.state = state
