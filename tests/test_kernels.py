"""The compiled code against brute force: every kernel on small explicit problems."""

import inspect
import itertools
from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse

from sparse_linear import _kernels
from sparse_linear._design import columns_of_entries, entries_of
from tests import oracles

INF = np.inf


@numba.njit
def append(work, k, j, column):
    """`_append`, which has no wrapper for Python; so have none of the next three."""
    return _kernels.factor._append(work, k, j, column)


@numba.njit
def remove(work, k, position):
    return _kernels.factor._remove(work, k, position)


@numba.njit
def back_substitute(factor, k, x):
    _kernels.factor._back_substitute(factor, k, x)


@numba.njit
def forward_substitute(factor, k, x):
    _kernels.factor._forward_substitute(factor, k, x)


class Poisoned:
    """NumPy, but for memory that nothing was written to: it holds NaN, or an index that leads nowhere."""

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype=np.float64):
        return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else 1 << 31, dtype=dtype)


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Interpreted kernels do not read what they have not written; compiled ones cannot be asked."""
    if numba.config.DISABLE_JIT:
        for room in vars(_kernels).values():
            if inspect.ismodule(room):
                monkeypatch.setattr(room, "np", Poisoned())


LIMITS = _kernels.Limits(
    goal=1e-12, max_rounds=100, ahead=16, largest=1000, spare=50, fewest=30, piece=1 << 25, stored=1, spell=1
)


def working(gram, corr, base, lam=1.0, room=3):
    """A solver state at zero for ``1/2 w'Gw - c'w + penalty``, with spare capacity full of NaN."""
    m = len(corr)
    capacity = m + room
    work = _kernels.Working(
        gram=np.full((capacity, capacity), np.nan),
        target=np.full(capacity, np.nan),
        grad=np.full(capacity, np.nan),
        coef=np.full(capacity, np.nan),
        base=np.full((capacity, 4), np.nan),
        rule=np.full((capacity, 4), np.nan),
        factor=np.full((capacity, capacity), np.nan),
        order=np.full(capacity, -1, dtype=np.int64),
        held=np.ones(capacity, dtype=bool),
        level=np.full(1, lam),
    )
    work.gram[:m, :m] = gram
    work.target[:m] = work.grad[:m] = corr
    work.coef[:m] = 0.0
    work.base[:m] = base
    work.rule[:m] = base * (lam, lam, 1.0, 1.0)
    return work


def rules(m, l1=1.0, l2=0.0, lower=-INF, upper=INF):
    """One row ``(l1, l2, lower, upper)`` for each feature."""
    return np.column_stack([np.broadcast_to(part, m) for part in (l1, l2, lower, upper)]).astype(np.float64)


def sequence(work, k, lams, coefs, rounds, max_rounds=1000):
    """`solve_sequence` for a target of norm 1: fills in coefficients and rounds, returns the factor size."""
    lams = np.asarray(lams, dtype=np.float64)
    gaps, rss = np.empty(len(lams)), np.empty(len(lams))
    return _kernels.solve_sequence(work, coefs.shape[1], k, 1.0, lams, max_rounds, coefs, gaps, rss, rounds)


def solve(gram, corr, base, lams, max_rounds=1000):
    """Coefficients (n_lams, m), rounds, final state and size of its factor."""
    work = working(gram, corr, base, lams[0])
    lams = np.asarray(lams, dtype=np.float64)
    coefs = np.full((len(lams), len(corr)), np.nan)
    rounds = np.zeros(len(lams), dtype=np.int64)
    k = sequence(work, 0, lams, coefs, rounds, max_rounds)
    return coefs, rounds, work, k


def unit_columns(n, m, seed):
    """Columns and a target of unit length."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, m)) + 0.5 * rng.standard_normal((n, 1))
    y = Z @ rng.standard_normal(m) + rng.standard_normal(n)
    return Z / np.linalg.norm(Z, axis=0), y / np.linalg.norm(y)


# ---------------------------------------------------------------------------------------------
# What a coordinate is
# ---------------------------------------------------------------------------------------------

real = st.floats(-10.0, 10.0, allow_subnormal=False)
amount = st.sampled_from([0.0, 1e-3, 0.5, 1.0, 3.0])
end = st.sampled_from([0.0, 1e-3, 0.7, 2.0, INF])


@settings(max_examples=150, deadline=None)
@given(real, st.floats(1e-3, 10.0), real, amount, amount, end, end)
def test_coordinate_step_minimises(grad, curvature, coef, l1, l2, lower, upper):
    """No stationary point, kink or bound of the one-dimensional objective is lower."""
    lower = -lower
    z = grad + curvature * coef
    new = _kernels.coordinate_step(grad, curvature, coef, np.array([l1, l2, lower, upper]))

    def value(w):
        return 0.5 * (curvature + l2) * w * w - z * w + l1 * abs(w)

    corners = [0.0, (z - l1) / (curvature + l2), (z + l1) / (curvature + l2), lower, upper]
    candidates = [min(max(w, lower), upper) for w in corners]
    assert lower <= new <= upper
    assert value(new) <= min(value(w) for w in candidates if np.isfinite(w)) + 1e-12 * (1 + abs(z)) ** 2


@pytest.mark.parametrize("l1", [0.0, 0.5])
@pytest.mark.parametrize(("lower", "upper"), [(-INF, INF), (-1.0, 2.0), (0.0, INF), (0.0, 0.0)])
@pytest.mark.parametrize("coef", [-1.0, -0.5, 0.0, 0.5, 2.0])
def test_face_is_where_the_penalty_is_smooth(coef, l1, lower, upper):
    """Inside its face a coefficient is free, and `slope` is the derivative of the penalty there."""
    if not lower <= coef <= upper:
        return
    rule = np.array([l1, 0.3, lower, upper])
    low, high = _kernels.face(coef, rule)
    smooth = lower < coef < upper and (coef != 0.0 or l1 == 0.0)
    assert bool(_kernels.is_free(coef, rule)) is smooth
    if not smooth:
        assert low == high == coef
        return
    assert lower <= low < coef < high <= upper
    assert l1 == 0.0 or low >= 0.0 or high <= 0.0
    h = 1e-6
    derivative = (l1 * (abs(coef + h) - abs(coef - h)) + 0.15 * ((coef + h) ** 2 - (coef - h) ** 2)) / (2 * h)
    assert _kernels.slope(coef, rule) == pytest.approx(derivative, abs=1e-8)


def test_thresholds_follow_the_bounds():
    """A feature is pulled only where it may go, and one without l1 penalty leaves zero at once."""
    corr = np.array([0.5, -0.5, 0.5, -0.5, 0.4, 0.0, -0.3])
    l1 = np.array([1.0, 2.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    base = rules(7, l1, 0.7, [-1, -INF, -1, 0, -1, -1, -1], [1, 1, 0, 1, 1, 1, 1])
    for least, places in ((0.0, [0, 1, 4, 6]), (0.3, [0, 4, 6]), (0.5, [0, 4])):
        for out in ([], [0], [0, 1, 4, 6]):
            member = np.isin(np.arange(7), out)
            found = _kernels.proposals(corr, base, base[:, 0].copy(), member, least, corr, LIMITS)
            np.testing.assert_array_equal(found, np.array(places)[~np.isin(places, out)])
    for count, first in ((0, 0.0), (1, 0.5), (4, 0.5), (7, 0.5)):
        assert _kernels.first_threshold(corr[:count], base[:count]) == first
        assert _kernels.first_threshold(corr[:count][::-1], base[:count][::-1]) == first
    assert _kernels.first_threshold(corr[4:6], base[4:6]) == 0.0  # without an l1 penalty there is none
    assert _kernels.first_threshold(10.0 * corr, base) == 5.0


# ---------------------------------------------------------------------------------------------
# The factor
# ---------------------------------------------------------------------------------------------


def assert_factor(work, m, k):
    """``factor[:k, :k]`` is the Cholesky factor of the free features, and the bookkeeping agrees."""
    free = work.order[:k]
    assert len(set(free)) == k
    assert sorted(np.flatnonzero(~work.held[:m])) == sorted(free)
    matrix = work.gram[np.ix_(free, free)] + np.diag(work.level[0] * work.base[free, 1])
    np.testing.assert_allclose(np.triu(work.factor[:k, :k]), np.linalg.cholesky(matrix).T, rtol=0, atol=1e-13)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_factor_follows_any_sequence_of_appends_and_removals(seed, ridge):
    """After every append and removal the factor is that of `numpy.linalg.cholesky`."""
    Z, y = unit_columns(20, 8, seed)
    rng = np.random.default_rng(seed)
    work = working(Z.T @ Z, Z.T @ y, rules(8, l2=ridge * rng.random(8)), room=0)
    column = np.empty(8)
    k = 0
    for _ in range(40):
        outside = np.flatnonzero(work.held[:8])
        if len(outside) and (k == 0 or rng.random() < 0.6):
            pivot, appended = append(work, k, rng.choice(outside), column)
            assert appended
            assert pivot > 0
            k += 1
        else:
            k = remove(work, k, int(rng.integers(k)))
        assert_factor(work, 8, k)


@pytest.mark.parametrize("p", [5, 40, 101, 133])
def test_features_are_appended_in_blocks(p):
    """Blocks of any size, behind a factor of any size; those that depend on others are left out."""
    Z, y = unit_columns(200, p, p)
    twins = np.arange(0, p, 5)
    Z = np.column_stack([Z, Z[:, twins]])
    m = Z.shape[1]
    Z = Z[:, np.random.default_rng(p).permutation(m)]  # others come after those that are left out
    _coefs, rounds, work, k = solve(Z.T @ Z, Z.T @ y, rules(m), [0.1, 1e-9, 1e-12])
    assert k == p
    assert rounds.max() < 10
    assert_factor(work, m, k)
    # What is independent is relative to the length of a column.
    if p == 40:
        assert solve(1e6 * Z.T @ Z, 1e3 * Z.T @ y, rules(m), [1e2, 1e-6])[3] == p


def test_factor_refuses_a_dependent_column():
    """A duplicate and a sum of columns have no pivot; with a ridge penalty they are welcome."""
    Z, y = unit_columns(20, 3, 0)
    Z = np.column_stack([Z, Z[:, 0], (Z[:, 1] + Z[:, 2]) / np.linalg.norm(Z[:, 1] + Z[:, 2])])
    column = np.empty(6)
    for l2, welcome in ((0.0, False), (0.1, True)):
        work = working(Z.T @ Z, Z.T @ y, rules(5, l2=l2))
        k = 0
        for j in range(3):
            k += append(work, k, j, column)[1]
        for j in (3, 4):
            appended = append(work, k, j, column)[1]
            assert bool(appended) is welcome
            k += appended
        assert k == (5 if welcome else 3)
        assert_factor(work, 5, k)


@pytest.mark.parametrize("k", range(10))
def test_substitutions_invert_the_factor(k):
    """The two triangular solves against `numpy.linalg.solve`; rows go four at a time."""
    rng = np.random.default_rng(0)
    U = np.triu(rng.standard_normal((k, k))) + 4 * np.eye(k)
    b = rng.standard_normal(k)
    for kernel, matrix in ((back_substitute, U), (forward_substitute, U.T)):
        x = np.append(b, np.nan)
        kernel(np.pad(U, (0, 1), constant_values=np.nan), k, x)
        np.testing.assert_allclose(x[:k], np.linalg.solve(matrix, b), rtol=1e-12)


@pytest.mark.parametrize("duplicate", [False, True])
def test_a_new_lambda_rebuilds_the_factor(duplicate):
    """Ridge penalties scale with lambda, and a column they no longer keep independent is left out."""
    Z, y = unit_columns(20, 4, 1)
    if duplicate:
        Z[:, 3] = Z[:, 1]
    base = rules(4, l1=0.0, l2=[0.5, 1.0, 0.0, 2.0])
    work, coefs, rounds = working(Z.T @ Z, Z.T @ y, base), np.empty((1, 4)), np.zeros(1, dtype=np.int64)
    k = 0
    for lam, size in ((1.0, 4), (0.25, 4), (0.0, 3 if duplicate else 4)):
        k = sequence(work, k, [lam], coefs, rounds)
        assert k == size
        np.testing.assert_allclose(work.rule[:4, :2], lam * work.base[:4, :2])
        assert work.level[0] == lam
        assert_factor(work, 4, k)


@pytest.mark.parametrize("l1", [0.0, 0.02])
def test_a_large_factor_serves_several_lambdas(l1):
    """Each solution is optimal all the same; smaller, and some larger, lambdas get a factor of their own."""
    m, kept = 170, 0
    Z, y = unit_columns(400, m, 2)
    y = Z @ np.linspace(-1.0, 1.0, m)  # so that nearly all features are used
    y /= np.linalg.norm(y)
    base = rules(m, l1=l1, l2=np.tile([0.5, 0.0], m // 2))
    base[3, 1] = INF
    work, coefs, rounds = working(Z.T @ Z, Z.T @ y, base), np.empty((1, m)), np.zeros(1, dtype=np.int64)
    k = 0
    for lam in (0.3, 0.25, 0.21, 0.19, 0.2, 0.1, 0.06, 0.05, 0.5):
        before = work.level[0]
        k = sequence(work, k, [lam], coefs, rounds)
        assert 100 < k <= m
        assert_factor(work, m, k)
        reused = lam < before <= 1.5 * lam
        assert work.level[0] == (before if reused else lam)
        kept += reused
        coef, curved = coefs[0], np.where(np.isinf(base[:, 1]), 0.0, lam * base[:, 1])
        pull = Z.T @ (y - Z @ coef) - curved * coef
        assert coef[3] == 0.0
        pull[3] = 0.0
        used = coef != 0.0
        np.testing.assert_allclose(pull[used], lam * l1 * np.sign(coef[used]), rtol=0, atol=1e-8)
        assert np.abs(pull).max() <= lam * l1 + 1e-8
    assert kept == 3


def test_a_new_lambda_keeps_a_factor_without_ridge_penalties():
    """It is built anew, in the order of the features, only if they have changed."""
    Z, y = unit_columns(20, 3, 2)
    for l2, order in ((0.0, [2, 0, 1]), (0.5, [0, 1, 2])):
        work, coefs, rounds = (
            working(Z.T @ Z, Z.T @ y, rules(3, 0.0, l2)),
            np.empty((1, 3)),
            np.zeros(1, np.int64),
        )
        for k, j in enumerate((2, 0)):
            append(work, k, j, np.empty(3))
        for lam, expected in ((1.0, [2, 0, 1]), (0.5, order)):
            k = sequence(work, k + 1, [lam], coefs, rounds) - 1
            np.testing.assert_array_equal(work.order[: k + 1], expected)


# ---------------------------------------------------------------------------------------------
# The solver on a Gram matrix
# ---------------------------------------------------------------------------------------------


def reduced_problem(seed, duplicates):
    """A small reduced problem with random penalties and bounds, some of them at the extremes."""
    rng = np.random.default_rng(seed)
    m = 4
    Z, y = unit_columns(int(rng.integers(3, 12)), m, seed)
    if duplicates:
        Z[:, 1] = rng.choice([-1.0, 1.0]) * Z[:, 0]
        Z[:, 3] = (Z[:, 0] + Z[:, 2]) / np.linalg.norm(Z[:, 0] + Z[:, 2])
    base = rules(
        m,
        l1=rng.choice([0.0, 0.5, 1.0], m, p=[0.2, 0.4, 0.4]),
        l2=rng.choice([0.0, 0.5], m) * rng.integers(2),
        lower=-rng.choice([0.0, 0.1, INF], m, p=[0.2, 0.2, 0.6]),
        upper=rng.choice([0.0, 0.1, INF], m, p=[0.2, 0.2, 0.6]),
    )
    return Z, y, base


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_solve_sequence_reaches_the_best_face(seed, duplicates):
    """For every lambda the objective is that of the best of all combinations of signs and bounds."""
    Z, y, base = reduced_problem(seed, duplicates)
    gram, corr = Z.T @ Z, Z.T @ y
    lams = [0.5, 0.1, 0.01]
    coefs, rounds, work, k = solve(gram, corr, base, lams)
    for lam, coef in zip(lams, coefs, strict=True):
        l1, l2, lower, upper = (base * (lam, lam, 1.0, 1.0)).T
        _, value = oracles.enumerate_faces(gram, corr, l1, l2, lower, upper)
        assert oracles.quadratic(gram, corr, l1, l2, lower, upper, coef) <= value + 1e-13
    assert (rounds < 50).all()
    # The state that the next batch starts from belongs to the last solution.
    np.testing.assert_allclose(work.coef[:4], coefs[-1], rtol=0, atol=0)
    np.testing.assert_allclose(work.grad[:4], corr - gram @ coefs[-1], rtol=0, atol=1e-12)
    assert_factor(work, 4, k)


def ends(coef, rule):
    """Where the face of every coefficient ends: two equal ends if it is held."""
    return np.array([_kernels.face(*pair) for pair in zip(coef, rule, strict=True)]).T


def go(coef, way, length, low, high):
    """Go so far along a way, in place, or up to the first end; returns who is stopped there, or None."""
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(way == 0.0, INF, (np.where(way > 0.0, high, low) - coef) / way)
    first = int(np.argmin(room))
    if min(length, room[first]) < INF:
        coef += min(length, room[first]) * way
    if length < room[first] or room[first] == INF:
        return None
    coef[first] = high[first] if way[first] > 0.0 else low[first]
    return first


def one_round(gram, corr, rule, coef, inside):
    """One round of `solve_sequence`, with dense matrices that are solved anew in every step.

    Takes and returns the coefficients, and the features in the factor.
    """
    m = len(corr)
    coef, hessian = coef.copy(), gram + np.diag(rule[:, 1])

    def force(sign):
        return corr - hessian @ coef - sign * rule[:, 0]

    low, high = ends(coef, rule)
    for j in np.setdiff1d(np.flatnonzero(low < high), inside):
        while low[j] < high[j]:
            way = np.eye(m)[j]
            way[inside] = -np.linalg.solve(hessian[np.ix_(inside, inside)], hessian[inside, j])
            way[np.abs(way) < 1e-12] = 0.0
            if way @ hessian @ way > 1e-8:
                inside = [*inside, j]
                break
            # It depends on those inside: along `way` the fit is constant, and the penalty is linear.
            gain = way @ force(np.sign(coef))
            if abs(gain) > 1e-12:
                first = go(coef, np.sign(gain) * way, INF, low, high)
            elif coef[j] != 0.0:
                zero = np.where(np.arange(m) == j, 0.0, INF)
                first = go(coef, -np.sign(coef[j]) * way, INF, np.maximum(low, -zero), np.minimum(high, zero))
            else:
                first = None
            if first is None:
                break
            inside = [i for i in inside if i != first]
            low, high = ends(coef, rule)
    free = sorted(inside)
    stopped = True
    while free and stopped:
        sign, (low, high) = np.sign(coef), ends(coef, rule)
        way = np.zeros(m)
        way[free] = np.linalg.solve(hessian[np.ix_(free, free)], force(sign)[free])
        way[np.abs(way) < 1e-15] = 0.0
        stopped = False
        while way @ force(sign) > 0.0:  # the minimum along the broken line lies ahead
            first = go(coef, way, way @ force(sign) / (way @ hessian @ way), low, high)
            if first is None:
                break
            way[first], stopped = 0.0, True
            free.remove(first)

    def change(j):
        return _kernels.coordinate_step(corr[j] - gram[j] @ coef, gram[j, j], coef[j], rule[j]) - coef[j]

    for j in [j for j in range(m) if j not in free and abs(change(j)) > 1e-12]:
        coef[j] += change(j)
    return coef, free


@pytest.mark.parametrize("dependent", [False, True])
# In 60 to 176 the minimum along a broken line lies just at a corner; in 267 rounding is left of a step there.
@pytest.mark.parametrize("seed", [*range(40), 60, 82, 131, 152, 176, 267])
def test_rounds_by_hand(seed, dependent):
    """Joined along null directions, followed along broken lines, admitted: see `_kernels.rounds`."""
    rng, m = np.random.default_rng(seed), 8
    Z, y = unit_columns(12, m, seed)
    if dependent:
        Z[:, 1] = rng.choice([-1.0, 1.0]) * Z[:, 0]
        Z[:, 3] = Z[:, 0] + Z[:, 2]
        Z[:, 5] = Z[:, 0] - Z[:, 4]
    tied = dependent and seed % 2 == 0  # null directions along which the penalty is constant
    Z *= 1.0 if tied else rng.choice([0.5, 1.0, 2.0], m)
    gram, corr = Z.T @ Z, Z.T @ y
    often = [0.1, 0.1, 0.8] if dependent else [0.3, 0.3, 0.4]
    rule = rules(
        m,
        l1=0.1 if tied else rng.choice([0.0, 0.1, 0.3], m),
        l2=0.0 if dependent else rng.choice([0.0, 0.5], m),
        lower=-rng.choice([0.0, 0.2, INF], m, p=often),
        upper=rng.choice([0.0, 0.2, INF], m, p=often),
    )
    coef = rng.choice([0.1, 1.0] if tied else [0.0, 0.1, 1.0], m) * rng.standard_normal(m)
    coef = np.clip(coef, rule[:, 2], rule[:, 3])
    if seed % 3 == 0:  # a small problem is solved in the same way
        corr, coef, rule = 2.0**-20 * corr, 2.0**-20 * coef, rule * (2.0**-20, 1.0, 2.0**-20, 2.0**-20)
    expected, free = coef, []
    for limit in range(1, 4):
        expected, free = one_round(gram, corr, rule, expected, free)
        work = working(gram, corr, rule, room=seed % 2)
        coefs, rounds = np.empty((1, m)), np.zeros(1, dtype=np.int64)
        k = _kernels.restart(work, m, 0, coef, corr - gram @ coef, np.arange(m))
        k = sequence(work, k, [1.0], coefs, rounds, max_rounds=limit)
        np.testing.assert_allclose(coefs[0], expected, rtol=0, atol=1e-12)
        assert sorted(work.order[:k]) == free
        assert rounds[0] <= limit


@pytest.mark.parametrize(
    ("independent", "pull", "expected", "inside"),
    [
        # Up to the minimum along the null direction: a quarter, the pull divided by the curvature.
        (2.0**-40, 2.0**-42, (0.75, 1.25), [0]),
        (2.0**-40, -(2.0**-42), (1.25, 0.75), [0]),
        # The newcomer, or the other, gets to zero before the minimum.
        (2.0**-40, -(2.0**-39), (2.0, 0.0), [0]),
        (2.0**-40, 2.0**-39, (0.0, 2.0), [1]),
        # A curvature that small is none.
        (2.0**-45, 2.0**-42, (0.0, 2.0), [1]),
        # Nor is a pull that small one: the newcomer goes.
        (2.0**-40, 2.0**-46, (2.0, 0.0), [0]),
        # A column that is independent enough: both get to the minimum of the plane.
        (2.0**-30, 2.0**-32, (0.75, 1.25), [0, 1]),
    ],
)
def test_a_column_that_is_nearly_a_copy(independent, pull, expected, inside):
    """How far the null direction is followed; `independent` is the squared norm of what is not a copy."""
    gram = np.array([[1.0, 1.0 - independent / 2], [1.0 - independent / 2, 1.0]])
    base, coef = rules(2, l1=0.25), np.ones(2)
    work, coefs, rounds = working(gram, np.zeros(2), base), np.empty((1, 2)), np.zeros(1, dtype=np.int64)
    k = _kernels.restart(work, 2, 0, coef, np.array([0.25, 0.25 + pull]), np.arange(2))
    k = sequence(work, k, [1.0], coefs, rounds, max_rounds=1)
    np.testing.assert_allclose(coefs[0], expected, rtol=0, atol=1e-4)
    assert sorted(work.order[:k]) == inside


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("other", [0.0, 3.0, -3.0])
def test_a_pull_within_rounding_moves_nothing(side, other):
    """Nor does one within `KKT` of the penalty; rounding grows with the coefficients of either sign."""
    rounding = _kernels.NOISE * (1.0 + abs(other))
    for l1 in (2.0**-20, 1024.0):
        within = l1 * _kernels.KKT + rounding
        base = rules(2, l1=[0.0, l1])
        for share, moves in ((0.75, False), (1.25, True)):
            pull = side * (l1 + share * within)
            coefs, rounds, work, _ = solve(np.eye(2), np.array([other, pull]), base, [1.0])
            assert coefs[0, 0] == other
            assert coefs[0, 1] == (pull - side * l1 if moves else 0.0)
            assert rounds[0] == 1 + moves
    # A coefficient with a bound on its other side: it leaves that only if it is pulled from there.
    rule = rules(1, l1=0.5, lower=-1.0, upper=1.0)
    for share, moves in ((0.75, False), (1.25, True)):
        work, coefs, rounds = (
            working(np.eye(1), np.zeros(1), rule),
            np.empty((1, 1)),
            np.zeros(1, dtype=np.int64),
        )
        pull = side * (0.5 - share * (0.5 * _kernels.KKT + 2.0 * _kernels.NOISE))
        k = _kernels.restart(work, 1, 0, np.array([side]), np.array([pull]), np.arange(1))
        sequence(work, k, [1.0], coefs, rounds)
        assert (coefs[0, 0] != side) == moves


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("length", [0.5, 1.0, 2.0])
def test_a_bound_on_the_way(side, length):
    """The Newton step is cut where the bound is, however long it is."""
    base = rules(1, l1=0.0, lower=-0.5, upper=0.5)
    coefs, *_ = solve(np.eye(1), np.array([side * length]), base, [1.0])
    assert coefs[0, 0] == side * 0.5
    # And one that a penalty makes from zero is taken in whole.
    coefs, rounds, *_ = solve(np.eye(1), np.array([side * (length + 0.25)]), rules(1, l1=0.25), [1.0])
    assert coefs[0, 0] == side * length
    assert rounds[0] == 2


def test_a_gap_that_no_refinement_closes():
    """Fresh correlations are tried three times, and then the gap is reported as it is."""
    gaps, rss = np.empty(1), np.empty(1)
    rounds = np.zeros(1, dtype=np.int64)
    for square, expected in ((1.0, 2), (np.inf, 2 + _kernels.REFINEMENTS)):
        work = working(np.eye(2), np.array([0.6, 0.8]), rules(2))
        _kernels.solve_sequence(work, 2, 0, square, np.array([0.1]), 100, np.empty((1, 2)), gaps, rss, rounds)
        assert rounds[0] == expected
        assert (gaps[0] <= _kernels.EXACT) == np.isfinite(square)


@pytest.mark.parametrize("seed", range(8))
def test_what_rounding_raises_is_taken_back(seed):
    """Columns that are too nearly alike: the solution is that of the last round which was worth it."""
    Z, y = unit_columns(12, 8, seed)
    Z[:, 4:] = Z[:, :4] + 1e-7 * Z[:, 4:]
    Z /= np.linalg.norm(Z, axis=0)
    gram, corr, base = Z.T @ Z, Z.T @ y, rules(8)
    coefs, rounds, work, k = solve(gram, corr, base, [1e-12])
    assert rounds[0] < 40
    before, *_ = solve(gram, corr, base, [1e-12], max_rounds=rounds[0] - 1)
    # That round went on to let features in, which were at zero until then, or nearly settled.
    np.testing.assert_allclose(coefs, np.where(coefs != 0.0, before, 0.0), rtol=0, atol=1e-6)
    assert np.count_nonzero(before) > np.count_nonzero(coefs) > 0
    np.testing.assert_array_equal(work.coef[:8], coefs[0])
    rounding = 1e-15 * (1.0 + np.abs(coefs).sum())
    np.testing.assert_allclose(work.grad[:8], corr - gram @ coefs[0], rtol=0, atol=rounding)
    assert all(_kernels.is_free(work.coef[j], work.rule[j]) for j in work.order[:k])
    gaps, rss, lams = np.empty(1), np.empty(1), np.array([1e-12])
    again = working(gram, corr, base)
    _kernels.solve_sequence(again, 8, 0, float(y @ y), lams, 1000, coefs, gaps, rss, rounds)
    assert rss[0] == pytest.approx(((y - Z @ coefs[0]) ** 2).sum(), rel=1e-9)
    assert gaps[0] == pytest.approx(certificate(Z, y, base, 1e-12, coefs[0]), rel=1e-3)


def test_what_is_no_number_is_taken_back():
    """The coefficients are those that the solver started from."""
    work, coefs, rounds = working(np.eye(2), np.array([np.nan, 0.5]), rules(2)), np.empty((1, 2)), np.zeros(1)
    work.coef[:2] = 0.25, -0.5
    sequence(work, 0, [0.1], coefs, rounds.astype(np.int64))
    np.testing.assert_array_equal(coefs, [[0.25, -0.5]])


def jumps(pulls, effects, size):
    """A state whose features can only jump from 0 to `size` and back, which changes others' pulls.

    ``effects[i, j]`` is what a jump of feature i adds to the pull on j. No Gram matrix does that.
    """
    m = len(pulls)
    gram = 1e-30 * np.eye(m) - np.asarray(effects) / size
    return working(gram, np.asarray(pulls), rules(m, 0.0, 0.0, 0.0, size))


def chase(pull, size, bystander=0.0):
    """Rounds that two features chase each other, both by pulls of rounding; the gap is ``pull * size``."""
    effects = np.zeros((3, 3))
    effects[0, 1], effects[1, 0] = 2.0 * pull, -2.0 * pull
    work = jumps([pull, -pull, 0.0], effects, size)
    work.base[2, 3] = work.rule[2, 3] = work.coef[2] = bystander  # for whose size pulls are rounding
    coefs, rounds = np.empty((1, 3)), np.zeros(1, dtype=np.int64)

    def up_to(limit):
        sequence(work, 0, [1.0], coefs, rounds, limit)
        return rounds[0]

    return up_to


def test_rounds_that_only_rounding_asks_for():
    """Two features chase each other: after four rounds without gain a gap that counts as exact will do."""
    pull = 7.9 * _kernels.NOISE
    assert chase(pull, 1e-18)(1000) == 1 + 4
    assert chase(pull, 1e-18)(3) == 3


def test_rounds_that_would_go_on_for_ever():
    """Where the gap is larger, after 40 rounds the tolerance for a pull doubles every eight."""
    pull = 7.5 * 31.5 * _kernels.NOISE
    assert pull > _kernels.EXACT
    assert chase(pull, 1.0, 30.0)(1000) == 40 + 8 * 3 + 1 + _kernels.REFINEMENTS
    assert chase(pull, 1.0, 30.0)(50) == 50


def test_an_objective_that_creeps_up_is_taken_back():
    """Every round raises it by less than its rounding, but not all of them together."""
    m, size, pull = 8, 1e-3, 2.0 * _kernels.NOISE
    against = 1.2 * _kernels.NOISE / size
    effects = (against + pull) * np.eye(m, k=1)  # each draws in the next, against its own target
    coefs, rounds = np.empty((1, m)), np.zeros(1, dtype=np.int64)
    for limit, expected in ((1, 1), (3, 3), (100, 0)):
        sequence(jumps([pull] + (m - 1) * [-against], effects, size), 0, [1.0], coefs, rounds, limit)
        np.testing.assert_array_equal(coefs[0], np.where(np.arange(m) < expected, size, 0.0))
    assert rounds[0] == 4


@pytest.mark.parametrize("seed", range(10))
def test_every_round_lowers_the_objective(seed):
    """Stopped after any number of rounds, the solver is no higher than after one round less."""
    Z, y = unit_columns(15, 12, seed)
    gram, corr = Z.T @ Z, Z.T @ y
    base = rules(12, l2=0.1)
    before = 0.0
    for limit in range(1, 8):
        coefs, rounds, *_ = solve(gram, corr, base, [0.02], max_rounds=limit)
        value = oracles.quadratic(gram, corr, *(base * (0.02, 0.02, 1, 1)).T, coefs[0])
        assert rounds[0] <= limit
        assert value <= before + 1e-14
        before = value


def test_null_directions_end_independent():
    """With many copies of few columns the free features are independent, and the fit is optimal."""
    Z, y = unit_columns(10, 3, 3)
    Z = np.hstack([Z, Z, -Z, Z[:, [0]]])
    gram, corr = Z.T @ Z, Z.T @ y
    base = rules(10)
    coefs, _, work, k = solve(gram, corr, base, [0.2, 0.05, 1e-3])
    assert k <= 3
    for lam, coef in zip([0.2, 0.05, 1e-3], coefs, strict=True):
        single, _ = oracles.enumerate_faces(gram[:3, :3], corr[:3], *(base[:3] * (lam, lam, 1, 1)).T)
        np.testing.assert_allclose(Z @ coef, Z[:, :3] @ single, rtol=0, atol=1e-12)
        assert np.abs(coef).sum() == pytest.approx(np.abs(single).sum(), abs=1e-12)
    assert_factor(work, 10, k)


@pytest.mark.parametrize("storage", ["rows", "centred"])
def test_descent_by_hand(storage):
    """Epochs of coordinate steps over some columns; the residual is a vector and an offset."""
    rng = np.random.default_rng(0)
    n, m, lam = 15, 5, 0.2
    root = np.sqrt(rng.dirichlet(np.ones(n)))
    X = oracles.holes(n, m, density=0.5)[0] * root[:, None]
    shift = root @ X if storage == "centred" else np.zeros(m)
    norm = np.linalg.norm(X - np.outer(root, shift), axis=0)
    X, shift = X / norm, shift / norm
    Z = X - np.outer(root, shift)
    columns = _kernels.Rows(np.ascontiguousarray(X.T))
    if storage == "centred":
        entries = sparse.csc_array(X)
        columns = _kernels.Centred(entries.data, entries.indices.view(np.uint32), entries.indptr, shift)
    base = rules(
        m, l1=[0.2, 1.0, 0.5, 0.1, 0.2], l2=[0.0, 0.5, 0.1, 0.0, 1.0], lower=-0.3, upper=[0.1] + 4 * [INF]
    )
    target = rng.standard_normal(n)
    target -= (target @ root) * root
    expected = 0.1 * rng.standard_normal(m)
    coef, features, history = expected.copy(), np.array([3, 0, 4]), np.empty((4, 3))
    offset = float(shift @ coef)
    residual = target - Z @ coef - offset * root
    offset = _kernels.descend(columns, features, base, lam, coef, residual, offset, history)
    for epoch in range(4):
        for j in features:
            pull = Z[:, j] @ (target - Z @ expected)
            expected[j] = _kernels.coordinate_step(pull, 1.0, expected[j], base[j] * (lam, lam, 1.0, 1.0))
        np.testing.assert_allclose(history[epoch], expected[features], rtol=0, atol=1e-14)
    np.testing.assert_allclose(coef, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(residual + offset * root, target - Z @ coef, rtol=0, atol=1e-14)
    assert (storage == "rows") == (offset == 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_restart_puts_the_solver_anywhere(seed):
    """Coefficients and correlations are taken over; the factor keeps those that are still free."""
    Z, y = unit_columns(20, 6, seed)
    gram, corr = Z.T @ Z, Z.T @ y
    base = rules(6, l2=0.2, upper=[INF, INF, 0.3, INF, INF, 0.3])
    _, _, work, k = solve(gram, corr, base, [0.3])
    coef = np.array([0.1, 0.0, 0.3, -0.2, 0.0, 0.1])
    places = np.array([7, 1, 2, 0, 5, 3])  # of the features among all
    corrs = np.full(8, np.nan)
    corrs[places] = corr - gram @ coef
    k = _kernels.restart(work, 6, k, coef, corrs, places)
    np.testing.assert_array_equal(work.coef[:6], coef)
    np.testing.assert_array_equal(work.grad[:6], corr - gram @ coef)
    assert set(work.order[:k]) <= {0, 3, 5}  # 2 is at its bound
    assert_factor(work, 6, k)
    coefs, rounds = np.empty((1, 6)), np.zeros(1, dtype=np.int64)
    sequence(work, k, [0.05], coefs, rounds)
    np.testing.assert_allclose(coefs[0], solve(gram, corr, base, [0.05])[0][0], rtol=0, atol=1e-14)


# ---------------------------------------------------------------------------------------------
# The certificate
# ---------------------------------------------------------------------------------------------


def direct_gap(Z, y, rule, coef):
    """``P - D`` from the definition, in extended precision."""
    n = len(y)
    plain = oracles.problem(Z * np.sqrt(n), y * np.sqrt(n), fit_intercept=False)
    l1, l2, lower, upper = rule.T
    return float(replace(plain, l1=l1.astype(oracles.LONG), l2=l2, lower=lower, upper=upper).gap(coef))


def certificate(Z, y, base, lam, coef):
    residual = y - Z @ coef
    return _kernels.duality_gaps(
        (Z.T @ residual)[None],
        np.arange(len(coef)),
        coef[None],
        np.array([lam]),
        base,
        np.array([residual @ residual]),
    )[0][0]


@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("limits", [(-INF, INF), (0.0, INF), (-0.2, 0.3)])
@pytest.mark.parametrize("seed", range(6))
def test_duality_gap_is_primal_minus_dual(seed, l2, limits):
    """The sum of non-negative terms equals P - D, far from the optimum and near it."""
    Z, y = unit_columns(12, 5, seed)
    rng = np.random.default_rng(seed)
    base = rules(5, l1=rng.uniform(0.5, 1.0, 5), l2=l2, lower=limits[0], upper=limits[1])
    optimum = solve(Z.T @ Z, Z.T @ y, base, [0.1])[0][0]
    for scale in (1.0, 1e-3, 1e-6):
        coef = np.clip(optimum + scale * rng.standard_normal(5), *limits)
        expected = direct_gap(Z, y, base * (0.1, 0.1, 1, 1), coef)
        assert certificate(Z, y, base, 0.1, coef) == pytest.approx(expected, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("coef", [0.0, 0.3])
@pytest.mark.parametrize("rule", [(1.0, 0.0, -INF, INF), (0.0, 1.0, -1.0, 1.0), (0.0, 0.0, -INF, INF)])
@pytest.mark.parametrize("member", [True, False])
def test_what_is_not_a_number_is_no_certificate(rule, coef, member):
    """A correlation that is NaN makes a gap that is NaN, whether its feature is in the set or not."""
    corrs, base = np.array([[0.1, np.nan]]), np.array([(1.0, 0.0, -INF, INF), rule])
    features = np.arange(1 + member)
    coefs = np.array([[0.0, coef]])[:, features]
    gaps, _ = _kernels.duality_gaps(corrs, features, coefs, np.array([0.5]), base, np.ones(1))
    assert np.isnan(gaps[0])


@pytest.mark.parametrize("l1", [0.0, 1.0])
def test_an_infinite_penalty_on_zero_adds_nothing(l1):
    """The penalty of a column of length 1e-160 overflows; its coefficient is 0, its share of the gap too."""
    gap = certificate(np.eye(2), np.array([0.0, 0.9]), rules(2, l1=l1, l2=INF), 0.5, np.zeros(2))
    assert gap == 0.0


def test_no_residual_is_less_than_none():
    """The squared residual of a perfect fit is a difference of equal numbers, and never negative."""
    found = []
    for seed in range(60):
        Z = np.linalg.qr(np.random.default_rng(seed).standard_normal((6, 3)))[0]
        y = Z @ [0.6, 0.48, 0.64]
        work = working(Z.T @ Z, Z.T @ y, rules(3))
        coefs, gaps, rss = np.empty((1, 3)), np.empty(1), np.empty(1)
        lams, rounds = np.array([1e-12]), np.zeros(1, dtype=np.int64)
        _kernels.solve_sequence(work, 3, 0, float(y @ y), lams, 100, coefs, gaps, rss, rounds)
        assert rss[0] >= 0.0
        assert 0.0 <= gaps[0] <= 1e-14
        found.append(rss[0])
    assert min(found) == 0.0  # some would have been negative


def test_duality_gap_at_the_threshold():
    """The feature that decides the scale of the dual point ends on its threshold, give or take a rounding."""
    for seed in range(100):
        Z, y = unit_columns(12, 5, seed)
        rng = np.random.default_rng(seed)
        base = rules(5, l1=rng.uniform(0.5, 1.0, 5))
        coef = rng.standard_normal(5)
        expected = direct_gap(Z, y, base * (0.1, 0.1, 1, 1), coef)
        assert certificate(Z, y, base, 0.1, coef) == pytest.approx(expected, rel=1e-9), f"seed {seed}"


@pytest.mark.parametrize("seed", range(12))
def test_duality_gap_bounds_the_distance_from_the_optimum(seed):
    """Never negative, never less than the true distance, and rounding at the optimum."""
    Z, y, base = reduced_problem(seed, duplicates=False)
    base[:, 0] = np.maximum(base[:, 0], 0.1)
    gram, corr = Z.T @ Z, Z.T @ y
    rule = base * (0.1, 0.1, 1, 1)
    _, minimum = oracles.enumerate_faces(gram, corr, *rule.T)
    rng = np.random.default_rng(seed)
    for scale in (1.0, 0.1, 1e-4, 0.0):
        best = solve(gram, corr, base, [0.1])[0][0]
        coef = np.clip(best + scale * rng.standard_normal(4), base[:, 2], base[:, 3])
        gap = certificate(Z, y, base, 0.1, coef)
        assert gap >= 0.0
        assert gap >= oracles.quadratic(gram, corr, *rule.T, coef) - minimum - 1e-14
        if scale == 0.0:
            assert gap <= 1e-14


def test_duality_gap_does_not_trust_an_unpenalised_zero():
    """A feature without penalty that is pulled away from 0 but still there: no certificate."""
    Z, y = unit_columns(12, 3, 0)
    base = rules(3, l1=[0.0, 1.0, 1.0])
    coef = np.zeros(3)
    fitted = (Z[:, 0] @ y) ** 2 / 2  # what the first feature alone would gain
    assert certificate(Z, y, base, 10.0, coef) >= fitted


@pytest.mark.parametrize("coef", [-1.0, -0.3, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("corr", [-0.3, 0.2, 0.4])
def test_duality_gap_of_one_feature(corr, coef):
    """Without a residual left, it is that of its optimality condition; by hand for every kind of penalty."""

    def gap(*rule):
        corrs, base, members = np.array([[corr]]), np.array([rule]), np.arange(int(coef != 0.0))
        coefs = np.full((1, len(members)), coef)
        return _kernels.duality_gaps(corrs, members, coefs, np.array([0.5]), base, np.zeros(1))[0][0]

    size = abs(corr)
    assert gap(0.0, 0.0, -INF, INF) == pytest.approx(size * max(size, abs(coef)), rel=1e-14)
    # Within the threshold of 1/2 the conjugate is zero; what is left is the penalty less the product.
    assert gap(1.0, 0.0, -INF, INF) == pytest.approx(0.5 * abs(coef) - corr * coef, rel=1e-14, abs=1e-16)
    # A ridge term: (u - l2 w)^2 / (2 l2), here with l2 = 1/2.
    assert gap(0.0, 1.0, -INF, INF) == pytest.approx((corr - 0.5 * coef) ** 2, rel=1e-13, abs=1e-16)
    # The best coefficient in a box lies at its end.
    end = 1.0 if corr > 0.0 else -1.0
    assert gap(0.0, 0.0, -1.0, 1.0) == pytest.approx(corr * (end - coef), rel=1e-13, abs=1e-16)
    # A ridge penalty that rounding outweighs is none.
    assert gap(0.0, 1e-33, -INF, INF) == gap(0.0, 0.0, -INF, INF)
    assert gap(0.0, 1e-30, -INF, INF) > 1e20


def test_what_a_working_set_lacks_is_beyond_rounding():
    """Correlations may exceed their thresholds by rounding, which grows with the coefficients."""
    base = rules(6, lower=[-INF, -INF, 0.0, -0.1, -0.1, -INF], upper=[INF, 0.1, 0.1, 0.0, INF, INF])
    threshold = 0.5

    def lacking(corr, coef=0.0):
        corrs = np.array([[0.0, *corr]])
        return _kernels.duality_gaps(
            corrs, np.arange(1), np.array([[coef]]), np.array([threshold]), base, np.ones(1)
        )[1][0]

    over = threshold * (1.0 + 9.5 * _kernels.KKT)
    assert lacking([over, -over, over, over, -over]) == 0
    over = threshold * (1.0 + 10.5 * _kernels.KKT)
    assert lacking([over, 0.0, 0.0, 0.0, 0.0]) == 1
    assert lacking([over, -over, -over, over, -over]) == 4  # 2 may not be negative
    assert lacking([over, over, over, -over, over]) == 4  # nor 3 positive
    for coef in (1e6, -1e6):
        assert lacking([over, -over, -over, over, -over], coef) == 0


def test_duality_gaps_of_several_solutions_do_not_mix():
    """A batch gives what its members give one by one, also when they speak of some features only."""
    Z, y = unit_columns(12, 6, 0)
    base = rules(6)
    features = np.array([4, 1, 3])
    lams = np.array([0.3, 0.1, 0.02])
    coefs = np.random.default_rng(0).standard_normal((3, 3)) * [[1.0], [0.0], [0.1]]
    whole = np.zeros((3, 6))
    whole[:, features] = coefs
    residuals = y - whole @ Z.T
    rss = np.einsum("ij,ij->i", residuals, residuals)
    together, lacking = _kernels.duality_gaps(residuals @ Z, features, coefs, lams, base, rss)
    others = np.abs(residuals @ Z[:, [0, 2, 5]])
    np.testing.assert_array_equal(lacking, (others > lams[:, None]).sum(axis=1))
    single = [certificate(Z, y, base, lam, coef) for lam, coef in zip(lams, whole, strict=True)]
    np.testing.assert_allclose(together, single, rtol=1e-12)


# ---------------------------------------------------------------------------------------------
# Sparse storage
# ---------------------------------------------------------------------------------------------

containers = pytest.mark.parametrize(
    ("kind", "storage"), [(sparse.csc_array, _kernels.CSC), (sparse.csr_array, _kernels.CSR)]
)


@containers
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_products(kind, storage, dtype, index):
    """Products with dense blocks from either storage, any width of index, either precision, in float64."""
    dense = oracles.holes(9, 5)[0].astype(dtype)
    dense[:, 2] = 0.0
    X = kind(dense)
    entries = storage(X.data, X.indices.astype(index), X.indptr.astype(index))
    exact = dense.astype(np.float64)
    rng = np.random.default_rng(0)
    for width in (1, 3):
        rows, columns = rng.standard_normal((9, width)), rng.standard_normal((5, width))
        product = _kernels.entry_product(entries, rows, 5)
        combination = _kernels.entry_combination(entries, columns, 9)
        assert product.dtype == combination.dtype == np.float64
        np.testing.assert_allclose(product, exact.T @ rows, rtol=0, atol=1e-13)
        np.testing.assert_allclose(combination, exact @ columns, rtol=0, atol=1e-13)


def test_the_sum_of_vectors_times_their_products():
    """Each less its shift times the level; vectors of scale 0 are not looked at."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((6, 9)) * (rng.random((6, 9)) < 0.5)
    shift, scale, x = rng.standard_normal(6), rng.random(6), rng.standard_normal(9)
    along = scale * (A @ x - 0.7 * shift)
    result = np.ones(9)
    data, indices, indptr = entries_of(sparse.csr_array(A))
    total = _kernels.add_curve(data, indices, indptr, shift, scale, 0.7, x, result)
    np.testing.assert_allclose(result, 1.0 + along @ A, rtol=1e-13)
    np.testing.assert_allclose(total, along @ shift, rtol=1e-13)
    bad = np.where(indptr[:-1].searchsorted(np.arange(len(data)), side="right") == 3, np.nan, data)
    again = np.ones(9)
    scale[2] = 0.0
    _kernels.add_curve(bad, indices, indptr, shift, scale, 0.7, x, again)
    assert np.isfinite(again).all()


def test_storages_in_turn():
    """Any order of storages, dtypes and indices: Numba before 0.61 mixes them up at random."""
    rng = np.random.default_rng(0)
    dense = oracles.holes(9, 5)[0]
    rows = rng.standard_normal((9, 1))
    storages = [(sparse.csc_array, _kernels.CSC), (sparse.csr_array, _kernels.CSR)]
    for _ in range(300):
        kind, storage = storages[rng.integers(2)]
        exact = dense.astype(rng.choice([np.float64, np.float32]))
        X, index = kind(exact), rng.choice([np.int32, np.int64])
        entries = storage(X.data, X.indices.astype(index), X.indptr.astype(index))
        found = _kernels.entry_product(entries, rows, 5)
        np.testing.assert_allclose(found, exact.T.astype(np.float64) @ rows, rtol=0, atol=1e-13)


@containers
@pytest.mark.parametrize("centred", [True, False])
def test_moments_of_sparse_columns(kind, storage, centred):
    """Means, squares about them, weights and numbers of stored entries; rows without weight do not count."""
    dense = oracles.holes(9, 5)[0]
    X = kind(dense)
    share = np.array([0.1, 0.0, 0.2, 0.1, 0.1, 0.0, 0.3, 0.1, 0.1])
    entries = storage(X.data, X.indices, X.indptr)
    there = dense != 0.0
    absent = share @ ~there
    least = 1.01 * np.median(absent)
    mean, square, lossy = _kernels.entry_moments(entries, share, 7, centred, least, 5)
    np.testing.assert_allclose(mean, share @ dense if centred else np.zeros(5), rtol=1e-13, atol=1e-16)
    np.testing.assert_array_equal(lossy, np.flatnonzero((absent > 1e-15) & (absent < least)))
    counted = there | ~np.isin(np.arange(5), lossy)
    expected = (share[:, None] * counted * (dense - mean) ** 2).sum(axis=0)
    np.testing.assert_allclose(square, expected, rtol=1e-13)
    assert 0 < len(lossy) < 5
    X.data[np.isin(sparse.coo_array(X).row, [1, 5])] = -1e300
    again = _kernels.entry_moments(storage(X.data, X.indices, X.indptr), share, 7, centred, least, 5)
    for found, expected in zip(again, (mean, square, lossy), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("gathered", [8, 30, 1 << 14])
def test_gram_of_sparse_entries(monkeypatch, gathered):
    """``X^T diag(share) X`` from either storage, an empty row and an empty column among them."""
    if numba.config.DISABLE_JIT:  # compiled, it would go into the cache, and be slow for whoever fits next
        monkeypatch.setattr(_kernels.sparse, "GATHERED", gathered)
    for n, p in ((9, 5), (3000, 5), (3000, 11)):
        dense = oracles.holes(n, p)[0]
        dense[3] = dense[:, 1] = 0.0
        share = np.arange(float(n))
        expected = np.triu(dense.T @ (share[:, None] * dense))
        found = np.ones((p, p))
        _kernels.row_gram(entries_of(sparse.csr_array(dense)), share, found)
        np.testing.assert_allclose(np.triu(found - 1.0), expected, rtol=1e-12, atol=1e-9)
        columns = columns_of_entries(entries_of(sparse.csc_array(dense)), np.arange(p), n)
        for k in {1, 4, min(7, p), p}:
            for some in (columns, some_dense(columns, dense)):
                found = np.ones((k, p))
                _kernels.column_gram(some, share, np.empty(n), found)
                np.testing.assert_allclose(np.triu(found - 1.0), expected[:k], rtol=1e-12, atol=1e-9)


def some_dense(columns, taken):
    """The same columns, every third of them as a dense one; what is stored for it must not matter."""
    every = np.arange(taken.shape[1])
    whole = np.where(every % 3 == 1, every[::-1], -1)
    return columns._replace(
        scale=np.where(whole < 0, columns.scale, np.nan),
        whole=whole,
        dense=np.ascontiguousarray(taken.T[::-1]),
    )


@numba.njit
def residual_of(columns, coef, level, root, values, weighted):
    """A kernel that only other kernels call, as are the next."""
    return _kernels.screening._residual(columns, coef, level, root, values, weighted)


@pytest.mark.parametrize("are_dense", [False, True])
@pytest.mark.parametrize("width", [1, 3])
def test_some_sparse_columns(width, are_dense):
    """Some scaled columns in another order: Gram matrix, linear combinations, inner products."""
    rng = np.random.default_rng(0)
    dense = oracles.holes(30, 12)[0]
    places, scale = np.array([7, 2, 11, 0]), np.array([1.0, -2.0, 0.5, 3.0])
    columns = columns_of_entries(entries_of(sparse.csc_array(dense)), places, 30)._replace(scale=scale)
    taken, share = dense[:, places] * scale, rng.uniform(size=30)
    if are_dense:
        columns = some_dense(columns, taken)
    found = np.zeros((2, 4))
    _kernels.column_gram(columns, share, np.empty(30), found)
    expected = taken[:, :2].T @ (share[:, None] * taken)
    np.testing.assert_allclose(np.triu(found), np.triu(expected), rtol=0, atol=1e-13)
    shift, order = rng.standard_normal(4), [2, 3, 0, 1]
    expected = (expected.T - np.outer(shift[[2, 3, 0, 1]], shift[2:]))[order]
    np.testing.assert_allclose(_kernels.complete_gram(found, shift), expected.T, rtol=0, atol=1e-13)
    coefs = rng.standard_normal((4, width))
    coefs[1] = 0.0
    level, root = np.arange(float(width)), np.where(np.arange(30) == 3, 0.0, share)
    np.testing.assert_allclose(
        _kernels.combine_columns(columns, coefs, level, root),
        root[:, None] * (taken @ coefs - level),
        rtol=0,
        atol=1e-13,
    )
    np.testing.assert_allclose(_kernels.column_products(columns, share), share @ taken, rtol=0, atol=1e-13)
    values = rng.standard_normal(30)
    for some in (root, np.array([0.3])):
        weighted = np.empty(30)
        sums = residual_of(columns, coefs[:, 0], 0.5, some, values, weighted)
        residual = values - some * (taken @ coefs[:, 0] - 0.5)
        np.testing.assert_allclose(weighted, some * residual, rtol=0, atol=1e-13)
        np.testing.assert_allclose(sums, (residual @ residual, residual @ values, weighted.sum()), rtol=1e-12)


def test_copies_of_sparse_columns():
    """Times the roots, and over their norms, unless they are dense."""
    rng = np.random.default_rng(0)
    X = oracles.holes(30, 12)[0]
    features, norm, whole = np.array([7, 2, 2]), np.array([2.0, 3.0, 1.0]), np.array([-1, -1, 1])
    root, dense = rng.uniform(size=30), rng.standard_normal((2, 30))
    data, indices, indptr = _kernels.copy_columns(
        entries_of(sparse.csc_array(X)), features, norm, root, whole, dense
    )
    found = sparse.csc_array((data, indices.astype(int), indptr), shape=(30, 3)).toarray()
    expected = root[:, None] * X[:, features] / norm
    expected[:, 2] = root * dense[1]
    np.testing.assert_allclose(found, expected, rtol=1e-15)


def test_scales_of_columns_and_vectors():
    mean, square = np.array([0.0, 1.0, 1e9, 0.0]), np.array([4.0, 1.0, 1.0, 1e-320])
    norm, constant, wrong = _kernels.norms(mean, square.copy(), False, 1e-8, 1e-300)
    np.testing.assert_array_equal(norm, [2.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(constant, [False, False, True, True])
    assert wrong == -1
    assert _kernels.norms(mean, square.copy(), True, 1e-8, 1e-300)[1].all()
    for some in (np.inf, np.nan):
        assert _kernels.norms(mean, np.array([1.0, 1.0, some, some]), False, 1e-8, 1e-300)[2] == 2
    values, share = np.array([1.0, 2.0, 4.0]), np.array([0.5, 0.5, 0.0])
    assert _kernels.centre(values, share, np.array([2.0, 1.0, 0.0]), True) == (1.5, np.sqrt(1.25))
    np.testing.assert_array_equal(values, [-1.0, 0.5, 0.0])
    assert _kernels.centre(values, share, np.ones(3), False) == (0.0, np.sqrt(1.25))


@pytest.mark.parametrize(
    ("indices", "indptr", "expected"),
    [
        ([0, 2, 1, 0, 1, 2], [0, 2, 3, 6], True),
        ([0, 2, 1, 0, 2, 1], [0, 2, 3, 6], False),  # not sorted
        ([0, 0, 1, 0, 1, 2], [0, 2, 3, 6], False),  # twice
        ([0, 0, 1, 0, 1, 2], [0, 1, 1, 3, 3, 6, 6], True),  # with columns that are empty
        ([0, 1, 1, 0], [0, 2, 3], True),  # with more than there is
        ([0, 1, 2], [0, 2, 1, 3], False),
        ([], [0, 0, 0], True),
        ([1], [0, 0, 1], True),
    ],
)
def test_indices_that_increase(indices, indptr, expected):
    matrix = _kernels.CSC(np.ones(len(indices)), np.array(indices, dtype=np.uint32), np.array(indptr))
    assert _kernels.are_increasing(matrix) == expected


@numba.njit
def doubtful(corrs, error, shares, rests, lams, screen):
    return _kernels.screening._doubtful(corrs, error, shares, rests, lams, screen)


@numba.njit
def carry(corrs, error, share, rest):
    _kernels.screening._carry(corrs, error, share, rest)


def test_what_is_carried_over():
    """The bound on a correlation is reached by a rest along its column, and grows with what was not known."""

    def in_doubt(known, error, shares, rests, lams, l1=(1.0, 1.0, 1.0), member=(False, False, False)):
        screen = _kernels.Screen(np.ones((3, 4)), np.array(l1), 1.0, np.array(member))
        more = (np.array(part) for part in (known, error, shares, rests, lams))
        return doubtful(*more, screen).tolist()

    known, nothing = [0.5, -0.5, 0.0], np.zeros(3)
    assert in_doubt(known, nothing, [0.5], [0.2], [0.5]) == []
    assert in_doubt(known, [0.0, 0.2, 0.2], [-0.5], [0.2], [0.5]) == [1]
    assert in_doubt(known, [0.0, 0.2, 0.2], [-0.5], [0.2], [0.25]) == [0, 1, 2]
    assert in_doubt(known, [0.0, 0.2, 0.2], [-0.5], [0.2], [0.25], member=(True, False, False)) == [1, 2]
    assert in_doubt(known, nothing, [0.5, 0.5], [0.2, 0.2], [0.5, 0.4]) == [0, 1]  # for any of several
    assert in_doubt([np.nan, 0.0, 0.0], nothing, [1.0], [0.1], [0.1], [10.0, 1.0, 2.0]) == [0, 1]
    assert in_doubt(known, nothing, [0.5], [0.2], [0.5], [np.inf, np.inf, 0.0]) == [2]
    corrs, error = np.array(known), np.array([0.0, 0.2, 0.4])
    carry(corrs, error, -0.5, 0.2)
    np.testing.assert_array_equal(corrs, [-0.25, 0.25, 0.0])
    np.testing.assert_allclose(error, [0.2, 0.3, 0.4])


@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_product_with_sparse_entries(width):
    """``X^T R`` for any number of right-hand sides, from either storage."""
    X = oracles.holes(30, 12)[0]
    R = np.random.default_rng(0).standard_normal((30, width))
    for container in (sparse.csc_array, sparse.csr_array):
        found = _kernels.entry_product(entries_of(container(X)), R, 12)
        np.testing.assert_allclose(found, X.T @ R, rtol=0, atol=1e-12)
        mean, norm, corrs = np.arange(12.0), np.arange(1.0, 13.0), np.full((width, 12), np.nan)
        _kernels.correlations(entries_of(container(X)), 2.0 * R, 0.5, mean, norm, corrs)
        np.testing.assert_allclose(corrs, R.T @ (X - mean) / norm, rtol=0, atol=1e-12)


def test_rows_and_columns_trade_places():
    """What is major in one storage is minor in the other."""
    empty = [np.empty(0)] * 3
    for major, minor in itertools.product(range(2), repeat=2):
        assert _kernels.row_and_column(_kernels.CSR(*empty), major, minor) == (major, minor)
        assert _kernels.row_and_column(_kernels.CSC(*empty), major, minor) == (minor, major)


def test_a_tiny_box_is_left_where_the_gradient_points():
    """Bounds of a column of tiny length leave no room to move; it goes to the right end all the same."""
    gram, corr = np.eye(3), np.array([0.5, -0.5, 0.05])
    base = rules(3, l1=0.1, lower=-1e-18, upper=1e-17)
    coefs, *_ = solve(gram, corr, base, [1.0])
    np.testing.assert_array_equal(coefs[0], [1e-17, -1e-18, 0.0])


@pytest.mark.parametrize("spare", [-90, 0, 20])
@pytest.mark.parametrize("fewest", [1, 7])
def test_the_most_pulled_are_proposed(spare, fewest):
    """As many as there shall be beyond twice the active ones, within the room there is, but some at least."""
    rng = np.random.default_rng(0)
    base = rules(300)
    for ties in (False, True):
        corr = rng.permutation(np.linspace(0.1, 1.0, 300))
        corr = np.round(corr, 1) if ties else corr
        for active, m, largest in ((0, 0, 500), (20, 30, 500), (20, 30, 35), (60, 60, 500), (200, 220, 500)):
            coef = (np.arange(m) < active).astype(np.float64)
            limits = LIMITS._replace(spare=spare, fewest=fewest, largest=largest)
            member = np.arange(300) % 10 == 0
            found = _kernels.proposals(corr, base, base[:, 0].copy(), member, 0.2, coef, limits)
            wanted = max(min(2 * active - m + spare, largest - m), fewest, active // 4)
            fit = np.flatnonzero(~member & (corr >= 0.2))
            assert len(found) == min(wanted, len(fit))
            assert set(found) <= set(fit)
            assert (np.diff(found) > 0).all()
            best = np.sort(corr[fit])[::-1][: len(found)]
            np.testing.assert_array_equal(np.sort(corr[found])[::-1], best)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("k", range(1, 10))
@pytest.mark.parametrize("n", [1, 3, 70, 5000])
@pytest.mark.parametrize("order", "FC")
def test_few_correlations(k, n, dtype, order):
    """Correlations of columns in either order with any number of residuals, centred or not."""
    rng = np.random.default_rng(k)
    for p in (1, 21, _kernels.STRIP + 3):
        X = np.asarray(rng.standard_normal((n, p)) + 3.0, dtype=dtype)
        lines = _kernels.Lines(X.T.copy() if order == "F" else X, order == "F")
        root, norm = rng.uniform(size=n), rng.uniform(0.5, 2.0, size=p)
        mean = np.linspace(0.0, 3.0, p)
        residuals, result = rng.standard_normal((k, n)), np.empty((k, p))
        _kernels.few_correlations(lines, residuals, root, mean, norm, result)
        expected = residuals @ (root[:, None] * (X.astype(np.float64) - mean) / norm)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-13 * n)


# For kernels that only other kernels call.
span = numba.njit(lambda *args: _kernels.screening._span(*args))
undecided = numba.njit(lambda *args: _kernels.screening._undecided(*args))


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.5])
def test_span(limit):
    """Rows are what the basis makes of them and what is left, which is within the limits."""
    rng = np.random.default_rng(0)
    target = rng.standard_normal(30)
    fits = np.linspace(0, 1, 10)[:, None] * rng.standard_normal(30) + 0.01 * rng.standard_normal((10, 30))
    residuals = target - fits
    basis, size = np.zeros((12, 30)), 0
    for _ in range(2):
        rows, shares, before = fits.copy(), np.empty((10, 12)), size
        size, left, rss = span(target, rows, np.full(10, limit), basis, size, shares)
        np.testing.assert_allclose(basis[:size] @ basis[:size].T, np.eye(size), rtol=0, atol=1e-14)
        np.testing.assert_array_equal(rows, residuals)
        np.testing.assert_allclose(rss, (residuals**2).sum(axis=1), rtol=1e-14)
        rest = residuals - shares[:, :size] @ basis[:size]
        np.testing.assert_allclose(left, np.sqrt((rest**2).sum(axis=1)), rtol=0, atol=1e-13)
        assert (left <= max(limit, 1e-13)).all()
        assert left[-1] < 1e-13
        assert size <= (2 if limit == 0.5 else 11)
        assert size > before or before > 0
    assert size == before  # all that there is is known


@pytest.mark.parametrize("p", [3, 511, 512, 513, 1100])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_undecided(p, k):
    """Exactly the features within the margin of their threshold, at any lambda; and what is no number."""
    rng = np.random.default_rng(p)
    shares, images = rng.standard_normal((5, k)), rng.standard_normal((k, p))
    left, lams, l1 = np.linspace(0.0, 0.5, 5), np.linspace(1.0, 0.8, 5), rng.uniform(0.5, 4.0, p)
    member = rng.random(p) < 0.2
    images[:, p // 2], member[p // 2] = 0.0, False
    for edge, expected in ((1e-9, False), (-1e-9, True), (np.nan, True)):
        l1[p // 2] = np.max(left / lams) + edge  # whose correlation is zero
        beyond = (np.abs(shares @ images) + left[:, None] > lams[:, None] * l1).any(axis=0)
        beyond[p // 2] = expected
        found = undecided(shares, images, left, lams, l1, member)
        np.testing.assert_array_equal(found, np.flatnonzero(beyond & ~member))
    shares[2, 0] = np.nan
    found = undecided(shares, images, left, lams, l1, member)
    np.testing.assert_array_equal(found, np.flatnonzero(~member))


def test_first_failure():
    """A wanted solution fails if a feature is missing, or if rounds were left to make it exact."""
    gaps, few, all_wanted = np.array([0.0, 0.5, np.nan]), np.array([1, 1, 1]), np.ones(3, dtype=bool)
    nothing = np.zeros(3, dtype=np.int64)

    def first(gaps=gaps, lacking=nothing, counts=few, wanted=all_wanted, forgiving=False):
        tries = _kernels.REFINEMENTS if forgiving else 1
        limits = LIMITS._replace(goal=0.1, max_rounds=5)
        return _kernels.first_failure(gaps, lacking, counts, np.where(wanted, 3, -1), limits, tries)

    assert first() == 1
    assert first(counts=np.array([1, 5, 1])) == 2  # max_rounds has ended it; NaN is not exact
    assert first(counts=np.array([1, 5, 5])) == 3
    assert first(wanted=np.array([True, False, True])) == 2
    assert first(lacking=np.array([1, 0, 0])) == 0
    assert first(gaps[1:]) == 0
    assert first(gaps[1:], forgiving=True) == 1
    assert first(gaps[1:], lacking=np.array([1, 0]), forgiving=True) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("n", [1, 7, 300])
def test_moments_of_dense_columns(dtype, centred, n):
    """Both orders give the moments of the rows with weight, however far from zero; constants stay exact."""
    rng = np.random.default_rng(n)
    X = (rng.standard_normal((n, 5)) + np.array([0.0, 1e3, -1e6, 0.1, 0.0])).astype(dtype)
    X[:, 3] = 0.1
    share = np.where(rng.random(n) < 0.3, 0.0, rng.random(n)) if n > 1 else np.ones(1)
    share /= share.sum()
    X[share == 0.0] = 1e30
    kept = share > 0.0
    exact, part = X[kept].astype(np.longdouble), share[kept].astype(np.longdouble)
    middle = part @ exact if centred else np.zeros(5)
    square = part @ (exact - middle) ** 2
    found = [_kernels.moments_by_columns(np.asfortranarray(X), share, centred)]
    found += [_kernels.moments_by_rows(X, share, centred, height) for height in (1, 16, n)]
    for mean, squares in found:
        np.testing.assert_allclose(mean, middle.astype(float), rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(squares, square.astype(float), rtol=1e-9, atol=1e-18)
        if centred:
            assert mean[3] == X[0, 3] if kept[0] else mean[3] == X[kept][0, 3]
            assert squares[3] == 0.0


# ---------------------------------------------------------------------------------------------
# Little work on one array after another
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 1), (4, 4, 4), (7, 2, 5), (2, 7, 3), (2500, 6, 2)])
@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_sums_of_rows_are_what_they_stand_for(shape, kind):
    """For every remainder of the sizes by the two and four columns that are multiplied at a time."""
    n, p, q = shape
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(n, p + q)) + 10.0 * np.arange(p + q)
    rows[:, 0] = 0.1  # whose mean is exact, and its spread none
    weights = np.full(n, 0.3) if kind == "even" else rng.uniform(0.5, 2.0, size=n)
    m = p + q + -(p + q) % 4
    columns, products = np.zeros((m, n)), np.zeros((m, m))
    columns[: p + q] = rows.T
    mean, rest, xx, xy = np.empty(p + q), np.empty(p + q), np.empty((p, p)), np.empty((p, q))
    yy, first = np.zeros(q), n // 2
    _kernels.row_sums(columns, weights, weights.sum(), first, products, mean, rest, xx, xy, yy)
    apart = rows - weights @ rows / weights.sum()
    expected = apart.T @ (weights[:, None] * apart)
    near = {"rtol": 1e-12, "atol": 1e-12 * n}
    np.testing.assert_allclose(mean, weights @ rows / weights.sum(), rtol=1e-13)
    assert (np.abs(rest) <= _kernels.EPS * np.abs(mean)).all()
    np.testing.assert_allclose(xx, expected[:p, :p], **near)
    np.testing.assert_allclose(xy, expected[:p, p:], **near)
    np.testing.assert_allclose(yy, expected[p:, p:].diagonal(), **near)
    assert (mean[0], xx[0, 0]) == (0.1, 0.0)


def test_outline_of_a_penalty():
    """Features held at zero have no say, whatever their penalty."""
    l1 = np.array([0.5, 0.0, 2.0, 1e-9, 0.0, 0.25])
    l2 = np.array([0.0, 4.0, 0.0, 1e-9, 0.0, 2.0])
    lower = np.array([-INF, -INF, -INF, 0.0, -3.0, -INF])
    upper = np.array([INF, INF, INF, 0.0, 1.0, INF])
    table = np.column_stack([l1, l2, lower, upper])
    every = [0, 1, 2, 3, 4, 5]
    for some, expected in (
        (every, (True, True, True, True, 0.0, 0.5, 0.75, 3.0)),
        ([3], (False, False, False, False, 1.0, INF, 0.0, 0.0)),
        ([1], (False, True, False, False, 0.0, INF, 0.25, 0.0)),
        ([1, 5], (True, True, False, True, 0.0, INF, 0.75, 0.0)),
        ([2, 3], (True, False, False, True, 1.0, 2.0, 0.0, 0.0)),
        ([4], (False, False, True, True, 0.0, INF, 0.0, 3.0)),
    ):
        assert _kernels.outline(table[some]) == expected


@pytest.mark.parametrize("standardize", [False, True])
def test_the_way_back_to_the_original_scale(standardize):
    features, level, scale = np.array([1, 4, 2]), 7.0, 3.0
    coefs = np.array([[0.5, 0.0, -1.0], [0.25, 0.0, 0.0]])
    lams, rss = np.array([0.3, 0.1]), np.array([0.2, 0.6])
    mean, norm = np.arange(5.0), np.array([1.0, 2.0, 4.0, 1.0, 1.0])
    l1, l2 = np.linspace(0.1, 0.5, 5), np.linspace(1.0, 2.0, 5)
    table = np.column_stack([l1, l2, np.full(5, -0.7), np.full(5, INF)])
    used, values = np.full(3, -1), np.full((3, 2), np.nan)
    intercepts, objectives = np.empty(2), np.empty(2)
    target, units = (level, scale), (mean, norm)
    found = used, values, intercepts, objectives
    count = _kernels.restore(features, coefs, rss, *target, *units, table, lams, standardize, *found)
    assert count == 2
    np.testing.assert_array_equal(used[:2], [1, 2])
    w = np.array([[0.75, 0.375], [-0.7, 0.0]])  # the latter at its bound
    np.testing.assert_allclose(values[:2], w)
    np.testing.assert_allclose(intercepts, level - mean[[1, 2]] @ w)
    size = np.abs(w) * (norm[[1, 2], None] if standardize else 1.0)
    penalties = lams * (l1[[1, 2]] @ size + 0.5 * l2[[1, 2]] @ size**2)
    np.testing.assert_allclose(objectives, 0.5 * rss * scale**2 + penalties)


# ---------------------------------------------------------------------------------------------
# Rows left out
# ---------------------------------------------------------------------------------------------


def test_leaving_out_divides_and_adds_up():
    """Residuals over slack, their weighted squares over rows and over targets; nothing without weight."""
    rng = np.random.default_rng(0)
    residuals, slack = rng.normal(size=(7, 2, 3)), rng.uniform(0.1, 1.0, size=(7, 3))
    weights = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0, 3.0])
    residuals[1] = np.inf
    missed, found = residuals.copy(), (np.ones((2, 3)), np.ones((2, 3)), np.ones((7, 3)), np.ones(3))
    assert _kernels.leave_out(missed, slack, weights, np.zeros(3), *found, 0)
    assert (found[-1] == 1.0).all()  # other targets follow
    for sums in found:
        sums[:] = 1.0
    missed = residuals.copy()
    assert _kernels.leave_out(missed, slack, weights, np.zeros(3), *found, 3)
    assert_allclose(missed, residuals / slack[:, None], rtol=1e-15)
    missed[1] = 0.0
    errors = weights[:, None, None] * missed**2
    together = errors.sum(axis=1)
    shared = (((1.0 + together) / 3.0) ** 2).sum(axis=0)  # of three targets
    expected = errors.sum(axis=0), (errors**2).sum(axis=0), together, shared
    for part, sums in zip(found, expected, strict=True):
        assert_allclose(part, 1.0 + sums, rtol=1e-14)
    # Nothing need be kept of the rows where no other targets have been before.
    alone = np.ones((2, 3)), np.ones((2, 3)), np.empty((0, 3)), np.zeros(3)
    assert _kernels.leave_out(residuals.copy(), slack, weights, np.zeros(3), *alone, 2)
    assert_allclose(alone[-1], ((together / 2.0) ** 2).sum(axis=0), rtol=1e-14)


def test_rows_without_slack_are_told():
    """Also those without weight, and where the slack is no number."""
    for value in (0.1, 0.0, -1.0, np.nan):
        slack, pinned = np.full((4, 2), 0.5), np.array([0.2, 0.1])
        slack[3, 1] = value
        sums = np.zeros((1, 2)), np.zeros((1, 2)), np.zeros((4, 2)), np.zeros(2)
        assert not _kernels.leave_out(np.zeros((4, 1, 2)), slack, np.zeros(4), pinned, *sums, 1)


def test_slack_is_what_leverage_leaves_of_one():
    """All of it, for rows without weight, whatever they hold."""
    leverage, fixed, share = (
        np.array([[0.5, 1.0], [np.inf, np.nan], [2.0, 0.0]]),
        np.ones(3),
        np.array([0.25, 0.0, 0.1]),
    )
    _kernels.slack_of(leverage, fixed, share)
    np.testing.assert_allclose(leverage, [[0.625, 0.5], [1.0, 1.0], [0.7, 0.9]], rtol=1e-15)


def test_corrections_that_matter():
    """Those that are no smaller than half of the ones before, or next to nothing, are not added."""
    solutions = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    corrections = np.array([[1e-3, -2e-3], [1e-3, -2e-3], [1e-17, 0.0], [0.0, 0.0]])
    before, expected = np.array([1.0, 3e-3, 1.0, 1.0]), solutions.copy()
    expected[0] += corrections[0]
    worth, last = _kernels.correct(solutions, corrections, before, np.ones(4), 1e-15, 1e-16, 1e-12)
    assert worth
    assert not last  # the next ones may be a thousandth of these
    np.testing.assert_array_equal(solutions, expected)
    np.testing.assert_array_equal(corrections, [[1e-3, -2e-3], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(before, [2e-3, 2e-3, 1e-17, 0.0])


@pytest.mark.parametrize(
    ("size", "rcond", "expected"), [(1e-9, 1.0, True), (1e-9, 0.0, False), (1e-6, 1.0, False)]
)
def test_the_last_correction(size, rcond, expected):
    """The next one would be its square, or rounding of the matrix; of what iterates nothing is known."""
    found = _kernels.correct(
        np.ones((1, 3)), np.full((1, 3), size), np.full(1, np.inf), np.full(1, rcond), 1e-15, 1e-16, 1e-12
    )
    assert found == (True, expected)


def test_mean_and_spread_of_scores():
    """As NumPy has them, also where squares of scores overflow; scores that are infinite are noticed."""
    scores = np.array([[1.0, 2.0, 6.0], [-3e200, 4e200, 1e-300]])
    mean, std, error = found = np.empty((3, 2))
    assert _kernels.mean_and_spread(scores, *found)
    np.testing.assert_allclose(mean, scores.mean(axis=1), rtol=1e-15)
    np.testing.assert_allclose(std / 1e200, (scores / 1e200).std(axis=1), rtol=1e-14)
    np.testing.assert_allclose(error, std / np.sqrt(2.0), rtol=1e-15)
    assert _kernels.mean_and_spread(scores[:, :1], *found)
    np.testing.assert_array_equal(std, 0.0)
    assert np.isnan(error).all()
    assert not _kernels.mean_and_spread(np.array([[1.0, np.inf]]), *np.empty((3, 1)))
