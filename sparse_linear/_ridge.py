"""Closed-form solutions of the quadratic problem: no l1 penalty, no bounds.

With ``D = lambda diag(l2)`` the minimiser solves ``(Z^T Z + D) v = Z^T y``.  Columns without a penalty are
eliminated exactly and the others divided by ``sqrt(l2)``, which leaves the *standard form*

    minimise  |t - A u|^2 + lambda |u|^2.

One factorisation of ``A^T A`` or ``A A^T``, whichever is smaller, then answers every target, and one
eigendecomposition every lambda (`graded`, from the data, where the matrix has lost the smallest eigenvalues):

``Primal``      ``A^T A``, from `Moments` or from columns, for tall data;
``Dual``        ``A A^T``, for wide data;
``Conjugate``, ``DualConjugate``
                the same by conjugate gradients, for large sparse data, with the centring implicit.

Their `refined` solves for some targets and lambdas, and corrects the solutions until the gradient, computed
anew from the data each time, vanishes: so the error is that of the data (cond(X) eps), not that of the normal
equations (cond(X)^2 eps) (Björck 1987, on the corrected seminormal equations). Where the
normal equations have lost the answer, or nothing is penalised, there remain

``qr``          an orthogonal factorisation of Z and D^(1/2), that of tall Z a few rows at a time;
``svd``         singular values of Z;
``lsmr``        Krylov iterations (Fong and Saunders 2011) on sparse X.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, lsmr

from sparse_linear import _compiled as _kernels
from sparse_linear import _design
from sparse_linear._threads import available, in_order, one_by_one, side_by_side

# Corrections are made until the last one is below this share of the solution, at most REFINEMENTS times.
ACCURATE = 1e-14
REFINEMENTS = 4
# Normal equations with a condition number below this lose no more than a digit: they are not refined on X.
WELL_POSED = 50.0
# Rounding of inner products of unit vectors, accumulated in blocks.
PRODUCT_ERROR = 16.0 * np.finfo(np.float64).eps
# Singular values below this share of the largest are rounding: the columns, of unit length, are dependent.
DEPENDENT = 1e-12
# Below this reciprocal condition number a factor of the normal equations cannot be refined.
SINGULAR = 1e-13
# Penalties below this, for columns of unit length, say little about directions in which these are dependent:
# the coefficients there would be rounding divided by the penalty.
FAINT = 1e-8
# Conjugate gradients stop at this share of the first residual of their equations; corrections, at the second.
REDUCED = (1e-14, 3e-14)
# Dual coefficients are iterated on up to this ratio of the squared size of A to lambda: they may be as many
# times as long as the others, and so is their rounding.
LONG = 1e6
# Conjugate gradients for wide data leave the span of its rows for a unit diagonal from a lambda of this share
# of the mean eigenvalue of A A^T on, if it is between these shares of the square of the largest column.
SHARE_OF_MEAN, TRACE, SMALL_SHARE = 0.1, 1e-3, 0.25
# Threads share a pass over a sparse X with more entries than this.
SHARED = 1 << 19
# Below this share of the largest eigenvalue, the smallest one (with its penalty) has lost half its digits to
# the Gram matrix.
POOR = 1e-8
# From this many lambdas on, an eigendecomposition is cheaper than a Cholesky factor for each.
MANY = 12
# Steps of Lanczos' method for the extreme eigenvalues of a Gram matrix; smaller matrices are diagonalised.
LANCZOS_STEPS = 16
# Gram matrices of up to this many columns (128 kB) are kept by an estimator.
SMALL = 128
# Eigenvalues of a Gram matrix above this share of the largest are no rounding, whatever its diagonal.
INDEPENDENT = 1e-10
# What is below this share of the square of a column is rounding of a Gram matrix.
RANK_TOLERANCE = 1e-14
# Elements of a tile of rows, and pairs of target and lambda, that are in work at a time.
TILE = 1 << 18
PAIRS = 4096


class SingularError(Exception):
    """The normal equations are singular to working precision."""


class SlowError(Exception):
    """Iterations take longer than a factorisation would."""


class Spectrum(NamedTuple):
    """What is known of the singular values of A, the data as a uniform penalty sees them.

    Attributes
    ----------
    largest, smallest : float
        Squares of the largest singular value, and of the smallest one that is not zero.
    rank : int
        Number of singular values that are not zero, and of columns that were eliminated.
    full : bool
        Whether A has as many singular values as columns, so that the penalty is not alone in any direction.
    """

    largest: float
    smallest: float
    rank: int
    full: bool

    def spectrum(self):
        """Itself: nothing is left to be done."""
        return self

    def condition(self, lam=0.0):
        """Condition number of A, or of A with ``lambda^(1/2)`` times the identity below it."""
        if self.largest == 0.0:
            return 1.0
        low = self.smallest if self.full or lam == 0.0 else 0.0
        return float(np.sqrt((self.largest + lam) / (low + lam))) if low + lam != 0.0 else np.inf


UNKNOWN = Spectrum(np.nan, np.nan, -1, True)


# ---------------------------------------------------------------------------------------------
# Symmetric matrices
# ---------------------------------------------------------------------------------------------


class CholeskyInverse:
    """``(M + lambda I)^{-1}`` for one lambda; unknowns are scaled to a unit diagonal first, in place of M."""

    def __init__(self, matrix, lam):
        self.lam = lam
        diagonal = matrix.diagonal() + lam
        if not (diagonal.min(initial=np.inf) > 0.0 and diagonal.max(initial=0.0) < np.inf):
            raise SingularError
        self.scale = 1.0 / np.sqrt(diagonal)
        matrix *= self.scale
        matrix *= self.scale[:, None]
        matrix.flat[:: len(matrix) + 1] = 1.0
        self.factor, self.rcond = _factor(matrix)

    def well_posed(self, lam):
        """Whether the equations lose no digits that matter."""
        return self.rcond * WELL_POSED >= 1.0

    def reciprocal(self, lams):
        """Reciprocal condition number of the matrix, for each of some lambdas (b,), which are all alike."""
        return np.full(len(lams), self.rcond)

    def __call__(self, rows, lams):
        """Solve for right-hand sides (b, k); `lams` are all the one that the factor was made for."""
        if rows.shape[1] == 0:
            return rows
        solved, _ = linalg.lapack.dpotrs(self.factor, (rows * self.scale).T, lower=1)
        return solved.T * self.scale

    def of_vector(self, x):
        """The same for one vector, by vectors: triangles of BLAS do more for one than for some."""
        half = linalg.blas.dtrsv(self.factor, x * self.scale, lower=1)
        return linalg.blas.dtrsv(self.factor, half, lower=1, trans=1) * self.scale


class SupportFactor:
    """Cholesky factors of the Gram matrices of one set of features after another, columns of unit length.

    A factor lists its features in the order in which they came in. It serves the next set up to the first
    feature that has left; only what follows is worked out again.

    Parameters
    ----------
    gram_of : callable
        As `_design.ColumnSource.gram_of`.
    """

    def __init__(self, gram_of):
        self.gram_of = gram_of
        self.features = self.order = np.empty(0, dtype=np.int64)
        self.factor = np.empty((0, 0), order="F")

    def turn_to(self, support):
        """Take another increasing, not empty set of features; raises `SingularError` if nearly dependent."""
        m = len(support)
        places = np.minimum(np.searchsorted(support, self.features), m - 1)
        stay = support[places] == self.features
        k = len(stay) if stay.all() else int(np.argmin(stay))
        fresh = np.ones(m, dtype=bool)
        fresh[places[:k]] = False
        kept, new = self.features[:k], support[fresh]
        factor = np.zeros((m, m), order="F")
        factor[:k, :k] = self.factor[:k, :k]
        if len(new):
            gram = self.gram_of(new, kept)
            half = gram[:k]
            if k:
                half, _ = linalg.lapack.dtrtrs(factor[:k, :k], half, lower=1)
            corner, failed = linalg.lapack.dpotrf(gram[k:] - half.T @ half, lower=1)
            if failed:
                raise SingularError
            factor[k:, :k], factor[k:, k:] = half.T, corner
        # No column of such a Gram matrix has a larger sum than their number.
        rcond, _ = linalg.lapack.dpocon(factor, float(m), uplo="L")
        if not rcond >= SINGULAR:
            raise SingularError
        self.features, self.factor = np.concatenate([kept, new]), factor
        self.order = np.concatenate([places[:k], np.flatnonzero(fresh)])

    def solve(self, corrs):
        """Solution (m,) of the normal equations for correlations (m,)."""
        solution = np.empty(len(corrs))
        solution[self.order], _ = linalg.lapack.dpotrs(self.factor, corrs[self.order], lower=1)
        return solution


class EigenInverse:
    """``(M + lambda I)^{-1}`` for any lambda, on the span of some eigenvectors of M.

    Parameters
    ----------
    values : ndarray of shape (k,)
    vectors : ndarray of shape (m, k)
    exact : bool
        Whether the smallest eigenvalues have their digits, too: see `graded`.
    """

    def __init__(self, values, vectors, exact=False):
        self.values, self.vectors, self.exact = values, vectors, exact
        self.low, self.high = float(values.min(initial=np.inf)), float(values.max(initial=0.0))

    def above(self, share, smallest_lam):
        """Whether no eigenvalue, with its penalty, is below this share of the largest one."""
        return self.low + smallest_lam > share * self.high

    def check(self, smallest_lam, share=SINGULAR):
        """Refuse lambdas with which the matrix is singular to working precision, or to a share of it."""
        if not (self.exact or self.above(share, smallest_lam)):
            raise SingularError

    def well_posed(self, smallest_lam):
        """As `CholeskyInverse.well_posed`, for lambdas from some value on."""
        return not self.exact and self.high + smallest_lam <= WELL_POSED * (self.low + smallest_lam)

    def reciprocal(self, lams):
        """As `CholeskyInverse.reciprocal`, for each of some lambdas (b,)."""
        return (self.low + lams) / (self.high + lams)

    def __call__(self, rows, lams):
        """Solve for right-hand sides (b, k) with a lambda each, (b,)."""
        turned = rows @ self.vectors
        turned /= self.values + lams[:, None]
        return turned @ self.vectors.T


def eigen(matrix):
    """Eigenvalues (not negative) and eigenvectors of a symmetric positive semidefinite matrix.

    By NumPy, since SciPy's wrappers of LAPACK hold the interpreter's lock, for which other folds would wait.
    """
    if not np.isfinite(matrix).all():
        raise SingularError
    with one_by_one(len(matrix)):
        values, vectors = np.linalg.eigh(matrix)
    return np.maximum(values, 0.0), vectors


def graded(rows):
    """`EigenInverse` of ``B^T B`` from B itself, (k, m): its small eigenvalues keep their digits.

    However different the columns are in size, or the rows: Householder's method on sorted rows and with
    pivoted columns keeps both apart (Cox and Higham 1998, BIT 38), and Jacobi's method finds singular values
    of what is left with small relative errors (Drmač and Veselić 2008, SIAM J. Matrix Anal. Appl. 29;
    LAPACK's dgejsv). Takes a copy of B.
    """
    m = rows.shape[1]
    if not np.isfinite(rows).all():
        raise SingularError
    if rows.size == 0:
        return EigenInverse(np.zeros(0), np.zeros((m, 0)), True)
    order = np.argsort(-np.abs(rows).max(axis=1), kind="stable")
    triangle, places = linalg.qr(rows[order], mode="r", pivoting=True, check_finite=False)
    lower = np.asfortranarray(triangle[: min(rows.shape)].T)  # (m, at most m)
    sizes, left, _, scale, _, failed = linalg.lapack.dgejsv(lower, joba=0, jobu=0, jobv=3)
    if failed:
        raise SingularError
    vectors = np.empty_like(left)
    vectors[places] = left
    return EigenInverse(np.square(sizes * (scale[0] / scale[1])), vectors, True)


def _factor(matrix):
    """Cholesky factor of a symmetric matrix of unit diagonal (overwritten); raises if nearly singular.

    Returns its reciprocal condition number, too, in the 1-norm.
    """
    if len(matrix) == 0:
        return matrix, 1.0  # which LAPACK would not take
    norm = np.abs(matrix).sum(axis=0).max()
    with one_by_one(len(matrix)):
        factor, failed = linalg.lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
        if failed or not np.isfinite(norm):
            raise SingularError
        rcond, _ = linalg.lapack.dpocon(factor, norm, uplo="L")
    if not rcond >= SINGULAR:
        raise SingularError
    return factor, rcond


class Conditioning(NamedTuple):
    """What a `Spectrum` is made of.

    A fit keeps it if it is small, and leaves the work, which may take as long as the fit, to whoever asks.
    """

    matrix: np.ndarray  # (m, m) Gram matrix of A
    before: np.ndarray  # (m,) its diagonal before columns without penalty were eliminated
    eliminated: int
    full: bool

    def spectrum(self):
        """`Spectrum` of A."""
        with one_by_one(len(self.matrix)):
            return _spectrum(*self)

    def soon(self):
        """Itself if it is small, else its spectrum."""
        return self if len(self.matrix) <= SMALL else self.spectrum()


def _conditioning(factor, eliminated, full, explained):
    """`Spectrum` of a `Primal` or `Dual`, or what makes one.

    Where the factor at hand shows that no eigenvalue is near zero, it will do, and none with pivots is
    needed. But for those of zero that are known: of `explained` (m, k), which is projected out of the matrix.
    """
    inverse, rank = factor.inverse, len(factor.before) - explained.shape[1]
    if isinstance(inverse, EigenInverse):
        if len(inverse.values) and inverse.low > INDEPENDENT * inverse.high:
            return Spectrum(inverse.high, inverse.low, eliminated + len(inverse.values), full)
    elif isinstance(inverse, CholeskyInverse) and rank > SMALL and inverse.rcond > INDEPENDENT:

        def rest(x):
            return x - explained @ (explained.T @ x)

        solved = _largest_eigenvalue(lambda x: rest(inverse.of_vector(rest(x))), len(factor.before))
        low = float(1.0 / solved - inverse.lam)
        if low > inverse.lam:  # most of its digits are left, and the penalty is not what makes it large
            matrix = factor.matrix()
            high = _largest_eigenvalue(lambda x: matrix @ x, len(matrix))
            return Spectrum(high, low, eliminated + rank, full)
    return Conditioning(factor.matrix(), factor.before, eliminated, full).soon()


def _spectrum(matrix, before, eliminated, full):
    """`Spectrum` of A from its Gram matrix; `before` is the diagonal that it had before the elimination.

    The rank is that of a Cholesky factor with pivots (LAPACK's dpstrf) on columns of unit length: singular
    values below 1e-7 of such columns count as zero, since the Gram matrix holds only their squares. The
    extreme eigenvalues come from `LANCZOS_STEPS` steps of Lanczos' method, usually right to a few per cent.
    """
    square = matrix.diagonal()
    used = np.flatnonzero(square > RANK_TOLERANCE * before)  # of the others, rounding is left
    size = np.sqrt(np.maximum(square, 0.0))
    if len(used) == 0:
        return Spectrum(0.0, 0.0, eliminated, full)
    if len(used) < len(matrix):
        matrix, size = matrix[np.ix_(used, used)], size[used]
    scaled = matrix / size
    scaled /= size[:, None]
    tol = 16.0 * len(used) * np.finfo(np.float64).eps
    factor, pivots, rank, _ = linalg.lapack.dpstrf(scaled.T, tol=tol, lower=1, overwrite_a=1)
    full = full and rank == len(matrix)
    factor *= size[pivots - 1][:, None]
    factor = factor[:, :rank]
    if len(matrix) <= LANCZOS_STEPS:
        values = np.square(linalg.svdvals(np.tril(factor), check_finite=False))
        return Spectrum(float(values[0]), float(values[-1]), eliminated + rank, full)
    largest = _largest_eigenvalue(lambda x: matrix @ x, len(matrix))
    if rank < len(matrix):  # L^T L has the eigenvalues of L L^T that are not zero
        small = linalg.lapack.dlauum(factor[:rank], lower=1)[0]
        small = linalg.blas.dsyrk(1.0, factor[rank:], trans=1, lower=1, beta=1.0, c=small, overwrite_c=1)
        factor = linalg.lapack.dpotrf(small, lower=1, overwrite_a=1)[0]

    def inverse(x):
        half = linalg.blas.dtrsv(factor, x, lower=1)
        return linalg.blas.dtrsv(factor, half, lower=1, trans=1)

    return Spectrum(largest, 1.0 / _largest_eigenvalue(inverse, rank), eliminated + rank, full)


def triangle(design, columns, scale, targets=None):
    """The factor R of ``Z[:, columns] * scale = Q R``, a few rows at a time: memory of some (p, p) matrices.

    It is as good as one of all rows at once (Demmel, Grigori, Hoemmen and Langou 2012, SIAM J. Sci. Comput.
    34). Targets (q, n) are more columns, after the others. Raises `SingularError` where something is not
    finite.
    """
    mean, norm, _ = design.units
    scale = scale / norm[columns]
    width = len(columns) + (0 if targets is None else len(targets))
    found = np.zeros((0, width))
    height = max(4 * width, TILE // max(width, 1))
    for top in range(0, design.n, height):
        rows = slice(top, top + height)
        some = design.X[rows][:, columns]
        some = (some.toarray() if sparse.issparse(some) else some) - mean[columns]
        some *= scale
        some *= design.root[rows, None]
        some[design.root[rows] == 0.0] = 0.0  # which may hold anything
        stacked = np.vstack([found, some if targets is None else np.hstack([some, targets[:, rows].T])])
        if not np.isfinite(stacked).all():
            raise SingularError
        found = linalg.qr(stacked, mode="r", overwrite_a=True, check_finite=False)[0][:width]
    return found


def compressed(design, targets):
    """Columns of dense Z (p, m) and targets (q, m); of tall data, in as few rows as there are of both.

    Rows are turned by an orthogonal matrix, which changes no inner product.
    """
    every = np.arange(design.p)
    if design.n <= 2 * (design.p + len(targets)):
        return design.take(every), targets
    found = triangle(design, every, np.ones(design.p), targets).T
    return found[: design.p], found[design.p :]


def exact_spectrum(design, l2):
    """`Spectrum` from singular values of the data, in a copy: where their squares would not tell."""
    columns, _ = compressed(design, np.empty((0, design.n)))
    columns, l2 = columns[np.isfinite(l2)], l2[np.isfinite(l2)]
    held, free = columns[l2 > 0.0], columns[l2 == 0.0]
    if len(held) == 0:
        return Spectrum(0.0, 0.0, basis(free).shape[1], True)
    explained = basis(free)
    held = held - (held @ explained) @ explained.T
    size = np.sqrt(np.einsum("ij,ij->i", held, held))
    used = size > DEPENDENT
    held, size = held[used], size[used]
    unit = linalg.svdvals(held / size[:, None], check_finite=False)
    rank = np.count_nonzero(unit > DEPENDENT * unit.max(initial=0.0))
    values = linalg.svdvals(held / np.sqrt(l2[l2 > 0.0][used])[:, None], check_finite=False)
    low = values[rank - 1] if rank else 0.0
    top = values.max(initial=0.0)
    return Spectrum(
        float(top * top), float(low * low), rank + explained.shape[1], bool(rank == np.count_nonzero(l2))
    )


def _largest_eigenvalue(product, size):
    """Largest eigenvalue of a symmetric matrix by Lanczos' method, with full reorthogonalisation."""
    basis = np.zeros((min(LANCZOS_STEPS, size), size))
    x = np.cos(np.arange(size) ** 2)  # any vector that is not special
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(len(basis)):
        length = np.sqrt(x @ x)
        if step and not length > 1e-12 * abs(diagonal[0]):
            break
        if step:
            beside.append(length)
        basis[step] = x / length
        x = product(basis[step])
        diagonal.append(float(basis[step] @ x))
        for _ in range(2):
            x -= (basis[: step + 1] @ x) @ basis[: step + 1]
    return float(linalg.eigvalsh_tridiagonal(np.array(diagonal), np.array(beside)).max())


def basis(columns):
    """Orthonormal basis of the span of some columns, given as rows (k, n)."""
    if len(columns) == 0:
        return np.empty((columns.shape[1], 0))  # which LAPACK would not take
    left, values, _ = linalg.svd(columns.T, full_matrices=False, check_finite=False)
    rank = np.count_nonzero(values > DEPENDENT * values.max(initial=0.0))
    return left[:, :rank]


# ---------------------------------------------------------------------------------------------
# One factorisation
# ---------------------------------------------------------------------------------------------


class Primal:
    """Normal equations in standard form.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    gram : ndarray of shape (p, p)
        ``Z^T Z``; not modified.
    l2 : ndarray of shape (p,)
        Ridge penalties for ``lambda = 1``: zero for columns without one, infinite for those left out.

    Attributes
    ----------
    diagonal : ndarray of shape (m,)
        That of `matrix`.
    before : ndarray of shape (m,)
        The same before columns without penalty were eliminated.
    """

    iterative = False

    def __init__(self, design, gram, l2):
        self.design = design
        self.gram = gram
        self.l2 = l2
        self.inverse: Any = None
        self.held = np.flatnonzero((l2 > 0.0) & np.isfinite(l2))
        self.free = np.flatnonzero(l2 == 0.0)
        self.p = len(l2)
        self.part = slice(None) if len(self.held) == self.p else self.held  # of all columns, to be sliced
        self.root = np.sqrt(l2[self.part])
        if len(self.free):
            self.loose = CholeskyInverse(gram[np.ix_(self.free, self.free)], 0.0)
            cross = gram[np.ix_(self.held, self.free)]
            self.share = self.loose(cross, None)  # of each held column, explained by the free ones: (m, f)
        squares, scale = gram.diagonal()[self.part], self.root * self.root
        with np.errstate(over="ignore"):
            self.before = self.diagonal = squares / scale
            if len(self.free):
                self.diagonal = (squares - np.einsum("ij,ij->i", cross, self.share)) / scale

    def matrix(self):
        """``A^T A`` for the m columns that are penalised, in a new array (m, m)."""
        with np.errstate(over="ignore"):  # an infinite matrix is refused where it is factored
            if len(self.held) == self.p:
                found = self.gram / self.root
            else:
                found = self.gram[np.ix_(self.held, self.held)]
                if len(self.free):
                    found -= self.gram[np.ix_(self.held, self.free)] @ self.share.T
                found /= self.root
            found /= self.root[:, None]
        return found

    def prepare(self, lams):
        """Factor the matrix for some lambdas (b,)."""
        if len(lams) == 1 and not isinstance(self.inverse, EigenInverse):
            self.inverse = CholeskyInverse(self.matrix(), lams[0])
        else:
            self.diagonalise(min(lams))

    def diagonalise(self, smallest_lam):
        """Factor the matrix for all lambdas from some value on."""
        if not isinstance(self.inverse, EigenInverse):
            self.inverse = EigenInverse(*eigen(self.matrix()))
        self.inverse.check(smallest_lam)

    def is_graded(self, smallest_lam):
        """Whether the diagonal of the matrix is proof of eigenvalues which have lost digits to it.

        The smallest is no larger than any entry of it, and the largest no smaller.
        """
        low, high = self.diagonal.min(initial=np.inf), self.diagonal.max(initial=0.0)
        return low + smallest_lam <= POOR * high < np.inf

    def diagonalise_data(self):
        """The same from the data themselves, where the Gram matrix has lost digits: QR, then `graded` of R.

        Columns without a penalty come first; what the others have below them in R is what these do not
        explain.
        """
        columns = np.concatenate([self.free, self.held])
        scale = np.concatenate([np.ones(len(self.free)), 1.0 / self.root])
        rows = triangle(self.design, columns, scale)
        self.inverse = graded(rows[len(self.free) :, len(self.free) :])

    def reduce(self, right):
        """Right-hand sides (b, p) in standard form, (b, m)."""
        part = right[:, self.part]
        if len(self.free):
            part = part - right[:, self.free] @ self.share.T
        return part / self.root

    def expand(self, reduced, right):
        """Solutions (b, p) from those in standard form (b, m) and the right-hand sides."""
        part = reduced / self.root
        if len(self.held) == self.p:
            return part
        result = np.zeros((len(reduced), self.p))
        result[:, self.held] = part
        if len(self.free):
            result[:, self.free] = self.loose(right[:, self.free], None) - part @ self.share
        return result

    def solve(self, right, lams):
        """``(Z^T Z + lambda D)^{-1}`` times right-hand sides (b, p), for a lambda each."""
        return self.expand(self.inverse(self.reduce(right), lams), right)

    def path(self, right, lams):
        """Solutions (k, b, p) for right-hand sides (k, p) and all lambdas (b,) that were prepared for."""
        reduced, values, vectors = self.reduce(right), self.inverse.values, self.inverse.vectors
        turned = (reduced @ vectors)[:, None, :] / (values + lams[:, None])
        solved = turned.reshape(len(right) * len(lams), len(values)) @ vectors.T
        return self.expand(solved, np.repeat(right, len(lams), axis=0)).reshape(len(right), len(lams), -1)

    def excess(self, coefs, corrs, lams):
        """What the function `excess` returns, by the factor at hand."""
        used = np.isfinite(self.l2)
        penalty = lams[:, None] * np.where(used, self.l2, 0.0)
        gradient = np.where(used, corrs - penalty * coefs, 0.0)
        found = 0.5 * np.einsum("ij,ij->i", gradient, self.solve(gradient, lams))
        return np.where(found >= 0.0, found, np.nan)

    def refined(self, targets, lams, corrs=None, which=None):
        """`Refined` solutions for b targets and lambdas.

        Parameters
        ----------
        targets : ndarray of shape (q, n)
        lams : ndarray of shape (b,)
        corrs : ndarray of shape (q, p) or None
            Their correlations with all columns, where they are known.
        which : ndarray of shape (b,), int, or None
            The target that each lambda is for, if not one after the other.
        """
        return _refined_on_data(self, targets, lams, corrs, which)

    def settled(self, columns, lams, which):
        """As `refined`, but on the Gram matrix, and for `_solve._Columns`; None if that may cost digits.

        Well-posed normal equations are as good as the data: nothing is gained by reading these once more.
        """
        if len(self.free) or not self.inverse.well_posed(lams.min()):
            return None
        start, squares = columns.corrs[which], columns.squares[which]

        def gradients(coefs):
            left = start - coefs @ self.gram
            return left, np.maximum(squares - np.einsum("ij,ij->i", coefs, start + left), 0.0)

        return _refine(self, lams, start, gradients)

    def conditioning(self):
        """`Spectrum` of A, or what makes one."""
        return _conditioning(self, len(self.free), True, np.empty((len(self.before), 0)))


class _Wide:
    """What `Dual` and `DualConjugate` share: ``u = A^T a`` where ``(A A^T + lambda I) a = t``.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    l2 : ndarray of shape (p,)
        As in `Primal`.
    """

    # Each has its own: the solution of the equations, and ``A A^T`` times rows (b, n).
    inverse: Any
    _product: Any
    loose: np.ndarray  # (f, n) the columns without penalty, if there are any

    def __init__(self, design, l2):
        self.design = design
        self.l2 = l2
        held = (l2 > 0.0) & np.isfinite(l2)
        with np.errstate(divide="ignore"):
            self.scale = np.where(held, 1.0 / l2, 0.0)
        self.free = np.flatnonzero(l2 == 0.0)
        # What the intercept and the unpenalised columns explain is nobody else's: P K P with P = I - Q Q^T.
        # Centred columns are orthogonal to the intercept already; but for rounding, so is the solution.
        self.explained = design.root[:, None] if design.fit_intercept else np.empty((design.n, 0))

    def _project(self, rows):
        return rows - (rows @ self.explained) @ self.explained.T if self.explained.size else rows

    def _expand(self, shares, targets):
        """Coefficients (b, p) from dual ones (b, n), and the targets without what they explain."""
        coefs = self.design.correlate(shares) * self.scale
        rest = targets - self.design.apply(coefs)
        if len(self.free):
            more = linalg.lstsq(self.loose.T, rest.T, cond=DEPENDENT, check_finite=False)[0].T
            coefs[:, self.free] = more
            rest = rest - more @ self.loose
        return coefs, rest

    def refined(self, targets, lams, corrs=None, which=None):
        """As `Primal.refined`: the residual ``r`` of the answer is lambda times the dual coefficients."""
        targets = targets if which is None else targets[which]
        shares, _ = self._start(targets, lams)
        before = np.full(len(targets), np.inf)
        for step in range(1, REFINEMENTS + 1):
            coefs, rest = self._expand(shares, targets)
            slip = self._project(rest) - lams[:, None] * shares
            if step == REFINEMENTS:
                break
            correction = self._project(self.inverse(slip, lams))
            worth, last = _correct(self, lams, shares, correction, before)
            if not worth:
                break
            if last and not len(self.free):
                coefs = coefs + self.design.correlate(correction) * self.scale
                changed = self._product(correction)
                rest, slip = rest - changed, slip - changed - lams[:, None] * correction
                step += 1
                break
        corrs = self._correlations(coefs, rest, np.sqrt(np.einsum("ij,ij->i", slip, slip)), lams)
        return Refined(coefs, corrs, np.einsum("ij,ij->i", rest, rest), step)

    def _start(self, targets, lams):
        """Dual coefficients as exact as the product is, and what they leave of the targets."""
        goal = self._project(targets)
        shares = self._project(self.inverse(goal, lams))
        left = goal - self._product(shares) - lams[:, None] * shares
        shares = shares + self._project(self.inverse(left, lams))
        return shares, goal - self._product(shares) - lams[:, None] * shares

    def _correlations(self, coefs, rest, slip, lams):
        """Correlations (b, p) of all columns with residuals: lambda times the shares, up to `slip` (b,).

        Those with the shares are the coefficients, and columns have unit length: `slip` bounds the rest. If
        that is too little for a certificate to see, it is given the worst case, which saves a pass over X.
        """
        if not len(self.free) and (0.5 * slip * slip * self.scale.sum() <= ACCURATE * lams).all():
            used = self.scale > 0.0
            shared = np.divide(coefs, self.scale, out=np.zeros_like(coefs), where=used)
            return lams[:, None] * shared + np.where(used, slip[:, None], 0.0)
        return self.design.correlate(rest)


class Dual(_Wide):
    """``A A^T`` for wide data; columns without penalty are projected out exactly.

    Parameters
    ----------
    design, l2
        As in `_Wide`.
    kernel : ndarray of shape (n, n) or None
        ``Z_P D_P^{-1} Z_P^T`` of the columns with a penalty, where it is known; not modified.

    Attributes
    ----------
    kernel : ndarray of shape (n, n)
        ``A A^T``, without what columns without penalty explain.
    """

    iterative = False

    def __init__(self, design, l2, kernel=None):
        super().__init__(design, l2)
        self.inverse = None
        self.kernel = design.outer_gram(self.scale) if kernel is None else kernel
        self.before = self.kernel.diagonal().copy()
        self.eliminated = 0
        if len(self.free):
            self.loose = _design.columns_of(design, self.free)
            explained = basis(self.loose)
            self.eliminated = explained.shape[1]
            self.explained = np.hstack([self.explained, explained])
            half = self.kernel - explained @ (explained.T @ self.kernel)
            self.kernel = half - (half @ explained) @ explained.T

    def matrix(self):
        """The kernel, in a new array."""
        return self.kernel.copy()

    prepare = Primal.prepare
    diagonalise = Primal.diagonalise

    def _product(self, shares):
        return shares @ self.kernel

    def settled(self, columns, lams, which):
        """As `Primal.settled`: the residuals are lambda times the dual coefficients, up to rounding."""
        if len(self.free) or not self.inverse.well_posed(lams.min()):
            return None
        shares, left = self._start(columns.values[which], lams)
        rest = lams[:, None] * shares  # whose squares do not vanish
        rss = np.einsum("ij,ij->i", rest, rest)
        # And by how much the rounding of the products in the matrix may change it.
        rounding = PRODUCT_ERROR * self.kernel.trace() * (np.sqrt(rss) / lams)
        slip = np.sqrt(np.einsum("ij,ij->i", left, left)) + rounding
        coefs = self.design.correlate(shares) * self.scale
        return Refined(coefs, self._correlations(coefs, rest, slip, lams), rss, 1)

    def conditioning(self):
        """As `Primal.conditioning`."""
        return _conditioning(self, self.eliminated, False, self.explained)


class Effort:
    """How long conjugate gradients go on.

    Parameters
    ----------
    limit : int
        Iterations: for the same targets, or for all targets if that is not `patient`.
    patient : bool
        Whether the end of the iterations is an answer; else it raises `SlowError`.
    """

    def __init__(self, limit, patient):
        self.limit = self.left = limit
        self.patient = patient
        self.begin()

    def begin(self):
        """Turn to other targets."""
        self.first = None  # squared size of their first residual
        if self.patient:
            self.left = self.limit

    def iterate(self, product, right):
        """Solve ``M x = right`` for rows (b, k) up to a share `REDUCED` of the first ones.

        Conjugate gradients (Hestenes and Stiefel 1952); ``product`` maps rows to M times these. All
        right-hand sides are iterated on at once, so that one product serves them all.
        """
        rest = right.copy()
        solution = np.zeros_like(rest)
        toward = rest.copy()
        square = np.einsum("ij,ij->i", rest, rest)
        share = REDUCED[1]
        if self.first is None:
            self.first, share = square, REDUCED[0]
        goal = share**2 * self.first
        while (square > goal).any():
            if self.left <= 0:
                if self.patient:
                    break
                raise SlowError
            self.left -= 1
            image = product(toward)
            bend = np.einsum("ij,ij->i", toward, image)
            step = np.divide(square, bend, out=np.zeros_like(square), where=bend > 0.0)[:, None]
            solution += step * toward
            image *= step
            rest -= image
            before, square = square, np.einsum("ij,ij->i", rest, rest)
            growth = np.divide(square, before, out=np.zeros_like(square), where=before > 0.0)
            toward *= growth[:, None]
            toward += rest
        return solution


class OnePass:
    """A product with X and one with its transpose, in one pass over compressed rows or columns of X.

    Parameters
    ----------
    X : CSC or CSR container
    shift, scale : ndarray of shape (k,)
        Of the compressed vectors, as in `_kernels.add_curve`.
    size : int
        Length of these vectors.
    """

    def __init__(self, X, shift, scale, size):
        self.n_threads = available() if X.nnz > SHARED else 1
        parts = _design.cut(_design.entries_of(X), self.n_threads)
        self.parts = [(*part, shift[some], scale[some]) for some, part in parts]
        self.size = size

    def __call__(self, each, x, level):
        """What `_kernels.add_curve` adds, and what it returns; `each` is a ``map`` of `side_by_side`."""

        def work(part):
            result = np.zeros(self.size)
            return result, _kernels.add_curve(*part, level, x, result)

        results, totals = zip(*each(work, self.parts), strict=True)
        return functools.reduce(np.add, results), sum(totals)


def conjugate(design, l2, lams, limit, patient):
    """`DualConjugate` where it applies to all lambdas (b,), else `Conjugate`; the rest as there."""
    kind = Conjugate
    if _is_plain(design) and design.X.format == "csc" and _in_rows(design, l2, lams.min()):
        with np.errstate(over="ignore"):
            squares = 1.0 / l2  # of the columns of A
            finite = np.isfinite(squares / design.units.norm / design.units.norm).all()
        if finite and squares.sum() <= LONG * lams.min():
            kind = DualConjugate
    return kind(design, l2, limit, patient)


def _is_plain(design):
    """Whether the stored entries of X can be multiplied themselves."""
    return sparse.issparse(design.X) and design.X.dtype == np.float64 and not len(design.far)


class DualConjugate(_Wide):
    """As `Dual`, by conjugate gradients: ``A A^T a`` is the sum of the columns times their products with a.

    For compressed columns, none without a penalty, and none with a very small one: dual coefficients are the
    residual divided by lambda, and what rounding leaves of it outside the span of the columns goes with them.

    Parameters
    ----------
    design : SparseDesign
    l2 : ndarray of shape (p,)
    limit, patient
        As in `Effort`.
    """

    iterative = True

    def __init__(self, design, l2, limit, patient):
        super().__init__(design, l2)
        mean, norm, _ = design.units
        self.columns = OnePass(design.X, mean, self.scale / (norm * norm), design.n)
        self.effort = Effort(limit, patient)

    def prepare(self, lams):
        """Nothing is factored."""

    def refined(self, targets, lams, corrs=None, which=None):
        """As `Primal.refined`."""
        self.effort.begin()
        return super().refined(targets, lams, corrs, which)

    def _product(self, shares):
        with side_by_side(self.columns.n_threads) as each:
            return self._curve(each, shares)

    @np.errstate(over="ignore", invalid="ignore")  # in rows without weight
    def _curve(self, each, rows):
        """``A A^T`` times rows (b, n)."""
        if len(rows) > 1:  # two passes over X, but for all of them together
            return self.design.apply(self.design.correlate(rows) * self.scale)
        weighted = rows[0] * self.design.root
        found, total = self.columns(each, weighted, weighted.sum())
        return self.design.rooted((found - total)[None])

    def inverse(self, rows, lams):
        """Solve for right-hand sides (b, n) with a lambda each, (b,)."""
        with side_by_side(self.columns.n_threads) as each:

            def product(toward):
                return self._curve(each, toward) + lams[:, None] * toward

            return self.effort.iterate(product, rows)

    def conditioning(self):
        """Not known: X has only been iterated on."""
        return UNKNOWN


class Conjugate:
    """Conjugate gradients on the normal equations.

    Unknowns are scaled to a unit diagonal (Jacobi's preconditioner), or for wide data to the standard form,
    `_in_rows`.

    Parameters
    ----------
    design : SparseDesign
    l2 : ndarray of shape (p,)
        As in `Primal`.
    limit, patient
        As in `Effort`.
    """

    iterative = True

    def __init__(self, design, l2, limit, patient):
        self.design = design
        self.l2 = l2
        used = np.isfinite(l2)
        self.used = slice(None) if used.all() else np.flatnonzero(used)
        # The stored entries themselves, where they allow it; without the columns that are left out, such as
        # the empty ones, of which text may have many.
        self.entries = self.rows = None
        if _is_plain(design):
            self.entries = design.X if used.all() else design.X[:, self.used]
            if self.entries.format == "csr":
                self.rows = OnePass(self.entries, np.ones(design.n), design.share, self.entries.shape[1])
        self.effort = Effort(limit, patient)

    def prepare(self, lams):
        """Nothing is factored."""

    def _curve(self, each, rows):
        """``Z^T Z`` times rows (b, k) for the columns in use."""
        design = self.design
        if self.entries is None:
            whole = np.zeros((len(rows), design.p))
            whole[:, self.used] = rows
            return design.correlate(design.apply(whole))[:, self.used]
        mean, norm = design.units.mean[self.used], design.units.norm[self.used]
        scaled = rows / norm
        if self.rows is not None and len(rows) == 1:
            found, total = self.rows(each, scaled[0], np.einsum("i,i->", mean, scaled[0]))
            return ((found - total * mean) / norm)[None]
        columns = scaled.T if len(rows) > 1 else scaled[0]  # SciPy is faster with a vector
        weighted = (self.entries @ columns - columns.T @ mean).T * design.share
        curved = (self.entries.T @ weighted.T).T - np.multiply.outer(weighted.sum(axis=-1), mean)
        return np.reshape(curved, rows.shape) / norm

    def solve(self, right, lams):
        """As `Primal.solve`, as far as `Effort` goes."""
        penalty = self.l2[self.used]
        diagonal = lams[:, None] * penalty
        weight = 1.0 + diagonal  # columns of Z have unit length
        if _in_rows(self.design, self.l2, lams.min()):
            least = penalty.min(initial=np.inf)
            weight = (1.0 + lams[:, None] * least) * (penalty / least)  # of the size of the diagonal
        scale = 1.0 / np.sqrt(weight)
        diagonal *= scale * scale
        result = np.zeros_like(right)
        with side_by_side(self.rows.n_threads if self.rows is not None else 1) as each:

            def product(toward):
                image = scale * self._curve(each, scale * toward)
                image += diagonal * toward
                return image

            result[:, self.used] = scale * self.effort.iterate(product, right[:, self.used] * scale)
        return result

    def refined(self, targets, lams, corrs=None, which=None):
        """As `Primal.refined`."""
        self.effort.begin()
        return _refined_on_data(self, targets, lams, corrs, which)

    def conditioning(self):
        """Not known: X has only been iterated on."""
        return UNKNOWN


def _in_rows(design, l2, lam):
    """Whether iterations for lambdas from `lam` on are on the standard form, for wide data.

    All iterates are then combinations of rows of A, as the solution is. With another scale they are not, and
    what they hold of the null space of A goes away as slowly as the penalty is small, while the objective
    hardly shows it. But where lambda is no less than a `SHARE_OF_MEAN` of the mean eigenvalue of ``A A^T``,
    many are not much more than lambda, and iterations within the rows are as slow. There a unit diagonal
    pays, if the largest columns are large for lambda, but not so large that it would be a `TRACE` of them.
    """
    if design.n > np.count_nonzero(np.isfinite(l2)) or not (l2 > 0.0).all():
        return False
    with np.errstate(over="ignore"):
        mean = (1.0 / l2).sum() / design.n
    return bool(lam < SHARE_OF_MEAN * mean or not TRACE <= lam * l2.min() <= SMALL_SHARE)


class Refined(NamedTuple):
    """Solutions, with what a certificate needs to know of them."""

    coefs: np.ndarray  # (b, p)
    corrs: np.ndarray  # (b, p) correlations of all columns with the residuals
    rss: np.ndarray  # (b,) squared norms of the residuals
    steps: int  # how often the factor was used


def _refined_on_data(factor, targets, lams, corrs, which):
    """As `Primal.refined`."""
    design = factor.design
    which = np.arange(len(lams)) if which is None else which
    corrs = design.correlate(targets) if corrs is None else corrs
    return _refine(factor, lams, corrs[which], lambda coefs: design.gradients(targets, which, coefs))


def _refine(factor, lams, corrs, gradients):
    """Solve with a factor, then correct by the gradient until it no longer matters; see `Primal.refined`.

    `gradients` returns correlations of all columns with the residuals of solutions (b, p), and the squared
    norms of these (b,). The last correction is so small that what it changes of them is known from the Gram
    matrix.
    """
    used = np.isfinite(factor.l2)
    every = bool(used.all())
    l2 = factor.l2 if every else np.where(used, factor.l2, 0.0)  # inf times 0 is no number
    penalty = np.minimum(l2 * lams[:, None], _kernels.LARGEST)

    def within(gradient):
        return gradient if every else np.where(used, gradient, 0.0)

    coefs = factor.solve(within(corrs), lams)
    before = np.full(len(lams), np.inf)
    for step in range(1, REFINEMENTS + 1):
        corrs, rss = gradients(coefs)
        if step == REFINEMENTS:
            break
        correction = factor.solve(within(corrs - penalty * coefs), lams)
        worth, last = _correct(factor, lams, coefs, correction, before)
        if not worth:
            break
        if last:
            changed = correction @ factor.gram
            rss = np.maximum(rss - np.einsum("ij,ij->i", correction, corrs + corrs - changed), 0.0)
            return Refined(coefs, corrs - changed, rss, step + 1)
    return Refined(coefs, corrs, rss, step)


def _correct(factor, lams, solutions, corrections, before):
    """`_kernels.correct` for solutions (b, k) by a factor; what iterates has no matrix."""
    rcond = np.zeros(len(lams)) if factor.iterative else factor.inverse.reciprocal(lams)
    return _kernels.correct(solutions, corrections, before, rcond, ACCURATE, PRODUCT_ERROR, SINGULAR)


# ---------------------------------------------------------------------------------------------
# Rows left out
# ---------------------------------------------------------------------------------------------


class LeftOut(NamedTuple):
    """What leaving out one row, and then the next, does to some targets.

    The prediction for a row by the fit to all other rows misses its target by ``residual / slack``, exactly
    (Golub, Heath and Wahba 1979, Technometrics 21, eq. 1.2, with weights and intercept).
    """

    rows: Any  # t of them: a slice, or where they are
    targets: slice
    residuals: np.ndarray  # (t, k, b), of the fits to all rows, in the units of y
    slack: np.ndarray  # (t, b): one minus the leverage of the row


def left_out_tall(factor, design, Y, levels, corrs, lams):
    """`LeftOut` of all rows, from the (p, p) side; memory for a tile of them at a time.

    Parameters
    ----------
    factor : Primal
        Diagonalised.
    design : DenseDesign or SparseDesign
    Y : ndarray of shape (n, q)
    levels : ndarray of shape (q,)
        Weighted means of Y, or zeros without an intercept.
    corrs : ndarray of shape (q, p)
        ``Z^T`` times the centred targets, in their units.
    lams : ndarray of shape (b,)

    Yields
    ------
    LeftOut
    """
    mean, norm, _ = design.units
    values, vectors = factor.inverse.values, factor.inverse.vectors
    turn = factor.expand(vectors.T, np.zeros((len(values), design.p))) / norm
    turned = factor.reduce(corrs) @ vectors
    free = factor.free
    start = factor.loose(corrs[:, free], None) if len(free) else np.empty((len(corrs), 0))
    shrink = 1.0 / (values[:, None] + lams)
    height = min(design.n, max(64, TILE // (2 * max(design.p, len(lams)))))  # several are in work at a time
    few = height * len(lams) * len(corrs) <= TILE
    is_sparse = sparse.issparse(design.X)
    spare: list[Any] = []  # memory of tiles that are done with: new memory for each takes as long as it does

    @np.errstate(over="ignore", invalid="ignore")  # rows without weight may hold anything
    def look(top):
        """`LeftOut` of some rows."""
        rows = slice(top, min(top + height, design.n))
        count = rows.stop - top
        some, room = design.X[rows], None
        if is_sparse:
            apart = some @ turn.T - turn @ mean
        else:
            try:
                room = spare.pop()
            except IndexError:  # all are in use
                room = np.empty((2, height, design.p))
            some = np.subtract(some, mean, out=room[0, :count])
            apart = np.matmul(some, turn.T, out=room[1, :count, : len(turn)])
        y = Y[rows] - levels
        fixed = np.full(count, float(design.fit_intercept))
        if len(free):
            loose = (some[:, free].toarray() - mean[free] if is_sparse else some[:, free]) / norm[free]
            y -= loose @ start.T
            fixed += np.einsum("ij,ij->i", loose, factor.loose(loose, None))
        slack = np.square(apart, out=None if is_sparse else some[:, : len(turn)]) @ shrink
        _kernels.slack_of(slack, fixed, design.share[rows])
        parts = _left_out(rows, y, apart, turned, shrink, slack)
        if not few:
            return parts  # of many targets, only some at a time
        parts = list(parts)  # here, in a thread
        if room is not None:
            spare.append(room)
        return parts

    tops = range(0, design.n, height)
    for parts in in_order(look, tops) if len(tops) > 1 else map(look, tops):
        yield from parts


def _left_out(rows, y, apart, turned, shrink, slack):
    """`LeftOut` of some rows, a few targets at a time."""
    width = max(1, PAIRS // shrink.shape[1])
    for first in range(0, len(turned), width):
        targets = slice(first, min(first + width, len(turned)))
        coefs = turned[targets].T[:, :, None] * shrink[:, None, :]
        flat = apart @ coefs.reshape(len(shrink), coefs.shape[1] * coefs.shape[2])
        fitted = flat.reshape(len(apart), *coefs.shape[1:])
        yield LeftOut(rows, targets, np.subtract(y[:, targets, None], fitted, out=fitted), slack)


class KernelSpectrum:
    """Ridge from inner products of rows: all lambdas, from one eigendecomposition.

    With rows scaled by the roots of their weights, and columns without penalty (the intercept among them)
    projected out, the answer is ``a = (K + lambda)^{-1} y``, and lambda times it the residual.

    Parameters
    ----------
    kernel : ndarray of shape (n, n)
        Inner products of all rows, columns divided by the roots of their penalties.
    loose : ndarray of shape (n, f)
        Columns without penalty, a column of ones for the intercept.
    rows : ndarray of shape (m,)
        The rows that are fitted.
    weights : ndarray of shape (m,)
        Their weights, positive.

    Attributes
    ----------
    inverse : EigenInverse
    explained : ndarray of shape (m, fixed)
        Basis of the columns without penalty.
    fixed : int
        Dimension of the span of the columns without penalty.
    """

    def __init__(self, kernel, loose, rows, weights):
        self.kernel, self.loose, self.rows = kernel, loose, rows
        self.root = np.sqrt(weights)
        self.inner = kernel[np.ix_(rows, rows)] * self.root * self.root[:, None]
        if not np.isfinite(self.inner).all():
            raise SingularError
        self.columns = loose[rows] * self.root[:, None]
        self.explained = explained = basis(self.columns.T)
        self.fixed = explained.shape[1]
        half = self.inner - explained @ (explained.T @ self.inner)
        matrix = half - (half @ explained) @ explained.T
        # What is projected out gets the largest eigenvalues, and is left behind with them.
        top = 2.0 * np.abs(matrix).sum(axis=1).max(initial=0.0) + 1.0
        values, vectors = eigen(matrix + top * (explained @ explained.T))
        count = len(values) - self.fixed
        self.inverse = EigenInverse(values[:count], vectors[:, :count])

    def diagonalise_data(self, columns):
        """Take the eigenvalues from the columns with a penalty (m, n), not from their inner products."""
        block = columns[:, self.rows] * self.root
        block -= (block @ self.explained) @ self.explained.T
        top = 2.0 * np.sqrt(np.einsum("ij,ij->", block, block)) + 1.0
        found = graded(np.vstack([top * self.explained.T, block]))
        self.inverse = EigenInverse(found.values[self.fixed :], found.vectors[:, self.fixed :], found.exact)

    @property
    def values(self):
        """Eigenvalues (k,)."""
        return self.inverse.values

    def left_out(self, Y, lams):
        """`LeftOut` of the rows that are fitted, for targets (n, q)."""
        values, vectors = self.inverse.values, self.inverse.vectors
        turned = (Y[self.rows] * self.root[:, None]).T @ vectors
        shrink = 1.0 / (values[:, None] + lams)
        slack = lams * ((vectors * vectors) @ shrink)
        nothing = np.zeros((len(self.rows), Y.shape[1]))
        residual = lams / self.root[:, None, None]  # of a unit of `a`
        for part in _left_out(self.rows, nothing, vectors, turned, shrink, slack):
            yield part._replace(residuals=-part.residuals * residual)

    def predict(self, Y, lams, others):
        """Predictions (t, k, b) for other rows (t,), from targets (n, k) and lambdas (b,)."""
        scaled = Y[self.rows] * self.root[:, None]
        values, vectors = self.inverse.values, self.inverse.vectors
        turned = vectors.T @ scaled
        shares = turned[:, :, None] / (values[:, None, None] + lams)
        flat = vectors @ shares.reshape(len(turned), shares.shape[1] * shares.shape[2])
        found = (self.kernel[np.ix_(others, self.rows)] * self.root) @ flat
        if self.columns.shape[1]:
            left = lams * flat.reshape(len(scaled), -1, len(lams))
            rest = (scaled[:, :, None] - left).reshape(flat.shape) - self.inner @ flat
            found += (
                self.loose[others] @ linalg.lstsq(self.columns, rest, cond=DEPENDENT, check_finite=False)[0]
            )
        return found.reshape(len(others), -1, len(lams))


def degrees_of_freedom(values, fixed, lams):
    """Effective degrees of freedom, the trace of the hat matrix: one for each lambda.

    Parameters
    ----------
    values : ndarray of shape (k,)
        Squares of the singular values of A.
    fixed : int
        Dimension of what is not penalised, the intercept included.
    lams : ndarray of shape (b,)
    """
    return fixed + (values[:, None] / (values[:, None] + lams)).sum(axis=0)


# ---------------------------------------------------------------------------------------------
# Without normal equations
# ---------------------------------------------------------------------------------------------


def svd(design, targets, diagonal, norm):
    """Singular values of the data itself; the minimum-norm answer where there are many.

    The data are `compressed`.  Columns are weighed so that the penalty is the identity; without any penalty,
    the norm that is minimal is that of the coefficients on the scale of X.
    """
    columns, targets = compressed(design, targets)
    coefs = np.zeros((len(targets), design.p))
    penalised = diagonal > 0.0
    free = np.flatnonzero(~penalised)
    held = np.flatnonzero(penalised & np.isfinite(diagonal))
    rest = targets
    if len(held):
        unit, root = columns[held], np.sqrt(diagonal[held])
        if len(free):
            explained = basis(columns[free])
            unit = unit - (unit @ explained) @ explained.T
        # What rounding has added to the span of the columns is left out: a small penalty would not resist it.
        span = basis(unit)
        block = span.T @ (unit / root[:, None]).T
        left, values, right = linalg.svd(block, full_matrices=False, check_finite=False)
        shrunk = (targets @ span @ left) * (values / (values * values + 1.0))
        coefs[:, held] = (shrunk @ right) / root
        rest = targets - coefs[:, held] @ columns[held]
    if len(free):
        solution, _, rank, _ = linalg.lstsq(columns[free].T, rest.T, cond=DEPENDENT, check_finite=False)
        if rank < len(free):
            # Many answers: the shortest one on the scale of X.
            scaled = columns[free] * norm[free][:, None]
            solution = linalg.lstsq(scaled.T, rest.T, cond=DEPENDENT, check_finite=False)[0]
            solution *= norm[free][:, None]
            # Directions that only columns in small units have look dependent there.
            left = rest.T - columns[free].T @ solution
            solution += linalg.lstsq(columns[free].T, left, cond=DEPENDENT, check_finite=False)[0]
        coefs[:, free] = solution.T
    return coefs, 1


def excess(design, diagonals, coefs, corrs):
    """By how much the objectives of some solutions exceed the least one, (b,).

    The objective is a quadratic function, so that this is ``g^T H^{-1} g / 2`` for its gradient ``g`` and its
    curvature ``H = Z^T Z + D``. A duality gap has D in place of H, and makes much of what rounding leaves in
    ``g`` where D is faint. ``H = R^T R`` comes from the data, and is scaled to a unit diagonal. Directions in
    which it is `DEPENDENT` are rounding, those of the data as those of a gradient there; all that they may
    cost is the penalty of what they hold.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    diagonals : ndarray of shape (b, p)
        D, infinite for columns that are left out.
    coefs : ndarray of shape (b, p)
    corrs : ndarray of shape (b, p)
        Correlations of all columns with the residuals.
    """
    used = np.flatnonzero(np.isfinite(diagonals).all(axis=0))
    diagonals, coefs, corrs = diagonals[:, used], coefs[:, used], corrs[:, used]
    data = triangle(design, used, np.ones(len(used)))
    found = np.empty(len(coefs))
    distinct, group = np.unique(diagonals, axis=0, return_inverse=True)
    for at, diagonal in enumerate(distinct):
        rows = group.ravel() == at
        scale = 1.0 / np.sqrt(1.0 + diagonal)
        faint = diagonal <= DEPENDENT * DEPENDENT
        stacked = np.vstack([data * scale, np.diag(np.sqrt(diagonal) * scale)[~faint]])
        factor, places = linalg.qr(stacked, mode="r", pivoting=True, overwrite_a=True, check_finite=False)
        sizes = np.abs(factor.diagonal())
        rank = np.count_nonzero(sizes > DEPENDENT * sizes.max(initial=0.0))
        gradient = ((corrs[rows] - diagonal * coefs[rows]) * scale)[:, places[:rank]]
        left = linalg.solve_triangular(factor[:rank, :rank], gradient.T, trans=1, check_finite=False)
        found[rows] = 0.5 * np.einsum("ij,ij->j", left, left)
        if rank < len(used):
            found[rows] += 0.5 * np.square(coefs[rows][:, faint]) @ diagonal[faint]
    return found


def is_faint(diagonal):
    """Whether no penalty in use is above `FAINT`."""
    return bool(diagonal.max(initial=0.0, where=np.isfinite(diagonal)) <= FAINT)


def qr(design, targets, diagonal):
    """Orthogonal factorisation of ``[Z; D^(1/2)]``, where the normal equations are singular.

    Rows are sorted by size and columns pivoted, so that the answer is accurate row by row however different
    the penalties of the columns are (Cox and Higham 1998, BIT 38). The data are `compressed`.
    """
    columns, targets = compressed(design, targets)
    used = np.flatnonzero(np.isfinite(diagonal))
    root = np.sqrt(diagonal[used])
    scale = 1.0 / np.sqrt(1.0 + diagonal[used])  # to columns of unit length
    matrix = np.vstack([columns[used].T * scale, np.diag(root * scale)])
    right = np.zeros((len(matrix), len(targets)))
    right[: targets.shape[1]] = targets.T
    order = np.argsort(-np.abs(matrix).max(axis=1, initial=0.0), kind="stable")
    matrix, right = matrix[order], right[order]
    solution = np.zeros((len(used), len(targets)))
    for _ in range(2):  # and once more for what rounding has left
        rest = right - matrix @ solution
        solution += linalg.lstsq(matrix, rest, cond=DEPENDENT, lapack_driver="gelsy", check_finite=False)[0]
    coefs = np.zeros((len(targets), design.p))
    coefs[:, used] = solution.T * scale
    return coefs, 1


def iterate(design, targets, diagonal, norm, max_iter):
    """LSMR on ``[Z; D^(1/2)] v = [y; 0]``, columns scaled to unit length, restarted until it no longer gains.

    Without any penalty the unknowns are the coefficients on the scale of X, so that the answer is the
    shortest one; for wide data, or a penalty that is `FAINT`, they are those of the standard form, see
    `_in_rows`.
    """
    n, p = design.n, design.p
    used = np.isfinite(diagonal)
    root = np.sqrt(np.where(used, diagonal, 0.0))
    faint = bool((diagonal > 0.0).all()) and is_faint(diagonal)
    if not root.any():
        weight = norm.max(initial=0.0, where=used) / norm  # in units of the largest: squares may vanish
    elif faint or _in_rows(design, diagonal, 1.0):
        weight = root / root.min(where=used, initial=np.inf)
    else:
        weight = np.sqrt(1.0 + root * root)
    scale = np.divide(1.0, weight, out=np.zeros(p), where=used)

    def matvec(v):
        v = scale * np.ravel(v)
        return np.concatenate([design.apply(v[None])[0], root * v])

    def rmatvec(u):
        u = np.ravel(u)
        return scale * (design.correlate(u[None, :n])[0] + root * u[n:])

    operator = LinearOperator((n + p, p), matvec=matvec, rmatvec=rmatvec, dtype=np.float64)
    eps = np.finfo(np.float64).eps
    coefs = np.zeros((len(targets), p))
    iterations = np.zeros(len(targets), dtype=np.int64)
    for row, target in enumerate(targets):
        right = np.concatenate([target, np.zeros(p)])
        solution = np.zeros(p)
        for _ in range(REFINEMENTS):
            correction, _, spent, *_ = lsmr(
                operator,
                right - matvec(solution),
                atol=eps,
                btol=eps,
                conlim=0.0,
                maxiter=max_iter - iterations[row],
            )
            solution += correction
            iterations[row] += spent
            small = np.abs(correction).max() <= ACCURATE * np.abs(solution).max()
            if small or iterations[row] >= max_iter:
                break
        coefs[row] = solution * scale
    return coefs, iterations
