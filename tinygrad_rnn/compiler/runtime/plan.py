"""The plan for a sequence: the blocks of steps, and the states to keep."""

from __future__ import annotations

from itertools import takewhile
from typing import NamedTuple

from tinygrad_rnn.compiler.frontend.request import Sequence
from tinygrad_rnn.compiler.runtime.checkpoint import Advance, schedule
from tinygrad_rnn.recurrent.truncation import Windows


class Plan(NamedTuple):
    """The blocks and the kept states of a run over one sequence.

    steps: T. block: the number of steps per block. slots: the number of states to keep; None keeps
        everything that the backward pass needs. all_states: whether the caller gets the states of
        all steps.
    """

    steps: int
    block: int
    slots: int | None
    all_states: bool

    @property
    def blocks(self) -> int:
        return -(-self.steps // self.block)

    @property
    def keeps_blocks(self) -> bool:
        return self.slots is None

    @property
    def whole(self) -> bool:
        """Whether one array holds the states of all steps."""
        return self.keeps_blocks or self.all_states

    def bounds(self, n: int) -> tuple[int, int]:
        return n * self.block, min(self.steps, (n + 1) * self.block)

    def first_kept(self) -> list[int]:
        """The blocks whose entering states are kept in the first forward pass."""
        actions = schedule(self.blocks, self.slots or 1)
        ahead = takewhile(lambda action: isinstance(action, Advance), actions)
        return [0, *(action[-1] for action in ahead)]  # where each run stops


ROWS, STEPS = 768, 48
"""The size of a block: ROWS rows, that is steps times sequences. This is enough for large products,
and few enough to stay in the cache and to need little memory besides the states. A block has up to
twice as many rows to reach STEPS steps, because each block costs some calls of its own."""

NATIVE_ROWS = 4 * ROWS
"""The same for machine code. What one step reads of another stays in the cache there, and each
block costs more: the weights are packed anew, and threads wait for one another. At 1000 steps of 16
sequences two threads take 0.82 of the time; one thread takes the same time, or 2 % less."""


def even(T: int, length: int) -> int:
    """A block length near the wanted one, for which the last block is not much shorter than the
    others: a short block would cost as much as a full one."""
    return -(-T // max(1, round(T / length)))


def planned(
    sequence: Sequence,
    state_bytes: int,
    step_bytes: int,
    checkpoint: int | str | None,
    budget: float,
    block: int | None,
    outputs: str,
    *,
    most: int = ROWS,
) -> Plan:
    """The blocks and slots for the requested options. most: the rows of a block."""
    if outputs not in ("all", "last"):
        raise ValueError(f'outputs must be "all" or "last", not {outputs!r}')
    if checkpoint not in (None, "auto") and type(checkpoint) is not int:
        raise TypeError(
            f'checkpoint must be a number of states, "auto" or None, not {checkpoint!r}'
        )
    if isinstance(checkpoint, int) and checkpoint < 1:
        raise ValueError(f"checkpoint must be at least 1 state, not {checkpoint}")
    if block is not None and block < 1:
        raise ValueError(f"block must be at least 1 step, not {block}")
    if checkpoint == "auto" and not budget > 0:
        raise ValueError(f"budget must be a positive number of bytes, not {budget}")
    budget = int(min(budget, 2**62))
    T = sequence.steps
    if isinstance(sequence.truncation, Windows):
        if checkpoint is not None or outputs == "last":
            raise ValueError(
                f'checkpoint and outputs="last" do not work with {sequence.truncation!r}, under '
                f"which all states are kept: use tg.Full, tg.Subsequence or another tg.Links"
            )
        return Plan(T, T, None, True)
    first = sequence.state_parts[0]
    batch = len(first) if first.ndim else 1
    rows = most // max(1, batch)
    chosen = block or even(T, max(16, rows, min(2 * rows, STEPS)))
    slots = checkpoint
    if slots == "auto":
        if block is None:
            chosen = max(1, min(chosen, budget // 2 // step_bytes))
        left = budget - chosen * step_bytes
        slots = max(1, left // max(1, state_bytes))
        if left < state_bytes:
            raise ValueError(
                f"a budget of {budget} bytes is too small: a block of {chosen} steps takes "
                f"{step_bytes} bytes a step, and a state {state_bytes} bytes"
            )
    assert slots is None or isinstance(slots, int)
    chosen = min(chosen, T)
    if slots is not None:
        slots = min(slots, -(-T // chosen))
    return Plan(T, chosen, slots, outputs == "all")
