"""SVG from our own layout: text, titles, colours on the elements, and one rule for dark pages."""

import re
import xml.etree.ElementTree as ElementTree
from html import unescape
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import MODELS, outputs, parameter, value
from viz.models import recurrent_loss
from viz.themes import DARK, THEMES, loss_colour, on_dark

SVG = "{http://www.w3.org/2000/svg}"
GOLDEN = Path(__file__).parent / "golden"


def parsed(figure: viz.Figure) -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg())


@pytest.mark.parametrize("name", ["rnn", "own_cell", "network"])
def test_svg_is_the_golden_one(name: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.svg"
    text = viz.draw(*outputs(name)).svg()
    if request.config.getoption("--overwrite-golden"):
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} has changed; look at it before overwriting it"


def test_sizes() -> None:
    assert len(viz.draw(recurrent_loss(3)).svg()) <= 10_000
    assert len(viz.draw(recurrent_loss(100), fold=None).svg()) <= 250_000


@pytest.mark.parametrize("name", MODELS)
def test_nothing_can_clash_or_be_missing(name: str) -> None:
    svg = parsed(viz.draw(*outputs(name)))
    for element in svg.iter():
        assert "id" not in element.attrib
        assert not any("href" in key for key in element.attrib)
    assert svg.findtext(f"{SVG}title") and svg.findtext(f"{SVG}desc")
    assert len(svg.findall(f".//{SVG}style")) == 1
    for group in svg.findall(f"{SVG}g"):
        assert {"class", "fill", "stroke"} == set(group.attrib)
    assert all("fill" in text.attrib for text in svg.iter(f"{SVG}text"))


def test_every_shape_says_what_it_is() -> None:
    svg = parsed(viz.draw(*outputs("rnn")))
    said = {g.findtext(f"{SVG}title"): g.findtext(f"{SVG}desc") for g in svg.iter(f"{SVG}g")}
    assert said["h_2"] == "2×5" and said["L"] == "scalar" and said["W_xh, W_hh"] == "4×5, 5×5"
    assert said["matmul, matmul, add, tanh"] == "2×5"


def test_two_themes_on_one_page_do_not_share_rules() -> None:
    own = viz.draw(*outputs("rnn"), theme={"parameters": "gold", "cut": "red"}).svg()
    assert 'fill="#ffd700"' in own and "prefers-color-scheme" not in own
    (name,) = set(re.findall(r"viz-([\w-]+)", own))
    assert name != "textbook"
    textbook = viz.draw(*outputs("rnn")).svg()
    assert textbook.count("@media") == 1 and set(re.findall(r"\.viz-(\w+)", textbook)) == {
        "textbook"
    }
    dark = viz.draw(*outputs("rnn"), theme="dark")
    assert THEMES["dark"]["circle"].fill in dark.svg() and "@media" not in dark.svg()
    assert f'bgcolor="{THEMES["dark"]["paper"].fill}"' in dark.source


def test_mistakes_in_a_theme_are_one_sentence() -> None:
    with pytest.raises(ValueError, match="theme must be one of 'textbook', 'dark', 'print'"):
        viz.draw(*outputs("network"), theme="sepia")
    with pytest.raises(ValueError, match="but no 'boxes'"):
        viz.draw(*outputs("network"), theme={"boxes": "red"})


def test_repr_is_one_line() -> None:
    figure = viz.draw(*outputs("rnn"), title="the chapter's network")
    assert repr(figure) == '<Figure "the chapter\'s network": 23 shapes, 28 links, 304×151 pt>'


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("W_{hq}", "Whq"),
        (r"\hat y_3", "ŷ3"),
        (r"\hat{y}", "ŷ"),
        (r"\theta", "θ"),
        (r"\Sigma_x", "Σx"),
        ("h'", "h′"),
        ("h'_2^(1)", "h′2(1)"),
        ("the_hidden_state_of_it_all", "thehidden_st…"),
        ("a_very_long_name^indeed", "avery_long…indeed"),
        ("скрытое_3", "скрытое3"),
        ("隠れ状態_1", "隠れ状態1"),
        (r"\unknown", r"\unknown"),
    ],
)
def test_names_as_they_are_written(name: str, shown: str) -> None:
    figure = viz.draw(np.sum(parameter("w", 2) * value(name, 2)))
    (group,) = [g for g in parsed(figure).iter(f"{SVG}g") if g.findtext(f"{SVG}title") == name]
    assert "".join(group.find(f"{SVG}text").itertext()) == shown  # type: ignore[union-attr]


def test_what_is_shown_knows_its_nodes() -> None:
    loss = recurrent_loss(3)
    tape = tg.tape(loss)
    diagram = viz.draw(loss).scene.diagram
    assert diagram is not None
    held = {reference() for shape in diagram.shapes for reference in shape.nodes}
    assert held == set(tape)
    for shape in diagram.shapes:
        if shape.kind == "box":
            assert [reference().name for reference in shape.nodes] == [shape.title]  # type: ignore[union-attr]
    edges = [(node, argument) for node in tape for _, argument, _, _ in node.edges]
    used = [(use.node(), use.argument) for link in diagram.links for use in link.uses]
    inner = {
        reference()
        for shape in diagram.shapes
        if shape.kind == "circle"
        for reference in shape.nodes[:-1]
    }
    between = [
        (node, argument)
        for node in tape
        for parent, argument, _, _ in node.edges
        if parent not in inner
    ]
    assert sorted(map(str, used)) == sorted(map(str, between)) and len(used) < len(edges)


def test_a_picture_keeps_no_graph_alive() -> None:
    loss = recurrent_loss(2)
    figure = viz.draw(loss)
    del loss
    assert figure.scene.diagram is not None
    circles = [shape for shape in figure.scene.diagram.shapes if shape.kind == "circle"]
    assert all(reference() is None for shape in circles for reference in shape.nodes)
    assert figure.svg()


@pytest.mark.parametrize("steps", [3, 12])
def test_every_loss_is_seen_on_a_dark_page(steps: int) -> None:
    text = unescape(viz.draw(recurrent_loss(steps), gradients=True).svg())
    dark = viz.draw(recurrent_loss(steps), gradients=True, theme="dark").svg()
    for t in range(steps):
        colour = loss_colour(t, steps)
        assert f'[stroke="{colour}"]{{stroke:{on_dark(colour)}}}' in text
        assert contrast(on_dark(colour), DARK["paper"].fill) > 4.5
        assert colour not in dark and on_dark(colour) in dark


def contrast(*colours: str) -> float:
    """As WCAG 2 defines it."""
    light, dark = sorted(map(luminance, colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
