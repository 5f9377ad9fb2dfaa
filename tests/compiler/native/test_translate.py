"""Translation: a program with machine code is a program, with no array that nothing uses."""

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from tests.compiler.native.test_programs import EVERY, Compiled
from tests.compiler.programs import Case
from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends import interpreter
from tinygrad_rnn.compiler.backends.native import results
from tinygrad_rnn.compiler.backends.native.links import Link, called
from tinygrad_rnn.compiler.backends.native.loops import Form
from tinygrad_rnn.compiler.backends.native.translate import WORKING, Translation, buffers_in

NAMES = ("rnn", "lstm_one_row", "einsum", "window_lstm", "loss_alone", "masked")


@pytest.mark.parametrize("name", NAMES)
def test_every_array_is_used(name):
    result = Translation(Compiled(EVERY[name]()).program).result()
    used = buffers_in([*result.setup, *result.forward.all(), *result.backward.all()])
    assert not [b for b in result.buffers if b.storage in WORKING and b not in used]
    own = {b for b in used if b.storage in WORKING and b.shares is None}
    assert own == {b for b in result.buffers if b.storage in WORKING and b.shares is None}


@pytest.mark.parametrize("name", NAMES)
def test_every_call_has_its_link(name):
    result = Translation(Compiled(EVERY[name]()).program).result()
    made = {out.buffer for i in result.setup if isinstance(i.function, Link) for out in i.writes()}
    calls = [i for s in (result.forward, result.backward) for i in s.all() if i.function is called]
    assert calls and all(call.args[0].buffer in made for call in calls)


def test_copies_for_products_are_dropped():
    """NumPy needs W_hhᵀ as an array of its own. The packed form is made of W_hh itself."""
    program = Compiled(EVERY["rnn"]()).program
    before, after = (
        [i for i in p.backward.constants if i.function is operations.copy]
        for p in (program, Translation(program).result())
    )
    assert len(after) < len(before)


def test_parts_for_threads():
    """All sums over the steps are one part, after the loop."""
    functions = Translation(Compiled(EVERY["wide_loss_float32"]()).program, threads=2).functions
    parts = functions["backward_1"]
    assert parts[0] == ("backward_1_pack", Form.WHOLE) and parts[-1].form is Form.DIVIDED
    assert [part.form for part in parts].count(Form.DIVIDED) == 2


def test_a_program_without_machine_code_stays_as_it_is():
    case = Case(lambda x, h: np.einsum("bi,bi->bi", x, h), np.ones((3, 2, 4)), np.ones((2, 4)))
    program = Compiled(case).program
    assert Translation(program).result() is program


def test_results_that_are_not_kept_are_made_for_each_call(monkeypatch):
    monkeypatch.setattr(results, "KEPT", 0)
    compiled = Compiled(EVERY["rnn"]())
    result = Translation(compiled.program).result()
    made = {i.out for i in result.backward.all() if i.function is np.empty}
    assert made and made <= {*result.backward.result}
    compiled.check(interpreter.maker(result)(compiled.steps))
