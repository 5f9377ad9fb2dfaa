"""Cross-entropy as a program has it: two functions that its page shows, each for any number of
places at once. A page needs NumPy alone and writes into buffers, so they are not the rows of the
table in `functions.py`, which take any kind of array; the numbers are the same.

Reductions along a short axis are slow in NumPy, so the exponentials take one shift for all places
and their sums are a product with ones. Where a row lies so far below the largest entry that digits
would be lost, each takes a shift of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def places_of(chosen: Any, classes: int) -> Any:
    """Where the chosen entry of each row is, all rows one after another."""
    places = np.arange(0, len(chosen) * classes, classes)
    return places + chosen if chosen.dtype == places.dtype else places + chosen.astype(int)


def cross_entropies(
    logits: Any, labels: Any, ones: Any, losses: Any = None, e: Any = None, s: Any = None
) -> Any:
    """−log softmax(logits) at the labels; exp(logits − shift) and its sums for the way back.

    ones: as many as there are classes.
    """
    if e is None:
        e = np.empty(logits.shape, logits.dtype)
        losses, s = np.empty(labels.shape, e.dtype), np.empty(labels.shape, e.dtype)
    classes, chosen = logits.shape[-1], labels.reshape(-1)
    o, e_rows, sums = logits.reshape(-1, classes), e.reshape(-1, classes), s.reshape(-1)
    if np.maximum.reduce(chosen.view(chosen.dtype.str.replace("i", "u"))) >= classes:  # as does −1
        raise ValueError(
            f"the labels must lie in 0..{classes - 1}, for the logits have {classes} classes, "
            f"but they range over {chosen.min()}..{chosen.max()}"
        )
    shift: Any = float(np.maximum.reduce(o, axis=None))
    if 0 <= shift <= 16:
        shift = 0
        np.exp(o, e_rows)
    else:
        np.exp(np.subtract(o, shift, e_rows), e_rows)
    e_rows.dot(ones, sums)
    if e.dtype.itemsize < 4 or not np.minimum.reduce(sums) > 1e-7:
        shift = o.max(axis=1, keepdims=True)
        shift = np.where(np.isfinite(shift), shift, 0).astype(e.dtype)
        np.exp(np.subtract(o, shift, e_rows), e_rows)
        np.sum(e_rows, axis=1, out=sums)
        shift = shift[:, 0]
    at_labels = o.reshape(-1)[places_of(chosen, classes)]
    if np.ndim(shift) or shift:
        at_labels -= shift  # first: a large shift would swallow the logarithms' digits
    np.subtract(np.log(sums), at_labels, losses.reshape(-1))
    return losses, e, s


def cross_entropy_gradient(e: Any, s: Any, labels: Any, weights: Any, out: Any = None) -> Any:
    """(softmax − 1 at the label) · weight of the place; the softmax is e / s."""
    out = np.multiply(e, (weights / s)[..., None], out)
    out.reshape(-1)[places_of(labels.reshape(-1), out.shape[-1])] -= weights.reshape(-1)
    return out
