"""The DOT source of every model, against the files in golden/; --overwrite-golden writes them."""

from pathlib import Path

import pytest

import viz
from tests.viz.models import MODELS, outputs

GOLDEN = Path(__file__).parent / "golden"
OPENED = ("rnn", "network", "lstm_by_hand")  # those that are also drawn with detail="ops"
CASES = [(name, "named") for name in MODELS] + [(name, "ops") for name in OPENED]


@pytest.mark.parametrize(("name", "detail"), CASES)
def test_source_is_the_golden_one(name: str, detail: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / (f"{name}.gv" if detail == "named" else f"{name}_{detail}.gv")
    source = viz.draw(*outputs(name), detail=detail).source
    if request.config.getoption("--overwrite-golden"):
        file.write_text(source)
    assert source == file.read_text(), (
        f"{file.name} has changed; look at the picture, then run pytest tests/viz "
        f"--overwrite-golden"
    )


def test_every_golden_file_belongs_to_a_model() -> None:
    expected = {
        f"{name}.gv" if detail == "named" else f"{name}_{detail}.gv" for name, detail in CASES
    }
    assert {file.name for file in GOLDEN.glob("*.gv")} == expected
