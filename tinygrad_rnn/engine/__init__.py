"""The engine: Tensors and their nodes, the mechanism of the derivatives, and the reverse pass.

To read it, half an hour, in this order:

    recording, graph       what is recorded: nodes, edges, and the marks of steps and scopes
    tensor                 an array and its node
    table, rules           how a derivative is written down, and what a row of the table is
    apply                  what every operation does: compute, then record
    backward               the reverse pass

The rest stands around these. `operators` and `array_methods` complete the class Tensor;
`fast_path` and `fast_backward` do the same as `apply` and `backward`, faster; `gradients` and
`transforms` read the reverse pass; `fit`, `errors`, `trees`, `substitution` and `lost_gradients`
are small tools of one idea each.
"""

# What completes the class Tensor: how it answers operators, and what flows back.
from tinygrad_rnn.engine import backward as backward, operators as operators
