"""Einstein's summation. The derivative of an einsum is an einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import derivative

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""NumPy's order of indices: an implicit output has its indices sorted in this order."""


def explicit(operands: tuple[Any, ...]) -> tuple[list[str], str, list[Array]]:
    """The indices of each operand and of the output, without ellipses, and the operands."""
    if isinstance(operands[0], str):
        written, arrays = operands[0].replace(" ", ""), list(operands[1:])
        left, arrow, output = written.partition("->")
        inputs = left.split(",")
    else:  # einsum(a, [0, 1], b, [1, 2], [0, 2])
        lists = [*operands[1:-1:2], operands[-1]]
        letters = ["".join("..." if i is Ellipsis else LETTERS[i] for i in one) for one in lists]
        arrays = list(operands[0 : 2 * (len(operands) // 2) : 2])
        inputs, arrow = letters[: len(arrays)], "->" if len(operands) % 2 else ""
        output = letters[-1] if arrow else ""
    unused = [letter for letter in LETTERS if letter not in "".join(inputs) + output]
    count = [np.ndim(a) - len(s.replace("...", "")) for s, a in zip(inputs, arrays, strict=True)]
    most = max((n for n, s in zip(count, inputs, strict=True) if "..." in s), default=0)
    dots = "".join(unused[:most])
    if not arrow:
        names = "".join(inputs).replace(".", "")
        output = "..." + "".join(sorted(name for name in set(names) if names.count(name) == 1))
    inputs = [s.replace("...", dots[most - n :]) for n, s in zip(count, inputs, strict=True)]
    return inputs, output.replace("...", dots), arrays


def _einsum(g: Array, i: int, operands: tuple[Any, ...]) -> Array:
    inputs, output, arrays = explicit(operands)
    place = i - 1 if isinstance(operands[0], str) else i // 2
    wanted, shape = inputs.pop(place), np.shape(arrays.pop(place))
    unused = iter(
        [letter for letter in LETTERS if letter not in "".join([*inputs, wanted, output])]
    )
    result = ""
    for letter, length in zip(wanted, shape, strict=True):
        if letter in result:  # on the diagonal only: multiply by the identity
            twin = next(unused)
            inputs.append(letter + twin)
            arrays.append(np.eye(length, dtype=g.dtype))
            result += twin
        else:
            if letter not in "".join([*inputs, output]):  # summed in this operand alone: broadcast
                inputs.append(letter)
                arrays.append(np.ones(length, dtype=g.dtype))
            result += letter
    subscripts = ",".join([output, *inputs]) + "->" + result
    return np.einsum(subscripts, g, *arrays, optimize=len(arrays) > 1)


derivative(np.einsum, _einsum)
