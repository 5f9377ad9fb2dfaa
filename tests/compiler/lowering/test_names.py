"""Names are given once, and none that a printed program uses for other things."""

from __future__ import annotations

from tinygrad_rnn.compiler.lowering.names import Names


def test_each_name_is_given_once() -> None:
    names = Names()
    assert [names.fresh(n) for n in ("h", "h", "", "2x", "a b", "lambda", "tanh", "T")] == [
        *("h", "h2", "a", "_2x", "a_b", "lambda2", "tanh2", "T2")
    ]
