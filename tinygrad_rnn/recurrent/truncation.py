"""Truncation strategies: how far back in time the gradient of each loss flows.

f(t) is the earliest step that the loss at step t reaches, with steps counted from 0: its gradient
flows through the cell's steps f(t)..t, and the state that enters step f(t) is a constant for it.
The initial state is never cut: a loss with f(t) = 0 reaches it.

There are two kinds of strategies. `Links` puts a weight ξ_t on the link between step t−1 and
step t, so one chain of states serves all losses. `Windows` gives each loss its own reach f(t),
which weights on links cannot express in general. A strategy of your own is a subclass of one of
them, with its own ξ or f(t). It works wherever the built-in strategies do.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice, repeat
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.engine.graph import Array

Steps: TypeAlias = int | tuple[int, ...]
"""A number of steps; or a tuple of them, one for each sequence of the batch."""


class Truncation(ABC):
    """How far the gradient of each loss goes back: the base class of `Links` and `Windows`.

    The method `weights(T)` defines the truncated gradient. TBPTT(k, k) equals Subsequence(k), and
    TBPTT(1, k+1) equals Window(k).
    """

    given: Any = None
    """The given numbers ξ or f, if the strategy consists of them; else None."""

    @property
    def meaning(self) -> Any:
        """What equal strategies have in common; None if a strategy equals itself alone."""
        if self.given is None:
            return None
        return type(self), self.given.shape, self.given.tobytes()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Truncation):
            return NotImplemented
        return self is other or (self.meaning is not None and self.meaning == other.meaning)

    def __hash__(self) -> int:
        return object.__hash__(self) if self.meaning is None else hash(self.meaning)

    @abstractmethod
    def weights(self, T: int) -> Array:
        """M[t, s]: the weight of the gradient of the loss at step t through step s.

        Returns (T, T), lower triangular; (T, T, batch) if the sequences of a batch differ. The
        truncated gradient is *defined* as Σ M[t, s] ∂L_t/∂W_s, where W_s is the copy of W that
        step s uses.

        >>> import tinygrad_rnn as tg
        >>> tg.Subsequence(2).weights(4)
        array([[1., 0., 0., 0.],
               [1., 1., 0., 0.],
               [0., 0., 1., 0.],
               [0., 0., 1., 1.]])
        """

    @abstractmethod
    def fixed(self, T: int) -> Truncation:
        """The same strategy for T steps, with links or reaches drawn once and checked.

        A run needs the same links in both directions, but a random strategy draws new ones at
        every call. Raises ValueError for an invalid link or reach."""

    def __repr__(self) -> str:
        given = "" if self.given is None else self.given.tolist()
        return f"{type(self).__name__}({given})"


class Links(Truncation):
    """Truncation that is a vector: the link from step t−1 to step t is multiplied by ξ_t.

    xi: ξ_0 .. ξ_{T−1}, (T,), or (T, batch) with one column per sequence. A weight of 1 keeps the
        link, and 0 cuts it. ξ_0 is ignored: the initial state is never cut.
    For a strategy of your own, override `links(T)`. A run calls it once. A `stream` does not know
    T and calls `links(t + 1)` at every step, unless `factors()` is overridden.
    Raises ValueError for a ξ that is not finite or has another shape.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.Links([1, 0.5, 0]).weights(3)
    array([[1. , 0. , 0. ],
           [0.5, 1. , 0. ],
           [0. , 0. , 1. ]])
    >>> class AtPunctuation(tg.Links):
    ...     '''No gradient flows back over the end of a sentence or a clause.'''
    ...
    ...     def __init__(self, text):
    ...         self.text = text
    ...
    ...     def links(self, T):
    ...         return np.array([1.0, *(c not in ".,;:!?" for c in self.text)])[:T]
    >>> AtPunctuation("Oh, I see").links(9)
    array([1., 1., 1., 0., 1., 1., 1., 1., 1.])
    """

    def __init__(self, xi: Any = None) -> None:
        if xi is not None:
            self.given = checked_links(xi, None, "they")

    def links(self, T: int) -> Array:
        """ξ_0 .. ξ_{T−1}, of shape (T,) or (T, batch). ξ_0 is 1: the initial state is not cut.

        A random strategy draws new ones at every call.

        >>> import tinygrad_rnn as tg
        >>> tg.Subsequence(2).links(5)
        array([1., 1., 0., 1., 0.])
        """
        if self.given is not None:
            return checked_links(self.given, T, repr(self))
        if type(self).factors is Links.factors:
            raise TypeError(f"{type(self).__name__} has no links: pass them, or override links(T)")
        drawn = list(islice(self.factors(), max(T - 1, 0)))
        first = np.ones_like(drawn[0]) if drawn else 1.0
        return np.array([first, *drawn][:T], np.float64)

    def factors(self) -> Iterator[Any]:
        """Yield ξ_1, ξ_2, ... without end, each a number or an array (batch,).

        A random strategy draws new ones at every call."""
        if self.given is not None:
            yield from self.given[1:]
            raise ValueError(f"{self!r} is for {len(self.given)} steps, but the sequence has more")
        yield from (
            checked_links(self.links(t + 1), t + 1, f"{self!r}.links({t + 1})")[t] for t in count(1)
        )

    def ended(self, T: int) -> None:
        """Check at the end of a stream of T steps; ValueError if links were given for more."""
        if self.given is not None:
            checked_links(self.given, T, repr(self))

    def fixed(self, T: int) -> Links:
        fixed = Links.__new__(Links)
        fixed.given = checked_links(self.links(T), T, f"{self!r}.links({T})")
        return fixed

    def weights(self, T: int) -> Array:
        check_steps(T)
        xi = self.fixed(T).links(T)
        M = np.zeros((T, *xi.shape))
        for t in range(T):
            if t > 0:
                M[t] = M[t - 1] * xi[t]
            M[t, t] = 1
        return M


class Windows(Truncation):
    """Truncation by a reach for each loss: f(t) is the earliest step that the loss at t reaches.

    f: f(0) .. f(T−1), (T,), or (T, batch) with one column per sequence.
    For a strategy of your own, override `earliest(t)`. A run calls it once for every step. A
    `stream` needs an f that never decreases, because it frees the steps before f(t).
    Raises ValueError for an f(t) that is not one of the steps 0..t.

    >>> import tinygrad_rnn as tg
    >>> tg.Windows([0, 1, 0]).weights(3)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [1., 1., 1.]])
    >>> class SinceTheLastWord(tg.Windows):
    ...     '''Each loss looks back over the word that it stands in, and the one before.'''
    ...
    ...     def __init__(self, text):
    ...         self.text = text
    ...
    ...     def earliest(self, t):
    ...         begins = [0] + [n + 1 for n, c in enumerate(self.text[:t]) if c == " "]
    ...         return begins[max(0, len(begins) - 2)]
    >>> strategy = SinceTheLastWord("to be or")
    >>> [strategy.earliest(t) for t in range(8)]
    [0, 0, 0, 0, 0, 0, 3, 3]
    """

    def __init__(self, f: Any = None) -> None:
        if f is None:
            return
        self.given = np.array(f)
        if self.given.ndim not in (1, 2):
            raise ValueError(f"f must have the shape (T,) or (T, batch), not {self.given.shape}")
        self.given = self.fixed(len(self.given)).given

    def earliest(self, t: int) -> Any:
        """f(t); an array (batch,) if the sequences of a batch differ."""
        if self.given is None:
            raise TypeError(
                f"{type(self).__name__} has no reaches: pass them, or override earliest(t)"
            )
        return self.given[t] if self.given.ndim > 1 else int(self.given[t])

    def fixed(self, T: int) -> Windows:
        if self.given is not None and len(self.given) != T:
            raise ValueError(f"{self!r} is for {len(self.given)} steps, but the sequence has {T}")
        reach = [checked_reach(self.earliest(t), t, self) for t in range(T)]
        if len(set(map(np.shape, reach))) > 1:
            raise ValueError(
                f"{self!r}.earliest(t) must have one shape for all steps, () or (batch,), but it "
                f"has several"
            )
        fixed = Windows.__new__(Windows)
        fixed.given = np.array(reach, np.intp)
        return fixed

    def weights(self, T: int) -> Array:
        check_steps(T)
        fixed = self.fixed(T)
        f = np.array([fixed.earliest(t) for t in range(T)])
        s = np.arange(T).reshape(T, *[1] * (f.ndim - 1))
        t = s[:, None]
        return ((f[:, None] <= s) & (s <= t)).astype(np.float64)


def check_steps(T: int) -> None:
    if not isinstance(T, int | np.integer):
        raise TypeError(f"T must be the number of steps, but its type is {type(T).__name__}")
    if T < 0:
        raise ValueError(f"T, the number of steps, must be at least 0, not {T}")


def checked_links(xi: Any, T: int | None, whose: str) -> Array:
    """ξ as an array of floats with ξ_0 = 1; ValueError if it is not valid for T steps."""
    values = np.array(xi, np.float64)
    expected = "(T,) or (T, batch)" if T is None else f"({T},) or ({T}, batch)"
    if values.ndim not in (1, 2) or (T is not None and len(values) != T):
        raise ValueError(
            f"the links must have the shape {expected}, but {whose} have the shape {values.shape}"
        )
    values[:1] = 1
    if not np.isfinite(values).all():
        raise ValueError(f"the links must be finite numbers, but {whose} are not")
    return values


def checked_reach(f: Any, t: int, whose: Windows) -> Any:
    """f(t) as an integer or an array of integers; ValueError if it is not one of the steps 0..t."""
    reach = np.asarray(f)
    if reach.dtype.kind not in "iu" or reach.ndim > 1 or np.any(reach < 0) or np.any(reach > t):
        raise ValueError(
            f"{whose!r}.earliest({t}) must be a whole number in 0..{t}, or one for each sequence, "
            f"(batch,), not {f!r}"
        )
    return reach if reach.ndim else int(reach)


class Deterministic(Truncation):
    """A built-in deterministic strategy: the same result at every call, so no check is needed."""

    def fixed(self, T: int) -> Any:
        built_in = type(self) in (Full, Subsequence, Window, TBPTT)
        return self if built_in else super().fixed(T)  # type: ignore[safe-super]


@dataclass(frozen=True)
class Full(Deterministic, Links):
    """No truncation: f(t) = 0. Every loss reaches every earlier step.

    Chapter "Backpropagation Through Time", section "Full Computation".

    >>> import tinygrad_rnn as tg
    >>> tg.Full().earliest(1000)
    0
    """

    def factors(self) -> Iterator[Any]:
        return repeat(1.0)

    def earliest(self, t: int) -> int:
        """f(t) = 0."""
        return 0


@dataclass(frozen=True, eq=False)
class Subsequence(Deterministic, Links):
    """Chunks of k steps, with a detach at every multiple of k: f(t) = k·⌊t/k⌋.

    k: at least 1; or one per sequence of the batch, (batch,).
    Raises ValueError for an invalid k.

    This is the usual meaning of "truncated BPTT" in practice. The last loss of a chunk looks back
    over k−1 links, and the first one over none.

    >>> import tinygrad_rnn as tg
    >>> [tg.Subsequence(3).earliest(t) for t in range(7)]
    [0, 0, 0, 3, 3, 3, 6]
    """

    k: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", steps(self.k, "Subsequence", "k", 1))

    @property
    def meaning(self) -> Any:
        """That of TBPTT(k, k)."""
        return self.k, self.k

    def factors(self) -> Iterator[Any]:
        k = spread(self.k)
        return ((t % k != 0) * 1.0 for t in count(1))

    def earliest(self, t: int) -> Any:
        """f(t) = k·⌊t/k⌋."""
        k = spread(self.k)
        return k * (t // k)


@dataclass(frozen=True, eq=False)
class Window(Deterministic, Windows):
    """Every loss looks back over k links, so k + 1 uses of the weights: f(t) = max(0, t−k).

    k: at least 0; or one per sequence of the batch, (batch,).
    Raises ValueError for an invalid k.

    Chapter "Backpropagation Through Time", section "Truncating Time Steps", with τ = k.

    >>> import tinygrad_rnn as tg
    >>> [tg.Window(2).earliest(t) for t in range(6)]
    [0, 0, 0, 1, 2, 3]
    """

    k: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", steps(self.k, "Window", "k", 0))

    @property
    def meaning(self) -> Any:
        """That of TBPTT(1, k+1)."""
        return 1, self.k + 1 if isinstance(self.k, int) else tuple(k + 1 for k in self.k)

    def earliest(self, t: int) -> Any:
        """f(t) = max(0, t−k)."""
        return largest(t - spread(self.k))


@dataclass(frozen=True, eq=False)
class TBPTT(Deterministic, Windows):
    """Every k1 steps, go back k2 steps for the k1 new losses: f(t) = max(0, (⌊t/k1⌋+1)·k1 − k2).

    k1: at least 1. k2: at least k1. Each may be one per sequence of the batch, (batch,).
    Raises ValueError for an invalid k1 or k2, or if k2 < k1.

    Williams & Peng (1990), "An Efficient Gradient-Based Algorithm for On-Line Training of
    Recurrent Network Trajectories": BPTT(h; h'). TBPTT(k, k) is Subsequence(k) and TBPTT(1, k+1)
    is Window(k).

    >>> import tinygrad_rnn as tg
    >>> [tg.TBPTT(2, 3).earliest(t) for t in range(6)]
    [0, 0, 1, 1, 3, 3]
    """

    k1: Any
    k2: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "k1", steps(self.k1, "TBPTT", "k1", 1))
        object.__setattr__(self, "k2", steps(self.k2, "TBPTT", "k2", 1))
        if np.any(spread(self.k2) < spread(self.k1)):
            raise ValueError(
                f"TBPTT goes back k2 steps for the newest k1 losses, so k2 must be at least k1, "
                f"but k1 is {self.k1} and k2 is {self.k2}"
            )

    @property
    def meaning(self) -> Any:
        return self.k1, self.k2

    def earliest(self, t: int) -> Any:
        """f(t) = max(0, (⌊t/k1⌋+1)·k1 − k2)."""
        k1, k2 = spread(self.k1), spread(self.k2)
        return largest((t // k1 + 1) * k1 - k2)


def steps(value: Any, strategy: str, name: str, least: int) -> Steps:
    """A number of steps as an int, or one per sequence as a tuple; ValueError if it is invalid."""
    try:
        whole = [operator.index(k) for k in np.atleast_1d(value)]
    except TypeError:
        whole = []
    if not whole or min(whole) < least:
        raise ValueError(
            f"the {name} of {strategy} must be a whole number of at least {least}, or one for each "
            f"sequence of the batch, not {value!r}"
        )
    return tuple(whole) if np.ndim(value) else whole[0]


def spread(value: Steps) -> Any:
    """A number of steps for arithmetic: an int unchanged, one per sequence as an array (batch,)."""
    return value if isinstance(value, int) else np.array(value)


def largest(f: Any) -> Any:
    """max(0, f); a plain int if f is one."""
    return max(0, f) if isinstance(f, int) else np.maximum(0, f)
