"""A few random cells, the same ones in every run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz import table
from tests.fuzz.cells import Example, examples
from tests.fuzz.check import check


@seed(0)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(examples())
def test_random_cells(example: Example) -> None:
    check(example)


@seed(1)
@settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(examples())
def test_random_cells_as_machine_code(example: Example) -> None:
    pytest.importorskip("llvmlite")
    check(example, "native")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("call", table.calls()[::19], ids=repr)
def test_rows_of_the_table(call: table.Call) -> None:
    for way in table.WAYS[:2]:
        table.check(call, way)
