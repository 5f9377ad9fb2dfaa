"""An array that lives elsewhere, as CuPy's do on a GPU: a stand-in for machines without one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class DeviceArray(NDArrayOperatorsMixin):
    """It speaks NumPy's protocols, refuses to come back by itself (`np.asarray`), and does not mix
    with NumPy's own arrays, only with numbers; `get` brings it back."""

    def __init__(self, array: Any) -> None:
        self._array = np.array(array)

    def get(self) -> Any:
        return self._array.copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed; use .get()")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        return _wrapped(getattr(ufunc, method)(*_inside(args), **_inside(kwargs)))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in (np.asarray, np.array):  # NEP 35: a copy onto the device, asked for
            first, *others = args
            inside = first._array if isinstance(first, DeviceArray) else first
            return DeviceArray(function(inside, *others, **kwargs))
        return _wrapped(function(*_inside(args), **_inside(kwargs)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._array, name)
        if callable(value):
            return lambda *args, **kwargs: _wrapped(value(*_inside(args), **_inside(kwargs)))
        return _wrapped(value) if isinstance(value, np.ndarray) else value

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(self._array[_inside(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._array[_inside(index)] = _inside(value)

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        return bool(self._array)

    def __float__(self) -> float:
        return float(self._array)


def _inside(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value._array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, list | tuple):
        return type(value)(map(_inside, value))
    if isinstance(value, dict):
        return {key: _inside(v) for key, v in value.items()}
    return value


def _wrapped(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_wrapped, value))
    return DeviceArray(value) if isinstance(value, np.ndarray | np.generic) else value
