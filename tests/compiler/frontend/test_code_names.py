"""The names that stand in the code of a cell."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np

from tinygrad_rnn.compiler.frontend.code_names import (
    NAMES,
    PROTOCOL,
    imports_in,
    is_of_user,
    known_names,
    names_in,
    operators_of,
    remember_names,
)


def reading(model: Any) -> Any:
    inner = lambda: model.weight * getattr(model, "scale")  # noqa: B009, E731
    return inner() + model.bias


def importing() -> Any:
    import tests.compiler.programs as programs

    return programs.T


def test_names_of_a_function_and_of_what_it_defines() -> None:
    names = names_in(reading.__code__)
    assert {"weight", "bias", "scale", "getattr"} <= names  # the text, since getattr is there
    assert "scale" not in names_in((lambda model: model["scale"]).__code__)


def test_modules_that_are_imported_when_it_is_called() -> None:
    assert "tests.compiler.programs" in sys.modules or importing() == 6
    assert imports_in(importing.__code__) == ("tests.compiler.programs",)
    assert imports_in(reading.__code__) == ()


def test_whose_code_it_is() -> None:
    assert is_of_user("my_model") and is_of_user("__main__")
    assert not is_of_user("numpy.linalg") and not is_of_user("tinygrad_rnn.recurrent")

    class Cell:
        def __init__(self) -> None: ...
        def __call__(self, x: Any) -> Any: ...
        def helper(self) -> Any: ...

    assert operators_of(vars(Cell)) == ["__call__"]


def test_names_are_remembered_as_long_as_the_cell_lives() -> None:
    def cell(x: Any) -> Any:
        return x

    assert known_names(cell) == PROTOCOL
    remember_names(cell, frozenset(("a",)))
    assert known_names(cell) == {"a"}
    key = id(cell)
    del cell
    gc.collect()
    assert key not in NAMES
    remember_names(np.float64(1.0), frozenset())  # of what cannot be referred to weakly: nothing
