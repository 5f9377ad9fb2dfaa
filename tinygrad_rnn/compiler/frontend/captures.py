"""Captures: the Tensors, arrays and settings that a cell reads besides its arguments.

A compiled program must not use numbers that the cell has changed since. So every call walks the
cell. The structure of the cell is the key of the program. The program runs on the Tensors and
arrays that the walk finds.

The walk visits only what the code reads. Of an object, a class or a module it visits the members
whose names occur in the code of the functions it reaches. A counter, a history or an optimizer
beside them is not part of the key. The walk cannot find everything, such as the memory of an
extension module. Therefore `cache.py` also traces the cell again now and then.
"""

from __future__ import annotations

import array
import contextvars
import enum
import functools
import io
import logging
import numbers
import operator
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.compiler.frontend import watching
from tinygrad_rnn.compiler.frontend.code_names import (
    REFLECTION,
    is_of_user,
    is_users_file,
    known_names,
    operators_of,
    read_in,
    reads_any,
    remember_names,
)
from tinygrad_rnn.compiler.frontend.conditions import Conditions, contents
from tinygrad_rnn.engine.rules import Pullback, Rule
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.support.code import slots_of

PLAIN = frozenset((int, float, bool, str, bytes, type(None), np.dtype))
"""The types whose objects are equal if their values are equal, except that -0.0 == 0.0."""


class CellKey:
    """The structure of a cell, hashable, and the Tensors and arrays in it with their names.

    generators: the random number generators that the cell carries. containers: the visited
        containers, in the order of the walk.

    The key has an entry for each visited object: its type, then its description. So no two
    structures have the same key.

    watching: whether `unchanged` will be asked later. watched: the conditions that hold as long as
        nothing has changed. was_unchanged: the last answer of `unchanged`.
    """

    __slots__ = (
        *("arrays", "cell", "containers", "filters", "generators", "key", "labels", "names_read"),
        *("reads_all", "seen", "was_unchanged", "watched", "watching"),
    )

    key: Any

    def __init__(self, cell: Callable[..., Any], watching: bool = False) -> None:
        self.cell = cell
        self.watching = watching
        self.names_read = known_names(cell)
        self.walk()

    def walk(self) -> None:
        """Visit everything that the cell reads, in its current state."""
        while True:
            names = self.names_read
            self._walk()
            if not self.filters or self.names_read is names:
                break  # the walk knew everything that the code reads
            remember_names(self.cell, self.names_read)

    def _walk(self) -> None:
        self.arrays: list[Any] = []
        self.labels: list[str] = []
        self.seen: dict[int, int] = {}
        self.generators: list[Any] = []
        self.filters = False
        self.reads_all = not REFLECTION.isdisjoint(self.names_read)
        self.containers: list[Any] = []
        self.watched = Conditions() if self.watching else None
        self.was_unchanged: bool | None = None
        self.key = []
        self.visit(self.cell, "cell")
        self.key = tuple(self.key)

    @property
    def names(self) -> list[str]:
        """The names of the Tensors and arrays: their own, or the names that the cell has for
        them."""
        return [
            (type(thing) is Tensor and thing.name) or label
            for thing, label in zip(self.arrays, self.labels, strict=True)
        ]

    def unchanged(self) -> bool:
        """Whether everything that was found is still in its place, so that a new walk would end
        alike.

        The first time this is called, the cell is walked again. Only if it has not changed is it
        worth compiling the conditions.
        """
        if self.was_unchanged:
            self.was_unchanged = self.watched.hold()  # type: ignore[union-attr]
        elif self.was_unchanged is None:
            again = CellKey(self.cell)
            same = map(operator.is_, again.arrays, self.arrays)
            self.was_unchanged = again.key == self.key and all(same)
        return self.was_unchanged

    def visit(self, thing: Any, name: str) -> None:
        """Record an object that the cell holds under this name, and visit what the object holds
        itself."""
        kind: Any = type(thing)
        if kind in PLAIN:
            self.key += (kind, thing or (repr(thing),))  # the sign of a zero, too
            return
        seen = self.seen
        count = len(seen)
        place = seen.setdefault(id(thing), count)
        if place < count:
            self.key += ("seen", place)
        else:
            look, watch = ways(kind)
            if self.watched is not None:
                watch(self.watched, thing, self.names_read)
            look(self, thing, name)

    def look_at_tensor(self, thing: Tensor, name: str) -> None:
        data = thing._data
        self.key += (Tensor, data.shape, data.dtype, thing._requires_grad)
        self.arrays.append(thing)
        self.labels.append(name)

    def look_at_array(self, thing: Any, name: str) -> None:
        self.key += (np.ndarray, thing.shape, thing.dtype)
        self.arrays.append(thing)
        self.labels.append(name)
        if thing.dtype.hasobject:
            self.visit(thing.tolist(), name)

    # Functions ----------------------------------------------------------------------------------

    def look_at_function(self, thing: types.FunctionType, name: str) -> None:
        code = thing.__code__
        of_user = is_users_file(code.co_filename)
        if not of_user and thing.__closure__ is None:
            self.key.append(thing)  # it cannot change
            return
        self.key += (types.FunctionType, code)
        self.containers.append(thing)
        if thing.__closure__:
            for variable, cell_of in zip(code.co_freevars, thing.__closure__):  # noqa: B905 (hot)
                self.visit(contents(cell_of), variable)
        if thing.__defaults__:
            self.key.append("defaults")
            self.visit(thing.__defaults__, "")
        if thing.__kwdefaults__:
            self.key.append("keywords")
            self.visit(thing.__kwdefaults__, "")
        if of_user:
            self.look_at_code(code, thing.__globals__)
            if thing.__dict__:
                self.look_at_dict(thing.__dict__, name)
        rule = getattr(thing, "rule", None)
        if type(rule) is Rule:  # entered with `derivative`: its pull-backs are a part of it
            for pullback in (p for _, p in rule.arguments if isinstance(p, Pullback)):
                self.visit(pullback.function, name)

    def look_at_code(self, code: types.CodeType, known: dict[str, Any]) -> None:
        """Visit the variables of the module, and the modules, that a function's code names."""
        names, variables, modules = read_in(code)
        if not names <= self.names_read:
            self.names_read |= names
            self.reads_all = not REFLECTION.isdisjoint(self.names_read)
        for variable in variables:
            if variable in known:
                self.key.append(variable)
                self.visit(known[variable], variable)
        for module in modules:
            self.visit(sys.modules[module], module)

    def look_at_method(self, thing: types.MethodType, name: str) -> None:
        self.key.append(types.MethodType)
        self.visit(thing.__func__, name)
        self.visit(thing.__self__, name)

    def look_at_builtin(self, thing: types.BuiltinFunctionType, name: str) -> None:
        self.key += (object, thing)
        if not isinstance(thing.__self__, types.ModuleType | type(None)):
            self.visit(thing.__self__, name)

    def look_at_partial(self, thing: functools.partial[Any], name: str) -> None:
        self.key.append(functools.partial)
        self.containers.append(thing)
        for part in (thing.func, thing.args, thing.keywords):
            self.visit(part, name)

    # Values and containers ----------------------------------------------------------------------

    def look_at_sequence(self, thing: Any, name: str) -> None:
        self.key += (type(thing), len(thing))
        self.containers.append(thing)
        for element in thing:
            self.visit(element, name)

    def look_at_dict(self, thing: Any, name: str) -> None:
        self.key += (type(thing), len(thing))
        self.containers.append(thing)
        for label, element in thing.items():
            self.visit(label, "")
            self.visit(element, label if isinstance(label, str) else name)

    def look_at_number(self, thing: Any, name: str) -> None:
        sign = str(thing) if isinstance(thing, numbers.Number) else ""  # of a zero
        self.key += (type(thing), thing, sign)

    def look_at_heir_of_number(self, thing: Any, name: str) -> None:
        """Visit an instance of a subclass of float, int or str, which may also have attributes."""
        base: Any = next(base for base in BASES if issubclass(type(thing), base))
        self.key += (base, base.__repr__(thing))
        self.look_at_object(thing, name)

    def look_at_bytes(self, thing: Any, name: str) -> None:
        """Visit an array of another library, whose numbers may change in place."""
        self.key += (type(thing), bytes(memoryview(thing)))

    def look_at_variable(self, thing: contextvars.ContextVar[Any], name: str) -> None:
        self.key += (object, thing)
        self.visit(thing.get(None), name)

    def look_at_one_of_a_kind(self, thing: Any, name: str) -> None:
        """Visit an object by its identity only. Another object is another structure."""
        self.key += (object, Same(thing))

    def look_at_generator(self, thing: Any, name: str) -> None:
        self.key += (object, thing)
        self.generators.append(thing)

    # Objects, classes, modules ------------------------------------------------------------------

    def look_at_object(self, thing: Any, name: str) -> None:
        """Visit an instance: its attributes, and the members of its class."""
        key, kind = self.key, type(thing)
        self.containers.append(thing)
        attributes = getattr(thing, "__dict__", EMPTY)
        slots = slots_of(kind)  # type: ignore[arg-type]
        if slots:
            attributes = {s: getattr(thing, s) for s in slots if hasattr(thing, s)} | attributes
        if is_of_user(kind.__module__):
            self.visit(kind, name)
            self.filters = True
            if not (self.reads_all or reads_any(kind)):
                read = self.names_read
                attributes = {a: v for a, v in attributes.items() if a in read}
        key += (weakref.ref(kind), len(attributes))
        for attribute, element in attributes.items():
            key.append(attribute)
            self.visit(element, attribute)

    def look_at_class(self, thing: type, name: str) -> None:
        self.key += (type, weakref.ref(thing))
        self.filters = True
        for base in thing.__mro__:
            if is_of_user(base.__module__):
                self.look_at_members(base, vars(base), operators_of(vars(base)))

    def look_at_module(self, thing: types.ModuleType, name: str) -> None:
        self.key += (object, thing)
        if is_of_user(thing.__name__):
            self.filters = True
            self.look_at_members(thing, vars(thing), [])

    def look_at_members(self, holder: Any, members: Any, always: Iterable[str]) -> None:
        """Visit what a class or a module holds under names that occur in the code."""
        self.containers.append(holder)
        names = [*always, *self.names_read.intersection(members)]
        names.sort()
        for name in names:
            member = members[name]
            if type(member) in (staticmethod, classmethod):
                member = member.__func__
            elif type(member) is property:
                member = member.fget
            elif type(member) is functools.cached_property:
                member = member.func
            self.key.append(name)
            self.visit(member, name)


BASES = (int, float, complex, str)
ONE_OF_A_KIND = (
    *(np.ufunc, types.ModuleType, enum.Enum, weakref.ref),
    *(logging.Logger, io.IOBase, types.GeneratorType),
)
GENERATORS = (np.random.Generator, np.random.RandomState, random.Random)
EMPTY: dict[str, Any] = {}


class Same:
    """A wrapper that compares an object by identity, whatever `__eq__` its class has."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing


Look: TypeAlias = Callable[[CellKey, Any, str], None]
Watch: TypeAlias = Callable[[Conditions, Any, frozenset[str]], None]

EXACT: list[tuple[Any, Look, Watch]] = [
    (Tensor, CellKey.look_at_tensor, watching.of_tensor),
    (types.FunctionType, CellKey.look_at_function, watching.of_function),
    (types.MethodType, CellKey.look_at_method, watching.nothing),
    (types.BuiltinFunctionType, CellKey.look_at_builtin, watching.nothing),
    (functools.partial, CellKey.look_at_partial, watching.of_partial),
    (types.ModuleType, CellKey.look_at_module, watching.of_module),
    (complex, CellKey.look_at_number, watching.nothing),
    (contextvars.ContextVar, CellKey.look_at_variable, watching.of_variable),
    (types.MappingProxyType, CellKey.look_at_dict, watching.of_dict),
]
"""How objects of exactly this type are visited and watched."""

HEIRS: list[tuple[Any, Look, Watch]] = [
    (np.ndarray, CellKey.look_at_array, watching.of_array),
    (ONE_OF_A_KIND, CellKey.look_at_one_of_a_kind, watching.nothing),
    (type, CellKey.look_at_class, watching.of_class),
    ((list, tuple, deque, set, frozenset), CellKey.look_at_sequence, watching.of_elements),
    (dict, CellKey.look_at_dict, watching.of_dict),
    (np.generic, CellKey.look_at_number, watching.nothing),
    (BASES, CellKey.look_at_heir_of_number, watching.of_object),
    ((bytes, bytearray, memoryview, array.array), CellKey.look_at_bytes, watching.of_bytes),
    (GENERATORS, CellKey.look_at_generator, watching.nothing),
]
"""How objects of this type and of its subclasses are visited and watched."""


@functools.lru_cache(256)
def ways(kind: Any) -> tuple[Look, Watch]:
    """How objects of this type are visited and watched."""
    for exact, look, watch in EXACT:
        if kind is exact:
            return look, watch
    for kinds, look, watch in HEIRS:
        if issubclass(kind, kinds):
            return look, watch
    if not is_of_user(kind.__module__):
        if any(base.__module__ == "_ctypes" for base in kind.__mro__):
            return CellKey.look_at_bytes, watching.of_bytes
        members = [vars(base) for base in kind.__mro__[:-1]]
        own_rules = [any(name in m for m in members) for name in ("__hash__", "__eq__")]
        if all(own_rules) and kind.__hash__ is not None:
            return CellKey.look_at_number, watching.nothing  # a Fraction, a Decimal, a date, a path
    return CellKey.look_at_object, watching.of_object
