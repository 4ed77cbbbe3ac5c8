"""Nasty problems for everything that fits: nothing but documented errors, and never a wrong answer.

`tests/strategies.py` builds the problems; what an answer must satisfy is `oracles.assert_certified`, whose
minimum is computed in 120 digits. The ordinary run tries a few hundred, the same every time; the long run is
``pytest tests/test_fuzz.py --hypothesis-profile=fuzz``.
"""

import contextlib
import inspect
import re
import warnings
from unittest import mock

import numpy as np
import pytest
import sklearn.linear_model
from hypothesis import assume, event, given, note
from hypothesis import strategies as st
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

import sparse_linear as sl
from sparse_linear import _solve
from tests import oracles, strategies

# Relative to the mean square of y. No gap may be larger without a warning.
TOL = 1e-9
# Errors that valid data may meet.
DOCUMENTED = (
    "X must hold values below 1e150",
    "y must hold values below 1e150",
    "the number of features with penalty_weights of 0",
    "sample_weight is zero for all rows of fold",
    "The noise variance cannot be estimated",
    "Leave-one-out needs",
    "cannot be left out",
    "cv='gcv' is not defined",
    "An automatic grid needs the spectrum of X",
    "The largest alpha overflows",
    "The errors on rows left out overflow",
    "R^2 is not defined for one row",
)


@contextlib.contextmanager
def on_columns(wanted):
    """Send small problems to the solver for large ones, which works on the columns of X."""
    choose = _solve.select_solver

    def change(problem):
        choice = choose(problem)
        return choice._replace(moments=False) if choice.solver == "active set" else choice

    with mock.patch.object(_solve, "select_solver", change) if wanted else contextlib.nullcontext():
        yield


def fitted(fit):
    """What a fit returns, and whether it warned that it did not converge. Else only what is documented."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = fit()
        except ValueError as error:
            if not any(sentence in str(error) for sentence in DOCUMENTED):
                raise
            event(f"refused: {str(error)[:20]}")
            assume(False)
    for warning in caught:
        zero = "With alpha=0 there is no penalty" in str(warning.message)
        assert zero or warning.category is ConvergenceWarning, f"warned: {warning.message}"
    warned = any(warning.category is ConvergenceWarning for warning in caught)
    event("did not converge" if warned else "converged")
    return result, warned


def problem_of(data, keywords, alpha, l1_ratio, rows=None):
    """The oracle's problem; ``l1_ratio=None`` stands for `Ridge`, and `rows` for all of them."""
    rows = slice(None) if rows is None else rows
    kind = {"ridge": True} if l1_ratio is None else {"l1_ratio": l1_ratio}
    weights = None if data.weights is None else data.weights[rows]
    return oracles.problem(data.X[rows], data.y[rows], alpha=alpha, sample_weight=weights, **kind, **keywords)


def assert_true(problem, answer, warned, **more):
    """Coefficients, intercept, objective and gap are what they say; without a warning the gap is small."""
    oracles.assert_certified(problem, *answer, **more)
    if not warned:
        assert answer[-1] <= 1.01 * TOL * problem.factor * problem.scale**2, (
            f"no warning, and gap {answer[-1]}"
        )


def answer_of(model):
    return model.coef_, model.intercept_, model.objective_, model.dual_gap_


def estimator(l1_ratio, alpha, **keywords):
    if l1_ratio is None:
        return sl.Ridge(alpha, tol=TOL, **keywords)
    if l1_ratio == 1.0:
        return sl.Lasso(alpha, tol=TOL, **keywords)
    return sl.ElasticNet(alpha, l1_ratio=l1_ratio, tol=TOL, **keywords)


def test_the_minimum_itself():
    """The reference is the best of all faces, wherever it starts, and with forty more columns than rows."""
    X, y = oracles.numbers(6, 4, seed=9)
    bounds = np.array([-0.2, -np.inf, 0.0, -np.inf]), np.array([np.inf, 0.3, np.inf, 0.0])
    problem = oracles.problem(X, y, alpha=0.05, l1_ratio=0.9, bounds=bounds)
    Z, share = problem.Z.astype(float), problem.share.astype(float)
    gram, corr = (Z.T * share) @ Z, (Z.T * share) @ problem.target.astype(float)
    limits = (part.astype(float) for part in (problem.l1, problem.l2, problem.lower, problem.upper))
    _, value = oracles.enumerate_faces(gram, corr, *limits)
    expected = value + float(problem.scale**2) / 2
    rng = np.random.default_rng(0)
    for start in (np.zeros(4), np.ones(4), *rng.standard_normal((5, 4)), np.full(4, -1e200)):
        assert float(oracles.minimum(problem, start)) == pytest.approx(expected, rel=1e-12)
    X, y = oracles.numbers(8, 48, seed=10)
    problem = oracles.problem(X, y, alpha=0.1)
    exact = sl.Lasso(0.1, tol=0.0).fit(X, y).coef_
    least = [oracles.minimum(problem, start) for start in (exact, np.zeros(48))]
    assert float(problem.objective(exact)) == pytest.approx(float(least[0]), rel=1e-13)
    np.testing.assert_allclose(np.array(least, dtype=float), float(least[0]), rtol=1e-15)


l1_ratios = st.one_of(st.none(), strategies.RATIOS)


@given(st.data())
def test_estimators(source):
    """One fit, on the moments of X or on its columns."""
    data = source.draw(strategies.data())
    l1_ratio = source.draw(l1_ratios, label="l1_ratio")
    keywords = source.draw(strategies.limits(data))
    alpha = source.draw(strategies.alphas(data, keywords, l1_ratio))[0]
    model = estimator(l1_ratio, alpha, **keywords)
    with on_columns(source.draw(st.booleans(), label="on columns")):
        _, warned = fitted(lambda: model.fit(*data.given))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    assert_true(problem_of(data, keywords, alpha, l1_ratio), answer_of(model), warned)
    assert np.isfinite(model.predict(data.stored)).all()


@given(st.data())
def test_wide(source):
    """More columns than the moments of a small X are made for, most of them alike."""
    data = source.draw(strategies.data(wide=True))
    l1_ratio = source.draw(st.sampled_from([1.0, 0.99, 0.9]), label="l1_ratio")
    keywords = source.draw(strategies.limits(data))
    alpha = source.draw(strategies.alphas(data, keywords, l1_ratio))[0]
    model = estimator(l1_ratio, alpha, **keywords)
    _, warned = fitted(lambda: model.fit(*data.given))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    assert_true(problem_of(data, keywords, alpha, l1_ratio), answer_of(model), warned)


@given(st.data())
def test_beside_scikit_learn(source):
    """What scikit-learn can fit too, it does not fit better, with a tolerance of 1e-12."""
    data = source.draw(strategies.data())
    l1_ratio = source.draw(st.sampled_from([1.0, 0.5, 0.99, None]), label="l1_ratio")
    plain = {"fit_intercept": source.draw(st.booleans()), "positive": source.draw(st.booleans())}
    alpha = source.draw(strategies.alphas(data, plain, l1_ratio))[0]
    assume(alpha > 0.0)
    ours = estimator(l1_ratio, alpha, **plain)
    _, warned = fitted(lambda: ours.fit(*data.given))
    note(f"{data!r} {ours!r} {ours.solver_} {ours.status_}")
    settings = {"tol": 1e-12, "max_iter": 2000} | ({} if l1_ratio in (None, 1.0) else {"l1_ratio": l1_ratio})
    theirs = getattr(sklearn.linear_model, type(ours).__name__)(alpha, **plain, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs.fit(data.X.astype(np.float64), data.y, data.weights)
        except (ValueError, np.linalg.LinAlgError, FloatingPointError):
            assume(False)  # overflow, there
    assume(np.isfinite(theirs.coef_).all())
    problem = problem_of(data, plain, alpha, l1_ratio)
    # Columns that count as constant here may have coefficients there.
    best = problem.objective(np.where(problem.constant, 0.0, theirs.coef_))
    # Extended precision holds more; ours, in float64, may be infinite.
    most = np.float64(best + oracles.rounding_of(problem, theirs.coef_, best))
    most += ours.dual_gap_ if warned else 0.0  # what it has not reached, it says
    assert ours.objective_ <= most, f"{ours.objective_ - best:.2e} above scikit-learn's"


@given(st.data())
def test_paths(source):
    """Every entry of a path, over alphas that are given or from a grid."""
    data = source.draw(strategies.data())
    l1_ratio = source.draw(l1_ratios, label="l1_ratio")
    keywords = source.draw(strategies.limits(data))
    if l1_ratio and source.draw(st.booleans(), label="grid"):
        eps = source.draw(st.sampled_from([1e-3, 1.0, 1e-15, 1e-300]), label="eps")
        alphas = {"alphas": source.draw(st.integers(1, 6), label="number of alphas"), "eps": eps}
    else:
        alphas = {"alphas": source.draw(strategies.alphas(data, keywords, l1_ratio, size=4))}
    function = {None: sl.ridge_path, 1.0: sl.lasso_path}.get(l1_ratio, sl.enet_path)
    ratio = {"l1_ratio": l1_ratio} if function is sl.enet_path else {}
    with on_columns(source.draw(st.booleans(), label="on columns")):
        path, warned = fitted(
            lambda: function(
                data.stored, data.y, sample_weight=data.weights, tol=TOL, **ratio, **alphas, **keywords
            )
        )
    note(f"{data!r} {keywords} {path.alphas} {path.solver} {path.statuses}")
    assert (np.diff(path.alphas) <= 0).all()
    for k, alpha in enumerate(path.alphas):
        answer = path.coefs[:, k], path.intercepts[k], path.objectives[k], path.dual_gaps[k]
        assert_true(problem_of(data, keywords, alpha, l1_ratio), answer, warned)


@given(st.data())
def test_alpha_for(source):
    """The alpha for a size is a number, and the fit there is exact; its size is not checked here."""
    data = source.draw(strategies.data())
    keywords = source.draw(strategies.limits(data))
    size = source.draw(st.integers(1, 4), label="n_nonzero")
    alpha, _ = fitted(
        lambda: sl.alpha_for(data.stored, data.y, n_nonzero=size, sample_weight=data.weights, **keywords)
    )
    assert 0.0 <= alpha < np.inf
    model = sl.Lasso(alpha, tol=TOL, **keywords)
    _, warned = fitted(lambda: model.fit(*data.given))
    budget = model.objective_
    note(f"{data!r} {keywords} {alpha} {budget}")
    assert_true(problem_of(data, keywords, alpha, 1.0), answer_of(model), warned)


@given(st.data())
def test_cross_validation(source):
    """Every fit of every fold is the least there is, errors are those of its coefficients."""
    data = source.draw(strategies.data(min_rows=2))
    ratios = source.draw(st.lists(strategies.RATIOS.filter(bool), min_size=1, max_size=2, unique=True))
    keywords = source.draw(strategies.limits(data))
    folds = source.draw(strategies.folds(len(data.y)), label="folds")
    alphas = 4
    if source.draw(st.booleans(), label="own alphas"):
        alphas = source.draw(strategies.alphas(data, keywords, ratios[0], size=3))
    build = {"cv": folds, "alphas": alphas, "tol": TOL, "store_fold_coefs": True, **keywords}
    if ratios == [1.0]:
        model = sl.LassoCV(**build)
    else:
        model = sl.ElasticNetCV(l1_ratio=ratios, **build)
    with on_columns(source.draw(st.booleans(), label="on columns")):
        _, warned = fitted(lambda: model.fit(*data.given))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    assert_true(problem_of(data, keywords, model.alpha_, model.l1_ratio_), answer_of(model), warned)
    assert model.alpha_ in model.alphas_
    single = data.X.dtype == np.float32
    errors = model.mse_path_.reshape(len(ratios), -1, len(folds))
    assert np.isfinite(errors).all()
    grids = np.broadcast_to(model.alphas_, errors.shape[:2])
    for number, (train, test) in enumerate(folds):
        for r, ratio in enumerate(ratios):
            for k in source.draw(st.sets(st.sampled_from(range(grids.shape[1])), max_size=1), label="judged"):
                problem = problem_of(data, keywords, grids[r, k], ratio, train)
                coef = model.fold_coefs_[number, r, 0, :, k]
                if not warned and not single:
                    gap = 1.01 * TOL * problem.factor * problem.scale**2
                    oracles.assert_near_minimum(problem, coef, problem.objective(coef), gap)
                weights = np.ones(len(test)) if data.weights is None else data.weights[test]
                level = model.fold_intercepts_[number, r, 0, k]
                apart = oracles.dense(data.X[test]) @ coef + level - data.y[test]
                size = (
                    np.abs(oracles.dense(data.X[test])) @ np.abs(coef) + np.abs(level) + np.abs(data.y[test])
                )
                mean = np.average(apart**2, weights=weights)
                slack = np.sqrt(np.average(size**2, weights=weights)) * (1e-5 if single else 1e-12)
                allowed = slack**2 + 2 * slack * np.sqrt(mean) + 1e-9 * mean + np.finfo(np.float64).tiny
                assert abs(errors[r, k, number] - mean) <= allowed, f"{errors[r, k, number]}, not {mean}"


@given(st.data())
def test_ridge_cross_validation(source):
    """The chosen fit is exact, and errors are finite; what they are is checked in `test_ridge_cv.py`."""
    data = source.draw(strategies.data(min_rows=2))
    keywords = source.draw(strategies.limits(data))
    alphas = source.draw(strategies.alphas(data, keywords, None, size=3))
    # With bounds, or no penalty, there is no formula for the errors of leaving rows out.
    plain = "bounds" not in keywords and "positive" not in keywords and alphas.all()
    formulas = [st.none(), st.just("gcv")] if plain else []
    cv = source.draw(st.one_of(*formulas, strategies.folds(len(data.y))), label="cv")
    model = sl.RidgeCV(alphas, cv=cv, tol=TOL, **keywords)
    _, warned = fitted(lambda: model.fit(*data.given))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    assert_true(problem_of(data, keywords, model.alpha_, None), answer_of(model), warned)
    assert np.isfinite(model.mse_path_).all()
    assert np.isfinite(model.coef_path_).all()


@given(st.data())
def test_information_criteria(source):
    """The chosen fit is exact, the criterion a number, the degrees of freedom no more than there are."""
    data = source.draw(strategies.data())
    l1_ratio = source.draw(strategies.RATIOS.filter(bool), label="l1_ratio")
    keywords = source.draw(strategies.limits(data))
    criterion = source.draw(st.sampled_from(["aic", "aicc", "bic", "ebic"]), label="criterion")
    alphas = source.draw(st.sampled_from([None, 5]), label="alphas")
    if l1_ratio == 1.0:
        model = sl.LassoIC(criterion, alphas=alphas, tol=TOL, **keywords)
    else:
        model = sl.ElasticNetIC(criterion, l1_ratio=l1_ratio, alphas=alphas, tol=TOL, **keywords)
    _, warned = fitted(lambda: model.fit(*data.given))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    assert_true(problem_of(data, keywords, model.alpha_, l1_ratio), answer_of(model), warned)
    assert 0.0 < model.noise_variance_ < np.inf
    assert not np.isnan(model.criterion_).any()
    assert (model.degrees_of_freedom_ <= min(data.X.shape) + 1e-6).all()
    assert (model.degrees_of_freedom_ >= 0.0).all()


@given(st.data())
def test_moments(source):
    """Fits to the moments of rows that come in chunks: the certificate is true for the rows."""
    data = source.draw(strategies.data())
    l1_ratio = source.draw(l1_ratios, label="l1_ratio")
    keywords = source.draw(strategies.limits(data))
    alpha = source.draw(strategies.alphas(data, keywords, l1_ratio))[0]
    height = source.draw(st.integers(1, 5), label="rows in a chunk")
    X = data.stored.tocsr() if hasattr(data.stored, "tocsr") else data.stored
    cuts = [slice(top, top + height) for top in range(0, len(data.y), height)]
    chunks = [(X[rows], data.y[rows], None if data.weights is None else data.weights[rows]) for rows in cuts]
    model = estimator(l1_ratio, alpha, **keywords)
    _, warned = fitted(lambda: model.fit_moments(sl.Moments.from_chunks(chunks)))
    note(f"{data!r} {model!r} {model.solver_} {model.status_}")
    # Squares have half of the digits: what is dependent to 1e-6 is so for moments.
    problem = problem_of(data, keywords, alpha, l1_ratio)
    assert_true(problem, answer_of(model), warned, cancelling=1e-12)


MODELS = [
    sl.Lasso,
    sl.ElasticNet,
    sl.Ridge,
    sl.LassoCV,
    sl.ElasticNetCV,
    sl.RidgeCV,
    sl.LassoIC,
    sl.ElasticNetIC,
]


@given(st.data())
def test_nonsense(source):
    """Any value for any argument: a fit, or an error whose sentence names it, and nothing changed."""
    kind = source.draw(st.sampled_from(MODELS), label="class")
    X, y = oracles.numbers(5, 2, seed=1)
    names = [name for name in inspect.signature(kind).parameters if name not in ("verbose", "random_state")]
    arguments = {"X": X, "y": y, "sample_weight": None}
    name = source.draw(st.sampled_from([*names, *arguments]), label="argument")
    value = source.draw(strategies.NONSENSE, label="value")
    model = kind() if name in arguments else kind(**{name: value})
    if name in arguments:
        arguments[name] = value
    before = dict(vars(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # alpha = 0, and no convergence for max_iter = 1
        try:
            model.fit(**arguments)
        except (TypeError, ValueError) as error:
            sentence = str(error)
            words = {"l1_ratio": "l1_ratio|ridge", "bounds": "bound", "sample_weight": "sample_weight|weight"}
            words |= {"cv": "cv|fold", "X": "X|array|samples|sample|feature", "y": r"\by\b|array|target"}
            assert re.search(words.get(name, name), sentence), f"{name}={value!r}: {sentence}"
            assert vars(model).keys() == before.keys()
        else:
            assert np.isfinite(model.coef_).all()


# ---------------------------------------------------------------------------------------------
# What was found
# ---------------------------------------------------------------------------------------------


def test_sparse_chunks_far_from_zero():
    """Centring by subtraction would leave nothing of the spread, and make a slope of a constant."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(40) + 1e8, np.full(40, 0.1), rng.standard_normal(40)])
    y = X[:, 0] - 1e8 + 0.1 * rng.standard_normal(40)
    whole = sl.Ridge(0.1).fit(X, y)
    for kind in (sparse.csr_array, sparse.csc_array):
        chunks = [(kind(X[top : top + 10]), y[top : top + 10]) for top in range(0, 40, 10)]
        found = sl.Ridge(0.1).fit_moments(sl.Moments.from_chunks(chunks))
        np.testing.assert_allclose(found.coef_, whole.coef_, rtol=1e-7, atol=1e-12)
        assert found.coef_[1] == 0.0


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_a_fold_without_any_usable_column(kind):
    """Every column is constant where a fold is fitted, or everywhere."""
    X, y = np.array([[0.0], [0.0], [0.0], [5.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    folds = [([0, 1, 2], [3]), ([1, 2], [0, 3])]
    for weights in (None, [0.0]):
        model = sl.RidgeCV(cv=folds, scoring="neg_mean_squared_error", penalty_weights=weights)
        model.fit(kind(X), y)
        np.testing.assert_allclose(model.mse_path_[:, 0], 4.0)
    constant = sl.RidgeCV().fit(kind(np.ones((4, 2))), y)
    assert not constant.coef_.any()
    assert not sl.LassoIC().fit(kind(np.ones((4, 2))), y).coef_.any()
    assert not sl.ElasticNetIC().fit(kind(np.ones((4, 70))), y).coef_.any()


def test_alphas_from_one_end_of_the_numbers_to_the_other():
    """Steps between alphas are taken in logarithms; a grid never rises by rounding."""
    X, y = oracles.numbers(20, 4, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # no certificate is that tight
        path = sl.lasso_path(X, y, alphas=[1e300, 1.0, 1e-300, 5e-324])
    assert np.isfinite(path.coefs).all()
    assert not path.coefs[:, 0].any()
    for seed in range(20):
        X, y = oracles.numbers(20, 4, seed=seed)
        assert (np.diff(sl.alpha_grid(X, y, eps=1.0, n_alphas=7)) <= 0.0).all()
    with pytest.raises(ValueError, match="The largest alpha overflows"):
        sl.enet_path(X, 1e9 * y, l1_ratio=1e-300)


def test_penalties_that_overflow_or_vanish():
    """An infinite penalty holds its feature at zero; one below all rounding is none."""
    X, y = oracles.numbers(6, 9, seed=4)
    huge = np.append(np.ones(8), 1e200)
    for model in (sl.Ridge(1.0), sl.Ridge(1.0, positive=True), sl.ElasticNet(1.0)):
        held = model.set_params(penalty_weights=1 / huge**1.5).fit(X / huge, y).coef_
        assert np.isfinite(held).all()
    for model in (sl.Ridge(1e-300), sl.Ridge(1e-100), sl.ElasticNet(1e-100, l1_ratio=0.0)):
        assert model.fit(X, y).dual_gap_ <= 1e-12 * np.var(y)
    column = 1e147 * X[:, :1]
    assert sl.Ridge(1.0).fit(column, y, np.full(6, 1e11)).coef_[0] != 0.0


def test_squares_that_overflow_in_the_table_of_scores():
    """Errors near 1e228 have a mean and a spread, and squares that do not exist."""
    X, y = oracles.numbers(20, 3, seed=5)
    plain, large = sl.LassoCV(alphas=5).fit(X, y), sl.LassoCV(alphas=5).fit(X, 2.0**380 * y)
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(large.cv_results_[name], 2.0**760 * plain.cv_results_[name], rtol=1e-9)
    with pytest.raises(ValueError, match="errors on rows left out overflow"):
        sl.LassoCV(alphas=5).fit(X, 1e160 * y)
    assert np.isfinite(sl.RidgeCV().fit(X, 2.0**380 * y).coef_).all()


def test_degrees_of_freedom_are_a_rank():
    """Columns without a penalty may be more than the rows."""
    X, y = oracles.numbers(4, 6, seed=6)
    model = sl.ElasticNetIC(l1_ratio=0.5, penalty_weights=[0, 0, 0, 0, 0, 1], noise_variance=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.degrees_of_freedom_.max() <= 3 + 1e-9


@pytest.mark.parametrize("seed", range(5))
def test_knots_of_near_copies(seed):
    """Columns that are equal to nine digits can all be on the path."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(12)
    X = np.column_stack([x + 1e-9 * rng.standard_normal(12) for _ in range(4)] + [2 * x])
    y = np.where(np.arange(12) == 6, -1.3, 0.0)
    weights = rng.uniform(0.3, 1.0, 5)
    for size in (1, 2, 3, 4):
        assert 0.0 <= sl.alpha_for(X, y, n_nonzero=size, penalty_weights=weights) < np.inf


def test_least_squares_on_columns_of_all_sizes():
    """The shortest solution must not lose the directions that only columns in small units have."""
    X = np.array([[1.0, 2.5e-2, 1e100], [1.0, -3.5e-2, 1e100]])
    y = np.array([1.0, -2.0])
    with pytest.warns(UserWarning, match="alpha=0"):
        model = sl.Lasso(0.0, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.predict(X), y, rtol=1e-9)


def test_columns_whose_squares_vanish_count_as_constant():
    """As those do whose squares overflow as an error: there is nothing to compute with."""
    X, y = oracles.numbers(20, 2, seed=7)
    model = sl.Lasso(0.01).fit(X * [1.0, 1e-160], y)
    assert model.coef_[1] == 0.0
    assert model.dual_gap_ <= 1e-12
    assert not sl.Lasso(1.0, positive=True).fit(1e-310 * X, 1e-313 * y).coef_.any()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (sl.LassoCV(relax=[1, [2]]), "relax"),
        (sl.LassoCV(scoring={}), "scoring"),
        (sl.Lasso(precompute=[1, [2]]), "precompute"),
    ],
)
def test_sentences_name_the_argument(model, name):
    """Lists whose entries differ in length, and an empty dictionary."""
    with pytest.raises((TypeError, ValueError), match=name):
        model.fit(*oracles.numbers(5, 2))


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("alphas", [[5e-324], [1e-280], [1.0, 5e-324]])
@pytest.mark.parametrize("size", [1.0, 1e-100])
def test_a_penalty_that_vanishes_on_wide_data(kind, alphas, size):
    """Dual coefficients are the residual divided by alpha; where that overflows, they are done without."""
    X, y = oracles.numbers(4, 6, seed=8)
    path = sl.ridge_path(kind(size * X), y, alphas, fit_intercept=True, penalty_weights=[0, 1, 2, 3, 4, 5])
    np.testing.assert_allclose(size * X @ path.coefs[:, -1] + path.intercepts[-1], y, rtol=1e-9)
    assert path.dual_gaps[-1] <= 1e-12 * np.var(y)


@pytest.mark.parametrize("alpha", [0.0, 1e100])
def test_moments_of_columns_that_only_rounding_tells_apart(alpha):
    """The second column pulls at a residual that moments cannot reduce: the gap says by how much it might."""
    x = np.array([46510288928768.0, -1736553927802880.0, -894828854378496.0])
    X = np.column_stack([x, [-9.302057457638568e-10, 3.473108023399618e-08, 1.7896576665066277e-08]])
    y = np.full(3, 1e6)
    free = {"fit_intercept": False, "penalty_weights": [0.0, 0.0], "l1_ratio": 0.0}
    model = sl.ElasticNet(alpha, **free)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no convergence; and alpha = 0
        model.fit_moments(sl.Moments.from_data(X, y))
    problem = oracles.problem(X, y, alpha=alpha, **free)
    oracles.assert_certified(problem, *answer_of(model), cancelling=1e-12)
    assert model.dual_gap_ > 1e-6 * problem.factor * problem.scale**2


def test_dual_coefficients_whose_squares_vanish():
    """One row, and an alpha as large as the square of what it holds."""
    X, y, alpha = np.array([[0.1, -0.1, 6.4e78]]), np.array([-0.5]), 1.2e157
    model = sl.Ridge(alpha, fit_intercept=False).fit(X, y)
    residual = y[0] - X[0] @ model.coef_
    assert model.objective_ == pytest.approx(residual**2 + (alpha * model.coef_) @ model.coef_, rel=1e-14)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_penalties_that_are_finite_only_as_a_whole(l1_ratio):
    """An alpha times a coefficient overflows, times a standard deviation it does not."""
    X, y, alpha = np.array([[2e-3, -1e-3, 3e-3]]), np.array([1e154]), 1e153
    model = sl.ElasticNet(alpha, l1_ratio=l1_ratio, fit_intercept=False, standardize=True).fit(X, y)
    exact = oracles.problem(X, y, alpha=alpha, l1_ratio=l1_ratio, fit_intercept=False, standardize=True)
    assert model.coef_.any()
    assert model.objective_ == pytest.approx(float(exact.objective(model.coef_)), rel=1e-12)


def test_a_start_where_units_overflow():
    """Denormal targets: one unit of y is more than the largest number times one of X."""
    X, _ = oracles.numbers(8, 3, seed=17)
    X[:, 0] *= 1e-309
    y = 1e-309 * X[:, 1]
    model = sl.Lasso(1e-320, warm_start=True).fit(X, y)
    first = model.coef_.copy()
    np.testing.assert_allclose(model.fit(X, y).coef_, first, rtol=0, atol=1e-320)
    model.coef_ = np.array([0.0, 1e300, 0.0])
    np.testing.assert_allclose(model.fit(X, y).coef_, first, rtol=0, atol=1e-320)


@pytest.mark.parametrize("seed", [7, 274, 298, 317, 323, 353])
def test_penalties_nearly_as_small_as_rounding(seed):
    """Of two near copies one has no penalty: what remains at rest may still be no minimum."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=2)
    X, y = np.column_stack([x, x * (1.0 + 4e-12 * rng.normal(size=2))]), rng.normal(size=2)
    alpha = 6.5e-13 * 10.0 ** rng.uniform(-1, 2)
    how = {"fit_intercept": False, "penalty_weights": np.array([1.0, 0.0])}
    model = sl.Lasso(alpha, **how).fit(X, y)
    oracles.assert_certified(oracles.problem(X, y, alpha=alpha, l1_ratio=1.0, **how), *answer_of(model))


def test_standardised_penalties_keep_their_digits():
    """A column so small that its square times its penalty weight is denormal."""
    X, y = np.array([[0.1, 6.2e-151]]), np.array([-2.2])
    how = {"fit_intercept": False, "standardize": True, "penalty_weights": np.array([7.6e1, 2.4e-6])}
    weights = np.array([3.5e11])
    model = sl.Ridge(7.3e18, **how).fit(X, y, weights)
    problem = oracles.problem(X, y, alpha=7.3e18, sample_weight=weights, ridge=True, **how)
    oracles.assert_certified(problem, *answer_of(model))
