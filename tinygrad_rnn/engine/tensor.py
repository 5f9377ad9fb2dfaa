"""The Tensor: an array that remembers how it was computed.

Everything that is computed from Tensors, by an operator, an index or a NumPy function, goes
through the one door `apply`: it calls the function on the arrays inside and, where an argument
needs a gradient, records a node. (Ufuncs of one or two operands take a short cut that does the
same: `fast_paths.py`.)
"""

from __future__ import annotations

import math
import operator
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from tinygrad_rnn.engine.array_methods import ArrayMethods
from tinygrad_rnn.engine.errors import (
    complex_values,
    one_array,
    python_objects,
    refuse_gradient_of,
    refuse_unread,
    refuse_writing,
    without_rule,
)
from tinygrad_rnn.engine.graph import Array, CollectorAtRest, Edge, Leaf, Node, recording
from tinygrad_rnn.engine.table import CONSTANT, RULES, composition

STRAIGHT: dict[Callable[..., Any], Callable[..., Any]] = {}
"""Functions whose calls are written out: `apply` for one or two operands, without a loop (see
`fast_paths.py`, which fills this in)."""

PLAIN = frozenset({int, slice, type(None), type(Ellipsis)})
"""What an index or a shape is made of that holds no array."""

SEQUENCES = (list, tuple, deque)
"""What an argument that is a sequence of arrays may come in."""


class Tensor(ArrayMethods):
    """An array, whether it needs a gradient, and the node that says where it came from.

    data: any array that speaks NumPy's protocols (shared, not copied), or numbers and lists.
    requires_grad: ask for the gradient with respect to this value; floats only.
    name: the name in pictures and messages, such as `"W_hh"`.
    Raises TypeError if a gradient is asked for and the data are not floats.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    >>> loss = np.sum(np.tanh(W) * 2)
    >>> loss.backward()
    >>> W.grad.shape
    (2, 2)
    """

    __slots__ = ("__weakref__", "_node", "_requires_grad", "data")

    _records = True

    def __init_subclass__(cls) -> None:
        raise TypeError("Tensor cannot be subclassed: hold one, or put your array type inside one")

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None) -> None:
        if isinstance(data, Tensor):
            data = data.data
        elif not hasattr(data, "__array_function__"):
            data = np.asarray(data)
        if requires_grad:
            refuse_gradient_of(data)
        self.data: Array = data
        self._requires_grad = requires_grad
        self._node: Node | None = None
        if requires_grad or name is not None:
            self._node = Leaf(data.shape, data.dtype, requires_grad, name)

    # What it is ---------------------------------------------------------------------------

    @property
    def node(self) -> Node:
        """Its node in the graph; a Leaf, if it was given and not computed."""
        node = self._node
        if node is None:
            node = self._node = Leaf(np.shape(self.data), self.data.dtype, False, None)
        return node

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient with respect to it is asked for; of a leaf it can be set, for
        example to False for a weight that is to stay as it is."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value == self._requires_grad:
            return
        if not isinstance(self.node, Leaf):
            raise TypeError(
                f"{self.name or 'this Tensor'} was computed by {self.node.function.__name__}, and "
                f"only a leaf's requires_grad can be set; use .detach() for a constant"
            )
        if value:
            refuse_gradient_of(self.data)
        self._requires_grad = self.node.requires_grad = value

    @property
    def grad(self) -> Array | None:
        """The gradient that `backward` has added up, a plain array; None before the first."""
        return getattr(self._node, "grad", None)

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if not isinstance(self._node, Leaf) or not self.requires_grad:
            raise TypeError(f"only a leaf with requires_grad=True has a .grad to set, not {self!r}")
        if value is not None and np.shape(value) != np.shape(self.data):
            raise ValueError(
                f"the gradient has the shape {np.shape(value)}, "
                f"the Tensor {np.shape(self.data)}; they must be equal"
            )
        self._node.grad = value

    @property
    def name(self) -> str | None:
        """Its name in pictures and messages."""
        return None if self._node is None else self._node.name

    @name.setter
    def name(self, value: str | None) -> None:
        self.node.name = value

    def named(self, name: str) -> Tensor:
        """Name this value for the pictures, and return it.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> tg.Tensor([1.0, 2.0]).named("h_1").name
        'h_1'
        """
        self.node.name = name
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return np.ndim(self.data)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def item(self) -> float:
        """The one number inside, as a Python number."""
        value = self.data
        return value.item() if hasattr(value, "item") else float(value)

    def tolist(self) -> Any:
        """The numbers inside, as Python's own, in nested lists."""
        return self.data.tolist()

    def __repr__(self) -> str:
        array = repr(self.data)
        body = array[array.find("(") + 1 : -1] if array.endswith(")") else array
        name = f", name={self.name!r}" if self.name else ""
        return f"Tensor({body}{', requires_grad=True' if self.requires_grad else ''}{name})"

    # What flows back ----------------------------------------------------------------------

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this value to the `.grad` of every leaf that needs one.

        gradient: the gradient from above, of this value's shape; may be left out for a scalar.
        Raises TypeError if nothing was recorded, ValueError if the shapes do not fit.

        >>> import tinygrad_rnn as tg
        >>> w = tg.Tensor(3.0, requires_grad=True)
        >>> (w * w).backward()
        >>> (w * w).backward()
        >>> print(w.grad)
        12.0
        """
        from tinygrad_rnn.engine.sweep import backward

        backward(self, gradient)

    def detach(self) -> Tensor:
        """The same array without its history: no gradient flows back past this point.

        >>> import tinygrad_rnn as tg
        >>> w = tg.Tensor(3.0, requires_grad=True)
        >>> (w * w.detach()).backward()
        >>> print(w.grad)
        3.0
        """
        detached = Tensor(self.data)
        if self.requires_grad:
            leaf = Leaf(np.shape(self.data), self.data.dtype, False, None)
            leaf.edges = ((self.node, "x", None, ()),)
            leaf.sever()
            detached._node = leaf
        return detached

    def cut(self) -> Tensor:
        """Detach in place: values computed from it *earlier* see the cut too.

        The history is freed as soon as nothing else leads to it. Returns the Tensor itself.
        Raises TypeError for a leaf, which has no history to forget.

        >>> import tinygrad_rnn as tg
        >>> w = tg.Tensor(3.0, requires_grad=True)
        >>> h = w * w
        >>> loss = h * w
        >>> _ = h.cut()
        >>> loss.backward()
        >>> print(w.grad)
        9.0
        """
        if isinstance(self._node, Leaf) and self.requires_grad:
            raise TypeError(f"{self.name or 'this Tensor'} is a leaf: there is no history to cut")
        if self.requires_grad:
            self.node.sever()
            self._requires_grad = False
        return self

    # NumPy's protocols --------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            call = None if kwargs else STRAIGHT.get(ufunc)
            return apply(ufunc, args, kwargs) if call is None else call(*args)
        return apply(getattr(ufunc, method), args, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        return apply(function, args, kwargs)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.requires_grad:
            raise TypeError(
                f"{self.name or 'a Tensor'} of shape {self.shape} needs a gradient, and a plain "
                f"array would lose it: use np.stack for a list of Tensors, or write .data if "
                f"losing it is what you want"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    # Python's own ---------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Tensor:
        kind = type(index)
        if kind in PLAIN or (kind is tuple and PLAIN.issuperset(map(type, index))):
            return cast(Tensor, STRAIGHT[operator.getitem](self, index))
        return cast(Tensor, apply(operator.getitem, (self, index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a Tensor cannot be written into, for the graph would not see it; "
            "build the value with np.where, np.concatenate or np.stack, or write into .data"
        )

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.ndim == 0 else str(self), spec)

    __hash__ = object.__hash__


def apply(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any] | None = None
) -> Any:
    """Call `function` on the arrays inside the arguments; record it if one needs a gradient.

    Raises TypeError for a function that has no rule in the table and would lose a gradient.
    """
    rule = RULES.get(function)
    if rule is None:
        return _without_rule(function, args, kwargs or {})
    values = args
    given = len(args)
    if not kwargs and given <= rule.positions and not rule.variadic:
        if given != rule.arity:
            values = [*args, *rule.defaults[given:]]
    else:
        kwargs = kwargs or {}
        if rule.unread(args, kwargs) is not None:
            if not _is_tracked(args, kwargs):
                return _untracked(function, args, kwargs)
            refuse_unread(rule, function, args, kwargs)
        values = rule.bind(args, kwargs)

    arrays: list[Any] = []  # what is inside the values
    tensors: list[
        tuple[Tensor, Any, int | None]
    ] = []  # what is a Tensor among them, each with its argument
    for value, argument in zip(values, rule.arguments):  # noqa: B905 (hot, and of one length)
        if type(value) is Tensor:
            if argument[1] is None or not argument[1].takes_a_sequence:
                arrays.append(value.data)
                tensors.append((value, argument, None))
                continue
            value = list(value)  # its rows are the sequence
        if isinstance(value, SEQUENCES) and not PLAIN.issuperset(map(type, value)):
            arrays.append(unwrap(value))
            tensors += [(v, argument, i) for i, v in enumerate(value) if type(v) is Tensor]
        else:
            arrays.append(value)
    if rule.variadic:
        y = function(*unwrap(args), **unwrap(kwargs))
    elif kwargs:
        y = function(*arrays[:given], **unwrap(kwargs))
    else:
        y = rule.compute(*arrays[:given])
    if type(y) is tuple:  # np.where of a condition alone: places, not values
        return y

    result = _new(Tensor)
    result.data = y
    result._requires_grad = False
    result._node = None
    mark = recording.mark
    if mark is None:
        return result
    if len(tensors) < MANY:
        edges = _edges(function, tensors, arrays, y)
    else:
        with CollectorAtRest():
            edges = _edges(function, tensors, arrays, y)
    if edges:
        if y.dtype.kind != "f":
            return not_of_floats(function, y)
        result._requires_grad = True
        result._node = Node(function, edges, y.shape, y.dtype, mark)
    return result


MANY = 256
"""So many edges are made with the collector at rest: each is a few tuples, and no cycle."""


def _edges(
    function: Any, tensors: list[tuple[Tensor, Any, int | None]], arrays: list[Any], y: Any
) -> Any:
    """The edges of a call to its Tensors; none, where no gradient can flow."""
    arrays += (y, None)
    flows = False
    edges: list[Edge] = []
    shared: dict[str, tuple[Any, ...]] = {}  # what the elements of a sequence keep in common
    for tensor, (name, pullback), i in tensors:
        argument = name if i is None else (name, i)
        if not tensor._requires_grad or pullback is None:
            edges.append((tensor.node, argument, None, ()))
            continue
        flows = True
        if i is None:
            kept = pullback.keep(arrays)
        else:
            if not pullback.takes_a_sequence:
                raise one_array(function, name)
            if name not in shared:
                shared[name] = pullback.keep(arrays)
            kept = pullback.of_element(shared[name], i)
        edges.append((tensor.node, argument, pullback, kept))
    return tuple(edges) if flows else ()


def not_of_floats(function: Callable[..., Any], y: Array) -> Array:
    """Integers have no derivative, and come out plain; what could have one is refused."""
    if y.dtype.kind == "c":
        raise complex_values(function, y.dtype)
    if y.dtype.kind == "O":
        raise python_objects(function)
    return y


_new = object.__new__


def _without_rule(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Functions that are no row of their own: constant, composed of rows, or refused."""
    if function in CONSTANT:
        return function(*unwrap(args), **unwrap(kwargs))
    if not _is_tracked(args, kwargs):
        return _untracked(function, args, kwargs)
    composed = composition(function)
    if composed is None:
        raise without_rule(function)
    refuse_unread(composed, function, args, kwargs)
    return composed(*args, **kwargs)


def _is_tracked(args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    return recording.mark is not None and _needs_gradient([*args, *kwargs.values()])


def _untracked(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Compute where no gradient can be lost. What is written into stays what it is."""
    refuse_writing(function, kwargs)
    result = function(*unwrap(args), **unwrap(kwargs))
    return result if kwargs.get("out") is not None else _wrapped(result)


def unwrap(value: Any) -> Any:
    """The arrays inside Tensors, also in lists, tuples and dicts of them."""
    if type(value) is Tensor:
        return value.data
    if isinstance(value, SEQUENCES):  # plain ones: NumPy need not know the other kinds
        inside = [v.data if type(v) is Tensor else unwrap(v) for v in value]
        return tuple(inside) if isinstance(value, tuple) else inside
    if type(value) is dict:
        return {key: unwrap(v) for key, v in value.items()}
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, list | tuple):
        parts = [_wrapped(v) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    is_array = hasattr(value, "__array_function__") or isinstance(value, np.generic)
    return Tensor(value) if is_array else value


def _needs_gradient(values: Sequence[Any]) -> bool:
    return any(
        v._requires_grad if type(v) is Tensor else isinstance(v, SEQUENCES) and _needs_gradient(v)
        for v in values
    )


def given(data: Array, name: str | None) -> Tensor:
    """`Tensor(data, name=name)` for an ndarray, without the questions: one for every step."""
    result = _new(Tensor)
    result.data = data
    result._requires_grad = False
    result._node = None if name is None else Leaf(data.shape, data.dtype, False, name)
    return result


def tracked(data: Array, node: Node) -> Tensor:
    """A Tensor for a value whose node exists already."""
    result = _new(Tensor)
    result.data = data
    result._requires_grad = True
    result._node = node
    return result
