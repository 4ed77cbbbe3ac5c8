"""Working sets: the features that may become active soon, and how their reduced problem is solved.

`FactorSet` solves it exactly, on a Gram matrix with a Cholesky factor (derived in `_kernels.rounds`).  Past a
few thousand features these take more memory and time than they save, and `DescentSet` takes over: coordinate
descent on the columns themselves, extrapolated every few epochs (Anderson acceleration: Bertrand and Massias
2021, AISTATS, algorithm 2).  Descent converges, rather than ends; there `tol` decides when to stop, by the
same certificate as everywhere.

Where all features have a ridge penalty many more of them may be active than there are rows.  Then `DualSet`
takes over before: it solves as many equations as rows, exactly, and no Gram matrix is needed.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sparse_linear import _compiled as _kernels
from sparse_linear._design import NO_FEATURES, room

# Features that get a Gram matrix and a factor: at most 2 x 512 MB, of what is used.
LARGEST_FACTOR = 8192
# More than so many times as many features as rows, all with a ridge penalty, are solved for on the rows.
MANY = 3
# A Gram matrix has room for so many from the start: 2 x 1.2 MB.
SMALLEST = 384
# How many lambdas are verified in one pass over X.
LOOK_AHEAD = 16
# A working set shall have about so many features more than twice the number of active ones; and so many are
# proposed at a time, if there are.
SPARE, FEWEST = 50, 30
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
PIECE = 1 << 25
# A path is followed for about so many multiplications before whoever watches is told.
SPELL = 1 << 27
NOTHING = np.empty((0, 0))
# What `Working` holds for each feature.
EACH = "target", "grad", "coef", "base", "rule", "held"


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


def _ordinary(l1, excluded):
    """The l1 penalty of an ordinary feature."""
    some = slice(None, None, max(1, len(l1) // SAMPLE))
    some = np.sort(l1[some][~excluded[some]])
    return float(some[len(some) // 2]) if len(some) else 0.0


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


class Plan(NamedTuple):
    """A sequence of lambdas to be solved for, and what is found."""

    sequence: np.ndarray  # (n_steps,) decreasing
    answers: np.ndarray  # (n_steps,) int64: which of the wanted lambdas each is, or -1, on the way to them
    max_rounds: int  # for each lambda
    gaps: np.ndarray  # (n_steps,) filled, as are the others
    rss: np.ndarray  # (n_steps,)
    rounds: np.ndarray  # (n_steps,) int64
    found: list[Any]  # of some wanted lambdas after the other: which, features, and their coefficients
    watch: Callable[[int], object]  # as `unwatched`

    def add(self, position, features, coefs):
        """Coefficients (k, m) of some features for the lambdas from a position on."""
        answers = self.answers[position : position + len(coefs)]
        wanted = np.flatnonzero(answers >= 0)
        coefs = coefs[wanted]
        used = coefs.any(axis=0)
        self.found.append((answers[wanted], features[used], coefs[:, used]))
        self.watch(len(wanted))


class FeatureSet:
    """What both kinds share: which features are in, what they lack, and who comes next.

    Parameters
    ----------
    source : ColumnSource
    screen : Screen
        Penalties of all features. Members, those in the set or held at zero, are never proposed.
    """

    # Each kind has its own.
    manner = ""  # how solutions were found, if not by a factor of the features alone
    goal: float  # the gap of a solution that is good enough
    features: Any  # (m,) int64: those in the set; the source has gathered their columns
    coef: Any  # (m,) present coefficients
    extend: Any
    restart: Any
    solve: Any

    def __init__(self, source, screen):
        self.source, self.screen = source, screen
        self.largest = LARGEST_FACTOR

    @property
    def member(self):
        """Features in the set, or held at zero."""
        return self.screen.member

    @property
    def rules(self):
        """Penalties of all features, (p, 4)."""
        return self.screen.rules

    def has_room(self, count):
        """Whether so many more features may come in."""
        return True

    def solve_more_closely(self):
        """Called when the gap on all features was too large although none of them was missing."""
        self.source.shortcut = False

    def verify(self, coefs, lams):
        """How good some solutions are on all features; as `_design.ColumnSource.verify`."""
        return self.source.verify(coefs, lams, self.screen)

    def limits(self, max_rounds):
        """Where a path stops and turns, for compiled code."""
        batches = LOOK_AHEAD, self.largest, SPARE, FEWEST, PIECE
        return _kernels.Limits(self.goal, max_rounds, *batches, self.source.design.stored, SPELL)

    def advance(self, plan, corrs, progress):
        """Solve for the next batch of lambdas, and verify it.

        Parameters
        ----------
        plan : Plan
            Filled in.
        corrs : ndarray of shape (p,)
            Correlations of all features with the present residual; updated in place.
        progress : Progress

        Returns
        -------
        Progress
            Behind the solutions that are right.
        """
        position, answers = progress.position, plan.answers
        screen, limits = self.screen, self.limits(plan.max_rounds)
        complete = self.member.all()
        stop = _kernels.batch_end(answers, position, progress.look, complete, len(self.source.values))
        lams, batch = plan.sequence[position:stop], answers[position:stop]
        if not complete:
            least = _kernels.outlook(lams[-1], progress.before)
            new = _kernels.proposals(corrs, screen.rules, screen.l1, screen.member, least, self.coef, limits)
            if not self.has_room(len(new)):
                return progress._replace(wanted=len(new))
            self.extend(new, corrs)
        plan.watch(0)
        coefs, counts = self.solve(lams, plan.max_rounds, batch[0] < 0, plan.watch)
        whole, rss, gaps, lacking = self.verify(coefs, lams)
        failed = _kernels.first_failure(gaps, lacking, counts, batch, limits, progress.tries)
        last = min(failed, len(lams) - 1)
        plan.rounds[position : position + last + 1] += counts[: last + 1]
        right = slice(position, position + failed)
        plan.gaps[right], plan.rss[right] = gaps[:failed], rss[:failed]
        plan.add(position, self.features, coefs[:failed])
        corrs[:] = whole[last]
        self.restart(coefs[last], corrs)
        if failed < len(lams) and not lacking[failed]:
            self.solve_more_closely()
        return _kernels.moved(progress, lams, failed, lacking[last], limits.ahead)


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
        self.lam = lam  # the present lambda: that of `work.rule`
        if source.left is None and len(source.features):
            source.keep(NO_FEATURES)  # of a path that was interrupted
        features, self.work, used = source.left or (NO_FEATURES, allocate(0), NO_FEATURES)
        source.left = None
        rules = penalty.rules
        l1, excluded, self.loose, curved = _kernels.survey(rules)
        super().__init__(source, _kernels.Screen(rules, l1, _ordinary(l1, excluded), excluded))
        self.size = len(features)
        self.inside = np.empty(len(self.work.coef), dtype=np.int64)  # the first `size` are the features
        self.inside[: self.size] = features
        if len(features):  # it is likely to need the same ones; others would only be in the way
            self._keep(np.flatnonzero(np.isin(features, used)))
        self.member[self.features] = True
        self.target, self.square = source.start, source.square
        self.work.held[:] = True
        n = source.design.n
        self.dual = MANY * n <= LARGEST_FACTOR and curved
        if self.dual:
            self.largest = max(SMALLEST, MANY * n)
        _kernels.enter(self.work, NOTHING, 0, self.features, rules, lam, self.target, self.target)

    @cached_property
    def directions(self):
        """Those in which the residuals of this path lie; none is known when it begins."""
        capacity = _kernels.KNOWN + _kernels.NEW
        return _kernels.Directions(
            size=np.zeros(1, dtype=np.int64),
            basis=np.empty((capacity, self.source.design.n)),
            images=np.empty((capacity, self.source.design.p)),
            last=np.empty(capacity),
        )

    @cached_property
    def trail(self):
        """The present solution, whose correlations are exact."""
        source, p = self.source, self.source.design.p
        coef, square = np.zeros(p), self.square
        if self.coef.any():
            coef[self.features] = self.coef
            square = _square(source.values - source.block.combine(self.coef[None])[0])
        rows = np.empty(_kernels.LANES * source.design.n)
        return _kernels.Trail(coef, np.array([square]), np.zeros(p), rows)

    def _memory(self):
        """What compiled code remembers of X from batch to batch."""
        if isinstance(self.source.described, _kernels.Sparse):
            return self.trail
        return _kernels.Gathered(self.source.block.reserve(len(self.inside)), self.directions)

    @property
    def features(self):
        """Those in the set, (m,) int64."""
        return self.inside[: self.size]

    @property
    def coef(self):
        """Present coefficients, (m,)."""
        return self.work.coef[: self.size]

    def has_room(self, count):
        """Whether a factor for so many more features pays."""
        return self.size + count <= self.largest

    def extend(self, features, corrs, coef=None):
        """Take in more features, given the correlations of all with the present residual."""
        if len(features) == 0:
            return
        start, total = self.size, self.size + len(features)
        self._reserve(len(features))
        cross = self.source.extend(features).T
        self.inside[start:total] = features
        self.size = total
        self.member[features] = True
        _kernels.enter(self.work, cross, start, self.features, self.rules, self.lam, self.target, corrs)
        if coef is not None:
            self.work.coef[start:total] = coef[features]

    def _reserve(self, count):
        """Have arrays with room for so many more features."""
        total = self.size + count
        if total > len(self.inside):
            self._grow(max(total, min(max(2 * self.size, SMALLEST), self.largest)))

    def _grow(self, capacity):
        """Go to arrays of another capacity."""
        old, work, m, k = self.work, allocate(capacity), self.size, self.free
        work.gram[:m, :m] = old.gram[:m, :m]
        for name in EACH:
            getattr(work, name)[:m] = getattr(old, name)[:m]
        # No more of the factor than is in use: untouched memory takes no room.
        work.factor[:k, :k] = old.factor[:k, :k]
        work.order[:k] = old.order[:k]
        work.level[:] = old.level
        inside = np.empty(capacity, dtype=np.int64)
        inside[:m] = self.inside[:m]
        self.work, self.inside = work, inside

    def _keep(self, places):
        """Forget all features but some, given by their places, those in the factor among them."""
        work, k = self.work, len(places)
        order = work.order[: self.free]
        order[:] = np.searchsorted(places, order)
        work.gram[:k, :k] = work.gram[np.ix_(places, places)]
        for name in EACH:
            getattr(work, name)[:k] = getattr(work, name)[places]
        work.held[k:] = True  # as newcomers are
        self.source.keep(places)  # before the next line: its features may be a view of `inside`
        self.inside[:k] = self.inside[places]
        self.size = k

    def leave(self, used):
        """Leave the Gram matrix to the next path on the same source, with the features that were used."""
        self.source.left = self.features, self.work, used

    def drop_stale(self):
        """Forget the features at zero: they come back if they are wanted."""
        stale = self.coef == 0.0
        stale &= self.work.held[: self.size]
        self.member[self.features[stale]] = False
        self._keep(np.flatnonzero(~stale))

    def without_factor(self, goal):
        """The same features, to be solved by descent up to a duality gap of `goal`."""
        kind, goal = (DualSet, self.goal) if self.dual else (DescentSet, goal)
        return kind(self.source, self.screen, self.features, self.coef.copy(), goal)

    def solve(self, lams, max_rounds, on_the_way=False, watch=unwatched):
        """Solve the reduced problem for some lambdas; returns coefficients (b, m) and rounds (b,)."""
        self.free, (coefs, _, _, rounds) = solve_sequence(
            self.work, self.size, self.free, self.square, lams, max_rounds, watch
        )
        self.lam = lams[-1]
        return coefs, rounds

    def restart(self, coef, corrs):
        """Go back to given coefficients on the working set, with the correlations of all features."""
        self.free = _kernels.restart(self.work, self.size, self.free, coef, corrs, self.inside)

    def advance(self, plan, corrs, progress):
        """As in `FeatureSet`; many batches in one compiled call, where that can read X as it is."""
        source = self.source
        if not source.design.suits(min(LOOK_AHEAD, np.count_nonzero(plan.answers >= 0))):
            return super().advance(plan, corrs, progress)
        # The first time there are no arrays yet.
        self._reserve(progress.wanted if len(self.inside) else max(1, progress.wanted))
        position = progress.position
        coefs = np.empty((len(plan.sequence) - position, len(self.inside)))
        *progress, self.size, self.free, self.lam = _kernels.follow(
            source.described,
            self.screen,
            self.work,
            self.size,
            self.free,
            self.lam,
            self.inside,
            self._memory(),
            corrs,
            plan.sequence,
            plan.answers,
            self.limits(plan.max_rounds),
            progress,
            coefs,
            plan.gaps,
            plan.rss,
            plan.rounds,
        )
        progress = _kernels.Progress(*progress)
        source.adopt(self.features)
        plan.add(position, self.features, coefs[: progress.position - position, : self.size])
        return progress


class DescentSet(FeatureSet):
    """Features without a Gram matrix: solved up to a duality gap of `goal`.

    Parameters
    ----------
    source, screen
        As in `FeatureSet`.
    features : ndarray of shape (m,), int64
        Those in the set, whose columns the source has gathered.
    coef : ndarray of shape (m,)
        Where to start; updated in place.
    goal : float
        In the units of the source.
    """

    manner = (
        "accelerated coordinate descent, up to tol, from where more than "
        f"{LARGEST_FACTOR} features were in play"
    )

    def __init__(self, source, screen, features, coef, goal):
        super().__init__(source, screen)
        self.features = features
        self.coef = coef
        self.goal = max(goal, _kernels.EXACT)
        self.inner = SHARE * self.goal

    def extend(self, features, corrs, coef=None):
        """Take in more features."""
        self.source.gather(features)
        self.features = np.concatenate([self.features, features])
        self.member[features] = True
        new = np.zeros(len(features)) if coef is None else coef[features]
        self.coef = np.concatenate([self.coef, new])

    def leave(self, used):
        """Leave nothing behind."""
        self.source.keep(NO_FEATURES)

    def restart(self, coef, corrs):
        """Go back to given coefficients."""
        self.coef = coef.copy()

    def solve(self, lams, max_rounds, on_the_way=False, watch=unwatched):
        """Solve the reduced problem for some lambdas; returns coefficients (b, m) and epochs (b,).

        A solution on the way to the one that is wanted need not be close.
        """
        coefs = np.empty((len(lams), len(self.features)))
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
        whole, rss, gaps, lacking = super().verify(coefs, lams)
        return whole, rss, gaps, np.where(gaps <= self.goal, 0, lacking)

    def _solve_one(self, lam, max_epochs, goal, watch):
        """Solve for one lambda in place, up to a gap; returns the number of epochs."""
        columns, rules = self.source.block.compiled(), self.rules[self.features]
        everyone = np.arange(len(self.features))
        residual, offset = self._residual(self.coef)
        epoch = 0
        while epoch < max_epochs:
            # The first sweep finds the support, the others stay on it.
            sweep = np.empty((1, len(self.features)))
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
            np.arange(len(self.features)),
            self.coef[None],
            np.array([lam]),
            rules,
            np.array([_square(whole)]),
        )
        return gaps[0]


class DualSet(DescentSet):
    """Features that all have a ridge penalty, more of them than rows: solved by equations between the rows.

    The residual says what the coefficients are, and the other way round: see `_kernels.solve_between_rows`.
    """

    manner = f"equations between the rows from where more than {MANY} times as many features were in play"

    def __init__(self, *args):
        super().__init__(*args)
        design = self.source.design
        self.equations = _kernels.Equations(
            target=self.source.values,
            root=design.root,
            outer=np.zeros((design.n, design.n)),
            right=self.source.values.copy(),
            free=np.zeros(len(self.features), dtype=np.bool_),
            lean=np.zeros(len(self.features)),
        )

    def extend(self, features, corrs, coef=None):
        """As in `DescentSet`; newcomers are held at zero, as far as the equations are concerned."""
        super().extend(features, corrs, coef)
        free, lean = self.equations.free, self.equations.lean
        free = np.concatenate([free, np.zeros(len(features), dtype=np.bool_)])
        lean = np.concatenate([lean, np.zeros(len(features))])
        self.equations = self.equations._replace(free=free, lean=lean)

    def solve(self, lams, max_rounds, on_the_way=False, watch=unwatched):
        """As in `DescentSet`, exactly; returns coefficients (b, m) and rounds (b,)."""
        m, columns, rules = len(self.features), self.source.block.compiled(), self.rules[self.features]
        coefs, rounds = np.empty((len(lams), m)), np.full(len(lams), max_rounds)
        step = max(1, PIECE // (m * self.source.design.n))
        for first in range(0, len(lams), step):
            some = slice(first, first + step)
            _kernels.solve_between_rows(
                columns, rules, self.equations, lams[some], self.inner, self.coef, coefs[some], rounds[some]
            )
            watch(0)
        return coefs, rounds


def _square(x):
    """Squared norm; for a vector this short BLAS threads would cost more than they save."""
    return np.einsum("i,i->", x, x)


def with_room(working, count, goal):
    """The working set, without its factor if it would be too large for one with `count` more features."""
    if working.has_room(count):
        return working
    # Where equations between the rows come next, features at zero need not leave first, to come back again.
    if not (working.dual and np.count_nonzero(working.coef) > working.source.design.n):
        working.drop_stale()
    return working if working.has_room(count) else working.without_factor(goal)
