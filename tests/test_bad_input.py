"""Mistakes of somebody new: each is one sentence that says what came and what is expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tinygrad_rnn.recurrent.strategy import strategy

XS, H_0 = np.ones((5, 2, 3)), np.zeros((2, 4))
LABELS = np.zeros((5, 2), int)
W = tg.Tensor(np.ones((4, 4)), requires_grad=True, name="W")
LSTM, RNN = tg.LSTMCell(3, 4, rng=0), tg.RNNCell(3, 4, rng=0)
RUNS = (tg.unroll, tg.scan, lambda *a: list(tg.stream(*a)))


@pytest.mark.parametrize("run", RUNS)
def test_a_state_of_other_parts(run: Any) -> None:
    with pytest.raises(
        TypeError, match=r"has 2 parts \(h, c\), .* one array of shape \(2, 4\) was"
    ):
        run(LSTM, XS, H_0)
    with pytest.raises(TypeError, match=r"RNNCell has 1 part \(h\), as.* but 2 arrays were given"):
        run(RNN, XS, (H_0, H_0))
    with pytest.raises(ValueError, match=r"a state of shape \(batch, 4\), but .* state \(2, 5\)"):
        run(RNN, XS, np.zeros((2, 5)))


def test_a_pair_that_is_an_array_of_two_rows() -> None:
    """A batch of two was once taken for the pair (h, c)."""
    with pytest.raises(
        TypeError, match=r"a pair \(h, c\).* one ndarray of shape \(2, 4\) was given"
    ):
        LSTM(XS[0], H_0)
    with pytest.raises(TypeError, match="LSTMCell has 2 parts"):
        tg.BPTT(LSTM, tg.mse)(XS, np.ones((5, 2, 4)), H_0)


@pytest.mark.parametrize("run", RUNS)
def test_a_batch_that_shrinks_or_grows(run: Any) -> None:
    for first, second in ((2, 1), (1, 2)):
        steps = [np.ones((first, 3)), np.ones((first, 3)), np.ones((second, 3))]
        with pytest.raises(ValueError, match=r"one batch.*step 2|one shape.*\(1, 3\)"):
            run(RNN, steps, np.zeros((first, 4)))
        with pytest.raises(ValueError, match=r"one batch.*step 2|one shape.*\(1, 3\)"):
            run(
                lambda x, h: np.tanh(x["a"] @ np.ones((3, 4)) + h),
                {"a": steps},
                np.zeros((first, 4)),
            )


def test_functions_that_want_a_plain_array(tmp_path: Any) -> None:
    w = tg.Tensor(np.ones((3, 4)), requires_grad=True, name="w")
    np.savez(tmp_path / "w.npz", w=w)
    np.savetxt(tmp_path / "w.txt", w)
    assert np.load(tmp_path / "w.npz")["w"].tolist() == np.loadtxt(tmp_path / "w.txt").tolist()
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    for look in (plt.imshow, plt.contour, lambda t: np.testing.assert_allclose(t, 1)):
        with pytest.raises(TypeError, match=r"w of shape \(3, 4\) needs a gradient.*write \.data"):
            look(w)
    plt.close("all")
    with pytest.raises(TypeError, match=r"packbits has no rule.*pass \.data"):
        np.packbits(w)
    with pytest.raises(TypeError, match=r"histogram compares or counts values.*pass \.data"):
        np.histogram(w)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tensor", "there is Tensor"),
        ("LSTM", "LSTMCell"),
        ("tanh", r"NumPy's functions take Tensors: np\.tanh"),
        ("zeros", r"np\.zeros"),
    ],
)
def test_a_name_that_there_is_not(name: str, hint: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'; .*{hint}"):
        getattr(tg, name)
    with pytest.raises(AttributeError, match=r"no attribute '_repr_html_'$"):
        getattr(tg, "_repr_" + "html_")


def test_unknown_keywords() -> None:
    for call in (
        lambda: tg.scan(RNN, XS, trunc=tg.Full()),  # type: ignore[call-overload]
        lambda: tg.RNNCell(3, 4, activation="relu"),  # type: ignore[call-arg]
        lambda: tg.BPTT(RNN, tg.mse, window=3),  # type: ignore[call-arg]
        lambda: tg.Tensor(1.0, grad=True),  # type: ignore[call-arg]
        lambda: np.sum(tg.Tensor(1.0, requires_grad=True), axes=0),  # type: ignore[call-overload]
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            call()


@pytest.mark.parametrize("run", RUNS)
def test_a_run_inside_of_a_cell(run: Any) -> None:
    inner, xs = tg.RNNCell(4, 4, rng=0), np.random.default_rng(0).normal(size=(2, 3, 2, 4))

    def cell(x: Any, h: Any) -> Any:
        states = run(inner, x)
        return np.tanh((states[-1] if isinstance(states, list) else states[1]) + h)

    found = []
    for outer in (tg.unroll, tg.scan):
        _, last = outer(cell, xs, H_0)
        found.append((last.data, tg.gradients(np.sum(last * last), [inner.W_hh])[0]))
    for mine, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def bptt(loss: Any = lambda h, y: tg.cross_entropy(h @ W, y), **options: Any) -> Any:
    return tg.BPTT(RNN, loss, **options)


@pytest.mark.parametrize("run", RUNS)
def test_what_is_no_cell(run: Any) -> None:
    for cell, says in (
        (None, "the cell must be a function .* but its type is NoneType; the order"),
        (XS, "but its type is ndarray; the order of the arguments is"),
        (tg.RNNCell, r"the cell is the class RNNCell: make one, RNNCell\(...\)"),
        (lambda x, h: None, "the cell returned None: it must return the new state"),
    ):
        with pytest.raises(TypeError, match=says):
            run(cell, XS, H_0)


@pytest.mark.parametrize("run", RUNS)
def test_inputs_and_states_of_another_kind(run: Any) -> None:
    for xs, says in (
        (XS.astype(str), "takes arrays of floats, but x has the dtype <U"),
        (XS.astype(complex), "takes arrays of floats, but x has the dtype complex128"),
        (XS.astype(object), "takes arrays of floats, but x has the dtype object"),
        ({"a": XS}, "takes one array as x, but the type of x is dict"),
    ):
        with pytest.raises(TypeError, match=says):
            run(RNN, xs)
    with pytest.raises(TypeError, match="reads x and every part of its state, so none may be None"):
        run(LSTM, XS, (H_0, None))
    with pytest.raises(ValueError, match=r"nested as \[.*\] and returned one nested as \(\("):
        run(LSTM, XS, [H_0, H_0])


@pytest.mark.parametrize("run", RUNS[:2])
def test_lists_of_numbers_of_different_lengths(run: Any) -> None:
    with pytest.raises(ValueError, match="lists of numbers of different lengths"):
        run(lambda x, h: h, [[1, 2], [1]], H_0)
    with pytest.raises(ValueError, match="no steps"):
        run(RNN, [])


@pytest.mark.parametrize("run", RUNS)
def test_a_truncation_in_the_place_of_the_state(run: Any) -> None:
    for cell in (RNN, LSTM, lambda x, h: h):
        with pytest.raises(TypeError, match=r"nesting of arrays, but .* the part Window\(k=2\)$"):
            run(cell, XS, tg.Window(2))
    with pytest.raises(TypeError, match=r"has the part Window\(k=2\)$"):
        bptt()(XS, LABELS, tg.Window(2))
    with pytest.raises(TypeError, match=r"has the part 'zeros'$"):
        run(RNN, XS, "zeros")


def test_targets_and_losses() -> None:
    for call, says in (
        (lambda: bptt()(XS, None), "^targets must be a sequence"),
        (lambda: bptt()(XS, tuple(LABELS)), "^targets is a tuple of 5"),
        (lambda: tg.BPTT(XS, tg.mse), "the cell must be a function .* its type is ndarray; the"),
        (lambda: bptt(None), r"the loss must be a function loss\(output, target\)"),
        (lambda: bptt(lambda h, y: None)(XS, LABELS), "the loss must return .* returned None"),
        (lambda: bptt(lambda h, y: 3.0)(XS, LABELS), "the loss must return .* returned 3.0"),
        (lambda: bptt()(XS, LABELS * 1.0), r"integers, but they are float64.*\.astype\(int\)"),
    ):
        with pytest.raises(TypeError, match=says):
            call()
    with pytest.raises(ValueError, match="xs has 5 and targets has 6"):
        bptt()(XS, np.zeros((6, 2), int))
    with pytest.raises(ValueError, match=r"class numbers of shape \(2,\).*np\.argmax"):
        bptt()(XS, np.eye(4)[LABELS])
    with pytest.raises(ValueError, match="an axis of classes"):
        tg.cross_entropy(1.0, 0)
    with pytest.raises(tg.TraceError, match=r"number of an array.*use bptt\.record\(...\)"):
        bptt(lambda h, y: np.sum(h) * float(np.sum(h)))(XS, LABELS)


def test_the_sizes_of_a_cell() -> None:
    for sizes in ((0, 4), (3.0, 4), ("3", 4)):
        with pytest.raises(ValueError, match="input_size must be a whole number of at least 1"):
            tg.RNNCell(*sizes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"hidden_size must be .* not -1"):
        tg.GRUCell(3, -1)
    with pytest.raises(TypeError, match="must be one of floats, not int64"):
        tg.RNNCell(3, 4, dtype=np.int64)


def test_gradients_of_what_is_no_tensor() -> None:
    """The rows of one Tensor were once taken for a list of inputs, with gradients of zeros."""
    loss = np.sum(W * W)
    for inputs, says in ((W, "Tensor"), ([np.ones(3)], "list of ndarray")):
        with pytest.raises(TypeError, match=rf"such as \[w\], but its type is {says}$"):
            tg.gradients(loss, inputs)  # type: ignore[arg-type]
    for call in (lambda: tg.gradients(3.0, [W]), lambda: tg.contributions(3.0, W)):  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="the output must be a Tensor, but its type is float"):
            call()
    with pytest.raises(TypeError, match="tensor must be a Tensor, but its type is ndarray"):
        tg.contributions(loss, np.ones(3))  # type: ignore[arg-type]


def test_directions_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"tangents must have the shape of .* \(3,\), not \(2,\)"):
        tg.jvp(np.tanh, (np.ones(3),), (np.ones(2),))
    with pytest.raises(ValueError, match=r"v must have the shape of x, \(3,\), not \(2,\)"):
        tg.hvp(lambda x: np.sum(x**3), np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="the function returned no floats"):
        tg.check_gradients(lambda x: None, np.ones(3))


def test_numbers_of_the_optimizers() -> None:
    with pytest.raises(ValueError, match=r"betas must be .* not \(1\.5, 2\)"):
        tg.Adam([W], betas=(1.5, 2))
    for betas in ((0.9, 1.0), (0.9, 1.5), (-0.1, 0.9), (0.9,)):
        with pytest.raises(ValueError, match="betas must be two numbers from 0 to below 1, not"):
            tg.Adam([W], betas=betas)  # type: ignore[arg-type]
    for momentum in (-0.1, 1.0):
        with pytest.raises(ValueError, match="momentum must be at least 0 and below 1, not"):
            tg.SGD([W], 0.1, momentum)
    with pytest.raises(TypeError, match=r"learning_rate must be .* but its type is str"):
        tg.SGD([W], "a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="learning_rate must be a positive number, not -1"):
        tg.SGD([W], -1)
    with pytest.raises(TypeError, match="max_norm must be a positive number, but its type is list"):
        tg.clip_grad_norm(1.0, [W])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"limit must be a positive number, not 0"):
        tg.clip_grad_value([W], 0)


def test_save_with_its_arguments_in_the_wrong_order() -> None:
    with pytest.raises(TypeError, match="path must be the name of a file, but its type is dict"):
        tg.save(RNN.parameters(), "w.npz")  # type: ignore[arg-type]


def test_threads_of_numpy() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        tg.scan(RNN, XS, threads=0)
    with pytest.raises(ValueError, match='threads=2 needs backend="native"'):
        tg.scan(RNN, XS, threads=2)


STATES = tg.unroll(RNN, XS)[0]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: tg.Tensor([1.0], "W"), TypeError, r"True or False, not 'W'.*grad, name"),
        (lambda: tg.Tensor([1.0], name=3), TypeError, "a name must be a str, not 3"),
        (lambda: tg.Tensor([1.0]).named(3), TypeError, "a name must be a str, not 3"),
        (lambda: setattr(tg.Tensor([1.0]), "name", 3), TypeError, "must be a str, not 3"),
        (lambda: float(STATES[0]), TypeError, r"h_1 of shape \(2, 4\) cannot become one .* np.sum"),
        (lambda: int(STATES[0]), TypeError, "cannot become one Python number"),
        (lambda: tg.step("a"), TypeError, "a step must be a whole number.*not 'a'"),
        (lambda: tg.scope(3), TypeError, "the name of a scope must be a str, not 3"),
        (lambda: tg.tape(STATES), TypeError, "one by one, not list"),
        (lambda: tg.grad(W), TypeError, "a function of arrays.*Tensor.*tg.gradients"),
        (lambda: tg.value_and_grad(3.0), TypeError, "its type is float"),
        (lambda: tg.vjp(3.0, 1.0), TypeError, "its type is float"),
        (lambda: tg.derivative(3, lambda g: g), TypeError, "needs a function.*not 3"),
        (
            lambda: tg.vjp(tg.derivative(lambda x: +x, lambda g: np.ones(7)), XS[0, 0])[1](
                XS[0, 0]
            ),
            ValueError,
            r"gradient of shape \(7,\), which does not fit .* shape \(3,\)",
        ),
        (lambda: tg.check_gradients(np.sin, 1.0, order=0), ValueError, "at least 1, not 0"),
        (lambda: tg.RNNCell(3, 4, "tanh", 0), TypeError, "bias must be True or False, not 0"),
        (lambda: tg.LSTMCell(3, 4, "tanh"), TypeError, "bias must be .* not 'tanh'"),
        (lambda: RNN.initial_state("2"), TypeError, "batch_size must be .* its type is str"),
        (lambda: tg.Stacked(RNN), TypeError, "a list of cells.*its type is RNNCell"),
        (lambda: tg.Full().weights(3.5), TypeError, "number of steps.*its type is float"),
        (lambda: tg.Window(2).weights(-1), ValueError, "at least 0, not -1"),
        (
            lambda: list(tg.stream(RNN, XS[:3], None, tg.Randomized.from_links([1, 1, 0]))),
            ValueError,
            "2 links between them, but 3 links were given: a stream takes none for the initial",
        ),
        (lambda: tg.scan(RNN, XS, checkpoint=True), TypeError, "a number of .* not True"),
        (lambda: tg.cross_entropy(LABELS, H_0), TypeError, r"float64.*; .* \(logits, labels\)$"),
        (lambda: tg.analysis.spectrum(RNN), ValueError, r"cell\.W_hh, not this RNNCell of shape"),
        (lambda: tg.SGD(RNN, 0.1, momentum=2), ValueError, "at least 0 and below 1, not 2"),
        (lambda: tg.one_hot(3, [0, 1]), TypeError, r"type is list; .*\(labels, classes\)"),
        (lambda: tg.analysis.plot_lags([1, 2, 3]), TypeError, "curves must be .* type is list"),
        (lambda: tg.analysis.plot_steps(np.ones(3)), TypeError, "its type is ndarray"),
        (lambda: tg.analysis.plot_pairs({}), ValueError, "panels is empty"),
        (lambda: tg.analysis.gradient_norms(W, STATES[0]), TypeError, "states must be a list"),
        (lambda: tg.analysis.pair_contributions(W, W), TypeError, "losses must be a list"),
        (
            lambda: tg.analysis.jacobian_norms(RNN, XS, t=9),
            ValueError,
            r"must lie in -5\.\.4, for 5 steps, but it is 9",
        ),
        (lambda: viz.draw(STATES), TypeError, r"not list: viz\.draw\(\*losses\)"),
        (lambda: strategy("Window"), ValueError, "'Window' is not a truncation.*as a call"),
    ],
)
def test_what_has_another_meaning_or_none(call: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        call()
