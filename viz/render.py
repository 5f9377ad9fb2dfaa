"""Rendering of DOT to svg, png and pdf, by Graphviz in pygraphviz's wheel or a `dot` on the
PATH."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from xml.sax.saxutils import escape

# Letters as outlines, so that a picture looks the same wherever it is opened.
FORMATS = {"svg": "svg:cairo", "png": "png", "pdf": "pdf"}
MISSING = (
    "Graphviz is missing: pip install pygraphviz (its wheel carries Graphviz), or put a `dot` on "
    "the PATH; .gv files can be saved without either"
)


# Runs in a separate process: Graphviz writes to the C library's stderr, and the environment decides
# where it finds typefaces.
DRAW = """
import sys, pygraphviz
graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
if sys.argv[2] != "0":
    graph.graph_attr["dpi"] = sys.argv[2]
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="nop2"))
"""


def render(source: str, kind: str, dpi: int) -> bytes:
    """The picture as the bytes of an svg, png or pdf file.

    Raises RuntimeError with what to install if there is no Graphviz.
    """
    dpi = dpi if kind == "png" else 0
    if importlib.util.find_spec("pygraphviz"):
        command = [sys.executable, "-c", DRAW, FORMATS[kind], str(dpi)]
    elif dot := shutil.which("dot"):
        command = [dot, "-Knop2", f"-T{FORMATS[kind]}", *([f"-Gdpi={dpi}"] if dpi else [])]
    else:
        raise RuntimeError(MISSING)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            input=source.encode(),
            capture_output=True,
            check=False,
            env=os.environ | _fonts(Path(folder)),
        )
    said = [li for li in done.stderr.decode().splitlines() if not li.startswith("Fontconfig")]
    if done.returncode or not done.stdout:
        raise RuntimeError(f"Graphviz could not draw the picture: {' '.join(said[-1:])}")
    if said:
        warnings.warn(f"Graphviz says: {' '.join(said)}", RuntimeWarning, stacklevel=3)
    return done.stdout


def _fonts(folder: Path) -> dict[str, str]:
    """Let Graphviz find a typeface like Times on machines that have none: matplotlib includes STIX.

    A FONTCONFIG_FILE set by the user is respected.
    """
    if "FONTCONFIG_FILE" in os.environ or os.name == "nt":
        return {}
    folders = ["/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts"]
    folders += ["/System/Library/Fonts", "~/.fonts", "~/.local/share/fonts", "~/Library/Fonts"]
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        folders.insert(0, str(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf"))
    listed = "".join(f"<dir>{escape(f)}</dir>" for f in folders)
    file = folder / "fonts.conf"
    file.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f'{listed}<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>'
    )
    return {"FONTCONFIG_FILE": str(file)}
