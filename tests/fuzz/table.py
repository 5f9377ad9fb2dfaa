"""Every row of the table of derivatives in a cell: `scan` is `unroll`, or refuses with a reason."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tests.derivatives.samples import SAMPLES
from tinygrad_rnn.derivatives.several import Several
from tinygrad_rnn.engine.trees import flatten, unflatten

WAYS = "inputs that need a gradient", "parameters", "plain inputs"


class Call(NamedTuple):
    """A sample of the table. tree: its positional arguments."""

    function: Any
    tree: Any
    options: dict[str, Any]

    def __repr__(self) -> str:
        shapes = [np.shape(leaf) for leaf in flatten(self.tree)]
        return f"{getattr(self.function, '__name__', self.function)}{shapes} {self.options}"


def calls() -> list[Call]:
    return [Call(f, *case) for f, cases in SAMPLES.items() for case in cases]


def differentiated(leaf: Any) -> bool:
    return isinstance(leaf, np.ndarray | np.floating) and leaf.dtype.kind == "f"


def parts_of(result: Any) -> Iterator[Any]:
    if isinstance(result, tuple | list):
        for part in result:
            yield from parts_of(part)
    elif not isinstance(result, Several):
        yield result


def check(call: Call, way: str) -> None:
    """AssertionError where a cell that makes the call comes out otherwise than unrolled."""
    leaves = flatten(call.tree)
    arrays = [np.asarray(leaf) for leaf in leaves if differentiated(leaf)]
    stacked = {f"p{n}": np.stack([array, array]) for n, array in enumerate(arrays)}
    needs = way != "plain inputs"
    tensors = [tg.Tensor(a, requires_grad=True) for a in arrays] if way == "parameters" else []
    xs: Any = {key: tg.Tensor(a, requires_grad=needs) for key, a in stacked.items()}
    if way == "parameters" or not arrays:
        xs = np.zeros(2)

    def cell(x: Any, h: Any) -> Any:
        given = iter(tensors or (x.values() if isinstance(x, dict) else ()))
        tree = unflatten(call.tree, (next(given) if differentiated(a) else a for a in leaves))
        parts = parts_of(call.function(*tree, **call.options))
        return np.tanh(h * 0.5 + sum(np.sum(np.tanh(part * 0.1)) for part in parts))

    start = tg.Tensor(0.3, requires_grad=True)
    wanted = [start, *tensors, *(xs.values() if needs and isinstance(xs, dict) else ())]
    found = []
    for run in (tg.unroll, tg.scan):
        try:
            states, _ = run(cell, xs, start)  # type: ignore[operator]
        except tg.TraceError as refused:
            if "the compiler failed" in str(refused):
                raise
            return
        except (TypeError, ValueError):
            assert run is tg.unroll  # a call that no cell can make
            return
        states = np.stack(states) if isinstance(states, list) else states
        gradients = tg.gradients(np.sum(states * states), wanted)
        found.append([states.data, *(np.zeros(1) if g is None else g for g in gradients)])
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-8, atol=1e-10, err_msg=repr(call))


def main() -> int:
    """All of them; prints what is wrong."""
    wrong = tried = 0
    warnings.simplefilter("ignore")
    for call in calls():
        for way in WAYS:
            tried += 1
            try:
                check(call, way)
            except Exception as problem:
                wrong += 1
                print(f"{call!r}, {way}: {type(problem).__name__}: {str(problem)[:500]}")
    print(f"{tried} calls tried, {wrong} wrong")
    return int(wrong > 0)
