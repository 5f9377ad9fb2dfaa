"""PyTorch's database of operators, through plain NumPy calls: many right and none wrong."""

import pytest

from tests.derivatives.operator_database import run


def test_operator_database():
    pytest.importorskip("torch")
    lines = []
    counts = run(lambda outcome, *line: outcome in ("wrong", "refused") and lines.append(line))
    assert not counts["wrong"], lines
    assert counts["right"] >= 0.98 * (counts["right"] + counts["refused"]), (counts, lines)
    assert counts["right"] > 2900
