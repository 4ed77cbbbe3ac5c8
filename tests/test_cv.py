"""LassoCV and ElasticNetCV: every fold optimal on its own rows, and the choice that of scikit-learn."""

import inspect
import io
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
import warnings
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.linear_model
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import make_scorer, mean_absolute_error
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from sparse_linear import (
    ElasticNet,
    ElasticNetCV,
    Lasso,
    LassoCV,
    Moments,
    RidgeCV,
    _compiled,
    _cv,
    _design,
    _moments,
    _ridge,
    _selection,
    _solve,
    _working_sets,
)
from tests import oracles
from tests.waiting import settled

CLASSES = (LassoCV, ElasticNetCV)
TALL, WIDE = (48, 6), (30, 80)
SHAPES = {"tall": TALL, "wide": WIDE}


def namesake(model):
    return getattr(sklearn.linear_model, type(model).__name__)


def holding(X, y, model, sample_weight=None, targets=None, tol=1e-11, every=1):
    """Assert that all coefficients of all folds solve their problems, on the training rows alone."""
    folds = _folds(model, X, y)
    rows_of = X.tocsr() if sparse.issparse(X) else X
    Y = y.reshape(len(y), -1)
    ratios = np.atleast_1d(getattr(model, "l1_ratio", 1.0))
    grids = np.broadcast_to(model.alphas_, (len(ratios), model.alphas_.shape[-1]))
    assert model.fold_coefs_.shape == (len(folds), len(ratios), Y.shape[1], X.shape[1], grids.shape[1])
    for k, (train, _) in enumerate(folds):
        some = None if sample_weight is None else sample_weight[train]
        for r, ratio in enumerate(ratios):
            for t in range(Y.shape[1]):
                for b in range(0, grids.shape[1], every):
                    oracles.assert_optimal(
                        rows_of[train],
                        Y[train, t],
                        model.fold_coefs_[k, r, t, :, b],
                        model.fold_intercepts_[k, r, t, b],
                        alpha=grids[r, b],
                        l1_ratio=ratio,
                        sample_weight=some,
                        fit_intercept=model.fit_intercept,
                        standardize=model.standardize,
                        penalty_weights=model.penalty_weights,
                        bounds=model.bounds,
                        positive=model.positive,
                        tol=tol,
                    )


def _folds(model, X, y):
    cv = 5 if model.cv is None else model.cv
    cv = KFold(cv) if isinstance(cv, int) else cv
    return list(cv.split(X, y)) if hasattr(cv, "split") else list(cv)


def errors_by_hand(X, y, model, sample_weight=None):
    """Test errors of the stored coefficients, (n_ratios, b, folds), a mean over targets."""
    X = oracles.dense(X).astype(float)
    Y = y.reshape(len(y), -1)
    found = []
    for k, (_, test) in enumerate(_folds(model, X, y)):
        weights = np.ones(len(test)) if sample_weight is None else sample_weight[test]
        fitted = np.einsum("np,rtpb->rbnt", X[test], model.fold_coefs_[k])
        fitted += np.moveaxis(model.fold_intercepts_[k], 2, 1)[:, :, None, :]
        squares = (fitted - Y[test]) ** 2
        found.append(np.einsum("rbnt,n->rb", squares, weights) / weights.sum() / Y.shape[1])
    return np.stack(found, axis=-1)


# ---------------------------------------------------------------------------------------------
# The choice is scikit-learn's
# ---------------------------------------------------------------------------------------------

AGREEMENT = {
    "plain": (LassoCV, {}),
    "wide": (LassoCV, {}),
    "one alpha": (LassoCV, {"alphas": 1}),
    "seven alphas": (LassoCV, {"alphas": 7, "eps": 0.05}),
    "own alphas": (LassoCV, {"alphas": [0.01, 1.0, 0.1]}),
    "duplicates": (LassoCV, {"alphas": [0.1, 0.1, 0.3]}),
    "one own alpha": (LassoCV, {"alphas": [0.1]}),
    "positive": (LassoCV, {"positive": True, "alphas": 20}),
    "no intercept": (LassoCV, {"fit_intercept": False, "alphas": 20}),
    "shuffled": (LassoCV, {"cv": KFold(3, shuffle=True, random_state=0), "alphas": 20}),
    "one fold": (LassoCV, {"cv": [(np.arange(20), np.arange(20, 30))], "alphas": 20}),
    "elastic net": (ElasticNetCV, {"alphas": 20}),
    "one ratio in a list": (ElasticNetCV, {"l1_ratio": [0.7], "alphas": 20}),
    "ratios": (ElasticNetCV, {"l1_ratio": [0.2, 0.5, 0.9, 1.0], "alphas": 20}),
    "ratios and own alphas": (ElasticNetCV, {"l1_ratio": [0.2, 0.9], "alphas": [0.1, 1.0, 0.01]}),
    "ratios and one alpha": (ElasticNetCV, {"l1_ratio": [0.2, 0.9], "alphas": 1}),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", AGREEMENT)
def test_agreement_with_scikit_learn(name, weighted):
    Estimator, options = AGREEMENT[name]
    X, y = oracles.numbers(*(WIDE if name == "wide" else TALL), seed=4)
    weights = np.random.default_rng(0).uniform(0.2, 2.0, len(y)) if weighted else None
    ours = Estimator(**options).fit(X, y, weights)
    if isinstance(options.get("alphas"), int) and "n_alphas" in inspect.signature(namesake(ours)).parameters:
        if weighted or "positive" in options:
            pytest.skip("this scikit-learn leaves weights and signs out of its grid of alphas")
        options = options | {"n_alphas": options["alphas"], "alphas": None}
    theirs = namesake(ours)(**options, tol=1e-10, max_iter=1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has no certificate this small at the end of a wide path
        theirs.fit(X, y, sample_weight=weights)
    assert ours.alphas_.shape == theirs.alphas_.shape
    assert ours.mse_path_.shape == theirs.mse_path_.shape
    assert_allclose(ours.alphas_, theirs.alphas_, rtol=1e-10)
    # Errors are less sharp than objectives: their roots are.
    assert_allclose(ours.mse_path_, theirs.mse_path_, rtol=2e-4 if name == "wide" else 1e-5)
    assert ours.alpha_ == pytest.approx(theirs.alpha_, rel=1e-10)
    assert ours.l1_ratio_ == getattr(theirs, "l1_ratio_", 1.0)
    assert_allclose(ours.coef_, theirs.coef_, rtol=1e-4, atol=1e-4)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-4, abs=1e-4)
    assert ours.dual_gap_ <= 1e-11 * np.mean(y * y)
    assert isinstance(ours.n_iter_, int)


def test_the_final_fit_is_the_plain_one():
    """`coef_` and the rest are those of `Lasso` at `alpha_`, and of the path there."""
    X, y = oracles.numbers(*TALL, seed=1)
    model = LassoCV(alphas=30).fit(X, y)
    plain = Lasso(model.alpha_).fit(X, y)
    assert_allclose(model.coef_, plain.coef_, atol=1e-12)
    assert model.intercept_ == pytest.approx(plain.intercept_, abs=1e-12)
    assert model.objective_ == pytest.approx(plain.objective_, rel=1e-12)
    at = int(np.flatnonzero(model.alphas_ == model.alpha_)[0])
    assert (model.coef_path_.shape, model.intercept_path_.shape) == ((6, 30), (30,))
    assert_array_equal(model.coef_path_[:, at], model.coef_)
    assert model.intercept_path_[at] == model.intercept_
    assert model.best_index_ == at
    assert "optimal to rounding" in model.status_
    assert_array_equal(model.predict(X), X @ model.coef_ + model.intercept_)


# ---------------------------------------------------------------------------------------------
# Every fold is a fit of its own
# ---------------------------------------------------------------------------------------------


def _memmap(X, folder):
    path = folder / "X.dat"
    X.tofile(path)
    return np.memmap(path, dtype=X.dtype, mode="r", shape=X.shape)


CONTAINERS = {
    "C": lambda X, _: np.ascontiguousarray(X),
    "F": lambda X, _: np.asfortranarray(X),
    "float32": lambda X, _: X.astype(np.float32),
    "memmap": _memmap,
    "csc": lambda X, _: sparse.csc_array(X),
    "csr": lambda X, _: sparse.csr_matrix(X),
    "csr-float32": lambda X, _: sparse.csr_array(X.astype(np.float32)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("container", CONTAINERS)
def test_folds_in_every_container(container, shape, tmp_path):
    """Also: read-only X and y are not written, and the errors are those of the stored coefficients."""
    X, y = oracles.holes(*SHAPES[shape], seed=3)
    X = CONTAINERS[container](X, tmp_path)
    if not sparse.issparse(X):
        X.flags.writeable = False
    y.flags.writeable = False
    model = ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=6, cv=3, store_fold_coefs=True).fit(X, y)
    accuracy = 1e-6 if X.dtype == np.float32 else 1e-11
    holding(X, y, model, tol=accuracy, every=2)
    assert model.coef_.dtype == model.fold_coefs_.dtype == X.dtype
    assert_allclose(model.mse_path_, errors_by_hand(X, y, model), rtol=10 * accuracy**0.75)


OPTIONS = {
    "standardize": {"standardize": True},
    "penalty weights": {"penalty_weights": True},
    "bounds": {"bounds": (-0.1, 0.5)},
    "positive": {"positive": True, "fit_intercept": False},
    "all": {"standardize": True, "penalty_weights": True, "bounds": (-0.3, np.inf)},
}


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("option", OPTIONS)
def test_options_hold_inside_every_fold(option, shape, kind):
    options = dict(OPTIONS[option])
    X, y = oracles.holes(*SHAPES[shape], seed=5)
    X *= np.random.default_rng(1).uniform(0.1, 10.0, X.shape[1])
    weights = np.random.default_rng(2).integers(0, 4, len(y)).astype(float)
    if "penalty_weights" in options:
        options["penalty_weights"] = np.resize([0.0, np.inf, 0.5, 2.0, 1.0, 1.0, 3.0], X.shape[1])
        options["penalty_weights"][7:] += 0.5  # few without penalty
    model = LassoCV(alphas=5, eps=0.01, cv=KFold(3), store_fold_coefs=True, **options)
    model.fit(kind(X), y, weights)
    holding(kind(X), y, model, weights)
    if "penalty_weights" in options:
        assert not model.fold_coefs_[:, :, :, 1].any()


SPLITTERS = {
    "shuffled": KFold(4, shuffle=True, random_state=0),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "many repeats": RepeatedKFold(n_splits=4, n_repeats=9, random_state=0),
    "small train": ShuffleSplit(3, train_size=0.4, test_size=0.2, random_state=0),
    "large train": ShuffleSplit(12, train_size=0.9, test_size=0.1, random_state=0),
    "time series": TimeSeriesSplit(3),
    "predefined": PredefinedSplit(np.arange(30) % 4 - 1),
    "leave one out": LeaveOneOut(),
    "overlapping": [(np.arange(20), np.arange(10, 30)), (np.arange(30), np.arange(30))],
    "bootstrap": [
        (rng.integers(0, 30, 30), rng.integers(0, 30, 9)) for rng in [np.random.default_rng(0)] * 3
    ],
    "one row to judge by": [(np.arange(29), [29]), (np.arange(28), [28])],
    "two rows to fit on": [([3, 4], np.arange(10)), (np.arange(10), [11, 12])],
    "one row to fit on": [([3], np.arange(10)), (np.arange(10), [11, 12])],
}


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("p", [4, 80])
@pytest.mark.parametrize("name", SPLITTERS)
def test_splits_of_every_kind(name, p, kind):
    X, y = oracles.numbers(30, p, seed=6)
    model = LassoCV(alphas=[0.5, 0.1], cv=SPLITTERS[name], store_fold_coefs=True).fit(kind(X), y)
    holding(kind(X), y, model)
    assert_allclose(np.reshape(model.mse_path_, (1, 2, -1)), errors_by_hand(X, y, model), rtol=1e-8)


def test_repeated_rows_are_weights_and_weights_are_repeated_rows():
    X, y = oracles.numbers(*TALL, seed=7)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, len(y))
    drawn = [(rng.integers(0, 24, 40), rng.integers(24, 48, 30)) for _ in range(3)]
    many = np.repeat(np.arange(len(y)), counts)
    ends = np.cumsum(counts)
    apart = [
        tuple(
            np.concatenate([np.arange(ends[row] - counts[row], ends[row]) for row in rows]) for rows in pair
        )
        for pair in drawn
    ]
    weighted = LassoCV(cv=drawn, alphas=20).fit(X, y, counts)
    repeated = LassoCV(cv=apart, alphas=20).fit(X[many], y[many])
    assert weighted.alpha_ == pytest.approx(repeated.alpha_, rel=1e-12)
    assert_allclose(weighted.mse_path_, repeated.mse_path_, rtol=1e-9)
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-11)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_without_weight_may_hold_anything(shape, kind):
    X, y = oracles.holes(*SHAPES[shape], seed=8)
    weights = np.ones(len(y))
    weights[[0, 7, 20]] = 0.0
    cv = KFold(3, shuffle=True, random_state=1)
    wild, wild_y = X.copy(), y.copy()
    wild[weights == 0.0] *= 1e8
    wild_y[weights == 0.0] = 1e100
    for scoring in (None, "neg_mean_squared_error"):
        ours = LassoCV(cv=cv, alphas=10, scoring=scoring)
        calm = clone(ours).fit(kind(X), y, weights)
        other = clone(ours).fit(kind(wild), wild_y, weights)
        assert_allclose(other.mse_path_, calm.mse_path_, rtol=1e-9)
        assert_allclose(other.coef_, calm.coef_, atol=1e-11)
        assert other.alpha_ == pytest.approx(calm.alpha_, rel=1e-12)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cv", [KFold(3), LeaveOneOut()], ids=["three", "one out"])
def test_columns_and_targets_constant_in_a_fold(shape, kind, cv):
    """Constant on the rows of a fold, but not on all: nothing is fitted to rounding errors."""
    X, y = oracles.holes(*SHAPES[shape], seed=9)
    n = len(y)
    X[:, 0] = 0.1
    X[0, 0] = 7.0
    Y = np.column_stack([y, np.where(np.arange(n) < 1, 5.0, 0.1), np.full(n, 0.3)])
    model = LassoCV(cv=cv, alphas=[0.3, 0.01], store_fold_coefs=True, relax=[0.0, 1.0]).fit(kind(X), Y)
    first = model.fold_coefs_[0]
    assert not first[:, :, 0].any()  # the column
    assert not first[:, 1].any()  # the target
    assert not model.fold_coefs_[:, :, 2].any()
    assert_allclose(model.fold_intercepts_[0, 0, 1], 0.1, rtol=1e-14)
    if isinstance(cv, KFold):
        holding(kind(X), Y, model)


@pytest.mark.parametrize("Estimator", CLASSES)
def test_a_constant_target(Estimator):
    X, _ = oracles.numbers(*TALL)
    model = Estimator(relax=[0.0, 1.0]).fit(X, np.full(len(X), 3.5))
    assert not model.coef_.any()
    assert model.intercept_ == 3.5
    assert_allclose(model.mse_path_, 0.0, atol=1e-28)


@pytest.mark.parametrize("shape", SHAPES)
def test_far_from_zero(shape):
    X, y = oracles.numbers(*SHAPES[shape], seed=10)
    # Offsets that cost X and y no digits, so that the same problem is seen.
    X, y = np.round(X * 2**20) / 2**20, np.round(y * 2**20) / 2**20
    near = LassoCV(alphas=10, cv=4).fit(X, y)
    far = LassoCV(alphas=10, cv=4, store_fold_coefs=True).fit(X + 2.0**27, y - 2.0**27)
    assert far.alpha_ == pytest.approx(near.alpha_, rel=1e-9)
    assert_allclose(far.coef_, near.coef_, atol=1e-6)
    assert_allclose(far.mse_path_, near.mse_path_, rtol=1e-5)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_several_targets(n_jobs):
    """`alpha_per_target` is one fit for each; a shared alpha has the best mean error."""
    X, y = oracles.numbers(*TALL, seed=11)
    Y = np.column_stack([y, 3.0 * X[:, 1] - y + 1.0, np.random.default_rng(0).normal(size=len(y))])
    shared = LassoCV(alphas=15, store_fold_coefs=True, n_jobs=n_jobs).fit(X, Y)
    holding(X, Y, shared, every=7)
    assert_allclose(shared.mse_path_, errors_by_hand(X, Y, shared)[0], rtol=1e-9)
    assert shared.alpha_ == shared.alphas_[shared.mse_path_.mean(axis=-1).argmin()]
    assert shared.coef_.shape == (3, 6)
    assert_allclose(shared.coef_, Lasso(shared.alpha_).fit(X, Y).coef_, atol=1e-12)
    apart = ElasticNetCV(
        l1_ratio=[0.3, 1.0], alphas=shared.alphas_, relax=[0.0, 1.0], alpha_per_target=True
    ).fit(X, Y)
    assert apart.mse_path_.shape == (3, 2, 2, 15, 5)
    assert (apart.coef_path_.shape, apart.intercept_path_.shape) == ((3, 6, 15), (3, 15))
    for target in range(3):
        alone = clone(apart).set_params(alpha_per_target=False).fit(X, Y[:, target])
        for name in ("alpha_", "l1_ratio_", "relax_", "best_index_"):
            assert getattr(apart, name)[target] == getattr(alone, name), name
        assert_allclose(apart.mse_path_[target], alone.mse_path_, rtol=1e-12)
        assert_allclose(apart.coef_[target], alone.coef_, atol=1e-13)
        assert_allclose(apart.coef_path_[target], alone.coef_path_, atol=1e-13)
        assert apart.intercept_[target] == pytest.approx(alone.intercept_, abs=1e-13)
        assert apart.best_score_[target] == pytest.approx(alone.best_score_, rel=1e-12)
        assert_array_equal(apart.cv_results_[target]["n_nonzero"], alone.cv_results_["n_nonzero"])


@pytest.mark.parametrize("alpha_per_target", [False, True])
def test_a_single_column_has_no_axis(alpha_per_target):
    """Shapes and warning are those of scikit-learn; moments of one column give these shapes too."""
    X, y = oracles.numbers(*TALL)
    expected = LassoCV(alphas=5, alpha_per_target=alpha_per_target).fit(X, y)
    with pytest.warns(sklearn.exceptions.DataConversionWarning, match="column-vector y"):
        column = clone(expected).fit(X, y[:, None])
    with pytest.warns(sklearn.exceptions.DataConversionWarning, match="column-vector y"):
        theirs = sklearn.linear_model.LassoCV(alphas=expected.alphas_).fit(X, y[:, None])
    for name in ("alpha_", "intercept_", "coef_", "mse_path_", "alphas_"):
        assert np.shape(getattr(column, name)) == np.shape(getattr(theirs, name)), name
    folds = Moments.by_fold([(X, y[:, None])])
    for model in (column, clone(expected).fit_moments(folds)):
        for name in ("alpha_", "intercept_", "coef_", "best_index_", "coef_path_", "intercept_path_"):
            assert np.shape(getattr(model, name)) == np.shape(getattr(expected, name)), name
        assert isinstance(model.cv_results_, dict)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_target_has_its_own_grid(shape):
    """Targets of another scale have another largest alpha: each fit is that to the target alone."""
    X, y = oracles.numbers(*SHAPES[shape], seed=12)
    Y = np.column_stack([y, 1e-6 * (X[:, 0] - X[:, 1] + 0.1 * y), np.ones(len(y))])
    for ratios in ([1.0], [0.5, 1.0]):
        model = ElasticNetCV(l1_ratio=ratios, alphas=7, alpha_per_target=True, relax=[0.0, 0.5]).fit(X, Y)
        assert model.coef_[:2].any(axis=1).all()
        for target in range(3):
            alone = clone(model).set_params(alpha_per_target=False).fit(X, Y[:, target])
            assert_allclose(model.alphas_[target], alone.alphas_, rtol=1e-12)
            assert_allclose(model.cv_results_[target]["alpha"], alone.cv_results_["alpha"], rtol=1e-12)
            assert_allclose(model.mse_path_[target], alone.mse_path_, rtol=1e-9, atol=1e-25)
            assert_allclose(model.coef_[target], alone.coef_, rtol=1e-9, atol=1e-15)


# ---------------------------------------------------------------------------------------------
# Choosing
# ---------------------------------------------------------------------------------------------


def test_table_of_results():
    X, y = oracles.numbers(*TALL, seed=12)
    model = ElasticNetCV(l1_ratio=[0.5, 1.0], relax=[0.0, 0.5, 1.0], alphas=8, cv=4).fit(X, y)
    frame = pd.DataFrame(model.cv_results_)
    assert len(frame) == 2 * 3 * 8
    scores = frame[[f"split{k}_test_score" for k in range(4)]].to_numpy()
    assert_allclose(-scores.reshape(2, 3, 8, 4), model.mse_path_, rtol=1e-14)
    best = frame.loc[model.best_index_]
    assert (best["alpha"], best["l1_ratio"], best["relax"]) == (model.alpha_, model.l1_ratio_, model.relax_)
    assert best["mean_test_score"] == model.best_score_ == frame["mean_test_score"].max()
    assert best["rank_test_score"] == 1
    assert best["n_nonzero"] == np.count_nonzero(model.coef_)
    for row in (0, 20, 47):
        plain = ElasticNet(frame["alpha"][row], l1_ratio=frame["l1_ratio"][row]).fit(X, y)
        assert np.count_nonzero(plain.coef_) == frame["n_nonzero"][row]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("options", [{}, {"l1_ratio": [0.3, 1.0]}, {"relax": [0.0, 1.0]}], ids=str)
def test_one_standard_error(seed, options):
    X, y = oracles.numbers(*TALL, seed=seed)
    least = ElasticNetCV(**{"l1_ratio": 1.0, **options}).fit(X, y)
    sparse_one = clone(least).set_params(criterion="1se").fit(X, y)
    assert sparse_one.alpha_ >= least.alpha_
    assert (sparse_one.l1_ratio_, sparse_one.relax_) == (least.l1_ratio_, least.relax_)
    table = pd.DataFrame(least.cv_results_)
    best = table.loc[least.best_index_]
    near = table[
        (table["mean_test_score"] >= best["mean_test_score"] - best["se_test_score"])
        & (table["alpha"] >= best["alpha"])
        & (table["l1_ratio"] == best["l1_ratio"])
        & (table["relax"] == best["relax"])
    ]
    assert np.count_nonzero(sparse_one.coef_) == near["n_nonzero"].min()


def test_own_criterion():
    X, y = oracles.numbers(*TALL, seed=13)
    model = LassoCV(alphas=9, criterion=lambda results: int(np.argmin(results["alpha"]))).fit(X, y)
    assert model.alpha_ == model.alphas_[-1]
    assert model.best_index_ == 8


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "scoring", ["r2", "neg_mean_absolute_error", make_scorer(mean_absolute_error)], ids=str
)
@pytest.mark.parametrize("per_target", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_scorers(scoring, weighted, per_target, shape):
    """Scores are those of plain fits, on the rows left out and with their weights."""
    X, y = oracles.numbers(*SHAPES[shape], seed=14)
    Y = np.column_stack([y, X[:, 0] - y])
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else None
    cv = KFold(3, shuffle=True, random_state=0)
    model = ElasticNetCV(alphas=[0.5, 0.05], cv=cv, scoring=scoring, alpha_per_target=per_target)
    model.fit(X, Y, weights)
    scorer = sklearn.metrics.get_scorer(scoring) if isinstance(scoring, str) else scoring
    tables = model.cv_results_ if per_target else [model.cv_results_]
    for target, table in enumerate(tables):
        y_of = Y[:, target] if per_target else Y
        for k, (train, test) in enumerate(cv.split(X)):
            some, others = (None, None) if weights is None else (weights[train], weights[test])
            for b, alpha in enumerate(model.alphas_):
                plain = ElasticNet(alpha).fit(X[train], y_of[train], some)
                extra = {} if weights is None else {"sample_weight": others}
                expected = scorer(plain, X[test], y_of[test], **extra)
                assert table[f"split{k}_test_score"][b] == pytest.approx(expected, rel=1e-9)


def test_scorers_that_fail():
    X, y = oracles.numbers(*TALL)

    def fails(model, X, y):
        raise RuntimeError("no score today")

    for scoring, sentence in (
        (fails, "scoring failed for fold 0, candidate 0: no score today"),
        (lambda model, X, y: np.nan, "scoring returned NaN for fold 0, candidate 0"),
        (lambda model, X, y: -np.inf, "scoring returned -inf for fold 0, candidate 0"),
        (lambda model, X, y: "good", "scoring must return a number, got 'good'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            LassoCV(scoring=scoring).fit(X, y)


def test_a_scorer_may_use_the_model():
    """What a scorer gets predicts for other rows too, and has coefficients."""
    X, y = oracles.numbers(*TALL, seed=15)

    def flat(model, X, y):
        assert_allclose(model.predict(np.array(X)), model.predict(X), rtol=1e-12)
        return -float(np.abs(model.coef_).sum())

    model = LassoCV(alphas=10, scoring=flat).fit(X, y)
    assert model.alpha_ == model.alphas_[0]


# ---------------------------------------------------------------------------------------------
# The relaxed lasso
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_relaxation(l1_ratio, shape, kind, fit_intercept, weighted):
    """0 is the plain fit, 1 is least squares on its support, and between them is between them."""
    X, y = oracles.holes(*SHAPES[shape], seed=16)
    weights = np.random.default_rng(0).uniform(0.5, 2.0, len(y)) if weighted else None
    options = {"l1_ratio": l1_ratio, "alphas": 8, "eps": 0.05, "cv": 3, "fit_intercept": fit_intercept}
    plain, full, half = (
        ElasticNetCV(**options, relax=amount).fit(kind(X), y, weights) for amount in (0.0, 1.0, 0.4)
    )
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    for b in range(8):
        support = np.flatnonzero(plain.coef_path_[:, b])
        columns = np.column_stack([X[:, support]] + [np.ones(len(y))] * fit_intercept)
        found = np.linalg.lstsq(root[:, None] * columns, root * y, rcond=None)[0]
        fitted = X @ full.coef_path_[:, b] + full.intercept_path_[b]
        assert_allclose(fitted, columns @ found, atol=1e-8)
        if len(support) < len(y) // 2:
            assert_allclose(full.coef_path_[support, b], found[: len(support)], atol=1e-8)
        assert not np.delete(full.coef_path_[:, b], support).any()
    for name in ("coef_path_", "intercept_path_"):
        blend = 0.6 * getattr(plain, name) + 0.4 * getattr(full, name)
        assert_allclose(getattr(half, name), blend, atol=1e-9)
    several = ElasticNetCV(**options, relax=[0.0, 0.4, 1.0]).fit(kind(X), y, weights)
    assert_allclose(several.mse_path_[0], plain.mse_path_, rtol=1e-9)
    assert_allclose(several.mse_path_[1], half.mse_path_, rtol=1e-6)
    assert_allclose(several.mse_path_[2], full.mse_path_, rtol=1e-6)
    alone = {0.0: plain, 0.4: half, 1.0: full}[several.relax_]
    assert several.alpha_ == alone.alpha_
    assert_allclose(several.coef_, alone.coef_, atol=1e-9)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_relaxation_within_bounds(shape, l1_ratio):
    """The refit is least squares on the support within the bounds."""
    X, y = oracles.numbers(*SHAPES[shape], seed=17)
    bounds = (-0.2, 0.3)
    options = {"l1_ratio": l1_ratio, "alphas": 6, "eps": 0.1, "cv": 3, "bounds": bounds}
    plain = ElasticNetCV(**options).fit(X, y)
    full = ElasticNetCV(**options, relax=1.0).fit(X, y)
    for b in range(6):
        support = np.flatnonzero(plain.coef_path_[:, b])
        coef = full.coef_path_[:, b]
        assert not np.delete(coef, support).any()
        if len(support):
            oracles.assert_optimal(
                X[:, support], y, coef[support], full.intercept_path_[b], alpha=0.0, bounds=bounds, tol=1e-9
            )


# ---------------------------------------------------------------------------------------------
# Threads, interruption, progress
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [2, -1])
@pytest.mark.parametrize("shape", SHAPES)
def test_threads_do_not_change_the_answer(shape, n_jobs):
    X, y = oracles.numbers(*SHAPES[shape], seed=18)
    options = {"alphas": 20, "store_fold_coefs": True, "relax": [0.0, 1.0], "scoring": "r2"}
    one = LassoCV(**options).fit(X, y)
    many = LassoCV(**options, n_jobs=n_jobs).fit(X, y)
    for name in ("alpha_", "alphas_", "mse_path_", "coef_", "coef_path_", "fold_coefs_", "fold_intercepts_"):
        assert_array_equal(getattr(one, name), getattr(many, name), err_msg=name)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_in_a_grid_search_in_parallel(backend):
    X, y = oracles.numbers(*TALL, seed=19)
    pipeline = make_pipeline(StandardScaler(), LassoCV(alphas=10, n_jobs=2))
    search = GridSearchCV(pipeline, {"lassocv__relax": [0.0, 1.0]}, cv=3, n_jobs=2)
    before = [pool["num_threads"] for pool in threadpool_info()]
    with joblib.parallel_backend(backend):
        search.fit(X, y)
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    alone = GridSearchCV(pipeline, {"lassocv__relax": [0.0, 1.0]}, cv=3).fit(X, y)
    assert_allclose(search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"], rtol=1e-12)


class Trap:
    """A scorer that raises at its n-th call, and is slow, so that others are at work then."""

    def __init__(self, error, at):
        self.error, self.left = error, at

    def __call__(self, model, X, y):
        self.left -= 1
        if self.left == 0:
            raise self.error("caught")
        time.sleep(0.002)
        return 0.0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_failure_leaves_nothing_behind(fitted, n_jobs, error):
    X, y = oracles.numbers(*TALL, seed=20)
    trap = Trap(error, 5)
    model = LassoCV(n_jobs=n_jobs, alphas=1000, eps=0.5, scoring=trap)
    if fitted:
        model.set_params(scoring=None).fit(X, y).set_params(scoring=trap)
    before, threads = dict(vars(model)), threading.active_count()
    with pytest.raises(ValueError if error is RuntimeError else error, match="caught"):
        model.fit(X, y)
    assert -trap.left < 500  # calls after the failure: the other folds did not score all that they have
    assert threading.active_count() == threads
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    again = model.set_params(scoring=None).fit(X, y)
    assert_array_equal(again.coef_, LassoCV(alphas=1000, eps=0.5).fit(X, y).coef_)


# Names of what does the work on each route: a module, a function of it, and how it is reached.
ROUTES = {
    "moments": (_compiled, "solve_sequence", TALL, {}),
    "columns": (_compiled, "follow", (40, 300), {}),
    "sparse columns": (_compiled, "follow", (40, 300), {"kind": sparse.csc_array}),
    "sparse rows": (_compiled, "solve_sequence", (40, 300), {"kind": sparse.csr_array}),
    "ratios": (_compiled, "solve_sequence", TALL, {"l1_ratio": [0.2, 0.5, 1.0]}),
    "refits on moments": (_solve, "_refit", TALL, {"relax": 1.0}),
    "refits on columns": (_solve, "_refit", (40, 300), {"relax": 1.0}),
    "certificates": (_solve, "_gaps_on_data", TALL, {}),
    "errors": (_cv.np, "ix_", (40, 300), {}),
}


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("route", ROUTES)
def test_an_interrupt_is_heard_on_every_route(route, n_jobs, monkeypatch):
    """Ctrl-C during a piece of the work: no thread begins another, and none is left behind."""
    place, name, shape, options = ROUTES[route]
    # Many small pieces, as there are on large data.
    monkeypatch.setattr(_working_sets, "PIECE", 1)
    monkeypatch.setattr(_working_sets, "SPELL", 1)
    monkeypatch.setattr(_working_sets, "LOOK_AHEAD", 2)
    monkeypatch.setattr(_solve, "BATCH", 1)
    monkeypatch.setattr(_ridge, "PRODUCT_ERROR", 1.0)
    monkeypatch.setattr(_design, "TILE", 50)
    X, y = oracles.numbers(*shape, seed=23)
    X = options.get("kind", np.asarray)(X)
    options = {key: value for key, value in options.items() if key != "kind"}
    original = getattr(place, name)
    calls, at, watches = 0, 12, []

    class Seen(_selection.Watch):
        def __init__(self, *args):
            super().__init__(*args)
            watches.append(self)

    def counted(*args):
        nonlocal calls
        calls += 1
        if calls == at:
            signal.raise_signal(signal.SIGINT)
        if at <= calls and n_jobs and watches:
            watches[-1].stopped.wait(10.0)  # nobody is ahead of the interrupt
        return original(*args)

    monkeypatch.setattr(place, name, counted)
    monkeypatch.setattr(_selection, "Watch", Seen)
    model = ElasticNetCV(n_jobs=n_jobs, alphas=30, eps=0.05, **{"l1_ratio": 1.0, **options})
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert calls <= at + 1
    # On a busy machine, threads that were told to end take their time.
    assert settled(threading.active_count, threads, 5.0) == threads
    assert not hasattr(model, "coef_")
    at, calls = np.inf, 0
    model.fit(X, y)
    assert calls > 25  # there was much to stop


def test_interrupted_splitter():
    X, y = oracles.numbers(*TALL)

    def splits():
        yield np.arange(20), np.arange(20, 48)
        raise KeyboardInterrupt

    model = LassoCV(cv=splits(), n_jobs=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("verbose", [False, 0, True, 2])
def test_progress(verbose):
    X, y = oracles.numbers(*WIDE)
    with redirect_stdout(io.StringIO()) as out:
        ElasticNetCV(l1_ratio=[0.5, 1.0], alphas=7, cv=3, verbose=verbose, n_jobs=2).fit(X, y)
    if not verbose:
        assert out.getvalue() == ""
    else:
        # 2 ratios, 7 alphas, 3 folds and the whole
        assert out.getvalue().count("[ElasticNetCV] 56 of 56 fits") == 1


def test_progress_ends_with_the_last_fit():
    """A scorer that asks for every candidate whether it is still wanted prints nothing more."""
    X, y = oracles.numbers(*TALL)
    with redirect_stdout(io.StringIO()) as out:
        LassoCV(alphas=50, cv=3, verbose=1, scoring="neg_mean_absolute_error").fit(X, y)
    assert out.getvalue().count("200 of 200 fits") == 1


def test_unconverged_folds_warn_once():
    X, y = oracles.numbers(*WIDE)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="raise max_iter") as caught:
        LassoCV(max_iter=1, tol=1e-12).fit(X, y)
    assert len(caught) == 1
    assert Path(caught[0].filename).name == "test_cv.py"


# ---------------------------------------------------------------------------------------------
# Company
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", CLASSES)
def test_copies_and_clones(Estimator):
    X, y = oracles.numbers(*TALL)
    model = Estimator(alphas=10, relax=[0.0, 1.0], scoring="r2", n_jobs=2).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert vars(again).keys() == vars(model).keys()
    assert_array_equal(again.predict(X), model.predict(X))
    assert not hasattr(clone(model), "coef_")
    assert clone(model).get_params() == model.get_params()


def test_select_from_model_in_a_pipeline():
    X, y = oracles.numbers(*TALL, seed=21)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    selector = make_pipeline(StandardScaler(), SelectFromModel(LassoCV(criterion="1se"))).set_output(
        transform="pandas"
    )
    kept = selector.fit_transform(frame, y)
    chosen = selector[-1].estimator_
    assert list(kept.columns) == [f"{name}" for name, w in zip("abcdef", chosen.coef_, strict=True) if w]
    assert_array_equal(chosen.feature_names_in_, list("abcdef"))


def test_groups_and_weights_are_routed():
    X, y = oracles.numbers(*TALL, seed=22)
    groups = np.random.default_rng(0).integers(0, 6, len(y))
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    splits = list(GroupKFold(3).split(X, y, groups))
    expected = LassoCV(cv=splits, alphas=10).fit(X, y, weights)
    with pytest.raises(
        ValueError, match="Passing groups to fit is only supported if enable_metadata_routing=True"
    ):
        LassoCV(cv=GroupKFold(3)).fit(X, y, groups=groups)
    with config_context(enable_metadata_routing=True):
        found = LassoCV(cv=GroupKFold(3), alphas=10).fit(X, y, sample_weight=weights, groups=groups)
        assert_array_equal(found.mse_path_, expected.mse_path_)
        pipeline = make_pipeline(
            StandardScaler(with_mean=False, with_std=False).set_fit_request(sample_weight=False),
            LassoCV(cv=GroupKFold(3), alphas=10).set_fit_request(sample_weight=True),
        )
        piped = pipeline.fit(X, y, sample_weight=weights, groups=groups)[-1]
        assert_array_equal(piped.mse_path_, expected.mse_path_)
        once = LassoCV(cv=iter(splits), alphas=10).fit(X, y, sample_weight=weights)
        assert_array_equal(once.mse_path_, expected.mse_path_)
        scorer = make_scorer(mean_absolute_error, greater_is_better=False)
        for ask in (False, True):
            asked = scorer.set_score_request(sample_weight=ask)
            model = LassoCV(cv=splits, alphas=4, scoring=asked).fit(X, y, sample_weight=weights)
            train, test = splits[0]
            plain = Lasso(model.alphas_[2]).fit(X[train], y[train], weights[train])
            error = -mean_absolute_error(
                y[test], plain.predict(X[test]), sample_weight=weights[test] if ask else None
            )
            assert model.cv_results_["split0_test_score"][2] == pytest.approx(error, rel=1e-10)
        with pytest.raises(TypeError, match="unexpected argument"):
            LassoCV().fit(X, y, nonsense=groups)


# ---------------------------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------------------------

BAD = [
    ({"alphas": [1.0, -1.0]}, ValueError, r"alphas\[1\] == -1.0, must be >= 0.0"),
    ({"alphas": [1.0, np.nan]}, ValueError, r"alphas\[1\] must be finite, got nan"),
    ({"alphas": []}, ValueError, "alphas must be a number of alphas or a non-empty list"),
    ({"alphas": 0}, ValueError, "alphas must be at least 1, got 0"),
    ({"alphas": "many"}, ValueError, "alphas must be"),
    ({"alphas": True}, TypeError, "alphas must be a positive integer, got True"),
    ({"eps": 0.0}, ValueError, "eps must be positive"),
    ({"eps": 2.0}, ValueError, "eps must be at most 1.0"),
    ({"l1_ratio": 0.0}, ValueError, "l1_ratio=0 .*give the alphas yourself"),
    ({"l1_ratio": [0.5, 1.5]}, ValueError, "l1_ratio must be at most 1.0, got 1.5"),
    ({"l1_ratio": []}, ValueError, "l1_ratio must be a number or a non-empty list"),
    ({"relax": 1.5}, ValueError, "relax must be at most 1.0, got 1.5"),
    ({"relax": [0.0, -0.1]}, ValueError, "relax must be at least 0.0, got -0.1"),
    ({"relax": [[0.0]]}, ValueError, "relax must be a number or a non-empty list"),
    ({"relax": None}, TypeError, "relax must be a number, got None"),
    ({"criterion": "best"}, ValueError, "criterion must be 'min', '1se' or a callable"),
    ({"n_jobs": 0}, ValueError, "n_jobs must be None, a positive number"),
    ({"n_jobs": "all"}, ValueError, "n_jobs must be None, a positive number"),
    ({"cv": 1}, ValueError, "cv must be at least 2 folds, got cv=1; give"),
    ({"cv": True}, ValueError, "cv must be at least 2 folds, got cv=True; give"),
    ({"cv": 49}, ValueError, "more folds than X has rows, got cv=49, and n_samples=48; give cv=48 at most"),
    ({"cv": 2.5}, ValueError, "cv must be a number of folds, a splitter or splits; got 2.5"),
    ({"cv": KFold(60)}, ValueError, "cv, a KFold, cannot split these 48 rows: .*; give other"),
    (
        {"cv": GroupKFold(3)},
        ValueError,
        r"cv, a GroupKFold, needs to know the groups .* cv=list\(GroupKFold\(...\).split\(X, y, ",
    ),
    ({"cv": LeaveOneOut(), "scoring": "r2"}, ValueError, r"R\^2 is not defined for one row, .* scoring=None"),
    ({"cv": [([0, 1], [])]}, ValueError, "Fold 0 of cv has no rows to be judged by"),
    ({"cv": [([0, 1], [2])], "criterion": "1se"}, ValueError, "needs at least two folds"),
    ({"scoring": "beauty"}, ValueError, "scoring must be a callable .*, got 'beauty'; .*get_scorer_names"),
    ({"scoring": 3}, ValueError, "scoring must be a callable .*, got 3; "),
    ({"standardize": "yes"}, TypeError, "standardize must be True or False"),
    ({"alpha_per_target": 1}, TypeError, "alpha_per_target must be True or False"),
    ({"store_fold_coefs": None}, TypeError, "store_fold_coefs must be True or False"),
    ({"selection": "greedy"}, ValueError, "selection must be one of"),
    ({"penalty_weights": [1.0]}, ValueError, "penalty_weights must have shape"),
    ({"bounds": (1.0, 2.0)}, ValueError, "bounds must include 0"),
    ({"precompute": "yes"}, ValueError, "precompute must be"),
    ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
    ({"tol": -1.0}, ValueError, "tol must be at least 0"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), BAD, ids=lambda x: str(x)[:40])
def test_bad_parameters(options, error, sentence):
    X, y = oracles.numbers(*TALL)
    model = ElasticNetCV(**options)
    with pytest.raises(error, match=sentence):
        model.fit(X, y)
    assert set(vars(model)) == set(model.get_params())


def test_fewer_rows_than_folds():
    X, y = oracles.numbers(*TALL)
    sentence = "got cv=None, which stands for 5, and n_samples=3; give cv=3 at most"
    with pytest.raises(ValueError, match=sentence):
        LassoCV().fit(X[:3], y[:3])
    with pytest.raises(ValueError, match="n_samples=1; give more rows"):
        LassoCV().fit(X[:1], y[:1])


@pytest.mark.parametrize("Estimator", CLASSES)
def test_zero_alpha_is_least_squares(Estimator):
    X, y = oracles.numbers(*TALL)
    model = Estimator(alphas=[0.0, 1e3], store_fold_coefs=True).fit(X, y)
    assert model.alpha_ == 0.0
    expected = np.linalg.lstsq(np.column_stack([X, np.ones(len(y))]), y, rcond=None)[0]
    assert_allclose(model.coef_, expected[:-1], atol=1e-11)


@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_with_own_alphas(shape):
    X, y = oracles.numbers(*SHAPES[shape])
    model = ElasticNetCV(l1_ratio=[0.0, 0.5], alphas=[3.0, 1.0, 0.1], store_fold_coefs=True).fit(X, y)
    holding(X, y, model)


# ---------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------

PEAK = """
import resource
import sys
import numpy as np
from sparse_linear import LassoCV
from sklearn.model_selection import ShuffleSplit

def problem(n, p):
    X = np.empty((n, p), order={order!r})
    np.random.default_rng(0).random(out=X if X.flags.c_contiguous else X.T)
    return X, X[:, :3] @ [3.0, -2.0, 1.0] + 0.1 * np.random.default_rng(1).standard_normal(n)

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

{options}
LassoCV(**options).fit(*problem({n} // 40, {p}))
LassoCV(**options).fit(*problem(40, 4))
X, y = problem({n}, {p})
before = peak()
LassoCV(**options).fit(X, y)
print((peak() - before) / X.nbytes)
"""


@pytest.mark.parametrize("make", [LassoCV, partial(RidgeCV, cv=5)], ids=["lasso", "ridge"])
def test_moments_of_one_fold_at_a_time(make, monkeypatch):
    """Where those of all folds would take much of the memory of X; the result is the same."""
    X, y = make_regression(300, 20, noise=5.0, random_state=0)
    weights = np.random.default_rng(0).random(300)
    together = make().fit(X, y, weights)
    monkeypatch.setattr(_moments, "KEPT", 0)
    monkeypatch.setattr(_moments, "ROOM", 0.0)
    model = make().fit(X, y, weights)
    assert model.alpha_ == together.alpha_
    assert_allclose(model.mse_path_, together.mse_path_, rtol=1e-10)
    assert_allclose(model.coef_, together.coef_, rtol=1e-9)


def test_matrices_that_are_held_at_a_time():
    """Two for the fold that is at work, and one for all rows; others hold only while these are made."""
    p = 600
    X, y = make_regression(4 * p, p, n_informative=10, random_state=0)
    model = LassoCV(cv=10, alphas=10, eps=0.1)
    model.fit(X[:, :3], y)
    tracemalloc.start()
    model.fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 8 * p * p


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is for POSIX")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    ("n", "p", "options"),
    [
        (200_000, 100, "options = {'n_jobs': 2}"),
        (200_000, 100, "options = {'cv': ShuffleSplit(8, train_size=0.5, random_state=0)}"),
        (25_000, 1000, "options = {}"),
        (40_000, 900, "options = {'n_jobs': 2}"),
        (2_000, 20_000, "options = {'eps': 0.1, 'n_jobs': 2}"),
    ],
    ids=["tall", "monte carlo", "many columns", "many columns, two threads", "wide"],
)
def test_memory_beyond_the_data(n, p, options, order):
    """Less than a quarter of X on top of X, in pages that are touched."""
    script = textwrap.dedent(PEAK).format(n=n, p=p, options=options, order=order)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.25
