"""The rendering script."""

from pathlib import Path

import pytest

from tests.viz.reading import read
from viz.__main__ import main


def texts(path: Path) -> set[str]:
    return {box.text for box in read(path.read_text())[0].values()}


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "gv", "html"])
def test_rnn_in_every_format(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"figure.{suffix}"
    assert main(["rnn", "--steps", "2", "-o", str(path)]) == 0
    assert path.stat().st_size > 1000
    assert capsys.readouterr().out.strip() == str(path)


def test_rnn_options(tmp_path: Path) -> None:
    path = tmp_path / "figure.gv"
    main(["rnn", "--steps", "4", "--bias", "--truncation", "Subsequence(2)", "-o", str(path)])
    assert "Wxh\u2009, Whh\u2009, bh" in texts(path) and "h4" in texts(path)
    assert path.read_text().count("#8C8C8C") == 1
    main(["rnn", "--cell", "lstm", "--layers", "2", "--hidden", "3", "-o", str(path)])
    assert {"c3(1)", "h3(2)"} <= texts(path)
    main(["rnn", "--steps", "9", "--fold", "0", "--detail", "ops", "-o", str(path)])
    assert {"h5", "tanh"} <= texts(path)


def test_truncation(tmp_path: Path) -> None:
    path = tmp_path / "figure.gv"
    assert main(["truncation", "--text", "abcdefgh", "-o", str(path)]) == 0
    assert path.read_text().count(" -> ") >= 4
    arguments = ["truncation", "--strategy", "Window(2)", "--strategy", "Full", "--names"]
    assert main([*arguments, "-o", str(path)]) == 0
    assert {"Window(2)", "Full"} <= texts(path)


SCRIPT = """
import numpy as np
import tinygrad_rnn as tg
from beside import name

def build():
    w = tg.Tensor([1.0], requires_grad=True, name=name)
    return np.sum(w * w).named("square"), np.exp(w)

def array():
    return np.ones(2)

def nothing():
    return []

constant = 3
def failing():
    np.ones(3).reshape(2, 2)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("name = 'weight'\n")
    path = tmp_path / "my_model.py"
    path.write_text(SCRIPT)
    return path


def test_script(script: Path, tmp_path: Path) -> None:
    path = tmp_path / "figure.gv"
    assert main(["script", f"{script}:build", "-o", str(path)]) == 0
    assert texts(path) == {"weight", "", "square", "y"}


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        ("missing.py:build", "there is no file"),
        ("{notes}:build", "a Python file"),
        ("{wrong}:build", "line 2"),
        ("{script}", "does not name a function; write it as my_model.py:build"),
        ("{script}:buidl", "has no function 'buidl'; it has array, build, failing, nothing"),
        ("{script}:constant", "has no function 'constant'"),
        ("{script}:array", "must return a Tensor or several Tensors, but it returned ndarray"),
        ("{script}:failing", ".py, line 18: ValueError: cannot reshape array of size 3"),
        ("{script}:nothing", "must return a Tensor or several Tensors, but it returned nothing"),
    ],
)
def test_mistakes_in_a_script(
    function: str, sentence: str, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, wrong = script.with_name("notes.txt"), script.with_name("wrong.py")
    notes.touch()
    wrong.write_text("\nbuild = (")
    function = function.format(script=script, notes=notes, wrong=wrong)
    assert main(["script", function, "-o", "figure.gv"]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rnn", "--truncation", "Foo(2)", "-o", "f.gv"], "is not a truncation"),
        (["rnn", "--truncation", "Subsequence(", "-o", "f.gv"], "is not a truncation"),
        (["rnn", "--truncation", "Subsequence(0)", "-o", "f.gv"], "at least 1"),
        (["rnn", "--truncation", "Subsequence(1, 2)", "-o", "f.gv"], "Subsequence(1, 2)"),
        (["rnn", "--steps", "0", "-o", "f.gv"], "steps must be at least 1, not 0"),
        (["rnn", "--fold", "1", "-o", "f.gv"], "fold must be at least 3"),
        (["rnn", "-o", "figure.jpeg"], "must end in one of"),
        (["truncation", "--text", "", "-o", "f.gv"], "text is empty"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("rnn", "truncation", "script", "play"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert f"python -m viz {command}" in text
        assert all(len(line) < 80 for line in text.partition("examples:")[0].splitlines())
