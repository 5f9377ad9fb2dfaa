"""Sample inputs for every row of the table.

A case is the arguments of one call. Every float array among the positional arguments, also inside
lists, is differentiated; what shall be held constant is an integer or is given by keyword.
"""

import operator
import warnings
from typing import Any, NamedTuple

import numpy as np

from tinygrad_rnn.derivatives import (
    accumulations,
    arithmetic,
    contractions,
    elementary,
    functions,
    indexing,
    joining,
    linalg,
    reductions,
    shapes,
    signals,
)
from tinygrad_rnn.recurrent import state

rng = np.random.default_rng(7)


class Case(NamedTuple):
    args: tuple
    kwargs: dict[str, Any]


def case(*args, **kwargs):
    return Case(args, kwargs)


def uniform(low, high):
    """A maker of arrays of distinct values in (low, high), of any shape."""

    def make(*shape):
        n = int(np.prod(shape))
        places = np.arange(n) + rng.uniform(0.1, 0.9, n)  # distinct, and no sums of them tie
        values = low + (high - low) * places / max(n, 1)
        return rng.permutation(values).reshape(shape)

    return make


real = uniform(-2.0, 2.0)
positive = uniform(0.4, 2.5)
small = uniform(-0.9, 0.9)


def layouts(make):
    """Arrays of every kind: scalar, vector, size-1 axes, empty axes, and strides out of order."""
    return [
        make(),
        make(3),
        make(1, 2),
        make(2, 0),
        make(3, 2).T,
        make(5)[::-2],
        make(2, 2, 3)[:, ::-1, ::2],
    ]


def unary(make=real):
    return [case(x) for x in layouts(make)]


def binary(first=real, second=None):
    second = second or first
    return [
        case(first(), second()),
        case(first(3), second(3)),
        case(first(2, 3), second(3)),
        case(first(2, 1), second(1, 3)),
        case(first(), second(2, 1)),
        case(first(2, 0), second(1, 1)),
        case(first(3, 2).T, second(4, 3)[::-2]),
    ]


def reduction(make=real, empty=True, **options):
    cases = [
        case(make(), **options),
        case(make(4), **options),
        case(make(2, 3), axis=0, **options),
        case(make(2, 3), axis=-1, keepdims=True, **options),
        case(make(2, 1, 3), axis=(0, 2), **options),
        case(make(2, 3, 2), axis=(-1, 0), keepdims=True, **options),
        case(make(3, 2).T[:, ::-1], axis=1, **options),
        case(make(2, 2), axis=None, keepdims=True, **options),
    ]
    return [*cases, case(make(2, 0), axis=0, **options)] if empty else cases


def places(*indices):
    return np.array(indices)


with_zeros = np.array([[1.5, 0.0, 2.0], [0.0, 0.0, -1.0], [0.5, 1.0, 2.0]])
with_nan = np.array([[1.5, np.nan, 2.0], [0.25, 0.5, np.nan]])

SAMPLES: dict[Any, list[Case]] = {}

# Arithmetic ---------------------------------------------------------------------------------------
for f in (np.add, np.subtract, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin):
    SAMPLES[f] = binary(real, uniform(-1.7, 2.2))
SAMPLES |= {
    np.true_divide: binary(real, positive),
    np.reciprocal: unary(positive),
    np.negative: unary(),
    np.positive: unary(),
    np.square: unary(),
    np.absolute: unary(),
    np.fabs: unary(),
    np.power: [
        *binary(positive, real),
        case(real(3), 2),
        case(real(2, 2), places(3, 1)),
        case(np.array([0.0, 1.0, -1.5]), places(2, 0, 3)),
        case(np.array([0.0, 0.0, 0.0]), places(0, 1, 2)),
        case(2, real(3)),
    ],
    np.float_power: [*binary(positive, real), case(real(3), 3)],
    arithmetic.clip: [
        case(real(4), np.float64(-1.1), np.float64(1.2)),
        case(real(2, 2), real(2) - 2, real(2) + 2),
    ],
    np.clip: [
        case(real(4), -1.1, 1.2),
        case(real(2, 3), None, 0.55),
        case(real(2, 3).T[::-1], min=-0.5),
        case(real(), -1.0, 1.0),
        case(real(0, 2), real(2) - 2, real(2) + 2),
    ],
    np.where: [
        case(places(1, 0, 1) > 0, real(3), real(3)),
        case(places(1, 0, 1)[:, None] > 0, real(2), real()),
        case(np.zeros((0, 1), bool), real(2), real(1)),
    ],
    arithmetic.numbers: [case(real(3), 0, None, None), case(np.array([1.0, np.nan]), 2, 0, 0)],
    np.nan_to_num: [
        *unary(),
        case(real(2, 2), nan=3.0),
        case(np.array([np.nan, np.inf, -np.inf, 1.0]), nan=2.0, posinf=3.0, neginf=-4.0),
        case(np.array([np.nan, 1.5]), posinf=3.0),
    ],
    np.conjugate: unary(),
    np.imag: unary(),
    np.angle: unary(),
    np.real: unary(),
    np.copysign: [case(*c.args) for c in binary(positive, real)],
    np.nextafter: [case(real(3), places(5))],
    np.heaviside: [case(real(3), real(3)), case(np.array([0.5, -0.5]), real(2, 1))],
    np.ldexp: [
        case(real(3), places(1, 0, -2)),
        case(real(2, 1), places(1, 0, -2)),
        case(real(), 3),
    ],
    np.floor_divide: binary(real, positive),
    np.remainder: [*binary(real, positive), *binary(real, uniform(-3.0, -0.5))],
    np.fmod: [*binary(real, positive), *binary(real, uniform(-3.0, -0.5))],
    np.divmod: binary(real, positive),
    np.modf: unary(),
    np.frexp: unary(),
    np.round: [*unary(), case(real(3), decimals=1)],
    np.around: [*unary(), case(real(3), 1)],
}
for f in (np.sign, np.floor, np.ceil, np.trunc, np.rint, np.fix):
    SAMPLES[f] = unary()

# Elementary ---------------------------------------------------------------------------------------
for f in (np.exp, np.exp2, np.expm1, np.sin, np.cos, np.arctan, np.sinh, np.cosh, np.tanh):
    SAMPLES[f] = unary()
for f in (np.arcsinh, np.degrees, np.rad2deg, np.radians, np.deg2rad):
    SAMPLES[f] = unary()
for f in (np.log, np.log2, np.log10, np.sqrt, np.cbrt, np.log1p):
    SAMPLES[f] = unary(positive)
for f in (np.arcsin, np.arccos, np.arctanh, np.tan):
    SAMPLES[f] = unary(small)
SAMPLES |= {
    np.arccosh: unary(uniform(1.2, 3.0)),
    np.logaddexp: binary(),
    np.logaddexp2: binary(),
    np.hypot: binary(),
    np.arctan2: binary(positive, real),
    np.sinc: [*unary(), case(np.array([0.0, 1e-9, 0.3, 1.0, -2.5, 7.7]))],
    elementary.spherical_bessel: [
        case(0, real(4)),
        case(2, np.array([0.0, 1e-3, 2.9, 3.1, 9.0])),
        case(1, np.array([-2.0, 2.0])),
        case(0, np.array([-1.0, 1.0])),
    ],
}

# Reductions ---------------------------------------------------------------------------------------
for f in (np.sum, np.prod, np.nansum, np.nanprod):
    SAMPLES[f] = reduction()
for f in (
    np.mean,
    np.max,
    np.min,
    np.amax,
    np.amin,
    np.ptp,
    np.median,
    np.average,
    np.nanmax,
    np.nanmin,
):
    SAMPLES[f] = reduction(empty=False)
for f in (np.nanmean, np.nanvar):
    SAMPLES[f] = [*reduction(empty=False), case(with_nan, axis=1), case(with_nan, axis=0)]
for f in (np.nansum, np.nanprod, np.nanmax, np.nanmin):
    SAMPLES[f] += [case(with_nan, axis=1), case(with_nan)]
spread = [
    case(real(4)),
    case(real(2, 3), axis=0),
    case(real(2, 3), axis=-1, keepdims=True, ddof=1),
    case(real(2, 1, 3), axis=(0, 2)),
    case(real(3, 2).T[:, ::-1], axis=1),
]
SAMPLES |= {
    np.var: [*spread, case(real()), case(real(1, 2), axis=0)],
    np.std: spread,
    np.nanstd: spread,
    np.prod: [*SAMPLES[np.prod], *(case(with_zeros, axis=a) for a in (None, 0, 1, (1, 0)))],
    np.average: [
        *SAMPLES[np.average],
        case(real(2, 3), None, positive(2, 3)),
        case(real(2, 3), 1, positive(3), keepdims=True),
        case(real(2, 3), 0, positive(2), True),
    ],
    np.quantile: [
        *reduction(empty=False, q=0.3),
        case(real(5), q=np.array([0.1, 0.5, 1.0])),
        *(case(real(2, 5), q=0.3, axis=1, method=m) for m in ("lower", "higher", "midpoint")),
        case(real(2, 5), q=np.array([[0.3, 0.9]]), axis=0, keepdims=True, method="nearest"),
    ],
    np.percentile: reduction(empty=False, q=30),
    reductions.root: unary(positive),
    reductions.logsumexp: [
        *(
            case(c.args[0], c.kwargs.get("axis"), c.kwargs.get("keepdims", False))
            for c in reduction(empty=False)
        ),
    ],
}

SAMPLES[np.quantile] += [case(real(5), np.array([0.1, 0.62])), case(real(2, 3), np.float64(0.3), 1)]
SAMPLES[np.quantile] += [case(real(5), [np.float64(0.3), np.float64(0.7)])]
with_nans = [case(with_nan, axis=1), case(with_nan)]
SAMPLES |= {
    np.nanmedian: [*SAMPLES[np.median], *with_nans],
    np.nanquantile: [
        *SAMPLES[np.quantile],
        case(with_nan, q=np.array([0.2, 0.7]), axis=1, keepdims=True),
    ],
    np.nanpercentile: [*SAMPLES[np.percentile], case(with_nan, q=35)],
    np.cov: [
        case(real(2, 4)),
        case(real(4)),
        case(real(3, 2), rowvar=False, bias=True),
        case(real(2, 4), real(4), ddof=0),
        case(real(2, 3), fweights=places(1, 2, 3), aweights=np.array([0.5, 1.0, 2.0])),
    ],
    np.corrcoef: [case(real(2, 4)), case(real(4), real(4)), case(real(4))],
}

# Signals ------------------------------------------------------------------------------------------
SAMPLES |= {
    np.gradient: [
        case(real(5)),
        case(real(3, 4), 2, 0.5),
        case(real(3, 4), axis=1, edge_order=2),
        case(real(4), np.array([0.0, 1.0, 1.5, 3.0])),
        case(real(4), np.array([0.0, 1.0, 1.5, 3.0]), edge_order=2),
    ],
    np.interp: [
        case(np.array([-1.0, 0.3, 1.9, 5.0]), np.array([0.0, 1.0, 2.5]), real(3)),
        case(real(), np.array([-3.0, 3.0]), real(2), left=1.0),
        case(np.array([-1.0, 0.3, 7.7]), np.array([2.5, 0.5, 1.0]), real(3), period=3.0),
    ],
    np.polyadd: [case(real(2), real(3)), case(real(3), real())],
    np.polysub: [case(real(2), real(3)), case(real(3), real(3))],
    np.polymul: [case(real(2), real(3)), case(real(3), real(1))],
    np.polyder: [case(real(4)), case(real(4), 2)],
    np.polyint: [case(real(3)), case(real(2), 2, real(2)), case(real(2), k=0.5)],
    np.poly: [case(real(3)), case(real(0))],
    np.polyfit: [
        case(real(5), real(5), 2),
        case(real(4), real(4, 2), 1),
        case(real(4), real(4), 1, w=positive(4)),
    ],
    np.convolve: [case(real(4), real(3), m) for m in ("full", "same", "valid")]
    + [case(real(2), real(5), "same"), case(real(4), real(2), mode="same")],
    signals.convolve: [case(real(3), real(4), m) for m in ("full", "same", "valid")],
    np.correlate: [case(real(4), real(3), m) for m in ("full", "same", "valid")]
    + [case(real(2), real(5)), case(real(2), real(5), "same")],
    np.polyval: [case(real(3), real(2, 2)), case(real(4), real())],
    np.vander: [case(real(3)), case(np.array([0.0, 1.5]), 4, True)],
    np.unwrap: [case(np.array([0.0, 3.0, 6.5, 0.5])), case(3 * real(2, 3), axis=0)],
    np.i0: unary(),
    signals.modified_bessel: [case(0, real(3)), case(2, 20 * real(3))],
}

# Accumulations ------------------------------------------------------------------------------------
running = [
    case(real(4)),
    case(real(2, 3)),
    case(real(2, 3), axis=0),
    case(real(3, 2).T[:, ::-1], axis=-1),
    case(real(2, 0), axis=1),
    case(real(1, 1)),
    case(real()),
]
for f in (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod):
    SAMPLES[f] = list(running)
SAMPLES[np.cumprod] += [case(with_zeros), case(with_zeros, axis=0), case(with_zeros, axis=1)]
SAMPLES[np.cumprod] += [case(np.array([0.0, 2.0, 3.0]))]
SAMPLES[np.nancumsum] += [case(with_nan), case(with_nan, axis=0)]
SAMPLES[np.nancumprod] += [case(with_nan), case(with_nan, axis=1)]
for f in (getattr(np, "cumulative_sum", None), getattr(np, "cumulative_prod", None)):
    SAMPLES[f] = [case(real(4)), case(real(2, 3), axis=1, include_initial=True)]
    SAMPLES[f] += [case(real(3), include_initial=True)]
SAMPLES |= {
    np.diff: [
        case(real(4)),
        case(real(2, 4), 2),
        case(real(3, 2), 1, 0),
        case(real(2, 3), prepend=0.5, append=1.0),
        case(real(3), 1, -1, real(2), real(1)),
        case(real(3), prepend=1.0),
        case(real(2, 1, 3), axis=0, append=0.5),
        case(real(3), 0, prepend=1.0),
        case(real(1)),
    ],
    np.ediff1d: [
        case(real(4)),
        case(real(2, 3), real(2), real(1)),
        case(real(3), to_begin=real(2)),
    ],
    np.trapezoid: [
        case(real(4)),
        case(real(2, 4), dx=0.5),
        case(real(4, 2), axis=0),
        case(real(4), positive(4)),
        case(real(2, 3), positive(2, 3)),
        case(real(2, 3), positive(2, 3), axis=0),
        case(real(2, 3, 2), positive(3), axis=1),
    ],
}

# Shapes -------------------------------------------------------------------------------------------
SAMPLES |= {
    np.reshape: [
        case(real(2, 3), (3, 2)),
        case(real(), (1, 1)),
        case(real(0, 2), (4, 0)),
        case(real(3, 2).T, -1),
    ],
    np.ravel: [*unary(), case(real(2, 3), order="F")],
    np.expand_dims: [case(real(2), 0), case(real(), (0, 1)), case(real(3, 2).T, (0, -1))],
    np.squeeze: [
        case(real(1, 2, 1)),
        case(real(1, 2, 1), axis=0),
        case(real(1, 1)),
        case(real(0, 1)),
    ],
    np.transpose: [
        *unary(),
        case(real(3), 0),
        case(real(2, 3, 1), (1, -1, 0)),
        case(real(2, 3, 4), (2, 0, 1)),
    ],
    np.swapaxes: [case(real(2, 3), 0, 1), case(real(2, 3, 1), -1, 0)],
    np.moveaxis: [case(real(2, 3, 1), 0, -1), case(real(2, 3, 4), (0, 1), (2, 0))],
    np.rollaxis: [case(real(2, 3, 1), 2), case(real(2, 3, 4), 0, 2), case(real(2, 3), 1, -1)],
    np.broadcast_to: [
        case(real(), (2, 3)),
        case(real(1, 3), (2, 4, 3)),
        case(real(1), (0,)),
        case(real(3), (3,)),
    ],
    np.copy: unary(),
    np.broadcast_arrays: [case(real(2, 1), real(3)), case(real(), real(0, 2))],
    np.meshgrid: [
        case(real(2), real(3)),
        case(real(2), real(3), real(1), indexing="ij"),
        case(real(2), real(3), sparse=True),
        case(real(2)),
    ],
    np.stack: [
        case([real(2), real(2)]),
        case([real(2, 3), real(2, 3)], axis=-1),
        case((real(), real())),
        case([real(0)], 1),
    ],
    np.concatenate: [
        case([real(2), real(3)]),
        case([real(2, 1), real(2, 0), real(2, 3)], axis=1),
        case((real(2, 1), real(3)), axis=None),
        case([real(3, 2).T, real(2, 4)[:, ::-1]], -1),
    ],
    np.hstack: [case([real(2), real(3)]), case([real(2, 1), real(2, 3)]), case([real(), real()])],
    np.vstack: [case([real(2), real(3, 2)]), case([real(2, 1), real(2, 1)])],
    np.dstack: [case([real(2), real(2)]), case([real(2, 1), real(2, 1)])],
    np.column_stack: [case([real(2), real(2, 3)]), case([real(2), real(2)])],
    np.block: [
        case([[real(2, 2), real(2, 1)], [real(1, 3)]]),
        case([real(2), real(1)]),
        case(real(2)),
        case([[real(), real(1)]]),
    ],
    np.append: [
        case(real(2), real(2, 1)),
        case(real(2, 1), real(2, 2), 1),
        case([real(), real()], real(2)),
    ],
    np.insert: [
        case(real(3), 1, real()),
        case(real(2, 3), 1, real(3), axis=0),
        case(real(2, 3), 1, real(2), axis=1),
        case(real(2, 3), [1], real(2, 1), axis=1),
        case(real(3), [0, 3, 1], real(3)),
        case(real(3), slice(0, 2), real()),
        case(real(2, 2), -1, [real(), real()], axis=0),
        case(real(3), [], real(0)),
        case(real(3), np.array([True, False, True]), 2.0),
    ],
    np.split: [case(real(4), 2), case(real(2, 4), [1, 3], 1), case(real(2), [5])],
    np.array_split: [case(real(5), 3), case(real(2, 3), 2, -1)],
    np.hsplit: [case(real(4), 2), case(real(2, 4), [1])],
    np.vsplit: [case(real(4, 2), 2)],
    np.dsplit: [case(real(1, 2, 4), 2)],
    getattr(np, "unstack", None): [case(real(2, 3)), case(real(2, 3), axis=-1)],
    np.linspace: [
        case(real(), real(), 4),
        case(real(2), real(2), 3, axis=1, endpoint=False),
        case(real(), real(2, 1), num=3),
        case(real(), real(), 1),
        case(real(2), real(2), 1, endpoint=False),
        case(real(), real(), 0),
        case(np.float64(0.5), np.float64(0.5), 3),
    ],
    np.logspace: [
        case(real(), real(), 4),
        case(real(2), real(2), 3, base=2.0, axis=1),
        case(real(), real(), 3, False, positive(2)),
    ],
    np.geomspace: [
        case(positive(), positive(), 4),
        case(-positive(2), -positive(2), 3, axis=1),
        case(positive(), positive(), 3, endpoint=False),
        case(positive(), positive(), 1),
    ],
    np.full_like: [case(real(2, 3), real()), case(real(2), real(2)), case(real(2), 1.5)],
    np.real_if_close: [case(real(2, 3))],
    np.tile: [
        case(real(2), 3),
        case(real(2, 2), (2, 1)),
        case(real(2), (2, 1, 2)),
        case(real(), 2),
        case(real(0), 2),
    ],
    np.repeat: [
        case(real(3), 2),
        case(real(2, 3), 2, 1),
        case(real(3), places(0, 1, 2)),
        case(real(2, 3), places(1, 2), axis=0),
        case(real(), 3, axis=0),
    ],
    np.resize: [case(real(3), (2, 4)), case(real(2, 3), 2)],
    np.roll: [
        case(real(4), 1),
        case(real(2, 3), -1, 1),
        case(real(2, 3), 2),
        case(real(2, 3), (1, 2), (0, 1)),
    ],
    np.flip: [*unary(), case(real(2, 3), 0), case(real(2, 3), (0, 1))],
    np.fliplr: [case(real(2, 3))],
    np.flipud: [case(real(2, 3)), case(real(2))],
    np.rot90: [case(real(2, 3)), case(real(2, 3), 2), case(real(2, 3, 1), -1, (2, 0))],
    np.fft.fftshift: [case(real(5)), case(real(2, 3), axes=1)],
    np.fft.ifftshift: [case(real(5)), case(real(2, 3), axes=(0, 1))],
    np.tril: [case(real(3, 3)), case(real(2, 3), -1), case(real(2, 2, 3), k=1)],
    np.triu: [case(real(3, 3)), case(real(2, 3), -1), case(real(2, 2, 3), k=1)],
    np.diagonal: [
        case(real(3, 3)),
        case(real(2, 3), 1),
        case(real(2, 3, 2), -1, 1, 2),
        case(real(2, 2), 5),
    ],
    np.linalg.diagonal: [case(real(2, 3, 3)), case(real(2, 3), offset=-1)],
    np.trace: [case(real(3, 3)), case(real(2, 3), 1), case(real(2, 3, 2), -1, 2, 1)],
    np.linalg.trace: [case(real(2, 3, 3)), case(real(2, 3), offset=1)],
    np.diag: [
        case(real(3)),
        case(real(2), 1),
        case(real(2), -2),
        case(real(3, 3)),
        case(real(2, 3), 1),
        case(real(0)),
    ],
    np.diagflat: [case(real(2, 2)), case(real(2), -1)],
    np.pad: [
        case(real(3), 1),
        case(real(2, 3), ((1, 0), (0, 2)), constant_values=2.0),
        case(real(3), (2, 1), mode="edge"),
        case(real(3), (2, 1), mode="reflect"),
        case(real(2, 3), 1, mode="symmetric"),
        case(real(2, 3), ((0, 0), (4, 1)), mode="wrap"),
        case(real(2, 3), {-1: (1, 2)}),
        case(real(3), 1, constant_values=[real(), 0.5]),
    ],
    joining.pad_constant: [case(real(2), ((1, 2),), constant_values=0)],
    shapes.astype: [case(real(3), np.float64)],
    getattr(np, "astype", None): [case(real(3), np.float64)],
}
for f in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    SAMPLES[f] = [*unary(), case(real(), real(2), real(2, 1, 1, 2))]
for f in (np.matrix_transpose, np.linalg.matrix_transpose):
    SAMPLES[f] = [case(real(2, 3)), case(real(2, 1, 3))]

# Indexing -----------------------------------------------------------------------------------------
x34 = real(3, 4)
SAMPLES |= {
    np.unique: [case(real(4)), case(np.array([[2.0, 1.0], [1.0, 2.0]])[:, :1])],
    np.bincount: [case(places(0, 2, 2, 1), real(4)), case(places(1, 1), real(2), 4)],
    np.trim_zeros: [case(real(3)), case(real(3), "b")],
    np.piecewise: [
        case(
            np.array([-1.5, 0.5, 2.0]), [np.array([True, False, False])], [np.negative, np.square]
        ),
        case(real(3), [np.array([True, True, False])], [np.exp, 0.5]),
        case(real(2), [np.array([True, False]), np.array([True, True])], [np.sin, np.cos]),
    ],
    np.apply_along_axis: [
        case(lambda row: row * row[0], 1, real(2, 3)),
        case(np.sum, 0, real(2, 3)),
        case(lambda row: np.stack([row, row * 2]), -1, real(2, 3, 2)),
    ],
    np.apply_over_axes: [case(np.sum, real(2, 3, 2), [0, 2]), case(np.cumsum, real(2, 3), [0])],
    operator.getitem: [
        case(x34, 1),
        case(x34, (slice(None), -1)),
        case(x34, (slice(None, None, -2), slice(1, 3))),
        case(x34, (None, Ellipsis, 0)),
        case(x34, places(0, 2, 0, 0)),
        case(x34, (places(0, 2, 0), places(1, 1, 1))),
        case(x34, (slice(1), [3, 3])),
        case(x34, (places(0, 1)[:, None], None, places(0, 3))),
        case(x34, x34 > 0),
        case(x34, places(1, 0, 1) > 0),
        case(x34, (places(1, 0, 1) > 0, 2)),
        case(x34.T[::-1], (Ellipsis, [0, 0, 1])),
        case(real(2, 0), places(0, 1, 1)),
        case(real(), ()),
        case(real(), None),
        case(real(3), np.int64(1)),
    ],
    indexing.scatter: [case(real(3), places(0, 2, 0), (4,)), case(real(2, 1), slice(2), (3, 1))],
    np.take: [
        case(real(4), places(0, 2, 0)),
        case(real(2, 3), 1, 1),
        case(real(2, 3), places(0, 5)),
        case(real(3), places(7, -9), mode="clip"),
        case(real(2, 3), places([0, 4]), -1, mode="wrap"),
    ],
    np.take_along_axis: [
        case(real(2, 3), places([0], [2]), 1),
        case(real(2, 3), places([0, 1, 1, 0]), axis=None)
        if False
        else case(real(6), places(0, 1, 1, 0), axis=None),
        case(real(2, 3), places([1, 1, 0]), 0),
    ],
    np.choose: [
        case(places(0, 1, 1), [real(3), real()]),
        case(places(5, -1), [real(2), real(2)], mode="clip"),
    ],
    np.select: [
        case([x34 > 0, x34 < -1], [real(3, 4), real(4)], np.float64(0.5)),
        case([x34 > 0], [real()]),
    ],
    np.compress: [case(places(1, 0, 1), real(3)), case(places(0, 1), real(2, 3), axis=0)],
    np.extract: [case(x34 > 0, x34)],
    np.delete: [case(real(4), 1), case(real(2, 3), [0, 2], axis=1), case(real(2, 3), slice(2))],
    np.sort: [
        *unary(),
        case(real(3, 4), axis=0),
        case(real(2, 3), axis=None),
        case(real(2, 3)[:, ::-1]),
    ][1:],
    np.partition: [case(real(5), 2), case(real(2, 4), 1, axis=0), case(real(2, 2), 1, axis=None)],
}

# Products -----------------------------------------------------------------------------------------
matrices = [
    case(real(3), real(3)),
    case(real(3), real(3, 2)),
    case(real(2, 3), real(3)),
    case(real(2, 3), real(3, 4)),
    case(real(2, 0), real(0, 3)),
    case(real(1, 3), real(3, 1)),
    case(real(3, 2).T, real(4, 3)[::-1].T),
]
stacks = [
    case(real(2, 2, 3), real(3, 4)),
    case(real(2, 3), real(2, 3, 2)),
    case(real(2, 1, 2, 3), real(3, 3, 1)),
    case(real(3), real(2, 3, 2)),
    case(real(2, 2, 3), real(3)),
    case(real(0, 2, 3), real(3, 2)),
]
SAMPLES |= {
    np.matmul: [*matrices, *stacks],
    np.linalg.matmul: [case(real(2, 3), real(3, 2)), *stacks[:3]],
    np.dot: [
        *matrices,
        case(real(), real(2)),
        case(real(2), real()),
        case(real(2, 3), real(2, 3, 2)),
        case(real(2), real(3, 2, 1)),
        case(real(2, 2, 3), real(3, 1)),
        case(real(2, 1, 3), real(3)),
        case(real(2, 1, 3), real(2, 3, 2)),
    ],
    np.inner: [
        case(real(3), real(3)),
        case(real(2, 3), real(4, 3)),
        case(real(), real(2)),
        case(real(2), real()),
        case(real(2, 1, 3), real(3)),
        case(real(2), real(3, 1, 2)),
    ],
    np.vdot: [case(real(3), real(3)), case(real(2, 3), real(2, 3))],
    np.vecdot: [case(real(3), real(3)), case(real(2, 3), real(4, 1, 3))],
    np.linalg.vecdot: [
        case(real(2, 3), real(3)),
        case(real(3, 2), real(3, 1), axis=0),
        case(real(2, 3, 4), real(2, 3, 4), axis=0),
    ],
    getattr(np, "matvec", None): [case(real(2, 3), real(3)), case(real(2, 2, 3), real(2, 3))],
    getattr(np, "vecmat", None): [case(real(3), real(3, 2)), case(real(2, 3), real(2, 3, 4))],
    np.outer: [case(real(2), real(3)), case(real(2, 2), real()), case(real(0), real(2))],
    np.linalg.outer: [case(real(2), real(3))],
    np.tensordot: [
        case(real(2, 3), real(2, 3)),
        case(real(2, 3), real(3, 4), 1),
        case(real(2), real(3), 0),
        case(real(2, 3, 4), real(4, 5, 2), ([0, 2], [2, 0])),
        case(real(2, 3), real(3, 2), (1, 0)),
        case(real(2, 3), real(1, 3), axes=((-1,), (-1,))),
    ],
    np.linalg.tensordot: [case(real(2, 3), real(3, 4), axes=1)],
    np.kron: [
        case(real(2), real(3)),
        case(real(2, 3), real(2, 1)),
        case(real(2), real(2, 2)),
        case(real(2, 2), real(3)),
        case(real(), real(2)),
    ],
    np.cross: [
        case(real(3), real(3)),
        case(real(2, 3), real(3)),
        case(real(3, 2), real(3, 2), axis=0),
        case(real(3, 2), real(2, 3), 0, 1, 0),
    ],
    np.linalg.cross: [case(real(2, 3), real(2, 3)), case(real(3, 2), real(3, 2), axis=0)],
    np.linalg.multi_dot: [
        case([real(2, 3), real(3, 2), real(2, 4)]),
        case([real(3), real(3, 2), real(2)]),
    ],
    np.linalg.matrix_power: [case(real(2, 2) + 3 * np.eye(2), n) for n in (0, 1, 2, 3, 5, -1, -2)]
    + [case(real(2, 3, 3), 4), case(np.zeros((1, 3, 2, 2)), 0)],
    np.einsum: [
        case("ij,jk->ik", real(2, 3), real(3, 2)),
        case("ij,jk", real(2, 3), real(3, 2)),
        case("ij->ji", real(2, 3)),
        case("ij->", real(2, 3)),
        case("ii", real(3, 3)),
        case("ii->i", real(3, 3)),
        case("iij,j->i", real(2, 2, 3), real(3)),
        case("i,i,i->i", real(3), real(3), real(3)),
        case(real(2, 3), [30, 2]),
        case(real(2, 3), [30, 2], real(3), [2], [30]),
        case("ij,kl->i", real(2, 3), real(2, 2)),
        case("...ij,...jk->...ik", real(2, 2, 3), real(3, 2)),
        case("...i,...i", real(2, 3), real(3)),
        case("i...->...", real(2, 3)),
        case("i,j", real(2), real(3)),
        case("ab,b...,c->ca", real(2, 3), real(3), real(2)),
        case(real(2, 3), [0, 1], real(3, 2), [1, 2], [2, 0]),
        case(real(2, 3), [0, 1], real(3), [1]),
        case("ij,ij->ij", real(1, 3), real(2, 1)),
        case("ij,jk->ik", real(2, 0), real(0, 3)),
        case("ij,jk,kl", real(2, 3), real(3, 2), real(2, 2), optimize=True),
    ],
}

# Linear algebra -----------------------------------------------------------------------------------
well = [
    real(1, 1) + 3,
    real(3, 3) + 3 * np.eye(3),
    (real(2, 2) + 3 * np.eye(2)).T,
    real(2, 3, 3) + 3 * np.eye(3),
]


def symmetric(*shape):
    """A maker of what is checked on symmetric matrices: differences must not leave them."""
    x = real(*shape)
    return x + np.swapaxes(x, -1, -2) + 8 * np.eye(shape[-1]) * np.arange(1, shape[-1] + 1)


singular = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.5, -1.0]])
matrices_of_all_shapes = [case(real(3, 3)), case(real(3, 2)), case(real(2, 3)), case(real(2, 3, 2))]
SAMPLES |= {
    np.linalg.inv: [case(a) for a in well],
    np.linalg.det: [
        *(case(a) for a in well),
        case(singular),
        case(np.zeros((2, 2))),
        case(real(2, 0, 0)),
    ],
    np.linalg.slogdet: [*(case(a) for a in well), case(-well[1])],
    linalg.log_abs_det: [case(a) for a in well],
    np.linalg.solve: [
        case(well[1], real(3)),
        case(well[1], real(3, 2)),
        case(well[3], real(3, 1)),
        case(well[1], real(2, 3, 2)),
        case(well[3], real(3)),
    ],
    linalg.solve: [case(well[1], real(3, 2)), case(well[3], real(3, 1))],
    np.linalg.pinv: matrices_of_all_shapes,
    np.linalg.lstsq: [
        case(real(4, 2), real(4)),
        case(real(4, 2), real(4, 2)),
        case(real(2, 3), real(2)),
    ],
    np.linalg.tensorinv: [case(real(2, 3, 6) + 3 * np.eye(6).reshape(2, 3, 6))],
    np.linalg.tensorsolve: [case(real(2, 3, 6) + 3 * np.eye(6).reshape(2, 3, 6), real(2, 3))],
    np.linalg.cholesky: [case(symmetric(3, 3)), case(symmetric(2, 2, 2), upper=True)],
    linalg.cholesky: [case(symmetric(3, 3))],
    np.linalg.eigh: [case(symmetric(3, 3)), case(symmetric(2, 2, 2)), case(symmetric(2, 2), "U")],
    linalg.eigh: [case(symmetric(3, 3))],
    np.linalg.eigvalsh: [case(symmetric(3, 3)), case(symmetric(2, 2, 2))],
    np.linalg.svd: [
        *(case(*c.args, full_matrices=False) for c in matrices_of_all_shapes),
        case(real(3, 3)),
        case(real(3, 2), compute_uv=False),
    ],
    np.linalg.svdvals: matrices_of_all_shapes,
    linalg.thin_svd: matrices_of_all_shapes,
    np.linalg.qr: [*matrices_of_all_shapes, case(real(3, 2), "r"), case(real(2, 3), "complete")],
    linalg.thin_qr: [case(real(3, 3)), case(real(3, 2))],
    np.linalg.norm: [
        *unary()[:3],
        case(real(2, 3)),
        case(real(2, 2, 2), keepdims=True),
        *(case(real(3), ord=p) for p in (1, 2, 3, 0.5, -1, np.inf, -np.inf, 0)),
        *(case(real(2, 3), ord=p) for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
        case(real(2, 3), ord=3, axis=0, keepdims=True),
        case(real(2, 3, 2), ord="nuc", axis=(2, 0), keepdims=True),
        case(real(2, 3, 2), axis=(0, 1)),
    ],
    np.linalg.vector_norm: [
        case(real(2, 3)),
        case(real(2, 3), axis=1, ord=3),
        case(real(2, 3), axis=(0, 1), ord=1, keepdims=True),
    ],
    np.linalg.matrix_norm: [case(real(2, 2, 3)), case(real(2, 3), ord=2, keepdims=True)],
    np.linalg.cond: [case(well[1], p) for p in (None, 2, -2, 1, "fro")],
}

# Functions that NumPy does not have ---------------------------------------------------------------
SAMPLES |= {
    functions.relu: unary(),
    functions.sigmoid: unary(),
    functions.softmax: [case(real(3)), case(real(2, 3)), case(real(2, 1, 3)), case(real(0, 2))],
    functions.log_softmax: [case(real(3)), case(real(3, 2).T), case(real(2, 1, 3))],
    functions.residual: [
        case(real(3), np.int64(1), real(), None),
        case(real(2, 3), places(0, 2), real(), None),
        case(real(2, 3), places(0, 2), real(2), None),
    ],
    functions.losses_at: [
        case(real(3), np.int64(1)),
        case(real(2, 2, 3), places([0, 2], [1, 1])),
        case(real(0, 3), np.zeros(0, int)),
    ],
    state.zero_rows: [case(real(3, 2), rows=places(1, 0, 1)[:, None] > 0)],
    functions.mean_loss: [
        case(real(3), np.int64(1)),
        case(real(2, 3), places(0, 2)),
        case(real(2, 2, 3), places([0, 2], [1, 1])),
        case(real(3, 2).T, places(0, 2)),
        case(real(2, 6)[::-1, ::-2], places(0, 2)),
    ],
}

# Axes and lengths that differ, so that none can be taken for another ------------------------------
box = real(2, 3, 4)
box_of_zeros = np.where(np.arange(24).reshape(2, 3, 4) % 5 == 0, 0.0, box)
MORE = {
    np.stack: [
        case([real(2, 3), real(2, 3)], -1),
        case([real(2, 3), real(2, 3)], axis=1),
        case([real(2, 3)] * 3, axis=-2),
    ],
    np.concatenate: [case([real(2, 1, 3), real(2, 2, 3)], axis=-2)],
    np.hstack: [case([real(2, 1, 3), real(2, 2, 3)]), case([real(2)])],
    np.block: [case([[real(1, 2, 1), real(1, 2, 2)]]), case([real(1, 2), real(2)])],
    np.append: [case(real(2, 1, 3), real(2, 2, 3), -2)],
    np.insert: [
        case(real(2, 3), 1, real(2, 3), axis=0),
        case(real(2, 3), 1, real(4, 2), axis=1),
        case(real(2, 3), [1], real(2, 2), axis=-1),
        case(real(2, 3, 4), [0, 2], real(2, 1, 4), axis=1),
        case(real(2, 3), [0, 4], real(2)),
    ],
    np.array_split: [case(real(2, 7), 3, 1), case(real(2, 3, 4), [1, 2], -2)],
    np.split: [case(real(2, 4, 3), 2, -2)],
    np.hsplit: [case(real(2, 4, 3), 2)],
    getattr(np, "unstack", None): [case(box, axis=1), case(box, axis=-2)],
    np.tile: [case(real(2, 3), 2), case(real(2, 3, 2), (2, 1))],
    np.repeat: [case(box, 2, axis=-2), case(real(2, 3), places(2, 0, 1), axis=-1)],
    np.linspace: [
        case(real(2, 3), real(2, 3), 4, axis=-2),
        case(real(), real()),
        case(real(2), real(2), 3, retstep=True),
        case(real(2), real(2), 2, endpoint=False, retstep=True),
        case(np.array([0.5, 1.0]), np.array([0.5, 2.0]), 3),
    ],
    np.logspace: [
        case(real(), real()),
        case(real(2), real(2), 3, True, positive(2), axis=1),
        case(real(), real(), 3, True, positive()),
        case(real(2, 1), real(3), 4, True, positive(3), axis=-1),
    ],
    np.geomspace: [
        case(positive(), positive()),
        case(positive(2), positive(2), 4, axis=-1),
        case(positive(), positive(), 2),
        case(positive(2), positive(1), 0),
        case(positive(), positive(), 1, endpoint=False),
        case(-positive(), -positive(), 3),
    ],
    np.pad: [
        case(real(2, 3), ((1, 2), (0, 1)), mode="edge"),
        case(real(2, 3), ((0, 1), (2, 0)), mode="reflect"),
        case(real(2, 3), {0: 1, 1: (0, 2)}),
        case(real(2, 3), {-2: (2, 1)}, constant_values=1.5),
    ],
    joining.pad_constant: [case(real(2, 3), ((1, 2), (0, 1)), constant_values=1.0)],
    np.ravel: [case(box, order="F")],
    np.transpose: [case(box, (-1, 0, 1)), case(box, (1, 2, 0))],
    np.moveaxis: [case(real(2, 3, 4, 1), (0, -1), (1, 0))],
    np.rollaxis: [
        *(case(box, *which) for which in ((0, 3), (-1, 1), (2, -2), (1, 1), (1, 2), (0, 1))),
    ],
    np.atleast_3d: [case(real(3)), case(real(2, 3)), case(real(2, 3, 1, 2))],
    np.meshgrid: [case(real(2), real(3), real(4)), case(real(2), real(3), copy=False)],
    np.roll: [case(real(3, 4), (-1, 2), (1, 0)), case(real(3, 4), 1, (0, 1))],
    np.rot90: [case(box, 1, (1, 2)), case(real(2, 3), 3)],
    np.fft.fftshift: [case(real(4, 5))],
    np.diagonal: [
        case(box, 1, -1, 0),
        case(box, -1, 2, 1),
        case(real(2, 4), 2),
        case(real(4, 2), -2),
        case(real(4, 2), -1),
    ],
    np.linalg.diagonal: [case(box, offset=2)],
    np.trace: [case(box, 1, -1, 0), case(box, -1, 1, 2)],
    np.linalg.trace: [case(box, offset=-1)],
    np.diag: [case(real(3), -1), case(real(3, 4), -1), case(real(4, 2), 1)],
    np.diagflat: [case(real(1, 2), 2)],
    np.full_like: [case(real(2), real(), shape=(3, 2))],
    np.var: [case(box, axis=(0, -1), ddof=1), case(real(3), keepdims=True, ddof=1)],
    np.std: [case(box, axis=(0, -1), ddof=1), case(real(3), keepdims=True)],
    np.max: [case(box, axis=(0, -1)), case(box, axis=1)],
    np.min: [case(box, axis=(0, -1)), case(box, axis=1)],
    np.prod: [
        *(case(box_of_zeros, axis=axis) for axis in (0, -2, (2, 0), (1, -1))),
        case(box_of_zeros, axis=(2, 0), keepdims=True),
    ],
    np.median: [case(box, axis=1), case(box, axis=(2, 0)), case(box, axis=(0, -1), keepdims=True)],
    np.nanmedian: [case(box, axis=(2, 0), keepdims=True), case(with_nan, axis=0)],
    np.quantile: [
        case(box, q=np.array([[0.2, 0.5, 0.9]]), axis=1),
        case(box, q=np.array([0.2, 0.7]), axis=(0, -1), keepdims=True),
        *(case(real(6), q=0.37, method=m) for m in ("lower", "higher", "midpoint", "nearest")),
        *(case(real(5), q=0.5, method=m) for m in ("lower", "higher", "midpoint", "nearest")),
    ],
    np.nanquantile: [
        *(case(with_nan, q=0.4, axis=1, method=m) for m in ("lower", "higher", "midpoint")),
        case(with_nan, q=np.array([0.2, 0.7]), axis=0),
    ],
    np.average: [
        case(box, (2, 0), positive(4, 2)),
        case(box, (0, 2), positive(2, 4), keepdims=True),
        case(box, -2, positive(3)),
        case(real(2, 3), axis=1, returned=True),
        case(real(2, 3), returned=True),
    ],
    np.cov: [
        case(real(3, 2), real(3, 2), rowvar=False),
        case(real(3, 2), real(1, 3), rowvar=False),
        case(real(2, 4), ddof=2),
        case(real(2, 4), bias=True),
        case(real(2, 3), fweights=places(1, 2, 3)),
        case(real(2, 3), aweights=np.array([0.5, 1.0, 2.0])),
        case(real(2, 3), real(2, 3), ddof=0, aweights=np.array([0.5, 1.0, 2.0])),
        case(real(1, 4)),
    ],
    np.corrcoef: [case(real(4, 2), rowvar=False), case(real(2, 4), real(1, 4))],
    np.nanvar: [
        case(with_nan, ddof=1, axis=None),
        case(with_nan, axis=1, ddof=1),
        case(with_nan, axis=1, keepdims=True),
    ],
    np.nanstd: [case(with_nan, axis=1, keepdims=True), case(np.append(with_nan, 0.7), ddof=1)],
    np.nanmean: [case(with_nan), case(with_nan, keepdims=True)],
    np.nanprod: [case(with_nan, axis=0, keepdims=True)],
    np.gradient: [
        case(box, axis=(0, 2)),
        case(box, axis=-2),
        case(real(3, 4), np.array([0.0, 1.0, 3.0]), np.array([0.0, 0.5, 0.7, 2.0])),
        case(real(4, 3), np.array([0.0, 0.5, 0.7, 2.0]), axis=0, edge_order=2),
        case(real(3, 5), 0.5, edge_order=2),
        case(real(2)),
    ],
    np.interp: [
        case(real(2, 3), np.array([-1.0, 0.1, 0.9]), real(3), left=0.5, right=-0.5),
        case(np.array([-1.1, 0.3, 2.5, 4.0]), np.array([-0.5, 0.4, 1.0]), real(3), period=2.0),
        case(np.array([-3.0, 0.3, 4.0]), np.array([-0.5, 0.4, 1.0, 2.0]), real(4)),
        case(np.array([0.1, 0.6]), [0.0, 0.5, 1.0], [1.0, 0.5, 2.0]),
    ],
    np.convolve: [
        *(case(real(5), real(4), m) for m in ("full", "same", "valid")),
        *(case(real(3), real(3), m) for m in ("full", "same", "valid")),
        *(case(real(2), real(5), m) for m in ("full", "valid")),
        case(real(3), real(1)),
    ],
    np.correlate: [
        *(case(real(5), real(4), m) for m in ("full", "same", "valid")),
        *(case(real(3), real(3), m) for m in ("full", "same", "valid")),
        *(case(real(2), real(5), m) for m in ("full", "same")),
        case(real(4), real(4), "same"),
    ],
    np.polyadd: [case(real(2), real(2)), case([real(), real()], real(3))],
    np.polymul: [case(real(2), real())],
    np.polyval: [case(real(1), real(2, 2))],
    np.polysub: [case(real(2), real(3)), case(real(), real(2))],
    np.polyder: [case(real(5), 3), case(real(3), 0)],
    np.polyint: [case(real(3), 2, k=0.5), case(real(2), 3, real(3)), case(real(2), 0)],
    np.polyfit: [case(real(5), real(5, 2), 2, w=positive(5)), case([0.0, 1.0, 2.0], real(3), 1)],
    np.poly: [case(real(1)), case([real(), real()])],
    np.vander: [
        case(real(3), 2),
        case(real(3), 0),
        case(real(2), increasing=True),
        case(real(2), 5),
    ],
    np.unwrap: [case(np.array([0.0, 0.9, 1.1, 0.2]), period=1.0)],
    signals.modified_bessel: [
        case(1, real(3)),
        case(3, 4 * real(2)),
        case(5, np.array([0.0, 60.0])),
    ],
    np.take: [
        case(box, places(2, 0, 0), axis=-2),
        case(box, places([3, 1], [0, 0]), axis=2),
        case(box, places(1, 23, 5)),
        case(real(2, 3), places(7, -9), axis=0, mode="wrap"),
        case(real(2, 3), places(7, -9), axis=1, mode="clip"),
        case(real(2, 3), places(7, -9), mode="clip"),
    ],
    np.take_along_axis: [
        case(box, places([[1], [0], [2]]).reshape(1, 3, 1)),
        case(box, places([[1], [0], [2]]).reshape(1, 3, 1), axis=-1),
        case(box, np.arange(8).reshape(2, 1, 4) % 3, axis=-2),
        case(box, np.arange(12).reshape(1, 3, 4) % 2, axis=0),
    ],
    np.choose: [case(places([0, 2], [1, 2]), [real(2, 2), real(2), real()])],
    np.select: [case([x34 > 0, x34 > 1, x34 < -1], [real(4), real(3, 4), real()], 1.5)],
    np.compress: [case(places(0, 1, 1), box, axis=1), case(places(0, 1), real(2, 3))],
    np.delete: [case(real(2, 3), [0, 4]), case(box, 1, axis=-2), case(box, -1, axis=0)],
    np.bincount: [case(places(3, 0), real(2), 1)],
    np.piecewise: [
        case(real(2, 3), [np.array([[True], [False]]) & np.ones((2, 3), bool)], [np.exp, np.sin]),
        case(real(3), np.array([True, False, True]), [np.exp]),
        case(real(3), True, [np.exp]),
        case(real(), [False, True], [np.exp, np.square]),
        case(real(), True, [np.exp, np.square]),
    ],
    np.apply_along_axis: [
        case(lambda row: np.stack([row, row * row[0]]), 1, box),
        case(lambda row: np.sum(row * row[0]), -2, box),
        case(lambda row: row[0], 0, real(3)),
    ],
    np.apply_over_axes: [case(np.sum, box, (-1, 0)), case(np.max, box, 1)],
    np.sort: [case(box, axis=1), case(box, axis=-2)],
    np.partition: [case(box, 1, axis=1), case(box, 1), case(real(5), (1, 3))],
    np.trim_zeros: [case(real(2, 3), axis=-1)],
    np.diff: [case(box)],
    np.trapezoid: [case(box), case(box, positive(4))],
    np.cross: [case(real(3, 2), real(2, 3), axisa=0), case(real(2, 3), real(3, 2), axisb=0)],
    np.linalg.cross: [case(real(2, 2, 3), real(3))],
    np.linalg.tensordot: [case(real(2, 3), real(2, 3))],
    np.matmul: [case(real(2, 3, 0), real(0, 4))],
    np.linalg.det: [
        case(np.stack([singular, singular.T])),
        case(np.stack([singular, singular.T])[:, None]),
        case(np.zeros((1, 1))),
    ],
    np.linalg.slogdet: [case(np.stack([well[1], -well[1]]))],
    np.linalg.tensorinv: [case(real(4, 2, 2) + 3 * np.eye(4).reshape(4, 2, 2), ind=1)],
    np.linalg.lstsq: [
        case(real(3, 3) + 3 * np.eye(3), real(3)),
    ],
    np.linalg.cholesky: [
        case(symmetric(3, 3), upper=True),
        case(symmetric(2, 3, 3)),
        case(symmetric(2, 1, 3, 3)),
    ],
    np.linalg.eigh: [case(symmetric(2, 1, 3, 3)), case(np.zeros((0, 3, 3)))],
    np.linalg.eigvalsh: [case(symmetric(3, 3), "U")],
    np.linalg.svd: [
        case(real(2, 3, 3)),
        case(real(2, 3), compute_uv=False),
        *(case(real(*shape), full_matrices=False) for shape in ((2, 0), (0, 3, 2))),
    ],
    np.linalg.qr: [case(real(2, 4), "r"), case(real(3, 3), "complete"), case(real(2, 2, 3), "r")]
    + [case(real(*shape)) for shape in ((3, 0), (0, 3, 2))],
    np.linalg.norm: [
        *(case(real(2, 3), ord=p, axis=0) for p in (0, 1, 2, 3, 0.5, -1, np.inf, -np.inf)),
        *(
            case(real(2, 3), ord=p, axis=-1, keepdims=True)
            for p in (0, 1, 2, 3, 0.5, -1, np.inf, -np.inf, None)
        ),
        *(
            case(box, ord=p, axis=axis, keepdims=axis == (2, 0))
            for p in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
            for axis in ((0, 2), (2, 0))
        ),
        case(np.array([0.0, 1.5, -0.5]), ord=0),
        case(real(3), ord=-2),
        case(real(3), keepdims=True),
    ],
    np.linalg.vector_norm: [case(real(2, 3), keepdims=True, ord=3), case(box, axis=(0, 2))],
    np.linalg.matrix_norm: [case(box, ord=p, keepdims=True) for p in ("nuc", 1, -2, np.inf)],
    np.linalg.cond: [
        *(case(well[1], p=p) for p in (-1, np.inf, -np.inf, "nuc")),
        *(case(well[3], p) for p in (None, 1, -2)),
    ],
}
for f, cases in MORE.items():
    SAMPLES[f] = [*SAMPLES[f], *cases]

OLDER = np.lib.NumpyVersion(np.__version__) < "2.4.0"
"""Whether NumPy lacks some functions and arguments of the samples."""


def is_known(function, case):
    """Whether this version of NumPy takes such a call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", FutureWarning)
        try:
            function(*case.args, **case.kwargs)
        except (TypeError, FutureWarning):
            return False
    return True


if OLDER:
    SAMPLES.pop(None, None)
    SAMPLES = {f: [c for c in cases if is_known(f, c)] for f, cases in SAMPLES.items()}

assert accumulations and contractions
