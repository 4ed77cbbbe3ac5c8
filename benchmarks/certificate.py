r"""How far a set of coefficients is from the optimum: the same certificate for every library.

The problem, for one alpha, with weights s_i >= 0 that sum to 1, is

    minimise over (w, b)   P(w, b) = 1/2 sum_i s_i (y_i - x_i'w - b)^2 + sum_j phi_j(w_j),
    phi_j(w) = l1_j |w| + l2_j/2 w^2,   l1 = alpha * l1_ratio,   l2 = alpha * (1 - l1_ratio).

Libraries stop on criteria of their own, so their tolerances cannot be compared. Weak duality can: given
nothing but w,

1. the best intercept is the one that makes the residual r = y - Xw - b have weighted mean zero;
2. every multiple t*r of it is a point of the dual problem, and there the duality gap bounds P(w, b) - min P
   from above.

With v = X' S r the gap at t is, after every term that cancels has been cancelled by hand,

    gap(t) = sum_j [phi_j(w_j) + phi_j*(t v_j) - t v_j w_j] + (1 - t)^2 / 2 * |r|_S^2.

No term is negative (Fenchel-Young), so nothing of size P is ever subtracted from something of size P, and
a gap of 1e-13 is as trustworthy as one of 1e-3. Writing u = t v_j, clip(u) for u clipped to [-l1_j, l1_j]
and z = u - clip(u), each bracket is

    (l1_j |w_j| - clip(u) w_j) + (z - l2_j w_j)^2 / (2 l2_j).

Where l2_j = 0, the second part is absent and |u| <= l1_j is required.

Any feasible t gives a valid bound; t is chosen to make it smallest, for every library alike. The derivative
gap'(t) is increasing, piecewise linear and convex for t >= 0, so Newton's method reaches its zero in a few
monotone steps.
"""

import numpy as np


def duality_gaps(X, y, coefs, alphas, l1_ratio=1.0, sample_weight=None, batch=10):
    """Return the duality gap of each column of coefficients, in float64, the intercept at its optimum.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
        The columns as the library got them. float32 values are taken as exact.
    y : ndarray of shape (n,)
        The targets, not centred.
    coefs : ndarray of shape (p, n_alphas)
        One column per alpha.
    alphas : ndarray of shape (n_alphas,)
        Penalties, scikit-learn's scale: the loss is half a weighted mean of squares.
    l1_ratio : float, default=1.0
        The share of the l1 norm.
    sample_weight : ndarray of shape (n,), optional
        Weights, of any sum.
    batch : int, default=10
        The number of alphas certified in one pass over X.

    Returns
    -------
    ndarray of shape (n_alphas,)
        Infinite where coefficients are not finite.
    """
    n, p = X.shape
    s = (
        np.full(n, 1.0 / n)
        if sample_weight is None
        else np.asarray(sample_weight, dtype=np.float64) / np.sum(sample_weight)
    )
    if X.dtype != np.float64:
        X = X.astype(np.float64)
    y = np.asarray(y, dtype=np.float64)
    y = y - s @ y
    coefs = np.asarray(coefs, dtype=np.float64).reshape(p, len(alphas))
    means = np.asarray(X.T @ s).ravel()
    gaps = np.full(len(alphas), np.inf)
    for start in range(0, len(alphas), batch):
        W = coefs[:, start : start + batch]
        if not np.isfinite(W).all():
            continue
        support = np.flatnonzero(W.any(axis=1))
        R = y[:, None] - X[:, support] @ W[support]
        R -= s @ R
        S_R = s[:, None] * R
        V = np.asarray(X.T @ S_R) - np.outer(means, S_R.sum(axis=0))
        squares = np.einsum("ij,ij->j", R, S_R)
        for k in range(W.shape[1]):
            alpha = alphas[start + k]
            gaps[start + k] = _gap(W[:, k], V[:, k], squares[k], alpha * l1_ratio, alpha * (1 - l1_ratio))
    return gaps


def relative_gap(X, y, coefs, alphas, l1_ratio=1.0, sample_weight=None):
    """Return the worst gap over the alphas, relative to half the weighted variance of y (the cost of 0)."""
    y = np.asarray(y, dtype=np.float64)
    variance = np.average((y - np.average(y, weights=sample_weight)) ** 2, weights=sample_weight)
    return float(np.max(duality_gaps(X, y, coefs, alphas, l1_ratio, sample_weight)) / (variance / 2))


def _gap(w, v, square, l1, l2):
    """Return the smallest gap over the multiples t of the residual; square is its squared weighted norm."""
    size = np.abs(v)
    inner = v @ w
    largest = np.max(size, initial=0.0)
    t_max = np.inf if l2 > 0 or largest == 0 else l1 / largest
    t = min(1.0, t_max)
    if square > 0:
        for _ in range(50):
            slope, curvature = (t - 1) * square - inner, square
            if l2 > 0:
                excess = np.maximum(t * size - l1, 0)
                slope += size @ excess / l2
                curvature += np.sum(size[excess > 0] ** 2) / l2
            step = min(max(t - slope / curvature, 0.0), t_max)
            if abs(step - t) <= 1e-15 * t:
                break
            t = step
    u = t * v
    clipped = np.clip(u, -l1, l1)
    gap = np.sum(l1 * np.abs(w) - clipped * w) + (1 - t) ** 2 / 2 * square
    if l2 > 0:
        gap += np.sum((u - clipped - l2 * w) ** 2) / (2 * l2)
    return gap
