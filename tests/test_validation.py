"""What bad input gets, and what unusual but good input gets."""

import inspect
import re
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sparse_linear import (
    ElasticNet,
    Lasso,
    LassoCV,
    LassoIC,
    Ridge,
    RidgeCV,
    _active_set,
    _design,
    _moments,
    _solve,
    _validation,
    alpha_for,
    alpha_grid,
    enet_path,
    lasso_path,
    ridge_path,
)

ESTIMATORS = (Lasso, ElasticNet, Ridge)
PATHS = (lasso_path, enet_path, ridge_path, alpha_grid)
CONTAINERS = {"dense": np.asarray, "csc": sparse.csc_array, "csr": sparse.csr_array}
N, P = 12, 4


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, P))
    return X, X @ [2.0, -1.0, 0.0, 0.5] + 0.1 * rng.normal(size=N)


def put(array, value, at=3):
    """A copy of `array` with one entry replaced."""
    array = np.array(array, dtype=np.result_type(array, type(value)))
    array.flat[at] = value
    return array


# ---------------------------------------------------------------------------------------------
# The list of bad input
# ---------------------------------------------------------------------------------------------


class Bad(NamedTuple):
    """One kind of bad input, and what its message must hold."""

    name: str
    error: type
    argument: str  # regular expressions, case insensitive
    value: str
    remedy: str = (
        r"must|needs? |give|drop|remove|replace|impute|use |reshape|call|set |at least|expect|require"
    )
    X: object = None  # a function of a good X, y or weights, or None
    y: object = None
    weights: object = None
    params: object = None
    sparse_too: bool = True
    only: tuple = ()  # names of the estimators or functions it is for; all if empty


ENET = ("ElasticNet", "enet_path", "alpha_grid")
ITERATIVE = ("Lasso", "ElasticNet", "lasso_path", "enet_path")
NOT_GRID = ("Lasso", "ElasticNet", "Ridge", "lasso_path", "enet_path", "ridge_path")
ALPHA = ("Lasso", "ElasticNet", "Ridge")
ALPHAS = ("lasso_path", "enet_path", "ridge_path")


def data_cases():
    weight = np.ones(N)
    yield Bad("X NaN", ValueError, r"\bX\b", "NaN", X=lambda X: put(X, np.nan))
    yield Bad("X infinite", ValueError, r"\bX\b", "inf", X=lambda X: put(X, np.inf))
    yield Bad("X minus infinite", ValueError, r"\bX\b", "inf", X=lambda X: put(X, -np.inf))
    yield Bad("X float32 NaN", ValueError, r"\bX\b", "NaN", X=lambda X: put(X, np.nan).astype(np.float32))
    yield Bad("y NaN", ValueError, r"\by\b", "NaN", y=lambda y: put(y, np.nan))
    yield Bad("y infinite", ValueError, r"\by\b", "inf", y=lambda y: put(y, np.inf))
    yield Bad("weights NaN", ValueError, "sample_weight", "NaN", weights=put(weight, np.nan))
    yield Bad("weights infinite", ValueError, "sample_weight", "inf", weights=put(weight, np.inf))
    yield Bad("weight negative", ValueError, "sample_weight", "-1", weights=put(weight, -1.0))
    yield Bad("weights all zero", ValueError, "sample_weight", "zero", weights=0.0 * weight)
    yield Bad("weights too few", ValueError, "sample_weight", str(N - 1), weights=weight[1:])
    yield Bad("weights too many", ValueError, "sample_weight", str(N + 1), weights=np.ones(N + 1))
    yield Bad("weights 2-D", ValueError, "sample_weight", rf"\({N}, 1\)|2D", weights=weight[:, None])
    yield Bad("weights strings", ValueError, "sample_weight", "'?heavy'?", weights=["heavy"] * N)
    yield Bad("weights complex", ValueError, "sample_weight", "j|complex", weights=weight + 1j)
    yield Bad("weight scalar negative", ValueError, "sample_weight", "-1", weights=-1.0)
    yield Bad("weight scalar zero", ValueError, "sample_weight", "zero|0", weights=0.0)
    yield Bad("X 1-D", ValueError, r"\bX\b", r"1D|1-D|shape", X=lambda X: X[:, 0], sparse_too=False)
    yield Bad("X 0-D", ValueError, r"\bX\b", r"scalar|0-D|shape", X=lambda X: X[0, 0], sparse_too=False)
    yield Bad("X 3-D", ValueError, r"\bX\b", r"dim 3|3-D|shape", X=lambda X: X[None], sparse_too=False)
    yield Bad("X without rows", ValueError, r"\bX\b|array", r"\(0, 4\)", X=lambda X: X[:0], y=lambda y: y[:0])
    yield Bad("X without columns", ValueError, r"\bX\b|array", rf"\({N}, 0\)", X=lambda X: X[:, :0])
    yield Bad("X complex", ValueError, r"\bX\b|data", "complex", X=lambda X: X + 1j)
    yield Bad(
        "X strings",
        ValueError,
        r"\bX\b|string",
        "'?much'?",
        X=lambda X: np.full(X.shape, "much"),
        sparse_too=False,
    )
    yield Bad(
        "X objects",
        (TypeError, ValueError),
        r"\bX\b|argument|string",
        "much",
        X=lambda X: put(X.astype(object), "much"),
        sparse_too=False,
    )
    yield Bad("X longer than y", ValueError, r"\by\b|inconsistent", str(N - 1), y=lambda y: y[1:])
    yield Bad("X shorter than y", ValueError, r"\by\b|inconsistent", str(N - 1), X=lambda X: X[1:])
    yield Bad("y 3-D", ValueError, r"\by\b|array", r"3|shape", y=lambda y: np.ones((N, 1, 1)))
    yield Bad(
        "y 0-D", (TypeError, ValueError), r"\by\b|array|singleton", r"shape|scalar|\(\)|1\.5", y=lambda y: 1.5
    )
    yield Bad("y without columns", ValueError, r"\by\b|array", rf"\({N}, 0\)", y=lambda y: np.ones((N, 0)))
    yield Bad("y strings", ValueError, r"\by\b|string|convert", "much", y=lambda y: np.full(N, "much"))
    yield Bad("y complex", ValueError, r"\by\b|data", "complex", y=lambda y: y + 1j)
    yield Bad("y None", (TypeError, ValueError), r"\by\b", "None", y=lambda y: None)


def parameter_cases():
    def bad(name, error, argument, value, only=(), **params):
        return Bad(name, error, argument, value, params=params, only=only)

    for value, error in (
        (-1.0, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (None, TypeError),
        ("strong", TypeError),
        (True, TypeError),
        (1j, TypeError),
    ):
        got = "-1" if value == -1.0 else re.escape(str(value))
        yield bad(f"alpha {value}", error, "alpha", got, ALPHA, alpha=value)
        if value is not None and value is not True:  # None stands for a grid, and True is 1 in an array
            yield bad(
                f"alphas holds {value}", (TypeError, ValueError), "alphas", got, ALPHAS, alphas=[1.0, value]
            )
    yield bad("alphas True", TypeError, "alphas", "True", ("lasso_path", "enet_path"), alphas=True)
    yield bad("alpha a list", TypeError, "alpha", r"\[1", ("Lasso", "ElasticNet"), alpha=[1.0])
    yield bad("alpha of targets, too many", ValueError, "alpha", r"\(3,\)", ("Ridge",), alpha=[1.0, 2.0, 3.0])
    yield bad("alpha of targets, negative", ValueError, "alpha", "-2", ("Ridge",), alpha=[-2.0])
    yield bad("alpha of targets, NaN", ValueError, "alpha", "nan", ("Ridge",), alpha=[np.nan])
    yield bad("alphas empty", ValueError, "alphas", r"\[\]|empty", ALPHAS, alphas=[])
    yield bad("alphas 2-D", ValueError, "alphas", r"\[\[1|shape", ALPHAS, alphas=[[1.0, 0.5]])
    yield bad("alphas 0", ValueError, "alphas", "0", ("lasso_path", "enet_path"), alphas=0)
    for value, error in (
        (-0.1, ValueError),
        (1.1, ValueError),
        (np.nan, ValueError),
        (None, TypeError),
        ("half", TypeError),
    ):
        yield bad(f"l1_ratio {value}", error, "l1_ratio", re.escape(str(value)), ENET, l1_ratio=value)
    yield bad(
        "l1_ratio 0 and no alphas", ValueError, "l1_ratio", "0", ("enet_path", "alpha_grid"), l1_ratio=0.0
    )
    for value, error in ((0.0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("small", TypeError)):
        got = str(value).removesuffix(".0")
        yield bad(f"eps {value}", error, "eps", got, ("lasso_path", "enet_path", "alpha_grid"), eps=value)
    for value, error in ((0, ValueError), (-3, ValueError), (2.5, TypeError), ("many", TypeError)):
        yield bad(
            f"n_alphas {value}",
            error,
            "n_alphas",
            str(value),
            ("lasso_path", "enet_path", "alpha_grid"),
            n_alphas=value,
        )
        yield bad(f"max_iter {value}", error, "max_iter", str(value), NOT_GRID, max_iter=value)
    yield bad("max_iter None", TypeError, "max_iter", "None", ITERATIVE, max_iter=None)
    for value, error in ((-1e-3, ValueError), (np.nan, ValueError), ("tight", TypeError), (None, TypeError)):
        yield bad(f"tol {value}", error, "tol", str(value), NOT_GRID, tol=value)

    yield bad(
        "penalty_weights too few", ValueError, "penalty_weights", r"\(3,\)", penalty_weights=np.ones(P - 1)
    )
    yield bad("penalty_weights a number", ValueError, "penalty_weights", r"\(\)|2\.5", penalty_weights=2.5)
    yield bad(
        "penalty_weights 2-D", ValueError, "penalty_weights", r"\(4, 1\)", penalty_weights=np.ones((P, 1))
    )
    yield bad("penalty_weights negative", ValueError, "penalty_weights", "-2", penalty_weights=[1, 1, -2, 1])
    yield bad("penalty_weights NaN", ValueError, "penalty_weights", "NaN", penalty_weights=[1, np.nan, 1, 1])
    yield bad("penalty_weights strings", ValueError, "penalty_weights", "much", penalty_weights=["much"] * P)
    yield bad(
        "penalty_weights complex", ValueError, "penalty_weights", "j|complex", penalty_weights=np.ones(P) + 1j
    )

    yield bad("bounds above 0", ValueError, "bounds", r"\(1, 2\)", bounds=(1.0, 2.0))
    yield bad("bounds below 0", ValueError, "bounds", r"\(-2, -1\)", bounds=(-2.0, -1.0))
    yield bad("one bound above 0", ValueError, "bounds", "0.5", bounds=([-1, -1, 0.5, -1], 2.0))
    yield bad("bounds cross", ValueError, "bounds", "lower 1 > upper -1", bounds=(1.0, -1.0))
    yield bad(
        "one pair of bounds crosses", ValueError, "bounds", "lower 0 > upper -3", bounds=(0.0, [1, -3, 1, 1])
    )
    yield bad("bounds not a pair", ValueError, "bounds", "1.0", bounds=1.0)
    yield bad("bounds three", ValueError, "bounds", r"\(-1, 0, 1\)", bounds=(-1, 0, 1))
    yield bad("bounds too few", ValueError, "bound", r"\(3,\)", bounds=([-1, -1, -1], 1.0))
    yield bad("bounds NaN", ValueError, "bound", "NaN", bounds=(np.nan, 1.0))
    yield bad("bounds a string", ValueError, "bound", "low", bounds=("low", 1.0))
    yield bad(
        "positive and a lower bound",
        ValueError,
        "positive.*bound|bound.*positive",
        "-1",
        positive=True,
        bounds=(-1.0, 1.0),
    )

    for flag in ("fit_intercept", "positive", "standardize"):
        yield bad(f"{flag} a word", TypeError, flag, "'yes'", **{flag: "yes"})
        yield bad(f"{flag} None", TypeError, flag, "None", **{flag: None})
    yield bad(
        "warm_start a word", TypeError, "warm_start", "'yes'", ("Lasso", "ElasticNet"), warm_start="yes"
    )
    yield bad("selection unknown", ValueError, "selection", "'best'", ITERATIVE, selection="best")
    yield bad("precompute unknown", ValueError, "precompute", "'always'", ITERATIVE, precompute="always")
    yield bad(
        "precompute too small", ValueError, "precompute", r"\(3, 3\)", ITERATIVE, precompute=np.eye(P - 1)
    )
    yield bad("solver unknown", ValueError, "solver", "'fastest'", ("Ridge", "ridge_path"), solver="fastest")
    yield bad("solver None", (TypeError, ValueError), "solver", "None", ("Ridge", "ridge_path"), solver=None)
    yield bad(
        "coef_init too short",
        ValueError,
        "coef_init",
        r"\(3,\)",
        ("lasso_path", "enet_path"),
        coef_init=np.ones(P - 1),
    )
    yield bad(
        "coef_init NaN",
        ValueError,
        "coef_init",
        "nan",
        ("lasso_path", "enet_path"),
        coef_init=put(np.ones(P), np.nan),
    )
    yield bad(
        "coef_init infinite",
        ValueError,
        "coef_init",
        "inf",
        ("lasso_path", "enet_path"),
        coef_init=put(np.ones(P), np.inf),
    )
    yield bad("l1_ratio for lasso_path", TypeError, "l1_ratio", "", ("lasso_path",), l1_ratio=0.5)
    yield bad("unknown keyword", TypeError, "alpha_max", "", (*ALPHAS, "alpha_grid"), alpha_max=1.0)


CASES = [*data_cases(), *parameter_cases()]


def calls(storages=tuple(CONTAINERS), targets=(*ESTIMATORS, *PATHS)):
    """Every case for everything it is for, in every storage that can hold it."""
    found = []
    for case in CASES:
        for target in targets:
            if case.only and target.__name__ not in case.only:
                continue
            for storage in storages:
                if storage == "dense" or (case.sparse_too and case.params is None):
                    found.append(
                        pytest.param(case, target, storage, id=f"{case.name}-{target.__name__}-{storage}")
                    )
    return found


def provoke(case, target, storage, model=None):
    """Run the case; an estimator is fitted in place, with the case's parameters already set."""
    X, y = data()
    X = X if case.X is None else case.X(X)
    X = CONTAINERS[storage](X)
    y = y if case.y is None else case.y(y)
    params = dict(case.params or {})
    if case.weights is not None:
        params["sample_weight"] = case.weights
    if model is not None:
        weights = {"sample_weight": params["sample_weight"]} if "sample_weight" in params else {}
        return model.fit(X, y, **weights)
    if target is ridge_path:
        params.setdefault("alphas", [1.0])
    return target(X, y, **params)


def make_model(case, target):
    return target(**(case.params or {}))


@pytest.fixture
def idle(monkeypatch):
    """No solving, no pass over X through a design: bad input is found before any work."""

    def work(*args, **kwargs):
        raise AssertionError("work was done before the input was checked")

    monkeypatch.setattr(_solve, "fit", work)
    monkeypatch.setattr(_active_set, "solve_path", work)
    monkeypatch.setattr(_moments.Sums, "from_data", work)
    for design in (_design.DenseDesign, _design.SparseDesign):
        monkeypatch.setattr(design, "units", property(work))
        for name in ("target", "correlate", "apply", "take", "block"):
            monkeypatch.setattr(design, name, work)


@pytest.mark.usefixtures("idle")
def test_idle_forbids_work():
    """Good input does get to the work that the test below forbids."""
    for target in (*ESTIMATORS, *PATHS):
        for storage in CONTAINERS:
            model = target() if inspect.isclass(target) else None
            with pytest.raises(AssertionError, match="work was done"):
                provoke(Bad("good", AssertionError, "", ""), target, storage, model)


def assert_same_state(before, after):
    assert list(before) == list(after)
    for name, value in before.items():
        assert after[name] is value, name


def message_of(case, target, storage):
    model = make_model(case, target) if inspect.isclass(target) else None
    with pytest.raises(case.error) as caught:
        provoke(case, target, storage, model)
    return str(caught.value)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(("case", "target", "storage"), calls())
def test_bad_input_raises_before_any_work(case, target, storage):
    message = message_of(case, target, storage)
    assert re.search(case.argument, message, re.IGNORECASE), message


@pytest.mark.parametrize(("case", "target", "storage"), calls(storages=("dense",)))
def test_bad_input_gets_one_sentence_with_argument_value_and_remedy(case, target, storage):
    message = message_of(case, target, storage)
    assert "\n" not in message
    assert len(message) <= 300
    assert re.search(case.argument, message, re.IGNORECASE), message
    assert re.search(case.value, message, re.IGNORECASE), message
    if case.error is not TypeError or "keyword" not in message:  # Python's own words for an unknown keyword
        assert re.search(case.remedy, message, re.IGNORECASE), message


@pytest.mark.parametrize(("case", "target", "storage"), calls(targets=ESTIMATORS))
def test_bad_input_leaves_the_estimator_alone(case, target, storage):
    """Unfitted stays unfitted; fitted keeps the fit, although the failing call has other columns."""
    fresh = make_model(case, target)
    before = fresh.__dict__.copy()
    with pytest.raises(case.error):
        provoke(case, target, storage, fresh)
    assert_same_state(before, fresh.__dict__)

    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(20, 2)), columns=["a", "b"])
    fitted = target(alpha=0.1).fit(frame, frame["a"])
    fitted.set_params(**(case.params or {}))
    before = fitted.__dict__.copy()
    copies = {name: np.array(value) for name, value in before.items() if isinstance(value, np.ndarray)}
    with pytest.raises(case.error):
        provoke(case, target, storage, fitted)
    assert_same_state(before, fitted.__dict__)
    for name, value in copies.items():
        assert_array_equal(fitted.__dict__[name], value)
    assert fitted.n_features_in_ == 2
    fitted.predict(frame)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_interrupted_work_leaves_the_estimator_alone(Estimator, monkeypatch):
    """Also what is no fault of the input: Ctrl-C in the middle of a fit."""
    X, y = data()
    model = Estimator(alpha=0.1).fit(X, y)
    before = model.__dict__.copy()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_solve, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[:, :2], y)
    assert_same_state(before, model.__dict__)


@pytest.mark.parametrize("path", [lasso_path, enet_path])
def test_several_targets_are_refused_where_only_one_is_meant(path):
    """scikit-learn's path functions would fit the multi-task lasso, another model."""
    X, y = data()
    with pytest.raises(ValueError, match=r"y .*\(12, 2\).*each"):
        path(X, np.column_stack([y, y]))


# ---------------------------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_predict_before_fit(Estimator):
    X, y = data()
    with pytest.raises(NotFittedError, match=rf"{Estimator.__name__} .*not fitted.*'?fit'?"):
        Estimator().predict(X)
    with pytest.raises(NotFittedError):
        Estimator().score(X, y)


@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_predict_refuses_other_columns(Estimator, storage):
    X, y = data()
    make = CONTAINERS[storage]
    model = Estimator(alpha=0.1).fit(make(X), y)
    before = model.__dict__.copy()
    with pytest.raises(ValueError, match=rf"X has 3 features, but {Estimator.__name__} is expecting 4"):
        model.predict(make(X[:, :3]))
    with pytest.raises(ValueError, match="X contains NaN"):
        model.predict(make(put(X, np.nan)))
    with pytest.raises(ValueError, match=r"[Cc]omplex"):
        model.predict(make(X + 1j))
    if storage == "dense":
        with pytest.raises(ValueError, match="1D"):
            model.predict(X[0])
        frame = pd.DataFrame(put(X, np.nan), columns=list("abcd"))
        row, column = np.argwhere(np.isnan(frame.to_numpy()))[0]
        with pytest.raises(
            ValueError, match=rf"NaN at \({row}, {column}\) in column '{'abcd'[column]}'; impute"
        ):
            Estimator(alpha=0.1).fit(frame, y)
        with pytest.raises(ValueError, match=r"X must hold numbers, but holds 'red' in column 'b': encode"):
            Estimator(alpha=0.1).fit(frame.assign(b="red"), y)
    assert_same_state(before, model.__dict__)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_predict_refuses_other_names(Estimator):
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = Estimator(alpha=0.1).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"d": "e"}))
    with pytest.raises(ValueError, match="same order"):
        model.predict(frame[list("bacd")])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert_allclose(model.predict(X), model.predict(frame), rtol=1e-13)


# ---------------------------------------------------------------------------------------------
# Unusual but good input
# ---------------------------------------------------------------------------------------------


def least_squares(X, y, fit_intercept):
    """The shortest coefficients that minimise the squared error, and the intercept."""
    mean_x, mean_y = (X.mean(axis=0), y.mean(axis=0)) if fit_intercept else (0.0 * X[0], 0.0 * y[0])
    coef = np.linalg.pinv(X - mean_x) @ (y - mean_y)
    return coef, mean_y - mean_x @ coef


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("shape", [(30, 4), (6, 9)], ids=["tall", "wide"])
@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_alpha_zero_is_least_squares_with_scikit_learns_warning(Estimator, storage, shape, fit_intercept):
    rng = np.random.default_rng(5)
    X = rng.normal(size=shape) * (rng.uniform(size=shape) < 0.7) * np.geomspace(1.0, 10.0, shape[1])
    y = rng.normal(size=shape[0]) + 1.0
    model = Estimator(alpha=0, fit_intercept=fit_intercept)
    theirs = getattr(sklearn.linear_model, Estimator.__name__)(alpha=0, fit_intercept=fit_intercept)
    with warnings.catch_warnings(record=True) as expected:
        warnings.simplefilter("always")
        theirs.fit(X, y)
    wanted = any("alpha=0" in str(record.message) for record in expected)
    assert wanted == (Estimator is not Ridge)
    with warnings.catch_warnings(record=True) as got:
        warnings.simplefilter("always")
        model.fit(CONTAINERS[storage](X), y)
    assert [record.category for record in got] == [UserWarning] * wanted
    for record in got:
        assert re.search("alpha=0.*LinearRegression", str(record.message))
        assert record.filename == __file__  # it points at the caller's line
    coef, intercept = least_squares(X, y, fit_intercept)
    assert_allclose(model.coef_, coef, rtol=1e-9, atol=1e-11)
    assert_allclose(model.intercept_, intercept, rtol=1e-9, atol=1e-11)


def test_alpha_zero_chooses_the_shortest_of_many_answers():
    """Two equal columns share their coefficient; a constant column stays at zero."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=20)
    X = np.column_stack([x, x, np.ones(20)])
    for Estimator in ESTIMATORS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            model = Estimator(alpha=0).fit(X, 3.0 * x + 1.0)
        assert_allclose(model.coef_, [1.5, 1.5, 0.0], atol=1e-12)
        assert_allclose(model.intercept_, 1.0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e8, 1e-300])
@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_constant_column_gets_coefficient_zero(Estimator, storage, value, weighted):
    X, y = data()
    X = np.insert(X, 2, value, axis=1)
    weights = np.linspace(0.1, 2.0, N) if weighted else None
    model = Estimator(alpha=1e-3).fit(CONTAINERS[storage](X), y, weights)
    assert model.coef_[2] == 0.0
    without = Estimator(alpha=1e-3).fit(np.delete(X, 2, axis=1), y, weights)
    assert_allclose(np.delete(model.coef_, 2), without.coef_, rtol=1e-10)
    assert_allclose(model.intercept_, without.intercept_, rtol=1e-10)


@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_all_columns_constant(Estimator, storage):
    _, y = data()
    model = Estimator(alpha=0.1).fit(CONTAINERS[storage](np.full((N, 2), 3.0)), y)
    assert_array_equal(model.coef_, [0.0, 0.0])
    assert_allclose(model.intercept_, y.mean(), rtol=1e-14)


@pytest.mark.parametrize("value", [0.0, 0.1, 7.0, -1e100, 1e-200])
@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_constant_target_gives_zeros_without_warning(Estimator, storage, value):
    X, _ = data()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for weights in (None, np.linspace(0.0, 1.0, N)):
            model = Estimator(alpha=0.1).fit(CONTAINERS[storage](X), np.full(N, value), weights)
            assert_array_equal(model.coef_, np.zeros(P))
            assert_allclose(model.intercept_, value, rtol=1e-14)
            assert model.dual_gap_ == 0.0
            assert model.objective_ == 0.0
        model = Estimator(alpha=0.1, fit_intercept=False).fit(CONTAINERS[storage](X), np.zeros(N))
        assert_array_equal(model.coef_, np.zeros(P))


def test_constant_target_has_a_path():
    X, _ = data()
    for path in (lasso_path, enet_path):
        found = path(X, np.full(N, 2.0), fit_intercept=True, n_alphas=3)
        assert_array_equal(found.coefs, np.zeros((P, 3)))
        assert_allclose(found.intercepts, 2.0)
    assert (alpha_grid(X, np.full(N, 2.0), n_alphas=3) > 0.0).all()


@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "how", [{"penalty_weights": np.full(P, np.inf)}, {"bounds": (0.0, 0.0)}], ids=["weights", "bounds"]
)
def test_all_features_excluded(Estimator, how, storage):
    X, y = data()
    weights = np.linspace(0.1, 2.0, N)
    for alpha in (0.1, 0.0):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if alpha == 0.0 else "error")
            model = Estimator(alpha=alpha, **how).fit(CONTAINERS[storage](X), y, weights)
        assert_array_equal(model.coef_, np.zeros(P))
        assert_allclose(model.intercept_, np.average(y, weights=weights), rtol=1e-14)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_one_excluded_feature_is_as_if_it_were_not_there(Estimator):
    X, y = data()
    model = Estimator(alpha=0.1, penalty_weights=[1, np.inf, 1, 1]).fit(X, y)
    without = Estimator(alpha=0.1).fit(np.delete(X, 1, axis=1), y)
    assert model.coef_[1] == 0.0
    assert_allclose(np.delete(model.coef_, 1), without.coef_, rtol=1e-12)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
@pytest.mark.parametrize("kind", [bool, np.int8, np.uint8, np.int64, object, np.float16, np.longdouble])
def test_other_numeric_kinds_of_x(Estimator, kind):
    """Numbers are numbers; unsigned ones must not wrap around when they are centred."""
    rng = np.random.default_rng(2)
    X = rng.integers(0, 2 if kind is bool else 5, size=(30, 4)).astype(kind)
    y = rng.normal(size=30)
    model = Estimator(alpha=0.01).fit(X, y)
    reference = Estimator(alpha=0.01).fit(X.astype(np.float64), y)
    tolerance = 1e-3 if kind is np.float16 else 1e-12
    assert_allclose(model.coef_, reference.coef_, rtol=tolerance, atol=tolerance)
    assert_allclose(model.predict(X), reference.predict(X.astype(np.float64)), rtol=tolerance, atol=tolerance)
    if kind not in (object, np.float16, np.longdouble):
        for make in (sparse.csc_array, sparse.csr_matrix, sparse.coo_matrix):
            assert_allclose(
                Estimator(alpha=0.01).fit(make(X), y).coef_, reference.coef_, rtol=1e-10, atol=1e-12
            )


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_kinds_of_y(Estimator):
    X, y = data()
    counts = np.arange(N) % 5
    reference = Estimator(alpha=0.1).fit(X, counts.astype(np.float64))
    kinds = [
        counts.tolist(),
        tuple(counts.tolist()),
        counts,
        counts.astype(np.uint8),
        counts.astype(object),
        counts.astype(np.float32),
        pd.Series(counts, index=np.arange(N)[::-1]),
    ]
    for kind in kinds:
        model = Estimator(alpha=0.1).fit(X, kind)
        assert_allclose(model.coef_, reference.coef_, rtol=1e-12)
        assert model.coef_.dtype == np.float64
    truth = Estimator(alpha=0.1).fit(X, y > 0.0)
    assert_allclose(truth.coef_, Estimator(alpha=0.1).fit(X, (y > 0.0).astype(float)).coef_, rtol=1e-12)
    assert_allclose(
        Estimator(alpha=0.1).fit(X.tolist(), y.tolist()).coef_, Estimator(alpha=0.1).fit(X, y).coef_
    )


@pytest.mark.parametrize("targets", [None, 1, 2], ids=["(n,)", "(n, 1)", "(n, 2)"])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_shapes_are_scikit_learns(Estimator, fit_intercept, targets):
    X, y = data()
    if targets is not None:
        y = np.column_stack([y, y[::-1]])[:, :targets]
    ours = Estimator(alpha=0.1, fit_intercept=fit_intercept).fit(X, y)
    theirs = getattr(sklearn.linear_model, Estimator.__name__)(alpha=0.1, fit_intercept=fit_intercept).fit(
        X, y
    )
    names = (
        ["coef_", "intercept_"]
        if Estimator is Ridge
        else ["coef_", "intercept_", "dual_gap_", "n_iter_", "sparse_coef_"]
    )
    for name in names:
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name)), name
        assert isinstance(getattr(ours, name), np.ndarray) == isinstance(getattr(theirs, name), np.ndarray), (
            name
        )
    assert ours.predict(X).shape == theirs.predict(X).shape
    assert type(ours.score(X, y)) is type(theirs.score(X, y))


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_scalar_weight_weighs_every_row_alike(Estimator):
    X, y = data()
    one = Estimator(alpha=0.1).fit(X, y, sample_weight=2.0)
    assert_allclose(one.coef_, Estimator(alpha=0.1).fit(X, y, sample_weight=np.full(N, 2)).coef_, rtol=1e-14)


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_bounds_may_be_scalars_arrays_or_none(Estimator):
    X, y = data()
    scalar = Estimator(alpha=0.1, bounds=(-0.5, 0.5)).fit(X, y).coef_
    assert np.abs(scalar).max() == 0.5
    assert_array_equal(Estimator(alpha=0.1, bounds=[[-0.5] * P, np.full(P, 0.5)]).fit(X, y).coef_, scalar)
    positive = Estimator(alpha=0.1, positive=True).fit(X, y).coef_
    for bounds in ((0.0, None), (0, np.inf), (np.zeros(P), None)):
        assert_allclose(Estimator(alpha=0.1, bounds=bounds).fit(X, y).coef_, positive, atol=1e-14)
    # An infinite lower bound says nothing, so it does not contradict positive=True.
    assert_allclose(
        Estimator(alpha=0.1, positive=True, bounds=(-np.inf, 9)).fit(X, y).coef_, positive, atol=1e-14
    )


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_numpy_scalars_as_parameters(Estimator):
    X, y = data()
    reference = Estimator(alpha=0.5, fit_intercept=True, max_iter=50).fit(X, y).coef_
    model = Estimator(
        alpha=np.float32(0.5), fit_intercept=np.True_, max_iter=np.int32(50), tol=np.float64(1e-4)
    )
    assert_array_equal(model.fit(X, y).coef_, reference)
    assert_array_equal(Estimator(alpha=1).fit(X, y).coef_, Estimator(alpha=1.0).fit(X, y).coef_)


def test_a_number_or_several():
    assert_array_equal(_validation.check_reals(0.5, "relax", high=1.0), [0.5])
    assert_array_equal(_validation.check_reals((0, np.float32(1)), "relax"), [0.0, 1.0])
    for bad in ([], [[0.5]], [0.5, 2.0], np.nan):
        with pytest.raises(ValueError, match="relax must be"):
            _validation.check_reals(bad, "relax", high=1.0)
    for bad in ("half", None, [0.5, "half"], True):
        with pytest.raises(TypeError, match="relax must be a number"):
            _validation.check_reals(bad, "relax")


def test_routing_does_not_read_splits():
    """Splits that can be read only once are left for the fit."""
    splits = iter([([0, 1], [2])])
    LassoCV(cv=splits).get_metadata_routing()
    assert next(splits) == ([0, 1], [2])


@pytest.mark.parametrize("dtype", [str, object])
def test_text_in_y_is_shown_as_it_was_given(dtype):
    X, _ = data()
    with pytest.raises(ValueError, match="y must hold numbers, but holds 'high': encode text as numbers"):
        Lasso().fit(X, np.array(["high"] * N, dtype=dtype))


@pytest.mark.parametrize("storage", CONTAINERS)
@pytest.mark.parametrize("width", [P, 80])
def test_squares_that_overflow_are_said_in_one_sentence(storage, width):
    """By every way that X is read, and with no warning before."""
    X, y = data()
    X = CONTAINERS[storage](1e160 * np.tile(X, (1, width // P)))
    for call in (
        Lasso().fit,
        Ridge().fit,
        LassoCV(cv=3).fit,
        LassoCV(cv=3, n_jobs=2).fit,
        RidgeCV().fit,
        RidgeCV(cv=3).fit,
        RidgeCV(alphas=5).fit,
        LassoIC().fit,
        alpha_grid,
        lasso_path,
        lambda X, y: alpha_for(X, y, n_nonzero=2),
    ):
        with pytest.raises(ValueError, match="X must hold values below 1e150, but the squares of column 0"):
            call(X, y)


@pytest.mark.parametrize("width", [P, 80])
def test_errors_that_overflow_are_said_in_one_sentence(width):
    """Where y is so large that its squares are not numbers, and with no warning before."""
    X, y = data()
    X, y = np.tile(X, (1, width // P)), 1e155 * y
    folded = (RidgeCV(cv=3, **how) for how in ({}, {"scoring": "r2"}, {"positive": True}))
    for model in (LassoCV(cv=3), RidgeCV(), RidgeCV(cv="gcv"), *folded):
        with pytest.raises(ValueError, match="The errors on rows left out overflow; divide y"):
            model.fit(X, y)
    with pytest.raises(ValueError, match="y must hold values below 1e150"):
        LassoIC().fit(X, y)


@pytest.mark.parametrize("weights", [[1.0, [2.0]], [1.0] * (N - 1) + [[1.0, 2.0]]])
def test_lists_of_lists_are_no_weights(weights):
    X, y = data()
    for model in (Lasso(), Ridge(), LassoCV(), RidgeCV(), LassoIC()):
        with pytest.raises(ValueError, match="sample_weight must hold real numbers, got "):
            model.fit(X, y, sample_weight=weights)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([1.0] * (N - 1) + [10**400], "Input y contains a number above 1e308 at \\(11,\\)"),
        (pd.Series([pd.NA] + [1.0] * (N - 1), dtype=object), "Input y contains NaN at \\(0,\\); impute it"),
    ],
)
def test_values_that_are_no_floats_are_found(value, sentence):
    X, _ = data()
    with pytest.raises(ValueError, match=sentence):
        Lasso().fit(X, value)


@pytest.mark.parametrize("name", ["alphas", "eps", "tol", "max_iter", "relax", "penalty_weights"])
@pytest.mark.parametrize("value", [10**400, [[1], [2, 3]], np.array([])])
def test_parameters_are_named_whatever_they_hold(name, value):
    X, y = data()
    with pytest.raises((ValueError, TypeError), match=name):
        LassoCV(cv=3, **{name: value}).fit(X, y)


@pytest.mark.parametrize("scoring", [np.array([]), np.ones(2), pd.Series([1, 2]), pd.NA, b"r2"])
def test_scoring_is_named_whatever_it_holds(scoring):
    X, y = data()
    for model in (LassoCV(cv=3, scoring=scoring), RidgeCV(scoring=scoring), RidgeCV(cv=3, scoring=scoring)):
        with pytest.raises(ValueError, match="scoring must be a callable or the name"):
            model.fit(X, y)


@pytest.mark.parametrize("dtype", [int, bool, np.float32, np.float64])
def test_sparse_data_without_entries(dtype):
    """Coefficients are floats, whatever the type of the entries that are not there."""
    X, y = sparse.csc_array((N, 3), dtype=dtype), data()[1]
    for model in (Lasso(), Ridge(), LassoCV(alphas=3, cv=3)):
        coef = model.fit(X, y).coef_
        assert coef.dtype == (np.float32 if dtype is np.float32 else np.float64)
        assert_array_equal(coef, 0.0)
    with pytest.raises(ValueError, match="Complex data not supported"):
        Lasso().fit(sparse.csc_array((N, 3), dtype=complex), y)


@pytest.mark.parametrize("container", [sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("wrong", [-1, 10**9, "next"])
@pytest.mark.parametrize("ordered", [True, False])
def test_indices_out_of_range(container, index, wrong, ordered):
    """Compiled code would follow them anywhere."""
    dense, y = data()
    X = container(dense)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    limit = X.shape[0] if X.format == "csc" else X.shape[1]
    X.indices[X.indptr[1] - 1 if ordered else 0] = limit if wrong == "next" else wrong
    for call in (Lasso().fit, Ridge().fit, LassoCV(cv=3).fit, lasso_path):
        with pytest.raises(ValueError, match=r"X is not a valid CS[CR] container"):
            call(X, y)
