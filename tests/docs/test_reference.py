"""The reference: every public name on exactly one page, and docstrings as pages show them."""

import re
from collections import Counter

import pytest

import tinygrad_rnn as tg
import viz
from tests.docs.extensions import DOCS, docstrings

PAGES = sorted((DOCS / "reference").glob("*.md"))
SHOWN = Counter(
    name
    for page in PAGES
    for name in re.findall(r"^\.\. auto\w+:: (\S+)$", page.read_text(), flags=re.MULTILINE)
)
PUBLIC = [
    *(f"tinygrad_rnn.{name}" for name in tg.__all__ if name != "analysis"),
    *(f"tinygrad_rnn.analysis.{name}" for name in tg.analysis.__all__),
    *(f"viz.{name}" for name in viz.__all__),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_on_one_page(name):
    assert SHOWN[name] == 1


def test_no_page_shows_what_is_not_public():
    assert set(SHOWN) <= set(PUBLIC)


def test_arguments_become_a_list_of_definitions():
    def f(xs, lengths=None):
        """Run.

        xs: (T, batch), the inputs,
            padded.
        lengths: |how| long.
        Raises TypeError for * nothing.

        >>> f(1)
        """

    lines = [line.removeprefix("        ") for line in (f.__doc__ or "").splitlines()]
    docstrings.rewrite(None, "function", "f", f, None, lines)
    text = "\n".join(lines)
    assert "``xs``\n    (T, batch), the inputs,\n    padded." in text
    assert "``lengths``\n    \\|how\\| long." in text
    assert "Raises TypeError for \\* nothing." in text
    order = ["Run.", "``xs``", "``lengths``", "Raises TypeError", ">>> f(1)"]
    assert sorted(order, key=text.index) == order
