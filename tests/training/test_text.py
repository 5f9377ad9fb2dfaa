"""Text as numbers."""

import numpy as np
import pytest

from tinygrad_rnn.training.text import BLOCK, Vocabulary, chunks


def test_there_and_back():
    text = "the time machine, by h. g. wells: naïve"
    vocabulary = Vocabulary(text)
    assert vocabulary.decode(vocabulary.encode(text)) == text
    np.testing.assert_array_equal(vocabulary.encode(text.encode()), vocabulary.encode(text))
    with pytest.raises(KeyError, match=r"vocabulary of 21 bytes does not contain b'kz'"):
        vocabulary.encode("kazan")
    with pytest.raises(ValueError, match="at least one byte"):
        Vocabulary("")


def test_a_long_text_is_read_block_by_block():
    text = np.arange(3, 100, dtype=np.uint8).repeat(BLOCK // 50)
    vocabulary = Vocabulary(text)
    assert vocabulary.bytes.tolist() == list(range(3, 100))
    np.testing.assert_array_equal(vocabulary.encode(text[::1000]), text[::1000] - 3)
    with pytest.raises(KeyError, match=r"does not contain b'.*x01.*xff'"):
        vocabulary.encode(bytes([255, 5, 1]))


@pytest.mark.parametrize(("length", "batch", "steps"), [(101, 4, 5), (100, 3, 7), (1000, 1, 999)])
def test_each_row_reads_on_where_it_stopped(length, batch, steps):
    numbers = np.arange(length)
    cut = list(chunks(numbers, batch, steps))
    rows = np.concatenate([inputs for inputs, _ in cut]).T
    targets = np.concatenate([labels for _, labels in cut]).T
    assert all(inputs.shape == labels.shape == (steps, batch) for inputs, labels in cut)
    np.testing.assert_array_equal(targets, rows + 1)
    np.testing.assert_array_equal(np.diff(rows, axis=1), 1)
    assert len(set(rows.ravel())) == rows.size > length - batch * steps - batch


def test_a_text_that_is_too_short():
    with pytest.raises(ValueError, match="10 characters is too short for 4 sequences of 5"):
        next(chunks(np.arange(10), 4, 5))
