"""Moments against explicit sums in extended precision, and as a monoid."""

import numpy as np
import pytest
from scipy import sparse

from sparse_linear import _design, _moments
from sparse_linear._moments import MomentDesign, MomentSource, Sums, fold_moments
from sparse_linear._selection import Fold
from tests import oracles

N, P, Q = 30, 5, 2
CONTAINERS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "csc": sparse.csc_array,
    "csr": sparse.csr_matrix,
    "csr-float32": lambda X: sparse.csr_array(X.astype(np.float32)),
}


def data(seed=0):
    """Rows with holes, two targets, and weights of which some are zero."""
    rng = np.random.default_rng(seed)
    X, _ = oracles.holes(N, P, seed=seed, density=0.6)
    Y = rng.standard_normal((N, Q)) + np.array([3.0, -1.0])
    weights = np.where(rng.random(N) < 0.2, 0.0, rng.uniform(0.1, 2.0, N))
    return X, Y, weights


def direct(X, Y, weights):
    """Sums from the definition, in extended precision."""
    X, Y, w = oracles.dense(X), oracles.dense(Y), weights.astype(oracles.LONG)
    mean_x, mean_y = w @ X / w.sum(), w @ Y / w.sum()
    x, y = X - mean_x, Y - mean_y
    return Sums(
        np.count_nonzero(weights),
        w.sum(),
        mean_x,
        mean_y,
        x.T @ (w[:, None] * x),
        x.T @ (w[:, None] * y),
        w @ (y * y),
    )


def assert_same(found, expected, accuracy=1e-13):
    """Equal up to `accuracy`, in units of the columns' own lengths."""
    assert found.count == expected.count
    assert found.weight == pytest.approx(float(expected.weight), rel=1e-14)
    x, y = np.sqrt(np.diag(expected.xx)), np.sqrt(expected.yy)
    pairs = [
        (found.mean_x - expected.mean_x, np.abs(expected.mean_x) + x),
        (found.mean_y - expected.mean_y, np.abs(expected.mean_y) + y),
        (found.xx - expected.xx, np.outer(x, x)),
        (found.xy - expected.xy, np.outer(x, y)),
        (found.yy - expected.yy, y * y),
    ]
    for name, (error, size) in zip(expected._fields[2:7], pairs, strict=True):
        assert np.all(np.abs(error) <= accuracy * size), name


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_the_sums_they_stand_for(container, weighted):
    """Every container, with and without weights; X is not written."""
    X, Y, weights = data()
    X = CONTAINERS[container](X)
    weights = weights if weighted else np.full(N, 1.0 / N)
    before = oracles.dense(X)
    assert_same(Sums.from_data(X, Y, weights), direct(X, Y, weights))
    np.testing.assert_array_equal(oracles.dense(X), before)


@pytest.mark.parametrize("height", [1, 3, 7])
@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_blocks_of_rows_do_not_matter(monkeypatch, height, offset):
    """Cut into blocks, some without weight, and far from zero, the moments are still those of the whole."""
    X, Y, weights = data()
    X, Y = X + offset, Y - offset
    weights[:7] = 0.0
    whole = direct(X, Y, weights)
    total = Sums.empty(P, Q)
    for top in range(0, N, height):
        rows = slice(top, top + height)
        total = total.merged(Sums.from_rows(X[rows], Y[rows], weights[rows]))
    # The mean of a block is a float64, known to eps times its size.
    accuracy = 1e-13 + 10 * np.finfo(float).eps * offset
    assert_same(total, whole, accuracy)
    monkeypatch.setattr(_design, "TILE", 1)
    assert_same(Sums.from_data(X, Y, weights), whole, accuracy)


def test_moments_are_a_commutative_monoid():
    """``a + b = b + a``, ``(a + b) + c = a + (b + c)``, and no rows at all change nothing."""
    X, Y, weights = data()
    a, b, c = (Sums.from_rows(X[i::3], Y[i::3], weights[i::3]) for i in range(3))
    whole = direct(X, Y, weights)
    for total in (a.merged(b).merged(c), a.merged(b.merged(c)), c.merged(a).merged(b)):
        assert_same(total, whole)
    empty = Sums.empty(P, Q)
    assert empty.merged(a) is a
    assert a.merged(empty) is a


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_targets_far_from_zero(kind, offset):
    """The digits of y that survive in y itself survive in the moments."""
    X, Y, weights = data()
    Y = Y + offset
    assert_same(Sums.from_data(kind(X), Y, weights), direct(X, Y, weights), 1e-12)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("container", ["C", "csc"])
def test_source_from_moments_is_the_source_from_columns(container, fit_intercept):
    """Gram matrices, correlations and residual norms from moments are those that the columns give."""
    X, Y, weights = data(3)
    X[:, 4] = 0.3 if fit_intercept else 0.0
    X = CONTAINERS[container](X)
    design = _design.make_design(X, weights, fit_intercept)
    units = design.units if sparse.issparse(X) else None
    moments = MomentDesign(Sums.from_data(X, Y, design.share), fit_intercept, units)
    np.testing.assert_array_equal(moments.units.constant, [False] * 4 + [True])
    np.testing.assert_allclose(moments.units.norm, design.units.norm, rtol=1e-13)
    np.testing.assert_allclose(moments.units.mean, design.units.mean, rtol=1e-13, atol=1e-15)
    features = np.arange(P)
    for index in range(Q):
        columns = _design.ColumnSource(design, Y[:, index])
        source = MomentSource(moments, index)
        assert source.target.scale == pytest.approx(columns.target.scale, rel=1e-13)
        assert source.target.mean == pytest.approx(columns.target.mean, rel=1e-13, abs=1e-15)
        gram, (corrs, square) = columns.extend(features), columns.correlate(np.zeros((1, P)))
        np.testing.assert_allclose(source.gram[:4, :4], gram[:4, :4], rtol=0, atol=1e-13)
        np.testing.assert_allclose(source.start[:4], corrs[0, :4], rtol=0, atol=1e-13)
        assert source.square == pytest.approx(square[0], rel=1e-13)


@pytest.mark.parametrize("container", ["C", "csc"])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3.0])
def test_a_row_without_weight_has_no_say(container, value):
    """What stands in rows of weight zero, the first among them, leaves a constant column constant."""
    X, Y, weights = data()
    weights[[0, 4]] = 0.0
    X[:, 1] = value
    X[[0, 4], 1] = 17.0
    X = CONTAINERS[container](X)
    design = _design.make_design(X, weights, True)
    units = design.units if sparse.issparse(X) else None
    moments = MomentDesign(Sums.from_data(X, Y, design.share), True, units)
    for constant in (design.units.constant, moments.units.constant):
        np.testing.assert_array_equal(constant, [False, True, False, False, False])


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_constant_target_from_moments(fit_intercept):
    """A target without spread has scale 0 with an intercept, and its own size without."""
    X, Y, weights = data()
    Y[:, 0] = 0.1
    Y[:, 1] = 0.0
    moments = MomentDesign(Sums.from_data(X, Y, weights), fit_intercept)
    assert moments.target(0).scale == pytest.approx(0.0 if fit_intercept else 0.1, rel=1e-13)
    assert moments.target(1).scale == 0.0
    source = MomentSource(moments, 1)
    assert not source.start.any()
    assert source.square == 0.0


# ---------------------------------------------------------------------------------------------
# Folds
# ---------------------------------------------------------------------------------------------


def some_folds(kind, n=N):
    rng = np.random.default_rng(5)
    rows = np.arange(n)
    if kind == "three":
        return [Fold(rows[rows % 3 != k], rows[rows % 3 == k]) for k in range(3)]
    if kind == "one out":  # too many to tell parts apart: by subtraction
        return [Fold(np.delete(rows, [k, (k + 1) % n]), rows[k : k + 1]) for k in rows]
    if kind == "many halves":
        return [Fold(*np.split(rng.permutation(n), 2)) for _ in range(40)]
    return [Fold(rng.integers(0, n, n), rng.integers(0, n, 7)) for _ in range(3)]  # with repetitions


def weights_of(rows, weights):
    return np.bincount(rows, minlength=len(weights)) * weights


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ["three", "one out", "many halves", "drawn"])
@pytest.mark.parametrize("kept", [True, False])
def test_moments_of_folds(container, kind, kept, monkeypatch):
    """Those of the rows of each fold taken alone, however they are come by."""
    if not kept:
        monkeypatch.setattr(_moments, "KEPT", 0)
        monkeypatch.setattr(_moments, "ROOM", 0.0)
    X, Y, weights = data()
    weights[:] += 0.1 * (kind == "one out")  # a fold needs weight
    X = CONTAINERS[container](X)
    folds = some_folds(kind)
    train, test, whole = fold_moments(X, Y, weights, folds)
    assert_same(whole(), direct(X, Y, weights))
    for fold, *found in zip(folds, train, test, strict=True):
        for rows, moments in zip(fold, found, strict=True):
            some = weights_of(rows, weights)
            if len(rows) > 1 and (kept or rows is fold.train):
                assert_same(moments(), direct(X, Y, some), 1e-11)
            elif not kept:
                assert moments() is None


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_moments_without_a_part(offset):
    """``(a + b) - b = a``."""
    X, Y, weights = data()
    X, Y = X + offset, Y - offset
    a, b = (Sums.from_rows(X[i::2], Y[i::2], weights[i::2]) for i in range(2))
    accuracy = 1e-13 + 100 * np.finfo(float).eps * offset
    assert_same(a.merged(b).without(b), direct(X[::2], Y[::2], weights[::2]), accuracy)
    assert_same(a.merged(b).without(Sums.empty(P, Q)), a.merged(b))
    assert_same(Sums.total([a, Sums.empty(P, Q), b]), direct(X, Y, weights), accuracy)


@pytest.mark.parametrize("kind", ["three", "one out"])
@pytest.mark.parametrize("kept", [True, False])
def test_what_is_constant_in_a_fold_has_no_spread(kind, kept, monkeypatch):
    """A column and a target of 0.1 but for one row, of which the folds that leave it out know nothing."""
    if not kept:
        monkeypatch.setattr(_moments, "KEPT", 0)
        monkeypatch.setattr(_moments, "ROOM", 0.0)
    X, Y, _ = data()
    X[:, 2], Y[:, 0] = 0.1, 0.1
    X[0, 2], Y[0, 0] = 7.0, 5.0
    folds = some_folds(kind)
    train, _, _ = fold_moments(X, Y, np.ones(N), folds)
    for fold, moments in zip(folds, train, strict=True):
        if 0 not in fold.train:
            design = MomentDesign(moments(), True)
            assert design.units.constant[2]
            assert design.target(0).scale == 0.0


def test_rows_are_gathered_a_block_at_a_time(monkeypatch):
    """No fold copies its rows as a whole."""
    X, Y = np.random.default_rng(0).normal(size=(4000, 3)), np.ones((4000, 1))
    heights = []
    plain = Sums.from_rows.__func__

    def noted(cls, X, Y, weights):
        heights.append(len(X))
        return plain(cls, X, Y, weights)

    monkeypatch.setattr(_design, "TILE", 1)
    monkeypatch.setattr(Sums, "from_rows", classmethod(noted))
    rng = np.random.default_rng(1)
    train, _, _ = fold_moments(X, Y, np.ones(4000), [Fold(rng.integers(0, 4000, 4000), np.arange(100))])
    train[0]()
    assert max(heights, default=0) <= 256


@pytest.mark.parametrize("container", ["C", "F", "float32", "strided"])
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_that_mislead_about_the_mean(container, weighted):
    """The rows from which the mean is guessed are unlike all others; a constant column stays one."""
    rng = np.random.default_rng(0)
    n = 5 * _moments.SAMPLE
    X, Y = rng.standard_normal((n, 3)), rng.standard_normal((n, Q))
    X[:, 0] = np.where(np.arange(n) % 5 == 0, 0.0, 1e6 + X[:, 0])
    X[:, 1] += 1e4
    X = CONTAINERS[container](X)
    weights = np.ones(n)
    if weighted:
        weights[:] = np.where(np.arange(n) % 5 == 0, 1e-9, rng.uniform(0.5, 1.0, n))
        weights[7:9] = 0.0
    expected = direct(X, Y, weights)
    X[weights == 0.0] = np.nan
    assert_same(Sums.from_dense(X, Y, weights), expected)
    X[:, 2] = 0.1
    assert not Sums.from_dense(X, Y, weights).xx[2].any()


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_errors_from_moments(offset):
    """Mean squared errors are those of the rows; where they cancel, that is said."""
    X, Y, weights = data()
    Y = Y + offset
    moments = Sums.from_data(X, Y, weights)
    rng = np.random.default_rng(2)
    coefs, intercepts = rng.normal(size=(Q, P, 4)), rng.normal(size=(Q, 4))
    coefs[:, 1] = 0.0
    used = np.array([0, 2, 3, 4])
    errors, sure = moments.mean_squared_errors(slice(None), coefs.transpose(0, 2, 1), intercepts)
    assert sure.all()
    alone = [
        moments.mean_squared_errors([t], coefs[t][used].T[None], intercepts[t][None], used) for t in range(Q)
    ]
    assert all(sure.all() for _, sure in alone)
    np.testing.assert_allclose(np.concatenate([error for error, _ in alone]), errors, rtol=1e-12)
    apart = np.einsum("np,qpb->nqb", X, coefs) + intercepts - Y[:, :, None]
    np.testing.assert_allclose(errors, np.einsum("nqb,n->qb", apart**2, weights) / weights.sum(), rtol=1e-12)
    none = moments.mean_squared_errors([0], np.empty((1, 4, 0)), intercepts[:1], np.arange(0))[0]
    expected = ((Y[:, :1] - intercepts[0]) ** 2 * weights[:, None]).sum(axis=0) / weights.sum()
    np.testing.assert_allclose(none[0], expected, rtol=1e-12)
    exact = np.stack([X @ coefs[0, :, :1] + 1.0] * Q, axis=1)[:, :, 0]
    found = Sums.from_data(X, exact, weights)
    assert not found.mean_squared_errors([0], coefs[:1, :, :1].transpose(0, 2, 1), np.ones((1, 1)))[1]
