"""One call for all steps at once: how a NumPy call on one step's arrays is written for a stack.

Arrays of all steps have the time as a first axis of length T. A rule gives the expression for the
whole stack, or None where there is none; the call then stays in the loop.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.compiler.emitter.losses import cross_entropies, cross_entropy_gradient
from tinygrad_rnn.compiler.emitter.write import call, into_buffer, literal
from tinygrad_rnn.compiler.frontend.tracer import Value, astype, filled
from tinygrad_rnn.derivatives.indexing import is_basic


class Batched(NamedTuple):
    """An expression, the way to write it with a buffer to write into, and whether it is a view."""

    expression: str
    into: Callable[[str], str] | None = None
    view: bool = False


VIEWS = {np.transpose, np.swapaxes, np.reshape, np.expand_dims, np.squeeze, np.broadcast_to}
REDUCTIONS = {np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var}


def is_elementwise(function: Any) -> bool:
    return isinstance(function, np.ufunc) and function.signature is None and function.nout == 1


def is_view(value: Value) -> bool:
    """Whether the call only looks at the array of its first operand in another way."""
    if value.function is operator.getitem:
        array, index = value.args
        return isinstance(array, Value) and isinstance(array.sample, np.ndarray) and is_basic(index)
    if value.function in VIEWS:
        base = value.args[0].sample  # a single number has no memory to share, but those of all have
        return not isinstance(base, np.ndarray) or bool(np.shares_memory(value.sample, base))
    return False


def is_part(value: Value) -> bool:
    """Whether it is one of several results of a call."""
    if value.function is not operator.getitem or not isinstance(value.args[0], Value):
        return False
    return isinstance(value.args[0].sample, tuple | list)


def source(value: Value) -> Value:
    """What a value looks into, through all views."""
    while value.function is not None and is_view(value):
        value = value.args[0]
    return value


def batched(
    value: Value, stacked: Callable[[Value], bool], name: Callable[[Any], str]
) -> Batched | None:
    """The call for all steps. stacked: whether an operand differs from step to step."""
    function, args = value.function, value.args
    rule = RULES.get(function)
    if is_elementwise(function):
        rule = _elementwise
    if rule is None or (value.kwargs and rule is not _reduction and rule is not _joined):
        return None
    if any(isinstance(part, list | tuple) for part in args) and rule in (_elementwise, _matmul):
        return None
    return rule(value, stacked, name)


def aligned(operand: Any, ndim: int, stacked: Any, name: Any) -> str:
    """The operand with the axes that broadcasting would put behind the time's."""
    text = name(operand)
    if not (isinstance(operand, Value) and stacked(operand)) or operand.ndim == ndim:
        return text  # type: ignore[no-any-return]
    shape = ("-1", *["1"] * (ndim - operand.ndim), *map(str, operand.shape))
    return f"{text}.reshape({', '.join(shape)})"


LARGE = 2**13
"""From so many numbers a step on, writing them costs more than a call."""

MANY = 32
"""Beside so many rows a vector is written out once, in as many rows: NumPy then goes through each
step in one piece, and not row by row."""


def _elementwise(value: Value, stacked: Any, name: Any) -> Batched:
    args = [aligned(a, value.ndim, stacked, name) for a in value.args]
    for n, operand in enumerate(value.args):
        if isinstance(operand, Value) and not stacked(operand) and is_row(operand, value):
            args[n] = f"np.full({literal(value.shape)}, {args[n]})"
    text = f"{call(value.function)}({', '.join(args)})"
    if not isinstance(value.function, np.ufunc):
        return Batched(text)
    return Batched(text, lambda out: into_buffer(value.function, args, out))


def is_row(operand: Value, value: Value) -> bool:
    """Whether it is one of many rows that broadcasting makes of it."""
    return value.ndim == 2 and value.shape[0] >= MANY and operand.shape == value.shape[1:]


def rows(text: str) -> str:
    return f"rows({text})"


def _matmul(value: Value, stacked: Any, name: Any) -> Batched | None:
    left, right = value.args
    if not (isinstance(left, Value) and isinstance(right, Value)):
        return None
    a, b = name(left), name(right)
    if stacked(left) and not stacked(right):
        if right.ndim == 2 and left.ndim == 2:
            # The shorter call fills its result with zeros first.
            large = np.size(value.sample) >= LARGE
            return Batched(
                f"({rows(a)} @ {b}).reshape(-1, {left.shape[0]}, {right.shape[1]})",
                lambda out: (
                    f"np.matmul({rows(a)}, {b}, {rows(out)})"
                    if large
                    else f"{rows(a)}.dot({b}, {rows(out)})"
                ),
            )
        if right.ndim == 2 and left.ndim == 1:
            return Batched(f"{a} @ {b}", lambda out: f"{a}.dot({b}, {out})")
        if right.ndim == 1:
            return Batched(f"{a} @ {b}")
        return None
    if left.ndim >= 2 and right.ndim >= 2:
        if stacked(left) and stacked(right) and left.ndim != right.ndim:
            return None
        if stacked(left) and not stacked(right):
            return None
        return Batched(f"{a} @ {b}", lambda out: f"np.matmul({a}, {b}, {out})")
    if left.ndim == 1 and right.ndim == 2 and stacked(right) and not stacked(left):
        return Batched(f"np.matmul({a}, {b})")
    if left.ndim == 2 and right.ndim == 1 and stacked(right) and not stacked(left):
        return Batched(f"{b} @ {a}.T")
    return None


def _indexed(value: Value, stacked: Any, name: Any) -> Batched | None:
    array, index = value.args
    if is_part(value):
        if batched(array, stacked, name) is None:
            return None
        return Batched(f"{name(array)}[{index}]", view=True)
    if isinstance(array, Value) and stacked(array):
        if not is_basic(index):
            return None
        whole = (slice(None), *(index if isinstance(index, tuple) else (index,)))
        return Batched(f"{name(array)}[{literal(whole)}]", view=True)
    if isinstance(index, Value) and stacked(index):
        return Batched(f"{name(array)}[{name(index)}]")
    return None


def _shifted(axis: int, ndim: int) -> int:
    return axis % ndim + 1


def _reshaped(value: Value, stacked: Any, name: Any) -> Batched:
    shape = ", ".join(map(str, ("-1", *value.shape)))
    return Batched(f"{name(value.args[0])}.reshape({shape})", view=is_view(value))


def _transposed(value: Value, stacked: Any, name: Any) -> Batched:
    array = value.args[0]
    if value.function is np.swapaxes:
        axes = list(range(array.ndim))
        i, j = (axis % array.ndim for axis in value.args[1:])
        axes[i], axes[j] = axes[j], axes[i]
    else:
        given = value.args[1] if len(value.args) > 1 else None
        axes = (
            [a % array.ndim for a in given] if given is not None else list(range(array.ndim))[::-1]
        )
    order = (0, *(axis + 1 for axis in axes))
    return Batched(f"{name(array)}.transpose({literal(order)})", view=True)


def _broadcast(value: Value, stacked: Any, name: Any) -> Batched:
    text = aligned(value.args[0], value.ndim, stacked, name)
    shape = ", ".join(map(str, value.shape))
    return Batched(f"np.broadcast_to({text}, (T, {shape}))", view=True)


def _reduction(value: Value, stacked: Any, name: Any) -> Batched | None:
    array = value.args[0]
    axis = value.args[1] if len(value.args) > 1 else value.kwargs.get("axis")
    options = {k: v for k, v in value.kwargs.items() if k not in ("axis",) and v is not None}
    if options.keys() - {"keepdims", "ddof"} or len(value.args) > 2:
        return None
    axes = range(array.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    shifted = tuple(_shifted(a, array.ndim) for a in axes)
    rest = "".join(f", {k}={literal(v)}" for k, v in options.items())
    return Batched(f"{call(value.function)}({name(array)}, axis={literal(shifted)}{rest})")


def _joined(value: Value, stacked: Any, name: Any) -> Batched | None:
    pieces = value.args[0]
    axis = value.args[1] if len(value.args) > 1 else value.kwargs.get("axis", 0)
    if axis is None or value.kwargs.keys() - {"axis"} or len(value.args) > 2:
        return None
    if not all(isinstance(p, Value) and stacked(p) for p in pieces):
        return None
    names = ", ".join(map(name, pieces))
    text = f"{call(value.function)}(({names},), axis={_shifted(axis, value.ndim)}"
    return Batched(f"{text})", lambda out: f"{text}, out={out})")


def _cross_entropies(value: Value, stacked: Any, name: Any) -> Batched:
    def of_all_steps(leaf: Any) -> str:
        """What is the same at all steps is spread over them, but for the ones to sum with."""
        each = isinstance(leaf, Value) and (stacked(leaf) or leaf.function is filled)
        if each:
            return str(name(leaf))
        shape = ", ".join(("T", *map(str, np.shape(getattr(leaf, "sample", leaf)))))
        return f"np.broadcast_to({name(leaf)}, ({shape},))"

    args = ", ".join(map(of_all_steps, value.args))
    call = value.function.__name__  # type: ignore[union-attr]
    several = "*" if isinstance(value.sample, tuple) else ""
    return Batched(f"{call}({args})", lambda out: f"{call}({args}, {several}{out})")


def _converted(value: Value, stacked: Any, name: Any) -> Batched:
    return Batched(f"{name(value.args[0])}.astype({literal(value.args[1])})")


RULES: dict[Any, Callable[..., Batched | None]] = {
    np.matmul: _matmul,
    operator.getitem: _indexed,
    np.reshape: _reshaped,
    np.expand_dims: _reshaped,
    np.squeeze: _reshaped,
    np.transpose: _transposed,
    np.swapaxes: _transposed,
    np.broadcast_to: _broadcast,
    np.where: _elementwise,
    np.concatenate: _joined,
    np.stack: _joined,
    astype: _converted,
    cross_entropies: _cross_entropies,
    cross_entropy_gradient: _cross_entropies,
    **dict.fromkeys(REDUCTIONS, _reduction),
}
