"""Labels: names are typeset, such as h_3 as a bold letter with a subscript.

A name is a stem, a subscript and a layer: `W_hh`, `h_3`, `h_3^(2)`. As in print, arrays are bold
and upright, scalars italic, integers (labels, indices) plain; in a subscript letters are italic
and digits upright. Names may be written as in LaTeX: `W_{hq}`, `\\hat y_3`, `\\theta`, `h'`.

A label is lines of runs; every writer turns runs into its own markup.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from viz.snapshot import Value

FONT = "STIXGeneral,Times New Roman,Times,serif"
SIZE = 9.0
PER_LINE = 4  # names in a box, before the next line
SUBSCRIPT = 0.73  # the width of a subscript's letters, relative to the stem's
LONGEST_STEM, LONGEST_SCRIPT, LONGEST_TITLE = 14, 10, 200  # letters that are shown


class Run(NamedTuple):
    """Letters of one style.

    level: -1 in a subscript, 1 in a superscript, 0 on the line, SMALL on it in small print.
    """

    text: str
    bold: bool = False
    italic: bool = False
    level: int = 0


Line: TypeAlias = tuple[Run, ...]
Label: TypeAlias = tuple[Line, ...]

SMALL = 2
LINE_HEIGHT, SMALL_HEIGHT = 14.0, 7.5  # of the lines in a box, in points

SEPARATOR = Run("\u2009, ", bold=True)
END_OF_LINE = Run("\u2009,", bold=True)


class Name(NamedTuple):
    """A parsed name: `h_3^(2)` has the stem h, the subscript 3 and the superscript (2)."""

    stem: str
    subscript: str = ""
    superscript: str = ""

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Name:
        match = re.fullmatch(r"([^_^]+)(?:_([^\^]+))?(?:\^(.+))?", _from_latex(text))
        if not match:
            return cls(text)
        stem, *scripts = (part or "" for part in match.groups())
        return cls(stem, *(re.sub(r"^\{(.*)\}$", r"\1", script) for script in scripts))

    @property
    def role(self) -> str:
        """The part of the name that the values of all steps share: the name without the step's
        number."""
        return f"{self.stem}^{self.superscript}" if self.subscript.isdigit() else str(self)

    @property
    def step(self) -> int | None:
        """The number of the step in the name, if there is one."""
        return int(self.subscript) if self.subscript.isdigit() else None

    def at(self, step: int) -> str:
        """The same name with the number of another step."""
        return str(self._replace(subscript=str(step)))

    def __str__(self) -> str:
        return (
            self.stem
            + (f"_{self.subscript}" if self.subscript else "")
            + (f"^{self.superscript}" if self.superscript else "")
        )


GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi omicron pi rho"
GREEK += " sigma tau upsilon phi chi psi omega"
LETTERS = {name: unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}") for name in GREEK.split()}
LETTERS |= {name.capitalize(): letter.upper() for name, letter in LETTERS.items()}
LETTERS |= {"lambda": "λ", "Lambda": "Λ", "ell": "ℓ", "nabla": "∇", "partial": "∂", "prime": "′"}
ACCENTS = {"hat": "\u0302", "tilde": "\u0303", "bar": "\u0304", "dot": "\u0307", "vec": "\u20d7"}


def _from_latex(text: str) -> str:
    """A LaTeX name with Greek letters, accents and primes as Unicode letters.

    >>> from viz.labels import _from_latex
    >>> names = r"\\theta_1", r"\\hat y", r"\\dot\\eta", "h'", r"\\unknown"
    >>> [_from_latex(name) for name in names]
    ['θ_1', 'ŷ', 'η̇', 'h′', '\\\\unknown']
    """
    text = text.replace("'", "′")
    if "\\" not in text:
        return text
    text = re.sub(r"\\([A-Za-z]+)(?![A-Za-z])", lambda m: LETTERS.get(m[1], m[0]), text)
    accented = rf"\\({'|'.join(ACCENTS)})(?:\s*\{{(\w)\}}|\s+(\w)|([^\W\x00-\x7f]))"
    text = re.sub(accented, lambda m: (m[2] or m[3] or m[4]) + ACCENTS[m[1]], text)
    return unicodedata.normalize("NFC", text)


def typeset(value: Value, name: str) -> Line:
    """The label of one value."""
    bold, italic = not value.integer and bool(value.shape), not value.integer and not value.shape
    return name_runs(name, bold, italic)


def name_runs(name: str, bold: bool = True, italic: bool = False) -> Line:
    """A name, its stem bold or italic."""
    stem, subscript, superscript = Name.parse(name)
    return (
        Run(shortened(stem, LONGEST_STEM), bold, italic),
        *_script(shortened(subscript, LONGEST_SCRIPT), -1),
        *_script(shortened(superscript, LONGEST_SCRIPT), 1),
    )


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _script(text: str, level: int) -> Line:
    """Letters italic, everything else upright."""
    parts = re.findall(r"[^\W\d_]+|[\W\d_]+", text)
    return tuple(Run(part, italic=part[0].isalpha(), level=level) for part in parts)


def listing(values: Sequence[Value], names: Sequence[str]) -> Label:
    """The label of several values that share a box."""
    parts = [typeset(value, name) for value, name in zip(values, names, strict=True)]
    lines = []
    for n in range(0, len(parts), PER_LINE):
        line = list(parts[n])
        for part in parts[n + 1 : n + PER_LINE]:
            line += [SEPARATOR, *part]
        lines.append((*line, END_OF_LINE) if n + PER_LINE < len(parts) else tuple(line))
    return tuple(lines)


def plain(label: Label) -> str:
    """The letters of a label, without their styles."""
    return " ".join("".join(run.text for run in line) for line in label)


def size(label: Label) -> tuple[float, float]:
    """The width of a label in points, and its height beyond one line."""
    return max(map(width, label), default=0.0), sum(map(height, label[1:]))


def height(line: Line) -> float:
    """The height of a line."""
    return SMALL_HEIGHT if line and all(run.level == SMALL for run in line) else LINE_HEIGHT


def middles(label: Label) -> list[float]:
    """The distance of each line's middle below the label's middle."""
    tops = [0.0]
    for line in label:
        tops.append(tops[-1] + height(line))
    return [(a + b - tops[-1]) / 2 for a, b in pairwise(tops)]


def width(line: Line, size: float = SIZE) -> float:
    """The approximate width of a line in points, from the widths of Times' letters."""
    total = sum(
        letter_width(letter) * (SUBSCRIPT if run.level else 1.0)
        for run in line
        for letter in run.text
    )
    return total * size


def letter_width(letter: str) -> float:
    """The width of a letter, in units of the font size."""
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in "WMmw@":
        return 0.9
    if letter in "fijlrt,.;:|()[] I'′\u2009":
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


def symbol(function: str) -> Label:
    """The symbol in the circle of one operation."""
    return text(SYMBOLS.get(function, function))


def text(words: str) -> Label:
    """A label of literal text."""
    return ((Run(words),),)


def groups(line: Line) -> list[tuple[int, Line]]:
    """The runs of a line, grouped by level. A writer sets each group at one height."""
    cuts = [0, *(n + 1 for n, (a, b) in enumerate(pairwise(line)) if a.level != b.level), len(line)]
    return [(line[a].level, line[a:b]) for a, b in pairwise(cuts) if a < b]
