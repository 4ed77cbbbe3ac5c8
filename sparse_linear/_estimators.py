"""The estimators: parameters, documentation, and a short fit."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from typing import TYPE_CHECKING, Any, ClassVar, Self, overload

import numpy as np
from sklearn import linear_model
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin

from sparse_linear import _dask, _path, _solve, _validation
from sparse_linear._penalty import make_penalty
from sparse_linear._streaming import Moments, check_moments

if TYPE_CHECKING:
    import dask.array
    from numpy.typing import ArrayLike, NDArray
    from scipy import sparse

    from sparse_linear._typing import (
        AsX,
        Bounds,
        ColumnsLike,
        DaskCollection,
        MatrixLike,
        PerTarget,
        Precompute,
        RandomState,
        RidgeSolver,
        Selection,
    )

# Types of parameters of which a copy is the same object.
UNCHANGING = frozenset({bool, int, float, str, type(None)})


@functools.cache
def _parameter_names(kind):
    """Names of the parameters of a class, in alphabetical order; a search asks for them again and again."""
    return sorted(name for name in inspect.signature(kind.__init__).parameters if name != "self")


def _version():
    from sparse_linear import __version__  # which imports this module

    return __version__


class LinearModel(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """What the estimators share: prediction, tags, and turning a `Fit` into fitted attributes."""

    coef_: AsX
    intercept_: float | np.floating[Any] | AsX
    dual_gap_: PerTarget
    objective_: PerTarget
    solver_: str
    status_: str | list[str]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _twin: ClassVar[type]

    @overload
    def predict(self, X: DaskCollection) -> dask.array.Array: ...
    @overload
    def predict(self, X: MatrixLike) -> AsX: ...
    def predict(self, X: MatrixLike | DaskCollection) -> AsX | dask.array.Array:
        """Predict targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            A Dask array, not computed, if X is a Dask collection.
        """
        if _dask.is_collection(X):
            return _dask.predict(self, X)
        X = _validation.check_prediction_data(self, X)
        return np.asarray(X @ self.coef_.T) + self.intercept_

    def score(self, X: MatrixLike, y: ColumnsLike, sample_weight: ColumnsLike | None = None) -> float:
        """Coefficient of determination of the predictions, as scikit-learn defines it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
        """
        plain = isinstance(getattr(self, "intercept_", None), float) and sample_weight is None
        if plain and type(y) is np.ndarray and y.dtype == np.float64 and y.ndim == 1 and len(y) > 1:
            # The general way takes longer than a small fit; searches over parameters call this for each.
            apart = y - self.predict(X)
            centred = y - y.mean()
            spread = centred @ centred
            if np.isfinite(spread) and spread > 0.0:
                return float(1.0 - apart @ apart / spread)
        return super().score(X, y, sample_weight)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this estimator, as `sklearn.base.BaseEstimator.get_params`.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of objects among the parameters are included.

        Returns
        -------
        dict
        """
        kind: type = type(self)
        params = {name: getattr(self, name) for name in _parameter_names(kind)}
        for name, value in list(params.items()) if deep else ():
            if hasattr(value, "get_params") and not isinstance(value, type):
                params.update((f"{name}__{inner}", part) for inner, part in value.get_params().items())
        return params

    def __sklearn_clone__(self):
        """An unfitted copy, as `sklearn.base.clone` makes it; quickly where there is nothing to be copied."""
        params = self.get_params(deep=False)
        plain = all(type(value) in UNCHANGING for value in params.values())
        if plain and not any(name.startswith("_") for name in vars(self)):  # what else it may keep is private
            twin = type(self)(**params)
            if all(getattr(twin, name) is value for name, value in params.items()):
                return twin
        return super().__sklearn_clone__()

    @property
    def sparse_coef_(self) -> sparse.csr_array | sparse.csr_matrix:
        """`coef_` as a CSR matrix, or array: as scikit-learn's `sparse_interface` is set."""
        return _validation.sparse_rows(self.coef_)

    def to_sklearn(self) -> linear_model.ElasticNet | linear_model.Ridge:
        """The fitted model of `sklearn.linear_model` that predicts the same, to the last bit.

        It needs neither this package nor Numba where it is used, and converts with what is made for
        scikit-learn, such as skl2onnx or SHAP's `LinearExplainer`.

        Returns
        -------
        sklearn.linear_model.Lasso, ElasticNet or Ridge
            The plain class also from the classes that choose parameters, with what they chose (arrays, if
            each target has its own).

        Notes
        -----
        It has copies of `coef_`, `intercept_`, `n_iter_`, `dual_gap_` and the names of the features, and the
        parameters that scikit-learn has too. It is made for prediction. A new fit of it would know nothing of
        `standardize`, `penalty_weights`, `bounds` and `relax`, which have shaped these coefficients.

        Examples
        --------
        >>> from sparse_linear import LassoCV
        >>> model = LassoCV(standardize=True).fit([[0.0], [1.0], [2.0], [3.0], [4.0]], [0, 1, 2, 3, 5])
        >>> twin = model.to_sklearn()
        >>> type(twin).__module__.split(".")[0], bool(twin.alpha == model.alpha_)
        ('sklearn', True)
        """
        _validation.check_is_fitted(self)
        twin = self._twin()
        known = twin.get_params(deep=False)
        params = self.get_params(deep=False)
        if isinstance(params.get("precompute"), str):
            del params["precompute"]  # "auto" is for the classes that choose alpha
        chosen = {name: vars(self).get(f"{name}_") for name in ("alpha", "l1_ratio")}
        params |= {name: value for name, value in chosen.items() if value is not None}
        twin.set_params(**{name: value for name, value in params.items() if name in known})
        for name in ("coef_", "n_iter_", "dual_gap_", "n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(twin, name, copy.copy(getattr(self, name)))
        # Without an intercept ours is a plain 0.0, as scikit-learn's is, which skl2onnx cannot take.
        twin.intercept_ = np.array(self.intercept_, dtype=twin.coef_.dtype)[()]
        return twin

    def __getstate__(self):
        return {**super().__getstate__(), "_version": _version()}

    def __setstate__(self, state):
        state = dict(state)
        before, now = state.pop("_version", "an unknown version"), _version()
        if before != now:
            warnings.warn(
                f"This {type(self).__name__} was pickled by sparse_linear {before} and is loaded by {now}, "
                "which may understand it differently; fit it again, or install the version that made it.",
                stacklevel=2,
            )
        super().__setstate__(state)

    def _repr_mimebundle_(self, **kwargs):
        """What a notebook shows: scikit-learn's diagram, and a fitted model's `summary` below it."""
        shown = super()._repr_mimebundle_(**kwargs)
        if "text/html" in shown:
            shown["text/html"] += self._summary_in_html()
        return shown

    @property
    def _repr_html_(self):
        """The same for tools that do not ask for `_repr_mimebundle_`."""
        diagram = super()._repr_html_  # no attribute where scikit-learn is set to text
        return lambda: diagram() + self._summary_in_html()

    def _summary_in_html(self):
        from sparse_linear._report import summary  # which imports this module

        return summary(self)._repr_html_() if hasattr(self, "coef_") else ""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked_penalty(self, n_features, l1, l2):
        weights = _validation.check_penalty_weights(self.penalty_weights, n_features)
        lower, upper = _validation.check_bounds(self.bounds, self.positive, n_features)
        return make_penalty(n_features, l1, l2, weights, lower, upper)

    def _store(self, result, dtype, one_column):
        """Set the fitted attributes, in scikit-learn's shapes: those of one target lose their first axis.

        `one_column` says that y had one dimension.
        """
        single = len(result.parts) == 1
        coef = result.coefs[:, :, 0].astype(dtype)
        gaps, objectives = result.gaps[:, 0], result.objectives[:, 0]
        statuses = [status for (status,) in result.statuses]
        self.coef_ = coef[0] if single else coef
        if self.fit_intercept:
            intercept = result.intercepts[:, 0].astype(dtype)
            self.intercept_ = intercept[0] if one_column else intercept
        else:
            self.intercept_ = 0.0
        self.dual_gap_ = gaps[0] if single else gaps
        self.objective_ = objectives[0] if single else objectives
        self.solver_ = result.solver
        self.status_ = statuses[0] if single else statuses
        return result.n_iters[:, 0]


class StreamingModel(LinearModel):
    """A model that can be fitted to the moments of rows: all of them, or more and more."""

    moments_: Moments

    @_validation.atomic
    def fit_moments(self, moments: Moments) -> Self:
        """Fit to the moments of rows that need not be in memory, nor anywhere.

        Parameters
        ----------
        moments : Moments

        Returns
        -------
        self : object

        Notes
        -----
        The certificate is computed from the moments, and allows for the rounding in them: `dual_gap_` bounds
        the distance from the minimum for the rows themselves.
        """
        return self._fit_moments(moments)

    @_validation.atomic
    def partial_fit(self, X: MatrixLike, y: ColumnsLike, sample_weight: ColumnsLike | None = None) -> Self:
        """Fit exactly to these rows and all those of earlier calls.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        self : object

        Notes
        -----
        What is kept of the rows is in `moments_`, a `Moments`; to forget rows, subtract their moments and
        call `fit_moments`. `fit` begins anew.
        """
        seen = vars(self).get("moments_", Moments())
        X, y = _validation.check_training_data(self, X, y, reset=seen.n_samples == 0)
        names = vars(self).get("feature_names_in_")
        return self._fit_moments(seen + Moments.of_checked(X, y, sample_weight, names))

    def _fit_moments(self, moments):
        settings = self._checked_settings()
        check_moments(moments).describe(self)
        self.moments_ = moments
        data = _solve.Data.from_sums(moments.sums.copy(), self.fit_intercept)
        return self._fit(data, settings, np.float64, moments.n_targets is None)


class ElasticNet(StreamingModel):
    r"""Linear regression with an L1 and an L2 penalty, solved exactly.

    Minimises

    .. math::

        \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j p_j \bigl(\rho |w_j| + \tfrac{1 - \rho}{2} w_j^2\bigr),
        \qquad \ell_j \le w_j \le u_j,

    with :math:`\rho` = `l1_ratio`, sample weights :math:`s`, penalty weights :math:`p` and bounds
    :math:`\ell, u`: the objective of
    `sklearn.linear_model.ElasticNet`, in its scale.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty. 0 is least squares.
    l1_ratio : float, default=0.5
        Share of the L1 penalty, in [0, 1].
    fit_intercept : bool, default=True
        Whether an unpenalised intercept is fitted.
    precompute : bool or array-like of shape (n_features, n_features), default=False
        Accepted for compatibility; the solver decides itself which Gram matrices it needs.
    copy_X : bool, default=True
        Accepted for compatibility; X is never written.
    max_iter : int, default=1000
        Limit of active-set rounds for each alpha the solver passes through. A round moves to the exact
        minimiser on the current set of non-zero coefficients and then lets in the features that want to
        enter; a handful is usual. Where thousands of coefficients are non-zero, it is the limit of epochs of
        coordinate descent.
    tol : float, default=1e-4
        What scikit-learn promises: a duality gap of at most `tol` times the mean square of the (centred) y.
        The solver delivers gaps near rounding error whatever `tol`, and warns if it ends above `tol`. Only
        where more than 8192 features have to be considered at once, coordinate descent takes over and stops
        at `tol` (unless all have a ridge penalty, and there are at most 2048 rows).
    warm_start : bool, default=False
        Start from the coefficients of the previous fit. It may save time; the answer is the same.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    random_state : int, RandomState instance or None, default=None
        Accepted for compatibility; nothing is random.
    selection : {"cyclic", "random"}, default="cyclic"
        Accepted for compatibility; it does not matter to an exact solver.
    standardize : bool, default=False
        Penalise coefficients on the scale of columns with unit weighted standard deviation (root mean square
        without an intercept). They are returned on the scale of X, and X is neither copied nor densified.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (never penalised) to infinity (excluded).
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients: scalars or arrays of shape (n_features,), with ``lower <= 0 <= upper``.
    relax : float, default=0.0
        Amount of relaxation in [0, 1] (the relaxed lasso): coefficients are ``(1 - relax)`` times the
        penalised ones plus `relax` times those of least squares on the same support, within the bounds. All
        attributes but `coef_` and `intercept_` speak of the penalised solution.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        In the dtype of X.
    intercept_ : float or ndarray of shape (n_targets,)
    n_iter_ : int or list of int
        Active-set rounds, over all alphas passed through.
    dual_gap_ : float or ndarray of shape (n_targets,)
        Certified upper bound on how far `objective_` is from the minimum, in the scale of the objective,
        computed in float64 (before coefficients are rounded to the dtype of X).
    objective_ : float or ndarray of shape (n_targets,)
        Value of the objective above.
    solver_ : str
        Which solver ran, and why.
    status_ : str or list of str
        How it ended.
    sparse_coef_ : sparse matrix of shape (n_features, 1) or (n_targets, n_features)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X has string column names.

    See Also
    --------
    Lasso : Without the L2 penalty.
    enet_path : The solutions for many alphas at the price of little more than one.

    Notes
    -----
    Constant columns get coefficient 0, and so do those whose squares vanish in float64 (values below about
    1e-154). With ``alpha=0`` the answer is least squares, the one with the smallest coefficients (in the
    Euclidean norm) where there are many and no bounds are set, and a warning says that `LinearRegression` is
    made for it.

    Examples
    --------
    >>> from sparse_linear import ElasticNet
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNet(alpha=0.01, l1_ratio=0.9).fit(X, y)
    >>> int((model.coef_ != 0).sum()), bool(model.dual_gap_ < 1e-9 * model.objective_)
    (10, True)
    """

    n_iter_: int | list[int]

    path = staticmethod(_path.enet_path)
    _twin = linear_model.ElasticNet

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        precompute: Precompute = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: RandomState = None,
        selection: Selection = "cyclic",
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
        relax: float = 0.0,
    ) -> None:
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds
        self.relax = relax

    @_validation.atomic
    def fit(
        self,
        X: MatrixLike | DaskCollection,
        y: ColumnsLike | DaskCollection,
        sample_weight: ColumnsLike | DaskCollection | None = None,
        check_input: bool = True,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_samples, n_features)
            Dense of any memory order, or CSC/CSR (other sparse formats are converted); float32 stays float32.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Several targets are fitted independently of one another and share all work on X.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Non-negative; only their ratios matter. Zero leaves a row out.
        check_input : bool, default=True
            Accepted for compatibility; input is always checked.

        Returns
        -------
        self : object

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the certified gap is larger than `tol` allows.
        """
        if _dask.is_collection(X):
            return self._fit_moments(_dask.moments(X, y, sample_weight))
        settings = self._checked_settings()
        X, y = _validation.check_training_data(self, X, y)
        n, p = X.shape
        weights = _validation.check_sample_weight(sample_weight, n)
        _validation.check_precompute(self.precompute, X, weights, self.fit_intercept)
        targets = y.reshape(n, -1)
        data = _solve.Data(X, targets, weights, self.fit_intercept)
        self.__dict__.pop("moments_", None)
        return self._fit(data, settings, X.dtype, y.ndim == 1, self._start(targets.shape[1], p))

    def _checked_settings(self):
        """Alpha, l1_ratio, relax, tol and max_iter; the other parameters are checked too."""
        alpha = _validation.check_real(self.alpha, "alpha", low=0.0)
        l1_ratio = _validation.check_real(self.l1_ratio, "l1_ratio", low=0.0, high=1.0)
        relax = _validation.check_real(self.relax, "relax", low=0.0, high=1.0)
        tol = _validation.check_real(self.tol, "tol", low=0.0)
        max_iter = _validation.check_count(self.max_iter, "max_iter")
        _validation.check_flags(
            fit_intercept=self.fit_intercept,
            warm_start=self.warm_start,
            positive=self.positive,
            standardize=self.standardize,
        )
        _validation.check_choice(self.selection, "selection", ("cyclic", "random"))
        return alpha, l1_ratio, relax, tol, max_iter

    def _fit(self, data, settings, dtype, one_column, start=None):
        """Fit checked data; `one_column` says that y has one dimension."""
        alpha, l1_ratio, relax, tol, max_iter = settings
        penalty = self._checked_penalty(data.n_features, l1_ratio, 1.0 - l1_ratio)
        if alpha == 0.0:
            _solve.warn_about_zero_alpha(stacklevel=5)
        result = _solve.fit(
            data,
            penalty,
            np.full((data.n_targets, 1), alpha),
            standardize=self.standardize,
            max_iter=max_iter,
            start=start,
            tol=tol,
        )
        if relax > 0.0:
            [(parts, intercepts)] = _solve.relaxed(data, result, penalty, np.array([relax]), max_iter)
            result = result._replace(parts=parts, intercepts=intercepts)
        rounds = self._store(result, dtype, one_column)
        self.n_iter_ = int(rounds[0]) if len(rounds) == 1 else rounds.tolist()
        _solve.warn_unconverged(result, tol, max_iter, stacklevel=5)
        return self

    def _start(self, n_targets, n_features):
        """Coefficients of the previous fit, if they are asked for and fit the new data."""
        coef = getattr(self, "coef_", None) if self.warm_start else None
        if coef is None or np.size(coef) != n_targets * n_features:
            return None
        return np.reshape(coef, (n_targets, n_features)).astype(np.float64)


class Lasso(ElasticNet):
    r"""Linear regression with an L1 penalty, solved exactly.

    Minimises

    .. math::

        \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - x_i^T w - b)^2 + \alpha \sum_j p_j |w_j|,
        \qquad \ell_j \le w_j \le u_j,

    the objective of `sklearn.linear_model.Lasso`, in its scale. All parameters, attributes and notes are
    those of
    `ElasticNet`, without `l1_ratio`, which is 1.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty. 0 is least squares.
    fit_intercept : bool, default=True
        Whether an unpenalised intercept is fitted.
    precompute, copy_X, random_state, selection
        Accepted for compatibility with scikit-learn; they do not change the result.
    max_iter : int, default=1000
        Limit of active-set rounds for each alpha the solver passes through.
    tol : float, default=1e-4
        Largest duality gap without a warning, in units of the mean square of the (centred) y; see
        `ElasticNet`.
    warm_start : bool, default=False
        Start from the coefficients of the previous fit.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    standardize : bool, default=False
        Penalise on the scale of columns with unit weighted standard deviation; coefficients are returned on
        the scale of X.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (never penalised) to infinity (excluded).
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients: scalars or arrays of shape (n_features,), with ``lower <= 0 <= upper``.
    relax : float, default=0.0
        Amount of relaxation in [0, 1]: 1 is least squares on the support; see `ElasticNet`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, objective_, solver_, status_, sparse_coef_, n_features_in_,
    feature_names_in_
        As in `ElasticNet`.

    See Also
    --------
    ElasticNet : With an L2 penalty beside.
    lasso_path : The solutions for many alphas.

    Examples
    --------
    >>> from sparse_linear import Lasso
    >>> model = Lasso(alpha=0.1).fit([[0, 0], [1, 1], [2, 2]], [0, 1, 2])
    >>> model.coef_.round(6), float(round(model.intercept_, 6))
    (array([0.85, 0.  ]), 0.15)
    """

    l1_ratio = 1.0
    _twin = linear_model.Lasso

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        precompute: Precompute = False,
        copy_X: bool = True,
        max_iter: int = 1000,
        tol: float = 1e-4,
        warm_start: bool = False,
        positive: bool = False,
        random_state: RandomState = None,
        selection: Selection = "cyclic",
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
        relax: float = 0.0,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.precompute = precompute
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.positive = positive
        self.random_state = random_state
        self.selection = selection
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds
        self.relax = relax


class RidgeModel(LinearModel):
    """What `Ridge` and `RidgeCV` share: how well posed the problem was."""

    _twin = linear_model.Ridge

    def _keep_conditioning(self, data, penalty, alphas):
        self._conditioning = data.conditioning(penalty, self.standardize)
        self._fitted_alphas = alphas

    @property
    def rank_(self) -> int:
        """Rank of the weighted, centred data."""
        return int(self._conditioning.spectrum().rank)

    @property
    def condition_number_(self) -> float:
        """Condition number of the data."""
        return float(self._conditioning.spectrum().condition())

    @property
    def penalised_condition_number_(self) -> PerTarget:
        """Condition number of the data with the penalty, one for each alpha."""
        spectrum = self._conditioning.spectrum()
        if np.ndim(self._fitted_alphas) == 0:
            return float(spectrum.condition(self._fitted_alphas))
        return np.array([spectrum.condition(alpha) for alpha in self._fitted_alphas])


class Ridge(StreamingModel, RidgeModel):
    r"""Linear regression with an L2 penalty, in closed form.

    Minimises

    .. math::

        \sum_i s_i (y_i - x_i^T w - b)^2 + \alpha \sum_j p_j w_j^2,
        \qquad \ell_j \le w_j \le u_j,

    the objective of `sklearn.linear_model.Ridge`, in its scale (a sum over rows, not a mean: repeating every
    row has the effect of halving `alpha`).

    Parameters
    ----------
    alpha : float or array-like of shape (n_targets,), default=1.0
        Strength of the penalty, one for all targets or one for each.
    fit_intercept : bool, default=True
        Whether an unpenalised intercept is fitted.
    copy_X : bool, default=True
        Accepted for compatibility; X is never written.
    max_iter : int, default=None
        Limit of iterations or active-set rounds; None stands for 10 000. Closed forms do not iterate.
    tol : float, default=1e-4
        Largest duality gap without a warning, in units of the mean square of the (centred) y. Answers are as
        accurate as the data allow whatever `tol`. With bounds or ``positive=True`` the active-set solver
        runs, and `tol` means what it means in `ElasticNet`.
    solver : {"auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs"}, default="auto"
        "svd" takes singular values of a dense X (without bounds); "lsqr" and "sparse_cg" iterate (conjugate
        gradients) where X is sparse; all other names leave the choice to `sparse_linear`, which says in
        `solver_` what ran, and why.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    random_state : int, RandomState instance or None, default=None
        Accepted for compatibility; nothing is random.
    standardize : bool, default=False
        Penalise on the scale of columns with unit weighted standard deviation; coefficients are returned on
        the scale of X.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (never penalised, in closed form) to infinity (excluded).
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients: scalars or arrays of shape (n_features,), with ``lower <= 0 <= upper``.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        In the dtype of X.
    intercept_ : float or ndarray of shape (n_targets,)
    n_iter_ : None or ndarray of shape (n_targets,)
        Iterations or rounds, None for closed forms.
    dual_gap_, objective_ : float or ndarray of shape (n_targets,)
        Certified distance from the minimum, and the value, of the objective above.
    solver_ : str
        Which solver ran, and why.
    status_ : str or list of str
        How it ended; a list with several targets.
    rank_ : int
        Rank of the weighted, centred data. Columns of unit length count as dependent within 1e-7, or 1e-12
        where the fit took singular values (`solver_` says so). -1 if unknown: after iterations, or with
        bounds and wide X.
    condition_number_ : float
        Largest singular value over the smallest that is not zero, of the data as the penalty sees them: rows
        times :math:`\sqrt{s_i}`, columns centred, divided by :math:`\sqrt{p_j}` (and by their standard
        deviations, with `standardize`), without what unpenalised columns explain. With more than 16 rows and
        columns it is an estimate from 16 Lanczos steps, never above the truth and usually within a few per
        cent of it. NaN if unknown.
    penalised_condition_number_ : float or ndarray of shape (n_targets,)
        The same with :math:`\sqrt{\alpha}` times the identity below the data (one for each `alpha`): what the
        accuracy of `coef_` depends on. Its error is about this number times 1e-16, or where the residuals are
        large, its square times 1e-16 (Wedin 1973; for data known to 1e-16 there is no more to know).
    sparse_coef_ : sparse matrix of shape (1, n_features) or (n_targets, n_features)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if X has string column names.

    See Also
    --------
    ridge_path : The solutions for many alphas.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_linear import Ridge
    >>> X = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0], [3.0, 2.0]])
    >>> Ridge(alpha=1.0).fit(X, [0.0, 1.0, 2.0, 4.0]).coef_.round(4)
    array([1.0294, 0.3235])
    """

    n_iter_: NDArray[np.int64] | None

    def __init__(
        self,
        alpha: float | ArrayLike = 1.0,
        *,
        fit_intercept: bool = True,
        copy_X: bool = True,
        max_iter: int | None = None,
        tol: float = 1e-4,
        solver: RidgeSolver = "auto",
        positive: bool = False,
        random_state: RandomState = None,
        standardize: bool = False,
        penalty_weights: ArrayLike | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.copy_X = copy_X
        self.max_iter = max_iter
        self.tol = tol
        self.solver = solver
        self.positive = positive
        self.random_state = random_state
        self.standardize = standardize
        self.penalty_weights = penalty_weights
        self.bounds = bounds

    @_validation.atomic
    def fit(
        self,
        X: MatrixLike | DaskCollection,
        y: ColumnsLike | DaskCollection,
        sample_weight: ColumnsLike | DaskCollection | None = None,
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_samples, n_features)
            Dense of any memory order, or CSC/CSR (other sparse formats are converted); float32 stays float32.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Several targets share the factorisation.
        sample_weight : float or array-like of shape (n_samples,), default=None
            Non-negative. Zero leaves a row out, 2 counts it twice.

        Returns
        -------
        self : object
        """
        if _dask.is_collection(X):
            return self._fit_moments(_dask.moments(X, y, sample_weight))
        settings = self._checked_settings()
        X, y = _validation.check_training_data(self, X, y)
        n = len(y)
        targets = y.reshape(n, -1)
        self._alphas(targets.shape[1])
        weights = _validation.check_sample_weight(sample_weight, n)
        self.__dict__.pop("moments_", None)
        data = _solve.Data(X, targets, weights, self.fit_intercept)
        return self._fit(data, settings, X.dtype, y.ndim == 1)

    def _checked_settings(self):
        """Tol and max_iter; the other parameters are checked too."""
        tol = _validation.check_real(self.tol, "tol", low=0.0)
        max_iter = 10_000 if self.max_iter is None else _validation.check_count(self.max_iter, "max_iter")
        _validation.check_flags(
            fit_intercept=self.fit_intercept, positive=self.positive, standardize=self.standardize
        )
        _validation.check_choice(self.solver, "solver", _validation.SOLVERS)
        if _validation.n_axes(self.alpha) == 0:
            _validation.check_real(self.alpha, "alpha", low=0.0)
        return tol, max_iter

    def _alphas(self, n_targets):
        """One alpha for each target."""
        single = isinstance(self.alpha, np.ndarray) and self.alpha.size == 1
        if single or _validation.n_axes(self.alpha) == 0:
            alpha = self.alpha if type(self.alpha) is float else np.asarray(self.alpha).item()
            return np.full(n_targets, _validation.check_real(alpha, "alpha", low=0.0))
        alphas = _validation.check_vector(self.alpha, "alpha", n_targets, "target")
        for value in alphas:
            _validation.check_real(value, "alpha", low=0.0)
        return alphas

    def _fit(self, data, settings, dtype, one_column):
        """Fit checked data; `one_column` says that y has one dimension."""
        tol, max_iter = settings
        alphas = self._alphas(data.n_targets)
        penalty = self._checked_penalty(data.n_features, 0.0, 1.0)
        result = _solve.fit(
            data,
            penalty,
            alphas[:, None],
            standardize=self.standardize,
            max_iter=max_iter,
            sum_scaled=True,
            wish=self.solver,
            tol=tol,
        )
        rounds = self._store(result, dtype, one_column)
        self.n_iter_ = rounds if result.iterative else None
        self._keep_conditioning(data, penalty, alphas if np.size(self.alpha) > 1 else float(alphas[0]))
        _solve.warn_unconverged(result, tol, max_iter, stacklevel=5)
        return self
