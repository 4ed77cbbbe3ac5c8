"""X as the solvers see it: weighted, centred and scaled, without being copied.

The solvers see the matrix ``Z`` with entries ``sqrt(s_i) (x_ij - mean_j) / norm_j``, whose columns have unit
length, and a target of unit length.  Nobody else knows that weights, centring and scaling exist.  `Units`
holds the conversion, `DenseDesign` and `SparseDesign` apply it on the fly to X in the storage it came in; a
solver never asks which of the two it holds.

A *source* is what the active-set solver works on: `ColumnSource` answers its two questions, the Gram matrix
of some columns, and the correlations of all columns with some residuals; for tall data,
`_moments.MomentSource` has the Gram matrix of all of them.
"""

import functools
import itertools
import math
import mmap
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from sparse_linear import _compiled as _kernels
from sparse_linear._threads import available, in_order, listen

# Elements of X that are copied to float64, or centred, at a time: 2 MB, which stays in the cache of one core.
TILE = 1 << 18
# Columns from which a product with their transpose takes longer than to add it to a sum.
PANEL = 512
# Arrays that are to grow and take more bytes than this get pages of the usual size.
HUGE = 1 << 22
# Up to this many features may enter the working set at once.
ALL_AT_ONCE = 256
# A column whose spread is below this share of its mean is constant up to rounding.
CONSTANT = 1e-13
# The same for sparse columns, whose centring is a subtraction from their Gram matrix: the square of this
# times the rounding unit is lost, and must stay far below `_kernels.factor.PIVOT`, or dependent columns would
# look independent.
FAR = 30.0
# The share of the rows without a stored entry is added up, and not taken for the rest of the others, below
# this: that difference has lost digits to rounding.
LOSSY = 1e-4
TINY = np.finfo(np.float64).tiny
# Up to this sum of absolute coefficients, and down to this share of the target left over, correlations and
# residual norms may be computed from inner products of columns.
SHORT = 10.0
LEFT = 1e-6
NO_FEATURES = np.empty(0, dtype=np.int64)
# Up to so many rows are multiplied with long columns without BLAS.
FEW = 8
# Columns whose mean is this many times their spread are centred before they are multiplied, not afterwards.
OFFSET = 1e4


# Floating-point errors of squares that overflow, which `make_units` puts into a sentence.
UNSAID: Any = {"over": "ignore", "invalid": "ignore"}


class Units(NamedTuple):
    """The scale in which the solvers work: column ``j`` is ``(x_j - mean_j) / norm_j``."""

    mean: np.ndarray  # (p,) weighted means, zeros without an intercept
    norm: np.ndarray  # (p,) weighted root mean square about `mean`; 1 for a constant column
    constant: np.ndarray  # (p,) bool: columns without any spread, whose coefficient is 0


class Target(NamedTuple):
    """Place and size of one column of y: the solvers see ``root * (y - mean) / scale``, of unit length."""

    mean: float
    scale: float  # weighted root mean square about `mean`; 0 if y is constant

    def divided(self, values):
        """Something proportional to y in units of its scale; zeros if y is constant."""
        return values / self.scale if self.scale > 0.0 else np.zeros_like(values)


def make_units(mean, square, count):
    """Units from weighted means and weighted mean squares about them, which are overwritten.

    `count` is the number of rows.
    """
    norm, constant, wrong = _kernels.norms(mean, square, count <= 1, CONSTANT, TINY)
    if wrong >= 0:
        raise ValueError(
            f"X must hold values below 1e150, but the squares of column {wrong} overflow; divide it."
        )
    return Units(mean, norm, constant)


def room(*shape):
    """An uninitialised float64 array; of a large one, only what is written takes memory, page by page.

    For its own arrays NumPy asks for huge pages, on Linux. These are a few percent faster, but a square
    array whose rows are half full takes all of its room.
    """
    size = 8 * math.prod(shape)
    if size < HUGE:
        return np.empty(shape)
    alone = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}  # not shared with forks
    return np.frombuffer(mmap.mmap(-1, size, **alone)).reshape(shape)


def read_only(array):
    """A view that cannot be written: compiled code sees one type for memory maps and ordinary arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def entries_of(X):
    """The arrays of a CSC or CSR container, for compiled code; the same memory, with unsigned indices."""
    storage = _kernels.CSC if X.format == "csc" else _kernels.CSR
    indices = X.indices.view(f"u{X.indices.itemsize}")
    return storage(*(read_only(part) for part in (X.data, indices, X.indptr)))


def cut(entries, n_parts):
    """Cut a CSC or CSR container into parts with about as many entries each.

    Yields
    ------
    some : slice
        The columns (rows) of a part.
    part : CSC or CSR
    """
    indptr = entries.indptr
    cuts = np.searchsorted(indptr, np.linspace(0, indptr[-1], n_parts + 1)[1:-1])
    for first, last in itertools.pairwise([0, *cuts.tolist(), len(indptr) - 1]):
        yield slice(first, last), entries._replace(indptr=indptr[first : last + 1])


def tiles(shape, strides):
    """Cut a matrix into pieces of at most `TILE` elements that are contiguous in memory.

    Yields ``(rows, columns)`` slices; all row slices of a column slice follow one another.
    """
    n, p = shape
    if abs(strides[0]) <= abs(strides[1]):  # columns run along memory
        height = min(n, TILE)
        width = max(1, TILE // max(1, height))
    else:
        width = min(p, TILE)
        height = max(1, TILE // max(1, width))
    for left in range(0, p, width):
        for top in range(0, n, height):
            yield slice(top, min(top + height, n)), slice(left, min(left + width, p))


class _Design:
    """What dense and sparse designs share: weights and targets.

    Parameters
    ----------
    X : ndarray or CSC/CSR container of shape (n, p), float64 or float32
        Never written, never copied as a whole.
    sample_weight : ndarray of shape (n,) or None
        Non-negative, not all zero.
    fit_intercept : bool
        Whether columns and target are centred.

    Attributes
    ----------
    weight : float
        Sum of the sample weights as given (n without weights).
    even : bool
        Whether all rows weigh the same, because no weights were given.
    shares : ndarray of shape (n,), or (1,) if they are `even`
        Weights that sum to one: ``s`` in the objective.
    """

    # Each storage has its own.
    units: Any
    apply: Any
    correlate: Any
    plain: Any  # whether compiled code may multiply X itself
    suits: Any
    described: Any

    def __init__(self, X, sample_weight, fit_intercept):
        self.X = X
        self.n, self.p = X.shape
        self.fit_intercept = fit_intercept
        self.even = sample_weight is None
        if sample_weight is None:
            self.weight = float(self.n)
            self.shares = np.array([1.0 / self.n])
        else:
            # Divided by the largest first, so that their sum cannot overflow.
            top = sample_weight.max()
            share = sample_weight / top
            total = share.sum()
            self.weight = float(top * total)
            self.shares = share / total

    @cached_property
    def roots(self):
        """Square roots of `shares`, (n,) or (1,)."""
        return np.sqrt(self.shares)

    @cached_property
    def share(self):
        """The share of every row, (n,)."""
        return np.full(self.n, self.shares[0]) if self.even else self.shares

    @cached_property
    def root(self):
        """The root of every row, (n,)."""
        return np.full(self.n, self.roots[0]) if self.even else self.roots

    def take_rows(self, features):
        """Some columns of X, centred but neither weighted nor scaled, as an (n, k) array."""
        columns = self.X[:, features]
        columns = columns.toarray() if sparse.issparse(columns) else columns
        return columns - self.units.mean[features]

    @property
    def stored(self):
        """Number of entries of X that a pass over it reads."""
        return self.X.nnz if sparse.issparse(self.X) else self.X.size

    @property
    def effective_rows(self):
        """Number of rows with positive weight."""
        return self.n if self.even else int(np.count_nonzero(self.share))

    @property
    def known_units(self):
        """`units` if they have been asked for, else None: what was derived from them holds on to them."""
        return self.__dict__.get("units")

    def rooted(self, values, rows=slice(None)):
        """Values (b, k) of some rows times `root`, in place: 0 without weight, even where they overflowed."""
        if not self.even:
            values[:, self.share[rows] == 0.0] = 0.0
        values *= self.root[rows]
        return values

    def gradients(self, targets, which, coefs):
        """Correlations of all columns with residuals, of which only some are in memory at a time.

        Parameters
        ----------
        targets : ndarray of shape (q, n)
            Times `root`.
        which : ndarray of shape (b,), int
            The target of each solution.
        coefs : ndarray of shape (b, p)

        Returns
        -------
        corrs : ndarray of shape (b, p)
        rss : ndarray of shape (b,)
            Squared norms of the residuals.
        """
        corrs, rss = np.empty(coefs.shape), np.empty(len(coefs))
        width = max(_kernels.LANES, TILE // self.n)
        for first in range(0, len(coefs), width):
            some = slice(first, first + width)
            residuals = targets[which[some]] - self.apply(coefs[some])
            corrs[some] = self.correlate(residuals)
            rss[some] = np.einsum("ij,ij->i", residuals, residuals)
        return corrs, rss

    def target(self, y):
        """One column of y: its `Target` and the unit vector that the solvers see, (n,)."""
        at = 0 if self.even else np.argmax(self.share)
        first = y[at] if self.fit_intercept else 0.0
        values = y - first
        if not self.even:
            values[self.share == 0.0] = 0.0
        # In units of a power of two near the largest, so that squares neither overflow nor vanish, exactly.
        top = 2.0 ** np.frexp(max(values.max(), -values.min()))[1]
        values /= top
        mean, length = _kernels.centre(values, self.shares, self.roots, self.fit_intercept)
        mean = first + mean * top
        if length * top <= CONSTANT * abs(mean):
            length = 0.0
        if length > 0.0:
            values /= length
        else:
            values[:] = 0.0
        return Target(mean, length * top), values


class DenseDesign(_Design):
    """X is an ndarray, in any memory order."""

    @cached_property
    @np.errstate(**UNSAID)
    def units(self):
        """`Units` of the columns, from products of X itself where that costs no digits.

        Else by kernels, which centre first.
        """
        if self.even and self.X.dtype == np.float64 and self._contiguous:
            mean = self.share @ self.X if self.fit_intercept else np.zeros(self.p)
            square = np.einsum("ij,ij->j", self.X, self.X) / self.n
            with np.errstate(over="ignore"):
                near = 2.0 * mean * mean <= square
            if near.all():  # centring costs a digit at most
                return make_units(mean, square - mean * mean, self.n if self.fit_intercept else 2)
        X = read_only(self.X)
        if abs(X.strides[0]) <= abs(X.strides[1]):
            mean, square = _kernels.moments_by_columns(X, self.share, self.fit_intercept)
        else:
            height = max(1, TILE // self.p)
            mean, square = _kernels.moments_by_rows(X, self.share, self.fit_intercept, height)
        return make_units(mean, square, self.effective_rows if self.fit_intercept else 2)

    @property
    def _contiguous(self):
        """Whether X lies in memory without gaps."""
        return self.X.flags.c_contiguous or self.X.flags.f_contiguous

    @cached_property
    def plain(self):
        """Whether X itself may be multiplied: contiguous, and no column is far from zero for its spread."""
        return self._contiguous and not np.any(np.abs(self.units.mean) > OFFSET * self.units.norm)

    @property
    def lines(self):
        """X for compiled code, if it is `plain`."""
        columns = self.X.flags.f_contiguous
        return _kernels.Lines(read_only(self.X.T if columns else self.X), columns)

    def suits(self, count):
        """Whether compiled code can verify solutions on X itself, `count` of them together."""
        return self.plain

    def described(self, values, start, square):
        """X and a target, its correlations and its squared norm, for compiled code, if X is `plain`."""
        mean, norm, _ = self.units
        return _kernels.Dense(self.lines, mean, norm, self.root, values, start, square)

    @property
    def _direct(self):
        """Whether BLAS may do so."""
        return self.X.dtype == np.float64 and self.plain

    @cached_property
    def _tilt(self):
        """The largest mean of a column, in units of its norm."""
        return np.abs(self.units.mean * self._inverse).max(initial=0.0)

    @cached_property
    def _inverse(self):
        """What the columns are multiplied by."""
        return 1.0 / self.units.norm

    def correlate(self, residuals):
        """Inner products of all columns of Z with some residuals.

        Parameters
        ----------
        residuals : ndarray of shape (b, n)
            Rows are residuals times ``root``.

        Returns
        -------
        ndarray of shape (b, p)
        """
        if self.plain and len(residuals) <= FEW:
            result = np.empty((len(residuals), self.p))
            _kernels.few_correlations(self.lines, residuals, self.root, *self.units[:2], result)
            return result
        weighted = residuals * self.root
        if self._direct:
            return self._centred(weighted @ self.X, weighted.sum(axis=1))
        mean, _norm, _ = self.units
        result = np.zeros((len(weighted), self.p))
        for rows, columns in tiles(self.X.shape, self.X.strides):
            tile = self.X[rows, columns] - mean[columns]
            result[:, columns] += weighted[:, rows] @ tile
        result *= self._inverse
        return result

    def _centred(self, products, left):
        """Correlations from products (b, p) of weighted residuals with X itself; modifies these.

        Residuals are centred up to rounding; this takes away what that left, if it matters: their sums (b,).
        """
        if self.fit_intercept and np.abs(left).max() * self._tilt > 0.1 * _kernels.EPS:
            products -= np.outer(left, self.units.mean)
        products *= self._inverse
        return products

    @np.errstate(over="ignore", invalid="ignore")  # in rows without weight
    def gradients(self, targets, which, coefs):
        """As in `_Design`; a block of rows at a time, so that X is read once for both products."""
        mean, _norm, _ = self.units
        scaled = coefs * self._inverse
        shift = (scaled @ mean)[:, None] if self._direct else 0.0
        corrs, left, rss = np.zeros(coefs.shape), np.zeros(len(coefs)), np.zeros(len(coefs))
        height = max(64, TILE // max(self.p, len(coefs)))
        for top in range(0, self.n, height):
            rows = slice(top, top + height)
            block = self.X[rows] if self._direct else self.X[rows] - mean
            fitted = scaled @ block.T
            fitted -= shift
            residuals = np.subtract(targets[which, rows], self.rooted(fitted, rows), out=fitted)
            rss += np.einsum("ij,ij->i", residuals, residuals)
            residuals *= self.root[rows]
            left += residuals.sum(axis=1)
            corrs += residuals @ block
        if self._direct:
            return self._centred(corrs, left), rss
        corrs *= self._inverse
        return corrs, rss

    @np.errstate(over="ignore", invalid="ignore")  # in rows without weight
    def apply(self, coefs):
        """Linear combinations of all columns of Z: coefs of shape (b, p) -> (b, n)."""
        mean, norm, _ = self.units
        scaled = coefs / norm
        if self._direct:
            result = scaled @ self.X.T
            result -= (scaled @ mean)[:, None]
        else:
            result = np.zeros((len(coefs), self.n))
            for rows, columns in tiles(self.X.shape, self.X.strides):
                tile = self.X[rows, columns] - mean[columns]
                result[:, rows] += scaled[:, columns] @ tile.T
        return self.rooted(result)

    def take(self, features, result=None):
        """Columns of Z as a (k, n) array, one feature per row; written to `result` if it is given."""
        mean, norm, _ = self.units
        result = np.empty((len(features), self.n)) if result is None else result
        _kernels.take_columns(read_only(self.X), features, mean, norm, self.root, result)
        return result

    def block(self):
        """An empty, growing set of columns of Z."""
        return _DenseBlock(self)

    def outer_gram(self, scale):
        """``Z diag(scale) Z^T``, an (n, n) matrix.

        Accumulated over tiles of columns; or in one product, where X itself can be multiplied: all columns
        have the same factor, and their means are smaller than their spread.
        """
        mean, norm, _ = self.units
        factor = np.sqrt(scale) / norm
        top = factor.max(initial=0.0)
        even = (np.abs(factor - top) <= 4.0 * _kernels.EPS * top).all()
        if even and self._direct and mean @ mean <= norm @ norm:
            result = self.X @ self.X.T
            across = result @ self.share if self.fit_intercept else np.zeros(self.n)  # X times the means
            across -= 0.5 * (across @ self.share)
            result -= across[:, None]
            result -= across
            result *= top * top
            result *= self.root
            result *= self.root[:, None]
            return result
        # A tile is no more than a quarter of the result.
        width = max(1, TILE // self.n, min(PANEL, self.n // 4))
        if self.even:
            factor *= self.root[0]

        def work(some):
            result = np.zeros((self.n, self.n))
            for left in range(some.start, some.stop, width):
                listen()
                columns = slice(left, min(left + width, some.stop))
                tile = self.X[:, columns] - mean[columns]
                if not self.even:
                    tile *= self.root[:, None]  # first, for the sake of rows without weight
                tile *= factor[columns]
                result += tile @ tile.T  # not SciPy's dsyrk, which holds the interpreter's lock
            return result

        # A share of the columns for each thread of ours: those of BLAS would wait for one another at every
        # tile, and go on waiting for work while the result is factored.
        count = available() if self.X.size > 2 * TILE else 1
        ends = np.linspace(0, self.p, count + 1).astype(int).tolist()
        shares = [slice(*pair) for pair in itertools.pairwise(ends)]
        return functools.reduce(np.add, in_order(work, shares) if count > 1 else map(work, shares))


class _DenseBlock:
    """Columns of Z that have been gathered, one per row; the array grows by doubling."""

    def __init__(self, design):
        self.design = design
        self.size = 0
        self.columns = np.empty((0, design.n))

    def extend(self, features):
        """Gather more columns; returns the Gram matrix of all columns with the new ones, (m, k)."""
        start = self.size
        self.gather(features)
        return (self.columns[start : self.size] @ self.columns[: self.size].T).T

    def gather(self, features):
        """Gather more columns."""
        total = self.size + len(features)
        if total > len(self.columns):
            self.reserve(max(total, 2 * self.size))
        self.design.take(features, self.columns[self.size : total])
        self.size = total

    def reserve(self, capacity):
        """Have room for so many columns in all; returns the array."""
        if capacity > len(self.columns):
            grown = room(capacity, self.design.n)
            grown[: self.size] = self.columns[: self.size]
            self.columns = grown
        return self.columns

    def adopt(self, features):
        """Take over columns that compiled code has written."""
        self.size = len(features)

    def keep(self, places):
        """Forget all columns but some, given by their places."""
        self.columns = self.columns[places]
        self.size = len(places)

    def compiled(self):
        """The columns, for compiled code."""
        return _kernels.Rows(self.columns[: self.size])

    def offset(self, coef):
        """The multiple of the root weights in the residual of some coefficients: none, all is centred."""
        return 0.0

    def products(self, residuals, offset=0.0):
        """Inner products of the columns with a residual of that form, (m,)."""
        return residuals @ self.columns[: self.size].T

    def combine(self, coefs):
        """Linear combinations of the columns: coefs of shape (b, m) -> (b, n)."""
        return coefs @ self.columns[: self.size]


class SparseDesign(_Design):
    """X is a CSC or CSR container; it is never densified, and centring is never written out.

    But for `far` columns: those whose mean is more than `FAR` times their spread have (nearly) no zeros, and
    centring by subtraction would cost their digits. Z holds these few as dense columns.
    """

    def __init__(self, X, sample_weight, fit_intercept):
        super().__init__(X, sample_weight, fit_intercept)
        self.entries = entries_of(X)

    @cached_property
    def far(self):
        """Indices of the columns far from zero."""
        mean, norm, constant = self.units
        return _kernels.far_from_zero(mean, norm, constant, FAR)

    @property
    def plain(self):
        """Whether columns can be read where X stores them."""
        return self.X.format == "csc"

    def suits(self, count):
        """Whether compiled code can verify solutions on X itself, `count` of them together.

        Where their residuals would hold more numbers than X, products of columns take less time.
        """
        return self.plain and count * self.n <= self.stored

    def described(self, values, start, square):
        """As in `DenseDesign`."""
        mean, norm, _ = self.units
        columns, rows = (mean, norm, self.far, self.far_columns), (self.shares, self.roots)
        return _kernels.Sparse(self.entries, *columns, *rows, values, start, square)

    @cached_property
    def far_columns(self):
        """These columns of Z, one per row, dense, but for the roots of the rows."""
        if len(self.far) == 0:  # as mostly: slicing is slow
            return np.empty((0, self.n))
        mean, norm, _ = self.units
        columns = self.X[:, self.far].toarray().T.astype(np.float64)
        columns[:, self.share == 0.0] = 0.0
        if self.fit_intercept:
            columns -= mean[self.far, None]
            columns -= (columns @ self.share)[:, None]  # the mean was rounded
        columns /= norm[self.far, None]
        return np.ascontiguousarray(columns)

    def whole(self, features):
        """Which of `far_columns` each feature is, or -1: (k,) int64."""
        whole = np.full(len(features), -1)
        if len(self.far):
            at = np.searchsorted(self.far[:-1], features)
            is_far = self.far[at] == features
            whole[is_far] = at[is_far]
        return whole

    def shift(self, features):
        """The multiples of `root` that make columns of X over their norms those of Z."""
        mean, norm, _ = self.units
        return np.where(self.whole(features) < 0, mean[features] / norm[features], 0.0)

    @cached_property
    def units(self):
        """`Units` of the columns, in two passes over the stored entries."""
        rows = self.shares, self.effective_rows
        mean, square, lossy = _kernels.entry_moments(self.entries, *rows, self.fit_intercept, LOSSY, self.p)
        if len(lossy):
            columns = self.X[:, lossy].tocsc()
            for j, start, stop in zip(lossy, columns.indptr[:-1], columns.indptr[1:], strict=True):
                square[j] += np.delete(self.share, columns.indices[start:stop]).sum() * mean[j] * mean[j]
        return make_units(mean, square, self.effective_rows if self.fit_intercept else 2)

    def correlate(self, residuals):
        """Inner products of all columns of Z with residuals (b, n), best in Fortran order -> (b, p)."""
        mean, norm, _ = self.units
        result = np.empty((len(residuals), self.p))
        for first in range(0, len(residuals), _kernels.LANES):
            some = slice(first, first + _kernels.LANES)
            rows, root = (residuals[some], self.roots[0]) if self.even else (residuals[some] * self.root, 1.0)
            _kernels.correlations(self.entries, np.ascontiguousarray(rows.T), root, mean, norm, result[some])
        if len(self.far):
            result[:, self.far] = (residuals * self.root) @ self.far_columns.T
        return result

    @np.errstate(over="ignore", invalid="ignore")  # in rows without weight
    def apply(self, coefs):
        """Linear combinations of all columns of Z: coefs of shape (b, p) -> (b, n)."""
        mean, norm, _ = self.units
        scaled = coefs / norm
        scaled[:, self.far] = 0.0
        result = _kernels.entry_combination(self.entries, np.ascontiguousarray(scaled.T), self.n).T
        result -= (scaled @ mean)[:, None]
        result += coefs[:, self.far] @ self.far_columns
        return self.rooted(result)

    @property
    def no_columns(self):
        """`copied` of none."""
        indices, indptr = self.entries.indices[:0], self.entries.indptr[:1]
        return _kernels.CSC(*map(read_only, (np.empty(0), indices, indptr)))

    def copied(self, features):
        """Columns of Z as `_kernels.CSC`, (n, k), and the multiples of `root` still to be subtracted."""
        whole, shift, norm = self.whole(features), self.shift(features), self.units.norm[features]
        stored = self.entries
        if self.X.format == "csr":
            stored, features = entries_of(sparse.csc_array(self.X[:, features])), np.arange(len(features))
        found = _kernels.copy_columns(stored, features, norm, self.root, whole, self.far_columns)
        return _kernels.CSC(*map(read_only, found)), shift

    def take(self, features):
        """`copied` as a CSC array."""
        (data, indices, indptr), shift = self.copied(features)
        indices = indices.view(f"i{indices.itemsize}")
        return sparse.csc_array((data, indices, indptr), shape=(self.n, len(features))), shift

    def block(self):
        """An empty, growing set of columns of Z."""
        return _SparseBlock(self)

    def outer_gram(self, scale):
        """``Z diag(scale) Z^T``, an (n, n) matrix."""
        mean, norm, _ = self.units
        factor = np.sqrt(scale) / norm
        factor[self.far] = 0.0
        scaled = sparse.csr_array(self.X, dtype=np.float64, copy=True)
        # The roots first, for the sake of rows without weight.
        scaled.data *= np.repeat(self.root, np.diff(scaled.indptr))
        scaled.data *= factor[scaled.indices]
        shift = factor * mean
        result = (scaled @ scaled.T).toarray()
        cross = np.outer(scaled @ shift, self.root)
        result -= cross + cross.T
        result += np.outer(self.root, self.root) * (shift @ shift)
        columns = self.far_columns * self.root
        return result + (columns.T * scale[self.far]) @ columns


class _SparseBlock:
    """Columns of Z that have been gathered, with their centring kept apart.

    Those of a CSC container are read where they are; those of a CSR container from a copy.
    """

    def __init__(self, design):
        self.design = design
        self.copy: Any = None if design.plain else design.no_columns
        self.features = NO_FEATURES
        self.shift = np.zeros(0)  # mean / norm: column j of Z is column j as stored - root * shift[j]

    @cached_property
    def scratch(self):
        """Room for a column, (n,)."""
        return np.empty(self.design.n)

    @property
    def size(self):
        """Number of columns."""
        return len(self.features)

    def columns(self, places=slice(None)):
        """Some of the columns as they are stored, for compiled code: without their weights, if not a copy."""
        if self.copy is None:
            design, features = self.design, self.features[places]
            norm, dense = design.units.norm[features], (design.whole(features), design.far_columns)
            return _kernels.Columns(*design.entries, features, 1.0 / norm, *dense)
        return columns_of_entries(self.copy, np.arange(self.size)[places], self.design.n)

    def extend(self, features):
        """Gather more columns; returns the Gram matrix of all columns with the new ones, (m, k)."""
        before, k = self.size, len(features)
        self.gather(features)
        share = self.design.shares if self.copy is None else np.ones(1)
        found = np.zeros((k, self.size))
        new_first = np.concatenate([np.arange(before, self.size), np.arange(before)])
        _kernels.column_gram(self.columns(new_first), share, self.scratch, found)
        return _kernels.complete_gram(found, self.shift).T

    def adopt(self, features):
        """Take over features whose columns are read where they are."""
        self.features, self.shift = features, self.design.shift(features)

    def keep(self, places):
        """Forget all columns but some, given by their places."""
        self.features = self.features[places]
        self.shift = self.shift[places]
        if self.copy is not None:
            self.copy, _ = self.design.copied(self.features)

    def gather(self, features):
        """Gather more columns."""
        if self.copy is None:
            self.adopt(np.concatenate([self.features, features]))
        else:
            taken, shift = self.design.copied(features)
            old = self.copy
            ends = np.concatenate([old.indptr, old.indptr[-1] + taken.indptr[1:]])
            pairs = (old.data, taken.data), (old.indices, taken.indices)
            self.copy = _kernels.CSC(*map(read_only, (*map(np.concatenate, pairs), ends)))
            self.features = np.concatenate([self.features, features])
            self.shift = np.concatenate([self.shift, shift])

    def compiled(self):
        """The columns, for descent: with their weights and scale, since it reads them many times."""
        columns = self.design.copied(self.features)[0] if self.copy is None else self.copy
        return _kernels.Centred(*columns, self.shift)

    def offset(self, coef):
        """The multiple of the root weights in the residual of some coefficients (m,)."""
        return float(self.shift @ coef)

    def products(self, residual, offset=0.0):
        """Inner products of the columns with a residual of that form, (m,)."""
        weighted = self.design.root * residual if self.copy is None else residual
        return _kernels.column_products(self.columns(), weighted) + offset * self.shift

    def combine(self, coefs):
        """Linear combinations of the columns: coefs of shape (b, m) -> (b, n), in Fortran order."""
        columns, level, root = self.columns(), coefs @ self.shift, self.design.root
        coefs = np.ascontiguousarray(coefs.T)
        if self.copy is None:
            return _kernels.combine_columns(columns, coefs, level, root).T
        whole = _kernels.combine_columns(columns, coefs, np.zeros(len(level)), np.ones(len(root)))
        return whole.T - np.outer(level, root)


class ColumnSource:
    """Gram matrices and correlations, straight from the columns of a design, for one target.

    Attributes
    ----------
    units : Units
    target : Target
    gram : None
        There is no Gram matrix of all features.
    all_at_once : bool
        Whether all features may enter the working set at once, because that costs next to nothing.
    """

    gram = None

    def __init__(self, design, y):
        self.all_at_once = design.p <= ALL_AT_ONCE and design.n * design.p <= TILE
        self.units = design.units
        self.target, self.values = design.target(y)
        self.block = design.block()
        self.design = design
        self.features = np.empty(0, dtype=np.int64)  # those of the block
        # Features and solver's state, Gram matrix included, of the path solved before, and those it has used.
        self.left: Any = None
        self.crossed = {}  # feature -> inner products of its column with all columns
        self.shortcut = True  # whether correlations may be computed from these

    @cached_property
    def start(self):
        """Correlations of all features with the target, (p,)."""
        return self.design.correlate(self.values[None])[0]

    @cached_property
    def square(self):
        """Squared norm of the target: one, or zero, up to rounding."""
        return float(_dot(self.values, self.values))

    def gather(self, features):
        """Add features to the working set, for descent."""
        self.block.gather(features)
        self.features = np.concatenate([self.features, features])

    def extend(self, features):
        """Add features to the working set; returns the Gram matrix of all of it with the new ones, (m, k)."""
        self.features = np.concatenate([self.features, features])
        return self.block.extend(features)

    def keep(self, places):
        """Forget all features of the working set but some, given by their places."""
        self.block.keep(places)
        self.features = self.features[places]

    def gram_of(self, new, before=NO_FEATURES):
        """Gram matrix of new features (k,) and some before them (m,): the columns of the new, (m + k, k)."""
        known = self.left[0] if self.left else NO_FEATURES
        places = np.full(self.design.p, -1)
        places[known] = np.arange(len(known))
        rows = places[np.concatenate([before, new])]
        if self.left and (rows >= 0).all():
            return self.left[1].gram[np.ix_(rows, places[new])]
        block = self.design.block()
        block.gather(before)
        return block.extend(new)

    def corrs_left(self, features, coef):
        """Correlations of some features with the residual of their coefficients (k,), from the columns."""
        block = self.design.block()
        block.gather(features)
        residual = self.values - block.combine(coef[None])[0]
        return block.products(residual)  # which is centred

    def products(self, features, coefs):
        """Inner products of all columns with linear combinations (b, k) of some of them: (b, p)."""
        block = self.design.block()
        block.gather(features)
        return self.design.correlate(block.combine(coefs))

    def correlate(self, coefs):
        """Correlations of all features with the residuals of some solutions on the working set.

        Parameters
        ----------
        coefs : ndarray of shape (b, m)

        Returns
        -------
        corrs : ndarray of shape (b, p)
        rss : ndarray of shape (b,)
        """
        used = np.flatnonzero(coefs.any(axis=0))
        if self.shortcut and self._is_short(used, len(coefs)):
            corrs, rss = self._from_products(coefs[:, used], used)
            # Sums over the coefficients round with their size, and differences with what they cancel.
            if np.abs(coefs).sum(axis=1).max() <= SHORT and rss.min() >= LEFT:
                return corrs, rss
        residuals = self.values - self.block.combine(coefs)
        return self.design.correlate(residuals), np.einsum("ij,ij->i", residuals, residuals)

    def adopt(self, features):
        """The features of the working set, which compiled code has chosen and gathered."""
        self.features = features
        self.block.adopt(features)

    @cached_property
    def described(self):
        """X and the target for compiled code, if X is `plain`."""
        return self.design.described(self.values, self.start, self.square)

    def verify(self, coefs, lams, screen):
        """How good some solutions on the working set are on all features.

        Parameters
        ----------
        coefs : ndarray of shape (b, m)
        lams : ndarray of shape (b,)
        screen : Screen

        Returns
        -------
        corrs : ndarray of shape (b, p)
            Correlations of all features with the residuals.
        rss, gaps : ndarray of shape (b,)
            Squared norms of the residuals, and duality gaps.
        lacking : ndarray of shape (b,), int64
            How many features outside the working set are missing.
        """
        corrs, rss = self.correlate(coefs)
        gaps, lacking = _kernels.duality_gaps(corrs, self.features, coefs, lams, screen.rules, rss)
        return corrs, rss, gaps, lacking

    def _is_short(self, used, count):
        """Whether `_from_products` takes less than half the work of passing over X for so many solutions."""
        if len(used) > 2 * count:  # nor so much memory
            return False
        new = sum(feature not in self.crossed for feature in self.features[used].tolist())
        design = self.design
        return 2 * (new * design.stored + count * len(used) * design.p) <= count * design.stored

    def _from_products(self, coefs, used):
        """`correlate` with one pass over X for each column in use, rather than for each solution."""
        features = self.features[used].tolist()
        new = [at for at, feature in enumerate(features) if feature not in self.crossed]
        if new:
            chosen = np.zeros((len(new), self.block.size))
            chosen[np.arange(len(new)), used[new]] = 1.0
            columns = self.block.combine(chosen)
            found = self.design.correlate(columns)
            self.crossed.update((features[at], row) for at, row in zip(new, found, strict=True))
        products = np.array([self.crossed[feature] for feature in features]).reshape(-1, self.design.p)
        corrs = self.start - coefs @ products
        fitted = np.einsum("ij,ij->i", coefs, self.start[features] + corrs[:, features])
        return corrs, self.square - fitted


def _dot(x, y):
    """Inner product of two vectors; BLAS would start threads, which wait on for work."""
    return np.einsum("i,i->", x, y)


def columns_of(design, features):
    """Some columns of Z as the rows of an array (k, n), in a copy."""
    if not sparse.issparse(design.X):
        return design.take(features)
    stored, shift = design.take(features)
    return stored.toarray().T - np.outer(shift, design.root)


def columns_of_entries(entries, places, n):
    """Some columns of n rows for compiled code, as `_kernels.CSC` holds them."""
    k = len(places)
    return _kernels.Columns(*entries, places, np.ones(k), np.full(k, -1), np.empty((0, n)))


def make_design(X, sample_weight, fit_intercept):
    """The design for X: dense for an ndarray, sparse for a CSC or CSR container."""
    kind = SparseDesign if sparse.issparse(X) else DenseDesign
    return kind(X, sample_weight, fit_intercept)
