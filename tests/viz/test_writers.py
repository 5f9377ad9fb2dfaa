"""TikZ and Mermaid, from the same scene."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from examples.gallery import compared, pendulum, second_derivative, windows
from tests.viz.models import MODELS, outputs, parameter, value


def compiled(folder: Path, text: str) -> str:
    """What TeX says of a document; an empty string where it is content."""
    (folder / "figure.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "figure.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return done.stdout.decode(errors="replace")[-2000:] if done.returncode else ""


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX is installed")
def test_tikz_is_compiled(tmp_path: Path) -> None:
    """A document of its own, and the pictures of all kinds copied into one."""
    text = tikz(viz.draw(*outputs("rnn")), tmp_path)
    plain = "\\pdfobjcompresslevel=0\n"  # so that the size of the page can be read
    assert not compiled(tmp_path, plain + text)
    pdf = (tmp_path / "figure.pdf").read_bytes()
    (wide,) = re.findall(rb"/MediaBox \[0 0 ([\d.]+)", pdf)
    (left, _), (right, _) = viz.draw(*outputs("rnn")).scene.bounds()
    assert float(wide) == pytest.approx(right - left, abs=2)
    figures = [viz.draw(*outputs(name), detail="ops") for name in ("lstm_by_hand", "tower")]
    figures += [make() for make in (compared, pendulum, second_derivative, windows)]
    pictures = [
        "\\begin{tikzpicture}" + made.split("\\begin{tikzpicture}")[1].split("\n}")[0]
        for made in (tikz(figure, tmp_path) for figure in figures)
    ]
    whole = "\\documentclass{article}\\usepackage{tikz}\\begin{document}\n"
    assert not compiled(tmp_path, whole + "\n\n".join(pictures) + "\n\\end{document}\n")


def tikz(figure: viz.Figure, folder: Path) -> str:
    return figure.save(folder / "figure.tex").read_text()


@pytest.mark.parametrize("name", MODELS)
def test_tikz_has_every_shape_and_link_and_is_balanced(name: str, tmp_path: Path) -> None:
    figure = viz.draw(*outputs(name))
    text = tikz(figure, tmp_path)
    boxes = [b for b in figure.scene.boxes if b.colour or figure.theme[b.kind].stroke != "none"]
    assert text.count(r"\path[") == len(boxes)
    assert text.count(r"\draw[") >= 2 * len(figure.scene.paths)
    inside = text.replace(r"\{", "").replace(r"\}", "")
    assert inside.count("{") == inside.count("}")
    assert text.isascii() or name == "own_cell"


def test_names_in_tex(tmp_path: Path) -> None:
    y = np.sum(parameter(r"\theta_1", 2) * value(r"\hat y_3", 2) * value("50%_{a&b}", 2))
    text = tikz(viz.draw(y), tmp_path)
    assert r"\textbf{$\mathbf{\theta}$}\textsubscript{1}" in text
    assert r"\textbf{50\%}\textsubscript{\textit{a}\&\textit{b}}" in text
    assert r"\textbf{ŷ}" in text or r"\hat" in text


def test_mermaid(tmp_path: Path) -> None:
    text = viz.draw(*outputs("own_cell")).save(tmp_path / "f.mmd").read_text()
    lines = text.splitlines()
    assert lines[0] == "flowchart BT"
    assert (
        sum("-.-x" in line for line in lines) == 1 and sum("ξ = 2.5" in line for line in lines) == 1
    )
    diagram = viz.draw(*outputs("own_cell")).scene.diagram
    assert diagram is not None
    assert sum(":::" in line for line in lines) == len(diagram.shapes)
    w = parameter('a"[x]', 2)
    assert "a#34;#91;x#93;" in viz.draw(np.sum(w * w)).save(tmp_path / "g.mmd").read_text()
    with pytest.raises(ValueError, match="Mermaid draws only graphs"):
        viz.draw_truncations("abc", [tg.Full()]).save(tmp_path / "t.mmd")
