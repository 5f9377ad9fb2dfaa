"""What is compiled for the tests is kept for the tests alone."""

import os
import tempfile

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache():
    """A folder for object files, shared by the tests of one session."""
    before = os.environ.get("TINYGRAD_RNN_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TINYGRAD_RNN_CACHE"] = folder
        yield folder
    if before is None:
        del os.environ["TINYGRAD_RNN_CACHE"]
    else:
        os.environ["TINYGRAD_RNN_CACHE"] = before
