"""Whole programs: lanes for windows, and no buffer that nobody uses."""

from __future__ import annotations

import pytest

from tests.compiler.lowering.programs import lowered
from tests.compiler.programs import CASES
from tinygrad_rnn.compiler.ir import Storage


def test_windows_have_lanes() -> None:
    program = lowered("window_lstm")
    assert all(b is not None and b.storage is Storage.LANE for b in program.links)
    seeded = [ref for i in program.backward.loop for ref in i.reads() if ref.seeded]
    assert {ref.buffer.name for ref in seeded} == {"dL_dh_here", "dL_dc_here"}


@pytest.mark.parametrize("name", CASES)
def test_every_buffer_is_used_or_given(name: str) -> None:
    program = lowered(name)
    instrs = [*program.setup, *program.forward.all(), *program.backward.all()]
    used = {ref.buffer for instr in instrs for ref in (*instr.reads(), *instr.writes())}
    given = {*program.initial, *program.inputs, *program.parameters, *program.ends, *program.seeds}
    assert set(program.buffers) - given - {*program.states, *program.links} <= used
    assert used <= set(program.buffers)
