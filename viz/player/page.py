"""The page: the parts in the folder `page/`, joined into one file."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from viz.letters import escape
from viz.player.compact import compact_script, compact_style

SCRIPTS = (
    *("data", "strategies", "gradients", "moves", "typeset", "figure", "side", "panels"),
    *("state", "controls", "export", "main"),
)


def page(title: str, data: str) -> str:
    """The self-contained page for this data (JSON)."""
    parts = {
        "title": escape(title),
        "style": _style("page.css"),
        "figure": _style("figure.css"),
        "script": _script(),
        "data": data,
    }
    frame = re.sub(r"\n\s*", "\n", _part("page.html"))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], frame)


@cache
def _part(name: str) -> str:
    return (files("viz.player") / "page" / name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """All scripts, in one scope."""
    whole = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{"use strict";{compact_script(whole)}}})();'


@cache
def _style(name: str) -> str:
    return compact_style(_part(name))
