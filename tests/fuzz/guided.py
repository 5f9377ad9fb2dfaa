"""Bytes that follow the coverage of the code, by atheris: `python -m tests.fuzz.guided npz 60`.

Runs one target for so many seconds. What it finds is written as `crash-...` into the folder where
it runs, after the traceback.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

import tinygrad_rnn as tg

tg.unroll, tg.scan  # noqa: B018  (loaded before, so that their coverage is not followed)
with atheris.instrument_imports():
    from tests.fuzz import pictures, readers
    from tinygrad_rnn.training import array_files, checkpoints, torch_weights  # noqa: F401

TARGETS = readers.TARGETS | pictures.TARGETS


def main(name: str, seconds: str, seed: str = "1") -> None:
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        for n, data in enumerate(target.corpus()):
            (Path(folder) / str(n)).write_bytes(data)
        words = Path(folder + ".words")
        escaped = ("".join(f"\\x{byte:02x}" for byte in token[:60]) for token in target.tokens)
        words.write_text("\n".join(f'"{word}"' for word in escaped))
        options = [f"-max_total_time={seconds}", f"-seed={seed}"]
        options += [f"-dict={words}"] if target.tokens else []
        options += ["-max_len=20000", "-timeout=30", "-print_final_stats=1", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, folder], target.check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
