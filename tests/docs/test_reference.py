"""The reference: every public name on exactly one page, and docstrings as pages show them."""

import inspect
import itertools
import re
from collections import Counter
from operator import attrgetter

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


def test_a_line_for_each_argument_and_for_what_is_returned():
    def f(norms, steps, xs=None):
        """norms: n. steps: how many; xs: inputs, T: any. Returns a number. See also: g."""

    assert docstrings.one_each(f.__doc__, docstrings.arguments_of(f)) == [
        "norms: n.",
        "steps: how many",
        "xs: inputs, T: any.",
        "Returns a number. See also: g.",
    ]


def test_the_lines_of_a_formula_stay_apart():
    lines = ["A cell.", "", "    c = f | c", "    h = o", "", ">>> [[1,", "    2]]"]
    docstrings.rewrite(None, "class", "C", tg.LSTMCell, None, lines)
    assert lines == ["A cell.", "", "    | c = f \\| c", "    | h = o", "", ">>> [[1,", "    2]]"]


@pytest.mark.parametrize("name", PUBLIC)
def test_what_an_argument_is_goes_on_in_indented_lines(name):
    """Any other line begins a paragraph of its own, and must not do so within a sentence."""
    named = attrgetter(name.partition(".")[2])(tg if name.startswith("tinygrad_rnn") else viz)
    members = vars(named).values() if inspect.isclass(named) else ()
    for thing in (named, *members):
        known = docstrings.arguments_of(thing)
        lines = (inspect.getdoc(thing) or "").splitlines()
        for line, after in itertools.pairwise(lines):
            if docstrings.described(line, known) and not line.endswith("."):
                assert after.startswith("    "), (line, after)


def test_defaults_in_signatures_are_short():
    """That of a figure's theme was its whole table of colours."""
    theme = inspect.signature(viz.Figure).parameters["theme"].default
    assert repr(theme) == "Theme(name='textbook')"
