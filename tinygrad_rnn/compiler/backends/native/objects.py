"""Object code: LLVM IR is compiled for this processor to callable functions, and kept on disk.

The cache is a folder that belongs to the user. A person who can write to it could make this process
run any code. So a folder that another user can write to is not used. TINYGRAD_RNN_CACHE names
another folder. "off", "0" or an empty string switches the cache off.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

VERSION = 2
"""The version of `compiled`. Raise it when the machine code for the same LLVM IR changes."""

VARIABLE = "TINYGRAD_RNN_CACHE"

MISSING = 'backend="native" needs llvmlite, which is not installed: pip install llvmlite'


class Machine(NamedTuple):
    """The processor: its name, its features in LLVM's notation, and the parameters of the kernels.

    bytes: the size of a vector register. rows, vectors: the rows of a product's tile, and the
        vectors of each, such that the sums stay in registers.
    """

    name: str
    features: str
    bytes: int
    rows: int
    vectors: int

    def lanes(self, kind: str) -> int:
        return self.bytes // (8 if kind == "double" else 4)


def binding() -> Any:
    """llvmlite's own functions. Raises ImportError, which says what to install."""
    try:
        import llvmlite.binding
    except ImportError as error:
        raise ImportError(MISSING) from error
    return llvmlite.binding


@functools.cache
def initialized() -> Any:
    llvm = binding()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm


@functools.cache
def machine() -> Machine:
    """The processor of this machine."""
    llvm = initialized()
    has = llvm.get_host_cpu_features()
    features = has.flatten()
    if has.get("avx512f") and has.get("avx512vl"):
        # LLVM describes some processors as preferring half of their vector width.
        return Machine(llvm.get_host_cpu_name(), f"{features},-prefer-256-bit", 64, 8, 3)
    if has.get("avx"):
        return Machine(llvm.get_host_cpu_name(), features, 32, 6, 2)
    # ARM has 32 registers. A wider tile of them loads less for each multiplication.
    is_arm = llvm.get_default_triple().startswith(("aarch64", "arm64"))
    return Machine(llvm.get_host_cpu_name(), features, 16, 6, 4 if is_arm else 2)


def compiled(text: str) -> bytes:
    """The object file for a module."""
    llvm, host = initialized(), machine()
    module = llvm.parse_assembly(text)
    module.triple = llvm.get_process_triple()
    module.verify()
    target = llvm.Target.from_triple(module.triple)
    # MCJIT links by 32-bit offsets only within one object, which is all there is here.
    with target.create_target_machine(
        cpu=host.name, features=host.features, opt=2, reloc="pic", codemodel="jitdefault"
    ) as into:
        module.data_layout = str(into.target_data)
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = False
        options.loop_unrolling = False
        passes = llvm.create_pass_builder(into, options)
        passes.getModulePassManager().run(module, passes)
        return bytes(into.emit_object(module))


class Library:
    """The functions of an object file. They live as long as this object."""

    def __init__(self, data: bytes) -> None:
        llvm = initialized()
        module = llvm.parse_assembly("")
        module.triple = llvm.get_process_triple()
        target = llvm.Target.from_triple(module.triple)
        self.engine = llvm.create_mcjit_compiler(module, target.create_target_machine(jit=True))
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(data))
        self.engine.finalize_object()

    def function(self, name: str, *types: Any) -> Any:
        """A function that Python can call. It releases the interpreter's lock while it runs."""
        address = self.engine.get_function_address(name)
        if not address:
            raise KeyError(f"the object file has no function {name}")
        return ctypes.CFUNCTYPE(ctypes.c_int64, *types)(address)


def library(text: str) -> Library:
    """The compiled functions of a module, from the disk or compiled now. text: its LLVM IR."""
    place = kept_at(text)
    data = None if place is None else read(place)
    if data is None:
        data = compiled(text)
        if place is not None:
            write(place, data)
    return Library(data)


def kept_at(text: str) -> Path | None:
    """The file for a module on this system and processor; None if nothing is to be kept."""
    place = folder()
    if place is None:
        return None
    import llvmlite

    host, system = machine(), initialized().get_process_triple()
    key = [text, system, host.name, host.features, llvmlite.__version__, str(VERSION)]
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    return place / f"{digest}.o"


def folder() -> Path | None:
    """The folder for object files, created if necessary; None if no safe folder exists."""
    given = os.environ.get(VARIABLE)
    if given is not None and given.strip().lower() in ("", "0", "off"):
        return None
    place = Path(given) if given is not None else user_cache() / "tinygrad_rnn"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place if is_own(place) else None
    except OSError:
        return None


def user_cache() -> Path:
    """The user's cache folder, by the conventions of the operating system."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def is_own(place: Path) -> bool:
    """Whether the path belongs to the user, and no other user can write to it."""
    if sys.platform == "win32":
        return True  # there, other users have no access to a user's folders
    found = place.stat()
    return found.st_uid == os.getuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def read(place: Path) -> bytes | None:
    """The object file, if it exists, belongs to the user, and is undamaged."""
    try:
        if not is_own(place):
            return None
        data = place.read_bytes()
    except OSError:
        return None
    digest, data = data[:32], data[32:]
    return data if hashlib.sha256(data).digest() == digest else None


def write(place: Path, data: bytes) -> None:
    """Write an object file atomically. A full disk is no error."""
    try:
        handle, name = tempfile.mkstemp(dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(data).digest() + data)
            os.replace(name, place)
        except OSError:
            os.unlink(name)
            raise
    except OSError:
        pass
