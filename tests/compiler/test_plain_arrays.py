"""Plain arrays that a cell reads are inputs of its program, also where it computes with them."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import parameter
from tinygrad_rnn.compiler.runtime import cache

rng = np.random.default_rng(0)
XS, H_0 = rng.standard_normal((3, 2, 4)), np.zeros((2, 4))
YS = rng.integers(0, 4, (3, 2))
W = parameter(4, 4, seed=1)


def agree(cell: Any, xs: Any = XS) -> Any:
    found = []
    for run in (tg.unroll, tg.scan):
        states, _ = run(cell, xs, H_0)
        states = np.stack(states) if isinstance(states, list) else states
        found.append((states.data.copy(), tg.gradients(np.sum(states * states), [W])[0]))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)
    return found[0][0]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is compiled."""
    made: list[Any] = []
    program = cache.Program
    monkeypatch.setattr(cache, "Program", lambda *a: made.append(a) or program(*a))
    tg.clear_programs()
    return made


# Uses of an array v of four numbers, each positive.
USES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "entries": lambda v, x, h: np.tanh(h @ W * v[0] + v[1] + x),
    "a slice": lambda v, x, h: np.tanh((h @ W)[:, :2] * v[1:3] @ W[:2] + x),
    "divided": lambda v, x, h: np.tanh(h @ W * (v / 0.5) + x),
    "subtracted": lambda v, x, h: np.tanh(h @ W * (1 - v) + x),
    "compared": lambda v, x, h: np.where(v > 0.8, np.tanh(h @ W), x),
    "transposed": lambda v, x, h: np.tanh(h @ (W * v.reshape(2, 2).T.reshape(4)) + x),
    "summed": lambda v, x, h: np.tanh(h @ W * v.sum() + np.mean(v) + x),
    "outer product": lambda v, x, h: np.tanh(h @ (W * np.outer(v, v)) + x),
    "a function": lambda v, x, h: np.tanh(h @ W * np.sqrt(v) + np.log(v) + x),
    "softmax": lambda v, x, h: np.tanh(h @ W * tg.softmax(v) + tg.log_softmax(v) + x),
    "one by one": lambda v, x, h: np.tanh(h @ W + sum(k * x for k in v)),
    "in a Tensor": lambda v, x, h: np.tanh(h @ W * tg.Tensor(v) + x),
    "joined": lambda v, x, h: np.tanh(h @ W + np.concatenate([v[:2], v[:2] * 2]) + x),
    "sorted": lambda v, x, h: np.tanh(h @ W * np.sort(v)[::-1] + x),
    "its own copy": lambda v, x, h: np.tanh(h @ W * written(v) + x),
    "a part put back": lambda v, x, h: np.tanh(h @ W * put_back(v) + x),
    "asarray": lambda v, x, h: np.tanh(h @ W * np.asarray(v, dtype=float) + x),
    "isinstance": lambda v, x, h: np.tanh(h @ W * (v if isinstance(v, np.ndarray) else 0) + x),
}

# Uses that need the numbers while the program is written.
PINNED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "a branch": lambda v, x, h: np.tanh(h @ W + x) if v[0] > 0.8 else np.sin(h @ W + x),
    "a number": lambda v, x, h: np.tanh(h @ W * float(v[0]) + math.sqrt(v[1]) + x),
    "a length": lambda v, x, h: np.tanh(h @ W + sum(x for _ in range(int(v[0] * 4)))),
    "a list": lambda v, x, h: np.tanh(h @ W * v.tolist()[0] + x),
    "an axis": lambda v, x, h: np.tanh(h @ W + np.sum(x, axis=int(v[0] > 0.8), keepdims=True)),
    "places": lambda v, x, h: np.tanh(h @ W + len(np.flatnonzero(v > 0.8)) * x),
    "chosen": lambda v, x, h: np.tanh(h @ W + v[v > 0.1].sum() * x),
    "any": lambda v, x, h: np.tanh(h @ W + x) * (2.0 if (v > 0.8).any() else 0.5),
    "a key": lambda v, x, h: np.tanh(h @ W + {True: 2.0, False: 0.5}[bool(v[0] > 0.8)] * x),
    "a text": lambda v, x, h: np.tanh(h @ W + float(f"{v[0]:.3f}") * x),
    "rounded": lambda v, x, h: np.tanh(h @ W + round(v[0] * 3) * x),
}


def written(v: Any) -> Any:
    v = v.copy()
    v[1] = 0.0
    v[2:] *= 2
    return v


def put_back(v: Any) -> Any:
    """As `v[2:] *= 2` is done from Python 3.12 on: with two slices that are equal."""
    v = v.copy()
    part = v[2:]
    part *= 2
    v[2:] = part
    return v


@pytest.mark.parametrize("use", [*USES, *PINNED])
def test_an_array_may_have_other_numbers(use: str, compiled: list[Any]) -> None:
    function = (USES | PINNED)[use]
    before, seen = agree(functools.partial(function, np.full(4, 0.5))), []
    for v in (np.arange(1.0, 5.0), np.full(4, 0.5), np.arange(1.0, 5.0)):
        seen.append(agree(functools.partial(function, v)))
    assert np.abs(seen[0] - before).max() > 1e-3
    assert len(compiled) == (1 if use in USES else 2)  # and kept for the next time


def test_an_array_may_be_written_into_by_its_owner(compiled: list[Any]) -> None:
    v = np.full(4, 0.5)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h @ W * v[0] + v[1:2] * x)

    for _ in range(3):
        agree(cell)
        np.add(v, 1, out=v)
    assert len(compiled) == 1


# Where an array is held -----------------------------------------------------------------------


class Pair(NamedTuple):
    name: str
    v: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    v: Any


class Slots:
    __slots__ = ("v",)

    def __init__(self, v: Any) -> None:
        self.v = v


class OfTheClass:
    v: Any = None


def use(v: Any, x: Any, h: Any) -> Any:
    return np.tanh(h @ W * (v[0] + 1) + x)


def of_a_default(v: Any) -> Any:
    def cell(x: Any, h: Any, v: Any = v, *, w: Any = v) -> Any:
        return use(v + w, x, h)

    return cell


def of_an_attribute(v: Any) -> Any:
    def cell(x: Any, h: Any) -> Any:
        return use(cell.v, x, h)  # type: ignore[attr-defined]

    cell.v = v  # type: ignore[attr-defined]
    return cell


def holding(held: Any, read: Callable[[Any], Any]) -> Any:
    return lambda x, h: use(read(held), x, h)


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "closure": lambda v: lambda x, h: use(v, x, h),
    "default": of_a_default,
    "attribute of a function": of_an_attribute,
    "partial": lambda v: functools.partial(use, v),
    "partial by name": lambda v: functools.partial(lambda x, h, v: use(v, x, h), v=v),
    "tuple": lambda v: holding((1, (v, 2)), lambda held: held[1][0]),
    "named tuple": lambda v: holding(Pair("a", v), lambda held: held.v),
    "list in a dict": lambda v: holding({"a": [v]}, lambda held: held["a"][0]),
    "deque": lambda v: holding(deque([v]), lambda held: held[0]),
    "frozen dataclass": lambda v: holding(Frozen(v), lambda held: held.v),
    "slots": lambda v: holding(Slots(v), lambda held: held.v),
    "namespace": lambda v: holding(types.SimpleNamespace(v=v), lambda held: held.v),
    "view of a dict": lambda v: (
        lambda x, h, held=types.MappingProxyType({"v": v}): use(held["v"], x, h)
    ),
    "method": lambda v: types.MethodType(lambda held, x, h: use(held.v, x, h), Slots(v)),
}


def places(holder: str, v: Any) -> Any:
    if holder == "class":
        OfTheClass.v = v
        return lambda x, h: use(OfTheClass.v, x, h)
    if holder == "module":
        globals()["held"] = v
        return lambda x, h: use(held, x, h)  # type: ignore[name-defined]  # noqa: F821
    return HOLDERS[holder](v)


@pytest.mark.parametrize("holder", [*HOLDERS, "class", "module"])
def test_where_an_array_is_held(holder: str) -> None:
    for v in (np.full(4, 0.5), np.arange(1.0, 5.0)):
        cell = places(holder, v)
        agree(cell)
        agree(cell)
        assert type(v) is np.ndarray and v.flags.writeable
    with pytest.raises(ZeroDivisionError):
        tg.scan(lambda x, h: cell(x, h) / (1 // 0), XS, H_0)
    agree(cell)  # all is in its place again


def test_arrays_of_several_kinds() -> None:
    for v in (
        np.array([True, False, True, True]),
        np.array([1, 2, 3, 4], np.uint8),
        np.array([1, 2, 3, 4], ">i4"),
        np.array([1, 2, 3, 4], np.float32).astype(float)[::-1],
        np.asfortranarray(np.arange(8.0).reshape(4, 2))[:, 1],
        np.broadcast_to(np.float64(2), 4),
        np.array([1 + 0j, 2, 3, 4]).real,
    ):
        agree(lambda x, h, v=v: np.tanh(h @ W * v + x))
        agree(lambda x, h, v=v: np.tanh(h @ W * (v[1] + v) + x))


def test_a_plain_table_indexed_by_the_inputs() -> None:
    table = rng.standard_normal((4, 4))
    for cell in (
        lambda y, h: np.tanh(h @ W + table[y]),
        lambda y, h: np.tanh(h @ W + np.eye(4)[y]),
        lambda y, h: np.tanh(h @ W + np.identity(4)[y]),
        lambda y, h: np.tanh(h @ W + tg.one_hot(y, 4)),
        lambda y, h: np.tanh(h @ W + np.take(table, y, axis=0)),
    ):
        agree(cell, YS)
    with pytest.raises(IndexError):
        tg.scan(lambda y, h: np.tanh(h @ W + tg.one_hot(y, 4)), np.stack([YS[0], YS[0] - 4]), H_0)


# Writing ----------------------------------------------------------------------------------------


def function_that(write: Callable[[Any], Any]) -> Any:
    """A function of the table which writes into a copy; it is linear, and its own derivative."""

    def compute(a: Any) -> Any:
        a = a.copy()
        result = write(a)
        return a if result is None else result

    return tg.derivative(compute, lambda g: compute(g))


def in_a_view(a: Any) -> None:
    row = a[0]
    row *= 2
    row[1:] = 0.0


WRITES: dict[str, Callable[[Any], Any]] = {
    "fill_diagonal": lambda a: np.fill_diagonal(a, 0.0),
    "copyto": lambda a: np.copyto(a, 0.0, where=np.eye(4, dtype=bool)),
    "copyto a row": lambda a: np.copyto(a, a[1].copy()),
    "put": lambda a: np.put(a, [0, 5], 0.0),
    "putmask": lambda a: np.putmask(a, np.eye(4, dtype=bool), 0.0),
    "place": lambda a: np.place(a, np.eye(4, dtype=bool), [0.0]),
    "put along an axis": lambda a: np.put_along_axis(a, np.array([[1], [0], [2], [3]]), 0.0, 1),
    "an entry": lambda a: a.__setitem__((1, 2), 0.0),
    "rows": lambda a: a.__setitem__([0, 2], 0.0),
    "a row from another": lambda a: a.__setitem__(0, 3 * a[1]),
    "fill": lambda a: a[1:].fill(0.0),
    "a view": in_a_view,
    "in place": lambda a: a.__imul__(2.0),
    "out": lambda a: np.multiply(a, 2.0, out=a),
}


@pytest.mark.parametrize("write", WRITES)
def test_functions_that_write_into_a_copy(write: str) -> None:
    function, before = function_that(WRITES[write]), W.data.copy()
    agree(lambda x, h: np.tanh(h @ function(W) + x))
    agree(lambda x, h: np.tanh(h @ W + function(np.concatenate([h, x]))[2:]))
    np.testing.assert_array_equal(W.data, before)


def through_a_transpose(a: Any) -> None:
    a.T[0] = 0.0


def two_views(a: Any) -> None:
    first, second = a[0], a[1]
    first += 1.0 * second
    second *= 2


def under_a_view(a: Any) -> Any:
    view = a[0]
    a[0] = 0.0
    return a + view


def with_another_reader(a: Any) -> None:
    np.random.default_rng(0).shuffle(a)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (through_a_transpose, "reshaped or transposed view"),
        (two_views, "another view"),
        (under_a_view, "another view"),
        (lambda a: a.sort(), "uses .sort of a value of the step"),
        (lambda a: a.__setitem__(np.argmax(a, 1), 0.0), "that depend on the numbers"),
    ],
)
def test_writes_that_cannot_be_compiled(write: Any, message: str) -> None:
    function, before = function_that(write), W.data.copy()
    with pytest.raises(tg.TraceError, match=message):
        tg.scan(lambda x, h: np.tanh(h @ function(W) + x), XS, H_0)
    np.testing.assert_array_equal(W.data, before)


def test_nothing_is_written_into_what_a_cell_is_given() -> None:
    v, buffer = np.ones(4), np.zeros((2, 4))

    def into_its_own(x: Any, h: Any) -> Any:
        v[0] += 1
        return h * v

    def into_a_buffer(x: Any, h: Any) -> Any:
        np.tanh(x.data, out=buffer)
        return h + buffer

    for cell, message in ((into_its_own, "that it was given or holds"), (into_a_buffer, "given")):
        with pytest.raises(tg.TraceError, match=message):
            tg.scan(cell, XS, H_0)
    overwrite = tg.derivative(lambda a: a.__imul__(2.0), lambda g: 2 * g)
    for cell in (lambda x, h: overwrite(x) + h, lambda x, h: h @ overwrite(W)):
        with pytest.raises(tg.TraceError, match="that it was given or holds"):
            tg.scan(cell, XS, H_0)
    assert (v == 1).all() and not buffer.any() and np.array_equal(XS[0], XS[0])


def test_shapes_that_depend_on_the_numbers() -> None:
    for cell in (
        lambda x, h: h + np.sum(x[x > 0]),
        lambda x, h: h + np.nonzero(x)[0][:1],
        lambda x, h: h + len(np.unique(x)),
    ):
        with pytest.raises(tg.TraceError, match="depends on the numbers"):
            tg.scan(cell, XS, H_0)
    with pytest.raises(tg.TraceError, match=r"allclose returns a bool"):
        tg.scan(lambda x, h: h * np.allclose(x, 0), XS, H_0)


def zero(array: Any) -> Any:
    """Write into an array."""
    array[...] = 0.0
    return array


def after(taken: Any, array: Any) -> Any:
    """What was taken from an array, after a write into the array."""
    array[0] = 9.0
    return next(iter(taken))


def over(array: Any) -> None:
    with np.nditer(array, op_flags=[["readwrite"]]) as entries:
        for entry in entries:
            entry[...] = 2.0


# Writes into an array that the cell computed from a plain array, or into a copy or a part of it.
AGREE: dict[str, Callable[[Any], Any]] = {
    "astype": lambda m: zero(m.astype(float)),
    "astype without a copy": lambda m: zero(m.astype(float, copy=False)),
    "np.array": lambda m: zero(np.array(m)),
    "np.array of a dtype": lambda m: zero(np.array(m, float)),
    "np.array with more axes": lambda m: zero(np.array(m, ndmin=2))[0],
    "np.asarray": lambda m: zero(np.asarray(m)),
    "np.ascontiguousarray": lambda m: zero(np.ascontiguousarray(m)),
    "np.ascontiguousarray of a number": lambda m: np.ascontiguousarray(m[0]).shape[0] * m,
    "copy": lambda m: zero(m.copy()),
    "flatten": lambda m: zero(m.flatten()),
    "np.copy": lambda m: zero(np.copy(m)),
    "slice": lambda m: zero(m[1:])[0],
    "np.add.at": lambda m: np.add.at(m, [0, 0], 1.0),
    "a number read before": lambda m: after([float(m[0])], m),
    "unique numbers read before": lambda m: after(np.unique(m), m),
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "sort": lambda m: m.sort(),
    "partition": lambda m: m.partition(1),
    "put": lambda m: m.put([0], 9.0),
    "setfield": lambda m: m.setfield(9.0, float),
    "flat": lambda m: zero(m.flat),
    "real": lambda m: zero(m.real),
    "nditer": over,
    "np.split": lambda m: zero(np.split(m, 2)[0])[0],
    "np.require": lambda m: zero(np.require(m)),
    "einsum": lambda m: zero(np.einsum("i->i", m)),
    "einsum, then written": lambda m: after(np.einsum("i->i", m), m),
    "broadcast, then written": lambda m: after(np.broadcast_arrays(np.ones((2, 4)), m)[1], m),
    "meshgrid, then written": lambda m: after(np.meshgrid(m[1:], m, copy=False)[1][:, 0], m),
    "real, then written": lambda m: after(m.real, m),
    "flat, then written": lambda m: after(m.flat, m),
    "windows, then written": lambda m: after(np.lib.stride_tricks.sliding_window_view(m, 2)[0], m),
}


@pytest.mark.parametrize("write", [*AGREE, *REFUSED])
def test_writes_beside_the_handles(write: str) -> None:
    """Each of these once gave other numbers than `unroll`, or could have."""
    table = np.array([3.0, 1.0, 2.0, 0.5])

    def cell(x: Any, h: Any) -> Any:
        m = table * 1.0
        found = {**AGREE, **REFUSED}[write](m)
        return np.tanh(h @ W * m + x + (0.0 if found is None else found))

    if write in AGREE:
        agree(cell)
    else:
        tg.unroll(cell, XS, H_0)
        with pytest.raises(tg.TraceError):
            tg.scan(cell, XS, H_0)
