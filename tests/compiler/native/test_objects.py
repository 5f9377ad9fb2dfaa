"""Object files: kept, read again, and never trusted further than they should be."""

import ctypes
import os
import sys
import types

import pytest

pytest.importorskip("llvmlite")

from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.text import INDEX, Module


def program(name="twice"):
    made = Module()
    f = made.function(name, [INDEX], "i64", public=True)
    f.do(f"ret {f.binary('add', f.parameters[0], f.parameters[0])}")
    return str(made)


TEXT = program()


@pytest.fixture
def never(monkeypatch):
    """A function after which nothing is compiled any more."""

    def compiled(text):
        raise AssertionError("compiled although it is there")

    return lambda: monkeypatch.setattr(objects, "compiled", compiled)


def twice(library):
    return library.function("twice", ctypes.c_int64)(21)


@pytest.fixture
def place(tmp_path, monkeypatch):
    folder = tmp_path / "kept"
    monkeypatch.setenv(objects.VARIABLE, str(folder))
    return folder


def test_what_is_compiled_once_is_read_from_the_disk(place, never):
    assert twice(objects.library(TEXT)) == 42
    (file,) = place.iterdir()
    assert file.suffix == ".o"
    never()
    assert twice(objects.library(TEXT)) == 42


@pytest.mark.parametrize("changed", [{"name": "another"}, {"features": "+another"}])
def test_another_processor_another_file(place, monkeypatch, changed):
    mine, other = objects.kept_at(TEXT), objects.machine()._replace(**changed)
    monkeypatch.setattr(objects, "machine", lambda: other)
    assert objects.kept_at(TEXT) != mine


def test_another_program_or_system_another_file(place, monkeypatch):
    mine = objects.kept_at(TEXT)
    assert objects.kept_at(program("another")) != mine
    system = types.SimpleNamespace(get_process_triple=lambda: "x86_64-pc-windows-msvc")
    monkeypatch.setattr(objects, "initialized", lambda: system)
    assert objects.kept_at(TEXT) != mine


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-1] + b"?", lambda b: b""])
def test_a_damaged_file_is_compiled_again(place, damage):
    objects.library(TEXT)
    (file,) = place.iterdir()
    good = file.read_bytes()
    file.write_bytes(damage(good))
    assert twice(objects.library(TEXT)) == 42
    assert file.read_bytes() == good


def test_a_function_that_is_not_there(place):
    with pytest.raises(KeyError, match="no function thrice"):
        objects.library(TEXT).function("thrice")


class Features(dict):
    def flatten(self):
        return ",".join(self)


@pytest.mark.parametrize(
    ("features", "register", "triple", "tile"),
    [
        (["avx512f", "avx512vl", "avx"], 64, "x86_64-unknown-linux-gnu", (8, 3)),
        (["avx"], 32, "x86_64-unknown-linux-gnu", (6, 2)),
        ([], 16, "x86_64-unknown-linux-gnu", (6, 2)),
        (["neon"], 16, "arm64-apple-darwin24.0.0", (6, 4)),
        ([], 16, "aarch64-unknown-linux-gnu", (6, 4)),
    ],
)
def test_registers_of_other_processors(features, register, triple, tile, monkeypatch):
    llvm = types.SimpleNamespace(
        get_host_cpu_name=lambda: "some",
        get_host_cpu_features=lambda: Features.fromkeys(features, 1),
        get_default_triple=lambda: triple,
    )
    monkeypatch.setattr(objects, "initialized", lambda: llvm)
    found = objects.machine.__wrapped__()
    assert (found.name, found.bytes, found.rows, found.vectors) == ("some", register, *tile)
    assert found.features.startswith(",".join(features))
    assert ("-prefer-256-bit" in found.features) == (register == 64)


def test_the_folders_of_other_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert objects.user_cache().parts[-2:] == ("Library", "Caches")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert objects.user_cache() == tmp_path and objects.is_own(tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert objects.user_cache() == tmp_path


@pytest.mark.parametrize("word", ["off", "0", ""])
def test_switched_off(word, monkeypatch, tmp_path):
    monkeypatch.setenv(objects.VARIABLE, word)
    monkeypatch.setattr(objects, "user_cache", lambda: tmp_path)
    assert twice(objects.library(TEXT)) == 42
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="rights are kept in another way there")
class TestOthers:
    def test_a_folder_that_others_can_write_to_is_not_used(self, place, never):
        place.mkdir()
        objects.library(TEXT)
        place.chmod(0o777)
        never()
        with pytest.raises(AssertionError, match="compiled although"):
            objects.library(TEXT)
        assert objects.folder() is None

    def test_a_file_that_others_can_write_to_is_not_read(self, place, never):
        objects.library(TEXT)
        (file,) = place.iterdir()
        file.chmod(0o666)
        never()
        with pytest.raises(AssertionError, match="compiled although"):
            objects.library(TEXT)

    def test_the_folder_of_somebody_else_is_not_used(self, place, monkeypatch):
        place.mkdir()
        monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
        assert objects.folder() is None

    def test_a_folder_that_cannot_be_made_is_no_error(self, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(objects.VARIABLE, str(tmp_path / "file" / "folder"))
        assert twice(objects.library(TEXT)) == 42


def test_by_default_it_is_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.delenv(objects.VARIABLE, raising=False)
    monkeypatch.setattr(objects, "user_cache", lambda: tmp_path)
    assert objects.folder() == tmp_path / "tinygrad_rnn"


def test_nothing_half_written_is_left(place, monkeypatch):
    place.mkdir()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    assert twice(objects.library(TEXT)) == 42
    assert not list(place.iterdir())


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    with pytest.raises(ImportError, match="pip install llvmlite"):
        objects.binding()
