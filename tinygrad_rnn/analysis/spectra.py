"""Bounds on gradients from the recurrent weights alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.tensor import Tensor


class Spectrum(NamedTuple):
    """The spectral radius and the norm of W_hh, which bound the products of Jacobians.

    radius: ρ, the largest modulus of an eigenvalue. norm: σ, the largest singular value.
    """

    radius: float
    norm: float

    def upper(self, lag: Any) -> Array:
        """σ^k ≥ ‖∂h_t/∂h_{t−k}‖, for any nonlinearity with |φ'| ≤ 1: tanh, relu, identity.

        With σ < 1 gradients must vanish (Pascanu et al. 2013)."""
        return self.norm ** np.asarray(lag, np.float64)

    def lower(self, lag: Any) -> Array:
        """ρ^k ≤ ‖∂h_t/∂h_{t−k}‖ = ‖W^k‖, for the linear network only.

        With ρ > 1 its gradients must explode; and ‖W^k‖^(1/k) → ρ (Gelfand)."""
        return self.radius ** np.asarray(lag, np.float64)

    def __str__(self) -> str:
        if self.norm < 1:
            says = "gradients vanish, whatever the inputs are"
        elif self.radius > 1:
            says = "gradients of a linear network explode; saturation can hold those of tanh back"
        elif self.radius < 1:
            says = "gradients vanish in the long run, but may grow before they do"
        else:
            says = "neither has to happen"
        return f"spectral radius {self.radius:.4g}, largest singular value {self.norm:.4g}: {says}"


def spectrum(W_hh: Any) -> Spectrum:
    """The spectral radius and the largest singular value of a recurrent weight matrix.

    W_hh: (n, n), an array or a Tensor.
    Raises ValueError for a matrix that is not square: take one gate of a gated cell.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> print(tg.analysis.spectrum(np.array([[0.9, 1.0], [0.0, 0.9]])))
    spectral radius 0.9, largest singular value 1.53: gradients vanish in the long run, but may
    grow before they do
    """
    W = W_hh._data if isinstance(W_hh, Tensor) else np.asarray(W_hh)
    if W.ndim != 2 or W.shape[0] != W.shape[1]:
        raise ValueError(
            f"the spectrum needs a square matrix such as cell.W_hh, not this "
            f"{type(W_hh).__name__} of shape {W.shape}; for a gated cell, pass the block of one "
            f"gate"
        )
    radius = float(np.max(np.abs(np.linalg.eigvals(W))))
    return Spectrum(radius, float(np.linalg.norm(W, ord=2)))
