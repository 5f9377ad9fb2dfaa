"""Published numbers, in short: each is learnt, and PyTorch, as the peer, takes the same steps."""

import numpy as np
import pytest

from examples.demo.language_model import english_text
from examples.published import counting, reber, time_machine
from examples.published.__main__ import keep


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(english_text()[:60_000])
    return time_machine.read(path)


def test_letters_and_spaces(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The Time-Machine,\nby H. G. Wells [1898]\n")
    found = "".join(time_machine.CHARACTERS[n - 1] for n in time_machine.read(path))
    assert found == "the time machine by h g wells"


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_newer_setting_learns(numbers, kind):
    model = time_machine.Ours(kind, 16, 1.0)
    first = time_machine.newer(model, numbers, 0, iter, 400, 50)
    later = time_machine.newer(model, numbers, 4, iter, 400, 50)
    assert first > 25 and later < 22


def test_the_older_setting_learns(numbers):
    model = time_machine.Ours("rnn", 32, 1.0)
    assert time_machine.older(model, numbers, 4, iter) < 19


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_ours_and_the_peer_take_the_same_steps(numbers, kind):
    pytest.importorskip("torch")
    ours, theirs = time_machine.Ours(kind, 16, 1.0), time_machine.Theirs(kind, 16, 1.0)
    one_bias = np.zeros(theirs.layer.bias_hh_l0.shape, np.float32)
    if kind == "gru":  # whose candidate has a bias of its own
        one_bias[-16:] = 1
    theirs.layer.bias_hh_l0.register_hook(lambda g: g * theirs.torch.from_numpy(one_bias))
    rng = np.random.default_rng(0)
    for n, batch in enumerate(time_machine.in_order(numbers[:2000], 8, 20, rng)):
        assert batch[2] == (n > 0)
        assert ours.train(*batch) == pytest.approx(theirs.train(*batch), abs=1e-4)
    batches = list(time_machine.places(numbers, 0, 50, 20))
    assert [x.shape for x, _, _ in batches] == [(32, 20), (32, 20), (32, 10)]
    assert ours.evaluate(iter(batches)) == pytest.approx(theirs.evaluate(iter(batches)), rel=1e-3)


def test_strings_of_the_grammar():
    rng = np.random.default_rng(0)
    strings = [reber.string(rng) for _ in range(300)]
    for letters, may_follow in strings:
        assert letters[:1] + letters[-1:] == "BE" and letters[1] == letters[-2]
        assert len(may_follow) == len(letters) - 1
        assert all(
            following in set_ for following, set_ in zip(letters[1:], may_follow, strict=True)
        )
    assert {len(s) for s, _ in strings} > {9, 10, 11, 12}


def test_the_embedded_reber_grammar_is_solved():
    assert reber.strings_until_solved(1, most=8000) in range(500, 8001)


def test_counting_goes_beyond_what_it_was_trained_on():
    xs, may_follow, lengths = counting.strings([1, 3])
    assert xs.argmax(-1).T.tolist() == [[0, 1, 2, 0, 0, 0, 0], [0, 1, 1, 1, 2, 2, 2]]
    assert may_follow[:, 1].tolist() == [
        [0, 1, 0], [0, 1, 1], [0, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 1], [1, 0, 0],
    ]  # fmt: skip
    assert lengths.tolist() == [3, 7]
    assert counting.right_up_to(counting.Ours(0), 20) == 0
    assert counting.learn(1, wanted=55) == 55


def one_bias(network):
    """PyTorch's layers have two where one would do; the second is held back."""
    network.layer.bias_hh_l0.register_hook(lambda g: g * 0)
    return network


def test_the_peer_of_the_grammar_takes_the_same_steps():
    pytest.importorskip("torch")
    ours, theirs, rng = reber.Ours(0), one_bias(reber.Theirs(0)), np.random.default_rng(0)
    for _ in range(20):
        letters, _ = reber.string(rng)
        assert ours.train(letters) == pytest.approx(theirs.train(letters), rel=1e-9)
    xs, _, _ = reber.padded([letters])
    np.testing.assert_allclose(ours.scores(xs), theirs.scores(xs), rtol=0, atol=1e-9)


def test_the_peer_of_counting_takes_the_same_steps():
    pytest.importorskip("torch")
    ours, theirs = counting.Ours(0), one_bias(counting.Theirs(0))
    batch = counting.strings(range(1, 11))
    for _ in range(20):
        assert ours.train(*batch) == pytest.approx(theirs.train(*batch), rel=1e-9)
    np.testing.assert_allclose(ours.scores(batch[0]), theirs.scores(batch[0]), rtol=0, atol=1e-9)


def test_what_was_found_is_kept_beside_what_was_found_before(tmp_path):
    measured = {"number": 1.25, "wall": 70.96, "cpu": 60.2}
    found = {"what": "perplexity", "source": "a book", "here": measured}
    keep(tmp_path, "older", {**found, "PyTorch": {**measured, "wall": 119.0}})
    keep(tmp_path, "reber", {**found, "what": "strings"})
    keep(tmp_path, "older", found)
    assert (tmp_path / "published.md").read_text().splitlines()[2:] == [
        "| perplexity | a book | 1.25 in 71 s (60 s) | – |",
        "| strings | a book | 1.25 in 71 s (60 s) | – |",
    ]
