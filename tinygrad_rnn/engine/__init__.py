"""The engine: Tensors and their nodes, the mechanism of the derivatives, and the reverse pass.

Read the files in this order, which takes half an hour:

    recording, graph       what is recorded: nodes, edges, and the marks of steps and scopes
    tensor                 an array and its node
    table, rules           the notation for derivatives, and the rows of the table
    apply                  the two parts of every operation: compute, then record
    backward               the reverse pass

The other files build on these. `operators` and `array_methods` complete the class Tensor.
`fast_path` and `fast_backward` are faster versions of `apply` and `backward`. `gradients` and
`transforms` use the reverse pass. `fit`, `errors`, `trees`, `substitution` and `lost_gradients`
are small tools.
"""

# These imports complete the class Tensor: operators and the reverse pass.
from tinygrad_rnn.engine import backward as backward, operators as operators
