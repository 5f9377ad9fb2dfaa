"""Workspaces: the buffers of a program for one sequence length, and the run over its blocks."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.ir import Ref
from tinygrad_rnn.compiler.runtime.checkpoint import Advance, schedule
from tinygrad_rnn.compiler.runtime.plan import Plan
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.support.memory import keep_freed_memory


class Workspace:
    """The buffers of a program for one plan, and its two functions on them.

    A sequence runs in blocks of steps. Either every block has buffers, and all blocks are views
    into one array of states. Or there are buffers for one block only. Then the backward pass
    recomputes each block from the states that the plan keeps.
    """

    __slots__ = (
        *("arrays", "blocks", "busy", "current", "has_one_block", "kept", "owners", "plan"),
        "quiet",
    )

    def __init__(self, make: Callable[..., Any], states: tuple[Ref, ...], plan: Plan) -> None:
        keep_freed_memory()
        self.plan = plan
        self.has_one_block = plan.blocks == 1 and plan.keeps_blocks
        self.busy = False
        self.owners: list[Array] = []
        self.quiet: list[int] = []
        self.kept: list[tuple[int, list[Array]]] = []
        rows = [
            np.empty((plan.steps + 1 if plan.whole else 0, *ref.buffer.shape), ref.dtype)
            for ref in states
        ]
        self.arrays = [
            functools.reduce(lambda array, view: view.of(array), ref.views, row)
            for row, ref in zip(rows, states, strict=True)
        ]
        self.blocks: dict[int, tuple[Any, Any]] = {}
        self.current: dict[int, int] = {}  # whose numbers the buffers of a length hold
        self._make_blocks(make, rows)
        if plan.all_states:
            self.owners = rows
            self.quiet = self._references()

    def _make_blocks(self, make: Callable[..., Any], rows: list[Array]) -> None:
        plan = self.plan
        by_length: dict[int, tuple[Any, Any]] = {}
        shared = Shared()
        for n in range(plan.blocks):
            start, stop = plan.bounds(n)
            if plan.keeps_blocks:
                states = [row[start : stop + 1] for row in rows]
                self.blocks[n] = make(stop - start, *states, empty=shared.begin())
            else:
                if stop - start not in by_length:
                    by_length[stop - start] = make(stop - start)
                self.blocks[n] = by_length[stop - start]

    def is_free(self) -> bool:
        """Whether no graph needs the buffers and no array of the caller is a view of them."""
        return not self.busy and self._references() == self.quiet

    def _references(self) -> list[int]:
        return [sys.getrefcount(owner) for owner in self.owners]

    def forward(self, arrays: list[Array], inputs: int) -> tuple[Array, ...]:
        """The states of all steps, or the last states alone, from [*states, *inputs,
        *parameters]."""
        plan = self.plan
        if self.has_one_block and plan.all_states:
            return self.blocks[0][0](*arrays)  # type: ignore[no-any-return]
        count = len(self.arrays)
        state = arrays[:count]
        kept: dict[int, None] = {}
        if not plan.whole:
            kept = dict.fromkeys(plan.first_kept())
            self.kept = [(0, [np.array(part) for part in state])]
        for n in range(plan.blocks):
            states = self._run(n, state, arrays, inputs)
            start, stop = plan.bounds(n)
            state = [part[-1, ...] for part in states]
            if plan.keeps_blocks:
                continue
            if plan.all_states:
                for whole, part in zip(self.arrays, states, strict=True):
                    whole[start + 1 : stop + 1] = part
            elif n + 1 in kept:
                self.kept.append((n + 1, [part.copy() for part in state]))
        if not plan.all_states:
            return tuple([np.array(part) for part in state])
        for whole, first in zip(self.arrays, arrays[:count], strict=True):
            whole[0] = first
        return tuple([whole[1:] for whole in self.arrays])

    def _run(self, n: int, state: Any, arrays: list[Array], inputs: int) -> Any:
        """Run a block forward. Its buffers then hold what its backward pass needs."""
        start, stop = self.plan.bounds(n)
        self.current[stop - start] = n
        count = len(self.arrays)
        steps = [x[start:stop] for x in arrays[count : count + inputs]]
        return self.blocks[n][0](*state, *steps, *arrays[count + inputs :])

    def backward(
        self,
        seeds: list[Array | None],
        ends: list[Any],
        arrays: list[Array],
        inputs: int,
        windows: tuple[Any, ...] = (),
    ) -> tuple[Array | None, ...]:
        """The gradients of [*states, *inputs, *parameters].

        seeds: ∂L/∂h of each part for all steps. ends: the gradient that enters behind the last
            step. Each is None or 0 if there is none.
        """
        count = len(self.arrays)
        if self.has_one_block:
            back: Callable[..., tuple[Array | None, ...]] = self.blocks[0][1]
            return back(*(windows or ends), *seeds, *arrays[count:])
        totals: list[Any] = []
        for n in self._blocks_backwards(arrays, inputs):
            start, stop = self.plan.bounds(n)
            given = (*seeds, *arrays[count : count + inputs])
            parts = [None if x is None else x[start:stop] for x in given]
            found = list(self.blocks[n][1](*ends, *parts, *arrays[count + inputs :], n > 0))
            ends = [0 if end is None else end for end in found[:count]]
            if not totals:
                totals = [None] * count + [
                    None if g is None else np.empty((self.plan.steps, *g.shape[1:]), g.dtype)
                    for g in found[count : count + inputs]
                ]
                totals += map(writeable, found[count + inputs :])
            else:
                for i in range(count + inputs, len(totals)):
                    if totals[i] is not None:
                        totals[i] += found[i]  # in place, unless it is a single number
            for total, g in zip(totals[count:], found[count : count + inputs], strict=False):
                if g is not None:
                    total[start:stop] = g
            totals[:count] = found[:count]
        return tuple(totals)

    def _blocks_backwards(self, arrays: list[Array], inputs: int) -> Iterator[int]:
        """The blocks from the last to the first, each run forward again if it was not kept."""
        plan = self.plan
        if plan.keeps_blocks:
            yield from reversed(range(plan.blocks))
            return
        if plan.all_states:
            for n in reversed(range(plan.blocks)):
                start, stop = plan.bounds(n)
                if self.current[stop - start] != n:
                    self._run(n, [whole[start] for whole in self.arrays], arrays, inputs)
                yield n
            return
        ready = plan.first_kept()
        kept = [(n, [part.copy() for part in state]) for n, state in self.kept]
        for action in schedule(plan.blocks, plan.slots or 1):
            if isinstance(action, Advance):
                while kept[-1][0] > action.start and action.stop not in ready:
                    kept.pop()
                if action.stop not in ready:
                    at, state = kept[-1]
                    for n in range(at, action.stop):
                        state = [part[-1, ...] for part in self._run(n, state, arrays, inputs)]
                    kept.append((action.stop, [part.copy() for part in state]))
                continue
            ready = [n for n in ready if n < action.unit]
            while kept[-1][0] > action.unit:
                kept.pop()
            at, state = kept[-1]
            start, stop = plan.bounds(action.unit)
            if self.current[stop - start] != action.unit:
                for n in range(at, action.unit + 1):
                    state = [part[-1, ...] for part in self._run(n, state, arrays, inputs)]
            yield action.unit


class Shared:
    """Arrays for values that a block needs in one direction only. All blocks share them."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []
        self.given = 0

    def begin(self) -> Callable[..., Array]:
        """A function that makes arrays for the next block, which is no longer than the first."""
        self.given = 0
        return self._empty

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        if self.given == len(self.arrays):
            self.arrays.append(np.empty(shape, dtype))
        array = self.arrays[self.given]
        array = array[: shape[0]] if shape else array
        self.given += 1
        return array


def writeable(total: Any) -> Any:
    """An array that can be written to. The gradient of a mean or a sum is one number, broadcast."""
    is_fixed = isinstance(total, np.ndarray) and not total.flags.writeable
    return total.copy() if is_fixed else total
