"""What a coordinate is, and how far from the optimum a solution is: the certificate.

The penalty of a feature is a row ``(l1, l2, lower, upper)``. It is convex and piecewise quadratic, with
corners at 0 and at the bounds; the pieces between them are the *faces* on which the solver moves. At the
optimum each correlation ``v_j`` is a subgradient of the penalty at ``w_j``: what a feature still wants is
a coordinate step, and a feature at zero wants one from the `threshold` of its correlation on.

The certificate adds up, over the features, by how much that is missed (`duality_gaps` has the formula).
It needs the coefficients and the correlations with their residual, and does not ask where they come from:
it decides whether an answer is right, whatever route has led to it.
"""

import numpy as np

from sparse_linear._kernels.leaves import EPS, NOISE, dot, inner, kernel, leaf

# Gaps up to this (in units of the squared norm of y) count as exact; above it, a solution is refined with
# fresh correlations, at most so many times before its gap is reported as it is.
EXACT = 1e-12
REFINEMENTS = 3
# A ridge penalty below this, for a column of unit length, is none: rounding of a correlation is worth more.
NEGLIGIBLE = 1e-32
# Optimality conditions inside the working set are met to this share of each feature's own penalty.
KKT = 1e-12


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


@inner
def _rounding(coef, m):
    """Rounding error of a correlation: a sum over the coefficients."""
    size = 1.0
    for j in range(m):
        size += abs(coef[j])
    return NOISE * size


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
def doubt(rules, rounding, lams, coefs, rss, gaps):
    """By how much duality gaps (b,) may be larger than moments say.

    The moments are right up to a few units of rounding, so the correlations computed from them are within
    ``error`` of those of the data, and the gap within the doubt, from the terms of `duality_gaps`: each grows
    by error times the coefficients that it compares, |w_j| and, without any penalty, a bound. A ridge term,
    all that there is of features with no other penalty, is a square, ``(u - l1 - l2 w)^2 / (2 l2)``, and so
    is that of t, which falls by error / l1 (where there is no l2): the root of all squares grows at most by
    that of the squared errors.

    Parameters
    ----------
    rules : ndarray of shape (p, 4) or (1, 4)
    rounding : float
        Of an entry of the moments.
    lams, coefs, rss
        As in `duality_gaps`.
    gaps : ndarray of shape (b,)
    """
    _, _, _, counted, _, smallest, curved, ends = outline(rules)
    found = np.empty(len(lams))
    for i in range(len(lams)):
        if lams[i] == 0.0:
            found[i] = np.inf  # a residual that correlates with a feature is no dual point
            continue
        length = 0.0
        for value in coefs[i]:
            length += abs(value)
        error = rounding * (1.0 + length)
        tightest = error / (lams[i] * smallest)
        squared = 0.5 * (error * error * curved / lams[i] + tightest * tightest * rss[i])
        compared = 2.0 * length if counted else 0.0
        found[i] = error * (compared + ends) + squared + 2.0 * np.sqrt(gaps[i] * squared)
    return found
