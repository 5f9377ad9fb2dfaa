"""Find the origin of NaN and infinity: check every value and every gradient when it is computed.

The block puts a `Watch` into the mark under which the engine records (`engine/recording.py`). The
engine passes every value to the watch, and the watch runs the reverse pass.
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
from tinygrad_rnn.compiler.runtime.scan_run import ScanRun, adjoints_of, rerun, run_of
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
    """Inside this block, the first value or gradient that is not finite raises an error.

    infinite: whether infinities count. With False only NaN counts, for computations with intended
        infinities, such as masks of −inf before a softmax.
    Raises FloatingPointError. The message has the function, its arguments and their ranges, the
    time step (counted from 0), the scope and the line of your code. For a gradient it has the
    argument that the gradient belongs to. It also says if the NaN was given as data or parameter.

    In the forward pass, every value computed from Tensors while recording is checked. In the
    reverse pass, every contribution and every sum of contributions is checked. The uses of a weight
    are then summed one by one, so computations are slower inside a block. Outside there is no cost.
    A `scan` is one value: if its states or gradients are not finite, it is run again with `unroll`,
    to find the step. NumPy's own warnings about overflow, division and invalid values are silent
    inside. Blocks nest, and each thread has its own.

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
        with marked(mark and mark.replace(watch=watch)), ignored:
            yield
    finally:
        watch.is_open = False
        np.seterr(**errors)  # again: Ctrl-C may have interrupted errstate


def _not_finite(array: Array) -> Array:
    return ~np.isfinite(array)


LINES: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
"""The line of the user's code that recorded a node."""


class Watch:
    """The observer of a block: it checks what the engine computes.

    wrong: the function that finds wrong entries. is_open: True until the block ends; nodes that
    were recorded inside keep the watch in their marks. looks_at_values: False while pull-backs
    compute, because their values are not the user's.
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
        """Whether some entry of a value is wrong."""
        return any(self.wrong(a).any() for a in diagnosis.numbers_in(value))

    # Forward ------------------------------------------------------------------------------

    def value(
        self, result: Any, function: Any, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        """Check the result of a call."""
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
        """Run the steps of a scan one by one, to find the step where a value is not finite."""
        mark = run.mark or current_mark()
        with self._looking_at_values(True), marked(mark and mark.replace(watch=self)):
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
        """The reverse pass, with a check of every contribution and of every sum."""
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
            with self._looking_at_values(True), marked(mark and mark.replace(watch=self)):
                run.recorded(adjoints, create_graph=False)  # raises, at the step
        forward = any(self.finds(kept) for kept in flatten(edge[3]))
        line = LINES.get(node)
        raise FloatingPointError(
            diagnosis.of_contribution(node, edge, gradient, contribution, forward, line)
        )
