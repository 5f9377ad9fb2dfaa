"""The loops: one call after the other, each with a buffer to write into."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.adjoint import Adjoint
from tinygrad_rnn.compiler.emitter.ask import after_time
from tinygrad_rnn.compiler.emitter.batch import is_elementwise, is_view
from tinygrad_rnn.compiler.emitter.places import Direction
from tinygrad_rnn.compiler.emitter.write import into_buffer, literal, words
from tinygrad_rnn.compiler.frontend.tracer import Value, filled
from tinygrad_rnn.compiler.passes.assembly import assembled, covers


class Loop(Adjoint):
    """The lines of the loops.

    copied: states that are no fresh result, with the array they are copied to.
    in_place: parts written inside of an assembly. accumulated: sums added up in the loop.
    """

    accumulated: list[tuple[str, Value]]
    returned: list[str]
    copied: list[tuple[str, Value]]
    in_place: dict[Value, Value]

    def emit_loop(self, at: Direction) -> None:
        """The calls of a loop, in order, each with a place to write to."""
        # What comes along the links is read first, for the links are written to in the loop.
        body = sorted(at.wanted, key=lambda v: (v not in self.trace.adjoints, self.rank[v]))
        last = self._last_uses(body)
        links = (
            dict(zip(self.trace.state_gradients, self.links, strict=True))
            if at is self.backward
            else {}
        )
        done: set[Value] = set()
        for n, value in enumerate(body):
            if value in self.trace.adjoints:
                self.adjoint(value, at, body, last)
                continue
            if value in self.rows:
                self._fill_row(value, at)
                continue
            if value.function is assembled:
                self._assemble(value, at, done)
                done.add(value)
                continue
            done.add(value)
            self._write_step(value, at, n, last, links)
        if self.windows and at is self.backward:
            for value in body:
                if value in self.stored:
                    total = self.step_of_stack(value, at)
                    at.loop.append(f"np.add({total}, {self.scratch[value]}, {total})")
        if at is self.backward:
            for gradient, link in zip(self.trace.state_gradients, self.links, strict=True):
                if gradient is not None and self.scratch.get(gradient) != link:
                    at.loop.append(f"np.copyto({link}, {self.step(gradient, at)})")
        else:
            for after, result in self.copied:
                at.loop.append(f"np.copyto({at.owned[after]}, {self.step(result, at)})")

    def _last_uses(self, body: list[Value]) -> dict[Value, int]:
        """When an array is read for the last time, views of it counted as itself."""
        last: dict[Value, int] = {}

        def read(value: Value, n: int) -> None:
            last[value] = n
            while value.function is not None and is_view(value):
                value = value.args[0]
                last[value] = n

        for n, value in enumerate(body):
            for operand in value.operands:
                read(operand, n)
        kept = [*self.trace.results, *self.trace.state_gradients]
        kept += [value for _, value in self.accumulated]
        if self.windows:
            kept += self.stored
        for kept_value in kept:
            if kept_value is not None:
                read(kept_value, len(body))
        return last

    def _write_step(
        self, value: Value, at: Direction, n: int, last: dict[Value, int], links: Any
    ) -> None:

        def name(v: Value) -> str:
            return self.step(v, at)

        if is_view(value) and value not in self.stack and value not in self.scratch:
            source = value.args[0]
            base = self.scratch.get(source)
            if base is not None and base in self.fixed:
                made = self.fresh(value.name or f"{base}_part")
                self.factory.append(f"{made} = {self.written(value, at, name)}")
                self.fixed.add(made)
                self.scratch[value] = made
            else:
                made = self.fresh(value.name or "view")
                at.loop.append(f"{made} = {self.written(value, at, name)}")
                self.scratch[value] = made
            return
        if self.written_to_stack(value):
            self._write_over(value, at)
            out = self.step_of_stack(value, at)
        elif value in self.scratch:  # a part of an assembly
            out = self.scratch[value]
        else:
            out = ""
        function = value.function
        into = is_elementwise(function) and not value.kwargs
        product = function is np.matmul
        if not out and (into or product):
            out = self._scratch_for(value, n, last, links)
        if into:
            args = [self._operand(a, value, at) for a in value.args]
            at.loop.append(into_buffer(function, args, out))
        elif product:
            left, right = value.args
            a, b = (self.text(v, at, lambda v, _: name(v)) for v in (left, right))
            whole = (self.stack[value] if self.written_to_stack(value) else out) in self.whole
            same = all(isinstance(v, Value) and v.dtype == value.dtype for v in (left, right))
            small = all(isinstance(v, Value) and v.ndim <= 2 for v in (left, right))
            if whole and same and small and value.ndim > 0:
                at.loop.append(f"{a}.dot({b}, {out})")
            else:
                at.loop.append(f"np.matmul({a}, {b}, {out})")
        else:
            text = self.written(value, at, name)
            if out:
                at.loop.append(f"np.copyto({out}, {text})")
            else:
                made = self.fresh(self.hint(value))
                at.loop.append(f"{made} = {text}")
                self.scratch[value] = made

    def _operand(self, leaf: Any, value: Value, at: Direction) -> str:
        """An operand in the form in which a ufunc takes it at once: of 0.5 it makes an array at
        every call (0.41 µs instead of 0.18), and a row is slow to be broadcast (1.2 instead of 0.5
        for 32×128 numbers), so what is the same in all steps is spread out before the loop."""
        if isinstance(leaf, Value) and not self.stacked(leaf):
            if leaf.function is filled and leaf.shape == ():
                leaf = np.asarray(leaf.args[1], leaf.dtype)[()]
            elif leaf.shape != value.shape:
                return self._spread(leaf, value, at)
        return self.argument(leaf, value, at, lambda v, _: self.step(v, at))

    def _spread(self, leaf: Value, value: Value, at: Direction) -> str:
        """The name of an array of the value's shape with what is the same in all steps."""
        key = leaf, value.shape
        if key not in at.spread:
            source = self.constant(leaf, at)
            at.spread[key] = name = self.fresh(f"{leaf.name or 'w'}_spread")
            self.factory.append(f"{name} = empty({literal(value.shape)}, {literal(leaf.dtype)})")
            at.constants.append(f"{name}[...] = {source}")
        return at.spread[key]

    def _write_over(self, value: Value, at: Direction) -> None:
        """Let the loop back leave a result of all steps where an operand stood that was made for
        this call alone: one array less."""
        if at is not self.backward or self.windows or not is_elementwise(value.function):
            return
        name, made = self.stack[value], f"np.empty({self.stack_shape(value)}, "
        read_later = words([*at.after, *self.returned])
        for operand in value.operands:
            other = self.stack.get(operand)
            lines = [
                n
                for n, line in enumerate(self.factory)
                if line.startswith((f"{name} = {made}", f"{other} = {made}"))
            ]
            if (
                len(lines) == 2
                and operand.function is not None
                and self.home(operand) is at
                and self.uses[operand] == 1
                and operand.dtype == value.dtype
                and operand not in self.stored
                and other not in read_later
            ):
                first, second = (self.factory[n].split(" = ")[0] for n in lines)
                self.factory[lines[1]] = f"{second} = {first}  # written over step by step"
                self.stack[operand] = name
                return

    def _scratch_for(self, value: Value, n: int, last: dict[Value, int], links: Any) -> str:
        held = [v for v, buffer in self.scratch.items() if buffer == links.get(value)]
        if value in links and all(last.get(v, n) < n for v in held):
            self.scratch[value] = links[value]
            return str(links[value])
        if is_elementwise(value.function):
            for operand in value.operands:
                buffer = self.scratch.get(operand)
                if (
                    buffer in self.whole
                    and last.get(operand) == n
                    and not is_view(operand)
                    and operand.function not in (None, assembled)
                    and operand.shape == value.shape
                    and operand.dtype == value.dtype
                    and buffer not in self.links
                ):
                    self.scratch[value] = buffer
                    return buffer
        made = self.fresh(self.hint(value))
        self.make_scratch(value, made)
        self.scratch[value] = made
        return made

    def _fill_row(self, value: Value, at: Direction) -> None:
        """Copy into a row what has its place elsewhere; the rest of it is there already."""
        for part, *_, view, computed_here in self.rows[value].places:
            if not computed_here and not self.known_before(part):
                name = self.fresh(f"{self.hint(part)}_here")
                self.factory.append(f"{name} = {view}")
                at.owned[name] = self.name_of_step(name)
                at.loop.append(f"np.copyto({at.owned[name]}, {self.step(part, at)})")

    def _assemble(self, value: Value, at: Direction, done: set[Value]) -> None:
        """The parts were written in their places before; here only those that could not be."""
        for index, part in zip(value.args[2], value.args[3], strict=True):
            if part not in self.in_place or self.in_place[part] is not value:
                out = self.step(value, at)
                at.loop.append(f"{out}[{literal(index)}] = {self.step(part, at)}")

    def place_parts(self, at: Direction) -> None:
        """Give the parts of assemblies their places inside of them, so they need no copying."""
        for value in sorted(at.wanted, key=self.rank.__getitem__):
            if value.function is not assembled:
                continue
            if not self.written_to_stack(value):
                name = self.fresh(self.hint(value))
                self.make_scratch(value, name, "empty" if covers(value) else "zeros")
                self.scratch[value] = name
            for index, part in zip(value.args[2], value.args[3], strict=True):
                target = value.sample[index]
                if (
                    part not in at.wanted
                    or part in self.in_place
                    or part in self.reshaped
                    or part in self.scratch
                    or part.function in (None, assembled)
                    or is_view(part)
                    or target.shape != part.shape
                    or target.dtype != part.dtype
                ):
                    continue
                if self.written_to_stack(part):
                    if self.written_to_stack(value) and self._moved(part, value, index):
                        self.in_place[part] = value
                    continue
                made = self.fresh(part.name or f"{self.hint(part)}_part")
                if self.written_to_stack(value):
                    whole = after_time(index)
                    self.factory.append(f"{made} = {self.stack[value]}[{literal(whole)}]")
                    self.mine.add(made)
                    self.stack[part] = made
                else:
                    self.factory.append(f"{made} = {self.scratch[value]}[{literal(index)}]")
                    self.fixed.add(made)
                    self.scratch[part] = made
                self.in_place[part] = value

    def _moved(self, part: Value, whole: Value, index: Any) -> bool:
        """Let the array of a part be a view of the whole, if nothing looks into it so far."""
        name = self.stack[part]
        made = [n for n, line in enumerate(self.factory) if line.startswith(f"{name} = np.")]
        read = [line for line in self.factory if name in words([line.partition(" = ")[2]])]
        if len(made) != 1 or read or part in self.trace.results:
            return False
        del self.factory[made[0]]
        self.whole.discard(name)
        self.factory.append(f"{name} = {self.stack[whole]}[{literal(after_time(index))}]")
        return True
