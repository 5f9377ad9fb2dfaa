"""Switches of the test run."""

import gc
import os
from importlib.util import find_spec

if "PYTEST_XDIST_WORKER" in os.environ:
    # The workers have the cores already. Threads of each library, which spin while they wait, made
    # tests beside PyTorch take seven times as long.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import pytest

from tinygrad_rnn.compiler import backends

# Programs that stand beside the tests and import what need not be installed.
NEEDS = {
    "torch": ["fuzz/by_torch.py"],
    "atheris": ["fuzz/guided.py"],
    "cosmic_ray": ["mutants/mutations.py", "mutants/report.py", "mutants/running.py"],
}
collect_ignore = [file for name, files in NEEDS.items() if not find_spec(name) for file in files]


@pytest.fixture
def source_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that reads the text of a program: NumPy's, whatever back end the others use."""
    monkeypatch.setattr(backends, "DEFAULT", "numpy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--overwrite-golden",
        action="store_true",
        help="write the golden files of pictures and programs instead of comparing them",
    )
    parser.addoption(
        "--backend",
        default="numpy",
        help="run every scan and BPTT that names no back end with this one",
    )


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end, so no later collection needs to go through them."""
    gc.collect()
    gc.freeze()


def pytest_configure(config: pytest.Config) -> None:
    backends.DEFAULT = config.getoption("--backend")
