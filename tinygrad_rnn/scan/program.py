"""A compiled cell: its source, and workspaces of buffers to run it in."""

from __future__ import annotations

import linecache
import sys
from typing import Any

from tinygrad_rnn.graph import Array
from tinygrad_rnn.scan.captures import Captures
from tinygrad_rnn.scan.emit import Emitter
from tinygrad_rnn.scan.layout import page
from tinygrad_rnn.scan.sequence import Sequence
from tinygrad_rnn.scan.simplify import simplify
from tinygrad_rnn.scan.trace import trace
from tinygrad_rnn.tensor import Tensor
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
            [type(x) is Tensor and x.requires_grad for x in sequence.input_parts],
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
        self.states: tuple[Array, ...] = ()
        self.owners: list[Array] = []
        self.quiet: list[int] = []

    def is_free(self) -> bool:
        """Whether no graph needs the buffers and no array of the caller looks into them."""
        if self.busy:
            return False
        self.states = ()
        return self._references() == self.quiet

    def _references(self) -> list[int]:
        return [sys.getrefcount(owner) for owner in self.owners]

    def forward(self, *arrays: Array) -> tuple[Array, ...]:
        states: tuple[Array, ...] = self._forward(*arrays)
        if not self.owners:
            self.owners = [s.base for s in states]
            # Held by this list and by views in the program, and by the states of this run.
            self.quiet = [count - 1 for count in self._references()]
        self.states = states
        return states

    def backward(
        self, seeds: list[Array], arrays: list[Array], windows: tuple[Any, ...]
    ) -> tuple[Array | None, ...]:
        return self._backward(*windows, *seeds, *arrays[len(seeds) :])  # type: ignore[no-any-return]
