"""What type checkers see of a user's program: a correct one passes, a wrong one does not."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("user_program.py")
WRONG = """
import numpy as np
import tinygrad_rnn as tg

W = tg.Tensor(np.ones((2, 3)))
(W @ W.T).to("cuda")
states, last = tg.unroll(tg.RNNCell(3, 4), np.ones((5, 2, 3)))
states.backward()
tg.unroll(tg.RNNCell(3, 4), np.ones((5, 2, 3)), truncated=3)
"""
LINES = (6, 8, 9)


def mypy(cwd):
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: pip install mypy")
    environment = {**os.environ, "MYPYPATH": str(PROGRAM.parents[1])}
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command += [f"--cache-dir={cwd}", "--config-file=", "correct.py", "wrong.py"]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True).stdout


def pyright(cwd):
    executable = shutil.which("pyright", path=os.path.dirname(sys.executable))
    if executable is None:
        pytest.skip("pyright is not installed: pip install pyright")
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    command = [executable, "--pythonpath", sys.executable, "correct.py", "wrong.py"]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_correct_program_passes_and_a_wrong_one_does_not(check, tmp_path):
    (tmp_path / "correct.py").write_text(PROGRAM.read_text())
    (tmp_path / "wrong.py").write_text(WRONG)
    said = check(tmp_path)
    assert "correct.py:" not in said, said
    for line in LINES:
        assert f"wrong.py:{line}:" in said, said
    assert not any(f"wrong.py:{line}:" in said for line in (2, 3, 5, 7))
