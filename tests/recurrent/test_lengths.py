"""The valid steps of sequences of different lengths, and what stands in for the padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_rnn.recurrent.lengths import (
    Padded,
    batch_of,
    beside,
    frozen,
    last_valid,
    taken,
    valid_steps,
)

T, B = 3, 4
LENGTHS = np.array([2, 0, 3, 1])
VALID = np.array([[1, 0, 1, 1], [1, 0, 1, 0], [0, 0, 1, 0]], bool)


def test_lengths_and_masks_name_the_valid_steps() -> None:
    for batch in (B, None):
        for given in ((LENGTHS, None), (LENGTHS.tolist(), None), (None, VALID)):
            np.testing.assert_array_equal(valid_steps(*given, T, batch), VALID)
        assert valid_steps([T] * B, None, T, batch) is None
        assert valid_steps(None, np.ones((T, B), bool), T, batch) is None
        assert valid_steps(None, None, T, batch) is None
    assert valid_steps(np.zeros(0, int), None, T, 0) is None


@pytest.mark.parametrize(
    ("lengths", "mask", "batch", "says"),
    [
        (LENGTHS, VALID, B, "either lengths or a mask, not both"),
        (LENGTHS, None, 5, r"of shape \(5,\), but it has the shape \(4,\) and the dtype int64"),
        (LENGTHS * 1.0, None, B, "but it has the shape .* and the dtype float64"),
        ([1, 4], None, 2, r"lie in 0\.\.3, because xs has 3 steps, but they range over 1\.\.4"),
        ([-1, 2], None, 2, r"they range over -1\.\.2"),
        (None, VALID, 5, r"mask must be booleans of shape \(3, 5\), .* has the shape \(3, 4\)"),
        (None, VALID * 1, B, "and the dtype int64"),
        (None, VALID[0], None, r"mask must be booleans of shape \(3, 0\), .* the shape \(4,\)"),
        (None, True, None, r"mask must be booleans of shape \(3, 0\), .* the shape \(\)"),
    ],
)
def test_what_does_not_fit(lengths: Any, mask: Any, batch: int | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        valid_steps(lengths, mask, T, batch)


def test_the_batch_of_inputs_of_any_form() -> None:
    x = np.ones((T, B, 2))
    for xs in (x, list(x), {"a": x}, {"a": None, "b": x}, [{"a": step} for step in x]):
        assert batch_of(xs) == B
    assert batch_of([np.ones((2, 3)), np.ones((4, 3))]) == 2  # the run refuses it
    assert batch_of(None) is None
    with pytest.raises(ValueError, match=r"xs of shape \(T, batch, ...\), .* has the shape \(3,\)"):
        batch_of(np.ones(T))
    with pytest.raises(ValueError, match=r"has the shape \(\)"):
        batch_of([1.0, np.ones(2)])


def test_valid_steps_stand_in_for_the_others() -> None:
    steps, sequences = last_valid(VALID)
    assert sequences.tolist() == [0, 0, 2, 3]  # the second one has no step
    assert steps.T.tolist() == [[0, 1, 1], [0, 1, 1], [0, 1, 2], [0, 0, 0]]
    xs = np.arange(T * B).reshape(T, B)
    expected = [[0, 0, 2, 3], [4, 4, 6, 3], [4, 4, 10, 3]]
    index = steps, sequences
    assert taken(xs, index).tolist() == expected
    assert np.array(taken(list(xs), index)).tolist() == expected
    assert np.array(taken([xs[0]], (steps[:1], sequences))).tolist() == expected[:1]
    rates = np.ones(T)  # of no sequence
    both = taken({"a": xs, "rate": rates}, index)
    assert both["a"].tolist() == expected and both["rate"] is rates
    pairs = taken([(x, {"b": -x}) for x in xs], index)
    assert [pair[0].tolist() for pair in pairs] == expected
    assert [(-pair[1]["b"]).tolist() for pair in pairs] == expected


class Elsewhere(np.ndarray):
    """An array of another library: what is made like it is of its kind."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.asarray:
            return np.array(args[0]).view(Elsewhere)
        return super().__array_function__(function, types, args, kwargs)


def test_an_index_is_made_by_the_library_of_the_inputs() -> None:
    there = {"a": np.ones((T, B)).view(Elsewhere)}
    assert type(beside(VALID, there)) is Elsewhere
    assert type(beside(VALID, 1.0)) is np.ndarray and type(beside(VALID, None)) is np.ndarray


def test_a_sequence_keeps_its_state_after_its_end() -> None:
    old, new = np.zeros((B, 2, 3)), np.ones((B, 2, 3))
    h, number, output = frozen(VALID[1], (new, 5.0, new), (old, 4.0, None))
    np.testing.assert_array_equal(h[:, 0, 0], VALID[1])
    assert number == 5.0 and output is new
    for valid in (True, False):  # of all sequences: numbers as well
        h, number = frozen(np.array(valid), (new, 5.0), (old, 4.0))
        assert np.all(h == valid) and number == (5.0 if valid else 4.0)
    with pytest.raises(
        ValueError, match=r"each of 4 sequences, but the state has the shape \(3,\)"
    ):
        frozen(VALID[1], np.ones(3), np.ones(3))


def test_a_wrapped_cell_has_its_own_state_and_names() -> None:
    class Cell:
        state_names = "s_{t}"
        hidden_size = 1

        def __call__(self, x: Any, state: Any) -> Any:
            return x + state

        def initial_state(self, batch_size: int) -> Any:
            return np.zeros(batch_size)

        def output(self, state: Any) -> Any:
            return -state

    padded = Padded(Cell())
    assert padded.state_names == "s_{t}" and padded.initial_state(2).shape == (2,)
    assert padded.output(3) == -3
    with pytest.raises(AttributeError, match="hidden_size"):
        padded.hidden_size  # noqa: B018
    given = {"x": np.ones(B), "valid": VALID[1]}
    np.testing.assert_array_equal(padded(given, np.ones(B)), 1 + VALID[1])
