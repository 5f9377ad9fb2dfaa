"""Weights and whole runs on disk: what goes in comes out, and a file is whole at every moment."""

import os
import resource
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import tinygrad_rnn as tg

SUFFIXES = [".npz", ".safetensors"]


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"file{request.param}"


def test_weights_there_and_back(path):
    cell = tg.RNNCell(3, 4, rng=0, dtype=np.float32)
    tg.save(path, cell)
    tg.save(path, {"W": cell.W_hh.data.T, "s": tg.Tensor(2.0), "none": np.zeros((0, 3), np.int8)})
    loaded = tg.load(path)
    assert {name: (a.dtype, a.shape) for name, a in loaded.items()} == {
        "W": (np.float32, (4, 4)),
        "s": (np.float64, ()),
        "none": (np.int8, (0, 3)),
    }
    np.testing.assert_array_equal(loaded["W"], cell.W_hh.data.T)
    assert loaded["s"] == 2
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_into_a_model(path):
    cell, other = tg.LSTMCell(3, 4, rng=0), tg.LSTMCell(3, 4, rng=1)
    tg.save(path, cell)
    tg.load(path, other)
    for name, parameter in cell.parameters().items():
        np.testing.assert_array_equal(other.parameters()[name].data, parameter.data)
    with pytest.raises(ValueError, match=r"W_xh is float64 of shape \(3, 16\) in .*\(5, 16\)"):
        tg.load(path, tg.LSTMCell(5, 4))
    with pytest.raises(ValueError, match=r"W_xh is float64 .* but float32"):
        tg.load(path, tg.LSTMCell(3, 4, dtype=np.float32))
    with pytest.raises(
        ValueError, match="has the parameters W_hh, W_xh, b_h, but the model has W_hh, W"
    ):
        tg.load(path, tg.LSTMCell(3, 4, bias=False))


def test_npz_files_are_those_of_numpy(tmp_path):
    tg.save(tmp_path / "ours.npz", {"a": np.arange(3), "file": np.ones(2)})
    with np.load(tmp_path / "ours.npz") as theirs:
        np.testing.assert_array_equal(theirs["a"], np.arange(3))
        np.testing.assert_array_equal(theirs["file"], np.ones(2))
    np.savez_compressed(tmp_path / "theirs.npz", a=np.arange(3))
    np.testing.assert_array_equal(tg.load(tmp_path / "theirs.npz")["a"], np.arange(3))


def test_nothing_in_a_file_is_run(tmp_path):
    np.savez(tmp_path / "pickled.npz", a=np.array([{"code": 1}], object))
    with pytest.raises(ValueError, match=r"pickled.npz is not a \.npz file.*allow_pickle"):
        tg.load(tmp_path / "pickled.npz")
    with pytest.raises(
        TypeError, match="a must be an array of numbers to be saved, but its dtype is object"
    ):
        tg.save(tmp_path / "objects.npz", {"a": np.array([{}], object)})


@settings(max_examples=25, deadline=None)
@given(name=st.text(max_size=30), suffix=st.sampled_from(SUFFIXES))
def test_any_name_comes_back_or_is_refused(tmp_path_factory, name, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path_factory.getbasetemp() / f"names{suffix}"
    try:
        tg.save(path, {name: np.ones(2), name + ".npy": np.zeros(1)})
    except ValueError as problem:
        assert "cannot hold an array called" in str(problem) or "surrogates" in str(problem)  # noqa: PT017
    else:
        assert set(tg.load(path)) == {name, name + ".npy"}


def test_a_parameter_called_metadata(path):
    if path.suffix == ".npz":
        tg.save(path, {"__metadata__": np.ones(2)})
        assert list(tg.load(path)) == ["__metadata__"]
    else:
        with pytest.raises(ValueError, match="cannot hold an array called '__metadata__'"):
            tg.save(path, {"__metadata__": np.ones(2)})
    assert len(list(path.parent.iterdir())) == (path.suffix == ".npz")


def test_names_and_numbers_that_a_file_cannot_hold(path):
    if path.suffix == ".npz":
        with pytest.raises(ValueError, match=r"cannot hold an array called 'a\\x00b'"):
            tg.save(path, {"a\0b": np.ones(2)})
    else:
        with pytest.raises(TypeError, match="cannot hold a, whose dtype is complex128"):
            tg.save(path, {"a": np.ones(2, complex)})
    assert not list(path.parent.iterdir())


def test_safetensors_are_read_by_a_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "a.safetensors"
    path.touch()
    for act in (lambda: tg.save(path, {"a": np.ones(2)}), lambda: tg.load(path)):
        with pytest.raises(ImportError, match="pip install"):
            act()


def test_a_disk_that_fails_is_not_a_wrong_file(tmp_path, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    tg.save(tmp_path / "a.npz", {"a": np.ones(2)})
    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with pytest.raises(PermissionError):
        tg.load(tmp_path / "a.npz")


def test_what_others_put_beside_the_arrays_is_left_alone(tmp_path):
    tg.save(tmp_path / "a.npz", {"a": np.ones(2)})
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README.txt", "what this is")
    assert list(tg.load(tmp_path / "a.npz")) == ["a"]


def test_half_of_a_float32(tmp_path):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("safetensors.torch")
    values = torch.tensor([[1.5, -2.0, 3e38], [0.0, float("inf"), 1e-40]]).bfloat16()
    library.save_file({"a": values, "b": torch.ones(2)}, tmp_path / "a.safetensors")
    loaded = tg.load(tmp_path / "a.safetensors")
    assert loaded["a"].dtype == np.float32
    np.testing.assert_array_equal(loaded["a"], values.float().numpy())
    eight = torch.ones(2).to(torch.float8_e4m3fn)
    library.save_file({"a": eight}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="a has the dtype F8_E4M3, which NumPy does not have"):
        tg.load(tmp_path / "a.safetensors")


def test_what_is_no_file_of_weights(path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        tg.load(path)
    for content in (b"", b"not weights", b"\xff" * 100, b"PK\x05\x06" + b"\0" * 10):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"is not a {path.suffix[-11:]} file|not a safet"):
            tg.load(path)
    tg.save(path, {"a": np.arange(1000.0)})
    whole = path.read_bytes()
    path.write_bytes(whole[:-500])
    with pytest.raises(ValueError, match="file"):
        tg.load(path)


@pytest.mark.parametrize("name", ["weights", "weights.st", "weights.npz.tmp", "weights.pkl"])
def test_an_unknown_suffix(tmp_path, name):
    for act in (lambda p: tg.save(p, {"a": np.ones(2)}), tg.load):
        with pytest.raises(
            ValueError, match=r"must end in \.npz or \.safetensors, which sets its format, but"
        ):
            act(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_saved_has_names(path):
    tg.save(path, [tg.Tensor(2.0, requires_grad=True, name="s")])
    assert list(tg.load(path)) == ["s"]
    with pytest.raises(TypeError, match=r"one of the Tensors, of shape .* has requires_grad=False"):
        tg.save(path, [tg.Tensor(2.0)])


# How files are written ------------------------------------------------------------------------


def test_the_mode_is_that_of_the_umask_or_of_the_file_that_was_there(path):
    before = os.umask(0o022)
    try:
        tg.save(path, {"a": np.ones(2)})
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        os.umask(0o007)
        path.unlink()
        tg.save(path, {"a": np.ones(2)})
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        path.chmod(0o640)
        tg.save(path, {"a": np.ones(2)})
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_link_stays_a_link(path, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    tg.save(folder / path.name, {"old": np.ones(2)})
    path.symlink_to(folder / path.name)
    tg.save(path, {"new": np.ones(2)})
    assert path.is_symlink()
    assert list(tg.load(folder / path.name)) == ["new"]


def test_a_folder_in_the_way(path):
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        tg.save(path, {"a": np.ones(2)})
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing to write"):
        tg.save(path.parent / "missing" / path.name, {"a": np.ones(2)})
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that nobody can write into")
def test_a_folder_that_cannot_be_written_into():
    """The message once named the file that is written first, beside the one that was asked for."""
    with pytest.raises(OSError, match=r"'/proc/cell\.npz'"):
        tg.save("/proc/cell.npz", {"a": np.ones(2)})


def test_what_goes_wrong_leaves_the_last_file_and_nothing_else(path):
    tg.save(path, {"a": np.ones(2)})

    class Interrupting:
        def __array__(self, dtype=None, copy=None):
            raise KeyboardInterrupt

    for bad, problem in [(Interrupting(), KeyboardInterrupt), (np.array(["text"]), TypeError)]:
        with pytest.raises(problem):
            tg.save(path, {"a": np.zeros(2), "b": bad})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a full disk
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            tg.save(path, {"a": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    np.testing.assert_array_equal(tg.load(path)["a"], np.ones(2))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_many_threads_save_to_one_path(path):
    problems = []

    def save(n):
        try:
            for _ in range(5):
                tg.save(path, {"a": np.full(1000, n)})
                assert len(set(tg.load(path)["a"])) == 1
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=save, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert [p.name for p in path.parent.iterdir()] == [path.name]


KILLED = """
import os, signal, sys
import numpy as np
import tinygrad_rnn as tg

path, every, rounds = sys.argv[1], int(sys.argv[2]), 0
tg.save_run(path, weights=np.zeros(5000), n=0)

def kill_at(line):
    seen = 0
    def trace(frame, event, argument):
        nonlocal seen
        if "training" not in frame.f_code.co_filename and "zipfile" not in frame.f_code.co_filename:
            return None
        seen += event == "line"
        if seen == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    sys.settrace(trace)

line, was = 1, 0
while True:
    child = os.fork()
    if not child:
        kill_at(line)
        tg.save_run(path, weights=np.full(5000, float(line)), n=line)
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    found = tg.restore_run(path)
    assert found["n"] in (was, line), (found["n"], was, line)
    assert set(found["weights"]) == {float(found["n"])}
    was, rounds = found["n"], rounds + killed
    if not killed:
        break
    line += every
assert was == line
print(rounds)
"""


def test_killed_at_any_line_of_a_save_the_last_whole_file_is_there(path):
    every = "8" if path.suffix == ".npz" else "2"
    run = [sys.executable, "-W", "ignore", "-c", KILLED, str(path), every]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


# Whole runs -----------------------------------------------------------------------------------


def test_values_come_back_as_they_were(path):
    values = {
        "nested": {"a": [1, 2.5, None, True, "text"], "b": (np.arange(3), (np.float32(2),))},
        "numbers": {3: 2**200, "inf": float("inf"), (1, 2): -0.0},
        "state": (tg.Tensor(np.ones((2, 3), np.float32)), [np.zeros(0, bool)]),
        "odd/name": {"x/y": np.ones(1), "x": {"y": np.zeros(1)}},
    }
    tg.save_run(path, **values)
    found = tg.restore_run(path)
    expected = {**values, "state": (values["state"][0].data, values["state"][1])}
    np.testing.assert_equal(found, expected)
    assert type(found["nested"]["b"][1][0]) is np.float32
    assert found["state"][0].dtype == np.float32 and found["state"][1][0].dtype == bool
    with np.load(path) if path.suffix == ".npz" else open(os.devnull) as plain:
        assert path.suffix != ".npz" or "nested/b/0" in plain


def test_what_cannot_be_saved_says_where_it_is(path):
    with pytest.raises(TypeError, match="state/1/a has the type set, which cannot be saved"):
        tg.save_run(path, state=[0, {"a": {1, 2}}])
    with pytest.raises(TypeError, match=r"place is neither a value nor a model: .* type function"):
        tg.save_run(path, place=lambda: 3)
    _, last = tg.unroll(tg.RNNCell(2, 3, rng=0), np.ones((4, 1, 2)))
    for state in (last, (last, np.ones(2))):
        with pytest.raises(TypeError, match=r"h_4, of .* was computed by tanh: .* use tg\.detach"):
            tg.save_run(path, state=state)
    assert not path.exists()


class Training:
    """A run with everything in it: layers, dropout by a generator, momentum, schedule, a state
    that is carried from chunk to chunk, and data that are read in order."""

    def __init__(self):
        self.cell = tg.Stacked([tg.LSTMCell(3, 4, rng=0), tg.GRUCell(4, 4, rng=1)])
        self.rng = np.random.default_rng(2)
        self.optimizer = tg.Adam(self.cell, tg.schedules.Warmup(0.01, 10))
        self.data = np.random.default_rng(3).normal(size=(200, 2, 3))
        self.state, self.place = None, 0

    def objects(self):
        return {"model": self.cell, "optimizer": self.optimizer, "rng": self.rng}

    def save(self, path):
        tg.save_run(path, **self.objects(), state=self.state, place=self.place)

    @classmethod
    def resumed(cls, path):
        run = cls()
        values = tg.restore_run(path, **run.objects())
        run.state, run.place = values["state"], values["place"]
        return run

    def go(self, chunks):
        for _ in range(chunks):
            xs = self.data[self.place : self.place + 5]
            xs = xs * self.rng.binomial(1, 0.8, xs.shape)
            self.optimizer.zero_grad()
            states, last = tg.unroll(self.cell, xs, self.state)
            sum(np.sum(self.cell.output(s) ** 2) for s in states).backward()
            tg.clip_grad_norm(self.cell, 1.0)
            self.optimizer.step()
            self.state, self.place = tg.detach(last), self.place + 5


def test_a_resumed_run_ends_with_the_same_bits(path):
    whole = Training()
    whole.go(12)
    first = Training()
    first.go(5)
    first.save(path)
    second = Training.resumed(path)
    second.go(4)
    second.save(path)
    third = Training.resumed(path)
    third.go(3)
    for name, parameter in whole.cell.parameters().items():
        np.testing.assert_array_equal(third.cell.parameters()[name].data, parameter.data)
    assert third.rng.random() == whole.rng.random()


class Interrupted:
    """A function that fails at its first call."""

    def __init__(self, problem):
        self.problem, self.calls = problem, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls == 1:
            raise self.problem


def test_a_run_that_does_not_fit(path, monkeypatch):
    run = Training()
    run.save(path)
    with pytest.raises(ValueError, match=r"no state called other; it has model \(parameters\)"):
        tg.restore_run(path, other=run.optimizer)
    with pytest.raises(ValueError, match="has no generator called optimizer"):
        tg.restore_run(path, optimizer=run.rng)
    with pytest.raises(ValueError, match="place is a plain value, which is returned"):
        tg.restore_run(path, place=3)
    other = tg.RNNCell(2, 3, rng=1)
    rng, W = np.random.default_rng(1), other.W_hh.data.copy()
    drawn = rng.bit_generator.state
    with pytest.raises(ValueError, match="does not fit model"):
        tg.restore_run(path, rng=rng, model=other)
    assert rng.bit_generator.state == drawn
    np.testing.assert_array_equal(other.W_hh.data, W)
    with monkeypatch.context() as patch:  # Ctrl-C, in the middle
        interrupt = Interrupted(KeyboardInterrupt)
        patch.setattr("tinygrad_rnn.training.checkpoints._set", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tg.restore_run(path, model=tg.RNNCell(2, 3))
        assert interrupt.calls == 2  # once more to set it back
    with pytest.raises(ValueError, match="does not fit rng: "):
        tg.restore_run(path, rng=np.random.Generator(np.random.MT19937(0)))
    tg.save(path, run.cell)
    with pytest.raises(ValueError, match="holds weights, not a run"):
        tg.restore_run(path)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a": 1}', '{"a": ["value", {"array": "missing"}]}', '{"a": ["v", {}]}']
)
def test_a_run_that_somebody_else_wrote(tmp_path, text):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("structure.json", text)
    with pytest.raises(ValueError, match=r"a\.npz was not written by tg\.save_run"):
        tg.restore_run(tmp_path / "a.npz")
