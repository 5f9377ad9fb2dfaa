"""One instruction for each call, in the loop or for all steps at once. d: the draft of the
program."""

from __future__ import annotations

from dataclasses import replace
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
    When,
    mapped,
)
from tinygrad_rnn.compiler.lowering.draft import Draft, seen
from tinygrad_rnn.compiler.operations import (
    OUT_LAST,
    assembled,
    copy,
    is_elementwise,
    takes_out,
)
from tinygrad_rnn.compiler.views import at_all_steps, is_part, source


def in_loop(d: Draft, value: Value, way: int) -> None:
    """Emit the call of a value in the loop."""
    lines = d.ways[way].loop
    if value.function is assembled:
        whole = d.place_for(value, at_once=False, writes=True)
        for part, out in d.copy_parts(value, whole, way):
            if out.when is When.STEP and is_before(d, part, way):
                given = d.whole(part, way)
                d.ways[way].before.append(Instr(copy, (given,), at_all_steps(out)))
            else:
                lines.append(Instr(copy, (d.place(part, way),), out))
    elif is_part(value):  # a saved result of a call that has several
        given = d.part(None, value)
        lines.append(Instr(copy, (given,), d.place_for(value, at_once=False, writes=True)))
    elif value.results is not None:
        storage = Storage.SCRATCH if value.function in OUT_LAST else Storage.RESULT
        refs = d.results[None, value] = d.new_results(value, None, storage)
        lines.append(d.instr_of(value, way, refs))
    else:
        writes = takes_out(value.function, value.kwargs) or not value.shape
        out = d.place_for(value, at_once=False, writes=writes)
        assert value.function is not None
        if is_elementwise(value.function) and not value.kwargs:
            args = tuple(operand(d, leaf, value, way) for leaf in value.args)
            lines.append(Instr(value.function, args, out))
            return
        instr = d.instr_of(value, way, out)
        is_dot = value.function is np.matmul and can_be_dot(value)
        lines.append(replace(instr, function=np.dot) if is_dot else instr)


def is_before(d: Draft, value: Value, way: int) -> bool:
    """Whether a value is known before a loop."""
    base = source(value)
    if base.function is None:
        return (Depends.STATE, Depends.GRADIENT)[way] not in d.s.depends[base]
    return d.way(base) < way or d.phases[way].get(base) is Phase.BEFORE


def can_be_dot(value: Value) -> bool:
    """Whether a product can be a call of `np.dot`, which is faster: of matrices of one dtype."""
    pair = [v for v in value.args if isinstance(v, Value)]
    plain = len(pair) == 2 and all(v.dtype == value.dtype and v.ndim <= 2 for v in pair)
    return plain and value.ndim > 0 and not value.kwargs


def operand(d: Draft, leaf: Any, value: Value, way: int) -> Any:
    """An operand of an elementwise call in the loop, in its fastest form."""
    leaf = d.number_of(leaf, value)
    if not isinstance(leaf, Value):
        return d.argument(leaf, way, d.place)
    if not d.varies(leaf) and leaf.shape != value.shape:
        return d.spread_out(leaf, value.shape, way)
    return d.place(leaf, way)


def at_once(d: Draft, value: Value, way: int, lines: list[Instr]) -> None:
    """Emit the call of a value for all steps."""
    if value.function is assembled:
        whole = d.place_for(value, at_once=True, writes=True)
        for part, place in d.copy_parts(value, whole, way):
            lines.append(Instr(copy, (d.whole(part, way),), at_all_steps(place)))
        return
    call = batched(value, d.varies)
    assert call is not None and call.function is not None, value
    args = arguments(d, call, way)
    out: Ref | tuple[Ref, ...]
    if value.results is not None:
        kept = Storage.KEPT if way == 0 else Storage.SCRATCH
        d.results[None, value] = d.new_results(value, 0, kept)
        out = tuple(map(at_all_steps, d.results[None, value]))
    else:
        kwargs = () if is_elementwise(call.function) else call.kwargs
        place = d.place_for(value, at_once=True, writes=takes_out(call.function, kwargs))
        out = seen(at_all_steps(place), *call.out_views)
    lines.append(Instr(call.function, args, out, call.kwargs))


def arguments(d: Draft, call: AtOnce, way: int) -> Any:
    """The arguments of a call for all steps. The sums among them are emitted first."""

    def read(leaf: Any) -> Any:
        if not isinstance(leaf, Operand):
            return d.argument(d.number_of(leaf, call.value), way, d.whole)
        if isinstance(leaf.value, AtOnce):
            return seen(summed(d, leaf.value), *leaf.views)
        number = d.number_of(leaf.value, call.value)
        if not isinstance(number, Value):
            return number
        if leaf.spread is not None:
            return seen(d.spread_out(leaf.value, leaf.spread, way), *leaf.views)
        return d.whole(leaf.value, way, *leaf.views)

    return mapped(call.args, read)


def summed(d: Draft, call: AtOnce, out: Ref | None = None) -> Ref:
    """Emit the sum of a value over the steps, once."""

    def emitted() -> Ref:
        value, lines = call.value, d.ways[1]
        place = out or d.result(value.name or "dw", value)
        if call.function is None:
            lines.before.append(Instr(np.zeros, (value.shape, value.dtype), place))
            lines.loop.append(Instr(np.add, (place, d.place(value, 1)), place))
            return place
        comment = ""
        if call.function in (np.matmul, np.dot):
            factors = [d.symbol(o.value) for o in call.args if not o.spread]
            comment = f"Σ_t {'ᵀ '.join(factors)}"
        args = arguments(d, call, 1)
        lines.after.append(Instr(call.function, args, place, call.kwargs, comment=comment))
        return place

    return d.once(("sum", call.value), emitted)
