"""Pickled and copied Tensors."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_rnn as tg

CHILD = """
import pickle, sys, numpy as np, tinygrad_rnn as tg
w, cell = pickle.load(sys.stdin.buffer)
y = tg.Tensor(1.0)
for _ in range(60):
    y = y * w
y.backward()
np.testing.assert_allclose(w.grad, 60 * 1.1**59)
fresh = tg.RNNCell(3, 4, rng=0)
for c in (cell, fresh):
    np.sum(tg.unroll(c, np.ones((5, 2, 3)))[1]).backward()
np.testing.assert_array_equal(cell.W_hh.grad, fresh.W_hh.grad)
assert cell.W_hh.name == "W_hh"
"""


def test_in_another_process():
    """There the tape begins anew: an old place on it would be wrong."""
    for _ in range(1000):
        tg.Tensor(1.0, name="x")
    w = tg.Tensor(1.1, requires_grad=True)
    data = pickle.dumps((w, tg.RNNCell(3, 4, rng=0)))
    subprocess.run([sys.executable, "-c", CHILD], input=data, check=True)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_leaf(again):
    w = tg.Tensor(np.ones(3), requires_grad=True, name="w")
    np.sum(w * 2).backward()
    constant = tg.Tensor([1, 2])
    v, tied, c = again((w, [w], constant))
    assert v is tied[0] and v is not w and v.node is not w.node
    assert (v.name, v.requires_grad, v.shape) == ("w", True, (3,))
    np.testing.assert_array_equal(v.grad, w.grad)
    np.sum(v).backward()
    np.testing.assert_array_equal(v.grad, np.full(3, 3.0))
    np.testing.assert_array_equal(w.grad, np.full(3, 2.0))
    assert not c.requires_grad and c.grad is None and c.dtype == constant.dtype
    shallow = copy.copy(w)
    assert shallow.node is not w.node and np.shares_memory(shallow.data, w.data)


def test_a_history_is_not_pickled():
    w = tg.Tensor(2.0, requires_grad=True)
    with pytest.raises(TypeError, match=r"h of shape \(\) was computed by multiply, and only its "
                       r"numbers can be pickled: pickle .detach\(\) or .data"):  # fmt: skip
        pickle.dumps((w * w).named("h"))
    with pytest.raises(TypeError, match="a node belongs to the graph of its process"):
        pickle.dumps(w.node)
    h = w * w
    assert pickle.loads(pickle.dumps([h.detach(), h.cut()]))[1].data == 4.0


def test_a_copy_of_a_computed_value_has_its_history():
    """However long that is."""
    w = tg.Tensor(2.0, requires_grad=True)
    y = w
    for _ in range(20_000):
        y = y + 1.0
    for other in (copy.deepcopy(y), copy.copy(y)):
        w.grad = None
        other.backward()
        assert w.grad == 1.0
