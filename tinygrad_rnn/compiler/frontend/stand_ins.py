"""Replacements for np.asarray, np.eye and their like while a cell is traced.

NumPy's own functions would turn a traced array into a plain one, with the numbers of the sample.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.refusals import user_frame
from tinygrad_rnn.compiler.frontend.tracer import Traced, handle_of
from tinygrad_rnn.compiler.frontend.values import Value, own
from tinygrad_rnn.engine.tensor import Tensor


def _eye(*args: Any, **kwargs: Any) -> Any:
    """np.eye, whose rows an index of the step can pick."""
    array = own(np.eye(*args, **kwargs))
    return handle_of(Value(array, "", np.eye, args, kwargs, frozenset(), user_frame()))


def _as_array(function: Any) -> Any:
    """np.asarray and its like, which do not dispatch on their argument."""

    def convert(a: Any, dtype: Any = None, **options: Any) -> Any:
        inside = a._data if type(a) is Tensor and not a.requires_grad else a
        if not isinstance(inside, Traced):
            return function(a, dtype, **options)
        if dtype is not None:
            inside = inside.astype(dtype, copy=False)
        missing = options.get("ndmin", int(function is np.ascontiguousarray)) - inside.ndim
        if missing > 0:
            inside = inside.reshape((1,) * missing + inside.shape)
        copies = function is np.array and options.get("copy", True)
        return inside.copy() if copies else inside

    return convert


class TracedNumPy(types.ModuleType):
    """The module `np` of a cell while it is traced. It is NumPy, except for functions that convert
    objects to arrays: they must not turn traced arrays into plain ones."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


INSTEAD = {np.eye: _eye, np.identity: lambda n, dtype=None: _eye(n, dtype=dtype or float)} | {
    f: _as_array(f) for f in (np.array, np.asarray, np.asanyarray, np.ascontiguousarray)
}
_numpy = TracedNumPy("numpy")
_numpy.__dict__.update({function.__name__: other for function, other in INSTEAD.items()})
STANDS_FOR = {id(np): _numpy} | {id(function): other for function, other in INSTEAD.items()}
"""The replacements of NumPy, and of its functions, in the places where a cell holds them."""
