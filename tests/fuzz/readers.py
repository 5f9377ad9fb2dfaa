"""Files of weights and runs that anybody may have written: they are read, or refused with the
sentence that the documentation promises; and what was to be set stays as it was, or is set."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tests.fuzz.target import Choices, Target
from tinygrad_rnn.engine.trees import flatten

FOLDER = tempfile.mkdtemp()
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
JSON_TOKENS = (
    *(b"[", b"]", b"{", b"}", b'"', b":", b",", b"null", b"NaN", b"Infinity", b"-1", b"1e999"),
    *(b'{"tuple": [', b'{"dict": [', b'{"array": "', b'{"number": "', b"[[" * 3000, b"9" * 5000),
    *(b'"parameters"', b'"state"', b'"generator"', b'"value"', b'{"bytes": 3}', b"\\ud800"),
)


def path_of(suffix: str, data: bytes) -> Path:
    path = Path(FOLDER) / f"fuzzed{suffix}"
    path.write_bytes(data)
    return path


def check_sentence(refused: Exception, about: str) -> None:
    assert about in str(refused) and len(str(refused)) > 20, repr(refused)


def weights() -> dict[str, Any]:
    cell = tg.RNNCell(2, 3, rng=0, dtype=np.float32)
    return {
        **cell.parameters(),
        "n": np.arange(3),
        "flag": np.array(True),
        "none": np.zeros((0, 2)),
    }


def written(suffix: str) -> list[bytes]:
    files = []
    path = path_of(suffix, b"")
    for content in (weights(), {"a/b": np.ones(2, np.float16)}, {}):
        tg.save(path, content)
        files.append(path.read_bytes())
    if suffix == ".npz":
        np.savez_compressed(path, a=np.arange(50), f=np.asfortranarray(np.ones((2, 3))))
        files.append(path.read_bytes())
        np.savez(path, a=np.array([{}], object), s=np.array(["text"]))
        files.append(path.read_bytes())
    return files


def check_weights(suffix: str, data: bytes) -> None:
    path = path_of(suffix, data)
    cell = tg.RNNCell(2, 3, rng=0, dtype=np.float32)
    before = {name: p.data for name, p in cell.parameters().items()}
    try:
        arrays = tg.load(path)
    except ValueError as refused:
        check_sentence(refused, str(path))
        return
    assert all(
        isinstance(array, np.ndarray) and not array.dtype.hasobject for array in arrays.values()
    )
    try:
        tg.load(path, cell)
    except ValueError as refused:
        check_sentence(refused, str(path))
        assert all(cell.parameters()[name].data is array for name, array in before.items())
    else:
        assert all(np.array_equal(p.data, arrays[n], True) for n, p in cell.parameters().items())
    with contextlib.suppress(TypeError, ValueError):  # of texts; names that files cannot have
        tg.save(path, arrays)
        again = tg.load(path)
        assert again.keys() == arrays.keys()
        assert all(
            again[name].tobytes() == np.asarray(array, order="C").tobytes()
            for name, array in arrays.items()
        )


# Whole runs -------------------------------------------------------------------------------------


def run() -> dict[str, Any]:
    cell = tg.RNNCell(2, 3, rng=0)
    optimizer = tg.Adam(cell, 0.1)
    np.sum(cell(np.ones((1, 2)), np.ones((1, 3)))).backward()
    optimizer.step()
    return {"model": cell, "optimizer": optimizer, "rng": np.random.default_rng(1)}


VALUES = {"state": (np.ones((2, 3)), None), "place": {"epoch": 3, 1: [True, 2.5, "text"]}}


@functools.cache
def saved_run() -> dict[str, bytes]:
    """The entries of a file of a run."""
    path = path_of(".npz", b"")
    tg.save_run(path, **run(), **VALUES)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def structures() -> list[bytes]:
    return [saved_run()["structure.json"]]


def check_run(data: bytes) -> None:
    path = path_of(".npz", b"")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (saved_run() | {"structure.json": data}).items():
            archive.writestr(name, content)
    parts = run()
    before = state_of(parts)
    try:
        tg.restore_run(path, **parts)
    except ValueError as refused:
        check_sentence(refused, str(path))
        assert state_of(parts) == before


def state_of(parts: dict[str, Any]) -> str:
    cell, optimizer, rng = parts.values()
    arrays = {name: p.data.tolist() for name, p in cell.parameters().items()}
    return json.dumps([arrays, repr(optimizer.state()), repr(rng.bit_generator.state)])


# PyTorch's state dicts ---------------------------------------------------------------------------

NAMES = (
    *("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ih_l1", "weight_hh_l1"),
    *("bias_ih_l1", "bias_hh_l1", "weight_ih_l0_reverse", "weight_hh_l0_reverse", "weight_hr_l0"),
    *("bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_ih", "weight_hh", "bias_ih", "bias_hh"),
    *("weight", "bias", "", ".", "rnn", "rnn.out", "rnn.weight_hh_l0.x", "weight_hh_lx"),
)
PREFIXES = ("", "rnn.", "a.b.", ".", "rnn.weight_hh_l0.", "rnn.out.")
SIZES = (3, 9, 12, 2, 4, 8, 1, 0, 6)
DTYPES = (np.float32, np.float64, np.int64, np.complex64, bool, object, "U3")


def check_torch(data: bytes) -> None:
    choices = Choices(data)
    state: dict[str, Any] = {}
    for _ in range(choices.below(6)):
        name = f"{choices.of(PREFIXES)}{choices.of(NAMES)}"
        shape = [choices.of(SIZES) for _ in range((2, 2, 2, 1, 1, 0, 3)[choices.below(7)])]
        dtype: Any = choices.of(DTYPES) if choices.below(4) == 0 else np.float32
        state[name] = np.ones(shape, dtype)  # type: ignore[arg-type]
    try:
        model = tg.from_torch(state)
    except (TypeError, ValueError) as refused:
        check_sentence(refused, " ")
        return
    for tensor in flatten(model):
        if isinstance(tensor, tg.Tensor):
            assert tensor.requires_grad == (tensor.dtype.kind == "f")
    with contextlib.suppress(TypeError):
        tg.to_torch(model)


def torch_choices() -> list[bytes]:
    def one(*names: int, sizes: tuple[int, ...]) -> bytes:
        content = [len(names)]
        for name in names:
            shape = [3, sizes[0]] if name in (2, 3) else [0, sizes[0], sizes[1 + (name % 2)]]
            content += [0, name, *shape, 1]
        return bytes(content)

    return [one(0, 1, 2, 3, sizes=(2, 4, 0)), one(0, 1, sizes=(1, 3, 0)), b"\1\0\0"]


TARGETS = {
    "npz": Target(
        lambda data: check_weights(".npz", data),
        lambda: written(".npz"),
        (b"PK\3\4", b"PK\1\2", b"PK\5\6", b"\x93NUMPY", b"(1000000000000,)", b"|O", b"'descr'"),
    ),
    "safetensors": Target(
        lambda data: check_weights(".safetensors", data),
        lambda: written(".safetensors"),
        (b'"F32"', b'"BF16"', b'"F8_E4M3"', b'"shape":[0]', b'"data_offsets":[0,8]'),
    ),
    "run": Target(check_run, structures, JSON_TOKENS),
    "torch": Target(check_torch, torch_choices),
}  # fmt: skip
"""The readers of files."""
