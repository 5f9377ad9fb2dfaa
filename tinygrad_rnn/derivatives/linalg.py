"""Linear algebra. The last two axes are those of the matrices; all others are stacks.

Formulas: M. Giles, "An extended collection of matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008); the pseudoinverse: Golub and Pereyra (1973); Cholesky:
I. Murray (2016); the singular value decomposition: J. Townsend (2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_rnn.derivatives.several import Several, parts, several
from tinygrad_rnn.derivatives.shapes import as_array
from tinygrad_rnn.engine.graph import Array
from tinygrad_rnn.engine.table import certain, composed, constant, convention, derivative, plain


def _named_tuple(function: Callable[..., Any]) -> Any:
    """The type of a function's result."""
    return type(function(np.eye(1)))


EighResult, QRResult = _named_tuple(np.linalg.eigh), _named_tuple(np.linalg.qr)
SVDResult, SlogdetResult = _named_tuple(np.linalg.svd), _named_tuple(np.linalg.slogdet)


def T(x: Array) -> Array:
    """The transposed matrices."""
    return np.swapaxes(x, -1, -2)


def _times_identity(x: Array) -> Array:
    """(..., n) → the diagonal matrices (..., n, n)."""
    return x[..., None] * np.eye(x.shape[-1], dtype=x.dtype)


def _of_matrix(x: Array) -> Array:
    """(...) → (..., 1, 1), one factor for each matrix."""
    return x[..., None, None]


# Inverses and equations -------------------------------------------------------------------------
derivative(np.linalg.inv, lambda g, y: -T(y) @ g @ T(y))


def _solve_matrices(a: Array, b: Array) -> Array:
    return np.linalg.solve(a, b)


solve: Callable[[Array, Array], Array] = derivative(
    _solve_matrices,
    lambda g, y, a: -solve(T(a), g) @ T(y),
    lambda g, a: solve(T(a), g),
)
composed(
    np.linalg.solve,
    lambda a, b: solve(a, as_array(b)[:, None])[..., 0] if np.ndim(b) == 1 else solve(a, b),
)


def _pinv(g: Array, y: Array, a: Array, rcond: Any, hermitian: bool, rtol: Any) -> Array:
    cut = rcond if rtol is None else rtol
    negligible = np.sqrt(np.finfo(a.dtype).eps)
    if cut is not None and np.max(cut) > negligible:
        s = np.linalg.svd(plain(a), compute_uv=False)
        largest = np.max(s, axis=-1, keepdims=True, initial=0)
        left_out = s <= np.asarray(cut)[..., None] * largest
        if certain(np.any(left_out & (s > negligible * largest))):
            raise ValueError(
                f"a pseudoinverse that leaves out singular values other than 0 has no derivative "
                f"here: pass a smaller tolerance than {cut}"
            )
    return (
        -T(y) @ g @ T(y)
        + (T(g) - a @ (y @ T(g))) @ (y @ T(y))
        + (T(y) @ y) @ (T(g) - (T(g) @ y) @ a)
    )


derivative(np.linalg.pinv, _pinv)
convention("the rank is held constant", np.linalg.pinv, np.linalg.lstsq)


def _lstsq(a: Array, b: Array, rcond: float | None = None) -> tuple[Any, ...]:
    _, _, rank, _ = np.linalg.lstsq(plain(a), plain(b), rcond=rcond)
    rows, columns = np.shape(a)
    precision = np.finfo(np.float64).eps  # in which NumPy computes
    cut = max(rows, columns) * precision if rcond is None else rcond
    x = np.linalg.pinv(a, rcond=cut if 0 < cut < 1 else precision / 2) @ b  # as LAPACK has it
    residuals = np.sum(np.square(b - a @ x), axis=0, keepdims=np.ndim(b) == 1)
    full = rank == columns and rows > columns
    return x, residuals if full else np.zeros(0, x.dtype), rank, np.linalg.svd(a, compute_uv=False)


def _tensorinv(a: Array, ind: int = 2) -> Array:
    if ind < 1:
        raise ValueError(f"ind must be at least 1, not {ind}")
    first, last = np.shape(a)[:ind], np.shape(a)[ind:]
    return np.reshape(np.linalg.inv(np.reshape(a, (math.prod(first), -1))), last + first)


def _tensorsolve(a: Array, b: Array, axes: Any = None) -> Array:
    if axes is not None:
        moved = [int(axis) % np.ndim(a) for axis in axes]
        a = np.transpose(a, [i for i in range(np.ndim(a)) if i not in moved] + moved)
    shape = np.shape(a)[np.ndim(b) :]
    flat = np.reshape(a, (math.prod(np.shape(b)), -1))
    return np.reshape(np.linalg.solve(flat, np.reshape(b, (-1,))), shape)


composed(np.linalg.lstsq, _lstsq)
composed(np.linalg.tensorinv, _tensorinv)
composed(np.linalg.tensorsolve, _tensorsolve)


# Determinants -----------------------------------------------------------------------------------
def _cofactors(a: Array) -> Array:
    """∂ det a / ∂a, which exists for singular matrices too."""
    n = a.shape[-1]
    if n == 0 or certain(np.all(np.linalg.cond(plain(a)) < 1e8)):
        return _of_matrix(np.linalg.det(a)) * T(np.linalg.inv(a))
    rest = [np.delete(np.arange(n), i) for i in range(n)]

    def minor(i: int, j: int) -> Array:
        return (-1) ** (i + j) * np.linalg.det(a[..., rest[i][:, None], rest[j]])

    rows = [np.stack([minor(i, j) for j in range(n)], axis=-1) for i in range(n)]
    return np.stack(rows, axis=-2)


def _log_abs_det(a: Array) -> Array:
    return np.linalg.slogdet(a)[1]


derivative(np.linalg.det, lambda g, a: _of_matrix(g) * _cofactors(a))
log_abs_det = derivative(_log_abs_det, lambda g, a: _of_matrix(g) * T(np.linalg.inv(a)))
composed(
    np.linalg.slogdet,
    lambda a: SlogdetResult(np.linalg.slogdet(plain(a))[0], log_abs_det(a)),
)


# Decompositions ---------------------------------------------------------------------------------
def _half(x: Array) -> Array:
    """The lower triangle, with half of the diagonal."""
    return np.tril(x) - 0.5 * x * np.eye(x.shape[-1], dtype=x.dtype)


def _lower(a: Array) -> Array:
    return np.linalg.cholesky(a)


def _cholesky(g: Array, y: Array) -> Array:
    inner = _half(T(y) @ np.tril(g))
    whole = solve(T(y), T(solve(T(y), T(inner))))
    return (whole + T(whole)) / 2


cholesky = derivative(_lower, _cholesky)
composed(np.linalg.cholesky, lambda a, upper=False: T(cholesky(a)) if upper else cholesky(a))


def _reciprocal_gaps(x: Array, vectors: str) -> Array:
    """1 / (x_j − x_i), and 0 on the diagonal."""
    one = np.eye(x.shape[-1], dtype=x.dtype)
    gaps = x[..., None, :] - x[..., :, None]
    apart = np.where(one == 0, np.abs(plain(gaps)), np.inf)
    size = _of_matrix(np.max(np.abs(plain(x)), axis=-1, initial=0))
    if np.any(apart <= 4 * np.finfo(x.dtype).eps * size):
        raise ValueError(
            f"{vectors} are differentiable where their values are distinct, but here some are "
            f"equal: {plain(x)}"
        )
    return (1 - one) / (gaps + one)


def _refuse_low_rank(x: Array, factors: str) -> None:
    size = np.abs(plain(x))
    smallest = 4 * x.shape[-1] * np.finfo(x.dtype).eps * np.max(size, initial=0, axis=-1)
    if np.any(size <= smallest[..., None]):
        raise ValueError(
            f"{factors} are differentiable only where the matrix has full rank, and this one "
            f"does not"
        )


def _eigh(a: Array, UPLO: Any = "L") -> Several:
    return several(np.linalg.eigh(a, UPLO))


def _eigh_pullback(g: Several, y: Any, UPLO: str) -> Array:
    g_values, g_vectors = g.first(2)
    values, vectors = parts(y)
    inner = 0 if g_values is None else _times_identity(g_values)
    if g_vectors is not None:
        inner = inner + (T(vectors) @ g_vectors) * _reciprocal_gaps(values, "eigenvectors")
    return vectors @ inner @ T(vectors)


eigh = derivative(_eigh, _eigh_pullback)
composed(np.linalg.eigh, lambda a, UPLO="L": EighResult(*parts(eigh(a, UPLO))))
composed(np.linalg.eigvalsh, lambda a, UPLO="L": parts(eigh(a, UPLO))[0])
convention(
    "the matrix counts as symmetric: the gradient is by both triangles at once",
    *(np.linalg.cholesky, np.linalg.eigh, np.linalg.eigvalsh),
)


def _thin_svd(a: Array, full: bool = False) -> Several:
    u, s, vh = np.linalg.svd(a, full_matrices=full)
    return several((u[..., :, : s.shape[-1]], s, vh[..., : s.shape[-1], :]))


def _thin_svd_pullback(g: Several, y: Any, full: bool) -> Array:
    g_u, g_s, g_vh = g.first(3)
    u, s, vh = parts(y)
    inner = 0 if g_s is None else _times_identity(g_s)
    outer = 0
    if g_u is not None or g_vh is not None:
        gaps = _reciprocal_gaps(s * s, "singular vectors")
        if u.shape[-2] != vh.shape[-1]:
            _refuse_low_rank(s, "singular vectors")
    if g_u is not None:
        turn = T(u) @ g_u
        inner = inner + ((turn - T(turn)) * gaps) * s[..., None, :]
        if u.shape[-2] > u.shape[-1]:
            outer = outer + ((g_u - u @ turn) / s[..., None, :]) @ vh
    if g_vh is not None:
        turn = vh @ T(g_vh)
        inner = inner + s[..., :, None] * ((turn - T(turn)) * gaps)
        if vh.shape[-1] > vh.shape[-2]:
            outer = outer + (u / s[..., None, :]) @ (g_vh - T(turn) @ vh)
    return u @ inner @ vh + outer


_thin_svd.__name__ = "svd"
thin_svd = derivative(_thin_svd, _thin_svd_pullback)


def _completing(a: Array, n: int) -> Array:
    """The rows that complete the n-th result of the decomposition to a square matrix."""
    u, s, vh = np.linalg.svd(a)
    return (T(u) if n == 0 else vh)[..., s.shape[-1] :, :]


def _refuse_completing(g: Array, shape_of_a: tuple[int, ...], n: int) -> Array:
    if np.any(plain(g)):
        raise TypeError(
            "the vectors that np.linalg.svd adds to make its factors square have no derivative; "
            "pass full_matrices=False"
        )
    return np.zeros(shape_of_a, g.dtype)


completing = derivative(_completing, _refuse_completing)


def _svd(
    a: Array, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    rows, columns = np.shape(a)[-2:]
    full = full_matrices and compute_uv and rows != columns
    u, s, vh = parts(thin_svd(a, full))
    if full and rows > columns:
        u = np.concatenate([u, T(completing(a, 0))], axis=-1)
    if full and rows < columns:
        vh = np.concatenate([vh, completing(a, 2)], axis=-2)
    return SVDResult(u, s, vh) if compute_uv else s


composed(np.linalg.svd, _svd)
composed(np.linalg.svdvals, lambda x: parts(thin_svd(x))[1])


def _thin_qr(a: Array) -> Several:
    return several(np.linalg.qr(a))


def _thin_qr_pullback(g: Several, y: Any) -> Array:
    g_q, g_r = g.first(2)
    q, r = parts(y)
    lower = 0
    if g_r is not None:
        lower = lower + r @ T(np.triu(g_r))
    if g_q is not None:
        lower = lower - T(g_q) @ q
    _refuse_low_rank(np.diagonal(r, axis1=-2, axis2=-1), "orthogonal factors")
    symmetric = _half(lower)
    total = q @ (symmetric + T(symmetric))
    return T(solve(r, T(total if g_q is None else total + g_q)))


_thin_qr.__name__ = "qr"
thin_qr = derivative(_thin_qr, _thin_qr_pullback)


def _qr(a: Array, mode: str = "reduced") -> Any:
    rows, columns = np.shape(a)[-2:]
    if mode not in ("reduced", "r") and not (mode == "complete" and rows <= columns):
        raise TypeError(
            f"np.linalg.qr with mode={mode!r} of the shape {np.shape(a)} has no derivative; "
            f"pass mode='reduced' or 'r'"
        )
    q, r = parts(thin_qr(a[..., : min(rows, columns)]))
    if rows < columns:  # the other columns are only rotated
        r = np.concatenate([r, T(q) @ a[..., rows:]], axis=-1)
    return r if mode == "r" else QRResult(q, r)


composed(np.linalg.qr, _qr)


constant(np.linalg.matrix_rank)
