"""A mini reverse-mode autodiff engine on NumPy, whose subject is backpropagation through time."""

from tinygrad_rnn import analysis
from tinygrad_rnn import operators as operators
from tinygrad_rnn.anomaly import anomaly
from tinygrad_rnn.cells import GRUCell, LSTMCell, RNNCell
from tinygrad_rnn.check import check_gradients
from tinygrad_rnn.check_truncation import check_truncated_gradients
from tinygrad_rnn.derivatives import derivative
from tinygrad_rnn.differentiate import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
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
from tinygrad_rnn.memory import keep_freed_memory
from tinygrad_rnn.optimizers import (
    SGD,
    Adagrad,
    Adam,
    RMSProp,
    clip_grad_norm,
    clip_grad_value,
)
from tinygrad_rnn.randomized import Randomized
from tinygrad_rnn.scan import Propagation, scan, scan_source
from tinygrad_rnn.stacked import Stacked, from_torch
from tinygrad_rnn.state import detach, reset
from tinygrad_rnn.storage import load, save
from tinygrad_rnn.stream import stream
from tinygrad_rnn.sweep import contributions, gradients, tape
from tinygrad_rnn.tensor import Tensor
from tinygrad_rnn.truncation import TBPTT, Full, Subsequence, Window
from tinygrad_rnn.unroll import unroll
from tinygrad_rnn.with_loss import WithLoss

keep_freed_memory()

__all__ = [
    "SGD",
    "TBPTT",
    "Adagrad",
    "Adam",
    "Full",
    "GRUCell",
    "LSTMCell",
    "Propagation",
    "RMSProp",
    "RNNCell",
    "Randomized",
    "Stacked",
    "Subsequence",
    "Tensor",
    "Window",
    "WithLoss",
    "analysis",
    "anomaly",
    "check_gradients",
    "check_truncated_gradients",
    "clip_grad_norm",
    "clip_grad_value",
    "contributions",
    "cross_entropy",
    "derivative",
    "detach",
    "from_torch",
    "grad",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "load",
    "log_softmax",
    "mse",
    "no_grad",
    "one_hot",
    "relu",
    "reset",
    "save",
    "scale_gradient",
    "scan",
    "scan_source",
    "scope",
    "sigmoid",
    "softmax",
    "step",
    "stream",
    "tape",
    "unroll",
    "value_and_grad",
    "vjp",
]
