"""Compaction of scripts and style sheets: comments and needless white space are removed."""

from __future__ import annotations

import re

BEFORE_REGEX = "(,=:[!&|?{};>"  # after these a slash begins a pattern; elsewhere it divides
OPEN, CLOSED = "{([;,=:?&|+<>!", "})];,:?.=&|+<>"  # beside these a line break has no meaning


def compact_script(text: str) -> str:
    """The JavaScript with the same tokens. Statements end at semicolons or at the end of a line.

    >>> from viz.player.compact import compact_script
    >>> compact_script("const a = 1; // one\\nlet b = `${a ? `x, y` : 'z'} + 1`;")
    "const a=1;let b=`${a?`x, y`:'z'} + 1`;"
    """
    return _code(text, 0, "")[0]


def compact_style(text: str) -> str:
    """The style sheet with the same rules.

    >>> from viz.player.compact import compact_style
    >>> compact_style("/* all */ a b { color: red; }")
    'a b{color:red}'
    """
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ?([{};,]) ?|: ", lambda match: match[1] or ":", text).strip()
    return text.replace(";}", "}")


def _code(text: str, at: int, end: str) -> tuple[str, int]:
    """The code from a place up to its closing brace, or to the end of the text."""
    out: list[str] = []
    depth = 0
    while at < len(text):
        letter, last = text[at], out[-1][-1] if out else ";"
        if letter == end and depth == 0:
            return "".join(out), at
        if letter.isspace() or text.startswith(("//", "/*"), at):
            gap, at = _gap(text, at)
            following = text[at : at + 1]
            if "\n" in gap and last not in OPEN and following not in CLOSED:
                out.append("\n")
            elif (_is_word(last) and _is_word(following)) or (last == following and last in "+-"):
                out.append(" ")
            continue
        if letter == "`":
            piece, at = _template(text, at)
            out.append(piece)
            continue
        if letter in "\"'":
            stop = re.compile(rf"(?:[^{letter}\\]|\\.)*{letter}").match(text, at + 1)
            piece = text[at : stop.end()] if stop else text[at:]
        elif letter == "/" and last in BEFORE_REGEX:
            stop = re.compile(r"(?:[^/\\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+/").match(text, at + 1)
            piece = text[at : stop.end()] if stop else letter
        else:
            depth += (letter == "{") - (letter == "}")
            piece = letter
        out.append(piece)
        at += len(piece)
    return "".join(out), at


def _gap(text: str, at: int) -> tuple[str, int]:
    """The white space and comments from a place on, and their end."""
    stop = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)+", re.DOTALL).match(text, at)
    assert stop is not None
    return stop.group(), stop.end()


def _template(text: str, at: int) -> tuple[str, int]:
    """A template literal with the code inside of its braces compacted, and its end."""
    out, at = ["`"], at + 1
    while text[at] != "`":
        if text.startswith("${", at):
            inside, at = _code(text, at + 2, "}")
            out.append(f"${{{inside}}}")
            at += 1
        elif text[at] == "\\":
            out.append(text[at : at + 2])
            at += 2
        else:
            out.append(text[at])
            at += 1
    return "".join([*out, "`"]), at + 1


def _is_word(letter: str) -> bool:
    return letter.isalnum() or letter in "_$"
