"""One recorded network, forward and back, against the same program compiled."""

import numpy as np

import tinygrad_rnn as tg


def test_unroll_and_scan_agree():
    cell = tg.LSTMCell(3, 4, rng=0)
    xs = np.random.default_rng(1).normal(size=(5, 2, 3))
    gradients = []
    for run in (tg.unroll, tg.scan):
        h, _ = run(cell, xs, truncation=tg.Window(2))
        states = np.stack([h_t for h_t, _ in h]) if isinstance(h, list) else h[0]
        gradients.append(tg.gradients(np.sum(states**2), [cell.W_hh])[0])
    np.testing.assert_allclose(*gradients, rtol=1e-12)
