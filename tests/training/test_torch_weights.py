"""Weights from PyTorch and to it, checked against what PyTorch computes with them."""

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")

B, D, H = 2, 3, 4
KINDS = ["RNN", "LSTM", "GRU"]


def close(found, expected, tolerance=1e-12):
    scale = max(1, np.max(np.abs(expected)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def outputs(cell, xs):
    """What the top layer gives out at all steps, stacked, and the last state."""
    states, last = tg.unroll(cell, xs)
    return np.stack([cell.output(state) for state in states]), last


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_weights_of_torch_give_the_values_and_gradients_of_torch(
    kind, bias, layers, dtype, tolerance
):
    torch.manual_seed(0)
    kwargs = {"num_layers": layers, "bias": bias, "dtype": getattr(torch, np.dtype(dtype).name)}
    module = getattr(torch.nn, kind)(D, H, **kwargs)
    cell = tg.from_torch(module)
    rng = np.random.default_rng(1)
    xs, weight = rng.normal(size=(30, B, D)).astype(dtype), rng.normal(size=(30, B, H))

    theirs = torch.tensor(xs, requires_grad=True)
    expected, _ = module(theirs)
    (expected * torch.tensor(weight.astype(dtype))).sum().backward()

    ours = tg.Tensor(xs, requires_grad=True)
    found, _ = outputs(cell, ours)
    assert found.dtype == dtype
    np.sum(found * weight.astype(dtype)).backward()

    close(found.data, expected.detach().numpy(), tolerance)
    close(ours.grad, theirs.grad.numpy(), tolerance)
    for n in range(layers):
        layer = cell.cells[n] if layers > 1 else cell
        close(layer.W_xh.grad, getattr(module, f"weight_ih_l{n}").grad.numpy().T, tolerance)
        close(layer.W_hh.grad, getattr(module, f"weight_hh_l{n}").grad.numpy().T, tolerance)
        if bias:
            close(layer.b_h.grad, getattr(module, f"bias_ih_l{n}").grad.numpy(), tolerance)
        if bias and kind == "GRU":
            close(layer.b_hn.grad, getattr(module, f"bias_hh_l{n}").grad.numpy()[-H:], tolerance)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_single_cells(kind, bias):
    module = getattr(torch.nn, f"{kind}Cell")(D, H, bias=bias, dtype=torch.float64)
    cell = tg.from_torch(module)
    x = np.random.default_rng(0).normal(size=(B, D))
    state = cell(x, cell.initial_state(B))
    theirs = module(torch.tensor(x))
    pairs = zip(state, theirs, strict=True) if kind == "LSTM" else [(state, theirs)]
    for found, expected in pairs:
        close(found.data, expected.detach().numpy())
    fresh = getattr(tg, f"{kind}Cell")(D, H, bias=bias, rng=5)
    back = tg.to_torch(fresh, getattr(torch.nn, f"{kind}Cell")(D, H, bias=bias).double())
    first = cell.output(fresh(x, fresh.initial_state(B)))
    theirs = back(torch.tensor(x))
    close(first.data, (theirs[0] if kind == "LSTM" else theirs).detach().numpy())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_go_to_torch(kind, layers, bias):
    make = getattr(tg, f"{kind}Cell")
    cells = [make(D if n == 0 else H, H, bias=bias, rng=n) for n in range(layers)]
    cell = cells[0] if layers == 1 else tg.Stacked(cells)
    module = getattr(torch.nn, kind)(D, H, num_layers=layers, bias=bias, dtype=torch.float64)
    assert tg.to_torch(cell, module) is module
    xs = np.random.default_rng(0).normal(size=(6, B, D))
    found, _ = outputs(cell, xs)
    close(found.data, module(torch.tensor(xs))[0].detach().numpy())
    state_dict = tg.to_torch(cell)
    assert list(state_dict) == list(module.state_dict())
    again = tg.from_torch(state_dict)
    for name, parameter in cell.parameters().items():
        np.testing.assert_array_equal(again.parameters()[name].data, parameter.data)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_two_directions_there_and_back(kind, layers):
    options = {"num_layers": layers, "bidirectional": True, "dtype": torch.float64}
    module = getattr(torch.nn, kind)(D, H, **options)
    model = tg.from_torch(module)
    values = np.random.default_rng(0).normal(size=(6, B, D))
    for n, layer in enumerate(model if layers > 1 else [model]):
        assert isinstance(layer, tg.Bidirectional), n
        values, (last, first) = layer(values)
    expected, ends = module(torch.tensor(np.random.default_rng(0).normal(size=(6, B, D))))
    close(values.data, expected.detach().numpy())
    h = (ends[0] if kind == "LSTM" else ends)[-2:].detach().numpy()
    for state, end in zip((last, first), h, strict=True):
        close((state[0] if kind == "LSTM" else state).data, end)
    state_dict = tg.to_torch(model)
    assert list(state_dict) == list(module.state_dict())
    other = tg.to_torch(model, getattr(torch.nn, kind)(D, H, **options))
    again = other(torch.tensor(np.random.default_rng(0).normal(size=(6, B, D))))[0]
    close(again.detach().numpy(), expected.detach().numpy())


def test_the_weights_are_copies():
    module = torch.nn.RNN(D, H)
    cell = tg.from_torch(module)
    before = cell.W_hh.data.copy()
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    np.testing.assert_array_equal(cell.W_hh.data, before)
    tg.to_torch(cell, module)
    with torch.no_grad():
        module.weight_hh_l0.zero_()
    np.testing.assert_array_equal(cell.W_hh.data, before)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, D)
        self.encoder = torch.nn.ModuleDict({"rnn": torch.nn.GRU(D, H, num_layers=2)})
        self.relu = torch.nn.RNNCell(H, H, nonlinearity="relu")
        self.out = torch.nn.Linear(H, 5)

    def forward(self, numbers):
        h, _ = self.encoder["rnn"](self.embedding(numbers))
        return self.out(self.relu(h[-1]))


def computed(model, numbers):
    xs = model["embedding"]["weight"][numbers]
    hs, _ = outputs(model["encoder"]["rnn"], xs)
    last = model["relu"](hs[-1], model["relu"].initial_state(B))
    return last @ model["out"]["weight"].T + model["out"]["bias"]


def test_a_whole_module_there_and_back():
    module = Model()
    model = tg.from_torch(module, np.float64)
    assert model["relu"].nonlinearity == "relu"
    numbers = np.random.default_rng(0).integers(0, 5, (6, B))
    close(computed(model, numbers).data, module(torch.tensor(numbers)).detach().numpy(), 1e-6)
    model["out"]["weight"].data = model["out"]["weight"].data * 2
    model["encoder"]["rnn"].cells[1].W_hh.data = np.eye(H, 3 * H)
    other = tg.to_torch(model, Model().double())
    close(computed(model, numbers).data, other(torch.tensor(numbers)).detach().numpy())
    again = tg.from_torch(module.state_dict(), np.float64, nonlinearity="relu")
    assert again["relu"].nonlinearity == "relu" and again["out"]["bias"].name == "out.bias"


def test_options_are_honoured_or_refused():
    for options, says in [
        ({"batch_first": True}, r"the module is a GRU with batch_first, .* \(T, batch, input\)"),
        ({"num_layers": 2, "dropout": 0.5}, r"dropout=0.5 in training.*\.eval\(\)"),
    ]:
        module = torch.nn.GRU(D, H, **options)
        with pytest.raises(TypeError, match=says):
            tg.from_torch(module)
        with pytest.raises(TypeError, match=says):
            tg.to_torch(tg.from_torch(module.state_dict()), module)
    model = Model()
    model.encoder["rnn"].batch_first = True
    with pytest.raises(TypeError, match=r"encoder\.rnn is a GRU with batch_first"):
        tg.from_torch(model)
    module = torch.nn.GRU(D, H, num_layers=2, dropout=0.5).double().eval()
    xs = np.random.default_rng(0).normal(size=(6, B, D))
    close(outputs(tg.from_torch(module), xs)[0].data, module(torch.tensor(xs))[0].detach().numpy())


def test_only_what_can_be_carried_over_is():
    with pytest.raises(TypeError, match="projections"):
        tg.from_torch(torch.nn.LSTM(4, 4, proj_size=2))
    with pytest.raises(
        TypeError, match="a recurrent layer or cell, but its parameters are weight, bias"
    ):
        tg.from_torch(torch.nn.Linear(2, 2))
    with pytest.raises(TypeError, match="its type is int"):
        tg.from_torch(3)
    for cell in (tg.RNNCell(D, H, "identity"), tg.RNNCell(D, H, residual=True), max):
        with pytest.raises(TypeError, match="PyTorch has no layer that computes"):
            tg.to_torch(cell)
    with pytest.raises(TypeError, match="cannot be a PyTorch RNN of tanh"):
        tg.to_torch(tg.RNNCell(D, H, "relu"), torch.nn.RNN(D, H))
    with pytest.raises(RuntimeError, match="size mismatch"):
        tg.to_torch(tg.RNNCell(D, H), torch.nn.RNN(D, 5))


def test_half_precision_that_numpy_does_not_have():
    cell = tg.from_torch(torch.nn.LSTM(D, H).bfloat16())
    assert cell.W_hh.dtype == np.float32


def test_what_is_no_cell_says_so():
    good = {"weight_ih": np.ones((12, 2)), "weight_hh": np.ones((12, 3))}
    biases = {"bias_ih": np.ones(12), "bias_hh": np.ones(12)}
    for change, sentence in [
        ({"weight_ih": None}, "weight_ih missing"),
        ({"weight_hh": np.ones((12, 5))}, r"weight_hh \(12, 5\)"),
        ({"weight_hh": np.ones((0, 0))}, r"weight_hh \(0, 0\)"),
        ({"weight_hh": np.ones((12, 3, 1))}, r"weight_hh \(12, 3, 1\)"),
        ({"weight_ih": np.ones(12)}, r"weight_ih \(12,\)"),
        ({"weight_ih": np.ones((11, 2))}, r"weight_ih \(11, 2\)"),
        ({"bias_hh": None}, "bias_hh missing"),
        ({"bias_ih": np.ones(3)}, r"bias_ih \(3,\)"),
        ({"weight_hh": np.ones((12, 3), int)}, "needs float weights of the shapes"),
    ]:
        weights = {n: a for n, a in (good | biases | change).items() if a is not None}
        with pytest.raises(TypeError, match=sentence):
            tg.from_torch(weights)
    nested = {f"rnn.{name}": array for name, array in good.items()}
    for other in ({"rnn": np.ones(2)}, {"rnn.weight": np.ones(2)}):
        for state in (other | nested, nested | other):
            with pytest.raises(TypeError, match="stands in the place of another part"):
                tg.from_torch(state)
