"""The strategies as values: their definitions, to the letter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.recurrent.own_strategies import (
    AtPunctuation,
    Fading,
    SinceTheLastWord,
    for_all,
    for_each,
)
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
    tg.Windows(np.arange(T) // 3): lambda t: t // 3,
    SinceTheLastWord("to be or not to be, that"): lambda t: [
        0,
        0,
        0,
        0,
        0,
        0,
        3,
        3,
        3,
        6,
        6,
        6,
        6,
        9,
        9,
        9,
        13,
        13,
        13,
        13,
        16,
        16,
        16,
    ][t],
}

RANDOM = [
    lambda seed: tg.Randomized(0.7, seed),
    lambda seed: tg.Randomized(0.7, seed, batch=3),
    lambda seed: tg.Randomized(np.linspace(0.2, 1, T - 1), seed),
    lambda seed: tg.Randomized(np.linspace(0.2, 1, T - 1), seed, batch=3),
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
    assert tg.TBPTT(k, k) == tg.Subsequence(k) != k and tg.TBPTT(1, k + 1) == tg.Window(k)


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


@pytest.mark.parametrize("make", RANDOM[:-1])
def test_a_link_takes_one_random_number(make):
    strategy, uniform = make(np.random.default_rng(4)), np.random.default_rng(4)
    strategy.links(T)
    uniform.random((T - 1, strategy.batch or 1))
    if not getattr(strategy, "keep", np.array(0)).ndim:
        strategy.links(1)  # there is no link, so there is no number
    assert strategy.rng.random() == uniform.random()


@pytest.mark.parametrize("short", [0, 1, 2])
@pytest.mark.parametrize(
    "strategy",
    [
        *(strategy for strategy in EARLIEST if strategy.given is None),
        tg.Randomized(0.5, 0),
        tg.Randomized.scheduled(2, 3, 0),
        Fading(),
        AtPunctuation("ab"),
    ],
    ids=repr,
)
def test_short_sequences(strategy, short):
    M = strategy.weights(short)
    assert M.shape == (short, short)
    np.testing.assert_array_equal(np.diag(M), np.ones(short))
    if isinstance(strategy, Links):
        np.testing.assert_array_equal(strategy.links(short)[:1], np.ones(min(short, 1)))


def test_a_k_for_each_sequence():
    k = np.array([2, 3, 7])
    for strategy in (tg.Subsequence, tg.Window, lambda k: tg.TBPTT(2, k), lambda k: tg.TBPTT(k, 9)):
        together = strategy(k).weights(T)
        assert together.shape == (T, T, 3)
        for row, one in enumerate(k):
            np.testing.assert_array_equal(together[..., row], strategy(int(one)).weights(T))
        each = [[strategy(int(one)).earliest(t) for one in k] for t in range(T)]
        np.testing.assert_array_equal([strategy(k).earliest(t) for t in range(T)], each)


def test_a_reach_for_all_sequences_is_a_plain_number():
    for strategy in (tg.Windows([0, 1, 1]), tg.Window(1), tg.TBPTT(1, 2), tg.Subsequence(2)):
        assert type(strategy.earliest(2)) is int


def test_what_draws_is_drawn_once_for_a_run():
    """A built-in strategy is the same at every call; a subclass of it need not be."""

    class Drawn(tg.Window):
        def earliest(self, t):
            return int(np.random.default_rng().integers(t + 1))

    strategy = Drawn(1)
    fixed = strategy.fixed(50)
    assert fixed is not strategy
    assert [fixed.earliest(t) for t in range(50)] == [fixed.earliest(t) for t in range(50)]
    for strategy in (tg.Full(), tg.Subsequence(2), tg.Window(2), tg.TBPTT(1, 2)):
        assert strategy.fixed(50) is strategy


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
    xi = tg.Randomized.scheduled(6, 16, 1, batch=100).links(2000)
    lengths = [np.diff(np.flatnonzero(links == 0)) for links in xi.T]
    assert 15.5 < np.concatenate(lengths).mean() < 16.5


def test_given_links_may_have_one_for_the_initial_state():
    xi = [0.0, 2.0, 0.5]
    without = tg.Randomized.from_links(xi)
    np.testing.assert_array_equal(without.links(4), [1, 0, 2, 0.5])
    np.testing.assert_array_equal(tg.Randomized.from_links([7.0, *xi]).links(4), [1, 0, 2, 0.5])
    np.testing.assert_array_equal(tg.Randomized.from_links([7.0]).links(1), [1])


@pytest.mark.parametrize(
    "strategy",
    [
        *(strategy for strategy in EARLIEST if type(strategy).__name__ in vars(tg)),
        tg.Links([1.0, 0.5]),
        tg.Links([[1.0, 1.0], [0.5, 2.0]]),
        tg.Windows([[0, 0], [1, 0]]),
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
    assert tg.Randomized.from_links([1.0]) != tg.Randomized.from_links([2.0])
    assert tg.Randomized.from_links([1.0]) != tg.Window(1)
    assert tg.Links([1, 2]) == tg.Links([1.0, 2.0]) != tg.Links([1, 3])
    assert tg.Windows([0, 1]) == tg.Windows([0, 1]) != tg.Windows([0, 0])
    assert tg.Links([1, 1]) != tg.Links([1])
    own = Fading()
    assert own == own and own != Fading()
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
        (lambda: tg.TBPTT(1, 0), "the k2 of TBPTT must be a whole number of at least 1"),
        (lambda: tg.TBPTT(3, 2), "k2 must be at least k1"),
        (lambda: tg.TBPTT(3, [3, 2]), "k2 must be at least k1"),
        (lambda: tg.Randomized(0), "above 0 and at most 1"),
        (lambda: tg.Randomized(1.1), "above 0 and at most 1"),
        (lambda: tg.Randomized([0.5, -0.1]), "above 0 and at most 1"),
        (lambda: tg.Randomized(float("nan")), "above 0 and at most 1"),
        (lambda: tg.Randomized(np.full((2, 2, 2), 0.5)), "above 0 and at most 1"),
        (lambda: tg.Randomized([0.5, 0.5]).links(7), "there are 6 links, but 2"),
        (lambda: tg.Randomized.scheduled(1, 4), "alpha and mean_length must be above 1"),
        (lambda: tg.Randomized.scheduled(2, 1), "mean_length must be above 1"),
        (lambda: tg.Randomized.from_links([1.0, np.inf]), r"\(2,\) and are not all finite$"),
        (lambda: tg.Randomized.from_links(1.0), r"but they have the shape \(\)$"),
        (lambda: tg.Randomized([0.5, 0.5]).links(0), "between 0 steps there are 0 links, but 2"),
        (lambda: tg.Randomized([0.5, 0.5]).ended(0), "0 links between them, but 2"),
        (lambda: tg.Randomized.from_links([1.0, 2.0]).weights(5), "there are 4 links, but 2"),
    ],
)
def test_values_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_any_schedule_above_one_is_taken():
    assert tg.Randomized.scheduled(1.5, 1.5).mean_length == 1.5


def test_one_strategy_by_two_names():
    assert tg.TBPTT(3, 3) == tg.Subsequence(3) and tg.TBPTT(1, 4) == tg.Window(3)
    assert len({tg.TBPTT(3, 3), tg.Subsequence(3), tg.TBPTT(1, 4), tg.Window(3)}) == 2
    assert tg.Subsequence([2, 3]) == tg.Subsequence((2, 3)) != tg.Subsequence(2)
    assert tg.Full() == tg.Full() != tg.Window(0) and tg.Subsequence(2) != 2
    assert tg.Window([0, 2]) == tg.TBPTT(1, [1, 3])
    assert tg.Window([0, 2]) != tg.Window([0, 3]) and tg.TBPTT(1, 2) != tg.TBPTT(2, 2)


def test_values_cannot_be_changed():
    for strategy in (tg.Subsequence(2), tg.Window(2), tg.TBPTT(2, 3)):
        for name in ("k", "k1", "k2"):
            with pytest.raises(AttributeError):
                setattr(strategy, name, 4)


@pytest.mark.parametrize("strategy", [*for_all(T), *for_each(T, 3)], ids=repr)
def test_a_strategy_of_ones_own(strategy):
    """All that it says agrees, in whatever way it says it."""
    fixed, M = strategy.fixed(T), strategy.weights(T)
    np.testing.assert_array_equal(fixed.weights(T), M)
    if isinstance(strategy, tg.Windows):
        f = np.array([strategy.earliest(t) for t in range(T)])
        np.testing.assert_array_equal(fixed.given, f)
        for t in range(T):
            for s in range(T):
                np.testing.assert_array_equal(M[t, s], (f[t] <= s) & (s <= t))
        return
    xi = fixed.links(T)
    assert np.all(xi[0] == 1)
    np.testing.assert_array_equal(xi[1:], list(itertools.islice(strategy.factors(), T - 1)))
    for t in range(T):
        for s in range(t):
            np.testing.assert_array_equal(M[t, s], np.prod(xi[s + 1 : t + 1], axis=0))
        assert np.all(M[t, t] == 1) and not M[t, t + 1 :].any()


def test_what_is_no_link_and_no_reach():
    cell, xs = tg.RNNCell(2, 3, rng=0), np.ones((4, 2, 2))

    class Says(tg.Links):
        def __init__(self, xi):
            self.xi = xi

        def links(self, T):
            return self.xi

    class Reaches(tg.Windows):
        def __init__(self, f):
            self.f = f

        def earliest(self, t):
            return self.f

    for run in (tg.unroll, tg.scan):
        for wrong in (np.ones(3), np.ones((4, 2, 2)), np.ones((5, 2))):
            match = r"the shape \(4,\) or \(4, batch\), but Says\(\)"
            with pytest.raises(ValueError, match=match):
                run(cell, xs, truncation=Says(wrong))
        with pytest.raises(ValueError, match="finite numbers"):
            run(cell, xs, truncation=Says([1, np.nan, 1, 1]))
        for wrong in (-1, 5, 0.5, [[0]]):
            with pytest.raises(
                ValueError, match=r"Reaches\(\)\.earliest\(0\) must be .* in 0\.\.0"
            ):
                run(cell, xs, truncation=Reaches(wrong))
        with pytest.raises(ValueError, match="is for 3 steps, but the sequence has 4"):
            run(cell, xs, truncation=tg.Windows([0, 1, 2]))
        with pytest.raises(ValueError, match=r"the shape \(4,\) or"):
            run(cell, xs, truncation=tg.Links([1, 0, 1]))
        for nothing in (type("Empty", (tg.Links,), {}), type("Empty", (tg.Windows,), {})):
            with pytest.raises(TypeError, match="Empty has no "):
                run(cell, xs, truncation=nothing())

        class Neither(tg.Truncation):
            def weights(self, T):
                return np.eye(T)

            def fixed(self, T):
                return self

        with pytest.raises(TypeError, match=r"tg\.Links or tg\.Windows"):
            run(cell, xs, truncation=Neither())
    for names in ([], ["weights"], ["fixed"]):
        with pytest.raises(TypeError, match="abstract"):
            type("Half", (tg.Truncation,), dict.fromkeys(names, lambda self, T: self))()
    for make in (lambda: tg.Links(3.0), lambda: tg.Windows(3), lambda: tg.Windows([0, 2])):
        with pytest.raises(ValueError, match=r"shape|must be a whole number"):
            make()
    with pytest.raises(ValueError, match=r"but Says\(\)\.links\(2\) have the shape \(3,\)"):
        next(Says(np.ones(3)).factors())
    sometimes = type("Sometimes", (tg.Windows,), {"earliest": lambda _, t: [0, 0] if t else 0})
    with pytest.raises(
        ValueError, match=r"Sometimes\(\)\.earliest\(t\) must have one shape for all steps"
    ):
        sometimes().fixed(2)
    with pytest.raises(
        ValueError, match=r"steps before 1, but .* reaches back to step 0 from step 2"
    ):
        list(tg.stream(cell, xs, truncation=tg.Windows([0, 1, 0, 0])))
    with pytest.raises(ValueError, match="for 3 steps, but the sequence has more"):
        list(tg.stream(cell, xs, truncation=tg.Links([1, 0, 1])))


def test_the_initial_state_is_never_cut():
    cell, xs = tg.RNNCell(2, 3, rng=0), np.ones((4, 2, 2))
    for run in (tg.unroll, tg.scan):
        start = tg.Tensor(np.ones((2, 3)), requires_grad=True)
        _, last = run(cell, xs[:1], start, truncation=tg.Links([0.0]))
        assert tg.gradients(np.sum(last), [start])[0].all()


def test_a_strategy_that_changes_is_asked_at_every_run():
    """One that looks at the chunk at hand, such as its text."""

    class Changing(tg.Windows):
        text = ""

        def earliest(self, t):
            return max([0, *(n + 1 for n, c in enumerate(self.text[:t]) if c == ".")])

    strategy = Changing()
    cell, xs = tg.RNNCell(2, 3, rng=0), np.random.default_rng(0).normal(size=(6, 2, 2))
    bptt = tg.BPTT(cell, lambda h, y: np.sum(h * h), strategy)
    found = []
    for text in ("ab.cde", "a.b.cd", "abcdef", "ab.cde"):
        strategy.text, cell.W_hh.grad = text, None
        bptt(xs, np.zeros(6))
        assert len(bptt.ready) == 1
        L = bptt.record(xs, np.zeros(6))
        expected = tg.gradients(L, [cell.W_hh])[0]
        np.testing.assert_allclose(cell.W_hh.grad, expected, rtol=0, atol=1e-14)
        found.append(cell.W_hh.grad)
    assert np.array_equal(found[0], found[3])
    assert not np.allclose(found[0], found[1]) and not np.allclose(found[0], found[2])
    states, _ = tg.scan(cell, xs, truncation=strategy)
    expected = tg.gradients(np.sum(states * states) / 6, [cell.W_hh])[0]
    states, _ = tg.scan(cell, xs, truncation=strategy)
    strategy.text = "a.bcde"  # a pass goes back as it went there
    assert np.array_equal(tg.gradients(np.sum(states * states) / 6, [cell.W_hh])[0], expected)


def test_a_stream_says_how_many_steps_it_had():
    Fading().ended(3)  # one of its own has as many links as are asked for
    for strategy in (
        tg.Links([1, 0, 1]),
        tg.Randomized.from_links([0, 1]),
        tg.Randomized([0.5, 1]),
    ):
        strategy.ended(3)
        with pytest.raises(ValueError, match=r"links|probabilities"):
            strategy.ended(2)
    tg.Randomized(0.5).ended(7)


@pytest.mark.parametrize("strategy", [tg.Full(), tg.Window(2)])
def test_the_number_of_steps_of_the_weights(strategy: Links | Windows) -> None:
    assert strategy.weights(0).shape == (0, 0)
    with pytest.raises(ValueError, match="at least 0, not -1"):
        strategy.weights(-1)
    with pytest.raises(TypeError, match="number of steps, but its type is float"):
        strategy.weights(3.5)  # type: ignore[arg-type]
