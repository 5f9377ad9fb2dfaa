"""A mini reverse-mode autodiff engine on NumPy, whose subject is backpropagation through time.

`import tinygrad_rnn` loads the engine. The rest is loaded when a name is used for the first time.
"""

from typing import TYPE_CHECKING

from tinygrad_rnn import derivatives as derivatives
from tinygrad_rnn.support.names import on_demand

if TYPE_CHECKING:
    from tinygrad_rnn import analysis as analysis
    from tinygrad_rnn.analysis.anomaly import anomaly as anomaly
    from tinygrad_rnn.analysis.gradient_check import check_gradients as check_gradients
    from tinygrad_rnn.analysis.truncation_check import (
        check_truncated_gradients as check_truncated_gradients,
    )
    from tinygrad_rnn.compiler.frontend.refusals import TraceError as TraceError
    from tinygrad_rnn.compiler.runtime.cache import (
        StaleProgramWarning as StaleProgramWarning,
        clear_programs as clear_programs,
    )
    from tinygrad_rnn.compiler.runtime.scan import scan as scan, scan_source as scan_source
    from tinygrad_rnn.derivatives.functions import (
        log_softmax as log_softmax,
        one_hot as one_hot,
        relu as relu,
        scale_gradient as scale_gradient,
        sigmoid as sigmoid,
        softmax as softmax,
    )
    from tinygrad_rnn.engine.gradients import (
        contributions as contributions,
        gradients as gradients,
        tape as tape,
    )
    from tinygrad_rnn.engine.lost_gradients import GradientLostWarning as GradientLostWarning
    from tinygrad_rnn.engine.recording import no_grad as no_grad, scope as scope, step as step
    from tinygrad_rnn.engine.table import derivative as derivative
    from tinygrad_rnn.engine.tensor import Tensor as Tensor
    from tinygrad_rnn.engine.transforms import (
        grad as grad,
        hessian as hessian,
        hvp as hvp,
        jacobian as jacobian,
        jvp as jvp,
        value_and_grad as value_and_grad,
        vjp as vjp,
    )
    from tinygrad_rnn.recurrent.cells import (
        GRUCell as GRUCell,
        LSTMCell as LSTMCell,
        RNNCell as RNNCell,
    )
    from tinygrad_rnn.recurrent.layers import (
        dropout_mask as dropout_mask,
        embedding as embedding,
        layer_norm as layer_norm,
    )
    from tinygrad_rnn.recurrent.parameters import parameters as parameters
    from tinygrad_rnn.recurrent.randomized import Randomized as Randomized
    from tinygrad_rnn.recurrent.stacked import Stacked as Stacked
    from tinygrad_rnn.recurrent.state import detach as detach, reset as reset
    from tinygrad_rnn.recurrent.stream import stream as stream
    from tinygrad_rnn.recurrent.truncation import (
        TBPTT as TBPTT,
        Full as Full,
        Links as Links,
        Subsequence as Subsequence,
        Truncation as Truncation,
        Window as Window,
        Windows as Windows,
    )
    from tinygrad_rnn.recurrent.unroll import unroll as unroll
    from tinygrad_rnn.training import schedules as schedules
    from tinygrad_rnn.training.bidirectional import Bidirectional as Bidirectional
    from tinygrad_rnn.training.bptt import BPTT as BPTT
    from tinygrad_rnn.training.checkpoints import (
        load as load,
        restore_run as restore_run,
        save as save,
        save_run as save_run,
    )
    from tinygrad_rnn.training.clipping import (
        clip_grad_norm as clip_grad_norm,
        clip_grad_value as clip_grad_value,
    )
    from tinygrad_rnn.training.data_parallel import (
        data_parallel as data_parallel,
        shard_gradients as shard_gradients,
        split_batch as split_batch,
    )
    from tinygrad_rnn.training.losses import cross_entropy as cross_entropy, mse as mse
    from tinygrad_rnn.training.optimizers import (
        SGD as SGD,
        Adagrad as Adagrad,
        Adam as Adam,
        AdamW as AdamW,
        RMSProp as RMSProp,
    )
    from tinygrad_rnn.training.process_pool import process_pool as process_pool
    from tinygrad_rnn.training.torch_weights import from_torch as from_torch, to_torch as to_torch

__version__ = "0.1.0"

__all__, __getattr__, __dir__ = on_demand(
    __name__,
    {
        "analysis": "analysis",
        "analysis.anomaly": "anomaly",
        "analysis.gradient_check": "check_gradients",
        "analysis.truncation_check": "check_truncated_gradients",
        "compiler.frontend.refusals": "TraceError",
        "compiler.runtime.cache": "StaleProgramWarning clear_programs",
        "compiler.runtime.scan": "scan scan_source",
        "derivatives.functions": "log_softmax one_hot relu scale_gradient sigmoid softmax",
        "engine.gradients": "contributions gradients tape",
        "engine.lost_gradients": "GradientLostWarning",
        "engine.recording": "no_grad scope step",
        "engine.table": "derivative",
        "engine.tensor": "Tensor",
        "engine.transforms": "grad hessian hvp jacobian jvp value_and_grad vjp",
        "recurrent.cells": "GRUCell LSTMCell RNNCell",
        "recurrent.layers": "dropout_mask embedding layer_norm",
        "recurrent.parameters": "parameters",
        "recurrent.randomized": "Randomized",
        "recurrent.stacked": "Stacked",
        "recurrent.state": "detach reset",
        "recurrent.stream": "stream",
        "training.torch_weights": "from_torch to_torch",
        "recurrent.truncation": "Full Links Subsequence TBPTT Truncation Window Windows",
        "recurrent.unroll": "unroll",
        "training.schedules": "schedules",
        "training.bidirectional": "Bidirectional",
        "training.bptt": "BPTT",
        "training.checkpoints": "load restore_run save save_run",
        "training.clipping": "clip_grad_norm clip_grad_value",
        "training.data_parallel": "data_parallel shard_gradients split_batch",
        "training.losses": "cross_entropy mse",
        "training.process_pool": "process_pool",
        "training.optimizers": "Adagrad Adam AdamW RMSProp SGD",
    },
)
