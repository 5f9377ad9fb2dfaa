"""A compiled cell: its source, and workspaces of buffers to run it in."""

from __future__ import annotations

import linecache
import sys
from typing import Any

import numpy as np

from tinygrad_rnn.graph import Array
from tinygrad_rnn.scan.captures import Captures
from tinygrad_rnn.scan.emit import Emitter
from tinygrad_rnn.scan.layout import page
from tinygrad_rnn.scan.sequence import Sequence
from tinygrad_rnn.scan.simplify import simplify
from tinygrad_rnn.scan.trace import trace
from tinygrad_rnn.truncation import Windows


class Program:
    """The source for one step's structure, and the workspaces made so far.

    gradients: for every argument (states, inputs, parameters) whether `backward` returns one.
    """

    def __init__(self, sequence: Sequence, captured: Captures) -> None:
        step = trace(
            sequence.step_cell,
            sequence.sample_input(),
            sequence.sample_state(),
            captured,
            [type(x) is Tensor_ and x.requires_grad for x in sequence.input_parts],
            (sequence.input_names, sequence.state_names),
        )
        simplify(step)
        emitter = Emitter(step, isinstance(sequence.truncation, Windows))
        emitter.build()
        self.gradients = [text != "None" for text in emitter.returned]
        self.source = page(emitter, sequence.title())
        self.filename = f"<scan {id(self)}>"
        linecache.cache[self.filename] = (
            len(self.source),
            None,
            self.source.splitlines(True),
            self.filename,
        )
        namespace: dict[str, Any] = {}
        exec(compile(self.source, self.filename, "exec"), namespace)
        self.make = namespace["program"]
        self.spaces: dict[int, list[Workspace]] = {}

    def workspace(self, T: int) -> Workspace:
        """Buffers for T steps that nobody looks into any more, or new ones."""
        spaces = self.spaces.setdefault(T, [])
        for space in spaces:
            if space.is_free():
                return space
        space = Workspace(self, T)
        if len(spaces) < 2:
            spaces.append(space)
        return space


class Workspace:
    """The two functions of a program with their buffers for T steps."""

    __slots__ = ("_backward", "_forward", "busy", "owners", "program", "quiet", "states")

    def __init__(self, program: Program, T: int) -> None:
        self._forward, self._backward = program.make(T)
        self.busy = False
        self.owners: list[Array] = []
        self.quiet: list[int] = []

    def is_free(self) -> bool:
        """Whether no graph needs the buffers and no array of the caller looks into them."""
        if self.busy:
            return False
        self.states: Any = ()
        return all(
            sys.getrefcount(owner) == count
            for owner, count in zip(self.owners, self.quiet, strict=True)
        )

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        states = self._forward(*arrays)
        if not self.owners:
            self.owners = [s.base for s in states]
            # Held by its views in the program, by the list, by the loop; not by these states.
            self.quiet = [sys.getrefcount(owner) - 1 for owner in self.owners]
        self.states = states
        return states  # type: ignore[no-any-return]

    def backward(
        self, seeds: list[Array], arrays: list[Array], windows: tuple[Any, ...]
    ) -> tuple[Array | None, ...]:
        return self._backward(*windows, *seeds, *arrays[len(seeds) :])  # type: ignore[no-any-return]


from tinygrad_rnn.tensor import Tensor as Tensor_  # noqa: E402

__all__ = ["Program", "Workspace", "np"]
