"""Everything that composes with scikit-learn's estimators composes with ours."""

import ast
import copy
import importlib
import inspect
import io
import pickle
import pkgutil
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_regression
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import sparse_linear
from sparse_linear import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    Ridge,
    enet_path,
    lasso_path,
    ridge_path,
)

ESTIMATORS = (Lasso, ElasticNet, Ridge)
CHOOSING = (LassoCV, ElasticNetCV)
SOURCES = sorted(Path(sparse_linear.__file__).parent.rglob("*.py"))


def namesake(ours):
    """scikit-learn's own class or function of the same name."""
    return getattr(sklearn.linear_model, ours.__name__)


@pytest.fixture
def problem():
    X, y = make_regression(60, 8, n_informative=4, noise=5.0, random_state=0)
    return X, y


@pytest.fixture
def frame(problem):
    """Numbers, a category, a target and weights."""
    X, y = problem
    rng = np.random.default_rng(0)
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])
    table["kind"] = rng.choice(["red", "green", "blue"], size=len(y))
    return table, y + 20.0 * (table["kind"] == "red"), rng.uniform(0.0, 2.0, size=len(y))


# ---------------------------------------------------------------------------------------------
# scikit-learn's own checks
# ---------------------------------------------------------------------------------------------

VARIANTS = [
    variant
    for Estimator in ESTIMATORS
    for variant in (
        Estimator(),
        Estimator(positive=True),
        Estimator(standardize=True),
        Estimator(bounds=(-1.0, 2.0)),
        Estimator(fit_intercept=False),
    )
]
VARIANTS += [
    Lasso(alpha=1e-3, warm_start=True, precompute=True, selection="random"),
    ElasticNet(alpha=1e-3, l1_ratio=0.0),
    ElasticNet(alpha=1e-3, l1_ratio=1.0),
    *(Ridge(solver=solver) for solver in ("svd", "cholesky", "lsqr", "sag")),
]
VARIANTS += [
    variant
    for Estimator in CHOOSING
    for variant in (
        Estimator(alphas=10, cv=3),
        Estimator(alphas=10, cv=3, positive=True, fit_intercept=False, criterion="1se"),
        Estimator(alphas=10, cv=3, relax=[0.0, 1.0], scoring="neg_mean_absolute_error", standardize=True),
    )
]
VARIANTS += [
    ElasticNetCV(alphas=10, cv=3, l1_ratio=[0.5, 1.0], n_jobs=2),
    LassoCV(alphas=10, cv=3, alpha_per_target=True, bounds=(-1.0, 2.0)),
]


def expected_failures(estimator):
    """Nothing but what scikit-learn itself expects of its class of this name, in its own test suite.

    `n_iter_` of its Ridge is None where nothing iterates, as ours is.
    """
    if isinstance(estimator, Ridge) and not estimator.positive and estimator.bounds is None:
        return {"check_non_transformer_estimators_n_iter": "n_iter_ is None for closed forms"}
    return {}


@parametrize_with_checks(VARIANTS, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_expected_failures_are_scikit_learns_own():
    """The one exemption above is needed for scikit-learn's Ridge too: its `n_iter_` is None."""
    X, y = make_regression(20, 3, random_state=0)
    assert sklearn.linear_model.Ridge().fit(X, y).n_iter_ is None
    assert Ridge().fit(X, y).n_iter_ is None
    assert {name for variant in VARIANTS for name in expected_failures(variant)} == {
        "check_non_transformer_estimators_n_iter"
    }


# ---------------------------------------------------------------------------------------------
# The interface
# ---------------------------------------------------------------------------------------------

# scikit-learn 1.6 has ``n_alphas=100, alphas=None``; later ones move the number into `alphas`. Both work.
MOVING = {"n_alphas", "alphas"}


@pytest.mark.parametrize(
    "ours", [*ESTIMATORS, *CHOOSING, lasso_path, enet_path], ids=lambda ours: ours.__name__
)
def test_every_keyword_of_the_namesake_with_its_default(ours):
    mine = inspect.signature(ours).parameters
    theirs = inspect.signature(namesake(ours)).parameters
    for name, parameter in theirs.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD or (name == "n_alphas" and ours in CHOOSING):
            continue  # scikit-learn 1.9 has done without this one
        assert name in mine, name
        assert mine[name].kind == parameter.kind, name
        if name not in MOVING:
            assert mine[name].default == parameter.default, name
            assert type(mine[name].default) is type(parameter.default), name
    # What comes as **params in scikit-learn: keywords of its coordinate descent.
    if ours in (lasso_path, enet_path):
        assert {"tol", "max_iter", "random_state", "selection"} <= set(
            inspect.signature(enet_path).parameters
        )


@pytest.mark.parametrize("Estimator", ESTIMATORS + CHOOSING)
def test_every_public_name_of_the_namesake(Estimator, problem):
    X, y = problem
    public = {name for name in dir(namesake(Estimator)().fit(X, y)) if not name.startswith("_")} - {
        "n_alphas"
    }
    assert public - set(dir(Estimator().fit(X, y))) == set()


@pytest.mark.parametrize("Estimator", ESTIMATORS + CHOOSING)
def test_old_defaults_are_written_out(Estimator):
    """get_params: every argument of the constructor, and nothing else."""
    params = Estimator().get_params()
    assert list(params) == sorted(set(inspect.signature(Estimator).parameters))
    theirs = {name: value for name, value in namesake(Estimator)().get_params().items() if name not in MOVING}
    assert theirs.items() <= params.items()


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_get_and_set_params(Estimator, problem):
    X, y = problem
    weights = np.ones(8)
    model = Estimator(penalty_weights=weights)
    assert model.get_params()["penalty_weights"] is weights
    assert model.set_params(alpha=0.25, positive=True) is model
    assert (model.alpha, model.positive) == (0.25, True)
    assert_array_equal(model.fit(X, y).coef_, Estimator(alpha=0.25, positive=True).fit(X, y).coef_)
    with pytest.raises(ValueError, match="Invalid parameter 'lambda_'"):
        model.set_params(lambda_=1.0)
    assert Estimator.__name__ in repr(model)
    assert "alpha=0.25" in repr(model)
    assert Estimator.__name__ in model._repr_html_()


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_every_option_of_the_namesake_runs(Estimator, problem):
    """Each keyword changes the answer as it does there: existing code changes one import."""
    X, y = problem
    options = [
        {},
        {"alpha": 2.0},
        {"fit_intercept": False},
        {"copy_X": False},
        {"max_iter": 5000},
        {"tol": 1e-10},
        {"positive": True},
        {"random_state": 3},
    ]
    if Estimator is Ridge:
        options += [{"solver": s} for s in ("auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga")]
        options += [{"solver": "lbfgs", "positive": True}, {"alpha": np.array([2.0])}]
    else:
        X = X - X.mean(axis=0)  # scikit-learn takes a Gram matrix of centred columns only
        options += [{"precompute": True}, {"precompute": X.T @ X}, {"warm_start": True}]
        options += [{"selection": "random", "random_state": 0}]
    if Estimator is ElasticNet:
        options += [{"l1_ratio": 0.2}, {"l1_ratio": 1.0}]
    for option in options:
        fixed = {"tol": 1e-12, "max_iter": 100_000}
        before, before_y = X.copy(), y.copy()
        ours = Estimator(**option).fit(X, y)
        assert_array_equal(X, before)
        assert_array_equal(y, before_y)
        theirs = namesake(Estimator)(**{**option, **fixed}).fit(X.copy(), y)
        assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-5, err_msg=str(option))
        assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-5, atol=1e-5, err_msg=str(option))
        assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-7)


@pytest.mark.parametrize("path", [lasso_path, enet_path])
def test_paths_take_what_scikit_learns_take(path, problem):
    X, y = problem
    y = y - y.mean()
    gram, correlations = X.T @ X, X.T @ y
    calls = [
        {"n_alphas": 7, "eps": 0.01},
        {"alphas": [10.0, 1.0, 30.0]},
        {"alphas": np.array([3.0, 2.0]), "precompute": gram, "Xy": correlations},
        {"alphas": [3.0], "precompute": False, "copy_X": False, "verbose": False},
        {"alphas": [3.0, 1.0], "positive": True},
        {"alphas": [3.0, 1.0], "coef_init": np.ones(8)},
        {"alphas": [3.0, 1.0], "max_iter": 5000, "random_state": 0, "selection": "random"},
    ]
    if path is enet_path:
        calls += [{"alphas": [3.0, 1.0], "l1_ratio": 0.9, "check_input": True}]
    for call in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `n_alphas` is going away there
            theirs = namesake(path)(X.copy(), y, **{**call, "tol": 1e-12, "max_iter": 100_000})
        ours = path(X, y, **call)
        assert len(ours) == len(theirs) == 3
        assert isinstance(ours, tuple)
        assert_allclose(ours[0], theirs[0], rtol=1e-10, err_msg=str(call))
        assert_allclose(ours[1], theirs[1], rtol=1e-5, atol=1e-5, err_msg=str(call))
        assert ours[2].shape == theirs[2].shape
        assert len(path(X, y, **call, return_n_iter=True)) == 4


def test_default_grids_have_100_alphas(problem):
    X, y = problem
    for path in (lasso_path, enet_path):
        for count in ({}, {"alphas": 100}, {"n_alphas": 100}, {"alphas": None}):
            assert len(path(X, y, **count).alphas) == 100
    assert Lasso.path is enet_path
    assert ElasticNet.path is enet_path


# ---------------------------------------------------------------------------------------------
# Composition
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_pipeline(Estimator, problem):
    X, y = problem
    ours = make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), Estimator(alpha=0.5)
    ).fit(X, y)
    theirs = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(2, include_bias=False),
        namesake(Estimator)(alpha=0.5, tol=1e-12, max_iter=100_000),
    ).fit(X, y)
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-7, atol=1e-7)
    assert_allclose(ours.score(X, y), theirs.score(X, y), rtol=1e-9)
    assert_allclose(ours[:-1].transform(X) @ ours[-1].coef_ + ours[-1].intercept_, ours.predict(X))


@pytest.mark.parametrize("sparse_output", [False, True])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_column_transformer(Estimator, sparse_output, frame):
    table, y, weights = frame
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), [name for name in table if name != "kind"]),
            ("kinds", OneHotEncoder(sparse_output=sparse_output), ["kind"]),
        ],
        sparse_threshold=1.0 if sparse_output else 0.0,
    )
    assert sparse.issparse(columns.fit_transform(table)) == sparse_output
    ours = Pipeline([("columns", columns), ("model", Estimator(alpha=0.5))])
    theirs = clone(ours).set_params(model=namesake(Estimator)(alpha=0.5, tol=1e-12, max_iter=100_000))
    for model in (ours, theirs):
        model.fit(table, y, model__sample_weight=weights)
    assert_allclose(ours.predict(table), theirs.predict(table), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_grid_search_in_parallel(Estimator, backend, problem):
    """Processes and threads find what one process finds, and what scikit-learn finds."""
    X, y = problem
    grid = {"model__alpha": [0.1, 1.0, 10.0], "model__positive": [False, True]}
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Estimator())])
    alone = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    with joblib.parallel_backend(backend, n_jobs=2):
        together = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    assert together.best_params_ == alone.best_params_
    assert_allclose(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-10)
    assert_allclose(together.predict(X), alone.predict(X), rtol=1e-10)
    theirs = clone(pipeline).set_params(model=namesake(Estimator)(tol=1e-10, max_iter=100_000))
    reference = GridSearchCV(theirs, grid, cv=3).fit(X, y)
    assert reference.best_params_ == alone.best_params_
    assert_allclose(alone.cv_results_["mean_test_score"], reference.cv_results_["mean_test_score"], rtol=1e-5)


def test_processes_may_share_a_memory_map():
    """Joblib maps a large X into every process, read-only."""
    X = np.random.default_rng(0).normal(size=(1 << 17, 2))
    assert X.nbytes > 1 << 20  # what is larger is mapped
    y = X @ [2.0, -1.0] + X[:, 0] ** 2

    def fit(Estimator, X):
        return isinstance(X, np.memmap), X.flags.writeable, Estimator(alpha=0.1).fit(X, y[: len(X)]).coef_

    found = joblib.Parallel(n_jobs=2)(joblib.delayed(fit)(Estimator, X) for Estimator in ESTIMATORS)
    for Estimator, (mapped, writeable, coef) in zip(ESTIMATORS, found, strict=True):
        assert mapped
        assert not writeable
        assert_allclose(coef, Estimator(alpha=0.1).fit(X, y).coef_, rtol=1e-12)


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.parametrize("storage", [sparse.csc_array, sparse.csr_matrix])
def test_randomized_search_on_sparse_data_in_parallel(storage, backend, problem):
    X, y = problem
    X = storage(np.where(np.abs(X) > 0.7, X, 0.0))
    search = RandomizedSearchCV(
        ElasticNet(),
        {"alpha": np.geomspace(0.01, 10.0, 50), "l1_ratio": [0.2, 0.8]},
        n_iter=6,
        cv=3,
        random_state=1,
    )
    alone = clone(search).fit(X, y)
    with joblib.parallel_backend(backend, n_jobs=2):
        together = search.set_params(n_jobs=2).fit(X, y)
    assert together.best_params_ == alone.best_params_
    assert_allclose(together.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-10)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_select_from_model(Estimator, problem):
    X, y = problem
    ours = SelectFromModel(Estimator(alpha=5.0)).fit(X, y)
    theirs = SelectFromModel(namesake(Estimator)(alpha=5.0, tol=1e-10)).fit(X, y)
    # The default threshold is chosen by the name of the class: 1e-5 for a lasso, the mean otherwise.
    assert_allclose(ours.threshold_, theirs.threshold_, rtol=1e-6)
    assert_array_equal(ours.get_support(), theirs.get_support())
    if Estimator is Lasso:
        assert_array_equal(ours.get_support(), ours.estimator_.coef_ != 0.0)
        assert 0 < ours.get_support().sum() < 8
    before = SelectFromModel(Estimator(alpha=5.0).fit(X, y), prefit=True)
    assert_array_equal(before.transform(X), ours.transform(X))
    selected = make_pipeline(ours, Estimator(alpha=0.1)).fit(X, y)
    assert selected.score(X, y) > 0.5


def test_recursive_elimination_and_importances(problem):
    X, y = problem
    ranking = RFE(Ridge(), n_features_to_select=3).fit(X, y).ranking_
    assert_array_equal(ranking, RFE(sklearn.linear_model.Ridge(), n_features_to_select=3).fit(X, y).ranking_)
    found = permutation_importance(Lasso().fit(X, y), X, y, n_repeats=2, random_state=0)
    assert found.importances.shape == (8, 2)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_transformed_target(Estimator, problem):
    X, y = problem
    y = np.exp(y / np.abs(y).max())
    model = TransformedTargetRegressor(Estimator(alpha=1e-3), func=np.log, inverse_func=np.exp).fit(X, y)
    direct = Estimator(alpha=1e-3).fit(X, np.log(y))
    assert_allclose(model.predict(X), np.exp(direct.predict(X)), rtol=1e-12)
    scaled = TransformedTargetRegressor(Estimator(alpha=1e-3), transformer=StandardScaler()).fit(X, y)
    assert scaled.predict(X).shape == y.shape


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_cross_validate(Estimator, problem):
    X, y = problem
    scoring = ["r2", "neg_mean_squared_error"]
    ours = cross_validate(
        Estimator(), X, y, cv=3, scoring=scoring, return_estimator=True, return_train_score=True
    )
    theirs = cross_validate(
        namesake(Estimator)(tol=1e-10), X, y, cv=3, scoring=scoring, return_train_score=True
    )
    for key in theirs:
        if not key.endswith("_time"):
            assert_allclose(ours[key], theirs[key], rtol=1e-6, err_msg=key)
    folds = [train for train, _ in KFold(3).split(X)]
    for model, train in zip(ours["estimator"], folds, strict=True):
        assert_array_equal(model.coef_, Estimator().fit(X[train], y[train]).coef_)
    assert cross_val_predict(Estimator(), X, np.column_stack([y, -y]), cv=3).shape == (60, 2)


def test_ensembles(problem):
    X, y = problem
    Y = np.column_stack([y, X[:, 0] - 2.0 * X[:, 1]])
    for Estimator in ESTIMATORS:
        model = Estimator(alpha=0.1)
        assert_allclose(
            MultiOutputRegressor(model).fit(X, Y).predict(X), clone(model).fit(X, Y).predict(X), rtol=1e-8
        )
    assert RegressorChain(Lasso(alpha=0.1)).fit(X, Y).predict(X).shape == (60, 2)
    stack = StackingRegressor(
        [("lasso", Lasso()), ("enet", ElasticNet())], final_estimator=Ridge(), cv=3
    ).fit(X, y)
    reference = StackingRegressor(
        [
            ("lasso", sklearn.linear_model.Lasso(tol=1e-12)),
            ("enet", sklearn.linear_model.ElasticNet(tol=1e-12)),
        ],
        final_estimator=sklearn.linear_model.Ridge(),
        cv=3,
    ).fit(X, y)
    assert_allclose(stack.predict(X), reference.predict(X), rtol=1e-5)
    bag = BaggingRegressor(Lasso(), n_estimators=3, random_state=0).fit(X, y)
    other = BaggingRegressor(sklearn.linear_model.Lasso(tol=1e-12), n_estimators=3, random_state=0).fit(X, y)
    assert_allclose(bag.predict(X), other.predict(X), rtol=1e-5)


# ---------------------------------------------------------------------------------------------
# Copies
# ---------------------------------------------------------------------------------------------


def through_joblib(thing):
    file = io.BytesIO()
    joblib.dump(thing, file)
    file.seek(0)
    return joblib.load(file)


COPIES = {
    "pickle 2": lambda thing: pickle.loads(pickle.dumps(thing, protocol=2)),
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "joblib": through_joblib,
    "deepcopy": copy.deepcopy,
}


def assert_same(one, other):
    """Equal in type and value, all the way down."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert_array_equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_copies_of_a_fit(Estimator, how, problem):
    X, y = problem
    for target in (y, np.column_stack([y, -y])):
        model = Estimator(alpha=0.5, bounds=(-50.0, 50.0), penalty_weights=np.ones(8)).fit(X, target)
        twin = COPIES[how](model)
        assert_same(model.__dict__, twin.__dict__)
        assert_array_equal(model.predict(X), twin.predict(X))
        assert_array_equal(twin.fit(X, target).coef_, model.coef_)
    assert_same(Estimator().__dict__, COPIES[how](Estimator()).__dict__)


@pytest.mark.parametrize("how", COPIES)
def test_copies_of_a_path(how, problem):
    X, y = problem
    for path in (lasso_path(X, y, alphas=[1.0, 0.5], return_n_iter=True), ridge_path(X, y, [1.0, 0.5])):
        twin = COPIES[how](path)
        assert_same(tuple(path), tuple(twin))
        assert_same(path.__dict__, twin.__dict__)
        assert type(twin) is type(path)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_clone(Estimator, problem):
    X, y = problem
    weights = np.linspace(0.5, 2.0, 8)
    model = Estimator(alpha=0.5, penalty_weights=weights, bounds=(-1.0, np.full(8, 3.0)), standardize=True)
    twin = clone(model.fit(X, y))
    assert not hasattr(twin, "coef_")
    assert_same(twin.get_params(), model.get_params())
    assert twin.penalty_weights is not weights
    assert_array_equal(twin.fit(X, y).coef_, model.coef_)
    # The same parameters made in another way are not rewritten at construction or at the fit.
    assert model.penalty_weights is weights


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_a_clone_keeps_what_scikit_learns_keeps(Estimator, problem):
    """With plain values as parameters, for which there is a short way, and what is asked of metadata."""
    model = Estimator(alpha=0.5, tol=1e-6, fit_intercept=False).fit(*problem)
    twin = clone(model)
    assert type(twin) is Estimator
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "coef_")
    with config_context(enable_metadata_routing=True):
        asked = clone(clone(Estimator().set_fit_request(sample_weight=True)))
        assert asked.get_metadata_routing().fit.requests["sample_weight"] is True


def test_no_clone_of_a_class_that_changes_its_parameters():
    class Changing(Lasso):
        def __init__(self, alpha=1.0):
            super().__init__(alpha=2.0 * alpha)

    with pytest.raises(RuntimeError, match="either does not set or modifies parameter alpha"):
        clone(Changing())


# ---------------------------------------------------------------------------------------------
# Frames
# ---------------------------------------------------------------------------------------------


def make_frame(library, X, names):
    if library == "pandas":
        return pd.DataFrame(X, columns=names)
    return pytest.importorskip("polars").DataFrame(X, schema=list(names))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_frames(Estimator, library, problem):
    X, y = problem
    names = [f"x{j}" for j in range(8)]
    table = make_frame(library, X, names)
    model = Estimator(alpha=0.5).fit(table, y)
    reference = Estimator(alpha=0.5).fit(X, y)
    assert_array_equal(model.feature_names_in_, np.array(names, dtype=object))
    assert model.feature_names_in_.dtype == object
    assert not hasattr(reference, "feature_names_in_")
    assert_allclose(model.coef_, reference.coef_, rtol=1e-12)
    assert_allclose(model.predict(table), reference.predict(X), rtol=1e-12)
    with pytest.raises(ValueError, match=r"feature names(.|\n)*x7"):
        model.predict(make_frame(library, X, [*names[:-1], "other"]))
    with pytest.raises(ValueError, match="same order"):
        model.predict(make_frame(library, X, names[::-1]))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(make_frame(library, X[:, 1:], names[1:]))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    # A refit without names forgets them.
    assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_frame_of_mixed_numbers_and_target_series(problem):
    """Integers, booleans and float32 in one frame; y and weights as series with another index."""
    X, y = problem
    table = pd.DataFrame(
        {"i": np.arange(60), "b": X[:, 0] > 0.0, "f": X[:, 1].astype(np.float32), "d": X[:, 2]},
        index=np.arange(60)[::-1],
    )
    weights = pd.Series(np.linspace(0.0, 1.0, 60), index=np.arange(60) + 7)
    for Estimator in ESTIMATORS:
        model = Estimator(alpha=0.5).fit(table, pd.Series(y), sample_weight=weights)
        reference = Estimator(alpha=0.5).fit(table.to_numpy(dtype=np.float64), y, weights.to_numpy())
        assert_allclose(model.coef_, reference.coef_, rtol=1e-12)


def test_frame_of_sparse_columns(problem):
    X, y = problem
    table = pd.DataFrame.sparse.from_spmatrix(
        sparse.csc_matrix(np.where(np.abs(X) > 1.0, X, 0.0)), columns=list("abcdefgh")
    )
    for Estimator in ESTIMATORS:
        model = Estimator(alpha=0.5).fit(table, y)
        assert_allclose(model.coef_, Estimator(alpha=0.5).fit(table.to_numpy(), y).coef_, rtol=1e-9)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output(library, frame):
    """Names travel through the pipeline to the model, and out of the selector."""
    if library == "polars":
        pytest.importorskip("polars")
    table, y, _ = frame
    table = table.drop(columns="kind")
    for Estimator in ESTIMATORS:
        pipeline = (
            make_pipeline(StandardScaler(), Estimator(alpha=0.5)).set_output(transform=library).fit(table, y)
        )
        assert_array_equal(pipeline[-1].feature_names_in_, table.columns)
        pipeline.predict(table)
        selector = SelectFromModel(Estimator(alpha=5.0)).set_output(transform=library).fit(table, y)
        chosen = selector.transform(table)
        assert type(chosen).__module__.startswith(library)
        assert list(chosen.columns) == list(selector.get_feature_names_out())
        assert list(chosen.columns) == list(np.array(table.columns)[selector.get_support()])


# ---------------------------------------------------------------------------------------------
# Metadata routing
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_metadata_routing(Estimator, problem):
    """Weights reach the fit, and the score, of the model inside a pipeline inside a search."""
    X, y = problem
    weights = np.random.default_rng(3).integers(0, 4, size=len(y)).astype(float)
    folds = KFold(3)
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = Estimator(alpha=0.5).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(scaler, model).fit(X, y, sample_weight=weights)
        Z = StandardScaler().fit_transform(X)
        direct = Estimator(alpha=0.5).fit(Z, y, weights)
        assert_array_equal(pipeline[-1].coef_, direct.coef_)
        assert (
            pipeline.score(X, y, sample_weight=weights) == direct.score(Z, y, weights) != direct.score(Z, y)
        )
        assert np.abs(pipeline[-1].coef_ - Estimator(alpha=0.5).fit(Z, y).coef_).max() > 1e-3

        name = f"{Estimator.__name__.lower()}__alpha"
        scorer = make_scorer(r2_score).set_score_request(sample_weight=True)
        search = GridSearchCV(make_pipeline(scaler, model), {name: [0.1, 5.0]}, cv=folds, scoring=scorer)
        search.fit(X, y, sample_weight=weights)
        scores = []
        for train, test in folds.split(X):
            scale = StandardScaler().fit(X[train])
            inner = Estimator(alpha=5.0).fit(scale.transform(X[train]), y[train], weights[train])
            scores.append(inner.score(scale.transform(X[test]), y[test], weights[test]))
        assert_allclose([search.cv_results_[f"split{k}_test_score"][1] for k in range(3)], scores, rtol=1e-12)
        results = cross_validate(
            Estimator().set_fit_request(sample_weight=True).set_score_request(sample_weight=False),
            X,
            y,
            cv=folds,
            params={"sample_weight": weights},
        )
        assert len(results["test_score"]) == 3

        # Who was not asked must not be given any.
        with pytest.raises(ValueError, match="sample_weight"):
            make_pipeline(StandardScaler().set_fit_request(sample_weight=True), Estimator()).fit(
                X, y, sample_weight=weights
            )
        ignoring = make_pipeline(scaler, Estimator(alpha=0.5).set_fit_request(sample_weight=False))
        with pytest.raises(TypeError, match="sample_weight"):
            ignoring.fit(X, y, sample_weight=weights)


# ---------------------------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------------------------


def test_concurrent_fits_give_the_same_answers():
    """Kernels release the GIL: fits of every kind run side by side, also on one X, undisturbed."""
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(120, 90))
    y = shared[:, :5].sum(axis=1) + rng.normal(size=120)
    spread = np.where(np.abs(shared) > 1.0, shared, 0.0)
    storages = [
        shared,
        np.asfortranarray(shared),
        shared.astype(np.float32),
        sparse.csc_array(spread),
        sparse.csr_array(spread),
    ]
    jobs = [(Estimator, X, alpha) for X in storages for Estimator in ESTIMATORS for alpha in (0.3, 0.05)]

    def run(job):
        Estimator, X, alpha = job
        model = Estimator(alpha=alpha).fit(X, y, np.linspace(0.5, 1.5, 120))
        return model.coef_, model.intercept_, model.dual_gap_

    alone = [run(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(2):
            for one, other in zip(alone, pool.map(run, jobs), strict=True):
                assert_allclose(other[0], one[0], rtol=1e-10, atol=1e-12)
                assert_allclose(other[1], one[1], rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------------------------------------
# The source
# ---------------------------------------------------------------------------------------------


def imports(tree):
    """Dotted names that a module imports, each with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_imports_keep_to_public_names(path):
    """No private module or name of scikit-learn, and `sklearn.utils` in `_validation.py` only."""
    for name, line in imports(ast.parse(path.read_text(encoding="utf-8"))):
        parts = name.split(".")
        where = f"{path.name}:{line} imports {name}"
        if parts[0] in ("sklearn", "scipy", "numpy"):
            assert not any(part.startswith("_") for part in parts), where
        if parts[0] == "sklearn":
            assert parts[1:2] != ["utils"] or path.name == "_validation.py", where
        if parts[0] == "numba" and len(parts) > 1:
            known = {"_cache.py": ("caching", "dispatcher"), "_compiled.py": ("event", "serialize")}.get(
                path.name, ()
            )
            allowed = path.parent.name == "_kernels" or name.startswith(
                tuple(f"numba.core.{part}" for part in known)
            )
            assert allowed, f"{where}: all compiled code is in one folder"


def test_rooms_need_only_those_above_them():
    """Compiled code is read in the order of the overview, which leaves out no room."""
    folder = Path(sparse_linear.__file__).parent / "_kernels"
    overview = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    terms = re.findall(r"^``.*``$", overview, re.MULTILINE)
    order = [room for term in terms for room in re.findall(r"\w+", term)]
    assert {*order, "__init__"} == {path.stem for path in folder.glob("*.py")}
    for room in order:
        for name, line in imports(ast.parse((folder / f"{room}.py").read_text(encoding="utf-8"))):
            if name.startswith("sparse_linear."):
                _, package, other, _ = name.split(".")
                assert package == "_kernels", f"{room}.py:{line} imports {name}"
                assert order.index(other) < order.index(room), f"{room}.py:{line} imports {name}"


def test_imports_are_found():
    """The test above sees every form of import, and would see a private one."""
    code = "import sklearn._x\nfrom sklearn.linear_model import _base\n"
    code += "def f():\n    from sklearn.utils import check_array\n"
    assert [name for name, _ in imports(ast.parse(code))] == [
        "sklearn._x",
        "sklearn.linear_model._base",
        "sklearn.utils.check_array",
    ]
    names = {path.name for path in SOURCES}
    assert {"_validation.py", "rounds.py", "_estimators.py", "__init__.py"} <= names
    for module in pkgutil.iter_modules(sparse_linear.__path__):
        assert f"{module.name}.py" in names or module.ispkg


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_attributes_and_bases_keep_to_public_names(path):
    """Neither by way of a module (``sklearn.utils._x``) nor by inheritance from a private class."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            compiles = text in ("numba.jit", "numba.njit", "numba.vectorize")
            assert path.parent.name == "_kernels" or not compiles, text
            if text.startswith("sklearn."):
                assert not any(
                    part.startswith("_") for part in text.removesuffix(".__version__").split(".")
                ), text
    if path.name in ("__main__.py",):
        return
    parts = path.relative_to(Path(sparse_linear.__file__).parents[1]).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__.startswith("sparse_linear"):
            for base in value.__bases__:
                assert not (base.__module__.startswith("sklearn") and base.__name__.startswith("_")), base


@pytest.mark.parametrize("before", ["0.0.1", None])
def test_a_pickle_of_another_version_says_so(before, monkeypatch):
    model = Lasso(alpha=0.1).fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 3.0])
    assert_array_equal(pickle.loads(pickle.dumps(model)).coef_, model.coef_)
    if before is None:  # as if made before versions were written down
        monkeypatch.setattr(Lasso, "__getstate__", lambda self: vars(self))
    else:
        monkeypatch.setattr("sparse_linear.__version__", before)
    given = pickle.dumps(model)
    monkeypatch.undo()
    with pytest.warns(UserWarning, match=f"pickled by sparse_linear {before or 'an unknown version'} and"):
        again = pickle.loads(given)
    assert_array_equal(again.coef_, model.coef_)
    assert vars(again).keys() == vars(model).keys()
