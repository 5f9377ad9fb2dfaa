"""Atomic replacement of files: write a new file beside the old one, then rename it."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file for writing. When the block ends, it replaces the file at `path`.

    At every moment the path has either the old content or all of the new content, also if the
    process is killed, the disk is full or several processes write. The content is written to
    another file in the same folder, flushed to the disk (fsync), and renamed; by POSIX, the rename
    replaces a file in one step. If the block raises, the new file is removed. A process that is
    killed leaves it behind, as `.<random>.partial`.
    A symbolic link stays a link, to the new content. An existing file gives its mode to the new
    one; otherwise the umask decides.
    Raises FileNotFoundError if the folder is missing, IsADirectoryError if the path is a folder.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {target.parent} to write {target.name} into")
    partial = target.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, partial)
        os.replace(partial, target)
    except BaseException as problem:
        partial.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename in (None, str(partial)):
            problem.filename = str(path)  # the name that the user knows
        raise
    _bring_to_disk(target.parent)


def _bring_to_disk(folder: Path) -> None:
    """Flush the entries of the folder to the disk, so that the rename survives a power failure."""
    if hasattr(os, "O_DIRECTORY"):  # pragma: no branch (Windows has no such flag)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
