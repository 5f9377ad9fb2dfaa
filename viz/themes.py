"""Themes: tables from the class of what is drawn to its colours.

A user's own table is laid over the textbook's, so it names only what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from viz.colours import in_digits


class Colours(NamedTuple):
    """The colours of a shape's area, of its outline or line, and of its letters. "none" is no
    colour."""

    fill: str = "none"
    stroke: str = "none"
    text: str = "none"


Table: TypeAlias = Mapping[str, Colours]

BLACK = "#000"
TEXTBOOK: dict[str, Colours] = {
    "paper": Colours("#FFF"),
    "box": Colours("none", BLACK, BLACK),
    "circle": Colours("#B2D9FF", BLACK, BLACK),
    "backward": Colours("#FFDDB8", BLACK, BLACK),
    "parameters": Colours("#66BFFF", BLACK, BLACK),
    "dots": Colours("none", "none", BLACK),
    "link": Colours("none", BLACK),
    "cut": Colours("none", "#8C8C8C"),
    "scaled": Colours("none", "#C05000"),
    "pill": Colours("#FFF", "#C05000", "#C05000"),
    "text": Colours("none", "none", BLACK),
    "muted": Colours("none", "none", "#5F6368"),
    "faint": Colours("none", "#B8BCC2"),
    "strand": Colours("none", "#C05000"),
    "bar": Colours("#C05000"),
    "outline": Colours("none", "#8C8C8C"),
    "band": Colours("none", "#B8BCC2", "#5F6368"),
}
INK, PAPER = "#E8EAED", "#14171A"
DARK: dict[str, Colours] = {
    "paper": Colours(PAPER),
    "box": Colours("none", INK, INK),
    "circle": Colours("#24527A", INK, INK),
    "backward": Colours("#7A4718", INK, INK),
    "parameters": Colours("#2F7EC4", INK, INK),
    "dots": Colours("none", "none", INK),
    "link": Colours("none", INK),
    "cut": Colours("none", "#8C8C8C"),
    "scaled": Colours("none", "#FF9D5C"),
    "pill": Colours(PAPER, "#FF9D5C", "#FF9D5C"),
    "text": Colours("none", "none", INK),
    "muted": Colours("none", "none", "#9AA0A6"),
    "faint": Colours("none", "#5F6368"),
    "strand": Colours("none", "#FF9D5C"),
    "bar": Colours("#FF9D5C"),
    "outline": Colours("none", "#8C8C8C"),
    "band": Colours("none", "#5F6368", "#9AA0A6"),
}
LOSSES = ("#5B2A8C", "#A8327D", "#DB5C4A", "#E8923A", "#E8B93A")
"""The colours of the losses from the first to the last, told apart by their lightness too."""


def loss_colour(number: int, count: int) -> str:
    """The colour of one loss out of a given number of losses.

    >>> from viz.themes import loss_colour
    >>> loss_colour(0, 3), loss_colour(2, 3)
    ('#5b2a8c', '#e8b93a')
    """
    place = number / max(count - 1, 1) * (len(LOSSES) - 1)
    low = min(int(place), len(LOSSES) - 2)
    mixed = [
        round((1 - place + low) * int(a, 16) + (place - low) * int(b, 16))
        for a, b in ((LOSSES[low][k : k + 2], LOSSES[low + 1][k : k + 2]) for k in (1, 3, 5))
    ]
    return "#" + "".join(f"{part:02x}" for part in mixed)


def on_dark(colour: str) -> str:
    """A loss's colour on a dark page: half as far from white, so that the first losses are visible.

    >>> from viz.themes import on_dark
    >>> on_dark("#5b2a8c")
    '#a58ac0'
    """
    parts = (255 - int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{255 - part * 55 // 100:02x}" for part in parts)


PRINT: dict[str, Colours] = TEXTBOOK | {
    "circle": Colours("#E6E6E6", BLACK, BLACK),
    "backward": Colours("#FFF", BLACK, BLACK),
    "parameters": Colours("#BFBFBF", BLACK, BLACK),
    "cut": Colours("none", "#808080"),
    "scaled": Colours("none", BLACK),
    "pill": Colours("#FFF", BLACK, BLACK),
}


@dataclass(frozen=True)
class Theme:
    """A table of colours, and optionally the table that replaces it on dark pages."""

    name: str
    light: Table = field(repr=False)
    dark: Table | None = field(default=None, repr=False)

    def __getitem__(self, kind: str) -> Colours:
        return self.light[kind]

    def own(self, colour: str) -> str:
        """How this theme shows a colour that belongs to no class, such as a loss's."""
        return on_dark(colour) if self.light is DARK else colour


THEMES = {
    "textbook": Theme("textbook", TEXTBOOK, DARK),
    "dark": Theme("dark", DARK),
    "print": Theme("print", PRINT),
}


def theme_of(theme: str | Mapping[str, str | tuple[str, ...]]) -> Theme:
    """The theme of this name, or the textbook's with a user's colours laid over it.

    theme: "textbook", "dark", "print", or a table from classes to colours. A colour is that of the
        area if the class has one, else of the line or the letters; or it is a tuple (fill, stroke,
        text).
    Raises ValueError for an unknown name, class or colour.

    >>> from viz.themes import theme_of
    >>> theme_of({"parameters": "gold"})["parameters"]
    Colours(fill='#ffd700', stroke='#000', text='#000')
    """
    if isinstance(theme, str):
        if theme not in THEMES:
            raise ValueError(
                f"theme must be one of {', '.join(map(repr, THEMES))} or a table of colours, not "
                f"{theme!r}"
            )
        return THEMES[theme]
    if not isinstance(theme, Mapping):
        raise TypeError(f"theme must be a name or a table of colours, not {theme!r}")
    table = dict(TEXTBOOK)
    for kind, colours in theme.items():
        if kind not in table:
            raise ValueError(f"a theme has the colours {', '.join(table)}, but no {kind!r}")
        known = table[kind]
        if not isinstance(colours, str) and not (isinstance(colours, tuple) and len(colours) <= 3):
            raise TypeError(
                f"the colour of {kind} must be a str or a tuple (fill, stroke, text), not "
                f"{colours!r}"
            )
        given = [
            _checked(kind, one) for one in ([colours] if isinstance(colours, str) else colours)
        ]
        if not isinstance(colours, str):
            table[kind] = Colours(*given)
        elif known.fill != "none":
            table[kind] = known._replace(fill=given[0])
        elif known.stroke != "none":
            table[kind] = known._replace(stroke=given[0])
        else:
            table[kind] = known._replace(text=given[0])
    digest = hashlib.sha256(repr(sorted(table.items())).encode()).hexdigest()[:8]
    return Theme(f"own-{digest}", table)


def _checked(kind: str, colour: Any) -> str:
    """A colour in digits. ValueError for what is no colour."""
    digits = in_digits(colour) if isinstance(colour, str) else None
    if digits is None:
        raise ValueError(
            f"the colour of {kind} must be a name that CSS knows, #RGB, #RRGGBB, rgb(r, g, b) or "
            f"none, not {colour!r}"
        )
    return digits
