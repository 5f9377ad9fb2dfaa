"""Symbols: arrays that carry the formula of their computation as text.

A rule of the table is plain NumPy, so it runs on a symbol as on an array. The result carries its
formula. This module knows nothing about derivatives, only the notation of functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.derivatives.functions import losses_at, mean_loss, residual
from tinygrad_rnn.derivatives.indexing import scatter
from tinygrad_rnn.derivatives.reductions import root
from tinygrad_rnn.engine.array_methods import ArrayMethods, astype
from tinygrad_rnn.engine.table import rule_of
from viz.indices import index_text

SUM, PRODUCT, UNARY, POWER, ATOM = range(5)
"""The precedence of a text. A text of lower precedence than its place requires is put in
parentheses."""

LONGEST = 200  # a longer formula is not readable


class Symbol(ArrayMethods):
    """A text with an array of the right shape. Functions of a symbol are symbols as well."""

    _records = True  # functions outside of NumPy ask for `__array_function__`, as for Tensors

    def __init__(self, text: str, data: Any, binds: int = ATOM) -> None:
        self.text = text
        self.data = np.asarray(data)
        self.binds = binds
        self.scalar = False  # whether it is one number, whatever shape it was broadcast to
        self.placed: tuple[str, str] | None = None  # of values put at an index: both as text

    _data = property(lambda self: self.data)
    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def at(self, least: int) -> str:
        """The text, in parentheses where its precedence is lower than this."""
        return self.text if self.binds >= least else f"({self.text})"

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **options: Any) -> Any:
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return apply(function, args, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return apply(function, args, options)

    def __getitem__(self, index: Any) -> Any:
        return apply(operator.getitem, (self, index), {})

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    __hash__ = object.__hash__


def apply(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Symbol:
    """Apply the function to symbols and other arguments: compute it on the arrays, and write it
    down."""
    rule = rule_of(function)
    compute = function if rule is None or rule.variadic else rule.compute
    with np.errstate(all="ignore"), tg.no_grad():
        data = compute(*map(_data, args), **{k: _data(v) for k, v in options.items()})
    write = WRITTEN.get(function)
    if write is None:
        symbol = call(getattr(function, "__name__", str(function)), args)
    else:
        symbol = write(*args)
    return with_data(symbol, np.asarray(data))


def with_data(symbol: Symbol, data: Any) -> Symbol:
    """The same text with another array."""
    same = Symbol(symbol.text, data, symbol.binds)
    same.scalar, same.placed = symbol.scalar or same.data.shape == (), symbol.placed
    return same


def broadcast(symbol: Symbol, shape: tuple[int, ...]) -> Symbol:
    """The same text for an array of another shape."""
    if symbol.data.shape == shape:
        return symbol
    same = Symbol(symbol.text, np.ones(shape, symbol.dtype), symbol.binds)
    same.scalar, same.placed = symbol.scalar, symbol.placed
    return same


def _data(value: Any) -> Any:
    if isinstance(value, list | tuple) and any(isinstance(v, Symbol) for v in value):
        return type(value)(map(_data, value))
    return value.data if isinstance(value, Symbol) else value


def as_symbol(value: Any) -> Symbol:
    """The symbol of a constant: equal numbers by their digits, any other array as c."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, list | tuple):
        return Symbol(", ".join(as_symbol(v).text for v in value), 0.0)
    array = np.asarray(value)
    if array.size and np.all(array == array.flat[0]) and array.dtype.kind in "biuf":
        number = float(array.flat[0])
        text = f"{number:.3g}".replace("-", "−")
        symbol = Symbol(text, value, UNARY if number < 0 else ATOM)
        symbol.scalar = True
        return symbol
    return Symbol("c", value)


# How functions are written ------------------------------------------------------------------------


def call(name: str, args: Sequence[Any]) -> Symbol:
    """name(a, b), without the arguments that are options."""
    shown = [a for a in args if isinstance(a, Symbol | np.ndarray | list | tuple)]
    return Symbol(f"{name}({', '.join(as_symbol(a).text for a in shown)})", 0.0)


def _named(name: str) -> Callable[..., Symbol]:
    return lambda *args: call(name, args)


def _plus(a: Any, b: Any) -> Symbol:
    a, b = as_symbol(a), as_symbol(b)
    if a.text == "0":
        return Symbol(b.text, 0.0, b.binds)
    if b.text == "0":
        return Symbol(a.text, 0.0, a.binds)
    if b.text.startswith("−"):
        return Symbol(f"{a.text} − {b.text[1:]}", 0.0, SUM)
    return Symbol(f"{a.text} + {b.text}", 0.0, SUM)


def _minus(a: Any, b: Any) -> Symbol:
    a, b = as_symbol(a), as_symbol(b)
    return Symbol(f"{a.text} − {b.at(PRODUCT)}", 0.0, SUM)


def _negative(a: Any) -> Symbol:
    text = as_symbol(a).at(PRODUCT)
    if text.startswith("−"):
        return Symbol(text[1:], 0.0, PRODUCT)
    return Symbol(f"−{text}", 0.0, UNARY if as_symbol(a).binds > PRODUCT else PRODUCT)


def _times(a: Any, b: Any) -> Symbol:
    a, b = as_symbol(a), as_symbol(b)
    product = _product(a, b)
    product.scalar = a.scalar and b.scalar
    return product


def _product(a: Symbol, b: Symbol) -> Symbol:
    if "1" in (a.text, b.text):
        one = b if a.text == "1" else a
        return Symbol(one.text, 0.0, one.binds)
    if a.text == b.text:
        return _square(a)
    if b.scalar and (not a.scalar or b.text == "2"):  # a number stands before the array
        a, b = b, a
    top, below = _fraction(b)
    if a.text == "2" and below.startswith("(2 "):
        return Symbol(f"{top} / {below[3:-1]}", 0.0, PRODUCT)
    top, below = _fraction(a)
    if a.scalar and top == "1" and below:
        return Symbol(f"{b.at(PRODUCT)} / {below}", 0.0, PRODUCT)
    if a.scalar:
        number = f"({a.text})" if below else a.at(PRODUCT)
        return Symbol(f"{number} {b.at(PRODUCT)}", 0.0, PRODUCT)
    return Symbol(f"{a.at(PRODUCT)} ⊙ {b.at(PRODUCT)}", 0.0, PRODUCT)


def _fraction(a: Symbol) -> tuple[str, str]:
    """What is above and below the line of a text that is one fraction; otherwise empty texts."""
    top, _, below = a.text.partition(" / ")
    depth, alone = 0, True
    for letter in below:
        depth += (letter == "(") - (letter == ")")
        alone &= depth > 0 or letter != " "
    return (top, below) if alone and not depth else ("", "")


def _over(a: Any, b: Any) -> Symbol:
    a, b = as_symbol(a), as_symbol(b)
    whole, _, part = a.text.partition("/")
    if whole.isdigit() and b.text.isdigit() and (not part or part.isdigit()):
        return Symbol(f"{whole}/{int(part or 1) * int(b.text)}", 0.0)
    return Symbol(f"{a.at(PRODUCT)} / {b.at(POWER)}", 0.0, PRODUCT)


def _matmul(a: Any, b: Any) -> Symbol:
    left, right = as_symbol(a), as_symbol(b)
    return Symbol(f"{_factor(left)} {_factor(right)}", 0.0, PRODUCT)


def _factor(a: Symbol) -> str:
    return (
        a.text if a.binds >= POWER or (a.binds == PRODUCT and "⊙" not in a.text) else f"({a.text})"
    )


def _square(a: Any) -> Symbol:
    return Symbol(f"{as_symbol(a).at(ATOM)}²", 0.0, POWER)


def _power(a: Any, b: Any) -> Symbol:
    exponent = as_symbol(b).text
    if exponent in ("1", "2"):
        return as_symbol(a) if exponent == "1" else _square(a)
    return Symbol(f"{as_symbol(a).at(ATOM)}^{{{exponent}}}", 0.0, POWER)


def _transpose(a: Any, *axes: Any) -> Symbol:
    symbol = as_symbol(a)
    if symbol.text.endswith("ᵀ") and symbol.binds >= POWER:
        return Symbol(symbol.text[:-1], 0.0, ATOM)
    return Symbol(f"{symbol.at(ATOM)}ᵀ", 0.0, POWER)


def _same(a: Any, *options: Any) -> Symbol:
    """The same text, for functions that change only shape or precision."""
    symbol = as_symbol(a)
    same = Symbol(symbol.text, 0.0, symbol.binds)
    same.scalar = symbol.scalar
    return same


def _index(a: Any, index: Any) -> Symbol:
    return Symbol(f"{as_symbol(a).at(ATOM)}[{_written(index)}]", 0.0)


def _where(condition: Any, *branches: Any) -> Symbol:
    """A choice. Where it only guards against a division by zero, and there is none, it is left
    out."""
    guards = isinstance(condition, Symbol) and condition.text.endswith("= 0]")
    if guards and len(branches) == 2 and not np.any(condition.data):
        return as_symbol(branches[1])
    return call("where", [condition, *branches])


def _written(index: Any) -> str:
    """The text of an index, which may contain symbols."""

    def named(part: Any) -> Any:
        return part.text if isinstance(part, Symbol) else part

    return index_text(tuple(map(named, index)) if isinstance(index, tuple) else named(index))


def _scatter(values: Any, index: Any, shape: Any) -> Symbol:
    inside = as_symbol(values).text
    symbol = Symbol(f"at[{_written(index)}]({inside})", 0.0)
    symbol.placed = _written(index), inside
    return symbol


def _residual(logits: Any, labels: Any, weight: Any, found: Any = None) -> Symbol:
    o, y, w = as_symbol(logits), as_symbol(labels), as_symbol(weight)
    text = f"softmax({o.text}) − onehot({y.text})"
    if w.text == "1":
        return Symbol(text, 0.0, SUM)
    return Symbol(f"{w.at(PRODUCT)} ({text})", 0.0, PRODUCT)


def _compare(sign: str) -> Callable[..., Symbol]:
    return lambda a, b: Symbol(f"[{as_symbol(a).text} {sign} {as_symbol(b).text}]", 0.0)


WRITTEN: dict[Any, Callable[..., Symbol]] = {
    np.add: _plus,
    np.subtract: _minus,
    np.negative: _negative,
    np.multiply: _times,
    np.true_divide: _over,
    np.matmul: _matmul,
    np.dot: _matmul,
    np.square: _square,
    np.power: _power,
    np.float_power: _power,
    np.where: _where,
    np.transpose: _transpose,
    np.swapaxes: _transpose,
    np.sum: lambda a, *options: Symbol(f"Σ {as_symbol(a).at(PRODUCT)}", 0.0, PRODUCT),
    np.sqrt: lambda a: Symbol(f"√{as_symbol(a).at(ATOM)}", 0.0, POWER),
    root: lambda a: Symbol(f"√{as_symbol(a).at(ATOM)}", 0.0, POWER),
    np.absolute: lambda a: Symbol(f"|{as_symbol(a).text}|", 0.0),
    tg.sigmoid: _named("σ"),
    tg.relu: _named("relu"),
    tg.scale_gradient: _same,
    **dict.fromkeys((mean_loss, losses_at), _named("CE")),
    residual: _residual,
    scatter: _scatter,
    operator.getitem: _index,
    np.greater: _compare(">"),
    np.greater_equal: _compare("≥"),
    np.less: _compare("<"),
    np.less_equal: _compare("≤"),
    np.equal: _compare("="),
    **dict.fromkeys((np.reshape, np.expand_dims, np.squeeze, np.broadcast_to, np.copy), _same),
    **dict.fromkeys((np.positive, np.real, np.conjugate, astype), _same),
}
