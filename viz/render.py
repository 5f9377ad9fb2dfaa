"""From DOT to svg, png and pdf: Graphviz in pygraphviz's wheel, or a `dot` on the PATH."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

# Letters as outlines, so that a picture looks the same wherever it is opened.
FORMATS = {"svg": "svg:cairo", "png": "png", "pdf": "pdf"}
MISSING = (
    "Graphviz is missing: pip install pygraphviz (its wheel carries Graphviz), or put a `dot` on "
    "the PATH; .gv files can be saved without either"
)


def render(source: str, kind: str, dpi: int) -> bytes:
    """The picture as the bytes of an svg, png or pdf file.

    Raises RuntimeError with what to install if there is no Graphviz.
    """
    prepare_fonts()
    try:
        import pygraphviz
    except ImportError:
        return _with_dot(source, kind, dpi)
    graph = pygraphviz.AGraph(string=source)
    if kind == "png":
        graph.graph_attr["dpi"] = str(dpi)
    return bytes(graph.draw(format=FORMATS[kind], prog="nop2"))


def _with_dot(source: str, kind: str, dpi: int) -> bytes:
    dot = shutil.which("dot")
    if dot is None:
        raise RuntimeError(MISSING)
    command = [dot, "-Knop2", f"-T{FORMATS[kind]}"]
    if kind == "png":
        command.append(f"-Gdpi={dpi}")
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dot could not draw the picture: {done.stderr.decode().strip()}")
    return done.stdout


@cache
def prepare_fonts() -> None:
    """Let Graphviz find a face like Times on machines that have none: matplotlib carries STIX.

    Fontconfig reads the file that FONTCONFIG_FILE names, once, so this comes before the first
    picture; one who has set the variable is left alone.
    """
    if "FONTCONFIG_FILE" in os.environ or os.name == "nt":
        return
    folders = ["/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts"]
    folders += ["/System/Library/Fonts", "~/.fonts", "~/.local/share/fonts", "~/Library/Fonts"]
    matplotlib = importlib.util.find_spec("matplotlib")
    if matplotlib and matplotlib.origin:
        folders.append(str(Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf"))
    folder = Path(tempfile.gettempdir()) / f"tinygrad-rnn-fonts-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    listed = "".join(f"<dir>{escape(f)}</dir>" for f in folders)
    file = folder / f"fonts-{os.getpid()}.conf"
    file.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">'
        f"<fontconfig>{listed}<cachedir>{escape(str(folder))}</cachedir></fontconfig>"
    )
    os.environ["FONTCONFIG_FILE"] = str(file)
