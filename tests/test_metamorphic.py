"""What must not change the answer, or change it in one known way, for nasty problems too.

For well-behaved ones `test_estimators.py`, `test_path.py` and `test_cv.py` compare coefficients. Here the
problems are those of `tests/strategies.py`, where coefficients may be ill-determined; what is compared is the
objective, which is not.
"""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

import sparse_linear as sl
from tests import oracles, strategies

RATIOS = st.sampled_from([None, 1.0, 0.5, 0.01])


def fitted(model, X, y, weights=None):
    """The model, if its certificate is tight: what is not solved to the end has no unique answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return model.fit(X, y, weights)
        except ValueError as error:
            assume("X must hold values below 1e150" not in str(error))
            raise


def estimator(l1_ratio, alpha, **keywords):
    if l1_ratio is None:
        return sl.Ridge(alpha, **keywords)
    return sl.ElasticNet(alpha, l1_ratio=l1_ratio, **keywords)


class Given:
    """A problem, a fit of it, and what rounding may do to its objective."""

    def __init__(self, source):
        self.data = source.draw(strategies.data())
        self.l1_ratio = source.draw(RATIOS, label="l1_ratio")
        self.keywords = source.draw(strategies.limits(self.data))
        self.alpha = float(source.draw(strategies.alphas(self.data, self.keywords, self.l1_ratio))[0])
        assume(1e-100 < self.alpha < 1e100)
        kind = {"ridge": True} if self.l1_ratio is None else {"l1_ratio": self.l1_ratio}
        self.problem = oracles.problem(
            self.data.X,
            self.data.y,
            alpha=self.alpha,
            sample_weight=self.data.weights,
            **kind,
            **self.keywords,
        )
        self.model = self.fit()
        self.rounding = oracles.rounding_of(self.problem, self.model.coef_, self.model.objective_)

    def fit(self, X=None, y=None, weights=None, alpha=None, **keywords):
        """A fit to the problem, with some of it replaced."""
        X = self.data.stored if X is None else X
        y = self.data.y if y is None else y
        weights = self.data.weights if weights is None else weights
        assume(np.abs(y).max() < 1e150)  # beyond, the objective is no number
        keywords = self.keywords | keywords
        return fitted(
            estimator(self.l1_ratio, self.alpha if alpha is None else alpha, **keywords), X, y, weights
        )

    def assert_same(self, other, factor=1.0):
        """Another fit has the same objective, within the gaps of both and rounding."""
        apart = abs(other.objective_ / factor - self.model.objective_)
        assert apart <= self.model.dual_gap_ + other.dual_gap_ / factor + 2 * self.rounding


def reordered(keywords, columns):
    """Keywords for columns in another order, some of them perhaps more than once."""
    found = dict(keywords)
    if "penalty_weights" in keywords:
        found["penalty_weights"] = keywords["penalty_weights"][columns]
    if "bounds" in keywords:
        found["bounds"] = tuple(end[columns] for end in keywords["bounds"])
    return found


@given(st.data())
def test_the_order_of_rows_and_columns(source):
    """Permutations change nothing."""
    some = Given(source)
    n, p = some.data.X.shape
    rows, columns = source.draw(st.permutations(range(n))), source.draw(st.permutations(range(p)))
    weights = None if some.data.weights is None else some.data.weights[rows]
    keywords = reordered(some.keywords, columns)
    some.assert_same(some.fit(some.data.X[rows][:, columns], some.data.y[rows], weights, **keywords))


@given(st.data())
def test_units_of_the_target(source):
    """Y, alpha's l1 part and bounds times a power of two: the objective times its square."""
    some = Given(source)
    assume(some.l1_ratio in (None, 1.0))
    factor = 2.0 ** source.draw(st.integers(-40, 40))
    keywords = dict(some.keywords)
    if "bounds" in keywords:
        keywords["bounds"] = tuple(end * factor for end in keywords["bounds"])
    alpha = some.alpha if some.l1_ratio is None else some.alpha * factor
    some.assert_same(some.fit(y=some.data.y * factor, alpha=alpha, **keywords), factor**2)


@given(st.data())
def test_units_of_standardised_columns(source):
    """With `standardize`, columns times powers of two and bounds over them change nothing."""
    some = Given(source)
    assume(some.keywords["standardize"])
    p = some.data.X.shape[1]
    powers = source.draw(st.lists(st.integers(-20, 20), min_size=p, max_size=p))
    assume(some.problem.norm[some.problem.norm > 0].min(initial=1) > 1e-140)
    assume(some.problem.norm.max() < 1e140)
    assume(some.data.X.dtype == np.float64)
    units = 2.0 ** np.array(powers)
    keywords = dict(some.keywords)
    if "bounds" in keywords:
        keywords["bounds"] = tuple(end / units for end in keywords["bounds"])
    some.assert_same(some.fit(some.data.X * units, **keywords))


@given(st.data())
def test_weights_are_repetition(source):
    """A row of weight 3 is that row three times; a row of weight 0 is none."""
    some = Given(source)
    n = len(some.data.y)
    counts = np.array(source.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any)))
    weighted = some.fit(some.data.X, weights=counts.astype(float))
    many = np.repeat(np.arange(n), counts)
    repeated = fitted(
        estimator(some.l1_ratio, some.alpha, **some.keywords), some.data.X[many], some.data.y[many]
    )
    problem = oracles.problem(
        some.data.X,
        some.data.y,
        alpha=some.alpha,
        sample_weight=counts,
        ridge=some.l1_ratio is None,
        l1_ratio=some.l1_ratio or 0.0,
        **some.keywords,
    )
    rounding = oracles.rounding_of(problem, weighted.coef_, weighted.objective_)
    apart = abs(weighted.objective_ - repeated.objective_)
    assert apart <= weighted.dual_gap_ + repeated.dual_gap_ + 2 * rounding


@given(st.data())
def test_a_copy_of_a_column(source):
    """A copy of a column that has only an l1 penalty, and no bounds, adds nothing."""
    some = Given(source)
    assume(some.l1_ratio == 1.0 and "bounds" not in some.keywords)
    p = some.data.X.shape[1]
    columns = [*range(p), source.draw(st.integers(0, p - 1))]
    some.assert_same(some.fit(some.data.X[:, columns], **reordered(some.keywords, columns)))


@given(st.data())
def test_more_penalty_never_lowers_the_loss(source):
    """The loss grows with alpha, and the penalty without its factor falls."""
    some = Given(source)
    more = some.alpha * source.draw(st.sampled_from([1.5, 10.0, 1e6]))
    other = some.fit(alpha=more)

    def parts(model):
        coef = model.coef_.astype(oracles.LONG)
        penalty = some.problem.factor * some.problem.penalty(coef)
        return some.problem.objective(coef) - penalty, penalty

    (loss, _), (larger, _) = parts(some.model), parts(other)
    # From the optimality of both: the difference of the losses is at least minus what the gaps allow.
    ratio = more / (more - some.alpha)
    single = 1e7 if some.data.X.dtype == np.float32 else 1.0
    rounding = single * (some.rounding + oracles.rounding_of(some.problem, other.coef_, other.objective_))
    assert larger >= loss - ratio * (some.model.dual_gap_ + other.dual_gap_ + 2 * rounding)


@given(st.data())
def test_warm_starts(source):
    """From the answer for another alpha, or for another target: as from nothing."""
    some = Given(source)
    assume(some.l1_ratio is not None)
    warm = sl.ElasticNet(
        some.alpha * source.draw(st.sampled_from([0.1, 3.0])),
        l1_ratio=some.l1_ratio,
        warm_start=True,
        **some.keywords,
    )
    fitted(warm, some.data.stored, source.draw(st.sampled_from([1.0, -1.0])) * some.data.y, some.data.weights)
    warm.set_params(alpha=some.alpha)
    some.assert_same(fitted(warm, *some.data.given))


@given(st.data())
def test_a_path_is_many_fits(source):
    """Whatever else is on the path."""
    some = Given(source)
    others = [some.alpha * factor for factor in source.draw(st.lists(st.sampled_from([0.01, 0.5, 7.0, 1e4])))]
    function = sl.ridge_path if some.l1_ratio is None else sl.enet_path
    ratio = {} if some.l1_ratio is None else {"l1_ratio": some.l1_ratio}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        path = function(
            some.data.stored,
            some.data.y,
            alphas=[some.alpha, *others],
            sample_weight=some.data.weights,
            **ratio,
            **some.keywords,
        )
    at = int(np.flatnonzero(path.alphas == some.alpha)[0])
    apart = abs(path.objectives[at] - some.model.objective_)
    assert apart <= some.model.dual_gap_ + path.dual_gaps[at] + 2 * some.rounding


@pytest.mark.parametrize("Model", [sl.LassoCV, sl.ElasticNetCV, sl.RidgeCV])
@pytest.mark.parametrize("shape", [(40, 5), (20, 90)])
def test_rows_without_weight_in_a_fold(Model, shape):
    """Zero weight on some rows of each fold is their absence; on a whole fold, an error that says so."""
    X, y = oracles.numbers(*shape, seed=71)
    labels = np.arange(shape[0]) % 4
    weights = np.where(np.arange(shape[0]) % 3 == 1, 0.0, 1.0 + labels)
    kept = weights > 0.0
    folds = [(np.flatnonzero(labels != k), np.flatnonzero(labels == k)) for k in range(4)]
    place = np.cumsum(kept) - 1
    rest = [tuple(place[rows[kept[rows]]] for rows in pair) for pair in folds]
    settings = (
        {"alphas": [0.03, 0.3, 1.0], "store_coef_path": True} if Model is sl.RidgeCV else {"alphas": 10}
    )
    if Model is sl.RidgeCV:
        settings["scoring"] = "neg_mean_squared_error"
    whole = Model(cv=folds, **settings).fit(X, y, weights)
    part = Model(cv=rest, **settings).fit(X[kept], y[kept], weights[kept])
    assert whole.alpha_ == pytest.approx(part.alpha_, rel=1e-12)
    np.testing.assert_allclose(whole.mse_path_, part.mse_path_, rtol=1e-9)
    np.testing.assert_allclose(whole.coef_, part.coef_, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match=r"sample_weight is zero for all rows of fold 2"):
        Model(cv=folds, **settings).fit(X, y, np.where(labels == 2, 0.0, 1.0))


@hypothesis_settings(max_examples=20)
@given(st.data())
def test_adding_constants(source):
    """With an intercept, constants added to the target and to columns leave the objective as it is."""
    some = Given(source)
    assume(some.keywords["fit_intercept"] and some.data.X.dtype == np.float64)
    problem = some.problem
    assume((problem.scale > 1e-6 * np.abs(problem.share @ problem.y)) and np.abs(some.data.y).max() < 1e100)
    # Of the size of the columns: what is added then costs no digits.
    shift = np.asarray(np.where(problem.constant, 0, problem.norm), dtype=np.float64)
    assume((problem.norm > 1e-3 * np.abs(problem.mean)).all())
    level = float(problem.scale)
    other = some.fit(some.data.X + shift, some.data.y + level)
    apart = abs(other.objective_ - some.model.objective_)
    assert apart <= some.model.dual_gap_ + other.dual_gap_ + 1e4 * some.rounding
