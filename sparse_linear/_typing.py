"""The types of the public interface, for type checkers; no module imports this one when it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

# ---------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------


class SparseContainer(Protocol):
    """A sparse matrix or array of SciPy, whose own types are in a package apart (scipy-stubs)."""

    @property
    def nnz(self) -> int: ...
    def tocsc(self) -> Any: ...
    def tocsr(self) -> Any: ...


class Frame(Protocol):
    """A data frame of pandas, polars or another library."""

    @property
    def columns(self) -> Any: ...
    def __array__(self) -> Any: ...


class DaskCollection(Protocol):
    """An array or data frame of Dask."""

    def __dask_graph__(self) -> Any: ...
    def compute(self) -> Any: ...


# X. What NumPy can make an array of is also any object with `__array__`.
MatrixLike: TypeAlias = ArrayLike | SparseContainer | Frame
# y and what comes with it, an entry or a row for each row of X.
ColumnsLike: TypeAlias = ArrayLike | Frame
Floats: TypeAlias = NDArray[np.float64]
# float32 or float64, as X is.
AsX: TypeAlias = NDArray[np.floating[Any]]
# One number, or one for each target.
PerTarget: TypeAlias = float | Floats
# Rows that are read together, with weights or without, and perhaps with the number of each row's fold.
Chunk: TypeAlias = tuple[MatrixLike, ColumnsLike] | tuple[MatrixLike, ColumnsLike, ColumnsLike | None]
LabelledChunk: TypeAlias = Chunk | tuple[MatrixLike, ColumnsLike, ColumnsLike | None, ArrayLike | None]
# Pairs (lower, upper); None is no bound.
Bounds: TypeAlias = tuple[ArrayLike | None, ArrayLike | None]


class FittedLinear(Protocol):
    """A fitted linear model, of whatever library."""

    @property
    def coef_(self) -> Any: ...


# ---------------------------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------------------------


class Splitter(Protocol):
    """What scikit-learn takes as `cv`: anything that splits rows in two: to fit on, to judge by."""

    def split(self, X: Any, y: Any = ..., groups: Any = ...) -> Iterable[Any]: ...


Selection: TypeAlias = Literal["cyclic", "random"]
RidgeSolver: TypeAlias = Literal["auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs"]
InformationCriterion: TypeAlias = Literal["aic", "aicc", "bic", "ebic"]
Precompute: TypeAlias = bool | Literal["auto"] | ArrayLike
RandomState: TypeAlias = int | np.random.RandomState | None
# One number, or several to choose from.
Candidates: TypeAlias = float | Sequence[float] | Floats
# The number of alphas, or the alphas themselves.
Alphas: TypeAlias = int | ArrayLike
# A table of candidates: a column for each name.
Results: TypeAlias = dict[str, NDArray[Any]]
Criterion: TypeAlias = Literal["min", "1se"] | Callable[[Results], int]
# A scorer by its name, or a function of the model, X, y and what metadata routing sends.
Scoring: TypeAlias = str | Callable[..., float]
Folds: TypeAlias = int | Splitter | Iterable[tuple[ArrayLike, ArrayLike]] | DaskCollection


class PathOptions(TypedDict, total=False):
    """Keywords of `enet_path` that `lasso_path` passes on."""

    check_input: bool
    fit_intercept: bool
    sample_weight: ColumnsLike | None
    penalty_weights: ArrayLike | None
    bounds: Bounds | None
    standardize: bool
    tol: float
    max_iter: int
    random_state: RandomState
    selection: Selection
    max_features: int | None


# ---------------------------------------------------------------------------------------------
# Penalties of other libraries
# ---------------------------------------------------------------------------------------------

Penalty: TypeAlias = float | tuple[float, ...] | Mapping[str, float]
OneNumber: TypeAlias = Literal["sklearn.Lasso", "sklearn.Ridge", "l1_norm", "l2_norm", "laplace", "gaussian"]
TwoNumbers: TypeAlias = Literal["sklearn.ElasticNet", "glmnet", "keras", "torch", "statsmodels"]
ConventionName: TypeAlias = OneNumber | TwoNumbers


class ConversionFacts(TypedDict, total=False):
    """What a conversion may have to know; keywords of `convert_penalty`."""

    n_samples: int | None
    noise_variance: float | None
    y_std: float | None
    X: MatrixLike | None
    y: ColumnsLike | None
    fit_intercept: bool


# ---------------------------------------------------------------------------------------------
# Pictures: keywords that `from_estimator` passes on to `plot`
# ---------------------------------------------------------------------------------------------

Abscissa: TypeAlias = Literal["alpha", "l1_norm"]
Feature: TypeAlias = int | str


class PathOfPicture(TypedDict, total=False):
    """Of `PathDisplay`."""

    x: Abscissa
    n_labels: int


class CVOfPicture(TypedDict, total=False):
    """Of `CVDisplay`."""

    n_sizes: int


class BarsOfPicture(TypedDict, total=False):
    """Of `CoefficientDisplay`."""

    n_features: int


class PanelsOfPicture(TypedDict, total=False):
    """Of `GeometryDisplay`."""

    l1_ratios: Sequence[float]
    ax: Iterable[Axes] | None
