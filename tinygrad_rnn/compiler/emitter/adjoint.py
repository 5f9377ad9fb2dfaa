"""∂L/∂h_t at the head of the loop back: what the loss at t adds to what comes along the link."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.emitter.ask import Ask
from tinygrad_rnn.compiler.emitter.batch import is_view
from tinygrad_rnn.compiler.emitter.places import Direction
from tinygrad_rnn.compiler.emitter.write import literal
from tinygrad_rnn.compiler.frontend.tracer import Value

FEW = 256
"""Up to so many numbers a step, looking into the caller's array costs more than copying it."""


class Adjoint(Ask):
    """The gradients of the states as they enter a step.

    links: the buffers in which the gradient of a state goes from a step to the one before. seeds:
    the names of the gradients that the caller gives; copies: lines that copy them. gathered: the
    arrays with what outputs add to them.
    """

    seeds: list[str]
    copies: list[str]
    gathered: dict[int, str]

    def adjoint(
        self, value: Value, at: Direction, body: list[Value], last: dict[Value, int]
    ) -> None:
        """∂L/∂h_t: from the loss at t, and along the link from the step after it."""
        part = self.trace.adjoints.index(value)
        link, given = self.links[part], self.given_gradient(part)
        carried = part in self.carried_rows
        linked = self.trace.state_gradients[part] is not None
        if carried or (linked and self.nothing_is_given(part)):
            loss = ""  # stands in the row, or is none
        elif part in self.trace.added:
            loss = at.owned.setdefault(given, self.name_of_step(given))
            if not linked:
                self.end(given, link)
        elif (not linked and not self.windows) or (value.ndim and np.size(value.sample) <= FEW):
            copy = self._own_copy(given, value)
            loss = at.owned.setdefault(copy, self.fresh(f"{given}_t"))
            if not linked and not self.windows and self.depends[value] != {"o"}:
                self.end(copy, link)
        else:
            loss = at.given.setdefault(given, f"{given}_t")
        if self.windows:
            loss = f"{loss} if seeded else 0"
        if not carried and not linked and value not in self.stored and not self.windows:
            self.scratch[value] = loss
            return
        if self.written_to_stack(value):
            out = self.step_of_stack(value, at)
        elif linked and not carried and not self.windows and self._is_read(value, body, last):
            out = self.scratch[value] = link
        else:
            out = self.fresh(value.name)
            self.make_scratch(value, out)
            self.scratch[value] = out
        if carried:
            row, matrix = self.carried_rows[part], self.trace.carried[part].matrix
            at.loop.append(f"{at.owned[row]}.dot({self.constant(matrix, at)}, {out})")
            if linked:
                at.loop.append(f"np.add({out}, {link}, {out})")
        elif linked and loss:
            at.loop.append(f"np.add({link}, {loss}, {out})")
        elif out != link:
            at.loop.append(f"np.copyto({out}, {loss or link})")

    def nothing_is_given(self, part: int) -> bool:
        """Whether a state gets its gradient from the steps after it alone."""
        outputs = (n for n, state in enumerate(self.trace.states) if state in self.outputs)
        given = part in (*self.trace.added, *outputs)
        return self.trace.loss_alone and not given and not self.windows

    def of_part(self, part: int) -> Value:
        """∂L/∂h_t of a part of the state that has one."""
        adjoint = self.trace.adjoints[part]
        assert adjoint is not None
        return adjoint

    def given_gradient(self, part: int) -> str:
        """The array with ∂L/∂h_t of all steps, without what comes along the link: the caller's, or
        where a step has outputs, what they add and the caller's, if he gives one."""
        if self.depends[self.of_part(part)] == {"o"}:
            return self.all_steps(self.of_part(part), self.backward)
        if part not in self.trace.added:
            return self.seeds[part]
        if part not in self.gathered:
            value, seed, at = self.trace.added[part], self.seeds[part], self.backward
            name = self.all_steps(value, at)
            if name not in self.mine or is_view(value):
                name = self.fresh(f"{seed}_here")
                shape, dtype = self.stack_shape(value), literal(value.dtype)
                self.factory.append(f"{name} = empty({shape}, {dtype})")
                self.mine.add(name)
                at.before.append(f"{name}[...] = {self.all_steps(value, at)}")
            if not self.trace.loss_alone:
                at.before += [f"if {seed} is not None:", f"    np.add({name}, {seed}, {name})"]
            self.gathered[part] = name
        return self.gathered[part]

    def _is_read(self, value: Value, body: list[Value], last: dict[Value, int]) -> bool:
        """Whether an adjoint has been read for the last time before its link is written."""
        written = self.trace.state_gradients[self.trace.adjoints.index(value)]
        return last.get(value, 0) < (body.index(written) if written in body else len(body))

    def _own_copy(self, given: str, value: Value) -> str:
        """Copy an array of the caller: the views of its steps are made once, and what comes from
        behind the last step can be added to it."""
        name = self.fresh(f"{given}_here")
        self.factory.append(f"{name} = empty({self.stack_shape(value)}, {literal(value.dtype)})")
        self.copies.append(f"{name}[...] = {given}")
        if value.shape == ():
            self.of_numbers.add(name)
        return name
