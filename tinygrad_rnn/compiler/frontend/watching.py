"""What is watched of each kind of object that a cell holds: a change is seen without a walk.

Each function adds conditions to `watched`. They hold as long as a new walk would find the same in
the object. `names`: the names that the cell's code reads.
"""

from __future__ import annotations

import operator
import sys
from typing import Any

from tinygrad_rnn.compiler.frontend.code_names import (
    REFLECTION,
    is_of_user,
    is_users_file,
    operators_of,
    read_in,
    reads_any,
)
from tinygrad_rnn.compiler.frontend.conditions import NOTHING, Conditions, contents
from tinygrad_rnn.engine.rules import Rule
from tinygrad_rnn.support.code import slots_of

Names = frozenset[str]


def nothing(watched: Conditions, thing: Any, names: Names) -> None:
    """The object is known by its identity or its value."""


def of_tensor(watched: Conditions, thing: Any, names: Names) -> None:
    data = thing._data
    watched.add(FACTS_OF_TENSOR, thing, data.shape, data.dtype, thing._requires_grad)


def of_array(watched: Conditions, thing: Any, names: Names) -> None:
    watched.add("{0}.shape == {1} and {0}.dtype == {2}", thing, thing.shape, thing.dtype)


def of_function(watched: Conditions, thing: Any, names: Names) -> None:
    code = thing.__code__
    of_user = is_users_file(code.co_filename)
    if not of_user and thing.__closure__ is None:
        return  # it cannot change
    watched.add(PARTS_OF_FUNCTION, thing, *parts_of_function(thing))
    for variable in thing.__closure__ or ():
        found = contents(variable)
        seen = "contents({})" if found is NOTHING else "{}.cell_contents"
        watched.add(f"{seen} is {{}}", variable, found)
    if of_user:
        _, variables, modules = read_in(code)
        for name in variables:
            watched.add_entry(thing.__globals__, name)
        for module in modules:
            watched.add("modules.get({}) is {}", module, sys.modules[module])
        watched.add("{}.__dict__ is {}", thing, thing.__dict__)
        of_dict(watched, thing.__dict__, names)
    rule = getattr(thing, "rule", None)
    if type(rule) is Rule:
        watched.add("{}.rule is {}", thing, rule)


def of_partial(watched: Conditions, thing: Any, names: Names) -> None:
    watched.add(PARTS_OF_PARTIAL, thing, thing.func, thing.args, thing.keywords)


def of_elements(watched: Conditions, thing: Any, names: Names) -> None:
    """Watch the elements of a sequence or a set, in their order."""
    watched.add("len({}) == {}", thing, len(thing))
    if thing:
        watched.add("all(map(is_, {}, {}))", thing, [*thing])


def of_dict(watched: Conditions, thing: Any, names: Names) -> None:
    of_elements(watched, thing, names)
    if thing:
        watched.add("all(map(is_, {}.values(), {}))", thing, [*thing.values()])


def of_bytes(watched: Conditions, thing: Any, names: Names) -> None:
    watched.add("bytes(memoryview({})) == {}", thing, bytes(memoryview(thing)))


def of_variable(watched: Conditions, thing: Any, names: Names) -> None:
    watched.add("{}.get(None) is {}", thing, thing.get(None))


def of_object(watched: Conditions, thing: Any, names: Names) -> None:
    """Watch the class of an object and its attributes.

    An attribute that the object lacks may come from its class. The object may later get its own.
    """
    kind: Any = type(thing)
    read = None if reads_any(kind) or not REFLECTION.isdisjoint(names) else names
    watched.add("{}.__class__ is {}", thing, thing.__class__)
    attributes = getattr(thing, "__dict__", None)
    if attributes is not None:
        watched.add("{}.__dict__ is {}", thing, attributes)
        if read is None:
            watched.add("[*{}] == {}", attributes, [*attributes])
            known = list(attributes)
        else:
            watched.add("len({}) == {}", attributes, len(attributes))
            known = sorted(read.intersection([*attributes, *dir(kind)]))
        for name in known:
            watched.add_entry(attributes, name)
    slots = slots_of(kind)
    for name in slots if read is None else read.intersection(slots):
        found = getattr(thing, name, NOTHING)
        watched.add("getattr({}, {}, NOTHING) is {}", thing, name, found)


def of_class(watched: Conditions, thing: Any, names: Names) -> None:
    """Watch the members that are read, in each class that may get one that comes before others."""
    bases = [vars(base) for base in thing.__mro__ if is_of_user(base.__module__)]
    anywhere = names.intersection(dir(thing)).union(*map(operators_of, bases))
    for members in bases:
        for name in sorted(anywhere | names.intersection(members)):
            watched.add_entry(members, name)


def of_module(watched: Conditions, thing: Any, names: Names) -> None:
    if is_of_user(thing.__name__):
        for name in sorted(names.intersection(vars(thing))):
            watched.add_entry(vars(thing), name)


FACTS_OF_TENSOR = "{0}._data.shape == {1} and {0}._data.dtype == {2} and {0}._requires_grad is {3}"
PARTS_OF_PARTIAL = "{0}.func is {1} and {0}.args is {2} and {0}.keywords is {3}"
PARTS_OF_FUNCTION = (
    "{0}.__code__ is {1} and {0}.__closure__ is {2} and "
    "{0}.__defaults__ is {3} and {0}.__kwdefaults__ is {4}"
)
parts_of_function = operator.attrgetter("__code__", "__closure__", "__defaults__", "__kwdefaults__")
