"""Exact, fast and complete L1/L2-regularised linear models with scikit-learn's interface.

Estimators: `Lasso`, `ElasticNet`, `Ridge`; `LassoCV`, `ElasticNetCV`, `RidgeCV`, which choose their
parameters by cross-validation, and `LassoIC`, `ElasticNetIC`, by an information criterion. Functions:
`lasso_path`, `enet_path`, `ridge_path`, `alpha_grid`, `alpha_for`, `convert_penalty`, `from_sklearn`.
Pictures, with matplotlib: `PathDisplay`, `CVDisplay`, `CoefficientDisplay`, `GeometryDisplay`; in words:
`summary`.
``python -m sparse_linear`` compares them with scikit-learn's.
"""

from sparse_linear._convert import convert_penalty
from sparse_linear._cv import ElasticNetCV, LassoCV
from sparse_linear._display import CoefficientDisplay, CVDisplay, GeometryDisplay, PathDisplay
from sparse_linear._estimators import ElasticNet, Lasso, Ridge
from sparse_linear._ic import ElasticNetIC, LassoIC
from sparse_linear._interop import from_sklearn
from sparse_linear._path import Path, alpha_for, alpha_grid, enet_path, lasso_path, ridge_path
from sparse_linear._report import Summary, summary
from sparse_linear._ridge_cv import RidgeCV
from sparse_linear._streaming import Moments

__version__ = "0.1.0.dev0"

__all__ = [
    "CVDisplay",
    "CoefficientDisplay",
    "ElasticNet",
    "ElasticNetCV",
    "ElasticNetIC",
    "GeometryDisplay",
    "Lasso",
    "LassoCV",
    "LassoIC",
    "Moments",
    "Path",
    "PathDisplay",
    "Ridge",
    "RidgeCV",
    "Summary",
    "__version__",
    "alpha_for",
    "alpha_grid",
    "convert_penalty",
    "enet_path",
    "from_sklearn",
    "lasso_path",
    "ridge_path",
    "summary",
]
