"""The table of derivatives, one file for each kind of function."""

from tinygrad_rnn.derivatives import (  # noqa: F401
    arithmetic,
    elementary,
    indexing,
    products,
    reductions,
    shapes,
)
from tinygrad_rnn.derivatives.table import CONSTANT, RULES, constant, derivative

__all__ = ["CONSTANT", "RULES", "constant", "derivative"]
