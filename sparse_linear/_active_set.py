"""The exact solver: working sets, batches of lambdas, verification on all features.

One path is solved like this (the compiled part, and why it ends, is derived in `_kernels.rounds`):

1. The *working set* (`_working_sets`) holds the features that may become active soon.  The sequential
   strong rule (Tibshirani et al. 2012, J. R. Stat. Soc. B 74, eq. 7) picks them with look-ahead: those whose
   correlation would reach the last lambda of the next batch if it grew at most as fast as lambda falls.
2. The batch is solved on the working set.
3. The correlations of *all* features with the residuals of the batch, as far as they matter, certify every
   solution of the batch, or show which features are missing; then the first solution that failed is solved
   again with those in the working set.

Where compiled code can read X as it is (`plain`) all this is one call (`_kernels.follow`), and folds in
threads do not wait for each other.  Elsewhere, and for descent, it is `_working_sets.FeatureSet.advance`, by
the same rules.

A lambda far below the one before is reached in a few steps, which only guide the working set and need not
be complete.  Where the Gram matrix of all features is at hand, from the moments of tall data, there is
nothing to screen, and a path is a few compiled calls.
"""

import math
from typing import NamedTuple

import numpy as np

from sparse_linear import _compiled as _kernels
from sparse_linear import _working_sets
from sparse_linear._working_sets import (
    FactorSet,
    Plan,
    allocate,
    solve_sequence,
    unwatched,
    with_room,
)

# A larger fall of lambda than this is made in several steps, each started from the one before.
STEP = 0.22
# A lambda so large that it leaves only features without penalty.
ALL_PENALISED_AT_ZERO = np.array([1e150])


class Solutions(NamedTuple):
    """Solutions for a sequence of lambdas, in the units of the source."""

    features: np.ndarray  # (m,) int64: all others have coefficient 0 throughout
    coefs: np.ndarray  # (n_lams, m)
    gaps: np.ndarray  # (n_lams,)
    rss: np.ndarray  # (n_lams,) weighted squared norm of the residuals
    rounds: np.ndarray  # (n_lams,) int64
    manner: str = ""  # how they were found, if not in the usual way

    def whole(self, p):
        """Coefficients of all features, (n_lams, p)."""
        coefs = np.zeros((len(self.coefs), p))
        coefs[:, self.features] = self.coefs
        return coefs


def _with_steps(start, lams):
    """Insert lambdas so that none falls below `STEP` times the one before.

    Returns the whole sequence and for each entry the index in `lams` that it answers, or -1.
    """
    sequence: list[float] = []
    answers: list[int] = []
    before = float(start)
    for index, lam in enumerate(lams.tolist()):
        if 0.0 < lam < STEP * before and before < np.inf:
            far = _log2_ratio(lam, before)
            n_steps = math.ceil(far / math.log2(STEP))
            sequence.extend(_times_power(before, far * step / n_steps) for step in range(1, n_steps))
            answers.extend([-1] * (n_steps - 1))
        sequence.append(lam)
        answers.append(index)
        before = lam
    return np.array(sequence), np.array(answers)


def _log2_ratio(a, b):
    """Logarithm of ``a / b``, which may lie outside the range of float64; both positive."""
    (a, high), (b, low) = math.frexp(a), math.frexp(b)
    return math.log2(a / b) + (high - low)


def _times_power(value, exponent):
    """``value * 2 ** exponent``; powers of two in `value` change no digit of it."""
    whole = math.floor(exponent)
    return math.ldexp(value * 2.0 ** (exponent - whole), whole)


def _summed(counts, wanted):
    """Rounds of a step on the way count for the lambda that it leads to."""
    starts = np.empty_like(wanted)
    starts[0] = 0
    starts[1:] = wanted[:-1] + 1
    return np.add.reduceat(counts, starts)


def begin(source, penalty, lam, max_rounds, coef=None, tol=0.0):
    """Solve for the features that nothing holds at zero, starting from `coef`.

    Returns
    -------
    working : FactorSet or DescentSet
    corrs : ndarray of shape (p,)
        Correlations of all features with the residual.
    """
    working = FactorSet(source, penalty, lam)
    corrs = working.target
    loose = working.loose
    if coef is not None:
        coef = np.clip(coef, penalty.lower, penalty.upper)
        loose = loose | (coef != 0.0)
    first = np.flatnonzero(loose & ~working.member)
    working = with_room(working, len(first), tol)
    working.extend(first, corrs, coef)
    if coef is not None:
        start = coef[working.features]
        corrs = source.correlate(start[None])[0][0]
        working.restart(start, corrs)
    elif loose.any():
        # Under a penalty this large all penalised features stay at zero.
        solved, _ = working.solve(ALL_PENALISED_AT_ZERO, max_rounds)
        corrs = source.correlate(solved)[0][0]
        working.restart(solved[0], corrs)
    return working, corrs


def largest_lambda(source, penalty, max_rounds=1000):
    """The smallest lambda at which every feature with an l1 penalty has coefficient zero."""
    if source.gram is not None:
        work, _ = _begin_complete(source, penalty, max_rounds)
        return _kernels.first_threshold(work.grad, work.base)
    working, corrs = begin(source, penalty, 1.0, max_rounds)
    working.leave(working.features)
    return _kernels.first_threshold(corrs, working.rules)


def _begin_complete(source, penalty, max_rounds):
    """`begin` where the Gram matrix of all features is there; returns the solver's state."""
    p = len(source.start)
    work = allocate(p, source.gram)
    work.base[:] = work.rule[:] = penalty.rules
    work.target[:] = work.grad[:] = source.start
    work.coef[:] = 0.0
    free = 0
    if not penalty.l1.all():
        free, _ = solve_sequence(work, p, free, source.square, ALL_PENALISED_AT_ZERO, max_rounds, unwatched)
    return work, free


def _solve_complete(source, penalty, lams, max_rounds, coef, watch):
    """Solve for a sequence of lambdas without screening: the Gram matrix of all features is there."""
    work, free = _begin_complete(source, penalty, max_rounds)
    first, p = lams[0], len(source.start)
    if coef is not None:
        coef = np.clip(coef, penalty.lower, penalty.upper)
        free = _kernels.restart(work, p, free, coef, source.start - coef @ source.gram, np.arange(p))
    else:
        first = _kernels.first_threshold(work.grad, work.base)
    sequence, answers = _with_steps(first, lams)
    _, found = solve_sequence(work, p, free, source.square, sequence, max_rounds, watch)
    if len(sequence) > len(lams):  # with steps on the way
        coefs, gaps, rss, counts = found
        wanted = np.flatnonzero(answers >= 0)
        found = coefs[wanted], gaps[wanted], rss[wanted], _summed(counts, wanted)
    watch(len(lams))
    return Solutions(np.arange(p), *found)


def solve_path(source, penalty, lams, max_rounds, coef=None, tol=0.0, watch=unwatched):
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
    tol : float
        The duality gap, in the units of the source, up to which problems are solved that are too large to
        be solved exactly.
    watch : callable
        As `_working_sets.unwatched`.

    Returns
    -------
    Solutions
    """
    if source.gram is not None:
        return _solve_complete(source, penalty, lams, max_rounds, coef, watch)
    working, corrs = begin(source, penalty, lams[0], max_rounds, coef, tol)
    before = _kernels.first_threshold(corrs, working.rules) if coef is None else lams[0]
    sequence, answers = _with_steps(before, lams)
    if source.all_at_once:
        working.extend(np.flatnonzero(~working.member), corrs)
    b = len(sequence)
    plan = Plan(sequence, answers, max_rounds, np.empty(b), np.empty(b), np.zeros(b, np.int64), [], watch)
    progress = _kernels.Progress(0, _working_sets.LOOK_AHEAD, 0, before)
    corrs = corrs.copy()
    while progress.position < b:
        progress = working.advance(plan, corrs, progress)
        working = with_room(working, progress.wanted, tol)
    features = np.unique(np.concatenate([some for _, some, _ in plan.found]))
    working.leave(features)
    coefs = np.zeros((len(lams), len(features)))
    for answer, some, found in plan.found:
        coefs[answer[:, None], np.searchsorted(features, some)] = found
    wanted = np.flatnonzero(answers >= 0)
    rounds = _summed(plan.rounds, wanted)
    return Solutions(features, coefs, plan.gaps[wanted], plan.rss[wanted], rounds, working.manner)
