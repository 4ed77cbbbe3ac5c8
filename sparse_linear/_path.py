"""Regularisation paths as functions, and the grids of alphas they run over."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from sparse_linear import _active_set, _knots, _solve, _validation
from sparse_linear._penalty import make_penalty

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sparse_linear._typing import (
        Alphas,
        AsX,
        Bounds,
        ColumnsLike,
        Floats,
        MatrixLike,
        PathOptions,
        Precompute,
        RandomState,
        RidgeSolver,
        Selection,
    )


class Path(tuple[Any, ...]):  # arrays, and a list if there is a fourth
    """Result of a path function: a tuple as scikit-learn returns it, with everything else as attributes.

    Unpacks to ``alphas, coefs, dual_gaps``, and ``n_iters`` too with ``return_n_iter=True``.

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        Decreasing.
    coefs : ndarray of shape (n_features, n_alphas) or (n_targets, n_features, n_alphas)
    dual_gaps : ndarray of shape (n_alphas,) or (n_targets, n_alphas)
        Certified duality gaps, in the scale of the objective.
    intercepts : ndarray of shape (n_alphas,) or (n_targets, n_alphas)
        Zeros without an intercept.
    objectives : ndarray of shape (n_alphas,) or (n_targets, n_alphas)
    n_iters : list of int
        Rounds (or iterations) spent on each alpha.
    statuses : tuple of str
        One sentence for each alpha.
    solver : str
        Which solver ran, and why.
    """

    alphas: Floats
    coefs: AsX
    dual_gaps: Floats
    intercepts: Floats
    objectives: Floats
    n_iters: list[int] | list[list[int]]
    statuses: tuple[str, ...] | tuple[tuple[str, ...], ...]
    solver: str

    def __new__(cls, values, **attributes):
        self = super().__new__(cls, values)
        self.__dict__.update(attributes)
        return self

    def __getnewargs_ex__(self):
        return (tuple(self),), self.__dict__


def enet_path(
    X: MatrixLike,
    y: ColumnsLike,
    *,
    l1_ratio: float = 0.5,
    eps: float = 1e-3,
    n_alphas: int | None = None,
    alphas: Alphas | None = 100,
    precompute: Precompute = "auto",
    Xy: ArrayLike | None = None,
    copy_X: bool = True,
    coef_init: ArrayLike | None = None,
    verbose: int = False,
    return_n_iter: bool = False,
    positive: bool = False,
    check_input: bool = True,
    fit_intercept: bool = False,
    sample_weight: ColumnsLike | None = None,
    penalty_weights: ArrayLike | None = None,
    bounds: Bounds | None = None,
    standardize: bool = False,
    tol: float = 1e-4,
    max_iter: int = 1000,
    random_state: RandomState = None,
    selection: Selection = "cyclic",
    max_features: int | None = None,
) -> Path:
    r"""Elastic net solutions for a sequence of alphas.

    For every alpha this minimises, exactly,

    .. math::

        \frac{1}{2 \sum_i s_i} \sum_i s_i (y_i - x_i^T w - b)^2
        + \alpha \sum_j p_j \bigl(\rho |w_j| + \tfrac{1 - \rho}{2} w_j^2\bigr),
        \qquad \ell_j \le w_j \le u_j,

    with :math:`\rho` = `l1_ratio`, sample weights :math:`s`, penalty weights :math:`p` and, with
    ``fit_intercept=True``, an intercept :math:`b`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Never written, never copied as a whole (integers are converted to float64).
    y : array-like of shape (n_samples,)
    l1_ratio : float, default=0.5
        In [0, 1]; 1 is the Lasso.
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha of an automatic grid.
    n_alphas : int, default=None
        Number of alphas of an automatic grid; the older name of an integer `alphas`.
    alphas : int or array-like, default=100
        Number of alphas of an automatic grid, or the alphas themselves, which are sorted in decreasing order.
    precompute, Xy, copy_X, selection, random_state, check_input
        Accepted for compatibility with scikit-learn; they do not change the result.
    coef_init : array-like of shape (n_features,), default=None
        Where to start; it saves time, the solution is the same.
    verbose : bool or int, default=False
        Accepted for compatibility.
    return_n_iter : bool, default=False
        Whether the tuple has `n_iters` as a fourth entry.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    fit_intercept : bool, default=False
        Whether an unpenalised intercept is fitted; it is the attribute `intercepts` of the result.
    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative; only their ratios matter.
    penalty_weights : array-like of shape (n_features,), default=None
        Factor of each feature's penalty, from 0 (not penalised) to infinity (excluded).
    bounds : pair (lower, upper), default=None
        Bounds of the coefficients, scalars or arrays of shape (n_features,), with lower <= 0 <= upper.
    standardize : bool, default=False
        Penalise the coefficients on the scale of columns of unit weighted standard deviation (root mean
        square without an intercept); they are returned on the scale of X.
    tol : float, default=1e-4
        Warn if a duality gap exceeds `tol` times the mean square of the (centred) y. Answers are exact
        whatever `tol`, up to 8192 features in play at once; beyond, coordinate descent stops at `tol` (unless
        all have a ridge penalty, and there are at most 2048 rows).
    max_iter : int, default=1000
        Limit of active-set rounds for each alpha.
    max_features : int, default=None
        End the path where more coefficients would become non-zero, at exactly that alpha (see `alpha_for`);
        only with ``l1_ratio=1``, and not less than the number of features with a penalty weight of 0.

    Returns
    -------
    Path
        A tuple ``(alphas, coefs, dual_gaps)``, with `n_iters` too if `return_n_iter`; see `Path`.

    Warns
    -----
    sklearn.exceptions.ConvergenceWarning
        If a gap is larger than `tol` allows.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_linear import enet_path
    >>> X = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 4.0]])
    >>> y = np.array([1.0, 2.0, 3.0, 5.0])
    >>> path = enet_path(X, y, alphas=[1.0, 0.1], fit_intercept=True)
    >>> path.coefs.round(3)
    array([[0.576, 1.212],
           [0.093, 0.   ]])
    >>> bool((path.dual_gaps < 1e-12).all())
    True
    """
    l1_ratio = _validation.check_real(l1_ratio, "l1_ratio", low=0.0, high=1.0)
    _validation.check_flags(
        positive=positive, fit_intercept=fit_intercept, standardize=standardize, return_n_iter=return_n_iter
    )
    _validation.check_choice(selection, "selection", ("cyclic", "random"))
    tol = _validation.check_real(tol, "tol", low=0.0)
    max_iter = _validation.check_count(max_iter, "max_iter")
    X, y = _one_target(X, y)
    n, p = X.shape
    weights = _validation.check_sample_weight(sample_weight, n)
    _validation.check_precompute(precompute, X, weights, fit_intercept)
    penalty = make_penalty(
        p,
        l1_ratio,
        1.0 - l1_ratio,
        _validation.check_penalty_weights(penalty_weights, p),
        *_validation.check_bounds(bounds, positive, p),
    )
    if coef_init is not None:
        coef_init = _validation.check_vector(coef_init, "coef_init", p, "feature", finite=True)[None]
    if n_alphas is not None and (alphas is None or isinstance(alphas, numbers.Integral)):
        alphas = _validation.check_count(n_alphas, "n_alphas")
    data = _solve.Data(X, y[:, None], weights, fit_intercept)
    if alphas is None or isinstance(alphas, numbers.Integral):
        count = 100 if alphas is None else _validation.check_count(alphas, "alphas")
        eps = _validation.check_grid(eps, l1_ratio)
        data.prepare(penalty, count)
        alphas = make_grid(data, penalty, eps, count, standardize)
    else:
        alphas = _validation.decreasing(alphas)
    if max_features is not None:
        if l1_ratio != 1.0:
            raise ValueError(f"max_features needs l1_ratio=1 (the Lasso), got l1_ratio={l1_ratio:g}.")
        size = _validation.check_count(max_features, "max_features")
        _check_size(size, "max_features", data, penalty)
        last = _alpha_for(data, penalty, standardize, size, None, alphas[-1])
        if last > alphas[-1]:
            alphas = np.append(alphas[alphas > last], last)
    result = _solve.fit(
        data,
        penalty,
        alphas[None],
        standardize=standardize,
        max_iter=max_iter,
        start=coef_init,
        tol=tol,
    )
    _solve.warn_unconverged(result, tol, max_iter)
    coefs = result.coefs[0].astype(X.dtype, copy=False)
    n_iters = result.n_iters[0].tolist()
    values = (alphas, coefs, result.gaps[0])
    return Path(
        (*values, n_iters) if return_n_iter else values,
        alphas=alphas,
        coefs=coefs,
        dual_gaps=result.gaps[0],
        intercepts=result.intercepts[0],
        objectives=result.objectives[0],
        n_iters=n_iters,
        statuses=result.statuses[0],
        solver=result.solver,
    )


def lasso_path(
    X: MatrixLike,
    y: ColumnsLike,
    *,
    eps: float = 1e-3,
    n_alphas: int | None = None,
    alphas: Alphas | None = 100,
    precompute: Precompute = "auto",
    Xy: ArrayLike | None = None,
    copy_X: bool = True,
    coef_init: ArrayLike | None = None,
    verbose: int = False,
    return_n_iter: bool = False,
    positive: bool = False,
    **params: Unpack[PathOptions],
) -> Path:
    """Lasso solutions for a sequence of alphas: `enet_path` with ``l1_ratio=1``.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    eps : float, default=1e-3
        Ratio of the smallest to the largest alpha of an automatic grid.
    n_alphas : int, default=None
        Number of alphas of an automatic grid; the older name of an integer `alphas`.
    alphas : int or array-like, default=100
        Number of alphas of an automatic grid, or the alphas themselves.
    precompute, Xy, copy_X, verbose
        Accepted for compatibility with scikit-learn; they do not change the result.
    coef_init : array-like of shape (n_features,), default=None
        Where to start; it saves time, the solution is the same.
    return_n_iter : bool, default=False
        Whether the tuple has `n_iters` as a fourth entry.
    positive : bool, default=False
        Restrict the coefficients to be non-negative.
    **params
        The other keywords of `enet_path`: `fit_intercept`, `sample_weight`, `penalty_weights`, `bounds`,
        `standardize`, `tol`, `max_iter`, `max_features`, and those that change nothing.

    Returns
    -------
    Path
        A tuple ``(alphas, coefs, dual_gaps)``, with `n_iters` too if `return_n_iter`; see `Path`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_linear import lasso_path
    >>> X = np.array([[1, 2, 3.1], [2.3, 5.4, 4.3]]).T
    >>> y = np.array([1, 2, 3.1])
    >>> alphas, coefs, dual_gaps = lasso_path(X, y, alphas=[5.0, 1.0, 0.5])
    >>> print(coefs.round(4))
    [[0.     0.     0.4692]
     [0.2159 0.4426 0.2367]]
    """
    if "l1_ratio" in params:
        raise TypeError("lasso_path has no l1_ratio (it is 1); call enet_path to set it.")
    return enet_path(
        X,
        y,
        l1_ratio=1.0,
        eps=eps,
        n_alphas=n_alphas,
        alphas=alphas,
        precompute=precompute,
        Xy=Xy,
        copy_X=copy_X,
        coef_init=coef_init,
        verbose=verbose,
        return_n_iter=return_n_iter,
        positive=positive,
        **params,
    )


def ridge_path(
    X: MatrixLike,
    y: ColumnsLike,
    alphas: ArrayLike,
    *,
    fit_intercept: bool = False,
    sample_weight: ColumnsLike | None = None,
    penalty_weights: ArrayLike | None = None,
    bounds: Bounds | None = None,
    positive: bool = False,
    standardize: bool = False,
    solver: RidgeSolver = "auto",
    max_iter: int | None = None,
    tol: float = 1e-4,
    return_n_iter: bool = False,
) -> Path:
    r"""Ridge solutions for a sequence of alphas.

    Minimises :math:`\sum_i s_i (y_i - x_i^T w - b)^2 + \alpha \sum_j p_j w_j^2` for every alpha: `alpha`
    means what it means in
    `Ridge`.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    alphas : array-like of shape (n_alphas,)
        Sorted in decreasing order.
    fit_intercept, sample_weight, penalty_weights, bounds, positive, standardize, return_n_iter
        As in `enet_path`.
    solver, max_iter, tol
        As in `Ridge`.

    Returns
    -------
    Path
        A tuple ``(alphas, coefs, dual_gaps)``, with `n_iters` too if `return_n_iter`; see `Path`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparse_linear import ridge_path
    >>> X = np.array([[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 4.0]])
    >>> y = np.array([1.0, 2.0, 3.0, 5.0])
    >>> ridge_path(X, y, [10.0, 1.0]).coefs.round(3)
    array([[0.531, 1.004],
           [0.365, 0.082]])
    """
    _validation.check_flags(
        positive=positive, fit_intercept=fit_intercept, standardize=standardize, return_n_iter=return_n_iter
    )
    _validation.check_choice(solver, "solver", _validation.SOLVERS)
    tol = _validation.check_real(tol, "tol", low=0.0)
    max_iter = 10_000 if max_iter is None else _validation.check_count(max_iter, "max_iter")
    alphas = _validation.decreasing(alphas)
    X, y = _validation.check_path_data(X, y)
    n, p = X.shape
    weights = _validation.check_sample_weight(sample_weight, n)
    penalty = make_penalty(
        p,
        0.0,
        1.0,
        _validation.check_penalty_weights(penalty_weights, p),
        *_validation.check_bounds(bounds, positive, p),
    )
    targets = y.reshape(n, -1)
    result = _solve.fit(
        _solve.Data(X, targets, weights, fit_intercept),
        penalty,
        np.tile(alphas, (targets.shape[1], 1)),
        standardize=standardize,
        max_iter=max_iter,
        sum_scaled=True,
        wish=solver,
        tol=tol,
    )
    _solve.warn_unconverged(result, tol, max_iter)
    first = (lambda values: values[0]) if y.ndim == 1 else (lambda values: values)
    coefs = first(result.coefs.astype(X.dtype, copy=False))
    n_iters = first(result.n_iters.tolist())
    values = (alphas, coefs, first(result.gaps))
    return Path(
        (*values, n_iters) if return_n_iter else values,
        alphas=alphas,
        coefs=coefs,
        dual_gaps=first(result.gaps),
        intercepts=first(result.intercepts),
        objectives=first(result.objectives),
        n_iters=n_iters,
        statuses=first(result.statuses),
        solver=result.solver,
    )


def alpha_grid(
    X: MatrixLike,
    y: ColumnsLike,
    *,
    l1_ratio: float = 1.0,
    eps: float = 1e-3,
    n_alphas: int = 100,
    fit_intercept: bool = True,
    sample_weight: ColumnsLike | None = None,
    positive: bool = False,
    penalty_weights: ArrayLike | None = None,
    bounds: Bounds | None = None,
    standardize: bool = False,
) -> Floats:
    """Alphas, evenly spaced in the logarithm, from the smallest at which all penalised coefficients are zero.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        With several targets, the grid starts where all of them are zero.
    l1_ratio : float, default=1.0
        In (0, 1].
    eps : float, default=1e-3
        Ratio of the last to the first alpha.
    n_alphas : int, default=100
    fit_intercept, sample_weight, positive, penalty_weights, bounds, standardize
        As in `enet_path`.

    Returns
    -------
    ndarray of shape (n_alphas,)
        Decreasing.

    Examples
    --------
    >>> from sparse_linear import alpha_grid
    >>> alpha_grid([[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0], eps=0.01, n_alphas=3).round(4)
    array([0.6667, 0.0667, 0.0067])
    """
    l1_ratio = _validation.check_real(l1_ratio, "l1_ratio", low=0.0, high=1.0)
    eps = _validation.check_grid(eps, l1_ratio)
    n_alphas = _validation.check_count(n_alphas, "n_alphas")
    _validation.check_flags(positive=positive, fit_intercept=fit_intercept, standardize=standardize)
    X, y = _validation.check_path_data(X, y)
    n, p = X.shape
    penalty = make_penalty(
        p,
        l1_ratio,
        1.0 - l1_ratio,
        _validation.check_penalty_weights(penalty_weights, p),
        *_validation.check_bounds(bounds, positive, p),
    )
    weights = _validation.check_sample_weight(sample_weight, n)
    data = _solve.Data(X, y.reshape(n, -1), weights, fit_intercept)
    return make_grid(data, penalty, eps, n_alphas, standardize)


def alpha_for(
    X: MatrixLike,
    y: ColumnsLike,
    *,
    n_nonzero: int | None = None,
    l1_norm: float | None = None,
    fit_intercept: bool = True,
    sample_weight: ColumnsLike | None = None,
    positive: bool = False,
    penalty_weights: ArrayLike | None = None,
    bounds: Bounds | None = None,
    standardize: bool = False,
) -> float:
    r"""The `alpha` of a Lasso of a given size, exactly, by following its path from knot to knot.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
    n_nonzero : int
        Largest number of non-zero coefficients: the answer is the alpha (give or take 1e-10 of it) at which
        one more is about to enter for the first time. If one does so at alpha = 0 only, as in the shortest of
        all interpolations of wide data, it is half the last alpha at which something changes. Not less than
        the number of features with a penalty weight of 0.
    l1_norm : float
        The budget ``C`` of the constrained form: minimise the squared error subject to
        :math:`\sum_j p_j |w_j| \le C` (times the standard deviations of the columns, with `standardize`).
        The answer is the alpha whose solution is the same. Give either this or `n_nonzero`.
    fit_intercept, sample_weight, positive, penalty_weights, bounds, standardize
        As in `Lasso`.

    Returns
    -------
    float
        0 if no alpha, nor least squares, has a model larger than that; for `l1_norm`, if no positive alpha
        has (of wide data, the solutions for small alphas keep to the budget, the shortest one for alpha = 0
        need not).

    See Also
    --------
    lasso_path : With `max_features`, the whole path down to this alpha.

    Notes
    -----
    A knot costs about as much as one pass over X, and there are at least as many as features that enter.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sparse_linear import Lasso, alpha_for
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = Lasso(alpha=alpha_for(X, y, n_nonzero=4)).fit(X, y)
    >>> int((model.coef_ != 0).sum())
    4
    >>> model = Lasso(alpha=alpha_for(X, y, l1_norm=1000.0)).fit(X, y)
    >>> round(float(abs(model.coef_).sum()), 6)
    1000.0
    """
    if (n_nonzero is None) == (l1_norm is None):
        raise ValueError("Give exactly one of n_nonzero and l1_norm.")
    if l1_norm is not None:
        l1_norm = _validation.check_real(l1_norm, "l1_norm", low=0.0)
    else:
        n_nonzero = _validation.check_count(n_nonzero, "n_nonzero")
    _validation.check_flags(positive=positive, fit_intercept=fit_intercept, standardize=standardize)
    X, y = _one_target(X, y)
    n, p = X.shape
    penalty = make_penalty(
        p,
        1.0,
        0.0,
        _validation.check_penalty_weights(penalty_weights, p),
        *_validation.check_bounds(bounds, positive, p),
    )
    data = _solve.Data(X, y[:, None], _validation.check_sample_weight(sample_weight, n), fit_intercept)
    data.prepare(penalty, 100)
    if n_nonzero is not None:
        _check_size(n_nonzero, "n_nonzero", data, penalty)
    return float(_alpha_for(data, penalty, standardize, n_nonzero, l1_norm))


def _check_size(size, name, data, penalty):
    """Refuse a number of coefficients that no alpha keeps to."""
    always = np.count_nonzero((penalty.l1 == 0.0) & ~penalty.excluded & ~data.units.constant)
    if size < always:
        raise ValueError(
            f"{name} must be at least {always}, the number of features with penalty_weights of 0, which are "
            f"in the models for all alphas; got {size}."
        )


def _alpha_for(data, penalty, standardize, n_nonzero, l1_norm, lowest=0.0):
    """`alpha_for` for checked input; of sizes, the search ends at `lowest`."""
    source = data.source(0)
    scale = source.target.scale
    if scale == 0.0:
        return 0.0
    in_units = penalty.in_units(source.units, scale, standardize)
    if l1_norm is None:
        return _knots.lambda_for_size(source, in_units, n_nonzero, lowest)
    return _knots.lambda_for_norm(source, in_units, l1_norm / scale**2)


def _one_target(X, y):
    X, y = _validation.check_path_data(X, y)
    if y.ndim != 1:
        raise ValueError(
            f"y must be one-dimensional here, got shape {y.shape}: scikit-learn fits the multi-task lasso to "
            "several targets, which this package does not have; call this function once for each column."
        )
    return X, y


def make_grid(data, penalty, eps, n_alphas, standardize):
    """An automatic grid of alphas for checked input; leaves in `data` what the fit will use again."""
    return spaced(largest_alphas(data, penalty, standardize).max(), eps, n_alphas)


def largest_alphas(data, penalty, standardize):
    """The smallest alpha at which all penalised coefficients of a target are zero, for each of them, (q,)."""
    tops = np.zeros(data.n_targets)
    for index in range(data.n_targets):
        source = data.source(index)
        if source.target.scale > 0.0:
            in_units = penalty.in_units(source.units, source.target.scale, standardize)
            tops[index] = _active_set.largest_lambda(source, in_units)
    return tops


def spaced(top, eps, n_alphas):
    """Alphas from `top` down to ``eps * top``, evenly spaced in the logarithm."""
    if top <= _knots.RESOLUTION:
        return np.full(n_alphas, _knots.RESOLUTION)
    if not np.isfinite(top):
        raise ValueError(
            "The largest alpha overflows, because l1_ratio or a factor among penalty_weights is tiny; give "
            "the alphas yourself."
        )
    # Rounding must not turn the order of alphas that are nearly equal.
    return np.minimum.accumulate(np.geomspace(top, top * eps, num=n_alphas))
