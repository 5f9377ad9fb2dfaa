"""Where NaN and infinity come from: a look at every value as it is made, and at every gradient.

Values come out of `apply` and its short ways, and gradients out of `sweep`. While a block is open,
these are exchanged for ones that look at what comes out; while none is, nothing of this runs.
"""

from __future__ import annotations

import functools
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_rnn.analysis import diagnosis
from tinygrad_rnn.analysis.diagnosis import Call
from tinygrad_rnn.compiler.frontend.tracer import user_frame
from tinygrad_rnn.compiler.runtime import propagation
from tinygrad_rnn.compiler.runtime import scan as running
from tinygrad_rnn.compiler.runtime.scan import Run, adjoints_of, run_of, unrolled
from tinygrad_rnn.engine import fast_paths, tensor, transforms
from tinygrad_rnn.engine import sweep as sweeping
from tinygrad_rnn.engine.fast_paths import install
from tinygrad_rnn.engine.graph import Array, Edge, Node, marked, recording
from tinygrad_rnn.engine.tensor import STRAIGHT, Tensor, unwrap


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
    wrong = _not_finite if infinite else np.isnan
    ignored = np.errstate(over="ignore", divide="ignore", invalid="ignore")
    with EXCHANGE, watch.looking(wrong=wrong, values=True), ignored:
        yield


def _not_finite(array: Array) -> Array:
    return ~np.isfinite(array)


class Watch(threading.local):
    """What this thread looks for.

    wrong: the function that finds it; None outside of a block. values: whether values are looked
    at too, and not gradients alone. lines: where in the user's code nodes were recorded.
    """

    wrong: Callable[[Array], Array] | None = None
    values = True

    def __init__(self) -> None:
        self.lines: WeakKeyDictionary[Node, str] = WeakKeyDictionary()

    @contextmanager
    def looking(self, **what: Any) -> Iterator[None]:
        before = {name: getattr(self, name) for name in what}
        vars(self).update(what)
        try:
            yield
        finally:
            vars(self).update(before)

    def finds(self, value: Any) -> bool:
        """Whether there is anything wrong with the numbers in a value."""
        wrong = self.wrong
        return wrong is not None and any(wrong(a).any() for a in diagnosis.numbers_in(value))


watch = Watch()


# Forward ----------------------------------------------------------------------------------


def apply_watched(apply: Callable[..., Any]) -> Callable[..., Any]:
    """`apply`, and a look at what it returns."""

    def call(function: Any, args: Sequence[Any], kwargs: dict[str, Any] | None = None) -> Any:
        result = apply(function, args, kwargs)
        _look(result, function, args, kwargs or {})
        return result

    return call


def short_way_watched(
    function: Callable[..., Any], short_way: Callable[..., Any]
) -> Callable[..., Any]:
    """A short way through `apply`, and a look at what it returns."""

    def call(*args: Any) -> Any:
        result = short_way(*args)
        _look(result, function, args, {})
        return result

    return call


def last_watched(last_of: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The last state of a scan, and a look at it."""

    def call(states: Tensor) -> Tensor:
        result = last_of(states)
        _look(result, operator.getitem, (states, -1), {})
        return result

    return call


def propagation_watched(propagated: Callable[..., Any]) -> Callable[..., Any]:
    """A propagation with a graph, if there is somebody to look at it."""

    def call(*args: Any) -> Any:
        return (propagated if watch.wrong is None else propagation.recorded)(*args)

    return call


def _look(result: Any, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    if watch.wrong is None or recording.mark is None:
        return
    for value in transforms.leaves(result):
        if type(value) is Tensor:
            line = user_frame()
            if value._node is not None:
                watch.lines.setdefault(value._node, line)
            if watch.values and watch.finds(value):
                _refuse_value(value, Call(function, args, kwargs, recording.mark, line))


def _refuse_value(value: Tensor, call: Call) -> None:
    for argument in call.arguments:
        if watch.finds(argument):
            run = run_of(argument.node) if isinstance(argument, Tensor) else None
            if run is not None:
                _open(run)
            raise FloatingPointError(diagnosis.of_argument(argument, call))
    raise FloatingPointError(diagnosis.of_value(value, call))


def _open(run: Run) -> None:
    """Run the steps of a scan one by one: what is not finite is found at its step."""
    with watch.looking(values=True), marked(run.mark or recording.mark):
        unrolled(run.sequence)


# Backward ---------------------------------------------------------------------------------


def gradients_watched(sweep: Callable[..., Any]) -> Callable[..., Any]:
    """A sweep that looks at every contribution, and at every gradient, before it is handed on."""

    @functools.wraps(sweep)
    def reader(
        outputs: Sequence[Node],
        seeds: Sequence[Array],
        create_graph: bool = False,
        each_use: sweeping.Use | None = None,
        nodes: Sequence[Node] | None = None,
        leaves_only: bool = False,
    ) -> Iterator[tuple[Node, Array]]:
        if watch.wrong is None:
            yield from sweep(outputs, seeds, create_graph, each_use, nodes, leaves_only)
            return
        gradient: Array = None

        def look(node: Node, edge: Edge, contribution: Array) -> None:
            if watch.finds(contribution):
                _refuse_use(node, edge, gradient, contribution)
            if each_use is not None:
                each_use(node, edge, contribution)

        for output, seed in zip(outputs, seeds, strict=True):
            if watch.finds(seed):
                raise FloatingPointError(diagnosis.of_seed(output, seed))
        passing = sweep(outputs, seeds, create_graph, look, nodes)
        while True:
            with watch.looking(values=False):  # what pull-backs compute is not the user's
                node, gradient = next(passing, (None, None))
            if node is None:
                return
            if watch.finds(gradient):
                raise FloatingPointError(diagnosis.of_sum(node, gradient, watch.lines.get(node)))
            if not (leaves_only and node.edges):
                yield node, gradient

    return reader


def _refuse_use(node: Node, edge: Edge, gradient: Array, contribution: Array) -> None:
    run = run_of(node)
    if run is not None:
        adjoints = {n: unwrap(adjoint) for n, adjoint in adjoints_of(gradient).items()}
        with watch.looking(values=True), marked(run.mark):
            run.recorded(adjoints, create_graph=False)  # raises, at the step
    forward = any(watch.finds(kept) for kept in transforms.leaves(edge[3]))
    line = watch.lines.get(node)
    raise FloatingPointError(
        diagnosis.of_contribution(node, edge, gradient, contribution, forward, line)
    )


# The exchange -----------------------------------------------------------------------------


class Exchange:
    """Open while a block of any thread is: what looks, in the place of what does not."""

    def __init__(self) -> None:
        self.lock, self.blocks = threading.Lock(), 0
        self.globals: list[tuple[dict[str, Any], str, Any]] = []
        self.short_ways: dict[Callable[..., Any], tuple[Any, Any]] = {}

    def __enter__(self) -> None:
        with self.lock:
            self.blocks += 1
            if self.blocks > 1:
                return
            for names, name, watched in READERS:
                self.globals.append((names, name, names[name]))
                names[name] = watched(names[name])
            for function, short_way in STRAIGHT.items():
                watched = short_way_watched(function, short_way)
                self.short_ways[function] = short_way, watched
            for function, (_, watched) in self.short_ways.items():
                install(function, watched)

    def __exit__(self, *problem: Any) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks > 0:
                return
            for names, name, before in self.globals:
                names[name] = before
            for function, (before, watched) in self.short_ways.items():
                if STRAIGHT.get(function) is watched:  # a rule that was entered meanwhile stays
                    install(function, before)
            self.globals.clear()
            self.short_ways.clear()


READERS: list[tuple[dict[str, Any], str, Callable[..., Any]]] = [
    (vars(tensor), "apply", apply_watched),
    (vars(fast_paths), "apply", apply_watched),
    (vars(running), "last_of", last_watched),
    (vars(propagation), "propagated", propagation_watched),
    (vars(sweeping), "sweep", gradients_watched),
    (vars(transforms), "sweep", gradients_watched),
]
"""What computes values and gradients, by the modules that call it and their names for it."""

EXCHANGE = Exchange()
