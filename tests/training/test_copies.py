"""Models, optimizers and BPTT that are pickled or copied together stay tied to one another."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.training.pickling import pickled, unpickled

XS, TARGETS = np.ones((5, 2, 3)), np.zeros((5, 2, 4))


@pytest.fixture(params=[copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def again(request):
    return request.param


def step(bptt, optimizer):
    optimizer.zero_grad()
    bptt(XS, TARGETS)
    optimizer.step()


def same_tensors(parameters, others):
    return set(map(id, parameters.values())) == set(map(id, others.values()))


@pytest.mark.parametrize("rule", ["SGD", "RMSProp", "Adagrad", "Adam", "AdamW"])
def test_a_copy_goes_its_own_way_and_ends_with_the_same_bits(again, rule):
    cell = tg.LSTMCell(3, 4, rng=0)
    bptt = tg.BPTT(cell, tg.mse, tg.Window(2))
    optimizer = getattr(tg, rule)(bptt, tg.schedules.Exponential(0.1, 0.9))
    step(bptt, optimizer)
    cell2, bptt2, optimizer2 = again((cell, bptt, optimizer))
    assert bptt2.cell is cell2 and same_tensors(bptt2.parameters(), optimizer2.parameters)
    assert bptt2.truncation == tg.Window(2) and repr(optimizer2) == repr(optimizer)
    before = {name: parameter.data for name, parameter in cell.parameters().items()}
    step(bptt2, optimizer2)
    for name, parameter in cell.parameters().items():
        assert parameter.data is before[name]
    step(bptt, optimizer)
    for name, parameter in cell.parameters().items():
        np.testing.assert_array_equal(parameter.data, cell2.parameters()[name].data)


def test_how_it_runs_goes_with_a_bptt(again):
    pytest.importorskip("llvmlite")
    bptt = tg.BPTT(tg.RNNCell(3, 4, rng=0), tg.mse, backend="native", block=2, threads=2)
    other = again(bptt)
    assert (other.backend, other.block, repr(other)) == (bptt.backend, 2, repr(bptt))
    assert other(XS, TARGETS)[0] == bptt(XS, TARGETS)[0]


def test_functions_without_a_name_go_by_value():
    pytest.importorskip("cloudpickle")
    shared = np.ones(3)
    data = pickled(lambda: shared, lambda part: "it" if part is shared else None, "a function")
    assert unpickled(data, {"it": 5}.get)() == 5
