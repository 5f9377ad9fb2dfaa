"""Forward and back through a sequence, without a graph: for training, where time counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import Captures
from tinygrad_rnn.compiler.frontend.request import Sequence, prepared
from tinygrad_rnn.compiler.runtime.lanes import schedule
from tinygrad_rnn.compiler.runtime.program import LENGTHS, Program
from tinygrad_rnn.compiler.runtime.scan import program_for, scan
from tinygrad_rnn.compiler.runtime.workspace import Workspace
from tinygrad_rnn.engine.backward import add_gradients
from tinygrad_rnn.engine.graph import Leaf
from tinygrad_rnn.engine.recording import current_mark
from tinygrad_rnn.engine.substitution import contents_lock
from tinygrad_rnn.engine.table import on_rule_change
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten as leaves_of
from tinygrad_rnn.engine.trees import unflatten
from tinygrad_rnn.recurrent.state import map_state
from tinygrad_rnn.recurrent.truncation import Full, Truncation, Windows
from tinygrad_rnn.recurrent.unroll import checked


class Ready(NamedTuple):
    """What serves all sequences of one form.

    weights: ∂L/∂l_t = 1/T. seeds: the gradients of all parts of the state, of which only the last
    is given one. windows: the lanes. entering: what is asked of the initial state. nested: brings
    the parts of a state into its form.
    """

    program: Program
    space: Workspace
    weights: Any
    seeds: list[Any]
    windows: tuple[Any, ...]
    entering: str
    nested: Callable[[Iterator[Any]], Any]


class Propagation:
    """Forward and backward propagation through time in one call, without a graph: for training.

    model: a `WithLoss`, or another cell whose state ends with the loss at the step, one number
        that no step reads.
    truncation: how far the gradient of each loss goes back; None is `Full()`.
    block: how many steps are gone through at once, as for `scan`.

    Called with a sequence, and a state to begin with and rows to reset if there are any, as `scan`
    is, it returns the loss L = 1/T Σ_t l_t and the last state, its parts plain arrays, to go on
    with; and it adds the gradient of L to the `.grad` of every leaf that needs one, as `backward`
    does. Inside `no_grad` it returns the same and leaves the gradients as they are.

    These are the values and gradients of `np.mean(losses).backward()` after `scan`, by the same
    kind of program, and no node is recorded. Each call looks whether the model is still what it
    was. Buffers are kept for the next sequence, so two threads need two of them.

    Raises TypeError for a state without such a loss, and for a parameter that was computed from
    others, to which its gradient would have to flow on; ValueError for a sequence of no steps.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> cell = tg.RNNCell(3, 4, rng=0)
    >>> W_hq = tg.Tensor(np.ones((4, 2)), requires_grad=True)
    >>> model = tg.WithLoss(cell, lambda h, y: tg.cross_entropy(h @ W_hq, y))
    >>> propagation = tg.Propagation(model)
    >>> loss, last = propagation({"x": np.ones((5, 2, 3)), "y": np.zeros((5, 2), int)})
    >>> cell.W_hh.grad.shape, W_hq.grad.shape
    ((4, 4), (4, 2))
    """

    def __init__(
        self, model: Any, truncation: Truncation | None = None, *, block: int | None = None
    ) -> None:
        self._model, self._block = model, block
        self._truncation = None if truncation is None else checked(truncation)
        self.captured = Captures(model, watching=True)
        self.ready: dict[Any, Ready] = {}
        PROPAGATIONS.add(self)

    def __call__(self, xs: Any, state: Any = None, reset: Any = None) -> tuple[Any, Any]:
        mark = current_mark()
        watched = mark is not None and mark.watch is not None and mark.watch.is_open
        return (recorded if watched else propagated)(self, xs, state, reset)

    def __repr__(self) -> str:
        return f"Propagation({self.model!r}, {self.truncation!r})"

    @property
    def model(self) -> Any:
        """What it propagates through."""
        return self._model

    @property
    def truncation(self) -> Truncation:
        """How far the gradient of each loss goes back."""
        return self._truncation or Full()

    def ready_for(self, sequence: Sequence) -> Ready:
        """What serves a sequence of this form; made, if it is the first one."""
        if not self.captured.unchanged():
            before, self.captured = self.captured, Captures(self._model, watching=True)
            if self.captured.key != before.key:
                self.ready.clear()
        key = sequence.key, sequence.steps
        ready = self.ready.get(key)
        if ready is None:
            if len(self.ready) >= LENGTHS:
                del self.ready[next(iter(self.ready))]
            ready = self.ready[key] = self._made_ready(sequence)
        return ready

    def arguments(self, sequence: Sequence) -> list[Any]:
        """What the program is run on, Tensors and arrays."""
        return [*sequence.state_parts, *sequence.input_parts, *self.captured.arrays]

    def _made_ready(self, sequence: Sequence) -> Ready:
        T, truncation, losses = sequence.steps, sequence.truncation, sequence.state_parts[-1]
        if T == 0:
            raise ValueError("the mean of no losses is not defined: the sequence has no steps")
        program = program_for(sequence, self.captured)
        if losses.shape != () or not program.outputs_last:
            raise TypeError(
                f"the state must end with the loss at the step, one number that no step reads, as "
                f"that of tg.WithLoss(cell, loss) does; its last part has the shape {losses.shape}"
                + (", and a step reads it" if losses.shape == () else "")
            )
        given = self.arguments(sequence)
        for tensor in (given[i] for i in program.wanted):
            if not isinstance(tensor.node, Leaf):
                raise TypeError(
                    f"{tensor.name or 'a Tensor'} of shape {tensor.shape} was computed from "
                    f"others, and without a graph its gradient cannot flow on to them: use "
                    f"tg.scan and backward"
                )
        plan = program.plan(sequence, None, 0, self._block, "all")
        state, weights = sequence.state, np.full(T, 1 / T, losses.dtype)
        is_plain = type(state) is tuple and all(type(part) is Tensor for part in state)
        seeds = [program.no_gradient(n, T) for n in range(len(sequence.state_parts) - 1)]
        return Ready(
            program,
            Workspace(program.make, program.layouts, plan),
            weights,
            [*seeds, weights],
            schedule(truncation, T) if isinstance(truncation, Windows) else (),
            "state" if any(i <= len(seeds) for i in program.wanted) else "",
            tuple if is_plain else partial(unflatten, map_state(lambda _: 0, state)),
        )


PROPAGATIONS: WeakSet[Propagation] = WeakSet()


def forget(function: Any, rule: Any) -> None:
    """The programs were written with the old rules."""
    for propagation in PROPAGATIONS:
        propagation.ready.clear()


on_rule_change.append(forget)


def propagated(propagation: Propagation, xs: Any, state: Any, reset: Any) -> tuple[Any, Any]:
    """Forward and back by the program."""
    with contents_lock:
        sequence = prepared(
            propagation._model, xs, state, propagation._truncation, reset, loss_alone=True
        )
        ready = propagation.ready_for(sequence)
        program, space, weights, seeds, windows, entering, nested = ready
        given = propagation.arguments(sequence)
        arrays = [t._data if type(t) is Tensor else t for t in given]
        leaves = [given[i]._node for i in program.wanted]
    inputs = len(sequence.input_parts)
    stacked = space.forward(arrays, inputs)
    loss = weights.dot(stacked[-1])
    last = nested(iter([states[-1].copy() for states in stacked]))
    if current_mark() is not None:
        found = space.backward(seeds, [0] * len(seeds), arrays, inputs, windows, entering)
        add_gradients(leaves, [found[i] for i in program.wanted])
    return loss, last


def recorded(propagation: Propagation, xs: Any, state: Any, reset: Any) -> tuple[Any, Any]:
    """The same by `scan` and `backward`, with a graph: for whoever wants to look at it."""
    options = propagation._truncation, reset
    states, last = scan(propagation._model, xs, state, *options, block=propagation._block)
    loss = np.mean(leaves_of(states)[-1])
    if loss.requires_grad:
        loss.backward()
    return loss._data, map_state(lambda h: h._data.copy(), last)
