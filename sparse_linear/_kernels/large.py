"""Supports too large for the factor: coordinate descent on columns, and equations between the rows.

Descent works for every penalty, and converges; its answers are as good as its tolerance. Where every feature
has a ridge penalty and far more are active than there are rows, the dual problem has as many unknowns as
there are rows, and Newton's steps solve it exactly (`solve_between_rows`).
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from sparse_linear._kernels.dense import _one_product
from sparse_linear._kernels.factor import _back_substitute, _forward_substitute
from sparse_linear._kernels.leaves import (
    NOISE,
    _subtract_rows,
    add,
    add_products,
    add_row,
    dot,
    dot_row,
    inner,
    kernel,
    leaf,
    subtract_four_rows,
)
from sparse_linear._kernels.optimality import REFINEMENTS, _rounding, coordinate_step, face, is_free
from sparse_linear._kernels.sparse import _entry_dot

# Steps with a factor of the lambda before, towards the face to start from.
GUESSES = 4
# A step is halved so many times at most.
HALVINGS = 30
# After so many steps between the rows a small gap will do.
ENOUGH = 5


# ---------------------------------------------------------------------------------------------
# Coordinate descent on columns
# ---------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Columns of unit length, stored one per row."""

    values: np.ndarray  # (m, n)


class Centred(NamedTuple):
    """Sparse columns less ``shift[j]`` times the vector of root weights, which is never written out."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shift: np.ndarray  # (m,)


def column_product(columns, j, residual, offset):
    """Inner product of column ``j`` with the residual: a vector, and `offset` times the root weights."""
    if isinstance(columns, Rows):
        return dot_row(columns.values, j, residual, 0, residual.shape[0])
    return _sparse_product(columns, j, residual, offset)


@overload(column_product, inline="always")
def _column_product(columns, j, residual, offset):
    if columns.instance_class is Rows:
        return lambda columns, j, residual, offset: dot_row(columns.values, j, residual, 0, residual.shape[0])
    return lambda columns, j, residual, offset: _sparse_product(columns, j, residual, offset)


def add_column(scale, columns, j, residual):
    """Add a multiple of column ``j`` to the vector of the residual; returns what its offset grows by."""
    if isinstance(columns, Rows):
        add_row(scale, columns.values, j, residual, 0, residual.shape[0])
        return 0.0
    return _add_sparse(scale, columns, j, residual)


@overload(add_column, inline="always")
def _add_column(scale, columns, j, residual):
    if columns.instance_class is Rows:

        def dense(scale, columns, j, residual):
            add_row(scale, columns.values, j, residual, 0, residual.shape[0])
            return 0.0

        return dense
    return lambda scale, columns, j, residual: _add_sparse(scale, columns, j, residual)


@inner
def _sparse_product(columns, j, residual, offset):
    start, stop = columns.indptr[j], columns.indptr[j + 1]
    return offset * columns.shift[j] + _entry_dot(columns.data, columns.indices, start, stop, residual)


@leaf
def _add_sparse(scale, columns, j, residual):
    for place in range(columns.indptr[j], columns.indptr[j + 1]):
        residual[columns.indices[place]] += scale * columns.data[place]
    return -scale * columns.shift[j]


@kernel
def descend(columns, features, rules, lam, coef, residual, offset, history):
    r"""Cyclic coordinate descent; an update costs the entries of its column, with centring or without.

    The residual is :math:`v + o \sqrt s`, a vector and a scalar multiple of the root weights. Column ``j`` is
    :math:`a_j - h_j \sqrt s`, and has inner product :math:`h_j` with the root weights before it is centred,
    none with the residual: so their product is :math:`a_j^T v + o h_j`, and an update touches the entries of
    :math:`a_j` and the scalar.

    Parameters
    ----------
    columns : Rows or Centred
        Of unit length.
    features : ndarray of shape (k,), int64
        The columns to visit; all others keep their coefficient.
    rules : ndarray of shape (m, 4)
        ``(l1, l2, lower, upper)`` of every column, for ``lambda = 1``.
    lam : float
    coef : ndarray of shape (m,)
        Updated in place.
    residual : ndarray of shape (n,)
        Updated in place.
    offset : float
    history : ndarray of shape (n_epochs, k)
        Filled with the coefficients of `features` after each epoch.

    Returns
    -------
    offset : float
    """
    rule = np.empty(4)
    for epoch in range(history.shape[0]):
        for at in range(features.shape[0]):
            j = features[at]
            rule[0], rule[1] = lam * rules[j, 0], lam * rules[j, 1]
            rule[2], rule[3] = rules[j, 2], rules[j, 3]
            corr = column_product(columns, j, residual, offset)
            change = coordinate_step(corr, 1.0, coef[j], rule) - coef[j]
            if change != 0.0:
                offset += add_column(-change, columns, j, residual)
                coef[j] += change
            history[epoch, at] = coef[j]
    return offset


# ---------------------------------------------------------------------------------------------
# Equations between the rows, for far more active features than these
# ---------------------------------------------------------------------------------------------


def products_of(columns, x, result):
    """Inner products of all columns with a vector that is centred."""
    product = _products_of_dense if isinstance(columns, Rows) else _products_of_sparse
    product(columns, x, result)


@overload(products_of, inline="always")
def _products_of(columns, x, result):
    product = _products_of_dense if columns.instance_class is Rows else _products_of_sparse
    return lambda columns, x, result: product(columns, x, result)


@inner
def _products_of_dense(columns, x, result):
    _one_product(columns.values, x, result)


@inner
def _products_of_sparse(columns, x, result):
    for j in range(result.shape[0]):
        result[j] = _sparse_product(columns, j, x, 0.0)


def subtract_columns(columns, scales, x):
    """Subtract multiples of all columns from a vector; returns what its offset grows by."""
    subtract = _subtract_dense if isinstance(columns, Rows) else _subtract_sparse
    return subtract(columns, scales, x)


@overload(subtract_columns, inline="always")
def _subtract_columns(columns, scales, x):
    subtract = _subtract_dense if columns.instance_class is Rows else _subtract_sparse
    return lambda columns, scales, x: subtract(columns, scales, x)


@inner
def _subtract_dense(columns, scales, x):
    _subtract_rows(columns.values, scales, x, scales.shape[0], x.shape[0])
    return 0.0


@inner
def _subtract_sparse(columns, scales, x):
    offset = 0.0
    for j in range(scales.shape[0]):
        if scales[j] != 0.0:
            offset += _add_sparse(-scales[j], columns, j, x)
    return offset


class Equations(NamedTuple):
    """Equations between the rows, for features that are each on a face; every array is updated in place.

    There the coefficient is ``corr / (lambda l2) - lean`` for a free feature with a given correlation, and
    ``-lean`` for one that is held, at zero or at a bound; l2 is that for ``lambda = 1``.
    """

    target: np.ndarray  # (n,)
    root: np.ndarray  # (n,) root weights
    outer: np.ndarray  # (n, n) ``Z diag(1 / l2) Z'`` of the free features, its upper half
    right: np.ndarray  # (n,) ``target + Z lean``
    free: np.ndarray  # (m,) bool
    lean: np.ndarray  # (m,)


@kernel
def solve_between_rows(columns, rules, equations, lams, goal, coef, coefs, rounds):
    r"""Solve for a sequence of lambdas, where all features have a ridge penalty.

    Then the residual r alone says what every coefficient is: the one at which the penalty has the slope
    ``Z'r``. It solves ``r = target - Z coef(Z'r)``, which maximises the dual objective

    .. math::

        D(r) = r^T y - \tfrac12 r^T r - \sum_j \phi_j^*(z_j^T r) .

    This is smooth, concave and piecewise quadratic. On a face, where each coefficient depends linearly on its
    correlation or not at all, the maximiser solves n equations, ``(I + outer / lambda) r = right``. These are
    Newton's steps (semismooth: Li, Sun and Toh 2018, SIAM J. Optim. 28); each takes one pass over the
    columns, for the correlations on its way are between those at its ends. If it ends on the face that it
    started from, this is the solution. The first starts from the face of the lambda before.

    The coefficients have been divided by small numbers: what rounding has left of the equation is taken back
    by steps on the coefficients themselves.

    Parameters
    ----------
    columns : Rows or Centred
        Of unit length.
    rules : ndarray of shape (m, 4)
        ``(l1, l2, lower, upper)`` of every column, for ``lambda = 1``.
    equations : Equations
        Updated in place.
    lams : ndarray of shape (b,)
    goal : float
        The duality gap of a solution that is good enough, if rounding does not let faces come to an end.
    coef : ndarray of shape (m,)
        Where to start; replaced by the last solution.
    coefs : ndarray of shape (b, m)
        Filled with the solutions.
    rounds : ndarray of shape (b,), int64
        At most so many steps; replaced by those that were made.
    """
    m, n = coef.shape[0], equations.root.shape[0]
    rule, corr, to = rules.copy(), np.empty(m), np.empty(m)
    point, ahead, residual = np.empty(n), np.empty(n), np.empty(n)
    changed = np.empty(m, dtype=np.int64)
    size = n + (-n) % 4
    factor, rest = np.zeros((size, size)), np.zeros((size, size))
    for index in range(lams.shape[0]):
        lam, most = lams[index], rounds[index]
        for j in range(m):
            rule[j, 1] = lam * rules[j, 1]
            # As in `_set_lambda`.
            rule[j, 0] = lam * rules[j, 0] if rule[j, 1] < np.inf else np.inf
        if index == 0:
            count = _others(coef, rule, rules, equations, changed)
            _renew(columns, rules, coef, rule, changed[:count], equations)
            _factorise(equations.outer, lam, factor, rest)
            _substitute(factor, equations.right, point)
        else:
            # With the factor at hand, nearly: every step leaves at most ``1 - fall`` of the error.
            fall = lam / lams[index - 1]
            for _ in range(GUESSES):
                for i in range(n):
                    ahead[i] = fall * equations.right[i] + (1.0 - fall) * point[i]
                _substitute(factor, ahead, point)
        products_of(columns, point, corr)
        count = _respond(corr, rule, rules, equations, coef, changed)
        round, share = 1, 1.0
        while round < most and (count > 0 or share < 1.0):
            # Not for ever: rounding may move features on and off zero.
            if round > ENOUGH and not _rest_of(columns, equations, coef, point, residual) ** 2 > goal:
                break
            _renew(columns, rules, coef, rule, changed[:count], equations)
            _factorise(equations.outer, lam, factor, rest)
            _substitute(factor, equations.right, ahead)
            products_of(columns, ahead, to)
            count = _respond(to, rule, rules, equations, coef, changed)
            share = _share(point, ahead, corr, to, rule, equations, changed[:count])
            for i in range(n):
                point[i] += share * (ahead[i] - point[i])
            for j in range(m):
                corr[j] += share * (to[j] - corr[j])
            if share < 1.0:
                count = _respond(corr, rule, rules, equations, coef, changed)
            round += 1
        rounds[index] = round
        for _ in range(REFINEMENTS):
            if _rest_of(columns, equations, coef, point, residual) <= _rounding(coef, m):
                break
            if round == 1:
                _factorise(equations.outer, lam, factor, rest)
            _substitute(factor, residual, ahead)
            products_of(columns, ahead, to)
            add(1.0, ahead, point, n)
            for j in range(m):
                low, high = face(coef[j], rule[j])
                if equations.free[j] and low < high:
                    coef[j] = min(max(coef[j] + to[j] / rule[j, 1], low), high)
        for j in range(m):
            coefs[index, j] = coef[j]


@inner
def _lean(coef, rule, base):
    """Whether a feature is free, and its share of ``right``; see `Equations`."""
    if is_free(coef, rule):
        return True, np.sign(coef) * base[0] / base[1]
    return False, -coef


@inner
def _others(coef, rule, rules, equations, changed):
    """List the features on another face than before; returns how many there are."""
    count = 0
    for j in range(coef.shape[0]):
        free, lean = _lean(coef[j], rule[j], rules[j])
        if free != equations.free[j] or lean != equations.lean[j]:
            changed[count] = j
            count += 1
    return count


@inner
def _respond(corr, rule, rules, equations, coef, changed):
    """Fill in the coefficients at which the penalties have these slopes; returns what `_others` does."""
    for j in range(corr.shape[0]):
        coef[j] = coordinate_step(corr[j], 0.0, 0.0, rule[j])
    return _others(coef, rule, rules, equations, changed)


@inner
def _renew(columns, rules, coef, rule, changed, equations):
    """Bring the equations up to the faces of some features, four of these at a time."""
    n = equations.root.shape[0]
    rows, scales = np.empty((4, n)), np.empty(4)
    for first in range(0, changed.shape[0], 4):
        rows[:] = 0.0
        scales[:] = 0.0
        for at in range(min(4, changed.shape[0] - first)):
            j, row = changed[first + at], rows[at]
            add(add_column(1.0, columns, j, row), equations.root, row, n)
            free, lean = _lean(coef[j], rule[j], rules[j])
            add(lean - equations.lean[j], row, equations.right, n)
            if free != equations.free[j]:
                scales[at] = (-1.0 if free else 1.0) / rules[j, 1]
            equations.free[j], equations.lean[j] = free, lean
        if scales.any():
            for i in range(n):
                p, q, r, s = rows[0, i], rows[1, i], rows[2, i], rows[3, i]
                four = scales[0] * p, scales[1] * q, scales[2] * r, scales[3] * s
                subtract_four_rows(rows, (0, 1, 2, 3), four, equations.outer[i], i, n)


@inner
def _substitute(factor, right, x):
    """Solve equations whose matrix has been factored."""
    for i in range(x.shape[0]):
        x[i] = right[i]
    _forward_substitute(factor, x.shape[0], x)
    _back_substitute(factor, x.shape[0], x)


@inner
def _share(point, ahead, corr, to, rule, equations, changed):
    """How far to go on a step, so that the dual objective grows: all of it, or to about its maximum.

    Its derivative along the step falls, from `first` to 0 if no feature changes its face.
    """
    first = 0.0
    for i in range(point.shape[0]):
        first += (ahead[i] - point[i]) ** 2
    for j in range(corr.shape[0]):
        if equations.free[j]:
            first += (to[j] - corr[j]) ** 2 / rule[j, 1]
    half = _derivative(0.5, first, corr, to, rule, equations, changed)
    whole = _derivative(1.0, first, corr, to, rule, equations, changed)
    if half + whole >= 0.1 * first:  # twice what it grows by is not less
        return 1.0
    share, end = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (share + end)
        if _derivative(middle, first, corr, to, rule, equations, changed) > 0.0:
            share = middle
        else:
            end = middle
        if end - share < 0.1 * share:
            break
    return share


@inner
def _derivative(share, first, corr, to, rule, equations, changed):
    """The derivative of the dual objective on a step; only features that have changed their face bend it."""
    value = (1.0 - share) * first
    for at in range(changed.shape[0]):
        j = changed[at]
        step = to[j] - corr[j]
        now = corr[j] + share * step
        linear = (now / rule[j, 1] if equations.free[j] else 0.0) - equations.lean[j]
        value -= (coordinate_step(now, 0.0, 0.0, rule[j]) - linear) * step
    return value


@inner
def _rest_of(columns, equations, coef, point, residual):
    """Fill in the residual of some coefficients, less what it should be; returns the norm of that.

    If the coefficients are those that go with a residual, half of its square is their duality gap.
    """
    n = point.shape[0]
    for i in range(n):
        residual[i] = equations.target[i]
    offset = subtract_columns(columns, coef, residual)
    add(offset, equations.root, residual, n)
    add(-1.0, point, residual, n)
    return np.sqrt(dot(residual, residual, n))


@inner
def _factorise(outer, lam, factor, rest):
    """Cholesky factor of ``I + outer / lam`` with its transpose, as one symmetric array.

    Four rows at a time: minus what is left of the matrix, `rest`, grows by the products of two rows with
    four. There are rows up to a multiple of four, those beyond the matrix of no consequence.
    """
    n, size = outer.shape[0], factor.shape[0]
    top = 0.0
    for i in range(n):
        top = max(top, outer[i, i] / lam)
    for i in range(size):
        rest[i, i:] = 0.0
        # With what rounding may have taken from a sum of squares.
        rest[i, i] = -(1.0 + NOISE * top)
        if i < n:
            add(-1.0 / lam, outer[i, i:], rest[i, i:], n - i)
    for first in range(0, size, 4):
        for i in range(first, size, 4):
            add_products(factor, first, i, 0, first, rest)
            add_products(factor, first + 2, i, 0, first, rest)
        for i in range(first, first + 4):
            for above in range(first, i):
                add(factor[above, i], factor[above, i:], rest[i, i:], size - i)
            factor[i, i:] = 0.0
            add(-1.0 / np.sqrt(-rest[i, i]), rest[i, i:], factor[i, i:], size - i)
        for i in range(first, size):
            for c in range(first, min(i, first + 4)):
                factor[i, c] = factor[c, i]
