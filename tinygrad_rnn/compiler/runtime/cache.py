"""The cache of compiled programs, keyed by cell and arguments. Stale programs are renewed.

The key holds everything that is known of the cell and of the arguments. A walk over the cell cannot
see everything, such as a file that the cell reads. Tracing the cell again finds such changes. This
happens at the calls 2, 4, 8, 16, ... of a program, or at every call with `verify`.
"""

from __future__ import annotations

import types
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from tinygrad_rnn.compiler.backends import NUMPY, Backend
from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.compiler.frontend.places import Contents
from tinygrad_rnn.compiler.frontend.recognition import KNOWN
from tinygrad_rnn.compiler.frontend.refusals import TraceError
from tinygrad_rnn.compiler.frontend.request import Sequence
from tinygrad_rnn.compiler.frontend.trace import trace_once
from tinygrad_rnn.compiler.runtime.program import Program
from tinygrad_rnn.engine.recording import no_grad
from tinygrad_rnn.engine.table import on_rule_change
from tinygrad_rnn.recurrent.unroll import unroll


class StaleProgramWarning(UserWarning):
    """A cell no longer computes what its program computes; the program was renewed."""


PROGRAMS: dict[Any, list[Program]] = {}
"""The programs by the key of cell and arguments. A key has several programs where each is valid for
certain numbers only."""

KEPT = 64
"""The number of keys that are kept. The oldest is dropped first."""

VARIANTS = 8
"""The number of programs that are kept for one key."""

ON_CLEAR: list[Callable[[], None]] = [PROGRAMS.clear, KNOWN.clear]
"""The functions that forget programs. `clear_programs` calls them."""


def clear_programs() -> None:
    """Free all compiled programs and their buffers. The next call of each cell compiles it anew.

    The buffers of a program are also freed with the cell that the program last ran for.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> states, last = tg.scan(tg.RNNCell(3, 4, rng=0), np.ones((5, 2, 3)))
    >>> tg.clear_programs()
    """
    for forget in ON_CLEAR:
        forget()


def program_for(
    sequence: Sequence, captured: CellKey, backend: Backend = NUMPY, verify: bool = False
) -> Program:
    """The program for a cell of this structure and inputs of these shapes, compiled if it is new.

    verify: whether to trace the cell again, whatever the number of the call.
    """
    key = (captured.key, sequence.key, backend)
    for program in PROGRAMS.get(key, ()):
        if not program.witness.pinned or program.witness.holds_for(captured.arrays):
            program = up_to_date(program, sequence, captured, verify)
            break
    else:
        program = compiled(sequence, captured, backend)
        keep(program, (captured.key, sequence.key, backend))
    tie(program, captured)
    program.complete(sequence)
    return program


def program_named(sequence: Sequence, captured: CellKey, backend: Backend) -> Program:
    """The program for display, with the names of this cell."""
    program = program_for(sequence, captured, backend)
    if program.witness.names != tuple(captured.names):
        program = compiled(sequence, captured, backend)
    return program


def still_serves(program: Program, sequence: Sequence, captured: CellKey) -> bool:
    """Whether a program found before still fits the same sequence and cell. Called once per run."""
    if program.witness.pinned and not program.witness.holds_for(captured.arrays):
        return False
    return up_to_date(program, sequence, captured) is program


def goes_on(program: Program) -> bool:
    """Whether the next run of a program depends on a check of the cell alone. Such a run is counted
    here. Other runs are left to `still_serves`."""
    following = program.runs + 1
    if program.witness.pinned or not following & (following - 1):
        return False
    program.runs = following
    return True


def keep(program: Program, key: Any) -> None:
    if key not in PROGRAMS and len(PROGRAMS) >= KEPT:
        del PROGRAMS[next(iter(PROGRAMS))]
    program.key = key
    PROGRAMS[key] = [program, *PROGRAMS.get(key, ())][:VARIANTS]


def compiled(sequence: Sequence, captured: CellKey, backend: Backend = NUMPY) -> Program:
    """A new program. Any error within the compiler becomes a TraceError, because a cell that runs
    is not at fault."""
    carried = Contents(CellKey(captured.cell).containers)
    try:
        return compiled_as_it_is(sequence, captured, backend)
    except Exception as problem:
        carried.restore_all()
        if isinstance(problem, TraceError) or not runs(sequence):
            raise
        raise TraceError(
            f"the cell cannot be compiled, because the compiler failed with "
            f"{type(problem).__name__} ({problem})"
        ) from problem


def compiled_as_it_is(sequence: Sequence, captured: CellKey, backend: Backend) -> Program:
    """A new program for a cell that does not change, or that changes at its first call only. A cell
    that changes at every call is a TraceError."""
    failure: TraceError | None = None
    for _ in range(2):
        before = captured.key
        try:
            program, failure = Program(sequence, captured, backend), None
        except TraceError as problem:
            failure = problem
        captured.walk()
        if captured.key == before:
            break
    else:
        failure = failure or TraceError(
            f"the cell changes a value that it holds at every call"
            f"{changed_name(before, captured.key)}, which a program does not",
            "make the value a part of the state",
        )
    if failure is not None:
        raise failure
    return program


def changed_name(before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
    """The name, in brackets, under which a cell carries the thing that differs."""
    for n, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            names = (part for part in reversed(before[:n]) if isinstance(part, str))
            return next((f" ({name})" for name in names if name.isidentifier()), "")
    return ""


def runs(sequence: Sequence) -> bool:
    """Whether the cell can run one step without the compiler."""
    try:
        with no_grad():
            unroll(sequence.step_cell, [sequence.sample_input()], sequence.state)
    except Exception:
        return False
    return True


def up_to_date(
    program: Program, sequence: Sequence, captured: CellKey, verify: bool = False
) -> Program:
    """The program itself while it agrees with the cell, else a new program, with a warning.

    Called once for every run.
    """
    program.runs += 1
    if program.runs & (program.runs - 1) and not verify:
        return program
    found = trace_once(sequence.for_trace(captured)).witness
    change = program.witness.difference(found)
    if change is None:
        return program
    *_, backend = program.key
    fresh = compiled(sequence, captured, backend)
    if not program.warned:
        warnings.warn(
            f"{sequence.name()} no longer computes what it did when it was compiled ({change}), "
            f"and the cause cannot be watched, so earlier runs may have used the old program: hold "
            f"what changes as an attribute of the cell or a variable that it reads, pass it in xs, "
            f"or use tg.scan with verify=True",
            StaleProgramWarning,
            stacklevel=4,
        )
    fresh.warned = True
    programs = PROGRAMS.get(program.key, [])
    if program in programs:
        programs.remove(program)
    keep(fresh, (captured.key, sequence.key, backend))
    return fresh


def tie(program: Program, captured: CellKey) -> None:
    """Free the buffers of a program together with the cell that it last ran for."""
    owner: Any = captured.arrays[0] if captured.arrays else captured.cell
    if isinstance(owner, types.MethodType):
        owner = owner.__self__
    if program.owner is None or program.owner() is not owner:
        try:
            program.owner = weakref.ref(owner, partial(release, weakref.ref(program)))
        except TypeError:
            program.owner = None


def release(program: weakref.ref[Program], owner: Any) -> None:
    kept = program()
    if kept is not None and kept.owner is owner:
        kept.spaces.clear()


def forget_old_rules(function: Any, rule: Any) -> None:
    """Forget all programs, because they contain the old derivative rules."""
    clear_programs()


on_rule_change.append(forget_old_rules)
