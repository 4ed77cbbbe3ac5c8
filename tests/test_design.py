"""What solvers see of X, in every storage, against the explicit matrix ``sqrt(s) (X - mean) / norm``."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sparse_linear import _design, _kernels, _working_sets
from sparse_linear._penalty import make_penalty
from tests import oracles

N, P = 23, 6


def _long_indices(X):
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


STORAGES = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "reversed": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "rows-of-C": lambda X: np.vstack([X, X])[:N],
    "columns-of-C": lambda X: np.hstack([X, X])[:, :P],
    "float32-C": lambda X: np.ascontiguousarray(X, dtype=np.float32),
    "float32-F": lambda X: np.asfortranarray(X, dtype=np.float32),
    "csc": sparse.csc_array,
    "csr": sparse.csr_array,
    "csc-matrix": sparse.csc_matrix,
    "csr-float32": lambda X: sparse.csr_array(X.astype(np.float32)),
    "csc-int64": lambda X: _long_indices(sparse.csc_array(X)),
}
WEIGHTS = {
    "no-weights": None,
    "weights": np.random.default_rng(0).uniform(0.5, 3.0, N),
    "zero-weights": np.where(np.arange(N) % 4 == 1, 0.0, np.random.default_rng(1).uniform(0.5, 3.0, N)),
}

every_storage = pytest.mark.parametrize("storage", STORAGES)
every_weight = pytest.mark.parametrize("weights", WEIGHTS)
with_and_without_intercept = pytest.mark.parametrize("fit_intercept", [True, False])


@pytest.fixture(params=[1 << 18, 40], ids=["one-tile", "small-tiles"], autouse=True)
def tile(request, monkeypatch):
    """Everything holds whatever the size of the pieces."""
    monkeypatch.setattr(_design, "TILE", request.param)


class Explicit:
    """The design for some numbers in one storage, and the matrix that it stands for."""

    def __init__(self, storage, weights, fit_intercept, offset=0.0):
        X, y = oracles.holes(N, P, seed=3, density=0.5)
        X[:, 4] += offset
        self.X = STORAGES[storage](X)
        self.y = y
        weights = WEIGHTS[weights]
        self.design = _design.make_design(self.X, weights, fit_intercept)
        self.problem = oracles.problem(self.X, y, sample_weight=weights, fit_intercept=fit_intercept)
        self.Z = (self.problem.Z * np.sqrt(self.problem.share)[:, None] / self.problem.norm).astype(
            np.float64
        )
        self.rng = np.random.default_rng(4)
        self.before = self._bytes()

    def _bytes(self):
        parts = (self.X.data, self.X.indices, self.X.indptr) if sparse.issparse(self.X) else (self.X,)
        return [part.tobytes() for part in parts]

    def assert_untouched(self):
        assert self._bytes() == self.before


@pytest.fixture
def explicit(storage, weights, fit_intercept):
    case = Explicit(storage, weights, fit_intercept)
    yield case
    case.assert_untouched()


@every_storage
@every_weight
@with_and_without_intercept
class TestEveryStorage:
    def test_units(self, explicit):
        """Means and norms; no column here is constant."""
        units = explicit.design.units
        np.testing.assert_allclose(units.mean, explicit.problem.mean.astype(float), rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(units.norm, explicit.problem.norm.astype(float), rtol=1e-13)
        assert not units.constant.any()

    def test_shares(self, explicit):
        """Weights that sum to one, and how many rows have any."""
        design, share = explicit.design, explicit.problem.share.astype(float)
        np.testing.assert_allclose(design.share, share, rtol=1e-14)
        np.testing.assert_allclose(design.root, np.sqrt(share), rtol=1e-14)
        assert design.effective_rows == np.count_nonzero(share)

    def test_correlate(self, explicit):
        """Inner products of all columns with residuals, which are centred where there is an intercept."""
        residuals = explicit.rng.standard_normal((3, N))
        if explicit.design.fit_intercept:
            root = explicit.design.root
            residuals -= np.outer(residuals @ root, root)
        np.testing.assert_allclose(
            explicit.design.correlate(residuals), residuals @ explicit.Z, rtol=0, atol=1e-13
        )

    def test_gradients(self, explicit):
        """Correlations with the residuals of solutions for several targets, and their squares."""
        targets, coefs = explicit.rng.standard_normal((2, N)), explicit.rng.standard_normal((5, P))
        if explicit.design.fit_intercept:
            root = explicit.design.root
            targets -= np.outer(targets @ root, root)
        which = np.array([1, 0, 0, 1, 1])
        residuals = targets[which] - coefs @ explicit.Z.T
        corrs, rss = explicit.design.gradients(targets, which, coefs)
        np.testing.assert_allclose(corrs, residuals @ explicit.Z, rtol=0, atol=1e-13)
        np.testing.assert_allclose(rss, (residuals**2).sum(axis=1), rtol=1e-13)

    def test_apply(self, explicit):
        """Linear combinations of all columns."""
        coefs = explicit.rng.standard_normal((3, P))
        np.testing.assert_allclose(explicit.design.apply(coefs), coefs @ explicit.Z.T, rtol=0, atol=1e-13)

    def test_block(self, explicit):
        """Columns gathered bit by bit: their Gram matrix and their combinations."""
        block = explicit.design.block()
        taken = np.empty(0, dtype=np.int64)
        for features in ([4], [0, 5], [2], [1, 3]):
            features = np.array(features)
            taken = np.concatenate([taken, features])
            gram = block.extend(features)
            np.testing.assert_allclose(
                gram, explicit.Z[:, taken].T @ explicit.Z[:, features], rtol=0, atol=1e-13
            )
            dense = explicit.rng.standard_normal((2, len(taken)))
            for coefs in (dense, np.where(np.arange(len(taken)) == 0, dense, 0.0), 0.0 * dense):
                np.testing.assert_allclose(
                    block.combine(coefs), coefs @ explicit.Z[:, taken].T, rtol=0, atol=1e-13
                )

        # A residual that is a vector and a multiple of the root weights, as descent keeps it.
        coef, root = explicit.rng.standard_normal(P), explicit.design.root
        residual = -explicit.Z[:, taken] @ coef
        offset = block.offset(coef)
        products = block.products(residual - offset * root, offset)
        np.testing.assert_allclose(products, residual @ explicit.Z[:, taken], rtol=0, atol=1e-13)
        block.keep(np.array([4, 1]))
        np.testing.assert_allclose(
            block.combine(np.eye(2)), explicit.Z[:, taken[[4, 1]]].T, rtol=0, atol=1e-13
        )

    def test_outer_gram(self, explicit):
        """``Z diag(scale) Z^T``, with columns left out by a scale of zero."""
        even = 0.5 * explicit.problem.norm.astype(float) ** 2  # as without standardisation
        for scale in (np.array([0.3, 0.0, 2.0, 1.0, 5.0, 0.1]), even):
            expected = (explicit.Z * scale) @ explicit.Z.T
            np.testing.assert_allclose(explicit.design.outer_gram(scale), expected, rtol=0, atol=1e-13)

    def test_take(self, explicit):
        """Columns of Z, one per row, where X is dense; a sparse design keeps its centring apart."""
        if isinstance(explicit.design, _design.DenseDesign):
            features = np.array([5, 0, 3])
            taken = explicit.design.take(features)
            assert taken.dtype == np.float64
            np.testing.assert_allclose(taken, explicit.Z[:, features].T, rtol=0, atol=1e-13)

    def test_source(self, explicit):
        """A `ColumnSource` answers for one target: Gram matrices, correlations, residual norms."""
        source = _design.ColumnSource(explicit.design, explicit.y)
        target = (explicit.problem.target * np.sqrt(explicit.problem.share) / explicit.problem.scale).astype(
            float
        )
        corrs, rss = source.correlate(np.zeros((1, 0)))
        np.testing.assert_allclose(corrs[0], target @ explicit.Z, rtol=0, atol=1e-13)
        np.testing.assert_allclose(rss, [1.0], rtol=1e-13)
        features = np.array([3, 1])
        source.extend(features)
        coefs = explicit.rng.standard_normal((2, 2))
        residuals = target - coefs @ explicit.Z[:, features].T
        corrs, rss = source.correlate(coefs)
        np.testing.assert_allclose(corrs, residuals @ explicit.Z, rtol=0, atol=1e-13)
        np.testing.assert_allclose(rss, np.einsum("ij,ij->i", residuals, residuals), rtol=1e-12)
        # Any columns, from X or from a Gram matrix that was left by a path.
        gram, everything, new = explicit.Z.T @ explicit.Z, np.arange(P), np.array([5, 2])
        for left in (None, (everything[::-1], SimpleNamespace(gram=gram[::-1, ::-1]))):
            source.left = left
            for before in (features, everything[:0]):
                expected = gram[np.ix_(np.concatenate([before, new]), new)]
                np.testing.assert_allclose(source.gram_of(new, before), expected, rtol=0, atol=1e-13)
        rest = target - explicit.Z[:, new] @ coefs[0]
        np.testing.assert_allclose(
            source.corrs_left(new, coefs[0]), rest @ explicit.Z[:, new], rtol=0, atol=1e-13
        )
        found = source.products(new, coefs)
        np.testing.assert_allclose(found, coefs @ explicit.Z[:, new].T @ explicit.Z, rtol=0, atol=1e-13)


@pytest.mark.parametrize("storage", ["C", "F", "strided", "csc", "csr"])
@every_weight
@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_a_large_mean_costs_no_more_digits_than_it_must(storage, weights, offset):
    """A column far from zero is seen with an error of eps times its distance, not the square of that."""
    case = Explicit(storage, weights, True, offset)
    accuracy = 50 * np.finfo(float).eps * offset
    if sparse.issparse(case.X):
        accuracy = 1e-13  # such a column is stored anew, centred
    root = case.design.root
    np.testing.assert_allclose(case.design.units.norm, case.problem.norm.astype(float), rtol=accuracy)
    residuals = case.rng.standard_normal((2, N))
    residuals -= np.outer(residuals @ root, root)
    # Residuals are centred, and so are columns this far from zero, before they are multiplied.
    centred = min(accuracy, 4e-11) if offset > _design.OFFSET else accuracy
    np.testing.assert_allclose(case.design.correlate(residuals), residuals @ case.Z, rtol=0, atol=centred)
    coefs = case.rng.standard_normal((2, P))
    np.testing.assert_allclose(case.design.apply(coefs), coefs @ case.Z.T, rtol=0, atol=accuracy)
    off = case.design.apply(coefs) - coefs @ case.Z.T
    off -= np.outer(off @ root, root)  # the means are rounded, but nothing else is
    np.testing.assert_allclose(off, 0.0, rtol=0, atol=centred)
    everything = np.arange(P)
    np.testing.assert_allclose(
        case.design.block().extend(everything), case.Z.T @ case.Z, rtol=0, atol=accuracy
    )
    scale = np.ones(P)
    np.testing.assert_allclose(case.design.outer_gram(scale), case.Z @ case.Z.T, rtol=0, atol=accuracy)
    case.assert_untouched()


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e7])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gradients_of_many_rows(order, offset):
    """Rows are taken a block at a time; what is left of the centring is taken away where it matters."""
    X, y = oracles.numbers(300, 4, seed=5)
    X = np.asarray(X + offset, order=order)
    weights = np.where(np.arange(300) % 7 == 2, 0.0, 1.0 + np.arange(300) / 300)
    design = _design.make_design(X, weights, True)
    problem = oracles.problem(X, y, sample_weight=weights)
    Z = (problem.Z * np.sqrt(problem.share)[:, None] / problem.norm).astype(float)
    values = design.target(y)[1]
    coefs = np.random.default_rng(0).standard_normal((3, 4))
    residuals = values - coefs @ Z.T
    corrs, rss = design.gradients(values[None], np.zeros(3, dtype=int), coefs)
    accuracy = 1e-13 + 50 * np.finfo(float).eps * offset
    np.testing.assert_allclose(corrs, residuals @ Z, rtol=0, atol=accuracy)
    np.testing.assert_allclose(rss, (residuals**2).sum(axis=1), rtol=accuracy)


@pytest.mark.parametrize("shape", [(20, 6), (6, 300), (3, 30)])
def test_when_all_features_may_enter_at_once(shape):
    """Where they are few, and X is small."""
    X, y = oracles.numbers(*shape)
    source = _design.ColumnSource(_design.make_design(X, None, True), y)
    assert source.all_at_once == (shape[1] <= 256 and shape[0] * shape[1] <= _design.TILE)


# ---------------------------------------------------------------------------------------------
# Targets
# ---------------------------------------------------------------------------------------------


@every_weight
@with_and_without_intercept
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("power", [-500, 0, 500])
def test_target(weights, fit_intercept, offset, power):
    """The target has unit length, and mean and scale lead back to y, far from zero, huge or tiny."""
    plain = np.random.default_rng(0).standard_normal(N) + offset
    size = 2.0**power  # a power of two changes no digit of y
    column, weights = np.ones((N, 1)), WEIGHTS[weights]
    target, values = _design.make_design(column, weights, fit_intercept).target(plain * size)
    expected = oracles.problem(column, plain, sample_weight=weights, fit_intercept=fit_intercept)
    unit = (np.sqrt(expected.share) * expected.target / expected.scale).astype(float)
    np.testing.assert_allclose(values, unit, rtol=0, atol=1e-13 + 1e-19 * offset)
    assert np.linalg.norm(values) == pytest.approx(1.0, rel=1e-13)
    assert target.scale / size == pytest.approx(float(expected.scale), rel=1e-12)
    if fit_intercept:
        assert target.mean / size == pytest.approx(float(expected.y[0] - expected.target[0]), rel=1e-15)
    else:
        assert target.mean == 0.0


@pytest.mark.parametrize(
    "y",
    [
        np.zeros(N),
        np.full(N, 0.1),
        np.full(N, -3e100),
        np.where(np.arange(N) % 2, 0.1, np.nextafter(0.1, 1.0)),
    ],
    ids=["zero", "constant", "huge", "constant-up-to-rounding"],
)
def test_constant_target(y):
    """Nothing is left to explain: scale 0 and no values, and no division by it."""
    design = _design.make_design(np.ones((N, 1)), WEIGHTS["weights"], True)
    target, values = design.target(y)
    assert target.scale == 0.0
    assert target.mean == pytest.approx(y[0], rel=1e-15)
    assert not values.any()


@pytest.mark.parametrize("top", [1e-300, 1.0, 1e300])
def test_weights_of_any_size(top):
    """Shares neither overflow nor vanish."""
    weights = np.array([1.0, 2.0, 3.0]) * top
    design = _design.make_design(np.eye(3), weights, True)
    np.testing.assert_allclose(design.share, [1 / 6, 1 / 3, 1 / 2], rtol=1e-14)
    assert design.weight == pytest.approx(6.0 * top)


# ---------------------------------------------------------------------------------------------
# Constant columns
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array, sparse.csr_array])
@every_weight
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8 / 3.0, -1e-300])
def test_constant_columns(kind, weights, value):
    """A column without spread in the rows that count is constant, and without an intercept one of zeros."""
    X = np.random.default_rng(0).standard_normal((N, 3))
    X[:, 1] = value
    weights = WEIGHTS[weights]
    if weights is not None:
        X[weights == 0.0, 1] = 17.0
    units = _design.make_design(kind(X), weights, True).units
    np.testing.assert_array_equal(units.constant, [False, True, False])
    assert units.norm[1] == 1.0
    without = _design.make_design(kind(X), weights, False).units
    # The square of 1e-300 is zero.
    np.testing.assert_array_equal(without.constant, [False, abs(value) < 1e-150, False])


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
def test_a_small_spread_is_not_constant(kind):
    """Twelve digits below the mean there is still a signal."""
    X = 1.0 + 1e-11 * np.random.default_rng(0).standard_normal((N, 1))
    units = _design.make_design(kind(X), None, True).units
    assert not units.constant[0]
    assert units.norm[0] == pytest.approx(X.std(), rel=1e-4)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_array])
def test_one_row_that_counts(kind):
    """With an intercept a single row determines nothing; without one it does."""
    X = kind(np.random.default_rng(0).standard_normal((3, 2)))
    weights = np.array([0.0, 2.0, 0.0])
    assert _design.make_design(X, weights, True).units.constant.all()
    assert not _design.make_design(X, weights, False).units.constant.any()


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_zeros_in_rows_that_hardly_count(kind, fit_intercept):
    """Their share is no difference of nearly equal numbers: it may be all that a column varies by."""
    X = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 3.0, 2.0], [1.25, 1.25, 3.0, 0.0]])
    weights = np.array([5e-10, 3e-7, 4e7])
    units = _design.make_design(kind(X), weights, fit_intercept).units
    share = weights.astype(np.longdouble) / weights.astype(np.longdouble).sum()
    mean = share @ X if fit_intercept else np.zeros(4)
    np.testing.assert_allclose(units.mean, mean.astype(float), rtol=1e-15)
    np.testing.assert_allclose(units.norm, np.sqrt(share @ (X - mean) ** 2).astype(float), rtol=1e-13)


# ---------------------------------------------------------------------------------------------
# Tiles
# ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from(["C", "F", "strided"]), st.integers(1, 200))
def test_tiles_cover_a_matrix_exactly_once(n, p, order, size):
    """Every element in one tile, none larger than asked for, row pieces of one column piece in a row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_design, "TILE", size)
        X = np.zeros((2 * n, p))[::2] if order == "strided" else np.zeros((n, p), order=order)
        seen = []
        for rows, columns in _design.tiles(X.shape, X.strides):
            tile = X[rows, columns]
            assert 0 < tile.size <= max(size, 1)
            tile += 1
            if not seen or seen[-1] != columns:
                seen.append(columns)
        assert (X == 1).all()
        assert len({columns.start for columns in seen}) == len(seen)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("n_threads", [1, 3, 8])
@pytest.mark.parametrize("p", [1, 5, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_threads_share_the_columns_of_an_outer_product(order, n_threads, p, weighted, monkeypatch):
    """Some of the shares may be empty."""
    monkeypatch.setattr(_design, "TILE", 10)
    monkeypatch.setattr(_design, "available", lambda: n_threads)
    rng = np.random.default_rng(0)
    X = np.array(rng.standard_normal((24, p)), order=order)
    weights = rng.integers(0, 3, 24).astype(np.float64) if weighted else None
    design = _design.make_design(X, weights, True)
    scale = rng.random(p)
    Z = design.apply(np.eye(p)).T
    np.testing.assert_allclose(design.outer_gram(scale), Z * scale @ Z.T, rtol=0, atol=1e-14 * p)


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sparse.csc_array, sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_correlations_from_products_of_few_columns(container, fit_intercept, monkeypatch):
    """They are those of the residuals; large coefficients, and fits that leave nothing, get the residuals."""
    X, y = oracles.holes(30, 50)
    X[:, 3] += 2.0
    weights = np.linspace(0.0, 1.0, 30)
    design = _design.make_design(container(X), weights, fit_intercept)
    asked = []
    correlate = type(design).correlate
    monkeypatch.setattr(
        type(design), "correlate", lambda self, rows: (asked.append(len(rows)), correlate(self, rows))[1]
    )
    source = _design.ColumnSource(design, y)
    source.extend(np.array([7, 3, 11, 20]))
    source.keep(np.array([1, 2, 3]))
    coefs = np.zeros((8, 3))
    coefs[:, 0], coefs[4:, 2] = np.linspace(-1, 1, 8), 0.3
    for factor, passes in ((1.0, [2, 1]), (0.5, []), (1e6, [8])):
        asked.clear()
        corrs, rss = source.correlate(factor * coefs)
        assert asked == passes
        residuals = source.values - source.block.combine(factor * coefs)
        np.testing.assert_allclose(corrs, correlate(design, residuals), rtol=0, atol=1e-14 * max(factor, 1.0))
        np.testing.assert_allclose(rss, (residuals**2).sum(axis=1), rtol=1e-12)
    exact = _design.ColumnSource(design, np.where(weights > 0, X[:, 3], 0.0))
    exact.extend(np.array([3]))
    corrs, rss = exact.correlate(np.ones((2, 1)))
    assert rss.max() < 1e-28
    assert np.abs(corrs).max() < 1e-14


@numba.njit
def verify(data, screen, columns, features, directions, coefs, lams):
    """A kernel that only other kernels call, as is the next."""
    return _kernels.verify(data, screen, columns, features, directions, coefs, lams)


@numba.njit
def assemble(directions, share, known, exact, corrs):
    _kernels.assemble(directions, share, known, exact, corrs)


@numba.njit
def inspect(data, screen, memory, features, coefs, lams, judgement, corrs):
    return _kernels.inspect(data, screen, memory, features, coefs, lams, judgement, corrs)


def as_a_path_begins(source):
    """A working set without features."""
    other = _design.ColumnSource(source.design, source.values)
    return _working_sets.FactorSet(other, make_penalty(source.design.p, 1.0, 0.0), 1.0)


def no_directions(source):
    return as_a_path_begins(source).directions


@pytest.mark.parametrize("container", [np.asfortranarray, np.ascontiguousarray])
@pytest.mark.parametrize("loose", [2, 130])
def test_screening_by_a_few_directions(container, loose):
    """Every feature beyond its threshold is found with its exact correlation; the gap is that of all."""
    X, y = oracles.holes(40, 2000)
    weights = np.linspace(0.0, 1.0, 40)
    source = _design.ColumnSource(_design.make_design(container(X), weights, True), y)
    source.extend(np.array([7, 3, 11, 20, 150]))
    member = np.zeros(2000, dtype=bool)
    member[source.features] = True
    rules = np.tile([1.0, 0.0, -np.inf, np.inf], (2000, 1))
    rules[:, 0] = np.linspace(1.0, 1.5, 2000)
    free = np.arange(30, 30 + loose)
    rules[free, :2] = 0.0, 1.0  # these are always looked at; too many of them, and all are
    screen = _kernels.Screen(rules, rules[:, 0].copy(), 1.0, member)
    start, slope = np.random.default_rng(0).standard_normal((2, 5)) / 10
    directions = no_directions(source)
    for batch in range(4):
        coefs = start + np.linspace(batch, batch + 1, 16, endpoint=False)[:, None] * slope
        coefs[:, 4] = 0.02 * np.sin(np.arange(16))  # off the line
        residuals = source.values - source.block.combine(coefs)
        exact = source.design.correlate(residuals)
        lams = np.sort(np.abs(exact), axis=1)[:, -3]
        gaps, rss, lacking, shares, known, corrs = verify(
            source.described, screen, source.block.columns[:5], source.features, directions, coefs, lams
        )
        np.testing.assert_allclose(rss, (residuals**2).sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(corrs, exact[:, known], rtol=0, atol=1e-14)
        beyond = (np.abs(exact) > lams[:, None] * rules[:, 0]).any(axis=0)
        assert {*source.features, *free, *np.flatnonzero(beyond)} <= set(known)
        expected = _kernels.duality_gaps(exact, source.features, coefs, lams, rules, rss)
        np.testing.assert_allclose(gaps, expected[0], rtol=1e-9, atol=1e-15)
        np.testing.assert_array_equal(lacking, expected[1])
        for at, close in ((5, known), (15, np.arange(2000))):
            found = np.full(2000, np.nan)
            assemble(directions, shares[at], known, corrs[at], found)
            np.testing.assert_allclose(found[close], exact[at, close], rtol=0, atol=1e-13)
        assert directions.size[0] <= _kernels.KNOWN + _kernels.NEW
        assert shares.shape[1] < 8
        assert (len(known) < 2000) == (loose == 2)


@every_weight
@pytest.mark.parametrize("width", [1, 5, 20])
@pytest.mark.parametrize("goal", [np.inf, 0.0])
def test_screening_by_the_last_residual(weights, width, goal):
    """The gaps of sparse X are those of all features, and correlations right, or within their threshold.

    A solution that is not good enough is the last to be looked at, and all goes on from there.
    """
    p = 600
    rng = np.random.default_rng(0)
    X = sparse.csc_array(rng.standard_normal((N, p)) * (rng.random((N, p)) < 0.4))
    source = _design.ColumnSource(_design.make_design(X, WEIGHTS[weights], True), rng.standard_normal(N))
    source.extend(np.array([7, 3, 11]))
    rules = np.tile([1.0, 0.0, -np.inf, np.inf], (p, 1))
    rules[:, 0] = np.linspace(1.0, 1.5, p)
    member = np.zeros(p, dtype=bool)
    member[source.features] = True
    screen = _kernels.Screen(rules, rules[:, 0].copy(), 1.0, member)
    trail, corrs = as_a_path_begins(source).trail, source.start.copy()
    counts, answers = np.ones(width, dtype=np.int64), np.zeros(width, dtype=np.int64)
    limits = _kernels.Limits(goal, 9, 16, 99, 50, 30, 1, 1, 1)
    coefs = np.zeros(3)
    for step, level in ((0.0, 1.1), (1e-3, 0.9), (1.0, 0.5), (1e-3, 0.5), (1e-3, 1.1), (np.nan, 1.0)):
        coefs = coefs + step * np.cumsum(rng.standard_normal((width, 3)), axis=0)
        exact, square = source.correlate(coefs)
        lams = level * np.abs(exact).max(axis=1) / rules[-1, 0]
        judgement = _kernels.Judgement(counts, answers, limits, 0)
        failed, gaps, rss, lacking = inspect(
            source.described, screen, trail, source.features, coefs, lams, judgement, corrs
        )
        expected, missing = _kernels.duality_gaps(exact, source.features, coefs, lams, rules, square)
        inexact = ~(expected <= goal) | (missing > 0)
        assert failed == (np.argmax(inexact) if inexact.any() else width)
        last = min(failed, width - 1)
        known = slice(last + 1)
        np.testing.assert_allclose(gaps[known], expected[known], rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(rss[known], square[known], rtol=1e-12)
        np.testing.assert_array_equal(lacking[known], missing[known])
        wrong = np.abs(corrs - exact[last])
        limit = lams[last] * rules[:, 0]
        within = (np.abs(corrs) < limit) & (np.abs(exact[last]) < limit) & ~member
        assert (within | ~(wrong > 1e-13)).all()
        assert not (wrong > trail.error + 1e-13).any()
        coefs = coefs[last]


def test_screening_looks_at_all_features_of_residuals_that_are_no_numbers():
    """What nothing is known of is not ruled out."""
    design = _design.make_design(np.asfortranarray(oracles.numbers(10, 30)[0]), None, True)
    source = _design.ColumnSource(design, oracles.numbers(10, 1, seed=1)[1])
    source.extend(np.array([2]))
    rules = np.tile([1.0, 0.0, -np.inf, np.inf], (30, 1))
    screen = _kernels.Screen(rules, np.ones(30), 1.0, np.arange(30) == 2)
    gaps, _, _, _, known, corrs = verify(
        source.described, screen, source.block.columns, source.features, no_directions(source),
        np.full((3, 1), np.nan), np.ones(3),
    )  # fmt: skip
    np.testing.assert_array_equal(known, np.arange(30))
    assert np.isnan(corrs).all()
    assert np.isnan(gaps).all()


def test_directions_of_batches_that_end_anywhere():
    """Batches begin where the last one has ended: also at a residual of zero, or far from it."""
    design = _design.make_design(np.asfortranarray(oracles.numbers(20, 30)[0]), None, True)
    rng = np.random.default_rng(0)
    source = _design.ColumnSource(design, rng.standard_normal(20))
    everyone = np.arange(30)
    source.extend(everyone)
    rules = np.tile([1.0, 0.0, -np.inf, np.inf], (30, 1))
    screen = _kernels.Screen(rules, np.ones(30), 1.0, everyone < 0)
    exact = np.linalg.lstsq(source.block.columns.T, source.values, rcond=None)[0]
    directions = no_directions(source)
    for batch in range(8):
        coefs = 0.3 * rng.standard_normal((4, 30))
        coefs[-1] = exact if batch == 3 else coefs[-1]
        _, _, _, shares, _, _ = verify(
            source.described, screen, source.block.columns, everyone, directions, coefs, np.full(4, 0.5)
        )
        residuals = source.values - source.block.combine(coefs)
        left = residuals - shares @ directions.basis[: shares.shape[1]]
        distance = np.sqrt((left**2).sum(axis=1))
        assert distance.max() <= 0.5 * _kernels.CLOSE + 1e-12
        assert distance[-1] < 1e-12
        found = shares @ directions.images[: shares.shape[1]]
        assert (np.abs(found - design.correlate(residuals)) <= distance[:, None] + 1e-12).all()
