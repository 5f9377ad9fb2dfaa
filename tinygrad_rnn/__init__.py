"""A mini reverse-mode autodiff engine on NumPy, whose subject is backpropagation through time."""

from tinygrad_rnn import analysis
from tinygrad_rnn.analysis.anomaly import anomaly
from tinygrad_rnn.analysis.gradient_check import check_gradients
from tinygrad_rnn.analysis.truncation_check import check_truncated_gradients
from tinygrad_rnn.compiler.runtime.scan import scan, scan_source
from tinygrad_rnn.derivatives.functions import (
    cross_entropy,
    log_softmax,
    mse,
    one_hot,
    relu,
    scale_gradient,
    sigmoid,
    softmax,
)
from tinygrad_rnn.engine import operators as operators
from tinygrad_rnn.engine.gradients import contributions, gradients, tape
from tinygrad_rnn.engine.lost_gradients import GradientLostWarning
from tinygrad_rnn.engine.memory import keep_freed_memory
from tinygrad_rnn.engine.recording import no_grad, scope, step
from tinygrad_rnn.engine.table import derivative
from tinygrad_rnn.engine.tensor import Tensor
from tinygrad_rnn.engine.transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from tinygrad_rnn.recurrent.cells import GRUCell, LSTMCell, RNNCell
from tinygrad_rnn.recurrent.randomized import Randomized
from tinygrad_rnn.recurrent.stacked import Stacked
from tinygrad_rnn.recurrent.state import detach, reset
from tinygrad_rnn.recurrent.stream import stream
from tinygrad_rnn.recurrent.torch_weights import from_torch, to_torch
from tinygrad_rnn.recurrent.truncation import TBPTT, Full, Subsequence, Window
from tinygrad_rnn.recurrent.unroll import unroll
from tinygrad_rnn.training import schedules
from tinygrad_rnn.training.bptt import BPTT
from tinygrad_rnn.training.checkpoints import load, restore_run, save, save_run
from tinygrad_rnn.training.clipping import clip_grad_norm, clip_grad_value
from tinygrad_rnn.training.data_parallel import data_parallel, shard_gradients, split_batch
from tinygrad_rnn.training.optimizers import SGD, Adagrad, Adam, AdamW, RMSProp

__version__ = "0.1.0"

keep_freed_memory()

__all__ = [
    "BPTT",
    "SGD",
    "TBPTT",
    "Adagrad",
    "Adam",
    "AdamW",
    "Full",
    "GRUCell",
    "GradientLostWarning",
    "LSTMCell",
    "RMSProp",
    "RNNCell",
    "Randomized",
    "Stacked",
    "Subsequence",
    "Tensor",
    "Window",
    "analysis",
    "anomaly",
    "check_gradients",
    "check_truncated_gradients",
    "clip_grad_norm",
    "clip_grad_value",
    "contributions",
    "cross_entropy",
    "data_parallel",
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
    "restore_run",
    "save",
    "save_run",
    "scale_gradient",
    "scan",
    "scan_source",
    "schedules",
    "scope",
    "shard_gradients",
    "sigmoid",
    "softmax",
    "split_batch",
    "step",
    "stream",
    "tape",
    "to_torch",
    "unroll",
    "value_and_grad",
    "vjp",
]
