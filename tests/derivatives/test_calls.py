"""Calls beside the samples: what NumPy refuses is refused, and all else has NumPy's numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derivatives.samples import OLDER, SAMPLES
from tinygrad_rnn.engine.trees import flatten

ERRORS = TypeError, ValueError, IndexError, ZeroDivisionError

INTEGERS = (-3, -2, -1, 0, 1, 2, 3)

OTHER_ARRAYS: list[Callable[[Any], Any]] = [
    lambda x: x[None],
    lambda x: x[..., None],
    lambda x: x[0],
    lambda x: x[:0],
    lambda x: x[:1],
    lambda x: x[:-1],
    lambda x: np.concatenate([x, x]),
    lambda x: x.T,
    lambda x: 0 * x,
    lambda x: 0 * x + 1,
]


def is_float(leaf: Any) -> bool:
    return getattr(getattr(leaf, "dtype", None), "kind", "") == "f"


def others(value: Any) -> Iterator[Any]:
    """Other values of an argument, some of which do not fit."""
    if isinstance(value, bool):
        yield not value
    elif value is None or isinstance(value, int):
        yield from INTEGERS
    elif isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        yield from (value[::-1], value[:1], (*value, 1), tuple(-part for part in value))
    elif isinstance(value, np.ndarray):
        for change in OTHER_ARRAYS:
            try:
                yield change(value).astype(value.dtype)
            except (IndexError, ValueError):  # there is no first row, or nothing to join
                continue


def calls(function: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The samples of a function with one argument changed."""
    for args, kwargs in SAMPLES[function]:
        for n, value in enumerate(args):
            yield from (((*args[:n], new, *args[n + 1 :]), kwargs) for new in others(value))
        for name, value in kwargs.items():
            yield from ((args, kwargs | {name: new}) for new in others(value))


def tracked(tree: Any) -> Any:
    if isinstance(tree, list | tuple):
        return type(tree)(map(tracked, tree))
    return tg.Tensor(tree, requires_grad=True) if is_float(tree) else tree


def result(function: Any, args: Any, kwargs: Any) -> Any:
    """What a call returns, or the error that it raises."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error


NOT_OF_NOTHING = {np.quantile, np.nanquantile}
"""For empty arrays, what NumPy does depends on the method, and the shapes are not always right."""

STRICTER = {
    np.gradient: "edge_order is 1 or 2",
    **dict.fromkeys((np.polyadd, np.polysub, np.polyder, np.polyint), "a polynomial has one axis"),
    np.poly: "a matrix has eigenvalues",
    np.insert: "the values have no more axes than the array",
    np.full_like: "the values have no more axes than the array",
    np.geomspace: "all values are real",
    np.piecewise: "the conditions have the shape of the array",
    **dict.fromkeys((np.cross, np.linalg.cross), "vectors have three entries"),
    **dict.fromkeys((np.pad, np.trim_zeros), "a number has no ends"),
    np.linalg.qr: "the completing vectors have no derivative",
    np.linalg.cond: "the norm of an inverse has a derivative where there is one",
}
"""Functions that refuse some calls which NumPy computes, and why."""

FUNCTIONS = [f for f in SAMPLES if not hasattr(f, "rule")]
"""Those of NumPy."""


@pytest.mark.filterwarnings("ignore")  # of empty slices, divisions by zero and degrees of freedom
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: getattr(f, "__name__", str(f)))
def test_a_call_with_another_argument(function: Any) -> None:
    for args, kwargs in calls(function):
        arrays = [a for a in (*args, *kwargs.values()) if isinstance(a, np.ndarray)]
        if function in NOT_OF_NOTHING and not all(a.size for a in arrays):
            continue
        expected, found = result(function, args, kwargs), result(function, tracked(args), kwargs)
        said = f"{[np.shape(a) if is_float(a) else a for a in args]}, {kwargs}"
        if isinstance(found, Exception):
            assert isinstance(found, ERRORS), f"{said}: {found!r}"
            of_nothing = not all(a.size for a in arrays)
            allowed = isinstance(expected, Exception) or function in STRICTER or of_nothing
            assert allowed, f"{said}: {found!r}"
            continue
        if OLDER and isinstance(expected, Exception):  # it refuses more than NumPy does now
            continue
        assert not isinstance(expected, Exception), f"{said}: NumPy says {expected}"
        for k in (list, tuple):
            assert isinstance(found, k) == isinstance(expected, k), said
        pairs = list(zip(flatten(found), flatten(expected), strict=True))
        for mine, theirs in pairs:
            mine, theirs = getattr(mine, "data", mine), np.asarray(theirs)
            assert np.shape(mine) == theirs.shape and np.asarray(mine).dtype == theirs.dtype, said
            finite = np.isfinite(theirs)
            mine, theirs = np.asarray(mine)[finite], theirs[finite]
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12, err_msg=said)


def with_lists(function: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], int | str]]:
    """The samples of a function with a list in place of one array, and which it is."""
    for args, kwargs in SAMPLES[function]:
        for n, value in enumerate(args):
            if isinstance(value, np.ndarray) and value.ndim:
                yield (*args[:n], value.tolist(), *args[n + 1 :]), kwargs, n
        for name, value in kwargs.items():
            if isinstance(value, np.ndarray) and value.ndim:
                yield args, kwargs | {name: value.tolist()}, name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: getattr(f, "__name__", str(f)))
def test_a_list_in_place_of_an_array(function: Any) -> None:
    for args, kwargs, place in with_lists(function):
        given = tuple(a if n == place else tracked(a) for n, a in enumerate(args))
        expected, found = result(function, args, kwargs), result(function, given, kwargs)
        if isinstance(expected, Exception):
            continue
        if isinstance(found, Exception):  # NumPy does not look for Tensors in every argument
            unseen = "plain array would lose it|writes in place"
            assert re.search(unseen, str(found)), f"{args}, {kwargs}: {found!r}"
            continue
        for mine, theirs in zip(flatten(found), flatten(expected), strict=True):
            mine = getattr(mine, "data", mine)
            np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)
