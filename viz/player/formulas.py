"""The formulas of a circle: its forward computation, and its backward pass.

Both come from the tape, over the nodes that the circle stands for. The forward formulas write its
functions down. The backward formulas run the table's own pull-backs on symbols. In a formula §0 is
the circle's result, and §1, §2, ... are its inputs. ∂§1 is the gradient of the losses with respect
to §1. «u» is a value inside of the circle that is used more than once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array, Node
from tinygrad_rnn.engine.table import rule_of
from viz.indices import activated_gate
from viz.player.symbols import (
    LONGEST,
    SUM,
    WRITTEN,
    Symbol,
    apply,
    as_symbol,
    broadcast,
    call,
    with_data,
)
from viz.values import constant_of, options_of

LETTERS = "uvwpqrsdeklmn"
LONG = 12  # a value that derivatives need gets a letter of its own if its text is longer
MOST = 24  # the most lines; of more lines the first ones and their number are shown


@dataclass(frozen=True)
class Formulas:
    """The lines of one circle.

    terms: the nodes of §0, §1, ..., the result first.
    forward: pairs (left side, right side).
    backward: triples (left side, "=" or "+=", right side), in the order of the reverse pass.
    """

    terms: tuple[Node, ...]
    forward: tuple[tuple[str, str], ...]
    backward: tuple[tuple[str, str, str], ...]


def formulas(
    members: Sequence[Node], values: Mapping[Node, Array], taken: str = "", output: bool = False
) -> Formulas:
    """The formulas of the circle that computes the last of the members.

    members: the nodes of the circle, in recorded order. values: the known arrays.
    taken: the letters that are names of other values already.
    output: whether the pass begins at the last member, so that its gradient is 1.
    """
    sink, inside = members[-1], frozenset(members)
    order: dict[Node, None] = {sink: None}
    for node in members:
        order |= {parent: None for parent in node.parents if parent not in inside}
    text = {node: f"§{n}" for n, node in enumerate(order)}
    uses = Counter(p for node in members for p in node.parents if p in inside)
    needed = _needed(members)
    gates = {node: gate for node in members if (gate := activated_gate(node))}
    free = [c for c in LETTERS if c not in taken and c not in gates.values()]
    letters = iter(free + [f"u{n}" for n in range(1, 99)])
    symbols = {node: Symbol(text[node], _data(node, values)) for node in order}
    forward: list[tuple[str, str]] = []
    locals_: dict[Node, str] = {}
    for node in members:
        written = _written(node, symbols, values)
        if node is sink:
            forward.insert(0, (text[sink], _short(written.text)))
        elif node in gates or uses[node] > 1 or (node in needed and len(written.text) > LONG):
            locals_[node] = f"«{gates.get(node) or next(letters)}»"
            forward.append((locals_[node], _short(written.text)))
            symbols[node] = Symbol(locals_[node], written.data)
        else:
            symbols[node] = written
    seed = Symbol("1", np.ones(sink.shape)) if output else _gradient(text[sink], sink)
    seed.scalar = not sink.shape
    backward = tuple(_backward(members, symbols, text, locals_, seed))
    return Formulas(tuple(order), tuple(forward), backward)


def _short(text: str) -> str:
    """A sum that is too long, shortened to its first terms and the last."""
    if len(text) <= LONGEST:
        return text
    for depth in (0, 1):
        ends = _terms(text, depth)
        if len(ends) > 3:
            return f"{text[: ends[1]]} + … + {text[ends[-1] + 3 :]}"
    return "…"


def _terms(text: str, wanted: int) -> list[int]:
    """The places of the plus signs at this depth of parentheses."""
    depth, found = 0, []
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == wanted and text.startswith(" + ", place):
            found.append(place)
    return found


def _needed(members: Sequence[Node]) -> set[Node]:
    """The nodes whose values a pull-back needs."""
    found = set()
    for node in members:
        for _, _, pullback, _ in node.edges:
            if pullback is not None:
                found |= {parent for parent, at, _, _ in node.edges if at in pullback.needs}
                if "y" in pullback.needs and pullback.output_is_y:
                    found.add(node)
    return found


def _data(node: Node, values: Mapping[Node, Array]) -> Array:
    """The value of a node; ones in its shape and dtype if it is not known."""
    known = values.get(node)
    return np.ones(node.shape, node.dtype) if known is None else known


def _written(node: Node, symbols: Mapping[Node, Symbol], values: Mapping[Node, Array]) -> Symbol:
    """The formula of the node's function."""
    known = options_of(node)
    rule = rule_of(node.function)
    args: list[Any] = []
    if rule is None or rule.variadic:
        args = [symbols[parent] for parent in node.parents]
    else:
        places = {at: symbols[parent] for parent, at, _, _ in node.edges}
        for name in rule.names:
            elements = [s for at, s in places.items() if type(at) is tuple and at[0] == name]
            if name in places or elements:
                args.append(places.get(name, elements))
            elif isinstance(node.function, np.ufunc):
                if name in known:
                    args.append(known[name])
                else:
                    constant = constant_of(node, values)
                    args.append(Symbol("c", 0.0) if constant is None else constant)
            else:
                args.append(known.get(name))
    return with_data(_write(node.function, args), _data(node, values))


def _write(function: Any, args: list[Any]) -> Symbol:
    write = WRITTEN.get(function)
    if write is not None:
        return write(*args)
    return call(getattr(function, "__name__", str(function)).lstrip("_"), args)


def _backward(
    members: Sequence[Node],
    symbols: Mapping[Node, Symbol],
    text: Mapping[Node, str],
    locals_: Mapping[Node, str],
    seed: Symbol,
) -> Iterator[tuple[str, str, str]]:
    sink = members[-1]
    pending: dict[Node, list[Symbol]] = {sink: [seed]}
    arrived: dict[Node, list[Symbol]] = {}
    for node in reversed(members):
        parts = pending.pop(node, None)
        if parts is None:
            continue
        total = parts[0]
        for part in parts[1:]:
            total = apply(np.add, (total, part), {})
        if node in locals_:
            yield from _lines(f"∂{locals_[node]}", "=", parts, total)
            total = _gradient(locals_[node], node)
        for parent, _, pullback, kept in node.edges:
            if pullback is None:
                continue
            needs = [
                _restored(need, value, node, pullback, symbols)
                for need, value in zip(pullback.needs, kept, strict=True)
            ]
            try:
                contribution = as_symbol(pullback.function(total, *needs))
            except Exception:  # a rule that does more than call NumPy's functions on its arrays
                contribution = Symbol(f"{total.at(SUM + 1)} · ∂{_name(node)}", 0.0)
            contribution = broadcast(contribution, tuple(parent.shape))
            (pending if parent not in text else arrived).setdefault(parent, []).append(contribution)
    for parent, parts in arrived.items():
        for part in parts:
            yield from _lines(f"∂{text[parent]}", "+=", [part], part)


def _lines(
    left: str, sign: str, parts: list[Symbol], total: Symbol
) -> Iterator[tuple[str, str, str]]:
    """The line of a gradient; for parts that go to separate places, one line for each place."""
    if not all(part.placed for part in parts):
        yield left, sign, _short(total.text)
        return
    for part in parts:
        index, inside = part.placed or ("", "")
        yield f"{left}[{index}]", sign, _short(inside)


def _gradient(name: str, node: Node) -> Symbol:
    symbol = Symbol(f"∂{name}", np.ones(node.shape, node.dtype))
    symbol.scalar = not node.shape
    return symbol


def _name(node: Node) -> str:
    return str(getattr(node.function, "__name__", node.function)).lstrip("_")


def _restored(
    need: str, value: Any, node: Node, pullback: Any, symbols: Mapping[Node, Symbol]
) -> Any:
    """An array that an edge keeps, as the symbol of its value."""
    if need == "y" and pullback.output_is_y:
        return symbols[node]
    for parent, at, _, _ in node.edges:
        if at == need:
            return symbols[parent]
    if isinstance(value, list | tuple) and not need.startswith("shape_of_"):
        elements = {at[1]: symbols[p] for p, at, _, _ in node.edges if type(at) is tuple}
        return type(value)(elements.get(i, v) for i, v in enumerate(value))
    return None if need == "found" else value
