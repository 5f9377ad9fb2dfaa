"""References and views mean what their docstrings say."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Ref, Storage, T, View, When

FLOAT = np.dtype(float)
H = Buffer("h", (2, 8), FLOAT, Storage.STATE, 1)


def test_strides_of_what_is_meant() -> None:
    columns = View("index", (Ellipsis, slice(2, 6)))
    turned = View("transpose", (1, 0))
    step = Ref(H, When.STEP, 1, (columns, turned))
    assert step.strided() == ((4, 2), (1, 8), 2)
    whole = Ref(H, When.ALL, 1)
    assert whole.strided(3) == ((3, 2, 8), (16, 8, 1), 16)
    rows = Ref(H, When.ALL, 0, (View("reshape", (-1, 8)),))
    assert rows.strided(3)[0] == (6, 8)
    assert step == Ref(H, When.STEP, 1, (columns, turned), name="g") and step.dtype == FLOAT


def test_views() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert View("reshape", (T, 3)).of(array, 2).shape == (2, 3)
    assert View("broadcast", (T, 2, 3)).of(array, 4).shape == (4, 2, 3)
    assert View("index", (0, 1, Ellipsis)).of(array).shape == ()
    assert repr(T) == "T"


def test_buffers_that_share() -> None:
    other = Buffer("a", (2, 8), FLOAT, Storage.STATE, 1, shares=H)
    assert other.root is H is H.root and repr(H) == "h: float64 (T+1, 2, 8) state"


def test_what_is_contiguous() -> None:
    columns = View("index", (Ellipsis, slice(2, 6)))
    assert (
        Ref(H, When.STEP, 1).is_contiguous()
        and not Ref(H, When.STEP, 1, (columns,)).is_contiguous()
    )
    given = Buffer("x", (2, 8), FLOAT, Storage.GIVEN)
    assert not Ref(given).is_contiguous()  # only the caller knows how it lies
