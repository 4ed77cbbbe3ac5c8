"""From data and penalty to solutions: which solver runs, and what is said about its answer.

`select_solver` is the one decision tree, `Data` and `fit` the one way in, `warn_unconverged` the one place
that warns of gaps.
"""

import warnings
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import _active_set, _ridge, _working_sets
from sparse_linear import _compiled as _kernels
from sparse_linear._design import ColumnSource, Target, columns_of, make_design
from sparse_linear._moments import MomentDesign, MomentSource, Sums, scaled_targets
from sparse_linear._penalty import make_penalty

# A relative gap below this is rounding: a smaller `tol` cannot be told from it.
ROUNDING = 1e-13
# An l1 penalty, in the units of correlations, below which these may be wrong by a share of it that counts.
FAINT = 1e-9
# Rounding of a correlation.
UNSURE = 4.0 * np.finfo(np.float64).eps
# A feature whose correlation with the residual, both of unit length, is below this is at rest.
SETTLED = 1e-17
# Normal equations with more unknowns than this are not formed (they would take 3 GB).
LARGEST_GRAM = 20_000
# More unknowns than this are not factored orthogonally.
LARGEST_QR = 4_000
# Nor those of wide data, for a certificate only.
LARGEST_WIDE = 1_000
# Sparse X: with at most this many unknowns, normal equations are formed without trying iterations first;
# with at most this many, many lambdas share their eigendecomposition.
SMALL_GRAM = 500
LARGEST_SPECTRUM = 4_000
# Conjugate gradients are given this many iterations, and as many more as take the time of a Cholesky factor;
# `COST_RATIO` is the work per stored entry and iteration in units of m^3 / 3 for m unknowns.
PATIENCE = 50
COST_RATIO = 360
# Up to how many columns a tall X is reduced to its moments for a path; for the folds of a cross-validation,
# which share the reading of its rows; and where only few lambdas are asked for.
PATH_MOMENTS, FOLD_MOMENTS, FEW_MOMENTS = 1024, 4096, 128
# Elements of targets, residuals or coefficients that are in work at a time: 64 MB.
BATCH = 1 << 23


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
    stored: int = 0  # entries of a sparse X
    n_fits: int = 1  # to weights of the same rows, which are read once for all of them


class Choice(NamedTuple):
    """A solver: how it is called inside, where it takes X from, and what it is, in words."""

    solver: str  # "active set", "cholesky", "dual", "cg", "qr", "svd", "lsmr"
    moments: bool  # whether X is reduced to its moments first
    reason: str
    limit: float = np.inf  # of iterations, if something else takes over after that many
    after: Any = None  # the Choice that takes over
    aside: str = ""  # of a solver that a user asked for, and did not get


class Data:
    """X and Y as the solvers see them, whatever the penalty; kept for one fit after another.

    Parameters
    ----------
    X : ndarray or CSC/CSR container of shape (n, p)
    Y : ndarray of shape (n, q), float64
    weights : ndarray of shape (n,) or None
    fit_intercept : bool
    n_fits : int
        How many fits, of which this is one, differ in nothing but their weights.
    """

    def __init__(self, X, Y, weights, fit_intercept, n_fits=1):
        self.design = make_design(X, weights, fit_intercept)
        self.Y = Y
        self.n_fits = n_fits
        self.moments: Any = None  # a MomentDesign, if X has been reduced to it
        self.columns: dict[int, Any] = {}  # target -> ColumnSource
        self.factor: Any = None  # of the last quadratic fit

    @classmethod
    def from_sums(cls, sums, fit_intercept):
        """Data of which nothing is left but the sums of its rows."""
        data = cls.__new__(cls)
        data.design = data.Y = None
        data.columns = {}
        data.factor = None
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
        return self.moments.count if self.design is None else self.design.effective_rows

    @property
    def n_targets(self):
        """Columns of y."""
        return len(self.moments.squares) if self.design is None else self.Y.shape[1]

    @property
    def diagonalised(self):
        """Whether what was factored last serves any lambda."""
        return isinstance(getattr(self.factor, "inverse", None), _ridge.EigenInverse)

    def reduce(self):
        """Take the moments of X and Y, for tall data."""
        if self.moments is None:
            Y, unit_y = scaled_targets(self.Y, self.design.share)
            self.use(Sums.from_data(self.design.X, Y, self.design.share), unit_y)

    def use(self, sums, unit_y):
        """Take the sums of the rows as they are known, targets in units of `unit_y` (q,).

        Units that the design has already stay; those of sparse columns are always its own, since centring
        by subtraction cannot tell a constant column from rounding.
        """
        design = self.design
        units = design.units if sparse.issparse(design.X) else design.known_units
        self.moments = MomentDesign(sums, design.fit_intercept, units, unit_y)
        design.units = self.moments.units

    def prepare(self, penalty, n_lams):
        """Reduce the data, if that is what a fit for so many lambdas will do, before a grid is asked for."""
        if self.choose(penalty, np.ones((1, n_lams))).moments:
            self.reduce()

    def source(self, index):
        """What the active-set solver works on, for one target."""
        if self.moments is not None:
            return MomentSource(self.moments, index)
        if index not in self.columns:
            self.columns[index] = ColumnSource(self.design, self.Y[:, index])
        return self.columns[index]

    def conditioning(self, penalty, standardize):
        """What gives the `_ridge.Spectrum` of the data of the last fit, as its penalty sees them.

        From the factorisation of the fit, or from singular values if it was singular. Without either, as for
        bounds, from the moments; unknown if there are none.
        """
        if self.factor is not None:
            return self.factor.conditioning()
        l2 = penalty.ridge_in_units(self.units, self.weight, standardize)
        if self.design is not None and not penalty.bounded and not sparse.issparse(self.design.X):
            return _ridge.exact_spectrum(self.design, l2)
        if self.moments is None:
            return _ridge.UNKNOWN
        try:
            return _ridge.Primal(self.design, self.moments.gram, l2).conditioning()
        except _ridge.SingularError:
            return _ridge.UNKNOWN

    def forget(self):
        """Let go of what only another fit would use, and can be had again."""
        self.columns.clear()
        if self.design is not None:
            self.moments = None

    def choose(self, penalty, lams, wish="auto"):
        """Which solver fits some `lams` (q, b) under a penalty on the scale of X."""
        design, outline = self.design, penalty.outline()
        if design is None:
            choice = Choice("active set", True, "exact active-set solver with coordinate steps, on moments")
            return _beside(choice, wish, "which is not for moments")
        is_sparse = sparse.issparse(design.X)
        return select_solver(
            Problem(
                n=design.n,
                p=design.p,
                sparse=is_sparse,
                far=is_sparse and len(design.far) > 0,
                l1=outline.l1 and bool(lams.any()),
                bounded=outline.bounded,
                penalised=outline.l2 and bool(lams.all()),
                n_lams=lams.shape[1],
                wish=wish,
                stored=design.X.nnz if is_sparse else 0,
                n_fits=self.n_fits,
            )
        )


class Coefs(NamedTuple):
    """Coefficients of one target for b alphas, of the features that some of them use."""

    features: np.ndarray  # (k,) int64
    values: np.ndarray  # (k, b)


class Fit(NamedTuple):
    """Solutions on the original scale, for p features, q targets and b alphas."""

    p: int
    parts: tuple[Coefs, ...]  # q of them
    intercepts: np.ndarray  # (q, b)
    objectives: np.ndarray  # (q, b), in the scale of the estimator's objective
    gaps: np.ndarray  # (q, b), likewise
    relative_gaps: np.ndarray  # (q, b), in units of half the weighted mean square of the (centred) target
    n_iters: np.ndarray  # (q, b)
    iterative: bool  # whether `n_iters` counts anything
    solver: str
    max_iter: int
    tol: float

    @property
    def statuses(self):
        """A sentence on each solution, q times b of them; those of most folds are never read."""
        return tuple(
            tuple(_status(*one, self.max_iter, self.tol) for one in zip(gaps, rounds, strict=True))
            for gaps, rounds in zip(self.relative_gaps.tolist(), self.n_iters.tolist(), strict=True)
        )

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
           ├─ no penalty:  dense: svd if n < 2p;  sparse: lsmr if n < p
           ├─ "svd" was asked for and X is dense: svd
           ├─ both n and p too large for a factor, or an iterative solver was asked for and X is sparse: cg
           ├─ sparse, and a factor takes longer than some iterations: cg, and a factor if they do not do
           ├─ p <= n: cholesky of the (p, p) system
           └─ n < p:  cholesky of the (n, n) system ("dual")
        Many lambdas share an eigendecomposition of either system instead of a Cholesky factor each.
        A system that is singular to working precision goes to qr (sparse X: lsmr; very wide X, or a penalty
        that is faint: svd).

    Parameters
    ----------
    problem : Problem

    Returns
    -------
    Choice
    """
    choice = _best(problem)
    if problem.wish == "auto":
        return choice
    after = choice.after and _with_aside(choice.after, problem)
    return _with_aside(choice, problem)._replace(after=after)


def _with_aside(choice, problem):
    """A choice with what is to be said if a user asked for another solver."""
    wish, solver = problem.wish, choice.solver
    if wish in ("sag", "saga", "lbfgs"):
        return _beside(choice, wish, "which stops at a tolerance")
    if solver in {"cholesky": ("cholesky", "dual"), "svd": ("svd",)}.get(wish, ("cg", "lsmr")):
        return choice
    if solver == "active set":
        return _beside(choice, wish, "which knows no bounds")
    if wish == "svd":
        return _beside(choice, wish, "which would make X dense")
    if wish == "cholesky":
        why = "whose factor takes longer, or more memory" if solver == "cg" else "which needs a penalty"
        return _beside(choice, wish, why)
    return _beside(choice, wish, "which needs a penalty" if problem.sparse else "which is for sparse X")


def _beside(choice, wish, why):
    """A choice with the reason why a user got it for another one."""
    return choice if wish == "auto" else choice._replace(aside=f"; not solver={wish!r}, {why}")


def _best(problem):
    """The choice, without a word on what was asked for."""
    n, p = problem.n, problem.p
    if problem.l1 or problem.bounded:
        what = "exact active-set solver with coordinate steps"
        # The Gram matrix of all columns costs n p^2; the other way costs n p per pass over X and n |W|^2 for
        # a working set W, whose columns are copied. Sparse X of many columns is smaller than their Gram.
        shared = problem.n_fits > 1 and not problem.sparse
        most = FEW_MOMENTS if problem.n_lams < 10 else FOLD_MOMENTS if shared else PATH_MOMENTS
        tall = p <= 64 or (n >= 2 * p and p <= most)
        if tall and not problem.far:
            shape = "is tall" if n >= 2 * p else "has few columns"
            return Choice("active set", True, f"{what}, on the moments of X because X {shape} (n={n}, p={p})")
        return Choice("active set", False, f"{what}, on working sets of the columns of X (n={n}, p={p})")
    if not problem.penalised:
        if problem.sparse and (p > n or problem.far):
            return Choice(
                "lsmr", False, "LSMR iterations: no penalty, and X is sparse; the shortest solution"
            )
        if not problem.sparse and n < 2 * p:
            return Choice("svd", False, "singular values of X: no penalty; the shortest solution")
    if problem.wish == "svd" and not problem.sparse:
        return Choice("svd", False, "singular values of X, as asked for")
    direct = None
    if p <= n and p <= LARGEST_GRAM:
        reason = f"Cholesky factor of the {p} x {p} normal equations, refined on X"
        direct = Choice("cholesky", not problem.far, reason)
    elif n <= LARGEST_GRAM:
        direct = Choice("dual", False, f"Cholesky factor of the {n} x {n} dual system, refined on X")
    if not problem.penalised:
        return direct or Choice("lsmr", False, "LSMR iterations: no penalty, and X is sparse")
    name = "conjugate gradients with implicit centring"
    if direct is None or (problem.sparse and problem.wish in ("lsqr", "sparse_cg")):
        why = "X is large in both directions" if direct is None else "as asked for"
        return Choice("cg", False, f"{name}: {why}")
    smaller = min(n, p)
    if problem.sparse and smaller > SMALL_GRAM and (problem.n_lams == 1 or smaller > LARGEST_SPECTRUM):
        limit = PATIENCE + smaller**3 / (COST_RATIO * problem.stored)
        after = direct._replace(reason=f"{direct.reason}, after {limit:.0f} conjugate gradients did not do")
        return Choice("cg", False, f"{name}: X is sparse, and it took few of them", limit, after)
    return direct


@np.errstate(over="ignore")  # an infinite penalty holds its feature at zero
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
    watch=_working_sets.unwatched,
):
    """Solve for every target and every lambda.

    Parameters
    ----------
    data : Data
        With n rows, p columns and q targets.
    penalty : Penalty
        On the scale of X.
    lams : ndarray of shape (q, b)
        Decreasing along each row, where there is an l1 penalty or a bound.
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
        Called with the number of lambdas that have been solved since it was called last; may raise, to stop.

    Returns
    -------
    Fit
    """
    if sum_scaled:
        penalty = penalty.with_l2(penalty.l2 / data.weight)
    choice = data.choose(penalty, lams, wish)
    if choice.moments:
        data.reduce()
    if choice.solver == "active set":
        solved, choice = _fit_active_set(
            data, penalty, standardize, lams, max_iter, start, tol, watch, choice
        )
    else:
        moments = data.moments if choice.moments else None
        solved, choice = _fit_quadratic(data, moments, penalty, standardize, lams, max_iter, choice)
    factor = 2.0 * data.weight if sum_scaled else 1.0
    return _report(data.units, solved, lams, penalty, standardize, choice, factor, max_iter, tol)


class _Solved(NamedTuple):
    """Solutions of every target in the units of the solvers."""

    targets: list[Target]
    solutions: list[_active_set.Solutions]


def _without_negligible(penalty, lams):
    """The penalty in units, without ridge penalties that are worth less than rounding of a correlation."""
    largest = lams.max()
    if largest * penalty.l2.min(initial=np.inf) >= _kernels.NEGLIGIBLE or not penalty.l2.any():
        return penalty
    return penalty.with_l2(np.where(largest * penalty.l2 < _kernels.NEGLIGIBLE, 0.0, penalty.l2))


def _in_units(coef, norm, scale):
    """Where to start, as the solvers see it: zero where that overflows, and where it is zero in any units."""
    found = coef / scale * norm
    return np.where(np.isfinite(found), found, 0.0)


def _fit_active_set(data, penalty, standardize, lams, max_iter, start, tol, watch, choice):
    targets, solutions = [], []
    for index in range(data.n_targets):
        source = data.source(index)
        units, scale = source.units, source.target.scale or 1.0
        in_units = _without_negligible(penalty.in_units(units, scale, standardize), lams[index])
        coef = None if start is None else _in_units(start[index], units.norm, scale)
        solution = _active_set.solve_path(source, in_units, lams[index], max_iter, coef, tol, watch)
        if data.moments is not None:
            solution = _certified(data, index, in_units, lams[index], max_iter, solution, watch)
        solution = _with_slip(data, index, in_units, lams[index], solution)
        targets.append(source.target)
        solutions.append(solution)
    for manner in dict.fromkeys(solution.manner for solution in solutions if solution.manner):
        choice = choice._replace(reason=f"{choice.reason}; {manner}")
    return _Solved(targets, solutions), choice


def _certified(data, index, penalty, lams, max_iter, solution, watch):
    """Solutions from moments: those whose certificate rounding could touch are certified on X itself."""
    doubt = _doubt(penalty, lams, solution.coefs, solution.rss, solution.gaps)
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
    height = max(1, BATCH // max(design.n, design.p))
    for first in range(0, len(again), height):
        some = again[first : first + height]
        gaps[some], rss[some] = _gaps_on_data(design, source.values, penalty, lams[some], coefs[some])
        watch(0)
    worse = again[~(gaps[again] <= _kernels.EXACT)]
    if len(worse):
        better = _active_set.solve_path(
            source, penalty, lams[worse], max_iter, coefs[worse[0]], watch=lambda count: watch(0)
        )
        gain = ~(better.gaps >= gaps[worse])  # also over a gap that is NaN
        chosen = worse[gain]
        coefs[chosen] = better.whole(design.p)[gain]
        gaps[chosen], rss[chosen] = better.gaps[gain], better.rss[gain]
        rounds[worse] += better.rounds
    return solution._replace(coefs=coefs, gaps=gaps, rss=rss, rounds=rounds)


def _doubt(penalty, lams, coefs, rss, gaps):
    """By how much duality gaps (b,) may be larger than moments say: see `_kernels.doubt`."""
    return _kernels.doubt(penalty.distinct, _ridge.PRODUCT_ERROR, lams, coefs, rss, gaps)


def _with_slip(data, index, penalty, lams, solution):
    """Gaps for a dual point that is orthogonal to the features that nothing holds back, or next to nothing.

    The former have no penalty, and no bound on the side they are pulled to. For one of them
    `_kernels.duality_gaps` will do; several that are nearly dependent can hide a direction of descent in
    which each of them seems settled.

    Next to nothing is an l1 penalty so small that rounding decides whether a correlation exceeds it. By
    ``UNSURE / l1`` the residual may have to shrink to be a dual point, which costs half its square times that
    of the residual; or the point is orthogonal to such features too, whichever costs less.
    """
    if lams.min() * penalty.l1.min(initial=1.0) >= FAINT or lams.min() * penalty.outline().weakest >= FAINT:
        return solution
    with np.errstate(invalid="ignore"):  # an infinite penalty times 0
        l1, l2 = lams[:, None] * penalty.l1, lams[:, None] * penalty.l2
    loose = ~penalty.excluded & (l2 < _kernels.NEGLIGIBLE)
    loose &= np.isinf(np.maximum(-penalty.lower, penalty.upper))
    flat, faint = loose & (l1 == 0.0), loose & (l1 < FAINT)
    gaps = solution.gaps.copy()
    several = np.flatnonzero(flat.sum(axis=1) > 1)
    if len(several):
        gaps[several] = _gaps_beside(data, index, penalty, l1, lams, solution, flat, several)
    hidden = np.flatnonzero((faint & ~flat).any(axis=1))
    if len(hidden):
        share = np.minimum(UNSURE / np.where(faint & ~flat, l1, np.inf)[hidden].min(axis=1), 1.0)
        known = gaps[hidden] + 0.5 * share * share * solution.rss[hidden]
        gaps[hidden] = np.fmin(known, _gaps_beside(data, index, penalty, l1, lams, solution, faint, hidden))
    return solution._replace(gaps=gaps)


def _gaps_beside(data, index, penalty, l1, lams, solution, loose, some):
    """Gaps of some solutions for dual points that are orthogonal to features (b, p) as far as is needed.

    The dual point is the residual without its projection on the span of those that are in use, or without any
    penalty, or pulled by it beyond their penalty; what the projection explains adds to the gap. "Dependent"
    means to working precision, as in the rank of a matrix: directions in which X has nothing but rounding are
    not those of descent.
    """
    loose, l1, lams, coefs = loose[some], l1[some], lams[some], solution.whole(data.n_features)[some]
    if data.design is None:
        source = data.source(index)
        rest = _RestOfMoments(source.gram, source.start - coefs @ source.gram, solution.rss[some])
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # where rounding has driven a solution away
            target = data.design.target(data.Y[:, index])[1]
            rest = _RestOfData(data.design, target - data.design.apply(coefs))
    gone = np.zeros_like(loose)
    more = loose & ((l1 == 0.0) | (coefs != 0.0)) & (coefs > penalty.lower) & (coefs < penalty.upper)
    while True:
        gone |= more
        corrs, rss, slip = rest.without(gone)
        pulled = np.isinf(np.where(corrs > 0.0, penalty.upper, penalty.lower))
        more = loose & pulled & (np.abs(corrs) > np.maximum(SETTLED, l1)) & ~gone
        if not more.any():
            break
    corrs[gone & (l1 > 0.0) & (np.abs(corrs) < UNSURE)] = 0.0  # rounding of what was taken away
    return _gaps_from(corrs, penalty, lams, coefs, rss) + 0.5 * slip


def _with_excess(data, penalty, lams, solutions):
    """Gaps of quadratic problems from the curvature of the objective, where the penalty alone leaves a doubt.

    It does where columns that have none are nearly dependent, see `_with_slip`, and where it is so faint that
    the rounding of a correlation, divided by it, is no small number.
    """
    design = data.design
    small = design.n * design.p <= BATCH
    largest = LARGEST_QR if design.n >= design.p else LARGEST_WIDE
    if design.p > largest or (sparse.issparse(design.X) and not small):  # no factor
        if not small:
            return solutions
        return [_with_slip(data, index, penalty, lams[index], one) for index, one in enumerate(solutions)]
    with np.errstate(invalid="ignore"):  # an infinite penalty times 0
        diagonals = np.where(penalty.excluded, np.inf, lams[:, :, None] * penalty.l2)
    diagonals[diagonals < _kernels.NEGLIGIBLE] = 0.0
    gaps, coefs = (np.array([getattr(one, name) for one in solutions]) for name in ("gaps", "coefs"))
    doubt = ((diagonals == 0.0).sum(axis=2) > 1) | ~(gaps <= _kernels.EXACT)
    places = np.nonzero(doubt & np.isfinite(coefs).all(axis=2))
    if len(places[0]):
        some, which = np.unique(places[0], return_inverse=True)
        targets = np.array([design.target(y)[1] for y in data.Y.T[some]])
        corrs, _ = design.gradients(targets, which, coefs[places])
        gaps[places] = _ridge.excess(design, diagonals[places], coefs[places], corrs)
    return [one._replace(gaps=found) for one, found in zip(solutions, gaps, strict=True)]


class _RestOfData(NamedTuple):
    """Residuals on the rows of the data."""

    design: Any
    residuals: np.ndarray  # (b, n)

    def without(self, loose):
        """The part orthogonal to the features (b, p) that are loose for each residual.

        Returns its correlations (b, p) and squared norms (b,), and the squared norms (b,) of the other part.
        """
        points, slip = self.residuals.copy(), np.zeros(len(loose))
        for rows, free in _groups(loose):
            if len(free) > LARGEST_QR:  # no basis: nothing is left
                part = points[rows]
                points[rows] = 0.0
            else:
                basis = _ridge.basis(columns_of(self.design, free))
                part = self.residuals[rows] @ basis
                points[rows] -= part @ basis.T
            slip[rows] = np.einsum("ij,ij->i", part, part)
        return self.design.correlate(points), np.einsum("ij,ij->i", points, points), slip


class _RestOfMoments(NamedTuple):
    """The same from moments: the projection by the Gram matrix of the loose features."""

    gram: np.ndarray  # (p, p)
    corrs: np.ndarray  # (b, p)
    rss: np.ndarray  # (b,)

    def without(self, loose):
        """What `_RestOfData.without` returns."""
        corrs, slip = self.corrs.copy(), np.zeros(len(loose))
        for rows, free in _groups(loose):
            values, vectors = linalg.eigh(self.gram[np.ix_(free, free)])
            # Where features are dependent as far as moments can tell, the residual may still pull.
            values = np.maximum(values, _ridge.DEPENDENT)
            parts = corrs[np.ix_(rows, free)] @ vectors
            slip[rows] = np.einsum("ij,ij,j->i", parts, parts, 1.0 / values)
            corrs[rows] -= (parts / values) @ vectors.T @ self.gram[free]
        return corrs, np.maximum(self.rss - slip, 0.0), slip


def _groups(masks):
    """Rows that are alike, and the places where they are true, if there are any."""
    distinct, group = np.unique(masks, axis=0, return_inverse=True)
    for at, mask in enumerate(distinct):
        if mask.any():
            yield np.flatnonzero(group.ravel() == at), np.flatnonzero(mask)


def _gaps_on_data(design, values, penalty, lams, coefs):
    """Duality gaps and residual norms of solutions (b, p) for a unit target, in float64 on X."""
    residuals = values - design.apply(coefs)
    rss = np.einsum("ij,ij->i", residuals, residuals)
    return _gaps_from(design.correlate(residuals), penalty, lams, coefs, rss), rss


def _gaps_from(corrs, penalty, lams, coefs, rss):
    """Duality gaps (b,) from the correlations of all features with the dual points, and their norms."""
    features = np.arange(coefs.shape[1])
    return _kernels.duality_gaps(corrs, features, coefs, lams, penalty.rules, rss)[0]


def take(fits, places):
    """One solution for each target: the fit and the place on its path are given for each of them."""
    chosen = {}
    for name in ("intercepts", "objectives", "gaps", "relative_gaps", "n_iters"):
        rows = [getattr(fits[at], name)[t : t + 1, b : b + 1] for t, (at, b) in enumerate(places)]
        chosen[name] = np.concatenate(rows)
    found = [(fits[at].parts[t], b) for t, (at, b) in enumerate(places)]
    return fits[0]._replace(
        **chosen, parts=tuple(Coefs(part.features, part.values[:, [b]]) for part, b in found)
    )


def relaxed(data, fit, penalty, relax, max_iter, watch=_working_sets.unwatched):
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
    watch : callable
        Called with 0 before each refit; may raise, to stop.

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
        factor = _ridge.SupportFactor(source.gram_of)
        for at, coef in enumerate(part.values.T):
            support = np.flatnonzero(coef)
            if before is None or not np.array_equal(support, before):
                watch(0)
                before = support
                found = _refit(source, factor, penalty, part.features[support], coef[support], max_iter)
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


def _refit(source, factor, penalty, support, coef, max_iter):
    """Least squares on a support (k,), within the bounds, on the scale of X; `coef` is where to start.

    `factor` is a `_ridge.SupportFactor`, which goes from one support to the next.
    """
    if len(support) == 0:
        return np.empty(0)
    units, scale = source.units, source.target.scale
    if penalty.bounded:
        p = len(penalty.lower)
        lower, upper, start = np.zeros((3, p))
        lower[support], upper[support] = penalty.lower[support], penalty.upper[support]
        start[support] = _in_units(coef, units.norm[support], scale)
        free = make_penalty(p, 0.0, 0.0, None, lower, upper).in_units(units, scale)
        solution = _active_set.solve_path(source, free, np.zeros(1), max_iter, start).whole(p)[0]
        refit = solution[support] * (scale / units.norm[support])
        return np.clip(refit, lower[support], upper[support])
    corrs = source.start[support]
    try:
        factor.turn_to(support)
        solution = factor.solve(corrs)
        solution += factor.solve(source.corrs_left(support, solution))  # that rounding has left over
    except _ridge.SingularError:
        gram = source.gram_of(support)
        solution = linalg.lstsq(gram, corrs, cond=_ridge.DEPENDENT, check_finite=False)[0]
    return solution * (scale / units.norm[support])


def _fit_quadratic(data, moments, penalty, standardize, lams, max_iter, choice):
    """Quadratic problems: one factorisation for all targets that share a lambda, or for all lambdas.

    Targets are solved in batches of at most `BATCH` elements, whatever their number.
    """
    design, Y = data.design, data.Y
    q, n_lams = lams.shape
    rules = _without_negligible(penalty.in_units(design.units, 1.0, standardize), lams)
    l2 = rules.ridge
    p = len(l2)
    coefs = np.zeros((q, n_lams, p))
    gaps, rss = np.empty((2, q, n_lams))
    rounds = np.zeros((q, n_lams), dtype=np.int64)
    targets: list[Any] = [None] * q
    distinct = np.array(sorted(set(lams.ravel().tolist())))  # of a few, faster than `np.unique`
    if len(distinct) > _ridge.MANY or data.diagonalised:
        groups = [(distinct, np.ones(lams.shape, dtype=bool))]
    else:
        groups = [(distinct[[at]], lams == lam) for at, lam in enumerate(distinct)]
    height = max(1, BATCH // max(design.n, p))
    reported = choice
    for group, members in groups:
        solver = _QuadraticSolver(data, moments, l2, group, max_iter, choice)
        for top in range(0, q, max(1, height // n_lams)):
            some = slice(top, top + max(1, height // n_lams))
            columns = _Columns(design, Y, moments, some)
            targets[some] = columns.targets
            rows, places = np.nonzero(members[some])
            for first in range(0, len(rows), height):
                row, place = rows[first : first + height], places[first : first + height]
                at = top + row, place
                coefs[at], gaps[at], rss[at], rounds[at] = solver.solve(columns, lams[at], rules, row)
        data.factor = solver.factor
        reported = solver.choice if solver.choice != choice else reported
        if solver.choice == choice.after:
            choice = solver.choice  # what took too long once is not tried again
    features = np.arange(p)
    solutions = [
        _active_set.Solutions(features, coefs[index], gaps[index], rss[index], rounds[index])
        for index in range(q)
    ]
    if reported.solver in ("svd", "qr", "lsmr"):  # dependent columns, or nearly
        solutions = _with_excess(data, rules, lams, solutions)
    return _Solved(targets, solutions), reported


class _Columns:
    """Some columns of y as the solvers see them.

    Parameters
    ----------
    design : DenseDesign or SparseDesign
    Y : ndarray of shape (n, q)
    moments : MomentDesign or None
    some : slice
        Of the columns of Y.

    Attributes
    ----------
    targets : list of Target
    squares : ndarray of shape (k,)
        Squared lengths of `values`.
    corrs : ndarray of shape (k, p) or None
        Correlations with all columns of X, where they are known.
    """

    def __init__(self, design, Y, moments, some):
        self.design, self.Y, self.corrs = design, Y[:, some], None
        if moments is None:
            self.targets = [target for target, _ in self._pairs]
        else:
            self.targets = [moments.target(index) for index in range(Y.shape[1])[some]]
            pairs = zip(self.targets, moments.corrs[:, some].T, strict=True)
            self.corrs = np.array([target.divided(column) for target, column in pairs])
        self.squares = np.array([float(target.scale > 0.0) for target in self.targets])

    @cached_property
    def _pairs(self):
        return [self.design.target(y) for y in self.Y.T]

    @cached_property
    def values(self):
        """Unit vectors (k, n), made when they are asked for: moments may be all that a fit needs."""
        return np.array([unit for _, unit in self._pairs])


class _QuadraticSolver:
    """A factorisation for some lambdas, and what takes over where it does not lead to the answer.

    Parameters
    ----------
    data : Data
    moments : MomentDesign or None
    l2 : ndarray of shape (p,)
        Penalties in the units of the solvers, infinite for excluded features.
    lams : ndarray of shape (b,)
    max_iter : int
    choice : Choice

    Attributes
    ----------
    choice : Choice
        What ran in the end.
    factor : Primal, Dual, Conjugate, DualConjugate or None
    """

    def __init__(self, data, moments, l2, lams, max_iter, choice):
        self.data, self.moments = data, moments
        self.l2, self.lams = l2, lams
        self.max_iter = max_iter
        self.choice = choice
        known = data.factor is not None and np.array_equal(data.factor.l2, l2)
        self.factor: Any = data.factor if known else None
        self._prepare()

    def _prepare(self):
        """Factor, if the solver at hand does that."""
        if self.choice.solver not in ("cholesky", "dual", "cg"):
            return
        design = self.data.design
        try:
            if self.choice.solver == "dual" and self._hardly_penalised():
                raise _ridge.SingularError
            if self.choice.solver == "cg":
                limit = self.choice.limit
                self.factor = _ridge.conjugate(
                    design, self.l2, self.lams, min(self.max_iter, limit), limit >= self.max_iter
                )
            elif self.factor is None and self.choice.solver == "dual":
                self.factor = _ridge.Dual(design, self.l2)
            elif self.factor is None:
                every = np.arange(design.p)
                gram = design.block().extend(every) if self.moments is None else self.moments.gram
                self.factor = _ridge.Primal(design, gram, self.l2)
            self.factor.prepare(self.lams)
        except _ridge.SingularError:
            self._fall_back()

    def _hardly_penalised(self):
        """Whether dual coefficients, the residual divided by lambda, would overflow, or are rounding."""
        lam = self.lams.min()
        largest = self.l2.max(initial=0.0, where=np.isfinite(self.l2))
        overflows = lam < np.finfo(np.float64).tiny / _kernels.NEGLIGIBLE
        return overflows or lam * largest < _kernels.NEGLIGIBLE

    def _fall_back(self):
        """Do without normal equations, which are singular to working precision."""
        solver, name = "qr", "orthogonal factorisation"
        if sparse.issparse(self.data.design.X):
            solver, name = "lsmr", "LSMR iterations"
        elif self.data.design.p > LARGEST_QR or _ridge.is_faint(
            self.l2[np.isfinite(self.l2)] * self.lams.max()
        ):
            solver, name = "svd", "singular values of X"
        reason = f"{name}: the normal equations are singular to working precision"
        self.choice = Choice(solver, False, reason, aside=self.choice.aside)
        self.factor = None

    def solve(self, columns, lams, rules, which):
        """Coefficients (b, p), gaps, squared residuals and steps (b,).

        Parameters
        ----------
        columns : _Columns
            The targets.
        lams : ndarray of shape (b,)
        rules : Penalty
            In the units of the solvers.
        which : ndarray of shape (b,), int
            The target of each lambda.
        """
        design, l2 = self.data.design, self.l2
        if not np.isfinite(l2).any():
            nothing = np.zeros((len(lams), len(l2)))
            return nothing, *_gaps_on_data(design, columns.values[which], rules, lams, nothing), 1
        if self.choice.solver in ("cholesky", "dual", "cg"):
            try:
                found, gaps = self._factored(columns, lams, rules, which)
                if self.choice.solver == "cg" or (gaps <= _kernels.EXACT).all():
                    return found.coefs, gaps, found.rss, found.steps
                self._fall_back()
            except _ridge.SlowError:
                self.choice = self.choice.after
                self.factor = self.data.factor = None
                self._prepare()
                return self.solve(columns, lams, rules, which)
        values = columns.values[which]
        coefs = np.zeros((len(values), len(l2)))
        rounds = np.ones(len(values), dtype=np.int64)
        for lam in np.unique(lams):
            rows = lams == lam
            with np.errstate(invalid="ignore"):
                diagonal = np.where(np.isfinite(l2), lam * l2, np.inf)
            diagonal[diagonal < _kernels.NEGLIGIBLE] = 0.0  # for this lambda, if not for all
            coefs[rows], rounds[rows] = self._without_factor(values[rows], diagonal)
        coefs[:, ~np.isfinite(l2)] = 0.0
        return coefs, *_gaps_on_data(design, values, rules, lams, coefs), rounds

    def _factored(self, columns, lams, rules, which):
        """`_ridge.Refined` solutions and their gaps: from inner products, or from X if these leave a doubt.

        Those of sparse X are centred by a subtraction, and it is read soon: there is always a doubt.
        """
        found = None
        if not (self.factor.iterative or sparse.issparse(self.data.design.X)):
            found = self.factor.settled(columns, lams, which)
        if found is not None:
            gaps = _gaps_from(found.corrs, rules, lams, found.coefs, found.rss)
            if (gaps + _doubt(rules, lams, found.coefs, found.rss, gaps) <= _kernels.EXACT).all():
                return found, gaps
        found = self.factor.refined(columns.values, lams, columns.corrs, which)
        gaps = _gaps_from(found.corrs, rules, lams, found.coefs, found.rss)
        if isinstance(self.factor, _ridge.Primal) and not (gaps <= _kernels.EXACT).all():
            gaps = np.fmin(gaps, self.factor.excess(found.coefs, found.corrs, lams))  # see `_with_excess`
        return found, gaps

    def _without_factor(self, values, diagonal):
        design, norm = self.data.design, self.data.design.units.norm
        if self.choice.solver == "qr" and not _ridge.is_faint(diagonal):
            return _ridge.qr(design, values, diagonal)
        if self.choice.solver in ("qr", "svd"):
            return _ridge.svd(design, values, diagonal, norm)
        return _ridge.iterate(design, values, diagonal, norm, self.max_iter)


def _report(units, solved, lams, penalty, standardize, choice, factor, max_iter, tol):
    """Back to the original scale."""
    q, n_lams = lams.shape
    parts = []
    intercepts, objectives, gaps, relative = np.empty((4, q, n_lams))
    n_iters = np.empty((q, n_lams), dtype=np.int64)
    for index, (target, solution) in enumerate(zip(solved.targets, solved.solutions, strict=True)):
        scale = target.scale
        if not (solution.gaps <= 0.5).all():
            rules = penalty.in_units(units, scale or 1.0, standardize)
            solution = _no_worse_than_zero(solution, rules, lams[index])
        some, size = (solution.features, solution.coefs, solution.rss), len(solution.features)
        used, values = np.empty(size, dtype=np.int64), np.empty((size, n_lams))
        found = used, values, intercepts[index], objectives[index]
        scales = *target, units.mean, units.norm, penalty.distinct
        count = _kernels.restore(*some, *scales, lams[index], standardize, *found)
        parts.append(Coefs(used[:count], values[:count]))
        gaps[index] = solution.gaps * scale * scale
        relative[index] = 2.0 * solution.gaps
        n_iters[index] = solution.rounds
    if factor != 1.0:
        objectives *= factor
        gaps *= factor
    return Fit(
        len(units.norm),
        tuple(parts),
        intercepts,
        objectives,
        gaps,
        relative,
        n_iters,
        choice.solver in ("active set", "lsmr", "cg"),
        choice.reason + choice.aside,
        max_iter,
        tol,
    )


def _no_worse_than_zero(solution, penalty, lams):
    """Replace solutions that rounding has driven away: their objective exceeds that of zero coefficients.

    No gap is larger than the objective itself, which is not negative: that is the bound of a dual point of
    zeros. `penalty` is in the units of the solvers.
    """
    fine = solution.gaps <= 0.5
    sizes, some = np.abs(solution.coefs), solution.features
    with np.errstate(over="ignore", invalid="ignore"):
        l1, l2 = (np.where(sizes > 0.0, sizes * part[some], 0.0) for part in (penalty.l1, penalty.l2))
        objectives = 0.5 * solution.rss + lams * (l1.sum(axis=1) + 0.5 * (l2 * sizes).sum(axis=1))
    lost = ~(fine | (objectives < 0.5))
    return solution._replace(
        coefs=np.where(lost[:, None], 0.0, solution.coefs),
        gaps=np.where(fine, solution.gaps, np.where(lost, 0.5, np.fmin(solution.gaps, objectives))),
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
