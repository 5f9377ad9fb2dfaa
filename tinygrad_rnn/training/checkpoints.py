"""Weights and whole runs on disk. A restored run continues with bitwise equal results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten
from tinygrad_rnn.training.array_files import format_of, read_arrays, write_arrays
from tinygrad_rnn.training.nesting import decoded, encoded
from tinygrad_rnn.training.parameters import distinct

Path = str | PathLike[str]


def save(path: Path, parameters: Any) -> None:
    """Write parameters to a file, each under its name.

    path: the file. Its suffix is the format: `.npz`, written by NumPy alone, or `.safetensors`.
        An existing file is replaced in one step, after everything is written.
    parameters: a cell or model, a dict or list of Tensors, or a dict of arrays by name.
    Raises ValueError for another suffix; ImportError, with what to install, if the safetensors
    package is missing.

    >>> import tempfile, numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save(f"{folder}/cell.npz", cell)
    ...     loaded = tg.load(f"{folder}/cell.npz")
    >>> sorted(loaded), np.array_equal(loaded["W_hh"], cell.W_hh.data)
    (['W_hh', 'W_xh', 'b_h'], True)
    """
    format_of(path)  # a wrong path is refused before the parameters are
    named = parameters if isinstance(parameters, Mapping) else distinct(parameters)
    write_arrays(path, {name: _array(value) for name, value in named.items()})


def load(path: Path, into: Any = None) -> dict[str, Any]:
    """Read what `save` wrote: a dict from name to array.

    into: a cell or model, or a dict or list of Tensors. Its parameters are set to these arrays.
    bfloat16 weights of a `.safetensors` file are returned as float32, which holds them exactly.
    Raises FileNotFoundError, with the path, if there is no such file; ValueError, with the path,
    if the file is not in the format of its suffix, or its names and shapes are not those of `into`.
    """
    arrays, _ = read_arrays(path)
    if into is not None:
        _assign(into, arrays, str(path))
    return arrays


def save_run(path: Path, **parts: Any) -> None:
    """Write everything that a run needs to continue into one file, each part under a name.

    path: a `.npz` or `.safetensors` file. If the process is killed, the last complete file remains.
    parts: what `restore_run` restores. Of a model, or any nesting of Tensors that need a gradient,
        the parameters are saved. Of an optimizer, or any object with `state()` and
        `restore(state)`, the state. Of a NumPy Generator, its position. Anything else is saved as a
        value: numbers, texts, arrays and None in any nesting, such as the carried state of a
        network or the position in the data.
    Raises TypeError, naming the place, for any other value.

    >>> import tempfile, numpy as np, tinygrad_rnn as tg
    >>> def begin():
    ...     cell = tg.RNNCell(3, 4, rng=0)
    ...     return dict(model=cell, optimizer=tg.Adam(cell), rng=np.random.default_rng(1))
    >>> run, state = begin(), (np.ones((2, 4)), None)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tg.save_run(f"{folder}/run.npz", **run, state=state, place={"epoch": 3})
    ...     again = begin()
    ...     values = tg.restore_run(f"{folder}/run.npz", **again)
    >>> sorted(values), values["place"], again["rng"].random() == run["rng"].random()
    (['place', 'state'], {'epoch': 3}, True)
    """
    structure: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for name, part in parts.items():
        try:
            kind, value = _value_of(part)
        except TypeError as problem:
            raise TypeError(f"{name} is neither a value nor a model: {problem}") from problem
        structure[name] = [kind, encoded(value, name, arrays)]
    write_arrays(path, arrays, json.dumps(structure))


def restore_run(path: Path, **parts: Any) -> dict[str, Any]:
    """Restore what `save_run` wrote.

    parts: the objects by name, made as at the beginning of the run. Each is set in place to what
        was saved under its name.
    Returns the other parts of the file by name, as values with plain arrays.
    Raises ValueError if the file is not a saved run, lacks a part, or a part does not fit. Then
    no part is changed.
    """
    arrays, text = read_arrays(path)
    if not text:
        raise ValueError(f"{path} holds weights, not a run: read it with tg.load")
    try:
        structure = json.loads(text).items()
        saved = {name: (kind, decoded(value, arrays)) for name, (kind, value) in structure}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise ValueError(f"{path} was not written by tg.save_run: {problem}") from problem
    before = {name: _value_of(part) for name, part in parts.items()}
    for name, (kind, _) in before.items():
        if saved.get(name, (None,))[0] != kind:
            raise ValueError(
                f"{path} has no {kind} called {name}; it has "
                + ", ".join(f"{other} ({kind})" for other, (kind, _) in saved.items())
            )
        if kind == "value":
            raise ValueError(
                f"{name} is a plain value, which is returned and not set: omit it from the call"
            )
    begun: list[str] = []
    try:
        for name, part in parts.items():
            begun.append(name)
            _set(part, *saved.pop(name))
    except BaseException as problem:
        for other in begun:
            _set(parts[other], *before[other])
        if not isinstance(problem, Exception):
            raise
        raise ValueError(f"{path} does not fit {name}: {_said(problem)}") from problem
    return {name: value for name, (_, value) in saved.items()}


def _set(part: Any, kind: str, value: Any) -> None:
    """Set a part to a value from `_value_of`."""
    if kind == "state":
        part.restore(value)
    elif kind == "generator":
        part.bit_generator.state = value
    else:
        _assign(part, value, "it")


def _said(problem: Exception) -> str:
    name = "" if isinstance(problem, ValueError) else f"{type(problem).__name__}: "
    return f"{name}{problem}"


def _value_of(part: Any) -> tuple[str, Any]:
    """The kind of a part, and the plain value that is saved for it."""
    if hasattr(part, "state") and hasattr(part, "restore"):
        return "state", part.state()
    if isinstance(part, np.random.Generator):
        return "generator", part.bit_generator.state
    tensors = [leaf for leaf in flatten(part) if isinstance(leaf, Tensor) and leaf.requires_grad]
    if tensors or hasattr(part, "parameters") or callable(part):
        return "parameters", {name: _array(p) for name, p in distinct(part).items()}
    return "value", part


def _array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _assign(parameters: Any, arrays: Mapping[str, Any], where: str) -> None:
    """Set the parameters to the arrays under their names: all of them, or none."""
    named = distinct(parameters)
    if named.keys() != arrays.keys():
        raise ValueError(
            f"{where} has the parameters {', '.join(sorted(arrays))}, but the model has "
            f"{', '.join(sorted(named))}"
        )
    for name, parameter in named.items():
        array = arrays[name]
        if (array.shape, array.dtype) != (parameter.shape, parameter.dtype):
            raise ValueError(
                f"{name} is {array.dtype} of shape {array.shape} in {where}, but "
                f"{parameter.dtype} of shape {parameter.shape} in the model"
            )
    for name, parameter in named.items():
        # An array of the same library as the parameter's (NEP 35).
        parameter.data = np.array(arrays[name], like=parameter.data)
