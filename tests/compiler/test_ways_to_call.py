"""A cell may be called in many ways, one after the other: none depends on which came first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.test_scan import parameter
from tinygrad_rnn.compiler.runtime import cache
from tinygrad_rnn.engine.table import RULES

T, B, D, H = 4, 2, 3, 3
XS = np.random.default_rng(0).standard_normal((T, B, D))
cell = tg.RNNCell(D, H, rng=0)
rows = np.random.default_rng(1).random((T, B)) < 0.4


def read_only(array: Any) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array: Any) -> Any:
    return np.repeat(array, 2, axis=-1)[..., ::2]


def backwards(array: Any) -> Any:
    return array[::-1].copy()[::-1]


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "array": lambda x: x,
    "tensor": tg.Tensor,
    "named": lambda x: tg.Tensor(x, name="given"),
    "needing": lambda x: tg.Tensor(x, requires_grad=True),
    "needing, named": lambda x: tg.Tensor(x, requires_grad=True, name="given"),
    "computed": lambda x: parameter(1) * 0 + x,
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "other byte order": lambda x: x.astype(">f8"),
}

WAYS: dict[str, tuple[Callable[[], Any], Callable[[], Any], dict[str, Any]]] = {
    **{f"xs: {name}": (lambda f=f: f(XS), lambda: None, {}) for name, f in ARRAYS.items()},
    **{
        f"state: {name}": (lambda: XS, lambda f=f: f(XS[0, :, :H] / 2), {})
        for name, f in ARRAYS.items()
    },
    "list of arrays": (lambda: list(XS), lambda: None, {}),
    "list of Tensors": (lambda: [tg.Tensor(x, requires_grad=True) for x in XS], lambda: None, {}),
    "nested lists": (XS.tolist, lambda: None, {}),
    "one step": (lambda: XS[:1], lambda: None, {}),
    "one sequence": (lambda: XS[:, :1], lambda: None, {}),
    "no sequence": (lambda: XS[:, :0], lambda: None, {}),
    "no steps": (lambda: XS[:0], lambda: np.zeros((B, H)), {}),
    "window": (lambda: XS, lambda: None, {"truncation": tg.Window(1)}),
    "chunks": (lambda: XS, lambda: None, {"truncation": tg.Subsequence(2)}),
    "reset": (lambda: XS, lambda: None, {"reset": rows}),
    "not recording": (lambda: XS, lambda: None, {"recording": False}),
    "last": (lambda: XS, lambda: None, {"outputs": "last"}),
    "blocks": (lambda: XS, lambda: None, {"block": 1}),
}


def outcome(way: str, run: Callable[..., Any]) -> list[Any]:
    """The states, and the gradients of whatever needs one."""
    make_xs, make_state, options = WAYS[way]
    options = dict(options)
    xs, state, recording = make_xs(), make_state(), options.pop("recording", True)
    if run is tg.unroll:
        for name in ("outputs", "block"):
            options.pop(name, None)
    with contextlib.nullcontext() if recording else tg.no_grad():
        states, last = run(cell, xs, state, **options)
    if recording and last.requires_grad:
        found = [last]
        if states is not None and len(states):
            found.append(states if isinstance(states, tg.Tensor) else np.stack(states))
        loss = sum(np.sum(np.sin(part)) for part in (found[:1] if "last" in way else found))
        given = [t for t in (xs, state) if isinstance(t, tg.Tensor) and t.requires_grad]
        gradients = tg.gradients(loss, [cell.W_hh, cell.b_h, *given])
        return [last.data, *gradients]
    return [last.data]


def test_every_pair_of_ways() -> None:
    """In both orders. Ways that have programs of their own need not be paired."""
    expected = {way: outcome(way, tg.unroll) for way in WAYS}

    def check(way: str, before: str = "") -> None:
        for mine, theirs in zip(outcome(way, tg.scan), expected[way], strict=True):
            np.testing.assert_allclose(
                mine, theirs, rtol=0, atol=1e-13, err_msg=f"{before}, then {way}"
            )

    by_program: dict[Any, list[str]] = {}
    for way in WAYS:
        tg.clear_programs()
        check(way)
        by_program.setdefault(tuple(cache.PROGRAMS), []).append(way)
    assert max(map(len, by_program.values())) > 10
    for ways in by_program.values():
        for first in ways:
            tg.clear_programs()
            check(first)
            for second in ways:  # with the program that the first one has made
                check(second, first)


def test_the_source_has_the_names_of_the_cell_at_hand() -> None:
    def named(name: str) -> Any:
        W = parameter(H, H, name=name)
        return lambda x, h: np.tanh(h @ W + x)

    for name in ("W_first", "W_second"):
        own = named(name)
        tg.scan(own, XS, np.zeros((B, H)))
        assert f"def forward(h_0, x, {name}" in tg.scan_source(own, XS, np.zeros((B, H)))
        states, _ = tg.scan(own, XS, np.zeros((B, H)))
        assert {"x", name} <= {node.name for node in tg.tape(states)}
        bptt = tg.BPTT(own, tg.mse)
        assert name in bptt.source(XS, XS, np.zeros((B, H)))


def test_nothing_stays_when_the_cell_is_gone() -> None:
    def buffers() -> int:
        programs = [program for kept in cache.PROGRAMS.values() for program in kept]
        return sum(len(spaces) for program in programs for spaces in program.spaces.values())

    tg.clear_programs()
    own = tg.RNNCell(D, H, rng=0)
    tg.scan(own, XS)
    tg.scan(own, XS[:2])
    assert buffers() == 2 and len(cache.PROGRAMS) == 1
    del own
    assert buffers() == 0 and len(cache.PROGRAMS) == 1
    other = tg.RNNCell(D, H, rng=1)
    tg.scan(other, XS)
    assert buffers() == 1 and len(cache.PROGRAMS) == 1
    tg.clear_programs()
    assert not cache.PROGRAMS
    bptt = tg.BPTT(other, tg.mse)
    bptt(XS, XS)
    assert bptt.ready
    tg.clear_programs()
    assert not bptt.ready
    bptt(XS, XS)


def test_a_new_derivative_leaves_the_programs_alone() -> None:
    tg.scan(cell, XS)
    kept = len(cache.PROGRAMS)
    tg.derivative(lambda x: 2 * x, lambda g: 2 * g)
    assert kept and len(cache.PROGRAMS) == kept
    ((_, pullback),) = RULES[np.tanh].arguments
    tg.derivative(np.tanh, pullback.function)  # entered anew: old programs have the old
    assert not cache.PROGRAMS


class Given(tg.RNNCell):
    """A cell that only begins where it is told to."""

    def initial_state(self, batch_size: int) -> Any:
        raise AssertionError("a state was given")


def test_a_given_state_is_the_only_one() -> None:
    one, h = Given(D, H, rng=0), np.ones((B, H))
    stack = tg.Stacked([one, Given(H, H, rng=1)])
    loss = lambda h, y: np.sum(h * y, axis=-1)  # noqa: E731
    for cell, state in ((one, h), (stack, (h, h))):
        for truncation in (None, tg.Subsequence(2), tg.Window(1)):
            tg.unroll(cell, XS, state, truncation)
            tg.scan(cell, XS, state, truncation, reset=rows)
            tg.scan(cell, XS, state, truncation, lengths=[2, 4], reverse=True)
            tg.scan(cell, XS, state, outputs="last")
            assert len(list(tg.stream(cell, XS, state, truncation))) == T
            bptt = tg.BPTT(cell, loss, truncation)
            bptt(XS, XS, state)
            bptt(XS, XS, state, lengths=[2, 4])
            bptt.record(XS, XS, state)
            assert "def forward" in bptt.source(XS, XS, state)
        assert "def forward" in tg.scan_source(cell, XS, state)
        tg.analysis.jacobians(cell, XS, state)
        with pytest.raises(AssertionError, match="a state was given"):
            tg.scan(cell, XS)
