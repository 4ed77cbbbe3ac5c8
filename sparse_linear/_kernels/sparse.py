"""Sparse X: one source for compressed columns and compressed rows.

Centring never makes entries of zeros: the mean of a column is taken from its products afterwards, as a
multiple of the root weights, so that everything costs the entries that are stored. Where the two storages
need loops of their own, an `overload` takes the one for the type at hand when its caller is compiled.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from sparse_linear._kernels.leaves import dot, inner, kernel, leaf, part, share_of

# Up to so many compressed columns are multiplied with others one by one.
FEW = 6
# About how many entries of compressed columns are gathered at a time.
GATHERED = 1 << 14
ONE, TWO, THREE, FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)


# ---------------------------------------------------------------------------------------------
# Storage
# ---------------------------------------------------------------------------------------------


class CSC(NamedTuple):
    """Entries stored by column.

    Indices are unsigned, here and below (`_design.entries_of` sees to it): compiled code checks every signed
    one for a negative value.
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


class CSR(NamedTuple):
    """Entries stored by row."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


@kernel
def are_increasing(matrix):
    """Whether the indices of every compressed column (row) increase: sorted, and none of them twice.

    They do if as many of all indices are followed by one that is not larger as the columns have ends where
    that is so.
    """
    _, indices, indptr = matrix
    at_ends, before = 0, indptr[0]
    for k in range(1, indptr.shape[0]):
        stop = indptr[k]
        if stop < before:
            return False
        if before < stop < indptr[-1]:
            at_ends += indices[stop - 1] >= indices[stop]
        before = stop
    return _count_falls(indices[: indptr[-1]]) == at_ends


@kernel
def are_below(matrix, limit):
    """Whether all indices are, if those of every compressed column (row) are sorted.

    Negative ones, which are first or, since they count as unsigned, last, are not.
    """
    _, indices, indptr = matrix
    for k in range(1, indptr.shape[0]):
        start, stop = indptr[k - 1], indptr[k]
        if start < stop and max(np.uint64(indices[start]), np.uint64(indices[stop - 1])) >= np.uint64(limit):
            return False
    return True


@leaf
def _count_falls(indices):
    count = 0
    before, after = indices[:-1], indices[1:]
    for i in range(len(after)):
        count += before[i] >= after[i]
    return count


def row_and_column(matrix, major, minor):
    """Row and column of an entry from its place in the storage; decided at compile time."""
    return (minor, major) if isinstance(matrix, CSC) else (major, minor)


@overload(row_and_column, inline="always")
def _row_and_column(matrix, major, minor):
    if matrix.instance_class is CSC:
        return lambda matrix, major, minor: (minor, major)
    return lambda matrix, major, minor: (major, minor)


@part
def _entry_dot(data, indices, start, stop, x):
    """Sum of ``data[place] * x[indices[place]]`` for ``start <= place < stop``.

    Four sums side by side, since an addition takes several cycles. Not a `leaf`: there the compiler makes
    vectors of single entries of x, which takes twice the time; and many columns are so short that a call
    takes longer than its work. Places are unsigned, since every signed one is checked.
    """
    a = b = c = d = 0.0
    place, stop = np.uint64(start), np.uint64(stop)
    while place + FOUR <= stop:
        a += data[place] * x[indices[place]]
        b += data[place + ONE] * x[indices[place + ONE]]
        c += data[place + TWO] * x[indices[place + TWO]]
        d += data[place + THREE] * x[indices[place + THREE]]
        place += FOUR
    while place < stop:
        a += data[place] * x[indices[place]]
        place += ONE
    return (a + b) + (c + d)


# ---------------------------------------------------------------------------------------------
# Products of all columns
# ---------------------------------------------------------------------------------------------


@inner
def _product_of_columns(data, indices, indptr, x, result):
    for j in range(indptr.shape[0] - 1):
        result[j] += _entry_dot(data, indices, indptr[j], indptr[j + 1], x)


@leaf
def _product_of_rows(data, indices, indptr, x, result):
    for i in range(indptr.shape[0] - 1):
        for place in range(indptr[i], indptr[i + 1]):
            result[indices[place]] += data[place] * x[i]


def vector_product(matrix, x, result):
    """Add ``X^T x`` to `result`; each storage has its own fastest loop."""
    product = _product_of_columns if isinstance(matrix, CSC) else _product_of_rows
    product(matrix.data, matrix.indices, matrix.indptr, x, result)


@overload(vector_product, inline="always")
def _vector_product(matrix, x, result):
    product = _product_of_columns if matrix.instance_class is CSC else _product_of_rows
    return lambda matrix, x, result: product(matrix.data, matrix.indices, matrix.indptr, x, result)


@inner(fastmath={"contract"})
def _products_of_columns(data, indices, indptr, rows, result):
    for j in range(indptr.shape[0] - 1):
        _add_entry_dots(data, indices, indptr[j], indptr[j + 1], rows, j, result)


@part(fastmath={"contract"})
def _add_entry_dots(data, indices, start, stop, rows, j, result):
    """Add to row `j` of a result the products of some entries with the rows that they belong to."""
    width = rows.shape[1]
    full = stop - (stop - start) % 4
    # Four entries at a time, so that the sums are fetched and put back only once for them.
    for place in range(start, full, 4):
        e, f, g, h = indices[place], indices[place + 1], indices[place + 2], indices[place + 3]
        s, t, u, v = data[place], data[place + 1], data[place + 2], data[place + 3]
        for c in range(width):
            result[j, c] += (s * rows[e, c] + t * rows[f, c]) + (u * rows[g, c] + v * rows[h, c])
    for place in range(full, stop):
        for c in range(width):
            result[j, c] += data[place] * rows[indices[place], c]


@inner(fastmath={"contract"})
def _products_of_rows(data, indices, indptr, rows, result):
    for i in range(indptr.shape[0] - 1):
        for place in range(indptr[i], indptr[i + 1]):
            for c in range(rows.shape[1]):
                result[indices[place], c] += data[place] * rows[i, c]


def matrix_product(matrix, rows, result):
    """Add ``X^T rows`` to `result`, for several columns of `rows` at once."""
    product = _products_of_columns if isinstance(matrix, CSC) else _products_of_rows
    product(matrix.data, matrix.indices, matrix.indptr, rows, result)


@overload(matrix_product, inline="always")
def _matrix_product(matrix, rows, result):
    product = _products_of_columns if matrix.instance_class is CSC else _products_of_rows
    return lambda matrix, rows, result: product(matrix.data, matrix.indices, matrix.indptr, rows, result)


@kernel
def entry_product(matrix, rows, n_columns):
    """``X^T rows`` for a dense ``rows`` of shape (n, b): an array of shape (n_columns, b), at O(b nnz)."""
    result = np.zeros((n_columns, rows.shape[1]))
    if rows.shape[1] == 1:
        vector_product(matrix, rows[:, 0], result[:, 0])
    else:
        matrix_product(matrix, rows, result)
    return result


@leaf
def _sum(x):
    total = 0.0
    for i in range(len(x)):
        total += x[i]
    return total


@kernel
def correlations(matrix, rows, root, mean, norm, result):
    """Inner products of all columns, less their means and over their norms, with vectors: a (b, p) `result`.

    The vectors are the columns of `rows`, (n, b), times `root`.
    """
    n, width = rows.shape
    if width == 1:
        result[0] = 0.0
        vector_product(matrix, rows.reshape(n), result[0])
        found = result.T
    else:
        found = np.zeros((result.shape[1], width))
        matrix_product(matrix, rows, found)
    for c in range(width):
        total = _sum(rows[:, c]) if width > 1 else _sum(rows.reshape(n))  # which makes vectors
        for j in range(result.shape[1]):
            result[c, j] = root * (found[j, c] - total * mean[j]) / norm[j]


@kernel
def entry_combination(matrix, columns, n_rows):
    """``X columns`` for a dense ``columns`` of shape (p, b): an array of shape (n_rows, b), at O(b nnz)."""
    result = np.zeros((n_rows, columns.shape[1]))
    for major in range(matrix.indptr.shape[0] - 1):
        for place in range(matrix.indptr[major], matrix.indptr[major + 1]):
            i, j = row_and_column(matrix, major, matrix.indices[place])
            value = matrix.data[place]
            for c in range(columns.shape[1]):
                result[i, c] += value * columns[j, c]
    return result


@kernel
def add_curve(data, indices, indptr, shift, scale, level, x, result):
    r"""Add the sum of :math:`c_k t_k a_k` to `result`, and return that of ``c_k t_k h_k``.

    The ``a_k`` are compressed rows or columns, each read once, ``h`` their shifts, ``c`` their scales,
    :math:`t_k = a_k^T x - h_k o`, and ``o`` is the level.
    """
    total = 0.0
    for k in range(indptr.shape[0] - 1):
        start, stop = indptr[k], indptr[k + 1]
        if scale[k] == 0.0:
            continue  # whatever a row without weight holds
        along = scale[k] * (_entry_dot(data, indices, start, stop, x) - shift[k] * level)
        for place in range(start, stop):
            result[indices[place]] += along * data[place]
        total += shift[k] * along
    return total


# ---------------------------------------------------------------------------------------------
# Some columns, and their Gram matrix
# ---------------------------------------------------------------------------------------------


class Columns(NamedTuple):
    """Some columns of a CSC container, scaled: ``scale[c] * x[:, places[c]]``; and dense ones among them."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    places: np.ndarray  # (m,) int64
    scale: np.ndarray  # (m,)
    whole: np.ndarray  # (m,) int64: column c is ``dense[whole[c]]`` if that is not negative
    dense: np.ndarray  # (d, n)


@part
def _column_dot(columns, c, x):
    """Inner product of a column with a vector (n,)."""
    data, indices, indptr, places, scale, whole, dense = columns
    if whole[c] >= 0:
        product = dot(dense[whole[c]], x, x.shape[0])
    else:
        product = scale[c] * _entry_dot(data, indices, indptr[places[c]], indptr[places[c] + 1], x)
    return product


@part
def _add_row_products(data, indices, start, middle, stop, share, result):
    """Add products of the entries of a row before `middle` with themselves and all that follow.

    Four at a time, so that the others are fetched once for all.
    """
    full = middle - (middle - start) % 4
    for a in range(start, full, 4):
        e, f, g, h = indices[a], indices[a + 1], indices[a + 2], indices[a + 3]
        s, t, u, v = share * data[a], share * data[a + 1], share * data[a + 2], share * data[a + 3]
        result[e, e] += s * data[a]
        result[e, f] += s * data[a + 1]
        result[e, g] += s * data[a + 2]
        result[e, h] += s * data[a + 3]
        result[f, f] += t * data[a + 1]
        result[f, g] += t * data[a + 2]
        result[f, h] += t * data[a + 3]
        result[g, g] += u * data[a + 2]
        result[g, h] += u * data[a + 3]
        result[h, h] += v * data[a + 3]
        for b in range(a + 4, stop):
            j, value = indices[b], data[b]
            result[e, j] += s * value
            result[f, j] += t * value
            result[g, j] += u * value
            result[h, j] += v * value
    for a in range(full, middle):
        e, s = indices[a], share * data[a]
        for b in range(a, stop):
            result[e, indices[b]] += s * data[b]


@kernel
def row_gram(matrix, share, result):
    """Add ``X^T diag(share) X`` for compressed, sorted rows to the upper triangle of `result`.

    O(sum of squared row lengths).
    """
    data, indices, indptr = matrix
    for i in range(indptr.shape[0] - 1):
        _add_row_products(data, indices, indptr[i], indptr[i + 1], indptr[i + 1], share[i], result)


@kernel
def column_gram(columns, share, scratch, result):
    """Add weighted inner products of the first k columns with all to the upper triangle of `result`, (k, m).

    ``scratch`` has shape (n,), and so has ``share``, or (1,) if all rows weigh the same.
    Rows are gathered so many at a time that they stay in the cache, and only those in which one of the first
    columns has an entry. O(nnz + sum of squared row lengths). A few first columns are multiplied one by one,
    and so are dense ones.
    """
    data, indices, indptr, places, scale, whole, _ = columns
    m, n, k = places.shape[0], scratch.shape[0], result.shape[0]
    alone = whole >= 0
    if k <= FEW:
        for c in range(m):
            alone[c] = c < k
    if alone.any():
        scratch[:] = 0.0
    for a in range(m):
        if alone[a]:
            _column_by_column(columns, a, alone, share, scratch, result)
    if k <= FEW:
        return
    place = np.empty(m, dtype=np.int64)
    size = 0
    for c in range(m):
        place[c] = indptr[places[c] + (1 if alone[c] else 0)]
        size += indptr[places[c] + 1] - place[c]
    height = n // (1 + size // GATHERED) + 1
    first = np.empty(height, dtype=np.int64)  # entries of every row in the first columns
    ends = np.empty(height + 2, dtype=np.int64)  # where row i is filled up to is in place i + 1
    numbers = np.empty(0, dtype=np.uint32)
    values = np.empty(0)
    for top in range(0, n, height):
        before, bottom = np.uint64(top), min(top + height, n)
        ends[:] = 0
        for c in range(k):
            at, stop = place[c], indptr[places[c] + 1]
            while at < stop and indices[at] < bottom:
                ends[indices[at] - before + TWO] += 1
                at += 1
        for i in range(height):
            first[i] = ends[i + 2]
        for c in range(k, m):
            at, stop = place[c], indptr[places[c] + 1]
            while at < stop and indices[at] < bottom:
                i = indices[at] - before
                ends[i + TWO] += first[i] > 0
                at += 1
        for i in range(height):
            ends[i + 2] += ends[i + 1]
        if ends[height + 1] > len(values):
            numbers = np.empty(2 * ends[height + 1], dtype=np.uint32)
            values = np.empty(2 * ends[height + 1])
        for c in range(m):
            at, stop, factor = place[c], indptr[places[c] + 1], scale[c]
            while at < stop and indices[at] < bottom:
                i = indices[at] - before
                if first[i] > 0:
                    to = np.uint64(ends[i + ONE])
                    numbers[to], values[to] = c, factor * data[at]
                    ends[i + ONE] = to + ONE
                at += 1
            place[c] = at
        for i in range(bottom - top):
            part = share_of(share, top + i)
            if part != 0.0:
                start = ends[i]
                middle = start + first[i]
                _add_row_products(values, numbers, start, middle, ends[i + 1], part, result)


@inner
def _column_by_column(columns, a, alone, share, scratch, result):
    """Add the products of a column with all that are not `alone`, or follow it; `scratch` holds zeros."""
    k, whole = result.shape[0], columns.whole[a]
    if whole >= 0:
        for i in range(scratch.shape[0]):
            scratch[i] = share_of(share, i) * columns.dense[whole, i]
    else:
        start, stop = columns.indptr[columns.places[a]], columns.indptr[columns.places[a] + 1]
        for at in range(start, stop):
            i = columns.indices[at]
            part = share_of(share, i)
            # Without weight it may be too large to be multiplied.
            scratch[i] = part * (columns.scale[a] * columns.data[at]) if part > 0.0 else 0.0
    for c in range(columns.places.shape[0]):
        if min(a, c) < k and (c >= a or not alone[c]):
            result[min(a, c), max(a, c)] += _column_dot(columns, c, scratch)
    if whole >= 0:
        scratch[:] = 0.0
    else:
        for at in range(start, stop):
            scratch[columns.indices[at]] = 0.0


@kernel
def complete_gram(products, shift):
    """The Gram matrix (k, m) of the last k of m columns with all, from what `column_gram` found, first these.

    The columns are centred by their shifts, (m,).
    """
    k, m = products.shape
    gram = np.empty((k, m))
    for a in range(k):
        for i in range(m):
            at = i + k if i + k < m else i + k - m  # among the columns as they were multiplied
            gram[a, i] = products[min(a, at), max(a, at)] - shift[i] * shift[m - k + a]
    return gram


@kernel
def combine_columns(columns, coefs, level, root):
    """Linear combinations of columns, coefs (m, b), less a level (b,), times `root`, (n,): shape (n, b)."""
    n, width = root.shape[0], coefs.shape[1]
    result = np.empty((n, width))
    _combine(columns, coefs, level, result)
    for i in range(n):
        for k in range(width):
            result[i, k] = root[i] * result[i, k] if root[i] > 0.0 else 0.0  # where it may have overflowed
    return result


@inner
def _combine(columns, coefs, level, result):
    data, indices, indptr, places, scale, whole, dense = columns
    for i in range(result.shape[0]):
        for k in range(coefs.shape[1]):
            result[i, k] = -level[k]
    for c in range(places.shape[0]):
        if not coefs[c].any():
            continue
        if whole[c] >= 0:
            _add_outer(dense[whole[c]], coefs[c], result)
            continue
        for at in range(indptr[places[c]], indptr[places[c] + 1]):
            i, value = indices[at], scale[c] * data[at]
            for k in range(coefs.shape[1]):
                result[i, k] += value * coefs[c, k]


@leaf
def _add_outer(column, coefs, result):
    for i in range(len(column)):
        for k in range(len(coefs)):
            result[i, k] += column[i] * coefs[k]


@kernel
def column_products(columns, x):
    """Inner products of columns with a vector (n,): (m,)."""
    result = np.empty(columns.places.shape[0])
    for c in range(len(result)):
        result[c] = _column_dot(columns, c, x)
    return result


@kernel
def copy_columns(matrix, features, norm, root, whole, dense):
    """Some columns of a `CSC` matrix, times `root` and over their norms, (k,), as another one.

    Column ``c`` is ``dense[whole[c]]`` times `root`, if ``whole[c]`` is not negative.
    """
    data, indices, indptr = matrix
    k, n = features.shape[0], root.shape[0]
    ends = np.zeros(k + 1, dtype=indptr.dtype)
    for c in range(k):
        j = features[c]
        ends[c + 1] = ends[c] + (n if whole[c] >= 0 else indptr[j + 1] - indptr[j])
    values, rows = np.empty(ends[k]), np.empty(ends[k], dtype=indices.dtype)
    for c in range(k):
        start, first = ends[c], indptr[features[c]]
        for at in range(ends[c + 1] - start):
            if whole[c] >= 0:
                rows[start + at], values[start + at] = at, root[at] * dense[whole[c], at]
            else:
                i = indices[first + at]
                rows[start + at], values[start + at] = i, root[i] * data[first + at] / norm[c]
    return CSC(values, rows, ends)


# ---------------------------------------------------------------------------------------------
# Moments
# ---------------------------------------------------------------------------------------------


@leaf
def _moments_of_columns(data, indices, indptr, share, count, centred, least, mean, square, lossy):
    n_lossy = 0
    for j in range(indptr.shape[0] - 1):
        start, stop = indptr[j], indptr[j + 1]
        if share.shape[0] == 1:  # which needs no index, and makes vectors
            values, part = data[start:stop], share[0]
            middle = 0.0
            if centred:
                for place in range(len(values)):
                    middle += values[place]
                middle *= part
            total = 0.0
            for place in range(len(values)):
                total += (values[place] - middle) ** 2
            mean[j] = middle
            square[j] = part * total + part * (count - len(values)) * middle * middle
            continue
        middle = 0.0
        if centred:
            for place in range(start, stop):
                middle += share_of(share, indices[place]) * data[place]
        total = 0.0
        weight = 0.0
        number = 0
        for place in range(start, stop):
            part = share_of(share, indices[place])
            # The square of what a row without weight holds may overflow.
            apart = data[place] - middle if part > 0.0 else 0.0
            total += part * apart * apart
            weight += part
            number += part > 0.0
        mean[j], square[j] = middle, total
        n_lossy = _add_zeros(j, weight, number, count, least, mean, square, lossy, n_lossy)
    return n_lossy


@leaf
def _moments_of_rows(data, indices, indptr, share, count, centred, least, mean, square, lossy):
    weight, number = np.zeros(len(mean)), np.zeros(len(mean), dtype=np.int64)
    if centred:
        for i in range(indptr.shape[0] - 1):
            for place in range(indptr[i], indptr[i + 1]):
                mean[indices[place]] += share_of(share, i) * data[place]
    for i in range(indptr.shape[0] - 1):
        part = share_of(share, i)
        if part == 0.0:
            continue  # the square of what it holds may overflow
        for place in range(indptr[i], indptr[i + 1]):
            j = indices[place]
            apart = data[place] - mean[j]
            square[j] += part * apart * apart
            weight[j] += part
            number[j] += 1
    n_lossy = 0
    for j in range(len(mean)):
        n_lossy = _add_zeros(j, weight[j], number[j], count, least, mean, square, lossy, n_lossy)
    return n_lossy


@inner
def _add_zeros(j, weight, number, count, least, mean, square, lossy, n_lossy):
    """Add the squares of the zeros of a column, if they have the share that is left, or put it on a list.

    Where there is none, rounding must not invent one.
    """
    if number < count and 1.0 - weight >= least:
        square[j] += (1.0 - weight) * mean[j] * mean[j]
    elif number < count:
        lossy[n_lossy] = j
        n_lossy += 1
    return n_lossy


def add_moments(matrix, share, count, centred, least, mean, square, lossy):
    """What `entry_moments` returns, in place; each storage has its own fastest loop."""
    moments = _moments_of_columns if isinstance(matrix, CSC) else _moments_of_rows
    return moments(
        matrix.data, matrix.indices, matrix.indptr, share, count, centred, least, mean, square, lossy
    )


@overload(add_moments, inline="always")
def _add_moments(matrix, share, count, centred, least, mean, square, lossy):
    moments = _moments_of_columns if matrix.instance_class is CSC else _moments_of_rows
    return lambda matrix, share, count, centred, least, mean, square, lossy: moments(
        matrix.data, matrix.indices, matrix.indptr, share, count, centred, least, mean, square, lossy
    )


@kernel
def entry_moments(matrix, share, count, centred, least, n_columns):
    """Mean of every column (0 unless `centred`), mean square about it, and the columns where that is lossy.

    Parameters
    ----------
    matrix : CSC or CSR
    share : ndarray of shape (n,), or (1,) if all rows weigh the same
    count : int
        How many have weight.
    centred : bool
    least : float
        If the rows without a stored entry have less than this share of the weight, and are not none, the
        square is of the stored entries only.
    n_columns : int

    Returns
    -------
    mean, square : ndarray of shape (n_columns,)
    lossy : ndarray of shape (k,), int64
        Where that is so.
    """
    mean, square = np.zeros(n_columns), np.zeros(n_columns)
    lossy = np.empty(n_columns, dtype=np.int64)
    n_lossy = add_moments(matrix, share, count, centred, least, mean, square, lossy)
    return mean, square, lossy[:n_lossy]
