r"""All compiled code of the package, with its derivations.

Everything here works on the *reduced problem*

.. math::

    \min_w \tfrac12 w^T G w - c^T w + \sum_j \lambda f_j |w_j| + \tfrac12 \lambda g_j w_j^2,
    \qquad \ell_j \le w_j \le u_j ,

where ``G`` is the Gram matrix of some columns (the working set), ``c`` their correlations with the
target, and the pair ``(f, g)`` are the penalty factors of the features.  Columns and target have unit
norm (`_design.Units`), so every quantity below is of order one and tolerances mean the same on
every data set.

How one ``lambda`` is solved (`solve_sequence`)
-----------------------------------------------
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
# Called by other kernels only: without the wrappers for Python, which take a third of the time to compile.
inner = partial(kernel, no_cpython_wrapper=True, no_cfunc_wrapper=True)
# Leaf reductions may be reassociated, so that they vectorise; NaN and infinity keep their meaning.
leaf = partial(inner, fastmath={"reassoc", "contract", "nsz", "arcp"}, inline="never")

EPS = np.finfo(np.float64).eps
# After this many rounds at one lambda the tolerance doubles every eight rounds.
PATIENCE = 40.0
# Rounding of quantities of order one that are sums over the working set.
NOISE = 32.0 * EPS
# A column whose part independent of the factor is smaller than this share of its norm (squared) counts as
# dependent.
PIVOT = 1e-11
# Curvature along a null direction up to this is rounding of the pivot, and counts as none.
FLAT = 1e-13
# How many columns are appended to the factor in one pass over it.
BLOCK = 32
# Up to this many, one after the other is faster.
FEW = 3
# Entries of a null direction below this are rounding: most are, when the newcomer is a duplicate.
BYSTANDER = 1e-9
# Optimality conditions inside the working set are met to this share of each feature's own penalty.
KKT = 1e-12


class Working(NamedTuple):
    """The reduced problem and the solver's state; every array is updated in place.

    ``base[j]`` and ``rule[j]`` are the penalty of feature ``j``, ``(l1, l2, lower, upper)``, for ``lambda =
    1`` and for the present lambda. ``factor`` is the upper triangular Cholesky factor, stored by rows so that
    every operation on it runs along memory;
    ``order[:k]`` are the free features in the order of the factor; ``held[j]`` says that feature ``j`` is not
    among them.
    """

    gram: np.ndarray  # (capacity, capacity)
    grad: np.ndarray  # (capacity,)
    coef: np.ndarray  # (capacity,)
    base: np.ndarray  # (capacity, 4)
    rule: np.ndarray  # (capacity, 4)
    factor: np.ndarray  # (capacity, capacity)
    order: np.ndarray  # (capacity,) int64
    held: np.ndarray  # (capacity,) bool


# ---------------------------------------------------------------------------------------------
# What a coordinate is
# ---------------------------------------------------------------------------------------------


@kernel
def coordinate_step(grad, curvature, coef, rule):
    """Minimiser of the objective over one coefficient, all others fixed: soft threshold, shrink, clip."""
    l1, l2, lower, upper = rule[0], rule[1], rule[2], rule[3]
    z = grad + curvature * coef
    if z > l1:
        new = (z - l1) / (curvature + l2)
    elif z < -l1:
        new = (z + l1) / (curvature + l2)
    else:
        new = 0.0
    return min(max(new, lower), upper)


@kernel
def face(coef, rule):
    """Ends of the interval around a coefficient where the objective is quadratic; equal if there is none."""
    l1, lower, upper = rule[0], rule[2], rule[3]
    if coef <= lower or coef >= upper or (coef == 0.0 and l1 > 0.0):
        return coef, coef
    if l1 == 0.0:
        return lower, upper
    if coef > 0.0:
        return 0.0, upper
    return lower, 0.0


@kernel
def is_free(coef, rule):
    """Whether a coefficient lies inside a face, rather than being held on the end of one."""
    low, high = face(coef, rule)
    return low < high


@kernel
def slope(coef, rule):
    """Derivative of the penalty at a free coefficient."""
    return np.sign(coef) * rule[0] + coef * rule[1]


# ---------------------------------------------------------------------------------------------
# Leaves: the loops over memory
# ---------------------------------------------------------------------------------------------


@leaf
def dot_row(matrix, i, x, start, stop):
    """Sum of ``matrix[i, c] * x[c]`` for ``start <= c < stop``."""
    total = 0.0
    for c in range(start, stop):
        total += matrix[i, c] * x[c]
    return total


@leaf
def add_row(scale, matrix, i, x, start, stop):
    """``x[c] += scale * matrix[i, c]`` for ``start <= c < stop``."""
    for c in range(start, stop):
        x[c] += scale * matrix[i, c]


@leaf
def update_grad(change, gram, j, grad, m):
    """Correlations of the working set after coefficient ``j`` has changed: ``grad -= change * gram[j]``."""
    for i in range(m):
        grad[i] -= change * gram[j, i]


@leaf
def eliminate(factor, panel, i, k, width):
    """Take four solved rows of a panel out of those below: ``panel[r] -= factor[i:i+4, r] @ panel[i:i+4]``."""
    for r in range(i + 4, k):
        a, b, c, d = factor[i, r], factor[i + 1, r], factor[i + 2, r], factor[i + 3, r]
        for col in range(width):
            panel[r, col] -= (
                a * panel[i, col] + b * panel[i + 1, col] + c * panel[i + 2, col] + d * panel[i + 3, col]
            )


@leaf
def subtract_squares(panel, i, square, width):
    """``square -= panel[i:i+4]^T panel[i:i+4]``, upper triangle."""
    for r in range(width):
        a, b, c, d = panel[i, r], panel[i + 1, r], panel[i + 2, r], panel[i + 3, r]
        for col in range(r, width):
            square[r, col] -= (
                a * panel[i, col] + b * panel[i + 1, col] + c * panel[i + 2, col] + d * panel[i + 3, col]
            )


@leaf
def rotate_rows(cosine, sine, matrix, i, start, stop):
    """Apply a plane rotation to rows ``i`` and ``i + 1``, in place."""
    for c in range(start, stop):
        a = matrix[i, c]
        b = matrix[i + 1, c]
        matrix[i, c] = cosine * a + sine * b
        matrix[i + 1, c] = cosine * b - sine * a


# ---------------------------------------------------------------------------------------------
# The Cholesky factor of the free columns
# ---------------------------------------------------------------------------------------------


@kernel
def _back_substitute(factor, k, x):
    """Solve ``U x = x`` in place."""
    for i in range(k - 1, -1, -1):
        x[i] = (x[i] - dot_row(factor, i, x, i + 1, k)) / factor[i, i]


@kernel
def _forward_substitute(factor, k, x):
    """Solve ``U^T x = x`` in place."""
    for i in range(k):
        x[i] /= factor[i, i]
        add_row(-x[i], factor, i, x, i + 1, k)


@kernel
def _append(work, k, j, column):
    """Append feature `j` to the factor if it is independent of the features there.

    Returns the pivot (squared norm of its independent part) and whether it was appended.  ``column`` is
    scratch; it is left holding ``U^{-T} H_Aj``.
    """
    for i in range(k):
        column[i] = work.gram[j, work.order[i]]
    _forward_substitute(work.factor, k, column)
    diagonal = work.gram[j, j] + work.rule[j, 1]
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


@inner
def _append_all(work, k, features, count):
    """Append the first `count` of some features, all but those that depend on the factor; returns its size.

    Blocked: `BLOCK` features share one pass over the factor, four of its rows at a time. Those left out stay
    marked as held.
    """
    gram, rule, factor, order = work.gram, work.rule, work.factor, work.order
    # Three rows more than needed, of zeros: the last group of four rows may be incomplete.
    panel = np.empty((k + count + 3, BLOCK))
    square = np.empty((BLOCK, BLOCK))
    for first in range(0, count, BLOCK):
        width = min(BLOCK, count - first)
        for i in range(k):
            for c in range(width):
                panel[i, c] = gram[features[first + c], order[i]]
        panel[k : k + 3] = 0.0
        for r in range(width):
            for c in range(width):
                square[r, c] = gram[features[first + r], features[first + c]]
            square[r, r] += rule[features[first + r], 1]
        for i in range(0, k, 4):
            for r in range(i, min(i + 4, k)):
                for c in range(width):
                    panel[r, c] /= factor[r, r]
                for below in range(r + 1, min(i + 4, k)):
                    for c in range(width):
                        panel[below, c] -= factor[r, below] * panel[r, c]
            if i + 4 < k:
                eliminate(factor, panel, i, k, width)
            subtract_squares(panel, i, square, width)
        size = k
        for r in range(width):
            j = features[first + r]
            if square[r, r] <= PIVOT * (gram[j, j] + rule[j, 1]):
                continue
            length = np.sqrt(square[r, r])
            for c in range(r + 1, width):
                square[r, c] /= length
            for below in range(r + 1, width):
                for c in range(below, width):
                    square[below, c] -= square[r, below] * square[r, c]
            for i in range(k):
                factor[i, size] = panel[i, r]
            for i in range(k, size):
                factor[i, size] = square[order[i], r]
            factor[size, size] = length
            order[size] = r  # its place in the block, until the block is done
            size += 1
        for i in range(k, size):
            order[i] = features[first + order[i]]
            work.held[order[i]] = False
        k = size
    return k


@kernel
def _remove(work, k, position):
    """Remove one feature from the factor by Givens rotations; returns the new size."""
    factor, order = work.factor, work.order
    work.held[order[position]] = True
    for i in range(position, k - 1):
        order[i] = order[i + 1]
    # Without the column the factor is upper Hessenberg from `position` on ...
    for i in range(k):
        for c in range(max(position, i - 1), k - 1):
            factor[i, c] = factor[i, c + 1]
    # ... and rotating neighbouring rows makes it triangular again.
    for i in range(position, k - 1):
        length = np.sqrt(factor[i, i] ** 2 + factor[i + 1, i] ** 2)
        cosine, sine = factor[i, i] / length, factor[i + 1, i] / length
        factor[i, i] = length
        rotate_rows(cosine, sine, factor, i, i + 1, k - 1)
    return k - 1


@kernel
def _set_lambda(work, m, k, lam):
    """Scale the penalties to `lam`, and rebuild the factor if it contains them. Returns its size.

    A feature that has become dependent, its ridge penalty having shrunk, is left out.
    """
    ridge = False
    for j in range(m):
        ridge |= work.rule[j, 1] != lam * work.base[j, 1]
        work.rule[j, 0] = lam * work.base[j, 0]
        work.rule[j, 1] = lam * work.base[j, 1]
    if not ridge:
        return k
    features = work.order[:k].copy()
    for i in range(k):
        work.held[features[i]] = True
    return _append_all(work, k - k, features, k)  # 0 of the type of k: a literal would compile once more


# ---------------------------------------------------------------------------------------------
# The three moves
# ---------------------------------------------------------------------------------------------


@inner
def _newton(work, m, k, step, force, pull, start):
    """Go to the minimiser of the face, through as many boundaries as it takes; returns the factor's new size.

    The Newton step ``d`` solves ``H d = force``, minus the gradient. It is followed along its projection on
    the face: a coordinate that reaches the end of its face stays there while the others go on, up to the
    minimum along this broken line (Moré and Toraldo 1991, SIAM J. Optim. 1, section 4). With ``pull = H d``
    at hand, a corner costs O(k); the factor is used again only for the next step, without the coordinates
    that were stopped. The correlations of the working set are updated once, at the end. The last four
    arguments are scratch.
    """
    coef, order, rule = work.coef, work.order, work.rule
    for j in range(m):
        start[j] = coef[j]
    for i in range(k):
        force[i] = work.grad[order[i]] - slope(coef[order[i]], rule[order[i]])
    stopped = True
    while k > 0 and stopped:
        stopped = False
        for i in range(k):
            step[i] = force[i]
            pull[i] = force[i]
        _forward_substitute(work.factor, k, step)
        _back_substitute(work.factor, k, step)
        length = 1.0  # to the minimum along the line
        while length > 0.0:
            share = length
            for i in range(k):
                j = order[i]
                low, high = face(coef[j], rule[j])
                if coef[j] + step[i] * share < low:
                    share = min(share, (low - coef[j]) / step[i])
                elif coef[j] + step[i] * share > high:
                    share = min(share, (high - coef[j]) / step[i])
            for i in range(k):
                force[i] -= share * pull[i]
            before = stopped
            corner = False
            for i in range(k):
                if step[i] == 0.0:
                    continue
                j = order[i]
                low, high = face(coef[j], rule[j])
                end = low if step[i] < 0.0 else high
                # The first to arrive, and whoever rounding carries over with it.
                if share * abs(step[i]) >= (1.0 - NOISE) * abs(end - coef[j]):
                    coef[j] = end
                    for a in range(k):
                        pull[a] -= step[i] * work.gram[j, order[a]]
                    step[i] = 0.0
                    corner = True
                else:
                    coef[j] += share * step[i]
            if not corner:
                break
            stopped = True
            descent = 0.0
            curvature = 0.0
            for i in range(k):
                descent += step[i] * force[i]
                curvature += step[i] * pull[i]
            length = descent / curvature if curvature > 0.0 else 0.0
        if stopped:
            kept = 0
            for i in range(k):
                if is_free(coef[order[i]], rule[order[i]]):
                    force[kept] = force[i]
                    kept += 1
            for i in range(k - 1, -1, -1):
                if not is_free(coef[order[i]], rule[order[i]]):
                    k = _remove(work, k, i)
    for j in range(m):
        if coef[j] != start[j]:
            update_grad(coef[j] - start[j], work.gram, j, work.grad, m)
    return k


@inner
def _rounding(work, m):
    """Rounding error of a correlation: a sum over the coefficients."""
    size = 1.0
    for j in range(m):
        size += abs(work.coef[j])
    return NOISE * size


@inner
def _wanted_change(work, j, floor):
    """The coordinate step of feature `j`, or 0 if it is within tolerance."""
    curvature = work.gram[j, j]
    change = coordinate_step(work.grad[j], curvature, work.coef[j], work.rule[j]) - work.coef[j]
    if abs(change) * (curvature + work.rule[j, 1]) > KKT * work.rule[j, 0] + floor:
        return change
    return 0.0


@inner
def _admit(work, m, slack, wants):
    """Every held feature that wants to move takes its coordinate step; returns whether one did.

    Only those that want to at the minimiser of the face: the steps of others pull near-duplicates of free
    features along, which the next Newton step will put right. ``slack`` multiplies the tolerance; ``wants``
    is scratch.
    """
    floor = slack * _rounding(work, m)
    moved = False
    for j in range(m):
        wants[j] = work.held[j] and _wanted_change(work, j, floor) != 0.0
    for j in range(m):
        if wants[j]:
            change = _wanted_change(work, j, floor)
            if change != 0.0:
                work.coef[j] += change
                update_grad(change, work.gram, j, work.grad, m)
                moved = True
    return moved


@inner
def _join(work, m, k, j, column):
    """Take the free feature `j` into the factor, or walk along the null direction if it depends on it.

    Returns the new size of the factor.
    """
    coef, order = work.coef, work.order
    while is_free(coef[j], work.rule[j]):
        curvature, appended = _append(work, k, j, column)
        if appended:
            return k + 1
        # The null direction is minus `column`: H^{-1} H_Aj, and -1 for the newcomer, in place k.
        _back_substitute(work.factor, k, column)
        column[k] = -1.0
        order[k] = j
        descent = 0.0
        size = 0.0
        for i in range(k + 1):
            a = order[i]
            size += abs(column[i])
            if abs(column[i]) < BYSTANDER:
                column[i] = 0.0
            descent -= column[i] * (work.grad[a] - slope(coef[a], work.rule[a]))
        length = np.inf
        hit = -1
        end = 0.0
        if abs(descent) <= size * _rounding(work, m):
            # The objective is flat: go where the newcomer vanishes, or another before it.
            if coef[j] == 0.0:
                return k
            direction = -np.sign(coef[j])
            length, hit = abs(coef[j]), k
        else:
            direction = np.sign(descent)
            if curvature > FLAT:
                length = abs(descent) / curvature
        for i in range(k + 1):
            a = order[i]
            speed = -direction * column[i]
            if speed == 0.0:
                continue
            low, high = face(coef[a], work.rule[a])
            limit = high if speed > 0.0 else low
            reach = (limit - coef[a]) / speed
            if reach <= length and reach < np.inf:
                length, hit, end = reach, i, limit
        if length == np.inf:
            return k  # nothing is gained and nothing stops it: the column adds nothing to the fit
        for i in range(k + 1):
            a = order[i]
            new = end if i == hit else coef[a] - length * direction * column[i]
            if new != coef[a]:
                update_grad(new - coef[a], work.gram, a, work.grad, m)
                coef[a] = new
        if hit < 0:
            return k  # minimised along the direction: the newcomer stays outside, its gradient is zero
        if hit < k:
            k = _remove(work, k, hit)
    return k


@inner
def _outside(work, m, features):
    """Fill in the free features that are not in the factor; returns how many there are."""
    count = 0
    for j in range(m):
        if work.held[j] and is_free(work.coef[j], work.rule[j]):
            features[count] = j
            count += 1
    return count


@kernel
def solve_sequence(work, m, k, lams, max_rounds, coefs, rounds):
    """Solve the reduced problem for a sequence of lambdas, each started from the one before.

    Parameters
    ----------
    work : Working
        Updated in place.
    m, k : int
        Columns in use, and free features in the factor.
    lams : ndarray of shape (n_lams,)
    max_rounds : int
        Limit of rounds for each lambda.
    coefs : ndarray of shape (n_lams, m)
        Filled with the solutions.
    rounds : ndarray of shape (n_lams,), int64
        Filled with the number of rounds.

    Returns
    -------
    k : int
        The size of the factor.
    """
    step = np.empty(m + 1)
    force = np.empty(m)
    pull = np.empty(m)
    start = np.empty(m)
    entering = np.empty(m, dtype=np.int64)
    wants = np.empty(m, dtype=np.bool_)
    for index in range(lams.shape[0]):
        k = _set_lambda(work, m, k, lams[index])
        for round in range(max_rounds):
            rounds[index] = round + 1
            k = _newton(work, m, k, step, force, pull, start)
            # Where ties of a degenerate problem are decided by rounding, rounds could go on for ever.
            slack = 2.0 ** max(0.0, (round - PATIENCE) / 8.0)
            if not _admit(work, m, slack, wants):
                break
            count = _outside(work, m, entering)
            if count > FEW:
                k = _append_all(work, k, entering, count)
            for j in entering[:count]:
                if work.held[j]:
                    k = _join(work, m, k, j, step)
        for j in range(m):
            coefs[index, j] = work.coef[j]
    return k


@kernel
def restart(work, m, k, coef, grad):
    """Put the solver on given coefficients, with their correlations, and bring the factor to their support.

    Parameters
    ----------
    work : Working
        Updated in place.
    m, k : int
        Columns in use, and free features in the factor.
    coef, grad : ndarray of shape (m,)

    Returns
    -------
    k : int
        The size of the factor.
    """
    features = np.empty(m, dtype=np.int64)
    for j in range(m):
        work.coef[j] = coef[j]
        work.grad[j] = grad[j]
    for i in range(k - 1, -1, -1):
        j = work.order[i]
        if not is_free(coef[j], work.rule[j]):
            k = _remove(work, k, i)
    return _append_all(work, k, features, _outside(work, m, features))


# ---------------------------------------------------------------------------------------------
# The certificate
# ---------------------------------------------------------------------------------------------


@inner
def _conjugate_term(u, coef, l1, l2, lower, upper):
    r"""``phi(w) + phi*(u) - u w`` for one feature: zero if and only if ``u`` is a subgradient at ``w``."""
    if u > l1:
        best = min((u - l1) / l2, upper) if l2 > 0.0 else upper
    elif u < -l1:
        best = max((u + l1) / l2, lower) if l2 > 0.0 else lower
    else:
        best = 0.0
    if abs(best) == np.inf:
        if l1 == 0.0:
            return abs(u) * max(abs(u), abs(coef))  # no penalty at all: see `duality_gaps`
        best = 0.0  # the feature that decides t is on its threshold, give or take a rounding
    return (l1 * (abs(coef) - abs(best)) + 0.5 * l2 * (coef - best) * (coef + best)) + u * (best - coef)


@inner
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

    With the dual point :math:`\theta = t r`, ``r`` the residual and :math:`v = X^T S r`, Fenchel duality
    gives

    .. math::

        P(w) - D(t r) = \sum_j \bigl[\phi_j(w_j) + \phi_j^*(t v_j) - t v_j w_j\bigr]
                        + \tfrac12 (1 - t)^2 \|r\|_S^2 ,

    a sum of non-negative terms (use :math:`\langle y, r\rangle = \|r\|^2 + v^T w`), so it keeps its digits
    down to the rounding of ``v``.  :math:`\phi_j^*` is infinite beyond the threshold of a
    feature without ridge penalty and without a bound on that side; ``t`` is the largest factor in [0, 1] that
    keeps those finite, or keeps all features within their threshold, whichever gives the smaller gap.

    A feature with no penalty and no bound would need ``v_j = 0`` exactly, which rounding forbids; for those
    the certificate holds against all coefficients within the larger of ``|w_j|`` and ``|v_j|`` (the length of
    a coordinate step) of the one found.

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
    """Row and column of an entry from its place in the storage; decided at compile time."""
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
def row_gram(matrix, share, n_columns):
    """``X^T diag(share) X`` for compressed rows, row by row: O(sum of squared row lengths)."""
    result = np.zeros((n_columns, n_columns))
    for i in range(matrix.indptr.shape[0] - 1):
        for a in range(matrix.indptr[i], matrix.indptr[i + 1]):
            value = share[i] * matrix.data[a]
            row = result[matrix.indices[a]]
            for b in range(matrix.indptr[i], matrix.indptr[i + 1]):
                row[matrix.indices[b]] += value * matrix.data[b]
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
