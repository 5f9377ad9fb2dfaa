"""What is written down for an older NumPy is what a newer one says itself."""

import inspect

import numpy as np
import pytest

from tinygrad_rnn.engine.signatures import WRITTEN, newer, signature


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_the_names_are_numpys_own(name):
    try:
        own = inspect.signature(getattr(np, name))
    except ValueError:
        pytest.skip("this NumPy does not tell")
    assert list(inspect.signature(WRITTEN[name]).parameters) == list(own.parameters)


def test_arguments_without_names():
    with pytest.raises(TypeError, match=r"names of .*'s arguments are not known; wrap it"):
        signature(max)


def test_functions_that_an_older_numpy_lacks():
    assert newer("tanh") is np.tanh
    with pytest.raises(AttributeError, match="has no no_such_function"):
        newer("no_such_function")()
