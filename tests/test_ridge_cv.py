"""`RidgeCV`: against fits one by one, scikit-learn's class, and formulas written out."""

import tracemalloc

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import RidgeCV as Theirs
from sklearn.metrics import make_scorer, mean_absolute_error, mean_squared_error
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, ShuffleSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from sparse_linear import Ridge, RidgeCV, _cv, _ridge, _ridge_cv, _solve, _threads
from tests import oracles

ALPHAS = np.array([0.05, 30.0, 1.0, 5.0])  # in no order
SHAPES = [(40, 6), (14, 30), (12, 12)]
STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "csc": sparse.csc_array,
    "csr": sparse.csr_matrix,
}


def data(shape, targets=0, seed=0):
    """X with zeros, far from centred, and targets that some of its columns explain."""
    X, _ = oracles.holes(*shape, seed=seed, density=0.7)
    X = X + (X != 0.0) * 0.5
    rng = np.random.default_rng(seed)
    Y = X[:, :3].sum(axis=1)[:, None] + rng.standard_normal((shape[0], max(targets, 1))) + 3.0
    return X, Y if targets else Y[:, 0]


def predictions(X, y, train, test, weights, **settings):
    """Of a plain fit on some rows, for others."""
    model = Ridge(**settings).fit(X[train], y[train], None if weights is None else weights[train])
    return model.predict(X[test])


# ---------------------------------------------------------------------------------------------
# scikit-learn's class
# ---------------------------------------------------------------------------------------------


@parametrize_with_checks([RidgeCV(), RidgeCV(cv=3), RidgeCV(alphas=5), RidgeCV(cv="gcv")])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cv", [None, 4, KFold(3, shuffle=True, random_state=0)])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_same_alphas_scores_and_coefficients(shape, targets, weighted, fit_intercept, cv):
    if weighted and cv is not None and sklearn.__version__ < "1.8":
        pytest.skip("older releases do not weigh the scores of folds")
    X, y = data(shape, targets)
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(X)) if weighted else None
    settings = {"fit_intercept": fit_intercept, "cv": cv, "store_cv_results": cv is None}
    ours = RidgeCV(ALPHAS, **settings).fit(X, y, weights)
    theirs = Theirs(ALPHAS, **settings).fit(X, y, weights)
    assert ours.alpha_ == theirs.alpha_
    assert ours.best_score_ == pytest.approx(theirs.best_score_, rel=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-8, atol=1e-10)
    assert np.shape(ours.coef_) == np.shape(theirs.coef_)
    if cv is None:
        np.testing.assert_allclose(ours.cv_results_, theirs.cv_results_, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("scoring", ["neg_mean_absolute_error", "r2", make_scorer(mean_absolute_error)])
@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_scorers_see_what_they_see_in_scikit_learn(shape, per_target, scoring):
    X, y = data(shape, 3)
    settings = {"scoring": scoring, "alpha_per_target": per_target, "store_cv_results": True}
    ours, theirs = RidgeCV(ALPHAS, **settings).fit(X, y), Theirs(ALPHAS, **settings).fit(X, y)
    np.testing.assert_array_equal(ours.alpha_, theirs.alpha_)
    np.testing.assert_allclose(ours.best_score_, theirs.best_score_, rtol=1e-9)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8, atol=1e-10)
    shift = 0.0 if ours.cv_results_.mean() == pytest.approx(theirs.cv_results_.mean()) else np.nan
    np.testing.assert_allclose(ours.cv_results_ + shift, theirs.cv_results_, rtol=1e-8)
    folded = RidgeCV(ALPHAS, scoring=scoring, cv=3).fit(X, y)
    search = GridSearchCV(Ridge(), {"alpha": ALPHAS}, scoring=scoring, cv=3).fit(X, y)
    assert folded.alpha_ == search.best_params_["alpha"]
    np.testing.assert_allclose(
        folded.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], rtol=1e-9
    )


# ---------------------------------------------------------------------------------------------
# Leave-one-out and generalised cross-validation
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loose", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_is_what_it_says(fit_intercept, loose, shape, storage):
    """Every row predicted by a fit to all others, with weights, zeros and infinities among the penalties."""
    X, y = data(shape, 2, seed=1)
    n, p = shape
    weights = np.random.default_rng(1).uniform(0.5, 2.0, n)
    weights[3] = 0.0
    penalties = np.random.default_rng(2).uniform(0.5, 2.0, p)
    if loose:
        penalties[[0, 4]], penalties[2] = 0.0, np.inf
    settings = {"fit_intercept": fit_intercept, "penalty_weights": penalties}
    model = RidgeCV(ALPHAS, store_cv_results=True, **settings).fit(STORAGES[storage](X), y, weights)
    for at, alpha in enumerate(ALPHAS):
        rows = np.arange(n)
        left = np.array(
            [predictions(X, y, rows != i, [i], weights, alpha=alpha, **settings)[0] for i in rows]
        )
        squares = weights[:, None] * (y - left) ** 2
        np.testing.assert_allclose(model.cv_results_[:, :, at], squares, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(model.mse_path_[at], squares.mean(), rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loose", [False, True])
def test_degrees_of_freedom_and_generalised_cross_validation(shape, loose):
    """The trace of the hat matrix, built from fits to unit vectors, and the score that divides by it."""
    X, y = data(shape, seed=2)
    n, p = shape
    penalties = np.ones(p)
    if loose:
        penalties[:2] = 0.0
    model = RidgeCV(ALPHAS, cv="gcv", penalty_weights=penalties, standardize=True).fit(X, y)
    for at, alpha in enumerate(ALPHAS):
        fit = Ridge(alpha, penalty_weights=penalties, standardize=True)
        trace = np.trace(fit.fit(X, np.eye(n)).predict(X))
        rest = y - fit.fit(X, y).predict(X)
        assert model.df_[at] == pytest.approx(trace, rel=1e-9)
        score = -np.mean(rest**2) / (1.0 - trace / n) ** 2
        assert model.cv_results_["mean_test_score"][at] == pytest.approx(score, rel=1e-8)
    assert model.best_index_ == np.argmax(model.cv_results_["mean_test_score"])


@pytest.mark.parametrize("targets", [0, 3])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_one_standard_error_of_leave_one_out(shape, targets, monkeypatch):
    """The standard error is that of the mean over rows, of what each of them misses on average."""
    monkeypatch.setattr(_ridge, "PAIRS", 50)  # two targets at a time
    X, y = data(shape, targets, seed=3)
    weights = np.random.default_rng(1).permutation(np.repeat([0.0, 1.0, 2.0], [3, 4, len(X) - 7]))
    model = RidgeCV(np.geomspace(1e-2, 1e3, 20), store_cv_results=True).fit(X, y, weights)
    squares = model.cv_results_.reshape(len(X), -1, 20).mean(axis=1)
    plain = RidgeCV(model.alphas_, criterion="1se").fit(X, y, weights)
    error = squares.std(axis=0) / np.sqrt(len(X) - 1)
    np.testing.assert_allclose(plain.cv_results_["se_test_score"], error, rtol=1e-8)
    bound = squares.mean(axis=0).min() + error[model.best_index_]
    assert plain.alpha_ == model.alphas_[squares.mean(axis=0) <= bound].max()
    assert plain.alpha_ > model.alpha_


# ---------------------------------------------------------------------------------------------
# Folds
# ---------------------------------------------------------------------------------------------

SPLITS = {
    "k-fold": lambda n: list(KFold(4).split(np.zeros(n))),
    "overlapping": lambda n: list(ShuffleSplit(3, random_state=0).split(np.zeros(n))),
    "drawn with replacement": lambda n: [
        (np.random.default_rng(k).integers(0, n - 3, n), np.arange(n - 3, n)) for k in range(3)
    ],
}


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("standardize", [False, True])
def test_folds_are_fits_of_their_own(standardize, shape, splits, storage):
    """Each with its own centring and scaling; with weights, and zeros and infinities among the penalties."""
    X, y = data(shape, 2, seed=4)
    n, p = shape
    weights = np.random.default_rng(1).uniform(0.5, 2.0, n)
    penalties = np.random.default_rng(2).uniform(0.5, 2.0, p)
    penalties[0], penalties[2] = 0.0, np.inf
    settings = {"standardize": standardize, "penalty_weights": penalties}
    folds = SPLITS[splits](n)
    model = RidgeCV(ALPHAS, cv=folds, scoring="neg_mean_squared_error", **settings)
    model.fit(STORAGES[storage](X), y, weights)
    for number, (train, test) in enumerate(folds):
        for at, alpha in enumerate(ALPHAS):
            missed = y[test] - predictions(X, y, train, test, weights, alpha=alpha, **settings)
            error = np.average(missed**2, axis=0, weights=weights[test]).mean()
            assert model.mse_path_[at, number] == pytest.approx(error, rel=1e-9)
            assert model.cv_results_[f"split{number}_test_score"][at] == pytest.approx(-error, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cv", [None, 3])
def test_an_alpha_for_each_target(shape, cv):
    """What each target gets is what it gets alone."""
    X, y = data(shape, 4, seed=5)
    y[:, 1] = X @ np.cos(np.arange(shape[1]))  # no noise: another alpha
    alphas = np.geomspace(1e-4, 1e4, 9)
    together = RidgeCV(alphas, cv=cv, alpha_per_target=True, store_coef_path=True).fit(X, y)
    assert len(np.unique(together.alpha_)) > 1
    for target in range(4):
        alone = RidgeCV(alphas, cv=cv).fit(X, y[:, target])
        assert together.alpha_[target] == alone.alpha_
        assert together.best_score_[target] == pytest.approx(alone.best_score_, rel=1e-9)
        np.testing.assert_allclose(together.coef_[target], alone.coef_, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(together.coef_path_[target], alone.coef_path_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cv", [None, 3])
def test_the_alpha_of_a_single_column_is_a_number(cv):
    """As in scikit-learn, where coefficients and intercept have these shapes too."""
    X, y = data(SHAPES[0], 1)
    y = y.reshape(len(X), 1)
    ours = RidgeCV(ALPHAS, cv=cv, alpha_per_target=True).fit(X, y)
    theirs = Theirs(ALPHAS, cv=cv, alpha_per_target=cv is None).fit(X, y)
    assert isinstance(ours.alpha_, float)
    for name in ("alpha_", "coef_", "intercept_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name))


@pytest.mark.parametrize("cv", [None, 3, "gcv"])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_tiles_and_batches_make_no_difference(shape, cv, monkeypatch):
    """Nothing depends on how many rows and targets are in work at a time."""
    X, y = data(shape, 5, seed=6)
    before = RidgeCV(ALPHAS, cv=cv, alpha_per_target=True).fit(X, y)
    monkeypatch.setattr(_ridge, "TILE", 1)
    monkeypatch.setattr(_ridge, "PAIRS", 2 * len(ALPHAS))
    monkeypatch.setattr(_solve, "BATCH", 1)
    after = RidgeCV(ALPHAS, cv=cv, alpha_per_target=True, n_jobs=2).fit(X, y)
    np.testing.assert_allclose(after.mse_path_, before.mse_path_, rtol=1e-12)
    np.testing.assert_array_equal(after.alpha_, before.alpha_)
    np.testing.assert_allclose(after.coef_, before.coef_, rtol=1e-12)


@pytest.mark.parametrize("free", [None, 2])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_tiles_share_memory_and_nothing_else(container, free, n_threads, monkeypatch):
    """Several tiles at a time, the last one shorter: the squared errors of all rows are those of one tile."""
    X, y = data((517, 5), seed=6)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y))
    weights[7] = 0.0
    factors = None if free is None else np.where(np.arange(5) == free, 0.0, 1.0)
    model = RidgeCV(ALPHAS, store_cv_results=True, penalty_weights=factors)
    before = model.fit(container(X), y, weights).cv_results_
    monkeypatch.setattr(_ridge, "TILE", 128 * len(ALPHAS))
    monkeypatch.setattr(_threads, "available", lambda: n_threads)
    after = model.fit(container(X), y, weights).cv_results_
    np.testing.assert_allclose(after, before, rtol=1e-11)


@pytest.mark.parametrize("settings", [{"positive": True}, {"bounds": (-0.1, 0.5)}])
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_bounds(shape, settings):
    X, y = data(shape, seed=7)
    ours = RidgeCV(ALPHAS, cv=3, **settings).fit(X, y)
    search = GridSearchCV(Ridge(**settings), {"alpha": ALPHAS}, cv=3).fit(X, y)
    assert ours.alpha_ == search.best_params_["alpha"]
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], rtol=1e-8
    )
    np.testing.assert_allclose(ours.coef_, search.best_estimator_.coef_, rtol=1e-8, atol=1e-12)


def test_no_penalty_is_a_candidate_of_folds():
    """Least squares takes part, also where it is not unique."""
    X, y = data((40, 6), seed=8)
    X = np.hstack([X, X[:, :2]])
    ours = RidgeCV([0.0, 1.0], cv=3).fit(X, y)
    search = GridSearchCV(Ridge(), {"alpha": [0.0, 1.0]}, cv=3).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"], rtol=1e-9
    )


def test_nearly_singular_folds_are_fitted_on_the_data():
    """Where the Gram matrix does not hold the answer, errors agree with those of certified fits."""
    X, y = oracles.numbers(30, 4, seed=1)
    X[:, 3] = X[:, 0] + 1e-6 * X[:, 3]
    y = y + 1e6 * (X[:, 3] - X[:, 0])
    ours = RidgeCV([1e-13, 1e-9], cv=3, scoring="neg_mean_squared_error").fit(X, y)
    for number, (train, test) in enumerate(KFold(3).split(X)):
        for at, alpha in enumerate(ours.alphas_):
            error = np.mean((y[test] - predictions(X, y, train, test, None, alpha=alpha)) ** 2)
            assert ours.mse_path_[at, number] == pytest.approx(error, rel=1e-8)


def test_groups_by_metadata_routing():
    X, y = data((40, 6), seed=9)
    groups = np.arange(40) // 7
    with sklearn.config_context(enable_metadata_routing=True):
        model = RidgeCV(ALPHAS, cv=GroupKFold(3)).fit(X, y, groups=groups)
    given = RidgeCV(ALPHAS, cv=list(GroupKFold(3).split(X, y, groups))).fit(X, y)
    np.testing.assert_array_equal(model.mse_path_, given.mse_path_)


# ---------------------------------------------------------------------------------------------
# The rest
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_automatic_grid(shape):
    """From hardly any to nearly all degrees of freedom, evenly spaced in the logarithm."""
    X, y = data(shape, seed=10)
    model = RidgeCV(alphas=25).fit(1e-3 * X, y)
    assert len(model.alphas_) == 25
    np.testing.assert_allclose(np.diff(np.log(model.alphas_), 2), 0.0, atol=1e-9)
    values = np.linalg.svd(1e-3 * (X - X.mean(axis=0)), compute_uv=False) ** 2
    values = values[values > 1e-12 * values[0]]
    np.testing.assert_allclose(model.alphas_[[0, -1]], [10 * values[0], values[-1] / 10], rtol=1e-8)
    assert model.df_[0] < 1.0 + 0.1 * len(values)
    assert model.df_[-1] > 1.0 + 0.9 * len(values) * (1.0 - 1.0 / 11.0)
    assert np.all(np.diff(model.df_) > 0.0)


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("cv", [None, 3])
def test_float32_stays_float32(shape, cv):
    X, y = data(shape, seed=11)
    narrow = X.astype(np.float32)
    model = RidgeCV(ALPHAS, cv=cv).fit(narrow, y)
    wide = RidgeCV(ALPHAS, cv=cv).fit(narrow.astype(np.float64), y)
    assert model.coef_.dtype == model.coef_path_.dtype == np.float32
    np.testing.assert_allclose(model.mse_path_, wide.mse_path_, rtol=1e-11)
    np.testing.assert_allclose(model.coef_, wide.coef_, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
def test_a_fold_in_which_an_unpenalised_column_is_constant(kind):
    """Its coefficient there is zero, as in a fit to these rows."""
    for shape in SHAPES[:2]:
        X, y = data(shape, seed=12)
        X[:, 1] = 0.0
        X[:4, 1] = [1.0, 2.0, 0.0, 1.0]
        penalties = np.ones(shape[1])
        penalties[1] = 0.0
        folds = [(np.arange(4, len(X)), np.arange(4)), (np.arange(len(X) - 3), np.arange(len(X) - 3, len(X)))]
        model = RidgeCV(ALPHAS, cv=folds, penalty_weights=penalties, scoring="neg_mean_squared_error")
        model.fit(kind(X), y)
        for number, (train, test) in enumerate(folds):
            found = predictions(X, y, train, test, None, alpha=ALPHAS[0], penalty_weights=penalties)
            assert model.mse_path_[0, number] == pytest.approx(np.mean((y[test] - found) ** 2), rel=1e-9)


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error", "neg_mean_absolute_error"])
@pytest.mark.parametrize("cv", [None, 5])
def test_memory_does_not_grow_with_the_rows(cv, scoring):
    """Beyond the data, a cross-validation of tall X takes a few (p, p) matrices, tiles and vectors like y."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100_000, 40))
    y = X[:, 0] + rng.standard_normal(100_000)
    alphas = np.geomspace(1e-2, 1e4, 40)  # residuals of all of them would be as large as X
    RidgeCV(alphas, cv=cv, scoring=scoring).fit(X[:100], y[:100])
    tracemalloc.start()
    RidgeCV(alphas, cv=cv, scoring=scoring).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 9 * 2**21 + 8 * y.nbytes  # tiles of 2 MB, and vectors


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", [0, 2])
def test_scores_of_some_alphas_at_a_time(targets, weighted, monkeypatch):
    """Of leave-one-out, they are the same; squared errors need no predictions."""
    X, y = data((40, 6), targets)
    weights = np.arange(40.0) if weighted else None
    squares = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", store_cv_results=True).fit(X, y, weights)
    scorer = make_scorer(mean_squared_error, greater_is_better=False)
    together = RidgeCV(ALPHAS, scoring=scorer).fit(X, y, weights)
    monkeypatch.setattr(_cv, "width", lambda X, count: 3)
    monkeypatch.setattr(_ridge_cv, "width", lambda X, count: 3)
    for cv in (None, 3):
        model = RidgeCV(ALPHAS, scoring=scorer, cv=cv).fit(X, y, weights)
        if cv is None:
            assert_allclose(model.cv_results_["mean_test_score"], together.cv_results_["mean_test_score"])
            assert model.best_score_ == pytest.approx(squares.best_score_, rel=1e-12)
            assert model.alpha_ == squares.alpha_
        else:
            theirs = RidgeCV(ALPHAS, scoring="neg_mean_squared_error", cv=cv).fit(X, y, weights)
            assert_allclose(model.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"])


def test_rows_of_a_scorer_are_in_the_order_of_the_fold():
    """Whatever that is, also where it looks like that of X."""
    X, y = data((40, 6))
    folds = [(np.arange(4, 40), np.array(rows)) for rows in ([0, 2, 1, 3], [0, 0, 2], [0, 1, 2, 3])]
    by_name = RidgeCV(ALPHAS, cv=folds, scoring="neg_mean_squared_error").fit(X, y)
    scorer = make_scorer(mean_squared_error, greater_is_better=False)
    model = RidgeCV(ALPHAS, cv=folds, scoring=scorer).fit(X, y)
    assert_allclose(model.cv_results_["mean_test_score"], by_name.cv_results_["mean_test_score"])


def units_apart(n, p, seed=0):
    """Columns of ordinary size but for the first, and two that make up an intercept."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    group = rng.integers(0, 2, n)
    X[:, 1], X[:, 2] = group, 1 - group
    return X, X[:, 3] + rng.standard_normal(n)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("free", [[], [1, 2], [3], range(8)])
@pytest.mark.parametrize(("shape", "large"), [((20, 8), 1e7), ((20, 8), 1.0), ((14, 30), 1e6)])
def test_leave_one_out_of_columns_in_very_different_units(kind, weighted, free, shape, large):
    """As the fits to all rows but one, also with dependent columns that are not penalised."""
    X, y = units_apart(*shape)
    X[:, 0] *= large
    weights = np.arange(1.0, 1.0 + len(y)) if weighted else None
    factors = np.ones(shape[1])
    factors[list(free)] = 0.0
    alphas = np.array([0.1, 10.0])
    model = RidgeCV(alphas, penalty_weights=factors).fit(kind(X), y, sample_weight=weights)
    for alpha, found in zip(alphas, model.mse_path_, strict=True):
        missed = []
        for row in range(len(y)):
            rest = np.arange(len(y)) != row
            some = None if weights is None else weights[rest]
            other = Ridge(alpha, penalty_weights=factors).fit(X[rest], y[rest], sample_weight=some)
            missed.append(y[row] - other.predict(X[[row]])[0])
        expected = np.average(np.square(missed)) if weights is None else np.mean(weights * np.square(missed))
        assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_of_columns_in_very_different_units(kind, weighted):
    """As fits to each fold, also with a column that is there twice."""
    X, y = units_apart(40, 8)
    X[:, 0] *= 1e9
    X[:, 4] = X[:, 5]
    weights = np.arange(1.0, 41.0) if weighted else None
    alphas = np.array([1e-3, 10.0])
    model = RidgeCV(alphas, cv=KFold(4)).fit(kind(X), y, sample_weight=weights)
    for fold, (train, test) in enumerate(KFold(4).split(X)):
        for alpha, found in zip(alphas, model.mse_path_[:, fold], strict=True):
            missed = y[test] - predictions(X, y, train, test, weights, alpha=alpha, solver="svd")
            some = None if weights is None else weights[test]
            assert found == pytest.approx(np.average(missed**2, weights=some), rel=1e-9)


def test_nothing_or_everything_is_penalised_without_end():
    """Without any penalty leave-one-out is that of least squares; with all columns left out, of the mean."""
    X, y = oracles.numbers(30, 4, seed=3)
    model = RidgeCV(penalty_weights=np.zeros(4)).fit(X, y)
    np.testing.assert_allclose(model.mse_path_, model.mse_path_[0])
    np.testing.assert_allclose(model.df_, 5.0)
    model = RidgeCV(penalty_weights=np.full(4, np.inf)).fit(X, y)
    apart = (y - y.mean()) * len(y) / (len(y) - 1)
    np.testing.assert_allclose(model.mse_path_, np.mean(apart**2))


def test_units_that_the_diagonal_gives_away_cost_no_eigenvalues(monkeypatch):
    """Where columns are that different in size, eigenvalues of the Gram matrix would be thrown away."""
    X, y = units_apart(40, 8)
    X[:, 0] *= 1e7
    expected = RidgeCV(ALPHAS).fit(X, y)

    def unwanted(matrix):
        raise AssertionError

    monkeypatch.setattr(_ridge, "eigen", unwanted)
    assert np.array_equal(RidgeCV(ALPHAS).fit(X, y).mse_path_, expected.mse_path_)


@pytest.mark.parametrize("cv", [None, "gcv", 4])
def test_an_automatic_grid_reaches_columns_in_small_units(cv):
    """From the largest eigenvalue to the smallest one, however far apart they are."""
    X, y = units_apart(300, 4, seed=1)
    X[:, 0] *= 1e7
    model = RidgeCV(alphas=12, cv=cv).fit(X[:, [0, 3]], y)
    plain = np.linalg.svd(X[:, [0, 3]] - X[:, [0, 3]].mean(axis=0), compute_uv=False) ** 2
    np.testing.assert_allclose(model.alphas_[[0, -1]], [10.0 * plain[0], 0.1 * plain[-1]], rtol=1e-6)
    assert model.coef_[1] == pytest.approx(1.0, abs=0.2)


def private(n=60, seed=0):
    """A large column, one that only row 7 has, and two that differ by 1e-7."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    X[:, 4] = np.arange(n) == 7
    y = X[:, 0] + rng.standard_normal(n)
    X[:, 0] *= 1e5
    return np.column_stack([X, X[:, 1] + 1e-7 * rng.standard_normal(n)]), y


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("cv", [None, "gcv", 5])
def test_an_automatic_grid_ends_where_columns_are_nearly_dependent(cv, kind):
    """Not at the eigenvalue 1e-13 of their difference, and where every row can be left out."""
    X, y = private()
    model = RidgeCV(alphas=12, cv=cv, store_cv_results=cv is None).fit(kind(X), y)
    least = 1e-8 * X.var(axis=0).min() * len(y)
    least *= 100.0 if cv is None else 1.0  # row 7 has to be left out
    assert least * (1.0 - 1e-9) <= model.alphas_[-1] < 10.0 * least
    assert 1.0 + 5.0 * 0.99 < model.df_[-1] < 6.01  # no degree of freedom is for the difference
    if cv is None:
        for row in (0, 7):
            rest = np.arange(len(y)) != row
            fit = Ridge(model.alphas_[-1]).fit(X[rest], y[rest])
            missed = y[row] - fit.predict(X[[row]])[0]
            np.testing.assert_allclose(model.cv_results_[row, -1], missed * missed, rtol=1e-5)


@pytest.mark.parametrize("penalised", [True, False])
def test_a_row_that_cannot_be_left_out_names_the_cause(penalised):
    """An alpha below rounding, or a column without penalty that only this row has."""
    X, y = private()
    weights = np.ones(6)
    weights[4] = float(penalised)
    message = (
        "Row 7 cannot be left out with alpha=1e-13: the fit goes through it" if penalised else "penalise them"
    )
    with pytest.raises(ValueError, match=message):
        RidgeCV([1.0, 1e-13], penalty_weights=weights).fit(X, y)


def test_a_path_to_faint_alphas_comes_from_one_factor(monkeypatch):
    """No alpha of an automatic grid is factored for itself because its penalty alone proves nothing."""

    def unwanted(*_):
        raise AssertionError

    monkeypatch.setattr(_ridge, "qr", unwanted)
    monkeypatch.setattr(_ridge, "svd", unwanted)
    X, y = private()
    model = RidgeCV(alphas=12).fit(X, y)
    for alpha, coef in zip(model.alphas_, model.coef_path_.T, strict=True):
        given = oracles.problem(X, y, alpha=alpha, ridge=True)
        oracles.assert_near_minimum(given, coef, given.objective(coef), 1e-11 * y @ y)


BAD = {
    "zero alpha": ({"alphas": [0.0, 1.0]}, {}, r"alphas\[0\] == 0.0, must be > 0.0"),
    "negative alpha": ({"alphas": [-1.0]}, {}, r"alphas\[0\] == -1.0, must be > 0.0"),
    "no alphas": ({"alphas": []}, {}, "alphas must be"),
    "zero alphas": ({"alphas": 0}, {}, "alphas must be at least 1"),
    "one sample": ({}, {"n": 1}, "1 sample"),
    "folds": ({"cv": 50}, {}, "more folds than X has rows, got cv=50, and n_samples=20"),
    "cv": ({"cv": "loo"}, {}, "cv must be None, 'gcv'"),
    "stored folds": (
        {"cv": 3, "store_cv_results": True},
        {},
        "cv!=None and store_cv_results=True are incompatible",
    ),
    "positive": ({"positive": True}, {}, "Leave-one-out has no closed form with positive=True"),
    "gcv scoring": ({"cv": "gcv", "scoring": "r2"}, {}, "cv='gcv' is a score of its own"),
    "scored 1se": ({"scoring": "r2", "criterion": "1se"}, {}, "leave-one-out has one of squared errors only"),
    "gcv 1se": ({"cv": "gcv", "criterion": "1se"}, {}, "cv='gcv' knows no errors of single rows"),
    "criterion": ({"criterion": "max"}, {}, "criterion must be"),
    "gcv_mode": ({"gcv_mode": "qr"}, {}, "gcv_mode must be one of"),
    "NaN": ({}, {"nan": True}, "Input y contains NaN"),
    "one row": ({"cv": [(np.arange(5), [7])]}, {}, "R\\^2 is not defined for one row"),
    "pinned": ({"penalty_weights": [0.0, 1, 1, 1]}, {"pinned": True}, "Row 0 cannot be left out"),
    "bounded grid": ({"alphas": 5, "cv": 3, "positive": True}, {}, "give the alphas"),
    "scoring": ({"cv": 3, "scoring": lambda *_: 1 / 0}, {}, "scoring failed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_a_sentence_and_changes_nothing(case):
    settings, change, message = BAD[case]
    X, y = data((20, 4), 2, seed=13)
    good = RidgeCV().fit(X, y)
    before = dict(good.__dict__)
    if change.get("nan"):
        y[3, 1] = np.nan
    if change.get("pinned"):
        X[:, 0] = np.arange(20) == 0
    n = change.get("n", 20)
    good.set_params(**settings)
    with pytest.raises((ValueError, TypeError), match=message):
        good.fit(X[:n], y[:n])
    after = {name: value for name, value in good.__dict__.items() if name not in settings}
    assert all(after[name] is before[name] for name in after)


@pytest.mark.parametrize("shape", [(12, 40), (20, 20)])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_leave_one_out_where_the_fit_interpolates(shape, fit_intercept):
    """With hardly any penalty the residuals vanish, and one minus the leverage does; their ratio does not."""
    X, Y = data(shape, 1, seed=17)
    y = Y[:, 0]
    model = RidgeCV([1e-13], fit_intercept=fit_intercept, store_cv_results=True).fit(X, y)
    for row in range(len(y)):
        rest = np.arange(len(y)) != row
        centre = (X[rest].mean(axis=0), y[rest].mean()) if fit_intercept else (0.0, 0.0)
        shortest = np.linalg.lstsq(X[rest] - centre[0], y[rest] - centre[1], rcond=1e-12)[0]
        missed = y[row] - centre[1] - (X[row] - centre[0]) @ shortest
        np.testing.assert_allclose(model.cv_results_[row, 0], missed * missed, rtol=1e-5)
