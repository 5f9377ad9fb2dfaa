"""Python's operators and NumPy's protocols on Tensors, by `apply` or by the fast path.

This is the last part of the class `Tensor`. It has a file of its own because it imports all the
other parts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.engine.apply import PLAIN, apply, takes_precedence
from tinygrad_rnn.engine.fast_path import fast_path, numbers_of
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.engine.table import RULES, on_entry
from tinygrad_rnn.engine.tensor import Tensor

# NumPy's protocols ------------------------------------------------------------------------


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
    """`__array_ufunc__`: NumPy calls it for ufuncs (NEP 13)."""
    if method == "__call__":
        rule = RULES.get(ufunc)
        if rule is not None and rule.fast_path is not None and not kwargs:
            return rule.fast_path(*args)
        args = tuple(map(numbers_of, args))
    if any(takes_precedence(type(x)) for x in (*args, *kwargs.values())):
        return NotImplemented
    function = ufunc if method == "__call__" else getattr(ufunc, method)
    return apply(function, args, kwargs)


def array_function(
    self: Tensor, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
) -> Any:
    """`__array_function__`: NumPy calls it for its other functions (NEP 18)."""
    return apply(function, args, kwargs)


def array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    """`__array__`: NumPy calls it for a plain array. TypeError if a gradient would be lost."""
    if self.requires_grad:
        raise TypeError(
            f"{self.name or 'a Tensor'} of shape {self.shape} needs a gradient, and a plain "
            f"array would lose it: use np.stack for a list of Tensors, np.concatenate for np.r_, "
            f"t * np.ones(shape) for np.full, or write .data if you want the array without its "
            f"gradient"
        )
    return np.array(self.data, dtype=dtype, copy=copy)


Tensor.__array_ufunc__ = array_ufunc  # type: ignore[method-assign]
Tensor.__array_function__ = array_function  # type: ignore[method-assign]
Tensor.__array__ = array  # type: ignore[method-assign]

# Python's operators -----------------------------------------------------------------------

OPERATORS: dict[Callable[..., Any], str] = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.true_divide: "truediv",
    np.floor_divide: "floordiv",
    np.remainder: "mod",
    np.power: "pow",
    np.matmul: "matmul",
}


def getitem(self: Tensor, index: Any) -> Any:
    """`self[index]`."""
    kind = type(index)
    if kind in PLAIN or (kind is tuple and PLAIN.issuperset(map(type, index))):
        return RULES[operator.getitem].fast_path(self, index)  # type: ignore[misc]
    return apply(operator.getitem, (self, index), {})


Tensor.__getitem__ = getitem  # type: ignore[method-assign]


def use_fast_path(function: Any, rule: Rule) -> None:
    """Enter the fast path for a function of the table, also as Python's operator.

    NumPy's mixin, which supplies the other operators, uses the dispatch of the ufunc, which takes
    half a microsecond more. It also treats `loss += x` as writing into `loss`, not as a new value.
    """
    call = rule.fast_path = fast_path(rule)
    if function in OPERATORS:
        name = OPERATORS[function]
        binary = call or (lambda x1, x2: array_ufunc(x1, function, "__call__", x1, x2))
        setattr(Tensor, f"__{name}__", binary)
        setattr(Tensor, f"__i{name}__", binary)
        setattr(Tensor, f"__r{name}__", lambda x2, x1: binary(x1, x2))


on_entry.append(use_fast_path)
