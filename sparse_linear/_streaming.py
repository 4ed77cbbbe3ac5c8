"""`Moments`: data that no memory holds, reduced to what a linear model needs of it, in one pass.

The moments of chunks add up, and so do those of files, days, workers and folds; every estimator fits them
exactly.
"""

from __future__ import annotations

import numbers
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO, Self

import numpy as np
from scipy import sparse

from sparse_linear import _design, _validation
from sparse_linear._moments import Sums, as_slice
from sparse_linear._threads import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from numpy.typing import NDArray

    from sparse_linear._estimators import LinearModel
    from sparse_linear._typing import Chunk, ColumnsLike, LabelledChunk, MatrixLike

# The layout of a saved file.
FORMAT = 1
# Moments of more columns than this would take more than 3 GB.
WIDEST = 20_000
# Numbers in a block of rows that are read at a time, where it is up to us: 16 MB.
BLOCK = 8 * _design.TILE
# Numbers in the rows of one fold that are gathered at a time: 4 MB, which stay in the cache.
PIECE = 2 * _design.TILE
# Rows in either at least, so that adding up (p, p) matrices takes less time than making them.
FEWEST_ROWS = 2048


class Moments:
    """Weighted count, means, and cross products about the means, of rows of X and y.

    All that a linear model needs to know of data with many more rows than columns: ``(p, p)`` numbers,
    however many rows. Every chunk is centred on its own mean and chunks are merged by the pairwise formula
    (Chan, Golub and LeVeque 1983, eq. 2.1), so that no digits are lost to large means.

    Attributes
    ----------
    n_samples : int
        Rows with positive weight.
    weight : float
        Sum of the sample weights.
    n_features : int or None
        None as long as there are no rows.
    feature_names : ndarray of shape (n_features,) or None
        Column names, if X came with names.
    n_targets : int or None
        None if y is one-dimensional.

    See Also
    --------
    Lasso.fit_moments, Ridge.fit_moments, LassoCV.fit_moments : Fit to moments.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_linear import Lasso, Moments
    >>> rng = np.random.default_rng(0)
    >>> def chunks():
    ...     for _ in range(10):
    ...         X = rng.normal(size=(1000, 5))
    ...         yield X, X[:, 0] - 2.0 * X[:, 3] + rng.normal(size=1000)
    >>> moments = Moments.from_chunks(chunks())
    >>> moments.n_samples
    10000
    >>> Lasso(alpha=0.1).fit_moments(moments).coef_.round(1)
    array([ 0.9,  0. ,  0. , -1.9,  0. ])
    """

    sums: Sums | None
    feature_names: NDArray[np.object_] | None
    n_targets: int | None

    def __init__(self) -> None:
        self.sums = None
        self.feature_names = None
        self.n_targets = None

    # -- making ------------------------------------------------------------------------------

    @classmethod
    def from_data(cls, X: MatrixLike, y: ColumnsLike, sample_weight: ColumnsLike | None = None) -> Self:
        """Moments of X and y, which are read once, in blocks of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            An array, memory map or data frame; or anything with a `shape` and slices of rows that NumPy can
            turn into arrays. Blocks take 16 MB, or 2048 rows if these are more; one is read while the one
            before is worked on. Those of a sparse matrix take about as much memory as the moments.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        Moments
        """
        return cls.from_chunks(_blocks(X, y, sample_weight))

    @classmethod
    def from_chunks(cls, chunks: Iterable[Chunk]) -> Self:
        """Moments of chunks of rows, which are read one after the other while the one before is worked on.

        Parameters
        ----------
        chunks : iterable of (X, y) or (X, y, sample_weight)
            Slices of memory maps are read when it is their turn. Chunks of thousands of rows are best: the
            work on each begins and ends with a (p, p) matrix.

        Returns
        -------
        Moments
        """
        return cls._of_folds(chunks, 3, 1)[0]

    @classmethod
    def by_fold(cls, chunks: Iterable[LabelledChunk], n_folds: int = 5) -> list[Moments]:
        """Moments of the folds of a cross-validation, in one pass over the rows.

        Parameters
        ----------
        chunks : iterable of (X, y), (X, y, sample_weight) or (X, y, sample_weight, fold)
            `fold` holds the number of each row's fold, from 0 to ``n_folds - 1`` (and `sample_weight` may be
            None). Without it, the rows are dealt out in turn: row ``i`` goes to fold ``i % n_folds``. Slices
            of memory maps are read when it is their turn.
        n_folds : int, default=5

        Returns
        -------
        list of Moments
        """
        return cls._of_folds(chunks, 4, _validation.check_count(n_folds, "n_folds"))

    @classmethod
    def _of_folds(cls, chunks, most, n_folds):
        """Moments of every fold of chunks of up to `most` parts."""
        spaces = threading.local()  # for the rows that a thread gathers

        def work(piece):
            fold, X, rows, y, weight, names = piece
            if rows is not None:
                X = _gathered(X, rows, spaces)
            return fold, cls.of_checked(X, y, weight, names)

        folds: list[Moments] = [cls() for _ in range(n_folds)]
        # Closed, or their threads would live as long as somebody looks at an error that has ended the work.
        with (
            closing(_ahead(chunks)) as ahead,
            closing(in_order(work, _pieces(ahead, most, n_folds))) as parts,
        ):
            for fold, part in parts:
                folds[fold] = folds[fold] + part
        return folds

    def update(self, X: MatrixLike, y: ColumnsLike, sample_weight: ColumnsLike | None = None) -> Self:
        """Add rows, in place.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : Moments
        """
        if _check_rows(X, y) == 0:
            return self
        names = _names(X)
        X, y = _validation.check_path_data(X, y)
        total = self + Moments.of_checked(X, y, sample_weight, names)
        self.sums, self.feature_names, self.n_targets = total.sums, total.feature_names, total.n_targets
        return self

    @classmethod
    def of_checked(
        cls,
        X: np.ndarray | sparse.csr_array | sparse.csc_array,
        y: NDArray[np.float64],
        sample_weight: ColumnsLike | None,
        feature_names: NDArray[np.object_] | None,
    ) -> Self:
        """Moments of X and y that have passed the checks of `_validation`; the weights have not."""
        check_width(X.shape[1])
        weights = _validation.check_sample_weight(sample_weight, len(y), some=False)
        new = cls()
        new.feature_names = feature_names
        new.n_targets = None if y.ndim == 1 else y.shape[1]
        new.sums = Sums.from_data(X, y.reshape(len(y), -1), np.ones(len(y)) if weights is None else weights)
        if not np.isfinite(new.sums.xx.sum()):
            raise ValueError("X holds values whose squares overflow; divide its columns.")
        return new

    def describe(self, estimator: LinearModel) -> None:
        """Set on an estimator what a fit says about its input."""
        estimator.n_features_in_ = self.n_features  # type: ignore[assignment]  # fits have rows
        if self.feature_names is not None:
            estimator.feature_names_in_ = self.feature_names
        elif hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_

    # -- algebra -----------------------------------------------------------------------------

    def __add__(self, other: Moments | int) -> Moments:
        """Moments of both sets of rows together; in any order the same, up to rounding."""
        if isinstance(other, numbers.Number) and other == 0:
            return self  # what `sum` begins with
        if not isinstance(other, Moments):
            return NotImplemented
        if self.sums is None or other.sums is None:
            return other if self.sums is None else self
        result = self._like(other)
        result.sums = self.sums.merged(other.sums)
        return result

    __radd__ = __add__

    def __sub__(self, other: Moments) -> Moments:
        """Moments of the rows that are left when `other`, some of them, are taken away again."""
        if not isinstance(other, Moments):
            return NotImplemented
        if other.sums is None:
            return self
        if self.sums is None or self.sums.count <= other.sums.count or self.sums.weight <= other.sums.weight:
            raise ValueError(
                f"Taking away {other.n_samples} rows (weight {other.weight:g}) from {self.n_samples} "
                f"(weight {self.weight:g}) would leave nothing; only a part can be taken away."
            )
        left = self._like(other)
        left.sums = self.sums.without(other.sums)
        spread = left.sums.xx.diagonal()
        if (spread < -1e-8 * self.sums.xx.diagonal()).any():
            raise ValueError("The rows to take away are not among these: a variance would become negative.")
        np.einsum("ii->i", left.sums.xx)[:] = np.maximum(spread, 0.0)
        return left

    def _like(self, other):
        """New moments of the columns that both have."""
        for what, mine, theirs in (
            ("n_features", self.n_features, other.n_features),
            ("n_targets", self.n_targets, other.n_targets),
        ):
            if mine != theirs:
                raise ValueError(f"Moments must agree in {what} to be combined, got {mine} and {theirs}.")
        if not _same_names(self.feature_names, other.feature_names):
            raise ValueError(
                f"Moments must agree in their feature names, got {_first_difference(self, other)}; bring the "
                "columns of all chunks into the same order."
            )
        result = Moments()
        result.feature_names = self.feature_names
        result.n_targets = self.n_targets
        return result

    # -- looking -----------------------------------------------------------------------------

    @property
    def n_samples(self) -> int:
        """Rows with positive weight."""
        return 0 if self.sums is None else self.sums.count

    @property
    def weight(self) -> float:
        """Sum of the sample weights."""
        return 0.0 if self.sums is None else self.sums.weight

    @property
    def n_features(self) -> int | None:
        """Columns of X."""
        return None if self.sums is None else len(self.sums.mean_x)

    def __repr__(self) -> str:
        return (
            f"Moments(n_samples={self.n_samples}, n_features={self.n_features}, n_targets={self.n_targets})"
        )

    # -- keeping -----------------------------------------------------------------------------

    def save(self, file: str | PathLike[str] | BinaryIO) -> None:
        """Write to an NPZ file: a path, to which ``.npz`` is added if it is missing, or an open file."""
        if self.sums is None:
            raise ValueError("There are no rows in these moments; there is nothing to save.")
        names = np.empty(0, dtype=str) if self.feature_names is None else self.feature_names.astype(str)
        targets = -1 if self.n_targets is None else self.n_targets
        np.savez(file, format=FORMAT, n_targets=targets, feature_names=names, **self.sums._asdict())

    @classmethod
    def load(cls, file: str | PathLike[str] | BinaryIO) -> Self:
        """Read what `save` has written; nothing in the file is executed."""
        with np.load(file, allow_pickle=False) as content:
            if "format" not in content or int(content["format"]) != FORMAT:
                raise ValueError(f"{file!r:.60} does not hold moments in a format that this version reads.")
            parts = {name: content[name] for name in Sums._fields}
            names, targets = content["feature_names"], int(content["n_targets"])
        parts.update(count=int(parts["count"]), weight=float(parts["weight"]))
        result = cls()
        result.sums = Sums(**parts)
        result.feature_names = names.astype(object) if len(names) else None
        result.n_targets = None if targets < 0 else targets
        return result


def check_width(n_features):
    """Say what it would take before any work is done on very wide data."""
    if n_features > WIDEST:
        size = 8 * n_features * n_features
        raise ValueError(
            f"Moments of {n_features} columns take {size} bytes ({size / 2**30:.0f} GiB), and a fit about "
            f"three times that; up to {WIDEST} columns are possible. Fit wide data as arrays, or select "
            "columns first."
        )


def check_moments(moments):
    """Moments of some rows."""
    if not isinstance(moments, Moments):
        raise TypeError(
            f"moments must be Moments, got {moments!r:.60}; Moments.from_data(X, y) makes them of data."
        )
    if moments.n_samples == 0:
        raise ValueError("moments hold no rows with positive weight; there is nothing to fit.")
    return moments


def check_folds(folds):
    """Moments of at least two folds, and of all their rows."""
    if isinstance(folds, Moments):
        raise TypeError("folds must be a list of Moments, one for each fold; Moments.by_fold makes them.")
    folds = [check_moments(fold) for fold in folds]
    if len(folds) < 2:
        raise ValueError(f"folds must be at least two Moments, got {len(folds)}.")
    return folds, sum(folds)


def _parts(chunk, most):
    """A chunk of up to `most` entries as a tuple of four, None for those that are missing."""
    if not isinstance(chunk, (tuple, list)) or not 2 <= len(chunk) <= most:
        names = "(X, y), (X, y, sample_weight)" + (" or (X, y, sample_weight, fold)" if most == 4 else "")
        raise ValueError(f"Every chunk must be a tuple {names}, got {chunk!r:.60}.")
    return (*chunk, *[None] * (4 - len(chunk)))


def _ahead(chunks):
    """The same chunks, each fetched and read in a thread while the one before is in use."""
    chunks = iter(chunks)
    end = object()

    def fetch():
        chunk = next(chunks, end)
        return tuple(map(_read, chunk)) if isinstance(chunk, (tuple, list)) else chunk

    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(fetch)
        while (chunk := coming.result()) is not end:
            coming = reader.submit(fetch)
            yield chunk


def _read(part):
    """A part of a chunk; if it is a view of a file, what is there."""
    return np.array(part) if isinstance(part, np.memmap) else part


def _pieces(chunks, most, n_folds):
    """Chunks cut up for work: fold, X and which of its rows, their y and weights, names of columns.

    Pieces do not depend on how many threads there are, so the sums do not either.
    """
    seen = 0
    for chunk in chunks:
        X, y, weight, label = _parts(chunk, most)
        n = _check_rows(X, y)
        if n == 0:
            continue
        if label is None:
            label = np.arange(seen, seen + n) % n_folds
        label = _checked_labels(label, n, n_folds)
        seen += n
        names = _names(X)
        X, y = _validation.check_path_data(X, y)
        weight = _validation.check_sample_weight(weight, n, some=False)
        if n_folds == 1 and (sparse.issparse(X) or n * X.shape[1] <= BLOCK):
            yield 0, X, None, y, weight, names
            continue
        height = n
        if sparse.issparse(X):
            X = X.tocsr()
        else:
            height = max(PIECE // X.shape[1], FEWEST_ROWS)
        for fold in range(n_folds):
            rows = np.flatnonzero(label == fold)
            for first in range(0, len(rows), height):
                some = as_slice(rows[first : first + height])
                yield fold, X, some, y[some], None if weight is None else weight[some], names


def _blocks(X, y, sample_weight):
    """Blocks of rows; see `Moments.from_data` for their size."""
    n = _check_rows(X, y)
    p = X.shape[1] if hasattr(X, "shape") and len(X.shape) > 1 else 1
    check_width(p)
    if sample_weight is not None:
        sample_weight = _validation.check_sample_weight(sample_weight, n)
    if sparse.issparse(X):
        X = X.tocsr()
        height = n * max(BLOCK, p * p) // max(1, X.nnz)
    else:
        height = BLOCK // max(1, p)
    height = max(height, FEWEST_ROWS)
    for top in range(0, n, height):
        rows = slice(top, top + height)
        block = _take(X, rows)
        if not (isinstance(block, np.ndarray) or sparse.issparse(block) or hasattr(block, "columns")):
            block = np.asarray(block)
        yield block, _take(y, rows), None if sample_weight is None else sample_weight[rows]


def _check_rows(X, y):
    """The number of rows of both."""
    n, m = (part.shape[0] if hasattr(part, "shape") else len(part) for part in (X, y))
    if m != n:
        raise ValueError(f"X and y must have the same number of rows, got {n} and {m}.")
    return n


def _take(data, rows):
    """Rows of an array, sparse matrix, data frame or series, given by a slice or by their numbers."""
    if hasattr(data, "iloc"):
        return data.iloc[rows]
    return data[rows] if hasattr(data, "shape") else np.asarray(data)[rows]


def _gathered(X, rows, spaces):
    """Rows of an array or CSR container, given by a slice or by their numbers.

    Rows of an array that have to be copied go to memory which the thread has used before: to get new memory
    from the system would take several times as long as to copy them.
    """
    if sparse.issparse(X) or isinstance(rows, slice):
        return X[rows]
    space = getattr(spaces, "last", None)
    if space is None or space.dtype != X.dtype or len(space) < len(rows) or space.shape[1] != X.shape[1]:
        space = spaces.last = np.empty((len(rows), X.shape[1]), X.dtype)
    return np.take(X, rows, axis=0, out=space[: len(rows)], mode="clip")  # other modes copy twice


def _names(X):
    """Names of the columns, if all are strings."""
    columns = getattr(X, "columns", None)
    if columns is None or not all(isinstance(name, str) for name in columns):
        return None
    return np.array(list(columns), dtype=object)


def _same_names(a, b):
    return (a is None and b is None) or (a is not None and b is not None and np.array_equal(a, b))


def _first_difference(a, b):
    if a.feature_names is None or b.feature_names is None:
        return "names for some of them only"
    at = int(np.argmax(a.feature_names != b.feature_names))
    return f"{a.feature_names[at]!r} and {b.feature_names[at]!r} for column {at}"


def _checked_labels(label, n, n_folds):
    label = np.asarray(label)
    if (
        label.shape != (n,)
        or label.dtype.kind not in "iu"
        or (n and not 0 <= label.min() <= label.max() < n_folds)
    ):
        raise ValueError(
            f"fold must hold one number from 0 to {n_folds - 1} for each of the {n} rows of a chunk, "
            f"got {label!r:.60}."
        )
    return label
