"""Files of named arrays and a text: `.npz`, which needs NumPy alone, and `.safetensors`.

Neither format holds code, so reading a file runs nothing from it.
"""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from tinygrad_rnn.training.files import replacing

Arrays = dict[str, Any]


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any], text: str = "") -> None:
    """Write named arrays, and a text if one is given. The suffix of the path is the format.

    Raises ValueError for another suffix or a name that the format cannot hold; TypeError for an
    array that is not of numbers; ImportError if the safetensors package is missing.
    """
    form = format_of(path)
    plain = {name: _plain(name, value) for name, value in arrays.items()}
    with replacing(path) as file:
        form.write(file, plain, text)


def read_arrays(path: str | os.PathLike[str]) -> tuple[Arrays, str]:
    """The arrays and the text of a file in one of the formats.

    Raises FileNotFoundError, with the path, if there is no such file; ValueError, with the path,
    if the file is not in the format of its suffix.
    """
    form, source = format_of(path), Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"there is no file {source}")
    try:
        return form.read(source)
    except ImportError:
        raise
    except Exception as problem:
        # EINVAL: an offset in the file points to an impossible position.
        if isinstance(problem, OSError) and problem.errno != errno.EINVAL:
            raise
        raise ValueError(f"{source} is not a {form.name} file: {problem}") from problem


def _plain(name: str, value: Any) -> Any:
    """A NumPy array with these values. An array on a GPU is copied by its own method."""
    array = np.asarray(value.get() if hasattr(value, "get") else value, order="C")
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"{name} must be an array of numbers to be saved, but its dtype is {array.dtype}"
        )
    return array


# .npz: a zip archive of .npy files -------------------------------------------------------------

TEXT = "structure.json"
"""The name of the entry in the archive that is the text and not an array."""


def _write_npz(file: BinaryIO, arrays: Arrays, text: str) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            if "\0" in name or len(name.encode(errors="replace")) > 60000:
                raise ValueError(f"a .npz file cannot hold an array called {name[:50]!r}")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
        if text:
            archive.writestr(zipfile.ZipInfo(TEXT), text)


def _read_npz(path: Path) -> tuple[Arrays, str]:
    with zipfile.ZipFile(path) as archive:
        return _contents(archive)


def _contents(archive: zipfile.ZipFile) -> tuple[Arrays, str]:
    arrays, text = {}, ""
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as entry:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(entry)
        elif name == TEXT:
            text = archive.read(name).decode()
    return arrays, text


# .safetensors ----------------------------------------------------------------------------------

DTYPES = {
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    "BOOL": "?",
    "C64": "<c8",
}


def _write_safetensors(file: BinaryIO, arrays: Arrays, text: str) -> None:
    for name, array in arrays.items():
        if name == "__metadata__":
            raise ValueError("a .safetensors file cannot hold an array called '__metadata__'")
        if array.dtype.newbyteorder("<") not in map(np.dtype, DTYPES.values()):
            raise TypeError(
                f"a .safetensors file cannot hold {name}, whose dtype is {array.dtype}: use .npz"
            )
    metadata = {"structure": text} if text else None
    file.write(_safetensors().numpy.save(arrays, metadata))


def _read_safetensors(path: Path) -> tuple[Arrays, str]:
    library = _safetensors()
    with library.safe_open(path, "np") as file:
        text = (file.metadata() or {}).get("structure", "")
    found = {}
    for name, entry in library.deserialize(path.read_bytes()):
        found[name] = _array(name, **entry)
    return found, text


def _array(name: str, shape: list[int], dtype: str, data: bytes) -> Any:
    if dtype == "BF16":  # the upper half of a float32
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if dtype not in DTYPES:
        raise ValueError(
            f"{name} has the dtype {dtype}, which NumPy does not have; convert it to float32"
        )
    return np.frombuffer(data, DTYPES[dtype]).reshape(shape)


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as missing:
        raise ImportError(
            ".safetensors files need the safetensors package: pip install safetensors, or use .npz"
        ) from missing
    return safetensors


class Format(NamedTuple):
    """A file format: its name, and how its files are written and read."""

    name: str
    write: Callable[[BinaryIO, Arrays, str], None]
    read: Callable[[Path], tuple[Arrays, str]]


FORMATS = {
    ".npz": Format(".npz", _write_npz, _read_npz),
    ".safetensors": Format("safetensors", _write_safetensors, _read_safetensors),
}


def format_of(path: str | os.PathLike[str]) -> Format:
    """The format of a file, by its suffix. Raises ValueError for another suffix."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be the name of a file, but its type is {type(path).__name__}")
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(
            f"the name of the file must end in {' or '.join(FORMATS)}, which sets its format, but "
            f"{path} does not"
        )
    return FORMATS[suffix]
