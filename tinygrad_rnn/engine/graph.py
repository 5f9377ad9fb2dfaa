"""The graph: nodes, the edges between them, and the tape that lists them in recorded order.

A node stores the function that computed a value, and the nodes of its arguments. This file depends
neither on derivatives nor on arrays.
"""

from __future__ import annotations

import itertools
import weakref
from operator import attrgetter
from typing import Any, TypeAlias

from tinygrad_rnn.engine.recording import UNMARKED, Mark, current_mark

Array: TypeAlias = Any
"""Any array with NumPy's protocols: an ndarray, a NumPy scalar, a Dask or a CuPy array."""


next_position = itertools.count().__next__


class Node:
    """One recorded value: the function that computed it, and the edges to its arguments.

    An edge is the tuple `(parent, argument, pullback, kept)`. `parent` is the node of a Tensor
    argument. `argument` is its name, with its place for an element of a sequence. `pullback` turns
    the gradient of this node into a contribution to that of the parent. `kept` has the values that
    the pull-back needs. An argument that needs no gradient has the pull-back None.

    The node holds only what its pull-backs keep: arrays, and for a whole `scan` also its cell and
    its Tensor arguments. None of these refers to the node (unless the cell itself stores the
    states), so there is no reference cycle. The node is freed with the last Tensor that leads to
    it.

    `tensor.recorded` makes the nodes. The class has no `__init__`, which makes this faster.
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

    function: Any
    edges: tuple[Edge, ...]
    shape: tuple[int, ...]
    dtype: Any
    position: int
    mark: Mark
    name: str | None
    severed: tuple[weakref.ref[Node], ...]

    @property
    def step(self) -> int | None:
        """The time step under which the node was recorded, counted from 0, or None."""
        return self.mark.step

    @property
    def scope(self) -> tuple[str, ...]:
        """The scopes under which the node was recorded, outermost first."""
        return self.mark.scope

    @property
    def parents(self) -> tuple[Node, ...]:
        """The nodes of its Tensor arguments, in their order."""
        return tuple(edge[0] for edge in self.edges)

    @property
    def sources(self) -> list[Node]:
        """The parents that a gradient flows back to."""
        return [parent for parent, _, pullback, _ in self.edges if pullback is not None]

    def sever(self) -> None:
        """Forget the history. Weak references to the parents remain.

        A picture of parents that are still alive can thus show the cut."""
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

    given: for a parameter, the array of its Tensor, and the tape position since which it has had
        this array. Nodes recorded before used another array.
    """

    __slots__ = ("given", "grad", "requires_grad")

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        requires_grad: bool,
        name: str | None,
        mark: Mark | None = None,
    ) -> None:
        self.function = None
        self.edges = self.severed = ()
        self.shape = shape
        self.dtype = dtype
        self.position = next_position()
        self.mark = mark or current_mark() or UNMARKED
        self.name = name
        self.requires_grad = requires_grad
        self.grad: Array | None = None
        self.given: tuple[Array, int] | None = None


Edge: TypeAlias = tuple[Node, Any, Any, tuple[Any, ...]]


def history(*outputs: Node, differentiable: bool = False, since: int = 0) -> list[Node]:
    """The nodes that the outputs depend on, themselves included, in recorded order.

    differentiable: follow only the edges along which a gradient can flow back.
    since: leave out the nodes before this position.
    The search is iterative, so the length of a chain is limited by memory alone.
    """
    found = {node for node in outputs if node.position >= since}
    nodes = list(found)
    for node in nodes:  # the list grows in the loop
        for parent, _, pullback, _ in node.edges:
            if (
                parent not in found
                and parent.position >= since
                and not (differentiable and pullback is None)
            ):
                found.add(parent)
                nodes.append(parent)
    nodes.sort(key=position)
    return nodes


position = attrgetter("position")
"""The position of a node on the tape, as a sort key."""
