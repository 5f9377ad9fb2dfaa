"""Vanishing, exploding or neither: a report on the norms of gradients over the lag."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

TENFOLD = 10.0
"""A gradient that stays within this factor of its norm at lag 0 is neither of the two."""


@dataclass(frozen=True)
class Report:
    """The result of `report`; `print` it for a summary in words.

    kind: "vanishing", "exploding" or "neither".
    rate: the factor per step over the second half of the lags, by least squares on the logarithm.
    lags: the number of lags.
    reach: the first lag from which on the norm stays below a tenth (vanishing) or above ten times
        (exploding) that at lag 0; None for neither.
    peak, peak_lag: the largest norm relative to lag 0, and its lag.
    last: the norm at the last lag, relative to lag 0.
    """

    kind: str
    rate: float
    lags: int
    reach: int | None
    peak: float
    peak_lag: int
    last: float

    def __str__(self) -> str:
        change = f"the norm at lag {self.lags} is {self.last:.3g} times that at lag 0"
        if self.kind == "neither":
            sentence = (
                f"neither vanishing nor exploding: {change}, a factor {self.rate:.4g} per step"
            )
        else:
            down = "down" if self.kind == "vanishing" else "up"
            sentence = (
                f"{self.kind}: {change}; {down} tenfold by lag {self.reach}, "
                f"in the long run by a factor {self.rate:.4g} per step"
            )
        if self.kind == "vanishing" and self.peak > 1.5:
            sentence += f"; it grows first, {self.peak:.3g}-fold at lag {self.peak_lag}"
        if self.kind == "exploding" and self.rate < 1:
            sentence += f"; its peak is past, {self.peak:.3g}-fold at lag {self.peak_lag}"
        return sentence


def report(norms: Any) -> Report:
    """Report in words and numbers whether the norms over the lag vanish or explode.

    norms: (K+1,), the norm at lag 0, 1, ..., K; or (K+1, batch), whose geometric mean is used.
        Take the result of `jacobian_norms`, or that of `gradient_norms` reversed, `[::-1]`.
    Raises ValueError for fewer than three lags, or a norm at lag 0 that is not positive.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> print(tg.analysis.report(0.8 ** np.arange(41)))
    vanishing: the norm at lag 40 is 0.000133 times that at lag 0; down tenfold by lag 11,
    in the long run by a factor 0.8 per step
    """
    norms = np.asarray(norms, np.float64)
    if len(norms) < 3 or not (norms[0] > 0).all():
        raise ValueError(
            f"a report needs the norms of at least three lags, the first one positive, "
            f"but the norms have the shape {norms.shape}"
        )
    with np.errstate(divide="ignore"):
        logs = np.log(norms) - np.log(norms[0])
    logs = logs if logs.ndim == 1 else logs.mean(axis=1)
    lag = np.arange(len(logs))
    last = float(logs[-1])
    kind = "neither"
    reach: int | None = None
    if abs(last) > np.log(TENFOLD):
        kind = "vanishing" if last < 0 else "exploding"
        inside = np.flatnonzero(logs * np.sign(last) < np.log(TENFOLD))
        reach = int(inside[-1]) + 1
    peak = int(np.argmax(logs))
    return Report(
        kind, _rate(lag, logs), int(lag[-1]), reach, float(np.exp(logs[peak])), peak,
        float(np.exp(last)),
    )  # fmt: skip


def _rate(lag: Any, logs: Any) -> float:
    """The factor per step over the second half of the lags; 0 if a norm there is 0."""
    half = slice(len(lag) // 2, None)
    if not np.isfinite(logs[half]).all():
        return 0.0 if np.any(np.isneginf(logs[half])) else float("inf")
    return float(np.exp(np.polyfit(lag[half], logs[half], 1)[0]))
