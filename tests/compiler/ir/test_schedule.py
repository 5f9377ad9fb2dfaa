"""Phases, and what a call for all steps reads."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import AtOnce, Operand, Phase, Phases, Value
from tinygrad_rnn.compiler.operations import filled
from tinygrad_rnn.compiler.passes.rewrite import call


def test_phases() -> None:
    phases = Phases(("a",), ("b", "c"), (), ("d",))
    assert phases.of(Phase.BEFORE) == ("b", "c") and list(phases)[3] == ("d",)
    assert phases.phase_of()["c"] is Phase.BEFORE and len(phases.phase_of()) == 4


def test_a_call_for_all_steps_reads_what_its_sums_read() -> None:
    a, b = Value((2,), np.dtype(float), "a"), Value((2,), np.dtype(float), "b")
    ones = call(filled, (2,), 1, np.dtype(float))
    inner = AtOnce(a, np.sum, (Operand(a),), {"axis": 0})
    outer = AtOnce(b, np.add, (Operand(inner), [Operand(b), Operand(ones)], 3))
    assert list(outer.reads()) == [(a, Phase.AFTER), (b, Phase.AFTER)]
    assert list(AtOnce(a, None).reads()) == [(a, Phase.LOOP)]  # it is accumulated
