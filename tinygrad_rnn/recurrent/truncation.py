"""Where the gradient's way back through time ends: each strategy is a value.

f(t) is the earliest step that the loss at step t reaches, with steps counted from 0: its gradient
flows through the cell's steps f(t)..t, and the state that enters step f(t) is a constant for it.
The initial state is the caller's and is never cut: a loss with f(t) = 0 reaches it.

There are two families. Where truncation is a weight ξ_t on the link between step t−1 and step t
(`Links`), one chain serves all losses. Where each loss has its own reach (`Windows`), it cannot
be written so.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from tinygrad_rnn.engine.graph import Array

Steps: TypeAlias = int | tuple[int, ...]
"""A number of steps; or a tuple of them, one for each sequence of the batch."""


class Truncation(ABC):
    """A strategy, whatever its family; it answers `weights(T)`.

    TBPTT(k, k) is Subsequence(k), and TBPTT(1, k+1) is Window(k): these are equal.
    """

    k1: Any = None
    k2: Any = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Truncation):
            return NotImplemented
        if self.k1 is None:
            return self is other
        return bool(self.k1 == other.k1 and self.k2 == other.k2)

    def __hash__(self) -> int:
        return object.__hash__(self) if self.k1 is None else hash((self.k1, self.k2))

    @abstractmethod
    def weights(self, T: int) -> Array:
        """M: with which weight the gradient of the loss at step t through step s counts.

        Returns (T, T), lower triangular; (T, T, batch) where the sequences of a batch differ. The
        truncated gradient is *defined* as Σ M[t, s] ∂L_t/∂W_s, W_s being the copy of W that
        step s uses.

        >>> import tinygrad_rnn as tg
        >>> tg.Subsequence(2).weights(4)
        array([[1., 0., 0., 0.],
               [1., 1., 0., 0.],
               [0., 0., 1., 0.],
               [0., 0., 1., 1.]])
        """


class Links(Truncation):
    """Truncation that is a vector: the link from step t−1 to step t is multiplied by ξ_t."""

    @abstractmethod
    def factors(self) -> Iterator[Any]:
        """ξ_1, ξ_2, ... without end, each a number or an array (batch,); newly drawn, if random."""

    def links(self, T: int) -> Array:
        """ξ_0 .. ξ_{T−1}, of shape (T,) or (T, batch). ξ_0 is 1: the initial state is not cut.

        A random strategy draws new ones at every call.

        >>> import tinygrad_rnn as tg
        >>> tg.Subsequence(2).links(5)
        array([1., 1., 0., 1., 0.])
        """
        drawn = list(islice(self.factors(), max(T - 1, 0)))
        first = np.ones_like(drawn[0]) if drawn else 1.0
        return np.array([first, *drawn][:T], np.float64)

    def ended(self, T: int) -> None:
        """Told by a stream how many steps it had: ValueError if there were links for more."""

    def weights(self, T: int) -> Array:
        xi = self.links(T)
        M = np.zeros((T, *xi.shape))
        for t in range(T):
            if t > 0:
                M[t] = M[t - 1] * xi[t]
            M[t, t] = 1
        return M


class Windows(Truncation):
    """Truncation where each loss has a reach of its own."""

    @abstractmethod
    def earliest(self, t: int) -> Any:
        """f(t); an array (batch,) where the sequences of a batch differ."""

    def weights(self, T: int) -> Array:
        if T == 0:
            return np.zeros((0, 0))
        steps = np.arange(T)
        f = np.array([self.earliest(t) for t in range(T)])
        t, s = steps[:, None], steps[None, :]
        if f.ndim == 1:
            return ((f[:, None] <= s) & (s <= t)).astype(np.float64)
        return ((f[:, None, :] <= s[..., None]) & (s <= t)[..., None]).astype(np.float64)


@dataclass(frozen=True)
class Full(Links):
    """The whole sum: f(t) = 0.

    Chapter "Backpropagation Through Time", section "Full Computation".

    >>> import tinygrad_rnn as tg
    >>> tg.Full().earliest(1000)
    0
    """

    def factors(self) -> Iterator[Any]:
        while True:
            yield 1.0

    def earliest(self, t: int) -> int:
        """f(t) = 0."""
        return 0


@dataclass(frozen=True, eq=False)
class Subsequence(Links):
    """Chunks of k steps, with a detach at every multiple of k: f(t) = k·⌊t/k⌋.

    k: at least 1; or one per sequence of the batch, (batch,).
    Raises ValueError for a k that is no number of steps.

    What "truncated BPTT" mostly means in practice. The last loss of a chunk looks back k−1 links,
    the first one none at all.

    >>> import tinygrad_rnn as tg
    >>> [tg.Subsequence(3).earliest(t) for t in range(7)]
    [0, 0, 0, 3, 3, 3, 6]
    """

    k: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", steps(self.k, "Subsequence", "k", 1))

    @property
    def k1(self) -> Steps:
        """As a TBPTT(k1, k2): k."""
        return self.k  # type: ignore[no-any-return]

    @property
    def k2(self) -> Steps:
        """As a TBPTT(k1, k2): k."""
        return self.k  # type: ignore[no-any-return]

    def factors(self) -> Iterator[Any]:
        k, t = spread(self.k), 0
        while True:
            t += 1
            yield np.where(t % k == 0, 0.0, 1.0) if np.ndim(k) else float(t % k != 0)

    def earliest(self, t: int) -> Any:
        """f(t) = k·⌊t/k⌋."""
        k = spread(self.k)
        return k * (t // k)


@dataclass(frozen=True, eq=False)
class Window(Windows):
    """Every loss looks back k links, so through k + 1 uses of the weights: f(t) = max(0, t−k).

    k: at least 0; or one per sequence of the batch, (batch,).
    Raises ValueError for a k that is no number of steps.

    The chapter's "Truncating Time Steps", with τ = k.

    >>> import tinygrad_rnn as tg
    >>> [tg.Window(2).earliest(t) for t in range(6)]
    [0, 0, 0, 1, 2, 3]
    """

    k: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", steps(self.k, "Window", "k", 0))

    @property
    def k1(self) -> int:
        """As a TBPTT(k1, k2): 1."""
        return 1

    @property
    def k2(self) -> Steps:
        """As a TBPTT(k1, k2): k + 1."""
        return self.k + 1 if isinstance(self.k, int) else tuple(k + 1 for k in self.k)

    def earliest(self, t: int) -> Any:
        """f(t) = max(0, t−k)."""
        return largest(t - spread(self.k))


@dataclass(frozen=True, eq=False)
class TBPTT(Windows):
    """Every k1 steps, go back k2 steps for the k1 new losses: f(t) = max(0, (⌊t/k1⌋+1)·k1 − k2).

    k1: at least 1. k2: at least k1. Each may be one per sequence of the batch, (batch,).
    Raises ValueError for numbers that are none of steps, or k2 < k1.

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
                f"TBPTT goes back k2 steps for the k1 newest losses, so k2 must be at least k1, "
                f"but k1 is {self.k1} and k2 is {self.k2}"
            )

    def earliest(self, t: int) -> Any:
        """f(t) = max(0, (⌊t/k1⌋+1)·k1 − k2)."""
        k1, k2 = spread(self.k1), spread(self.k2)
        return largest((t // k1 + 1) * k1 - k2)


def steps(value: Any, strategy: str, name: str, least: int) -> Steps:
    """A number of steps as an int, or one per sequence as a tuple; ValueError if it is none."""
    try:
        whole = [operator.index(k) for k in np.atleast_1d(value)]
    except TypeError:
        whole = []
    if not whole or min(whole) < least:
        raise ValueError(
            f"the {name} of {strategy} is a number of steps: a whole number of at least {least}, "
            f"or one for each sequence of the batch; {value!r} is not"
        )
    return tuple(whole) if np.ndim(value) else whole[0]


def spread(value: Steps) -> Any:
    """To calculate with: an int as it is, one per sequence as an array (batch,)."""
    return value if isinstance(value, int) else np.array(value)


def largest(f: Any) -> Any:
    """max(0, f), a plain int where f is one."""
    return max(0, f) if isinstance(f, int) else np.maximum(0, f)
