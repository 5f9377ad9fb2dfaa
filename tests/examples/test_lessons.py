"""The lessons, in their small versions: what they promise is what they find."""

from __future__ import annotations

import importlib

import pytest

pytest.importorskip("matplotlib")


def lesson(name, out):
    return importlib.import_module(f"examples.lesson_{name}").main(out, small=True)


def test_1_by_hand(tmp_path):
    assert lesson("1_by_hand", tmp_path) < 1e-15


def test_2_vanishing_and_exploding(tmp_path):
    found = lesson("2_vanishing_and_exploding", tmp_path)
    assert found["number, 0.9"].last == pytest.approx(0.9**100)
    assert found["number, 1.1"].last == pytest.approx(1.1**100)
    jordan = found["Jordan block, ρ = 0.9"]
    assert jordan.kind == "vanishing" and jordan.peak_lag == 9
    assert jordan.peak == pytest.approx(3.9, abs=0.05)
    assert all(found[cell].last < 1e-17 for cell in ("RNN", "LSTM", "GRU"))
    assert found["LSTM, forget bias 2"].last > 0.05
    assert {path.name for path in tmp_path.iterdir()} == {
        "lesson-2-powers.png",
        "lesson-2-cells.png",
    }


def test_4_influence_balancing(tmp_path):
    assert lesson("4_influence_balancing", tmp_path) == {
        "Subsequence(10)": "diverges",
        "Subsequence(200)": "converges",
        "Window(0)": "diverges",
        "Randomized.scheduled(6, 16, 0)": "converges",
    }
