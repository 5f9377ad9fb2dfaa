"""Random cells as a stranger would write them, run in every way that there is: `python -m
tests.fuzz --minutes 10` looks for one that comes out wrong, and prints a minimal program."""
