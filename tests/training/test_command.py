"""The command line as a user meets it: train, stop, go on, sample."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.__main__ import PROGRAM, main
from tinygrad_rnn.training.character_run import CharacterRun

ROOT = Path(__file__).parents[2]
SMALL = shlex.split("--hidden-size 8 --steps 5 --batch-size 4 --sample 10")


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "text.txt"
    path.write_text("the time traveller, for so it will be convenient to speak of him. " * 8)
    return path


def weights(path):
    return {n: a for n, a in tg.load(path).items() if n.startswith(("model", "optimizer", "loss"))}


def interrupt_after(monkeypatch, updates, number=signal.SIGINT):
    """Ctrl-C in the middle of an update."""
    clip = tg.clip_grad_norm
    count = iter(range(10_000))

    def clipping(*arguments):
        if next(count) == updates:
            signal.raise_signal(number)
        return clip(*arguments)

    monkeypatch.setattr("tinygrad_rnn.training.character_run.clip_grad_norm", clipping)


@pytest.mark.parametrize(
    "options",
    [
        "--cell rnn --dtype float64",
        "--cell gru --layers 2 --truncation Randomized(0.7,rng=3)",
        "--cell lstm --truncation Window(2) --validation 0",
    ],
)
def test_a_run_that_was_stopped_ends_with_the_same_bits(text, monkeypatch, capsys, options):
    arguments = ["train", str(text), *SMALL, *options.split(), "--epochs", "2"]
    assert main([*arguments, "--out", "whole.npz"]) == 0
    with monkeypatch.context() as patch:
        interrupt_after(patch, 25)
        assert main([*arguments, "--out", "stopped.npz"]) == 130
    out = capsys.readouterr().out
    assert "stopped after 26 of " in out
    command = shlex.split(re.search(rf"^  {PROGRAM} (.*--resume.*)$", out, re.M)[1])
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3, signal.SIGTERM)
        assert main(command) == 130
    assert main(command) == 0
    whole, resumed = weights("whole.npz"), weights("stopped.npz")
    assert whole.keys() == resumed.keys() and len(whole["losses"]) > 30
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array, err_msg=name)
    assert "held out" in capsys.readouterr().out


def test_it_learns_and_writes(text, capsys):
    options = "--cell rnn --hidden-size 32 --steps 10 --batch-size 4 --sample 0 --plot --epochs 12"
    assert main(["train", str(text), *options.split(), "--learning-rate", "0.03"]) == 0
    out = capsys.readouterr().out
    assert float(re.search(r"epoch 12: perplexity ([\d.]+)", out)[1]) < 2
    assert (text.parent / "text.png").stat().st_size > 1000
    capsys.readouterr()
    assert main(shlex.split("sample text.npz --length 30 --prefix the --seed 1")) == 0
    written = capsys.readouterr().out
    assert written.startswith("the") and len(written) == 34
    assert main(shlex.split("sample text.npz --length 30 --prefix the --seed 1")) == 0
    assert capsys.readouterr().out == written
    assert main(["sample", "text.npz", "--length", "0"]) == 0
    assert capsys.readouterr().out == "the time traveller, \n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("train missing.txt", "there is no text file at missing.txt"),
        ("train empty.txt", "empty.txt is empty"),
        (
            "train text.txt --steps 5000",
            "text.txt is too short: 475 of its 528 bytes are to train on, but 4 sequences of 5000",
        ),
        (
            "train text.txt --validation 0.01",
            "5 of its 528 bytes are held out, but 1 sequences of 5 steps",
        ),
        ("train text.txt --steps 0", "must be at least 1, not 0 and 4"),
        ("train text.txt --batch-size -2", "must be at least 1, not 5 and -2"),
        ("train text.txt --clip 0", "clip, the largest norm, must be positive, not 0.0"),
        ("train text.txt --epochs -1", "--epochs must be at least 0, not -1"),
        ("train text.txt --epochs nan", "--epochs must be at least 0, not nan"),
        ("train text.txt --save-every -1", "--save-every must be at least 0, not -1"),
        ("train text.txt --sample -5", "--sample must be at least 0, not -5"),
        ("train text.txt --cell tree", "one or more layers of rnn, lstm, gru"),
        ("train text.txt --truncation Half", "'Half' is not a truncation"),
        ("train text.txt --validation 2", "must be at least 0 and below 1, not 2.0"),
        ("train text.txt --dtype int8", "dtype must be float32 or float64, not int8"),
        (
            "train text.txt --out run.pkl",
            "must end in .npz or .safetensors, which sets its format, but run.pkl",
        ),
        ("train text.txt --seed -1", "seed must be at least 0, not -1"),
        ("train text.txt --out no/run.npz", "there is no folder"),
        ("train text.txt --out run.npz", "run.npz exists already: continue it with --resume"),
        ("train text.txt --resume missing.npz", "there is no file missing.npz"),
        ("sample run.npz --length -1", "--length must be at least 0, not -1"),
        ("sample run.npz --prefix=", "prefix must have at least one character"),
        ("sample other.npz", "other.npz is a saved run, but not one of a character model"),
        ("train text.txt --resume other.npz", "other.npz is a saved run, but not one of a charac"),
        ("sample weights.npz", "weights.npz holds weights, not a run"),
        ("sample run.npz --prefix ZZ", "of 21 bytes does not contain b'Z'"),
        ("sample run.npz --temperature 0", "temperature must be positive"),
        ("train other.txt --resume run.npz", "was trained on another text than other.txt"),
        ("train text.txt --resume run.npz --layers 3", "started with --layers 1, which cannot"),
    ],
)
def test_mistakes_are_one_sentence(text, capsys, arguments, says):
    (text.parent / "empty.txt").touch()
    (text.parent / "other.txt").write_bytes(text.read_bytes()[:-1])
    tg.save("weights.npz", tg.RNNCell(2, 2))
    tg.save_run("other.npz", model=tg.RNNCell(2, 2))
    assert main(["train", str(text), *SMALL, "--epochs", "0", "--out", "run.npz"]) == 0
    capsys.readouterr()
    command, *rest = arguments.split()
    fresh = command == "train" and "--resume" not in rest
    assert main([command, *(SMALL if fresh else []), *rest]) == 2
    printed, error = capsys.readouterr()
    assert error.startswith("tinygrad-rnn: ") and says in error and error.count("\n") == 1
    assert not printed


def test_the_learning_rate_of_a_resumed_run_can_be_another(text):
    assert main(["train", str(text), *SMALL, "--epochs", "0.2"]) == 0
    again = shlex.split("--resume text.npz --epochs 0.4 --learning-rate 0.5 --sample 0")
    assert main(["train", str(text), *again]) == 0
    run = CharacterRun.resumed("text.npz", text)
    assert run.optimizer.learning_rate == run.options.learning_rate == 0.5


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_run_that_diverges_keeps_what_was_saved(text, capsys):
    assert main(["train", str(text), *SMALL, "--epochs", "0.2"]) == 0
    before = weights("text.npz")
    again = shlex.split("--resume text.npz --epochs 3 --learning-rate 1e30 --clip 1e30")
    assert main(["train", str(text), *again]) == 2
    error = capsys.readouterr().err
    assert "is not finite" in error or "the loss is" in error
    np.testing.assert_equal(weights("text.npz"), before)


def test_without_a_progress_bar(text, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["train", str(text), *SMALL, "--epochs", "1"]) == 0
    assert "epoch 1: perplexity" in capsys.readouterr().out


def test_without_matplotlib_no_run_begins_that_ends_in_a_plot(text, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", str(text), *SMALL, "--plot"]) == 2
    printed, error = capsys.readouterr()
    assert error == "tinygrad-rnn: pictures need matplotlib: pip install matplotlib\n"
    assert not printed and not Path("text.npz").exists()


def test_every_few_seconds(text, monkeypatch, capsys):
    """Without a bar there is a line, and the run is saved, when time has passed."""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    saved = []
    monkeypatch.setattr(CharacterRun, "save", lambda run, path: saved.append(run.updates))
    options = "--validation 0 --plot --epochs 0.5 --save-every 10"
    assert main(["train", str(text), *SMALL, *options.split()]) == 0
    updates = re.findall(
        r"^(\d+) of (\d+) updates, perplexity [\d.]+$", capsys.readouterr().out, re.M
    )
    total = int(updates[0][1])
    assert 1 < len(updates) < total and 1 < len(saved) < total and saved[-1] == total
    assert (text.parent / "text.png").stat().st_size > 1000  # without a curve of what is held out


MAPPED = """
import os, resource, sys
import tinygrad_rnn as tg
from tinygrad_rnn.training.character_run import CharacterRun, Options

with open("/proc/self/statm") as pages:
    used = int(pages.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")  # data and stack
resource.setrlimit(resource.RLIMIT_DATA, (used + (60 << 20),) * 2)
run = CharacterRun(sys.argv[1], Options(hidden_size=8, steps=5, batch_size=4))
assert len(run.bytes) == 120 << 20 and len(run.vocabulary) == 2
run.update()
run.validate()
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="asks Linux for its memory")
def test_a_long_text_is_mapped_and_not_read(tmp_path):
    path = tmp_path / "long.txt"
    with open(path, "wb") as file:
        file.write(b"a")
        file.truncate(120 << 20)
    done = subprocess.run([sys.executable, "-c", MAPPED, path], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def trained(text):
    assert main(["train", str(text), *SMALL, "--epochs", "0", "--out", "run.npz"]) == 0
    return [sys.executable, "-m", "tinygrad_rnn", "sample", str(text.parent / "run.npz")]


def test_nobody_reads_on(trained):
    """As with `sample RUN | head`."""
    writing = subprocess.Popen(
        [*trained, "--length", "100000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    assert len(writing.stdout.read(50)) == 50
    writing.stdout.close()
    assert writing.stderr.read() == b""
    assert writing.wait() == 1
    writing.stderr.close()


def test_an_interrupted_sample(text, monkeypatch, capsys, trained):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinygrad_rnn.training.language_model.LanguageModel.sample", interrupt)
    capsys.readouterr()
    assert main(["sample", "run.npz"]) == 130
    assert capsys.readouterr().err == "\n"


def test_a_run_that_is_further_already(text, capsys):
    assert main(["train", str(text), *SMALL, "--epochs", "1"]) == 0
    assert main(["train", str(text), "--resume", "text.npz", "--epochs", "0.5"]) == 2
    assert (
        "has already trained for 1 epochs: give more than that as --epochs, not 0.5"
        in capsys.readouterr().err
    )


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"tinygrad-rnn {tg.__version__}\n"
