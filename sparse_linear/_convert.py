r"""One word for lambda: the same penalty in the parameters of other libraries and of textbooks.

Everything goes through one pair, ``(l1, l2)`` in

    1/(2n) RSS + l1 ‖w‖₁ + l2/2 ‖w‖₂²,       RSS = Σ (y_i − x_iᵀw − b)²,

the scale of `ElasticNet` (what `alpha` means to the solvers of this package is in `_penalty`). `CONVENTIONS`
has one entry for each convention: its numbers, its objective, and the way to this pair and back.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Unpack, overload

import numpy as np
from scipy.optimize import brentq

from sparse_linear import _validation
from sparse_linear._estimators import Lasso, Ridge
from sparse_linear._path import alpha_for

if TYPE_CHECKING:
    from sparse_linear._typing import (
        ColumnsLike,
        ConventionName,
        ConversionFacts,
        MatrixLike,
        OneNumber,
        Penalty,
    )


class Canonical(NamedTuple):
    """Penalty of the objective above."""

    l1: float
    l2: float


class Facts(NamedTuple):
    """What a conversion may need to know beside the value; None where it was not told."""

    n_samples: int | None
    noise_variance: float | None
    y_std: float | None
    X: Any
    y: Any
    fit_intercept: bool

    def need(self, name, reason):
        """A fact, or an error that says what needs it."""
        found = getattr(self, name)
        if found is None:
            raise ValueError(f"{name} is missing: {reason}.")
        return found

    def rows(self, name):
        """Number of rows, for a convention that does not average over them."""
        return self.need("n_samples", f"'{name}' depends on the number of rows")

    def variance(self, name):
        """Variance of the noise, for a prior."""
        return self.need("noise_variance", f"what a prior ('{name}') is worth depends on the noise in y")

    def data(self, name):
        """X and y, for a constraint."""
        reason = f"which penalty gives the norm of '{name}' depends on the data (X and y)"
        return self.need("X", reason), self.need("y", reason)


class Convention(NamedTuple):
    """How some library or textbook writes the penalty."""

    values: Any  # a kind of NamedTuple: its numbers, with the library's own defaults
    objective: str
    to_canonical: Callable[[Any, Facts], Canonical]
    from_canonical: Callable[[Canonical, Facts], Any]
    parts: tuple[str, ...] = Canonical._fields  # which parts of the penalty it has


# ---------------------------------------------------------------------------------------------
# The numbers of each convention
# ---------------------------------------------------------------------------------------------


class Alpha(NamedTuple):
    """Of `Lasso` and of `Ridge`."""

    alpha: float


class AlphaAndRatio(NamedTuple):
    """Of `ElasticNet`."""

    alpha: float
    l1_ratio: float = 0.5


class Glmnet(NamedTuple):
    """Of R's glmnet, which calls `lambda_` lambda."""

    lambda_: float
    alpha: float = 1.0


class Keras(NamedTuple):
    """Of ``keras.regularizers.L1L2``."""

    l1: float
    l2: float = 0.0


class Torch(NamedTuple):
    """Of ``torch.optim.SGD``, and the factor of a term ``l1 * weight.abs().sum()`` added to the loss."""

    weight_decay: float
    l1: float = 0.0


class Statsmodels(NamedTuple):
    """Of ``OLS.fit_regularized``."""

    alpha: float
    L1_wt: float = 1.0


class Norm(NamedTuple):
    """The budget of the constrained form."""

    C: float


class Laplace(NamedTuple):
    """The scale b of a Laplace distribution, which has variance 2 b²."""

    scale: float


class Gaussian(NamedTuple):
    """The variance of a normal distribution."""

    variance: float


# Here less is more: infinity is no penalty.
INVERSE = (Norm, Laplace, Gaussian)


# ---------------------------------------------------------------------------------------------
# To the pair and back
# ---------------------------------------------------------------------------------------------


def _from_share(value, facts=None):
    strength, share = value
    _validation.check_real(share, value._fields[1], high=1.0)
    return Canonical(strength * share, strength * (1.0 - share))


def _to_share(kind, l1, l2):
    strength = l1 + l2
    return kind(strength, l1 / strength) if strength > 0.0 else kind(0.0)


def _glmnet_scale(share, facts):
    """What glmnet divides the L2 penalty by: it fits y / y_std, and multiplies lambda back for L1 only."""
    if share == 0.0:
        return 1.0
    return facts.need("y_std", "glmnet scales y before it applies an L2 penalty; give y_std, or y itself")


def _of_glmnet(value, facts):
    l1, l2 = _from_share(value)
    return Canonical(l1, l2 / _glmnet_scale(l2, facts))


def _to_glmnet(penalty, facts):
    return _to_share(Glmnet, penalty.l1, penalty.l2 * _glmnet_scale(penalty.l2, facts))


def _per_width(name, facts, width):
    if width == 0.0:
        raise ValueError(f"The prior '{name}' must have a positive width, got 0, which allows only w = 0.")
    return facts.variance(name) / facts.rows(name) / width


def _width(name, facts, penalty):
    return facts.variance(name) / facts.rows(name) / penalty if penalty > 0.0 else math.inf


def _of_l1_norm(value, facts):
    if math.isinf(value.C):
        return Canonical(0.0, 0.0)
    X, y = facts.data("l1_norm")
    return Canonical(alpha_for(X, y, l1_norm=value.C, fit_intercept=facts.fit_intercept), 0.0)


def _to_l1_norm(penalty, facts):
    if penalty.l1 == 0.0:
        return Norm(math.inf)
    X, y = facts.data("l1_norm")
    return Norm(float(np.abs(Lasso(penalty.l1, fit_intercept=facts.fit_intercept).fit(X, y).coef_).sum()))


def _ridge_norm(facts, alpha):
    X, y = facts.data("l2_norm")
    return float(np.linalg.norm(Ridge(alpha, fit_intercept=facts.fit_intercept).fit(X, y).coef_))


def _of_l2_norm(value, facts):
    """The norm falls from that of least squares to 0 as alpha grows: find where it is C."""
    if value.C == 0.0:
        raise ValueError(
            "C must be positive for 'l2_norm': no finite L2 penalty brings all coefficients to zero."
        )
    if math.isinf(value.C) or _ridge_norm(facts, 0.0) <= value.C:
        return Canonical(0.0, 0.0)
    low = high = float(facts.n_samples)
    while _ridge_norm(facts, low) < value.C:
        low /= 16.0
    while _ridge_norm(facts, high) > value.C:
        high *= 16.0
    root = brentq(
        lambda level: math.log(_ridge_norm(facts, math.exp(level)) / value.C),
        math.log(low),
        math.log(high),
        xtol=1e-14,
    )
    return Canonical(0.0, math.exp(root) / facts.n_samples)


def _to_l2_norm(penalty, facts):
    if penalty.l2 == 0.0:
        return Norm(math.inf)
    return Norm(_ridge_norm(facts, penalty.l2 * facts.rows("l2_norm")))


CONVENTIONS = {
    "sklearn.Lasso": Convention(
        Alpha,
        "1/(2n) RSS + alpha ‖w‖₁",
        lambda value, facts: Canonical(value.alpha, 0.0),
        lambda penalty, facts: Alpha(penalty.l1),
        ("l1",),
    ),
    "sklearn.ElasticNet": Convention(
        AlphaAndRatio,
        "1/(2n) RSS + alpha (l1_ratio ‖w‖₁ + (1 − l1_ratio)/2 ‖w‖²)",
        _from_share,
        lambda penalty, facts: _to_share(AlphaAndRatio, *penalty),
    ),
    "sklearn.Ridge": Convention(
        Alpha,
        "RSS + alpha ‖w‖²",
        lambda value, facts: Canonical(0.0, value.alpha / facts.rows("sklearn.Ridge")),
        lambda penalty, facts: Alpha(penalty.l2 * facts.rows("sklearn.Ridge")),
        ("l2",),
    ),
    "glmnet": Convention(
        Glmnet,
        "1/(2n) RSS + lambda (alpha ‖w‖₁ + (1 − alpha)/(2 y_std) ‖w‖²)",
        _of_glmnet,
        _to_glmnet,
    ),
    "keras": Convention(
        Keras,
        "RSS/n + l1 ‖w‖₁ + l2 ‖w‖²",
        lambda value, facts: Canonical(value.l1 / 2.0, value.l2),
        lambda penalty, facts: Keras(2.0 * penalty.l1, penalty.l2),
    ),
    "torch": Convention(
        Torch,
        "RSS/n + l1 ‖w‖₁ + weight_decay/2 ‖w‖²",
        lambda value, facts: Canonical(value.l1 / 2.0, value.weight_decay / 2.0),
        lambda penalty, facts: Torch(2.0 * penalty.l2, 2.0 * penalty.l1),
    ),
    "statsmodels": Convention(
        Statsmodels,
        "1/(2n) RSS + alpha (L1_wt ‖w‖₁ + (1 − L1_wt)/2 ‖w‖²)",
        _from_share,
        lambda penalty, facts: _to_share(Statsmodels, *penalty),
    ),
    "l1_norm": Convention(Norm, "RSS subject to ‖w‖₁ ≤ C", _of_l1_norm, _to_l1_norm, ("l1",)),
    "l2_norm": Convention(Norm, "RSS subject to ‖w‖₂ ≤ C", _of_l2_norm, _to_l2_norm, ("l2",)),
    "laplace": Convention(
        Laplace,
        "RSS/(2 noise_variance) + ‖w‖₁/scale",
        lambda value, facts: Canonical(_per_width("laplace", facts, value.scale), 0.0),
        lambda penalty, facts: Laplace(_width("laplace", facts, penalty.l1)),
        ("l1",),
    ),
    "gaussian": Convention(
        Gaussian,
        "RSS/(2 noise_variance) + ‖w‖²/(2 variance)",
        lambda value, facts: Canonical(0.0, _per_width("gaussian", facts, value.variance)),
        lambda penalty, facts: Gaussian(_width("gaussian", facts, penalty.l2)),
        ("l2",),
    ),
}


# ---------------------------------------------------------------------------------------------
# The function
# ---------------------------------------------------------------------------------------------


@overload
def convert_penalty(
    value: Penalty, *, from_: ConventionName, to: OneNumber, **facts: Unpack[ConversionFacts]
) -> float: ...
@overload
def convert_penalty(
    value: Penalty,
    *,
    from_: ConventionName,
    to: Literal["sklearn.ElasticNet"],
    **facts: Unpack[ConversionFacts],
) -> AlphaAndRatio: ...
@overload
def convert_penalty(
    value: Penalty, *, from_: ConventionName, to: Literal["glmnet"], **facts: Unpack[ConversionFacts]
) -> Glmnet: ...
@overload
def convert_penalty(
    value: Penalty, *, from_: ConventionName, to: Literal["keras"], **facts: Unpack[ConversionFacts]
) -> Keras: ...
@overload
def convert_penalty(
    value: Penalty, *, from_: ConventionName, to: Literal["torch"], **facts: Unpack[ConversionFacts]
) -> Torch: ...
@overload
def convert_penalty(
    value: Penalty, *, from_: ConventionName, to: Literal["statsmodels"], **facts: Unpack[ConversionFacts]
) -> Statsmodels: ...
def convert_penalty(
    value: Penalty,
    *,
    from_: ConventionName,
    to: ConventionName,
    n_samples: int | None = None,
    noise_variance: float | None = None,
    y_std: float | None = None,
    X: MatrixLike | None = None,
    y: ColumnsLike | None = None,
    fit_intercept: bool = True,
) -> float | AlphaAndRatio | Glmnet | Keras | Torch | Statsmodels:
    r"""The same penalty in the parameters of another library, of a constraint, or of a prior.

    Two conventions agree where minimising one objective of the table gives the coefficients of the other.
    RSS is the sum of squared residuals, n the number of rows.

    ====================  ==================  =============================================================
    name                  numbers             objective
    ====================  ==================  =============================================================
    "sklearn.Lasso"       alpha               1/(2n) RSS + alpha ‖w‖₁
    "sklearn.ElasticNet"  alpha, l1_ratio     1/(2n) RSS + alpha (l1_ratio ‖w‖₁ + (1 − l1_ratio)/2 ‖w‖²)
    "sklearn.Ridge"       alpha               RSS + alpha ‖w‖²
    "glmnet"              lambda\_, alpha     1/(2n) RSS + lambda (alpha ‖w‖₁ + (1 − alpha)/(2 y_std) ‖w‖²)
    "keras"               l1, l2              RSS/n + l1 ‖w‖₁ + l2 ‖w‖²
    "torch"               weight_decay, l1    RSS/n + l1 ‖w‖₁ + weight_decay/2 ‖w‖²
    "statsmodels"         alpha, L1_wt        1/(2n) RSS + alpha (L1_wt ‖w‖₁ + (1 − L1_wt)/2 ‖w‖²)
    "l1_norm"             C                   RSS subject to ‖w‖₁ ≤ C
    "l2_norm"             C                   RSS subject to ‖w‖₂ ≤ C
    "laplace"             scale               RSS/(2 noise_variance) + ‖w‖₁/scale
    "gaussian"            variance            RSS/(2 noise_variance) + ‖w‖²/(2 variance)
    ====================  ==================  =============================================================

    Parameters
    ----------
    value : float, tuple or dict
        The numbers of `from_`. Of two, the second may be left out, and is then what the library itself takes
        (`l1_ratio` 0.5; glmnet's `alpha` and `L1_wt` 1; `l2` of Keras and `l1` beside `weight_decay` 0).
    from_, to : str
        Names of the table. `Lasso`, `ElasticNet` and `Ridge` of this package mean what scikit-learn means.
    n_samples : int, default=None
        Number of rows; needed by "sklearn.Ridge" and the priors, unless y is given.
    noise_variance : float, default=None
        Variance of the noise in y; needed by the priors, for which the solution is the most probable one
        a posteriori (MAP).
    y_std : float, default=None
        Standard deviation of y, dividing by n (without an intercept its root mean square); needed by "glmnet"
        with an L2 part, unless y is given.
    X, y : array-like of shapes (n_samples, n_features) and (n_samples,), default=None
        The data; needed by the constraints.
    fit_intercept : bool, default=True
        Whether the models have an intercept, which is not penalised.

    Returns
    -------
    float or NamedTuple of float
        The numbers of `to`; a NamedTuple with the names of the table if there are two of them.

    Raises
    ------
    ValueError
        If a name is not known, a fact is missing, or the penalty has a part that `to` does not have.

    See Also
    --------
    alpha_for : The alpha of a budget of the L1 norm, or of a number of features.

    Notes
    -----
    *glmnet* (family "gaussian") divides y by its standard deviation, fits, and multiplies the coefficients
    and the reported lambda back. That leaves its L1 part as in the table, while its L2 part is divided by
    `y_std`. Its ``standardize=TRUE``, the default, is ``standardize=True`` of this package (with an
    intercept); elsewhere columns have to be scaled beforehand.

    *Keras*: for the mean squared error and a regularizer on the kernel of a layer with one unit. *PyTorch*:
    for ``MSELoss()`` and the `weight_decay` of ``SGD``, which adds ``weight_decay * w`` to the gradient; the
    decay of ``AdamW`` is another thing. It applies to the bias too, unless that gets a parameter group of its
    own. *statsmodels* penalises the column of ones like any other: give it an array of alphas that is zero
    there.

    A *constraint* has a penalty that gives the same solution, which depends on the data: for ‖w‖₁ it is read
    off the exact path, for ‖w‖₂ it is found by a search. One that does not bind is no penalty (0), and no
    penalty is a budget of infinity.

    Examples
    --------
    >>> from sparse_linear import convert_penalty
    >>> convert_penalty(2.0, from_="sklearn.Ridge", to="torch", n_samples=100)
    Torch(weight_decay=0.04, l1=0.0)
    >>> convert_penalty((0.1, 0.5), from_="sklearn.ElasticNet", to="keras")
    Keras(l1=0.1, l2=0.05)
    >>> convert_penalty(0.5, from_="laplace", to="sklearn.Lasso", n_samples=100, noise_variance=4.0)
    0.08
    """
    source, target = _convention(from_, "from_"), _convention(to, "to")
    facts = _checked_facts(n_samples, noise_variance, y_std, X, y, fit_intercept)
    penalty = source.to_canonical(_checked_value(value, from_, source.values), facts)
    for part in Canonical._fields:
        if part not in target.parts and getattr(penalty, part) > 0.0:
            able = [name for name, other in CONVENTIONS.items() if len(other.parts) == 2]
            raise ValueError(
                f"to='{to}' has no {part.upper()} part, but {value!r} of '{from_}' has one; choose one of "
                f"{', '.join(map(repr, able))}."
            )
    found = target.from_canonical(penalty, facts)
    return found if len(found) > 1 else found[0]


def _convention(name, argument):
    return CONVENTIONS[_validation.check_choice(name, argument, tuple(CONVENTIONS))]


def _checked_facts(n_samples, noise_variance, y_std, X, y, fit_intercept):
    _validation.check_flags(fit_intercept=fit_intercept)
    if n_samples is not None:
        n_samples = _validation.check_count(n_samples, "n_samples")
    for name, number in (("noise_variance", noise_variance), ("y_std", y_std)):
        if number is not None and _validation.check_real(number, name, low=0.0) == 0.0:
            raise ValueError(f"{name} must be positive, got {number}.")
    if y is not None:
        target = _validation.check_vector(y, "y", len(y), "row", finite=True)
        if n_samples not in (None, len(target)):
            raise ValueError(f"n_samples is {n_samples}, but y has {len(target)} rows; leave n_samples out.")
        n_samples = len(target)
        if y_std is None:
            # That of a constant y is zero: then every penalty gives the same solution.
            y_std = float(np.sqrt(np.mean((target - fit_intercept * target.mean()) ** 2))) or None
    return Facts(n_samples, noise_variance, y_std, X, y, fit_intercept)


def _checked_value(value, name, kind):
    """The numbers of a convention."""
    try:
        if isinstance(value, numbers.Number):
            values = kind(value)
        else:
            values = kind(**value) if isinstance(value, Mapping) else kind(*value)
    except TypeError:
        wanted = " and ".join(kind._fields)
        raise TypeError(f"value of '{name}' must be {wanted}, got {value!r}.") from None
    for field, number in values._asdict().items():
        if kind not in INVERSE or number != math.inf:
            _validation.check_real(number, field, low=0.0)
    return kind(*map(float, values))
