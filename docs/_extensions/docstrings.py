"""The docstrings' plain text as reStructuredText: arguments become a list of definitions, and
indented formulas stand a line each."""

from __future__ import annotations

import contextlib
import inspect
import re
from itertools import chain
from typing import Any

NAMES = r"\*{0,2}[a-zA-Z_]\w*(?:, \*{0,2}[a-zA-Z_]\w*)*"
ARGUMENT = re.compile(rf"^(?P<names>{NAMES}): (?P<text>\S.*)$")
NEXT = re.compile(rf"(?:;|(?<=\.)) (?=(?:{NAMES}:|Returns) )")
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


def described(line: str, known: set[str]) -> re.Match[str] | None:
    """The names and the text of a line like "xs: the inputs", if the names are arguments."""
    found = ARGUMENT.match(line)
    names = {name.lstrip("*") for name in found["names"].split(", ")} if found else set()
    return found if names <= known else None


def one_each(line: str, known: set[str]) -> list[str]:
    """The line "xs: the inputs. rng: a seed. Returns a number." as a line for each of these."""
    if line.startswith((">>>", "...")):
        return [line]
    cuts = [
        cut
        for cut in NEXT.finditer(line)
        if line.startswith("Returns", cut.end()) or described(line[cut.end() :], known)
    ]
    begins, ends = [0, *(cut.end() for cut in cuts)], [*(cut.start() for cut in cuts), None]
    return [line[begin:end] for begin, end in zip(begins, ends, strict=True)]


def rewrite(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn "xs: the inputs" into a definition, where xs is an argument, and keep the lines of
    indented formulas apart."""
    known = arguments_of(obj)
    text: list[str] = []
    in_field = in_formula = False
    for line in chain.from_iterable(one_each(line, known) for line in lines):
        indented = line.startswith("    ")
        in_formula = indented and not in_field and (in_formula or not "".join(text[-1:]).strip())
        if in_formula:
            text.append(f"    | {escaped(line.strip())}")
        elif found := described(line, known):
            in_field = True
            term = ", ".join(f"``{name}``" for name in found["names"].split(", "))
            text += ["", term, f"    {escaped(found['text'])}"]
        elif in_field and indented:
            text.append(escaped(line))
        else:
            if in_field or (RAISES.match(line) and text and text[-1].strip()):
                text.append("")
            in_field = False
            text.append(escaped(line))
    lines[:] = text


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
