"""From the end: each output asks for what it needs, and what nobody asks for is not written."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.batch import Batched, batched, is_elementwise, is_view
from tinygrad_rnn.compiler.emitter.places import Direction
from tinygrad_rnn.compiler.emitter.rows import Rows, span
from tinygrad_rnn.compiler.emitter.write import expression, literal
from tinygrad_rnn.compiler.frontend.tracer import Value, filled, values_in
from tinygrad_rnn.compiler.passes.assembly import assembled

ARITHMETIC = (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum)

NUMBERS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
"""What numbers are called."""


class Ask(Rows):
    """Names for values: of all steps, or in a loop; asking for one sees to it that it is there."""

    def constant(self, value: Value, at: Direction, contiguous: bool = False) -> str:
        """The name of what depends on parameters alone, computed once in each call."""
        if value in at.names:
            return at.names[value]
        if value.function is filled and value.shape == ():
            return literal(np.asarray(value.args[1], value.dtype)[()])
        if is_stacked_matrix(value):
            return self._stacked_matrix(value, at)
        text = self.written(value, at, lambda v: self.constant(v, at))
        name = self.fresh(value.name or self._constant_hint(value, at))
        if is_view(value):
            text = f"np.ascontiguousarray({text})"
        # What is known already is made once.
        lines = at.constants if value.operands else self.factory
        lines.append(f"{name} = {text}")
        at.names[value] = name
        return name

    def _stacked_matrix(self, value: Value, at: Direction) -> str:
        """Matrices under one another, copied into a buffer; what is known already, once."""
        name = at.names[value] = self.fresh("W_joined")
        shape, dtype = literal(value.shape), literal(value.dtype)
        self.factory.append(f"{name} = empty({shape}, {dtype})")
        start = 0
        for part in value.args[0]:
            stop = start + len(part.sample)
            source = part.args[0] if part.function is np.reshape else part
            known = source.function is not None and not source.operands
            if known or is_view(source):
                text = self.written(source, at, lambda v: self.constant(v, at))
            else:
                text = self.constant(source, at)
            lines = self.factory if known else at.constants
            lines.append(f"{name}[{span(start, stop, len(value.sample))}] = {text}")
            start = stop
        return name

    def _constant_hint(self, value: Value, at: Direction) -> str:
        if is_view(value) and value.args[0] in at.names:
            return f"{at.names[value.args[0]]}_T"
        return "ones" if value.function is filled and value.args[1] == 1 else "w"

    def all_steps(self, value: Value, at: Direction) -> str:
        """The name of the array that holds the value of all steps."""
        if not self.stacked(value):
            return self.constant(value, at)
        if value in self.stack:
            return self.stack[value]
        if value in at.names:
            return at.names[value]
        home = self.home(value)
        if value in self.trace.adjoints and self.depends[value] == {"o"}:
            return self._of_output(value)
        if value.function is assembled and self.outside(value):
            return self._assembled_at_once(value, home)
        rule = None
        if self.outside(value):
            rule = batched(
                value, self.stacked, lambda v: self.argument(v, value, home, self.all_steps)
            )
        if rule is None:
            self.keep(value)
            return self.stack[value]
        return self._all_at_once(value, rule, home)

    def _of_output(self, value: Value) -> str:
        """The gradient of an output, with what comes from behind the last step."""
        part = self.trace.adjoints.index(value)
        seed, end = self.seeds[part], f"{self.links[part]}_end"
        self.backward.before += [
            f"if type({end}) is not int:",
            f"    {seed} = np.array({seed})",
            f"    {seed}[-1] += {end}",
        ]
        self.stack[value] = seed
        return seed

    def _all_at_once(self, value: Value, rule: Batched, at: Direction) -> str:
        base = self.stack.get(value.args[0]) if rule.view else None
        lines = at.after if self.comes_after(value) else at.before
        name = self.fresh(self.hint(value))
        if base is not None and base in self.mine:
            self.factory.append(f"{name} = {rule.expression}")
            self.mine.add(name)
            self.stack[value] = name
        elif rule.view or rule.into is None or "g" in self.depends[value]:
            lines.append(f"{name} = {rule.expression}")
            at.names[value] = name
            if at is self.forward and value in self.needed_back:
                self.make_stack(value, name)
                lines[-1] = f"{name}[...] = {rule.expression}"
        else:
            reused = self._dying(value, at)
            if reused is not None:
                name = reused
                self.stack[value] = name
            else:
                self.make_stack(value, name)
            lines.append(rule.into(name))
        return name

    def _assembled_at_once(self, value: Value, at: Direction) -> str:
        lines = at.after if self.comes_after(value) else at.before
        _, dtype, indices, pieces = value.args
        pieces = [self.all_steps(piece, at) for piece in pieces]
        name = at.names[value] = self.fresh(self.hint(value))
        lines.append(f"{name} = np.zeros({self.stack_shape(value)}, {literal(dtype)})")
        for index, piece in zip(indices, pieces, strict=True):
            lines.append(f"{name}[{literal(after_time(index))}] = {piece}")
        return name

    def _dying(self, value: Value, at: Direction) -> str | None:
        """The array of an operand that nobody else asks for, to be written over."""
        if not is_elementwise(value.function):
            return None
        for operand in value.operands:
            name = self.stack.get(operand)
            if (
                name in self.mine
                and operand.function is not None
                and self.home(operand) is at
                and "g" not in self.depends[value]
                and operand.shape == value.shape
                and operand.dtype == value.dtype
                and self.uses[operand] == 1
                and not is_view(operand)
                and operand not in self.stored
                and operand not in self.trace.results
            ):
                return name
        return None

    def keep(self, value: Value) -> None:
        """Compute the value in the loop, and keep it for every step."""
        self.pull_into_loop(value)
        if value not in self.stack:
            self.make_stack(value, self.fresh(self.hint(value)))
            self.stored[value] = None
        self.want(value)

    def pull_into_loop(self, value: Value) -> None:
        """Have all that a value needs in the loop, also what was to be made after it."""
        for part in self.to_loop(value):
            if "g" in self.depends[part]:
                self.backward.names.pop(part, None)

    def want(self, value: Value) -> None:
        """See to it that a value is there in the loop of its direction."""
        waiting = [value]
        while waiting:
            value = waiting.pop()
            at = self.home(value)
            if value in at.wanted and value not in self.trace.results:
                continue
            at.wanted[value] = None
            if value in self.rows:
                waiting += self._parts_of_row(value, at)
                continue
            for operand in value.operands:
                waiting += self.ask(operand, at)

    def _parts_of_row(self, value: Value, at: Direction) -> list[Value]:
        """Have the parts of a row written into it; returns those for which the loop does that."""
        inner = []
        for part, *_, view, computed_here in self.rows[value].places:
            if part.function is filled:
                self.factory.append(f"{view} = {literal(part.args[1])}")
            elif self.known_before(part):
                at.before.append(f"{view} = {self.all_steps(part, at)}")
            elif not computed_here:
                inner += self.ask(part, at)
            elif part not in self.trace.states:
                self.keep(part)
        return inner

    def ask(self, value: Value, at: Direction) -> list[Value]:
        """Have an operand of the loop ready; returns it if it is to be computed in the loop."""
        if not self.stacked(value):
            self.constant(value, at, contiguous=True)
        elif value in self.trace.adjoints or (
            value.function is not None and self.home(value) is at and not self.outside(value)
        ):
            return [value]
        elif is_view(value) and self.home(value) is at and value.args[0] not in self.stack:
            if self.home(value.args[0]) is at and not self.outside(value.args[0]):
                return [value]
            self.all_steps(value, at)
        else:
            self.all_steps(value, at)
        return []

    def step(self, value: Value, at: Direction) -> str:
        """The name of a value in the loop."""
        if not self.stacked(value):
            return self.constant(value, at)
        if value in self.scratch:
            return self.scratch[value]
        name = self.all_steps(value, at)
        walked = at.owned if name in self.mine else at.given
        if value.shape == ():
            self.of_numbers.add(name)
        if name not in walked:
            walked[name] = self.name_of_step(name)
        return walked[name]

    def argument(self, leaf: Any, value: Value, at: Direction, name: Any) -> str:
        """The source of an argument of a call; a number beside arrays of one kind as an array, for
        of 0.5 a ufunc would make one at every call."""
        if isinstance(leaf, int | float | np.floating):
            same = [v.dtype for v in value.operands if v.function is not filled or v.ndim]
            if value.function in ARITHMETIC and same and set(same) == {value.dtype}:
                return self.number(leaf, value.dtype)
        return self.text(leaf, at, name)

    def number(self, number: Any, dtype: Any) -> str:
        """The name of a number as an array."""
        key = float(number), dtype
        if key not in self.numbers:
            self.numbers[key] = name = self.fresh(NUMBERS.get(key[0], "number"))
            self.factory.append(f"{name} = np.array({literal(key[0])}, {literal(dtype)})")
        return self.numbers[key]

    def text(self, leaf: Any, at: Direction, name: Any) -> str:
        """The source of an argument: a value by its name, anything else as a literal."""
        if isinstance(leaf, Value):
            return str(name(leaf, at))
        if isinstance(leaf, np.ndarray) and leaf.ndim:
            if id(leaf) not in at.arrays:
                at.arrays[id(leaf)] = made = self.fresh("constant")
                self.factory.append(f"{made} = {literal(leaf)}")
            return at.arrays[id(leaf)]
        if isinstance(leaf, slice) and any(True for _ in values_in(leaf)):
            parts = [leaf.start, leaf.stop, *([] if leaf.step is None else [leaf.step])]
            return ":".join("" if p is None else self.text(p, at, name) for p in parts)
        if isinstance(leaf, tuple | list) and holds_arrays(leaf):
            inner = ", ".join(self.text(part, at, name) for part in leaf)
            if any(isinstance(part, slice) for part in leaf):
                return inner  # an index
            return f"[{inner}]" if isinstance(leaf, list) else f"({inner},)"
        return literal(leaf)

    def written(self, value: Value, at: Direction, name: Any) -> str:
        return expression(
            value.function,
            value.args,
            value.kwargs,
            lambda leaf: self.text(leaf, at, lambda v, _: name(v)),
        )


def is_stacked_matrix(value: Value) -> bool:
    return (
        value.function is np.concatenate
        and value.args[1:] == (0,)
        and not value.kwargs
        and all(isinstance(part, Value) and part.ndim == 2 for part in value.args[0])
    )


def holds_arrays(leaf: Any) -> bool:
    """Whether there is an array in a nesting of lists and tuples."""
    if isinstance(leaf, tuple | list):
        return any(map(holds_arrays, leaf))
    return isinstance(leaf, Value | np.ndarray) or any(True for _ in values_in(leaf))


def after_time(index: Any) -> tuple[Any, ...]:
    """An index of one step's array, as an index of the array of all steps."""
    return (slice(None), *(index if isinstance(index, tuple) else (index,)))
