"""The graph: nodes, the edges between them, and the tape that lists them in recorded order.

A node remembers which function made a value, and from which other nodes. This file depends on
neither derivatives nor arrays.
"""

from __future__ import annotations

import itertools
import weakref
from operator import attrgetter
from typing import Any, TypeAlias

from tinygrad_rnn.engine.recording import UNMARKED, Mark, current_mark

Array: TypeAlias = Any
"""Whatever speaks NumPy's protocols: an ndarray, a NumPy scalar, a Dask or a CuPy array."""


next_position = itertools.count().__next__


class Node:
    """One recorded value: the function that made it and the edges to what it was made from.

    An edge is the tuple `(parent, argument, pullback, kept)`: the node of a Tensor argument,
    that argument's name (with its place, for an element of a sequence), the pull-back that turns
    the gradient of this node into a contribution to the parent's, and the values which that
    pull-back asked to be kept. An argument that needs no gradient has the pull-back None.

    The node holds nothing but what its pull-backs keep: arrays, and for a whole `scan` also its
    cell and the Tensors that went in. None of it leads back to the node (unless the cell itself
    stores the states), so there is no reference cycle: the node is freed with the last Tensor
    that leads to it.
    """

    __slots__ = (
        "__weakref__",
        "dtype",
        "edges",
        "function",
        "mark",
        "name",
        "position",
        "severed",
        "shape",
    )

    def __init__(
        self, function: Any, edges: tuple[Edge, ...], shape: tuple[int, ...], dtype: Any, mark: Mark
    ) -> None:
        self.function = function
        self.edges = edges
        self.shape = shape
        self.dtype = dtype
        self.position = next_position()
        self.mark = mark
        self.name: str | None = None
        self.severed: tuple[weakref.ref[Node], ...] = ()

    @property
    def step(self) -> int | None:
        """The time step under which it was recorded, counted from 0, or None."""
        return self.mark.step

    @property
    def scope(self) -> tuple[str, ...]:
        """The scopes under which it was recorded, outermost first."""
        return self.mark.scope

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes of its Tensor arguments, in their order."""
        return tuple(edge[0] for edge in self.edges)

    def sever(self) -> None:
        """Forget the history. Weak references to the parents stay, so that a picture which
        still has them can show where the cut is."""
        self.severed = tuple(weakref.ref(edge[0]) for edge in self.edges)
        self.edges = ()

    def __reduce__(self) -> Any:
        raise TypeError(
            "a node belongs to the graph of its process and cannot be pickled or copied"
        )

    def __repr__(self) -> str:
        made = getattr(self.function, "__name__", "leaf")
        label = f"{made} {self.name!r}" if self.name else made
        at = "" if self.step is None else f" at step {self.step}"
        return f"<Node {self.position}: {label}, shape {self.shape}{at}>"


class Leaf(Node):
    """A value that was given and not computed: a parameter, an input, a constant.

    given: of a parameter, its Tensor's array, and the position on the tape from which on it has
        had this one: what was recorded before used another.
    """

    __slots__ = ("given", "grad", "requires_grad")

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, requires_grad: bool, name: str | None
    ) -> None:
        # Every input of every step is one of these: no call of Node.__init__.
        self.function = None
        self.edges = self.severed = ()
        self.shape = shape
        self.dtype = dtype
        self.position = next_position()
        self.mark = current_mark() or UNMARKED
        self.name = name
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.given: tuple[Array, int] | None = None


Edge: TypeAlias = tuple[Node, Any, Any, tuple[Any, ...]]


def history(*outputs: Node, differentiable: bool = False) -> list[Node]:
    """The nodes that the outputs depend on, themselves included, in recorded order.

    differentiable: follow only the edges along which a gradient can flow back.
    Iterative, so that a chain may be as long as memory allows.
    """
    found = set(outputs)
    nodes = list(found)
    for node in nodes:  # which grows on the way
        for parent, _, pullback, _ in node.edges:
            if parent not in found and not (differentiable and pullback is None):
                found.add(parent)
                nodes.append(parent)
    nodes.sort(key=position)
    return nodes


position = attrgetter("position")
"""A node's place on the tape, as a key to sort by."""
