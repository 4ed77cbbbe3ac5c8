r"""The Lasso path from knot to knot, and what is read off it: an alpha for a size, or for a budget.

Without a ridge penalty the solution is piecewise linear in ``lambda``: while the free features ``A`` and
their signs stay the same,

.. math::

    w_A(\lambda - t) = w_A(\lambda) + t d, \qquad d = G_{AA}^{-1} (f_A \circ s_A), \qquad
    v(\lambda - t) = v(\lambda) - t\, Z^T Z_A d ,

with penalty factors ``f``, signs ``s`` and correlations ``v``. The piece ends where a free coefficient
reaches the end of its face, or the correlation of a held one its threshold (Osborne, Presnell and Turlach
2000, IMA J. Numer. Anal. 20; Efron et al. 2004, Ann. Statist. 32). What is free beyond that knot is not
worked out from ties, as in these papers: the solver of this package finds the solution just below it.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import linalg

from sparse_linear import _active_set, _ridge
from sparse_linear import _compiled as _kernels

# How far below a knot, as a share of lambda, the next piece is looked for.
BELOW = 1e-9
# And so far below, where what enters there is too little for the solver to notice.
FURTHER = (1e-7, 1e-5)
# A correlation that approaches its threshold more slowly than this share of it stays where it is.
PARALLEL = 1e-9
# Below this share of the first knot, the path of data that are interpolated goes where rounding leads it.
ROUNDING = 1e-10
# The penalty where any will do.
RESOLUTION = np.finfo(np.float64).resolution


class Knot(NamedTuple):
    """A point of the path, in the units of the solvers."""

    lam: float
    coef: np.ndarray  # (p,)
    free: np.ndarray  # (k,) features inside their face on the piece that ends here
    rss: float


def knots(source, penalty, lowest, max_rounds=1000):
    """The knots of the path, in decreasing order of lambda.

    Parameters
    ----------
    source : ColumnSource or MomentSource
    penalty : Penalty
        In the units of the source, without l2.
    lowest : float
        The path ends here, at the latest.
    max_rounds : int

    Yields
    ------
    Knot
        The first is where the first penalised feature enters; the last is at `lowest`.
    """
    rules = penalty.rules
    movable = (penalty.l1 == 0.0) & ~penalty.excluded

    def piece_from(lam, coef):
        solution = _active_set.solve_path(source, penalty, np.array([lam]), max_rounds, coef)
        coef = solution.whole(len(rules))[0]
        free = [j for j in np.flatnonzero(movable | (coef != 0.0)) if _kernels.is_free(coef[j], rules[j])]
        return _Piece(source, rules, lam, coef, np.array(free, dtype=np.int64))

    lam = max(_active_set.largest_lambda(source, penalty, max_rounds), lowest)
    piece = piece_from(lam, None)
    coef = piece.coef
    yield Knot(lam, coef, piece.free, piece.rss)
    while lam > lowest:
        for below in (BELOW, *FURTHER):
            inside = max(lam * (1.0 - below), lowest)
            piece = piece_from(inside, coef)
            if not piece.overdue():
                break
        length = min(piece.length(), inside - lowest)
        lam = lowest if length == inside - lowest else inside - length  # of which rounding could leave a rest
        coef = piece.coef_at(length)
        yield Knot(lam, coef, piece.free, piece.rss_at(length))


class _Piece:
    """One linear piece of the path, that begins in a solution."""

    def __init__(self, source, rules, lam, coef, free):
        self.rules, self.lam, self.coef, self.free = rules, lam, coef, free
        pull = np.sign(coef[free]) * rules[free, 0]
        gram = source.gram_of(free)
        try:
            self.direction = _ridge.CholeskyInverse(gram.copy(), 0.0)(pull[None], None)[0]
        except _ridge.SingularError:  # one of many: the fit is the same
            self.direction = linalg.lstsq(gram, pull, cond=_ridge.DEPENDENT, check_finite=False)[0]
        used = np.union1d(free, np.flatnonzero(coef))
        ways = np.zeros((2, len(used)))
        ways[0] = coef[used]
        ways[1, np.searchsorted(used, free)] = self.direction
        fitted, self.speed = source.products(used, ways)
        self.corr = source.start - fitted
        square = float(source.target.scale > 0.0)
        self.rss = max(square - coef[used] @ (source.start[used] + self.corr[used]), 0.0)

    def length(self):
        """How far lambda can fall before something changes."""
        low, high = np.array([_kernels.face(self.coef[j], self.rules[j]) for j in self.free]).reshape(-1, 2).T
        end = np.where(self.direction > 0.0, high, low)
        with np.errstate(divide="ignore", invalid="ignore"):
            leaving = np.where(self.direction != 0.0, (end - self.coef[self.free]) / self.direction, np.inf)
        entering = self.entering[self.entering > BELOW * self.lam]
        return min(leaving.min(initial=np.inf), entering.min(initial=np.inf))

    def overdue(self):
        """Whether a held feature should have been free, or is about to be."""
        return bool((self.entering <= BELOW * self.lam).any())

    @cached_property
    @np.errstate(over="ignore", invalid="ignore")  # where y is denormal; the certificate tells the rest
    def entering(self):
        """How far lambda can fall before each of the held features that approach their threshold is free."""
        l1, _, lower, upper = self.rules.T
        held = np.ones(len(l1), dtype=bool)
        held[self.free] = False
        reaches = []
        # At zero a coefficient may leave upwards or downwards, at a bound only away from it.
        for sign, bound in ((1.0, upper), (-1.0, lower)):
            at_zero = held & (self.coef == 0.0) & (sign * bound > 0.0)
            at_bound = held & (self.coef == bound) & (bound != 0.0)
            gap = self.lam * l1 - sign * self.corr  # falls to zero at speed `closing`
            closing = l1 - sign * self.speed
            for mask, way in ((at_zero, 1.0), (at_bound, -1.0)):
                candidates = np.flatnonzero(mask & (way * closing > PARALLEL * l1))
                reaches.append(gap[candidates] / closing[candidates])
        return np.concatenate(reaches)

    def coef_at(self, length):
        """Coefficients where lambda has fallen by `length`."""
        coef = self.coef.copy()
        coef[self.free] += length * self.direction
        ends = np.array([_kernels.face(self.coef[j], self.rules[j]) for j in self.free]).reshape(-1, 2)
        reached = np.abs(coef[self.free, None] - ends) <= 1e-12 * np.abs(length * self.direction)[:, None]
        for side in (0, 1):
            at = reached[:, side] & np.isfinite(ends[:, side])
            coef[self.free[at]] = ends[at, side]
        return coef

    def rss_at(self, length):
        """Squared norm of the residual there."""
        step = length * self.direction  # of the size of the coefficients, whatever that of lambda
        linear, quadratic = step @ self.corr[self.free], step @ (length * self.speed[self.free])
        return max(self.rss - 2.0 * linear + quadratic, 0.0)


def lambda_for_size(source, penalty, size, lowest=0.0):
    """The smallest lambda down to which no more than `size` coefficients have been non-zero.

    It lies above the knot where the next feature enters, by more than rounding. If none does, it is `lowest`;
    but there is no smallest one where only lambda = 0 has larger solutions (the shortest of many, of wide
    data): then it is half the last knot, whatever `lowest` below the range of rounding.
    """
    top, before = 0.0, None
    for knot in knots(source, penalty, lowest):
        top = max(top, knot.lam)
        # A knot has the free features of the piece that it ends, which begins at the knot before.
        if len(np.union1d(knot.free, np.flatnonzero(knot.coef))) > size and before is not None:
            return before.lam * (1.0 + 0.1 * BELOW)
        if knot.lam <= ROUNDING * top:
            break
        before = knot
    if lowest > ROUNDING * top or np.count_nonzero(~penalty.excluded) <= size:
        return lowest
    # Without any correlation there is no knot, and any penalty will do.
    return RESOLUTION if before is None else 0.5 * before.lam


def lambda_for_norm(source, penalty, norm):
    """The lambda at which the l1 penalty (for lambda 1) is `norm`; 0 if it is never reached."""
    before, size_before = None, 0.0
    for knot in knots(source, penalty, 0.0):
        size = penalty.l1 @ np.abs(knot.coef)
        if size >= norm and before is not None:
            share = (norm - size_before) / (size - size_before) if size > size_before else 1.0
            return before.lam + share * (knot.lam - before.lam)
        before, size_before = knot, size
    return 0.0
