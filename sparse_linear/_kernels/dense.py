"""Dense X: its moments, its columns as those of Z, and its products with a few vectors.

X is read where it lies, in either order and either precision, and never copied as a whole. What is summed
is float64, and centred before it is squared.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from sparse_linear._kernels.leaves import LANES, STRIP, add_row, inner, kernel, leaf, subtract_four_rows

# Products of matrices that take more multiplications than this are left to BLAS.
MUCH = 1 << 23


@kernel
def moments_by_columns(X, share, centred):
    """Weighted means (zeros unless `centred`) and mean squares about them, of columns that run along memory.

    Rows without weight may hold anything.
    """
    mean, square = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    top = np.argmax(share)
    for j in range(X.shape[1]):
        first = np.float64(X[top, j]) if centred else 0.0  # a constant column has it for its mean, exactly
        shift = _mean_square(X[:, j], share, first, 0.0)[0] if centred else 0.0
        mean[j] = first + shift
        square[j] = _mean_square(X[:, j], share, first, shift)[1]
    return mean, square


@leaf
def _mean_square(column, share, first, shift):
    """Sums of ``(x - first) - shift`` and of its square, over the rows with weight."""
    total = square = 0.0
    for i in range(len(share)):
        apart = (column[i] - first) - shift if share[i] > 0.0 else 0.0
        total += share[i] * apart
        square += share[i] * apart * apart
    return total, square


@kernel
def moments_by_rows(X, share, centred, height):
    """As `moments_by_columns`, for rows that run along memory: `height` of them at a time.

    Each block of rows is centred on its own mean, and merged with those before (Chan, Golub and LeVeque 1983,
    eq. 2.1).
    """
    p = X.shape[1]
    mean, square, seen = np.zeros(p), np.zeros(p), 0.0
    first, shift, apart = np.empty(p), np.empty(p), np.empty(p)
    for start in range(0, X.shape[0], height):
        rows, part = X[start : start + height], share[start : start + height]
        weight, top = part.sum(), np.argmax(part)
        if weight == 0.0:
            continue
        first[:] = 0.0
        shift[:] = 0.0
        if centred:
            for j in range(len(first)):
                first[j] = rows[top, j]
            for i in range(rows.shape[0]):
                if part[i] > 0.0:
                    _add_apart(part[i] / weight, rows[i], first, shift)
            total = seen + weight
            for j in range(p):
                apart[j] = first[j] + shift[j] - mean[j]
                mean[j] += apart[j] * (weight / total)
                square[j] += apart[j] * apart[j] * (seen * weight / total)
            seen = total
        for i in range(rows.shape[0]):
            if part[i] > 0.0:
                _add_squares(part[i], rows[i], first, shift, square)
    return mean, square


@leaf
def _add_apart(scale, row, first, total):
    for j in range(len(total)):
        total[j] += scale * (row[j] - first[j])


@leaf
def _add_squares(scale, row, first, shift, square):
    for j in range(len(square)):
        apart = (row[j] - first[j]) - shift[j]
        square[j] += scale * apart * apart


@kernel
def take_columns(X, features, mean, norm, root, result):
    """Columns of Z, ``root (x_j - mean_j) / norm_j``, as the rows of `result`."""
    for at in range(features.shape[0]):
        j = features[at]
        middle, size = mean[j], norm[j]
        for i in range(X.shape[0]):
            # The root before the division, which may overflow in a row without weight.
            result[at, i] = (X[i, j] - middle) * root[i] / size


class Lines(NamedTuple):
    """Dense X for compiled code: one type for both orders, since each type takes seconds to compile."""

    lines: np.ndarray  # (n, p) or (p, n), in C order
    columns: bool  # whether these are columns of X, rather than its rows


@inner
def _take_lines(X, features, mean, norm, root, result):
    """`take_columns`, from `Lines`."""
    if X.columns:
        take_columns(X.lines.T, features, mean, norm, root, result)
    else:
        take_columns(X.lines, features, mean, norm, root, result)


class Dense(NamedTuple):
    """Dense X, what makes its columns those of Z, and one target.

    Columns of Z are ``root * (x_j - mean[j]) / norm[j]``.
    """

    X: Lines
    mean: np.ndarray  # (p,)
    norm: np.ndarray  # (p,)
    root: np.ndarray  # (n,)
    values: np.ndarray  # (n,) the target
    start: np.ndarray  # (p,) correlations of all columns of Z with it
    square: float  # its squared norm


@kernel
def few_correlations(X, residuals, root, mean, norm, result):
    """Inner products of all columns of Z with a few residuals, from X itself.

    BLAS packs X first, which for so few residuals takes longer than the products.

    Parameters
    ----------
    X : Lines
    residuals : ndarray of shape (b, n)
    root : ndarray of shape (n,)
    mean, norm : ndarray of shape (p,)
        Columns of Z are ``root * (x_j - mean[j]) / norm[j]``.
    result : ndarray of shape (b, p)
        Filled.
    """
    b, n = residuals.shape
    rows, level = np.empty((b, n)), np.empty(b)
    for e in range(b):
        level[e] = 0.0
        for i in range(n):
            rows[e, i] = residuals[e, i] * root[i]
            level[e] += rows[e, i]
    if b <= 2 and X.lines.size > MUCH:
        for e in range(b):
            one_at_a_time(X, rows[e : e + 1], result[e : e + 1])
    else:
        _few_products(X, rows, result)
    for e in range(b):
        _centre(result[e], level[e], mean, norm)


@leaf
def _centre(products, level, mean, norm):
    for j in range(len(products)):
        products[j] = (products[j] - level * mean[j]) / norm[j]


def one_at_a_time(X, row, result):
    """The product of X with a single row, (1, n), by BLAS, if that has the type for it."""
    (_by_blas if X.lines.dtype == np.float64 else _few_products)(X, row, result)


@overload(one_at_a_time)
def _one_at_a_time(X, row, result):
    if X.types[0].dtype == types.float64:
        return _by_blas
    return lambda X, row, result: _few_products(X, row, result)


def _by_blas(X, row, result):
    result[0] = np.dot(X.lines, row[0]) if X.columns else np.dot(row[0], X.lines)


@inner
def _few_products(X, rows, result):
    if X.columns:
        _products_of_long_columns(X.lines, rows, result)
    else:
        _products_of_long_rows(X.lines, rows, result)


@inner
def _products_of_long_columns(columns, rows, result):
    b = rows.shape[0]
    width = max(1, STRIP * LANES // max(1, columns.shape[1]))  # of columns that stay in the cache meanwhile
    for start in range(0, columns.shape[0], width):
        some, found = columns[start : start + width], result[:, start : start + width]
        for e in range(0, b - 3, 4):
            _four_products(some, rows[e], rows[e + 1], rows[e + 2], rows[e + 3], found[e : e + 4])
        for e in range(b - b % 4, b - 1, 2):
            _two_products(some, rows[e], rows[e + 1], found[e : e + 2])
        if b % 2:
            _one_product(some, rows[b - 1], found[b - 1])


@inner
def _inner_products(rows, columns):
    """``rows @ columns.T``: by BLAS where that is much work, since its threads take long to wake up."""
    k, m, n = rows.shape[0], columns.shape[0], columns.shape[1]
    if k * m * n > MUCH:
        return np.dot(rows, columns.T)
    result = np.empty((k, m))
    _products_of_long_columns(columns, rows, result)
    return result


@leaf
def _one_product(columns, p, result):
    for j in range(columns.shape[0]):
        x = columns[j]
        a = 0.0
        for i in range(len(x)):
            a += p[i] * x[i]
        result[j] = a


@leaf
def _two_products(columns, p, q, result):
    for j in range(columns.shape[0]):
        x = columns[j]
        a = b = 0.0
        for i in range(len(x)):
            a += p[i] * x[i]
            b += q[i] * x[i]
        result[0, j] = a
        result[1, j] = b


@leaf
def _four_products(columns, p, q, r, s, result):
    for j in range(columns.shape[0]):
        x = columns[j]
        a = b = c = d = 0.0
        for i in range(len(x)):
            a += p[i] * x[i]
            b += q[i] * x[i]
            c += r[i] * x[i]
            d += s[i] * x[i]
        result[0, j] = a
        result[1, j] = b
        result[2, j] = c
        result[3, j] = d


@inner
def _products_of_long_rows(lines, rows, result):
    n, p = lines.shape
    whole = n - n % 4
    for start in range(0, p, STRIP):
        stop = min(start + STRIP, p)
        for e in range(rows.shape[0]):
            result[e, start:stop] = 0.0
        for i in range(0, whole, 4):
            for e in range(rows.shape[0]):
                row = rows[e]
                four = -row[i], -row[i + 1], -row[i + 2], -row[i + 3]
                subtract_four_rows(lines, (i, i + 1, i + 2, i + 3), four, result[e], start, stop)
        for i in range(whole, n):
            for e in range(rows.shape[0]):
                add_row(rows[e, i], lines, i, result[e], start, stop)
