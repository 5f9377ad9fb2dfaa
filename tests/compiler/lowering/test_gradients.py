"""What a step takes from the loss and from the link, and what is left at the beginning."""

from __future__ import annotations

import numpy as np

from tests.compiler.lowering.programs import functions, lowered
from tinygrad_rnn.compiler.ir import Ref
from tinygrad_rnn.compiler.operations import copy, over_lanes, with_end


def test_what_a_step_takes_from_the_loss_and_from_the_link() -> None:
    program = lowered("rnn")
    first = program.backward.loop[0]
    (link,) = program.links
    assert first.function is np.add and first.args[0] == Ref(link)
    assert program.backward.loop[-1].function is copy
    assert program.backward.loop[-1].writes() == (Ref(link),)


def test_outputs_get_what_comes_from_behind_the_last_step() -> None:
    program = lowered("output_layer")
    assert with_end in functions(program.backward.before)
    assert program.outputs == {1} and program.output_grads == {0}


def test_entries() -> None:
    assert functions(lowered("rnn").entry) == [np.copy]
    assert functions(lowered("window").entry) == [over_lanes]
    assert functions(lowered("rnn_one_row").entry) == [np.matmul]
    alone = lowered("loss_alone_one_row")
    assert functions(alone.entry) == [np.matmul] and functions(alone.block_entry) == [np.copy]
