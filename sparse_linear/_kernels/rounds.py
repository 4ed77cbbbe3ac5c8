"""How one ``lambda`` is solved, exactly: `solve_sequence`.

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
"""

import numpy as np

from sparse_linear._kernels.factor import (
    _append,
    _append_all,
    _back_substitute,
    _forward_substitute,
    _remove,
    _remove_held,
    _ridge_in_factor,
    _set_lambda,
)
from sparse_linear._kernels.leaves import (
    LANES,
    NOISE,
    _subtract_rows,
    add,
    dot,
    inner,
    kernel,
    part,
    update_grad,
)
from sparse_linear._kernels.optimality import (
    EXACT,
    KKT,
    REFINEMENTS,
    _gap_of_state,
    _rounding,
    coordinate_step,
    face,
    is_free,
    slope,
)

# After this many rounds at one lambda the tolerance doubles every eight rounds.
PATIENCE = 40.0
# After so many rounds that have lowered the objective by no more than rounding, a gap that counts as exact
# will do.
IDLE = 4
# Curvature along a null direction up to this is rounding of the pivot, and counts as none.
FLAT = 1e-13
# With such a factor, a step is the last one if it lowers the objective by no more than half of this, in units
# of the squared norm of y.
DECREMENT = 1e-15
# Entries of a null direction below this are rounding: most are, when the newcomer is a duplicate.
BYSTANDER = 1e-9


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
        idle = 0
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
            idle += 1
            if value + noise < ceiling:
                ceiling, idle = value + noise, 0
                for j in range(m):
                    best[j] = work.coef[j]
            elif idle >= IDLE:
                # Dependent columns take turns, as rounding decides: dummies of one category, say.
                rss[index], gaps[index] = _gap_of_state(work, m, square, lams[index], features)
                if gaps[index] <= EXACT:
                    break
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
