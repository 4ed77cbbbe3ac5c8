"""Weighted sufficient statistics of rows: all that a linear model needs to know of tall data.

`Sums` of two sets of rows add up to those of their union, and subtract again.  Every chunk of rows
is centred on its own mean and chunks are merged by the pairwise formula, so no digits are lost to a large
mean.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from sparse_linear import _compiled as _kernels
from sparse_linear import _design
from sparse_linear._threads import in_order, listen

# A difference this much smaller than its terms has lost half of its digits.
HALF = 1e-8
# From about this many rows a first guess of their mean is made.
SAMPLE = 256
# Up to this many sets of rows are told apart to give all folds their moments in one pass.
MOST_PARTS = 64
# Moments of many folds are kept up to so many numbers, 16 MB, or up to this share of those that X holds.
KEPT = 1 << 21
ROOM = 0.1
# Up to this many columns, dense rows go to threads in pieces of about this many numbers: 8 MB.
MOST_COLUMNS = 512
PIECE = 4 * _design.TILE
# Of more columns than this, BLAS multiplies some rows faster than `_kernels.row_sums`.
FEW = 128
# So many rows are copied to columns at a time.
COPIED = 4096
# Multiplications in one product of rows, a fraction of a second's, after which a thread listens.
SPELL = 1 << 33


def _plus(a, b, x, y):
    """``a + b + x y^T`` with one new array."""
    total = np.multiply.outer(x, y)
    total += a
    total += b
    return total


def _plus_gram(total, x):
    """``total + x^T x``, in place; without a total, the first of its terms."""
    product = np.matmul(x.T, x, out=_design.room(x.shape[1], x.shape[1]))
    return product if total is None else np.add(total, product, out=total)


def _less(a, x, y):
    """``a - x y^T``, in place, a few rows at a time."""
    for rows in _slices(0, len(a), _tile_height(len(y))):
        a[rows] -= np.multiply.outer(x[rows], y)
    return a


def _two_sum(a, b):
    """The rounded sum of two numbers and its rounding error, exactly (Knuth 1969, section 4.2.2)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _times(a, scale):
    """``scale a``, in place."""
    if scale != 1.0:
        a *= scale
    return a


class Sums(NamedTuple):
    """Weight, means and weighted cross products about the means of rows of X (p columns) and Y (q)."""

    count: int  # type: ignore[assignment]  # rows with positive weight, not the method of tuples
    weight: float
    mean_x: np.ndarray  # (p,)
    mean_y: np.ndarray  # (q,)
    xx: np.ndarray  # (p, p)
    xy: np.ndarray  # (p, q)
    yy: np.ndarray  # (q,)
    # What rounding has cut off the means: theirs is the sum of both, so that sums of rows far from zero are
    # merged without loss.
    rest_x: np.ndarray | float = 0.0  # (p,)
    rest_y: np.ndarray | float = 0.0  # (q,)

    def copy(self):
        """The same with a matrix of their own."""
        xx = _design.room(*self.xx.shape)
        xx[:] = self.xx
        return self._replace(xx=xx)

    def merged(self, other):
        """Sums of both sets of rows together (Chan, Golub and LeVeque 1983, eq. 2.1)."""
        if self.weight == 0.0:
            return other
        if other.weight == 0.0:
            return self
        weight = self.weight + other.weight
        share = other.weight / weight
        apart_x, apart_y = self._apart(other)
        between = self.weight * share
        mean_x, rest_x = _two_sum(self.mean_x, self.rest_x + share * apart_x)
        mean_y, rest_y = _two_sum(self.mean_y, self.rest_y + share * apart_y)
        return Sums(
            self.count + other.count,
            weight,
            mean_x,
            mean_y,
            _plus(self.xx, other.xx, between * apart_x, apart_x),
            _plus(self.xy, other.xy, between * apart_x, apart_y),
            self.yy + other.yy + between * apart_y * apart_y,
            rest_x,
            rest_y,
        )

    def _apart(self, other):
        """How far the means of other rows are from these."""
        return (
            (other.mean_x - self.mean_x) + (other.rest_x - self.rest_x),
            (other.mean_y - self.mean_y) + (other.rest_y - self.rest_y),
        )

    def without(self, other, room=None):
        """Sums of the rows that are left when `other`, a part of them, is taken away again.

        Their matrix is written to `room` (p, p), if that is given; it may be that of `other`.
        """
        weight = self.weight - other.weight
        share = other.weight / weight
        apart_x, apart_y = self._apart(other)
        between = other.weight + other.weight * share
        mean_x, rest_x = _two_sum(self.mean_x, self.rest_x - share * apart_x)
        mean_y, rest_y = _two_sum(self.mean_y, self.rest_y - share * apart_y)
        room = _design.room(*self.xx.shape) if room is None else room
        xx = np.subtract(self.xx, other.xx, out=room)
        return Sums(
            self.count - other.count,
            weight,
            mean_x,
            mean_y,
            _less(xx, between * apart_x, apart_x),
            _less(self.xy - other.xy, between * apart_x, apart_y),
            self.yy - other.yy - between * apart_y * apart_y,
            rest_x,
            rest_y,
        )

    @classmethod
    @np.errstate(**_design.UNSAID)
    def total(cls, parts):
        """Sums of many sets of rows together; equal means stay equal, so a constant column stays one."""
        parts = [part for part in parts if part.weight > 0.0] or parts[:1]
        if len(parts) == 1:
            return parts[0]
        weights = np.array([part.weight for part in parts])
        weight = weights.sum()
        x, y = (np.array(some) for some in zip(*(parts[0]._apart(part) for part in parts), strict=True))
        shift_x, shift_y = weights @ x / weight, weights @ y / weight
        root = np.sqrt(weights)[:, None]
        x, y = root * (x - shift_x), root * (y - shift_y)
        xx, xy, yy = _plus_gram(None, x), x.T @ y, (y * y).sum(axis=0)
        for part in parts:
            xx += part.xx
            xy += part.xy
            yy += part.yy
        count = sum(part.count for part in parts)
        mean_x, rest_x = _two_sum(parts[0].mean_x, parts[0].rest_x + shift_x)
        mean_y, rest_y = _two_sum(parts[0].mean_y, parts[0].rest_y + shift_y)
        return cls(count, float(weight), mean_x, mean_y, xx, xy, yy, rest_x, rest_y)

    @np.errstate(over="ignore", invalid="ignore")  # errors that are not finite are refused
    def mean_squared_errors(self, targets, coefs, intercepts, used=slice(None)):
        """Weighted mean squared errors of linear predictions of k targets for these rows.

        Parameters
        ----------
        targets : slice or list of int
        coefs : ndarray of shape (k, b, m)
            Coefficients of the features in use.
        intercepts : ndarray of shape (k, b)
        used : slice or ndarray of shape (m,)
            These features.

        Returns
        -------
        errors : ndarray of shape (k, b)
        sure : ndarray of shape (k,), bool
            Whether all of them have kept at least half of their digits.
        """
        every = isinstance(used, slice)
        xx, xy = self.xx if every else self.xx[np.ix_(used, used)], self.xy[used][:, targets]
        flat = coefs.reshape(intercepts.size, coefs.shape[2])
        fitted = np.einsum("ij,ij->i", flat @ xx, flat).reshape(intercepts.shape)
        yy, mean = self.yy[targets][:, None], self.mean_y[targets][:, None]
        apart = yy - 2.0 * np.einsum("kbp,pk->kb", coefs, xy) + fitted
        bias = mean - coefs @ self.mean_x[used] - intercepts
        errors = apart / self.weight + bias * bias
        size = (yy + fitted) / self.weight + mean**2 + intercepts**2
        return errors, (errors >= HALF * size).all(axis=1)

    @classmethod
    def empty(cls, p, q):
        """Sums of no rows."""
        return cls(0, 0.0, np.zeros(p), np.zeros(q), np.zeros((p, p)), np.zeros((p, q)), np.zeros(q))

    @classmethod
    def from_rows(cls, X, Y, weights):
        """Sums of some dense rows with few columns; copies them."""
        count = int(np.count_nonzero(weights))
        (n, p), q = X.shape, Y.shape[1]
        if count == 0:
            return cls.empty(p, q)
        m = -(-(p + q) // 4) * 4
        columns = np.empty((m, n))
        for some in _slices(0, n, COPIED):
            columns[:p, some] = X[some].T
        columns[p : p + q] = Y.T
        columns[p + q :] = 0.0
        first = int(weights.argmax())
        if count < n:  # rows without weight may hold anything
            columns[:, weights == 0.0] = columns[:, [first]]
        mean, rest = np.empty(p + q), np.empty(p + q)
        xx, xy, yy = np.empty((p, p)), np.empty((p, q)), np.zeros(q)
        weight = float(weights.sum())
        _kernels.row_sums(columns, weights, weight, first, np.zeros((m, m)), mean, rest, xx, xy, yy)
        return cls(count, weight, mean[:p], mean[p:], xx, xy, yy, rest[:p], rest[p:])

    @classmethod
    def from_sparse(cls, X, Y, weights):
        """Sums of sparse rows; X is CSR or CSC.

        It is never made dense but for the columns that are far from zero for their spread. They hold few
        zeros, if any, and are centred before they are multiplied: afterwards, all digits could be lost.
        """
        entries = _design.entries_of(X)
        p = X.shape[1]
        weight = weights.sum()
        if weight == 0.0:
            return cls.empty(p, Y.shape[1])
        first_y = Y[np.argmax(weights)]
        y = np.where(weights[:, None] > 0.0, Y - first_y, 0.0)
        shift_y = weights @ y / weight
        mean_y = first_y + shift_y
        y -= shift_y
        mean_x = _kernels.entry_product(entries, weights[:, None], p)[:, 0] / weight
        xx = np.zeros((p, p))
        if X.format == "csr":
            _kernels.row_gram(entries, weights, xx)
        else:
            columns = _design.columns_of_entries(entries, np.arange(p), len(weights))
            _kernels.column_gram(columns, weights, np.empty(len(weights)), xx)
        xx -= np.triu(weight * np.outer(mean_x, mean_x))
        xx += np.triu(xx, 1).T
        xy = _kernels.entry_product(entries, y * weights[:, None], p)
        rest_x = np.zeros(p)
        far = np.flatnonzero((mean_x != 0.0) & ~(xx.diagonal() > weight * (mean_x / _design.FAR) ** 2))
        if len(far):
            columns = X[:, far].toarray().astype(np.float64)
            first_x = columns[np.argmax(weights)]
            columns = np.where(weights[:, None] > 0.0, columns - first_x, 0.0)
            shift_x = weights @ columns / weight
            columns -= shift_x
            mean_x[far], rest_x[far] = _two_sum(first_x, shift_x)
            weighted = columns * weights[:, None]
            cross = _kernels.entry_product(entries, weighted, p)
            xx[far], xx[:, far] = cross.T, cross
            xx[np.ix_(far, far)] = columns.T @ weighted
            xy[far] = weighted.T @ y
        count, yy = int(np.count_nonzero(weights)), weights @ (y * y)
        return cls(count, float(weight), mean_x, mean_y, xx, xy, yy, rest_x)

    @classmethod
    @np.errstate(**_design.UNSAID)
    def from_data(cls, X, Y, weights):
        """Sums of a whole data set, a block of rows at a time.

        Parameters
        ----------
        X : ndarray or CSR/CSC container of shape (n, p)
        Y : ndarray of shape (n, q)
        weights : ndarray of shape (n,)
            Non-negative.
        """
        if sparse.issparse(X):
            return cls.from_sparse(X, Y, weights)
        if X.size <= _design.TILE and X.shape[1] <= FEW:
            return cls.from_rows(X, Y, weights)
        kept = np.flatnonzero(weights)
        rows = kept if len(kept) == 0 else as_slice(kept)
        if 2 * len(kept) >= len(weights):
            rows = slice(0, len(weights))
        if isinstance(rows, slice):
            pieces = list(_slices(rows.start, rows.stop, _height(X)))
        else:
            pieces = [as_slice(kept[some]) for some in _slices(0, len(kept), _gathered(X.shape[1]))]
        return _of_pieces(X, Y, weights, [(0, rows) for rows in pieces], 1)[0]

    @classmethod
    def from_dense(cls, X, Y, weights, centre=None):
        """Sums of dense rows, a tile of X copied at a time.

        The products are taken about a point near the mean and corrected for the difference (the corrected
        two-pass algorithm; Chan, Golub and LeVeque 1983, eq. 1.7). The first pass sees a few rows only. Where
        these were misleading, and the correction would cost digits, the rows are read again, about the mean.
        """
        p, q = X.shape[1], Y.shape[1]
        if weights.max(initial=0.0) == 0.0:
            return cls.empty(p, q)
        even = weights.min() == weights.max()
        plain = X.dtype == np.float64 and X.itemsize in X.strides  # as BLAS takes it
        centre_x, centre_y, near = _near_mean(X, Y, weights) if centre is None else (*centre, False)
        found = cls._uncentred(X, Y, weights) if even and plain and near else None
        if found is not None:
            return found
        xx: Any = None
        cross, yy, weight = np.zeros((1 + q, p)), np.zeros(q), 0.0
        level = np.zeros(q)
        for x, y, root in _tiles(X, Y, weights, even, centre_x, centre_y):
            listen()
            xx = _plus_gram(xx, x)
            cross += np.vstack([root, y.T]) @ x  # in one pass
            yy += np.einsum("ij,ij->j", y, y)
            level += root @ y
            weight += root @ root
        scale = float(weights[0]) if even else 1.0
        for part in (xx, cross, yy, level):
            _times(part, scale)
        weight = float(weight * scale)
        left_x, left_y = cross[0] / weight, level / weight
        far = weight * left_x * left_x
        if centre is None and (2.0 * far > xx.diagonal()).any():
            return cls.from_dense(X, Y, weights, (centre_x + left_x, centre_y + left_y))
        _less(xx, weight * left_x, left_x)
        np.fill_diagonal(xx, np.maximum(xx.diagonal(), 0.0))  # rounding
        xy = cross[1:].T - np.outer(weight * left_x, left_y)
        yy = np.maximum(yy - weight * left_y * left_y, 0.0)
        (mean_x, rest_x), (mean_y, rest_y) = _two_sum(centre_x, left_x), _two_sum(centre_y, left_y)
        return cls(int(np.count_nonzero(weights)), weight, mean_x, mean_y, xx, xy, yy, rest_x, rest_y)

    @classmethod
    def _uncentred(cls, X, Y, weights):
        """Sums of rows of one weight from products of X itself; None where centring would cost digits."""
        (n, p), share = X.shape, weights[0]
        mean_y = Y[0] + (Y - Y[0]).mean(axis=0)
        y = (Y - mean_y).T
        left = np.vstack([np.full(n, 1.0 / n), y])
        xx: Any = None
        cross = np.zeros((len(left), p))
        for rows in _slices(0, n, max(_tile_height(p), min(4 * p, SPELL // (p * p)))):
            listen()
            xx = _plus_gram(xx, X[rows])
            cross += left[:, rows] @ X[rows]  # in one pass, and while they are at hand
        mean_x, *xy = cross
        if not (2.0 * n * mean_x * mean_x <= xx.diagonal()).all():
            return None
        _less(xx, n * mean_x, mean_x)
        xy = np.array(xy).T - np.outer(mean_x, y.sum(axis=1))
        parts = (_times(part, share) for part in (xx, xy, np.einsum("ij,ij->i", y, y)))
        return cls(n, float(weights.sum()), mean_x, mean_y, *parts)


def _near_mean(X, Y, weights):
    """Means of some rows that have weight; exact for a constant column, and for those of y.

    And whether these rows suggest that all columns are nearer to zero than their spread.
    """
    first, step = int(np.argmax(weights)), max(1, len(X) // SAMPLE)
    first_x, some, kept = X[first].astype(np.float64), X[::step], weights[::step] > 0.0
    some = (some if kept.all() else some[kept]) - first_x
    shift, square = some.sum(axis=0), np.einsum("ij,ij->j", some, some)
    count = max(1, len(some))
    shift, square = shift / count, square / count
    centre_x = first_x + shift
    apart = np.where(weights[:, None] > 0.0, Y - Y[first], 0.0)
    near = bool((np.square(centre_x) <= square - np.square(shift)).all())
    return centre_x, Y[first] + weights @ apart / weights.sum(), near


def _tiles(X, Y, weights, even, centre_x, centre_y):
    """Rows of X and Y about a centre, times the roots of the weights; and these roots.

    The roots are ones where all weights are the same. Rows without weight may hold anything: here they hold
    0.
    """
    n, p = X.shape
    missing = not weights.all()
    order: Literal["F", "C"] = "F" if abs(X.strides[0]) <= abs(X.strides[1]) else "C"
    height = min(n, max(_tile_height(p), _design.PANEL))
    x, y, root = np.empty((height, p), order=order), np.empty((height, Y.shape[1])), np.ones(height)
    for rows in _slices(0, n, height):
        if rows.stop - rows.start < height:
            x, y = (np.empty((rows.stop - rows.start, part.shape[1]), order=order) for part in (x, y))
            root = root[: len(x)]
        np.subtract(X[rows], centre_x, out=x)
        np.subtract(Y[rows], centre_y, out=y)
        if missing:
            x[weights[rows] == 0.0] = y[weights[rows] == 0.0] = 0.0
        if not even:
            root = np.sqrt(weights[rows])
            x *= root[:, None]
            y *= root[:, None]
        yield x, y, root


def as_slice(rows):
    """Row numbers, as a slice where each follows the one before: then there is no need to gather."""
    return slice(rows[0], rows[-1] + 1) if (np.diff(rows) == 1).all() else rows


def scaled_targets(Y, weights):
    """Columns of y in units of a power of two, which changes no digit, and these units (q,).

    Squares then neither overflow nor vanish. Rows without weight may hold anything: here they hold 0.
    """
    if not weights.all():
        Y = np.where(weights[:, None] > 0.0, Y, 0.0)
    top = np.maximum(Y.T.max(axis=1), -Y.T.min(axis=1))
    unit_y = np.ldexp(0.5, np.frexp(top)[1])
    return Y / unit_y, unit_y


class FoldSums(NamedTuple):
    """Sums of the rows of a cross-validation, targets in units of `unit_y`.

    Each is made when it is asked for: they are (p, p) matrices, and those of all folds would be many. What is
    fitted on belongs to who asked; what judges may be read only.
    """

    train: Sequence[Callable[[], Sums]]  # what each fold is fitted on,
    test: Sequence[Callable[[], Sums | None]]  # and what it is judged by; None where that is left to the rows
    whole: Callable[[], Sums]  # of all rows, to be fitted on
    unit_y: np.ndarray  # (q,)

    @classmethod
    def read(cls, X, Y, weights, folds):
        """From the rows; see `fold_moments`."""
        Y, unit_y = scaled_targets(Y, weights)
        train, test, whole = fold_moments(X, Y, weights, folds)
        return cls(train, test, whole, unit_y)

    @classmethod
    def of_parts(cls, parts):
        """Each of some parts is left out in turn."""
        train = [partial(_own_total, parts[:k] + parts[k + 1 :]) for k in range(len(parts))]
        test = [partial(Sums.total, [part]) for part in parts]
        return cls(train, test, partial(_own_total, parts), np.ones(len(parts[0].mean_y)))


def _own_total(parts):
    """`Sums.total`, in a matrix that is none of the parts'."""
    found = Sums.total(parts)
    return found.copy() if any(found is part for part in parts) else found


@np.errstate(**_design.UNSAID)
def fold_moments(X, Y, weights, folds):
    """Sums of the rows that each fold is fitted on, and of those that it is judged by.

    Folds share rows. Where they cut the data into few parts (K folds into K), every row is read once and the
    moments of the parts are added up: additions lose no digits, even where a column is constant on the rows
    of a fold but not outside. Else they are the moments of all rows without those that a fold leaves out,
    where that is fewer rows and loses no digits.

    What all folds need is kept if it takes at most `KEPT` numbers or a share `ROOM` of those of X. If not,
    the rows are read once for all of them, and once more for each fold when its turn comes: those that it
    leaves out, mostly, and so all of them twice. By those it is then judged without moments.

    Parameters
    ----------
    X : ndarray or CSR/CSC container of shape (n, p)
    Y : ndarray of shape (n, q)
    weights : ndarray of shape (n,)
    folds : list of `_selection.Fold`

    Returns
    -------
    train : list of callable
        Each returns `Sums`.
    test : list of callable
        Each returns `Sums`, or None where only the rows can tell.
    whole : callable
        Returns `Sums` of all rows.
    """
    n, p = X.shape
    most = max(KEPT, ROOM * X.size) / (p * p)
    labels = _parts_of(folds, n)
    if labels is not None and labels.max() < most:
        parts = _moments_of_parts(X, Y, weights, labels)
        train, test = (
            [partial(make, [parts[a] for a in np.unique(labels[rows])]) for rows in some]
            for make, some in zip((_own_total, Sums.total), zip(*folds, strict=True), strict=True)
        )
        return train, test, partial(_own_total, parts)
    whole = Sums.from_data(X, Y, weights)
    train = [partial(_fitted_on, X, Y, weights, fold, whole) for fold in folds]
    test = [_nothing] * len(folds)
    if 2 * len(folds) < most:
        train = [partial(_own_total, [one()]) for one in train]
        held_out = (np.bincount(fold.test, minlength=n) * weights for fold in folds)
        test = [partial(Sums.total, [_sums_of(X, Y, some)]) for some in held_out]
    return train, test, partial(_own_total, [whole])


def _nothing():
    """No moments."""


@np.errstate(**_design.UNSAID)
def _fitted_on(X, Y, weights, fold, whole):
    """Sums of the rows that a fold is fitted on, where those of all rows are known."""
    kept = fold.weights(weights, len(weights))
    left_out = weights - kept
    if 2 * np.count_nonzero(left_out) < len(fold.train) and (left_out >= 0.0).all():
        apart = _sums_of(X, Y, left_out)
        found = whole.without(apart, room=apart.xx)
        pairs = ((found.xx.diagonal(), whole.xx.diagonal()), (found.yy, whole.yy))
        if all((some > 0.01 * every).all() for some, every in pairs):
            return found
    return _sums_of(X, Y, kept)


def _sums_of(X, Y, weights):
    """Sums of the rows that have weight."""
    if not sparse.issparse(X):
        return Sums.from_data(X, Y, weights)
    rows = np.flatnonzero(weights)
    return Sums.from_data(X[rows], Y[rows], weights[rows])


def _parts_of(folds, n):
    """Labels (n,) of rows that all folds treat alike, or None where there would be too many."""
    if 2 * len(folds) > MOST_PARTS - 2:
        return None
    code = np.zeros(n, dtype=np.int64)
    for place, rows in enumerate(part for fold in folds for part in fold):
        member = np.bincount(rows, minlength=n)
        if member.max() > 1:
            return None
        code |= member << place
    found, labels = np.unique(code, return_inverse=True)
    return labels if len(found) <= MOST_PARTS else None


def _moments_of_parts(X, Y, weights, labels):
    """Sums of the rows with each label, in one pass over the rows."""
    count = labels.max() + 1
    if sparse.issparse(X):
        return [Sums.from_sparse(X, Y, np.where(labels == a, weights, 0.0)) for a in range(count)]
    n, p = X.shape
    pieces, scattered = [], []
    for a in range(count):
        rows = as_slice(np.flatnonzero(labels == a))
        if isinstance(rows, slice):
            pieces += [(a, some) for some in _slices(rows.start, rows.stop, _height(X))]
        else:
            scattered.append(a)
    for block in _slices(0, n if scattered else 0, count * _gathered(p)):
        inside = labels[block]
        here = np.intersect1d(inside, scattered)
        pieces += [(a, as_slice(block.start + np.flatnonzero(inside == a))) for a in here]
    return _of_pieces(X, Y, weights, pieces, count)


def _slices(start, stop, height):
    """Slices of so many rows, the last of what is left."""
    return (slice(top, min(top + height, stop)) for top in range(start, stop, height))


def _tile_height(p):
    """The number of rows that are copied at a time."""
    return max(_design.TILE // p, 256)


def _gathered(p):
    """The number of scattered rows that are copied at a time: to merge their sums takes as long as a few."""
    return max(_tile_height(p), p)


def _height(X):
    """The number of rows of X in a piece that is given to a thread of ours.

    A product of few columns is too little work for the threads of BLAS, and the sums of a piece take little
    memory. Else all rows are one piece.
    """
    n, p = X.shape
    return max(PIECE // p, 4 * p) if p <= MOST_COLUMNS else n


def _of_pieces(X, Y, weights, pieces, count):
    """Sums for each of `count` labels of dense rows, from pieces: a label and rows that have it."""

    def work(piece):
        label, rows = piece
        read = Sums.from_rows if X.shape[1] <= FEW and not isinstance(rows, slice) else Sums.from_dense
        with np.errstate(**_design.UNSAID):  # each thread has its own
            return label, read(X[rows], Y[rows], weights[rows])

    found: list[Any] = [None] * count
    for label, part in in_order(work, pieces) if len(pieces) > 1 else map(work, pieces):
        found[label] = part if found[label] is None else found[label].merged(part)
    return [Sums.empty(X.shape[1], Y.shape[1]) if part is None else part for part in found]


class MomentDesign:
    """Sums in the units of the solvers: what is left of a tall X.

    Parameters
    ----------
    moments : Sums
        Their matrix becomes the Gram matrix, in place.
    fit_intercept : bool
    units : Units or None
        Of the columns, where they are known better than from the moments: those of sparse rows are centred by
        a subtraction, which cannot tell a constant column from rounding.
    unit_y : float or ndarray of shape (q,)
        What the targets were divided by before their moments were taken, so that squares neither overflow nor
        vanish.
    """

    @np.errstate(**_design.UNSAID)
    def __init__(self, moments, fit_intercept, units=None, unit_y=1.0):
        self.fit_intercept = fit_intercept
        self.count, self.weight = moments.count, moments.weight
        gram = np.divide(moments.xx, moments.weight, out=moments.xx)
        xy, yy = moments.xy / moments.weight, moments.yy / moments.weight
        mean, self.mean_y = moments.mean_x, moments.mean_y
        if not fit_intercept:
            _less(gram, -mean, mean)
            xy = xy + np.outer(mean, self.mean_y)
            yy = yy + self.mean_y**2
            mean, self.mean_y = np.zeros_like(mean), np.zeros_like(self.mean_y)
        if units is None:
            units = _design.make_units(mean, np.array(gram.diagonal()), moments.count if fit_intercept else 2)
        self.units = units
        norm = self.units.norm
        for rows in _slices(0, len(gram), _tile_height(len(gram))):
            gram[rows] /= norm * norm[rows, None]
        self.gram = gram
        self.corrs = xy / norm[:, None] * unit_y
        self.unit_y = unit_y + np.zeros(len(yy))
        self.squares = yy

    def target(self, index):
        """Mean and scale of one column of y."""
        mean = float(self.mean_y[index])
        scale = float(np.sqrt(self.squares[index]))
        if scale <= _design.CONSTANT * abs(mean):
            scale = 0.0
        return _design.Target(mean * self.unit_y[index], scale * self.unit_y[index])


class MomentSource:
    """The Gram matrix of all features and their correlations with one target, from moments.

    What `_active_set.solve_path` needs of tall data; see `_design.ColumnSource` for the rest.
    """

    def __init__(self, design, index):
        self.units = design.units
        self.target = design.target(index)
        self.gram = design.gram
        self.start = self.target.divided(design.corrs[:, index])
        self.square = float(self.target.scale > 0.0)

    def gram_of(self, new, before=_design.NO_FEATURES):
        """As `_design.ColumnSource.gram_of`."""
        return self.gram[np.ix_(np.concatenate([before, new]), new)]

    def corrs_left(self, features, coef):
        """As `_design.ColumnSource.corrs_left`; all that is known of the columns is their moments."""
        every = np.zeros(len(self.gram))
        every[features] = coef
        return self.start[features] - (self.gram @ every)[features]  # faster than to gather rows and columns

    def products(self, features, coefs):
        """As `_design.ColumnSource.products`."""
        return coefs @ self.gram[features]
