"""Data-parallel training: one step over several shards of a batch, by the workers of an executor.

A worker receives the model without its weights, the weights, and a shard. It keeps the model. It
returns the loss, the gradients and the last state. These are added up in the order of the shards,
so the results are bitwise equal for any number of workers.
"""

from __future__ import annotations

import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextlib import nullcontext
from functools import reduce
from hashlib import sha256
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from tinygrad_rnn.compiler.frontend.captures import CellKey
from tinygrad_rnn.engine.graph import Leaf
from tinygrad_rnn.engine.recording import current_mark, no_grad
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.trees import flatten, unflatten
from tinygrad_rnn.recurrent.randomized import Randomized
from tinygrad_rnn.recurrent.truncation import Full, Links, Subsequence, Truncation
from tinygrad_rnn.training.bptt import BPTT
from tinygrad_rnn.training.pickling import pickled, unpickled
from tinygrad_rnn.training.shared_memory import Asked, ask

Shard = Sequence[Any] | Mapping[str, Any] | Callable[[], Any]


class Result(NamedTuple):
    """The result of a worker.

    loss: L of the shard. weight: the number of steps of all sequences, over which L is the mean.
    gradients: one for each parameter, or None. state: the last state.
    """

    loss: float
    weight: int
    gradients: list[Any]
    state: Any


def data_parallel(
    bptt: BPTT, shards: Iterable[Shard], executor: Executor
) -> tuple[float, list[Any]]:
    """Loss and gradient over the shards of a batch, computed in parallel by other processes.

    The result is that of `bptt` on the whole batch.

    bptt: the model. Its cell and loss are pickled, so they must be classes and functions of
        modules. If the cloudpickle package is installed, they may be any.
    shards: for each shard the arguments of `bptt`, as a tuple or a dict; or a function without
        arguments that returns them. The worker calls this function, so it can read a file there.
    executor: a `process_pool`, or any other `concurrent.futures.Executor`: Dask's
        `client.get_executor()`, `mpi4py.futures.MPIPoolExecutor`. With a `process_pool` on Linux,
        arrays go through shared memory, and a worker cannot write into its shard.

    Returns L, the mean over all steps of all sequences, and the list of the shards' last states.
    Adds the gradient of L to the `.grad` of the parameters. Inside `no_grad` it computes no
    gradient. Each shard is weighted by the number of steps of its sequences, so the loss at a step
    must be a mean over the batch, or one number per sequence. Random truncations are drawn in the
    calling process, shard after shard.

    Raises RuntimeError, naming the shard, if a worker dies; an executor that replaces its workers,
    as Dask's does, computes the shard again instead. Raises TypeError for a model that cannot be
    pickled. An exception in a shard is raised here. Gradients are added only after all shards are
    computed.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> bptt = tg.BPTT(tg.RNNCell(3, 4, rng=0), tg.mse)
    >>> xs, targets = np.ones((5, 6, 3)), np.zeros((5, 6, 4))
    >>> with ThreadPoolExecutor(2) as executor:
    ...     loss, states = tg.data_parallel(bptt, tg.split_batch(3, xs, targets), executor)
    >>> len(states), states[0].shape, bool(np.isclose(loss, bptt(xs, targets)[0]))
    (3, (2, 4), True)
    """
    tensors, results = _computed(bptt, shards, executor)
    found = list(results)
    if not found:
        raise ValueError("shards is empty: pass at least one shard")
    total = sum(result.weight for result in found)
    loss = sum(result.loss * (result.weight / total) for result in found)
    if current_mark() is not None:
        for n, tensor in enumerate(tensors):
            parts = [(r.gradients[n], r.weight / total) for r in found]
            shares = [gradient * share for gradient, share in parts if gradient is not None]
            if shares:
                gradient = reduce(np.add, shares).astype(tensor.dtype, copy=False)
                tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
    return loss, [result.state for result in found]


def shard_gradients(
    bptt: BPTT, shards: Iterable[Shard], executor: Executor
) -> Iterator[tuple[float, dict[str, Any], Any]]:
    """Each shard's own loss, gradients by name, and last state, in the order of the shards.

    The arguments are those of `data_parallel`. No `.grad` is changed. Use it to compare the
    gradients of the shards, for example their variance or their angles.
    """
    tensors, results = _computed(bptt, shards, executor)
    names = {id(tensor): name for name, tensor in bptt.parameters().items()}
    for loss, _, gradients, state in results:
        yield loss, {names[id(t)]: g for t, g in zip(tensors, gradients, strict=True)}, state


def split_batch(parts: int, xs: Any, targets: Any, state: Any = None) -> list[tuple[Any, ...]]:
    """Split a batch into shards: views of the sequences (axis 1) and of the states (axis 0).

    xs, targets: arrays (T, batch, ...), or nestings of them.
    Raises ValueError if there are fewer sequences than parts.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> [x.shape for x, y in tg.split_batch(2, np.ones((5, 3, 4)), np.ones((5, 3)))]
    [(5, 2, 4), (5, 1, 4)]
    """
    batch = np.shape(flatten(xs)[0])[1]
    if not 1 <= parts <= batch:
        raise ValueError(
            f"parts must lie in 1..{batch}, because the batch has {batch} sequences, not {parts}"
        )
    edges = np.linspace(0, batch, parts + 1).round().astype(int)[1:-1]

    def split(tree: Any, axis: int) -> list[Any]:
        pieces = [np.split(leaf, edges, axis) for leaf in flatten(tree)]
        return [unflatten(tree, iter(part)) for part in zip(*pieces, strict=True)]

    columns = [split(xs, 1), split(targets, 1)]
    return list(zip(*columns, *([] if state is None else [split(state, 0)]), strict=True))


# In the calling process -------------------------------------------------------------------------


def _computed(
    bptt: BPTT, shards: Iterable[Shard], executor: Executor
) -> tuple[list[Tensor], Iterator[Result]]:
    model, tensors, _ = _without_weights(bptt)
    arrays = [tensor.data for tensor in tensors]
    common = model, _pickled_options(bptt), arrays, current_mark() is not None
    each = ((shard, _drawn(bptt, shard)) for shard in shards)
    try:
        return tensors, _results(ask(executor, _work, common, each))
    except BrokenExecutor as problem:
        raise RuntimeError(
            f"a worker died earlier, so the executor is broken ({problem}): make a new executor"
        ) from problem


def _results(asked: Asked) -> Iterator[Result]:
    calls = asked.calls
    try:
        for n, call in enumerate(calls, 1):
            try:
                yield asked.read(call.result())
            except BrokenExecutor as problem:
                raise RuntimeError(
                    f"a worker died before shard {n} of {len(calls)} was done ({problem}); no "
                    f"gradient was added: make a new executor and call again"
                ) from problem
            except Exception as problem:
                problem.add_note(f"in shard {n} of {len(calls)}")
                raise
    finally:
        for call in calls:
            call.cancel()
        asked.close()


def _drawn(bptt: BPTT, shard: Shard) -> Any:
    """The links of a random truncation for a shard.

    They are drawn in the calling process: the workers' copies of the generator would all draw the
    same links."""
    truncation = bptt.truncation
    if not isinstance(truncation, Links) or not _may_be_random(truncation):
        return None
    if callable(shard):
        raise TypeError(
            f"the links of {truncation} are drawn before a worker has the shard, so the number of "
            f"steps must be known: pass the shard itself, not a function that makes it"
        )
    return Randomized.from_links(truncation.links(_steps(_arguments(shard)["xs"])[0])[1:])


def _may_be_random(truncation: Truncation) -> bool:
    return isinstance(truncation, Links) and type(truncation) not in (Full, Subsequence)


def _arguments(shard: Any) -> dict[str, Any]:
    """The arguments of `bptt` for a shard, by name."""
    if isinstance(shard, Mapping):
        return dict(shard)
    names = ("xs", "targets", "state", "reset", "lengths", "mask")
    if len(shard) > len(names):
        raise TypeError(
            f"a shard has at most the parts {', '.join(names)}, but this one has {len(shard)}"
        )
    return dict(zip(names, shard, strict=False))


def _steps(xs: Any) -> tuple[int, int]:
    """The number of steps T, and the number of sequences."""
    leaf = flatten(xs)[0]
    T, *rest = (len(xs), *np.shape(leaf)) if isinstance(xs, list) else np.shape(leaf)
    return T, rest[0] if rest else 1


class Model(NamedTuple):
    """Cell and loss, pickled with placeholders for the parameters, and the parameters.

    seen: what `BPTT.look` found then. Another structure or another Tensor needs a new pickle.
    """

    pickled: bytes
    tensors: list[Tensor]
    seen: CellKey


_models: WeakKeyDictionary[BPTT, Model] = WeakKeyDictionary()
"""The last pickled model of each `BPTT`."""


def _without_weights(bptt: BPTT) -> Model:
    seen = bptt.look()
    model = _models.get(bptt)
    if model is None or not seen.is_same(model.seen) or not all(map(_is_parameter, seen.arrays)):
        model = _models[bptt] = Model(*_pickled_without_weights(bptt), seen)
    return model


def _is_parameter(thing: Any) -> bool:
    """Whether this is a parameter. The values of other arrays are in the pickle and may change."""
    return type(thing) is Tensor and thing.requires_grad


def _pickled_without_weights(bptt: BPTT) -> tuple[bytes, list[Tensor]]:
    tensors: dict[int, tuple[int, Tensor]] = {}

    def place(thing: Any) -> Any:
        if not _is_parameter(thing):
            return None
        if not isinstance(thing.node, Leaf):
            raise TypeError(
                f"{thing.name or 'a Tensor'} of shape {thing.shape} was computed from others, "
                f"and a gradient cannot flow on from another process: pass .detach()"
            )
        n, _ = tensors.setdefault(id(thing), (len(tensors), thing))
        return n, thing.shape, str(thing.dtype), thing.name

    model = pickled((bptt.cell, bptt.loss), place, "the model", by_value=True)
    return model, [tensor for _, tensor in tensors.values()]


def _pickled_options(bptt: BPTT) -> bytes:
    """The other arguments of `BPTT`."""
    truncation = None if _may_be_random(bptt.truncation) else bptt.truncation
    backend = bptt.backend
    options = {"backend": backend.name, "threads": backend.threads, "block": bptt.block}
    own = truncation is not None and not type(truncation).__module__.startswith("tinygrad_rnn.")
    options["truncation"] = truncation
    return pickled(options, lambda thing: None, "the truncation", by_value=own)


# In a worker ------------------------------------------------------------------------------------


class _Kept(threading.local):
    """The models of this worker, with their compiled programs and buffers, in order of last use."""

    def __init__(self) -> None:
        self.models: OrderedDict[bytes, tuple[BPTT, list[Tensor]]] = OrderedDict()


MOST = 8
"""The largest number of models that a worker keeps."""

_kept = _Kept()


def _model(model: bytes, options: bytes) -> tuple[BPTT, list[Tensor]]:
    key = sha256(model + options).digest()
    if key not in _kept.models:
        found: dict[int, Tensor] = {}

        def parameter(place: Any) -> Tensor:
            n, shape, dtype, name = place
            if n not in found:
                found[n] = Tensor(np.zeros(shape, dtype), requires_grad=True, name=name)
            return found[n]

        cell, loss = unpickled(model, parameter)
        tensors = [found[n] for n in range(len(found))]
        _kept.models[key] = BPTT(cell, loss, **pickle.loads(options)), tensors
        while len(_kept.models) > MOST:
            _kept.models.popitem(last=False)
    _kept.models.move_to_end(key)
    return _kept.models[key]


def _work(common: tuple[bytes, bytes, list[Any], bool], one: tuple[Any, Any]) -> Result:
    (model, options, arrays, back), (shard, links) = common, one
    bptt, tensors = _model(model, options)
    for tensor, array in zip(tensors, arrays, strict=True):
        tensor.data, tensor.grad = array, None
    arguments = _arguments(shard() if callable(shard) else shard)
    if links is not None:
        bptt._truncation = links  # of the same kind as before, so the program stays valid
    with nullcontext() if back else no_grad():
        loss, state = bptt(**arguments)
    return Result(float(loss), _weight(arguments), [tensor.grad for tensor in tensors], state)


def _weight(arguments: dict[str, Any]) -> int:
    """The number of valid steps of all sequences, over which the loss of a shard is the mean."""
    T, batch = _steps(arguments["xs"])
    mask, lengths = arguments.get("mask"), arguments.get("lengths")
    if mask is not None:
        return int(np.sum(mask))
    return T * batch if lengths is None else int(np.sum(lengths))
