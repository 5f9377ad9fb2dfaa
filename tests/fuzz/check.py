"""Whether a cell comes out the same in every way to run it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.fuzz.cells import Example
from tests.fuzz.ordered import ordered
from tinygrad_rnn.compiler.backends import interpreter
from tinygrad_rnn.compiler.runtime import cache
from tinygrad_rnn.engine.trees import flatten

try:
    from tests.fuzz import by_torch
except ImportError:
    by_torch = None  # type: ignore[assignment]


def check(example: Example, backend: str = "numpy") -> None:
    """AssertionError, or whatever goes wrong, for a cell that does not come out the same.

    backend: one that is asked besides NumPy.

    `unroll`, `scan`, `scan` in blocks, and `scan` with the program run by the interpreter; the
    loss-included program of `BPTT` and its recorded form; where it is installed, the definition of
    the truncated gradient in PyTorch; and, for a smooth cell without a truncation, central
    differences.
    """
    given: dict[str, Any] = {}
    exec(compile(example.source, "<fuzz>", "exec"), given)
    tg.clear_programs()
    with np.errstate(all="ignore"):
        expected = outcome(given, tg.unroll)
        if not all(np.isfinite(a).all() for a in expected if a is not None):
            return
        agree(given, expected, outcome(given, tg.scan), "scan")
        plain = outcome(given, tg.scan)
        agree(given, expected, plain, "scan, the second time")
        if not isinstance(given["truncation"], tg.Window | tg.TBPTT):
            blocks = outcome(given, lambda *a: tg.scan(*a, block=1))
            agree(given, expected, blocks, "scan, block by block")
        for (program,) in cache.PROGRAMS.values():
            program.make = interpreter.maker(program.program)
            program.spaces.clear()
        for mine, theirs in zip(outcome(given, tg.scan), plain, strict=True):
            assert np.array_equal(mine, theirs), "the interpreter has other bits than the source"
        if backend != "numpy":
            found = outcome(given, functools.partial(tg.scan, backend=backend))
            agree(given, expected, found, backend)
        for name in {"numpy", backend} if given["T"] else ():
            trained(given, name)
        if by_torch and given["T"]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of PyTorch, about empty batches
                found = by_torch.states_and_gradients(
                    example.source, given, needing(given), weights_for
                )
            agree(given, expected, found, "PyTorch")
        if example.smooth and str(given["truncation"]) == "Full()" and given["dtype"] is np.float64:
            differences(given, expected)


def needing(given: dict[str, Any]) -> list[tg.Tensor]:
    """Everything that may be given a gradient."""
    found = [*given["parameters"], *flatten(given["state"]), *flatten(given["xs"])]
    return [t for t in found if isinstance(t, tg.Tensor) and t.requires_grad]


def arguments(given: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(given[name] for name in ("cell", "xs", "state", "truncation", "reset"))


def loss_of(given: dict[str, Any], run: Callable[..., Any]) -> tuple[Any, list[Any]]:
    """A loss that weighs every state and bends the last one; the states."""
    states, last = run(*arguments(given))
    if run is tg.unroll and not states:
        parts = [tg.Tensor(np.zeros((0, *h.shape), h.dtype)) for h in ordered(last)]
    elif run is tg.unroll:
        parts = [np.stack(steps) for steps in zip(*map(ordered, states), strict=True)]
    else:
        parts = ordered(states)
    return loss_by(ordered(last), parts), parts


def loss_by(last: list[Any], parts: list[Any]) -> Any:
    loss: Any = sum(np.sum(np.sin(part)) for part in last)
    for part, weights in zip(parts, weights_for([part.shape for part in parts]), strict=True):
        loss = loss + np.sum(part * weights.astype(part.dtype))
    return loss


def weights_for(shapes: list[Any]) -> list[Any]:
    """The same numbers for states of the same shapes."""
    rng = np.random.default_rng(5)
    return [rng.standard_normal(shape) for shape in shapes]


def outcome(given: dict[str, Any], run: Callable[..., Any]) -> list[Any]:
    """The states, and all gradients."""
    loss, parts = loss_of(given, run)
    tensors = needing(given)
    gradients = tg.gradients(loss, tensors) if loss.requires_grad else [None] * len(tensors)
    zeros = [np.zeros(t.shape, t.dtype) for t in tensors]
    found = [z if g is None else np.array(g) for g, z in zip(gradients, zeros, strict=True)]
    return [*(np.array(part.data) for part in parts), *found]


def agree(given: dict[str, Any], expected: list[Any], found: list[Any], what: str) -> None:
    tolerance = 1e-10 if given["dtype"] is np.float64 else 5e-4
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype, what
        scale = max(1.0, float(np.max(np.abs(theirs), initial=0)))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance * scale, err_msg=what)


def trained(given: dict[str, Any], backend: str) -> None:
    """Forward and back in one call, and the same recorded."""
    cell, xs, state, truncation, reset = arguments(given)
    bptt = tg.BPTT(cell, lambda h, y: np.sum(np.square(ordered(h)[-1] - y)), truncation, backend)
    targets = np.zeros(given["T"], given["dtype"])
    leaves = needing(given)
    for tensor in leaves:
        tensor.grad = None
    loss, last = bptt(xs, targets, state, reset)
    found = [loss, *ordered(last), *[t.grad for t in leaves]]
    for tensor in leaves:
        tensor.grad = None
    recorded = bptt.record(xs, targets, state, reset)
    if recorded.requires_grad:
        recorded.backward()
    states, _ = tg.unroll(*arguments(given))
    expected = [recorded.data, *[h.data for h in ordered(states[-1])], *[t.grad for t in leaves]]
    pairs = [
        (np.asarray(0 if a is None else a), np.asarray(0 if b is None else b))
        for a, b in zip(found, expected, strict=True)
    ]
    for mine, theirs in pairs:
        scale = max(1.0, float(np.max(np.abs(theirs), initial=0)))
        tolerance = (1e-10 if given["dtype"] is np.float64 else 5e-4) * scale
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance, err_msg="BPTT")


def differences(given: dict[str, Any], expected: list[Any]) -> None:
    """The gradient along a random direction, by central differences of the loss."""
    leaves = [*given["parameters"], *flatten(given["state"])]
    leaves = [t for t in leaves if t.requires_grad]
    gradients = expected[len(expected) - len(needing(given)) :][: len(leaves)]
    rng, before = np.random.default_rng(7), [t.data for t in leaves]
    along = [rng.standard_normal(t.shape) for t in leaves]
    if given["reset"] is not None or not leaves:
        return
    values = []
    for step in (1e-5, -1e-5):
        for tensor, array, direction in zip(leaves, before, along, strict=True):
            tensor.data = array + step * direction
        given["tied"] = given["W"].T * 0.5
        values.append(float(loss_of(given, tg.unroll)[0].data))
    for tensor, array in zip(leaves, before, strict=True):
        tensor.data = array
    slope = (values[0] - values[1]) / 2e-5
    exact = sum(float(np.sum(g * d)) for g, d in zip(gradients, along, strict=True))
    assert abs(slope - exact) <= 1e-5 * max(1.0, abs(exact)), f"differences: {slope}, not {exact}"
