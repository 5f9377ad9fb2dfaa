"""The analysis of gradients, against closed forms."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import analysis

T, B, D, H = 9, 2, 3, 4


@pytest.fixture
def xs():
    return np.random.default_rng(0).normal(size=(T, B, D))


def linear_cell():
    cell = tg.RNNCell(D, H, nonlinearity="identity", rng=1)
    cell.W_hh.data = np.random.default_rng(1).normal(size=(H, H)) * 0.6
    return cell


# Jacobians ----------------------------------------------------------------------------------------


def test_the_jacobian_of_a_linear_network_is_its_matrix(xs):
    cell = linear_cell()
    J = analysis.jacobians(cell, xs)
    np.testing.assert_allclose(J, np.broadcast_to(cell.W_hh.data.T, (T, B, H, H)), atol=1e-15)


def test_the_jacobian_of_tanh(xs):
    cell = tg.RNNCell(D, H, rng=1)
    states, _ = tg.unroll(cell, xs)
    J = analysis.jacobians(cell, xs)
    for t in range(T):
        for b in range(B):
            slope = 1 - states[t].data[b] ** 2
            np.testing.assert_allclose(J[t, b], slope[:, None] * cell.W_hh.data.T, atol=1e-14)


@pytest.mark.parametrize("make", [tg.LSTMCell, tg.GRUCell])
def test_jacobians_of_gated_cells_by_differences(xs, make):
    cell = make(D, H, rng=1)
    start = tuple(np.random.default_rng(2).normal(size=(B, H)) for _ in range(2))
    start = start if make is tg.LSTMCell else start[0]
    J = analysis.jacobians(cell, xs, start)
    assert J.shape == (T, B, (2 if make is tg.LSTMCell else 1) * H, J.shape[2])
    flat = np.concatenate(start, axis=1) if make is tg.LSTMCell else start

    def step(flat):
        state = (flat[:, :H], flat[:, H:]) if make is tg.LSTMCell else flat
        after = cell(xs[0], state)
        return np.concatenate([h.data for h in after], 1) if make is tg.LSTMCell else after.data

    for j in range(flat.shape[1]):
        move = np.zeros_like(flat)
        move[:, j] = 1e-6
        difference = (step(flat + move) - step(flat - move)) / 2e-6
        np.testing.assert_allclose(J[0, :, :, j], difference, atol=1e-8)


def test_products_are_powers_and_agree_with_the_reverse_pass(xs):
    cell = linear_cell()
    products = analysis.jacobian_products(analysis.jacobians(cell, xs))
    assert products.shape == (T + 1, B, H, H)
    for k in range(T + 1):
        power = np.linalg.matrix_power(cell.W_hh.data.T, k)
        np.testing.assert_allclose(products[k], np.broadcast_to(power, (B, H, H)), atol=1e-13)
    cell = tg.GRUCell(D, H, rng=1)
    states, _ = tg.unroll(cell, xs)
    early = analysis.jacobian_products(analysis.jacobians(cell, xs), t=6)
    for k in range(1, 7):
        for i in range(H):
            row = tg.gradients(np.sum(states[6][:, i]), [states[6 - k]])[0]
            np.testing.assert_allclose(early[k, :, i], row, atol=1e-14)


def test_norms_over_the_lag_stay_below_the_bound(xs):
    cell = tg.RNNCell(D, H, rng=1)
    norms = analysis.jacobian_norms(cell, xs)
    bound = analysis.spectrum(cell.W_hh).upper(np.arange(T + 1))
    assert norms.shape == (T + 1, B)
    assert (norms[0] == 1).all() and (norms <= bound[:, None] * (1 + 1e-12)).all()
    assert (norms[1:] < bound[1:, None]).all()  # tanh' < 1


def test_a_state_without_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, width\).*\(4,\)"):
        analysis.jacobians(lambda x, h: np.tanh(h), np.zeros((3, 4)), np.zeros(4))
    with pytest.raises(ValueError, match="no steps"):
        analysis.jacobians(linear_cell(), np.zeros((0, B, D)), np.zeros((B, H)))


# The spectrum -------------------------------------------------------------------------------------


def test_the_spectrum_bounds_the_powers():
    W = np.random.default_rng(3).normal(size=(6, 6))
    spectrum = analysis.spectrum(tg.Tensor(W))
    for k in range(30):
        norm = np.linalg.norm(np.linalg.matrix_power(W, k), 2)
        assert spectrum.lower(k) <= norm * (1 + 1e-10) and norm <= spectrum.upper(k) * (1 + 1e-10)


@pytest.mark.parametrize(
    ("W", "says"),
    [
        (0.5 * np.eye(2), "gradients vanish, whatever"),
        (1.5 * np.eye(2), "explode"),
        (np.array([[0.9, 1.0], [0.0, 0.9]]), "may grow before"),
        (np.eye(2), "neither"),
    ],
)
def test_the_spectrum_in_words(W, says):
    assert says in str(analysis.spectrum(W))


def test_the_spectrum_is_that_of_a_square_matrix():
    with pytest.raises(ValueError, match=r"\(3, 12\)"):
        analysis.spectrum(np.zeros((3, 12)))


# Contributions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "truncation", [tg.Full(), tg.Subsequence(4), tg.Window(2), tg.Randomized(0.5, 0)], ids=repr
)
def test_contributions_of_the_steps_sum_to_the_gradient(xs, truncation):
    cell = tg.RNNCell(D, H, rng=0)
    states, _ = tg.unroll(cell, xs, truncation=truncation)
    loss = sum(np.sum(h * h) for h in states)
    beside = loss + np.sum(np.square(cell.W_hh))  # a use in no step
    np.testing.assert_array_equal(
        analysis.step_contributions(beside, cell.W_hh, T),
        analysis.step_contributions(loss, cell.W_hh, T),
    )
    parts = analysis.step_contributions(loss, cell.W_hh, T)
    assert parts.shape == (T, H, H)
    whole = tg.gradients(loss, [cell.W_hh])[0]
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=0, atol=1e-13)


@pytest.mark.parametrize("truncation", [tg.Full(), tg.Subsequence(4), tg.Window(2), tg.TBPTT(2, 5)])
def test_pairs_are_zero_where_the_strategy_cuts(xs, truncation):
    cell = tg.RNNCell(D, H, rng=0)
    start = np.full((B, H), 0.1)
    full, _ = tg.unroll(cell, xs, start)
    states, _ = tg.unroll(cell, xs, start, truncation)
    losses = [[np.sum(h * h) for h in chain] for chain in (full, states)]
    everything, kept = (analysis.pair_contributions(chain, cell.W_hh) for chain in losses)
    assert (everything[np.tril_indices(T)] > 0).all()
    np.testing.assert_allclose(kept, everything * truncation.weights(T), rtol=1e-12)


def test_norms_of_the_gradients_of_the_states(xs):
    cell = linear_cell()
    states, last = tg.unroll(cell, xs)
    weight = np.random.default_rng(4).normal(size=(B, H))
    norms = analysis.gradient_norms(np.sum(weight * last), states)
    for t in range(T):
        g = weight @ np.linalg.matrix_power(cell.W_hh.data.T, T - 1 - t)
        assert norms[t] == pytest.approx(np.linalg.norm(g), rel=1e-12)


def test_the_parts_of_a_state_count_as_one_vector(xs):
    cell = tg.LSTMCell(D, H, rng=0)
    states, (h, c) = tg.unroll(cell, xs)
    norms = analysis.gradient_norms(np.sum(h) + np.sum(c * c), states)
    g = tg.gradients(np.sum(h) + np.sum(c * c), list(states[3]))
    assert norms[3] == pytest.approx(np.sqrt(sum(np.sum(part**2) for part in g)), rel=1e-12)


# The report ---------------------------------------------------------------------------------------


def test_reports():
    lag = np.arange(61)
    vanishing = analysis.report(0.9**lag)
    assert vanishing.kind == "vanishing" and vanishing.reach == 22  # 0.9^22 < 0.1 < 0.9^21
    assert vanishing.rate == pytest.approx(0.9) and vanishing.last == pytest.approx(0.9**60)
    exploding = analysis.report(3 * 1.2**lag)
    assert exploding.kind == "exploding" and exploding.reach == 13
    assert exploding.rate == pytest.approx(1.2)
    neither = analysis.report(1 + 0.5 * np.sin(lag))
    assert neither.kind == "neither" and neither.reach is None
    assert "neither" in str(neither)
    rows = analysis.report(np.stack([0.5**lag, 2.0**lag], axis=1))
    assert rows.kind == "neither" and rows.last == pytest.approx(1)


def test_a_report_of_growth_before_decay():
    J = np.array([[0.9, 1.0], [0.0, 0.9]])
    norms = [np.linalg.norm(np.linalg.matrix_power(J, k), 2) for k in range(101)]
    found = analysis.report(norms)
    assert found.kind == "vanishing" and found.peak_lag == int(np.argmax(norms))
    assert found.peak == pytest.approx(max(norms)) and "it grows first" in str(found)


def test_a_report_of_growth_that_is_over():
    lag = np.arange(80)
    found = analysis.report(np.where(lag < 40, 1.2**lag, 1.2**40 * 0.99 ** (lag - 40)))
    assert found.kind == "exploding" and found.rate == pytest.approx(0.99)
    assert "its peak is past" in str(found) and found.peak_lag == 40


def test_a_report_of_a_gradient_that_is_cut():
    found = analysis.report([1.0, 0.5, 0.2, 0.0, 0.0, 0.0])
    assert found.kind == "vanishing" and found.rate == 0 and found.reach == 3


def test_what_cannot_be_reported_on():
    for norms in ([1.0, 2.0], [0.0, 1.0, 2.0]):
        with pytest.raises(ValueError, match="at least three lags"):
            analysis.report(norms)


# Pictures -----------------------------------------------------------------------------------------


def test_the_picture_over_the_lag_shows_the_norms_and_the_bounds(tmp_path):
    pytest.importorskip("matplotlib")
    norms = 0.8 ** np.arange(20)
    bounds = analysis.Spectrum(0.7, 0.9)
    rows = np.stack([norms, norms**2], 1)
    figure = analysis.plot_lags({"RNN": norms, "rows": rows}, bounds)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].get_lines()}
    np.testing.assert_allclose(lines["RNN"], norms)
    np.testing.assert_allclose(lines["rows"], norms**1.5)
    np.testing.assert_allclose(lines["σᵏ, upper bound"], 0.9 ** np.arange(20))
    np.testing.assert_allclose(lines["ρᵏ, lower bound if linear"], 0.7 ** np.arange(20))
    assert figure.axes[0].get_yscale() == "log"
    figure.savefig(tmp_path / "lags.png")
    assert (tmp_path / "lags.png").stat().st_size > 5000


def test_the_picture_of_steps_has_no_mark_where_nothing_comes():
    pytest.importorskip("matplotlib")
    figure = analysis.plot_steps({"cut": [0.0, 0.0, 0.5, 1.0]})
    (line,) = figure.axes[0].get_lines()
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, np.nan, 0.5, 1.0])


def test_the_picture_of_pairs_shows_the_matrices(tmp_path):
    pytest.importorskip("matplotlib")
    strategies = [tg.Full(), tg.Subsequence(3), tg.Window(2), tg.Randomized(0.6, 1)]
    matrices = {repr(s): s.weights(10) for s in strategies}
    wide = {"contributions": np.tril(10.0 ** -np.add.outer(np.arange(10), np.arange(10)))}
    figure = analysis.plot_pairs(matrices | wide)
    titled = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(titled) == [*matrices, "contributions"]
    for name, matrix in (matrices | wide).items():
        shown = titled[name].get_images()[0].get_array()
        np.testing.assert_array_equal(shown.filled(0), matrix)
    figure.savefig(tmp_path / "pairs.png")


def test_without_matplotlib_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        analysis.plot_lags({"x": [1.0, 0.5, 0.2]})


def test_plots_show_themselves_and_legends_cover_no_curve() -> None:
    agg = pytest.importorskip("matplotlib.backends.backend_agg")
    curves = {
        f"{rate}^k": rate ** np.arange(20) for rate in (0.5, 0.7, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4)
    }
    for figure in (tg.analysis.plot_lags(curves), tg.analysis.plot_steps(curves)):
        assert figure._repr_png_().startswith(b"\x89PNG")
        (axes,) = figure.axes
        assert axes.get_title() and axes.get_legend() is None
        (legend,) = figure.legends
        renderer = agg.FigureCanvasAgg(figure).get_renderer()
        assert not legend.get_window_extent(renderer).overlaps(axes.get_window_extent(renderer))
        styles = {(line.get_color(), line.get_marker()) for line in axes.lines}
        assert len(styles) == len({line.get_marker() for line in axes.lines}) == 8
