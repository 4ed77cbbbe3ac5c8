"""A path: one lambda after another, with as many features at hand as it takes.

Batches of lambdas are solved on the working set (`rounds`), then verified on all features (`screening`).
Where a solution lacks some, the path goes on from there, with those let in. All of this is one compiled
call, `follow`, which returns to Python for more room, and now and then for whoever watches.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from sparse_linear._kernels.dense import Dense
from sparse_linear._kernels.leaves import kernel
from sparse_linear._kernels.optimality import proposals
from sparse_linear._kernels.rounds import enter, restart, solve_sequence
from sparse_linear._kernels.screening import (
    Judgement,
    _inspect_dense,
    _inspect_sparse,
    _take_dense,
    _take_sparse,
)

# About so many numbers are in the residuals that are verified together, if there is no reason for fewer.
RESIDUALS = 1 << 21


class Progress(NamedTuple):
    """How far a path has come."""

    position: int  # of the lambda that is solved next
    look: int  # how many are solved and verified together
    tries: int  # how many times the solution at `position` has been solved more closely
    before: float  # the lambda before
    wanted: int = 0  # how many features there was no room for; they come first


@kernel
def batch_end(answers, position, look, complete, n):
    """Where the batch from `position` ends: wanted lambdas go together, a step on the way goes alone.

    Where all features are in the working set no solution can lack any, and memory for residuals of n rows is
    the only limit.
    """
    if complete:
        return min(position + max(look, RESIDUALS // n), answers.shape[0])
    stop = position + 1
    while stop < min(answers.shape[0], position + look) and answers[position] >= 0 and answers[stop] >= 0:
        stop += 1
    return stop


@kernel
def outlook(last, before):
    """The least threshold of features that a batch may need which ends at some lambda.

    That is the strong rule, unless the path falls too fast for it.
    """
    return max(2.0 * last - before, 0.5 * last)


@kernel
def moved(progress, lams, failed, lacking, ahead):
    """Progress after a batch: solutions before `failed` are right; that one, if there is one, is not."""
    position, look, tries, _, _ = progress
    if failed == lams.shape[0]:
        return Progress(position + failed, min(ahead, 2 * look), 0, lams[failed - 1], 0)
    if lacking:
        return Progress(position + failed, max(2, failed + 1), 0, lams[failed], 0)
    return Progress(position + failed, look, 1 if failed > 0 else tries + 1, lams[failed], 0)


def take_in(data, memory, features, m):
    """Gather the features from place m on; returns the last rows of the Gram matrix, those that are new.

    As `inspect`, in the way of each storage.
    """
    return (_take_dense if isinstance(data, Dense) else _take_sparse)(data, memory, features, m)


@overload(take_in)
def _take_in(data, memory, features, m):
    return _take_dense if data.instance_class is Dense else _take_sparse


def inspect(data, screen, memory, features, found, lams, judgement, corrs):
    """How good the solutions of a batch are on all features, up to the first that is not good enough.

    Parameters
    ----------
    data : Dense or Sparse
    screen : Screen
    memory : Gathered or Trail
        Updated in place.
    features : ndarray of shape (m,), int64
        The working set.
    found : ndarray of shape (b, m)
        Its coefficients.
    lams : ndarray of shape (b,)
    judgement : Judgement
    corrs : ndarray of shape (p,)
        Correlations of all features with the residual before; replaced by those with that of the solution
        which failed, or the last one. Those that were not needed may be off: they guide the working set, and
        the solver computes its own before it relies on them.

    Returns
    -------
    failed : int
        As from `first_failure`.
    gaps, rss, lacking : ndarray of shape (b,)
        As far as the solution that failed.
    """
    way = _inspect_dense if isinstance(data, Dense) else _inspect_sparse
    return way(data, screen, memory, features, found, lams, judgement, corrs)


@overload(inspect)
def _inspect(data, screen, memory, features, found, lams, judgement, corrs):
    return _inspect_dense if data.instance_class is Dense else _inspect_sparse


@kernel
def follow(
    data,
    screen,
    work,
    m,
    k,
    present,
    features,
    memory,
    corrs,
    sequence,
    answers,
    limits,
    progress,
    coefs,
    gaps,
    rss,
    rounds,
):
    """Solve for a sequence of lambdas, until all are solved, or a while has passed, or more room is needed.

    Parameters
    ----------
    data : Dense or Sparse
    screen : Screen
    work : Working
        Updated in place, as are the next arrays up to `corrs`.
    m, k : int
        Features in the working set, and in the factor.
    present : float
        The lambda of ``work.rule``.
    features : ndarray of shape (capacity,), int64
        The first m are those of the working set.
    memory : Gathered or Trail
    corrs : ndarray of shape (p,)
        Correlations of all features with the present residual.
    sequence, answers : ndarray of shape (n_steps,)
        Lambdas, decreasing; and whether they are wanted (not negative), or on the way to others.
    limits : Limits
    progress : Progress
    coefs : ndarray of shape (n_left, capacity)
        Filled from the first row on, for the lambdas from ``progress.position`` on.
    gaps, rss, rounds : ndarray of shape (n_steps,)
        Filled at the same places; rounds are added up.

    Returns
    -------
    position, look, tries, before, wanted
        As in `Progress`. Numbers only: Numba calls Python code to make a NamedTuple or an array, an interrupt
        that has come meanwhile is raised there, and Numba goes on with a null pointer.
    m, k : int
    present : float
    """
    first, spent, n, p = progress.position, 0, data.values.shape[0], corrs.shape[0]
    complete = True
    for j in range(p):
        complete &= screen.member[j]
    while progress.position < sequence.shape[0] and spent < limits.spell:
        position = progress.position
        most = max(1, limits.piece // max(1, m * m))
        stop = min(batch_end(answers, position, progress.look, complete, n), position + most)
        lams = sequence[position:stop]
        b = stop - position
        if not complete:
            least = outlook(lams[b - 1], progress.before)
            new = proposals(corrs, screen.rules, screen.l1, screen.member, least, work.coef[:m], limits)
            total = m + new.shape[0]
            if total > features.shape[0]:
                progress = Progress(position, progress.look, progress.tries, progress.before, new.shape[0])
                break
            if total > m:
                for i in range(m, total):
                    features[i] = new[i - m]
                    screen.member[features[i]] = True
                cross = take_in(data, memory, features[:total], m)
                enter(work, cross, m, features[:total], screen.rules, present, data.start, corrs)
                m = total
        found, counts = np.empty((b, m)), np.empty(b, dtype=np.int64)
        k = solve_sequence(
            work, m, k, data.square, lams, limits.max_rounds, found, np.empty(b), np.empty(b), counts
        )
        present = lams[b - 1]
        judgement = Judgement(counts, answers[position:stop], limits, progress.tries)
        failed, certified, squares, lacking = inspect(
            data, screen, memory, features[:m], found, lams, judgement, corrs
        )
        last = min(failed, b - 1)
        for at in range(last + 1):
            rounds[position + at] += counts[at]
        for at in range(failed):
            gaps[position + at], rss[position + at] = certified[at], squares[at]
            row = coefs[position + at - first]
            for i in range(row.shape[0]):
                row[i] = found[at, i] if i < m else 0.0
        k = restart(work, m, k, found[last], corrs, features)
        progress = moved(progress, lams, failed, lacking[last], limits.ahead)
        spent += b * m * m + limits.stored
    position, look, tries, before, wanted = progress
    return position, look, tries, before, wanted, m, k, present
