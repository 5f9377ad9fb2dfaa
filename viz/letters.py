"""Text for markup files. Names may have any characters, but markup files may not."""

from __future__ import annotations

import re
from html import escape as _escape

REFUSED = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 excludes, even as entities (section 2.2): control characters,
noncharacters, halves of surrogate pairs."""


def writable(text: str) -> str:
    """The text, with a replacement character for each that no file of markup can hold.

    >>> from viz.letters import writable
    >>> writable("h\\x00_1")
    'h\ufffd_1'
    """
    return REFUSED.sub("\ufffd", text)


def escape(text: str) -> str:
    """Text escaped for XML, HTML and the labels of DOT, also inside an attribute.

    >>> from viz.letters import escape
    >>> escape("a < 'b'")
    'a &lt; &#x27;b&#x27;'
    """
    return _escape(writable(text))
