"""The result of every stage of the compiler as text, in the notation of the chapter.

Printing reads the records and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.backends.literals import expression, literal, of_index
from tinygrad_rnn.compiler.ir import (
    AtOnce,
    Buffer,
    Instr,
    Operand,
    Phase,
    Program,
    Ref,
    Schedule,
    StepGraph,
    Storage,
    Value,
    When,
    ordered,
)
from tinygrad_rnn.compiler.lowering.names import Names
from tinygrad_rnn.compiler.operations import (
    added_at,
    assembled,
    astype,
    copy,
    filled,
    over_lanes,
    placed,
)

FORMS: dict[Any, str] = {
    np.add: "{} + {}",
    np.subtract: "{} − {}",
    np.multiply: "{} · {}",
    np.divide: "{} / {}",
    np.matmul: "{} @ {}",
    np.dot: "{} @ {}",
    np.power: "{} ** {}",
    np.greater: "{} > {}",
    np.less: "{} < {}",
    np.negative: "−{}",
    np.transpose: "{}.T",
    astype: "{} as {}",
    copy: "{}",
    over_lanes: "Σ over the lanes of {}",
}


def show(result: Any) -> str:
    """A step graph, a schedule or a program as text."""
    if isinstance(result, StepGraph):
        return show_graph(result)
    if isinstance(result, Schedule):
        return show_schedule(result)
    assert isinstance(result, Program)
    return show_program(result)


class Stages:
    """The results of all stages as text: a hook for `pipeline.compiled`."""

    def __init__(self) -> None:
        self.pages: list[tuple[str, str]] = []

    def __call__(self, stage: str, result: Any) -> None:
        self.pages.append((stage, show(result)))

    def text(self) -> str:
        """The stages one after the other. A pass that changes nothing is only named."""
        parts, before = [], ""
        for stage, page in self.pages:
            same = page == before
            parts.append(heading(stage) + ("(as before)\n" if same else page))
            before = page
        return "\n".join(parts)


def heading(stage: str) -> str:
    return f"── after {stage} {'─' * (88 - len(stage))}\n"


# Calls ------------------------------------------------------------------------------------------


class Words:
    """The names of values: their own, or numbers."""

    def __init__(self, graph: StepGraph) -> None:
        self.names = Names()
        self.names.taken = set()
        self.count = 0
        self.known: dict[Value, str] = {}
        given = (*graph.inputs, *graph.states, *graph.parameters)
        for value in (*given, *(v for v in graph.adjoints if v is not None)):
            self.of(value)

    def of(self, value: Value) -> str:
        if value not in self.known:
            if not value.name:
                self.count += 1
            self.known[value] = self.names.fresh(value.name or f"v{self.count}")
        return self.known[value]

    def argument(self, leaf: Any) -> str:
        return literal(leaf, self.known_name)

    def known_name(self, leaf: Any) -> str | None:
        if not isinstance(leaf, Value):
            return None
        if leaf.function is filled and leaf.shape == ():
            return literal(np.asarray(leaf.args[1])[()].item())
        return self.of(leaf)

    def call(self, value: Value) -> str:
        return notation(value.function, value.args, value.kwargs, self.argument)


def notation(function: Any, args: Any, kwargs: Any, name: Any) -> str:
    """A call in mathematical notation."""
    if function is np.swapaxes and args[1:] == (-1, -2):
        return f"{name(args[0])}.T"
    if function is filled:
        return f"{literal(args[1])}, everywhere"
    if function is assembled:
        parts = (
            f"[{of_index(index)}] = {name(part)}" for index, part in zip(*args[2:], strict=True)
        )
        return f"put together: {', '.join(parts)}"
    if function in (placed, added_at):
        sign = "=" if function is placed else "+="
        return f"{name(args[0])} with [{of_index(args[1], name)}] {sign} {name(args[2])}"
    return expression(function, args, kwargs, name, FORMS).removeprefix("np.")


# Step graphs ------------------------------------------------------------------------------------


def show_graph(graph: StepGraph) -> str:
    words = Words(graph)
    lines = []
    for group, values in (
        ("inputs", graph.inputs),
        ("states", graph.states),
        ("parameters", graph.parameters),
    ):
        found = ", ".join(f"{words.of(v)} {shape(v)}" for v in values)
        lines.append(f"{group:<11} {found}")
    ahead = ordered(graph.results)
    lines += ["", "forward", *calls(ahead, words)]
    for state, result in zip(graph.states, graph.results, strict=True):
        lines.append(f"    {words.of(state)}_t = {words.argument(result)}")
    back = [v for v in ordered(graph.outputs()) if v not in set(ahead)]
    pairs = zip(graph.states, graph.adjoints, strict=True)
    seeds = [f"{words.of(a)} = ∂L/∂{words.of(s)}_t" for s, a in pairs if a is not None]
    if not seeds:
        return "\n".join([*lines, ""])
    lines += ["", f"back, from {', '.join(seeds)}", *calls(back, words)]
    for n, value in graph.output_grads.items():
        lines.append(
            f"    the outputs add to ∂L/∂{words.of(graph.states[n])}_t: {words.argument(value)}"
        )
    groups = (
        (graph.states, graph.state_gradients, "_{t−1}"),
        (graph.inputs, graph.input_gradients, "_t"),
        (graph.parameters, graph.parameter_gradients, ""),
    )
    for values, gradients, index in groups:
        for n, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
            fused = graph.fused_adjoints.get(n) if values is graph.states else None
            texts = [] if gradient is None else [words.argument(gradient)]
            if fused is not None:
                texts.append(
                    f"[{words.of(fused.row)}, {words.of(fused.appended)} of the step before] @ "
                    f"{words.of(fused.matrix)}, in the step before"
                )
            if texts:
                lines.append(f"    ∂L/∂{words.of(value)}{index} = {' + '.join(texts)}")
    return "\n".join([*lines, ""])


def calls(values: Iterable[Value], words: Words) -> list[str]:
    """One line for each value that is computed, with its shape."""
    lines = []
    for value in values:
        if value.function is None or (value.function is filled and value.shape == ()):
            continue
        text = f"{words.of(value)} = {words.call(value)}"
        lines.append(f"    {text:<60} {shape(value)}")
    return lines


def shape(value: Value) -> str:
    if value.results is not None:
        return ", ".join(str(found) for found, _ in value.results)
    return "number" if value.shape == () else "×".join(map(str, value.shape))


# Schedules --------------------------------------------------------------------------------------

TITLES = {
    Phase.CONSTANT: "once, from the parameters alone",
    Phase.BEFORE: "before the loop, for all steps at once",
    Phase.LOOP: "in the loop, step by step",
    Phase.AFTER: "after the loop, for all steps at once",
}


def show_schedule(schedule: Schedule) -> str:
    words = Words(schedule.graph)
    for value in schedule.graph.order:  # the same names as those of the graph
        words.of(value)
    lines = []
    for title, way in (("forward", schedule.forward), ("back", schedule.backward)):
        lines.append(title)
        for phase in Phase:
            found = [v for v in way.of(phase) if v.function is not None]
            if found:
                lines.append(f"  {TITLES[phase]}")
                for value in found:
                    kept = "  — kept" if value in schedule.saved else ""
                    lines.append(f"    {words.of(value)} = {words.call(value)}{kept}")
    sums = zip(schedule.graph.parameters, schedule.sums, strict=True)
    found_sums = [
        f"    ∂L/∂{words.of(p)} = {of_sum(how, words)}" for p, how in sums if how is not None
    ]
    if found_sums:
        lines += ["  summed over the steps", *found_sums]
    return "\n".join([*lines, ""])


def of_sum(call: AtOnce, words: Words) -> str:
    """A sum over the steps, in the notation of the textbook."""

    def name(leaf: Any) -> str:
        if isinstance(leaf, Operand):
            leaf = leaf.value
        return of_sum(leaf, words) if isinstance(leaf, AtOnce) else words.argument(leaf)

    if call.function is None:
        return f"Σ_t {name(call.value)}, in the loop"
    operands = [name(leaf) for leaf in call.args if isinstance(leaf, Operand) and not leaf.spread]
    if call.function in (np.matmul, np.dot, np.sum):
        return f"Σ_t {'ᵀ '.join(operands)}"
    if call.function is np.asarray:
        return f"a part of {operands[0]}"
    if call.function is np.copy:
        return f"{operands[0]}, in another shape"
    if call.function is np.negative:
        return f"−({operands[0]})"
    return notation(call.function, call.args, call.kwargs, name)


# Programs ---------------------------------------------------------------------------------------


def show_program(program: Program) -> str:
    lines = ["buffers"]
    for buffer in program.buffers:
        if buffer.storage in (Storage.STATE, Storage.KEPT, Storage.SCRATCH, Storage.LANE):
            lines.append(f"    {of_buffer(buffer)}")
    lines += instructions("set up once", program.setup)
    for title, sections in (("forward", program.forward), ("back", program.backward)):
        lines.append(title)
        for phase in Phase:
            lines += instructions(f"  {TITLES[phase]}", sections.of(phase))
    return "\n".join([*lines, ""])


def of_buffer(buffer: Buffer) -> str:
    entries = {None: [], 0: ["T"], 1: ["T+1"]}[buffer.time]
    size = "×".join([*entries, *map(str, buffer.shape)]) or "number"
    more = f", the memory of {buffer.root.name}" if buffer.shares is not None else ""
    return f"{buffer.name:<16} {size:<14} {buffer.dtype}, {buffer.storage.name.lower()}{more}"


def instructions(title: str, instrs: Iterable[Instr]) -> list[str]:
    lines = [f"    {of_instr(instr)}" for instr in instrs]
    return [title, *lines] if lines else []


def of_instr(instr: Instr) -> str:
    out = ", ".join(map(of_ref, instr.writes()))
    return f"{out} ← {notation(instr.function, instr.args, instr.kwargs, argument)}"


def argument(leaf: Any) -> str:
    return literal(leaf, lambda part: of_ref(part) if isinstance(part, Ref) else None)


def of_ref(ref: Ref) -> str:
    """h[t], h[t−1], h of all steps: h[:]."""
    name = ref.buffer.name
    if ref.when is When.STEP:
        back = ref.buffer.time == 1 and ref.offset == 0
        name = f"{name}[t−1]" if back else f"{name}[t]"
    elif ref.when is When.ALL:
        name = f"{name}[:T]" if ref.buffer.time == 1 and ref.offset == 0 else f"{name}[:]"
    elif ref.when is not When.ALWAYS:
        name = f"{name}[first]" if ref.when is When.FIRST else f"{name}[last]"
    for view in ref.views:
        if view.kind == "index":
            name += f"[{of_index(view.argument)}]"
        elif view.kind == "transpose" and view.argument == (1, 0):
            name += ".T"
        elif view.kind == "reshape" and view.argument[:1] == (-1,):
            name = f"rows({name})" if len(view.argument) == 2 else f"flat({name})"
        else:
            name += f".{view.kind}{literal(view.argument)}"
    return name
