"""What an instruction reads and writes."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Instr, Ref, Sections, Storage, When

FLOAT = np.dtype(float)
H = Buffer("h", (2, 8), FLOAT, Storage.STATE, 1)


def test_what_binds_a_name_and_what_writes() -> None:
    result = Buffer("dW", (2, 8), FLOAT, Storage.RESULT)
    a, out = Ref(H, When.FIRST), Ref(result)
    assert Instr(np.tanh, (a,), out).binds()
    assert not Instr(np.tanh, (a,), Ref(H, When.LAST)).binds()
    instr = Instr(np.add, (a, [out]), Ref(H, When.LAST))
    assert list(instr.reads()) == [a, out] and instr.writes() == (Ref(H, When.LAST),)


def test_sections_are_in_the_order_of_execution() -> None:
    instrs = [Instr(np.tanh, (), Ref(H, When.FIRST)) for _ in range(4)]
    sections = Sections(*((instr,) for instr in instrs))
    assert list(sections.all()) == instrs and list(sections) == [(instr,) for instr in instrs]
