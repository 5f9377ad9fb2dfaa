"""The inputs of a scan: stacked, however they are given."""

from array import array

import numpy as np
import pytest

import tinygrad_rnn as tg
from tests.compiler.programs import inputs
from tinygrad_rnn.compiler.frontend.inputs import is_elsewhere, names_of_inputs, stacked, steps_in

XS = inputs()


def test_steps_are_stacked_whatever_they_are_given_as() -> None:
    nested = [(x, {"a": x}) for x in XS]
    x, inner = stacked(nested)
    assert x.shape == inner["a"].shape == XS.shape
    assert stacked([[1.0, 2.0], [3.0, 4.0]]).shape == (2, 2)
    with pytest.raises(ValueError, match="must have one shape"):
        stacked([np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match="nested alike"):
        stacked([(XS[0],), (XS[0], XS[0])])


def test_any_sequence_of_numbers_is_an_array() -> None:
    assert stacked(array("d", [1.0, 2.0])).tolist() == [1.0, 2.0]
    for run in (tg.unroll, tg.scan):
        with pytest.raises(TypeError, match="single ndarray"):
            run(lambda x, h: h + x, np.array(3.0), np.zeros(2))  # type: ignore[operator]


def test_steps_and_names_of_nested_inputs() -> None:
    xs = {"x": XS, "labels": XS[..., 0]}
    assert names_of_inputs(xs) == ("x", "labels") and names_of_inputs(XS) == ("x",)
    assert steps_in(None, xs, [*xs.values()], nested=True) == len(XS)
    with pytest.raises(ValueError, match="must have one length T"):
        steps_in(None, xs, [XS, XS[1:]], nested=True)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (5, 3), (5, 2, 7), (5, 2, 3, 1)])
def test_wrong_shapes_are_refused_as_by_unroll(shape: tuple[int, ...]) -> None:
    cell, said = tg.RNNCell(3, 4, rng=0), []
    for run in (tg.unroll, tg.scan):
        with pytest.raises((TypeError, ValueError)) as caught:
            run(cell, np.zeros(shape) if shape else 1.0)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert tg.scan(cell, [], np.zeros((2, 4)))[0].shape == (0, 2, 4)


def test_steps_without_inputs() -> None:
    assert stacked([None, None]) is None and names_of_inputs(None) == ()
    with pytest.raises(ValueError, match="an input for every step or for none"):
        stacked([None, XS[0]])


def test_arrays_of_another_kind_are_elsewhere() -> None:
    assert not any(map(is_elsewhere, (XS, tg.Tensor(XS), 1.0, [XS])))
