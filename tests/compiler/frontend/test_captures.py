"""What a cell holds may change between two calls, wherever it holds it: `scan` sees it."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import functools
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import parameter
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.recognition import captured_by

XS, H_0 = np.random.default_rng(0).standard_normal((3, 2, 4)), np.zeros((2, 4))
Pair = collections.namedtuple("Pair", "W k")
settings = types.ModuleType("settings")
factor = 0.5


class WithSlots:
    __slots__ = ("W", "k")

    def __call__(self, x: Any, h: Any) -> Any:
        return np.tanh(h @ self.W + x * self.k)


class OfTheClass:
    W, k = parameter(4, 4, seed=1), 0.5

    def __call__(self, x: Any, h: Any) -> Any:
        return np.tanh(h @ self.W + x * self.k)


class WithMethods:
    def __init__(self) -> None:
        self.W, self._k = parameter(4, 4, seed=1), 0.5

    @property
    def k(self) -> float:
        return self._k * factor

    def step(self, x: Any, h: Any) -> Any:
        return np.tanh(h @ self.W + x * self.k)

    def __call__(self, x: Any, h: Any) -> Any:
        return self.step(x, h)


@dataclasses.dataclass(slots=True)
class Settings:
    W: Any
    k: float


def of_a_module(x: Any, h: Any) -> Any:
    return np.tanh(h @ settings.W + x * settings.k)


def of_a_comprehension(x: Any, h: Any) -> Any:
    return sum([np.tanh(h * factor + x * n) for n in range(2)])


class ByStaticMethod:
    __call__ = staticmethod(of_a_comprehension)


class ByPartial:
    __call__ = functools.partial(of_a_comprehension)


class ByPartialMethod:
    def step(self, k: float, x: Any, h: Any) -> Any:
        return of_a_comprehension(x * k, h)

    __call__ = functools.partialmethod(step, 0.5)


def of_an_attribute(x: Any, h: Any) -> Any:
    return np.tanh(h @ of_an_attribute.W + x * of_an_attribute.k)  # type: ignore[attr-defined]


def holding(box: Any, read: Callable[[Any], tuple[Any, Any]]) -> Callable[[Any, Any], Any]:
    def cell(x: Any, h: Any) -> Any:
        W, k = read(box)
        return np.tanh(h @ W + x * k)

    return cell


def cell_and_changes(kind: str) -> tuple[Any, list[Callable[[], Any]]]:
    """A cell, and what changes its number k and its weights W."""
    W, V = parameter(4, 4, seed=1), parameter(4, 4, seed=2)
    if kind in ("slots", "class", "before its class", "methods", "module", "attribute"):
        cell: Any = {
            "slots": WithSlots,
            "class": OfTheClass,
            "before its class": OfTheClass,
            "methods": WithMethods,
            "module": lambda: of_a_module,
            "attribute": lambda: of_an_attribute,
        }[kind]()
        owner = {"class": OfTheClass, "module": settings}.get(kind, cell)
        number = "_k" if kind == "methods" else "k"
        if kind == "before its class":  # so far it has none of its own
            return cell, [lambda: setattr(cell, "k", 0.1), lambda: setattr(cell, "W", V)]
        setattr(owner, number, 0.5)
        owner.W = W
        return cell, [lambda: setattr(owner, number, 0.1), lambda: setattr(owner, "W", V)]
    if kind == "dataclass":
        box: Any = Settings(W, 0.5)
        return holding(box, lambda b: (b.W, b.k)), [
            lambda: setattr(box, "k", 0.1),
            lambda: setattr(box, "W", V),
        ]
    if kind == "named tuple":
        box = [Pair(W, 0.5)]
        return holding(box, lambda b: (b[0].W, b[0].k)), [
            lambda: box.__setitem__(0, Pair(W, 0.1)),
            lambda: box.__setitem__(0, Pair(V, 0.1)),
        ]
    box = {
        "ordered dict": collections.OrderedDict([(0, W), (1, 0.5)]),
        "deque": collections.deque([W, 0.5]),
    }[kind]
    return holding(box, lambda b: (b[0], b[1])), [
        lambda: box.__setitem__(1, 0.1),
        lambda: box.__setitem__(0, V),
    ]


class Look:
    """A cell after so many looks at it. The first two walk, and later ones recognise the cell."""

    def __init__(self, cell: Any, asked: int) -> None:
        self.cell = cell
        for _ in range(asked):
            captured_by(cell)
        self.before = captured_by(cell)

    def unchanged(self) -> bool:
        found, walked = captured_by(self.cell), CellKey(self.cell)
        assert found.is_same(walked)
        return found.is_same(self.before)


ASKED = pytest.mark.parametrize("asked", [0, 1, 2])

KINDS = [
    "slots",
    "class",
    "before its class",
    "methods",
    "module",
    "attribute",
    "dataclass",
    "named tuple",
]


@ASKED
@pytest.mark.parametrize("kind", [*KINDS, "ordered dict", "deque"])
def test_numbers_and_weights_may_change(kind: str, asked: int) -> None:
    cell, changes = cell_and_changes(kind)
    for change in [lambda: None, *changes]:
        look = Look(cell, asked)
        change()
        assert look.unchanged() == (change not in changes)
        np.testing.assert_allclose(
            tg.scan(cell, XS, H_0)[1].data, tg.unroll(cell, XS, H_0)[1].data, rtol=0, atol=1e-14
        )


@ASKED
@pytest.mark.parametrize(
    "cell",
    [of_a_comprehension, WithMethods(), ByStaticMethod(), ByPartial(), ByPartialMethod()],
)
def test_a_variable_of_the_module_may_change(
    cell: Any, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in (0.75, 0.25):
        look = Look(cell, asked)
        monkeypatch.setitem(globals(), "factor", value)
        assert not look.unchanged()
        np.testing.assert_allclose(
            tg.scan(cell, XS, H_0)[1].data, tg.unroll(cell, XS, H_0)[1].data, rtol=0, atol=1e-14
        )


@ASKED
def test_a_set_may_grow(asked: int) -> None:
    numbers = {0.5}

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h * max(numbers) + x)

    for number in (1.5, 2.5):
        look = Look(cell, asked)
        numbers.add(number)
        assert not look.unchanged()
        np.testing.assert_allclose(
            tg.scan(cell, XS, H_0)[1].data, tg.unroll(cell, XS, H_0)[1].data, rtol=0, atol=1e-14
        )


@ASKED
def test_what_else_is_seen_to_change(asked: int) -> None:
    W, scale, box = parameter(4, 4, seed=1), np.ones(4), {"k": 0.5}

    def phi(a: Any, slope: float = 1.0) -> Any:
        return np.tanh(slope * a)

    bent = functools.partial(phi, slope=1.0)

    def cell(x: Any, h: Any) -> Any:
        return bent(h @ W * scale + x * box["k"])

    def exchange() -> None:
        nonlocal scale
        scale = np.ones((2, 4))

    changes: list[Callable[[], Any]] = [
        lambda: setattr(W, "requires_grad", False),
        lambda: setattr(W, "data", W.data.astype(np.float32)),
        exchange,
        lambda: box.update(k=0.1),
        lambda: box.update(other=0.1),
        lambda: box.pop("other"),
        lambda: bent.__setstate__((phi, (), {"slope": 2.0}, {})),
        lambda: setattr(phi, "__defaults__", (2.0,)),
        lambda: setattr(phi, "note", 1),
        lambda: setattr(phi, "__code__", (lambda a, slope: a).__code__),
    ]
    for change in changes:
        look = Look(cell, asked)
        change()
        assert not look.unchanged()
    look = Look(cell, asked)
    W.data = W.data + 1  # other numbers are no change
    assert look.unchanged()


W = parameter(4, 4, seed=2)


class WithEveryKindOfMember:
    def __init__(self) -> None:
        self.table = {"k": 0.5}
        self.ask = self.table.get

    @staticmethod
    def bent(a: Any) -> Any:
        return np.tanh(a * factor)

    @classmethod
    def wider(cls, a: Any) -> Any:
        return a * factor

    @functools.cached_property
    def weight(self) -> Any:
        return parameter(4, 4, seed=3)

    def __call__(self, x: Any, h: Any) -> Any:
        import this_is_no_module_that_was_imported as nothing  # noqa: F401

        return self.bent(self.wider(h @ self.weight) + x * self.ask("k"))


@ASKED
def test_members_of_every_kind(asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "this_is_no_module_that_was_imported"
    cell = WithEveryKindOfMember()
    Look(cell, asked)  # before the import
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    cell(XS[0], H_0)
    look = Look(cell, asked)
    monkeypatch.setitem(globals(), "factor", 0.25)  # which the method of the class reads alone
    assert not look.unchanged()
    look = Look(cell, asked)
    cell.table["k"] = 0.1
    assert not look.unchanged()
    np.testing.assert_allclose(
        tg.scan(cell, XS, H_0)[1].data, tg.unroll(cell, XS, H_0)[1].data, rtol=1e-13
    )


def test_an_attribute_is_not_the_global_of_its_name() -> None:
    cell = Settings(parameter(4, 4, seed=1), 0.5)

    def step(x: Any, h: Any) -> Any:
        return np.tanh(h @ cell.W + x * cell.k)

    assert list(map(id, CellKey(step).arrays)) == [id(cell.W)]


@ASKED
def test_what_comes_to_stand_before_something_else(asked: int) -> None:
    class Inherits(OfTheClass):
        pass

    cell = Inherits()
    changes: list[Callable[[], Any]] = [
        lambda: setattr(Inherits, "k", 0.1),
        lambda: setattr(cell, "k", 0.2),
        lambda: setattr(cell, "__dict__", {"k": 0.3}),
        lambda: setattr(Inherits, "__call__", WithMethods.step),
        lambda: setattr(cell, "__class__", OfTheClass),
    ]
    for change in changes:
        look = Look(cell, asked)
        change()
        assert not look.unchanged()


@ASKED
def test_a_variable_may_lose_its_value(asked: int) -> None:
    k = 0.5

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h + x * k)

    look = Look(cell, asked)
    del k
    assert not look.unchanged()
    look = Look(cell, asked)
    k = 0.1
    assert not look.unchanged()


@ASKED
def test_the_order_of_a_dict_may_change(asked: int) -> None:
    box = {"a": 0.5, "b": 0.5}

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h + sum(x * k for k in box.values()))

    look = Look(cell, asked)
    box["a"] = box.pop("a")
    assert not look.unchanged()


def test_a_class_that_inherits_from_a_cell() -> None:
    class Begins(tg.RNNCell):
        def initial_state(self, batch_size: int) -> Any:
            return np.full((batch_size, self.hidden_size), 0.5)

    class Scaled(Begins):
        scale = 1.0

        def step(self, a: Any, state: Any) -> Any:
            return self.scale * super().step(a, state)

    for cell in (Begins(4, 4, rng=0), Scaled(4, 4, rng=0)):
        for _ in range(3):
            states, _ = tg.scan(cell, XS)
            expected, _ = tg.unroll(cell, XS, stacked=True)
            np.testing.assert_allclose(states.data, expected.data, rtol=0, atol=1e-14)
            cell.scale = 0.5


def test_a_weak_reference_to_what_has_no_hash() -> None:
    scale, known = parameter(4, 4, seed=1), weakref.WeakValueDictionary[str, Any]()
    reference = weakref.ref(known)

    def cell(x: Any, h: Any) -> Any:
        return np.tanh(h @ scale + x * (reference() is known))

    assert hash(CellKey(cell).key) == hash(CellKey(cell).key)
    expected = tg.unroll(cell, XS, H_0)[1].data
    np.testing.assert_allclose(tg.scan(cell, XS, H_0)[1].data, expected, rtol=1e-13)


class Angle(float):
    """A number with a name."""


def test_an_empty_text_is_none_of_two_quotes() -> None:
    """The sign of a zero is in its text. The text of "" is a text that a cell may hold itself."""
    keys = [CellKey(holding([mark], lambda b: b[0])).key for mark in ("", "''")]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        (0.0, -0.0),
        (np.float64(0.0), np.float64(-0.0)),
        (complex(1.0, 0.0), complex(1.0, -0.0)),
        (Angle(0.0), Angle(-0.0)),
        (decimal.Decimal("0"), decimal.Decimal("-0")),
    ],
    ids=repr,
)
def test_the_sign_of_a_zero_is_seen(positive: Any, negative: Any) -> None:
    """The two are equal. A program that was made for one was once run for the other."""
    box = [positive]
    cell = holding(box, lambda b: (np.eye(4), b[0]))
    first = CellKey(cell)
    box[0] = negative
    assert CellKey(cell).key != first.key
    box[0] = type(positive)(positive)
    assert CellKey(cell).key == first.key
