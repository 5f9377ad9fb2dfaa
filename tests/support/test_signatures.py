"""What is written down for an older NumPy is what a newer one says itself."""

import inspect
import operator

import numpy as np
import pytest

from tinygrad_rnn.engine.table import differentiable
from tinygrad_rnn.support.signatures import WRITTEN, arguments, signature


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_the_names_are_numpys_own(name):
    try:
        own = inspect.signature(getattr(operator if name == "getitem" else np, name))
    except ValueError:
        pytest.skip("this NumPy does not tell")
    assert list(inspect.signature(WRITTEN[name]).parameters) == list(own.parameters)


def test_arguments_without_names():
    with pytest.raises(TypeError, match=r"names of .*'s arguments cannot be found out; wrap it"):
        signature(max)


@pytest.mark.parametrize("function", sorted(differentiable(), key=lambda f: f.__name__))
def test_arguments_are_those_of_the_signature(function):
    if isinstance(function, np.ufunc):
        assert len(arguments(function).defaults) == function.nin
        return
    found = signature(function).parameters.values()
    names, optional, is_variadic = arguments(function)
    assert list(names) == [p.name for p in found if p.kind is not p.VAR_KEYWORD]
    assert optional == {p.name for p in found if p.default is not p.empty}
    assert all(names[p.name] is p.default for p in found if p.name in optional)
    assert is_variadic == any(p.kind is p.VAR_POSITIONAL for p in found)
