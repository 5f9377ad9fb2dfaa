"""The Tensor: an array with a record of how it was computed.

This file has the contents of a Tensor. `array_methods.py` has the methods that it shares with
arrays. `operators.py` adds Python's operators and NumPy's protocols, `backward.py` adds `backward`.
"""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinygrad_rnn.engine.array_methods import ArrayMethods
from tinygrad_rnn.engine.errors import (
    check_name,
    complex_values,
    python_objects,
    refuse_gradient_of,
)
from tinygrad_rnn.engine.graph import Array, Edge, Leaf, Node, next_position
from tinygrad_rnn.engine.lost_gradients import warn_of_lost_gradient
from tinygrad_rnn.engine.recording import Mark


class Tensor(ArrayMethods):
    """An array, a flag whether it needs a gradient, and its node in the graph.

    data: any array with NumPy's protocols (shared, not copied), or numbers and lists.
    requires_grad: compute the gradient with respect to this value; floats only.
    name: the name in pictures and messages, such as `"W_hh"`.
    Raises TypeError if requires_grad is set and the data are not floats.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    >>> loss = np.sum(np.tanh(W) * 2)
    >>> loss.backward()
    >>> W.grad.shape
    (2, 2)
    """

    __slots__ = ("__weakref__", "_data", "_node", "_requires_grad")

    _records = True

    # These are assigned in operators.py and in backward.py.
    if TYPE_CHECKING:

        def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any: ...
        def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any: ...
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def backward(self, gradient: Any = None) -> None: ...

    def __init_subclass__(cls) -> None:
        raise TypeError(
            "Tensor cannot be subclassed: hold a Tensor, or put your array type inside one"
        )

    def __init__(self, data: Any, requires_grad: bool = False, name: str | None = None) -> None:
        if requires_grad is not False and not isinstance(requires_grad, bool | np.bool_):
            raise TypeError(
                f"requires_grad must be True or False, not {requires_grad!r}; the order of the "
                f"arguments is (data, requires_grad, name)"
            )
        if name is not None:
            check_name(name)
        if type(data) is not np.ndarray:
            data = array_of(data)
        if requires_grad:
            refuse_gradient_of(data)
        self._data: Array = data
        self._requires_grad = requires_grad
        self._node: Node | None = None
        if requires_grad or name is not None:
            node = self._node = Leaf(data.shape, data.dtype, requires_grad, name)
            if requires_grad:
                node.given = data, node.position

    # Its contents -------------------------------------------------------------------------

    @property
    def data(self) -> NDArray[Any]:
        """The array inside, read-only: the graph may keep it for a gradient.

        To change a parameter, assign a new array: `w.data = w.data - 0.1 * w.grad`. Values
        computed before keep the old array, and their gradients are those at the old values.
        Assigning raises ValueError for another shape. It raises TypeError for a computed value, and
        for data that are not floats if requires_grad is set.

        >>> import tinygrad_rnn as tg
        >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
        >>> w.data -= 1.0
        Traceback (most recent call last):
        ValueError: output array is read-only
        >>> w.data = w.data - 1.0
        >>> w
        Tensor([0., 1.], requires_grad=True)

        Only this view is read-only. The array given to a Tensor is not copied, so its owner can
        still write into it. `Tensor(array.copy())` prevents this.
        """
        data = self._data
        if isinstance(data, np.ndarray) and data.flags.writeable:
            data = self._data = data.view()
            data.flags.writeable = False
        return data  # type: ignore[no-any-return]

    @data.setter
    def data(self, value: Any) -> None:
        value = array_of(value, self._data.dtype)
        node = self._node
        if node is not None:
            if not isinstance(node, Leaf):
                raise TypeError(
                    f"{self.name or 'this Tensor'} was computed by {node.function.__name__}, so "
                    f"its data cannot be replaced; use .detach() for a constant"
                )
            if value.shape != node.shape:
                raise ValueError(
                    f"the new data have the shape {value.shape}, but {self.name or 'the Tensor'} "
                    f"has {node.shape}; the shapes must be equal"
                )
            if self._requires_grad:
                refuse_gradient_of(value)
                node.given = value, next_position()
            node.dtype = value.dtype
        self._data = value

    @property
    def node(self) -> Node:
        """The node in the graph; a Leaf if the value was given and not computed."""
        node = self._node
        if node is None:
            node = self._node = Leaf(np.shape(self._data), self._data.dtype, False, None)
        return node

    @property
    def requires_grad(self) -> bool:
        """Whether the gradient with respect to this value is computed.

        For a leaf it can be set, for example to False for a weight that is frozen."""
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
            refuse_gradient_of(self._data)
        self._requires_grad = self.node.requires_grad = value
        self.node.given = (self._data, self.node.position) if value else None

    @property
    def grad(self) -> NDArray[Any] | None:
        """The sum of the gradients from `backward`, a plain array; None before the first."""
        return getattr(self._node, "grad", None)

    @grad.setter
    def grad(self, value: Array | None) -> None:
        if not isinstance(self._node, Leaf) or not self.requires_grad:
            raise TypeError(f"only a leaf with requires_grad=True has a .grad to set, not {self!r}")
        if value is not None and np.shape(value) != np.shape(self._data):
            raise ValueError(
                f"the gradient has the shape {np.shape(value)}, "
                f"but the Tensor has {np.shape(self._data)}; the shapes must be equal"
            )
        self._node.grad = value

    @property
    def name(self) -> str | None:
        """The name in pictures and messages."""
        return None if self._node is None else self._node.name

    @name.setter
    def name(self, value: str | None) -> None:
        if value is not None:
            check_name(value)
        self.node.name = value

    def named(self, name: str) -> Tensor:
        """Name this value for the pictures, and return it.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> tg.Tensor([1.0, 2.0]).named("h_1").name
        'h_1'
        """
        check_name(name)
        self.node.name = name
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        return self._data.dtype

    @property
    def ndim(self) -> int:
        return np.ndim(self._data)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def item(self) -> float:
        """The value of a Tensor with one element, as a Python number."""
        value = self._data
        return value.item() if hasattr(value, "item") else float(value)

    def tolist(self) -> Any:
        """The values as Python numbers, in nested lists."""
        return self._data.tolist()

    def __repr__(self) -> str:
        array = repr(self._data)
        body = array[array.find("(") + 1 : -1] if array.endswith(")") else array
        name = f", name={self.name!r}" if self.name else ""
        return f"Tensor({body}{', requires_grad=True' if self.requires_grad else ''}{name})"

    # Its history --------------------------------------------------------------------------

    def detach(self) -> Tensor:
        """The same array without its history: no gradient flows back past this point.

        >>> import tinygrad_rnn as tg
        >>> w = tg.Tensor(3.0, requires_grad=True)
        >>> (w * w.detach()).backward()
        >>> print(w.grad)
        3.0
        """
        detached = Tensor(self._data)
        if self.requires_grad:
            detached.node.severed = (weakref.ref(self.node),)
        return detached

    def cut(self) -> Tensor:
        """Detach in place: the cut also holds for values that were computed from it *earlier*.

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
        if self.requires_grad:
            if isinstance(self._node, Leaf):
                raise TypeError(f"{self.name or 'this Tensor'} is a leaf: it has no history to cut")
            self.node.sever()
            self._requires_grad = False
        return self

    # Copies -------------------------------------------------------------------------------

    def __reduce__(self) -> Any:
        """Pickle the values, name and gradient of a leaf. The copy gets a new node.

        The history of a computed value is not pickled."""
        node = self._node
        if node is not None and node.edges:
            raise TypeError(
                f"{self.name or 'a Tensor'} of shape {self.shape} was computed by "
                f"{node.function.__name__}, and only its numbers can be pickled: pickle .detach() "
                f"or .data"
            )
        return _unpickled, (self._data, self._requires_grad, self.name, self.grad)

    def __copy__(self) -> Tensor:
        return self._copied(self._data, self.grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        """A copy of the values.

        The copy of a leaf is a leaf. The copy of a computed value has the same history, so its
        gradient flows to the leaves that the original was computed from."""
        return self._copied(copy.deepcopy(self._data, memo), copy.deepcopy(self.grad, memo))

    def _copied(self, data: Array, grad: Array | None) -> Tensor:
        node = self._node
        if node is None or not node.edges:
            return _unpickled(data, self._requires_grad, self.name, grad)
        return tracked(data, node)

    # Python's own ---------------------------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError(
            "a Tensor cannot be written into, because the graph would not see it; build the value "
            "with np.where, np.concatenate or np.stack, or replace all of it: t.data = array"
        )

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        number = self._number()
        if self._requires_grad:
            warn_of_lost_gradient(self)
        return float(number)

    def __int__(self) -> int:
        return int(self._number())

    def _number(self) -> float:
        if self.size != 1:
            raise TypeError(
                f"{self.name or 'a Tensor'} of shape {self.shape} cannot become one Python number: "
                f"choose an entry, or reduce it, for example with np.sum"
            )
        return self.item()

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.ndim == 0 else str(self), spec)

    __hash__ = object.__hash__


def _unpickled(data: Array, requires_grad: bool, name: str | None, grad: Array | None) -> Tensor:
    tensor = Tensor(data, requires_grad, name)
    if grad is not None:
        tensor.grad = grad
    return tensor


def array_of(data: Any, dtype: Any = None) -> Array:
    """The array inside a Tensor, an array itself, or an array of numbers and lists."""
    if isinstance(data, Tensor):
        return data._data
    return data if hasattr(data, "__array_function__") else np.asarray(data, dtype)


_new = object.__new__
DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)


def untracked(data: Array) -> Tensor:
    """The same as `Tensor(data)` for an array, without the checks."""
    result = _new(Tensor)
    result._data = data
    result._requires_grad = False
    result._node = None
    return result


def recorded(y: Array, function: Any, edges: tuple[Edge, ...], mark: Mark) -> Any:
    """A Tensor for the result of a function, with a new node in the graph.

    Integers have no derivative and are returned as they are. TypeError for complex values and
    Python objects, which could have one."""
    dtype = y.dtype
    if dtype is not DOUBLE and dtype is not SINGLE and dtype.kind != "f":
        if dtype.kind in "cO":
            raise complex_values(function, dtype) if dtype.kind == "c" else python_objects(function)
        return y
    node = Node()
    node.function = function
    node.edges = edges
    node.shape = y.shape
    node.dtype = dtype
    node.position = next_position()
    node.mark = mark
    node.name = None
    node.severed = ()
    result = _new(Tensor)
    result._data = y
    result._requires_grad = True
    result._node = node
    return result


def tracked(data: Array, node: Node) -> Tensor:
    """A Tensor for a value that already has a node."""
    result = _new(Tensor)
    result._data = data
    result._requires_grad = True
    result._node = node
    return result
