"""Check derivatives against differences of the function itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.analysis.differences import TOLERANCE, compare, too_coarse
from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.engine.table import plain
from tinygrad_rnn.engine.transforms import value_and_grad
from tinygrad_rnn.engine.trees import Tree, flatten, unflatten


def check_gradients(
    f: Callable[..., Tree],
    *args: Tree,
    order: int = 2,
    tolerance: float = TOLERANCE,
) -> None:
    """Compare the derivatives of f at `args` with central differences, up to the given order.

    f: any function of arrays (or of lists, tuples and dicts of them) that returns arrays. Order 1
        compares the gradient of the output along a random direction. Order 2 compares the gradient
        of that gradient along another random direction, and so on.
    args: float64 arrays; arguments of other kinds are held constant.
    tolerance: the largest relative difference (absolute, below 1).
    Raises TypeError below float64, where differences are too inaccurate; ValueError for an order
    below 1; AssertionError, with the order, the argument, the entry and both numbers, if they
    differ.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.check_gradients(np.tanh, np.array([0.5, -1.0]), order=3)
    >>> wrong = tg.derivative(lambda x: x ** 2, lambda g, x: 3 * g * x)
    >>> tg.check_gradients(wrong, np.array([1.0]))
    Traceback (most recent call last):
    AssertionError: the derivative of order 1 by argument 0, entry (0,), is ... by differences
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, not {order}")
    variables = [(name, leaf) for name, leaf in _named_leaves(args) if _is_float(leaf)]
    for name, leaf in variables:
        if leaf.dtype != np.float64:
            raise too_coarse(name, leaf.dtype)

    def of_variables(*values: Any) -> Tree:
        given = iter(values)
        everything = [next(given) if _is_float(leaf) else leaf for leaf in flatten(args)]
        return f(*unflatten(args, iter(everything)))

    if not variables:
        raise TypeError("there is nothing to check: no argument is, or holds, an array of floats")
    names = [name for name, _ in variables]
    points = [plain(leaf) for _, leaf in variables]
    _check(of_variables, names, points, 1, order, tolerance, np.random.default_rng(0))


def _check(
    f: Callable[..., Tree],
    names: list[str],
    points: list[Any],
    order: int,
    last: int,
    tolerance: float,
    rng: np.random.Generator,
) -> None:
    weights: list[Any] = []

    def projected(*values: Any) -> Any:
        outputs = [y for y in flatten(f(*values)) if _is_float(y)]
        if not outputs:
            raise TypeError("there is nothing to check: the function returned no floats")
        if not weights:
            weights.extend(rng.uniform(0.5, 1.5, np.shape(y)) for y in outputs)
        return sum((np.sum(w * y) for w, y in zip(weights, outputs, strict=True)), np.float64(0))

    places = tuple(range(len(points)))
    _, gradients = value_and_grad(projected, argnums=places)(*points)
    for place, (name, point, gradient) in enumerate(zip(names, points, gradients, strict=True)):

        def value_at(moved: Any, place: int = place) -> float:
            with no_grad():
                return float(plain(projected(*points[:place], moved, *points[place + 1 :])))

        def label(where: str, name: str = name) -> str:
            return f"the derivative of order {order} by {name}, {where}"

        compare(gradient, value_at, point, label, rng, tolerance)
    if order < last:

        def gradient_of(*values: Any) -> Tree:
            return value_and_grad(projected, argnums=places)(*values)[1]

        _check(gradient_of, names, points, order + 1, last, tolerance, rng)


def _named_leaves(args: tuple[Tree, ...]) -> list[tuple[str, Any]]:
    def walk(tree: Tree, name: str) -> list[tuple[str, Any]]:
        if isinstance(tree, dict):
            return [x for key, branch in tree.items() for x in walk(branch, f"{name}[{key!r}]")]
        if isinstance(tree, list | tuple):
            return [x for i, branch in enumerate(tree) for x in walk(branch, f"{name}[{i}]")]
        is_number = isinstance(tree, float) and not isinstance(tree, np.floating)
        return [(name, np.asarray(tree) if is_number else tree)]

    return [x for i, arg in enumerate(args) for x in walk(arg, f"argument {i}")]


def _is_float(leaf: Any) -> bool:
    return isinstance(leaf, float) or getattr(getattr(leaf, "dtype", None), "kind", "") == "f"
