"""Closed forms of the quadratic problem: each against exact or independent solutions."""

import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

from sparse_linear import Lasso, Moments, Ridge, RidgeCV, _ridge, _solve, _threads
from sparse_linear._design import DenseDesign, make_design
from tests import oracles


def fractions(values):
    """An array of floats as exact rationals."""
    return [[Fraction(float(value)) for value in row] for row in np.atleast_2d(values)]


def exact_ridge(X, y, alpha, fit_intercept):
    """Ridge coefficients without any rounding: the normal equations by elimination over the rationals."""
    X, y = fractions(X), fractions(y)[0]
    n, p = len(X), len(X[0])
    mean = [sum(row[j] for row in X) / n if fit_intercept else Fraction(0) for j in range(p)]
    middle = sum(y) / n if fit_intercept else Fraction(0)
    Z = [[row[j] - mean[j] for j in range(p)] for row in X]
    rows = [
        [sum(z[i] * z[j] for z in Z) + (Fraction(alpha) if i == j else 0) for j in range(p)]
        + [sum(z[i] * (t - middle) for z, t in zip(Z, y, strict=True))]
        for i in range(p)
    ]
    for i in range(p):
        at = next(k for k in range(i, p) if rows[k][i] != 0)
        rows[i], rows[at] = rows[at], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(p):
            if k != i:
                rows[k] = [a - rows[k][i] * b for a, b in zip(rows[k], rows[i], strict=True)]
    return np.array([float(row[p]) for row in rows])


def hilbert(n, p):
    """Rows of the Hilbert matrix: hopelessly correlated columns."""
    return 1.0 / (np.arange(n)[:, None] + np.arange(p)[None, :] + 1.0)


def nearly_dependent(distance):
    """Two columns that differ by `distance`, and two that do not."""
    X, y = oracles.numbers(15, 4, seed=1)
    X[:, 3] = X[:, 0] + distance * X[:, 3]
    return X, y


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("alpha", [1e-14, 1e-8, 1e-3])
@pytest.mark.parametrize("distance", [1e-2, 1e-4, 1e-6])
def test_near_singular_systems_keep_the_digits_of_the_data(distance, alpha, kind, fit_intercept):
    """The error is eps times the condition of X, not its square, against a solution over the rationals."""
    X, y = nearly_dependent(distance)
    exact = exact_ridge(X, y, alpha, fit_intercept)
    found = Ridge(alpha=alpha, fit_intercept=fit_intercept).fit(kind(X), y).coef_
    # Where the penalty rules, the condition of the regularised problem is what counts.
    condition = 10.0 / max(distance, np.sqrt(alpha))
    np.testing.assert_allclose(
        found, exact, rtol=0, atol=50 * np.finfo(float).eps * condition * np.abs(exact).max()
    )


@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
@pytest.mark.parametrize("alpha", [1e-9, 1e-5])
def test_hilbert(shape, alpha):
    """Columns with condition 1e5 and more, tall and wide."""
    X = hilbert(*shape)
    y = np.cos(np.arange(shape[0]))
    exact = exact_ridge(X, y, alpha, False)
    found = Ridge(alpha=alpha, fit_intercept=False).fit(X, y).coef_
    accuracy = 20 * np.finfo(float).eps * np.linalg.norm(X, 2) / np.sqrt(alpha)
    np.testing.assert_allclose(found, exact, rtol=0, atol=accuracy * np.abs(exact).max())


FAINT_SOLVERS = {
    "auto": lambda X, y, alpha: Ridge(alpha).fit(X, y),
    "svd": lambda X, y, alpha: Ridge(alpha, solver="svd").fit(X, y),
    "sparse": lambda X, y, alpha: Ridge(alpha).fit(sparse.csr_array(X), y),
    "cv": lambda X, y, alpha: RidgeCV([alpha], cv=3).fit(X, y),
}


@pytest.mark.parametrize("solver", FAINT_SOLVERS)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e5])
@pytest.mark.parametrize("alpha", [1e-3, 1e-6, 1e-8, 1e-12, 1e-20])
def test_a_faint_penalty_leaves_the_answer_and_its_gap(alpha, size, solver):
    """Columns of different size, and two that differ by 1e-9: rounding of a gradient is not worth a gap.

    The error of a least-squares solution is ``eps (cond + cond^2 |r| / |fitted|)`` (Wedin 1973, BIT 13).
    """
    X, y = oracles.numbers(30, 4, seed=2)
    X[:, 0] *= size
    X = np.column_stack([X, X[:, 0] * (1.0 + 1e-9 * np.cos(np.arange(30)))])
    exact = exact_ridge(X, y, alpha, True)
    model = FAINT_SOLVERS[solver](X, y, alpha)  # warnings are errors
    Z, t = X - X.mean(axis=0), y - y.mean()
    length = np.linalg.norm(Z, axis=0)
    held = np.vstack([Z, np.sqrt(alpha) * np.eye(5)])

    def rounding(scale):
        condition = np.linalg.cond(held / scale)
        steep = np.linalg.norm(t) / np.linalg.norm(exact * scale)
        return 50 * np.finfo(float).eps * condition * (1.0 + condition * steep)

    accuracy = rounding(np.linalg.norm(held, axis=0))
    if solver == "svd":  # takes all columns in their own sizes
        accuracy = max(accuracy, rounding(np.ones(5)))
    elif solver == "sparse":  # centred by a subtraction
        accuracy = 10 * accuracy + 1e-8
    np.testing.assert_allclose(
        model.coef_ * length, exact * length, rtol=0, atol=accuracy * np.abs(exact * length).max()
    )
    assert model.dual_gap_ <= 1e-9 * (t @ t)
    given = oracles.problem(X, y, ridge=True, alpha=alpha)
    oracles.assert_near_minimum(given, model.coef_, given.objective(model.coef_), model.dual_gap_)


# ---------------------------------------------------------------------------------------------
# No penalty at all
# ---------------------------------------------------------------------------------------------

LEAST_SQUARES = {
    "tall": lambda: oracles.holes(20, 5, seed=2),
    "wide": lambda: oracles.holes(8, 15, seed=3),
    "square": lambda: oracles.holes(9, 9, seed=4),
    "duplicates": lambda: (
        np.repeat(oracles.holes(20, 4, seed=5)[0], 2, axis=1),
        oracles.holes(20, 4, seed=5)[1],
    ),
    "one-hot": lambda: (np.eye(4)[np.arange(12) % 4], oracles.numbers(12, 1)[1]),
    "scales": lambda: (
        oracles.holes(20, 5, seed=6)[0] * 10.0 ** np.arange(-4, 6, 2),
        oracles.numbers(20, 1)[1],
    ),
    "scales-wide": lambda: (
        oracles.holes(6, 9, seed=7)[0] * 10.0 ** np.arange(-4, 5),
        oracles.numbers(6, 1)[1],
    ),
    "constant-column": lambda: (
        np.insert(oracles.holes(20, 4, seed=8)[0], 2, 1.5, axis=1),
        oracles.numbers(20, 1)[1],
    ),
}


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("data", LEAST_SQUARES)
def test_alpha_zero_is_the_shortest_least_squares_solution(data, kind, weighted, fit_intercept):
    """The answer of `numpy.linalg.lstsq` on centred, weighted rows, for `Ridge` and `Lasso` alike."""
    X, y = LEAST_SQUARES[data]()
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else None
    given = oracles.problem(X, y, sample_weight=weights, fit_intercept=fit_intercept)
    root = np.sqrt(given.share)
    Z, target = (given.Z * root[:, None]).astype(float), (given.target * root).astype(float)
    expected = np.linalg.lstsq(Z, target, rcond=1e-13)[0]
    expected[given.constant] = 0.0
    size = np.abs(expected).max()
    found = Ridge(alpha=0.0, fit_intercept=fit_intercept).fit(kind(X), y, weights)
    accuracy = 1e-9 if "scales" in data else 1e-12
    np.testing.assert_allclose(found.coef_, expected, rtol=0, atol=accuracy * size)
    with pytest.warns(UserWarning, match="alpha=0"):
        lasso = Lasso(alpha=0.0, fit_intercept=fit_intercept).fit(kind(X), y, weights)
    np.testing.assert_allclose(lasso.coef_, expected, rtol=0, atol=accuracy * size)


@pytest.mark.parametrize("distance", [1.0, 1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("size", [1.0, 1e6])
@pytest.mark.parametrize("solver", ["auto", "svd"])
def test_least_squares_on_tall_data_keep_the_digits_of_the_data(distance, size, solver):
    """From normal equations where they do, else from rows that were turned into a triangle."""
    X, y = oracles.numbers(60, 4, seed=3)
    X[:, 3] = X[:, 0] + distance * X[:, 3]
    X[:, 1] *= size
    exact = exact_ridge(X, y, 0.0, True)
    model = Ridge(0.0, solver=solver).fit(X, y)
    assert model.solver_.startswith(
        "Cholesky" if distance >= 1e-5 and solver == "auto" else "singular values"
    )
    Z, t = X - X.mean(axis=0), y - y.mean()
    length = np.linalg.norm(Z, axis=0)
    condition = np.linalg.cond(Z / length)
    steep = np.linalg.norm(t) / np.linalg.norm(exact * length)
    accuracy = 50 * np.finfo(float).eps * condition * (1.0 + condition * steep)
    np.testing.assert_allclose(
        model.coef_ * length, exact * length, rtol=0, atol=accuracy * np.abs(exact * length).max()
    )
    assert model.dual_gap_ <= 1e-12 * (t @ t)
    assert model.rank_ == 4


def test_a_constant_column_beside_equal_ones_without_a_penalty():
    """It is left out, without a warning on the way to the singular values."""
    X, y = oracles.numbers(30, 3, seed=5)
    model = Ridge(0.0).fit(np.column_stack([X, X[:, 0], np.ones(30)]), y)
    assert model.coef_[4] == 0.0
    assert model.coef_[3] == pytest.approx(model.coef_[0], rel=1e-12)
    assert model.rank_ == 3


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"solver": "svd"}, {"alpha": 1e-9}])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tall_data_are_never_copied(settings, dtype):
    """Neither without a penalty, nor where columns are the same and there is hardly any."""
    X, y = oracles.numbers(60_000, 20, seed=4)
    X[:, 1] = X[:, 0]
    X = np.asfortranarray(X, dtype=dtype)
    model = Ridge(**settings)
    model.fit(X, y)  # compiles what it needs
    tracemalloc.start()
    try:
        model.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * _ridge.TILE + 16 * y.nbytes
    np.testing.assert_allclose(model.coef_[1], model.coef_[0], rtol=1e-4)


# ---------------------------------------------------------------------------------------------
# One by one
# ---------------------------------------------------------------------------------------------


def setting(kind, shape, loose, seed=0):
    """A design, two targets, ridge penalties of which `loose` are zero, and the gradient."""
    X, _ = oracles.holes(*shape, seed=seed, density=0.7)
    rng = np.random.default_rng(seed)
    design = make_design(kind(X), rng.uniform(0.5, 2.0, shape[0]), True)
    targets = np.array([design.target(rng.standard_normal(shape[0]))[1] for _ in range(2)])
    diagonal = rng.uniform(0.01, 0.5, shape[1])
    diagonal[rng.permutation(shape[1])[:loose]] = 0.0
    Z = design.apply(np.eye(shape[1])).T

    def gradient(coefs):
        return (targets - coefs @ Z.T) @ Z - diagonal * coefs

    return design, targets, diagonal, Z, gradient


FACTORS = {
    "primal": lambda design, l2: _ridge.Primal(design, design.block().extend(np.arange(design.p)), l2),
    "dual": _ridge.Dual,
    "cg": lambda design, l2: _ridge.Conjugate(design, l2, 10_000, True),
}
OTHERS = {
    "qr": lambda design, targets, diagonal: _ridge.qr(design, targets, diagonal),
    "svd": lambda design, targets, diagonal: _ridge.svd(design, targets, diagonal, design.units.norm),
    "lsmr": lambda design, targets, diagonal: _ridge.iterate(
        design, targets, diagonal, design.units.norm, 10_000
    ),
}


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("alpha", [1e-13, 1e-15, 1e-17, 1e-24, 1e-300])
def test_faint_penalties_tend_to_the_shortest_solution(kind, alpha):
    """Whatever rounding makes of dependent columns; in their own units, not in those of unit length."""
    X = np.column_stack([np.eye(3)[np.arange(12) % 3] * [1.0, 2.0, 3.0], np.ones(12)])
    y = np.arange(12.0) ** 1.5
    model = Ridge(alpha, fit_intercept=False).fit(kind(X), y)
    np.testing.assert_allclose(model.coef_, np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=2e-11)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_penalty_that_is_faint_for_large_numbers(kind):
    """The third column is the sum of the others: the penalty decides how they share, in closed form."""
    rng = np.random.default_rng(0)
    X = rng.integers(-50_000, 50_000, (400, 2)).astype(np.float64)
    X -= np.round(X.mean(axis=0))
    y = rng.standard_normal(400)
    alpha = 0.01
    # The shortest u with a given sum of columns: (a + c, b + c) = v, |(a, b, c)|^2 = v' Q v.
    Q = np.array([[2.0, -1.0], [-1.0, 2.0]]) / 3.0
    Z = X - X.mean(axis=0)
    v = np.linalg.solve(Z.T @ Z + alpha * Q, Z.T @ (y - y.mean()))
    c = (v[0] + v[1]) / 3.0
    model = Ridge(alpha).fit(kind(np.column_stack([X, X.sum(axis=1)])), y)
    np.testing.assert_allclose(model.coef_, [v[0] - c, v[1] - c, c], rtol=1e-10)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("shape", [(20, 6), (7, 15)])
@pytest.mark.parametrize("loose", [0, 1, 3])
@pytest.mark.parametrize("solver", [*FACTORS, *OTHERS])
def test_every_solver_zeroes_the_gradient(solver, kind, shape, loose):
    """Each solves ``(Z'Z + D) v = Z'y`` for several targets, also with columns that have no penalty."""
    design, targets, diagonal, Z, gradient = setting(kind, shape, loose)
    if solver in ("svd", "qr") and sparse.issparse(design.X):
        design = make_design(design.X.toarray(), design.share, True)
    if solver in FACTORS:
        factor = FACTORS[solver](design, diagonal)
        factor.prepare(np.ones(1))
        found, corrs, rss, n_iter = factor.refined(targets, np.ones(2))
        rest = targets - found @ Z.T
        np.testing.assert_allclose(corrs, rest @ Z, rtol=0, atol=1e-14)
        np.testing.assert_allclose(rss, (rest**2).sum(axis=1), rtol=1e-12)
    else:
        found, n_iter = OTHERS[solver](design, targets, diagonal)
    assert np.all(n_iter >= 1)
    expected = np.linalg.solve(Z.T @ Z + np.diag(diagonal), (targets @ Z).T).T
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(gradient(found), 0.0, rtol=0, atol=1e-14)


@pytest.mark.parametrize("shape", [(20, 6), (7, 15)])
@pytest.mark.parametrize("loose", [0, 2])
@pytest.mark.parametrize("solver", FACTORS)
def test_one_factorisation_answers_every_lambda(solver, shape, loose):
    """Rows with a lambda each are solved at once, and as they are alone."""
    design, targets, l2, Z, _ = setting(np.asarray, shape, loose)
    l2[-1] = np.inf
    lams = np.array([1e-3, 0.5, 20.0])
    factor = FACTORS[solver](design, l2)
    factor.prepare(lams)
    found = factor.refined(np.repeat(targets, 3, axis=0), np.tile(lams, 2)).coefs
    A = Z[:, :-1]
    for row, (target, lam) in enumerate((target, lam) for target in targets for lam in lams):
        expected = np.linalg.solve(A.T @ A + lam * np.diag(l2[:-1]), A.T @ target)
        np.testing.assert_allclose(found[row, :-1], expected, rtol=0, atol=1e-10 * np.abs(expected).max())
        assert found[row, -1] == 0.0


@pytest.mark.parametrize("solver", ["dual", "cg", "qr", "svd", "lsmr"])
def test_excluded_columns_take_no_part(solver):
    """An infinite penalty leaves a column out of the dual, the singular values and the iterations."""
    design, targets, diagonal, Z, _ = setting(np.asarray, (20, 6), 1)
    diagonal[[1, 4]] = np.inf
    used = np.isfinite(diagonal)
    if solver in FACTORS:
        factor = FACTORS[solver](design, diagonal)
        factor.prepare(np.ones(1))
        found = factor.refined(targets, np.ones(2)).coefs
    else:
        found, _ = OTHERS[solver](design, targets, diagonal)
    A = Z[:, used]
    expected = np.linalg.solve(A.T @ A + np.diag(diagonal[used]), (targets @ A).T).T
    np.testing.assert_allclose(found[:, used], expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[:, ~used], 0.0)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("shape", [(20, 6), (7, 15), (3000, 40)])
def test_the_excess_of_an_objective_is_that_over_the_least_one(kind, shape):
    """Half of ``d'Hd``, at a distance ``d`` from the minimum; columns that are left out count for nothing."""
    design, targets, diagonal, Z, gradient = setting(kind, shape, 0)
    H = Z.T @ Z + np.diag(diagonal)
    best = np.linalg.solve(H, (targets @ Z).T).T
    apart = np.random.default_rng(1).standard_normal(best.shape)
    coefs = best + apart
    corrs = (targets - coefs @ Z.T) @ Z
    found = _ridge.excess(design, np.tile(diagonal, (2, 1)), coefs, corrs)
    np.testing.assert_allclose(found, 0.5 * np.einsum("ij,jk,ik->i", apart, H, apart), rtol=1e-9)
    rest = coefs.copy()
    rest[:, -1] = 0.0
    g = gradient(rest)[:, :-1]
    diagonal[-1] = np.inf
    found = _ridge.excess(design, np.tile(diagonal, (2, 1)), rest, (targets - rest @ Z.T) @ Z)
    np.testing.assert_allclose(found, 0.5 * (g * np.linalg.solve(H[:-1, :-1], g.T).T).sum(axis=1), rtol=1e-9)


def test_the_excess_leaves_out_what_is_rounding():
    """Of two equal columns only the sum is seen; what they hold beside it costs its penalty."""
    design, targets, _, Z, _ = setting(np.asarray, (20, 6), 0)
    X = np.column_stack([design.X, design.X[:, 0]])
    design = make_design(X, design.share, True)
    Z = np.column_stack([Z, Z[:, 0]])
    best = np.linalg.lstsq(Z, targets[0], rcond=1e-12)[0]
    best[[0, -1]] += [1e3, -1e3]
    corrs = (targets[0] - Z @ best) @ Z
    found = _ridge.excess(design, np.zeros((1, 7)), best[None], corrs[None])
    assert found[0] < 1e-25
    faint = np.full((1, 7), 1e-26)
    assert _ridge.excess(design, faint, best[None], corrs[None])[0] == pytest.approx(1e-20, rel=0.01)


@pytest.mark.parametrize("lams", [[0.0], [0.0, 1e-16]])
def test_singular_normal_equations_are_refused(lams):
    """Without a penalty to speak of, dependent columns are for another solver."""
    design, *_, Z, _ = setting(np.asarray, (20, 6), 0)
    Z = np.column_stack([Z, Z[:, 0]])
    factor = _ridge.Primal(design, Z.T @ Z, np.ones(7))
    with pytest.raises(_ridge.SingularError):
        factor.prepare(lams)
    with pytest.raises(_ridge.SingularError):
        _ridge.Primal(design, Z.T @ Z, np.zeros(7))


def test_refinement_repairs_a_poor_factor():
    """With the Gram matrix known to six digits only, the fresh gradient still leads to the answer."""
    design, targets, diagonal, Z, _ = setting(np.asarray, (20, 6), 0)
    gram = Z.T @ Z
    rough = gram * (1.0 + 1e-6 * np.random.default_rng(0).standard_normal(gram.shape))
    factor = _ridge.Primal(design, (rough + rough.T) / 2, diagonal)
    factor.prepare(np.ones(1))
    found, *_, n_iter = factor.refined(targets, np.ones(2))
    expected = np.linalg.solve(gram + np.diag(diagonal), (targets @ Z).T).T
    assert n_iter > 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lam", [1e-9, 1e-4, 1.0])
@pytest.mark.parametrize("shape", [(7, 15), (30, 90)])
def test_the_dual_certificate_bounds_that_of_the_data(shape, lam):
    """Correlations that spare a pass over X never give a smaller gap than those computed with one."""
    design, targets, l2, Z, _ = setting(np.asarray, shape, 0)
    l2[2] = np.inf
    factor, lams = _ridge.Dual(design, l2), np.full(2, lam)
    factor.prepare(lams)
    coefs, corrs, rss, _ = factor.refined(targets, lams)
    used = np.isfinite(l2)

    def gaps(corrs):
        slack = corrs[:, used] - lam * l2[used] * coefs[:, used]
        return (slack**2 / (2.0 * lam * l2[used])).sum(axis=1)

    honest = gaps((targets - coefs @ Z.T) @ Z)
    assert (gaps(corrs) >= honest - 1e-28 / lam).all()  # rounding of these products
    assert (gaps(corrs) <= 1e-13 * rss.clip(1.0)).all()
    # Away from the optimum the correlations are those of the data.
    off = factor._correlations(coefs, targets, np.ones(2), lams)
    np.testing.assert_allclose(off, targets @ Z, rtol=0, atol=1e-13)


def test_when_the_dual_certificate_spares_a_pass():
    """Where the worst that `slip` allows is too little for a certificate to see, for all solutions."""
    design, targets, l2, *_ = setting(np.asarray, (7, 15), 0)
    factor, lams = _ridge.Dual(design, l2), np.array([0.1, 2.0])
    factor.prepare(lams)
    coefs = factor.refined(targets, lams).coefs
    most = np.sqrt(2.0 * _ridge.ACCURATE * lams / (1.0 / l2).sum())
    nothing = np.full(targets.shape, np.nan)  # the residuals, which are not looked at
    found = factor._correlations(coefs, nothing, 0.99 * most, lams)
    np.testing.assert_allclose(found, lams[:, None] * l2 * coefs + 0.99 * most[:, None], rtol=1e-13)
    for share in ((0.99, 1.01), (1.01, 0.99)):
        assert np.isnan(factor._correlations(coefs, nothing, most * share, lams)).all()
    loose = _ridge.Dual(design, np.where(np.arange(15) == 4, 0.0, l2))
    assert np.isnan(loose._correlations(coefs, nothing, 0.0 * most, lams)).all()


@pytest.mark.parametrize(("solver", "shape"), [("primal", (20, 6)), ("dual", (7, 15))])
def test_a_correction_that_is_no_number_is_not_made(solver, shape):
    """What the factor answers to the gradient may overflow; the solution stays as it is."""
    X, _ = oracles.holes(*shape, seed=0, density=0.7)
    design = make_design(X, None, False)
    targets = design.target(np.random.default_rng(0).standard_normal(shape[0]))[1][None]
    factor = FACTORS[solver](design, np.full(shape[1], 0.5))
    factor.prepare(np.ones(1))
    exact, asked = factor.inverse, []
    expected = factor.refined(targets, np.ones(1)).coefs
    for answer in (np.inf, -np.inf, np.nan):
        asked.clear()

        def overflows(rows, lams, answer=answer):
            asked.append(rows)
            enough = len(asked) > (1 if solver == "primal" else 2)  # the dual corrects once by its matrix
            return np.full(rows.shape, answer) if enough else exact(rows, lams)

        overflows.reciprocal = exact.reciprocal
        factor.inverse = overflows
        found = factor.refined(targets, np.ones(1))
        assert found.steps == 1
        np.testing.assert_allclose(found.coefs, expected, rtol=0, atol=1e-13)


def test_the_dual_is_orthogonal_to_the_intercept_at_once():
    """A tiny penalty is alone in the direction of the intercept: rounding there costs no corrections."""
    X, y = oracles.numbers(30, 200, seed=5)
    design = make_design(X, None, True)
    factor = _ridge.Dual(design, np.ones(200))
    factor.prepare(np.full(1, 1e-9))
    found = factor.refined(design.target(y)[1][None], np.full(1, 1e-9))
    assert found.steps == 1
    left, values, right = np.linalg.svd(design.apply(np.eye(200)).T, full_matrices=False)
    left, values, right = left[:, :-1], values[:-1], right[:-1]  # the last one is rounding
    expected = (design.target(y)[1] @ left * values / (values**2 + 1e-9)) @ right
    np.testing.assert_allclose(found.coefs[0], expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("shape", [(20, 6), (15, 40)])
@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.filterwarnings("error")
def test_conjugate_gradients_read_what_is_compressed_once(kind, shape, n_targets, n_threads, monkeypatch):
    """Rows, or the columns of wide data, in threads or not, with weights of zero and excluded columns."""
    monkeypatch.setattr(_ridge, "SHARED", 0)
    monkeypatch.setattr(_ridge, "available", lambda: n_threads)
    rng = np.random.default_rng(0)
    X = sparse.random(*shape, density=0.5, random_state=rng).toarray() + (rng.random(shape[1]) < 0.3)
    weights = rng.uniform(0.5, 2.0, shape[0])
    weights[3] = 0.0
    X[3, [0, -1]] = 1e308
    design = make_design(kind(X), weights, True)
    targets = np.array([design.target(rng.standard_normal(shape[0]))[1] for _ in range(n_targets)])
    l2 = rng.uniform(0.01, 0.5, shape[1])
    l2[2] = np.inf
    lams = np.array([1e-2, 3.0])[:n_targets]
    factor = _ridge.conjugate(design, l2, lams, 1000, True)
    by_columns = kind is sparse.csc_array and shape[0] < shape[1]
    assert isinstance(factor, _ridge.DualConjugate if by_columns else _ridge.Conjugate)
    found = factor.refined(targets, lams)
    used = np.isfinite(l2)
    Z = design.apply(np.eye(shape[1])).T[:, used]
    for row, (target, lam) in enumerate(zip(targets, lams, strict=True)):
        expected = np.linalg.solve(Z.T @ Z + lam * np.diag(l2[used]), Z.T @ target)
        np.testing.assert_allclose(
            found.coefs[row, used], expected, rtol=0, atol=1e-12 * np.abs(expected).max()
        )
        rest = target - Z @ found.coefs[row, used]
        np.testing.assert_allclose(found.corrs[row, used], rest @ Z, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.rss[row], rest @ rest, rtol=1e-12)
    assert not found.coefs[:, 2].any()


def test_small_matrices_are_factored_by_one_thread_of_blas(monkeypatch):
    """Which would be slow where other work wants the cores; afterwards all is as before."""
    seen = []
    dpotrf = _ridge.linalg.lapack.dpotrf

    def look(*args, **options):
        seen.append(_threads.blas_limit.threads())
        return dpotrf(*args, **options)

    monkeypatch.setattr(_ridge.linalg.lapack, "dpotrf", look)
    before = _threads.blas_limit.threads()
    for size in (20, 300):
        _ridge._factor(np.eye(size))
        with pytest.raises(_ridge.SingularError):
            _ridge._factor(np.ones((size, size)))
    assert seen == [before, before, 1, 1]
    assert _threads.blas_limit.threads() == before


def test_dual_coefficients_are_not_iterated_on_where_they_would_be_long():
    """Below, rounding of the residual divided by lambda would show in the coefficients."""
    design = make_design(sparse.random(20, 60, density=0.4, random_state=0, format="csc"), None, True)
    for lam, kind in ((1e-3, _ridge.DualConjugate), (1e-6, _ridge.Conjugate), (1e-320, _ridge.Conjugate)):
        assert type(_ridge.conjugate(design, np.ones(60), np.full(1, lam), 10, True)) is kind


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
def test_some_large_columns_get_a_unit_diagonal(kind, monkeypatch):
    """Of wide data, where lambda is not small: fewer iterations than in the span of the rows, as exact."""
    rng = np.random.default_rng(0)
    X = sparse.random(100, 150, density=0.3, random_state=rng).toarray() * 0.1
    X[:, :8] *= np.geomspace(40.0, 10.0, 8)
    design = make_design(kind(X), None, True)
    targets = design.target(rng.standard_normal(100))[1][None]
    norm, lam = design.units.norm, 1.0 / 100
    l2 = 1.0 / (norm * norm)
    Z = design.apply(np.eye(150)).T
    expected = np.linalg.solve(Z.T @ Z + lam * np.diag(l2), Z.T @ targets[0])
    spent = []
    for trace in (_ridge.TRACE, np.inf):
        monkeypatch.setattr(_ridge, "TRACE", trace)
        factor = _ridge.conjugate(design, l2, np.full(1, lam), 1000, True)
        found = factor.refined(targets, np.full(1, lam))
        np.testing.assert_allclose(found.coefs[0], expected, rtol=0, atol=1e-13 * np.abs(expected).max())
        spent.append(1000 - factor.effort.left)
    assert isinstance(factor, _ridge.DualConjugate if kind is sparse.csc_array else _ridge.Conjugate)
    assert spent[0] < spent[1]
    # Not where the rows have room to spare, nor where the null space would be slow.
    assert _ridge._in_rows(design, l2, 1e-3 * lam)
    assert _ridge._in_rows(design, 1e4 * l2, lam)


def test_iterations_stop_where_they_are_told():
    """Neither kind of iteration uses more than it is given; an impatient one says so."""
    design, targets, diagonal, *_ = setting(sparse.csc_array, (20, 15), 0)
    for limit in (1, 2, 5):
        found, n_iter = _ridge.iterate(design, targets[:1], diagonal, design.units.norm, limit)
        assert n_iter <= limit
        assert np.isfinite(found).all()
        for kind in (_ridge.Conjugate, _ridge.DualConjugate):
            factor = kind(design, diagonal, limit, True)
            for _ in range(2):  # one batch of targets after another
                assert np.isfinite(factor.refined(targets, np.ones(2)).coefs).all()
                assert factor.effort.left == 0
            with pytest.raises(_ridge.SlowError):
                kind(design, diagonal, limit, False).refined(targets, np.ones(2))


def test_every_batch_of_targets_is_given_all_iterations():
    """What one batch has used is not taken from the next."""
    design, targets, diagonal, Z, _ = setting(sparse.csr_array, (20, 15), 0)
    factor = _ridge.Conjugate(design, diagonal, 60, True)
    expected = np.linalg.solve(Z.T @ Z + np.diag(diagonal), (targets @ Z).T).T
    for _ in range(5):
        np.testing.assert_allclose(factor.refined(targets, np.ones(2)).coefs, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (60, 40)])
@pytest.mark.parametrize("copies", [0, 3])
def test_the_spectrum_is_that_of_the_data(shape, copies):
    """Rank and extreme singular values of A, against a singular value decomposition."""
    X, _ = oracles.numbers(*shape, seed=3)
    X = np.hstack([X, X[:, :copies]])
    design = make_design(X, None, True)
    Z = design.apply(np.eye(X.shape[1])).T
    l2 = np.random.default_rng(0).uniform(0.5, 2.0, X.shape[1])
    l2[len(l2) - copies :] = l2[:copies]
    values = np.linalg.svd(Z / np.sqrt(l2), compute_uv=False)
    rank = np.count_nonzero(values > 1e-10)
    for solver in ("primal", "dual"):
        spectrum = FACTORS[solver](design, l2).conditioning().spectrum()
        assert spectrum.rank == rank
        assert spectrum.condition() == pytest.approx(values[0] / values[rank - 1], rel=0.05)
        low = values[-1] if rank == X.shape[1] else 0.0
        if solver == "primal" or X.shape[1] > len(X):
            expected = np.sqrt((values[0] ** 2 + 0.1) / (low**2 + 0.1))
            assert spectrum.condition(0.1) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", [(40, 5), (12, 30), (150, 90)])
@pytest.mark.parametrize("settings", [{}, {"standardize": True}, {"fit_intercept": False}, {"alpha": 0.0}])
def test_ridge_reports_how_well_posed_the_problem_is(shape, settings):
    """Rank and condition numbers of the weighted, centred (and scaled) rows, as NumPy computes them."""
    X, y = oracles.numbers(*shape, seed=4)
    X = np.column_stack([X, X[:, 0] - X[:, 1]])
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X))
    model = Ridge(**settings).fit(X, y, weights)
    Z = X - np.average(X, axis=0, weights=weights) * model.fit_intercept
    Z *= np.sqrt(weights)[:, None]
    if model.standardize:
        Z /= np.sqrt((Z**2).sum(axis=0) / weights.sum())
    values = np.linalg.svd(Z, compute_uv=False)
    rank = np.linalg.matrix_rank(Z)
    assert model.rank_ == rank
    assert type(model.rank_) is int
    assert type(model.condition_number_) is type(model.penalised_condition_number_) is float
    assert model.condition_number_ == pytest.approx(values[0] / values[rank - 1], rel=0.05)
    if model.alpha > 0.0:
        below = np.vstack([Z, np.sqrt(model.alpha) * np.eye(Z.shape[1])])
        assert model.penalised_condition_number_ == pytest.approx(np.linalg.cond(below), rel=0.05)
    again = pickle.loads(pickle.dumps(model))
    assert again.condition_number_ == model.condition_number_
    assert not hasattr(Ridge(), "rank_")


@pytest.mark.parametrize("shape", [(100, 80), (300, 150), (150, 300)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit", ["one alpha", "many alphas", "moments"])
def test_rank_and_condition_number_come_from_whatever_a_fit_has_made(fit, shape, weighted):
    """A Cholesky factor, eigenvalues or neither; of few columns, and of more than are kept."""
    X, y = oracles.numbers(*shape, seed=5)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(X)) if weighted else np.ones(len(X))
    if fit == "moments":
        model = Ridge().fit_moments(Moments.from_data(X, y, weights))
    else:
        model = (Ridge() if fit == "one alpha" else RidgeCV([0.1, 1.0, 10.0])).fit(X, y, weights)
    Z = (X - np.average(X, axis=0, weights=weights)) * np.sqrt(weights)[:, None]
    values = np.linalg.svd(Z, compute_uv=False)
    rank = np.linalg.matrix_rank(Z)
    assert model.rank_ == rank
    assert type(model.condition_number_) is float
    assert model.condition_number_ == pytest.approx(values[0] / values[rank - 1], rel=0.05)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_bounded_ridge_is_bounded_least_squares(shape, positive, weighted):
    """Against `scipy.optimize.lsq_linear` on rows augmented by the penalty."""
    X, y = oracles.numbers(*shape, seed=9)
    settings = {
        "alpha": 2.0,
        "penalty_weights": np.random.default_rng(0).uniform(0.5, 2.0, shape[1]),
        "standardize": weighted,
        **({"positive": True} if positive else {"bounds": (-0.1, 0.2)}),
    }
    weights = np.random.default_rng(1).uniform(0.5, 2.0, shape[0]) if weighted else None
    expected = oracles.bounded_ridge(oracles.problem(X, y, ridge=True, sample_weight=weights, **settings))
    model = Ridge(**settings).fit(X, y, weights)
    np.testing.assert_allclose(model.coef_, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("patience", [0, 50])
@pytest.mark.parametrize("alpha", [1.0, [0.5, 1.0, 1.0, 30.0]])
def test_sparse_targets_are_iterated_on_in_batches_or_factored(alpha, patience, monkeypatch):
    """Conjugate gradients on one batch of targets after another; a factor where they take too long."""
    rng = np.random.default_rng(0)
    X = sparse.random(700, 600, density=0.01, random_state=rng, format="csr") + 0.0
    Y = rng.standard_normal((700, 4)) + X[:, :4].toarray() * 10.0
    monkeypatch.setattr(_solve, "BATCH", 1500)
    monkeypatch.setattr(_solve, "PATIENCE", patience)
    monkeypatch.setattr(_solve, "COST_RATIO", 1e12 if patience == 0 else 1e-3)
    model = Ridge(alpha).fit(X, Y)
    assert ("did not do" if patience == 0 else "it took few of them") in model.solver_
    Z = X.toarray() - X.toarray().mean(axis=0)
    for target, strength in enumerate(np.broadcast_to(alpha, 4)):
        expected = np.linalg.solve(Z.T @ Z + strength * np.eye(600), Z.T @ Y[:, target])
        np.testing.assert_allclose(model.coef_[target], expected, rtol=0, atol=1e-11)
    assert np.isnan(model.condition_number_) == (patience == 50)


@pytest.mark.parametrize("solver", ["auto", "lsqr"])
@pytest.mark.parametrize("shape", [(20, 60), (30, 30)])
@pytest.mark.parametrize("alpha", [1e-16, 1e-12])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_iterations_on_wide_data_stay_in_the_span_of_the_rows(solver, shape, alpha, fit_intercept):
    """As alpha vanishes the answer is the shortest interpolation, however different the columns' sizes."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal(shape) * np.geomspace(0.2, 5.0, shape[1])
    y = rng.standard_normal(shape[0])
    centred, apart = (X - X.mean(axis=0), y - y.mean()) if fit_intercept else (X, y)
    model = Ridge(alpha, solver=solver, fit_intercept=fit_intercept, tol=1e-8).fit(sparse.csr_array(X), y)
    expected = np.linalg.lstsq(centred, apart, rcond=1e-12)[0]
    np.testing.assert_allclose(model.coef_, expected, atol=1e-7 * np.abs(expected).max())


def test_factors_of_one_support_after_another():
    """Features come and go, from everywhere; what is refused leaves the factor as it was."""
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((30, 12))
    Z[:, 11] = Z[:, 0]
    Z /= np.sqrt((Z * Z).sum(axis=0))
    gram, corrs = Z.T @ Z, rng.standard_normal(12)

    def gram_of(new, before):
        return gram[np.ix_(np.concatenate([before, new]), new)]

    factor = _ridge.SupportFactor(gram_of)
    for _ in range(50):
        support = np.flatnonzero(rng.random(12) < 0.6)
        if len(support) == 0:
            continue
        if {0, 11} <= set(support):
            with pytest.raises(_ridge.SingularError):
                factor.turn_to(support)
            continue
        factor.turn_to(support)
        expected = np.linalg.solve(gram[np.ix_(support, support)], corrs[support])
        np.testing.assert_allclose(factor.solve(corrs[support]), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("condition", "passes"), [(3.0, 0), (3e4, 1), (1e6, 2)])
def test_corrections_end_where_rounding_of_the_data_begins(condition, passes, monkeypatch):
    """What is less than cond(X) eps is not worth another pass over the data, and cannot be seen."""
    rng = np.random.default_rng(0)
    left, _ = np.linalg.qr(rng.standard_normal((40, 6)))
    right, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    X = 10.0 * left * np.geomspace(1.0, 1.0 / condition, 6) @ right
    y = X @ rng.standard_normal(6) + 1e-3 * rng.standard_normal(40)
    read, gradients = [], DenseDesign.gradients
    monkeypatch.setattr(DenseDesign, "gradients", lambda *args: read.append(1) or gradients(*args))
    alpha = 1e-3 * (10.0 / condition) ** 2
    model = Ridge(alpha=alpha, fit_intercept=False).fit(X, y)
    exact = exact_ridge(X, y, alpha, False)
    assert len(read) == passes
    np.testing.assert_allclose(model.coef_, exact, rtol=0, atol=1e-15 * condition * np.abs(exact).max())
