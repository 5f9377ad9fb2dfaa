"""The interpreter: the simplest back end, which runs one instruction after the other.

It defines the meaning of a program. It is slow; other back ends are compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import (
    CONTINUED,
    OWN,
    STEP,
    Buffer,
    Instr,
    Known,
    Program,
    Ref,
    Storage,
    T,
    mapped,
)
from tinygrad_rnn.compiler.operations import called, over_lanes, takes_out


def maker(program: Program) -> Callable[..., tuple[Any, Any]]:
    """A function that makes the buffers for a number of steps, and returns `forward` and `backward`
    on them. states: the arrays for the states of all steps. empty: the function that makes scratch
    arrays."""

    def make(steps: int, *states: Any, empty: Any = np.empty) -> tuple[Any, Any]:
        machine = Machine(program, steps, states, empty)
        return machine.forward, machine.backward

    return make


class Machine:
    """The buffers of a program for a number of steps.

    arrays: the arrays, by the buffer that owns the memory. known: what is known while the functions
        run. seeded: whether the loss at the current step belongs to the current lane.
    """

    def __init__(self, program: Program, steps: int, states: tuple[Any, ...], empty: Any) -> None:
        self.program, self.steps = program, steps
        self.arrays: dict[Buffer, Any] = {}
        self.known: dict[Any, Any] = {T: steps, STEP: 0, CONTINUED: False}
        self.seeded = True
        given = dict(zip([ref.buffer for ref in program.states], states, strict=False))
        for buffer in program.buffers:
            if buffer.root is buffer and buffer.storage in OWN:
                array = given.get(buffer)
                self.arrays[buffer] = self.new(buffer, empty) if array is None else array
        self.run(program.setup)

    def new(self, buffer: Buffer, empty: Any = np.empty) -> Any:
        steps = () if buffer.time is None else (self.steps + buffer.time,)
        make = empty if buffer.storage is Storage.SCRATCH else np.empty
        return make((*steps, *buffer.shape), buffer.dtype)

    def read(self, ref: Ref) -> Any:
        """The array that a reference means at the current position."""
        if ref.seeded and not self.seeded:
            return 0
        array = self.arrays[ref.buffer.root]
        return None if array is None else ref.of(array, self.steps, self.known[STEP])

    def argument(self, leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            return self.read(leaf)
        return self.known[leaf] if isinstance(leaf, Known) else leaf

    def run(self, instrs: Iterable[Instr]) -> None:
        for instr in instrs:
            args, kwargs = mapped((instr.args, dict(instr.kwargs)), self.argument)
            outs = instr.writes()
            if instr.function is over_lanes:
                self.arrays[outs[0].buffer] = sum(self.links_at_first[instr.args[0].buffer])
            elif instr.binds():
                found = instr.function(*args, **kwargs)
                results = found if isinstance(instr.out, tuple) else (found,)
                for out, result in zip(outs, results, strict=True):
                    self.arrays[out.buffer] = result
            else:
                written = tuple(map(self.read, outs))
                target: Any = written if isinstance(instr.out, tuple) else written[0]
                if takes_out(instr.function, instr.kwargs):
                    called(instr.function, args, kwargs, target)
                else:
                    np.copyto(target, instr.function(*args, **kwargs))

    def begin(self, buffers: Iterable[Buffer], arrays: Iterable[Any]) -> None:
        """Take the arrays that the caller gives, and make those that the caller keeps."""
        self.arrays.update(zip(buffers, arrays, strict=True))
        for buffer in self.program.buffers:
            if buffer.storage is Storage.RETURNED:
                self.arrays[buffer] = self.new(buffer)

    def forward(self, *given: Any) -> tuple[Any, ...]:
        program, sections = self.program, self.program.forward
        self.begin((*program.initial, *program.inputs, *program.parameters), given)
        self.run(sections.constants)
        self.run(sections.before)
        for t in range(self.steps):
            self.known[STEP] = t
            self.run(sections.loop)
        self.run(sections.after)
        return tuple(self.read(ref) for ref in sections.result if ref is not None)

    def backward(self, *given: Any) -> tuple[Any, ...]:
        program, sections = self.program, self.program.backward
        arguments = (*program.seeds, *program.inputs, *program.parameters)
        if program.windows:
            windows, number, *rest = given
            given = tuple(rest)
        else:
            arguments = (*program.ends, *arguments)
            given, self.known[CONTINUED] = given[: len(arguments)], any(given[len(arguments) :])
        self.begin(arguments, given)
        self.run(sections.constants)
        self.run(sections.before)
        if program.windows:
            self.loop_of_lanes(windows, number)
        else:
            for t in reversed(range(self.steps)):
                self.known[STEP] = t
                self.run(sections.loop)
        self.run(sections.after)
        return tuple(None if ref is None else self.read(ref) for ref in sections.result)

    def loop_of_lanes(self, windows: Any, number: int) -> None:
        """Run the backward loop, at each step once for each live lane."""
        links = [link for link in self.program.links if link is not None]
        lanes = [{link: self.new(link) for link in links} for _ in range(number)]
        alive: Any = ()
        for t, alive in zip(reversed(range(self.steps)), windows, strict=True):
            self.known[STEP] = t
            for lane, start, seeded, cut in alive:
                self.seeded = seeded
                self.arrays.update(lanes[lane])
                if start:
                    for link in links:
                        lanes[lane][link][...] = 0
                self.run(self.program.backward.loop)
                if cut is not None:
                    for link in links:
                        if link.shape:
                            rows = cut.reshape(-1, *[1] * (len(link.shape) - 1))
                            np.multiply(lanes[lane][link], rows, lanes[lane][link])
        self.seeded = True
        self.links_at_first = {link: [lanes[lane][link] for lane, *_ in alive] for link in links}
