"""Tools that do not depend on Tensors: memory, garbage collection, Ctrl-C, the names of functions'
arguments, fast sums, public names."""
