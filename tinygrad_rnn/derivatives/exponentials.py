"""exp(x − shift), its sums, and the cross-entropy: written into buffers, for NumPy's arrays.

Reductions along a short axis are slow in NumPy. So the exponentials use one shift for all rows, or
none if no overflow is possible, and their sums are a product with ones. If a row is so far below
the largest entry that digits would be lost, each row has its own shift. In half precision, which
has few digits, each row always has its own.

Compiled programs contain the source of these functions, so the functions depend on NumPy alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def exponentials(x: Any, ones: Any, e: Any, sums: Any) -> Any:
    """e ← exp(x − shift), sums ← Σ of each row; returns the shift: one number, or one per row. It
    is the integer 0 where there is none.

    x, e: (rows, classes). ones: as many as there are classes.
    """
    shift: Any = float(np.maximum.reduce(x, axis=None, initial=-np.inf))
    together = e.dtype.itemsize > 2 and abs(shift) < np.inf
    if together:
        shift = 0 if 0 <= shift <= 16 else shift
        np.exp(np.subtract(x, shift, e) if shift else x, e)
        if e.shape[1] == 5:  # for 5 columns OpenBLAS also reads the stack, and may find NaNs there
            np.sum(e, axis=1, out=sums)
        else:
            e.dot(ones, sums)
        together = np.minimum.reduce(sums) > 1e-7
    if not together:
        shift = x.max(axis=1)
        shift = np.where(np.isfinite(shift), shift, 0).astype(e.dtype)
        np.exp(np.subtract(x, shift[:, None], e), e)
        np.sum(e, axis=1, out=sums)
    return shift


def places_of(chosen: Any, classes: int) -> Any:
    """Where the chosen entry of each row is, all rows one after another."""
    places = np.arange(0, len(chosen) * classes, classes)
    return places + chosen if chosen.dtype == places.dtype else places + chosen.astype(int)


def cross_entropies(
    logits: Any, labels: Any, ones: Any, losses: Any = None, e: Any = None, s: Any = None
) -> Any:
    """−log softmax(logits) at the labels; exp(logits − shift) and its sums for the way back."""
    if e is None:
        e = np.empty(logits.shape, logits.dtype)
        losses, s = np.empty(labels.shape, e.dtype), np.empty(labels.shape, e.dtype)
    classes, chosen = logits.shape[-1], labels.reshape(-1)
    o, sums = logits.reshape(-1, classes), s.reshape(-1)
    unsigned = chosen.view(chosen.dtype.str.replace("i", "u"))  # −1 is the largest number
    if np.maximum.reduce(unsigned, initial=0) >= classes:
        raise ValueError(
            f"the labels must lie in 0..{classes - 1}, because the logits have {classes} classes, "
            f"but they range over {chosen.min()}..{chosen.max()}"
        )
    shift = exponentials(o, ones, e.reshape(-1, classes), sums)
    at_labels = o.reshape(-1)[places_of(chosen, classes)]
    if type(shift) is not int:
        at_labels -= shift  # first: a large shift would swallow the logarithms' digits
    np.subtract(np.log(sums), at_labels, losses.reshape(-1))
    return losses, e, s


def cross_entropy_gradient(e: Any, s: Any, labels: Any, weights: Any, out: Any = None) -> Any:
    """(softmax − 1 at the label) · weight of the place; the softmax is e / s."""
    out = np.multiply(e, (weights / s)[..., None], out)
    out.reshape(-1)[places_of(labels.reshape(-1), out.shape[-1])] -= weights.reshape(-1)
    return out
