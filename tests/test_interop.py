"""Tests of `to_sklearn` and `from_sklearn`, of what other tools make of the twins, and of imports."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import MultiTaskElasticNet, MultiTaskLasso, MultiTaskLassoCV
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sparse_linear
from sparse_linear import (
    ElasticNet,
    ElasticNetCV,
    ElasticNetIC,
    Lasso,
    LassoCV,
    LassoIC,
    Ridge,
    RidgeCV,
    _interop,
    from_sklearn,
)

MODELS = [
    Lasso(alpha=0.1),
    Lasso(alpha=0.1, fit_intercept=False, relax=0.5),
    Lasso(alpha=0.1, standardize=True, penalty_weights=[1, 2, 0, 1, np.inf], bounds=(-1.0, 1.0)),
    ElasticNet(alpha=0.1, l1_ratio=0.3, positive=True),
    Ridge(alpha=2.0, standardize=True),
    Ridge(alpha=2.0, fit_intercept=False, solver="svd"),
    LassoCV(alphas=10, cv=3, criterion="1se"),
    ElasticNetCV(alphas=10, cv=3, l1_ratio=[0.3, 0.9]),
    RidgeCV(alphas=[0.1, 1.0]),
    RidgeCV(alphas=5, cv=3, penalty_weights=[1, 2, 0, 1, 1]),
    LassoIC("bic"),
    ElasticNetIC(alphas=10),
]
SEVERAL = [*(model for model in MODELS if not isinstance(model, ElasticNetIC))]
SEVERAL += [
    Ridge(alpha=[1.0, 5.0]),
    LassoCV(alphas=10, cv=3, alpha_per_target=True),
    RidgeCV(alpha_per_target=True),
]


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    return X, X @ [2.0, 0.0, -1.0, 0.5, 0.0] + 3.0 + 0.5 * rng.normal(size=40)


def assert_same_predictions(model, twin, X):
    ours, theirs = model.predict(X), twin.predict(X)
    assert theirs.dtype == ours.dtype
    assert_array_equal(theirs, ours)


# ---------------------------------------------------------------------------------------------
# To scikit-learn
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_twin_predicts_the_same(model, problem):
    X, y = problem
    model = clone(model).fit(X, y)
    twin = model.to_sklearn()
    assert type(twin).__module__.startswith("sklearn.linear_model")
    assert type(twin).__name__ == type(model).__name__.removesuffix("CV").removesuffix("IC")
    for other in (X, np.asfortranarray(X), X[:1], X[::2], sparse.csr_array(X), sparse.csc_matrix(X)):
        assert_same_predictions(model, twin, other)
    assert_same_predictions(model, twin, np.round(X).astype(np.int32))
    assert twin.score(X, y) == pytest.approx(model.score(X, y), rel=1e-12)
    assert twin.fit_intercept is model.fit_intercept
    assert twin.alpha == getattr(model, "alpha_", None) or twin.alpha == model.alpha
    if hasattr(twin, "l1_ratio") and "l1_ratio" in twin.get_params():
        assert twin.l1_ratio == getattr(model, "l1_ratio_", model.l1_ratio)
    twin.coef_[:] = 7.0
    assert not (model.coef_ == 7.0).any()


@pytest.mark.parametrize("model", SEVERAL, ids=str)
def test_several_targets(model, problem):
    X, y = problem
    model = clone(model).fit(X, np.column_stack([y, X[:, 1] - y]))
    twin = model.to_sklearn()
    assert twin.coef_.shape == (2, 5)
    assert_same_predictions(model, twin, X)
    assert_array_equal(twin.alpha, getattr(model, "alpha_", model.get_params().get("alpha")))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("make", [Lasso, Ridge])
def test_float32_and_names(make, fit_intercept, problem):
    X, y = problem
    frame = pd.DataFrame(X.astype(np.float32), columns=list("abcde"))
    model = make(alpha=0.1, fit_intercept=fit_intercept).fit(frame, y)
    twin = model.to_sklearn()
    assert twin.coef_.dtype == np.float32
    assert twin.n_features_in_ == 5
    assert_array_equal(twin.feature_names_in_, list("abcde"))
    assert_same_predictions(model, twin, frame)
    with pytest.raises(ValueError, match="feature names"):
        twin.predict(frame[list("edcba")])


def test_model_of_moments(problem):
    """There is a twin of every fitted model, whatever it was fitted to."""
    X, y = problem
    model = Lasso(alpha=0.1).partial_fit(X[:20], y[:20]).partial_fit(X[20:], y[20:])
    assert_same_predictions(model, model.to_sklearn(), X)


@pytest.mark.parametrize("model", MODELS[:5], ids=str)
def test_twin_is_a_model_of_its_own(model, problem):
    """Its parameters are valid: it can be cloned and fitted, where scikit-learn has the same problem."""
    X, y = problem
    model = clone(model).set_params(
        standardize=False, **({"relax": 0.0} if "relax" in model.get_params() else {})
    )
    if not isinstance(model, Ridge):
        model.set_params(penalty_weights=None, bounds=None)
    model.fit(X, y)
    again = clone(model.to_sklearn()).set_params(tol=1e-12).fit(X, y)
    assert_allclose(again.coef_, model.coef_, atol=1e-8)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_not_fitted(model):
    with pytest.raises(NotFittedError):
        clone(model).to_sklearn()


ELSEWHERE = """
import pickle, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sparse_linear", "numba", "llvmlite"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())
try:
    import sparse_linear
except ImportError:
    pass
else:
    raise AssertionError("this process must not have the package")
with open(sys.argv[1], "rb") as file:
    found = [(twin.predict(X) == wanted).all() for twin, X, wanted in pickle.load(file)]
print(len(found), all(found))
"""


def test_twin_travels_without_this_package(tmp_path, problem):
    X, y = problem
    fitted = [clone(model).fit(X, y) for model in MODELS]
    with open(tmp_path / "twins.pickle", "wb") as file:
        pickle.dump([(model.to_sklearn(), X, model.predict(X)) for model in fitted], file)
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE, str(tmp_path / "twins.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(MODELS)} True\n"


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")  # of the converter
def test_onnx(model, problem):
    """skl2onnx converts the twin, and what it makes predicts the same, up to its float32."""
    import onnxruntime
    import skl2onnx

    X, y = problem
    model = clone(model).fit(X, y)
    graph = skl2onnx.to_onnx(model.to_sklearn(), X[:1])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(found.ravel(), model.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")  # of shap
def test_shap(model, problem):
    """What `LinearExplainer` gives each feature is its coefficient times the distance from the mean."""
    import shap

    X, y = problem
    model = clone(model).fit(X, y)
    explainer = shap.LinearExplainer(model.to_sklearn(), shap.maskers.Independent(X, max_samples=len(X)))
    assert_allclose(explainer.shap_values(X), (X - X.mean(axis=0)) * model.coef_, atol=1e-12)


# ---------------------------------------------------------------------------------------------
# From scikit-learn
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theirs",
    [
        sklearn.linear_model.Lasso(alpha=0.2, positive=True),
        sklearn.linear_model.ElasticNet(alpha=0.2, l1_ratio=0.7, fit_intercept=False),
        sklearn.linear_model.Ridge(alpha=3.0, solver="cholesky"),
        sklearn.linear_model.Ridge(alpha=np.array([3.0])),
        sklearn.linear_model.LassoCV(cv=KFold(3), alphas=[0.1, 0.2]),
        sklearn.linear_model.LassoCV(eps=0.01, tol=1e-10),
        sklearn.linear_model.ElasticNetCV(l1_ratio=[0.5, 0.9], cv=3, n_jobs=2, tol=1e-10),
        sklearn.linear_model.RidgeCV(alphas=[0.5, 2.0], scoring="r2", cv=4),
        sklearn.linear_model.RidgeCV(store_cv_results=True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*n_alphas.*:FutureWarning", "ignore:'n_alphas':FutureWarning")
def test_settings_are_taken_over(theirs, problem):
    X, y = problem
    model = from_sklearn(theirs)
    assert type(model) is getattr(sparse_linear, type(theirs).__name__)
    settings = theirs.get_params()
    if settings.get("store_cv_results", False) is None:
        settings["store_cv_results"] = False  # the placeholder of scikit-learn 1.6
    for name in (set(settings) & set(model.get_params())) - {"cv", "alphas"}:
        assert_array_equal(getattr(model, name), settings[name])
    assert not hasattr(model, "coef_")
    model.fit(X, y)
    assert_allclose(model.coef_, theirs.fit(X, y).coef_, atol=1e-4)
    assert_allclose(getattr(model, "alpha_", 0.0), getattr(theirs, "alpha_", 0.0), rtol=1e-9)
    fitted = from_sklearn(theirs)
    assert not hasattr(fitted, "coef_")
    assert type(fitted) is type(model)


def test_there_and_back(problem):
    X, y = problem
    for model in MODELS[:6]:
        if model.get_params().get("bounds") is None:
            back = from_sklearn(clone(model).fit(X, y).to_sklearn())
            assert type(back) is type(model)
            for name, value in type(back)._twin().get_params().items():
                assert getattr(back, name) == getattr(model, name), (name, value)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, 100),
        ({"n_alphas": 7}, 7),
        ({"alphas": [0.5]}, [0.5]),
        ({"alphas": "warn", "n_alphas": "old"}, 100),
    ],
)
def test_number_of_alphas_by_its_older_name(settings, wanted, monkeypatch):
    """scikit-learn before 1.9 has `n_alphas`, which counts where `alphas` is None or a placeholder."""

    class Old(sklearn.linear_model.LassoCV):
        def __init__(self, *, n_alphas=100, alphas=None):
            self.n_alphas = n_alphas
            self.alphas = alphas

    monkeypatch.setitem(_interop.OURS, Old, LassoCV)
    assert from_sklearn(Old(**settings)).alphas == wanted


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MultiTaskLasso(), "got MultiTaskLasso. Several targets are fitted one by one here"),
        (MultiTaskElasticNet(), "got MultiTaskElasticNet. Several"),
        (MultiTaskLassoCV(), "got MultiTaskLassoCV. Several"),
        (
            sklearn.linear_model.LinearRegression(),
            r"one of Lasso, .*RidgeCV of .* LinearR",
        ),
        (make_pipeline(StandardScaler(), sklearn.linear_model.Lasso()), "got Pipeline"),
        (Lasso(), "got Lasso"),
        (sklearn.linear_model.Lasso, "got the class Lasso; call it first"),
        (None, "got NoneType"),
    ],
    ids=str,
)
def test_no_counterpart(model, message):
    with pytest.raises(TypeError, match=message):
        from_sklearn(model)


# ---------------------------------------------------------------------------------------------
# The first minute
# ---------------------------------------------------------------------------------------------


def test_import_needs_little_beside_scikit_learn():
    """Numba comes with the first fit; nothing heavy comes that `sklearn.linear_model` has not imported."""
    code = """
import sys
import sklearn.linear_model
before = {name.split(".")[0] for name in sys.modules}
import sparse_linear
from sparse_linear import Lasso, LassoCV, convert_penalty
after = {name.split(".")[0] for name in sys.modules}
print(*sorted(after - before - {"sparse_linear"} - sys.stdlib_module_names))
assert not after & {"numba", "llvmlite", "dask", "matplotlib"}
Lasso().fit([[0.0], [1.0]], [0.0, 1.0])
assert "numba" in sys.modules
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(sparse_linear.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "\n"
