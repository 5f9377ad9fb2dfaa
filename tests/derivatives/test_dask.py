"""Arrays that are not NumPy's: the table over Dask gives NumPy's gradients, or none."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.derivatives.samples import SAMPLES
from tests.derivatives.test_table import SEVERAL, TABLE, _is_float, name
from tinygrad_rnn.engine.trees import flatten


def gradients(function, case, make):
    inputs = []

    def tracked(tree):
        if isinstance(tree, list | tuple):
            return type(tree)(map(tracked, tree))
        if not _is_float(tree):
            return tree
        inputs.append(tg.Tensor(make(tree), requires_grad=True))
        return inputs[-1]

    y = function(*tracked(case.args), **case.kwargs)
    values = [v for v in flatten(y) if isinstance(v, tg.Tensor) and v.requires_grad]
    total = sum(np.sum(v * v) for v in values)
    return [np.asarray(g) for g in tg.gradients(total, inputs)]


@pytest.mark.filterwarnings("ignore")
def test_the_table_over_dask():
    dask = pytest.importorskip("dask")
    array = pytest.importorskip("dask.array")

    def chunked(x):
        return array.from_array(np.asarray(x), chunks=2)

    right, wrong = set(), []
    with dask.config.set(scheduler="synchronous"):
        for function in TABLE:
            if function in SEVERAL:
                continue
            for case in SAMPLES.get(function, [])[:2]:
                if any(0 in np.shape(x) for x in flatten(case.args) if _is_float(x)):
                    continue
                try:
                    over_dask = gradients(function, case, chunked)
                except Exception:  # what Dask does not have, it says in many ways
                    continue
                over_numpy = gradients(function, case, np.asarray)
                for a, b in zip(over_dask, over_numpy, strict=True):
                    if not np.allclose(a, b, rtol=1e-12, atol=1e-12, equal_nan=True):
                        wrong.append(name(function))
                right.add(name(function))
    assert not wrong
    assert len(right) > 170
    assert {"tanh", "matmul", "sum", "max", "concatenate", "where", "getitem", "einsum"} <= right
