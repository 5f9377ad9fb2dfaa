"""Where an array is, and whether it has gaps."""

from __future__ import annotations

import numpy as np

from tinygrad_rnn.compiler.ir import Buffer, Ref, Storage, View, When
from tinygrad_rnn.compiler.lowering.places import Place, is_contiguous
from tinygrad_rnn.compiler.views import columns, first_axis


def test_places() -> None:
    h = Buffer("h", (2, 8), np.dtype(float), Storage.STATE, 1)
    place = Place(h, 1).seen(columns(2, 8, 8), "g")
    assert place.step() == Ref(h, When.STEP, 1, (View("index", (Ellipsis, slice(2, None))),))
    whole = place.whole(View("reshape", (-1, 6)))
    assert whole.when is When.ALL and whole.strided(3)[0] == (6, 6)
    assert not is_contiguous(place.step()) and is_contiguous(Place(h).step())
    one = Buffer("h", (1, 8), np.dtype(float), Storage.STATE, 1)
    assert is_contiguous(Place(one).seen(columns(2, 8, 8)).step())  # one row has no gaps
    assert not is_contiguous(Place(Buffer("x", (2,), np.dtype(float), Storage.GIVEN)).step())
    assert first_axis(0, 3, 3).argument == (slice(None, None),)
