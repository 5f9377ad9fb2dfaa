"""Files that are whole at every moment: written beside their place, and moved there in one step."""

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
    """A file to write into, which takes the place of what was at `path` when the block ends.

    At every moment the path leads to what was there before or to all of the new content, also if
    the process is killed, the disk is full or several processes write: the content goes into a
    file of its own in the same folder, is brought to the disk (fsync), and is renamed (POSIX has
    the rename replace a file in one step). If the block raises, that file is removed; a process
    that is killed leaves it behind, as `.<random>.partial`.
    A link stays a link, to the new content. A file that was there gives its mode to the new one;
    otherwise the umask decides.
    Raises FileNotFoundError without a folder to write into, IsADirectoryError for a folder.
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
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _bring_to_disk(target.parent)


def _bring_to_disk(folder: Path) -> None:
    """The folder's own entries as well, so that the rename outlasts a power cut."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
