"""The trainable Tensors of a model of any kind: a search through what its code can reach."""

from __future__ import annotations

import functools
import itertools
import os
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping, ValuesView
from typing import Any

from tinygrad_rnn.engine.graph import Leaf
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.support.code import globals_in, slots_of, variables_in


def parameters(*models: Any) -> dict[str, Tensor]:
    """Every trainable Tensor that the models reach, in a dict by unique names.

    models: cells, functions, objects, Tensors, and lists, tuples, sets and dicts of these, in any
        nesting.
    A function reaches its closure variables, its defaults, and the global variables and attributes
    that its code names. A bound method also reaches its object. An object reaches all of its
    attributes (or those that its class lists as `reached`), and what calling it reaches.
    A Tensor is trainable if it needs a gradient and was not computed from others. A Tensor that is
    reached twice counts once, under the first name.
    The name is the Tensor's own, or else that of the variable, attribute or key that holds it.
    Where names collide, each gets the name of its owner as a prefix, or else the number of the
    model: "encoder.W_hh", "decoder.W_hh".

    >>> import numpy as np, tinygrad_rnn as tg
    >>> encoder, decoder = tg.RNNCell(3, 4, bias=False), tg.RNNCell(3, 4, bias=False)
    >>> list(tg.parameters(encoder, decoder))
    ['1.W_xh', '1.W_hh', '2.W_xh', '2.W_hh']
    >>> W_hq = tg.Tensor(np.ones((4, 2)), requires_grad=True)
    >>> list(tg.parameters({"encoder": encoder, "decoder": decoder}, lambda h: h @ W_hq))
    ['encoder.W_xh', 'encoder.W_hh', 'decoder.W_xh', 'decoder.W_hh', 'W_hq']
    """
    found: dict[int, tuple[tuple[str, ...], Tensor]] = {}
    seen: dict[Any, Any] = {}  # holds the objects too, so that no id is reused
    numbered = len(models) > 1
    waiting: list[tuple[tuple[str, ...], Any]] = []
    for n, model in enumerate(models, 1):
        waiting.insert(0, ((str(n),) if numbered else (), model))
    while waiting:  # no recursion: models may be nested deeply
        path, thing = waiting.pop()
        key = (thing.function, thing.owner) if isinstance(thing, Method) else id(thing)
        if key in seen:
            continue
        seen[key] = thing
        if isinstance(thing, Tensor):
            if thing.requires_grad and isinstance(thing.node, Leaf):
                inside = len(path) > numbered  # and not a model itself
                name = thing.name or (path[-1] if inside else "parameter")
                found[id(thing)] = (*(path[:-1] if inside else path), name), thing
        else:
            parts = [((*path, name) if name else path, part) for name, part in contents(thing)]
            waiting += parts[::-1]
    names = shortest([path for path, _ in found.values()])
    return dict(zip(names, (tensor for _, tensor in found.values()), strict=True))


def shortest(paths: list[tuple[str, ...]]) -> list[str]:
    """For each path, its shortest unique ending. Equal paths get numbers.

    >>> from tinygrad_rnn.recurrent.parameters import shortest
    >>> shortest([("a", "W"), ("b", "W"), ("b", "c"), ("b", "c")])
    ['a.W', 'b.W', 'b.c', 'b.c (2)']
    """
    lengths = [1] * len(paths)
    while True:
        names = [".".join(path[-n:]) for path, n in zip(paths, lengths, strict=True)]
        places: dict[str, list[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(name, []).append(place)
        longer = [
            place
            for same in places.values()
            for place in same
            if len(same) > 1 and lengths[place] < len(paths[place])
        ]
        if not longer:
            break
        for place in longer:
            lengths[place] += 1
    taken: set[str] = set()
    unique = []
    for name in names:
        numbered = itertools.chain([name], (f"{name} ({n})" for n in itertools.count(2)))
        unique.append(next(one for one in numbered if one not in taken))
        taken.add(unique[-1])
    return unique


def contents(thing: Any) -> Iterator[tuple[str, Any]]:
    """The parts of an object with their names; "" where the part should keep the object's name."""
    if isinstance(thing, Mapping):
        for key, value in thing.items():
            yield str(key), value
    elif isinstance(thing, list | tuple | set | frozenset | deque | ValuesView):
        fields = getattr(thing, "_fields", None) or map(str, range(1, len(thing) + 1))
        yield from zip(fields, thing, strict=True)
    elif isinstance(thing, types.FunctionType):
        yield from of_function(thing, None)
    elif isinstance(thing, types.MethodType):
        yield "", thing.__self__
        if isinstance(thing.__func__, types.FunctionType):
            yield from of_function(thing.__func__, type(thing.__self__))
    elif isinstance(thing, functools.partial):
        yield "", thing.func
        yield "", list(thing.args)
        yield "", thing.keywords
    elif isinstance(thing, types.SimpleNamespace):
        yield from vars(thing).items()
    elif isinstance(thing, Method):
        yield from of_function(thing.function, thing.owner)
    elif not isinstance(thing, type | types.ModuleType) and root_of(type(thing)) not in OTHERS:
        yield from of_object(thing)


def of_function(function: Any, owner: type | None) -> Iterator[tuple[str, Any]]:
    """The values that the code of a function can read. owner: the class that the method is of."""
    code, known = function.__code__, function.__globals__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a variable that has no value yet
            continue
    defaults = function.__defaults__ or ()
    arguments = code.co_varnames[: code.co_argcount]
    yield from zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()
    yield from vars(function).items()
    if code.co_filename.startswith(PACKAGE) or root_of(function) in OTHERS:
        return
    names = variables_in(code)
    holders: list[Any] = [] if owner is None else [owner]
    for name in globals_in(code):
        if name in known:
            if isinstance(known[name], types.ModuleType | type):
                holders.append(known[name])
            else:
                yield name, known[name]
    for holder in holders:
        if root_of(holder) not in OTHERS | {"tinygrad_rnn"}:
            for name in names:
                member = getattr(holder, name, None)
                member = member.fget if isinstance(member, property) else member
                if isinstance(member, types.FunctionType) and isinstance(holder, type):
                    yield "", Method(member, holder)
                elif not isinstance(member, types.ModuleType):
                    yield name, member


class Method:
    """A function of a class. It also reaches the members of the class that its code names."""

    def __init__(self, function: types.FunctionType, owner: type) -> None:
        self.function, self.owner = function, owner


def of_object(thing: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, and all that a call of the object reaches."""
    kind = type(thing)
    attributes = getattr(thing, "__dict__", {})
    chosen = getattr(kind, "reached", attributes)
    yield from ((name, part) for name, part in attributes.items() if name in chosen)
    for name in slots_of(kind):  # type: ignore[arg-type]
        yield name, getattr(thing, name, None)
    call = getattr(kind, "__call__", None)  # noqa: B004
    if isinstance(call, types.FunctionType):
        yield from of_function(call, kind)


OTHERS = (sys.stdlib_module_names - {"__main__"}) | {"numpy"}
"""Packages whose objects hold no Tensors."""


def root_of(thing: Any) -> str:
    """The package that a function, class or module belongs to."""
    module = thing.__name__ if isinstance(thing, types.ModuleType) else thing.__module__
    return str(module).partition(".")[0]


PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
"""The folder of this package. The variables of its code are not part of a model either."""
