"""The docstrings' plain text as reStructuredText: arguments become a list of definitions."""

from __future__ import annotations

import contextlib
import inspect
import re
from typing import Any

ARGUMENT = re.compile(r"^(?P<names>\*{0,2}[a-z_A-Z]\w*(, \*{0,2}[a-zA-Z_]\w*)*): (?P<text>\S.*)$")
RAISES = re.compile(r"^(Raises|Returns) ")


def arguments_of(obj: Any) -> set[str]:
    """The names that a docstring may describe: a callable's parameters; of a class those of making
    and of calling one, and its fields."""
    targets = [obj, *([vars(obj).get("__call__")] if inspect.isclass(obj) else [])]
    names = set(getattr(obj, "__annotations__", {}))
    for target in targets:
        with contextlib.suppress(TypeError, ValueError):
            names |= set(inspect.signature(target).parameters)
    return names


def rewrite(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn "xs: the inputs" into a definition, where xs is an argument; keep the rest."""
    known = arguments_of(obj)
    text: list[str] = []
    in_field = False
    for line in lines:
        found = ARGUMENT.match(line)
        names = [n.lstrip("*") for n in found["names"].split(", ")] if found else []
        if found and set(names) <= known:
            in_field = True
            term = ", ".join(f"``{name}``" for name in found["names"].split(", "))
            text += ["", term, f"    {found['text']}"]
            continue
        if in_field and line.startswith("    "):
            text.append(line)
            continue
        if in_field or (RAISES.match(line) and text and text[-1].strip()):
            text.append("")
        in_field = False
        text.append(line)
    lines[:] = [escaped(line) for line in text]


def escaped(line: str) -> str:
    """Bars, stars and trailing underscores are text here and not markup, outside of code."""
    if line.lstrip().startswith((">>>", "...", "``")):
        return line
    pieces = re.split(r"(`[^`]*`)", line)
    for n in range(0, len(pieces), 2):
        pieces[n] = re.sub(r"(?<!\\)([|*])", r"\\\1", pieces[n])
        pieces[n] = re.sub(r"(\w)_(?=\W|$)", r"\1\\_", pieces[n])
    return "".join(pieces)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
