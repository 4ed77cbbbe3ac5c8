"""The penalty, feature by feature, and what ``alpha`` means for each estimator.

Inside the package there is one objective,

    1/2 Σ s_i (y_i − x_iᵀw − b)²  +  λ Σ_j l1_j |w_j|  +  λ/2 Σ_j l2_j w_j²,

with lower_j ≤ w_j ≤ upper_j and Σ s_i = 1. ρ is l1_ratio, S the sum of the sample weights as given.

==========  ==================================================  ======  =========  ========
estimator   its objective                                       λ       l1_j,l2_j  factor
==========  ==================================================  ======  =========  ========
Lasso       1/(2S) Σ s_i r_i² + alpha ‖w‖₁                      alpha   1, 0       1
ElasticNet  1/(2S) Σ s_i r_i² + alpha (ρ‖w‖₁ + (1 − ρ)/2 ‖w‖²)  alpha   ρ, 1 − ρ   1
Ridge       Σ s_i r_i² + alpha ‖w‖²                             alpha   0, 1/S     2S
==========  ==================================================  ======  =========  ========

An estimator's objective is ours times the factor. Penalty weights multiply l1 and l2. An excluded feature
(weight infinity) is one whose bounds are 0 and 0.
"""

from typing import NamedTuple

import numpy as np

from sparse_linear import _compiled as _kernels


class Outline(NamedTuple):
    """What there is in a penalty, of features that are not held at zero."""

    l1: bool  # some l1 penalty
    l2: bool  # some ridge penalty
    bounded: bool  # some finite bound
    counted: bool  # some feature that has more than a ridge penalty, or none
    weakest: float  # the smallest l1, at most 1
    smallest: float  # the smallest l1 that is not zero, where there is no l2; infinity without any
    curved: float  # the sum of 1 / l2, where there is one
    ends: float  # the sum of the larger finite bounds, where there is neither


class Penalty(NamedTuple):
    """Penalty factors and bounds of every feature, for ``lambda = 1``.

    On the scale of X most are alike for all features: such a table repeats one row, which takes no memory.
    """

    rules: np.ndarray  # (p, 4) float64, columns ``(l1, l2, lower, upper)``

    @property
    def l1(self):
        """The l1 penalties, (p,)."""
        return self.rules[:, 0]

    @property
    def l2(self):
        """The ridge penalties, (p,)."""
        return self.rules[:, 1]

    @property
    def lower(self):
        """The lower bounds, (p,)."""
        return self.rules[:, 2]

    @property
    def upper(self):
        """The upper bounds, (p,)."""
        return self.rules[:, 3]

    @property
    def distinct(self):
        """For compiled code: the table without repetition, (1, 4) or (p, 4)."""
        view = self.rules[:1] if self.rules.strides[0] == 0 else self.rules[:]
        view.flags.writeable = False  # one type for both
        return view

    def with_l2(self, l2):
        """The same with other ridge penalties."""
        rules = self.rules.copy()
        rules[:, 1] = l2
        return Penalty(rules)

    def in_units(self, units, scale, standardize=False):
        """The same penalty on ``v_j = w_j norm_j / scale``; constant columns are held at zero.

        With `standardize` the penalty is on ``w_j norm_j`` already.
        """
        _, norm, constant = units
        return Penalty(_kernels.penalty_in_units(self.distinct, norm, constant, scale, bool(standardize)))

    def outline(self):
        """Its `Outline`."""
        return Outline(*_kernels.outline(self.distinct))

    def ridge_in_units(self, units, weight=1.0, standardize=False):
        """Ridge factors (p,) on ``v_j = w_j norm_j``, over `weight`; infinite for features held at zero."""
        return self.with_l2(self.l2 / weight).in_units(units, 1.0, standardize).ridge

    @property
    def ridge(self):
        """The ridge penalties, (p,), infinite for features held at zero."""
        return _kernels.ridge(self.distinct, len(self.rules))

    @property
    def bounded(self):
        """Whether some feature that may be used has a finite bound."""
        return self.outline().bounded

    @property
    def excluded(self):
        """Mask of the features held at zero."""
        return (self.lower == 0.0) & (self.upper == 0.0)


def make_penalty(n_features, l1, l2, weights=None, lower=-np.inf, upper=np.inf):
    """`Penalty` with factors `l1` and `l2`, times `weights`, within bounds (scalars or arrays).

    A weight of infinity excludes the feature.
    """
    if weights is not None:
        excluded = np.isinf(weights)
        weights = np.where(excluded, 1.0, weights)
        l1, l2 = l1 * weights, l2 * weights
        lower, upper = np.where(excluded, 0.0, lower), np.where(excluded, 0.0, upper)
    parts = l1, l2, lower, upper
    if any(isinstance(part, np.ndarray) for part in parts):
        rules = np.empty((n_features, 4))
        rules[:, 0], rules[:, 1], rules[:, 2], rules[:, 3] = parts
        return Penalty(rules)
    # `np.broadcast_to` takes longer than all the rest.
    return Penalty(np.ndarray((n_features, 4), buffer=np.array(parts, dtype=np.float64), strides=(0, 8)))
