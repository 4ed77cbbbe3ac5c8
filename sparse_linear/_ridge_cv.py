"""Ridge with its penalty chosen by cross-validation: every alpha, target and fold from a few factorisations.

Leave-one-out and generalised cross-validation need one eigendecomposition of all rows (`_ridge.left_out_tall`
and `_ridge.KernelSpectrum`).  K-fold needs one for each fold: of its moments where X is tall (all folds share
one pass over the rows, `_moments.fold_moments`), of a block of one and the same matrix of inner products
where X is wide.  What neither suits (bounds, large sparse X, alpha = 0, systems near singularity, scorers
that want a model) is fitted fold by fold like any other data.
"""

from __future__ import annotations

import numbers
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from scipy import linalg, sparse

from sparse_linear import _compiled as _kernels
from sparse_linear import _dask, _moments, _ridge, _selection, _solve, _threads, _validation, _working_sets
from sparse_linear._cv import candidates, squared_errors, width
from sparse_linear._design import columns_of, make_design
from sparse_linear._estimators import RidgeModel
from sparse_linear._moments import FoldSums
from sparse_linear._penalty import Penalty
from sparse_linear._streaming import check_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sparse_linear._streaming import Moments
    from sparse_linear._typing import (
        Alphas,
        AsX,
        Bounds,
        ColumnsLike,
        Criterion,
        DaskCollection,
        Floats,
        Folds,
        MatrixLike,
        PerTarget,
        Results,
        Scoring,
    )

# Limit of iterations or active-set rounds of fits that are not in closed form, as in `Ridge`.
MAX_ITER = 10_000
# A row that holds less than this share of something new cannot be left out.
PINNED = 1e-12
# An automatic grid ends where that share is: rounding of columns in very different units is far below it.
LOOSE = 1e-6
# Scores of folds that are functions of mean squared errors; of leave-one-out, only the first two are.
FROM_ERRORS = (None, "neg_mean_squared_error", "r2")


class Settings(NamedTuple):
    """What all fits of one cross-validation have in common."""

    penalty: Penalty  # on the scale of X, for alpha = 1
    fit_intercept: bool
    standardize: bool
    tol: float


class Judged(NamedTuple):
    """How the candidates do on the rows that one fold leaves out."""

    errors: np.ndarray  # (q, b) mean squared errors
    scores: Any  # (g, b); g is q, or 1 if the targets share their alpha
    fit: object  # the fold's _solve.Fit, or None where no solver ran


class _Engine:
    """Everything that one cross-validation works on.

    Parameters
    ----------
    X, Y, sample_weight
        Checked; Y has shape (n, q).
    alphas : ndarray of shape (b,)
    settings : Settings
    """

    def __init__(self, X, Y, sample_weight, settings):
        self.X, self.Y = X, Y
        self.sample_weight = sample_weight
        self.weights = np.ones(len(Y)) if sample_weight is None else sample_weight
        self.settings = settings
        self.data = _solve.Data(X, Y, sample_weight, settings.fit_intercept)
        self.sums: Any = None  # FoldSums, if X is tall
        self._kernel = None

    @classmethod
    def from_sums(cls, folds, settings):
        """The same for folds of which nothing is left but the sums of their rows."""
        engine = cls.__new__(cls)
        engine.X = engine.Y = engine.sample_weight = engine._kernel = None
        engine.weights = np.ones(1)
        engine.settings = settings
        engine.sums = FoldSums.of_parts(folds)
        engine.data = _solve.Data.from_sums(engine.sums.whole(), settings.fit_intercept)
        return engine

    def route(self, n_alphas, zero):
        """Which side is factored, "tall" or "wide"; None if neither."""
        if zero:
            return None
        choice = self.data.choose(self.settings.penalty, np.ones((1, max(2, n_alphas))))
        # Of a square X too, inner products of rows say how the fit changes when it interpolates.
        shape = (1, 0) if self.X is None else self.X.shape
        tall = "tall" if shape[0] > shape[1] else "wide"
        return {"cholesky": tall, "dual": "wide", "svd": tall}.get(choice.solver)

    @property
    def _far(self):
        """Whether X is sparse with columns too far from zero for moments."""
        return sparse.issparse(self.X) and len(self.data.design.far) > 0

    def rules(self, units, weight):
        """Ridge penalties of the columns of a design in its own units, infinite for those left out."""
        return self.settings.penalty.ridge_in_units(units, weight, self.settings.standardize)

    def fit(self, data, alphas, watch=_working_sets.unwatched):
        """Certified fits for alphas (q, b), in any order."""
        settings = self.settings

        def fit(lams):
            return _solve.fit(
                data,
                settings.penalty,
                lams,
                standardize=settings.standardize,
                max_iter=MAX_ITER,
                sum_scaled=True,
                tol=settings.tol,
                watch=watch,
            )

        if not settings.penalty.bounded:
            return fit(alphas)
        # The active-set solver goes from large alphas to small ones.
        order = np.argsort(-alphas, axis=1, kind="stable")
        back = np.argsort(order, axis=1)
        found = fit(np.take_along_axis(alphas, order, axis=1))
        tables = ("intercepts", "objectives", "gaps", "relative_gaps", "n_iters")
        return found._replace(
            parts=tuple(
                part._replace(values=part.values[:, at]) for part, at in zip(found.parts, back, strict=True)
            ),
            **{name: np.take_along_axis(getattr(found, name), back, axis=1) for name in tables},
        )

    # -------------------------------------------------------------------------------------------
    # All rows
    # -------------------------------------------------------------------------------------------

    def spectrum(self, route, smallest):
        """`_ridge.EigenInverse` and number of unpenalised dimensions of all rows, and what was factored.

        From the data themselves, where the smallest eigenvalues and alphas have lost digits to the matrix.
        """
        smallest = 0.0 if np.isinf(smallest) else smallest
        if route == "wide":
            rows = np.flatnonzero(self.weights)
            found = self.kernel_spectrum(rows, self.weights[rows])
            if not found.inverse.above(_ridge.POOR, smallest):
                design, scale, _ = self._standard_form(rows, self.weights[rows])
                held = np.flatnonzero(scale)
                if sparse.issparse(design.X) and design.n * len(held) > _solve.BATCH:
                    found.inverse.check(smallest)
                else:
                    columns = columns_of(design, held) * np.sqrt(scale[held])[:, None]
                    found.diagonalise_data(columns)
            if self.sample_weight is None:  # the fit to all rows needs the same inner products
                design = self.data.design
                factor = _ridge.Dual(design, self.rules(design.units, design.weight), found.inner)
                factor.inverse = found.inverse
                self.data.factor = factor
            return found.inverse, found.fixed, found
        data = self.data
        design = data.design
        if not self._far:
            data.reduce()
        gram = data.moments.gram if data.moments else design.block().extend(np.arange(design.p))
        factor = _ridge.Primal(design, gram, _independent(gram, self.rules(data.units, data.weight)))
        lossy = design is not None and factor.is_graded(smallest)
        if not lossy:
            factor.diagonalise(smallest if design is None else np.inf)
            lossy = design is not None and not factor.inverse.above(_ridge.POOR, smallest)
        if lossy:
            factor.diagonalise_data()
        data.factor = factor  # the fit to all rows needs it again
        return factor.inverse, len(factor.free) + self.settings.fit_intercept, factor

    def left_out(self, route, factor, alphas):
        """`_ridge.LeftOut` of all rows with weight."""
        if route == "wide":
            yield from factor.left_out(self.Y, alphas)
            rest = np.flatnonzero(self.weights == 0.0)
            for targets in self._chunks(len(alphas)) if len(rest) else ():
                found = factor.predict(self.Y[:, targets], alphas, rest)
                missed = self.Y[rest, targets][:, :, None] - found
                yield _ridge.LeftOut(rest, targets, missed, np.ones((len(rest), len(alphas))))
            return
        design, q = self.data.design, self.Y.shape[1]
        if self.data.moments:
            targets = [self.data.moments.target(index) for index in range(q)]
            corrs = self.data.moments.corrs.T
        else:
            targets, values = zip(*(design.target(y) for y in self.Y.T), strict=True)
            corrs = design.correlate(np.array(values)) * np.array([t.scale for t in targets])[:, None]
        levels = np.array([target.mean for target in targets])
        yield from _ridge.left_out_tall(factor, design, self.Y, levels, corrs, alphas)

    def slack(self, route, factor, alphas, rows=None):
        """The least of one minus the leverage of some rows, or of all, for each alpha (b,)."""
        least = np.ones(len(alphas))
        with closing(self.left_out(route, factor, alphas)) as parts:
            for part in parts:
                some = slice(None) if rows is None else np.isin(np.arange(len(self.weights))[part.rows], rows)
                least = np.minimum(least, part.slack[some].min(axis=0, initial=1.0))
        return least

    # -------------------------------------------------------------------------------------------
    # Folds
    # -------------------------------------------------------------------------------------------

    def read(self, folds):
        """Take the moments of all folds."""
        if self._far:
            return
        self.sums = FoldSums.read(self.X, self.Y, self.weights / self.weights.max(), folds)
        self.data.use(self.sums.whole(), self.sums.unit_y)

    def judge(self, number, fold, route, alphas, judgement, watch):
        """Errors and scores of all alphas on the rows that a fold leaves out."""
        judged = self._judge_errors(number, fold, route, alphas, judgement, watch)
        if judgement.scoring is None:
            return judged
        fit = judged.fit
        found = candidates(self.X, fold.test, fit.parts, fit.intercepts, fit.p, watch)
        return judged._replace(scores=judgement.scoring(number, fold.test, found, watch))

    @np.errstate(over="ignore", invalid="ignore")  # `_selection.summarise` says what to do about them
    def _judge_errors(self, number, fold, route, alphas, judgement, watch):
        """`judge` by errors; what scores need more than these comes later."""
        closed = route == "wide" or (route == "tall" and self.sums is not None)
        if judgement.scoring is None and closed:
            try:
                errors = (self._tall if route == "tall" else self._wide)(number, fold, alphas)
            except _ridge.SingularError:
                pass
            else:
                watch(errors.size)
                return Judged(errors, judgement(errors, self._spread(number, fold)), None)
        if self.X is None:
            data = _solve.Data.from_sums(self.sums.train[number](), self.settings.fit_intercept)
            fit = self.fit(data, np.tile(alphas, (data.n_targets, 1)), watch)
            coefs = fit.coefs.transpose(0, 2, 1)
            errors, _ = self.sums.test[number]().mean_squared_errors(slice(None), coefs, fit.intercepts)
            return Judged(errors, judgement(errors, self._spread(number, fold)), fit)
        weights = fold.weights(self.sample_weight, len(self.Y))
        data = _solve.Data(self.X, self.Y, weights, self.settings.fit_intercept)
        if self.sums is not None and route == "tall":
            self._share_factor(number, data, alphas)
        fit = self.fit(data, np.tile(alphas, (self.Y.shape[1], 1)), watch)
        errors = np.array(
            [
                squared_errors(self.X, y, self.weights, fold.test, *parts)
                for y, *parts in zip(self.Y.T, fit.parts, fit.intercepts, strict=True)
            ]
        )
        scores = judgement(errors, self._spread(number, fold)) if judgement.scoring is None else None
        return Judged(errors, scores, fit)

    def _share_factor(self, number, data, alphas):
        """Give the data of a fold one factorisation for all alphas, from its rows where its moments fail."""
        data.use(self.sums.train[number](), self.sums.unit_y)
        try:
            factor = _ridge.Primal(data.design, data.moments.gram, self.rules(data.units, data.weight))
            factor.diagonalise(np.inf)
            if not factor.inverse.above(_ridge.SINGULAR, alphas.min()):
                factor.diagonalise_data()
        except _ridge.SingularError:
            return  # each alpha for itself, then
        data.factor = factor

    def _spread(self, number, fold):
        """Number of the rows that a fold leaves out, and mean squares (q, 1) of their targets, centred."""
        if self.Y is None:
            test = self.sums.test[number]()
            return test.count, (test.yy / test.weight)[:, None]
        y, weight = self.Y[fold.test], self.weights[fold.test] / self.weights[fold.test].sum()
        apart = y - weight @ y
        return np.count_nonzero(weight), (weight @ (apart * apart))[:, None]

    def _tall(self, number, fold, alphas):
        """Mean squared errors (q, b) from the moments of a fold."""
        test, unit_y = self.sums.test[number](), self.sums.unit_y
        units = None
        if sparse.issparse(self.X):
            design = make_design(
                self.X, fold.weights(self.sample_weight, len(self.Y)), self.data.design.fit_intercept
            )
            units = design.units
        data = _moments.MomentDesign(self.sums.train[number](), self.settings.fit_intercept, units, unit_y)
        # The penalty is on a sum over rows: the weights count as they were given.
        weight = data.weight * self.weights.max()
        factor = _ridge.Primal(None, data.gram, self.rules(data.units, weight))
        factor.diagonalise(alphas.min())
        factor.inverse.check(alphas.min(), _ridge.POOR)
        q, b = self.data.n_targets, len(alphas)
        errors = np.empty((q, b))
        width = max(1, _solve.BATCH // (b * len(data.units.norm)))
        for first in range(0, q, width):
            some = slice(first, first + width)
            coefs = factor.path(data.corrs[:, some].T, alphas) / data.units.norm
            levels = data.mean_y[some] * unit_y[some]
            intercepts = levels[:, None] - coefs @ data.units.mean
            errors[some] = self._errors(fold, test, some, coefs, intercepts)
        return errors

    def _errors(self, fold, test, some, coefs, intercepts):
        """Mean squared errors (k, b) on held-out rows: from their moments, or from the rows themselves."""
        unit = self.sums.unit_y[some]
        errors, sure = np.empty(intercepts.shape), np.zeros(len(intercepts), dtype=bool)
        if test is not None:
            scaled = coefs / unit[:, None, None], intercepts / unit[:, None]
            errors, sure = test.mean_squared_errors(some, *scaled)
            errors *= unit[:, None] ** 2
        if self.X is not None:
            for target in np.flatnonzero(~sure):
                part = _solve.Coefs(np.arange(coefs.shape[2]), coefs[target].T)
                y = self.Y[:, some][:, target]
                errors[target] = squared_errors(self.X, y, self.weights, fold.test, part, intercepts[target])
        return errors

    def _wide(self, number, fold, alphas):
        """Mean squared errors (q, b) from inner products of rows."""
        weights = fold.weights(self.sample_weight, len(self.Y))
        rows = np.flatnonzero(weights)
        spectrum = self.kernel_spectrum(rows, weights[rows])
        spectrum.inverse.check(alphas.min(), _ridge.POOR)
        weight = self.weights[fold.test] / self.weights[fold.test].sum()
        errors = np.empty((self.Y.shape[1], len(alphas)))
        for some in self._chunks(len(alphas)):
            found = spectrum.predict(self.Y[:, some], alphas, fold.test)
            apart = found - self.Y[fold.test, some][:, :, None]
            errors[some] = np.einsum("n,nkb->kb", weight, apart * apart)
        return errors

    def _chunks(self, n_alphas):
        """Some targets at a time."""
        q, width = self.Y.shape[1], max(1, _ridge.PAIRS // n_alphas)
        return [slice(first, min(first + width, q)) for first in range(0, q, width)]

    def kernel_spectrum(self, rows, weights):
        """`_ridge.KernelSpectrum` of some rows."""
        kernel, loose = self.inner_products(rows, weights)
        varies = loose[rows].any(axis=0)
        if self.settings.fit_intercept:
            varies[:-1] &= np.ptp(loose[rows, :-1], axis=0) > 0.0
        return _ridge.KernelSpectrum(kernel, loose[:, varies], rows, weights)

    def inner_products(self, rows, weights):
        """Inner products (n, n) of all rows as the penalty sees them, and the columns without penalty (n, f).

        One matrix serves all folds; with `standardize` the columns have another scale in each.
        """
        if self._kernel is not None:
            return self._kernel
        design, scale, free = self._standard_form(rows, weights)
        loose = design.take_rows(free)
        if self.settings.fit_intercept:
            loose = np.column_stack([loose, np.ones(design.n)])
        with np.errstate(over="ignore", invalid="ignore"):  # as in `_standard_form`
            found = design.outer_gram(scale), loose
        if not self.settings.standardize:
            self._kernel = found
        return found

    @np.errstate(over="ignore")  # an infinite matrix is refused where it is factored
    def _standard_form(self, rows, weights):
        """A design without weights, by how much its columns count (p,), and those without a penalty."""
        settings = self.settings
        design = self.data.design
        if self.sample_weight is not None:
            design = make_design(self.X, None, settings.fit_intercept)
        units = design.units
        own = units
        if settings.standardize:
            all_weights = np.zeros(design.n)
            all_weights[rows] = weights
            own = make_design(self.X, all_weights, settings.fit_intercept).units
        penalty = settings.penalty
        l2 = penalty.l2 * own.norm * own.norm if settings.standardize else penalty.l2
        excluded = penalty.excluded | units.constant | (own.constant if settings.standardize else False)
        held = (l2 > 0.0) & ~excluded
        scale = np.where(held, units.norm * units.norm / np.where(held, l2, 1.0), 0.0) * design.n
        return design, scale, np.flatnonzero((l2 == 0.0) & ~excluded)


def _independent(gram, l2):
    """The ridge penalties (p,), infinite for columns without one that the others without one explain."""
    free = np.flatnonzero(l2 == 0.0)
    if len(free) > 1:
        _, pivots, rank, _ = linalg.lapack.dpstrf(gram[np.ix_(free, free)], tol=_ridge.DEPENDENT, lower=1)
        l2 = l2.copy()
        l2[free[pivots[rank:] - 1]] = np.inf
    return l2


class _Judgement:
    """From mean squared errors to scores: minus the errors, or R² (scikit-learn's default for K folds).

    Attributes
    ----------
    scoring : _selection.Scoring or None
        What needs more than mean squared errors.
    """

    def __init__(self, name, scoring, per_target):
        self.name = name
        self.scoring = scoring
        self.per_target = per_target

    def __call__(self, errors, held_out):
        """Scores (g, b) from errors (q, b), number of rows and spread (q, 1) of the targets held out."""
        scores = -errors
        if self.name != "neg_mean_squared_error":
            count, spread = held_out
            if count < 2:
                raise ValueError(f"{_selection.ONE_ROW}, or cv=None (leave-one-out).")
            flat = np.where(errors == 0.0, 1.0, 0.0)  # what scikit-learn says where y is constant
            scores = np.where(spread > 0.0, 1.0 - errors / np.where(spread > 0.0, spread, 1.0), flat)
        return scores if self.per_target else scores.mean(axis=0, keepdims=True)


class RidgeCV(RidgeModel):
    r"""Ridge with `alpha` chosen by cross-validation; all alphas, targets and folds from few factorisations.

    The objective is that of `Ridge`. Leave-one-out errors are exact and cost one eigendecomposition, K-fold
    errors one for each fold, whatever the number of alphas and targets.

    Parameters
    ----------
    alphas : array-like or int, default=(0.1, 1.0, 10.0)
        The alphas to choose from, positive for leave-one-out; or the number of alphas of an automatic grid,
        evenly spaced in the logarithm from ten times the largest eigenvalue of the Gram matrix of the data
        (where hardly anything is fitted) to a tenth of the smallest one (where hardly anything is penalised);
        but no less than 1e-8 times the smallest sum of squares of a column, since smaller eigenvalues are
        those of columns that are nearly dependent; nor, with leave-one-out, so small that the fit goes
        through a row wherever it is; and from moments alone, than 1e-10 times the largest.
    fit_intercept : bool, default=True
        Whether an unpenalised intercept is fitted.
    scoring : str or callable, default=None
        Any scikit-learn scorer. None stands for minus the mean squared error with leave-one-out, and for R²
        with `cv`, as in scikit-learn.
    cv : None, "gcv", int, splitter or iterable, default=None
        None is leave-one-out, "gcv" generalised cross-validation (Golub, Heath and Wahba 1979), the rest as
        in scikit-learn, any splits whatever. The first two, and an automatic grid, need eigenvalues: of at
        most 20 000 features or samples, whichever are fewer, or 4000 if X is sparse.
    gcv_mode : {"auto", "svd", "eigen"} or None, default=None
        Accepted for compatibility; the smaller side of X is factored.
    store_cv_results : bool, default=False
        Whether `cv_results_` is what scikit-learn's is: squared errors (or predictions, with `scoring`) of
        all rows. Leave-one-out only; takes n_samples * n_targets * n_alphas numbers.
    alpha_per_target : bool, default=False
        Whether each column of y gets its own alpha; with any `cv`.
    criterion : {"min", "1se"} or callable, default="min"
        Which alpha is chosen: that of the best mean score; the largest within one standard error of it; or
        the index that a callable returns for `cv_results_` (the table).
    n_jobs : int or None, default=None
        How many folds are worked on at a time, in threads.
    standardize : bool, default=False
        Penalise on the scale of columns with unit weighted standard deviation, in every fold its own;
        leave-one-out keeps that of all rows.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (never penalised, exactly) to infinity (excluded). Groups of
        features with an alpha each (banded ridge) are groups with a weight each, see the example.
    positive : bool, default=False
        Restrict the coefficients to be non-negative; needs `cv`.
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients; needs `cv`.
    tol : float, default=1e-4
        As in `Ridge`.
    store_coef_path : bool or None, default=None
        Whether `coef_path_` is kept; None stands for one target only.

    Attributes
    ----------
    alpha_ : float or ndarray of shape (n_targets,)
    best_score_, best_index_ : float and int, or ndarrays of shape (n_targets,)
        Mean score, and place in `alphas_`, of the choice.
    alphas_ : ndarray of shape (n_alphas,)
        In the order given; an automatic grid decreases.
    df_ : ndarray of shape (n_alphas,)
        Effective degrees of freedom of the fit to all rows, the intercept included; NaN where nothing was
        factored.
    cv_results_ : dict of ndarray of shape (n_alphas,)
        "alpha", "df" and scores in the names of `GridSearchCV`, as in `ElasticNetCV`; with leave-one-out,
        "se_test_score" is the standard error over rows, of means over the targets that share their alpha (NaN
        with `scoring`). A list of such dicts with `alpha_per_target` and
        several targets. With `store_cv_results` it is an ndarray of shape (n_samples, n_alphas) or
        (n_samples, n_targets, n_alphas).
    mse_path_ : ndarray of shape (n_alphas, n_folds), (n_alphas,) or with an axis for targets before
        Mean squared errors on the rows left out; a mean over targets if they share their alpha.
    coef_path_ : ndarray of shape (n_features, n_alphas) or (n_targets, n_features, n_alphas)
    intercept_path_ : ndarray of shape (n_alphas,) or (n_targets, n_alphas)
    coef_, intercept_, dual_gap_, objective_, status_, solver_, rank_, condition_number_,
    penalised_condition_number_, n_features_in_, feature_names_in_
        As in `Ridge`, of the fit to all rows.

    See Also
    --------
    Ridge : For an alpha that is known.

    Notes
    -----
    Sample weights apply to the fits and to the errors. With leave-one-out the score is minus the mean over
    rows of weight times squared error, as in scikit-learn; rows without weight count there too.

    Beyond X, y and the result, memory is O(min(n, p)²) and a few tiles: never n_samples * n_targets *
    n_alphas numbers, unless they are to be stored or a scorer is to see them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import RidgeCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = RidgeCV(alphas=50).fit(X, y)
    >>> round(float(model.alpha_), 4), round(float(model.df_[model.best_index_]), 2)
    (0.004, 10.59)

    Banded ridge: two groups of features, each with its own alpha, chosen together.

    >>> groups = np.repeat([0, 1], 5)
    >>> fits = [
    ...     RidgeCV(alphas=20, penalty_weights=np.array([1.0, ratio])[groups]).fit(X, y)
    ...     for ratio in (0.1, 1.0, 10.0)
    ... ]
    >>> best = max(fits, key=lambda fit: fit.best_score_)
    >>> (best.alpha_ * np.array([1.0, best.penalty_weights[-1]])).shape
    (2,)
    """

    alpha_: PerTarget
    df_: Floats
    best_score_: PerTarget
    best_index_: int | NDArray[np.int64]
    alphas_: Floats
    mse_path_: Floats
    cv_results_: Results | list[Results] | NDArray[Any]
    coef_path_: AsX
    intercept_path_: Floats

    def __init__(
        self,
        alphas: Alphas = (0.1, 1.0, 10.0),
        *,
        fit_intercept: bool = True,
        scoring: Scoring | None = None,
        cv: Folds | Literal["gcv"] | None = None,
        gcv_mode: Literal["auto", "svd", "eigen"] | None = None,
        store_cv_results: bool = False,
        alpha_per_target: bool = False,
        criterion: Criterion = "min",
        n_jobs: int | None = None,
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        positive: bool = False,
        bounds: Bounds | None = None,
        tol: float = 1e-4,
        store_coef_path: bool | None = None,
    ) -> None:
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.scoring = scoring
        self.cv = cv
        self.gcv_mode = gcv_mode
        self.store_cv_results = store_cv_results
        self.alpha_per_target = alpha_per_target
        self.criterion = criterion
        self.n_jobs = n_jobs
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.positive = positive
        self.bounds = bounds
        self.tol = tol
        self.store_coef_path = store_coef_path

    @_validation.atomic
    def fit(
        self,
        X: MatrixLike | DaskCollection,
        y: ColumnsLike | DaskCollection,
        sample_weight: ColumnsLike | DaskCollection | None = None,
        **params: object,
    ) -> Self:
        """Choose by cross-validation, and fit to all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_samples, n_features)
            Dense of any memory order, or CSC/CSR; never copied as a whole. Dask collections are judged by
            folds (five of them if `cv` is None), never by leave-one-out.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : float or array-like of shape (n_samples,), default=None
            For the fits and for the errors on the rows left out. Zero leaves a row out, 2 counts it twice.
        **params : dict
            Passed on to the splitter and the scorer by metadata routing, such as `groups`.

        Returns
        -------
        self : object
        """
        if _dask.is_collection(X):
            return self._fit_moments(_dask.folds_of(self.cv, X, y, sample_weight))
        folded = self._check_parameters()
        X, y = _validation.check_training_data(self, X, y)
        n, p = X.shape
        weights = _validation.check_sample_weight(sample_weight, n)
        if not folded and n < 2:
            raise ValueError("Leave-one-out needs at least two rows of X, got 1 sample; use Ridge instead.")
        routed = _validation.route(self, params, sample_weight, weights)
        settings = Settings(
            self._checked_penalty(p, 0.0, 1.0),
            self.fit_intercept,
            self.standardize,
            _validation.check_real(self.tol, "tol", low=0.0),
        )
        folds = _selection.make_folds(self.cv, X, y, weights, routed.splitter.split) if folded else None
        engine = _Engine(X, y.reshape(n, -1), weights, settings)
        alphas, b = self._given_alphas(folded)
        route = engine.route(b, alphas is not None and not alphas.all())
        if folded and route == "tall":
            engine.read(folds)
        inverse, fixed, factor = self._factorise(engine, route, alphas, folded)
        if alphas is None:
            alphas = self._automatic(engine, route, inverse, factor, b, not folded and self.cv is None)
        df = _degrees_of_freedom(inverse, fixed, alphas)
        from_errors = self.scoring is None or (
            isinstance(self.scoring, str) and self.scoring in (FROM_ERRORS if folded else FROM_ERRORS[:2])
        )
        if not folded and ("sample_weight" in routed.scorer.score) != (weights is not None):
            from_errors = self.scoring is None  # a scorer that is not to see the weights
        scoring = None
        if not from_errors:
            scoring = _selection.make_scoring(
                self.scoring, self, routed.scorer.score, X, y, self.alpha_per_target
            )
        if folded:
            errors, tables = self._judge_folds(engine, folds, route, alphas, df, scoring)
        else:
            errors, tables, values = self._leave_one_out(engine, route, factor, alphas, df, scoring)
            if self.store_cv_results:
                self.cv_results_ = values[:, 0] if y.ndim == 1 else values
        self._choose(engine, alphas, df, errors, tables, X.dtype, y.ndim == 1)
        return self

    @_validation.atomic
    def fit_moments(self, folds: Sequence[Moments]) -> Self:
        """Choose by cross-validation, and fit, given only the moments of the rows of each fold.

        Parameters
        ----------
        folds : list of Moments
            Each is left out in turn; `Moments.by_fold` makes them in one pass. `cv` does not apply, and
            `scoring` must be None, "r2" or "neg_mean_squared_error".

        Returns
        -------
        self : object
        """
        return self._fit_moments(folds)

    def _fit_moments(self, folds):
        self._check_parameters(folds_given=True)
        tol = _validation.check_real(self.tol, "tol", low=0.0)
        if not (self.scoring is None or (isinstance(self.scoring, str) and self.scoring in FROM_ERRORS)):
            raise ValueError(
                "scoring needs rows; moments know mean squared errors only "
                "(scoring=None, 'r2' or 'neg_mean_squared_error')."
            )
        folds, whole = check_folds(folds)
        whole.describe(self)
        settings = Settings(
            self._checked_penalty(whole.n_features, 0.0, 1.0), self.fit_intercept, self.standardize, tol
        )
        engine = _Engine.from_sums([fold.sums for fold in folds], settings)
        alphas, b = self._given_alphas(True)
        route = None if settings.penalty.bounded else "tall"
        inverse, fixed, _ = self._factorise(engine, route, alphas, True)
        if alphas is None:
            alphas = self._automatic(engine, route, inverse, None, b, False)
        df = _degrees_of_freedom(inverse, fixed, alphas)
        errors, tables = self._judge_folds(engine, [None] * len(folds), route, alphas, df, None)
        self._choose(engine, alphas, df, errors, tables, np.float64, whole.n_targets is None)
        return self

    def _judge_folds(self, engine, folds, route, alphas, df, scoring):
        """Mean squared errors (q, b, n_folds), and a table for each choice to be made."""
        judgement = _Judgement(self.scoring, scoring, self.alpha_per_target)
        watch = _selection.Watch(len(folds) * len(alphas), type(self).__name__, False)

        def work(number):
            return engine.judge(number, folds[number], route, alphas, judgement, watch)

        n_threads = _threads.check_jobs(self.n_jobs)
        judged = _threads.in_threads(work, range(len(folds)), n_threads, watch)
        errors = np.stack([fold.errors for fold in judged], axis=-1)
        scores = np.stack([fold.scores for fold in judged], axis=-1)
        return errors, [_selection.summarise({"alpha": alphas, "df": df}, some) for some in scores]

    def _check_parameters(self, folds_given=False):
        """Whether there are folds, given or by `cv`; raises for parameters that make no sense."""
        _validation.check_flags(
            fit_intercept=self.fit_intercept,
            standardize=self.standardize,
            store_cv_results=self.store_cv_results,
            alpha_per_target=self.alpha_per_target,
            positive=self.positive,
            **({} if self.store_coef_path is None else {"store_coef_path": self.store_coef_path}),
        )
        if self.gcv_mode is not None:
            _validation.check_choice(self.gcv_mode, "gcv_mode", ("auto", "svd", "eigen"))
        _selection.check_criterion(self.criterion)
        if isinstance(self.cv, str) and self.cv != "gcv":
            raise ValueError(
                f"cv must be None, 'gcv', a number of folds, a splitter or splits; got {self.cv!r}."
            )
        folded = folds_given or (self.cv is not None and not isinstance(self.cv, str))
        if folded and self.store_cv_results:
            raise ValueError("cv!=None and store_cv_results=True are incompatible; drop one of them.")
        if not folded and (self.positive or self.bounds is not None):
            raise ValueError(
                "Leave-one-out has no closed form with positive=True or bounds; give a number of folds as cv."
            )
        if not folded and self.scoring is not None and self.criterion == "1se":
            raise ValueError(
                "criterion='1se' needs a standard error, and leave-one-out has one of squared errors only; "
                "drop scoring, or give a number of folds as cv."
            )
        if isinstance(self.cv, str) and not folded:
            if self.scoring is not None:
                raise ValueError("cv='gcv' is a score of its own; drop scoring, or choose another cv.")
            if self.store_cv_results or self.criterion == "1se":
                raise ValueError(
                    "cv='gcv' knows no errors of single rows, which store_cv_results and criterion='1se' "
                    "ask for; choose another cv."
                )
        return folded

    def _given_alphas(self, folded):
        """The alphas in the order given, or None for an automatic grid; and how many there are."""
        if isinstance(self.alphas, numbers.Integral) and not isinstance(self.alphas, (bool, np.bool_)):
            return None, _validation.check_count(self.alphas, "alphas")
        given = [self.alphas] if _validation.n_axes(self.alphas) == 0 else self.alphas
        alphas = _validation.check_alphas(given, positive=not folded)  # leave-one-out needs a penalty
        return alphas, len(alphas)

    def _factorise(self, engine, route, alphas, folded):
        """What `_Engine.spectrum` returns, or Nones."""
        if route is not None:
            try:
                return engine.spectrum(route, np.inf if alphas is None else alphas.min())
            except _ridge.SingularError:
                route = None
        if alphas is None:
            raise ValueError(
                "An automatic grid needs the spectrum of X, and it cannot be had here (bounds, a very large "
                "sparse X, or dependent columns without penalty); give the alphas."
            )
        if not folded:
            raise ValueError(
                "Leave-one-out needs a factorisation of X, and there is none here (a very large sparse X, or "
                "alphas too small for dependent columns); give a number of folds as cv, or larger alphas."
            )
        return None, 0, None

    def _automatic(self, engine, route, inverse, factor, count, one_by_one):
        """An automatic grid; for leave-one-out, down to where every row is `LOOSE`.

        No leverage is more than that of a row of the length of all X: most are never looked at.
        """
        alphas = _grid(inverse, engine.rules(engine.data.units, engine.data.weight), count)
        top, low = alphas[0], alphas[-1]
        if route == "wide" or not one_by_one or low > LOOSE * top:
            return alphas
        trial = np.geomspace(top, low, 2 * int(np.log10(top / low)))
        fine = engine.slack(route, factor, trial) > LOOSE
        return np.geomspace(top, trial[fine][-1], count) if fine[0] else alphas

    def _leave_one_out(self, engine, route, factor, alphas, df, scoring):
        """Mean squared errors (q, b, 1), a table for each choice to be made, what is known of all rows."""
        (n, q), b = engine.Y.shape, len(alphas)
        gcv = isinstance(self.cv, str)
        weights = engine.weights
        count = np.count_nonzero(weights)
        # From the tall side the slack is a difference of nearly equal numbers; from the wide one it has all
        # its digits, since lambda is a factor of it.
        pinned = np.full(b, PINNED)
        if route == "wide":
            pinned *= alphas / (factor.values.max(initial=0.0) + alphas)
        if gcv:
            if not (df < count).all():
                raise ValueError("cv='gcv' is not defined where the fit is exact; give larger alphas.")
            pinned = np.zeros(b)
        # Predictions for a scorer, some alphas at a time, unless they are to be kept.
        step = b if scoring is None or self.store_cv_results else min(b, width(engine.X, n * q))
        asked = scoring is not None or self.store_cv_results
        stored = np.empty((n, q, step)) if asked else np.empty((0, q, b))
        found = []

        def look(some):
            """Find errors and what they hold, of some alphas; returns what is stored of these."""
            here = stored[:, :, : len(alphas[some])]
            tables = pinned[some], df[some] / count
            found.append(self._left_out(engine, route, factor, alphas[some], *tables, here))
            return here

        def judge(some):
            """Solutions as `_selection.Scoring` takes them: of many fits, there are no coefficients."""
            here = look(some)
            b = here.shape[2]
            return np.full((q, 1, b), np.nan), np.zeros((q, b)), here.swapaxes(0, 1)

        if scoring is None:
            look(slice(None))
        else:
            parts = (slice(first, first + step) for first in range(0, b, step))
            scores = scoring(0, np.arange(n), map(judge, parts), _working_sets.unwatched)
        errors, spread = (np.concatenate(parts, axis=1) / n for parts in zip(*found, strict=True))
        if scoring is not None:
            error = np.full(spread.shape, np.nan)
        else:
            scores = -errors if self.alpha_per_target else errors.sum(axis=0, keepdims=True) / -q
            with np.errstate(over="ignore", invalid="ignore"):
                variance = np.maximum(spread - scores * scores, 0.0)
            error = np.sqrt(variance / max(n - 1, 1))
            if self.scoring is not None:  # a scorer divides by the sum of the weights
                scores, error = scores * (n / weights.sum()), error * (n / weights.sum())
        tables = []
        for some, wrong in zip(scores, error, strict=True):
            table = _selection.summarise({"alpha": alphas, "df": df}, some[:, None])
            tables.append(table | {"se_test_score": wrong})
        return errors[..., None], tables, stored

    def _left_out(self, engine, route, factor, alphas, pinned, share, stored):
        """Sums of squared errors (q, b), and of their squares (g, b), of all rows left out one by one.

        Parameters
        ----------
        engine, route, factor, alphas
            As in `_Engine.left_out`.
        pinned : ndarray of shape (b,)
            A row that holds less of something new cannot be left out.
        share : ndarray of shape (b,)
            Degrees of freedom for each row.
        stored : ndarray of shape (n, q, b), or (0, q, b)
            Filled, for a scorer with the predictions, else with the squared errors; unless it is empty.
        """
        gcv, weights = isinstance(self.cv, str), engine.weights
        q, b = stored.shape[1:]
        sums = np.zeros((2, q, b))
        shared = np.zeros(b)
        together = np.empty((0, b))
        with closing(engine.left_out(route, factor, alphas)) as parts:
            for rows, targets, missed, slack in parts:
                weight = weights[rows]
                if gcv:
                    slack = np.tile(1.0 - share, (len(missed), 1))
                if targets.start == 0 and targets.stop < q:
                    together = np.zeros((len(missed), b))
                found = sums[0][targets], sums[1][targets], together, shared, q if targets.stop == q else 0
                if not _kernels.leave_out(missed, slack, weight, pinned, *found):
                    at = int(np.arange(len(weights))[rows][np.argmin(slack.min(axis=1))])
                    # With a penalty that leaves nothing to the other columns, only these are to blame.
                    huge = np.array([1e8 * max(factor.inverse.high, alphas.max())])
                    if engine.slack(route, factor, huge, [at])[0] > 1e-6:
                        raise ValueError(
                            f"Row {at} cannot be left out with alpha={alphas.min():g}: the fit goes through "
                            "it wherever it is, to rounding; give larger alphas, or a number of folds as cv."
                        )
                    raise ValueError(
                        f"Row {at} cannot be left out: without it, columns that are not penalised (the "
                        "intercept among them) are not determined; penalise them, or give a number of folds "
                        "as cv."
                    )
                if len(stored) and self.scoring is not None:
                    stored[rows, targets] = engine.Y[rows, targets][:, :, None] - missed
                elif len(stored):
                    missed[weight == 0.0] = 0.0
                    with np.errstate(over="ignore"):  # as in `judge`
                        stored[rows, targets] = np.square(missed) * weight[:, None, None]
        return sums[0], sums[1] if self.alpha_per_target else shared[None]

    def _choose(self, engine, alphas, df, errors, tables, dtype, one_column):
        """Set the fitted attributes."""
        per_target = len(tables) > 1

        def pick(values):
            return np.array(values) if per_target else values[0]

        chosen = [_selection.choose(self.criterion, table) for table in tables]
        self.best_index_ = pick(chosen)
        self.alpha_ = pick([float(alphas[at]) for at in chosen])
        self.best_score_ = pick(
            [float(table["mean_test_score"][at]) for table, at in zip(tables, chosen, strict=True)]
        )
        self.alphas_, self.df_ = alphas, df
        if not self.store_cv_results:
            self.cv_results_ = tables if per_target else tables[0]
        q = engine.data.n_targets
        errors = errors if self.alpha_per_target else errors.sum(axis=0, keepdims=True) / q
        self.mse_path_ = np.squeeze(errors, axis=tuple(axis for axis in (0, 2) if errors.shape[axis] == 1))
        places = chosen if len(chosen) == q else chosen * q
        best = alphas[places]
        keep = one_column if self.store_coef_path is None else self.store_coef_path
        if keep:
            path = engine.fit(engine.data, np.tile(alphas, (q, 1)))
            coefs = path.coefs.astype(dtype, copy=False)
            levels = path.intercepts
            self.coef_path_, self.intercept_path_ = (coefs[0], levels[0]) if one_column else (coefs, levels)
            result = _solve.take([path], [(0, at) for at in places])
        else:
            result = engine.fit(engine.data, best[:, None])
        self._store(result, dtype, one_column)
        self._keep_conditioning(engine.data, engine.settings.penalty, self.alpha_)
        _solve.warn_unconverged(result, engine.settings.tol, MAX_ITER, stacklevel=5)

    def get_metadata_routing(self) -> _validation.MetadataRouter:
        """Where `sample_weight` and other metadata of a fit go: here, to the splitter and to the scorer."""
        cv = None if isinstance(self.cv, str) else self.cv
        return _validation.make_router(self, cv, self.scoring)


def _degrees_of_freedom(inverse, fixed, alphas):
    """`_ridge.degrees_of_freedom`, NaN where the eigenvalues are not known."""
    if inverse is None:
        return np.full(len(alphas), np.nan)
    return _ridge.degrees_of_freedom(inverse.values, fixed, alphas)


def _grid(inverse, l2, count):
    """An automatic grid of alphas, decreasing, from the squares of the singular values.

    Parameters
    ----------
    inverse : EigenInverse
    l2 : ndarray of shape (p,)
        Penalties of columns of unit length, as in `_ridge.Primal`.
    count : int
    """
    values = inverse.values
    top = values.max(initial=0.0)
    if top == 0.0:
        return np.geomspace(10.0, 0.1, count)
    # What counts as zero, and how far down the grid goes: in directions of small values, small columns lie,
    # or others are nearly dependent, which is nothing to fit.
    if inverse.exact:
        rounding, least = 1e-26, _ridge.POOR / l2.max(initial=0.0, where=np.isfinite(l2))
    else:
        rounding, least = 1e-14, 1e-10 * top
    low = values[values > rounding * len(values) * top].min()
    return np.geomspace(10.0 * top, max(0.1 * low, min(least, top)), count)
