"""The strategies as values: their definitions, to the letter."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.truncation import Links, Windows

T = 23

EARLIEST = {
    tg.Full(): lambda t: 0,
    tg.Subsequence(1): lambda t: t,
    tg.Subsequence(5): lambda t: 5 * (t // 5),
    tg.Subsequence(100): lambda t: 0,
    tg.Window(0): lambda t: t,
    tg.Window(4): lambda t: max(0, t - 4),
    tg.TBPTT(3, 5): lambda t: max(0, (t // 3 + 1) * 3 - 5),
    tg.TBPTT(4, 11): lambda t: max(0, (t // 4 + 1) * 4 - 11),
}

RANDOM = [
    lambda seed: tg.Randomized(0.7, seed),
    lambda seed: tg.Randomized(0.7, seed, batch=3),
    lambda seed: tg.Randomized(np.linspace(0.2, 1, T - 1), seed),
    lambda seed: tg.Randomized(np.full((T - 1, 2), 0.5), seed),
    lambda seed: tg.Randomized.scheduled(6, 16, seed),
    lambda seed: tg.Randomized.scheduled(2, 3, seed, batch=3),
    lambda seed: tg.Randomized.from_links(np.linspace(-1, 1, T - 1)),
]


@pytest.mark.parametrize("strategy", EARLIEST, ids=repr)
def test_earliest_and_weights_are_the_definition(strategy):
    f = EARLIEST[strategy]
    assert [strategy.earliest(t) for t in range(T)] == [f(t) for t in range(T)]
    M = [[float(f(t) <= s <= t) for s in range(T)] for t in range(T)]
    np.testing.assert_array_equal(strategy.weights(T), M)
    assert strategy.weights(T).dtype == np.float64


@pytest.mark.parametrize("k", [1, 2, 5, T - 1, T, T + 4])
def test_two_names_for_one_strategy(k):
    np.testing.assert_array_equal(tg.TBPTT(k, k).weights(T), tg.Subsequence(k).weights(T))
    np.testing.assert_array_equal(tg.TBPTT(1, k + 1).weights(T), tg.Window(k).weights(T))
    window = tg.Window(k)
    assert tg.TBPTT(window.k1, window.k2).weights(T).tolist() == window.weights(T).tolist()


@pytest.mark.parametrize("strategy", [s for s in EARLIEST if isinstance(s, Links)], ids=repr)
def test_links_and_reach_say_the_same(strategy):
    xi = strategy.links(T)
    assert xi[0] == 1  # the initial state is never cut
    cut = [t > 0 and strategy.earliest(t) == t for t in range(T)]
    np.testing.assert_array_equal(xi, 1.0 - np.array(cut))


@pytest.mark.parametrize("make", RANDOM)
def test_the_weight_of_a_pair_is_the_product_of_the_links_between(make):
    xi, M = make(3).links(T), make(3).weights(T)
    assert xi.shape[0] == T and M.shape == (T, *xi.shape)
    for t in range(T):
        for s in range(T):
            expected = np.prod(xi[s + 1 : t + 1], axis=0) if s <= t else 0 * xi[0]
            np.testing.assert_allclose(M[t, s], expected, rtol=1e-13)


@pytest.mark.parametrize("make", RANDOM)
def test_links_drawn_at_once_or_one_by_one_are_the_same(make):
    at_once, factors = make(5).links(T), make(5).factors()
    np.testing.assert_array_equal(at_once[1:], [next(factors) for _ in range(T - 1)])
    np.testing.assert_array_equal(at_once[0], np.ones_like(at_once[0]))


@pytest.mark.parametrize("make", RANDOM[:-1])
def test_every_sequence_draws_anew(make):
    strategy = make(np.random.default_rng(0))
    assert not np.array_equal(strategy.links(T), strategy.links(T))


@pytest.mark.parametrize("short", [0, 1, 2])
@pytest.mark.parametrize(
    "strategy", [*list(EARLIEST), tg.Randomized(0.5, 0), tg.Randomized.scheduled(2, 3, 0)], ids=repr
)
def test_short_sequences(strategy, short):
    M = strategy.weights(short)
    assert M.shape == (short, short)
    np.testing.assert_array_equal(np.diag(M), np.ones(short))


def test_a_k_for_each_sequence():
    k = np.array([2, 3, 7])
    for strategy in (tg.Subsequence, tg.Window, lambda k: tg.TBPTT(2, k), lambda k: tg.TBPTT(k, 9)):
        together = strategy(k).weights(T)
        assert together.shape == (T, T, 3)
        for row, one in enumerate(k):
            np.testing.assert_array_equal(together[..., row], strategy(int(one)).weights(T))


def test_a_link_is_one_on_average():
    xi = tg.Randomized(0.3, 0, batch=200_000).links(2)[1]
    assert set(xi) == {0.0, 1 / 0.3}
    assert abs(np.mean(xi) - 1) < 4 * np.sqrt((1 / 0.3 - 1) / 200_000)


def test_the_schedule_of_tallec_and_ollivier():
    """Links one by one: 1/(1−c) with c = α/((α−1)·L₀ + d), d starting anew at a cut."""
    alpha, mean_length, since = 2.5, 6.0, 0
    factors = tg.Randomized.scheduled(alpha, mean_length, 7).factors()
    uniform = np.random.default_rng(7)
    for _ in range(400):
        since += 1
        c = alpha / ((alpha - 1) * mean_length + since)
        survives = uniform.random() < 1 - c
        assert next(factors) == pytest.approx(1 / (1 - c) if survives else 0, rel=1e-14)
        since = since if survives else 0


def test_the_schedule_keeps_its_mean_length():
    xi = tg.Randomized.scheduled(6, 16, 1).links(200_000)
    lengths = np.diff(np.flatnonzero(xi == 0))
    assert 15.5 < lengths.mean() < 17.5


def test_given_links_may_have_one_for_the_initial_state():
    xi = [0.0, 2.0, 0.5]
    without = tg.Randomized.from_links(xi)
    np.testing.assert_array_equal(without.links(4), [1, 0, 2, 0.5])
    np.testing.assert_array_equal(tg.Randomized.from_links([7.0, *xi]).links(4), [1, 0, 2, 0.5])
    assert [without.earliest(t) for t in range(4)] == [0, 1, 1, 1]


@pytest.mark.parametrize(
    "strategy",
    [
        *list(EARLIEST),
        tg.Subsequence(np.array([2, 3])),
        tg.Window([0, 4]),
        tg.TBPTT(2, [4, 5]),
        tg.Randomized(0.5, 3),
        tg.Randomized([0.5, 1.0], 3),
        tg.Randomized(0.5, np.random.default_rng()),
        tg.Randomized.scheduled(6, 16, 1, batch=2),
        tg.Randomized.from_links([0.0, 1.25]),
        tg.Randomized.from_links([[0.0, 1.25], [2.0, 1.0]]),
    ],
    ids=repr,
)
def test_a_repr_can_be_pasted(strategy):
    pasted = eval(repr(strategy), vars(tg))
    assert type(pasted) is type(strategy) and repr(pasted) == repr(strategy)
    if not isinstance(strategy, tg.Randomized) or "from_links" in repr(strategy):
        assert pasted == strategy and hash(pasted) == hash(strategy)
    if "rng" in repr(strategy):  # the same seed, the same draw
        np.testing.assert_array_equal(pasted.links(3), strategy.links(3))


def test_values_compare():
    assert tg.Window(2) == tg.Window(2) != tg.Window(3)
    assert tg.Subsequence([2, 3]) == tg.Subsequence(np.array([2, 3]))
    assert tg.Randomized.from_links([1.0]) == tg.Randomized.from_links([1])
    assert isinstance(tg.Window(1), Windows) and not isinstance(tg.Window(1), Links)
    for random in (tg.Randomized.from_links([1.0]), tg.Randomized.scheduled(6, 16)):
        assert isinstance(random, tg.Randomized) and isinstance(random, Links)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tg.Subsequence(0), "at least 1"),
        (lambda: tg.Subsequence(-3), "at least 1"),
        (lambda: tg.Subsequence(2.5), "whole number"),
        (lambda: tg.Subsequence("many"), "whole number"),
        (lambda: tg.Subsequence([2, 0]), "at least 1"),
        (lambda: tg.Subsequence([[2, 3]]), "for each sequence"),
        (lambda: tg.Subsequence([]), "for each sequence"),
        (lambda: tg.Window(-1), "at least 0"),
        (lambda: tg.TBPTT(0, 2), "at least 1"),
        (lambda: tg.TBPTT(3, 2), "k2 must be at least k1"),
        (lambda: tg.TBPTT(3, [3, 2]), "k2 must be at least k1"),
        (lambda: tg.Randomized(0), "0 < π ≤ 1"),
        (lambda: tg.Randomized(1.1), "0 < π ≤ 1"),
        (lambda: tg.Randomized([0.5, -0.1]), "0 < π ≤ 1"),
        (lambda: tg.Randomized(float("nan")), "0 < π ≤ 1"),
        (lambda: tg.Randomized([0.5, 0.5]).links(7), "there are 6 links, but 2"),
        (lambda: tg.Randomized.scheduled(1, 4), "alpha > 1"),
        (lambda: tg.Randomized.scheduled(2, 1), "mean_length > 1"),
        (lambda: tg.Randomized.from_links([1.0, np.inf]), "finite"),
        (lambda: tg.Randomized.from_links(1.0), "shape"),
        (lambda: tg.Randomized.from_links([1.0, 2.0]).weights(5), "there are 4 links, but 2"),
    ],
)
def test_values_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_one_strategy_by_two_names():
    assert tg.TBPTT(3, 3) == tg.Subsequence(3) and tg.TBPTT(1, 4) == tg.Window(3)
    assert len({tg.TBPTT(3, 3), tg.Subsequence(3), tg.TBPTT(1, 4), tg.Window(3)}) == 2
    assert tg.Subsequence([2, 3]) == tg.Subsequence((2, 3)) != tg.Subsequence(2)
    assert tg.Full() == tg.Full() != tg.Window(0) and tg.Subsequence(2) != 2
