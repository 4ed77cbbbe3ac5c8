"""Information criteria: scikit-learn's numbers where it has them, formulas written out where it has not."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import comb
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LassoLarsIC, LinearRegression

from sparse_linear import ElasticNet, ElasticNetIC, Lasso, LassoIC
from tests.oracles import assert_optimal

KINDS = {"dense": np.asarray, "csc": sparse.csc_array, "csr": sparse.csr_array}
every_kind = pytest.mark.parametrize("kind", KINDS)


def problem(n, p, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :3] @ [2.0, -2.0, 1.0] + noise * rng.normal(size=n)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_agrees_with_lars(criterion, fit_intercept, positive):
    X, y = load_diabetes(return_X_y=True)
    options = {"fit_intercept": fit_intercept, "positive": positive, "noise_variance": 3000.0}
    ours = LassoIC(criterion, eps=0.0, **options).fit(X, y)
    theirs = LassoLarsIC(criterion, **options).fit(X, y)
    np.testing.assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-9, atol=1e-12)
    last = -1 if positive else None  # scikit-learn says that its positive path does not reach alpha=0
    np.testing.assert_allclose(ours.criterion_[:last], theirs.criterion_[:last], rtol=1e-12)
    if positive and ours.alpha_ == 0.0:
        return
    assert ours.alpha_ == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-7, atol=1e-9)
    assert ours.intercept_ == pytest.approx(theirs.intercept_)


@every_kind
def test_noise_variance_of_tall_data(kind):
    X, y = problem(60, 10)
    X[:, 7] = X[:, 1] + X[:, 2]  # counts once
    model = LassoIC("bic").fit(KINDS[kind](X), y)
    residual = y - LinearRegression().fit(X, y).predict(X)
    assert model.noise_variance_ == pytest.approx(residual @ residual / (60 - 9 - 1))


@pytest.mark.parametrize("seed", range(5))
def test_noise_variance_of_wide_data(seed):
    """Least squares on the support of the scaled lasso, whose penalty follows from its own residuals."""
    X, y = problem(60, 200, seed)
    model = LassoIC("ebic").fit(X, y)
    Z, r = (X - X.mean(axis=0)) / X.std(axis=0), y - y.mean()
    level, sigma = np.sqrt(2.0 * np.log(200) / 60), r.std()
    for _ in range(100):
        w = Lasso(level * sigma, fit_intercept=False).fit(Z, r).coef_
        sigma = (r - Z @ w).std()
    support = np.flatnonzero(w)
    residual = r - LinearRegression().fit(Z[:, support], r).predict(Z[:, support])
    assert model.noise_variance_ == pytest.approx(residual @ residual / (60 - len(support) - 1))
    assert 0.5 < model.noise_variance_ < 2.0


@pytest.mark.parametrize("criterion", ["aic", "aicc", "bic", "ebic"])
def test_formulas(criterion):
    """Every criterion from its definition, on a grid; df is the number of non-zero coefficients."""
    X, y = problem(40, 8, seed=4)
    model = LassoIC(criterion, alphas=7, eps=0.01, ebic_gamma=0.7, noise_variance=1.3).fit(X, y)
    n, p = X.shape
    for alpha, value, df in zip(model.alphas_, model.criterion_, model.degrees_of_freedom_, strict=True):
        fit = Lasso(alpha).fit(X, y)
        residual = y - fit.predict(X)
        k = np.count_nonzero(fit.coef_)
        assert df == k
        expected = n * np.log(2.0 * np.pi * 1.3) + residual @ residual / 1.3
        expected += {
            "aic": 2.0 * k,
            "aicc": 2.0 * k + 2.0 * (k + 1) * (k + 2) / (n - k - 2),
            "bic": np.log(n) * k,
            "ebic": np.log(n) * k + 1.4 * np.log(comb(p, k)),
        }[criterion]
        assert value == pytest.approx(expected)
    assert model.alpha_ == model.alphas_[np.argmin(model.criterion_)]


def test_aicc_is_infinite_for_too_few_rows():
    X, y = problem(8, 30)
    model = LassoIC("aicc").fit(X, y)
    too_many = model.degrees_of_freedom_ >= 6
    assert too_many.any()
    assert np.isinf(model.criterion_[too_many]).all()
    assert np.isfinite(model.criterion_[~too_many]).all()


@pytest.mark.parametrize("shape", [(60, 10), (20, 40)])
def test_degrees_of_freedom_of_the_elastic_net(shape):
    """The trace of the hat matrix, and the sensitivity of the fit to y (Stein), by differences."""
    X, y = problem(*shape, seed=2)
    model = ElasticNetIC("aic", l1_ratio=0.5, alphas=[0.2], noise_variance=1.0).fit(X, y)
    step, trace = 1e-5, 0.0
    for i in range(len(y)):
        up, down = y.copy(), y.copy()
        up[i] += step
        down[i] -= step
        fits = [ElasticNet(0.2, l1_ratio=0.5).fit(X, some).predict(X)[i] for some in (up, down)]
        trace += (fits[0] - fits[1]) / (2.0 * step)
    assert model.degrees_of_freedom_[0] == pytest.approx(trace - 1.0, rel=1e-4)  # the intercept apart


@every_kind
def test_the_knots_hold_the_minimum_over_all_alphas(kind):
    X, y = problem(30, 60, seed=6)
    X = KINDS[kind](X)
    exact = LassoIC("bic", noise_variance=1.0).fit(X, y)
    grid = LassoIC("bic", noise_variance=1.0, alphas=400).fit(X, y)
    assert exact.criterion_.min() <= grid.criterion_.min() + 1e-9
    assert_optimal(X, y, exact.coef_, exact.intercept_, exact.alpha_)


@pytest.mark.parametrize("Model", [LassoIC, ElasticNetIC])
def test_weights_repeat_rows(Model):
    X, y = problem(40, 6)
    weights = np.arange(40) % 3
    by_weight = Model("bic").fit(X, y, sample_weight=weights)
    repeated = Model("bic").fit(np.repeat(X, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(by_weight.coef_, repeated.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(by_weight.criterion_, repeated.criterion_, rtol=1e-9)


def test_options_reach_every_fit():
    X, y = problem(40, 8)
    X *= np.logspace(-2, 2, 8)
    options = {"standardize": True, "penalty_weights": [0.0, *[1.0] * 6, np.inf], "bounds": (-1.0, 100.0)}
    model = LassoIC("bic", **options).fit(X, y)
    fit = Lasso(model.alpha_, **options).fit(X, y)
    np.testing.assert_allclose(model.coef_, fit.coef_, rtol=1e-9, atol=1e-12)
    assert model.coef_[0] != 0.0
    assert model.coef_[7] == 0.0


def test_data_without_noise():
    """The smallest residual wins; a constant y is fitted by its mean."""
    X, y = problem(20, 3, noise=0.0)
    assert LassoIC("bic").fit(X, y).score(X, y) > 0.999
    model = LassoIC("bic").fit(X, np.full(20, 3.0))
    assert not model.coef_.any()
    assert model.intercept_ == 3.0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"criterion": "mdl"}, "criterion must be one of"),
        ({"noise_variance": -1.0}, "noise_variance must be at least 0"),
        ({"ebic_gamma": 2.0}, "ebic_gamma must be at most 1"),
        ({"eps": -0.1}, "eps must be at least 0"),
        ({"alphas": [-1.0]}, r"alphas\[0\] == -1.0, must be >= 0.0"),
        ({"alphas": 0}, "alphas must be at least 1"),
    ],
)
def test_bad_parameters(parameters, message):
    X, y = problem(10, 3)
    model = LassoIC(**parameters)
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(X, y)
    assert vars(model) == vars(clone(model))


def test_one_sample_needs_a_noise_variance():
    with pytest.raises(ValueError, match="cannot be estimated from one sample"):
        LassoIC().fit([[1.0, 2.0]], [1.0])
    assert not LassoIC(noise_variance=1.0).fit([[1.0, 2.0]], [1.0]).coef_.any()


def test_several_targets_are_refused_in_a_sentence():
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(
        ValueError, match=r"y must have one column for LassoIC, got shape \(442, 2\); fit a model"
    ):
        LassoIC().fit(X, np.column_stack([y, y]))
