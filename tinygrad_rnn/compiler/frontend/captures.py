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
import operator
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.code_names import (
    LIBRARIES,
    REFLECTION,
    imports_in,
    inherits,
    is_of_user,
    known_names,
    names_in,
    operators_of,
    remember_names,
)
from tinygrad_rnn.compiler.frontend.conditions import NOTHING, Conditions, contents
from tinygrad_rnn.engine.rules import Pullback, Rule
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.support.code import globals_in, slots_of

PLAIN = frozenset((int, float, complex, bool, str, bytes, type(None), np.dtype))
"""The types whose objects are equal if their values are equal."""


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
        self.arrays.append(thing)
        self.labels.append(name)
        if self.watched is not None:
            self.watched.add(FACTS_OF_TENSOR, thing, data.shape, data.dtype, thing._requires_grad)

    def look_at_array(self, thing: Any, name: str) -> None:
        self.key += (np.ndarray, thing.shape, thing.dtype)
        self.arrays.append(thing)
        self.labels.append(name)
        if self.watched is not None:
            self.watched.add(FACTS_OF_ARRAY, thing, thing.shape, thing.dtype)
        if thing.dtype.hasobject:
            self.visit(thing.tolist(), name)

    # Functions ----------------------------------------------------------------------------------

    def look_at_function(self, thing: types.FunctionType, name: str) -> None:
        code = thing.__code__
        of_user = not code.co_filename.startswith(LIBRARIES)
        if not of_user and thing.__closure__ is None:
            self.key.append(thing)  # it cannot change
            return
        self.key += (types.FunctionType, code)
        self.containers.append(thing)
        watched = self.watched
        if watched is not None:
            watched.add(PARTS_OF_FUNCTION, thing, *parts_of_function(thing))
            for variable_of in thing.__closure__ or ():
                found = contents(variable_of)
                seen = "contents({})" if found is NOTHING else "{}.cell_contents"
                watched.add(f"{seen} is {{}}", variable_of, found)
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
            if watched is not None:
                watched.add("{}.__dict__ is {}", thing, thing.__dict__)
                watched.add_elements(thing.__dict__)
            if thing.__dict__:
                self.look_at_dict(thing.__dict__, name)
        rule = getattr(thing, "rule", None)
        if type(rule) is Rule:  # entered with `derivative`: its pull-backs are a part of it
            if watched is not None:
                watched.add("{}.rule is {}", thing, rule)
            for pullback in (p for _, p in rule.arguments if isinstance(p, Pullback)):
                self.visit(pullback.function, name)

    def look_at_code(self, code: types.CodeType, known: dict[str, Any]) -> None:
        """Visit the variables of the module, and the modules, that a function's code names."""
        names = names_in(code)
        if not names <= self.names_read:
            self.names_read |= names
            self.reads_all = not REFLECTION.isdisjoint(self.names_read)
        variables = globals_in(code)
        watched = self.watched
        if watched is not None:
            for variable in variables:
                watched.add_entry(known, variable)
        for variable in variables:
            if variable in known:
                self.key.append(variable)
                self.visit(known[variable], variable)
        for module in imports_in(code):
            if watched is not None:
                watched.add("modules.get({}) is {}", module, sys.modules[module])
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
        if self.watched is not None:
            self.watched.add(PARTS_OF_PARTIAL, thing, thing.func, thing.args, thing.keywords)
        for part in (thing.func, thing.args, thing.keywords):
            self.visit(part, name)

    # Values and containers ----------------------------------------------------------------------

    def look_at_sequence(self, thing: Any, name: str) -> None:
        self.key += (type(thing), len(thing))
        self.containers.append(thing)
        if self.watched is not None:
            self.watched.add_elements(thing)
        for element in thing:
            self.visit(element, name)

    def look_at_dict(self, thing: Any, name: str) -> None:
        self.key += (type(thing), len(thing))
        self.containers.append(thing)
        if self.watched is not None:
            self.watched.add_elements(thing)
            self.watched.add("all(map(is_, {}.values(), {}))", thing, [*thing.values()])
        for label, element in thing.items():
            self.visit(label, "")
            self.visit(element, label if isinstance(label, str) else name)

    def look_at_number(self, thing: Any, name: str) -> None:
        self.key += (type(thing), thing)

    def look_at_heir_of_number(self, thing: Any, name: str) -> None:
        """Visit an instance of a subclass of float, int or str, which may also have attributes."""
        base: Any = next(base for base in BASES if issubclass(type(thing), base))
        self.key += (base, base.__getnewargs__(thing))
        self.look_at_object(thing, name)

    def look_at_bytes(self, thing: Any, name: str) -> None:
        """Visit an array of another library, whose numbers may change in place."""
        value = bytes(memoryview(thing))
        self.key += (type(thing), value)
        if self.watched is not None:
            self.watched.add("bytes(memoryview({})) == {}", thing, value)

    def look_at_variable(self, thing: contextvars.ContextVar[Any], name: str) -> None:
        self.key += (object, thing)
        if self.watched is not None:
            self.watched.add("{}.get(None) is {}", thing, thing.get(None))
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
        read = None
        if is_of_user(kind.__module__):
            self.visit(kind, name)
            self.filters = True
            if not (self.reads_all or hasattr(kind, "__getattr__") or inherits(kind)):  # type: ignore[arg-type]
                read = self.names_read
                attributes = {a: v for a, v in attributes.items() if a in read}
        if self.watched is not None:
            watch_object(self.watched, thing, slots, read)
        key += (weakref.ref(kind), len(attributes))
        for attribute, element in attributes.items():
            key.append(attribute)
            self.visit(element, attribute)

    def look_at_class(self, thing: type, name: str) -> None:
        self.key += (type, weakref.ref(thing))
        self.filters = True
        bases = [base for base in thing.__mro__ if is_of_user(base.__module__)]
        for base in bases:
            self.look_at_members(base, vars(base), operators_of(vars(base)))
        if self.watched is not None:  # where a base has none, it may come to stand before others
            operators = chain.from_iterable(operators_of(vars(base)) for base in bases)
            names = self.names_read.intersection(dir(thing)).union(operators)
            for base in bases:
                for name in sorted(names - vars(base).keys()):
                    self.watched.add("{} not in {}", name, vars(base))

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
        if self.watched is not None:
            for name in names:
                self.watched.add_entry(members, name)
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
EMPTY: dict[str, Any] = {}

FACTS_OF_TENSOR = "{0}._data.shape == {1} and {0}._data.dtype == {2} and {0}._requires_grad is {3}"
FACTS_OF_ARRAY = "{0}.shape == {1} and {0}.dtype == {2}"
PARTS_OF_PARTIAL = "{0}.func is {1} and {0}.args is {2} and {0}.keywords is {3}"
PARTS_OF_FUNCTION = (
    "{0}.__code__ is {1} and {0}.__closure__ is {2} and "
    "{0}.__defaults__ is {3} and {0}.__kwdefaults__ is {4}"
)
parts_of_function = operator.attrgetter("__code__", "__closure__", "__defaults__", "__kwdefaults__")


def watch_object(
    watched: Conditions, thing: Any, slots: tuple[str, ...], read: frozenset[str] | None
) -> None:
    """Watch the class of an object and its attributes. read: the names of the attributes that
    count.

    An attribute that the object lacks may come from its class. The object may later get its own.
    """
    watched.add("{}.__class__ is {}", thing, thing.__class__)
    attributes = getattr(thing, "__dict__", None)
    if attributes is not None:
        watched.add("{}.__dict__ is {}", thing, attributes)
        if read is None:
            watched.add("[*{}] == {}", attributes, [*attributes])
            names = list(attributes)
        else:
            watched.add("len({}) == {}", attributes, len(attributes))
            names = sorted(read.intersection([*attributes, *dir(type(thing))]))
        for name in names:
            watched.add_entry(attributes, name)
    for name in slots if read is None else read.intersection(slots):
        found = getattr(thing, name, NOTHING)
        watched.add("getattr({}, {}, NOTHING) is {}", thing, name, found)


class Same:
    """A wrapper that compares an object by identity, whatever `__eq__` its class has."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __hash__(self) -> int:
        return id(self.thing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.thing is other.thing


LOOK: dict[tuple[type, ...], Callable[[CellKey, Any, str], None]] = {
    (Tensor,): CellKey.look_at_tensor,
    (types.FunctionType,): CellKey.look_at_function,
    (types.MethodType,): CellKey.look_at_method,
    (types.BuiltinFunctionType,): CellKey.look_at_builtin,
    (functools.partial,): CellKey.look_at_partial,
    (types.ModuleType,): CellKey.look_at_module,
    (contextvars.ContextVar,): CellKey.look_at_variable,
    (types.MappingProxyType,): CellKey.look_at_dict,
}
"""The methods that visit objects of exactly this type."""

LOOK_AT_HEIRS: dict[tuple[type, ...], Callable[[CellKey, Any, str], None]] = {
    (np.ndarray,): CellKey.look_at_array,
    (np.ufunc, types.ModuleType, enum.Enum, weakref.ref): CellKey.look_at_one_of_a_kind,
    (logging.Logger, io.IOBase, types.GeneratorType): CellKey.look_at_one_of_a_kind,
    (type,): CellKey.look_at_class,
    (list, tuple, deque, set, frozenset): CellKey.look_at_sequence,
    (dict,): CellKey.look_at_dict,
    (np.generic,): CellKey.look_at_number,
    BASES: CellKey.look_at_heir_of_number,
    (bytes, bytearray, memoryview, array.array): CellKey.look_at_bytes,
    (np.random.Generator, np.random.RandomState, random.Random): CellKey.look_at_generator,
}
"""The methods that visit objects of this type and of its subclasses."""


@functools.lru_cache(256)
def look_at(kind: type) -> Callable[[CellKey, Any, str], None]:
    for kinds, look in LOOK.items():
        if kind in kinds:
            return look
    for kinds, look in LOOK_AT_HEIRS.items():
        if issubclass(kind, kinds):
            return look
    if not is_of_user(kind.__module__):
        if kind.__module__ == "_ctypes" or any(b.__module__ == "_ctypes" for b in kind.__mro__):
            return CellKey.look_at_bytes
        members = [vars(base) for base in kind.__mro__[:-1]]
        own_rules = [any(name in m for m in members) for name in ("__hash__", "__eq__")]
        if all(own_rules) and kind.__hash__ is not None:
            return CellKey.look_at_number  # a Fraction, a Decimal, a date, a path
    return CellKey.look_at_object
