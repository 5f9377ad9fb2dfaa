"""The source of every program, against the files in golden/; --overwrite-golden writes them."""

from pathlib import Path

import pytest

from tests.compiler.programs import CASES, program_of

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", CASES)
def test_source_is_the_golden_one(name: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.txt"
    source = program_of(CASES[name]()).source
    if request.config.getoption("--overwrite-golden"):
        file.write_text(source)
    assert source == file.read_text(), (
        f"{file.name} has changed; read the difference, then run pytest tests/compiler "
        f"--overwrite-golden"
    )


def test_every_golden_file_belongs_to_a_program() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(CASES)
