"""Randomized truncation: cut links at random, and weight the others to keep the mean unbiased."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.recurrent.truncation import Links


class Randomized(Links):
    """The link t−1→t is multiplied by ξ_t: 0 with probability 1−π_t, else 1/π_t.

    keep: π, the probability that a link survives, in (0, 1]: one for all links, or one per link,
        (T−1,) or (T−1, batch), the first being for the link from step 0 to step 1. With T
        entries, the first is for the link from the initial state, which is never cut.
    rng: a NumPy Generator or a seed. Every run over a sequence draws new links.
    batch: the number of sequences, to draw links for each of them; None draws once for all.
    Raises ValueError for probabilities outside (0, 1].

    E[ξ_t] = 1, so the gradient is unbiased: E[z_t] = ∂h_t/∂w_h (chapter "Backpropagation Through
    Time", section "Randomized Truncation").

    >>> import tinygrad_rnn as tg
    >>> tg.Randomized(0.5, rng=0).links(6)
    array([1., 0., 2., 2., 2., 0.])
    """

    def __init__(
        self, keep: Any, rng: np.random.Generator | int | None = None, batch: int | None = None
    ) -> None:
        self.keep: Array = np.array(keep, np.float64)
        self.batch = batch
        self.seed = rng
        self.rng = np.random.default_rng(rng)
        if self.keep.ndim > 2 or not ((self.keep > 0) & (self.keep <= 1)).all():
            raise ValueError(
                f"keep must be a probability above 0 and at most 1, one for all links or one per "
                f"link, not {keep!r}"
            )
        if self.keep.ndim == 2:
            self.batch = self.keep.shape[1]

    def factors(self) -> Iterator[Any]:
        all_of_them = given(self.keep) if self.keep.ndim else repeat(self.keep)
        yield from (self._drawn(pi, ()) for pi in all_of_them)

    def links(self, T: int) -> Array:
        pi = fitted(self.keep, T, "probabilities") if self.keep.ndim else self.keep
        if pi.ndim == 1 and self.batch is not None:
            pi = pi[:, None]
        return with_first(self._drawn(pi, (max(T - 1, 0),)), T)

    def ended(self, T: int) -> None:
        if self.keep.ndim:
            exactly(self.keep, T, "probabilities")

    def _drawn(self, pi: Array, links: tuple[int, ...]) -> Array:
        """ξ, 0 or 1/π. Drawing all links at once gives the same ξ as drawing them one by one."""
        shape = links if self.batch is None else (*links, self.batch)
        return np.where(self.rng.random(shape) < pi, 1 / pi, 0.0)

    @staticmethod
    def from_links(xi: Any) -> Given:
        """Truncation with given links ξ in place of random ones.

        xi: ξ_1 .. ξ_{T−1}, of shape (T−1,), or (T−1, batch) with one column per sequence. With T
            entries, the first is ξ_0. It is ignored: the initial state is never cut.
        Raises ValueError for links that are not finite, or have another rank.

        >>> import tinygrad_rnn as tg
        >>> tg.Randomized.from_links([0.0, 2.0]).weights(3)
        array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 2., 1.]])
        """
        return Given(xi)

    @staticmethod
    def scheduled(
        alpha: float,
        mean_length: float,
        rng: np.random.Generator | int | None = None,
        batch: int | None = None,
    ) -> Scheduled:
        """Cut with probability c = α/((α−1)·L₀ + d), where d counts the steps since the last cut.

        alpha: α > 1, the exponent of the tail: the probability of a subsequence longer than l falls
            like l^−α.
        mean_length: L₀ > 1, the mean length of a subsequence between two cuts.
        rng, batch: as for `Randomized`.
        Raises ValueError for an alpha or a mean_length that is not above 1.

        A surviving link is multiplied by 1/(1−c). Tallec & Ollivier (2017), "Unbiasing Truncated
        Backpropagation Through Time". The variance stays bounded. With a constant π the weights of
        long subsequences grow geometrically.

        >>> import tinygrad_rnn as tg
        >>> tg.Randomized.scheduled(6, 16, rng=0).links(3).round(3)
        array([1.   , 1.08 , 1.079])
        """
        return Scheduled(alpha, mean_length, rng, batch)

    def __repr__(self) -> str:
        return f"Randomized({self.keep.tolist()!r}{options(self.seed, self.batch)})"


class Scheduled(Randomized):
    """The result of `Randomized.scheduled`: π depends on the earlier links."""

    def __init__(
        self,
        alpha: float,
        mean_length: float,
        rng: np.random.Generator | int | None = None,
        batch: int | None = None,
    ) -> None:
        if not (alpha > 1 and mean_length > 1 and np.isfinite(alpha) and np.isfinite(mean_length)):
            raise ValueError(
                f"alpha and mean_length must be above 1, but they are {alpha!r} and {mean_length!r}"
            )
        super().__init__(1.0, rng, batch)  # π follows from the earlier links
        self.alpha, self.mean_length = alpha, mean_length

    def cut_probability(self, since: Any) -> Any:
        """c = α/((α−1)·L₀ + d) at d steps since the last cut."""
        return self.alpha / ((self.alpha - 1) * self.mean_length + since)

    def factors(self) -> Iterator[Any]:
        since = np.zeros(self.batch or ())
        while True:
            since = since + 1
            c = self.cut_probability(since)
            survives = self.rng.random(self.batch) < 1 - c
            yield np.where(survives, 1 / (1 - c), 0.0)
            since = np.where(survives, since, 0.0)

    def links(self, T: int) -> Array:
        return Links.links(self, T)  # one by one: each draw depends on the earlier ones

    def __repr__(self) -> str:
        return (
            f"Randomized.scheduled({self.alpha!r}, {self.mean_length!r}"
            f"{options(self.seed, self.batch)})"
        )


class Given(Randomized):
    """The result of `Randomized.from_links`: links that the caller has drawn."""

    def __init__(self, xi: Any) -> None:
        self.given = np.array(xi, np.float64)
        if self.given.ndim not in (1, 2) or not np.isfinite(self.given).all():
            raise ValueError(
                f"the links must be finite numbers of shape (T−1,) or (T−1, batch), but they have "
                f"the shape {self.given.shape}"
                + ("" if np.isfinite(self.given).all() else " and are not all finite")
            )

    def factors(self) -> Iterator[Any]:
        return given(self.given)

    def links(self, T: int) -> Array:
        return with_first(fitted(self.given, T, "links"), T)

    def ended(self, T: int) -> None:
        exactly(self.given, T, "links")

    def __repr__(self) -> str:
        return f"Randomized.from_links({self.given.tolist()!r})"


def fitted(values: Array, T: int, what: str) -> Array:
    """The values for the T−1 links between T steps, (T−1, ...), without the initial link."""
    if len(values) not in (T - 1, T):
        raise ValueError(
            f"between {T} steps there are {max(T - 1, 0)} links, "
            f"but {len(values)} {what} were given"
        )
    return values[1:] if len(values) == T else values


def exactly(values: Array, T: int, what: str) -> None:
    """Check at the end of a stream that no value is left over.

    A stream does not know T in advance, so it took the first value for the first link."""
    if len(values) > T - 1:
        raise ValueError(
            f"the stream ended after {T} steps, which have {max(T - 1, 0)} links between them, but "
            f"{len(values)} {what} were given: a stream takes none for the initial state"
        )


def with_first(xi: Array, T: int) -> Array:
    """The links with ξ_0 = 1 in front, if there is at least one step."""
    return np.concatenate([np.ones((min(T, 1), *xi.shape[1:])), xi])


def given(values: Array) -> Iterator[Any]:
    """The values one by one. Raises ValueError if the sequence is longer than they are."""
    yield from values
    raise ValueError(
        f"the sequence has more than {len(values) + 1} steps, but only {len(values)} links were "
        f"given"
    )


def options(seed: Any, batch: int | None) -> str:
    """The other arguments in a repr. A Generator is left out: it cannot be written as code."""
    rng = f", rng={seed}" if isinstance(seed, int | np.integer) else ""
    return rng + (f", batch={batch}" if batch is not None else "")
