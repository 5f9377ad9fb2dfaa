"""The page of derivatives is the table."""

import numpy as np

from tests.derivatives.test_table import TABLE
from tests.docs.extensions import derivatives_page as page


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


def test_a_method_of_a_ufunc_is_called_by_both_names():
    assert "`np.add.at`, " in page.page() and page.name(np.add.at) == "np.add.at"
