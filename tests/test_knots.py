"""The path from knot to knot: where scikit-learn's LARS finds them, and an alpha for a size or a budget."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lars_path

from sparse_linear import Lasso, _active_set, _knots, _solve, alpha_for, lasso_path
from sparse_linear._penalty import make_penalty
from tests.oracles import assert_optimal

KINDS = {"dense": np.asarray, "csc": sparse.csc_array, "csr": sparse.csr_array}
every_kind = pytest.mark.parametrize("kind", KINDS)


def problem(n, p, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 2.0, p) + rng.normal(size=p)
    return X, X[:, :3] @ [1.0, -2.0, 0.5] + rng.normal(size=n)


def all_knots(X, y, lowest=0.0, moments=False, **options):
    """Alphas and coefficients of all knots, on the scale of X, and the knots themselves."""
    data = _solve.Data(X, y[:, None], None, True)
    if moments:
        data.reduce()
    source = data.source(0)
    penalty = make_penalty(X.shape[1], 1.0, 0.0, **options).in_units(source.units, source.target.scale)
    lowest *= _active_set.largest_lambda(source, penalty)
    found = list(_knots.knots(source, penalty, lowest))
    scale = source.target.scale / source.units.norm
    return (
        np.array([knot.lam for knot in found]),
        np.array([knot.coef for knot in found]) * scale,
        found,
        data,
    )


@every_kind
@pytest.mark.parametrize(("shape", "moments"), [((80, 12), True), ((60, 30), False), ((20, 50), False)])
def test_knots_are_those_of_lars(kind, shape, moments):
    """Every knot and its coefficients; down to least squares, or to one hundredth of the first alpha."""
    X, y = problem(*shape)
    lowest = 0.0 if shape[0] > shape[1] else 0.01
    alphas, coefs, _, _ = all_knots(KINDS[kind](X), y, lowest, moments)
    centred = X - X.mean(axis=0), y - y.mean()
    theirs, _, expected = lars_path(*centred, method="lasso", alpha_min=lowest * alphas[0])
    np.testing.assert_allclose(alphas, theirs, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(coefs, expected.T, rtol=1e-7, atol=1e-9)


def test_the_path_ends_once():
    """At the lowest alpha, exactly: what rounding leaves above it is no piece of its own."""
    X, y = problem(50, 6)
    for lowest in np.linspace(0.01, 0.9, 60):
        alphas, *_ = all_knots(X, y, lowest, moments=True)
        assert alphas[-1] == lowest * alphas[0]
        assert (np.diff(alphas) < -1e-12 * alphas[:-1]).all()


def test_residual_norms_and_free_features():
    X, y = problem(50, 10)
    _, coefs, found, data = all_knots(X, y)
    centred = (X - X.mean(axis=0)) @ coefs.T - (y - y.mean())[:, None]
    scale = data.source(0).target.scale
    np.testing.assert_allclose(
        [knot.rss for knot in found], (centred**2).mean(axis=0) / scale**2, rtol=1e-8, atol=1e-13
    )
    for knot in found:
        assert set(np.flatnonzero(knot.coef)) <= set(knot.free)


@pytest.mark.parametrize(
    "options",
    [
        {"lower": 0.0},
        {"lower": -0.2, "upper": 0.4},
        {"weights": np.array([0.0, 0.0, np.inf, *np.linspace(0.5, 2.0, 7)])},
    ],
    ids=["positive", "bounds", "penalty-weights"],
)
def test_every_knot_is_a_solution(options):
    """Between two knots the path is a straight line."""
    X, y = problem(40, 10, seed=3)
    alphas, coefs, found, _ = all_knots(X, y, 1e-3, **options)
    assert len(found) > 5
    assert (np.diff(alphas) < 0.0).all()
    asked = {
        "penalty_weights": options.get("weights"),
        "bounds": (options.get("lower", -np.inf), options.get("upper", np.inf)),
    }
    middle = 0.5 * (alphas[:-1] + alphas[1:])
    path = lasso_path(X, y, alphas=np.r_[alphas, middle], fit_intercept=True, **asked)
    for alpha, coef in zip(np.r_[alphas, middle], np.r_[coefs, 0.5 * (coefs[:-1] + coefs[1:])], strict=True):
        at = np.flatnonzero(path.alphas == alpha)[0]
        np.testing.assert_allclose(coef, path.coefs[:, at], rtol=1e-7, atol=1e-8)


def test_duplicate_columns_do_not_stop_the_path():
    X, y = problem(30, 8, seed=5)
    X = np.hstack([X, X, X[:, :3]])
    alphas, _, found, _ = all_knots(X, y, 1e-3)
    assert alphas[-1] == pytest.approx(1e-3 * alphas[0])
    assert len(found) < 60
    assert max(np.count_nonzero(knot.coef) for knot in found) <= 8


@every_kind
@pytest.mark.parametrize("shape", [(80, 12), (20, 50)])
@pytest.mark.parametrize("standardize", [True, False])
def test_so_many_features(kind, shape, standardize):
    """Right above the answer there are so many, right below one more."""
    X, y = problem(*shape, seed=1)
    X = KINDS[kind](X)
    for size in (1, 3, 7):
        alpha = alpha_for(X, y, n_nonzero=size, standardize=standardize)
        model = Lasso(alpha, standardize=standardize).fit(X, y)
        assert np.count_nonzero(model.coef_) == size
        below = Lasso(alpha * (1.0 - 1e-6), standardize=standardize).fit(X, y)
        assert np.count_nonzero(below.coef_) == size + 1
        assert_optimal(X, y, model.coef_, model.intercept_, alpha, standardize=standardize)


@pytest.mark.parametrize("options", [{}, {"standardize": True}, {"penalty_weights": [0.5] * 5 + [2.0] * 5}])
def test_budget(options):
    """The l1 norm, as it is penalised, meets the budget; no model of that norm fits better."""
    X, y = problem(40, 10, seed=2)
    scale = np.asarray(options.get("penalty_weights", np.ones(10)))
    scale = scale * X.std(axis=0) if "standardize" in options else scale
    for budget in (0.1, 1.0, 2.5):
        alpha = alpha_for(X, y, l1_norm=budget, **options)
        model = Lasso(alpha, **options).fit(X, y)
        assert scale @ np.abs(model.coef_) == pytest.approx(budget, rel=1e-9)


def test_sizes_that_no_alpha_has():
    X, y = load_diabetes(return_X_y=True)
    assert alpha_for(X, y, n_nonzero=10) == 0.0
    assert alpha_for(X, y, n_nonzero=1000) == 0.0
    assert alpha_for(X, y, l1_norm=1e9) == 0.0
    assert alpha_for(X, np.ones(len(y)), n_nonzero=2) == 0.0
    top = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / len(y)
    assert alpha_for(X, y, l1_norm=0.0) == pytest.approx(top)


@every_kind
@pytest.mark.parametrize("size", [38, 39, 60])
def test_no_more_features_than_rows_can_have(kind, size):
    """Wide data: so many features at every alpha but 0, where the shortest interpolation has all of them."""
    for seed in range(4):
        X, y = problem(40, 100, seed=seed)
        X = KINDS[kind](X)
        alpha = alpha_for(X, y, n_nonzero=size)
        assert alpha > 1e-6
        model = Lasso(alpha).fit(X, y)
        assert np.count_nonzero(model.coef_) == min(size, 39)
        assert_optimal(X, y, model.coef_, model.intercept_, alpha)
        for last in (0.0, 1e-12):
            path = lasso_path(X, y, fit_intercept=True, alphas=[1.0, 0.1, last], max_features=size)
            assert path.alphas.tolist() == [1.0, 0.1, alpha]
            assert np.count_nonzero(path.coefs[:, -1]) == min(size, 39)


@pytest.mark.parametrize("seed", [14, 15, 17])
def test_a_feature_that_enters_slowly_is_not_overlooked(seed):
    """Right below its knot it was too little for the solver to see: the piece went on without it."""
    X, y = problem(40, 100, seed=seed)
    model = Lasso(alpha_for(X, y, n_nonzero=38)).fit(X, y)
    assert np.count_nonzero(model.coef_) == 38


def test_positive_alphas_are_followed_to_their_end():
    """None of them lets in more than wide data can have."""
    X, y = problem(40, 100, seed=4)
    last = alpha_for(X, y, n_nonzero=39) / 2
    path = lasso_path(X, y, fit_intercept=True, alphas=[1.0, last], max_features=39)
    assert path.alphas.tolist() == [1.0, last]
    assert np.count_nonzero(path.coefs[:, -1]) == 39


def test_no_more_features_than_explain_everything():
    """Without noise least squares is the same few features and rounding; no feature at all needs no knot."""
    X, y = problem(30, 8, seed=6)
    y = X[:, :2] @ [1.0, -1.0]
    model = Lasso(alpha_for(X, y, n_nonzero=2)).fit(X, y)
    assert np.count_nonzero(model.coef_) == 2
    apart = np.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    alpha = alpha_for(apart, apart.prod(axis=1), n_nonzero=1)
    assert alpha > 0.0
    assert not Lasso(alpha).fit(apart, apart.prod(axis=1)).coef_.any()


def test_max_features_ends_the_path():
    X, y = problem(20, 50, seed=1)
    whole = lasso_path(X, y, fit_intercept=True, eps=1e-2)
    path = lasso_path(X, y, fit_intercept=True, eps=1e-2, max_features=6)
    sizes = np.count_nonzero(path.coefs, axis=0)
    assert sizes.max() == sizes[-1] == 6
    assert path.alphas[-1] == alpha_for(X, y, n_nonzero=6)
    n = len(path.alphas) - 1
    np.testing.assert_array_equal(path.alphas[:-1], whole.alphas[:n])
    np.testing.assert_allclose(path.coefs[:, :-1], whole.coefs[:, :n], atol=1e-10)
    same = lasso_path(X, y, fit_intercept=True, eps=0.5, max_features=40)
    assert len(same.alphas) == 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of n_nonzero and l1_norm"),
        ({"n_nonzero": 2, "l1_norm": 1.0}, "exactly one of n_nonzero and l1_norm"),
        ({"n_nonzero": 0}, "n_nonzero must be at least 1"),
        ({"n_nonzero": 2.5}, "n_nonzero must be a positive integer"),
        ({"l1_norm": -1.0}, "l1_norm must be at least 0"),
        ({"l1_norm": np.inf}, "l1_norm must be finite"),
    ],
)
def test_bad_sizes(arguments, message):
    X, y = problem(10, 3)
    with pytest.raises((TypeError, ValueError), match=message):
        alpha_for(X, y, **arguments)


def test_sizes_below_the_features_without_penalty():
    X, y = problem(20, 6)
    X[:, 2] = 1.0  # constant, and never in a model
    weights = [0.0, 0.0, 0.0, np.inf, 1.0, 1.0]
    sentence = "must be at least 2, the number of features with penalty_weights of 0, .*; got 1"
    with pytest.raises(ValueError, match="n_nonzero " + sentence):
        alpha_for(X, y, n_nonzero=1, penalty_weights=weights)
    with pytest.raises(ValueError, match="max_features " + sentence):
        lasso_path(X, y, max_features=1, fit_intercept=True, penalty_weights=weights)
    alpha = alpha_for(X, y, n_nonzero=2, penalty_weights=weights)
    assert np.count_nonzero(Lasso(alpha, penalty_weights=weights).fit(X, y).coef_) == 2


def test_max_features_is_for_the_lasso():
    from sparse_linear import enet_path

    X, y = problem(10, 3)
    with pytest.raises(ValueError, match="max_features needs l1_ratio=1"):
        enet_path(X, y, max_features=2)
