"""How everything here is compiled, the constants that all rooms share, and the loops over memory.

Leaves run from 0 over slices. Numba lets a signed index below zero count from the end; where the compiler
cannot rule that out, as from an arbitrary start, it gathers single elements rather than vectors of them.
"""

from functools import partial

import numpy as np
from numba import njit

# `keep`, at the end of `__init__.py`, has their code cached.
kernel = partial(njit, nogil=True, error_model="numpy")
# Called by other kernels only: without the wrappers for Python, which take a third of the time to compile.
inner = partial(kernel, no_cpython_wrapper=True, no_cfunc_wrapper=True)
# Compiled where it is called: in one place only, or too short for a call.
part = partial(inner, inline="always")
# Leaf reductions may be reassociated, so that they vectorise; NaN and infinity keep their meaning.
leaf = partial(inner, fastmath={"reassoc", "contract", "nsz", "arcp"}, inline="never")

EPS = np.finfo(np.float64).eps
# The largest number.
LARGEST = np.finfo(np.float64).max
# Rounding of quantities of order one that are sums over the working set.
NOISE = 32.0 * EPS
# How many right-hand sides share a pass over sparse entries.
LANES = 8
# How many features are looked at together: what is known of them stays in the cache.
STRIP = 512


@leaf
def dot_row(matrix, i, x, start, stop):
    """Sum of ``matrix[i, c] * x[c]`` for ``start <= c < stop``."""
    row, x = matrix[i, start:stop], x[start:stop]
    total = 0.0
    for c in range(len(row)):
        total += row[c] * x[c]
    return total


@leaf
def dot_four_rows(matrix, i, x, start, stop):
    """`dot_row` of rows ``i`` to ``i + 3``: x is fetched once for all."""
    x = x[start:stop]
    p, q = matrix[i, start:stop], matrix[i + 1, start:stop]
    r, s = matrix[i + 2, start:stop], matrix[i + 3, start:stop]
    a = b = c = d = 0.0
    for at in range(len(x)):
        a += p[at] * x[at]
        b += q[at] * x[at]
        c += r[at] * x[at]
        d += s[at] * x[at]
    return a, b, c, d


@leaf
def add_row(scale, matrix, i, x, start, stop):
    """``x[c] += scale * matrix[i, c]`` for ``start <= c < stop``."""
    row, x = matrix[i, start:stop], x[start:stop]
    for c in range(len(row)):
        x[c] += scale * row[c]


@leaf
def subtract_four_rows(matrix, rows, scales, x, start, stop):
    """``x[c] -= scales @ matrix[rows, c]`` for ``start <= c < stop``, of four: x is fetched once for all."""
    x = x[start:stop]
    p, q = matrix[rows[0], start:stop], matrix[rows[1], start:stop]
    r, s = matrix[rows[2], start:stop], matrix[rows[3], start:stop]
    a, b, c, d = scales
    for at in range(len(x)):
        x[at] -= (a * p[at] + b * q[at]) + (c * r[at] + d * s[at])


@leaf
def dot(x, y, k):
    """Sum of ``x[i] * y[i]`` for ``i < k``."""
    total = 0.0
    for i in range(k):
        total += x[i] * y[i]
    return total


@leaf
def add(scale, x, y, k):
    """``y[i] += scale * x[i]`` for ``i < k``."""
    for i in range(k):
        y[i] += scale * x[i]


@leaf
def update_grad(change, gram, j, grad, m):
    """Correlations of the working set after coefficient ``j`` has changed: ``grad -= change * gram[j]``."""
    for i in range(m):
        grad[i] -= change * gram[j, i]


@leaf
def combine_rows(scale, matrix, source, target, start, stop):
    """``matrix[target, c] += scale * matrix[source, c]`` for ``start <= c < stop``."""
    row, changed = matrix[source, start:stop], matrix[target, start:stop]
    for c in range(len(row)):
        changed[c] += scale * row[c]


@inner
def _subtract_rows(matrix, scales, x, last, width):
    """``x[c] -= scales[:last] @ matrix[:last, c]`` for ``c < width``, four rows at a time."""
    some = np.empty(4, dtype=np.int64)  # those that are not multiplied by zero
    count = 0
    for j in range(last):
        if scales[j] != 0.0:
            some[count] = j
            count += 1
            if count == 4:
                a, b, c, d = some[0], some[1], some[2], some[3]
                four = scales[a], scales[b], scales[c], scales[d]
                subtract_four_rows(matrix, (a, b, c, d), four, x, 0, width)
                count = 0
    for i in range(count):
        add_row(-scales[some[i]], matrix, some[i], x, 0, width)


@leaf
def scale_row(scale, matrix, i, start, stop):
    """``matrix[i, c] *= scale`` for ``start <= c < stop``."""
    row = matrix[i, start:stop]
    for c in range(len(row)):
        row[c] *= scale


@leaf
def rotate_rows(cosine, sine, matrix, i, start, stop):
    """Apply a plane rotation to rows ``i`` and ``i + 1``, in place."""
    upper, lower = matrix[i, start:stop], matrix[i + 1, start:stop]
    for c in range(len(upper)):
        a = upper[c]
        b = lower[c]
        upper[c] = cosine * a + sine * b
        lower[c] = cosine * b - sine * a


@leaf
def shift_row(matrix, i, start, stop):
    """``matrix[i, c] = matrix[i, c + 1]`` for ``start <= c < stop``."""
    row = matrix[i, start : stop + 1]
    for c in range(len(row) - 1):
        row[c] = row[c + 1]


@inner
def share_of(share, i):
    """The share of row ``i``; a single one is that of every row, so that the row need not be looked up."""
    return share[0] if share.shape[0] == 1 else share[i]


@leaf
def add_products(columns, i, j, start, stop, result):
    """Add the inner products of columns ``i, i + 1`` with columns ``j`` to ``j + 3``, of some rows.

    Every number that is fetched serves several of them.
    """
    a, b = columns[i, start:stop], columns[i + 1, start:stop]
    p, q = columns[j, start:stop], columns[j + 1, start:stop]
    r, s = columns[j + 2, start:stop], columns[j + 3, start:stop]
    a_p = a_q = a_r = a_s = b_p = b_q = b_r = b_s = 0.0
    for at in range(len(a)):
        a_p += a[at] * p[at]
        a_q += a[at] * q[at]
        a_r += a[at] * r[at]
        a_s += a[at] * s[at]
        b_p += b[at] * p[at]
        b_q += b[at] * q[at]
        b_r += b[at] * r[at]
        b_s += b[at] * s[at]
    result[i, j] += a_p
    result[i, j + 1] += a_q
    result[i, j + 2] += a_r
    result[i, j + 3] += a_s
    result[i + 1, j] += b_p
    result[i + 1, j + 1] += b_q
    result[i + 1, j + 2] += b_r
    result[i + 1, j + 3] += b_s
