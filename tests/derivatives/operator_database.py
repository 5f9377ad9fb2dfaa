"""PyTorch's own database of operators, run through plain NumPy calls.

    python -m tests.derivatives.operator_database

Every float64 sample of an operator that NumPy has too is evaluated by both, and the gradients of
one random projection of the results are compared: right, refused (with a sentence) or wrong.
"""

import collections
import contextlib
import sys
import types
import unittest
import warnings

import numpy as np

import tinygrad_rnn as tg

A = np.asarray


def dims(dim):
    return tuple(dim) if isinstance(dim, list | tuple) else dim


def reduction(f, **fixed):
    def call(x, dim=None, keepdim=False, **options):
        dim = None if dim == () or dim == [] else dims(dim)
        if np.ndim(x) == 0:
            dim = None
        return f(x, axis=dim, keepdims=keepdim, **fixed, **options)

    return call


def variance(f):
    def call(x, dim=None, unbiased=True, keepdim=False, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = int(unbiased) if correction is None else correction
        dim = None if dim is None or np.ndim(x) == 0 or dim in ((), []) else dims(dim)
        return f(x, axis=dim, ddof=ddof, keepdims=keepdim)

    return call


def scaled(f, sign):
    return lambda x, other, alpha=1: f(x, other if alpha == 1 else alpha * other)


def axis_of(f):
    return lambda x, dim: f(x, axis=dim if np.ndim(x) else None)


def quantile(f):
    def call(x, q, dim=None, keepdim=False, interpolation="linear"):
        dim = dim if np.ndim(x) else None
        return f(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return call


def norm(x, p="fro", dim=None, keepdim=False):
    if p in ("fro", "nuc") or p is None:
        axes = dims(dim)
        if p != "nuc" and (axes is None or isinstance(axes, int) or len(axes) != 2):
            return np.linalg.vector_norm(x, axis=axes, keepdims=keepdim)
        return np.linalg.norm(x, p, axis=axes if axes is not None else (0, 1), keepdims=keepdim)
    return np.linalg.vector_norm(x, ord=p, axis=dims(dim), keepdims=keepdim)


def linalg_norm(x, ord=None, dim=None, keepdim=False):  # noqa: A002
    return np.linalg.norm(x, ord, axis=dims(dim), keepdims=keepdim)


def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False):  # noqa: A002
    return np.linalg.norm(x, ord, axis=dims(dim), keepdims=keepdim)


def vector_norm(x, ord=2, dim=None, keepdim=False):  # noqa: A002
    return np.linalg.vector_norm(x, ord=ord, axis=dims(dim), keepdims=keepdim)


def sort(x, dim=-1, descending=False, stable=None):
    y = np.sort(x, axis=dim if np.ndim(x) else None)
    return np.flip(y, dim if np.ndim(y) > 0 and np.ndim(x) else None) if descending else y


def extreme(f, binary):
    def call(x, dim=None, keepdim=False, other=None):
        if hasattr(dim, "ndim") or other is not None:
            return binary(x, dim if other is None else other)
        return f(x, axis=dim if np.ndim(x) else None, keepdims=keepdim)

    return call


def svd(x, some=True, compute_uv=True):
    if not compute_uv:
        raise SKIP
    return linalg_svd(x, not some)


def linalg_svd(x, full_matrices=True):
    u, s, vh = np.linalg.svd(x, full_matrices=full_matrices)
    k = s.shape[-1]
    return np.abs(u[..., :k]), s, np.abs(vh[..., :k, :])


def qr(x, mode="reduced"):
    q = np.linalg.qr(x, mode=mode)
    return q if mode == "r" else tuple(q)


def torch_qr(x, some=True):
    return tuple(np.linalg.qr(x, mode="reduced" if some else "complete"))


def eigh(x, UPLO="L"):
    values, vectors = np.linalg.eigh(x, UPLO)
    return values, np.abs(vectors)


def clip(x, min=None, max=None):  # noqa: A002
    return np.clip(x, min, max)


def divide(x, other, rounding_mode=None):
    if rounding_mode is None:
        return np.true_divide(x, other)
    return (np.floor if rounding_mode == "floor" else np.trunc)(np.true_divide(x, other))


def tensordot(a, b, dims=2):
    return np.tensordot(a, b, axes=dims)


def split(x, size, dim=0):
    n = x.shape[dim]
    ends = np.cumsum(size)[:-1] if isinstance(size, list | tuple) else np.arange(size, n, size)
    return np.split(x, ends, axis=dim)


def diag_embed(x, offset=0, dim1=-2, dim2=-1):
    raise SKIP


def expand(x, *shape):
    shape = shape[0] if isinstance(shape[0], list | tuple) else shape
    new = [x.shape[i - len(shape)] if n == -1 else n for i, n in enumerate(shape)]
    return np.broadcast_to(x, tuple(new))


def permute(x, *order):
    return np.transpose(x, order[0] if isinstance(order[0], list | tuple) else order)


def transpose(x, a, b):
    return np.swapaxes(x, a, b) if np.ndim(x) else x


def flip(x, *axes, dims=()):
    axes = axes or tuple(dims)
    axes = axes[0] if axes and isinstance(axes[0], list | tuple) else axes
    return np.flip(x, tuple(axes)) if len(axes) else np.copy(x)


def roll(x, shifts, dims=None):
    return np.roll(x, shifts, dims if dims not in ((), []) else None)


def squeeze(x, dim=None):
    if dim is None:
        return np.squeeze(x)
    axes = [d for d in np.atleast_1d(dim).tolist() if np.ndim(x) and x.shape[d] == 1]
    return np.squeeze(x, axis=tuple(axes))


def shaped(x, *shape):
    shape = shape[0] if isinstance(shape[0], list | tuple) else shape
    return np.reshape(x, tuple(shape))


def repeat(x, *counts):
    counts = counts[0] if isinstance(counts[0], list | tuple) else counts
    return np.tile(x, tuple(counts))


def repeat_interleave(x, repeats, dim=None, output_size=None):
    return np.repeat(x, repeats, axis=dim)


def flatten(x, start_dim=0, end_dim=-1):
    if np.ndim(x) == 0:
        return np.ravel(x)
    start, end = start_dim % x.ndim, end_dim % x.ndim
    return np.reshape(x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


def chunk(x, parts, dim=0):
    size = -(-x.shape[dim] // parts)
    return np.split(x, np.arange(size, x.shape[dim], size), axis=dim)


def narrow(x, dim, start, length):
    return np.take(x, np.arange(int(start), int(start) + length), axis=dim)


def block_diag(*blocks):
    blocks = [np.atleast_2d(b) for b in blocks]
    zeros = [[np.zeros((a.shape[0], b.shape[1])) for b in blocks] for a in blocks]
    return np.block([[a if i == j else zeros[i][j] for j in range(len(blocks))]
                     for i, a in enumerate(blocks)])  # fmt: skip


def tensor_split(x, parts, dim=0):
    return np.array_split(x, parts if isinstance(parts, int) else list(np.ravel(parts)), axis=dim)


def index_select(x, dim, index):
    return np.take(x, index, axis=dim) if np.ndim(x) else x


def gather(x, dim, index):
    if np.ndim(x) == 0 or any(
        a != b
        for i, (a, b) in enumerate(zip(index.shape, x.shape, strict=True))
        if i != dim % x.ndim
    ):
        raise SKIP
    return np.take_along_axis(x, index, dim)


def take(x, index):
    return np.take(np.ravel(x), index)


def masked_fill(x, mask, value):
    return np.where(mask, value, x)


def masked_select(x, mask):
    x, mask = np.broadcast_arrays(x, mask)
    return x[A(mask)]


def diff(x, n=1, dim=-1, prepend=None, append=None):
    extra = {k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    return np.diff(x, n=n, axis=dim, **extra)


def trapezoid(y, x=None, dim=-1, dx=1.0):
    return np.trapezoid(y, x, dx=dx, axis=dim)


def cov(x, correction=1, fweights=None, aweights=None):
    return np.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


def gradient(x, spacing=None, dim=None, edge_order=1):
    spacing = [] if spacing is None else spacing
    spacing = list(spacing) if isinstance(spacing, list | tuple) else [spacing]
    y = np.gradient(x, *spacing, axis=dims(dim), edge_order=edge_order)
    return list(y) if isinstance(y, list | tuple) else [y]


def meshgrid(*x, indexing="ij"):
    x = x[0] if isinstance(x[0], list | tuple) else x
    return np.meshgrid(*x, indexing=indexing)


def einsum(equation, *operands):
    return np.einsum(equation, *operands)


def solve(a, b, left=True):
    if not left:
        raise SKIP
    vector = b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]
    return np.linalg.solve(a, b[..., None])[..., 0] if vector else np.linalg.solve(a, b)


def pinv(x, rtol=None, hermitian=False):
    if np.ndim(rtol) >= 2:  # the samples of low rank: the factors are given
        return np.linalg.pinv(x @ np.swapaxes(rtol, -1, -2))
    options = {} if rtol is None else {"rtol": rtol}
    return np.linalg.pinv(x, hermitian=hermitian, **options)


def pad(x, widths, mode="constant", value=0):
    pairs = [(0, 0)] * (x.ndim - len(widths) // 2)
    pairs += [tuple(widths[i : i + 2]) for i in range(0, len(widths), 2)][::-1]
    if min(map(min, pairs)) < 0:
        raise SKIP
    mode = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    options = {"constant_values": value or 0} if mode == "constant" else {}
    return np.pad(x, pairs, mode=mode, **options)


def logsumexp(x, dim, keepdim=False):
    return np.logaddexp.reduce(x, axis=dims(dim) if np.ndim(x) else None, keepdims=keepdim)


def lerp(x, end, weight):
    return x + weight * (end - x)


def addmm(c, a, b, beta=1, alpha=1):
    return beta * c + alpha * (a @ b)


def atleast(f):
    return lambda *x: f(*(x[0] if isinstance(x[0], list | tuple) else x))


def kthvalue(x, k, dim=-1, keepdim=False):
    if np.ndim(x) == 0:
        return x
    y = np.take(np.partition(x, k - 1, axis=dim), k - 1, axis=dim)
    return np.expand_dims(y, dim) if keepdim else y


def getitem(x, index):
    return x[tuple(index) if isinstance(index, list) else index]


def diagonal(x, offset=0, dim1=0, dim2=1):
    return np.diagonal(x, offset, dim1, dim2)


def cross(a, b, dim=-1):
    return np.linalg.cross(*np.broadcast_arrays(a, b), axis=dim)


def aminmax(x, dim=None, keepdim=False):
    dim = dim if np.ndim(x) else None
    return np.min(x, axis=dim, keepdims=keepdim), np.max(x, axis=dim, keepdims=keepdim)


class SkippedError(Exception):
    """The sample asks for something that the NumPy function does not have."""


SKIP = SkippedError()

ELEMENTWISE = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan",
    "atan2": "arctan2", "atanh": "arctanh", "neg": "negative", "mul": "multiply", "clone": "copy",
    "true_divide": "true_divide", "conj": "conjugate", "conj_physical": "conjugate", "sgn": "sign",
    "pow": "power", "T": "transpose", "t": "transpose", "mT": "matrix_transpose", "mm": "matmul",
    "bmm": "matmul", "mv": "matmul", "cat": "concatenate", "movedim": "moveaxis",
    "take_along_dim": "take_along_axis",
}  # fmt: skip
SAME = """
abs positive copysign cos cosh deg2rad exp exp2 expm1 fmax fmin fmod remainder floor ceil trunc
fliplr flipud i0 log log10 log1p log2 ldexp logaddexp logaddexp2 matmul maximum minimum
nextafter rad2deg real reciprocal rot90 sign sin sinc sinh sqrt square tan tanh float_power
hypot nan_to_num ravel dot vdot inner outer kron column_stack trace round diagflat where
""".split()  # noqa: SIM905

CALLS = {
    **{name: getattr(np, name) for name in SAME},
    **{name: getattr(np, other) for name, other in ELEMENTWISE.items()},
    "add": scaled(np.add, 1),
    "sub": scaled(np.subtract, -1),
    "rsub": lambda x, other, alpha=1: other - alpha * x,
    "__radd__": lambda x, other: other + x,
    "__rmul__": lambda x, other: other * x,
    "__rsub__": lambda x, other: other - x,
    "__rdiv__": lambda x, other: other / x,
    "__rmod__": lambda x, other: other % x,
    "__rpow__": lambda x, other: other**x,
    "__rmatmul__": lambda x, other: other @ x,
    "__getitem__": getitem,
    "addmm": addmm, "addmv": addmm,
    "addr": lambda c, a, b, beta=1, alpha=1: beta * c + alpha * np.outer(a, b),
    "baddbmm": addmm,
    "addcmul": lambda x, a, b, value=1: x + value * a * b,
    "addcdiv": lambda x, a, b, value=1: x + value * a / b,
    "broadcast_to": lambda x, shape: np.broadcast_to(x, tuple(shape)),
    "broadcast_tensors": lambda *x: np.broadcast_arrays(*x),
    "clamp": clip,
    "clamp_max": np.minimum, "clamp_min": np.maximum,
    "contiguous": np.copy,
    "chunk": chunk,
    "block_diag": block_diag,
    "corrcoef": np.corrcoef,
    "cummax": axis_of(np.maximum.accumulate),
    "cummin": axis_of(np.minimum.accumulate),
    "logcumsumexp": lambda x, dim: np.logaddexp.accumulate(x, axis=dim) if np.ndim(x) else x,
    "frexp": lambda x: np.frexp(x)[0],
    "linalg.lstsq": lambda a, b, driver=None: np.linalg.lstsq(a, b)[0],
    "narrow": narrow,
    "cov": cov,
    "cross": cross, "linalg.cross": cross,
    "cumsum": axis_of(np.cumsum), "cumprod": axis_of(np.cumprod),
    "diff": diff,
    "div": divide,
    "expand": expand,
    "expand_as": lambda x, y: np.broadcast_to(x, y.shape),
    "diag": lambda x, diagonal=0: np.diag(x, diagonal),
    "diagonal": diagonal,
    "linalg.diagonal": lambda x, offset=0, dim1=-2, dim2=-1: diagonal(x, offset, dim1, dim2),
    "flip": flip,
    "frac": lambda x: np.modf(x)[0],
    "gradient": gradient,
    "kthvalue": kthvalue,
    "masked_fill": masked_fill, "masked_select": masked_select,
    "max": extreme(np.max, np.maximum), "min": extreme(np.min, np.minimum),
    "amax": reduction(np.max), "amin": reduction(np.min), "aminmax": aminmax,
    "mean": reduction(np.mean), "nanmean": reduction(np.nanmean),
    "sum": reduction(np.sum), "nansum": reduction(np.nansum), "prod": reduction(np.prod),
    "std": variance(np.std), "var": variance(np.var),
    "quantile": quantile(np.quantile), "nanquantile": quantile(np.nanquantile),
    "meshgrid": meshgrid,
    "nn.functional.pad": pad, "constant_pad_nd": lambda x, w, value=0: pad(x, w, value=value),
    "nn.functional.relu": lambda x: np.maximum(x, 0),
    "norm": norm, "dist": lambda a, b, p=2: np.linalg.vector_norm(a - b, ord=p),
    "permute": permute,
    "qr": torch_qr, "linalg.qr": qr,
    "roll": roll,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "select": lambda x, dim, index: np.take(x, index, axis=dim),
    "split": split, "split_with_sizes": split,
    "tensor_split": tensor_split,
    "hsplit": np.hsplit, "vsplit": np.vsplit, "dsplit": np.dsplit,
    "lerp": lerp,
    "einsum": einsum,
    "svd": svd, "linalg.svd": linalg_svd,
    "linalg.svdvals": lambda x: np.linalg.svd(x, compute_uv=False),
    "reshape": shaped, "view": shaped,
    "reshape_as": lambda x, y: np.reshape(x, y.shape),
    "view_as": lambda x, y: np.reshape(x, y.shape),
    "atleast_1d": atleast(np.atleast_1d), "atleast_2d": atleast(np.atleast_2d),
    "atleast_3d": atleast(np.atleast_3d),
    "flatten": flatten,
    "pinverse": lambda x, rcond=1e-15: np.linalg.pinv(x),
    "linalg.pinv": pinv,
    "gather": gather, "index_select": index_select, "take": take,
    "sort": sort, "msort": lambda x: np.sort(x, axis=0),
    "stack": lambda x, dim=0: np.stack(x, axis=dim),
    "cat": lambda x, dim=0: np.concatenate(x, axis=dim),
    "hstack": np.hstack, "vstack": np.vstack, "dstack": np.dstack,
    "unbind": lambda x, dim=0: np.unstack(x, axis=dim),
    "movedim": np.moveaxis,
    "repeat": repeat, "tile": repeat, "repeat_interleave": repeat_interleave,
    "squeeze": squeeze, "unsqueeze": lambda x, dim: np.expand_dims(x, dim),
    "trapz": trapezoid, "trapezoid": trapezoid,
    "logsumexp": logsumexp,
    "transpose": transpose, "tril": lambda x, diagonal=0: np.tril(x, diagonal),
    "triu": lambda x, diagonal=0: np.triu(x, diagonal),
    "tensordot": tensordot,
    "logdet": lambda x: np.linalg.slogdet(x)[1],
    "take_along_dim": lambda x, index, dim=None: np.take_along_axis(x, index, axis=dim),
    "fft.fftshift": lambda x, dim=None: np.fft.fftshift(x, dim),
    "fft.ifftshift": lambda x, dim=None: np.fft.ifftshift(x, dim),
    "linalg.det": np.linalg.det, "linalg.slogdet": np.linalg.slogdet, "linalg.inv": np.linalg.inv,
    "linalg.cholesky": lambda x, upper=False: np.linalg.cholesky(x, upper=upper),
    "cholesky": lambda x, upper=False: np.linalg.cholesky(x, upper=upper),
    "linalg.vecdot": lambda x, y, dim=-1: np.linalg.vecdot(*np.broadcast_arrays(x, y), axis=dim),
    "linalg.cond": lambda x, p=None: np.linalg.cond(x, p),
    "linalg.eigh": eigh, "linalg.eigvalsh": np.linalg.eigvalsh,
    "linalg.matrix_power": np.linalg.matrix_power,
    "linalg.multi_dot": np.linalg.multi_dot,
    "linalg.norm": linalg_norm, "linalg.matrix_norm": matrix_norm,
    "linalg.vector_norm": vector_norm,
    "linalg.vander": lambda x, N=None: np.vander(x, N, increasing=True),
    "linalg.solve": solve,
    "linalg.tensorinv": np.linalg.tensorinv,
    "linalg.tensorsolve": lambda a, b, dims=None: np.linalg.tensorsolve(a, b, axes=dims),
}  # fmt: skip

# The results whose sign or phase is not determined are compared without it, on both sides.
FIRST_RESULT = {"max", "min", "kthvalue", "sort", "cummax", "cummin", "frexp", "linalg.lstsq"}
WITHOUT_SIGN = {"svd", "linalg.svd", "linalg.eigh"}
SYMMETRIC = {"linalg.eigh", "linalg.eigvalsh", "linalg.cholesky", "cholesky"}


def converted(tree, leaf):
    if isinstance(tree, list | tuple):
        return type(tree)([converted(branch, leaf) for branch in tree])
    if isinstance(tree, dict):
        return {key: converted(branch, leaf) for key, branch in tree.items()}
    return leaf(tree)


def flat(tree):
    if isinstance(tree, list | tuple):
        return [leaf for branch in tree for leaf in flat(branch)]
    return [tree]


def plain(leaf):
    return leaf.data if isinstance(leaf, tg.Tensor) else leaf


def compare(torch, op, sample, rng):
    """ "right", "refused", "wrong" or "skipped", and what there is to say about it."""
    name = op.name
    call = CALLS[name]
    tensors, inputs = [], []

    def leaf(value):
        if value is torch.strided or isinstance(value, torch.dtype):
            raise SKIP
        if not isinstance(value, torch.Tensor):
            return value
        array = value.detach().numpy().copy()
        if not value.requires_grad:
            return array
        tensors.append(value)
        inputs.append(tg.Tensor(array, requires_grad=True))
        return inputs[-1]

    try:
        args = converted([sample.input, *sample.args], leaf)
        kwargs = converted(sample.kwargs, leaf)
        if name == "where":
            args = [args[1], args[0], *args[2:]]
        if name == "einsum":
            args = [args[1], *args[0]]
        expected = op.op(sample.input, *sample.args, **sample.kwargs)
        if name in FIRST_RESULT and not isinstance(expected, torch.Tensor):
            expected = expected[0]
        expected = flat(expected)
        if name == "svd":
            expected[2] = expected[2].mT
        if name in ("svd", "linalg.svd"):
            k = expected[1].shape[-1]
            expected = [expected[0][..., :k], expected[1], expected[2][..., :k, :]]
        if name in WITHOUT_SIGN:
            expected = [e.abs() for e in expected]
        if any(not e.is_floating_point() for e in expected):
            raise SKIP
    except SkippedError:
        return "skipped", "no such call in NumPy"
    weights = [rng.uniform(0.5, 1.5, tuple(e.shape)) for e in expected]
    total = sum((torch.tensor(w) * e).sum() for w, e in zip(weights, expected, strict=True))
    if not tensors or not total.requires_grad:
        return "skipped", "nothing to differentiate"
    try:
        theirs = torch.autograd.grad(total, tensors, allow_unused=True)
    except RuntimeError as error:
        return "skipped", f"torch: {str(error)[:60]}"
    try:
        numpys = flat(call(*converted(args, plain), **converted(kwargs, plain)))
    except Exception as error:  # whatever NumPy itself does not take
        return "skipped", f"NumPy: {error}"
    try:
        results = call(*args, **kwargs)
        results = flat(results)
    except SkippedError:
        return "skipped", "no such call in NumPy"
    except (TypeError, ValueError, np.linalg.LinAlgError, IndexError, AttributeError) as error:
        return "refused", f"{type(error).__name__}: {error}"
    if [np.shape(plain(r)) for r in results] != [tuple(e.shape) for e in expected]:
        return "skipped", "NumPy gives other shapes"
    for result, value, e in zip(results, numpys, expected, strict=True):
        if not np.allclose(plain(result), value, rtol=1e-12, atol=1e-12, equal_nan=True):
            return "wrong", f"the value {plain(result)!r} and not {value!r}"
        if not np.allclose(plain(result), e.detach().numpy(), rtol=1e-6, atol=1e-9, equal_nan=True):
            return "skipped", "NumPy gives other values"
    ours_total = sum(np.sum(w * r) for w, r in zip(weights, results, strict=True))
    if not isinstance(ours_total, tg.Tensor) or not ours_total.requires_grad:
        ours = [np.zeros(t.shape) for t in inputs]
    else:
        try:
            ours = tg.gradients(ours_total, inputs)
        except (TypeError, ValueError, np.linalg.LinAlgError) as error:
            return "refused", f"{type(error).__name__}: {error}"
    for mine, other, x in zip(ours, theirs, inputs, strict=True):
        other = np.zeros(x.shape) if other is None else other.numpy(force=True)
        if name in SYMMETRIC:
            mine, other = (m + np.swapaxes(m, -1, -2) for m in (mine, other))
        rtol, atol = (1e-6, 1e-8) if x.dtype == np.float64 else (1e-4, 1e-4)
        if not np.allclose(mine, other, rtol=rtol, atol=atol, equal_nan=True):
            return "wrong", f"{mine!r} and not {other!r} at {x.data!r}"
    return "right", ""


def run(report=lambda *line: None):
    """Count the samples that come out right, refused, wrong and skipped."""
    import torch

    # PyTorch's testing tools derive their test cases from this package; the database needs none.
    with contextlib.suppress(ImportError):
        pass
    sys.modules.setdefault("expecttest", types.SimpleNamespace(TestCase=unittest.TestCase))
    from torch.testing._internal.common_methods_invocations import op_db

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    counts = collections.Counter()
    for op in op_db:
        if op.name not in CALLS or not op.supports_autograd:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for n, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=True)):
                outcome, why = compare(torch, op, sample, rng)
                counts[outcome] += 1
                report(outcome, f"{op.name}:{op.variant_test_name}[{n}]", why, sample)
    return counts


if __name__ == "__main__":
    verbose = sys.argv[1:]
    print(run(lambda o, where, why, s: o in verbose and print(o, where, why, s.args, s.kwargs)))
