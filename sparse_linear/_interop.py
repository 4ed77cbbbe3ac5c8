"""From scikit-learn's models to ours; `to_sklearn` of the estimators goes the other way."""

import numbers

from sklearn import linear_model
from sklearn.base import clone

from sparse_linear._cv import ElasticNetCV, LassoCV
from sparse_linear._estimators import ElasticNet, Lasso, Ridge
from sparse_linear._ridge_cv import RidgeCV

OURS = {getattr(linear_model, kind.__name__): kind for kind in (Lasso, ElasticNet, Ridge)}
OURS |= {getattr(linear_model, kind.__name__): kind for kind in (LassoCV, ElasticNetCV, RidgeCV)}


def from_sklearn(model):
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
    params = clone(model).get_params(deep=False)
    # Before scikit-learn 1.9 the number of alphas had a name of its own, beside alphas=None or a placeholder.
    count = params.pop("n_alphas", None)
    if "alphas" in params and (params["alphas"] is None or isinstance(params["alphas"], str)):
        params["alphas"] = count if isinstance(count, numbers.Integral) else 100
    return kind(**params)
