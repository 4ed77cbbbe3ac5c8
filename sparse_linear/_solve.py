"""From data and penalty to solutions: which solver runs, and what is said about its answer.

`select_solver` is the one decision tree, `Data` and `fit` the one way in, `warn_unconverged` the one place
that warns.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import linalg, sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import _active_set, _kernels, _ridge, _working_sets
from sparse_linear._design import ColumnSource, make_design
from sparse_linear._moments import MomentDesign, MomentSource, Sums
from sparse_linear._penalty import make_penalty

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


class Data:
    """X and Y as the solvers see them, whatever the penalty; kept for one fit after another.

    Parameters
    ----------
    X : ndarray or CSC/CSR container of shape (n, p)
    Y : ndarray of shape (n, q), float64
    weights : ndarray of shape (n,) or None
    fit_intercept : bool
    moments : MomentDesign or None
        Where they are known already.
    """

    def __init__(self, X, Y, weights, fit_intercept, moments=None):
        self.design = make_design(X, weights, fit_intercept)
        self.Y = Y
        self.moments = moments
        self.columns = {}  # target -> ColumnSource
        if moments is not None:
            self.design.units = moments.units

    @classmethod
    def from_sums(cls, sums, fit_intercept):
        """Data of which nothing is left but the sums of its rows."""
        data = cls.__new__(cls)
        data.design = data.Y = None
        data.columns = {}
        data.moments = MomentDesign(sums, fit_intercept)
        return data

    @property
    def units(self):
        """`Units` of the columns."""
        return self.moments.units if self.design is None else self.design.units

    @property
    def weight(self):
        """Sum of the sample weights."""
        return self.moments.weight if self.design is None else self.design.weight

    @property
    def n_features(self):
        """Columns of X."""
        return len(self.moments.units.norm) if self.design is None else self.design.p

    @property
    def n_rows(self):
        """Rows with positive weight."""
        return self.moments.moments.count if self.design is None else self.design.effective_rows

    @property
    def n_targets(self):
        """Columns of y."""
        return len(self.moments.squares) if self.design is None else self.Y.shape[1]

    def reduce(self):
        """Take the moments of X and Y, for tall data."""
        if self.moments is not None:
            return
        design, Y = self.design, self.Y
        if not design.share.all():
            Y = np.where(design.share[:, None] > 0.0, Y, 0.0)  # rows without weight may hold anything
        unit_y = target_units(Y)
        sums = Sums.from_data(design.X, Y / unit_y, design.share)
        self.moments = MomentDesign(sums, design.fit_intercept, design.known_units, unit_y)
        design.units = self.moments.units  # those it had, if any

    def source(self, index):
        """What the active-set solver works on, for one target."""
        if self.moments is not None:
            return MomentSource(self.moments, index)
        if index not in self.columns:
            self.columns[index] = ColumnSource(self.design, self.Y[:, index])
        return self.columns[index]

    def forget(self):
        """Let go of what only another fit would use."""
        self.columns.clear()

    def choose(self, penalty, lams, wish="auto"):
        """Which solver fits some `lams` (q, b) under a penalty on the scale of X."""
        design, used = self.design, ~penalty.excluded
        l1 = bool((used & (penalty.l1 > 0.0)).any() and lams.any())
        if design is None:
            return Choice("active set", True, "exact active-set solver with coordinate steps, on moments")
        is_sparse = sparse.issparse(design.X)
        return select_solver(
            Problem(
                n=design.n,
                p=design.p,
                sparse=is_sparse,
                far=is_sparse and len(design.far) > 0,
                l1=l1,
                bounded=penalty.bounded,
                penalised=bool((used & (penalty.l2 > 0.0)).any() and lams.all()),
                n_lams=lams.shape[1],
                wish=wish,
            )
        )


def target_units(Y):
    """What columns of y are divided by before their moments are taken: a power of two changes no digit."""
    return 2.0 ** (np.frexp(np.abs(Y).max(axis=0))[1] - 1.0)


class Coefs(NamedTuple):
    """Coefficients of one target for b alphas, of the features that some of them use."""

    features: np.ndarray  # (k,) int64
    values: np.ndarray  # (k, b)


class Fit(NamedTuple):
    """Solutions on the original scale, for p features, q targets and b alphas."""

    p: int
    parts: tuple  # of q Coefs
    intercepts: np.ndarray  # (q, b)
    objectives: np.ndarray  # (q, b), in the scale of the estimator's objective
    gaps: np.ndarray  # (q, b), likewise
    relative_gaps: np.ndarray  # (q, b), in units of half the weighted mean square of the (centred) target
    n_iters: np.ndarray  # (q, b)
    iterative: bool  # whether `n_iters` counts anything
    solver: str
    statuses: tuple  # q tuples of b sentences

    @property
    def coefs(self):
        """Coefficients of all features, a new array of shape (q, p, b)."""
        return whole(self.parts, self.p)


def whole(parts, p):
    """Coefficients of all p features, (q, p, b), from those in use."""
    coefs = np.zeros((len(parts), p, parts[0].values.shape[1]))
    for target, part in zip(coefs, parts, strict=True):
        target[part.features] = part.values
    return coefs


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
    data,
    penalty,
    lams,
    *,
    standardize=False,
    max_iter=1000,
    sum_scaled=False,
    start=None,
    wish="auto",
    tol=np.inf,
    watch=_active_set.unwatched,
):
    """Solve for every target and every lambda.

    Parameters
    ----------
    data : Data
        With n rows, p columns and q targets.
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
    watch : callable
        Called with the number of lambdas that have been solved since it was called last.

    Returns
    -------
    Fit
    """
    if sum_scaled:
        penalty = penalty._replace(l2=penalty.l2 / data.weight)
    choice = data.choose(penalty, lams, wish)
    if choice.moments:
        data.reduce()
    if not np.isfinite(data.units.norm).all():
        at = int(np.argmax(~np.isfinite(data.units.norm)))
        raise ValueError(
            f"X must hold values below 1e150, but the squares of column {at} overflow; divide it."
        )
    bounded = penalty.bounded
    if standardize:
        penalty = penalty.per_standard_deviation(data.units.norm)
    if choice.solver == "active set":
        solved, choice = _fit_active_set(data, penalty, lams, max_iter, start, tol, watch, choice)
    else:
        moments = data.moments if choice.moments else None
        solved, choice = _fit_quadratic(data.design, moments, data.Y, penalty, lams, max_iter, choice)
    factor = 2.0 * data.weight if sum_scaled else 1.0
    return _report(data.units, solved, lams, penalty, bounded, choice, factor, max_iter, tol)


class _Solved(NamedTuple):
    """Solutions of every target in the units of the solvers."""

    targets: list  # of Target
    solutions: list  # of _active_set.Solutions


def _fit_active_set(data, penalty, lams, max_iter, start, tol, watch, choice):
    targets, solutions = [], []
    for index in range(data.n_targets):
        source = data.source(index)
        units, scale = source.units, source.target.scale or 1.0
        in_units = penalty.in_units(units, scale)
        coef = None if start is None else start[index] * (units.norm / scale)
        solution = _active_set.solve_path(source, in_units, lams[index], max_iter, coef, tol, watch)
        if data.moments is not None:
            solution = _certified(data, index, in_units, lams[index], max_iter, solution)
        solution = _with_slip(data, index, in_units, lams[index], solution)
        targets.append(source.target)
        solutions.append(solution)
    if any(solution.descent for solution in solutions):
        choice = choice._replace(reason=f"{choice.reason}; {DESCENT}")
    return _Solved(targets, solutions), choice


def _certified(data, index, penalty, lams, max_iter, solution):
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
    if data.design is None:
        # Nothing better is to be had than the bound; at lambda = 0, `_with_slip` finds its own.
        return solution._replace(gaps=solution.gaps + np.where(sure | (lams == 0.0), 0.0, doubt))
    design, y = data.design, data.Y[:, index]
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


def _with_slip(data, index, penalty, lams, solution):
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
        if data.design is None:
            gaps[some] = _slip_of_moments(data.source(index), free, penalty, lams[some], solution, some)
            continue
        design, y = data.design, data.Y[:, index]
        basis = _ridge.basis(_columns(design, free))
        with np.errstate(over="ignore", invalid="ignore"):  # where rounding has driven a solution away
            coefs = solution.whole(design.p)[some]
            residuals = design.target(y)[1] - design.apply(coefs)
        slip = residuals @ basis
        found, _ = _gaps_of(design, residuals - slip @ basis.T, penalty, lams[some], coefs)
        gaps[some] = found + 0.5 * np.einsum("ij,ij->i", slip, slip)
    return solution._replace(gaps=gaps)


def _slip_of_moments(source, free, penalty, lams, solution, some):
    """The same from moments: the projection by the Gram matrix of the features without any penalty."""
    coefs = solution.whole(len(penalty.l1))[some]
    corrs = source.start - coefs @ source.gram
    values, vectors = linalg.eigh(source.gram[np.ix_(free, free)])
    kept = values > _ridge.DEPENDENT * values.max(initial=0.0)
    parts = corrs[:, free] @ vectors[:, kept]
    slip = np.einsum("ij,ij,j->i", parts, parts, 1.0 / values[kept])
    corrs = corrs - (parts / values[kept]) @ vectors[:, kept].T @ source.gram[free]
    rss = np.maximum(solution.rss[some] - slip, 0.0)
    features = np.arange(coefs.shape[1])
    gaps, _ = _kernels.duality_gaps(corrs, features, coefs, lams, np.column_stack(penalty), rss)
    return gaps + 0.5 * slip


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


def take(fits, places):
    """One solution for each target: the fit and the place on its path are given for each of them."""
    chosen = {}
    for name in ("intercepts", "objectives", "gaps", "relative_gaps", "n_iters"):
        chosen[name] = np.array([[getattr(fits[at], name)[t, b]] for t, (at, b) in enumerate(places)])
    found = [(fits[at].parts[t], fits[at].statuses[t], b) for t, (at, b) in enumerate(places)]
    parts = tuple(part._replace(values=part.values[:, [b]]) for part, _, b in found)
    return fits[0]._replace(**chosen, parts=parts, statuses=tuple((status[b],) for _, status, b in found))


def relaxed(data, fit, penalty, relax, max_iter):
    """Blends of the solutions with the least-squares refits on their supports, ``(1 - r) w + r refit``.

    The relaxed lasso (Meinshausen 2007, Comput. Statist. Data Anal. 52) in the form of Hastie, Tibshirani and
    Tibshirani 2020 (Statist. Sci. 35), for each amount ``r`` of `relax`.

    Parameters
    ----------
    data : Data
        That the fit was made of.
    fit : Fit
    penalty : Penalty
        On the scale of X; the refit has none, but keeps within its bounds.
    relax : ndarray of shape (r,)
        In [0, 1].
    max_iter : int

    Yields
    ------
    parts : tuple of q Coefs
    intercepts : ndarray of shape (q, b)
    """
    refits = []
    for index, part in enumerate(fit.parts if relax.any() else ()):
        source = data.source(index)
        values = np.zeros_like(part.values)
        before, found = None, None
        for at, coef in enumerate(part.values.T):
            support = np.flatnonzero(coef)
            if before is None or not np.array_equal(support, before):
                before = support
                found = _refit(source, penalty, part.features[support], coef[support], max_iter)
            values[support, at] = found
        refits.append((values, source.target.mean - data.units.mean[part.features] @ values))
    for amount in relax:
        if amount == 0.0:
            yield fit.parts, fit.intercepts
            continue
        parts = tuple(
            part._replace(values=(1.0 - amount) * part.values + amount * values)
            for part, (values, _) in zip(fit.parts, refits, strict=True)
        )
        levels = np.array([level for _, level in refits])
        yield parts, (1.0 - amount) * fit.intercepts + amount * levels


def _refit(source, penalty, support, coef, max_iter):
    """Least squares on a support (k,), within the bounds, on the scale of X; `coef` is where to start."""
    if len(support) == 0:
        return np.empty(0)
    units, scale = source.units, source.target.scale
    if penalty.bounded:
        p = len(penalty.lower)
        lower, upper, start = np.zeros((3, p))
        lower[support], upper[support] = penalty.lower[support], penalty.upper[support]
        start[support] = coef * (units.norm[support] / scale)
        free = make_penalty(p, 0.0, 0.0, None, lower, upper).in_units(units, scale)
        solution = _active_set.solve_path(source, free, np.zeros(1), max_iter, start).whole(p)[0]
        refit = solution[support] * (scale / units.norm[support])
        return np.clip(refit, lower[support], upper[support])
    gram, corrs, correlate = source.normal_equations(support)
    try:
        solution, _ = _ridge.cholesky(gram, lambda rows: correlate(rows[0])[None], np.zeros(len(support)), 1)
        solution = solution[0]
    except _ridge.SingularError:
        solution = linalg.lstsq(gram, corrs, cond=_ridge.DEPENDENT, check_finite=False)[0]
    return solution * (scale / units.norm[support])


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


def _report(units, solved, lams, penalty, bounded, choice, factor, max_iter, tol):
    """Back to the original scale."""
    q, n_lams = lams.shape
    parts = []
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
        parts.append(Coefs(used, coef.T))
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
        len(units.norm),
        tuple(parts),
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
