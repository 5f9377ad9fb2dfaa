"""How far the functions of the native back end are from the truth, over all float32 numbers:
`python -m benchmarks.native_functions`, a minute or two for each.

The truth is NumPy's float64; a unit in the last place (ulp) is the distance between neighbouring
float32 numbers at the true value.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tinygrad_rnn.compiler.backends.native import functions, objects
from tinygrad_rnn.compiler.backends.native.text import INDEX, KINDS, POINTER, Module, Vector

TRUTH: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "log": np.log,
}

BLOCK = 1 << 20


class Worst(NamedTuple):
    """The largest error in ulp, where it is, and how many results are of another kind: NaN,
    infinite or of another sign where the truth is not."""

    ulp: float
    at: float
    wrong: int


def compiled(name: str, dtype: Any) -> Callable[[Any, Any], None]:
    """One of the functions, from array to array of a multiple of 16 numbers."""
    kind = KINDS[np.dtype(dtype)]
    lanes = objects.machine().lanes(kind)
    module = Module()
    f = module.function("run", [POINTER, POINTER, INDEX], "i64", public=True)
    source, target, count = f.parameters
    with f.loop(0, count, lanes) as i:
        x = f.load(f.at(source, i, kind), Vector(kind, lanes))
        f.store(getattr(functions, name)(f, x), f.at(target, i, kind))
    f.do("ret i64 0")
    library = objects.library(str(module))
    run = library.function("run", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def call(x: Any, y: Any, library: Any = library) -> None:
        assert x.dtype == y.dtype == dtype and x.size % 16 == 0 and x.shape == y.shape
        run(x.ctypes.data, y.ctypes.data, x.size)

    return call


def error(name: str, x: Any, y: Any) -> Worst:
    """The largest error of y = f(x), x being float32."""
    with np.errstate(all="ignore"):
        truth = TRUTH[name](x.astype(np.float64))
        nearest = truth.astype(np.float32)
        ulp = np.spacing(np.abs(nearest)).astype(np.float64)
        distance = np.abs(y - truth) / ulp
    finite = np.isfinite(nearest)
    wrong = np.isnan(y) != np.isnan(nearest)
    # Beyond the largest number the truth lies between it and infinity.
    wrong |= np.isinf(y) & finite | np.isinf(nearest) & (np.abs(y) < np.finfo(np.float32).max)
    wrong |= np.signbit(y) != np.signbit(nearest)
    wrong &= ~(np.isnan(y) & np.isnan(nearest))
    distance[~finite] = 0
    worst = int(np.argmax(distance))
    return Worst(float(distance[worst]), float(x[worst]), int(wrong.sum()))


def over_all(name: str) -> Worst:
    """The largest error over all 2³² float32 numbers."""
    call = compiled(name, np.float32)
    found = Worst(0.0, 0.0, 0)
    y = np.empty(BLOCK, np.float32)
    for start in tqdm(range(0, 1 << 32, BLOCK), desc=name, leave=False):
        bits = np.arange(start, start + BLOCK, dtype=np.uint64).astype(np.uint32)
        x = bits.view(np.float32)
        call(x, y)
        here = error(name, x, y)
        found = Worst(*max(found[:2], here[:2]), found.wrong + here.wrong)
    return found


def nanoseconds(call: Callable[[Any, Any], Any], dtype: Any) -> float:
    """CPU time for one number, the best of some rounds, in an array that stays in the cache."""
    x = np.random.default_rng(0).standard_normal(1 << 13).astype(dtype)
    y = np.empty_like(x)
    rounds = []
    for _ in range(20):
        begin = time.process_time()
        for _ in range(50):
            call(x, y)
        rounds.append((time.process_time() - begin) / 50 / x.size)
    return min(rounds) * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.native_functions")
    parser.add_argument("names", nargs="*", choices=list(TRUTH))
    names = parser.parse_args().names or list(TRUTH)
    print("function   worst ulp        at    wrong   ns float32 (NumPy)   ns float64 (NumPy)")
    for name in names:
        times = []
        for dtype in (np.float32, np.float64):
            call = compiled(name, dtype)
            times += [nanoseconds(call, dtype)]
            times += [nanoseconds(lambda x, y, name=name: TRUTH[name](x), dtype)]
        ulp, at, wrong = over_all(name)
        print(
            f"{name:9} {ulp:9.2f} {at:12.5g} {wrong:6}      "
            f"{times[0]:5.2f} ({times[1]:5.2f})        {times[2]:5.2f} ({times[3]:5.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
