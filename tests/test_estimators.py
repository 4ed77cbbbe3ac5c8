"""The estimators: optimal on every kind of input, and invariant to everything that must not matter."""

import pickle
import warnings

import numpy as np
import pytest
import sklearn.linear_model
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from sparse_linear import ElasticNet, Lasso, LassoCV, Ridge, alpha_grid, lasso_path
from tests import oracles
from tests.oracles import assert_optimal

MODELS = {
    "Lasso": lambda **more: Lasso(**({"alpha": 0.1} | more)),
    "ElasticNet": lambda **more: ElasticNet(**({"alpha": 0.1, "l1_ratio": 0.6} | more)),
    "Ridge": lambda **more: Ridge(**({"alpha": 3.0} | more)),
    "Ridge-bounded": lambda **more: Ridge(**({"alpha": 3.0, "bounds": (-0.5, 0.5)} | more)),
}
every_model = pytest.mark.parametrize("model", MODELS)
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])
with_and_without_scaling = pytest.mark.parametrize("standardize", [False, True])
SPARSE = {"csc": sparse.csc_array, "csr": sparse.csr_array}
EVERY_KIND = {"dense": np.asarray} | SPARSE
every_kind = pytest.mark.parametrize("kind", EVERY_KIND)


def estimator(keywords):
    """The estimator for keywords of `assert_optimal`."""
    keywords = {name: value for name, value in keywords.items() if name != "sample_weight"}
    if keywords.pop("ridge", False):
        return Ridge(**keywords)
    if keywords.get("l1_ratio", 1.0) == 1.0:
        keywords.pop("l1_ratio", None)
        return Lasso(**keywords)
    return ElasticNet(**keywords)


def weights_for(n, seed=0):
    """Weights of which some are zero."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.2, 0.0, rng.uniform(0.5, 3.0, n))


def assert_same_fit(a, b, accuracy=1e-11):
    """Coefficients and intercept equal up to `accuracy` of the largest coefficient."""
    size = np.abs(b.coef_).max(initial=0.0)
    np.testing.assert_allclose(a.coef_, b.coef_, rtol=0, atol=accuracy * size)
    np.testing.assert_allclose(a.intercept_, b.intercept_, rtol=accuracy, atol=accuracy * max(size, 1.0))


# ---------------------------------------------------------------------------------------------
# Optimality
# ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


def _bytes(X):
    if sparse.issparse(X):
        parts = [value for value in vars(X).values() if isinstance(value, np.ndarray)]
        return [part.tobytes() for part in parts]
    if hasattr(X, "columns"):
        return [X[name].to_numpy().tobytes() for name in X.columns]
    return np.asarray(X).tobytes()


@pytest.mark.parametrize("name", oracles.zoo(None))
def test_optimal_for_every_input(name, folder):
    """The conditions of every feature, the gap, and what is said of it, over pairs of all options.

    Neither X nor y nor weights nor bounds are written.
    """
    case = oracles.zoo(folder)[name]()
    before = _bytes(case.X), case.y.tobytes()
    failures = []
    # Kinds of input get different combinations of three options.
    choices = oracles.combinations(sorted(oracles.zoo(None)).index(name) % 7)
    for choice in choices:
        keywords = oracles.settings(case, choice)
        given_as = pickle.dumps(keywords)
        try:
            model = estimator(keywords).fit(case.X, case.y, keywords.get("sample_weight"))
            assert_optimal(
                case.X,
                case.y,
                model.coef_,
                model.intercept_,
                tol=case.tol,
                gap_tol=max(case.tol, case.gap_tol),
                objective=model.objective_,
                dual_gap=model.dual_gap_,
                **keywords,
            )
        except (AssertionError, Warning) as failure:
            failures.append(f"{list(choice.values())}: {failure}")
        assert pickle.dumps(keywords) == given_as
    assert not failures, f"{len(failures)} of {len(choices)} combinations:\n" + "\n".join(failures)
    assert before == (_bytes(case.X), case.y.tobytes())


@st.composite
def tiny_problems(draw):
    """A few small integers: ties, duplicates, empty columns and perfect fits come by themselves."""
    n, p = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    entries = st.integers(-2, 2)
    X = np.array(
        draw(st.lists(st.lists(entries, min_size=p, max_size=p), min_size=n, max_size=n)), dtype=float
    )
    y = np.array(draw(st.lists(entries, min_size=n, max_size=n)), dtype=float)
    weights = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=float)
    assume(weights.any())
    factor = st.sampled_from([0.0, 0.5, 1.0, np.inf])
    end = st.sampled_from([0.0, 0.25, 1.0, np.inf])
    keywords = {
        "alpha": draw(st.sampled_from([1e-3, 0.1, 0.25, 1.0])),
        "fit_intercept": draw(st.booleans()),
        "standardize": draw(st.booleans()),
        "penalty_weights": np.array(draw(st.lists(factor, min_size=p, max_size=p))),
        "bounds": (
            -np.array(draw(st.lists(end, min_size=p, max_size=p))),
            np.array(draw(st.lists(end, min_size=p, max_size=p))),
        ),
    }
    if draw(st.booleans()):
        keywords["ridge"] = True
    else:
        keywords["l1_ratio"] = draw(st.sampled_from([0.0, 0.5, 1.0]))
    return X, y, weights, keywords, draw(st.sampled_from(sorted(EVERY_KIND)))


@hypothesis_settings(deadline=None, max_examples=250, derandomize=True)
@given(tiny_problems())
def test_optimal_for_tiny_integers(problem):
    """Degenerate problems of all sorts, dense and sparse."""
    X, y, weights, keywords, kind = problem
    model = estimator(keywords).fit(EVERY_KIND[kind](X), y, weights)
    assert_optimal(
        X,
        y,
        model.coef_,
        model.intercept_,
        sample_weight=weights,
        objective=model.objective_,
        dual_gap=model.dual_gap_,
        **keywords,
    )


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("shape", [(50, 12), (20, 40)])
@pytest.mark.parametrize("limits", [None, (0.0, np.inf), (-0.3, 0.2)])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5, None])
def test_the_minimiser_of_coordinate_descent(shape, limits, l1_ratio, kind, fit_intercept):
    """Coefficients and objective are those of a plain solver on explicit data (None: Ridge)."""
    X, y = oracles.holes(*shape, seed=20, density=0.5)
    weights = weights_for(len(y))
    keywords = {"bounds": limits, "fit_intercept": fit_intercept}
    keywords |= {"ridge": True, "alpha": 2.0} if l1_ratio is None else {"alpha": 0.05, "l1_ratio": l1_ratio}
    explicit = oracles.problem(X, y, sample_weight=weights, **keywords)
    expected = oracles.coordinate_descent(explicit)
    model = estimator(keywords).fit(EVERY_KIND[kind](X), y, weights)
    np.testing.assert_allclose(model.coef_, expected, rtol=0, atol=1e-11)
    square = float(explicit.factor * explicit.scale**2)
    assert model.objective_ == pytest.approx(float(explicit.objective(expected)), abs=1e-13 * square)


# ---------------------------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------------------------


@every_model
@every_kind
@with_and_without_intercept
@with_and_without_scaling
def test_weights_are_repetition(model, kind, fit_intercept, standardize):
    """A row of weight 3 is that row three times, and a row of weight 0 is no row at all."""
    X, y = oracles.holes(25, 6, seed=21)
    counts = np.random.default_rng(0).integers(0, 4, 25)
    make = EVERY_KIND[kind]
    build = {"fit_intercept": fit_intercept, "standardize": standardize}
    weighted = MODELS[model](**build).fit(make(X), y, counts)
    repeated = MODELS[model](**build).fit(make(np.repeat(X, counts, axis=0)), np.repeat(y, counts))
    assert_same_fit(weighted, repeated)
    assert weighted.objective_ == pytest.approx(repeated.objective_, rel=1e-11)


@every_model
@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("value", [17.0, -1e9])
@pytest.mark.parametrize("constant", [0.0, 2.5])
def test_rows_without_weight_have_no_say(model, kind, fit_intercept, value, constant):
    """Whatever stands in them, also in the first row, and in an otherwise constant column."""
    X, y = oracles.holes(25, 6, seed=22)
    X[:, 4] = constant
    weights = weights_for(25)
    weights[[0, 7]] = 0.0
    kept = weights > 0.0
    X[~kept], y[~kept] = value, -value
    make = EVERY_KIND[kind]
    whole = MODELS[model](fit_intercept=fit_intercept).fit(make(X), y, weights)
    rest = MODELS[model](fit_intercept=fit_intercept).fit(make(X[kept]), y[kept], weights[kept])
    assert_same_fit(whole, rest)
    if fit_intercept or constant == 0.0:
        assert whole.coef_[4] == 0.0


@every_kind
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet"])
@pytest.mark.parametrize("factor", [1e-200, 1e-3, 7.0, 1e200])
def test_the_scale_of_weights_does_not_matter(model, kind, factor):
    """For mean-scaled objectives only ratios count; a single number is no weight at all."""
    X, y = oracles.holes(25, 6, seed=23)
    weights = weights_for(25)
    make = EVERY_KIND[kind]
    plain = MODELS[model]().fit(make(X), y, weights)
    scaled = MODELS[model]().fit(make(X), y, factor * weights)
    assert_same_fit(scaled, plain)
    assert scaled.objective_ == pytest.approx(plain.objective_, rel=1e-12)
    assert_same_fit(MODELS[model]().fit(make(X), y, factor), MODELS[model]().fit(make(X), y))


@every_kind
@pytest.mark.parametrize("model", ["Ridge", "Ridge-bounded"])
@pytest.mark.parametrize("factor", [1e-3, 7.0])
def test_ridge_weights_scale_with_alpha(model, kind, factor):
    """For the sum-scaled objective, weights times a factor is alpha over it."""
    X, y = oracles.holes(25, 6, seed=24)
    weights = weights_for(25)
    make = EVERY_KIND[kind]
    plain = MODELS[model](alpha=2.0).fit(make(X), y, weights)
    scaled = MODELS[model](alpha=2.0 * factor).fit(make(X), y, factor * weights)
    assert_same_fit(scaled, plain)
    assert scaled.objective_ == pytest.approx(factor * plain.objective_, rel=1e-12)


# ---------------------------------------------------------------------------------------------
# Invariances
# ---------------------------------------------------------------------------------------------


@every_model
@every_kind
@pytest.mark.parametrize("shape", [(25, 6), (15, 40)])
def test_order_does_not_matter(model, kind, shape):
    """Rows and columns in another order: the same coefficients in that order."""
    X, y = oracles.holes(*shape, seed=25)
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(shape[0]), rng.permutation(shape[1])
    weights = weights_for(shape[0])
    make = EVERY_KIND[kind]
    plain = MODELS[model]().fit(make(X), y, weights)
    moved = MODELS[model]().fit(make(X[rows][:, columns]), y[rows], weights[rows])
    plain.coef_ = plain.coef_[columns]
    assert_same_fit(moved, plain)


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("factor", [1e-9, 0.5, -1.0, 3.0, 1e9])
def test_scaling_y(kind, fit_intercept, factor):
    """Coefficients scale with y, if the l1 penalty does too."""
    X, y = oracles.holes(25, 6, seed=26)
    make, size = EVERY_KIND[kind], abs(factor)
    build = {"fit_intercept": fit_intercept}
    pairs = [
        (Lasso(0.1, **build), Lasso(0.1 * size, **build)),
        (Ridge(3.0, **build), Ridge(3.0, **build)),
        (Ridge(3.0, bounds=(-0.5, 0.5), **build), Ridge(3.0, bounds=(-0.5 * size, 0.5 * size), **build)),
    ]
    if size <= 3.0:  # beyond, l1_ratio is too near to 0 or 1 to hold the digits of both parts
        l1, l2 = 0.06 * size, 0.04
        mixed = ElasticNet(l1 + l2, l1_ratio=l1 / (l1 + l2), **build)
        pairs.append((ElasticNet(0.1, l1_ratio=0.6, **build), mixed))
    for plain, scaled in pairs:
        plain.fit(make(X), y)
        scaled.fit(make(X), factor * y)
        scaled.coef_, scaled.intercept_ = scaled.coef_ / factor, scaled.intercept_ / factor
        assert_same_fit(scaled, plain)
        assert scaled.objective_ == pytest.approx(factor**2 * plain.objective_, rel=1e-11)


@every_model
@pytest.mark.parametrize("shift", [100.0, -1e5])
@pytest.mark.parametrize("shape", [(25, 6), (15, 30)])
def test_an_intercept_absorbs_shifts(model, shift, shape):
    """Columns and y moved by constants: the same coefficients, another intercept."""
    X, y = oracles.holes(*shape, seed=27)
    plain = MODELS[model](standardize=True).fit(X, y)
    moved = MODELS[model](standardize=True).fit(X + shift, y - 3 * shift)
    np.testing.assert_allclose(moved.coef_, plain.coef_, rtol=0, atol=1e-13 * abs(shift))
    expected = plain.intercept_ - 3 * shift - shift * plain.coef_.sum()
    assert moved.intercept_ == pytest.approx(expected, rel=1e-10)


@every_model
@every_kind
@with_and_without_intercept
def test_standardised_columns_have_no_units(model, kind, fit_intercept):
    """With `standardize`, columns in other units give coefficients in the inverse units."""
    X, y = oracles.holes(25, 6, seed=28)
    factors = np.array([1e-6, -3.0, 1e6, 1.0, 0.2, 1e3])
    make = EVERY_KIND[kind]
    build = {"fit_intercept": fit_intercept, "standardize": True}
    limits = {} if model != "Ridge-bounded" else {"bounds": (-0.5 / np.abs(factors), 0.5 / np.abs(factors))}
    plain = MODELS[model](**build).fit(make(X), y)
    scaled = MODELS[model](**build, **limits).fit(make(X * factors), y)
    scaled.coef_ = scaled.coef_ * factors
    assert_same_fit(scaled, plain)


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
def test_standardize_is_a_scaler_in_front(model, kind, fit_intercept):
    """The same as columns divided by their weighted deviation (root mean square without intercept)."""
    X, y = oracles.holes(25, 6, seed=29)
    weights = weights_for(25)
    mean = np.average(X, axis=0, weights=weights) if fit_intercept else 0.0
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
    make = EVERY_KIND[kind]
    inside = MODELS[model](standardize=True, fit_intercept=fit_intercept).fit(make(X), y, weights)
    outside = MODELS[model](fit_intercept=fit_intercept).fit(make(X / deviation), y, weights)
    outside.coef_ = outside.coef_ / deviation
    assert_same_fit(inside, outside)


@pytest.mark.parametrize("shape", [(40, 7), (15, 40), (30, 90), (30, 600)])
@pytest.mark.parametrize("storage", SPARSE)
@every_model
@with_and_without_intercept
@with_and_without_scaling
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_is_dense(shape, storage, model, fit_intercept, standardize, weighted):
    """A sparse X gives the answer of the same numbers in a dense array, to 1e-10."""
    X, y = oracles.holes(*shape, seed=30, density=0.2)
    weights = weights_for(shape[0]) if weighted else None
    build = {"fit_intercept": fit_intercept, "standardize": standardize}
    dense = MODELS[model](**build).fit(X, y, weights)
    found = MODELS[model](**build).fit(SPARSE[storage](X), y, weights)
    assert_same_fit(found, dense, 1e-10)
    np.testing.assert_allclose(found.predict(SPARSE[storage](X)), dense.predict(X), rtol=0, atol=1e-10)


@every_model
@pytest.mark.parametrize("storage", SPARSE)
@pytest.mark.parametrize("shape", [(40, 7), (15, 40), (30, 90)])
@pytest.mark.parametrize("offset", [30.0, 900.0, 2e3, 1e6])
@with_and_without_intercept
def test_sparse_is_dense_far_from_zero(model, storage, shape, offset, fit_intercept):
    """Also with a full column far from zero: a year, an identifier, a timestamp."""
    X, y = oracles.holes(*shape, seed=54, density=0.3)
    X[:, 2] = np.random.default_rng(0).standard_normal(shape[0]) + offset
    build = {"fit_intercept": fit_intercept, "standardize": True}
    dense = MODELS[model](**build).fit(X, y)
    found = MODELS[model](**build).fit(SPARSE[storage](X), y)
    np.testing.assert_allclose(found.coef_, dense.coef_, rtol=0, atol=1e-10 + 1e-15 * offset)


@every_model
@every_kind
@pytest.mark.parametrize("shape", [(25, 6), (15, 40)])
def test_float32_is_near_float64(model, kind, shape):
    """float32 in, float32 out, and the rounding of the input is all the difference there is."""
    X, y = oracles.holes(*shape, seed=31)
    single = EVERY_KIND[kind](X.astype(np.float32))
    found = MODELS[model]().fit(single, y)
    exact = MODELS[model]().fit(EVERY_KIND[kind](X.astype(np.float32).astype(np.float64)), y)
    assert found.coef_.dtype == np.float32
    assert np.asarray(found.intercept_).dtype == np.float32
    assert found.predict(single).dtype == np.float32
    assert exact.coef_.dtype == np.float64
    np.testing.assert_allclose(found.coef_, exact.coef_.astype(np.float32), rtol=2e-7, atol=0)
    assert found.objective_ == pytest.approx(exact.objective_, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, bool, np.float16])
@pytest.mark.parametrize("kind", ["dense", "csc"])
def test_other_numbers_become_float64(dtype, kind):
    """Integers and booleans are their float64 values."""
    X, y = oracles.holes(25, 6, seed=32)
    whole = np.abs(np.round(3 * X)).astype(dtype)
    if kind == "csc" and dtype is np.float16:
        return  # scipy has no such matrices
    found = Lasso(0.1).fit(EVERY_KIND[kind](whole), y)
    assert found.coef_.dtype == np.float64
    assert_same_fit(found, Lasso(0.1).fit(EVERY_KIND[kind](whole.astype(np.float64)), y), 1e-13)


# ---------------------------------------------------------------------------------------------
# scikit-learn
# ---------------------------------------------------------------------------------------------


def quietly(model, *data, **more):
    """A fit of scikit-learn's, which may not reach the tolerance asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*data, **more)


@pytest.mark.parametrize("name", ["Lasso", "ElasticNet"])
@pytest.mark.parametrize("kind", ["dense", "csc"])
@with_and_without_intercept
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_agrees_with_scikit_learn(name, kind, fit_intercept, weighted, positive, dtype):
    """The coefficients that scikit-learn reaches with tol=1e-12."""
    X, y = oracles.holes(60, 10, seed=33, density=0.5)
    X, y = EVERY_KIND[kind](X.astype(dtype)), y.astype(dtype)
    weights = weights_for(60) if weighted else None
    keywords = {"alpha": 0.03, "fit_intercept": fit_intercept, "positive": positive}
    ours = {"Lasso": Lasso, "ElasticNet": ElasticNet}[name](**keywords).fit(X, y, weights)
    theirs = getattr(sklearn.linear_model, name)(**keywords, tol=1e-12, max_iter=100_000)
    quietly(theirs, X, y, sample_weight=weights)
    accuracy = 1e-9 if dtype == np.float64 else 1e-3  # scikit-learn computes in float32
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=accuracy)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=accuracy)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=10 * accuracy)
    assert ours.coef_.dtype == theirs.coef_.dtype
    assert ours.score(X, y, weights) == pytest.approx(theirs.score(X, y, weights), abs=accuracy)


@pytest.mark.parametrize("kind", ["dense", "csc"])
@pytest.mark.parametrize("shape", [(60, 10), (12, 30)])
@with_and_without_intercept
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("alpha", "targets"), [(2.0, 1), (2.0, 3), (np.array([0.1, 2.0, 50.0]), 3)])
def test_ridge_agrees_with_scikit_learn(kind, shape, fit_intercept, weighted, alpha, targets):
    """One alpha or one for each target, tall and wide."""
    X, _ = oracles.holes(*shape, seed=34, density=0.5)
    Y = np.random.default_rng(0).standard_normal((shape[0], targets)) + 1.0
    X, Y = EVERY_KIND[kind](X), Y if targets > 1 else Y[:, 0]
    weights = weights_for(shape[0]) if weighted else None
    keywords = {"alpha": alpha, "fit_intercept": fit_intercept}
    ours = Ridge(**keywords).fit(X, Y, weights)
    # For sparse X with an intercept scikit-learn iterates.
    theirs = sklearn.linear_model.Ridge(**keywords, tol=1e-14, max_iter=10_000).fit(X, Y, weights)
    accuracy = 1e-6 if kind == "csc" and fit_intercept else 1e-11
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=accuracy)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=accuracy)


@pytest.mark.parametrize("name", ["Lasso", "ElasticNet", "Ridge"])
@pytest.mark.parametrize("kind", ["dense", "csr"])
@with_and_without_intercept
@pytest.mark.parametrize("targets", [None, 1, 3])
@pytest.mark.parametrize("features", [1, 4])
def test_shapes_are_scikit_learns(name, kind, fit_intercept, targets, features):
    """All fitted attributes and predictions have the shape and type that scikit-learn gives them."""
    X, y = oracles.holes(20, features, seed=35)
    X = EVERY_KIND[kind](X)
    Y = y if targets is None else np.column_stack([y * (k + 1) for k in range(targets)])
    keywords = {"alpha": 0.1, "fit_intercept": fit_intercept}
    ours = {"Lasso": Lasso, "ElasticNet": ElasticNet, "Ridge": Ridge}[name](**keywords).fit(X, Y)
    theirs = getattr(sklearn.linear_model, name)(**keywords).fit(X, Y)
    for attribute in ("coef_", "intercept_", "dual_gap_", "sparse_coef_"):
        if hasattr(theirs, attribute):
            expected, found = getattr(theirs, attribute), getattr(ours, attribute)
            assert np.shape(found) == np.shape(expected), attribute
            assert np.isscalar(found) == np.isscalar(expected), attribute
            assert getattr(found, "dtype", None) == getattr(expected, "dtype", None), attribute
    if name != "Ridge":
        assert np.shape(ours.n_iter_) == np.shape(theirs.n_iter_)
        assert type(ours.n_iter_) is type(theirs.n_iter_)
    assert ours.n_features_in_ == features
    assert ours.predict(X).shape == theirs.predict(X).shape
    assert np.shape(ours.objective_) == np.shape(ours.dual_gap_) == (() if targets in (None, 1) else (3,))
    np.testing.assert_array_equal(ours.sparse_coef_.toarray(), np.atleast_2d(ours.coef_))


# ---------------------------------------------------------------------------------------------
# Several targets
# ---------------------------------------------------------------------------------------------


@every_model
@every_kind
@pytest.mark.parametrize("shape", [(40, 7), (15, 40)])
def test_targets_are_independent(model, kind, shape):
    """Each column of y gets the fit it would get alone; one of them is constant."""
    X, y = oracles.holes(*shape, seed=36)
    Y = np.column_stack([y, np.full(shape[0], 0.3), np.cos(np.arange(shape[0])) * 1e3, -y])
    X = EVERY_KIND[kind](X)
    weights = weights_for(shape[0])
    together = MODELS[model]().fit(X, Y, weights)
    for index, column in enumerate(Y.T):
        alone = MODELS[model]().fit(X, column, weights)
        np.testing.assert_allclose(
            together.coef_[index], alone.coef_, rtol=0, atol=1e-12 * np.abs(column).max()
        )
        assert together.intercept_[index] == pytest.approx(alone.intercept_, rel=1e-12)
        assert together.objective_[index] == pytest.approx(alone.objective_, rel=1e-11)
        assert together.dual_gap_[index] <= 1e-11 * max(np.var(column), 1.0) * shape[0]
    assert not together.coef_[1].any()
    assert len(together.status_) == 4


# ---------------------------------------------------------------------------------------------
# Penalty weights and bounds
# ---------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
def test_penalty_weights_are_columns_in_other_units(model, kind):
    """A Lasso with weight f is a Lasso on the column over f; a Ridge, on the column over the root of f."""
    X, y = oracles.holes(30, 6, seed=37)
    factors = np.array([0.3, 1.0, 2.0, 5.0, 1e-3, 0.7])
    units = {"Lasso": factors, "Ridge": np.sqrt(factors)}.get(model)
    make = EVERY_KIND[kind]
    weighted = MODELS[model](penalty_weights=factors).fit(make(X), y)
    if model == "ElasticNet":
        # Both parts of the penalty scale alike: all weights times f is alpha times f.
        weighted = MODELS[model](penalty_weights=np.full(6, 0.3)).fit(make(X), y)
        other = MODELS[model](alpha=0.03).fit(make(X), y)
    else:
        other = MODELS[model]().fit(make(X / units), y)
        other.coef_ = other.coef_ / units
    assert_same_fit(weighted, other)


@every_model
@every_kind
@pytest.mark.parametrize("shape", [(40, 12), (15, 40), (30, 600)])
def test_penalty_weight_zero_is_exactly_unpenalised(model, kind, shape):
    """The residual is orthogonal to an unpenalised column, to rounding, and the column is in use."""
    X, y = oracles.holes(*shape, seed=38)
    factors = np.where(np.isin(np.arange(shape[1]), [1, 3, 8]), 0.0, 1.0)
    found = MODELS[model](penalty_weights=factors, bounds=None).fit(EVERY_KIND[kind](X), y)
    free = X[:, factors == 0.0]
    free = free - free.mean(axis=0)
    cosines = free.T @ (y - X @ found.coef_ - found.intercept_)
    cosines /= np.linalg.norm(free, axis=0) * np.linalg.norm(y - y.mean())
    assert np.abs(cosines).max() <= 1e-13
    assert (found.coef_[factors == 0.0] != 0.0).all()


@every_model
@every_kind
@pytest.mark.parametrize("shape", [(40, 12), (15, 40)])
def test_penalty_weight_infinity_is_removal(model, kind, shape):
    """Excluded columns have coefficient 0 and the others are fitted as if those were not there."""
    X, y = oracles.holes(*shape, seed=39)
    factors = np.where(np.arange(shape[1]) % 4 == 1, np.inf, 1.0)
    make, kept = EVERY_KIND[kind], np.isfinite(factors)
    found = MODELS[model](penalty_weights=factors).fit(make(X), y)
    rest = MODELS[model]().fit(make(X[:, kept]), y)
    assert not found.coef_[~kept].any()
    found.coef_ = found.coef_[kept]
    assert_same_fit(found, rest)


@every_model
@every_kind
def test_everything_excluded(model, kind):
    """With no feature left the fit is the mean."""
    X, y = oracles.holes(20, 4, seed=40)
    found = MODELS[model](penalty_weights=np.full(4, np.inf)).fit(EVERY_KIND[kind](X), y)
    assert not found.coef_.any()
    assert found.intercept_ == pytest.approx(y.mean(), rel=1e-14)
    assert found.dual_gap_ == 0.0


@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
@every_kind
def test_bounds_that_do_not_bind_do_not_matter(model, kind):
    """Wide bounds, given in any form, are no bounds; `positive` is a lower bound of 0."""
    X, y = oracles.holes(30, 6, seed=41)
    make = EVERY_KIND[kind]
    plain = MODELS[model]().fit(make(X), y)
    for bounds in (
        (-9.0, 9.0),
        (None, 9.0),
        (-9.0, None),
        (np.full(6, -9.0), np.inf),
        (-np.inf, np.full(6, 9.0)),
    ):
        assert_same_fit(MODELS[model](bounds=bounds).fit(make(X), y), plain)
    positive = MODELS[model](positive=True).fit(make(X), y)
    assert_same_fit(positive, MODELS[model](bounds=(0.0, None)).fit(make(X), y), 1e-14)
    assert positive.coef_.min() == 0.0
    mirrored = MODELS[model](bounds=(None, 0.0)).fit(make(-X), y)
    mirrored.coef_ = -mirrored.coef_
    assert_same_fit(mirrored, positive)


@every_kind
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
@with_and_without_scaling
def test_bounds_are_kept_to_the_last_digit(model, kind, standardize):
    """No coefficient is out of bounds by even a rounding error, and those at a bound are exactly there."""
    X, y = oracles.holes(30, 12, seed=42)
    lower, upper = -0.1 / np.arange(1, 13), 0.1 / np.arange(2, 14)
    found = MODELS[model](alpha=0.01, bounds=(lower, upper), standardize=standardize).fit(
        EVERY_KIND[kind](X), y
    )
    assert np.all(found.coef_ >= lower)
    assert np.all(found.coef_ <= upper)
    assert np.sum((found.coef_ == lower) | (found.coef_ == upper)) >= 6


# ---------------------------------------------------------------------------------------------
# Degenerate data
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("copies", [2, 5])
@pytest.mark.parametrize("shape", [(30, 4), (10, 30)])
@every_kind
def test_copies_of_columns_add_nothing(alpha, positive, copies, shape, kind):
    """With copies (and mirror images) the Lasso fits what it fits without, at the same price."""
    X, y = oracles.holes(*shape, seed=43)
    make = EVERY_KIND[kind]
    signs = np.ones(copies) if positive else np.where(np.arange(copies) % 2, -1.0, 1.0)
    copied = np.hstack([sign * X for sign in signs])
    single = Lasso(alpha, positive=positive).fit(make(X), y)
    several = Lasso(alpha, positive=positive).fit(make(copied), y)
    assert_optimal(copied, y, several.coef_, several.intercept_, alpha, positive=positive)
    np.testing.assert_allclose(copied @ several.coef_, X @ single.coef_, rtol=0, atol=1e-11)
    assert several.objective_ == pytest.approx(single.objective_, rel=1e-12)
    assert np.abs(several.coef_).sum() == pytest.approx(np.abs(single.coef_).sum(), rel=1e-11)


@every_kind
@pytest.mark.parametrize("model", ["ElasticNet", "Ridge"])
def test_copies_of_columns_share_alike(model, kind):
    """With an l2 penalty equal columns get equal coefficients."""
    X, y = oracles.holes(30, 4, seed=44)
    found = MODELS[model]().fit(EVERY_KIND[kind](np.hstack([X, X])), y)
    np.testing.assert_allclose(found.coef_[:4], found.coef_[4:], rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("data", ["copies", "dummies", "more-than-rows"])
def test_unpenalised_columns_may_be_dependent(data, fit_intercept, kind, model, seed):
    """Copies, all dummies beside an intercept, more columns than rows: one of many answers is given."""
    rng = np.random.default_rng(seed)
    free, y = (
        {
            "copies": lambda: np.repeat(rng.standard_normal((15, 2)), 2, axis=1),
            "dummies": lambda: np.eye(4)[rng.permutation(np.arange(15) % 4)],
            "more-than-rows": lambda: rng.standard_normal((15, 18)),
        }[data](),
        rng.standard_normal(15),
    )
    X = np.hstack([free, rng.standard_normal((15, 3))])
    factors = np.repeat([0.0, 1.0], [free.shape[1], 3])
    found = MODELS[model](penalty_weights=factors, fit_intercept=fit_intercept).fit(EVERY_KIND[kind](X), y)
    keywords = {"Lasso": {}, "ElasticNet": {"l1_ratio": 0.6}, "Ridge": {"ridge": True, "alpha": 3.0}}[model]
    assert_optimal(
        X,
        y,
        found.coef_,
        found.intercept_,
        penalty_weights=factors,
        fit_intercept=fit_intercept,
        objective=found.objective_,
        dual_gap=found.dual_gap_,
        **({"alpha": 0.1} | keywords),
    )
    assert np.abs(found.coef_).max() < 1e4


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
@pytest.mark.parametrize("noise", [1e-9, 1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("shape", [(9, 12), (20, 66), (66, 20)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_nearly_dependent_unpenalised_columns_do_not_blow_up(shape, noise, model, seed):
    """Whatever digits are lost, the fit is finite and no worse than the mean."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], 2)) @ rng.integers(-1, 2, (2, shape[1]))
    X = X + noise * rng.standard_normal(shape)
    y = rng.standard_normal(shape[0])
    factors = rng.choice([0.0, 0.5, 1.0], shape[1])
    found = MODELS[model](penalty_weights=factors).fit(X, y)
    given_ = oracles.problem(X, y, ridge=model == "Ridge")
    assert np.isfinite(found.coef_).all()
    assert found.objective_ <= given_.objective(np.zeros(shape[1])) * (1 + 1e-9)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9])
@pytest.mark.parametrize("model", ["Lasso", "ElasticNet", "Ridge"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_certificate_knows_nearly_dependent_unpenalised_columns(model, distance):
    """What could still be gained along their difference is part of `dual_gap_`."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    X[:, 1] = X[:, 0] + distance * X[:, 1]
    factors = np.array([0.0, 0.0, 1.0])
    found = MODELS[model](penalty_weights=factors).fit(X, y)
    # The same problem with the difference as a column of its own is well conditioned.
    apart = np.column_stack([X[:, 0], (X[:, 1] - X[:, 0]) / distance, X[:, 2]])
    best = MODELS[model](penalty_weights=factors).fit(apart, y)
    keywords = {"Lasso": {}, "ElasticNet": {"l1_ratio": 0.6}, "Ridge": {"ridge": True, "alpha": 3.0}}[model]
    given_ = oracles.problem(X, y, penalty_weights=factors, **({"alpha": 0.1} | keywords))
    assert best.dual_gap_ <= 1e-13
    # A direction of that length is known to this precision only, and what it gains likewise.
    known = 10.0 * np.finfo(float).eps / distance
    assert given_.objective(found.coef_) - best.objective_ <= found.dual_gap_ * (1.0 + known) + 1e-12


def test_four_unpenalised_columns_in_three_rows():
    """Found at random: the walk along a null direction must not run away."""
    X = [
        [28.033881086341736, 300.0355116680834, 30.586908623537564, 301.710196008601, 1.0626439527099936],
        [31.38584994277825, 300.1482442373844, 32.49081367825883, 300.9221695773861, 0.8210248179422424],
        [28.43494460505853, 300.0638741746692, 30.049498328822885, 300.8405783697689, 0.6270559936086862],
    ]
    y = [-0.5332995099848555, -1.3863554740932051, -0.11548961162984614]
    more = {"alpha": 7e-6, "l1_ratio": 0.5, "penalty_weights": [0.0, 0.5, 0.0, 0.0, 0.0]}
    for kind in EVERY_KIND.values():
        found = ElasticNet(**more).fit(kind(X), y)
        assert_optimal(X, y, found.coef_, found.intercept_, tol=1e-8, dual_gap=found.dual_gap_, **more)


@pytest.mark.parametrize("model", ["Lasso", "ElasticNet"])
@pytest.mark.parametrize("alpha", [1e-1, 1e-4, 1e-8])
@pytest.mark.parametrize("correlation", [0.5, 30.0])
def test_interpolation(model, alpha, correlation):
    """More columns than rows and hardly a penalty: residuals near zero, and still optimal."""
    X, y = oracles.numbers(15, 50, seed=45, correlation=correlation)
    found = MODELS[model](alpha=alpha).fit(X, y)
    ratio = 1.0 if model == "Lasso" else 0.6
    assert_optimal(
        X,
        y,
        found.coef_,
        found.intercept_,
        alpha,
        ratio,
        objective=found.objective_,
        dual_gap=found.dual_gap_,
    )
    if model == "Lasso":
        assert np.count_nonzero(found.coef_) <= 15


@every_model
@every_kind
def test_constants(model, kind):
    """A constant column gets 0, a constant y gets zeros, and nobody warns."""
    X, y = oracles.holes(20, 4, seed=46)
    X[:, 2] = 0.1
    found = MODELS[model]().fit(EVERY_KIND[kind](X), y)
    assert found.coef_[2] == 0.0
    found = MODELS[model]().fit(EVERY_KIND[kind](X), np.full(20, -0.7))
    assert not found.coef_.any()
    assert found.intercept_ == pytest.approx(-0.7, rel=1e-15)
    assert found.dual_gap_ == 0.0
    assert found.objective_ == pytest.approx(0.0, abs=1e-25)


@every_kind
@with_and_without_intercept
@pytest.mark.parametrize("limits", [{"positive": True}, {"bounds": (-0.2, 0.3)}, {"bounds": (None, 0.1)}])
@pytest.mark.parametrize("shape", [(30, 6), (8, 20)])
@pytest.mark.parametrize("name", ["Lasso", "Ridge"])
def test_alpha_zero_within_bounds(name, limits, shape, kind, fit_intercept):
    """Least squares with bounds; non-negative least squares among them."""
    X, y = oracles.holes(*shape, seed=47)
    build = {"alpha": 0.0, "fit_intercept": fit_intercept, **limits}
    if name == "Ridge":
        found = Ridge(**build).fit(EVERY_KIND[kind](X), y)
    else:
        with pytest.warns(UserWarning, match="alpha=0"):
            found = Lasso(**build).fit(EVERY_KIND[kind](X), y)
    expected = oracles.problem(X, y, ridge=name == "Ridge", **build)
    best = float(expected.objective(oracles.bounded_ridge(expected)))
    square = float(expected.factor * expected.scale**2)
    assert found.objective_ == pytest.approx(best, abs=1e-13 * square)
    assert_optimal(X, y, found.coef_, found.intercept_, ridge=name == "Ridge", **build)


# ---------------------------------------------------------------------------------------------
# Certificates, and ways to get there
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 2, 1000])
@pytest.mark.parametrize("shape", [(60, 50), (100, 80), (30, 120)])
@pytest.mark.parametrize("kind", ["dense", "csr"])
@pytest.mark.parametrize("limits", [None, (0.0, None), (-0.1, 0.3)])
@pytest.mark.parametrize("loose", [0, 4])
def test_the_certificate_holds(max_iter, shape, kind, limits, loose):
    """`objective_` is the value at `coef_`, at most `dual_gap_` above the minimum, wherever a fit stops."""
    X, y = oracles.numbers(*shape, seed=48, correlation=4.0)
    factors = np.where(np.arange(shape[1]) < loose, 0.0, 1.0)
    keywords = {"penalty_weights": factors, "bounds": limits}
    for l1_ratio, alpha in ((1.0, 1e-3), (0.9, 1e-2), (None, 1.0)):
        if l1_ratio is None and limits is None:
            continue
        kind_of = {"ridge": True} if l1_ratio is None else {"l1_ratio": l1_ratio}
        model = estimator({"alpha": alpha, **kind_of, **keywords}).set_params(max_iter=max_iter, tol=1e9)
        model.fit(EVERY_KIND[kind](X), y)
        given_ = oracles.problem(X, y, alpha=alpha, **kind_of, **keywords)
        square = given_.factor * given_.scale**2
        value = given_.objective(model.coef_)
        assert abs(value - model.objective_) <= 1e-12 * square
        best = estimator({"alpha": alpha, **kind_of, **keywords}).fit(X, y)
        assert best.dual_gap_ <= 1e-12 * square
        assert value - given_.objective(best.coef_) <= model.dual_gap_ + 1e-12 * square


@pytest.mark.parametrize("model", ["Lasso", "ElasticNet"])
@every_kind
@pytest.mark.parametrize("shape", [(40, 12), (15, 60), (30, 600)])
def test_warm_start_equals_cold(model, kind, shape):
    """From another alpha's answer, from other data's, from an answer of the wrong size: the same solution."""
    X, y = oracles.holes(*shape, seed=49)
    X, warm = EVERY_KIND[kind](X), MODELS[model](warm_start=True)
    for alpha in (1.0, 0.01, 0.5, 0.05, 0.05):
        warm.set_params(alpha=alpha).fit(X, y)
        assert_same_fit(warm, MODELS[model](alpha=alpha).fit(X, y))
    warm.fit(X, -y[::-1])
    assert_same_fit(warm, MODELS[model](alpha=0.05).fit(X, -y[::-1]))
    warm.fit(X, np.column_stack([y, -y]))
    warm.fit(X, np.column_stack([2 * y, y]))
    assert_same_fit(warm, MODELS[model](alpha=0.05).fit(X, np.column_stack([2 * y, y])))
    warm.fit(X[:, :5], y)
    assert_same_fit(warm, MODELS[model](alpha=0.05).fit(X[:, :5], y))


@pytest.mark.parametrize("model", ["Lasso", "ElasticNet"])
def test_warm_start_obeys_the_new_penalty(model):
    """A start that is out of bounds, excluded, or on a column that has become constant, is put right."""
    X, y = oracles.holes(30, 8, seed=50)
    start = MODELS[model](warm_start=True, alpha=1e-3).fit(X, y)
    assert (start.coef_ != 0).sum() > 4
    start.set_params(bounds=(-0.05, 0.1), penalty_weights=[np.inf, 0.0, 1, 1, 1, 1, 1, 1], alpha=0.02)
    X[:, 3] = 1.0
    cold = MODELS[model](**{k: start.get_params()[k] for k in ("bounds", "penalty_weights", "alpha")}).fit(
        X, y
    )
    assert_same_fit(start.fit(X, y), cold)


@pytest.mark.parametrize("name", ["Lasso", "ElasticNet"])
def test_keywords_that_do_not_matter(name):
    """`precompute`, `selection`, `random_state` and `copy_X` leave the answer alone."""
    X, y = oracles.holes(30, 6, seed=51)
    plain = MODELS[name]().fit(X, y)
    for keywords in (
        {"precompute": True},
        {"precompute": X.T @ X},
        {"selection": "random", "random_state": 0},
    ):
        other = MODELS[name](**keywords, copy_X=False).fit(X, y)
        np.testing.assert_array_equal(other.coef_, plain.coef_)
    solvers = {
        Ridge(solver=name).fit(X, y).coef_.round(10).tobytes() for name in ("auto", "svd", "lsqr", "saga")
    }
    assert len(solvers) == 1


@every_model
@every_kind
def test_a_single_row_predicts_its_own_y(model, kind):
    """With an intercept, one row of data is explained by it alone."""
    X, y = oracles.holes(1, 3, seed=52, density=1.0)
    found = MODELS[model]().fit(EVERY_KIND[kind](X), y)
    assert not found.coef_.any()
    np.testing.assert_allclose(found.predict(X), y, rtol=1e-15)


@every_kind
@with_and_without_intercept
def test_tall_data_in_many_blocks(kind, fit_intercept, monkeypatch):
    """Rows cut into blocks on the way to their moments: the same answer, also far from zero."""
    from sparse_linear import _design

    X, y = oracles.holes(500, 6, seed=53)
    X[:, 1] += 1e3
    weights = weights_for(500)
    weights[:40] = 0.0
    monkeypatch.setattr(_design, "TILE", 64)
    for name in ("Lasso", "Ridge"):
        found = MODELS[name](fit_intercept=fit_intercept).fit(EVERY_KIND[kind](X), y, weights)
        keywords = {"alpha": 0.1} if name == "Lasso" else {"alpha": 3.0, "ridge": True}
        assert_optimal(
            X,
            y,
            found.coef_,
            found.intercept_,
            sample_weight=weights,
            fit_intercept=fit_intercept,
            tol=1e-10,
            **keywords,
        )


# ---------------------------------------------------------------------------------------------
# Beyond toy sizes
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize(
    ("shape", "kind", "density"),
    [
        ((150, 2000), "dense", 1.0),
        ((150, 2000), "csc", 0.05),
        ((300, 700), "csr", 0.3),
        ((1500, 100), "dense", 1.0),
    ],
)
def test_hundreds_of_active_features(shape, kind, density, l1_ratio):
    """Working sets that grow many times, at a hundredth of the first alpha."""
    X, y = oracles.holes(*shape, seed=80, density=density)
    given_as = EVERY_KIND[kind](X)
    alpha = 0.01 * alpha_grid(given_as, y, l1_ratio=l1_ratio, n_alphas=1)[0]
    found = ElasticNet(alpha, l1_ratio=l1_ratio).fit(given_as, y)
    assert np.count_nonzero(found.coef_) > 60
    assert_optimal(
        X,
        y,
        found.coef_,
        found.intercept_,
        alpha,
        l1_ratio,
        objective=found.objective_,
        dual_gap=found.dual_gap_,
    )


@pytest.mark.parametrize("alpha", [1.0, 1e-3, 0.0])
@pytest.mark.parametrize("storage", SPARSE)
def test_large_sparse_ridge(storage, alpha):
    """Iterations where there is a penalty, a factor where there is none: the gradient ends at rounding."""
    rng = np.random.default_rng(0)
    X = SPARSE[storage](sparse.random(3000, 2200, density=0.002, random_state=rng, format="csr"))
    y = rng.standard_normal(3000) + X @ np.ones(2200) + 5.0
    weights = rng.uniform(0.5, 2.0, 3000)
    found = Ridge(alpha).fit(X, y, weights)
    assert ("conjugate gradients" if alpha else "Cholesky") in found.solver_
    residual = weights * (y - X @ found.coef_ - found.intercept_)
    gradient = X.T @ residual - alpha * found.coef_
    lengths = np.sqrt((X.multiply(X)).sum(axis=0))
    assert abs(residual.sum()) <= 1e-10 * np.abs(residual).sum()
    assert np.abs(gradient).max() <= 1e-13 * lengths.max() * np.linalg.norm(y) * weights.max()


@pytest.mark.parametrize("shape", [(60, 5), (12, 30)])
@pytest.mark.parametrize("power", [-660, 500])
def test_huge_and_tiny_targets(shape, power):
    """Squares of y that overflow or vanish do not matter: coefficients scale with y, digit by digit."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal(shape), rng.standard_normal(shape[0])
    size = 2.0**power
    plain = Lasso(alpha=0.01).fit(X, y).coef_
    assert plain.any()
    np.testing.assert_array_equal(Lasso(alpha=0.01 * size).fit(X, y * size).coef_, plain * size)


@pytest.mark.parametrize("p", [5, 100])
@pytest.mark.parametrize("model", ["Lasso", "Ridge"])
def test_rows_without_weight_may_hold_huge_values(model, p):
    """Neither their X nor their y decides anything, not even a scale."""
    X, y = oracles.numbers(150, p, seed=21)
    weights = np.ones(150)
    weights[-1] = 0.0
    expected = MODELS[model](alpha=0.1).fit(X[:-1], y[:-1])
    X[-1], y[-1] = 1e200, 1e170
    found = MODELS[model](alpha=0.1).fit(X, y, weights)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-9, atol=1e-12)
    assert np.abs(found.coef_).max() > 0.0


def test_a_penalty_that_overflows_leaves_zeros():
    """Alpha in units of tiny columns is infinite: zero coefficients, no warning."""
    X, y = oracles.numbers(30, 8, seed=22)
    model = Lasso(alpha=1e300).fit(1e-5 * X, 1e-5 * y)
    assert not model.coef_.any()
    assert model.dual_gap_ == 0.0


@pytest.mark.filterwarnings("ignore")
def test_the_certificate_of_a_path_to_zero():
    """At alpha = 0 nothing is penalised: what nearly dependent columns could gain is part of the gap."""
    rng = np.random.default_rng(23)
    x, y = np.linalg.qr(rng.standard_normal((30, 2)))[0].T
    X = np.column_stack([x, x + 3e-7 * y])
    path = lasso_path(X, y, alphas=[0.001, 0.0])
    lowest = 0.0  # the difference of the columns is a multiple of y
    assert path.objectives[-1] - lowest <= path.dual_gaps[-1] * (1 + 1e-6) + 1e-15


@pytest.mark.parametrize("model", [Lasso(0.1), ElasticNet(0.1), LassoCV(alphas=5), None], ids=str)
@pytest.mark.parametrize("container", [np.asarray, sparse.csc_array])
def test_a_gram_matrix_must_be_that_of_the_data(model, container):
    """Who passes another matrix expects another answer than X gives."""
    X, y = oracles.numbers(40, 6)
    weights = np.linspace(0.5, 1.5, 40)

    def run(X, gram, weights=None):
        if model is None:
            return lasso_path(container(X), y, precompute=gram, sample_weight=weights)
        return model.set_params(precompute=gram).fit(container(X), y, sample_weight=weights)

    for weight in (None, weights):
        share = np.ones(40) if weight is None else weights / weights.mean()
        Z = X - np.average(X, axis=0, weights=weight)
        gram = (Z.T * share) @ Z
        run(Z, gram, weight)
        run(Z, gram.astype(np.float32), weight)
        with pytest.raises(
            ValueError, match=r"Gram matrix .* its entry \(3, 4\) is .*; give the Gram matrix of X"
        ):
            run(Z, gram / 40, weight)
    if model is not None:  # scikit-learn computes the matrix anew where X is yet to be centred
        run(X + 1.0, gram)


@pytest.mark.skipif("sparse_interface" not in sklearn.get_config(), reason="scikit-learn 1.9 and later")
def test_sparse_coefficients_are_what_scikit_learn_is_set_to():
    X, y = oracles.numbers(40, 6)
    model = Lasso(0.1).fit(X, y)
    for interface, container in (("sparray", sparse.csr_array), ("spmatrix", sparse.csr_matrix)):
        with sklearn.config_context(sparse_interface=interface):
            assert type(model.sparse_coef_) is container
            np.testing.assert_array_equal(model.sparse_coef_.toarray(), model.coef_[None])


def test_check_input_is_accepted():
    """Code that switches off scikit-learn's checks runs; ours are made all the same."""
    X, y = oracles.numbers(40, 6)
    expected = Lasso(0.1).fit(X, y).coef_
    np.testing.assert_array_equal(Lasso(0.1).fit(X, y, check_input=False).coef_, expected)
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        Lasso(0.1).fit(X, y, check_input=False)
