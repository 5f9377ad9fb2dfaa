"""Training with arrays that are not NumPy's, and refuse to become them."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.elsewhere import DeviceArray
from tinygrad_rnn.engine.trees import flatten

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


LENGTHS = np.array([2, T, 0])
RESET = np.arange(T * B).reshape(T, B) % 3 == 1


@pytest.mark.parametrize("kind", [tg.RNNCell, tg.LSTMCell, tg.GRUCell])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reverse": True},
        {"lengths": LENGTHS},
        {"lengths": LENGTHS, "reverse": True, "reset": RESET},
        {"truncation": tg.Links(RESET.astype(float))},
        {"truncation": tg.Window(1), "lengths": LENGTHS},
        {"stacked": True, "lengths": LENGTHS},
    ],
)
def test_all_that_belongs_to_single_sequences(kind, options):
    """Lengths, resets, links and the first state are NumPy's, or made here."""

    def run(there):
        cell = kind(D, H, rng=0)
        if there is DeviceArray:
            moved(cell.parameters())
        xs = np.random.default_rng(0).normal(size=(T, B, D))
        states, last = tg.unroll(cell, there(xs), **options)
        parts = [states] if options.get("stacked") else states
        parts = [part for state in (*parts, last) for part in flatten(state)]
        sum(np.sum(part**2) for part in parts).backward()
        return [*(part.data for part in parts), *(p.grad for p in cell.parameters().values())]

    for here, there in zip(run(np.asarray), run(DeviceArray), strict=True):
        assert type(there) is DeviceArray
        np.testing.assert_array_equal(there.get(), here)


@pytest.mark.parametrize("given", [{"lengths": LENGTHS}, {"mask": ~RESET}, {"reset": RESET}])
def test_a_recorded_loss_of_what_counts(given):
    xs, targets = np.ones((T, B, D)), np.zeros((T, B, H))

    def run(there):
        cell = tg.RNNCell(D, H, rng=0)
        if there is DeviceArray:
            moved(cell.parameters())
        bptt = tg.BPTT(cell, lambda h, y: np.mean((h - y) ** 2, axis=-1))
        bptt.record(there(xs), there(targets), **given).backward()
        return cell.W_hh.grad

    np.testing.assert_array_equal(run(DeviceArray).get(), run(np.asarray))


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
