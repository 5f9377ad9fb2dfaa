"""Runs: which instructions form one piece of machine code."""

from dataclasses import replace

import numpy as np
import pytest

from tests.compiler.native.test_reader import ref
from tests.compiler.programs import CASES
from tinygrad_rnn.compiler import operations
from tinygrad_rnn.compiler.backends.native.nests import Memory, Nest, Place, Span, Work
from tinygrad_rnn.compiler.backends.native.products import LARGEST
from tinygrad_rnn.compiler.backends.native.reader import ONCE, UnknownError, nest_of
from tinygrad_rnn.compiler.backends.native.runs import (
    WAYS,
    Arrangement,
    Item,
    Run,
    commute,
    copies_in,
    items_of_a_step,
    parts_of,
    shown,
)
from tinygrad_rnn.compiler.ir import Instr, Ref, When

a, b, c, d, e = (ref(name, 4) for name in "abcde")


def entry(source, target, known=True):
    work = Work("negative", (), (), "") if known else "a reason"
    return Instr(np.negative, (source,), target), work


def test_instructions_change_places_unless_one_needs_the_other():
    first, second, third = (entry(*pair)[0] for pair in ((a, b), (c, d), (b, c)))
    assert commute(first, second)
    assert not commute(first, third)  # reads what the first writes
    assert not commute(second, third)  # writes what the second reads


def test_supported_instructions_become_neighbours():
    entries = [entry(a, b), entry(a, c, known=False), entry(b, d)]
    parts = parts_of(entries)
    assert sorted(map(len, parts)) == [1, 2]
    needed = [entry(a, b), entry(b, c, known=False), entry(c, d)]
    assert [len(part) for part in parts_of(needed)] == [1, 1, 1]


def test_a_single_instruction_stays_in_numpy():
    (item,) = items_of_a_step([entry(a, b)])
    assert item.nest is None and "no other instruction" in item.reason
    (item,) = items_of_a_step([entry(a, b), entry(b, c)])
    assert item.each_step and len(item.nest.works) == 2
    (item,) = items_of_a_step([entry(a, b, known=False)])
    assert item.reason == "a reason"


def program(name):
    from tests.compiler.native.test_programs import Compiled

    return Compiled(CASES[name]()).program


def test_the_order_is_kept():
    """Every item comes after those that it does not commute with, as in the program."""
    for name in ("lstm", "einsum", "attention", "window"):
        given = program(name)
        arrangement = Arrangement(given, Memory(), 1)
        for way in WAYS:
            found = [
                item
                for entry in arrangement.lists[way]
                for item in (entry.items if isinstance(entry, Run) else (entry,))
            ]
            instrs = list(getattr(given, way).all())
            where = {id(i): n for n, item in enumerate(found) for i in item.instrs}
            for n, first in enumerate(instrs):
                for second in instrs[n + 1 :]:
                    if id(first) in where and id(second) in where and not commute(first, second):
                        assert where[id(first)] <= where[id(second)], (name, shown(first))


def test_what_is_left_to_numpy_has_a_reason():
    lines = Arrangement(program("einsum"), Memory(), 1).left_to_numpy()
    assert any("einsum is none of its functions" in line for line in lines)
    assert all(line.startswith(WAYS) for line in lines)


def test_what_is_set_up_once_is_seen_by_numpy():
    from tests.compiler.native.test_programs import MORE, Compiled

    given = Compiled(MORE["ones_beside_the_state"]()).program
    outs = {out.buffer.root for instr in given.setup for out in instr.writes()}
    assert outs and outs <= Arrangement(given, Memory(), 1).seen_by_numpy


def test_copies_of_parameters():
    given = program("rnn")
    for way in WAYS:
        for buffer, source in copies_in(given, way).items():
            assert source.buffer in given.parameters
            (maker,) = [i for i in getattr(given, way).constants if i.writes()[0].buffer is buffer]
            assert maker.function is operations.copy


def test_an_item_that_does_not_commute():
    items = [Item("before", (entry(*pair)[0],), None) for pair in ((a, b), (b, c), (d, e))]
    assert not items[0].commutes(items[1]) and items[0].commutes(items[2])
    assert items[0].reads() == {a.buffer} and items[0].writes() == {b.buffer}


def test_what_is_not_worth_machine_code():
    given = program("rnn")
    arrangement = Arrangement(given, Memory(), 1)
    h, y, weights = ref("h", 3, 4), ref("y", 3, LARGEST), ref("W", 4, LARGEST)
    argument = Ref(given.parameters[0])
    for instr, reason in (
        (Instr(np.matmul, (h, weights), y), "a product with a large matrix"),
        (Instr(operations.copy, (argument,), ref("a", *argument.buffer.shape, dtype=float)),
         "a copy of an argument"),
    ):  # fmt: skip
        with pytest.raises(UnknownError, match=reason):
            arrangement.refuse(instr, nest_of(instr, "", Memory(), {}))


def test_what_no_step_can_do_alone():
    arrangement = Arrangement(program("rnn"), Memory(), 1)
    every = [ref(name, 4, when=When.ALL) for name in "ab"]
    with pytest.raises(UnknownError, match="all steps within one step"):
        arrangement.of_a_step("forward", Instr(np.negative, (every[0],), every[1]), set())
    h, weights, y = ref("h", 3, 4), ref("W", 4, 5), ref("y", 3, 5)
    product = Instr(np.matmul, (h, weights), y)
    assert arrangement.of_a_step("forward", product, set()).kind == "product"
    with pytest.raises(UnknownError, match="a matrix that changes from step to step"):
        arrangement.of_a_step("forward", product, {weights.buffer})


def test_a_seed_that_is_read_twice_has_one_stand_in():
    arrangement = Arrangement(program("rnn"), Memory(), 1)
    seed = replace(ref("seed", 4), seeded=True)
    (one, other), *_ = [arrangement.without_seeds(Instr(np.add, (seed, seed), a)).args]
    assert one == other and not one.seeded and list(arrangement.seeded.values()) == [seed]


def test_what_stays_in_numpy_reads_the_seed_itself():
    arrangement = Arrangement(replace(program("rnn"), windows=True), Memory(), 1)
    seed = replace(ref("seed", 4), seeded=True)
    (item,) = arrangement.loop("backward", (Instr(np.negative, (seed,), a),))
    assert item.nest is None and item.instrs[0].args == (seed,)
    both = Instr(np.negative, (seed,), a), Instr(np.negative, (a,), b)
    (item,) = arrangement.loop("backward", both)
    assert item.nest is not None and not item.instrs[0].args[0].seeded


def test_sums_over_the_steps_wait_for_what_does_not_need_them():
    def nest(kind, source, target):
        work = Work(kind, (place(buffer(source, 3, 4)),), (place(buffer(target, 3, 4)),), "")
        return Nest(ONCE, (work,), False)

    buffers = {}

    def buffer(name, *shape):
        return buffers.setdefault(name, ref(name, *shape).buffer)

    def place(of):
        return Place(of, Span(0, 0), 0, 3, 4, (4, 1))

    arrangement = Arrangement(program("rnn"), Memory(), 1)
    total, free, needing = (
        nest("time_sum", "a", "b"),
        nest("copy", "c", "d"),
        nest("copy", "b", "e"),
    )
    assert arrangement.sums_last([total, free]) == [free, total]
    assert arrangement.sums_last([total, free, needing]) == [total, free, needing]
