"""Each kind of object is watched for what a walk reads of it."""

from __future__ import annotations

import array
import contextvars
import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler.frontend import watching
from tinygrad_rnn.compiler.frontend.conditions import Conditions

scale = 1.0


def class_of_two() -> tuple[Any, Any]:
    class Base:
        k = 1

    class Heir(Base):
        def __call__(self) -> Any:
            return self.k

    return Base, Heir


def function() -> Any:
    later = 1

    def inner(x: Any = 1, *, y: Any = 2) -> Any:
        return x * scale + y + later

    return inner


def with_derivative() -> Any:
    def square(x: Any) -> Any:
        return x * x

    return tg.derivative(square, lambda g, x: 2 * g * x)


class WithSlots:
    __slots__ = ("k",)


def changed_in_place(thing: Any) -> None:
    thing[0] = 9


CASES: dict[str, tuple[Callable[..., None], Callable[[], Any], Callable[[Any], Any]]] = {
    "tensor": (
        watching.of_tensor,
        lambda: tg.Tensor(np.ones(3)),
        lambda t: setattr(t, "requires_grad", True),
    ),
    "tensor of another shape": (
        watching.of_tensor,
        lambda: tg.Tensor(np.ones(3)),
        lambda t: setattr(t, "data", np.ones(2)),
    ),
    "array": (
        watching.of_array,
        lambda: np.ones(3),
        lambda a: np.ndarray.resize(a, 2, refcheck=False),
    ),
    "function, variable": (
        watching.of_function,
        function,
        lambda f: setattr(f.__closure__[0], "cell_contents", 2),
    ),
    "function, defaults": (
        watching.of_function,
        function,
        lambda f: setattr(f, "__defaults__", (2,)),
    ),
    "function, keywords": (
        watching.of_function,
        function,
        lambda f: setattr(f, "__kwdefaults__", None),
    ),
    "function, global": (
        watching.of_function,
        function,
        lambda f: f.__globals__.__setitem__("scale", float("2")),
    ),
    "function, attribute": (watching.of_function, function, lambda f: setattr(f, "k", 1)),
    "function, rule": (
        watching.of_function,
        with_derivative,
        lambda f: setattr(f, "rule", with_derivative().rule),
    ),
    "partial": (
        watching.of_partial,
        lambda: functools.partial(max, 1),
        lambda p: p.__setstate__((max, (2,), {}, {})),
    ),
    "list": (watching.of_elements, lambda: [1, 2], changed_in_place),
    "list in another order": (watching.of_elements, lambda: [1, 2], lambda s: s.reverse()),
    "set": (watching.of_elements, lambda: {1, 2}, lambda s: s.add(3)),
    "dict": (watching.of_dict, lambda: {0: 1}, changed_in_place),
    "dict, key": (watching.of_dict, dict, changed_in_place),
    "bytes": (watching.of_bytes, lambda: array.array("i", [1, 2]), changed_in_place),
    "context": (watching.of_variable, lambda: contextvars.ContextVar("v"), lambda v: v.set(1)),
    "object": (watching.of_object, types.SimpleNamespace, lambda o: setattr(o, "k", 1)),
    "slot": (watching.of_object, WithSlots, lambda o: setattr(o, "k", 1)),
    "class of an object": (
        watching.of_object,
        lambda: class_of_two()[1](),
        lambda o: setattr(o, "__class__", class_of_two()[1]),
    ),
    "class": (watching.of_class, lambda: class_of_two()[1], lambda kind: setattr(kind, "k", 2)),
    "base": (watching.of_class, lambda: class_of_two()[1], lambda c: setattr(c.__base__, "k", 2)),
    "module": (
        watching.of_module,
        lambda: types.ModuleType("settings"),
        lambda m: setattr(m, "__name__", "k"),
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_change_is_seen(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "scale", scale)
    watch, make, change = CASES[kind]
    thing, watched = make(), Conditions()
    watch(watched, thing, frozenset(("k", "__name__")))
    assert watched.hold() and watched.hold() and watched.conditions
    change(thing)
    assert not watched.hold()


def test_what_is_not_read_is_not_watched() -> None:
    thing, watched = class_of_two()[1](), Conditions()
    thing.history = 1
    for watch, what in (
        (watching.of_object, thing),
        (watching.of_class, type(thing)),
        (watching.nothing, thing),
    ):
        watch(watched, what, frozenset(("k",)))
    thing.history = 2
    type(thing).count = 1
    assert watched.hold()


def test_what_belongs_to_a_library_cannot_change() -> None:
    watched = Conditions()
    watching.of_function(watched, np.average.__wrapped__, frozenset())  # type: ignore[attr-defined]
    watching.of_module(watched, np, frozenset(("tanh",)))
    assert not watched.conditions


def test_an_imported_module_that_is_replaced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "settings_of_watching", types.ModuleType("settings"))

    def importing() -> Any:
        import settings_of_watching  # type: ignore[import-not-found]

        return settings_of_watching

    watched = Conditions()
    watching.of_function(watched, importing, frozenset())
    assert watched.hold() and importing().__name__ == "settings"
    monkeypatch.setitem(sys.modules, "settings_of_watching", types.ModuleType("other"))
    assert not watched.hold()
