"""The reader: it turns the instructions that this back end supports into works on rows and
columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Place, Span, Work, is_free
from tinygrad_rnn.compiler.backends.native.operations import OPERATIONS
from tinygrad_rnn.compiler.ir import Buffer, Instr, Ref, Storage, View, When

REDUCTIONS = {np.sum: "sum", np.mean: "mean", np.max: "max"}

OTHERS = {operations.copy: "copy", np.copy: "copy", np.array: "copy", np.where: "where"}

ONCE = Span(0, 1)


class UnknownError(Exception):
    """The reason why this back end leaves an instruction to NumPy."""


class Seen(NamedTuple):
    """The array of a reference: its shape and strides, with the axis of the steps first if it has
    one."""

    shape: tuple[Span, ...]
    strides: tuple[int, ...]
    offset: Span
    step: int


Copies = Mapping[Buffer, Ref]
"""Buffers that are copies of arguments. Instructions can read the arguments instead."""


def strided(ref: Ref, source: Ref | None, steps: int) -> tuple[Any, Any, int]:
    """Shape, strides and offset of a reference, in entries, from the beginning of the entry of the
    step (of the whole buffer for `ALL`). source: the original of the buffer, if it is a copy."""
    buffer = ref.buffer
    if source is None:
        entries = () if ref.when is not When.ALL else (steps + (buffer.time or 0),)
        array = np.empty((*entries, *buffer.shape), np.int8)
        view = array[ref.offset : ref.offset + steps] if entries else array
    else:
        array = view = np.empty(source.buffer.shape, np.int8)
        for way in source.views:
            view = looked(view, way, steps)
        view = np.broadcast_to(view, buffer.shape)
    for way in ref.views:
        view = looked(view, way, steps)
    if view.size == 0:
        raise UnknownError("an array without entries")
    if not np.may_share_memory(view, array):
        raise UnknownError("a view that is a copy")
    begin = view.__array_interface__["data"][0] - array.__array_interface__["data"][0]
    return view.shape, view.strides, begin


def looked(array: Any, way: View, steps: int) -> Any:
    """A view of an array. A single number of it is an array, too."""
    if way.kind == "index" and Ellipsis not in way.argument:
        return array[(*way.argument, ...)]
    return way.of(array, steps)


def seen(ref: Ref, copies: Copies) -> Seen:
    """The array of a reference, where all buffers are contiguous."""
    buffer, entry = ref.buffer, int(np.prod(ref.buffer.shape))
    source = copies.get(buffer)
    (shape, strides, begin), (more, _, later) = (strided(ref, source, n) for n in (5, 7))
    slopes = [(b - a) // 2 for a, b in zip(shape, more, strict=True)]
    spans = tuple(Span(s, n - 5 * s) for s, n in zip(slopes, shape, strict=True))
    offset = Span((later - begin) // 2, begin - 5 * ((later - begin) // 2))
    step = 0
    if ref.when is When.STEP:
        offset, step = offset.moved(0, ref.offset * entry), entry
    elif ref.when is When.FIRST:
        offset = offset.moved(0, ref.offset * entry)
    elif ref.when is When.LAST:
        offset = offset.moved(entry, (ref.offset - 1) * entry)
    return Seen(spans, strides, offset, step)


def placed(ref: Ref, copies: Copies, shape: tuple[Span, ...] | None = None) -> tuple[Place, Span]:
    """The place of a reference, as rows and columns of each step, and the number of steps.

    shape: the shape that it is broadcast to.
    """
    if ref.dtype not in (np.float32, np.float64, np.bool, np.int32, np.int64):
        raise UnknownError(f"entries of type {ref.dtype}")
    spans, strides, offset, step = seen(ref, copies)
    if shape is None:
        shape = spans
    extra = len(shape) - len(spans)
    if extra < 0:
        raise UnknownError("more axes than the result has")
    own = (Span(0, 1),) * extra + spans
    strides = (0,) * extra + tuple(strides)
    strides = tuple(
        0 if have == Span(0, 1) and want != have else s
        for have, want, s in zip(own, shape, strides, strict=True)
    )
    if any(h not in (Span(0, 1), w) for h, w in zip(own, shape, strict=True)):
        raise UnknownError("shapes that do not broadcast")
    count = ONCE
    if shape and shape[0].slope:
        if step:
            raise UnknownError("all steps within one step")
        if shape[0].slope == 1:
            count, step = shape[0], strides[0]
            shape, strides = shape[1:], strides[1:]
        elif shape[0].fixed == 0:
            rows = shape[0].slope
            count, step = Span(1, 0), rows * strides[0]
            shape = (Span(0, rows), *shape[1:])
        else:
            raise UnknownError("rows that are no multiple of the steps")
    if any(n.slope for n in shape):
        raise UnknownError("an axis of steps that is not the first")
    sizes = [n.fixed for n in shape]
    columns = sizes.pop() if sizes else 1
    strides = tuple(strides) or (0,)
    across, leading = (strides[-1], strides[:-1]) if shape else (0, ())
    rows, down = 1, 0
    for size, stride in zip(reversed(sizes), reversed(leading), strict=True):
        if size == 1:
            continue
        if rows == 1:
            rows, down = size, stride
        elif stride != rows * down:
            raise UnknownError("rows that are not evenly spaced")
        else:
            rows *= size
    if columns == 1:
        across = 0
    if rows == 1:
        down = 0
    return Place(owner(ref, copies), offset, step, rows, columns, (down, across)), count


def owner(ref: Ref, copies: Copies) -> Buffer:
    """The buffer whose memory machine code uses for a reference."""
    return copies.get(ref.buffer, ref).buffer.root


def one_per_row(place: Place) -> Place:
    """The place of an array with one number for each row."""
    return place._replace(rows=place.columns, columns=1, strides=(place.strides[1], 0))


def work(instr: Instr, text: str, copies: Copies) -> tuple[Work, Span]:
    """The work of an instruction, and its number of steps. Raises UnknownError if it is not
    supported."""
    if not instr.binds() and any(ref.buffer.storage is Storage.RESULT for ref in instr.writes()):
        raise UnknownError("a result in an array that NumPy has made")
    function = instr.function
    if function in (operations.cross_entropies, operations.cross_entropy_gradient):
        return cross_entropy(instr, text, copies)
    out = instr.out
    if not isinstance(out, Ref):
        raise UnknownError(f"{function.__name__} with several results")
    if function is np.reshape and isinstance(instr.args[0], Ref):
        of, shape, *order = instr.args
        if order in ([], ["C"]) and not instr.kwargs:
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            reshaped = replace(of, views=(*of.views, View("reshape", shape)))
            return work(replace(instr, function=np.copy, args=(reshaped,)), text, copies)
    if function in (np.matmul, np.dot) and not instr.kwargs:
        return product(instr, out, text, copies)
    if function in REDUCTIONS:
        return reduction(instr, out, text, copies)
    kind = OTHERS.get(function, function.__name__ if isinstance(function, np.ufunc) else "")
    if kind not in OPERATIONS or instr.kwargs:
        raise UnknownError(f"{getattr(function, '__name__', function)} is none of its functions")
    into, count = placed(out, copies)
    shape = seen(out, copies).shape
    args: list[Place | float] = []
    for a in instr.args:
        if isinstance(a, Ref):
            place, _ = placed(a, copies, shape)
            args.append(place)
        elif isinstance(a, (int, float, np.floating)):
            args.append(float(a))
        else:
            raise UnknownError(f"an argument {a!r}")
    check_types(kind, args, into)
    return Work(kind, tuple(args), (into,), text), count


COMPARISONS = {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"}
LOGICAL = {"logical_and", "logical_or", "logical_not"}


def check_types(kind: str, args: list[Place | float], out: Place) -> None:
    """Check that all arrays have one floating-point type, and truth values only where they are
    allowed."""
    given = [a.dtype for a in args if isinstance(a, Place)]
    if kind == "where" and given and given[0] != np.bool:
        raise UnknownError("np.where with a condition that is no truth value")
    floats = {d for d in given if d != np.bool} | ({out.dtype} if out.dtype != np.bool else set())
    if any(d.kind != "f" for d in floats) or len(floats) > 1:
        raise UnknownError("a mixture of types")
    if (out.dtype == np.bool) != (kind in COMPARISONS | LOGICAL) and kind != "copy":
        raise UnknownError("a result of another type")
    if (kind in LOGICAL and floats) or (kind in COMPARISONS and not floats):
        raise UnknownError("a mixture of types")
    if kind == "copy" and out.dtype == np.bool and floats:
        raise UnknownError("a mixture of types")


def product(instr: Instr, out: Ref, text: str, copies: Copies) -> tuple[Work, Span]:
    """Rows times a matrix that is the same at every step. W x is read as xᵀ Wᵀ, and a vector as a
    matrix of one column."""
    left, right = instr.args
    if not (isinstance(left, Ref) and isinstance(right, Ref)):
        raise UnknownError("a product with a constant")
    if not left.dtype == right.dtype == out.dtype or left.dtype.kind != "f":
        raise UnknownError("a product of several types")
    ends = seen(left, copies).shape[-1:], seen(right, copies).shape[:1]
    if ends[0] == ends[1] and any(n.slope for n in ends[1]):
        return time_sum(left, right, out, text, copies)
    if is_fixed(left, copies) and is_column(right, copies):
        left, right, out = turned(right, copies), turned(left, copies), turned(out, copies)
    if len(seen(right, copies).shape) == 1:
        right, out = as_column(right), as_column(out)
    into, count = placed(out, copies)
    rows, steps = placed(left, copies)
    matrix = seen(right, copies)
    if matrix.step:
        raise UnknownError("a product with a matrix that changes from step to step")
    if steps != count or any(n.slope for n in matrix.shape):
        raise UnknownError("a product over the steps")
    if len(matrix.shape) != 2 or len(seen(left, copies).shape) != len(seen(out, copies).shape):
        raise UnknownError("a product of stacks")
    depth, columns = (n.fixed for n in matrix.shape)
    fits = rows.rows == into.rows and rows.columns == depth and into.columns == columns
    if not fits or (rows.strides[1] != 1 and depth > 1) or (into.strides[1] != 1 and columns > 1):
        raise UnknownError("a product of arrays that are not in rows")
    down, across = matrix.strides
    of = Place(owner(right, copies), matrix.offset, 0, depth, columns, (down, across))
    return Work("product", (rows, of), (into,), text), count


def time_sum(left: Ref, right: Ref, out: Ref, text: str, copies: Copies) -> tuple[Work, Span]:
    """The sum over all steps and rows of a row of one array times a row of another."""
    into, count = placed(out, copies)
    args = all_rows(turned(left, copies), copies), all_rows(right, copies)
    if count != ONCE or (into.rows, into.columns) != tuple(place.columns for place in args):
        raise UnknownError("a sum over the steps of another form")
    return Work("time_sum", args, (into,), text), Span(1, 0)


def all_rows(ref: Ref, copies: Copies) -> Place:
    """The place of the rows of all steps; of a vector, the rows of one column."""
    of = seen(ref, copies)
    (rows, *wide), (down, *across) = of.shape, of.strides
    columns = wide[0].fixed if wide else 1
    if rows.fixed or len(wide) > 1 or (columns > 1 and across != [1]):
        raise UnknownError("a sum over the steps of what is not in rows")
    step = rows.slope * down
    return Place(owner(ref, copies), of.offset, step, rows.slope, columns, (down, 1))


def is_fixed(ref: Ref, copies: Copies) -> bool:
    """Whether the array is a matrix that is the same at every step."""
    found = seen(ref, copies)
    return len(found.shape) == 2 and not found.step and not any(n.slope for n in found.shape)


def is_column(ref: Ref, copies: Copies) -> bool:
    """Whether the array is a vector of one step, alone or as a column."""
    shape = seen(ref, copies).shape
    return not any(n.slope for n in shape) and (len(shape) == 1 or shape[1:] == (Span(0, 1),))


def turned(ref: Ref, copies: Copies) -> Ref:
    """A matrix of one step, transposed; a vector unchanged."""
    if len(seen(ref, copies).shape) == 1:
        return ref
    return replace(ref, views=(*ref.views, View("transpose", (1, 0))))


def as_column(ref: Ref) -> Ref:
    """The array with one more axis at the end."""
    return replace(ref, views=(*ref.views, View("index", (Ellipsis, None))))


def reduction(instr: Instr, out: Ref, text: str, copies: Copies) -> tuple[Work, Span]:
    """A reduction along the last axis."""
    given = instr.args[0] if isinstance(instr.args[0], Ref) else None
    axis = instr.kwargs.get("axis", instr.args[1] if len(instr.args) > 1 else None)
    if given is None or set(instr.kwargs) - {"axis", "keepdims"} or given.dtype != out.dtype:
        raise UnknownError("a reduction of another kind")
    of, steps = placed(given, copies)
    into, count = placed(out, copies)
    ndim = len(seen(given, copies).shape)
    every = range(ndim) if axis is None else (axis,)
    axes = axis if isinstance(axis, tuple) else tuple(every)
    if given.dtype.kind != "f" or axes not in ((-1,), (ndim - 1,)) or steps != count:
        raise UnknownError("a reduction along another axis than the last")
    if not instr.kwargs.get("keepdims") and of.rows > 1:
        into = one_per_row(into)
    if into.rows != of.rows or into.columns != 1:
        raise UnknownError("a reduction of another form")
    return Work(REDUCTIONS[instr.function], (of,), (into,), text), count


def cross_entropy(instr: Instr, text: str, copies: Copies) -> tuple[Work, Span]:
    """The losses of rows of logits, or their gradients."""
    refs = [*instr.args, *(instr.out if isinstance(instr.out, tuple) else (instr.out,))]
    if not all(isinstance(r, Ref) for r in refs) or instr.kwargs:
        raise UnknownError("a cross-entropy of another form")
    forward = instr.function is operations.cross_entropies
    # logits, labels, ones → losses, e, s; or e, s, labels, weights → gradient
    wide = (0, 4)
    narrow = (1, 3, 5) if forward else (1, 2, 3)
    rows_of, steps = placed(refs[0], copies)
    if rows_of.dtype.kind != "f" or rows_of.strides[1] != 1:
        raise UnknownError("a cross-entropy of another form")
    found: dict[int, Place] = {}
    for n in (*wide, *narrow):
        place, count = placed(refs[n], copies)
        if n in narrow:
            place = one_per_row(place) if place.rows == 1 else place
        if count != steps or place.rows != rows_of.rows:
            raise UnknownError("a cross-entropy of another form")
        labels = n == (1 if forward else 2)
        if place.dtype != (np.int64 if labels else rows_of.dtype):
            raise UnknownError("a cross-entropy of another type")
        if n in wide and (place.columns != rows_of.columns or place.strides[1] != 1):
            raise UnknownError("a cross-entropy of another form")
        found[n] = place
    split = 2 if forward else 4
    order = (0, 1, 3, 4, 5) if forward else (0, 1, 2, 3, 4)
    every = tuple(found[n] for n in order)
    given, outs = every[:split], every[split:]
    return Work(instr.function.__name__, given, outs, text), steps


def nest_of(instr: Instr, text: str, memory: Memory, copies: Copies) -> Nest:
    """An instruction outside of the loop."""
    done, count = work(instr, text, copies)
    nest = Nest(count, (done,), done.kind != "time_sum" and is_free([done], memory))
    if count != ONCE and not nest.free and not nest.is_sum:
        raise UnknownError("steps that depend on one another")
    return nest
