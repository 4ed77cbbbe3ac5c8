"""Exact, fast and complete L1/L2-regularised linear models with scikit-learn's interface.

Estimators: `Lasso`, `ElasticNet`, `Ridge`, and `LassoCV`, `ElasticNetCV`, which choose their parameters by
cross-validation. Functions: `lasso_path`, `enet_path`, `ridge_path`, `alpha_grid`.
``python -m sparse_linear`` compares them with scikit-learn's.
"""

from sparse_linear._cv import ElasticNetCV, LassoCV
from sparse_linear._estimators import ElasticNet, Lasso, Ridge
from sparse_linear._path import Path, alpha_grid, enet_path, lasso_path, ridge_path

__version__ = "0.1.0.dev0"

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
    "Lasso",
    "LassoCV",
    "Path",
    "Ridge",
    "__version__",
    "alpha_grid",
    "enet_path",
    "lasso_path",
    "ridge_path",
]
