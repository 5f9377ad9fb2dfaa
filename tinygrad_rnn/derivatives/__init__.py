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
