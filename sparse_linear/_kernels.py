r"""All compiled code of the package, with its derivations.

Everything here works on the *reduced problem*

.. math::

    \min_w \tfrac12 w^T G w - c^T w + \sum_j \lambda f_j |w_j| + \tfrac12 \lambda g_j w_j^2,
    \qquad \ell_j \le w_j \le u_j ,

where ``G`` is the Gram matrix of some columns (the working set), ``c`` their correlations with the
target, and the pair ``(f, g)`` are the penalty factors of the features.  Columns and target have unit
norm (`_design.Units`), so every quantity below is of order one and tolerances mean the same on
every data set.

How one ``lambda`` is solved (`_solve_one`)
-------------------------------------------
The objective is convex and piecewise quadratic: on a *face* (each coordinate positive, negative, or
held at 0 or at a bound) it is one quadratic, whose minimiser is one triangular solve away.  The
solver keeps the Cholesky factor ``U`` of ``H = G_AA + lambda diag(g_A)`` for the free coordinates
``A`` and moves from face to face:

1. *Newton* (`_newton`): ``H d = -gradient``; take the step, or go to the first coordinate that would
   leave its face, hold it there, drop it from ``U``, and solve again.
2. *Admit* (`_admit`): every held coordinate that a coordinate step would move takes that step, one
   after the other, and becomes free.
3. *Join* (`_join`): the newly free coordinates enter ``U``.  One that depends on the columns
   already there has no pivot; then the fit is (nearly) constant along the null direction
   ``d_j = 1, d_A = -H^{-1} G_Aj`` and the objective is minimised along it, up to the first coordinate
   that reaches the end of its face and is dropped.

No step raises the objective, and each round ends in the minimiser of a face that is lower than the
one before; there are finitely many faces, so it ends (the argument of the active-set methods: Osborne,
Presnell and Turlach 2000, IMA J. Numer. Anal. 20, section 3).  The result is as good as a triangular
solve, not "converged to a tolerance".

Conventions
-----------
``grad`` is minus the gradient of the quadratic part, ``c - G w``: the correlation of each column with
the residual.  Functions that change an array say so.  The number of columns in use is ``m``, the
number of free ones ``k``; arrays are larger (capacity), so that they can grow without moving.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

kernel = partial(njit, cache=True, nogil=True, error_model="numpy")
# Leaf reductions may be reassociated, so that they vectorise; NaN and infinity keep their meaning.
leaf = partial(kernel, fastmath={"reassoc", "contract", "nsz", "arcp"}, inline="never")

EPS = np.finfo(np.float64).eps
# A column whose part independent of the factor is smaller than this share of its norm (squared) counts as dependent.
PIVOT = 1e-11
# Optimality conditions inside the working set are met to this share of each feature's own penalty.
KKT = 1e-12


class Working(NamedTuple):
    """The reduced problem and the solver's state; every array is updated in place.

    ``l1`` and ``l2`` are the penalty factors ``f`` and ``g``; ``factor`` is the upper triangular Cholesky factor, stored by rows so
    that every operation on it runs along memory; ``order[:k]`` are the free features in the order of the
    factor, and ``slot[j]`` the place of feature ``j`` in it, or -1.
    """

    gram: np.ndarray  # (capacity, capacity)
    grad: np.ndarray  # (capacity,)
    coef: np.ndarray  # (capacity,)
    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    factor: np.ndarray  # (capacity, capacity)
    order: np.ndarray  # (capacity,) int64
    slot: np.ndarray  # (capacity,) int64


# ---------------------------------------------------------------------------------------------
# What a coordinate is
# ---------------------------------------------------------------------------------------------


@kernel
def coordinate_step(grad, curvature, coef, l1, l2, lower, upper):
    """Minimiser of the objective over one coefficient, all others fixed (soft threshold, then the box)."""
    z = grad + curvature * coef
    if z > l1:
        new = (z - l1) / (curvature + l2)
    elif z < -l1:
        new = (z + l1) / (curvature + l2)
    else:
        new = 0.0
    return min(max(new, lower), upper)


@kernel
def is_free(coef, l1, lower, upper):
    """Whether a coefficient lies inside a face: the objective is smooth in it, on both sides."""
    return lower < coef < upper and (coef != 0.0 or l1 == 0.0)


@kernel
def face(coef, l1, lower, upper):
    """The ends of the face on which a free coefficient lies."""
    if l1 > 0.0:
        if coef > 0.0:
            return 0.0, upper
        return lower, 0.0
    return lower, upper


@kernel
def slope(coef, l1, l2):
    """Derivative of the penalty at a free coefficient."""
    if coef > 0.0:
        return l1 + l2 * coef
    if coef < 0.0:
        return l2 * coef - l1
    return 0.0


# ---------------------------------------------------------------------------------------------
# Leaves: the loops over memory
# ---------------------------------------------------------------------------------------------


@leaf
def dot(a, b, start, stop):
    """Sum of ``a[i] * b[i]`` for ``start <= i < stop``."""
    total = 0.0
    for i in range(start, stop):
        total += a[i] * b[i]
    return total


@leaf
def axpy(scale, a, b, start, stop):
    """``b[i] += scale * a[i]`` for ``start <= i < stop``."""
    for i in range(start, stop):
        b[i] += scale * a[i]


@leaf
def rotate(cosine, sine, a, b, start, stop):
    """Apply a plane rotation to two rows, in place."""
    for i in range(start, stop):
        x = a[i]
        y = b[i]
        a[i] = cosine * x + sine * y
        b[i] = cosine * y - sine * x


# ---------------------------------------------------------------------------------------------
# The Cholesky factor of the free columns
# ---------------------------------------------------------------------------------------------


@kernel
def _back_substitute(factor, k, x):
    """Solve ``U x = x`` in place."""
    for i in range(k - 1, -1, -1):
        x[i] = (x[i] - dot(factor[i], x, i + 1, k)) / factor[i, i]


@kernel
def _forward_substitute(factor, k, x):
    """Solve ``U^T x = x`` in place."""
    for i in range(k):
        x[i] /= factor[i, i]
        axpy(-x[i], factor[i], x, i + 1, k)


@kernel
def _append(work, k, j, l2, column):
    """Append feature `j` to the factor if it is independent of the features there.

    Returns the pivot (squared norm of its independent part) and whether it was appended.  ``column`` is
    scratch; it is left holding ``U^{-T} H_Aj``.
    """
    gram_row = work.gram[j]
    for i in range(k):
        column[i] = gram_row[work.order[i]]
    _forward_substitute(work.factor, k, column)
    diagonal = gram_row[j] + l2
    pivot = diagonal - dot(column, column, 0, k)
    if pivot <= PIVOT * diagonal:
        return pivot, False
    for i in range(k):
        work.factor[i, k] = column[i]
    work.factor[k, k] = np.sqrt(pivot)
    work.order[k] = j
    work.slot[j] = k
    return pivot, True


@kernel
def _remove(work, k, position):
    """Remove one feature from the factor by Givens rotations; returns the new size."""
    factor, order, slot = work.factor, work.order, work.slot
    slot[order[position]] = -1
    for i in range(position, k - 1):
        order[i] = order[i + 1]
        slot[order[i]] = i
    # Without the column the factor is upper Hessenberg from `position` on ...
    for i in range(k):
        row = factor[i]
        for c in range(max(position, i - 1), k - 1):
            row[c] = row[c + 1]
    # ... and rotating neighbouring rows makes it triangular again.
    for i in range(position, k - 1):
        a = factor[i, i]
        b = factor[i + 1, i]
        r = np.hypot(a, b)
        factor[i, i] = r
        rotate(a / r, b / r, factor[i], factor[i + 1], i + 1, k - 1)
    return k - 1


@kernel
def _refactor(work, k, lam, column):
    """Rebuild the factor for a new `lam`; a feature that has become dependent is left out. Returns the size."""
    size = 0
    for i in range(k):
        j = work.order[i]
        work.slot[j] = -1
        _, appended = _append(work, size, j, lam * work.l2[j], column)
        if appended:
            size += 1
    return size


# ---------------------------------------------------------------------------------------------
# The three moves
# ---------------------------------------------------------------------------------------------


@kernel
def _move(work, m, j, new):
    """Set one coefficient and update the correlations of the working set."""
    change = new - work.coef[j]
    if change != 0.0:
        work.coef[j] = new
        axpy(-change, work.gram[j], work.grad, 0, m)


@kernel
def _hold(work, k, j, value):
    """Put feature `j` on the end of its face and take it out of the factor; returns the new size."""
    work.coef[j] = value
    return _remove(work, k, work.slot[j])


@kernel
def _newton(work, m, k, lam, step, before):
    """Go to the minimiser of the face, through as many crossings as it takes. Returns the new size.

    A step that stops at the share ``t`` of its way leaves the gradient of the remaining free features at
    ``(1 - t)`` times what it was, so crossings cost one pair of triangular solves and no pass over the Gram matrix; the
    correlations of the working set are updated once, at the end.
    """
    coef, order = work.coef, work.order
    for j in range(m):
        before[j] = coef[j]
    remaining = 1.0
    while k > 0:
        for i in range(k):
            j = order[i]
            step[i] = work.grad[j] - slope(before[j], lam * work.l1[j], lam * work.l2[j])
            step[i] *= remaining
        _forward_substitute(work.factor, k, step)
        _back_substitute(work.factor, k, step)
        share = 1.0
        hit = -1
        end = 0.0
        for i in range(k):
            j = order[i]
            lo, hi = face(coef[j], work.l1[j], work.lower[j], work.upper[j])
            target = coef[j] + step[i]
            if target <= lo:
                t = (lo - coef[j]) / step[i]
                if t < share or hit < 0:
                    share, hit, end = t, j, lo
            elif target >= hi:
                t = (hi - coef[j]) / step[i]
                if t < share or hit < 0:
                    share, hit, end = t, j, hi
        for i in range(k):
            coef[order[i]] += share * step[i]
        if hit < 0:
            break
        remaining *= 1.0 - share
        k = _hold(work, k, hit, end)
        # Rounding may have carried others over the end of their face together with it.
        i = k - 1
        while i >= 0:
            j = order[i]
            lo, hi = face(before[j], work.l1[j], work.lower[j], work.upper[j])
            if coef[j] <= lo:
                k = _hold(work, k, j, lo)
            elif coef[j] >= hi:
                k = _hold(work, k, j, hi)
            i -= 1
        if remaining <= 0.0:
            break
    for j in range(m):
        if coef[j] != before[j]:
            axpy(before[j] - coef[j], work.gram[j], work.grad, 0, m)
    return k


@kernel
def _join(work, m, k, lam, j, column):
    """Take the free feature `j` into the factor, or walk along the null direction if it depends on it."""
    coef, order = work.coef, work.order
    l2 = lam * work.l2[j]
    while is_free(coef[j], work.l1[j], work.lower[j], work.upper[j]):
        curvature, appended = _append(work, k, j, l2, column)
        if appended:
            return k + 1
        # d_j = 1, d_A = -H^{-1} H_Aj; `descent` is minus the derivative of the objective along d.
        _back_substitute(work.factor, k, column)
        descent = work.grad[j] - slope(coef[j], lam * work.l1[j], l2)
        scale = abs(work.grad[j])
        for i in range(k):
            a = order[i]
            term = column[i] * (work.grad[a] - slope(coef[a], lam * work.l1[a], lam * work.l2[a]))
            descent -= term
        noise = 8.0 * EPS * (scale + 1.0)
        if abs(descent) <= noise:
            # The objective is flat: go where the newcomer vanishes.
            if coef[j] == 0.0:
                return k
            direction = -1.0 if coef[j] > 0.0 else 1.0
            length = np.inf
        else:
            direction = 1.0 if descent > 0.0 else -1.0
            length = abs(descent) / curvature if curvature > EPS else np.inf
        hit = -1
        end = 0.0
        lo, hi = face(coef[j], work.l1[j], work.lower[j], work.upper[j])
        limit = hi if direction > 0.0 else lo
        if abs(limit - coef[j]) <= length:
            length, hit, end = abs(limit - coef[j]), j, limit
        for i in range(k):
            a = order[i]
            lo, hi = face(coef[a], work.l1[a], work.lower[a], work.upper[a])
            speed = -direction * column[i]
            if speed == 0.0:
                continue
            limit = hi if speed > 0.0 else lo
            reach = (limit - coef[a]) / speed
            if reach < length:
                length, hit, end = reach, a, limit
        if length == np.inf:
            return k  # nothing is gained and nothing stops it: the column adds nothing to the fit
        for i in range(k):
            a = order[i]
            _move(work, m, a, end if a == hit else coef[a] - length * direction * column[i])
        _move(work, m, j, end if j == hit else coef[j] + length * direction)
        if hit < 0:
            return k  # minimised along d: j stays outside the factor, its gradient is zero
        if hit != j:
            k = _remove(work, k, work.slot[hit])
    return k


@kernel
def _violation(work, j, lam):
    """How far the coordinate step of feature `j` would go, in units of the gradient."""
    curvature = work.gram[j, j]
    l2 = lam * work.l2[j]
    new = coordinate_step(
        work.grad[j], curvature, work.coef[j], lam * work.l1[j], l2, work.lower[j], work.upper[j]
    )
    return abs(new - work.coef[j]) * (curvature + l2)


@kernel
def _admit(work, m, lam, floor):
    """Every held feature that wants to move takes its coordinate step."""
    for j in range(m):
        if work.slot[j] < 0 and _violation(work, j, lam) > KKT * lam * work.l1[j] + floor:
            new = coordinate_step(
                work.grad[j],
                work.gram[j, j],
                work.coef[j],
                lam * work.l1[j],
                lam * work.l2[j],
                work.lower[j],
                work.upper[j],
            )
            _move(work, m, j, new)


@kernel
def _solve_one(work, m, k, lam, max_rounds, scratch):
    """Solve the reduced problem at one `lam`. Returns the factor's size and the number of rounds."""
    rounds = 0
    while rounds < max_rounds:
        rounds += 1
        k = _newton(work, m, k, lam, scratch[0], scratch[1])
        size = 1.0
        for j in range(m):
            size += abs(work.coef[j])
        floor = 4.0 * EPS * size
        worst = 0.0
        for j in range(m):
            excess = _violation(work, j, lam) - KKT * lam * work.l1[j] - floor
            if excess > worst:
                worst = excess
        if worst <= 0.0:
            break
        _admit(work, m, lam, floor)
        for j in range(m):
            if work.slot[j] < 0 and is_free(work.coef[j], work.l1[j], work.lower[j], work.upper[j]):
                k = _join(work, m, k, lam, j, scratch[0])
    return k, rounds


@kernel
def solve_sequence(work, m, k, lam_before, lams, max_rounds, coefs, rounds):
    """Solve the reduced problem for a decreasing sequence of ``lam``, each started from the one before.

    Parameters
    ----------
    work : Working
        Updated in place.
    m, k : int
        Columns in use, and free features in the factor.
    lam_before : float
        The ``lam`` for which the factor was built.
    lams : ndarray of shape (n_lams,)
    max_rounds : int
        Limit of rounds for each ``lam``.
    coefs : ndarray of shape (n_lams, m)
        Filled with the solutions.
    rounds : ndarray of shape (n_lams,), int64
        Filled with the number of rounds.

    Returns
    -------
    k : int
        The size of the factor.
    """
    scratch = np.empty((2, m + 1))
    ridge = False
    for j in range(m):
        ridge |= work.l2[j] > 0.0
    for step in range(lams.shape[0]):
        lam = lams[step]
        if ridge and lam != lam_before:
            k = _refactor(work, k, lam, scratch[0])
        lam_before = lam
        k, rounds[step] = _solve_one(work, m, k, lam, max_rounds, scratch)
        for j in range(m):
            coefs[step, j] = work.coef[j]
    return k


@kernel
def restart(work, m, k, lam, coef, grad):
    """Put the solver on given coefficients, with their correlations, and bring the factor to their support.

    Parameters
    ----------
    work : Working
        Updated in place.
    m, k : int
        Columns in use, and free features in the factor.
    lam : float
        The ``lam`` of the factor.
    coef, grad : ndarray of shape (m,)

    Returns
    -------
    k : int
        The size of the factor.
    """
    column = np.empty(m + 1)
    for j in range(m):
        work.coef[j] = coef[j]
        work.grad[j] = grad[j]
        if work.slot[j] >= 0 and not is_free(coef[j], work.l1[j], work.lower[j], work.upper[j]):
            k = _remove(work, k, work.slot[j])
    for j in range(m):
        if work.slot[j] < 0 and is_free(coef[j], work.l1[j], work.lower[j], work.upper[j]):
            _, appended = _append(work, k, j, lam * work.l2[j], column)
            if appended:
                k += 1
    return k


# ---------------------------------------------------------------------------------------------
# The certificate
# ---------------------------------------------------------------------------------------------


@kernel
def _conjugate_term(u, coef, l1, l2, lower, upper):
    r"""``phi(w) + phi*(u) - u w`` for one feature: zero if and only if ``u`` is a subgradient at ``w``."""
    if u > l1:
        best = min((u - l1) / l2, upper) if l2 > 0.0 else upper
    elif u < -l1:
        best = max((u + l1) / l2, lower) if l2 > 0.0 else lower
    else:
        best = 0.0
    if abs(best) == np.inf:
        # Only features without any penalty come here: see `duality_gaps`.
        return abs(u * coef)
    return (l1 * (abs(coef) - abs(best)) + 0.5 * l2 * (coef - best) * (coef + best)) + u * (best - coef)


@kernel
def _gap_at(t, corr, coef, lam, l1, l2, lower, upper, rss):
    """Duality gap for the dual point ``t`` times the residual."""
    gap = 0.5 * (1.0 - t) ** 2 * rss
    for j in range(corr.shape[0]):
        u = t * corr[j]
        if coef[j] != 0.0 or abs(u) > lam * l1[j]:
            gap += max(0.0, _conjugate_term(u, coef[j], lam * l1[j], lam * l2[j], lower[j], upper[j]))
    return gap


@kernel
def duality_gaps(corrs, features, coefs, lams, l1, l2, lower, upper, rss):
    r"""Certified duality gap of each solution, free of cancellation.

    With the dual point :math:`\theta = t r`, ``r`` the residual and :math:`v = X^T S r`, Fenchel duality gives

    .. math::

        P(w) - D(t r) = \sum_j \bigl[\phi_j(w_j) + \phi_j^*(t v_j) - t v_j w_j\bigr]
                        + \tfrac12 (1 - t)^2 \|r\|_S^2 ,

    a sum of non-negative terms (use :math:`\langle y, r\rangle = \|r\|^2 + v^T w`), so it keeps its digits
    down to the rounding of ``v``.  :math:`\phi_j^*` is infinite beyond the threshold of a
    feature without ridge penalty and without a bound on that side; ``t`` is the largest factor in [0, 1] that
    keeps those finite, or keeps all features within their threshold, whichever gives the smaller gap.

    A feature with no penalty and no bound would need ``v_j = 0`` exactly, which rounding forbids; for those the
    certificate holds against all coefficients between 0 and twice the one found, and costs ``|v_j w_j|``.

    Parameters
    ----------
    corrs : ndarray of shape (n_lams, n_features)
        Correlations ``v`` of all features with each residual.
    features : ndarray of shape (m,), int64
        The features that ``coefs`` speaks of; all others have coefficient 0.
    coefs : ndarray of shape (n_lams, m)
    lams : ndarray of shape (n_lams,)
    l1, l2, lower, upper : ndarray of shape (n_features,)
    rss : ndarray of shape (n_lams,)
        Weighted squared norm of each residual.

    Returns
    -------
    gaps : ndarray of shape (n_lams,)
        In the scale of the reduced objective.
    """
    n_features = corrs.shape[1]
    gaps = np.empty(corrs.shape[0])
    coef = np.zeros(n_features)
    for step in range(corrs.shape[0]):
        for i in range(features.shape[0]):
            coef[features[i]] = coefs[step, i]
        lam = lams[step]
        finite = 1.0
        within = 1.0
        for j in range(n_features):
            v = corrs[step, j]
            bound = lam * l1[j]
            end = upper[j] if v > 0.0 else lower[j]
            if abs(v) > bound and bound > 0.0 and end != 0.0:
                within = min(within, bound / abs(v))
                if l2[j] == 0.0 and abs(end) == np.inf:
                    finite = min(finite, bound / abs(v))
        gap = _gap_at(finite, corrs[step], coef, lam, l1, l2, lower, upper, rss[step])
        if within < finite:
            gap = min(gap, _gap_at(within, corrs[step], coef, lam, l1, l2, lower, upper, rss[step]))
        gaps[step] = gap
    return gaps


# ---------------------------------------------------------------------------------------------
# Sparse storage: one source for compressed columns and compressed rows
# ---------------------------------------------------------------------------------------------


class CSC(NamedTuple):
    """Entries stored by column."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


class CSR(NamedTuple):
    """Entries stored by row."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray


def row_and_column(matrix, major, minor):
    """Row and column of an entry from its place in the storage; resolved at compile time by the type of `matrix`."""
    return (minor, major) if isinstance(matrix, CSC) else (major, minor)


@overload(row_and_column, inline="always")
def _row_and_column(matrix, major, minor):
    if matrix.instance_class is CSC:
        return lambda matrix, major, minor: (minor, major)
    return lambda matrix, major, minor: (major, minor)


@kernel
def entry_product(matrix, rows, n_columns):
    """``X^T rows`` for a dense ``rows`` of shape (n, b): an array of shape (n_columns, b), at O(b nnz)."""
    result = np.zeros((n_columns, rows.shape[1]))
    for major in range(matrix.indptr.shape[0] - 1):
        for place in range(matrix.indptr[major], matrix.indptr[major + 1]):
            i, j = row_and_column(matrix, major, matrix.indices[place])
            value = matrix.data[place]
            for c in range(rows.shape[1]):
                result[j, c] += value * rows[i, c]
    return result


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
def entry_squares(matrix, share, mean):
    """Weighted squares of the stored entries about `mean`, their weight and their number, column by column.

    Entries of rows without weight do not count.
    """
    n_columns = mean.shape[0]
    square = np.zeros(n_columns)
    stored = np.zeros(n_columns)
    count = np.zeros(n_columns, dtype=np.int64)
    for major in range(matrix.indptr.shape[0] - 1):
        for place in range(matrix.indptr[major], matrix.indptr[major + 1]):
            i, j = row_and_column(matrix, major, matrix.indices[place])
            apart = matrix.data[place] - mean[j]
            square[j] += share[i] * apart * apart
            stored[j] += share[i]
            count[j] += share[i] > 0.0
    return square, stored, count
