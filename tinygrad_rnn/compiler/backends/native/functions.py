"""exp, tanh and log as straight lines of arithmetic, any number of lanes at once.

All rest on one reduction, x = n ln 2 + r with |r| ≤ ln 2 / 2, as in Cody & Waite (1980), *Software
Manual for the Elementary Functions*: n by adding and subtracting 1.5·2^(digits−1), which rounds to
an integer and leaves it in the low bits; ln 2 in two parts, so that n times the first is exact; and
Taylor's series in r. log is fdlibm's: log(1 + f) = f − (f²/2 − s (f²/2 + R)) with s = f / (2 + f).

NaN stays NaN, overflow is infinite, and results below the smallest normal number are rounded to
subnormal numbers. So nothing here may be compiled with fast-math.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from tinygrad_rnn.compiler.backends.native.text import Function, Value, constant


class Format(NamedTuple):
    """A floating-point format: its bits, and how many terms its functions need.

    rounding: 1.5·2^(digits−1). its_bits: the same as an integer. ln2: ln 2 in two parts. lowest,
        highest: below and above them exp is 0 and infinite. flat: beyond it tanh is 1.
    """

    integer: str
    digits: int
    bias: int
    rounding: float
    its_bits: int
    ln2: tuple[float, float]
    lowest: float
    highest: float
    flat: float
    exp_terms: int
    log_terms: int
    smallest: float


FORMATS = {
    "float": Format(
        "i32", 24, 127, 1.5 * 2**23, 0x4B400000,
        (0.693359375, -2.12194440054690583e-4),
        -104.0, 89.0, 10.0, 7, 5, 2.0**-126,
    ),
    "double": Format(
        "i64", 53, 1023, 1.5 * 2**52, 0x4338000000000000,
        (6.93147180369123816490e-01, 1.90821492927058770002e-10),
        -746.0, 710.0, 20.0, 13, 10, 2.0**-1022,
    ),
}  # fmt: skip


def at_most(f: Function, x: Value, limit: float) -> Value:
    """min(x, limit), NaN kept."""
    return f.select(f.compare("ogt", x, limit), constant(x.type, limit), x)


def at_least(f: Function, x: Value, limit: float) -> Value:
    """max(x, limit), NaN kept."""
    return f.select(f.compare("olt", x, limit), constant(x.type, limit), x)


def reduced(f: Function, x: Value) -> tuple[Value, Value]:
    """n as an integer, and exp(r) − 1 for x = n ln 2 + r."""
    form = FORMATS[x.type.kind]
    shifted = f.fma(x, 1 / math.log(2), form.rounding)
    n = f.binary("sub", f.cast("bitcast", shifted, form.integer), form.its_bits)
    rounded = f.binary("fsub", shifted, form.rounding)
    r = f.fma(rounded, -form.ln2[0], x)
    r = f.fma(rounded, -form.ln2[1], r)
    series = constant(x.type, 1 / math.factorial(form.exp_terms))
    for k in range(form.exp_terms - 1, 1, -1):
        series = f.fma(series, r, 1 / math.factorial(k))
    return n, f.fma(f.binary("fmul", r, r), series, r)


def power_of_two(f: Function, n: Value, kind: str) -> Value:
    """2ⁿ for an exponent of a normal number."""
    form = FORMATS[kind]
    field = f.binary("shl", f.binary("add", n, form.bias), form.digits - 1)
    return f.cast("bitcast", field, kind)


def exp(f: Function, x: Value) -> Value:
    """eˣ = 2ⁿ eʳ, in two steps, because 2ⁿ alone can overflow or underflow."""
    form = FORMATS[x.type.kind]
    n, r = reduced(f, at_least(f, at_most(f, x, form.highest), form.lowest))
    half = f.binary("ashr", n, 1)
    rest = f.binary("sub", n, half)
    y = f.binary("fadd", r, 1.0)
    y = f.binary("fmul", y, power_of_two(f, half, x.type.kind))
    return f.binary("fmul", y, power_of_two(f, rest, x.type.kind))


def tanh(f: Function, x: Value) -> Value:
    """m / (m + 2) with m = exp(2|x|) − 1 = 2ⁿ (eʳ − 1) + (2ⁿ − 1), and the sign of x."""
    form = FORMATS[x.type.kind]
    size = at_most(f, f.intrinsic("fabs", x), form.flat)
    n, r = reduced(f, f.binary("fadd", size, size))
    scale = power_of_two(f, n, x.type.kind)
    m = f.fma(scale, r, f.binary("fsub", scale, 1.0))
    y = f.binary("fdiv", m, f.binary("fadd", m, 2.0))
    return f.intrinsic("copysign", y, x)


def log(f: Function, x: Value) -> Value:
    """k ln 2 + log(1 + f) for x = 2ᵏ (1 + f) with 1 + f between √½ and √2."""
    form = FORMATS[x.type.kind]
    integer = x.type.of(form.integer)
    tiny = f.compare("olt", x, form.smallest)
    scaled = f.select(tiny, f.binary("fmul", x, 2.0**form.digits), x)
    bits = f.cast("bitcast", scaled, form.integer)
    # Subtract the exponent of √½, so that the rest lies above √½.
    root = int(math.sqrt(0.5) * 2**form.digits) - (1 << (form.digits - 1))
    root += (form.bias - 1) << (form.digits - 1)
    above = f.binary("sub", bits, root)
    k = f.binary("ashr", above, form.digits - 1)
    fraction = f.binary("and", above, (1 << (form.digits - 1)) - 1)
    m = f.cast("bitcast", f.binary("add", fraction, root), x.type.kind)
    shift = f.select(tiny, constant(integer, -form.digits), constant(integer, 0))
    n = f.cast("sitofp", f.binary("add", k, shift), x.type.kind)
    r = f.binary("fsub", m, 1.0)
    s = f.binary("fdiv", r, f.binary("fadd", r, 2.0))
    z = f.binary("fmul", s, s)
    series = constant(x.type, 2 / (2 * form.log_terms + 1))
    for j in range(form.log_terms - 1, 0, -1):
        series = f.fma(series, z, 2 / (2 * j + 1))
    half = f.binary("fmul", f.binary("fmul", r, 0.5), r)
    inner = f.fma(s, f.fma(z, series, half), f.binary("fmul", n, form.ln2[1]))
    y = f.binary("fsub", r, f.binary("fsub", half, inner))
    y = f.fma(n, form.ln2[0], y)
    infinity = constant(x.type, math.inf)
    y = f.select(f.compare("olt", x, infinity), y, x)  # infinity and NaN stay
    y = f.select(f.compare("oeq", x, 0.0), constant(x.type, -math.inf), y)
    return f.select(f.compare("olt", x, 0.0), constant(x.type, math.nan), y)
