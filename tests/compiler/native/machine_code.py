"""Small pieces of machine code for the tests of single files."""

import ctypes

from tinygrad_rnn.compiler.backends.native import objects
from tinygrad_rnn.compiler.backends.native.groups import grouped
from tinygrad_rnn.compiler.backends.native.links import TYPES
from tinygrad_rnn.compiler.backends.native.loops import ROOTS, STEPS, Emitter, Form
from tinygrad_rnn.compiler.backends.native.nests import Memory, Packed, ordered
from tinygrad_rnn.compiler.backends.native.text import INDEX, POINTER, Module
from tinygrad_rnn.compiler.operations import aligned

P, N = ctypes.c_void_p, ctypes.c_int64


def built(write, pointers=1, indices=0):
    """A function of arrays and numbers whose body `write` emits: `write(f, *parameters)`."""
    module = Module()
    f = module.function("run", [POINTER] * pointers + [INDEX] * indices, "i64", public=True)
    write(f, *f.parameters)
    f.do("ret i64 0")
    library = objects.library(str(module))
    function = library.function("run", *[P] * pointers, *[N] * indices)

    def run(*given, keeps=library):
        return function(*(a if isinstance(a, int) else a.ctypes.data for a in given))

    return run


def run_nest(nest, arrays, steps, part=(0, 1)):
    """Run a loop on the arrays of its buffers. part: which part of the rows, of how many."""
    module, memory = Module(), Memory()
    emitter = Emitter(module, "run", objects.machine(), {}, {}, Form.DIVIDED)
    works = ordered(nest.works, memory)
    emitter.nest(nest, memory, grouped(works, memory, lambda place: True))
    emitter.finish()
    library = objects.library(str(module))
    packed = {r: aligned((r.size,), r.dtype) for r in emitter.roots if isinstance(r, Packed)}
    held = [{**arrays, **packed}[root] for root in emitter.roots]
    table = (ctypes.c_size_t * (ROOTS + len(held)))(*[0] * ROOTS, *(a.ctypes.data for a in held))
    table[STEPS] = steps
    return library.function("run", *TYPES[Form.DIVIDED])(ctypes.addressof(table), *part)
