"""The Cholesky factor of the free columns.

It is ``U`` in ``U^T U = H = G_AA + lambda diag(g_A)``, for the free features ``A`` in the order in which they
came: a newcomer is one more column, at the price O(k^2) of a substitution; one that leaves from place ``i``
takes O((k - i)^2) for rotations. Every loop runs along rows, as they lie in memory.
"""

from typing import NamedTuple

import numpy as np

from sparse_linear._kernels.leaves import (
    LARGEST,
    combine_rows,
    dot_four_rows,
    dot_row,
    inner,
    part,
    rotate_rows,
    scale_row,
    shift_row,
    subtract_four_rows,
)
from sparse_linear._kernels.optimality import is_free

# A column whose part independent of the factor is smaller than this share of its norm (squared) counts as
# dependent.
PIVOT = 1e-11
# How many columns are appended to the factor in one pass over it.
BLOCK = 32
# A factor of more features than this serves the next lambdas, too, down to a share 1 / STALE of its own.
QUICK = 30
STALE = 1.5


class Working(NamedTuple):
    """The reduced problem and the solver's state; every array is updated in place.

    ``base[j]`` and ``rule[j]`` are the penalty of feature ``j``, ``(l1, l2, lower, upper)``, for ``lambda =
    1`` and for the present lambda. ``factor`` is the upper triangular Cholesky factor, stored by rows so that
    every operation on it runs along memory;
    ``order[:k]`` are the free features in the order of the factor; ``held[j]`` says that feature ``j`` is not
    among them.
    """

    gram: np.ndarray  # (capacity, capacity)
    target: np.ndarray  # (capacity,) correlations with the target: c
    grad: np.ndarray  # (capacity,) correlations with the residual: c - G w
    coef: np.ndarray  # (capacity,)
    base: np.ndarray  # (capacity, 4)
    rule: np.ndarray  # (capacity, 4)
    factor: np.ndarray  # (capacity, capacity)
    order: np.ndarray  # (capacity,) int64
    held: np.ndarray  # (capacity,) bool
    level: np.ndarray  # (1,) the lambda of the ridge penalties in the factor


@inner
def _back_substitute(factor, k, x):
    """Solve ``U x = x`` in place, four rows at a time."""
    whole = k - k % 4
    for i in range(k - 1, whole - 1, -1):
        x[i] = (x[i] - dot_row(factor, i, x, i + 1, k)) / factor[i, i]
    for first in range(whole - 4, -1, -4):
        a, b, c, d = dot_four_rows(factor, first, x, first + 4, k)
        x[first] -= a
        x[first + 1] -= b
        x[first + 2] -= c
        x[first + 3] -= d
        for i in range(first + 3, first - 1, -1):
            for at in range(i + 1, first + 4):
                x[i] -= factor[i, at] * x[at]
            x[i] /= factor[i, i]


@inner
def _forward_substitute(factor, k, x):
    """Solve ``U^T x = x`` in place, four rows at a time."""
    for first in range(0, k, 4):
        _forward_four(factor, first, k, x)


@inner
def _forward_four(factor, first, k, x):
    """Up to four rows of `_forward_substitute`, from row `first` on."""
    stop = min(first + 4, k)
    for i in range(first, stop):
        x[i] /= factor[i, i]
        for c in range(i + 1, stop):
            x[c] -= x[i] * factor[i, c]
    if stop < k:
        rows = first, first + 1, first + 2, first + 3
        scales = x[first], x[first + 1], x[first + 2], x[first + 3]
        subtract_four_rows(factor, rows, scales, x, stop, k)


@inner
def _ridge_in_factor(work, j):
    """The ridge penalty with which feature `j` is in the factor, or would be."""
    return min(work.level[0] * work.base[j, 1], LARGEST)


@inner
def _append(work, k, j, column):
    """Append feature `j` to the factor if it is independent of the features there.

    Returns the pivot (squared norm of its independent part) and whether it was appended.  ``column`` is
    scratch; it is left holding ``U^{-T} H_Aj``.
    """
    for i in range(k):
        column[i] = work.gram[j, work.order[i]]
    _forward_substitute(work.factor, k, column)
    diagonal = work.gram[j, j] + _ridge_in_factor(work, j)
    pivot = diagonal
    for i in range(k):
        pivot -= column[i] * column[i]
    if pivot <= PIVOT * diagonal:
        return pivot, False
    for i in range(k):
        work.factor[i, k] = column[i]
    work.factor[k, k] = np.sqrt(pivot)
    work.order[k] = j
    work.held[j] = False
    return pivot, True


@part
def _append_all(work, k, features, count):
    """Append the first `count` of some features, all but those that depend on the factor; returns its size.

    `BLOCK` features share one pass over the factor. Those left out stay marked as held.
    """
    factor, order = work.factor, work.order
    panel = np.empty((min(count, BLOCK), k + count))  # U^{-T} H_Aj of every newcomer j of a block
    square = np.empty((len(panel), len(panel)))  # the upper half of what is left of their Gram matrix
    for first in range(0, count, BLOCK):
        width = min(BLOCK, count - first)
        for c in range(width):
            j = features[first + c]
            for i in range(k):
                panel[c, i] = work.gram[j, order[i]]
        for i in range(0, k, 4):
            for c in range(width):
                _forward_four(factor, i, k, panel[c])
        for c in range(width):
            j = features[first + c]
            for r in range(c + 1):
                square[r, c] = work.gram[j, features[first + r]] - dot_row(panel, r, panel[c], 0, k)
            square[c, c] += _ridge_in_factor(work, j)
        size = k
        for r in range(width):
            j = features[first + r]
            if square[r, r] <= PIVOT * (work.gram[j, j] + _ridge_in_factor(work, j)):
                continue
            scale_row(1.0 / np.sqrt(square[r, r]), square, r, r, width)
            for below in range(r + 1, width):
                combine_rows(-square[r, below], square, r, below, below, width)
            order[size] = r  # its place in the block, until the block is done
            size += 1
        for i in range(k):
            for place in range(k, size):
                factor[i, place] = panel[order[place], i]
        for place in range(k, size):
            for i in range(k, place + 1):
                factor[i, place] = square[order[i], order[place]]
        for i in range(k, size):
            order[i] = features[first + order[i]]
            work.held[order[i]] = False
        k = size
    return k


@inner
def _remove(work, k, position):
    """Remove one feature from the factor by Givens rotations; returns the new size."""
    factor, order = work.factor, work.order
    work.held[order[position]] = True
    for i in range(position, k - 1):
        order[i] = order[i + 1]
    # Without the column the factor is upper Hessenberg from `position` on, and rotating neighbouring rows
    # makes it triangular again.
    for i in range(min(position + 1, k - 1)):
        shift_row(factor, i, position, k - 1)  # nothing, if it was the last one
    for i in range(position, k - 1):
        shift_row(factor, i + 1, i, k - 1)
        length = np.sqrt(factor[i, i] ** 2 + factor[i + 1, i] ** 2)
        cosine, sine = factor[i, i] / length, factor[i + 1, i] / length
        factor[i, i] = length
        rotate_rows(cosine, sine, factor, i, i + 1, k - 1)
    return k - 1


@inner
def _remove_held(work, k):
    """Remove from the factor every feature that is at the end of its face; returns the new size."""
    for i in range(k - 1, -1, -1):
        if not is_free(work.coef[work.order[i]], work.rule[work.order[i]]):
            k = _remove(work, k, i)
    return k


@inner
def _set_lambda(work, m, k, lam):
    """Scale the penalties to `lam`; returns the size of the factor, which is empty if it is made anew.

    It contains ridge penalties. A large one serves a few lambdas all the same: see `_newton`.
    """
    ridge = False
    for j in range(m):
        ridge |= work.base[j, 1] != 0.0
        work.rule[j, 1] = lam * work.base[j, 1]
        # A ridge penalty that overflows holds its feature at zero, as only an l1 penalty can.
        work.rule[j, 0] = lam * work.base[j, 0] if work.rule[j, 1] < np.inf else np.inf
    level = work.level[0]
    if k > 0 and (not ridge or lam == level or (k > QUICK and lam < level <= STALE * lam)):
        return k
    work.level[0] = lam
    for i in range(k):
        work.held[work.order[i]] = True
    return np.int64(0)  # a plain 0 has a type of its own, for which all would be compiled once more
