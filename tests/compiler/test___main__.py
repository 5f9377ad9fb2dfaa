"""python -m tinygrad_rnn.compiler: the stages of a cell in a file."""

from __future__ import annotations

import runpy
import sys
from typing import Any

import pytest

from tinygrad_rnn.compiler.__main__ import main

MODEL = """
import numpy as np, tinygrad_rnn as tg
cell = tg.RNNCell(3, 4, rng=0)
def own(x, h):
    return np.tanh(x + h)
def branching(x, h):
    return h if np.sum(h) > 0 else x
inputs, start = np.ones((5, 2, 4)), np.zeros((2, 4))
"""


def test_from_the_command_line(tmp_path: Any, capsys: Any, monkeypatch: Any) -> None:
    file = tmp_path / "my_model.py"
    file.write_text(MODEL)
    main([f"{file}:cell"])
    stages = capsys.readouterr().out
    assert "after trace" in stages and stages.endswith("return forward, backward\n")
    main([f"{file}:cell", "--source"])
    assert stages.endswith(capsys.readouterr().out)
    main([f"{file}:own", "--xs", "inputs", "--state", "start"])
    assert "own: the steps of a sequence" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["compiler", f"{file}:cell"])
    monkeypatch.delitem(sys.modules, "tinygrad_rnn.compiler.__main__")
    runpy.run_module("tinygrad_rnn.compiler", run_name="__main__")
    assert capsys.readouterr().out == stages
    for wrong, said in (
        (["my_model.py"], "write it as my_model.py:cell"),
        ([f"{file}:cel"], "has no 'cel'; it has np, tg, cell, own, branching, inputs, start"),
        ([f"{file}:own"], "name one with --xs"),
        ([f"{file}:own", "--xs", "inputs"], "own has no initial_state(batch_size): define state"),
        ([f"{file}:start", "--xs", "inputs", "--state", "start"], "start cannot be compiled: the"),
        (
            [f"{file}:branching", "--xs", "inputs", "--state", "start"],
            "branching cannot be compiled: the cell's Python code decides by the numbers",
        ),
        ([f"{tmp_path / 'none.py'}:cell"], "cannot be read"),
    ):
        with pytest.raises(SystemExit):
            main(wrong)
        assert said in capsys.readouterr().err
