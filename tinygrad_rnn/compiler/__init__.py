"""`scan`: the program that one would have written by hand, derived from the cell."""
