"""Emit the gradients of inputs and parameters, after the backward loop. d: the draft of the
program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Instr, Ref, Storage, T, TimeSum, Value, View
from tinygrad_rnn.compiler.lowering.draft import Draft
from tinygrad_rnn.compiler.lowering.places import Place, first_axis, transposed
from tinygrad_rnn.compiler.operations import add_at, copy
from tinygrad_rnn.compiler.passes.fuse_products import row_of_parts
from tinygrad_rnn.compiler.time_sums import is_ones
from tinygrad_rnn.compiler.views import view_of


def of_input(d: Draft, gradient: Value | None) -> Ref | None:
    """The gradient of the inputs of all steps, in an array that the caller keeps."""
    if gradient is None:
        return None
    lines = d.ways[1].after
    if not d.varies(gradient):
        given = d.constant(gradient, 1).step()
        made = d.buffer("dx", gradient.shape, gradient.dtype, Storage.RETURNED, 0)
        lines.append(Instr(copy, (given,), Place(made).whole()))
        return Place(made).whole()
    place = d.place(gradient, 1, whole=True)
    if place.buffer.storage is Storage.RETURNED and not place.views:
        return place.whole()
    made = d.buffer("dx", gradient.shape, gradient.dtype, Storage.RESULT, 0)
    lines.append(Instr(np.copy, (place.whole(),), Place(made).whole()))
    return Place(made).whole()


def of_parameters(d: Draft) -> list[Ref | None]:
    """The gradients of the parameters, each in an array of its own."""
    found: list[Ref | None] = []
    known: dict[Value, Ref] = {}
    pairs = zip(d.parameters, d.graph.parameter_gradients, d.s.sums, strict=True)
    for parameter, gradient, how in pairs:
        if gradient is None or how is None:
            found.append(None)
            continue
        out = d.result(f"d{parameter.name}", gradient)
        if gradient in known:  # as for a second bias; each gradient has an array of its own
            d.ways[1].after.append(Instr(np.copy, (known[gradient],), out))
        else:
            summed(d, how, out)
            known[gradient] = out
        found.append(out)
    return found


def summed(d: Draft, how: TimeSum, out: Ref | None = None) -> Ref:
    """The instructions for Σ_t of a value."""
    value, lines = how.value, d.ways[1].after
    out = out or d.result(value.name or "dw", value)

    def instr(function: Any, *args: Any, comment: str = "", **kwargs: Any) -> None:
        lines.append(Instr(function, args, out, kwargs or {}, comment=comment))

    kind = how.kind
    if kind == "times":
        instr(np.multiply, T, d.constant(value, 1).step())
    elif kind == "plus":
        left, right = (summed(d, term) for term in how.terms)
        instr(np.add, left, right)
    elif kind == "negated":
        instr(np.negative, summed(d, how.terms[0]))
    elif kind == "view":
        view = view_of(value)
        assert view is not None
        base = summed(d, how.terms[0])
        instr(np.copy, replace(base, views=(*base.views, view)))
    elif kind == "scatter":
        zeros, index, part = value.args
        instr(np.zeros, zeros.shape, zeros.dtype)
        what = d.whole(part, 1)
        if not d.varies(index):
            what = over_time(d, part)
        instr(add_at, d.whole(index, 1), what)
    elif kind == "assembled":
        shape, dtype, indices, _ = value.args
        instr(np.zeros, shape, dtype)
        for index, term in zip(indices, how.terms, strict=True):
            target = replace(out, views=(View("index", index),))
            lines.append(Instr(copy, (summed(d, term),), target))
    elif kind == "joint":
        instr(np.asarray, from_row(d, how))
    elif kind == "product":
        first, second = how.values
        comment = f"Σ_t {d.symbol(first)}ᵀ {d.symbol(second)}"
        instr(np.matmul, transposed(d.rows(first)), d.rows(second), comment=comment)
    elif kind == "ones":
        (second,) = how.values
        comment = f"Σ_t {d.symbol(second)}"
        instr(np.dot, ones(d, second), d.rows(second), comment=comment)
    elif kind == "outer":
        first, second = how.values
        instr(np.matmul, transposed(d.whole(first, 1)), d.whole(second, 1))
    elif kind == "axis":
        instr(np.sum, d.whole(value, 1), axis=0)
    else:
        d.ways[1].before.append(Instr(np.zeros, (value.shape, value.dtype), out))
        d.ways[1].loop.append(Instr(np.add, (out, d.step(value, 1)), out))
    return out


def over_time(d: Draft, part: Value) -> Ref:
    out = d.result(d.hint(part), part)
    d.ways[1].after.append(Instr(np.sum, (d.whole(part, 1),), out, {"axis": 0}))
    return out


def ones(d: Draft, value: Value) -> Ref:
    """A vector of ones that sums the rows of all steps."""
    key = value.shape[0], value.dtype
    if key not in d.vectors_of_ones:
        made = d.buffer("ones", (value.shape[0],), value.dtype, Storage.KEPT, 0, 1)
        d.vectors_of_ones[key] = Place(made).whole(View("reshape", (-1,)))
    return d.vectors_of_ones[key]


def from_row(d: Draft, how: TimeSum) -> Ref:
    """Σ_t aᵀ b as a part of the product of the whole rows."""
    row, right = how.values
    parts = row_of_parts(row) or []
    if (row, right) not in d.joint:
        shape = (row.shape[-1], right.shape[-1])
        made = d.buffer("dW_joined", shape, right.dtype, Storage.RESULT)
        d.joint[row, right] = Place(made)
        names = ", ".join(map(d.symbol, parts))
        comment = f"Σ_t [{names}]ᵀ {d.symbol(right)}"
        args = transposed(d.rows(row)), d.rows(right)
        d.ways[1].after.append(Instr(np.matmul, args, Ref(made), comment=comment))
    left = how.value.args[0]
    start = 0
    for part in parts:
        stop = start + part.shape[-1]
        if part is left or part in left.operands or (is_ones(part) and is_ones(left)):
            view = first_axis(start, stop, row.shape[-1])
            if left.ndim == 1:
                view = View("index", (start,))
            return d.joint[row, right].seen(view).step()
        start = stop
    raise AssertionError(how)
