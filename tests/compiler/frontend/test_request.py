"""The arguments of a scan, made ready: their parts, and the key of what a program depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import B, D, H, T, inputs
from tinygrad_rnn.compiler.frontend.request import Sequence, prepared

CELL = tg.LSTMCell(D, H, rng=0)
XS = inputs()


def key(xs: Any = XS, state: Any = None, truncation: Any = None, reset: Any = None) -> Any:
    return prepared(CELL, xs, state, truncation, reset).key


def test_equal_keys_for_what_one_program_serves() -> None:
    for xs in (list(XS), XS[:2], np.zeros_like(XS)):
        assert key(xs) == key()
    assert key(truncation=tg.Full()) == key()  # as None is
    assert key(truncation=tg.Window(1)) == key(truncation=tg.Window(3))
    assert key(truncation=tg.Subsequence(100)) == key(truncation=tg.Subsequence(50))  # no cut


@pytest.mark.parametrize(
    "other",
    [
        {"xs": XS[:, :1]},
        {"xs": XS.astype(np.float32)},
        {"xs": tg.Tensor(XS)},
        {"xs": tg.Tensor(XS, requires_grad=True)},
        {"truncation": tg.Subsequence(2)},
        {"truncation": tg.Window(2)},
        {"reset": np.arange(T) == 2},
        {"state": tuple(tg.Tensor(np.zeros((B, H)), requires_grad=True) for _ in "hc")},
    ],
    ids=lambda other: "".join(other),
)
def test_other_keys_for_what_needs_another_program(other: dict[str, Any]) -> None:
    assert key(**other) != key()


def test_parts_and_their_names() -> None:
    found = prepared(CELL, {"x": XS, "z": list(XS)}, None, tg.Subsequence(2), np.arange(T) == 3)
    assert isinstance(found, Sequence) and found.steps == T
    assert found.input_names == ("x", "z", "xi", "restart") and len(found.input_parts) == 4
    assert found.state_names == ["h", "c"] and not found.flat
    x, xi, restart = found.sample_input()
    assert x.keys() == {"x", "z"} and xi == 1.0 and not restart


def test_inputs_of_no_steps_have_their_shape() -> None:
    x = prepared(CELL, XS[:0], CELL.initial_state(B), None, None).sample_input()
    assert x.shape == (B, D) and "def forward" in tg.scan_source(
        CELL, XS[:0], CELL.initial_state(B)
    )


def test_steps_of_several_parts_as_unroll_takes_them() -> None:
    nested = [(x, {"a": 2 * x}) for x in XS]
    found = prepared(lambda x, h: h, nested, np.zeros((B, D)), None, None)
    for step, expected in zip(found.steps_of(iter(found.input_parts)), nested, strict=True):
        np.testing.assert_equal(step, expected)
