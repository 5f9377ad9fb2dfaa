"""One instruction for each call, in the loop or for all steps at once. d: the draft of the
program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.batching import batched
from tinygrad_rnn.compiler.ir import (
    AtOnce,
    Depends,
    Instr,
    Operand,
    Phase,
    Ref,
    Storage,
    Value,
    View,
    When,
    mapped,
)
from tinygrad_rnn.compiler.lowering.draft import Draft, at_one_step, seen
from tinygrad_rnn.compiler.operations import (
    OUT_LAST,
    assembled,
    copy,
    filled,
    is_elementwise,
    takes_out,
)
from tinygrad_rnn.compiler.passes.assemble import covers
from tinygrad_rnn.compiler.views import at_all_steps, is_part, is_view, source


def emit(d: Draft, value: Value, way: int, phase: Phase) -> None:
    """Emit the call of a value, for one step or for all steps at once."""
    lines, at_once = d.lines(value, way, phase), phase in (Phase.BEFORE, Phase.AFTER)
    if value.function is assembled:
        emit_parts(d, value, way, phase)
        return
    if is_view(value) or (is_part(value) and d.varies(value)):
        # A constant as an array of its own, or a saved result of a call that has several.
        given = d.place(value, way)
        lines.append(Instr(copy, (given,), d.place_for(value, way, at_once, writes=True)))
        return
    if is_part(value) or value.function is filled:
        return  # `Draft.place` knows their places
    call = batched(value, d.varies) if at_once else for_one_step(d, value)
    assert call is not None and call.function is not None, value
    args, kwargs = arguments(d, call, way, d.whole if at_once else d.place)
    if value.results is None:
        writes = takes_out(call.function, call.kwargs) or not (at_once or value.shape)
        place = d.place_for(value, way, at_once, writes)
        made: Any = seen(at_all_steps(place) if at_once else place, *call.out_views)
    else:
        writes = at_once or call.function in OUT_LAST
        storage = Storage.SCRATCH if writes else Storage.RESULT
        hint, time = d.hint(value), 0 if at_once else None
        refs = tuple(at_one_step(d.buffer(hint, *t, storage, time)) for t in value.results)
        parts = [v for v in d.graph.order if is_part(v) and v.args[0] is value]
        d.places |= {d.key(part, way): refs[part.args[1]] for part in parts}
        made = tuple(map(at_all_steps, refs)) if at_once else refs
    lines.append(Instr(call.function, args, made, kwargs))


def for_one_step(d: Draft, value: Value) -> AtOnce:
    """The call for one step. Elementwise calls have operands of the same shape."""
    elementwise = is_elementwise(value.function) and not value.kwargs and d.varies(value)

    def operand(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        is_row = elementwise and not d.varies(leaf) and leaf.shape != value.shape
        return Operand(leaf, spread=value.shape if is_row else None)

    args, kwargs = mapped((value.args, dict(value.kwargs)), operand)
    return AtOnce(value, np.dot if can_be_dot(value) else value.function, args, kwargs)


def emit_parts(d: Draft, value: Value, way: int, phase: Phase) -> None:
    """Emit the parts of an array that is put together, each as soon as it is known, and zeros where
    there are none."""
    whole = d.place_for(value, way, phase in (Phase.BEFORE, Phase.AFTER), writes=True)
    if not covers(value):
        d.setup.append(Instr(copy, (0,), at_all_steps(whole)))
    for index, part in zip(*value.args[2:], strict=True):
        out = seen(whole, View("index", index), name=part.name or d.hint(part))
        found = phase
        if not d.varies(part):
            found = Phase.CONSTANT
        elif phase is Phase.LOOP and out.when is When.STEP and is_before(d, part, way):
            found = Phase.BEFORE
        if found is Phase.LOOP:
            d.ways[way].loop.append(Instr(copy, (d.place(part, way),), out))
        else:
            given = part.args[1] if part.function is filled else d.whole(part, way)
            d.lines(part, way, found).append(Instr(copy, (given,), at_all_steps(out)))


def is_before(d: Draft, value: Value, way: int) -> bool:
    """Whether a value is known before a loop."""
    base = source(value)
    if base.function is None:
        return (Depends.STATE, Depends.GRADIENT)[way] not in d.graph.depends[base]
    return d.way(base) < way or d.phases[way].get(base) is Phase.BEFORE


def can_be_dot(value: Value) -> bool:
    """Whether a product can be a call of `np.dot`, which is faster: of matrices of one dtype."""
    if value.function is not np.matmul:
        return False
    pair = [v for v in value.args if isinstance(v, Value)]
    plain = len(pair) == 2 and all(v.dtype == value.dtype and v.ndim <= 2 for v in pair)
    return plain and value.ndim > 0 and not value.kwargs


def arguments(d: Draft, call: AtOnce, way: int, place: Callable[..., Ref]) -> Any:
    """The arguments of a call, and its options. place: the place from which to read a value. The
    sums among the arguments are emitted first."""

    def read(leaf: Any) -> Any:
        if isinstance(leaf, Operand) and isinstance(leaf.value, AtOnce):
            return seen(summed(d, leaf.value), *leaf.views)
        found = d.constant_of(leaf.value if isinstance(leaf, Operand) else leaf, call)
        if not isinstance(found, Value):
            return found
        if leaf.spread is not None:
            return seen(d.spread_out(found, leaf.spread, way), *leaf.views)
        return seen(place(found, way), *leaf.views)

    return mapped((call.args, dict(call.kwargs)), read)


def summed(d: Draft, call: AtOnce, name: str = "") -> Ref:
    """Emit the sum of a value over the steps, once."""

    def emitted() -> Ref:
        value, lines = call.value, d.ways[1]
        storage = Storage.RETURNED if call.function is None else Storage.RESULT
        place = d.result(name or value.name or "dw", value, storage)
        if call.function is None:
            lines.before.append(Instr(copy, (0,), place))
            lines.loop.append(Instr(np.add, (place, d.place(value, 1)), place))
            return place
        comment = ""
        if call.function in (np.matmul, np.dot):
            factors = [d.symbol(o.value) for o in call.args if not o.spread]
            comment = f"Σ_t {'ᵀ '.join(factors)}"
        args, kwargs = arguments(d, call, 1, d.whole)
        lines.after.append(Instr(call.function, args, place, kwargs, comment=comment))
        return place

    return d.once(("sum", call.value), emitted)
