"""A mini reverse-mode autodiff engine on NumPy, whose subject is backpropagation through time."""

from tinygrad_rnn.cells import RNNCell
from tinygrad_rnn.derivatives import derivative
from tinygrad_rnn.functions import (
    cross_entropy,
    log_softmax,
    mse,
    one_hot,
    relu,
    scale_gradient,
    sigmoid,
    softmax,
)
from tinygrad_rnn.graph import no_grad, scope, step
from tinygrad_rnn.sweep import contributions, gradients, tape
from tinygrad_rnn.tensor import Tensor
from tinygrad_rnn.truncation import Full, Subsequence
from tinygrad_rnn.unroll import unroll

__all__ = [
    "Full",
    "RNNCell",
    "Subsequence",
    "Tensor",
    "contributions",
    "cross_entropy",
    "derivative",
    "gradients",
    "log_softmax",
    "mse",
    "no_grad",
    "one_hot",
    "relu",
    "scale_gradient",
    "scope",
    "sigmoid",
    "softmax",
    "step",
    "tape",
    "unroll",
]
