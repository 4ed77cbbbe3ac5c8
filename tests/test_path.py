"""Paths: every entry a fit of its own, in scikit-learn's shapes; grids start where a feature enters."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import sklearn.linear_model
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import ElasticNet, Lasso, Path, Ridge, alpha_grid, enet_path, lasso_path, ridge_path
from tests import oracles
from tests.oracles import assert_optimal

KINDS = {"dense": np.asarray, "csc": sparse.csc_array, "csr": sparse.csr_array}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_shape = pytest.mark.parametrize("shape", [(40, 7), (15, 40), (100, 80), (30, 600)])
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])


def options(shape, seed=0):
    """Everything that a path takes beside X, y and alphas."""
    rng = np.random.default_rng(seed)
    factors = rng.uniform(0.5, 2.0, shape[1])
    factors[[1, 2]] = 0.0, np.inf
    return {
        "plain": {},
        "weights": {
            "sample_weight": np.where(rng.random(shape[0]) < 0.2, 0.0, rng.uniform(0.5, 2.0, shape[0]))
        },
        "standardize": {"standardize": True},
        "penalty-weights": {"penalty_weights": factors},
        "positive": {"positive": True},
        "bounds": {"bounds": (-0.1, 0.2), "standardize": True},
    }


every_option = pytest.mark.parametrize("option", options((9, 9)))


# ---------------------------------------------------------------------------------------------
# Lasso and elastic net
# ---------------------------------------------------------------------------------------------


@every_kind
@every_shape
@every_option
@with_and_without_intercept
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_every_entry_is_optimal(kind, shape, option, fit_intercept, l1_ratio):
    """Coefficients, intercept, objective and gap of every alpha, over all options; sparse X too."""
    X, y = oracles.holes(*shape, seed=60, density=0.3)
    more = options(shape)[option] | {"fit_intercept": fit_intercept}
    path = enet_path(KINDS[kind](X), y, l1_ratio=l1_ratio, eps=1e-3, alphas=6, **more)
    for k, alpha in enumerate(path.alphas):
        assert_optimal(
            X,
            y,
            path.coefs[:, k],
            path.intercepts[k],
            alpha,
            l1_ratio,
            objective=path.objectives[k],
            dual_gap=path.dual_gaps[k],
            **more,
        )


@every_kind
@every_shape
@pytest.mark.parametrize("name", ["Lasso", "ElasticNet"])
def test_a_path_is_many_fits(kind, shape, name):
    """The same coefficients, intercepts and objectives as estimators fitted one by one."""
    X, y = oracles.numbers(*shape, seed=61)
    X = KINDS[kind](X)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, shape[0])
    ratio = {"Lasso": 1.0, "ElasticNet": 0.7}[name]
    path = enet_path(X, y, l1_ratio=ratio, alphas=[0.5, 0.1, 0.01], sample_weight=weights, fit_intercept=True)
    for k, alpha in enumerate(path.alphas):
        model = (Lasso(alpha) if name == "Lasso" else ElasticNet(alpha, l1_ratio=ratio)).fit(X, y, weights)
        np.testing.assert_allclose(path.coefs[:, k], model.coef_, rtol=0, atol=1e-10)
        assert path.intercepts[k] == pytest.approx(model.intercept_, abs=1e-10)
        assert path.objectives[k] == pytest.approx(model.objective_, rel=1e-11)
    static = type(model).path(
        X, y, l1_ratio=ratio, alphas=path.alphas, sample_weight=weights, fit_intercept=True
    )
    np.testing.assert_array_equal(static.coefs, path.coefs)


@pytest.mark.parametrize("kind", ["dense", "csc"])
@pytest.mark.parametrize("shape", [(40, 7), (15, 40)])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_agrees_with_scikit_learn(kind, shape, positive, l1_ratio):
    """The same tuple, as far as scikit-learn goes: no intercept, no weights, tol=1e-12."""
    X, y = oracles.holes(*shape, seed=62, density=0.6)
    X = KINDS[kind](X)
    alphas = np.geomspace(1.0, 0.02, 8)
    more = {"alphas": alphas, "positive": positive, "return_n_iter": True}
    ours = enet_path(X, y, l1_ratio=l1_ratio, **more)
    theirs = sklearn.linear_model.enet_path(X, y, l1_ratio=l1_ratio, tol=1e-12, max_iter=100_000, **more)
    assert len(ours) == len(theirs) == 4
    for found, expected in zip(ours[:3], theirs[:3], strict=True):
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], rtol=0, atol=1e-6 if shape == (15, 40) else 1e-9)
    assert (ours[2] <= theirs[2] + 1e-14).all()
    assert len(ours[3]) == len(theirs[3])
    assert type(ours[3]) is type(theirs[3])
    if l1_ratio == 1.0:
        other = lasso_path(X, y, **more)
        reference = sklearn.linear_model.lasso_path(X, y, tol=1e-12, max_iter=100_000, **more)
        np.testing.assert_array_equal(other[1], ours[1])
        assert [np.shape(part) for part in other] == [np.shape(part) for part in reference]


def test_sparse_is_dense():
    """Whatever the storage, to 1e-10, on the grid that each finds for itself."""
    X, y = oracles.holes(50, 120, seed=63, density=0.1)
    weights = np.where(np.arange(50) % 6 == 0, 0.0, 1.0)
    more = {"fit_intercept": True, "standardize": True, "sample_weight": weights, "alphas": 20}
    dense = lasso_path(X, y, **more)
    for kind in (sparse.csc_matrix, sparse.csr_array, sparse.coo_array):
        found = lasso_path(kind(X), y, **more)
        np.testing.assert_allclose(found.alphas, dense.alphas, rtol=1e-12)
        np.testing.assert_allclose(found.coefs, dense.coefs, rtol=0, atol=1e-10)
        np.testing.assert_allclose(found.intercepts, dense.intercepts, rtol=0, atol=1e-10)


def test_alphas_come_in_any_order_and_number():
    """Sorted, repeated, alone, with zero at the end; a number of alphas by either name."""
    X, y = oracles.numbers(30, 5, seed=64)
    path = lasso_path(X, y, alphas=[0.1, 1.0, 0.0, 0.1, 0.01])
    np.testing.assert_array_equal(path.alphas, [1.0, 0.1, 0.1, 0.01, 0.0])
    np.testing.assert_allclose(path.coefs[:, 1], path.coefs[:, 2], rtol=0, atol=1e-14)
    np.testing.assert_allclose(path.coefs[:, 4], np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-12)
    single = lasso_path(X, y, alphas=(0.01,))
    assert single.coefs.shape == (5, 1)
    np.testing.assert_allclose(single.coefs[:, 0], path.coefs[:, 3], rtol=0, atol=1e-13)
    by_number = lasso_path(X, y, alphas=7, eps=0.1)
    np.testing.assert_array_equal(by_number.alphas, lasso_path(X, y, n_alphas=7, eps=0.1).alphas)
    np.testing.assert_array_equal(by_number.alphas, lasso_path(X, y, n_alphas=7, alphas=None, eps=0.1).alphas)
    assert lasso_path(X, y).alphas.shape == (100,)


def test_alphas_are_not_written():
    """The list of alphas stays in the order it came in."""
    X, y = oracles.numbers(30, 5, seed=64)
    alphas = np.array([0.1, 1.0])
    lasso_path(X, y, alphas=alphas)
    ridge_path(X, y, alphas)
    np.testing.assert_array_equal(alphas, [0.1, 1.0])


def test_coef_init_does_not_matter():
    """A start, good or bad, changes nothing but the time."""
    X, y = oracles.numbers(30, 40, seed=65)
    more = {"alphas": [0.3, 0.05], "l1_ratio": 0.8}
    plain = enet_path(X, y, **more)
    for start in (plain.coefs[:, 1], np.full(40, -3.0), np.zeros(40)):
        np.testing.assert_allclose(
            enet_path(X, y, coef_init=start, **more).coefs, plain.coefs, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_dtype(dtype):
    """Coefficients come in the precision of X; gaps, intercepts and objectives are always float64."""
    X, y = oracles.numbers(30, 5, seed=66)
    X = np.round(X).astype(dtype)
    for path in (lasso_path(X, y, alphas=[0.1, 0.01]), ridge_path(X, y, [1.0, 0.1])):
        assert path.coefs.dtype == (np.float32 if dtype == np.float32 else np.float64)
        assert path.dual_gaps.dtype == path.intercepts.dtype == path.objectives.dtype == np.float64


def test_intercepts():
    """Without an intercept zeros; with one, the weighted residuals sum to zero."""
    X, y = oracles.numbers(30, 5, seed=67)
    weights = np.arange(30.0)
    assert not lasso_path(X, y, alphas=[0.1, 0.01], sample_weight=weights).intercepts.any()
    path = lasso_path(X, y, alphas=[0.1, 0.01], sample_weight=weights, fit_intercept=True)
    np.testing.assert_allclose(
        weights @ (y[:, None] - X @ path.coefs - path.intercepts), 0.0, rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("shape", [(60, 50), (30, 120)])
def test_a_stopped_path_tells_the_truth(shape):
    """One round for each alpha: every gap bounds the distance from the minimum, and there is one warning."""
    X, y = oracles.numbers(*shape, seed=68, correlation=4.0)
    more = {"alphas": np.geomspace(1.0, 1e-4, 9), "fit_intercept": True}
    with pytest.warns(ConvergenceWarning, match="max_iter") as caught:
        stopped = lasso_path(X, y, max_iter=1, tol=1e-10, **more)
    assert len(caught) == 1
    exact = lasso_path(X, y, **more)
    assert stopped.dual_gaps.max() > 1e-6 * np.var(y)
    for k, alpha in enumerate(more["alphas"]):
        given = oracles.problem(X, y, alpha=alpha)
        distance = given.objective(stopped.coefs[:, k]) - given.objective(exact.coefs[:, k])
        assert distance <= stopped.dual_gaps[k] + 1e-13 * given.scale**2


ILL_CONDITIONED = {
    "powers": lambda: np.linspace(0.0, 1.0, 40)[:, None] ** np.arange(1, 10),
    "nearly-equal": lambda: (
        oracles.numbers(40, 1)[0] + 1e-5 * np.random.default_rng(1).standard_normal((40, 10))
    ),
    "hilbert": lambda: 1.0 / (np.arange(60)[:, None] + np.arange(90) + 1.0),
    "monomials": lambda: np.column_stack(
        [
            np.random.default_rng(2).uniform(1.0, 2.0, (100, 4))[:, list(chosen)].prod(axis=1)
            for degree in (1, 2, 3)
            for chosen in itertools.combinations_with_replacement(range(4), degree)
        ]
    ),
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("data", ILL_CONDITIONED)
def test_ill_conditioned_columns(data, standardize):
    """Condition numbers from 1e3 to 1e17: optimal from the first alpha to a millionth of it."""
    X = ILL_CONDITIONED[data]()
    rng = np.random.default_rng(0)
    y = (X - X.mean(axis=0)) @ (rng.standard_normal(X.shape[1]) / X.std(axis=0)) + rng.standard_normal(len(X))
    more = {"fit_intercept": True, "standardize": standardize}
    path = lasso_path(X, y, alphas=10, eps=1e-6, tol=1e-6, **more)
    for k, alpha in enumerate(path.alphas):
        assert_optimal(
            X,
            y,
            path.coefs[:, k],
            path.intercepts[k],
            alpha,
            objective=path.objectives[k],
            dual_gap=path.dual_gaps[k],
            **more,
        )


# ---------------------------------------------------------------------------------------------
# Ridge
# ---------------------------------------------------------------------------------------------


@every_kind
@every_shape
@every_option
@with_and_without_intercept
def test_every_entry_of_a_ridge_path_is_optimal(kind, shape, option, fit_intercept):
    """Coefficients, intercept, objective and gap of every alpha, sum-scaled."""
    if shape[1] == 600 and option in ("positive", "bounds"):
        return  # an active set of hundreds of features: seconds
    X, y = oracles.holes(*shape, seed=69, density=0.3)
    more = options(shape)[option] | {"fit_intercept": fit_intercept}
    path = ridge_path(KINDS[kind](X), y, [0.1, 10.0], **more)
    np.testing.assert_array_equal(path.alphas, [10.0, 0.1])
    for k, alpha in enumerate(path.alphas):
        assert_optimal(
            X,
            y,
            path.coefs[:, k],
            path.intercepts[k],
            alpha,
            ridge=True,
            objective=path.objectives[k],
            dual_gap=path.dual_gaps[k],
            **more,
        )


@pytest.mark.parametrize("targets", [1, 3])
def test_a_ridge_path_is_many_fits(targets):
    """Several targets have an axis of their own in front, also when there is only one in a matrix."""
    X, _ = oracles.numbers(30, 6, seed=70)
    Y = np.random.default_rng(0).standard_normal((30, targets))
    alphas = [100.0, 1.0, 0.0]
    path = ridge_path(X, Y, alphas, fit_intercept=True)
    assert path.coefs.shape == (targets, 6, 3)
    assert path.dual_gaps.shape == path.intercepts.shape == path.objectives.shape == (targets, 3)
    for k, alpha in enumerate(alphas):
        model = Ridge(alpha).fit(X, Y)
        np.testing.assert_allclose(path.coefs[:, :, k], np.atleast_2d(model.coef_), rtol=0, atol=1e-13)
        np.testing.assert_allclose(path.intercepts[:, k], model.intercept_, rtol=0, atol=1e-13)
    flat = ridge_path(X, Y[:, 0], alphas, fit_intercept=True)
    assert flat.coefs.shape == (6, 3)
    assert flat.dual_gaps.shape == flat.intercepts.shape == (3,)
    np.testing.assert_allclose(flat.coefs, path.coefs[0], rtol=0, atol=1e-13)


# ---------------------------------------------------------------------------------------------
# The tuple
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [lasso_path, ridge_path])
@pytest.mark.parametrize("return_n_iter", [False, True])
def test_a_path_is_a_tuple(function, return_n_iter):
    """It unpacks as scikit-learn's does, and everything is there by name."""
    X, y = oracles.numbers(30, 5, seed=71)
    path = function(X, y, alphas=[0.1, 0.01], return_n_iter=return_n_iter)
    assert isinstance(path, tuple)
    assert isinstance(path, Path)
    assert len(path) == (4 if return_n_iter else 3)
    alphas, coefs, dual_gaps, *rest = path
    np.testing.assert_array_equal(alphas, path.alphas)
    np.testing.assert_array_equal(coefs, path.coefs)
    np.testing.assert_array_equal(dual_gaps, path.dual_gaps)
    assert rest == ([path.n_iters] if return_n_iter else [])
    assert len(path.n_iters) == len(path.statuses) == 2
    assert all(isinstance(count, int) for count in path.n_iters)
    assert all("gap" in status for status in path.statuses)
    assert isinstance(path.solver, str)


@pytest.mark.parametrize("function", [lasso_path, ridge_path])
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_path_survives_pickling(function, way):
    """Entries and names come back, for both lengths of the tuple."""
    X, y = oracles.numbers(30, 5, seed=72)
    for return_n_iter in (False, True):
        path = function(X, y, alphas=[0.1, 0.01], return_n_iter=return_n_iter)
        back = way(path)
        back = pickle.loads(back) if way is pickle.dumps else back
        assert type(back) is Path
        assert len(back) == len(path)
        np.testing.assert_array_equal(back[1], path[1])
        assert vars(back).keys() == vars(path).keys()
        np.testing.assert_array_equal(back.objectives, path.objectives)
        assert back.statuses == path.statuses


# ---------------------------------------------------------------------------------------------
# Grids
# ---------------------------------------------------------------------------------------------


@every_kind
@every_shape
@every_option
@with_and_without_intercept
@pytest.mark.parametrize("l1_ratio", [1.0, 0.3])
def test_a_grid_starts_where_the_first_feature_enters(kind, shape, option, fit_intercept, l1_ratio):
    """At its first alpha no penalised feature is in, just below it there is one."""
    X, y = oracles.holes(*shape, seed=73, density=0.3)
    more = options(shape)[option] | {"fit_intercept": fit_intercept}
    X = KINDS[kind](X)
    grid = alpha_grid(X, y, l1_ratio=l1_ratio, eps=0.01, n_alphas=5, **more)
    assert grid.shape == (5,)
    np.testing.assert_allclose(grid[1:] / grid[:-1], 0.01 ** (1 / 4), rtol=1e-12)
    at, below = enet_path(X, y, l1_ratio=l1_ratio, alphas=[grid[0], grid[0] * (1 - 1e-6)], **more).coefs.T
    penalised = np.ones(shape[1], dtype=bool)
    if "penalty_weights" in more:
        penalised = more["penalty_weights"] > 0.0
        assert at[~penalised].all()
    assert not at[penalised].any()
    assert np.count_nonzero(below[penalised]) == 1
    path = enet_path(X, y, l1_ratio=l1_ratio, eps=0.01, alphas=5, **more)
    np.testing.assert_allclose(path.alphas, grid, rtol=1e-13)


@pytest.mark.parametrize("limits", [{"positive": True}, {"bounds": (None, 0.0)}, {"bounds": (-0.01, 0.05)}])
def test_a_grid_above_unpenalised_features_with_bounds(limits):
    """Unpenalised features are fitted within their bounds before the first alpha is looked for."""
    X, y = oracles.numbers(30, 8, seed=74)
    X[:, 0] += y
    X[:, 1] -= y
    more = {"penalty_weights": [0.0, 0.0, 1, 1, 1, 1, 1, 1], "fit_intercept": True, **limits}
    top = alpha_grid(X, y, n_alphas=1, **more)[0]
    at, below = enet_path(X, y, l1_ratio=1.0, alphas=[top, top * (1 - 1e-6)], **more).coefs.T
    assert at[:2].any()
    assert not at[2:].any()
    assert np.count_nonzero(below[2:]) == 1


def test_a_grid_is_scikit_learns():
    """Without weights and bounds, the grid that scikit-learn's cross-validation uses."""
    X, y = oracles.numbers(40, 6, seed=75)
    for fit_intercept in (True, False):
        centred = X - X.mean(axis=0) * fit_intercept, y - y.mean() * fit_intercept
        for l1_ratio in (1.0, 0.5):
            top = np.abs(centred[0].T @ centred[1]).max() / (40 * l1_ratio)
            grid = alpha_grid(X, y, l1_ratio=l1_ratio, fit_intercept=fit_intercept)
            np.testing.assert_allclose(grid, np.geomspace(top, top * 1e-3, 100), rtol=1e-12)


def test_a_grid_for_several_targets():
    """It starts where all of them are zero."""
    X, y = oracles.numbers(40, 6, seed=76)
    Y = np.column_stack([y, 5 * y[::-1], np.ones(40)])
    singles = [alpha_grid(X, column, n_alphas=3)[0] for column in Y.T]
    assert alpha_grid(X, Y, n_alphas=3)[0] == pytest.approx(max(singles), rel=1e-14)


def test_a_grid_for_a_constant_target():
    """Nothing ever enters; still alphas that can be used."""
    X, _ = oracles.numbers(40, 6, seed=77)
    grid = alpha_grid(X, np.ones(40), n_alphas=4)
    assert grid.shape == (4,)
    assert (grid > 0.0).all()
    assert not lasso_path(X, np.ones(40), alphas=4, fit_intercept=True).coefs.any()


@every_kind
def test_a_grid_and_a_start_on_the_same_data(kind):
    """The search for the largest alpha leaves features behind that nothing penalises."""
    X, y = oracles.holes(30, 60, seed=3, density=0.3)
    factors = np.where(np.arange(60) < 4, 0.0, 1.0)
    more = {"penalty_weights": factors, "fit_intercept": True, "alphas": 5, "eps": 0.05}
    cold = lasso_path(KINDS[kind](X), y, **more)
    warm = lasso_path(KINDS[kind](X), y, coef_init=cold.coefs[:, -1], **more)
    np.testing.assert_allclose(warm.coefs, cold.coefs, rtol=1e-8, atol=1e-10)
