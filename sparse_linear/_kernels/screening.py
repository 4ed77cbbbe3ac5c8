"""How good the solutions of a batch are on all features, without all the correlations.

A feature at zero whose correlation is within its threshold adds nothing to the duality gap, however far
within. Columns of Z have unit length: if a residual is ``r = s q + e``, and the correlations with ``q`` are
known, those with ``r`` are ``s`` times these, up to the length of ``e``. For nearly all features that is
enough; the columns of the others, and those of the working set, are multiplied with ``r`` itself.

- Dense X (`verify`): the residuals of a batch lie nearly in a space of few dimensions. X is multiplied with
  a basis of that space, rather than with every residual.
- Sparse X (`_inspect_sparse`): ``q`` is the residual before. What is known of a correlation wears off with
  every step, until its column is read again.
"""

from typing import NamedTuple

import numpy as np

from sparse_linear._kernels.dense import (
    _inner_products,
    _products_of_long_rows,
    _take_lines,
    few_correlations,
)
from sparse_linear._kernels.leaves import (
    LANES,
    NOISE,
    STRIP,
    add,
    add_row,
    dot,
    inner,
    kernel,
    leaf,
    part,
    scale_row,
    share_of,
    subtract_four_rows,
)
from sparse_linear._kernels.optimality import REFINEMENTS, duality_gaps
from sparse_linear._kernels.sparse import (
    CSC,
    Columns,
    _add_entry_dots,
    _combine,
    _entry_dot,
    column_gram,
    complete_gram,
)

# Directions in which residuals are known to lie when a batch begins, at most, and those that it may add.
KNOWN, NEW = 4, 8
# What they may leave of a residual, in units of the l1 penalty of an ordinary feature: the less, the more of
# them; the more, the more features whose correlations are computed one by one.
CLOSE = 0.2
# On the way to a lambda that is wanted nothing need be certain: a rest of a residual is hardly ever along a
# column, and counts for this share of its length.
PLAUSIBLE = 0.25
# The largest share of all features that are, since their columns are copied.
MOST = 0.05


# ---------------------------------------------------------------------------------------------
# What decides
# ---------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """Where a path stops and turns."""

    goal: float  # the duality gap of a solution that is good enough
    max_rounds: int  # for each lambda
    ahead: int  # how many lambdas are verified together
    largest: int  # how many features the working set may have
    spare: int  # of these, beyond twice as many as are active
    fewest: int  # that are proposed at a time, if there are so many
    piece: int  # of so many lambdas, times the square of the number of features, are batches at most
    stored: int  # entries that a pass over X reads
    spell: int  # after about so many multiplications whoever watches is told


class Screen(NamedTuple):
    """What decides which features may become active.

    `l1` is the first column of `rules`, apart, and `ordinary` the l1 penalty of an ordinary feature. Members
    are the features of the working set, and those held at zero.
    """

    rules: np.ndarray  # (p, 4) ``(l1, l2, lower, upper)`` of all features, for ``lambda = 1``
    l1: np.ndarray  # (p,)
    ordinary: float
    member: np.ndarray  # (p,) bool; updated in place


class Judgement(NamedTuple):
    """What decides whether a solution failed; see `first_failure`."""

    counts: np.ndarray  # (b,) int64
    answers: np.ndarray  # (b,) int64
    limits: Limits
    tries: int


@kernel
def first_failure(gaps, lacking, counts, answers, limits, tries):
    """The first wanted solution that lacks a feature, or is not exact although it could be.

    That of all solutions if there is none. After some `tries` the first solution may be inexact.
    """
    for at in range(gaps.shape[0]):
        inexact = not gaps[at] <= limits.goal and counts[at] < limits.max_rounds
        if tries == REFINEMENTS and at == 0:
            inexact = False
        if answers[at] >= 0 and (lacking[at] > 0 or inexact):
            return at
    return gaps.shape[0]


@inner
def _one_after_another(features, others):
    """Two lists of features as one."""
    m, k = features.shape[0], features.shape[0] + others.shape[0]
    both = np.empty(k, dtype=np.int64)
    for i in range(k):
        both[i] = features[i] if i < m else others[i - m]
    return both


@inner
def _side_by_side(left, right):
    """Two matrices as one."""
    b, m = left.shape
    both = np.empty((b, m + right.shape[1]))
    for at in range(b):
        for i in range(both.shape[1]):
            both[at, i] = left[at, i] if i < m else right[at, i - m]
    return both


@inner
def _judge(corrs, known, coefs, lams, rules, rss):
    """`duality_gaps` from correlations (b, k) of known features; `coefs`, (b, m), are those of the first."""
    places, some = np.empty(coefs.shape[1], dtype=np.int64), np.empty((known.shape[0], 4))
    for i in range(places.shape[0]):
        places[i] = i
    for i in range(known.shape[0]):
        for c in range(4):
            some[i, c] = rules[known[i], c]
    return duality_gaps(corrs, places, coefs, lams, some, rss)


# ---------------------------------------------------------------------------------------------
# Dense X: residuals of a batch lie nearly in a space of few dimensions
# ---------------------------------------------------------------------------------------------


@inner
def _span(target, rows, limits, basis, size, shares):
    """Turn fits into residuals, and extend an orthonormal basis until it spans them, up to a distance each.

    The last residual comes first, so that it lies there but for rounding; then whichever is farthest beyond
    its limit.

    Parameters
    ----------
    target : ndarray of shape (n,)
    rows : ndarray of shape (b, n)
        Fits; replaced by the residuals.
    limits : ndarray of shape (b,)
    basis : ndarray of shape (capacity, n)
        The first `size` rows are there; more are filled in, as long as there is room.
    size : int
    shares : ndarray of shape (b, capacity)
        Filled: residuals are ``shares @ basis`` and what is left of them, however orthogonal rounding has
        left the basis.

    Returns
    -------
    size : int
    left : ndarray of shape (b,)
        Norms of what is left.
    rss : ndarray of shape (b,)
        Squared norms of the residuals.
    """
    b, n = rows.shape
    rest, left, rss = np.empty((b, n)), np.empty(b), np.empty(b)
    for r in range(b):
        for c in range(n):
            rows[r, c] = rest[r, c] = target[c] - rows[r, c]
        rss[r] = dot(rows[r], rows[r], n)
        for i in range(size):
            shares[r, i] = dot(rest[r], basis[i], n)
            add(-shares[r, i], basis[i], rest[r], n)
        left[r] = np.sqrt(dot(rest[r], rest[r], n))
    at, excess = b - 1, np.inf
    if not left[at] > NOISE:
        at, excess = _farthest(left, limits)
    while size < basis.shape[0] and excess > 1.0:
        new = basis[size]
        for c in range(n):
            new[c] = rest[at, c] / left[at]
        for i in range(size):  # once more, for what rounding has left of the others
            add(-dot(new, basis[i], n), basis[i], new, n)
        length = np.sqrt(dot(new, new, n))
        for c in range(n):
            new[c] /= length
        for r in range(b):
            shares[r, size] = dot(rest[r], new, n)
            add(-shares[r, size], new, rest[r], n)
            left[r] = np.sqrt(dot(rest[r], rest[r], n))
        size += 1
        at, excess = _farthest(left, limits)
    return size, left, rss


@inner
def _farthest(left, limits):
    """The row that is farthest beyond its limit, and how many times farther than that."""
    at, excess = 0, 0.0
    for r in range(left.shape[0]):
        ratio = left[r] / max(limits[r], NOISE)
        if ratio > excess:
            at, excess = r, ratio
    return at, excess


@inner
def _undecided(shares, images, left, lams, l1, member):
    """The features that are no members and may exceed their threshold at zero, for all that is known of them.

    Parameters
    ----------
    shares : ndarray of shape (b, k)
    images : ndarray of shape (k, p)
        ``shares @ images`` are the correlations of the features with some residuals, up to `left`, since
        columns have unit length.
    left : ndarray of shape (b,)
    lams : ndarray of shape (b,)
    l1 : ndarray of shape (p,)
        Their l1 penalty for ``lambda = 1``.
    member : ndarray of shape (p,), bool
    """
    features, count = np.empty(images.shape[1], dtype=np.int64), 0
    corr, sure = np.empty(images.shape[1]), np.full(images.shape[1], True)
    whole = shares.shape[1] - shares.shape[1] % 4
    for start in range(0, images.shape[1], STRIP):
        stop = min(start + STRIP, images.shape[1])
        for row in range(shares.shape[0]):
            share = shares[row]
            corr[start:stop] = 0.0
            for i in range(0, whole, 4):
                four = share[i], share[i + 1], share[i + 2], share[i + 3]
                subtract_four_rows(images, (i, i + 1, i + 2, i + 3), four, corr, start, stop)
            for i in range(whole, shares.shape[1]):
                add_row(-share[i], images, i, corr, start, stop)
            _keep_sure(corr, left[row] + NOISE, lams[row], l1, sure, start, stop)
        for j in range(start, stop):
            if not (sure[j] or member[j]):
                features[count] = j
                count += 1
    return features[:count]


@leaf
def _keep_sure(corr, slack, lam, l1, sure, start, stop):
    corr, l1, sure = corr[start:stop], l1[start:stop], sure[start:stop]
    for j in range(len(l1)):
        sure[j] &= abs(corr[j]) + slack <= lam * l1[j]  # not NaN


class Directions(NamedTuple):
    """A few directions in which the residuals of a path lie, and the inner products of all columns with them.

    Attributes
    ----------
    size : ndarray of shape (1,), int64
        Their number.
    basis : ndarray of shape (KNOWN + NEW, n)
        The first `size` rows are orthonormal.
    images : ndarray of shape (KNOWN + NEW, p)
        Their inner products with the columns of Z.
    last : ndarray of shape (KNOWN + NEW,)
        The last residual, in this basis.
    """

    size: np.ndarray
    basis: np.ndarray
    images: np.ndarray
    last: np.ndarray


@inner
def _keep_last(directions):
    """Forget all directions but that of the last residual, with which the next batch begins."""
    size, last = directions.size[0], directions.last
    length = np.sqrt(dot(last, last, size))
    directions.size[0] = 1 if length > 0.0 else 0
    if length > 0.0:
        for part in (directions.basis, directions.images):
            scale_row(last[0] / length, part, 0, 0, part.shape[1])
            for i in range(1, size):
                add_row(last[i] / length, part, i, part[0], 0, part.shape[1])


@part
def verify(data, screen, columns, features, directions, coefs, lams):
    """How good some solutions are on all features, without all the correlations.

    The residuals of a batch lie nearly in a space of few dimensions: they are ``S Q + E``, with the rows of Q
    orthonormal. X is multiplied with Q alone. Columns of Z have unit length, so no correlation is farther
    from those in ``S Q Z`` than the norm of its row of E, which rules out all but a few features; theirs, and
    those of the working set, come from their columns.

    Parameters
    ----------
    data : Dense
    screen : Screen
    columns : ndarray of shape (m, n)
        Columns of Z in the working set, one per row.
    features : ndarray of shape (m,), int64
        Which ones these are.
    directions : Directions
        Updated in place.
    coefs : ndarray of shape (b, m)
    lams : ndarray of shape (b,)

    Returns
    -------
    gaps, rss : ndarray of shape (b,)
        Duality gaps, and squared norms of the residuals.
    lacking : ndarray of shape (b,), int64
        How many features outside the working set are missing.
    shares : ndarray of shape (b, size)
        ``shares @ images`` is close to the correlations of all features, and that of the last residual exact.
    known : ndarray of shape (k,), int64
        Features whose correlations have been computed, those of the working set among them.
    corrs : ndarray of shape (b, k)
        These correlations.
    """
    b, n, p = lams.shape[0], columns.shape[1], screen.l1.shape[0]
    if directions.size[0] > KNOWN:
        _keep_last(directions)
    before, shares, limits = directions.size[0], np.empty((b, KNOWN + NEW)), np.empty(b)
    for at in range(b):
        limits[at] = CLOSE * screen.ordinary * lams[at]
    rows = np.empty((b, n))
    _products_of_long_rows(columns, coefs, rows)
    size, left, rss = _span(data.values, rows, limits, directions.basis, before, shares)
    if size > before:
        basis, images = directions.basis[before:size], directions.images[before:size]
        few_correlations(data.X, basis, data.root, data.mean, data.norm, images)
    directions.size[0] = size
    for i in range(size):
        directions.last[i] = shares[b - 1, i]
    shares = shares[:, :size]
    others = _undecided(shares, directions.images[:size], left, lams, screen.l1, screen.member)
    if others.shape[0] > MOST * p:
        everyone, corrs = np.empty(p, dtype=np.int64), np.empty((b, p))
        for j in range(p):
            everyone[j] = j
        few_correlations(data.X, rows, data.root, data.mean, data.norm, corrs)
        gaps, lacking = duality_gaps(corrs, features, coefs, lams, screen.rules, rss)
        return gaps, rss, lacking, shares, everyone, corrs
    known = _one_after_another(features, others)
    taken = np.empty((others.shape[0], n))
    _take_lines(data.X, others, data.mean, data.norm, data.root, taken)
    corrs = _side_by_side(_inner_products(rows, columns), _inner_products(rows, taken))
    gaps, lacking = _judge(corrs, known, coefs, lams, screen.rules, rss)
    return gaps, rss, lacking, shares, known, corrs


@part
def assemble(directions, share, known, exact, corrs):
    """Correlations of all features with one residual, from what `verify` has found out about it.

    Those that were not needed may be off, but for the last solution: they guide the working set, and the
    solver computes its own before it relies on them.

    Parameters
    ----------
    directions : Directions
    share : ndarray of shape (size,)
    known : ndarray of shape (k,), int64
    exact : ndarray of shape (k,)
    corrs : ndarray of shape (p,)
        Filled.
    """
    p = corrs.shape[0]
    for j in range(p):
        corrs[j] = 0.0
    for i in range(share.shape[0]):
        add_row(share[i], directions.images, i, corrs, 0, p)
    for i in range(known.shape[0]):
        corrs[known[i]] = exact[i]


class Gathered(NamedTuple):
    """What is remembered of dense X from one batch to the next."""

    columns: np.ndarray  # (capacity, n) the columns of Z in the working set, one per row
    directions: Directions


def _take_dense(data, memory, features, m):
    columns, total = memory.columns, features.shape[0]
    _take_lines(data.X, features[m:], data.mean, data.norm, data.root, columns[m:total])
    return _inner_products(columns[m:total], columns[:total])


def _inspect_dense(data, screen, memory, features, found, lams, judgement, corrs):
    columns, directions = memory.columns[: features.shape[0]], memory.directions
    counts, answers, limits, tries = judgement
    gaps, rss, lacking, shares, known, exact = verify(
        data, screen, columns, features, directions, found, lams
    )
    failed = first_failure(gaps, lacking, counts, answers, limits, tries)
    last = min(failed, lams.shape[0] - 1)
    assemble(directions, shares[last], known, exact[last], corrs)
    return failed, gaps, rss, lacking


# ---------------------------------------------------------------------------------------------
# Sparse X: every residual is nearly a multiple of the one before
# ---------------------------------------------------------------------------------------------


@inner
def _residual(columns, coef, level, root, values, weighted):
    """The residual of a linear combination of columns, less a level, in as few passes as can be.

    Parameters
    ----------
    columns : Columns
    coef : ndarray of shape (m,)
    level : float
    root : ndarray of shape (n,), or (1,) if all are alike
    values : ndarray of shape (n,)
    weighted : ndarray of shape (n,)
        Filled with `root` times the residual, which is ``values - root * (columns @ coef - level)``.

    Returns
    -------
    square, along, total : float
        Its squared norm, its inner product with `values`, and the sum of `weighted`.
    """
    data, indices, indptr, places, scale, whole, dense = columns
    weighted[:] = -level
    for c in range(places.shape[0]):
        share = scale[c] * coef[c]
        if share != 0.0 and whole[c] >= 0:
            add(coef[c], dense[whole[c]], weighted, weighted.shape[0])
        elif share != 0.0:
            for at in range(indptr[places[c]], indptr[places[c] + 1]):
                weighted[indices[at]] += share * data[at]
    return _subtract(values, root, weighted)


@leaf
def _subtract(values, root, fitted):
    """Replace a fit by the residual, times `root`."""
    square = along = total = 0.0
    for i in range(len(values)):
        part = share_of(root, i)
        # Where there is no weight it may have overflowed.
        left = values[i] - (part * fitted[i] if part > 0.0 else 0.0)
        square += left * left
        along += left * values[i]
        fitted[i] = part * left
        total += fitted[i]
    return square, along, total


@leaf
def _subtract_many(values, root, fitted, squares, along, totals):
    """`_subtract` for several fits, (n, b), at once."""
    for i in range(fitted.shape[0]):
        part = share_of(root, i)
        for k in range(fitted.shape[1]):
            left = values[i] - (part * fitted[i, k] if part > 0.0 else 0.0)
            squares[k] += left * left
            along[k] += left * values[i]
            fitted[i, k] = part * left
            totals[k] += fitted[i, k]


class Sparse(NamedTuple):
    """Sparse X, what makes its columns those of Z, and one target, as in `Dense`.

    Where all rows weigh the same, their shares and roots have shape (1,).
    """

    X: CSC
    mean: np.ndarray  # (p,)
    norm: np.ndarray  # (p,)
    far: np.ndarray  # (d,) int64, increasing: the columns far from zero
    dense: np.ndarray  # (d, n) these, centred and over their norms
    share: np.ndarray  # (n,)
    root: np.ndarray  # (n,)
    values: np.ndarray  # (n,) the target
    start: np.ndarray  # (p,) correlations of all columns of Z with it
    square: float  # its squared norm


class Trail(NamedTuple):
    """What is remembered of sparse X from one batch to the next: the last solution."""

    coef: np.ndarray  # (p,)
    square: np.ndarray  # (1,) the squared norm of its residual
    error: np.ndarray  # (p,) by how much the correlations with that may be wrong
    rows: np.ndarray  # (LANES * n,) room for residuals that are looked at together


@inner
def _place(numbers, j):
    """Where a number is among some that increase, or -1."""
    low, high = 0, numbers.shape[0]
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] < j:
            low = middle + 1
        else:
            high = middle
    return low if low < numbers.shape[0] and numbers[low] == j else -1


@inner
def _columns_of(data, features):
    """Some columns of Z, but for the multiples of the roots that are still to be subtracted; and these."""
    m, X = features.shape[0], data.X
    scale, shift, whole = np.empty(m), np.empty(m), np.full(m, -1)
    for c in range(m):
        j = features[c]
        scale[c], whole[c] = 1.0 / data.norm[j], _place(data.far, j)
        shift[c] = data.mean[j] / data.norm[j] if whole[c] < 0 else 0.0
    return Columns(X.data, X.indices, X.indptr, features, scale, whole, data.dense), shift


def _take_sparse(data, memory, features, m):
    order, shift = _one_after_another(features[m:], features[:m]), _columns_of(data, features)[1]
    products = np.zeros((features.shape[0] - m, features.shape[0]))
    scratch = memory.rows[: data.values.shape[0]]
    column_gram(_columns_of(data, order)[0], data.share, scratch, products)
    return complete_gram(products, shift)


def _inspect_sparse(data, screen, memory, features, found, lams, judgement, corrs):
    """By the distance of every residual to the last one.

    Columns have unit length: the correlations with a residual that is a multiple of another one and a rest
    are the same multiple of the others, up to the length of the rest. Where this leaves a doubt whether one
    is within its threshold, its column is read.
    """
    b, n = lams.shape[0], data.values.shape[0]
    counts, answers, limits, tries = judgement
    gaps, rss, lacking = np.empty(b), np.zeros(b), np.empty(b, dtype=np.int64)
    columns, shift = _columns_of(data, features)
    failed = top = 0
    while failed == top < b:
        stop = min(top + LANES, b)
        some, coefs, squares, width = slice(top, stop), found[top:stop], rss[top:stop], stop - top
        shares, rests, along, totals = np.empty(width), np.empty(width), np.zeros(width), np.zeros(width)
        rows = memory.rows[: n * width].reshape(n, width)
        _residuals(data, columns, shift, coefs, rows, squares, along, totals)
        inside = _some_correlations(data, features, rows, totals)
        for k in range(width):
            shares[k], rests[k] = _distance(memory, features, inside[k], squares[k], along[k])
        doubt = rests if answers[top] >= 0 else PLAUSIBLE * rests
        others = _doubtful(corrs, memory.error, shares, doubt, lams[some], screen)
        known = _one_after_another(features, others)
        exact = _side_by_side(inside, _some_correlations(data, others, rows, totals))
        certified, missing = _judge(exact, known, coefs, lams[some], screen.rules, squares)
        for k in range(width):
            gaps[top + k], lacking[top + k] = certified[k], missing[k]
        failed = first_failure(gaps[:stop], lacking, counts, answers, limits, tries)
        last = min(failed, stop - 1) - top
        for i in range(features.shape[0]):
            memory.coef[features[i]] = coefs[last, i]
        memory.square[0] = squares[last]
        _carry(corrs, memory.error, shares[last], rests[last])
        for i in range(known.shape[0]):
            corrs[known[i]], memory.error[known[i]] = exact[last, i], 0.0
        top = stop
    return failed, gaps, rss, lacking


@inner
def _residuals(data, columns, shift, coefs, rows, squares, along, totals):
    """Residuals of several coefficients (b, m), as columns of `rows`, (n, b), as `_residual`."""
    width, m = coefs.shape
    level, across = np.empty(width), np.empty((m, width))
    for k in range(width):
        level[k] = dot(shift, coefs[k], m)
        for c in range(m):
            across[c, k] = coefs[k, c]
    if width == 1:
        squares[0], along[0], totals[0] = _residual(
            columns, coefs[0], level[0], data.root, data.values, rows.reshape(rows.shape[0])
        )
    else:
        _combine(columns, across, level, rows)
        _subtract_many(data.values, data.root, rows, squares, along, totals)


@inner
def _distance(memory, features, corrs, square, along):
    """The multiple of the last residual that is closest to another one, and the distance.

    Parameters
    ----------
    memory : Trail
    features : ndarray of shape (m,), int64
        Of the working set.
    corrs : ndarray of shape (m,)
        Their correlations with the other residual.
    square, along : float
        Its squared norm, and its inner product with the target.

    Returns
    -------
    share, rest : float
    """
    length, size = memory.square[0], abs(along)
    for i in range(features.shape[0]):
        part = memory.coef[features[i]] * corrs[i]
        along -= part
        size += abs(part)
    share = along / length if length > 0.0 else 0.0
    noise = NOISE * (1.0 + square + abs(share) * size)
    return share, np.sqrt(max(square - share * share * length, 0.0) + noise)


@inner
def _doubtful(corrs, error, shares, rests, lams, screen):
    """The features that are no members and may exceed their threshold at zero."""
    p = corrs.shape[0]
    features, count, sure = np.empty(p, dtype=np.int64), 0, np.full(p, True)
    for start in range(0, p, STRIP):
        stop = min(start + STRIP, p)
        for k in range(lams.shape[0]):
            _keep_within(corrs, error, abs(shares[k]), rests[k], lams[k], screen.l1, sure, start, stop)
        for j in range(start, stop):
            features[count] = j  # stays if it counts: nobody could foresee a branch
            count += (not sure[j]) & (not screen.member[j])
    return features[:count]


@leaf
def _keep_within(corr, error, share, rest, lam, l1, sure, start, stop):
    corr, error, l1, sure = corr[start:stop], error[start:stop], l1[start:stop], sure[start:stop]
    for j in range(len(l1)):
        sure[j] &= share * (abs(corr[j]) + error[j]) + rest < lam * l1[j]  # not NaN


@inner(fastmath={"contract"})
def _some_correlations(data, features, rows, totals):
    """Correlations (b, k) of some features with residuals (n, b) times the roots, whose sums are known."""
    X, (n, width) = data.X, rows.shape
    products = np.zeros((features.shape[0], width))
    if width == 1:
        x = rows.reshape(n)
        for i in range(features.shape[0]):
            j = features[i]
            products[i, 0] = _entry_dot(X.data, X.indices, X.indptr[j], X.indptr[j + 1], x)
    else:
        for i in range(features.shape[0]):
            j = features[i]
            _add_entry_dots(X.data, X.indices, X.indptr[j], X.indptr[j + 1], rows, i, products)
    result = np.empty((width, features.shape[0]))
    for k in range(width):
        for i in range(features.shape[0]):
            j = features[i]
            result[k, i] = (products[i, k] - totals[k] * data.mean[j]) / data.norm[j]
    # The few far from zero are read twice, so that the others are not asked.
    for i in range(features.shape[0] if data.far.shape[0] > 0 else 0):
        whole = _place(data.far, features[i])
        if whole >= 0:
            products[i] = 0.0
            _add_dense_dots(data.dense[whole], rows, products[i])
            for k in range(width):
                result[k, i] = products[i, k]
    return result


@leaf
def _add_dense_dots(column, rows, result):
    for i in range(len(column)):
        for k in range(len(result)):
            result[k] += column[i] * rows[i, k]


@leaf
def _carry(corr, error, share, rest):
    for j in range(len(corr)):
        corr[j] *= share
        error[j] = abs(share) * error[j] + rest
