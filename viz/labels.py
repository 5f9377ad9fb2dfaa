"""How names are set in type: h_3 as a bold letter with a subscript, in Graphviz' HTML-like labels.

A name is a stem, a subscript and a layer: `W_hh`, `h_3`, `h_3^(2)`. As in print, arrays are bold
and upright, scalars italic, integers (labels, indices) plain; in a subscript letters are italic
and digits upright.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NamedTuple

from viz.snapshot import Value

FONT = "STIXGeneral,Times New Roman,Times,serif"
SIZE = 9.0
PER_LINE = 4  # names in a box, before the next line
BREAK = '<BR/><FONT POINT-SIZE="3"> </FONT><BR/>'  # a line, and a little room for subscripts
SUBSCRIPT = 0.73  # how wide a subscript's letters are set, against the stem's


class Name(NamedTuple):
    """A name taken apart: `h_3^(2)` is stem h, subscript 3, superscript (2)."""

    stem: str
    subscript: str = ""
    superscript: str = ""

    @classmethod
    def parse(cls, text: str) -> Name:
        match = re.fullmatch(r"([^_^]+)(?:_([^\^]+))?(?:\^(.+))?", text)
        return cls(*(part or "" for part in match.groups())) if match else cls(text)

    @property
    def role(self) -> str:
        """What the values of all steps have in common: the name without the number of the step."""
        return f"{self.stem}^{self.superscript}" if self.subscript.isdigit() else str(self)

    def __str__(self) -> str:
        return (
            self.stem
            + (f"_{self.subscript}" if self.subscript else "")
            + (f"^{self.superscript}" if self.superscript else "")
        )


def typeset(value: Value, name: str) -> str:
    """The label of one value."""
    stem, subscript, superscript = Name.parse(name)
    if value.integer:
        text = html.escape(stem)
    else:
        style = "B" if value.shape else "I"
        text = f"<{style}>{html.escape(stem)}</{style}>"
    if subscript:
        text += _small("SUB", subscript)
    if superscript:
        text += _small("SUP", superscript)
    return text


def _small(tag: str, text: str) -> str:
    """A subscript or superscript, as large as the book has it (Graphviz shrinks it too)."""
    return f'<FONT POINT-SIZE="{SIZE * 0.9:g}"><{tag}>{_italic_letters(text)}</{tag}></FONT>'


def listing(values: Sequence[Value], names: Sequence[str]) -> str:
    """The label of several values that share a box."""
    parts = [typeset(value, name) for value, name in zip(values, names, strict=True)]
    lines = [parts[n : n + PER_LINE] for n in range(0, len(parts), PER_LINE)]
    return f"<B>\u2009,</B>{BREAK}".join("<B>\u2009, </B>".join(line) for line in lines)


def _italic_letters(text: str) -> str:
    return "".join(
        f"<I>{html.escape(part)}</I>" if part[0].isalpha() else html.escape(part)
        for part in re.findall(r"[^\W\d_]+|[\W\d_]+", text)
    )


def centred(label: str) -> str:
    """The label, in the middle of its box also where it has no subscript.

    Graphviz sets a <B> or <I> where a subscript would have room below it, but a face of its own
    in the middle.
    """
    alone = re.fullmatch(r"<([BI])>([^<]*)</\1>", label.replace("</B><B>", ""))
    if alone is None:
        return label
    style = {"B": "Bold", "I": "Italic"}[alone[1]]
    return f'<FONT FACE="{FONT} {style}">{alone[2]}</FONT>'


def size(label: str) -> tuple[float, int]:
    """How wide a label is, in points, and how many lines it has."""
    lines = label.split(BREAK)
    return max(map(width, lines)), len(lines)


def width(label: str) -> float:
    """How wide a line is in points, by the widths of Times' letters: about right is enough."""
    small, total = False, 0.0
    for tag, letter in re.findall(r"<(/?\w+)[^>]*>|(&[#\w]+;|.)", label):
        if tag:
            small = tag in ("SUB", "SUP") or (small and tag not in ("/SUB", "/SUP"))
        else:
            total += _width(letter) * (SUBSCRIPT if small else 1.0)
    return total * SIZE


def _width(letter: str) -> float:
    """In units of the size of the type."""
    if letter in "WMmw@":
        return 0.9
    if letter in "fijlrt,.;:|()[] I'\u2009":
        return 0.33
    return 0.7 if letter.isupper() else 0.53


SYMBOLS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "true_divide": "÷",
    "divide": "÷",
    "matmul": "@",
    "negative": "−",
    "power": "^",
    "sum": "Σ",
    "sigmoid": "σ",
    "getitem": "[ ]",
    "transpose": "T",
    "sqrt": "√",
    "square": "( )²",
    "cross_entropy": "CE",
    "concatenate": "concat",
}


def symbol(function: str) -> str:
    """What stands in the circle of one operation."""
    return html.escape(SYMBOLS.get(function, function))
