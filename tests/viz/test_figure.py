"""A figure as a file: every format, and what happens where Graphviz is missing."""

import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from tests.viz.models import MODELS, outputs
from viz.models import recurrent_loss


@pytest.fixture(scope="module")
def figure() -> viz.Figure:
    return viz.draw(*outputs("rnn"))


def test_svg_is_self_contained_and_as_large_as_the_textbooks(figure: viz.Figure) -> None:
    svg = ElementTree.fromstring(figure._repr_svg_())
    width, height = (float(svg.attrib[side].removesuffix("pt")) for side in ("width", "height"))
    assert 300 < width < 310 and 130 < height < 137  # the book's is 303 by 132
    assert "href" not in figure.svg() and "url(" not in figure.svg()


def test_letters_are_text_or_for_print_outlines(figure: viz.Figure) -> None:
    svg = ElementTree.fromstring(figure.svg())
    texts = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"x1", "h0", "L", "y3", "Wxh\u2009, Whh"} <= set(texts)
    outlines = figure.svg(outlines=True)
    assert "<text" not in outlines and "font-family" not in outlines


def test_png_is_crisp(figure: viz.Figure, tmp_path: Path) -> None:
    data = figure.save(tmp_path / "new" / "figure.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, _ = struct.unpack(">II", data[16:24])
    assert width > 300 / 72 * 300  # 300 dots per inch
    small = figure.save(tmp_path / "small.png", dpi=72).read_bytes()
    assert abs(struct.unpack(">I", small[16:20])[0] - width * 72 / 300) < 3


def test_pdf_gv_and_html(figure: viz.Figure, tmp_path: Path) -> None:
    assert figure.save(tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert figure.save(tmp_path / "f.gv").read_text() == figure.source
    page = figure.save(tmp_path / "f.html").read_text()
    assert page.startswith("<!DOCTYPE html>") and page.count("<svg") == 1
    assert "<?xml" not in page and "<title>" in page


def test_a_page_says_what_is_seen_and_is_dark_where_its_picture_is(tmp_path: Path) -> None:
    loss = recurrent_loss(steps=4, truncation=tg.Subsequence(2))
    page = viz.draw(loss, title="Chunks").save(tmp_path / "f.html").read_text()
    assert "<title>Chunks</title>" in page
    caption = page.partition("<figcaption>")[2].partition("</figcaption>")[0]
    assert caption.startswith("A box is a value with a name; a circle is") and "gap" in caption
    assert "orange" not in caption and "⋮" not in caption  # only what occurs
    assert page.count("prefers-color-scheme") == 2  # the page, and its picture
    for theme, paper in (("print", "#FFF"), ("dark", "#14171A")):
        page = viz.draw(loss, theme=theme).save(tmp_path / "f.html").read_text()
        assert f"body {{ background: {paper}" in page and "prefers-color-scheme" not in page
    page = viz.draw_truncations("abc", [tg.Full()]).save(tmp_path / "f.html").read_text()
    assert "<figcaption>How far back each loss reaches" in page


def test_a_page_shows_small_and_large_pictures_at_one_size(tmp_path: Path) -> None:
    def magnified(*outputs: tg.Tensor) -> float:
        page = viz.draw(*outputs).save(tmp_path / "f.html").read_text()
        natural, shown = (
            re.search(r'<svg [^>]*width="([\d.]+)pt', page),
            re.search(r"width: ([\d.]+)pt", page),
        )
        assert natural and shown
        return round(float(shown[1]) / float(natural[1]), 3)

    w = tg.Tensor([1.0, 2.0], requires_grad=True, name="w")
    states, _ = tg.unroll(tg.RNNCell(3, 4, rng=0), np.ones((5, 2, 3)))
    assert magnified(np.sum(w)) == magnified(*states) == 2


def row_of_ink(picture: np.ndarray) -> tuple[int, int]:
    """The first and the last row of what stands inside of a box's outline."""
    height, width = picture.shape
    inside = picture[height // 8 : -height // 8, width // 8 : -width // 8]
    rows = np.flatnonzero((inside < 0.5).any(axis=1)) + height // 8
    return int(rows[0]), int(rows[-1])


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_capital_stands_in_the_middle_of_its_box(shape: tuple[int, ...], tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    figure = viz.draw(tg.Tensor(np.ones(shape), name="L"))
    picture = image.imread(figure.save(tmp_path / "box.png"))[..., :3].mean(axis=-1)
    first, last = row_of_ink(picture)
    assert 10 < last - first < 50  # a letter
    assert abs((first + last) / 2 - len(picture) / 2) < 0.2 * (last - first)


def test_another_suffix_is_refused(figure: viz.Figure, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of .svg, .png, .pdf, .gv, .html, .tex, .mmd"):
        figure.save(tmp_path / "figure.jpeg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", MODELS)
def test_graphviz_has_nothing_to_complain_about(name: str) -> None:
    """Labels fit their boxes, curves are curves: its warnings would be errors here."""
    for detail in ("named", "ops"):
        figure = viz.draw(*outputs(name), detail=detail)
        assert figure.svg(outlines=True).startswith("<?xml")


def test_without_graphviz_a_sentence_says_what_to_install(
    figure: viz.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="pip install pygraphviz"):
        figure.save(tmp_path / "figure.png")
    assert figure.save(tmp_path / "figure.gv").is_file()
    assert figure.save(tmp_path / "figure.svg").is_file()


def test_a_dot_on_the_path_serves_where_there_is_no_wheel(
    figure: viz.Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dot = tmp_path / "dot"
    dot.write_text('#!/bin/sh\necho "$@"\nexec cat\n')
    dot.chmod(0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert figure.svg(outlines=True) == f"-Knop2 -Tsvg:cairo\n{figure.source}"


def test_without_the_graphviz_package_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "graphviz", None)
    figure = viz.draw(*outputs("network"))
    assert figure.svg().startswith("<svg")
    with pytest.raises(ImportError, match="pip install graphviz pygraphviz, or save it"):
        print(figure.source)
