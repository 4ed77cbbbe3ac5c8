"""Weighted sufficient statistics of rows: all that a linear model needs to know of tall data.

`Moments` of two sets of rows add up to the moments of their union, and subtract again.  Every chunk of rows
is centred on its own mean and chunks are merged by the pairwise formula, so no digits are lost to a large
mean.
"""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sparse_linear import _design, _kernels


class Moments(NamedTuple):
    """Weight, means and weighted cross products about the means of rows of X (p columns) and Y (q)."""

    count: int  # rows with positive weight
    weight: float
    mean_x: np.ndarray  # (p,)
    mean_y: np.ndarray  # (q,)
    xx: np.ndarray  # (p, p)
    xy: np.ndarray  # (p, q)
    yy: np.ndarray  # (q,)

    def merged(self, other):
        """Moments of both sets of rows together (Chan, Golub and LeVeque 1983, eq. 2.1)."""
        if self.weight == 0.0:
            return other
        if other.weight == 0.0:
            return self
        weight = self.weight + other.weight
        share = other.weight / weight
        apart_x = other.mean_x - self.mean_x
        apart_y = other.mean_y - self.mean_y
        between = self.weight * share
        return Moments(
            self.count + other.count,
            weight,
            self.mean_x + share * apart_x,
            self.mean_y + share * apart_y,
            self.xx + other.xx + between * np.outer(apart_x, apart_x),
            self.xy + other.xy + between * np.outer(apart_x, apart_y),
            self.yy + other.yy + between * apart_y * apart_y,
        )

    @classmethod
    def empty(cls, p, q):
        """Moments of no rows."""
        return cls(0, 0.0, np.zeros(p), np.zeros(q), np.zeros((p, p)), np.zeros((p, q)), np.zeros(q))

    @classmethod
    def from_rows(cls, X, Y, weights):
        """Moments of some dense rows; copies them."""
        weight = weights.sum()
        p, q = X.shape[1], Y.shape[1]
        if weight == 0.0:
            return cls.empty(p, q)
        rows = np.empty((len(X), p + q))
        rows[:, :p] = X
        rows[:, p:] = Y
        first = rows[weights.argmax()].copy()  # rows without weight may hold anything
        rows -= first
        shift = weights @ rows
        shift /= weight
        rows -= shift
        rows *= np.sqrt(weights)[:, None]
        mean = first + shift
        x, y = rows[:, :p], rows[:, p:]
        return cls(
            int(np.count_nonzero(weights)),
            float(weight),
            mean[:p],
            mean[p:],
            x.T @ x,
            x.T @ y,
            (y * y).sum(axis=0),
        )

    @classmethod
    def from_sparse(cls, X, Y, weights):
        """Moments of sparse rows, never densified; X is CSR or CSC."""
        entries = _design.entries_of(X)
        p = X.shape[1]
        weight = weights.sum()
        first_y = Y[np.argmax(weights)]
        y = np.where(weights[:, None] > 0.0, Y - first_y, 0.0)
        shift_y = weights @ y / weight
        mean_y = first_y + shift_y
        y -= shift_y
        mean_x = _kernels.entry_product(entries, weights[:, None], p)[:, 0] / weight
        xx = np.zeros((p, p))
        (_kernels.row_gram if X.format == "csr" else _kernels.column_gram)(entries, weights, xx)
        xx -= np.triu(weight * np.outer(mean_x, mean_x))
        xx += np.triu(xx, 1).T
        xy = _kernels.entry_product(entries, y * weights[:, None], p)
        return cls(int(np.count_nonzero(weights)), float(weight), mean_x, mean_y, xx, xy, weights @ (y * y))

    @classmethod
    def from_data(cls, X, Y, weights):
        """Moments of a whole data set, a block of rows at a time.

        Parameters
        ----------
        X : ndarray or CSR/CSC container of shape (n, p)
        Y : ndarray of shape (n, q)
        weights : ndarray of shape (n,)
            Non-negative.
        """
        if sparse.issparse(X):
            return cls.from_sparse(X, Y, weights)
        n, p = X.shape
        height = max(_design.TILE // p, 256)
        total = cls.from_rows(X[:height], Y[:height], weights[:height])
        for top in range(height, n, height):
            rows = slice(top, top + height)
            total = total.merged(cls.from_rows(X[rows], Y[rows], weights[rows]))
        return total


class MomentDesign:
    """Moments in the units of the solvers: what is left of a tall X.

    Parameters
    ----------
    moments : Moments
    fit_intercept : bool
    units : Units or None
        Of the columns, where they are known better than from the moments: those of sparse rows are centred by
        a subtraction, which cannot tell a constant column from rounding.
    unit_y : float or ndarray of shape (q,)
        What the targets were divided by before their moments were taken, so that squares neither overflow nor
        vanish.
    """

    def __init__(self, moments, fit_intercept, units=None, unit_y=1.0):
        self.moments = moments
        self.fit_intercept = fit_intercept
        self.weight = moments.weight
        xx, xy, yy = (part / moments.weight for part in (moments.xx, moments.xy, moments.yy))
        mean = moments.mean_x
        if not fit_intercept:
            xx = xx + np.outer(mean, mean)
            xy = xy + np.outer(mean, moments.mean_y)
            yy = yy + moments.mean_y**2
            mean = np.zeros_like(mean)
        if units is None:
            units = _design.make_units(mean, xx.diagonal(), moments.count if fit_intercept else 2)
        self.units = units
        norm = self.units.norm
        self.gram = xx / (norm * norm[:, None])
        self.corrs = xy / norm[:, None] * unit_y
        self.unit_y = unit_y + np.zeros(len(yy))
        self.squares = yy

    def target(self, index):
        """Mean and scale of one column of y."""
        mean = float(self.moments.mean_y[index]) if self.fit_intercept else 0.0
        scale = float(np.sqrt(self.squares[index]))
        if scale <= _design.CONSTANT * abs(mean):
            scale = 0.0
        return _design.Target(mean * self.unit_y[index], scale * self.unit_y[index])


class MomentSource:
    """The Gram matrix of all features and their correlations with one target, from moments.

    What `_active_set.solve_path` needs of tall data; see `_design.ColumnSource` for the rest.
    """

    def __init__(self, design, index):
        self.units = design.units
        self.target = design.target(index)
        self.gram = design.gram
        self.corrs = self.target.divided(design.corrs[:, index])
        self.square = float(self.target.scale > 0.0)
