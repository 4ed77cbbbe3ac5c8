"""Which solver runs, that all of them agree, and what is said about the answer."""

import itertools
import re

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import (
    ElasticNet,
    Lasso,
    Moments,
    Ridge,
    _active_set,
    _design,
    _ridge,
    _solve,
    _working_sets,
    enet_path,
    ridge_path,
)
from sparse_linear import _compiled as _kernels
from sparse_linear._penalty import Penalty, make_penalty
from tests import oracles

ROUTES = {
    "active set on columns": ("active set", False),
    "active set on moments": ("active set", True),
    "cholesky": ("cholesky", True),
    "dual": ("dual", False),
    "qr": ("qr", False),
    "svd": ("svd", False),
    "lsmr": ("lsmr", False),
    "cg": ("cg", False),
}


def problem(**changes):
    plain = {
        "n": 100,
        "p": 10,
        "sparse": False,
        "far": False,
        "l1": False,
        "bounded": False,
        "penalised": True,
        "n_lams": 1,
        "wish": "auto",
    }
    return _solve.Problem(**(plain | changes))


@pytest.mark.parametrize(
    ("changes", "solver", "moments"),
    [
        ({"l1": True}, "active set", True),
        ({"bounded": True}, "active set", True),
        ({"l1": True, "sparse": True}, "active set", True),
        ({"l1": True, "sparse": True, "far": True}, "active set", False),
        ({"l1": True, "n": 100, "p": 1000}, "active set", False),
        ({"l1": True, "n": 10_000, "p": 5000}, "active set", False),
        ({"l1": True, "n": 10_000, "p": 400, "n_lams": 100}, "active set", True),
        ({"l1": True, "n": 10_000, "p": 400}, "active set", False),
        ({"l1": True, "n": 10_000, "p": 2000, "n_lams": 100}, "active set", False),
        ({"l1": True, "n": 10_000, "p": 2000, "n_lams": 100, "n_fits": 6}, "active set", True),
        ({"l1": True, "n": 9000, "p": 2000, "n_lams": 50, "n_fits": 6, "sparse": True}, "active set", False),
        ({"l1": True, "n": 10_000, "p": 5000, "n_lams": 100, "n_fits": 6}, "active set", False),
        ({"l1": True, "wish": "svd"}, "active set", True),
        ({}, "cholesky", True),
        ({"sparse": True}, "cholesky", True),
        ({"sparse": True, "far": True}, "cholesky", False),
        ({"n": 10, "p": 100}, "dual", False),
        ({"n": 10, "p": 100, "sparse": True}, "dual", False),
        ({"penalised": False}, "cholesky", True),
        ({"penalised": False, "n": 10, "p": 6}, "svd", False),
        ({"penalised": False, "sparse": True}, "cholesky", True),
        ({"penalised": False, "sparse": True, "n": 10, "p": 100}, "lsmr", False),
        ({"wish": "svd"}, "svd", False),
        ({"wish": "svd", "sparse": True}, "cholesky", True),
        ({"wish": "lsqr"}, "cholesky", True),
        ({"wish": "lsqr", "sparse": True}, "cg", False),
        ({"wish": "sparse_cg", "sparse": True}, "cg", False),
        ({"n": 100_000, "p": 50_000, "sparse": True, "stored": 10**6}, "cg", False),
        ({"n": 100_000, "p": 50_000}, "cg", False),
        ({"n": 100_000, "p": 3000, "sparse": True, "stored": 10**6}, "cg", False),
        ({"n": 100_000, "p": 3000, "sparse": True, "stored": 10**6, "n_lams": 30}, "cholesky", True),
    ],
)
def test_the_decision_tree(changes, solver, moments):
    """One problem for every branch, and a sentence that says why."""
    choice = _solve.select_solver(problem(**changes))
    assert (choice.solver, choice.moments) == (solver, moments)
    assert len(choice.reason) > 20
    assert choice.aside == "" or changes["wish"] in choice.aside


@pytest.mark.parametrize(
    ("wish", "changes", "aside"),
    [
        ("auto", {}, ""),
        ("cholesky", {}, ""),
        ("cholesky", {"n": 10, "p": 100}, ""),
        ("cholesky", {"penalised": False}, ""),
        ("cholesky", {"penalised": False, "n": 10, "p": 10}, "which needs a penalty"),
        ("cholesky", {"n": 100_000, "p": 50_000}, "whose factor takes longer, or more memory"),
        ("svd", {}, ""),
        ("svd", {"sparse": True}, "which would make X dense"),
        ("svd", {"bounded": True}, "which knows no bounds"),
        ("lsqr", {}, "which is for sparse X"),
        ("sparse_cg", {"n": 10, "p": 100}, "which is for sparse X"),
        ("lsqr", {"sparse": True}, ""),
        ("lsqr", {"sparse": True, "penalised": False}, "which needs a penalty"),
        ("lsqr", {"sparse": True, "penalised": False, "n": 10, "p": 100}, ""),
        ("sag", {}, "which stops at a tolerance"),
        ("saga", {"sparse": True}, "which stops at a tolerance"),
        ("lbfgs", {"bounded": True}, "which stops at a tolerance"),
    ],
)
def test_what_is_said_of_a_solver_that_was_asked_for(wish, changes, aside):
    expected = f"; not solver={wish!r}, {aside}" if aside else ""
    assert _solve.select_solver(problem(wish=wish, **changes)).aside == expected


def test_a_factor_that_takes_over_is_the_one_that_was_asked_for():
    large = {"n": 100_000, "p": 3000, "sparse": True, "stored": 10**6, "wish": "cholesky"}
    choice = _solve.select_solver(problem(**large))
    assert choice.aside.endswith("whose factor takes longer, or more memory")
    assert choice.after.aside == ""


def test_what_was_asked_for_is_in_the_sentence_of_the_fit():
    X, y = oracles.numbers(20, 5)
    said = "5 x 5 normal equations, refined on X; not solver='lsqr', which is for sparse X"
    assert Ridge(solver="lsqr").fit(X, y).solver_ == f"Cholesky factor of the {said}"
    twice = Ridge(1e-15, solver="sag").fit(np.hstack([X, X]), y).solver_
    assert twice.startswith("singular values of X: the normal equations are singular")
    assert twice.endswith("; not solver='sag', which stops at a tolerance")
    summed = Ridge(solver="svd").fit_moments(Moments.from_data(X, y)).solver_
    assert summed.endswith("on moments; not solver='svd', which is not for moments")


def test_the_shape_that_leads_to_moments():
    """Few columns, or many rows for the columns there are."""
    wide, tall = (Ridge(positive=True).fit(*oracles.numbers(*shape)) for shape in ((5, 30), (200, 70)))
    assert wide.solver_.endswith("on the moments of X because X has few columns (n=5, p=30)")
    assert tall.solver_.endswith("on the moments of X because X is tall (n=200, p=70)")


@pytest.fixture
def route(request, monkeypatch):
    """Send every problem to one solver."""
    solver, moments = ROUTES[request.param]
    monkeypatch.setattr(_solve, "select_solver", lambda _: _solve.Choice(solver, moments, f"test: {solver}"))
    return request.param


@pytest.mark.parametrize(
    ("route", "kind"),
    [
        (name, kind)
        for name in ROUTES
        for kind in (np.asarray, sparse.csc_array, sparse.csr_array)
        if name not in ("svd", "qr") or kind is np.asarray  # these take apart a dense X
    ],
    indirect=["route"],
)
@pytest.mark.parametrize("shape", [(40, 8), (12, 20)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_all_solvers_agree_on_a_ridge_problem(route, kind, shape, fit_intercept):
    """Every solver, on any storage, satisfies the conditions of the same weighted problem."""
    X, y = oracles.holes(*shape, seed=1)
    weights = np.where(np.arange(shape[0]) % 5 == 0, 0.0, 1.5)
    factors = np.where(np.arange(shape[1]) == 1, 0.0, np.where(np.arange(shape[1]) == 3, np.inf, 1.0))
    settings = {"alpha": 0.7, "fit_intercept": fit_intercept, "penalty_weights": factors}
    model = Ridge(**settings).fit(kind(X), y, weights)
    assert model.solver_ == f"test: {ROUTES[route][0]}"
    oracles.assert_optimal(
        X,
        y,
        model.coef_,
        model.intercept_,
        sample_weight=weights,
        ridge=True,
        objective=model.objective_,
        dual_gap=model.dual_gap_,
        **settings,
    )


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
@pytest.mark.parametrize("shape", [(40, 8), (12, 20)])
@pytest.mark.parametrize("route", ["active set on columns", "active set on moments"], indirect=True)
def test_both_sources_agree_on_a_lasso_problem(route, kind, shape):
    """From the columns or from the moments of X: optimal."""
    X, y = oracles.holes(*shape, seed=2)
    model = Lasso(0.05).fit(kind(X), y)
    oracles.assert_optimal(
        X, y, model.coef_, model.intercept_, 0.05, objective=model.objective_, dual_gap=model.dual_gap_
    )


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("shape", [(30, 6), (6, 9)])
def test_singular_normal_equations_find_another_way(kind, shape):
    """Where the factor would be refused, the answer comes from the data, and `solver_` says so."""
    X, y = oracles.numbers(*shape, seed=3)
    X = np.hstack([X, X])
    model = Ridge(1e-15).fit(kind(X), y)
    assert "singular" in model.solver_
    oracles.assert_optimal(X, y, model.coef_, model.intercept_, 1e-15, ridge=True)


@pytest.mark.parametrize(("slant", "reads"), [(0.0, 0), (30.0, 3)])
def test_y_is_not_read_again_where_moments_are_enough(slant, reads, monkeypatch):
    """Only an ill-posed fit to tall data is corrected on the rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 5))
    X[:, 1] += slant * X[:, 0]
    Y = np.column_stack(
        [X @ rng.standard_normal((5, 2)) + 10.0 + rng.standard_normal((60, 2)), np.full(60, 7.0)]
    )
    expected = Ridge(alpha=1.0, solver="svd").fit(X, Y)
    seen = []
    target = _design.DenseDesign.target
    monkeypatch.setattr(_design.DenseDesign, "target", lambda self, y: seen.append(y) or target(self, y))
    found = Ridge(alpha=1.0).fit(X, Y)
    assert len(seen) == reads
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=0, atol=1e-11)
    np.testing.assert_allclose(found.objective_, expected.objective_, rtol=1e-12)
    assert found.objective_[2] == found.dual_gap_[2] == 0.0


def test_mixed_alphas_share_nothing_they_should_not():
    """One target without penalty beside others: each gets its own answer."""
    X, _ = oracles.numbers(20, 30, seed=4)
    Y = np.random.default_rng(0).standard_normal((20, 4))
    alphas = [0.0, 1.0, 0.0, 10.0]
    together = Ridge(alphas).fit(X, Y)
    for alpha, y, coef, gap in zip(alphas, Y.T, together.coef_, together.dual_gap_, strict=True):
        np.testing.assert_allclose(coef, Ridge(alpha).fit(X, y).coef_, rtol=0, atol=1e-13)
        assert gap <= 1e-12


# ---------------------------------------------------------------------------------------------
# What is said
# ---------------------------------------------------------------------------------------------


def hard():
    """Correlated columns, on which one round is not enough."""
    return oracles.numbers(60, 50, seed=6, correlation=4.0)


STOPPED = {
    "Lasso": lambda X, y: Lasso(1e-3, max_iter=1, tol=1e-9).fit(X, y),
    "ElasticNet": lambda X, y: ElasticNet(1e-3, l1_ratio=0.9, max_iter=1, tol=1e-9).fit(X, y),
    "Ridge": lambda X, y: Ridge(1e-3, max_iter=1, positive=True, tol=1e-9).fit(X, y),
    "Ridge-lsqr": lambda X, y: Ridge(1e-3, max_iter=1, solver="lsqr", tol=1e-9).fit(sparse.csr_array(X), y),
    "enet_path": lambda X, y: enet_path(
        X, y, l1_ratio=0.9, alphas=[1e-3], max_iter=1, tol=1e-9, fit_intercept=True
    ),
    "ridge_path": lambda X, y: ridge_path(
        X, y, [1e-3], max_iter=1, tol=1e-9, positive=True, fit_intercept=True
    ),
}


@pytest.mark.parametrize("name", STOPPED)
def test_a_fit_that_stops_early_says_so(name):
    """The warning holds the tolerance, the gap that was reached, and the remedy; so does the status."""
    X, y = hard()
    with pytest.warns(ConvergenceWarning) as caught:
        result = STOPPED[name](X, y)
    (message,) = [str(warning.message) for warning in caught]
    assert "tol=1e-09" in message
    assert "raise max_iter (now 1)" in message
    reached = float(re.search(r"gap is ([\d.e+-]+)", message)[1])
    gap = result.dual_gaps[0] if isinstance(result, tuple) else result.dual_gap_
    square = np.var(y) * (2 * len(y) if "idge" in name else 1)
    assert reached == pytest.approx(gap / square, rel=0.01)
    status = result.statuses[0] if isinstance(result, tuple) else result.status_
    assert "stopped at max_iter=1" in status
    assert caught[0].filename == __file__, "the warning should point at the line that called us"


@pytest.mark.parametrize(
    "estimator", [Lasso(1e-3), ElasticNet(1e-3, l1_ratio=0.9), Ridge(1e-3, positive=True)]
)
def test_the_warning_follows_tol(estimator):
    """With a tolerance above the gap there is nothing to warn about; just below it there is."""
    X, y = hard()
    estimator.set_params(max_iter=1, tol=1e9).fit(X, y)
    square = np.var(y) * (2 * len(y) if isinstance(estimator, Ridge) else 1)
    reached = estimator.dual_gap_ / square
    estimator.set_params(tol=1.01 * reached).fit(X, y)
    with pytest.warns(ConvergenceWarning):
        estimator.set_params(tol=0.99 * reached).fit(X, y)


@pytest.mark.parametrize("estimator", [Lasso(1e-3), ElasticNet(1e-3), Ridge(1.0), Ridge(1.0, positive=True)])
def test_an_exact_fit_says_so(estimator):
    """Nothing to warn about even at ``tol=0``, and a status that holds the gap."""
    X, y = hard()
    model = estimator.set_params(tol=0.0).fit(X, y)
    assert re.match(r"optimal to rounding: relative duality gap \d\.\de-\d\d", model.status_)
    square = np.var(y) * (2 * len(y) if isinstance(estimator, Ridge) else 1)
    assert model.dual_gap_ <= 1e-13 * square


def test_units_in_use_stay():
    """What a design has derived from its units is not left behind when moments could give others."""
    X, y = oracles.numbers(40, 5)
    X += 1e3
    data = _solve.Data(X, y[:, None], None, True)
    design = data.design
    design.correlate(y[None])
    units = design.units
    _solve.fit(data, make_penalty(5, 1.0, 0.0), np.array([[0.1]]))
    assert design.units is units


@pytest.mark.parametrize("alpha", [1e-3, 1e-20])
@pytest.mark.parametrize("limits", [(-1e3, 1e3), (0.0, np.inf)])
@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 1.0)])
def test_moments_certify_what_the_data_would(alpha, limits, weights):
    """Under a tiny ridge penalty the rounding of correlations matters: the gap is never below that of X."""
    X, y = oracles.numbers(200, 8, correlation=2.0)
    penalty = make_penalty(8, 0.0, 1.0, np.where(np.arange(8) == 3, *weights), *limits)
    data = _solve.Data(X, y[:, None], None, True)
    design = data.design
    lams = np.array([alpha])
    found = _solve.fit(data, penalty, lams[None])
    target, values = design.target(y)
    in_units = penalty.in_units(design.units, target.scale)
    coefs = found.coefs[0].T * design.units.norm / target.scale
    truth, _ = _solve._gaps_on_data(design, values, in_units, lams, coefs)
    assert found.relative_gaps[0, 0] / 2.0 >= truth[0] - 1e-12


@pytest.mark.parametrize("lam", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize("error", [1e-16, 1e-3])
def test_gaps_without_the_rows_hold_the_doubt(lam, error, monkeypatch):
    """With the rows they are computed on them, so that none is left (at lambda = 0, see `_with_slip`)."""
    monkeypatch.setattr(_ridge, "PRODUCT_ERROR", error)
    X, y = oracles.numbers(50, 4, seed=10)
    data = _solve.Data(X, y[:, None], None, True)
    data.reduce()
    source = data.source(0)
    rules = make_penalty(4, 1.0, 0.5).in_units(source.units, source.target.scale)
    coefs, lams = np.array([[0.1, -0.2, 0.0, 0.3]]), np.array([lam])
    rest = source.start - coefs @ source.gram
    rss = np.array([1.0 - float(coefs[0] @ source.start + coefs[0] @ rest[0])])
    said = np.array([1e-3])
    before = _active_set.Solutions(np.arange(4), coefs, said, rss, np.ones(1, dtype=int))
    doubt = _solve._doubt(rules, lams, coefs, rss, said) if lam else np.inf
    sure = bool(np.all(doubt <= 1e-12))
    after = _solve._certified(data, 0, rules, lams, 100, before, lambda count: None)
    if sure:
        assert after.gaps == said
    else:
        assert after.gaps <= 1e-12  # what the rows say of a solution that was found anew
        assert (after.whole(4) != coefs).any()
    data.design = None
    after = _solve._certified(data, 0, rules, lams, 100, before, lambda count: None)
    assert after.gaps == (said if sure or lam == 0.0 else said + doubt)


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("shape", [(40, 5), (20, 90)])
@pytest.mark.parametrize("size", [1e-9, 1.0])
def test_rows_without_weight_may_hold_anything_finite(container, shape, size):
    """Neither squares nor products of what they hold, nor a fit to it, may reach an answer."""
    X, y = oracles.holes(*shape)
    X *= size
    weights = np.where(np.arange(len(y)) % 4 == 1, 0.0, 1.0)
    models = [
        Lasso(0.1 * size),
        Lasso(0.01 * size, positive=True, standardize=True),
        Ridge(0.1),
        Ridge(0.1, solver="lsqr"),
        Ridge(1e-3, bounds=(-1.0, 1.0), standardize=True),
        Ridge(0.1, penalty_weights=np.where(np.arange(shape[1]) == 2, 0.0, 1.0)),
    ]
    for model in models:
        expected = model.fit(container(X), y, weights).coef_
        wild = X.copy()
        wild[weights == 0.0] = 1e300 * np.where(np.arange(shape[1]) % 2, 1.0, -1.0)
        found = model.fit(container(wild), np.where(weights > 0.0, y, -1e300), weights)
        np.testing.assert_allclose(found.coef_, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())


def test_descent_is_named_where_it_ran(monkeypatch):
    """`solver_` does not call exact what was not."""
    X, y = oracles.numbers(60, 300)
    assert "descent, up to tol" not in Lasso(0.01).fit(X, y).solver_
    monkeypatch.setattr(_working_sets, "LARGEST_FACTOR", 5)
    assert "descent, up to tol" in Lasso(0.01, tol=1e-3).fit(X, y).solver_


def test_one_solution_is_taken_for_each_target():
    """`take` picks a fit and a place for every target, and all that belongs to it."""
    X, y = oracles.numbers(30, 4)
    Y = np.column_stack([y, X[:, 0] - y])
    data = _solve.Data(X, Y, None, True)
    penalties = [_solve.make_penalty(4, r, 1.0 - r, None, -np.inf, np.inf) for r in (1.0, 0.5)]
    lams = np.tile([1.0, 0.1, 0.01], (2, 1))
    fits = [_solve.fit(data, penalty, lams) for penalty in penalties]
    taken = _solve.take(fits, [(1, 2), (0, 1)])
    for target, (ratio, alpha) in enumerate([(0.5, 0.01), (1.0, 0.1)]):
        plain = ElasticNet(alpha, l1_ratio=ratio).fit(X, Y[:, target])
        np.testing.assert_allclose(taken.coefs[target, :, 0], plain.coef_, atol=1e-12)
        assert taken.intercepts[target, 0] == pytest.approx(plain.intercept_, abs=1e-12)
        assert taken.objectives[target, 0] == pytest.approx(plain.objective_, rel=1e-12)
        assert len(taken.statuses[target]) == 1


@pytest.mark.parametrize("shape", [(40, 5), (20, 50)])
def test_data_serve_one_fit_after_another(shape):
    """What a fit leaves behind (Gram matrices, products) changes no other: any order, any penalty."""
    X, y = oracles.numbers(*shape)
    p = shape[1]
    shared = _solve.Data(X, y[:, None], None, True)
    lams = np.array([[0.5, 0.1, 0.02]])
    weights = np.resize([1.0, 2.0, np.inf, 0.5], p)
    for ratio, factors in ((1.0, None), (0.3, weights), (0.7, None), (1.0, weights), (1.0, None)):
        penalty = _solve.make_penalty(p, ratio, 1.0 - ratio, factors, -np.inf, np.inf)
        found = _solve.fit(shared, penalty, lams)
        for b, alpha in enumerate(lams[0]):
            oracles.assert_optimal(
                X, y, found.coefs[0, :, b], found.intercepts[0, b], alpha, ratio, penalty_weights=factors
            )
        (parts, level), *_ = _solve.relaxed(shared, found, penalty, np.array([1.0]), 1000)
        refit = _solve.whole(parts, p)
        support = np.flatnonzero(found.coefs[0, :, 1])
        columns = np.column_stack([X[:, support], np.ones(len(y))])
        fitted = columns @ np.linalg.lstsq(columns, y, rcond=None)[0]
        np.testing.assert_allclose(X @ refit[0, :, 1] + level[0, 1], fitted, atol=1e-9)


@pytest.mark.parametrize("route", ["data", "moments"])
@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.0)],
    ids=["free", "positive", "negative"],
)
def test_nearly_dependent_features_without_penalty_hide_nothing(route, lower, upper):
    """Two features that differ by 1e-5: each alone is at rest, their difference leads downhill."""
    rng = np.random.default_rng(0)
    direction, other = np.linalg.qr(rng.normal(size=(30, 2)))[0].T
    X = np.column_stack([direction, direction + 1e-5 * other, rng.normal(size=30)])
    sign = 1.0 if upper > 0.0 else -1.0
    y = sign * (3.0 * direction + 1e-3 * other)
    data = _solve.Data(X, y[:, None], None, False)
    if route == "moments":
        data.reduce()
        data.design = None
    penalty = make_penalty(3, np.array([0.0, 0.0, 1.0]), 0.0, None, np.full(3, lower), np.full(3, upper))
    source = data.source(0)
    rules = penalty.in_units(source.units, source.target.scale)
    halves = sign * np.array([[1.5, 1.5, 0.0]]) * source.units.norm / source.target.scale
    residual = y - sign * X @ [1.5, 1.5, 0.0]
    rss = np.array([residual @ residual / (y @ y)])
    found = _active_set.Solutions(np.arange(3), halves, np.array([1e-18]), rss, np.ones(1, dtype=int))
    gap = _solve._with_slip(data, 0, rules, np.ones(1), found).gaps[0]
    assert 0.99 * rss[0] / 2 <= gap <= 1.01 * rss[0] / 2  # all of the residual can be explained


@pytest.mark.parametrize("route", ["data", "moments"])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_features_at_a_bound_that_together_lead_downhill(route, side):
    """Each hardly explains anything; their sum, for which both leave their bound, explains all."""
    direction, other = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 2)))[0].T
    X = np.column_stack([direction + 1e-5 * other, 1e-5 * other - direction])
    data = _solve.Data(X, side * other[:, None], None, False)
    if route == "moments":
        data.reduce()
        data.design = None
    limits = (0.0, np.inf) if side > 0.0 else (-np.inf, 0.0)
    penalty = make_penalty(2, 0.0, 0.0, None, *limits)
    rules = penalty.in_units(data.source(0).units, data.source(0).target.scale)
    zero = _active_set.Solutions(
        np.arange(2), np.zeros((1, 2)), np.zeros(1), np.ones(1), np.ones(1, dtype=int)
    )
    assert _solve._with_slip(data, 0, rules, np.ones(1), zero).gaps[0] == pytest.approx(0.5, rel=0.01)


def worst_gap(penalty, lam, corrs, coef, rss, error):
    """The largest gap when every correlation may be off by `error`, in either direction."""
    base, found = penalty.rules, []
    for signs in itertools.product((-1.0, 0.0, 1.0), repeat=len(corrs)):
        off = (corrs + error * np.array(signs))[None]
        gaps, _ = _kernels.duality_gaps(
            off, np.arange(len(corrs)), coef[None], np.array([lam]), base, np.array([rss])
        )
        found.append(gaps[0])
    return max(found)


INFINITE = (-np.inf, np.inf)
# Name: l1, l2, bounds, correlations, squared norm of the residual.
DOUBTFUL = {
    "ridge": ((0, 0), (0.5, 2.0), INFINITE, (1e-7, -3e-8), 0.7),
    "ridge, exact": ((0, 0), (0.5, 2.0), INFINITE, (0.0, 0.0), 0.7),
    "lasso, on the threshold": ((1.0, 2.0), (0, 0), INFINITE, (0.2, 0.1), 0.7),
    "box": ((0, 0), (0, 0), ([-2.0, -0.5], [3.0, 0.1]), (0.0, 0.0), 0.7),
    "box and lasso": ((0, 1.0), (0, 0), ([-2.0, -np.inf], [3.0, np.inf]), (0.0, 0.2), 0.7),
    "box, and lasso in a box": ((0, 1.0), (0, 0), ([-2.0, -50.0], [3.0, 50.0]), (0.0, 0.2), 0.7),
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_the_doubt_is_what_rounding_can_do(name, monkeypatch):
    """At zero coefficients: as much as the worst of all roundings, and hardly more."""
    l1, l2, limits, corrs, rss = DOUBTFUL[name]
    error, lam = 1e-9, 0.2
    monkeypatch.setattr(_ridge, "PRODUCT_ERROR", error)
    # A feature that is held at zero has no say, whatever its penalty.
    lower, upper = (np.append(np.broadcast_to(end, 2), 0.0) for end in limits)
    factors = (np.array([*part, 1e-9 * any(part)]) for part in (l1, l2))
    penalty = Penalty(np.column_stack([*factors, lower, upper]))
    used = Penalty(penalty.rules[:2])
    corrs, zero = np.array(corrs), np.zeros(2)
    gap = worst_gap(used, lam, corrs, zero, rss, 0.0)
    risen = worst_gap(used, lam, corrs, zero, rss, error) - gap

    def doubt_of(coef, gap, *lams):
        several = [np.full(len(lams), value) for value in (rss, gap)]
        return _solve._doubt(penalty, np.array(lams), np.tile(coef, (len(lams), 1)), *several)

    [doubt] = doubt_of(zero, gap, lam)
    assert risen <= doubt * (1.0 + 1e-6)
    # Boxes are taken to be as wide as their wider side, and roots of sums are rounded up.
    assert doubt <= 1.5 * risen
    several = doubt_of(zero, gap, lam, 2.0 * lam)
    assert several[0] == doubt
    assert several[1] <= doubt
    coef = np.array([1.2, -0.8])
    [longer] = doubt_of(coef, gap, lam)  # the error of correlations grows with coefficients
    if used.l1.any() or "box" in name:
        assert longer >= 3.0 * error * 2.0 * 2.0 + doubt * (3.0 if "box" in name else 1.0) * (1.0 - 1e-9)
        return
    # A ridge penalty alone does not care how long the coefficients are, but for that error.
    corrs = corrs + lam * used.l2 * coef
    gap = worst_gap(used, lam, corrs, coef, rss, 0.0)
    risen = worst_gap(used, lam, corrs, coef, rss, 3.0 * error) - gap
    [doubt] = doubt_of(coef, gap, lam)
    assert risen <= doubt * (1.0 + 1e-6)
    assert doubt <= 1.5 * risen


@pytest.mark.parametrize("route", ["data", "moments"])
@pytest.mark.parametrize("factors", [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, np.inf]])
def test_features_with_a_penalty_do_not_slip(route, factors):
    """At the optimum they correlate with the residual, as those without a penalty do not."""
    X, y = oracles.numbers(40, 4, seed=9)
    data = _solve.Data(X, y[:, None], None, True)
    if route == "moments":
        data.reduce()
        data.design = None
    penalty = make_penalty(
        4, 1.0, 0.0, np.array(factors), np.array([-np.inf, -0.01, -np.inf, -np.inf]), np.inf
    )
    found = _solve.fit(data, penalty, np.array([[0.5, 0.05]]))
    assert (found.relative_gaps <= 1e-13).all()
    for b, alpha in enumerate((0.5, 0.05)):
        bounds = (penalty.lower, penalty.upper)
        given = {"alpha": alpha, "l1_ratio": 1.0, "penalty_weights": factors, "bounds": bounds}
        oracles.assert_optimal(X, y, found.coefs[0, :, b], found.intercepts[0, b], **given)


@pytest.mark.parametrize("seed", range(4))
def test_the_slip_is_the_same_from_rows_and_from_moments(seed):
    """Far from the optimum, with features without a penalty and others beyond their threshold."""
    X, y = oracles.numbers(30, 5, seed=seed)
    penalty = make_penalty(5, np.array([0.0, 0.0, 1.0, 1.0, 2.0]), 0.0)
    coefs = np.random.default_rng(seed).normal(size=(2, 5))
    gaps = []
    for rows in (True, False):
        data = _solve.Data(X, y[:, None], None, True)
        data.reduce()
        source = data.source(0)
        rules = penalty.in_units(source.units, source.target.scale)
        rss = 1.0 - 2.0 * coefs @ source.start + np.einsum("ij,jk,ik->i", coefs, source.gram, coefs)
        if not rows:
            data.design = None
        found = _active_set.Solutions(np.arange(5), coefs, np.ones(2), rss, np.ones(2, dtype=int))
        gaps.append(_solve._with_slip(data, 0, rules, np.array([0.2, 0.01]), found).gaps)
    np.testing.assert_allclose(gaps[0], gaps[1], rtol=1e-9)
    assert (gaps[0] > 0.01).all()


def test_what_is_left_without_loose_features(monkeypatch):
    """The part of residuals orthogonal to them, from rows and from moments; nothing if they are many."""
    X, y = oracles.numbers(30, 5, seed=1)
    data = _solve.Data(X, y[:, None], None, True)
    data.reduce()
    source = data.source(0)
    Z, values = data.design.apply(np.eye(5)).T, data.design.target(y)[1]
    coefs = np.random.default_rng(1).normal(size=(3, 5))
    loose = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 1, 0, 1, 1]], dtype=bool)
    points = values - coefs @ Z.T
    expected = points.copy()
    for row, mask in zip(expected, loose, strict=True):
        row -= Z[:, mask] @ np.linalg.lstsq(Z[:, mask], row, rcond=None)[0]
    rows = _solve._RestOfData(data.design, points)
    moments = _solve._RestOfMoments(source.gram, points @ Z, (points**2).sum(axis=1))
    for rest in (rows, moments):
        corrs, rss, slip = rest.without(loose)
        np.testing.assert_allclose(corrs, expected @ Z, rtol=0, atol=1e-12)
        np.testing.assert_allclose(rss, (expected**2).sum(axis=1), rtol=1e-11)
        np.testing.assert_allclose(rss + slip, (points**2).sum(axis=1), rtol=1e-11)
        assert slip[1] == 0.0
    # A residual in their span has a norm that rounding may put below that of its projection.
    _, rss, slip = moments._replace(rss=0.5 * (points**2).sum(axis=1) - 1.0).without(loose)
    assert (rss >= 0.0).all()
    assert (rss == 0.0).any()
    monkeypatch.setattr(_solve, "LARGEST_QR", 2)
    corrs, rss, slip = rows.without(loose)
    np.testing.assert_allclose(corrs[:2], (expected @ Z)[:2], rtol=0, atol=1e-12)
    assert rss[2] == 0.0
    np.testing.assert_array_equal(corrs[2], 0.0)
    assert slip[2] == pytest.approx((points[2] ** 2).sum(), rel=1e-13)


def test_zero_is_better_than_what_rounding_has_driven_away():
    """Not for a gap that is large or no number, but where the objective of zero, 1/2, is lower."""
    coefs = np.arange(1.0, 11.0).reshape(5, 2)
    gaps = np.array([0.6, np.nan, 0.5, 1e-9, 7.0])
    rss = np.array([0.3, np.nan, 0.2, 0.1, 0.3])
    before = _active_set.Solutions(np.arange(2), coefs, gaps, rss, np.ones(5, dtype=int))
    penalty, lams = make_penalty(2, 0.0, 1.0), np.array([0.2, 1.0, 1.0, 1.0, 1e-4])
    after = _solve._no_worse_than_zero(before, penalty, lams)
    np.testing.assert_array_equal(after.coefs, [[0.0, 0.0], [0.0, 0.0], [5.0, 6.0], [7.0, 8.0], [9.0, 10.0]])
    np.testing.assert_allclose(after.gaps, [0.5, 0.5, 0.5, 1e-9, 0.15 + 0.5e-4 * 181.0], rtol=1e-15)
    np.testing.assert_array_equal(after.rss, [1.0, 1.0, 0.2, 0.1, 0.3])
