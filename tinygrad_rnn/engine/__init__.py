"""The engine: Tensors and their nodes, the mechanism of the derivatives, and the reverse pass."""

# What completes the class Tensor: how it answers operators, and what flows back.
from tinygrad_rnn.engine import backward as backward, operators as operators
