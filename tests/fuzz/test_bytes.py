"""A few changed files and names, the same ones in every run."""

from __future__ import annotations

import itertools

import pytest

from tests.fuzz.target import mutants

READERS = {"npz": 150, "safetensors": 150, "run": 60, "torch": 300}
PICTURES = {"names": 300, "figures": 45, "player": 36}


@pytest.mark.parametrize("name", READERS)
def test_readers(name: str) -> None:
    if name == "safetensors":
        pytest.importorskip("safetensors")
    from tests.fuzz.readers import TARGETS

    for data in itertools.islice(mutants(TARGETS[name], seed=0), READERS[name]):
        TARGETS[name].check(data)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(name: str) -> None:
    pytest.importorskip("pygraphviz")
    from tests.fuzz.pictures import TARGETS

    for data in itertools.islice(mutants(TARGETS[name], seed=0), PICTURES[name]):
        TARGETS[name].check(data)
