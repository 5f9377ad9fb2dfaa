"""What the lessons share: the command line, the folder for pictures, the progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


def run(lesson: Callable[..., Any], text: str | None) -> None:
    """Run a lesson from the command line: `--out` is for its pictures, `--small` for the hasty."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures")
    parser.add_argument("--small", action="store_true", help="a quick version, as the tests run it")
    arguments = parser.parse_args()
    lesson(arguments.out, arguments.small)


def save(figure: Any, out: Path, name: str) -> None:
    """Save a picture, of viz or of matplotlib, and say where."""
    out.mkdir(parents=True, exist_ok=True)
    (figure.savefig if hasattr(figure, "savefig") else figure.save)(out / name)
    print(f"picture: {out / name}")


def progress(things: Iterable[Any], what: str, total: int | None = None) -> Iterator[Any]:
    """Go through things with a progress bar."""
    from tqdm import tqdm

    yield from tqdm(things, desc=what, total=total, leave=False)
