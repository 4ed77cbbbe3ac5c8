"""From data and penalty to solutions: which solver runs, and what is said about its answer.

`select_solver` is the one decision tree, `fit` the one way in, `warn_unconverged` the one place that warns.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import _active_set, _kernels, _ridge
from sparse_linear._design import ColumnSource
from sparse_linear._moments import MomentDesign, Moments, MomentSource

# A relative gap below this is rounding: a smaller `tol` cannot be told from it.
ROUNDING = 1e-13
# Normal equations with more unknowns than this are not formed (they would take 3 GB).
LARGEST_GRAM = 20_000
# More unknowns than this are not factored orthogonally.
LARGEST_QR = 4_000


class Problem(NamedTuple):
    """What the choice of a solver depends on."""

    n: int
    p: int
    sparse: bool
    far: bool  # X is sparse, and some of its columns lie too far from zero for moments
    l1: bool  # some feature in use has an l1 penalty
    bounded: bool
    penalised: bool  # some feature in use has a ridge penalty
    n_lams: int
    wish: str  # the solver a user asked for


class Choice(NamedTuple):
    """A solver: how it is called inside, where it takes X from, and what it is, in words."""

    solver: str  # "active set", "cholesky", "dual", "qr", "svd", "lsmr"
    moments: bool  # whether X is reduced to its moments first
    reason: str


class Fit(NamedTuple):
    """Solutions on the original scale, for q targets and b alphas."""

    coefs: np.ndarray  # (q, b, p)
    intercepts: np.ndarray  # (q, b)
    objectives: np.ndarray  # (q, b), in the scale of the estimator's objective
    gaps: np.ndarray  # (q, b), likewise
    relative_gaps: np.ndarray  # (q, b), in units of half the weighted mean square of the (centred) target
    n_iters: np.ndarray  # (q, b)
    iterative: bool  # whether `n_iters` counts anything
    solver: str
    statuses: tuple  # q tuples of b sentences


def select_solver(problem):
    """Which solver runs, and why.

    ::

        l1 penalty or bounds?
        ├─ yes: active set, on moments where X is tall, else on its columns
        └─ no: quadratic
           ├─ no penalty at all:              svd          (sparse X: lsmr)
           ├─ the (p, p) system is the smaller, or p is small:     cholesky
           ├─ the (n, n) system is the smaller and fits:           dual
           └─ both are large:                 lsmr         (dense X: the smaller of the two systems)

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Choice
    """
    n, p = problem.n, problem.p
    if problem.l1 or problem.bounded:
        what = "exact active-set solver with coordinate steps"
        # The Gram matrix of all columns costs n p^2; the other way costs n p per pass over X and n |W|^2 for
        # a working set W.
        tall = p <= 64 or (n >= 2 * p and p <= max(128, 4 * problem.n_lams))
        if tall and not problem.far:
            return Choice("active set", True, f"{what}, on the moments of X because X is tall (n={n}, p={p})")
        return Choice("active set", False, f"{what}, on working sets of the columns of X (n={n}, p={p})")
    wish = problem.wish
    iterative = wish in ("lsqr", "sparse_cg")
    if not problem.penalised:
        if problem.sparse:
            return Choice(
                "lsmr", False, "LSMR iterations: no penalty, and X is sparse; the shortest solution"
            )
        return Choice("svd", False, "singular values of X: no penalty; the shortest solution")
    if wish == "svd" and not problem.sparse:
        return Choice("svd", False, "singular values of X, as asked for")
    if problem.sparse and (iterative or min(n, p) > 2000):
        return Choice("lsmr", False, "LSMR iterations with implicit centring: X is sparse and large")
    if p <= n and p <= LARGEST_GRAM and not problem.far:
        return Choice("cholesky", True, f"Cholesky factor of the {p} x {p} normal equations, refined on X")
    if n <= LARGEST_GRAM:
        return Choice("dual", False, f"Cholesky factor of the {n} x {n} dual system, refined on X")
    return Choice("lsmr", False, "LSMR iterations with implicit centring: X is large in both directions")


def fit(
    design,
    Y,
    penalty,
    lams,
    *,
    standardize=False,
    max_iter=1000,
    sum_scaled=False,
    start=None,
    wish="auto",
):
    """Solve for every target and every lambda.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    Y : ndarray of shape (n, q), float64
    penalty : Penalty
        On the scale of X.
    lams : ndarray of shape (q, b)
        Decreasing along each row.
    standardize : bool
    max_iter : int
        Limit of rounds (active set) or iterations (LSMR) for each lambda.
    sum_scaled : bool
        Whether the caller's objective is ``sum_i s_i r_i^2 + lambda |w|^2`` (Ridge) rather than the
        mean-scaled one: then
        `penalty` and all results are converted here.
    start : ndarray of shape (q, p) or None
        Coefficients to start from.
    wish : str
        The solver a user asked for.

    Returns
    -------
    Fit
    """
    if sum_scaled:
        penalty = penalty._replace(l2=penalty.l2 / design.weight)
    used = ~penalty.excluded
    is_sparse = sparse.issparse(design.X)
    problem = Problem(
        n=design.n,
        p=design.p,
        sparse=is_sparse,
        far=is_sparse and len(design.far) > 0,
        l1=bool(np.any(penalty.l1[used] > 0.0) and np.any(lams > 0.0)),
        bounded=penalty.bounded,
        penalised=bool(np.any(penalty.l2[used] > 0.0) and np.all(lams > 0.0)),
        n_lams=lams.shape[1],
        wish=wish,
    )
    choice = select_solver(problem)
    moments = None
    if choice.moments:
        moments = MomentDesign(
            Moments.from_data(design.X, Y, design.share),
            design.fit_intercept,
            design.units if problem.sparse else None,
        )
        design.units = moments.units
    if standardize:
        penalty = penalty.per_standard_deviation(design.units.norm)
    if choice.solver == "active set":
        solved = _fit_active_set(design, moments, Y, penalty, lams, max_iter, start)
    else:
        solved, choice = _fit_quadratic(design, moments, Y, penalty, lams, max_iter, choice)
    return _report(
        design, solved, lams, penalty, choice, 2.0 * design.weight if sum_scaled else 1.0, max_iter
    )


class _Solved(NamedTuple):
    """Solutions of every target in the units of the solvers."""

    targets: list  # of Target
    solutions: list  # of _active_set.Solutions


def _fit_active_set(design, moments, Y, penalty, lams, max_iter, start):
    targets, solutions = [], []
    for index in range(Y.shape[1]):
        source = ColumnSource(design, Y[:, index]) if moments is None else MomentSource(moments, index)
        target, units = source.target, source.units
        targets.append(target)
        scale = target.scale or 1.0
        coef = None if start is None else start[index] * (units.norm / scale)
        solutions.append(
            _active_set.solve_path(source, penalty.in_units(units, scale), lams[index], max_iter, coef)
        )
    return _Solved(targets, solutions)


def _fit_quadratic(design, moments, Y, penalty, lams, max_iter, choice):
    """Quadratic problems: targets that share a lambda are solved together."""
    q, n_lams = lams.shape
    pairs = [design.target(Y[:, index]) for index in range(q)]
    values = np.array([unit for _, unit in pairs])
    units = design.units
    in_units = penalty.in_units(units, 1.0)
    p = len(in_units.l2)
    coefs = np.zeros((q, n_lams, p))
    rounds = np.zeros((q, n_lams), dtype=np.int64)
    for lam in np.unique(lams):
        targets, places = np.nonzero(lams == lam)
        diagonal = np.where(in_units.excluded, np.inf, lam * in_units.l2)
        found, n_iter, choice = _solve_quadratic(
            design, moments, values[targets], diagonal, units.norm, max_iter, choice
        )
        found[:, in_units.excluded] = 0.0
        coefs[targets, places] = found
        rounds[targets, places] = n_iter
    solutions = []
    features = np.arange(p)
    for index in range(q):
        residuals = values[index] - design.apply(coefs[index])
        rss = np.einsum("ij,ij->i", residuals, residuals)
        corrs = design.correlate(residuals)
        gaps = _kernels.duality_gaps(corrs, features, coefs[index], lams[index], *in_units, rss)
        solutions.append(_active_set.Solutions(coefs[index], gaps, rss, rounds[index]))
    return _Solved([target for target, _ in pairs], solutions), choice


def _solve_quadratic(design, moments, values, diagonal, norm, max_iter, choice):
    """One lambda; if the normal equations turn out to be singular, the solver that does without them."""
    used = np.isfinite(diagonal)
    if not used.any():
        return np.zeros((len(values), len(diagonal))), 1, choice
    penalty = np.where(used, diagonal, 0.0)

    def gradient(coefs):
        return np.where(used, design.correlate(values - design.apply(coefs)) - penalty * coefs, 0.0)

    try:
        if choice.solver == "cholesky":
            keep = np.flatnonzero(used)
            gram = moments.gram[np.ix_(keep, keep)]

            def inner(coefs):
                whole = np.zeros((len(values), len(diagonal)))
                whole[:, keep] = coefs
                return gradient(whole)[:, keep]

            found = np.zeros((len(values), len(diagonal)))
            found[:, keep], n_iter = _ridge.cholesky(gram, inner, diagonal[keep], len(values))
            return found, n_iter, choice
        if choice.solver == "dual":
            return *_ridge.dual(design, values, diagonal, gradient), choice
    except _ridge.NotPositiveDefiniteError:
        solver, name = "qr", "orthogonal factorisation"
        if sparse.issparse(design.X):
            solver, name = "lsmr", "LSMR iterations"
        elif design.p > LARGEST_QR:
            solver, name = "svd", "singular values of X"
        choice = Choice(solver, False, f"{name}: the normal equations are singular to working precision")
    if choice.solver == "qr":
        return *_ridge.qr(design, values, diagonal), choice
    if choice.solver == "svd":
        return *_ridge.svd(design, values, diagonal, norm), choice
    return *_ridge.iterate(design, values, diagonal, norm, max_iter), choice


def _report(design, solved, lams, penalty, choice, factor, max_iter):
    """Back to the original scale."""
    units = design.units
    q, n_lams = lams.shape
    p = len(units.norm)
    coefs = np.empty((q, n_lams, p))
    intercepts = np.empty((q, n_lams))
    objectives = np.empty((q, n_lams))
    gaps = np.empty((q, n_lams))
    relative = np.empty((q, n_lams))
    n_iters = np.empty((q, n_lams), dtype=np.int64)
    statuses = []
    for index, (target, solution) in enumerate(zip(solved.targets, solved.solutions, strict=True)):
        scale = target.scale
        coef = solution.coefs * (scale / units.norm)
        if penalty.bounded:
            coef = np.clip(coef, penalty.lower, penalty.upper)  # the change of scale rounds
        coefs[index] = coef
        intercepts[index] = target.mean - coef @ units.mean
        used = np.flatnonzero(coef.any(axis=0))
        magnitude = np.abs(coef[:, used])
        penalties = lams[index] * (
            magnitude @ penalty.l1[used] + 0.5 * (magnitude * magnitude) @ penalty.l2[used]
        )
        objectives[index] = factor * (0.5 * solution.rss * scale * scale + penalties)
        gaps[index] = factor * solution.gaps * scale * scale
        relative[index] = 2.0 * solution.gaps
        n_iters[index] = solution.rounds
        statuses.append(
            tuple(
                _status(gap, rounds, max_iter)
                for gap, rounds in zip(relative[index], solution.rounds, strict=True)
            )
        )
    return Fit(
        coefs,
        intercepts,
        objectives,
        gaps,
        relative,
        n_iters,
        choice.solver in ("active set", "lsmr"),
        choice.reason,
        tuple(statuses),
    )


def _status(relative_gap, rounds, max_iter):
    """One sentence on a solution."""
    if relative_gap <= ROUNDING:
        return f"optimal to rounding: relative duality gap {relative_gap:.1e}"
    if rounds >= max_iter:
        return f"stopped at max_iter={max_iter}: relative duality gap {relative_gap:.1e}; raise max_iter"
    return f"solved to the precision of the data: relative duality gap {relative_gap:.1e}"


def warn_unconverged(result, tol, max_iter, stacklevel=3):
    """Warn if a gap is above ``tol`` times the weighted mean square of the (centred) target."""
    worst = result.relative_gaps.max(initial=0.0) / 2.0
    if worst <= max(tol, ROUNDING):
        return
    if result.n_iters.max(initial=0) >= max_iter:
        remedy = f"raise max_iter (now {max_iter})"
    else:
        remedy = (
            "the columns are nearly dependent at this precision: scale or drop some, or raise alpha or tol"
        )
    warnings.warn(
        f"The fit did not reach tol={tol:g}: its duality gap is {worst:.2e} times the mean square of y; "
        f"{remedy}.",
        ConvergenceWarning,
        stacklevel=stacklevel,
    )


def warn_about_zero_alpha(stacklevel=3):
    """The warning that scikit-learn gives for alpha=0; here least squares is exact all the same."""
    warnings.warn(
        "With alpha=0 there is no penalty: this is least squares (the shortest solution where there are "
        "many); sklearn.linear_model.LinearRegression is made for it.",
        UserWarning,
        stacklevel=stacklevel,
    )
