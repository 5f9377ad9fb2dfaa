"""The README's code blocks run, one after the other, as a reader would type them."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines() if line]


def test_python_blocks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = [text for kind, text in BLOCKS if kind == "python"]
    assert len(blocks) >= 4
    for text in blocks:
        capsys.readouterr()
        exec(compile(text, "README.md", "exec"), names)
        printed = re.findall(r"^# (.*)$", text, flags=re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == printed or not printed
    assert (tmp_path / "figure.svg").read_text().count("<svg") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command, tmp_path):
    words = shlex.split(command, comments=True)
    if words[0] == "make":  # the commands that run the tests cannot be run by them
        subprocess.run([*words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        return
    assert words[0] == "python"
    if words[1:4] == ["-m", "pip", "install"]:  # CI installs; here, what is named has to exist
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        (extras,) = re.findall(r"\[(.*)\]", words[4])
        assert set(extras.split(",")) <= project["optional-dependencies"].keys()
        return
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=environment, check=True)
    if "-o" in words:
        assert (tmp_path / words[words.index("-o") + 1]).stat().st_size > 1000
