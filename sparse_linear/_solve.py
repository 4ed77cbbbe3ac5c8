"""From data and penalty to solutions: which solver runs, and what is said about its answer.

`select_solver` is the one decision tree, `fit` the one way in, `warn_unconverged` the one place that warns.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import _active_set, _kernels, _ridge, _working_sets
from sparse_linear._design import ColumnSource
from sparse_linear._moments import MomentDesign, Moments, MomentSource

# A relative gap below this is rounding: a smaller `tol` cannot be told from it.
ROUNDING = 1e-13
# Rounding of inner products of unit vectors, accumulated in blocks.
MOMENT_ERROR = 16.0 * np.finfo(np.float64).eps
# Normal equations with more unknowns than this are not formed (they would take 3 GB).
LARGEST_GRAM = 20_000
# What is said of a solver that was not exact to the end.
DESCENT = (
    "accelerated coordinate descent, up to tol, from where more than "
    f"{_working_sets.LARGEST_FACTOR} features were in play"
)
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

    coefs: np.ndarray  # (q, p, b), zero pages of which are never touched
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
           ├─ no penalty:  dense: svd;  sparse: cholesky if p <= n, else lsmr
           ├─ "svd" was asked for and X is dense: svd
           ├─ sparse, and large both ways or an iterative solver was asked for: lsmr
           ├─ p <= n: cholesky of the (p, p) system
           ├─ n < p:  cholesky of the (n, n) system ("dual")
           └─ neither fits: lsmr
        A system that is singular to working precision goes to qr (sparse X: lsmr; very wide X: svd).

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
        tall = p <= 64 or (n >= 2 * p and (p <= 128 or (p <= 1024 and problem.n_lams >= 10)))
        if tall and not problem.far:
            return Choice("active set", True, f"{what}, on the moments of X because X is tall (n={n}, p={p})")
        return Choice("active set", False, f"{what}, on working sets of the columns of X (n={n}, p={p})")
    wish = problem.wish
    iterative = wish in ("lsqr", "sparse_cg")
    if not problem.penalised:
        if problem.sparse and (p > n or problem.far):
            return Choice(
                "lsmr", False, "LSMR iterations: no penalty, and X is sparse; the shortest solution"
            )
        if not problem.sparse:
            return Choice("svd", False, "singular values of X: no penalty; the shortest solution")
    if wish == "svd" and not problem.sparse:
        return Choice("svd", False, "singular values of X, as asked for")
    if problem.sparse and (iterative or min(n, p) > 2000):
        return Choice("lsmr", False, "LSMR iterations with implicit centring: X is sparse and large")
    if p <= n and p <= LARGEST_GRAM:
        return Choice(
            "cholesky", not problem.far, f"Cholesky factor of the {p} x {p} normal equations, refined on X"
        )
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
    tol=np.inf,
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
    tol : float
        Gap, in units of the mean square of the target, above which a status says what fell short.

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
        l1=bool((used & (penalty.l1 > 0.0)).any() and lams.any()),
        bounded=penalty.bounded,
        penalised=bool((used & (penalty.l2 > 0.0)).any() and lams.all()),
        n_lams=lams.shape[1],
        wish=wish,
    )
    choice = select_solver(problem)
    moments = None
    if choice.moments:
        if not design.share.all():
            Y = np.where(design.share[:, None] > 0.0, Y, 0.0)  # rows without weight may hold anything
        unit_y = 2.0 ** (np.frexp(np.abs(Y).max(axis=0))[1] - 1.0)  # a power of two changes no digit
        moments = MomentDesign(
            Moments.from_data(design.X, Y / unit_y, design.share),
            design.fit_intercept,
            design.known_units,
            unit_y,
        )
        design.units = moments.units  # those it had, if any
    if not np.isfinite(design.units.norm).all():
        at = int(np.argmax(~np.isfinite(design.units.norm)))
        raise ValueError(
            f"X must hold values below 1e150, but the squares of column {at} overflow; divide it."
        )
    if standardize:
        penalty = penalty.per_standard_deviation(design.units.norm)
    if choice.solver == "active set":
        solved, choice = _fit_active_set(design, moments, Y, penalty, lams, max_iter, start, tol, choice)
    else:
        solved, choice = _fit_quadratic(design, moments, Y, penalty, lams, max_iter, choice)
    factor = 2.0 * design.weight if sum_scaled else 1.0
    return _report(design, solved, lams, penalty, problem.bounded, choice, factor, max_iter, tol)


class _Solved(NamedTuple):
    """Solutions of every target in the units of the solvers."""

    targets: list  # of Target
    solutions: list  # of _active_set.Solutions


def _fit_active_set(design, moments, Y, penalty, lams, max_iter, start, tol, choice):
    targets, solutions = [], []
    for index in range(Y.shape[1]):
        source = ColumnSource(design, Y[:, index]) if moments is None else MomentSource(moments, index)
        units, scale = source.units, source.target.scale or 1.0
        in_units = penalty.in_units(units, scale)
        coef = None if start is None else start[index] * (units.norm / scale)
        solution = _active_set.solve_path(source, in_units, lams[index], max_iter, coef, tol)
        if moments is not None:
            solution = _certified(design, Y[:, index], in_units, lams[index], max_iter, solution)
        solution = _with_slip(design, Y[:, index], in_units, lams[index], solution)
        targets.append(source.target)
        solutions.append(solution)
    if any(solution.descent for solution in solutions):
        choice = choice._replace(reason=f"{choice.reason}; {DESCENT}")
    return _Solved(targets, solutions), choice


def _certified(design, y, penalty, lams, max_iter, solution):
    """Solutions from moments: those whose certificate rounding could touch are certified on X itself.

    The moments are right up to a few units of rounding, so the correlations computed from them are within
    ``error`` of those of the data, and the gap within ``doubt``, from the terms of `_kernels.duality_gaps`:
    each grows by error times the coefficients that it compares, |w_j| and, without any penalty, a bound. A
    ridge term is a square, ``(u - l1 - l2 w)^2 / (2 l2)``, and so is that of t, which falls by error / l1
    (where there is no l2): the root of all squares grows at most by that of the squared errors.
    """
    length = np.abs(solution.coefs).sum(axis=1)
    error = MOMENT_ERROR * (1.0 + length)
    used, ridge = ~penalty.excluded, penalty.l2 > 0.0
    ends = np.maximum(-penalty.lower, penalty.upper)
    ends = ends.sum(where=used & ~ridge & (penalty.l1 == 0.0) & np.isfinite(ends))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        curved = (1.0 / penalty.l2).sum(where=used & ridge)
        smallest = penalty.l1.min(initial=np.inf, where=used & ~ridge & (penalty.l1 > 0.0))
        tightest = error / (lams * smallest)
        squared = 0.5 * (error * error * curved / lams + tightest * tightest * solution.rss)
        doubt = error * (2.0 * length + ends) + squared + 2.0 * np.sqrt(solution.gaps * squared)
    sure = doubt <= _kernels.EXACT
    if sure.all():
        return solution
    again = np.flatnonzero(~sure)
    gaps, rss = solution.gaps.copy(), solution.rss.copy()
    coefs, rounds = solution.coefs.copy(), solution.rounds.copy()  # of all features
    source = ColumnSource(design, y)
    gaps[again], rss[again] = _gaps_on_data(design, source.values, penalty, lams[again], coefs[again])
    worse = again[~(gaps[again] <= _kernels.EXACT)]
    if len(worse):
        better = _active_set.solve_path(source, penalty, lams[worse], max_iter, coefs[worse[0]])
        gain = ~(better.gaps >= gaps[worse])  # also over a gap that is NaN
        chosen = worse[gain]
        coefs[chosen] = better.whole(design.p)[gain]
        gaps[chosen], rss[chosen] = better.gaps[gain], better.rss[gain]
        rounds[worse] += better.rounds
    return solution._replace(coefs=coefs, gaps=gaps, rss=rss, rounds=rounds)


def _with_slip(design, y, penalty, lams, solution):
    """Gaps for a dual point that is orthogonal to the features without any penalty.

    For one such feature `_kernels.duality_gaps` will do; several that are nearly dependent can hide a
    direction of descent in which each of them seems settled. The dual point is the residual without its
    projection on their span, and what the projection explains adds to the gap.
    """
    if penalty.l1.all() and lams.all():
        return solution
    unbounded = np.isinf(np.minimum(-penalty.lower, penalty.upper))
    loose = unbounded & (penalty.l1 == 0.0) & (penalty.l2 == 0.0)
    gaps = solution.gaps.copy()
    for some, mask in ((lams > 0.0, loose), (lams == 0.0, unbounded)):
        free = np.flatnonzero(mask)
        if len(free) < 2 or not some.any():
            continue
        if len(free) > LARGEST_QR:
            gaps[some] = 0.5 * solution.rss[some]  # the dual point zero
            continue
        basis = _ridge.basis(_columns(design, free))
        with np.errstate(over="ignore", invalid="ignore"):  # where rounding has driven a solution away
            coefs = solution.whole(design.p)[some]
            residuals = design.target(y)[1] - design.apply(coefs)
        slip = residuals @ basis
        found, _ = _gaps_of(design, residuals - slip @ basis.T, penalty, lams[some], coefs)
        gaps[some] = found + 0.5 * np.einsum("ij,ij->i", slip, slip)
    return solution._replace(gaps=gaps)


def _columns(design, features):
    """Some columns of Z as the rows of an array."""
    block = design.block()
    block.gather(features)
    return block.combine(np.eye(len(features)))


def _gaps_on_data(design, values, penalty, lams, coefs):
    """Duality gaps and residual norms of solutions (b, p) for a unit target, in float64 on X."""
    return _gaps_of(design, values - design.apply(coefs), penalty, lams, coefs)


def _gaps_of(design, residuals, penalty, lams, coefs):
    """Duality gaps of solutions for given dual points (b, n), and the squared norms of these."""
    rss = np.einsum("ij,ij->i", residuals, residuals)
    features = np.arange(coefs.shape[1])
    corrs = design.correlate(residuals)
    return _kernels.duality_gaps(corrs, features, coefs, lams, np.column_stack(penalty), rss)[0], rss


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
    reason = choice.reason
    for lam in np.unique(lams):
        targets, places = np.nonzero(lams == lam)
        diagonal = np.where(in_units.excluded, np.inf, lam * in_units.l2)
        found, n_iter, used = _solve_quadratic(
            design, moments, values[targets], diagonal, units.norm, max_iter, choice
        )
        found[:, in_units.excluded] = 0.0
        coefs[targets, places] = found
        rounds[targets, places] = n_iter
        reason = used.reason if used.reason != choice.reason else reason
    solutions = []
    for index in range(q):
        gaps, rss = _gaps_on_data(design, values[index], in_units, lams[index], coefs[index])
        solutions.append(_active_set.Solutions(np.arange(p), coefs[index], gaps, rss, rounds[index]))
    return _Solved([target for target, _ in pairs], solutions), choice._replace(reason=reason)


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
            gram = design.block().extend(keep) if moments is None else moments.gram[np.ix_(keep, keep)]

            def inner(coefs):
                whole = np.zeros((len(values), len(diagonal)))
                whole[:, keep] = coefs
                return gradient(whole)[:, keep]

            found = np.zeros((len(values), len(diagonal)))
            found[:, keep], n_iter = _ridge.cholesky(gram, inner, diagonal[keep], len(values))
            return found, n_iter, choice
        if choice.solver == "dual":
            return *_ridge.dual(design, values, diagonal, gradient), choice
    except _ridge.SingularError:
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


def _report(design, solved, lams, penalty, bounded, choice, factor, max_iter, tol):
    """Back to the original scale."""
    units = design.units
    q, n_lams = lams.shape
    p = len(units.norm)
    coefs = np.zeros((q, p, n_lams))
    intercepts = np.empty((q, n_lams))
    objectives = np.empty((q, n_lams))
    gaps = np.empty((q, n_lams))
    relative = np.empty((q, n_lams))
    n_iters = np.empty((q, n_lams), dtype=np.int64)
    statuses = []
    for index, (target, solution) in enumerate(zip(solved.targets, solved.solutions, strict=True)):
        scale = target.scale
        solution = _no_worse_than_zero(solution)
        nonzero = solution.coefs.any(axis=0)
        used = solution.features[nonzero]
        coef = solution.coefs[:, nonzero] * (scale / units.norm[used])
        if bounded:
            coef = np.clip(coef, penalty.lower[used], penalty.upper[used])  # the change of scale rounds
        coefs[index, used] = coef.T
        intercepts[index] = target.mean - coef @ units.mean[used]
        magnitude = np.abs(coef)
        penalties = lams[index] * (
            magnitude @ penalty.l1[used] + 0.5 * (magnitude * magnitude) @ penalty.l2[used]
        )
        with np.errstate(over="ignore"):  # the square of a huge y is infinite, its coefficients are not
            objectives[index] = factor * (0.5 * solution.rss * scale * scale + penalties)
            gaps[index] = factor * solution.gaps * scale * scale
        relative[index] = 2.0 * solution.gaps
        n_iters[index] = solution.rounds
        statuses.append(
            tuple(
                _status(gap, rounds, max_iter, tol)
                for gap, rounds in zip(relative[index].tolist(), solution.rounds.tolist(), strict=True)
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


def _no_worse_than_zero(solution):
    """Replace solutions that rounding has driven away: their gap exceeds 1/2, that of zero coefficients."""
    fine = solution.gaps <= 0.5
    if fine.all():
        return solution
    lost = ~fine
    return solution._replace(
        coefs=np.where(lost[:, None], 0.0, solution.coefs),
        gaps=np.where(lost, 0.5, solution.gaps),
        rss=np.where(lost, 1.0, solution.rss),
    )


def _remedy(rounds, max_iter):
    if rounds >= max_iter:
        return f"raise max_iter (now {max_iter})"
    return "the columns are nearly dependent at this precision: scale or drop some, or raise alpha or tol"


def _status(relative_gap, rounds, max_iter, tol):
    """One sentence on a solution."""
    if relative_gap <= ROUNDING:
        return f"optimal to rounding: relative duality gap {relative_gap:.1e}"
    if relative_gap / 2.0 <= max(tol, ROUNDING):
        return f"within tol: relative duality gap {relative_gap:.1e}"
    ended = f"stopped at max_iter={max_iter}" if rounds >= max_iter else "not within tol"
    return f"{ended}: relative duality gap {relative_gap:.1e}; {_remedy(rounds, max_iter)}"


def warn_unconverged(result, tol, max_iter, stacklevel=3):
    """Warn if a gap is above ``tol`` times the weighted mean square of the (centred) target."""
    worst = result.relative_gaps.max(initial=0.0) / 2.0
    if worst <= max(tol, ROUNDING):
        return
    remedy = _remedy(result.n_iters.max(initial=0), max_iter)
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
