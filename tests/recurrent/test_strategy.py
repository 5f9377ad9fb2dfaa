"""Strategies that are written as text: on the command line, and in files."""

from __future__ import annotations

import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.recurrent.strategy import strategy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Full", tg.Full()),
        ("Full()", tg.Full()),
        ("tg.Window(2)", tg.Window(2)),
        ("Subsequence(k=3)", tg.Subsequence(3)),
        ("TBPTT(2, k2=5)", tg.TBPTT(2, 5)),
        ("Window([1, 4])", tg.Window([1, 4])),
    ],
)
def test_a_strategy_is_a_call(text, expected):
    assert strategy(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Window(",
        "Windows(2)",
        "tg.tg.Window(2)",
        "2",
        "Window(n)",
        "Window(k=len('ab'))",
        "a.b()",
        "Window(" + "-" * 100_000 + "1)",
        "[" * 300,
    ],
)
def test_what_is_no_strategy(text):
    with pytest.raises(ValueError, match="is not a truncation; choose one of Full, Rand"):
        strategy(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Window(-1)", r"Window\(-1\): the k of Window must be a whole number"),
        ("Window(1, 2)", r"Window\(1, 2\): .*positional arguments"),
        ("Randomized(0)", r"Randomized\(0\): keep must be a probability"),
    ],
)
def test_numbers_that_a_strategy_does_not_take(text, message):
    with pytest.raises(ValueError, match=message):
        strategy(text)
