"""A cell that is not a function, and a program that has gone stale: two traces tell."""

from __future__ import annotations

import array
import collections
import contextvars
import ctypes
import decimal
import enum
import fractions
import functools
import itertools
import os
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import parameter
from tinygrad_rnn.compiler.frontend.captures import CellKey

XS, H_0 = np.random.default_rng(0).standard_normal((3, 2, 4)), np.zeros((2, 4))
W = parameter(4, 4, seed=1)
slope = level = 0.5


def agree(cell: Any) -> None:
    """`scan` is `unroll`, states and gradient."""
    found = []
    for run in (tg.unroll, tg.scan):
        states, _ = run(cell, XS, H_0)
        states = np.stack(states) if isinstance(states, list) else states
        found.append((states.data, tg.gradients(np.sum(states * states), [W])[0]))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-13)


# What is looked at in every call -----------------------------------------------------------------


class Namespace:
    alpha = 0.5


class Half(float):
    pass


class Own(np.ndarray):
    pass


class Mode(enum.Enum):
    LOW, HIGH = 0.5, 1.5


class ReadsAModule:
    @property
    def k(self) -> float:
        return level


class Activation:
    def f(self, a: Any) -> Any:
        return np.tanh(a)


class Subscripted:
    k = 0.5

    def __getitem__(self, key: str) -> float:
        return self.k


reads_a_module, subscripted = ReadsAModule(), Subscripted()


def changed_in_place(make: Callable[[float], Any], read: Callable[[Any], Any]) -> Any:
    """A cell that reads a number out of a thing, and how the thing is exchanged."""
    box = types.SimpleNamespace(thing=make(0.5))
    return lambda x, h: np.tanh(read(box.thing) * h @ W + x), lambda: setattr(
        box, "thing", make(1.5)
    )


def package() -> Any:
    package = types.ModuleType("some_package")
    package.config = types.ModuleType("some_package.config")  # type: ignore[attr-defined]
    package.config.alpha = 0.5
    return lambda x, h: np.tanh(package.config.alpha * h @ W + x), lambda: setattr(
        package.config, "alpha", 1.5
    )


def imported() -> Any:
    module = sys.modules["some_settings"] = types.ModuleType("some_settings")
    module.alpha = 0.5  # type: ignore[attr-defined]

    def cell(x: Any, h: Any) -> Any:
        from some_settings import alpha  # type: ignore[import-not-found]

        return np.tanh(alpha * h @ W + x)

    return cell, lambda: setattr(module, "alpha", 1.5)


def in_a_module_called_like_numpy() -> Any:
    module = sys.modules["numpy_models"] = types.ModuleType("numpy_models")
    source = "import numpy as np\nK = .5\nclass Cell:\n    def __init__(s, W): s.W = W\n"
    source += "    def __call__(s, x, h): return np.tanh(K * h @ s.W + x)\n"
    exec(compile(source, "numpy_models.py", "exec"), module.__dict__)
    return module.Cell(W), lambda: setattr(module, "K", 1.5)


def of_a_pullback() -> Any:
    spike = tg.derivative(
        lambda x: np.heaviside(x, 0.5), lambda g, x: g * np.exp(-slope * np.square(x))
    )
    return lambda x, h: np.tanh(spike(h @ W) + x + h), lambda: globals().update(slope=5.0)


def of_a_method() -> Any:
    activation, before = Activation(), Activation.f
    Activation.f = before  # type: ignore[method-assign]
    return lambda x, h: activation.f(h @ W + x), lambda: setattr(
        Activation, "f", lambda self, a: np.sin(a)
    )


def of_a_variable_of_the_context() -> Any:
    variable = contextvars.ContextVar("k", default=0.5)
    return lambda x, h: np.tanh(variable.get() * h @ W + x), lambda: variable.set(1.5)


def of_a_view_of_a_dict() -> Any:
    inside = {"k": 0.5}
    view = types.MappingProxyType(inside)
    return lambda x, h: np.tanh(view["k"] * h @ W + x), lambda: inside.update(k=1.5)


def of_an_attribute_by_its_name() -> Any:
    box = types.SimpleNamespace(k=0.5)
    return lambda x, h: np.tanh(getattr(box, "k") * h @ W + x), lambda: setattr(  # noqa: B009
        box, "k", 1.5
    )


def of_a_mapped_file(path: Any) -> Any:
    mapped = np.memmap(path, dtype=float, mode="w+", shape=(4,))
    mapped[:] = 0.5
    return lambda x, h: np.tanh(mapped * h @ W + x), lambda: mapped.__setitem__(slice(None), 1.5)


THINGS: dict[str, Callable[[], Any]] = {
    "class as a namespace": lambda: (
        lambda x, h: np.tanh(Namespace.alpha * h @ W + x),
        lambda: setattr(Namespace, "alpha", 1.5),
    ),
    "submodule": package,
    "import in the cell": imported,
    "module called numpy_*": in_a_module_called_like_numpy,
    "pull-back": of_a_pullback,
    "method of a part": of_a_method,
    "property": lambda: (
        lambda x, h, part=reads_a_module: np.tanh(part.k * h @ W + x),
        lambda: globals().update(level=1.5),
    ),
    "context": of_a_variable_of_the_context,
    "view of a dict": of_a_view_of_a_dict,
    "getattr": of_an_attribute_by_its_name,
    "heir of float": lambda: changed_in_place(Half, lambda k: k),
    "Decimal": lambda: changed_in_place(decimal.Decimal, float),
    "Fraction": lambda: changed_in_place(fractions.Fraction, float),
    "enumeration": lambda: changed_in_place(Mode, lambda mode: mode.value),
    "array.array": lambda: changed_in_place(lambda k: array.array("d", [k]), lambda a: a[0]),
    "ctypes": lambda: changed_in_place(ctypes.c_double, lambda k: k.value),
    "operator of a class": lambda: (
        lambda x, h, part=subscripted: np.tanh(part["k"] * h @ W + x),
        lambda: setattr(Subscripted, "k", 1.5),
    ),
    "array of numbers": lambda: changed_in_place(lambda k: np.full(4, k), lambda a: a),
    "one number of an array": lambda: changed_in_place(lambda k: np.full(4, k), lambda a: a[0]),
    "array as a number": lambda: changed_in_place(lambda k: np.full(4, k), lambda a: float(a[0])),
    "heir of ndarray": lambda: changed_in_place(lambda k: np.full(4, k).view(Own), lambda a: a),
    "array of objects": lambda: changed_in_place(lambda k: np.array([k], object), lambda a: a[0]),
}


@pytest.mark.parametrize("name", THINGS)
def test_what_may_change(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, attribute in ((Namespace, "alpha"), (Subscripted, "k"), (Activation, "f")):
        monkeypatch.setattr(kind, attribute, getattr(kind, attribute))
    for variable in ("slope", "level"):
        monkeypatch.setitem(globals(), variable, 0.5)
    cell, change = THINGS[name]()
    agree(cell)
    before = tg.scan(cell, XS, H_0)[0].data.copy(), tg.gradients(loss(cell), [W])[0]
    change()
    agree(cell)
    after = tg.scan(cell, XS, H_0)[0].data, tg.gradients(loss(cell), [W])[0]
    assert any(np.abs(a - b).max() > 0.01 for a, b in zip(before, after, strict=True))


def loss(cell: Any) -> Any:
    states, _ = tg.scan(cell, XS, H_0)
    return np.sum(states * states)


def test_a_mapped_file(tmp_path: Any) -> None:
    cell, change = of_a_mapped_file(tmp_path / "numbers")
    agree(cell)
    change()
    agree(cell)


# What is not the key's business ------------------------------------------------------------------


class Trainer:
    """A loss that is a method of what also counts, keeps a history and has an optimizer."""

    def __init__(self) -> None:
        self.cell, self.V = tg.RNNCell(4, 4, rng=0), parameter(4, 3, seed=2)
        self.bptt = tg.BPTT(self.cell, self.loss)
        self.optimizer = tg.Adam(self.bptt.parameters().values())
        self.count, self.history = 0, [0.0]

    def loss(self, h: Any, y: Any) -> Any:
        return tg.cross_entropy(h @ self.V, y)

    def step(self) -> float:
        self.count += 1
        value, _ = self.bptt(XS, np.zeros((3, 2), int))
        self.optimizer.step()
        self.history.append(float(value))
        return float(value)


def test_only_what_the_code_reads_is_compiled_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from tinygrad_rnn.compiler.runtime import cache

    compiled: list[Any] = []
    program = cache.Program
    monkeypatch.setattr(cache, "Program", lambda *a: compiled.append(a) or program(*a))
    trainer = Trainer()
    assert set(trainer.bptt.parameters()) == {"W_xh", "W_hh", "b_h", "V"}
    values = [trainer.step() for _ in range(5)]
    assert values[4] < values[0] and len(compiled) == 1

    class Counted:
        def __init__(self) -> None:
            self.W, self.count = W, 0

        def __call__(self, x: Any, h: Any) -> Any:
            return np.tanh(h @ self.W + x)

    counted = Counted()
    for counted.count in range(4):
        tg.scan(counted, XS, H_0)
    assert len(compiled) == 2


# A cell that is not a pure function ---------------------------------------------------------


class Counting:
    def __init__(self) -> None:
        self.t = 0

    def __call__(self, x: Any, h: Any) -> Any:
        self.t += 1
        return h + self.t


class Remembering:
    def __init__(self) -> None:
        self.last: Any = None

    def __call__(self, x: Any, h: Any) -> Any:
        self.last = h = np.tanh(h + x)
        return h


class Collecting(Remembering):
    def __init__(self) -> None:
        self.all: list[Any] = []

    def __call__(self, x: Any, h: Any) -> Any:
        self.all.append(h)
        return np.tanh(h + x)


class CountingAside(Counting):
    def __call__(self, x: Any, h: Any) -> Any:
        self.t += 1
        return np.tanh(h + x)


def drawing() -> dict[str, Callable[[Any, Any], Any]]:
    numbers, generator, old = itertools.count(1), np.random.default_rng(0), np.random.RandomState(0)
    own = random.Random(0)
    return {
        "np.random": lambda x, h: h + np.random.rand(),
        "random": lambda x, h: h + random.random(),
        "a branch": lambda x, h: h + (1.0 if random.random() < 0.5 else 2.0),
        "an index": lambda x, h: h + x[:, [int(np.random.randint(4))]],
        "a new generator": lambda x, h: h + np.random.default_rng().normal(),
        "a generator": lambda x, h: h + generator.normal(size=h.shape),
        "an old generator": lambda x, h: h * (old.rand(4) < 0.5),
        "Python's generator": lambda x, h: h * own.randint(0, 1),
        "a mask of tg": lambda x, h: h * (generator.random(h.shape) < 0.5),
        "next": lambda x, h: h + next(numbers),
    }


@pytest.mark.parametrize("name", drawing())
def test_a_cell_that_is_no_function(name: str) -> None:
    cell = drawing()[name]
    with pytest.raises(
        tg.TraceError, match=r"draws random numbers|is not a pure function: .*test_judge.py"
    ):
        tg.scan(cell, XS, H_0)
    assert tg.scan(cell, XS, H_0, fallback=True)[0].shape == XS.shape


@pytest.mark.parametrize("kind", [Counting, CountingAside, Remembering, Collecting])
def test_a_cell_that_changes_itself(kind: type) -> None:
    cell = kind()
    with pytest.raises(
        tg.TraceError, match=r"is not a pure function|changes a value that it holds|stores a value"
    ):
        tg.scan(cell, XS, H_0)
    cell = kind()
    found = tg.scan(cell, XS, H_0, fallback=True)[0]
    np.testing.assert_array_equal(found.data, np.stack(tg.unroll(kind(), XS, H_0)[0]).data)
    if kind is Remembering:
        assert np.array_equal(cell.last.data, found.data[-1])
    if kind is Collecting:
        assert len(cell.all) == 3 and all(isinstance(h.data, np.ndarray) for h in cell.all)


def test_random_numbers_are_as_if_nothing_was_tried() -> None:
    np.random.seed(0)
    with_fallback = tg.scan(lambda x, h: h + np.random.rand(), XS, H_0, fallback=True)[0]
    np.random.seed(0)
    unrolled = np.stack(tg.unroll(lambda x, h: h + np.random.rand(), XS, H_0)[0])
    np.testing.assert_array_equal(with_fallback.data, unrolled.data)


def test_what_is_made_at_the_first_call_stays() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.V: Any = None
            self.scales: dict[int, Any] = {}

        def __call__(self, x: Any, h: Any) -> Any:
            if self.V is None:
                self.V = tg.Tensor(np.eye(4) / 2, requires_grad=True)
            scale = self.scales.setdefault(4, np.arange(4.0))
            return np.tanh(h @ self.V * scale + x)

    cell = Lazy()
    states, _ = tg.scan(cell, XS, H_0)
    np.sum(states).backward()
    unrolled = np.stack(tg.unroll(cell, XS, H_0)[0])
    np.testing.assert_allclose(states.data, unrolled.data, atol=1e-14)
    np.testing.assert_allclose(cell.V.grad, tg.gradients(np.sum(unrolled), [cell.V])[0], atol=1e-13)


# What nobody can watch ---------------------------------------------------------------------------


def of_the_environment(x: Any, h: Any) -> Any:
    return np.tanh(float(os.environ["SOME_LEVEL"]) * h @ W + x)


def test_a_stale_program_is_renewed_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LEVEL", "0.5")
    tg.clear_programs()
    old = tg.scan(of_the_environment, XS, H_0)[0].data.copy()
    monkeypatch.setenv("SOME_LEVEL", "1.5")
    with pytest.warns(tg.StaleProgramWarning, match=r"0\.5, and then with 1\.5 \(test_judge.py, l"):
        new = tg.scan(of_the_environment, XS, H_0)[0].data.copy()  # the second call
    expected = np.stack(tg.unroll(of_the_environment, XS, H_0)[0]).data
    np.testing.assert_allclose(new, expected, rtol=1e-13)
    assert np.abs(new - old).max() > 0.01
    monkeypatch.setenv("SOME_LEVEL", "2.5")
    again = tg.scan(of_the_environment, XS, H_0)[0].data  # warned of already
    expected = np.stack(tg.unroll(of_the_environment, XS, H_0)[0]).data
    np.testing.assert_allclose(again, expected, rtol=1e-13)


def test_every_call_is_verified_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LEVEL", "0.5")
    tg.clear_programs()
    for _ in range(3):
        tg.scan(of_the_environment, XS, H_0)
    for level in ("1.5", "2.5"):
        monkeypatch.setenv("SOME_LEVEL", level)
        if level == "1.5":
            with pytest.warns(tg.StaleProgramWarning):
                found = tg.scan(of_the_environment, XS, H_0, verify=True)[0]
        else:
            found = tg.scan(of_the_environment, XS, H_0, verify=True)[0]
        expected = np.stack(tg.unroll(of_the_environment, XS, H_0)[0])
        np.testing.assert_allclose(found.data, expected.data, rtol=1e-13)


def test_training_renews_its_program_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_LEVEL", "0.5")
    bptt = tg.BPTT(of_the_environment, tg.mse)
    with tg.no_grad():
        first, _ = bptt(XS, XS, H_0)
        monkeypatch.setenv("SOME_LEVEL", "1.5")
        with pytest.warns(tg.StaleProgramWarning):
            second, _ = bptt(XS, XS, H_0)
    assert first != second == pytest.approx(float(bptt.record(XS, XS, H_0).data))


def refused(a: Any) -> Any:
    """What no program can do, and `unroll` can."""
    return a if np.sum(a) > -1e9 else -a


def holders() -> dict[str, Callable[[], Any]]:
    """Cells, each with what it carries: two weights and an array."""
    V, plain = parameter(4, 4, seed=2), np.full(4, 0.25)

    def closure() -> Any:
        first, second, third = W, V, plain
        return lambda x, h: refused(np.tanh(h @ first + x @ second) * third)

    def defaults() -> Any:
        return lambda x, h, a=W, b=V, *, c=plain: refused(np.tanh(h @ a + x @ b) * c)

    def partial() -> Any:
        return functools.partial(
            lambda a, b, x, h, c: refused(np.tanh(h @ a + x @ b) * c), W, V, c=plain
        )

    def containers() -> Any:
        kept: Any = {"weights": [W, V], "more": collections.deque([plain]), "pair": (W, (V, plain))}
        return lambda x, h: refused(
            np.tanh(h @ kept["weights"][0] + x @ kept["pair"][1][0]) * kept["more"][0]
        )

    class Slots:
        __slots__ = ("a", "b", "c")
        d = V

        def __init__(self) -> None:
            self.a, self.b, self.c = W, V, plain

        def __call__(self, x: Any, h: Any) -> Any:
            return refused(np.tanh(h @ self.a + x @ self.b + x @ self.d) * self.c)

    return {f.__name__: f for f in (closure, defaults, partial, containers, Slots)}


@pytest.mark.parametrize("kind", holders())
def test_a_refused_cell_stays_as_it_was(kind: str) -> None:
    """The variables of a closure were once mixed up, so that what ran unrolled was wrong."""
    cell = holders()[kind]()
    look = CellKey(cell)
    expected = tg.unroll(cell, XS, H_0)[1].data
    for _ in range(2):
        with pytest.raises(tg.TraceError, match="decides by the numbers"):
            tg.scan(cell, XS, H_0)
        assert look.is_same(CellKey(cell))
        assert np.array_equal(tg.scan(cell, XS, H_0, fallback=True)[1].data, expected)
        assert look.is_same(CellKey(cell)) and np.array_equal(
            tg.unroll(cell, XS, H_0)[1].data, expected
        )


def test_what_a_refused_cell_has_taken_out_is_put_back() -> None:
    class Queue:
        def __init__(self) -> None:
            self.waiting, self.turns = [0.1, 0.2, 0.3, 0.4], collections.deque([1.0, 2.0, 3.0, 4.0])
            self.table, self.first, self.seen = {n: n / 4 for n in range(4)}, True, []

        def __call__(self, x: Any, h: Any) -> Any:
            self.seen.append(k := self.waiting.pop(0) * self.turns.popleft())
            if hasattr(self, "first"):
                del self.first
            return np.tanh(h @ W + x) * k + self.table.pop(max(self.table))

    cell, fresh = Queue(), Queue()
    with pytest.raises(tg.TraceError, match="in two runs on the same numbers"):
        tg.scan(cell, XS, H_0)
    assert vars(cell) == vars(fresh)
    expected = tg.unroll(fresh, XS, H_0)[1].data
    assert np.array_equal(tg.scan(cell, XS, H_0, fallback=True)[1].data, expected)
