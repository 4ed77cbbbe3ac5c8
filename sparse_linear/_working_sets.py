"""Working sets: the features that may become active soon, and how their reduced problem is solved.

`FactorSet` solves it exactly, on a Gram matrix with a Cholesky factor (derived in `_kernels`).  Past a few
thousand features these take more memory and time than they save, and `DescentSet` takes over: coordinate
descent on the columns themselves, extrapolated every few epochs (Anderson acceleration: Bertrand and Massias
2021, AISTATS, algorithm 2).  Descent converges, rather than ends; there `tol` decides when to stop, by the
same certificate as everywhere.
"""

import numpy as np

from sparse_linear import _compiled as _kernels
from sparse_linear._design import room

# Features that get a Gram matrix and a factor: at most 2 x 512 MB, of what is used.
LARGEST_FACTOR = 8192
# A Gram matrix has room for so many from the start: 2 x 0.5 MB.
SMALLEST = 256
# An ordinary l1 penalty is the median of about so many.
SAMPLE = 101
# Epochs of descent between two extrapolations.
EPOCHS = 5
# Descent solves the reduced problem to this share of the gap that is asked for on all features.
SHARE = 0.3
# A gap at which the solution for one lambda is good enough to start that for the next.
ROUGH = 1e-4
# Lambdas are solved so many at a time that their number times the square of the number of features is about
# this: a fraction of a second, after which somebody may ask for the work to stop.
PIECE = 1 << 24


def unwatched(count):
    """Called with the number of lambdas that have been solved since the last call; may raise, to stop."""


def solve_sequence(work, m, free, square, lams, max_rounds, watch):
    """`_kernels.solve_sequence`, a few lambdas at a time.

    Returns
    -------
    free : int
        The size of the factor.
    found : tuple
        Coefficients (b, m), gaps, squared norms of the residuals and rounds (b,).
    """
    b = len(lams)
    found = np.empty((b, m)), np.empty(b), np.empty(b), np.empty(b, dtype=np.int64)
    step = max(1, PIECE // max(1, m * m))
    for first in range(0, b, step):
        some = slice(first, first + step)
        pieces = [part[some] for part in found]
        free = _kernels.solve_sequence(work, m, free, square, lams[some], max_rounds, *pieces)
        watch(0)
    return free, found


def allocate(capacity, gram=None):
    """The arrays of a reduced problem, uninitialised."""
    return _kernels.Working(
        gram=room(capacity, capacity) if gram is None else gram,
        target=np.empty(capacity),
        grad=np.empty(capacity),
        coef=np.empty(capacity),
        base=np.empty((capacity, 4)),
        rule=np.empty((capacity, 4)),
        factor=room(capacity, capacity),
        order=np.empty(capacity, dtype=np.int64),
        held=np.ones(capacity, dtype=np.bool_),
        level=np.empty(1),
    )


class FeatureSet:
    """What both kinds share: which features are in, what they lack, and who comes next.

    Parameters
    ----------
    source : ColumnSource
    rules : ndarray of shape (p, 4)
        ``(l1, l2, lower, upper)`` of every feature, for ``lambda = 1``.
    features : ndarray of shape (m,), int64
        Those in the set; the source has gathered their columns.
    member : ndarray of shape (p,), bool
        Features never to be proposed: those in the set, or held at zero. Updated in place.
    """

    def __init__(self, source, rules, features, member):
        self.source = source
        self.rules = rules
        self.features = features
        self.member = member
        self.l1 = np.ascontiguousarray(rules[:, 0])
        some = slice(None, None, max(1, len(member) // SAMPLE))
        some = np.sort(self.l1[some][~member[some]])
        self.ordinary = float(some[len(some) // 2]) if len(some) else 0.0  # l1 penalty of a feature outside

    @property
    def size(self):
        """Number of features in the set."""
        return len(self.features)

    def _add(self, features):
        self.features = np.concatenate([self.features, features])
        self.member[features] = True

    def leave(self):
        """The path ends here; a source is kept for each of many targets."""
        self.source.directions.forget()

    def solve_more_closely(self):
        """Called when the gap on all features was too large although none of them was missing."""
        self.source.shortcut = False

    def verify(self, coefs, lams):
        """How good some solutions are on all features.

        Returns
        -------
        corrs_of : callable
            Maps the number of a solution to the correlations (p,) of all features; `_design.Screened.row`.
        rss, gaps : ndarray of shape (b,)
        lacking : ndarray of shape (b,), int64
            How many features outside are missing.
        """
        found = self.source.screen(coefs, lams, self.l1, self.ordinary, self.member)
        gaps, lacking = _kernels.duality_gaps(
            found.corrs, found.places, coefs, lams, self.rules[found.features], found.rss
        )
        return found.row, found.rss, gaps, lacking

    def candidates(self, corrs, threshold):
        """Features outside with at least this threshold: the most pulled, about as many as are active."""
        found, score = _kernels.proposals(corrs, self.rules, self.l1, self.member, threshold)
        used = np.count_nonzero(self.coef)  # type: ignore[attr-defined]  # both kinds have it
        budget = max(2 * used - self.size + 50, 30, used // 4)
        if len(found) > budget:
            found = found[np.argpartition(-score, budget)[:budget]]
        return found


class FactorSet(FeatureSet):
    """Features with their Gram matrix, and the Cholesky factor of the free ones: solved exactly.

    Parameters
    ----------
    source : ColumnSource
    penalty : Penalty
        In the units of the source.
    lam : float
        The first lambda.
    """

    def __init__(self, source, penalty, lam):
        self.goal = _kernels.EXACT
        self.free = 0  # features in the factor
        self.lam = lam  # the present lambda: that of the factor and of `work.rule`
        features, self.work = source.left or (np.empty(0, dtype=np.int64), allocate(0))
        source.left = None
        rules = np.column_stack(penalty)
        super().__init__(source, rules, features, penalty.excluded)
        self.member[features] = True
        self.target, self.square = source.start, source.square
        self.work.held[:] = True
        _kernels.enter(self.work, 0, features, rules, lam, self.target, self.target)

    @property
    def coef(self):
        """Present coefficients, (m,)."""
        return self.work.coef[: self.size]

    def extend(self, features, corrs, coef=None):
        """Take in more features, given the correlations of all with the present residual."""
        if len(features) == 0:
            return
        start, total = self.size, self.size + len(features)
        if total > len(self.work.coef):
            self._move(slice(0, start), max(total, min(max(2 * start, SMALLEST), LARGEST_FACTOR)))
        work = self.work
        cross = self.source.extend(features)
        work.gram[:total, start:total] = cross
        work.gram[start:total, :start] = cross[:start].T
        self._add(features)
        _kernels.enter(work, start, self.features, self.rules, self.lam, self.target, corrs)
        if coef is not None:
            work.coef[start:total] = coef[features]

    def _move(self, places, capacity):
        """Take the features of the set from their places to arrays of another capacity; the factor stays."""
        old, work, m, k = self.work, allocate(capacity), self.size, self.free
        work.gram[:m, :m] = old.gram[places][:, places]
        for name in ("target", "grad", "coef", "base", "rule", "held"):
            getattr(work, name)[:m] = getattr(old, name)[places]
        # No more of the factor than is in use: untouched memory takes no room.
        work.factor[:k, :k] = old.factor[:k, :k]
        work.order[:k] = old.order[:k]
        work.level[:] = old.level
        self.work = work

    def leave(self):
        """Leave the Gram matrix to the next path on the same source."""
        super().leave()
        self.source.left = self.features, self.work

    def drop_stale(self):
        """Forget the features at zero: they come back if they are wanted."""
        stale = self.coef == 0.0
        stale &= self.work.held[: self.size]
        places = np.flatnonzero(~stale)
        self.member[self.features[stale]] = False
        self.features = self.features[places]
        self.source.keep(places)
        self._move(places, len(places))
        order = self.work.order[: self.free]
        order[:] = np.searchsorted(places, order)

    def without_factor(self, goal):
        """The same features, to be solved by descent up to a duality gap of `goal`."""
        return DescentSet(self.source, self.rules, self.features, self.member, self.coef.copy(), goal)

    def solve(self, lams, max_rounds, on_the_way=False, watch=unwatched):
        """Solve the reduced problem for some lambdas; returns coefficients (b, m) and rounds (b,)."""
        self.free, (coefs, _, _, rounds) = solve_sequence(
            self.work, self.size, self.free, self.square, lams, max_rounds, watch
        )
        self.lam = lams[-1]
        return coefs, rounds

    def restart(self, coef, corrs):
        """Go back to given coefficients on the working set, with the correlations of all features."""
        self.free = _kernels.restart(self.work, self.size, self.free, coef, corrs[self.features])


class DescentSet(FeatureSet):
    """Features without a Gram matrix: solved up to a duality gap of `goal`.

    Parameters
    ----------
    source, rules, features, member
        As in `FeatureSet`.
    coef : ndarray of shape (m,)
        Where to start; updated in place.
    goal : float
        In the units of the source.
    """

    def __init__(self, source, rules, features, member, coef, goal):
        super().__init__(source, rules, features, member)
        self.coef = coef
        self.goal = max(goal, _kernels.EXACT)
        self.inner = SHARE * self.goal

    def extend(self, features, corrs, coef=None):
        """Take in more features."""
        self.source.gather(features)
        self._add(features)
        new = np.zeros(len(features)) if coef is None else coef[features]
        self.coef = np.concatenate([self.coef, new])

    def leave(self):
        """Leave nothing behind."""
        super().leave()
        self.source.keep(np.empty(0, dtype=np.int64))

    def restart(self, coef, corrs):
        """Go back to given coefficients."""
        self.coef = coef.copy()

    def solve(self, lams, max_rounds, on_the_way=False, watch=unwatched):
        """Solve the reduced problem for some lambdas; returns coefficients (b, m) and epochs (b,).

        A solution on the way to the one that is wanted need not be close.
        """
        coefs = np.empty((len(lams), self.size))
        epochs = np.empty(len(lams), dtype=np.int64)
        for index, lam in enumerate(lams):
            goal = max(self.inner, ROUGH) if on_the_way else self.inner
            epochs[index] = self._solve_one(lam, max_rounds, goal, watch)
            coefs[index] = self.coef
        return coefs, epochs

    def solve_more_closely(self):
        """From now on, to a smaller share of the gap."""
        super().solve_more_closely()
        self.inner *= SHARE

    def verify(self, coefs, lams):
        """As in `FeatureSet`; a solution that is close enough lacks nothing."""
        corrs_of, rss, gaps, lacking = super().verify(coefs, lams)
        return corrs_of, rss, gaps, np.where(gaps <= self.goal, 0, lacking)

    def _solve_one(self, lam, max_epochs, goal, watch):
        """Solve for one lambda in place, up to a gap; returns the number of epochs."""
        columns, rules = self.source.block.compiled(), self.rules[self.features]
        everyone = np.arange(self.size)
        residual, offset = self._residual(self.coef)
        epoch = 0
        while epoch < max_epochs:
            # The first sweep finds the support, the others stay on it.
            sweep = np.empty((1, self.size))
            offset = _kernels.descend(columns, everyone, rules, lam, self.coef, residual, offset, sweep)
            epoch += 1
            active = np.flatnonzero(self.coef)
            while epoch < max_epochs:
                watch(0)
                history = np.empty((min(EPOCHS, max_epochs - epoch), len(active)))
                before = self.coef[active]
                offset = _kernels.descend(columns, active, rules, lam, self.coef, residual, offset, history)
                epoch += len(history)
                moved = np.abs(history[-1] - before).max(initial=0.0)
                residual, offset = self._extrapolate(lam, rules, active, before, history, residual, offset)
                if moved * moved * len(active) <= goal:
                    break
            if self._gap(lam, rules, residual, offset) <= goal:
                break
        return epoch

    def _residual(self, coef):
        """The residual of some coefficients: a vector, and a multiple of the root weights."""
        offset = self.source.block.offset(coef)
        whole = self.source.values - self.source.block.combine(coef[None])[0]
        # `combine` centres; the solver keeps that part in the offset.
        return whole - offset * self.source.design.root, offset

    def _objective(self, lam, rules, coef, residual, offset):
        whole = residual + offset * self.source.design.root
        l1, l2 = rules[:, 0], rules[:, 1]
        return 0.5 * _square(whole) + lam * (np.abs(coef) * l1 + 0.5 * coef * coef * l2).sum()

    def _extrapolate(self, lam, rules, active, before, history, residual, offset):
        """Replace the coefficients by the extrapolation of the last epochs, if that is better."""
        steps = np.diff(history, axis=0, prepend=before[None])
        products = steps @ steps.T
        products[np.diag_indices_from(products)] += 1e-12 * np.trace(products) + 1e-300
        weights = np.linalg.solve(products, np.ones(len(steps)))
        if not np.isfinite(weights).all() or weights.sum() == 0.0:
            return residual, offset
        coef = self.coef.copy()
        coef[active] = np.clip(weights @ history / weights.sum(), *rules[active, 2:].T)
        other, other_offset = self._residual(coef)
        now = self._objective(lam, rules, self.coef, residual, offset)
        if not self._objective(lam, rules, coef, other, other_offset) < now:
            return residual, offset
        self.coef[:] = coef
        return other, other_offset

    def _gap(self, lam, rules, residual, offset):
        """Duality gap of the reduced problem."""
        whole = residual + offset * self.source.design.root
        corrs = self.source.block.products(residual, offset)
        gaps, _ = _kernels.duality_gaps(
            corrs[None],
            np.arange(self.size),
            self.coef[None],
            np.array([lam]),
            rules,
            np.array([_square(whole)]),
        )
        return gaps[0]


def _square(x):
    """Squared norm; for a vector this short BLAS threads would cost more than they save."""
    return np.einsum("i,i->", x, x)


def with_room(working, count, goal):
    """The working set, without its factor if it will be too large for one with `count` more features."""
    if working.size + count <= LARGEST_FACTOR or isinstance(working, DescentSet):
        return working
    working.drop_stale()
    return working if working.size + count <= LARGEST_FACTOR else working.without_factor(goal)
