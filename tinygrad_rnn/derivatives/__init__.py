"""The table of derivatives, one file for each kind of function."""

from tinygrad_rnn.derivatives import (  # noqa: F401
    accumulations,
    arithmetic,
    contractions,
    einsum,
    elementary,
    indexing,
    joining,
    linalg,
    norms,
    products,
    reductions,
    shapes,
    signals,
    statistics,
)
from tinygrad_rnn.engine.table import (
    COMPOSED,
    CONSTANT,
    RULES,
    composed,
    constant,
    convention,
    derivative,
    refused,
)

__all__ = [
    "COMPOSED",
    "CONSTANT",
    "RULES",
    "composed",
    "constant",
    "convention",
    "derivative",
    "refused",
]
