"""Training with arrays that are not NumPy's, and refuse to become them."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.elsewhere import DeviceArray

T, B, D, H, Q = 4, 3, 5, 4, 5


def moved(parameters):
    for parameter in parameters.values():
        parameter.data = DeviceArray(parameter.data)


def run(kind, move, optimizer):
    """Three steps of training; all that comes out, as NumPy's arrays."""
    rng = np.random.default_rng(1)
    cell = getattr(tg, kind)(D, H, rng=0)
    embedding = tg.Tensor(rng.normal(size=(Q, D)), True, "E")
    W_hq = tg.Tensor(rng.normal(size=(H, Q)), True, "W_hq")
    parameters = {**cell.parameters(), "E": embedding, "W_hq": W_hq}
    numbers, state = rng.integers(0, Q, (T + 1, B)), np.zeros((B, H))
    if move:
        moved(parameters)
        numbers, state = DeviceArray(numbers), DeviceArray(state)
    state = (state, state) if kind == "LSTMCell" else state
    steps = getattr(tg, optimizer)(parameters, 0.1)
    for _ in range(3):
        xs = [embedding[numbers[t]] for t in range(T)]
        states, _ = tg.unroll(cell, xs, state)
        losses = [tg.cross_entropy(cell.output(states[t]) @ W_hq, numbers[t + 1]) for t in range(T)]
        steps.zero_grad()
        (sum(losses) / T).backward()
        tg.clip_grad_norm(parameters, 0.5)
        tg.clip_grad_value(parameters, 0.1)
        steps.step()
    kinds = {type(parameter.data) for parameter in parameters.values()}
    kinds |= {type(parameter.grad) for parameter in parameters.values()}
    assert kinds == {DeviceArray if move else np.ndarray}
    return parameters


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSProp", "Adagrad"])
@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_nothing_comes_back_by_itself_and_the_numbers_are_numpys(kind, optimizer):
    here, elsewhere = run(kind, False, optimizer), run(kind, True, optimizer)
    for name, parameter in here.items():
        there = elsewhere[name]
        np.testing.assert_allclose(there.data.get(), parameter.data, rtol=0, atol=1e-12)
        np.testing.assert_allclose(there.grad.get(), parameter.grad, rtol=0, atol=1e-12)


def test_saved_on_request_and_loaded_to_where_they_were(tmp_path):
    cell, other = tg.RNNCell(D, H, rng=0), tg.RNNCell(D, H, rng=1)
    before = {name: parameter.data for name, parameter in cell.parameters().items()}
    moved(cell.parameters())
    tg.save(tmp_path / "cell.npz", cell)
    moved(other.parameters())
    tg.load(tmp_path / "cell.npz", other)
    for name, parameter in other.parameters().items():
        assert type(parameter.data) is DeviceArray
        np.testing.assert_array_equal(parameter.data.get(), before[name])


def test_labels_are_looked_at_only_where_they_are_here():
    logits = DeviceArray(np.zeros((2, 3)))
    assert np.isnan(tg.cross_entropy(logits, DeviceArray(np.array([0, 3]))).get())
    with pytest.raises(ValueError, match=r"must lie in 0\.\.2"):
        tg.cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(TypeError, match="must be integers"):
        tg.cross_entropy(logits, DeviceArray(np.array([0.0, 1.0])))
    with pytest.raises(ValueError, match="need labels of shape"):
        tg.cross_entropy(logits, DeviceArray(np.array([0])))


def test_a_recorded_loss_stays_where_the_arrays_are():
    xs, targets, state = np.ones((T, B, D)), np.zeros((T, B, H)), np.zeros((B, H))
    cell, there = tg.RNNCell(D, H, rng=0), tg.RNNCell(D, H, rng=0)
    moved(there.parameters())
    expected = tg.BPTT(cell, tg.mse).record(xs, targets, state)
    found = tg.BPTT(there, tg.mse).record(*map(DeviceArray, (xs, targets, state)))
    expected.backward()
    found.backward()
    assert float(found.data) == pytest.approx(float(expected.data), rel=1e-14)
    assert type(there.W_hh.grad) is DeviceArray
    np.testing.assert_allclose(there.W_hh.grad.get(), cell.W_hh.grad, rtol=0, atol=1e-14)


def test_programs_are_not_for_arrays_elsewhere():
    """They would become NumPy's without a word, as Dask's do."""
    cell, xs, state = tg.RNNCell(D, H, rng=0), np.ones((T, B, D)), np.zeros((B, H))
    there = DeviceArray(xs)
    says = r"need NumPy arrays, but a tests.elsewhere.DeviceArray was given: convert it, or use"
    for given in ((there, state), ([*there], state), (tg.Tensor(there), state),
                  (xs, DeviceArray(state)), ({"x": there}, state)):  # fmt: skip
        with pytest.raises(TypeError, match=says):
            tg.scan(cell, *given)
    with pytest.raises(TypeError, match=says):
        tg.BPTT(cell, tg.mse)(there, DeviceArray(np.zeros((T, B, H))))
    array = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match=r"a dask.array.core.Array was given"):
        tg.scan(cell, array.from_array(xs))
