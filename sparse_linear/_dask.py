"""Dask collections: their moments in one graph, of which only (p, p) numbers come back; predictions, lazily.

Each block of rows becomes the `Moments` of its rows where it is, and a tree of sums brings them together.
Scheduling, spilling and retries are Dask's.
"""

import numbers
import sys
from itertools import zip_longest

import numpy as np

from sparse_linear._streaming import Moments, check_width
from sparse_linear._validation import check_count

# How many moments one task adds up.
FAN = 8


def is_collection(X):
    """Whether X is a Dask array or data frame; Dask is not imported to find out."""
    return "dask" in sys.modules and hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def moments(X, y, sample_weight=None):
    """`Moments` of Dask collections, computed by the scheduler in charge."""
    from dask import delayed

    blocks = _blocks(X, y, sample_weight)
    sums = [delayed(_of_block)(*block) for block in blocks]
    return _tree(sums, delayed(sum)).compute()


def fold_moments(X, y, sample_weight, n_folds, label):
    """A list of `Moments`, one for each fold; in the same single pass.

    Parameters
    ----------
    X, y, sample_weight : Dask collections; the weights may be None
    n_folds : int or None
    label : Dask collection or None
        The number of each row's fold; there are as many folds as it has numbers. Without it, row ``i`` goes
        to fold ``i % n_folds``; ``i`` counts the rows of its block where the sizes of blocks are not known.
    """
    from dask import delayed

    starts = _starts(X)
    blocks = _blocks(X, y, sample_weight, label)
    sums = [
        delayed(_folds_of_block)(*block, n_folds=n_folds, start=start)
        for block, start in zip(blocks, starts, strict=True)
    ]
    return _tree(sums, delayed(_added)).compute()


def folds_of(cv, X, y, sample_weight):
    """`fold_moments` for a number of folds, or for a collection that holds the fold of each row."""
    if cv is None or isinstance(cv, numbers.Integral):
        return fold_moments(X, y, sample_weight, 5 if cv is None else check_count(cv, "cv"), None)
    if not is_collection(cv):
        raise ValueError(
            "cv must be a number of folds for Dask collections, or a collection that holds each row's fold; "
            f"got {cv!r:.60}."
        )
    if getattr(getattr(cv, "dtype", None), "kind", None) not in ("i", "u"):
        raise ValueError(
            "cv must hold whole numbers from 0, the fold of each row, as an array or one column of a data "
            f"frame; got {getattr(cv, 'dtype', type(cv).__name__)}."
        )
    return fold_moments(X, y, sample_weight, None, cv)


def predict(model, X):
    """Predictions as a Dask array, which is not computed."""
    import dask.array as da
    from dask import delayed

    dtype = np.result_type(X.dtype if isinstance(X, da.Array) else np.float64, model.coef_, np.float32)
    columns = () if np.ndim(model.coef_) == 1 else (len(model.coef_),)
    if isinstance(X, da.Array):
        X = X.rechunk({1: -1})
        if not columns:
            return X.map_blocks(model.predict, dtype=dtype, drop_axis=1)
        return X.map_blocks(model.predict, dtype=dtype, chunks=(X.chunks[0], columns))
    # Blocks of a data frame keep the names of its columns.
    work = delayed(type(model).predict, pure=True)
    return da.concatenate(
        [da.from_delayed(work(model, block), (np.nan, *columns), dtype=dtype) for block in X.to_delayed()],
        allow_unknown_chunksizes=True,
    )


def _of_block(X, y, sample_weight=None):
    return Moments().update(X, y, sample_weight)


def _folds_of_block(X, y, sample_weight, label, n_folds, start):
    if n_folds is None:
        label = np.asarray(label)
        n_folds = max(label.max(initial=0), 0) + 1
    else:
        label = np.arange(start, start + X.shape[0]) % n_folds
    return Moments.by_fold([(X, y, sample_weight, label)], n_folds)


def _added(parts):
    return [sum(folds) for folds in zip_longest(*parts, fillvalue=0)]


def _tree(parts, add):
    """One delayed object from many, `FAN` at a time."""
    while len(parts) > 1:
        parts = [add(parts[first : first + FAN]) for first in range(0, len(parts), FAN)]
    return parts[0]


def _blocks(X, *columns):
    """Delayed blocks of rows: tuples of a block of X and the same rows of each column (or None)."""
    if len(X.shape) != 2:
        raise ValueError("X must be a 2D Dask array or a data frame, got one column; X[:, None] makes it 2D.")
    check_width(X.shape[1])
    if hasattr(X, "rechunk"):
        X = X.rechunk({1: -1})
    whole = _delayed(X)
    parts = [_pieces(column, X, len(whole)) for column in columns]
    return list(zip(whole, *parts, strict=True))


def _delayed(collection):
    """The delayed blocks of rows of a collection.

    Graphs of arrays stay as they are: what X and y have in common is then one task, done once, and both are
    where it was done. Those of data frames are optimised, so that no column is read that nobody asks for.
    """
    if hasattr(collection, "chunks"):
        return list(collection.to_delayed(optimize_graph=False).ravel())
    return list(collection.to_delayed())


def _pieces(column, X, count):
    """The blocks of a column, cut as X is cut."""
    if column is None:
        return [None] * count
    if not is_collection(column):
        return _cut(column, X, count)
    known = hasattr(column, "chunks") and hasattr(X, "chunks") and not np.isnan(sum(X.chunks[0]))
    if known and not np.isnan(sum(column.chunks[0])):
        if sum(column.chunks[0]) != sum(X.chunks[0]):
            raise ValueError(
                f"X and y must have the same number of rows, got {sum(X.chunks[0])} and "
                f"{sum(column.chunks[0])}."
            )
        column = column.rechunk({0: X.chunks[0], **({1: -1} if column.ndim == 2 else {})})
    pieces = _delayed(column)
    if len(pieces) != count:
        raise ValueError(
            f"X has {count} blocks of rows and y or another column {len(pieces)}, of unknown sizes: cut them "
            "alike (repartition, or compute_chunk_sizes), so that rows can be matched."
        )
    return pieces


def _cut(column, X, count):
    """An array in memory, cut as X is cut."""
    if not hasattr(X, "chunks") or np.isnan(sum(X.chunks[0])):
        raise ValueError(
            "y and sample_weight must be Dask collections like X, whose blocks have unknown sizes here; make "
            "them from the same source, or call compute_chunk_sizes."
        )
    column = np.asarray(column)
    if len(column) != sum(X.chunks[0]):
        raise ValueError(
            f"X and y must have the same number of rows, got {sum(X.chunks[0])} and {len(column)}."
        )
    return np.split(column, np.cumsum(X.chunks[0])[:-1])


def _starts(X):
    """The number of each block's first row; zeros where the sizes of blocks are not known."""
    if hasattr(X, "chunks") and not np.isnan(sum(X.chunks[0])):
        return np.concatenate([[0], np.cumsum(X.chunks[0])[:-1]]).tolist()
    return [0] * X.npartitions
