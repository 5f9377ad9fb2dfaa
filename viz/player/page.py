"""The page: its parts, which lie beside one another in `page/`, joined into one file."""

from __future__ import annotations

import html
import re
from functools import cache
from importlib.resources import files

SCRIPTS = (
    *("data", "strategies", "gradients", "moves", "typeset", "figure", "side", "panels"),
    *("state", "controls", "export", "main"),
)


def page(title: str, data: str) -> str:
    """The self-contained page for this data (JSON)."""
    parts = {
        "title": html.escape(title),
        "style": _style("page.css"),
        "figure": _style("figure.css"),
        "script": '(() => {\n"use strict";\n' + "".join(map(_script, SCRIPTS)) + "})();",
        "data": data,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html"))


@cache
def _part(name: str) -> str:
    return (files("viz.player") / "page" / name).read_text(encoding="utf-8")


@cache
def _script(name: str) -> str:
    """A script without its indentation and the lines that are comments."""
    lines = (line.strip() for line in _part(f"{name}.js").splitlines())
    kept = (line for line in lines if line and not line.startswith(("//", "/** ")))
    return "".join(re.sub(r"(?<=[;,{]) // .*$", "", line) + "\n" for line in kept)


@cache
def _style(name: str) -> str:
    """A style sheet without comments and white space."""
    text = re.sub(r"/\*.*?\*/", "", _part(name), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"\s*([{};,])\s*|:\s+", lambda m: m[1] or ":", text)).strip()
