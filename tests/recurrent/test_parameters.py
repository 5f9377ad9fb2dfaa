"""The trainable Tensors of anything: found where code finds them, once, by names of their own."""

from __future__ import annotations

import functools
from collections import deque
from dataclasses import dataclass, field
from types import MethodType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent import own_strategies


def weight(name: str | None = None) -> tg.Tensor:
    return tg.Tensor(np.ones((2, 2)), requires_grad=True, name=name)


GLOBAL = weight()
constant = tg.Tensor(np.ones(2))


def reads_a_global(x: Any) -> Any:
    return x @ GLOBAL + constant


def calls_another(x: Any) -> Any:
    return reads_a_global(x) * 2


class Model:
    shared = weight("shared")

    def __init__(self) -> None:
        self.cell = tg.LSTMCell(2, 2, rng=0)
        self.W, self.history = weight(), [np.ones(3)]

    @property
    def doubled(self) -> Any:
        return 2 * GLOBAL

    def helper(self, x: Any) -> Any:
        return x @ self.shared

    def loss(self, h: Any, y: Any) -> Any:
        return self.helper(h) @ self.doubled + y

    def __call__(self, x: Any, state: Any) -> Any:
        return self.cell(x, state)


@dataclass
class Data:
    W: tg.Tensor = field(default_factory=weight)
    nested: Any = None


class Slots:
    __slots__ = ("W", "empty")

    def __init__(self) -> None:
        self.W = weight()


class Pair(NamedTuple):
    first: Any
    second: Any


class Calls:
    def __call__(self, x: Any) -> Any:
        return reads_a_global(x)


def closing(W: Any) -> Any:
    def inner(x: Any) -> Any:
        return (lambda z: z @ W)(x)

    return inner


def with_default(x: Any, W: Any = weight("default"), *, V: Any = weight("keyword")) -> Any:  # noqa: B008
    return x @ W @ V


MODELS: dict[str, tuple[Any, list[str]]] = {
    "a cell": (tg.RNNCell(2, 2), ["W_xh", "W_hh", "b_h"]),
    "a Tensor": (weight("W"), ["W"]),
    "one without a name": (weight(), ["parameter"]),
    "no gradient": (constant, []),
    "layers": (
        tg.Stacked([tg.RNNCell(2, 2, bias=False), tg.RNNCell(2, 2, bias=False)]),
        ["W_xh^(1)", "W_hh^(1)", "W_xh^(2)", "W_hh^(2)"],
    ),
    "a global": (reads_a_global, ["GLOBAL"]),
    "of another function": (calls_another, ["GLOBAL"]),
    "a closure": (closing(weight()), ["W"]),
    "defaults": (with_default, ["default", "keyword"]),
    "partial": (functools.partial(lambda W, x: x @ W, weight("W"), x=weight("x")), ["W", "x"]),
    "a bound method": (Model().loss, ["W_xh", "W_hh", "b_h", "W", "shared", "GLOBAL"]),
    "an object": (Model(), ["W_xh", "W_hh", "b_h", "W"]),
    "what a call reaches": (Calls(), ["GLOBAL"]),
    "slots": (Slots(), ["W"]),
    "a namespace": (SimpleNamespace(a=weight(), b=[weight("b")]), ["a", "b"]),
    "a dict": ({"a": weight(), "b": {"c": weight()}}, ["a", "c"]),
    "a list": ([weight(), (weight("W"), deque([weight()]))], ["1", "W", "2.1"]),
    "a named tuple": (Pair(weight(), {"first": weight()}), ["first", "second.first"]),
    "a loss": (tg.BPTT(tg.RNNCell(2, 2), reads_a_global), ["W_xh", "W_hh", "b_h", "GLOBAL"]),
    "two directions": (
        tg.Bidirectional(tg.RNNCell(2, 2, bias=False), tg.RNNCell(2, 2, bias=False)),
        ["forward.W_xh", "forward.W_hh", "backward.W_xh", "backward.W_hh"],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_found_and_named(name: str) -> None:
    model, expected = MODELS[name]
    found = tg.parameters(model)
    assert list(found) == expected
    assert all(tensor.requires_grad for tensor in found.values())


def test_names_are_unique_and_each_tensor_is_there_once() -> None:
    encoder, decoder, W = tg.GRUCell(2, 2), tg.GRUCell(2, 2), weight("W_hq")
    found = tg.parameters(encoder, [decoder, encoder], W, W)
    assert len(found) == 9 == len(set(map(id, found.values())))
    assert found["1.W_hh"] is encoder.W_hh and found["W_hq"] is W
    assert {name.split(".")[-1] for name in found} == {*encoder.parameters(), "W_hq"}
    assert found["1.b_hn"] is encoder.b_hn
    named = tg.parameters({"encoder": encoder, "decoder": decoder})
    assert named["encoder.W_hh"] is encoder.W_hh and named["decoder.W_hh"] is decoder.W_hh
    same = tg.parameters([weight("W"), weight("W")])
    assert list(same) == ["W", "W (2)"]
    assert list(tg.parameters(Data(nested=Data()))) == ["W", "nested.W"]


def test_what_was_computed_is_no_parameter() -> None:
    W = weight("W")
    computed = np.tanh(W)
    assert tg.parameters(lambda x: x @ computed) == {}
    assert list(tg.parameters(lambda x: x @ (computed + W))) == ["W"]


def through_another_module(x: Any) -> Any:
    return own_strategies.np.tanh(x @ GLOBAL)


def test_what_the_code_of_a_function_finds() -> None:
    W = weight("W")

    def early(x: Any) -> Any:
        return later @ (x @ W)

    assert list(tg.parameters(early)) == ["W"]  # `later` has no value yet
    later = weight("later")
    assert sorted(tg.parameters(early)) == ["W", "later"]
    assert list(tg.parameters(through_another_module)) == ["GLOBAL"]
    assert list(tg.parameters(MethodType(len, [W]))) == ["W"]


def test_models_that_hold_one_another_and_deep_ones() -> None:
    first, second = Data(), Data()
    first.nested, second.nested = second, first
    assert len(tg.parameters(first)) == 2
    deep: Any = weight("deep")
    for _ in range(5000):
        deep = [deep]
    assert list(tg.parameters(deep)) == ["deep"]


def test_nothing_of_the_library_or_of_other_models() -> None:
    other = tg.RNNCell(2, 2)
    tg.scan(other, np.ones((3, 1, 2)))

    def model(x: Any) -> Any:
        return tg.scan(reads_a_global, x), np.tanh(x), tg.BPTT

    assert list(tg.parameters(model)) == ["GLOBAL"]


def test_optimizers_take_what_it_gives() -> None:
    cell, other = tg.RNNCell(2, 3), tg.RNNCell(2, 3)
    optimizer = tg.SGD(tg.parameters(cell, other), learning_rate=0.1)
    before = [tensor.data for tensor in optimizer.parameters.values()]
    np.sum(
        cell(np.ones((1, 2)), np.ones((1, 3))) + other(np.ones((1, 2)), np.ones((1, 3)))
    ).backward()
    optimizer.step()
    changed = [
        np.any(tensor.data != old)
        for tensor, old in zip(optimizer.parameters.values(), before, strict=True)
    ]
    assert changed == [True] * 6


class CalledLikeAGlobal:
    """Its attribute is called as a global of this module, which it does not read."""

    def __init__(self) -> None:
        self.GLOBAL = weight()

    def __call__(self, x: Any, h: Any) -> Any:
        return np.tanh(x @ self.GLOBAL + h)


def test_an_attribute_is_not_the_global_of_its_name() -> None:
    model = CalledLikeAGlobal()
    assert list(tg.parameters(model).values()) == [model.GLOBAL]


def test_a_global_that_is_not_there_yet() -> None:
    W = tg.Tensor(np.ones(2), requires_grad=True)
    found = tg.parameters(lambda x, h: h * W + defined_by_nobody)  # type: ignore[name-defined]  # noqa: F821
    assert list(found.values()) == [W]
