"""Slow, obvious references: problems written out in full, solvers by brute force, and a zoo of inputs.

Nothing here is taken from the package. Everything is computed on explicit, dense, centred data, in extended
precision where the platform has it (`numpy.longdouble`), so that the package's float64 is what is judged.
"""

import decimal
import functools
import itertools
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

LONG = np.longdouble
# What float64 may lose in a sum of terms of order one.
ROUNDING = 1e-13
EPS = np.finfo(np.float64).eps


# ---------------------------------------------------------------------------------------------
# The problem, written out
# ---------------------------------------------------------------------------------------------


def dense(X):
    """Any accepted X as a dense array, in extended precision."""
    if sparse.issparse(X):
        X = X.toarray()
    elif hasattr(X, "sparse") or hasattr(X, "to_numpy"):  # a frame
        X = X.to_numpy()
    return np.asarray(X).astype(LONG)


@dataclass(frozen=True)
class Problem:
    """``1/2 sum s_i (y_i - x_i'w - b)^2 + sum l1_j |w_j| + l2_j/2 w_j^2`` within bounds, all explicit.

    `Z` and `target` are centred if there is an intercept; `factor` turns the objective above into the
    estimator's own.
    """

    X: np.ndarray
    y: np.ndarray
    share: np.ndarray  # weights that sum to one
    mean: np.ndarray  # of the columns, zeros without an intercept
    Z: np.ndarray
    target: np.ndarray
    norm: np.ndarray  # weighted root mean square of the columns of Z
    scale: LONG  # the same of `target`; 1 for a constant target, which is 0
    constant: np.ndarray
    fit_intercept: bool
    l1: np.ndarray
    l2: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    factor: LONG

    def penalty(self, coef):
        """The penalty of some coefficients."""
        return self.l1 @ np.abs(coef) + self.l2 @ (coef * coef) / 2

    def residual(self, coef):
        """Residual with the best intercept."""
        return self.target - self.Z @ coef

    def objective(self, coef, intercept=None):
        """The estimator's own objective; the intercept is the best one unless it is given."""
        coef = np.asarray(coef).astype(LONG)
        residual = self.residual(coef) if intercept is None else self.y - self.X @ coef - LONG(intercept)
        return self.factor * (self.share @ (residual * residual) / 2 + self.penalty(coef))

    def correlations(self, coef):
        """Minus the gradient of the loss."""
        return self.Z.T @ (self.share * self.residual(np.asarray(coef).astype(LONG)))

    def violations(self, coef, slack=0.0):
        """How far the gradient is from the subdifferential, for columns and target of unit length.

        A coefficient within `slack` (relative) of a bound counts as being there.
        """
        coef = np.asarray(coef).astype(LONG)
        pull = self.correlations(coef) - self.l2 * coef
        low = np.where(
            coef > 0, self.l1, -self.l1
        )  # the ends of the subdifferential of l1 |w|, and of the bounds
        high = np.where(coef < 0, -self.l1, self.l1)
        high = np.where(coef >= self.upper - slack * np.abs(coef), np.inf, high)
        low = np.where(coef <= self.lower + slack * np.abs(coef), -np.inf, low)
        far = np.maximum(np.maximum(low - pull, pull - high), 0)
        norm = np.where(self.constant, 1, self.norm)
        return np.where(self.constant, 0, far / (norm * self.scale))

    def gap(self, coef):
        """Duality gap ``P - D``, straight from the definition, in the estimator's scale.

        The dual point is a multiple of the residual, without its part along columns that nothing penalises.
        """
        coef = np.asarray(coef).astype(LONG)
        residual = self.residual(coef)
        primal = self.share @ (residual * residual) / 2 + self.penalty(coef)
        root = np.sqrt(self.share)
        columns = (self.Z * root[:, None]).T
        usable = ~self.constant & ((self.lower < 0) | (self.upper > 0))
        point = root * residual
        # A column without any penalty, and without an end on the side it is pulled to, allows no correlation.
        loose = np.zeros(len(coef), dtype=bool)
        for _ in range(len(coef) + 1):
            u = columns @ point
            end = np.where(u > 0, self.upper, self.lower)
            noise = self.norm * self.scale * 1e-17
            more = usable & (self.l1 == 0) & (self.l2 == 0) & np.isinf(end) & (np.abs(u) > noise) & ~loose
            if not more.any():
                break
            loose |= more
            basis = orthonormal(columns[loose])
            for _ in range(2):
                point = point - (basis @ point) @ basis
        u = np.where(usable & ~loose, columns @ point, 0)
        end = np.where(u > 0, self.upper, self.lower)
        above = usable & (np.abs(u) > self.l1) & (self.l1 > 0) & (end != 0)
        gaps = []
        # The longest multiple with a finite dual value, and the one within all thresholds: both are bounds.
        for mask in (above & (self.l2 == 0) & np.isinf(end), above):
            t = np.min(self.l1[mask] / np.abs(u[mask]), initial=1)
            theta = t * point
            dual = (root * self.target) @ theta - theta @ theta / 2 - np.sum(self._conjugate(t * u, usable))
            gaps.append(primal - dual)
        return self.factor * min(gaps)

    def _conjugate(self, u, usable):
        """``max_w u w - l1 |w| - l2/2 w^2`` over the bounds, for each feature."""
        end = np.where(u > 0, self.upper, self.lower)
        beyond = np.sign(u) * np.maximum(np.abs(u) - self.l1, 0)
        # The dual point was scaled to reach these thresholds exactly; rounding must not carry it over.
        beyond = np.where((self.l2 == 0) & np.isinf(end), 0, beyond)
        best = np.where(self.l2 > 0, beyond / np.where(self.l2 > 0, self.l2, 1), end)
        best = np.where(np.abs(best) > np.abs(end), end, best)
        best = np.where((beyond == 0) | ~usable, 0, best)
        return u * best - self.l1 * np.abs(best) - self.l2 * best * best / 2


def orthonormal(rows):
    """Orthonormal basis of the span of some rows (Gram-Schmidt, twice, in extended precision)."""
    basis = np.zeros((0, rows.shape[1]), dtype=LONG)
    for row in rows:
        rest = row
        for _ in range(2):
            rest = rest - (basis @ rest) @ basis
        length = np.sqrt(rest @ rest)
        if length > 1e-15 * np.sqrt(row @ row):
            basis = np.vstack([basis, rest / length])
    return basis


def problem(
    X,
    y,
    *,
    alpha=1.0,
    l1_ratio=1.0,
    ridge=False,
    sample_weight=None,
    fit_intercept=True,
    standardize=False,
    penalty_weights=None,
    bounds=None,
    positive=False,
):
    """The `Problem` that an estimator with these parameters promises to solve; ``ridge=True`` for `Ridge`."""
    X = dense(X)
    n, p = X.shape
    y = np.asarray(y).astype(LONG).reshape(n)
    weights = np.ones(n, dtype=LONG)
    if sample_weight is not None:
        weights = weights * np.asarray(sample_weight).astype(LONG)
    total = weights.sum()
    share = weights / total
    mean, middle = np.zeros(p, dtype=LONG), LONG(0)
    if fit_intercept:
        first = np.argmax(share)
        mean = X[first] + share @ (X - X[first])
        middle = y[first] + share @ (y - y[first])
    Z = np.where(share[:, None] > 0, X - mean, 0)
    target = np.where(share > 0, y - middle, 0)
    norm = np.sqrt(share @ (Z * Z))
    scale = np.sqrt(share @ (target * target))
    if scale <= 1e-13 * abs(middle):  # y counts as constant
        scale, target = LONG(1), np.zeros(n, dtype=LONG)
    # Squares below the smallest normal number have no digits left in float64.
    constant = (norm <= 1e-13 * np.abs(mean)) | (norm * norm < np.finfo(np.float64).tiny)
    if fit_intercept and np.count_nonzero(share) == 1:
        constant[:] = True
    factors = np.ones(p, dtype=LONG)
    if penalty_weights is not None:
        factors = factors * np.asarray(penalty_weights).astype(LONG)
    lower, upper = np.full(p, -np.inf), np.full(p, np.inf)
    if bounds is not None:
        lower[:], upper[:] = (
            s * np.inf if end is None else end for s, end in zip((-1, 1), bounds, strict=True)
        )
    if positive:
        lower = np.maximum(lower, 0)
    held = np.isinf(factors) | constant
    lower, upper = np.where(held, 0, lower), np.where(held, 0, upper)
    factors = np.where(held, 1, factors)
    if ridge:
        l1, l2, factor = 0 * factors, alpha * factors / total, 2 * total
    else:
        l1, l2, factor = alpha * l1_ratio * factors, alpha * (1 - LONG(l1_ratio)) * factors, LONG(1)
    if standardize:
        l1, l2 = l1 * norm, l2 * norm * norm
    return Problem(
        X=X,
        y=y,
        share=share,
        mean=mean,
        Z=Z,
        target=target,
        norm=norm,
        scale=scale,
        constant=constant,
        fit_intercept=fit_intercept,
        l1=l1,
        l2=l2,
        lower=lower,
        upper=upper,
        factor=LONG(factor),
    )


def assert_optimal(
    X,
    y,
    coef,
    intercept=0.0,
    alpha=1.0,
    l1_ratio=1.0,
    sample_weight=None,
    fit_intercept=True,
    standardize=False,
    penalty_weights=None,
    bounds=None,
    positive=False,
    tol=1e-11,
    *,
    ridge=False,
    objective=None,
    dual_gap=None,
    gap_tol=None,
):
    """Assert that coefficients and intercept solve the problem: every feature's KKT condition, and the gap.

    Columns and target count in units of their own length, so `tol` means the same for all data. `objective`
    and `dual_gap`, if given, are checked too: the one to be right, the other to be small (`gap_tol`, by
    default `tol`).
    """
    given = problem(
        X,
        y,
        alpha=alpha,
        l1_ratio=l1_ratio,
        ridge=ridge,
        sample_weight=sample_weight,
        fit_intercept=fit_intercept,
        standardize=standardize,
        penalty_weights=penalty_weights,
        bounds=bounds,
        positive=positive,
    )
    coef = np.asarray(coef)
    eps = np.finfo(coef.dtype).eps
    assert coef.shape == given.norm.shape, f"coef has shape {coef.shape}"
    assert np.isfinite(coef).all(), f"coef is not finite: {coef}"
    held = (given.lower == 0) & (given.upper == 0)
    assert np.all(coef[held] == 0), (
        f"features {np.flatnonzero(held & (coef != 0))} are held at 0 but are not 0"
    )
    # Rounding to float32 may carry a coefficient over its bound; float64 results have no excuse.
    slack = 0.0 if coef.dtype == np.float64 else eps
    over = np.maximum(given.lower - coef, coef - given.upper) > slack * np.abs(coef)
    assert not over.any(), (
        f"{over.sum()} features are out of bounds, the first is {np.argmax(over)}: {coef[over][0]!r}"
    )
    size = 1 + np.sum(np.abs(coef) * given.norm) / given.scale
    violations = given.violations(coef, slack=4 * eps)
    worst = int(np.argmax(violations))
    assert violations[worst] <= tol * size, (
        f"feature {worst} violates its optimality condition by {violations[worst]:.2e} > {tol * size:.2e} "
        f"(coefficient {coef[worst]}, length {given.norm[worst]:.2e})"
    )
    if fit_intercept:
        rounding = 16 * eps * (np.max(np.abs(given.y)) + np.abs(coef) @ np.abs(given.mean))
        off = given.share @ (given.y - given.X @ coef.astype(LONG)) - LONG(intercept)
        assert abs(off) <= rounding + tol * given.scale * size, f"the intercept is off by {float(off):.2e}"
    else:
        assert intercept == 0.0
    square = given.factor * given.scale**2
    gap = given.gap(np.clip(coef, given.lower, given.upper))
    gap_tol = gap_tol or tol
    assert gap >= -ROUNDING * square * size**2, f"negative gap {float(gap)}: the oracle is wrong"
    assert gap <= gap_tol * square * size, (
        f"duality gap {float(gap / square):.2e} of the target's mean square"
    )
    if objective is not None:
        # The package speaks of the coefficients before they are rounded to the dtype of X.
        error = abs(given.objective(coef) - objective) / square
        assert error <= (tol + eps) * size, (
            f"objective_ is wrong by {float(error):.2e} of the target's mean square"
        )
    if dual_gap is not None:
        assert dual_gap >= 0.0, f"dual_gap_ is negative: {dual_gap}"
        assert dual_gap <= gap_tol * square * size, (
            f"dual_gap_ is {float(dual_gap / square):.2e} of the mean square"
        )
    return given


# ---------------------------------------------------------------------------------------------
# Solvers by brute force
# ---------------------------------------------------------------------------------------------


def quadratic(gram, corr, l1, l2, lower, upper, coef):
    """``1/2 w'Gw - c'w + sum l1 |w| + l2/2 w^2``; infinite outside the bounds."""
    if np.any(coef < lower) or np.any(coef > upper):
        return np.inf
    return coef @ gram @ coef / 2 - corr @ coef + l1 @ np.abs(coef) + l2 @ (coef * coef) / 2


def enumerate_faces(gram, corr, l1, l2, lower, upper):
    """Minimum of `quadratic` by trying every combination of signs and bounds; for a handful of features.

    Returns
    -------
    coef, value
        One minimiser (of minimal norm on its face) and the minimum.
    """
    p = len(corr)
    best, value = np.zeros(p), 0.0
    states = []
    for j in range(p):
        options = ["zero"]
        if upper[j] > 0:
            options.append("positive")
            if np.isfinite(upper[j]):
                options.append("upper")
        if lower[j] < 0:
            options.append("negative")
            if np.isfinite(lower[j]):
                options.append("lower")
        states.append(options)
    for face in itertools.product(*states):
        coef = np.array(
            [{"upper": upper[j], "lower": lower[j]}.get(state, 0.0) for j, state in enumerate(face)]
        )
        free = [j for j, state in enumerate(face) if state in ("positive", "negative")]
        if free:
            sign = np.array([1.0 if face[j] == "positive" else -1.0 for j in free])
            right = corr[free] - gram[free] @ coef - l1[free] * sign
            matrix = gram[np.ix_(free, free)] + np.diag(l2[free])
            coef[free] = np.linalg.lstsq(matrix, right, rcond=1e-12)[0]
        # Rounding must not rule out the minimiser itself.
        coef = np.clip(coef, lower, upper)
        found = quadratic(gram, corr, l1, l2, lower, upper, coef)
        if found < value:
            best, value = coef, found
    return best, value


def coordinate_descent(given, max_sweeps=200_000):
    """Cyclic coordinate descent on the explicit problem, in units of the columns, until nothing moves."""
    norm = np.where(given.constant, 1, given.norm)
    columns = (given.Z * np.sqrt(given.share)[:, None] / norm).astype(np.float64)
    target = (np.sqrt(given.share) * given.target / given.scale).astype(np.float64)
    l1 = (given.l1 / norm / given.scale).astype(np.float64)
    l2 = (given.l2 / norm**2).astype(np.float64)
    with np.errstate(invalid="ignore"):
        lower = np.where(given.lower == 0, 0, given.lower * norm / given.scale).astype(np.float64)
        upper = np.where(given.upper == 0, 0, given.upper * norm / given.scale).astype(np.float64)
    gram, corr = columns.T @ columns, columns.T @ target
    coef = np.zeros(len(corr))
    rest = corr.copy()
    for _ in range(max_sweeps):
        largest = 0.0
        for j in range(len(coef)):
            if lower[j] == upper[j]:
                continue
            pull = rest[j] + gram[j, j] * coef[j]
            new = np.sign(pull) * max(abs(pull) - l1[j], 0.0) / (gram[j, j] + l2[j])
            new = min(max(new, lower[j]), upper[j])
            if new != coef[j]:
                largest = max(largest, abs(new - coef[j]))
                rest -= (new - coef[j]) * gram[j]
                coef[j] = new
        if largest <= 1e-15:
            break
        rest = corr - gram @ coef
    return np.asarray(coef * given.scale / norm, dtype=np.float64)


def bounded_ridge(given):
    """Least squares with bounds and an l2 penalty, by `scipy.optimize.lsq_linear` on augmented rows."""
    p = len(given.norm)
    free = np.flatnonzero(given.lower < given.upper)
    rows = np.vstack([given.Z * np.sqrt(given.share)[:, None], np.diag(np.sqrt(given.l2))])[:, free]
    right = np.concatenate([np.sqrt(given.share) * given.target, np.zeros(p)])
    found = optimize.lsq_linear(
        rows.astype(np.float64),
        right.astype(np.float64),
        bounds=(given.lower[free], given.upper[free]),
        method="bvls",
        tol=1e-15,
    )
    coef = np.zeros(p)
    coef[free] = found.x
    return coef


# ---------------------------------------------------------------------------------------------
# The minimum, to fifty digits and more
# ---------------------------------------------------------------------------------------------

# Solutions with huge coefficients that cancel are none in float64: per square of a coefficient (of columns of
# unit length), this much is added to what they reach. It is the square of what "dependent" means for `rank_`.
CANCELLING = decimal.Decimal("1e-14")
# What "dependent" means for the certificate (README.md, "What is promised"): there it is a share of the
# largest singular value, which for near copies is up to two.
DEPENDENT = 2e-12
DIGITS = decimal.Context(
    prec=120, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[decimal.InvalidOperation]
)


def _decimals(values):
    return [decimal.Decimal(np.format_float_scientific(value)) for value in np.ravel(values)]


def _inner(a, b):
    return sum((x * y for x, y in zip(a, b, strict=True)), decimal.Decimal(0))


def _solved(matrix, right):
    """Solution of a positive definite system, by elimination without pivots."""
    rows = [[*row, end] for row, end in zip(matrix, right, strict=True)]
    for k, pivot in enumerate(rows):
        for below in rows[k + 1 :]:
            if below[k]:
                ratio = below[k] / pivot[k]
                below[k:] = [x - ratio * y for x, y in zip(below[k:], pivot[k:], strict=True)]
    found = []
    for k in reversed(range(len(rows))):
        found.insert(0, (rows[k][-1] - _inner(rows[k][k + 1 : -1], found)) / rows[k][k])
    return found


def minimum(given, guess, cancelling=CANCELLING):
    """The least objective of a `Problem`, computed in 120 decimal digits.

    Every feature is inside a face (negative or positive), or held at an end of one (zero, a bound). A linear
    system has the minimiser of the face that they make up; on the way there, the first to reach the end of
    its own face is held. At the minimiser, the held feature that is pulled most is let go to that side. Every
    minimiser is lower than the one before, and there are finitely many faces, so this ends. `CANCELLING`
    makes the problem strictly convex.

    Parameters
    ----------
    given : Problem
    guess : ndarray of shape (p,)
        Coefficients to start from, unless zeros are better.
    cancelling : Decimal
        See `CANCELLING`.

    Returns
    -------
    longdouble
        In the estimator's scale. The minimum itself, or a little more: see `CANCELLING`.
    """
    used = np.flatnonzero(~given.constant & (given.lower < given.upper))
    norm = given.norm[used]
    with decimal.localcontext(DIGITS):
        root = np.sqrt(given.share)
        columns = [_decimals(row) for row in ((given.Z[:, used] / norm) * root[:, None]).T]
        target = _decimals(root * given.target / given.scale)
        l1 = _decimals(given.l1[used] / norm / given.scale)
        l2 = [value + decimal.Decimal(cancelling) for value in _decimals(given.l2[used] / norm / norm)]
        lower, upper, start = (
            _decimals(part[used].astype(LONG) * norm / given.scale)
            for part in (given.lower, given.upper, guess)
        )
        gram = [[_inner(a, b) for b in columns] for a in columns]
        corrs = [_inner(a, target) for a in columns]
        # State 2 e is the place edges[e], and an odd one lies between two of them.
        edges = [(low, decimal.Decimal(0), high) for low, high in zip(lower, upper, strict=True)]

        def objective(coef):
            rest = list(target)
            for value, column in zip(coef, columns, strict=True):
                rest = [t - value * x for t, x in zip(rest, column, strict=True)]
            squares = _inner(rest, rest) + _inner(l2, [x * x for x in coef])
            return squares / 2 + _inner(l1, [abs(x) for x in coef])

        def pulls(coef):
            rows = zip(corrs, gram, l2, coef, strict=True)
            return [corr - _inner(row, coef) - ridge * value for corr, row, ridge, value in rows]

        zeros = [decimal.Decimal(0)] * len(used)
        coef = [min(max(value, low), high) for value, (low, _, high) in zip(start, edges, strict=True)]
        coef = coef if objective(coef) < objective(zeros) else zeros
        where = [
            2 if value == 0 else 2 * places.index(value) if value in places else 1 if value < 0 else 3
            for value, places in zip(coef, edges, strict=True)
        ]
        while True:
            pull = pulls(coef)
            free = [j for j, state in enumerate(where) if state % 2]
            matrix = [[gram[j][k] + (l2[j] if j == k else 0) for k in free] for j in free]
            steps = _solved(matrix, [pull[j] - (where[j] - 2) * l1[j] for j in free])
            # The share of the way to the minimiser, and who is stopped in which state.
            share, stopped = decimal.Decimal(1), None
            for j, step in zip(free, steps, strict=True):
                end = where[j] + (1 if step > 0 else -1)
                if step and (edges[j][end // 2] - coef[j]) / step < share:
                    share, stopped = (edges[j][end // 2] - coef[j]) / step, (j, end)
            for j, step in zip(free, steps, strict=True):
                coef[j] += share * step
            if stopped:
                j, where[j] = stopped
                coef[j] = edges[j][where[j] // 2]
                continue
            pull = pulls(coef)
            most, let_go = decimal.Decimal("1e-40"), None
            for j, state in enumerate(where):
                for side in (-1, 1) if state % 2 == 0 else ():
                    force = side * (pull[j] - (state + side - 2) * l1[j])
                    beyond = state // 2 + side
                    if 0 <= beyond <= 2 and edges[j][beyond] != edges[j][state // 2] and force > most:
                        most, let_go = force, (j, state + side)
            if not let_go:
                break
            j, where[j] = let_go
        return LONG(str(objective(coef))) * given.scale**2 * given.factor


def rounding_of(given, coef, objective):
    """What float64 may lose in the objective of some coefficients, in the estimator's scale.

    Terms that cancel are larger than their sum, and columns far from zero, or a target, have lost the digits
    of their mean. Below the smallest normal number there are no digits.
    """
    used = (np.asarray(coef) != 0) & ~given.constant
    size = 1 + np.sum(np.abs(coef) * given.norm) / given.scale
    middle = np.abs(given.share @ given.y) / given.scale if given.fit_intercept else 0
    tilt = np.max(np.abs(given.mean[used]) / given.norm[used], initial=1)
    lost = size * np.maximum(size * tilt, middle) * given.factor * given.scale**2 + abs(objective)
    return 1e-12 * lost + np.finfo(np.float64).tiny * (1 + given.factor)


def hidden_by_rounding(given, cancelling=CANCELLING):
    """What the objective may lack in directions that count as rounding, in the estimator's scale.

    These are, for columns of unit length with hardly any penalty, the ones with singular values s below
    `DEPENDENT`. In such a direction the minimum is lower by half of ``s^2 / (s^2 + cancelling)`` at most.
    """
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        loose = (given.l1 / given.norm / given.scale < 1e-9) & (given.l2 / given.norm / given.norm < 1e-9)
    loose &= ~given.constant & (given.lower < given.upper)
    columns = (given.Z[:, loose] / given.norm[loose]) * np.sqrt(given.share)[:, None]
    values = np.linalg.svd(columns.astype(np.float64), compute_uv=False) if loose.any() else np.empty(0)
    squares = np.square(values[values < DEPENDENT])
    return 0.5 * np.sum(squares / (squares + float(cancelling))) * given.factor * given.scale**2


def assert_near_minimum(given, coef, objective, dual_gap, cancelling=CANCELLING):
    """Assert that an objective is no further from the least one than `dual_gap` says, up to rounding."""
    least = minimum(given, coef, cancelling)
    rounding = rounding_of(given, coef, objective) + hidden_by_rounding(given, cancelling)
    unit = given.factor * given.scale**2
    assert objective - least <= dual_gap + rounding, (
        f"the objective is {float((objective - least) / unit):.3e} above the minimum, "
        f"the gap says {float(dual_gap / unit):.3e}"
    )


def assert_certified(given, coef, intercept, objective, dual_gap, cancelling=CANCELLING):
    """Assert that what is said of a solution is true, up to the rounding of float64.

    The objective is that of the coefficients, and is no further from the least one than `dual_gap` says.
    """
    coef = np.asarray(coef)
    for name, value in {
        "coef": coef,
        "intercept": intercept,
        "gap": dual_gap,
    }.items():
        assert np.isfinite(value).all(), f"{name} is not finite: {value}"
    exact = given.objective(coef)
    if objective == np.inf:  # float64 does not hold all that the extended precision of the oracle does
        assert exact > (1.0 - 1e-9) * np.finfo(np.float64).max, f"the objective is inf, and not {exact}"
        objective = exact
    eps = np.finfo(coef.dtype).eps
    held = (given.lower == 0) & (given.upper == 0)
    assert not coef[held].any(), f"features {np.flatnonzero(held & (coef != 0))} are held at 0 but are not 0"
    slack = 0.0 if coef.dtype == np.float64 else eps * np.abs(coef) + np.finfo(coef.dtype).tiny
    over = np.maximum(given.lower - coef, coef - given.upper) > slack
    assert not over.any(), f"features {np.flatnonzero(over)} are out of bounds: {coef[over]}"
    unit = given.factor * given.scale**2
    rounding = rounding_of(given, coef, objective)
    apart = abs(exact - objective)
    assert apart <= rounding * (eps / EPS), f"the objective is off by {float(apart / unit):.2e}"
    assert dual_gap >= 0.0, f"the gap is negative: {dual_gap}"
    assert_near_minimum(given, coef, objective, dual_gap, cancelling)
    if given.fit_intercept:
        off = given.share @ (given.y - given.X @ coef.astype(LONG)) - LONG(intercept)
        rows = given.share > 0
        largest = np.max(np.abs(given.X[rows]), axis=0)
        size = np.max(np.abs(given.y[rows])) + np.abs(coef) @ largest
        lost = np.finfo(coef.dtype).smallest_subnormal * np.sum(largest)  # what coefficients cannot hold
        allowed = 64 * eps * (size + given.scale) + np.finfo(coef.dtype).tiny + lost
        assert abs(off) <= allowed, f"the intercept is off by {float(off):.2e}"
    else:
        assert intercept == 0.0


# ---------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One kind of X, with a y to go with it."""

    X: object
    y: np.ndarray
    # Accuracy that the data allow, in the units of `assert_optimal`; how tight a float64 certificate can be.
    tol: float = 1e-11
    gap_tol: float = 1e-11


def numbers(n, p, seed=0, correlation=0.5):
    """Correlated normal columns and a target that some of them explain."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + correlation * rng.standard_normal((n, 1))
    coef = np.where(np.arange(p) % 3 == 0, rng.standard_normal(p), 0.0)
    return X, X @ coef + rng.standard_normal(n) + 3.0


def holes(n, p, seed=0, density=0.3):
    """A sparse matrix as a dense array, and a target."""
    rng = np.random.default_rng(seed)
    X = np.where(rng.random((n, p)) < density, rng.standard_normal((n, p)) + 1.0, 0.0)
    return X, X @ np.where(np.arange(p) % 3 == 0, 1.0, 0.0) + rng.standard_normal(n) - 2.0


def _memmap(X, folder):
    path = folder / "X.dat"
    stored = np.memmap(path, dtype=X.dtype, mode="w+", shape=X.shape)
    stored[:] = X
    stored.flush()
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


def _readonly(X):
    arrays = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,)
    for array in arrays:
        array.flags.writeable = False
    return X


def _strided(X):
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _long_indices(X):
    X.indices = X.indices.astype(np.int64)
    X.indptr = X.indptr.astype(np.int64)
    return X


def _unsorted(X):
    """The same matrix with the entries of each column (or row) in reverse order."""
    for start, stop in itertools.pairwise(X.indptr):
        X.indices[start:stop] = X.indices[start:stop][::-1].copy()
        X.data[start:stop] = X.data[start:stop][::-1].copy()
    X.has_sorted_indices = False
    return X


def _duplicates(X, kind):
    """The same matrix with every entry stored in two parts."""
    X = kind(X)
    halves = kind(
        (np.repeat(X.data, 2) * np.tile([0.25, 0.75], X.nnz), np.repeat(X.indices, 2), 2 * X.indptr),
        shape=X.shape,
    )
    assert halves.nnz == 2 * X.nnz
    return halves


def _explicit_zeros(X, kind):
    """Every entry stored, zeros too."""
    full = kind(np.ones(X.shape))
    full.data[:] = X.T.ravel() if kind is sparse.csc_array else X.ravel()
    return full


def _pandas(X):
    import pandas as pd

    return pd.DataFrame(X, columns=[f"column {j}" for j in range(X.shape[1])])


def _polars(X):
    import polars as pl

    return pl.DataFrame({f"column {j}": X[:, j] for j in range(X.shape[1])})


def _mixed_pandas(X):
    frame = _pandas(X)
    frame["column 1"] = np.arange(len(X)) % 4
    frame["column 2"] = np.arange(len(X)) % 2 == 0
    frame["column 3"] = frame["column 3"].astype(np.float32)
    return frame


def storages(folder):
    """The same tall numbers in every container, order and dtype: builders by name."""
    X, y = numbers(40, 7, seed=1)
    S, t = holes(40, 7, seed=2)
    whole = np.random.default_rng(3).integers(-5, 6, size=(40, 7))
    f32 = 1e-6  # coefficients come back in float32
    cases = {
        "C": lambda: Case(X.copy(order="C"), y),
        "F": lambda: Case(np.asfortranarray(X), y),
        "float32-C": lambda: Case(X.astype(np.float32), y, f32),
        "float32-F": lambda: Case(np.asfortranarray(X, dtype=np.float32), y, f32),
        "strided": lambda: Case(_strided(X), y),
        "reversed": lambda: Case(X.copy()[::-1, ::-1], y[::-1]),
        "transposed-slice": lambda: Case(np.vstack([X.T, X.T])[3:10].T, y),
        "readonly": lambda: Case(_readonly(X.copy()), y),
        "memmap": lambda: Case(_memmap(X, folder), y),
        "memmap-float32": lambda: Case(_memmap(X.astype(np.float32), folder), y, f32),
        "int64": lambda: Case(whole, y),
        "uint8": lambda: Case((whole + 5).astype(np.uint8), y),
        "bool": lambda: Case(whole > 0, y),
        "float16": lambda: Case(X.astype(np.float16), y),
        "big-endian": lambda: Case(X.astype(">f8"), y),
        "list": lambda: Case(X.tolist(), y),
        "pandas": lambda: Case(_pandas(X), y),
        "pandas-mixed": lambda: Case(_mixed_pandas(X), y),
        "polars": lambda: Case(_polars(X), y),
        "int-y": lambda: Case(X, np.round(3 * y).astype(np.int64)),
        "float32-y": lambda: Case(X, y.astype(np.float32)),
    }
    for name in ("csc", "csr", "coo", "lil", "dok", "dia", "bsr"):
        for suffix in ("array", "matrix"):
            kind = getattr(sparse, f"{name}_{suffix}")
            cases[f"{name}_{suffix}"] = lambda kind=kind: Case(kind(S), t)
    for name, kind in (("csc", sparse.csc_array), ("csr", sparse.csr_array)):
        cases |= {
            f"{name}-float32": lambda kind=kind: Case(kind(S.astype(np.float32)), t, f32),
            f"{name}-int": lambda kind=kind: Case(kind(whole), t),
            f"{name}-bool": lambda kind=kind: Case(kind(whole > 2), t),
            f"{name}-int64-indices": lambda kind=kind: Case(_long_indices(kind(S)), t),
            f"{name}-unsorted": lambda kind=kind: Case(_unsorted(kind(S)), t),
            f"{name}-duplicates": lambda kind=kind: Case(_duplicates(S, kind), t),
            f"{name}-explicit-zeros": lambda kind=kind: Case(_explicit_zeros(S, kind), t),
            f"{name}-readonly": lambda kind=kind: Case(_readonly(kind(S)), t),
            f"{name}-dense-columns": lambda kind=kind: Case(kind(np.where(np.arange(7) % 2, S, X)), t),
        }
    return cases


def shapes():
    """Awkward numbers: builders by name. Each dense case has a sparse twin where that means something."""

    def constant(X):
        X = X.copy()
        X[:, 1] = 0.1
        X[:, 3] = 0.0
        return X

    def duplicated(X):
        return np.hstack([X, X[:, :3], -X[:, :2]])

    def collinear(X):
        return np.hstack([X, X[:, :2] @ [[1.0], [1.0]], X[:, 2:4] @ [[0.5], [-2.0]]])

    def one_hot(n):
        codes = np.arange(n) % 4
        return np.hstack([np.eye(4)[codes], np.eye(3)[(codes * 7 + np.arange(n) // 5) % 3]])

    tall, y = numbers(40, 7, seed=11)
    wide, v = numbers(12, 30, seed=12)
    medium, m = numbers(60, 90, seed=13)
    very_wide, u = numbers(30, 700, seed=14)
    S, t = holes(40, 7, seed=15)
    wide_holes, h = holes(15, 40, seed=16)
    very_wide_holes, q = holes(40, 600, seed=17, density=0.1)
    factors = 10.0 ** np.array([-8, -5, -2, 0, 3, 6, 8])
    offsets = np.array([1e8, -1e8, 1e6, 0.0, 1e4, -1e5, 1e7])
    near, nn = numbers(50, 6, seed=18)
    near[:, 5] = near[:, 0] + 1e-7 * near[:, 5]
    csc, csr = sparse.csc_array, sparse.csr_array
    return {
        "constant": lambda: Case(constant(tall), y),
        "constant-sparse": lambda: Case(csc(constant(S)), t),
        "duplicated": lambda: Case(duplicated(tall), y),
        "duplicated-sparse": lambda: Case(csr(duplicated(S)), t),
        "duplicated-wide": lambda: Case(duplicated(wide), v),
        "duplicated-medium": lambda: Case(duplicated(medium), m),
        "collinear": lambda: Case(collinear(tall), y),
        "collinear-sparse": lambda: Case(csc(collinear(S)), t),
        "one-hot": lambda: Case(one_hot(40), y),
        "one-hot-sparse": lambda: Case(csr(one_hot(40)), y),
        "wide": lambda: Case(wide, v),
        "wide-sparse": lambda: Case(csc(wide_holes), h),
        "medium": lambda: Case(medium, m),
        "medium-sparse": lambda: Case(csr(np.where(np.abs(medium) < 1.5, 0.0, medium)), m),
        "very-wide": lambda: Case(very_wide, u),
        "very-wide-float32": lambda: Case(very_wide.astype(np.float32), u, 1e-6),
        "very-wide-csc": lambda: Case(csc(very_wide_holes), q),
        "very-wide-csr": lambda: Case(csr(very_wide_holes), q),
        "one-row": lambda: Case(tall[:1], y[:1]),
        "one-row-sparse": lambda: Case(csr(S[:1]), t[:1]),
        "two-rows": lambda: Case(tall[:2], y[:2]),
        "one-column": lambda: Case(tall[:, :1], y),
        "one-column-sparse": lambda: Case(csc(S[:, :1]), t),
        "one-entry": lambda: Case(np.array([[2.0]]), np.array([3.0])),
        "empty-columns": lambda: Case(csc((20, 4)), y[:20]),
        "offsets": lambda: Case(tall + offsets, y, 1e-8),
        "offsets-F": lambda: Case(np.asfortranarray(tall + offsets), y, 1e-8),
        "offsets-wide": lambda: Case(wide + 1e8, v, 1e-7),
        "offsets-medium": lambda: Case(medium + 1e8, m, 1e-7),
        "offsets-sparse": lambda: Case(csc(S + np.where(np.arange(7) == 2, 1e4, 0.0)), t, 1e-9),
        "offset-y": lambda: Case(tall, y + 1e8),
        "offset-y-wide": lambda: Case(wide, v + 1e8),
        "offset-y-sparse": lambda: Case(csr(S), t - 1e8),
        # Thresholds are a billionth of the correlations: no certificate in float64 is tight there.
        "scales": lambda: Case(tall * factors, y, gap_tol=1e-8),
        "scales-sparse": lambda: Case(csc(S * factors), t, gap_tol=1e-8),
        "scales-wide": lambda: Case(wide * np.tile(factors, 5)[:30], v, gap_tol=1e-8),
        "tiny-y": lambda: Case(tall, 1e-12 * y),
        "huge-y": lambda: Case(tall, 1e12 * y),
        "constant-y": lambda: Case(tall, np.full(40, 0.1)),
        "zero-y": lambda: Case(S, np.zeros(40)),
        "perfect-fit": lambda: Case(tall, tall @ np.arange(7.0)),
        "nearly-dependent": lambda: Case(near, nn),
    }


def zoo(folder):
    """All named builders of inputs; `folder` holds the memory maps."""
    return storages(folder) | shapes()


def pairwise(factors, seed):
    """Combinations of some factors' levels in which every pair of levels of two factors occurs together.

    Parameters
    ----------
    factors : dict of name to sequence of levels
    seed : int
        Another seed gives other combinations of three.
    """
    rng = np.random.default_rng(seed)
    names = list(factors)
    missing = {
        ((a, i), (b, k))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(factors[a]))
        for k in range(len(factors[b]))
    }
    rows = []
    while missing:
        best, gained = None, set()
        for _ in range(30):
            row = {name: int(rng.integers(len(factors[name]))) for name in names}
            pairs = set(itertools.combinations(row.items(), 2)) & missing
            if len(pairs) > len(gained):
                best, gained = row, pairs
        if best is not None:
            rows.append({name: factors[name][index] for name, index in best.items()})
            missing -= gained
    return rows


FACTORS = {
    "model": ("Lasso", "ElasticNet", "Ridge"),
    "fit_intercept": (True, False),
    "weights": ("none", "some zero"),
    "standardize": (False, True),
    "penalty_weights": ("none", "varied", "free and excluded"),
    "limits": ("none", "positive", "scalars", "arrays"),
    "strength": (0.3, 0.01),
}


@functools.cache
def combinations(seed):
    """Pairs of all `FACTORS`, for `settings`."""
    return pairwise(FACTORS, seed)


def settings(case, choice):
    """Keywords of `assert_optimal` for some data and one of the `combinations`, of a size that matters."""
    n, p = dense(case.X).shape
    rng = np.random.default_rng(1000 * n + p)
    keywords = {"fit_intercept": choice["fit_intercept"], "standardize": choice["standardize"]}
    if choice["weights"] == "some zero":
        weights = rng.uniform(0.5, 2.0, n)
        if n > 4:
            weights[rng.permutation(n)[: n // 5]] = 0.0
        keywords["sample_weight"] = weights
    plain = problem(case.X, case.y, **keywords)
    if choice["penalty_weights"] != "none":
        factors = rng.uniform(0.5, 2.0, p)
        if choice["penalty_weights"] == "free and excluded" and p > 2:
            factors[[0, 2]] = 0.0, np.inf
        keywords["penalty_weights"] = factors
    # The coefficient that would explain all of the target.
    typical = np.asarray(plain.scale / np.where(plain.constant, 1, plain.norm), dtype=np.float64)
    if choice["limits"] == "positive":
        keywords["positive"] = True
    elif choice["limits"] == "scalars":
        keywords["bounds"] = (-0.1 * np.median(typical), 0.2 * np.median(typical))
    elif choice["limits"] == "arrays":
        lower, upper = -0.3 * rng.random(p) * typical, 0.3 * rng.random(p) * typical
        lower[::3], lower[1::4], upper[::4] = 0.0, -np.inf, np.inf
        keywords["bounds"] = (lower, upper)
    if choice["model"] == "Ridge":
        keywords["ridge"] = True
        size = 1.0 if choice["standardize"] else np.median(plain.norm) ** 2
        keywords["alpha"] = float(choice["strength"] * n * size) or 1.0
    else:
        keywords["l1_ratio"] = 1.0 if choice["model"] == "Lasso" else 0.7
        unit = problem(case.X, case.y, **keywords)
        thresholds = np.abs(unit.correlations(np.zeros(p)))[unit.l1 > 0] / unit.l1[unit.l1 > 0]
        thresholds = thresholds[thresholds > 0]
        keywords["alpha"] = float(choice["strength"] * np.median(thresholds)) if len(thresholds) else 0.1
    return keywords
