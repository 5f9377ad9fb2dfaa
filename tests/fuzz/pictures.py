"""Names and titles that anybody may have given: they break no picture and run nothing."""

from __future__ import annotations

import html.parser
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter

import numpy as np
import pygraphviz

import tinygrad_rnn as tg
import viz
from tests.fuzz.target import Target
from viz import labels
from viz.letters import writable
from viz.snapshot import Value

NAMES = [
    *("W_hh", "h_3^(2)", r"\hat y_3", r"\theta_{hq}", "h'", "_", "^", "a_^b", "{}", "\\", "", " "),
    *("</script><script>alert(1)</script>", "<!--", "]]>", "<b onload='x'>&amp;&#0;"),
    *('" onload="x', "x\ny", "\t\r\u2028", "%\\end{document}", "\u202eשלום\u200f", "\u0301"),
    *("é😀\ud83d", "\0\x0b\uffff", "x" * 10_000, "_" * 500, "<" * 300, "n0 -> n1; }"),
    *("${x}`#{y}", "{{data}}", "\\g<1>"),
]  # fmt: skip


def text_of(data: bytes) -> str:
    """Any text, also such as only files on a disk have."""
    return data.decode("utf-8", "surrogateescape")


def check_name(data: bytes) -> None:
    """A name is taken apart and put together again, and its label has its letters."""
    text = text_of(data)
    name = labels.Name.parse(text)
    assert labels.Name.parse(str(name)).stem == name.stem or "\\" in text or "{" in text
    for shape in ((), (2,)):
        value = Value(text, None, shape, False, None, (), True, False, None)  # type: ignore[arg-type]
        line = labels.typeset(value, text)
        assert labels.width(line) >= 0
        shown = "".join(run.text for run in line)
        assert not text or shown or not str(name).strip("_^{}"), text
        assert len(shown) <= labels.LONGEST_STEM + 2 * labels.LONGEST_SCRIPT


def drawn(name: str, title: str = "") -> list[tg.Tensor]:
    """A small network, all of whose parts are called so."""
    w = tg.Tensor(np.array([[0.5, 0.1], [0.2, 0.3]]), requires_grad=True, name=name)
    h, losses = tg.Tensor(np.ones((1, 2)), name=name), []
    for t in range(2):
        with tg.step(t), tg.scope(name or "scope"):
            h = np.tanh(h @ w).named(name)
            losses.append(np.sum(h * h))
    return losses


class Elements(html.parser.HTMLParser):
    """The elements of a page, with the names of their attributes, and what its scripts hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, ...]] = Counter()
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found[tag, *sorted(name for name, _ in attributes)] += 1
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data


KNOWN = {
    *("svg", "title", "desc", "style", "rect", "g", "path", "circle", "text", "tspan"),
    *("html", "head", "meta", "body", "figure", "figcaption"),
}
"""What a figure is made of."""

ALLOWED = re.compile(
    r"xmlns|width|height|viewbox|role|class|font-[a-z]+|text-anchor|fill|stroke|stroke-width|d|x|y|"
    r"cx|cy|r|rx|dy|lang|charset|name|content|xml:space"
)


def check_figure(data: bytes) -> None:
    """Files of one figure: well-formed, of the usual elements alone, with the name in them."""
    name = text_of(data)
    figure = viz.draw(*drawn(name), title=name, legend=True, values=True)
    root = ET.fromstring(figure.svg())
    titles = "".join(
        element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}title")
    )
    assert same(writable(name)[:50]) in same(titles)
    page = Elements(figure._page())
    assert {tag for tag, *_ in page.found} <= KNOWN, page.found
    assert all(ALLOWED.fullmatch(a) for _, *names in page.found for a in names), page.found
    graph = pygraphviz.AGraph(string=figure.source)
    plain = pygraphviz.AGraph(
        string=viz.draw(*drawn("a"), title="a", legend=True, values=True).source
    )
    if name.strip() and not name.isdigit():
        assert len(graph.edges()) == len(plain.edges())


def same(text: str) -> str:
    """As XML has it: all blanks are one."""
    return re.sub(r"\s", " ", text)


def check_player(data: bytes) -> None:
    """The player's page: no element more than with another name, and data that can be read."""
    name = text_of(data)
    page = Elements(viz.play(drawn(name), title=name).html)
    plain = Elements(viz.play(drawn("a"), title="a").html)
    assert page.found == plain.found
    assert page.scripts[-1] == plain.scripts[-1]
    for script, usual in zip(page.scripts, plain.scripts, strict=True):
        if usual.startswith("{"):
            assert json.loads(script).keys() == json.loads(usual).keys()
    ET.fromstring(viz.animate(drawn(name), title=name).svg)


def names() -> list[bytes]:
    return [name.encode("utf-8", "surrogatepass") for name in NAMES]


TOKENS = tuple(name.encode("utf-8", "surrogatepass")[:30] for name in NAMES if name)
TARGETS = {
    "names": Target(check_name, names, TOKENS),
    "figures": Target(check_figure, names, TOKENS),
    "player": Target(check_player, names, TOKENS),
}
"""The parser of names, and the writers."""
