"""The names that stand in the code of a function."""

from __future__ import annotations

from tinygrad_rnn.support.code import globals_in, variables_in

SIZE = 3


class Holder:
    SIZE = 4


def test_an_attribute_is_no_global() -> None:
    def reads_both(holder: Holder) -> int:
        return holder.SIZE + SIZE

    def reads_the_attribute(holder: Holder) -> int:
        return holder.SIZE

    assert "SIZE" in globals_in(reads_both.__code__)
    assert "SIZE" not in globals_in(reads_the_attribute.__code__)


def test_names_of_rewritten_assertions_are_left_out() -> None:
    def asserts(x: int) -> None:
        assert x == SIZE, "not so"

    code = asserts.__code__
    assert any(name.startswith("@") for name in variables_in(code))  # pytest has rewritten it
    assert all(map(str.isidentifier, globals_in(code)))
