"""Where the gradient's way back through time ends: each strategy is a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Full:
    """The whole sum: f(t) = 0."""

    def link(self, t: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Subsequence:
    """Chunks of k steps: f(t) = k·⌊t/k⌋."""

    k: int

    def link(self, t: int) -> float:
        return 0.0 if t % self.k == 0 else 1.0
