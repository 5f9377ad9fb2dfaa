"""Every program with pages around every array that nobody may touch: `python -m
tests.compiler.native.guarded`. A read or a write beside an array ends the process.

Each array stands once at the end of its pages and once at their begin: what the program makes, what
the caller gives, and what is packed.
"""

import ctypes
import mmap
import sys
from dataclasses import replace

import numpy as np

from tests.compiler.native.test_programs import EVERY, Compiled
from tinygrad_rnn.compiler.backends import interpreter
from tinygrad_rnn.compiler.backends.native import links
from tinygrad_rnn.compiler.backends.native.translate import Translation

PAGE = mmap.PAGESIZE
LIBC = ctypes.CDLL(None, use_errno=True)
FORBIDDEN = 0  # PROT_NONE


class Walls:
    """Makes arrays between two pages that nobody may touch."""

    def __init__(self, at_end):
        self.at_end = at_end
        self.maps = []

    def empty(self, shape, dtype):
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        pages = max(1, -(-size // PAGE)) * PAGE
        whole = mmap.mmap(-1, pages + 2 * PAGE)
        self.maps.append(whole)
        bytes_ = np.frombuffer(whole, np.uint8)
        for start in (0, PAGE + pages):
            if LIBC.mprotect(ctypes.c_void_p(bytes_.ctypes.data + start), PAGE, FORBIDDEN):
                raise OSError(ctypes.get_errno(), "mprotect")
        start = PAGE + (pages - size if self.at_end else 0)
        return bytes_[start : start + size].view(dtype).reshape(shape)

    def new(self, machine, buffer, empty=None):
        """As `interpreter.Machine.new`."""
        steps = () if buffer.time is None else (machine.steps + buffer.time,)
        array = self.empty((*steps, *buffer.shape), buffer.dtype)
        array[...] = np.nan if array.dtype.kind == "f" else 0
        return array

    def copy(self, array):
        if not isinstance(array, np.ndarray):
            return array
        made = self.empty(array.shape, array.dtype)
        made[...] = array
        return made

    def program(self, program):
        """The same, what is made anew in each call made here."""

        def within(instrs):
            return tuple(
                replace(i, function=self.empty) if i.function is np.empty else i for i in instrs
            )

        def sections(of):
            parts = {name: within(getattr(of, name)) for name in ("before", "loop", "after")}
            return replace(of, **parts)

        return replace(
            program, forward=sections(program.forward), backward=sections(program.backward)
        )


def main(names):
    for name in names or EVERY:
        compiled = Compiled(EVERY[name]())
        expected = compiled.run(interpreter.maker(compiled.program)(compiled.steps))
        result = Translation(compiled.program).result()
        plain = interpreter.Machine.new, links.aligned
        for at_end in (True, False):
            walls = Walls(at_end)
            interpreter.Machine.new = lambda *given, walls=walls: walls.new(*given)
            links.aligned = lambda shape, dtype, walls=walls: walls.empty(shape, dtype)
            compiled.arrays = [walls.copy(a) for a in compiled.arrays]
            compiled.seeds = [walls.copy(a) for a in compiled.seeds]
            program = walls.program(result)
            found = compiled.run(interpreter.maker(program)(compiled.steps))
            for mine, theirs in zip(expected, found, strict=True):
                if mine is not None:
                    scale = np.abs(mine).max(initial=0)
                    tolerance = compiled.tolerance * scale
                    np.testing.assert_allclose(theirs, mine, rtol=0, atol=tolerance, err_msg=name)
        interpreter.Machine.new, links.aligned = plain
    print(f"nothing beside {len(names or EVERY)} programs' arrays was touched")


if __name__ == "__main__":
    main(sys.argv[1:])
