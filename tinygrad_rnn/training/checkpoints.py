"""Weights on disk, in the safetensors format, which holds arrays and runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor


def save(path: str | PathLike[str], parameters: Mapping[str, Any]) -> None:
    """Write parameters to a file, each under its name.

    path: the file, by custom `*.safetensors`; what was there is replaced only when all is written.
    parameters: Tensors or arrays by name, such as `cell.parameters()`.
    Raises ImportError, with what to install, where the safetensors package is missing.

    >>> import tempfile, numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save(f"{folder}/cell.safetensors", cell.parameters())
    ...     loaded = tg.load(f"{folder}/cell.safetensors")
    >>> sorted(loaded), np.array_equal(loaded["W_hh"], cell.W_hh.data)
    (['W_hh', 'W_xh', 'b_h'], True)
    """
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f"parameters are saved by name: give a dict such as cell.parameters(), "
            f"not a {type(parameters).__name__}"
        )
    arrays = {
        name: np.asarray(value.data if isinstance(value, Tensor) else value, order="C")
        for name, value in parameters.items()
    }
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    _safetensors().save_file(arrays, partial)
    partial.replace(target)


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """Read what `save` wrote: a dict from name to array.

    To go on with them: `for name, array in loaded.items(): parameters[name].data[...] = array`.
    Raises FileNotFoundError or ValueError, with the path, if there is no such file or it is no
    safetensors file.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no file of weights at {source}")
    try:
        return dict(_safetensors().load_file(source))
    except Exception as problem:
        if isinstance(problem, ImportError):
            raise
        raise ValueError(f"{source} is not a safetensors file: {problem}") from problem


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as missing:
        raise ImportError(
            "weights are written and read by the safetensors package: pip install safetensors"
        ) from missing
    return safetensors.numpy
