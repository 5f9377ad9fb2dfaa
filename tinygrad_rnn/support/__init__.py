"""Tools below the engine, which know no Tensor: memory, garbage collection, Ctrl-C, what functions'
arguments are called, fast sums, public names."""
