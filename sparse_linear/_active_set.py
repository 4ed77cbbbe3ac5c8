"""The exact solver: working sets, batches of lambdas, verification on all features.

One path is solved like this (the compiled part, and why it ends, is derived in `_kernels`):

1. The *working set* holds the features that may become active soon.  The sequential strong rule (Tibshirani
   et al. 2012, J. R. Stat. Soc. B 74, eq. 7) picks them with look-ahead: those whose correlation would reach
   the last lambda of the next batch if it grew at most as fast as lambda falls.
2. `_kernels.solve_sequence` solves the batch exactly on the Gram matrix of the working set.
3. One pass over X gives the correlations of *all* features with the residuals of the whole batch, a matrix
   product.  They certify every solution of the batch, or show which features are missing; then the first
   solution that failed is solved again with those in the working set.  They also replace the solver's own,
   updated, correlations, so rounding never accumulates.
"""

from typing import NamedTuple

import numpy as np

from sparse_linear import _kernels

# How many lambdas are verified in one pass over X.
LOOK_AHEAD = 10
# A larger fall of lambda than this is made in several steps, each started from the one before.
STEP = 0.7
# Gaps up to this (in units of the squared norm of y) count as exact; above it, a solution is refined with
# fresh correlations.
EXACT = 1e-12
# How often one lambda is solved again with fresh correlations, without a feature missing, before its gap is
# reported as it is.
REFINEMENTS = 3
# A lambda at which every penalised feature is zero.
HUGE = 1e150


class Solutions(NamedTuple):
    """Solutions for a sequence of lambdas, in the units of the source."""

    coefs: np.ndarray  # (n_lams, p)
    gaps: np.ndarray  # (n_lams,)
    rss: np.ndarray  # (n_lams,) weighted squared norm of the residuals
    rounds: np.ndarray  # (n_lams,) int64


def pull(corrs, penalty):
    """How strongly each feature is pulled away from zero, in a direction that its bounds allow."""
    return np.maximum(np.where(penalty.upper > 0.0, corrs, 0.0), np.where(penalty.lower < 0.0, -corrs, 0.0))


def thresholds(corrs, penalty):
    """The lambda at which each feature leaves zero, for a fixed residual; infinite without an l1 penalty."""
    pulled = pull(corrs, penalty)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pulled > 0.0, pulled / penalty.l1, 0.0)


class _WorkingSet:
    """Features under consideration, their reduced problem, and the factor of the free ones."""

    def __init__(self, source, penalty, lam):
        self.source = source
        self.penalty = penalty
        self.rules = np.array(penalty).T  # (p, 4)
        self.features = np.empty(0, dtype=np.int64)
        self.member = penalty.excluded  # never a candidate: in the set, or held at zero
        self.size = 0
        self.free = 0  # features in the factor
        self.lam = lam  # the present lambda: that of the factor and of `work.rule`
        self.work = self._allocate(0)

    @staticmethod
    def _allocate(capacity):
        return _kernels.Working(
            gram=np.empty((capacity, capacity)),
            grad=np.empty(capacity),
            coef=np.empty(capacity),
            base=np.empty((capacity, 4)),
            rule=np.empty((capacity, 4)),
            factor=np.empty((capacity, capacity)),
            order=np.empty(capacity, dtype=np.int64),
            held=np.ones(capacity, dtype=np.bool_),
        )

    def extend(self, features, corrs, coef=None):
        """Take in more features, given the correlations of all with the present residual."""
        if len(features) == 0:
            return
        start, total = self.size, self.size + len(features)
        if total >= len(self.work.coef):
            # One place more than features: the solver parks a newcomer behind the last.
            grown = self._allocate(max(total, 2 * start) + 1)
            for new, old in zip(grown, self.work, strict=True):
                used = (slice(0, start), slice(0, old.shape[-1]))[: old.ndim]
                new[used] = old[used]
            self.work = grown
        work = self.work
        cross = self.source.extend(features)
        work.gram[:total, start:total] = cross
        work.gram[start:total, :start] = cross[:start].T
        work.grad[start:total] = corrs[features]
        work.coef[start:total] = 0.0 if coef is None else coef[features]
        rule = self.rules[features]
        work.base[start:total] = rule
        work.rule[start:total] = rule * (self.lam, self.lam, 1.0, 1.0)
        self.features = np.concatenate([self.features, features])
        self.member[features] = True
        self.size = total

    def solve(self, lams, max_rounds):
        """Solve the reduced problem for some lambdas; returns coefficients (b, m) and rounds (b,)."""
        coefs = np.empty((len(lams), self.size))
        rounds = np.zeros(len(lams), dtype=np.int64)
        self.free = _kernels.solve_sequence(self.work, self.size, self.free, lams, max_rounds, coefs, rounds)
        self.lam = lams[-1]
        return coefs, rounds

    def restart(self, coef, corrs):
        """Go back to given coefficients on the working set, with the correlations of all features."""
        self.free = _kernels.restart(self.work, self.size, self.free, coef, corrs[self.features])

    def verify(self, coefs, lams):
        """Correlations, residual norms, gaps, and for each solution which features outside are missing."""
        corrs, rss = self.source.correlate(coefs)
        gaps = _kernels.duality_gaps(corrs, self.features, coefs, lams, *self.penalty, rss)
        return corrs, rss, gaps

    def missing(self, corrs, lam):
        """Mask of the features outside that violate their optimality condition at ``lam``."""
        bound = lam * self.penalty.l1
        floor = _kernels.NOISE * (1.0 + np.abs(self.work.coef[: self.size]).sum())
        return (pull(corrs, self.penalty) > bound * (1.0 + 10.0 * _kernels.KKT) + floor) & ~self.member

    def candidates(self, corrs, threshold):
        """Features outside with at least this threshold, the most pulled first, about as many as are free."""
        score = thresholds(corrs, self.penalty)
        score[self.member] = -1.0
        found = np.flatnonzero((score >= threshold) & (score > 0.0))
        used = np.count_nonzero(self.work.coef[: self.size])
        budget = max(2 * used - self.size + 100, 30, used // 4)
        if len(found) > budget:
            found = found[np.argpartition(-score[found], budget)[:budget]]
        return found


def _with_steps(start, lams):
    """Insert lambdas so that none falls below `STEP` times the one before.

    Returns the whole sequence and for each entry the index in `lams` that it answers, or -1.
    """
    sequence, answers = [], []
    before = start
    for index, lam in enumerate(lams):
        if 0.0 < lam < 0.5 * before and np.isfinite(before):
            n_steps = int(np.ceil(np.log(lam / before) / np.log(STEP)))
            inserted = before * (lam / before) ** (np.arange(1, n_steps) / n_steps)
            sequence.extend(inserted)
            answers.extend([-1] * len(inserted))
        sequence.append(lam)
        answers.append(index)
        before = lam
    return np.array(sequence), np.array(answers)


def _batch_end(answers, position, look):
    """Where the batch from `position` ends: wanted lambdas go together, a step on the way goes alone."""
    stop = position + 1
    while stop < min(len(answers), position + look) and answers[position] >= 0 and answers[stop] >= 0:
        stop += 1
    return stop


def begin(source, penalty, lam, max_rounds, coef=None):
    """Solve for the features that nothing holds at zero, starting from `coef`.

    Returns
    -------
    working : _WorkingSet
    corrs : ndarray of shape (p,)
        Correlations of all features with the residual.
    """
    working = _WorkingSet(source, penalty, lam)
    corrs = source.correlate(np.zeros((1, 0)))[0][0]
    either_way = (penalty.lower < 0.0) & (penalty.upper > 0.0)
    loose = (penalty.l1 == 0.0) & ((penalty.l2 == 0.0) | either_way)
    if coef is not None:
        coef = np.clip(coef, penalty.lower, penalty.upper)
        loose |= (coef != 0.0) & ~penalty.excluded
    first = np.flatnonzero(loose & ~working.member)
    if len(first):
        working.extend(first, corrs, coef)
        if coef is not None:
            corrs = source.correlate(coef[None, first])[0][0]
            working.restart(coef[first], corrs)
        elif loose.any():
            # Under a penalty this large all penalised features stay at zero.
            solved, _ = working.solve(np.array([HUGE]), max_rounds)
            corrs = source.correlate(solved)[0][0]
            working.restart(solved[0], corrs)
    return working, corrs


def largest_lambda(source, penalty, max_rounds=1000):
    """The smallest lambda at which every feature with an l1 penalty has coefficient zero."""
    _, corrs = begin(source, penalty, 1.0, max_rounds)
    score = thresholds(corrs, penalty)[(penalty.l1 > 0.0) & ~penalty.excluded]
    return score.max(initial=0.0)


def solve_path(source, penalty, lams, max_rounds, coef=None):
    """Solve for a decreasing sequence of lambdas.

    Parameters
    ----------
    source : ColumnSource or MomentSource
        Where Gram matrices and correlations come from.
    penalty : Penalty
        In the units of the source.
    lams : ndarray of shape (n_lams,)
        Decreasing.
    max_rounds : int
        Limit of active-set rounds for each lambda.
    coef : ndarray of shape (p,) or None
        Where to start, in the units of the source; zeros by default.

    Returns
    -------
    Solutions
    """
    p = len(penalty.l1)
    working, corrs = begin(source, penalty, lams[0], max_rounds, coef)
    if coef is None:
        score = thresholds(corrs, penalty)[~penalty.excluded & (penalty.l1 > 0.0)]
        lam_before = score.max(initial=0.0)
    else:
        lam_before = lams[0]
    sequence, answers = _with_steps(lam_before, lams)
    # Rounds of a step on the way count for the lambda that it leads to.
    owners = np.minimum.accumulate(np.where(answers < 0, len(lams), answers)[::-1])[::-1]
    result = Solutions(
        np.zeros((len(lams), p)),
        np.full(len(lams), np.inf),
        np.zeros(len(lams)),
        np.zeros(len(lams), dtype=np.int64),
    )
    if source.all_at_once:
        working.extend(np.flatnonzero(~working.member), corrs)
    complete = working.member.all()
    position, tries, look = 0, 0, LOOK_AHEAD
    while position < len(sequence):
        stop = len(sequence) if complete else _batch_end(answers, position, look)
        batch = sequence[position:stop]
        wanted = answers[position:stop] >= 0
        wanted[-1] = True
        if not complete:
            threshold = max(2.0 * batch[-1] - lam_before, 0.5 * batch[-1])
            working.extend(working.candidates(corrs, threshold), corrs)
        coefs, rounds = working.solve(batch, max_rounds)
        keep = np.flatnonzero(wanted)
        batch_corrs, rss, gaps = working.verify(coefs[keep], batch[keep])
        failed = None
        for at, index in enumerate(keep):
            lam = batch[index]
            missing = None if complete else working.missing(batch_corrs[at], lam)
            lacking = missing is not None and missing.any() and answers[position + index] >= 0
            if lacking or (gaps[at] > EXACT and tries < REFINEMENTS and rounds[index] < max_rounds):
                failed = at
                tries = 0 if lacking else tries + 1
                break
            tries = 0
            answer = answers[position + index]
            if answer >= 0:
                result.coefs[answer, working.features] = coefs[index]
                result.gaps[answer] = gaps[at]
                result.rss[answer] = rss[at]
            lam_before = lam
        counted = len(batch) if failed is None else keep[failed] + 1
        np.add.at(result.rounds, owners[position : position + counted], rounds[:counted])
        if failed is None:
            corrs = batch_corrs[-1]
            position = stop
            if position < len(sequence):
                working.restart(coefs[-1], corrs)
            continue
        done = keep[failed]
        corrs = batch_corrs[failed]
        lam_before = batch[done]
        working.restart(coefs[done], corrs)
        if lacking:
            working.extend(working.candidates(np.where(missing, corrs, 0.0), 0.0), corrs)
            look = max(2, look // 2) if failed < 3 else look
        position += done
    return result
