"""The names that stand in the code of a cell."""

from __future__ import annotations

import functools
import sys
from typing import Any

from tinygrad_rnn.compiler.frontend.code_names import (
    imports_in,
    is_of_user,
    names_in,
    operators_of,
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


def test_operators_of_every_kind() -> None:
    class Cell:
        __call__ = staticmethod(reading)
        __add__ = functools.partial(max, 1)
        __mul__ = functools.partialmethod(max, 1)
        __sub__ = classmethod(max)
        __hash__ = None  # type: ignore[assignment]
        other = staticmethod(reading)

    assert operators_of(vars(Cell)) == ["__call__", "__add__", "__mul__", "__sub__"]
