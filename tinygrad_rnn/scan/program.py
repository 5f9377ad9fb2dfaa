"""A compiled cell: its source, and workspaces of buffers to run it in."""

from __future__ import annotations

import linecache
import re
import weakref
from typing import Any

import numpy as np

from tinygrad_rnn.scan.captures import Captures
from tinygrad_rnn.scan.emit import Emitter
from tinygrad_rnn.scan.joining import carry
from tinygrad_rnn.scan.layout import page
from tinygrad_rnn.scan.plan import Plan, planned
from tinygrad_rnn.scan.sequence import Sequence
from tinygrad_rnn.scan.simplify import simplify
from tinygrad_rnn.scan.trace import trace
from tinygrad_rnn.scan.workspace import Workspace
from tinygrad_rnn.tensor import Tensor
from tinygrad_rnn.truncation import Windows

LENGTHS = 8
"""For so many lengths of sequences buffers are kept; then those of the oldest go."""


class Program:
    """The source for one step's structure, and the workspaces made so far.

    arguments: for every argument (states, inputs, parameters) that is a Tensor its place, and
    whether it is given a gradient; wanted: the places of those that are. names: of the parts of
    the state.
    """

    def __init__(self, sequence: Sequence, captured: Captures) -> None:
        self.names = sequence.state_names
        step = trace(
            sequence.step_cell,
            sequence.sample_input(),
            sequence.sample_state(),
            captured,
            [type(x) is Tensor and x.requires_grad for x in sequence.input_parts],
            (sequence.input_names, [identifier(name) for name in self.names]),
        )
        simplify(step)
        windows = isinstance(sequence.truncation, Windows)
        if not windows:
            carry(step)
        emitter = Emitter(step, windows)
        given = [*sequence.state_parts, *sequence.input_parts, *captured.arrays]
        self.arguments = [
            (i, tensor.requires_grad and text != "None")
            for i, (tensor, text) in enumerate(zip(given, emitter.returned, strict=True))
            if type(tensor) is Tensor
        ]
        self.wanted = [i for i, needs in self.arguments if needs]
        self.source = page(emitter, sequence.title())
        self.filename = f"<scan {id(self)}>"
        linecache.cache[self.filename] = (
            len(self.source),
            None,
            self.source.splitlines(True),
            self.filename,
        )
        weakref.finalize(self, linecache.cache.pop, self.filename, None)
        namespace: dict[str, Any] = {}
        exec(compile(self.source, self.filename, "exec"), namespace)
        self.make = namespace["program"]
        self.spaces: dict[Plan, list[Workspace]] = {}
        self.plans: dict[Any, Plan] = {}  # made so far, by the options
        self.layouts = emitter.layouts
        # For planning: the bytes that a state takes, and all buffers of one more step.
        self.state_bytes = sum(np.asarray(v.sample).nbytes for v in step.states)
        self.step_bytes = self.state_bytes + emitter.step_bytes()

    def plan(self, sequence: Sequence, *options: Any) -> Plan:
        """How to go through a sequence. options: as for `planned`."""
        key = (sequence.steps, *options)
        plan = self.plans.get(key)
        if plan is None:
            plan = self.plans[key] = planned(sequence, self.state_bytes, self.step_bytes, *options)
        return plan

    def claimed(self, plan: Plan) -> Workspace:
        """Buffers for a plan that nobody looks into any more, or new ones; busy from now on.

        To be called by one thread at a time.
        """
        spaces = self.spaces.get(plan)
        if spaces is None:
            if len(self.spaces) >= LENGTHS:
                del self.spaces[next(iter(self.spaces))]
            spaces = self.spaces[plan] = []
        for space in spaces:
            if space.is_free():
                break
        else:
            space = Workspace(self.make, self.layouts, plan)
            if len(spaces) < 2:
                spaces.append(space)
        space.busy = True
        return space


def identifier(name: str) -> str:
    """What a value of this name is called in the program: h_1 for h^(1)."""
    return re.sub(r"\W+", "_", name).strip("_")
