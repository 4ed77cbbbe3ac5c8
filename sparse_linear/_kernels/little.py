"""Little work on one array after another, for which every call of NumPy would take longer."""

import math

import numpy as np

from sparse_linear._kernels.leaves import (
    EPS,
    LARGEST,
    add,
    add_products,
    dot_row,
    inner,
    kernel,
    leaf,
    share_of,
)

# How many rows of columns are worked on at a time.
ROWS = 1024


@kernel
def survey(rules):
    """What a path begins with, of a penalty (p, 4).

    Returns
    -------
    l1 : ndarray of shape (p,)
        The first column, apart.
    excluded, loose : ndarray of shape (p,), bool
        The features that are held at zero, and those that nothing holds there.
    curved : bool
        Whether all that are not excluded have a ridge penalty.
    """
    p, curved = rules.shape[0], True
    l1, excluded, loose = np.empty(p), np.empty(p, dtype=np.bool_), np.empty(p, dtype=np.bool_)
    for j in range(p):
        l2, lower, upper = rules[j, 1], rules[j, 2], rules[j, 3]
        l1[j], excluded[j] = rules[j, 0], lower == 0.0 and upper == 0.0
        loose[j] = l1[j] == 0.0 and not excluded[j] and (l2 == 0.0 or (lower < 0.0 and upper > 0.0))
        curved &= l2 > 0.0 or excluded[j]
    return l1, excluded, loose, curved


@kernel
def centre(values, share, root, centred):
    """Take their mean from values (n,), if they are to be `centred`, and multiply them by `root`, in place.

    Shares and roots have shape (n,), or (1,) if all weigh the same. Returns the mean, and the length of what
    is left.
    """
    mean = _mean(values, share) if centred else 0.0
    return mean, np.sqrt(_less(values, mean, root))


@leaf
def _mean(values, share):
    total = 0.0
    for i in range(len(values)):
        total += share_of(share, i) * values[i]
    return total


@leaf
def _less(values, mean, root):
    """Replace values by ``(values - mean) * root``; returns their squared norm."""
    square = 0.0
    for i in range(len(values)):
        values[i] = (values[i] - mean) * share_of(root, i)
        square += values[i] * values[i]
    return square


@kernel
def norms(mean, square, single, constant, tiny):
    """Roots of the mean squares of columns about their means, in place; 1 for constant ones, masked.

    Their spread is below the share `constant` of their mean, or their square below `tiny`; or there is a
    `single` row. Last, the first column whose square is not finite, or -1.
    """
    flat = np.empty(len(mean), dtype=np.bool_)
    if _take_roots(mean, square, single, constant, tiny, flat) == 0:
        return square, flat, -1
    return square, flat, np.argmax(~np.isfinite(square))


@leaf
def _take_roots(mean, square, single, constant, tiny, flat):
    wrong = 0
    for j in range(len(square)):
        root, good = np.sqrt(square[j]), abs(square[j]) < np.inf
        flat[j] = single | (root <= constant * abs(mean[j])) | (square[j] < tiny)
        square[j] = 1.0 if flat[j] & good else root
        wrong += not good
    return wrong


@kernel
def far_from_zero(mean, norm, constant, limit):
    """The columns, (k,), that are not constant and whose mean is more than so many times their norm."""
    far, count = np.empty(len(mean), dtype=np.int64), 0
    for j in range(len(mean)):
        if abs(mean[j]) > limit * norm[j] and not constant[j]:
            far[count] = j
            count += 1
    return far[:count]


@kernel
def penalty_in_units(rules, norm, constant, scale, standardize):
    """See `_penalty.Penalty.in_units`: the table (p, 4) from `rules`, (p, 4) or (1, 4)."""
    found = np.empty((len(norm), 4))
    for j in range(len(norm)):
        rule = rules[j if len(rules) > 1 else 0]
        size = 1.0 if standardize else norm[j]
        unit = min(norm[j] / scale, LARGEST)  # a bound of 0 remains one
        found[j, 0] = rule[0] / size / scale
        found[j, 1] = rule[1] / size / size
        found[j, 2] = 0.0 if constant[j] else rule[2] * unit
        found[j, 3] = 0.0 if constant[j] else rule[3] * unit
    return found


@kernel
def ridge(rules, p):
    """See `_penalty.Penalty.ridge`: of a table (p, 4) or (1, 4)."""
    found = np.empty(p)
    for j in range(p):
        rule = rules[j if len(rules) > 1 else 0]
        found[j] = np.inf if rule[2] == 0.0 and rule[3] == 0.0 else rule[1]
    return found


@kernel
def mean_and_spread(scores, mean, std, error):
    """Means over folds of scores (b, n_folds), their standard deviations, and standard errors of the means.

    The last three arrays (b,) are filled. Returns whether all scores are finite.
    """
    largest, n_folds = 0.0, scores.shape[1]
    for score in scores.flat:
        if not abs(score) < np.inf:
            return False
        largest = max(largest, abs(score))
    # Squares of scores that are squares themselves may overflow.
    size = math.ldexp(0.5, math.frexp(largest)[1])
    for i in range(len(mean)):
        level = square = 0.0
        for score in scores[i]:
            level += score / size
        level /= n_folds
        for score in scores[i]:
            apart = score / size - level
            square += apart * apart
        mean[i], std[i] = size * level, size * np.sqrt(square / n_folds)
        error[i] = std[i] / np.sqrt(n_folds - 1.0) if n_folds > 1 else np.nan
    return True


@kernel
def correct(solutions, corrections, before, rcond, accurate, product_error, singular):
    """Add corrections to solutions, but those too small to matter, or kept from getting smaller by rounding.

    Those are the last if the next ones would be too small to matter: as much smaller than these as these are
    than the ones before, and than the solutions; or not so much, as far as rounding of the matrix explains.
    Nor does it matter what is less than rounding of the data does to the solutions, cond(X) eps.

    Parameters
    ----------
    solutions : ndarray of shape (b, k)
        Added to.
    corrections : ndarray of shape (b, k)
        Those that are not added become zero.
    before : ndarray of shape (b,)
        Sizes of the corrections before; overwritten with those of these.
    rcond : ndarray of shape (b,)
        Reciprocal condition numbers of the matrix; zeros if nothing is known of it.
    accurate : float
        The share of a solution that is too small to matter.
    product_error : float
        Rounding of the matrix.
    singular : float
        Below this, a condition number says nothing of the data.

    Returns
    -------
    worth, last : bool
        Whether any was added, and whether these are the last ones.
    """
    worth, last = False, True
    for i in range(len(before)):
        size, length = _largest_size(corrections[i]), _largest_size(solutions[i])
        limit = accurate
        if rcond[i] >= singular:
            limit = max(accurate, EPS / np.sqrt(rcond[i]))
        limit *= length
        last &= size * product_error <= limit * rcond[i]
        last &= size * size <= limit * min(before[i], length)
        if size > accurate * length and size < 0.5 * before[i]:
            worth = True
            add(1.0, corrections[i], solutions[i], corrections.shape[1])
        else:
            corrections[i] = 0.0
        before[i] = size
    return worth, last


@inner
def _largest_size(values):
    """The largest absolute value; NaN if there is one."""
    size = 0.0
    for value in values:
        if not abs(value) <= size:
            size = abs(value)
            if np.isnan(value):
                break
    return size


@kernel
def restore(
    features, coefs, rss, level, scale, mean, norm, rules, lams, standardize, used, values, intercepts,
    objectives,
):  # fmt: skip
    """Solutions of one target on the original scale.

    Parameters
    ----------
    features : ndarray of shape (m,), int64
    coefs : ndarray of shape (b, m)
        In the units of the solvers.
    rss : ndarray of shape (b,)
        As in `_active_set.Solutions`.
    level, scale : float
        Of the target: `_design.Target`.
    mean, norm : ndarray of shape (p,)
        Of the columns: `_design.Units`.
    rules : ndarray of shape (p, 4), or (1, 4) if all are alike
        The penalty on the scale of X.
    lams : ndarray of shape (b,)
    standardize : bool
    used : ndarray of shape (m,), int64
        Filled, as are the next three: the features that some solution uses, first.
    values : ndarray of shape (m, b)
        Their coefficients, within the bounds: the change of scale rounds.
    intercepts, objectives : ndarray of shape (b,)

    Returns
    -------
    count : int
        How many features are used.
    """
    count = 0
    for i in range(features.shape[0]):
        for step in range(lams.shape[0]):
            if coefs[step, i] != 0.0:
                used[count] = i
                count += 1
                break
    for step in range(lams.shape[0]):
        root = np.sqrt(lams[step])
        below, total = 0.0, 0.5 * rss[step] * scale * scale
        for place in range(count):
            j = features[used[place]]
            rule = rules[j if len(rules) > 1 else 0]
            value = coefs[step, used[place]] * (scale / norm[j])
            if value < rule[2]:
                value = rule[2]
            elif value > rule[3]:
                value = rule[3]
            values[place, step] = value
            below += mean[j] * value
            size = abs(value) * norm[j] if standardize else abs(value)
            # In an order in which nothing overflows that is not too large in the end.
            length = root * (size * np.sqrt(rule[1]))
            total += lams[step] * (size * rule[0]) + 0.5 * length * length
        intercepts[step], objectives[step] = level - below, total
    for place in range(count):
        used[place] = features[used[place]]
    return count


# ---------------------------------------------------------------------------------------------
# Sums of few rows
# ---------------------------------------------------------------------------------------------


@leaf
def shift_column(columns, j, shift, weights, start, stop):
    """Subtract a number from some rows of a column; returns their weighted sum after that."""
    column, weights = columns[j, start:stop], weights[start:stop]
    total = 0.0
    for i in range(len(column)):
        value = column[i] - shift
        column[i] = value
        total += weights[i] * value
    return total


@kernel
def row_sums(columns, weights, weight, first, products, mean, rest, xx, xy, yy):
    """Weighted means of rows and cross products about them, as in `_moments.Sums`; for little data.

    A library's product of such small matrices spends most of its time on getting ready.

    Parameters
    ----------
    columns : ndarray of shape (m, n)
        The p columns of X and the q of Y, and zeros up to a multiple of four; overwritten.
    weights : ndarray of shape (n,)
    weight : float
        Their sum, which is not zero.
    first : int
        A row with weight. It is the first guess of the mean: any row will do, as long as a constant column
        has it exactly.
    products : ndarray of shape (m, m)
        Zeros; overwritten.
    mean, rest : ndarray of shape (p + q,)
        Filled, as are the next two. The latter is what rounding has cut off the former.
    xx : ndarray of shape (p, p)
    xy : ndarray of shape (p, q)
    yy : ndarray of shape (q,)
        Zeros, to which is added.
    """
    n = columns.shape[1]
    p, q = xy.shape
    even = True
    for i in range(n):
        even &= weights[i] == weights[first]
    for j in range(p + q):
        middle, shift = columns[j, first], 0.0
        for start in range(0, n, ROWS):
            shift += shift_column(columns, j, middle, weights, start, min(start + ROWS, n))
        shift /= weight
        for start in range(0, n, ROWS):
            shift_column(columns, j, shift, weights, start, min(start + ROWS, n))
        if not even:
            for i in range(n):
                columns[j, i] *= np.sqrt(weights[i])
        mean[j] = middle + shift
        part = mean[j] - middle
        rest[j] = (middle - (mean[j] - part)) + (shift - part)  # see `_moments._two_sum`
    scale = weights[first] if even else 1.0
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        for i in range(0, p, 2):
            for j in range(i - i % 4, p + q, 4):
                add_products(columns, i, j, start, stop, products)
        for j in range(q):
            yy[j] += scale * dot_row(columns, p + j, columns[p + j], start, stop)
    for i in range(p):
        for j in range(i, p):
            xx[i, j] = xx[j, i] = scale * products[i, j]
        for j in range(q):
            xy[i, j] = scale * products[i, p + j]


@kernel
def slack_of(leverage, fixed, share):
    """One minus the leverage of some rows, in place; rows without weight have none.

    Parameters
    ----------
    leverage : ndarray of shape (t, b)
        For a row of weight one, by the columns that are penalised.
    fixed : ndarray of shape (t,)
        The same by what is not.
    share : ndarray of shape (t,)
        What the rows weigh.
    """
    for i in range(len(share)):
        for at in range(leverage.shape[1]):
            left = 1.0 - share[i] * (fixed[i] + leverage[i, at])
            leverage[i, at] = left if share[i] > 0.0 else 1.0


# ---------------------------------------------------------------------------------------------
# Rows left out
# ---------------------------------------------------------------------------------------------


@kernel
def leave_out(residuals, slack, weights, pinned, totals, squares, together, shared, n_targets):
    """By how much the fits to all other rows miss the targets of some rows, and the errors, in one pass.

    Parameters
    ----------
    residuals : ndarray of shape (t, k, b)
        Of the fits to all rows; overwritten with those of the fits without the row.
    slack : ndarray of shape (t, b)
        What they are divided by.
    weights : ndarray of shape (t,)
        Rows without weight, whose residuals may be anything, have no errors.
    pinned : ndarray of shape (b,)
        Slack that is none.
    totals, squares : ndarray of shape (k, b)
        To which the errors, weights times squared residuals, and the squares of these are added.
    together : ndarray of shape (t, b), or (0, b) if these are all targets
        To which the errors are added, over targets.
    shared : ndarray of shape (b,)
        To which the squares of the means over all targets are added, if these are the last ones.
    n_targets : int
        How many there are in all; 0 if others follow.

    Returns
    -------
    possible : bool
        Whether all rows have slack.
    """
    possible, alone = True, np.zeros(together.shape[1])
    for i in range(len(weights)):
        gap, weight, level = slack[i], weights[i], together[i] if len(together) else alone
        for at in range(len(gap)):
            possible &= gap[at] > pinned[at]
        for target in range(residuals.shape[1]):
            missed, total, square = residuals[i, target], totals[target], squares[target]
            for at in range(len(gap)):
                missed[at] /= gap[at]
            if weight == 0.0:
                continue
            for at in range(len(gap)):
                error = weight * (missed[at] * missed[at])
                level[at] += error
                total[at] += error
                square[at] += error * error
        if n_targets:
            for at in range(len(gap)):
                mean = level[at] / n_targets
                shared[at] += mean * mean
            alone[:] = 0.0
    return possible
