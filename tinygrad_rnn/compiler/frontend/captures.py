"""Captures: the Tensors, arrays and settings that a cell reads besides its arguments.

A compiled program must not use numbers that the cell has changed since. So every call looks at the
cell: by a walk, or by the conditions that an earlier walk left (`recognition.py`). The structure of
the cell is the key of the program. The program runs on the Tensors and arrays that are found.

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
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.compiler.frontend.code_names import (
    PROTOCOL,
    REFLECTION,
    is_of_user,
    is_operator,
    is_users_file,
    operators_of,
    read_in,
    reads_any,
)
from tinygrad_rnn.compiler.frontend.conditions import (
    NOTHING,
    Conditions,
    contents,
    numeral,
    plain,
    pullbacks_of,
)
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.support.code import slots_of

PLAIN = frozenset((int, float, bool, str, bytes, type(None), np.dtype))
"""The types whose objects are equal if their values are equal, except that -0.0 == 0.0."""


class CellKey:
    """The structure of a cell, hashable, and the Tensors and arrays in it with their names.

    generators: the random number generators that the cell carries. containers: the visited
        containers, in the order of the walk. Only a walk finds them.

    The key has an entry for each visited object: its type, then its description. So no two
    structures have the same key.

    conditions: what the walk read. As long as they hold, the key is the same. labels: the names
        that the cell has for the Tensors and arrays, by their variables in the conditions.
    """

    __slots__ = (
        *("arrays", "cell", "conditions", "containers", "filters", "generators", "key", "labels"),
        *("names_read", "reads_all", "seen"),
    )

    key: Any

    def __init__(self, cell: Callable[..., Any]) -> None:
        self.cell = cell
        self.walk()

    def walk(self) -> None:
        """Visit everything that the cell reads, in its current state."""
        self.names_read = PROTOCOL
        while True:
            names = self.names_read
            self._walk()
            if not self.filters or self.names_read is names:
                break  # the walk knew everything that the code reads

    def _walk(self) -> None:
        self.arrays: list[Any] = []
        self.labels: dict[str, str] = {}
        self.seen: dict[int, int] = {}
        self.generators: list[Any] = []
        self.filters = False
        self.reads_all = not REFLECTION.isdisjoint(self.names_read)
        self.containers: list[Any] = []
        self.conditions = Conditions()
        self.key = []
        self.visit(self.cell, "cell", "cell")
        self.key = tuple(self.key)

    @property
    def names(self) -> list[str]:
        """The names of the Tensors and arrays: their own, or the names that the cell has for
        them."""
        return [
            (type(thing) is Tensor and thing.name) or label
            for thing, label in zip(self.arrays, self.labels.values(), strict=True)
        ]

    def is_same(self, other: CellKey) -> bool:
        """Whether the other cell has this structure and the same Tensors and arrays."""
        return self.key == other.key and all(map(operator.is_, self.arrays, other.arrays))

    def visit(self, thing: Any, name: str, path: Any) -> None:
        """Record an object that the cell holds under this name, and visit what the object holds
        itself. path: how the object is read, for the conditions."""
        kind: Any = type(thing)
        if kind in PLAIN:
            described = plain(thing)
            self.key += described
            self.conditions.add("({0} is {1} or plain({0}) == {2})", path, thing, described)
            return
        seen = self.seen
        count = len(seen)
        place = seen.setdefault(id(thing), count)
        variable = f"v{place}"
        if place < count:
            self.key += ("seen", place)
            self.conditions.add(f"{{}} is {variable}", path)
        else:
            self.conditions.enter(kind, variable, path)
            way(kind)(self, thing, name, variable)

    def look_at_tensor(self, thing: Tensor, name: str, here: str) -> None:
        data = thing._data
        facts = data.shape, data.dtype, thing._requires_grad
        self.key += (Tensor, *facts)
        self.conditions.add(FACTS_OF_TENSOR, here, *facts)
        self.arrays.append(thing)
        self.labels[here] = name

    def look_at_array(self, thing: Any, name: str, here: str) -> None:
        self.key += (np.ndarray, thing.shape, thing.dtype)
        self.conditions.add("{0}.shape == {1} and {0}.dtype == {2}", here, thing.shape, thing.dtype)
        self.arrays.append(thing)
        self.labels[here] = name
        if thing.dtype.hasobject:
            self.visit(thing.tolist(), name, ("{}.tolist()", here))

    # Functions ----------------------------------------------------------------------------------

    def look_at_function(self, thing: types.FunctionType, name: str, here: str) -> None:
        code = thing.__code__
        of_user = is_users_file(code.co_filename)
        if not of_user and thing.__closure__ is None:
            self.key.append(thing)  # it cannot change
            self.conditions.add("{} is {}", here, thing)
            return
        self.key += (types.FunctionType, code)
        self.conditions.add("{}.__code__ is {}", here, code)
        self.containers.append(thing)
        for n, variable in enumerate(code.co_freevars):
            found = contents(thing.__closure__[n])  # type: ignore[index]
            text = "contents({})" if found is NOTHING else "{}.cell_contents"
            self.visit(found, variable, (text, ("{}.__closure__[{}]", here, n)))
        for attribute in ("__defaults__", "__kwdefaults__"):
            values = getattr(thing, attribute)
            if values:
                self.key.append(attribute)
                self.visit(values, "", (f"{{}}.{attribute}", here))
            else:
                self.conditions.add(f"not {{}}.{attribute}", here)
        if of_user:
            self.look_at_code(code, thing.__globals__, here)
        if not thing.__dict__:
            self.conditions.add("not {}.__dict__", here)
            return
        if of_user:
            self.look_at_dict(thing.__dict__, name, ("{}.__dict__", here))
        self.visit_all(pullbacks_of(thing), name, ("pullbacks_of({})", here))

    def look_at_code(self, code: types.CodeType, known: dict[str, Any], here: str) -> None:
        """Visit the variables of the module, and the modules, that a function's code names."""
        names, variables, modules = read_in(code)
        if not names <= self.names_read:
            self.names_read |= names
            self.reads_all = not REFLECTION.isdisjoint(self.names_read)
        for variable in variables:
            if variable in known:
                self.key.append(variable)
                self.visit(known[variable], variable, ("{}.__globals__[{}]", here, variable))
            else:
                self.conditions.add("{1} not in {0}.__globals__", here, variable)
        for module in modules:
            self.visit(sys.modules[module], module, ("{0}[{1}]", "modules", module))

    def look_at_method(self, thing: types.MethodType, name: str, here: str) -> None:
        self.key.append(types.MethodType)
        self.visit(thing.__func__, name, ("{}.__func__", here))
        self.visit(thing.__self__, name, ("{}.__self__", here))

    def look_at_builtin(self, thing: types.BuiltinFunctionType, name: str, here: str) -> None:
        self.key += (object, thing)
        self.conditions.add("{} is {}", here, thing)
        if not isinstance(thing.__self__, types.ModuleType | type(None)):
            self.visit(thing.__self__, name, ("{}.__self__", here))

    def look_at_partial(self, thing: functools.partial[Any], name: str, here: str) -> None:
        self.key.append(functools.partial)
        self.containers.append(thing)
        self.visit(thing.func, name, ("{}.func", here))
        self.visit(thing.args, name, ("{}.args", here))
        self.visit(thing.keywords, name, ("{}.keywords", here))

    # Values and containers ----------------------------------------------------------------------

    def look_at_sequence(self, thing: Any, name: str, here: str) -> None:
        self.key.append(type(thing))
        self.containers.append(thing)
        self.visit_all([*thing], name, here)

    def visit_all(self, things: list[Any], name: str, path: Any) -> None:
        """Visit the elements of what is at a path."""
        self.key.append(len(things))
        elements = self.conditions.named("len(NEW := [*{}]) == {}", path, len(things))
        for n, element in enumerate(things):
            self.visit(element, name, ("{}[{}]", elements, n))

    def look_at_dict(self, thing: Any, name: str, path: Any) -> None:
        found = [*thing.items()]
        self.key += (type(thing), len(found))
        self.containers.append(thing)
        items = self.conditions.named("len(NEW := [*{}.items()]) == {}", path, len(found))
        for n, (label, element) in enumerate(found):
            self.visit(label, "", ("{}[{}][0]", items, n))
            named = label if isinstance(label, str) else name
            self.visit(element, named, ("{}[{}][1]", items, n))

    def look_at_number(self, thing: Any, name: str, here: str) -> None:
        described = numeral(thing)
        self.key += described
        self.conditions.add("({0} is {1} or numeral({0}) == {2})", here, thing, described)

    def look_at_heir_of_number(self, thing: Any, name: str, here: str) -> None:
        """Visit an instance of a subclass of float, int or str, which may also have attributes."""
        base: Any = next(base for base in BASES if issubclass(type(thing), base))
        text = base.__repr__(thing)
        self.key += (base, text)
        self.conditions.add("{1}.__repr__({0}) == {2}", here, base, text)
        self.look_at_object(thing, name, here)

    def look_at_bytes(self, thing: Any, name: str, here: str) -> None:
        """Visit an array of another library, whose numbers may change in place."""
        content = bytes(memoryview(thing))
        self.key += (type(thing), content)
        self.conditions.add("bytes(memoryview({})) == {}", here, content)

    def look_at_variable(self, thing: contextvars.ContextVar[Any], name: str, here: str) -> None:
        self.look_at_one_of_a_kind(thing, name, here)
        self.visit(thing.get(None), name, ("{}.get(None)", here))

    def look_at_one_of_a_kind(self, thing: Any, name: str, here: str) -> None:
        """Visit an object by its identity only. Another object is another structure."""
        self.key += (object, Same(thing))
        self.conditions.add("{} is {}", here, thing)

    def look_at_generator(self, thing: Any, name: str, here: str) -> None:
        self.look_at_one_of_a_kind(thing, name, here)
        self.generators.append(thing)

    # Objects, classes, modules ------------------------------------------------------------------

    def look_at_object(self, thing: Any, name: str, here: str) -> None:
        """Visit an instance: its attributes, and the members of its class."""
        kind: Any = type(thing)
        self.containers.append(thing)
        own = getattr(thing, "__dict__", EMPTY)
        if own is not EMPTY:
            entries = self.conditions.named("[*(NEW := {}.__dict__)] == {}", here, [*own])
        attributes = own
        slots = slots_of(kind)
        if slots:
            attributes = {s: getattr(thing, s) for s in slots if hasattr(thing, s)} | own
            for slot in set(slots).difference(attributes):
                self.conditions.add("not hasattr({}, {})", here, slot)
        if is_of_user(kind.__module__):
            self.visit(kind, name, ("type({})", here))
            self.filters = True
            if not (self.reads_all or reads_any(kind)):
                read = self.names_read
                attributes = {a: v for a, v in attributes.items() if a in read}
        self.key += (weakref.ref(kind), len(attributes))
        for attribute, element in attributes.items():
            self.key.append(attribute)
            in_slot = ("getattr({}, {})", here, attribute)
            path = ("{}[{}]", entries, attribute) if attribute in own else in_slot
            self.visit(element, attribute, path)

    def look_at_class(self, thing: type, name: str, here: str) -> None:
        self.key += (type, weakref.ref(thing))
        self.filters = True
        bases = thing.__mro__  # the first is the class itself
        self.conditions.add("[*map(ref, {}.__mro__)] == {}", here, [*map(weakref.ref, bases)])
        for n, base in enumerate(bases):
            if is_of_user(base.__module__):
                members, path = vars(base), ("{}.__mro__[{}].__dict__", here, n)
                entries = self.look_at_members(base, operators_of(members), path)
                for label, member in members.items():
                    if label[:2] == "__" and not is_operator(label, member):
                        place = ("{}[{}]", entries, label)
                        self.conditions.add("not is_operator({1}, {0})", place, label)

    def look_at_module(self, thing: types.ModuleType, name: str, here: str) -> None:
        self.look_at_one_of_a_kind(thing, name, here)
        if is_of_user(thing.__name__):
            self.filters = True
            self.look_at_members(thing, [], ("{}.__dict__", here))

    def look_at_members(self, holder: Any, always: Iterable[str], path: Any) -> str:
        """Visit what a class or a module holds under names that occur in the code. Return the
        variable of its members."""
        self.containers.append(holder)
        members = vars(holder)
        entries = self.conditions.named("[*(NEW := {})] == {}", path, [*members])
        for name in sorted({*always, *self.names_read.intersection(members)}):
            member = members[name]
            inside = WRAPPED.get(type(member))
            path = ("{}[{}]", entries, name)
            self.key.append(name)
            if inside is not None:
                self.key.append(type(member))
                self.conditions.add("type({}) is {}", path, type(member))
                path = (f"{{}}.{inside}", path)
                member = getattr(member, inside)
            self.visit(member, name, path)
        return entries


WRAPPED = {
    staticmethod: "__func__",
    classmethod: "__func__",
    property: "fget",
    functools.cached_property: "func",
}
"""The attribute in which each kind of member of a class holds its function."""

FACTS_OF_TENSOR = "{0}._data.shape == {1} and {0}._data.dtype == {2} and {0}._requires_grad is {3}"
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


Look: TypeAlias = Callable[[CellKey, Any, str, str], None]

EXACT: list[tuple[Any, Look]] = [
    (Tensor, CellKey.look_at_tensor),
    (types.FunctionType, CellKey.look_at_function),
    (types.MethodType, CellKey.look_at_method),
    (types.BuiltinFunctionType, CellKey.look_at_builtin),
    (functools.partial, CellKey.look_at_partial),
    (types.ModuleType, CellKey.look_at_module),
    (complex, CellKey.look_at_number),
    (contextvars.ContextVar, CellKey.look_at_variable),
    (types.MappingProxyType, CellKey.look_at_dict),
]
"""How objects of exactly this type are visited."""

HEIRS: list[tuple[Any, Look]] = [
    (np.ndarray, CellKey.look_at_array),
    (ONE_OF_A_KIND, CellKey.look_at_one_of_a_kind),
    (type, CellKey.look_at_class),
    ((list, tuple, deque, set, frozenset), CellKey.look_at_sequence),
    (dict, CellKey.look_at_dict),
    (np.generic, CellKey.look_at_number),
    (BASES, CellKey.look_at_heir_of_number),
    ((bytes, bytearray, memoryview, array.array), CellKey.look_at_bytes),
    (GENERATORS, CellKey.look_at_generator),
]
"""How objects of this type and of its subclasses are visited."""


@functools.lru_cache(256)
def way(kind: Any) -> Look:
    """How objects of this type are visited."""
    for exact, look in EXACT:
        if kind is exact:
            return look
    for kinds, look in HEIRS:
        if issubclass(kind, kinds):
            return look
    if not is_of_user(kind.__module__):
        if any(base.__module__ == "_ctypes" for base in kind.__mro__):
            return CellKey.look_at_bytes
        members = [vars(base) for base in kind.__mro__[:-1]]
        own_rules = [any(name in m for m in members) for name in ("__hash__", "__eq__")]
        if all(own_rules) and kind.__hash__ is not None:
            return CellKey.look_at_number  # a Fraction, a Decimal, a date, a path
    return CellKey.look_at_object
