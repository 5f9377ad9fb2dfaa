"""The engine: nodes, Tensors, the mechanism of the derivatives, and the reverse pass."""
