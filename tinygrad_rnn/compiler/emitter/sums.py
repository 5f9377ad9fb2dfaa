"""Gradients of parameters: sums over all steps, taken outside of the loop where there is a way."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.emitter.ask import Ask
from tinygrad_rnn.compiler.emitter.batch import batched, is_view, rows
from tinygrad_rnn.compiler.emitter.rows import Place, span
from tinygrad_rnn.compiler.emitter.write import expression, literal
from tinygrad_rnn.compiler.frontend.tracer import Value, filled
from tinygrad_rnn.compiler.passes.assembly import assembled, is_sum_at


def summed(ask: Ask, value: Value) -> str | None:
    """Σ_t of a value, outside of the loop; None where it must be added up in the loop."""
    at = ask.backward
    function = value.function

    def over_steps(v: Value) -> str:
        return ask.all_steps(v, at)

    if not ask.stacked(value):
        return f"T * {ask.constant(value, at)}"
    same = [v for v in value.operands if v.shape == value.shape]
    if function is np.add and len(same) == 2:
        terms = [summed(ask, v) for v in same]
        return None if None in terms else " + ".join(str(t) for t in terms)
    if function is np.negative:
        inner = summed(ask, value.args[0])
        return inner and f"-({inner})"
    if is_view(value) and function is not operator.getitem:
        inner = summed(ask, value.args[0])
        if inner is None:
            return None
        return ask.written(value, at, lambda v: f"({inner})")
    if is_sum_at(value):
        zeros, index, part = value.args
        if isinstance(index, Value) and isinstance(part, Value):
            name = ask.fresh(value.name or "dw")
            made = expression(zeros.function, zeros.args, {}, literal)
            where, what = over_steps(index), over_steps(part)
            if not ask.stacked(index):
                what = f"{what}.sum(axis=0)"
            at.after += [f"{name} = {made}", f"np.add.at({name}, {where}, {what})"]
            return name
        return None
    if function is assembled:
        shape, dtype, indices, parts = value.args
        sums = [summed(ask, p) for p in parts]
        if None in sums:
            return None
        name = ask.fresh(value.name or "dw")
        at.after.append(f"{name} = np.zeros({literal(shape)}, {literal(dtype)})")
        at.after += [f"{name}[{literal(i)}] = {s}" for i, s in zip(indices, sums, strict=True)]
        return name
    pair = factors(value)
    if pair is not None and pair in ask.joint:
        return from_row(ask, *ask.joint[pair], pair[1])
    if function is np.matmul:
        left, right = value.args
        if ask.stacked(left) and ask.stacked(right):
            factor = untransposed(left)
            if factor is not None and factor.ndim == 2 and right.ndim == 2:
                return f"{rows(over_steps(factor))}.T @ {rows(over_steps(right))}"
        elif is_ones(left) and ask.stacked(right) and (left.ndim, right.ndim) == (1, 2):
            return f"{ones(ask, right)}.dot({rows(over_steps(right))})"
    if function is np.multiply and value.ndim == 2:
        for column, row in (value.args, value.args[::-1]):
            a, b = vector_of(column, 1), vector_of(row, 0)
            if a is not None and b is not None and ask.stacked(a) and ask.stacked(b):
                return f"{over_steps(a)}.T @ {over_steps(b)}"
    in_loop = value in ask.looping and "g" in ask.depends[value]
    if in_loop or batched(value, ask.stacked, lambda leaf: "") is None:
        return None
    return f"{over_steps(value)}.sum(axis=0)"


def ones(ask: Ask, value: Value) -> str:
    """A vector of ones to add up the rows of all steps."""
    key = len(value.sample), value.dtype
    if key not in ask.ones:
        ask.ones[key] = ask.fresh("ones")
        made = f"{ask.ones[key]} = empty((T * {key[0]},), {literal(value.dtype)})"
        ask.factory += [made, f"{ask.ones[key]}[...] = 1"]
    return ask.ones[key]


def factors(value: Value) -> tuple[Value | None, Value] | None:
    """a and b of a product aᵀ b of one step, a being None for ones."""
    if value.function is not np.matmul:
        return None
    left, right = value.args
    if not isinstance(left, Value) or not isinstance(right, Value) or right.ndim != 2:
        return None
    if is_ones(left) and left.ndim == 1:
        return None, right
    factor = untransposed(left)
    return None if factor is None else (factor, right)


def joint_products(ask: Ask) -> dict[tuple[Value | None, Value], tuple[Value, Place]]:
    """For products aᵀ b whose a is part of a row, the row and the place of a in it; where there are
    several with one b, for they are then parts of one product of all steps."""
    pairs = [pair for pair in map(factors, ask.order) if pair is not None]
    joint: dict[tuple[Value | None, Value], tuple[Value, Place]] = {}
    for row, laid_out in ask.rows.items():
        of_part = {None if is_ones(p.part) else p.part: p for p in laid_out.places}
        found = [(part, b) for part, b in pairs if part in of_part and (part, b) not in joint]
        for part, b in found:
            if sum(other is b for _, other in found) > 1:
                joint[part, b] = row, of_part[part]
    return joint


def from_row(ask: Ask, row: Value, place: Place, right: Value) -> str:
    """Σ_t aᵀ b as a part of the product of whole rows."""
    at = ask.backward
    if (row, right) not in ask.products_of_rows:
        name = ask.products_of_rows[row, right] = ask.fresh("dW_joined")
        steps = f"rows({ask.stack[row]}).T @ rows({ask.all_steps(right, at)})"
        at.after.append(f"{name} = {steps}  # Σ_t {ask.rows[row].notation}ᵀ {ask.hint(right)}_t")
    name = ask.products_of_rows[row, right]
    if is_ones(place.part):
        return f"{name}[{place.start}]"
    return f"{name}[{span(place.start, place.stop, row.shape[-1])}]"


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
