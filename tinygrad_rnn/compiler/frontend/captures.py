"""What a cell carries with it: the Tensors and arrays reachable from the function that it is.

A compiled program must not remember numbers that the cell has changed since. So the cell is
walked at every call: its structure is the key under which the program is kept, and the Tensors
and arrays found on the way are what the program is run on.
"""

from __future__ import annotations

import functools
import itertools
import operator
import os
import random
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.tracer import PACKAGE
from tinygrad_rnn.engine.tensor import Tensor

PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), np.dtype))
"""Kinds of things that are equal where they have equal values."""


class Captures:
    """The structure of a cell, hashable, and the Tensors and arrays in it with their names.

    random: whether it carries a generator of random numbers. owner: the cell's class, for what its
    methods find there.

    Each thing stands in the key as its kind and then what is to be known of it, so that no two
    structures have the same key.

    watching: whether it is to say later if anything has changed. watched: ways to look into all
    that can be exchanged, each with what was there; facts: of the arrays.
    """

    __slots__ = (
        *("arrays", "cell", "facts", "key", "labels", "owner", "random", "seen"),
        *("watched", "watching"),
    )

    key: Any

    def __init__(self, cell: Callable[..., Any], watching: bool = False) -> None:
        self.cell = cell
        self.arrays: list[Any] = []
        self.labels: list[str] = []
        self.seen: dict[int, int] = {}
        self.random = False
        self.owner: type | None = None
        self.watching = watching
        self.watched: list[tuple[Callable[[], Any], tuple[Any, ...]]] = []
        self.facts: list[tuple[Any, ...]] = []
        self.key = []
        self.visit(cell, "cell")
        self.key = tuple(self.key)

    @property
    def names(self) -> list[str]:
        """Of the Tensors and arrays: their own, or how the cell calls them."""
        return [
            (type(thing) is Tensor and thing.name) or label
            for thing, label in zip(self.arrays, self.labels, strict=True)
        ]

    def unchanged(self) -> bool:
        """Whether all that was found is still in its place: a walk would end as this one did."""
        for look, things in self.watched:
            if not all(map(operator.is_, look(), things)):
                return False
        for (shape, dtype, needs), thing in zip(self.facts, self.arrays):  # noqa: B905 (hot)
            data = thing if needs is None else thing._data
            if data.shape != shape or data.dtype != dtype:
                return False
            if needs is not None and thing._requires_grad is not needs:
                return False
        return True

    def watch(self, look: Callable[..., Any], *places: Any) -> None:
        """Note what is in a place."""
        if self.watching:
            look = functools.partial(look, *places)
            self.watched.append((look, tuple(look())))

    def visit(self, thing: Any, name: str) -> None:
        """Note a thing that the cell holds under this name, and go on to what it holds itself."""
        kind = type(thing)
        if kind in PLAIN:
            self.key += (kind, thing)
            return
        count = len(self.seen)
        place = self.seen.setdefault(id(thing), count)
        if place < count:
            self.key += ("seen", place)
        else:
            look_at(kind)(self, thing, name)  # type: ignore[arg-type]

    def look_at_tensor(self, thing: Tensor, name: str) -> None:
        data = thing._data
        self.key += (Tensor, data.shape, data.dtype, thing._requires_grad)
        self.facts.append((data.shape, data.dtype, thing._requires_grad))
        self.arrays.append(thing)
        self.labels.append(name)

    def look_at_array(self, thing: Any, name: str) -> None:
        self.key += (np.ndarray, thing.shape, thing.dtype)
        self.facts.append((thing.shape, thing.dtype, None))
        self.arrays.append(thing)
        self.labels.append(name)

    def look_at_function(self, thing: types.FunctionType, name: str) -> None:
        code = thing.__code__
        of_user = not code.co_filename.startswith(LIBRARIES)
        if not of_user and thing.__closure__ is None:
            self.key.append(thing)  # it stays what it is
            return
        self.key += (types.FunctionType, code)
        self.watch(parts_of_function, thing)
        if thing.__closure__:
            self.watch(map, contents, thing.__closure__)
            for variable, cell_of in zip(code.co_freevars, thing.__closure__):  # noqa: B905 (hot)
                self.visit(cell_of.cell_contents, variable)
        if thing.__defaults__:
            self.key.append("defaults")
            self.visit(thing.__defaults__, "")
        if thing.__kwdefaults__:
            self.key.append("keywords")
            self.visit(thing.__kwdefaults__, "")
        if of_user and code.co_names:
            names, known = names_in(code), thing.__globals__
            self.watch(map, known.get, names)
            self.watch(elements, thing.__dict__)
            holders: list[Any] = [] if self.owner is None else [self.owner]
            for variable in names:
                if variable in known:
                    self.key.append(variable)
                    self.visit(known[variable], variable)
                    if type(known[variable]) is types.ModuleType:
                        holders.append(known[variable])
            for holder in holders:
                if is_of_user(holder.__name__ if holder is not self.owner else holder.__module__):
                    self.visit_members(holder, names)
            if thing.__dict__:
                self.look_at_dict(thing.__dict__, name)

    def visit_members(self, holder: Any, names: Iterable[str]) -> None:
        """What a class or a module holds under names that stand in the code."""
        self.watch(lambda: [getattr(holder, name, None) for name in names])
        for name in names:
            member = getattr(holder, name, None)
            if member is not None:
                self.key.append(name)
                self.visit(member.fget if type(member) is property else member, name)

    def look_at_method(self, thing: types.MethodType, name: str) -> None:
        self.key.append(types.MethodType)
        if thing is self.cell:
            self.owner = type(thing.__self__)
        self.visit(thing.__func__, name)
        self.visit(thing.__self__, name)

    def look_at_partial(self, thing: functools.partial[Any], name: str) -> None:
        self.key.append(functools.partial)
        self.watch(parts_of_partial, thing)
        for part in (thing.func, thing.args, thing.keywords):
            self.visit(part, name)

    def look_at_sequence(self, thing: Any, name: str) -> None:
        self.key += (type(thing), len(thing))
        self.watch(elements, thing)
        for element in thing:
            self.visit(element, name)

    def look_at_dict(self, thing: dict[Any, Any], name: str) -> None:
        self.key += (type(thing), len(thing))
        self.watch(both, thing)
        for label, element in thing.items():
            self.visit(label, "")
            self.visit(element, label if isinstance(label, str) else name)

    def look_at_number(self, thing: Any, name: str) -> None:
        self.key += (type(thing), thing)

    def look_at_one_of_a_kind(self, thing: Any, name: str) -> None:
        """What is looked at no further: another one is another structure."""
        self.key += (object, thing)

    def look_at_generator(self, thing: Any, name: str) -> None:
        self.random = True
        self.look_at_object(thing, name)

    def look_at_object(self, thing: Any, name: str) -> None:
        """An object of a class: its attributes, and how it is called."""
        key, kind = self.key, type(thing)
        call = getattr(kind, "__call__", None)  # noqa: B004
        if type(call) is types.FunctionType and is_of_user(kind.__module__):
            before, self.owner = self.owner, kind
            self.visit(call, name)
            self.watch(lambda: (type(thing).__call__,))
            self.owner = before
        attributes = getattr(thing, "__dict__", EMPTY)
        self.watch(inside, thing)
        slots = slots_of(kind)  # type: ignore[arg-type]
        if slots:
            self.watch(lambda: [getattr(thing, s, None) for s in slots])
            attributes = {s: getattr(thing, s) for s in slots if hasattr(thing, s)} | attributes
        key += (kind, len(attributes))
        for attribute, element in attributes.items():
            kind = type(element)
            if kind in PLAIN:
                key += (attribute, kind, element)
            elif kind is Tensor and id(element) not in self.seen:  # what a cell has most of
                self.seen[id(element)] = len(self.seen)
                data = element._data
                key += (attribute, Tensor, data.shape, data.dtype, element._requires_grad)
                self.facts.append((data.shape, data.dtype, element._requires_grad))
                self.arrays.append(element)
                self.labels.append(attribute)
            else:
                key.append(attribute)
                self.visit(element, attribute)


EMPTY: dict[str, Any] = {}

contents = operator.attrgetter("cell_contents")
parts_of_partial = operator.attrgetter("func", "args", "keywords")
parts_of_function = operator.attrgetter("__code__", "__closure__", "__defaults__", "__kwdefaults__")


def both(entries: dict[Any, Any]) -> tuple[Any, ...]:
    """The keys of a dict, and its values."""
    return (*entries, *entries.values(), END)


def inside(thing: Any) -> tuple[Any, ...]:
    """The class of an object, and its attributes."""
    attributes = getattr(thing, "__dict__", EMPTY)
    return (thing.__class__, *attributes, *attributes.values(), END)


def elements(sequence: Iterable[Any]) -> tuple[Any, ...]:
    """The elements of a sequence."""
    return (*sequence, END)


END = object()
"""Stands behind the last, so that one more or one less is seen."""


LOOK: dict[tuple[type, ...], Callable[[Captures, Any, str], None]] = {
    (Tensor,): Captures.look_at_tensor,
    (np.ndarray,): Captures.look_at_array,
    (types.FunctionType,): Captures.look_at_function,
    (types.MethodType,): Captures.look_at_method,
    (functools.partial,): Captures.look_at_partial,
    (list, tuple): Captures.look_at_sequence,
    (dict,): Captures.look_at_dict,
}
"""How to look at a thing of just this kind."""

LOOK_AT_HEIRS: dict[tuple[type, ...], Callable[[Captures, Any, str], None]] = {
    (list, tuple, deque, set, frozenset): Captures.look_at_sequence,
    (dict,): Captures.look_at_dict,
    (np.generic,): Captures.look_at_number,
    (type, types.ModuleType, types.BuiltinFunctionType, np.ufunc): Captures.look_at_one_of_a_kind,
    (np.random.Generator, np.random.RandomState, random.Random): Captures.look_at_generator,
}
"""How to look at a thing of this kind or one that inherits from it."""


@functools.lru_cache(256)
def look_at(kind: type) -> Callable[[Captures, Any, str], None]:
    for kinds, look in LOOK.items():
        if kind in kinds:
            return look
    for kinds, look in LOOK_AT_HEIRS.items():
        if issubclass(kind, kinds):
            return look
    return Captures.look_at_object


LIBRARIES = (PACKAGE, os.path.dirname(np.__file__) + os.sep)
"""Where the code stands that does not change from call to call."""


@functools.lru_cache(256)
def is_of_user(module: str) -> bool:
    """Whether what stands in a class or module of this module can change from call to call."""
    return not module.startswith(("numpy", "tinygrad_rnn"))


@functools.lru_cache(256)
def names_in(code: types.CodeType) -> tuple[str, ...]:
    """The names of variables and attributes in the code of a function, also in what it defines."""
    inner = [names_in(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return tuple(dict.fromkeys(itertools.chain(code.co_names, *inner)))


@functools.lru_cache(256)
def slots_of(kind: type) -> tuple[str, ...]:
    """The attributes that are no entries of an object's dictionary."""
    return tuple(
        name
        for base in kind.__mro__
        for name, member in vars(base).items()
        if type(member) is types.MemberDescriptorType
    )
