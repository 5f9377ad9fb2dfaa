"""Places: where a container holds an object, and how another object is put there."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tinygrad_rnn.compiler.frontend.conditions import NOTHING, contents
from tinygrad_rnn.support.code import slots_of, variables_in

CHANGEABLE: tuple[Any, ...] = (dict, list, deque)


def places_of(container: Any) -> Iterator[tuple[Callable[[Any, Any], Any], Any, Any]]:
    """The places of a container: for each the function that replaces its content, a key that is
    unique in the container, and the content."""
    kind = type(container)
    if kind is types.FunctionType:
        variables = container.__code__.co_freevars
        for name, cell in zip(variables, container.__closure__ or (), strict=False):
            yield functools.partial(put_into_closure, cell), f"nonlocal {name}", contents(cell)
        known = container.__globals__
        for name in variables_in(container.__code__):
            if name in known:
                yield known.__setitem__, name, known[name]
        if container.__defaults__:
            yield functools.partial(setattr, container), "__defaults__", container.__defaults__
    elif isinstance(container, CHANGEABLE):
        base = next(base for base in CHANGEABLE if isinstance(container, base))
        items = container.items() if base is dict else enumerate(container)
        yield from each(functools.partial(base.__setitem__, container), list(items))
    elif isinstance(container, type):
        put = functools.partial(type.__setattr__, container)
        yield from each(put, [(k, v) for k, v in vars(container).items() if not k.startswith("__")])
    elif not isinstance(container, tuple | set | frozenset | functools.partial):
        attributes = getattr(container, "__dict__", None)
        if isinstance(attributes, dict):
            yield from each(attributes.__setitem__, list(attributes.items()))
        put = functools.partial(object.__setattr__, container)
        for name in slots_of(kind):  # type: ignore[arg-type]
            if hasattr(container, name):
                yield put, name, getattr(container, name)


def put_into_closure(cell: types.CellType, name: str, thing: Any) -> None:
    if thing is NOTHING:
        del cell.cell_contents
    else:
        cell.cell_contents = thing


def each(put: Callable[[Any, Any], Any], items: Any) -> Iterator[Any]:
    for key, thing in items:
        yield put, key, thing


class Contents:
    """The contents of containers, which are restored after code that must leave no traces."""

    def __init__(self, containers: Sequence[Any]) -> None:
        self.containers = containers
        self.before = [{key: thing for _, key, thing in places_of(c)} for c in containers]

    def restore_all(self) -> None:
        """Restore the contents of the containers, including removed objects."""
        self.restore(lambda thing: True)
        for container, before in zip(self.containers, self.before, strict=True):
            there = {key for _, key, _ in places_of(container)}
            for key, thing in before.items():  # in their order, for those of a list
                if key in there:
                    continue
                if isinstance(container, list | deque):
                    container.append(thing)
                elif isinstance(container, dict):
                    dict.__setitem__(container, key, thing)
                elif not isinstance(container, types.FunctionType | type):
                    object.__setattr__(container, key, thing)

    def restore(self, those: Callable[[Any], bool]) -> list[Any]:
        """Restore the earlier contents where something else is now, for which `those` is true.
        Returns the keys of the restored places."""
        found = []
        for container, before in zip(self.containers, self.before, strict=True):
            for put, key, thing in reversed(list(places_of(container))):
                if thing is before.get(key, put) or not those(thing):
                    continue
                found.append(key)
                if key in before:
                    put(key, before[key])
                elif isinstance(container, CHANGEABLE):
                    del container[key]
                elif not isinstance(container, types.FunctionType):
                    delattr(container, key)
        return found
