"""What the engine stands on and what knows nothing of it: Python's memory and its interrupts, the
arguments of functions, sums, names."""
