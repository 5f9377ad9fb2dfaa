"""Sums as products with ones are the sums."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.support.fast_sums import KEPT, ones, over_rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3), (3, 0), (0, 3)], ids=str)
def test_over_rows(shape, dtype):
    a = np.random.default_rng(0).normal(size=shape).astype(dtype)
    for found in (over_rows(a), over_rows(tg.Tensor(a)).data):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, a.sum(axis=0), rtol=4 * np.finfo(dtype).eps)


def test_ones_are_kept_up_to_a_length_and_are_nobodys_to_write():
    short, long = ones(KEPT, np.dtype(float)), ones(KEPT + 1, np.dtype(float))
    assert ones(KEPT, np.dtype(float)) is short and len(short) == KEPT and short.all()
    assert len(long) == KEPT + 1 and ones(KEPT + 1, np.dtype(float)) is not long
    assert not short.flags.writeable
