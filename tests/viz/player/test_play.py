"""`play` and `animate`: what they write, and what they refuse."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz
from viz.__main__ import main
from viz.models import recurrent_loss
from viz.player.compact import compact_script
from viz.player.packing import Pack
from viz.themes import loss_colour


def test_play_writes_a_page(tmp_path: Path) -> None:
    path = tmp_path / "out" / "bptt.html"
    player = viz.play(recurrent_loss(2), path, title="Two <steps>")
    text = path.read_text()
    assert text == player.html and "<title>Two &lt;steps&gt;</title>" in text
    assert repr(player) == f"<Player: Two <steps>, {len(text.encode()) / 1000:.0f} kB>"
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


def test_a_name_cannot_break_out_of_the_page() -> None:
    w = tg.Tensor([1.0], requires_grad=True, name="</script><b>")
    text = viz.play(np.sum(w * w).named("<!--")).html
    assert text.count("</script>") == 2 and "<!--" not in text


@pytest.mark.parametrize(
    ("losses", "path", "sentence"),
    [
        (list, None, "play needs a loss"),
        (lambda: [3.0], None, "play takes Tensors, usually the loss, not float"),
        (lambda: tg.Tensor([1.0]), None, "there is nothing to play"),
        (lambda: recurrent_loss(2), "page.pdf", "must end in .html"),
        (lambda: recurrent_loss(2), "page", "must end in .html"),
        (
            lambda: recurrent_loss(3, truncation=tg.Subsequence(2)),
            None,
            "from step 1 to step 2 is cut",
        ),
        (lambda: recurrent_loss(3, truncation=tg.Window(1)), None, "windows of a truncation"),
        (lambda: recurrent_loss(301), None, "but there are 301"),
    ],
)
def test_what_cannot_be_played(losses: Any, path: str | None, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        viz.play(losses(), path)


def test_operations_have_their_circles() -> None:
    named, ops = (viz.play(recurrent_loss(2), detail=detail).html for detail in ("named", "ops"))
    assert '"tanh"' in ops and '"tanh"' not in named
    assert "tanh" in viz.animate(recurrent_loss(2), detail="ops").svg
    with pytest.raises(ValueError, match="detail must be 'named' or 'ops', not 'all'"):
        viz.play(recurrent_loss(2), detail="all")


def test_a_sweep_is_an_animated_svg(tmp_path: Path) -> None:
    path = tmp_path / "sweep.svg"
    viz.play(recurrent_loss(3), path)
    text = path.read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg") and "<script" not in text
    moves = len(set(re.findall(r"@keyframes [\w-]+-f(\d+)\{", text)))
    assert moves == 7  # three steps of the cell, three outputs, the loss
    strands = root.findall(".//*[@pathLength]")
    assert {s.get("stroke") for s in strands} >= {loss_colour(t, 3) for t in range(3)}
    turns = [int(re.search(r"\bf(\d+)", s.get("class", ""))[1]) for s in strands]  # type: ignore[index]
    assert set(turns) == set(range(moves))
    bars = re.findall(r'<g class="sweep-\w+ g(\d+)"><title>[^<]*at step (\d)', text)
    earliest = {step: min(int(move) for move, s in bars if s == step) for _, step in bars}
    assert earliest["3"] < earliest["2"] < earliest["1"]
    sums = re.findall(r'<g class="sweep-\w+ g(\d+)"><title>the bars add up', text)
    assert sums == ["6", "6", "3"]  # of W_xh, W_hh and W_hq
    assert "prefers-reduced-motion" in text and "prefers-color-scheme" in text
    assert path.read_text() == viz.animate(recurrent_loss(3), title=_title(text)).svg


def _title(text: str) -> str:
    found = re.search("<title>(.*?)</title>", text)
    assert found is not None
    return found[1]


def test_two_sweeps_on_one_page_share_no_names() -> None:
    a, b = (viz.animate(recurrent_loss(n)).svg for n in (2, 3))
    frames = [set(re.findall(r"@keyframes ([\w-]+)", text)) for text in (a, b)]
    assert frames[0].isdisjoint(frames[1]) and " id=" not in a


def test_a_sweep_moves(browser: Any) -> None:
    page = browser.new_page()
    page.set_content(viz.animate(recurrent_loss(2)).svg)
    offsets = (
        "[...document.querySelectorAll('[pathLength]')]"
        ".map(path => getComputedStyle(path).strokeDashoffset)"
    )
    at = "t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = t })"
    page.evaluate(at, 0)
    before = page.evaluate(offsets)
    page.evaluate(at, 5000)
    after = page.evaluate(offsets)
    assert {o.removesuffix("px") for o in before} == {"-1"}
    assert {o.removesuffix("px") for o in after} == {"0"}
    page.close()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, sweep = tmp_path / "page.html", tmp_path / "sweep.svg"
    assert main(["play", "--cell", "gru", "--steps", "2", "-o", str(page)]) == 0
    assert "Backpropagation through time, 2 steps" in page.read_text()
    assert main(["play", "--steps", "2", "-o", str(sweep), "--title", "A sweep"]) == 0
    assert "<title>A sweep</title>" in sweep.read_text()
    script = tmp_path / "model.py"
    script.write_text(
        "import numpy as np, tinygrad_rnn as tg\n"
        "def losses():\n"
        "    w = tg.Tensor([2.0], requires_grad=True, name='w')\n"
        "    return [np.sum(w * w), np.sum(w)]\n"
    )
    assert main(["play", f"{script}:losses", "-o", str(page)]) == 0
    assert capsys.readouterr().out.split() == [str(page), str(sweep), str(page)]
    assert main(["play", "-o", "page.pdf"]) == 2
    assert "must end in .html" in capsys.readouterr().err


def test_packed_numbers_come_back() -> None:
    pack, rng = Pack(), np.random.default_rng(0)
    arrays = [rng.normal(size=n) * 10.0**e for n, e in [(1, 0), (7, -20), (30, 5), (3, -100)]]
    places = [pack.add(array) for array in [*arrays, np.zeros(2), np.zeros(0)]]
    numbers = np.frombuffer(base64.b64decode(pack.text()), "<i2")
    for place, array in zip(places, arrays, strict=False):
        found = numbers[place + 1 : place + 1 + array.size] * 2.0 ** (numbers[place] / 64)
        np.testing.assert_allclose(found, array, atol=1.6e-5 * np.abs(array).max())
    assert len(numbers) == pack.length


def test_compact_scripts_keep_their_strings() -> None:
    script = (
        'const a = "x  // y"; /* c */\nlet b = `${f("}")}  ${`in, ${a}`} `;\nreturn a\nb / c / 2;'
    )
    made = compact_script(script)
    assert '"x  // y"' in made and "`in, ${a}`" in made and "}  ${" in made
    assert "/* c */" not in made and "return a\nb/c/2;" in made
    assert compact_script(r"x = /[/'\"]+/g;") == r"x=/[/'\"]+/g;"
    assert json.loads(compact_script('{"a": [1, 2]}')) == {"a": [1, 2]}


def test_a_sweep_without_time_has_no_bars() -> None:
    w = tg.Tensor(np.ones(2), requires_grad=True, name="w")
    text = viz.animate(np.sum(np.tanh(w))).svg
    assert "at step" not in text and len(set(re.findall(r"@keyframes [\w-]+-f(\d+)\{", text))) == 1
