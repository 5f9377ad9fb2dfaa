"""The page of documentation is the table."""

from pathlib import Path

import numpy as np
import pytest

from tests.derivatives.test_table import TABLE
from tinygrad_rnn.derivatives import page

PAGE = Path(__file__).parents[2] / "docs" / "derivatives.md"


def test_the_page_is_up_to_date():
    written = PAGE.read_text(encoding="utf-8")
    if page.head() not in written:
        pytest.skip(f"the page was made with another NumPy than {np.__version__}")
    made = page.page()
    assert written == made, f"run python -m tinygrad_rnn.derivatives.page {PAGE}"


def test_every_row_is_on_the_page():
    made = page.page()
    for function in TABLE:
        assert f"| `{page.name(function)}` |" in made


def test_lambdas_are_shown_as_they_are_written():
    made = page.page()
    for row in (
        "| `np.add` | `x1` | `g` | nothing |  |",
        "|  | `x2` | `-g * y / x2` | `y`, `x2` |  |",
        "| `np.tanh` | `x` | `g * (1 - y * y)` | `y` |  |",
        "| `np.sin` | `x` | `g * np.cos(x)` | `x` |  |",
        "|  | `x2` | `-g` | nothing |  |",
        "| `np.absolute` | `x` | `g * np.sign(x)` | `x` | the gradient at 0 is 0 |",
    ):
        assert row in made
