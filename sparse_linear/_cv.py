"""Cross-validation for the price of a path: `LassoCV`, `ElasticNetCV` and the engine under them.

A fold is the whole data with other weights: zero for the rows that it leaves out. So all folds share one X,
nothing is copied, and whatever a fit can do (weights, sparse X, penalties, bounds, `standardize`) holds
inside every fold, with the fold's own centring and scaling. Where X is tall, the rows are read once, for the
moments of the parts into which the folds cut them (`_moments.fold_moments`); then every fold is a problem on
(p, p) matrices, and so is its test error. Folds, and the fit to all rows, run side by side in threads.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy import sparse
from sklearn import linear_model

from sparse_linear import _dask, _design, _path, _selection, _solve, _threads, _validation, _working_sets
from sparse_linear._estimators import LinearModel
from sparse_linear._moments import FoldSums
from sparse_linear._streaming import check_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sparse_linear._streaming import Moments
    from sparse_linear._typing import (
        Alphas,
        AsX,
        Bounds,
        Candidates,
        ColumnsLike,
        Criterion,
        DaskCollection,
        Floats,
        Folds,
        MatrixLike,
        PerTarget,
        Precompute,
        RandomState,
        Results,
        Scoring,
        Selection,
    )

# Predictions for a scorer that are in work at a time: 8 MB.
PREDICTED = 1 << 20


class Settings(NamedTuple):
    """What the fits of all folds have in common."""

    fit_intercept: bool
    standardize: bool
    max_iter: int
    tol: float
    relax: np.ndarray  # amounts to choose from
    n_threads: int  # folds that are fitted at a time


class Judged(NamedTuple):
    """One fold, for every l1_ratio: its fits, and how they do on the rows that were left out."""

    fits: list[_solve.Fit]
    errors: np.ndarray  # (n_ratios, n_relax, q, b) mean squared errors
    scores: np.ndarray  # (n_ratios, n_relax, g, b); g is q, or 1 if the targets share their alpha


def _predicted(X, rows, part, intercepts, watch):
    """Predictions of one target for some rows of X, a tile of rows at a time.

    Only the features in use are read, and from sparse X they are gathered once: its rows may lie scattered
    over all columns.

    Yields
    ------
    here : slice
        Places among the rows.
    values : ndarray of shape (k, b)
    """
    features, values = part
    is_sparse = sparse.issparse(X)
    if is_sparse:
        X = X[:, features].tocsr()
    height = max(1, _design.TILE // max(1, *values.shape))
    for top in range(0, len(rows), height):
        watch(0)
        here = slice(top, top + height)
        block = X[rows[here]] if is_sparse else X[np.ix_(rows[here], features)]
        yield here, block @ values + intercepts


def width(X, count):
    """How many candidates are judged at a time by `count` predictions of each.

    Their predictions take at most `PREDICTED` numbers, or an eighth of those that X holds.
    """
    return max(1, max(PREDICTED, X.size // 8) // count)


def candidates(X, rows, parts, intercepts, p, watch):
    """What `_selection.Scoring` takes of fits for all alphas, on some rows of X.

    Yields
    ------
    coefs : ndarray of shape (q, p, k)
    intercepts : ndarray of shape (q, k)
    predictions : ndarray of shape (q, n_rows, k)
    """
    q, b = intercepts.shape
    step = width(X, q * len(rows))
    for some in (slice(first, first + step) for first in range(0, b, step)):
        few = [part._replace(values=part.values[:, some]) for part in parts]
        levels = intercepts[:, some]
        found = np.empty((q, len(rows), levels.shape[1]))
        with np.errstate(over="ignore", invalid="ignore"):  # what a scorer has to say is for the user
            for target, part, level in zip(found, few, levels, strict=True):
                for here, values in _predicted(X, rows, part, level, watch):
                    target[here] = values
        yield _solve.whole(few, p), levels, found


def squared_errors(X, y, weights, rows, part, intercepts, watch=_working_sets.unwatched):
    """Weighted mean squared errors (b,) on some rows."""
    errors = np.zeros(len(intercepts))
    for here, values in _predicted(X, rows, part, intercepts, watch):
        values -= y[rows[here], None]
        errors += weights[rows[here]] @ (values * values)
    return errors / weights[rows].sum()


class _Engine:
    """Everything that one cross-validation works on.

    Parameters
    ----------
    X, Y, sample_weight
        Checked; Y has shape (n, q).
    folds : list of Fold
    penalties : list of Penalty
        One for each l1_ratio, on the scale of X.
    settings : Settings
    """

    def __init__(self, X, Y, sample_weight, folds, penalties, settings):
        self.X, self.Y = X, Y
        self.sample_weight = sample_weight
        self.folds = folds
        self.penalties = penalties
        self.settings = settings
        n = len(Y)
        self.weights = np.ones(n) if sample_weight is None else sample_weight / sample_weight.max()
        self.whole = self._weighted(sample_weight)
        self.sums: Any = None  # FoldSums, if X is tall

    @classmethod
    def from_sums(cls, folds, penalties, settings):
        """The same for folds of which nothing is left but the sums of their rows."""
        engine = cls.__new__(cls)
        engine.X = engine.Y = None
        engine.folds = [None] * len(folds)
        engine.penalties, engine.settings = penalties, settings
        engine.sums = FoldSums.of_parts(folds)
        engine.whole = _solve.Data.from_sums(engine.sums.whole(), settings.fit_intercept)
        return engine

    def _weighted(self, weights):
        """The data with the weights of one fit of many."""
        return _solve.Data(self.X, self.Y, weights, self.settings.fit_intercept, len(self.folds) + 1)

    def _data(self, number):
        """The rows that a fold is fitted on."""
        if self.X is None:
            return _solve.Data.from_sums(self.sums.train[number](), self.settings.fit_intercept)
        data = self._weighted(self.folds[number].weights(self.sample_weight, len(self.Y)))
        if self.sums is not None:
            data.use(self.sums.train[number](), self.sums.unit_y)
        return data

    def reduce(self, n_alphas):
        """Read the rows for the moments of all folds, if X is tall."""
        some = np.ones((1, n_alphas))
        if self.X is None or not all(self.whole.choose(penalty, some).moments for penalty in self.penalties):
            return
        self.sums = FoldSums.read(self.X, self.Y, self.weights, self.folds)
        self.restore()

    def restore(self):
        """Give the data of all rows the moments that they have let go of."""
        if self.sums is not None and self.whole.moments is None:
            self.whole.use(self.sums.whole(), self.sums.unit_y)

    def fit(self, data, grids, watch):
        """Paths for every l1_ratio, on the same data: Gram matrices are made once."""
        settings = self.settings
        return [
            _solve.fit(
                data,
                penalty,
                np.tile(alphas, (data.n_targets // len(alphas), 1)),
                standardize=settings.standardize,
                max_iter=settings.max_iter,
                tol=settings.tol,
                watch=watch,
            )
            for penalty, alphas in zip(self.penalties, grids, strict=True)
        ]

    def judge(self, number, grids, scoring, per_target, watch):
        """Fit to the rows of one fold and judge the fits by the rows left out.

        Parameters
        ----------
        number : int
        grids : list of ndarray of shape (q, b) or (1, b)
            One for each l1_ratio.
        scoring : callable or None
            Maps fold, coefficients, intercepts and predictions to scores; None stands for minus the errors.
        """
        fold, data = self.folds[number], self._data(number)
        fits = self.fit(data, grids, watch)
        test = self.sums and self.sums.test[number]()
        errors, scores = [], []
        for fit, penalty in zip(fits, self.penalties, strict=True):
            for parts, intercepts in self.candidates(data, fit, penalty, watch):
                errors.append(self._errors(number, test, parts, intercepts, watch))
                if scoring is None:
                    scores.append(-errors[-1] if per_target else -errors[-1].mean(axis=0, keepdims=True))
                    continue
                found = candidates(self.X, fold.test, parts, intercepts, fit.p, watch)
                scores.append(scoring(number, fold.test, found, watch))
        shape = (len(fits), len(self.settings.relax))
        errors, scores = (np.array(part).reshape(*shape, *part[0].shape) for part in (errors, scores))
        return Judged(fits, errors, scores)

    def candidates(self, data, fit, penalty, watch=_working_sets.unwatched):
        """Coefficients and intercepts for every amount of relaxation."""
        return _solve.relaxed(data, fit, penalty, self.settings.relax, self.settings.max_iter, watch)

    @np.errstate(over="ignore")  # `_selection.summarise` says what to do about errors that overflow
    def _errors(self, number, test, parts, intercepts, watch):
        """Mean squared errors (q, b) on the rows that a fold leaves out, whose `Sums` may be known."""
        errors = np.empty(intercepts.shape)
        for index, (part, level) in enumerate(zip(parts, intercepts, strict=True)):
            sure = False
            if test is not None:
                unit = self.sums.unit_y[index]
                found, sure = test.mean_squared_errors(
                    [index], part.values.T[None] / unit, level[None] / unit, part.features
                )
                errors[index] = found[0] * (unit * unit)
            if not sure and self.X is not None:
                rows = self.folds[number].test
                errors[index] = squared_errors(
                    self.X, self.Y[:, index], self.weights, rows, part, level, watch
                )
        return errors


class ElasticNetCV(LinearModel):
    r"""Elastic net with `alpha` and `l1_ratio` chosen by cross-validation; every fit of it is exact.

    The folds share one X: none is copied, and where X is tall its rows are read once for all of them. The
    objective is that of `ElasticNet`.

    Parameters
    ----------
    l1_ratio : float or list of float, default=0.5
        In (0, 1]; of several, the best is chosen.
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha of an automatic grid.
    alphas : int or array-like, default=100
        Number of alphas of an automatic grid (one for each `l1_ratio`, and with `alpha_per_target` for each
        target), or the alphas themselves.
    fit_intercept : bool, default=True
    precompute, copy_X, random_state, selection
        Accepted for compatibility with scikit-learn; they do not change the result.
    max_iter : int, default=1000
        Limit of active-set rounds for each alpha.
    tol : float, default=1e-4
        Largest duality gap of any fit without a warning, in units of the mean square of the (centred) y; see
        `ElasticNet`.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn; None stands for 5 folds. Any splits will do: overlapping, repeated, or drawn with
        replacement (a row drawn twice counts twice).
    verbose : bool or int, default=0
        Whether progress is printed, about once a second.
    n_jobs : int or None, default=None
        How many folds are fitted at a time, in threads; None stands for 1, -1 for all cores.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    standardize : bool, default=False
        Penalise on the scale of columns with unit weighted standard deviation, in every fold its own.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (never penalised) to infinity (excluded).
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients, with ``lower <= 0 <= upper``.
    criterion : {"min", "1se"} or callable, default="min"
        Which candidate is chosen. "min": the best mean score. "1se": the sparsest model whose alpha is not
        smaller and whose mean score is within one standard error of the best. A callable maps `cv_results_`
        to the index of a row.
    scoring : str or callable, default=None
        Any scikit-learn scorer, higher is better; None stands for minus the mean squared error.
    relax : float or list of float, default=0.0
        Amount of relaxation in [0, 1] (the relaxed lasso): coefficients are ``(1 - relax)`` times the
        penalised ones plus `relax` times those of least squares on the same support; glmnet's gamma is
        ``1 - relax``. Of several, the best is chosen.
    alpha_per_target : bool, default=False
        Whether each column of y gets its own `alpha` (and `l1_ratio`, `relax`), rather than all the same; an
        automatic grid is made for each.
    store_fold_coefs : bool, default=False
        Whether the coefficients of all folds are kept.

    Attributes
    ----------
    alpha_, l1_ratio_, relax_ : float or ndarray of shape (n_targets,)
        What was chosen.
    best_score_, best_index_ : float and int, or ndarrays of shape (n_targets,)
        Mean score and row of `cv_results_` of the choice.
    coef_, intercept_, dual_gap_, n_iter_, objective_, status_, solver_
        Of the fit to all rows, as in `ElasticNet`. With relaxation, the last five are those of the penalised
        solution from which `coef_` is made.
    alphas_ : ndarray of shape (n_alphas,) or (n_l1_ratios, n_alphas)
        Decreasing. Automatic grids with `alpha_per_target` have an axis for the targets before.
    mse_path_ : ndarray of shape (n_l1_ratios, n_alphas, n_folds)
        Mean squared errors on the rows left out (a mean over targets, if they share their alpha). With
        several `relax` there is an axis for them after the first, with `alpha_per_target` one for the
        targets before it; axes of length 1 are left out.
    cv_results_ : dict of ndarray of shape (n_candidates,)
        "l1_ratio", "relax", "alpha", "n_nonzero" (in the fit to all rows), then scores in the names of
        `GridSearchCV`: "mean_test_score", "std_test_score", "se_test_score" (standard error),
        "rank_test_score", "split0_test_score" and so on. A list of such dicts with `alpha_per_target`.
    coef_path_ : ndarray of shape (n_features, n_alphas) or (n_targets, n_features, n_alphas)
        Of the fit to all rows, for the chosen `l1_ratio` and `relax`.
    intercept_path_ : ndarray of shape (n_alphas,) or (n_targets, n_alphas)
    fold_coefs_ : ndarray of shape (n_folds, n_l1_ratios, n_targets, n_features, n_alphas)
        Only with `store_fold_coefs`: penalised coefficients (before relaxation); `fold_intercepts_` likewise.
    n_features_in_, feature_names_in_
        As in `ElasticNet`.

    See Also
    --------
    LassoCV : With ``l1_ratio=1``.
    enet_path : The path that every fold follows.

    Notes
    -----
    The mean over folds is not weighted, as in scikit-learn; inside a fold sample weights apply to the fit and
    to the error.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import ElasticNetCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNetCV(l1_ratio=[0.5, 0.9, 1.0], criterion="1se").fit(X, y)
    >>> float(model.l1_ratio_), round(float(model.alpha_), 3), int((model.coef_ != 0).sum())
    (1.0, 0.187, 6)
    """

    alpha_: PerTarget
    l1_ratio_: PerTarget
    relax_: PerTarget
    best_score_: PerTarget
    best_index_: int | NDArray[np.int64]
    alphas_: Floats
    mse_path_: Floats
    cv_results_: Results | list[Results]
    n_iter_: int | list[int]
    coef_path_: AsX
    intercept_path_: Floats
    fold_coefs_: AsX
    fold_intercepts_: Floats

    path = staticmethod(_path.enet_path)
    _twin = linear_model.ElasticNet

    def __init__(
        self,
        *,
        l1_ratio: Candidates = 0.5,
        eps: float = 1e-3,
        alphas: Alphas | None = 100,
        fit_intercept: bool = True,
        precompute: Precompute = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        cv: Folds | None = None,
        copy_X: bool = True,
        verbose: int = 0,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: RandomState = None,
        selection: Selection = "cyclic",
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
        criterion: Criterion = "min",
        scoring: Scoring | None = None,
        relax: Candidates = 0.0,
        alpha_per_target: bool = False,
        store_fold_coefs: bool = False,
    ) -> None:
        self.l1_ratio = l1_ratio
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.cv = cv
        self.copy_X = copy_X
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds
        self.criterion = criterion
        self.scoring = scoring
        self.relax = relax
        self.alpha_per_target = alpha_per_target
        self.store_fold_coefs = store_fold_coefs

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
            Dense of any memory order, or CSC/CSR; never copied as a whole. For Dask collections `cv` is a
            number of folds (row i goes to fold i % cv) or a collection that holds each row's fold.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            A single column counts as one dimension, with a warning, as in scikit-learn.
        sample_weight : float or array-like of shape (n_samples,), default=None
            For the fits and for the errors on the rows left out. Zero leaves a row out.
        **params : dict
            Passed on to the splitter and the scorer by metadata routing, such as `groups`.

        Returns
        -------
        self : object

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the certified gap of some fit is larger than `tol` allows.
        sklearn.exceptions.DataConversionWarning
            If y has the shape (n_samples, 1).
        """
        if _dask.is_collection(X):
            return self._fit_moments(_dask.folds_of(self.cv, X, y, sample_weight))
        settings, ratios = self._checked_settings()
        X, y = _validation.check_training_data(self, X, y)
        y = _validation.without_axis(y)
        n, p = X.shape
        weights = _validation.check_sample_weight(sample_weight, n)
        _validation.check_precompute(self.precompute, X, weights, self.fit_intercept)
        routed = _validation.route(self, params, sample_weight, weights)
        folds = _selection.make_folds(self.cv, X, y, weights, routed.splitter.split)
        penalties = [self._checked_penalty(p, ratio, 1.0 - ratio) for ratio in ratios]
        engine = _Engine(X, y.reshape(n, -1), weights, folds, penalties, settings)
        scoring = _selection.make_scoring(
            self.scoring, self, routed.scorer.score, X, y, self.alpha_per_target
        )
        return self._fit(engine, ratios, scoring, X.dtype)

    @_validation.atomic
    def fit_moments(self, folds: Sequence[Moments]) -> Self:
        """Choose by cross-validation, and fit, given only the moments of the rows of each fold.

        Parameters
        ----------
        folds : list of Moments
            Each is left out in turn; `Moments.by_fold` makes them in one pass. `cv` does not apply, and
            `scoring` must be None.

        Returns
        -------
        self : object
        """
        return self._fit_moments(folds)

    def _fit_moments(self, folds):
        settings, ratios = self._checked_settings()
        if self.scoring is not None:
            raise ValueError("scoring needs rows; moments know the mean squared error only (scoring=None).")
        folds, whole = check_folds(folds)
        whole.describe(self)
        penalties = [self._checked_penalty(whole.n_features, ratio, 1.0 - ratio) for ratio in ratios]
        engine = _Engine.from_sums([fold.sums for fold in folds], penalties, settings)
        return self._fit(engine, ratios, None, np.float64)

    def _fit(self, engine, ratios, scoring, dtype):
        """Fit and judge all folds, choose, and set the fitted attributes."""
        settings = engine.settings
        grids = self._grids(engine, ratios)
        n_fits = len(ratios) * grids[0].shape[1] * engine.whole.n_targets * (len(engine.folds) + 1)
        watch = _selection.Watch(n_fits, type(self).__name__, self.verbose)

        def work(number):
            if number < 0:
                fits = engine.fit(engine.whole, grids, watch)
                engine.whole.forget()
                return fits
            return engine.judge(number, grids, scoring, self.alpha_per_target, watch)

        whole, *judged = _threads.in_threads(work, range(-1, len(engine.folds)), settings.n_threads, watch)
        self._choose(engine, ratios, grids, whole, judged, dtype)
        fits = [fit for some in (whole, *(fold.fits for fold in judged)) for fit in some]
        worst = max(fits, key=lambda fit: fit.relative_gaps.max())
        _solve.warn_unconverged(worst, settings.tol, settings.max_iter, stacklevel=5)
        return self

    def _checked_settings(self):
        """The parameters that do not depend on the data: `Settings`, and the l1_ratios."""
        _validation.check_flags(
            fit_intercept=self.fit_intercept,
            positive=self.positive,
            standardize=self.standardize,
            alpha_per_target=self.alpha_per_target,
            store_fold_coefs=self.store_fold_coefs,
        )
        _validation.check_choice(self.selection, "selection", ("cyclic", "random"))
        _validation.check_verbose(self.verbose)
        _selection.check_criterion(self.criterion)
        settings = Settings(
            self.fit_intercept,
            self.standardize,
            _validation.check_count(self.max_iter, "max_iter"),
            _validation.check_real(self.tol, "tol", low=0.0),
            _validation.check_reals(self.relax, "relax", low=0.0, high=1.0),
            _threads.check_jobs(self.n_jobs),
        )
        return settings, _validation.check_reals(self.l1_ratio, "l1_ratio", low=0.0, high=1.0)

    def _grids(self, engine, ratios):
        """The alphas for each l1_ratio: (q, b) if every target has its own, else (1, b)."""
        alphas = 100 if self.alphas is None else self.alphas
        if isinstance(alphas, numbers.Integral):
            count = _validation.check_count(alphas, "alphas")
            eps = _validation.check_grid(self.eps, ratios.min())
            engine.reduce(count)
            tops = [
                _path.largest_alphas(engine.whole, penalty, self.standardize) for penalty in engine.penalties
            ]
            if not self.alpha_per_target:
                tops = [[some.max()] for some in tops]
            return [np.array([_path.spaced(top, eps, count) for top in some]) for some in tops]
        alphas = _validation.decreasing(alphas)
        engine.reduce(len(alphas))
        return [alphas[None]] * len(ratios)

    def _choose(self, engine, ratios, grids, whole, judged, dtype):
        """Set the fitted attributes."""
        relax = engine.settings.relax
        errors = np.stack([fold.errors for fold in judged], axis=-1)  # (ratios, relax, q, b, folds)
        scores = np.stack([fold.scores for fold in judged], axis=-1)  # (ratios, relax, g, b, folds)
        n_groups, b = scores.shape[2:4]
        tables, chosen = [], []
        for group in range(n_groups):
            targets = slice(group, group + 1) if self.alpha_per_target else slice(None)
            sizes = [sum((part.values != 0.0).sum(axis=0) for part in fit.parts[targets]) for fit in whole]
            table = _selection.summarise(
                {
                    "l1_ratio": np.repeat(ratios, len(relax) * b),
                    "relax": np.tile(np.repeat(relax, b), len(ratios)),
                    "alpha": np.concatenate([np.tile(grid[group % len(grid)], len(relax)) for grid in grids]),
                    "n_nonzero": np.concatenate([np.tile(size, len(relax)) for size in sizes]),
                },
                scores[:, :, group].reshape(-1, len(judged)),
            )
            tables.append(table)
            chosen.append(_selection.choose(self.criterion, table, ("l1_ratio", "relax")))
        per_target = n_groups > 1

        def pick(values):
            return np.array(values) if per_target else values[0]

        for name in ("alpha", "l1_ratio", "relax"):
            values = [float(table[name][at]) for table, at in zip(tables, chosen, strict=True)]
            setattr(self, f"{name}_", pick(values))
        self.best_index_ = pick(chosen)
        self.best_score_ = pick(
            [float(table["mean_test_score"][at]) for table, at in zip(tables, chosen, strict=True)]
        )
        self.cv_results_ = tables if per_target else tables[0]
        alphas = np.stack(grids, axis=1)  # (q or 1, ratios, b)
        alphas = alphas[:, 0] if len(ratios) == 1 or self._own_alphas else alphas
        self.alphas_ = alphas if len(alphas) > 1 else alphas[0]
        errors = errors if self.alpha_per_target else errors.mean(axis=2, keepdims=True)
        self.mse_path_ = np.squeeze(np.moveaxis(errors, 2, 0))
        places = [np.unravel_index(at, (len(ratios), len(relax), b)) for at in chosen]
        q = engine.whole.n_targets
        one_column = q == 1  # also as an axis of y, for which scikit-learn's classes have no place either
        places = places if len(places) == q else places * q
        if relax.any():
            engine.restore()
        paths = {
            ratio: list(engine.candidates(engine.whole, whole[ratio], engine.penalties[ratio]))
            for ratio in {ratio for ratio, _, _ in places}
        }
        result = _solve.take(whole, [(ratio, at) for ratio, _, at in places])
        parts = tuple(paths[ratio][amount][0][t] for t, (ratio, amount, _) in enumerate(places))
        levels = np.array([paths[ratio][amount][1][t] for t, (ratio, amount, _) in enumerate(places)])
        at = [at for _, _, at in places]
        result = result._replace(
            parts=tuple(part._replace(values=part.values[:, [b]]) for part, b in zip(parts, at, strict=True)),
            intercepts=levels[np.arange(q), at][:, None],
        )
        rounds = self._store(result, dtype, one_column)
        self.n_iter_ = int(rounds[0]) if q == 1 else rounds.tolist()
        coefs = _solve.whole(parts, result.p).astype(dtype, copy=False)
        self.coef_path_, self.intercept_path_ = (coefs[0], levels[0]) if one_column else (coefs, levels)
        if self.store_fold_coefs:
            self.fold_coefs_ = np.array([[fit.coefs for fit in fold.fits] for fold in judged], dtype=dtype)
            self.fold_intercepts_ = np.array([[fit.intercepts for fit in fold.fits] for fold in judged])

    @property
    def _own_alphas(self):
        return self.alphas is not None and not isinstance(self.alphas, numbers.Integral)

    def get_metadata_routing(self) -> _validation.MetadataRouter:
        """Where `sample_weight` and other metadata of a fit go: here, to the splitter and to the scorer."""
        return _validation.make_router(self, self.cv, self.scoring)


class LassoCV(ElasticNetCV):
    r"""Lasso with `alpha` chosen by cross-validation; every fit of it is exact.

    The folds share one X: none is copied, and where X is tall its rows are read once for all of them. The
    objective is that of `Lasso`. All parameters and attributes are those of `ElasticNetCV`, without
    `l1_ratio`, which is 1.

    Parameters
    ----------
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha of an automatic grid.
    alphas : int or array-like, default=100
        Number of alphas of an automatic grid, or the alphas themselves.
    fit_intercept : bool, default=True
    precompute, copy_X, random_state, selection
        Accepted for compatibility with scikit-learn; they do not change the result.
    max_iter : int, default=1000
    tol : float, default=1e-4
    cv : int, splitter, iterable or None, default=None
        None stands for 5 folds.
    verbose : bool or int, default=False
    n_jobs : int or None, default=None
        How many folds are fitted at a time, in threads.
    positive : bool, default=False
    standardize : bool, default=False
    penalty_weights : array-like of shape (n_features,), default=None
    bounds : pair (lower, upper), default=None
    criterion : {"min", "1se"} or callable, default="min"
    scoring : str or callable, default=None
    relax : float or list of float, default=0.0
    alpha_per_target : bool, default=False
    store_fold_coefs : bool, default=False
        As in `ElasticNetCV`.

    Attributes
    ----------
    alpha_, relax_, best_score_, best_index_, coef_, intercept_, dual_gap_, n_iter_, objective_, status_,
    solver_, alphas_, mse_path_, cv_results_, coef_path_, intercept_path_, fold_coefs_, fold_intercepts_,
    n_features_in_, feature_names_in_
        As in `ElasticNetCV`.

    See Also
    --------
    ElasticNetCV : With an L2 penalty beside.
    Lasso : For an alpha that is known.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import LassoCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LassoCV().fit(X, y)
    >>> round(float(model.alpha_), 5), model.mse_path_.shape
    (0.00375, (100, 5))
    """

    l1_ratio = 1.0
    _twin = linear_model.Lasso

    def __init__(
        self,
        *,
        eps: float = 1e-3,
        alphas: Alphas | None = 100,
        fit_intercept: bool = True,
        precompute: Precompute = "auto",
        max_iter: int = 1000,
        tol: float = 1e-4,
        copy_X: bool = True,
        cv: Folds | None = None,
        verbose: int = False,
        n_jobs: int | None = None,
        positive: bool = False,
        random_state: RandomState = None,
        selection: Selection = "cyclic",
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
        criterion: Criterion = "min",
        scoring: Scoring | None = None,
        relax: Candidates = 0.0,
        alpha_per_target: bool = False,
        store_fold_coefs: bool = False,
    ) -> None:
        self.eps = eps
        self.alphas = alphas
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.max_iter = max_iter
        self.tol = tol
        self.copy_X = copy_X
        self.cv = cv
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds
        self.criterion = criterion
        self.scoring = scoring
        self.relax = relax
        self.alpha_per_target = alpha_per_target
        self.store_fold_coefs = store_fold_coefs
