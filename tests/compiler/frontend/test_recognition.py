"""A cell is recognised only where a walk would find the same: random cells, changed at random."""

from __future__ import annotations

import array
import collections
import contextvars
import dataclasses
import decimal
import enum
import fractions
import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.recognition import KNOWN, MOST, captured_by

settings = types.ModuleType("settings")
shared: Any = None


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Angle(float):
    """A number with attributes."""


class Word(str):
    """A text with attributes."""


class Several(list[Any]):
    """A list of a user."""


class Lazily(dict[Any, Any]):
    """A dict that makes new objects whenever it is read."""

    def items(self) -> Any:
        return [(key, [value]) for key, value in super().items()]


Pair = collections.namedtuple("Pair", "W k")


class Slotted:
    __slots__ = ("W", "k")


class SlottedHeir(Slotted):
    pass


@dataclasses.dataclass
class Record:
    W: Any
    k: Any = 1


def user_class() -> type:
    class Base:
        k: Any = 0.5
        tags: Any = ()

        @property
        def scale(self) -> Any:
            return self.k

    class Model(Base):
        def __call__(self, x: Any, h: Any) -> Any:
            return self.step(x, h)

        def step(self, x: Any, h: Any) -> Any:
            return x * self.scale + h * self.W * self.tags[0]

        @staticmethod
        def bent(a: Any) -> Any:
            return shared

        @classmethod
        def wider(cls, a: Any) -> Any:
            return settings.W + settings.k + settings.shared

    return Model


def shared_function(a: Any) -> Any:
    return a


def with_no_length() -> type:
    class Without:
        __len__ = None

    return Without


def with_rule(k: Any) -> Any:
    def square(x: Any) -> Any:
        return x * x * k

    return tg.derivative(square, lambda g, x: 2 * g * x * k)


def closed_over(k: Any, W: Any) -> Any:
    def inner(x: Any = 1, *, y: Any = 2) -> Any:
        return x * k + W * shared

    return inner


def unset() -> Any:
    def inner() -> Any:
        return later

    if not inner:
        later = 1
    return inner


PLAIN = [0, 1, 1.0, True, False, 0.0, -0.0, None, "", "''", "W", b"", b"a", np.dtype("f4"), (), 257]
OTHERS: list[Callable[[], Any]] = [
    lambda: complex(1.0, -0.0),
    lambda: complex(1.0, 0.0),
    lambda: np.float64(0.0),
    lambda: np.float64(-0.0),
    lambda: np.float32(1.0),
    lambda: np.int64(1),
    lambda: np.bool_(True),
    lambda: np.float64("nan"),
    lambda: float("nan"),
    lambda: decimal.Decimal("-0"),
    lambda: decimal.Decimal("0"),
    lambda: fractions.Fraction(1, 2),
    lambda: range(3),
    lambda: Color.RED,
    lambda: Color.BLUE,
    lambda: np.tanh,
    lambda: np.exp,
    lambda: np.average,
    lambda: np.average.__wrapped__,  # type: ignore[attr-defined]
    lambda: np.median.__wrapped__,  # type: ignore[attr-defined]
    lambda: max,
    lambda: min,
    lambda: np,
    lambda: settings,
    lambda: sys.modules["math"],
    lambda: contextvars.ContextVar("context", default=0.5),
    lambda: object(),
    lambda: array.array("i", [1, 2]),
    lambda: bytearray(b"ab"),
    lambda: memoryview(bytearray(b"ab")),
    lambda: np.random.default_rng(0),
    lambda: (n for n in range(3)),
    lambda: np.ones(2),
    lambda: np.ones(3),
    lambda: np.ones(2, np.float32),
    lambda: tg.Tensor(np.ones(2)),
    lambda: tg.Tensor(np.ones(2)),
    lambda: tg.Tensor(np.ones(2), requires_grad=True),
    lambda: tg.Tensor(np.ones(3, np.float32)),
    lambda: tg.RNNCell(2, 2, rng=0),
    lambda: user_class(),
    unset,
]


class Maker:
    """Makes random objects that hold others, some of them at several places."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.made: list[Any] = []

    def chosen(self, options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def __call__(self, depth: int) -> Any:
        chance = self.rng.random()
        if self.made and chance < 0.15:
            return self.chosen(self.made)
        if depth == 0 or chance < 0.35:
            thing = self.chosen(PLAIN) if chance < 0.25 else self.chosen(OTHERS)()
        else:
            thing = self.holding(lambda: self(depth - 1))
        self.made.append(thing)
        return thing

    def holding(self, part: Callable[[], Any]) -> Any:
        kind = self.rng.integers(22)
        if kind == 0:
            return [part(), part()]
        if kind == 1:
            return part(), part()
        if kind == 2:
            return collections.deque([part(), part()])
        if kind == 3:
            return {"W": part(), "k": part()}
        if kind == 4:
            return collections.OrderedDict([(1, part()), (True + 1, part())])
        if kind == 5:
            return Several([part()])
        if kind == 6:
            return Lazily(W=part())
        if kind == 7:
            return Pair(part(), part())
        if kind in (8, 9):
            slotted = (Slotted, SlottedHeir)[kind - 8]()
            slotted.k = part()
            return slotted
        if kind == 10:
            return Record(part(), part())
        if kind in (11, 12):
            model = user_class()()
            model.W, model.note = part(), part()
            if kind == 12:
                type(model).tags = (part(),)  # type: ignore[attr-defined]
            return model
        if kind == 13:
            return types.SimpleNamespace(W=part(), k=part())
        if kind == 14:
            return functools.partial(max, part(), key=part())
        if kind == 15:
            return closed_over(part(), part())
        if kind == 16:
            return with_rule(part())
        if kind == 17:
            return types.MappingProxyType({"W": part()})
        if kind == 18:
            heir: Any = self.chosen([Angle(0.0), Angle(-0.0), Word("a")])
            heir.k = part()
            return heir
        if kind == 19:
            return np.fromiter([part(), part()], object, 2)
        if kind == 20:
            return {"W": part()}.get
        return {self.chosen(PLAIN), self.chosen(PLAIN)}


NAMES = ("W", "k", "note", "scale", "tags", "step", "__call__", "bent", "more")


def change(thing: Any, other: Any, chosen: Callable[[Any], Any]) -> None:
    """A random change of an object. It may raise any exception and then does nothing."""
    kind = type(thing)
    if kind is tg.Tensor:
        chosen(
            [
                lambda: setattr(thing, "requires_grad", not thing.requires_grad),
                lambda: setattr(thing, "data", np.ones(2)),
                lambda: setattr(thing, "data", np.ones(4)),
            ]
        )()
    elif isinstance(thing, np.ndarray):
        if thing.dtype.hasobject:
            thing[chosen([0, 1])] = other
        else:
            np.ndarray.resize(thing, chosen([2, 3]), refcheck=False)
    elif kind is types.FunctionType:
        assert "<locals>" in thing.__qualname__  # those of NumPy stay as they are
        chosen(
            [
                lambda: setattr(thing, "__defaults__", (other,)),
                lambda: setattr(thing, "__defaults__", None),
                lambda: setattr(thing, "__kwdefaults__", {"y": other}),
                lambda: setattr(thing.__closure__[0], "cell_contents", other),
                lambda: setattr(thing.__closure__[-1], "cell_contents", other),
                lambda: delattr(thing.__closure__[0], "cell_contents"),
                lambda: setattr(thing, "k", other),
                lambda: setattr(thing, "rule", with_rule(1).rule),
                lambda: thing.__dict__.clear(),
                lambda: setattr(thing, "__code__", closed_over(1, 2).__code__),
            ]
        )()
    elif kind is functools.partial:
        thing.__setstate__((min, (other,), {}, {}))
    elif kind is contextvars.ContextVar:
        thing.set(other)
    elif isinstance(thing, dict):
        label = chosen([*thing, "new"])
        chosen(
            [
                lambda: thing.__setitem__(label, other),
                lambda: thing.__setitem__(label, thing.pop(label)),
                lambda: thing.pop(label),
            ]
        )()
    elif isinstance(thing, list | collections.deque):
        chosen(
            [
                lambda: thing.__setitem__(0, other),
                lambda: thing.__setitem__(0, thing[-1]),
                lambda: thing.reverse(),
                lambda: thing.append(other),
                lambda: thing.pop(),
            ]
        )()
    elif kind is set:
        chosen([thing.add, thing.discard])(other)
    elif isinstance(thing, bytearray | array.array | memoryview):
        thing[0] = 9
    else:
        holder = chosen([thing, *kind.__mro__, *getattr(thing, "__mro__", ())])
        if isinstance(holder, types.ModuleType | enum.Enum):
            assert holder is settings
        if isinstance(holder, type) or hasattr(holder, "__wrapped__"):
            assert "<locals>" in holder.__qualname__
        name = chosen(NAMES)
        chosen(
            [
                lambda: setattr(holder, name, other),
                lambda: setattr(holder, name, property(lambda self: other)),
                lambda: setattr(holder, name, staticmethod(max)),
                lambda: delattr(holder, name),
                lambda: holder.__dict__.__setitem__(name, holder.__dict__.pop(name)),
                lambda: setattr(holder, "__class__", user_class()),
                lambda: setattr(holder, "__bases__", (user_class(),)),
            ]
        )()


def cell_of(box: Any, maker: Maker) -> Any:
    def cell(x: Any, h: Any) -> Any:
        import settings_of_recognition  # type: ignore[import-not-found] # noqa: F401

        return (
            box.W,
            box.k,
            box.scale,
            box.tags,
            box.step,
            box.bent,
            box.more,
            settings.W,
            settings.shared,
            shared,
        )

    method = cell if box is None else types.MethodType(cell, box)
    return maker.chosen([cell, functools.partial(cell, 1), method, box])


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "shared", 0.5)
    monkeypatch.setitem(globals(), "settings", types.ModuleType("settings"))
    monkeypatch.setitem(sys.modules, "settings_of_recognition", types.ModuleType("s"))
    KNOWN.clear()


def is_recognised(cell: Any) -> bool:
    """Whether no walk is needed."""
    key = captured_by(cell).key
    return any(known.key is key and known.recognised(cell) for known in KNOWN.values())


def same_as_walked(cell: Any) -> CellKey:
    found, walked = captured_by(cell), CellKey(cell)
    assert found.is_same(walked) and len(found.arrays) == len(walked.arrays)
    assert (found.labels, found.names_read) == (walked.labels, walked.names_read)
    assert all(a is b for a, b in zip(found.generators, walked.generators, strict=True))
    return found


@pytest.mark.parametrize("seed", range(200))
def test_random_cells(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(np.random.default_rng(seed))
    settings.W, settings.k = maker(1), maker(1)
    monkeypatch.setitem(globals(), "shared", maker(1))
    cell = cell_of(maker(3), maker)
    for _ in range(20):
        for _ in range(3):
            same_as_walked(cell)
        assert is_recognised(cell)
        things = [*maker.made, *CellKey(cell).containers, cell, settings]
        what, variables = maker.chosen(range(8)), maker.chosen([globals(), vars(settings)])
        try:
            if what == 0:
                del variables["shared"]
            elif what == 1:
                variables["shared"] = maker(1)
            else:
                change(maker.chosen(things), maker(1), maker.chosen)
        except Exception:
            continue


def test_one_object_in_place_of_another() -> None:
    """A cell is recognised exactly where a walk finds the same key."""
    box: list[Any] = [None]
    cell = closed_over(box, 1)
    angles = [Angle(0.0), Angle(-0.0), Angle(1.0), Word("a"), Word("b")]
    holders = [[1], (1,), Several([1]), Pair(1, 1), {1: 1}, Lazily({1: 1}), Record(1), Slotted()]
    things = [*PLAIN, *(make() for make in OTHERS), *angles, *holders, user_class(), {}.get, {}.get]
    for one in things:
        box[0] = one
        assert captured_by(cell).key == captured_by(cell).key
        (known,) = KNOWN.values()
        for other in things:
            box[0] = other
            found, walked = known.recognised(cell), CellKey(cell)
            assert (found is not None) == (walked.key == known.key), (one, other)
            assert found is None or found.is_same(walked)


@pytest.mark.parametrize("count", [2, 12])
def test_two_objects_that_become_one(count: int) -> None:
    makers = [lambda: tg.Tensor(np.ones(2)), lambda: np.ones(2), list[Any], Slotted]
    for make in [*makers, lambda: closed_over(1, 2)]:
        box = [make() for _ in range(count)]
        cell = closed_over(box, 1)
        assert captured_by(cell).key == captured_by(cell).key and is_recognised(cell)
        first, box[-1] = CellKey(cell), box[0]
        assert CellKey(cell).key != first.key
        same_as_walked(cell)


def test_how_a_function_is_bound_is_a_part_of_the_key() -> None:
    """A property, a static method and a method of one function had one key."""
    kind: Any = user_class()
    cell = lambda: kind.bent  # noqa: E731
    bound = [staticmethod, classmethod, property, functools.cached_property, lambda f: f]
    keys = []
    for bind in bound:
        kind.bent = bind(shared_function)
        keys.append(same_as_walked(cell).key)
        assert captured_by(cell).key == captured_by(cell).key and is_recognised(cell)
    assert len({*keys}) == len(bound)


def test_a_slot_an_operator_or_a_base_that_was_missing() -> None:
    class Extra:
        def __len__(self) -> int:
            return 1

    def extended(kind: type) -> None:
        kind.__bases__ = (*kind.__bases__, Extra)

    changes: list[tuple[Any, Callable[[Any], None]]] = [
        (Slotted(), lambda thing: setattr(thing, "k", 1)),
        (with_no_length(), lambda kind: setattr(kind, "__len__", Extra.__len__)),
        (user_class(), lambda kind: setattr(kind, "__bool__", Extra.__len__)),
        (user_class(), extended),
    ]
    for thing, change in changes:
        cell = lambda: thing.k  # noqa: B023, E731
        assert captured_by(cell).key == captured_by(cell).key and is_recognised(cell)
        change(thing)
        same_as_walked(cell)


class Doubling:
    def __init__(self) -> None:
        self.W = tg.Tensor(np.ones(2))

    def step(self, x: Any, h: Any) -> Any:
        return x + h * self.W

    def __call__(self, x: Any, h: Any) -> Any:
        return self.step(x, h)


def test_a_method_is_recognised_though_it_is_made_anew() -> None:
    cell = Doubling()
    for _ in range(3):
        found = captured_by(cell.step)
    assert is_recognised(cell.step) and found.arrays == [cell.W]


def test_other_cells_of_the_structure_are_recognised_at_a_used_place() -> None:
    """An id may be used again. The arrays are those of the cell that is given."""
    one, two = Doubling(), Doubling()
    for _ in range(2):
        captured_by(one)
    (known,) = KNOWN.values()
    found: Any = known.recognised(two)
    assert found.cell is two and found.is_same(CellKey(two))
    two.W = tg.Tensor(np.ones(3))
    assert known.recognised(two) is None


def test_no_cell_and_no_array_is_kept_alive() -> None:
    cell = Doubling()
    for _ in range(3):
        captured_by(cell)
    freed = weakref.ref(cell), weakref.ref(cell.W)
    del cell
    gc.collect()
    assert [ref() for ref in freed] == [None, None] and KNOWN


def test_the_oldest_go() -> None:
    cells = [Doubling() for _ in range(MOST + 1)]
    for cell in cells:
        captured_by(cell)
    assert len(KNOWN) == MOST and id(cells[0]) not in KNOWN and id(cells[-1]) in KNOWN
