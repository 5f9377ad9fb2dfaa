"""From a trace to Python source: sorted by dependence, each call in the earliest or latest place.

What depends on no state is done for all steps before the loop; what depends on the state stays in
the loop, writing into buffers made once; what feeds only the gradients of inputs and parameters
is done for all steps after it. Everything is asked for from the end: what no output asks for is
not written at all.
"""

from __future__ import annotations

import builtins
import keyword
import operator
import re
from collections import Counter
from typing import Any

import numpy as np

from tinygrad_rnn.scan.batch import Batched, batched, is_elementwise, is_view
from tinygrad_rnn.scan.simplify import GROUPS, assembled, covers, is_sum_at, ordered
from tinygrad_rnn.scan.trace import Trace
from tinygrad_rnn.scan.traced import Value, filled, values_in
from tinygrad_rnn.scan.write import expression, into_buffer, literal

AT_ONCE = 4096
"""Up to so many numbers a step, what the way back needs is computed for all steps before it; from
there on in the loop, where it stays in the cache."""


ALIVE = ("windows", "lanes", "links", "alive", "lane", "start", "seeded", "cut")
"""Names that the loop over windows uses."""


class Direction:
    """The lines of one of the two functions, and what its loop walks over."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.before: list[str] = []
        self.loop: list[str] = []
        self.after: list[str] = []
        self.wanted: dict[Value, None] = {}  # computed in the loop
        self.owned: dict[
            str, str
        ] = {}  # arrays of the program walked over, and the names of a step
        self.given: dict[str, str] = {}  # arrays of the caller, likewise
        self.names: dict[Value, str] = {}  # constants and views made in the function itself


class Emitter:
    """The places of all values, and the source."""

    def __init__(self, trace: Trace, windows: bool = False) -> None:
        self.trace = trace
        self.windows = windows
        self.factory: list[str] = []
        self.forward, self.backward = Direction(), Direction()
        self.taken = {"T", "np", "rows", "numbers", "program", "forward", "backward", *ALIVE}
        self.taken |= {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
        self.taken |= {*keyword.kwlist, *dir(builtins)}
        self.stack: dict[Value, str] = {}  # the array of all steps in which a value stands
        self.mine: set[str] = set()  # those of them that are the program's own
        self.scratch: dict[Value, str] = {}  # the buffer of one step in which it stands
        self.stored: dict[Value, None] = {}
        self.of_numbers: set[str] = set()  # arrays with one number a step
        outputs = [v for group in GROUPS for v in getattr(trace, group) if v is not None]
        self.order = ordered(outputs)
        self.rank = {v: n for n, v in enumerate(self.order)}
        self.ahead = set(ordered(trace.results))  # computed on the way forward
        self.depends = self._dependences()
        self.looping = set(ordered([v for v in trace.state_gradients if v is not None]))
        self._name_inputs()

    def _dependences(self) -> dict[Value, frozenset[str]]:
        depends: dict[Value, frozenset[str]] = {}
        for letter, group in (
            ("x", self.trace.inputs),
            ("h", self.trace.states),
            ("g", self.trace.adjoints),
            ("", self.trace.parameters),
        ):
            for value in group:
                if value is not None:
                    depends[value] = frozenset(letter)
        for value in self.order:
            if value not in depends:
                depends[value] = frozenset().union(*(depends[v] for v in value.operands))
        return depends

    def fresh(self, hint: str) -> str:
        hint = "".join(c if c.isalnum() or c == "_" else "_" for c in hint) or "a"
        name, number = hint, 2
        while name in self.taken:
            name, number = f"{hint}{number}", number + 1
        self.taken.add(name)
        return name

    def _name_inputs(self) -> None:
        trace = self.trace
        self.parameter_names = [self.fresh(v.name or "w") for v in trace.parameters]
        self.input_names = [self.fresh(v.name or "x") for v in trace.inputs]
        self.state_names = [self.fresh(v.name or "h") for v in trace.states]
        for value, name in zip(trace.inputs, self.input_names, strict=True):
            self.stack[value] = name
        for direction in (self.forward, self.backward):
            direction.names.update(zip(trace.parameters, self.parameter_names, strict=True))
        self.copied: list[tuple[str, Value]] = []
        made: set[Value] = set(trace.states)
        for state, result, name in zip(trace.states, trace.results, self.state_names, strict=True):
            before, after = self.fresh(f"{name}_before"), self.fresh(f"{name}_after")
            shape = self._shape(state, "T + 1")
            self.factory += [
                f"{name} = np.empty({shape}, {literal(state.dtype)}) if {name} is None else {name}",
                f"{before}, {after} = {name}[:-1], {name}[1:]",
            ]
            self.mine |= {before, after}
            self.stack[state] = before
            self.forward.owned[after] = self.fresh(f"{name}_t")
            if state.shape == ():
                self.of_numbers.add(after)
            if result not in made and "h" in self.depends[result] and not is_view(result):
                made.add(result)
                self.stack[result] = after
                self.forward.wanted[result] = None
            else:
                self.copied.append((after, result))

    @staticmethod
    def _shape(value: Value, steps: str) -> str:
        return f"({', '.join([steps, *map(str, value.shape)])}{',' if not value.shape else ''})"

    # Asking for values, from the end --------------------------------------------------------

    def stacked(self, value: Value) -> bool:
        return bool(self.depends[value])

    def constant(self, value: Value, at: Direction, contiguous: bool = False) -> str:
        """The name of what depends on parameters alone, computed once in each call."""
        if value in at.names:
            return at.names[value]
        if value.function is filled and value.shape == ():
            return literal(np.asarray(value.args[1], value.dtype)[()])
        text = self.written(value, at, lambda v: self.constant(v, at))
        name = self.fresh(value.name or self._constant_hint(value, at))
        if is_view(value):
            text = f"np.ascontiguousarray({text})"
        at.constants.append(f"{name} = {text}")
        at.names[value] = name
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
        if value.function is assembled and self.outside(value):
            return self._assembled_at_once(value, home)
        rule = None
        if self.outside(value):
            rule = batched(value, self.stacked, lambda v: self.text(v, home, self.all_steps))
        if rule is None:
            self.keep(value)
            return self.stack[value]
        return self._all_at_once(value, rule, home)

    def _all_at_once(self, value: Value, rule: Batched, at: Direction) -> str:
        base = self.stack.get(value.args[0]) if rule.view else None
        lines = at.after if "g" in self.depends[value] else at.before
        name = self.fresh(value.name or self._hint(value))
        if base is not None and base in self.mine:
            self.factory.append(f"{name} = {rule.expression}")
            self.mine.add(name)
            self.stack[value] = name
        elif rule.view or rule.into is None or "g" in self.depends[value]:
            lines.append(f"{name} = {rule.expression}")
            at.names[value] = name
            if at is self.forward and value in self._needed_back():
                self._buffer(value, name)
                lines[-1] = f"{name}[...] = {rule.expression}"
        else:
            reused = self._dying(value, at)
            if reused is not None:
                name = reused
                self.stack[value] = name
            else:
                self._buffer(value, name)
            lines.append(rule.into(name))
        return name

    def _assembled_at_once(self, value: Value, at: Direction) -> str:
        lines = at.after if "g" in self.depends[value] else at.before
        _, dtype, indices, pieces = value.args
        pieces = [self.all_steps(piece, at) for piece in pieces]
        name = at.names[value] = self.fresh(value.name or self._hint(value))
        lines.append(f"{name} = np.zeros({self._shape(value, 'T')}, {literal(dtype)})")
        for index, piece in zip(indices, pieces, strict=True):
            lines.append(f"{name}[{literal(after_time(index))}] = {piece}")
        return name

    def _needed_back(self) -> set[Value]:
        if not hasattr(self, "_back"):
            later = [v for v in self.order if v not in self.ahead]
            self._back = {operand for v in later for operand in v.operands}
        return self._back

    def _dying(self, value: Value, at: Direction) -> str | None:
        """The array of an operand that nobody else asks for, to be written over."""
        if not is_elementwise(value.function):
            return None
        for operand in value.operands:
            name = self.stack.get(operand)
            if (
                name in self.mine
                and operand.function is not None
                and operand in self.ahead
                and value in self.ahead
                and operand.shape == value.shape
                and operand.dtype == value.dtype
                and self.uses[operand] == 1
                and not is_view(operand)
                and operand not in self.stored
                and operand not in self.trace.results
            ):
                return name
        return None

    @property
    def uses(self) -> Counter[Value]:
        if not hasattr(self, "_uses"):
            outputs = [v for group in GROUPS for v in getattr(self.trace, group) if v is not None]
            self._uses = Counter(v for value in self.order for v in value.operands)
            self._uses.update(outputs)
        return self._uses

    def _buffer(self, value: Value, name: str) -> None:
        maker = "zeros" if value.function is assembled and not covers(value) else "empty"
        shape = self._shape(value, "T")
        self.factory.append(f"{name} = np.{maker}({shape}, {literal(value.dtype)})")
        self.mine.add(name)
        self.stack[value] = name

    def home(self, value: Value) -> Direction:
        return self.forward if value in self.ahead else self.backward

    def outside(self, value: Value) -> bool:
        """Whether a value can be computed for all steps at once, outside of the loop."""
        if value.function is None:
            return False
        if value.function is assembled:
            return value not in self.ahead and value not in self.looping
        if value in self.ahead:
            return "h" not in self.depends[value] or is_view(value)
        if "g" in self.depends[value]:
            return value not in self.looping or (is_view(value) and value not in self.piecewise)
        return is_view(value) or "h" not in self.depends[value] or np.size(value.sample) <= AT_ONCE

    @property
    def piecewise(self) -> set[Value]:
        """Parts of assemblies: they are written in their place, so they are no views."""
        if not hasattr(self, "_piecewise"):
            self._piecewise = {p for v in self.order if v.function is assembled for p in v.args[3]}
        return self._piecewise

    def keep(self, value: Value) -> None:
        """Compute the value in the loop, and keep it for every step."""
        self.keep_looping(value)
        if value not in self.stack:
            self._buffer(value, self.fresh(value.name or self._hint(value)))
            self.stored[value] = None
        self.want(value)

    def keep_looping(self, value: Value) -> None:
        """Have all that a value needs in the loop, also what was to be made after it."""
        if value not in self.ahead:
            inner = ordered([value])
            self.looping.update(inner)
            for part in inner:
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
            for operand in value.operands:
                waiting += self._ask(operand, at)

    def _ask(self, value: Value, at: Direction) -> list[Value]:
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

    # Writing --------------------------------------------------------------------------------

    def text(self, leaf: Any, at: Direction, name: Any) -> str:
        """The source of an argument: a value by its name, anything else as a literal."""
        if isinstance(leaf, Value):
            return str(name(leaf, at))
        if isinstance(leaf, slice | tuple | list) and any(True for _ in values_in(leaf)):
            if isinstance(leaf, slice):
                parts = [leaf.start, leaf.stop]
                return ":".join("" if p is None else self.text(p, at, name) for p in parts)
            inner = ", ".join(self.text(part, at, name) for part in leaf)
            return f"[{inner}]" if isinstance(leaf, list) else f"({inner},)"
        return literal(leaf)

    def written(self, value: Value, at: Direction, name: Any) -> str:
        return expression(
            value.function,
            value.args,
            value.kwargs,
            lambda leaf: self.text(leaf, at, lambda v, _: name(v)),
        )

    def _hint(self, value: Value) -> str:
        return "d" if "g" in self.depends[value] else "a"

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
            short = name.removesuffix("_before")
            hint = f"{short}_prev" if short != name else f"{name.removesuffix('_after')}_t"
            walked[name] = self.fresh(hint)
        return walked[name]

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
                self._adjoint(value, at)
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
        for n, value in enumerate(body):
            for operand in value.operands:
                while True:
                    last[operand] = n
                    if operand.function is None or not is_view(operand):
                        break
                    operand = operand.args[0]
        kept = [*self.trace.results, *self.trace.state_gradients]
        if self.windows:
            kept += self.stored
        for kept_value in kept:
            if kept_value is not None:
                last[kept_value] = len(body)
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
            args = [self.text(a, at, lambda v, _: name(v)) for a in value.args]
            at.loop.append(into_buffer(function, args, out))
        elif product:
            left, right = value.args
            a, b = (self.text(v, at, lambda v, _: name(v)) for v in (left, right))
            whole = self.written_to_stack(value) or out in self.fixed_whole
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
                made = self.fresh(value.name or self._hint(value))
                at.loop.append(f"{made} = {text}")
                self.scratch[value] = made

    def written_to_stack(self, value: Value) -> bool:
        """Whether the loop writes a value straight into the array of all steps. Under windows it
        comes once for every lane, and the lanes are added up there."""
        return value in self.stack and not (self.windows and "g" in self.depends[value])

    def step_of_stack(self, value: Value, at: Direction) -> str:
        name = self.stack[value]
        if value.shape == ():
            self.of_numbers.add(name)
        if name not in at.owned:
            at.owned[name] = self.fresh(f"{name.removesuffix('_after')}_t")
        return at.owned[name]

    def _scratch_for(self, value: Value, n: int, last: dict[Value, int], links: Any) -> str:
        if value in links and links[value] not in self.scratch.values():
            self.scratch[value] = links[value]
            return str(links[value])
        if is_elementwise(value.function):
            for operand in value.operands:
                buffer = self.scratch.get(operand)
                if (
                    buffer in self.fixed_whole
                    and last.get(operand) == n
                    and not is_view(operand)
                    and operand.function not in (None, assembled)
                    and operand.shape == value.shape
                    and operand.dtype == value.dtype
                    and buffer not in self.links
                ):
                    self.scratch[value] = buffer
                    return buffer
        made = self.fresh(value.name or self._hint(value))
        self._fixed_buffer(made, value)
        self.scratch[value] = made
        return made

    def _fixed_buffer(self, name: str, value: Value, maker: str = "empty") -> None:
        shape = literal(value.shape)
        self.factory.append(f"{name} = np.{maker}({shape}, {literal(value.dtype)})")
        self.fixed.add(name)
        self.fixed_whole.add(name)

    def _adjoint(self, value: Value, at: Direction) -> None:
        """∂L/∂h_t: from the loss at t, and along the link from the step after it."""
        part = self.trace.adjoints.index(value)
        link, given = self.links[part], self.seed_names[part]
        loss = at.given.setdefault(given, f"{given}_t")
        linked = self.trace.state_gradients[part] is not None
        if self.windows:
            loss = f"{loss} if seeded else 0"
        if not linked and value not in self.stored and not self.windows:
            self.scratch[value] = loss
            return
        if self.written_to_stack(value):
            out = self.step_of_stack(value, at)
        else:
            out = self.fresh(value.name)
            self._fixed_buffer(out, value)
            self.scratch[value] = out
        at.loop.append(f"np.add({link}, {loss}, {out})" if linked else f"np.copyto({out}, {loss})")

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
                name = self.fresh(value.name or self._hint(value))
                self._fixed_buffer(name, value, "empty" if covers(value) else "zeros")
                self.scratch[value] = name
            for index, part in zip(value.args[2], value.args[3], strict=True):
                target = value.sample[index]
                if (
                    part not in at.wanted
                    or part in self.in_place
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
                made = self.fresh(part.name or f"{self._hint(part)}_part")
                if self.written_to_stack(value):
                    whole = after_time(index)
                    self.factory.append(f"{made} = {self.stack[value]}[{literal(whole)}]")
                    self.mine.add(made)
                    self.stack[part] = made
                    self.parts.add(part)
                else:
                    self.factory.append(f"{made} = {self.scratch[value]}[{literal(index)}]")
                    self.fixed.add(made)
                    self.scratch[part] = made
                self.in_place[part] = value

    def _moved(self, part: Value, whole: Value, index: Any) -> bool:
        """Let the array of a part be a view of the whole, if nothing looks into it so far."""
        name = self.stack[part]
        made = [n for n, line in enumerate(self.factory) if line.startswith(f"{name} = np.")]
        read = [line for line in self.factory if f" {name}[" in line]
        if len(made) != 1 or read or part in self.trace.results:
            return False
        del self.factory[made[0]]
        self.factory.append(f"{name} = {self.stack[whole]}[{literal(after_time(index))}]")
        return True

    # Gradients of parameters: sums over all steps ----------------------------------------------

    def summed(self, value: Value) -> str | None:
        """Σ_t of a value, outside of the loop; None where it must be added up in the loop."""
        at = self.backward
        function = value.function

        def over_steps(v: Value) -> str:
            return self.all_steps(v, at)

        if not self.stacked(value):
            return f"T * {self.constant(value, at)}"
        same = [v for v in value.operands if v.shape == value.shape]
        if function is np.add and len(same) == 2:
            terms = [self.summed(v) for v in same]
            return None if None in terms else " + ".join(str(t) for t in terms)
        if function is np.negative:
            inner = self.summed(value.args[0])
            return inner and f"-({inner})"
        if is_view(value) and function is not operator.getitem:
            inner = self.summed(value.args[0])
            if inner is None:
                return None
            return self.written(value, at, lambda v: f"({inner})")
        if is_sum_at(value):
            zeros, index, part = value.args
            if isinstance(index, Value) and isinstance(part, Value):
                name = self.fresh(value.name or "dw")
                made = expression(zeros.function, zeros.args, {}, literal)
                where, what = over_steps(index), over_steps(part)
                at.after += [f"{name} = {made}", f"np.add.at({name}, {where}, {what})"]
                return name
            return None
        if function is assembled:
            shape, dtype, indices, parts = value.args
            sums = [self.summed(p) for p in parts]
            if None in sums:
                return None
            name = self.fresh(value.name or "dw")
            at.after.append(f"{name} = np.zeros({literal(shape)}, {literal(dtype)})")
            at.after += [f"{name}[{literal(i)}] = {s}" for i, s in zip(indices, sums, strict=True)]
            return name
        if function is np.matmul:
            left, right = value.args
            if self.stacked(left) and self.stacked(right):
                factor = untransposed(left)
                if factor is not None and factor.ndim == 2 and right.ndim == 2:
                    return f"{rows(over_steps(factor))}.T @ {rows(over_steps(right))}"
            elif is_ones(left) and self.stacked(right) and (left.ndim, right.ndim) == (1, 2):
                name = over_steps(right)
                return f"np.ones(len({rows(name)}), {literal(value.dtype)}) @ {rows(name)}"
        if function is np.multiply and value.ndim == 2:
            for column, row in (value.args, value.args[::-1]):
                a, b = vector_of(column, 1), vector_of(row, 0)
                if a is not None and b is not None and self.stacked(a) and self.stacked(b):
                    return f"{over_steps(a)}.T @ {over_steps(b)}"
        if value in self.looping or not self.can_leave(value):
            return None
        return f"{over_steps(value)}.sum(axis=0)"

    def can_leave(self, value: Value) -> bool:
        """Whether all it needs beyond the loop's own values can be computed for all steps."""
        rule = batched(value, self.stacked, lambda leaf: "")
        return rule is not None

    def accumulate(self, value: Value) -> str:
        """Σ_t of a value, added up in the loop."""
        self.keep_looping(value)
        self.want(value)
        name = self.fresh("total")
        self.backward.names[Value(None)] = name
        self.accumulated.append((name, value))
        return name

    def build(self) -> None:
        """Ask for all outputs, then write the loops."""
        trace, at = self.trace, self.backward
        self.fixed: set[str] = set()
        self.fixed_whole: set[str] = set()
        self.in_place: dict[Value, Value] = {}
        self.parts: set[Value] = set()
        self.accumulated: list[tuple[str, Value]] = []
        self.links = [self.fresh(f"d{name}_link") for name in self.state_names]
        self.seed_names = [self.fresh(f"dL_d{name}") for name in self.state_names]
        for result in trace.results:
            if result in self.forward.wanted:
                self.want(result)
        for _, result in self.copied:
            for needed in self._ask(result, self.forward):
                self.want(needed)
        for gradient in trace.state_gradients:
            if gradient is not None:
                for value in self._ask(gradient, at):
                    self.want(value)
        self.returned: list[str] = []
        for link, state, gradient in zip(
            self.links, trace.states, trace.state_gradients, strict=True
        ):
            if gradient is not None and self.windows:
                n = self.links.index(link)
                self.fixed_whole.add(link)
                self.returned.append(f"sum(links[lane][{n}] for lane, *_ in alive)")
            elif gradient is not None:
                self._fixed_buffer(link, state)
                self.returned.append(f"{link}.copy()")
            else:
                self.returned.append("None")
        for gradient in trace.input_gradients:
            self.returned.append("None" if gradient is None else self._given_back(gradient))
        for name, gradient in zip(self.parameter_names, trace.parameter_gradients, strict=True):
            if gradient is None:
                self.returned.append("None")
                continue
            text = self.summed(gradient) or self.accumulate(gradient)
            made = self.fresh(f"d{name}")
            at.after.append(f"{made} = {text}")
            self.returned.append(made)
        self.place_parts(self.forward)
        self.place_parts(at)
        self.emit_loop(at)
        for name, value in self.accumulated:
            at.loop.append(f"{name} += {self.step(value, at)}")
        self.emit_loop(self.forward)
        self.reuse_buffers()

    def step_bytes(self) -> int:
        """The bytes of the buffers for one more step, the views of each step counted in."""
        sizes = (np.asarray(v.sample).nbytes for v in self.stack if self.stack[v] in self.mine)
        views = len(self.forward.owned) + len(self.backward.owned)
        return sum(sizes) + 150 * views

    def reuse_buffers(self) -> None:
        """Let what only the way back needs stand where something was that only the way forward
        needed: a third less memory for a plain network."""
        at = self.backward
        text = " ".join([*at.constants, *at.before, *at.loop, *at.after, *at.owned, *self.returned])
        used = set(re.findall(r"\w+", text))
        free: dict[str, list[str]] = {}
        for n, line in enumerate(self.factory):
            name, _, made = line.partition(" = ")
            if not made.startswith("np.empty((T,"):
                continue
            word = re.compile(rf"\b{name}\b")
            forward = name in self.forward.owned or any(map(word.search, self.forward.before))
            if name in used:
                if free.get(made) and not forward:
                    self.factory[n] = f"{name} = {free[made].pop()}  # whose numbers are used up"
            elif not any(map(word.search, self.factory[n + 1 :])):
                free.setdefault(made, []).append(name)

    def _given_back(self, gradient: Value) -> str:
        name = self.all_steps(gradient, self.backward)
        return f"{name}.copy()" if name in self.mine or gradient in self.trace.adjoints else name


def after_time(index: Any) -> tuple[Any, ...]:
    """An index of one step's array, as an index of the array of all steps."""
    return (slice(None), *(index if isinstance(index, tuple) else (index,)))


def rows(name: str) -> str:
    return f"rows({name})"


def untransposed(value: Value) -> Value | None:
    """A, if the value is Aᵀ."""
    if value.function is np.swapaxes and value.ndim == 2:
        return value.args[0]  # type: ignore[no-any-return]
    if value.function is np.transpose and value.ndim == 2 and value.args[1:] in ((), (None,)):
        return value.args[0]  # type: ignore[no-any-return]
    return None


def is_ones(value: Any) -> bool:
    return isinstance(value, Value) and value.function is filled and value.args[1] == 1


def vector_of(value: Any, axis: int) -> Value | None:
    """v, if the value is v[:, None] (axis 1) or v[None, :] or v itself (axis 0)."""
    if not isinstance(value, Value):
        return None
    if axis == 0 and value.ndim == 1:
        return value
    if value.ndim == 2 and value.shape[axis] == 1 and is_view(value):
        inner = value.args[0]
        return inner if inner.ndim == 1 else None
    return None
