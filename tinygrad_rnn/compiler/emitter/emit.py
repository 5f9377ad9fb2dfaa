"""From a trace to the parts of a program: the calls sorted by dependence, each in its place."""

from __future__ import annotations

import re

from tinygrad_rnn.compiler.emitter.batch import batched, is_view
from tinygrad_rnn.compiler.emitter.loop import Loop
from tinygrad_rnn.compiler.emitter.sums import joint_products, summed
from tinygrad_rnn.compiler.emitter.write import words
from tinygrad_rnn.compiler.frontend.trace import Trace
from tinygrad_rnn.compiler.frontend.tracer import Value
from tinygrad_rnn.compiler.passes.joining import is_row


class Emitter(Loop):
    """All lines of a program, from `factory`, `forward` and `backward`; `layout` makes a page.

    returned: what `backward` returns, for states, inputs and parameters. accumulated: sums that
    are added up in the loop. at_once: outputs that are no part of the loop, with their arrays.
    """

    def __init__(self, trace: Trace, windows: bool = False) -> None:
        super().__init__(trace, windows)
        self.in_place, self.gathered = {}, {}
        self.copies = []
        self.accumulated: list[tuple[str, Value]] = []
        self.returned: list[str] = []
        self._name_inputs()
        self.links = [self.fresh(f"d{name}_link") for name in self.state_names]
        self.seeds = [self.fresh(f"dL_d{name}") for name in self.state_names]
        self.lay_out_carried()
        self.joint = joint_products(self)
        self.build()

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
        self.at_once: list[tuple[str, Value]] = []
        made: set[Value] = set(trace.states)
        self.lay_out_rows()
        for state, result, name in zip(trace.states, trace.results, self.state_names, strict=True):
            before, after = self.fresh(f"{name}_before"), self.fresh(f"{name}_after")
            self.factory += [
                *self.array_of_state(state, name),
                f"{before}, {after} = {name}[:-1], {name}[1:]",
            ]
            self.mine |= {before, after}
            self.stack[state] = before
            if state not in self.array_with or is_row(state):
                self.whole.add(after)
            if state in self.outputs and (self.outside(result) or not self.stacked(result)):
                self.at_once.append((after, result))
                continue
            self.forward.owned[after] = self.name_of_step(after)
            if state.shape == ():
                self.of_numbers.add(after)
            if result not in made and "h" in self.depends[result] and not is_view(result):
                made.add(result)
                self.stack[result] = after
                self.forward.wanted[result] = None
            else:
                self.copied.append((after, result))

    def build(self) -> None:
        """Ask for all outputs, then write the loops."""
        trace, at = self.trace, self.backward
        for row in self.rows:  # first of all: others look into their arrays
            self.want(row)
        for result in trace.results:
            if result in self.forward.wanted:
                self.want(result)
        for _, result in self.copied:
            for needed in self.ask(result, self.forward):
                self.want(needed)
        for after, result in sorted(self.at_once, key=lambda pair: self.rank[pair[1]]):
            self._give_out(after, result)
        for carried in trace.carried.values():
            self.keep(carried.row)
        for gradient in trace.state_gradients:
            if gradient is not None:
                for value in self.ask(gradient, at):
                    self.want(value)
        for n, (link, gradient) in enumerate(zip(self.links, trace.state_gradients, strict=True)):
            if gradient is not None and self.windows:
                self.whole.add(link)
                self.returned.append(f"sum(links[lane][{n}] for lane, *_ in alive)")
            elif gradient is not None or n in trace.carried:
                self.returned.append(self._link_of_first(n))
            else:
                self.returned.append("None")
        for gradient in trace.input_gradients:
            self.returned.append("None" if gradient is None else self._given_back(gradient))
        known: dict[Value, str] = {}
        for name, gradient in zip(self.parameter_names, trace.parameter_gradients, strict=True):
            if gradient is None:
                self.returned.append("None")
                continue
            if gradient in known:  # as that of a second bias; each is to have an array of its own
                self.returned.append(f"{known[gradient]}.copy()")
                continue
            text = summed(self, gradient) or self.accumulate(gradient)
            known[gradient] = self.fresh(f"d{name}")
            at.after.append(f"{known[gradient]} = {text}{equation(text)}")
            self.returned.append(known[gradient])
        for part, here in self.carried_here.items():
            self.copies.append(f"{here}[...] = {self.given_gradient(part)}")
        self.place_parts(self.forward)
        self.place_parts(at)
        self.emit_loop(at)
        for name, value in self.accumulated:
            at.loop.append(f"{name} += {self.step(value, at)}")
        self.emit_loop(self.forward)
        self.reuse_buffers()
        if self.rows or self.carried_rows:
            self.bind_products()

    def _give_out(self, after: str, result: Value) -> None:
        """Compute an output for all steps, after the loop; in its place, if it has none yet."""
        at = self.forward
        if result not in self.stack and self.comes_after(result) and not is_view(result):
            rule = batched(
                result, self.stacked, lambda v: self.argument(v, result, at, self.all_steps)
            )
            if rule is not None and rule.into is not None:
                self.stack[result] = after
                self.whole.add(after)
                at.after.append(rule.into(after))
                return
        at.after.append(f"{after}[...] = {self.all_steps(result, at)}")

    def _link_of_first(self, n: int) -> str:
        """The gradient of the n-th part of the initial state."""
        link = ""
        if self.trace.state_gradients[n] is not None:
            link = self.links[n]
            self.make_scratch(self.trace.states[n], link)
        if n not in self.trace.carried:
            return f"{link}.copy() if entering else None"
        row, matrix, *_ = self.trace.carried[n]
        joint = self.constant(matrix, self.backward)
        first = f"{self.stack[row]}[0]"
        product = f"{first} @ {joint}[:{row.shape[-1]}]"
        given = f"{link} + {product}" if link else product
        if self.trace.carried[n].alone:
            given = f'{first} if entering == "block" else {given}'
        return f"({given}) if entering else None"

    def accumulate(self, value: Value) -> str:
        """Σ_t of a value, added up in the loop."""
        self.pull_into_loop(value)
        self.want(value)
        name = self.fresh("total")
        self.accumulated.append((name, value))
        return name

    def _given_back(self, gradient: Value) -> str:
        name = self.all_steps(gradient, self.backward)
        return f"{name}.copy()" if name in self.mine or gradient in self.trace.adjoints else name

    def reuse_buffers(self) -> None:
        """Let an array that only the way back needs stand where one was that only the way forward
        needed; and mark those that are needed in one direction only as `empty`, so that another
        block of steps may use them, too."""
        at = self.backward
        back = words([*at.constants, *at.before, *at.loop, *at.after, *at.owned, *self.returned])
        ahead = words([*self.forward.before, *self.forward.owned, *self.forward.after])
        free: dict[str, list[str]] = {}
        for n, line in enumerate(self.factory):
            name, _, made = line.partition(" = ")
            if not made.startswith("np.empty((T,"):
                continue
            family = {name}  # with the views of it
            for other in self.factory[n + 1 :]:
                view, _, of = other.partition(" = ")
                if words([of]) & family:
                    family.add(view)
            if family & ahead and family & back:
                continue
            made = made.replace("np.empty", "empty")
            self.factory[n] = f"{name} = {made}"
            if family & back and free.get(made):
                self.factory[n] = f"{name} = {free[made].pop()}  # whose numbers are used up"
            elif family & ahead:
                free.setdefault(made, []).append(name)

    def bind_products(self) -> None:
        """Where an array of the loop is asked for its product alone, let the loop have just that:
        for a single row it takes hardly longer than to look it up."""
        for at in (self.forward, self.backward):
            for name, step in list(at.owned.items()):
                inside = [line for line in at.loop if step in words([line])]
                calls = sum(len(re.findall(rf"\b{step}\b", line)) for line in inside)
                if calls and calls == sum(line.count(f"{step}.dot(") for line in inside):
                    at.owned[name] = product = self.fresh(f"{step}_dot")
                    at.products.add(name)
                    at.loop = [line.replace(f"{step}.dot(", f"{product}(") for line in at.loop]


def equation(text: str) -> str:
    """What a sum over all steps is in the textbook's notation, as a comment."""
    product = re.fullmatch(r"rows\((\w+)\)\.T @ rows\((\w+)\)", text)
    if product:
        left, right = product.groups()
        earlier = left.removesuffix("_before")
        index = "{t−1}" if earlier != left else "t"
        return f"  # Σ_t {earlier}_{index}ᵀ {right}_t"
    total = re.fullmatch(r"ones\w*\.dot\(rows\((\w+)\)\)", text)
    return f"  # Σ_t {total[1]}_t" if total else ""
