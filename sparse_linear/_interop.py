"""From scikit-learn's models to ours; `to_sklearn` of the estimators goes the other way."""

from __future__ import annotations

from typing import TypeAlias

from sklearn import linear_model
from sklearn.base import clone

from sparse_linear._cv import ElasticNetCV, LassoCV
from sparse_linear._estimators import ElasticNet, Lasso, Ridge
from sparse_linear._ridge_cv import RidgeCV

Theirs: TypeAlias = (
    linear_model.Lasso
    | linear_model.ElasticNet
    | linear_model.Ridge
    | linear_model.LassoCV
    | linear_model.ElasticNetCV
    | linear_model.RidgeCV
)
OURS = {getattr(linear_model, kind.__name__): kind for kind in (Lasso, ElasticNet, Ridge)}
OURS |= {getattr(linear_model, kind.__name__): kind for kind in (LassoCV, ElasticNetCV, RidgeCV)}


def from_sklearn(model: Theirs) -> ElasticNet | Ridge | ElasticNetCV | RidgeCV:
    """The estimator of this package with the settings of one of scikit-learn, not fitted.

    Parameters
    ----------
    model : estimator
        A `Lasso`, `ElasticNet`, `Ridge`, `LassoCV`, `ElasticNetCV` or `RidgeCV` of `sklearn.linear_model`. It
        is not changed, and what it has learned is not taken over: a fit is exact here, and has a certificate.

    Returns
    -------
    estimator
        Of the class of the same name, with copies of all parameters.

    Raises
    ------
    TypeError
        For any other object.

    See Also
    --------
    Lasso.to_sklearn : The fitted model, the other way.

    Examples
    --------
    >>> import sklearn.linear_model
    >>> from sparse_linear import from_sklearn
    >>> from_sklearn(sklearn.linear_model.Lasso(alpha=0.5, positive=True))
    Lasso(alpha=0.5, positive=True)
    """
    kind = OURS.get(type(model))
    if kind is None:
        names = ", ".join(ours.__name__ for ours in OURS.values())
        if isinstance(model, type):
            raise TypeError(f"from_sklearn takes an object, got the class {model.__name__}; call it first.")
        raise TypeError(
            f"from_sklearn takes one of {names} of sklearn.linear_model, got {type(model).__name__}."
            + (" Several targets are fitted one by one here." if "MultiTask" in type(model).__name__ else "")
        )
    given, known = clone(model).get_params(deep=False), kind().get_params(deep=False)
    params = {name: value for name, value in given.items() if name in known}
    # Before scikit-learn 1.9 the number of alphas has a name of its own, and placeholders stand for defaults.
    if "n_alphas" in given and _is_placeholder(params["alphas"]):
        params["alphas"] = given["n_alphas"]
    placeholders = [name for name in ("alphas", "store_cv_results") if _is_placeholder(params.get(name))]
    return kind(**{name: value for name, value in params.items() if name not in placeholders})


def _is_placeholder(value):
    return value is None or isinstance(value, str)
