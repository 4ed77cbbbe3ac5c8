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
``A`` and moves from face to face, in rounds:

1. *Join* (`_join_all`): coordinates that have become free enter ``U``, many at a time.  One that
   depends on the columns already there has no pivot; then the fit is (nearly) constant along the null
   direction ``d_j = 1, d_A = -H^{-1} G_Aj`` and the objective is minimised along it, up to the first
   coordinate that reaches the end of its face and is dropped (`_join`).
2. *Newton* (`_newton`): solve ``H d = -gradient`` and follow ``d``; a coordinate that reaches the end of
   its face stays there while the others go on, to the minimum along this broken line.  Those that
   stopped are dropped from ``U``, and it is solved again.
3. *Admit* (`_admit`): every held coordinate that a coordinate step would move takes that step, one
   after the other, and becomes free.  If there is none, this is the solution.

No step raises the objective, and each round ends in the minimiser of a face that is lower than the
one before; there are finitely many faces, so it ends (the argument of the active-set methods: Osborne,
Presnell and Turlach 2000, IMA J. Numer. Anal. 20, section 3).  The result is as good as a triangular
solve, not "converged to a tolerance".  In floating point a step can raise the objective after all,
where columns are dependent up to rounding; it is taken back, and the certificate tells the rest.

Where the time goes: a round costs O(k^2) for the two triangular solves and O(k m) for the
correlations; a newcomer O(k^2), shared by `BLOCK` of them; a coordinate that stops O(k) on its way and
O((k - i)^2) to leave place ``i`` of the factor.

Supports too large for ``U`` are left to coordinate descent (`descend`; see `_working_sets`).

Conventions
-----------
``grad`` is minus the gradient of the quadratic part, ``c - G w``: the correlation of each column with
the residual.  Functions that change an array say so.  The number of columns in use is ``m``, the
number of free ones ``k``; arrays are larger (capacity), so that they can grow without moving.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import overload

from sparse_linear._cache import keep

# `keep`, at the end of this file, has their code cached.
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
# After this many rounds at one lambda the tolerance doubles every eight rounds.
PATIENCE = 40.0
# Rounding of quantities of order one that are sums over the working set.
NOISE = 32.0 * EPS
# A column whose part independent of the factor is smaller than this share of its norm (squared) counts as
# dependent.
PIVOT = 1e-11
# Curvature along a null direction up to this is rounding of the pivot, and counts as none.
FLAT = 1e-13
# Gaps up to this (in units of the squared norm of y) count as exact; above it, a solution is refined with
# fresh correlations, at most so many times before its gap is reported as it is.
EXACT = 1e-12
REFINEMENTS = 3
# How many right-hand sides share a pass over sparse entries.
LANES = 8
# How many features are looked at together: what is known of them stays in the cache.
STRIP = 512
# How many rows of columns are worked on at a time.
ROWS = 1024
# Up to so many compressed columns are multiplied with others one by one.
FEW = 6
# About how many entries of compressed columns are gathered at a time.
GATHERED = 1 << 14
ONE, TWO, THREE, FOUR = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
# Directions in which residuals are known to lie when a batch begins, at most, and those that it may add.
KNOWN, NEW = 4, 8
# What they may leave of a residual, in units of the l1 penalty of an ordinary feature: the less, the more of
# them; the more, the more features whose correlations are computed one by one.
CLOSE = 0.2
# On the way to a lambda that is wanted nothing need be certain: a rest of a residual is hardly ever along a
# column, and counts for this share of its length.
PLAUSIBLE = 0.25
# The largest share of all features that are, since their columns are copied.
MOST = 0.05
# About so many numbers are in the residuals that are verified together, if there is no reason for fewer.
RESIDUALS = 1 << 21
# Products of matrices that take more multiplications than this are left to BLAS.
MUCH = 1 << 23
# How many columns are appended to the factor in one pass over it.
BLOCK = 32
# A factor of more features than this serves the next lambdas, too, down to a share 1 / STALE of its own.
QUICK = 30
STALE = 1.5
# With such a factor, a step is the last one if it lowers the objective by no more than half of this, in units
# of the squared norm of y.
DECREMENT = 1e-15
# Entries of a null direction below this are rounding: most are, when the newcomer is a duplicate.
BYSTANDER = 1e-9
# Steps with a factor of the lambda before, towards the face to start from.
GUESSES = 4
# A step is halved so many times at most.
HALVINGS = 30
# After so many steps between the rows a small gap will do.
ENOUGH = 5
# A ridge penalty below this, for a column of unit length, is none: rounding of a correlation is worth more.
NEGLIGIBLE = 1e-32
# Optimality conditions inside the working set are met to this share of each feature's own penalty.
KKT = 1e-12


class Limits(NamedTuple):
    """Where a path stops and turns."""

    goal: float  # the duality gap of a solution that is good enough
    max_rounds: int  # for each lambda
    ahead: int  # how many lambdas are verified together
    largest: int  # how many features the working set may have
    spare: int  # of these, beyond twice as many as are active
    fewest: int  # that are proposed at a time, if there are so many
    piece: int  # of so many lambdas, times the square of the number of features, are batches at most
    stored: int  # entries that a pass over X reads
    spell: int  # after about so many multiplications whoever watches is told


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


@kernel
def threshold(corr, rule):
    """The lambda at which a feature leaves zero for a fixed residual; infinite without an l1 penalty.

    0 if it is not pulled, or only to where its bounds forbid it to go.
    """
    pulled = (corr > 0.0 and rule[3] > 0.0) or (corr < 0.0 and rule[2] < 0.0)
    return abs(corr) / rule[0] if pulled else 0.0


@kernel
def first_threshold(corr, rules):
    """The lambda at which the first feature with an l1 penalty leaves zero."""
    first = 0.0
    for j in range(corr.shape[0]):
        # Of most there is nothing to divide.
        if rules[j, 0] > 0.0 and not abs(corr[j]) < first * rules[j, 0]:
            first = max(first, threshold(corr[j], rules[j]))
    return first


@kernel
def proposals(corr, rules, l1, member, least, coef, limits):
    """Of the features that are no members, those with at least some positive `threshold`, up to a number.

    Parameters
    ----------
    corr : ndarray of shape (p,)
    rules : ndarray of shape (p, 4)
    l1 : ndarray of shape (p,)
        The first column of `rules`, apart.
    member : ndarray of shape (p,), bool
    least : float
    coef : ndarray of shape (m,)
        Coefficients of the working set.
    limits : Limits

    Returns
    -------
    features : ndarray of shape (k,), int64
        In ascending order: those with the largest thresholds, if there are too many.
    """
    near = np.empty(corr.shape[0], dtype=np.bool_)
    at_most = _are_near(corr, l1, member, least, near)
    features, found, count = np.empty(at_most, dtype=np.int64), np.empty(at_most), 0
    for j in range(corr.shape[0]):
        if near[j]:
            lam = threshold(corr[j], rules[j])
            if lam >= least and lam > 0.0:
                features[count], found[count] = j, lam
                count += 1
    m, used = coef.shape[0], 0
    for j in range(m):
        used += coef[j] != 0.0
    # About twice as many features as are active shall be in the set.
    most = max(min(2 * used - m + limits.spare, limits.largest - m), limits.fewest, used // 4)
    if count <= most:
        return features[:count]
    least = _largest(found[:count].copy(), most)
    ties = most
    for i in range(count):
        ties -= found[i] > least
    kept = 0
    for i in range(count):
        if found[i] > least or (found[i] == least and ties > 0):
            ties -= found[i] == least
            features[kept] = features[i]
            kept += 1
    return features[:kept]


@inner
def _largest(values, k):
    """The k-th largest of some values, put into disorder (Hoare 1961, Comm. ACM 4, algorithm 65)."""
    first, last = 0, values.shape[0] - 1
    while first < last:
        pivot, i, j = values[(first + last) // 2], first, last
        while i <= j:
            while values[i] > pivot:
                i += 1
            while values[j] < pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i, j = i + 1, j - 1
        if k - 1 <= j:
            last = j
        elif k - 1 >= i:
            first = i
        else:
            break
    return values[k - 1]


@leaf
def _are_near(corr, l1, member, least, near):
    """Which features may have a threshold of at least `least`, found without divisions; and how many."""
    count = 0
    for j in range(len(near)):
        near[j] = (abs(corr[j]) >= least * l1[j]) & (not member[j])
        count += near[j]
    return count


@inner
def _is_missing(corr, rule, lam, size):
    """Whether a feature at zero violates its optimality condition, by more than rounding.

    `size` is the sum of the absolute coefficients, with which the rounding of correlations grows.
    """
    if abs(corr) <= lam * rule[0] * (1.0 + 10.0 * KKT) + NOISE * (1.0 + size):
        return False
    return (corr > 0.0 and rule[3] > 0.0) or (corr < 0.0 and rule[2] < 0.0)


# ---------------------------------------------------------------------------------------------
# Leaves: the loops over memory
#
# They run from 0 over slices. Numba lets a signed index below zero count from the end; where the compiler
# cannot rule that out, as from an arbitrary start, it gathers single elements rather than vectors of them.
# ---------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------
# The Cholesky factor of the free columns
# ---------------------------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------------------------
# The three moves
# ---------------------------------------------------------------------------------------------


@inner
def _newton(work, m, k, step, force, pull):
    """Go to the minimiser of the face, through as many boundaries as it takes; returns the factor's new size.

    The Newton step ``d`` solves ``H d = force``, minus the gradient. It is followed along its projection on
    the face: a coordinate that reaches the end of its face stays there while the others go on, up to the
    minimum along this broken line (Moré and Toraldo 1991, SIAM J. Optim. 1, section 4). With ``pull = H d``
    at hand, a corner costs O(k); the factor is used again only for the next step, without the coordinates
    that were stopped. The correlations of the working set are computed afresh at the end, so that rounding
    does not accumulate. The last three arguments are scratch.

    The factor may be one of ``H + E``, with the ridge penalties of a larger lambda. Its steps are then those
    of a preconditioned descent, ``H d = force - E d``, and few are needed: where E makes the penalties c
    times as large, each leaves at most (c - 1) / (c + 1) of the error (Kantorovich's inequality).
    """
    coef, order = work.coef, work.order
    largest = np.inf
    for i in range(k):
        force[i] = work.grad[order[i]] - slope(coef[order[i]], work.rule[order[i]])
    again = True
    while k > 0 and again:
        again = False
        for i in range(k):
            step[i] = force[i]
        _forward_substitute(work.factor, k, step)
        _back_substitute(work.factor, k, step)
        for i in range(k):
            pull[i] = force[i] - (_ridge_in_factor(work, order[i]) - work.rule[order[i], 1]) * step[i]
        whole, decrement = dot(step, pull, k), dot(step, force, k)
        length = decrement / whole if whole > 0.0 else 0.0  # to the minimum along the line
        while length > 0.0:
            share = length
            for i in range(k):
                share = min(share, _reach(work, order[i], step[i]))
            corner = False
            add(-share, pull, force, k)
            for i in range(k):
                j = order[i]
                # The first to arrive, and whoever rounding carries over with it.
                if share >= (1.0 - NOISE) * _reach(work, j, step[i]):
                    low, high = face(coef[j], work.rule[j])
                    coef[j] = low if step[i] < 0.0 else high
                    for a in range(k):
                        pull[a] -= step[i] * work.gram[j, order[a]]
                    step[i] = 0.0
                    corner = True
                else:
                    coef[j] += share * step[i]
            if not corner:
                break
            again = True
            curvature = dot(step, pull, k)
            # If next to nothing is left of the step, `pull` is rounding of what it was.
            length = dot(step, force, k) / curvature if curvature > NOISE * whole else 0.0
        kept, before, largest = 0, largest, 0.0
        for i in range(k):
            if is_free(coef[order[i]], work.rule[order[i]]):
                force[kept] = force[i]
                largest = max(largest, abs(force[i]))
                kept += 1
        k = _remove_held(work, k)
        again |= decrement > DECREMENT and _rounding(work.coef, m) < largest < 0.9 * before
    _refresh(work, m)
    return k


@inner
def _refresh(work, m):
    """Compute the correlations with the residual from those with the target: ``grad = c - G w``."""
    for j in range(m):
        work.grad[j] = work.target[j]
    _subtract_rows(work.gram, work.coef, work.grad, m, m)


@inner
def _reach(work, j, step):
    """How many times `step` feature `j` can go before it leaves its face."""
    if step == 0.0:
        return np.inf
    low, high = face(work.coef[j], work.rule[j])
    return ((low if step < 0.0 else high) - work.coef[j]) / step


@inner
def _rounding(coef, m):
    """Rounding error of a correlation: a sum over the coefficients."""
    size = 1.0
    for j in range(m):
        size += abs(coef[j])
    return NOISE * size


@inner
def _wanted_change(grad, curvature, coef, rule, floor):
    """The coordinate step of a feature, or 0 if it is pulled that way within tolerance.

    The pull counts, not the length of the step, which bounds may cut to nearly nothing.
    """
    l1 = rule[0]
    change = coordinate_step(grad, curvature, coef, rule) - coef
    side = np.sign(change)
    pull = side * (grad - rule[1] * coef) - (l1 if side * coef >= 0.0 else -l1)
    return change if pull > KKT * l1 + floor else 0.0


@inner
def _admit(work, m, slack, wanting):
    """Every held feature that wants to move takes its coordinate step; returns whether one did.

    Only those that want to at the minimiser of the face: the steps of others pull near-duplicates of free
    features along, which the next Newton step will put right. ``slack`` multiplies the tolerance;
    ``wanting`` is scratch.
    """
    gram, grad, coef, rule = work.gram, work.grad, work.coef, work.rule
    floor = slack * _rounding(coef, m)
    count = 0
    for j in range(m):
        if work.held[j] and _wanted_change(grad[j], gram[j, j], coef[j], rule[j], floor) != 0.0:
            wanting[count] = j
            count += 1
    for i in range(count):
        j = wanting[i]
        change = _wanted_change(grad[j], gram[j, j], coef[j], rule[j], floor)
        if change != 0.0:
            coef[j] += change
            update_grad(change, gram, j, grad, m)
    return count > 0


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
        if abs(descent) <= size * _rounding(work.coef, m):
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


@part
def _join_all(work, m, k, entering, column):
    """Take all free features into the factor, or to the end of their face; returns its new size."""
    count = 0
    for j in range(m):
        if work.held[j] and is_free(work.coef[j], work.rule[j]):
            entering[count] = j
            count += 1
    if count:
        k = _append_all(work, k, entering, count)
    for i in range(count):
        if work.held[entering[i]]:
            k = _join(work, m, k, entering[i], column)
    return k


@part
def _objective(work, m):
    """Objective of the reduced problem, and the rounding in it."""
    value = -0.5 * (dot(work.coef, work.target, m) + dot(work.coef, work.grad, m))
    for j in range(m):
        if work.coef[j] != 0.0:  # the penalty may be infinite
            value += work.rule[j, 0] * abs(work.coef[j]) + 0.5 * work.rule[j, 1] * work.coef[j] * work.coef[j]
    size = _rounding(work.coef, m)
    return value, size * size / NOISE


@kernel
def solve_sequence(work, m, k, square, lams, max_rounds, coefs, gaps, rss, rounds):
    """Solve the reduced problem for a sequence of lambdas, each started from the one before.

    Parameters
    ----------
    work : Working
        Updated in place.
    m, k : int
        Columns in use, and free features in the factor.
    square : float
        Squared norm of the target.
    lams : ndarray of shape (n_lams,)
    max_rounds : int
        Limit of rounds for each lambda.
    coefs : ndarray of shape (n_lams, m)
        Filled with the solutions, as are the next three.
    gaps : ndarray of shape (n_lams,)
        Duality gaps of the reduced problem, whose correlations come from the Gram matrix.
    rss : ndarray of shape (n_lams,)
        Squared norms of the residuals.
    rounds : ndarray of shape (n_lams,), int64

    Returns
    -------
    k : int
        The size of the factor.
    """
    scratch = np.empty((4, m))
    step, force, pull, best = scratch[0], scratch[1], scratch[2], scratch[3]
    features = np.empty(m, dtype=np.int64)
    for index in range(lams.shape[0]):
        k = _set_lambda(work, m, k, lams[index])
        refinements = 0
        ceiling = np.inf
        for j in range(m):
            best[j] = work.coef[j]
        for round in range(max_rounds):
            rounds[index] = round + 1
            k = _join_all(work, m, k, features, step)
            k = _newton(work, m, k, step, force, pull)
            value, noise = _objective(work, m)
            if not value <= ceiling:
                # Only rounding can raise the objective: the columns are too nearly dependent to go on.
                for j in range(m):
                    work.coef[j] = best[j]
                _refresh(work, m)
                k = _remove_held(work, k)
                rss[index], gaps[index] = _gap_of_state(work, m, square, lams[index], features)
                break
            if value + noise < ceiling:
                ceiling = value + noise
                for j in range(m):
                    best[j] = work.coef[j]
            # Where ties of a degenerate problem are decided by rounding, rounds could go on for ever.
            slack = 2.0 ** max(0.0, (round - PATIENCE) / 8.0)
            if not _admit(work, m, slack, features):
                rss[index], gaps[index] = _gap_of_state(work, m, square, lams[index], features)
                if gaps[index] <= EXACT or refinements == REFINEMENTS:
                    break
                refinements += 1  # with one more Newton step from fresh correlations
        else:
            rss[index], gaps[index] = _gap_of_state(work, m, square, lams[index], features)
        for j in range(m):
            coefs[index, j] = work.coef[j]
    return k


@kernel
def enter(work, cross, start, features, rules, lam, target, corrs):
    """Set up the features from place `start` on, at zero.

    Parameters
    ----------
    work : Working
        Updated in place.
    cross : ndarray of shape (k, m)
        The last rows of the Gram matrix, those that are new.
    start : int
    features : ndarray of shape (m,), int64
        Which ones all of them are.
    rules : ndarray of shape (p, 4)
        For ``lambda = 1``.
    lam : float
    target, corrs : ndarray of shape (p,)
        Correlations with the target, and with the present residual.
    """
    first = features.shape[0] - cross.shape[0]
    for top in range(0, cross.shape[0], LANES):
        stop = min(top + LANES, cross.shape[0])
        for i in range(cross.shape[1]):
            for j in range(top, stop):
                work.gram[i, first + j] = cross[j, i]
        for j in range(top, stop):
            for i in range(cross.shape[1]):
                work.gram[first + j, i] = cross[j, i]
    for j in range(start, features.shape[0]):
        feature = features[j]
        work.target[j], work.grad[j], work.coef[j] = target[feature], corrs[feature], 0.0
        for c in range(4):
            work.base[j, c] = rules[feature, c]
            work.rule[j, c] = rules[feature, c] * lam if c < 2 else rules[feature, c]


@kernel
def first_failure(gaps, lacking, counts, answers, limits, tries):
    """The first wanted solution that lacks a feature, or is not exact although it could be.

    That of all solutions if there is none. After some `tries` the first solution may be inexact.
    """
    for at in range(gaps.shape[0]):
        inexact = not gaps[at] <= limits.goal and counts[at] < limits.max_rounds
        if tries == REFINEMENTS and at == 0:
            inexact = False
        if answers[at] >= 0 and (lacking[at] > 0 or inexact):
            return at
    return gaps.shape[0]


@kernel
def restart(work, m, k, coef, corrs, features):
    """Put the solver on given coefficients, whose correlations are known better than from the Gram matrix.

    Parameters
    ----------
    work : Working
        Updated in place: the correlations with the target take up the rounding of the Gram matrix.
    m, k : int
        Columns in use, and free features in the factor.
    coef : ndarray of shape (m,)
    corrs : ndarray of shape (p,)
        Of all features.
    features : ndarray of shape (at least m,), int64
        Which ones those in use are.

    Returns
    -------
    k : int
        The size of the factor, without the features that are no longer free.
    """
    for j in range(m):
        work.coef[j] = coef[j]
    _refresh(work, m)
    for j in range(m):
        grad = corrs[features[j]]
        work.target[j] += grad - work.grad[j]
        work.grad[j] = grad
    return _remove_held(work, k)


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
    if best == coef:
        return 0.0 * u  # NaN if u is; the penalty may be infinite
    return (l1 * (abs(coef) - abs(best)) + 0.5 * l2 * (coef - best) * (coef + best)) + u * (best - coef)


@inner
def _ridge_part(lam, rule):
    """The l2 of a feature, or 0 if it is `NEGLIGIBLE`."""
    l2 = lam * rule[1]
    return 0.0 if l2 < NEGLIGIBLE else l2  # NaN, an infinite penalty times 0, stays


@inner
def _gap_at(t, corr, touched, count, coef, lam, rules, rss):
    """Duality gap for the dual point ``t`` times the residual."""
    gap = 0.5 * (1.0 - t) ** 2 * rss
    for i in range(count):
        j = touched[i]
        u = t * corr[j]
        if coef[j] != 0.0 or not abs(u) <= lam * rules[j, 0]:  # NaN counts
            l1, l2 = lam * rules[j, 0], _ridge_part(lam, rules[j])
            # Numba's `max` is its first argument unless the second is larger: NaN comes first, to stay.
            gap += max(_conjugate_term(u, coef[j], l1, l2, rules[j, 2], rules[j, 3]), 0.0)
    return gap


@inner
def _gap(corr, touched, count, coef, lam, rules, rss):
    """Duality gap, for the better of two dual points; see `duality_gaps`."""
    finite = 1.0
    within = 1.0
    for i in range(count):
        j = touched[i]
        size = abs(corr[j])
        bound = lam * rules[j, 0]
        end = rules[j, 3] if corr[j] > 0.0 else rules[j, 2]
        if size > bound and bound > 0.0 and end != 0.0:
            within = min(within, bound / size)
            if _ridge_part(lam, rules[j]) == 0.0 and abs(end) == np.inf:
                finite = min(finite, bound / size)
    gap = _gap_at(finite, corr, touched, count, coef, lam, rules, rss)
    if within < finite and gap > EPS:  # else it is as good as none
        gap = min(gap, _gap_at(within, corr, touched, count, coef, lam, rules, rss))
    return gap


@inner
def _gap_of_state(work, m, square, lam, features):
    """Squared norm of the residual and duality gap of the reduced problem; ``features`` is scratch."""
    for j in range(m):
        features[j] = j
    rss = max(square - dot(work.coef, work.target, m) - dot(work.coef, work.grad, m), 0.0)
    return rss, _gap(work.grad, features, m, work.coef, lam, work.base, rss)


@kernel
def duality_gaps(corrs, features, coefs, lams, rules, rss):
    r"""Certified duality gap of each solution, free of cancellation, and what it lacks.

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
    rules : ndarray of shape (n_features, 4)
        ``(l1, l2, lower, upper)`` of every feature, for ``lambda = 1``.
    rss : ndarray of shape (n_lams,)
        Weighted squared norm of each residual.

    Returns
    -------
    gaps : ndarray of shape (n_lams,)
        In the scale of the reduced objective.
    lacking : ndarray of shape (n_lams,), int64
        How many of the other features violate their optimality condition.
    """
    n_features = corrs.shape[1]
    gaps = np.empty(corrs.shape[0])
    lacking = np.zeros(corrs.shape[0], dtype=np.int64)
    coef = np.zeros(n_features)
    member = np.zeros(n_features, dtype=np.bool_)
    touched = np.empty(n_features, dtype=np.int64)  # all others are at zero, within their threshold
    for i in range(features.shape[0]):
        touched[i] = features[i]
        member[features[i]] = True
    for step in range(corrs.shape[0]):
        lam = lams[step]
        corr = corrs[step]
        size = 0.0
        for i in range(features.shape[0]):
            coef[features[i]] = coefs[step, i]
            size += abs(coefs[step, i])
        count = features.shape[0]
        for j in range(n_features):
            if not (abs(corr[j]) <= lam * rules[j, 0] or member[j]):  # NaN is touched
                touched[count] = j
                count += 1
                lacking[step] += _is_missing(corr[j], rules[j], lam, size)
        gaps[step] = _gap(corr, touched, count, coef, lam, rules, rss[step])
    return gaps, lacking


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


# ---------------------------------------------------------------------------------------------
# Residuals of a batch lie nearly in a space of few dimensions
# ---------------------------------------------------------------------------------------------


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


@inner
def _span(target, rows, limits, basis, size, shares):
    """Turn fits into residuals, and extend an orthonormal basis until it spans them, up to a distance each.

    The last residual comes first, so that it lies there but for rounding; then whichever is farthest beyond
    its limit.

    Parameters
    ----------
    target : ndarray of shape (n,)
    rows : ndarray of shape (b, n)
        Fits; replaced by the residuals.
    limits : ndarray of shape (b,)
    basis : ndarray of shape (capacity, n)
        The first `size` rows are there; more are filled in, as long as there is room.
    size : int
    shares : ndarray of shape (b, capacity)
        Filled: residuals are ``shares @ basis`` and what is left of them, however orthogonal rounding has
        left the basis.

    Returns
    -------
    size : int
    left : ndarray of shape (b,)
        Norms of what is left.
    rss : ndarray of shape (b,)
        Squared norms of the residuals.
    """
    b, n = rows.shape
    rest, left, rss = np.empty((b, n)), np.empty(b), np.empty(b)
    for r in range(b):
        for c in range(n):
            rows[r, c] = rest[r, c] = target[c] - rows[r, c]
        rss[r] = dot(rows[r], rows[r], n)
        for i in range(size):
            shares[r, i] = dot(rest[r], basis[i], n)
            add(-shares[r, i], basis[i], rest[r], n)
        left[r] = np.sqrt(dot(rest[r], rest[r], n))
    at, excess = b - 1, np.inf
    if not left[at] > NOISE:
        at, excess = _farthest(left, limits)
    while size < basis.shape[0] and excess > 1.0:
        new = basis[size]
        for c in range(n):
            new[c] = rest[at, c] / left[at]
        for i in range(size):  # once more, for what rounding has left of the others
            add(-dot(new, basis[i], n), basis[i], new, n)
        length = np.sqrt(dot(new, new, n))
        for c in range(n):
            new[c] /= length
        for r in range(b):
            shares[r, size] = dot(rest[r], new, n)
            add(-shares[r, size], new, rest[r], n)
            left[r] = np.sqrt(dot(rest[r], rest[r], n))
        size += 1
        at, excess = _farthest(left, limits)
    return size, left, rss


@inner
def _farthest(left, limits):
    """The row that is farthest beyond its limit, and how many times farther than that."""
    at, excess = 0, 0.0
    for r in range(left.shape[0]):
        ratio = left[r] / max(limits[r], NOISE)
        if ratio > excess:
            at, excess = r, ratio
    return at, excess


@inner
def _undecided(shares, images, left, lams, l1, member):
    """The features that are no members and may exceed their threshold at zero, for all that is known of them.

    Parameters
    ----------
    shares : ndarray of shape (b, k)
    images : ndarray of shape (k, p)
        ``shares @ images`` are the correlations of the features with some residuals, up to `left`, since
        columns have unit length.
    left : ndarray of shape (b,)
    lams : ndarray of shape (b,)
    l1 : ndarray of shape (p,)
        Their l1 penalty for ``lambda = 1``.
    member : ndarray of shape (p,), bool
    """
    features, count = np.empty(images.shape[1], dtype=np.int64), 0
    corr, sure = np.empty(images.shape[1]), np.full(images.shape[1], True)
    whole = shares.shape[1] - shares.shape[1] % 4
    for start in range(0, images.shape[1], STRIP):
        stop = min(start + STRIP, images.shape[1])
        for row in range(shares.shape[0]):
            share = shares[row]
            corr[start:stop] = 0.0
            for i in range(0, whole, 4):
                four = share[i], share[i + 1], share[i + 2], share[i + 3]
                subtract_four_rows(images, (i, i + 1, i + 2, i + 3), four, corr, start, stop)
            for i in range(whole, shares.shape[1]):
                add_row(-share[i], images, i, corr, start, stop)
            _keep_sure(corr, left[row] + NOISE, lams[row], l1, sure, start, stop)
        for j in range(start, stop):
            if not (sure[j] or member[j]):
                features[count] = j
                count += 1
    return features[:count]


@leaf
def _keep_sure(corr, slack, lam, l1, sure, start, stop):
    corr, l1, sure = corr[start:stop], l1[start:stop], sure[start:stop]
    for j in range(len(l1)):
        sure[j] &= abs(corr[j]) + slack <= lam * l1[j]  # not NaN


class Directions(NamedTuple):
    """A few directions in which the residuals of a path lie, and the inner products of all columns with them.

    Attributes
    ----------
    size : ndarray of shape (1,), int64
        Their number.
    basis : ndarray of shape (KNOWN + NEW, n)
        The first `size` rows are orthonormal.
    images : ndarray of shape (KNOWN + NEW, p)
        Their inner products with the columns of Z.
    last : ndarray of shape (KNOWN + NEW,)
        The last residual, in this basis.
    """

    size: np.ndarray
    basis: np.ndarray
    images: np.ndarray
    last: np.ndarray


@inner
def _keep_last(directions):
    """Forget all directions but that of the last residual, with which the next batch begins."""
    size, last = directions.size[0], directions.last
    length = np.sqrt(dot(last, last, size))
    directions.size[0] = 1 if length > 0.0 else 0
    if length > 0.0:
        for part in (directions.basis, directions.images):
            scale_row(last[0] / length, part, 0, 0, part.shape[1])
            for i in range(1, size):
                add_row(last[i] / length, part, i, part[0], 0, part.shape[1])


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


class Screen(NamedTuple):
    """What decides which features may become active.

    `l1` is the first column of `rules`, apart, and `ordinary` the l1 penalty of an ordinary feature. Members
    are the features of the working set, and those held at zero.
    """

    rules: np.ndarray  # (p, 4) ``(l1, l2, lower, upper)`` of all features, for ``lambda = 1``
    l1: np.ndarray  # (p,)
    ordinary: float
    member: np.ndarray  # (p,) bool; updated in place


@part
def verify(data, screen, columns, features, directions, coefs, lams):
    """How good some solutions are on all features, without all the correlations.

    The residuals of a batch lie nearly in a space of few dimensions: they are ``S Q + E``, with the rows of Q
    orthonormal. X is multiplied with Q alone. Columns of Z have unit length, so no correlation is farther
    from those in ``S Q Z`` than the norm of its row of E, which rules out all but a few features; theirs, and
    those of the working set, come from their columns.

    Parameters
    ----------
    data : Dense
    screen : Screen
    columns : ndarray of shape (m, n)
        Columns of Z in the working set, one per row.
    features : ndarray of shape (m,), int64
        Which ones these are.
    directions : Directions
        Updated in place.
    coefs : ndarray of shape (b, m)
    lams : ndarray of shape (b,)

    Returns
    -------
    gaps, rss : ndarray of shape (b,)
        Duality gaps, and squared norms of the residuals.
    lacking : ndarray of shape (b,), int64
        How many features outside the working set are missing.
    shares : ndarray of shape (b, size)
        ``shares @ images`` is close to the correlations of all features, and that of the last residual exact.
    known : ndarray of shape (k,), int64
        Features whose correlations have been computed, those of the working set among them.
    corrs : ndarray of shape (b, k)
        These correlations.
    """
    b, n, p = lams.shape[0], columns.shape[1], screen.l1.shape[0]
    if directions.size[0] > KNOWN:
        _keep_last(directions)
    before, shares, limits = directions.size[0], np.empty((b, KNOWN + NEW)), np.empty(b)
    for at in range(b):
        limits[at] = CLOSE * screen.ordinary * lams[at]
    rows = np.empty((b, n))
    _products_of_long_rows(columns, coefs, rows)
    size, left, rss = _span(data.values, rows, limits, directions.basis, before, shares)
    if size > before:
        basis, images = directions.basis[before:size], directions.images[before:size]
        few_correlations(data.X, basis, data.root, data.mean, data.norm, images)
    directions.size[0] = size
    for i in range(size):
        directions.last[i] = shares[b - 1, i]
    shares = shares[:, :size]
    others = _undecided(shares, directions.images[:size], left, lams, screen.l1, screen.member)
    if others.shape[0] > MOST * p:
        everyone, corrs = np.empty(p, dtype=np.int64), np.empty((b, p))
        for j in range(p):
            everyone[j] = j
        few_correlations(data.X, rows, data.root, data.mean, data.norm, corrs)
        gaps, lacking = duality_gaps(corrs, features, coefs, lams, screen.rules, rss)
        return gaps, rss, lacking, shares, everyone, corrs
    known = _one_after_another(features, others)
    taken = np.empty((others.shape[0], n))
    _take_lines(data.X, others, data.mean, data.norm, data.root, taken)
    corrs = _side_by_side(_inner_products(rows, columns), _inner_products(rows, taken))
    gaps, lacking = _judge(corrs, known, coefs, lams, screen.rules, rss)
    return gaps, rss, lacking, shares, known, corrs


@inner
def _one_after_another(features, others):
    """Two lists of features as one."""
    m, k = features.shape[0], features.shape[0] + others.shape[0]
    both = np.empty(k, dtype=np.int64)
    for i in range(k):
        both[i] = features[i] if i < m else others[i - m]
    return both


@inner
def _side_by_side(left, right):
    """Two matrices as one."""
    b, m = left.shape
    both = np.empty((b, m + right.shape[1]))
    for at in range(b):
        for i in range(both.shape[1]):
            both[at, i] = left[at, i] if i < m else right[at, i - m]
    return both


@inner
def _judge(corrs, known, coefs, lams, rules, rss):
    """`duality_gaps` from correlations (b, k) of known features; `coefs`, (b, m), are those of the first."""
    places, some = np.empty(coefs.shape[1], dtype=np.int64), np.empty((known.shape[0], 4))
    for i in range(places.shape[0]):
        places[i] = i
    for i in range(known.shape[0]):
        for c in range(4):
            some[i, c] = rules[known[i], c]
    return duality_gaps(corrs, places, coefs, lams, some, rss)


@part
def assemble(directions, share, known, exact, corrs):
    """Correlations of all features with one residual, from what `verify` has found out about it.

    Those that were not needed may be off, but for the last solution: they guide the working set, and the
    solver computes its own before it relies on them.

    Parameters
    ----------
    directions : Directions
    share : ndarray of shape (size,)
    known : ndarray of shape (k,), int64
    exact : ndarray of shape (k,)
    corrs : ndarray of shape (p,)
        Filled.
    """
    p = corrs.shape[0]
    for j in range(p):
        corrs[j] = 0.0
    for i in range(share.shape[0]):
        add_row(share[i], directions.images, i, corrs, 0, p)
    for i in range(known.shape[0]):
        corrs[known[i]] = exact[i]


# ---------------------------------------------------------------------------------------------
# A path
# ---------------------------------------------------------------------------------------------


class Progress(NamedTuple):
    """How far a path has come."""

    position: int  # of the lambda that is solved next
    look: int  # how many are solved and verified together
    tries: int  # how many times the solution at `position` has been solved more closely
    before: float  # the lambda before
    wanted: int = 0  # how many features there was no room for; they come first


@kernel
def batch_end(answers, position, look, complete, n):
    """Where the batch from `position` ends: wanted lambdas go together, a step on the way goes alone.

    Where all features are in the working set no solution can lack any, and memory for residuals of n rows is
    the only limit.
    """
    if complete:
        return min(position + max(look, RESIDUALS // n), answers.shape[0])
    stop = position + 1
    while stop < min(answers.shape[0], position + look) and answers[position] >= 0 and answers[stop] >= 0:
        stop += 1
    return stop


@kernel
def outlook(last, before):
    """The least threshold of features that a batch may need which ends at some lambda.

    That is the strong rule, unless the path falls too fast for it.
    """
    return max(2.0 * last - before, 0.5 * last)


@kernel
def moved(progress, lams, failed, lacking, ahead):
    """Progress after a batch: solutions before `failed` are right; that one, if there is one, is not."""
    position, look, tries, _, _ = progress
    if failed == lams.shape[0]:
        return Progress(position + failed, min(ahead, 2 * look), 0, lams[failed - 1], 0)
    if lacking:
        return Progress(position + failed, max(2, failed + 1), 0, lams[failed], 0)
    return Progress(position + failed, look, 1 if failed > 0 else tries + 1, lams[failed], 0)


class Gathered(NamedTuple):
    """What is remembered of dense X from one batch to the next."""

    columns: np.ndarray  # (capacity, n) the columns of Z in the working set, one per row
    directions: Directions


def take_in(data, memory, features, m):
    """Gather the features from place m on; returns the last rows of the Gram matrix, those that are new.

    As `inspect`, in the way of each storage.
    """
    return (_take_dense if isinstance(data, Dense) else _take_sparse)(data, memory, features, m)


@overload(take_in)
def _take_in(data, memory, features, m):
    return _take_dense if data.instance_class is Dense else _take_sparse


def _take_dense(data, memory, features, m):
    columns, total = memory.columns, features.shape[0]
    _take_lines(data.X, features[m:], data.mean, data.norm, data.root, columns[m:total])
    return _inner_products(columns[m:total], columns[:total])


def inspect(data, screen, memory, features, found, lams, judgement, corrs):
    """How good the solutions of a batch are on all features, up to the first that is not good enough.

    Parameters
    ----------
    data : Dense or Sparse
    screen : Screen
    memory : Gathered or Trail
        Updated in place.
    features : ndarray of shape (m,), int64
        The working set.
    found : ndarray of shape (b, m)
        Its coefficients.
    lams : ndarray of shape (b,)
    judgement : Judgement
    corrs : ndarray of shape (p,)
        Correlations of all features with the residual before; replaced by those with that of the solution
        which failed, or the last one. Those that were not needed may be off: they guide the working set, and
        the solver computes its own before it relies on them.

    Returns
    -------
    failed : int
        As from `first_failure`.
    gaps, rss, lacking : ndarray of shape (b,)
        As far as the solution that failed.
    """
    way = _inspect_dense if isinstance(data, Dense) else _inspect_sparse
    return way(data, screen, memory, features, found, lams, judgement, corrs)


@overload(inspect)
def _inspect(data, screen, memory, features, found, lams, judgement, corrs):
    return _inspect_dense if data.instance_class is Dense else _inspect_sparse


class Judgement(NamedTuple):
    """What decides whether a solution failed; see `first_failure`."""

    counts: np.ndarray  # (b,) int64
    answers: np.ndarray  # (b,) int64
    limits: Limits
    tries: int


def _inspect_dense(data, screen, memory, features, found, lams, judgement, corrs):
    columns, directions = memory.columns[: features.shape[0]], memory.directions
    counts, answers, limits, tries = judgement
    gaps, rss, lacking, shares, known, exact = verify(
        data, screen, columns, features, directions, found, lams
    )
    failed = first_failure(gaps, lacking, counts, answers, limits, tries)
    last = min(failed, lams.shape[0] - 1)
    assemble(directions, shares[last], known, exact[last], corrs)
    return failed, gaps, rss, lacking


@kernel
def follow(
    data,
    screen,
    work,
    m,
    k,
    present,
    features,
    memory,
    corrs,
    sequence,
    answers,
    limits,
    progress,
    coefs,
    gaps,
    rss,
    rounds,
):
    """Solve for a sequence of lambdas, until all are solved, or a while has passed, or more room is needed.

    Parameters
    ----------
    data : Dense or Sparse
    screen : Screen
    work : Working
        Updated in place, as are the next arrays up to `corrs`.
    m, k : int
        Features in the working set, and in the factor.
    present : float
        The lambda of ``work.rule``.
    features : ndarray of shape (capacity,), int64
        The first m are those of the working set.
    memory : Gathered or Trail
    corrs : ndarray of shape (p,)
        Correlations of all features with the present residual.
    sequence, answers : ndarray of shape (n_steps,)
        Lambdas, decreasing; and whether they are wanted (not negative), or on the way to others.
    limits : Limits
    progress : Progress
    coefs : ndarray of shape (n_left, capacity)
        Filled from the first row on, for the lambdas from ``progress.position`` on.
    gaps, rss, rounds : ndarray of shape (n_steps,)
        Filled at the same places; rounds are added up.

    Returns
    -------
    position, look, tries, before, wanted
        As in `Progress`. Numbers only: Numba calls Python code to make a NamedTuple or an array, an interrupt
        that has come meanwhile is raised there, and Numba goes on with a null pointer.
    m, k : int
    present : float
    """
    first, spent, n, p = progress.position, 0, data.values.shape[0], corrs.shape[0]
    complete = True
    for j in range(p):
        complete &= screen.member[j]
    while progress.position < sequence.shape[0] and spent < limits.spell:
        position = progress.position
        most = max(1, limits.piece // max(1, m * m))
        stop = min(batch_end(answers, position, progress.look, complete, n), position + most)
        lams = sequence[position:stop]
        b = stop - position
        if not complete:
            least = outlook(lams[b - 1], progress.before)
            new = proposals(corrs, screen.rules, screen.l1, screen.member, least, work.coef[:m], limits)
            total = m + new.shape[0]
            if total > features.shape[0]:
                progress = Progress(position, progress.look, progress.tries, progress.before, new.shape[0])
                break
            if total > m:
                for i in range(m, total):
                    features[i] = new[i - m]
                    screen.member[features[i]] = True
                cross = take_in(data, memory, features[:total], m)
                enter(work, cross, m, features[:total], screen.rules, present, data.start, corrs)
                m = total
        found, counts = np.empty((b, m)), np.empty(b, dtype=np.int64)
        k = solve_sequence(
            work, m, k, data.square, lams, limits.max_rounds, found, np.empty(b), np.empty(b), counts
        )
        present = lams[b - 1]
        judgement = Judgement(counts, answers[position:stop], limits, progress.tries)
        failed, certified, squares, lacking = inspect(
            data, screen, memory, features[:m], found, lams, judgement, corrs
        )
        last = min(failed, b - 1)
        for at in range(last + 1):
            rounds[position + at] += counts[at]
        for at in range(failed):
            gaps[position + at], rss[position + at] = certified[at], squares[at]
            row = coefs[position + at - first]
            for i in range(row.shape[0]):
                row[i] = found[at, i] if i < m else 0.0
        k = restart(work, m, k, found[last], corrs, features)
        progress = moved(progress, lams, failed, lacking[last], limits.ahead)
        spent += b * m * m + limits.stored
    position, look, tries, before, wanted = progress
    return position, look, tries, before, wanted, m, k, present


# ---------------------------------------------------------------------------------------------
# Little work on one array after another, for which every call of NumPy would take longer
# ---------------------------------------------------------------------------------------------


@kernel
def outline(rules):
    """What there is in a penalty, (p, 4) or (1, 4); see `_penalty.Outline`."""
    any_l1 = any_l2 = bounded = counted = False
    weakest, smallest, curved, ends = 1.0, np.inf, 0.0, 0.0
    for j in range(rules.shape[0]):
        l1, l2, lower, upper = rules[j, 0], rules[j, 1], rules[j, 2], rules[j, 3]
        if lower == 0.0 and upper == 0.0:
            continue
        any_l1 |= l1 > 0.0
        any_l2 |= l2 > 0.0
        bounded |= lower > -np.inf or upper < np.inf
        counted |= l2 == 0.0 or l1 != 0.0
        if l1 < weakest:
            weakest = l1
        if l2 != 0.0:
            curved += 1.0 / l2
        elif l1 == 0.0:
            end = upper if upper > -lower else -lower
            ends += end if end < np.inf else 0.0
        elif l1 < smallest:
            smallest = l1
    return any_l1, any_l2, bounded, counted, weakest, smallest, curved, ends


@kernel
def survey(rules):
    """What a path begins with, of a penalty (p, 4).

    Returns
    -------
    l1 : ndarray of shape (p,)
        The first column, apart.
    excluded, loose : ndarray of shape (p,), bool
        The features that are held at zero, and those that nothing holds there.
    curved : bool
        Whether all that are not excluded have a ridge penalty.
    """
    p, curved = rules.shape[0], True
    l1, excluded, loose = np.empty(p), np.empty(p, dtype=np.bool_), np.empty(p, dtype=np.bool_)
    for j in range(p):
        l2, lower, upper = rules[j, 1], rules[j, 2], rules[j, 3]
        l1[j], excluded[j] = rules[j, 0], lower == 0.0 and upper == 0.0
        loose[j] = l1[j] == 0.0 and not excluded[j] and (l2 == 0.0 or (lower < 0.0 and upper > 0.0))
        curved &= l2 > 0.0 or excluded[j]
    return l1, excluded, loose, curved


@inner
def share_of(share, i):
    """The share of row ``i``; a single one is that of every row, so that the row need not be looked up."""
    return share[0] if share.shape[0] == 1 else share[i]


@kernel
def centre(values, share, root, centred):
    """Take their mean from values (n,), if they are to be `centred`, and multiply them by `root`, in place.

    Shares and roots have shape (n,), or (1,) if all weigh the same. Returns the mean, and the length of what
    is left.
    """
    mean = _mean(values, share) if centred else 0.0
    return mean, np.sqrt(_less(values, mean, root))


@leaf
def _mean(values, share):
    total = 0.0
    for i in range(len(values)):
        total += share_of(share, i) * values[i]
    return total


@leaf
def _less(values, mean, root):
    """Replace values by ``(values - mean) * root``; returns their squared norm."""
    square = 0.0
    for i in range(len(values)):
        values[i] = (values[i] - mean) * share_of(root, i)
        square += values[i] * values[i]
    return square


@kernel
def norms(mean, square, single, constant, tiny):
    """Roots of the mean squares of columns about their means, in place; 1 for constant ones, masked.

    Their spread is below the share `constant` of their mean, or their square below `tiny`; or there is a
    `single` row. Last, the first column whose square is not finite, or -1.
    """
    flat = np.empty(len(mean), dtype=np.bool_)
    if _take_roots(mean, square, single, constant, tiny, flat) == 0:
        return square, flat, -1
    return square, flat, np.argmax(~np.isfinite(square))


@leaf
def _take_roots(mean, square, single, constant, tiny, flat):
    wrong = 0
    for j in range(len(square)):
        root, good = np.sqrt(square[j]), abs(square[j]) < np.inf
        flat[j] = single | (root <= constant * abs(mean[j])) | (square[j] < tiny)
        square[j] = 1.0 if flat[j] & good else root
        wrong += not good
    return wrong


@kernel
def far_from_zero(mean, norm, constant, limit):
    """The columns, (k,), that are not constant and whose mean is more than so many times their norm."""
    far, count = np.empty(len(mean), dtype=np.int64), 0
    for j in range(len(mean)):
        if abs(mean[j]) > limit * norm[j] and not constant[j]:
            far[count] = j
            count += 1
    return far[:count]


@kernel
def penalty_in_units(rules, norm, constant, scale, standardize):
    """See `_penalty.Penalty.in_units`: the table (p, 4) from `rules`, (p, 4) or (1, 4)."""
    found = np.empty((len(norm), 4))
    for j in range(len(norm)):
        rule = rules[j if len(rules) > 1 else 0]
        size = 1.0 if standardize else norm[j]
        unit = min(norm[j] / scale, LARGEST)  # a bound of 0 remains one
        found[j, 0] = rule[0] / size / scale
        found[j, 1] = rule[1] / size / size
        found[j, 2] = 0.0 if constant[j] else rule[2] * unit
        found[j, 3] = 0.0 if constant[j] else rule[3] * unit
    return found


@kernel
def restore(
    features, coefs, rss, level, scale, mean, norm, rules, lams, standardize, used, values, intercepts,
    objectives,
):  # fmt: skip
    """Solutions of one target on the original scale.

    Parameters
    ----------
    features : ndarray of shape (m,), int64
    coefs : ndarray of shape (b, m)
        In the units of the solvers.
    rss : ndarray of shape (b,)
        As in `_active_set.Solutions`.
    level, scale : float
        Of the target: `_design.Target`.
    mean, norm : ndarray of shape (p,)
        Of the columns: `_design.Units`.
    rules : ndarray of shape (p, 4), or (1, 4) if all are alike
        The penalty on the scale of X.
    lams : ndarray of shape (b,)
    standardize : bool
    used : ndarray of shape (m,), int64
        Filled, as are the next three: the features that some solution uses, first.
    values : ndarray of shape (m, b)
        Their coefficients, within the bounds: the change of scale rounds.
    intercepts, objectives : ndarray of shape (b,)

    Returns
    -------
    count : int
        How many features are used.
    """
    count = 0
    for i in range(features.shape[0]):
        for step in range(lams.shape[0]):
            if coefs[step, i] != 0.0:
                used[count] = i
                count += 1
                break
    for step in range(lams.shape[0]):
        root = np.sqrt(lams[step])
        below, total = 0.0, 0.5 * rss[step] * scale * scale
        for place in range(count):
            j = features[used[place]]
            rule = rules[j if len(rules) > 1 else 0]
            value = coefs[step, used[place]] * (scale / norm[j])
            if value < rule[2]:
                value = rule[2]
            elif value > rule[3]:
                value = rule[3]
            values[place, step] = value
            below += mean[j] * value
            size = abs(value) * norm[j] if standardize else abs(value)
            # In an order in which nothing overflows that is not too large in the end.
            length = root * (size * np.sqrt(rule[1]))
            total += lams[step] * (size * rule[0]) + 0.5 * length * length
        intercepts[step], objectives[step] = level - below, total
    for place in range(count):
        used[place] = features[used[place]]
    return count


# ---------------------------------------------------------------------------------------------
# Sums of few rows
# ---------------------------------------------------------------------------------------------


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


@leaf
def shift_column(columns, j, shift, weights, start, stop):
    """Subtract a number from some rows of a column; returns their weighted sum after that."""
    column, weights = columns[j, start:stop], weights[start:stop]
    total = 0.0
    for i in range(len(column)):
        value = column[i] - shift
        column[i] = value
        total += weights[i] * value
    return total


@kernel
def row_sums(columns, weights, weight, first, products, mean, rest, xx, xy, yy):
    """Weighted means of rows and cross products about them, as in `_moments.Sums`; for little data.

    A library's product of such small matrices spends most of its time on getting ready.

    Parameters
    ----------
    columns : ndarray of shape (m, n)
        The p columns of X and the q of Y, and zeros up to a multiple of four; overwritten.
    weights : ndarray of shape (n,)
    weight : float
        Their sum, which is not zero.
    first : int
        A row with weight. It is the first guess of the mean: any row will do, as long as a constant column
        has it exactly.
    products : ndarray of shape (m, m)
        Zeros; overwritten.
    mean, rest : ndarray of shape (p + q,)
        Filled, as are the next two. The latter is what rounding has cut off the former.
    xx : ndarray of shape (p, p)
    xy : ndarray of shape (p, q)
    yy : ndarray of shape (q,)
        Zeros, to which is added.
    """
    n = columns.shape[1]
    p, q = xy.shape
    even = True
    for i in range(n):
        even &= weights[i] == weights[first]
    for j in range(p + q):
        middle, shift = columns[j, first], 0.0
        for start in range(0, n, ROWS):
            shift += shift_column(columns, j, middle, weights, start, min(start + ROWS, n))
        shift /= weight
        for start in range(0, n, ROWS):
            shift_column(columns, j, shift, weights, start, min(start + ROWS, n))
        if not even:
            for i in range(n):
                columns[j, i] *= np.sqrt(weights[i])
        mean[j] = middle + shift
        part = mean[j] - middle
        rest[j] = (middle - (mean[j] - part)) + (shift - part)  # see `_moments._two_sum`
    scale = weights[first] if even else 1.0
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        for i in range(0, p, 2):
            for j in range(i - i % 4, p + q, 4):
                add_products(columns, i, j, start, stop, products)
        for j in range(q):
            yy[j] += scale * dot_row(columns, p + j, columns[p + j], start, stop)
    for i in range(p):
        for j in range(i, p):
            xx[i, j] = xx[j, i] = scale * products[i, j]
        for j in range(q):
            xy[i, j] = scale * products[i, p + j]


# ---------------------------------------------------------------------------------------------
# Rows left out
# ---------------------------------------------------------------------------------------------


@kernel
def leave_out(residuals, slack, weights, pinned, totals, squares, together):
    """By how much the fits to all other rows miss the targets of some rows, and the errors, in one pass.

    Parameters
    ----------
    residuals : ndarray of shape (t, k, b)
        Of the fits to all rows; overwritten with those of the fits without the row.
    slack : ndarray of shape (t, b)
        What they are divided by.
    weights : ndarray of shape (t,)
        Rows without weight, whose residuals may be anything, have no errors.
    pinned : ndarray of shape (b,)
        Slack that is none.
    totals, squares : ndarray of shape (k, b)
        To which the errors, weights times squared residuals, and the squares of these are added.
    together : ndarray of shape (t, b)
        To which the errors are added, over targets.

    Returns
    -------
    possible : bool
        Whether all rows have slack.
    """
    possible = True
    for i in range(len(weights)):
        gap, weight, level = slack[i], weights[i], together[i]
        for at in range(len(gap)):
            possible &= gap[at] > pinned[at]
        for target in range(residuals.shape[1]):
            missed, total, square = residuals[i, target], totals[target], squares[target]
            for at in range(len(gap)):
                missed[at] /= gap[at]
            if weight == 0.0:
                continue
            for at in range(len(gap)):
                error = weight * (missed[at] * missed[at])
                level[at] += error
                total[at] += error
                square[at] += error * error
    return possible


# ---------------------------------------------------------------------------------------------
# Sparse storage: one source for compressed columns and compressed rows
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


@leaf
def _entry_square(data, indices, start, stop, share):
    """Weighted sum of the squares of some entries; those without weight may be too large for a square."""
    data, indices = data[start:stop], indices[start:stop]
    total = 0.0
    for place in range(len(data)):
        part = share_of(share, indices[place])
        total += part * data[place] * data[place] if part > 0.0 else 0.0
    return total


# ---------------------------------------------------------------------------------------------
# Coordinate descent on columns, for supports too large for a factor
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


class Columns(NamedTuple):
    """Some columns of a CSC container, scaled: ``scale[c] * x[:, places[c]]``."""

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    places: np.ndarray  # (m,) int64
    scale: np.ndarray  # (m,)


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
    columns has an entry. O(nnz + sum of squared row lengths). A few columns are multiplied one by one.
    """
    data, indices, indptr, places, scale = columns
    m, n, k = places.shape[0], scratch.shape[0], result.shape[0]
    if k <= FEW:
        scratch[:] = 0.0
        for a in range(k):
            start, stop = indptr[places[a]], indptr[places[a] + 1]
            result[a, a] += scale[a] * scale[a] * _entry_square(data, indices, start, stop, share)
            if a + 1 == m:
                break
            for at in range(start, stop):
                part = share_of(share, indices[at])
                if part != 0.0:
                    scratch[indices[at]] = part * (scale[a] * data[at])
            for c in range(a + 1, m):
                product = _entry_dot(data, indices, indptr[places[c]], indptr[places[c] + 1], scratch)
                result[a, c] += scale[c] * product
            for at in range(start, stop):
                scratch[indices[at]] = 0.0
        return
    place = np.empty(m, dtype=np.int64)
    size = 0
    for c in range(m):
        place[c] = indptr[places[c]]
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
    data, indices, indptr, places, scale = columns
    for i in range(result.shape[0]):
        for k in range(coefs.shape[1]):
            result[i, k] = -level[k]
    for c in range(places.shape[0]):
        if not coefs[c].any():
            continue
        for at in range(indptr[places[c]], indptr[places[c] + 1]):
            i, value = indices[at], scale[c] * data[at]
            for k in range(coefs.shape[1]):
                result[i, k] += value * coefs[c, k]


@kernel
def column_products(columns, x):
    """Inner products of columns with a vector (n,): (m,)."""
    data, indices, indptr, places, scale = columns
    result = np.empty(places.shape[0])
    for c in range(places.shape[0]):
        result[c] = scale[c] * _entry_dot(data, indices, indptr[places[c]], indptr[places[c] + 1], x)
    return result


@kernel
def copy_columns(matrix, features, norm, root, whole, dense):
    """Some columns of a `CSC` matrix, times `root` and over their norms, (k,), as another one.

    Column ``c`` is ``dense[whole[c]]`` as it is, if ``whole[c]`` is not negative.
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
                rows[start + at], values[start + at] = at, dense[whole[c], at]
            else:
                i = indices[first + at]
                rows[start + at], values[start + at] = i, root[i] * data[first + at] / norm[c]
    return CSC(values, rows, ends)


@inner
def _residual(columns, coef, level, root, values, weighted):
    """The residual of a linear combination of columns, less a level, in as few passes as can be.

    Parameters
    ----------
    columns : Columns
    coef : ndarray of shape (m,)
    level : float
    root : ndarray of shape (n,), or (1,) if all are alike
    values : ndarray of shape (n,)
    weighted : ndarray of shape (n,)
        Filled with `root` times the residual, which is ``values - root * (columns @ coef - level)``.

    Returns
    -------
    square, along, total : float
        Its squared norm, its inner product with `values`, and the sum of `weighted`.
    """
    data, indices, indptr, places, scale = columns
    weighted[:] = -level
    for c in range(places.shape[0]):
        share = scale[c] * coef[c]
        if share != 0.0:
            for at in range(indptr[places[c]], indptr[places[c] + 1]):
                weighted[indices[at]] += share * data[at]
    return _subtract(values, root, weighted)


@leaf
def _subtract(values, root, fitted):
    """Replace a fit by the residual, times `root`."""
    square = along = total = 0.0
    for i in range(len(values)):
        part = share_of(root, i)
        # Where there is no weight it may have overflowed.
        left = values[i] - (part * fitted[i] if part > 0.0 else 0.0)
        square += left * left
        along += left * values[i]
        fitted[i] = part * left
        total += fitted[i]
    return square, along, total


@leaf
def _subtract_many(values, root, fitted, squares, along, totals):
    """`_subtract` for several fits, (n, b), at once."""
    for i in range(fitted.shape[0]):
        part = share_of(root, i)
        for k in range(fitted.shape[1]):
            left = values[i] - (part * fitted[i, k] if part > 0.0 else 0.0)
            squares[k] += left * left
            along[k] += left * values[i]
            fitted[i, k] = part * left
            totals[k] += fitted[i, k]


class Sparse(NamedTuple):
    """Sparse X, what makes its columns those of Z, and one target, as in `Dense`.

    Where all rows weigh the same, their shares and roots have shape (1,).
    """

    X: CSC
    mean: np.ndarray  # (p,)
    norm: np.ndarray  # (p,)
    share: np.ndarray  # (n,)
    root: np.ndarray  # (n,)
    values: np.ndarray  # (n,) the target
    start: np.ndarray  # (p,) correlations of all columns of Z with it
    square: float  # its squared norm


class Trail(NamedTuple):
    """What is remembered of sparse X from one batch to the next: the last solution."""

    coef: np.ndarray  # (p,)
    square: np.ndarray  # (1,) the squared norm of its residual
    error: np.ndarray  # (p,) by how much the correlations with that may be wrong
    rows: np.ndarray  # (LANES * n,) room for residuals that are looked at together


@inner
def _columns_of(data, features):
    """Some columns of Z, but for the multiples of the roots that are still to be subtracted; and these."""
    scale, shift = np.empty(features.shape[0]), np.empty(features.shape[0])
    for c in range(features.shape[0]):
        scale[c] = 1.0 / data.norm[features[c]]
        shift[c] = data.mean[features[c]] / data.norm[features[c]]
    X = data.X
    return Columns(X.data, X.indices, X.indptr, features, scale), shift


def _take_sparse(data, memory, features, m):
    order, shift = _one_after_another(features[m:], features[:m]), _columns_of(data, features)[1]
    products = np.zeros((features.shape[0] - m, features.shape[0]))
    scratch = memory.rows[: data.values.shape[0]]
    column_gram(_columns_of(data, order)[0], data.share, scratch, products)
    return complete_gram(products, shift)


def _inspect_sparse(data, screen, memory, features, found, lams, judgement, corrs):
    """By the distance of every residual to the last one.

    Columns have unit length: the correlations with a residual that is a multiple of another one and a rest
    are the same multiple of the others, up to the length of the rest. Where this leaves a doubt whether one
    is within its threshold, its column is read.
    """
    b, n = lams.shape[0], data.values.shape[0]
    counts, answers, limits, tries = judgement
    gaps, rss, lacking = np.empty(b), np.zeros(b), np.empty(b, dtype=np.int64)
    columns, shift = _columns_of(data, features)
    failed = top = 0
    while failed == top < b:
        stop = min(top + LANES, b)
        some, coefs, squares, width = slice(top, stop), found[top:stop], rss[top:stop], stop - top
        shares, rests, along, totals = np.empty(width), np.empty(width), np.zeros(width), np.zeros(width)
        rows = memory.rows[: n * width].reshape(n, width)
        _residuals(data, columns, shift, coefs, rows, squares, along, totals)
        inside = _some_correlations(data, features, rows, totals)
        for k in range(width):
            shares[k], rests[k] = _distance(memory, features, inside[k], squares[k], along[k])
        doubt = rests if answers[top] >= 0 else PLAUSIBLE * rests
        others = _doubtful(corrs, memory.error, shares, doubt, lams[some], screen)
        known = _one_after_another(features, others)
        exact = _side_by_side(inside, _some_correlations(data, others, rows, totals))
        certified, missing = _judge(exact, known, coefs, lams[some], screen.rules, squares)
        for k in range(width):
            gaps[top + k], lacking[top + k] = certified[k], missing[k]
        failed = first_failure(gaps[:stop], lacking, counts, answers, limits, tries)
        last = min(failed, stop - 1) - top
        for i in range(features.shape[0]):
            memory.coef[features[i]] = coefs[last, i]
        memory.square[0] = squares[last]
        _carry(corrs, memory.error, shares[last], rests[last])
        for i in range(known.shape[0]):
            corrs[known[i]], memory.error[known[i]] = exact[last, i], 0.0
        top = stop
    return failed, gaps, rss, lacking


@inner
def _residuals(data, columns, shift, coefs, rows, squares, along, totals):
    """Residuals of several coefficients (b, m), as columns of `rows`, (n, b), as `_residual`."""
    width, m = coefs.shape
    level, across = np.empty(width), np.empty((m, width))
    for k in range(width):
        level[k] = dot(shift, coefs[k], m)
        for c in range(m):
            across[c, k] = coefs[k, c]
    if width == 1:
        squares[0], along[0], totals[0] = _residual(
            columns, coefs[0], level[0], data.root, data.values, rows.reshape(rows.shape[0])
        )
    else:
        _combine(columns, across, level, rows)
        _subtract_many(data.values, data.root, rows, squares, along, totals)


@inner
def _distance(memory, features, corrs, square, along):
    """The multiple of the last residual that is closest to another one, and the distance.

    Parameters
    ----------
    memory : Trail
    features : ndarray of shape (m,), int64
        Of the working set.
    corrs : ndarray of shape (m,)
        Their correlations with the other residual.
    square, along : float
        Its squared norm, and its inner product with the target.

    Returns
    -------
    share, rest : float
    """
    length, size = memory.square[0], abs(along)
    for i in range(features.shape[0]):
        part = memory.coef[features[i]] * corrs[i]
        along -= part
        size += abs(part)
    share = along / length if length > 0.0 else 0.0
    noise = NOISE * (1.0 + square + abs(share) * size)
    return share, np.sqrt(max(square - share * share * length, 0.0) + noise)


@inner
def _doubtful(corrs, error, shares, rests, lams, screen):
    """The features that are no members and may exceed their threshold at zero."""
    p = corrs.shape[0]
    features, count, sure = np.empty(p, dtype=np.int64), 0, np.full(p, True)
    for start in range(0, p, STRIP):
        stop = min(start + STRIP, p)
        for k in range(lams.shape[0]):
            _keep_within(corrs, error, abs(shares[k]), rests[k], lams[k], screen.l1, sure, start, stop)
        for j in range(start, stop):
            features[count] = j  # stays if it counts: nobody could foresee a branch
            count += (not sure[j]) & (not screen.member[j])
    return features[:count]


@leaf
def _keep_within(corr, error, share, rest, lam, l1, sure, start, stop):
    corr, error, l1, sure = corr[start:stop], error[start:stop], l1[start:stop], sure[start:stop]
    for j in range(len(l1)):
        sure[j] &= share * (abs(corr[j]) + error[j]) + rest < lam * l1[j]  # not NaN


@inner(fastmath={"contract"})
def _some_correlations(data, features, rows, totals):
    """Correlations (b, k) of some features with residuals (n, b) times the roots, whose sums are known."""
    X, (n, width) = data.X, rows.shape
    products = np.zeros((features.shape[0], width))
    if width == 1:
        x = rows.reshape(n)
        for i in range(features.shape[0]):
            j = features[i]
            products[i, 0] = _entry_dot(X.data, X.indices, X.indptr[j], X.indptr[j + 1], x)
    else:
        for i in range(features.shape[0]):
            j = features[i]
            _add_entry_dots(X.data, X.indices, X.indptr[j], X.indptr[j + 1], rows, i, products)
    result = np.empty((width, features.shape[0]))
    for k in range(width):
        for i in range(features.shape[0]):
            j = features[i]
            result[k, i] = (products[i, k] - totals[k] * data.mean[j]) / data.norm[j]
    return result


@leaf
def _carry(corr, error, share, rest):
    for j in range(len(corr)):
        corr[j] *= share
        error[j] = abs(share) * error[j] + rest


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


keep(globals().copy().values())
