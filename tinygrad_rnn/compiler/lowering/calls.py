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
    View,
    mapped,
)
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.places import is_contiguous
from tinygrad_rnn.compiler.operations import OUT_LAST, assembled, copy, is_elementwise, takes_out
from tinygrad_rnn.compiler.passes.assemble import covers
from tinygrad_rnn.compiler.views import is_part, source


def in_loop(d: Draft, value: Value, way: int) -> None:
    """Emit the call of a value in the loop."""
    lines = d.ways[way].loop
    if value.function is assembled:
        assemble(d, value, way)
        return
    if value in d.s.rows:
        for part, place in d.row_parts:
            if place.buffer is d.places[value].buffer and not is_before(d, part):
                lines.append(Instr(copy, (d.step(part, way),), place.step()))
        return
    if is_part(value):  # a saved result of a call that has several
        lines.append(Instr(copy, (d.part(None, value).step(),), d.places[value].step()))
        return
    if value.results is not None:
        given = value.function in OUT_LAST
        storage = Storage.SCRATCH if given else Storage.RESULT
        d.results[None, value] = d.new_results(value, None, storage)
        refs = tuple(place.step() for place in d.results[None, value])
        lines.append(d.instr_of(value, way, refs))
        return
    if value not in d.places:
        direct = takes_out(value.function, value.kwargs) or not value.shape
        storage = Storage.SCRATCH if direct else Storage.RESULT
        d.places[value] = d.for_value(value, None, storage)
    out = d.places[value].step()
    if is_elementwise(value.function) and not value.kwargs:
        args = tuple(operand(d, leaf, value, way) for leaf in value.args)
        assert value.function is not None
        lines.append(Instr(value.function, args, out))
        return
    instr = d.instr_of(value, way, out)
    if value.function is np.matmul and can_be_dot(d, value, out):
        instr = replace(instr, function=np.dot)
    lines.append(instr)


def is_before(d: Draft, part: Value) -> bool:
    """Whether a part of a row is known before the loop."""
    base = source(part)
    phase = d.phases[0].get(base)
    known = base.function is None and Depends.STATE not in d.s.depends[base]
    return known or phase in (Phase.BEFORE, Phase.CONSTANT)


def can_be_dot(d: Draft, value: Value, out: Ref) -> bool:
    """Whether a product can be a call of `np.dot`, which is faster: two matrices of one dtype, and
    contiguous memory for the result."""
    pair = [v for v in value.args if isinstance(v, Value)]
    plain = len(pair) == 2 and all(v.dtype == value.dtype and v.ndim <= 2 for v in pair)
    return plain and value.ndim > 0 and not value.kwargs and is_contiguous(out)


def operand(d: Draft, leaf: Any, value: Value, way: int) -> Any:
    """An operand of an elementwise call in the loop, in its fastest form."""
    leaf = d.number_of(leaf, value)
    if not isinstance(leaf, Value):
        return d.argument(leaf, way, d.step)
    if not d.varies(leaf) and leaf.shape != value.shape:
        return d.spread_out(leaf, value.shape, way)
    return d.step(leaf, way)


def assemble(d: Draft, whole: Value, way: int) -> None:
    """Write the parts of an assembly that were not written in their places before."""
    place = d.places[whole]
    for index, part in zip(whole.args[2], whole.args[3], strict=True):
        target = place.seen(View("index", index))
        if d.places.get(part) is None or d.places[part].step() != target.step():
            d.ways[way].loop.append(Instr(copy, (d.step(part, way),), target.step()))


def at_once(d: Draft, value: Value, way: int, lines: list[Instr]) -> None:
    """Emit the call of a value for all steps."""
    if value.function is assembled:
        place = d.for_value(value, 0, Storage.KEPT, 0 if not covers(value) else None)
        d.places[value] = place
        for index, part in zip(value.args[2], value.args[3], strict=True):
            target = place.whole(View("index", (slice(None), *index)))
            lines.append(Instr(copy, (d.whole(part, way),), target))
        return
    call = batched(value, d.varies)
    assert call is not None and call.function is not None, value
    args = arguments(d, call, way)
    out: Ref | tuple[Ref, ...]
    if value.results is not None:
        kept = Storage.KEPT if way == 0 else Storage.SCRATCH
        d.results[None, value] = d.new_results(value, 0, kept)
        out = tuple(place.whole() for place in d.results[None, value])
    else:
        if value not in d.places:
            d.places[value] = d.for_value(value, 0, storage_at_once(d, value, way, call))
        out = d.places[value].whole(*call.out_views)
    lines.append(Instr(call.function, args, out, call.kwargs))


def storage_at_once(d: Draft, value: Value, way: int, call: AtOnce) -> Storage:
    direct = takes_out(call.function, () if is_elementwise(call.function) else call.kwargs)
    if way == 1 and value in d.graph.input_gradients:
        return Storage.RETURNED if direct else Storage.RESULT
    if way == 0 and value in d.read_back:
        return Storage.KEPT
    return Storage.SCRATCH if direct else Storage.RESULT


def arguments(d: Draft, call: AtOnce, way: int) -> Any:
    """The arguments of a call for all steps. The sums among them are emitted first."""

    def read(leaf: Any) -> Any:
        if not isinstance(leaf, Operand):
            return d.argument(d.number_of(leaf, call.value), way, d.whole)
        if isinstance(leaf.value, AtOnce):
            ref = summed(d, leaf.value)
            return replace(ref, views=(*ref.views, *leaf.views))
        number = d.number_of(leaf.value, call.value)
        if not isinstance(number, Value):
            return number
        if leaf.spread is not None:
            ref = d.spread_out(leaf.value, leaf.spread, way)
            return replace(ref, views=(*ref.views, *leaf.views))
        return d.whole(leaf.value, way, *leaf.views)

    return mapped(call.args, read)


def summed(d: Draft, call: AtOnce, out: Ref | None = None) -> Ref:
    """Emit the sum of a value over the steps, once."""

    def emitted() -> Ref:
        value, lines = call.value, d.ways[1]
        place = out or d.result(value.name or "dw", value)
        if call.function is None:
            lines.before.append(Instr(np.zeros, (value.shape, value.dtype), place))
            lines.loop.append(Instr(np.add, (place, d.step(value, 1)), place))
            return place
        comment = ""
        if call.function in (np.matmul, np.dot):
            factors = [d.symbol(o.value) for o in call.args if not o.spread]
            comment = f"Σ_t {'ᵀ '.join(factors)}"
        args = arguments(d, call, 1)
        lines.after.append(Instr(call.function, args, place, call.kwargs, comment=comment))
        return place

    return d.once(("sum", call.value), emitted)
