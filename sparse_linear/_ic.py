r"""A Lasso or elastic net chosen without resampling, by an information criterion.

With Gaussian noise of variance :math:`\sigma^2`, minus twice the log-likelihood of a model is
:math:`n \log(2 \pi \sigma^2) + \mathrm{RSS} / \sigma^2`; to it every criterion adds a price for the
degrees of freedom ``k``:

=========  =====================================================================
"aic"      ``2 k`` (Akaike 1974)
"aicc"     ``2 k + 2 m (m + 1) / (n - m - 1)``, ``m = k`` and the intercept
           (Hurvich and Tsai 1989); infinite where ``n <= m + 1``
"bic"      ``log(n) k`` (Schwarz 1978)
"ebic"     ``log(n) k + 2 gamma log binomial(p, k)`` (Chen and Chen 2008)
=========  =====================================================================

The degrees of freedom of a Lasso fit are the rank of its active columns (Tibshirani and Taylor 2012, Ann.
Statist. 40, theorem 2), those of an elastic net the trace of its hat matrix on them (Zou, Hastie and
Tibshirani 2007, Ann. Statist. 35).
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy import linalg, special
from sklearn import linear_model

from sparse_linear import _active_set, _dask, _knots, _path, _ridge, _solve, _validation
from sparse_linear import _compiled as _kernels
from sparse_linear._estimators import StreamingModel
from sparse_linear._penalty import make_penalty

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sparse_linear._typing import (
        Alphas,
        Bounds,
        ColumnsLike,
        DaskCollection,
        Floats,
        InformationCriterion,
        MatrixLike,
        Precompute,
    )

CRITERIA = ("aic", "aicc", "bic", "ebic")
# A variance of the noise below this share of that of y is rounding.
ROUNDING = 1e-13
# A ridge penalty this large leaves nothing.
LARGE = 1e300


def price(criterion, df, n, p, intercept, gamma):
    """What a criterion adds to minus twice the log-likelihood, for degrees of freedom `df` (b,)."""
    if criterion == "aic":
        return 2.0 * df
    if criterion == "aicc":
        m = df + intercept
        left = n - m - 1.0
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(left > 0.0, 2.0 * df + 2.0 * m * (m + 1.0) / np.maximum(left, 0.0), np.inf)
    extra = 0.0
    if criterion == "ebic":
        choices = special.gammaln(p + 1.0) - special.gammaln(df + 1.0) - special.gammaln(p - df + 1.0)
        extra = 2.0 * gamma * choices
    return np.log(n) * df + extra


def noise_variance(source, usable, n, intercept):
    """Variance of the noise, in the units of the source, from the residuals of least squares.

    On all columns, if there are more rows. Else on those that the scaled lasso selects (Sun and Zhang 2012,
    Biometrika 99, section 2): where ``lambda = sigma sqrt(2 log(p) / n)`` with ``sigma^2`` the mean squared
    residual at this very lambda, for columns of unit variance.

    Parameters
    ----------
    source : ColumnSource or MomentSource
    usable : ndarray of shape (p,), bool
        Columns that may be used at all.
    n : float
        Number of rows, each counted as often as its weight says.
    intercept : bool
    """
    features = np.flatnonzero(usable)
    if len(features) + intercept >= n:
        ends = np.where(usable, np.inf, 0.0)
        penalty = make_penalty(len(usable), 1.0, 0.0, None, -ends, ends)
        level = np.sqrt(2.0 * np.log(max(len(features), 1)) / n)
        for knot in _knots.knots(source, penalty, 0.0):
            if knot.lam <= level * np.sqrt(knot.rss):
                break
        features = knot.free
    gram, corrs = source.gram_of(features), source.start[features]
    values, vectors = linalg.eigh(gram) if len(features) else (np.empty(0), np.empty((0, 0)))
    kept = values > _ridge.DEPENDENT * values.max(initial=0.0)
    parts = vectors[:, kept].T @ corrs
    rss = max(float(source.target.scale > 0.0) - (parts * parts / values[kept]).sum(), 0.0)
    return rss * n / max(n - kept.sum() - intercept, 1.0)


class ElasticNetIC(StreamingModel):
    r"""Elastic net with `alpha` chosen by an information criterion; every fit of it is exact.

    The objective is that of `ElasticNet`, the criterion

    .. math::

        n \log(2 \pi \sigma^2) + \mathrm{RSS} / \sigma^2 + \text{price of the degrees of freedom},

    as in `sklearn.linear_model.LassoLarsIC`.

    Parameters
    ----------
    criterion : {"aic", "aicc", "bic", "ebic"}, default="aic"
        The price of ``k`` degrees of freedom: ``2 k``; the same, corrected for few rows; ``log(n) k``; or the
        extended one, for more columns than rows, that adds ``2 ebic_gamma log binomial(p, k)``.
    l1_ratio : float, default=0.5
        In (0, 1].
    alphas : int, array-like or None, default=None
        The alphas to choose from, or their number. None stands for 100, or, without an L2 penalty, for all
        knots of the path: the criterion has its minimum over all alphas at one of them.
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha, unless alphas are given; 0 goes down to least squares
        (knots only).
    fit_intercept : bool, default=True
    precompute, copy_X
        Accepted for compatibility with scikit-learn; they do not change the result.
    max_iter : int, default=1000
        Limit of active-set rounds for each alpha.
    tol : float, default=1e-4
        Largest duality gap of the chosen fit without a warning; see `ElasticNet`.
    noise_variance : float, default=None
        Variance of the noise. None estimates it from the residuals of least squares: on all columns where
        there are more rows, else on those that the scaled lasso selects.
    ebic_gamma : float, default=0.5
        In [0, 1]: 0 is the BIC, 1 the most sparing.
    positive : bool, default=False
    standardize : bool, default=False
    penalty_weights : array-like of shape (n_features,), default=None
    bounds : pair (lower, upper), default=None
        As in `ElasticNet`.

    Attributes
    ----------
    alpha_ : float
    alphas_ : ndarray of shape (n_alphas,)
        Decreasing.
    criterion_ : ndarray of shape (n_alphas,)
        The criterion for every alpha.
    degrees_of_freedom_ : ndarray of shape (n_alphas,)
        Without the intercept.
    noise_variance_ : float
    coef_, intercept_, dual_gap_, n_iter_, objective_, status_, solver_, n_features_in_, feature_names_in_
        As in `ElasticNet`.

    See Also
    --------
    LassoIC : With ``l1_ratio=1``.
    ElasticNetCV : By cross-validation.

    Notes
    -----
    Sample weights count rows: ``n`` is their sum, and a weight of 2 has the effect of repeating a row.

    The criterion needs sums over the rows only, so `fit_moments`, `partial_fit` and Dask collections give the
    same answer; with them, y must have one column.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import ElasticNetIC
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNetIC("bic", l1_ratio=0.9).fit(X, y)
    >>> int((model.coef_ != 0).sum()), model.criterion_.shape
    (10, (100,))
    """

    alpha_: float
    alphas_: Floats
    criterion_: Floats
    degrees_of_freedom_: Floats
    noise_variance_: float
    n_iter_: int

    _twin = linear_model.ElasticNet

    def __init__(
        self,
        criterion: InformationCriterion = "aic",
        *,
        l1_ratio: float = 0.5,
        alphas: Alphas | None = None,
        eps: float = 1e-3,
        fit_intercept: bool = True,
        precompute: Precompute = "auto",
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        noise_variance: float | None = None,
        ebic_gamma: float = 0.5,
        positive: bool = False,
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.criterion = criterion
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.eps = eps
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.noise_variance = noise_variance
        self.ebic_gamma = ebic_gamma
        self.positive = positive
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

    @_validation.atomic
    def fit(
        self,
        X: MatrixLike | DaskCollection,
        y: ColumnsLike | DaskCollection,
        sample_weight: ColumnsLike | DaskCollection | None = None,
    ) -> Self:
        """Choose alpha by the criterion, and fit.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        sample_weight : float or array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object
        """
        if _dask.is_collection(X):
            return self._fit_moments(_dask.moments(X, y, sample_weight))
        settings = self._checked_settings()
        X, y = _validation.check_training_data(self, X, y, single=True)
        weights = _validation.check_sample_weight(sample_weight, len(y))
        _validation.check_precompute(self.precompute, X, weights, self.fit_intercept)
        self.__dict__.pop("moments_", None)
        data = _solve.Data(X, y[:, None], weights, self.fit_intercept)
        return self._fit(data, settings, X.dtype, True)

    def _checked_settings(self):
        """L1_ratio, ebic_gamma, eps, tol and max_iter; the other parameters are checked too."""
        _validation.check_choice(self.criterion, "criterion", CRITERIA)
        l1_ratio = _validation.check_real(self.l1_ratio, "l1_ratio", low=0.0, high=1.0)
        gamma = _validation.check_real(self.ebic_gamma, "ebic_gamma", low=0.0, high=1.0)
        eps = _validation.check_real(self.eps, "eps", low=0.0, high=1.0)
        tol = _validation.check_real(self.tol, "tol", low=0.0)
        max_iter = _validation.check_count(self.max_iter, "max_iter")
        _validation.check_flags(
            fit_intercept=self.fit_intercept, positive=self.positive, standardize=self.standardize
        )
        if self.noise_variance is not None:
            _validation.check_real(self.noise_variance, "noise_variance", low=0.0)
        return l1_ratio, gamma, eps, tol, max_iter

    def _fit(self, data, settings, dtype, one_column):
        """Fit checked data; `one_column` says that y has one dimension."""
        l1_ratio, gamma, eps, tol, max_iter = settings
        if data.n_targets > 1:
            raise ValueError(
                f"y must have one column for an information criterion, got {data.n_targets}; "
                "fit a model to each."
            )
        penalty = self._checked_penalty(data.n_features, l1_ratio, 1.0 - l1_ratio)
        data.prepare(penalty, 100)
        source, rows = data.source(0), data.weight
        usable = ~(penalty.excluded | source.units.constant)
        with np.errstate(over="ignore"):
            square = source.target.scale**2
        if not np.isfinite(square):
            raise ValueError("y must hold values below 1e150, but its squares overflow; divide it.")
        variance = self.noise_variance
        if variance is None:
            if data.n_rows < 2:
                raise ValueError(
                    "The noise variance cannot be estimated from one sample (n_samples = 1, rows without "
                    "weight left out); give noise_variance, or more rows."
                )
            variance = square * noise_variance(source, usable, rows, self.fit_intercept)
        # Without noise the smallest residual wins, down to rounding.
        variance = max(float(variance), ROUNDING * square) or 1.0
        alphas, rss, df = self._path(data, penalty, l1_ratio, eps, max_iter)
        prices = price(self.criterion, df, rows, usable.sum(), self.fit_intercept, gamma)
        self.criterion_ = rows * np.log(2.0 * np.pi * variance) + rows * (square / variance) * rss + prices
        self.noise_variance_ = variance
        self.alphas_, self.degrees_of_freedom_ = alphas, df
        best = int(np.argmin(self.criterion_))
        self.alpha_ = float(alphas[best])
        result = _solve.fit(
            data,
            penalty,
            alphas[None, best : best + 1],
            standardize=self.standardize,
            max_iter=max_iter,
            tol=tol,
        )
        self.n_iter_ = int(self._store(result, dtype, one_column)[0])
        _solve.warn_unconverged(result, tol, max_iter, stacklevel=5)
        return self

    def _path(self, data, penalty, l1_ratio, eps, max_iter):
        """Alphas, residual norms (in units of that of y) and degrees of freedom."""
        count = 100 if self.alphas is None else self.alphas
        source = data.source(0)
        in_units = penalty.in_units(source.units, source.target.scale or 1.0, self.standardize)
        if self.alphas is None and l1_ratio == 1.0:
            top = _active_set.largest_lambda(source, in_units)
            found = list(_knots.knots(source, in_units, eps * top, max_iter))
            # A coefficient that ends its piece at zero no longer counts.
            df = [
                degrees_of_freedom(source, in_units, knot.lam, knot.free, knot.coef[knot.free])
                for knot in found
            ]
            return (
                np.array([knot.lam for knot in found]),
                np.array([knot.rss for knot in found]),
                np.array(df),
            )
        if isinstance(count, numbers.Integral):
            count = _validation.check_count(count, "alphas")
            alphas = _path.make_grid(
                data, penalty, _validation.check_grid(eps, l1_ratio), count, self.standardize
            )
        else:
            alphas = _validation.decreasing(count)
        solution = _active_set.solve_path(source, in_units, alphas, max_iter)
        df = [
            degrees_of_freedom(source, in_units, lam, solution.features, coef)
            for lam, coef in zip(alphas, solution.coefs, strict=True)
        ]
        return alphas, solution.rss, np.array(df)


def degrees_of_freedom(source, penalty, lam, features, coef):
    """Trace of the hat matrix of the free features: their rank, if there is no ridge penalty.

    Those with an l1 penalty are independent. Features without any need not be.

    Parameters
    ----------
    source : ColumnSource or MomentSource
    penalty : Penalty
        In the units of the source.
    lam : float
    features : ndarray of shape (m,), int64
    coef : ndarray of shape (m,)
    """
    rules = penalty.rules[features]
    with np.errstate(over="ignore"):
        rules[:, :2] *= lam
    free = np.array([_kernels.is_free(w, rule) for w, rule in zip(coef, rules, strict=True)], dtype=bool)
    ridge = np.minimum(rules[free, 1], LARGE)
    if not ridge.any() and rules[free, 0].all():
        return float(free.sum())
    gram = source.gram_of(features[free])
    unit = np.sqrt(gram.diagonal() + ridge)
    gram = gram / (unit * unit[:, None])
    values, vectors = linalg.eigh(gram + np.diag(ridge / unit / unit))
    kept = values > _ridge.DEPENDENT * values.max(initial=0.0)
    vectors = vectors[:, kept]
    return float((np.einsum("ij,ij->j", vectors, gram @ vectors) / values[kept]).sum())


class LassoIC(ElasticNetIC):
    r"""Lasso with `alpha` chosen by an information criterion, on its exact path.

    All parameters and attributes are those of `ElasticNetIC`, without `l1_ratio`, which is 1.

    Parameters
    ----------
    criterion : {"aic", "aicc", "bic", "ebic"}, default="aic"
    alphas : int, array-like or None, default=None
        None stands for all knots of the path.
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha; with 0 the path is that of
        `sklearn.linear_model.LassoLarsIC`, down to least squares.
    fit_intercept : bool, default=True
    precompute, copy_X
        Accepted for compatibility with scikit-learn; they do not change the result.
    max_iter : int, default=1000
    tol : float, default=1e-4
    noise_variance : float, default=None
    ebic_gamma : float, default=0.5
    positive : bool, default=False
    standardize : bool, default=False
    penalty_weights : array-like of shape (n_features,), default=None
    bounds : pair (lower, upper), default=None
        As in `ElasticNetIC`.

    Attributes
    ----------
    alpha_, alphas_, criterion_, degrees_of_freedom_, noise_variance_, coef_, intercept_, dual_gap_, n_iter_,
    objective_, status_, solver_, n_features_in_, feature_names_in_
        As in `ElasticNetIC`.

    See Also
    --------
    LassoCV : By cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import LassoIC
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = LassoIC("bic").fit(X, y)
    >>> round(float(model.alpha_), 4), int((model.coef_ != 0).sum())
    (0.0452, 7)
    """

    l1_ratio = 1.0
    _twin = linear_model.Lasso

    def __init__(
        self,
        criterion: InformationCriterion = "aic",
        *,
        alphas: Alphas | None = None,
        eps: float = 1e-3,
        fit_intercept: bool = True,
        precompute: Precompute = "auto",
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        noise_variance: float | None = None,
        ebic_gamma: float = 0.5,
        positive: bool = False,
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.criterion = criterion
        self.alphas = alphas
        self.eps = eps
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.noise_variance = noise_variance
        self.ebic_gamma = ebic_gamma
        self.positive = positive
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds
