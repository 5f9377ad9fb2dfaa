"""Derivatives of functions of arrays: gradients, products with Jacobians, Jacobians, Hessians.

All of them are built on `vjp`. The arguments enter the function as new variables, each with its
own node. So derivatives nest to any order, and their variables stay separate.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.engine.backward import reverse_pass, seed_of
from tinygrad_rnn.engine.gradients import between, of_nodes, own
from tinygrad_rnn.engine.recording import UNMARKED, current_mark, depth, marked
from tinygrad_rnn.engine.table import derivative, plain
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import Tree, flatten, unflatten

Argnums: TypeAlias = int | str | Sequence[int | str]


def grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Tree]:
    """The gradient of a function that returns one number, as a function of the same arguments.

    argnums: the argument to differentiate by: its place, or its name if it is given by keyword.
        A list or tuple of these gives a tuple of gradients. An argument may be an array or any
        nesting of lists, tuples and dicts of arrays; its gradient has the same structure.
    Returns plain arrays. Derivatives nest: if an argument is a Tensor, or the calling function is
    itself being differentiated, the gradient is a Tensor if it depends on a value that needs one.
    Raises ValueError if f does not return a single number, TypeError for arguments of integers.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.grad(lambda x: np.sum(x ** 3))(np.array([1.0, 2.0]))
    array([ 3., 12.])
    >>> print(tg.grad(tg.grad(np.sin))(0.5) + np.sin(0.5))
    0.0
    """

    check_function(f)

    def gradient(*args: Any, **kwargs: Any) -> Tree:
        return value_and_grad(f, argnums)(*args, **kwargs)[1]

    return gradient


def check_function(f: Any) -> None:
    """TypeError unless f can be called."""
    if not callable(f):
        raise TypeError(
            f"f must be a function of arrays, but its type is {type(f).__name__}: for a value that "
            f"is computed already, use backward or tg.gradients"
        )


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., tuple[Any, Tree]]:
    """Like `grad`, but returns the pair of the function's value and the gradient.

    >>> import tinygrad_rnn as tg
    >>> value, slope = tg.value_and_grad(lambda x: x * x)(3.0)
    >>> print(value, slope)
    9.0 6.0
    """

    check_function(f)

    def evaluate(*args: Any, **kwargs: Any) -> tuple[Any, Tree]:
        of_chosen, chosen, order = _by_argnums(f, argnums, args, kwargs)
        value, pullback = vjp(of_chosen, *chosen)
        if np.size(plain(value)) != 1:
            raise ValueError(
                f"the function must return one number to have a gradient, but it returned the "
                f"shape {np.shape(plain(value))}; sum the result, or use tg.jacobian or tg.vjp"
            )
        gradients = pullback(np.ones_like(plain(value)))
        return value, order(gradients)

    return evaluate


def vjp(f: Callable[..., Tree], *args: Tree) -> tuple[Tree, Callable[[Tree], tuple[Tree, ...]]]:
    """The value f(*args), and the function g ↦ gᵀ J that pulls a gradient back to the arguments.

    The pull-back takes a gradient of the output's structure and shapes. It returns a tuple with
    one gradient for each argument. It may be called any number of times.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> value, pullback = tg.vjp(np.tanh, np.zeros(2))
    >>> pullback(np.array([1.0, 5.0]))
    (array([1., 5.]),)
    """
    check_function(f)
    ambient = current_mark()
    level = depth.get()
    is_nested = level > 0 or any(isinstance(leaf, Tensor) for leaf in flatten(args))
    try:
        depth.set(level + 1)
        with marked(ambient or UNMARKED):
            variables = [_variable(leaf) for leaf in flatten(args)]
            output = f(*unflatten(args, iter(variables)))
    finally:
        depth.set(level)
    if output is None:
        raise TypeError(
            f"{getattr(f, '__name__', f)} returned None, which has no gradient; let it return "
            f"the value to differentiate"
        )
    results = [leaf if isinstance(leaf, Tensor) else Tensor(leaf) for leaf in flatten(output)]
    tracked = [result for result in results if result.requires_grad]
    nodes, has_other_sources = between(
        [variable.node for variable in variables], [result.node for result in tracked]
    )
    # Then the results are Tensors, so that a surrounding derivative sees them.
    is_recorded = has_other_sources and is_nested and ambient is not None

    def pullback(gradient: Tree) -> tuple[Tree, ...]:
        given = flatten(gradient)
        _check_shapes("the gradient of the output", given, "the output", results)
        seeds = [seed_of(y, g) for g, y in zip(given, results, strict=True) if y.requires_grad]
        with marked(current_mark() or UNMARKED):
            passed = reverse_pass([t.node for t in tracked], seeds, nodes, create_graph=is_recorded)
            found = of_nodes({variable.node for variable in variables}, passed)
        return unflatten(args, (own(found.get(v.node), v) for v in variables))  # type: ignore[no-any-return]

    return unflatten(output, (r if is_recorded else r.data for r in results)), pullback


def jvp(
    f: Callable[..., Tree], args: Sequence[Tree], tangents: Sequence[Tree]
) -> tuple[Tree, Tree]:
    """The value f(*args), and J v, the derivative of the value along the direction `tangents`.

    args, tangents: sequences of the same structure and shapes, one entry per argument. A single
        argument and its tangent may be given without a sequence around them.
    The product is the derivative of the pull-back, which is linear in the gradient it is given:
    J v = ∂/∂g (gᵀ J) v.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> value, change = tg.jvp(np.sin, (np.zeros(2),), (np.array([1.0, 2.0]),))
    >>> change
    array([1., 2.])
    """
    args, tangents = (x if isinstance(x, tuple | list) else (x,) for x in (args, tangents))
    _check_shapes("tangents", flatten(tangents), "the arguments", flatten(args))
    value, pullback = vjp(f, *args)
    zeros = unflatten(value, (np.zeros_like(plain(leaf)) for leaf in flatten(value)))
    _, transposed = vjp(pullback, zeros)
    return value, transposed(tuple(tangents))[0]


def jacobian(f: Callable[..., Tree], argnums: Argnums = 0) -> Callable[..., Tree]:
    """All partial derivatives: an array of the output's shape followed by the argument's.

    argnums: as in `grad`. If the function returns lists, tuples or dicts of arrays, so does the
        Jacobian, and each entry has the structure of the arguments.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.jacobian(lambda x: x[0] * x)(np.array([2.0, 3.0]))
    array([[4., 0.],
           [3., 2.]])
    """

    def matrix(*args: Any, **kwargs: Any) -> Tree:
        of_chosen, chosen, order = _by_argnums(f, argnums, args, kwargs)
        value, pullback = vjp(of_chosen, *chosen)
        outputs = flatten(value)

        def rows(place: int) -> Tree:
            shape = np.shape(plain(outputs[place]))
            size = math.prod(shape)
            each = []
            for entry in range(max(size, 1)):  # one row of an empty output has the structure
                seeds = [np.zeros_like(plain(y)) for y in outputs]
                seeds[place].flat[entry : entry + 1] = 1
                each.append(order(pullback(unflatten(value, iter(seeds)))))
            columns = [np.stack(column)[:size] for column in zip(*map(flatten, each), strict=True)]
            return unflatten(each[0], (c.reshape(shape + c.shape[1:]) for c in columns))

        return unflatten(value, map(rows, range(len(outputs))))

    return matrix


def hessian(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Tree]:
    """All second derivatives of a function that returns one number: the Jacobian of its gradient.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.hessian(lambda x: x[0] * x[1] ** 2)(np.array([2.0, 3.0]))
    array([[0., 6.],
           [6., 4.]])
    """
    return jacobian(grad(f, argnums), argnums)


def hvp(f: Callable[..., Any], x: Tree, v: Tree) -> Tree:
    """The Hessian of f at x times v, at the cost of a few gradients: ∇(∇f · v).

    f: a function of x that returns one number; x, v: arrays of the same structure and shapes.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.hvp(lambda x: np.sum(x ** 3), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    _check_shapes("v", flatten(v), "x", flatten(x))
    return vjp(grad(f), x)[1](v)[0]


# Variables --------------------------------------------------------------------------------------


def _same(x: Any) -> Any:
    return x


alias = derivative(_same, lambda g: g)


def _variable(value: Any) -> Tensor:
    """A new variable for an argument.

    For a Tensor that needs a gradient, the variable is a new node with the Tensor as its parent. In
    a surrounding derivative, the results then still depend on the Tensor."""
    if isinstance(value, Tensor) and value.requires_grad:
        return alias(value)  # type: ignore[no-any-return]
    return Tensor(value, requires_grad=True)


def _check_shapes(what: str, given: list[Any], whose: str, arrays: list[Any]) -> None:
    """ValueError if these arrays have not the shapes of those."""
    found, wanted = ([np.shape(plain(x)) for x in xs] for xs in (given, arrays))
    if found != wanted:
        raise ValueError(
            f"{what} must have the shape of {whose}, {_joined(wanted)}, not {_joined(found)}"
        )


def _joined(shapes: list[tuple[int, ...]]) -> str:
    return " and ".join(map(str, shapes)) or "none"


def _by_argnums(
    f: Callable[..., Any], argnums: Argnums, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], list[Any], Callable[[tuple[Any, ...]], Any]]:
    """A function of the chosen arguments alone, these arguments, and the order of their gradients.

    The third result brings the gradients into the order of argnums, which may name an argument
    more than once."""
    is_several = isinstance(argnums, list | tuple)
    chosen: list[Any] = list(argnums) if isinstance(argnums, list | tuple) else [argnums]
    given: dict[Any, Any] = dict(enumerate(args)) | kwargs
    keys = [n + len(args) if not isinstance(n, str) and n < 0 else n for n in chosen]
    for which, key in zip(chosen, keys, strict=True):
        if key not in given:
            raise ValueError(
                f"argnums names the argument {which!r}, but the call has {len(args)} positional "
                f"{'argument' if len(args) == 1 else 'arguments'} and the keywords "
                f"{', '.join(kwargs) or 'none'}"
            )
    each = list(dict.fromkeys(keys))

    @functools.wraps(f)
    def of_chosen(*values: Any) -> Any:
        new = given | dict(zip(each, values, strict=True))
        return f(*(new[n] for n in range(len(args))), **{name: new[name] for name in kwargs})

    def order(gradients: tuple[Any, ...]) -> Any:
        found = tuple(gradients[each.index(key)] for key in keys)
        return found if is_several else found[0]

    return of_chosen, [given[key] for key in each], order
