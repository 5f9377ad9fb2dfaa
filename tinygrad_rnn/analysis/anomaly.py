"""Where NaN and infinity come from: a look at every value as it is made, and at every gradient.

A block writes a `Watch` on the mark under which the engine records (`engine/recording.py`). The
engine shows it every value, and lets it go through the reverse pass.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_rnn.analysis import diagnosis
from tinygrad_rnn.analysis.diagnosis import Call
from tinygrad_rnn.compiler.frontend.refusals import user_frame
from tinygrad_rnn.compiler.runtime.scan import ScanRun, adjoints_of, rerun, run_of
from tinygrad_rnn.engine.apply import unwrap
from tinygrad_rnn.engine.backward import (
    Pull,
    plain_pass,
    pull_on_arrays,
    pull_on_tensors,
    under_mark_of,
)
from tinygrad_rnn.engine.graph import Array, Edge, Node
from tinygrad_rnn.engine.recording import current_mark, marked
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten


@contextmanager
def anomaly(infinite: bool = True) -> Iterator[None]:
    """Inside, the first value or gradient that is not finite raises, and says where it was made.

    infinite: whether infinities count. With False only NaN does: for computations that mean their
        infinities, such as masks of −inf before a softmax.
    Raises FloatingPointError, with the function, the values that went in and their ranges, the
    time step (counted from 0), the scope and the line of your code; for a gradient, with the
    argument that it belongs to. If a NaN was given (as data, or in a parameter), it says that.

    Forward, whatever is computed from Tensors while recording is looked at; backward, every use's
    contribution and every sum of them. So uses of a weight are summed one by one inside, and all
    is slower; outside of a block it costs nothing. A `scan` is one value: if its states or its
    gradients are not finite, it is run again with `unroll`, to find the step. NumPy's own warnings
    of overflow and the like are silent inside. Blocks nest, and each thread has its own.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> w = tg.Tensor([4.0, 0.0], requires_grad=True, name="w")
    >>> with tg.anomaly(), tg.step(3):
    ...     np.sum(np.sqrt(w)).backward()
    Traceback (most recent call last):
    FloatingPointError: the gradient that sqrt at step 3 (...) passes back to its argument x, w of
    shape (2,), has 1 infinite entry of 2, though the gradient that came to sqrt, with entries of
    1, is finite: it divided by zero, so keep the argument away from there, for example by adding
    a small constant
    """
    watch = Watch(_not_finite if infinite else np.isnan)
    mark = current_mark()
    errors = np.geterr()
    ignored = np.errstate(over="ignore", divide="ignore", invalid="ignore")
    try:
        with marked(mark and mark.watched_by(watch)), ignored:
            yield
    finally:
        watch.is_open = False
        np.seterr(**errors)  # once more: Ctrl-C may have kept errstate from it


def _not_finite(array: Array) -> Array:
    return ~np.isfinite(array)


LINES: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
"""Where in the user's code nodes were recorded."""


class Watch:
    """What a block looks for, and what the engine shows it.

    wrong: the function that finds it. is_open: until the block ends; nodes that were recorded
    inside keep the watch on their marks. looks_at_values: not while pull-backs compute, for these
    values are not the user's.
    """

    def __init__(self, wrong: Callable[[Array], Array]) -> None:
        self.wrong, self.is_open, self.looks_at_values = wrong, True, True

    @contextmanager
    def _looking_at_values(self, value: bool) -> Iterator[None]:
        before = self.looks_at_values
        try:
            self.looks_at_values = value
            yield
        finally:
            self.looks_at_values = before

    def finds(self, value: Any) -> bool:
        """Whether there is anything wrong with the numbers in a value."""
        return any(self.wrong(a).any() for a in diagnosis.numbers_in(value))

    # Forward ------------------------------------------------------------------------------

    def value(
        self, result: Any, function: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        """Look at what a call returned."""
        mark = current_mark()
        if not self.is_open or mark is None:
            return
        for value in flatten(result):
            if type(value) is Tensor:
                line = user_frame() or ""
                if value._node is not None:
                    LINES.setdefault(value._node, line)
                if self.looks_at_values and self.finds(value):
                    self._refuse_value(value, Call(function, args, kwargs, mark, line))

    def _refuse_value(self, value: Tensor, call: Call) -> None:
        for argument in call.arguments:
            if self.finds(argument):
                run = run_of(argument.node) if isinstance(argument, Tensor) else None
                if run is not None:
                    self._run_step_by_step(run)
                raise FloatingPointError(diagnosis.of_argument(argument, call))
        raise FloatingPointError(diagnosis.of_value(value, call))

    def _run_step_by_step(self, run: ScanRun) -> None:
        """Run the steps of a scan one by one: what is not finite is found at its step."""
        mark = run.mark or current_mark()
        with self._looking_at_values(True), marked(mark and mark.watched_by(self)):
            rerun(run.sequence)

    # Backward -----------------------------------------------------------------------------

    def passing(
        self,
        nodes: Sequence[Node],
        pending: dict[Node, Array],
        reach: Collection[Node] | None,
        create_graph: bool,
        pull: Pull | None,
    ) -> Iterator[tuple[Node, Array]]:
        """The reverse pass, with a look at every contribution and at every sum of them."""
        for output, seed in pending.items():
            if self.finds(seed):
                raise FloatingPointError(diagnosis.of_seed(output, seed))
        compute = pull or (pull_on_tensors if create_graph else pull_on_arrays)

        def watched(node: Node, edge: Edge, gradient: Array) -> Array:
            contribution = compute(node, edge, gradient)
            if self.finds(contribution):
                self._refuse_use(node, edge, gradient, contribution)
            return contribution

        def during(node: Node) -> AbstractContextManager[Any]:
            stack = ExitStack()
            stack.enter_context(self._looking_at_values(False))
            if create_graph:
                stack.enter_context(under_mark_of(node))
            return stack

        for node, gradient in plain_pass(nodes, pending, reach, watched, during):
            if self.finds(gradient):
                raise FloatingPointError(diagnosis.of_sum(node, gradient, LINES.get(node)))
            yield node, gradient

    def _refuse_use(self, node: Node, edge: Edge, gradient: Array, contribution: Array) -> None:
        run = run_of(node)
        if run is not None:
            adjoints = {n: unwrap(adjoint) for n, adjoint in adjoints_of(gradient).items()}
            mark = run.mark
            with self._looking_at_values(True), marked(mark and mark.watched_by(self)):
                run.recorded(adjoints, create_graph=False)  # raises, at the step
        forward = any(self.finds(kept) for kept in flatten(edge[3]))
        line = LINES.get(node)
        raise FloatingPointError(
            diagnosis.of_contribution(node, edge, gradient, contribution, forward, line)
        )
