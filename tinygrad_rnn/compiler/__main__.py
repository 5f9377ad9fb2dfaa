"""python -m tinygrad_rnn.compiler my_model.py:cell — print the result of every compiler stage.

The cell is an object of that module. The module can also define the inputs `xs` and the initial
`state` to compile for. Otherwise the inputs are 5 steps of 2 sequences, as wide as the cell's
`input_size`.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.runtime.scan import scan_source


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the stages, or the source alone."""
    parser = argparse.ArgumentParser(
        prog="python -m tinygrad_rnn.compiler",
        description="Show what every stage of the compiler makes of a cell, and the program.",
    )
    parser.add_argument("cell", metavar="FILE.py:CELL", help="where the cell is, and its name")
    parser.add_argument("--xs", metavar="NAME", help="the inputs, by their name in the file [xs]")
    parser.add_argument("--state", metavar="NAME", help="the initial state, likewise [state]")
    parser.add_argument("--source", action="store_true", help="the program alone")
    given = parser.parse_args(arguments)
    file, colon, name = given.cell.rpartition(":")
    if not colon:
        parser.error(f"{given.cell!r} does not name a cell: write it as {given.cell}:cell")
    try:
        found = runpy.run_path(file)
    except OSError as problem:
        parser.error(f"{file} cannot be read: {problem.strerror}")
    for wanted in filter(None, (name, given.xs, given.state)):
        if wanted not in found:
            known = [key for key in found if not key.startswith("_")]
            parser.error(f"{file} has no {wanted!r}; it has {', '.join(known) or 'nothing'}")
    cell = found[name]
    xs, state = found.get(given.xs or "xs"), found.get(given.state or "state")
    if xs is None:
        xs = inputs_for(cell)
    if xs is None:
        parser.error(
            f"the width of the inputs is unknown, because {name} has no input_size: define "
            f"xs = ..., an array (T, batch, input), in {file}, or name one with --xs"
        )
    if state is None and not hasattr(cell, "initial_state"):
        parser.error(
            f"{name} has no initial_state(batch_size): define state = ... in {file}, or name one "
            f"with --state"
        )
    try:
        text = scan_source(cell, xs, state, stages=not given.source)
    except (TypeError, ValueError) as problem:
        parser.error(f"{name} cannot be compiled: {problem}")
    sys.stdout.write(text)


def inputs_for(cell: Any) -> Any:
    """Inputs of 5 steps of 2 sequences, of the dtype of the cell's parameters. None where the cell
    does not tell its input size."""
    width = getattr(cell, "input_size", None)
    if not isinstance(width, int):
        return None
    parameters: dict[str, Any] = getattr(cell, "parameters", dict)()
    dtype = next((p.dtype for p in parameters.values()), np.float64)
    return np.ones((5, 2, width), dtype)


if __name__ == "__main__":
    main()
